//! Connections: accepted, bounded in number, size and time, and ended at shutdown.
//!
//! What the HTTP library refuses before a request exists (a malformed or an oversized head) it answers with a bare
//! status; everything later gets the API's error object.

mod stall;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::access::Reached;
use super::limits::{HEADER_BYTES, HttpLimits};
use stall::StallGuard;

/// Connections beyond the limit that are told so at once; further ones are only closed. Each lives for
/// [`REFUSAL_LIMIT`] at most.
const REFUSALS: usize = 64;

/// Time to read the refusal.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// What a refused connection reads. Written by hand: there is no request to answer yet.
const REFUSAL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
    r#"{"error":{"message":"too many connections","type":"server_error","param":null,"code":"too_many_connections"}}"#,
);

/// Pause after the operating system had no file or memory for a connection; without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ends connections: first kindly (no further requests), then at once.
#[derive(Clone, Default)]
struct Ending {
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Serves `router` until `shutdown` ends and the connections have ended or been cut.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    shutdown: impl Future<Output = ()>,
) {
    let tasks = TaskTracker::new();
    let ending = Ending::default();
    // When this future is dropped, its connections must not live on.
    let _cut_on_drop = ending.cut.clone().drop_guard();
    let (places, refusals) = (Arc::new(Semaphore::new(limits.connections)), Arc::new(Semaphore::new(REFUSALS)));
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            stream = accept(&listener) => stream,
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let attended = attend(stream, router.clone(), limits, ending.clone());
            tasks.spawn(async move {
                attended.await;
                drop(place);
            });
        } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
            tasks.spawn(async move {
                let _ = tokio::time::timeout(REFUSAL_LIMIT, refuse(stream)).await;
                drop(place);
            });
        }
    }
    drop(listener);
    end(&tasks, &ending, limits.shutdown_grace).await;
}

async fn end(tasks: &TaskTracker, ending: &Ending, grace: Duration) {
    tasks.close();
    ending.stop.cancel();
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections cut at shutdown");
        ending.cut.cancel();
        tasks.wait().await;
    }
}

/// The next connection, however many attempts fail.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection to its end.
async fn attend(stream: TcpStream, router: Router, limits: HttpLimits, ending: Ending) {
    let Ok(address) = stream.local_addr() else { return };
    // Tokens are small writes that must leave at once.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: Request<_>| {
        request.extensions_mut().insert(Reached(address.ip()));
        request.map(Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_read).max_buf_size(HEADER_BYTES);
    let io = TokioIo::new(StallGuard::new(stream, limits.write_stall));
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
    let mut stopping = false;
    let outcome = loop {
        tokio::select! {
            outcome = connection.as_mut() => break outcome,
            () = ending.cut.cancelled() => return,
            () = ending.stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("connection ended: {error}");
    }
}

/// Says that there are too many connections. Reads what the client sends meanwhile: closing with unread bytes would
/// reset the connection and could take the answer with it.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(REFUSAL.as_bytes()).await?;
    stream.shutdown().await?;
    let mut sink = [0; 1_024];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}
