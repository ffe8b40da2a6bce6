//! The voucher: what a worker and an orchestrator agree that the one has done for the other, ever.

use super::tagged;
use crate::clock::UnixMillis;
use crate::codec::{CodecError, Reader, Writer};
use crate::hash::Hash;
use crate::id::NodeId;
use crate::key::{Domain, NodeKey, Signature};

/// Running totals of one pair, in units: one row through one expert is one unit. None ever falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Totals {
    /// Answered in time and covered by a voucher's tree.
    pub covered: u64,
    /// Of the covered, those that were not disputed until their challenge window was over. What is paid.
    pub accepted: u64,
    /// Of the covered, those that were found wrong, or could not be compared. Never paid.
    pub denied: u64,
}

impl Totals {
    /// Units that are covered and neither accepted nor denied yet; none where the totals contradict each other.
    #[must_use]
    pub const fn held(&self) -> Option<u64> {
        match self.accepted.checked_add(self.denied) {
            Some(settled) => self.covered.checked_sub(settled),
            None => None,
        }
    }

    /// Whether none of them is below that of `earlier`.
    #[must_use]
    pub const fn follows(&self, earlier: &Self) -> bool {
        self.covered >= earlier.covered && self.accepted >= earlier.accepted && self.denied >= earlier.denied
    }
}

/// What both sides sign. The one with the highest sequence says everything; the others are history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voucher {
    /// Who asked.
    pub orchestrator: NodeId,
    /// Who answered.
    pub worker: NodeId,
    /// Rises with every voucher of the pair, not always by one. Never 0.
    pub sequence: u64,
    /// What was done from the beginning until now.
    pub totals: Totals,
    /// How many answers the tree has.
    pub answers: u32,
    /// The root over the leaves of the answers since the voucher before.
    pub root: Hash,
    /// [`Voucher::hash`] of the voucher that both had signed before, zeros for the first.
    pub previous: Hash,
    /// Until when the voucher may be presented for payment.
    pub expires: UnixMillis,
}

impl Voucher {
    /// The one form of these bytes, [`VOUCHER_BYTES`] of them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(VOUCHER_BYTES);
        writer.raw(&self.orchestrator.0);
        writer.raw(&self.worker.0);
        writer.u64(self.sequence);
        writer.u64(self.totals.covered);
        writer.u64(self.totals.accepted);
        writer.u64(self.totals.denied);
        writer.u32(self.answers);
        writer.raw(&self.root.0);
        writer.raw(&self.previous.0);
        writer.u64(self.expires.0);
        writer.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            orchestrator: NodeId(reader.array()?),
            worker: NodeId(reader.array()?),
            sequence: reader.u64()?,
            totals: Totals { covered: reader.u64()?, accepted: reader.u64()?, denied: reader.u64()? },
            answers: reader.u32()?,
            root: Hash(reader.array()?),
            previous: Hash(reader.array()?),
            expires: UnixMillis(reader.u64()?),
        })
    }

    /// What the next voucher names as its previous one. Signatures are not part of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        tagged(VOUCHER, &[&self.encode()])
    }

    /// Signs as the orchestrator.
    #[must_use]
    pub fn offer(self, key: &NodeKey) -> Offer {
        Offer { signature: key.sign(OFFER_DOMAIN, &self.encode()), voucher: self }
    }
}

/// A voucher that only the orchestrator signed. Not believed before [`Offer::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The voucher.
    pub voucher: Voucher,
    /// The orchestrator's signature, for the domain `neuro/voucher/offer/1`.
    pub signature: Signature,
}

/// A voucher that says two things at once, or that its parties did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoucherError {
    /// The bytes do not hold the fields.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A signature is not that of the party.
    #[error("the {party} {node} did not sign the voucher")]
    Forged {
        /// Which of the two.
        party: &'static str,
        /// The node that it names.
        node: NodeId,
    },
    /// More is accepted or denied than was covered, or the sequence is 0.
    #[error("the totals of the voucher contradict each other")]
    Contradiction,
}

impl VoucherError {
    /// Always false: the same bytes are refused again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

impl Offer {
    /// Whether the orchestrator that the voucher names signed it, and its totals can be.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(&self) -> Result<(), VoucherError> {
        let Voucher { orchestrator, totals, sequence, .. } = self.voucher;
        if totals.held().is_none() || sequence == 0 {
            return Err(VoucherError::Contradiction);
        }
        check("orchestrator", orchestrator, OFFER_DOMAIN, &self.voucher.encode(), &self.signature)
    }

    /// Signs as the worker.
    #[must_use]
    pub fn countersign(self, key: &NodeKey) -> SignedVoucher {
        let signature = key.sign(ACCEPT_DOMAIN, &self.voucher.encode());
        SignedVoucher { offer: self, signature }
    }

    /// The voucher and its signature as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.voucher.encode().as_slice(), &self.signature.0].concat()
    }

    /// What [`Self::encode`] made, still unverified.
    ///
    /// # Errors
    /// When the bytes are too few or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, VoucherError> {
        let mut reader = Reader::new(bytes);
        let offer = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(offer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { voucher: Voucher::read(reader)?, signature: Signature(reader.array()?) })
    }
}

/// A voucher that both signed. Not believed before [`SignedVoucher::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedVoucher {
    /// The voucher with the orchestrator's signature.
    pub offer: Offer,
    /// The worker's signature, for the domain `neuro/voucher/accept/1`.
    pub signature: Signature,
}

impl SignedVoucher {
    /// The voucher.
    #[must_use]
    pub const fn voucher(&self) -> &Voucher {
        &self.offer.voucher
    }

    /// Whether both parties that the voucher names signed it, and its totals can be.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(&self) -> Result<(), VoucherError> {
        self.offer.verify()?;
        self.verify_worker()
    }

    /// Whether the worker that the voucher names signed it.
    ///
    /// # Errors
    /// When it did not.
    pub fn verify_worker(&self) -> Result<(), VoucherError> {
        let voucher = self.voucher();
        check("worker", voucher.worker, ACCEPT_DOMAIN, &voucher.encode(), &self.signature)
    }

    /// The voucher and both signatures as bytes, orchestrator's first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.offer.encode().as_slice(), &self.signature.0].concat()
    }

    /// What [`Self::encode`] made, still unverified.
    ///
    /// # Errors
    /// When the bytes are too few or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, VoucherError> {
        let mut reader = Reader::new(bytes);
        let signed = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(signed)
    }

    /// The voucher at the head of `reader`, still unverified.
    ///
    /// # Errors
    /// When the bytes end early.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { offer: Offer::read(reader)?, signature: Signature(reader.array()?) })
    }
}

fn check(
    party: &'static str,
    node: NodeId,
    domain: Domain,
    message: &[u8],
    signature: &Signature,
) -> Result<(), VoucherError> {
    if node.verifies(domain, message, signature) { Ok(()) } else { Err(VoucherError::Forged { party, node }) }
}

/// Bytes of a voucher without signatures.
pub const VOUCHER_BYTES: usize = 2 * 32 + 8 + 3 * 8 + 4 + 2 * 32 + 8;

/// The two sides sign for different purposes: who is both would otherwise countersign by offering.
const OFFER_DOMAIN: Domain = Domain("neuro/voucher/offer/1");
const ACCEPT_DOMAIN: Domain = Domain("neuro/voucher/accept/1");

const VOUCHER: &str = "neuro/receipt/voucher/1";
