//! Every reason for which a round ends (section 16); `BadDealer` and `RevealsMissing` are among the attacks.

#[cfg(test)]
mod support;

use neuro_primitives::NodeId;
use neuro_secagg::aggregator::{Input, Phase};
use neuro_secagg::messages::{EndReason, OutCause, Shortfall};
use neuro_secagg::participant::{OutOfRound, PartEnd, PartInput};
use support::{ANSWER, JOIN, Plan, RECEIVED, SHARES, UPLOAD, VOTE, World, silent_from};

/// Four members, one more than tolerated, fall silent from messages of `kind` on.
fn check(kind: u8, expected: EndReason) {
    let mut world = World::new(&Plan::default());
    let gone: Vec<NodeId> = world.ids().into_iter().take(4).collect();
    world.up = silent_from(kind, gone);
    assert_eq!(world.run(), expected);
    assert_eq!(world.server.unmaskings, 0, "nothing is unmasked");
    assert!(world.people.iter().any(|person| person.end == Some(PartEnd::Round(expected.clone()))));
    assert!(world.people.iter().all(|person| person.record.is_none() || person.end.is_none()));
}

#[test]
fn too_few_of_each_kind_end_the_round_with_the_counts() {
    let few = |expected, got| Shortfall { expected, got };
    check(JOIN, EndReason::TooFewJoined(few(8, 6)));
    check(SHARES, EndReason::TooFewShared(few(7, 6)));
    check(RECEIVED, EndReason::TooFewShared(few(7, 6)));
    check(UPLOAD, EndReason::TooFewUploaded(few(7, 6)));
}

#[test]
fn too_few_votes_end_the_round_with_the_counts() {
    let mut world = World::new(&Plan::default());
    let gone: Vec<NodeId> = world.ids().into_iter().take(5).collect();
    world.up = silent_from(VOTE, gone);
    assert_eq!(world.run(), EndReason::TooFewVoted(Shortfall { expected: 6, got: 5 }));
    assert!(world.people.iter().all(|person| person.charged.len() == 1), "whoever uploaded may be in a sum");
}

#[test]
fn whom_the_aggregator_calls_late_after_its_upload_is_charged_for_the_sum_it_is_in() {
    let mut world = World::new(&Plan::default());
    let victim = world.ids()[0];
    world.up = silent_from(VOTE, vec![victim]);
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert_eq!(world.people[0].charged.len(), 1, "the others opened it");
    let mut world = World::new(&Plan::default());
    world.up = silent_from(UPLOAD, vec![victim]);
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert!(world.people[1..].iter().all(|person| person.charged.len() == 1));
}

#[test]
fn too_few_answers_end_the_round() {
    let mut world = World::new(&Plan::default());
    let gone: Vec<NodeId> = world.ids().into_iter().take(4).collect();
    world.up = silent_from(ANSWER, gone);
    // Five of the other six hold shares of each of these six.
    assert_eq!(world.run(), EndReason::TooFewAnswered(Shortfall { expected: 6, got: 5 }));
    assert_eq!(world.server.unmaskings, 0);
    assert!(world.people.iter().all(|person| person.charged.len() == 1));
}

#[test]
fn numbers_that_nothing_serves_end_the_round() {
    // 2q > 10 + 5 asks for eight votes, and only seven stay.
    let plan = Plan { corrupt_bps: 5_000, ..Plan::default() };
    let mut world = World::new(&plan);
    for person in &mut world.people {
        person.floors.least_alpha_bps = 0;
    }
    assert_eq!(world.run(), EndReason::NoParameters);
}

#[test]
fn the_operator_stops_a_round_in_any_phase() {
    for announcements in 0..6 {
        let mut world = World::new(&Plan::default());
        world.down =
            Box::new(move |_, bytes| if bytes[0] <= announcements || bytes[0] >= 7 { vec![bytes] } else { Vec::new() });
        world.start();
        world.settle();
        world.server_input(Input::Stop);
        world.settle();
        assert_eq!(world.server.end, Some(EndReason::Stopped));
        assert!(world.people.iter().all(|person| person.end == Some(PartEnd::Round(EndReason::Stopped))));
        assert!(world.people.iter().all(|person| person.record.is_none()), "everything secret is wiped");
        assert_eq!(world.server.core.view().phase, Phase::Ended);
    }
}

#[test]
fn a_cohort_is_called_off_until_shares_are_asked_for() {
    for announcements in 0..7 {
        let mut world = World::new(&Plan::default());
        world.up = silent_from(ANSWER, world.ids());
        world.down = Box::new(move |_, bytes| if bytes[0] <= announcements { vec![bytes] } else { Vec::new() });
        world.start();
        world.settle();
        let asked = world.server.core.view().phase == Phase::Answer;
        world.server_input(Input::CallOff);
        let expected = if announcements >= 5 { None } else { Some(EndReason::Stopped) };
        assert_eq!((asked, world.server.end.clone()), (expected.is_none(), expected), "{announcements}");
    }
}

#[test]
fn a_late_member_is_told_that_it_is_out() {
    let mut world = World::new(&Plan::default());
    world.people[4].trains = false;
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert_eq!(world.people[4].end, Some(PartEnd::OutOfRound(OutOfRound::LeftOut(OutCause::Late))));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[world.id(4)]))));
}

#[test]
fn a_member_that_gives_up_is_a_dropout() {
    let mut world = World::new(&Plan::default());
    world.people[4].trains = false;
    let (id, mut told) = (world.id(4), false);
    world.up = Box::new(move |_, bytes| vec![bytes]);
    world.start();
    world.settle();
    if !std::mem::replace(&mut told, true) {
        let mail = world.person(id).step(PartInput::Stop);
        assert!(mail.is_empty());
    }
    assert!(matches!(world.go_on(), EndReason::Done { .. }));
    assert_eq!(world.people[4].end, Some(PartEnd::Stopped));
}
