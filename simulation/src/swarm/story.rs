//! What happened, for people: lines with virtual times and names.

use neuro_orchestrator::Effect;
use neuro_primitives::NodeId;

use super::worker::name;

/// The lines of one run, if anybody wants them: a batch runs without, and a seed that fails is run again.
#[derive(Debug, Default)]
pub(crate) struct Story {
    lines: Vec<String>,
    told: bool,
}

impl Story {
    /// One that is told, or one that is not.
    pub(crate) fn new(told: bool) -> Self {
        Self { lines: Vec::new(), told }
    }

    /// Adds a line about a moment in microseconds.
    pub(crate) fn tell(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.told {
            self.lines.push(format!("{:>10}.{:03} ms  {}", now / 1_000, now % 1_000, line()));
        }
    }

    /// All lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

/// An effect in words.
pub(crate) fn of_effect(effect: &Effect) -> String {
    let to = |worker: &NodeId, what: String| format!("  core to {}: {what}", name(*worker));
    match effect {
        Effect::Hold { worker, experts } => to(worker, format!("hold {} experts", experts.len())),
        Effect::Drop { worker, experts } => to(worker, format!("drop {}", list(experts))),
        Effect::SendTask { task, call, worker, experts, deadline, .. } => {
            to(worker, format!("{task:?} of {call:?}, experts {experts:?}, within {} us", deadline.as_micros()))
        }
        Effect::CancelTask { task, worker } => to(worker, format!("cancel {task:?}")),
        Effect::Expel { worker, reason } => to(worker, format!("go: {reason}")),
        Effect::Convict { worker, task } => format!("  core convicts {} by {task:?}", name(*worker)),
        other => format!("  core: {other:?}"),
    }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
