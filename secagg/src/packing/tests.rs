//! Packing against a bit string written bit by bit, for every modulus.

use proptest::prelude::*;

use super::*;

/// Words that look random, from a number.
fn words(seed: u64, entries: usize) -> Vec<u64> {
    let mut word = seed | 1;
    std::iter::repeat_with(|| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        word ^ word >> 29
    })
    .take(entries)
    .collect()
}

/// Words with the lanes that a modulus has.
#[derive(Debug, Clone, PartialEq)]
enum Vector {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Vector {
    fn new(modulus: Modulus, words: Vec<u64>) -> Self {
        if modulus.is_narrow() {
            Self::Narrow(words.into_iter().map(|word| word as u32).collect())
        } else {
            Self::Wide(words)
        }
    }

    fn lanes(&mut self) -> Lanes<'_> {
        match self {
            Self::Narrow(words) => Lanes::Narrow(words),
            Self::Wide(words) => Lanes::Wide(words),
        }
    }

    fn signed(&self, modulus: Modulus) -> Vec<i64> {
        match self {
            Self::Narrow(words) => words.iter().map(|word| modulus.signed(u64::from(*word))).collect(),
            Self::Wide(words) => words.iter().map(|word| modulus.signed(*word)).collect(),
        }
    }
}

fn packed(modulus: Modulus, words: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    pack(Vector::new(modulus, words.to_vec()).lanes(), modulus, &mut out);
    out
}

/// The definition: bit i of the string is bit i mod 8 of byte ⌊i/8⌋.
fn packed_bit_by_bit(modulus: Modulus, words: &[u64]) -> Vec<u8> {
    let bits = usize::from(modulus.bits());
    let mut out = vec![0; (words.len() * bits).div_ceil(8)];
    for (entry, word) in words.iter().enumerate() {
        for bit in 0..bits {
            let at = entry * bits + bit;
            out[at / 8] |= ((word >> bit & 1) as u8) << (at % 8);
        }
    }
    out
}

fn moduli() -> impl Iterator<Item = Modulus> {
    (2..=64).map(|bits| Modulus::new(bits).unwrap())
}

#[test]
fn packing_is_the_bit_string_of_section_8_for_every_modulus() {
    for modulus in moduli() {
        for entries in [0, 1, 2, 7, 8, 9, 33] {
            let words = words(entries as u64, entries);
            assert_eq!(packed(modulus, &words), packed_bit_by_bit(modulus, &words), "{modulus:?}, {entries} entries");
            assert_eq!(packed(modulus, &words).len(), modulus.payload_bytes(entries));
        }
    }
}

#[test]
fn what_is_packed_and_added_is_the_sum_for_every_modulus() {
    for modulus in moduli() {
        let vectors: Vec<Vec<u64>> = (0..3).map(|seed| words(seed, 101)).collect();
        let mut sum = Vector::new(modulus, vec![0; 101]);
        for vector in &vectors {
            add_packed(sum.lanes(), 0, &packed(modulus, vector), modulus).unwrap();
        }
        subtract_packed(sum.lanes(), 0, &packed(modulus, &vectors[1]), modulus).unwrap();
        let expected = vectors[0].iter().zip(&vectors[2]).map(|(one, other)| modulus.signed(one.wrapping_add(*other)));
        assert_eq!(sum.signed(modulus), expected.collect::<Vec<_>>(), "{modulus:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn pieces_add_up_to_the_whole(bits in 2..=64_u8, seed: u64, entries in 1..400_usize, cuts in proptest::collection::vec(0..400_usize, 0..4)) {
        let modulus = Modulus::new(bits).unwrap();
        let whole = packed(modulus, &words(seed, entries));
        let start = Vector::new(modulus, words(seed ^ 5, entries));
        let mut at_once = start.clone();
        add_packed(at_once.lanes(), 0, &whole, modulus).unwrap();

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(entries)).chain([0, entries]).collect();
        cuts.sort_unstable();
        let mut in_pieces = start;
        for pair in cuts.windows(2).filter(|pair| pair[0] < pair[1]) {
            let piece = pair[0]..pair[1];
            let bytes = &whole[bytes_of(&piece, modulus)];
            add_packed(in_pieces.lanes().part(piece.clone()), piece.start, bytes, modulus).unwrap();
        }
        prop_assert_eq!(in_pieces, at_once);
    }

    #[test]
    fn pieces_of_whole_groups_pack_to_the_whole(bits in 2..=64_u8, seed: u64, entries in 1..200_usize, groups in 0..20_usize) {
        let modulus = Modulus::new(bits).unwrap();
        let words = words(seed, entries);
        let (first, second) = words.split_at((groups * GROUP).min(entries));
        prop_assert_eq!([packed(modulus, first), packed(modulus, second)].concat(), packed(modulus, &words));
    }
}

#[test]
fn other_lengths_and_lanes_are_refused_and_add_nothing() {
    let modulus = Modulus::new(26).unwrap();
    let whole = packed(modulus, &words(1, 10));
    let mut sum = vec![5_u32; 10];
    for bytes in [&whole[..32], &[&whole[..], &[0]].concat(), &[]] {
        let expected = PayloadError::Length { entries: 10, bits: 26, expected: 33, got: bytes.len() };
        assert_eq!(add_packed(Lanes::Narrow(&mut sum), 0, bytes, modulus), Err(expected));
    }
    assert_eq!(sum, [5; 10]);
    let expected = PayloadError::Lanes { bits: 26, expected: 32, got: 64 };
    assert_eq!(add_packed(Lanes::Wide(&mut [0; 10]), 0, &whole, modulus), Err(expected));
    let expected = PayloadError::Lanes { bits: 33, expected: 64, got: 32 };
    assert_eq!(subtract_packed(Lanes::Narrow(&mut sum), 0, &whole, Modulus::new(33).unwrap()), Err(expected));
}

#[test]
fn a_modulus_has_2_to_64_bits() {
    for bits in [0, 1, 65, 255] {
        assert_eq!(Modulus::new(bits), Err(ModulusError { got: bits.into() }));
    }
}

#[test]
fn the_modulus_of_plain_mode_is_the_least_that_never_overflows() {
    let bits = |value_bits, members, cap| Modulus::plain(value_bits, members, cap).map(Modulus::bits);
    assert_eq!(bits(9, 100, 1_000), Ok(26), "the example of section 17");
    assert_eq!(bits(8, 1, 1), Ok(8));
    assert_eq!(bits(8, 128, 1), Ok(15));
    assert_eq!(bits(8, 129, 1), Ok(16));
    assert_eq!(bits(32, 4_096, 1 << 20), Ok(64));
    assert_eq!(bits(32, 4_097, 1 << 20), Err(ModulusError { got: 65 }));
    for (value_bits, members, cap) in [(2, 8, 1), (9, 100, 1_000), (22, 4_095, 77), (32, 4_096, 1 << 20)] {
        let modulus = Modulus::plain(value_bits, members, cap).unwrap();
        let most = i128::from(members) * i128::from(cap) * ((1 << (value_bits - 1)) - 1);
        assert!(most < 1 << (modulus.bits() - 1), "{value_bits} {members} {cap}");
    }
}

#[test]
fn numbers_are_in_twos_complement() {
    let modulus = Modulus::new(5).unwrap();
    assert_eq!([0, 1, 15, 16, 31, 32 + 31].map(|word| modulus.signed(word)), [0, 1, 15, -16, -1, -1]);
    assert_eq!(Modulus::new(64).unwrap().signed(u64::MAX), -1);
}
