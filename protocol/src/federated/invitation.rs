//! The invitation: a line of text that lets a participant find a task, pin its owner, and be let in.
//!
//! The model owner signs it and hands it out by a way that the aggregator does not control. A participant learns from
//! it the owner and the task, which it pins, and which node aggregates. The aggregator gets it back at enrolment and
//! checks the owner's signature. Whoever bears an open invitation may enrol until it expires; which batch it comes
//! into is not its choice, and the owner may list nodes by key instead.

use neuro_primitives::{Domain, NodeId, NodeKey, Signature, UnixMillis};

use crate::codec::{CodecError, Reader, Writer};
use crate::limits::{MAX_ADDRESS_BYTES, MAX_TASK_NAME_BYTES, MAX_TICKET_ADDRESSES, MAX_TICKET_TEXT_BYTES};

/// What an invitation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The model owner, who signs invitation and roster.
    pub owner: NodeId,
    /// The task's name: printable ASCII, 1 to 64 bytes.
    pub task: String,
    /// The node that aggregates and must answer at the addresses.
    pub aggregator: NodeId,
    /// Where it listens: `host:port`, at most 8.
    pub addresses: Vec<String>,
    /// When the invitation stops enrolling anyone.
    pub expires: UnixMillis,
    /// How many nodes it enrols; 0: none, it is for nodes that the roster lists.
    pub uses: u32,
    /// Random bytes that tell invitations apart.
    pub nonce: [u8; 16],
}

/// An invitation with its signature. What it says is out of reach until [`SignedInvitation::verify_signature`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedInvitation {
    invitation: Invitation,
    signature: Signature,
}

/// A text that is no invitation, or one that does not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// The text is not an invitation, or was cut or mistyped.
    #[error("the invitation is malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// The signature is not the named owner's.
    #[error("the invitation is not signed by {owner}")]
    Forged {
        /// The owner that it names.
        owner: NodeId,
    },
    /// The invitation was good until `at`.
    #[error("the invitation expired {} s ago", .now.0.saturating_sub(.at.0) / 1000)]
    Expired {
        /// When it expired.
        at: UnixMillis,
        /// The time of the check.
        now: UnixMillis,
    },
    /// A good invitation to another task, or of another owner.
    #[error("expected an invitation to {expected:?}, got one to {got:?}")]
    OtherTask {
        /// The task of who checks.
        expected: String,
        /// The task of the invitation.
        got: String,
    },
}

impl InvitationError {
    /// Always false: another invitation is needed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

impl From<CodecError> for InvitationError {
    fn from(error: CodecError) -> Self {
        malformed(&error.to_string())
    }
}

impl Invitation {
    /// Signs the invitation with the owner's key.
    ///
    /// # Errors
    /// [`InvitationError::Malformed`] when it says what no reader accepts: a name or an address that is empty, too
    /// long or not printable ASCII, no address at all, or more than 8.
    pub fn sign(self, owner: &NodeKey) -> Result<SignedInvitation, InvitationError> {
        if !is_word(&self.task, MAX_TASK_NAME_BYTES) {
            return Err(malformed(&format!("{:?} is no name of a task", self.task)));
        }
        if self.addresses.is_empty() || self.addresses.len() > MAX_TICKET_ADDRESSES {
            let got = self.addresses.len();
            return Err(malformed(&format!("expected 1 to {MAX_TICKET_ADDRESSES} addresses, got {got}")));
        }
        if let Some(wrong) = self.addresses.iter().find(|address| !is_word(address, MAX_ADDRESS_BYTES)) {
            return Err(malformed(&format!("{wrong:?} is no address")));
        }
        let signature = owner.sign(DOMAIN, &self.encode());
        Ok(SignedInvitation { invitation: self, signature })
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(FORMAT);
        writer.raw(&self.owner.0);
        writer.text(&self.task);
        writer.raw(&self.aggregator.0);
        writer.count(self.addresses.len());
        self.addresses.iter().for_each(|address| writer.text(address));
        writer.u64(self.expires.0);
        writer.u32(self.uses);
        writer.raw(&self.nonce);
        writer.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, InvitationError> {
        let format = reader.u8()?;
        if format != FORMAT {
            return Err(malformed(&format!("expected an invitation of format {FORMAT}, got {format}")));
        }
        Ok(Self {
            owner: NodeId(reader.array()?),
            task: read_word(reader, "bytes of a task's name", MAX_TASK_NAME_BYTES)?,
            aggregator: NodeId(reader.array()?),
            addresses: read_addresses(reader)?,
            expires: UnixMillis(reader.u64()?),
            uses: reader.u32()?,
            nonce: reader.array()?,
        })
    }
}

impl SignedInvitation {
    /// One word of lower-case letters, digits and hyphens: it survives shells, chats and double clicks.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = [self.invitation.encode().as_slice(), &self.signature.0].concat();
        format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// The invitation in `text`. White space is skipped (a terminal may have wrapped it) and case does not matter.
    ///
    /// # Errors
    /// [`InvitationError::Malformed`] when it is no whole invitation.
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        let bytes = text_bytes(text)?;
        let mut reader = Reader::new(&bytes);
        let invitation = Invitation::read(&mut reader)?;
        let signature = Signature(reader.array()?);
        reader.finish()?;
        Ok(Self { invitation, signature })
    }

    /// What the invitation says, if the owner that it names signed it, expired or not: where to find the task.
    ///
    /// # Errors
    /// [`InvitationError::Forged`].
    pub fn verify_signature(&self) -> Result<&Invitation, InvitationError> {
        let owner = self.invitation.owner;
        if owner.verifies(DOMAIN, &self.invitation.encode(), &self.signature) {
            Ok(&self.invitation)
        } else {
            Err(InvitationError::Forged { owner })
        }
    }

    /// As [`Self::verify_signature`], for the aggregator that it is shown to: anyone can sign invitations of their
    /// own, so it must be `owner`'s, to `task`, and good at `now`.
    ///
    /// # Errors
    /// All but `Malformed`.
    pub fn verify_for(&self, owner: NodeId, task: &str, now: UnixMillis) -> Result<&Invitation, InvitationError> {
        let invitation = self.verify_signature()?;
        if invitation.owner != owner {
            return Err(InvitationError::Forged { owner });
        }
        if invitation.task != task {
            return Err(InvitationError::OtherTask { expected: task.to_owned(), got: invitation.task.clone() });
        }
        let at = invitation.expires;
        if now >= at { Err(InvitationError::Expired { at, now }) } else { Ok(invitation) }
    }
}

fn text_bytes(text: &str) -> Result<Vec<u8>, InvitationError> {
    if text.len() > MAX_TICKET_TEXT_BYTES {
        return Err(malformed(&format!("expected at most {MAX_TICKET_TEXT_BYTES} characters, got {}", text.len())));
    }
    let word: String = text.split_ascii_whitespace().collect::<String>().to_ascii_lowercase();
    let digits = word.strip_prefix(PREFIX).ok_or_else(|| malformed(&format!("it does not begin with {PREFIX}")))?;
    data_encoding::BASE32_NOPAD
        .decode(digits.to_ascii_uppercase().as_bytes())
        .map_err(|error| malformed(&format!("after {PREFIX}: {error}")))
}

fn read_addresses(reader: &mut Reader<'_>) -> Result<Vec<String>, InvitationError> {
    let count = reader.count("addresses", MAX_TICKET_ADDRESSES, 4)?;
    (0..count).map(|_| read_word(reader, "bytes of an address", MAX_ADDRESS_BYTES)).collect()
}

fn read_word(reader: &mut Reader<'_>, what: &'static str, limit: usize) -> Result<String, InvitationError> {
    let word = reader.text(what, limit)?;
    if is_word(word, limit) { Ok(word.to_owned()) } else { Err(malformed(&format!("{word:?} is not printable"))) }
}

/// Printable ASCII of a bounded length: it goes into messages for people as it is.
fn is_word(text: &str, limit: usize) -> bool {
    !text.is_empty() && text.len() <= limit && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn malformed(reason: &str) -> InvitationError {
    InvitationError::Malformed { reason: reason.to_owned() }
}

/// What an owner's signature on an invitation is about.
const DOMAIN: Domain = Domain("neuro/fl/invitation/1");

/// How the text begins, so that people and programs know what they look at.
const PREFIX: &str = "neuro-invitation-";

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests;
