//! What the dispatcher holds, and what each effect of the core does to it.

use std::sync::Arc;
use std::time::Duration;

use neuro_inference::ExpertsError;
use neuro_orchestrator::{CallError, Input};
use neuro_primitives::{CallId, ModelId, NodeId, RowSum, TaskId};
use neuro_protocol::frame::{Answer, Frame, MicroTask};
use neuro_protocol::version::ENGINE_SPEC;

use super::source::SentTask;
use super::{Connection, Order, State, Unasked};

impl State {
    /// The link `session` of a worker, unless a newer one took its place.
    pub(super) fn link(&mut self, worker: NodeId, session: u64) -> Option<&mut Connection> {
        self.links.get_mut(&worker).filter(|open| open.link.session == session)
    }

    /// Whether what a worker says about a task counts: not over a link that is closed already.
    pub(super) fn hears(&mut self, worker: NodeId, session: u64, task: TaskId) -> Result<bool, Unasked> {
        let Some(open) = self.link(worker, session) else { return Ok(false) };
        if open.ledger.heard(task) { Ok(true) } else { Err(Unasked { worker, task }) }
    }

    /// Sends an order; a worker that does not take it is lost.
    pub(super) fn order(&mut self, worker: NodeId, order: Order) -> Option<Input> {
        let open = self.links.get(&worker)?;
        if open.link.orders.try_send(order).is_ok() { None } else { self.lose(worker) }
    }

    pub(super) fn expel(&mut self, worker: NodeId, reason: String) -> Option<Input> {
        tracing::warn!(worker = %worker.short(), reason, "a worker was expelled");
        if let Some(open) = self.links.get(&worker) {
            let _ = open.link.orders.try_send(Order::Expel(reason));
        }
        // One that is expelled for its silence has no fault of its own yet.
        if !self.faults.contains_key(&worker) {
            self.blame(worker);
        }
        self.lose(worker)
    }

    pub(super) fn lose(&mut self, worker: NodeId) -> Option<Input> {
        self.unlink(worker).then_some(Input::WorkerLeft { worker })
    }

    /// Removes a worker's link and what was asked over it; whether there was one.
    pub(super) fn unlink(&mut self, worker: NodeId) -> bool {
        self.tasks.retain(|_, sent| sent.worker != worker);
        self.links.remove(&worker).is_some()
    }

    pub(super) fn send_task(
        &mut self,
        model: ModelId,
        task: TaskId,
        call_id: CallId,
        worker: NodeId,
        (experts, spot_check): (&[u16], bool),
        deadline: Duration,
    ) -> Option<Input> {
        let source = Arc::clone(&self.calls.get(&call_id)?.source);
        let (rows, routes) = source.asked(experts, spot_check);
        let frame = Frame::Task(MicroTask {
            task,
            model,
            engine_spec: ENGINE_SPEC,
            layer: source.layer,
            deadline_left_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
            hidden: source.hidden.gather(&rows),
            routes: routes.clone(),
        });
        // Without a link there is nobody to answer: the core is about to hear that the worker left.
        let open = self.links.get_mut(&worker)?;
        open.ledger.sent(task);
        self.tasks.insert(task, SentTask { source, worker, rows, routes, spot_check });
        if open.link.frames.try_send(frame.encode()).is_ok() { None } else { self.lose(worker) }
    }

    pub(super) fn cancel_task(&mut self, task: TaskId, worker: NodeId) -> Option<Input> {
        self.tasks.remove(&task);
        // Best effort: a worker that misses it computes for nothing.
        let _ = self.links.get(&worker)?.link.frames.try_send(Frame::Cancel(task).encode());
        None
    }

    /// Adds an answer to its call: the one at hand, or one that was kept.
    pub(super) fn accept(&mut self, task: TaskId, call: CallId) -> Option<Input> {
        if let Some(kept) = self.kept.get(&task).map(Arc::clone) {
            return self.add(call, &kept.sent, &kept.answer);
        }
        let (arrived, answer) = self.arrived.take()?;
        assert_eq!(arrived, task, "the core accepted another answer than the one it was shown");
        let sent = self.tasks.remove(&task)?;
        self.add(call, &sent, &answer)
    }

    pub(super) fn add(&mut self, call: CallId, sent: &SentTask, answer: &Answer) -> Option<Input> {
        sent.source.tally.count(sent.worker, &sent.rows, &sent.routes, answer.compute_us);
        self.note_work(sent);
        self.add_sums(call, &sent.rows, &answer.sums)
    }

    /// Notes work that was of use: accepted, or a right witness.
    pub(super) fn note_work(&self, sent: &SentTask) {
        self.recorder.iter().for_each(|recorder| recorder.worked(sent.worker, sent.routes.entries().len() as u64));
    }

    pub(super) fn add_sums(&mut self, call_id: CallId, rows: &[usize], sums: &[RowSum]) -> Option<Input> {
        let call = self.calls.get_mut(&call_id)?;
        for (&row, sum) in rows.iter().zip(sums) {
            if let Err(error) = call.sum.add(row, sum) {
                let error = ExpertsError {
                    message: format!("layer {}: {error}", call.source.layer),
                    // Each answer kept to its share, so it was not these: the checkpoint's own values are beyond it.
                    retryable: true,
                    expert: None,
                };
                let _ = self.calls.remove(&call_id)?.done.send(Err(error));
                return Some(Input::CallCancelled { call: call_id });
            }
        }
        None
    }

    pub(super) fn finish(&mut self, call_id: CallId, error: Option<&CallError>) -> Option<Input> {
        let call = self.calls.remove(&call_id)?;
        let outcome = match error {
            None => Ok(call.sum.to_rows()),
            Some(error) => Err(ExpertsError {
                message: format!("layer {}: {error}", call.source.layer),
                retryable: error.is_retryable(),
                expert: error.expert().map(|id| id.expert),
            }),
        };
        // The decode thread waits for exactly this; it is gone only when the process stops.
        let _ = call.done.send(outcome);
        None
    }
}
