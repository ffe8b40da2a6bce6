//! Answers that are kept for a check, and what comparing them means.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_expert_runtime::Computed;
use neuro_primitives::{Activations, FixedSum, Hash, Routes, RowSum};
use neuro_protocol::frame::Answer;

use super::SentTask;

/// An answer, and what was asked.
#[derive(Debug)]
pub struct Kept {
    /// What was asked.
    pub(super) sent: SentTask,
    /// What came.
    pub(super) answer: Answer,
}

impl Kept {
    /// The layer of its experts.
    #[must_use]
    pub fn layer(&self) -> u16 {
        self.sent.source.layer
    }

    /// Rows as the worker got them.
    #[must_use]
    pub fn hidden(&self) -> Activations {
        self.sent.source.hidden.gather(&self.sent.rows)
    }

    /// Row of the call for each of its rows.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.sent.rows
    }

    /// Experts and gates of each row.
    #[must_use]
    pub const fn routes(&self) -> &Routes {
        &self.sent.routes
    }

    /// Whether it is what an honest worker gives: every sum and every digest.
    #[must_use]
    pub fn is(&self, right: &Computed) -> bool {
        self.answer.digests == right.digests
            && same_sums(&self.answer.sums, &right.sums, self.sent.source.hidden.width())
    }

    /// Whether `witnesses`, who were asked for its experts among them, say the same: digest by digest, and all of their
    /// sums together are its own.
    #[must_use]
    pub fn agrees_with(&self, witnesses: &[Arc<Self>]) -> bool {
        let width = self.sent.source.hidden.width();
        let place = |row: &usize| self.sent.rows.binary_search(row).ok();
        let mut theirs = FixedSum::zeros(self.sent.rows.len(), width);
        for witness in witnesses {
            for (row, sum) in witness.sent.rows.iter().zip(&witness.answer.sums) {
                let added = place(row).map(|place| theirs.add(place, sum));
                if !matches!(added, Some(Ok(()))) {
                    return false;
                }
            }
        }
        let digests: BTreeMap<_, _> = witnesses.iter().flat_map(|witness| witness.digests()).collect();
        fixed(&self.answer.sums, width).is_some_and(|own| own == theirs)
            && self.digests().collect::<BTreeMap<_, _>>() == digests
    }

    /// The digest of each row and expert.
    fn digests(&self) -> impl Iterator<Item = ((usize, u16), Hash)> + '_ {
        let rows = self.sent.rows.iter().zip(self.sent.routes.iter());
        let places = rows.flat_map(|(row, routes)| routes.iter().map(|route| (*row, route.expert)));
        places.zip(self.answer.digests.iter().copied())
    }
}

fn same_sums(one: &[RowSum], other: &[RowSum], width: usize) -> bool {
    matches!((fixed(one, width), fixed(other, width)), (Some(one), Some(other)) if one == other)
}

/// Sums in the form in which they are added.
fn fixed(sums: &[RowSum], width: usize) -> Option<FixedSum> {
    let mut fixed = FixedSum::zeros(sums.len(), width);
    for (row, sum) in sums.iter().enumerate() {
        fixed.add(row, sum).ok()?;
    }
    Some(fixed)
}
