//! What a participant keeps on disk of a round (section 13). It is the whole state: a participant is made from it.

use std::fmt;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};
use zeroize::Zeroizing;

use crate::config::RoundConfig;
use crate::floors::Floors;
use crate::identity::{Bitmap, Member};
use crate::kdf::RoundSecret;
use crate::messages::Cohort;
use crate::seal::SharePair;

mod canonical;

pub use canonical::RecordError;

/// One record per task, round and cohort, replaced atomically. It holds secrets: readable by its owner alone.
#[derive(Clone)]
pub struct Record {
    /// Whose record it is.
    pub(super) member: NodeId,
    /// `r`, from which all randomness comes.
    pub(super) secret: RoundSecret,
    pub(super) config: RoundConfig,
    /// The floors as they were when the participant joined, as far as they concern a cohort.
    pub(super) floors: Floors,
    pub(super) attempt: u8,
    /// The cohort whose `R` the participant goes on with. Before reveal.
    pub(super) cohort: Option<Arc<Cohort>>,
    /// The graph's seed. Before shares.
    pub(super) seed: Option<Hash>,
    /// What was dealt to it. Before received.
    pub(super) held: Option<Held>,
    /// "Uploaded". Before the upload.
    pub(super) upload: Option<Uploaded>,
    /// `S`: "signed". Before the vote.
    pub(super) vote: Option<Bitmap>,
    /// The answer's bytes: "answered". Before the answer.
    pub(super) answer: Option<Zeroizing<Vec<u8>>>,
}

/// What a participant's neighbours dealt to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Whose signed statements were in the inbox.
    pub(super) stated: Bitmap,
    /// Who is complained about.
    pub(super) bad: Bitmap,
    /// The shares of all others in the inbox, ascending.
    pub(super) shares: Vec<(Member, SharePair)>,
}

/// What a participant uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uploaded {
    /// `U`, with whom it masked.
    pub(super) sharers: Bitmap,
    /// BLAKE3 of the payload.
    pub(super) payload: Hash,
    /// Its length.
    pub(super) bytes: u64,
}

impl Held {
    /// The shares of `dealer`, if they were good.
    pub(super) fn share(&self, dealer: Member) -> Option<&SharePair> {
        let at = self.shares.binary_search_by_key(&dealer, |(of, _)| *of).ok()?;
        Some(&self.shares[at].1)
    }
}

impl Record {
    pub(super) const fn new(secret: RoundSecret, member: NodeId, config: RoundConfig, floors: Floors) -> Self {
        Self {
            member,
            secret,
            config,
            floors,
            attempt: 0,
            cohort: None,
            seed: None,
            held: None,
            upload: None,
            vote: None,
            answer: None,
        }
    }

    /// The configuration of the round.
    #[must_use]
    pub const fn config(&self) -> &RoundConfig {
        &self.config
    }

    /// The hash of the stored payload, which an upload is taken from; none before "uploaded".
    #[must_use]
    pub fn payload(&self) -> Option<Hash> {
        self.upload.as_ref().map(|upload| upload.payload)
    }

    /// Forgets everything secret.
    pub(super) fn wipe(&mut self) {
        self.secret = RoundSecret::from_bytes([0; 32]);
        self.held = None;
        self.answer = None;
    }
}

/// Where the participant stands, without anything secret: the answer is for the aggregator, not for logs.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = [
            ("cohort", self.cohort.is_some()),
            ("seed", self.seed.is_some()),
            ("shares", self.held.is_some()),
            ("upload", self.upload.is_some()),
            ("vote", self.vote.is_some()),
            ("answer", self.answer.is_some()),
        ];
        let newest = reached.iter().rev().find(|(_, is_there)| *is_there).map_or("join", |(name, _)| *name);
        write!(f, "Record(of {}, attempt {}, {newest})", self.member.short(), self.attempt)
    }
}
