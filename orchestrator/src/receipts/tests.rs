//! Both sides of a pair, alone and against each other over a bad link.

mod stalls;
mod world;

use std::time::Duration;

use neuro_primitives::receipt::{Offer, SignedVoucher, Totals, Voucher, VoucherError};
use neuro_primitives::{Hash, Moment, NodeKey, TaskId, UnixMillis};

use super::*;

const WALL: UnixMillis = UnixMillis(1_000_000);

fn payer_key() -> NodeKey {
    NodeKey::from_secret(&[1; 32])
}

fn payee_key() -> NodeKey {
    NodeKey::from_secret(&[2; 32])
}

fn pair() -> Pair {
    Pair { orchestrator: payer_key().node_id(), worker: payee_key().node_id() }
}

fn settings() -> ReceiptSettings {
    ReceiptSettings { challenge_window: Duration::from_secs(1), ..ReceiptSettings::default() }
}

fn at(ms: u64) -> Moment {
    Moment(ms * 1_000)
}

fn answered(task: u64, units: u32) -> Answered {
    Answered { task: TaskId(task), leaf: Hash::of(&task.to_le_bytes()), units }
}

/// Both sides with `tasks` of two units each answered.
fn sides(tasks: std::ops::Range<u64>) -> (Payer, Payee) {
    let (mut payer, mut payee) = (Payer::new(pair(), settings(), None, at(0)), Payee::new(pair(), None));
    for task in tasks {
        payee.answered(answered(task, 2));
        payer.answered(answered(task, 2), at(0));
    }
    (payer, payee)
}

fn offered(payer: &mut Payer, ms: u64) -> (Offer, Vec<TaskId>) {
    payer.offer(&payer_key(), at(ms), WALL).expect("there is something to say")
}

/// Offers, signs and settles.
fn agree(payer: &mut Payer, payee: &mut Payee, ms: u64) -> SignedVoucher {
    let (offer, tasks) = offered(payer, ms);
    let signed = payee.check(offer, &tasks, &payee_key(), WALL).expect("it is right");
    payee.keep(signed, &tasks);
    payer.countersigned(signed, at(ms)).expect("it is the open one")
}

const fn totals(covered: u64, accepted: u64, denied: u64) -> Totals {
    Totals { covered, accepted, denied }
}

#[test]
fn work_is_covered_held_back_and_accepted() {
    let (mut payer, mut payee) = sides(0..3);
    let first = agree(&mut payer, &mut payee, 0);
    assert_eq!(first.verify(), Ok(()));
    assert_eq!((first.voucher().totals, first.voucher().answers), (totals(6, 0, 0), 3));
    assert_eq!(payee.uncovered_units(), 0);
    assert_eq!(payer.offer(&payer_key(), at(999), WALL), None, "the window is open and nothing is new");
    let second = agree(&mut payer, &mut payee, 1_000);
    assert_eq!((second.voucher().totals, second.voucher().answers), (totals(6, 6, 0), 0));
    assert_eq!(second.voucher().previous, first.voucher().hash());
    assert_eq!(payer.offer(&payer_key(), at(9_999), WALL), None, "everything is said");
}

#[test]
fn an_offer_waits_for_its_interval_and_for_the_one_before() {
    let (mut payer, mut payee) = sides(0..1);
    agree(&mut payer, &mut payee, 0);
    payer.answered(answered(7, 1), at(10));
    assert_eq!(payer.offer(&payer_key(), at(249), WALL), None);
    offered(&mut payer, 250);
    payer.answered(answered(8, 1), at(260));
    assert_eq!(payer.offer(&payer_key(), at(1_000), WALL), None, "one is open");
}

#[test]
fn what_is_disputed_in_time_is_denied_and_what_is_disputed_late_is_paid() {
    let (mut payer, mut payee) = sides(0..4);
    payer.disputed(TaskId(0));
    let (offer, tasks) = offered(&mut payer, 0);
    payer.disputed(TaskId(1));
    let signed = payee.check(offer, &tasks, &payee_key(), WALL).unwrap();
    payee.keep(signed, &tasks);
    payer.countersigned(signed, at(0)).unwrap();
    payer.disputed(TaskId(2));
    payer.disputed(TaskId(99));
    assert_eq!(agree(&mut payer, &mut payee, 300).voucher().totals, totals(8, 0, 6));
    assert_eq!(agree(&mut payer, &mut payee, 1_000).voucher().totals, totals(8, 2, 6));
    payer.disputed(TaskId(3));
    assert_eq!(payer.offer(&payer_key(), at(9_000), WALL), None);
}

#[test]
fn what_is_being_checked_is_not_paid_before_its_check_has_ended() {
    let (mut payer, mut payee) = sides(0..3);
    [0, 1, 99].iter().for_each(|task| payer.check_began(TaskId(*task)));
    agree(&mut payer, &mut payee, 0);
    assert_eq!(agree(&mut payer, &mut payee, 1_000).voucher().totals, totals(6, 2, 0), "nobody looks at the third");
    assert_eq!(payer.offer(&payer_key(), at(60_000), WALL), None, "however long the checks take");
    payer.disputed(TaskId(0));
    [0, 1].iter().for_each(|task| payer.check_ended(TaskId(*task)));
    assert_eq!(agree(&mut payer, &mut payee, 60_000).voucher().totals, totals(6, 4, 2));
}

#[test]
fn more_answers_than_an_offer_has_room_for_wait_for_the_next() {
    let (mut payer, mut payee) = sides(0..MAX_ANSWERS as u64 + 5);
    assert_eq!(agree(&mut payer, &mut payee, 0).voucher().answers as usize, MAX_ANSWERS);
    assert_eq!(agree(&mut payer, &mut payee, 250).voucher().answers, 5);
    assert_eq!(payee.uncovered_units(), 0);
}

#[test]
fn who_refuses_or_is_silent_forfeits_the_interval() {
    let (mut payer, mut payee) = sides(0..2);
    let (first, _) = offered(&mut payer, 0);
    assert!(!payer.refused(first.voucher.sequence + 1), "another sequence");
    assert!(payer.refused(first.voucher.sequence));
    assert!(!payer.refused(first.voucher.sequence), "it is not open any more");
    payer.answered(answered(5, 2), at(10));
    payee.answered(answered(5, 2));
    let (second, _) = offered(&mut payer, 250);
    assert!(!payer.overdue(at(2_250)) && payer.overdue(at(2_251)) && !payer.overdue(at(9_000)));
    assert_eq!(payer.forfeited_units(), 6);
    assert!(second.voucher.sequence > first.voucher.sequence);
    payer.answered(answered(6, 2), at(3_000));
    payee.answered(answered(6, 2));
    let third = agree(&mut payer, &mut payee, 3_000);
    assert_eq!((third.voucher().totals, third.voucher().sequence), (totals(2, 0, 0), second.voucher.sequence + 1));
}

#[test]
fn a_forfeited_offer_that_comes_signed_after_all_counts_once_and_can_be_disputed() {
    let (mut payer, mut payee) = sides(0..2);
    let (offer, tasks) = offered(&mut payer, 0);
    let signed = payee.check(offer, &tasks, &payee_key(), WALL).unwrap();
    payee.keep(signed, &tasks);
    assert!(payer.overdue(at(5_000)));
    payer.disputed(TaskId(1));
    payer.answered(answered(5, 2), at(5_000));
    payee.answered(answered(5, 2));
    let (void, void_tasks) = offered(&mut payer, 5_000);
    assert!(matches!(payee.check(void, &void_tasks, &payee_key(), WALL), Err(Refusal::Previous { .. })));
    payer.countersigned(signed, at(5_001)).unwrap();
    assert_eq!(payer.forfeited_units(), 0);
    assert!(!payer.refused(void.voucher.sequence), "it was taken back");
    assert_eq!(agree(&mut payer, &mut payee, 5_300).voucher().totals, totals(6, 2, 2));
    assert!(payer.countersigned(signed, at(5_400)).is_err(), "it counts once");
}

#[test]
fn an_orchestrator_that_lost_its_last_vouchers_finds_them_with_the_worker() {
    let (mut payer, mut payee) = sides(0..2);
    agree(&mut payer, &mut payee, 0);
    let mut restarted = Payer::new(pair(), settings(), None, at(0));
    restarted.answered(answered(9, 1), at(5));
    payee.answered(answered(9, 1));
    let resumption = restarted.attached(payee.last().copied(), at(10)).unwrap();
    assert_eq!((resumption.adopted, resumption.tell), (payee.last().copied(), None));
    assert_eq!(agree(&mut restarted, &mut payee, 100).voucher().totals, totals(5, 0, 0));
    assert_eq!(agree(&mut restarted, &mut payee, 1_010).voucher().totals, totals(5, 5, 0), "a whole window later");
}

#[test]
fn a_restarted_orchestrator_may_use_the_numbers_of_answers_that_were_never_covered() {
    let (mut payer, mut payee) = sides(0..2);
    agree(&mut payer, &mut payee, 0);
    payee.answered(answered(7, 3));
    let mut payer = Payer::new(pair(), settings(), payer.last().copied(), at(0));
    let again = Answered { leaf: Hash::of(b"another task 7"), ..answered(7, 2) };
    payee.answered(again);
    payer.answered(again, at(0));
    assert_eq!(agree(&mut payer, &mut payee, 0).voucher().totals, totals(6, 0, 0));
    assert_eq!(payee.uncovered_units(), 0);
}

#[test]
fn a_worker_that_lost_its_last_voucher_gets_it_back() {
    let (mut payer, mut payee) = sides(0..2);
    let last = agree(&mut payer, &mut payee, 0);
    let mut restarted = Payee::new(pair(), None);
    let resumption = payer.attached(None, at(10)).unwrap();
    assert_eq!((resumption.adopted, resumption.tell), (None, Some(last)));
    assert_eq!(restarted.adopt(last), Ok(true));
    assert_eq!(restarted.adopt(last), Ok(false));
    payer.answered(answered(9, 1), at(20));
    restarted.answered(answered(9, 1));
    assert_eq!(agree(&mut payer, &mut restarted, 300).voucher().totals, totals(5, 0, 0));
}

#[test]
fn an_offer_that_was_signed_but_whose_signature_was_lost_is_signed_again() {
    let (mut payer, mut payee) = sides(0..2);
    let (offer, tasks) = offered(&mut payer, 0);
    let signed = payee.check(offer, &tasks, &payee_key(), WALL).unwrap();
    payee.keep(signed, &tasks);
    // The link breaks; the worker tells the voucher when it is back.
    let resumption = payer.attached(payee.last().copied(), at(60_000)).unwrap();
    assert_eq!((resumption.adopted, resumption.again), (Some(signed), None));
    assert_eq!(payee.check(offer, &tasks, &payee_key(), WALL), Ok(signed), "the same offer, the same signature");
}

#[test]
fn an_offer_that_was_open_when_the_link_broke_is_made_again() {
    let (mut payer, mut payee) = sides(0..2);
    let (offer, tasks) = offered(&mut payer, 0);
    let resumption = payer.attached(None, at(60_000)).unwrap();
    assert_eq!(resumption.again, Some((offer, tasks.clone())));
    assert!(!payer.overdue(at(61_000)), "its time begins anew");
    let signed = payee.check(offer, &tasks, &payee_key(), WALL).unwrap();
    payee.keep(signed, &tasks);
    assert!(payer.countersigned(signed, at(61_000)).is_ok());
}

/// An offer over task 0 of `sides(0..1)` after `change`, signed by the orchestrator.
fn bent(change: impl FnOnce(&mut Voucher)) -> Result<SignedVoucher, Refusal> {
    let (mut payer, payee) = sides(0..1);
    let (offer, tasks) = offered(&mut payer, 0);
    let mut voucher = offer.voucher;
    change(&mut voucher);
    payee.check(voucher.offer(&payer_key()), &tasks, &payee_key(), WALL)
}

#[test]
fn a_worker_signs_nothing_but_its_own_record() {
    assert!(bent(|_| ()).is_ok());
    let other = NodeKey::from_secret(&[3; 32]).node_id();
    assert!(matches!(bent(|voucher| voucher.worker = other), Err(Refusal::OtherPair(_))));
    assert!(matches!(bent(|voucher| voucher.orchestrator = other), Err(Refusal::OtherPair(_))));
    assert!(matches!(bent(|voucher| voucher.root = Hash([0; 32])), Err(Refusal::Root { .. })));
    assert!(matches!(bent(|voucher| voucher.previous = Hash([1; 32])), Err(Refusal::Previous { .. })));
    assert!(matches!(bent(|voucher| voucher.answers = 2), Err(Refusal::Tasks { answers: 2, listed: 1 })));
    assert_eq!(bent(|voucher| voucher.expires = WALL), Err(Refusal::Expired { expired: WALL }));
    for covered in [0, 1, 3] {
        let refused = bent(|voucher| voucher.totals.covered = covered);
        assert_eq!(refused, Err(Refusal::Totals { expected: 2, got: totals(covered, 0, 0) }));
    }
    let contradiction = Err(Refusal::Voucher(VoucherError::Contradiction));
    assert_eq!(bent(|voucher| voucher.sequence = 0), contradiction);
    assert_eq!(bent(|voucher| voucher.totals.accepted = 3), contradiction);
}

#[test]
fn a_wrong_signature_is_refused_by_both() {
    let (mut payer, payee) = sides(0..1);
    let (offer, tasks) = offered(&mut payer, 0);
    let forged = offer.voucher.offer(&payee_key());
    let forgery = |party, node| VoucherError::Forged { party, node };
    let refused = payee.check(forged, &tasks, &payee_key(), WALL);
    assert_eq!(refused, Err(forgery("orchestrator", pair().orchestrator).into()));
    let forged = offer.countersign(&payer_key());
    assert_eq!(payer.countersigned(forged, at(1)), Err(forgery("worker", pair().worker).into()));
    assert_eq!(payer.attached(Some(forged), at(1)), Err(forgery("worker", pair().worker).into()));
    assert!(payer.countersigned(offer.countersign(&payee_key()), at(2)).is_ok(), "the open offer is still open");
}

#[test]
fn lists_of_tasks_that_are_not_the_answers_are_refused() {
    let (mut payer, payee) = sides(0..2);
    let (offer, _) = offered(&mut payer, 0);
    let check = |tasks: &[u64]| {
        let tasks: Vec<TaskId> = tasks.iter().copied().map(TaskId).collect();
        payee.check(offer, &tasks, &payee_key(), WALL)
    };
    assert!(check(&[0, 1]).is_ok());
    assert!(matches!(check(&[1, 0]), Err(Refusal::Root { .. })), "in another order");
    assert!(matches!(check(&[0]), Err(Refusal::Tasks { .. })));
    assert!(matches!(check(&[0, 0]), Err(Refusal::Tasks { .. })));
    assert!(matches!(check(&[0, 1, 2]), Err(Refusal::Tasks { .. })));
    assert_eq!(check(&[0, 7]), Err(Refusal::UnknownTask(TaskId(7))));
    assert!(matches!(check(&(0..9_000).collect::<Vec<_>>()), Err(Refusal::Tasks { .. })));
}

#[test]
fn sequences_and_totals_that_go_back_are_refused() {
    let (mut payer, mut payee) = sides(0..2);
    let first = agree(&mut payer, &mut payee, 0);
    let second = agree(&mut payer, &mut payee, 1_000);
    let (last, first) = (second.voucher(), first.voucher());
    let refused = |voucher: Voucher| payee.check(voucher.offer(&payer_key()), &[], &payee_key(), WALL).unwrap_err();
    assert_eq!(refused(*first), Refusal::Sequence { last: last.sequence, got: first.sequence });
    let same = Voucher { expires: UnixMillis(WALL.0 + 1), ..*last };
    assert_eq!(refused(same), Refusal::Sequence { last: last.sequence, got: last.sequence });
    let next = Voucher { sequence: last.sequence + 1, previous: last.hash(), ..*last };
    let falling = Voucher { totals: totals(4, 3, 1), ..next };
    assert_eq!(refused(falling), Refusal::Totals { expected: 4, got: totals(4, 3, 1) });
    assert!(payee.check(next.offer(&payer_key()), &[], &payee_key(), WALL).is_ok(), "it goes on");
    let older = payee.adopt(first.offer(&payer_key()).countersign(&payee_key()));
    assert_eq!((older, payee.last()), (Ok(false), Some(&second)));
}

#[test]
fn a_covered_answer_is_shown_until_its_window_is_long_over() {
    let (mut payer, mut payee) = sides(0..5);
    let signed = agree(&mut payer, &mut payee, 0);
    let (voucher, proof) = payer.proof(TaskId(3)).expect("it is covered");
    assert_eq!((voucher, proof.root_above(answered(3, 2).leaf)), (signed, Some(signed.voucher().root)));
    assert_eq!(payer.proof(TaskId(5)), None);
    for (task, ms) in [(10, 2_000), (11, 2_500)] {
        payer.answered(answered(task, 1), at(ms));
        payee.answered(answered(task, 1));
        agree(&mut payer, &mut payee, ms);
    }
    assert_eq!(payer.proof(TaskId(3)), None, "forgotten");
    assert!(payer.proof(TaskId(10)).is_some());
}

#[test]
fn both_sides_forget_what_nobody_covers() {
    let (mut payer, mut payee) = sides(0..MAX_RECORDS as u64 + 3);
    assert_eq!(payee.uncovered_units(), 2 * MAX_RECORDS as u64);
    assert_eq!(payer.forfeited_units(), 6);
    let (_, tasks) = offered(&mut payer, 0);
    assert_eq!(tasks.first(), Some(&TaskId(3)), "the oldest go first");
    payee.answered(answered(3, 50));
    assert_eq!(payee.uncovered_units(), 2 * MAX_RECORDS as u64 + 48, "the last answer counts, and only it");
}
