//! What the parties run on shares.

use neuro_model::{Checkpoint, names};
use neuro_primitives::Hash;
use neuro_smpc::channel::{Channel, Spent};
use neuro_smpc::computation::Computation;
use neuro_smpc::error::SmpcError;
use neuro_smpc::share::Shares;

use super::agreement::{Agreement, Lengths, Profile};
use super::fixed_point;
use super::model::{ModelError, ModelFacts, floats};
use super::secret_weights::QueryError;

/// A party's computation over links of any kind.
pub type PartyComputation<'a> = Computation<&'a mut dyn Channel>;

/// What a program gets in one turn.
pub struct Turn<'a> {
    /// The next rows' embeddings, `[prompts, rows, d_model]`.
    pub embeddings: Shares,
    /// In the first turn `[prompts, rows]`: one where a row is padding. Empty later.
    pub padding: Shares,
    /// To be told how it goes.
    pub watch: &'a dyn Watch,
}

/// Who wants to know how a turn goes.
pub trait Watch {
    /// The turn will take so many rounds, but for its proof.
    fn foresee(&self, rounds: u64);

    /// Masks for this turn, and perhaps for some after it, are made; so much was spent until now.
    fn prepared(&self, spent: Spent);
}

impl<'a> Turn<'a> {
    /// Splits what a client gave in turn `turn`.
    #[must_use]
    pub fn of(inputs: &Shares, lengths: &Lengths, turn: u32, watch: &'a dyn Watch) -> Self {
        let marks = if turn == 0 { lengths.prompts as usize * lengths.rows as usize } else { 0 };
        let values = inputs.len() - marks;
        Self { embeddings: inputs.range(0..values), padding: inputs.range(values..inputs.len()), watch }
    }
}

/// A program in one session; it keeps what earlier turns left.
pub trait Program {
    /// Takes the next rows' embeddings and gives the logits of each prompt's last (`[prompts, vocab]`), in the fraction
    /// bits of the profile. Where the terms tell layers, what each of them hands the next follows, of the same rows:
    /// `[layers, prompts, d_model]`, in the fraction bits of embeddings.
    ///
    /// # Errors
    /// Whatever ends the session.
    fn advance(&mut self, computation: &mut PartyComputation<'_>, turn: &Turn<'_>) -> Result<Shares, SmpcError>;
}

/// `[prompts, rows, d_model]` → the last row of each prompt, `[prompts, d_model]`.
pub(super) fn last_rows(rows: &Shares, prompts: usize, d_model: usize) -> Shares {
    let values = rows.len() / prompts;
    let places = (1..=prompts).flat_map(|prompt| prompt * values - d_model..prompt * values);
    rows.gather(&places.collect::<Vec<_>>())
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
    /// Routes of a private model tell of its router.
    #[error("this model's weights are secret, so its routes are never revealed")]
    SecretAndRevealed,
    /// What a private model's layers hand each other tells of its weights; a program without layers has none.
    #[error("this program tells nobody what its layers hand each other")]
    TellsNoLayers,
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
    prompts: usize,
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

    fn start(&self, agreement: &Agreement) -> Result<Box<dyn Program>, StartError> {
        if agreement.tells_layers {
            return Err(StartError::TellsNoLayers);
        }
        let head = std::sync::Arc::clone(&self.head);
        let prompts = agreement.lengths.prompts as usize;
        Ok(Box::new(RunningHead { d_model: self.model.d_model, prompts, head }))
    }
}

impl Program for RunningHead {
    fn advance(&mut self, computation: &mut PartyComputation<'_>, turn: &Turn<'_>) -> Result<Shares, SmpcError> {
        let bits = u32::from(Profile::DEFAULT.fraction_bits);
        let last = last_rows(&turn.embeddings, self.prompts, self.d_model);
        let hidden = computation.truncate(&last.times(1 << bits), HEAD_BITS, bits)?;
        Ok(hidden.map(|part| {
            let dot = |row: &[u64], part: &[u64]| {
                row.iter().zip(part).fold(0_u64, |sum, (w, x)| sum.wrapping_add(w.wrapping_mul(*x)))
            };
            part.chunks_exact(self.d_model)
                .flat_map(|part| self.head.chunks_exact(self.d_model).map(move |row| dot(row, part)))
                .collect()
        }))
    }
}
