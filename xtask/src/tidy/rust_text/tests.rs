//! Tests of what is read off a source.

use super::*;

fn production(source: &str) -> Vec<usize> {
    RustText::new(source).production_lines().map(|(number, _)| number).collect()
}

#[test]
fn blank_lines_comments_and_tests_are_not_production() {
    let source = "//! Doc.\n\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
    assert_eq!(production(source), [3, 9]);
}

#[test]
fn every_way_to_mark_a_test_counts() {
    for mark in ["#[test]", "#[tokio::test(start_paused = true)]", "#[cfg(test)]", "#[cfg(all(test, unix))]"] {
        let source = format!("fn a() {{}}\n{mark}\n#[allow(dead_code)]\nfn b() {{\n    1;\n}}\nfn c() {{}}\n");
        assert_eq!(production(&source), [1, 7], "{mark}");
    }
}

#[test]
fn what_is_compiled_without_tests_is_production() {
    for mark in ["#[cfg(not(test))]", "#[cfg(feature = \"test\")]", "#[cfg(unix)]"] {
        assert_eq!(production(&format!("{mark}\nfn b() {{}}\n")), [1, 2], "{mark}");
    }
}

#[test]
fn an_item_without_a_body_ends_at_its_semicolon() {
    assert_eq!(production("#[cfg(test)]\nmod tests;\nfn c() {}\n"), [3]);
}

#[test]
fn a_whole_file_can_be_test_code() {
    assert!(production("#![cfg(test)]\nfn a() {}\n").is_empty());
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let source = "impl A {\n    /// Doc.\n    pub fn one(\n        x: [u8; 4],\n    ) {\n        // why\n\n        x;\n    }\n}\n";
    let text = RustText::new(source);
    assert_eq!(text.functions(), [Function { name: "one".into(), line: 3, code_lines: 5 }]);
}

#[test]
fn declarations_pointers_and_tests_are_no_functions() {
    let source =
        "trait A { fn a(&self); }\ntype B = fn(u8);\n#[test]\nfn c() {\n}\nfn d() { let _ = \"fn e() {}\"; }\n";
    let names: Vec<_> = RustText::new(source).functions().iter().map(|f| f.name.clone()).collect();
    assert_eq!(names, ["d"]);
}

#[test]
fn a_word_is_found_only_whole() {
    assert!(has_word("unsafe { }", "unsafe"));
    assert!(!has_word("allow(unsafe_code)", "unsafe"));
    assert!(!has_word("not_unsafe()", "unsafe"));
}

#[test]
fn broken_source_does_not_stop_the_check() {
    for source in ["fn a( {", "#[cfg(test", "fn a() { \"", "/* open", "}}}", "fn", "#[test]", ""] {
        RustText::new(source);
    }
}
