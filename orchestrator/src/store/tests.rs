//! What a batch holds, and which vouchers replace which.

use neuro_primitives::receipt::{Offer, Totals, Voucher};
use neuro_primitives::{Hash, Signature, UnixMillis};

use super::*;

fn id(sequence: u64, run: u64) -> BatchId {
    BatchId { writer: NodeId([7; 32]), sequence, run }
}

fn voucher(sequence: u64, covered: u64, accepted: u64) -> SignedVoucher {
    let voucher = Voucher {
        orchestrator: NodeId([7; 32]),
        worker: NodeId([1; 32]),
        sequence,
        totals: Totals { covered, accepted, denied: 0 },
        answers: 0,
        root: Hash([3; 32]),
        previous: Hash([0; 32]),
        expires: UnixMillis(9),
    };
    SignedVoucher { offer: Offer { voucher, signature: Signature([4; 64]) }, signature: Signature([5; 64]) }
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
    let stored = voucher(4, 100, 50);
    assert_eq!(admits(&voucher(1, 1, 1), None), Ok(true));
    assert_eq!(admits(&voucher(5, 100, 50), Some(&stored)), Ok(true));
    assert_eq!(admits(&stored, Some(&stored)), Ok(false));
    for wrong in [voucher(4, 101, 50), voucher(3, 100, 50), voucher(5, 99, 50), voucher(5, 101, 49)] {
        let refused = admits(&wrong, Some(&stored)).unwrap_err();
        assert_eq!((refused.refused_voucher(), refused.is_retryable()), (Some(NodeId([1; 32])), false), "{refused}");
    }
}
