//! Errors of control calls, and their form as gRPC statuses.

use std::error::Error;

use neuro_protocol::limits::MAX_ERROR_TEXT_BYTES;
use tonic::{Code, Status};

/// What sort of error it is; decides what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlErrorKind {
    /// The peer may not do this: a wrong ticket, or not the owner.
    NotAllowed,
    /// The request makes no sense.
    BadRequest,
    /// What was asked for does not exist.
    NotFound,
    /// Not now, or the connection broke: the same call may succeed later.
    Unavailable,
    /// The other side failed.
    Internal,
}

/// Why a control call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// What sort of error it is.
    pub kind: ControlErrorKind,
    /// For people, at most [`MAX_ERROR_TEXT_BYTES`] when it came over the wire.
    pub message: String,
}

impl ControlError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: ControlErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, ControlErrorKind::Unavailable)
    }
}

impl From<ControlError> for Status {
    fn from(error: ControlError) -> Self {
        let code = match error.kind {
            ControlErrorKind::NotAllowed => Code::PermissionDenied,
            ControlErrorKind::BadRequest => Code::InvalidArgument,
            ControlErrorKind::NotFound => Code::NotFound,
            ControlErrorKind::Unavailable => Code::Unavailable,
            ControlErrorKind::Internal => Code::Internal,
        };
        Self::new(code, shortened(error.message))
    }
}

impl From<Status> for ControlError {
    fn from(status: Status) -> Self {
        // A status with a cause was made here, because the connection failed; one without came from the other side.
        if let Some(cause) = status.source() {
            let message = format!("the connection failed: {}", innermost(cause));
            return Self { kind: ControlErrorKind::Unavailable, message: shortened(message) };
        }
        let kind = match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => ControlErrorKind::NotAllowed,
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ControlErrorKind::BadRequest,
            Code::NotFound | Code::Unimplemented => ControlErrorKind::NotFound,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
                ControlErrorKind::Unavailable
            }
            _ => ControlErrorKind::Internal,
        };
        Self { kind, message: shortened(status.message().to_owned()) }
    }
}

/// The error at the end of the chain of causes: the only one that says what happened.
pub(super) fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// `text`, cut at a character's boundary: a peer's text ends up in logs and on screens.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_ERROR_TEXT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in [
            ControlErrorKind::NotAllowed,
            ControlErrorKind::BadRequest,
            ControlErrorKind::NotFound,
            ControlErrorKind::Unavailable,
            ControlErrorKind::Internal,
        ] {
            let error = ControlError::new(kind, "expected this, got that");
            assert_eq!(ControlError::from(Status::from(error.clone())), error);
            assert_eq!(error.is_retryable(), kind == ControlErrorKind::Unavailable);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let status = Status::internal("ü".repeat(MAX_ERROR_TEXT_BYTES) + "x");
        let error = ControlError::from(status);
        assert!(error.message.len() <= MAX_ERROR_TEXT_BYTES && error.message.len() >= MAX_ERROR_TEXT_BYTES - 1);
        assert!(error.message.chars().all(|letter| letter == 'ü'));
    }

    #[test]
    fn a_status_of_our_own_making_is_a_broken_connection() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let error = ControlError::from(Status::from_error(Box::new(broken)));
        assert!(error.is_retryable(), "{error:?}");
    }
}
