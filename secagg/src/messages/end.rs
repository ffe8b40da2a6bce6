//! The end of a round (section 16), as the aggregator announces it.

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId};

use super::resume::{nodes, write_nodes};
use crate::error::DocumentError;
use crate::fields;

/// That the round is over, for all or for one participant.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The configuration's hash.
    pub config: Hash,
    /// What came of it.
    pub reason: EndReason,
}

/// How many there were and how many there had to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// The least that would have done.
    pub expected: u16,
    /// How many there were.
    pub got: u16,
}

/// Why a round ended.
#[derive(Debug, Clone, PartialEq)]
pub enum EndReason {
    /// 0: the sum is out.
    Done {
        /// BLAKE3 of the sum's entries, i64 little-endian.
        sum: Hash,
        /// Σw.
        weight: u64,
        /// `Z`.
        survivors: Hash,
        /// The round's ε at the configuration's δ; infinite without noise.
        epsilon: f64,
    },
    /// 1: fewer joined than the least cohort.
    TooFewJoined(Shortfall),
    /// 2: fewer shared than n − d.
    TooFewShared(Shortfall),
    /// 3: fewer uploaded than max(n − d, q).
    TooFewUploaded(Shortfall),
    /// 4: fewer voted than q.
    TooFewVoted(Shortfall),
    /// 5: some secret has fewer good shares than t; the counts are that secret's.
    TooFewAnswered(Shortfall),
    /// 6: reveals were missing in the last attempt.
    RevealsMissing {
        /// Who was silent, ascending.
        silent: Vec<NodeId>,
    },
    /// 7: no k, t, q serve the declared γ and δ with these members.
    NoParameters,
    /// 8: a rebuilt secret is not the one that its dealer signed for.
    BadDealer {
        /// The dealer.
        dealer: NodeId,
    },
    /// 9: the operator stopped it.
    Stopped,
    /// 10: the round goes on without the one that is told so.
    OutOfRound(OutCause),
}

/// Why a participant was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutCause {
    /// 0: its message came after its phase had ended, or not at all.
    Late,
    /// 1: it signed two different joins, or two different upload statements.
    Contradiction,
    /// 2: it complained about more dealers than anybody else did (section 7.3).
    Complaints,
    /// 3: too many complained about it (section 7.3).
    ComplainedOf,
    /// 4: too few of its neighbours are left.
    FewNeighbours,
    /// 5: what it uploaded is no vector of the cohort.
    Payload,
    /// 6: it broke the protocol in an earlier round of the task.
    Blamed,
}

impl EndReason {
    /// Whether the same members may try again with the same numbers.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Done { .. } | Self::NoParameters)
    }

    /// Whom the round failed on, if that is proved.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        match self {
            Self::BadDealer { dealer } => Some(*dealer),
            _ => None,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Done { .. } => 0,
            Self::TooFewJoined(_) => 1,
            Self::TooFewShared(_) => 2,
            Self::TooFewUploaded(_) => 3,
            Self::TooFewVoted(_) => 4,
            Self::TooFewAnswered(_) => 5,
            Self::RevealsMissing { .. } => 6,
            Self::NoParameters => 7,
            Self::BadDealer { .. } => 8,
            Self::Stopped => 9,
            Self::OutOfRound(_) => 10,
        }
    }
}

impl End {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.config.0);
        writer.u8(self.reason.kind());
        match &self.reason {
            EndReason::Done { sum, weight, survivors, epsilon } => {
                writer.raw(&sum.0);
                writer.u64(*weight);
                writer.raw(&survivors.0);
                fields::write_f64(writer, *epsilon);
            }
            EndReason::TooFewJoined(few)
            | EndReason::TooFewShared(few)
            | EndReason::TooFewUploaded(few)
            | EndReason::TooFewVoted(few)
            | EndReason::TooFewAnswered(few) => {
                writer.u16(few.expected);
                writer.u16(few.got);
            }
            EndReason::RevealsMissing { silent } => write_nodes(writer, silent),
            EndReason::BadDealer { dealer } => writer.raw(&dealer.0),
            EndReason::OutOfRound(cause) => writer.u8(cause.kind()),
            EndReason::NoParameters | EndReason::Stopped => {}
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        let config = fields::hash(reader)?;
        let reason = match reader.u8()? {
            0 => done(reader)?,
            1 => EndReason::TooFewJoined(shortfall(reader)?),
            2 => EndReason::TooFewShared(shortfall(reader)?),
            3 => EndReason::TooFewUploaded(shortfall(reader)?),
            4 => EndReason::TooFewVoted(shortfall(reader)?),
            5 => EndReason::TooFewAnswered(shortfall(reader)?),
            6 => EndReason::RevealsMissing { silent: nodes(reader)? },
            7 => EndReason::NoParameters,
            8 => EndReason::BadDealer { dealer: fields::node(reader)? },
            9 => EndReason::Stopped,
            10 => EndReason::OutOfRound(OutCause::read(reader)?),
            got => return Err(DocumentError::Kind { what: "end", got }),
        };
        Ok(Self { config, reason })
    }
}

impl OutCause {
    const fn kind(self) -> u8 {
        match self {
            Self::Late => 0,
            Self::Contradiction => 1,
            Self::Complaints => 2,
            Self::ComplainedOf => 3,
            Self::FewNeighbours => 4,
            Self::Payload => 5,
            Self::Blamed => 6,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DocumentError> {
        match reader.u8()? {
            0 => Ok(Self::Late),
            1 => Ok(Self::Contradiction),
            2 => Ok(Self::Complaints),
            3 => Ok(Self::ComplainedOf),
            4 => Ok(Self::FewNeighbours),
            5 => Ok(Self::Payload),
            6 => Ok(Self::Blamed),
            got => Err(DocumentError::Kind { what: "cause to be left out", got }),
        }
    }
}

fn done(reader: &mut Reader<'_>) -> Result<EndReason, DocumentError> {
    let (sum, weight) = (fields::hash(reader)?, reader.u64()?);
    let (survivors, epsilon) = (fields::hash(reader)?, fields::f64(reader)?);
    if epsilon.is_nan() || epsilon.is_sign_negative() {
        return Err(DocumentError::Float { what: "ε", expected: "0 or above, or infinite", got: epsilon });
    }
    Ok(EndReason::Done { sum, weight, survivors, epsilon })
}

fn shortfall(reader: &mut Reader<'_>) -> Result<Shortfall, DocumentError> {
    Ok(Shortfall { expected: reader.u16()?, got: reader.u16()? })
}
