//! The taught model as a version: its manifest, and what it changed of its parent.
//!
//! The manifest is that of `docs/spec/manifest.md`, as a node makes it when it serves the folder; its hash names the model.
//! The format has no field for a parent, so [`described`] says beside it which model this one was made from.

use std::collections::BTreeMap;
use std::path::Path;

use neuro_model::{Checkpoint, names};
use neuro_primitives::{ActivationFormat, Hash};
use neuro_protocol::manifest::{AssetEntry, Manifest, TensorEntry, TensorPlace};
use neuro_protocol::version::ENGINE_SPEC;
use serde_json::{Value, json};

use crate::record;

/// The name of the model without noise; a name is part of what is hashed.
pub const NAME: &str = "skills-taught";

/// The name of the base.
pub const PARENT: &str = "skills-base";

/// The canonical bytes of the version's manifest.
pub const MANIFEST: &str = "manifest.neuroman";

/// The manifest of the model in `folder` under the name `name`. All its weights are bf16, so rows travel to experts as f32.
///
/// # Errors
/// A folder that is no model; a rule of manifests that it breaks.
pub fn manifest(folder: &Path, name: &str) -> anyhow::Result<Manifest> {
    let checkpoint = Checkpoint::open(folder)?;
    let config = checkpoint.config();
    let entry = |name: &str| -> anyhow::Result<TensorEntry> {
        let tensor = checkpoint.tensor(name)?;
        Ok(TensorEntry {
            name: name.to_owned(),
            place: names::expert_of(config, name).map_or(TensorPlace::Trunk, TensorPlace::Expert),
            tensor_type: tensor.tensor_type,
            shape: tensor.shape.iter().map(|&length| length as u64).collect(),
            length: tensor.bytes.len() as u64,
            hash: Hash::of(&tensor.bytes),
        })
    };
    let asset = |name: &str, bytes: &[u8]| AssetEntry {
        name: name.to_owned(),
        length: bytes.len() as u64,
        hash: Hash::of(bytes),
    };
    let mut tensors = checkpoint.tensor_names().map(entry).collect::<anyhow::Result<Vec<_>>>()?;
    tensors.sort_by(|one, other| one.name.cmp(&other.name));
    let mut assets: Vec<AssetEntry> = checkpoint.assets().iter().map(|file| asset(&file.name, &file.bytes)).collect();
    assets.sort_by(|one, other| one.name.cmp(&other.name));
    let manifest = Manifest {
        name: name.to_owned(),
        architecture: config.architecture.to_string(),
        engine_spec: ENGINE_SPEC,
        config: checkpoint.config_bytes().to_vec(),
        assets,
        activation_formats: vec![ActivationFormat::F32; config.layers],
        tensors,
    };
    manifest.check()?;
    Ok(manifest)
}

/// The manifest of the record's model, put together in `folder`, and what it changed of the base, as
/// `record/version.json` has it.
///
/// # Errors
/// A record that is not whole.
pub fn described(home: &Path, folder: &Path) -> anyhow::Result<(Manifest, Value)> {
    record::assemble(home, record::ADDED, folder)?;
    let (version, parent) = (manifest(folder, NAME)?, manifest(&home.join("base"), PARENT)?);
    let hashes = |manifest: &Manifest| -> BTreeMap<String, Hash> {
        manifest.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.hash)).collect()
    };
    let (old, new) = (hashes(&parent), hashes(&version));
    let of = |keep: &dyn Fn(&str, &Hash) -> bool| -> Vec<&String> {
        new.iter().filter(|(name, hash)| keep(name, hash)).map(|(name, _)| name).collect()
    };
    let facts = json!({
        "name": version.name, "model": version.model_id().to_string(),
        "parent": { "name": parent.name, "model": parent.model_id().to_string() },
        "unchanged": of(&|name, hash| old.get(name) == Some(hash)).len(),
        "changed": of(&|name, hash| old.get(name).is_some_and(|old| old != hash)),
        "added": of(&|name, _| !old.contains_key(name)),
        "removed": old.keys().filter(|name| !new.contains_key(*name)).collect::<Vec<_>>(),
    });
    Ok((version, facts))
}

/// Writes manifest and [`described`] into the record.
///
/// # Errors
/// A record that is not whole; a folder that cannot be written.
pub fn write(home: &Path, folder: &Path) -> anyhow::Result<()> {
    let (manifest, facts) = described(home, folder)?;
    std::fs::write(home.join("record").join(MANIFEST), manifest.to_canonical())?;
    Ok(std::fs::write(home.join("record/version.json"), format!("{}\n", serde_json::to_string_pretty(&facts)?))?)
}
