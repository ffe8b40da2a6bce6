//! Bounds of every field, sizes, and whose configuration it is.

use neuro_primitives::UnixMillis;

use super::*;
use crate::roster::{Registry, Roster, RosterFields};

fn key(secret: u8) -> NodeKey {
    NodeKey::from_secret(&[secret; 32])
}

fn roster() -> Roster {
    Roster::new(RosterFields {
        task_name: "words".to_owned(),
        owner: key(1).node_id(),
        aggregator: key(2).node_id(),
        version: 5,
        issued: UnixMillis(0),
        expires: UnixMillis(1),
        members: Vec::new(),
    })
    .unwrap()
}

pub(crate) fn config() -> RoundConfig {
    RoundConfig {
        task: roster().task(),
        round: 4,
        cohort: 0,
        cohorts: 1,
        round_id: [7; 32],
        roster_version: 5,
        roster_hash: roster().hash(),
        batches: vec![0, 2, 3],
        base: Base::Weights(Hash([1; 32])),
        layout: Hash([2; 32]),
        entries: 1_000_000,
        vector_entries: 1_000_001,
        strategy: Strategy { name: "fed-avg".to_owned(), settings: vec![1] },
        weight_cap: 1000,
        value_bits: 9,
        scale: 426.0,
        privacy: Privacy { mode: PrivacyMode::None, settings: Vec::new() },
        generator: Generator::Aes128Ctr,
        corrupt_bps: 1000,
        dropout_bps: 1000,
        security_bits: 40,
        correctness_bits: 20,
        least_members: 10,
        most_members: 100,
        deadlines: Deadlines {
            join_ms: 1,
            reveal_ms: 2,
            shares_ms: 3,
            received_ms: 4,
            upload_ms: 5,
            vote_ms: 6,
            answer_ms: 7,
        },
        feldman: false,
    }
}

fn changed(change: impl FnOnce(&mut RoundConfig)) -> RoundConfig {
    let mut config = config();
    change(&mut config);
    config
}

#[test]
fn every_field_outside_its_bounds_is_refused_by_name_when_signed_and_when_read() {
    type Change = fn(&mut RoundConfig);
    let changes: [(&str, Change); 30] = [
        ("cohorts of the round", |config| config.cohorts = 0),
        ("the cohort's number", |config| config.cohort = 1),
        ("batches", |config| config.batches.clear()),
        ("batches", |config| config.batches.swap(0, 1)),
        ("batches", |config| config.batches[1] = 0),
        ("model values", |config| config.entries = 0),
        ("model values", |config| config.entries = (1 << 28) + 1),
        ("entries of the vector", |config| config.vector_entries = 1_000_000),
        ("entries of the vector", |config| config.vector_entries = 2_000_003),
        ("bytes of the strategy's name", |config| config.strategy.name.clear()),
        ("bytes of the strategy's name", |config| config.strategy.name = "a\nb".to_owned()),
        ("bytes of the strategy's name", |config| config.strategy.name = "x".repeat(33)),
        ("bytes of the strategy's settings", |config| config.strategy.settings = vec![0; 4097]),
        ("value bits", |config| config.value_bits = 1),
        ("value bits", |config| config.value_bits = 33),
        ("the scale", |config| config.scale = 0.0),
        ("the scale", |config| config.scale = f64::NAN),
        ("the scale", |config| config.scale = f64::INFINITY),
        ("bytes of the privacy settings", |config| config.privacy.settings.push(0)),
        ("the weight cap", |config| config.weight_cap = 0),
        ("the weight cap", |config| config.weight_cap = (1 << 20) + 1),
        ("the weight cap", |config| config.privacy.mode = PrivacyMode::Distributed),
        ("the weight cap", |config| config.privacy.mode = PrivacyMode::Central),
        ("corrupt members in 1/10,000", |config| config.corrupt_bps = 10_001),
        ("dropouts in 1/10,000", |config| config.dropout_bps = 10_001),
        ("bits of security", |config| config.security_bits = 0),
        ("least members", |config| config.least_members = 1),
        ("most members", |config| config.most_members = 9),
        ("most members", |config| config.most_members = 4097),
        ("ms to vote", |config| config.deadlines.vote_ms = 0),
    ];
    for (expected, change) in changes {
        let config = changed(change);
        let named = |error: &DocumentError| match error {
            DocumentError::Range { what, .. }
            | DocumentError::NotAscending { what, .. }
            | DocumentError::NotPrintable { what, .. }
            | DocumentError::Float { what, .. }
            | DocumentError::Codec(neuro_primitives::codec::CodecError::TooMany { what, .. }) => *what,
            other => panic!("{expected}: {other}"),
        };
        assert_eq!(config.check().map_err(|error| named(&error)), Err(expected));
        assert_eq!(RoundConfig::decode(&config.encode()).map_err(|error| named(&error)), Err(expected));
    }
}

#[test]
fn unknown_kinds_and_bytes_left_over_are_refused() {
    let good = config().encode();
    assert_eq!(RoundConfig::decode(&good), Ok(config()));
    let mut longer = good.clone();
    longer.push(0);
    assert!(RoundConfig::decode(&longer).is_err());
    let mut format = good;
    format[0] = 2;
    let expected = DocumentError::Format { what: "a round configuration", expected: 1, got: 2 };
    assert_eq!(RoundConfig::decode(&format), Err(expected));
}

#[test]
fn the_hash_names_one_configuration() {
    type Change = fn(&mut RoundConfig);
    let changes: [Change; 6] = [
        |config| config.round_id[0] ^= 1,
        |config| config.base = Base::Versions(config.base.hash()),
        |config| config.generator = Generator::ChaCha20,
        |config| config.feldman = true,
        |config| config.scale = 426.5,
        |config| config.deadlines.answer_ms = 8,
    ];
    for change in changes {
        assert_ne!(changed(change).hash(), config().hash());
    }
}

/// Section 17: n = 100, weights to 1,000, nine bits; and the largest of everything.
#[test]
fn plain_sums_never_overflow_their_modulus() {
    assert_eq!(config().plain_modulus_bits(100), 26);
    assert_eq!(config().payload_bytes(26), 3_250_004);
    let largest = changed(|config| {
        config.value_bits = 32;
        config.weight_cap = 1 << 20;
    });
    assert_eq!(largest.plain_modulus_bits(4096), 64);
    for (n, cap) in [(2_u16, 1_u32), (3, 1), (4, 1), (5, 1), (100, 1000), (128, 8), (129, 8), (4096, 1 << 20)] {
        let config = changed(|config| config.weight_cap = cap);
        let bits = config.plain_modulus_bits(n);
        let most = u128::from(n) * u128::from(cap) * ((1 << (config.value_bits - 1)) - 1);
        assert!(most < 1 << (bits - 1), "n {n}, W {cap}, B {bits}");
    }
}

#[test]
fn a_configuration_is_taken_from_the_rosters_aggregator_for_its_task_and_version_only() {
    let receive = |config: &RoundConfig, signer: &NodeKey| {
        let sent = config.sign(signer).encode();
        SignedConfig::decode(&sent).unwrap().verify(|signed| signed.check(&roster()))
    };
    assert_eq!(receive(&config(), &key(2)), Ok(config()));
    let signature = ConfigRefused::Signature { aggregator: key(2).node_id() };
    assert_eq!(receive(&config(), &key(1)), Err(signature.clone()), "the owner is not the aggregator");

    let other = Hash([9; 32]);
    let task = changed(|config| config.task = other);
    assert_eq!(receive(&task, &key(2)), Err(ConfigRefused::Task { expected: roster().task(), got: other }));
    type Change = fn(&mut RoundConfig);
    let changes: [Change; 2] = [|config| config.roster_version = 4, |config| config.roster_hash = Hash([9; 32])];
    for change in changes {
        let config = changed(change);
        let refused = receive(&config, &key(2)).unwrap_err();
        assert!(matches!(refused, ConfigRefused::Roster { version: 5, .. }) && refused.is_retryable());
    }

    let signed = key(2).sign(tags::ANNOUNCEMENT, &config().encode());
    let sent = [&config().encode()[..], &signed.0].concat();
    let checked = SignedConfig::decode(&sent).unwrap().verify(|signed| signed.check(&roster()));
    assert_eq!(checked, Err(signature), "a signature for announcements is none for configurations");
}
