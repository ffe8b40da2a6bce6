//! How the terms of a tape stand in columns of `FIRST` rows, so that all relations have weights that cost nothing.
//!
//! Relation r has the weight `alpha_j · beta_g`: j its row, g its group. A group of *short* relations gives each a row
//! of its own and has as many columns as the longest of them; a relation with at least a row's worth of terms is *long*,
//! fills all rows of groups of its own and has the weight `beta_g` alone. The two together are a random polynomial of
//! degree 2, which a wrong relation satisfies with a chance of 2 / 2^64.

use super::ProofError;
use crate::tape::{Run, Runs};

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
    /// First term if long, first term of the first run if short.
    term: usize,
    /// If short: the run of the first relation, and which one of the run it is.
    run: [usize; 2],
    /// Columns.
    pub width: usize,
}

/// Where the terms of all relations stand.
pub(super) struct Layout {
    runs: Vec<Run>,
    rows: usize,
    pub groups: Vec<Group>,
    /// Columns of all groups.
    pub columns: usize,
    /// Weights that the groups have.
    pub weights: usize,
}

impl Layout {
    /// Of relations whose terms are `terms` together.
    pub fn new(runs: &Runs, terms: usize, rows: usize) -> Result<Self, ProofError> {
        if runs.terms() != terms {
            return Err(ProofError::Tape { what: "terms of the relations", expected: runs.terms(), got: terms });
        }
        let mut layout = Self { runs: runs.as_slice().to_vec(), rows, groups: Vec::new(), columns: 0, weights: 0 };
        let (mut relation, mut term) = (0, 0);
        for (at, run) in runs.as_slice().iter().enumerate() {
            if run.length() < rows {
                layout.add_short(at, relation, term);
            } else {
                (0..run.relations).for_each(|one| layout.add_long(*run, one, relation + one, term));
            }
            relation += run.relations;
            term += run.relations * run.length();
        }
        layout.columns = layout.groups.iter().map(|group| group.width).sum();
        Ok(layout)
    }

    /// The relations of a run: as many as are missing go to the group before, if its relations are short too.
    fn add_short(&mut self, at: usize, relation: usize, term: usize) {
        let (rows, run) = (self.rows, self.runs[at]);
        let mut done = 0;
        if let Some(group) = self.groups.last_mut().filter(|group| group.short && group.entries < rows) {
            done = run.relations.min(rows - group.entries);
            group.entries += done;
            group.width = group.width.max(run.length());
        }
        for first in (done..run.relations).step_by(rows) {
            let entries = rows.min(run.relations - first);
            let (weight, width) = (self.weights, run.length());
            let place = [at, first];
            self.groups.push(Group {
                short: true,
                weight,
                relation: relation + first,
                entries,
                term,
                run: place,
                width,
            });
            self.weights += 1;
        }
    }

    /// Relation `one` of a run that begins at `term`: block by block.
    fn add_long(&mut self, run: Run, one: usize, relation: usize, term: usize) {
        for part in 0..run.parts {
            let begin = term + run.place(one, part * run.terms);
            for from in (0..run.terms).step_by(BLOCK * self.rows) {
                let entries = (run.terms - from).min(BLOCK * self.rows);
                let (width, weight) = (entries.div_ceil(self.rows), self.weights);
                self.groups.push(Group {
                    short: false,
                    weight,
                    relation,
                    entries,
                    term: begin + from,
                    run: [0; 2],
                    width,
                });
            }
        }
        self.weights += 1;
    }

    /// Writes column `slot` of `group`; `terms`: the words of the tape, `column`: `[rows]`, 0 where no term stands.
    pub fn gather(&self, group: &Group, slot: usize, terms: &[u64], column: &mut [u64]) {
        if !group.short {
            let start = slot * self.rows;
            let count = (group.entries - start).min(self.rows);
            column[..count].copy_from_slice(&terms[group.term + start..][..count]);
            column[count..].fill(0);
            return;
        }
        let ([mut at, mut first], mut term, mut row) = (group.run, group.term, 0);
        while row < group.entries {
            let run = self.runs[at];
            let count = (run.relations - first).min(group.entries - row);
            let column = &mut column[row..row + count];
            if slot >= run.length() {
                column.fill(0);
            } else if run.terms == 1 {
                column.copy_from_slice(&terms[term + run.place(first, slot)..][..count]);
            } else {
                let places = terms[term + run.place(first, slot)..].iter().step_by(run.terms);
                column.iter_mut().zip(places).for_each(|(word, term)| *word = *term);
            }
            term += run.relations * run.length();
            (at, first, row) = (at + 1, 0, row + count);
        }
        column[row..].fill(0);
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

    /// One relation for each length.
    fn single(lengths: &[usize]) -> Runs {
        let mut runs = Runs::default();
        lengths.iter().for_each(|terms| runs.push(Run { relations: 1, terms: *terms, parts: 1 }));
        runs
    }

    /// Every term stands once, beside its relation.
    fn check(runs: &Runs) {
        let layout = Layout::new(runs, runs.terms(), 4).unwrap();
        // Each term is worth its relation + 1.
        let mut terms = vec![0; runs.terms()];
        let (mut expected, mut from) = (Vec::new(), 0);
        for run in runs.as_slice() {
            for relation in 0..run.relations {
                expected.push(run.length());
                (0..run.length()).for_each(|slot| terms[from + run.place(relation, slot)] = expected.len() as u64);
            }
            from += run.relations * run.length();
        }
        let mut seen = vec![0; expected.len()];
        let blocks: Vec<_> = [true, false].into_iter().flat_map(|short| layout.blocks(short)).flatten().collect();
        assert_eq!(blocks.len(), layout.groups.len());
        for group in blocks {
            for slot in 0..group.width {
                let mut column = [9; 4];
                layout.gather(group, slot, &terms, &mut column);
                for (row, word) in column.into_iter().enumerate().filter(|(_, word)| *word > 0) {
                    let relation = word as usize - 1;
                    assert_eq!(relation, group.relation + if group.short { row } else { 0 });
                    seen[relation] += 1;
                }
            }
        }
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn every_term_stands_once_beside_its_relation(lengths in prop::collection::vec(0usize..700, 0..40)) {
            check(&single(&lengths));
        }

        #[test]
        fn blocks_of_relations_are_read_as_they_stand(runs in prop::collection::vec((0usize..12, 1usize..5, 1usize..4), 0..12)) {
            let mut all = Runs::default();
            runs.into_iter().for_each(|(relations, terms, parts)| all.push(Run { relations, terms, parts }));
            check(&all);
        }
    }

    #[test]
    fn terms_of_no_relation_are_an_error() {
        for (lengths, terms) in [(&[2, 1][..], 4), (&[1, 1], 3), (&[], 1)] {
            assert!(matches!(Layout::new(&single(lengths), terms, 4), Err(ProofError::Tape { .. })));
        }
    }
}
