//! The federated services over TLS, with honest and dishonest clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use neuro_network::federated::{
    AggregatorStream, ChunkStream, ControlError, ControlErrorKind, ParticipantStream, PayloadStream, chunks, limits,
    serve,
};
use neuro_network::{FederatedClient, FederatedService};
use neuro_primitives::{Hash, NodeId, NodeKey};
use neuro_protocol::federated::{
    AggregatorMessage, EnrolReply, EnrolRequest, FetchRequest, ParticipantMessage, RoundStatus, RoundStatusRequest,
    StartRoundReply, StopRoundReply, TaskStatus, UploadReply, UploadStart, UploadStateReply, UploadStateRequest,
    aggregator_message,
};
use neuro_protocol::limits::CHUNK_BYTES;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Far more than anything here takes; only a hang reaches it.
async fn soon<T>(action: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), action).await.expect("it should not take this long")
}

fn key(seed: u8) -> NodeKey {
    NodeKey::from_secret(&[seed; 32])
}

/// What the aggregator of these tests has to offer.
fn weights() -> Vec<u8> {
    (0..300_000_u32).map(|at| at as u8).collect()
}

/// An aggregator that lists key 2, echoes messages as announcements, and keeps one payload.
#[derive(Default)]
struct Aggregator {
    payload: Mutex<Vec<u8>>,
    calls: AtomicUsize,
}

impl FederatedService for Aggregator {
    fn admits(&self, peer: NodeId) -> bool {
        peer == key(1).node_id() || peer == key(2).node_id()
    }

    async fn enrol(&self, peer: NodeId, _: EnrolRequest) -> Result<EnrolReply, ControlError> {
        Ok(EnrolReply { signed_roster: vec![7; 2 << 20], listed: self.admits(peer), description: String::new() })
    }

    async fn attend(&self, _: NodeId, messages: ParticipantStream) -> Result<AggregatorStream, ControlError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Box::pin(messages.map(|message| {
            message.map(|message| AggregatorMessage {
                round: message.round,
                cohort: message.cohort,
                body: Some(aggregator_message::Body::Announcement(message.body)),
            })
        })))
    }

    async fn upload_state(&self, _: NodeId, _: UploadStateRequest) -> Result<UploadStateReply, ControlError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(UploadStateReply { held_bytes: self.payload.lock().unwrap().len() as u64, complete: false })
    }

    async fn upload(
        &self,
        _: NodeId,
        start: UploadStart,
        mut payload: PayloadStream,
    ) -> Result<UploadReply, ControlError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(start.offset, self.payload.lock().unwrap().len() as u64);
        while let Some(piece) = payload.next().await {
            self.payload.lock().unwrap().extend(piece?);
        }
        let held = self.payload.lock().unwrap();
        let complete = Hash::of(&held).0.as_slice() == start.payload;
        Ok(UploadReply { held_bytes: held.len() as u64, complete })
    }

    async fn fetch(&self, _: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if request.hash == Hash::of(&weights()).0 {
            return chunks(weights(), request.offset);
        }
        Err(ControlError::new(ControlErrorKind::NotFound, "the task knows no such bytes"))
    }

    async fn round_status(&self, peer: NodeId, _: RoundStatusRequest) -> Result<RoundStatus, ControlError> {
        let task = TaskStatus { name: peer.to_string(), ..TaskStatus::default() };
        Ok(RoundStatus { task: Some(task), ..RoundStatus::default() })
    }

    async fn start_round(&self, peer: NodeId) -> Result<StartRoundReply, ControlError> {
        if peer == key(1).node_id() {
            return Ok(StartRoundReply { round: 1 });
        }
        Err(ControlError::new(ControlErrorKind::NotAllowed, "only the aggregator's owner may"))
    }

    async fn stop_round(&self, _: NodeId) -> Result<StopRoundReply, ControlError> {
        Ok(StopRoundReply { round: 1 })
    }
}

/// A served aggregator, with key 1. It ends with the test's runtime.
struct Served {
    address: String,
    service: Arc<Aggregator>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = Arc::new(Aggregator::default());
        let served = Arc::clone(&service);
        tokio::spawn(async move { serve(listener, &key(1), served, std::future::pending()).await });
        Self { address, service }
    }

    async fn connect(&self, seed: u8) -> FederatedClient {
        soon(FederatedClient::connect(&self.address, &key(seed), key(1).node_id())).await.unwrap()
    }
}

type Conversation = (mpsc::Sender<ParticipantMessage>, AggregatorStream);

async fn attend(client: &FederatedClient) -> Result<Conversation, ControlError> {
    let (sender, receiver) = mpsc::channel(4);
    Ok((sender, soon(client.attend(ReceiverStream::new(receiver))).await?))
}

fn pieces(bytes: &[u8]) -> impl futures::Stream<Item = Vec<u8>> + use<> {
    futures::stream::iter(bytes.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_participant_attends_fetches_and_uploads() {
    let served = Served::start().await;
    let client = served.connect(2).await;
    let enrolled = soon(client.enrol(EnrolRequest::default())).await.unwrap();
    assert!(enrolled.listed && enrolled.signed_roster.len() == 2 << 20);
    let (messages, mut announcements) = attend(&client).await.unwrap();
    let body = vec![3; limits::MAX_PARTICIPANT_MESSAGE_BYTES];
    messages.send(ParticipantMessage { round: 4, cohort: 1, body: body.clone() }).await.unwrap();
    let told = soon(announcements.next()).await.unwrap().unwrap();
    assert_eq!((told.round, told.cohort), (4, 1));
    assert!(told.body == Some(aggregator_message::Body::Announcement(body)));
    let hash = Hash::of(&weights()).0.to_vec();
    let mut fetched = soon(client.fetch(FetchRequest { hash, offset: 100_000 })).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = soon(fetched.next()).await {
        bytes.extend(chunk.unwrap().data);
    }
    assert!(bytes == weights()[100_000..]);
    assert_eq!(soon(client.round_status(0)).await.unwrap().task.unwrap().name, key(2).node_id().to_string());
    assert_eq!(soon(client.start_round()).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let served = Served::start().await;
    let client = served.connect(2).await;
    let payload = Hash::of(&weights()).0.to_vec();
    let start = |offset| UploadStart { round: 1, cohort: 0, payload: payload.clone(), offset };
    let first = soon(client.upload(start(0), pieces(&weights()[..200_000]))).await.unwrap();
    assert!(!first.complete && first.held_bytes == 200_000);
    let again = served.connect(2).await;
    let held = soon(again.upload_state(1, 0)).await.unwrap().held_bytes;
    let done = soon(again.upload(start(held), pieces(&weights()[200_000..]))).await.unwrap();
    assert!(done.complete && done.held_bytes == 300_000);
}

#[tokio::test]
async fn a_stranger_may_enrol_and_nothing_else() {
    let served = Served::start().await;
    let client = served.connect(3).await;
    assert!(!soon(client.enrol(EnrolRequest::default())).await.unwrap().listed);
    // The body of this upload never ends: the refusal does not wait for it.
    let endless = futures::stream::pending();
    let start = UploadStart::default();
    assert_eq!(soon(client.upload(start, endless)).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
    assert_eq!(attend(&client).await.err().unwrap().kind, ControlErrorKind::NotAllowed);
    let fetched = soon(client.fetch(FetchRequest::default())).await.err().unwrap();
    assert_eq!(fetched.kind, ControlErrorKind::NotAllowed);
    assert_eq!(soon(client.upload_state(1, 0)).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
    assert_eq!(soon(client.round_status(0)).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
    assert_eq!(soon(client.start_round()).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
    assert_eq!(soon(client.stop_round()).await.unwrap_err().kind, ControlErrorKind::NotAllowed);
    assert_eq!(served.service.calls.load(Ordering::Relaxed), 0, "no handler heard of it");
}

#[tokio::test]
async fn a_node_attends_once_at_a_time() {
    let served = Served::start().await;
    let (first, second) = (served.connect(2).await, served.connect(2).await);
    let (messages, announcements) = attend(&first).await.unwrap();
    let refused = attend(&second).await.err().unwrap();
    assert!(refused.is_retryable() && refused.message.contains("attends already"), "{refused:?}");
    // The place comes back with the end of the conversation.
    drop((messages, announcements, first));
    let mut free = false;
    for _ in 0..1_000 {
        free = attend(&second).await.is_ok();
        if free {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(free);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_connection_goes_on() {
    let served = Served::start().await;
    let client = served.connect(2).await;
    let invitation = "x".repeat(limits::MAX_REQUEST_BYTES + 1);
    let request = EnrolRequest { invitation, ..EnrolRequest::default() };
    assert_eq!(soon(client.enrol(request)).await.unwrap_err().kind, ControlErrorKind::BadRequest);
    let large = futures::stream::iter([vec![0; CHUNK_BYTES + 1]]);
    let refused = soon(client.upload(UploadStart::default(), large)).await.unwrap_err();
    assert_eq!(refused.kind, ControlErrorKind::BadRequest);
    assert!(soon(client.round_status(0)).await.is_ok());
}
