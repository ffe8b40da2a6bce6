//! Private mode from end to end: every participant adds its part of the noise, the sum under masks is the plain sum of the
//! vectors with noise, and what it costs is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::Cell;

use neuro_fl_aggregator::update::{NoiseBy, PrivateSettings};
use neuro_fl_aggregator::{EncodingPlan, Flat, SignedSettings, StrategySettings, decode_sum, encode_update};
use neuro_primitives::Hash;
use neuro_privacy::{Accountant, NoiseRng, RdpAccountant};
use neuro_secagg::aggregator::ModulusRule;
use neuro_secagg::config::RoundConfig;
use neuro_secagg::packing::Modulus;
use neuro_simulation::{
    CohortReport, Losses, NormalUpdates, PrivateUpdates, Restarts, Simulation, SimulationPlan, Updates,
};

const ENTRIES: usize = 600;
/// No update of [`NormalUpdates`] is longer: √600 · 0.1 is 2.4.
const CLIP: f64 = 4.0;
const SCALE: f64 = 256.0;
/// μ, units²: the standard deviation of the noise in a sum is twice what one participant can move it by.
const VARIANCE: f64 = (2.0 * CLIP * SCALE) * (2.0 * CLIP * SCALE);
const DELTA: f64 = 1e-5;

/// Normal updates with noise, and what the last sum's errors were.
struct Noised {
    updates: NormalUpdates,
    /// The root of the mean squared error, in standard deviations of what is expected.
    deviations: Cell<f64>,
}

impl Noised {
    fn new(plan: &SimulationPlan) -> Self {
        Self { updates: NormalUpdates::new(plan, 7), deviations: Cell::new(f64::NAN) }
    }

    fn update(&self, participant: u32) -> Vec<f32> {
        let mut values = vec![0.0; ENTRIES];
        self.updates.fill(participant, 0, &mut values);
        values
    }
}

impl Updates for Noised {
    fn weight(&self, _participant: u32) -> u32 {
        1
    }

    fn fill(&self, participant: u32, first: usize, out: &mut [f32]) {
        self.updates.fill(participant, first, out);
    }

    fn private(&self) -> Option<&dyn PrivateUpdates> {
        Some(self)
    }
}

fn modulus(config: &RoundConfig, n: u16, rostered: u32) -> Option<u8> {
    let honest = config.demand(n, rostered).honest_at_least();
    EncodingPlan::of(config).ok()?.modulus(n, honest, config.cohorts).ok().map(Modulus::bits)
}

impl PrivateUpdates for Noised {
    fn settings(&self) -> Vec<u8> {
        let rotation = Hash([0; 32]);
        let (clip, scale, variance) = (CLIP, SCALE, VARIANCE);
        PrivateSettings {
            noise: NoiseBy::Participants,
            clip,
            scale,
            variance,
            bit_variance: None,
            delta: DELTA,
            rotation,
        }
        .encode()
    }

    fn strategy_settings(&self) -> Vec<u8> {
        SignedSettings::of(StrategySettings::FedAvg { rate: 1.0 }).encode()
    }

    fn modulus_rule(&self) -> ModulusRule {
        modulus
    }

    fn vector(
        &self,
        config: &RoundConfig,
        participant: u32,
        modulus: Modulus,
        honest_at_least: u16,
    ) -> Result<Vec<i64>, String> {
        let plan = EncodingPlan::of(config).map_err(|error| error.to_string())?;
        let mut rng = NoiseRng::from_seed(&Hash::of(&participant.to_le_bytes()).0);
        let update = Flat(self.update(participant));
        let encoded = encode_update(&update, None, 1, &plan, honest_at_least, modulus, &mut rng);
        Ok(encoded.map_err(|error| error.to_string())?.vector.finish())
    }

    fn max_abs_error(&self, config: &RoundConfig, survivors: &[u32], sum: &[i64]) -> Result<f64, String> {
        let plan = EncodingPlan::of(config).map_err(|error| error.to_string())?;
        let decoded = decode_sum(sum, survivors.len() as u32, &plan).map_err(|error| error.to_string())?;
        let mut errors: Vec<f64> = decoded.values.iter().map(|sum| sum / survivors.len() as f64).collect();
        for &participant in survivors {
            let update = self.update(participant);
            let share = |value: &f32| f64::from(*value) / survivors.len() as f64;
            errors.iter_mut().zip(&update).for_each(|(error, value)| *error -= share(value));
        }
        let mean_square = errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64;
        let n = config.most_members;
        let honest = f64::from(config.demand(n, n.into()).honest_at_least());
        let survivors = survivors.len() as f64;
        // Each survivor adds μ/(n − d − c), and up to a quarter by rounding.
        let expected = survivors * (VARIANCE / honest + 0.25);
        self.deviations.set(mean_square.sqrt() / (expected.sqrt() / (SCALE * survivors)));
        Ok(errors.iter().map(|error| error.abs()).fold(0.0, f64::max))
    }

    fn epsilon(&self, config: &RoundConfig, members: u16, honest_at_least: u16) -> f64 {
        let release = || {
            let event = EncodingPlan::of(config).ok()?.release(members, honest_at_least).ok()??;
            let mut accountant = RdpAccountant::new();
            accountant.compose(&event, 1).ok()?;
            accountant.epsilon(DELTA).ok()
        };
        release().unwrap_or(f64::INFINITY)
    }
}

fn plan(losses: Losses, restarts: bool) -> SimulationPlan {
    SimulationPlan {
        losses,
        dropout_bps: 2_000,
        weights: (1, 1),
        scale: SCALE,
        restarts: Restarts { participants: restarts, aggregator: restarts },
        ..SimulationPlan::new(20, ENTRIES as u32)
    }
}

fn run(plan: &SimulationPlan) -> (CohortReport, f64) {
    let noised = Noised::new(plan);
    let mut report = Simulation::run_with(plan, 11, &noised, &mut |_| {}).unwrap();
    (report.cohorts.remove(0), noised.deviations.get())
}

#[test]
fn the_masked_sum_is_that_of_the_vectors_with_noise_and_the_mean_is_as_far_off_as_the_noise_says() {
    let (cohort, deviations) = run(&plan(Losses::default(), false));
    assert_eq!((cohort.end.as_str(), cohort.survivors, cohort.weight), ("Done", 20, Some(20)));
    // There is noise, and not more than was asked for: 600 entries are within a tenth of their deviation.
    assert!((0.9..1.1).contains(&deviations), "{deviations}");
    // The greatest of 600 normal errors is beyond 5.5 deviations once in a hundred thousand times.
    let deviation = (20.0 * VARIANCE / 14.0).sqrt() / (SCALE * 20.0);
    assert!(cohort.max_abs_error.is_some_and(|error| error < 5.5 * deviation), "{:?}", cohort.max_abs_error);
    assert!(cohort.modulus_bits > 9 + 5, "the margin for the noise: {}", cohort.modulus_bits);
}

#[test]
fn the_lost_take_their_noise_with_them_and_both_sides_may_start_again() {
    let losses = Losses { upload: 3, vote: 1, ..Losses::default() };
    let (cohort, deviations) = run(&plan(losses, true));
    assert_eq!((cohort.end.as_str(), cohort.survivors, cohort.weight), ("Done", 17, Some(17)));
    assert!((0.9..1.1).contains(&deviations), "{deviations}");
}

#[test]
fn participants_are_told_the_epsilon_of_noise_that_was_sized_for_who_stays_honest() {
    let plan = plan(Losses::default(), false);
    let (cohort, _) = run(&plan);
    let told = cohort.epsilon.unwrap();
    // Gaussian noise of twice the sensitivity costs 2.24 at this δ; rounding and the dropouts counted add a little.
    assert!((2.0..3.0).contains(&told), "{told}");
    // Without noise it is infinite.
    let (report, plain) = (Simulation::run(&SimulationPlan::new(10, 20), 1).unwrap(), f64::INFINITY);
    assert_eq!(report.cohorts[0].epsilon, Some(plain));
}
