//! `unsafe` stands in a few named places, so that it can be read as a whole.

use super::finding::Finding;
use super::rust_text::has_word;
use super::tree::Tree;

/// Kernels need vector intrinsics, and a few calls to the operating system have no safe face.
const ALLOWED_FOLDERS: &[&str] = &["expert-runtime/src/kernels", "smpc/src/ring/kernels", "node/src/os"];
/// A mapped file can change under its reader; a module of this name holds that risk alone.
const ALLOWED_FILE: &str = "mapped_file.rs";

/// Looks for the word in all code, tests included.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust_files().filter(|(path, _)| !is_allowed(path));
    let lines = files.flat_map(|(path, text)| text.code().map(move |line| (path, line)));
    let found = lines.filter(|(_, (_, line))| has_word(line, "unsafe"));
    found.map(|(path, (number, _))| Finding::at(path, number, "`unsafe` is not allowed here", remedy())).collect()
}

fn remedy() -> String {
    format!("find a safe way, or move it to {} or a {ALLOWED_FILE}", ALLOWED_FOLDERS.join(", "))
}

fn is_allowed(path: &str) -> bool {
    let inside = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    ALLOWED_FOLDERS.iter().any(|folder| inside(folder)) || path.rsplit('/').next() == Some(ALLOWED_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_found_outside_the_named_places() {
        let source = "#![allow(unsafe_code)]\n// unsafe\nfn a() { unsafe { b() } }\n";
        let paths = [
            ("node/src/os/rlimit.rs", false),
            ("node/src/os.rs", false),
            ("node/src/oslo.rs", true),
            ("model/src/mapped_file.rs", false),
            ("model/src/reader.rs", true),
        ];
        for (path, expected) in paths {
            let found = check(&Tree::of(&[(path, source)]));
            assert_eq!(
                found.iter().map(|f| f.line).collect::<Vec<_>>(),
                if expected { vec![3] } else { vec![] },
                "{path}"
            );
        }
    }
}
