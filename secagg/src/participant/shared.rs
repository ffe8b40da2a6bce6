//! What several participants of one process need to work out only once.
//!
//! Each participant checks everything itself. In a simulation of a thousand, each reads the same cohort, draws the same
//! graph and looks at the same signatures, and all of it comes out the same, because it follows from public bytes alone.
//! [`Shared`] remembers such outcomes under the hash of all that they follow from. What did not come out right is not
//! remembered: whoever is shown it looks for itself. Floors, parameters, sets and everything with a secret in it are
//! never shared.

use std::collections::{HashMap, HashSet};
use std::hash::Hash as Key;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use neuro_primitives::{Domain, Hash, NodeId, Signature};

use crate::error::DocumentError;
use crate::fields::Verifier;
use crate::graph::Graph;
use crate::messages::{Announcement, Cohort};

/// Outcomes that participants of one process share. For simulations: a process with one participant gains nothing, and
/// what is remembered stays until this is dropped.
#[derive(Debug, Default)]
pub struct Shared {
    /// By the hash of the unsigned announcement.
    cohorts: Mutex<HashMap<Hash, Arc<Cohort>>>,
    /// By n, k and seed.
    graphs: Mutex<HashMap<(u16, u16, Hash), Arc<Graph>>>,
    /// The hashes of signers, domains, messages and signatures that belong together.
    signatures: Mutex<HashSet<Hash>>,
}

impl Shared {
    /// The cohort that the unsigned announcement `unsigned` holds, which somebody's signature was found under.
    pub(super) fn cohort(&self, unsigned: &[u8]) -> Result<Arc<Cohort>, DocumentError> {
        let key = Hash::of(unsigned);
        if let Some(known) = lock(&self.cohorts).get(&key) {
            return Ok(Arc::clone(known));
        }
        let cohort = Arc::new(read_cohort(unsigned)?);
        Ok(remembered(&self.cohorts, key, cohort))
    }

    /// The graph of `n` members with `k` neighbours that `seed` draws.
    pub(super) fn graph(&self, n: u16, k: u16, seed: Hash) -> Arc<Graph> {
        let key = (n, k, seed);
        if let Some(known) = lock(&self.graphs).get(&key) {
            return Arc::clone(known);
        }
        remembered(&self.graphs, key, Arc::new(Graph::new(n, k, &seed)))
    }
}

/// Nobody to share with: everything is worked out here.
impl Verifier for Option<Arc<Shared>> {
    fn verifies(&self, signer: NodeId, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        let Some(shared) = self else { return signer.verifies(domain, message, signature) };
        // Both ends are of fixed size and a domain has no zero byte.
        let key = Hash::of(&[&signer.0[..], &signature.0, domain.0.as_bytes(), &[0], message].concat());
        if lock(&shared.signatures).contains(&key) {
            return true;
        }
        let verifies = signer.verifies(domain, message, signature);
        if verifies {
            lock(&shared.signatures).insert(key);
        }
        verifies
    }
}

/// The cohort in the unsigned bytes of its announcement.
pub(super) fn read_cohort(unsigned: &[u8]) -> Result<Cohort, DocumentError> {
    let expected = || DocumentError::Kind { what: "cohort announcement", got: unsigned.first().copied().unwrap_or(0) };
    // Its caller has looked at the signature.
    Announcement::decode(unsigned, None)?.verify(|announcement| match announcement {
        Announcement::Cohort(cohort) => Ok(cohort),
        _ => Err(expected()),
    })
}

fn remembered<K: Key + Eq, V>(known: &Mutex<HashMap<K, Arc<V>>>, key: K, value: Arc<V>) -> Arc<V> {
    Arc::clone(lock(known).entry(key).or_insert(value))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is remembered is whole at any time.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use neuro_primitives::NodeKey;

    use super::*;

    #[test]
    fn only_signatures_that_are_right_are_remembered() {
        let shared = Some(Arc::new(Shared::default()));
        let (key, domain) = (NodeKey::from_secret(&[1; 32]), Domain("neuro/test/1"));
        let signature = key.sign(domain, b"a vote");
        let other = NodeKey::from_secret(&[2; 32]).node_id();
        for _ in 0..2 {
            assert!(shared.verifies(key.node_id(), domain, b"a vote", &signature));
            assert!(!shared.verifies(other, domain, b"a vote", &signature), "another signer");
            assert!(!shared.verifies(key.node_id(), domain, b"a vot", &signature), "another message");
            assert!(!shared.verifies(key.node_id(), Domain("neuro/test/2"), b"a vote", &signature), "another purpose");
        }
        assert_eq!(shared.map(|shared| lock(&shared.signatures).len()), Some(1));
    }

    #[test]
    fn a_graph_is_drawn_once_for_each_size_degree_and_seed() {
        let shared = Shared::default();
        let (one, again) = (shared.graph(200, 20, Hash([1; 32])), shared.graph(200, 20, Hash([1; 32])));
        assert!(Arc::ptr_eq(&one, &again));
        assert_eq!(*one, Graph::new(200, 20, &Hash([1; 32])));
        assert_ne!(*one, *shared.graph(200, 20, Hash([2; 32])));
    }
}
