//! Answers that are kept for a check, and what comparing them means.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuro_expert_runtime::Computed;
use neuro_primitives::{Activations, FixedSum, Hash, NodeId, Routes, RowSum};
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
    /// Who answered.
    #[must_use]
    pub const fn worker(&self) -> NodeId {
        self.sent.worker
    }

    /// What came.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

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

    /// Whether one of its rows belongs to no user.
    #[must_use]
    pub fn is_nobodys(&self, row: usize) -> bool {
        self.sent.rows.get(row).is_some_and(|row| self.sent.source.tally.is_nobodys(*row))
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
    /// sums together are its own. In a spot check they may have been asked for some of the rows; then these are compared.
    #[must_use]
    pub fn agrees_with(&self, witnesses: &[Arc<Self>]) -> bool {
        let theirs: BTreeMap<_, _> = witnesses.iter().flat_map(|witness| witness.digests()).collect();
        let spot_check = witnesses.iter().any(|witness| witness.sent.spot_check);
        let own: BTreeMap<_, _> =
            self.digests().filter(|(place, _)| !spot_check || theirs.contains_key(place)).collect();
        own == theirs && self.sums_agree(witnesses, &own)
    }

    /// Whether the witnesses' sums together are its own, in the rows of which `compared` has every expert.
    fn sums_agree(&self, witnesses: &[Arc<Self>], compared: &BTreeMap<(usize, u16), Hash>) -> bool {
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
        let Some(own) = fixed(&self.answer.sums, width) else { return false };
        let rows = self.sent.rows.iter().zip(self.sent.routes.iter()).enumerate();
        let whole =
            rows.filter(|(_, (row, routes))| routes.iter().all(|route| compared.contains_key(&(**row, route.expert))));
        whole.into_iter().all(|(place, _)| own.row(place) == theirs.row(place))
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

#[cfg(test)]
mod tests {
    use neuro_primitives::contribution::digest;
    use neuro_primitives::{Route, Rows, TaskId};

    use super::super::Source;
    use super::*;

    const WIDTH: usize = 4;

    /// What expert `expert` adds to row `row`.
    fn contribution(row: usize, expert: u16) -> Vec<f32> {
        (0..WIDTH).map(|place| (row * 7 + usize::from(expert) * 3 + place) as f32 / 8.0).collect()
    }

    /// Two rows for experts 0, 1, 2; the second not for 1.
    fn source() -> Arc<Source> {
        let mut routes = Routes::new();
        routes.push_row([0, 1, 2].map(|expert| Route { expert, gate: 1.0 }));
        routes.push_row([0, 2].map(|expert| Route { expert, gate: 1.0 }));
        let hidden = Activations::F32(Rows::new(WIDTH, vec![0.0; 2 * WIDTH]));
        Arc::new(Source { layer: 0, hidden, routes, tally: Arc::default() })
    }

    /// The honest answer for these experts.
    fn kept(experts: &[u16]) -> Kept {
        let source = source();
        let (rows, routes) = source.routes.restrict(|expert| experts.contains(&expert));
        let mut digests = Vec::new();
        let mut sums = Vec::new();
        for (row, routes) in rows.iter().zip(routes.iter()) {
            let parts: Vec<_> = routes.iter().map(|route| contribution(*row, route.expert)).collect();
            digests.extend(parts.iter().map(|part| digest(part)));
            let mut sum = FixedSum::zeros(1, WIDTH);
            parts.iter().for_each(|part| sum.add_contribution(0, part).unwrap());
            sums.push(match &parts[..] {
                [one] => RowSum::One(one.clone()),
                _ => RowSum::Many(sum.row(0).to_vec()),
            });
        }
        let sent = SentTask { source, worker: NodeId([1; 32]), rows, routes, spot_check: false };
        Kept { sent, answer: Answer { task: TaskId(1), compute_us: 1, sums, digests } }
    }

    fn witnesses(groups: &[&[u16]]) -> Vec<Arc<Kept>> {
        groups.iter().map(|experts| Arc::new(kept(experts))).collect()
    }

    #[test]
    fn honest_answers_agree_however_experts_are_grouped() {
        let all: &[&[&[u16]]] = &[&[&[0, 1, 2]], &[&[0], &[1, 2]], &[&[2], &[1], &[0]], &[&[0, 2], &[1]]];
        for groups in all {
            assert!(kept(&[0, 1, 2]).agrees_with(&witnesses(groups)), "{groups:?}");
        }
    }

    /// A witness of these experts who was asked for the second row alone.
    fn spot(experts: &[u16]) -> Arc<Kept> {
        let mut whole = kept(experts);
        let first = whole.sent.routes.row(0).len();
        let mut routes = Routes::new();
        routes.push_row(whole.sent.routes.row(1).iter().copied());
        whole.answer.digests.drain(..first);
        whole.answer.sums.remove(0);
        whole.sent = SentTask { rows: vec![1], routes, spot_check: true, ..whole.sent };
        Arc::new(whole)
    }

    #[test]
    fn a_spot_check_compares_the_rows_that_were_asked_for_and_no_others() {
        let mut checked = kept(&[0, 2]);
        assert!(checked.agrees_with(&[spot(&[0, 2])]));
        assert!(checked.agrees_with(&[spot(&[0]), spot(&[2])]));
        checked.answer.digests[0] = Hash([9; 32]);
        assert!(checked.agrees_with(&[spot(&[0, 2])]), "a lie in the row of a user was not looked at");
        let mut liar = kept(&[0, 2]);
        liar.answer.digests[3] = Hash([9; 32]);
        assert!(!liar.agrees_with(&[spot(&[0, 2])]));
        let mut liar = kept(&[0, 2]);
        let RowSum::Many(sum) = &mut liar.answer.sums[1] else { panic!("two experts") };
        sum[3] += 1;
        assert!(!liar.agrees_with(&[spot(&[0, 2])]));
    }

    #[test]
    fn a_wrong_sum_beside_right_digests_is_found() {
        let mut liar = kept(&[0, 1, 2]);
        let RowSum::Many(sum) = &mut liar.answer.sums[1] else { panic!("two experts") };
        sum[3] += 1;
        assert!(!liar.agrees_with(&witnesses(&[&[0], &[1, 2]])));
    }

    #[test]
    fn wrong_digests_beside_a_right_sum_are_found() {
        let mut liar = kept(&[0, 1, 2]);
        liar.answer.digests.swap(0, 1);
        assert!(!liar.agrees_with(&witnesses(&[&[0, 1, 2]])));
    }

    #[test]
    fn witnesses_who_lie_or_leave_something_out_do_not_agree() {
        let checked = kept(&[0, 1, 2]);
        assert!(!checked.agrees_with(&witnesses(&[&[0], &[1]])), "expert 2 is missing");
        let mut lying = kept(&[1, 2]);
        lying.answer.digests[0] = Hash([9; 32]);
        assert!(!checked.agrees_with(&[Arc::new(kept(&[0])), Arc::new(lying)]));
    }

    #[test]
    fn lies_that_cancel_out_in_the_sum_show_in_the_digests() {
        let checked = kept(&[0, 1, 2]);
        let mut one = kept(&[0]);
        let mut other = kept(&[1, 2]);
        let RowSum::One(values) = &mut one.answer.sums[0] else { panic!("one expert") };
        values[0] += 1.0;
        one.answer.digests[0] = digest(values);
        let RowSum::Many(sum) = &mut other.answer.sums[0] else { panic!("two experts") };
        sum[0] -= 1 << 40;
        assert!(!checked.agrees_with(&[Arc::new(one), Arc::new(other)]));
    }
}
