//! How the terms of a tape stand in columns of `FIRST` rows, so that all relations have weights that cost nothing.
//!
//! Relation r has the weight `alpha_j · beta_g`: j its row, g its group. A group of *short* relations gives each a row
//! of its own and has as many columns as the longest of them; a relation with at least a row's worth of terms is *long*,
//! fills all rows of groups of its own and has the weight `beta_g` alone. The two together are a random polynomial of
//! degree 2, which a wrong relation satisfies with a chance of 2 / 2^64.

use super::ProofError;

/// Columns that are worked on at once, so that what they hold stays in the second cache. A group has no more.
const BLOCK: usize = 512;

/// Columns of one weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// Whether each row is a relation.
    pub short: bool,
    /// Which beta.
    pub weight: usize,
    /// First relation.
    pub relation: usize,
    /// Relations if short, terms if long.
    pub entries: usize,
    /// First term if long.
    term: usize,
    /// Columns.
    pub width: usize,
}

/// Where the terms of all relations stand.
pub(super) struct Layout<'a> {
    ends: &'a [usize],
    rows: usize,
    pub groups: Vec<Group>,
    /// Columns of all groups.
    pub columns: usize,
    /// Weights that the groups have.
    pub weights: usize,
}

impl<'a> Layout<'a> {
    /// Of relations that end at `ends`, which never decrease and lead to `terms`.
    pub fn new(ends: &'a [usize], terms: usize, rows: usize) -> Result<Self, ProofError> {
        let last = ends.last().copied().unwrap_or_default();
        if !ends.is_sorted() || last != terms {
            return Err(ProofError::Tape { what: "terms of the relations", expected: last, got: terms });
        }
        let mut layout = Self { ends, rows, groups: Vec::new(), columns: 0, weights: 0 };
        for relation in 0..ends.len() {
            let count = layout.terms(relation).len();
            if count < rows { layout.add_short(relation, count) } else { layout.add_long(relation) }
        }
        layout.columns = layout.groups.iter().map(|group| group.width).sum();
        Ok(layout)
    }

    fn terms(&self, relation: usize) -> std::ops::Range<usize> {
        let start = relation.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[relation]
    }

    fn add_short(&mut self, relation: usize, count: usize) {
        let rows = self.rows;
        match self.groups.last_mut().filter(|group| group.short && group.entries < rows) {
            Some(group) => {
                group.entries += 1;
                group.width = group.width.max(count);
            }
            None => {
                let weight = self.weights;
                self.groups.push(Group { short: true, weight, relation, entries: 1, term: 0, width: count });
                self.weights += 1;
            }
        }
    }

    fn add_long(&mut self, relation: usize) {
        let terms = self.terms(relation);
        for term in terms.clone().step_by(BLOCK * self.rows) {
            let entries = (terms.end - term).min(BLOCK * self.rows);
            let width = entries.div_ceil(self.rows);
            self.groups.push(Group { short: false, weight: self.weights, relation, entries, term, width });
        }
        self.weights += 1;
    }

    /// Writes column `slot` of `group`; `terms`: the words of the tape, `column`: `[rows]`, 0 where no term stands.
    pub fn gather(&self, group: &Group, slot: usize, terms: &[u64], column: &mut [u64]) {
        if group.short {
            let mut start = self.terms(group.relation).start;
            let ends = &self.ends[group.relation..][..group.entries];
            let (used, rest) = column.split_at_mut(group.entries);
            rest.fill(0);
            for (word, &end) in used.iter_mut().zip(ends) {
                *word = if start + slot < end { terms[start + slot] } else { 0 };
                start = end;
            }
        } else {
            let start = slot * self.rows;
            let (used, rest) = column.split_at_mut((group.entries - start).min(self.rows));
            used.copy_from_slice(&terms[group.term + start..][..used.len()]);
            rest.fill(0);
        }
    }

    /// Runs of groups that are all short or all long and have [`BLOCK`] columns together, or one group more.
    pub fn blocks(&self, short: bool) -> impl Iterator<Item = Vec<&Group>> {
        let mut groups = self.groups.iter().filter(move |group| group.short == short);
        std::iter::from_fn(move || {
            let mut block = Vec::new();
            let mut columns = 0;
            while columns < BLOCK && block.len() < BLOCK {
                let Some(group) = groups.next() else { break };
                columns += group.width;
                block.push(group);
            }
            (!block.is_empty()).then_some(block)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_term_stands_once_beside_its_relation(lengths in prop::collection::vec(0usize..700, 0..40)) {
            let ends: Vec<_> = lengths.iter().scan(0, |end, n| { *end += n; Some(*end) }).collect();
            let total: usize = lengths.iter().sum();
            let layout = Layout::new(&ends, total, 4).unwrap();
            // Each term is worth its relation + 1.
            let terms: Vec<_> = lengths.iter().enumerate().flat_map(|(r, &n)| vec![r as u64 + 1; n]).collect();
            let mut seen = vec![0; lengths.len()];
            let blocks: Vec<_> = [true, false].into_iter().flat_map(|short| layout.blocks(short)).flatten().collect();
            prop_assert_eq!(blocks.len(), layout.groups.len());
            for group in blocks {
                for slot in 0..group.width {
                    let mut column = [9; 4];
                    layout.gather(group, slot, &terms, &mut column);
                    for (row, word) in column.into_iter().enumerate().filter(|(_, word)| *word > 0) {
                        let relation = word as usize - 1;
                        prop_assert_eq!(relation, group.relation + if group.short { row } else { 0 });
                        seen[relation] += 1;
                    }
                }
            }
            prop_assert_eq!(seen, lengths);
        }
    }

    #[test]
    fn ends_that_are_none_are_an_error() {
        for (ends, terms) in [(&[2, 1, 3][..], 3), (&[1, 2], 3), (&[], 1)] {
            assert!(matches!(Layout::new(ends, terms, 4), Err(ProofError::Tape { .. })));
        }
    }
}
