//! The rule of the set (section 9.1): when a participant votes for an announced set of survivors.
//!
//! Rules 1 to 3 are here, recomputed from the seed. Rule 4 (the neighbours' signed uploads) needs messages, rule 5 (one
//! vote) the record, so both are with the participant.

use neuro_primitives::NodeId;

use crate::graph::Graph;
use crate::identity::{Bitmap, Member};
use crate::parameters::Parameters;

/// Why a participant does not vote for a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetRefused {
    /// A bitmap of another cohort.
    #[error("expected sets of a cohort of {expected}, got one of {got}")]
    Cohort {
        /// Members of this cohort.
        expected: u16,
        /// Members of the set's.
        got: u16,
    },
    /// The participant itself is not in the set: it is called dead and answers nothing.
    #[error("expected member {own} among the survivors, got a set without it", own = .own.0)]
    WithoutMe {
        /// The participant.
        own: Member,
    },
    /// Somebody in the set did not share.
    #[error("expected survivors to be sharers, got member {member}", member = .member.0)]
    NotSharer {
        /// The first such member.
        member: Member,
    },
    /// Fewer than max(n − d, q) survivors: more dropouts than declared.
    #[error("expected at least {expected} survivors, got {got}")]
    TooFew {
        /// max(n − d, q).
        expected: u16,
        /// Members of the set.
        got: usize,
    },
    /// A survivor whose secrets too few survivors hold.
    #[error("expected at least {expected} surviving neighbours of member {member}, got {got}", member = .member.0)]
    FewNeighbours {
        /// The first such member.
        member: Member,
        /// t.
        expected: u16,
        /// Its neighbours in the set.
        got: usize,
    },
    /// The survivors fall into parts whose sums would show apart.
    #[error("expected a connected graph of survivors, got several parts")]
    Disconnected,
}

impl SetRefused {
    /// Nobody by itself: whoever signed the announcement.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}

/// Rules 1 to 3 for member `own`, of a `graph` that it drew from the seed and the `sharers` it masked with.
///
/// # Errors
/// The first rule that the set breaks.
pub fn check_survivors(
    graph: &Graph,
    parameters: &Parameters,
    sharers: &Bitmap,
    survivors: &Bitmap,
    own: Member,
) -> Result<(), SetRefused> {
    check_cohort(graph, sharers)?;
    check_cohort(graph, survivors)?;
    if !survivors.get(own) {
        return Err(SetRefused::WithoutMe { own });
    }
    if let Some(member) = survivors.iter().find(|&member| !sharers.get(member)) {
        return Err(SetRefused::NotSharer { member });
    }
    check_size(graph, parameters, survivors)?;
    check_neighbours(graph, parameters.t, survivors)?;
    if graph.is_connected(survivors) { Ok(()) } else { Err(SetRefused::Disconnected) }
}

fn check_cohort(graph: &Graph, set: &Bitmap) -> Result<(), SetRefused> {
    let (expected, got) = (graph.n(), set.n());
    if got == expected { Ok(()) } else { Err(SetRefused::Cohort { expected, got }) }
}

/// Rule 1: |S| ≥ max(n − d, q).
fn check_size(graph: &Graph, parameters: &Parameters, survivors: &Bitmap) -> Result<(), SetRefused> {
    let expected = least_survivors(graph.n(), parameters);
    let got = survivors.count();
    if got >= usize::from(expected) { Ok(()) } else { Err(SetRefused::TooFew { expected, got }) }
}

/// max(n − d, q): the fewest survivors that anybody votes for.
#[must_use]
pub fn least_survivors(n: u16, parameters: &Parameters) -> u16 {
    n.saturating_sub(parameters.dropout).max(parameters.q)
}

/// Rule 2: every survivor keeps t neighbours.
fn check_neighbours(graph: &Graph, t: u16, survivors: &Bitmap) -> Result<(), SetRefused> {
    for member in survivors.iter() {
        let got = graph.neighbours_in(member, survivors).count();
        if got < usize::from(t) {
            return Err(SetRefused::FewNeighbours { member, expected: t, got });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
