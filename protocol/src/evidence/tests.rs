//! What evidence shows, and every way in which it shows nothing.

use neuro_primitives::contribution::digest;
use neuro_primitives::receipt::{AnswerTree, Totals, Voucher, root};
use neuro_primitives::{NodeKey, Route, Routes, RowSum, Rows, TensorType, UnixMillis};

use super::*;
use crate::manifest::{TensorEntry, TensorPlace};
use crate::version::ENGINE_SPEC;

const EXPERT: ExpertId = ExpertId { layer: 0, expert: 1 };

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

/// One layer of two experts that take f32.
fn manifest() -> Manifest {
    let tensor = |expert: u16, part: &str, seed| TensorEntry {
        name: format!("experts.{expert}.{part}"),
        place: TensorPlace::Expert(ExpertId { layer: 0, expert }),
        tensor_type: TensorType::F32,
        shape: vec![2, 2],
        length: 16,
        hash: Hash([seed; 32]),
    };
    Manifest {
        name: "m".to_owned(),
        architecture: "mixtral".to_owned(),
        engine_spec: ENGINE_SPEC,
        config: b"{}".to_vec(),
        assets: vec![],
        activation_formats: vec![ActivationFormat::F32],
        tensors: vec![tensor(0, "down", 1), tensor(1, "down", 2), tensor(1, "up", 3)],
    }
}

fn hidden() -> Activations {
    Rows::new(2, vec![1.0, 2.0, 3.0, 4.0]).into()
}

/// Row 1 of expert 1, of an answer among three, with the worker's `digest`.
fn evidence(digest: Hash) -> Evidence {
    let mut routes = Routes::new();
    routes.push_row([Route { expert: 0, gate: 1.0 }]);
    routes.push_row([Route { expert: 0, gate: 0.5 }, Route { expert: 1, gate: 0.25 }]);
    let (model, task, hidden) = (manifest().model_id(), TaskId(7), hidden());
    let digests = [Hash([1; 32]), Hash([2; 32]), digest];
    let sums = [RowSum::One(vec![0.5; 2]), RowSum::Many(vec![1; 2])];
    let tree = AnswerTree::new(model, 0, task, (&hidden, &routes), (&digests, &sums));
    let leaves = [Hash([1; 32]), Hash([2; 32]), tree.leaf().hash()];
    let voucher = Voucher {
        orchestrator: key(1).node_id(),
        worker: key(2).node_id(),
        sequence: 1,
        totals: Totals { covered: 9, ..Totals::default() },
        answers: 3,
        root: root(&leaves),
        previous: Hash([0; 32]),
        expires: UnixMillis(1),
    };
    Evidence {
        voucher: voucher.offer(&key(1)).countersign(&key(2)),
        task,
        sums: tree.leaf().sums,
        answer: Proof::of(&leaves, 2).unwrap(),
        entry: tree.proof(2).unwrap(),
        model,
        expert: EXPERT,
        gate: 0.25,
        row: hidden.gather(&[1]),
        digest,
        weights: vec![Hash([2; 32]), Hash([3; 32])],
    }
}

fn right() -> Hash {
    digest(&[1.5, -2.0])
}

fn judge(evidence: &Evidence) -> Verdict {
    evidence.judge(&manifest(), |_| Ok(right()))
}

/// Why evidence shows nothing after `change`.
fn unfounded(change: impl FnOnce(&mut Evidence)) -> Unfounded {
    let mut evidence = evidence(Hash([9; 32]));
    change(&mut evidence);
    match judge(&evidence) {
        Verdict::Unfounded(unfounded) => unfounded,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_digest_convicts_and_a_right_one_clears() {
    let worker = key(2).node_id();
    let wrong = Verdict::Wrong { worker, expected: right(), got: Hash([9; 32]) };
    assert_eq!(judge(&evidence(Hash([9; 32]))), wrong);
    assert_eq!(judge(&evidence(right())), Verdict::Right { worker });
}

#[test]
fn whoever_shows_it_cannot_change_what_was_asked_or_answered() {
    assert_eq!(unfounded(|evidence| evidence.digest = Hash([8; 32])), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.gate = 0.5), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.row = hidden().gather(&[0])), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.expert.expert = 0), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.task = TaskId(8)), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.sums = Hash([0; 32])), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.answer.index = 1), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.answer.count = 4), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.answer.beside.clear()), Unfounded::Answer);
    assert_eq!(unfounded(|evidence| evidence.entry.beside.clear()), Unfounded::Entry);
    assert_eq!(unfounded(|evidence| evidence.entry.index = 3), Unfounded::Entry);
}

#[test]
fn only_the_workers_own_signature_counts() {
    let forged = |voucher: Voucher, signer: u8| {
        let signed = voucher.offer(&key(1)).countersign(&key(signer));
        unfounded(|evidence| evidence.voucher = signed)
    };
    let voucher = *evidence(right()).voucher.voucher();
    let (party, node) = ("worker", key(2).node_id());
    assert_eq!(forged(voucher, 1), Unfounded::Voucher(VoucherError::Forged { party, node }));
    // A worker that signed something else.
    assert_eq!(forged(Voucher { root: Hash([0; 32]), ..voucher }, 2), Unfounded::Answer);
    // An orchestrator that did not sign takes nothing away: the worker did.
    let mut evidence = evidence(Hash([9; 32]));
    evidence.voucher.offer.signature = evidence.voucher.signature;
    assert!(matches!(judge(&evidence), Verdict::Wrong { .. }));
}

#[test]
fn it_is_held_against_the_weights_that_the_worker_had() {
    assert_eq!(unfounded(|evidence| evidence.weights.swap(0, 1)), Unfounded::Weights(EXPERT));
    assert_eq!(unfounded(|evidence| evidence.weights.clear()), Unfounded::Weights(EXPERT));
    let other = Manifest { name: "other".to_owned(), ..manifest() };
    let verdict = evidence(right()).judge(&other, |_| Ok(right()));
    let (expected, got) = (other.model_id(), manifest().model_id());
    assert_eq!(verdict, Verdict::Unfounded(Unfounded::Model { expected, got }));
    let verdict = evidence(right()).judge(&manifest(), |_| Err("no such file".to_owned()));
    assert_eq!(verdict, Verdict::Unfounded(Unfounded::Computation("no such file".to_owned())));
}

#[test]
fn nothing_is_computed_for_what_the_worker_did_not_sign() {
    let mut evidence = evidence(right());
    evidence.gate = 3.0;
    let verdict = evidence.judge(&manifest(), |_| panic!("computed"));
    assert_eq!(verdict, Verdict::Unfounded(Unfounded::Answer));
}

#[test]
fn bytes_that_are_no_evidence_are_refused() {
    let bytes = evidence(right()).encode();
    assert_eq!(Evidence::decode(&bytes), Ok(evidence(right())));
    for length in 0..bytes.len() {
        assert!(Evidence::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Evidence::decode(&[&bytes[..], &[0]].concat()).is_err());
    let patched = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        Evidence::decode(&bytes)
    };
    assert_eq!(patched(0, b"N"), Err(EvidenceError::Magic));
    // After magic, voucher, task, sums, index and count: how many steps the way has.
    let steps = 16 + 300 + 8 + 32 + 8;
    assert!(matches!(patched(steps, &u32::MAX.to_le_bytes()), Err(EvidenceError::Codec(CodecError::TooMany { .. }))));
    // From the end: weights and their count, digest, row, width.
    let width = bytes.len() - (4 + 2 * 32) - 32 - 8 - 4;
    for wrong in [0, MAX_WIDTH + 1, u32::MAX] {
        assert_eq!(patched(width, &wrong.to_le_bytes()), Err(EvidenceError::Row), "{wrong}");
    }
    assert_eq!(patched(width - 2, &[9, 0]), Err(EvidenceError::Row), "an unknown format");
    assert_eq!(patched(width + 4, &f32::NAN.to_le_bytes()), Err(EvidenceError::Row));
}

const MAX_WIDTH: u32 = crate::limits::MAX_D_MODEL as u32;
