//! Loops over GF(2^64): all instruction sets give the same.

use proptest::prelude::*;

use super::galois_set::Set;
use super::gf64;

proptest! {
    #[test]
    fn all_sets_give_the_same(
        pairs in prop::collection::vec(any::<(u64, u64)>(), 0..70),
        width in 0usize..20,
        seed: u64,
    ) {
        let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let rows: Vec<_> = (0..left.len() * width).map(|i| (i as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let results: Vec<_> = Set::available().into_iter().map(|set| {
            let mut sums = vec![u128::from(seed); width];
            gf64::accumulate(set, &mut sums, &left, &rows);
            let mut each = left.clone();
            gf64::multiply_each(set, &mut each, &right);
            (gf64::dot(set, &left, &right), sums, each, gf64::combine(set, &left, &right))
        }).collect();
        prop_assert!(results.iter().all(|result| *result == results[0]));
        let expected = left.iter().zip(&right).fold(0, |sum, (&a, &b)| sum ^ gf64::product_scalar(a, b));
        prop_assert_eq!(results[0].0, gf64::reduce(expected));
    }

    #[test]
    fn a_product_is_reduced(a: u64, b: u64) {
        let mut wide = gf64::product_scalar(a, b);
        prop_assert_eq!(wide, gf64::product(a, b));
        let polynomial = (1u128 << 64) | 0b11011;
        let reduced = gf64::reduce(wide);
        for bit in (64..128).rev() {
            if wide >> bit & 1 == 1 {
                wide ^= polynomial << (bit - 64);
            }
        }
        prop_assert_eq!(u128::from(reduced), wide);
    }
}
