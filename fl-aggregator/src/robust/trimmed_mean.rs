//! The coordinate-wise trimmed mean (Yin et al. 2018): withstands a share β of bad shards.

use super::{RobustError, RobustRule, bounded, by_entry};

/// For each entry the mean without the ⌈βm⌉ greatest and the ⌈βm⌉ least of m values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrimmedMean {
    share: f64,
}

impl TrimmedMean {
    /// With β.
    ///
    /// # Errors
    /// A share that is not above 0 and below 0.5.
    pub fn new(share: f64) -> Result<Self, RobustError> {
        let good = share > 0.0 && share < 0.5;
        let wrong = RobustError::Setting { field: "trimmed share", expected: "above 0 and below 0.5", got: share };
        if good { Ok(Self { share }) } else { Err(wrong) }
    }
}

impl RobustRule for TrimmedMean {
    fn combine(&self, shard_means: &[&[f64]], norm_bound: f64) -> Result<Vec<f64>, RobustError> {
        let means = bounded(shard_means, norm_bound)?;
        let shards = means.len();
        // At most ⌈shards/2⌉; at least one value stays.
        let cut = ((self.share * shards as f64).ceil() as usize).min((shards - 1) / 2);
        Ok(by_entry(&means, |sorted| {
            let kept = &sorted[cut..shards - cut];
            kept.iter().sum::<f64>() / kept.len() as f64
        }))
    }
}
