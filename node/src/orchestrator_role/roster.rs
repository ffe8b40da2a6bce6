//! What workers say about themselves: facts for status pages, never for decisions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use neuro_orchestrator::store::WorkerRecord;
use neuro_primitives::{NodeId, UnixMillis};
use neuro_protocol::control::{Beat, Calibration, Hardware, JoinRequest};

use super::hardware;

/// Workers that are kept after they left, so that status shows who is gone. The oldest is forgotten first.
const GONE_KEPT: usize = 64;

/// Bytes fetched from which on a rate is told.
const ENOUGH_FETCHED: u64 = 8 << 20;

/// The facts about the workers of this run, and about the latest of those before.
#[derive(Debug, Default)]
pub struct Roster(Mutex<BTreeMap<NodeId, Facts>>);

/// What is known of one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The name that its owner gave it.
    pub name: String,
    /// The engine class that it computes with.
    pub engine: String,
    /// The version of its program.
    pub version: String,
    /// Threads that compute.
    pub threads: u32,
    /// Bytes of experts that it may hold.
    pub memory_limit_bytes: u64,
    /// Bytes of experts in its memory, as it said last.
    pub resident_bytes: u64,
    /// What its machine has.
    pub hardware: Option<Hardware>,
    /// How fast it computed when it joined.
    pub calibration: Option<Calibration>,
    /// What it fetched, and how long that took.
    pub fetched: Fetched,
    /// How long the greeting over its link took, there and back.
    pub greeted: Option<Duration>,
    /// When it joined.
    pub connected: UnixMillis,
    /// Whether it attends now.
    pub present: bool,
}

/// Weights that a worker fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes.
    pub bytes: u64,
    /// While bytes were on their way.
    pub span: Duration,
}

impl Fetched {
    /// Bytes a second, once there are enough to tell: the first ones only fill buffers.
    #[must_use]
    pub fn bytes_per_s(&self) -> Option<u64> {
        let seconds = self.span.as_secs_f64();
        (self.bytes >= ENOUGH_FETCHED && seconds > 0.0).then(|| (self.bytes as f64 / seconds) as u64)
    }
}

impl Roster {
    /// The workers that runs before this one saw, as gone.
    pub fn of_before(mut records: Vec<WorkerRecord>) -> Self {
        records.sort_by_key(|record| std::cmp::Reverse(record.last_seen_s));
        let facts = records.into_iter().take(GONE_KEPT).map(|record| (record.id, Facts::of_before(record)));
        Self(Mutex::new(facts.collect()))
    }

    /// A worker was admitted. It counts as present once it attends: a node that only ever joins is forgotten in time.
    pub fn joined(&self, worker: NodeId, request: &JoinRequest, now: UnixMillis) {
        let facts = Facts {
            name: shown(&request.name),
            engine: shown(&request.engine),
            version: shown(&request.version),
            threads: request.threads,
            memory_limit_bytes: request.memory_limit_bytes,
            resident_bytes: 0,
            hardware: request.hardware.as_ref().map(hardware::readable),
            calibration: None,
            fetched: Fetched::default(),
            greeted: None,
            connected: now,
            present: false,
        };
        let mut workers = self.lock();
        workers.insert(worker, facts);
        while workers.values().filter(|facts| !facts.present).count() > GONE_KEPT {
            let oldest = workers.iter().filter(|(_, facts)| !facts.present).min_by_key(|(_, facts)| facts.connected);
            let Some(oldest) = oldest.map(|(worker, _)| *worker) else { break };
            workers.remove(&oldest);
        }
    }

    /// A worker attends, whom it took so long to greet. Returns what is known of it from now on.
    pub fn attends(&self, worker: NodeId, greeted: Duration) -> Option<Facts> {
        let mut workers = self.lock();
        let facts = workers.get_mut(&worker)?;
        (facts.present, facts.greeted) = (true, Some(greeted));
        Some(facts.clone())
    }

    /// A worker said how fast it is.
    pub fn calibrated(&self, worker: NodeId, mut calibration: Calibration) {
        calibration.weight_type = shown(&calibration.weight_type);
        if let Some(facts) = self.lock().get_mut(&worker) {
            facts.calibration = Some(calibration);
        }
    }

    /// A worker took so many bytes of weights in this time.
    pub fn fetched(&self, worker: NodeId, bytes: u64, span: Duration) {
        if let Some(facts) = self.lock().get_mut(&worker) {
            facts.fetched.bytes += bytes;
            facts.fetched.span += span;
        }
    }

    /// A worker sent its counters.
    pub fn beat(&self, worker: NodeId, beat: &Beat) {
        if let Some(facts) = self.lock().get_mut(&worker) {
            facts.resident_bytes = beat.resident_bytes;
        }
    }

    /// A worker is gone.
    pub fn left(&self, worker: NodeId) {
        if let Some(facts) = self.lock().get_mut(&worker) {
            facts.present = false;
        }
    }

    /// The facts about one worker.
    #[must_use]
    pub fn facts(&self, worker: NodeId) -> Option<Facts> {
        self.lock().get(&worker).cloned()
    }

    /// All workers, first come first.
    #[must_use]
    pub fn all(&self) -> Vec<(NodeId, Facts)> {
        let mut all: Vec<_> = self.lock().iter().map(|(worker, facts)| (*worker, facts.clone())).collect();
        all.sort_by_key(|(worker, facts)| (facts.connected, *worker));
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn of_before(record: WorkerRecord) -> Self {
        Self {
            name: record.name,
            threads: record.hardware.cores,
            memory_limit_bytes: 0,
            resident_bytes: 0,
            hardware: hardware::told(&record.hardware),
            engine: record.hardware.engine,
            version: record.hardware.version,
            calibration: None,
            fetched: Fetched::default(),
            greeted: None,
            connected: UnixMillis(record.last_seen_s * 1000),
            present: false,
        }
    }
}

/// A stranger's text as it may be shown on a terminal: short, and without control characters.
pub fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use neuro_orchestrator::Standing;
    use neuro_orchestrator::store::Hardware as Recorded;

    use super::*;

    #[test]
    fn names_cannot_write_to_the_terminal() {
        assert_eq!(shown("\u{1b}[2Jnice\nname"), "[2Jnicename");
        assert_eq!(shown(&"x".repeat(1000)).len(), 64);
    }

    #[test]
    fn the_latest_of_earlier_runs_are_shown_as_gone() {
        let record = |number: u8| WorkerRecord {
            id: NodeId([number; 32]),
            name: format!("worker-{number}"),
            team: None,
            hardware: Recorded { cores: 4, ..Recorded::default() },
            first_seen_s: 1,
            last_seen_s: number.into(),
            standing: Standing::default(),
            excluded: None,
        };
        let all = Roster::of_before((0..100).map(record).collect()).all();
        assert_eq!((all.len(), all[0].0), (GONE_KEPT, NodeId([36; 32])));
        let last = &all[GONE_KEPT - 1].1;
        assert_eq!((last.name.as_str(), last.threads, last.present), ("worker-99", 4, false));
        assert_eq!(last.connected, UnixMillis(99_000));
    }

    #[test]
    fn those_who_left_are_kept_up_to_a_bound() {
        let roster = Roster::default();
        for number in 0..100_u8 {
            let worker = NodeId([number; 32]);
            roster.joined(worker, &JoinRequest::default(), UnixMillis(u64::from(number)));
            roster.left(worker);
        }
        let all = roster.all();
        assert!(all.len() <= GONE_KEPT + 1, "{}", all.len());
        assert_eq!(all.last().unwrap().0, NodeId([99; 32]), "the newest is kept");
    }
}
