//! What goes wrong: how a worker behaves, and what befalls the world.

use neuro_orchestrator::Fault;

use super::answers::Lie;
use super::chance::Chance;

/// How a worker deals with its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It computes and answers in time.
    Honest,
    /// It computes, and answers long after the deadline.
    Slow,
    /// It takes tasks and says nothing.
    Stalled,
    /// It refuses, or sends what cannot be an answer.
    Refusing(Fault),
    /// It computes, answers, and answers again.
    Duplicating,
    /// It computes, and says nonsense about how long that took.
    Skewed,
    /// It lies in some of its answers.
    Lying(Liar),
    /// It sends an answer it has sent before.
    Replaying,
}

/// One that lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Liar {
    /// In what.
    pub(crate) lie: Lie,
    /// In so many of a hundred answers.
    pub(crate) percent: u64,
    /// After so many right ones.
    pub(crate) after: u64,
}

impl Conduct {
    /// A conduct that may change for another at any time: nobody lies.
    pub(crate) fn passing(chance: &mut Chance) -> Self {
        match chance.below(14) {
            0 => Self::Slow,
            1 => Self::Stalled,
            2 => Self::Refusing(Fault::BadValue),
            3 => Self::Refusing(Fault::Overloaded),
            4 => Self::Refusing(Fault::NotHeld),
            5 => Self::Duplicating,
            6 => Self::Skewed,
            _ => Self::Honest,
        }
    }

    /// A conduct of one that means ill.
    pub(crate) fn ill(chance: &mut Chance) -> Self {
        if chance.percent(10) {
            return Self::Replaying;
        }
        let lie = [Lie::Contribution, Lie::Digest, Lie::Sum, Lie::Zeros][(chance.word() % 4) as usize];
        let percent = [5, 10, 50, 100][(chance.word() % 4) as usize];
        let after = [0, 0, 30, 100][(chance.word() % 4) as usize];
        Self::Lying(Liar { lie, percent, after })
    }

    /// A member of a pact.
    pub(crate) fn colluding(chance: &mut Chance) -> Self {
        Self::Lying(Liar { lie: Lie::Pact, percent: 30 + chance.below(70), after: chance.below(40) })
    }

    /// Whether all its answers are right and in time.
    pub(crate) const fn is_good(self) -> bool {
        matches!(self, Self::Honest | Self::Duplicating | Self::Skewed)
    }

    /// Whether some of its answers may be wrong.
    pub(crate) const fn is_ill(self) -> bool {
        matches!(self, Self::Lying(_) | Self::Replaying)
    }

    /// A word for the story.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Refusing(_) => "refusing",
            Self::Duplicating => "duplicating",
            Self::Skewed => "skewed",
            Self::Lying(Liar { lie: Lie::Zeros, .. }) => "free-riding",
            Self::Lying(Liar { lie: Lie::Pact, .. }) => "colluding",
            Self::Lying(_) => "lying",
            Self::Replaying => "replaying",
        }
    }
}

/// What befalls the world at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// A worker dies with its memory; its disk stays.
    Crash,
    /// A worker comes back.
    Return,
    /// A worker takes on another conduct, unless it means ill.
    Change,
    /// A worker's disk becomes slow and unreliable, or well again.
    Disk,
    /// Some workers lose their link for a while.
    Partition,
    /// The orchestrator is killed and starts again.
    Restart,
    /// A client opens a great many calls at once and cancels half of them.
    Flood,
    /// A client gives up a call, perhaps one that has ended.
    Cancel,
    /// A worker answers a task that it was never sent.
    Stranger,
    /// Nothing: a client calls.
    Call,
}

impl Mishap {
    /// What happens next, mostly calls.
    pub(crate) fn next(chance: &mut Chance) -> Self {
        match chance.below(480) {
            0..=9 => Self::Crash,
            10..=49 => Self::Return,
            50..=61 => Self::Change,
            62..=65 => Self::Disk,
            66..=68 => Self::Partition,
            69 => Self::Restart,
            70 => Self::Flood,
            71..=82 => Self::Cancel,
            83..=94 => Self::Stranger,
            _ => Self::Call,
        }
    }
}
