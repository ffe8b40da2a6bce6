//! Every bound of the control services, with its reason.

use std::time::Duration;

/// TLS handshakes at a time, over all addresses. One costs 2 ms of computing and a few tens of KiB.
pub const MAX_HANDSHAKES: usize = 128;

/// TLS handshakes at a time from one address, so that one stranger cannot hold all of them. A rack of workers behind
/// one address retries.
pub const MAX_HANDSHAKES_PER_ADDRESS: usize = 32;

/// From the arrival of a connection to the first byte of HTTP/2. Over a 500 ms path a handshake takes 1.5 s.
pub const HANDSHAKE_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Connections at a time, as many as libp2p admits.
pub const MAX_CONNECTIONS: usize = 1_024;

/// Connections of one node: a worker's, its successor's after a broken line, and a few commands of the same machine.
pub const MAX_CONNECTIONS_PER_NODE: usize = 8;

/// Accepted connections that wait for the HTTP/2 server's task, which takes them at once.
pub const ACCEPTED_CONNECTIONS: usize = 16;

/// Calls of one connection at a time: a worker attends and fetches a few tensors.
pub const MAX_CALLS_PER_CONNECTION: u32 = 32;

/// Bytes of one request, the largest being a report of all experts held: 24 bytes each at most, so 40,000 experts.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Bytes of one instruction, which lists experts as well.
pub const MAX_INSTRUCTION_BYTES: usize = 1 << 20;

/// Bytes of a status: 1,000 workers and counts of 100 layers of 512 experts take 1 MB.
pub const MAX_STATUS_BYTES: usize = 8 << 20;

/// Bytes of an answer about credit: 1,000 workers and as many teams take 400 KB.
pub const MAX_CREDIT_BYTES: usize = 1 << 20;

/// What a message may have beside its large field.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64 << 10;

/// Bytes of request headers. Ours are a path and a few words.
pub const MAX_HEADER_BYTES: u32 = 8 << 10;

/// Bytes under way per call without the receiver's consent: eight chunks. Fetching over 100 ms then reaches 10 MB/s;
/// doubling it doubles what a slow reader makes the other side buffer.
pub const CALL_WINDOW_BYTES: u32 = 1 << 20;

/// The same per connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Time for a call's answer to begin. Joining may send a manifest of many megabytes.
pub const CALL_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Silence after which a connection is asked whether it lives. With [`KEEP_ALIVE_TIME_LIMIT`] a dead orchestrator or
/// worker is noticed within 15 s.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Time for the answer.
pub const KEEP_ALIVE_TIME_LIMIT: Duration = Duration::from_secs(10);

/// Time for calls under way to end when the node stops; then connections are cut.
pub const SHUTDOWN_TIME_LIMIT: Duration = Duration::from_secs(2);

/// Pause after the operating system failed to accept a connection, mostly for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
