//! What was moved, and why: for people who wonder.

use std::collections::VecDeque;

use neuro_primitives::{ExpertId, NodeId};

/// Moves that are remembered.
const KEPT: usize = 256;

/// One copy that was given, moved or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The expert.
    pub expert: ExpertId,
    /// Its size, which a worker that gets it may have to fetch.
    pub bytes: u64,
    /// Who loses the copy, once the other has it.
    pub from: Option<NodeId>,
    /// Who gets it.
    pub to: Option<NodeId>,
    /// Why.
    pub why: Why,
}

/// Why a copy was given, moved or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody held the expert.
    Uncovered,
    /// Fewer workers held it than are wanted.
    FewCopies,
    /// It is used so much that more than the usual number should hold it.
    Hot,
    /// It is not used that much any more.
    Cooled,
    /// A worker came and takes its part.
    Newcomer,
    /// One worker had far more to do than another.
    Balance {
        /// The load of the one, in per cent of the mean.
        from_percent: u64,
        /// The load of the other.
        to_percent: u64,
    },
    /// It was on its way out and is wanted again: nothing is loaded.
    TakenBack,
    /// Room was needed for an expert with fewer copies.
    Room {
        /// That expert.
        expert: ExpertId,
    },
}

/// The last moves, the latest last.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Move>);

impl History {
    /// Adds moves; beyond [`KEPT`] the oldest are forgotten.
    pub(crate) fn extend(&mut self, moves: Vec<Move>) {
        let surplus = moves.len().saturating_sub(KEPT);
        self.0.extend(moves.into_iter().skip(surplus));
        while self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// The moves, the latest last.
    pub(crate) fn moves(&self) -> Vec<Move> {
        self.0.iter().copied().collect()
    }
}
