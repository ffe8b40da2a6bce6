//! The sampler as a distribution.

use super::*;

fn params(temperature: f32, top_p: f32, seed: u64, choice: u32) -> SamplingParams {
    SamplingParams { temperature, top_p, seed, choice, top_logprobs: None }
}

/// Logits whose softmax at temperature 1 is `weights` (normalised).
fn logits_of(weights: &[f32]) -> Vec<f32> {
    weights.iter().map(|weight| libm::logf(*weight)).collect()
}

/// How often each token is drawn over `draws` positions.
fn histogram(params: &SamplingParams, logits: &[f32], draws: usize) -> Vec<usize> {
    let mut counts = vec![0; logits.len()];
    for position in 0..draws {
        counts[params.sample(logits, position) as usize] += 1;
    }
    counts
}

/// Logits that look random, `n` of them.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..n).map(|_| (rng.next_u32() >> 8) as f32 / 2_097_152.0 - 4.0).collect()
}

#[test]
fn greedy_takes_the_largest_and_the_lowest_of_equals() {
    assert_eq!(greedy(&[0.0, 3.0, 3.0, -1.0]), 1);
    assert_eq!(greedy(&[-0.0, 0.0]), 0);
    assert_eq!(params(0.0, 0.1, 9, 9).sample(&[1.0, 2.0, 5.0, 5.0], 3), 2);
}

#[test]
fn frequencies_follow_the_softmax() {
    const DRAWS: usize = 20_000;
    let weights = [0.5, 0.25, 0.15, 0.1];
    let counts = histogram(&params(1.0, 1.0, 11, 0), &logits_of(&weights), DRAWS);
    for (count, weight) in counts.iter().zip(weights) {
        // Five standard deviations of a binomial: the seed is fixed, so this never flickers.
        let (mean, deviation) = (DRAWS as f32 * weight, (DRAWS as f32 * weight * (1.0 - weight)).sqrt());
        assert!((*count as f32 - mean).abs() < 5.0 * deviation, "{counts:?}");
    }
}

#[test]
fn temperature_sharpens_and_flattens() {
    let logits = logits_of(&[0.6, 0.3, 0.1]);
    let of = |temperature| histogram(&params(temperature, 1.0, 5, 0), &logits, 4000);
    let (cold, warm, hot) = (of(0.2), of(1.0), of(5.0));
    assert!(cold[0] > warm[0] && warm[0] > hot[0], "{cold:?} {warm:?} {hot:?}");
    assert!(cold[2] < warm[2] && warm[2] < hot[2], "{cold:?} {warm:?} {hot:?}");
    assert_eq!(of(1e-30)[0], 4000, "a vanishing temperature is greedy");
}

#[test]
fn the_nucleus_is_the_smallest_set_that_reaches_the_mass() {
    for seed in 0..40 {
        let (logits, temperature) = (noise(seed, 50), 0.5 + seed as f32 / 20.0);
        for top_p in [0.01, 0.3, 0.7, 0.9, 0.999] {
            let all = nucleus(&logits, temperature, 1.0);
            let total = total_mass(&all);
            let kept = nucleus(&logits, temperature, top_p);
            let mass = total_mass(&kept) / total;
            assert!(mass >= f64::from(top_p) - 1e-9, "seed {seed}, top_p {top_p}: kept {mass}");
            let without_last = mass - f64::from(kept[kept.len() - 1].mass) / total;
            assert!(without_last < f64::from(top_p), "seed {seed}, top_p {top_p}: one too many");
            let least = kept[kept.len() - 1].mass;
            let outside = all.iter().filter(|candidate| kept.iter().all(|k| k.id != candidate.id));
            assert!(outside.clone().all(|candidate| candidate.mass <= least));
            assert_eq!(outside.count() + kept.len(), logits.len());
        }
    }
}

#[test]
fn equal_tokens_enter_the_nucleus_by_id() {
    let ids: Vec<u32> = nucleus(&[1.0; 8], 1.0, 0.5).iter().map(|candidate| candidate.id).collect();
    assert_eq!(ids, [0, 1, 2, 3]);
}

#[test]
fn nothing_outside_the_nucleus_is_drawn() {
    let counts = histogram(&params(1.0, 0.6, 3, 0), &logits_of(&[0.4, 0.3, 0.2, 0.1]), 3000);
    assert_eq!(counts[2..], [0, 0]);
    assert!(counts[0] > 0 && counts[1] > 0);
    let counts = histogram(&params(1.0, 1e-6, 3, 0), &logits_of(&[0.4, 0.3, 0.2, 0.1]), 200);
    assert_eq!(counts[0], 200, "the smallest nucleus is the likeliest token");
}

#[test]
fn a_draw_is_a_function_of_seed_choice_and_position() {
    let logits = noise(1, 200);
    let sequence = |params: SamplingParams| (0..64).map(|p| params.sample(&logits, p)).collect::<Vec<_>>();
    let first = sequence(params(1.0, 0.95, 7, 0));
    assert_eq!(first, sequence(params(1.0, 0.95, 7, 0)));
    assert_ne!(first, sequence(params(1.0, 0.95, 8, 0)), "another seed");
    assert_ne!(first, sequence(params(1.0, 0.95, 7, 1)), "another choice");
    let backwards: Vec<u32> = (0..64).rev().map(|p| params(1.0, 0.95, 7, 0).sample(&logits, p)).collect();
    assert!(first.iter().rev().eq(&backwards), "the order of the draws does not matter");
    assert!(first.windows(2).any(|pair| pair[0] != pair[1]), "positions differ");
}

#[test]
fn keys_differ_in_every_part() {
    let keys = [key(0, 0, 0), key(1, 0, 0), key(0, 1, 0), key(0, 0, 1), key(0, 1 << 31, 0), key(0, 0, 1 << 63)];
    for (index, one) in keys.iter().enumerate() {
        assert!(keys[index + 1..].iter().all(|other| other != one));
    }
}

#[test]
fn meaningless_parameters_are_refused() {
    for got in [-0.1, f32::NAN, f32::INFINITY] {
        assert!(matches!(params(got, 1.0, 0, 0).check(), Err(SamplingError::Temperature { .. })), "{got}");
    }
    for got in [0.0, -1.0, 1.1, f32::NAN] {
        assert!(matches!(params(1.0, got, 0, 0).check(), Err(SamplingError::TopP { .. })), "{got}");
    }
    assert_eq!(SamplingParams::default().check(), Ok(()));
}
