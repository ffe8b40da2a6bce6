//! Values of metadata. Numbers are held; texts and arrays stay in the file, checked, until someone asks.

use std::ops::Range;

use crate::gguf::FormatError;
use crate::gguf::cursor::{Cursor, MAX_TEXT_BYTES};

/// The longest array: no vocabulary has a tenth as many tokens.
pub const MAX_ARRAY_LENGTH: u64 = 1 << 24;

/// How deep arrays may lie in arrays. Files in use have none in another.
pub const MAX_NESTING: usize = 4;

/// The type of a value, as the format numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, signed.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, signed.
    I32,
    /// IEEE 754 binary32.
    F32,
    /// One byte, 0 or 1.
    Bool,
    /// UTF-8.
    Text,
    /// Values of one type.
    Array,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, signed.
    I64,
    /// IEEE 754 binary64.
    F64,
}

impl ValueType {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Text,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self, FormatError> {
        let got = cursor.u32(key)?;
        let known = usize::try_from(got).ok().and_then(|number| Self::ALL.get(number));
        known.copied().ok_or_else(|| FormatError::ValueType { key: key.to_owned(), got })
    }

    /// Bytes of a value; of texts and arrays, bytes of the shortest.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::Text | Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Array => 12,
        }
    }
}

/// A value, or where it lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number without a sign.
    Unsigned(u64),
    /// A whole number with a sign.
    Signed(i64),
    /// A number; one of 32 bits is widened exactly.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// The place of a text in the file.
    Text(Range<usize>),
    /// An array.
    Array(ArrayPlace),
}

/// Where an array lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayPlace {
    /// The type of its elements.
    pub element: ValueType,
    /// How many there are.
    pub length: usize,
    /// Their bytes in the file, one after the other.
    pub place: Range<usize>,
}

/// Reads the value of `key` with its type before it.
pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, FormatError> {
    match ValueType::read(cursor, key)? {
        ValueType::Text => Ok(Value::Text(cursor.text(key, MAX_TEXT_BYTES)?.0)),
        ValueType::Array => Ok(Value::Array(array(cursor, key, 1)?)),
        number => {
            let place = cursor.skip(number.bytes() as u64, key)?;
            scalar(number, cursor.slice(place), key)
        }
    }
}

/// The number or truth value that `bytes` are, which are as many as the type has.
pub(super) fn scalar(of: ValueType, bytes: &[u8], key: &str) -> Result<Value, FormatError> {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(word);
    Ok(match of {
        ValueType::U8 | ValueType::U16 | ValueType::U32 | ValueType::U64 => Value::Unsigned(unsigned),
        ValueType::I8 => Value::Signed(i64::from(unsigned as i8)),
        ValueType::I16 => Value::Signed(i64::from(unsigned as i16)),
        ValueType::I32 => Value::Signed(i64::from(unsigned as i32)),
        ValueType::F32 => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
        ValueType::F64 => Value::Float(f64::from_bits(unsigned)),
        ValueType::Bool if unsigned > 1 => {
            return Err(FormatError::Bool { key: key.to_owned(), got: unsigned as u8 });
        }
        ValueType::Bool => Value::Bool(unsigned == 1),
        ValueType::I64 | ValueType::Text | ValueType::Array => Value::Signed(unsigned as i64),
    })
}

/// Walks over an array, which lies `depth` deep, and checks all that is in it.
fn array(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<ArrayPlace, FormatError> {
    if depth > MAX_NESTING {
        return Err(FormatError::Nesting { key: key.to_owned(), limit: MAX_NESTING });
    }
    let element = ValueType::read(cursor, key)?;
    let length = cursor.count(key, MAX_ARRAY_LENGTH, element.bytes() as u64)?;
    let start = cursor.at();
    match element {
        ValueType::Text => (0..length).try_for_each(|_| cursor.text(key, MAX_TEXT_BYTES).map(drop))?,
        ValueType::Array => (0..length).try_for_each(|_| array(cursor, key, depth + 1).map(drop))?,
        number => cursor.skip(length * number.bytes() as u64, key).map(drop)?,
    }
    let place = start..cursor.at();
    if element == ValueType::Bool
        && let Some(&got) = cursor.slice(place.clone()).iter().find(|&&byte| byte > 1)
    {
        return Err(FormatError::Bool { key: key.to_owned(), got });
    }
    Ok(ArrayPlace { element, length: length as usize, place })
}
