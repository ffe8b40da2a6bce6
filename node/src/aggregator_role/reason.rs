//! Why a round ended, in words.

use neuro_secagg::messages::{EndReason, OutCause, Shortfall};

/// The reason, for people.
#[must_use]
pub fn words(reason: &EndReason) -> String {
    match reason {
        EndReason::Done { weight, .. } => format!("done: the sum is out, of weight {weight}"),
        EndReason::TooFewJoined(short) => too_few("joined", short),
        EndReason::TooFewShared(short) => too_few("dealt shares", short),
        EndReason::TooFewUploaded(short) => too_few("uploaded", short),
        EndReason::TooFewVoted(short) => too_few("voted", short),
        EndReason::TooFewAnswered(short) => too_few("answered", short),
        EndReason::RevealsMissing { silent } => {
            let nodes: Vec<String> = silent.iter().map(neuro_primitives::NodeId::short).collect();
            format!("nonces were missing three times, last those of {}", nodes.join(", "))
        }
        EndReason::NoParameters => "no parameters serve these members with the declared dropout and corruption".into(),
        EndReason::BadDealer { dealer } => format!("node {} dealt shares of another secret", dealer.short()),
        EndReason::Stopped => "stopped by the aggregator".into(),
        EndReason::OutOfRound(cause) => format!("left out: {}", left_out(*cause)),
    }
}

fn too_few(did: &str, Shortfall { expected, got }: &Shortfall) -> String {
    format!("too few {did}: expected at least {expected}, got {got}")
}

const fn left_out(cause: OutCause) -> &'static str {
    match cause {
        OutCause::Late => "a message came after its phase, or not at all",
        OutCause::Contradiction => "it signed two different statements",
        OutCause::Complaints => "it complained about dealers whom nobody else complains about",
        OutCause::ComplainedOf => "too many complained about its shares",
        OutCause::FewNeighbours => "too few of its neighbours are left",
        OutCause::Payload => "what it uploaded is no vector of the cohort",
        OutCause::Blamed => "it broke the protocol in an earlier round of the task",
    }
}
