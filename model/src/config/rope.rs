//! The rotary embedding's settings, in the three forms that files have them.
//!
//! Files before `transformers` 5 have `rope_theta` at the top and an optional `rope_scaling`; newer ones have
//! `rope_parameters` with both. A scaling that this engine does not have is an error: it gives other angles, and a
//! model run with the wrong angles answers fluently and wrongly.

use crate::config::defaults::Defaults;
use crate::config::fields::{Fields, positive, wrong};
use crate::config::{Architecture, ConfigError, MAX_CONTEXT};

/// The rotary position embedding: "RoFormer", Su et al., arXiv 2104.09864.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeSettings {
    /// Base of the frequencies.
    pub theta: f64,
    /// Which elements of a head make a pair.
    pub pairing: RopePairing,
    /// How the frequencies are stretched for contexts longer than the model was first trained on.
    pub scaling: RopeScaling,
}

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// Element `i` with element `i + n/2`: Hugging Face checkpoints, and GGUF's qwen, olmoe and gpt-oss.
    Halves,
    /// Element `2i` with element `2i + 1`: DeepSeek, and GGUF's llama.
    Neighbours,
}

/// How rotary frequencies are stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// How much longer the context is.
        factor: f64,
    },
    /// "YaRN", Peng et al., arXiv 2309.00071: low frequencies are divided, high ones kept, with a ramp between.
    Yarn {
        /// How much longer the context is.
        factor: f64,
        /// Positions that the model was first trained on.
        original_context: f64,
        /// Rotations over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations over the original context below which a frequency is divided.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded to whole dimensions (`truncate`).
        truncate: bool,
        /// What sines and cosines are multiplied by.
        attention_factor: f64,
        /// What attention scores are multiplied by besides `1/√width` (DeepSeek's `mscale_all_dim`, squared; else 1).
        score_factor: f64,
    },
}

impl RopeSettings {
    /// Reads the settings; `context` is the length that the model was made for.
    pub(super) fn read(architecture: Architecture, fields: &Fields, context: usize) -> Result<Self, ConfigError> {
        let neighbours = fields.flag("rope_interleave", architecture.is_deepseek())?;
        Ok(Self {
            theta: theta(fields, Defaults::of(architecture).rope_theta)?,
            pairing: if neighbours { RopePairing::Neighbours } else { RopePairing::Halves },
            scaling: scaling(architecture, fields, context)?,
        })
    }
}

/// The base of the frequencies.
fn theta(fields: &Fields, default: f64) -> Result<f64, ConfigError> {
    for field in PLACES {
        let inside = fields.get(field).and_then(|settings| settings.get("rope_theta"));
        if let Some(value) = inside.filter(|value| !value.is_null()) {
            return positive(&format!("{field}.rope_theta"), value);
        }
    }
    fields.positive("rope_theta", default)
}

fn scaling(architecture: Architecture, fields: &Fields, context: usize) -> Result<RopeScaling, ConfigError> {
    let mut found: Option<RopeScaling> = None;
    for field in PLACES {
        let Some(settings) = fields.object(field)? else { continue };
        let scaling = scaling_in(architecture, fields, &settings, context)?;
        if found.is_some_and(|found| found != scaling) {
            return Err(ConfigError::contradiction(PLACES[0], PLACES[1]));
        }
        found = Some(scaling);
    }
    Ok(found.unwrap_or(if architecture == Architecture::GptOss { GPT_OSS_SCALING } else { RopeScaling::None }))
}

fn scaling_in(
    architecture: Architecture,
    fields: &Fields,
    settings: &Fields,
    context: usize,
) -> Result<RopeScaling, ConfigError> {
    if let Some((field, nested)) = settings.iter().find(|(_, value)| value.is_object()) {
        return Err(wrong(&settings.path(field), "one rotary embedding for all layers", nested));
    }
    check_whole_head(settings)?;
    let field = if settings.get("rope_type").is_some() { "rope_type" } else { "type" };
    match settings.text(field)? {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => linear(settings),
        Some("yarn") => yarn(architecture, fields, settings, context),
        Some(other) => Err(ConfigError::RopeType { got: other.to_owned() }),
    }
}

fn linear(settings: &Fields) -> Result<RopeScaling, ConfigError> {
    if settings.get("factor").is_none() {
        return Err(ConfigError::MissingField { field: "factor" });
    }
    Ok(RopeScaling::Linear { factor: settings.positive("factor", 1.0)? })
}

/// Scores are scaled by DeepSeek alone; others have `mscale_all_dim` at most in what sines and cosines are multiplied
/// by.
fn yarn(
    architecture: Architecture,
    fields: &Fields,
    settings: &Fields,
    context: usize,
) -> Result<RopeScaling, ConfigError> {
    let original_context = original_context(fields, settings, context)?;
    let factor = settings.positive("factor", context as f64 / original_context)?;
    let [own, all] = [magnitude(settings, "mscale")?, magnitude(settings, "mscale_all_dim")?];
    let default = match (own, all) {
        (Some(own), Some(all)) => stretch(factor, own) / stretch(factor, all),
        _ => stretch(factor, 1.0),
    };
    let score = all.filter(|_| architecture.is_deepseek()).map_or(1.0, |all| stretch(factor, all));
    Ok(RopeScaling::Yarn {
        factor,
        original_context,
        beta_fast: settings.positive("beta_fast", 32.0)?,
        beta_slow: settings.positive("beta_slow", 1.0)?,
        truncate: settings.flag("truncate", true)?,
        attention_factor: settings.positive("attention_factor", default)?,
        score_factor: score * score,
    })
}

/// In the settings or, in some files, at the top; the model's context where it is in neither place.
fn original_context(fields: &Fields, settings: &Fields, context: usize) -> Result<f64, ConfigError> {
    let field = "original_max_position_embeddings";
    let top = fields.count(field, 0, 1..=MAX_CONTEXT)?;
    let inside = settings.count(field, top, 1..=MAX_CONTEXT)?;
    match (top, inside) {
        (_, 0) => Ok(context as f64),
        (0, inside) => Ok(inside as f64),
        (top, inside) if top == inside => Ok(top as f64),
        _ => Err(ConfigError::contradiction(field, &settings.path(field))),
    }
}

/// A factor of the logarithm in [`stretch`]; 0 counts as none.
fn magnitude(settings: &Fields, field: &str) -> Result<Option<f64>, ConfigError> {
    match settings.get(field).filter(|value| value.as_f64() != Some(0.0)) {
        Some(_) => settings.positive(field, 1.0).map(Some),
        None => Ok(None),
    }
}

/// How much larger scores must be in a context that is `factor` times as long: arXiv 2309.00071, equation 22.
fn stretch(factor: f64, magnitude: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * magnitude * factor.ln() + 1.0 }
}

fn check_whole_head(settings: &Fields) -> Result<(), ConfigError> {
    match settings.get("partial_rotary_factor").filter(|factor| factor.as_f64() != Some(1.0)) {
        Some(factor) => Err(wrong(&settings.path("partial_rotary_factor"), "1.0", factor)),
        None => Ok(()),
    }
}

/// Where files have the settings, the older place last.
const PLACES: [&str; 2] = ["rope_parameters", "rope_scaling"];

/// What gpt-oss has where the file says nothing. The attention factor is `0.1 ln 32 + 1`.
const GPT_OSS_SCALING: RopeScaling = RopeScaling::Yarn {
    factor: 32.0,
    original_context: 4096.0,
    beta_fast: 32.0,
    beta_slow: 1.0,
    truncate: false,
    attention_factor: 1.346_573_590_279_972_6,
    score_factor: 1.0,
};
