//! The owner's work: weights to shares.

use std::path::{Path, PathBuf};

use neuro_model::Checkpoint;
use neuro_primitives::{Hash, NodeKey};
use neuro_smpc::nn::Matrix;
use neuro_smpc::party::PartyId;
use zeroize::Zeroizing;

use super::{MANIFEST, Manifest, OwnerLimits, PublicPart, SecretWeightsError, component_file};
use crate::os::private_file;
use crate::smpc_role::blocks;
use crate::smpc_role::fixed_point::{random_bytes, random_words};

/// Random bytes at the beginning of a component: who lacks it cannot confirm a guess of the weights by its hash.
pub(super) const SALT_BYTES: usize = 32;

/// Splits the weights of `checkpoint` for three parties: folders `party-0`, `party-1`, `party-2` and `public` in `out`. All
/// weights are in memory meanwhile, and their three components, 8 bytes a weight each.
///
/// # Errors
/// A model that private inference does not cover; a folder that is there already.
pub fn split(
    checkpoint: &Checkpoint,
    out: &Path,
    key: &NodeKey,
    limits: OwnerLimits,
) -> Result<Manifest, SecretWeightsError> {
    let weights = blocks::weights(checkpoint)?;
    let public = PublicPart::of(checkpoint)?;
    if out.exists() {
        return Err(SecretWeightsError::Exists { path: out.to_owned() });
    }
    let components = components(weights.matrices())?;
    let manifest = Manifest {
        owner: key.node_id(),
        public: public.hash(),
        components: components.each_ref().map(|component| Hash::of(component)),
        input_bound: public.largest_entry(),
        limits,
        tied: checkpoint.config().tie_embeddings,
    };
    let signed = manifest.signed(key);
    let party = |party: PartyId| (out.join(format!("party-{}", party.index())), vec![party, party.next()]);
    for (folder, held) in PartyId::ALL.into_iter().map(party).chain([(out.join("public"), Vec::new())]) {
        let failed = |doing, path: PathBuf| move |source| SecretWeightsError::Io { doing, path, source };
        private_file::create_folder(&folder).map_err(failed("create", folder.clone()))?;
        public.write(&folder)?;
        for component in held {
            let path = component_file(&folder, component);
            private_file::create_new(&path, &components[component.index()]).map_err(failed("write", path))?;
        }
        let path = folder.join(MANIFEST);
        private_file::create_new(&path, &signed).map_err(failed("write", path))?;
    }
    Ok(manifest)
}

/// The three components' files.
fn components<'a>(matrices: impl Iterator<Item = &'a Matrix>) -> Result<[Zeroizing<Vec<u8>>; 3], SecretWeightsError> {
    let mut files = [(); 3].map(|()| Zeroizing::new(Vec::new()));
    for file in &mut files {
        file.extend(random_bytes::<SALT_BYTES>()?);
    }
    for matrix in matrices {
        let words = Zeroizing::new(matrix.words().unwrap_or_default());
        let (first, second) = (Zeroizing::new(random_words(words.len())?), Zeroizing::new(random_words(words.len())?));
        for (at, word) in words.iter().enumerate() {
            let last = word.wrapping_sub(first[at]).wrapping_sub(second[at]);
            for (file, component) in files.iter_mut().zip([first[at], second[at], last]) {
                file.extend(component.to_le_bytes());
            }
        }
    }
    Ok(files)
}
