//! What one instance proves and in how many folds: from public lengths, so all three parties have the same.

use super::ProofError;
use super::algebra::Algebra;
use super::challenge::Stream;
use super::first::Weights;
use super::fold::Schedule;
use super::layout::Layout;
use super::matrix::Projection;
use crate::ring::galois::Element;
use crate::tape::{MatrixProduct, ProverTape, Runs, Tapes, VerifierTape};

/// One instance.
pub(super) struct Plan<'a> {
    pub ring: Part<'a>,
    pub bits: Part<'a>,
    matrices: &'a [MatrixProduct],
}

/// The relations of one algebra.
pub(super) struct Part<'a> {
    pub layout: Layout<'a>,
    pub schedule: Schedule,
}

/// The random weights of an instance.
pub(super) struct PlanWeights {
    pub ring: Weights,
    pub bits: Weights,
    pub projections: Vec<Projection>,
}

impl<'a> Plan<'a> {
    /// Of what this party proves.
    pub fn proving(tapes: &'a Tapes) -> Result<Self, ProofError> {
        let part = |tape: &'a ProverTape| -> Result<_, ProofError> {
            same_length("right terms", tape.left.len(), tape.right.len())?;
            Ok((&tape.runs, tape.left.len()))
        };
        Self::new(part(&tapes.ring.proving)?, part(&tapes.bits.proving)?, &tapes.matrices)
    }

    /// Of what it checks, with its two verifier tapes.
    pub fn checking(ring: &'a VerifierTape, bits: &'a VerifierTape, tapes: &'a Tapes) -> Result<Self, ProofError> {
        let part = |tape: &'a VerifierTape| -> Result<_, ProofError> {
            same_length("targets", tape.runs.relations(), tape.target.len())?;
            Ok((&tape.runs, tape.known.len()))
        };
        Self::new(part(ring)?, part(bits)?, &tapes.matrices)
    }

    fn new(
        ring: (&'a Runs, usize),
        bits: (&'a Runs, usize),
        matrices: &'a [MatrixProduct],
    ) -> Result<Self, ProofError> {
        let inner = matrices.iter().map(|product| 2 * product.inner).sum();
        let ring = Part::new::<Element>(ring, inner, !matrices.is_empty())?;
        Ok(Self { ring, bits: Part::new::<u64>(bits, 0, false)?, matrices })
    }

    pub fn folds(&self) -> usize {
        self.ring.schedule.rows.len().max(self.bits.schedule.rows.len())
    }

    /// Draws all weights, in the order of the specification.
    pub fn weights(&self, stream: &mut Stream) -> PlanWeights {
        let mut of = |part: &Part, rows| Weights { alpha: stream.words(rows), beta: stream.words(part.layout.weights) };
        let (ring, bits) = (of(&self.ring, Element::FIRST), of(&self.bits, u64::FIRST));
        let projection = |product: &MatrixProduct| Projection {
            left: stream.words(product.rows),
            right: stream.words(product.columns),
        };
        let projections = self.matrices.iter().map(projection).collect();
        PlanWeights { ring, bits, projections }
    }
}

impl<'a> Part<'a> {
    /// Whether there is anything to prove.
    pub const fn is_needed(&self) -> bool {
        !self.schedule.rows.is_empty()
    }

    /// `more` elements come from elsewhere than from the tape.
    fn new<A: Algebra>((runs, terms): (&'a Runs, usize), more: usize, always: bool) -> Result<Self, ProofError> {
        let layout = Layout::new(runs, terms, A::FIRST)?;
        let nothing = runs.relations() == 0 && !always;
        let schedule = if nothing { Schedule::NONE } else { Schedule::new::<A>(layout.columns * A::PLACES + more) };
        Ok(Self { layout, schedule })
    }
}

fn same_length(what: &'static str, expected: usize, got: usize) -> Result<(), ProofError> {
    if got == expected { Ok(()) } else { Err(ProofError::Tape { what, expected, got }) }
}
