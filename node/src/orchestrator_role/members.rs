//! Who may take part: nodes that once showed a valid ticket.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use neuro_primitives::key::EntropyError;
use neuro_primitives::{NodeId, NodeKey, UnixMillis};
use neuro_protocol::ticket::{SignedTicket, Ticket, TicketError};

use crate::data_dir::{DataDir, DataDirError};

/// The file with the admitted nodes' ids.
const MEMBERS_FILE: &str = "members";

/// The nodes that may call the control services as workers.
pub struct Members {
    orchestrator: NodeId,
    data_dir: DataDir,
    admitted: Mutex<BTreeSet<NodeId>>,
}

/// A node is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The ticket is forged, expired or no ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The list of members cannot be written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl Members {
    /// The members that `data_dir` remembers.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn load(data_dir: &DataDir, orchestrator: NodeId) -> Result<Self, DataDirError> {
        let admitted = data_dir.lines(MEMBERS_FILE)?.iter().filter_map(|line| line.parse().ok()).collect();
        Ok(Self { orchestrator, data_dir: data_dir.clone(), admitted: Mutex::new(admitted) })
    }

    /// Admits `peer` if `ticket` is good, or if it was admitted before: a worker comes back after its ticket expired.
    ///
    /// # Errors
    /// When neither is the case.
    pub fn admit(&self, peer: NodeId, ticket: &str, now: UnixMillis) -> Result<(), AdmissionError> {
        if self.knows(peer) {
            return Ok(());
        }
        SignedTicket::from_text(ticket)?.verify_issued_by(self.orchestrator, now)?;
        self.data_dir.append(MEMBERS_FILE, &peer.to_string())?;
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
        Ok(())
    }

    /// Whether `peer` was admitted.
    #[must_use]
    pub fn knows(&self, peer: NodeId) -> bool {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }
}

/// A new ticket for workers of the orchestrator with `key`.
///
/// # Errors
/// When there is no randomness for its nonce.
pub fn new_ticket(
    key: &NodeKey,
    control: &[String],
    p2p: &[String],
    lifetime: Duration,
) -> Result<SignedTicket, EntropyError> {
    let expires = UnixMillis(unix_now().0.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX)));
    // Sixteen bytes of a fresh key are as random as any.
    let random = NodeKey::generate()?.node_id().0;
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&random[..16]);
    let ticket = Ticket { orchestrator: key.node_id(), control: control.to_vec(), p2p: p2p.to_vec(), expires, nonce };
    Ok(ticket.sign(key))
}

/// Wall time.
#[must_use]
pub fn unix_now() -> UnixMillis {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn members(folder: &std::path::Path, key: &NodeKey) -> Members {
        Members::load(&DataDir::open(folder).unwrap(), key.node_id()).unwrap()
    }

    #[test]
    fn a_ticket_admits_and_membership_outlives_it() {
        let folder = tempfile::tempdir().unwrap();
        let (key, worker) = (NodeKey::from_secret(&[1; 32]), NodeKey::from_secret(&[2; 32]).node_id());
        let ticket = new_ticket(&key, &[], &[], HOUR).unwrap().to_text();
        members(folder.path(), &key).admit(worker, &ticket, unix_now()).unwrap();
        let later = UnixMillis(unix_now().0 + 2 * 3_600_000);
        let restarted = members(folder.path(), &key);
        assert!(restarted.knows(worker));
        restarted.admit(worker, &ticket, later).unwrap();
        let stranger = NodeKey::from_secret(&[3; 32]).node_id();
        assert!(matches!(
            restarted.admit(stranger, &ticket, later),
            Err(AdmissionError::Ticket(TicketError::Expired { .. }))
        ));
    }

    #[test]
    fn tickets_of_others_and_no_tickets_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (key, other) = (NodeKey::from_secret(&[1; 32]), NodeKey::from_secret(&[9; 32]));
        let worker = NodeKey::from_secret(&[2; 32]).node_id();
        let members = members(folder.path(), &key);
        let ticket = new_ticket(&other, &[], &[], HOUR).unwrap().to_text();
        assert!(matches!(members.admit(worker, &ticket, unix_now()), Err(AdmissionError::Ticket(_))));
        assert!(matches!(members.admit(worker, "let me in", unix_now()), Err(AdmissionError::Ticket(_))));
        assert!(!members.knows(worker));
    }
}
