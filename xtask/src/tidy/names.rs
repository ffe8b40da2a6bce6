//! No file, folder or module has a name that says nothing.

use super::finding::Finding;
use super::tree::Tree;

const EMPTY_WORDS: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];
const REMEDY: &str = "name it after what it holds, a noun of the field";

/// Looks at paths and at `mod` declarations.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let paths = tree.paths.iter().filter_map(|path| {
        let word = empty_word(path.rsplit('/').next()?)?;
        Some(Finding::about(path, format!("the name says nothing: {word}"), REMEDY))
    });
    let modules = tree.rust_files().flat_map(|(path, text)| text.code().map(move |line| (path, line)));
    let modules = modules.filter_map(|(path, (number, line))| {
        let word = empty_word(inline_module(line)?)?;
        Some(Finding::at(path, number, format!("the module's name says nothing: {word}"), REMEDY))
    });
    paths.chain(modules).collect()
}

/// The name in `mod name {`. A module with a file of its own is found by its path.
fn inline_module(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("mod ")?;
    let declared = before.trim().is_empty() || before.trim_start().starts_with("pub");
    after.trim_end().strip_suffix('{').filter(|_| declared).map(str::trim)
}

fn empty_word(name: &str) -> Option<&'static str> {
    let stem = name.split('.').next()?;
    EMPTY_WORDS.iter().find(|empty| stem.split(['_', '-']).any(|word| word == **empty)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, source: &str) -> Vec<String> {
        check(&Tree::of(&[(path, source)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn empty_names_are_found_in_paths_and_modules() {
        assert!(findings("node/src/utils.rs", "")[0].starts_with("node/src/utils.rs: the name says nothing: utils"));
        assert!(findings("tests/common/mod.rs", "")[0].starts_with("tests/common: "));
        assert!(findings("a/peer_manager.rs", "")[0].contains("manager"));
        assert!(findings("a.rs", "pub(crate) mod helpers {\n}\n")[0].starts_with("a.rs:1: the module's name"));
    }

    #[test]
    fn names_that_only_contain_the_letters_are_fine() {
        assert!(findings("a/commons_fund.rs", "mod utility {\n}\n// mod utils {\n").is_empty());
    }
}
