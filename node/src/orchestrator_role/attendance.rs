//! One worker's attendance: from its open data stream to the end of either connection.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use neuro_network::control::{ControlError, ControlErrorKind, InstructionStream, ReportStream};
use neuro_orchestrator::Input;
use neuro_orchestrator::receipts::ReceiptFault;
use neuro_primitives::{ExpertId, NodeId};
use neuro_protocol::control::{
    Calibration, DropExperts, Expert, FailedExpert, HeldExperts, HoldExperts, Instruction, LastVoucher, StopWork,
    VoucherReply, WorkerReport, instruction, worker_report,
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::control_service::refused;
use super::dispatch::{LINK_QUEUE_FRAMES, Link, Order};
use super::hardware;
use super::link::{LinkError, OpenLink};
use super::receipts::Receipts;
use super::shared::Shared;
use crate::clock::{now, unix_now};

/// Instructions that may wait for one worker. The core has few outstanding; a worker that far behind is lost.
const INSTRUCTION_QUEUE: usize = 64;

/// Instructions on their way to one worker.
type Instructions = mpsc::Sender<Result<Instruction, ControlError>>;

/// A worker that attends, or is about to.
pub struct Attendance {
    /// The node.
    pub shared: Arc<Shared>,
    /// The worker.
    pub worker: NodeId,
    /// Which of its connections this is.
    pub session: u64,
}

impl Attendance {
    /// Opens the data stream, lets the core place experts on the worker, and returns its instructions. What follows
    /// runs in a task of its own.
    ///
    /// # Errors
    /// `Unavailable` when the data stream cannot be opened; `NotAllowed` when the worker broke the protocol on it.
    pub async fn begin(
        self,
        memory_limit_bytes: u64,
        reports: ReportStream,
    ) -> Result<InstructionStream, ControlError> {
        let Self { shared, worker, session } = &self;
        let (model, d_model) = (shared.publication.manifest().model_id(), shared.trunk.config().d_model);
        let link = match OpenLink::open(&shared.network, *worker, model, d_model).await {
            Ok(link) => link,
            Err(error) => return Err(self.unopened(&error)),
        };
        shared.members.attends(*worker).map_err(|error| refused(&error))?;
        if let Some(facts) = shared.roster.attends(*worker, link.greeted()) {
            shared.recorder.joined(*worker, &facts);
        }
        let (frames, outgoing) = mpsc::channel(LINK_QUEUE_FRAMES);
        let (orders, incoming) = mpsc::channel(INSTRUCTION_QUEUE);
        let (instructions, stream) = mpsc::channel(INSTRUCTION_QUEUE);
        shared.dispatch.joined(*worker, Link { session: *session, frames, orders }, memory_limit_bytes);
        tokio::spawn(self.last(link, outgoing, incoming, instructions, reports));
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    /// Lasts until the worker, its data stream or the core ends it, and cleans up.
    async fn last(
        self,
        link: OpenLink,
        frames: mpsc::Receiver<Vec<u8>>,
        mut orders: mpsc::Receiver<Order>,
        instructions: Instructions,
        mut reports: ReportStream,
    ) {
        let (worker, dispatch) = (self.worker, &self.shared.dispatch);
        let (met, mut expulsion) = (Notify::new(), None);
        let ended = tokio::select! {
            ended = link.run(worker, self.session, frames, dispatch) => ended,
            reason = self.take_reports(&mut reports, &instructions, &met) => {
                tracing::info!(worker = %worker.short(), reason, "a worker left");
                Ok(())
            }
            last = pass_orders(&mut orders, &instructions) => {
                expulsion = last;
                Ok(())
            }
            () = self.offer_vouchers(&instructions, &met) => Ok(()),
        };
        dispatch.left(worker, self.session);
        self.seek_signature(&mut reports, &instructions).await;
        // An expulsion is the last order; the worker's owner shall read why.
        while let Some(order) = expulsion.take().or_else(|| orders.try_recv().ok()) {
            let _ = instructions.try_send(Ok(instruction_of(order)));
        }
        if let Err(error) = ended {
            self.note_end(&error, &instructions);
        }
        self.note_absence();
        if self.shared.members.check_conduct(worker, Instant::now()).is_err() {
            self.shared.network.close(worker).await;
        }
    }

    /// Passes the worker's reports to the core until they end; returns why.
    async fn take_reports(&self, reports: &mut ReportStream, instructions: &Instructions, met: &Notify) -> String {
        loop {
            match reports.next().await {
                None => return "it ended the conversation".to_owned(),
                Some(Err(error)) => return error.to_string(),
                Some(Ok(WorkerReport { report })) => match report {
                    Some(worker_report::Report::LastVoucher(last)) => {
                        self.take_last(last, instructions).await;
                        met.notify_one();
                    }
                    Some(worker_report::Report::Voucher(reply)) => self.take_reply(reply).await,
                    other => self.take_report(other),
                },
            }
        }
    }

    /// Offers a voucher whenever one is due, once the two have `met`: until the worker has told its last voucher, it could
    /// not sign what follows another one. Ends when the worker takes no more instructions.
    async fn offer_vouchers(&self, instructions: &Instructions, met: &Notify) {
        met.notified().await;
        let mut interval = tokio::time::interval(self.shared.receipts.interval());
        loop {
            interval.tick().await;
            if let Some(due) = self.shared.receipts.due(self.worker, now(), unix_now())
                && instructions.send(Ok(Instruction { instruction: Some(due) })).await.is_err()
            {
                return;
            }
        }
    }

    /// A worker whose answer was proven wrong is asked to sign for it before it hears why it goes: who refuses forfeits
    /// what it did since its last voucher, who signs has made the evidence.
    async fn seek_signature(&self, reports: &mut ReportStream, instructions: &Instructions) {
        let cases = &self.shared.cases;
        let signed = async {
            while cases.waits_for(self.worker) {
                if let Some(due) = self.shared.receipts.due_at_once(self.worker, now(), unix_now())
                    && instructions.send(Ok(Instruction { instruction: Some(due) })).await.is_err()
                {
                    return;
                }
                match reports.next().await {
                    Some(Ok(WorkerReport { report: Some(worker_report::Report::Voucher(reply)) })) => {
                        self.take_reply(reply).await;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        };
        let _ = tokio::time::timeout(self.shared.receipts.patience(), signed).await;
        cases.give_up(self.worker);
    }

    /// Finds with the worker which voucher goes on.
    async fn take_last(&self, last: LastVoucher, instructions: &Instructions) {
        let told = self.with_receipts(move |receipts, worker| receipts.attached(worker, &last, now())).await;
        for instruction in told.into_iter().flatten() {
            let _ = instructions.send(Ok(Instruction { instruction: Some(instruction) })).await;
        }
    }

    /// What was signed may be what a case waits for.
    async fn take_reply(&self, reply: VoucherReply) {
        let cases = Arc::clone(&self.shared.cases);
        self.with_receipts(move |receipts, worker| {
            let replied = receipts.replied(worker, &reply, now());
            cases.close(worker);
            replied
        })
        .await;
    }

    /// `work` that checks signatures, and may write a file, on a thread that may wait for it. What is no voucher counts as a fault.
    async fn with_receipts<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Receipts, NodeId) -> Result<T, ReceiptFault> + Send + 'static,
    ) -> Option<T> {
        let (receipts, worker) = (Arc::clone(&self.shared.receipts), self.worker);
        let done = tokio::task::spawn_blocking(move || work(&receipts, worker)).await.ok()?;
        done.inspect_err(|error| {
            tracing::warn!(worker = %worker.short(), %error, "a worker sent a voucher that is none");
            self.shared.dispatch.blame(worker);
        })
        .ok()
    }

    fn take_report(&self, report: Option<worker_report::Report>) {
        let (worker, dispatch) = (self.worker, &self.shared.dispatch);
        match report {
            Some(worker_report::Report::Holding(held)) => dispatch.reported(ready(worker, &held)),
            Some(worker_report::Report::Failed(failed)) => {
                if let Some(input) = failure(worker, failed) {
                    dispatch.reported(input);
                }
            }
            Some(worker_report::Report::Calibration(calibration)) => self.take_calibration(calibration),
            Some(worker_report::Report::Beat(beat)) => {
                self.shared.roster.beat(worker, &beat);
                self.shared.recorder.seen(worker);
            }
            Some(_) | None => {}
        }
    }

    /// Believes a sensible calibration; one without sense counts as a fault.
    fn take_calibration(&self, calibration: Calibration) {
        let (worker, dispatch) = (self.worker, &self.shared.dispatch);
        match hardware::speeds(&calibration) {
            Some(speeds) => {
                self.shared.roster.calibrated(worker, calibration);
                dispatch.reported(Input::WorkerCalibrated { worker, speeds });
            }
            None => {
                tracing::warn!(worker = %worker.short(), "a worker's calibration makes no sense");
                dispatch.blame(worker);
            }
        }
    }

    /// What a worker hears whose data stream cannot be opened. One that answered the greeting with nonsense is turned
    /// away.
    fn unopened(&self, error: &LinkError) -> ControlError {
        self.note_absence();
        if error.is_violation(self.worker) {
            self.turn_away(error);
            return ControlError::new(ControlErrorKind::NotAllowed, error.to_string());
        }
        ControlError::new(ControlErrorKind::Unavailable, error.to_string())
    }

    /// Says why the data stream ended; a worker that broke the protocol on it is told, and turned away.
    fn note_end(&self, error: &LinkError, instructions: &Instructions) {
        tracing::info!(worker = %self.worker.short(), %error, "a worker left");
        if error.is_violation(self.worker) {
            self.turn_away(error);
            let _ = instructions.try_send(Ok(instruction_of(Order::Expel(error.to_string()))));
        }
    }

    /// Shuts the worker out: it would break the protocol again.
    fn turn_away(&self, error: &LinkError) {
        tracing::warn!(worker = %self.worker.short(), %error, "a worker broke the protocol and is turned away");
        self.shared.dispatch.blame(self.worker);
        self.shared.members.turn_away(self.worker, error.to_string(), Instant::now());
    }

    /// Marks the worker as gone, unless it is already back over another link.
    fn note_absence(&self) {
        if !self.shared.dispatch.is_linked(self.worker) {
            self.shared.roster.left(self.worker);
            self.shared.receipts.left(self.worker, now());
        }
    }
}

/// Turns the core's orders into instructions until the core has no more, the worker takes none, or one expels it: that
/// one is returned.
async fn pass_orders(orders: &mut mpsc::Receiver<Order>, instructions: &Instructions) -> Option<Order> {
    while let Some(order) = orders.recv().await {
        if matches!(order, Order::Expel(_)) {
            return Some(order);
        }
        if instructions.send(Ok(instruction_of(order))).await.is_err() {
            return None;
        }
    }
    None
}

fn instruction_of(order: Order) -> Instruction {
    let experts = |experts: Vec<ExpertId>| experts.into_iter().map(Expert::from).collect();
    Instruction {
        instruction: Some(match order {
            Order::Hold(held) => instruction::Instruction::Hold(HoldExperts { experts: experts(held) }),
            Order::Drop(dropped) => instruction::Instruction::Drop(DropExperts { experts: experts(dropped) }),
            Order::Expel(reason) => instruction::Instruction::Stop(StopWork { reason }),
        }),
    }
}

fn ready(worker: NodeId, held: &HeldExperts) -> Input {
    Input::WorkerReady {
        worker,
        experts: held.experts.iter().filter_map(|expert| ExpertId::try_from(*expert).ok()).collect(),
    }
}

fn failure(worker: NodeId, failed: FailedExpert) -> Option<Input> {
    tracing::warn!(worker = %worker.short(), reason = failed.reason, "a worker could not load an expert");
    Some(Input::ExpertFailed { worker, expert: ExpertId::try_from(failed.expert?).ok()?, reason: failed.reason })
}
