//! RFC 5869 vectors, and that every part of a context counts.

use data_encoding::HEXLOWER;

use super::*;
use crate::group::Point;

/// Test cases 1 to 3 of RFC 5869, appendix A.
#[test]
fn hkdf_is_that_of_rfc_5869() {
    let rising = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let first = expand::<42>(&Hkdf::new(Some(&rising(0, 0x0c)), &[0x0b; 22]), &[&rising(0xf0, 0xf9)]);
    let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(HEXLOWER.encode(first.as_ref()), expected);

    let second = expand::<82>(&Hkdf::new(Some(&rising(0x60, 0xaf)), &rising(0, 0x4f)), &[&rising(0xb0, 0xff)]);
    let expected = "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
                    59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
                    cc30c58179ec3e87c14c01d5c1f3434f1d87";
    assert_eq!(HEXLOWER.encode(second.as_ref()), expected);

    let third = expand::<42>(&Hkdf::new(Some(&[]), &[0x0b; 22]), &[]);
    let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    assert_eq!(HEXLOWER.encode(third.as_ref()), expected);
}

#[test]
fn info_is_the_tag_a_zero_and_the_parts() {
    let derived = derive::<32>(b"key", b"salt", Tag("neuro/fl/test"), &[b"ab", b"c"]);
    assert_eq!(derived, expand(&Hkdf::new(Some(b"salt"), b"key"), &[b"neuro/fl/test\0abc"]));
}

#[test]
fn a_secret_gives_the_same_values_again_and_others_for_each_label_attempt_and_config() {
    let (secret, config) = (RoundSecret::from_bytes([3; 32]), Hash([4; 32]));
    let values = |secret: &RoundSecret, config: &Hash, attempt| {
        let attempt = secret.attempt(config, attempt);
        let mut all = vec![*attempt.mask_key().secret(), *attempt.seal_key().secret(), *attempt.self_mask()];
        all.push(Scalar::from_bytes_mod_order(attempt.nonce()));
        all.extend(attempt.mask_coefficients(4).iter());
        all.extend(attempt.self_coefficients(4).iter());
        all
    };
    let first = values(&secret, &config, 0);
    assert_eq!(first, values(&RoundSecret::from_bytes(*secret.as_bytes()), &config, 0));
    let mut seen = first.clone();
    seen.extend(values(&secret, &config, 1));
    seen.extend(values(&secret, &Hash([5; 32]), 0));
    seen.extend(values(&RoundSecret::from_bytes([6; 32]), &config, 0));
    assert_eq!(seen.len(), 40, "four values and three coefficients of each polynomial");
    for (at, value) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(value), "value {at} is drawn twice");
    }
}

#[test]
fn a_drawn_value_is_that_of_section_5() {
    let (secret, config) = (RoundSecret::from_bytes([3; 32]), Hash([4; 32]));
    let nonce = expand::<32>(&Hkdf::new(Some(&[4; 32]), &[3; 32]), &[b"neuro/fl/secret/1\0nonce\x02\0\0\0\0"]);
    assert_eq!(secret.attempt(&config, 2).nonce(), *nonce);
    let wide =
        expand::<64>(&Hkdf::new(Some(&[4; 32]), &[3; 32]), &[b"neuro/fl/secret/1\0mask-coefficient\x02\x01\0\0\0"]);
    let expected = Scalar::from_bytes_mod_order_wide(&wide);
    assert_eq!(secret.attempt(&config, 2).mask_coefficients(2)[..], [expected]);
}

#[test]
fn two_generated_secrets_differ() {
    assert_ne!(RoundSecret::generate().unwrap().as_bytes(), RoundSecret::generate().unwrap().as_bytes());
}

/// The context whose fields all have `hashes` in order, R, V, config hash, base hash.
fn context(hashes: [u8; 4], generator: Generator) -> MaskContext {
    let [cohort, sharers, config, base] = hashes.map(|byte| Hash([byte; 32]));
    MaskContext::new(&cohort, &sharers, &config, &base, generator)
}

#[test]
fn a_pair_key_is_the_same_from_both_sides() {
    let context = context([1, 2, 3, 4], Generator::ChaCha20);
    let (one, other) = (KeyPair::new(Scalar::from(7_u64)), KeyPair::new(Scalar::from(9_u64)));
    let (lo, hi) = (NodeId([1; 32]), NodeId([2; 32]));
    let seed = context.pair(&one.agree(&other.public()), hi, lo);
    assert_eq!(seed, context.pair(&other.agree(&one.public()), lo, hi));
}

#[test]
fn a_seed_is_that_of_section_8() {
    let context = context([1, 2, 3, 4], Generator::Aes128Ctr);
    let salt = Hash::of(&[[1; 32], [2; 32]].concat());
    let parts = [[3; 32], [4; 32], [8; 32]].concat();
    let own = derive::<16>(Scalar::from(5_u64).as_bytes(), &salt.0, Tag("neuro/fl/self-mask/1"), &[&parts]);
    assert_eq!(context.own(&Scalar::from(5_u64), NodeId([8; 32])), MaskSeed::Aes128Ctr(*own));

    let shared = KeyPair::new(Scalar::from(2_u64)).agree(&Point::base_times(&Scalar::ONE));
    let parts = [[3; 32], [4; 32], [6; 32], [8; 32]].concat();
    let pair = derive::<16>(shared.as_bytes(), &salt.0, Tag("neuro/fl/pair-mask/1"), &[&parts]);
    assert_eq!(context.pair(&shared, NodeId([8; 32]), NodeId([6; 32])), MaskSeed::Aes128Ctr(*pair));
}

#[test]
fn a_seed_is_bound_to_cohort_sharers_config_base_and_members() {
    let shared = KeyPair::new(Scalar::from(2_u64)).agree(&Point::base_times(&Scalar::ONE));
    let (one, other) = (NodeId([6; 32]), NodeId([8; 32]));
    for generator in [Generator::Aes128Ctr, Generator::ChaCha20] {
        let seed = context([1, 2, 3, 4], generator).pair(&shared, one, other);
        assert_eq!(seed.generator(), generator);
        for hashes in [[9, 2, 3, 4], [1, 9, 3, 4], [1, 2, 9, 4], [1, 2, 3, 9], [2, 1, 3, 4], [1, 2, 4, 3]] {
            assert_ne!(seed, context(hashes, generator).pair(&shared, one, other), "{hashes:?}");
        }
        assert_ne!(seed, context([1, 2, 3, 4], generator).pair(&shared, one, NodeId([9; 32])));
    }
}
