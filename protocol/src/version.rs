//! Versions of what travels, and how two sides agree on one.

use std::ops::RangeInclusive;

/// The oldest version of the frames that this build speaks. Answers of version 2 had no digests,
/// and version 1 knew hidden states of f32 alone; nothing that speaks them was ever released, so nobody carries their
/// decoders on.
pub const WIRE_MIN: u16 = 3;

/// The newest version of the frames that this build speaks.
pub const WIRE_MAX: u16 = 3;

/// The arithmetic that results are exact in: blocks of activations, the native engine's products, the contribution
/// rule (`docs/spec/native-engine.md`, `docs/spec/wire.md` section 7). It is the number of the native engine. Two sides
/// with different numbers would add numbers that no quorum can compare, so there is nothing to negotiate: they must be
/// equal.
pub const ENGINE_SPEC: u32 = 2;

/// Name of the stream protocol that carries tasks and answers. Its number is that of the greetings, whose layout never
/// changes; the version of all other frames is agreed on in them.
pub const DATA_PROTOCOL: &str = "/neuro/experts/1";

/// Name of the stream protocol that carries the control services.
pub const CONTROL_PROTOCOL: &str = "/neuro/control/1";

/// Two sides speak no version in common.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a wire version between {} and {}, got {} to {}",
    .ours.start(), .ours.end(), .theirs.start(), .theirs.end()
)]
pub struct VersionError {
    /// What this side speaks.
    pub ours: RangeInclusive<u16>,
    /// What the other side says it speaks.
    pub theirs: RangeInclusive<u16>,
}

impl VersionError {
    /// Always false: one of the two sides needs another build.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// The versions this build speaks.
#[must_use]
pub const fn supported() -> RangeInclusive<u16> {
    WIRE_MIN..=WIRE_MAX
}

/// The newest version that both sides speak.
///
/// # Errors
/// When there is none, or when one of the ranges is empty.
pub fn negotiate(ours: RangeInclusive<u16>, theirs: RangeInclusive<u16>) -> Result<u16, VersionError> {
    let newest = *ours.end().min(theirs.end());
    if ours.contains(&newest) && theirs.contains(&newest) { Ok(newest) } else { Err(VersionError { ours, theirs }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_wins() {
        for (ours, theirs, agreed) in [
            (1..=1, 1..=1, Some(1)),
            (1..=3, 2..=5, Some(3)),
            (2..=5, 1..=3, Some(3)),
            (1..=9, 4..=4, Some(4)),
            (1..=1, 2..=3, None),
            (4..=5, 2..=3, None),
            (1..=3, RangeInclusive::new(3, 2), None),
            (0..=u16::MAX, RangeInclusive::new(u16::MAX, 0), None),
        ] {
            assert_eq!(negotiate(ours.clone(), theirs.clone()).ok(), agreed, "{ours:?} with {theirs:?}");
        }
    }

    #[test]
    fn a_refusal_names_both_ranges() {
        let refusal = negotiate(supported(), 7..=9).unwrap_err();
        assert_eq!(refusal.to_string(), "expected a wire version between 3 and 3, got 7 to 9");
        assert!(!refusal.is_retryable());
    }
}
