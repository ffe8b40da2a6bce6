//! Placement as the owner reads it.

use neuro_orchestrator::{LoadView, Move, Why};
use neuro_protocol::control::{PlacementMove, PlacementReply, WorkerLoad};

use super::shared::Shared;

/// Moves that one answer names: a first placement has thousands.
const MAX_MOVES: usize = 256;

/// Who holds how much, and what moves.
#[must_use]
pub fn read(shared: &Shared) -> PlacementReply {
    let view = shared.dispatch.view(|core, now| core.placement(now));
    let name = |load: &LoadView| shared.roster.facts(load.id).map(|facts| facts.name).unwrap_or_default();
    PlacementReply {
        workers: view.workers.iter().map(|load| worker(load, name(load))).collect(),
        hot: view.hot.into_iter().map(Into::into).collect(),
        together: view.together,
        recent: moves(&view.recent[view.recent.len().saturating_sub(MAX_MOVES)..]),
        next: moves(&view.next[..view.next.len().min(MAX_MOVES)]),
    }
}

fn worker(load: &LoadView, name: String) -> WorkerLoad {
    WorkerLoad {
        id: load.id.to_string(),
        name,
        load_percent: load.load_percent,
        handicap_percent: load.handicap_percent,
        experts: load.experts as u64,
        assigned_bytes: load.assigned_bytes,
        memory_limit_bytes: load.memory_limit_bytes,
    }
}

fn moves(moves: &[Move]) -> Vec<PlacementMove> {
    let one = |moved: &Move| PlacementMove {
        expert: Some(moved.expert.into()),
        bytes: moved.bytes,
        from: moved.from.map(|id| id.to_string()).unwrap_or_default(),
        to: moved.to.map(|id| id.to_string()).unwrap_or_default(),
        why: reason(moved.why),
    };
    moves.iter().map(one).collect()
}

fn reason(why: Why) -> String {
    match why {
        Why::Uncovered => "nobody held it".to_owned(),
        Why::FewCopies => "too few workers held it".to_owned(),
        Why::Hot => "it is used far more than others".to_owned(),
        Why::Cooled => "it is not used that much any more".to_owned(),
        Why::Newcomer => "a worker that came takes its part".to_owned(),
        Why::TakenBack => "it was about to go and is wanted again".to_owned(),
        Why::Room { expert } => format!("room for expert {expert}, which too few hold"),
        Why::Balance { from_percent, to_percent } => {
            format!("{from_percent} % of the mean load on one worker, {to_percent} % on the other")
        }
    }
}
