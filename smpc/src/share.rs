//! What one party holds of shared values.
//!
//! None of these types can be printed or compared: a share belongs into no log.

use zeroize::Zeroize;

use crate::party::PartyId;

/// Own and next component.
pub const OWN: usize = 0;
/// See [`OWN`].
pub const NEXT: usize = 1;

/// Replicated shares of a vector over Z_2^64: `[n]` at components i and i+1.
///
/// A vector over a smaller ring Z_2^k stands in the low k bits; what is above is of no meaning.
#[derive(Clone, Default)]
pub struct Shares {
    /// Components i and i+1, `[n]` each.
    pub parts: [Vec<u64>; 2],
}

impl Shares {
    /// Shares of `parts`, components i and i+1.
    #[must_use]
    pub const fn new(own: Vec<u64>, next: Vec<u64>) -> Self {
        Self { parts: [own, next] }
    }

    /// Shares of zeros.
    #[must_use]
    pub fn zeros(n: usize) -> Self {
        Self::new(vec![0; n], vec![0; n])
    }

    /// The sharing of public `values` whose component 0 holds them.
    #[must_use]
    pub fn public(party: PartyId, values: &[u64]) -> Self {
        let part = |component: PartyId| {
            if component.index() == 0 { values.to_vec() } else { vec![0; values.len()] }
        };
        Self::new(part(party), part(party.next()))
    }

    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts[OWN].len()
    }

    /// No values at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sharing that `linear` makes of each component: any map that is linear over the ring.
    #[must_use]
    pub fn map(&self, linear: impl Fn(&[u64]) -> Vec<u64>) -> Self {
        Self { parts: [linear(&self.parts[OWN]), linear(&self.parts[NEXT])] }
    }

    /// x + y.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, u64::wrapping_add)
    }

    /// x - y.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.zip(other, u64::wrapping_sub)
    }

    /// c·x for a public c.
    #[must_use]
    pub fn times(&self, factor: u64) -> Self {
        self.map(|part| part.iter().map(|value| value.wrapping_mul(factor)).collect())
    }

    /// x + c for public c, `[n]`.
    #[must_use]
    pub fn plus_public(&self, party: PartyId, values: &[u64]) -> Self {
        self.plus(&Self::public(party, values))
    }

    /// x + c for one public c.
    #[must_use]
    pub fn plus_constant(mut self, party: PartyId, constant: u64) -> Self {
        for (part, component) in self.parts.iter_mut().zip([party, party.next()]) {
            if component.index() == 0 {
                part.iter_mut().for_each(|value| *value = value.wrapping_add(constant));
            }
        }
        self
    }

    /// The values at `range`.
    #[must_use]
    pub fn range(&self, range: std::ops::Range<usize>) -> Self {
        self.map(|part| part[range.clone()].to_vec())
    }

    /// The values at `places`, in their order, again and again where they are named again.
    #[must_use]
    pub fn gather(&self, places: &[usize]) -> Self {
        self.map(|part| places.iter().map(|place| part[*place]).collect())
    }

    /// One after the other: what shares a round travels as one vector.
    #[must_use]
    pub fn concat(vectors: &[&Self]) -> Self {
        let part = |at: usize| vectors.iter().map(|vector| vector.parts[at].as_slice()).collect::<Vec<_>>().concat();
        Self { parts: [part(OWN), part(NEXT)] }
    }

    /// Cuts what [`Shares::concat`] put together.
    #[must_use]
    pub fn split(&self, lengths: &[usize]) -> Vec<Self> {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        ends.zip(lengths).map(|(end, length)| self.range(end - length..end)).collect()
    }

    fn zip(&self, other: &Self, operation: impl Fn(u64, u64) -> u64) -> Self {
        debug_assert_eq!(self.len(), other.len(), "vectors of one length");
        let part = |at: usize| {
            let pairs = self.parts[at].iter().zip(&other.parts[at]);
            pairs.map(|(left, right)| operation(*left, *right)).collect()
        };
        Self { parts: [part(OWN), part(NEXT)] }
    }
}

/// Replicated shares of bits: planes of 64 values a word, `[width][words]` at components i and i+1. Plane b holds bit b
/// of every value.
#[derive(Clone, Default)]
pub struct BitShares {
    /// Words of a plane.
    pub words: usize,
    /// Components i and i+1, `[width * words]` each.
    pub parts: [Vec<u64>; 2],
}

impl BitShares {
    /// Planes of zeros.
    #[must_use]
    pub fn zeros(width: usize, words: usize) -> Self {
        Self { words, parts: [vec![0; width * words], vec![0; width * words]] }
    }

    /// Number of planes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.parts[OWN].len().checked_div(self.words).unwrap_or(0)
    }

    /// The words of plane `index`, at the own or the next component.
    #[must_use]
    pub fn plane(&self, at: usize, index: usize) -> &[u64] {
        &self.parts[at][index * self.words..][..self.words]
    }

    /// Puts plane `other.1` of `other.0` above the others.
    pub fn push_plane(&mut self, other: (&Self, usize)) {
        for at in [OWN, NEXT] {
            self.parts[at].extend_from_slice(other.0.plane(at, other.1));
        }
    }

    /// Adds plane `other.1` of `other.0` to plane `index`.
    pub fn xor_plane(&mut self, index: usize, other: (&Self, usize)) {
        for at in [OWN, NEXT] {
            let plane = &mut self.parts[at][index * self.words..][..self.words];
            plane.iter_mut().zip(other.0.plane(at, other.1)).for_each(|(x, y)| *x ^= y);
        }
    }

    /// The planes in `range`.
    #[must_use]
    pub fn planes(&self, range: std::ops::Range<usize>) -> Self {
        let words = range.start * self.words..range.end * self.words;
        Self { words: self.words, parts: [OWN, NEXT].map(|at| self.parts[at][words.clone()].to_vec()) }
    }

    /// The words of `n` values from value `from` on, which begins a word, in every plane.
    #[must_use]
    pub fn lanes(&self, from: usize, n: usize) -> Self {
        let words = from / 64..from / 64 + n.div_ceil(64);
        let part = |at: usize| {
            let planes = self.parts[at].chunks_exact(self.words.max(1));
            planes.flat_map(|plane| &plane[words.clone()]).copied().collect()
        };
        Self { words: words.len(), parts: [part(OWN), part(NEXT)] }
    }

    /// Planes one after the other, the first ones lowest.
    #[must_use]
    pub fn stack(parts: &[&Self]) -> Self {
        let words = parts.first().map_or(0, |first| first.words);
        let stacked = |at: usize| parts.iter().map(|part| part.parts[at].as_slice()).collect::<Vec<_>>().concat();
        Self { words, parts: [stacked(OWN), stacked(NEXT)] }
    }

    /// Puts the planes of `from` to `places`.
    pub fn replace(&mut self, places: &[usize], from: &Self) {
        let words = self.words;
        for (part, new) in self.parts.iter_mut().zip(&from.parts) {
            for (place, plane) in places.iter().zip(new.chunks_exact(words.max(1))) {
                part[place * words..(place + 1) * words].copy_from_slice(plane);
            }
        }
    }

    /// x ⊕ y.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        debug_assert_eq!(self.parts[OWN].len(), other.parts[OWN].len(), "planes of one shape");
        let part = |at: usize| self.parts[at].iter().zip(&other.parts[at]).map(|(x, y)| x ^ y).collect();
        Self { words: self.words, parts: [part(OWN), part(NEXT)] }
    }

    /// x & c for public planes c.
    #[must_use]
    pub fn and_public(&self, public: &[u64]) -> Self {
        let part = |at: usize| self.parts[at].iter().zip(public).map(|(x, c)| x & c).collect();
        Self { words: self.words, parts: [part(OWN), part(NEXT)] }
    }

    /// x ⊕ c for public planes c.
    #[must_use]
    pub fn xor_public(mut self, party: PartyId, public: &[u64]) -> Self {
        for (part, component) in self.parts.iter_mut().zip([party, party.next()]) {
            if component.index() == 0 {
                part.iter_mut().zip(public).for_each(|(x, c)| *x ^= c);
            }
        }
        self
    }
}

impl Zeroize for Shares {
    fn zeroize(&mut self) {
        self.parts.iter_mut().for_each(Zeroize::zeroize);
    }
}
