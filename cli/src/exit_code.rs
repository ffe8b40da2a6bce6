//! What the program's exit status says.

use std::process::ExitCode;

/// Why a command ended as it did. Shown in `neuro help` and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// A peer or a rule refused it.
    Refused = 3,
    /// A node could not be reached.
    Unreachable = 4,
    /// The user interrupted it (128 + SIGINT, as shells expect).
    Interrupted = 130,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}
