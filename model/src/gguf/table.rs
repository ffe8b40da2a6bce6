//! The table of tensors, and where in the file each lies.

use std::collections::BTreeMap;
use std::ops::Range;

use neuro_primitives::TensorType;

use crate::gguf::FormatError;
use crate::gguf::cursor::Cursor;

/// The longest name of a tensor. Files in use keep to 64 bytes.
pub const MAX_NAME_BYTES: u64 = 256;

/// The most dimensions of a tensor, as the format says.
pub const MAX_DIMENSIONS: u32 = 4;

/// Bytes of the shortest entry: a name of none, one dimension, type and offset.
pub(super) const MIN_ENTRY_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

/// A tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name in the file.
    pub name: String,
    /// How its elements are stored. A row (the last dimension) is a whole number of blocks.
    pub tensor_type: TensorType,
    /// The slowest dimension first: the reverse of the order in the file. No dimension is 0.
    pub shape: Vec<usize>,
    /// Its bytes in the file; as many as shape and type ask for.
    pub place: Range<usize>,
}

/// An entry of the table: the tensor's size is known, its place is not.
struct Entry {
    name: String,
    tensor_type: TensorType,
    shape: Vec<usize>,
    bytes: u64,
    offset: u64,
}

/// Reads `count` entries of a file of `length` bytes; tensors begin at the first multiple of `alignment` after them.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u32,
    length: usize,
) -> Result<BTreeMap<String, GgufTensor>, FormatError> {
    let entries = (0..count).map(|number| entry(cursor, number)).collect::<Result<Vec<_>, _>>()?;
    let base = (cursor.at() as u64).next_multiple_of(u64::from(alignment));
    let mut tensors = BTreeMap::new();
    for entry in entries {
        let tensor = placed(entry, base, alignment, length)?;
        if let Some(twice) = tensors.insert(tensor.name.clone(), tensor) {
            return Err(FormatError::TensorTwice { tensor: twice.name });
        }
    }
    check_apart(&tensors)?;
    Ok(tensors)
}

fn entry(cursor: &mut Cursor<'_>, number: u64) -> Result<Entry, FormatError> {
    let (_, name) = cursor.text(&format!("the name of tensor {number}"), MAX_NAME_BYTES)?;
    let what = format!("tensor {name:?}");
    let dimensions = cursor.u32(&what)?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(FormatError::Dimensions { tensor: name.to_owned(), limit: MAX_DIMENSIONS, got: dimensions });
    }
    let mut shape = (0..dimensions).map(|_| cursor.u64(&what)).collect::<Result<Vec<u64>, _>>()?;
    shape.reverse();
    let code = cursor.u32(&what)?;
    let offset = cursor.u64(&what)?;
    let known = u16::try_from(code).ok().and_then(TensorType::from_code);
    let tensor_type = known.ok_or_else(|| FormatError::TensorType { tensor: name.to_owned(), got: type_name(code) })?;
    let bytes = stored_bytes(name, tensor_type, &shape)?;
    let too_large = |_| FormatError::TooLarge { tensor: name.to_owned(), shape: shape.clone() };
    let shape = shape.iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>().map_err(too_large)?;
    Ok(Entry { name: name.to_owned(), tensor_type, shape, bytes, offset })
}

/// The bytes of a tensor; the shape has at least one dimension.
fn stored_bytes(name: &str, tensor_type: TensorType, shape: &[u64]) -> Result<u64, FormatError> {
    let tensor = name.to_owned();
    if shape.contains(&0) {
        return Err(FormatError::Empty { tensor, shape: shape.to_vec() });
    }
    let (row, block) = (shape.last().copied().unwrap_or(0), tensor_type.block_elements());
    if !row.is_multiple_of(block as u64) {
        return Err(FormatError::Row { tensor, tensor_type, row, block });
    }
    let elements = shape.iter().try_fold(1_u64, |elements, size| elements.checked_mul(*size));
    let bytes = elements.and_then(|elements| tensor_type.bytes_of(elements));
    bytes.ok_or_else(|| FormatError::TooLarge { tensor, shape: shape.to_vec() })
}

fn placed(entry: Entry, base: u64, alignment: u32, length: usize) -> Result<GgufTensor, FormatError> {
    let Entry { name, tensor_type, shape, bytes, offset } = entry;
    if !offset.is_multiple_of(u64::from(alignment)) {
        return Err(FormatError::Unaligned { tensor: name, offset, alignment });
    }
    let start = base.saturating_add(offset);
    let end = start.saturating_add(bytes);
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if end <= length => Ok(GgufTensor { name, tensor_type, shape, place: start..end }),
        _ => Err(FormatError::PastEnd { tensor: name, end, length }),
    }
}

fn check_apart(tensors: &BTreeMap<String, GgufTensor>) -> Result<(), FormatError> {
    let mut order: Vec<&GgufTensor> = tensors.values().collect();
    order.sort_by_key(|tensor| tensor.place.start);
    let touching = order.windows(2).find(|pair| pair[1].place.start < pair[0].place.end);
    touching
        .map_or(Ok(()), |pair| Err(FormatError::Overlap { first: pair[0].name.clone(), second: pair[1].name.clone() }))
}

/// What people call the types that the format has and this engine has not.
fn type_name(code: u32) -> String {
    let name = match code {
        3 => "q4_1",
        6 => "q5_0",
        7 => "q5_1",
        9 => "q8_1",
        10 => "q2_k",
        11 => "q3_k",
        15 => "q8_k",
        16 => "iq2_xxs",
        17 => "iq2_xs",
        18 => "iq3_xxs",
        19 => "iq1_s",
        21 => "iq3_s",
        22 => "iq2_s",
        23 => "iq4_xs",
        24 => "i8",
        25 => "i16",
        26 => "i32",
        27 => "i64",
        28 => "f64",
        29 => "iq1_m",
        34 => "tq1_0",
        35 => "tq2_0",
        other => return format!("unknown type {other}"),
    };
    format!("{name} (type {code})")
}
