//! One stream to one peer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// When a connection last delivered bytes to one of our streams: the alibi of a peer whose pong is stuck behind bulk
/// data.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    last_read_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last_read_ms: AtomicU64::new(0) }
    }

    /// The time since bytes last came, or since the connection began.
    pub(super) fn quiet_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_read_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last)
    }

    fn note_read(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_read_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// A bidirectional stream of bytes to one peer, encrypted and authenticated by the connection below.
///
/// Opening it costs no round trip: the protocol's name travels with the first bytes. So a peer that does not speak the
/// protocol shows at the first read. Dropping a stream resets it; `shutdown` ends it properly.
#[derive(Debug)]
pub struct PeerStream {
    inner: Compat<Stream>,
    activity: Arc<Activity>,
    /// Counts the streams that the peer has open on its connection.
    _share: Option<Arc<()>>,
}

impl PeerStream {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>, share: Option<Arc<()>>) -> Self {
        Self { inner: stream.compat(), activity, _share: share }
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.note_read();
        }
        outcome
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
