//! What an orchestrator thinks of a worker, as plain data: the store keeps it, the core is given it with a worker.

/// Counts of what a worker did, the older ones weighing less. A worker nobody knows has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Checked results that were right: the α of a beta distribution less one, with forgetting.
    pub valid: f64,
    /// Checked results that were wrong: its β less one, with forgetting.
    pub invalid: f64,
    /// Right checked results in a row, up to now.
    pub streak: u32,
    /// Answers that came before their deadline, with forgetting.
    pub timely: f64,
    /// Answers that came late or never, with forgetting.
    pub late: f64,
    /// Seconds of attendance, with forgetting.
    pub uptime_s: f64,
    /// When the worker was first seen, in seconds since the Unix epoch.
    pub first_seen_s: u64,
}

impl Standing {
    /// The expected share of right results, from 0 to 1: the mean of the beta distribution over a uniform prior. A half
    /// for a worker nobody has checked.
    #[must_use]
    pub fn score(&self) -> f64 {
        (self.valid + 1.0) / (self.valid + self.invalid + 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_starts_in_the_middle_and_follows_the_checks() {
        assert_eq!(Standing::default().score(), 0.5);
        assert_eq!(Standing { valid: 8.0, ..Standing::default() }.score(), 0.9);
        assert_eq!(Standing { invalid: 8.0, ..Standing::default() }.score(), 0.1);
    }
}
