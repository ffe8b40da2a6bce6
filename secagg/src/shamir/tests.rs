//! What is shared is rebuilt, by any t and by no fewer.

use proptest::prelude::*;

use super::*;

/// A scalar that has all its bits, from a number.
fn scalar(number: u64) -> Scalar {
    let mut wide = [0; 64];
    wide[..32].copy_from_slice(&neuro_primitives::Hash::of(&number.to_le_bytes()).0);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// `secret` shared with threshold `threshold` among `holders`.
fn shared(secret: &Scalar, threshold: usize, holders: &[Member]) -> Vec<(Member, Scalar)> {
    let coefficients: Vec<Scalar> = (1..threshold as u64).map(scalar).collect();
    holders.iter().copied().zip(split(secret, &coefficients, holders)).collect()
}

#[test]
fn a_share_is_the_polynomial_at_the_holders_number_plus_one() {
    let coefficients = [3_u64, 5].map(Scalar::from);
    let shares = split(&Scalar::from(7_u64), &coefficients, &[Member(0), Member(1), Member(9)]);
    assert_eq!(shares, [7 + 3 + 5, 7 + 6 + 20, 7 + 30 + 500_u64].map(Scalar::from));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_t_shares_give_the_secret_back(
        holders in proptest::collection::btree_set(0..=u16::MAX, 1..40),
        order in any::<u64>(),
        secret in any::<u64>(),
        part in 0.0..1.0_f64,
    ) {
        let mut holders: Vec<Member> = holders.into_iter().map(Member).collect();
        let threshold = 1 + (part * (holders.len() - 1) as f64) as usize;
        holders.sort_by_key(|holder| neuro_primitives::Hash::of(&(order ^ u64::from(holder.0)).to_le_bytes()));
        let shares = shared(&scalar(secret), threshold, &holders);
        prop_assert_eq!(rebuild(&shares[..threshold]), Ok(scalar(secret)));
        prop_assert_eq!(rebuild(&shares[holders.len() - threshold..]), Ok(scalar(secret)));
    }
}

#[test]
fn fewer_than_t_shares_and_a_changed_share_give_another_secret() {
    let holders: Vec<Member> = (0..20).map(Member).collect();
    let mut shares = shared(&scalar(1), 12, &holders);
    assert_ne!(rebuild(&shares[..11]), Ok(scalar(1)));
    shares[4].1 += Scalar::ONE;
    assert_ne!(rebuild(&shares[..12]), Ok(scalar(1)));
}

#[test]
fn the_largest_neighbourhood_is_rebuilt_too() {
    let holders: Vec<Member> = (0..1_600).map(|index| Member(4_095 - index)).collect();
    let shares = shared(&scalar(1), 900, &holders);
    assert_eq!(rebuild(&shares[..900]), Ok(scalar(1)));
}

#[test]
fn no_shares_and_two_shares_of_one_holder_are_refused() {
    let one = (Member(3), Scalar::ONE);
    assert_eq!(rebuild(&[]), Err(RebuildError::NoShares));
    assert_eq!(rebuild(&[one, (Member(4), Scalar::ONE), one]), Err(RebuildError::Twice { holder: Member(3) }));
}

#[test]
fn a_cache_that_overflows_still_rebuilds() {
    let mut cache = LagrangeCache::default();
    for first in 0..3 * MOST_SETS as u16 {
        let holders = [first, first + 1, first + 5].map(Member);
        let shares = shared(&scalar(first.into()), 3, &holders);
        assert_eq!(cache.rebuild(&shares), Ok(scalar(first.into())));
        assert_eq!(cache.rebuild(&shares), Ok(scalar(first.into())));
        assert!(cache.factors.len() <= MOST_SETS);
    }
}

#[test]
fn the_order_of_holders_counts() {
    let mut cache = LagrangeCache::default();
    let forward = cache.at_zero(&[Member(1), Member(2)]).unwrap().to_vec();
    let backward = cache.at_zero(&[Member(2), Member(1)]).unwrap();
    assert_eq!([forward[1], forward[0]], backward);
}
