//! Settings that the format has no key for. Readers take each to be what it is in published models.

use crate::config::{Architecture, HiddenActivation, ModelConfig, RopeScaling};
use crate::gguf_export::ExportError;

/// Relative; what is closer is the same number.
pub(super) const ROUNDING: f64 = 1e-6;

/// What readers multiply sines and cosines by where a file gives no factor: 1 where attention scores are stretched
/// instead (arXiv 2309.00071, equation 22).
pub(super) fn attention_factor(factor: f64, score_factor: f64) -> f64 {
    if score_factor == 1.0 { 0.1 * factor.max(1.0).ln() + 1.0 } else { 1.0 }
}

/// # Errors
/// A setting that readers would take to be another, so that they would compute something else.
pub(super) fn check(config: &ModelConfig) -> Result<(), ExportError> {
    if let HiddenActivation::ClampedSwiglu { limit, alpha } = config.activation {
        expect("swiglu_limit", limit == 7.0, 7.0, limit)?;
        expect("swiglu_alpha", alpha == 1.702, 1.702, alpha)?;
    }
    let RopeScaling::Yarn { factor, truncate, attention_factor: got, score_factor, .. } = config.rope.scaling else {
        return Ok(());
    };
    let whole = config.architecture != Architecture::GptOss;
    expect("rope_parameters.truncate", truncate == whole, whole, truncate)?;
    // There is a key, but of a factor that llama.cpp lays over the scores of these models too.
    let assumed = attention_factor(factor, score_factor);
    let same = config.latent.is_none() || (got / assumed - 1.0).abs() <= ROUNDING;
    expect("rope_parameters.attention_factor", same, assumed, got)
}

fn expect<T: ToString>(setting: &'static str, good: bool, expected: T, got: T) -> Result<(), ExportError> {
    if good {
        return Ok(());
    }
    Err(ExportError::Setting { setting, expected: expected.to_string(), got: got.to_string() })
}
