//! Typed access to the fields of a JSON object, with errors that name the field.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::config::ConfigError;

/// The fields of one JSON object. A null counts as missing, except for the ids of tokens.
pub(super) struct Fields {
    map: Map<String, Value>,
    /// What comes before the fields' names in errors: empty, or the name of the object and a point.
    prefix: String,
}

impl Fields {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self { map: serde_json::from_slice(bytes)?, prefix: String::new() })
    }

    /// The fields of the object in `field`.
    pub(super) fn object(&self, field: &str) -> Result<Option<Self>, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.wrong(field, "an object or null", value))?;
        Ok(Some(Self { map: map.clone(), prefix: format!("{field}.") }))
    }

    /// All fields with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.map.iter().map(|(field, value)| (field.as_str(), value))
    }

    /// The field's name as errors have it.
    pub(super) fn path(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    fn wrong(&self, field: &str, expected: impl Display, got: &Value) -> ConfigError {
        wrong(&self.path(field), expected, got)
    }

    /// The field's value; `None` where it is missing or null.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field is there and null.
    pub(super) fn is_null(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(Value::is_null)
    }

    /// A whole number within `range`.
    pub(super) fn count(
        &self,
        field: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            self.wrong(field, format_args!("a whole number from {} to {}", range.start(), range.end()), value)
        })
    }

    /// A number above 0, f64 and finite.
    pub(super) fn positive(&self, field: &str, default: f64) -> Result<f64, ConfigError> {
        self.get(field).map_or(Ok(default), |value| positive(&self.path(field), value))
    }

    pub(super) fn flag(&self, field: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(field, "true or false", value))
    }

    pub(super) fn text(&self, field: &str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(field, "a text", value))
    }

    /// A list of whole numbers, empty where it is missing or null.
    pub(super) fn counts(&self, field: &str) -> Result<Vec<usize>, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        let bad = || self.wrong(field, "a list of whole numbers", value);
        let list = value.as_array().ok_or_else(bad)?;
        list.iter().map(|item| item.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(bad)).collect()
    }

    /// The id of a token; an explicit null means that there is none, whatever the default.
    pub(super) fn token(&self, field: &str, default: Option<u32>) -> Result<Option<u32>, ConfigError> {
        match self.map.get(field) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(value) => {
                token_id(value).map(Some).ok_or_else(|| self.wrong(field, "the id of a token or null", value))
            }
        }
    }

    /// Ids of tokens: one, a list, or null for none.
    pub(super) fn tokens(&self, field: &str, default: &[u32]) -> Result<Vec<u32>, ConfigError> {
        let Some(value) = self.map.get(field) else { return Ok(default.to_vec()) };
        let bad = || self.wrong(field, "the id of a token, a list of ids or null", value);
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => items.iter().map(|item| token_id(item).ok_or_else(bad)).collect(),
            single => Ok(vec![token_id(single).ok_or_else(bad)?]),
        }
    }
}

pub(super) fn positive(field: &str, value: &Value) -> Result<f64, ConfigError> {
    let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0 && (*number as f32).is_normal());
    number.ok_or_else(|| wrong(field, "a number above 0", value))
}

pub(super) fn wrong(field: &str, expected: impl Display, got: &Value) -> ConfigError {
    let got = got.to_string().chars().take(MAX_QUOTED_CHARS).collect();
    ConfigError::Field { field: field.to_owned(), expected: expected.to_string(), got }
}

fn token_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// A value in an error message is cut here: long enough to recognise it, short enough for one line.
const MAX_QUOTED_CHARS: usize = 100;
