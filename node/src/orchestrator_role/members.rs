//! Who may take part: nodes that showed a valid ticket.
//!
//! ```text
//! join with a ticket ─▶ invited: in memory, for minutes ── attend ─▶ member: on disk, after its ticket expired too
//! ```
//!
//! A key costs nothing, so a ticket's holder can bring any number of them. Only those that attend are remembered, so many
//! a ticket and no more: whoever has one ticket cannot shut the workers of another out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
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

/// Nodes that are remembered as members. With twice as many, the list takes 13 MiB on disk and nothing else gets worse.
const MAX_MEMBERS: usize = 65_536;

/// Members that one ticket makes: the largest network that was tried is smaller. Sixteen tickets fill the list; with twice
/// as many places it takes eight.
const MAX_MEMBERS_A_TICKET: usize = 4_096;

/// How long a node that joined may take to attend. Workers take less than a second.
const INVITED_FOR_MS: u64 = 10 * 60 * 1_000;

/// Nodes a ticket that joined and did not attend yet. Of more, the first one has to join again: whoever floods needs as many
/// handshakes in the milliseconds that an honest one takes.
const MAX_INVITED_A_TICKET: usize = 1_024;

/// Tells one ticket from another.
type Nonce = [u8; 16];

/// The nodes that may call the control services as workers.
pub struct Members {
    orchestrator: NodeId,
    data_dir: DataDir,
    known: Mutex<Known>,
    turned_away: Mutex<BTreeMap<NodeId, TurnedAway>>,
}

/// Those who came with a ticket.
#[derive(Default)]
struct Known {
    members: BTreeSet<NodeId>,
    /// Members by the ticket that they came with, where that was written down.
    by_ticket: BTreeMap<Nonce, usize>,
    invited: BTreeMap<NodeId, Invited>,
}

/// A node that joined and does not attend yet.
struct Invited {
    ticket: Nonce,
    since: UnixMillis,
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
    /// The ticket made as many members as it may.
    #[error(
        "{} nodes joined with this ticket already, as many as one ticket admits: its owner gets another one by \
         restarting the orchestrator",
        MAX_MEMBERS_A_TICKET
    )]
    TicketSpent,
    /// The list of members is full.
    #[error(
        "the list of members is full ({} nodes): its owner can take lines out of the file `members` in the \
         orchestrator's data folder and restart it",
        MAX_MEMBERS
    )]
    Full,
    /// The node joined too long ago, or never.
    #[error("node {} has not joined; join with a ticket first", .0.short())]
    NotInvited(NodeId),
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
        let mut known = Known::default();
        for (member, ticket) in data_dir.lines(MEMBERS_FILE)?.iter().filter_map(|line| member_of(line)) {
            known.add(member, ticket);
        }
        let (known, turned_away) = (Mutex::new(known), Mutex::default());
        Ok(Self { orchestrator, data_dir: data_dir.clone(), known, turned_away })
    }

    /// Admits `peer` if `ticket` is good, or if it is a member: a worker comes back after its ticket expired. It is a member
    /// once it [attends](Self::attends).
    ///
    /// # Errors
    /// When neither is the case, or there is no room for another member.
    pub fn admit(&self, peer: NodeId, ticket: &str, now: UnixMillis) -> Result<(), AdmissionError> {
        if self.knows(peer) {
            return Ok(());
        }
        let signed = SignedTicket::from_text(ticket)?;
        let ticket = signed.verify_issued_by(self.orchestrator, now)?.nonce;
        let mut known = self.known();
        known.check_room(ticket)?;
        known.invite(peer, ticket, now);
        Ok(())
    }

    /// `peer`, which was admitted, attends: it is a member from now on.
    ///
    /// # Errors
    /// When it was not admitted lately, there is no room for another member, or the list cannot be written.
    pub fn attends(&self, peer: NodeId) -> Result<(), AdmissionError> {
        let mut known = self.known();
        if known.members.contains(&peer) {
            return Ok(());
        }
        let ticket = known.invited.get(&peer).ok_or(AdmissionError::NotInvited(peer))?.ticket;
        known.check_room(ticket)?;
        self.data_dir.append(MEMBERS_FILE, &format!("{peer} {}", HEXLOWER.encode(&ticket)))?;
        known.invited.remove(&peer);
        known.add(peer, Some(ticket));
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
        let known = self.known();
        known.members.contains(&peer) || known.invited.contains_key(&peer)
    }

    /// No change can panic half way, so a poisoned lock guards whole lists.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, member: NodeId, ticket: Option<Nonce>) {
        if self.members.insert(member)
            && let Some(ticket) = ticket
        {
            *self.by_ticket.entry(ticket).or_default() += 1;
        }
    }

    /// Whether another member may come with `ticket`.
    fn check_room(&self, ticket: Nonce) -> Result<(), AdmissionError> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(AdmissionError::Full);
        }
        let came = self.by_ticket.get(&ticket).copied().unwrap_or(0);
        if came < MAX_MEMBERS_A_TICKET { Ok(()) } else { Err(AdmissionError::TicketSpent) }
    }

    /// Expects `peer` to attend soon. Those who did not are forgotten, and of too many with this ticket the first.
    fn invite(&mut self, peer: NodeId, ticket: Nonce, now: UnixMillis) {
        self.invited.retain(|_, invited| now.0.saturating_sub(invited.since.0) < INVITED_FOR_MS);
        self.invited.insert(peer, Invited { ticket, since: now });
        let with_ticket = || self.invited.iter().filter(|(_, invited)| invited.ticket == ticket);
        if with_ticket().count() > MAX_INVITED_A_TICKET {
            let first = with_ticket().min_by_key(|(_, invited)| invited.since).map(|(node, _)| *node);
            first.and_then(|node| self.invited.remove(&node));
        }
    }
}

/// A line of the list: a node's id, and the ticket that it came with. Older lists have ids alone.
fn member_of(line: &str) -> Option<(NodeId, Option<Nonce>)> {
    let mut words = line.split_ascii_whitespace();
    let member = words.next()?.parse().ok()?;
    let ticket = words.next().and_then(|word| HEXLOWER.decode(word.as_bytes()).ok());
    Some((member, ticket.and_then(|nonce| nonce.try_into().ok())))
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
mod tests;
