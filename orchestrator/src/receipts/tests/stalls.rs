//! A worker whose disk stalls: it signs late, and meanwhile it is offered what it cannot sign.

use super::*;

/// A worker that has signed the first offer on disk and sends it too late, and the offers that were given up meanwhile.
struct Stalled {
    payer: Payer,
    payee: Payee,
    late: SignedVoucher,
    given_up: Vec<Offer>,
}

/// Two units in the first offer, two in each of those `later`, all given up.
fn stalled(later: u64) -> Stalled {
    let (mut payer, mut payee) = sides(0..1);
    let (offer, tasks) = offered(&mut payer, 0);
    let late = payee.check(offer, &tasks, &payee_key(), WALL).unwrap();
    payee.keep(late, &tasks);
    assert!(payer.overdue(at(3_000)));
    let mut given_up = Vec::new();
    for number in 1..=later {
        let now_ms = number * 3_000;
        payer.answered(answered(number, 2), at(now_ms));
        payee.answered(answered(number, 2));
        given_up.push(offered(&mut payer, now_ms).0);
        assert!(payer.overdue(at(now_ms + 2_500)));
    }
    Stalled { payer, payee, late, given_up }
}

#[test]
fn a_worker_that_signs_late_loses_nothing_of_what_it_could_not_sign() {
    let Stalled { mut payer, mut payee, late, .. } = stalled(3);
    assert_eq!(payer.forfeited_units(), 8);
    payer.disputed(TaskId(2));
    payer.countersigned(late, at(12_000)).unwrap();
    assert_eq!(payer.forfeited_units(), 0);
    let next = agree(&mut payer, &mut payee, 12_000);
    assert_eq!((next.voucher().totals.covered, next.voucher().answers), (8, 3));
    assert_eq!(
        agree(&mut payer, &mut payee, 14_000).voucher().totals,
        totals(8, 6, 2),
        "the dispute was not forgotten"
    );
}

#[test]
fn what_a_worker_passed_over_before_the_voucher_that_it_signs_stays_forfeited() {
    let (mut payer, mut payee) = sides(0..1);
    let (refused, _) = offered(&mut payer, 0);
    assert!(payer.refused(refused.voucher.sequence));
    payer.answered(answered(5, 3), at(300));
    payee.answered(answered(5, 3));
    assert_eq!(agree(&mut payer, &mut payee, 300).voucher().totals, totals(3, 0, 0));
    assert_eq!((payer.forfeited_units(), payer.offer(&payer_key(), at(900), WALL)), (2, None));
}

#[test]
fn an_answer_that_is_offered_anew_is_not_covered_by_the_offer_before_too() {
    let Stalled { mut payer, mut payee, late, given_up } = stalled(2);
    payer.countersigned(late, at(12_000)).unwrap();
    let (open, tasks) = offered(&mut payer, 12_000);
    for void in given_up {
        let (fault, got) = (payer.countersigned(void.countersign(&payee_key()), at(12_001)), void.voucher.sequence);
        assert_eq!(fault, Err(ReceiptFault::NotOpen { got }));
        let told = payer.attached(Some(void.countersign(&payee_key())), at(12_002));
        assert_eq!(told, Err(ReceiptFault::NotOpen { got }));
    }
    let signed = payee.check(open, &tasks, &payee_key(), WALL).unwrap();
    payee.keep(signed, &tasks);
    assert_eq!(payer.countersigned(signed, at(12_003)).unwrap().voucher().totals.covered, 6);
}
