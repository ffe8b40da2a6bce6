//! The range profile that a session is held to: from a file, or made once and kept.

use std::path::Path;

use neuro_model::Checkpoint;
use neuro_node::data_dir::DataDir;
use neuro_node::smpc_role::blocks::BlockProgram;
use neuro_node::smpc_role::model::{ClientModel, ModelFacts};
use neuro_node::smpc_role::ranges::calibration::{Calibration, keep, kept, kept_at, own_texts};
use neuro_node::smpc_role::ranges::{NO_RANGES, ProfileOf, RangeProfile, shape};
use neuro_primitives::Hash;

use crate::exit_code::Outcome;
use crate::failure::Failure;
use crate::progress;

/// The profile of the model at `model`: that in `file`; without one, the one in the data folder, or a new one that is kept
/// there. It is of this model, and expects few enough values beyond their bounds.
///
/// # Errors
/// A file or a model that cannot be read; a profile that is refused.
pub fn profile(
    data_dir: &DataDir,
    model: &Path,
    facts: &ModelFacts,
    file: Option<&Path>,
) -> Result<RangeProfile, Failure> {
    let whose = ProfileOf { model: facts.hash, program: BlockProgram::hash() };
    let checkpoint = Checkpoint::open(model)?;
    let profile = if let Some(file) = file {
        RangeProfile::read(file).map_err(|error| Failure::new(Outcome::Usage, error))?
    } else {
        let place = kept_at(data_dir, whose)?;
        if let Some(profile) = kept(&place, whose) {
            profile
        } else {
            let profile = calibrate(model, &own_texts().collect::<Vec<_>>(), None)?;
            keep(&place, &profile)?;
            profile
        }
    };
    let config = checkpoint.config();
    profile.check(whose, &shape(config), config.layers).map_err(|error| {
        let hint =
            "allow shorter sessions, or calibrate with texts like those that will be asked: neuro smpc calibrate";
        Failure::new(Outcome::Refused, error).hint(hint)
    })?;
    Ok(profile)
}

/// What a client proposes: the hash of the model's profile, or of none: for a program that needs none, and for secret weights,
/// which nobody can calibrate who asks.
///
/// # Errors
/// Those of [`profile`].
pub fn hash(
    data_dir: &DataDir,
    model: &Path,
    client: &ClientModel,
    file: Option<&Path>,
    needed: bool,
) -> Result<Hash, Failure> {
    if !needed || client.secret().is_some() {
        return Ok(NO_RANGES);
    }
    Ok(profile(data_dir, model, client.facts(), file)?.hash())
}

/// Runs `texts` in the open.
///
/// # Errors
/// A model that cannot be read, or that private inference does not cover.
pub fn calibrate(model: &Path, texts: &[&str], longest_rows: Option<u64>) -> Result<RangeProfile, Failure> {
    let (client, checkpoint) = (ClientModel::load(model)?, Checkpoint::open(model)?);
    let whose = ProfileOf { model: client.facts().hash, program: BlockProgram::hash() };
    let program = BlockProgram::load(&checkpoint, client.facts().clone())?;
    let calibration = Calibration { client: &client, weights: program.weights(), whose, longest_rows };
    let bar = progress::items("calibrating", calibration.sequences_of(texts));
    let profile = calibration.run(texts, &|| bar.inc(1))?;
    bar.finish_and_clear();
    Ok(profile)
}
