//! The graph: whose boxes are taken, how it is drawn, and whether it can be cut.

use std::collections::BTreeSet;

use neuro_primitives::Hash;
use neuro_secagg::graph::Graph;
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::messages::EndReason;
use neuro_secagg::participant::{PartEnd, Refused};

use super::support::forge::{change_cohort, change_inbox};
use super::support::{Plan, REVEAL, SHARES, UPLOAD, World};

#[test]
fn boxes_of_strangers_are_refused() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    // In a complete graph the only stranger is oneself.
    world.down = change_inbox(&plan, world.id(2), |inbox| {
        let mut own = inbox.dealings.remove(8);
        own.dealer = Member(2);
        inbox.dealings.insert(2, own);
    });
    world.run();
    assert_eq!(world.people[2].end, Some(PartEnd::Refused(Refused::NoNeighbour { dealer: Member(2) })));
    assert!(world.sent(2, UPLOAD).is_empty());
}

/// Whether some set whose members all keep t neighbours in it is cut when `corrupt` members see everything.
fn some_cut(graph: &Graph, sets: &[Bitmap], corrupt: &[u16]) -> bool {
    sets.iter().any(|set| {
        let honest = Bitmap::of(set.n(), set.iter().filter(|member| !corrupt.contains(&member.0)));
        !graph.is_connected(&honest)
    })
}

/// All sets of `left` of the members from `from` on, added to `chosen`.
fn subsets(n: u16, from: u16, left: usize, chosen: &mut Vec<u16>, each: &mut impl FnMut(&[u16])) {
    if left == 0 {
        return each(chosen);
    }
    for next in from..n {
        chosen.push(next);
        subsets(n, next + 1, left - 1, chosen, each);
        chosen.pop();
    }
}

#[test]
fn no_choice_of_dropouts_cuts_the_honest() {
    // Windows of h = 3 need t − h = 2 corrupt members each, so three corrupt ones fill no two of them.
    let (n, k, t) = (12, 6, 5);
    let graph = Graph::new(n, k, &Hash::of(b"a small ring"));
    let all_sets = (1_u32..1 << n).map(|bits| Bitmap::of(n, (0..n).filter(|at| bits >> at & 1 == 1).map(Member)));
    let sets: Vec<Bitmap> = all_sets.filter(|set| graph.core(set, t) == *set).collect();
    assert!(sets.len() > 10, "there are sets to choose from");
    for corrupt in 0..=3 {
        subsets(n, 0, corrupt, &mut Vec::new(), &mut |corrupt| assert!(!some_cut(&graph, &sets, corrupt)));
    }
    // With two windows to fill there is a choice that cuts: the bound is about something.
    let mut cuts = 0;
    for corrupt in 4..=6 {
        subsets(n, 0, corrupt, &mut Vec::new(), &mut |corrupt| cuts += usize::from(some_cut(&graph, &sets, corrupt)));
    }
    assert!(cuts > 0);
}

#[test]
fn a_third_lost_reveal_ends_the_round() {
    let mut world = World::new(&Plan::default());
    let ids = world.ids();
    let shared = ids.clone();
    world.up = Box::new(move |from, bytes| {
        // Config hash, then the attempt: in each another member is silent.
        let lost = bytes[0] == REVEAL && from == shared[usize::from(bytes[33])];
        if lost { Vec::new() } else { vec![bytes] }
    });
    assert_eq!(world.run(), EndReason::RevealsMissing { silent: vec![ids[2]] });
    assert_eq!(world.senders(SHARES), 0);
    for by in 0..10 {
        let nonces: BTreeSet<Vec<u8>> = world.sent(by, REVEAL).iter().map(|bytes| bytes[66..].to_vec()).collect();
        let expected = if by < 2 { by + 1 } else { 3 };
        assert_eq!((world.sent(by, REVEAL).len(), nonces.len()), (expected, expected), "another nonce each time");
    }
}

#[test]
fn a_lost_reveal_costs_one_attempt_and_one_member() {
    let mut world = World::new(&Plan::default());
    let silent = world.id(4);
    world.up = Box::new(move |from, bytes| if bytes[0] == REVEAL && from == silent { Vec::new() } else { vec![bytes] });
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[silent]))));
}

#[test]
fn one_nonce_is_never_revealed_for_two_cohorts() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    world.down = Box::new(|_, bytes| if bytes[0] >= 2 { Vec::new() } else { vec![bytes] });
    world.start();
    world.settle();
    // Another cohort that would pass every check: without member 9.
    let smaller = Plan { members: 9, ..plan.clone() };
    let last = world.id(9);
    let mut change = change_cohort(plan.aggregator_key(), move |_, cohort| {
        cohort.rows.retain(|row| row.node != last);
        let shape = smaller.shape();
        (cohort.k, cohort.t, cohort.q) = (shape.k, shape.t, 6);
    });
    for restarts in [false, true] {
        for at in 0..9 {
            let to = world.id(at);
            let cohort = world.server.announced.iter().find(|(whom, bytes)| *whom == to && bytes[0] == 1);
            let other = change(to, cohort.expect("it was shown one").1.clone()).remove(0);
            if restarts {
                let registry = world.roster.clone();
                let _ = world.people[at].crash(registry);
            }
            world.show(at, other);
            assert_eq!(world.sent(at, REVEAL).len(), 1);
            assert!(matches!(world.people[at].end, Some(PartEnd::Refused(Refused::TwoOfOne { .. }))));
        }
    }
}
