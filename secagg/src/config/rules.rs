//! The bounds of the configuration's fields (section 4).

use super::{
    MOST_ENTRIES, MOST_MEMBERS, MOST_PRIVACY_BYTES, MOST_STRATEGY_BYTES, MOST_STRATEGY_NAME_BYTES, MOST_WEIGHT,
    PrivacyMode, RoundConfig, WHOLE_BPS,
};
use crate::error::{DocumentError, ascending, within};
use crate::fields::check_name;

pub(super) fn check(config: &RoundConfig) -> Result<(), DocumentError> {
    check_place(config)?;
    check_vector(config)?;
    check_privacy(config)?;
    check_protection(config)?;
    config.deadlines.all().into_iter().try_for_each(|(what, ms)| within(what, ms.into(), 1, u32::MAX.into()))
}

/// Fields 3 and 6: which cohort, and who is called.
fn check_place(config: &RoundConfig) -> Result<(), DocumentError> {
    within("cohorts of the round", config.cohorts.into(), 1, u16::MAX.into())?;
    within("the cohort's number", config.cohort.into(), 0, u64::from(config.cohorts) - 1)?;
    within("batches", config.batches.len() as u64, 1, 1 << 16)?;
    ascending("batches", &config.batches)
}

/// Fields 9 to 12: the vector and its entries.
fn check_vector(config: &RoundConfig) -> Result<(), DocumentError> {
    let entries = u64::from(config.entries);
    within("model values", entries, 1, MOST_ENTRIES.into())?;
    within("entries of the vector", config.vector_entries.into(), entries + 1, 2 * entries + 2)?;
    check_name("bytes of the strategy's name", &config.strategy.name, MOST_STRATEGY_NAME_BYTES)?;
    within("bytes of the strategy's settings", config.strategy.settings.len() as u64, 0, MOST_STRATEGY_BYTES as u64)?;
    within("value bits", config.value_bits.into(), 2, 32)?;
    if config.scale.is_finite() && config.scale > 0.0 {
        Ok(())
    } else {
        Err(DocumentError::Float { what: "the scale", expected: "a finite number above 0", got: config.scale })
    }
}

/// Fields 11 and 13. One participant moves a sum with noise by at most its clipping norm, so its weight is 1.
fn check_privacy(config: &RoundConfig) -> Result<(), DocumentError> {
    let noisy = config.privacy.mode != PrivacyMode::None;
    let most_settings = if noisy { MOST_PRIVACY_BYTES } else { 0 };
    within("bytes of the privacy settings", config.privacy.settings.len() as u64, 0, most_settings as u64)?;
    within("the weight cap", config.weight_cap.into(), 1, if noisy { 1 } else { MOST_WEIGHT.into() })
}

/// Fields 15 to 17: what is tolerated, how surely, and among how many.
fn check_protection(config: &RoundConfig) -> Result<(), DocumentError> {
    within("corrupt members in 1/10,000", config.corrupt_bps.into(), 0, WHOLE_BPS.into())?;
    within("dropouts in 1/10,000", config.dropout_bps.into(), 0, WHOLE_BPS.into())?;
    within("bits of security", config.security_bits.into(), 1, u8::MAX.into())?;
    within("bits of correctness", config.correctness_bits.into(), 1, u8::MAX.into())?;
    within("least members", config.least_members.into(), 2, MOST_MEMBERS.into())?;
    within("most members", config.most_members.into(), config.least_members.into(), MOST_MEMBERS.into())
}
