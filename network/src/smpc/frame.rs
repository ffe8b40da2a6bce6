//! A frame, and what makes it the next one.

use std::fmt;

use neuro_primitives::codec::{CodecError, Reader, Writer};

/// Bytes of a session's id.
pub const SESSION_BYTES: usize = 16;

/// Bytes in front of a frame's body: session, number, kind, step, part.
pub const HEADER_BYTES: usize = SESSION_BYTES + 8 + 1 + 8 + 4;

/// A session: random, chosen by its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; SESSION_BYTES]);

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A message of the session.
    Message,
    /// The session is over; the body is the reason as text.
    Abort(Ending),
}

/// How a session ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Somebody does what is not agreed: another session would end as this one.
    Fault,
    /// Somebody is gone or late: another session may go well.
    Loss,
}

/// One frame. Its body may be shares, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which session it belongs to.
    pub session: SessionId,
    /// Its number among the frames of this direction of this link, from 0.
    pub sequence: u64,
    /// What it is for.
    pub kind: FrameKind,
    /// Number of the step in the program.
    pub step: u64,
    /// Number among the messages of that step on this link.
    pub part: u32,
    /// What it says.
    pub body: Vec<u8>,
}

/// Bytes that are no frame, or not the one that is due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Not a frame.
    #[error("not a frame: {0}")]
    Malformed(#[from] CodecError),
    /// A kind that nobody knows.
    #[error("not a frame: expected kind 0, 1 or 2, got {got}")]
    Kind {
        /// What came.
        got: u8,
    },
    /// A frame of another session.
    #[error("a frame of session {got}, expected {expected}")]
    Foreign {
        /// This session.
        expected: SessionId,
        /// The other one.
        got: SessionId,
    },
    /// A frame that came before, or ahead of its turn.
    #[error("frame {got}, expected {expected}: repeated or out of order")]
    OutOfOrder {
        /// The number that is due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
}

impl FrameFault {
    /// The same without the numbers.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Kind { .. } => "what it sent is no frame",
            Self::Foreign { .. } => "it sent a frame of another session",
            Self::OutOfOrder { .. } => "it sent a frame twice or out of order",
        }
    }
}

impl Frame {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(HEADER_BYTES + self.body.len());
        writer.raw(&self.session.0);
        writer.u64(self.sequence);
        writer.u8(match self.kind {
            FrameKind::Message => 0,
            FrameKind::Abort(Ending::Fault) => 1,
            FrameKind::Abort(Ending::Loss) => 2,
        });
        writer.u64(self.step);
        writer.u32(self.part);
        writer.raw(&self.body);
        writer.finish()
    }

    /// Reads a frame of any session and number.
    ///
    /// # Errors
    /// Bytes that are no frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameFault> {
        let mut reader = Reader::new(bytes);
        let session = SessionId(reader.array()?);
        let sequence = reader.u64()?;
        let kind = match reader.u8()? {
            0 => FrameKind::Message,
            1 => FrameKind::Abort(Ending::Fault),
            2 => FrameKind::Abort(Ending::Loss),
            got => return Err(FrameFault::Kind { got }),
        };
        let (step, part) = (reader.u64()?, reader.u32()?);
        let body = reader.raw(reader.left())?.to_vec();
        Ok(Self { session, sequence, kind, step, part, body })
    }
}

/// What has come over one direction of a link: the next number, and a running hash of everything before it.
#[derive(Clone)]
pub struct Order {
    session: SessionId,
    next: u64,
    bytes: u64,
    hash: blake3::Hasher,
}

impl Order {
    /// Of a link that begins.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self { session, next: 0, bytes: 0, hash: blake3::Hasher::new() }
    }

    /// Which session.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Frames so far.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.next
    }

    /// Their bytes so far, without the lengths in front.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// BLAKE3 of all frames so far, one after the other.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.hash.finalize().as_bytes()
    }

    /// The frame in `bytes`, if it is the next one.
    ///
    /// # Errors
    /// No frame, one of another session, one that came before or ahead of its turn. Nothing is counted then.
    pub fn admit(&mut self, bytes: &[u8]) -> Result<Frame, FrameFault> {
        let frame = Frame::decode(bytes)?;
        if frame.session != self.session {
            return Err(FrameFault::Foreign { expected: self.session, got: frame.session });
        }
        if frame.sequence != self.next {
            return Err(FrameFault::OutOfOrder { expected: self.next, got: frame.sequence });
        }
        self.count(bytes);
        Ok(frame)
    }

    /// The bytes of the next frame to be sent.
    pub(super) fn next_frame(&mut self, kind: FrameKind, step: u64, part: u32, body: Vec<u8>) -> Vec<u8> {
        let bytes = Frame { session: self.session, sequence: self.next, kind, step, part, body }.encode();
        self.count(&bytes);
        bytes
    }

    fn count(&mut self, bytes: &[u8]) {
        self.next += 1;
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }
}

#[cfg(test)]
mod tests;
