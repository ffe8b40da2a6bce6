//! A connection that proved its peer's key, whatever it runs over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use neuro_primitives::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::slots::Slot;

/// Any two-way stream of bytes.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Whom a call came from; tonic hands it to every handler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) NodeId);

/// An accepted connection. It ends when its peer ends it, or when the server is cut.
pub(super) struct Connection {
    stream: Box<dyn Duplex>,
    peer: NodeId,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _slot: Slot<NodeId>,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Duplex>, peer: NodeId, cut: CancellationToken, slot: Slot<NodeId>) -> Self {
        Self { stream, peer, cut: Box::pin(cut.cancelled_owned()), _slot: slot }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
