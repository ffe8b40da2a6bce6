//! Values of k bits as bytes, for the wire.
//!
//! Value i stands at bits `i·k ..` of the bytes, the lowest bit first; the last byte is filled up with zeros. There is
//! one encoding of each vector.

#[cfg(test)]
mod tests;

use thiserror::Error;

/// Bytes that are not `n` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnpackError {
    /// Too few or too many.
    #[error("expected {expected} bytes, got {got}")]
    Length {
        /// What `n` values take.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Bits behind the last value that are not zero.
    #[error("bits set behind the last value")]
    Padding,
}

/// Bytes that `n` values of `bits` bits take.
///
/// # Panics
/// If they are more than memory can hold.
#[must_use]
pub fn packed_len(bits: u32, n: usize) -> usize {
    let bytes = (n as u128 * u128::from(bits)).div_ceil(8);
    assert!(bytes <= isize::MAX as u128, "{n} values of {bits} bits");
    bytes as usize
}

/// The lower `bits` bits of each value of `[n]`; what is above them is left out.
///
/// # Panics
/// If `bits` is not 1 to 64.
#[must_use]
pub fn pack(values: &[u64], bits: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packed_len(bits, values.len()));
    pack_behind(&mut bytes, values, bits);
    bytes
}

/// As [`pack`], behind the bytes that are there.
///
/// # Panics
/// If `bits` is not 1 to 64.
pub(crate) fn pack_behind(bytes: &mut Vec<u8>, values: &[u64], bits: u32) {
    assert!((1..=64).contains(&bits), "{bits} bits");
    if bits.is_multiple_of(8) {
        return pack_bytes(values, bits as usize / 8, bytes);
    }
    let (mut pending, mut filled) = (0_u128, 0);
    for value in values {
        pending |= u128::from(value & mask(bits)) << filled;
        filled += bits;
        if filled >= 64 {
            bytes.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= 64;
            filled -= 64;
        }
    }
    bytes.extend_from_slice(&pending.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// `n` values of `bits` bits, `[n]`: the reverse of [`pack`].
///
/// # Errors
/// Bytes of another length, or with anything behind the last value.
///
/// # Panics
/// If `bits` is not 1 to 64.
pub fn unpack(bytes: &[u8], bits: u32, n: usize) -> Result<Vec<u64>, UnpackError> {
    let mut values = Vec::new();
    unpack_behind(&mut values, bytes, bits, n)?;
    Ok(values)
}

/// As [`unpack`], behind the values that are there.
///
/// # Errors
/// Bytes of another length, or with anything behind the last value.
///
/// # Panics
/// If `bits` is not 1 to 64.
pub(crate) fn unpack_behind(values: &mut Vec<u64>, bytes: &[u8], bits: u32, n: usize) -> Result<(), UnpackError> {
    assert!((1..=64).contains(&bits), "{bits} bits");
    let expected = packed_len(bits, n);
    if bytes.len() != expected {
        return Err(UnpackError::Length { expected, got: bytes.len() });
    }
    if bits.is_multiple_of(8) {
        unpack_bytes(values, bytes, bits as usize / 8);
        return Ok(());
    }
    let end = values.len() + n;
    values.reserve(n);
    let (mut pending, mut filled) = (0_u128, 0);
    for bytes in bytes.chunks(8) {
        pending |= u128::from(word(bytes)) << filled;
        filled += 8 * bytes.len() as u32;
        while filled >= bits && values.len() < end {
            values.push(pending as u64 & mask(bits));
            pending >>= bits;
            filled -= bits;
        }
    }
    if pending == 0 { Ok(()) } else { Err(UnpackError::Padding) }
}

/// A whole number of bytes a value.
fn pack_bytes(values: &[u64], width: usize, bytes: &mut Vec<u8>) {
    match width {
        1 => bytes.extend(values.iter().map(|&value| value as u8)),
        2 => bytes.extend(values.iter().flat_map(|&value| (value as u16).to_le_bytes())),
        4 => bytes.extend(values.iter().flat_map(|&value| (value as u32).to_le_bytes())),
        8 => write_words(values, bytes),
        _ => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()[..width])),
    }
}

/// Whole words: a copy where words are little-endian already.
pub(crate) fn write_words(words: &[u64], bytes: &mut Vec<u8>) {
    let from = bytes.len();
    bytes.resize(from + 8 * words.len(), 0);
    bytes[from..].as_chunks_mut().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
}

fn unpack_bytes(values: &mut Vec<u64>, bytes: &[u8], width: usize) {
    match width {
        1 => values.extend(bytes.iter().map(|&byte| u64::from(byte))),
        2 => values.extend(bytes.as_chunks().0.iter().map(|&bytes| u64::from(u16::from_le_bytes(bytes)))),
        4 => values.extend(bytes.as_chunks().0.iter().map(|&bytes| u64::from(u32::from_le_bytes(bytes)))),
        8 => values.extend(bytes.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes))),
        _ => values.extend(bytes.chunks_exact(width).map(word)),
    }
}

/// Up to eight bytes as the lowest of a word.
fn word(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(whole)
}

const fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}
