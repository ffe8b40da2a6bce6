//! What a model is made of, whatever it lies in: small files, and mapped files with tensors under the names of
//! Hugging Face folders.

use std::path::{Path, PathBuf};

use crate::checkpoint::assets::{self, Asset};
use crate::checkpoint::shards::{self, Offer, Shard};
use crate::checkpoint::{CheckpointError, SourceKind};
use crate::gguf::{self, GgufFile, GgufModel};

/// A model before it is known whether its parts fit each other.
pub(super) struct Source {
    pub(super) kind: SourceKind,
    pub(super) assets: Vec<Asset>,
    pub(super) shards: Vec<Shard>,
}

impl Source {
    /// Opens a folder, or whatever else lies at `path` as a GGUF file.
    pub(super) fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_file() || (!path.exists() && path.extension().is_some_and(|extension| extension == "gguf")) {
            return Self::gguf(path);
        }
        let assets = assets::read_all(path)?;
        assets::require(&assets, path, assets::CONFIG)?;
        Ok(Self { kind: SourceKind::Folder, assets, shards: shards::open_all(path)? })
    }

    fn gguf(path: &Path) -> Result<Self, CheckpointError> {
        let model = GgufModel::open(path)?;
        let mut assets = vec![(assets::CONFIG, gguf::config_json(&model)?)];
        assets.extend(gguf::tokenizer_assets(&model)?);
        assets.sort();
        let assets = assets.into_iter().map(|(name, bytes)| Asset { name: name.to_owned(), bytes }).collect();
        let family = gguf::Family::of(&model)?;
        let shards = model.into_files().map(|file| shard(family, file)).collect();
        Ok(Self { kind: SourceKind::Gguf, assets, shards })
    }
}

/// Every file that was read.
pub(super) fn files(path: &Path, kind: SourceKind, assets: &[Asset], shards: &[Shard]) -> Vec<PathBuf> {
    let small = assets.iter().filter(|_| kind == SourceKind::Folder).map(|asset| path.join(&asset.name));
    small.chain(shards.iter().map(|shard| shard.path.clone())).collect()
}

fn shard(family: gguf::Family, file: GgufFile) -> Shard {
    let placed = file.tensors().flat_map(|tensor| gguf::placed(family, tensor));
    let offers = placed.map(|tensor| (tensor.name.clone(), Offer::from(tensor))).collect();
    Shard { path: file.path().to_owned(), offers, file: file.into_file() }
}
