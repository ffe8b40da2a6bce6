//! Every Rust file opens with what it is for.

use super::finding::Finding;
use super::tree::Tree;

/// Looks for `//!` on the first line, or on the first after inner attributes.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.files.iter().filter(|(path, _)| path.ends_with(".rs"));
    let silent = sources.filter(|(_, file)| !opens_with_doc(&file.text));
    silent.map(|(path, _)| Finding::at(path, 1, "no module doc", "open the file with `//!` and its purpose")).collect()
}

fn opens_with_doc(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#!["));
    lines.next().is_some_and(|line| line.strip_prefix("//!").is_some_and(|doc| !doc.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_doc_with_words_at_the_top_counts() {
        for (source, fine) in [
            ("//! What it does.\nfn a() {}\n", true),
            ("#![cfg(test)]\n\n//! Doc.\n", true),
            ("use a;\n//! Late.\n", false),
            ("//!\nfn a() {}\n", false),
            ("// Comment.\n", false),
            ("", false),
        ] {
            assert_eq!(check(&Tree::of(&[("a.rs", source)])).is_empty(), fine, "{source:?}");
        }
    }
}
