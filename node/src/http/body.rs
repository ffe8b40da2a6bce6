//! Request bodies: one JSON object, bounded in size and in the time it takes to come.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode};
use futures::StreamExt;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::limits::HttpLimits;

/// Reads the JSON object that `request` carries.
///
/// # Errors
/// 415 for another content type, 413 for a body over the limit (before it is read, when its length is announced), 408
/// for one that does not arrive in time, 400 for one that is not a JSON object.
pub(super) async fn read_object(request: Request<Body>, limits: &HttpLimits) -> Result<Map<String, Value>, ApiError> {
    check_head(request.headers(), limits)?;
    let reading = read_bytes(request.into_body(), limits.body_bytes);
    let bytes = tokio::time::timeout(limits.body_read, reading).await.map_err(|_| {
        let message = format!("the body did not arrive within {} s", limits.body_read.as_secs_f32());
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
    })??;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::bad_request("invalid_json", "expected a JSON object as the body")),
        Err(error) => Err(ApiError::bad_request("invalid_json", format!("the body is not valid JSON: {error}"))),
    }
}

fn check_head(headers: &HeaderMap, limits: &HttpLimits) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!("expected content-type application/json, got {content_type:?}");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let announced = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(too_large(limits.body_bytes));
    }
    Ok(())
}

async fn read_bytes(body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let (mut stream, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| ApiError::bad_request("broken_body", "the body broke off"))?;
        if bytes.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}
