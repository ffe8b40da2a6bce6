//! Who may take part: nodes that once showed a valid ticket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use neuro_primitives::key::EntropyError;
use neuro_primitives::{NodeId, NodeKey, UnixMillis};
use neuro_protocol::ticket::{SignedTicket, Ticket, TicketError};

use crate::data_dir::{DataDir, DataDirError};

/// The file with the admitted nodes' ids.
const MEMBERS_FILE: &str = "members";

/// How long a worker that broke the protocol is turned away: as long as the core turns away one with too many faults.
/// Shorter, and a faulty build reconnects all day; longer, and its owner waits after mending it.
const TURNED_AWAY_FOR: Duration = Duration::from_secs(600);

/// Nodes that are turned away at a time; the one whose time ends first is forgotten when there are more.
const MAX_TURNED_AWAY: usize = 4_096;

/// Nodes that are remembered as admitted. A ticket lets its holder bring any number of keys; with twice as many, the
/// list takes 8 MiB on disk and nothing else gets worse.
const MAX_MEMBERS: usize = 65_536;

/// The nodes that may call the control services as workers.
pub struct Members {
    orchestrator: NodeId,
    data_dir: DataDir,
    admitted: Mutex<BTreeSet<NodeId>>,
    turned_away: Mutex<BTreeMap<NodeId, TurnedAway>>,
}

/// A node that broke the protocol.
struct TurnedAway {
    until: Instant,
    reason: String,
}

/// A node is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The ticket is forged, expired or no ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The node broke the protocol a short time ago.
    #[error("node {} is turned away for another {left_s} s: {reason}", .node.short())]
    TurnedAway {
        /// The node.
        node: NodeId,
        /// Seconds until it may come back.
        left_s: u64,
        /// What it did.
        reason: String,
    },
    /// The list of members is full.
    #[error("{} nodes were admitted already, as many as are remembered", MAX_MEMBERS)]
    Full,
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
        let (admitted, turned_away) = (Mutex::new(admitted), Mutex::default());
        Ok(Self { orchestrator, data_dir: data_dir.clone(), admitted, turned_away })
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
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        if admitted.len() >= MAX_MEMBERS {
            return Err(AdmissionError::Full);
        }
        self.data_dir.append(MEMBERS_FILE, &peer.to_string())?;
        admitted.insert(peer);
        Ok(())
    }

    /// Turns `peer` away for ten minutes from `now` on. `reason` is for its owner.
    pub fn turn_away(&self, peer: NodeId, reason: String, now: Instant) {
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        turned_away.insert(peer, TurnedAway { until: now + TURNED_AWAY_FOR, reason });
        if turned_away.len() > MAX_TURNED_AWAY {
            let first = turned_away.iter().min_by_key(|(_, entry)| entry.until).map(|(node, _)| *node);
            first.and_then(|node| turned_away.remove(&node));
        }
    }

    /// Whether `peer` may come in at `now`, as far as its conduct goes.
    ///
    /// # Errors
    /// [`AdmissionError::TurnedAway`] while its time lasts.
    pub fn check_conduct(&self, peer: NodeId, now: Instant) -> Result<(), AdmissionError> {
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        turned_away.retain(|_, entry| entry.until > now);
        turned_away.get(&peer).map_or(Ok(()), |TurnedAway { until, reason }| {
            let left_s = (*until - now).as_secs();
            Err(AdmissionError::TurnedAway { node: peer, left_s, reason: reason.clone() })
        })
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
    fn who_broke_the_protocol_waits_ten_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let members = members(folder.path(), &NodeKey::from_secret(&[1; 32]));
        let (liar, honest, now) = (NodeId([2; 32]), NodeId([3; 32]), Instant::now());
        members.turn_away(liar, "it sent noise".to_owned(), now);
        let error = members.check_conduct(liar, now + Duration::from_secs(590)).unwrap_err().to_string();
        assert!(error.contains("for another 10 s") && error.contains("it sent noise"), "{error}");
        members.check_conduct(honest, now).unwrap();
        members.check_conduct(liar, now + TURNED_AWAY_FOR).unwrap();
    }

    #[test]
    fn so_many_are_turned_away_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let members = members(folder.path(), &NodeKey::from_secret(&[1; 32]));
        let now = Instant::now();
        let node = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            NodeId(id)
        };
        for number in 0..=MAX_TURNED_AWAY {
            members.turn_away(node(number), String::new(), now + Duration::from_millis(number as u64));
        }
        members.check_conduct(node(0), now).unwrap();
        assert!(members.check_conduct(node(1), now).is_err());
        assert!(members.check_conduct(node(MAX_TURNED_AWAY), now).is_err());
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
