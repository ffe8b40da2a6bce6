//! Bounds of the HTTP API, each with its reason.

use std::time::Duration;

/// A 128k-token prompt as token ids is about 1 MiB of JSON, as text less. Doubled, each connection may pin twice this.
pub const BODY_BYTES: usize = 4 * 1024 * 1024;

/// All headers of a request. Browsers and SDKs send 1-2 KiB.
pub const HEADER_BYTES: usize = 32 * 1024;

/// From a connection's readiness for a request to the end of its headers; so also how long an idle connection is kept.
/// Shorter, and pooled clients meet closed connections; longer, and half-open ones pile up.
pub const HEADER_READ_LIMIT: Duration = Duration::from_secs(30);

/// From the end of the headers to the end of the body: 4 MiB at 140 kB/s.
pub const BODY_READ_LIMIT: Duration = Duration::from_secs(30);

/// How long a reader may take nothing before its connection is cut. As long as the job runner waits for a reader.
pub const WRITE_STALL_LIMIT: Duration = crate::jobs::STALLED_READER_LIMIT;

/// Connections at once: far above slots and queue, far below the usual 1024 open files of a process.
pub const CONNECTIONS: usize = 512;

/// Between two comments on a silent stream. Proxies cut at 30-60 s of silence.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What running requests get at shutdown; service managers kill after 30-90 s.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Prompts tokenized at once. It is arithmetic: more than a few only slow the model down.
pub const PREPARING: usize = 2;

/// Choices of one request, over all its prompts. Each is a job of its own.
pub const CHOICES: usize = 16;

/// Alternatives shown per token, as OpenAI.
pub const TOP_LOGPROBS: u64 = 20;

/// Stop strings, as OpenAI.
pub const STOP_STRINGS: usize = 4;

/// Bytes of one stop string: text this long is held back while it may still become one.
pub const STOP_STRING_BYTES: usize = 1_024;

/// Bytes of a request id that is echoed.
pub const REQUEST_ID_BYTES: usize = 128;

/// What a deployment may change; the defaults are this module's constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Time for a request's headers, and for a connection between requests.
    pub header_read: Duration,
    /// Time for a request's body.
    pub body_read: Duration,
    /// Time that a reader may take nothing.
    pub write_stall: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Time between two comments on a silent stream.
    pub keep_alive: Duration,
    /// Time for running requests at shutdown.
    pub shutdown_grace: Duration,
    /// Prompts tokenized at once.
    pub preparing: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES,
            header_read: HEADER_READ_LIMIT,
            body_read: BODY_READ_LIMIT,
            write_stall: WRITE_STALL_LIMIT,
            connections: CONNECTIONS,
            keep_alive: KEEP_ALIVE,
            shutdown_grace: SHUTDOWN_GRACE,
            preparing: PREPARING,
        }
    }
}
