//! The attacks of section 15, each by its name there. A test passes if no honest participant sends the message that
//! would leak.

#[cfg(test)]
mod support;

#[cfg(test)]
#[path = "attacks/graph.rs"]
mod graph;
#[cfg(test)]
#[path = "attacks/identities.rs"]
mod identities;
#[cfg(test)]
#[path = "attacks/payloads.rs"]
mod payloads;
#[cfg(test)]
#[path = "attacks/sets.rs"]
mod sets;
#[cfg(test)]
#[path = "attacks/shares.rs"]
mod shares;
#[cfg(test)]
#[path = "attacks/state.rs"]
mod state;
