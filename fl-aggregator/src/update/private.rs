//! The private encoding: everything that is done with clip, rotation, rounding and noise.

use super::{Encoded, EncodingMode, EncodingPlan, NoiseBy, PrivateSettings, check_modulus, put};
use crate::error::{DecodeError, EncodeError};
use neuro_privacy::adaptive_clip::bit_event;
use neuro_privacy::{
    DiscreteGaussian, Encoder, EncoderSettings, Event, NoiseRng, Rational, Skellam, least_modulus_bits, local_variance,
};
use neuro_secagg::packing::Modulus;
use neuro_secagg::sum::Accumulator;

/// What another crate refused, in its words.
pub(super) fn refused(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Private { why: error.to_string() }
}

fn encoder(plan: &EncodingPlan, settings: &PrivateSettings) -> Result<Encoder, EncodeError> {
    let PrivateSettings { rotation, clip, scale, .. } = *settings;
    Encoder::new(&EncoderSettings { rotation, entries: plan.value_entries(), clip, scale }).map_err(refused)
}

/// A participant's part of the noise, so that `honest_at_least` of them reach `target`.
fn share_of(target: f64, honest_at_least: u16) -> Result<Skellam, EncodeError> {
    local_variance(target, honest_at_least).and_then(Skellam::new).map_err(refused)
}

/// `values`: `[value_entries]`, f32.
pub(super) fn encode(
    values: &[f32],
    plan: &EncodingPlan,
    settings: &PrivateSettings,
    honest_at_least: u16,
    modulus: Modulus,
    rng: &mut NoiseRng,
) -> Result<Encoded, EncodeError> {
    let local = settings.noise == NoiseBy::Participants;
    let noise = local.then(|| share_of(settings.variance, honest_at_least)).transpose()?;
    check_modulus(self::modulus(plan, settings, honest_at_least.max(1), honest_at_least, 1)?.bits(), modulus)?;
    let encoded = encoder(plan, settings)?.encode(values, noise.as_ref(), rng).map_err(refused)?;
    let mut vector = Accumulator::new(plan.vector_entries(), modulus);
    for (entry, &value) in encoded.values.iter().enumerate() {
        put(vector.lanes(), entry, value);
    }
    put(vector.lanes(), plan.value_entries(), 1);
    if let Some(variance) = settings.bit_variance {
        let bit = i64::from(encoded.within_clip) + share_of(variance, honest_at_least)?.sample(rng);
        put(vector.lanes(), plan.value_entries() + 1, bit);
    }
    Ok(Encoded { vector, clip_factor: encoded.factor })
}

/// `values`: `[value_entries]`, i64 units.
pub(super) fn decode(values: &[i64], plan: &EncodingPlan, settings: &PrivateSettings) -> Result<Vec<f64>, DecodeError> {
    let decoded = encoder(plan, settings)?.decode(values).map_err(refused)?;
    Ok(decoded.into_iter().map(f64::from).collect())
}

/// The noisy number of survivors whose norm was within the clip; none where the clip does not adapt.
#[must_use]
pub fn within_clip(sum: &[i64], plan: &EncodingPlan) -> Option<i64> {
    let EncodingMode::Private(PrivateSettings { bit_variance: Some(_), .. }) = plan.mode else { return None };
    sum.get(plan.value_entries() + 1).copied()
}

/// Adds the aggregator's discrete Gaussian noise to a sum in central mode, before anything else is done with it.
///
/// # Errors
/// A plan in which the aggregator adds no noise, a sum of another length, a variance that cannot be sampled.
pub fn add_central_noise(sum: &mut [i64], plan: &EncodingPlan, rng: &mut NoiseRng) -> Result<(), EncodeError> {
    plan.check()?;
    let EncodingMode::Private(settings @ PrivateSettings { noise: NoiseBy::Aggregator, .. }) = plan.mode else {
        return Err(refused("expected central noise in the plan, got another mode"));
    };
    let (expected, got) = (plan.vector_entries(), sum.len());
    if expected != got {
        return Err(EncodeError::Length { what: "the sum", expected, got });
    }
    let sigma2 = Rational::at_least(settings.variance).map_err(refused)?;
    DiscreteGaussian::new(sigma2).add(rng, &mut sum[..plan.value_entries()]);
    Ok(())
}

/// The least B for values, weight and bit, in a round of `cohorts` cohorts: values and bits of all of them share what a round
/// may overflow.
pub(super) fn modulus(
    plan: &EncodingPlan,
    settings: &PrivateSettings,
    members: u16,
    honest_at_least: u16,
    cohorts: u16,
) -> Result<Modulus, EncodeError> {
    let sums = u32::from(cohorts) * (1 + u32::from(settings.bit_variance.is_some()));
    let encoder = encoder(plan, settings)?;
    let total = |target: f64| {
        let share = local_variance(target, honest_at_least).map_err(refused)?.value();
        Ok(f64::from(members) * share)
    };
    let variance = match settings.noise {
        NoiseBy::Participants => total(settings.variance)?,
        NoiseBy::Aggregator => 0.0,
    };
    let (units, block, entries) = (encoder.clip_units(), encoder.block(), plan.value_entries());
    let mut bits = least_modulus_bits(members, units, block, entries, variance, sums).map_err(refused)?;
    // Σw = |S| ≤ n is read as two's complement.
    bits = bits.max((u16::BITS - members.leading_zeros() + 1) as u8);
    if let Some(target) = settings.bit_variance {
        bits = bits.max(least_modulus_bits(members, 1.0, 1, 1, total(target)?, sums).map_err(refused)?);
    }
    Modulus::new(bits).map_err(refused)
}

/// The noisy sum as an event to be counted.
pub(super) fn release(
    plan: &EncodingPlan,
    settings: &PrivateSettings,
    members: u16,
    honest_at_least: u16,
) -> Result<Event, EncodeError> {
    let bounds = *encoder(plan, settings)?.bounds();
    if settings.noise == NoiseBy::Aggregator {
        let sigma2 = Rational::at_least(settings.variance).map_err(refused)?.value();
        return Ok(Event::DiscreteGaussian { sigma2, l2: bounds.l2 });
    }
    let distance = share_of(settings.variance, honest_at_least)?.release_distance_log2(members, plan.value_entries());
    let vector = Event::Skellam { variance: settings.variance, bounds, distance_log2: distance };
    let Some(variance) = settings.bit_variance else { return Ok(vector) };
    let distance = share_of(variance, honest_at_least)?.release_distance_log2(members, 1);
    Ok(Event::Composed(vec![(vector, 1), (bit_event(variance, distance), 1)]))
}
