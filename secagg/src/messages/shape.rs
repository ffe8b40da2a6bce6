//! How long the lists of a cohort's messages are.

use crate::config::MOST_MEMBERS;
use crate::error::{DocumentError, within};
use crate::feldman::Commitments;
use crate::parameters::MOST_NEIGHBOURS;
use crate::seal::BOX_BYTES;

/// The numbers of a cohort that fix the lengths of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Members, 2 to 4,096.
    pub n: u16,
    /// Neighbours of each member, 1 to n − 1 and at most 1,600.
    pub k: u16,
    /// Shares that rebuild a secret, 1 to k.
    pub t: u16,
    /// Votes of a certificate, 1 to n.
    pub q: u16,
    /// Whether dealers publish commitments (section 7.4).
    pub feldman: bool,
}

impl Shape {
    /// Whether every number is within its bounds. Whether they protect anything is for the parameters' check.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), DocumentError> {
        within("members of the cohort", self.n.into(), 2, MOST_MEMBERS.into())?;
        within("neighbours k", self.k.into(), 1, MOST_NEIGHBOURS.min(self.n - 1).into())?;
        within("threshold t", self.t.into(), 1, self.k.into())?;
        within("votes q", self.q.into(), 1, self.n.into())
    }

    /// Feldman points of one dealer: 2t − 1 or none.
    #[must_use]
    pub fn feldman_points(&self) -> usize {
        if self.feldman { Commitments::count(self.t) } else { 0 }
    }

    /// Hashes of the longest path in a tree of k pairs, from the pair's node up: ⌈log2 k⌉.
    #[must_use]
    pub const fn most_path(&self) -> usize {
        (u16::BITS - self.k.saturating_sub(1).leading_zeros()) as usize
    }

    /// Bytes of the longest inbox with its signature; not to exceed [`super::MOST_ANNOUNCEMENT_BYTES`], which many
    /// Feldman points would.
    #[must_use]
    pub fn inbox_bytes(&self) -> usize {
        let dealing = 2 + 3 * 32 + 64 + BOX_BYTES + 1 + 32 * (self.most_path() + self.feldman_points());
        1 + 32 + 4 + usize::from(self.k) * dealing + 64
    }
}
