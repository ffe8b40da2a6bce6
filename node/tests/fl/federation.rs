//! A federation in one process: an aggregator and its participants, each with a folder of its own.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuro_network::FederatedClient;
use neuro_node::aggregator_role::history::EndedRound;
use neuro_node::aggregator_role::invitations::{OwnedTask, owner_key};
use neuro_node::aggregator_role::{AggregatorEvent, AggregatorOptions, serve_aggregator};
use neuro_node::data_dir::DataDir;
use neuro_node::participant_role::task_folder::folder_of;
use neuro_node::participant_role::trainer::TrainerCommand;
use neuro_node::participant_role::{JoinError, JoinOptions, ParticipantEvent, join_task};
use neuro_node::unix_now;
use neuro_primitives::{NodeKey, UnixMillis};
use neuro_protocol::federated::{RoundPhase, RoundStatus};
use neuro_secagg::roster::{Registry, Roster, RosterFields, RosterMember};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long anything that must happen may take: far more than it does, because machines are busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// What every plan here begins with; sections follow.
pub const PLAN: &str = "task = \"test\"\n[model]\nweights = \"global.safetensors\"\n";

/// A folder with a plan and first weights, and an aggregator on it.
pub struct Federation {
    folder: TempDir,
    address: String,
    /// Bound and not listening: nobody else gets the port, and a restarted aggregator is found again.
    _place: TcpSocket,
    start_at: Option<usize>,
    batches: u16,
    aggregator: Option<Running>,
}

struct Running {
    events: mpsc::UnboundedReceiver<AggregatorEvent>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A participant that runs.
pub struct Participant {
    events: mpsc::UnboundedReceiver<ParticipantEvent>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), JoinError>>,
}

impl Federation {
    /// An aggregator of a model with these tensors, all zeros, by this plan.
    pub async fn start(plan: &str, tensors: &[(&str, &[usize])], start_at: Option<usize>, batches: u16) -> Self {
        let mut federation = Self::at_rest(plan, tensors, start_at, batches);
        federation.serve().await;
        federation
    }

    /// The same with a roster that lists participant `i` in batch `listed[i]`.
    pub async fn start_listed(
        plan: &str,
        tensors: &[(&str, &[usize])],
        start_at: Option<usize>,
        listed: &[u16],
    ) -> Self {
        let mut federation = Self::at_rest(plan, tensors, start_at, 1);
        federation.write_roster(listed);
        federation.serve().await;
        federation
    }

    /// The same in memory, where there is such a folder: hundreds of participants on one disk wait for its flushes, of
    /// which each makes some twenty a round.
    pub async fn start_listed_in_memory(
        plan: &str,
        tensors: &[(&str, &[usize])],
        start_at: Option<usize>,
        listed: &[u16],
    ) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut federation = Self::at_rest_in(folder, plan, tensors, start_at, 1);
        federation.write_roster(listed);
        federation.serve().await;
        federation
    }

    /// Why an aggregator does not begin with this plan.
    pub async fn refusal(plan: &str, tensors: &[(&str, &[usize])]) -> String {
        let federation = Self::at_rest(plan, tensors, None, 1);
        let served = serve_aggregator(federation.options(), Arc::new(drop), CancellationToken::new()).await;
        served.unwrap_err().to_string()
    }

    /// Begins a round by hand, once no more and no fewer than `attending` attend.
    pub async fn begin_with(&self, attending: u32) -> Result<u64, String> {
        let client = self.by_hand().await;
        while client.round_status(0).await.unwrap().task.unwrap().attending != attending {
            tokio::task::yield_now().await;
        }
        client.start_round().await.map(|reply| reply.round).map_err(|error| error.to_string())
    }

    /// What `neuro fl status` shows.
    pub async fn status(&self) -> RoundStatus {
        self.by_hand().await.round_status(0).await.unwrap()
    }

    /// Waits until the first cohort is in this phase, and so many members did what it asks for.
    pub async fn reported(&self, phase: RoundPhase, members: u32) {
        let client = self.by_hand().await;
        let there = |status: RoundStatus| {
            let cohorts = status.round.map(|round| round.cohorts).unwrap_or_default();
            cohorts.first().is_some_and(|cohort| cohort.phase() == phase && cohort.reported >= members)
        };
        while !there(client.round_status(0).await.unwrap()) {
            tokio::task::yield_now().await;
        }
    }

    fn at_rest(plan: &str, tensors: &[(&str, &[usize])], start_at: Option<usize>, batches: u16) -> Self {
        Self::at_rest_in(tempfile::tempdir().unwrap(), plan, tensors, start_at, batches)
    }

    fn at_rest_in(
        folder: TempDir,
        plan: &str,
        tensors: &[(&str, &[usize])],
        start_at: Option<usize>,
        batches: u16,
    ) -> Self {
        fs::write(folder.path().join("global.safetensors"), zeros(tensors)).unwrap();
        fs::write(folder.path().join("round.toml"), format!("{PLAN}{plan}")).unwrap();
        let place = TcpSocket::new_v4().unwrap();
        place.set_reuseaddr(true).unwrap();
        place.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = place.local_addr().unwrap().to_string();
        Self { folder, address, _place: place, start_at, batches, aggregator: None }
    }

    fn write_roster(&self, listed: &[u16]) {
        let data_dir = self.data_dir("aggregator");
        let (owner, aggregator) = (owner_key(&data_dir).unwrap(), data_dir.node_key().unwrap());
        let member = |(number, &batch): (usize, &u16)| RosterMember {
            node: self.participant(number).node_key().unwrap().node_id(),
            batch,
        };
        let mut members: Vec<RosterMember> = listed.iter().enumerate().map(member).collect();
        members.sort_by_key(|member| member.node);
        let fields = RosterFields {
            task_name: "test".into(),
            owner: owner.node_id(),
            aggregator: aggregator.node_id(),
            version: 1,
            issued: unix_now(),
            expires: UnixMillis(unix_now().0 + 1_000_000_000),
            members,
        };
        let roster = Roster::new(fields).unwrap();
        let folder = folder_of(&data_dir, roster.task()).unwrap();
        fs::write(folder.join("roster"), roster.sign(&owner).unwrap().encode()).unwrap();
    }

    /// Starts the aggregator on its folder and address, and waits until it listens.
    pub async fn serve(&mut self) {
        let (sender, events) = mpsc::unbounded_channel();
        let report = Arc::new(move |event| drop(sender.send(event)));
        let stop = CancellationToken::new();
        let (options, ending) = (self.options(), stop.clone());
        let task = tokio::spawn(async move { serve_aggregator(options, report, ending).await.unwrap() });
        self.aggregator = Some(Running { events, stop, task });
        self.until(|event| matches!(event, AggregatorEvent::Ready { .. }).then_some(())).await;
    }

    fn options(&self) -> AggregatorOptions {
        AggregatorOptions {
            data_dir: self.data_dir("aggregator"),
            plan: self.path("round.toml"),
            listen: self.address.clone(),
            public: Vec::new(),
            start_at: self.start_at,
            batches: self.batches,
            owner: None,
        }
    }

    /// Ends the running round by hand.
    pub async fn stop_round(&self) {
        self.by_hand().await.stop_round().await.unwrap();
    }

    /// Waits until the running round of one cohort is so far.
    pub async fn until_phase(&self, wanted: RoundPhase) {
        let (client, wanted) = (self.by_hand().await, i32::from(wanted));
        let phase = async || client.round_status(0).await.unwrap().round.map(|round| round.cohorts[0].phase);
        while phase().await != Some(wanted) {
            tokio::task::yield_now().await;
        }
    }

    /// What `neuro fl round` speaks to the aggregator with.
    async fn by_hand(&self) -> FederatedClient {
        let key = self.key();
        FederatedClient::connect(&self.address, &key, key.node_id()).await.unwrap()
    }

    /// Stops the aggregator where it is.
    pub async fn leave(&mut self) {
        let running = self.aggregator.take().unwrap();
        running.stop.cancel();
        running.task.await.unwrap();
    }

    /// The first event that `wanted` takes.
    pub async fn until<T>(&mut self, wanted: impl Fn(AggregatorEvent) -> Option<T>) -> T {
        let events = &mut self.aggregator.as_mut().unwrap().events;
        loop {
            let event = timeout(PATIENCE, events.recv()).await.expect("the aggregator's next event").unwrap();
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    /// The next round's end.
    pub async fn ended(&mut self) -> EndedRound {
        self.until(|event| if let AggregatorEvent::Ended(round) = event { Some(*round) } else { None }).await
    }

    /// Why no further round is called.
    pub async fn task_ended(&mut self) -> String {
        self.until(|event| if let AggregatorEvent::TaskEnded { reason } = event { Some(reason) } else { None }).await
    }

    /// An invitation for all who come.
    pub fn invitation(&self) -> String {
        let task = OwnedTask::find(&self.data_dir("aggregator"), None).unwrap().unwrap();
        task.invite(10_000, PATIENCE).unwrap().to_text()
    }

    /// The same to another address.
    pub fn invitation_to(&self, address: &str) -> String {
        let file = self.file("task.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(&self.address, address)).unwrap();
        let invitation = self.invitation();
        fs::write(&file, text).unwrap();
        invitation
    }

    /// Where the aggregator listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The aggregator's key.
    pub fn key(&self) -> NodeKey {
        self.data_dir("aggregator").node_key().unwrap()
    }

    /// A participant whose trainer is this line of shell, attending.
    pub async fn join(&self, number: usize, trainer: &str) -> Participant {
        self.join_with(number, trainer, "").await
    }

    /// A participant with these floors.
    pub async fn join_with(&self, number: usize, trainer: &str, floors: &str) -> Participant {
        self.join_able(number, trainer, floors, 0).await
    }

    /// A participant with these floors that declares this capability.
    pub async fn join_able(&self, number: usize, trainer: &str, floors: &str, capability: u64) -> Participant {
        self.join_by(JoinOptions { capability, ..self.join_options(number, trainer, floors) }).await
    }

    /// How a participant with these floors joins.
    pub fn join_options(&self, number: usize, trainer: &str, floors: &str) -> JoinOptions {
        let floors_file = self.path(&format!("floors-{number}.toml"));
        fs::write(&floors_file, floors).unwrap();
        let arguments = ["-c", trainer, "sh"].map(OsString::from).to_vec();
        JoinOptions {
            data_dir: self.participant(number),
            task: self.invitation(),
            name: String::new(),
            trainer: TrainerCommand { program: "sh".into(), arguments },
            trainer_memory_bytes: None,
            capability: 0,
            floors: Some(floors_file),
            verify_on_receipt: false,
            rounds: None,
        }
    }

    /// A participant that joins so, attending.
    pub async fn join_by(&self, options: JoinOptions) -> Participant {
        let (sender, events) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let task = tokio::spawn(join_task(options, Arc::new(move |event| drop(sender.send(event))), stop.clone()));
        let mut participant = Participant { events, stop, task };
        participant.until(|event| matches!(event, ParticipantEvent::Attending { .. }).then_some(())).await;
        participant
    }

    /// Participants 0 to `count` with the trainer that `trainer` says.
    pub async fn join_all(&self, count: usize, trainer: impl Fn(usize) -> String) -> Vec<Participant> {
        let mut participants = Vec::new();
        for number in 0..count {
            participants.push(self.join(number, &trainer(number)).await);
        }
        participants
    }

    /// A participant's data folder.
    pub fn participant(&self, number: usize) -> DataDir {
        self.data_dir(&format!("participant-{number}"))
    }

    /// A file of a participant's task.
    pub fn file_of(&self, number: usize, name: &str) -> PathBuf {
        task_folder(&self.participant(number)).join(name)
    }

    /// What a participant remembers.
    pub fn past(&self, number: usize) -> Value {
        serde_json::from_slice(&fs::read(self.file_of(number, "past.json")).unwrap()).unwrap()
    }

    /// A file of the aggregator's task.
    pub fn file(&self, name: &str) -> PathBuf {
        task_folder(&self.data_dir("aggregator")).join(name)
    }

    /// The values of the weights with this hash, in the order of the file.
    pub fn weights(&self, hash: &str) -> Vec<f32> {
        values(&fs::read(self.file(&format!("models/{hash}.safetensors"))).unwrap())
    }

    /// A path beside the folders.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an update file and returns a trainer that hands it in with this weight.
    pub fn trainer(&self, number: usize, tensors: &[(&str, &[usize], &[f32])], weight: u32) -> String {
        let file = self.path(&format!("update-{number}.safetensors"));
        fs::write(&file, safetensors(tensors)).unwrap();
        format!("cp {} update.safetensors && echo '{{\"weight\": {weight}}}'", file.display())
    }

    fn data_dir(&self, name: &str) -> DataDir {
        DataDir::open(&self.folder.path().join(name)).unwrap()
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        if let Some(running) = &self.aggregator {
            running.stop.cancel();
        }
    }
}

impl Participant {
    /// The first event that `wanted` takes.
    pub async fn until<T>(&mut self, wanted: impl Fn(ParticipantEvent) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await;
                let Some(event) = event else { panic!("the participant ended: {:?}", (&mut self.task).await) };
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("what the participant was to come to")
    }

    /// The end of its next part: whether there was a sum, and the reason.
    pub async fn ended(&mut self) -> (bool, String) {
        let ended = |event| match event {
            ParticipantEvent::Ended { done, reason, .. } => Some((done, reason)),
            _ => None,
        };
        self.until(ended).await
    }

    /// Stops it where it is.
    pub async fn leave(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn task_folder(data_dir: &DataDir) -> PathBuf {
    let entries = fs::read_dir(data_dir.join("fl")).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.file_name().is_some_and(|name| name != "owner")).unwrap()
}

/// A safetensors file of f32 tensors.
pub fn safetensors(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn zeros(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let values: Vec<Vec<f32>> = tensors.iter().map(|(_, shape)| vec![0.0; shape.iter().product()]).collect();
    let parts = tensors.iter().zip(&values).map(|((name, shape), values)| (*name, *shape, &values[..]));
    safetensors(&parts.collect::<Vec<_>>())
}

/// All values of a safetensors file of f32, in the order of the file.
pub fn values(file: &[u8]) -> Vec<f32> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8 + length..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}
