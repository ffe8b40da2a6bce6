//! Each rule broken alone, and what the rules imply together.

use neuro_primitives::Hash;
use proptest::prelude::*;

use super::*;

const RING: Parameters = Parameters { k: 6, t: 4, q: 12, corrupt: 3, dropout: 4 };

fn ring() -> Graph {
    Graph::new(20, RING.k, &Hash::of(b"ring"))
}

/// All of the ring but those at the given positions.
fn without(graph: &Graph, positions: &[usize]) -> Bitmap {
    let mut set = Bitmap::full(graph.n());
    positions.iter().for_each(|&position| set.remove(graph.order()[position]));
    set
}

fn verdict(graph: &Graph, parameters: &Parameters, survivors: &Bitmap) -> Result<(), SetRefused> {
    let own = survivors.iter().next().unwrap();
    check_survivors(graph, parameters, &Bitmap::full(graph.n()), survivors, own)
}

#[test]
fn a_set_that_keeps_all_rules_is_voted_for() {
    let graph = ring();
    assert_eq!(verdict(&graph, &RING, &Bitmap::full(20)), Ok(()));
    assert_eq!(verdict(&graph, &RING, &without(&graph, &[0, 1, 10, 11])), Ok(()));
}

#[test]
fn a_participant_that_is_called_dead_does_not_vote() {
    let graph = ring();
    let own = graph.order()[3];
    let verdict = check_survivors(&graph, &RING, &Bitmap::full(20), &without(&graph, &[3]), own);
    assert_eq!(verdict, Err(SetRefused::WithoutMe { own }));
}

#[test]
fn a_survivor_that_did_not_share_is_refused() {
    let (graph, mut sharers) = (ring(), Bitmap::full(20));
    sharers.remove(Member(9));
    let verdict = check_survivors(&graph, &RING, &sharers, &Bitmap::full(20), Member(0));
    assert_eq!(verdict, Err(SetRefused::NotSharer { member: Member(9) }));
}

#[test]
fn one_dropout_too_many_is_refused() {
    let graph = ring();
    let verdict = verdict(&graph, &RING, &without(&graph, &[0, 4, 8, 12, 16]));
    assert_eq!(verdict, Err(SetRefused::TooFew { expected: 16, got: 15 }));
}

#[test]
fn fewer_survivors_than_votes_are_refused() {
    let graph = ring();
    let voted_by_all_but_two = Parameters { q: 18, ..RING };
    let verdict = verdict(&graph, &voted_by_all_but_two, &without(&graph, &[0, 5, 10]));
    assert_eq!(verdict, Err(SetRefused::TooFew { expected: 18, got: 17 }));
}

#[test]
fn a_survivor_with_fewer_than_t_neighbours_left_is_named() {
    let graph = ring();
    let verdict = verdict(&graph, &RING, &without(&graph, &[0, 1, 2]));
    let beside = [graph.order()[19], graph.order()[3]];
    assert!(
        matches!(verdict, Err(SetRefused::FewNeighbours { member, expected: 4, got: 3 }) if beside.contains(&member))
    );
}

#[test]
fn with_a_threshold_of_h_or_less_two_parts_pass_the_other_rules_and_are_refused_as_such() {
    let graph = ring();
    let low = Parameters { t: 3, dropout: 6, ..RING };
    let verdict = verdict(&graph, &low, &without(&graph, &[0, 1, 2, 10, 11, 12]));
    assert_eq!(verdict, Err(SetRefused::Disconnected));
}

#[test]
fn sets_of_another_cohort_are_refused() {
    let (graph, all) = (ring(), Bitmap::full(20));
    let refused = Err(SetRefused::Cohort { expected: 20, got: 21 });
    assert_eq!(check_survivors(&graph, &RING, &all, &Bitmap::full(21), Member(0)), refused);
    assert_eq!(check_survivors(&graph, &RING, &Bitmap::full(21), &all, Member(0)), refused);
}

#[test]
fn the_complete_graph_bears_exactly_d_dropouts() {
    let graph = Graph::new(20, 19, &Hash::of(b"complete"));
    let parameters = Parameters { k: 19, t: 15, q: 12, corrupt: 3, dropout: 4 };
    let alive = |n: u16| Bitmap::of(20, (0..n).map(Member));
    assert_eq!(verdict(&graph, &parameters, &alive(16)), Ok(()));
    assert_eq!(verdict(&graph, &parameters, &alive(15)), Err(SetRefused::TooFew { expected: 16, got: 15 }));
}

proptest! {
    #[test]
    fn above_h_neighbours_each_a_set_is_connected(
        (n, half) in (8_u16..60).prop_flat_map(|n| (Just(n), 1..=(n - 2) / 2)),
        extra in 1_u16..4,
        bits: [bool; 60],
        seed: u64,
    ) {
        let graph = Graph::new(n, 2 * half, &Hash::of(&seed.to_le_bytes()));
        let alive = Bitmap::of(n, (0..n).map(Member).filter(|member| bits[member.index()]));
        let core = graph.core(&alive, half + extra);
        prop_assert!(graph.is_connected(&core), "rule 3 follows from rule 2");
    }

    #[test]
    fn what_the_aggregator_settles_on_passes_rule_2(bits: [bool; 20], t in 0_u16..7) {
        let graph = ring();
        let alive = Bitmap::of(20, (0..20).map(Member).filter(|member| bits[member.index()]));
        prop_assert_eq!(check_neighbours(&graph, t, &graph.core(&alive, t)), Ok(()));
    }
}
