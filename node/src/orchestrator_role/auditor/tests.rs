//! One worker under `verified`, whom nobody but the checkpoint can check: with a file that is right, and with one that was
//! changed while it is served.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::thread::JoinHandle;

use neuro_expert_runtime::default_engine;
use neuro_inference::LocalExperts;
use neuro_model::{Checkpoint, names};
use neuro_orchestrator::receipts::ReceiptSettings;
use neuro_orchestrator::{Checks, Input, Redundancy, Settings};
use neuro_primitives::{NodeId, NodeKey, Route, Routes, Rows};
use neuro_protocol::frame::{Answer, Frame, MicroTask};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::dispatch::Link;
use super::super::expert_specs;
use super::super::receipts::Receipts;
use super::*;
use crate::data_dir::DataDir;
use crate::vouchers::VoucherFiles;

const EXPERT: ExpertId = ExpertId { layer: 1, expert: 2 };
const WORKER: NodeId = NodeId([3; 32]);

struct World {
    model: TempDir,
    _data: TempDir,
    checkpoint: Arc<Checkpoint>,
    dispatch: Arc<Dispatch>,
    /// The worker's experts, which it read while the file was right.
    experts: LocalExperts,
    frames: mpsc::Receiver<Vec<u8>>,
    _orders: mpsc::Receiver<super::super::dispatch::Order>,
}

impl World {
    fn new() -> Self {
        let [model, data] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/mixtral-7-float32");
        for file in fs::read_dir(fixture).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), model.path().join(file.file_name())).unwrap();
        }
        let checkpoint = Arc::new(Checkpoint::open(model.path()).unwrap());
        let (data_dir, key) = (DataDir::open(data.path()).unwrap(), NodeKey::from_secret(&[1; 32]));
        let publication = Arc::new(Publication::new(Arc::clone(&checkpoint), &data_dir, &key, &|_| ()).unwrap());
        let manifest = publication.manifest();
        let usual = Settings::new(expert_specs(manifest.manifest()));
        let settings = Settings { checks: Checks::Verified, replicas: 1, ..usual };
        let formats = manifest.manifest().activation_formats.clone();
        let dispatch = Arc::new(Dispatch::new(manifest.model_id(), formats, settings));
        let vouchers = Arc::new(VoucherFiles::open(&data_dir).unwrap());
        let receipts = Arc::new(Receipts::new(key, ReceiptSettings::default(), vouchers));
        let cases = Arc::new(Cases::open(&data_dir, Arc::clone(&publication), receipts).unwrap());
        Auditor::start(&publication, &default_engine(), cases, &dispatch).unwrap();
        let experts = LocalExperts::load(&checkpoint, default_engine(), None, &mut |_| {}).unwrap();
        let ((frames, outgoing), (orders, incoming)) = (mpsc::channel(64), mpsc::channel(64));
        dispatch.joined(WORKER, Link { session: 1, frames, orders }, 1 << 30);
        dispatch.reported(Input::WorkerReady { worker: WORKER, experts: manifest.manifest().experts() });
        Self { model, _data: data, checkpoint, dispatch, experts, frames: outgoing, _orders: incoming }
    }

    /// Changes a weight of the expert where it lies in the file.
    fn spoil(&self) {
        let name = names::expert(self.checkpoint.config(), EXPERT).up;
        let (file, bytes) = (self.model.path().join("model.safetensors"), self.checkpoint.tensor(&name).unwrap().bytes);
        let whole = fs::read(&file).unwrap();
        let at = whole.windows(bytes.len()).position(|window| window == &bytes[..]).unwrap();
        let mut file = OpenOptions::new().write(true).open(file).unwrap();
        file.seek(SeekFrom::Start(at as u64 + 2)).unwrap();
        file.write_all(&[bytes[2] ^ 0x40]).unwrap();
    }

    fn call(&self) -> JoinHandle<Result<Rows, ExpertsError>> {
        let (dispatch, (hidden, routes)) = (Arc::clone(&self.dispatch), self.asked());
        std::thread::spawn(move || dispatch.call((EXPERT.layer, Redundancy::One), &hidden, &routes, &Arc::default()))
    }

    fn asked(&self) -> (Rows, Routes) {
        let width = self.checkpoint.config().d_model;
        let mut routes = Routes::new();
        routes.push_row([Route { expert: EXPERT.expert, gate: 0.5 }]);
        (Rows::new(width, (0..width).map(|at| (at % 7) as f32 - 2.5).collect()), routes)
    }

    /// Answers, after `change`, whatever the worker is asked until the call has ended.
    fn answer_until_done(
        &mut self,
        outcome: JoinHandle<Result<Rows, ExpertsError>>,
        change: impl Fn(&mut Computed),
    ) -> Result<Rows, ExpertsError> {
        while !outcome.is_finished() {
            if let Ok(frame) = self.frames.try_recv()
                && let Frame::Task(task) = Frame::decode(&frame).unwrap()
            {
                let mut computed = self.compute(&task);
                change(&mut computed);
                let Computed { sums, digests } = computed;
                let answer = Answer { task: task.task, compute_us: 1, sums, digests };
                let _ = self.dispatch.answered(WORKER, 1, answer);
            }
            self.dispatch.reported(Input::Tick);
        }
        outcome.join().unwrap()
    }

    fn compute(&self, task: &MicroTask) -> Computed {
        self.experts.pool().run_digested(task.layer, &task.hidden, &task.routes).unwrap()
    }
}

#[test]
fn a_lie_is_found_by_a_file_that_is_right() {
    let mut world = World::new();
    let outcome = world.call();
    let lied = world.answer_until_done(outcome, |computed| computed.digests[0].0[0] ^= 1);
    let (hidden, routes) = world.asked();
    let right = neuro_inference::ExpertLayers::run(&world.experts, EXPERT.layer, &hidden, &routes);
    assert_eq!(lied, right, "the right sum is used in its place");
    assert!(world.dispatch.excluded(WORKER).is_some_and(|reason| reason.contains("a wrong result")));
}

#[test]
fn a_file_that_was_changed_convicts_nobody_and_gives_no_sum() {
    let mut world = World::new();
    world.spoil();
    let outcome = world.call();
    let sum = world.answer_until_done(outcome, |_| ());
    assert!(sum.is_err(), "nobody can tell whether it is right");
    assert_eq!((world.dispatch.excluded(WORKER), world.dispatch.faults(WORKER)), (None, 0));
    let standing = world.dispatch.view(|core, _| core.standing(WORKER).cloned());
    assert!(standing.is_none_or(|standing| standing.invalid == 0.0), "and it loses no reputation");
}
