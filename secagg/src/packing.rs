//! Entries as a string of B bits each (section 8, "Payload").
//!
//! Entry `e` occupies the bits `[e·B, (e+1)·B)` of a little-endian bit string, so eight entries fill B whole bytes: the
//! loops here go from one such group to the next.

use std::fmt;
use std::ops::Range;

use crate::masks::Lanes;

/// Entries that fill a whole number of bytes together, whatever B is.
pub const GROUP: usize = 8;

/// B: sums are taken modulo 2^B. 2 to 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Modulus(u8);

/// A modulus that this version does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a modulus of 2 to 64 bits, got {got}")]
pub struct ModulusError {
    /// The bits that were asked for.
    pub got: u32,
}

/// A packed vector that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Another number of bytes than the entries take.
    #[error("expected {expected} bytes for {entries} entries of {bits} bits, got {got}")]
    Length {
        /// How many entries there are.
        entries: usize,
        /// B.
        bits: u8,
        /// What they take.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Bits after the last entry that are not zero.
    #[error("expected zeros after the last entry, got a one")]
    TrailingBits,
    /// Lanes whose words are not the modulus' own.
    #[error("expected lanes of {expected} bits for a modulus of {bits}, got lanes of {got}")]
    Lanes {
        /// B.
        bits: u8,
        /// 32 up to B = 32, else 64.
        expected: u32,
        /// The lanes' bits.
        got: u32,
    },
}

impl Modulus {
    /// The modulus 2^`bits`.
    ///
    /// # Errors
    /// Below 2 and above 64 bits.
    pub fn new(bits: u8) -> Result<Self, ModulusError> {
        if (2..=64).contains(&bits) { Ok(Self(bits)) } else { Err(ModulusError { got: bits.into() }) }
    }

    /// That of plain mode: B = b + ⌈log2(n·W)⌉ for `value_bits` b, `members` n and `weight_cap` W (section 10).
    ///
    /// # Errors
    /// When that is below 2 or above 64 bits.
    pub fn plain(value_bits: u8, members: u16, weight_cap: u32) -> Result<Self, ModulusError> {
        let most = u64::from(members) * u64::from(weight_cap);
        let bits = u32::from(value_bits) + (u64::BITS - most.saturating_sub(1).leading_zeros());
        Self::new(u8::try_from(bits).map_err(|_| ModulusError { got: bits })?)
    }

    /// B.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether lanes are words of 4 bytes, else of 8: so for vectors and for key streams.
    #[must_use]
    pub const fn is_narrow(self) -> bool {
        self.0 <= 32
    }

    /// ⌈`entries`·B/8⌉, the bytes of a payload.
    #[must_use]
    pub const fn payload_bytes(self, entries: usize) -> usize {
        (entries / GROUP) * self.0 as usize + ((entries % GROUP) * self.0 as usize).div_ceil(8)
    }

    /// The lowest B bits of `word` as a number in two's complement.
    #[must_use]
    pub const fn signed(self, word: u64) -> i64 {
        let unused = 64 - self.0 as u32;
        (word << unused).cast_signed() >> unused
    }

    /// Whether `lanes` have the words of this modulus.
    pub(crate) fn check_lanes(self, lanes: &Lanes<'_>) -> Result<(), PayloadError> {
        let expected = if self.is_narrow() { u32::BITS } else { u64::BITS };
        if lanes.bits() == expected {
            return Ok(());
        }
        Err(PayloadError::Lanes { bits: self.0, expected, got: lanes.bits() })
    }
}

impl fmt::Debug for Modulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^{}", self.0)
    }
}

/// Appends the lowest B bits of each of `values` to `out`. The last byte's unused bits are zero.
///
/// A vector may be packed piece by piece if each piece but the last has a multiple of [`GROUP`] entries.
pub fn pack(values: Lanes<'_>, modulus: Modulus, out: &mut Vec<u8>) {
    out.reserve(modulus.payload_bytes(values.len()));
    match values {
        Lanes::Narrow(words) => pack_words(words, modulus, out),
        Lanes::Wide(words) => pack_words(words, modulus, out),
    }
}

/// Adds entries of a payload to `sum`, whose first entry is entry `first_entry` of the vector.
///
/// `packed` are the bytes that hold these entries, from byte ⌊`first_entry`·B/8⌋ on. Bits of other entries in the first
/// and the last byte are passed over.
///
/// # Errors
/// Another number of bytes than that, or lanes of another width than the modulus'. Then nothing is added.
pub fn add_packed(sum: Lanes<'_>, first_entry: usize, packed: &[u8], modulus: Modulus) -> Result<(), PayloadError> {
    combine(sum, first_entry, packed, modulus, Combine::Add)
}

/// [`add_packed`], but takes the entries away.
///
/// # Errors
/// As [`add_packed`].
pub fn subtract_packed(
    sum: Lanes<'_>,
    first_entry: usize,
    packed: &[u8],
    modulus: Modulus,
) -> Result<(), PayloadError> {
    combine(sum, first_entry, packed, modulus, Combine::Subtract)
}

pub(crate) fn check_payload(entries: usize, packed: &[u8], modulus: Modulus) -> Result<(), PayloadError> {
    check_form(entries, packed.len(), packed.last().copied(), modulus)
}

/// Whether a payload of `length` bytes, the last of them `last`, holds `entries`: any bytes of that length do in which all
/// bits after the last entry are zero.
///
/// # Errors
/// What [`crate::sum::Accumulator::add`] would refuse.
pub fn check_form(entries: usize, length: usize, last: Option<u8>, modulus: Modulus) -> Result<(), PayloadError> {
    let expected = modulus.payload_bytes(entries);
    if length != expected {
        return Err(PayloadError::Length { entries, bits: modulus.0, expected, got: length });
    }
    let used = (entries % GROUP * usize::from(modulus.0)) % 8;
    let unused = last.map_or(0, |last| if used == 0 { 0 } else { last >> used });
    if unused == 0 { Ok(()) } else { Err(PayloadError::TrailingBits) }
}

/// The bytes of a payload that hold the entries of `range`.
#[must_use]
pub const fn bytes_of(range: &Range<usize>, modulus: Modulus) -> Range<usize> {
    let bits = modulus.0 as usize;
    let (groups, rest) = (range.start / GROUP, range.start % GROUP);
    groups * bits + rest * bits / 8..modulus.payload_bytes(range.end)
}

#[derive(Debug, Clone, Copy)]
enum Combine {
    Add,
    Subtract,
}

fn combine(
    sum: Lanes<'_>,
    first_entry: usize,
    packed: &[u8],
    modulus: Modulus,
    how: Combine,
) -> Result<(), PayloadError> {
    modulus.check_lanes(&sum)?;
    // Whole groups before the first entry change nothing but where the bytes begin.
    let first = first_entry % GROUP;
    let expected = if sum.is_empty() { 0 } else { bytes_of(&(first..first + sum.len()), modulus).len() };
    if packed.len() != expected {
        return Err(PayloadError::Length { entries: sum.len(), bits: modulus.0, expected, got: packed.len() });
    }
    match (sum, how) {
        (Lanes::Narrow(words), Combine::Add) => unpack(words, first, packed, modulus, u32::wrapping_add),
        (Lanes::Narrow(words), Combine::Subtract) => unpack(words, first, packed, modulus, u32::wrapping_sub),
        (Lanes::Wide(words), Combine::Add) => unpack(words, first, packed, modulus, u64::wrapping_add),
        (Lanes::Wide(words), Combine::Subtract) => unpack(words, first, packed, modulus, u64::wrapping_sub),
    }
    Ok(())
}

/// A lane that can be packed. Windows are twice as wide as a word, so an entry that begins within a byte fits.
trait Packed: Copy {
    /// Bytes of a window.
    const WINDOW: usize;

    /// The lowest `bits` of the window at the front of `bytes` after `shift` (below 8). `bytes`: at least a window.
    fn read(bytes: &[u8], shift: usize, bits: u8) -> Self;

    /// [`whole_groups`] with `bits` as its constant: those that words of this size are for.
    fn whole_groups(words: &mut [Self], packed: &[u8], bits: u8, combine: &impl Fn(Self, Self) -> Self) -> usize;

    /// The word as a window.
    fn widen(self) -> u128;
}

/// [`whole_groups`] for one of the listed numbers of bits.
macro_rules! by_bits {
    ($bits:expr, $arguments:tt, $($each:literal)*) => {
        match $bits {
            $($each => whole_groups::<Self, $each> $arguments,)*
            // Entry by entry is always right.
            _ => 0,
        }
    };
}

impl Packed for u32 {
    const WINDOW: usize = 8;

    #[inline(always)]
    fn read(bytes: &[u8], shift: usize, bits: u8) -> Self {
        let window = bytes.first_chunk().map_or(0, |window| u64::from_le_bytes(*window));
        (window >> shift) as Self & (Self::MAX >> (Self::BITS - u32::from(bits)))
    }

    fn whole_groups(words: &mut [Self], packed: &[u8], bits: u8, combine: &impl Fn(Self, Self) -> Self) -> usize {
        by_bits!(bits, (words, packed, combine),
            2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17
            18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    }

    fn widen(self) -> u128 {
        self.into()
    }
}

impl Packed for u64 {
    const WINDOW: usize = 16;

    #[inline(always)]
    fn read(bytes: &[u8], shift: usize, bits: u8) -> Self {
        let window = bytes.first_chunk().map_or(0, |window| u128::from_le_bytes(*window));
        (window >> shift) as Self & (Self::MAX >> (Self::BITS - u32::from(bits)))
    }

    fn whole_groups(words: &mut [Self], packed: &[u8], bits: u8, combine: &impl Fn(Self, Self) -> Self) -> usize {
        by_bits!(bits, (words, packed, combine),
            33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48
            49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64)
    }

    fn widen(self) -> u128 {
        self.into()
    }
}

/// Combines `words` with the entries that `packed` holds from bit (`first`·B mod 8) on; `first` is below [`GROUP`].
fn unpack<W: Packed>(words: &mut [W], first: usize, packed: &[u8], modulus: Modulus, combine: impl Fn(W, W) -> W) {
    let bits = usize::from(modulus.0);
    let skipped = first * bits % 8;
    let head = words.len().min((GROUP - first) % GROUP);
    let (head, body) = words.split_at_mut(head);
    one_by_one(head, packed, skipped, modulus, &combine);
    let packed = &packed[((skipped + head.len() * bits) / 8).min(packed.len())..];
    let groups = W::whole_groups(body, packed, modulus.0, &combine);
    one_by_one(&mut body[groups * GROUP..], &packed[groups * bits..], 0, modulus, &combine);
}

/// Combines groups of `words` for as long as there are whole ones and windows of `packed` for them; returns how many. Where
/// an entry lies is known when this is compiled, so nothing is left to compute or to check between two entries.
fn whole_groups<W: Packed, const BITS: usize>(words: &mut [W], packed: &[u8], combine: &impl Fn(W, W) -> W) -> usize {
    let reach = (GROUP - 1) * BITS / 8 + W::WINDOW;
    let groups = words.as_chunks_mut::<GROUP>().0.iter_mut();
    let mut done = 0;
    for (group, first) in groups.zip((0..).step_by(BITS)) {
        let Some(bytes) = packed.get(first..first + reach) else { break };
        for (entry, word) in group.iter_mut().enumerate() {
            *word = combine(*word, W::read(&bytes[entry * BITS / 8..], entry * BITS % 8, BITS as u8));
        }
        done += 1;
    }
    done
}

/// The slow way, for the few entries before the first and after the last whole group.
fn one_by_one<W: Packed>(
    words: &mut [W],
    packed: &[u8],
    skipped: usize,
    modulus: Modulus,
    combine: &impl Fn(W, W) -> W,
) {
    for (entry, word) in words.iter_mut().enumerate() {
        let bit = skipped + entry * usize::from(modulus.0);
        let rest = &packed[bit / 8..];
        let mut window = [0; 16];
        let length = rest.len().min(window.len());
        window[..length].copy_from_slice(&rest[..length]);
        *word = combine(*word, W::read(&window, bit % 8, modulus.0));
    }
}

/// Entries go into a window of 128 bits, whole bytes leave it.
fn pack_words<W: Packed>(words: &[W], modulus: Modulus, out: &mut Vec<u8>) {
    let keep = u128::MAX >> (128 - u32::from(modulus.0));
    let (mut window, mut filled) = (0_u128, 0);
    for word in words {
        window |= (word.widen() & keep) << filled;
        filled += usize::from(modulus.0);
        // At most 31 bits stay, and at most 64 join them.
        while filled >= 32 {
            out.extend_from_slice(&(window as u32).to_le_bytes());
            window >>= 32;
            filled -= 32;
        }
    }
    out.extend_from_slice(&window.to_le_bytes()[..filled.div_ceil(8)]);
}

#[cfg(test)]
mod tests;
