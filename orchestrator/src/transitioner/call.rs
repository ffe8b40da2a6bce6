//! What is remembered of a call and of a task.

use std::time::Duration;

use neuro_primitives::{CallId, Moment, TaskId};

use super::Witness;
use crate::effect::CheckId;
use crate::input::Redundancy;
use crate::registry::{Size, Slot};

/// How far one expert of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartState {
    /// No task is pending for it.
    Waiting,
    /// A task is pending.
    Sent,
    /// Its contribution is in the sum.
    Accepted,
}

/// One expert of a call.
#[derive(Debug)]
pub(super) struct Part {
    /// The expert within the layer.
    pub(super) expert: u16,
    /// Its index in the catalogue.
    pub(super) index: usize,
    /// Rows that go to it.
    pub(super) rows: u32,
    /// How far it is.
    pub(super) state: PartState,
    /// Tasks sent for it.
    pub(super) attempts: u32,
    /// How many of these were late.
    pub(super) late: u32,
    /// How many of these were refused or wrong.
    pub(super) refusals: u32,
    /// Workers asked, in order. At most as many as attempts.
    pub(super) tried: Vec<Slot>,
    /// Workers that were sent its rows, as witnesses too. Whoever gets them again knows that something is checked, and can
    /// repeat itself.
    pub(super) asked: Vec<Slot>,
    /// The smallest late task that covers it. Only experts of the same origin share a re-issue.
    pub(super) origin: Option<TaskId>,
    /// Workers that were tried are not asked again before this.
    pub(super) not_before: Moment,
    /// Since when nobody serves it.
    pub(super) unheld_since: Option<Moment>,
    /// It waits because its task is slow, not because it failed.
    pub(super) backup: bool,
}

impl Part {
    /// A part that waits for its first task.
    pub(super) fn new(expert: u16, index: usize, rows: u32) -> Self {
        Self {
            expert,
            index,
            rows,
            state: PartState::Waiting,
            attempts: 0,
            late: 0,
            refusals: 0,
            tried: Vec::new(),
            asked: Vec::new(),
            origin: None,
            not_before: Moment(0),
            unheld_since: None,
            backup: false,
        }
    }
}

/// One call in flight.
#[derive(Debug)]
pub(super) struct Call {
    /// Its experts, ascending by catalogue index.
    pub(super) parts: Vec<Part>,
    /// Its tasks, pending and late.
    pub(super) tasks: Vec<TaskId>,
    /// When it is looked at again, if a timer is set.
    pub(super) timer: Option<Moment>,
    /// Of how many workers each expert is asked from the start.
    pub(super) redundancy: Redundancy,
}

impl Call {
    /// A call of which nothing was sent.
    pub(super) fn new(parts: Vec<Part>, redundancy: Redundancy) -> Self {
        Self { parts, tasks: Vec::new(), timer: None, redundancy }
    }

    /// The part of an expert.
    pub(super) fn part(&self, index: usize) -> Option<&Part> {
        self.parts.binary_search_by_key(&index, |part| part.index).ok().map(|place| &self.parts[place])
    }

    /// The part of an expert, to change.
    pub(super) fn part_mut(&mut self, index: usize) -> Option<&mut Part> {
        self.parts.binary_search_by_key(&index, |part| part.index).ok().map(|place| &mut self.parts[place])
    }

    /// Whether none of the experts was accepted.
    pub(super) fn is_open(&self, experts: &[usize]) -> bool {
        experts.iter().all(|index| self.part(*index).is_some_and(|part| part.state != PartState::Accepted))
    }

    /// Whether all experts were accepted.
    pub(super) fn is_done(&self) -> bool {
        self.parts.iter().all(|part| part.state == PartState::Accepted)
    }

    /// The numbers within the layer of experts given by index.
    pub(super) fn numbers(&self, experts: &[usize]) -> Vec<u16> {
        experts.iter().filter_map(|index| self.part(*index)).map(|part| part.expert).collect()
    }
}

/// One task in flight.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// Its call.
    pub(super) call: CallId,
    /// Who was asked.
    pub(super) worker: Slot,
    /// Its experts by catalogue index, ascending.
    pub(super) experts: Vec<usize>,
    /// Rows summed over its experts.
    pub(super) row_experts: u64,
    /// When it was sent.
    pub(super) sent: Moment,
    /// When it is late.
    pub(super) deadline: Moment,
    /// When it would be if others had been left to ask as it was sent. Whoever holds its experts by then is asked too.
    pub(super) overdue: Moment,
    /// Whether that moment has passed.
    pub(super) late: bool,
    /// What it was expected to compute, in microseconds.
    pub(super) work_us: u64,
    /// What was in flight at the worker before it, in microseconds.
    pub(super) ahead_us: u64,
    /// When a second worker is asked, if a timer is set.
    pub(super) backup_at: Option<Moment>,
    /// Whether a second worker was asked because this one is slow.
    pub(super) backed_up: bool,
    /// Whether its answer came and waits for its check.
    pub(super) held: bool,
    /// The check of its answer.
    pub(super) check: Option<CheckId>,
    /// The check that it is a witness of. Then it is none of its call's tasks.
    pub(super) witness_of: Option<Witness>,
}

impl Task {
    /// How large it is; `None` for a spot check, which may have had fewer rows than the core knows of.
    pub(super) fn size(&self) -> Option<Size> {
        let size = Size {
            experts: self.experts.len() as u64,
            row_experts: self.row_experts,
            ahead: Duration::from_micros(self.ahead_us),
        };
        self.witness_of.is_none_or(|witness| !witness.spot).then_some(size)
    }

    /// Whether its experts wait for it alone: a new worker must be asked if it fails.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.late && !self.backed_up && self.witness_of.is_none()
    }
}
