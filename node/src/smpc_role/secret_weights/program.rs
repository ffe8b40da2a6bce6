//! All blocks of a private model, in a session.

use std::path::Path;
use std::sync::Arc;

use neuro_primitives::Hash;
use neuro_smpc::computation::Security;
use neuro_smpc::error::SmpcError;
use neuro_smpc::nn::{Limited, LimitedDecoder, Limits};
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;

use super::{Manifest, PartyFolder, QueryLedger, Reservation, SecretWeightsError};
use crate::smpc_role::agreement::{Agreement, Lengths, Routes};
use crate::smpc_role::model::ModelFacts;
use crate::smpc_role::preparation::Preparation;
use crate::smpc_role::program::{PartyComputation, Program, ProgramMaker, StartError, Turn};

/// The version is part of the name: whoever changes what is computed changes it.
const SECRET_PROGRAM: &[u8] = b"neuro smpc program: blocks with secret weights 3";

/// A party's side of a private model.
pub struct SecretBlockProgram {
    folder: PartyFolder,
    /// None in a rehearsal, which tells nothing.
    queries: Option<Arc<QueryLedger>>,
}

struct RunningSecret {
    decoder: LimitedDecoder,
    prompts: u64,
    preparation: Preparation,
    queries: Option<Reservation>,
}

impl SecretBlockProgram {
    /// Reads the folder of `party`.
    ///
    /// # Errors
    /// See [`PartyFolder::read`].
    pub fn load(folder: &Path, party: PartyId, queries: Arc<QueryLedger>) -> Result<Self, SecretWeightsError> {
        Ok(Self { folder: PartyFolder::read(folder, party)?, queries: Some(queries) })
    }

    /// For a rehearsal: no weights, and the public part of the model in `folder`.
    ///
    /// # Errors
    /// See [`PartyFolder::without_weights`].
    pub fn rehearsal(folder: &Path) -> Result<Self, SecretWeightsError> {
        Ok(Self { folder: PartyFolder::without_weights(folder)?, queries: None })
    }

    /// The owner's word.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.folder.manifest
    }

    /// The hash that names the program.
    #[must_use]
    pub fn hash() -> Hash {
        Hash::of(SECRET_PROGRAM)
    }
}

impl ProgramMaker for SecretBlockProgram {
    fn model(&self) -> &ModelFacts {
        &self.folder.facts
    }

    fn program(&self) -> Hash {
        Self::hash()
    }

    fn start(&self, agreement: &Agreement) -> Result<Box<dyn Program>, StartError> {
        if agreement.security != Security::Malicious {
            return Err(StartError::SecretAndUnproved);
        }
        if agreement.routes != Routes::Hidden {
            return Err(StartError::SecretAndRevealed);
        }
        if agreement.tells_layers {
            return Err(StartError::TellsNoLayers);
        }
        let Manifest { input_bound, limits, .. } = self.folder.manifest;
        let Lengths { prompts, tokens, .. } = agreement.lengths;
        let asked = u64::from(prompts) * u64::from(tokens);
        let reserve =
            |ledger: &Arc<QueryLedger>| ledger.reserve(self.folder.facts.hash, agreement.client, asked, limits.queries);
        let queries = self.queries.as_ref().map(reserve).transpose()?;
        let limits = Limits { input_bound, largest: limits.largest as usize };
        Ok(Box::new(RunningSecret {
            decoder: LimitedDecoder::new(Arc::clone(&self.folder.weights), prompts as usize, limits),
            prompts: u64::from(prompts),
            preparation: Preparation::new(&agreement.lengths),
            queries,
        }))
    }
}

impl Program for RunningSecret {
    fn advance(&mut self, computation: &mut PartyComputation<'_>, turn: &Turn<'_>) -> Result<Shares, SmpcError> {
        if let Some(queries) = &mut self.queries {
            queries.spend(self.prompts);
        }
        if !turn.padding.is_empty() {
            self.decoder.pad(turn.padding.clone());
        }
        let rehearse = |passes: &[usize]| self.decoder.rehearse(Security::Malicious, passes);
        self.preparation.before_turn(computation, turn.watch, rehearse)?;
        let Limited { opened, beyond } = self.decoder.advance(computation, &turn.embeddings)?;
        // All that was computed is proved before the bit is opened, and the bit is opened before anything is released.
        if computation.verify()?.open(&beyond)?.iter().any(|bit| *bit != 0) {
            return Err(SmpcError::InputRange);
        }
        Ok(opened)
    }
}
