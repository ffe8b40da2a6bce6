//! What one instance proves and in how many folds: from public lengths, so all three parties have the same.

use super::ProofError;
use super::algebra::Algebra;
use super::challenge::Stream;
use super::first::Weights;
use super::fold::Schedule;
use super::layout::Layout;
use super::matrix::Projection;
use crate::ring::galois::Element;
use crate::tape::{MatrixProduct, Runs, Tapes, VerifierTape};

/// One instance.
pub(super) struct Plan {
    pub ring: Part,
    pub bits: Part,
}

/// The relations of one algebra.
pub(super) struct Part {
    pub layout: Layout,
    pub schedule: Schedule,
}

/// The random weights of an instance.
pub(super) struct PlanWeights {
    pub ring: Weights,
    pub bits: Weights,
    pub projections: Vec<Projection>,
}

impl Plan {
    /// Of what this party proves.
    pub fn proving(tapes: &Tapes) -> Result<Self, ProofError> {
        let (ring, bits) = (&tapes.ring.proving, &tapes.bits.proving);
        for tape in [ring, bits] {
            same_length("right terms", tape.left.len(), tape.right.len())?;
        }
        Self::new((&ring.runs, ring.left.len()), (&bits.runs, bits.left.len()), &tapes.matrices)
    }

    /// Of what it checks, with its two verifier tapes.
    pub fn checking(ring: &VerifierTape, bits: &VerifierTape, tapes: &Tapes) -> Result<Self, ProofError> {
        for tape in [ring, bits] {
            same_length("targets", tape.runs.relations(), tape.target.len())?;
        }
        Self::new((&ring.runs, ring.known.len()), (&bits.runs, bits.known.len()), &tapes.matrices)
    }

    fn new(ring: (&Runs, usize), bits: (&Runs, usize), matrices: &[MatrixProduct]) -> Result<Self, ProofError> {
        let inner = matrices.iter().map(|product| 2 * product.inner).sum();
        let ring = Part::new::<Element>(ring, inner, !matrices.is_empty())?;
        Ok(Self { ring, bits: Part::new::<u64>(bits, 0, false)? })
    }

    pub fn folds(&self) -> usize {
        self.lengths().max().unwrap_or_default()
    }

    /// Of both algebras that have relations, the number of folds.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        [&self.ring, &self.bits].into_iter().map(|part| part.schedule.rows.len()).filter(|folds| *folds > 0)
    }

    /// Draws all weights, in the order of the specification.
    pub fn weights(&self, stream: &mut Stream, matrices: &[MatrixProduct]) -> PlanWeights {
        let mut of = |part: &Part, rows| Weights { alpha: stream.words(rows), beta: stream.words(part.layout.weights) };
        let (ring, bits) = (of(&self.ring, Element::FIRST), of(&self.bits, u64::FIRST));
        let projection = |product: &MatrixProduct| Projection {
            left: stream.words(product.rows),
            right: stream.words(product.columns),
        };
        let projections = matrices.iter().map(projection).collect();
        PlanWeights { ring, bits, projections }
    }
}

impl Part {
    /// Whether there is anything to prove.
    pub const fn is_needed(&self) -> bool {
        !self.schedule.rows.is_empty()
    }

    /// `more` elements come from elsewhere than from the tape.
    fn new<A: Algebra>((runs, terms): (&Runs, usize), more: usize, always: bool) -> Result<Self, ProofError> {
        let layout = Layout::new(runs, terms, A::FIRST)?;
        let nothing = runs.relations() == 0 && !always;
        let schedule = if nothing { Schedule::NONE } else { Schedule::new::<A>(layout.columns * A::PLACES + more) };
        Ok(Self { layout, schedule })
    }
}

fn same_length(what: &'static str, expected: usize, got: usize) -> Result<(), ProofError> {
    if got == expected { Ok(()) } else { Err(ProofError::Tape { what, expected, got }) }
}
