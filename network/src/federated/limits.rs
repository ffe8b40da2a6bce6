//! Every bound of the federated services that differs from those of the control services, with its reason.

use std::time::Duration;

use neuro_protocol::limits::CHUNK_BYTES;

use crate::control::limits::MESSAGE_OVERHEAD_BYTES;

/// Bytes of one announcement: a cohort of 4,096 rows of 192 bytes has 0.8 MB, an inbox of 1,600 boxes 0.95 MB.
pub const MAX_ANNOUNCEMENT_BYTES: usize = 1 << 20;

/// Bytes of one message of a participant: shares for 1,600 neighbours with Feldman commitments have 0.35 MB.
pub const MAX_PARTICIPANT_MESSAGE_BYTES: usize = 512 << 10;

/// Bytes of one request: a participant's message, or a chunk of a payload.
pub const MAX_REQUEST_BYTES: usize = MAX_PARTICIPANT_MESSAGE_BYTES + MESSAGE_OVERHEAD_BYTES;

/// Bytes of a roster: 65,536 members of 34 bytes, and its head.
pub const MAX_ROSTER_BYTES: usize = 65_536 * 34 + 4_096;

/// Bytes of a status: 1,000 rounds in a line and one hundred stragglers take 0.3 MB.
pub const MAX_STATUS_BYTES: usize = 4 << 20;

/// Participants that attend at a time: as many connections as there may be.
pub const MAX_ATTENDING: usize = crate::control::limits::MAX_CONNECTIONS;

/// Conversations of one node at a time. A second one would be a second participant with the same keys.
pub const CONVERSATIONS_PER_NODE: usize = 1;

/// Uploads of one node at a time: it has one payload in a cohort.
pub const UPLOADS_PER_NODE: usize = 1;

/// Time for the next chunk of an upload. 128 KiB within it are 4 KB/s: slower lines do not finish a round.
pub const CHUNK_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Bytes of one chunk with its frame.
pub const MAX_CHUNK_MESSAGE_BYTES: usize = CHUNK_BYTES + MESSAGE_OVERHEAD_BYTES;
