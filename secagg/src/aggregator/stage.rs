//! The phases in a row: what each takes, what follows it, and what is announced in it.

use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};

use super::answer::AnswerPhase;
use super::effect::Effect;
use super::join::JoinPhase;
use super::received::ReceivedPhase;
use super::refused::MessageRefused;
use super::reveal::RevealPhase;
use super::round::Round;
use super::shares::SharesPhase;
use super::unmask::UnmaskPhase;
use super::upload::UploadPhase;
use super::view::Phase;
use super::vote::VotePhase;
use crate::assembly::Assembly;
use crate::config::Deadlines;
use crate::messages::{EndReason, Message, Shortfall};

/// What a message did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing: it is here already.
    Again,
    /// It changed the phase.
    New,
    /// It was the last that the phase waited for.
    Last,
}

impl Taken {
    /// `Last` if nothing more is waited for.
    pub(super) const fn last_if(complete: bool) -> Self {
        if complete { Self::Last } else { Self::New }
    }
}

/// The kind of an upload statement. Its payload comes with it, as far as phases go.
pub(super) const UPLOAD_KIND: u8 = 5;

/// The phase of a round with what it has gathered.
pub(super) enum Stage {
    Idle,
    Join(JoinPhase),
    Reveal(RevealPhase),
    Shares(SharesPhase),
    Received(ReceivedPhase),
    Upload(UploadPhase),
    Vote(VotePhase),
    Answer(AnswerPhase),
    Unmask(UnmaskPhase),
    Ended(EndReason),
}

impl Stage {
    /// Hands a message to the phase that waits for it.
    pub(super) fn take(
        &mut self,
        round: &mut Round,
        from: NodeId,
        message: Message,
        out: &mut Vec<Effect>,
    ) -> Result<Taken, MessageRefused> {
        match (self, message) {
            (Self::Join(phase), Message::Join(join)) => phase.take(round, from, join, out),
            (Self::Reveal(phase), Message::Reveal(reveal)) => phase.take(from, &reveal),
            (Self::Shares(phase), Message::Shares(shares)) => phase.take(from, *shares),
            (Self::Received(phase), Message::Received(received)) => phase.take(from, received),
            (Self::Upload(phase), Message::Upload(upload)) => phase.take(round, from, upload, out),
            (Self::Vote(phase), Message::Vote(vote)) => phase.take(from, &vote),
            (Self::Answer(phase), Message::Answer(answer)) => phase.take(round, from, &answer, out),
            (stage, message) => Err(stage.not_now(message.kind(), name(&message))),
        }
    }

    /// Why a message of this kind is not one of this phase: it comes after what it answers is over, or before.
    pub(super) const fn not_now(&self, kind: u8, got: &'static str) -> MessageRefused {
        let (phase, expected) = (self.phase(), self.message_kind());
        if kind < expected { MessageRefused::Late { phase, got } } else { MessageRefused::Phase { phase, got } }
    }

    /// The kind of the message that the phase waits for; of those that wait for none, beyond all kinds or below.
    const fn message_kind(&self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Join(_) => 1,
            Self::Reveal(_) => 2,
            Self::Shares(_) => 3,
            Self::Received(_) => 4,
            Self::Upload(_) => UPLOAD_KIND,
            Self::Vote(_) => 6,
            Self::Answer(_) => 7,
            Self::Unmask(_) | Self::Ended(_) => 8,
        }
    }

    /// Ends the phase, because all are there or because its time is over. The error is how the round ends.
    pub(super) fn close(self, round: &mut Round, out: &mut Vec<Effect>) -> Result<Self, EndReason> {
        match self {
            Self::Join(phase) => phase.close(round).map(Self::Reveal),
            Self::Reveal(phase) => phase.close(round, out),
            Self::Shares(phase) => phase.close(round, out).map(Self::Received),
            Self::Received(phase) => phase.close(round, out).map(Self::Upload),
            Self::Upload(phase) => phase.close(round, out).map(Self::Vote),
            Self::Vote(phase) => phase.close(round).map(Self::Answer),
            Self::Answer(phase) => phase.close(round, out).map(Self::Unmask),
            stage => Ok(stage),
        }
    }

    /// Announces the phase to everybody in it.
    pub(super) fn announce(&self, round: &Round, out: &mut Vec<Effect>) {
        match self {
            Self::Join(phase) => phase.announce(round, out),
            Self::Reveal(phase) => broadcast(phase.audience(), phase.announcement(), out),
            Self::Shares(phase) => broadcast(phase.audience(), phase.announcement(), out),
            Self::Received(phase) => each(phase.audience(), out),
            Self::Upload(phase) => broadcast(phase.audience(round), phase.announcement(), out),
            Self::Vote(phase) => each(phase.audience(), out),
            Self::Answer(phase) => broadcast(phase.audience(), phase.announcement(), out),
            Self::Unmask(phase) => phase.announce(out),
            Self::Ended(reason) => broadcast(round.audience(), round.end(reason.clone()).into(), out),
            Self::Idle => {}
        }
    }

    /// What is for one member alone: its inbox, and from the vote on the survivors with its neighbours' statements.
    pub(super) fn announcement_for(&self, round: &Round, node: NodeId) -> Option<Vec<u8>> {
        match self {
            Self::Received(phase) => phase.announcement_for(round, node),
            Self::Vote(phase) => phase.announcement_for(round, node),
            Self::Answer(phase) => phase.vote.announcement_for(round, node),
            _ => None,
        }
    }

    /// The same without the payload of `node`, which the sum should hold and cannot: as if it had never come, as long as
    /// nobody has voted for a set with it.
    pub(super) fn without_payload(
        self,
        round: &mut Round,
        node: NodeId,
        out: &mut Vec<Effect>,
    ) -> Result<Self, EndReason> {
        match self {
            Self::Upload(mut phase) => {
                phase.drop_payload(round, node, out);
                if phase.is_complete() { phase.close(round, out).map(Self::Vote) } else { Ok(Self::Upload(phase)) }
            }
            Self::Vote(VotePhase { mut upload, votes, .. }) if votes.is_empty() => {
                upload.drop_payload(round, node, out);
                upload.close(round, out).map(Self::Vote)
            }
            stage => {
                let expected = u16::try_from(stage.in_sum().len()).unwrap_or(u16::MAX);
                Err(EndReason::TooFewUploaded(Shortfall { expected, got: expected.saturating_sub(1) }))
            }
        }
    }

    /// Sends one member what it needs to go on, when it says that it has less (section 13).
    pub(super) fn announce_to(&self, round: &Round, node: NodeId, out: &mut Vec<Effect>) {
        let shared = |bytes: Arc<[u8]>| Some(bytes.to_vec());
        let current = match self {
            Self::Join(phase) => return phase.announce_to(round, node, out),
            Self::Reveal(phase) => shared(phase.announcement()),
            Self::Shares(phase) => shared(phase.announcement()),
            Self::Received(_) | Self::Vote(_) => self.announcement_for(round, node),
            Self::Upload(phase) => shared(phase.announcement()),
            Self::Answer(phase) => {
                // Who was away during the vote votes late and then answers.
                tell(node, self.announcement_for(round, node), out);
                shared(phase.announcement())
            }
            Self::Ended(reason) => Some(round.end(reason.clone())),
            Self::Unmask(_) | Self::Idle => None,
        };
        let belongs = self.assembly().is_none_or(|assembly| assembly.cohort.member(node).is_some());
        tell(node, current.filter(|_| belongs), out);
    }

    /// Repeats what the caller of a restarted core may have lost.
    pub(super) fn resume(&self, round: &Round, out: &mut Vec<Effect>) {
        match self {
            Self::Upload(phase) => phase.resume(out),
            Self::Vote(phase) => phase.settle(out),
            Self::Answer(phase) => phase.vote.settle(out),
            Self::Unmask(phase) => phase.settle(out),
            _ => {}
        }
        self.announce(round, out);
        out.extend(self.ended().cloned().map(Effect::End));
    }

    /// The cohort, once it is announced.
    pub(super) fn assembly(&self) -> Option<&Assembly> {
        match self {
            Self::Reveal(phase) => Some(&phase.assembly),
            Self::Shares(phase) => Some(&phase.seated),
            Self::Received(phase) => Some(&phase.seated),
            Self::Upload(phase) => Some(&phase.shared.seated),
            Self::Vote(phase) => Some(&phase.upload.shared.seated),
            Self::Answer(phase) => Some(&phase.vote.upload.shared.seated),
            Self::Unmask(phase) => Some(&phase.assembly),
            Self::Idle | Self::Join(_) | Self::Ended(_) => None,
        }
    }

    /// How the round ended, if it did.
    pub(super) const fn ended(&self) -> Option<&EndReason> {
        if let Self::Ended(reason) = self { Some(reason) } else { None }
    }

    /// Whose payloads the sum should hold.
    pub(super) fn in_sum(&self) -> Vec<NodeId> {
        match self {
            Self::Upload(phase) => phase.shared.seated.nodes_of(&phase.complete),
            Self::Vote(phase) => phase.audience(),
            Self::Answer(phase) => phase.audience(),
            Self::Unmask(phase) => phase.in_sum.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        match self {
            Self::Idle => Phase::Idle,
            Self::Join(_) => Phase::Join,
            Self::Reveal(_) => Phase::Reveal,
            Self::Shares(_) => Phase::Shares,
            Self::Received(_) => Phase::Received,
            Self::Upload(_) => Phase::Upload,
            Self::Vote(_) => Phase::Vote,
            Self::Answer(_) => Phase::Answer,
            Self::Unmask(_) => Phase::Unmask,
            Self::Ended(_) => Phase::Ended,
        }
    }

    /// The attempt at joining, 0 when none runs.
    pub(super) fn attempt(&self) -> u8 {
        match self {
            Self::Join(phase) => phase.attempt,
            stage => stage.assembly().map_or(0, |assembly| assembly.cohort.attempt),
        }
    }

    /// How long the phase may last (field 18), none if nobody is waited for.
    pub(super) const fn span_ms(&self, deadlines: &Deadlines) -> Option<u32> {
        Some(match self {
            Self::Join(_) => deadlines.join_ms,
            Self::Reveal(_) => deadlines.reveal_ms,
            Self::Shares(_) => deadlines.shares_ms,
            Self::Received(_) => deadlines.received_ms,
            Self::Upload(_) => deadlines.upload_ms,
            Self::Vote(_) => deadlines.vote_ms,
            Self::Answer(_) => deadlines.answer_ms,
            Self::Idle | Self::Unmask(_) | Self::Ended(_) => return None,
        })
    }

    /// The kind of the current announcement, as [`crate::messages::Have`] names it.
    pub(super) const fn announcement_kind(&self) -> u8 {
        match self {
            Self::Idle | Self::Join(_) => 0,
            Self::Reveal(_) => 1,
            Self::Shares(_) => 2,
            Self::Received(_) => 3,
            Self::Upload(_) => 4,
            Self::Vote(_) => 5,
            Self::Answer(_) | Self::Unmask(_) => 6,
            Self::Ended(_) => 7,
        }
    }

    /// Who is waited for and who has reported.
    pub(super) fn progress(&self, round: &Round) -> Progress {
        match self {
            Self::Join(phase) => Progress { reported: phase.joins.keys().copied().collect(), expected: Vec::new() },
            Self::Reveal(phase) => phase.progress(),
            Self::Shares(phase) => phase.progress(),
            Self::Received(phase) => phase.progress(),
            Self::Upload(phase) => phase.progress(round),
            Self::Vote(phase) => phase.progress(),
            Self::Answer(phase) => phase.progress(),
            Self::Idle | Self::Unmask(_) | Self::Ended(_) => Progress::default(),
        }
    }
}

/// Who did what a phase asks for, and from whom it is expected; both ascending.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) reported: Vec<NodeId>,
    pub(super) expected: Vec<NodeId>,
}

/// `Ok` if a message names this round's `what`.
pub(super) fn same(what: &'static str, expected: Hash, got: Hash) -> Result<(), MessageRefused> {
    if expected == got { Ok(()) } else { Err(MessageRefused::Other { what, expected, got }) }
}

fn broadcast(to: Vec<NodeId>, bytes: Arc<[u8]>, out: &mut Vec<Effect>) {
    if !to.is_empty() {
        out.push(Effect::Announce { to, bytes });
    }
}

fn each(to: Vec<NodeId>, out: &mut Vec<Effect>) {
    if !to.is_empty() {
        out.push(Effect::AnnounceEach { to });
    }
}

fn tell(to: NodeId, bytes: Option<Vec<u8>>, out: &mut Vec<Effect>) {
    out.extend(bytes.map(|bytes| Effect::Tell { to, bytes }));
}

const fn name(message: &Message) -> &'static str {
    match message {
        Message::Join(_) => "a join",
        Message::Reveal(_) => "a reveal",
        Message::Shares(_) => "shares",
        Message::Received(_) => "complaints",
        Message::Upload(_) => "an upload statement",
        Message::Vote(_) => "a vote",
        Message::Answer(_) => "an answer",
        Message::Have(_) => "where it stands",
    }
}
