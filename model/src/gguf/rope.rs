//! The rotary embedding's settings as Hugging Face's `rope_parameters`.

use serde_json::{Value, json};

use crate::gguf::GgufError;
use crate::gguf::config::Settings;
use crate::gguf::family::Family;

/// The base where a file gives none.
const DEFAULT_BASE: f64 = 10_000.0;

pub(super) fn parameters(settings: &Settings<'_>) -> Result<Value, GgufError> {
    let theta = settings.number("rope.freq_base")?.unwrap_or(DEFAULT_BASE);
    let factor = factor(settings)?;
    let kind = settings.file().text(&settings.key("rope.scaling.type"))?;
    match kind {
        None | Some("none") if factor == 1.0 => Ok(json!({"rope_type": "default", "rope_theta": theta})),
        Some("linear") if factor == 1.0 => Ok(json!({"rope_type": "default", "rope_theta": theta})),
        None | Some("linear") => Ok(json!({"rope_type": "linear", "rope_theta": theta, "factor": factor})),
        Some("none") => Ok(json!({"rope_type": "default", "rope_theta": theta})),
        Some("yarn") => yarn(settings, theta, factor),
        Some(other) => Err(settings.wrong("rope.scaling.type", "none, linear or yarn", &format!("{other:?}"))),
    }
}

/// How much longer the context is made; older files call it `rope.scale_linear`.
fn factor(settings: &Settings<'_>) -> Result<f64, GgufError> {
    let factor = match settings.number("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => settings.number("rope.scale_linear")?,
    };
    Ok(factor.filter(|&factor| factor != 0.0).unwrap_or(1.0))
}

fn yarn(settings: &Settings<'_>, theta: f64, factor: f64) -> Result<Value, GgufError> {
    let original = settings.count("rope.scaling.original_context_length")?.filter(|&length| length > 0);
    let mut value = json!({
        "rope_type": "yarn", "rope_theta": theta, "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": settings.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
        "beta_slow": settings.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        // The ramp's ends are whole dimensions, but for gpt-oss; files have no key for it.
        "truncate": settings.family() != Family::GptOss,
    });
    let own = attention_factor(settings, factor)?;
    let magnitude = magnitude(settings)?;
    let Some(fields) = value.as_object_mut() else { return Ok(value) };
    if let Some(own) = own {
        fields.insert("attention_factor".to_owned(), json!(own));
    }
    if let Some(magnitude) = magnitude {
        fields.insert("mscale".to_owned(), json!(magnitude));
        fields.insert("mscale_all_dim".to_owned(), json!(magnitude));
    }
    Ok(value)
}

/// The file's factor is laid over the one that follows from the stretch; Hugging Face's takes its place.
fn attention_factor(settings: &Settings<'_>, factor: f64) -> Result<Option<f64>, GgufError> {
    let given = match settings.number("rope.scaling.attn_factor")? {
        Some(given) => Some(given),
        None => settings.number("rope.scaling.yarn_attn_factor")?,
    };
    Ok(given.filter(|&given| given != 1.0 && given != 0.0).map(|given| given * (0.1 * factor.ln() + 1.0)))
}

/// DeepSeek's `mscale_all_dim`, of which files have a tenth. Released models have the same `mscale`.
fn magnitude(settings: &Settings<'_>) -> Result<Option<f64>, GgufError> {
    let tenth = settings.number("rope.scaling.yarn_log_multiplier")?;
    Ok(tenth.filter(|&tenth| tenth != 0.0).map(|tenth| (tenth * 1e7).round() / 1e6))
}
