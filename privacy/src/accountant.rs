//! What is released, and who counts it.

use serde::{Deserialize, Serialize};

use crate::error::{EventError, QueryError};
use crate::rounding::IntegerBounds;

/// Events may hold events this deep: a task of rounds of cohorts, and room to spare.
const MAX_DEPTH: u32 = 8;

/// One noisy release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Continuous Gaussian noise of standard deviation `noise_multiplier`·Δ₂ = z·Δ₂.
    Gaussian {
        /// z.
        noise_multiplier: f64,
    },
    /// Discrete Gaussian noise on each entry of a vector of integers.
    DiscreteGaussian {
        /// σ², in units².
        sigma2: f64,
        /// Δ₂, in units.
        l2: f64,
    },
    /// Discrete Gaussian noise on one integer. A case of its own because one dimension has a worst pair.
    DiscreteGaussianScalar {
        /// σ², in units².
        sigma2: f64,
        /// Δ, in units.
        sensitivity: u32,
    },
    /// Skellam noise on each entry of a vector of integers.
    Skellam {
        /// μ, the variance of the honest noise in the sum, in units².
        variance: f64,
        /// Sensitivities, in units.
        bounds: IntegerBounds,
        /// log2 of the distance of the whole sum's noise from Skellam noise.
        distance_log2: f64,
    },
    /// Releases together, each as often as it says.
    Composed(Vec<(Event, u32)>),
}

impl Event {
    /// Whether every number in the event makes sense.
    ///
    /// # Errors
    /// Names the first number that does not.
    pub fn check(&self) -> Result<(), EventError> {
        self.visit(&mut |_, _| Ok(()))
    }

    /// Calls `count` with each simple event in this one and how often it happens, all of them checked.
    ///
    /// # Errors
    /// Of the check or of `count`.
    pub(crate) fn visit<F>(&self, count: &mut F) -> Result<(), EventError>
    where
        F: FnMut(&Event, u64) -> Result<(), EventError>,
    {
        self.visit_at(0, 1, count)
    }

    fn visit_at<F>(&self, depth: u32, times: u64, count: &mut F) -> Result<(), EventError>
    where
        F: FnMut(&Event, u64) -> Result<(), EventError>,
    {
        let Self::Composed(parts) = self else {
            self.check_simple()?;
            return count(self, times);
        };
        if depth == MAX_DEPTH {
            return Err(EventError::TooDeep { limit: MAX_DEPTH });
        }
        parts
            .iter()
            .filter(|(_, each)| *each > 0)
            .try_for_each(|(part, each)| part.visit_at(depth + 1, times.saturating_mul(u64::from(*each)), count))
    }

    fn check_simple(&self) -> Result<(), EventError> {
        match *self {
            Self::Gaussian { noise_multiplier } => positive("the noise multiplier", noise_multiplier),
            Self::DiscreteGaussian { sigma2, l2 } => {
                positive("σ²", sigma2)?;
                length("Δ₂", l2)
            }
            Self::DiscreteGaussianScalar { sigma2, .. } => positive("σ²", sigma2),
            Self::Skellam { variance, bounds, distance_log2 } => {
                positive("the Skellam variance", variance)?;
                length("Δ₁", bounds.l1)?;
                length("Δ₂", bounds.l2)?;
                distance("the distance's log2", distance_log2)
            }
            Self::Composed(_) => Ok(()),
        }
    }

    /// The event's kind, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Gaussian { .. } => "Gaussian noise",
            Self::DiscreteGaussian { .. } => "discrete Gaussian noise on a vector",
            Self::DiscreteGaussianScalar { .. } => "discrete Gaussian noise on one integer",
            Self::Skellam { .. } => "Skellam noise on a vector",
            Self::Composed(_) => "a composition",
        }
    }
}

/// Adds up events. Both accountants bound the same thing; the lower of two bounds holds.
pub trait Accountant {
    /// Adds `times` releases of `event`.
    ///
    /// # Errors
    /// When a number of the event makes no sense, or this accountant has no bound for its kind. Nothing is then added.
    fn compose(&mut self, event: &Event, times: u32) -> Result<(), EventError>;

    /// The least ε known for `delta`; infinite if there is none.
    ///
    /// # Errors
    /// When `delta` does not lie between 0 and 1.
    fn epsilon(&self, delta: f64) -> Result<f64, QueryError>;

    /// The least δ known for `epsilon`, at most 1.
    ///
    /// # Errors
    /// When `epsilon` is negative, NaN or infinite.
    fn delta(&self, epsilon: f64) -> Result<f64, QueryError>;
}

/// What a task has cost so far, as it is kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// ε at `delta`.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
    /// Releases counted.
    pub releases: u32,
}

/// `delta`, if it is one.
pub(crate) fn check_delta(delta: f64) -> Result<(), QueryError> {
    if delta > 0.0 && delta < 1.0 { Ok(()) } else { Err(QueryError::Delta { got: delta }) }
}

/// `epsilon`, if it is one.
pub(crate) fn check_epsilon(epsilon: f64) -> Result<(), QueryError> {
    if epsilon >= 0.0 && epsilon.is_finite() { Ok(()) } else { Err(QueryError::Epsilon { got: epsilon }) }
}

fn positive(name: &'static str, got: f64) -> Result<(), EventError> {
    let fine = got > 0.0 && got.is_finite();
    if fine { Ok(()) } else { Err(EventError::OutOfRange { name, expected: "above 0 and finite", got }) }
}

fn length(name: &'static str, got: f64) -> Result<(), EventError> {
    let fine = got >= 0.0 && got.is_finite();
    if fine { Ok(()) } else { Err(EventError::OutOfRange { name, expected: "of at least 0 and finite", got }) }
}

/// −∞ is fine: no distance at all.
fn distance(name: &'static str, got: f64) -> Result<(), EventError> {
    if got <= 0.0 { Ok(()) } else { Err(EventError::OutOfRange { name, expected: "of at most 0", got }) }
}

#[cfg(test)]
mod tests;
