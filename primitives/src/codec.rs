//! The one binary form of everything that is hashed, signed or sent as a frame.
//!
//! Integers and floats are little-endian and of fixed size. Byte strings and texts carry a u32 length. There is no
//! padding, no default and no skipped field, so a value has one form only; [`Reader::finish`] refuses what is left
//! over. A reader allocates nothing before it has seen that the bytes are there.

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end early.
    #[error("expected {needed} more bytes, got {left}")]
    Truncated {
        /// Bytes that the next field takes.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes follow the last field.
    #[error("{left} bytes follow the last field")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A length or a count above its bound.
    #[error("expected at most {limit} {what}, got {got}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// What the sender wrote.
        got: usize,
    },
    /// A text that is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// Which text.
        what: &'static str,
    },
    /// A flag that is neither 0 nor 1.
    #[error("expected 0 or 1 as a flag, got {got}")]
    Flag {
        /// The byte.
        got: u8,
    },
}

/// Appends fields to a growing byte string.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A flag: one byte, 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, IEEE 754.
    pub fn f32(&mut self, value: f32) {
        self.raw(&value.to_le_bytes());
    }

    /// `values` (f32, any length), four bytes each, without a count.
    pub fn f32s(&mut self, values: &[f32]) {
        self.chunks(values, |value| value.to_le_bytes());
    }

    /// `values` (i64, any length), eight bytes each, without a count.
    pub fn i64s(&mut self, values: &[i64]) {
        self.chunks(values, |value| value.to_le_bytes());
    }

    /// `values` (i8, any length), one byte each in two's complement, without a count.
    pub fn i8s(&mut self, values: &[i8]) {
        self.bytes.extend(values.iter().map(|value| value.cast_unsigned()));
    }

    /// Bytes as they are, without a length: for fields of fixed size.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A u32 count of what follows. A count that no reader would accept is written as the largest one.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A text with its length in bytes.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// All values in one block that is sized once, so that the compiler can turn the loop into a copy.
    fn chunks<T: Copy, const N: usize>(&mut self, values: &[T], form: impl Fn(T) -> [u8; N]) {
        let start = self.bytes.len();
        self.bytes.resize(start + N * values.len(), 0);
        let (chunks, _) = self.bytes[start..].as_chunks_mut::<N>();
        for (chunk, &value) in chunks.iter_mut().zip(values) {
            *chunk = form(value);
        }
    }
}

/// Takes fields off the front of a byte string.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(CodecError::Truncated { needed: length, left: self.rest.len() })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) =
            self.rest.split_first_chunk().ok_or(CodecError::Truncated { needed: N, left: self.rest.len() })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A flag: one byte, 0 or 1.
    ///
    /// # Errors
    /// When no byte is left, or when it is another one.
    pub fn flag(&mut self) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            got => Err(CodecError::Flag { got }),
        }
    }

    /// Two bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Four bytes, IEEE 754; any bits.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn f32(&mut self) -> Result<f32, CodecError> {
        self.array().map(f32::from_le_bytes)
    }

    /// `count` values (f32, `[count]`), any bits.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn f32s(&mut self, count: usize) -> Result<Vec<f32>, CodecError> {
        self.chunks(count, f32::from_le_bytes)
    }

    /// `count` values (i64, `[count]`).
    ///
    /// # Errors
    /// When fewer are left.
    pub fn i64s(&mut self, count: usize) -> Result<Vec<i64>, CodecError> {
        self.chunks(count, i64::from_le_bytes)
    }

    /// A u32 count of `what`, of which each takes at least `item_bytes` (> 0): no more than `limit`, and no more than
    /// the bytes left can hold. What is returned may be allocated.
    ///
    /// # Errors
    /// When the count is above either bound, or when it is not there.
    pub fn count(&mut self, what: &'static str, limit: usize, item_bytes: usize) -> Result<usize, CodecError> {
        let got = self.u32()? as usize;
        if got > limit {
            return Err(CodecError::TooMany { what, limit, got });
        }
        let needed = got.saturating_mul(item_bytes);
        if needed > self.left() { Err(CodecError::Truncated { needed, left: self.left() }) } else { Ok(got) }
    }

    /// Bytes with their length, at most `limit`.
    ///
    /// # Errors
    /// When they are longer, or when fewer are left.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], CodecError> {
        let length = self.count(what, limit, 1)?;
        self.raw(length)
    }

    /// A UTF-8 text with its length, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::bytes`], and when it is not UTF-8.
    pub fn text(&mut self, what: &'static str, limit: usize) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes(what, limit)?).map_err(|_| CodecError::NotUtf8 { what })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When bytes are left: a value has one form, and it ends here.
    pub const fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Trailing { left: self.rest.len() }) }
    }

    /// Checks the length once, then converts without a check per value.
    fn chunks<T, const N: usize>(&mut self, count: usize, form: impl Fn([u8; N]) -> T) -> Result<Vec<T>, CodecError> {
        let block = self.raw(count.saturating_mul(N))?;
        Ok(block.as_chunks::<N>().0.iter().map(|&chunk| form(chunk)).collect())
    }
}

#[cfg(test)]
mod tests;
