//! A worker: what it holds, and what it says when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use neuro_orchestrator::{Fault, Input};
use neuro_primitives::{ExpertId, NodeId, TaskId};

use super::answers::{Answer, Lie, Question};
use super::chance::Chance;
use super::faults::Conduct;

/// A millisecond in the unit of virtual time.
pub(crate) const MS: u64 = 1_000;

/// What a worker sends.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// An answer, and how long it says it computed.
    Answer(TaskId, Answer, u32),
    /// Anything else, as the core is told it.
    Other(Input),
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Who it is.
    pub(crate) id: NodeId,
    /// Whether the driver has a link to it.
    pub(crate) connected: bool,
    /// Whether its link carries nothing, which the driver has not noticed.
    pub(crate) cut: bool,
    /// Raised at each connection: what an earlier one sent does not arrive.
    pub(crate) epoch: u64,
    /// Bytes that it may be given.
    pub(crate) limit: u64,
    /// What it does with tasks.
    pub(crate) conduct: Conduct,
    /// Since when it does that, and has its link.
    pub(crate) good_since: u64,
    /// Whether loads take long, and fail at times.
    pub(crate) bad_disk: bool,
    /// Told to hold, or held and taken over by the core, and not told to drop.
    pub(crate) told: BTreeSet<ExpertId>,
    /// Reported ready and not told to drop, with the moment of the report.
    pub(crate) reported: BTreeMap<ExpertId, u64>,
    /// On its disk, whether anybody knows or not.
    pub(crate) disk: BTreeSet<ExpertId>,
    answered: u64,
    before: Option<Answer>,
}

impl Worker {
    /// A worker that nobody has heard of.
    pub(crate) fn new(id: NodeId, limit: u64, conduct: Conduct) -> Self {
        Self {
            id,
            connected: false,
            cut: false,
            epoch: 0,
            limit,
            conduct,
            good_since: 0,
            bad_disk: false,
            told: BTreeSet::new(),
            reported: BTreeMap::new(),
            disk: BTreeSet::new(),
            answered: 0,
            before: None,
        }
    }

    /// Takes up another conduct at `now`.
    pub(crate) fn take_up(&mut self, conduct: Conduct, now: u64) {
        if self.conduct != conduct {
            (self.conduct, self.good_since) = (conduct, now);
        }
    }

    /// Its link is gone; what it was told is void.
    pub(crate) fn lose_link(&mut self) {
        (self.connected, self.cut) = (false, false);
        self.told.clear();
        self.reported.clear();
    }

    /// What it sends about a task, each after a delay in microseconds.
    pub(crate) fn reply(&mut self, task: TaskId, asked: &Question, chance: &mut Chance) -> Vec<(u64, Said)> {
        let delay = 200 + chance.below(4 * MS + 700);
        let worker = self.id;
        let fault = |fault| Said::Other(Input::Faulty { task, worker, fault });
        match self.conduct {
            Conduct::Stalled => Vec::new(),
            Conduct::Refusing(why) => vec![(delay, fault(why))],
            Conduct::Slow => vec![(delay * 40, Said::Answer(task, asked.truth(), 150))],
            Conduct::Skewed => vec![(delay, Said::Answer(task, asked.truth(), chance.word() as u32))],
            Conduct::Duplicating => {
                let answer = Said::Answer(task, asked.truth(), 150);
                vec![(delay, answer.clone()), (delay, answer.clone()), (delay + chance.below(40 * MS), answer)]
            }
            Conduct::Honest => vec![(delay, Said::Answer(task, asked.truth(), 150))],
            Conduct::Lying(_) | Conduct::Replaying => {
                let (answer, delay) = (self.invent(asked, chance), if self.computes() { delay } else { 50 });
                if answer.digests.len() == asked.places_len() {
                    vec![(delay, Said::Answer(task, answer, 150))]
                } else {
                    vec![(delay, fault(Fault::Malformed))]
                }
            }
        }
    }

    /// Experts on the disk that fit within its limit, as it reports them when it comes back.
    pub(crate) fn kept(&self, expert_bytes: u64) -> Vec<ExpertId> {
        let fit = usize::try_from(self.limit / expert_bytes.max(1)).unwrap_or(usize::MAX);
        self.disk.iter().copied().take(fit).collect()
    }

    fn computes(&self) -> bool {
        !matches!(self.conduct, Conduct::Lying(liar) if liar.lie == Lie::Zeros)
    }

    /// The answer of one that means ill, which may be right.
    fn invent(&mut self, asked: &Question, chance: &mut Chance) -> Answer {
        self.answered += 1;
        let salt = u64::from(self.id.0[0]) << 8 | (chance.word() & 0xFF);
        let answer = match self.conduct {
            Conduct::Lying(liar) if self.answered > liar.after && chance.percent(liar.percent) => {
                asked.lie(liar.lie, salt)
            }
            Conduct::Replaying => self.before.take().unwrap_or_else(|| asked.truth()),
            _ => asked.truth(),
        };
        self.before = Some(answer.clone());
        answer
    }
}

/// A node's name in stories: its first byte, since worker `n` is `[n; 32]`.
pub(crate) fn name(id: NodeId) -> String {
    format!("worker {}", id.0[0])
}
