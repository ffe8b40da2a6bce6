//! What is owed for an answer while it is being checked.

use neuro_orchestrator::receipts::ReceiptSettings;
use neuro_primitives::receipt::Offer;
use neuro_primitives::{NodeKey, UnixMillis};
use neuro_protocol::control::{LastVoucher, VoucherReply, instruction, voucher_reply};

use super::*;
use crate::data_dir::DataDir;
use crate::vouchers::VoucherFiles;

/// Long after every challenge window.
fn late() -> Moment {
    clock::now().after(Duration::from_secs(600))
}

/// The worker signs what it is offered at `now`, if it is offered anything.
fn sign(receipts: &Receipts, worker: &NodeKey, now: Moment) -> bool {
    let Some(due) = receipts.due(worker.node_id(), now, UnixMillis(1)) else { return false };
    let instruction::Instruction::Voucher(offered) = due else { panic!("{due:?}") };
    let signed = Offer::decode(&offered.offer).unwrap().countersign(worker).encode();
    let reply = VoucherReply { reply: Some(voucher_reply::Reply::Signed(signed)) };
    receipts.replied(worker.node_id(), &reply, now).unwrap();
    true
}

#[test]
fn an_answer_is_not_paid_while_it_is_being_checked() {
    let folder = tempfile::tempdir().unwrap();
    let store = VoucherFiles::open(&DataDir::open(folder.path()).unwrap()).unwrap();
    let receipts = Receipts::new(NodeKey::from_secret(&[9; 32]), ReceiptSettings::default(), Arc::new(store));
    let receipts = Arc::new(receipts);
    let dispatch = Arc::new(dispatch_checking(Checks::Verified, ActivationFormat::F32, 2));
    dispatch.set_receipts(Arc::clone(&receipts));
    let key = NodeKey::from_secret(&[2; 32]);
    let mut worker = Scripted::join_as(&dispatch, key.node_id(), 1);
    let mut other = Scripted::join(&dispatch, 3, 2);
    receipts.attached(worker.id, &LastVoucher::default(), clock::now()).unwrap();
    let outcome = call(&dispatch);
    // One of them is the other's witness: the check is open until both have answered.
    let (task, _) = (worker.task(), other.task());
    worker.answers(&dispatch, answer(&task, 1.0)).unwrap();
    assert!(sign(&receipts, &key, clock::now()));
    assert!(!sign(&receipts, &key, late()), "however long the other one takes");
    let units = task.routes.entries().len() as u64;
    assert_eq!(receipts.totals(worker.id).unwrap().held(), Some(units));
    dispatch.left(other.id, other.session);
    assert!(sign(&receipts, &key, late()), "nobody looks at it any more");
    assert_eq!(receipts.totals(worker.id).unwrap().accepted, units);
    dispatch.stop();
    assert!(outcome.join().unwrap().is_err());
}
