//! The configuration of one cohort of one round (section 4): everything that is agreed before anybody joins.

use neuro_primitives::{Hash, NodeKey, Signature};

use crate::error::DocumentError;
use crate::masks::Generator;
use crate::parameters::Demand;
use crate::tags;

mod canonical;
mod rules;
mod signed;

pub use signed::{ConfigRefused, SignedConfig};

/// The format that this build writes.
pub const CONFIG_FORMAT: u8 = 1;
/// The most model values in a vector.
pub const MOST_ENTRIES: u32 = 1 << 28;
/// The longest name of a strategy, in bytes.
pub const MOST_STRATEGY_NAME_BYTES: usize = 32;
/// The longest settings of a strategy, in bytes: a few numbers and names.
pub const MOST_STRATEGY_BYTES: usize = 4096;
/// The longest settings of the privacy mode, in bytes: a few numbers.
pub const MOST_PRIVACY_BYTES: usize = 256;
/// The greatest weight cap. With 32 value bits and 4,096 members the modulus has the 64 bits of a word.
pub const MOST_WEIGHT: u32 = 1 << 20;
/// The most members of a cohort: a cohort announcement stays below 1 MiB.
pub const MOST_MEMBERS: u16 = 4096;
/// Shares in 1/10,000 are at most the whole.
pub const WHOLE_BPS: u16 = 10_000;

/// What one cohort of one round agrees on. Public fields: [`RoundConfig::check`] says whether they are within bounds,
/// and what was decoded is.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundConfig {
    /// The task, [`crate::roster::task_id`].
    pub task: Hash,
    /// Number of the round within the task.
    pub round: u64,
    /// Which cohort of the round, from 0.
    pub cohort: u16,
    /// How many cohorts the round has.
    pub cohorts: u16,
    /// Random: no two configurations are the same.
    pub round_id: [u8; 32],
    /// The roster's version.
    pub roster_version: u64,
    /// The roster's hash.
    pub roster_hash: Hash,
    /// Who is called: whole batches, ascending.
    pub batches: Vec<u16>,
    /// What is trained further.
    pub base: Base,
    /// Names, shapes and order of the tensors in the vector.
    pub layout: Hash,
    /// `m`: model values in the vector, 1 to 2^28.
    pub entries: u32,
    /// `L`: all entries of the vector, m + 1 (the weight) to 2m + 2 (control values and one bit beside it).
    pub vector_entries: u32,
    /// How updates are made and applied.
    pub strategy: Strategy,
    /// `W`: the greatest weight of a participant, 1 to 2^20; 1 in every mode but [`PrivacyMode::None`].
    pub weight_cap: u32,
    /// `b`: bits of a quantised value, 2 to 32.
    pub value_bits: u8,
    /// Units per 1.0; finite and above 0.
    pub scale: f64,
    /// What hides one participant's part in the sum.
    pub privacy: Privacy,
    /// What masks are made of.
    pub generator: Generator,
    /// γ in 1/10,000: corrupt members of the rostered ones that are tolerated.
    pub corrupt_bps: u16,
    /// δ in 1/10,000: dropouts of the cohort that are tolerated.
    pub dropout_bps: u16,
    /// σ: security fails with at most 2^−σ.
    pub security_bits: u8,
    /// η: the round fails for want of shares with at most 2^−η.
    pub correctness_bits: u8,
    /// The smallest cohort.
    pub least_members: u16,
    /// The largest cohort, at most [`MOST_MEMBERS`].
    pub most_members: u16,
    /// How long the phases last.
    pub deadlines: Deadlines,
    /// Whether dealers publish commitments (section 7.4).
    pub feldman: bool,
}

/// What the vectors are differences to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Global weights: the hash of their manifest.
    Weights(Hash),
    /// A signed list of admissible versions (buffered rounds): its hash.
    Versions(Hash),
}

impl Base {
    /// The hash that goes into every mask seed (section 8).
    #[must_use]
    pub const fn hash(&self) -> Hash {
        match self {
            Self::Weights(hash) | Self::Versions(hash) => *hash,
        }
    }
}

/// A strategy of federated learning: its name, which floors may ask for, and settings that this crate does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// 1 to 32 bytes of printable ASCII.
    pub name: String,
    /// Canonical, at most 4,096 bytes.
    pub settings: Vec<u8>,
}

/// Who adds noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivacyMode {
    /// Nobody: the aggregator learns the plain sum.
    None,
    /// Every participant adds its part before masking: *private mode*.
    Distributed,
    /// The aggregator, who is trusted with the plain sum.
    Central,
}

/// The privacy mode with settings that this crate does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privacy {
    /// Who adds noise.
    pub mode: PrivacyMode,
    /// Canonical, at most 256 bytes; none without a mode.
    pub settings: Vec<u8>,
}

/// How long each phase lasts, in milliseconds from its announcement, each at least 1. The aggregator alone keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until joins are in.
    pub join_ms: u32,
    /// Until nonces are in.
    pub reveal_ms: u32,
    /// Until shares are in.
    pub shares_ms: u32,
    /// Until complaints are in.
    pub received_ms: u32,
    /// Until payloads are in.
    pub upload_ms: u32,
    /// Until votes are in.
    pub vote_ms: u32,
    /// Until answers are in.
    pub answer_ms: u32,
}

impl RoundConfig {
    /// The canonical unsigned bytes. A configuration that breaks a rule of [`Self::check`] gives bytes that nobody
    /// reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::write(self)
    }

    /// The configuration in canonical unsigned bytes.
    ///
    /// # Errors
    /// When the bytes are malformed or a field is outside its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        let mut reader = neuro_primitives::codec::Reader::new(bytes);
        let config = canonical::read(&mut reader)?;
        reader.finish()?;
        Ok(config)
    }

    /// Whether every field is within its bounds: to be asked before it is signed.
    ///
    /// # Errors
    /// The first field that is not.
    pub fn check(&self) -> Result<(), DocumentError> {
        rules::check(self)
    }

    /// The config hash: BLAKE3 of the unsigned bytes.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// Signs the configuration with the aggregator's key.
    #[must_use]
    pub fn sign(&self, key: &NodeKey) -> SignedConfig {
        let signature: Signature = key.sign(tags::CONFIG, &self.encode());
        SignedConfig::new(self.clone(), signature)
    }

    /// What k, t and q have to serve in a cohort of `n` when the batches list `rostered` members (section 11).
    #[must_use]
    pub const fn demand(&self, n: u16, rostered: u32) -> Demand {
        Demand {
            n,
            rostered,
            corrupt_bps: self.corrupt_bps,
            dropout_bps: self.dropout_bps,
            security_bits: self.security_bits,
            correctness_bits: self.correctness_bits,
        }
    }

    /// `B` of plain sums over `n` members: b + ⌈log2(n·W)⌉, at most 64 (section 10).
    #[must_use]
    pub fn plain_modulus_bits(&self, n: u16) -> u8 {
        let most_sum = (u64::from(n) * u64::from(self.weight_cap)).max(1);
        // ⌈log2 x⌉ is the length in bits of x − 1.
        self.value_bits + (u64::BITS - (most_sum - 1).leading_zeros()) as u8
    }

    /// Bytes of a payload whose entries have `bits` bits: ⌈L·B/8⌉ (section 8).
    #[must_use]
    pub fn payload_bytes(&self, bits: u8) -> u64 {
        (u64::from(self.vector_entries) * u64::from(bits)).div_ceil(8)
    }
}

#[cfg(test)]
pub(crate) mod tests;
