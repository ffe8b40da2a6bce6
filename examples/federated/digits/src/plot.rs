//! Curves as text: accuracy upwards, rounds to the right, a letter for each run.

use crate::benchmark::Curve;
use crate::strategies::Run;

const ROWS: usize = 20;
const COLUMNS: usize = 72;
/// Where more than one curve passes.
const SEVERAL: char = '*';

/// The accuracy of each curve after each round. Round 0, when all are alike, is left out.
#[must_use]
pub fn accuracy(curves: &[Curve], runs: &[Run]) -> String {
    let rounds = curves.iter().map(|curve| curve.points.len()).max().unwrap_or(1).max(2) - 1;
    let mut grid = vec![[' '; COLUMNS]; ROWS + 1];
    for (curve, run) in curves.iter().zip(runs) {
        for column in 0..COLUMNS {
            let at = 1 + column * (rounds - 1) / (COLUMNS - 1);
            let Some(point) = curve.points.get(at) else { continue };
            let row = ROWS - (point.accuracy * ROWS as f64).round() as usize;
            let cell = &mut grid[row][column];
            *cell = if *cell == ' ' || *cell == run.letter { run.letter } else { SEVERAL };
        }
    }
    let mut out = String::from("accuracy on held-out digits\n");
    for (row, cells) in grid.iter().enumerate() {
        let percent = 100 - 100 * row / ROWS;
        let line: String = cells.iter().collect();
        out += format!("{percent:>4} % |{line}").trim_end();
        out.push('\n');
    }
    out += &format!("       +{}\n        1{:>width$} rounds\n", "-".repeat(COLUMNS), rounds, width = COLUMNS - 1);
    out
}
