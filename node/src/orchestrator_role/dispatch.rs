//! Carries the orchestrator core's effects out: it owns the tensors of running calls and the way to each worker.
//!
//! A decode thread calls [`Dispatch::call`] and blocks. Its rows are brought into the layer's activation format once,
//! before the lock is taken. The core says which worker gets which experts; the rows go out on the workers' links;
//! answers come in on the links' tasks, are checked against what was asked, and are added by the contribution rule when
//! the core accepts them. All state sits behind one mutex, which is held for microseconds (for a full chunk of 512 rows:
//! as long as its rows take to copy) and never across a wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use neuro_inference::ExpertsError;
use neuro_orchestrator::{Checks, Effect, ExpertLoad, Input, Orchestrator, Redundancy, Settings};
use neuro_primitives::receipt::{AnswerLeaf, AnswerTree};
use neuro_primitives::{ActivationFormat, CallId, ExpertId, FixedSum, ModelId, Moment, NodeId, Routes, Rows, TaskId};
use neuro_protocol::frame::{Answer, Failure};
use tokio::sync::{Notify, mpsc};

use super::auditor::Auditor;
use super::faults;
use super::ledger::Ledger;
use super::receipts::Receipts;
use super::recorder::Recorder;
use super::tally::CallTally;
use crate::clock;

mod checks;
mod conduct;
mod encoding;
mod kept;
mod source;
mod state;

use checks::Recomputed;
pub use kept::Kept;
use source::{SentTask, Source};

/// Frames that may wait for one worker's socket. A worker that far behind does not read; it is taken as lost.
pub const LINK_QUEUE_FRAMES: usize = 256;

/// What the orchestrator tells a worker over the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Fetch these experts and report when they are held.
    Hold(Vec<neuro_primitives::ExpertId>),
    /// Let these experts go.
    Drop(Vec<neuro_primitives::ExpertId>),
    /// Leave, and do not come back: the reason is for the worker's owner.
    Expel(String),
}

/// The way to one connected worker.
#[derive(Debug, Clone)]
pub struct Link {
    /// Which connection this is: a worker that reconnects gets a new number, so that the end of the old connection
    /// does not end the new one.
    pub session: u64,
    /// Encoded frames for the data plane.
    pub frames: mpsc::Sender<Vec<u8>>,
    /// Orders for the control plane.
    pub orders: mpsc::Sender<Order>,
}

/// A worker spoke about a task that it was not asked for over this link, or a second time about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("worker {} answered task {}, which it was not asked for or answered before", .worker.short(), .task.0)]
pub struct Unasked {
    /// The worker.
    pub worker: NodeId,
    /// The task that it named.
    pub task: TaskId,
}

/// The shared dispatcher. Cheap to clone behind an `Arc`.
pub struct Dispatch {
    state: Mutex<State>,
    started: Instant,
    /// Tells the timer that an earlier wake-up is wanted.
    rearm: Notify,
    model: ModelId,
    /// In what form each layer's experts take rows. `[layers]`.
    formats: Vec<ActivationFormat>,
    /// Who settles disputes; nobody in a node that has no checkpoint.
    auditor: OnceLock<Auditor>,
    /// What workers are owed for their answers.
    receipts: OnceLock<Arc<Receipts>>,
}

struct State {
    core: Orchestrator,
    calls: BTreeMap<CallId, Call>,
    tasks: BTreeMap<TaskId, SentTask>,
    links: BTreeMap<NodeId, Connection>,
    /// Faults of workers since the start, those that left included.
    faults: BTreeMap<NodeId, u64>,
    /// Workers whose result was proved wrong, and which it was.
    excluded: BTreeMap<NodeId, String>,
    /// The answer that the core is being asked about.
    arrived: Option<(TaskId, Answer)>,
    /// What a voucher would say of it, until it is owed for.
    leaf: Option<(NodeId, AnswerLeaf)>,
    /// Answers that are being checked.
    kept: BTreeMap<TaskId, Arc<Kept>>,
    /// What the auditor found that the core is being told about.
    recomputed: Option<Recomputed>,
    wake_at: Option<Moment>,
    next_call: u64,
    stopped: bool,
    recorder: Option<Recorder>,
}

/// A link, and what was asked over it.
struct Connection {
    link: Link,
    ledger: Ledger,
}

/// A call whose decode thread is waiting.
struct Call {
    source: Arc<Source>,
    sum: FixedSum,
    done: SyncSender<Result<Rows, ExpertsError>>,
}

/// A call that was begun. Dropped, its answers are thrown away when they come.
#[must_use]
pub struct Asked(Receiver<Result<Rows, ExpertsError>>);

impl Asked {
    /// Waits for the call's end. `[rows, d_model]`, f32.
    ///
    /// # Errors
    /// When an expert has no holder in time, workers fail too often, or the node stops.
    pub fn wait(self) -> Result<Rows, ExpertsError> {
        self.0.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl Dispatch {
    /// A dispatcher for one model, whose layers' experts take rows in `formats` (`[layers]`), as its manifest says.
    #[must_use]
    pub fn new(model: ModelId, formats: Vec<ActivationFormat>, settings: Settings) -> Self {
        let state = State {
            core: Orchestrator::new(settings),
            calls: BTreeMap::new(),
            tasks: BTreeMap::new(),
            links: BTreeMap::new(),
            faults: BTreeMap::new(),
            excluded: BTreeMap::new(),
            arrived: None,
            leaf: None,
            kept: BTreeMap::new(),
            recomputed: None,
            wake_at: None,
            next_call: 0,
            stopped: false,
            recorder: None,
        };
        let (state, started, rearm) = (Mutex::new(state), Instant::now(), Notify::new());
        Self { state, started, rearm, model, formats, auditor: OnceLock::new(), receipts: OnceLock::new() }
    }

    /// Says who settles disputes. The first one counts.
    pub fn set_auditor(&self, auditor: Auditor) {
        let _ = self.auditor.set(auditor);
    }

    /// Says who keeps the accounts with workers. The first one counts.
    pub fn set_receipts(&self, receipts: Arc<Receipts>) {
        let _ = self.receipts.set(receipts);
    }

    /// The same dispatcher, telling `recorder` about accepted work.
    #[must_use]
    pub fn recorded(mut self, recorder: Recorder) -> Self {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).recorder = Some(recorder);
        self
    }

    /// Asks the workers for one layer, one or two for each expert, and waits. `hidden`: `[rows, d_model]`, f32, at most 512 rows; the result has
    /// the same shape.
    ///
    /// # Errors
    /// When an expert has no holder in time, workers fail too often, the node stops, or, not to be retried, when rows or
    /// gates are not finite.
    pub fn call(
        &self,
        (layer, redundancy): (u16, Redundancy),
        hidden: &Rows,
        routes: &Routes,
        tally: &Arc<CallTally>,
    ) -> Result<Rows, ExpertsError> {
        self.begin((layer, redundancy), hidden, routes, tally)?.wait()
    }

    /// As [`Self::call`], without the wait.
    ///
    /// # Errors
    /// When the node stops, or rows or gates are not finite.
    pub fn begin(
        &self,
        (layer, redundancy): (u16, Redundancy),
        hidden: &Rows,
        routes: &Routes,
        tally: &Arc<CallTally>,
    ) -> Result<Asked, ExpertsError> {
        let (done, outcome) = sync_channel(1);
        tally.check_untainted()?;
        let source = Source {
            layer,
            hidden: encoding::encode(&self.formats, layer, hidden, routes)?,
            routes: routes.clone(),
            tally: Arc::clone(tally),
        };
        let call = Call { source: Arc::new(source), sum: FixedSum::zeros(hidden.count(), hidden.width()), done };
        self.start_call(call, redundancy)?;
        Ok(Asked(outcome))
    }

    fn start_call(&self, call: Call, redundancy: Redundancy) -> Result<(), ExpertsError> {
        let (layer, experts) = (call.source.layer, loads(&call.source.routes));
        let mut state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        let id = CallId(state.next_call);
        state.next_call += 1;
        state.calls.insert(id, call);
        self.advance(&mut state, Input::Call { call: id, layer, experts, redundancy });
        Ok(())
    }

    /// A worker's link is up: it may be given experts and tasks. An older link of the same worker is closed.
    pub fn joined(&self, worker: NodeId, link: Link, memory_limit_bytes: u64) {
        let mut state = self.lock();
        if state.unlink(worker) {
            self.advance(&mut state, Input::WorkerLeft { worker });
        }
        state.links.insert(worker, Connection { link, ledger: Ledger::default() });
        self.advance(&mut state, Input::WorkerJoined { worker, memory_limit_bytes });
        let known = state.recorder.as_ref().and_then(|recorder| recorder.worker(worker));
        if let Some(known) = known.filter(|_| state.core.standing(worker).is_none()) {
            self.advance(&mut state, Input::WorkerKnown { worker, standing: known.standing });
        }
    }

    /// The link `session` of a worker is gone.
    pub fn left(&self, worker: NodeId, session: u64) {
        let mut state = self.lock();
        if state.link(worker, session).is_some() {
            state.unlink(worker);
            self.advance(&mut state, Input::WorkerLeft { worker });
            state.note_standing(worker);
        }
    }

    /// Lets placement begin with how much experts were used in runs before.
    pub fn remember_use(&self, rows: &[(ExpertId, u64)]) {
        self.lock().core.remember_use(rows);
    }

    /// Has the recorder keep how much experts were used since the last time.
    pub fn record_use(&self) {
        let (used, recorder) = {
            let mut state = self.lock();
            (state.core.take_use(), state.recorder.clone())
        };
        for (expert, rows) in used {
            recorder.iter().for_each(|recorder| recorder.used(expert, rows));
        }
    }

    /// Whether results are checked by chance, after they were accepted.
    pub fn checks_by_chance(&self) -> bool {
        matches!(self.lock().core.checks(), Checks::Sampled { .. })
    }

    /// Whether a worker has a link.
    pub fn is_linked(&self, worker: NodeId) -> bool {
        self.lock().links.contains_key(&worker)
    }

    /// A worker reported something about its experts.
    pub fn reported(&self, input: Input) {
        let mut state = self.lock();
        self.advance(&mut state, input);
    }

    /// An answer came over the link `session`. One that does not fit what was asked counts as a fault of its worker.
    ///
    /// # Errors
    /// When the worker was not asked, which breaks the protocol.
    pub fn answered(&self, worker: NodeId, session: u64, answer: Answer) -> Result<(), Unasked> {
        let leaf = self.leaf(worker, &answer);
        let mut state = self.lock();
        let task = answer.task;
        if !state.hears(worker, session, task)? {
            return Ok(());
        }
        let Some(sent) = state.tasks.get(&task).filter(|sent| sent.worker == worker) else {
            // Long answered by another: the core counts it.
            self.advance(&mut state, Input::Answered { task, worker, compute_us: answer.compute_us });
            return Ok(());
        };
        let input = match sent.source.check(&answer, &sent.rows, &sent.routes) {
            Ok(()) => {
                state.leaf = leaf.map(|leaf| (worker, leaf));
                Input::Answered { task, worker, compute_us: answer.compute_us }
            }
            Err(error) => {
                tracing::warn!(worker = %worker.short(), %error, "an answer was refused");
                state.blame(worker);
                Input::Faulty { task, worker, fault: faults::of_answer(&error) }
            }
        };
        state.arrived = Some((task, answer));
        let faulty = matches!(input, Input::Faulty { .. });
        self.advance(&mut state, input);
        (state.arrived, state.leaf) = (None, None);
        state.tasks.remove(&task);
        if faulty {
            state.note_standing(worker);
        }
        Ok(())
    }

    /// What a voucher says of an answer. Hashed before the lock is taken.
    fn leaf(&self, worker: NodeId, answer: &Answer) -> Option<AnswerLeaf> {
        self.receipts.get()?;
        let (source, rows, routes) = {
            let state = self.lock();
            let sent = state.tasks.get(&answer.task).filter(|sent| sent.worker == worker)?;
            (Arc::clone(&sent.source), sent.rows.clone(), sent.routes.clone())
        };
        source.check(answer, &rows, &routes).ok()?;
        let asked = (&source.hidden.gather(&rows), &routes);
        let tree = AnswerTree::new(self.model, source.layer, answer.task, asked, (&answer.digests, &answer.sums));
        Some(*tree.leaf())
    }

    /// A worker says over the link `session` that it cannot do `task`.
    ///
    /// # Errors
    /// When the worker was not asked, which breaks the protocol.
    pub fn refused(&self, worker: NodeId, session: u64, task: TaskId, failure: &Failure) -> Result<(), Unasked> {
        let mut state = self.lock();
        if !state.hears(worker, session, task)? {
            return Ok(());
        }
        tracing::warn!(worker = %worker.short(), code = ?failure.code, text = %failure.text, "a worker refused a task");
        let fault = faults::of_refusal(failure.code);
        let was_open = state.tasks.get(&task).is_some_and(|sent| sent.worker == worker);
        if was_open {
            state.tasks.remove(&task);
        }
        if was_open && fault.is_held_against_worker() {
            state.blame(worker);
        }
        self.advance(&mut state, Input::Faulty { task, worker, fault });
        state.note_standing(worker);
        Ok(())
    }

    /// Ends every waiting call with an error and accepts no more.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for call in std::mem::take(&mut state.calls).into_values() {
            let _ = call.done.send(Err(stopped()));
        }
        // All links go first: nobody is to be told what would be placed anew.
        for worker in std::mem::take(&mut state.links).into_keys() {
            self.advance(&mut state, Input::WorkerLeft { worker });
            state.note_standing(worker);
        }
    }

    /// Gives the core the time whenever it wants it. Runs until the future is dropped.
    pub async fn run_timer(&self) {
        loop {
            let wake_at = self.lock().wake_at;
            let rearmed = self.rearm.notified();
            match wake_at {
                None => rearmed.await,
                Some(moment) => {
                    let deadline = self.started + Duration::from_micros(moment.0);
                    tokio::select! {
                        () = tokio::time::sleep_until(deadline.into()) => self.wake(moment),
                        () = rearmed => {}
                    }
                }
            }
        }
    }

    /// The core's wake-up at `moment` has come. Another input may have been quicker, and the core have asked for a later
    /// one: that stands, since the core does not ask twice.
    fn wake(&self, moment: Moment) {
        let mut state = self.lock();
        if state.wake_at == Some(moment) {
            state.wake_at = None;
            self.advance(&mut state, Input::Tick);
        }
    }

    /// Reads the core's state for status and metrics.
    pub fn view<T>(&self, read: impl FnOnce(&Orchestrator, Moment) -> T) -> T {
        let state = self.lock();
        read(&state.core, self.now())
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Nobody panics while holding the lock but through a bug; the state is consistent between inputs, so it is used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds one input to the core and carries out its effects, and theirs.
    fn advance(&self, state: &mut State, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in state.core.step(input, self.now()) {
                inputs.extend(self.perform(state, effect));
            }
        }
    }

    /// Carries out one effect; what went wrong is the core's next input.
    fn perform(&self, state: &mut State, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Hold { worker, experts } => state.order(worker, Order::Hold(experts)),
            Effect::Drop { worker, experts } => state.order(worker, Order::Drop(experts)),
            Effect::Expel { worker, reason } => state.expel(worker, reason),
            Effect::SendTask { task, call, worker, experts, deadline, spot_check } => {
                state.send_task(self.model, task, call, worker, (&experts, spot_check), deadline)
            }
            Effect::CancelTask { task, worker } => state.cancel_task(task, worker),
            Effect::AcceptAnswer { task, call, in_time, .. } => {
                self.owe(state, task, in_time);
                state.accept(task, call)
            }
            Effect::KeepAnswer { task, in_time } => {
                self.owe(state, task, in_time);
                self.keep(state, task)
            }
            Effect::CreditWitness { task, .. } => state.credit_witness(task),
            Effect::Compare { check, task, against } => state.compare(check, task, &against),
            Effect::Recompute { check, task, against } => self.recompute(state, check, task, &against),
            Effect::AcceptRecomputed { call, .. } => state.accept_recomputed(call),
            Effect::ForgetAnswers { tasks } => self.forget_answers(state, &tasks),
            Effect::Retract { call, task, worker } => state.retract(call, task, worker),
            Effect::Convict { worker, task } => {
                self.receipts.get().into_iter().for_each(|receipts| receipts.disputed(worker, task));
                state.convict(worker, task)
            }
            Effect::CallDone { call } => state.finish(call, None),
            Effect::CallFailed { call, error } => state.finish(call, Some(&error)),
            Effect::WakeAt(moment) => {
                state.wake_at = Some(moment);
                self.rearm.notify_one();
                None
            }
        }
    }
}

impl Dispatch {
    /// Notes what its worker is owed for the answer at hand, once. Nothing for one that is late, though it is used.
    fn owe(&self, state: &mut State, task: TaskId, in_time: bool) {
        let owed = state.leaf.take_if(|(_, leaf)| leaf.task == task).filter(|_| in_time);
        if let Some(((worker, leaf), receipts)) = owed.zip(self.receipts.get()) {
            receipts.answered(worker, &leaf, clock::now());
        }
    }
}

/// How many rows each expert of a call gets.
fn loads(routes: &Routes) -> Vec<ExpertLoad> {
    let mut rows = BTreeMap::<u16, u32>::new();
    for route in routes.entries() {
        *rows.entry(route.expert).or_default() += 1;
    }
    rows.into_iter().map(|(expert, rows)| ExpertLoad { expert, rows }).collect()
}

fn stopped() -> ExpertsError {
    ExpertsError { message: "the node is stopping".to_owned(), retryable: true, expert: None }
}

#[cfg(test)]
mod tests;
