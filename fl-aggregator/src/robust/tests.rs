//! The rules withstand the stated share of bad shards, and are right where nobody is bad.

use super::*;

const ENTRIES: usize = 40;

/// Honest means around 1 in every entry, spread ±0.1, then `bad` of 20 replaced.
fn means(bad: usize, value: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
    let honest = |shard: usize, entry: usize| 1.0 + 0.1 * ((shard * 37 + entry * 11) as f64).sin();
    let at = |shard: usize, entry: usize| if shard < bad { value(entry) } else { honest(shard, entry) };
    (0..20).map(|shard| (0..ENTRIES).map(|entry| at(shard, entry)).collect()).collect()
}

fn combine(rule: RobustSettings, means: &[Vec<f64>], bound: f64) -> Result<Vec<f64>, RobustError> {
    let slices: Vec<&[f64]> = means.iter().map(Vec::as_slice).collect();
    rule.rule()?.combine(&slices, bound)
}

#[track_caller]
fn off_by(rule: RobustSettings, means: &[Vec<f64>], bound: f64) -> f64 {
    let mean = combine(rule, means, bound).unwrap();
    mean.iter().map(|value| (value - 1.0).powi(2)).sum::<f64>().sqrt()
}

const FILTER: RobustSettings = RobustSettings::FilterL2 { spectral_bound: 0.15 };
const TRIMMED: RobustSettings = RobustSettings::TrimmedMean { share: 0.3 };

#[test]
fn each_rule_withstands_its_share_of_bad_shards() {
    // (rule, bad of 20, what the honest spread allows)
    for (rule, bad, near) in [(RobustSettings::Median, 9, 0.6), (TRIMMED, 6, 0.6), (FILTER, 4, 0.3)] {
        for attack in [-50.0, 50.0, 3.0, 1e6] {
            let means = means(bad, |_| attack);
            let off = off_by(rule, &means, 10.0);
            assert!(off < near, "{} with {bad} shards at {attack}: off by {off}", rule.name());
        }
        let hidden = means(bad, |entry| if entry == 7 { 30.0 } else { 1.0 });
        assert!(off_by(rule, &hidden, 1e3) < near, "{} with one bad entry", rule.name());
    }
}

#[test]
fn the_plain_mean_would_not() {
    let means = means(4, |_| -50.0);
    let plain: f64 = means.iter().map(|mean| mean[0]).sum::<f64>() / 20.0;
    assert!((plain - 1.0).abs() > 9.0);
}

#[test]
fn honest_shards_pass_the_filter_whole() {
    let means = means(0, |_| 0.0);
    let mean = combine(FILTER, &means, 100.0).unwrap();
    for (entry, value) in mean.iter().enumerate() {
        let plain = means.iter().map(|mean| mean[entry]).sum::<f64>() / 20.0;
        assert!((value - plain).abs() < 1e-12);
    }
}

#[test]
fn a_filter_that_trusts_nobody_says_so() {
    let tight = RobustSettings::FilterL2 { spectral_bound: 1e-9 };
    assert!(matches!(combine(tight, &means(0, |_| 0.0), 100.0), Err(RobustError::NothingLeft { .. })));
}

#[test]
fn medians_and_trimmed_means_are_those_of_the_definition() {
    let means: Vec<Vec<f64>> = (0..20).map(|shard| vec![f64::from(shard * shard)]).collect();
    assert_eq!(combine(RobustSettings::Median, &means, 1e9).unwrap(), [(81.0 + 100.0) / 2.0]);
    let kept: f64 = (6..14).map(|shard| f64::from(shard * shard)).sum();
    assert_eq!(combine(TRIMMED, &means, 1e9).unwrap(), [kept / 8.0]);
}

#[test]
fn a_mean_beyond_the_norm_is_scaled_back() {
    assert!(
        scaled_back(&[3.0, -4.0], 1.0).iter().zip([0.6, -0.8]).all(|(got, expected)| (got - expected).abs() < 1e-12)
    );
    assert_eq!(scaled_back(&[3.0, -4.0], 5.0), [3.0, -4.0]);
    assert!(scaled_back(&[1e300, 1e300], 1.0).iter().all(|value| value.is_finite()));
}

#[test]
fn too_few_unequal_or_infinite_means_are_refused() {
    for rule in [RobustSettings::Median, TRIMMED, FILTER] {
        let mut means = means(0, |_| 0.0);
        assert_eq!(combine(rule, &means[..15], 1.0), Err(RobustError::TooFewShards { got: 15 }));
        assert!(matches!(combine(rule, &means, 0.0), Err(RobustError::Setting { field: "norm bound", .. })));
        means[3][2] = f64::NAN;
        assert!(matches!(combine(rule, &means, 1.0), Err(RobustError::NotFinite { shard: 3, entry: 2, .. })));
        means[1].pop();
        assert!(matches!(combine(rule, &means, 1.0), Err(RobustError::Length { shard: 1, expected: 40, got: 39 })));
    }
    assert!(RobustSettings::TrimmedMean { share: 0.5 }.rule().is_err());
    assert!(RobustSettings::FilterL2 { spectral_bound: f64::NAN }.rule().is_err());
}
