//! Results on stdout, everything else on stderr, colours only where they are wanted.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;

/// How a command speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// One JSON object instead of text.
    pub json: bool,
    /// Whether stdout shows colours.
    pub color: bool,
    /// Whether stdout is a terminal.
    pub terminal: bool,
}

impl Output {
    /// Reads the environment: `NO_COLOR` (not empty) or `TERM=dumb` turn colours off, `CLICOLOR_FORCE` on; without
    /// either, a terminal has them.
    #[must_use]
    pub fn detect(json: bool, no_color: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let forced = set("CLICOLOR_FORCE");
        let refused = no_color || set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { json, color: !json && !refused && (terminal || forced), terminal }
    }

    /// Prints a line of result.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        Ok(writeln!(io::stdout(), "{}", text.as_ref())?)
    }

    /// Prints text without a line end, at once.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Prints one JSON object on a line.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn object(self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(serde_json::to_string(value)?)
    }

    /// `text` in the style `style`, where colours are on.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
    }

    /// A table with right-aligned numbers, plain enough to read without colours.
    #[must_use]
    pub fn table(self, header: &[&str], rows: &[Vec<String>]) -> String {
        let columns = header.len();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([header[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric = |column: usize| {
            rows.iter().all(|row| {
                row.get(column).is_none_or(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
            })
        };
        let line = |cells: Vec<&str>| {
            let padded = cells.iter().enumerate().map(|(column, cell)| {
                let gap = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                if numeric(column) { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
            });
            format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        let mut lines = vec![self.paint(Style::Faint, &line(header.to_vec()))];
        lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
        lines.join("\n")
    }
}

/// What a colour means: nothing is said by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// An answer, a heading.
    Strong,
    /// Beside the point.
    Faint,
    /// A path, an address, a command to copy.
    Copy,
    /// It went wrong.
    Error,
    /// It went well.
    Good,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Copy => "36",
            Self::Error => "31",
            Self::Good => "32",
        }
    }
}

/// Bytes as people read them: `6.7 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Microseconds as people read them: `850 µs`, `12.3 ms`, `4.56 s`.
#[must_use]
pub fn microseconds(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output { json: false, color: false, terminal: false };

    #[test]
    fn a_table_aligns_names_left_and_numbers_right() {
        let rows = vec![vec!["worker-1".into(), "7".into()], vec!["w".into(), "1024".into()]];
        assert_eq!(PLAIN.table(&["worker", "tasks"], &rows), "  worker    tasks\n  worker-1      7\n  w          1024");
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(6_972_352), "6.6 MiB");
        assert_eq!(microseconds(850), "850 µs");
        assert_eq!(microseconds(12_340), "12.3 ms");
        assert_eq!(microseconds(4_560_000), "4.56 s");
    }

    #[test]
    fn colours_are_left_out_when_off() {
        assert_eq!(PLAIN.paint(Style::Error, "no"), "no");
        assert_eq!(Output { color: true, ..PLAIN }.paint(Style::Error, "no"), "\x1b[31mno\x1b[0m");
    }
}
