//! Length-prefixed frames over a byte stream: `u32` little-endian length, then that many bytes.
//!
//! The reader trusts nothing: it refuses a length over its limit before it allocates, allocates as bytes arrive and
//! never because a peer announced many, and gives a frame a limited time once its first byte came, which may grow with
//! its length. Between frames it
//! waits for ever: a stream may be quiet for hours, and dead peers are noticed below. The writer sends each frame in
//! one write, so that a small frame is one packet.

use std::io;
use std::time::Duration;

use neuro_primitives::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// How long a frame may take once it began. The largest usual frame, 512 rows of width 4,096, has 8 MiB and takes 7 s
/// at 10 Mbit/s. Doubling it lets a peer that trickles hold a worker's buffers twice as long.
pub const FRAME_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Bytes of the length in front of a frame.
pub const HEADER_BYTES: usize = 4;

/// What is allocated for a frame before its first byte came; from then on never more than came already.
const FIRST_ALLOCATION_BYTES: usize = 64 << 10;

/// A writer's buffer above this size is given back after the frame: one prefill must not pin 8 MiB per stream.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Why a frame could not be read or written. After any of these the stream is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The announced or given length exceeds the limit.
    #[error("expected a frame of at most {limit} bytes, got {length}")]
    TooLong {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A frame without content, which no protocol of ours has.
    #[error("expected a frame with content, got an empty one")]
    Empty,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame: expected {expected} bytes, got {got}")]
    Truncated {
        /// Bytes of the frame with its length; of the length alone when not even that came.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The frame took too long.
    #[error("a frame took longer than {} ms", limit.as_millis())]
    Slow {
        /// The time that a frame may take.
        limit: Duration,
    },
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Io(#[from] io::Error),
    /// An earlier read or write on this stream failed or was abandoned half-way.
    #[error("the stream was given up after an earlier failure")]
    GivenUp,
}

impl FrameError {
    /// Whether the same exchange may succeed over a new stream.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::Slow { .. } | Self::Io(_) | Self::GivenUp)
    }

    /// `peer`, the other end of the stream, if this error is its doing and not the network's or ours. A stream that
    /// breaks or crawls proves nothing.
    #[must_use]
    pub const fn blames(&self, peer: NodeId) -> Option<NodeId> {
        match self {
            Self::TooLong { .. } | Self::Empty => Some(peer),
            Self::Truncated { .. } | Self::Slow { .. } | Self::Io(_) | Self::GivenUp => None,
        }
    }
}

/// How long a frame may take.
#[derive(Debug, Clone, Copy)]
struct TimeLimit {
    least: Duration,
    /// Bytes for which it may take a second more.
    pace: Option<usize>,
}

impl TimeLimit {
    const fn new(least: Duration) -> Self {
        Self { least, pace: None }
    }

    /// That of a frame of `length` bytes.
    const fn of(self, length: usize) -> Duration {
        match self.pace {
            Some(pace) => self.least.saturating_add(Duration::from_secs((length / pace) as u64)),
            None => self.least,
        }
    }
}

/// Reads frames. `read` may be dropped at any await (in a `select!`, say) and called again: nothing is lost.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    limit: usize,
    time_limit: TimeLimit,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    payload: Vec<u8>,
    began: Option<Instant>,
    given_up: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `limit` bytes from `stream`.
    pub const fn new(stream: R, limit: usize) -> Self {
        Self {
            stream,
            limit,
            time_limit: TimeLimit::new(FRAME_TIME_LIMIT),
            header: [0; HEADER_BYTES],
            header_filled: 0,
            payload: Vec::new(),
            began: None,
            given_up: false,
        }
    }

    /// The same with another time limit per frame.
    #[must_use]
    pub const fn with_time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit.least = time_limit;
        self
    }

    /// The same with a second more for every so many bytes of a frame; `bytes_per_second` is not zero.
    #[must_use]
    pub const fn with_pace(mut self, bytes_per_second: usize) -> Self {
        self.time_limit.pace = Some(bytes_per_second);
        self
    }

    /// Allows longer or shorter frames from the next one on: the limit often depends on the first exchange.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next frame's content, or `None` when the stream ended between frames.
    ///
    /// # Errors
    /// See [`FrameError`]; the stream is then of no further use.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        if self.given_up {
            return Err(FrameError::GivenUp);
        }
        let outcome = self.read_frame().await;
        self.given_up = outcome.is_err();
        outcome
    }

    async fn read_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        while self.header_filled < HEADER_BYTES {
            let count = self.read_header().await?;
            if count == 0 {
                return self.ended_in_header();
            }
            self.header_filled += count;
            self.began.get_or_insert_with(Instant::now);
        }
        let length = self.announced_length()?;
        while self.payload.len() < length {
            self.read_payload(length).await?;
        }
        (self.header_filled, self.began) = (0, None);
        Ok(Some(std::mem::take(&mut self.payload)))
    }

    async fn read_header(&mut self) -> Result<usize, FrameError> {
        let read = self.stream.read(&mut self.header[self.header_filled..]);
        within(self.began, self.time_limit.of(0), read).await
    }

    const fn ended_in_header(&self) -> Result<Option<Vec<u8>>, FrameError> {
        match self.header_filled {
            0 => Ok(None),
            got => Err(FrameError::Truncated { expected: HEADER_BYTES, got }),
        }
    }

    const fn announced_length(&self) -> Result<usize, FrameError> {
        let length = u32::from_le_bytes(self.header) as usize;
        match length {
            0 => Err(FrameError::Empty),
            _ if length > self.limit => Err(FrameError::TooLong { length, limit: self.limit }),
            _ => Ok(length),
        }
    }

    /// Reads some of the payload, which has `length` bytes in all.
    async fn read_payload(&mut self, length: usize) -> Result<(), FrameError> {
        let here = self.payload.len();
        self.payload.reserve_exact((length - here).min(here.max(FIRST_ALLOCATION_BYTES)));
        let mut rest = (&mut self.stream).take((length - here) as u64);
        match within(self.began, self.time_limit.of(length), rest.read_buf(&mut self.payload)).await? {
            0 => Err(FrameError::Truncated { expected: HEADER_BYTES + length, got: HEADER_BYTES + here }),
            _ => Ok(()),
        }
    }
}

/// Runs `action`; when a frame `began`, only until its time is up.
async fn within<T>(
    began: Option<Instant>,
    limit: Duration,
    action: impl Future<Output = io::Result<T>>,
) -> Result<T, FrameError> {
    let Some(began) = began else { return Ok(action.await?) };
    match timeout_at(began + limit, action).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(FrameError::Slow { limit }),
    }
}

/// Writes frames, each in one write. A `write` that is dropped half-way gives the stream up, because the rest of its
/// frame will never come.
#[derive(Debug)]
pub struct FrameWriter<W> {
    stream: W,
    limit: usize,
    time_limit: TimeLimit,
    buffer: Vec<u8>,
    given_up: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames of at most `limit` bytes to `stream`.
    pub const fn new(stream: W, limit: usize) -> Self {
        Self { stream, limit, time_limit: TimeLimit::new(FRAME_TIME_LIMIT), buffer: Vec::new(), given_up: false }
    }

    /// The same with another time limit per frame.
    #[must_use]
    pub const fn with_time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit.least = time_limit;
        self
    }

    /// The same with a second more for every so many bytes of a frame; `bytes_per_second` is not zero.
    #[must_use]
    pub const fn with_pace(mut self, bytes_per_second: usize) -> Self {
        self.time_limit.pace = Some(bytes_per_second);
        self
    }

    /// Allows longer or shorter frames from the next one on.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Writes one frame and flushes it.
    ///
    /// # Errors
    /// When `payload` is empty or too long, which leaves the stream usable; or when the stream fails or takes no bytes
    /// for the time of a frame, which does not.
    pub async fn write(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        if self.given_up {
            return Err(FrameError::GivenUp);
        }
        self.lay_out(payload)?;
        self.given_up = true;
        let Self { stream, buffer, .. } = self;
        let write = async {
            stream.write_all(buffer).await?;
            stream.flush().await
        };
        within(Some(Instant::now()), self.time_limit.of(payload.len()), write).await?;
        self.given_up = false;
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Tells the reader that no frame will follow.
    ///
    /// # Errors
    /// When the stream fails.
    pub async fn finish(&mut self) -> Result<(), FrameError> {
        self.given_up = true;
        within(Some(Instant::now()), self.time_limit.of(0), self.stream.shutdown()).await
    }

    fn lay_out(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let too_long = || FrameError::TooLong { length: payload.len(), limit: self.limit };
        if payload.is_empty() {
            return Err(FrameError::Empty);
        }
        if payload.len() > self.limit {
            return Err(too_long());
        }
        let length = u32::try_from(payload.len()).map_err(|_| too_long())?;
        self.buffer.clear();
        self.buffer.reserve_exact(HEADER_BYTES + payload.len());
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
