//! What is recorded while the store works, fails and comes back: nothing is lost, nothing counts twice.

use std::sync::mpsc;

use neuro_orchestrator::store::{BatchId, ExpertUse, RankedWorker, TeamCredit, admits};
use neuro_primitives::receipt::{Totals, Voucher};
use neuro_primitives::{Hash, NodeKey, UnixMillis};
use neuro_protocol::control::JoinRequest;

use super::super::roster::Roster;
use super::*;
use crate::vouchers::VoucherStore;

const WORKER: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);
const PURPOSE: Purpose =
    Purpose { orchestrator: NodeId([9; 32]), model: ModelId(Hash([5; 32])), micro_units_per_row: 10 };
const HASTE: Pace = Pace { interval: Duration::from_millis(1), longest_pause: Duration::from_millis(1) };

/// What a commit to the fake does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Takes,
    IsDown,
    /// It applies the batch, and the answer is lost.
    ForgetsToAnswer,
    /// It applies the batch once the test lets it.
    IsSlow,
}

/// A store in memory that keeps the rules and fails when told.
#[derive(Clone)]
struct Fake(Arc<Mutex<Kept>>);

struct Kept {
    moods: VecDeque<Mood>,
    last: Option<BatchId>,
    workers: BTreeMap<NodeId, WorkerRecord>,
    totals: BTreeMap<NodeId, u64>,
    vouchers: BTreeMap<NodeId, SignedVoucher>,
    rows: u64,
    attempts: mpsc::Sender<bool>,
    /// Lets a slow commit go on.
    release: Option<mpsc::Receiver<()>>,
}

impl Fake {
    /// A store with these moods, one a commit, and then the good one; each attempt is told.
    fn new(moods: &[Mood]) -> (Self, mpsc::Receiver<bool>) {
        let (attempts, heard) = mpsc::channel();
        let kept = Kept {
            moods: moods.iter().copied().collect(),
            last: None,
            workers: BTreeMap::new(),
            totals: BTreeMap::new(),
            vouchers: BTreeMap::new(),
            rows: 0,
            attempts,
            release: None,
        };
        (Self(Arc::new(Mutex::new(kept))), heard)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    fn recorder(&self) -> Recorder {
        Recorder::start(Box::new(self.clone()), PURPOSE, HASTE).unwrap()
    }
}

impl Kept {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if !batch.id.admit(self.last.as_ref())? {
            return Ok(());
        }
        for voucher in &batch.vouchers {
            admits(voucher, self.vouchers.get(&voucher.voucher().worker))?;
        }
        self.last = Some(batch.id);
        self.vouchers.extend(batch.vouchers.iter().map(|voucher| (voucher.voucher().worker, *voucher)));
        for pardoned in &batch.pardoned {
            self.workers.entry(*pardoned).and_modify(|worker| worker.excluded = None);
        }
        for worker in &batch.workers {
            let excluded = self.workers.get(&worker.id).and_then(|known| known.excluded.clone());
            let excluded = excluded.or_else(|| worker.excluded.clone());
            self.workers.insert(worker.id, WorkerRecord { excluded, ..worker.clone() });
        }
        self.rows += batch.expert_use.iter().map(|used| used.rows).sum::<u64>();
        for earned in &batch.earned {
            *self.totals.entry(earned.worker).or_default() += earned.micro_units;
        }
        Ok(())
    }
}

impl Store for Fake {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let done = match kept.moods.pop_front().unwrap_or(Mood::Takes) {
            Mood::Takes => kept.apply(batch),
            Mood::IsSlow => {
                kept.attempts.send(false).unwrap();
                kept.release.as_ref().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
                kept.apply(batch)
            }
            Mood::IsDown => Err(down()),
            Mood::ForgetsToAnswer => kept.apply(batch).and(Err(down())),
        };
        let _ = kept.attempts.send(done.is_ok());
        done
    }

    fn last_batch(&mut self, _: NodeId) -> Result<Option<BatchId>, StoreError> {
        Ok(self.kept().last)
    }

    fn workers(&mut self) -> Result<Vec<WorkerRecord>, StoreError> {
        Ok(self.kept().workers.values().cloned().collect())
    }

    fn top_workers(&mut self, _: usize) -> Result<Vec<RankedWorker>, StoreError> {
        Err(down())
    }

    fn top_teams(&mut self, _: usize) -> Result<Vec<TeamCredit>, StoreError> {
        Ok(Vec::new())
    }

    fn team(&mut self, _: &str, _: usize) -> Result<Vec<RankedWorker>, StoreError> {
        Ok(Vec::new())
    }

    fn credit(&mut self, _: NodeId) -> Result<Option<RankedWorker>, StoreError> {
        Ok(None)
    }

    fn vouchers(&mut self, _: NodeId) -> Result<Vec<SignedVoucher>, StoreError> {
        Ok(self.kept().vouchers.values().cloned().collect())
    }

    fn expert_use(&mut self, _: ModelId) -> Result<Vec<ExpertUse>, StoreError> {
        Ok(Vec::new())
    }
}

fn down() -> StoreError {
    let (place, reason) = ("the fake".to_owned(), "it is down".to_owned());
    StoreError::Unavailable { place, action: "write", reason, remedy: "wait" }
}

fn facts(name: &str) -> Facts {
    let request = JoinRequest { name: name.to_owned(), threads: 4, ..JoinRequest::default() };
    let roster = Roster::default();
    roster.joined(WORKER, &request, unix_now());
    roster.attends(WORKER, Duration::ZERO).unwrap()
}

fn writer(fake: &Fake) -> Writer {
    Writer::new(Box::new(fake.clone()), PURPOSE.orchestrator, 7, PURPOSE.model).unwrap()
}

fn earned(worker: NodeId, micro_units: u64) -> Pending {
    let mut pending = Pending::default();
    pending.earned(worker, micro_units);
    pending
}

/// A voucher of `worker`, signed by others.
fn voucher(worker: NodeId, sequence: u64) -> SignedVoucher {
    let keys = [9, 1].map(|seed| NodeKey::from_secret(&[seed; 32]));
    voucher_by(&keys, PURPOSE.orchestrator, worker, sequence)
}

fn voucher_by(keys: &[NodeKey; 2], orchestrator: NodeId, worker: NodeId, sequence: u64) -> SignedVoucher {
    let voucher = Voucher {
        orchestrator,
        worker,
        sequence,
        totals: Totals { covered: sequence, ..Totals::default() },
        answers: 0,
        root: Hash([0; 32]),
        previous: Hash([0; 32]),
        expires: UnixMillis(1),
    };
    voucher.offer(&keys[0]).countersign(&keys[1])
}

#[test]
fn a_commit_whose_answer_is_lost_counts_once() {
    let (fake, _attempts) = Fake::new(&[Mood::ForgetsToAnswer, Mood::IsDown]);
    let mut writer = writer(&fake);
    let mut pending = earned(WORKER, 5);
    writer.freeze(&mut pending, 1);
    assert!(writer.write().is_err());
    pending.earned(WORKER, 3);
    writer.freeze(&mut pending, 2);
    assert!(writer.write().is_err());
    writer.write().unwrap();
    writer.freeze(&mut pending, 3);
    writer.write().unwrap();
    assert_eq!(fake.kept().totals, BTreeMap::from([(WORKER, 8)]));
    assert_eq!(writer.written(), 2);
}

#[test]
fn the_next_run_goes_on_with_the_numbers() {
    let (fake, _attempts) = Fake::new(&[]);
    for _ in 0..2 {
        let mut writer = writer(&fake);
        writer.freeze(&mut earned(WORKER, 5), 1);
        writer.write().unwrap();
    }
    assert_eq!(fake.kept().last.map(|last| last.sequence), Some(2));
    assert_eq!(fake.kept().totals[&WORKER], 10);
}

#[test]
fn a_refused_voucher_holds_nothing_else_up() {
    let (fake, _attempts) = Fake::new(&[]);
    fake.kept().vouchers.insert(WORKER, voucher(WORKER, 9));
    let mut writer = writer(&fake);
    let mut pending = earned(WORKER, 5);
    pending.voucher(voucher(WORKER, 4));
    pending.voucher(voucher(OTHER, 1));
    writer.freeze(&mut pending, 1);
    writer.write().unwrap();
    let kept = fake.kept();
    let sequences: Vec<u64> = kept.vouchers.values().map(|voucher| voucher.voucher().sequence).collect();
    assert_eq!((sequences, kept.totals[&WORKER]), (vec![9, 1], 5));
}

#[test]
fn the_next_run_goes_on_from_the_newest_voucher_that_is_one() {
    let (fake, _attempts) = Fake::new(&[]);
    let keys = [9, 1].map(|seed| NodeKey::from_secret(&[seed; 32]));
    let [orchestrator, worker] = [0, 1].map(|place: usize| keys[place].node_id());
    let newest = voucher_by(&keys, orchestrator, worker, 3);
    let first = fake.recorder();
    for sequence in [1, 3, 2] {
        first.keep(worker, &voucher_by(&keys, orchestrator, worker, sequence)).unwrap();
    }
    first.keep(OTHER, &voucher(OTHER, 1)).unwrap();
    assert_eq!(first.last(worker), Some(newest), "at once, whatever the store does");
    first.close();
    let second = fake.recorder();
    assert_eq!(second.last(worker), Some(newest));
    assert_eq!(second.last(OTHER), None, "the other one did not sign it");
    assert_eq!(second.last(NodeId([3; 32])), None);
    second.close();
}

#[test]
fn a_pardon_reaches_the_store_and_leaves_only_how_long_the_worker_is_known() {
    let (fake, _attempts) = Fake::new(&[]);
    let first = fake.recorder();
    let standing = Standing { valid: 30.0, invalid: 1.0, streak: 3, uptime_s: 60.0, ..Standing::default() };
    first.set_standing(WORKER, standing);
    first.exclude(WORKER, "it lied".to_owned());
    first.close();
    let second = fake.recorder();
    assert_eq!(second.worker(WORKER).unwrap().excluded.as_deref(), Some("it lied"));
    second.pardon(WORKER);
    second.close();
    let third = fake.recorder();
    let worker = third.worker(WORKER).unwrap();
    assert_eq!(worker.excluded, None);
    assert_eq!(worker.standing, Standing { uptime_s: 60.0, ..Standing::default() });
    third.close();
}

#[test]
fn what_waits_is_bounded_by_the_workers_and_the_latest_counts() {
    let mut pending = Pending::default();
    for sequence in 0..10_000 {
        let worker = if sequence % 2 == 0 { WORKER } else { OTHER };
        pending.earned(worker, 1);
        pending.voucher(voucher(worker, sequence));
        pending.worker(unknown(worker, sequence));
        pending.expert_use(ExpertId { layer: 0, expert: (sequence % 4) as u16 }, 2);
    }
    let id = BatchId { writer: PURPOSE.orchestrator, sequence: 1, run: 1 };
    let batch = pending.take(id, 1, PURPOSE.model);
    assert!(pending.is_empty());
    let sizes = (batch.workers.len(), batch.earned.len(), batch.vouchers.len(), batch.expert_use.len());
    assert_eq!(sizes, (2, 2, 2, 4));
    assert_eq!((batch.earned[0].micro_units, batch.vouchers[0].voucher().sequence), (5_000, 9_998));
    assert_eq!((batch.workers[1].first_seen_s, batch.expert_use[0].rows), (9_999, 5_000));
}

#[test]
fn work_during_an_outage_is_written_once_when_the_store_is_back() {
    let (fake, attempts) = Fake::new(&[Mood::IsDown, Mood::ForgetsToAnswer, Mood::IsDown]);
    let recorder = fake.recorder();
    for _ in 0..100 {
        recorder.worked(WORKER, 2);
    }
    while !attempts.recv_timeout(Duration::from_secs(20)).unwrap() {
        recorder.worked(OTHER, 1);
    }
    recorder.close();
    assert_eq!(fake.kept().totals, BTreeMap::from([(WORKER, 2_000), (OTHER, 30)]));
    let status = recorder.status();
    assert_eq!((status.failure, status.waiting_workers), (None, 0));
}

#[test]
fn a_slow_commit_holds_up_nobody_and_what_comes_meanwhile_is_the_next_batch() {
    let (fake, attempts) = Fake::new(&[Mood::IsSlow]);
    let (go_on, release) = mpsc::channel();
    fake.kept().release = Some(release);
    let recorder = fake.recorder();
    recorder.worked(WORKER, 1);
    assert!(!attempts.recv_timeout(Duration::from_secs(20)).unwrap(), "a commit is under way");
    for _ in 0..10_000 {
        recorder.worked(WORKER, 1);
        recorder.worked(OTHER, 1);
    }
    assert_eq!((recorder.status().waiting_workers, recorder.status().batches), (2, 0));
    go_on.send(()).unwrap();
    recorder.close();
    assert_eq!(fake.kept().totals, BTreeMap::from([(WORKER, 100_010), (OTHER, 100_000)]));
    assert_eq!(recorder.status().batches, 2);
}

#[test]
fn an_outage_shows_and_nothing_waits_for_it() {
    let (fake, attempts) = Fake::new(&[Mood::IsDown; 1_000_000]);
    let recorder = fake.recorder();
    recorder.worked(WORKER, 1);
    assert!(!attempts.recv_timeout(Duration::from_secs(20)).unwrap());
    assert!(!attempts.recv_timeout(Duration::from_secs(20)).unwrap(), "it is tried again");
    let status = recorder.status();
    assert_eq!((status.waiting_workers, status.batches), (1, 0));
    assert!(status.failure.unwrap().contains("it is down; wait"));
    recorder.close();
}

#[tokio::test]
async fn a_question_that_breaks_down_costs_no_other_its_answer() {
    let (fake, _attempts) = Fake::new(&[]);
    let recorder = fake.recorder();
    let broken: Result<(), AskError> = recorder.ask(|_| panic!("a row that nobody expected")).await;
    assert!(broken.is_err());
    assert_eq!(recorder.ask(|store| store.top_teams(1)).await.unwrap(), []);
    recorder.close();
}

#[tokio::test]
async fn the_next_run_knows_the_workers_and_their_teams() {
    let (fake, _attempts) = Fake::new(&[]);
    let first = fake.recorder();
    first.joined(WORKER, &facts("ada"));
    first.set_team(WORKER, Some("blue".to_owned()));
    first.exclude(OTHER, "it lied".to_owned());
    first.set_standing(OTHER, Standing { streak: 3, ..Standing::default() });
    first.close();
    assert!(matches!(first.ask(|store| store.workers()).await, Err(AskError::Stopped)));

    let second = fake.recorder();
    let (ada, other) = (second.worker(WORKER).unwrap(), second.worker(OTHER).unwrap());
    assert_eq!((ada.name.as_str(), ada.team.as_deref(), ada.hardware.cores), ("ada", Some("blue"), 4));
    assert_eq!((other.excluded.as_deref(), other.standing.streak), (Some("it lied"), 3));
    second.joined(WORKER, &facts("ada 2"));
    let again = second.worker(WORKER).unwrap();
    assert_eq!((again.name.as_str(), again.team.as_deref()), ("ada 2", Some("blue")), "a team outlives a connection");
    assert_eq!(second.ask(|store| store.top_teams(1)).await.unwrap(), []);
    assert!(matches!(second.ask(|store| store.top_workers(1)).await, Err(AskError::Store(_))));
    assert_eq!(second.workers().len(), 2);
    second.close();
}
