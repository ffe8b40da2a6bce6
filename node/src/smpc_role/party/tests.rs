//! A party alone, and what clients leave with it.

use neuro_network::smpc::{LinkError, connect};
use neuro_primitives::Hash;
use tempfile::TempDir;

use super::*;
use crate::smpc_role::agreement::tests::sample;
use crate::smpc_role::model::ModelFacts;
use crate::smpc_role::parties::{Draft, PartyEntry};
use crate::smpc_role::program::{Program, StartError};

mod terms;

/// The other two are nowhere, so no session comes about.
struct Alone {
    parties: Parties,
    address: String,
    folder: TempDir,
    events: mpsc::UnboundedReceiver<PartyEvent>,
    _stop: tokio_util::sync::DropGuard,
}

/// A model that is never run.
struct Idle(ModelFacts);

impl ProgramMaker for Idle {
    fn model(&self) -> &ModelFacts {
        &self.0
    }

    fn program(&self) -> Hash {
        sample().program
    }

    fn start(&self, _: &Agreement) -> Result<Box<dyn Program>, StartError> {
        Err(StartError::TellsNoLayers)
    }
}

struct Known(Parties);

impl PartyRegistry for Known {
    fn parties(&self) -> Result<Parties, PartiesError> {
        Ok(self.0.clone())
    }
}

impl Alone {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let key = data_dir.node_key().unwrap();
        let entry = |index: u8| PartyEntry {
            index,
            node: if index == 0 { key.node_id() } else { NodeKey::from_secret(&[index; 32]).node_id() },
            address: "127.0.0.1:1".to_owned(),
            operator: format!("operator {index}"),
            network: format!("network {index}"),
            region: format!("region {index}"),
        };
        let parties = Parties::try_from(Draft { entries: (0..3).map(entry).collect() }).unwrap();
        let facts = ModelFacts { hash: sample().model, d_model: 8, vocab_size: 16, context: 64 };
        let options = PartyOptions {
            data_dir,
            registry: Box::new(Known(parties.clone())),
            party: PartyId::ALL[0],
            programs: Box::new(Idle(facts)),
            ranges: None,
            listen: Some("127.0.0.1:0".to_owned()),
            deadline: DEADLINE,
        };
        let (sender, mut events) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let until = stop.clone();
        tokio::spawn(async move {
            serve_party(options, Arc::new(move |event| drop(sender.send(event))), until).await.unwrap();
        });
        let Some(PartyEvent::Ready { address, .. }) = events.recv().await else { panic!("it does not listen") };
        Self { parties, address, folder, events, _stop: stop.drop_guard() }
    }

    /// Why the party says that it ends the session with these terms.
    async fn refusal(&self, key: &NodeKey, terms: Agreement) -> String {
        let node = self.parties.entry(PartyId::ALL[0]).node;
        let mut link = connect(key, node, &self.address, terms.session).await.unwrap();
        link.send(0, 0, ClientMessage::Propose(Box::new(terms)).encode(), DEADLINE).await.unwrap();
        match link.receive(DEADLINE).await {
            Err(LinkError::Aborted { reason, .. }) => reason,
            _ => panic!("the session goes on"),
        }
    }

    fn terms(&self, key: &NodeKey, session: u8) -> Agreement {
        Agreement {
            session: SessionId([session; 16]),
            client: key.node_id(),
            ranges: NO_RANGES,
            parties: self.parties.nodes(),
            registry: self.parties.hash(),
            ..sample()
        }
    }

    async fn ended(&mut self) {
        while !matches!(self.events.recv().await.unwrap(), PartyEvent::Ended { .. }) {}
    }

    fn kept(&self) -> Vec<std::path::PathBuf> {
        let folder = std::fs::read_dir(self.folder.path().join(TRANSCRIPTS)).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_never_came_about_leave_nothing() {
    let (mut party, key) = (Alone::start().await, NodeKey::from_secret(&[9; 32]));
    let other = Agreement { model: Hash([9; 32]), ..party.terms(&key, 1) };
    let refusal = party.refusal(&key, other).await;
    assert!(refusal.contains("the terms differ: model"), "{refusal}");
    party.ended().await;
    let refusal = party.refusal(&key, party.terms(&key, 2)).await;
    assert!(refusal.contains("party 1: cannot reach") || refusal.contains("party 2: cannot reach"), "{refusal}");
    party.ended().await;
    assert_eq!(party.kept(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overwrites_a_transcript() {
    let (party, key) = (Alone::start().await, NodeKey::from_secret(&[9; 32]));
    let terms = party.terms(&key, 1);
    let kept = party.folder.path().join(TRANSCRIPTS).join(format!("{}.transcript", terms.session));
    std::fs::write(&kept, b"of an earlier session").unwrap();
    let refusal = party.refusal(&key, terms).await;
    assert!(refusal.contains("has or had this id"), "{refusal}");
    assert_eq!((std::fs::read(&kept).unwrap(), party.kept()), (b"of an earlier session".to_vec(), vec![kept]));
}
