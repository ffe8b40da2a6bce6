//! What a batch holds, and which vouchers replace which.

use neuro_primitives::{Hash, Signature};

use super::*;

fn id(sequence: u64, run: u64) -> BatchId {
    BatchId { writer: NodeId([7; 32]), sequence, run }
}

fn voucher(sequence: u64, total: u64) -> VoucherRecord {
    VoucherRecord {
        worker: NodeId([1; 32]),
        orchestrator: NodeId([7; 32]),
        sequence,
        total,
        root: Hash([3; 32]),
        expires_s: 9,
        orchestrator_signature: Signature([4; 64]),
        worker_signature: None,
    }
}

#[test]
fn batches_come_in_turn_and_count_once() {
    assert_eq!(id(1, 5).admit(None), Ok(true));
    assert_eq!(id(2, 6).admit(Some(&id(1, 5))), Ok(true));
    assert_eq!(id(2, 6).admit(Some(&id(2, 6))), Ok(false));
    let twice = id(2, 8).admit(Some(&id(2, 6))).unwrap_err();
    assert!(twice.to_string().contains("expected batch 3") && twice.to_string().contains("got 2"), "{twice}");
    assert!(id(4, 6).admit(Some(&id(2, 6))).is_err());
    assert!(id(2, 6).admit(None).is_err());
}

#[test]
fn a_voucher_only_ever_grows() {
    let stored = voucher(4, 100);
    assert_eq!(voucher(1, 1).admit(None), Ok(true));
    assert_eq!(voucher(5, 100).admit(Some(&stored)), Ok(true));
    assert_eq!(stored.admit(Some(&stored)), Ok(false));
    for wrong in [voucher(4, 101), voucher(3, 100), voucher(5, 99)] {
        let refused = wrong.admit(Some(&stored)).unwrap_err();
        assert_eq!(refused.refused_voucher(), Some(wrong.worker));
        assert!(!refused.is_retryable());
    }
}

#[test]
fn a_worker_signs_later_and_only_once() {
    let signed = VoucherRecord { worker_signature: Some(Signature([5; 64])), ..voucher(4, 100) };
    let other = VoucherRecord { worker_signature: Some(Signature([6; 64])), ..voucher(4, 100) };
    assert_eq!(signed.admit(Some(&voucher(4, 100))), Ok(true));
    assert_eq!(voucher(4, 100).admit(Some(&signed)), Ok(false), "a signature is not lost");
    assert!(other.admit(Some(&signed)).is_err());
}

#[test]
fn verdicts_keep_their_numbers() {
    for verdict in [Verdict::Valid, Verdict::Invalid, Verdict::Unsettled] {
        assert_eq!(Verdict::from_number(verdict as i64), Some(verdict));
    }
    assert_eq!((Verdict::Valid as i64, Verdict::from_number(0)), (1, None));
}
