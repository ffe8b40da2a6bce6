//! What is kept of the benchmark: `curves.csv`, `curves.json`, `curves.txt`.

use crate::benchmark::{ALPHA, Curve, PARTICIPANTS, Point};
use neuro_fl_aggregator::report;
use serde::Serialize;

/// The runs in the plot, which has six marks; all are in the table.
const PLOTTED: [&str; 6] = ["fed_avg", "fed_prox", "fed_adam", "fed_yogi", "scaffold", "fed_avg_private"];
const PLOT_WIDTH: usize = 80;
const PLOT_HEIGHT: usize = 24;

/// Everything that was run, and with what.
#[derive(Debug, Serialize)]
pub struct Record {
    seed: u64,
    participants: u16,
    dirichlet_alpha: f64,
    lost_in_each_round: &'static str,
    curves: Vec<Curve>,
}

impl Record {
    /// The record of `curves`, all run with `seed`.
    #[must_use]
    pub const fn new(seed: u64, curves: Vec<Curve>) -> Self {
        let lost_in_each_round = "5 after masking";
        Self { seed, participants: PARTICIPANTS, dirichlet_alpha: ALPHA, lost_in_each_round, curves }
    }

    /// The JSON file.
    ///
    /// # Errors
    /// None: all numbers are finite.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The CSV file: a line for each run and round.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::from("strategy,round,loss,accuracy,epsilon\n");
        self.curves.iter().flat_map(rows).for_each(|row| out += &row);
        out
    }

    /// Accuracy as a plot, and a table of how each run went.
    #[must_use]
    pub fn text(&self) -> String {
        let drawn = self.curves.iter().filter(|curve| PLOTTED.contains(&curve.name.as_str()));
        let lines: Vec<report::Curve> = drawn.map(accuracy).collect();
        let mut out = String::from("Accuracy on held-out digits after each round\n\n");
        out += &report::plot(&lines, PLOT_WIDTH, PLOT_HEIGHT);
        out += "\n  run              round of 80 %  of 90 %  last loss  accuracy  epsilon  bytes up\n";
        self.curves.iter().for_each(|curve| out += &table_row(curve));
        out
    }
}

fn accuracy(curve: &Curve) -> report::Curve {
    let points = curve.points.iter().map(|point| (u64::from(point.round), point.accuracy)).collect();
    report::Curve { name: curve.name.clone(), points }
}

fn table_row(curve: &Curve) -> String {
    let Some(last) = curve.points.last() else { return String::new() };
    let first = |least: f64| {
        let reached = curve.points.iter().find(|point| point.accuracy >= least);
        reached.map_or_else(|| "-".to_owned(), |Point { round, .. }| round.to_string())
    };
    let epsilon = last.epsilon.map_or_else(|| "-".to_owned(), |epsilon| format!("{epsilon:.2}"));
    let (name, percent, bytes) = (&curve.name, 100.0 * last.accuracy, curve.payload_bytes);
    let (early, late, loss) = (first(0.8), first(0.9), last.loss);
    format!("  {name:<16} {early:>13}  {late:>7}  {loss:>9.3}  {percent:>6.1} %  {epsilon:>7}  {bytes:>8}\n")
}

/// The rows of one run, as the CSV file has them.
pub fn rows(curve: &Curve) -> impl Iterator<Item = String> + '_ {
    curve.points.iter().map(|point| {
        let epsilon = point.epsilon.map(|epsilon| epsilon.to_string()).unwrap_or_default();
        format!("{},{},{},{},{epsilon}\n", curve.name, point.round, point.loss, point.accuracy)
    })
}
