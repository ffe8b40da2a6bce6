//! The table under "## Crate map" in ARCHITECTURE.md names every crate once, at its layer.

use super::finding::Finding;
use super::tree::Tree;
use std::collections::BTreeMap;

const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Crate map";

/// Compares the table with the workspace.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.text(PAGE) else {
        return vec![Finding::about(PAGE, "is missing", "write it, with a table of the crates under `## Crate map`")];
    };
    let mut rows: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for row in table(page) {
        rows.entry(row.name).or_default().push(row);
    }
    let known = tree.crates.iter().map(|c| (c.name.as_str(), c.layer));
    let mut findings: Vec<Finding> =
        known.flat_map(|(name, layer)| compare(name, layer, &rows.remove(name).unwrap_or_default())).collect();
    findings.extend(rows.values().flatten().map(|row| {
        Finding::at(PAGE, row.line, format!("`{}` is no crate of the workspace", row.name), "take the row out")
    }));
    findings
}

fn compare(name: &str, layer: Option<u64>, rows: &[Row]) -> Option<Finding> {
    let what = match rows {
        [] => return Some(Finding::about(PAGE, format!("the crate map leaves out {name}"), "add a row for it")),
        [row] if row.layer == layer => return None,
        [_] => format!("{name} stands at another layer than its Cargo.toml says"),
        _ => format!("{name} is named {} times in the crate map", rows.len()),
    };
    Some(Finding::at(PAGE, rows[rows.len() - 1].line, what, "keep one row, with the layer of Cargo.toml"))
}

/// One row of the table: `` | `name` | L2 | … | ``.
struct Row<'a> {
    name: &'a str,
    layer: Option<u64>,
    line: usize,
}

fn table(page: &str) -> impl Iterator<Item = Row<'_>> {
    let numbered = page.lines().enumerate().skip_while(|(_, line)| *line != HEADING).skip(1);
    numbered.take_while(|(_, line)| !line.starts_with("## ")).filter_map(|(at, line)| row(at + 1, line))
}

fn row(line: usize, text: &str) -> Option<Row<'_>> {
    let mut cells = text.strip_prefix('|')?.split('|').map(str::trim);
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    let layer = cells.next().and_then(|cell| cell.strip_prefix('L')).and_then(|number| number.parse().ok());
    Some(Row { name, layer, line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Crate;

    fn findings(page: &str) -> Vec<String> {
        let mut tree = Tree::of(&[(PAGE, page)]);
        let krate = |name: &str, layer| Crate { name: name.into(), layer: Some(layer), ..Crate::default() };
        tree.crates = vec![krate("a", 0), krate("b", 1)];
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_complete_map_is_fine() {
        let page = "# A\n| `x` | L9 |\n## Crate map\n| Crate | Layer |\n|---|---|\n| `a` | L0 |\n| `b` | L1 |\n## On\n| `y` |\n";
        assert!(findings(page).is_empty(), "{:?}", findings(page));
    }

    #[test]
    fn left_out_doubled_unknown_and_misplaced_rows_are_found() {
        for (rows, expected) in [
            ("| `a` | L0 |", "ARCHITECTURE.md: the crate map leaves out b"),
            ("| `a` | L0 |\n| `b` | L1 |\n| `b` | L1 |", "ARCHITECTURE.md:4: b is named 2 times"),
            ("| `a` | L0 |\n| `b` | L1 |\n| `c` | L1 |", "ARCHITECTURE.md:4: `c` is no crate"),
            ("| `a` | L0 |\n| `b` | L2 |", "ARCHITECTURE.md:3: b stands at another layer"),
        ] {
            let found = findings(&format!("## Crate map\n{rows}\n"));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{rows}: {found:?}");
        }
    }

    #[test]
    fn a_missing_page_is_found() {
        assert!(check(&Tree::of(&[]))[0].to_string().starts_with("ARCHITECTURE.md: is missing"));
    }
}
