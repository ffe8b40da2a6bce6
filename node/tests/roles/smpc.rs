//! Three parties in this process, over real connections: what they compute, and clients and parties that lie.

mod twin;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use neuro_model::{ChatMessage, Checkpoint, names};
use neuro_node::data_dir::DataDir;
use neuro_node::smpc_role::agreement::Lengths;
use neuro_node::smpc_role::blocks::BlockProgram;
use neuro_node::smpc_role::client::{ClientError, ClientSession, Terms};
use neuro_node::smpc_role::fixed_point;
use neuro_node::smpc_role::model::{ClientModel, ModelFacts};
use neuro_node::smpc_role::parties::{Draft, Parties, PartiesError, PartyEntry, PartyRegistry};
use neuro_node::smpc_role::party::{PartyEvent, PartyOptions, serve_party};
use neuro_node::smpc_role::program::{HeadProgram, ProgramMaker};
use neuro_node::smpc_role::ranges::NO_RANGES;
use neuro_node::smpc_role::secret_weights::{OwnerLimits, QUERIES, QueryLedger, SecretBlockProgram, split};
use neuro_primitives::NodeKey;
use neuro_smpc::computation::Security;
use neuro_smpc::party::PartyId;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

fn skills() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/skills/checkpoint")
}

#[derive(Clone)]
struct Known(Parties);

impl PartyRegistry for Known {
    fn parties(&self) -> Result<Parties, PartiesError> {
        Ok(self.0.clone())
    }
}

/// Three running parties.
struct Trio {
    parties: Parties,
    events: [mpsc::UnboundedReceiver<PartyEvent>; 3],
    model: ClientModel,
    stop: CancellationToken,
    _folders: Vec<TempDir>,
}

impl Trio {
    async fn start() -> Self {
        Self::at(Places::new(), ClientModel::load(&skills()).unwrap(), |_, _| head(), |_| None).await
    }

    /// A private model of which a client key may be told so many tokens.
    async fn start_secret(shares: &TempDir, queries: u64) -> Self {
        let out = shares.path().join("shares");
        let limits = OwnerLimits { queries, largest: 2 };
        split(&Checkpoint::open(&skills()).unwrap(), &out, &NodeKey::from_secret(&[9; 32]), limits).unwrap();
        let programs = |party: PartyId, data_dir: &DataDir| -> Box<dyn ProgramMaker> {
            let queries = QueryLedger::open(data_dir.folder(QUERIES).unwrap());
            let folder = out.join(format!("party-{}", party.index()));
            Box::new(SecretBlockProgram::load(&folder, party, queries).unwrap())
        };
        Self::at(Places::new(), ClientModel::load(&out.join("public")).unwrap(), programs, |_| None).await
    }

    /// Three at `places`; `listen` says who is to listen elsewhere.
    async fn at(
        places: Places,
        model: ClientModel,
        programs: impl Fn(PartyId, &DataDir) -> Box<dyn ProgramMaker>,
        listen: impl Fn(usize) -> Option<String>,
    ) -> Self {
        let Places { folders, parties } = places;
        let stop = CancellationToken::new();
        let events = [0, 1, 2].map(|at: usize| run(at, &folders[at], &parties, &stop, &programs, listen(at)));
        let mut trio = Self { parties, events, model, stop, _folders: folders };
        for events in &mut trio.events {
            assert!(matches!(events.recv().await, Some(PartyEvent::Ready { .. })));
        }
        trio
    }

    async fn session(&self, key: u8, rows: u32, security: Security) -> Result<ClientSession, ClientError> {
        let terms = self.terms(rows, security);
        ClientSession::open(&NodeKey::from_secret(&[key; 32]), &terms, PATIENCE).await
    }

    fn terms(&self, rows: u32, security: Security) -> Terms<'_> {
        Terms {
            parties: &self.parties,
            model: self.model.facts(),
            program: if self.model.secret().is_some() { SecretBlockProgram::hash() } else { HeadProgram::hash() },
            ranges: NO_RANGES,
            lengths: Lengths { prompts: 1, rows, answered: 0, tokens: 4 },
            reveals_routes: false,
            tells_layers: false,
            security,
        }
    }

    /// Why the next session of a party to end failed.
    async fn failure(&mut self, at: usize) -> Option<String> {
        loop {
            if let PartyEvent::Ended { failure, .. } = self.events[at].recv().await.unwrap() {
                return failure;
            }
        }
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Folders of three parties, and where they are to be.
struct Places {
    folders: Vec<TempDir>,
    parties: Parties,
}

impl Places {
    fn new() -> Self {
        let folders: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let entry = |index: usize| PartyEntry {
            index: u8::try_from(index).unwrap(),
            node: key_of(&folders[index]).node_id(),
            address: listeners[index].local_addr().unwrap().to_string(),
            operator: format!("operator {index}"),
            network: format!("network {index}"),
            region: format!("region {index}"),
        };
        let parties = Parties::try_from(Draft { entries: (0..3).map(entry).collect() }).unwrap();
        Self { folders, parties }
    }

    fn key(&self, at: usize) -> NodeKey {
        key_of(&self.folders[at])
    }
}

fn key_of(folder: &TempDir) -> NodeKey {
    DataDir::open(folder.path()).unwrap().node_key().unwrap()
}

/// The output matrix alone.
fn head() -> Box<dyn ProgramMaker> {
    let checkpoint = Checkpoint::open(&skills()).unwrap();
    Box::new(HeadProgram::load(&checkpoint, ModelFacts::of(&checkpoint).unwrap()).unwrap())
}

fn run(
    at: usize,
    folder: &TempDir,
    parties: &Parties,
    stop: &CancellationToken,
    programs: &impl Fn(PartyId, &DataDir) -> Box<dyn ProgramMaker>,
    listen: Option<String>,
) -> mpsc::UnboundedReceiver<PartyEvent> {
    let data_dir = DataDir::open(folder.path()).unwrap();
    let programs = programs(PartyId::ALL[at], &data_dir);
    let options = PartyOptions {
        data_dir,
        registry: Box::new(Known(parties.clone())),
        party: PartyId::ALL[at],
        programs,
        ranges: None,
        listen,
        deadline: PATIENCE,
    };
    let (sender, events) = mpsc::unbounded_channel();
    let stop = stop.clone();
    tokio::spawn(async move {
        serve_party(options, Arc::new(move |event| drop(sender.send(event))), stop).await.unwrap();
    });
    events
}

/// The last row times the output matrix.
fn plain(rows: &[f32], d_model: usize) -> Vec<f32> {
    let checkpoint = Checkpoint::open(&skills()).unwrap();
    let tensor = checkpoint.tensor(names::OUTPUT).unwrap();
    let head = neuro_expert_runtime::blocks::to_f32(tensor.tensor_type, &tensor.bytes).unwrap();
    let last = &rows[rows.len() - d_model..];
    head.chunks_exact(d_model).map(|row| row.iter().zip(last).map(|(w, x)| w * x).sum()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logits_joined_from_three_are_those_of_plaintext() {
    let trio = Trio::start().await;
    for security in [Security::SemiHonest, Security::Malicious] {
        let mut session = trio.session(7, 3, security).await.unwrap();
        for ids in [&[5, 6, 7][..], &[8], &[9]] {
            let rows = trio.model.rows(ids).unwrap();
            let expected = plain(&rows, trio.model.facts().d_model);
            let logits = if ids.len() > 1 { session.begin(&[rows]).await } else { session.advance(&rows).await };
            let logits = logits.unwrap();
            let worst = logits.values.iter().zip(&expected).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-3 && logits.values.len() == expected.len(), "{security:?}: {worst}");
            assert!(logits.cost.rounds > 0 && logits.cost.bytes > 0);
        }
        let transcript = session.finish().await.unwrap();
        let statements = transcript.verified().unwrap().statements;
        assert!(statements.len() == 3 && statements.iter().all(|statement| statement.tokens == 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_with_an_answer_behind_the_prompt_s_bucket() {
    let blocks = |_, _: &DataDir| -> Box<dyn ProgramMaker> {
        let checkpoint = Checkpoint::open(&skills()).unwrap();
        Box::new(BlockProgram::load(&checkpoint, ModelFacts::of(&checkpoint).unwrap()).unwrap())
    };
    let trio = Trio::at(Places::new(), ClientModel::load(&skills()).unwrap(), blocks, |_| None).await;
    let question = ChatMessage { role: "user".to_owned(), content: "What is 12+35?".to_owned() };
    let mut text = trio.model.prompt(&[question]).unwrap();
    // A session for each of the two digits; the second one has the first digit behind the bucket.
    for (answered, token) in (0..).zip(trio.model.tokenizer().encode("47", false).unwrap()) {
        let rows = u32::try_from(text.len()).unwrap();
        let terms = Terms {
            program: BlockProgram::hash(),
            lengths: Lengths { prompts: 1, rows, answered, tokens: 4 - answered },
            ..trio.terms(rows, Security::SemiHonest)
        };
        let mut session = ClientSession::open(&NodeKey::from_secret(&[7; 32]), &terms, PATIENCE).await.unwrap();
        let logits = session.begin(&[trio.model.rows(&text).unwrap()]).await.unwrap().values;
        let likeliest = (0..).zip(&logits).max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap();
        assert_eq!(likeliest.0, token, "after {answered} tokens");
        text.push(token);
        session.finish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_shares_differ_is_dropped_and_named_and_others_go_on() {
    let mut trio = Trio::start().await;
    let rows = trio.model.rows(&[5]).unwrap();
    let mut honest = trio.session(7, 1, Security::Malicious).await.unwrap();
    let mut lying = trio.session(8, 1, Security::Malicious).await.unwrap();
    let values = Lengths { prompts: 1, rows: 16, answered: 0, tokens: 4 }.values(0, trio.model.facts().d_model);
    let mut shares = fixed_point::split(vec![0; values]).unwrap();
    shares[1].parts[0][3] ^= 1;
    let error = lying.advance_shares(shares).await.err().unwrap();
    let differ = "inputs of component 1 differ between parties 1 and 0: the client, party 1 or party 0 is at fault";
    assert!(error.to_string().contains(differ), "{error}");
    assert!(!error.is_retryable(), "another session would end the same way");
    drop(lying.give_up(error).await);
    for at in [0, 1] {
        let failure = trio.failure(at).await.unwrap();
        assert!(failure.contains(differ), "party {at}: {failure}");
    }
    // Party 2 has nothing of component 1: it may see the client leave before the others tell it why.
    let failure = trio.failure(2).await.unwrap();
    assert!(failure.contains(differ) || failure.contains("the client has hung up"), "party 2: {failure}");
    honest.begin(&[rows]).await.unwrap();
    honest.finish().await.unwrap();
    for at in 0..3 {
        assert_eq!(trio.failure(at).await, None, "party {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_out_of_turn_ends_its_own_session() {
    let mut trio = Trio::start().await;
    let mut session = trio.session(7, 2, Security::SemiHonest).await.unwrap();
    let rows = trio.model.rows(&[5]).unwrap();
    let error = session.advance(&rows).await.err().unwrap();
    assert!(error.to_string().contains("expected 2064 values of turn 0"), "{error}");
    drop(session.give_up(error).await);
    assert!(trio.failure(0).await.unwrap().contains("2064 values"));
    let refused = trio.session(7, 10_000, Security::Malicious).await.err().unwrap();
    assert!(refused.to_string().contains("do not fit a context of 512"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_that_no_embedding_has_end_a_session_with_secret_weights() {
    let shares = tempfile::tempdir().unwrap();
    let mut trio = Trio::start_secret(&shares, 9).await;
    let mut rows = trio.model.rows(&[5]).unwrap();
    let mut session = trio.session(7, 1, Security::Malicious).await.unwrap();
    let told = session.begin(std::slice::from_ref(&rows)).await.unwrap();
    let logits = trio.model.logits(&told.values).unwrap();
    assert_eq!(logits.iter().filter(|logit| logit.is_finite()).count(), 2, "two of the largest, and no others");
    rows[17] = 1000.0;
    let error = session.advance(&rows).await.err().unwrap();
    assert!(error.to_string().contains("an input is beyond the largest entry of the embedding table"), "{error}");
    assert!(!error.is_retryable(), "another session would end the same way");
    drop(session.give_up(error).await);
    for at in 0..3 {
        // A party that is still computing may hear of the client's going first.
        let failure = trio.failure(at).await.unwrap();
        assert!(failure.contains("an input is beyond") || failure.contains("client"), "party {at}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_key_is_told_no_more_of_secret_weights_than_its_cap() {
    let shares = tempfile::tempdir().unwrap();
    let trio = Trio::start_secret(&shares, 5).await;
    let rows = trio.model.rows(&[5]).unwrap();
    let unproved = trio.session(7, 1, Security::SemiHonest).await.err().unwrap();
    assert!(unproved.to_string().contains("only sessions with proofs are admitted"), "{unproved}");
    let mut first = trio.session(7, 1, Security::Malicious).await.unwrap();
    let meanwhile = trio.session(7, 1, Security::Malicious).await.err().unwrap();
    assert!(meanwhile.to_string().contains("have 5 tokens; 4 of them are used or reserved"), "{meanwhile}");
    first.begin(std::slice::from_ref(&rows)).await.unwrap();
    first.advance(&rows).await.unwrap();
    first.finish().await.unwrap();
    let reached = trio.session(7, 1, Security::Malicious).await.err().unwrap();
    assert!(reached.to_string().contains("have 5 tokens; 2 of them are used or reserved"), "{reached}");
    trio.session(8, 1, Security::Malicious).await.unwrap().finish().await.unwrap();
}
