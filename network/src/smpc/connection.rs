//! From an address to a link, and from a listener to links.

use std::io;
use std::sync::Arc;

use neuro_primitives::{NodeId, NodeKey};
use tokio::io::split;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, FrameFault, Order, SessionId};
use super::limits;
use super::link::{Incipient, Link};
use crate::control::limits::ACCEPT_PAUSE;
use crate::frames::FrameError;
use crate::tls::{self, TlsError};

/// What both sides say that they speak.
const ALPN: &[u8] = b"neuro-smpc/1";

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// It took too long.
    #[error("{address} did not answer within {} ms", limits::HANDSHAKE_TIME_LIMIT.as_millis())]
    Silent {
        /// Where.
        address: String,
    },
    /// Somebody else is there, or no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The first frame is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame is not a first one.
    #[error(transparent)]
    Fault(#[from] FrameFault),
    /// The connection ended before it began.
    #[error("the connection ended before it began")]
    Ended,
}

/// A link that somebody else began, and its first frame.
pub struct Incoming {
    /// Who proved to be there.
    pub peer: NodeId,
    /// The link.
    pub link: Link,
    /// What came first.
    pub first: Frame,
}

/// Connects to `peer` at `address`, for one session.
///
/// # Errors
/// When nobody, or somebody else, is there.
pub async fn connect(key: &NodeKey, peer: NodeId, address: &str, session: SessionId) -> Result<Link, ConnectError> {
    let connecting = async {
        let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut config = tls::client(key, peer)?.as_ref().clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(tls::server_name()?, stream).await.map_err(TlsError::of_handshake)?;
        Ok(Link::over(stream, peer, session))
    };
    let silent = || ConnectError::Silent { address: address.to_owned() };
    timeout(limits::HANDSHAKE_TIME_LIMIT, connecting).await.unwrap_or_else(|_| Err(silent()))
}

/// Accepts connections until `stop`, and hands on those that have shaken hands and said something.
///
/// # Errors
/// Only by a bug of ours: a key that TLS refuses.
pub async fn serve(
    listener: TcpListener,
    key: &NodeKey,
    incoming: mpsc::Sender<Incoming>,
    stop: CancellationToken,
) -> Result<(), TlsError> {
    let mut config = tls::server(key)?.as_ref().clone();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let permits = Arc::new(Semaphore::new(limits::MAX_HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (acceptor, incoming) = (acceptor.clone(), incoming.clone());
        handshakes.spawn(async move {
            let greeting = timeout(limits::HANDSHAKE_TIME_LIMIT, greet(acceptor, stream)).await;
            drop(permit);
            match greeting {
                Ok(Ok(link)) => drop(incoming.send(link).await),
                Ok(Err(error)) => tracing::debug!(%error, "a connection was not admitted"),
                Err(_) => tracing::debug!("a connection said nothing"),
            }
        });
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn greet(acceptor: TlsAcceptor, stream: TcpStream) -> Result<Incoming, ConnectError> {
    stream.set_nodelay(true).map_err(TlsError::Handshake)?;
    let stream = acceptor.accept(stream).await.map_err(TlsError::of_handshake)?;
    let peer = tls::peer_of(stream.get_ref().1)?;
    let (read, write) = split(stream);
    let mut incipient = Incipient::new(read, limits::MAX_HELLO_BYTES);
    let bytes = incipient.reader.read().await?.ok_or(ConnectError::Ended)?;
    let mut received = Order::new(Frame::decode(&bytes)?.session);
    let first = received.admit(&bytes)?;
    Ok(Incoming { peer, link: Link::assemble(incipient, write, peer, received, limits::FRAME_TIME_LIMIT), first })
}
