//! The rotary embedding's settings, in the three forms that files have them.
//!
//! Files before `transformers` 5 have `rope_theta` at the top and an optional `rope_scaling`; newer ones have
//! `rope_parameters` with both. Only the plain embedding is supported: a scaled one gives other angles, and a model
//! run with the wrong angles answers fluently and wrongly.

use serde_json::Value;

use crate::config::ConfigError;
use crate::config::fields::{Fields, positive, wrong};

/// The base of the frequencies.
pub(super) fn theta(fields: &Fields, default: f64) -> Result<f64, ConfigError> {
    for field in ["rope_parameters", "rope_scaling"] {
        if let Some(settings) = fields.get(field) {
            check_plain(field, settings)?;
        }
    }
    let inside = fields.get("rope_parameters").and_then(|settings| settings.get("rope_theta"));
    match inside.filter(|value| !value.is_null()) {
        Some(value) => positive("rope_parameters.rope_theta", value),
        None => fields.positive("rope_theta", default),
    }
}

fn check_plain(field: &str, settings: &Value) -> Result<(), ConfigError> {
    let object = settings.as_object().ok_or_else(|| wrong(field, "an object or null", settings))?;
    if object.values().any(Value::is_object) {
        return Err(wrong(field, "one rotary embedding for all layers", settings));
    }
    let kind = object.get("rope_type").or_else(|| object.get("type")).filter(|kind| !kind.is_null());
    if let Some(kind) = kind.filter(|kind| kind.as_str() != Some("default")) {
        return Err(ConfigError::RopeType { got: kind.as_str().map_or_else(|| kind.to_string(), str::to_owned) });
    }
    check_whole_head(field, object.get("partial_rotary_factor"))
}

fn check_whole_head(field: &str, factor: Option<&Value>) -> Result<(), ConfigError> {
    match factor.filter(|factor| !factor.is_null() && factor.as_f64() != Some(1.0)) {
        Some(factor) => Err(wrong(&format!("{field}.partial_rotary_factor"), "1.0", factor)),
        None => Ok(()),
    }
}
