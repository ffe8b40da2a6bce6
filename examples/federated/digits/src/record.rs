//! What is kept of the benchmark: `curves.csv`, `curves.json`, `curves.txt`.

use crate::benchmark::{ALPHA, Curve, PARTICIPANTS};
use crate::plot;
use crate::strategies::Run;
use serde::Serialize;

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

    /// The plot and a table of how each run ended.
    #[must_use]
    pub fn text(&self, runs: &[Run]) -> String {
        let mut out = plot::accuracy(&self.curves, runs);
        out += "\n   run               rounds  loss   accuracy  epsilon  bytes up\n";
        for (curve, run) in self.curves.iter().zip(runs) {
            let Some(last) = curve.points.last() else { continue };
            let epsilon = last.epsilon.map_or_else(|| "-".to_owned(), |epsilon| format!("{epsilon:.2}"));
            let (name, letter, percent) = (&curve.name, run.letter, 100.0 * last.accuracy);
            let (round, loss, bytes) = (last.round, last.loss, curve.payload_bytes);
            out += &format!(" {letter} {name:<16}  {round:>6}  {loss:.3}  {percent:>6.1} %  {epsilon:>7}  {bytes:>8}\n");
        }
        out
    }
}

/// The rows of one run, as the CSV file has them.
pub fn rows(curve: &Curve) -> impl Iterator<Item = String> + '_ {
    curve.points.iter().map(|point| {
        let epsilon = point.epsilon.map(|epsilon| epsilon.to_string()).unwrap_or_default();
        format!("{},{},{},{},{epsilon}\n", curve.name, point.round, point.loss, point.accuracy)
    })
}
