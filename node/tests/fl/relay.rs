//! An aggregator that is reached through another door, which is short of what is fetched at first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use neuro_network::FederatedClient;
use neuro_network::federated::{
    AggregatorStream, ChunkStream, ControlError, ControlErrorKind, FederatedService, Messages, ParticipantStream,
    PayloadStream, serve,
};
use neuro_primitives::{NodeId, NodeKey};
use neuro_protocol::federated::{
    EnrolReply, EnrolRequest, FetchRequest, RoundStatus, RoundStatusRequest, StartRoundReply, StopRoundReply,
    UploadReply, UploadStart, UploadStateReply, UploadStateRequest,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How often a fetch of the same is refused: by joining a round and by being told to mask a training would begin twice.
const REFUSED: u32 = 2;

/// Hands on what one participant says, but for the first fetches of each hash.
struct Relay {
    client: FederatedClient,
    fetches: Mutex<HashMap<Vec<u8>, u32>>,
}

/// A door with the aggregator's key that leads to `aggregator` by the participant's. Returns its address.
pub async fn open(aggregator: &str, key: NodeKey, participant: &NodeKey) -> String {
    let client = FederatedClient::connect(aggregator, participant, key.node_id()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let relay = Arc::new(Relay { client, fetches: Mutex::default() });
    tokio::spawn(async move { serve(listener, &key, relay, std::future::pending()).await.unwrap() });
    address
}

impl Relay {
    /// Counts a fetch. Returns how many there were of the same.
    fn fetched(&self, hash: &[u8]) -> u32 {
        let mut all = self.fetches.lock().unwrap();
        let fetches = all.entry(hash.to_vec()).or_default();
        *fetches += 1;
        *fetches
    }
}

impl FederatedService for Relay {
    fn admits(&self, _: NodeId) -> bool {
        true
    }

    async fn enrol(&self, _: NodeId, request: EnrolRequest) -> Result<EnrolReply, ControlError> {
        self.client.enrol(request).await
    }

    async fn attend(&self, _: NodeId, messages: ParticipantStream) -> Result<AggregatorStream, ControlError> {
        self.client.attend(forwarded(messages)).await
    }

    async fn upload_state(&self, _: NodeId, request: UploadStateRequest) -> Result<UploadStateReply, ControlError> {
        self.client.upload_state(request.round, request.cohort).await
    }

    async fn upload(&self, _: NodeId, start: UploadStart, payload: PayloadStream) -> Result<UploadReply, ControlError> {
        self.client.upload(start, forwarded(payload)).await
    }

    async fn fetch(&self, _: NodeId, request: FetchRequest) -> Result<ChunkStream, ControlError> {
        if self.fetched(&request.hash) <= REFUSED {
            return Err(ControlError::new(ControlErrorKind::Unavailable, "not now"));
        }
        self.client.fetch(request).await
    }

    async fn round_status(&self, _: NodeId, request: RoundStatusRequest) -> Result<RoundStatus, ControlError> {
        self.client.round_status(request.round).await
    }

    async fn start_round(&self, _: NodeId) -> Result<StartRoundReply, ControlError> {
        self.client.start_round().await
    }

    async fn stop_round(&self, _: NodeId) -> Result<StopRoundReply, ControlError> {
        self.client.stop_round().await
    }
}

/// What comes until it breaks.
fn forwarded<T: Send + 'static>(mut messages: Messages<T>) -> ReceiverStream<T> {
    let (sender, forwarded) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(forwarded)
}
