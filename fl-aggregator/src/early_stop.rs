//! When more rounds are not worth it: a metric that has not gained enough for too long.

use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// A loss.
    Least,
    /// An accuracy.
    Greatest,
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopSettings {
    /// The metric's name.
    pub metric: String,
    /// Which way is better.
    pub goal: Goal,
    /// How many evaluations in a row may pass without a gain.
    pub patience: u32,
    /// What counts as a gain, in the metric's unit.
    pub least_gain: f64,
}

/// What an evaluation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The best so far.
    Best,
    /// No gain, but patience is left.
    Waiting {
        /// Evaluations that may still pass.
        left: u32,
    },
    /// No gain for too long.
    Stop,
}

/// The watch. Serialised as it is into the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    settings: EarlyStopSettings,
    best: Option<f64>,
    without_gain: u32,
}

impl EarlyStop {
    /// Before the first evaluation.
    #[must_use]
    pub const fn new(settings: EarlyStopSettings) -> Self {
        Self { settings, best: None, without_gain: 0 }
    }

    /// The metric's name.
    #[must_use]
    pub fn metric(&self) -> &str {
        &self.settings.metric
    }

    /// The best value so far.
    #[must_use]
    pub const fn best(&self) -> Option<f64> {
        self.best
    }

    /// Whether it has said that this is enough.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.without_gain >= self.settings.patience
    }

    /// Takes in an evaluation. A value that is not finite is no gain.
    pub fn observe(&mut self, value: f64) -> Verdict {
        let gain = |best: f64| match self.settings.goal {
            Goal::Least => best - value,
            Goal::Greatest => value - best,
        };
        let better = value.is_finite()
            && self.best.is_none_or(|best| gain(best) > 0.0 && gain(best) >= self.settings.least_gain);
        if better {
            (self.best, self.without_gain) = (Some(value), 0);
            return Verdict::Best;
        }
        self.without_gain += 1;
        match self.settings.patience.checked_sub(self.without_gain) {
            None | Some(0) => Verdict::Stop,
            Some(left) => Verdict::Waiting { left },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(goal: Goal) -> EarlyStop {
        EarlyStop::new(EarlyStopSettings { metric: "loss".into(), goal, patience: 2, least_gain: 0.1 })
    }

    #[test]
    fn patience_ends_after_as_many_evaluations_without_a_gain() {
        let mut watch = watch(Goal::Least);
        let verdicts: Vec<Verdict> = [1.0, 0.95, 0.85, 0.8, f64::NAN].map(|value| watch.observe(value)).to_vec();
        let waiting = Verdict::Waiting { left: 1 };
        assert_eq!(verdicts, [Verdict::Best, waiting, Verdict::Best, waiting, Verdict::Stop]);
        assert_eq!(watch.best(), Some(0.85));
    }

    #[test]
    fn accuracy_is_better_when_greater() {
        let mut watch = watch(Goal::Greatest);
        assert_eq!(watch.observe(f64::NAN), Verdict::Waiting { left: 1 });
        assert_eq!(watch.observe(0.5), Verdict::Best);
        assert_eq!(watch.observe(0.7), Verdict::Best);
        assert_eq!(watch.observe(0.2), Verdict::Waiting { left: 1 });
    }

    #[test]
    fn the_watch_survives_the_checkpoint() {
        let mut watch = watch(Goal::Least);
        watch.observe(1.0);
        watch.observe(1.0);
        let text = serde_json::to_string(&watch).unwrap();
        let mut kept: EarlyStop = serde_json::from_str(&text).unwrap();
        assert_eq!(kept, watch);
        assert!(!kept.is_over());
        assert_eq!(kept.observe(1.0), Verdict::Stop);
        assert!(kept.is_over());
    }
}
