//! The runs of the benchmark: each strategy with its numbers, and one with noise.

use crate::participant::LocalSettings;
use crate::perceptron::ENTRIES;
use neuro_fl_aggregator::strategy::AdaptiveRule;
use neuro_fl_aggregator::update::{NoiseBy, PrivateSettings};
use neuro_fl_aggregator::{EncodingMode, EncodingPlan, StrategySettings};
use neuro_primitives::Hash;
use neuro_secagg::quantise::{Grid, QuantiseError};

/// Five passes over 29 examples, on average.
const LOCAL: LocalSettings = LocalSettings { epochs: 5, batch: 8, rate: 0.1 };
/// b: value bits.
const VALUE_BITS: u8 = 16;
/// Updates beyond this are clamped.
const RANGE: f64 = 2.0;
/// W: no participant counts for more examples.
const WEIGHT_CAP: u32 = 255;

/// One run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name in files.
    pub name: &'static str,
    /// The strategy.
    pub strategy: StrategySettings,
    /// How participants train.
    pub local: LocalSettings,
    /// The noise; none: plain updates, weighted by examples.
    pub noise: Option<Noise>,
}

/// Distributed Skellam noise.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// c, the L2 norm of an update.
    pub clip: f64,
    /// s, units per 1.0.
    pub scale: f64,
    /// z: the noise in the sum has variance (z·s·c)².
    pub multiplier: f64,
    /// δ at which ε is told.
    pub delta: f64,
}

/// Every run, in the order of the record.
#[must_use]
pub fn all() -> Vec<Run> {
    let adaptive = |rule, rate| StrategySettings::Adaptive { rule, rate, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
    let run = |name, strategy| Run { name, strategy, local: LOCAL, noise: None };
    vec![
        run("fed_avg", StrategySettings::FedAvg { rate: 1.0 }),
        run("fed_prox", StrategySettings::FedProx { rate: 1.0, mu: 0.1 }),
        run("fed_adagrad", adaptive(AdaptiveRule::Adagrad, 0.1)),
        run("fed_adam", adaptive(AdaptiveRule::Adam, 0.02)),
        run("fed_yogi", adaptive(AdaptiveRule::Yogi, 0.02)),
        run("scaffold", StrategySettings::Scaffold { rate: 1.0, rho: 0.1 }),
        run("fed_buff", StrategySettings::FedBuff { rate: 1.0, most_staleness: 3 }),
        Run { noise: Some(NOISE), ..run("fed_avg_private", StrategySettings::FedAvg { rate: 1.0 }) },
    ]
}

/// 1,024 units for the whole norm: then the rounding of 2,410 entries adds 5 % to the sensitivity.
const NOISE: Noise = Noise { clip: 1.0, scale: 1024.0, multiplier: 3.0, delta: 1e-5 };

impl Run {
    /// How this run's vectors are made in the round with id `round_id`.
    ///
    /// # Errors
    /// None for the settings of [`all`].
    pub fn encoding(&self, round_id: &[u8; 32]) -> Result<EncodingPlan, QuantiseError> {
        let mode = match self.noise {
            None => {
                let units = f64::from((1_u32 << (VALUE_BITS - 1)) - 1);
                EncodingMode::Plain { grid: Grid::new(VALUE_BITS, units / RANGE)?, weight_cap: self.weight_cap() }
            }
            Some(noise) => EncodingMode::Private(noise.settings(PrivateSettings::rotation_seed(round_id))),
        };
        Ok(EncodingPlan { entries: ENTRIES, parts: self.strategy.parts(), mode })
    }

    /// W; 1 where there is noise, and with SCAFFOLD, whose c is the plain mean of all cᵢ.
    #[must_use]
    pub fn weight_cap(&self) -> u32 {
        let equal = self.noise.is_some() || matches!(self.strategy, StrategySettings::Scaffold { .. });
        if equal { 1 } else { WEIGHT_CAP }
    }
}

impl Noise {
    fn settings(self, rotation: Hash) -> PrivateSettings {
        let variance = (self.multiplier * self.scale * self.clip).powi(2);
        let Self { clip, scale, delta, .. } = self;
        PrivateSettings { noise: NoiseBy::Participants, clip, scale, variance, bit_variance: None, delta, rotation }
    }
}
