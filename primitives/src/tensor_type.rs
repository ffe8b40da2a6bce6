//! How the elements of a stored tensor are encoded: floats, and the block formats of GGUF.
//!
//! A block format packs a fixed number of neighbouring elements of a row into a fixed number of bytes, so a row is a
//! whole number of blocks. Layouts: `docs/spec/native-engine.md`; numbers and sizes are those of the GGUF format.

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum TensorType {
    /// IEEE 754 binary32.
    F32 = 0,
    /// IEEE 754 binary16.
    F16 = 1,
    /// Blocks of 32: one f16 scale, 4-bit values less 8.
    Q4_0 = 2,
    /// Blocks of 32: one f16 scale, 8-bit values.
    Q8_0 = 8,
    /// Blocks of 256: 4-bit values in 8 sub-blocks with 6-bit scales and minima.
    Q4K = 12,
    /// Blocks of 256: 5-bit values in 8 sub-blocks with 6-bit scales and minima.
    Q5K = 13,
    /// Blocks of 256: 6-bit values in 16 sub-blocks with 8-bit scales.
    Q6K = 14,
    /// Blocks of 32: one f16 scale, 4-bit indices into a table of 16 values.
    Iq4Nl = 20,
    /// The upper half of binary32.
    BF16 = 30,
    /// Blocks of 32: one power of two, 4-bit floats (E2M1).
    Mxfp4 = 39,
}

impl TensorType {
    /// All types, ascending by number.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::Q4_0,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::BF16,
        Self::Mxfp4,
    ];

    /// The number in GGUF files and in the manifest.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The type with this number, if this version has it.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// The name in lower case, as file names and the command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q4_0 => "q4_0",
            Self::Q8_0 => "q8_0",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
            Self::Iq4Nl => "iq4_nl",
            Self::BF16 => "bf16",
            Self::Mxfp4 => "mxfp4",
        }
    }

    /// The type called `name`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Elements of one block; 1 for floats.
    #[must_use]
    pub const fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q8_0 | Self::Iq4Nl | Self::Mxfp4 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Mxfp4 => 17,
        }
    }

    /// Whether every element is a float of its own.
    #[must_use]
    pub const fn is_float(self) -> bool {
        self.block_elements() == 1
    }

    /// The bytes of `elements` elements that lie in one row or in whole rows; `None` when no block size divides them
    /// or the number exceeds 64 bits.
    #[must_use]
    pub const fn bytes_of(self, elements: u64) -> Option<u64> {
        let block = self.block_elements() as u64;
        if elements.is_multiple_of(block) { (elements / block).checked_mul(self.block_bytes() as u64) } else { None }
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_type() {
        for tensor_type in TensorType::ALL {
            assert_eq!(TensorType::from_code(tensor_type.code()), Some(tensor_type));
            assert_eq!(TensorType::from_name(&tensor_type.name().to_uppercase()), Some(tensor_type));
        }
        assert_eq!(TensorType::from_code(3), None, "Q4_1 is not supported");
    }

    #[test]
    fn a_row_is_a_whole_number_of_blocks() {
        assert_eq!(TensorType::Q8_0.bytes_of(64), Some(68));
        assert_eq!(TensorType::Q6K.bytes_of(512), Some(420));
        assert_eq!(TensorType::Q4K.bytes_of(128), None);
        assert_eq!(TensorType::F32.bytes_of(u64::MAX), None);
    }
}
