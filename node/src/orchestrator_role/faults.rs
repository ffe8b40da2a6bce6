//! What a bad answer or a refusal means to the core.

use neuro_orchestrator::Fault;
use neuro_protocol::frame::{AnswerError, FailureCode};

/// The fault of a worker whose answer does not pass its check.
#[must_use]
pub const fn of_answer(error: &AnswerError) -> Fault {
    match error {
        AnswerError::Value { .. } => Fault::BadValue,
        _ => Fault::Malformed,
    }
}

/// The fault of a worker that refuses a task.
#[must_use]
pub const fn of_refusal(code: FailureCode) -> Fault {
    match code {
        FailureCode::NotHeld => Fault::NotHeld,
        FailureCode::Expired => Fault::Expired,
        FailureCode::Overloaded => Fault::Overloaded,
        _ => Fault::Refused,
    }
}
