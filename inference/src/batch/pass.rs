//! What one pass of a batch runs, and what comes of it.

use std::collections::BTreeMap;
use std::time::Instant;

use neuro_primitives::JobId;

use super::lanes::Lanes;
use super::sequence::{Rank, Sequence};
use super::{Batch, PREFILL_ROWS, Shares, Update};
use crate::error::ForwardError;
use crate::experts::ExpertLayers;
use crate::kv_cache::PAGE_POSITIONS;
use crate::trunk::{MAX_CHUNK_ROWS, PassError, Portion};

/// The rows of a pass: how many tokens of which jobs.
pub(super) type Planned = BTreeMap<JobId, usize>;

/// A sequence that could run: its rank, its job, its rows.
type Candidate = (Rank, JobId, usize);

impl Batch<'_> {
    /// Chooses the rows of the next pass and gets their pages: one row of everybody who decodes, the first in rank first,
    /// and the prompts that come next by `shares` as far as rows are left. A prompt that gets no pages leaves its rows to
    /// the next.
    pub(super) fn plan(&mut self, shares: &Shares) -> Planned {
        self.resume();
        let (decoding, prompts) = self.candidates(shares);
        let mut planned = Planned::new();
        for (rank, job, _) in decoding.into_iter().take(MAX_CHUNK_ROWS) {
            if self.make_room(rank, job, 1, &mut planned) {
                planned.insert(job, 1);
            }
        }
        let left = MAX_CHUNK_ROWS - planned.len();
        let mut left = if planned.is_empty() { left } else { left.min(PREFILL_ROWS) };
        for (rank, job, pending) in prompts {
            let rows = pending.min(left);
            if rows > 0 && self.make_room(rank, job, rows, &mut planned) {
                planned.insert(job, rows);
                left -= rows;
            }
        }
        planned
    }

    /// Who can go on, and with how many rows: those who decode by rank, and prompts by who was served least.
    fn candidates(&mut self, shares: &Shares) -> (Vec<Candidate>, Vec<Candidate>) {
        let suspects = self.next_suspects();
        let chosen = |sequence: &&Sequence<'_>| match &suspects {
            Some(jobs) => jobs.contains(&sequence.job),
            None => sequence.runs(),
        };
        let mut chosen: Vec<&Sequence<'_>> = self.sequences.values().filter(chosen).collect();
        chosen.sort_by_key(|sequence| sequence.rank);
        let (decoding, mut prompts): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|sequence| sequence.decodes());
        prompts.sort_by_key(|sequence| shares.standing(&sequence.account));
        let candidate = |sequence: &Sequence<'_>| (sequence.rank, sequence.job, sequence.pending().len());
        (decoding.into_iter().map(candidate).collect(), prompts.into_iter().map(candidate).collect())
    }

    /// The group that is to be run by itself, as far as it still runs.
    fn next_suspects(&mut self) -> Option<Vec<JobId>> {
        while let Some(mut group) = self.suspects.pop_front() {
            group.retain(|job| self.sequences.get(job).is_some_and(|sequence| !sequence.is_preempted()));
            if !group.is_empty() {
                return Some(group);
            }
        }
        None
    }

    /// Lets preempted sequences go on, first the first in rank, while there are pages for all their tokens and one more for
    /// everybody who runs. The pages of those that nobody reads do not stand in the way.
    fn resume(&mut self) {
        while let Some(first) = self.sequences.values().filter(|one| one.waits()).min_by_key(|one| one.rank) {
            let (job, pages) = (first.job, (first.len() + 1).div_ceil(PAGE_POSITIONS));
            let running = self.sequences.values().filter(|one| one.runs()).count();
            if running > 0 && pages + running > self.pages.available() {
                if !self.preempt_last(|other| other.paused) {
                    return;
                }
            } else if let Some(sequence) = self.sequences.get_mut(&job) {
                sequence.adopt(&mut self.pages);
            }
        }
    }

    /// Gets pages for `rows` more of `job`, from sequences behind it in rank if there is no other way. Whether it worked.
    fn make_room(&mut self, rank: Rank, job: JobId, rows: usize, planned: &mut Planned) -> bool {
        loop {
            let Some(sequence) = self.sequences.get_mut(&job).filter(|sequence| !sequence.is_preempted()) else {
                return false;
            };
            if sequence.grow(&mut self.pages, rows) {
                return true;
            }
            if !self.preempt_last(|other| other.gives_way(rank, job)) {
                return false;
            }
            planned.retain(|job, _| self.sequences.get(job).is_some_and(|sequence| !sequence.is_preempted()));
        }
    }

    /// Takes the pages of the last in rank among those that have some and that `gives_way` names, of one that nobody reads
    /// before all others. Whether there was one.
    fn preempt_last(&mut self, gives_way: impl Fn(&Sequence<'_>) -> bool) -> bool {
        let with_pages = self.sequences.values_mut().filter(|other| gives_way(other) && !other.pages().is_empty());
        let Some(last) = with_pages.max_by_key(|other| (other.paused, other.rank)) else { return false };
        last.preempt(&mut self.pages);
        self.preemptions += 1;
        true
    }

    /// Runs the planned rows.
    pub(super) fn run(
        &mut self,
        planned: &Planned,
        experts: &dyn ExpertLayers,
    ) -> Result<Vec<Option<Vec<f32>>>, PassError> {
        let of = |(job, rows): (&JobId, &usize)| {
            let sequence = self.sequences.get(job)?;
            let pending = sequence.pending();
            let (ids, wants_logits) = (&pending[..*rows], *rows == pending.len());
            Some(Portion { job: *job, pages: sequence.pages(), first: sequence.held(), ids, wants_logits })
        };
        let portions: Vec<Portion<'_>> = planned.iter().filter_map(of).collect();
        let lanes = self.lane_times.choose(portions.len(), experts.is_away());
        let (begun, pool) = (Instant::now(), self.pages.pool_mut());
        let logits = match lanes {
            Lanes::One => self.trunk.pass(pool, &portions, experts, &mut |_, _| ()),
            Lanes::Two => self.trunk.pass_in_two_lanes(pool, &portions, experts),
        }?;
        if portions.iter().all(|portion| portion.ids.len() == 1) {
            self.lane_times.note(lanes, portions.len(), begun.elapsed());
        }
        Ok(logits)
    }

    /// The planned rows are computed: draws tokens, and ends what is complete.
    pub(super) fn settle(
        &mut self,
        planned: &Planned,
        logits: Vec<Option<Vec<f32>>>,
        shares: &mut Shares,
    ) -> Vec<(JobId, Update)> {
        let mut updates = Vec::new();
        for ((job, rows), logits) in planned.iter().zip(logits) {
            let Some(sequence) = self.sequences.get_mut(job) else { continue };
            sequence.advance(*rows, &mut self.pages);
            let Some(logits) = logits else { continue };
            if let Err(error) = self.trunk.check_finite(&logits, sequence.held() - 1) {
                updates.push(self.failed(*job, error));
                continue;
            }
            let (event, done) = sequence.draw(&logits);
            shares.token(&sequence.account);
            updates.push((*job, Update::Token(event)));
            if let Some(generated) = done {
                self.end(*job);
                updates.push((*job, Update::Done(generated)));
            }
        }
        updates
    }

    /// The pass failed: fails who is at fault, or looks for them in halves.
    pub(super) fn unsettle(&mut self, planned: &Planned, failed: PassError) -> Vec<(JobId, Update)> {
        let jobs: Vec<JobId> = planned.keys().copied().collect();
        let at_fault: Vec<JobId> = failed.portions.iter().filter_map(|portion| jobs.get(*portion)).copied().collect();
        match (at_fault.as_slice(), jobs.as_slice()) {
            ([], [job]) => vec![self.failed(*job, failed.error)],
            ([], jobs) => {
                let (left, right) = jobs.split_at(jobs.len() / 2);
                self.suspects.push_front(right.to_vec());
                self.suspects.push_front(left.to_vec());
                Vec::new()
            }
            (at_fault, _) => at_fault.iter().map(|job| self.failed(*job, failed.error.clone())).collect(),
        }
    }

    fn failed(&mut self, job: JobId, error: ForwardError) -> (JobId, Update) {
        self.end(job);
        (job, Update::Failed(error.into()))
    }
}
