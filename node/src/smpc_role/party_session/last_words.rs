//! Whom a party names that has waited in vain.
//!
//! Parties wait with one deadline, so where P_2 stalls, P_1 gives up waiting for P_2 at about the time at which P_0 gives up
//! waiting for P_1. Each tells the other two at once what it waited for. Before it signs anything it hears what the party
//! says that it waited for: who was waiting itself is not the one that stalls.

use std::time::Duration;

use neuro_network::smpc::{Ending, PartyLinks};
use neuro_smpc::channel::ChannelError;
use neuro_smpc::error::SmpcError;
use neuro_smpc::party::PartyId;
use neuro_smpc::proof::ProofError;

use super::SessionError;
use crate::smpc_role::seeds::SeedError;

/// How long a late party may still say why: by so much less it may have computed before it began to wait. A client waits so
/// much longer for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// `error`, which the peers were told, as it is after they have said what they know. Waits only where a peer was late.
pub(super) fn heard(error: SessionError, links: &mut PartyLinks) -> SessionError {
    let Some(late @ ChannelError::Late { peer, .. }) = channel_error(&error) else { return error };
    let (late, peer) = (late.clone(), *peer);
    if let Some((ending, reason)) = links.last_word(peer, PATIENCE) {
        return SessionError::Told { peer, ending, reason };
    }
    // The third may have found what is wrong. That it was late as well says nothing.
    let third = PartyId::ALL[3 - peer.index() - links.party().index()];
    match links.last_word(third, Duration::ZERO) {
        Some((ending @ Ending::Fault, reason)) => SessionError::Told { peer: third, ending, reason },
        _ => SessionError::Silent { late, patience_ms: PATIENCE.as_millis() },
    }
}

/// What went wrong between the parties.
const fn channel_error(of: &SessionError) -> Option<&ChannelError> {
    match of {
        SessionError::Computation(SmpcError::Channel(error) | SmpcError::Proof(ProofError::Channel(error)))
        | SessionError::Seeds(SeedError::Channel(error)) => Some(error),
        _ => None,
    }
}
