//! An orchestrator that admits like a good one and then gives orders, tensors and frames as a test wants.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use neuro_model::Checkpoint;
use neuro_network::control::{
    self, ChunkStream, ControlError, ControlErrorKind, ControlService, InstructionStream, ReportStream, chunks,
};
use neuro_network::peer_to_peer::{PeerStream, PeerToPeer, StreamKind};
use neuro_node::data_dir::DataDir;
use neuro_node::orchestrator_role::members::new_ticket;
use neuro_node::publish::Publication;
use neuro_primitives::{ExpertId, Hash, ModelId, NodeId, NodeKey};
use neuro_protocol::control::{
    FetchRequest, HoldExperts, Instruction, JoinReply, JoinRequest, Status, StopReply, instruction, worker_report,
};
use neuro_protocol::frame::{Frame, Hello};
use neuro_protocol::version::{ENGINE_SPEC, supported};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::network::{Notes, TCP, Worker, checkpoint, within};
use crate::twin_worker::{framed, read_frame};

/// What a fetch of a tensor brings, given its name, its bytes and how often it was fetched before.
pub type Shelf = Box<dyn Fn(&str, Vec<u8>, usize) -> Result<Vec<u8>, ControlError> + Send + Sync>;

/// A running twin.
pub struct Twin {
    pub key: NodeKey,
    pub ticket: String,
    pub model: ModelId,
    pub p2p: PeerToPeer,
    pub fetched: Arc<Notes<String>>,
    pub reports: mpsc::UnboundedReceiver<worker_report::Report>,
    pub orders: mpsc::Sender<Instruction>,
    _folder: TempDir,
}

struct Service {
    publication: Publication,
    signed_manifest: Vec<u8>,
    shelf: Shelf,
    fetched: Arc<Notes<String>>,
    p2p: Vec<String>,
    reports: mpsc::UnboundedSender<worker_report::Report>,
    orders: std::sync::Mutex<Option<mpsc::Receiver<Instruction>>>,
}

impl ControlService for Service {
    async fn join(&self, _: NodeId, _: JoinRequest) -> Result<JoinReply, ControlError> {
        let signed_manifest = self.signed_manifest.clone();
        Ok(JoinReply { signed_manifest, p2p_addresses: self.p2p.clone(), orchestrator: Vec::new() })
    }

    async fn attend(&self, _: NodeId, mut reports: ReportStream) -> Result<InstructionStream, ControlError> {
        let heard = self.reports.clone();
        tokio::spawn(async move {
            while let Some(Ok(report)) = reports.next().await {
                report.report.map(|report| heard.send(report));
            }
        });
        let orders = self.orders.lock().unwrap().take().unwrap();
        Ok(Box::pin(ReceiverStream::new(orders).map(Ok)))
    }

    async fn fetch(&self, _: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        let name = self.publication.name_of(&Hash(request.hash.try_into().unwrap())).unwrap();
        let before = self.fetched.all().iter().filter(|other| **other == name).count();
        self.fetched.add(name.clone());
        let bytes = self.publication.checkpoint().tensor(&name).unwrap().bytes.to_vec();
        chunks((self.shelf)(&name, bytes, before)?, 0)
    }

    async fn status(&self, _: NodeId) -> Result<Status, ControlError> {
        Err(ControlError::new(ControlErrorKind::NotAllowed, "no"))
    }

    async fn stop(&self, _: NodeId) -> Result<StopReply, ControlError> {
        Err(ControlError::new(ControlErrorKind::NotAllowed, "no"))
    }
}

impl Twin {
    pub async fn start(shelf: Shelf) -> Self {
        Self::with_manifest(shelf, |bytes| bytes).await
    }

    /// A twin whose signed manifest is `change`d on its way.
    pub async fn with_manifest(shelf: Shelf, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let key = data_dir.node_key().unwrap();
        let opened = Arc::new(Checkpoint::open(&checkpoint()).unwrap());
        let publication = Publication::new(opened, &data_dir, &key, &|_| ()).unwrap();
        let model = publication.manifest().model_id();
        let signed_manifest = change(publication.manifest().signed().encode());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control_address = listener.local_addr().unwrap().to_string();
        let (p2p, incoming) = PeerToPeer::start(&key, &[TCP.to_owned()]).await.unwrap();
        let ticket = new_ticket(&key, &[control_address], &p2p.addresses(), Duration::from_secs(3600)).unwrap();
        let ((heard, reports), (orders, given)) = (mpsc::unbounded_channel(), mpsc::channel(8));
        let fetched: Arc<Notes<String>> = Arc::default();
        let service = Service {
            publication,
            signed_manifest,
            shelf,
            fetched: Arc::clone(&fetched),
            p2p: p2p.addresses(),
            reports: heard,
            orders: std::sync::Mutex::new(Some(given)),
        };
        let serving = data_dir.node_key().unwrap();
        tokio::spawn(async move {
            let _kept = incoming;
            let (_streams, none) = mpsc::channel(1);
            control::serve(listener, none, &serving, Arc::new(service), std::future::pending()).await
        });
        Self { key, ticket: ticket.to_text(), model, p2p, fetched, reports, orders, _folder: folder }
    }

    /// A worker that attends, and its node.
    pub async fn worker(&self) -> (Worker, NodeId) {
        let mut worker = Worker::start(Worker::config("worker", &self.ticket));
        worker.joined().await;
        let node = worker.data_dir.node_key().unwrap().node_id();
        (worker, node)
    }

    pub async fn orders_to_hold(&self, experts: &[ExpertId]) {
        let experts = experts.iter().copied().map(Into::into).collect();
        let hold = instruction::Instruction::Hold(HoldExperts { experts });
        self.orders.send(Instruction { instruction: Some(hold) }).await.unwrap();
    }

    /// The next report that a holding or a failure is.
    pub async fn outcome(&mut self) -> worker_report::Report {
        within("a report", async {
            loop {
                let report = self.reports.recv().await.unwrap();
                if matches!(report, worker_report::Report::Holding(_) | worker_report::Report::Failed(_)) {
                    return report;
                }
            }
        })
        .await
    }

    pub fn hello(&self) -> Hello {
        Hello { versions: supported(), model: self.model, engine_spec: ENGINE_SPEC, d_model: 128 }
    }

    /// A stream on which these bytes went out first.
    pub async fn opens(&self, worker: NodeId, bytes: &[u8]) -> PeerStream {
        let mut stream = self.p2p.open(worker, StreamKind::Experts).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    /// A stream that was welcomed.
    pub async fn greets(&self, worker: NodeId) -> PeerStream {
        let mut stream = self.opens(worker, &framed(&Frame::Hello(self.hello()).encode())).await;
        let welcome = within("a welcome", read_frame(&mut stream)).await;
        assert!(matches!(welcome, Some(Frame::Welcome(_))), "{welcome:?}");
        stream
    }
}
