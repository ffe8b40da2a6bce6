//! A JSON object that is emptied field by field, so that what nobody asked for is found.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::http::error::ApiError;

/// The fields not yet taken.
pub(super) struct Fields {
    /// Where the object lies in the request: empty, or such as `messages[2]`.
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The request itself.
    pub(super) fn new(map: Map<String, Value>) -> Self {
        Self::within("", map)
    }

    /// An object inside the request.
    pub(super) fn within(path: impl Into<String>, map: Map<String, Value>) -> Self {
        Self { path: path.into(), map }
    }

    /// The field's full name, as errors give it.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Takes a field; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &format!("a number from {} to {}", range.start(), range.end()), &value)),
        }
    }

    pub(super) fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &format!("an integer from {} to {}", range.start(), range.end()), &value)),
        }
    }

    /// Refuses whatever was not taken, by name.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(ApiError::about(self.path_of(name), "unknown_parameter", "this parameter is not known here"))
            }
        }
    }

    /// 400: another kind of value was expected.
    pub(super) fn wrong(&self, name: &str, expected: &str, got: &Value) -> ApiError {
        ApiError::invalid(self.path_of(name), format!("expected {expected}, got {}", shown(got)))
    }
}

/// A value in an error message: short ones as they are, others by kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 40 => "a long string".to_owned(),
        other => other.to_string(),
    }
}
