//! One session at one party, from the client's proposal to its receipt. Runs in a thread of its own.

mod client_link;
mod last_words;
mod peers;
mod watched;

use std::cell::{Cell, RefCell};
use std::time::Instant;

use neuro_network::smpc::{Ending, Link, LinkError, LinkTraffic, PartyLinks};
use neuro_primitives::Hash;
use neuro_smpc::channel::{Channel, ChannelError};
use neuro_smpc::computation::Computation;
use neuro_smpc::error::SmpcError;
use neuro_smpc::party::PartyId;
use neuro_smpc::proof::ProofError;

use self::client_link::ClientLink;
pub use self::peers::PeersError;
use self::watched::{Foresight, Watched};
use super::agreement::Agreement;
use super::messages::{ClientMessage, Cost, MessageError, PartyMessage, TurnShares};
use super::party::{PartyContext, PartyEvent};
use super::program::{StartError, Turn};
use super::seeds::{SeedError, Seeds};
use super::transcript::{Receipt, Signed, Statement, Transcript, TranscriptError};
use crate::unix_now;

/// Why a session ended before its end. Said to the client and to the peers: none of these says a value.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The client's terms are not this party's.
    #[error("the terms differ: {}", .0.join("; "))]
    Terms(Vec<String>),
    /// The other parties.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// Seeds, or inputs that differ.
    #[error(transparent)]
    Seeds(#[from] SeedError),
    /// A session that is not admitted.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The computation.
    #[error(transparent)]
    Computation(#[from] SmpcError),
    /// The link to the client.
    #[error("the client: {0}")]
    Client(#[from] LinkError),
    /// The client, who may wait for another party's answer to the turn before.
    #[error("the client: no message within {deadline_ms} ms; whether another party owes it an answer is not known")]
    ClientLate {
        /// How long it was waited.
        deadline_ms: u128,
    },
    /// What the client said.
    #[error("the client: {0}")]
    Message(#[from] MessageError),
    /// Out of turn, or of the wrong size.
    #[error("the client: expected {expected}")]
    OutOfTurn {
        /// What was due.
        expected: String,
    },
    /// What the client signed.
    #[error("the client: {0}")]
    Receipt(#[from] TranscriptError),
    /// The party was told to stop.
    #[error("this party is stopping")]
    Stopped,
    /// A peer sent nothing in time, and no reason in the time after.
    #[error("{late}, nor a reason within {patience_ms} ms more: whether it waited for somebody else is not known")]
    Silent {
        /// Who was waited for, and in which step.
        late: ChannelError,
        /// How long its reason was waited for.
        patience_ms: u128,
    },
    /// A peer ended the session, and why it says it did.
    #[error("party {peer} ended the session: {reason}")]
    Told {
        /// Who.
        peer: PartyId,
        /// How, as it says.
        ending: Ending,
        /// In its words.
        reason: String,
    },
}

impl SessionError {
    /// Whether somebody was lost or somebody was wrong.
    const fn ending(&self) -> Ending {
        match self {
            Self::Told { ending, .. } => *ending,
            Self::Stopped | Self::Client(_) | Self::ClientLate { .. } | Self::Silent { .. } => Ending::Loss,
            Self::Peers(PeersError::Connect { .. } | PeersError::Absent { .. } | PeersError::Link { .. }) => {
                Ending::Loss
            }
            Self::Computation(SmpcError::Channel(error) | SmpcError::Proof(ProofError::Channel(error)))
            | Self::Seeds(SeedError::Channel(error)) => match error {
                // Of a client that has hung up, only its link may be lost.
                ChannelError::Lost { .. }
                | ChannelError::Late { .. }
                | ChannelError::Aborted { .. }
                | ChannelError::Unwanted { .. } => Ending::Loss,
                ChannelError::Refused { .. } | ChannelError::TooLong { .. } => Ending::Fault,
            },
            _ => Ending::Fault,
        }
    }
}

/// Of a link that never was.
const NOTHING: LinkTraffic =
    LinkTraffic { sent_bytes: 0, received_bytes: 0, sent_hash: [0; 32], received_hash: [0; 32] };

/// How a session ended.
pub(super) struct Ended {
    /// What the party says of it.
    pub statement: Statement,
    /// Its own statement, and the receipt where the client sent one; nothing of a session that never came about.
    pub transcript: Option<Transcript>,
}

/// What a session has come to.
struct Progress<'a> {
    /// Whether all three agreed.
    agreed: bool,
    tokens: u32,
    cost: Cost,
    links: [Option<LinkTraffic>; 3],
    /// Told of what happens.
    tell: &'a dyn Fn(PartyEvent),
}

/// Serves one client, and tells what happens. Blocking: for a thread outside the runtime.
pub(super) fn run(context: &PartyContext, client: Link, agreement: &Agreement, tell: &dyn Fn(PartyEvent)) -> Ended {
    let (began_ms, began) = (unix_now().0, Instant::now());
    let mut progress = Progress { agreed: false, tokens: 0, cost: Cost::default(), links: [None; 3], tell };
    let client = RefCell::new(ClientLink::new(client, context.runtime.clone(), context.deadline));
    let outcome = with_peers(context, &client, agreement, &mut progress);
    let client = client.into_inner();
    progress.links[context.party.index()] = Some(client.traffic());
    let statement = Statement {
        agreement: agreement.clone(),
        party: context.party,
        tokens: progress.tokens,
        rounds: progress.cost.rounds,
        bytes: progress.cost.bytes,
        links: progress.links.map(|link| link.unwrap_or(NOTHING)),
        failure: outcome.as_ref().err().map(ToString::to_string),
        began_ms,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    let signed = statement.sign(&context.key);
    let receipt = match outcome {
        Ok(()) => part(client, &signed, &statement),
        Err(error) => {
            client.abort(error.ending(), &error.to_string());
            None
        }
    };
    let transcript = progress.agreed.then(|| Transcript { statements: vec![signed], receipt });
    Ended { statement, transcript }
}

/// Hands the statement over and waits for the receipt. The work is done: a client that goes away without one, or with one
/// for something else, is no fault.
fn part(mut client: ClientLink, signed: &Signed, statement: &Statement) -> Option<Signed> {
    let answer = client.send(&PartyMessage::Statement(signed.clone())).and_then(|()| client.receive());
    client.close();
    let Ok(ClientMessage::Receipt(receipt)) = answer else { return None };
    Receipt::verified(&receipt).and_then(|receipt| receipt.fits(statement, signed)).ok()?;
    Some(receipt)
}

fn with_peers(
    context: &PartyContext,
    client: &RefCell<ClientLink>,
    agreement: &Agreement,
    progress: &mut Progress<'_>,
) -> Result<(), SessionError> {
    let differences = context.differences(agreement);
    if !differences.is_empty() {
        return Err(SessionError::Terms(differences));
    }
    let mut links = peers::connect(context, agreement)?;
    let outcome = converse(context, client, &mut links, agreement, progress);
    progress.cost = links.spent().into();
    progress.links = PartyId::ALL.map(|peer| links.link_traffic(peer));
    match outcome {
        Ok(()) => links.close(),
        Err(error) => {
            let error = if context.stop.is_cancelled() { SessionError::Stopped } else { told(error, &links) };
            links.say_end(error.ending(), &error.to_string());
            let error = last_words::heard(error, &mut links);
            links.close();
            return Err(error);
        }
    }
    Ok(())
}

/// Where a peer ended the session, the reason is the peer's.
fn told(error: SessionError, links: &PartyLinks) -> SessionError {
    match (&error, links.reason()) {
        (
            SessionError::Computation(
                SmpcError::Channel(ChannelError::Aborted { .. })
                | SmpcError::Proof(ProofError::Channel(ChannelError::Aborted { .. })),
            )
            | SessionError::Seeds(SeedError::Channel(ChannelError::Aborted { .. })),
            Some((peer, ending, reason)),
        ) => SessionError::Told { peer: *peer, ending: *ending, reason: reason.clone() },
        _ => error,
    }
}

/// Seeds, then turns until the client has enough.
fn converse(
    context: &PartyContext,
    client: &RefCell<ClientLink>,
    links: &mut PartyLinks,
    agreement: &Agreement,
    progress: &mut Progress<'_>,
) -> Result<(), SessionError> {
    let terms: Hash = agreement.hash();
    let seeds = Seeds::exchange(context.party, links, terms)?;
    let mut program = context.programs.start(agreement)?;
    client.borrow_mut().send(&PartyMessage::Ready(terms))?;
    progress.agreed = true;
    (progress.tell)(PartyEvent::Agreed { session: agreement.session });
    let expected = Cell::new(0);
    let mut watched = Watched::new(links, client, &expected);
    let links: &mut dyn Channel = &mut watched;
    let mut computation = Computation::new(context.party, links, seeds.randomness(), agreement.security);
    loop {
        let inputs = next_inputs(context, &mut client.borrow_mut(), agreement, progress.tokens)?;
        let Some(inputs) = inputs else { return Ok(()) };
        seeds.compare_inputs(computation.link(), inputs.turn, &inputs.shares)?;
        (progress.tell)(PartyEvent::Turn { session: agreement.session, turn: inputs.turn });
        let foresight = Foresight { past: computation.link().spent().rounds, expected: &expected };
        let turn = Turn::of(&inputs.shares, &agreement.lengths, inputs.turn, &foresight);
        let logits = program.advance(&mut computation, &turn)?;
        let shares = computation.verify()?.release(logits);
        progress.tokens += 1;
        let [own, next] = shares;
        let shares = neuro_smpc::share::Shares::new(own, next);
        let spent = computation.link().spent().into();
        client.borrow_mut().send(&PartyMessage::Logits(TurnShares { turn: inputs.turn, shares }, spent))?;
    }
}

/// The inputs of turn `turn`, or nothing when the client has enough.
fn next_inputs(
    context: &PartyContext,
    client: &mut ClientLink,
    agreement: &Agreement,
    turn: u32,
) -> Result<Option<TurnShares>, SessionError> {
    let values = agreement.lengths.values(turn, context.programs.model().d_model);
    let expected = || SessionError::OutOfTurn { expected: format!("{values} values of turn {turn}") };
    match client.receive().map_err(|error| of_turn(turn, error))? {
        ClientMessage::Finish => Ok(None),
        ClientMessage::Inputs(inputs)
            if inputs.turn == turn && inputs.shares.len() == values && turn < agreement.lengths.tokens =>
        {
            Ok(Some(inputs))
        }
        _ => Err(expected()),
    }
}

/// Who has had an answer may wait for that of another party.
fn of_turn(turn: u32, error: SessionError) -> SessionError {
    match error {
        SessionError::Client(LinkError::Late { deadline }) if turn > 0 => {
            SessionError::ClientLate { deadline_ms: deadline.as_millis() }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests;
