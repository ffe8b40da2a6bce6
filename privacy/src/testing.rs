//! Statistics that several modules' tests share.

/// Asserts that `observed` counts fit `expected` ones by Pearson's χ². Cells of fewer than ten expected are put together.
/// Six standard deviations of χ² are allowed: seeds are fixed, so a test that passes goes on passing.
pub fn assert_fits(observed: &[u64], expected: &[f64]) {
    let (mut statistic, mut cells) = (0.0, 0);
    let (mut seen, mut due) = (0.0, 0.0);
    for (&count, &mean) in observed.iter().zip(expected) {
        seen += count as f64;
        due += mean;
        if due >= 10.0 {
            statistic += (seen - due) * (seen - due) / due;
            cells += 1;
            (seen, due) = (0.0, 0.0);
        }
    }
    let freedom = f64::from(cells - 1);
    let limit = freedom + 6.0 * (2.0 * freedom).sqrt();
    assert!(statistic < limit, "χ² = {statistic} with {freedom} degrees of freedom");
}

/// Counts of `draws` numbers `least`, `least` + 1 and so on; others are left out.
pub fn count(draws: usize, least: i64, cells: usize, mut draw: impl FnMut() -> i64) -> Vec<u64> {
    let mut counts = vec![0; cells];
    for _ in 0..draws {
        if let Some(cell) = usize::try_from(draw() - least).ok().and_then(|cell| counts.get_mut(cell)) {
            *cell += 1;
        }
    }
    counts
}

/// Mean and variance of `draws` numbers.
pub fn moments(draws: usize, mut draw: impl FnMut() -> i64) -> (f64, f64) {
    let numbers: Vec<f64> = (0..draws).map(|_| draw() as f64).collect();
    let mean = numbers.iter().sum::<f64>() / draws as f64;
    (mean, numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws as f64)
}

/// e^(−μ) I_k(μ) for k from 0 to `reach`, by Gauss's continued fraction downwards, normalised over both sides.
pub fn skellam_probabilities(variance: f64, reach: usize) -> Vec<f64> {
    let mut ratios = vec![0.0; reach + 1];
    let mut following = 0.0;
    for k in (0..=reach).rev() {
        following = 1.0 / (2.0 * (k + 1) as f64 / variance + following);
        ratios[k] = following;
    }
    let mut side = vec![1.0; reach + 1];
    for k in 0..reach {
        side[k + 1] = side[k] * ratios[k];
    }
    let total = 2.0 * side.iter().sum::<f64>() - 1.0;
    side.iter().map(|p| p / total).collect()
}
