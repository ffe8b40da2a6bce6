//! The header: JSON, `{"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, …}`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::tensor_file::element_bytes;
use crate::tensor_file::{Entry, MAX_HEADER_BYTES};

/// What is wrong with a safetensors file. Offsets and lengths are in bytes.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Not even the length of the header is there.
    #[error("file is truncated: expected at least {PREFIX} bytes, got {got}")]
    NoLength {
        /// The file's length.
        got: usize,
    },
    /// The header would end after the file does.
    #[error("file is truncated or not safetensors: its header should have {header} bytes, but only {got} follow")]
    HeaderPastEnd {
        /// The header's length, as the file says.
        header: u64,
        /// Bytes after the length.
        got: usize,
    },
    /// A header above [`MAX_HEADER_BYTES`].
    #[error("header of {header} bytes, expected at most {MAX_HEADER_BYTES}")]
    HeaderTooLong {
        /// The header's length, as the file says.
        header: u64,
    },
    /// Not the JSON that the format asks for.
    #[error("header is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A tensor that ends before it begins.
    #[error("tensor {name:?}: begins at {begin} and ends at {end}")]
    Backwards {
        /// The tensor.
        name: String,
        /// Its first byte.
        begin: usize,
        /// The byte after its last.
        end: usize,
    },
    /// A tensor that ends after the file does: truncated, or a wrong header.
    #[error("tensor {name:?}: ends at {end}, but the file has only {available} bytes of tensors (is it truncated?)")]
    PastEnd {
        /// The tensor.
        name: String,
        /// The byte after its last.
        end: usize,
        /// Bytes after the header.
        available: usize,
    },
    /// Two tensors that share bytes.
    #[error("tensors {first:?} and {second:?} overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// Bytes that belong to no tensor.
    #[error("bytes {begin} to {end} belong to no tensor")]
    Hole {
        /// The first such byte.
        begin: usize,
        /// The byte after the last.
        end: usize,
    },
    /// Shape and type ask for another number of bytes than the tensor has.
    #[error("tensor {name:?}: shape {shape:?} of {type_name} has {expected:?} bytes, got {got}")]
    Length {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type.
        type_name: String,
        /// What they ask for; `None` where it is beyond 64 bits.
        expected: Option<usize>,
        /// What it has.
        got: usize,
    },
}

impl HeaderError {
    /// Never: the same bytes fail the same way.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// The entries of a whole file, all checked.
pub(super) fn entries(file: &[u8]) -> Result<BTreeMap<String, Entry>, HeaderError> {
    let (length, rest) = file.split_first_chunk::<PREFIX>().ok_or(HeaderError::NoLength { got: file.len() })?;
    let header = u64::from_le_bytes(*length);
    let past_end = HeaderError::HeaderPastEnd { header, got: rest.len() };
    let (json, data) = usize::try_from(header).ok().and_then(|header| rest.split_at_checked(header)).ok_or(past_end)?;
    if json.len() > MAX_HEADER_BYTES {
        return Err(HeaderError::HeaderTooLong { header });
    }
    let Header(raw) = serde_json::from_slice(json)?;
    let base = PREFIX + json.len();
    let entries = raw.into_iter().map(|(name, raw)| {
        let entry = checked(&name, raw, base, data.len())?;
        Ok((name, entry))
    });
    let entries = entries.collect::<Result<BTreeMap<_, _>, HeaderError>>()?;
    check_cover(&entries, base, data.len())?;
    Ok(entries)
}

/// One tensor by itself: inside the file, and as long as its shape asks for.
fn checked(name: &str, raw: RawEntry, base: usize, available: usize) -> Result<Entry, HeaderError> {
    let [begin, end] = raw.data_offsets;
    if begin > end {
        return Err(HeaderError::Backwards { name: name.to_owned(), begin, end });
    }
    if end > available {
        return Err(HeaderError::PastEnd { name: name.to_owned(), end, available });
    }
    if let Some(element) = element_bytes(&raw.dtype) {
        let expected = raw.shape.iter().try_fold(element, |bytes, dimension| bytes.checked_mul(*dimension));
        if expected != Some(end - begin) {
            let (name, got) = (name.to_owned(), end - begin);
            return Err(HeaderError::Length { name, shape: raw.shape, type_name: raw.dtype, expected, got });
        }
    }
    Ok(Entry { type_name: raw.dtype, shape: raw.shape, place: base + begin..base + end })
}

/// All tensors together: side by side from the first byte to the last.
fn check_cover(entries: &BTreeMap<String, Entry>, base: usize, available: usize) -> Result<(), HeaderError> {
    let mut order: Vec<(&String, &Entry)> = entries.iter().collect();
    order.sort_by_key(|(_, entry)| (entry.place.start, entry.place.end));
    let (mut end, mut previous) = (base, None::<&String>);
    for (name, entry) in order {
        if entry.place.start < end {
            let first = previous.cloned().unwrap_or_default();
            return Err(HeaderError::Overlap { first, second: name.clone() });
        }
        if entry.place.start > end {
            return Err(HeaderError::Hole { begin: end - base, end: entry.place.start - base });
        }
        (end, previous) = (entry.place.end, Some(name));
    }
    if end < base + available {
        return Err(HeaderError::Hole { begin: end - base, end: available });
    }
    Ok(())
}

/// An entry as it lies in the JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// All entries. A name that comes twice is an error; `serde_json` alone would silently keep the last.
struct Header(BTreeMap<String, RawEntry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry = map.next_value().map_err(|error| A::Error::custom(format_args!("tensor {name:?}: {error}")))?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(A::Error::custom(format_args!("tensor {name:?} is listed twice")));
            }
        }
        Ok(Header(entries))
    }
}

/// Bytes of the header's length.
const PREFIX: usize = 8;

/// Free text of whoever wrote the file; not a tensor.
const METADATA: &str = "__metadata__";
