//! What is known of a worker's work over its connections: whoever comes back is taken as it left.

use crate::estimate::Estimate;
use crate::fading::Fading;
use crate::pace::Pace;

/// One worker's. Kept beside its standing, while the worker keeps its slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrackRecord {
    /// How long it takes.
    pub(crate) estimate: Estimate,
    /// Quantiles of its round trips by batch class.
    pub(crate) pace: Pace,
    /// Faults held against it.
    pub(crate) faults: Fading,
    /// Its connections that ended in silence.
    pub(crate) silences: Fading,
}

impl TrackRecord {
    /// Whether it says nothing: such a one need not be kept.
    pub(super) fn is_blank(&self) -> bool {
        self.estimate.is_blank() && self.faults == Fading::default() && self.silences == Fading::default()
    }
}
