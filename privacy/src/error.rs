//! Errors of each operation: what was expected, and what came.

use thiserror::Error;

/// The operating system gave no randomness.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected 32 random bytes from the system, got none: {reason}")]
pub struct EntropyError {
    /// What the system said.
    pub reason: String,
}

/// A vector that cannot be clipped.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum ClipError {
    /// An entry is NaN or infinite.
    #[error("expected finite entries, got {got} at entry {entry}")]
    NotFinite {
        /// The first such entry.
        entry: usize,
        /// Its value.
        got: f32,
    },
    /// The bound is no length.
    #[error("expected a finite clipping norm above 0, got {got}")]
    Bound {
        /// The bound as it came.
        got: f64,
    },
}

/// A vector that cannot be rounded under its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum RoundingError {
    /// No try met the bounds. For a vector within its clipping norm each try meets them with probability ≥ 1 − β.
    #[error("expected a rounding with norm at most {l2_bound}, got none in {tries} tries")]
    GaveUp {
        /// Tries made.
        tries: u32,
        /// The bound Δ₂, in units.
        l2_bound: f64,
    },
    /// An entry times the scale is NaN or too large for the integers.
    #[error("expected entries below 2^52 units, got {got} units at entry {entry}")]
    OutOfRange {
        /// The first such entry.
        entry: usize,
        /// Its value in units.
        got: f64,
    },
    /// Input and output differ in length.
    #[error("expected {expected} entries, got {got}")]
    Length {
        /// Entries of the input.
        expected: usize,
        /// Entries of the output.
        got: usize,
    },
}

/// A variance that the exact samplers do not take.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum VarianceError {
    /// Zero, negative, NaN or infinite.
    #[error("expected a finite variance above 0, got {got}")]
    NotPositive {
        /// The variance as it came, in units².
        got: f64,
    },
    /// Larger than the sampler's integers allow.
    #[error("expected a variance of at most {limit}, got {got}")]
    TooLarge {
        /// The greatest variance, in units².
        limit: f64,
        /// The variance as it came, in units².
        got: f64,
    },
    /// Nobody honest is counted on, so no share of the noise is enough.
    #[error("expected at least 1 honest survivor to share the noise, got 0")]
    NobodyHonest,
    /// A fraction with the denominator 0, or one above its limit.
    #[error("expected a denominator of 1 to {limit}, got {got}")]
    Denominator {
        /// The greatest denominator.
        limit: u64,
        /// The denominator as it came.
        got: u64,
    },
}

/// Numbers for which the modulus cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum OverflowError {
    /// A count, length or variance makes no sense.
    #[error("expected {expected}, got {got}")]
    BadInput {
        /// What the number has to be.
        expected: &'static str,
        /// The number as it came.
        got: f64,
    },
    /// No modulus is wide enough.
    #[error("expected an overflow of at most 2^{limit_log2} within 64 bits, got 2^{got_log2}")]
    TooWide {
        /// log2 of the probability asked for.
        limit_log2: f64,
        /// log2 of the bound at 64 bits.
        got_log2: f64,
    },
}

/// An update that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum EncodeError {
    /// Another length than the layout has.
    #[error("expected {expected} entries, got {got}")]
    Length {
        /// Entries of the layout.
        expected: usize,
        /// Entries that came.
        got: usize,
    },
    /// A scale that is no scale, or one that takes the clipping norm beyond 2^40 units.
    #[error("expected a scale above 0 with a clipping norm of at most 2^40 units, got {scale} with norm {clip}")]
    Scale {
        /// Units per 1.0.
        scale: f64,
        /// The clipping norm, in the update's own measure.
        clip: f64,
    },
    /// The update cannot be clipped.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The update cannot be rounded.
    #[error(transparent)]
    Rounding(#[from] RoundingError),
}

/// An event that an accountant does not count.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum EventError {
    /// This accountant has no bound for events of this kind.
    #[error("expected an event that the {accountant} accountant bounds, got {event}: {reason}")]
    Unsupported {
        /// RDP or PLD.
        accountant: &'static str,
        /// The event's kind.
        event: &'static str,
        /// Why there is no bound.
        reason: &'static str,
    },
    /// A number of the event is out of range.
    #[error("expected {name} {expected}, got {got}")]
    OutOfRange {
        /// Which number.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// The number as it came.
        got: f64,
    },
    /// Events nested beyond the limit.
    #[error("expected events nested at most {limit} deep, got more")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
}

/// A question to an accountant that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum QueryError {
    /// δ is not a probability between 0 and 1.
    #[error("expected δ above 0 and below 1, got {got}")]
    Delta {
        /// δ as it came.
        got: f64,
    },
    /// ε is negative, NaN or infinite.
    #[error("expected a finite ε of at least 0, got {got}")]
    Epsilon {
        /// ε as it came.
        got: f64,
    },
}

/// No noise meets a target.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum CalibrationError {
    /// ε is not above 0 and finite.
    #[error("expected a finite ε above 0, got {got}")]
    Epsilon {
        /// ε as it came.
        got: f64,
    },
    /// Nothing is to be released.
    #[error("expected at least 1 release, got 0")]
    NoReleases,
    /// Not even the most noise that is tried suffices.
    #[error("expected (ε, δ) = ({epsilon}, {delta}) at a variance of at most {limit}, got ε = {got}")]
    OutOfReach {
        /// The target's ε.
        epsilon: f64,
        /// The target's δ.
        delta: f64,
        /// The most that was tried, in the event's own unit.
        limit: f64,
        /// ε at the most that was tried.
        got: f64,
    },
    /// The event is not counted.
    #[error(transparent)]
    Event(#[from] EventError),
    /// δ is no probability.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Numbers from which no next clipping norm follows.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("expected {name} {expected}, got {got}")]
pub struct ClipRuleError {
    /// Which number.
    pub name: &'static str,
    /// What it has to be.
    pub expected: &'static str,
    /// The number as it came.
    pub got: f64,
}
