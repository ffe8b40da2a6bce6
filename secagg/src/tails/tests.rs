//! Tails against exact integers.

use proptest::prelude::*;

use super::*;

/// N, K, s, x and log2 T(N, K, s, x), from sums of binomials as integers of any size, to twelve places.
const EXACT: [(u32, u32, u32, u32, f64); 19] = [
    (10, 4, 5, 3, -1.932885804141),
    (52, 13, 13, 1, -0.018572471914),
    (198, 20, 33, 15, -30.240284968251),
    (198, 40, 44, 24, -28.239706301339),
    (998, 200, 70, 34, -25.415418859924),
    (998, 200, 77, 39, -31.532322965352),
    (999, 200, 140, 40, -7.473123864704),
    (999, 200, 154, 116, -205.910846541455),
    (999, 100, 154, 39, -30.123842911444),
    (3998, 800, 93, 46, -32.970108010662),
    (3999, 800, 186, 139, -202.513823859008),
    (3998, 800, 768, 219, -32.618445908357),
    (3999, 1200, 1536, 550, -32.204410162341),
    (3999, 1200, 1536, 587, -61.015661175562),
    (4094, 2047, 800, 1, 0.0),
    (4094, 2047, 800, 401, -1.046084784143),
    (4095, 4000, 1600, 1520, 0.0),
    (4095, 4000, 1600, 1600, -68.937999796177),
    (65535, 6554, 1600, 400, -225.247524797878),
];

#[test]
fn tails_are_those_of_exact_integers_to_a_billionth_of_a_bit() {
    for (population, marked, drawn, least, exact) in EXACT {
        let got = Hypergeometric::new(population, marked, drawn).log2_at_least(least);
        assert!((got - exact).abs() < 1e-9, "T({population}, {marked}, {drawn}, {least}): expected {exact}, got {got}");
    }
}

#[test]
fn the_certain_has_probability_one_and_the_impossible_none() {
    let all_but_two_marked = Hypergeometric::new(10, 8, 5);
    assert_eq!(all_but_two_marked.log2_at_least(0), 0.0);
    assert_eq!(all_but_two_marked.log2_at_least(3), 0.0, "five drawn of which two at most are unmarked");
    assert!(all_but_two_marked.log2_at_least(4) < 0.0);
    assert_eq!(all_but_two_marked.log2_at_least(6), f64::NEG_INFINITY);
    assert_eq!(Hypergeometric::new(10, 0, 5).log2_at_least(1), f64::NEG_INFINITY);
    assert_eq!(Hypergeometric::new(10, 10, 5).log2_at_least(5), 0.0);
    assert_eq!(Hypergeometric::new(0, 0, 0).log2_at_least(0), 0.0);
}

#[test]
fn more_marked_or_drawn_than_there_are_count_as_all() {
    assert_eq!(Hypergeometric::new(10, 11, 4).log2_at_least(4), 0.0);
    assert_eq!(Hypergeometric::new(10, 4, u32::MAX).log2_at_least(4), 0.0);
}

fn binomial(n: u32, k: u32) -> u128 {
    if k > n { 0 } else { (0..k).fold(1, |product, i| product * u128::from(n - i) / u128::from(i + 1)) }
}

proptest! {
    #[test]
    fn every_small_tail_is_the_ratio_of_two_counts(
        (population, marked, drawn) in (1_u32..=90).prop_flat_map(|n| (Just(n), 0..=n, 0..=n)),
        least in 0_u32..=90,
    ) {
        let ways = |x| binomial(marked, x) * binomial(population - marked, drawn - x);
        let counted: u128 = (least..=drawn).map(ways).sum();
        let got = Hypergeometric::new(population, marked, drawn).log2_at_least(least);
        if counted == 0 {
            prop_assert_eq!(got, f64::NEG_INFINITY);
        } else {
            let expected = (counted as f64).log2() - (binomial(population, drawn) as f64).log2();
            prop_assert!((got - expected).abs() < 1e-10, "expected {}, got {}", expected, got);
        }
    }
}
