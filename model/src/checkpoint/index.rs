//! `model.safetensors.index.json`: which file holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use crate::checkpoint::CheckpointError;

/// The greatest number of files of one model. The largest models in use come in about 200; each takes a mapping, of
/// which Linux gives a process 65,530.
const MAX_FILES: usize = 2048;

/// Tensor to file name. Every file name is one plain component: it lies in the folder itself.
#[derive(Debug, Default)]
pub(super) struct WeightMap(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightMap {
    /// Reads the index `bytes` that came from `file`.
    pub(super) fn parse(bytes: &[u8], file: &Path) -> Result<Self, CheckpointError> {
        let index: Index =
            serde_json::from_slice(bytes).map_err(|source| CheckpointError::Index { file: file.to_owned(), source })?;
        let outside = index.weight_map.iter().find(|(_, named)| !is_plain(named));
        if let Some((tensor, named)) = outside {
            let (tensor, named) = (tensor.clone(), named.clone());
            return Err(CheckpointError::OutsideFolder { file: file.to_owned(), tensor, named });
        }
        let map = Self(index.weight_map);
        match map.files().len() {
            got if got > MAX_FILES => {
                Err(CheckpointError::TooManyFiles { file: file.to_owned(), got, limit: MAX_FILES })
            }
            _ => Ok(map),
        }
    }

    /// The names of all files, ascending.
    pub(super) fn files(&self) -> BTreeSet<&str> {
        self.0.values().map(String::as_str).collect()
    }

    /// The file that holds `tensor`.
    pub(super) fn file_of(&self, tensor: &str) -> Option<&str> {
        self.0.get(tensor).map(String::as_str)
    }

    /// The tensors that `file` holds.
    pub(super) fn tensors_in<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(_, named)| *named == file).map(|(tensor, _)| tensor.as_str())
    }
}

/// A name without folders, `..`, roots or drive letters. Backslashes are refused everywhere, so that a model means
/// the same on every system.
fn is_plain(named: &str) -> bool {
    let mut components = Path::new(named).components();
    let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    single && !named.contains(['/', '\\', '\0'])
}
