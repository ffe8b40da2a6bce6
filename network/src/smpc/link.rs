//! One connection of one session: queues, and the tasks that empty them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use neuro_primitives::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::frame::{Ending, Frame, FrameFault, FrameKind, HEADER_BYTES, Order, SessionId};
use super::limits;
use super::movement::{Movement, Noted};
use crate::frames::{FrameError, FrameReader, FrameWriter};

/// Why a link is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection is gone.
    #[error("the connection was lost")]
    Lost,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(Arc<FrameError>),
    /// No message came, or left, in time.
    #[error("no message within {} ms", deadline.as_millis())]
    Late {
        /// How long it was waited, after the last byte.
        deadline: Duration,
    },
    /// More than a frame may have.
    #[error("a message of {bytes} bytes is more than the {} that a link carries", limits::MAX_FRAME_BYTES)]
    TooLong {
        /// With its head.
        bytes: usize,
    },
    /// This node stops.
    #[error("this node is stopping")]
    Stopped,
    /// The peer ended the session.
    #[error("it ended the session: {reason}")]
    Aborted {
        /// What it said, without control characters.
        reason: String,
        /// Whether another session may go well, as it says.
        ending: Ending,
    },
    /// Not the frame that is due.
    #[error(transparent)]
    Fault(#[from] FrameFault),
}

impl LinkError {
    /// Why a frame did not come: what came too slowly is late, and no connection was lost.
    fn of_frame(error: FrameError) -> Self {
        match error {
            FrameError::Slow { limit } => Self::Late { deadline: limit },
            error => Self::Broken(Arc::new(error)),
        }
    }
}

/// Bytes under way, and the room that they take.
type Queued = (Vec<u8>, OwnedSemaphorePermit);

/// What the reader hands over: a frame's bytes, or why there are no more.
type Arrival = Result<Queued, FrameError>;

/// One end of a connection between two nodes, for one session.
pub struct Link {
    peer: NodeId,
    outgoing: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    incoming: mpsc::Receiver<Arrival>,
    sent: Order,
    received: Order,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
    cut: CancellationToken,
    came: Arc<Movement>,
    went: Arc<Movement>,
    /// How long a frame took to leave, where that was too long.
    gave_up: Arc<OnceLock<Duration>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    /// A link over `stream`, whose other end has proved to be `peer`. Spawns two tasks on the current runtime.
    #[must_use]
    pub fn over<S>(stream: S, peer: NodeId, session: SessionId) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self::within(stream, peer, session, limits::FRAME_TIME_LIMIT)
    }

    /// As [`Self::over`], where a short frame may take `time`.
    fn within<S>(stream: S, peer: NodeId, session: SessionId, time: Duration) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        let incipient = Incipient::new(read, limits::MAX_FRAME_BYTES);
        Self::assemble(incipient, write, peer, Order::new(session), time)
    }

    /// As [`Self::within`], of a stream of which frames were `received`.
    pub(super) fn assemble<S>(
        incipient: Incipient<S>,
        write: WriteHalf<S>,
        peer: NodeId,
        received: Order,
        time: Duration,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let Incipient { mut reader, came } = incipient;
        reader.set_limit(limits::MAX_FRAME_BYTES);
        let reader = reader.with_time_limit(time).with_pace(limits::SLOWEST_BYTES_PER_SECOND);
        let went = Movement::begin();
        let writer = FrameWriter::new(Noted::new(write, Arc::clone(&went)), limits::MAX_FRAME_BYTES)
            .with_time_limit(time)
            .with_pace(limits::SLOWEST_BYTES_PER_SECOND);
        let gave_up = Arc::new(OnceLock::new());
        let (outgoing, to_write) = mpsc::channel(limits::MAX_QUEUED_FRAMES);
        let (arrived, incoming) = mpsc::channel(limits::MAX_QUEUED_FRAMES);
        Self {
            peer,
            outgoing,
            room: Arc::new(Semaphore::new(limits::MAX_QUEUED_BYTES)),
            incoming,
            sent: Order::new(received.session()),
            received,
            reader: tokio::spawn(read_frames(reader, arrived)),
            writer: tokio::spawn(write_frames(writer, to_write, Arc::clone(&gave_up))),
            cut: CancellationToken::new(),
            came,
            went,
            gave_up,
        }
    }

    /// The same, waiting no longer once `cut` is cancelled.
    #[must_use]
    pub fn until(mut self, cut: CancellationToken) -> Self {
        self.cut = cut;
        self
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn peer(&self) -> NodeId {
        self.peer
    }

    /// Whether the other end has ended the connection; what it sent before may still be received.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.reader.is_finished()
    }

    /// What was sent.
    #[must_use]
    pub const fn sent(&self) -> &Order {
        &self.sent
    }

    /// What was received.
    #[must_use]
    pub const fn received(&self) -> &Order {
        &self.received
    }

    /// Puts a message into the queue. Waits only while that is full, until `deadline` has passed without a byte that left.
    ///
    /// # Errors
    /// A connection that is gone; a queue that stays full; a message that is longer than a frame may be.
    pub async fn send(&mut self, step: u64, part: u32, body: Vec<u8>, deadline: Duration) -> Result<(), LinkError> {
        let bytes = HEADER_BYTES + body.len();
        if bytes > limits::MAX_FRAME_BYTES {
            return Err(LinkError::TooLong { bytes });
        }
        let bytes = self.sent.next_frame(FrameKind::Message, step, part, body);
        self.queue(bytes, deadline).await
    }

    /// Puts a message into the queue if nothing waits there, and waits for nothing. Whether it did: what is only news by
    /// now shall not take the room of what must arrive.
    ///
    /// # Errors
    /// A connection that is gone; a message that is longer than a frame may be.
    pub fn try_send(&mut self, step: u64, part: u32, body: Vec<u8>) -> Result<bool, LinkError> {
        let bytes = HEADER_BYTES + body.len();
        if bytes > limits::MAX_FRAME_BYTES {
            return Err(LinkError::TooLong { bytes });
        }
        if self.outgoing.is_closed() {
            return Err(self.broken());
        }
        if self.outgoing.capacity() < self.outgoing.max_capacity() {
            return Ok(false);
        }
        let Some(room) = try_room_for(&self.room, bytes) else { return Ok(false) };
        let bytes = self.sent.next_frame(FrameKind::Message, step, part, body);
        self.outgoing.try_send((bytes, room)).map_err(|_| self.broken())?;
        Ok(true)
    }

    async fn queue(&self, bytes: Vec<u8>, deadline: Duration) -> Result<(), LinkError> {
        let queued = async {
            let permit = room_for(&self.room, bytes.len()).await.ok_or_else(|| self.broken())?;
            self.outgoing.send((bytes, permit)).await.map_err(|_| self.broken())
        };
        self.went.unless_still(deadline, queued).await.unwrap_or(Err(LinkError::Late { deadline }))
    }

    /// Why nothing can be sent any more.
    fn broken(&self) -> LinkError {
        self.gave_up.get().map_or(LinkError::Lost, |deadline| LinkError::Late { deadline: *deadline })
    }

    /// The next message. Waits until `deadline` has passed without a byte that came.
    ///
    /// # Errors
    /// A connection that is gone, a deadline that has passed, an abort, a frame that is not due.
    pub async fn receive(&mut self, deadline: Duration) -> Result<Frame, LinkError> {
        let arrival = tokio::select! {
            () = self.cut.cancelled() => return Err(LinkError::Stopped),
            arrival = self.came.unless_still(deadline, self.incoming.recv()) => {
                arrival.ok_or(LinkError::Late { deadline })?
            }
        };
        let (bytes, _room) = arrival.ok_or(LinkError::Lost)?.map_err(LinkError::of_frame)?;
        let frame = self.received.admit(&bytes)?;
        match frame.kind {
            FrameKind::Message => Ok(frame),
            FrameKind::Abort(ending) => Err(LinkError::Aborted { reason: readable(&frame.body), ending }),
        }
    }

    /// Sends what is queued and ends the connection.
    pub async fn close(mut self) {
        let (nobody, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.outgoing, nobody));
        if timeout(limits::CLOSE_TIME_LIMIT, &mut self.writer).await.is_err() {
            self.writer.abort();
        }
    }

    /// Says why the session is over, and ends the connection.
    pub async fn abort(mut self, ending: Ending, reason: &str) {
        self.say_end(ending, reason).await;
        self.close().await;
    }

    /// Says why the session is over, and no more.
    pub(super) async fn say_end(&mut self, ending: Ending, reason: &str) {
        let end = reason.floor_char_boundary(limits::MAX_REASON_BYTES);
        let bytes = self.sent.next_frame(FrameKind::Abort(ending), 0, 0, reason.as_bytes()[..end].to_vec());
        // Who is gone needs no reason.
        let _ = self.queue(bytes, limits::CLOSE_TIME_LIMIT).await;
    }
}

/// The side of a link that reads, before there is a link.
pub(super) struct Incipient<S> {
    pub(super) reader: FrameReader<Noted<ReadHalf<S>>>,
    came: Arc<Movement>,
}

impl<S: AsyncRead> Incipient<S> {
    /// Of a link whose first frame has `limit` bytes at most.
    pub(super) fn new(read: ReadHalf<S>, limit: usize) -> Self {
        let came = Movement::begin();
        Self { reader: FrameReader::new(Noted::new(read, Arc::clone(&came)), limit), came }
    }
}

/// Room for `bytes` in a queue; a frame above all room takes all of it.
async fn room_for(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(bytes.min(limits::MAX_QUEUED_BYTES)).ok()?;
    Arc::clone(room).acquire_many_owned(permits).await.ok()
}

/// As [`room_for`], if there is room now.
fn try_room_for(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(bytes.min(limits::MAX_QUEUED_BYTES)).ok()?;
    Arc::clone(room).try_acquire_many_owned(permits).ok()
}

/// A peer's words as people may see them.
fn readable(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(limits::MAX_REASON_BYTES)];
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).collect()
}

async fn read_frames<R: AsyncRead + Unpin>(mut reader: FrameReader<R>, arrived: mpsc::Sender<Arrival>) {
    let room = Arc::new(Semaphore::new(limits::MAX_QUEUED_BYTES));
    loop {
        let arrival = match reader.read().await {
            Ok(None) => return,
            Ok(Some(bytes)) => match room_for(&room, bytes.len()).await {
                Some(permit) => Ok((bytes, permit)),
                None => return,
            },
            Err(error) => Err(error),
        };
        let over = arrival.is_err();
        if arrived.send(arrival).await.is_err() || over {
            return;
        }
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(
    mut writer: FrameWriter<W>,
    mut queue: mpsc::Receiver<Queued>,
    gave_up: Arc<OnceLock<Duration>>,
) {
    while let Some((bytes, _room)) = queue.recv().await {
        if let Err(error) = writer.write(&bytes).await {
            if let FrameError::Slow { limit } = &error {
                gave_up.get_or_init(|| *limit);
            }
            tracing::debug!(%error, "a link broke while sending");
            return;
        }
    }
    // The peer finds the stream's end or its breaking: both are the end.
    let _ = writer.finish().await;
}

#[cfg(test)]
mod tests;
