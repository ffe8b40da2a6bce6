//! Trees, entries and vouchers: what is shown holds, what is changed does not.

use super::*;
use crate::activations::{Activations, QuantisedRows};
use crate::clock::UnixMillis;
use crate::codec::CodecError;
use crate::contribution::RowSum;
use crate::id::{ExpertId, ModelId, NodeId, TaskId};
use crate::key::NodeKey;
use crate::routes::{Route, Routes};
use crate::rows::Rows;

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|place| Hash::of(&place.to_le_bytes())).collect()
}

#[test]
fn every_leaf_of_every_tree_can_be_shown_and_nothing_else() {
    for count in 1..=33 {
        let leaves = leaves(count);
        for (index, &leaf) in leaves.iter().enumerate() {
            let proof = Proof::of(&leaves, index).unwrap();
            assert_eq!(proof.root_above(leaf), Some(root(&leaves)), "leaf {index} of {count}");
            assert_ne!(proof.root_above(Hash([0; 32])), Some(root(&leaves)), "another leaf at {index} of {count}");
            let elsewhere = Proof { index: (proof.index + 1) % proof.count, ..proof.clone() };
            assert!(count == 1 || elsewhere.root_above(leaf) != Some(root(&leaves)), "{index} of {count}, elsewhere");
            let mut longer = proof.clone();
            longer.beside.push(leaf);
            assert_eq!(longer.root_above(leaf), None);
            let outside = Proof { index: proof.count, ..proof };
            assert_eq!(outside.root_above(leaf), None);
        }
        assert_eq!(Proof::of(&leaves, count), None);
    }
}

#[test]
fn trees_of_different_leaves_have_different_roots() {
    let all = leaves(33);
    let mut roots: Vec<Hash> = (0..=33).map(|count| root(&all[..count])).collect();
    roots.push(root(&all[1..]));
    roots.push(root(&[&all[..31], &[all[32], all[31]]].concat()));
    roots.sort_unstable();
    roots.dedup();
    assert_eq!(roots.len(), 36);
}

fn routes() -> Routes {
    let mut routes = Routes::new();
    routes.push_row([Route { expert: 1, gate: 0.5 }, Route { expert: 4, gate: 0.25 }]);
    routes.push_row([Route { expert: 2, gate: 1.0 }]);
    routes
}

fn tree(hidden: &Activations, routes: &Routes, digests: &[Hash], sums: &[RowSum]) -> AnswerTree {
    AnswerTree::new(ModelId(Hash([9; 32])), 3, TaskId(7), (hidden, routes), (digests, sums))
}

#[test]
fn an_entry_of_an_answer_can_be_shown_alone() {
    let hidden = Activations::F32(Rows::new(2, vec![1.0, 2.0, 3.0, 4.0]));
    let (digests, sums) = (leaves(3), vec![RowSum::Many(vec![1, 2]), RowSum::One(vec![0.5, 1.0])]);
    let tree = tree(&hidden, &routes(), &digests, &sums);
    assert_eq!(tree.leaf().entries, 3);
    for (place, row, expert, gate) in [(0, 0, 1, 0.5), (1, 0, 4, 0.25), (2, 1, 2, 1.0)] {
        let entry = Entry {
            model: ModelId(Hash([9; 32])),
            expert: ExpertId { layer: 3, expert },
            gate,
            row: Hash::of(&row_bytes(&hidden, row)),
            digest: digests[place],
        };
        let proof = tree.proof(place).unwrap();
        assert_eq!(proof.root_above(entry.hash()), Some(tree.leaf().entries_root), "entry {place}");
    }
    assert_eq!(tree.proof(3), None);
}

#[test]
fn everything_that_was_asked_or_answered_changes_the_leaf() {
    let hidden = Activations::F32(Rows::new(2, vec![1.0, 2.0, 3.0, 4.0]));
    let (digests, sums) = (leaves(3), vec![RowSum::Many(vec![1, 2]), RowSum::One(vec![0.5, 1.0])]);
    let whole = *tree(&hidden, &routes(), &digests, &sums).leaf();
    let other_row = Activations::F32(Rows::new(2, vec![1.0, 2.0, 3.0, -4.0]));
    let mut other_routes = Routes::new();
    other_routes.push_row([Route { expert: 1, gate: 0.5 }, Route { expert: 4, gate: 0.25 }]);
    other_routes.push_row([Route { expert: 2, gate: -1.0 }]);
    let (mut other_digests, mut other_sums) = (digests.clone(), sums.clone());
    other_digests.swap(0, 1);
    other_sums[1] = RowSum::One(vec![0.5, -1.0]);
    let others = [
        *tree(&other_row, &routes(), &digests, &sums).leaf(),
        *tree(&hidden, &other_routes, &digests, &sums).leaf(),
        *tree(&hidden, &routes(), &other_digests, &sums).leaf(),
        *tree(&hidden, &routes(), &digests, &other_sums).leaf(),
        AnswerLeaf { task: TaskId(8), ..whole },
        AnswerLeaf { entries: 4, ..whole },
    ];
    for (place, other) in others.iter().enumerate() {
        assert_ne!(other.hash(), whole.hash(), "change {place}");
    }
}

#[test]
fn a_row_in_blocks_has_its_scales_before_its_values() {
    let rows = QuantisedRows::new(32, (0..64).collect(), vec![1.0, 0.5]);
    let bytes = row_bytes(&Activations::Q8(rows), 1);
    assert_eq!(bytes[..4], 0.5_f32.to_le_bytes());
    assert_eq!(bytes[4..], (32..64).collect::<Vec<u8>>());
}

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

fn voucher() -> Voucher {
    Voucher {
        orchestrator: key(1).node_id(),
        worker: key(2).node_id(),
        sequence: 5,
        totals: Totals { covered: 100, accepted: 60, denied: 4 },
        answers: 3,
        root: Hash([7; 32]),
        previous: Hash([8; 32]),
        expires: UnixMillis(1_000),
    }
}

#[test]
fn a_voucher_has_one_form_and_holds_for_its_parties_only() {
    let signed = voucher().offer(&key(1)).countersign(&key(2));
    let bytes = signed.encode();
    assert_eq!(bytes.len(), VOUCHER_BYTES + 128);
    assert_eq!(SignedVoucher::decode(&bytes), Ok(signed));
    assert_eq!(Offer::decode(&bytes[..VOUCHER_BYTES + 64]), Ok(signed.offer));
    assert_eq!(signed.verify(), Ok(()));
    assert!(SignedVoucher::decode(&bytes[1..]).is_err());
    let trailing = VoucherError::Codec(CodecError::Trailing { left: 1 });
    assert_eq!(SignedVoucher::decode(&[&bytes[..], &[0]].concat()), Err(trailing));
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        let bent = SignedVoucher::decode(&bent).unwrap();
        assert!(bent.verify().is_err(), "byte {at}");
    }
}

#[test]
fn neither_side_can_sign_for_the_other() {
    let forged = |party, seed| Err(VoucherError::Forged { party, node: key(seed).node_id() });
    assert_eq!(voucher().offer(&key(2)).verify(), forged("orchestrator", 1));
    let alone = voucher().offer(&key(1)).countersign(&key(1));
    assert_eq!(alone.verify(), forged("worker", 2));
    let offer = voucher().offer(&key(1));
    let swapped = SignedVoucher { offer, signature: offer.signature };
    assert_eq!(swapped.verify(), forged("worker", 2));
    // Even of one node that plays both parts, the offer is no acceptance.
    let own: NodeId = key(1).node_id();
    let offer = Voucher { worker: own, ..voucher() }.offer(&key(1));
    assert_eq!(SignedVoucher { offer, signature: offer.signature }.verify(), forged("worker", 1));
}

#[test]
fn totals_that_contradict_each_other_are_refused_whoever_signed() {
    let totals = |covered, accepted, denied| Totals { covered, accepted, denied };
    for bad in [totals(1, 2, 0), totals(1, 1, 1), totals(u64::MAX, u64::MAX, 1)] {
        let offer = Voucher { totals: bad, ..voucher() }.offer(&key(1));
        assert_eq!(offer.verify(), Err(VoucherError::Contradiction), "{bad:?}");
    }
    let offer = Voucher { sequence: 0, ..voucher() }.offer(&key(1));
    assert_eq!(offer.verify(), Err(VoucherError::Contradiction));
    assert_eq!(totals(10, 6, 4).held(), Some(0));
    assert!(totals(2, 1, 0).follows(&totals(1, 1, 0)) && !totals(2, 0, 1).follows(&totals(1, 1, 0)));
}
