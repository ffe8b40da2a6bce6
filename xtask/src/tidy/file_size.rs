//! No source file is longer than one can keep in mind.

use super::finding::Finding;
use super::tree::Tree;

/// Lines of production code in a file. Most have fewer than half; past this, nobody finds anything.
const MOST_CODE_LINES: usize = 600;

/// Counts lines of code, tests apart.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let sizes = tree.production_files().map(|(path, text)| (path, text.production_lines().count()));
    sizes.filter(|(_, size)| *size > MOST_CODE_LINES).map(|(path, size)| too_long(path, size)).collect()
}

fn too_long(path: &str, size: usize) -> Finding {
    let what = format!("{size} lines of code, {MOST_CODE_LINES} at most");
    Finding::about(path, what, "split it by subject into a folder beside it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_counts_and_comments_do_not() {
        let long = "fn a() {}\n".repeat(MOST_CODE_LINES);
        assert!(check(&Tree::of(&[("a.rs", &format!("//! Doc.\n{long}"))])).is_empty());
        let found = check(&Tree::of(&[("a.rs", &format!("{long}fn b() {{}}\n"))]));
        assert_eq!(found[0].what, "601 lines of code, 600 at most");
        assert!(check(&Tree::of(&[("tests/a.rs", &long.repeat(2))])).is_empty());
    }
}
