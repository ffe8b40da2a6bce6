//! The drawn order against an independent computation, the graph's shape, connectivity and cores against plain ones.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

/// Bytes 0, 1, …, 31.
fn counting_seed() -> Hash {
    Hash(std::array::from_fn(|i| i as u8))
}

fn seed(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn numbers(members: &[Member]) -> Vec<u16> {
    members.iter().map(|member| member.0).collect()
}

#[test]
fn a_seed_gives_the_order_that_a_plain_chacha20_and_shuffle_give() {
    let graph = Graph::new(12, 4, &counting_seed());
    assert_eq!(numbers(graph.order()), [0, 6, 5, 3, 9, 4, 10, 2, 8, 7, 11, 1]);
    assert_eq!(numbers(graph.neighbours(Member(0))), [1, 5, 6, 11]);
    assert_eq!(numbers(graph.neighbours(Member(4))), [2, 3, 9, 10]);
    assert_eq!(numbers(graph.neighbours(Member(11))), [0, 1, 7, 8]);
}

#[test]
fn the_largest_cohort_has_the_order_of_an_independent_computation() {
    let order = order::drawn(4_096, &counting_seed());
    assert_eq!(numbers(&order[..4]), [1455, 3031, 3590, 3611]);
    let bytes: Vec<u8> = order.iter().flat_map(|member| member.0.to_le_bytes()).collect();
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "3588cc499dd81d853fa6a5b8701dce9c792a14361e965329a3ea258908626e76");
}

#[test]
fn all_orders_of_four_are_about_equally_frequent() {
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..24_000 {
        *counts.entry(order::drawn(4, &seed(number))).or_insert(0_u32) += 1;
    }
    let excess = |count: &u32| (f64::from(*count) - 1_000.0).powi(2) / 1_000.0;
    let chi_square: f64 = counts.values().map(excess).sum();
    assert_eq!(counts.len(), 24);
    assert!(chi_square < 49.7, "23 degrees of freedom exceed 49.7 once in a thousand, got {chi_square}");
}

#[test]
fn the_graph_is_complete_from_n_minus_one_neighbours_on() {
    for (n, k) in [(1, 0), (1, 5), (2, 1), (8, 7), (129, 128), (130, 129), (9, u16::MAX)] {
        let graph = Graph::new(n, k, &seed(1));
        assert_eq!(graph.degree(), usize::from(n - 1));
        assert!(graph.order().is_empty());
        for one in 0..n {
            let others: Vec<u16> = (0..n).filter(|&other| other != one).collect();
            assert_eq!(numbers(graph.neighbours(Member(one))), others);
        }
    }
}

#[test]
fn nobody_has_no_neighbours_and_a_stranger_has_none() {
    assert!(Graph::new(0, 0, &seed(1)).neighbours(Member(0)).is_empty());
    let graph = Graph::new(12, 4, &seed(1));
    assert!(graph.neighbours(Member(12)).is_empty() && graph.neighbours(Member(u16::MAX)).is_empty());
    assert!(!graph.are_neighbours(Member(3), Member(3)));
}

#[test]
fn the_empty_set_and_a_single_member_are_connected() {
    let graph = Graph::new(12, 4, &seed(1));
    assert!(graph.is_connected(&Bitmap::new(12)));
    assert!(graph.is_connected(&Bitmap::of(12, [Member(7)])));
}

#[test]
fn two_gaps_of_h_positions_cut_a_ring_and_one_does_not() {
    let graph = Graph::new(20, 6, &seed(1));
    let without = |gaps: &[std::ops::Range<usize>]| {
        let left = (0..20).filter(|position| !gaps.iter().any(|gap| gap.contains(position)));
        Bitmap::of(20, left.map(|position| graph.order()[position]))
    };
    assert!(graph.is_connected(&without(&[0..4, 4..8])));
    assert!(graph.is_connected(&without(&[0..3, 10..12])));
    assert!(!graph.is_connected(&without(&[0..3, 10..13])));
}

/// A ring's size, degree and seed number, and one bit for each member.
fn ring_and_set() -> impl Strategy<Value = (u16, u16, u64, Vec<bool>)> {
    (6_u16..40).prop_flat_map(|n| {
        let half = 1..=(n - 2) / 2;
        (Just(n), half.prop_map(|half| 2 * half), any::<u64>(), prop::collection::vec(any::<bool>(), usize::from(n)))
    })
}

fn set(n: u16, bits: &[bool]) -> Bitmap {
    Bitmap::of(n, (0..n).map(Member).filter(|member| bits[member.index()]))
}

/// Breadth-first search from the first member, over pairs and without the lists.
fn reached_from_first(graph: &Graph, among: &Bitmap) -> usize {
    let members: Vec<Member> = among.iter().collect();
    let mut queue: std::collections::VecDeque<Member> = members.first().copied().into_iter().collect();
    let mut seen: std::collections::BTreeSet<Member> = queue.iter().copied().collect();
    while let Some(one) = queue.pop_front() {
        for &other in &members {
            if graph.are_neighbours(one, other) && seen.insert(other) {
                queue.push_back(other);
            }
        }
    }
    seen.len()
}

/// Takes one member out at a time, the last first.
fn plain_core(graph: &Graph, among: &Bitmap, least: u16) -> Bitmap {
    let mut left = among.clone();
    let poor = |left: &Bitmap| {
        let few = |member: &Member| graph.neighbours_in(*member, left).count() < usize::from(least);
        left.iter().filter(few).last()
    };
    while let Some(member) = poor(&left) {
        left.remove(member);
    }
    left
}

proptest! {
    #[test]
    fn each_member_has_k_neighbours_around_the_ring_and_is_theirs((n, k, number, _) in ring_and_set()) {
        let graph = Graph::new(n, k, &seed(number));
        let mut members = numbers(graph.order());
        members.sort_unstable();
        prop_assert!(members.iter().copied().eq(0..n));
        let positions: Vec<u16> = (0..n).map(|m| graph.order().iter().position(|o| o.0 == m).unwrap() as u16).collect();
        for one in 0..n {
            let list = graph.neighbours(Member(one));
            prop_assert_eq!(list.len(), usize::from(k));
            prop_assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
            for other in 0..n {
                let (p, q) = (positions[usize::from(one)], positions[usize::from(other)]);
                let apart = ((p + n - q) % n).min((q + n - p) % n);
                prop_assert_eq!(graph.are_neighbours(Member(one), Member(other)), apart >= 1 && apart <= k / 2);
            }
        }
    }

    #[test]
    fn a_set_is_connected_if_a_plain_search_reaches_all_of_it((n, k, number, bits) in ring_and_set()) {
        let (graph, among) = (Graph::new(n, k, &seed(number)), set(n, &bits));
        prop_assert_eq!(graph.is_connected(&among), reached_from_first(&graph, &among) == among.count());
    }

    #[test]
    fn the_core_does_not_depend_on_who_is_taken_out_first((n, k, number, bits) in ring_and_set(), least in 0_u16..12) {
        let (graph, among) = (Graph::new(n, k, &seed(number)), set(n, &bits));
        prop_assert_eq!(graph.core(&among, least), plain_core(&graph, &among, least));
    }
}
