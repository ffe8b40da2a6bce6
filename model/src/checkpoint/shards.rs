//! The files with the weights, mapped, and which tensor counts where several files come into question.

use std::ops::Range;
use std::path::{Path, PathBuf};

use neuro_primitives::TensorType;

use crate::checkpoint::index::WeightMap;
use crate::checkpoint::{CheckpointError, assets};
use crate::gguf::PlacedTensor;
use crate::mapped_file::MappedFile;
use crate::tensor_file::{self, Entry, TensorFileError, TensorTable};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A mapped file with the tensors of it that count.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) path: PathBuf,
    pub(super) file: MappedFile,
    pub(super) offers: Vec<(String, Offer)>,
}

/// A tensor, or a part of one, that a file has under some name; not yet compared with any configuration.
#[derive(Debug)]
pub(super) struct Offer {
    /// How it is stored; the name of the type where weights cannot have it.
    pub(super) stored: Result<TensorType, String>,
    /// The slowest dimension first.
    pub(super) shape: Vec<usize>,
    /// Its bytes in the file; inside it, and as many as shape and type ask for.
    pub(super) place: Range<usize>,
}

/// Opens `model.safetensors` or, where there is none, every file that the index names.
pub(super) fn open_all(dir: &Path) -> Result<Vec<Shard>, CheckpointError> {
    let single = dir.join(SINGLE);
    if single.exists() {
        return Ok(vec![open(single, SINGLE, &WeightMap::default())?]);
    }
    let index = dir.join(INDEX);
    let bytes = assets::read(&index)?.ok_or_else(|| CheckpointError::NoWeights { dir: dir.to_owned() })?;
    let map = WeightMap::parse(&bytes, &index)?;
    map.files().into_iter().map(|file| open(dir.join(file), file, &map)).collect()
}

/// Opens one file. What the index places in another file does not count here; what it places here must be here.
fn open(path: PathBuf, name: &str, map: &WeightMap) -> Result<Shard, CheckpointError> {
    let (file, table) = tensor_file::open(&path).map_err(|error| file_error(&path, error))?;
    if let Some(tensor) = map.tensors_in(name).find(|tensor| table.get(tensor).is_none()) {
        return Err(CheckpointError::NotInFile { tensor: tensor.to_owned(), file: path });
    }
    let offers = counting(table, name, map);
    Ok(Shard { path, file, offers })
}

fn counting(table: TensorTable, name: &str, map: &WeightMap) -> Vec<(String, Offer)> {
    let counts = |tensor: &str| map.file_of(tensor).is_none_or(|file| file == name);
    let counting = table.into_entries().into_iter().filter(|(tensor, _)| counts(tensor));
    counting.map(|(tensor, entry)| (tensor, Offer::from(entry))).collect()
}

impl From<Entry> for Offer {
    fn from(entry: Entry) -> Self {
        Self { stored: entry.stored_type().ok_or(entry.type_name), shape: entry.shape, place: entry.place }
    }
}

impl From<PlacedTensor> for Offer {
    fn from(tensor: PlacedTensor) -> Self {
        Self { stored: Ok(tensor.tensor_type), shape: tensor.shape, place: tensor.place }
    }
}

fn file_error(path: &Path, error: TensorFileError) -> CheckpointError {
    match error {
        TensorFileError::Io(source) => CheckpointError::Io { path: path.to_owned(), source },
        TensorFileError::Header(source) => CheckpointError::Header { file: path.to_owned(), source },
    }
}
