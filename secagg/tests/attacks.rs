//! The attacks of section 15, each by its name there. A test passes if no honest participant sends the message that
//! would leak.

mod support;

#[path = "attacks/graph.rs"]
mod graph;
#[path = "attacks/identities.rs"]
mod identities;
#[path = "attacks/sets.rs"]
mod sets;
#[path = "attacks/shares.rs"]
mod shares;
#[path = "attacks/state.rs"]
mod state;
