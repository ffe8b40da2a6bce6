//! Hidden states in the form that a kernel takes, which is the form in which they travel.

use crate::rows::Rows;

/// Values of one block of quantised activations. The block types of weights have 32 or a multiple of it.
pub const ACTIVATION_BLOCK: usize = 32;

/// In what form hidden states go to the experts of a layer. A layer's form is what its local kernel takes, so sending
/// it loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum ActivationFormat {
    /// f32, little-endian: float experts.
    F32 = 1,
    /// Blocks of 32 int8 with one f32 scale: quantised experts.
    Q8 = 2,
}

impl ActivationFormat {
    /// The number on the wire and in the manifest.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The format with this number, if this version has it.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::F32),
            2 => Some(Self::Q8),
            _ => None,
        }
    }

    /// The bytes of one row of `width` values in this form.
    #[must_use]
    pub const fn row_bytes(self, width: usize) -> usize {
        match self {
            Self::F32 => width * size_of::<f32>(),
            Self::Q8 => width + width.div_ceil(ACTIVATION_BLOCK) * size_of::<f32>(),
        }
    }
}

/// Rows of int8 in blocks of [`ACTIVATION_BLOCK`], each block with the scale that makes them values again. How f32 is
/// rounded to it is the engine's business (`docs/spec/native-engine.md`, "Activations").
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuantisedRows {
    width: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl QuantisedRows {
    /// Takes `values` (`[rows, width]`, i8) and `scales` (`[rows, width / 32]`, f32, finite and not negative).
    ///
    /// # Panics
    /// When 32 does not divide the width or the counts do not fit: a bug of ours, never of a peer (decoders check).
    #[must_use]
    pub fn new(width: usize, values: Vec<i8>, scales: Vec<f32>) -> Self {
        assert!(
            width > 0 && width.is_multiple_of(ACTIVATION_BLOCK) && values.len().is_multiple_of(width),
            "{} values in rows of {width}",
            values.len()
        );
        assert_eq!(scales.len() * ACTIVATION_BLOCK, values.len(), "one scale for {ACTIVATION_BLOCK} values");
        Self { width, values, scales }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self.values.len().checked_div(self.width) {
            Some(count) => count,
            None => 0,
        }
    }

    /// How many values a row has.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// All values, row after row. `[rows, width]`, i8.
    #[must_use]
    pub fn values(&self) -> &[i8] {
        &self.values
    }

    /// All scales, row after row. `[rows, width / 32]`, f32.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The values of row `index`. `[width]`, i8.
    #[must_use]
    pub fn row(&self, index: usize) -> &[i8] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// The scales of row `index`. `[width / 32]`, f32.
    #[must_use]
    pub fn row_scales(&self, index: usize) -> &[f32] {
        let blocks = self.width / ACTIVATION_BLOCK;
        &self.scales[index * blocks..(index + 1) * blocks]
    }

    /// The rows at `indices`, in that order.
    #[must_use]
    pub fn gather(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&index| self.row(index)).copied().collect();
        let scales = indices.iter().flat_map(|&index| self.row_scales(index)).copied().collect();
        Self { width: self.width, values, scales }
    }
}

/// Hidden states as experts take them.
#[derive(Debug, Clone, PartialEq)]
pub enum Activations {
    /// `[rows, width]`, f32.
    F32(Rows),
    /// `[rows, width]`, int8 in blocks.
    Q8(QuantisedRows),
}

impl Activations {
    /// In what form they are.
    #[must_use]
    pub const fn format(&self) -> ActivationFormat {
        match self {
            Self::F32(_) => ActivationFormat::F32,
            Self::Q8(_) => ActivationFormat::Q8,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::F32(rows) => rows.count(),
            Self::Q8(rows) => rows.count(),
        }
    }

    /// How many values a row has.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self {
            Self::F32(rows) => rows.width(),
            Self::Q8(rows) => rows.width(),
        }
    }

    /// The rows at `indices`, in that order.
    #[must_use]
    pub fn gather(&self, indices: &[usize]) -> Self {
        match self {
            Self::F32(rows) => Self::F32(rows.gather(indices)),
            Self::Q8(rows) => Self::Q8(rows.gather(indices)),
        }
    }
}

impl From<Rows> for Activations {
    fn from(rows: Rows) -> Self {
        Self::F32(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_rows_keep_their_values_and_scales() {
        let values: Vec<i8> = (0..96).collect();
        let rows = QuantisedRows::new(32, values, vec![0.5, 1.0, 2.0]);
        let picked = rows.gather(&[2, 0]);
        assert_eq!((picked.count(), picked.row(0)[0], picked.row(1)[31]), (2, 64, 31));
        assert_eq!(picked.scales(), [2.0, 0.5]);
        assert_eq!(Activations::Q8(rows).gather(&[2, 0]), Activations::Q8(picked));
    }

    #[test]
    fn a_row_in_blocks_takes_little_more_than_a_byte_a_value() {
        assert_eq!(ActivationFormat::Q8.row_bytes(1024), 1024 + 128);
        assert_eq!(ActivationFormat::F32.row_bytes(1024), 4096);
        assert_eq!(ActivationFormat::from_code(ActivationFormat::Q8.code()), Some(ActivationFormat::Q8));
    }
}
