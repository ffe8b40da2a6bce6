//! Every bound of the peer-to-peer side, with its reason.

use std::time::Duration;

/// Connections that arrived and have not finished their handshake. A handshake takes 2-3 round trips, so 64 admit
/// hundreds of workers per second; strangers that stall hold a slot for [`HANDSHAKE_TIME_LIMIT`] at most.
pub const MAX_PENDING_INCOMING: u32 = 64;

/// Connections that this node is setting up itself.
pub const MAX_PENDING_OUTGOING: u32 = 64;

/// Connections to one peer: one per transport, and the two that exist for a moment when both sides dial at once.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 4;

/// Connections in all. Each costs about 100 KiB of buffers: 1,024 cost 100 MiB, and an island has far fewer workers.
pub const MAX_CONNECTIONS: u32 = 1_024;

/// Streams that one connection may have opened towards this node at a time. A worker needs one for control and one
/// per orchestrator's caller; what exceeds the bound is reset at once.
pub const MAX_INBOUND_STREAMS_PER_CONNECTION: usize = 32;

/// Streams of one connection that multiplexing admits at all, those of libp2p's own protocols and both directions
/// included.
pub const MAX_STREAMS_PER_CONNECTION: usize = 256;

/// Streams of one connection whose protocol is being agreed on.
pub const MAX_NEGOTIATING_STREAMS: usize = 32;

/// Opened streams that the owner of [`super::Incoming`] has not taken yet. A hundred workers may come back at once
/// after an orchestrator's restart; what exceeds the bound is reset, and the peer tries again.
pub const INCOMING_STREAMS: usize = 256;

/// Events that wait for the owner of [`super::Incoming`]. Later ones wait in the backlog, which is bounded by the
/// number of connections.
pub const INCOMING_EVENTS: usize = 256;

/// Requests of this node's own tasks that wait for the swarm.
pub const COMMANDS: usize = 64;

/// Addresses tried for one peer, names resolved: a machine's few interfaces on two transports.
pub const MAX_DIAL_ADDRESSES: usize = 16;

/// From the first packet of a connection to an authenticated, multiplexed one. A handshake over a 500 ms path takes
/// 2 s; twice the limit lets a stranger hold a slot twice as long.
pub const HANDSHAKE_TIME_LIMIT: Duration = Duration::from_secs(10);

/// From the request for a stream to its opening. Opening costs no round trip; this only bounds a connection that hangs.
pub const STREAM_OPEN_TIME_LIMIT: Duration = Duration::from_secs(10);

/// From asking to listen to the first address that answers.
pub const LISTEN_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long a connection without any open stream is kept. Streams of ours live as long as a worker's service, so this
/// only tidies up; it is long because a worker may load for minutes before its first task.
pub const IDLE_CONNECTION_TIME_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Time from one answered ping to the next. With [`PING_TIME_LIMIT`] and the one silent failure that libp2p allows, a
/// dead path is noticed after 3 + 4 + 3 + 4 = 14 s.
pub const PING_INTERVAL: Duration = Duration::from_secs(3);

/// Time for the answer to a ping. It travels between bulk data: 4 MiB of socket buffer take 3.4 s at 10 Mbit/s.
pub const PING_TIME_LIMIT: Duration = Duration::from_secs(4);

/// Time without a single packet after which a QUIC path is dead; both sides send one every third of it.
pub const QUIC_IDLE_TIME_LIMIT: Duration = Duration::from_secs(15);

/// Time for open connections to say goodbye when the node stops.
pub const SHUTDOWN_TIME_LIMIT: Duration = Duration::from_secs(1);
