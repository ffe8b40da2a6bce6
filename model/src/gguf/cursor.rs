//! Reading numbers and texts one after the other, never past the end.

use std::ops::Range;

use crate::gguf::FormatError;

/// The longest text: a chat template has up to 30 KB, a licence about as much. A longer one is a wrong length.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next byte lies.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The place of the next `length` bytes. `what` names them in errors.
    pub(super) fn skip(&mut self, length: u64, what: &str) -> Result<Range<usize>, FormatError> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let Some(end) = end.filter(|&end| end <= self.bytes.len()) else {
            return Err(FormatError::Truncated {
                what: what.to_owned(),
                needs: length,
                at: self.at,
                left: self.left(),
            });
        };
        let place = self.at..end;
        self.at = end;
        Ok(place)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FormatError> {
        let place = self.skip(N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[place]);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// The bytes at a place that this cursor gave.
    pub(super) fn slice(&self, place: Range<usize>) -> &'a [u8] {
        &self.bytes[place]
    }

    /// A number of things of at least `bytes_each` bytes, at most `limit`; more than can follow is an error at once.
    pub(super) fn count(&mut self, what: &str, limit: u64, bytes_each: u64) -> Result<u64, FormatError> {
        let count = self.u64(what)?;
        if count > limit {
            return Err(FormatError::TooMany { what: what.to_owned(), limit, got: count });
        }
        let needs = count.saturating_mul(bytes_each);
        if needs > self.left() as u64 {
            return Err(FormatError::Truncated { what: what.to_owned(), needs, at: self.at, left: self.left() });
        }
        Ok(count)
    }

    /// The place of a text, which is checked to be UTF-8 and at most `limit` bytes long.
    pub(super) fn text(&mut self, what: &str, limit: u64) -> Result<(Range<usize>, &'a str), FormatError> {
        let length = self.u64(what)?;
        if length > limit {
            return Err(FormatError::TooMany { what: format!("{what}: bytes of a text"), limit, got: length });
        }
        let place = self.skip(length, what)?;
        match std::str::from_utf8(&self.bytes[place.clone()]) {
            Ok(text) => Ok((place, text)),
            Err(error) => Err(FormatError::Text { what: what.to_owned(), valid_bytes: error.valid_up_to() }),
        }
    }
}
