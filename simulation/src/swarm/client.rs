//! Clients: calls of one layer each, cancelled at times, now and then a thousand at once.

use std::collections::{BTreeMap, BTreeSet};

use neuro_orchestrator::{ExpertLoad, Input, Redundancy};
use neuro_primitives::{CallId, NodeId};

use super::answers::Question;
use super::world::{EXPERTS, LAYERS, World};

/// Calls of a flood.
const FLOOD: u64 = 1_000;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All its experts were taken in.
    Done,
    /// The core said why not.
    Failed,
    /// The client gave it up.
    Cancelled,
    /// The orchestrator was killed, and its successor says so.
    Lost,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its layer.
    pub(crate) layer: u16,
    /// When it was made.
    pub(crate) started: u64,
    /// Rows by expert.
    pub(crate) rows: BTreeMap<u16, u32>,
    /// Experts taken in.
    pub(crate) accepted: BTreeSet<u16>,
    /// Who was sent the rows of an expert, for whatever reason.
    pub(crate) asked: BTreeMap<u16, BTreeSet<NodeId>>,
    /// How it ended.
    pub(crate) end: Option<End>,
    /// Whether the driver refused to settle a check of one of its tasks.
    pub(crate) unsettled: bool,
}

impl Request {
    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.rows.len() == self.accepted.len()
    }

    /// What a task for some of its experts asks.
    pub(crate) fn question(&self, call: CallId, experts: &[u16]) -> Question {
        let rows = |expert: &u16| (*expert, self.rows.get(expert).copied().unwrap_or(0));
        Question { call, layer: self.layer, experts: experts.iter().map(rows).collect() }
    }
}

impl World {
    /// A client calls some experts of a layer.
    pub(crate) fn call(&mut self) {
        self.last_call += 1;
        let (call, layer) = (CallId(self.last_call), self.chance.below(LAYERS.into()) as u16);
        let mut rows = BTreeMap::new();
        for expert in 0..EXPERTS {
            if self.chance.below(3) == 0 {
                rows.insert(expert, 1 + self.chance.below(8) as u32);
            }
        }
        let experts = rows.iter().map(|(expert, rows)| ExpertLoad { expert: *expert, rows: *rows }).collect();
        let (accepted, asked) = (BTreeSet::new(), BTreeMap::new());
        let request = Request { layer, started: self.now, rows, accepted, asked, end: None, unsettled: false };
        self.requests.insert(call, request);
        self.open_calls += 1;
        self.tally.calls += 1;
        let redundancy = if self.chance.below(8) == 0 { Redundancy::Two } else { Redundancy::One };
        self.step(Input::Call { call, layer, experts, redundancy }, None);
    }

    /// A client gives up some call, which may have ended.
    pub(crate) fn cancel_one(&mut self) {
        let call = CallId(self.chance.below(self.last_call + 1));
        self.cancel_call(call);
    }

    /// A client opens a great many calls at once and cancels half of them.
    pub(crate) fn flood(&mut self) {
        let first = self.last_call + 1;
        (0..FLOOD).for_each(|_| self.call());
        for call in first..first + FLOOD {
            if self.chance.percent(50) {
                self.cancel_call(CallId(call));
            }
        }
    }

    fn cancel_call(&mut self, call: CallId) {
        self.end(call, End::Cancelled);
        self.step(Input::CallCancelled { call }, None);
    }

    /// Notes the end of a call that is open; of others nothing.
    pub(crate) fn end(&mut self, call: CallId, end: End) {
        let Some(request) = self.requests.get_mut(&call).filter(|request| request.end.is_none()) else { return };
        request.end = Some(end);
        self.open_calls -= 1;
        match end {
            End::Done => self.tally.done += 1,
            End::Failed => self.tally.failed += 1,
            End::Cancelled | End::Lost => self.tally.given_up += 1,
        }
    }
}
