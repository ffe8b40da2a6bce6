//! Questions with their answers, one JSON object a line.

use std::path::Path;

use serde::Deserialize;

use crate::exit_code::Outcome;
use crate::failure::Failure;

/// Tokens that an answer may be longer than the right one.
pub const SLACK_TOKENS: usize = 4;

/// One line.
#[derive(Debug, Clone, Deserialize)]
pub struct Question {
    /// What it tests.
    pub skill: String,
    /// What is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
}

/// Reads the file at `path`.
///
/// # Errors
/// A file that cannot be read, or a line that is no question.
pub fn read_questions(path: &Path) -> Result<Vec<Question>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::message(Outcome::Usage, format!("cannot read {}: {error}", path.display()))
            .hint("write one {\"skill\", \"question\", \"answer\"} object a line")
    })?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| Failure::message(Outcome::Failed, format!("{}:{}: {error}", path.display(), number + 1)))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}
