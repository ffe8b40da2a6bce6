//! Each bit where it should be, under every instruction set.

use proptest::prelude::*;

use super::*;

fn check(values: &[u64], width: usize) {
    let words = plane_words(values.len());
    for set in InstructionSet::available() {
        let planes = to_planes_with(set, values, width);
        assert_eq!(planes.len(), width * words);
        for bit in 0..width {
            for i in 0..64 * words {
                let expected = values.get(i).map_or(0, |value| value >> bit & 1);
                assert_eq!(planes[bit * words + i / 64] >> (i % 64) & 1, expected, "{set:?}: bit {bit} of value {i}");
            }
        }
        let kept: Vec<u64> =
            values.iter().map(|value| if width == 0 { 0 } else { value & (u64::MAX >> (64 - width)) }).collect();
        assert_eq!(from_planes_with(set, &planes, width, values.len()), kept);
    }
}

#[test]
fn bits_are_where_they_should_be() {
    let values: Vec<u64> = (1..=200_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    for n in [0, 1, 2, 63, 64, 65, 127, 128, 129, 200] {
        for width in [0, 1, 2, 7, 8, 13, 32, 33, 63, 64] {
            check(&values[..n], width);
        }
    }
}

#[test]
#[should_panic(expected = "2 planes of 65 values in 3 words")]
fn planes_of_another_length_are_our_bug() {
    let _ = from_planes(&[0; 3], 2, 65);
}

proptest! {
    #[test]
    fn any_values(values in prop::collection::vec(any::<u64>(), 0..150), width in 0..=64_usize) {
        check(&values, width);
    }
}
