//! The failure: a worker says why there will be no answer.

use std::borrow::Cow;

use neuro_primitives::TaskId;

use super::DecodeError;
use crate::codec::{Reader, Writer};
use crate::limits::MAX_ERROR_TEXT_BYTES;

/// Why a worker does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The worker does not hold one of the experts.
    NotHeld,
    /// The worker serves another model.
    WrongModel,
    /// The worker computes by another specification.
    WrongEngine,
    /// The two sides speak no wire version in common.
    WrongVersion,
    /// The task is malformed or does not fit the model.
    BadTask,
    /// The deadline passed before the work was done.
    Expired,
    /// The worker's queue is full.
    Overloaded,
    /// The worker could not compute it, for a reason of its own.
    Internal,
    /// The caller is not one that this worker works for.
    NotAllowed,
    /// A code of a later version.
    Unknown(u16),
}

impl FailureCode {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::NotHeld => 1,
            Self::WrongModel => 2,
            Self::WrongEngine => 3,
            Self::WrongVersion => 4,
            Self::BadTask => 5,
            Self::Expired => 6,
            Self::Overloaded => 7,
            Self::Internal => 8,
            Self::NotAllowed => 9,
            Self::Unknown(code) => code,
        }
    }

    /// The failure with this number.
    #[must_use]
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::NotHeld,
            2 => Self::WrongModel,
            3 => Self::WrongEngine,
            4 => Self::WrongVersion,
            5 => Self::BadTask,
            6 => Self::Expired,
            7 => Self::Overloaded,
            8 => Self::Internal,
            9 => Self::NotAllowed,
            code => Self::Unknown(code),
        }
    }

    /// Whether the same task may succeed with another worker, or later with this one. A task that is wrong in itself,
    /// or a model, engine or version that differs, will not.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::NotHeld | Self::Expired | Self::Overloaded | Self::Internal)
    }
}

/// No answer, and why. Without a task it ends the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The task it is about, or none when it is about the stream.
    pub task: Option<TaskId>,
    /// The reason, for programs.
    pub code: FailureCode,
    /// The reason, for people; one line of at most 512 bytes.
    pub text: String,
}

impl Failure {
    /// A failure whose text is cut and cleaned as it will travel.
    #[must_use]
    pub fn new(task: Option<TaskId>, code: FailureCode, text: &str) -> Self {
        Self { task, code, text: one_line(text).into_owned() }
    }

    pub(super) const fn encoded_len(&self) -> usize {
        1 + 8 + 2 + 4 + self.text.len()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.flag(self.task.is_some());
        if let Some(task) = self.task {
            writer.u64(task.0);
        }
        writer.u16(self.code.code());
        writer.text(&one_line(&self.text));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let task = if reader.flag()? { Some(TaskId(reader.u64()?)) } else { None };
        let code = FailureCode::from_code(reader.u16()?);
        let text = reader.text("bytes of text", MAX_ERROR_TEXT_BYTES)?;
        if text.chars().any(char::is_control) {
            return Err(DecodeError::ControlCharacters);
        }
        Ok(Self { task, code, text: text.to_owned() })
    }
}

/// `text` without control characters, cut to the limit between two characters.
fn one_line(text: &str) -> Cow<'_, str> {
    let cut = &text[..text.floor_char_boundary(MAX_ERROR_TEXT_BYTES)];
    if cut.chars().any(char::is_control) {
        // A control character may take two bytes and a space takes one: the text cannot outgrow the limit.
        Cow::Owned(cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    } else {
        Cow::Borrowed(cut)
    }
}
