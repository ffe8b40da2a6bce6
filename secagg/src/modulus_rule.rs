//! How wide the modulus of a cohort is (section 10). Aggregator and participants go by the same rule: the one announces
//! what it gives, the others accept nothing else.

use crate::config::{PrivacyMode, RoundConfig};

/// `B` for a cohort of `n` members, when the roster lists `rostered` in the batches of the configuration; none if 64 bits
/// do not suffice, or if the rule is not for this configuration.
///
/// The overflow bound of private mode is the matter of whoever adds the noise, so its rule comes from there. It needs both
/// numbers: a participant's part of the noise is sized for n − d − c, and c is counted from the roster
/// ([`RoundConfig::demand`]).
pub type ModulusRule = fn(config: &RoundConfig, n: u16, rostered: u32) -> Option<u8>;

/// The rule of plain mode: b + ⌈log2(n·W)⌉. None in private mode, whose margin for the noise it does not know.
pub(crate) fn plain_modulus(config: &RoundConfig, n: u16, _rostered: u32) -> Option<u8> {
    let is_private = config.privacy.mode == PrivacyMode::Distributed;
    Some(config.plain_modulus_bits(n)).filter(|&bits| bits <= 64 && !is_private)
}
