//! Sums under masks are the plain sums, sensitivities count every part, and bad updates are named.

use super::*;
use neuro_primitives::Hash;
use neuro_privacy::{BETA, Event, OVERFLOW_LOG2, integer_bounds, norm_l2, overflow_log2};
use neuro_secagg::masks::{Generator, MaskJob, MaskSeed, Sign};

fn rng() -> NoiseRng {
    NoiseRng::from_seed(&[7; 32])
}

fn plain_plan(entries: usize, parts: Parts) -> EncodingPlan {
    EncodingPlan { entries, parts, mode: EncodingMode::Plain { grid: Grid::new(9, 400.0).unwrap(), weight_cap: 1000 } }
}

fn private_settings(noise: NoiseBy) -> PrivateSettings {
    PrivateSettings {
        noise,
        clip: 1.0,
        scale: 64.0,
        variance: 900.0,
        bit_variance: None,
        delta: 1e-5,
        rotation: Hash::of(b"seed"),
    }
}

fn private_plan(entries: usize, parts: Parts, settings: PrivateSettings) -> EncodingPlan {
    EncodingPlan { entries, parts, mode: EncodingMode::Private(settings) }
}

fn encode(plan: &EncodingPlan, update: &[f32], control: Option<&[f32]>, weight: u32) -> Result<Encoded, EncodeError> {
    let control = control.map(|control| Flat(control.to_vec()));
    let modulus = plan.modulus(10, 8, 1).unwrap();
    encode_update(&Flat(update.to_vec()), control.as_ref(), weight, plan, 8, modulus, &mut rng())
}

/// Entry `entry` of participant `who`'s update.
fn value(who: usize, entry: usize) -> f32 {
    ((who * 31 + entry * 17) % 101) as f32 / 101.0 - 0.5
}

#[test]
fn the_masked_sum_is_the_plain_sum_to_the_bit() {
    for parts in [Parts::Model, Parts::ModelAndControl { rho: 0.25 }] {
        let (n, plan) = (7, plain_plan(50, parts));
        let modulus = plan.modulus(n as u16, 5, 1).unwrap();
        let mut expected = vec![0_i64; plan.vector_entries()];
        let mut masked = Accumulator::new(plan.vector_entries(), modulus);
        let mut jobs = Vec::new();
        for who in 0..n {
            let update: Vec<f32> = (0..50).map(|entry| value(who, entry)).collect();
            let control: Vec<f32> = (0..50).map(|entry| value(who + n, entry)).collect();
            let control = matches!(parts, Parts::ModelAndControl { .. }).then_some(Flat(control));
            let weight = 100 * who as u32 + 1;
            let encoded =
                encode_update(&Flat(update), control.as_ref(), weight, &plan, 5, modulus, &mut rng()).unwrap();
            for (sum, value) in expected.iter_mut().zip(encoded.vector.clone().finish()) {
                *sum += value;
            }
            let mut vector = encoded.vector;
            let job = |sign| MaskJob { seed: seed(who as u8), sign };
            vector.unmask(&[job(Sign::Plus)], 1);
            jobs.push(job(Sign::Minus));
            masked.add(&vector.to_packed()).unwrap();
        }
        assert_ne!(masked.clone().finish(), expected);
        masked.unmask(&jobs, 2);
        assert_eq!(masked.finish(), expected);
        let decoded = decode_sum(&expected, n as u32, &plan).unwrap();
        assert_eq!(decoded.weight, (0..n).map(|who| 100.0 * who as f64 + 1.0).sum::<f64>());
    }
}

fn seed(byte: u8) -> MaskSeed {
    assert_eq!(Generator::Aes128Ctr.seed_bytes(), 16);
    MaskSeed::Aes128Ctr([byte; 16])
}

#[test]
fn a_plain_sum_decodes_to_the_weighted_sum() {
    let plan = plain_plan(3, Parts::ModelAndControl { rho: 0.5 });
    let sum = encode(&plan, &[0.1, -0.2, 5.0], Some(&[0.2, 0.0, -0.4]), 10).unwrap().vector.finish();
    // 0.1·400 = 40; 5.0 is clamped to 255/400; the control is halved.
    assert_eq!(sum, [400, -800, 2550, 400, 0, -800, 10]);
    let decoded = decode_sum(&sum, 1, &plan).unwrap();
    assert_eq!(decoded.values, [1.0, -2.0, 6.375, 1.0, 0.0, -2.0]);
    assert_eq!((decoded.weight, decoded.survivors), (10.0, 1));
}

#[test]
fn the_control_variate_counts_in_the_sensitivity() {
    let settings = PrivateSettings { variance: 1e-3, ..private_settings(NoiseBy::Aggregator) };
    let plan = private_plan(64, Parts::ModelAndControl { rho: 2.0 }, settings);
    // ‖Δ‖ = 3 and ‖ρ·control‖ = 4: together 5, so both are scaled by 1/5 and not each to the norm of 1.
    let (update, control) = ([3.0 / 8.0; 64], [4.0 / 16.0; 64]);
    let encoded = encode(&plan, &update, Some(&control), 1).unwrap();
    assert!((encoded.clip_factor - 0.2).abs() < 1e-5);
    let integers = encoded.vector.finish();
    let norm = integers[..128].iter().map(|&v| (v * v) as f64).sum::<f64>().sqrt();
    let bounds = integer_bounds(64.0, 128, BETA);
    assert!(norm <= bounds.l2, "expected at most {}, got {norm}", bounds.l2);
    let Event::DiscreteGaussian { l2, .. } = plan.release(10, 8).unwrap().unwrap() else { panic!("another event") };
    assert_eq!(l2, bounds.l2, "the bound is that of both parts together");
    let decoded = decode_sum(&integers, 1, &plan).unwrap();
    let shared = |part: &[f64]| part.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!((shared(&decoded.values[..64]) - 0.6).abs() < 0.2);
    assert!((shared(&decoded.values[64..]) - 0.8).abs() < 0.2);
}

#[test]
fn distributed_noise_reaches_its_variance_among_the_honest() {
    let plan = private_plan(4096, Parts::Model, private_settings(NoiseBy::Participants));
    let modulus = plan.modulus(10, 8, 1).unwrap();
    let (mut sum, mut rng) = (Accumulator::new(plan.vector_entries(), modulus), rng());
    for _ in 0..8 {
        let encoded = encode_update(&Flat(vec![0.0; 4096]), None, 1, &plan, 8, modulus, &mut rng).unwrap();
        sum.add(&encoded.vector.clone().to_packed()).unwrap();
    }
    let sum = sum.finish();
    let variance = sum[..4096].iter().map(|&v| (v * v) as f64).sum::<f64>() / 4096.0;
    assert!((800.0..1100.0).contains(&variance), "expected about 900, got {variance}");
    assert_eq!(decode_sum(&sum, 8, &plan).unwrap().weight, 8.0);
    assert!(matches!(plan.release(10, 8).unwrap(), Some(Event::Skellam { variance: 900.0, .. })));
}

#[test]
fn the_bit_of_the_adaptive_clip_is_noised_and_charged() {
    let settings = PrivateSettings { bit_variance: Some(4.0), ..private_settings(NoiseBy::Participants) };
    let plan = private_plan(16, Parts::Model, settings);
    assert_eq!(plan.vector_entries(), 18);
    let sum = encode(&plan, &[0.0; 16], None, 1).unwrap().vector.finish();
    assert_eq!(within_clip(&sum, &plan), Some(sum[17]));
    let Some(Event::Composed(events)) = plan.release(10, 8).unwrap() else { panic!("one event alone") };
    assert_eq!(events.len(), 2);
    let central = PrivateSettings { noise: NoiseBy::Aggregator, ..settings };
    assert!(matches!(private_plan(16, Parts::Model, central).check(), Err(EncodeError::Setting { .. })));
}

#[test]
fn central_noise_spares_the_weight() {
    let plan = private_plan(512, Parts::Model, private_settings(NoiseBy::Aggregator));
    let mut sum = encode(&plan, &[0.0; 512], None, 1).unwrap().vector.finish();
    add_central_noise(&mut sum, &plan, &mut rng()).unwrap();
    assert_eq!(sum[512], 1);
    let variance = sum[..512].iter().map(|&v| (v * v) as f64).sum::<f64>() / 512.0;
    assert!((600.0..1300.0).contains(&variance), "expected about 900, got {variance}");
    assert!(add_central_noise(&mut sum[1..], &plan, &mut rng()).is_err());
    assert!(add_central_noise(&mut [0; 2], &plain_plan(1, Parts::Model), &mut rng()).is_err());
}

#[test]
fn bad_updates_are_named() {
    let plans = [plain_plan(3, Parts::Model), private_plan(3, Parts::Model, private_settings(NoiseBy::Participants))];
    for plan in plans {
        let error = |update: &[f32]| encode(&plan, update, None, 1).unwrap_err();
        assert!(matches!(error(&[0.0, f32::NAN, 0.0]), EncodeError::NotFinite { entry: 1, .. }));
        assert!(matches!(error(&[0.0, 0.0, f32::NEG_INFINITY]), EncodeError::NotFinite { entry: 2, .. }));
        assert!(matches!(error(&[0.0, 3e38, 0.0]), EncodeError::Huge { entry: 1, got, .. } if got == 3e38));
        assert_eq!(error(&[0.0; 2]), EncodeError::Length { what: "the update", expected: 3, got: 2 });
        assert_eq!(encode(&plan, &[0.0; 3], Some(&[0.0; 3]), 1).unwrap_err(), EncodeError::Control { expected: false });
        assert_eq!(
            encode(&plan, &[0.0; 3], None, 0).unwrap_err(),
            EncodeError::Weight { limit: plan.weight_cap(), got: 0 }
        );
        assert!(encode(&plan, &[0.0; 3], None, 1001).is_err(), "above the cap");
        let small = Modulus::new(2).unwrap();
        let refused = encode_update(&Flat(vec![0.0; 3]), None, 1, &plan, 8, small, &mut rng());
        assert!(matches!(refused, Err(EncodeError::Modulus { got: 2, .. })));
    }
    let scaffold = plain_plan(1, Parts::ModelAndControl { rho: 1.0 });
    assert_eq!(encode(&scaffold, &[0.0], None, 1).unwrap_err(), EncodeError::Control { expected: true });
    let error = encode(&scaffold, &[0.0], Some(&[f32::NAN]), 1).unwrap_err();
    assert!(matches!(error, EncodeError::NotFinite { what: "the control variate", .. }));
}

#[test]
fn a_sum_that_cannot_be_is_refused() {
    let plan = plain_plan(2, Parts::Model);
    assert_eq!(decode_sum(&[0; 4], 1, &plan), Err(DecodeError::Length { expected: 3, got: 4 }));
    assert!(matches!(decode_sum(&[0, 0, 0], 0, &plan), Err(DecodeError::Weight { .. })));
    assert!(matches!(decode_sum(&[0, 0, 2], 3, &plan), Err(DecodeError::Weight { least: 3, most: 3000, .. })));
    assert!(matches!(decode_sum(&[0, 0, 3001], 3, &plan), Err(DecodeError::Weight { .. })));
    assert!(matches!(decode_sum(&[0, -256, 1], 1, &plan), Err(DecodeError::OutOfRange { entry: 1, limit: 255, .. })));
}

#[test]
fn huge_but_finite_numbers_below_the_limit_are_clipped() {
    let plan = private_plan(3, Parts::Model, private_settings(NoiseBy::Aggregator));
    let encoded = encode(&plan, &[1e5, 0.0, 0.0], None, 1).unwrap();
    assert!(norm_l2(&[1e5, 0.0, 0.0]).unwrap() * encoded.clip_factor <= 1.0 + 1e-6);
}

#[test]
fn values_and_bits_of_all_cohorts_together_overflow_within_the_rounds_limit() {
    let (n, honest, entries) = (40_u16, 30_u16, 1_000);
    let total = |variance: f64| f64::from(n) * variance / f64::from(honest);
    // Scales and noises on both sides of where a bit more is needed.
    for at in 0..400 {
        for cohorts in [1_u16, 16, 64] {
            let grown = 1.02_f64.powi(at);
            let (variance, bit_variance) = (grown, 3.0 * grown);
            let settings = PrivateSettings {
                scale: 16.0 * grown,
                variance,
                bit_variance: Some(bit_variance),
                ..private_settings(NoiseBy::Participants)
            };
            let plan = private_plan(entries, Parts::Model, settings);
            let bits = plan.modulus(n, honest, cohorts).unwrap().bits();
            let block = neuro_privacy::Rotation::new(&Hash::of(b"seed"), entries).block();
            let values = overflow_log2(n, settings.scale, block, entries, total(variance), bits);
            let bit = overflow_log2(n, 1.0, 1, 1, total(bit_variance), bits);
            let together = f64::from(cohorts) * (values.exp2() + bit.exp2());
            assert!(together <= OVERFLOW_LOG2.exp2(), "{cohorts} cohorts, scale {}: {together:e}", settings.scale);
        }
    }
}
