//! Rust source as text with comments and string contents blanked out, and what can be read off that.
//!
//! This is no parser. It knows the lexical grammar (nested comments, raw strings, lifetimes against characters) and
//! matches brackets; that is enough to count lines and find words where they mean something.

mod lexer;

use std::ops::Range;

/// A source file ready to be measured.
pub struct RustText {
    /// Same length in lines as the source; comments are spaces, strings are quotes around underscores.
    lines: Vec<String>,
    /// For each line, whether it belongs to test code.
    in_tests: Vec<bool>,
    functions: Vec<Function>,
}

/// A function of production code with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of `fn`, counted from one.
    pub line: usize,
    /// Lines of code from `fn` to the closing brace.
    pub code_lines: usize,
}

impl RustText {
    /// Reads a source. Text that is not valid Rust gives some result; the compiler will say what is wrong with it.
    pub fn new(source: &str) -> Self {
        let masked = lexer::mask(source);
        let lines: Vec<String> = masked.lines().map(str::to_owned).collect();
        let mut in_tests = vec![masked.contains("#![cfg(test)]"); lines.len()];
        for item in test_items(&masked) {
            let last = line_of(&masked, item.end.saturating_sub(1)).min(lines.len().saturating_sub(1));
            in_tests[line_of(&masked, item.start)..=last].fill(true);
        }
        let functions = functions(&masked, &lines, &in_tests);
        Self { lines, in_tests, functions }
    }

    /// Lines that are neither blank, nor comment, nor test code, with their numbers counted from one.
    pub fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().filter(|(number, _)| !self.in_tests[number - 1])
    }

    /// Lines that are neither blank nor comment, test code included.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.lines.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()));
        numbered.filter(|(_, line)| !line.trim().is_empty())
    }

    /// The functions of production code.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }
}

/// Where `word` stands in `line` as a whole word.
pub fn has_word(line: &str, word: &str) -> bool {
    word_positions(line, word).next().is_some()
}

fn word_positions<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// The index of the line, from zero, in which the byte at `position` stands.
fn line_of(text: &str, position: usize) -> usize {
    text[..position.min(text.len())].matches('\n').count()
}

/// From each attribute that marks test code to the end of the item it stands on.
fn test_items(masked: &str) -> Vec<Range<usize>> {
    let starts = masked.match_indices("#[").map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let (content, mut next) = attribute(masked, at)?;
            if !marks_test(content) {
                return None;
            }
            while let Some((_, after)) = attribute(masked, next) {
                next = after;
            }
            Some(at..item_end(masked, next))
        })
        .collect()
}

/// The content of the attribute that begins at `at`, white space before it allowed, and where it ends.
fn attribute(masked: &str, at: usize) -> Option<(&str, usize)> {
    let rest = masked[at..].trim_start();
    let open = masked.len() - rest.len() + 1;
    rest.starts_with("#[").then_some(())?;
    let close = closing(masked, open)?;
    Some((masked[open + 1..close].trim(), close + 1))
}

fn marks_test(attribute: &str) -> bool {
    let condition = attribute.strip_prefix("cfg").map(|c| c.replace("not(test)", ""));
    attribute == "test" || attribute.starts_with("tokio::test") || condition.is_some_and(|c| has_word(&c, "test"))
}

/// The end of the item that starts at or after `from`: its closing brace, or the `;` that ends it without a body.
fn item_end(masked: &str, from: usize) -> usize {
    match body_or_end(masked, from) {
        Some((at, '{')) => closing(masked, at).map_or(masked.len(), |close| close + 1),
        Some((at, _)) => at + 1,
        None => masked.len(),
    }
}

/// The first `{` or `;` outside round and square brackets.
fn body_or_end(masked: &str, from: usize) -> Option<(usize, char)> {
    let mut depth = 0_i32;
    for (offset, c) in masked[from..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' | ';' if depth <= 0 => return Some((from + offset, c)),
            _ => {}
        }
    }
    None
}

/// Where the bracket that opens at `open` is closed.
fn closing(masked: &str, open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, c) in masked[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + offset);
        }
    }
    None
}

fn functions(masked: &str, lines: &[String], in_tests: &[bool]) -> Vec<Function> {
    let found = word_positions(masked, "fn").filter_map(|at| {
        let name: String =
            masked[at + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let (open, '{') = body_or_end(masked, at)? else { return None };
        let (first, last) = (line_of(masked, at), line_of(masked, closing(masked, open)?));
        let wanted = !name.is_empty() && !in_tests[first];
        let code_lines = lines[first..=last].iter().filter(|line| !line.trim().is_empty()).count();
        wanted.then_some(Function { name, line: first + 1, code_lines })
    });
    found.collect()
}

#[cfg(test)]
mod tests;
