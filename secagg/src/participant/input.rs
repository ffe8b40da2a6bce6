//! What reaches a participant.

use neuro_primitives::hash::Hash;

/// One thing that happens to a participant in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartInput {
    /// Bytes from the aggregator. Nothing is trusted but the signatures in them.
    Message(Vec<u8>),
    /// The masked vector is packed, durable and will not change: answers [`super::PartEffect::Mask`].
    Payload {
        /// BLAKE3 of the packed bytes.
        hash: Hash,
        /// How many.
        bytes: u64,
    },
    /// There is a new stream to the aggregator: the last message is sent again, bit for bit.
    Reconnected,
    /// The user, or what made the vector, gives up this round.
    Stop,
}
