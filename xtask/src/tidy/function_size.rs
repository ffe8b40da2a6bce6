//! No function is longer than a screen.

use super::finding::Finding;
use super::rust_text::Function;
use super::tree::Tree;

/// Lines of code from `fn` to the closing brace. clippy's `too_many_lines` counts bodies alone and lets it be allowed.
const MOST_CODE_LINES: usize = 70;

/// Measures every function outside tests.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let functions = tree.production_files().flat_map(|(path, text)| text.functions().iter().map(move |f| (path, f)));
    functions.filter(|(_, f)| f.code_lines > MOST_CODE_LINES).map(|(path, f)| too_long(path, f)).collect()
}

fn too_long(path: &str, function: &Function) -> Finding {
    let what = format!("`{}` has {} lines of code, {MOST_CODE_LINES} at most", function.name, function.code_lines);
    Finding::at(path, function.line, what, "give its steps names of their own")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(code_lines: usize) -> String {
        format!("//! Doc.\nfn long() {{\n{}}}\n", "    1;\n".repeat(code_lines - 2))
    }

    #[test]
    fn the_first_line_too_many_is_found() {
        assert!(check(&Tree::of(&[("a.rs", &function(70))])).is_empty());
        let found = check(&Tree::of(&[("a.rs", &function(71))]));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("a.rs:2: `long` has 71 lines of code, 70 at most"));
    }
}
