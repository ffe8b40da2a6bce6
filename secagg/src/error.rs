//! What is wrong with the bytes of a document or a message.

use neuro_primitives::NodeId;
use neuro_primitives::codec::CodecError;

use crate::group::PointError;

/// Bytes that are no document or message of this protocol, or values outside their bounds. A signature is not looked
/// at here, so nobody is to blame but whoever handed the bytes over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// A field is missing, too long or left over.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Another format than this build writes.
    #[error("expected format {expected} of {what}, got {got}")]
    Format {
        /// Which document.
        what: &'static str,
        /// The format of this build.
        expected: u8,
        /// The byte.
        got: u8,
    },
    /// A kind that does not exist.
    #[error("expected a kind of {what}, got {got}")]
    Kind {
        /// What has kinds.
        what: &'static str,
        /// The byte.
        got: u8,
    },
    /// A number outside its bounds.
    #[error("expected {what} between {least} and {most}, got {got}")]
    Range {
        /// Which field.
        what: &'static str,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
        /// What was written.
        got: u64,
    },
    /// A list, a text or a byte string of another length.
    #[error("expected {expected} {what}, got {got}")]
    Length {
        /// What is counted.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A list that is not strictly ascending: out of order, or an entry twice.
    #[error("expected {what} strictly ascending, got entry {at} not above the one before")]
    NotAscending {
        /// What is listed.
        what: &'static str,
        /// The first entry that is not above the one before it, from 0.
        at: usize,
    },
    /// A bit beyond the cohort is set.
    #[error("expected unused bits of a bitmap of {n} members to be zero, got a one")]
    UnusedBits {
        /// The cohort's size.
        n: u16,
    },
    /// A name with other characters than printable ASCII.
    #[error("expected {what} in printable ASCII, got byte {got:#04x}")]
    NotPrintable {
        /// Which name.
        what: &'static str,
        /// The first other byte.
        got: u8,
    },
    /// A float that is no number, infinite where it may not be, or not positive.
    #[error("expected {what} as {expected}, got {got}")]
    Float {
        /// Which field.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What was written.
        got: f64,
    },
    /// A point that is the identity or not in its canonical form.
    #[error("{what}: {source}")]
    Point {
        /// Which point.
        what: &'static str,
        /// What is wrong with it.
        source: PointError,
    },
    /// A message whose length depends on the cohort came before there was one.
    #[error("expected a cohort before {kind}, got none")]
    NoCohort {
        /// Which message.
        kind: &'static str,
    },
}

impl DocumentError {
    /// Nobody: unsigned bytes prove nothing about whom they name.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}

/// `Ok` if `got` is between the bounds, both included.
pub(crate) fn within(what: &'static str, got: u64, least: u64, most: u64) -> Result<(), DocumentError> {
    if (least..=most).contains(&got) { Ok(()) } else { Err(DocumentError::Range { what, least, most, got }) }
}

/// `Ok` if each item is above the one before it.
pub(crate) fn ascending<T: Ord>(what: &'static str, items: impl IntoIterator<Item = T>) -> Result<(), DocumentError> {
    let mut before = None;
    for (at, item) in items.into_iter().enumerate() {
        if before.as_ref().is_some_and(|before| *before >= item) {
            return Err(DocumentError::NotAscending { what, at });
        }
        before = Some(item);
    }
    Ok(())
}
