//! The bytes before the tensors. All numbers are little-endian; a text is its length in 64 bits and its bytes.

use std::collections::HashSet;

use crate::gguf_writer::{
    ALIGNMENT, FileHeader, GgufWriteError, MAX_DIMENSIONS, MAX_NAME, MetadataType, MetadataValue, TensorEntry,
};

const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;

/// Everything up to the first tensor's first byte.
pub(super) fn header(header: &FileHeader) -> Result<Vec<u8>, GgufWriteError> {
    check_names(header)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((header.tensors.len() as u64).to_le_bytes());
    bytes.extend((header.metadata.len() as u64).to_le_bytes());
    for (key, value) in &header.metadata {
        text(&mut bytes, key);
        bytes.extend((value.metadata_type() as u32).to_le_bytes());
        put(&mut bytes, key, value)?;
    }
    let mut offset = 0;
    for tensor in &header.tensors {
        entry(&mut bytes, tensor, offset)?;
        offset += tensor.bytes()?.next_multiple_of(ALIGNMENT);
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
    Ok(bytes)
}

fn check_names(header: &FileHeader) -> Result<(), GgufWriteError> {
    let duplicate = |name: &String| GgufWriteError::Duplicate { name: name.clone() };
    let mut seen = HashSet::new();
    header.metadata.iter().try_for_each(|(key, _)| seen.insert(key).then_some(()).ok_or_else(|| duplicate(key)))?;
    seen.clear();
    for TensorEntry { name, .. } in &header.tensors {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(GgufWriteError::Name { name: name.clone() });
        }
        seen.insert(name).then_some(()).ok_or_else(|| duplicate(name))?;
    }
    Ok(())
}

/// A line of the tensor table. A tensor without dimensions is one of a single element.
fn entry(bytes: &mut Vec<u8>, tensor: &TensorEntry, offset: u64) -> Result<(), GgufWriteError> {
    let shape: &[usize] = if tensor.shape.is_empty() { &[1] } else { &tensor.shape };
    if shape.len() > MAX_DIMENSIONS {
        return Err(GgufWriteError::Dimensions { name: tensor.name.clone(), got: shape.len() });
    }
    text(bytes, &tensor.name);
    bytes.extend((shape.len() as u32).to_le_bytes());
    shape.iter().rev().for_each(|&size| bytes.extend((size as u64).to_le_bytes()));
    bytes.extend(u32::from(tensor.tensor_type.code()).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    Ok(())
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put(bytes: &mut Vec<u8>, key: &str, value: &MetadataValue) -> Result<(), GgufWriteError> {
    match value {
        MetadataValue::U8(number) => bytes.push(*number),
        MetadataValue::I8(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::U16(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::I16(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::U32(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::I32(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::F32(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::Bool(flag) => bytes.push(u8::from(*flag)),
        MetadataValue::Text(value) => text(bytes, value),
        MetadataValue::Array(element, values) => return array(bytes, key, *element, values),
        MetadataValue::U64(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::I64(number) => bytes.extend(number.to_le_bytes()),
        MetadataValue::F64(number) => bytes.extend(number.to_le_bytes()),
    }
    Ok(())
}

fn array(
    bytes: &mut Vec<u8>,
    key: &str,
    element: MetadataType,
    values: &[MetadataValue],
) -> Result<(), GgufWriteError> {
    if element == MetadataType::Array || values.iter().any(|value| value.metadata_type() != element) {
        return Err(GgufWriteError::Array { key: key.to_owned() });
    }
    bytes.extend((element as u32).to_le_bytes());
    bytes.extend((values.len() as u64).to_le_bytes());
    values.iter().try_for_each(|value| put(bytes, key, value))
}
