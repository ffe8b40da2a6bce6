//! What a call asks, and what of it one worker was asked.

use std::sync::Arc;

use neuro_primitives::{Activations, NodeId, Routes};
use neuro_protocol::frame::{Answer, AnswerError};

use super::super::tally::CallTally;

/// What a call asks. Checks may need it after the call has ended.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) layer: u16,
    /// As it travels: every worker is sent rows of the same encoding.
    pub(super) hidden: Activations,
    pub(super) routes: Routes,
    pub(super) tally: Arc<CallTally>,
}

/// What one worker was asked.
#[derive(Debug)]
pub(super) struct SentTask {
    pub(super) source: Arc<Source>,
    pub(super) worker: NodeId,
    /// Row of the call for each row of the task.
    pub(super) rows: Vec<usize>,
    pub(super) routes: Routes,
    /// Some of the rows were enough.
    pub(super) spot_check: bool,
}

impl Source {
    /// Rows of the call that go to `experts`, and their routes to these. For a spot check, only those that belong to nobody,
    /// if there are any.
    pub(super) fn asked(&self, experts: &[u16], spot_check: bool) -> (Vec<usize>, Routes) {
        let (rows, routes) = self.routes.restrict(|expert| experts.contains(&expert));
        if !spot_check || !rows.iter().any(|row| self.tally.is_nobodys(*row)) {
            return (rows, routes);
        }
        let mut fewer = (Vec::new(), Routes::new());
        for (row, routes) in rows.into_iter().zip(routes.iter()).filter(|(row, _)| self.tally.is_nobodys(*row)) {
            fewer.0.push(row);
            fewer.1.push_row(routes.iter().copied());
        }
        fewer
    }

    /// Whether an answer fits what was asked: `routes` of these `rows` of the call.
    pub(super) fn check(&self, answer: &Answer, rows: &[usize], routes: &Routes) -> Result<(), AnswerError> {
        let whole: Vec<usize> = rows.iter().map(|row| self.routes.row(*row).len()).collect();
        answer.check(routes, &whole, self.hidden.width())
    }
}
