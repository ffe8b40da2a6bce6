//! Both ends of the conversation about vouchers, in messages, over stores on disk.

use std::io;
use std::sync::mpsc;

use super::*;
use crate::data_dir::DataDir;
use crate::vouchers::VoucherFiles;
use crate::worker_role::receipts::Receipts as WorkerReceipts;
use neuro_primitives::contribution::digest;
use neuro_primitives::receipt::AnswerTree;
use neuro_primitives::{Hash, ModelId, Route, Routes, RowSum, Rows};
use neuro_protocol::control::VoucherRefusal;
use neuro_protocol::frame::{Answer, MicroTask};

const WALL: UnixMillis = UnixMillis(1_000);

/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

fn worker() -> NodeId {
    key(2).node_id()
}

fn at(ms: u64) -> Moment {
    Moment(ms * 1_000)
}

/// Both sides over the files in a folder each.
struct Sides {
    folders: [tempfile::TempDir; 2],
    orchestrator: Receipts,
    worker: WorkerReceipts,
}

impl Sides {
    fn start() -> Self {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (orchestrator, worker) = (orchestrator_in(&folders[0]), worker_in(&folders[1]));
        let sides = Self { folders, orchestrator, worker };
        sides.meet(0);
        sides
    }

    fn restart(self) -> Self {
        let (orchestrator, worker) = (orchestrator_in(&self.folders[0]), worker_in(&self.folders[1]));
        Self { orchestrator, worker, ..self }
    }

    /// What attending begins with.
    fn meet(&self, ms: u64) {
        for told in self.orchestrator.attached(worker(), &self.worker.last(), at(ms)).unwrap() {
            if let instruction::Instruction::LastVoucher(last) = told {
                self.worker.told(&last);
            }
        }
    }

    /// One answer of one unit on both sides; `contribution` is what the orchestrator got.
    fn answer(&self, number: u64, contribution: f32, ms: u64) {
        let mut routes = Routes::new();
        routes.push_row([Route { expert: 0, gate: 1.0 }]);
        let (model, hidden) = (ModelId(Hash([5; 32])), Rows::new(2, vec![1.0, 2.0]).into());
        let task =
            MicroTask { task: TaskId(number), model, engine_spec: 2, layer: 0, deadline_left_ms: 1, routes, hidden };
        let answer = |value: f32| Answer {
            task: task.task,
            compute_us: 1,
            sums: vec![RowSum::One(vec![value; 2])],
            digests: vec![digest(&[value; 2])],
        };
        self.worker.answered(&task, &answer(0.5));
        let got = answer(contribution);
        let asked = (&task.hidden, &task.routes);
        let tree = AnswerTree::new(model, 0, task.task, asked, (&got.digests, &got.sums));
        self.orchestrator.answered(worker(), tree.leaf(), at(ms));
    }

    fn offer(&self, ms: u64) -> VoucherOffer {
        match self.orchestrator.due(worker(), at(ms), WALL) {
            Some(instruction::Instruction::Voucher(offer)) => offer,
            other => panic!("{other:?}"),
        }
    }

    fn agree(&self, ms: u64) -> VoucherReply {
        let reply = self.worker.reply(&self.offer(ms), WALL);
        self.orchestrator.replied(worker(), &reply, at(ms)).unwrap();
        reply
    }

    fn totals(&self) -> (u64, u64, u64) {
        let Totals { covered, accepted, denied } = self.orchestrator.totals(worker()).unwrap();
        (covered, accepted, denied)
    }
}

fn orchestrator_in(folder: &tempfile::TempDir) -> Receipts {
    let store = VoucherFiles::open(&DataDir::open(folder.path()).unwrap()).unwrap();
    Receipts::new(key(1), ReceiptSettings::default(), Arc::new(store))
}

fn worker_in(folder: &tempfile::TempDir) -> WorkerReceipts {
    let store = VoucherFiles::open(&DataDir::open(folder.path()).unwrap()).unwrap();
    WorkerReceipts::new(key(2), key(1).node_id(), Box::new(store))
}

/// A disk that stands still: it says when it is written to, and goes on when it is told.
struct Stalled {
    written: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl VoucherStore for Stalled {
    fn last(&self, _: NodeId) -> Option<SignedVoucher> {
        None
    }

    fn keep(&self, _: NodeId, _: &SignedVoucher) -> io::Result<()> {
        self.written.send(()).unwrap();
        self.go_on.lock().unwrap().recv().map_err(io::Error::other)
    }
}

#[test]
fn a_disk_that_stalls_holds_up_no_answer_and_none_goes_unpaid() {
    let ((written, is_written), (go, go_on)) = (mpsc::sync_channel(2), mpsc::sync_channel(2));
    let store = Stalled { written, go_on: Mutex::new(go_on) };
    let worker = WorkerReceipts::new(key(2), key(1).node_id(), Box::new(store));
    let sides = Sides { worker, ..Sides::start() };
    sides.answer(1, 0.5, 0);
    let offer = sides.offer(0);
    std::thread::scope(|scope| {
        let signing = scope.spawn(|| sides.worker.reply(&offer, WALL));
        is_written.recv_timeout(PATIENCE).unwrap();
        let (answered, is_answered) = mpsc::channel();
        let sides = &sides;
        scope.spawn(move || {
            sides.answer(2, 0.5, 0);
            answered.send(())
        });
        let in_time = is_answered.recv_timeout(PATIENCE);
        go.send(()).unwrap();
        in_time.expect("an answer does not wait for the disk");
        sides.orchestrator.replied(self::worker(), &signing.join().unwrap(), at(0)).unwrap();
    });
    assert_eq!(sides.totals(), (1, 0, 0));
    go.send(()).unwrap();
    sides.agree(1_000);
    assert_eq!(sides.totals().0, 2, "what was answered meanwhile is in the next voucher");
}

#[test]
fn work_is_signed_for_and_survives_a_restart_of_both() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    sides.answer(2, 0.5, 0);
    sides.agree(0);
    assert_eq!(sides.totals(), (2, 0, 0));
    let sides = sides.restart();
    sides.meet(0);
    sides.answer(3, 0.5, 0);
    sides.agree(0);
    assert_eq!(sides.totals(), (3, 0, 0));
    sides.agree(10_000);
    assert_eq!(sides.totals(), (3, 3, 0));
}

#[test]
fn an_orchestrator_whose_store_is_gone_goes_on_from_the_workers_voucher() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    sides.agree(0);
    let emptied = Sides { orchestrator: orchestrator_in(&tempfile::tempdir().unwrap()), ..sides };
    emptied.meet(0);
    assert_eq!(emptied.totals(), (1, 0, 0));
}

#[test]
fn a_root_over_other_answers_is_refused_and_the_interval_forfeited() {
    let sides = Sides::start();
    sides.answer(1, 0.25, 0);
    let reply = sides.agree(0);
    let Some(voucher_reply::Reply::Refused(refusal)) = reply.reply else { panic!("{reply:?}") };
    assert!(refusal.reason.contains("root"), "{}", refusal.reason);
    assert_eq!(sides.totals(), (0, 0, 0));
    sides.answer(2, 0.5, 300);
    sides.agree(300);
    assert_eq!(sides.totals(), (1, 0, 0), "the next one is about what both know");
}

#[test]
fn what_is_disputed_is_not_paid() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    sides.answer(2, 0.5, 0);
    sides.agree(0);
    assert!(sides.orchestrator.proof(worker(), TaskId(2)).is_some());
    sides.orchestrator.disputed(worker(), TaskId(2));
    sides.agree(10_000);
    assert_eq!(sides.totals(), (2, 1, 1));
}

#[test]
fn a_voucher_that_is_wanted_at_once_does_not_wait_for_its_interval() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    sides.agree(0);
    sides.answer(2, 0.5, 1);
    assert_eq!(sides.orchestrator.due(worker(), at(1), WALL), None);
    let Some(instruction::Instruction::Voucher(offer)) = sides.orchestrator.due_at_once(worker(), at(1), WALL) else {
        panic!("nothing is due")
    };
    sides.orchestrator.replied(worker(), &sides.worker.reply(&offer, WALL), at(1)).unwrap();
    assert_eq!(sides.totals(), (2, 0, 0));
    assert_eq!(sides.orchestrator.due_at_once(worker(), at(2), WALL), None, "there is nothing to say");
}

#[test]
fn accounts_are_bounded_by_who_is_there_and_what_left_goes_on_from_the_store() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    sides.agree(0);
    let leaf = |task| neuro_primitives::receipt::AnswerLeaf {
        task: TaskId(task),
        entries: 1,
        entries_root: Hash([1; 32]),
        sums: Hash([2; 32]),
    };
    sides.orchestrator.left(worker(), at(1));
    for number in 0..AWAY_KEPT as u64 * 4 {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        sides.orchestrator.answered(NodeId(id), &leaf(number), at(2 + number));
        sides.orchestrator.left(NodeId(id), at(2 + number));
    }
    assert_eq!(sides.orchestrator.accounts().len(), AWAY_KEPT);
    assert_eq!(sides.orchestrator.totals(worker()), None, "it left first");
    sides.orchestrator.disputed(worker(), TaskId(1));
    assert_eq!(sides.orchestrator.accounts().len(), AWAY_KEPT, "a late dispute opens no account");
    sides.meet(1_000);
    assert_eq!(sides.totals(), (1, 0, 0));
    sides.agree(11_000);
    assert_eq!(sides.totals(), (1, 1, 0));
}

#[test]
fn nonsense_from_a_worker_is_a_fault_and_changes_nothing() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    let offer = sides.offer(0);
    for bytes in [vec![], vec![0; 299], vec![0; 300], vec![0; 301], offer.offer.clone()] {
        let reply = VoucherReply { reply: Some(voucher_reply::Reply::Signed(bytes.clone())) };
        assert!(sides.orchestrator.replied(worker(), &reply, at(0)).is_err(), "{} bytes", bytes.len());
        let told = sides.orchestrator.attached(worker(), &LastVoucher { voucher: bytes.clone() }, at(0));
        assert!(bytes.is_empty() || bytes == [0; 300] || told.is_err(), "{} bytes", bytes.len());
    }
    let stranger = VoucherRefusal { sequence: 99, reason: "\u{1b}[2J".into() };
    let reply = VoucherReply { reply: Some(voucher_reply::Reply::Refused(stranger)) };
    assert_eq!(sides.orchestrator.replied(worker(), &reply, at(0)), Ok(()));
    let signed = sides.worker.reply(&offer, WALL);
    assert_eq!(sides.orchestrator.replied(worker(), &signed, at(0)), Ok(()));
    assert_eq!(sides.totals(), (1, 0, 0));
}

#[test]
fn nonsense_from_an_orchestrator_is_refused() {
    let sides = Sides::start();
    sides.answer(1, 0.5, 0);
    let offer = sides.offer(0);
    let refused = |offer: VoucherOffer| match sides.worker.reply(&offer, WALL).reply {
        Some(voucher_reply::Reply::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(VoucherOffer { offer: vec![1; 7], tasks: vec![] }).sequence, 0);
    assert!(refused(VoucherOffer { tasks: vec![], ..offer.clone() }).sequence > 0);
    refused(VoucherOffer { tasks: vec![1; 100_000], ..offer.clone() });
    sides.worker.told(&LastVoucher { voucher: offer.offer.clone() });
    assert!(sides.worker.last().voucher.is_empty(), "nothing was signed");
    assert!(matches!(sides.worker.reply(&offer, WALL).reply, Some(voucher_reply::Reply::Signed(_))));
}
