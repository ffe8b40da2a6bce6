//! What a link may take.

use std::time::Duration;

/// Bytes of the first frame of a connection, which comes from anybody who has a key: an agreement is below 1 KiB.
pub const MAX_HELLO_BYTES: usize = 16 << 10;

/// Bytes of any other frame. Masks are made in messages of 192 MiB, but those of one operation stay together: attention's
/// scores of eight prompts of 64 rows with four heads take 71 MB. Doubling it doubles what a peer can make this node hold.
pub const MAX_FRAME_BYTES: usize = 256 << 20;

/// Bytes that wait in one direction of one link before whoever adds to them has to wait. Never less than one frame.
pub const MAX_QUEUED_BYTES: usize = MAX_FRAME_BYTES;

/// Frames that wait in one direction of one link. Parties go in step, so more than a few mean a peer that runs ahead.
pub const MAX_QUEUED_FRAMES: usize = 64;

/// How long a short frame may take once it began.
pub const FRAME_TIME_LIMIT: Duration = Duration::from_secs(60);

/// Bytes a second that a long frame must come with at least: 1 Mbit/s, at which the largest takes 36 minutes. A peer that
/// trickles on purpose holds a session so long; half of it would be twice as long.
pub const SLOWEST_BYTES_PER_SECOND: usize = 125_000;

/// How long connecting, the handshake and the first frame may take together.
pub const HANDSHAKE_TIME_LIMIT: Duration = Duration::from_secs(10);

/// Handshakes at once; further connections wait in the system's queue.
pub const MAX_HANDSHAKES: usize = 32;

/// How long the last frames of a link may take to leave.
pub const CLOSE_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of the reason in an abort. What a peer says is shown to people.
pub const MAX_REASON_BYTES: usize = 512;
