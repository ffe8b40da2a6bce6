//! Who gets which experts as workers come and go.

use neuro_primitives::ExpertId;

use super::*;
use crate::catalogue::Catalogue;
use crate::co_use::CoUse;
use crate::registry::Worker;
use crate::settings::ExpertSpec;

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// A registry for experts of `bytes` bytes each.
fn registry(layers: u16, experts: u16, bytes: u64) -> Registry {
    let ids = (0..layers).flat_map(|layer| (0..experts).map(move |expert| ExpertId { layer, expert }));
    Registry::new(Catalogue::new(ids.map(|id| ExpertSpec { id, bytes }).collect()))
}

fn join(registry: &mut Registry, number: u8, limit: u64) {
    registry.insert(node(number), Worker::new(limit, Moment(0)));
    replan(registry, &[number]);
}

fn replan(registry: &mut Registry, newcomers: &[u8]) {
    let policy = Policy::new(2, registry, &vec![0; registry.catalogue.len()]);
    plan(registry, &policy, &newcomers.iter().map(|number| node(*number)).collect(), Moment(0));
}

/// Everything queued becomes ready, and replaced copies go.
fn load_all(registry: &mut Registry) {
    for expert in 0..registry.catalogue.len() {
        for id in registry.copies(expert).to_vec() {
            if registry.state(expert, id) == Some(CopyState::Queued) {
                registry.set(expert, id, Some(CopyState::Ready));
            }
        }
        release(registry, expert);
    }
}

fn held(registry: &Registry, number: u8) -> Vec<usize> {
    registry.worker(node(number)).unwrap().copies.keys().copied().collect()
}

fn copies(registry: &Registry) -> Vec<usize> {
    (0..registry.catalogue.len()).map(|expert| registry.copies(expert).len()).collect()
}

#[test]
fn one_worker_gets_everything_once_and_two_get_everything_twice() {
    let mut registry = registry(2, 4, 10);
    join(&mut registry, 1, 1_000);
    assert_eq!(copies(&registry), [1; 8]);
    join(&mut registry, 2, 1_000);
    assert_eq!(copies(&registry), [2; 8]);
}

#[test]
fn a_join_moves_only_what_balances_and_old_copies_serve_until_new_ones_are_ready() {
    let mut registry = registry(3, 8, 10);
    for number in 1..=3 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
    }
    let before: Vec<Vec<usize>> = (1..=3).map(|number| held(&registry, number)).collect();
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 16]);
    join(&mut registry, 4, 1_000);
    assert_eq!(held(&registry, 4).len(), 12);
    assert!((0..24).all(|expert| registry.serving(expert).len() == 2), "nothing stops serving while copies load");
    load_all(&mut registry);
    assert_eq!(copies(&registry), [2; 24]);
    for (number, before) in (1..=3).zip(before) {
        let after = held(&registry, number);
        assert_eq!(after.len(), 12);
        assert!(after.iter().all(|expert| before.contains(expert)), "old workers are given nothing new");
    }
}

#[test]
fn each_layer_is_spread_over_the_workers() {
    let mut registry = registry(4, 8, 10);
    for number in 1..=4 {
        join(&mut registry, number, 1_000);
    }
    for number in 1..=4 {
        for layer in 0..4 {
            let of_layer = held(&registry, number).iter().filter(|expert| **expert / 8 == layer).count();
            assert!((2..=6).contains(&of_layer), "worker {number} has {of_layer} of layer {layer}");
        }
    }
}

#[test]
fn what_was_not_told_yet_moves_without_a_second_copy() {
    let mut registry = registry(1, 6, 10);
    for number in 1..=3 {
        join(&mut registry, number, 1_000);
    }
    assert_eq!(copies(&registry), [2; 6]);
    assert_eq!(held(&registry, 3).len(), 4);
}

#[test]
fn a_leave_places_only_what_was_lost() {
    let mut registry = registry(2, 8, 10);
    for number in 1..=4 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
    }
    let before: Vec<Vec<usize>> = (1..=3).map(|number| held(&registry, number)).collect();
    let lost = held(&registry, 4).len();
    registry.remove(node(4));
    replan(&mut registry, &[]);
    assert_eq!(copies(&registry), [2; 16]);
    let mut gained = 0;
    for (number, before) in (1..=3).zip(before) {
        let after = held(&registry, number);
        assert!(before.iter().all(|expert| after.contains(expert)), "what was held stays");
        gained += after.len() - before.len();
    }
    assert_eq!(gained, lost);
}

#[test]
fn a_copy_on_its_way_out_is_taken_back_when_its_replacement_is_lost() {
    let mut registry = registry(1, 6, 10);
    for number in 1..=2 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
    }
    join(&mut registry, 3, 1_000);
    let leaving = |registry: &Registry| {
        (0..6)
            .flat_map(|expert| registry.copies(expert).iter().map(move |id| (expert, *id)))
            .filter(|(expert, id)| registry.state(*expert, *id) == Some(CopyState::Leaving))
            .count()
    };
    assert_eq!(leaving(&registry), 4);
    registry.remove(node(3));
    replan(&mut registry, &[]);
    assert_eq!(leaving(&registry), 0);
    assert!((0..6).all(|expert| registry.serving(expert).len() == 2));
}

#[test]
fn with_too_little_memory_everything_is_held_once_before_anything_twice() {
    let mut registry = registry(1, 8, 10);
    join(&mut registry, 1, 50);
    join(&mut registry, 2, 50);
    let counts = copies(&registry);
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 10);
    for number in 1..=2 {
        assert!(registry.worker(node(number)).unwrap().assigned_bytes <= 50);
    }
}

#[test]
fn second_copies_give_way_to_an_only_copy() {
    let mut registry = registry(1, 6, 10);
    for number in 1..=3 {
        join(&mut registry, number, 40);
        load_all(&mut registry);
    }
    assert_eq!(copies(&registry), [2; 6]);
    registry.remove(node(1));
    replan(&mut registry, &[]);
    load_all(&mut registry);
    replan(&mut registry, &[]);
    let counts = copies(&registry);
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 8, "the memory is used in full");
    registry.remove(node(2));
    replan(&mut registry, &[]);
    assert_eq!(registry.worker(node(3)).unwrap().assigned_bytes, 40);
}

#[test]
fn an_awkward_fit_is_found_by_moving_another_expert() {
    let mut registry = registry(1, 4, 10);
    for (number, limit) in [(1, 20), (2, 20), (3, 40)] {
        join(&mut registry, number, limit);
        load_all(&mut registry);
        replan(&mut registry, &[]);
        load_all(&mut registry);
    }
    replan(&mut registry, &[]);
    load_all(&mut registry);
    replan(&mut registry, &[]);
    assert_eq!(copies(&registry), [2; 4]);
}

#[test]
fn a_worker_that_refused_an_expert_is_not_given_it() {
    let mut registry = registry(1, 2, 10);
    registry.insert(node(1), Worker::new(100, Moment(0)));
    registry.insert(node(2), Worker::new(100, Moment(0)));
    registry.worker_mut(node(1)).unwrap().refused.insert(0, Moment(5));
    replan(&mut registry, &[]);
    assert_eq!((held(&registry, 1), held(&registry, 2)), (vec![1], vec![0, 1]));
}

#[test]
fn heavy_use_moves_experts_away_from_a_hot_worker() {
    let mut registry = registry(1, 4, 10);
    for (number, experts) in [(1, [0, 1]), (2, [2, 3])] {
        registry.insert(node(number), Worker::new(100, Moment(0)));
        for expert in experts {
            registry.set(expert, node(number), Some(CopyState::Ready));
        }
    }
    let even = Policy::new(1, &registry, &[5, 5, 5, 5]);
    rebalance(&mut registry, &even, 8, Moment(0));
    assert_eq!(copies(&registry), [1; 4], "an even load stays where it is");
    let hot = Policy::new(1, &registry, &[900, 800, 1, 1]);
    rebalance(&mut registry, &hot, 8, Moment(0));
    let load = |number| {
        let copies = &registry.worker(node(number)).unwrap().copies;
        copies.iter().filter(|(_, copy)| copy.state.is_planned()).map(|(expert, _)| hot.weights[*expert]).sum::<u64>()
    };
    let (first, second) = (load(1), load(2));
    assert!(first.max(second) * 4 <= (first + second) / 2 * 5, "{first} and {second}");
}

#[test]
fn urgent_experts_are_loaded_first() {
    let mut registry = registry(1, 80, 10);
    join(&mut registry, 1, 10_000);
    let first = next_loads(&mut registry, node(1), |expert| expert == 77);
    assert_eq!(first.len(), crate::settings::LOADS_AT_ONCE);
    assert_eq!(first[..3], [77, 0, 1]);
    assert!(next_loads(&mut registry, node(1), |_| false).is_empty(), "not more until half of them are there");
    join(&mut registry, 2, 10_000);
    let second = next_loads(&mut registry, node(2), |_| false);
    assert!(second.iter().all(|expert| !first.contains(expert)), "what nobody loads comes first");
}

/// Everything is ready and `rows` were used; looks at the balance until nothing moves.
fn settle(registry: &mut Registry, rows: &[u64]) -> Vec<Move> {
    let mut moves = Vec::new();
    loop {
        load_all(registry);
        let policy = Policy::new(2, registry, rows);
        let more = rebalance(registry, &policy, 8, Moment(0));
        if more.is_empty() {
            return moves;
        }
        moves.extend(more);
        assert!(moves.len() < 1_000, "it never comes to rest: {:?}", &moves[990..]);
    }
}

#[test]
fn a_hot_expert_gets_more_copies_and_loses_them_when_it_has_cooled() {
    let mut registry = registry(1, 16, 10);
    (1..=5).for_each(|number| join(&mut registry, number, 1_000));
    load_all(&mut registry);
    let mut rows = vec![100; 16];
    rows[7] = 40_000;
    let moves = settle(&mut registry, &rows);
    assert_eq!(copies(&registry)[7], 3, "16 experts: the hottest can have no more than 16 times the mean");
    assert!(moves.iter().any(|moved| moved.why == Why::Hot && moved.expert.expert == 7 && moved.from.is_none()));
    let moves = settle(&mut registry, &[1_000; 16]);
    assert_eq!(copies(&registry)[7], 2);
    assert!(moves.iter().any(|moved| moved.why == Why::Cooled && moved.to.is_none()));
}

#[test]
fn extra_copies_give_way_to_missing_second_ones() {
    let mut registry = registry(1, 4, 10);
    (1..=3).for_each(|number| join(&mut registry, number, 30));
    load_all(&mut registry);
    let mut rows = vec![0; 4];
    rows[0] = 100_000;
    settle(&mut registry, &rows);
    assert_eq!(copies(&registry)[0], 3, "there was one place left");
    registry.remove(node(3));
    join(&mut registry, 4, 20);
    load_all(&mut registry);
    assert!(copies(&registry).iter().all(|copies| *copies >= 2), "{:?}", copies(&registry));
}

#[test]
fn a_slow_worker_ends_up_with_less() {
    let mut registry = registry(4, 16, 10);
    (1..=4).for_each(|number| join(&mut registry, number, 10_000));
    load_all(&mut registry);
    registry.worker_mut(node(2)).unwrap().handicap = Handicap::of(1024);
    settle(&mut registry, &[100; 64]);
    let (slow, other) = (held(&registry, 2).len(), held(&registry, 1).len());
    assert!(slow * 2 < other, "{slow} {other}");
    assert_eq!(copies(&registry), [2; 64]);
}

#[test]
fn where_messages_are_dear_experts_used_together_come_to_one_worker() {
    let catalogue = registry(1, 8, 10).catalogue;
    let mut uses = CoUse::new(&catalogue);
    (0..100).for_each(|_| [[0, 4], [1, 5], [2, 6], [3, 7]].iter().for_each(|pair| uses.note(pair)));
    let mut registry = Registry::new(catalogue);
    (1..=4).for_each(|number| registry.insert(node(number), Worker::new(1_000, Moment(0))));
    let rows = vec![100; 8];
    let policy = Policy::new(1, &registry, &rows).holding_together(&uses);
    plan(&mut registry, &policy, &BTreeSet::new(), Moment(0));
    let together = |number: u8| {
        let held = held(&registry, number);
        held.len() == 2 && held[1] == held[0] + 4
    };
    assert_eq!((1..=4).filter(|number| together(*number)).count(), 4);
}

#[test]
fn each_decision_has_its_reason() {
    let mut registry = registry(1, 2, 10);
    registry.insert(node(1), Worker::new(100, Moment(0)));
    let policy = Policy::new(2, &registry, &[0; 2]);
    let (_, first) = plan(&mut registry, &policy, &BTreeSet::from([node(1)]), Moment(0));
    assert!(first.iter().all(|moved| moved.why == Why::Uncovered && moved.to == Some(node(1)) && moved.bytes == 10));
    registry.insert(node(2), Worker::new(100, Moment(0)));
    let (_, second) = plan(&mut registry, &policy, &BTreeSet::from([node(2)]), Moment(0));
    assert_eq!(second.iter().map(|moved| moved.why).collect::<Vec<_>>(), [Why::FewCopies, Why::FewCopies]);
}

#[test]
fn the_last_copy_at_a_proven_worker_stays_beside_those_of_newcomers() {
    let mut registry = registry(2, 8, 10);
    for number in 1..=3 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
        registry.worker_mut(node(number)).unwrap().proven = true;
    }
    for number in 10..40 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
    }
    let proven = |registry: &Registry, expert: usize| {
        let at = |number: &u8| registry.state(expert, node(*number)).is_some_and(CopyState::serves);
        (1..=3).filter(at).count()
    };
    assert!((0..16).all(|expert| proven(&registry, expert) >= 1), "the newcomers may leave together");
    for number in 10..40 {
        registry.remove(node(number));
    }
    assert!((0..16).all(|expert| !registry.serving(expert).is_empty()));
    replan(&mut registry, &[]);
    load_all(&mut registry);
    assert_eq!(copies(&registry), [2; 16]);
}

#[test]
fn a_kept_copy_goes_when_a_proven_worker_has_another() {
    let mut registry = registry(1, 8, 10);
    for number in 1..=2 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
        registry.worker_mut(node(number)).unwrap().proven = true;
    }
    for number in 3..=8 {
        join(&mut registry, number, 1_000);
        load_all(&mut registry);
    }
    assert!(copies(&registry).iter().any(|copies| *copies > 2), "some are kept on top");
    (3..=8).for_each(|number| registry.worker_mut(node(number)).unwrap().proven = true);
    (0..8).for_each(|expert| release(&mut registry, expert));
    assert_eq!(copies(&registry), [2; 8]);
}

#[test]
fn room_that_a_kept_copy_takes_is_not_promised() {
    let mut registry = registry(1, 4, 10);
    join(&mut registry, 1, 40);
    load_all(&mut registry);
    registry.worker_mut(node(1)).unwrap().proven = true;
    for number in 2..=4 {
        join(&mut registry, number, 40);
        load_all(&mut registry);
    }
    registry.remove(node(2));
    replan(&mut registry, &[]);
    load_all(&mut registry);
    replan(&mut registry, &[]);
    load_all(&mut registry);
    assert!((0..4).all(|expert| registry.serving(expert).len() >= 2), "{:?}", copies(&registry));
}
