//! Links to the other two parties: who has the lower index calls, and both say what they agreed to.

use neuro_network::smpc::{ConnectError, Link, LinkError, PartyLinks};
use neuro_smpc::party::PartyId;

use crate::smpc_role::agreement::Agreement;
use crate::smpc_role::messages::{MessageError, join, read_join};
use crate::smpc_role::party::PartyContext;

/// Why the three did not come together.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// No connection.
    #[error("party {peer}: {source}")]
    Connect {
        /// Who.
        peer: PartyId,
        /// Why.
        source: ConnectError,
    },
    /// It did not call.
    #[error("party {peer} did not come within {patience_ms} ms")]
    Absent {
        /// Who.
        peer: PartyId,
        /// How long.
        patience_ms: u128,
    },
    /// The link.
    #[error("party {peer}: {source}")]
    Link {
        /// Whose.
        peer: PartyId,
        /// Why.
        source: LinkError,
    },
    /// What it said.
    #[error("party {peer}: {source}")]
    Message {
        /// Who.
        peer: PartyId,
        /// Why.
        source: MessageError,
    },
    /// It agreed to something else.
    #[error("party {peer} agreed to other terms: {}", differences.join("; "))]
    Disagree {
        /// Who.
        peer: PartyId,
        /// What differs.
        differences: Vec<String>,
    },
}

/// Connects with both, who must have agreed to the same terms. Blocking.
pub(super) fn connect_all(context: &PartyContext, agreement: &Agreement) -> Result<[Option<Link>; 3], PeersError> {
    let meet = |peer: PartyId| async move {
        if peer == context.party {
            return Ok(None);
        }
        if peer > context.party { call(context, agreement, peer).await } else { wait(context, agreement, peer).await }
            .map(Some)
    };
    let [first, second, third] = PartyId::ALL;
    context.runtime.block_on(async {
        let (first, second, third) = futures::try_join!(meet(first), meet(second), meet(third))?;
        Ok([first, second, third])
    })
}

/// As [`connect_all`], for a computation.
pub(super) fn connect(context: &PartyContext, agreement: &Agreement) -> Result<PartyLinks, PeersError> {
    let links = connect_all(context, agreement)?;
    let links = links.map(|link| link.map(|link| link.until(context.stop.clone())));
    Ok(PartyLinks::new(context.party, links, context.runtime.clone(), context.deadline))
}

async fn call(context: &PartyContext, agreement: &Agreement, peer: PartyId) -> Result<Link, PeersError> {
    let entry = context.parties.entry(peer);
    let connecting = neuro_network::smpc::connect(&context.key, entry.node, &entry.address, agreement.session);
    let mut link = connecting.await.map_err(|source| PeersError::Connect { peer, source })?;
    let failed = |source| PeersError::Link { peer, source };
    link.send(0, 0, join(agreement), context.setup_patience).await.map_err(failed)?;
    let answer = link.receive(context.setup_patience).await.map_err(failed)?;
    compare(agreement, peer, &answer.body)?;
    Ok(link)
}

async fn wait(context: &PartyContext, agreement: &Agreement, peer: PartyId) -> Result<Link, PeersError> {
    let patience = context.setup_patience;
    let node = context.parties.entry(peer).node;
    let incoming = context.rendezvous.take(agreement.session, node, patience).await;
    let incoming = incoming.ok_or(PeersError::Absent { peer, patience_ms: patience.as_millis() })?;
    let mut link = incoming.link;
    // Answered before it is judged, so that both say what differs.
    let sent = link.send(0, 0, join(agreement), patience).await;
    compare(agreement, peer, &incoming.first.body)?;
    sent.map_err(|source| PeersError::Link { peer, source })?;
    Ok(link)
}

fn compare(agreement: &Agreement, peer: PartyId, body: &[u8]) -> Result<(), PeersError> {
    let theirs = read_join(body).map_err(|source| PeersError::Message { peer, source })?;
    let differences = agreement.differences(&theirs);
    if differences.is_empty() { Ok(()) } else { Err(PeersError::Disagree { peer, differences }) }
}
