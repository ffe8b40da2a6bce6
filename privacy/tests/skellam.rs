//! The Rényi bound for Skellam noise against the divergence itself, Σ_k P(k)^α Q(k)^(1−α) summed term by term.
//!
//! `golden/skellam.json`, made by `tests/tools/dp_accounting_tables.py`, holds both and the bound's excess over a grid; the
//! divergences are summed here once more.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use neuro_privacy::rdp::skellam;
use neuro_privacy::{BETA, IntegerBounds, integer_bounds};
use serde::Deserialize;

#[derive(Deserialize, Debug)]
struct Row {
    variance: f64,
    shift: u32,
    order: u32,
    direct: f64,
    bound: f64,
    excess: f64,
}

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

fn table() -> Vec<Row> {
    let table: Table = serde_json::from_str(include_str!("golden/skellam.json")).expect("the kept table is JSON");
    table.rows
}

fn bounds(shift: u32) -> IntegerBounds {
    let shift = f64::from(shift);
    IntegerBounds { l1: shift, l2: shift, linf: shift }
}

/// ln P(k) for k from 0 to `reach`: P(k) = e^(−μ) I_k(μ), by Gauss's continued fraction downwards.
fn log_probabilities(variance: f64, reach: usize) -> Vec<f64> {
    let mut log_ratios = vec![0.0; reach];
    let mut following = 0.0;
    for k in (0..reach).rev() {
        following = 1.0 / (2.0 * (k + 1) as f64 / variance + following);
        log_ratios[k] = following.ln();
    }
    let mut side = vec![0.0];
    for (k, ratio) in log_ratios.iter().enumerate() {
        side.push(side[k] + ratio);
    }
    let total: f64 = side.iter().map(|log| log.exp()).sum::<f64>() * 2.0 - 1.0;
    side.iter().map(|log| log - total.ln()).collect()
}

/// D_α(P‖Q), Q being P moved by `shift`.
fn divergence(variance: f64, shift: u32, order: u32) -> f64 {
    let (alpha, shift) = (f64::from(order), i64::from(shift));
    let reach = (20.0 * variance.sqrt()) as i64 + 4 * i64::from(order) * shift + 200;
    let side = log_probabilities(variance, reach as usize);
    let log = |k: i64| side[k.unsigned_abs() as usize];
    let terms: Vec<f64> = (shift - reach..=reach).map(|k| alpha * log(k) + (1.0 - alpha) * log(k - shift)).collect();
    let greatest = terms.iter().fold(f64::NEG_INFINITY, |most, &term| most.max(term));
    (greatest + terms.iter().map(|term| (term - greatest).exp()).sum::<f64>().ln()) / (alpha - 1.0)
}

#[test]
fn the_bound_is_never_below_the_divergence() {
    for row in table() {
        let direct = divergence(row.variance, row.shift, row.order);
        let bound = skellam(row.order, row.variance, &bounds(row.shift));
        assert!(bound >= direct, "{row:?}: {direct}");
    }
}

#[test]
fn the_kept_table_holds_divergence_bound_and_excess() {
    let rows = table();
    assert_eq!(rows.len(), 75);
    for row in rows {
        let direct = divergence(row.variance, row.shift, row.order);
        let bound = skellam(row.order, row.variance, &bounds(row.shift));
        assert!((direct / row.direct - 1.0).abs() < 1e-8, "{row:?}: {direct}");
        assert!((bound / row.bound - 1.0).abs() < 1e-12, "{row:?}: {bound}");
        assert!((row.bound - row.direct - row.excess).abs() < 1e-12, "{row:?}");
    }
}

#[test]
fn the_excess_fades_as_noise_grows() {
    for row in table().iter().filter(|row| row.variance == 1000.0 && row.order <= 32) {
        assert!(row.excess < 0.05 * row.direct, "{row:?}");
    }
}

#[test]
fn divergences_of_entries_add_up_below_the_bound_of_the_vector() {
    // The noise is independent, so a vector's divergence is the sum over its entries.
    for v in [vec![1_u32; 40], vec![8, 1, 1, 3], vec![5, 5], vec![20, 1]] {
        let l1: f64 = v.iter().map(|&x| f64::from(x)).sum();
        let l2 = v.iter().map(|&x| f64::from(x * x)).sum::<f64>().sqrt();
        for variance in [1.0, 30.0, 400.0] {
            for order in [2, 5, 40] {
                let direct: f64 = v.iter().map(|&x| divergence(variance, x, order)).sum();
                let bound = skellam(order, variance, &IntegerBounds { l1, l2, linf: l2 });
                assert!(bound >= direct, "{v:?} {variance} {order}: {bound} {direct}");
            }
        }
    }
}

#[test]
fn rounding_a_million_entries_costs_little_where_units_are_fine() {
    // C = 2^16 units over 2^20 entries: Δ₂ is 1 % above C.
    let fine = integer_bounds(65_536.0, 1 << 20, BETA);
    assert!(fine.l2 / 65_536.0 < 1.01);
}
