//! Encodings by hand, and any values and bytes.

use proptest::prelude::*;

use super::*;

#[test]
fn the_lowest_bit_comes_first() {
    assert_eq!(pack(&[1, 0, 1, 1, 0, 0, 0, 0, 1], 1), [0b1101, 1]);
    assert_eq!(pack(&[0b101, 0b010, 0b111], 3), [0b1101_0101, 1]);
    assert_eq!(pack(&[0x0102_0304], 24), [4, 3, 2]);
    assert_eq!(pack(&[u64::MAX, 1], 64), [[255; 8], [1, 0, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!(pack(&[], 13), []);
}

#[test]
fn what_is_not_an_encoding_is_refused() {
    assert_eq!(unpack(&[0; 3], 8, 2), Err(UnpackError::Length { expected: 2, got: 3 }));
    assert_eq!(unpack(&[0], 8, 2), Err(UnpackError::Length { expected: 2, got: 1 }));
    assert_eq!(unpack(&[], 64, usize::MAX / 16), Err(UnpackError::Length { expected: usize::MAX / 16 * 8, got: 0 }));
    assert_eq!(unpack(&[0b1000], 3, 1), Err(UnpackError::Padding));
    assert_eq!(unpack(&[0, 0x80], 5, 3), Err(UnpackError::Padding));
    assert_eq!(unpack(&[0, 0x7F], 5, 3), Ok(vec![0, 24, 31]));
    assert_eq!(unpack(&[], 5, 0), Ok(vec![]));
    assert_eq!(unpack(&[1], 5, 0), Err(UnpackError::Length { expected: 0, got: 1 }));
}

proptest! {
    #[test]
    fn values_come_back(values in prop::collection::vec(any::<u64>(), 0..200), bits in 1..=64_u32) {
        let bytes = pack(&values, bits);
        prop_assert_eq!(bytes.len(), packed_len(bits, values.len()));
        let kept: Vec<u64> = values.iter().map(|value| value & mask(bits)).collect();
        prop_assert_eq!(unpack(&bytes, bits, values.len()), Ok(kept));
    }

    #[test]
    fn each_bit_is_where_it_should_be(values in prop::collection::vec(any::<u64>(), 1..100), bits in 1..=64_u32) {
        let bytes = pack(&values, bits);
        for (i, value) in values.iter().enumerate() {
            for bit in 0..bits as usize {
                let at = i * bits as usize + bit;
                prop_assert_eq!(u64::from(bytes[at / 8] >> (at % 8) & 1), value >> bit & 1);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_packed_alike(bytes in prop::collection::vec(any::<u8>(), 0..40), bits in 1..=64_u32,
        n in 0..40_usize) {
        if let Ok(values) = unpack(&bytes, bits, n) {
            prop_assert_eq!(pack(&values, bits), bytes);
        }
    }
}
