//! Rotary frequencies, plain and stretched.

use std::f64::consts::PI;

use neuro_model::{RopeScaling, RopeSettings};

/// The frequency of every pair of a vector of `width` elements: `[width / 2]`, f32, radians per position.
pub(super) fn frequencies(width: usize, settings: &RopeSettings) -> Vec<f32> {
    let plain = |pair: usize| 1.0 / libm::pow(settings.theta, (2 * pair) as f64 / width as f64);
    let pairs = 0..width / 2;
    match settings.scaling {
        RopeScaling::None => pairs.map(|pair| plain(pair) as f32).collect(),
        RopeScaling::Linear { factor } => pairs.map(|pair| (plain(pair) / factor) as f32).collect(),
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, truncate, .. } => {
            let dimension = |rotations| dimension(width, settings.theta, rotations / original_context);
            let ramp = Ramp::new(dimension(beta_fast), dimension(beta_slow), truncate, width);
            pairs.map(|pair| ramp.blend(pair, plain(pair), plain(pair) / factor) as f32).collect()
        }
    }
}

/// What sines and cosines are multiplied by.
pub(super) const fn amplitude(scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::Yarn { attention_factor, .. } => attention_factor as f32,
        RopeScaling::None | RopeScaling::Linear { .. } => 1.0,
    }
}

/// What attention scores are multiplied by besides `1/√width`.
pub(crate) const fn score_factor(scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::Yarn { score_factor, .. } => score_factor as f32,
        RopeScaling::None | RopeScaling::Linear { .. } => 1.0,
    }
}

/// The dimension whose element turns `rotations` times in one position: a frequency solved for its place.
fn dimension(width: usize, theta: f64, rotations: f64) -> f64 {
    -(width as f64) * libm::log(rotations * 2.0 * PI) / (2.0 * libm::log(theta))
}

/// YaRN's ramp (arXiv 2309.00071, section 3.2): pairs before `low` keep their frequency, those after `high` take the
/// divided one. Both ends are clamped as if they counted single elements though they count pairs: models were trained so.
struct Ramp {
    low: f64,
    high: f64,
}

impl Ramp {
    /// A ramp from `low` to `high`, rounded outwards to whole pairs if `truncate`.
    fn new(low: f64, high: f64, truncate: bool, width: usize) -> Self {
        let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(width as f64 - 1.0));
        Self { low, high: if low == high { high + LEAST_RAMP } else { high } }
    }

    /// `kept` before the ramp, `divided` after it, and what lies between on it.
    fn blend(&self, pair: usize, kept: f64, divided: f64) -> f64 {
        let place = ((pair as f64 - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        divided * place + kept * (1.0 - place)
    }
}

/// The length of a ramp whose ends meet: anything below one pair makes it a step.
const LEAST_RAMP: f64 = 0.001;
