//! The scales and minima of Q4_K and Q5_K: eight of each, 6 bits each, in 12 bytes.
//!
//! Bytes 0..4 hold scales 0..4 and bytes 4..8 minima 0..4 in their low 6 bits. Bytes 8..12 hold the low halves of scales
//! 4..8 (low) and of minima 4..8 (high); their upper two bits are the upper two of bytes 0..4 and 4..8.

/// Bytes of the packed form.
pub const BYTES: usize = 12;

/// Scales and minima, each below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubScales {
    /// One for each 32 elements.
    pub scales: [u8; 8],
    /// One for each 32 elements.
    pub minima: [u8; 8],
}

impl SubScales {
    /// Reads the packed form.
    #[must_use]
    pub fn unpack(bytes: &[u8; BYTES]) -> Self {
        let of = |start: usize, shift: u32| {
            std::array::from_fn(|i| match i {
                0..4 => bytes[start + i] & 63,
                _ => (bytes[4 + i] >> shift & 15) | (bytes[start + i - 4] >> 6) << 4,
            })
        };
        Self { scales: of(0, 0), minima: of(4, 4) }
    }

    /// The packed form.
    #[must_use]
    pub fn pack(&self) -> [u8; BYTES] {
        std::array::from_fn(|i| match i {
            0..4 => self.scales[i] | self.scales[i + 4] >> 4 << 6,
            4..8 => self.minima[i - 4] | self.minima[i] >> 4 << 6,
            _ => (self.scales[i - 4] & 15) | (self.minima[i - 4] & 15) << 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packing_and_unpacking_are_each_other_s_reverse(bytes in any::<[u8; BYTES]>()) {
            let unpacked = SubScales::unpack(&bytes);
            prop_assert!(unpacked.scales.iter().chain(&unpacked.minima).all(|six_bits| *six_bits < 64));
            prop_assert_eq!(unpacked.pack(), bytes);
        }
    }
}
