//! The control services over TLS and over libp2p, with honest and dishonest clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use neuro_network::control::{
    ChunkStream, ConnectError, InstructionStream, ReportStream, ServeError, chunks, limits, serve,
};
use neuro_network::tls::TlsError;
use neuro_network::{
    ControlClient, ControlError, ControlErrorKind, ControlService, PeerStream, PeerToPeer, StreamKind,
};
use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_protocol::control::{
    Beat, Expert, FetchRequest, HeldExperts, HoldExperts, Instruction, JoinReply, JoinRequest, NodeStatus, Status,
    StopReply, StopWork, WorkerReport, instruction, worker_report,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Far more than anything here takes; only a hang reaches it.
async fn soon<T>(action: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), action).await.expect("it should not take this long")
}

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

/// What the orchestrator of these tests has to offer: one tensor.
fn tensor() -> Vec<u8> {
    (0..300_000_u32).map(|at| at as u8).collect()
}

/// An orchestrator that admits the ticket "good", tells each worker what it reported, and notes who left.
struct Orchestrator {
    left: mpsc::Sender<NodeId>,
}

impl ControlService for Orchestrator {
    async fn join(&self, _: NodeId, request: JoinRequest) -> Result<JoinReply, ControlError> {
        if request.ticket != "good" {
            return Err(ControlError::new(ControlErrorKind::NotAllowed, "the ticket is forged"));
        }
        // More than the 4 MiB that gRPC allows by default.
        Ok(JoinReply { signed_manifest: vec![7; 9 << 20], ..JoinReply::default() })
    }

    async fn attend(&self, peer: NodeId, mut reports: ReportStream) -> Result<InstructionStream, ControlError> {
        let (sender, receiver) = mpsc::channel(4);
        let left = self.left.clone();
        tokio::spawn(async move {
            while let Some(Ok(report)) = reports.next().await {
                let reply = match report.report {
                    Some(worker_report::Report::Holding(held)) => {
                        instruction::Instruction::Hold(HoldExperts { experts: held.experts })
                    }
                    _ => instruction::Instruction::Stop(StopWork { reason: "enough".into() }),
                };
                let _ = sender.send(Ok(Instruction { instruction: Some(reply) })).await;
            }
            let _ = left.send(peer).await;
        });
        Ok(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver)))
    }

    async fn fetch(&self, _: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        if request.hash == Hash::of(&tensor()).0 {
            return chunks(tensor(), request.offset);
        }
        Err(ControlError::new(ControlErrorKind::NotFound, "the manifest names no such tensor"))
    }

    async fn status(&self, peer: NodeId) -> Result<Status, ControlError> {
        let node = NodeStatus { id: peer.to_string(), ..NodeStatus::default() };
        Ok(Status { node: Some(node), ..Status::default() })
    }

    async fn stop(&self, peer: NodeId) -> Result<StopReply, ControlError> {
        if peer == key(1).node_id() {
            return Ok(StopReply {});
        }
        Err(ControlError::new(ControlErrorKind::NotAllowed, "only the node itself may stop the node"))
    }
}

/// A served orchestrator, with key 1.
struct Served {
    address: String,
    streams: mpsc::Sender<(NodeId, PeerStream)>,
    left: mpsc::Receiver<NodeId>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (streams, p2p_streams) = mpsc::channel(4);
        let (left_sender, left) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel::<()>();
        let service = Arc::new(Orchestrator { left: left_sender });
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serve(listener, p2p_streams, &key(1), service, shutdown).await
        });
        Self { address, streams, left, stop, task }
    }

    async fn connect(&self, seed: u8) -> ControlClient {
        soon(ControlClient::connect_tls(&self.address, &key(seed), key(1).node_id())).await.unwrap()
    }
}

fn report(report: worker_report::Report) -> WorkerReport {
    WorkerReport { report: Some(report) }
}

/// Every call once, as the worker with `seed`.
async fn conversation(client: &ControlClient, seed: u8) {
    let refused = soon(client.join(JoinRequest { ticket: "bad".into(), ..JoinRequest::default() })).await.unwrap_err();
    assert_eq!((refused.kind, refused.message.as_str()), (ControlErrorKind::NotAllowed, "the ticket is forged"));
    let admitted = soon(client.join(JoinRequest { ticket: "good".into(), ..JoinRequest::default() })).await.unwrap();
    assert_eq!(admitted.signed_manifest, vec![7; 9 << 20]);
    fetches(client).await;
    let status = soon(client.status()).await.unwrap();
    assert_eq!(status.node.unwrap().id, key(seed).node_id().to_string(), "the handlers know who calls");
    assert_eq!(soon(client.stop()).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
}

async fn fetches(client: &ControlClient) {
    let (whole, hash) = (tensor(), Hash::of(&tensor()).0.to_vec());
    for offset in [0_usize, 131_072, 299_999, 300_000] {
        let request = FetchRequest { hash: hash.clone(), offset: offset as u64 };
        let mut chunks = soon(client.fetch(request)).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = soon(chunks.next()).await {
            bytes.extend(chunk.unwrap().data);
        }
        assert!(bytes == whole[offset..], "from {offset}");
    }
    let beyond = soon(client.fetch(FetchRequest { hash, offset: 300_001 })).await.err().unwrap();
    assert_eq!(beyond.kind, ControlErrorKind::BadRequest);
    let unknown = soon(client.fetch(FetchRequest { hash: vec![0; 32], offset: 0 })).await.err().unwrap();
    assert_eq!(unknown.kind, ControlErrorKind::NotFound);
}

/// Attends: what is reported held is told to hold, and a beat is told to stop.
async fn attendance(client: &ControlClient) -> (mpsc::Sender<WorkerReport>, InstructionStream) {
    let (reports, receiver) = mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut instructions = soon(client.attend(stream)).await.unwrap();
    let experts = vec![Expert { layer: 1, expert: 2 }];
    reports.send(report(worker_report::Report::Holding(HeldExperts { experts: experts.clone() }))).await.unwrap();
    let told = soon(instructions.next()).await.unwrap().unwrap();
    assert_eq!(told.instruction, Some(instruction::Instruction::Hold(HoldExperts { experts })));
    reports.send(report(worker_report::Report::Beat(Beat::default()))).await.unwrap();
    let told = soon(instructions.next()).await.unwrap().unwrap();
    assert!(matches!(told.instruction, Some(instruction::Instruction::Stop(_))));
    (reports, instructions)
}

#[tokio::test]
async fn every_call_works_over_tls_and_the_end_is_noticed() {
    let mut served = Served::start().await;
    let client = served.connect(2).await;
    conversation(&client, 2).await;
    let attending = attendance(&client).await;
    drop((attending, client));
    assert_eq!(soon(served.left.recv()).await, Some(key(2).node_id()));
}

#[tokio::test]
async fn every_call_works_over_libp2p_and_the_end_is_noticed() {
    let mut served = Served::start().await;
    let listen = ["/ip4/127.0.0.1/tcp/0".to_owned()];
    let (orchestrator, mut incoming) = soon(PeerToPeer::start(&key(1), &listen)).await.unwrap();
    let (worker, _incoming) = soon(PeerToPeer::start(&key(2), &[])).await.unwrap();
    let streams = served.streams.clone();
    tokio::spawn(async move {
        while let Some((peer, kind, stream)) = incoming.streams.recv().await {
            assert_eq!(kind, StreamKind::Control);
            streams.send((peer, stream)).await.unwrap();
        }
    });
    soon(worker.dial(key(1).node_id(), &orchestrator.addresses())).await.unwrap();
    let client = soon(ControlClient::connect_p2p(&worker, key(1).node_id())).await.unwrap();
    conversation(&client, 2).await;
    let _attending = attendance(&client).await;
    // The worker's machine dies: its connection goes, and with it the attendance.
    soon(worker.shutdown()).await;
    assert_eq!(soon(served.left.recv()).await, Some(key(2).node_id()));
}

#[tokio::test]
async fn a_worker_notices_that_its_orchestrator_is_gone() {
    let served = Served::start().await;
    let client = served.connect(2).await;
    let (_reports, mut instructions) = attendance(&client).await;
    served.task.abort();
    let last = soon(instructions.next()).await.unwrap().unwrap_err();
    assert!(last.is_retryable(), "{last:?}");
    let error = soon(client.status()).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn shutting_down_ends_open_conversations_in_bounded_time() {
    let served = Served::start().await;
    let client = served.connect(2).await;
    let (_reports, mut instructions) = attendance(&client).await;
    served.stop.send(()).unwrap();
    soon(served.task).await.unwrap().unwrap();
    assert!(matches!(soon(instructions.next()).await, None | Some(Err(_))));
    assert!(TcpStream::connect(&served.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_owner_may_stop_the_node() {
    let served = Served::start().await;
    let client = served.connect(1).await;
    assert_eq!(soon(client.stop()).await, Ok(StopReply {}));
}

#[tokio::test]
async fn a_server_with_another_key_is_refused() {
    let served = Served::start().await;
    let expected = key(9).node_id();
    let error = soon(ControlClient::connect_tls(&served.address, &key(2), expected)).await.unwrap_err();
    let ConnectError::Tls { source: TlsError::WrongNode { expected: wanted, got }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((*wanted, *got), (expected, key(1).node_id()));
    assert!(!error.is_retryable() && error.blames().is_none());
}

#[tokio::test]
async fn nobody_at_the_address_is_worth_another_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = soon(ControlClient::connect_tls(&address, &key(2), key(1).node_id())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }) && error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_and_the_connection_goes_on() {
    let served = Served::start().await;
    let client = served.connect(2).await;
    let ticket = "x".repeat(limits::MAX_REQUEST_BYTES + 1);
    let error = soon(client.join(JoinRequest { ticket, ..JoinRequest::default() })).await.unwrap_err();
    assert_eq!(error.kind, ControlErrorKind::BadRequest, "{error:?}");
    assert!(soon(client.status()).await.is_ok());
}

#[tokio::test]
async fn one_node_gets_so_many_connections() {
    let served = Served::start().await;
    let mut clients = Vec::new();
    for _ in 0..limits::MAX_CONNECTIONS_PER_NODE {
        let client = served.connect(2).await;
        soon(client.status()).await.unwrap();
        clients.push(client);
    }
    let refused = match soon(ControlClient::connect_tls(&served.address, &key(2), key(1).node_id())).await {
        Ok(client) => soon(client.status()).await.is_err(),
        Err(error) => error.is_retryable(),
    };
    assert!(refused, "the connection beyond the limit");
    assert!(soon(served.connect(3).await.status()).await.is_ok(), "another node is admitted");
}

/// Strangers on the TLS port, who stay connected while an honest client comes.
#[tokio::test]
async fn strangers_on_the_port_hurt_nobody_else() {
    // The beginning of a ClientHello: a handshake record of 512 bytes of which four come.
    let half_handshake = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
    let served = Served::start().await;
    let mut held = Vec::new();
    for bytes in [&b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[0xa5; 4000], half_handshake, b""] {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(&served.address).await.unwrap();
            // The other side may hang up in the middle.
            let _ = stream.write_all(bytes).await;
            held.push(stream);
        }
    }
    let client = served.connect(2).await;
    assert!(soon(client.status()).await.is_ok());
    for stream in &mut held {
        let mut answer = Vec::new();
        // Each is hung up on, the silent ones after the time for a handshake; none is told more than a TLS alert.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert!(answer.len() < 16, "{answer:?}");
    }
    assert!(soon(client.status()).await.is_ok());
}
