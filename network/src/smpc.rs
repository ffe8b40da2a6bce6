//! Links of private inference: between three parties, and between a client and each of them.
//!
//! ```text
//! session thread ── send ──▶ bounded queue ──▶ writer ──▶ TLS 1.3, node keys ──▶ reader ──▶ bounded queue ── receive ──▶
//! ```
//!
//! A connection serves one session and one pair of nodes. Every frame carries the session's id, a running number, and
//! the step of the program that it belongs to, so a frame of another session, one that comes twice and one that comes out
//! of order are errors even where the connection below does not notice. Whoever receives waits until no byte has come for a
//! deadline and no longer; whoever ends a session says why in its last frame. `docs/spec/smpc-session.md` has the layout.
//!
//! Not protected against: a node that sends nothing at all, which costs the others one deadline, and one that trickles,
//! which costs them what [`limits::SLOWEST_BYTES_PER_SECOND`] allows a frame.

mod channel;
mod connection;
mod frame;
pub mod limits;
mod link;
mod movement;

pub use self::channel::{LinkTraffic, PartyLinks};
pub use self::connection::{ConnectError, Incoming, connect, serve};
pub use self::frame::{Ending, Frame, FrameFault, FrameKind, HEADER_BYTES, Order, SESSION_BYTES, SessionId};
pub use self::link::{Link, LinkError};
