//! The data plane to one worker: frames out, answers in, until either side ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use neuro_network::frames::{FrameError, FrameReader, FrameWriter};
use neuro_network::peer_to_peer::{NetworkError, PeerStream, PeerToPeer, StreamKind};
use neuro_primitives::{ModelId, NodeId};
use neuro_protocol::frame::{DecodeError, Failure, Frame, Hello};
use neuro_protocol::limits;
use neuro_protocol::version::{ENGINE_SPEC, supported};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::dispatch::{Dispatch, Unasked};

/// How long a worker may take to answer the greeting.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a worker's data connection may take to show on this side after the worker saw it: it asks to attend over
/// another connection, whose message may be faster. Doubled, a worker without a data connection waits twice as long.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(5);

/// Pause between two looks for it.
const CONNECTION_LOOK: Duration = Duration::from_millis(2);

/// A greeted data stream, ready for tasks.
pub struct OpenLink {
    reader: FrameReader<ReadHalf<PeerStream>>,
    writer: FrameWriter<WriteHalf<PeerStream>>,
    greeted: Duration,
}

/// The data plane to a worker cannot be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No stream.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The stream broke, or a frame was too long or too slow.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame says nothing.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The worker took too long to answer the greeting.
    #[error("worker {} did not answer the greeting within {} s", .worker.short(), GREETING_TIMEOUT.as_secs())]
    Silent {
        /// The worker.
        worker: NodeId,
    },
    /// The worker refused the greeting.
    #[error("worker {} refused: {text}", .worker.short())]
    Refused {
        /// The worker.
        worker: NodeId,
        /// Its words.
        text: String,
    },
    /// The worker sent a frame that has no place here.
    #[error("worker {} sent {got} where {expected} belongs", .worker.short())]
    OutOfPlace {
        /// The worker.
        worker: NodeId,
        /// What belongs there.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// The worker welcomed with a version that was not offered.
    #[error(
        "worker {} speaks wire version {got}, this node {} to {}",
        .worker.short(), supported().start(), supported().end()
    )]
    Version {
        /// The worker.
        worker: NodeId,
        /// The version that it named.
        got: u16,
    },
    /// The worker spoke about a task that it was not asked for.
    #[error(transparent)]
    Unasked(#[from] Unasked),
    /// The worker ended the stream.
    #[error("worker {} ended the stream", .worker.short())]
    Ended {
        /// The worker.
        worker: NodeId,
    },
}

impl LinkError {
    /// Whether the worker broke the protocol, so that another attempt would end the same way.
    #[must_use]
    pub fn is_violation(&self, worker: NodeId) -> bool {
        match self {
            Self::Decode(_) | Self::OutOfPlace { .. } | Self::Version { .. } | Self::Unasked(_) => true,
            Self::Frame(error) => error.blames(worker).is_some(),
            _ => false,
        }
    }
}

impl OpenLink {
    /// Opens the stream to a worker that is connected, or about to be, and agrees on the version.
    ///
    /// # Errors
    /// When the worker is not connected, refuses, or answers nonsense.
    pub async fn open(network: &PeerToPeer, worker: NodeId, model: ModelId, d_model: usize) -> Result<Self, LinkError> {
        // When the time is up, opening says what is missing.
        let _ = tokio::time::timeout(CONNECTION_PATIENCE, connected(network, worker)).await;
        let stream = network.open(worker, StreamKind::Experts).await?;
        let (reading, writing) = tokio::io::split(stream);
        let limit = limits::answer_frame_limit(d_model);
        let mut link = Self {
            reader: FrameReader::new(reading, limit),
            writer: FrameWriter::new(writing, limits::task_frame_limit(d_model)),
            greeted: Duration::ZERO,
        };
        let d_model = u32::try_from(d_model).unwrap_or(u32::MAX);
        let hello = Hello { versions: supported(), model, engine_spec: ENGINE_SPEC, d_model };
        let asked = Instant::now();
        link.writer.write(&Frame::Hello(hello).encode()).await?;
        let reply = tokio::time::timeout(GREETING_TIMEOUT, link.reader.read()).await;
        link.greeted = asked.elapsed();
        match next_frame(worker, reply.map_err(|_| LinkError::Silent { worker })?)? {
            Frame::Welcome(welcome) if supported().contains(&welcome.version) => Ok(link),
            Frame::Welcome(welcome) => Err(LinkError::Version { worker, got: welcome.version }),
            Frame::Failure(Failure { text, .. }) => Err(LinkError::Refused { worker, text }),
            other => Err(LinkError::OutOfPlace { worker, expected: "a welcome", got: other.kind() }),
        }
    }

    /// How long the greeting took, there and back: nothing was computed for it.
    #[must_use]
    pub const fn greeted(&self) -> Duration {
        self.greeted
    }

    /// Sends what `frames` yields and hands answers to `dispatch` as those of the link `session`, until one side ends.
    ///
    /// # Errors
    /// Why it ended, when the worker ended it; nothing when `frames` was closed.
    pub async fn run(
        self,
        worker: NodeId,
        session: u64,
        mut frames: mpsc::Receiver<Vec<u8>>,
        dispatch: &Arc<Dispatch>,
    ) -> Result<(), LinkError> {
        let Self { mut reader, mut writer, .. } = self;
        let send = async {
            while let Some(frame) = frames.recv().await {
                writer.write(&frame).await?;
            }
            Ok(())
        };
        let receive = async {
            loop {
                match next_frame(worker, reader.read().await)? {
                    Frame::Answer(answer) => dispatch.answered(worker, session, answer)?,
                    Frame::Failure(failure) => match failure.task {
                        Some(task) => dispatch.refused(worker, session, task, &failure)?,
                        None => return Err(LinkError::Refused { worker, text: failure.text }),
                    },
                    other => {
                        return Err(LinkError::OutOfPlace { worker, expected: "an answer", got: other.kind() });
                    }
                }
            }
        };
        tokio::select! {
            sent = send => sent,
            received = receive => received,
        }
    }
}

async fn connected(network: &PeerToPeer, worker: NodeId) {
    while network.path(worker).is_none() {
        tokio::time::sleep(CONNECTION_LOOK).await;
    }
}

fn next_frame(worker: NodeId, read: Result<Option<Vec<u8>>, FrameError>) -> Result<Frame, LinkError> {
    let payload = read?.ok_or(LinkError::Ended { worker })?;
    Ok(Frame::decode(&payload)?)
}
