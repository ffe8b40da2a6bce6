//! Whole rounds: the sum is the plain sum of the survivors' quantised vectors, to the bit.

#[cfg(test)]
mod support;

use neuro_primitives::NodeId;
use neuro_secagg::masks::Generator;
use neuro_secagg::messages::EndReason;
use support::{ANSWER, JOIN, Plan, SHARES, UPLOAD, VOTE, World, silent_from};

/// Runs a round in which the first `lost` members fall silent at messages of `kind`, and compares the sum.
fn check(plan: &Plan, lost: usize, kind: u8) {
    let mut world = World::new(plan);
    let gone: Vec<NodeId> = world.ids().into_iter().take(lost).collect();
    world.up = silent_from(kind, gone.clone());
    let end = world.run();
    assert!(
        matches!(end, EndReason::Done { .. }),
        "{end:?} {:?}",
        world.people.iter().map(|p| &p.end).collect::<Vec<_>>()
    );
    let is_ring = world.server.numbers.map(|numbers| numbers.k + 1 < numbers.n);
    assert_eq!(is_ring, Some(plan.members > 128), "a ring above 128 members");
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

/// A ring with few neighbours: less security than any floor allows, so that the test is quick.
fn ring() -> Plan {
    Plan { members: 132, entries: 9, security_bits: 6, dropout_bps: 0, least_alpha_bps: 4_000, ..Plan::default() }
}

#[test]
fn a_ring_sums_to_the_bit_without_dropouts() {
    check(&ring(), 0, SHARES);
}

#[test]
fn a_ring_sums_to_the_bit_with_a_tenth_gone() {
    check(&Plan { dropout_bps: 1_000, ..ring() }, 13, UPLOAD);
}

#[test]
fn a_ring_sums_to_the_bit_with_three_tenths_gone() {
    check(&Plan { dropout_bps: 3_000, ..ring() }, 39, UPLOAD);
}

#[test]
fn chacha_masks_and_words_of_64_bits_sum_to_the_bit() {
    let plan = Plan { generator: Generator::ChaCha20, weight_cap: 1 << 20, members: 16, ..Plan::default() };
    let wide = |plan: &Plan| 9 + 20 + plan.members.ilog2() > 32;
    assert!(wide(&plan));
    check(&plan, 3, UPLOAD);
}

#[test]
fn published_commitments_change_nothing_in_the_sum() {
    check(&Plan { feldman: true, ..Plan::default() }, 2, UPLOAD);
}

#[test]
fn members_that_do_not_come_cost_nothing() {
    check(&Plan::default(), 2, JOIN);
}
