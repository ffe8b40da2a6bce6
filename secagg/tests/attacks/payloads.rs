//! Payloads of the stated length and hash that are no vector, and members that broke the protocol before.

use neuro_primitives::{Hash, NodeId};
use neuro_secagg::aggregator::{Evidence, Input, Phase};
use neuro_secagg::messages::{EndReason, OutCause, Shortfall};
use neuro_secagg::participant::{OutOfRound, PartEnd};

use super::shares::answers_with_a_wrong_share;
use super::support::{ANSWER, Mail, Plan, SHARES, VOTE, World};

/// Delivers until nothing is left but the payload of `of`. Returns the hash that it stated.
fn until_its_payload(world: &mut World<'_>, of: NodeId) -> Hash {
    let mut held = false;
    world.start();
    while let Some(mail) = world.queue.pop_front() {
        match mail {
            Mail::Payload { from } if from == of => held = true,
            mail => world.deliver(mail),
        }
    }
    assert!(held, "it has stated its payload");
    world.server.expected_uploads[&of].0
}

/// The round ends without `bad`, who is told why.
fn check_goes_on_without(world: &mut World<'_>, bad: NodeId) {
    assert!(matches!(world.go_on(), EndReason::Done { .. }));
    let others = world.others(&[bad]);
    assert_eq!(world.server.result, Some(world.plain_sum(&others)));
    let told = Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Payload)));
    assert_eq!(world.person(bad).end, told);
}

#[test]
fn a_payload_that_is_no_vector_costs_its_member_the_round() {
    let mut world = World::new(&Plan::default());
    let bad = world.id(4);
    let payload = until_its_payload(&mut world, bad);
    world.server_input(Input::UploadUnfit { from: bad, payload: Hash([1; 32]) });
    assert_eq!(world.server.core.view().phase, Phase::Upload, "another payload than the stated one is nobody's");
    world.server_input(Input::UploadUnfit { from: bad, payload });
    check_goes_on_without(&mut world, bad);
}

#[test]
fn a_payload_that_counted_and_cannot_be_added_is_taken_back() {
    for restarts in [false, true] {
        let mut world = World::new(&Plan::default());
        let bad = world.id(4);
        let payload = until_its_payload(&mut world, bad);
        // The last one: the set is fixed with it. What followed from that was not carried out, as when adding fails.
        world.deliver(Mail::Payload { from: bad });
        assert_eq!(world.server.core.view().phase, Phase::Vote);
        world.queue.clear();
        if restarts {
            drop(world.server.crash());
        }
        world.server_input(Input::UploadUnfit { from: bad, payload });
        if restarts {
            // The journal says so too.
            drop(world.server.crash());
        }
        check_goes_on_without(&mut world, bad);
    }
}

#[test]
fn a_set_that_has_votes_is_not_changed() {
    let mut world = World::new(&Plan::default());
    world.up = super::support::silent_from(ANSWER, world.ids());
    world.start();
    world.settle();
    assert_eq!(world.server.core.view().phase, Phase::Answer);
    let (bad, payload) = (world.id(4), world.upload(4).statement.payload);
    world.server_input(Input::UploadUnfit { from: bad, payload });
    assert_eq!(world.server.end, Some(EndReason::TooFewUploaded(Shortfall { expected: 10, got: 9 })));
    assert_eq!(world.server.unmaskings, 0);
    assert_eq!(world.senders(VOTE), 10);
}

#[test]
fn an_end_that_came_with_such_a_payload_is_said_again() {
    let mut world = World::new(&Plan::default());
    let bad = world.id(4);
    let payload = until_its_payload(&mut world, bad);
    world.server_input(Input::Stop);
    // Not carried out, as when adding fails.
    world.server.end = None;
    world.server_input(Input::UploadUnfit { from: bad, payload });
    assert_eq!(world.server.end, Some(EndReason::Stopped));
}

#[test]
fn who_broke_the_protocol_in_an_earlier_round_is_left_out() {
    let mut world = World::new(&Plan::default());
    let (bad, stranger) = (world.id(4), NodeId([1; 32]));
    world.server.without(&[bad, stranger]);
    world.start();
    // It comes, is asked as everybody is, and joins.
    world.server_input(Input::Connected(bad));
    assert!(matches!(world.go_on(), EndReason::Done { .. }));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[bad]))));
    assert!(world.sent(4, SHARES).is_empty());
    assert_eq!(world.people[4].end, Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Blamed))));
    assert_eq!(world.server.core.view().left_out, [(bad, OutCause::Blamed)]);
}

#[test]
fn a_restart_names_again_who_was_named() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    let liar = answers_with_a_wrong_share(&mut world, &plan);
    assert!(matches!(world.run(), EndReason::Done { .. }));
    let named = std::mem::take(&mut world.server.blamed);
    drop(world.server.crash());
    assert_eq!(world.evidence(), named);
    assert!(matches!(world.evidence(), [Evidence::WrongShare { responder, .. }] if *responder == liar));
}
