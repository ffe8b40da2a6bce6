//! Loops over the Galois ring: all instruction sets give the same.

use proptest::prelude::*;

use super::super::galois::Element;
use super::galois::{self, Columns};
use super::galois_set::Set;

fn words(seed: u64, count: usize) -> Vec<u64> {
    let mut bytes = vec![0; 8 * count];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

fn elements(seed: u64, count: usize) -> Vec<Element> {
    let words = words(seed, 64 * count);
    words.as_chunks().0.iter().map(|element| Element(*element)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn all_sets_give_the_same(seed: u64, n in 0usize..40, width in 0usize..40, stride in 1usize..4) {
        let (left, right) = (elements(seed, n), elements(seed ^ 1, n * stride));
        let (weights, rows) = (words(seed, n), words(seed ^ 1, n * width));
        let sums = elements(seed ^ 2, width);
        let widths: Vec<usize> = weights.iter().map(|weight| (weight % 3) as usize).collect();
        let [left_words, right_words] = [4, 5].map(|more| words(seed ^ more, 8 * widths.iter().sum::<usize>()));
        let results: Vec<_> = Set::available().into_iter().map(|set| {
            let mut accumulated = sums.clone();
            galois::accumulate(set, &mut accumulated, &weights, &rows);
            let mut multiplied = elements(seed ^ 3, 64);
            let columns = Columns { rows: 8, widths: &widths, left: &left_words, right: &right_words };
            galois::accumulate_products(set, &mut multiplied, &weights, &columns);
            let combined = galois::combine(set, &left, &weights);
            (galois::dot(set, &left, &right, stride), accumulated, combined, multiplied)
        }).collect();
        prop_assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    fn the_loops_are_what_they_say(seed: u64, n in 1usize..8) {
        let (left, right) = (elements(seed, n), elements(seed ^ 1, n));
        let weights = words(seed, n);
        let dot = left.iter().zip(&right).fold(Element::ZERO, |sum, (&a, &b)| sum + a * b);
        prop_assert_eq!(galois::dot(Set::current(), &left, &right, 1), dot);
        let sum = weights.iter().zip(&left).fold(Element::ZERO, |sum, (&w, &a)| sum + Element::constant(w) * a);
        prop_assert_eq!(galois::combine(Set::current(), &left, &weights), sum);
        let mut sums = vec![Element::ZERO];
        galois::accumulate(Set::current(), &mut sums, &weights, &weights);
        let sum = weights.iter().fold(Element::ZERO, |sum, &w| sum + Element::exceptional(w) * Element::constant(w));
        prop_assert_eq!(sums[0], sum);
        let columns = Columns { rows: 1, widths: &vec![1; n], left: &weights, right: &weights };
        galois::accumulate_products(Set::current(), &mut sums, &weights, &columns);
        let squares = weights.iter().map(|&w| Element::exceptional(w) * Element::constant(w.wrapping_mul(w)));
        prop_assert_eq!(sums[0], squares.fold(sum, |sum, square| sum + square));
    }
}
