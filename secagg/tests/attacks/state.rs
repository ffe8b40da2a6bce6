//! What a participant keeps, loses and repeats.

use neuro_primitives::{Hash, NodeId, Untrusted};
use neuro_secagg::aggregator::{Evidence, Input, MessageRefused, Phase};
use neuro_secagg::kdf::RoundSecret;
use neuro_secagg::messages::{EndReason, Have, Message};
use neuro_secagg::participant::{PartInput, Participant, Record, Refused};

use super::support::{JOIN, Mail, Plan, RECEIVED, SHARES, UPLOAD, World};

#[test]
fn a_restart_resumes_with_the_same_bytes() {
    let mut world = World::new(&Plan::default());
    world.until_uploaded();
    let (statement, payload) = (world.sent(0, UPLOAD), world.people[0].payload.clone());
    assert_eq!(statement.len(), 1);
    for _ in 0..3 {
        let registry = world.roster.clone();
        let mail = world.people[0].crash(registry);
        assert!(mail.iter().any(|mail| matches!(mail, Mail::Payload { .. })), "the stored payload is uploaded again");
        // Another payload under the same masks is not even looked at.
        let other = PartInput::Payload { hash: Hash([7; 32]), bytes: payload.as_ref().map_or(0, Vec::len) as u64 };
        assert!(world.people[0].step(other).is_empty());
    }
    assert_eq!((world.sent(0, UPLOAD), &world.people[0].payload), (statement, &payload));
}

#[test]
fn a_lost_record_means_out() {
    let mut world = World::new(&Plan::default());
    world.until_uploaded();
    let record = world.people[0].record.clone().expect("a record");
    for length in 0..record.len() {
        assert!(Record::decode(&record[..length]).is_err(), "{length} bytes of a record are none");
    }
    // A fresh secret would be a second identity in the round: the participant's own past forbids it …
    let person = &world.people[0];
    let mut past = person.past.clone();
    past.newest_round = Some((1, [0].into()));
    let (config, registry) = (Untrusted::new(world.config.clone()), world.roster.clone());
    let again = Participant::join(
        config,
        registry,
        &person.floors,
        &past,
        person.key.clone(),
        RoundSecret::from_bytes([8; 32]),
    );
    assert!(matches!(again.map(|_| ()), Err(Refused::Floor(_))));
}

#[test]
fn two_joins_of_one_member_are_evidence_and_exclude_it() {
    let mut world = World::new(&Plan::default());
    let twice = world.id(3);
    let mut second = World::new(&Plan::default());
    second.people[3].secret = [8; 32];
    let (config, registry) = (Untrusted::new(second.config.clone()), second.roster.clone());
    let Mail::ToServer { bytes: other, .. } = second.people[3].join(config, registry).remove(0) else {
        panic!("it joins")
    };
    world.up = Box::new(move |from, bytes| {
        let both = from == twice && bytes[0] == JOIN;
        if both { vec![bytes, other.clone()] } else { vec![bytes] }
    });
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert!(matches!(world.evidence(), [Evidence::TwoJoins { member, .. }] if *member == twice));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[twice]))));
    assert!(world.sent(3, SHARES).is_empty());
}

#[test]
fn two_upload_statements_are_evidence_and_exclude_their_member() {
    let mut world = World::new(&Plan::default());
    let (twice, key) = (world.id(3), world.people[3].key.clone());
    world.up = Box::new(move |from, bytes| {
        if from != twice || bytes[0] != UPLOAD {
            return vec![bytes];
        }
        let neuro_secagg::messages::Message::Upload(upload) = super::support::message(&bytes, None) else {
            panic!("an upload")
        };
        let mut other = upload.statement;
        other.payload = Hash([1; 32]);
        let other = neuro_secagg::fields::Signed::sign(other, &key);
        vec![bytes, neuro_secagg::messages::Message::Upload(other).encode()]
    });
    assert!(matches!(world.run(), EndReason::Done { .. }));
    assert!(matches!(world.evidence(), [Evidence::TwoUploads { member, .. }] if *member == twice));
    assert_eq!(world.server.result, Some(world.plain_sum(&world.others(&[twice]))));
}

#[test]
fn nodes_that_the_roster_does_not_list_are_not_heard() {
    let plan = Plan::default();
    let mut world = World::new(&plan);
    world.server_input(Input::Start);
    let stranger = plan.key(99).node_id();
    let entries = world.server.journal.len();
    world.server_input(Input::Message { from: stranger, bytes: vec![1, 2, 3] });
    assert_eq!(world.server.refused, [(stranger, MessageRefused::Stranger { node: stranger })]);
    assert_eq!(world.server.journal.len(), entries, "and take no room in the journal");
}

/// How many announcements `node` gets for saying so many times that it has no inbox yet.
fn told(world: &mut World<'_>, node: NodeId, times: usize) -> usize {
    let have = Have { config: world.config.config().hash(), attempt: 0, announcement: 2 };
    let ask = Input::Message { from: node, bytes: Message::Have(have).encode() };
    (0..times).map(|_| world.server.step(ask.clone()).len()).sum()
}

#[test]
fn who_asks_for_its_inbox_without_end_is_told_a_few_times() {
    let mut world = World::new(&Plan::default());
    let (greedy, other) = (world.id(3), world.id(4));
    world.up = Box::new(|_, bytes| if bytes[0] == RECEIVED { Vec::new() } else { vec![bytes] });
    world.ids().into_iter().for_each(|id| world.server_input(Input::Connected(id)));
    world.server_input(Input::Start);
    world.settle();
    assert_eq!(world.server.core.view().phase, Phase::Received);
    let entries = world.server.journal.len();
    assert_eq!(told(&mut world, greedy, 1000), 16, "each inbox is signed for it alone");
    assert_eq!(world.server.refused.len(), 984);
    assert_eq!(world.server.refused[0], (greedy, MessageRefused::ToldEnough { node: greedy, most: 16 }));
    assert_eq!(told(&mut world, other, 3), 3, "others are answered as before");
    assert_eq!(world.server.journal.len(), entries);
    // It costs the round nothing, and the next phase counts anew.
    world.up = Box::new(|_, bytes| vec![bytes]);
    for id in world.ids() {
        let mail = world.person(id).step(PartInput::Reconnected);
        world.post_up(mail);
    }
    assert!(matches!(world.go_on(), EndReason::Done { .. }));
    assert_eq!(told(&mut world, greedy, 20), 16, "the round's end, as often and no more");
    assert_eq!(world.server.step(Input::Connected(greedy)).len(), 0, "whatever way it asks");
    assert_eq!(world.server.step(Input::Connected(other)).len(), 1);
}
