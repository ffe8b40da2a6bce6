//! Curves in a grid of characters, for terminals.

use super::Curve;
use std::fmt::Write;

/// One mark for each curve, in their order; beyond that they repeat.
const MARKS: [char; 6] = ['●', '○', '■', '□', '▲', '△'];
/// The smallest plot that still shows a curve.
const LEAST: (usize, usize) = (16, 4);

/// Draws `curves` into `width` × `height` characters of grid, with the range of values at the left, of rounds below,
/// and a legend. Values that are not finite are left out.
#[must_use]
pub fn plot(curves: &[Curve], width: usize, height: usize) -> String {
    let (width, height) = (width.max(LEAST.0), height.max(LEAST.1));
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(_, value)| value.is_finite());
    let Some(first) = points().next() else { return "nothing to plot yet\n".to_owned() };
    let fold = |(least, most): (f64, f64), value: f64| (least.min(value), most.max(value));
    let values = points().fold((first.1, first.1), |range, point| fold(range, point.1));
    let rounds = points().fold((first.0, first.0), |(least, most), point| (least.min(point.0), most.max(point.0)));

    let mut grid = vec![vec![' '; width]; height];
    for (index, curve) in curves.iter().enumerate() {
        for (round, value) in curve.points.iter().filter(|(_, value)| value.is_finite()) {
            let column = place(rounds.0 as f64, rounds.1 as f64, *round as f64, width);
            let row = height - 1 - place(values.0, values.1, *value, height);
            grid[row][column] = MARKS[index % MARKS.len()];
        }
    }
    drawn(&grid, values, rounds, curves)
}

/// Where `value` lies among `cells` cells from `least` to `most`.
fn place(least: f64, most: f64, value: f64, cells: usize) -> usize {
    let span = most - least;
    // Halved first: the span of finite numbers may not be finite.
    let part = if span.is_finite() {
        (value - least) / span
    } else {
        (value / 2.0 - least / 2.0) / (most / 2.0 - least / 2.0)
    };
    if part.is_finite() { (part * (cells - 1) as f64).round() as usize } else { 0 }
}

fn drawn(grid: &[Vec<char>], values: (f64, f64), rounds: (u64, u64), curves: &[Curve]) -> String {
    let mut text = String::new();
    let labels = [format!("{:.4}", values.1), format!("{:.4}", values.0)];
    let margin = labels.iter().map(String::len).max().unwrap_or(0);
    for (row, cells) in grid.iter().enumerate() {
        let label = match row {
            0 => labels[0].as_str(),
            row if row + 1 == grid.len() => labels[1].as_str(),
            _ => "",
        };
        let line: String = cells.iter().collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "{label:>margin$} │{}", line.trim_end());
    }
    let width = grid.first().map_or(0, Vec::len);
    let (from, to) = (rounds.0.to_string(), rounds.1.to_string());
    let between = width.saturating_sub(from.len());
    let _ = writeln!(text, "{:margin$} └{}", "", "─".repeat(width));
    let _ = writeln!(text, "{:margin$}  {from}{to:>between$}", "");
    for (index, curve) in curves.iter().enumerate() {
        let last = curve.points.last().map_or(f64::NAN, |(_, value)| *value);
        let _ = writeln!(text, "{:margin$}  {} {} (last {last:.4})", "", MARKS[index % MARKS.len()], curve.name);
    }
    text
}
