//! The party's role: listens, and serves each client in a session of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuro_network::smpc::{Ending, Incoming, SessionId, serve};
use neuro_network::tls::TlsError;
use neuro_primitives::{NodeId, NodeKey};
use neuro_smpc::party::PartyId;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::PROTOCOL_VERSION;
use super::agreement::{Agreement, Profile};
use super::messages::ClientMessage;
use super::parties::{Parties, PartiesError, PartyRegistry};
use super::party_session;
use super::program::ProgramMaker;
use super::ranges::{NO_RANGES, RangeProfile};
use super::rendezvous::Rendezvous;
use crate::data_dir::{DataDir, DataDirError};
use crate::os::private_file;

/// Sessions at once; each has a thread, masks and a cache in shares. A further client is told that all are taken.
pub const MAX_SESSIONS: usize = 8;

/// The longest a party waits for another one, or for its client, unless told otherwise. A client thinks for no longer than
/// it takes to sample a token; a peer computes what this party computes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How long parties wait for each other at the beginning of a session: they were called at the same time.
pub const SETUP_PATIENCE: Duration = Duration::from_secs(10);

/// How long sessions may take to say goodbye when the party stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Where transcripts are kept in the data folder.
pub const TRANSCRIPTS: &str = "smpc";

/// What a party is started with.
pub struct PartyOptions {
    /// Its key, and where transcripts go.
    pub data_dir: DataDir,
    /// Who the three are.
    pub registry: Box<dyn PartyRegistry>,
    /// Which of them this is.
    pub party: PartyId,
    /// The model and what is run.
    pub programs: Box<dyn ProgramMaker>,
    /// How large the model's values become, where the program needs to know.
    pub ranges: Option<RangeProfile>,
    /// Where to listen, if not at the address in the registry.
    pub listen: Option<String>,
    /// See [`DEADLINE`].
    pub deadline: Duration,
}

/// What happens at a party.
#[derive(Debug)]
pub enum PartyEvent {
    /// It listens.
    Ready {
        /// Which party.
        party: PartyId,
        /// Its key.
        node: NodeId,
        /// Where.
        address: String,
    },
    /// A client's session began.
    Began {
        /// Which.
        session: SessionId,
        /// Whose.
        client: NodeId,
    },
    /// All three agree and have common seeds.
    Agreed {
        /// Which.
        session: SessionId,
    },
    /// A turn began: its inputs are those of an honest client.
    Turn {
        /// Which session.
        session: SessionId,
        /// Which turn, from 0.
        turn: u32,
    },
    /// It ended.
    Ended {
        /// Which.
        session: SessionId,
        /// Tokens computed.
        tokens: u32,
        /// Rounds with the other parties.
        rounds: u64,
        /// Bytes sent to them.
        bytes: u64,
        /// Why it failed; nothing where it did not.
        failure: Option<String>,
    },
}

/// Whoever wants to hear of a party's events.
pub type PartyReport = Arc<dyn Fn(PartyEvent) + Send + Sync>;

/// Why a party does not run.
#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    /// Its folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Who the parties are.
    #[error(transparent)]
    Parties(#[from] PartiesError),
    /// Another key than the registry says.
    #[error("party {party} should be node {expected}, and this node is {got}")]
    NotThisNode {
        /// Which party.
        party: PartyId,
        /// The registry's key.
        expected: NodeId,
        /// The key in the data folder.
        got: NodeId,
    },
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The key.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What all sessions of a party share.
pub(super) struct PartyContext {
    pub key: NodeKey,
    pub party: PartyId,
    pub parties: Parties,
    pub programs: Box<dyn ProgramMaker>,
    pub ranges: Option<RangeProfile>,
    pub runtime: Handle,
    pub deadline: Duration,
    pub setup_patience: Duration,
    pub rendezvous: Rendezvous,
    pub stop: CancellationToken,
    transcripts: PathBuf,
}

impl PartyContext {
    /// What of a client's terms is not as this party has it.
    pub(super) fn differences(&self, terms: &Agreement) -> Vec<String> {
        let model = self.programs.model();
        let ours = Agreement {
            version: PROTOCOL_VERSION,
            model: model.hash,
            program: self.programs.program(),
            profile: Profile::DEFAULT,
            ranges: self.ranges.as_ref().map_or(NO_RANGES, RangeProfile::hash),
            parties: self.parties.nodes(),
            registry: self.parties.hash(),
            ..terms.clone()
        };
        let mut differences = ours.differences(terms);
        differences.extend(terms.lengths.refusal(model.context));
        if !terms.is_consented() {
            differences.push("routes: the client has not signed that it discloses its text".to_owned());
        }
        let positions = terms.lengths.positions();
        differences.extend(self.ranges.as_ref().and_then(|ranges| ranges.too_long(positions)));
        differences
    }
}

/// Runs party `options.party` until `stop`.
///
/// # Errors
/// When the folder, the parties, the key or the address cannot be used.
pub async fn serve_party(
    options: PartyOptions,
    report: PartyReport,
    stop: CancellationToken,
) -> Result<(), PartyError> {
    let PartyOptions { data_dir, registry, party, programs, ranges, listen, deadline } = options;
    let (key, parties) = (data_dir.node_key()?, registry.parties()?);
    let (expected, got) = (parties.entry(party).node, key.node_id());
    if expected != got {
        return Err(PartyError::NotThisNode { party, expected, got });
    }
    let address = listen.unwrap_or_else(|| parties.entry(party).address.clone());
    let failed = |source| PartyError::Listen { address: address.clone(), source };
    let listener = TcpListener::bind(&address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    let (sender, incoming) = mpsc::channel(MAX_SESSIONS);
    let context = PartyContext {
        transcripts: data_dir.folder(TRANSCRIPTS)?,
        key: key.clone(),
        party,
        parties,
        programs,
        ranges,
        runtime: Handle::current(),
        deadline,
        setup_patience: SETUP_PATIENCE.min(deadline),
        rendezvous: Rendezvous::default(),
        stop: stop.clone(),
    };
    report(PartyEvent::Ready { party, node: got, address });
    let accepting = serve(listener, &key, sender, stop.clone());
    let (accepted, ()) = tokio::join!(accepting, dispatch(Arc::new(context), incoming, report));
    Ok(accepted?)
}

/// Links of peers go to their sessions; every client gets a session of its own.
async fn dispatch(context: Arc<PartyContext>, mut incoming: mpsc::Receiver<Incoming>, report: PartyReport) {
    let places = Arc::new(Semaphore::new(MAX_SESSIONS));
    while let Some(incoming) = incoming.recv().await {
        if context.parties.party_of(incoming.peer).is_some() {
            context.rendezvous.put(incoming, context.setup_patience);
            continue;
        }
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => begin(Arc::clone(&context), incoming, Arc::clone(&report), place),
            Err(_) => drop(tokio::spawn(
                incoming.link.abort(Ending::Loss, "all places of this party are taken; try again later"),
            )),
        }
    }
    // Sessions see the stop by themselves; their last words take a moment.
    let everyone = u32::try_from(MAX_SESSIONS).unwrap_or(u32::MAX);
    drop(timeout(STOP_PATIENCE, places.acquire_many(everyone)).await);
}

/// Serves a client in a thread of its own, if what it said first is a proposal of its own.
fn begin(context: Arc<PartyContext>, incoming: Incoming, report: PartyReport, place: OwnedSemaphorePermit) {
    let Incoming { peer, link, first } = incoming;
    let agreement = match ClientMessage::decode(&first.body) {
        Ok(ClientMessage::Propose(terms)) if terms.client == peer && terms.session == first.session => *terms,
        _ => return drop(tokio::spawn(link.abort(Ending::Fault, "expected a proposal of this client and session"))),
    };
    let link = link.until(context.stop.clone());
    let session = agreement.session;
    let serve = move || {
        report(PartyEvent::Began { session, client: peer });
        let ended = party_session::run(&context, link, &agreement, &|event| report(event));
        let path = context.transcripts.join(format!("{session}.transcript"));
        if let Err(error) = private_file::replace(&path, &ended.transcript.encode()) {
            tracing::warn!(%error, path = %path.display(), "the transcript of a session could not be kept");
        }
        let statement = ended.statement;
        let (tokens, rounds, bytes) = (statement.tokens, statement.rounds, statement.bytes);
        report(PartyEvent::Ended { session, tokens, rounds, bytes, failure: statement.failure });
        drop(place);
    };
    if let Err(error) = std::thread::Builder::new().name(format!("session {session}")).spawn(serve) {
        tracing::warn!(%error, "no thread for a session");
    }
}

#[cfg(test)]
mod tests;
