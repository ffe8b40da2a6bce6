//! Checkpoints to run: the one that the program carries, the fixtures, and changed copies of both.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::stage::Stage;

/// A token that the skills model never says: as the end of an answer, it never comes.
const NEVER_SAID: u32 = 511;

/// The repository's folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The model that the program carries.
pub fn skills() -> PathBuf {
    repository().join("examples/models/skills/checkpoint")
}

/// A tiny model with references from the `transformers` package.
pub fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

/// A copy of the checkpoint `from`, to be changed.
pub fn copy(stage: &Stage, from: &Path, name: &str) -> PathBuf {
    let to = stage.path(name);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// A copy of a folder with all that is in it.
pub fn copy_folders(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folders(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// The skills model with room for 4096 tokens and no way to end an answer: it wanders on for as long as it may.
pub fn endless(stage: &Stage) -> PathBuf {
    let folder = copy(stage, &skills(), "endless");
    edit_config(&folder, |config| {
        config["eos_token_id"] = json!(NEVER_SAID);
        config["max_position_embeddings"] = json!(4096);
    });
    folder
}

/// Changes the configuration of the checkpoint in `folder`.
pub fn edit_config(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

/// Changes the table of tensors of the checkpoint in `folder` and leaves the tensors' bytes as they are.
pub fn edit_tensor_table(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut table = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    edit(&mut table);
    let table = table.to_string();
    let new = [&(table.len() as u64).to_le_bytes(), table.as_bytes(), &bytes[8 + length..]].concat();
    fs::write(path, new).unwrap();
}
