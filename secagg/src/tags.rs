//! Domains of signatures and tags of hashes (section 2), each used for one thing.
//!
//! A tagged hash is `H(tag; x…)` = BLAKE3(`tag ‖ 0 ‖ x…`) and a signature is made over `domain ‖ 0 ‖ message`. No name
//! here contains a zero byte, so the split is unique and nothing made for one purpose fits another.

use neuro_primitives::{Domain, Hash};

/// The owner's signature under a roster (section 3).
pub const ROSTER: Domain = Domain("neuro/fl/roster/1");
/// The aggregator's signature under a round configuration (section 4).
pub const CONFIG: Domain = Domain("neuro/fl/config/1");
/// The aggregator's signature under every later announcement.
pub const ANNOUNCEMENT: Domain = Domain("neuro/fl/announcement/1");
/// A participant's signature under its join (section 5).
pub const JOIN: Domain = Domain("neuro/fl/join/1");
/// A dealer's signature under its share statement (section 7.2).
pub const SHARES: Domain = Domain("neuro/fl/shares/1");
/// A participant's signature under its upload statement (section 8).
pub const UPLOAD: Domain = Domain("neuro/fl/upload/1");
/// A participant's vote (section 9.1).
pub const VOTE: Domain = Domain("neuro/fl/vote/1");
/// A participant's signature under its answer (section 9.2).
pub const ANSWER: Domain = Domain("neuro/fl/answer/1");

/// Every signature domain, for the check that they differ.
pub const DOMAINS: [Domain; 8] = [ROSTER, CONFIG, ANNOUNCEMENT, JOIN, SHARES, UPLOAD, VOTE, ANSWER];

/// What a hash or a derived key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub &'static str);

/// The name of a task: owner and the hash of its name (section 3).
pub const TASK_HASH: Tag = Tag("neuro/fl/roster/1");
/// Cohort hash `R` (section 5).
pub const COHORT_HASH: Tag = Tag("neuro/fl/cohort/1");
/// Nonce commitments (section 5).
pub const NONCE_HASH: Tag = Tag("neuro/fl/nonce/1");
/// The graph's seed (section 5).
pub const GRAPH_HASH: Tag = Tag("neuro/fl/graph/1");
/// Sharers hash `V` (section 7.3).
pub const SHARERS_HASH: Tag = Tag("neuro/fl/sharers/1");
/// Survivors hash `Z` (section 9.1).
pub const SURVIVORS_HASH: Tag = Tag("neuro/fl/survivors/1");
/// Commitment to a self-mask seed (section 7.2).
pub const SELF_MASK_COMMITMENT: Tag = Tag("neuro/fl/self-mask-commitment/1");
/// A leaf of the share tree (section 7.2).
pub const SHARE_LEAF: Tag = Tag("neuro/fl/share-leaf/1");
/// An inner node of the share tree (section 7.2).
pub const SHARE_NODE: Tag = Tag("neuro/fl/share-node/1");

/// HKDF `info` of everything that a participant draws from its round secret (section 5).
pub const SECRET_KEY: Tag = Tag("neuro/fl/secret/1");
/// HKDF `info` of the keys of boxes (section 7.3).
pub const SHARE_SEAL_KEY: Tag = Tag("neuro/fl/share-seal/1");
/// HKDF `info` of pair keys (section 8).
pub const PAIR_MASK_KEY: Tag = Tag("neuro/fl/pair-mask/1");
/// HKDF `info` of self keys (section 8).
pub const SELF_MASK_KEY: Tag = Tag("neuro/fl/self-mask/1");

/// Every tag of a hash or a derived key, for the check that they differ.
pub const TAGS: [Tag; 13] = [
    TASK_HASH,
    COHORT_HASH,
    NONCE_HASH,
    GRAPH_HASH,
    SHARERS_HASH,
    SURVIVORS_HASH,
    SELF_MASK_COMMITMENT,
    SHARE_LEAF,
    SHARE_NODE,
    SECRET_KEY,
    SHARE_SEAL_KEY,
    PAIR_MASK_KEY,
    SELF_MASK_KEY,
];

impl Tag {
    /// `H(tag; parts…)` = BLAKE3(`tag ‖ 0 ‖ parts…`). The parts are of fixed size or already hashed; only the last may
    /// have another length, else two lists of parts could have one hash.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.0.as_bytes()).update(&[0]);
        for part in parts {
            hasher.update(part);
        }
        Hash(*hasher.finalize().as_bytes())
    }
}
