//! ε as Google's dp_accounting computes it: `golden/rdp.json` and `golden/pld.json`, made by
//! `tests/tools/dp_accounting_tables.py`. Ours agrees to 10^−3, relative where ε is above 100.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use neuro_privacy::rdp::ORDERS;
use neuro_privacy::{Accountant, Event, PldAccountant, RdpAccountant};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-3;

/// Above it dp_accounting 0.6.0 takes e^(−loss) for 0 and returns too large an ε. Rows of discrete noise have ε without
/// that, and without any grid, beside it.
const UNDERFLOW: f64 = 700.0;

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    orders: Vec<u32>,
    deltas: Vec<f64>,
    rows: Vec<Row>,
}

/// Gaussian noise has a multiplier, discrete noise σ and a sensitivity.
#[derive(Deserialize, Debug)]
struct Row {
    noise_multiplier: Option<f64>,
    sigma: Option<f64>,
    sensitivity: Option<u32>,
    releases: u32,
    epsilons: Vec<f64>,
    #[serde(default)]
    without_grid: Vec<f64>,
}

impl Row {
    fn event(&self) -> Event {
        match (self.noise_multiplier, self.sigma, self.sensitivity) {
            (Some(noise_multiplier), ..) => Event::Gaussian { noise_multiplier },
            (None, Some(sigma), Some(sensitivity)) => {
                Event::DiscreteGaussianScalar { sigma2: sigma * sigma, sensitivity }
            }
            _ => panic!("a row without noise: {self:?}"),
        }
    }
}

/// Compares all rows; all that differ are named.
fn check(table: &str, new: fn() -> Box<dyn Accountant>) -> Table {
    let table: Table = serde_json::from_str(table).unwrap();
    let mut wrong = Vec::new();
    for row in &table.rows {
        let mut accountant = new();
        accountant.compose(&row.event(), row.releases).unwrap();
        let google = row.epsilons.iter().copied().map(|epsilon| (epsilon, epsilon > UNDERFLOW));
        let ours = row.without_grid.iter().copied().map(|epsilon| (epsilon, false));
        for (&delta, (expected, at_most)) in table.deltas.iter().cycle().zip(google.chain(ours)) {
            let got = accountant.epsilon(delta).unwrap();
            let tolerance = TOLERANCE * (expected / 100.0).max(1.0);
            if got > expected + tolerance || (got < expected - tolerance && !at_most) {
                wrong.push(format!("{row:?} at {delta}: expected {expected}, got {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(table.rows.len(), 36);
    table
}

#[test]
fn renyi_epsilons_are_those_of_dp_accounting() {
    let table = check(include_str!("golden/rdp.json"), || Box::new(RdpAccountant::new()));
    assert_eq!(table.orders, ORDERS);
}

#[test]
fn privacy_loss_epsilons_are_those_of_dp_accounting() {
    check(include_str!("golden/pld.json"), || Box::new(PldAccountant::new()));
}
