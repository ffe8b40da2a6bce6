//! Every tensor that the architecture uses, checked against the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neuro_primitives::TensorType;

use crate::checkpoint::located::{Form, Located, Place};
use crate::checkpoint::shards::{Offer, Shard};
use crate::checkpoint::{CheckpointError, stacked};
use crate::config::ModelConfig;
use crate::mapped_file::MappedFile;
use crate::names;
use crate::tensor::TensorData;
use crate::tensor_file;

/// The tensors by name, with the files that they lie in.
#[derive(Debug)]
pub(super) struct Inventory {
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Located>,
    trunk_bytes: u64,
    expert_bytes: u64,
}

/// What the files offer, before it is known what is needed.
pub(super) struct Offered {
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
        for layer in config.moe_layers() {
            inventory.expert_bytes += inventory.take_experts(config, &mut offered, layer)?;
        }
        offered.refuse_unknown(config)?;
        Ok(inventory)
    }

    pub(super) fn tensor(&self, name: &str) -> Option<TensorData<'_>> {
        let (name, located) = self.tensors.get_key_value(name)?;
        let bytes = located.bytes(&self.files)?;
        Some(TensorData { name, tensor_type: located.tensor_type, shape: located.shape.clone(), bytes })
    }

    pub(super) fn missing(&self, config: &ModelConfig, name: &str) -> CheckpointError {
        missing(config, name)
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
        self.tensors.values().map(|located| located.count() as u64).sum()
    }

    /// Moves the experts of one layer from `offered` to the inventory. Returns their stored bytes.
    fn take_experts(
        &mut self,
        config: &ModelConfig,
        offered: &mut Offered,
        layer: usize,
    ) -> Result<u64, CheckpointError> {
        if let Some(stacked) = stacked::take(config, offered, layer)? {
            return Ok(stacked.into_iter().map(|(name, located)| self.insert(name, located)).sum());
        }
        let (shapes, lengths) = (names::expert_shapes(config), names::expert_bias_lengths(config));
        let mut bytes = 0;
        for id in names::experts(config).filter(|id| usize::from(id.layer) == layer) {
            let expert = names::expert(config, id);
            for (name, shape) in [expert.gate, expert.up, expert.down].into_iter().zip(shapes) {
                bytes += self.take(config, offered, name, &shape)?;
            }
            for (name, length) in expert.biases.into_iter().flatten().zip(lengths) {
                bytes += self.take(config, offered, name, &[length])?;
            }
        }
        Ok(bytes)
    }

    /// Moves one needed tensor from `offered` to the inventory. Returns its stored bytes.
    fn take(
        &mut self,
        config: &ModelConfig,
        offered: &mut Offered,
        name: String,
        shape: &[usize],
    ) -> Result<u64, CheckpointError> {
        let (tensor_type, place) = offered.take(config, &name, shape)?;
        Ok(self.insert(name, Located { tensor_type, shape: shape.to_vec(), form: Form::Rows(place) }))
    }

    fn insert(&mut self, name: String, located: Located) -> u64 {
        let bytes = located.byte_count() as u64;
        self.tensors.insert(name, located);
        bytes
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

    pub(super) fn has(&self, name: &str) -> bool {
        self.offers.contains_key(name)
    }

    /// Takes a tensor of a type that weights can have.
    pub(super) fn take(
        &mut self,
        config: &ModelConfig,
        name: &str,
        shape: &[usize],
    ) -> Result<(TensorType, Place), CheckpointError> {
        let (file, offer) = self.offers.remove(name).ok_or_else(|| missing(config, name))?;
        let Ok(tensor_type) = offer.stored else {
            return Err(wrong_type(&self.paths[file], name, offer, "F32, F16 or BF16"));
        };
        check_shape(&self.paths[file], name, &offer, shape)?;
        Ok((tensor_type, Place { file, bytes: offer.place }))
    }

    /// Takes a tensor of bytes.
    pub(super) fn take_bytes(
        &mut self,
        config: &ModelConfig,
        name: &str,
        shape: &[usize],
    ) -> Result<Place, CheckpointError> {
        let (file, offer) = self.offers.remove(name).ok_or_else(|| missing(config, name))?;
        if offer.stored.as_ref().err().is_none_or(|stored| stored != tensor_file::BYTES) {
            return Err(wrong_type(&self.paths[file], name, offer, tensor_file::BYTES));
        }
        check_shape(&self.paths[file], name, &offer, shape)?;
        Ok(Place { file, bytes: offer.place })
    }

    /// What is left over must be known to be of no use.
    fn refuse_unknown(&self, config: &ModelConfig) -> Result<(), CheckpointError> {
        let unknown = self.offers.iter().find(|(name, _)| !names::is_ignorable(config, name));
        let Some((tensor, (file, _))) = unknown else { return Ok(()) };
        let (file, architecture) = (self.paths[*file].clone(), config.architecture.model_type());
        Err(CheckpointError::Unexpected { file, tensor: tensor.clone(), architecture })
    }
}

fn missing(config: &ModelConfig, name: &str) -> CheckpointError {
    CheckpointError::Missing { tensor: name.to_owned(), architecture: config.architecture.model_type() }
}

fn wrong_type(file: &Path, name: &str, offer: Offer, expected: &'static str) -> CheckpointError {
    let got = offer.stored.map_or_else(|unknown| unknown, |known| known.to_string());
    CheckpointError::WrongType { file: file.to_owned(), tensor: name.to_owned(), expected, got }
}

fn check_shape(file: &Path, name: &str, offer: &Offer, expected: &[usize]) -> Result<(), CheckpointError> {
    if offer.shape == expected {
        return Ok(());
    }
    let (expected, got) = (expected.to_vec(), offer.shape.clone());
    Err(CheckpointError::WrongShape { file: file.to_owned(), tensor: name.to_owned(), expected, got })
}
