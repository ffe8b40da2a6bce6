//! When bytes last moved: a slow link is not a silent one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// When bytes last moved in one direction of a link.
pub(super) struct Movement {
    began: Instant,
    /// Milliseconds since then.
    last_ms: AtomicU64,
}

impl Movement {
    /// Of a link that begins.
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), last_ms: AtomicU64::new(0) })
    }

    fn note(&self) {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(passed, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// What comes of `action`; nothing when no byte has moved for `deadline`, counted from now on.
    pub(super) async fn unless_still<T>(&self, deadline: Duration, action: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(action);
        let mut until = Instant::now() + deadline;
        loop {
            if let Ok(outcome) = timeout_at(until, &mut action).await {
                return Some(outcome);
            }
            let later = self.last() + deadline;
            if later <= until {
                return None;
            }
            until = later;
        }
    }
}

/// One half of a stream, whose bytes are noted.
pub(super) struct Noted<S> {
    stream: S,
    movement: Arc<Movement>,
}

impl<S> Noted<S> {
    pub(super) const fn new(stream: S, movement: Arc<Movement>) -> Self {
        Self { stream, movement }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buf);
        if buf.filled().len() > before {
            self.movement.note();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, buf);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.movement.note();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
