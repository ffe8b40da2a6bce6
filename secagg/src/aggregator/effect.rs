//! What the aggregator's core asks its caller to do, in order.

use std::sync::Arc;

use neuro_primitives::clock::Moment;
use neuro_primitives::{Hash, NodeId};

use super::evidence::Evidence;
use super::refused::MessageRefused;
use crate::masks::MaskJob;
use crate::messages::EndReason;

/// One thing to do. Effects are carried out in the order in which they are listed.
///
/// All but [`Effect::Journal`] may be asked for again after a restart; whoever carries them out does nothing the second
/// time.
#[derive(Debug)]
pub enum Effect {
    /// Append this entry to the journal and flush it before anything that follows.
    Journal(Vec<u8>),
    /// Send the signed configuration ([`crate::config::SignedConfig::encode`]) to these members.
    Configure {
        /// The members, ascending.
        to: Vec<NodeId>,
        /// The configuration's bytes and signature.
        config: Arc<[u8]>,
    },
    /// Send the same announcement to several members. Who has no stream gets it when it says what it has.
    Announce {
        /// The members, ascending.
        to: Vec<NodeId>,
        /// The announcement, signed.
        bytes: Arc<[u8]>,
    },
    /// Send each of these members its own announcement, which [`super::Aggregator::announcement_for`] makes. Made one at a
    /// time, inboxes never lie in memory together: in a complete graph all of them are n² boxes.
    AnnounceEach {
        /// The members, ascending.
        to: Vec<NodeId>,
    },
    /// Send one member what is only for it.
    Tell {
        /// The member.
        to: NodeId,
        /// The announcement, signed.
        bytes: Vec<u8>,
    },
    /// Take chunks of this payload, from the byte on that is held already.
    OpenUpload {
        /// Whose payload.
        of: NodeId,
        /// BLAKE3 of the payload.
        payload: Hash,
        /// Its length.
        bytes: u64,
    },
    /// Add the member's payload to the sum, unless the sum holds it.
    Add(NodeId),
    /// Take the member's payload out of the sum, if the sum holds it.
    Subtract(NodeId),
    /// Remove these masks from the sum, make the result durable and answer with [`super::Input::Unmasked`].
    Unmask {
        /// Every mask that is left in the sum of the survivors.
        jobs: Vec<MaskJob>,
    },
    /// Keep what proves a member's fault. It is out of the round, and the next one should run without it.
    Blame(Evidence),
    /// Log that a message changed nothing, and why.
    Refuse {
        /// Its sender.
        from: NodeId,
        /// What is wrong with it.
        why: MessageRefused,
    },
    /// Send [`super::Input::Tick`] at this moment.
    WakeAt(Moment),
    /// The round is over. Payloads and the journal may be deleted.
    End(EndReason),
}
