//! What participants and aggregator tell each other, byte for byte (sections 5, 7 to 9).
//!
//! A participant's message is `kind ‖ body`; what proves something carries a signature in its body. An aggregator's
//! message after the configuration is an *announcement*, `kind ‖ body ‖ signature`, the signature over the BLAKE3 of all
//! before it.
//! The kinds are the numbers of the steps in the specification's figure. Lists whose length the cohort fixes carry no
//! count, so their readers are given the cohort's [`Shape`].

use neuro_primitives::codec::{Reader, Writer};
use neuro_primitives::{Hash, NodeId, NodeKey, Signature, Untrusted};

use crate::error::DocumentError;
use crate::fields::SIGNATURE_BYTES;
use crate::tags;

mod answer;
mod cohort;
mod end;
mod inbox;
mod join;
mod resume;
mod reveal;
mod shape;
mod sharers;
mod shares;
mod survivors;
mod upload;
mod vote;

pub use answer::{Answer, Share};
pub(crate) use cohort::COHORT_KIND;
pub use cohort::{Cohort, Row};
pub use end::{End, EndReason, OutCause, Shortfall};
pub use inbox::{Dealing, Inbox};
pub use join::{Join, JoinStatement, LAST_ATTEMPT, nonce_commitment};
pub use resume::{Have, Restart};
pub use reveal::{Nonces, NoncesRefused, Reveal};
pub use shape::Shape;
pub use sharers::{Received, Sharers, sharers_hash};
pub use shares::{ShareStatement, Shares};
pub use survivors::{ShownUpload, Survivors, survivors_hash};
pub use upload::{Upload, UploadStatement};
pub use vote::{Certificate, Vote};

/// The longest announcement: a cohort of 4,096 rows of 192 bytes, or an inbox of 1,600 boxes, with room to spare. No
/// sender makes a longer one and the transport takes none.
pub const MOST_ANNOUNCEMENT_BYTES: usize = 1 << 20;
/// The longest message of a participant: shares for 1,600 neighbours take 231 KB, commitments 102 KB more.
pub const MOST_MESSAGE_BYTES: usize = 512 << 10;

/// A message of a participant to the aggregator.
#[expect(clippy::large_enum_variant, reason = "one is held at a time, and joins, the largest, are small")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// 1: keys and the commitment to a nonce.
    Join(Join),
    /// 2: the nonce.
    Reveal(Reveal),
    /// 3: shares for all neighbours.
    Shares(Box<Shares>),
    /// 4: which dealers were bad.
    Received(Received),
    /// 5: what the payload is that follows.
    Upload(Upload),
    /// 6: the vote for one set.
    Vote(Vote),
    /// 7: one share per neighbour.
    Answer(Answer),
    /// 8: which announcement the participant has, after a break.
    Have(Have),
}

impl Message {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(self.kind());
        match self {
            Self::Join(join) => join.write(&mut writer),
            Self::Reveal(reveal) => reveal.write(&mut writer),
            Self::Shares(shares) => shares.write(&mut writer),
            Self::Received(received) => received.write(&mut writer),
            Self::Upload(upload) => upload.write(&mut writer),
            Self::Vote(vote) => vote.write(&mut writer),
            Self::Answer(answer) => answer.write(&mut writer),
            Self::Have(have) => have.write(&mut writer),
        }
        writer.finish()
    }

    /// The message in `bytes`, with signatures that were not looked at. `cohort` is the shape of the round's cohort,
    /// none before there is one.
    ///
    /// # Errors
    /// When the bytes are malformed, or when they need a cohort and there is none.
    pub fn decode(bytes: &[u8], cohort: Option<&Shape>) -> Result<Self, DocumentError> {
        let mut reader = Reader::new(bytes);
        let need = |kind| cohort.ok_or(DocumentError::NoCohort { kind });
        let message = match reader.u8()? {
            1 => Self::Join(Join::read(&mut reader)?),
            2 => Self::Reveal(Reveal::read(&mut reader)?),
            3 => Self::Shares(Box::new(Shares::read(&mut reader, need("shares")?)?)),
            4 => Self::Received(Received::read(&mut reader, need("complaints")?)?),
            5 => Self::Upload(Upload::read(&mut reader)?),
            6 => Self::Vote(Vote::read(&mut reader)?),
            7 => Self::Answer(Answer::read(&mut reader, need("an answer")?)?),
            8 => Self::Have(Have::read(&mut reader)?),
            got => return Err(DocumentError::Kind { what: "message", got }),
        };
        reader.finish()?;
        Ok(message)
    }

    /// The number of the step.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Join(_) => 1,
            Self::Reveal(_) => 2,
            Self::Shares(_) => 3,
            Self::Received(_) => 4,
            Self::Upload(_) => 5,
            Self::Vote(_) => 6,
            Self::Answer(_) => 7,
            Self::Have(_) => 8,
        }
    }
}

/// A message of the aggregator to one participant or to all.
#[derive(Debug, Clone, PartialEq)]
pub enum Announcement {
    /// 1: all joins and the parameters.
    Cohort(Cohort),
    /// 2: all nonces.
    Nonces(Nonces),
    /// 3: the boxes for one member.
    Inbox(Inbox),
    /// 4: who shared.
    Sharers(Sharers),
    /// 5: the one set, with the statements of one member's neighbours.
    Survivors(Survivors),
    /// 6: the votes for it.
    Certificate(Certificate),
    /// 7: the result, or why there is none.
    End(End),
    /// 8: the next attempt.
    Restart(Restart),
}

impl Announcement {
    /// The bytes, signed with the aggregator's key: their hash is, since an inbox of 80 KB would go through ed25519's own
    /// hash function twice, which takes ten times as long.
    #[must_use]
    pub fn sign(&self, key: &NodeKey) -> Vec<u8> {
        let mut bytes = self.unsigned();
        let signature = key.sign(tags::ANNOUNCEMENT, &Hash::of(&bytes).0);
        bytes.extend_from_slice(&signature.0);
        bytes
    }

    /// The announcement in `bytes`, if `aggregator` signed it. `cohort` is the shape of the round's cohort, none before
    /// there is one.
    ///
    /// # Errors
    /// When it is too long; when the signature is not the aggregator's; when the bytes are malformed although it is; or when they need a
    /// cohort and there is none.
    pub fn open(bytes: &[u8], aggregator: NodeId, cohort: Option<&Shape>) -> Result<Self, AnnouncementRefused> {
        let unsigned = Self::authentic(bytes, aggregator)?;
        Self::read(unsigned, cohort).map_err(|source| AnnouncementRefused::Malformed { aggregator, source })
    }

    /// The unsigned part of `bytes`, if `aggregator` signed it and it is not longer than any announcement.
    pub(crate) fn authentic(bytes: &[u8], aggregator: NodeId) -> Result<&[u8], AnnouncementRefused> {
        if bytes.len() > MOST_ANNOUNCEMENT_BYTES {
            return Err(AnnouncementRefused::TooLong { most: MOST_ANNOUNCEMENT_BYTES, got: bytes.len() });
        }
        let signed = bytes.split_last_chunk::<SIGNATURE_BYTES>();
        let (unsigned, signature) = signed.ok_or(AnnouncementRefused::Signature { aggregator })?;
        if !aggregator.verifies(tags::ANNOUNCEMENT, &Hash::of(unsigned).0, &Signature(*signature)) {
            return Err(AnnouncementRefused::Signature { aggregator });
        }
        Ok(unsigned)
    }

    /// The number of the step.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Cohort(_) => 1,
            Self::Nonces(_) => 2,
            Self::Inbox(_) => 3,
            Self::Sharers(_) => 4,
            Self::Survivors(_) => 5,
            Self::Certificate(_) => 6,
            Self::End(_) => 7,
            Self::Restart(_) => 8,
        }
    }

    /// `kind ‖ body`: what is signed.
    #[must_use]
    pub fn unsigned(&self) -> Vec<u8> {
        // A thousand inboxes of 80 KB that grow bit by bit are copied twice and touch as much fresh memory again.
        let room = if let Self::Inbox(inbox) = self { inbox.bytes() } else { 0 };
        let mut writer = Writer::with_capacity(1 + room + SIGNATURE_BYTES);
        writer.u8(self.kind());
        match self {
            Self::Cohort(cohort) => cohort.write(&mut writer),
            Self::Nonces(nonces) => nonces.write(&mut writer),
            Self::Inbox(inbox) => inbox.write(&mut writer),
            Self::Sharers(sharers) => sharers.write(&mut writer),
            Self::Survivors(survivors) => survivors.write(&mut writer),
            Self::Certificate(certificate) => certificate.write(&mut writer),
            Self::End(end) => end.write(&mut writer),
            Self::Restart(restart) => restart.write(&mut writer),
        }
        writer.finish()
    }

    /// The announcement in `unsigned`, `kind ‖ body`, whoever wrote it: [`Self::open`] asks who did.
    ///
    /// # Errors
    /// When the bytes are malformed, or when they need a cohort and there is none.
    pub fn decode(unsigned: &[u8], cohort: Option<&Shape>) -> Result<Untrusted<Self>, DocumentError> {
        Self::read(unsigned, cohort).map(Untrusted::new)
    }

    pub(crate) fn read(unsigned: &[u8], cohort: Option<&Shape>) -> Result<Self, DocumentError> {
        let mut reader = Reader::new(unsigned);
        let need = |kind| cohort.ok_or(DocumentError::NoCohort { kind });
        let announcement = match reader.u8()? {
            1 => Self::Cohort(Cohort::read(&mut reader)?),
            2 => Self::Nonces(Nonces::read(&mut reader, need("nonces")?)?),
            3 => Self::Inbox(Inbox::read(&mut reader, need("an inbox")?)?),
            4 => Self::Sharers(Sharers::read(&mut reader, need("the sharers")?)?),
            5 => Self::Survivors(Survivors::read(&mut reader, need("the survivors")?)?),
            6 => Self::Certificate(Certificate::read(&mut reader, need("a certificate")?)?),
            7 => Self::End(End::read(&mut reader)?),
            8 => Self::Restart(Restart::read(&mut reader)?),
            got => return Err(DocumentError::Kind { what: "announcement", got }),
        };
        reader.finish()?;
        Ok(announcement)
    }
}

/// Why an announcement is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnnouncementRefused {
    /// The aggregator did not sign it.
    #[error("expected a signature of aggregator {aggregator} under the announcement, got another")]
    Signature {
        /// The aggregator that the roster names.
        aggregator: NodeId,
    },
    /// Longer than any announcement: nobody looks at it.
    #[error("expected an announcement of at most {most} bytes, got {got}")]
    TooLong {
        /// The bound.
        most: usize,
        /// Its length.
        got: usize,
    },
    /// The aggregator signed bytes that are no announcement.
    #[error("aggregator {aggregator} signed an announcement that cannot be read: {source}")]
    Malformed {
        /// The aggregator.
        aggregator: NodeId,
        /// What is wrong with them.
        source: DocumentError,
    },
}

impl AnnouncementRefused {
    /// The aggregator, if it signed what cannot be read.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        match self {
            Self::Signature { .. } | Self::TooLong { .. } => None,
            Self::Malformed { aggregator, .. } => Some(*aggregator),
        }
    }
}
