//! Which floor a configuration or a cohort is below.

use neuro_primitives::{NodeId, UnixMillis};

use crate::config::PrivacyMode;

/// A configuration, a cohort or a trainer that the participant's floors do not let pass.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FloorRefused {
    /// A round that is over, or a cohort that was joined.
    #[error("expected a round after {newest} or another cohort of it, got cohort {cohort} of round {round}")]
    RoundSeen {
        /// The newest round that was joined.
        newest: u64,
        /// The round of the configuration.
        round: u64,
        /// Its cohort.
        cohort: u16,
    },
    /// This machine's clock shows less than when the last release was charged, so today's are not known.
    #[error(
        "expected this machine's clock not to show less than {last}, when the last release was charged, got {now}; set \
         the clock right, or wait"
    )]
    ClockRanBack {
        /// When the last release was charged.
        last: UnixMillis,
        /// This machine's time.
        now: UnixMillis,
    },
    /// Today's releases are used up.
    #[error("expected fewer than {most} rounds in the last 24 hours, got {got}")]
    RoundsADay {
        /// How many there may be.
        most: u32,
        /// How many there were.
        got: usize,
    },
    /// A strategy that the file does not name.
    #[error("expected a strategy that the floors name, got {got:?}")]
    Strategy {
        /// Its name.
        got: String,
    },
    /// A trainer that the file does not name.
    #[error("expected a trainer that the floors name, got {got:?}")]
    Trainer {
        /// Its name.
        got: String,
    },
    /// The participants are to add no noise.
    #[error("expected noise of every participant, got mode {got:?}")]
    NotPrivate {
        /// The configuration's mode.
        got: PrivacyMode,
    },
    /// The round would cost more ε than is left.
    #[error("expected ε of at most {most} over the task, got {got}")]
    Epsilon {
        /// The most.
        most: f64,
        /// With this round.
        got: f64,
    },
    /// The round would cost more δ than is left.
    #[error("expected δ of at most {most} over the task, got {got}")]
    Delta {
        /// The most.
        most: f64,
        /// With this round.
        got: f64,
    },
    /// A cohort that is or may become too small.
    #[error("expected at least {expected} members, got {got}")]
    Members {
        /// The least.
        expected: u16,
        /// The configuration's least, or the cohort's size.
        got: u16,
    },
    /// A cohort larger than its configuration says.
    #[error("expected at most {expected} members, got {got}")]
    TooMany {
        /// The configuration's most.
        expected: u16,
        /// The cohort's size.
        got: u16,
    },
    /// Too few of those who could have come.
    #[error("expected a turnout of at least {expected_bps}/10,000, got {n} members of {rostered}")]
    Turnout {
        /// The least, in 1/10,000.
        expected_bps: u16,
        /// The cohort's size, or the largest that the configuration allows.
        n: u16,
        /// Members of the batches.
        rostered: u32,
    },
    /// Too few corrupt members are counted with.
    #[error("expected at least {expected_bps}/10,000 corrupt members to be tolerated, got {got_bps}")]
    Corrupt {
        /// The least γ.
        expected_bps: u16,
        /// The configuration's.
        got_bps: u16,
    },
    /// A sum may cover too small a share of honest members.
    #[error("expected α of at least {expected_bps}/10,000, got {got_bps}")]
    Alpha {
        /// The least.
        expected_bps: u16,
        /// The least over the sizes that the cohort may have, rounded down.
        got_bps: u32,
    },
    /// Security may fail too often.
    #[error("expected at least {expected} bits of security, got {got}")]
    Security {
        /// The least σ.
        expected: u8,
        /// The configuration's.
        got: u8,
    },
    /// The payload would be too large.
    #[error("expected at most {most} bytes to upload, got {got}")]
    UploadBytes {
        /// The most.
        most: u64,
        /// The payload's size.
        got: u64,
    },
}

impl FloorRefused {
    /// Nobody: asking for more than a participant gives is no misbehaviour.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }

    /// Whether the same round may be admitted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::RoundsADay { .. } | Self::ClockRanBack { .. })
    }
}
