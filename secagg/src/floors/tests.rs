//! Each floor by itself, the count of rounds, and clocks that are wrong.

use neuro_primitives::{Hash, NodeId, NodeKey, Signature};

use super::*;
use crate::config::Privacy;
use crate::group::{Point, Scalar};
use crate::messages::Row;
use crate::roster::{Roster, RosterFields, RosterMember};

const NOW: u64 = 1_790_000_000_000;

/// Twenty members in batch 0, four in batch 1.
fn roster() -> Roster {
    let member = |byte| RosterMember { node: NodeId([byte; 32]), batch: u16::from(byte > 20) };
    Roster::new(RosterFields {
        task_name: "words".to_owned(),
        owner: NodeId([1; 32]),
        aggregator: NodeKey::from_secret(&[2; 32]).node_id(),
        version: 1,
        issued: UnixMillis(0),
        expires: UnixMillis(u64::MAX),
        members: (1..=24).map(member).collect(),
    })
    .unwrap()
}

/// A configuration that passes the default floors with room to spare.
fn config() -> RoundConfig {
    RoundConfig {
        task: roster().task(),
        cohorts: 2,
        roster_version: 1,
        roster_hash: roster().hash(),
        batches: vec![0],
        entries: 1000,
        vector_entries: 1001,
        weight_cap: 1,
        value_bits: 16,
        scale: 1.0,
        privacy: Privacy { mode: PrivacyMode::Distributed, settings: Vec::new() },
        least_members: 8,
        most_members: 20,
        ..crate::config::tests::config()
    }
}

fn cohort(n: usize, modulus_bits: u8) -> Cohort {
    let row = Row {
        node: NodeId([1; 32]),
        mask_key: Point::base_times(&Scalar::from(1_u64)),
        seal_key: Point::base_times(&Scalar::from(2_u64)),
        nonce_commitment: Hash([0; 32]),
        signature: Signature([0; 64]),
    };
    Cohort { config: config().hash(), attempt: 0, k: 1, t: 1, q: 1, modulus_bits, rows: vec![row; n] }
}

#[test]
fn the_alpha_that_is_shown_is_that_of_the_worst_cohort_that_is_gone_on_with() {
    let config = RoundConfig { most_members: 512, corrupt_bps: 1_000, dropout_bps: 1_000, ..config() };
    let shown = |rostered| (100.0 * Floors::default().alpha(&config, rostered)).round();
    // Ten of ten: one drops out, one is corrupt. Of twenty ten come at least, of a hundred fifty: one and five drop out,
    // two and ten are corrupt.
    assert_eq!([10, 20, 100].map(shown), [80.0, 70.0, 70.0]);
    assert_eq!(shown(7), 0.0, "no cohort is gone on with");
}

fn past() -> Past {
    Past { epsilon: 1.0, delta: 1e-6, ..Past::none(UnixMillis(NOW)) }
}

fn admit(change: impl FnOnce(&mut Floors, &mut RoundConfig, &mut Past)) -> Result<(), FloorRefused> {
    let (mut floors, mut config, mut past) = (Floors::default(), config(), past());
    change(&mut floors, &mut config, &mut past);
    floors.admit(&config, &roster(), &past)
}

fn admit_cohort(n: usize, bits: u8, change: impl FnOnce(&mut Floors, &mut RoundConfig)) -> Result<(), FloorRefused> {
    let (mut floors, mut config) = (Floors::default(), config());
    change(&mut floors, &mut config);
    floors.admit_cohort(&config, &roster(), &cohort(n, bits))
}

#[test]
fn a_round_at_the_floors_is_admitted() {
    assert_eq!(admit(|_, _, _| ()), Ok(()));
    assert_eq!(admit_cohort(10, 21, |_, _| ()), Ok(()));
}

#[test]
fn each_number_of_a_configuration_below_its_floor_is_refused_by_its_own_error() {
    let few = FloorRefused::Members { expected: 8, got: 7 };
    assert_eq!(admit(|_, config, _| config.least_members = 7), Err(few));
    let corrupt = FloorRefused::Corrupt { expected_bps: 1000, got_bps: 999 };
    assert_eq!(admit(|_, config, _| config.corrupt_bps = 999), Err(corrupt));
    let security = FloorRefused::Security { expected: 40, got: 39 };
    assert_eq!(admit(|_, config, _| config.security_bits = 39), Err(security));
    let turnout = FloorRefused::Turnout { expected_bps: 5000, n: 9, rostered: 20 };
    assert_eq!(admit(|_, config, _| config.most_members = 9), Err(turnout));
    let bytes = FloorRefused::UploadBytes { most: 2376, got: 2378 };
    assert_eq!(admit(|floors, _, _| floors.most_upload_bytes = 2376), Err(bytes), "1,001 entries of 19 bits");
    assert_eq!(admit(|floors, _, _| floors.most_upload_bytes = 2378), Ok(()));
}

/// N = 20, γ = 30 %: c = 6. From the least turnout, 10, on α is (n − ⌊n/10⌋ − 6)/n, least for n = 10 with 3/10.
#[test]
fn alpha_counts_from_the_smallest_cohort_that_is_gone_on_with() {
    let refused = FloorRefused::Alpha { expected_bps: 5000, got_bps: 3000 };
    assert_eq!(admit(|_, config, _| config.corrupt_bps = 3000), Err(refused));
    let generous = |floors: &mut Floors, config: &mut RoundConfig, _: &mut Past| {
        config.corrupt_bps = 3000;
        floors.least_alpha_bps = 3000;
    };
    assert_eq!(admit(generous), Ok(()));
    let turnout = |floors: &mut Floors, config: &mut RoundConfig, _: &mut Past| {
        config.corrupt_bps = 3000;
        floors.least_turnout_bps = 8000;
    };
    assert_eq!(admit(turnout), Ok(()), "from 16 members on α is at least 9/16");
    assert_eq!(Floors::default().least_cohort(&config(), 20), 10);
    assert_eq!(Floors::default().least_cohort(&config(), 10), 8);
}

#[test]
fn batches_without_members_are_refused() {
    let nobody = FloorRefused::Turnout { expected_bps: 5000, n: 20, rostered: 0 };
    assert_eq!(admit(|_, config, _| config.batches = vec![9]), Err(nobody));
}

#[test]
fn a_part_of_the_roster_that_stays_away_does_not_dilute_the_corrupt() {
    // All 24 are called: c = 3, though only 8 come.
    let change = |floors: &mut Floors, config: &mut RoundConfig| {
        config.batches = vec![0, 1];
        floors.least_turnout_bps = 3000;
        floors.least_alpha_bps = 6300;
    };
    let refused = FloorRefused::Alpha { expected_bps: 6300, got_bps: 6250 };
    assert_eq!(admit_cohort(8, 20, change), Err(refused));
    assert_eq!(admit_cohort(9, 20, change), Ok(()));
}

#[test]
fn a_cohort_below_floor_or_configuration_is_refused() {
    assert_eq!(admit_cohort(7, 20, |_, _| ()), Err(FloorRefused::Members { expected: 8, got: 7 }));
    let configured = FloorRefused::Members { expected: 12, got: 11 };
    assert_eq!(admit_cohort(11, 20, |_, config| config.least_members = 12), Err(configured));
    let turnout = FloorRefused::Turnout { expected_bps: 5000, n: 9, rostered: 20 };
    assert_eq!(admit_cohort(9, 20, |_, _| ()), Err(turnout));
    assert_eq!(admit_cohort(21, 21, |_, _| ()), Err(FloorRefused::TooMany { expected: 20, got: 21 }));
    let bytes = FloorRefused::UploadBytes { most: 2628, got: 8008 };
    assert_eq!(admit_cohort(10, 64, |floors, _| floors.most_upload_bytes = 2628), Err(bytes));
}

#[test]
fn noise_is_asked_for_of_every_participant_if_the_file_says_so() {
    for mode in [PrivacyMode::None, PrivacyMode::Central] {
        let change = |floors: &mut Floors, config: &mut RoundConfig, _: &mut Past| {
            floors.private_mode = true;
            config.privacy.mode = mode;
        };
        assert_eq!(admit(change), Err(FloorRefused::NotPrivate { got: mode }));
    }
    assert_eq!(admit(|floors, _, _| floors.private_mode = true), Ok(()));
}

#[test]
fn a_spent_budget_refuses_and_so_does_a_number_that_is_none() {
    let with = |epsilon: f64, delta: f64, mode: PrivacyMode| {
        admit(move |floors, config, past| {
            (floors.most_epsilon, floors.most_delta) = (2.0, 1e-5);
            (past.epsilon, past.delta) = (epsilon, delta);
            config.privacy.mode = mode;
        })
    };
    assert_eq!(with(2.0, 1e-5, PrivacyMode::Distributed), Ok(()));
    let epsilon = FloorRefused::Epsilon { most: 2.0, got: 2.5 };
    assert_eq!(with(2.5, 1e-5, PrivacyMode::Distributed), Err(epsilon));
    let delta = FloorRefused::Delta { most: 1e-5, got: 1e-4 };
    assert_eq!(with(2.0, 1e-4, PrivacyMode::Distributed), Err(delta));
    assert!(matches!(with(f64::NAN, 0.0, PrivacyMode::Distributed), Err(FloorRefused::Epsilon { .. })));
    assert!(matches!(with(0.0, f64::NAN, PrivacyMode::Distributed), Err(FloorRefused::Delta { .. })));
    let unbounded = FloorRefused::Epsilon { most: 2.0, got: f64::INFINITY };
    assert_eq!(with(0.0, 0.0, PrivacyMode::None), Err(unbounded), "a sum without noise has no ε");
}

#[test]
fn only_named_strategies_and_trainers_are_run() {
    let named = || Some(BTreeSet::from(["ditto".to_owned()]));
    let strategy = FloorRefused::Strategy { got: "fed-avg".to_owned() };
    assert_eq!(admit(|floors, _, _| floors.strategies = named()), Err(strategy));
    let floors = Floors { trainers: named(), ..Floors::default() };
    assert_eq!(floors.admit_trainer("ditto"), Ok(()));
    assert_eq!(floors.admit_trainer("other"), Err(FloorRefused::Trainer { got: "other".to_owned() }));
    assert_eq!(Floors::default().admit_trainer("other"), Ok(()));
}

#[test]
fn rounds_only_go_forward_but_one_has_several_cohorts() {
    let with = |round, cohort| {
        admit(move |_, config, past| {
            (config.round, config.cohort) = (round, cohort);
            past.newest_round = Some((4, BTreeSet::from([0])));
        })
    };
    let seen = |round, cohort| Err(FloorRefused::RoundSeen { newest: 4, round, cohort });
    assert_eq!(with(3, 1), seen(3, 1));
    assert_eq!(with(4, 0), seen(4, 0));
    assert_eq!(with(4, 1), Ok(()));
    assert_eq!(with(5, 0), Ok(()));
}

#[test]
fn any_24_hours_hold_no_more_releases_than_the_file_says() {
    let with = |ages: &'static [u64]| {
        admit(move |floors, _, past| {
            floors.most_rounds_a_day = 2;
            past.releases = ages.iter().map(|age| UnixMillis(NOW - age)).collect();
        })
    };
    assert_eq!(with(&[1]), Ok(()));
    assert_eq!(with(&[DAY_MS, 1]), Ok(()), "a day old");
    let refused = with(&[DAY_MS - 1, 1]).unwrap_err();
    assert_eq!(refused, FloorRefused::RoundsADay { most: 2, got: 2 });
    assert!(refused.is_retryable());
    assert_eq!(with(&[0, 0]), Err(FloorRefused::RoundsADay { most: 2, got: 2 }));
}

#[test]
fn a_clock_that_ran_backwards_fails_closed() {
    let back = |now: u64| {
        admit(move |_, _, past| {
            past.now = UnixMillis(now);
            past.releases = vec![UnixMillis(NOW), UnixMillis(NOW - 5)];
        })
    };
    for now in [0, 1, NOW - 1] {
        assert_eq!(back(now), Err(FloorRefused::ClockRanBack { last: UnixMillis(NOW), now: UnixMillis(now) }));
    }
    assert_eq!(back(NOW), Ok(()));
    assert_eq!(back(u64::MAX), Ok(()), "a clock that runs ahead only forgets");
}
