//! The one error object of the API: `{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients read it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::completer::SubmitError;

/// When to come back to a node that is not ready or just lost a worker, seconds: about what a worker needs to load.
const NOT_READY_RETRY_S: u32 = 5;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) param: Option<String>,
    pub(super) code: &'static str,
    pub(super) retry_after_s: Option<u32>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code, retry_after_s: None }
    }

    /// 400, about no parameter in particular.
    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400: a parameter with a value that it cannot have.
    pub(super) fn invalid(param: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self::about(param, "invalid_value", message)
    }

    /// 400 with a code of its own. The parameter's name is put in front of the message.
    pub(super) fn about(param: impl Into<String>, code: &'static str, message: impl AsRef<str>) -> Self {
        let param = param.into();
        let message = format!("{param}: {}", message.as_ref());
        Self { param: Some(param), ..Self::bad_request(code, message) }
    }

    /// 500 or, when the same request may succeed later, 503: a job without an answer.
    pub(super) fn failed(message: String, retryable: bool) -> Self {
        if retryable {
            let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "generation_interrupted", message);
            return Self { retry_after_s: Some(NOT_READY_RETRY_S), ..error };
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "generation_failed", message)
    }

    /// 429: no place in the queue.
    fn too_many(code: &'static str, message: String, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, message) }
    }

    /// 503: the model cannot answer yet.
    pub(super) fn not_ready(why: &str) -> Self {
        let message = format!("the model is not ready: {why}");
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message);
        Self { retry_after_s: Some(NOT_READY_RETRY_S), ..error }
    }

    /// The object that travels, in a body or in the middle of a stream.
    pub(super) fn to_json(&self) -> Value {
        json!({ "error": { "message": self.message, "type": self.kind(), "param": self.param, "code": self.code } })
    }

    /// OpenAI's `type`, by status.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full { retry_after_s } => Self::too_many("queue_full", error.to_string(), retry_after_s),
            SubmitError::AccountFull { retry_after_s } => {
                Self::too_many("account_queue_full", error.to_string(), retry_after_s)
            }
            SubmitError::NotReady(why) => Self::not_ready(&why),
            SubmitError::Invalid { param, message } => Self::invalid(param, message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.to_json())).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"neuro\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
