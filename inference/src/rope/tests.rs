//! Rotations by hand, and frequencies against those of `transformers`.

use neuro_model::RopeScaling;

use super::*;

fn settings(theta: f64) -> RopeSettings {
    RopeSettings { theta, pairing: RopePairing::Halves, scaling: RopeScaling::None }
}

/// gpt-oss's stretch, with the ends of the ramp where they fall.
const GPT_OSS: RopeSettings = RopeSettings {
    theta: 150_000.0,
    pairing: RopePairing::Halves,
    scaling: RopeScaling::Yarn {
        factor: 32.0,
        original_context: 4096.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: false,
        attention_factor: 1.346_573_590_279_972_7,
        score_factor: 1.0,
    },
};

/// DeepSeek-V3's, with the ends rounded.
const DEEPSEEK: RopeSettings = RopeSettings {
    theta: 10_000.0,
    pairing: RopePairing::Neighbours,
    scaling: RopeScaling::Yarn {
        factor: 40.0,
        original_context: 4096.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: true,
        attention_factor: 1.0,
        score_factor: 1.5,
    },
};

#[test]
fn position_zero_turns_nothing() {
    for pairing in [RopePairing::Halves, RopePairing::Neighbours] {
        let mut row = [0.5, -1.0, 2.0, 3.0];
        Rope::new(4, &RopeSettings { pairing, ..settings(10_000.0) }).rotation(0..1).apply(0, &mut row);
        assert_eq!(row, [0.5, -1.0, 2.0, 3.0]);
    }
}

#[test]
fn pairs_are_turned_by_position_times_frequency() {
    // Width 4, theta 100: frequencies 1 and 0.1.
    let (first, second) = ((libm::cos(7.0), libm::sin(7.0)), (libm::cos(0.7), libm::sin(0.7)));
    let check = |pairing, mut row: [f32; 4], expected: [f64; 4]| {
        Rope::new(4, &RopeSettings { pairing, ..settings(100.0) }).rotation(5..8).apply(2, &mut row);
        for (got, expected) in row.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-6, "{pairing:?}: expected {expected}, got {got}");
        }
    };
    check(RopePairing::Halves, [1.0, 1.0, 0.0, 0.0], [first.0, second.0, first.1, second.1]);
    check(RopePairing::Neighbours, [1.0, 0.0, 1.0, 0.0], [first.0, first.1, second.0, second.1]);
}

#[test]
fn neighbours_are_halves_in_another_order() {
    let rotated = |pairing, mut row: [f32; 8]| {
        Rope::new(8, &RopeSettings { pairing, ..settings(1e4) }).rotation(0..20).apply(17, &mut row);
        row
    };
    let halves = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
    let order = [0, 4, 1, 5, 2, 6, 3, 7];
    let neighbours = rotated(RopePairing::Neighbours, order.map(|index| halves[index]));
    let halves = rotated(RopePairing::Halves, halves);
    assert_eq!(neighbours, order.map(|index| halves[index]));
}

#[test]
fn a_dot_product_depends_on_the_distance_alone() {
    let rotation = Rope::new(8, &settings(10_000.0)).rotation(0..40);
    let score = |query_at: usize, key_at: usize| {
        let mut query = [0.3, -0.2, 0.9, 0.1, 0.5, 0.4, -0.7, 0.8];
        let mut key = [0.1, 0.6, -0.3, 0.2, 0.9, -0.5, 0.4, 0.7];
        rotation.apply(query_at, &mut query);
        rotation.apply(key_at, &mut key);
        crate::sums::dot(&query, &key)
    };
    assert!((score(9, 4) - score(37, 32)).abs() < 1e-5);
    assert!((score(9, 4) - score(9, 5)).abs() > 1e-3);
}

#[test]
fn a_run_of_positions_has_the_bits_of_its_parts() {
    let rope = Rope::new(16, &settings(1e6));
    let whole = rope.rotation(0..50).turns;
    let mut parts = rope.rotation(0..13).turns;
    parts.extend(rope.rotation(13..50).turns);
    assert_eq!(whole, parts);
}

#[test]
fn stretched_frequencies_are_those_of_transformers() {
    let linear = RopeSettings { scaling: RopeScaling::Linear { factor: 4.0 }, ..settings(10_000.0) };
    for (width, settings, expected) in
        [(64, GPT_OSS, GPT_OSS_FREQUENCIES.as_slice()), (64, DEEPSEEK, &DEEPSEEK_FREQUENCIES), (32, linear, &LINEAR)]
    {
        let rope = Rope::new(width, &settings);
        assert_eq!(rope.frequencies.len(), expected.len());
        for (pair, (got, expected)) in rope.frequencies.iter().zip(expected).enumerate() {
            let difference = (f64::from(*got) / expected - 1.0).abs();
            assert!(difference < 1e-6, "{settings:?}, pair {pair}: expected {expected}, got {got}");
        }
    }
}

#[test]
fn the_stretch_scales_sines_cosines_and_scores() {
    let mut row = [1.0; 64];
    Rope::new(64, &GPT_OSS).rotation(0..1).apply(0, &mut row);
    assert_eq!(row, [1.346_573_6; 64]);
    assert_eq!([score_factor(DEEPSEEK.scaling), score_factor(RopeScaling::None)], [1.5, 1.0]);
}

#[test]
fn a_ramp_without_length_is_a_step() {
    let scaling = RopeScaling::Yarn {
        factor: 8.0,
        original_context: 64.0,
        beta_fast: 2.0,
        beta_slow: 2.0,
        truncate: false,
        attention_factor: 1.0,
        score_factor: 1.0,
    };
    let (plain, stretched) =
        (Rope::new(16, &settings(100.0)), Rope::new(16, &RopeSettings { scaling, ..settings(100.0) }));
    let ratios: Vec<f32> = plain.frequencies.iter().zip(&stretched.frequencies).map(|(p, s)| p / s).collect();
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 1e-5 || (ratio - 8.0).abs() < 1e-4), "{ratios:?}");
    assert!(ratios[0] < 2.0 && ratios[7] > 7.0, "{ratios:?}");
}

/// gpt-oss: ROPE_INIT_FUNCTIONS["yarn"] of transformers 5.23, head_dim 64.
const GPT_OSS_FREQUENCIES: [f64; 32] = [
    1.00000000e+00,
    6.89044297e-01,
    4.74782050e-01,
    3.27145875e-01,
    2.25418001e-01,
    1.55322984e-01,
    1.07024424e-01,
    7.37445652e-02,
    5.08132726e-02,
    3.17056961e-02,
    1.93349998e-02,
    1.15920492e-02,
    6.79495931e-03,
    3.86035908e-03,
    2.09379266e-03,
    1.05260219e-03,
    4.56483918e-04,
    1.29318694e-04,
    3.83088118e-05,
    2.63964685e-05,
    1.81883370e-05,
    1.25325696e-05,
    8.63549576e-06,
    5.95023948e-06,
    4.09997847e-06,
    2.82506676e-06,
    1.94659629e-06,
    1.34129095e-06,
    9.24208962e-07,
    6.36820914e-07,
    4.38797855e-07,
    3.02351140e-07,
];

/// DeepSeek-V3: the same, qk_rope_head_dim 64.
const DEEPSEEK_FREQUENCIES: [f64; 32] = [
    1.00000000e+00,
    7.49894202e-01,
    5.62341332e-01,
    4.21696514e-01,
    3.16227764e-01,
    2.37137362e-01,
    1.77827939e-01,
    1.33352146e-01,
    1.00000001e-01,
    7.49894157e-02,
    5.62341288e-02,
    3.90069261e-02,
    2.68793609e-02,
    1.83781441e-02,
    1.24479560e-02,
    8.33450910e-03,
    5.50000044e-03,
    3.56199732e-03,
    2.24936521e-03,
    1.37051346e-03,
    7.90569407e-04,
    4.14990413e-04,
    1.77827940e-04,
    3.33380340e-05,
    2.49999994e-05,
    1.87473543e-05,
    1.40585325e-05,
    1.05424124e-05,
    7.90569447e-06,
    5.92843435e-06,
    4.44569832e-06,
    3.33380353e-06,
];

/// ROPE_INIT_FUNCTIONS["linear"], head_dim 32, factor 4.
const LINEAR: [f64; 16] = [
    2.50000000e-01,
    1.40585333e-01,
    7.90569410e-02,
    4.44569848e-02,
    2.50000004e-02,
    1.40585322e-02,
    7.90569466e-03,
    4.44569858e-03,
    2.49999994e-03,
    1.40585331e-03,
    7.90569466e-04,
    4.44569858e-04,
    2.50000012e-04,
    1.40585325e-04,
    7.90569466e-05,
    4.44569851e-05,
];
