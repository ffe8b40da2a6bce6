//! A broken rule: where, what, and what to do about it.

use std::fmt;

/// One place that breaks one rule. Ordered by place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the repository.
    pub path: String,
    /// Counted from one; zero when the finding is about the whole file.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What mends it.
    pub remedy: String,
}

impl Finding {
    /// A finding at a line, counted from one.
    pub fn at(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }

    /// A finding about a file as a whole.
    pub fn about(path: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::at(path, 0, what, remedy)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_place_fault_and_remedy() {
        assert_eq!(Finding::at("a/b.rs", 7, "too long", "split it").to_string(), "a/b.rs:7: too long; split it");
        assert_eq!(Finding::about("c.md", "missing", "write it").to_string(), "c.md: missing; write it");
    }
}
