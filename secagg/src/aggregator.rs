//! The aggregator's side of a round (sections 5 to 9, 13 and 16): inputs and a time go in, effects come out.
//!
//! ```text
//! Idle ─Start▶ Join ─▶ Reveal ─▶ Shares ─▶ Received ─▶ Upload ─▶ Vote ─▶ Answer ─▶ Unmask ─▶ Ended
//!               ▲         │ a reveal is missing, at most twice
//!               └─────────┘
//! ```
//!
//! A phase ends when everybody in it has reported or at its deadline, whichever is first; too few, and the round ends with
//! a reason. Inputs that change the round are journalled before anything that follows from them, and [`replay`] feeds
//! them to a new core, which then is in the same state and makes the same announcements. No vector passes through here:
//! the core says which payloads to add and which masks to remove.
//!
//! Nothing here protects a participant. What it must not learn, the participants' side keeps from it.

mod answer;
mod complaints;
mod dealt;
mod effect;
mod evidence;
mod input;
mod join;
mod journal;
mod received;
mod refused;
mod replay;
mod reveal;
mod round;
mod setup;
mod shares;
mod stage;
mod unmask;
mod upload;
mod view;
mod vote;

use std::time::Duration;

use neuro_primitives::clock::Moment;
use neuro_primitives::{Hash, NodeId};

pub use effect::Effect;
pub use evidence::Evidence;
pub use input::Input;
pub use journal::EntryError;
pub use refused::MessageRefused;
pub use replay::{ReplayError, replay};
pub use setup::SetupError;
pub use view::{CohortNumbers, Phase, RoundView};

pub use crate::modulus_rule::ModulusRule;

use crate::messages::{EndReason, Have, MOST_MESSAGE_BYTES, Message, OutCause};
use journal::Journal;
use round::Round;
use stage::{Stage, Taken, UPLOAD_KIND};

/// One cohort of one round, at its aggregator.
pub struct Aggregator {
    round: Round,
    stage: Stage,
    journal: Journal,
    deadline: Option<Moment>,
    /// Evidence of the inputs that were replayed: the caller hears of it again.
    proved: Vec<Effect>,
}

impl Aggregator {
    /// Takes one input at the moment `now` and says what to do, in order.
    pub fn step(&mut self, now: Moment, input: Input) -> Vec<Effect> {
        if input == Input::Tick && self.deadline.is_none_or(|deadline| now < deadline) {
            return self.deadline.map(Effect::WakeAt).into_iter().collect();
        }
        let before = self.position();
        let mut effects = Vec::new();
        if self.apply(&input, &mut effects) {
            effects.insert(0, Effect::Journal(self.journal.append(now, &input)));
        }
        if self.position() != before {
            self.round.told.clear();
        }
        if self.position() != before || self.deadline.is_none() {
            self.wind(now, &mut effects);
        }
        effects.iter().for_each(|effect| self.round.bytes_out += sent_bytes(effect));
        effects
    }

    /// The announcement of the current phase that is for `node` alone, as [`Effect::AnnounceEach`] asks for it: its inbox, or
    /// the survivors with its neighbours' statements. The same bytes each time; none where the phase has none for it, which
    /// a phase that is over does not either.
    pub fn announcement_for(&mut self, node: NodeId) -> Option<Vec<u8>> {
        let bytes = self.stage.announcement_for(&self.round, node)?;
        self.round.bytes_out += bytes.len() as u64;
        Some(bytes)
    }

    /// Takes an input without regard to the time: a tick is a deadline. Returns whether the round changed.
    fn apply(&mut self, input: &Input, out: &mut Vec<Effect>) -> bool {
        match input {
            Input::Start => self.start(out),
            Input::Message { from, bytes } => {
                let taken = self.take(*from, bytes, out);
                self.account(*from, bytes.len() as u64, taken, out)
            }
            Input::UploadComplete { from, payload, bytes } => {
                let taken = self.complete(*from, *payload, *bytes, out);
                self.account(*from, *bytes, taken, out)
            }
            Input::UploadUnfit { from, payload } => self.unfit(*from, *payload, out),
            Input::Connected(node) => self.connected(*node, out),
            Input::Lost(node) => {
                self.round.connected.remove(node);
                false
            }
            Input::Tick => self.close(out),
            Input::Unmasked { sum, weight, epsilon } => self.unmasked(*sum, *weight, *epsilon, out),
            Input::Stop => self.end(EndReason::Stopped, out),
            Input::CallOff if matches!(self.stage, Stage::Answer(_) | Stage::Unmask(_)) => false,
            Input::CallOff => self.end(EndReason::Stopped, out),
        }
    }

    fn start(&mut self, out: &mut Vec<Effect>) -> bool {
        if !matches!(self.stage, Stage::Idle) {
            out.append(&mut self.proved);
            self.stage.resume(&self.round, out);
            return false;
        }
        self.stage = Stage::Join(join::JoinPhase::new(0, Vec::new()));
        self.stage.announce(&self.round, out);
        true
    }

    fn take(&mut self, from: NodeId, bytes: &[u8], out: &mut Vec<Effect>) -> Result<Taken, MessageRefused> {
        if bytes.len() > MOST_MESSAGE_BYTES {
            return Err(MessageRefused::TooLong { most: MOST_MESSAGE_BYTES, got: bytes.len() });
        }
        if !self.round.calls(from) {
            return Err(MessageRefused::Stranger { node: from });
        }
        let message = Message::decode(bytes, self.stage.assembly().map(|assembly| &assembly.shape))?;
        if let Some(&cause) = self.round.left_out.get(&from) {
            self.round.count_telling(from)?;
            let bytes = self.round.end(EndReason::OutOfRound(cause));
            out.push(Effect::Tell { to: from, bytes });
            return Err(MessageRefused::LeftOut { node: from });
        }
        match message {
            Message::Have(have) => self.have(from, &have, out),
            message => self.stage.take(&mut self.round, from, message, out),
        }
    }

    /// Section 13: who says that it has less gets the current announcement, some of which are made and signed for it alone:
    /// so only so often.
    fn have(&mut self, from: NodeId, have: &Have, out: &mut Vec<Effect>) -> Result<Taken, MessageRefused> {
        stage::same("configuration", self.round.config_hash, have.config)?;
        let (attempt, kind) = (self.stage.attempt(), self.stage.announcement_kind());
        if (have.attempt, have.announcement) < (attempt, kind) {
            self.round.count_telling(from)?;
            self.stage.announce_to(&self.round, from, out);
        }
        Ok(Taken::Again)
    }

    fn complete(
        &mut self,
        from: NodeId,
        payload: Hash,
        bytes: u64,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        match &mut self.stage {
            Stage::Upload(phase) => phase.completed(from, payload, bytes, out),
            stage => Err(stage.not_now(UPLOAD_KIND, "a payload")),
        }
    }

    /// Section 8: a payload that cannot be added. What the caller was told to do after adding it, it is told again.
    fn unfit(&mut self, from: NodeId, payload: Hash, out: &mut Vec<Effect>) -> bool {
        if matches!(self.stage, Stage::Ended(_)) {
            self.stage.resume(&self.round, out);
            return false;
        }
        if !self.stage.in_sum().contains(&from) {
            let taken = match &mut self.stage {
                Stage::Upload(phase) => phase.unfit(&mut self.round, from, payload, out),
                stage => Err(stage.not_now(UPLOAD_KIND, "a payload")),
            };
            return self.account(from, 0, taken, out);
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        match stage.without_payload(&mut self.round, from, out) {
            Ok(next) => {
                self.stage = next;
                self.stage.resume(&self.round, out);
                true
            }
            Err(reason) => self.end(reason, out),
        }
    }

    /// Ends the phase if that was the last it waited for, and notes why a message was refused.
    fn account(
        &mut self,
        from: NodeId,
        bytes: u64,
        taken: Result<Taken, MessageRefused>,
        out: &mut Vec<Effect>,
    ) -> bool {
        match taken {
            Ok(Taken::Again) => return false,
            Ok(Taken::New) => {}
            Ok(Taken::Last) => {
                self.close(out);
            }
            Err(why) => {
                out.push(Effect::Refuse { from, why });
                return false;
            }
        }
        self.round.bytes_in += bytes;
        true
    }

    /// A stream to a member stands: newcomers need the configuration, others say what they have. Who broke the protocol in an
    /// earlier round is asked too, so that the answer to its join tells it so.
    fn connected(&mut self, node: NodeId, out: &mut Vec<Effect>) -> bool {
        if !self.round.calls(node) {
            return false;
        }
        self.round.connected.insert(node);
        let cause = self.round.left_out.get(&node).copied();
        if matches!((&self.stage, cause), (Stage::Join(_), None | Some(OutCause::Blamed))) {
            self.stage.announce_to(&self.round, node, out);
        } else if cause.is_some() || matches!(self.stage, Stage::Ended(_)) {
            match (self.round.count_telling(node), cause) {
                (Err(why), _) => out.push(Effect::Refuse { from: node, why }),
                (Ok(()), None) => self.stage.announce_to(&self.round, node, out),
                (Ok(()), Some(cause)) => {
                    out.push(Effect::Tell { to: node, bytes: self.round.end(EndReason::OutOfRound(cause)) });
                }
            }
        }
        false
    }

    /// Goes to the next phase, or ends the round.
    fn close(&mut self, out: &mut Vec<Effect>) -> bool {
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        match stage.close(&mut self.round, out) {
            Ok(next) => {
                self.stage = next;
                self.stage.announce(&self.round, out);
                true
            }
            Err(reason) => self.end(reason, out),
        }
    }

    fn unmasked(&mut self, sum: Hash, weight: u64, epsilon: f64, out: &mut Vec<Effect>) -> bool {
        let Stage::Unmask(phase) = &self.stage else { return false };
        let survivors = phase.survivors;
        self.end(EndReason::Done { sum, weight, survivors, epsilon }, out)
    }

    /// Section 16: the round is over; what it knew of secrets is dropped.
    fn end(&mut self, reason: EndReason, out: &mut Vec<Effect>) -> bool {
        if matches!(self.stage, Stage::Ended(_)) {
            return false;
        }
        self.stage = Stage::Ended(reason.clone());
        self.stage.announce(&self.round, out);
        out.push(Effect::End(reason));
        true
    }

    /// The phase's clock starts.
    fn wind(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let span = self.stage.span_ms(&self.round.config().deadlines);
        self.deadline = span.map(|ms| now.after(Duration::from_millis(ms.into())));
        out.extend(self.deadline.map(Effect::WakeAt));
    }

    fn position(&self) -> (Phase, u8) {
        (self.stage.phase(), self.stage.attempt())
    }
}

fn sent_bytes(effect: &Effect) -> u64 {
    let bytes = match effect {
        Effect::Configure { to, config } => to.len() * config.len(),
        Effect::Announce { to, bytes } => to.len() * bytes.len(),
        Effect::Tell { bytes, .. } => bytes.len(),
        _ => 0,
    };
    bytes as u64
}
