//! Commitments fit the shares that were dealt, and no others.

use super::*;
use crate::group::KeyPair;
use crate::shamir::split;

const THRESHOLD: u16 = 5;

struct Dealt {
    mask_key: Point,
    commitments: Commitments,
    holders: Vec<Member>,
    shares: Vec<SharePair>,
}

fn deal() -> Dealt {
    let scalars = |from: u64| (from..from + 4).map(|number| -Scalar::from(number)).collect::<Vec<_>>();
    let (key, self_mask) = (KeyPair::new(Scalar::from(100_u64)), Scalar::from(200_u64));
    let (first, second) = (scalars(10), scalars(20));
    let holders = [0, 1, 2, 77, 4_095].map(Member).to_vec();
    let pairs = split(key.secret(), &first, &holders).into_iter().zip(split(&self_mask, &second, &holders));
    Dealt {
        mask_key: key.public(),
        commitments: Commitments::new(&first, &self_mask, &second),
        shares: pairs.map(|(mask_key, self_mask)| SharePair { mask_key, self_mask }).collect(),
        holders,
    }
}

#[test]
fn every_dealt_share_fits_the_commitments_that_were_sent() {
    let dealt = deal();
    let sent = dealt.commitments.encode();
    assert_eq!(sent.len(), Commitments::count(THRESHOLD));
    let received = Commitments::decode(THRESHOLD, &sent).unwrap();
    assert_eq!(received, dealt.commitments);
    assert_eq!(received.hash(), Hash::of(&sent.concat()));
    for (holder, shares) in dealt.holders.iter().zip(&dealt.shares) {
        assert_eq!(received.check(&dealt.mask_key, *holder, shares), Ok(()));
    }
}

#[test]
fn a_wrong_share_is_named_by_its_kind() {
    let Dealt { mask_key, commitments, holders, shares } = deal();
    let wrong = |kind| Err(FeldmanError::Share { kind });
    let mut bad = shares[3].clone();
    bad.mask_key += Scalar::ONE;
    assert_eq!(commitments.check(&mask_key, holders[3], &bad), wrong(ShareKind::MaskKey));
    let mut bad = shares[3].clone();
    bad.self_mask += Scalar::ONE;
    assert_eq!(commitments.check(&mask_key, holders[3], &bad), wrong(ShareKind::SelfMask));
    assert_eq!(commitments.check(&mask_key, holders[2], &shares[3]), wrong(ShareKind::MaskKey));
    let other_key = Point::base_times(&Scalar::from(101_u64));
    assert_eq!(commitments.check(&other_key, holders[3], &shares[3]), wrong(ShareKind::MaskKey));
}

#[test]
fn another_number_of_points_and_bad_points_are_refused() {
    let mut sent = deal().commitments.encode();
    assert_eq!(Commitments::decode(6, &sent), Err(FeldmanError::Count { expected: 11, got: 9 }));
    assert_eq!(Commitments::decode(0, &[]), Err(FeldmanError::Count { expected: 0, got: 0 }));
    sent[6] = [0; 32];
    let expected = FeldmanError::Point { at: 6, reason: PointError::Identity };
    assert_eq!(Commitments::decode(THRESHOLD, &sent), Err(expected));
    sent[2] = [255; 32];
    let expected = FeldmanError::Point { at: 2, reason: PointError::NotCanonical };
    assert_eq!(Commitments::decode(THRESHOLD, &sent), Err(expected));
}

#[test]
fn a_threshold_of_one_commits_to_constants() {
    let commitments = Commitments::new(&[], &Scalar::from(9_u64), &[]);
    let decoded = Commitments::decode(1, &commitments.encode()).unwrap();
    let shares = SharePair { mask_key: Scalar::from(8_u64), self_mask: Scalar::from(9_u64) };
    assert_eq!(decoded.check(&Point::base_times(&Scalar::from(8_u64)), Member(3), &shares), Ok(()));
}
