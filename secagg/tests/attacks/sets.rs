//! Sets of sharers and survivors, votes and answers.

use std::collections::BTreeMap;

use neuro_primitives::{Hash, NodeId};
use neuro_secagg::graph::Graph;
use neuro_secagg::identity::{Bitmap, Member};
use neuro_secagg::messages::{Announcement, EndReason, Message, ShownUpload, Survivors, Vote};
use neuro_secagg::parameters::{Demand, Parameters, WeakParameters, check, find};
use neuro_secagg::participant::{PartEnd, Refused};
use neuro_secagg::survivor_rule::{SetRefused, check_survivors};

use super::support::forge::change_inbox;
use super::support::{ANSWER, Plan, UPLOAD, VOTE, World, message, opened, silent_from};

fn all_but(who: &[u16]) -> Bitmap {
    Bitmap::of(10, (0..10).filter(|at| !who.contains(at)).map(Member))
}

#[test]
fn no_order_of_requests_yields_both_kinds() {
    let (plan, victim) = (Plan::default(), 0);
    let shape = plan.shape();
    // Set and certificate for one set, then for another that names member 5 dead; in every order.
    let orders: [&[usize]; 6] =
        [&[0, 1, 2, 3], &[0, 2, 3, 1], &[2, 0, 1, 3], &[3, 1, 0, 1, 2, 3], &[0, 3, 1], &[0, 1, 0, 1, 3]];
    for order in orders {
        let mut world = World::new(&plan);
        world.until_uploaded();
        let requests = [
            world.survivors(victim, &all_but(&[])),
            world.certificate(victim, &all_but(&[]), &shape),
            world.survivors(victim, &all_but(&[5])),
            world.certificate(victim, &all_but(&[5]), &shape),
        ];
        for &request in order {
            world.show(victim, requests[request].clone());
            let registry = world.roster.clone();
            let _ = world.people[victim].crash(registry);
        }
        assert!(world.sent(victim, VOTE).len() <= 1, "one vote in order {order:?}");
        assert!(world.sent(victim, ANSWER).len() <= 1, "one answer in order {order:?}");
    }
}

#[test]
fn two_sets_never_both_gather_votes() {
    let plan = Plan::default();
    let shape = plan.shape();
    let sets = [all_but(&[]), all_but(&[9])];
    for first in 0..=9_usize {
        let mut world = World::new(&plan);
        world.until_uploaded();
        // `first` members see one set first, the rest the other; then each sees the other one. Member 8 is corrupt.
        for order in [[0, 1], [1, 0]] {
            for at in 0..9 {
                let shown = if at < first { order[0] } else { order[1] };
                let bytes = world.survivors(at, &sets[shown]);
                world.show(at, bytes);
            }
        }
        let mut votes: BTreeMap<Hash, usize> = BTreeMap::new();
        for at in (0..9).filter(|&at| at != 8) {
            for vote in world.sent(at, VOTE) {
                let Message::Vote(Vote { survivors, .. }) = message(&vote, None) else { panic!("a vote") };
                *votes.entry(survivors).or_default() += 1;
            }
        }
        let certified = votes.values().filter(|&&honest| honest + 1 >= usize::from(shape.q)).count();
        assert!(certified <= 1, "{votes:?}");
        assert_eq!(world.senders(ANSWER), 0);
    }
}

#[test]
fn the_split_at_k140_t104_isolates_nobody() {
    let demand = Demand {
        n: 1_000,
        rostered: 1_000,
        corrupt_bps: 2_000,
        dropout_bps: 1_000,
        security_bits: 40,
        correctness_bits: 20,
    };
    let found = find(&demand).expect("parameters");
    let weak = Parameters { k: 140, t: 104, ..found };
    assert!(matches!(check(&demand, &weak), Err(WeakParameters::Connection { .. })), "nobody joins with these");

    // If somebody did: v's 100 honest neighbours are dead for all others and alive for v, in groups of at most 36.
    let graph = Graph::new(1_000, 140, &Hash::of(b"a seed"));
    let (victim, corrupt) = (Member(0), |member: &Member| member.0 % 5 == 1);
    let honest: Vec<Member> =
        graph.neighbours(victim).iter().copied().filter(|member| !corrupt(member)).take(100).collect();
    let everybody = Bitmap::full(1_000);
    let without = |dead: &[Member]| Bitmap::of(1_000, everybody.iter().filter(|member| !dead.contains(member)));
    let rule = |set: &Bitmap, own| check_survivors(&graph, &weak, &everybody, set, own);
    assert!(matches!(rule(&without(&honest), victim), Err(SetRefused::FewNeighbours { .. })), "not all at once");
    let group = without(&honest[..30]);
    assert_eq!(rule(&group, victim), Ok(()), "a group passes the rule of the set");
    assert_eq!(rule(&everybody, honest[0]), Ok(()), "so does the set that the group itself sees");
    // But then both sets would need q votes, and 200 of 1,000 vote twice.
    let both = (0..=800_u16).any(|votes| votes + 200 >= found.q && (800 - votes) + 200 >= found.q);
    assert!(!both, "two sets are never both certified");
}

#[test]
fn the_dead_do_not_answer() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    world.until_uploaded();
    let set = all_but(&[0]);
    let requests = [world.survivors(0, &set), world.certificate(0, &set, &plan.shape())];
    requests.into_iter().for_each(|request| world.show(0, request));
    assert!(world.sent(0, VOTE).is_empty() && world.sent(0, ANSWER).is_empty());
    assert_eq!(world.people[0].end, Some(PartEnd::Refused(Refused::Set(SetRefused::WithoutMe { own: Member(0) }))));
    // One that voted, and is then asked by a certificate for a set without it, says nothing either.
    let request = world.survivors(1, &all_but(&[]));
    world.show(1, request);
    let request = world.certificate(1, &all_but(&[1]), &plan.shape());
    world.show(1, request);
    assert!(world.sent(1, ANSWER).is_empty());
}

#[test]
fn a_neighbour_with_other_sharers_gets_no_vote() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let (key, shape, victim) = (plan.aggregator_key(), plan.shape(), world.id(0));
    world.down = Box::new(move |to, bytes| {
        if bytes[0] >= 5 {
            return Vec::new();
        }
        if bytes[0] != 4 || to != victim {
            return vec![bytes];
        }
        let Announcement::Sharers(mut sharers) = opened(&bytes, &key, Some(&shape)) else { panic!("sharers") };
        sharers.sharers.remove(Member(9));
        vec![Announcement::Sharers(sharers).sign(&key)]
    });
    world.start();
    world.settle();
    let other = world.upload(0);
    let (cohort, sharers) = world.cohort_and_sharers(1);
    assert_ne!(other.statement.sharers, sharers, "it masked with others");
    let shown = |at: usize| {
        let upload = world.upload(at);
        ShownUpload { payload: upload.statement.payload, signature: upload.signature }
    };
    let uploads = (0..10).filter(|&at| at != 1).map(shown).collect();
    let set = Survivors { cohort, sharers, survivors: all_but(&[]), uploads };
    let request = world.sign(&Announcement::Survivors(set));
    world.show(1, request);
    assert!(world.sent(1, VOTE).is_empty());
    assert!(matches!(world.people[1].end, Some(PartEnd::Refused(Refused::Signature(_)))));
}

#[test]
fn a_sharer_without_a_statement_ends_the_part() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    world.down = change_inbox(&plan, world.id(2), |inbox| inbox.dealings.retain(|dealing| dealing.dealer != Member(7)));
    let end = world.run();
    let dealer = world.id(7);
    assert!(world.sent(2, UPLOAD).is_empty());
    assert_eq!(world.people[2].end, Some(PartEnd::Refused(Refused::NoStatement { dealer })));
    assert!(matches!(end, EndReason::Done { .. }), "for the others it is a dropout");
}

#[test]
fn one_dropout_too_many_unmasks_nothing() {
    let mut world = World::new(&Plan::default());
    let gone: Vec<NodeId> = world.ids().into_iter().take(4).collect();
    world.up = silent_from(UPLOAD, gone);
    assert!(matches!(world.run(), EndReason::TooFewUploaded(few) if (few.expected, few.got) == (7, 6)));
    assert_eq!((world.senders(VOTE), world.server.unmaskings), (0, 0));

    // An aggregator that asks all the same gets no votes either.
    let mut world = World::new(&Plan::default());
    world.until_uploaded();
    let set = all_but(&[6, 7, 8, 9]);
    for at in 0..6 {
        let request = world.survivors(at, &set);
        world.show(at, request);
        let refused = matches!(&world.people[at].end, Some(PartEnd::Refused(Refused::Set(SetRefused::TooFew { .. }))));
        assert!(refused, "{:?}", world.people[at].end);
    }
    assert_eq!(world.senders(VOTE), 0);
}
