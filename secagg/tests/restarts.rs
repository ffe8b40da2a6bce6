//! Both sides die and start again in every phase: what is sent has the same bytes, and the sum is the same.

mod support;

use std::collections::BTreeSet;

use neuro_primitives::NodeId;
use neuro_secagg::aggregator::{Aggregator, EntryError, Input, Phase, ReplayError, replay};
use neuro_secagg::messages::EndReason;
use neuro_secagg::participant::{OutOfRound, PartInput, Participant, Record};
use support::{ANSWER, HAVE, Mail, Plan, UPLOAD, World, silent_from};

/// What was announced to anybody, and what each member sent, as sets; questions for the current announcement aside.
fn said(world: &World<'_>) -> (BTreeSet<(NodeId, Vec<u8>)>, Vec<BTreeSet<Vec<u8>>>) {
    let sent = |person: &support::Person| person.sent.iter().filter(|bytes| bytes[0] != HAVE).cloned().collect();
    (world.server.announced.iter().cloned().collect(), world.people.iter().map(sent).collect())
}

fn check_same_bytes(lost: usize) {
    let run = |crashes| {
        let mut world = World::new(&Plan::default());
        let gone: Vec<NodeId> = world.ids().into_iter().take(lost).collect();
        world.up = silent_from(UPLOAD, gone);
        world.crashes = crashes;
        let end = world.run();
        assert!(matches!(end, EndReason::Done { .. }), "{end:?}");
        (end, world.server.result.clone(), said(&world))
    };
    let (calm, crashed) = (run(false), run(true));
    assert_eq!(calm.0, crashed.0);
    assert_eq!(calm.1, crashed.1);
    assert_eq!(calm.2.1, crashed.2.1, "every member sends the same bytes");
    assert_eq!(calm.2.0, crashed.2.0, "the aggregator announces the same bytes");
}

#[test]
fn a_restart_before_every_input_changes_no_byte() {
    check_same_bytes(0);
}

#[test]
fn a_restart_before_every_input_changes_no_byte_with_dropouts() {
    check_same_bytes(3);
}
