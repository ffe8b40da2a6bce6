//! Whole rounds: the sum is the plain sum of the survivors' quantised vectors, to the bit.

mod support;

use neuro_primitives::NodeId;
use neuro_secagg::masks::Generator;
use neuro_secagg::messages::EndReason;
use support::{ANSWER, Plan, SHARES, UPLOAD, VOTE, World, silent_from};

/// Runs a round in which the first `lost` members fall silent at messages of `kind`, and compares the sum.
fn check(plan: &Plan, lost: usize, kind: u8) {
    let mut world = World::new(plan);
    let gone: Vec<NodeId> = world.ids().into_iter().take(lost).collect();
    world.up = silent_from(kind, gone.clone());
    let end = world.run();
    assert!(matches!(end, EndReason::Done { .. }), "{end:?} {:?}", world.people.iter().map(|p| &p.end).collect::<Vec<_>>());
    let in_sum = if kind <= UPLOAD { world.others(&gone) } else { world.ids() };
    assert_eq!(world.server.result.as_ref(), Some(&world.plain_sum(&in_sum)));
    let weight = world.plain_sum(&in_sum)[plan.entries as usize].cast_unsigned();
    assert!(matches!(end, EndReason::Done { weight: got, .. } if got == weight));
}

#[test]
fn ten_members_sum_to_the_bit_without_dropouts() {
    check(&Plan::default(), 0, SHARES);
}

#[test]
fn ten_members_sum_to_the_bit_with_a_tenth_gone() {
    for kind in [SHARES, UPLOAD, VOTE, ANSWER] {
        check(&Plan { dropout_bps: 1_000, ..Plan::default() }, 1, kind);
    }
}

#[test]
fn ten_members_sum_to_the_bit_with_three_tenths_gone() {
    for kind in [SHARES, UPLOAD, VOTE, ANSWER] {
        check(&Plan::default(), 3, kind);
    }
}
