//! Every tensor that the architecture uses, checked against the configuration.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use neuro_primitives::TensorType;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::shards::{Offer, Shard};
use crate::config::ModelConfig;
use crate::mapped_file::MappedFile;
use crate::names;
use crate::tensor::TensorData;

/// The tensors by name, with the files that they lie in.
#[derive(Debug)]
pub(super) struct Inventory {
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Located>,
    trunk_bytes: u64,
    expert_bytes: u64,
}

#[derive(Debug)]
struct Located {
    file: usize,
    tensor_type: TensorType,
    shape: Vec<usize>,
    place: Range<usize>,
}

/// What the files offer, before it is known what is needed.
struct Offered {
    paths: Vec<PathBuf>,
    offers: BTreeMap<String, (usize, Offer)>,
}

impl Inventory {
    /// Takes what the architecture needs out of the shards.
    pub(super) fn new(config: &ModelConfig, shards: Vec<Shard>) -> Result<Self, CheckpointError> {
        let (mut offered, files) = Offered::gather(shards)?;
        let mut inventory = Self { files, tensors: BTreeMap::new(), trunk_bytes: 0, expert_bytes: 0 };
        for tensor in names::trunk(config) {
            inventory.trunk_bytes += inventory.take(config, &mut offered, tensor.name, &tensor.shape)?;
        }
        let shapes = names::expert_shapes(config);
        for id in names::experts(config) {
            let expert = names::expert(config, id);
            for (name, shape) in [expert.gate, expert.up, expert.down].into_iter().zip(shapes) {
                inventory.expert_bytes += inventory.take(config, &mut offered, name, &shape)?;
            }
        }
        offered.refuse_unknown(config)?;
        Ok(inventory)
    }

    pub(super) fn tensor(&self, name: &str) -> Option<TensorData<'_>> {
        let (name, located) = self.tensors.get_key_value(name)?;
        let bytes = self.files.get(located.file)?.bytes().get(located.place.clone())?.into();
        Some(TensorData { name, tensor_type: located.tensor_type, shape: located.shape.clone(), bytes })
    }

    pub(super) fn missing(&self, config: &ModelConfig, name: &str) -> CheckpointError {
        CheckpointError::Missing { tensor: name.to_owned(), architecture: config.architecture.model_type() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn trunk_bytes(&self) -> u64 {
        self.trunk_bytes
    }

    pub(super) fn expert_bytes(&self) -> u64 {
        self.expert_bytes
    }

    pub(super) fn parameters(&self) -> u64 {
        self.tensors
            .values()
            .map(|located| {
                (located.place.len() / located.tensor_type.block_bytes() * located.tensor_type.block_elements()) as u64
            })
            .sum()
    }

    /// Moves one needed tensor from `offered` to the inventory. Returns its stored bytes.
    fn take(
        &mut self,
        config: &ModelConfig,
        offered: &mut Offered,
        name: String,
        shape: &[usize],
    ) -> Result<u64, CheckpointError> {
        let (file, offer) = offered.offers.remove(&name).ok_or_else(|| self.missing(config, &name))?;
        let tensor_type = check(&offered.paths[file], &name, &offer, shape)?;
        let bytes = offer.place.len() as u64;
        self.tensors.insert(name, Located { file, tensor_type, shape: offer.shape, place: offer.place });
        Ok(bytes)
    }
}

impl Offered {
    fn gather(shards: Vec<Shard>) -> Result<(Self, Vec<MappedFile>), CheckpointError> {
        let mut offered = Self { paths: Vec::new(), offers: BTreeMap::new() };
        let mut files = Vec::new();
        for (number, shard) in shards.into_iter().enumerate() {
            offered.paths.push(shard.path);
            files.push(shard.file);
            for (name, offer) in shard.offers {
                if let Some((first, _)) = offered.offers.insert(name.clone(), (number, offer)) {
                    let (first, second) = (offered.paths[first].clone(), offered.paths[number].clone());
                    return Err(CheckpointError::Twice { tensor: name, first, second });
                }
            }
        }
        Ok((offered, files))
    }

    /// What is left over must be known to be of no use.
    fn refuse_unknown(&self, config: &ModelConfig) -> Result<(), CheckpointError> {
        let unknown = self.offers.iter().find(|(name, _)| !names::is_ignorable(config, name));
        let Some((tensor, (file, _))) = unknown else { return Ok(()) };
        let (file, architecture) = (self.paths[*file].clone(), config.architecture.model_type());
        Err(CheckpointError::Unexpected { file, tensor: tensor.clone(), architecture })
    }
}

fn check(file: &Path, name: &str, offer: &Offer, expected: &[usize]) -> Result<TensorType, CheckpointError> {
    let (file, tensor) = (file.to_owned(), name.to_owned());
    let tensor_type = match &offer.stored {
        Ok(tensor_type) => *tensor_type,
        Err(got) => return Err(CheckpointError::WrongType { file, tensor, got: got.clone() }),
    };
    if offer.shape != expected {
        let (expected, got) = (expected.to_vec(), offer.shape.clone());
        return Err(CheckpointError::WrongShape { file, tensor, expected, got });
    }
    Ok(tensor_type)
}
