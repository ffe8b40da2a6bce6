//! Updates as integers that can be masked and added, and sums as numbers again.
//!
//! A vector holds, in this order (section 8 of the specification): the m model values; with a control part m control
//! values times ρ; the weight; with adaptive clipping one bit. In plain mode an entry is round-half-even(w·clamp(v·s));
//! in private mode and with central noise w = 1 and the values of model and control go through
//! [`neuro_privacy::encode`] as one vector, so that one clipping norm bounds both. Everything after this point is exact:
//! the sum of the encoded vectors is the sum that the aggregator finds under the masks, to the bit.

mod plan;
mod private;

use crate::error::{DecodeError, EncodeError};
use crate::layout::Flat;
use crate::strategy::{DecodedSum, Parts};
use neuro_privacy::NoiseRng;
use neuro_secagg::config::RoundConfig;
use neuro_secagg::masks::Lanes;
use neuro_secagg::packing::Modulus;
use neuro_secagg::quantise::{Grid, quantise};
use neuro_secagg::sum::Accumulator;

pub use plan::{EncodingMode, EncodingPlan, NoiseBy, PrivateSettings};
pub use private::{add_central_noise, within_clip};

/// Numbers this many times beyond what a vector can hold are no update but training that has diverged. Smaller ones
/// are clamped (plain mode) or clipped (private mode).
pub const DIVERGED_FACTOR: f64 = 1_048_576.0;

/// A vector that is ready to be masked.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// The words: [`Accumulator::lanes`] is where masks are applied, [`Accumulator::to_packed`] the payload.
    pub vector: Accumulator,
    /// min(1, c/‖x‖); 1 in plain mode.
    pub clip_factor: f64,
}

/// Turns what a trainer returned into the vector that is masked.
///
/// `update` and `control` are `[entries]`, f32; `weight` counts examples and is 1 where there is noise.
/// `honest_at_least` = n − d − c, the survivors among whom the noise is shared out.
///
/// # Errors
/// A vector of another length, NaN, infinity, numbers of diverged training, a weight out of its range, a modulus that
/// is too small; what clipping, rounding and noise refuse.
pub fn encode_update(
    update: &Flat,
    control: Option<&Flat>,
    weight: u32,
    plan: &EncodingPlan,
    honest_at_least: u16,
    modulus: Modulus,
    rng: &mut NoiseRng,
) -> Result<Encoded, EncodeError> {
    plan.check()?;
    check_parts(update, control, plan)?;
    check_weight(weight, plan)?;
    match &plan.mode {
        EncodingMode::Plain { grid, weight_cap } => {
            let least = Modulus::plain(grid.value_bits(), 1, *weight_cap).map_err(private::refused)?;
            check_modulus(least.bits(), modulus)?;
            plain(update, control, weight, plan, *grid, modulus)
        }
        EncodingMode::Private(settings) => {
            private::encode(&joined(update, control, plan), plan, settings, honest_at_least, modulus, rng)
        }
    }
}

/// Σ of the survivors' vectors as numbers: what [`encode_update`] put in, up to rounding, clipping and noise.
///
/// # Errors
/// A sum of another length, a sum of weights that `survivors` cannot have, and in plain mode an entry beyond what that
/// weight allows.
pub fn decode_sum(sum: &[i64], survivors: u32, plan: &EncodingPlan) -> Result<DecodedSum, DecodeError> {
    plan.check()?;
    let expected = plan.vector_entries();
    if sum.len() != expected {
        return Err(DecodeError::Length { expected, got: sum.len() });
    }
    let (values, rest) = sum.split_at(plan.value_entries());
    let weight = rest[0];
    let (least, most) = (i64::from(survivors), i64::from(survivors) * i64::from(plan.weight_cap()));
    if survivors == 0 || !(least..=most).contains(&weight) {
        return Err(DecodeError::Weight { least, most, survivors, got: weight });
    }
    let values = match &plan.mode {
        EncodingMode::Plain { grid, .. } => plain_values(values, weight, *grid)?,
        EncodingMode::Private(settings) => private::decode(values, plan, settings)?,
    };
    Ok(DecodedSum { values, weight: weight as f64, survivors })
}

fn plain_values(values: &[i64], weight: i64, grid: Grid) -> Result<Vec<f64>, DecodeError> {
    let limit = weight.saturating_mul(grid.limit());
    if let Some(entry) = values.iter().position(|value| value.unsigned_abs() > limit.unsigned_abs()) {
        return Err(DecodeError::OutOfRange { entry, got: values[entry], limit });
    }
    Ok(values.iter().map(|&value| value as f64 / grid.scale()).collect())
}

/// The plain vector: quantised values, then the weight.
fn plain(
    update: &Flat,
    control: Option<&Flat>,
    weight: u32,
    plan: &EncodingPlan,
    grid: Grid,
    modulus: Modulus,
) -> Result<Encoded, EncodeError> {
    let mut vector = Accumulator::new(plan.vector_entries(), modulus);
    let entries = plan.entries;
    quantise(&update.0, weight, grid, vector.lanes().part(0..entries)).map_err(private::refused)?;
    if let Some(control) = control {
        let scaled = scaled(control, plan.parts);
        quantise(&scaled, weight, grid, vector.lanes().part(entries..2 * entries)).map_err(private::refused)?;
    }
    put(vector.lanes(), plan.value_entries(), i64::from(weight));
    Ok(Encoded { vector, clip_factor: 1.0 })
}

/// Writes `value` as entry `at`.
fn put(lanes: Lanes<'_>, at: usize, value: i64) {
    match lanes {
        // The lower 32 bits: two's complement modulo 2^B for every B up to 32.
        Lanes::Narrow(words) => words[at] = value as u32,
        Lanes::Wide(words) => words[at] = value.cast_unsigned(),
    }
}

/// ρ times the control variate's change, `[entries]`.
fn scaled(control: &Flat, parts: Parts) -> Vec<f32> {
    let Parts::ModelAndControl { rho } = parts else { return control.0.clone() };
    control.0.iter().map(|&value| (rho * f64::from(value)) as f32).collect()
}

/// Update and control as the one vector that is clipped: `[value_entries]`.
fn joined(update: &Flat, control: Option<&Flat>, plan: &EncodingPlan) -> Vec<f32> {
    let mut all = update.0.clone();
    all.extend(control.map(|control| scaled(control, plan.parts)).unwrap_or_default());
    all
}

fn check_parts(update: &Flat, control: Option<&Flat>, plan: &EncodingPlan) -> Result<(), EncodeError> {
    let expected = matches!(plan.parts, Parts::ModelAndControl { .. });
    if expected != control.is_some() {
        return Err(EncodeError::Control { expected });
    }
    check_values("the update", &update.0, plan.entries, plan.reach())?;
    let Parts::ModelAndControl { rho } = plan.parts else { return Ok(()) };
    control.map_or(Ok(()), |control| check_values("the control variate", &control.0, plan.entries, plan.reach() / rho))
}

fn check_values(what: &'static str, values: &[f32], expected: usize, reach: f64) -> Result<(), EncodeError> {
    if values.len() != expected {
        return Err(EncodeError::Length { what, expected, got: values.len() });
    }
    if let Some(entry) = values.iter().position(|value| !value.is_finite()) {
        return Err(EncodeError::NotFinite { what, entry, got: values[entry] });
    }
    let limit = reach * DIVERGED_FACTOR;
    match values.iter().position(|&value| f64::from(value).abs() > limit) {
        None => Ok(()),
        Some(entry) => Err(EncodeError::Huge { what, entry, got: values[entry], limit }),
    }
}

fn check_weight(got: u32, plan: &EncodingPlan) -> Result<(), EncodeError> {
    let limit = plan.weight_cap();
    if (1..=limit).contains(&got) { Ok(()) } else { Err(EncodeError::Weight { limit, got }) }
}

fn check_modulus(expected: u8, modulus: Modulus) -> Result<(), EncodeError> {
    let got = modulus.bits();
    if got >= expected { Ok(()) } else { Err(EncodeError::Modulus { expected, got }) }
}

/// B of a cohort of `n` whose batches list `rostered` members (section 10): what aggregator and participants both go by,
/// in every mode. None where 64 bits do not suffice, or for settings that this build does not read.
#[must_use]
pub fn modulus_rule(config: &RoundConfig, n: u16, rostered: u32) -> Option<u8> {
    let honest_at_least = config.demand(n, rostered).honest_at_least();
    let modulus = EncodingPlan::of(config).ok()?.modulus(n, honest_at_least, config.cohorts).ok()?;
    Some(modulus.bits())
}

#[cfg(test)]
mod tests;
