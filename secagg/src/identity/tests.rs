//! Bitmaps: form, set operations, refusals.

use proptest::prelude::*;

use super::*;

#[test]
fn member_i_is_bit_i_mod_8_of_byte_i_div_8() {
    let set = Bitmap::of(11, [Member(0), Member(7), Member(8), Member(10)]);
    assert_eq!(set.encode(), [0b1000_0001, 0b0000_0101]);
    assert_eq!(set.iter().collect::<Vec<_>>(), [Member(0), Member(7), Member(8), Member(10)]);
    assert_eq!(format!("{set:?}"), "Bitmap(4 of 11: {0, 7, 8, 10})");
}

#[test]
fn another_length_and_unused_bits_are_refused() {
    let length = |expected, got| Err(DocumentError::Length { what: "bytes of a bitmap", expected, got });
    assert_eq!(Bitmap::decode(8, &[0, 0]), length(1, 2));
    assert_eq!(Bitmap::decode(9, &[0]), length(2, 1));
    assert_eq!(Bitmap::decode(9, &[0, 0b10]), Err(DocumentError::UnusedBits { n: 9 }));
    assert!(Bitmap::decode(8, &[0xff]).is_ok());
    assert!(Bitmap::decode(0, &[]).is_ok());
}

#[test]
fn nobody_beyond_the_cohort_is_in_a_set() {
    let all = Bitmap::full(10);
    assert_eq!(all.count(), 10);
    assert!(!all.get(Member(10)) && !all.get(Member(15)) && !all.get(Member(16)) && !all.get(Member(u16::MAX)));
}

proptest! {
    #[test]
    fn a_bitmap_is_the_set_of_its_members(n in 1_u16..300, seed: Vec<u16>) {
        let members: std::collections::BTreeSet<u16> = seed.into_iter().map(|member| member % n).collect();
        let set = Bitmap::of(n, members.iter().copied().map(Member));
        prop_assert_eq!(set.count(), members.len());
        prop_assert!(set.iter().map(|member| member.0).eq(members.iter().copied()));
        prop_assert_eq!(&Bitmap::decode(n, set.encode()).unwrap(), &set);
        prop_assert!(set.is_subset_of(&Bitmap::full(n)));
        let mut less = set.clone();
        if let Some(first) = set.iter().next() {
            less.remove(first);
            prop_assert!(less.is_subset_of(&set) && !set.is_subset_of(&less));
        }
    }
}
