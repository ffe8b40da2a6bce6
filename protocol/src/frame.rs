//! The data plane: what a caller (the trunk's node) and a worker say to each other on a stream of experts.
//!
//! On a stream, a frame is a u32 length (little-endian) and that many bytes of payload; this module knows payloads
//! only. A payload is one byte of kind and a body in the form of [`crate::codec`]. `docs/spec/wire.md` has every byte.
//!
//! ```text
//! caller                                   worker
//!   Hello  ────────────────────────────────▶
//!          ◀──────────────────────────────── Welcome, or Failure and the end
//!   Task 1 ────────────────────────────────▶
//!   Task 2 ────────────────────────────────▶
//!          ◀──────────────────────────────── Answer 2        any order
//!   Cancel 1 ──────────────────────────────▶                 no reply
//! ```
//!
//! Nothing decoded here is believed: a task is checked for form, and an answer still needs [`Answer::check`] against
//! the task it answers.

use std::ops::RangeInclusive;

use neuro_primitives::{ACTIVATION_BLOCK, TaskId};

use crate::codec::{CodecError, Reader, Writer};

mod answer;
mod failure;
mod hello;
pub(crate) mod hidden;
mod task;

pub use answer::{Answer, AnswerError};
pub use failure::{Failure, FailureCode};
pub use hello::{Hello, Welcome};
pub use task::{ActivationFormat, MicroTask};

/// One message on a stream of experts.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The caller's first frame.
    Hello(Hello),
    /// The worker's reply to it.
    Welcome(Welcome),
    /// Rows for experts of one layer.
    Task(MicroTask),
    /// Their partial sums and digests.
    Answer(Answer),
    /// The caller no longer wants the answer to a task.
    Cancel(TaskId),
    /// The worker does not answer a task, or ends the stream.
    Failure(Failure),
}

/// A payload that is no frame. Whoever sent it is at fault: no build of ours makes one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not hold the fields.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A kind of frame that version 3 does not have.
    #[error("expected a frame of kind 1 to 6, got {got}")]
    Kind {
        /// The byte.
        got: u8,
    },
    /// A hello whose oldest version is newer than its newest.
    #[error("the versions {} to {} are no range", .got.start(), .got.end())]
    Versions {
        /// As it came.
        got: RangeInclusive<u16>,
    },
    /// An activation format that version 3 does not have.
    #[error("expected an activation format of version 3, got {got}")]
    Activation {
        /// The code.
        got: u16,
    },
    /// A number of rows, routes or values that may not be.
    #[error("expected 1 to {limit} {what}, got {got}")]
    Size {
        /// What is counted.
        what: &'static str,
        /// The most there may be.
        limit: usize,
        /// What the sender wrote.
        got: usize,
    },
    /// Experts of a row that do not ascend.
    #[error("row {row}: expected an expert after {previous}, got {got}")]
    ExpertOrder {
        /// The row within the task.
        row: usize,
        /// The expert before.
        previous: u16,
        /// The expert that came.
        got: u16,
    },
    /// A gate that is NaN or infinite.
    #[error("row {row}: the gate of expert {expert} is {gate}")]
    Gate {
        /// The row within the task.
        row: usize,
        /// The expert within its layer.
        expert: u16,
        /// The gate.
        gate: f32,
    },
    /// A hidden state with NaN or an infinity.
    #[error("row {row}: value {column} of the hidden state is {value}")]
    Hidden {
        /// The row within the task.
        row: usize,
        /// The place within the row.
        column: usize,
        /// The value.
        value: f32,
    },
    /// Hidden states in blocks whose rows are no whole number of them.
    #[error("expected hidden states of a multiple of {ACTIVATION_BLOCK} values, got {width}")]
    Blocks {
        /// Values of a row.
        width: usize,
    },
    /// A block whose scale is NaN, infinite or has a sign.
    #[error("row {row}: the scale of block {block} is {scale}, expected a finite number without a sign")]
    Scale {
        /// The row within the task.
        row: usize,
        /// The block within the row.
        block: usize,
        /// The scale.
        scale: f32,
    },
    /// A block with -128, which no rounding makes: the largest value of a block becomes 127 or -127.
    #[error("row {row}: value {column} of the hidden state is -128, expected -127 to 127")]
    Quantised {
        /// The row within the task.
        row: usize,
        /// The place within the row.
        column: usize,
    },
    /// A row of an answer that is neither one contribution nor a sum of many.
    #[error("row {row}: expected 1 or 2 as the kind of row, got {got}")]
    RowKind {
        /// The row within the answer.
        row: usize,
        /// The byte.
        got: u8,
    },
    /// A failure's text with control characters, which could rewrite a terminal.
    #[error("the text of a failure has control characters")]
    ControlCharacters,
}

impl DecodeError {
    /// Always false: the same bytes decode to the same error.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

impl Frame {
    /// The payload, without the stream's length in front of it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => payload(KIND_HELLO, hello.encoded_len(), |w| hello.write(w)),
            Self::Welcome(welcome) => payload(KIND_WELCOME, 2, |w| w.u16(welcome.version)),
            Self::Task(task) => payload(KIND_TASK, task.encoded_len(), |w| task.write(w)),
            Self::Answer(answer) => payload(KIND_ANSWER, answer.encoded_len(), |w| answer.write(w)),
            Self::Cancel(task) => payload(KIND_CANCEL, 8, |w| w.u64(task.0)),
            Self::Failure(failure) => payload(KIND_FAILURE, failure.encoded_len(), |w| failure.write(w)),
        }
    }

    /// The frame in a payload. Numbers of tasks and hellos are in range and finite; values of answers are not looked
    /// at until [`Answer::check`].
    ///
    /// # Errors
    /// When the payload is not exactly one frame within the limits. Allocates no more than a small multiple of it.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let frame = match reader.u8()? {
            KIND_HELLO => Self::Hello(Hello::read(&mut reader)?),
            KIND_WELCOME => Self::Welcome(Welcome { version: reader.u16()? }),
            KIND_TASK => Self::Task(MicroTask::read(&mut reader)?),
            KIND_ANSWER => Self::Answer(Answer::read(&mut reader)?),
            KIND_CANCEL => Self::Cancel(TaskId(reader.u64()?)),
            KIND_FAILURE => Self::Failure(Failure::read(&mut reader)?),
            got => return Err(DecodeError::Kind { got }),
        };
        reader.finish()?;
        Ok(frame)
    }

    /// The name of this kind of frame, for logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Welcome(_) => "welcome",
            Self::Task(_) => "task",
            Self::Answer(_) => "answer",
            Self::Cancel(_) => "cancel",
            Self::Failure(_) => "failure",
        }
    }
}

fn payload(kind: u8, body_bytes: usize, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1 + body_bytes);
    writer.u8(kind);
    write(&mut writer);
    writer.finish()
}

/// `got` if it is 1 to `limit`.
fn sized(what: &'static str, limit: usize, got: usize) -> Result<usize, DecodeError> {
    if (1..=limit).contains(&got) { Ok(got) } else { Err(DecodeError::Size { what, limit, got }) }
}

const KIND_HELLO: u8 = 1;
const KIND_WELCOME: u8 = 2;
const KIND_TASK: u8 = 3;
const KIND_ANSWER: u8 = 4;
const KIND_CANCEL: u8 = 5;
const KIND_FAILURE: u8 = 6;

#[cfg(test)]
mod tests;
