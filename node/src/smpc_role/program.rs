//! What the parties run on shares.

use neuro_model::{Checkpoint, names};
use neuro_network::smpc::PartyLinks;
use neuro_primitives::Hash;
use neuro_smpc::computation::Computation;
use neuro_smpc::error::SmpcError;
use neuro_smpc::share::Shares;

use super::agreement::{Agreement, Profile};
use super::fixed_point;
use super::model::{ModelError, ModelFacts, floats};
use super::secret_weights::QueryError;

/// A party's computation over its links.
pub type PartyComputation<'a> = Computation<&'a mut PartyLinks>;

/// A program in one session; it keeps what earlier turns left.
pub trait Program {
    /// Takes the next rows' embeddings (`[rows, d_model]`) and gives the logits of the last (`[vocab]`), in the fraction
    /// bits of the profile.
    ///
    /// # Errors
    /// Whatever ends the session.
    fn advance(&mut self, computation: &mut PartyComputation<'_>, embeddings: &Shares) -> Result<Shares, SmpcError>;
}

/// Begins programs for one model.
pub trait ProgramMaker: Send + Sync {
    /// The model.
    fn model(&self) -> &ModelFacts;

    /// Names the program and its version; who runs another one computes something else.
    fn program(&self) -> Hash;

    /// A program at its beginning.
    ///
    /// # Errors
    /// A session that the model's owner does not admit.
    fn start(&self, agreement: &Agreement) -> Result<Box<dyn Program>, StartError>;
}

/// Why a program does not begin. Said to the client and to the peers.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Without proofs one party and a client together could read weights out of wrong products.
    #[error("this model's weights are secret: only sessions with proofs are admitted, and this one is semi-honest")]
    SecretAndUnproved,
    /// The owner's cap.
    #[error(transparent)]
    Queries(#[from] QueryError),
}

/// No language model: the last token's embedding, truncated once, times the model's output matrix. It shows that links,
/// proofs and sessions work, where what it says is known.
pub struct HeadProgram {
    model: ModelFacts,
    /// `[vocab, d_model]`, fixed point.
    head: std::sync::Arc<Vec<u64>>,
}

struct RunningHead {
    d_model: usize,
    head: std::sync::Arc<Vec<u64>>,
}

/// The version is part of the name.
const HEAD_PROGRAM: &[u8] = b"neuro smpc program: head 1";

/// Bits that an embedding and its 16 further fraction bits take.
const HEAD_BITS: u32 = 48;

impl HeadProgram {
    /// Reads the output matrix, which is the embedding's where the two are one.
    ///
    /// # Errors
    /// A matrix that is missing or cannot be read.
    pub fn load(checkpoint: &Checkpoint, model: ModelFacts) -> Result<Self, ModelError> {
        let name =
            if checkpoint.tensor_names().any(|name| name == names::OUTPUT) { names::OUTPUT } else { names::EMBEDDING };
        let tensor = checkpoint.tensor(name)?;
        let values = floats(name, &tensor)?;
        let head = fixed_point::encode(&values, Profile::DEFAULT.fraction_bits);
        Ok(Self { model, head: std::sync::Arc::new(head) })
    }

    /// The hash that names the program.
    #[must_use]
    pub fn hash() -> Hash {
        Hash::of(HEAD_PROGRAM)
    }
}

impl ProgramMaker for HeadProgram {
    fn model(&self) -> &ModelFacts {
        &self.model
    }

    fn program(&self) -> Hash {
        Self::hash()
    }

    fn start(&self, _: &Agreement) -> Result<Box<dyn Program>, StartError> {
        Ok(Box::new(RunningHead { d_model: self.model.d_model, head: std::sync::Arc::clone(&self.head) }))
    }
}

impl Program for RunningHead {
    fn advance(&mut self, computation: &mut PartyComputation<'_>, embeddings: &Shares) -> Result<Shares, SmpcError> {
        let bits = u32::from(Profile::DEFAULT.fraction_bits);
        let last = embeddings.range(embeddings.len() - self.d_model..embeddings.len());
        let hidden = computation.truncate(&last.times(1 << bits), HEAD_BITS, bits)?;
        Ok(hidden.map(|part| {
            let dot =
                |row: &[u64]| row.iter().zip(part).fold(0_u64, |sum, (w, x)| sum.wrapping_add(w.wrapping_mul(*x)));
            self.head.chunks_exact(self.d_model).map(dot).collect()
        }))
    }
}
