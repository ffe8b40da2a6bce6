//! One worker: its copies, its memory, what is in flight there, and how it has behaved.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use neuro_primitives::{Moment, NodeId, TaskId};

use super::TrackRecord;
use crate::estimate::{Estimate, Sample};
use crate::fading::Fading;
use crate::metering::LatencyWindow;
use crate::pace::{ENOUGH, Pace};
use crate::placement::Handicap;
use crate::settings::GIVEN_UP_WINDOW;
use crate::views::{WorkerState, WorkerView};

/// The life of one expert at one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyState {
    /// Memory is set aside; the worker was not told yet.
    Queued,
    /// The worker was told to load it.
    Loading,
    /// It may be asked for it.
    Ready,
    /// It may be asked for it until its replacement elsewhere is ready.
    Leaving,
    /// Dropped as soon as nothing is in flight. Asked only when every other holder was tried in vain.
    Retiring,
}

impl CopyState {
    /// Whether the copy is meant to stay.
    pub(crate) fn is_planned(self) -> bool {
        matches!(self, Self::Queued | Self::Loading | Self::Ready)
    }

    /// Whether tasks may be sent for it.
    pub(crate) fn serves(self) -> bool {
        matches!(self, Self::Ready | Self::Leaving)
    }
}

/// One expert at one worker.
#[derive(Debug, Clone)]
pub(crate) struct ExpertCopy {
    /// Where it is in its life.
    pub(crate) state: CopyState,
    /// Tasks that need it and are not forgotten.
    pub(crate) in_flight: u32,
}

/// A task that nobody waits for any more but that may still be answered.
#[derive(Debug, Clone)]
pub(crate) struct GivenUp {
    /// The task.
    pub(crate) task: TaskId,
    /// When it was sent.
    pub(crate) sent: Moment,
    /// What its answer will tell of the worker's pace, but for the times. `None` if it had an unknown number of rows.
    pub(crate) size: Option<Size>,
}

/// How large a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Its experts.
    pub(crate) experts: u64,
    /// Rows summed over them.
    pub(crate) row_experts: u64,
    /// What was in flight at the worker when it was sent, as time.
    pub(crate) ahead: Duration,
}

impl Size {
    /// The sample of its answer.
    pub(crate) const fn answered(self, round_trip: Duration, compute: Duration) -> Sample {
        Sample { round_trip, compute, ahead: self.ahead, experts: self.experts, row_experts: self.row_experts }
    }
}

/// One live worker.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    /// The most bytes it may be given.
    pub(crate) memory_limit_bytes: u64,
    /// Bytes of all its copies, queued and retiring ones included.
    pub(crate) assigned_bytes: u64,
    /// Its copies by expert index. Changed through the registry only.
    pub(crate) copies: BTreeMap<usize, ExpertCopy>,
    /// Copies in state [`CopyState::Queued`].
    pub(crate) queued: usize,
    /// Copies in state [`CopyState::Loading`].
    pub(crate) loading: usize,
    /// When its loads are due to have made progress; a timer is set for it.
    pub(crate) loads_due: Option<Moment>,
    /// Experts that it was told to drop since it was last told to hold them: a report that it holds one is older.
    pub(crate) dropped: BTreeSet<usize>,
    /// Experts that it failed to load, and when it may be asked again.
    pub(crate) refused: BTreeMap<usize, Moment>,
    /// Tasks waited for.
    pub(crate) pending: usize,
    /// What these are expected to compute, in microseconds.
    pub(crate) backlog_us: u64,
    /// How long it takes.
    pub(crate) estimate: Estimate,
    /// What its load counts in placement.
    pub(crate) handicap: Handicap,
    /// Whether it was here for long and answered right: see `Settings::proven_after`.
    pub(crate) proven: bool,
    /// Its recent round trips.
    pub(crate) latency: LatencyWindow,
    /// Their quantiles by batch class.
    pub(crate) pace: Pace,
    /// For how long it was asked without any answer since it was last heard. Time in which it was not asked does not count.
    silence: Duration,
    /// Up to when that is counted.
    silence_until: Moment,
    /// Whether it is looked at again, since it missed the deadline of a task before it answered any.
    watched: bool,
    /// When it last answered anything, or joined.
    heard: Moment,
    /// Tasks whose answer was accepted.
    pub(crate) tasks_done: u64,
    /// Tasks that passed their deadline.
    pub(crate) tasks_late: u64,
    /// Faults held against it, over all its connections.
    pub(crate) faults: Fading,
    /// Its earlier connections that ended in silence.
    silences: Fading,
    /// Tasks that it answered over this one, in time or not.
    answers: u32,
    joined: Moment,
    given_up: VecDeque<GivenUp>,
}

impl Worker {
    /// A worker that joined at `now` with room for `memory_limit_bytes`.
    pub(crate) fn new(memory_limit_bytes: u64, now: Moment) -> Self {
        Self {
            memory_limit_bytes,
            assigned_bytes: 0,
            copies: BTreeMap::new(),
            queued: 0,
            loading: 0,
            loads_due: None,
            dropped: BTreeSet::new(),
            refused: BTreeMap::new(),
            pending: 0,
            backlog_us: 0,
            estimate: Estimate::default(),
            handicap: Handicap::default(),
            proven: false,
            latency: LatencyWindow::default(),
            pace: Pace::default(),
            silence: Duration::ZERO,
            silence_until: now,
            watched: false,
            heard: now,
            tasks_done: 0,
            tasks_late: 0,
            faults: Fading::default(),
            silences: Fading::default(),
            answers: 0,
            joined: now,
            given_up: VecDeque::new(),
        }
    }

    /// Takes over what is known from earlier connections.
    pub(super) fn recall(&mut self, record: TrackRecord) {
        let TrackRecord { estimate, pace, faults, silences } = record;
        (self.estimate, self.pace, self.faults, self.silences) = (estimate, pace, faults, silences);
    }

    /// What its next connection is to know, when this one has ended.
    pub(super) fn take_record(&mut self) -> TrackRecord {
        let (estimate, pace) = (std::mem::take(&mut self.estimate), std::mem::take(&mut self.pace));
        TrackRecord { estimate, pace, faults: self.faults, silences: self.silences }
    }

    /// Notes the end of its connection; if it ended in silence, how many did lately. A worker that gave more than a few
    /// answers may lose its link in the midst of its work: it is silent if it was asked in vain for `longest`.
    pub(crate) fn note_end(&mut self, longest: Duration, now: Moment) -> Option<u32> {
        let silent = !self.silence.is_zero() && (self.answers < ENOUGH || self.silence >= longest);
        silent.then(|| self.silences.add(now))
    }

    /// Changes a copy, and the bytes and counts with it. Returns the state before. For the registry.
    pub(super) fn set(&mut self, expert: usize, bytes: u64, to: Option<CopyState>) -> Option<CopyState> {
        let from = self.copies.get(&expert).map(|copy| copy.state);
        for (state, step) in [(from, -1), (to, 1)] {
            match state {
                Some(CopyState::Queued) => self.queued = self.queued.saturating_add_signed(step),
                Some(CopyState::Loading) => self.loading = self.loading.saturating_add_signed(step),
                _ => {}
            }
        }
        match (from, to) {
            (None, Some(state)) => {
                self.copies.insert(expert, ExpertCopy { state, in_flight: 0 });
                self.assigned_bytes += bytes;
            }
            (Some(_), None) => {
                self.copies.remove(&expert);
                self.assigned_bytes -= bytes;
            }
            (Some(_), Some(state)) => {
                if let Some(copy) = self.copies.get_mut(&expert) {
                    copy.state = state;
                }
            }
            (None, None) => {}
        }
        from
    }

    /// When it joined.
    pub(crate) const fn joined(&self) -> Moment {
        self.joined
    }

    /// Bytes that may still be given to it.
    pub(crate) fn room(&self) -> u64 {
        self.memory_limit_bytes.saturating_sub(self.assigned_bytes)
    }

    /// What placement counts for its copies that are meant to stay: their weights by expert index, times its handicap.
    pub(crate) fn load(&self, weights: &[u64]) -> u64 {
        let planned = self.copies.iter().filter(|(_, copy)| copy.state.is_planned());
        planned.map(|(expert, _)| self.handicap.times(weights[*expert])).sum()
    }

    /// Takes an answer's timing in: any answer shows that the worker lives.
    pub(crate) fn answered(&mut self, sample: &Sample, now: Moment) {
        self.estimate.record(sample, now);
        self.note_answer(sample, now);
    }

    /// Takes in the timing of an answer that nobody waited for any more. Averages leave it out, as quantiles leave out
    /// stragglers: one that stalls now and then is slow no longer than it stalls. A newcomer's first answers may all be such.
    pub(crate) fn answered_too_late(&mut self, sample: &Sample, now: Moment) {
        if self.answers < ENOUGH {
            self.estimate.record(sample, now);
        }
        self.note_answer(sample, now);
    }

    fn note_answer(&mut self, sample: &Sample, now: Moment) {
        self.latency.record(sample.round_trip);
        self.pace.take(sample);
        self.answers = self.answers.saturating_add(1);
        self.alive(now);
    }

    /// Notes any sign of life in answer to a task. Returns the silence: none.
    pub(crate) fn alive(&mut self, now: Moment) -> Duration {
        self.heard = now;
        self.silence = Duration::ZERO;
        self.silence
    }

    /// Notes a missed deadline of a task sent at `sent`. Returns for how long the worker was asked in vain.
    pub(crate) fn missed(&mut self, sent: Moment, now: Moment) -> Duration {
        self.tasks_late += 1;
        self.estimate.doubt(now.since(sent), now);
        self.in_vain(sent, now)
    }

    /// Notes a task sent at `sent` without any answer. Returns for how long the worker was asked in vain.
    pub(crate) fn in_vain(&mut self, sent: Moment, now: Moment) -> Duration {
        if self.heard <= sent {
            self.silence += now.since(sent.max(self.silence_until));
            self.silence_until = now;
        }
        self.silence
    }

    /// Whether it was asked, and nobody knows whether it will answer: it did not lately, or it is new and its first task is
    /// under way.
    pub(crate) fn is_unheard(&self) -> bool {
        !self.silence.is_zero() || self.is_tried_now()
    }

    /// Whether it is new and its first task is under way. One that never answers stalls one call so, not all.
    pub(crate) fn is_tried_now(&self) -> bool {
        self.pending > 0 && self.estimate.is_blank()
    }

    /// Notes that others answered a task sent at `sent` before it did. Returns for how long it was asked in vain. A newcomer
    /// is not asked first again: nobody knows whether it answers at all.
    pub(crate) fn overtaken(&mut self, sent: Moment, now: Moment) -> Duration {
        if self.answers < ENOUGH && self.heard <= sent {
            self.estimate.doubt(now.since(sent), now);
        }
        self.in_vain(sent, now)
    }

    /// Whether it answered nothing over this connection, and that is not watched yet; it is from now on.
    pub(crate) fn is_to_be_watched(&mut self) -> bool {
        self.answers == 0 && !std::mem::replace(&mut self.watched, true)
    }

    /// Whether nothing was heard of it until `now` for `span`, and no answer at all.
    pub(crate) fn never_answered(&self, span: Duration, now: Moment) -> bool {
        self.answers == 0 && self.heard.after(span) <= now
    }

    /// Remembers a task that nobody waits for any more, within the window.
    pub(crate) fn give_up(&mut self, given_up: GivenUp) {
        if self.given_up.len() == GIVEN_UP_WINDOW {
            self.given_up.pop_front();
        }
        self.given_up.push_back(given_up);
    }

    /// Takes a given-up task out of the window, if it is there.
    pub(crate) fn take_given_up(&mut self, task: TaskId) -> Option<GivenUp> {
        let place = self.given_up.iter().position(|entry| entry.task == task)?;
        self.given_up.remove(place)
    }

    /// The worker for status pages.
    pub(crate) fn view(&self, id: NodeId) -> WorkerView {
        let ready = self.copies.values().filter(|copy| copy.state.serves()).count();
        WorkerView {
            id,
            state: self.state(),
            experts_ready: ready,
            experts_assigned: self.copies.len(),
            assigned_bytes: self.assigned_bytes,
            memory_limit_bytes: self.memory_limit_bytes,
            latency_p50: self.latency.quantile(50),
            latency_p95: self.latency.quantile(95),
            row_expert_time: self.estimate.row_time(),
            overhead: self.estimate.overhead(),
            in_flight: self.pending,
            tasks_done: self.tasks_done,
            tasks_late: self.tasks_late,
            faults: self.faults.last(),
            joined: self.joined,
        }
    }

    fn state(&self) -> WorkerState {
        match (self.copies.is_empty(), self.queued + self.loading) {
            (true, _) => WorkerState::Joining,
            (false, 0) => WorkerState::Ready,
            (false, _) => WorkerState::Loading,
        }
    }
}
