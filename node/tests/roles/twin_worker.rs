//! A worker that joins like a good one, computes right, and then says whatever a test wants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use futures::StreamExt;
use neuro_expert_runtime::{Computed, ExpertPool, ExpertTensors, default_engine, expert_weights};
use neuro_model::{Checkpoint, names};
use neuro_network::control::{ControlClient, ControlError, InstructionStream};
use neuro_network::peer_to_peer::{PeerStream, PeerToPeer, StreamKind};
use neuro_orchestrator::receipts::{Answered, Pair, Payee};
use neuro_primitives::receipt::{AnswerTree, Offer};
use neuro_primitives::{ExpertId, NodeId, NodeKey, TaskId, UnixMillis};
use neuro_protocol::control::{
    Expert, HeldExperts, HoldExperts, JoinReply, JoinRequest, LastVoucher, StopWork, VoucherOffer, VoucherReply,
    WorkerReport, instruction, voucher_reply, worker_report,
};
use neuro_protocol::frame::{Answer, Frame, Hello, MicroTask, Welcome};
use neuro_protocol::version::{ENGINE_SPEC, WIRE_MAX, WIRE_MIN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::network::{Network, TCP, checkpoint, within};

/// What the twin says to a task.
pub enum Reply {
    /// A whole frame.
    Frame(Frame),
    /// Bytes as they are, lengths and all.
    Raw(Vec<u8>),
    /// The end of the stream.
    Close,
}

impl Reply {
    pub fn answer(answer: Answer) -> Vec<Self> {
        vec![Self::Frame(Frame::Answer(answer))]
    }
}

/// Makes replies of a task and its right answer.
pub type Lie = Box<dyn FnMut(&MicroTask, Answer) -> Vec<Reply> + Send>;

/// Makes the bytes that answer the orchestrator's hello.
pub type Greeting = Box<dyn Fn(&Hello) -> Vec<u8> + Send + Sync>;

/// Makes what a twin reports of what it was told to hold.
pub type Claims = Box<dyn Fn(Vec<Expert>) -> Vec<Expert> + Send>;

/// How a twin's service ended.
#[derive(Debug)]
pub enum End {
    /// By an instruction, with a reason.
    Told(String),
    /// Without a word.
    Ended,
}

/// How a twin behaves.
pub struct Conduct {
    pub name: String,
    pub greeting: Greeting,
    /// What it reports when it is told to hold experts.
    pub claims: Claims,
    pub lie: Lie,
    /// Whether it signs for what it answered.
    pub signs: bool,
}

impl Conduct {
    pub fn lying(name: &str, lie: impl FnMut(&MicroTask, Answer) -> Vec<Reply> + Send + 'static) -> Self {
        Self {
            name: name.to_owned(),
            greeting: Box::new(|_| framed(&Frame::Welcome(Welcome { version: WIRE_MAX }).encode())),
            claims: Box::new(|experts| experts),
            lie: Box::new(lie),
            signs: false,
        }
    }
}

/// A twin's receipts: it signs for every answer that it gave, the wrong ones among them.
struct Signer {
    key: NodeKey,
    payee: Mutex<Payee>,
}

impl Signer {
    fn new(key: NodeKey, orchestrator: NodeId) -> Self {
        let payee = Mutex::new(Payee::new(Pair { orchestrator, worker: key.node_id() }, None));
        Self { key, payee }
    }

    fn answered(&self, task: &MicroTask, answer: &Answer) {
        let asked = (&task.hidden, &task.routes);
        let tree = AnswerTree::new(task.model, task.layer, task.task, asked, (&answer.digests, &answer.sums));
        let leaf = tree.leaf();
        self.payee.lock().unwrap().answered(Answered { task: leaf.task, leaf: leaf.hash(), units: leaf.entries });
    }

    fn reply(&self, offered: &VoucherOffer) -> worker_report::Report {
        let tasks: Vec<TaskId> = offered.tasks.iter().copied().map(TaskId).collect();
        let mut payee = self.payee.lock().unwrap();
        let signed = payee.check(Offer::decode(&offered.offer).unwrap(), &tasks, &self.key, UnixMillis(0)).unwrap();
        payee.keep(signed, &tasks);
        worker_report::Report::Voucher(VoucherReply { reply: Some(voucher_reply::Reply::Signed(signed.encode())) })
    }
}

/// A twin that has joined.
pub struct Twin {
    pub client: ControlClient,
    pub tasks: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
    pub attending: JoinHandle<End>,
    _p2p: PeerToPeer,
}

/// A payload with its length in front.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], payload].concat()
}

/// One frame of a stream; nothing when it ended.
pub async fn read_frame(stream: &mut PeerStream) -> Option<Frame> {
    let length = stream.read_u32_le().await.ok()?;
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame::decode(&payload).unwrap())
}

/// Every expert of the skills model.
pub fn honest_pool() -> Arc<ExpertPool> {
    static POOL: OnceLock<Arc<ExpertPool>> = OnceLock::new();
    let load = || {
        let checkpoint = Checkpoint::open(&checkpoint()).unwrap();
        let config = checkpoint.config();
        let pool = ExpertPool::new(default_engine(), config.d_model);
        for layer in 0..u16::try_from(config.layers).unwrap() {
            for expert in 0..u16::try_from(config.router.experts).unwrap() {
                let id = ExpertId { layer, expert };
                let names = names::expert(config, id);
                let [gate, up, down] =
                    [&names.gate, &names.up, &names.down].map(|name| checkpoint.tensor(name).unwrap());
                let tensors = ExpertTensors { gate, up, down, biases: None };
                pool.insert(id, &expert_weights(config, tensors).unwrap()).unwrap();
            }
        }
        Arc::new(pool)
    };
    Arc::clone(POOL.get_or_init(load))
}

pub fn join_request(name: &str, ticket: &str) -> JoinRequest {
    JoinRequest {
        ticket: ticket.to_owned(),
        wire_min: WIRE_MIN.into(),
        wire_max: WIRE_MAX.into(),
        engine_spec: ENGINE_SPEC,
        engine: "by hand".to_owned(),
        name: name.to_owned(),
        threads: 1,
        memory_limit_bytes: 1 << 30,
        version: "0".to_owned(),
        hardware: None,
    }
}

/// Where a twin joins: what another process needs to know of a network.
#[derive(Debug, Clone)]
pub struct Door {
    pub control: String,
    pub orchestrator: NodeId,
    pub ticket: String,
}

impl Network {
    pub fn door(&self) -> Door {
        let (control, ticket) = (self.addresses.control.clone(), self.addresses.ticket.clone());
        Door { control, orchestrator: self.key.node_id(), ticket }
    }

    /// A connection to the control services under `key`.
    pub async fn client(&self, key: &NodeKey) -> ControlClient {
        self.door().client(key).await
    }

    /// A twin with a new key.
    pub async fn twin(&self, conduct: Conduct) -> Twin {
        self.twin_with(NodeKey::generate().unwrap(), conduct).await.unwrap()
    }

    /// A twin that joins and attends under `key`.
    pub async fn twin_with(&self, key: NodeKey, conduct: Conduct) -> Result<Twin, ControlError> {
        self.door().twin_with(key, conduct).await
    }
}

impl Door {
    async fn client(&self, key: &NodeKey) -> ControlClient {
        ControlClient::connect_tls(&self.control, key, self.orchestrator).await.unwrap()
    }

    /// A twin that joins and attends under `key`.
    pub async fn twin_with(&self, key: NodeKey, conduct: Conduct) -> Result<Twin, ControlError> {
        let Conduct { name, greeting, claims, lie, signs } = conduct;
        let signer = signs.then(|| Arc::new(Signer::new(key.clone(), self.orchestrator)));
        let client = self.client(&key).await;
        let JoinReply { p2p_addresses, .. } = client.join(join_request(&name, &self.ticket)).await?;
        let (p2p, mut incoming) = PeerToPeer::start(&key, &[TCP.to_owned()]).await.unwrap();
        p2p.dial(self.orchestrator, &p2p_addresses).await.unwrap();
        let tasks = Arc::new(AtomicUsize::new(0));
        let (counted, signing) = (Arc::clone(&tasks), signer.clone());
        let serving = tokio::spawn(async move {
            let mut lie = lie;
            while let Some((_, kind, stream)) = incoming.streams.recv().await {
                assert_eq!(kind, StreamKind::Experts);
                serve(stream, &*greeting, &mut lie, signing.as_deref(), &counted).await;
            }
        });
        let (reports, outgoing) = mpsc::channel(16);
        let instructions = within("attending", client.attend(ReceiverStream::new(outgoing))).await?;
        let attending = tokio::spawn(attend(instructions, reports, claims, signer));
        Ok(Twin { client, tasks, serving, attending, _p2p: p2p })
    }
}

impl Twin {
    pub fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// How its service ended.
    pub async fn end(&mut self) -> End {
        within("the end of a twin's service", &mut self.attending).await.unwrap()
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.serving.abort();
        self.attending.abort();
    }
}

/// Does as told and says so.
async fn attend(
    mut instructions: InstructionStream,
    reports: mpsc::Sender<WorkerReport>,
    claims: Claims,
    signer: Option<Arc<Signer>>,
) -> End {
    if signer.is_some() {
        let first = worker_report::Report::LastVoucher(LastVoucher::default());
        reports.send(WorkerReport { report: Some(first) }).await.unwrap();
    }
    while let Some(Ok(said)) = instructions.next().await {
        match said.instruction {
            Some(instruction::Instruction::Hold(HoldExperts { experts })) => {
                let held = worker_report::Report::Holding(HeldExperts { experts: claims(experts) });
                if reports.send(WorkerReport { report: Some(held) }).await.is_err() {
                    return End::Ended;
                }
            }
            Some(instruction::Instruction::Voucher(offer)) => {
                if let Some(signer) = &signer
                    && reports.send(WorkerReport { report: Some(signer.reply(&offer)) }).await.is_err()
                {
                    return End::Ended;
                }
            }
            Some(instruction::Instruction::Stop(StopWork { reason })) => return End::Told(reason),
            _ => {}
        }
    }
    End::Ended
}

/// Serves a stream until one side ends it.
async fn serve(
    mut stream: PeerStream,
    greeting: &(dyn Fn(&Hello) -> Vec<u8> + Send + Sync),
    lie: &mut Lie,
    signer: Option<&Signer>,
    tasks: &AtomicUsize,
) -> Option<()> {
    let Some(Frame::Hello(hello)) = read_frame(&mut stream).await else { panic!("no hello") };
    stream.write_all(&greeting(&hello)).await.ok()?;
    stream.flush().await.ok()?;
    while let Some(frame) = read_frame(&mut stream).await {
        let Frame::Task(task) = frame else { continue };
        tasks.fetch_add(1, Ordering::Relaxed);
        for reply in lie(&task, right_answer(&task)) {
            if let (Some(signer), Reply::Frame(Frame::Answer(answer))) = (signer, &reply) {
                signer.answered(&task, answer);
            }
            let bytes = match reply {
                Reply::Frame(frame) => framed(&frame.encode()),
                Reply::Raw(bytes) => bytes,
                Reply::Close => return Some(()),
            };
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()?;
        }
    }
    Some(())
}

pub fn right_answer(task: &MicroTask) -> Answer {
    let Computed { sums, digests } = honest_pool().run_digested(task.layer, &task.hidden, &task.routes).unwrap();
    Answer { task: task.task, compute_us: 1, sums, digests }
}
