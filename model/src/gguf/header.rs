//! The header: magic, version, counts, metadata, then the table of tensors.

use std::collections::BTreeMap;

use crate::gguf::FormatError;
use crate::gguf::cursor::Cursor;
use crate::gguf::table::{self, GgufTensor};
use crate::gguf::value::{self, Value};

/// The most keys of one file. Files in use have about 50.
pub const MAX_KEYS: u64 = 1 << 16;

/// The longest key, as the format says.
pub const MAX_KEY_BYTES: u64 = (1 << 16) - 1;

/// The most tensors of one file. A model of 60 layers with one tensor for each of 256 experts has 46,000.
pub const MAX_TENSORS: u64 = 1 << 18;

/// The greatest alignment: a large page is far more than any file asks for.
pub const MAX_ALIGNMENT: u32 = 1 << 21;

/// What a file says about itself. Every place is inside the bytes that the header was read from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GgufHeader {
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, GgufTensor>,
}

impl GgufHeader {
    /// Reads the header of a whole file.
    ///
    /// # Errors
    ///
    /// Anything that the format does not allow, or that is above a bound; see [`FormatError`].
    pub fn from_bytes(file: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(file);
        check_version(&mut cursor)?;
        let tensors = cursor.count("the number of tensors", MAX_TENSORS, table::MIN_ENTRY_BYTES)?;
        let keys = cursor.count("the number of keys", MAX_KEYS, MIN_KEY_BYTES)?;
        let metadata = read_metadata(&mut cursor, keys)?;
        let alignment = alignment(&metadata)?;
        let tensors = table::read(&mut cursor, tensors, alignment, file.len())?;
        Ok(Self { metadata, tensors })
    }

    /// The value of `key`, or where it lies.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = &GgufTensor> {
        self.tensors.values()
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.get(name)
    }
}

fn check_version(cursor: &mut Cursor<'_>) -> Result<(), FormatError> {
    let magic: [u8; 4] = cursor.array("the magic number")?;
    if magic != *MAGIC {
        return Err(FormatError::Magic { got: magic.escape_ascii().to_string() });
    }
    match cursor.u32("the version")? {
        2 | 3 => Ok(()),
        // The other byte order shows in the version, which is small.
        got if got.swap_bytes() < u32::from(u16::MAX) && got > u32::from(u16::MAX) => Err(FormatError::BigEndian),
        got => Err(FormatError::Version { got }),
    }
}

fn read_metadata(cursor: &mut Cursor<'_>, keys: u64) -> Result<BTreeMap<String, Value>, FormatError> {
    let mut metadata = BTreeMap::new();
    for number in 0..keys {
        let (_, key) = cursor.text(&format!("key {number}"), MAX_KEY_BYTES)?;
        let value = value::read(cursor, key)?;
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(FormatError::KeyTwice { key: key.to_owned() });
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u32, FormatError> {
    let Some(value) = metadata.get(ALIGNMENT) else { return Ok(DEFAULT_ALIGNMENT) };
    let number = match value {
        Value::Unsigned(number) => u32::try_from(*number).ok(),
        _ => None,
    };
    let good = number.filter(|number| number.is_power_of_two() && *number <= MAX_ALIGNMENT);
    good.ok_or_else(|| FormatError::Alignment { limit: MAX_ALIGNMENT, got: plain(value) })
}

/// A value in an error message.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Text(place) => format!("a text of {} bytes", place.len()),
        Value::Array(array) => format!("an array of {} {:?}", array.length, array.element),
    }
}

const MAGIC: &[u8; 4] = b"GGUF";
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;

/// A key's length, its type and a value of one byte.
const MIN_KEY_BYTES: u64 = 8 + 4 + 1;
