//! Curves as CSV and JSON.

use crate::checkpoint::RoundRecord;
use crate::report::values;
use std::collections::BTreeSet;
use std::fmt::Write;

/// One row for each round, one column for each name, empty where a round has no such number. RFC 4180 with `\n`.
#[must_use]
pub fn csv(history: &[RoundRecord]) -> String {
    let names: BTreeSet<String> = history.iter().flat_map(|record| values(record).into_keys()).collect();
    let mut text = String::from("round,kind,succeeded");
    names.iter().for_each(|name| text.push_str(&format!(",{}", quoted(name))));
    text.push('\n');
    for record in history {
        let kind = format!("{:?}", record.kind).to_lowercase();
        // Writing to a String does not fail.
        let _ = write!(text, "{},{kind},{}", record.round, record.succeeded);
        let held = values(record);
        for name in &names {
            let value = held.get(name).map(f64::to_string).unwrap_or_default();
            let _ = write!(text, ",{value}");
        }
        text.push('\n');
    }
    text
}

/// A field with commas, quotes or line breaks is quoted.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The records as they are kept, in one array.
#[must_use]
pub fn json(history: &[RoundRecord]) -> String {
    // Numbers, flags and texts: there is nothing that JSON cannot hold.
    serde_json::to_string_pretty(history).unwrap_or_default()
}
