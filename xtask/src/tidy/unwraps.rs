//! No `unwrap` or `expect` outside tests: input of any kind gives an error, never an end.

use super::finding::Finding;
use super::tree::Tree;

/// Looks for the calls. clippy denies them too; this also sees code that is compiled on other platforms only.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let lines = tree.production_files().flat_map(|(path, text)| text.production_lines().map(move |l| (path, l)));
    lines.filter_map(|(path, (number, line))| Some(found(path, number, call(line)?))).collect()
}

fn call(line: &str) -> Option<&'static str> {
    [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("].into_iter().find(|call| line.contains(call))
}

fn found(path: &str, line: usize, call: &str) -> Finding {
    let what = format!("`{}` outside tests", call.trim_matches(['.', '(', ')']));
    Finding::at(path, line, what, "return the error, or make the impossible case impossible in the type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_production_are_found_and_others_are_not() {
        let source = "fn a() {\n    b.unwrap();\n    c.unwrap_or(1); // d.unwrap()\n    e(\".expect(\");\n}\n#[cfg(test)]\nmod tests {\n    fn f() { g.expect(\"x\"); }\n}\n";
        let found = check(&Tree::of(&[("a.rs", source), ("tests/b.rs", source)]));
        assert_eq!(found.iter().map(|f| (f.path.as_str(), f.line)).collect::<Vec<_>>(), [("a.rs", 2)]);
        assert_eq!(found[0].what, "`unwrap` outside tests");
    }
}
