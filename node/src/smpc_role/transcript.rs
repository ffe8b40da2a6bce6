//! What is left of a session: signed accounts without a word of its text.
//!
//! Every party signs a [`Statement`]; the client keeps all three as a [`Transcript`] and signs a [`Receipt`] for them. The
//! running hash of everything that went over a link stands in the accounts of both of its ends, so an account that was
//! made up does not fit the others. `docs/spec/smpc-session.md` has the bytes.

use neuro_network::smpc::{LinkTraffic, SessionId};
use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::{Domain, Hash, NodeId, NodeKey, Signature};
use neuro_smpc::party::PartyId;

use super::agreement::Agreement;

/// What a party signs a statement for.
const STATEMENT_DOMAIN: Domain = Domain("neuro/smpc-statement/1");

/// What a client signs a receipt for.
const RECEIPT_DOMAIN: Domain = Domain("neuro/smpc-receipt/2");

/// Bytes of a statement or a receipt: the largest has about 1.4 KiB.
pub(super) const MAX_DOCUMENT_BYTES: usize = 4 << 10;

/// Bytes of the reason of a failure.
const MAX_REASON_BYTES: usize = 512;

/// The first bytes of a transcript's file.
const MAGIC: &[u8] = b"neuro smpc transcript 3\n";

/// Canonical bytes and who signed them is said inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The bytes.
    pub document: Vec<u8>,
    /// The signature over them.
    pub signature: Signature,
}

impl Signed {
    /// Names it: the document and who signed it how.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[&self.document[..], &self.signature.0].concat())
    }
}

/// A party's account of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The terms.
    pub agreement: Agreement,
    /// Who says it.
    pub party: PartyId,
    /// Tokens whose logits were handed to the client.
    pub tokens: u32,
    /// Rounds with the other parties.
    pub rounds: u64,
    /// Bytes sent to the other parties.
    pub bytes: u64,
    /// What went over the links to parties 0, 1 and 2; in the party's own place, over the link to the client, until the
    /// client's `finish`.
    pub links: [LinkTraffic; 3],
    /// Why it failed; nothing where it did not.
    pub failure: Option<String>,
    /// When it began, milliseconds since 1970 by the party's clock.
    pub began_ms: u64,
    /// How long it took.
    pub took_ms: u64,
}

/// What a client signs for what it got: the basis of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which session.
    pub session: SessionId,
    /// The terms.
    pub agreement: Hash,
    /// Who got it.
    pub client: NodeId,
    /// Tokens that it got.
    pub tokens: u32,
    /// Hashes of the three signed statements. Each party has its own alone, and can tell whether it is the one that is meant.
    pub statements: [Hash; 3],
}

/// The accounts of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Signed statements; three at a client, one at a party.
    pub statements: Vec<Signed>,
    /// The client's receipt.
    pub receipt: Option<Signed>,
}

/// What accounts of one session say, each of them signed by whom it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Those of different parties, in their order.
    pub statements: Vec<Statement>,
    /// The client's, for what the statements tell.
    pub receipt: Option<Receipt>,
}

/// Why an account is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// Bytes that are none.
    #[error("not a transcript: {0}")]
    Codec(#[from] CodecError),
    /// Another file.
    #[error("not a transcript: it does not begin as one")]
    Magic,
    /// Not signed by whom it names.
    #[error("{what} is not signed by whom it names")]
    Signature {
        /// Which document.
        what: &'static str,
    },
    /// Accounts of different sessions or parties.
    #[error("the statements are not those of different parties of one session")]
    NotOneSession,
    /// A receipt of something else.
    #[error("the receipt does not fit the statements: it names another {what}")]
    Receipt {
        /// What differs.
        what: &'static str,
    },
    /// A client that has signed twice.
    #[error("there are two different receipts")]
    TwoReceipts,
    /// A party signs another count than the client has seen.
    #[error("party {party} signs for {said} tokens, and this client got {got}")]
    Tokens {
        /// Who.
        party: PartyId,
        /// What it says.
        said: u32,
        /// What the client got.
        got: u32,
    },
    /// Two ends of a link tell different things.
    #[error("{one} and {other} tell different things of the link between them")]
    LinksDiffer {
        /// One end.
        one: String,
        /// The other.
        other: String,
    },
}

impl Statement {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &NodeKey) -> Signed {
        let document = self.encode();
        Signed { signature: key.sign(STATEMENT_DOMAIN, &document), document }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(&self.agreement.encode());
        writer.u8(self.party.index() as u8);
        writer.u32(self.tokens);
        writer.u64(self.rounds);
        writer.u64(self.bytes);
        for link in &self.links {
            writer.u64(link.sent_bytes);
            writer.u64(link.received_bytes);
            writer.raw(&link.sent_hash);
            writer.raw(&link.received_hash);
        }
        let reason = self.failure.as_deref().unwrap_or_default();
        writer.flag(self.failure.is_some());
        writer.text(&reason[..reason.floor_char_boundary(MAX_REASON_BYTES)]);
        writer.u64(self.began_ms);
        writer.u64(self.took_ms);
        writer.finish()
    }

    /// Reads the canonical bytes.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let agreement = Agreement::decode(reader.bytes("bytes of an agreement", MAX_DOCUMENT_BYTES)?)?;
        let index = reader.u8()?;
        let out_of_range = CodecError::TooMany { what: "as a party's index", limit: 2, got: usize::from(index) };
        let party = PartyId::new(index).ok_or(out_of_range)?;
        let (tokens, rounds, bytes) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let links = [read_link(&mut reader)?, read_link(&mut reader)?, read_link(&mut reader)?];
        let failed = reader.flag()?;
        let reason = reader.text("bytes of a reason", MAX_REASON_BYTES)?.to_owned();
        let (began_ms, took_ms) = (reader.u64()?, reader.u64()?);
        reader.finish()?;
        let failure = failed.then_some(reason);
        Ok(Self { agreement, party, tokens, rounds, bytes, links, failure, began_ms, took_ms })
    }

    /// The statement in `signed`, if the party that it names has signed it.
    ///
    /// # Errors
    /// See [`TranscriptError`].
    pub fn verified(signed: &Signed) -> Result<Self, TranscriptError> {
        let statement = Self::decode(&signed.document)?;
        let node = statement.agreement.parties[statement.party.index()];
        if node.verifies(STATEMENT_DOMAIN, &signed.document, &signed.signature) {
            Ok(statement)
        } else {
            Err(TranscriptError::Signature { what: "a statement" })
        }
    }
}

/// Links of which two signed statements of one session tell different things: as many bytes, and another hash. Whoever of
/// the two is wrong has signed it. Where a session broke off, what was still under way proves nothing.
#[must_use]
pub fn contradicted(statements: &[Statement]) -> Vec<[PartyId; 2]> {
    let contradicts = |one: &Statement, other: &Statement| {
        let (ours, theirs) = (&one.links[other.party.index()], &other.links[one.party.index()]);
        (ours.sent_bytes == theirs.received_bytes && ours.sent_hash != theirs.received_hash)
            || (ours.received_bytes == theirs.sent_bytes && ours.received_hash != theirs.sent_hash)
    };
    let pairs = statements.iter().enumerate().flat_map(|(at, one)| {
        statements[at + 1..].iter().filter(move |other| contradicts(one, other)).map(|other| [one.party, other.party])
    });
    pairs.collect()
}

impl Receipt {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &NodeKey) -> Signed {
        let mut writer = Writer::new();
        writer.raw(&self.session.0);
        writer.raw(&self.agreement.0);
        writer.raw(&self.client.0);
        writer.u32(self.tokens);
        self.statements.iter().for_each(|hash| writer.raw(&hash.0));
        let document = writer.finish();
        Signed { signature: key.sign(RECEIPT_DOMAIN, &document), document }
    }

    /// The receipt in `signed`, if the client that it names has signed it.
    ///
    /// # Errors
    /// See [`TranscriptError`].
    pub fn verified(signed: &Signed) -> Result<Self, TranscriptError> {
        let mut reader = Reader::new(&signed.document);
        let receipt = Self {
            session: SessionId(reader.array()?),
            agreement: Hash(reader.array()?),
            client: NodeId(reader.array()?),
            tokens: reader.u32()?,
            statements: [Hash(reader.array()?), Hash(reader.array()?), Hash(reader.array()?)],
        };
        reader.finish()?;
        if receipt.client.verifies(RECEIPT_DOMAIN, &signed.document, &signed.signature) {
            Ok(receipt)
        } else {
            Err(TranscriptError::Signature { what: "the receipt" })
        }
    }

    /// Whether it is for `statement`, which its party handed over as `signed`.
    ///
    /// # Errors
    /// [`TranscriptError::Receipt`] names what differs.
    pub fn fits(&self, statement: &Statement, signed: &Signed) -> Result<(), TranscriptError> {
        let terms = &statement.agreement;
        let pairs = [
            ("session", self.session == terms.session),
            ("agreement", self.agreement == terms.hash()),
            ("client", self.client == terms.client),
            ("number of tokens", self.tokens == statement.tokens),
            ("statement", self.statements[statement.party.index()] == signed.hash()),
        ];
        let differs = pairs.into_iter().find(|(_, same)| !same);
        differs.map_or(Ok(()), |(what, _)| Err(TranscriptError::Receipt { what }))
    }
}

impl Transcript {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        writer.count(self.statements.len());
        for signed in self.statements.iter().chain(&self.receipt) {
            writer.bytes(&signed.document);
            writer.raw(&signed.signature.0);
        }
        writer.finish()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Bytes that are no transcript.
    pub fn decode(bytes: &[u8]) -> Result<Self, TranscriptError> {
        let bytes = bytes.strip_prefix(MAGIC).ok_or(TranscriptError::Magic)?;
        let mut reader = Reader::new(bytes);
        let count = reader.count("statements", 3, 4 + 64)?;
        let statements = (0..count).map(|_| read_signed(&mut reader)).collect::<Result<_, _>>()?;
        let receipt = if reader.left() == 0 { None } else { Some(read_signed(&mut reader)?) };
        reader.finish()?;
        Ok(Self { statements, receipt })
    }

    /// What `files` hold together, as the three parties and the client keep them: each statement once.
    ///
    /// # Errors
    /// A statement that its party has not signed; receipts that differ.
    pub fn joined(files: &[Self]) -> Result<Self, TranscriptError> {
        let named = |signed: &Signed| Statement::verified(signed).map(|statement| (statement.party, signed.clone()));
        let statements = files.iter().flat_map(|file| &file.statements).map(named);
        let mut statements = statements.collect::<Result<Vec<_>, _>>()?;
        statements.sort_by_key(|(party, _)| *party);
        statements.dedup();
        let statements = statements.into_iter().map(|(_, signed)| signed).collect();
        let mut receipts = files.iter().filter_map(|file| file.receipt.as_ref());
        let receipt = receipts.next();
        if receipts.any(|other| Some(other) != receipt) {
            return Err(TranscriptError::TwoReceipts);
        }
        Ok(Self { statements, receipt: receipt.cloned() })
    }

    /// What it says: statements of different parties of one session, each signed by its party, and a receipt that the
    /// session's client has signed for them. Links are not compared: see [`contradicted`].
    ///
    /// # Errors
    /// See [`TranscriptError`].
    pub fn accounts(&self) -> Result<Accounts, TranscriptError> {
        let statements = self.statements.iter().map(Statement::verified).collect::<Result<Vec<_>, _>>()?;
        let fits = |pair: &[Statement]| pair[0].agreement == pair[1].agreement && pair[0].party < pair[1].party;
        if !statements.windows(2).all(fits) {
            return Err(TranscriptError::NotOneSession);
        }
        let receipt = self.receipt.as_ref().map(Receipt::verified).transpose()?;
        if let Some(receipt) = &receipt {
            statements
                .iter()
                .zip(&self.statements)
                .try_for_each(|(statement, signed)| receipt.fits(statement, signed))?;
        }
        Ok(Accounts { statements, receipt })
    }

    /// As [`Self::accounts`]; of three parties, both ends of every link between them tell the same.
    ///
    /// # Errors
    /// See [`TranscriptError`].
    pub fn verified(&self) -> Result<Accounts, TranscriptError> {
        let accounts = self.accounts()?;
        if let [first, second, third] = &accounts.statements[..] {
            check_links([first, second, third])?;
        }
        Ok(accounts)
    }
}

fn check_links(statements: [&Statement; 3]) -> Result<(), TranscriptError> {
    if statements.iter().any(|statement| statement.failure.is_some()) {
        return Ok(());
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let (here, there) = (&statements[one].links[other], &statements[other].links[one]);
        if here.sent_hash != there.received_hash || here.received_hash != there.sent_hash {
            return Err(TranscriptError::LinksDiffer { one: format!("party {one}"), other: format!("party {other}") });
        }
    }
    Ok(())
}

fn read_link(reader: &mut Reader<'_>) -> Result<LinkTraffic, CodecError> {
    let (sent_bytes, received_bytes) = (reader.u64()?, reader.u64()?);
    Ok(LinkTraffic { sent_bytes, received_bytes, sent_hash: reader.array()?, received_hash: reader.array()? })
}

fn read_signed(reader: &mut Reader<'_>) -> Result<Signed, CodecError> {
    let document = reader.bytes("bytes of a document", MAX_DOCUMENT_BYTES)?.to_vec();
    Ok(Signed { document, signature: Signature(reader.array()?) })
}

#[cfg(test)]
mod tests;
