//! What a run gives: counts, or how it failed.

use std::fmt;
use std::str::FromStr;

use neuro_orchestrator::{Checks, Counters};

use super::invariants::Invariant;

/// Which answers the core checks in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Each before it is used.
    Verified,
    /// Some, as [`Checks::SAMPLED`] says.
    Sampled,
    /// None.
    Trusting,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Sampled, Self::Trusting];

    /// As the core is told it.
    #[must_use]
    pub const fn checks(self) -> Checks {
        match self {
            Self::Verified => Checks::Verified,
            Self::Sampled => Checks::SAMPLED,
            Self::Trusting => Checks::Trusting,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified",
            Self::Sampled => "sampled",
            Self::Trusting => "trusting",
        })
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|policy| policy.to_string() == text);
        named.ok_or_else(|| UnknownPolicy { got: text.to_owned() })
    }
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected verified, sampled or trusting, got {got}")]
pub struct UnknownPolicy {
    /// The name.
    pub got: String,
}

/// Counts of one run or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls that clients made.
    pub calls: u64,
    /// Calls that were answered.
    pub done: u64,
    /// Calls that ended with an error.
    pub failed: u64,
    /// Calls that were given up by their client, or lost with an orchestrator, which says so.
    pub given_up: u64,
    /// Wrong answers that workers gave.
    pub lies: u64,
    /// Wrong sums that were used: [`Policy::Sampled`] and `Trusting` allow some.
    pub wrong_used: u64,
    /// Calls that were retracted.
    pub retracted: u64,
    /// Workers whose answer was proved wrong.
    pub convicted: u64,
    /// Tasks sent.
    pub tasks: u64,
    /// Tasks that replaced an earlier one.
    pub reissues: u64,
    /// Tasks for which a second worker was asked before their deadline.
    pub backups: u64,
    /// Checks begun.
    pub checks: u64,
    /// Checks settled from the checkpoint.
    pub recomputed: u64,
    /// Orchestrators that were killed.
    pub restarts: u64,
    /// Results that were used at once under [`Policy::Sampled`], and drawn for a check.
    pub drawn: u64,
    /// How many of them were to be expected from the streaks of their workers, in thousandths.
    pub expected_milli: u64,
}

impl Tally {
    /// Adds the totals of a core that has come to its end.
    pub(crate) fn count(&mut self, of: Counters) {
        self.tasks += of.tasks;
        self.reissues += of.reissues;
        self.backups += of.backups;
        self.checks += of.checks;
        self.recomputed += of.recomputed;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        let ours: [&mut u64; 16] = [
            &mut self.calls,
            &mut self.done,
            &mut self.failed,
            &mut self.given_up,
            &mut self.lies,
            &mut self.wrong_used,
            &mut self.retracted,
            &mut self.convicted,
            &mut self.tasks,
            &mut self.reissues,
            &mut self.backups,
            &mut self.checks,
            &mut self.recomputed,
            &mut self.restarts,
            &mut self.drawn,
            &mut self.expected_milli,
        ];
        for (mine, (_, theirs)) in ours.into_iter().zip(other.named()) {
            *mine += theirs;
        }
    }

    fn named(&self) -> [(&'static str, u64); 16] {
        [
            ("calls", self.calls),
            ("answered", self.done),
            ("failed", self.failed),
            ("given up", self.given_up),
            ("lies told", self.lies),
            ("wrong results used", self.wrong_used),
            ("retracted", self.retracted),
            ("liars convicted", self.convicted),
            ("tasks", self.tasks),
            ("re-issues", self.reissues),
            ("backups", self.backups),
            ("checks", self.checks),
            ("recomputed", self.recomputed),
            ("orchestrators restarted", self.restarts),
            ("drawn for a check", self.drawn),
            ("thousandths of that expected", self.expected_milli),
        ]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.named().iter().map(|(name, count)| format!("{name} {count}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// A run in which something happened that must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What the run followed from.
    pub seed: u64,
    /// Its policy.
    pub policy: Policy,
    /// What did not hold.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
    /// What happened before, last thing last.
    pub story: Vec<String>,
}

/// Lines of a story that are shown with a failure.
const LAST_LINES: usize = 40;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story[self.story.len().saturating_sub(LAST_LINES)..] {
            writeln!(f, "{line}")?;
        }
        let Self { seed, policy, invariant, detail, .. } = self;
        writeln!(f, "seed {seed}, {policy}: broken: {invariant}: {detail}")?;
        write!(f, "replay: cargo xtask simulate --seed {seed} --policy {policy} --story")
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_last_lines_its_invariant_and_how_to_replay_it() {
        let story = (0..100).map(|line| format!("line {line}")).collect();
        let broken = Broken {
            seed: 7,
            policy: Policy::Sampled,
            invariant: Invariant::PaidOnce,
            detail: "task 3".to_owned(),
            story,
        };
        let shown = broken.to_string();
        assert!(shown.starts_with("line 60\n") && shown.contains("line 99\nseed 7, sampled: broken: no work is paid"));
        assert!(shown.ends_with("cargo xtask simulate --seed 7 --policy sampled --story"), "{shown}");
    }

    #[test]
    fn tallies_add_up() {
        let one = Tally { calls: 3, restarts: 1, ..Tally::default() };
        let mut sum = Tally { calls: 2, ..Tally::default() };
        sum.add(&one);
        assert_eq!((sum.calls, sum.restarts, sum.lies), (5, 1, 0));
    }

    #[test]
    fn policies_are_named() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("some".parse::<Policy>().is_err());
    }
}
