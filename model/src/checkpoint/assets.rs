//! The folder's small files, read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::checkpoint::CheckpointError;

/// A small file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its name in the folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

pub(super) const CONFIG: &str = "config.json";
pub(super) const GENERATION_CONFIG: &str = "generation_config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The longest small file. The largest tokenizers have 35 MB; beyond this a folder is broken or hostile.
pub(super) const MAX_ASSET_BYTES: u64 = 256 << 20;

/// Reads those of the folder's small files that are there.
pub(super) fn read_all(dir: &Path) -> Result<Vec<Asset>, CheckpointError> {
    let names = [CHAT_TEMPLATE, CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG];
    let assets = names.into_iter().map(|name| {
        let bytes = read(&dir.join(name))?;
        Ok(bytes.map(|bytes| Asset { name: name.to_owned(), bytes }))
    });
    assets.filter_map(Result::transpose).collect()
}

/// The bytes of a small file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    let failed = |source| CheckpointError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_ASSET_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_ASSET_BYTES {
        return Err(CheckpointError::TooLong { path: path.to_owned(), limit: MAX_ASSET_BYTES });
    }
    Ok(Some(bytes))
}

/// The bytes of the asset called `name`, if it is there.
pub(super) fn find<'a>(assets: &'a [Asset], name: &str) -> Option<&'a [u8]> {
    assets.iter().find(|asset| asset.name == name).map(|asset| asset.bytes.as_slice())
}

pub(super) fn require<'a>(assets: &'a [Asset], dir: &Path, file: &'static str) -> Result<&'a [u8], CheckpointError> {
    find(assets, file).ok_or_else(|| CheckpointError::NoFile { dir: dir.to_owned(), file })
}
