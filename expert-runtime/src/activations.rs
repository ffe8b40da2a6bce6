//! Hidden states from f32 to the form that a layer's experts take.
//!
//! A block of 32 values has the scale `amax / 127`, and each value is `x · (127 / amax)` rounded to the nearest integer,
//! ties to even. The two divisions and the product are each rounded to f32. A block whose `amax` is below 1e-30 is zeros
//! with the scale 0.

use neuro_primitives::{ACTIVATION_BLOCK, ActivationFormat, Activations, QuantisedRows, Rows};

use crate::kernels::InstructionSet;
use crate::kernels::operand::quantise_block;

/// Hidden states that no block can hold.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ActivationError {
    /// A value is NaN or infinite.
    #[error("the hidden state of row {row} has the value {value} at index {column}, expected finite numbers")]
    NotFinite {
        /// The row of the call, from 0.
        row: usize,
        /// The value's place in it.
        column: usize,
        /// The value.
        value: f32,
    },
    /// Rows that are no whole number of blocks.
    #[error("expected rows of a multiple of {ACTIVATION_BLOCK} values, got {width}")]
    Width {
        /// Values a row has.
        width: usize,
    },
}

/// `hidden` (`[rows, width]`, f32) in `format`.
///
/// # Errors
/// For blocks: when 32 does not divide the width or a value is not finite. f32 passes as it is.
pub fn encode(hidden: &Rows, format: ActivationFormat) -> Result<Activations, ActivationError> {
    match format {
        ActivationFormat::F32 => Ok(Activations::F32(hidden.clone())),
        ActivationFormat::Q8 => quantise(hidden).map(Activations::Q8),
    }
}

/// `hidden` (`[rows, width]`, f32) in blocks of 32 int8.
///
/// # Errors
/// When 32 does not divide the width or a value is not finite.
pub fn quantise(hidden: &Rows) -> Result<QuantisedRows, ActivationError> {
    let width = hidden.width();
    if !width.is_multiple_of(ACTIVATION_BLOCK) {
        return Err(ActivationError::Width { width });
    }
    let (sources, set) = (hidden.values().as_chunks().0, InstructionSet::current());
    let (mut values, mut scales) = (Vec::with_capacity(hidden.values().len()), Vec::with_capacity(sources.len()));
    for (index, source) in sources.iter().enumerate() {
        let block = quantise_block(set, source).ok_or_else(|| not_finite(hidden, index * ACTIVATION_BLOCK))?;
        values.extend_from_slice(&block.values);
        scales.push(block.scale);
    }
    Ok(QuantisedRows::new(width, values, scales))
}

/// The values that the blocks stand for. `[rows, width]`, f32.
#[must_use]
pub fn dequantise(rows: &QuantisedRows) -> Rows {
    let blocks = rows.values().chunks_exact(ACTIVATION_BLOCK).zip(rows.scales());
    let values = blocks.flat_map(|(block, scale)| block.iter().map(move |&value| f32::from(value) * scale));
    Rows::new(rows.width(), values.collect())
}

fn not_finite(hidden: &Rows, from: usize) -> ActivationError {
    let place = hidden.values()[from..].iter().position(|value| !value.is_finite()).unwrap_or_default() + from;
    let width = hidden.width();
    ActivationError::NotFinite { row: place / width, column: place % width, value: hidden.values()[place] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: f32) -> Rows {
        let mut values = vec![0.0; ACTIVATION_BLOCK];
        values[0] = first;
        values[1] = 1.0;
        values[2] = -0.5;
        Rows::new(ACTIVATION_BLOCK, values)
    }

    #[test]
    fn the_largest_value_becomes_127_and_ties_go_to_even() {
        let blocks = quantise(&row(-2.0)).expect("finite values");
        // 1.0 is 63.5 steps, -0.5 is -31.75.
        assert_eq!(blocks.values()[..4], [-127, 64, -32, 0]);
        assert_eq!(blocks.scales(), [2.0 / 127.0]);
        assert_eq!(dequantise(&blocks).values()[0], -2.0);
    }

    #[test]
    fn a_block_of_nothing_is_nothing() {
        let blocks = quantise(&Rows::new(32, vec![1e-38; 32])).expect("finite values");
        assert_eq!((blocks.values(), blocks.scales()), ([0; 32].as_slice(), [0.0].as_slice()));
        let largest = quantise(&Rows::new(32, vec![f32::MAX; 32])).expect("finite values");
        assert_eq!(largest.values(), [127; 32]);
    }

    #[test]
    fn what_is_no_number_is_named_with_its_place() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut rows = Rows::zeros(3, 64);
            rows.row_mut(1)[40] = value;
            let error = quantise(&rows).expect_err("it must be refused");
            assert!(matches!(error, ActivationError::NotFinite { row: 1, column: 40, .. }), "{error}");
        }
        assert_eq!(quantise(&Rows::zeros(1, 33)), Err(ActivationError::Width { width: 33 }));
    }
}
