//! Who is who within a cohort: members by number, and sets of them as bitmaps (section 2).

use crate::error::DocumentError;

/// A member of a cohort by its number: members are numbered from 0 by ascending node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(pub u16);

impl Member {
    /// The number as an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of members of a cohort of `n`: ⌈n/8⌉ bytes, member `i` at bit `i mod 8` of byte `⌊i/8⌋`, unused bits zero.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bitmap {
    n: u16,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// The empty set in a cohort of `n`.
    #[must_use]
    pub fn new(n: u16) -> Self {
        Self { n, bytes: vec![0; Self::byte_count(n)] }
    }

    /// All members of a cohort of `n`.
    #[must_use]
    pub fn full(n: u16) -> Self {
        Self::of(n, (0..n).map(Member))
    }

    /// The given members of a cohort of `n`.
    ///
    /// # Panics
    /// As [`Self::insert`].
    #[must_use]
    pub fn of(n: u16, members: impl IntoIterator<Item = Member>) -> Self {
        let mut set = Self::new(n);
        members.into_iter().for_each(|member| set.insert(member));
        set
    }

    /// How many bytes a bitmap of a cohort of `n` has.
    #[must_use]
    pub fn byte_count(n: u16) -> usize {
        usize::from(n).div_ceil(8)
    }

    /// The set that `bytes` stand for in a cohort of `n`.
    ///
    /// # Errors
    /// When the length is not that of such a bitmap, or when an unused bit is set.
    pub fn decode(n: u16, bytes: &[u8]) -> Result<Self, DocumentError> {
        let expected = Self::byte_count(n);
        if bytes.len() != expected {
            return Err(DocumentError::Length { what: "bytes of a bitmap", expected, got: bytes.len() });
        }
        let unused = bytes.last().map_or(0, |last| if n.is_multiple_of(8) { 0 } else { last >> (n % 8) });
        if unused != 0 {
            return Err(DocumentError::UnusedBits { n });
        }
        Ok(Self { n, bytes: bytes.to_vec() })
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// The size of the cohort, not of the set.
    #[must_use]
    pub const fn n(&self) -> u16 {
        self.n
    }

    /// Whether `member` is in the set; no member beyond the cohort is.
    #[must_use]
    pub fn get(&self, member: Member) -> bool {
        self.bytes.get(member.index() / 8).is_some_and(|byte| byte >> (member.0 % 8) & 1 == 1)
    }

    /// Puts `member` into the set or takes it out.
    ///
    /// # Panics
    /// When the cohort has no such member: the number comes from this side and not from a peer.
    pub fn set(&mut self, member: Member, present: bool) {
        assert!(member.0 < self.n, "member {} of a cohort of {}", member.0, self.n);
        let bit = 1 << (member.0 % 8);
        let byte = &mut self.bytes[member.index() / 8];
        *byte = if present { *byte | bit } else { *byte & !bit };
    }

    /// Puts `member` into the set.
    ///
    /// # Panics
    /// As [`Self::set`].
    pub fn insert(&mut self, member: Member) {
        self.set(member, true);
    }

    /// Takes `member` out of the set.
    ///
    /// # Panics
    /// As [`Self::set`].
    pub fn remove(&mut self, member: Member) {
        self.set(member, false);
    }

    /// The members of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Member> + '_ {
        (0..self.n).map(Member).filter(|&member| self.get(member))
    }

    /// How many members the set has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether every member of this set is in `other`, a set of the same cohort.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.n == other.n && self.bytes.iter().zip(&other.bytes).all(|(mine, theirs)| mine & !theirs == 0)
    }
}

impl std::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitmap({} of {}: ", self.count(), self.n)?;
        f.debug_set().entries(self.iter().map(|member| member.0)).finish()?;
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests;
