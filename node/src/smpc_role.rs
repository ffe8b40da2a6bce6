//! Private inference by three parties: the party's role, and the client's.
//!
//! ```text
//! client                      P_0            P_1            P_2
//!   propose ────────────────────▶──────────────▶──────────────▶     model, program, profile, lengths, parties
//!                               ◀─ agreement, seeds: commit, reveal, confirm ─▶
//!   ◀──────────────── ready ────┴──────────────┴──────────────┘
//!   shares of embeddings ───────▶──────────────▶──────────────▶     hashes of every component compared by its two holders
//!                               ◀─── the program on shares, its proof ────▶
//!   ◀──── shares of logits ─────┴──────────────┴──────────────┘     each component from two parties; then the next token
//!   finish ─────────────────────▶──────────────▶──────────────▶
//!   ◀──── signed statements ────┴──────────────┴──────────────┘     kept as the transcript
//!   receipt ────────────────────▶──────────────▶──────────────▶
//! ```
//!
//! A session has its own connections, its own thread at every party and its own seeds, so what one client does ends its
//! own session only. A session that loses a party ends; a new one begins from the text. `docs/spec/smpc-session.md` has
//! the messages.
//!
//! Not protected against: two parties together, who can read everything, and lengths, which all parties learn.

pub mod agreement;
mod archive;
pub mod blocks;
pub mod client;
pub mod comparison;
pub mod estimate;
pub mod fixed_point;
mod messages;
pub mod model;
pub mod parties;
pub mod party;
mod party_session;
mod preparation;
pub mod program;
pub mod ranges;
mod rendezvous;
pub mod secret_weights;
mod seeds;
pub mod transcript;

pub use self::party_session::SessionError;

/// The version of the messages between client and parties.
pub const PROTOCOL_VERSION: u16 = 5;
