//! Credit as people read it.

use neuro_protocol::control::{TeamTotal, WorkerCredit};

use crate::output::Output;

/// Digits of a node id where there is no name.
const SHORT_ID: usize = 8;

/// A table of workers, best first.
pub fn workers(output: Output, lines: &[WorkerCredit]) -> String {
    let rows = lines.iter().map(|line| {
        vec![
            line.place.to_string(),
            name(line),
            line.team.clone().unwrap_or_default(),
            units(line.total_micro_units),
            units(line.recent_micro_units_per_day),
            line.badges.join(", "),
        ]
    });
    output.table(&["place", "worker", "team", "credit", "a day", "badges"], &rows.collect::<Vec<_>>())
}

/// A table of teams, best first.
pub fn teams(output: Output, lines: &[TeamTotal]) -> String {
    let rows =
        lines.iter().map(|line| vec![line.name.clone(), line.members.to_string(), units(line.total_micro_units)]);
    output.table(&["team", "members", "credit"], &rows.collect::<Vec<_>>())
}

/// The name that its owner gave a worker, or the beginning of its id.
pub fn name(line: &WorkerCredit) -> String {
    if line.name.is_empty() { line.id.chars().take(SHORT_ID).collect() } else { line.name.clone() }
}

/// Micro-units as units, with as many decimals as say something.
pub fn units(micro_units: u64) -> String {
    let units = micro_units as f64 / 1e6;
    match micro_units {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{units:.6}"),
        1_000_000..1_000_000_000 => format!("{units:.2}"),
        _ => format!("{units:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_has_as_many_decimals_as_say_something() {
        assert_eq!(
            [0, 25, 1_500_000, 12_345_000_000].map(units),
            ["0", "0.000025", "1.50", "12345"].map(str::to_owned)
        );
    }

    #[test]
    fn a_line_shows_place_name_and_badges() {
        let output = Output { json: false, color: false, terminal: false };
        let line = WorkerCredit {
            id: "ab".repeat(32),
            place: 1,
            team: Some("blue".to_owned()),
            total_micro_units: 12_000_000,
            recent_micro_units_per_day: 3_000_000,
            badges: vec!["top 1%".to_owned(), "10".to_owned()],
            ..WorkerCredit::default()
        };
        let expected =
            "  place  worker    team  credit  a day  badges\n      1  abababab  blue   12.00   3.00  top 1%, 10";
        assert_eq!(workers(output, &[line]), expected);
        let team = TeamTotal { name: "blue".to_owned(), members: 1, total_micro_units: 12_000_000 };
        assert_eq!(teams(output, &[team]), "  team  members  credit\n  blue        1   12.00");
    }
}
