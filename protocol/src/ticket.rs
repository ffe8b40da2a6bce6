//! The join ticket: a line of text that lets a worker find an orchestrator, recognise it, and be let in.
//!
//! The orchestrator signs it with its node key. A worker learns from it whom to call and which key must answer; the
//! orchestrator gets it back when the worker joins and sees its own signature. Whoever has a ticket may join until it
//! expires: it is a secret among friends, not an identity.

use neuro_primitives::{Domain, NodeId, NodeKey, Signature, UnixMillis};

use crate::codec::{CodecError, Reader, Writer};
use crate::limits::{MAX_ADDRESS_BYTES, MAX_TICKET_ADDRESSES, MAX_TICKET_TEXT_BYTES};

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The orchestrator, whose key signs the ticket and must answer at the addresses.
    pub orchestrator: NodeId,
    /// Where its control services listen: `host:port`, at most 8.
    pub control: Vec<String>,
    /// Where its peer-to-peer side listens: multiaddresses as text, at most 8.
    pub p2p: Vec<String>,
    /// When the ticket stops letting anyone in.
    pub expires: UnixMillis,
    /// Random bytes that tell tickets apart.
    pub nonce: [u8; 16],
}

/// A ticket with its signature. What it says is out of reach until [`SignedTicket::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTicket {
    ticket: Ticket,
    signature: Signature,
}

/// A text that is no ticket, or one that does not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The text is not a ticket, or was cut or mistyped.
    #[error("the ticket is malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// The signature is not the named orchestrator's.
    #[error("the ticket is not signed by {orchestrator}")]
    Forged {
        /// The orchestrator that it names.
        orchestrator: NodeId,
    },
    /// The ticket was good until `at`.
    #[error("the ticket expired {} s ago", .now.0.saturating_sub(.at.0) / 1000)]
    Expired {
        /// When it expired.
        at: UnixMillis,
        /// The time of the check.
        now: UnixMillis,
    },
    /// A good ticket of another orchestrator.
    #[error("expected a ticket of {expected}, got one of {got}")]
    OtherOrchestrator {
        /// Who checks.
        expected: NodeId,
        /// Who signed.
        got: NodeId,
    },
}

impl TicketError {
    /// Always false: another ticket is needed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

impl From<CodecError> for TicketError {
    fn from(error: CodecError) -> Self {
        malformed(&error.to_string())
    }
}

impl Ticket {
    /// Signs the ticket with the orchestrator's key. Addresses that a ticket cannot carry (beyond the first 8 of a
    /// kind, too long, or with characters other than printable ASCII) are left out, so that the text can be read.
    #[must_use]
    pub fn sign(mut self, key: &NodeKey) -> SignedTicket {
        for addresses in [&mut self.control, &mut self.p2p] {
            addresses.retain(|address| is_address(address));
            addresses.truncate(MAX_TICKET_ADDRESSES);
        }
        let signature = key.sign(DOMAIN, &self.encode());
        SignedTicket { ticket: self, signature }
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(FORMAT);
        writer.raw(&self.orchestrator.0);
        write_addresses(&mut writer, &self.control);
        write_addresses(&mut writer, &self.p2p);
        writer.u64(self.expires.0);
        writer.raw(&self.nonce);
        writer.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, TicketError> {
        let format = reader.u8()?;
        if format != FORMAT {
            return Err(malformed(&format!("expected a ticket of format {FORMAT}, got {format}")));
        }
        Ok(Self {
            orchestrator: NodeId(reader.array()?),
            control: read_addresses(reader)?,
            p2p: read_addresses(reader)?,
            expires: UnixMillis(reader.u64()?),
            nonce: reader.array()?,
        })
    }
}

impl SignedTicket {
    /// One word of lower-case letters, digits and hyphens: it survives shells, chats and double clicks.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = [self.ticket.encode().as_slice(), &self.signature.0].concat();
        format!("{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// The ticket in `text`. White space is skipped (a terminal may have wrapped it) and case does not matter.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] when it is no whole ticket.
    pub fn from_text(text: &str) -> Result<Self, TicketError> {
        let bytes = text_bytes(text)?;
        let mut reader = Reader::new(&bytes);
        let ticket = Ticket::read(&mut reader)?;
        let signature = Signature(reader.array()?);
        reader.finish()?;
        Ok(Self { ticket, signature })
    }

    /// What the ticket says, if its orchestrator signed it and it is good at `now`.
    ///
    /// # Errors
    /// [`TicketError::Forged`] before [`TicketError::Expired`]: the expiry of a forged ticket means nothing.
    pub fn verify(&self, now: UnixMillis) -> Result<&Ticket, TicketError> {
        let ticket = self.verify_signature()?;
        let at = ticket.expires;
        if now >= at { Err(TicketError::Expired { at, now }) } else { Ok(ticket) }
    }

    /// What the ticket says, if its orchestrator signed it, expired or not: where to find that orchestrator, which
    /// still knows the workers that it admitted before.
    ///
    /// # Errors
    /// [`TicketError::Forged`].
    pub fn verify_signature(&self) -> Result<&Ticket, TicketError> {
        let orchestrator = self.ticket.orchestrator;
        if orchestrator.verifies(DOMAIN, &self.ticket.encode(), &self.signature) {
            Ok(&self.ticket)
        } else {
            Err(TicketError::Forged { orchestrator })
        }
    }

    /// As [`Self::verify`], for the orchestrator that a worker shows the ticket to: anyone can sign tickets of their
    /// own, so the issuer must be `own`.
    ///
    /// # Errors
    /// As [`Self::verify`], and when another orchestrator issued it.
    pub fn verify_issued_by(&self, own: NodeId, now: UnixMillis) -> Result<&Ticket, TicketError> {
        let ticket = self.verify(now)?;
        if ticket.orchestrator == own {
            Ok(ticket)
        } else {
            Err(TicketError::OtherOrchestrator { expected: own, got: ticket.orchestrator })
        }
    }
}

fn text_bytes(text: &str) -> Result<Vec<u8>, TicketError> {
    if text.len() > MAX_TICKET_TEXT_BYTES {
        return Err(malformed(&format!("expected at most {MAX_TICKET_TEXT_BYTES} characters, got {}", text.len())));
    }
    let word: String = text.split_ascii_whitespace().collect::<String>().to_ascii_lowercase();
    let digits = word.strip_prefix(PREFIX).ok_or_else(|| malformed(&format!("it does not begin with {PREFIX}")))?;
    data_encoding::BASE32_NOPAD
        .decode(digits.to_ascii_uppercase().as_bytes())
        .map_err(|error| malformed(&format!("after {PREFIX}: {error}")))
}

fn write_addresses(writer: &mut Writer, addresses: &[String]) {
    writer.count(addresses.len());
    addresses.iter().for_each(|address| writer.text(address));
}

fn read_addresses(reader: &mut Reader<'_>) -> Result<Vec<String>, TicketError> {
    let count = reader.count("addresses", MAX_TICKET_ADDRESSES, 4)?;
    (0..count).map(|_| read_address(reader)).collect()
}

fn read_address(reader: &mut Reader<'_>) -> Result<String, TicketError> {
    let address = reader.text("bytes of an address", MAX_ADDRESS_BYTES)?;
    if is_address(address) { Ok(address.to_owned()) } else { Err(malformed(&format!("{address:?} is no address"))) }
}

/// Printable ASCII of a bounded length: it goes into messages for people as it is.
fn is_address(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ADDRESS_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn malformed(reason: &str) -> TicketError {
    TicketError::Malformed { reason: reason.to_owned() }
}

/// What an orchestrator's signature on a ticket is about.
const DOMAIN: Domain = Domain("neuro/ticket/1");

/// How the text begins, so that people and programs know what they look at.
const PREFIX: &str = "neuro-ticket-";

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests;
