//! Honest noise against what cheats do.

use proptest::prelude::*;

use super::*;

/// Numbers that follow from a seed: `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((mixed ^ (mixed >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// An honest error of some engine: small, with tails light or heavy, around zero or not.
    fn honest(&mut self, noise: Noise) -> RowError {
        let (size, lean) = match noise {
            Noise::Normal => (self.normal().abs(), self.normal()),
            Noise::Heavy => ((1.5 * self.normal()).exp(), self.normal() / self.unit().sqrt()),
            Noise::Biased => (1.0 + 0.1 * self.normal().abs(), 3.0 + 0.2 * self.normal()),
            Noise::Exact => (0.0, 0.0),
        };
        RowError { size_ppb: (size * 1_000.0) as u64, lean_ppb: (lean * 1_000.0) as i64 }
    }

    fn calibration(&mut self, noise: Noise) -> Calibration {
        let rows: Vec<RowError> = (0..CALIBRATION_ROWS).map(|_| self.honest(noise)).collect();
        Calibration::of(&rows).expect("enough rows")
    }
}

#[derive(Debug, Clone, Copy)]
enum Noise {
    Normal,
    Heavy,
    Biased,
    Exact,
}

const NOISES: [Noise; 4] = [Noise::Normal, Noise::Heavy, Noise::Biased, Noise::Exact];

/// Results until the alarm, if it comes within `most`.
fn caught(honest: &Calibration, most: usize, mut next: impl FnMut(usize) -> RowError) -> Option<usize> {
    let mut drift = Drift::default();
    (1..=most).find(|number| drift.take(next(*number), honest))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// 50 workers with 2,000 results each: a chance of at most one in ten for one alarm, and far below 10^-3 for three.
    #[test]
    fn honest_noise_alarms_no_more_than_stated(seed: u64) {
        for noise in NOISES {
            let mut dice = Dice(seed);
            let honest = dice.calibration(noise);
            let alarms = (0..50).filter(|_| caught(&honest, 2_000, |_| dice.honest(noise)).is_some()).count();
            prop_assert!(alarms < 3, "{alarms} of 50 with {noise:?}");
        }
    }

    #[test]
    fn honest_rows_are_hardly_ever_beyond_the_tolerance(seed: u64) {
        let mut dice = Dice(seed);
        let honest = dice.calibration(Noise::Normal);
        let beyond = (0..2_000).filter(|_| dice.honest(Noise::Normal).size_ppb > honest.tolerance_ppb).count();
        prop_assert_eq!(beyond, 0);
    }

    /// Always at 0.8 of the tolerance, in one direction or in changing ones: every result is tolerated.
    #[test]
    fn who_stays_just_inside_the_tolerance_is_caught_within_twenty_results(seed: u64, sign in 0..3_i64) {
        for noise in [Noise::Normal, Noise::Heavy, Noise::Biased] {
            let honest = Dice(seed).calibration(noise);
            let size_ppb = honest.tolerance_ppb / 10 * 8;
            let lean = |number: usize| match sign {
                0 => size_ppb as i64,
                1 => -(size_ppb as i64),
                _ => if number.is_multiple_of(2) { size_ppb as i64 } else { -(size_ppb as i64) },
            };
            let cheat = |number| RowError { size_ppb, lean_ppb: lean(number) };
            let deviation = Deviation { worst_ppb: size_ppb, drawn: cheat(1) };
            prop_assert!(honest.tolerates(&deviation));
            let number = caught(&honest, 100, cheat);
            prop_assert!(number.is_some_and(|number| number <= 20), "{number:?} with {noise:?}");
        }
    }

    /// Its errors are honest ones, moved by the width of half of them.
    #[test]
    fn a_small_lean_is_caught_within_some_hundred_results(seed: u64) {
        let mut dice = Dice(seed);
        let honest = dice.calibration(Noise::Normal);
        let number = caught(&honest, 600, |_| {
            let error = dice.honest(Noise::Normal);
            RowError { lean_ppb: error.lean_ppb + 1_349, ..error }
        });
        prop_assert!(number.is_some(), "not within 600");
    }

    #[test]
    fn a_scaled_row_leans_by_its_scale(values in prop::collection::vec(-100.0_f32..100.0, 4..64), percent in 1_i64..50) {
        prop_assume!(values.iter().any(|value| value.abs() > 1.0));
        let scaled: Vec<f32> = values.iter().map(|value| value * (1.0 + percent as f32 / 100.0)).collect();
        let error = RowError::between(&scaled, &values);
        let expected = percent * 10_000_000;
        prop_assert!((error.lean_ppb - expected).abs() < 1_000, "{error:?}");
        prop_assert!((error.size_ppb as i64 - expected).abs() < 1_000, "{error:?}");
    }
}

#[test]
fn the_worst_row_decides_and_a_drawn_one_is_told() {
    let other = [3.0, 4.0, 0.0, 1.0, 2.0, 0.0];
    let mut own = other;
    own[3] = 1.1;
    let deviation = Deviation::between(&own, &other, 2, 4);
    assert!((99_999_000..100_001_000).contains(&deviation.worst_ppb), "{deviation:?}");
    assert_eq!(deviation.drawn.size_ppb, deviation.worst_ppb, "row 4 % 3");
    assert_eq!(Deviation::between(&own, &other, 2, 0).drawn, RowError::default());
}

#[test]
fn what_cannot_be_compared_is_beyond_every_tolerance() {
    let honest = Dice(1).calibration(Noise::Heavy);
    for (own, other) in [
        (&[f32::NAN, 1.0][..], &[1.0, 1.0][..]),
        (&[1.0, 1.0], &[0.0, 0.0]),
        (&[f32::INFINITY, 1.0], &[1.0, 1.0]),
        (&[1.0, 1.0, 1.0], &[1.0, 1.0]),
    ] {
        assert!(!honest.tolerates(&Deviation::between(own, other, 2, 0)), "{own:?}");
    }
    assert!(honest.tolerates(&Deviation::between(&[0.0; 4], &[0.0; 4], 2, 0)));
}

#[test]
fn too_few_rows_are_no_calibration() {
    let rows = [RowError::default(); CALIBRATION_ROWS - 1];
    assert_eq!(Calibration::of(&rows), Err(TooFewRows { got: CALIBRATION_ROWS - 1 }));
}

#[test]
fn a_table_knows_the_classes_that_it_was_given() {
    let pair = |engine: &str| EnginePair { engine: engine.into(), reference: "native".into(), weights: "q4_0".into() };
    let [normal, heavy] = [Noise::Normal, Noise::Heavy].map(|noise| Dice(7).calibration(noise));
    let table = ToleranceTable::new(vec![(pair("libtorch"), heavy), (pair("cuda"), normal), (pair("cuda"), heavy)]);
    let of = |engine: &str| table.class(&pair(engine)).and_then(|class| table.calibration(class)).copied();
    assert_eq!((of("cuda"), of("libtorch"), of("metal")), (Some(normal), Some(heavy), None));
}
