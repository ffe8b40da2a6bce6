//! Why there are no parameters, or why those announced are refused.

use neuro_primitives::NodeId;

/// No k, t and q serve what was declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoParameters {
    /// (Q) fails: too few members stay to outvote the corrupt.
    #[error(
        "expected at least {quorum} of {n} members to stay ({corrupt} may be corrupt), got {voters} after {dropout} dropouts"
    )]
    Quorum {
        /// Members of the cohort.
        n: u16,
        /// c.
        corrupt: u16,
        /// d.
        dropout: u16,
        /// The least q.
        quorum: u32,
        /// n − d.
        voters: u16,
    },
    /// No ring passes, and the complete graph does not either or would have more neighbours than an inbox holds.
    #[error(
        "expected a graph of {n} members that bears {corrupt} corrupt and {dropout} dropouts, got none up to 1,600 neighbours"
    )]
    Graph {
        /// Members of the cohort.
        n: u16,
        /// c.
        corrupt: u16,
        /// d.
        dropout: u16,
    },
}

/// Announced parameters with which the participant's vector would not be safe, or that are none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeakParameters {
    /// Another c than ⌈γN⌉.
    #[error("expected {expected} tolerated corrupt members, got {got}")]
    Corrupt {
        /// ⌈γN⌉.
        expected: u16,
        /// As announced.
        got: u16,
    },
    /// Another d than ⌊δn⌋.
    #[error("expected {expected} tolerated dropouts, got {got}")]
    Dropout {
        /// ⌊δn⌋.
        expected: u16,
        /// As announced.
        got: u16,
    },
    /// (Q): two sets could be certified, or none ever.
    #[error("expected a quorum of {least} to {most}, got {got}")]
    Quorum {
        /// The least q with 2q > n + c.
        least: u32,
        /// n − d.
        most: u16,
        /// q.
        got: u16,
    },
    /// k is no degree of a graph of section 6.
    #[error("expected k = n − 1 for n = {n}, or above 128 members an even k from 4 to n − 2, at most 1,600, got {got}")]
    Degree {
        /// Members of the cohort.
        n: u16,
        /// k.
        got: u16,
    },
    /// t is no threshold: too few shares would do, or more are asked than there are.
    #[error("expected a threshold above {above} and at most {most}, got {got}")]
    Threshold {
        /// c in the complete graph, k/2 on a ring.
        above: u16,
        /// k.
        most: u16,
        /// t.
        got: u16,
    },
    /// (S1): dropouts could cut the honest survivors in two.
    #[error("expected a cut with probability 2^{expected} at most for k = {k}, t = {t}, got 2^{got:.3}")]
    Connection {
        /// k.
        k: u16,
        /// t.
        t: u16,
        /// −(σ + 1).
        expected: f64,
        /// log2 of (S1)'s left side.
        got: f64,
    },
    /// (S2): the corrupt neighbours of some honest member could rebuild its secrets.
    #[error("expected t corrupt neighbours with probability 2^{expected} at most for k = {k}, t = {t}, got 2^{got:.3}")]
    ShareSecrecy {
        /// k.
        k: u16,
        /// t.
        t: u16,
        /// −(σ + 1).
        expected: f64,
        /// log2 of (S2)'s left side.
        got: f64,
    },
}

impl NoParameters {
    /// Nobody: the declaration asks for too much.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}

impl WeakParameters {
    /// Nobody by itself: whoever signed the announcement.
    #[must_use]
    pub const fn blames(&self) -> Option<NodeId> {
        None
    }
}
