//! No white space at the end of a line, and a line break at the end of a file.

use super::finding::Finding;
use super::tree::Tree;

/// Files that people write. Snapshots and model files keep every byte.
const WRITTEN_BY_HAND: &[&str] = &["rs", "toml", "md", "py", "proto", "sh"];

/// Looks at text that people write.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let by_hand = tree.files.iter().filter(|(path, _)| is_by_hand(path));
    by_hand.flat_map(|(path, file)| trailing(path, &file.text).chain(unended(path, &file.text))).collect()
}

fn is_by_hand(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, kind)| WRITTEN_BY_HAND.contains(&kind)) || path.starts_with(".ci/")
}

fn trailing<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = Finding> + 'a {
    let lines = text.split('\n').enumerate().filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    lines.map(|(at, _)| Finding::at(path, at + 1, "white space at the end of the line", "take it away"))
}

fn unended(path: &str, text: &str) -> Option<Finding> {
    let unended = !text.is_empty() && !text.ends_with('\n');
    unended.then(|| Finding::about(path, "no line break at the end", "add it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_lines_and_files_are_checked() {
        let found = check(&Tree::of(&[("a.md", "x \ny\t\nz"), (".ci/run", "a\r\n"), ("a.snap", "x ")]));
        let places: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(places, [(".ci/run", 1), ("a.md", 1), ("a.md", 2), ("a.md", 0)]);
    }
}
