//! What reaches the aggregator, and its canonical bytes in the journal (section 13).

use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Hash, NodeId};

use crate::messages::MOST_MESSAGE_BYTES;

/// One thing that happens to a round.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Announces the configuration. After [`super::replay`] it starts the phase's clock anew, announces the current
    /// phase again and repeats the effects that the caller may have lost.
    Start,
    /// Bytes of a member, whom the transport has authenticated.
    Message {
        /// The member.
        from: NodeId,
        /// A message as [`crate::messages`] encodes it.
        bytes: Vec<u8>,
    },
    /// All bytes of a payload are held and durable, and the caller has computed their hash.
    UploadComplete {
        /// Whose payload.
        from: NodeId,
        /// BLAKE3 of the bytes.
        payload: Hash,
        /// How many.
        bytes: u64,
    },
    /// The payload of the hash that a member stated is here and is no vector of this cohort, or is complete and cannot be
    /// added all the same. The member counts as one that has uploaded nothing.
    UploadUnfit {
        /// Whose payload.
        from: NodeId,
        /// The hash that it stated.
        payload: Hash,
    },
    /// A member has a stream: it gets the configuration while members join, and the end when there is one. Between them
    /// it says by [`crate::messages::Have`] what it has.
    Connected(NodeId),
    /// A member's stream broke. Costs it nothing before the deadline.
    Lost(NodeId),
    /// Time has passed: a wake-up that was asked for, or any other.
    Tick,
    /// The masks are off, the sum is durable.
    Unmasked {
        /// BLAKE3 of the sum: its entries as i64, little-endian.
        sum: Hash,
        /// Σw, the sum's weight entry.
        weight: u64,
        /// What the round cost, ε at the configuration's δ; infinite without noise.
        epsilon: f64,
    },
    /// The operator ends the round.
    Stop,
    /// The sum has become useless to its round: ends the cohort as [`Self::Stop`] does, unless members are asked for shares
    /// already.
    CallOff,
}

impl Input {
    /// Appends the canonical form: a kind byte and the fields in order.
    pub fn encode(&self, to: &mut Writer) {
        match self {
            Self::Start => to.u8(0),
            Self::Message { from, bytes } => {
                to.u8(1);
                to.raw(&from.0);
                to.bytes(bytes);
            }
            Self::UploadComplete { from, payload, bytes } => {
                to.u8(2);
                to.raw(&from.0);
                to.raw(&payload.0);
                to.u64(*bytes);
            }
            Self::Connected(node) => {
                to.u8(3);
                to.raw(&node.0);
            }
            Self::Lost(node) => {
                to.u8(4);
                to.raw(&node.0);
            }
            Self::Tick => to.u8(5),
            Self::Unmasked { sum, weight, epsilon } => {
                to.u8(6);
                to.raw(&sum.0);
                to.u64(*weight);
                to.u64(epsilon.to_bits());
            }
            Self::Stop => to.u8(7),
            Self::UploadUnfit { from, payload } => {
                to.u8(8);
                to.raw(&from.0);
                to.raw(&payload.0);
            }
            Self::CallOff => to.u8(9),
        }
    }

    /// Reads what [`Self::encode`] wrote; `None` for an unknown kind.
    ///
    /// # Errors
    /// When the fields are not there, or a message is longer than any.
    pub fn decode(from: &mut Reader<'_>) -> Result<Option<Self>, CodecError> {
        Ok(Some(match from.u8()? {
            0 => Self::Start,
            1 => Self::Message {
                from: NodeId(from.array()?),
                bytes: from.bytes("bytes of a message", MOST_MESSAGE_BYTES)?.to_vec(),
            },
            2 => Self::UploadComplete { from: NodeId(from.array()?), payload: Hash(from.array()?), bytes: from.u64()? },
            3 => Self::Connected(NodeId(from.array()?)),
            4 => Self::Lost(NodeId(from.array()?)),
            5 => Self::Tick,
            6 => Self::Unmasked { sum: Hash(from.array()?), weight: from.u64()?, epsilon: f64::from_bits(from.u64()?) },
            7 => Self::Stop,
            8 => Self::UploadUnfit { from: NodeId(from.array()?), payload: Hash(from.array()?) },
            9 => Self::CallOff,
            _ => return Ok(None),
        }))
    }
}
