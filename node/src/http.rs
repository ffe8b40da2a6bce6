//! The HTTP API: OpenAI's chat and legacy completions, models, health and metrics.
//!
//! A request passes, from the outside in: connection limits ([`connection`]), request id and count, Host and Origin
//! ([`access`]), bearer key ([`keys`]), route, body limits ([`body`]), parameters ([`parameters`]), prompt
//! ([`prompt`]), jobs ([`choices`]), and leaves as one JSON object or as server-sent events ([`stream`]). Every error,
//! whichever of these it comes from, is the same JSON object ([`error`]).
//!
//! Keys name accounts: each gets at most half of the places, and all get the model's time in fair shares. `"priority"`
//! (`"low"`, `"normal"`, `"high"`), which OpenAI's API has not, moves a request a bounded way forward or back among those
//! that wait.
//!
//! Not protected against: whoever asks without a key, on the loopback, may fill the queue.
//! Keys travel in the clear, because the listener speaks plain HTTP: off the loopback, put TLS in front of it.

mod access;
mod body;
mod choices;
mod connection;
mod endpoint;
mod error;
mod keys;
mod limits;
mod metrics;
mod parameters;
mod prompt;
mod reply;
mod request_id;
mod routes;
mod stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::completer::Completer;
use access::Access;
pub use keys::{ApiKeys, KeysError};
pub use limits::HttpLimits;
use metrics::Metrics;

/// How the API is served.
#[derive(Debug, Default)]
pub struct HttpOptions {
    /// Who may ask. `None` is allowed on the loopback only.
    pub keys: Option<ApiKeys>,
    /// Host names that requests may be addressed to, besides the loopback's and the bound address. Without a port.
    pub allowed_hosts: Vec<String>,
    /// Web origins that may ask, such as `https://chat.example`, besides the API's own.
    pub allowed_origins: Vec<String>,
    /// Bounds of time and size.
    pub limits: HttpLimits,
    /// Metrics of other parts of the node, to be shown with the API's own under `/metrics`.
    pub registry: Registry,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Someone else listens there.
    #[error("address {address} is in use; stop the program that holds it, or choose another address with --api")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refuses the address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// An address that others can reach, and no keys.
    #[error(
        "address {address} can be reached from other machines, so API keys are required; give a key file, or listen on 127.0.0.1"
    )]
    KeysRequired {
        /// The address.
        address: SocketAddr,
    },
    /// The listener broke.
    #[error("the API's listener failed: {0}")]
    Listener(#[from] io::Error),
}

impl HttpError {
    /// Whether trying again, unchanged, may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Listener(_))
    }
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// When the address is taken or refused, saying which it was and what to do.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => HttpError::InUse { address },
        _ => HttpError::Bind { address, source },
    })
}

/// Serves the API on `listener` until `shutdown` ends; then takes no more connections and gives running requests
/// [`HttpLimits::shutdown_grace`] to end. Await it to its end: dropping it cuts every connection at once.
///
/// # Errors
/// When the address needs keys and `options` has none, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    completer: Arc<dyn Completer>,
    options: HttpOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), HttpError> {
    check_keys(listener.local_addr()?, options.keys.as_ref())?;
    let HttpOptions { keys, allowed_hosts, allowed_origins, limits, mut registry } = options;
    let metrics = Metrics::register(&mut registry);
    let access = Access { keys, allowed_hosts, allowed_origins };
    let api =
        Api { completer, limits, metrics, registry, access, preparing: Arc::new(Semaphore::new(limits.preparing)) };
    connection::serve(listener, routes::router(Arc::new(api)), limits, shutdown).await;
    Ok(())
}

/// Whether the API may listen on `address` with these keys: on any address but loopback it needs some.
///
/// # Errors
/// [`HttpError::KeysRequired`].
pub fn check_keys(address: SocketAddr, keys: Option<&ApiKeys>) -> Result<(), HttpError> {
    if keys.is_none() && !address.ip().to_canonical().is_loopback() {
        return Err(HttpError::KeysRequired { address });
    }
    Ok(())
}

/// What every handler sees.
struct Api {
    completer: Arc<dyn Completer>,
    limits: HttpLimits,
    metrics: Metrics,
    registry: Registry,
    access: Access,
    /// Bounds the prompts that are rendered and tokenized at once.
    preparing: Arc<Semaphore>,
}
