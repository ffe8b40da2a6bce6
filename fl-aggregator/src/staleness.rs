//! Buffered rounds: which versions of the model a participant may start from, and what an old one is worth.
//!
//! The aggregator never sees one update, so it cannot weigh it. The participant does, before it quantises: it looks up
//! its version in the signed list whose hash the configuration names, and multiplies by 1/√(1 + τ).

use crate::layout::Flat;
use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_primitives::key::Domain;
use neuro_primitives::{Hash, NodeId, NodeKey, Signature, Untrusted};

/// Under which a list is signed by the aggregator.
pub const VERSIONS: Domain = Domain("neuro/fl/versions/1");
/// The most versions of a list: older ones are worth less than an eighth.
pub const MOST_VERSIONS: usize = 64;

/// The versions that a buffer admits, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionList {
    /// The task.
    pub task: Hash,
    /// Hashes of the models' manifests; index τ is τ steps old.
    pub versions: Vec<Hash>,
}

/// A version or a list that is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionRefused {
    /// Not in the list.
    #[error("expected one of the {listed} admissible model versions, got {got}")]
    NotListed {
        /// How many are.
        listed: usize,
        /// The version.
        got: Hash,
    },
    /// No versions, too many, or one twice.
    #[error("expected 1 to {MOST_VERSIONS} different versions, got {got}")]
    Count {
        /// How many.
        got: usize,
    },
    /// The list is of another task.
    #[error("expected a list of task {expected}, got one of {got}")]
    Task {
        /// The participant's.
        expected: Hash,
        /// The list's.
        got: Hash,
    },
    /// Somebody else signed, or the bytes were changed.
    #[error("expected a list signed by aggregator {by}, got another signature")]
    Signature {
        /// Whose signature it should be.
        by: NodeId,
    },
    /// The bytes are no list.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl VersionList {
    /// The canonical bytes; their hash is the configuration's base.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&self.task.0);
        out.count(self.versions.len());
        self.versions.iter().for_each(|version| out.raw(&version.0));
        out.finish()
    }

    /// What the configuration's base kind 1 names.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }

    /// The bytes that are published: the list, then its signature.
    #[must_use]
    pub fn sign(&self, key: &NodeKey) -> Vec<u8> {
        let list = self.encode();
        let signature = key.sign(VERSIONS, &list);
        [list.as_slice(), &signature.0].concat()
    }

    /// Reads a published list of `task`, signed by `aggregator`.
    ///
    /// # Errors
    /// Bytes that are none, another task, another signature, no version or the same one twice.
    pub fn verify(signed: Untrusted<&[u8]>, task: Hash, aggregator: NodeId) -> Result<Self, VersionRefused> {
        signed.verify(|bytes| {
            let mut from = Reader::new(bytes);
            let got = Hash(from.array()?);
            let count = from.count("versions", MOST_VERSIONS, 32)?;
            let versions = (0..count).map(|_| from.array().map(Hash)).collect::<Result<Vec<_>, _>>()?;
            let signature = Signature(from.array()?);
            from.finish()?;
            let list = Self { task: got, versions };
            if !aggregator.verifies(VERSIONS, &list.encode(), &signature) {
                return Err(VersionRefused::Signature { by: aggregator });
            }
            if got != task {
                return Err(VersionRefused::Task { expected: task, got });
            }
            list.check().map(|()| list)
        })
    }

    fn check(&self) -> Result<(), VersionRefused> {
        let mut sorted = self.versions.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let good = !sorted.is_empty() && sorted.len() == self.versions.len();
        if good { Ok(()) } else { Err(VersionRefused::Count { got: self.versions.len() }) }
    }

    /// τ: how many steps old `version` is.
    ///
    /// # Errors
    /// A version that is not listed.
    pub fn staleness(&self, version: &Hash) -> Result<u32, VersionRefused> {
        let at = self.versions.iter().position(|listed| listed == version);
        at.map(|at| at as u32).ok_or(VersionRefused::NotListed { listed: self.versions.len(), got: *version })
    }

    /// The list after a step to `newest`, which keeps versions up to `most_staleness` steps old.
    #[must_use]
    pub fn after(&self, newest: Hash, most_staleness: u32) -> Self {
        let kept = (most_staleness as usize + 1).min(MOST_VERSIONS);
        let versions = std::iter::once(newest).chain(self.versions.iter().copied()).take(kept).collect();
        Self { task: self.task, versions }
    }
}

/// 1/√(1 + τ): what an update from a version τ steps old is worth (Nguyen et al. 2022, section 5).
#[must_use]
pub fn staleness_weight(tau: u32) -> f64 {
    1.0 / (1.0 + f64::from(tau)).sqrt()
}

/// Weighs `update` (`[entries]`) by its staleness, before it is quantised.
pub fn discount(update: &mut Flat, tau: u32) {
    let weight = staleness_weight(tau);
    update.0.iter_mut().for_each(|value| *value = (f64::from(*value) * weight) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> VersionList {
        let versions = (0..3_u8).map(|version| Hash::of(&[version])).collect();
        VersionList { task: Hash::of(b"task"), versions }
    }

    #[test]
    fn a_version_is_worth_less_with_every_step() {
        let mut update = Flat(vec![2.0, -4.0]);
        discount(&mut update, list().staleness(&Hash::of(&[0])).unwrap());
        assert_eq!(update.0, [2.0, -4.0]);
        discount(&mut update, 3);
        assert_eq!(update.0, [1.0, -2.0]);
    }

    #[test]
    fn a_version_that_is_not_listed_is_refused() {
        let got = Hash::of(b"old");
        assert_eq!(list().staleness(&got), Err(VersionRefused::NotListed { listed: 3, got }));
        let next = list().after(Hash::of(b"new"), 2);
        assert_eq!(next.staleness(&Hash::of(&[1])), Ok(2));
        assert!(next.staleness(&Hash::of(&[2])).is_err());
    }

    #[test]
    fn only_the_aggregators_own_list_is_read() {
        let (key, other) = (NodeKey::from_secret(&[1; 32]), NodeKey::from_secret(&[2; 32]));
        let verify = |bytes: &[u8]| VersionList::verify(Untrusted::new(bytes), list().task, key.node_id());
        let signed = list().sign(&key);
        assert_eq!(verify(&signed), Ok(list()));
        assert_eq!(verify(&list().sign(&other)), Err(VersionRefused::Signature { by: key.node_id() }));
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(verify(&changed).is_err(), "byte {at}");
            assert!(verify(&signed[..at]).is_err());
        }
        let foreign = VersionList { task: Hash::of(b"another"), ..list() };
        assert!(matches!(verify(&foreign.sign(&key)), Err(VersionRefused::Task { .. })));
        let twice = VersionList { versions: vec![Hash::of(b"a"); 2], ..list() };
        assert_eq!(verify(&twice.sign(&key)), Err(VersionRefused::Count { got: 2 }));
    }
}
