//! How a command fails: what went wrong, what to do next, and the exit status.

use std::fmt;

use neuro_network::{ControlError, ControlErrorKind};

use crate::exit_code::Outcome;

/// A command's failure, as people and scripts see it.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub outcome: Outcome,
    /// What was expected and what came.
    pub cause: anyhow::Error,
    /// What to do next.
    pub hint: Option<String>,
}

/// What every command returns.
pub type CommandResult = Result<(), Failure>;

impl Failure {
    /// A failure with the exit status `outcome`.
    pub fn new(outcome: Outcome, cause: impl Into<anyhow::Error>) -> Self {
        Self { outcome, cause: cause.into(), hint: None }
    }

    /// A failure that is only a message.
    pub fn message(outcome: Outcome, message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::new(outcome, anyhow::Error::msg(message))
    }

    /// The answer of a node's control services: one that refuses, is away for now, or failed.
    pub fn refused(error: ControlError) -> Self {
        let outcome = match error.kind {
            ControlErrorKind::NotAllowed | ControlErrorKind::BadRequest => Outcome::Refused,
            ControlErrorKind::Unavailable => Outcome::Unreachable,
            ControlErrorKind::NotFound | ControlErrorKind::Internal => Outcome::Failed,
        };
        Self::new(outcome, error)
    }

    /// The chain of causes on one line. A cause that the one before it already quotes is not said again.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for cause in self.cause.chain().map(ToString::to_string) {
            if text.is_empty() {
                text = cause;
            } else if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        text
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self::new(Outcome::Failed, cause)
    }
}

impl fmt::Display for Failure {
    /// The chain of causes on one line, then the hint on its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())?;
        match &self.hint {
            Some(hint) => write!(f, "\n  try: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_quoted_is_not_said_again() {
        let inner = || anyhow::anyhow!("no such file");
        let quoted = Failure::new(Outcome::Failed, inner().context("cannot read x: no such file"));
        assert_eq!(quoted.hint("look").to_string(), "cannot read x: no such file\n  try: look");
        let apart = Failure::new(Outcome::Failed, inner().context("cannot read x"));
        assert_eq!(apart.text(), "cannot read x: no such file");
    }
}
