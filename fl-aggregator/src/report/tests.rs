//! What people read.

use super::*;
use neuro_privacy::Spent;

/// A training round and an evaluation after it.
pub(crate) fn history() -> Vec<RoundRecord> {
    let cohort = CohortRecord {
        cohort: 0,
        name: "model".into(),
        members: 10,
        survivors: 9,
        weight: 900.0,
        update_norm: 0.25,
        failure: None,
    };
    let train = RoundRecord {
        round: 1,
        kind: RoundKind::Train,
        began_unix_ms: 1_700_000_000_000,
        took_ms: 1500,
        strategy: "fed_avg".into(),
        cohorts: vec![cohort.clone()],
        metrics: BTreeMap::new(),
        spent: Some(Spent { epsilon: 1.25, delta: 1e-5, releases: 1 }),
        succeeded: true,
    };
    let metrics = BTreeMap::from([("loss".to_owned(), 0.5), ("accuracy".to_owned(), 0.875)]);
    let evaluate = RoundRecord { round: 2, kind: RoundKind::Evaluate, metrics, ..train.clone() };
    let lost = CohortRecord { failure: Some("TooFewJoined: expected 8, got 3".into()), ..cohort };
    let failed = RoundRecord { round: 3, cohorts: vec![lost], spent: None, succeeded: false, ..train.clone() };
    vec![train, evaluate, failed]
}

#[test]
fn a_round_is_explained() {
    let explained = explain(&history()[0]);
    assert_eq!(
        explained,
        "Round 1, training with fed_avg, moved the model.\nIt took 1.5 s.\n  model: 9 of 10 took part to the end, \
         weight 900, mean update of norm 0.2500\nSo far ε = 1.250 at δ = 1e-5 for the participant who took part most, \
         1 releases.\n"
    );
    let failed = explain(&history()[2]);
    assert!(failed.contains("came to nothing") && failed.contains("expected 8, got 3") && failed.contains("No noise"));
}

#[test]
fn curves_have_a_point_for_each_round_that_has_the_number() {
    let curves = curves(&history());
    let named = |name: &str| curves.iter().find(|curve| curve.name == name).unwrap().points.clone();
    assert_eq!(named("loss"), [(2, 0.5)]);
    assert_eq!(named("round/update_norm"), [(1, 0.25)]);
    assert_eq!(named("round/survivors"), [(1, 9.0), (2, 9.0), (3, 0.0)]);
    assert_eq!(named("privacy/epsilon"), [(1, 1.25), (2, 1.25)]);
}

#[test]
fn a_plot_shows_both_ends_of_a_curve() {
    let curve = |name: &str, points: &[(u64, f64)]| Curve { name: name.into(), points: points.to_vec() };
    let plot = plot(&[curve("loss", &[(1, 2.0), (2, 1.0), (3, 0.0)]), curve("other", &[(2, 0.0)])], 17, 5);
    let expected = "\
2.0000 │●
       │
       │        ●
       │
0.0000 │        ○       ●
       └─────────────────
        1               3
        ● loss (last 0.0000)
        ○ other (last 0.0000)
";
    assert_eq!(plot, expected);
}

#[test]
fn odd_numbers_do_not_break_a_plot() {
    let curve = |points: &[(u64, f64)]| [Curve { name: "x".into(), points: points.to_vec() }];
    assert_eq!(plot(&curve(&[(1, f64::NAN)]), 20, 5), "nothing to plot yet\n");
    assert_eq!(plot(&[], 20, 5), "nothing to plot yet\n");
    for points in [&[(1, 1.0)][..], &[(1, f64::MAX), (u64::MAX, f64::MIN)], &[(5, 0.0), (5, 0.0)]] {
        assert!(plot(&curve(points), 0, 0).contains('●'));
    }
}
