//! Files that others rely on to be there.

use super::finding::Finding;
use super::tree::Tree;

/// Path, and what it is for.
const REQUIRED: &[(&str, &str)] = &[
    ("Cargo.lock", "commit it: a clone must build what was tested"),
    ("README.md", "say what this is and how to start"),
    ("LICENSE", "put the text of Apache-2.0 there"),
    ("CONTRIBUTING.md", "say how to build, test and send a change"),
    ("SECURITY.md", "say what is protected, what is not, and whom to tell"),
    ("CHANGELOG.md", "list what changed for users"),
    ("docs/waits.md", "list what waits for something outside the repository, or say that nothing does"),
];

/// Looks for each of them, and for content in it.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let empty = |path: &str| tree.text(path).is_none_or(|text| text.trim().is_empty());
    let missing = REQUIRED.iter().filter(|(path, _)| empty(path));
    missing.map(|(path, remedy)| Finding::about(path, "is missing or empty", *remedy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_an_empty_file_are_found() {
        let all: Vec<_> = REQUIRED.iter().map(|(path, _)| (*path, "text")).collect();
        assert!(check(&Tree::of(&all)).is_empty());
        let mut without = all.clone();
        without.retain(|(path, _)| *path != "Cargo.lock");
        without[1].1 = "\n";
        let found: Vec<_> = check(&Tree::of(&without)).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["Cargo.lock", without[1].0]);
    }
}
