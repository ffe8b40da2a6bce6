//! Stored weights as numbers: every tensor type widened to f32, and numbers as stored weights.
//!
//! `docs/spec/blocks.md` gives each type's bytes and the value that each block stands for. Widening follows it exactly;
//! nothing that computes answers goes this way but embeddings, norms and the reference engine. Quantising is a choice
//! of the writer alone: any block is as valid as any other, and a better search never changes a reader.

pub mod iq4_nl;
pub mod mxfp4;
pub mod q4_0;
pub mod q4_k;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
pub mod sub_scales;

mod affine_fit;
mod float;
mod nibbles;
mod super_block;
mod symmetric_fit;

use neuro_primitives::TensorType;

/// Bytes that are not a tensor's, or numbers that a type cannot hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// The bytes are not a whole number of blocks.
    #[error("expected whole blocks of {block} bytes of {tensor_type}, got {got} bytes")]
    Length {
        /// The tensor's type.
        tensor_type: TensorType,
        /// Bytes of one block.
        block: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The elements are not a whole number of blocks.
    #[error("expected whole blocks of {block} elements of {tensor_type}, got {got} elements")]
    Elements {
        /// The tensor's type.
        tensor_type: TensorType,
        /// Elements of one block.
        block: usize,
        /// Elements that came.
        got: usize,
    },
    /// An element is NaN or infinite: the model would answer nonsense.
    #[error("the value at index {index} is {value}, expected finite numbers")]
    NotFinite {
        /// The first such element, counted through the whole tensor.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// An element is so large that its block's scale, or the element itself, would be infinite in the type.
    #[error("the value at index {index} is {value}, expected at most ±{limit} for {tensor_type}")]
    TooLarge {
        /// The type that was asked for.
        tensor_type: TensorType,
        /// The first such element.
        index: usize,
        /// Its value.
        value: f32,
        /// The greatest magnitude that the type takes.
        limit: f32,
    },
}

impl BlockError {
    /// Never: the same bytes fail again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// The elements of `bytes` as f32, in storage order, whatever they are.
///
/// # Errors
/// When the bytes are not whole blocks.
pub fn to_f32(tensor_type: TensorType, bytes: &[u8]) -> Result<Vec<f32>, BlockError> {
    let (block, got) = (tensor_type.block_bytes(), bytes.len());
    if !got.is_multiple_of(block) {
        return Err(BlockError::Length { tensor_type, block, got });
    }
    Ok(match tensor_type {
        TensorType::F32 => float::f32_values(bytes),
        TensorType::F16 => float::f16_values(bytes),
        TensorType::BF16 => float::bf16_values(bytes),
        TensorType::Q4_0 => widen(bytes, q4_0::values),
        TensorType::Q8_0 => widen(bytes, q8_0::values),
        TensorType::Q4K => widen(bytes, q4_k::values),
        TensorType::Q5K => widen(bytes, q5_k::values),
        TensorType::Q6K => widen(bytes, q6_k::values),
        TensorType::Iq4Nl => widen(bytes, iq4_nl::values),
        TensorType::Mxfp4 => widen(bytes, mxfp4::values),
    })
}

/// As [`to_f32`], and every element is a finite number.
///
/// # Errors
/// Those of [`to_f32`], and the first element that is not finite.
pub fn finite_f32(tensor_type: TensorType, bytes: &[u8]) -> Result<Vec<f32>, BlockError> {
    let values = to_f32(tensor_type, bytes)?;
    check_finite(&values)?;
    Ok(values)
}

/// Whole rows of f32 values as blocks of `tensor_type`, in storage order.
///
/// Floats, Q8_0, Q4_0 and MXFP4 are rounded as the GGUF project's own writer rounds them, bit for bit. For Q4_K, Q5_K,
/// Q6_K and IQ4_NL scales are searched that make the sum of squared errors small. The same values give the same bytes
/// everywhere.
///
/// # Errors
/// When the values are not whole blocks, or one is not finite or too large for the type.
pub fn quantise(tensor_type: TensorType, values: &[f32]) -> Result<Vec<u8>, BlockError> {
    let (block, got) = (tensor_type.block_elements(), values.len());
    if !got.is_multiple_of(block) {
        return Err(BlockError::Elements { tensor_type, block, got });
    }
    check_range(tensor_type, values)?;
    Ok(match tensor_type {
        TensorType::F32 => float::f32_bytes(values),
        TensorType::F16 => float::f16_bytes(values),
        TensorType::BF16 => float::bf16_bytes(values),
        TensorType::Q4_0 => narrow(values, q4_0::block),
        TensorType::Q8_0 => narrow(values, q8_0::block),
        TensorType::Q4K => narrow(values, q4_k::block),
        TensorType::Q5K => narrow(values, q5_k::block),
        TensorType::Q6K => narrow(values, q6_k::block),
        TensorType::Iq4Nl => narrow(values, iq4_nl::block),
        TensorType::Mxfp4 => narrow(values, mxfp4::block),
    })
}

/// The greatest magnitude that [`quantise`] takes. Scales are halves, so their range bounds the block's; types with a
/// searched scale take what a half takes, far beyond any weight.
#[must_use]
pub fn greatest(tensor_type: TensorType) -> f32 {
    match tensor_type {
        TensorType::F32 | TensorType::Mxfp4 => f32::MAX,
        TensorType::BF16 => f32::from_bits(0x7F7F_7FFF),
        TensorType::Q8_0 => 65_504.0 * 127.0,
        TensorType::Q4_0 => 65_504.0 * 8.0,
        TensorType::F16 | TensorType::Q4K | TensorType::Q5K | TensorType::Q6K | TensorType::Iq4Nl => 65_504.0,
    }
}

fn check_finite(values: &[f32]) -> Result<(), BlockError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(BlockError::NotFinite { index, value: values[index] }),
        None => Ok(()),
    }
}

/// A NaN is not `<=` anything: one pass finds it and all that is too large.
fn check_range(tensor_type: TensorType, values: &[f32]) -> Result<(), BlockError> {
    let limit = greatest(tensor_type);
    if values.iter().fold(true, |all, value| all & (value.abs() <= limit)) {
        return Ok(());
    }
    check_finite(values)?;
    match values.iter().position(|value| value.abs() > limit) {
        Some(index) => Err(BlockError::TooLarge { tensor_type, index, value: values[index], limit }),
        None => Ok(()),
    }
}

fn widen<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    values: impl Fn(&[u8; BYTES]) -> [f32; ELEMENTS],
) -> Vec<f32> {
    bytes.as_chunks().0.iter().flat_map(values).collect()
}

fn narrow<const BYTES: usize, const ELEMENTS: usize>(
    values: &[f32],
    block: impl Fn(&[f32; ELEMENTS]) -> [u8; BYTES],
) -> Vec<u8> {
    let mut bytes = vec![0; values.len() / ELEMENTS * BYTES];
    let blocks = values.as_chunks().0.iter();
    blocks.zip(bytes.as_chunks_mut().0).for_each(|(values, bytes)| *bytes = block(values));
    bytes
}

#[cfg(test)]
mod tests;
