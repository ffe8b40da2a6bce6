//! Which tensors are trained, by patterns of names: `model.layers.*.experts.8.*`, `router.weight[8..9]`.

use crate::error::LayoutError;
use neuro_model::tensor_file::TensorTable;
use std::ops::Range;

/// A name with `*` for any run of characters, and perhaps a range of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    name: String,
    rows: Option<Range<usize>>,
}

impl Pattern {
    /// Reads `name`, `name[row]` or `name[from..to]`.
    ///
    /// # Errors
    /// An empty name, or brackets that hold neither a row nor a range with at least one row.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        let wrong = || LayoutError::Pattern { got: text.to_owned() };
        let (name, rows) = match text.strip_suffix(']') {
            None => (text, None),
            Some(head) => {
                let (name, rows) = head.rsplit_once('[').ok_or_else(wrong)?;
                (name, Some(range(rows).ok_or_else(wrong)?))
            }
        };
        if name.is_empty() || name.contains(['[', ']']) {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), rows })
    }

    /// Whether the pattern means `name`.
    #[must_use]
    pub fn finds(&self, name: &str) -> bool {
        matches(self.name.as_bytes(), name.as_bytes())
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.rows {
            None => f.write_str(&self.name),
            Some(rows) => write!(f, "{}[{}..{}]", self.name, rows.start, rows.end),
        }
    }
}

/// Which tensors of a model are trained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TensorChoice {
    /// Every one.
    #[default]
    All,
    /// Those that at least one pattern finds. The first that does decides on the rows.
    Matching(Vec<Pattern>),
}

impl TensorChoice {
    /// The choice that these patterns describe.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, LayoutError> {
        patterns.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(Self::Matching)
    }

    /// `None`: `name` is not chosen. `Some(None)`: all of it is.
    pub(super) fn rows_of(&self, name: &str) -> Option<Option<Range<usize>>> {
        match self {
            Self::All => Some(None),
            Self::Matching(patterns) => {
                patterns.iter().find(|pattern| pattern.finds(name)).map(|pattern| pattern.rows.clone())
            }
        }
    }

    /// A pattern that finds nothing is a misspelt one: training would silently leave the tensor out.
    pub(super) fn check_all_found(&self, tensors: &TensorTable) -> Result<(), LayoutError> {
        let Self::Matching(patterns) = self else { return Ok(()) };
        match patterns.iter().find(|pattern| !tensors.iter().any(|(name, _)| pattern.finds(name))) {
            None => Ok(()),
            Some(pattern) => Err(LayoutError::FindsNothing { pattern: pattern.to_string() }),
        }
    }
}

/// The tensor and the rows that a part's name in a file means: `name[from..to]` with `held` rows, or a whole tensor.
pub(super) fn part_of(name: &str, held: Option<usize>) -> (String, Option<Range<usize>>) {
    let split = name.strip_suffix(']').and_then(|head| head.rsplit_once('['));
    let rows = split.and_then(|(tensor, rows)| Some((tensor, rows.contains("..").then(|| range(rows))??)));
    match rows.filter(|(_, rows)| Some(rows.len()) == held) {
        Some((tensor, rows)) => (tensor.to_owned(), Some(rows)),
        None => (name.to_owned(), None),
    }
}

fn range(text: &str) -> Option<Range<usize>> {
    let range = match text.split_once("..") {
        None => {
            let row: usize = text.parse().ok()?;
            row..row.checked_add(1)?
        }
        Some((from, to)) => from.parse().ok()?..to.parse().ok()?,
    };
    (!range.is_empty()).then_some(range)
}

/// Glob match with `*` alone. Greedy with one point of return, so linear in `name` times the number of stars at worst.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, read));
            at += 1;
        } else if pattern.get(at) == name.get(read) {
            at += 1;
            read += 1;
        } else if let Some((star_at, star_read)) = star {
            star = Some((star_at, star_read + 1));
            at = star_at + 1;
            read = star_read + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&left| left == b'*')
}
