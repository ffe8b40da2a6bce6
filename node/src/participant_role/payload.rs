//! From an update to the masked payload on disk.

use std::io;
use std::path::Path;

use neuro_fl_aggregator::{EncodeError, EncodingPlan, encode_update};
use neuro_primitives::Hash;
use neuro_privacy::NoiseRng;
use neuro_secagg::config::RoundConfig;
use neuro_secagg::masks::{MaskJob, apply_parallel};
use neuro_secagg::packing::Modulus;

use super::training::Trained;
use crate::os::private_file;

/// There is no payload. The participant drops out before anything left.
#[derive(Debug, thiserror::Error)]
pub enum PayloadFailure {
    /// The update.
    #[error("the update is not sent: {0}")]
    Encode(#[from] EncodeError),
    /// Randomness for the noise.
    #[error("there is no noise: {0}")]
    Noise(String),
    /// This machine's disk.
    #[error("the payload cannot be stored: {0}")]
    Io(#[from] io::Error),
}

/// The masks of one vector.
pub struct Masks {
    /// One for each neighbour that shares, and the self-mask.
    pub jobs: Vec<MaskJob>,
    /// `B`.
    pub modulus: Modulus,
    /// n − d − c.
    pub honest_at_least: u16,
}

/// Encodes, masks, packs; the file at `path` is whole and on disk when this returns. Its hash and length.
///
/// # Errors
/// See [`PayloadFailure`].
pub fn make(
    trained: &Trained,
    masks: &Masks,
    config: &RoundConfig,
    path: &Path,
) -> Result<(Hash, u64), PayloadFailure> {
    let plan = EncodingPlan::of(config)?;
    let mut noise = NoiseRng::from_system().map_err(|error| PayloadFailure::Noise(error.to_string()))?;
    let Trained { update, control, weight, .. } = trained;
    let (honest, modulus) = (masks.honest_at_least, masks.modulus);
    let mut vector = encode_update(update, control.as_ref(), *weight, &plan, honest, modulus, &mut noise)?.vector;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    apply_parallel(vector.lanes(), &masks.jobs, threads);
    let packed = vector.to_packed();
    private_file::replace(path, &packed)?;
    Ok((Hash::of(&packed), packed.len() as u64))
}
