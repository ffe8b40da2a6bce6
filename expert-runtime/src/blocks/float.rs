//! Floats of 4 and 2 bytes.

use half::f16;
use half::slice::HalfFloatSliceExt;

pub(super) fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub(super) fn bf16_values(bytes: &[u8]) -> Vec<f32> {
    let widen = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    bytes.as_chunks().0.iter().map(widen).collect()
}

/// Halves are converted a block at a time, which the processor does in one instruction per few values.
pub(super) fn f16_values(bytes: &[u8]) -> Vec<f32> {
    let halves = bytes.as_chunks::<2>().0;
    let mut values = vec![0.0; halves.len()];
    let mut block = [f16::ZERO; BLOCK];
    for (source, target) in halves.chunks(BLOCK).zip(values.chunks_mut(BLOCK)) {
        let block = &mut block[..source.len()];
        block.iter_mut().zip(source).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
        block.convert_to_f32_slice(target);
    }
    values
}

pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn f16_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    let mut block = [f16::ZERO; BLOCK];
    for values in values.chunks(BLOCK) {
        let block = &mut block[..values.len()];
        block.convert_from_f32_slice(values);
        bytes.extend(block.iter().flat_map(|half| half.to_le_bytes()));
    }
    bytes
}

/// To the nearest, ties to the even one.
pub(super) fn bf16_bytes(values: &[f32]) -> Vec<u8> {
    let narrow = |value: &f32| {
        let bits = value.to_bits();
        ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16
    };
    values.iter().flat_map(|value| narrow(value).to_le_bytes()).collect()
}

/// Halves per block: 2 KiB, which stays in the first-level cache.
const BLOCK: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_type_gives_the_value_that_was_stored() {
        let f32s: Vec<u8> = [1.5_f32, -0.0, 3.4e38].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(f32_values(&f32s), [1.5, -0.0, 3.4e38]);
        // 1.5 is 0x3E00 as half and 0x3FC0 as bfloat16; 6e-8 is the least half.
        assert_eq!(f16_values(&[0x00, 0x3E, 0x01, 0x00, 0xFF, 0x7B]), [1.5, 5.960_464_5e-8, 65504.0]);
        assert_eq!(bf16_values(&[0xC0, 0x3F, 0x80, 0xBF]), [1.5, -1.0]);
    }

    proptest! {
        #[test]
        fn blocks_of_halves_equal_halves_one_by_one(bits in prop::collection::vec(any::<u16>(), 0..3000)) {
            let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            let ours = f16_values(&bytes);
            for (bits, ours) in bits.iter().zip(&ours) {
                let one = f16::from_bits(*bits).to_f32();
                prop_assert!(one == *ours || (one.is_nan() && ours.is_nan()));
            }
            prop_assert_eq!(ours.len(), bits.len());
        }
    }
}
