//! What client and parties say to each other, one frame each.

use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Hash, Signature};
use neuro_smpc::channel::Spent;
use neuro_smpc::share::{NEXT, OWN, Shares};

use super::agreement::Agreement;
use super::transcript::{MAX_DOCUMENT_BYTES, Signed};

/// The most values in a message of shares: 512 rows of width 32,768, or a vocabulary.
const MAX_VALUES: usize = 1 << 24;

/// From a client to a party.
pub(super) enum ClientMessage {
    /// The terms; always the first.
    Propose(Box<Agreement>),
    /// The party's components of the next rows' embeddings.
    Inputs(TurnShares),
    /// No further rows.
    Finish,
    /// What the client got, signed.
    Receipt(Signed),
}

/// From a party to its client.
pub(super) enum PartyMessage {
    /// All three agree on terms of this hash and have common seeds.
    Ready(Hash),
    /// The turn takes its time.
    Working(Working),
    /// The party's components of the logits of each prompt's last row.
    Logits(TurnShares, Cost),
    /// The party's account of the session, signed.
    Statement(Signed),
}

/// Shares of one turn. A turn takes rows and gives the logits of one token.
pub(super) struct TurnShares {
    /// From 0.
    pub turn: u32,
    /// Components of the receiver or sender.
    pub shares: Shares,
}

/// What the session has cost a party so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rounds with the other parties.
    pub rounds: u64,
    /// Bytes sent to them.
    pub bytes: u64,
}

impl From<Spent> for Cost {
    fn from(spent: Spent) -> Self {
        Self { rounds: spent.rounds, bytes: spent.bytes }
    }
}

/// How far a turn has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Working {
    /// Rounds of the session at which the turn will be over, but for its proof; zero while that is unknown.
    pub expected: u64,
    /// What the session has cost so far.
    pub cost: Cost,
}

/// Bytes that are no such message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not as it should be.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A message that has no place here.
    #[error("expected another message than one with tag {got}")]
    Unexpected {
        /// Its first byte.
        got: u8,
    },
}

const PROPOSE: u8 = 1;
const INPUTS: u8 = 2;
const FINISH: u8 = 3;
const RECEIPT: u8 = 4;
const READY: u8 = 16;
const LOGITS: u8 = 17;
const STATEMENT: u8 = 18;
const WORKING: u8 = 19;
const JOIN: u8 = 32;

/// The first message of a party to another.
pub(super) fn join(agreement: &Agreement) -> Vec<u8> {
    tagged(JOIN, |writer| writer.raw(&agreement.encode()))
}

/// Reads what [`join`] wrote.
pub(super) fn read_join(bytes: &[u8]) -> Result<Agreement, MessageError> {
    match bytes.split_first() {
        Some((&JOIN, rest)) => Ok(Agreement::decode(rest)?),
        first => Err(MessageError::Unexpected { got: first.map_or(0, |(tag, _)| *tag) }),
    }
}

impl ClientMessage {
    /// The message's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Propose(agreement) => tagged(PROPOSE, |writer| writer.raw(&agreement.encode())),
            Self::Inputs(inputs) => tagged(INPUTS, |writer| inputs.write(writer)),
            Self::Finish => vec![FINISH],
            Self::Receipt(signed) => tagged(RECEIPT, |writer| write_signed(writer, signed)),
        }
    }

    /// Reads a message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            PROPOSE => Self::Propose(Box::new(Agreement::decode(reader.raw(reader.left())?)?)),
            INPUTS => Self::Inputs(TurnShares::read(&mut reader)?),
            FINISH => Self::Finish,
            RECEIPT => Self::Receipt(read_signed(&mut reader)?),
            got => return Err(MessageError::Unexpected { got }),
        };
        reader.finish()?;
        Ok(message)
    }
}

impl PartyMessage {
    /// The message's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready(agreement) => tagged(READY, |writer| writer.raw(&agreement.0)),
            Self::Logits(logits, cost) => tagged(LOGITS, |writer| {
                writer.u64(cost.rounds);
                writer.u64(cost.bytes);
                logits.write(writer);
            }),
            Self::Working(Working { expected, cost }) => tagged(WORKING, |writer| {
                [*expected, cost.rounds, cost.bytes].into_iter().for_each(|count| writer.u64(count));
            }),
            Self::Statement(signed) => tagged(STATEMENT, |writer| write_signed(writer, signed)),
        }
    }

    /// Reads a message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            READY => Self::Ready(Hash(reader.array()?)),
            LOGITS => {
                let cost = Cost { rounds: reader.u64()?, bytes: reader.u64()? };
                Self::Logits(TurnShares::read(&mut reader)?, cost)
            }
            WORKING => Self::Working(Working {
                expected: reader.u64()?,
                cost: Cost { rounds: reader.u64()?, bytes: reader.u64()? },
            }),
            STATEMENT => Self::Statement(read_signed(&mut reader)?),
            got => return Err(MessageError::Unexpected { got }),
        };
        reader.finish()?;
        Ok(message)
    }
}

impl TurnShares {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.turn);
        writer.count(self.shares.len());
        for part in [OWN, NEXT] {
            self.shares.parts[part].iter().for_each(|word| writer.u64(*word));
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let turn = reader.u32()?;
        let count = reader.count("values", MAX_VALUES, 2 * 8)?;
        let mut part = || -> Result<Vec<u64>, CodecError> {
            Ok(reader.raw(8 * count)?.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
        };
        Ok(Self { turn, shares: Shares::new(part()?, part()?) })
    }
}

fn tagged(tag: u8, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(tag);
    write(&mut writer);
    writer.finish()
}

fn write_signed(writer: &mut Writer, signed: &Signed) {
    writer.bytes(&signed.document);
    writer.raw(&signed.signature.0);
}

fn read_signed(reader: &mut Reader<'_>) -> Result<Signed, CodecError> {
    let document = reader.bytes("bytes of a statement", MAX_DOCUMENT_BYTES)?.to_vec();
    Ok(Signed { document, signature: Signature(reader.array()?) })
}

#[cfg(test)]
mod tests;
