//! Rules that withstand some bad shards: they work on the means of whole cohorts and never on one person's update.
//!
//! Before any rule, a mean beyond the norm bound is scaled back to it: the shard may be wrong about the direction, but
//! not about the size.

mod filter_l2;
mod median;
mod trimmed_mean;

use crate::shards::LEAST_SHARDS;
pub use filter_l2::FilterL2;
pub use median::Median;
pub use trimmed_mean::TrimmedMean;

/// Means that are not combined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RobustError {
    /// Too few of them.
    #[error("expected the means of at least {LEAST_SHARDS} shards, got {got}")]
    TooFewShards {
        /// How many came.
        got: usize,
    },
    /// Means of different lengths.
    #[error("expected {expected} entries from shard {shard}, got {got}")]
    Length {
        /// Which shard.
        shard: usize,
        /// What the first shard has.
        expected: usize,
        /// What it has.
        got: usize,
    },
    /// NaN or infinity.
    #[error("expected finite numbers from shard {shard}, got {got} at entry {entry}")]
    NotFinite {
        /// Which shard.
        shard: usize,
        /// The first such entry.
        entry: usize,
        /// Its value.
        got: f64,
    },
    /// A setting out of its range.
    #[error("expected {field} {expected}, got {got}")]
    Setting {
        /// Which one.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: f64,
    },
    /// The filter had to distrust so many that nothing certain is left.
    #[error("expected at least half of the shards' weight to pass the filter, got {left:.3}")]
    NothingLeft {
        /// The share that was left.
        left: f64,
    },
}

/// One mean from many, of which some are bad.
pub trait RobustRule: Send {
    /// Combines `shard_means` (`[shards][entries]`) after scaling those beyond `norm_bound` (L2) back to it.
    ///
    /// # Errors
    /// Fewer than 16 shards, unequal lengths, numbers that are not finite, a norm bound that is none.
    fn combine(&self, shard_means: &[&[f64]], norm_bound: f64) -> Result<Vec<f64>, RobustError>;
}

/// Which rule, as a task's file has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RobustSettings {
    /// [`Median`].
    Median,
    /// [`TrimmedMean`] without this share at each end.
    TrimmedMean {
        /// β.
        share: f64,
    },
    /// [`FilterL2`] with this bound on the covariance.
    FilterL2 {
        /// The greatest eigenvalue of honest means, squared units of the update.
        spectral_bound: f64,
    },
}

impl RobustSettings {
    /// The rule.
    ///
    /// # Errors
    /// A number out of its range.
    pub fn rule(&self) -> Result<Box<dyn RobustRule>, RobustError> {
        Ok(match *self {
            Self::Median => Box::new(Median),
            Self::TrimmedMean { share } => Box::new(TrimmedMean::new(share)?),
            Self::FilterL2 { spectral_bound } => Box::new(FilterL2::new(spectral_bound)?),
        })
    }

    /// Its name in files and reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::TrimmedMean { .. } => "trimmed_mean",
            Self::FilterL2 { .. } => "filter_l2",
        }
    }
}

/// The means as they are taken: checked, and scaled back to the bound.
fn bounded(shard_means: &[&[f64]], norm_bound: f64) -> Result<Vec<Vec<f64>>, RobustError> {
    if shard_means.len() < LEAST_SHARDS {
        return Err(RobustError::TooFewShards { got: shard_means.len() });
    }
    positive("norm bound", norm_bound)?;
    let expected = shard_means[0].len();
    let mut means = Vec::with_capacity(shard_means.len());
    for (shard, mean) in shard_means.iter().enumerate() {
        if mean.len() != expected {
            return Err(RobustError::Length { shard, expected, got: mean.len() });
        }
        if let Some(entry) = mean.iter().position(|value| !value.is_finite()) {
            return Err(RobustError::NotFinite { shard, entry, got: mean[entry] });
        }
        means.push(scaled_back(mean, norm_bound));
    }
    Ok(means)
}

/// `mean`·min(1, bound/‖mean‖). Divides by the greatest entry first, so that squares do not overflow.
fn scaled_back(mean: &[f64], bound: f64) -> Vec<f64> {
    let greatest = mean.iter().fold(0.0_f64, |greatest, value| greatest.max(value.abs()));
    if greatest == 0.0 {
        return mean.to_vec();
    }
    let relative = mean.iter().map(|value| (value / greatest).powi(2)).sum::<f64>().sqrt();
    if relative <= bound / greatest {
        return mean.to_vec();
    }
    mean.iter().map(|value| value / greatest / relative * bound).collect()
}

fn positive(field: &'static str, got: f64) -> Result<(), RobustError> {
    let wrong = RobustError::Setting { field, expected: "finite and above 0", got };
    if got > 0.0 && got.is_finite() { Ok(()) } else { Err(wrong) }
}

/// For every entry, what `choose` makes of the shards' values in ascending order.
fn by_entry(means: &[Vec<f64>], choose: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut column = vec![0.0; means.len()];
    (0..means[0].len())
        .map(|entry| {
            column.iter_mut().zip(means).for_each(|(value, mean)| *value = mean[entry]);
            column.sort_unstable_by(f64::total_cmp);
            choose(&column)
        })
        .collect()
}

#[cfg(test)]
mod tests;
