//! A cohort and its graph, as both sides derive them from the announcements (sections 5 and 6).

use std::ops::Deref;
use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};

use crate::config::RoundConfig;
use crate::graph::Graph;
use crate::identity::{Bitmap, Member};
use crate::kdf::MaskContext;
use crate::masks::{MaskJob, MaskSeed, Sign};
use crate::messages::{Cohort, Row, Shape};
use crate::packing::{Modulus, ModulusError};
use crate::parameters::Parameters;
use crate::share_tree::Dealing;

/// An announced cohort with what follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Assembly {
    pub(crate) cohort: Arc<Cohort>,
    /// `R`.
    pub(crate) hash: Hash,
    pub(crate) shape: Shape,
    pub(crate) parameters: Parameters,
    pub(crate) modulus: Modulus,
}

impl Assembly {
    /// Takes a cohort as it is announced; whether it may be used is for the caller to check.
    pub(crate) fn new(cohort: Arc<Cohort>, config: &RoundConfig, rostered: u32) -> Result<Self, ModulusError> {
        let demand = config.demand(cohort.n(), rostered);
        let parameters =
            Parameters { k: cohort.k, t: cohort.t, q: cohort.q, corrupt: demand.corrupt(), dropout: demand.dropout() };
        Ok(Self {
            hash: cohort.hash(),
            shape: cohort.shape(config.feldman),
            modulus: Modulus::new(cohort.modulus_bits)?,
            parameters,
            cohort,
        })
    }

    /// Members of the cohort.
    pub(crate) const fn n(&self) -> u16 {
        self.shape.n
    }

    /// n − d: the fewest sharers.
    pub(crate) const fn least_sharers(&self) -> u16 {
        self.shape.n.saturating_sub(self.parameters.dropout)
    }

    /// n − d − c: the fewest honest members that a sum covers.
    pub(crate) const fn honest_at_least(&self) -> u16 {
        self.least_sharers().saturating_sub(self.parameters.corrupt)
    }

    /// The row of a member of this cohort.
    pub(crate) fn row(&self, member: Member) -> &Row {
        &self.cohort.rows[member.index()]
    }

    /// The node of a member of this cohort.
    pub(crate) fn node(&self, member: Member) -> NodeId {
        self.row(member).node
    }

    /// The nodes of all members, ascending.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.cohort.rows.iter().map(|row| row.node).collect()
    }

    /// The nodes of a set, ascending.
    pub(crate) fn nodes_of(&self, set: &Bitmap) -> Vec<NodeId> {
        set.iter().map(|member| self.node(member)).collect()
    }

    /// The members of `set` that are not in `less`.
    pub(crate) fn without(&self, set: &Bitmap, less: &Bitmap) -> Bitmap {
        Bitmap::of(self.n(), set.iter().filter(|&member| !less.get(member)))
    }
}

/// A cohort whose nonces are known.
#[derive(Debug, Clone)]
pub(crate) struct Seated {
    pub(crate) assembly: Arc<Assembly>,
    pub(crate) seed: Hash,
    pub(crate) graph: Arc<Graph>,
}

impl Deref for Seated {
    type Target = Assembly;

    fn deref(&self) -> &Assembly {
        &self.assembly
    }
}

impl Seated {
    /// The graph that `seed` draws (section 6).
    pub(crate) fn new(assembly: Arc<Assembly>, seed: Hash) -> Self {
        let graph = Arc::new(Graph::new(assembly.n(), assembly.shape.k, &seed));
        Self { assembly, seed, graph }
    }

    /// What the leaves of `dealer` have in common (section 7.2).
    pub(crate) fn dealing(&self, dealer: Member) -> Dealing {
        Dealing { cohort: self.hash, seed: self.seed, dealer: self.node(dealer) }
    }

    /// The place of `holder` among the neighbours of `dealer`: its leaf pair and its box. None for a stranger.
    pub(crate) fn place(&self, dealer: Member, holder: Member) -> Option<usize> {
        self.graph.neighbours(dealer).binary_search(&holder).ok()
    }

    /// What seeds are bound to among sharers with hash `V` (section 8).
    pub(crate) fn mask_context(&self, config: &RoundConfig, sharers: &Hash) -> MaskContext {
        let base = config.base.hash();
        MaskContext::new(&self.hash, sharers, &self.cohort.config, &base, config.generator)
    }
}

/// The mask that `one` adds on its edge with `other`: + with the greater, − with the lesser (section 8).
pub(crate) fn pair_job(seed: MaskSeed, one: Member, other: Member) -> MaskJob {
    MaskJob { seed, sign: if other > one { Sign::Plus } else { Sign::Minus } }
}

/// BLAKE3 of Feldman points as they are sent; zeros without (section 7.2).
pub(crate) fn feldman_hash(points: &[[u8; 32]]) -> Hash {
    if points.is_empty() { Hash([0; 32]) } else { Hash::of(points.as_flattened()) }
}
