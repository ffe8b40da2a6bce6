//! Stored weights as numbers: every tensor type widened to f32.
//!
//! `docs/spec/native-engine.md` gives the value that each block stands for. Widening follows it exactly; nothing that
//! computes answers goes this way but embeddings, norms and the reference engine.

mod float;

use neuro_primitives::TensorType;

/// Bytes that are not a tensor's.
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
    /// An element is NaN or infinite: the model would answer nonsense.
    #[error("the value at index {index} is {value}, expected finite numbers")]
    NotFinite {
        /// The first such element, counted through the whole tensor.
        index: usize,
        /// Its value.
        value: f32,
    },
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
        _ => vec![f32::NAN; got / block * tensor_type.block_elements()],
    })
}

/// As [`to_f32`], and every element is a finite number.
///
/// # Errors
/// Those of [`to_f32`], and the first element that is not finite.
pub fn finite_f32(tensor_type: TensorType, bytes: &[u8]) -> Result<Vec<f32>, BlockError> {
    let values = to_f32(tensor_type, bytes)?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(BlockError::NotFinite { index, value: values[index] }),
        None => Ok(values),
    }
}
