//! The specification's table to the digit, the worked example, and every parameter just below its bound.

use proptest::prelude::*;

use super::*;

/// σ = 40, η = 20, everybody on the roster in the cohort.
fn demand(n: u16, corrupt_bps: u16, dropout_bps: u16) -> Demand {
    Demand { n, rostered: u32::from(n), corrupt_bps, dropout_bps, security_bits: 40, correctness_bits: 20 }
}

fn found(n: u16, corrupt_bps: u16, dropout_bps: u16) -> (u16, u16, u16) {
    let found = find(&demand(n, corrupt_bps, dropout_bps)).unwrap();
    (found.k, found.t, found.q)
}

#[test]
fn the_finder_gives_the_table_of_the_specification() {
    let sizes = [200, 500, 1_000, 4_000];
    let table = [
        (1_000, 1_000, [(66, 48, 111), (92, 66, 276), (106, 75, 551), (122, 86, 2_201)]),
        (2_000, 1_000, [(88, 68, 121), (128, 97, 301), (154, 116, 601), (186, 139, 2_401)]),
        (3_300, 1_000, [(116, 96, 134), (194, 155, 333), (242, 192, 666), (310, 244, 2_661)]),
        (1_000, 3_000, [(160, 100, 111), (320, 196, 276), (470, 286, 551), (728, 439, 2_201)]),
        (2_000, 3_000, [(192, 132, 121), (440, 291, 301), (746, 486, 601), (1_536, 987, 2_401)]),
    ];
    for (corrupt_bps, dropout_bps, row) in table {
        assert_eq!(sizes.map(|n| found(n, corrupt_bps, dropout_bps)), row, "{corrupt_bps} / {dropout_bps}");
    }
}

#[test]
fn small_cohorts_are_complete_and_lose_d_shares() {
    assert_eq!(found(8, 1_000, 1_000), (7, 7, 5));
    assert_eq!(found(100, 1_000, 1_000), (99, 89, 56));
    assert_eq!(found(128, 4_000, 2_000), (127, 102, 91));
}

#[test]
fn just_above_128_members_the_ring_is_sparse_where_little_is_declared_and_complete_where_much_is() {
    assert_eq!(found(129, 0, 0), (4, 4, 65));
    assert_eq!(found(129, 1_000, 1_000), (48, 36, 72));
    assert_eq!(found(129, 1_000, 3_000), (104, 66, 72));
    assert_eq!(found(129, 4_000, 2_000), (128, 103, 91));
}

#[test]
fn the_worked_example_has_the_probabilities_that_the_specification_states() {
    let bounds = Bounds::new(&demand(1_000, 2_000, 1_000));
    let close = |got: f64, stated: f64| assert!((got - stated).abs() < 0.05, "expected {stated}, got {got}");
    close(bounds.connection(140, 104), -31.0);
    close(bounds.connection(154, 116), -43.2);
    close(bounds.share_secrecy(154, 116), -194.7);
}

#[test]
fn more_than_votes_can_bear_is_refused_with_the_numbers() {
    let refused = find(&demand(100, 4_000, 3_500));
    assert_eq!(refused, Err(NoParameters::Quorum { n: 100, corrupt: 40, dropout: 35, quorum: 71, voters: 65 }));
    for (corrupt_bps, dropout_bps) in [(10_000, 0), (0, 10_000), (u16::MAX, 0), (0, u16::MAX)] {
        let refused = find(&demand(100, corrupt_bps, dropout_bps));
        assert!(matches!(refused, Err(NoParameters::Quorum { .. })), "{refused:?}");
    }
}

#[test]
fn more_than_a_graph_of_1_600_neighbours_can_bear_is_refused() {
    assert_eq!(found(1_601, 4_500, 2_500), (1_600, 1_200, 1_162), "the largest complete graph");
    let graph = |n, corrupt, dropout| Err(NoParameters::Graph { n, corrupt, dropout });
    assert_eq!(find(&demand(1_602, 4_500, 2_500)), graph(1_602, 721, 400));
    assert_eq!(find(&demand(2_000, 3_300, 3_000)), graph(2_000, 660, 600));
}

#[test]
fn nobody_and_a_single_honest_member_have_no_parameters() {
    assert!(find(&demand(0, 0, 0)).is_err());
    assert!(find(&demand(1, 0, 0)).is_err());
    assert_eq!(found(2, 0, 0), (1, 1, 2));
    let one_of_ten_is_honest = demand(10, 9_000, 0);
    assert!(matches!(find(&one_of_ten_is_honest), Err(NoParameters::Graph { .. })));
}

#[test]
fn corrupt_members_are_counted_from_the_roster_and_dropouts_from_the_cohort() {
    let half_stay_away = Demand { rostered: 2_001, ..demand(1_000, 1_000, 1_999) };
    assert_eq!((half_stay_away.corrupt(), half_stay_away.dropout()), (201, 199));
    assert_eq!(half_stay_away.honest_at_least(), 1_000 - 199 - 201);
    assert!(find(&half_stay_away).unwrap().k > find(&Demand { rostered: 1_000, ..half_stay_away }).unwrap().k);
}

#[test]
fn alpha_is_the_least_over_the_sizes_that_may_come() {
    assert!((alpha(&demand(1_000, 2_000, 1_000)) - 0.7).abs() < 1e-12);
    let ten_rostered = demand(10, 1_000, 1_000);
    assert!((alpha(&Demand { n: 9, ..ten_rostered }) - 8.0 / 9.0).abs() < 1e-12);
    assert!((least_alpha(&ten_rostered, 9..=10) - 0.8).abs() < 1e-12, "the tenth member brings a dropout");
    assert_eq!(alpha(&demand(0, 0, 0)), 0.0);
    assert_eq!(alpha(&demand(10, 10_000, 5_000)), 0.0);
}

/// The refusal of `change` applied to what the finder finds.
fn refused(demand: &Demand, change: impl Fn(&mut Parameters)) -> WeakParameters {
    let mut announced = find(demand).unwrap();
    change(&mut announced);
    check(demand, &announced).unwrap_err()
}

#[test]
fn each_parameter_below_its_bound_is_refused() {
    let ring = demand(1_000, 2_000, 1_000);
    assert_eq!(refused(&ring, |p| p.q = 600), WeakParameters::Quorum { least: 601, most: 900, got: 600 });
    assert_eq!(refused(&ring, |p| p.q = 901), WeakParameters::Quorum { least: 601, most: 900, got: 901 });
    assert_eq!(refused(&ring, |p| p.corrupt = 199), WeakParameters::Corrupt { expected: 200, got: 199 });
    assert_eq!(refused(&ring, |p| p.dropout = 101), WeakParameters::Dropout { expected: 100, got: 101 });
    assert_eq!(refused(&ring, |p| p.t = 155), WeakParameters::Threshold { above: 77, most: 154, got: 155 });
    assert_eq!(refused(&ring, |p| p.t = 77), WeakParameters::Threshold { above: 77, most: 154, got: 77 });
    let one_share_less = refused(&ring, |p| p.t = 115);
    assert!(
        matches!(one_share_less, WeakParameters::Connection { k: 154, t: 115, got, .. } if got > -38.7 && got < -38.6)
    );
    let k140 = refused(&ring, |p| (p.k, p.t) = (140, 104));
    assert!(matches!(k140, WeakParameters::Connection { expected, .. } if expected == -41.0), "{k140}");
    for k in [0, 2, 153, 1_000, 1_602, u16::MAX] {
        assert_eq!(refused(&ring, |p| (p.k, p.t) = (k, k)), WeakParameters::Degree { n: 1_000, got: k });
    }
    let complete = demand(100, 1_000, 1_000);
    assert_eq!(refused(&complete, |p| p.t = 10), WeakParameters::Threshold { above: 10, most: 99, got: 10 });
    assert_eq!(refused(&complete, |p| p.k = 98), WeakParameters::Degree { n: 100, got: 98 });
    assert_eq!(refused(&complete, |p| p.q = 55), WeakParameters::Quorum { least: 56, most: 90, got: 55 });
}

#[test]
fn a_single_honest_member_of_a_ring_is_told_that_its_shares_are_open() {
    let demand = Demand { rostered: 1_290, ..demand(130, 1_000, 0) };
    let announced = Parameters { k: 128, t: 128, q: 130, corrupt: 129, dropout: 0 };
    assert!(matches!(check(&demand, &announced), Err(WeakParameters::ShareSecrecy { .. })));
}

#[test]
fn a_higher_threshold_or_quorum_than_the_least_is_accepted() {
    let demand = demand(1_000, 2_000, 1_000);
    let least = find(&demand).unwrap();
    assert_eq!(check(&demand, &Parameters { t: 150, q: 900, ..least }), Ok(()));
    assert_eq!(check(&demand, &Parameters { k: 999, t: 201, ..least }), Ok(()), "complete, more than c shares");
}

#[test]
fn a_participant_that_wants_more_bits_refuses_what_fewer_gave() {
    let forty = demand(500, 2_000, 1_000);
    let announced = find(&forty).unwrap();
    assert!(check(&Demand { security_bits: 80, ..forty }, &announced).is_err());
    assert_eq!(check(&Demand { security_bits: 30, ..forty }, &announced), Ok(()));
}

fn any_demand() -> impl Strategy<Value = Demand> {
    (1_u16..500, 0_u32..300, 0_u16..4_500, 0_u16..4_000, 20_u8..80, 5_u8..40).prop_map(
        |(n, absent, corrupt_bps, dropout_bps, security_bits, correctness_bits)| {
            let rostered = u32::from(n) + absent;
            Demand { n, rostered, corrupt_bps, dropout_bps, security_bits, correctness_bits }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_participant_accepts_what_the_finder_finds(demand in any_demand()) {
        if let Ok(found) = find(&demand) {
            prop_assert_eq!(check(&demand, &found), Ok(()));
            prop_assert!(found.t <= found.k && found.q <= demand.least_survivors());
            prop_assert!(demand.honest_at_least() > demand.dropout(), "(Q) alone leaves more honest than dropouts");
        }
    }

    #[test]
    fn no_sparser_ring_and_no_higher_threshold_would_do(demand in any_demand()) {
        let Ok(found) = find(&demand) else { return Ok(()) };
        prop_assume!(found.k < demand.n - 1);
        let bounds = Bounds::new(&demand);
        let correct = |k, t| bounds.correctness(k, t) <= -f64::from(demand.correctness_bits);
        prop_assert!(correct(found.k, found.t));
        prop_assert!(found.t == found.k || !correct(found.k, found.t + 1));
        let sparser = found.k - 2;
        for t in sparser / 2 + 1..=sparser {
            let announced = Parameters { k: sparser, t, ..found };
            prop_assert!(!correct(sparser, t) || sparser < 4 || check(&demand, &announced).is_err()
                || bounds.connection(sparser, t) > -bounds.security_bits() - FINDER_MARGIN_BITS);
        }
    }

    #[test]
    fn fewer_corrupt_members_than_declared_make_no_bound_worse(demand in any_demand()) {
        let Ok(found) = find(&demand) else { return Ok(()) };
        prop_assume!(found.k < demand.n - 1);
        let of = |corrupt: u32| Bounds::new(&Demand { corrupt_bps: 10_000, rostered: corrupt, ..demand });
        for corrupt in 0..u32::from(found.corrupt) {
            let (fewer, more) = (of(corrupt), of(corrupt + 1));
            prop_assert!(fewer.connection(found.k, found.t) <= more.connection(found.k, found.t));
            prop_assert!(fewer.share_secrecy(found.k, found.t) <= more.share_secrecy(found.k, found.t));
        }
    }

    #[test]
    fn t_corrupt_neighbours_are_less_likely_than_a_cut(demand in any_demand()) {
        let Ok(found) = find(&demand) else { return Ok(()) };
        prop_assume!(found.k < demand.n - 1);
        let bounds = Bounds::new(&demand);
        prop_assert!(bounds.share_secrecy(found.k, found.t) <= bounds.connection(found.k, found.t));
    }
}
