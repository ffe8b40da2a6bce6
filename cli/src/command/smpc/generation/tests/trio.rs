//! Three parties in this process that say what a script has, note what they are told, and fail when a test wants it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use neuro_node::data_dir::DataDir;
use neuro_node::smpc_role::agreement::Agreement;
use neuro_node::smpc_role::model::ModelFacts;
use neuro_node::smpc_role::parties::{Draft, PartiesError, PartyEntry, PartyRegistry};
use neuro_node::smpc_role::party::{PartyEvent, PartyOptions, serve_party};
use neuro_node::smpc_role::program::{PartyComputation, Program, ProgramMaker, StartError, Turn};
use neuro_node::smpc_role::ranges::NO_RANGES;
use neuro_smpc::error::SmpcError;
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

/// What happens at a party; does nothing of itself.
pub(super) trait Plot: Send + Sync {
    /// Before a party computes the turn of the longest answer's token `token`, in its session of this number, from 0.
    fn turn(&self, _: &mut PartyComputation<'_>, _: PartyId, _: Moment) -> Result<(), SmpcError> {
        Ok(())
    }

    /// Whether the party dies once the client wants no more tokens.
    fn dies(&self, _: PartyId) -> bool {
        false
    }
}

/// Where a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub session: usize,
    pub token: usize,
}

/// Nothing happens.
pub(super) struct Quiet;

impl Plot for Quiet {}

/// See the module.
pub(super) struct Trio {
    pub parties: Parties,
    /// The lengths that party 0 was told, session by session.
    seen: Arc<Mutex<Vec<Lengths>>>,
    model: ClientModel,
    _folders: [TempDir; 3],
    _stop: DropGuard,
}

struct Maker {
    model: ModelFacts,
    party: PartyId,
    script: Arc<Vec<Vec<u32>>>,
    plot: Arc<dyn Plot>,
    seen: Arc<Mutex<Vec<Lengths>>>,
}

struct Scripted {
    vocab_size: usize,
    party: PartyId,
    script: Arc<Vec<Vec<u32>>>,
    plot: Arc<dyn Plot>,
    moment: Moment,
}

/// The name of what these parties run.
const PROGRAM: Hash = Hash([77; 32]);

impl ProgramMaker for Maker {
    fn model(&self) -> &ModelFacts {
        &self.model
    }

    fn program(&self) -> Hash {
        PROGRAM
    }

    fn start(&self, agreement: &Agreement) -> Result<Box<dyn Program>, StartError> {
        let mut seen = self.seen.lock().unwrap();
        let moment = Moment { session: seen.len(), token: agreement.lengths.answered as usize };
        seen.push(agreement.lengths);
        let (script, plot) = (Arc::clone(&self.script), Arc::clone(&self.plot));
        Ok(Box::new(Scripted { vocab_size: self.model.vocab_size, party: self.party, script, plot, moment }))
    }
}

impl Program for Scripted {
    fn advance(&mut self, computation: &mut PartyComputation<'_>, _: &Turn<'_>) -> Result<Shares, SmpcError> {
        self.plot.turn(computation, self.party, self.moment)?;
        let mut logits = vec![0; self.script.len() * self.vocab_size];
        for (row, answer) in logits.chunks_exact_mut(self.vocab_size).zip(self.script.iter()) {
            let token = answer.get(self.moment.token).or(answer.last());
            row[*token.unwrap() as usize] = 1 << 32;
        }
        self.moment.token += 1;
        Ok(Shares::public(self.party, &logits))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if self.plot.dies(self.party) && !std::thread::panicking() {
            // The session's thread ends here, and with it all its links.
            std::panic::resume_unwind(Box::new("the party is lost"));
        }
    }
}

#[derive(Clone)]
struct Known(Parties);

impl PartyRegistry for Known {
    fn parties(&self) -> Result<Parties, PartiesError> {
        Ok(self.0.clone())
    }
}

pub(super) fn skills() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint")
}

/// A free address of this machine.
fn address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Trio {
    /// Parties whose answers are those of `script`, the last token of each again and again.
    pub(super) async fn start(script: Vec<Vec<u32>>, plot: impl Plot + 'static) -> Self {
        Self::behind(None, script, plot).await
    }

    /// As [`Self::start`]; the client reaches party 0 through a link that is cut, once, when the notice comes. It is silent
    /// from then on, and only the party sees its end.
    pub(super) async fn start_with_cut(script: Vec<Vec<u32>>, plot: impl Plot + 'static, cut: Arc<Notify>) -> Self {
        Self::behind(Some(cut), script, plot).await
    }

    async fn behind(cut: Option<Arc<Notify>>, script: Vec<Vec<u32>>, plot: impl Plot + 'static) -> Self {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let listening = [(); 3].map(|()| address());
        let mut known = listening.clone();
        if let Some(cut) = cut {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            known[0] = listener.local_addr().unwrap().to_string();
            tokio::spawn(carry(listener, listening[0].clone(), cut));
        }
        let entry = |index: usize| PartyEntry {
            index: u8::try_from(index).unwrap(),
            node: DataDir::open(folders[index].path()).unwrap().node_key().unwrap().node_id(),
            address: known[index].clone(),
            operator: format!("operator {index}"),
            network: format!("network {index}"),
            region: format!("region {index}"),
        };
        let parties = Parties::try_from(Draft { entries: (0..3).map(entry).collect() }).unwrap();
        let (model, stop) = (ClientModel::load(&skills()).unwrap(), CancellationToken::new());
        let (script, plot): (_, Arc<dyn Plot>) = (Arc::new(script), Arc::new(plot));
        let seen = [(); 3].map(|()| Arc::default());
        for (at, party) in PartyId::ALL.into_iter().enumerate() {
            let (model, script, plot) = (model.facts().clone(), Arc::clone(&script), Arc::clone(&plot));
            let programs = Maker { model, party, script, plot, seen: Arc::clone(&seen[at]) };
            let options = PartyOptions {
                data_dir: DataDir::open(folders[at].path()).unwrap(),
                registry: Box::new(Known(parties.clone())),
                party,
                programs: Box::new(programs),
                ranges: None,
                listen: Some(listening[at].clone()),
                deadline: PATIENCE,
            };
            listen(options, stop.clone()).await;
        }
        let [seen, ..] = seen;
        Self { parties, seen, model, _folders: folders, _stop: stop.drop_guard() }
    }

    pub(super) fn model(&self) -> &ClientModel {
        &self.model
    }

    pub(super) fn seen(&self) -> Vec<Lengths> {
        self.seen.lock().unwrap().clone()
    }

    /// What a client asks who wants at most `max_tokens` tokens.
    pub(super) fn asking(&self, max_tokens: usize) -> Asking<'_> {
        Asking {
            key: NodeKey::from_secret(&[9; 32]),
            parties: &self.parties,
            model: &self.model,
            program: PROGRAM,
            ranges: NO_RANGES,
            security: Security::SemiHonest,
            max_tokens,
            sampling: &LIKELIEST,
            deadline: PATIENCE,
            restarts: 1,
            reveals_routes: false,
            comparison: None,
            counted: None,
        }
    }
}

/// Starts a party, and waits until it listens.
async fn listen(options: PartyOptions, stop: CancellationToken) {
    let (ready, listens) = oneshot::channel();
    let ready = Mutex::new(Some(ready));
    let report = move |event| {
        if let PartyEvent::Ready { .. } = event {
            ready.lock().unwrap().take().map(|ready| ready.send(()));
        }
    };
    tokio::spawn(async move { serve_party(options, Arc::new(report), stop).await.unwrap() });
    listens.await.unwrap();
}

/// Carries connections to `target` until `cut`, which one of them hears.
async fn carry(listener: tokio::net::TcpListener, target: String, cut: Arc<Notify>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (mut far, cut) = (TcpStream::connect(&target).await.unwrap(), Arc::clone(&cut));
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => (),
                () = cut.notified() => {
                    drop(far);
                    std::future::pending().await
                }
            }
        });
    }
}
