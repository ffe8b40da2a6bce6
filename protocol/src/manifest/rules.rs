//! What holds in every manifest beyond its form.

use neuro_primitives::Hash;

use super::{AssetEntry, Manifest, ManifestError, TensorEntry};
use crate::limits::{
    MAX_ASSET_BYTES, MAX_ASSETS, MAX_CONFIG_BYTES, MAX_LAYERS, MAX_NAME_BYTES, MAX_RANK, MAX_TENSOR_NAME_BYTES,
    MAX_TENSORS,
};

pub(super) fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    check_counts(manifest)?;
    name("a model", &manifest.name, MAX_NAME_BYTES, |c| !c.is_control())?;
    name("an architecture", &manifest.architecture, MAX_NAME_BYTES, |c| c.is_ascii_graphic())?;
    check_ascending(manifest.assets.iter().map(|asset| asset.name.as_str()))?;
    check_ascending(manifest.tensors.iter().map(|tensor| tensor.name.as_str()))?;
    manifest.assets.iter().try_for_each(|asset| check_asset(asset, &manifest.config))?;
    let layers = manifest.activation_formats.len();
    manifest.tensors.iter().try_for_each(|tensor| check_tensor(tensor, layers))?;
    check_total(&manifest.tensors)
}

fn check_counts(manifest: &Manifest) -> Result<(), ManifestError> {
    count("bytes of configuration", 1, MAX_CONFIG_BYTES, manifest.config.len())?;
    count("assets", 0, MAX_ASSETS, manifest.assets.len())?;
    count("layers", 1, MAX_LAYERS, manifest.activation_formats.len())?;
    count("tensors", 1, MAX_TENSORS, manifest.tensors.len())
}

fn count(what: &'static str, least: usize, most: usize, got: usize) -> Result<(), ManifestError> {
    if (least..=most).contains(&got) { Ok(()) } else { Err(ManifestError::Count { what, least, most, got }) }
}

fn name(what: &'static str, got: &str, limit: usize, allowed: impl Fn(char) -> bool) -> Result<(), ManifestError> {
    if !got.is_empty() && got.len() <= limit && got.chars().all(allowed) {
        Ok(())
    } else {
        Err(ManifestError::Name { what, got: got.chars().take(limit).collect() })
    }
}

fn check_ascending<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), ManifestError> {
    let Some(mut previous) = names.next() else { return Ok(()) };
    for got in names {
        if got <= previous {
            return Err(ManifestError::Order { previous: previous.to_owned(), got: got.to_owned() });
        }
        previous = got;
    }
    Ok(())
}

fn check_asset(asset: &AssetEntry, config: &[u8]) -> Result<(), ManifestError> {
    // A node writes assets to files of these names: no folders, no hidden files, no "..".
    name("an asset", &asset.name, MAX_NAME_BYTES, |c| c.is_ascii_alphanumeric() || "._-".contains(c))?;
    if asset.name.starts_with('.') {
        return Err(ManifestError::Name { what: "an asset", got: asset.name.clone() });
    }
    if asset.length > MAX_ASSET_BYTES {
        let (name, got) = (asset.name.clone(), asset.length);
        return Err(ManifestError::AssetTooLarge { name, limit: MAX_ASSET_BYTES, got });
    }
    let is_config = asset.length == config.len() as u64 && asset.hash == Hash::of(config);
    if asset.name == CONFIG_NAME && !is_config { Err(ManifestError::Config) } else { Ok(()) }
}

fn check_tensor(tensor: &TensorEntry, layers: usize) -> Result<(), ManifestError> {
    name("a tensor", &tensor.name, MAX_TENSOR_NAME_BYTES, |c| c.is_ascii_graphic())?;
    count("dimensions", 0, MAX_RANK, tensor.shape.len())?;
    check_size(tensor)?;
    match tensor.place.expert().filter(|expert| usize::from(expert.layer) >= layers) {
        Some(expert) => Err(ManifestError::Layer { expert, layers }),
        None => Ok(()),
    }
}

fn check_size(tensor: &TensorEntry) -> Result<(), ManifestError> {
    let (name, row, tensor_type) = (|| tensor.name.clone(), tensor.row_elements(), tensor.tensor_type);
    if tensor.shape.contains(&0) {
        return Err(ManifestError::Shape { name: name(), shape: tensor.shape.clone() });
    }
    if !row.is_multiple_of(tensor_type.block_elements() as u64) {
        return Err(ManifestError::Blocks { name: name(), tensor_type, row });
    }
    match tensor.shape_bytes() {
        None => Err(ManifestError::Shape { name: name(), shape: tensor.shape.clone() }),
        Some(expected) if expected != tensor.length => {
            Err(ManifestError::Length { name: name(), expected, got: tensor.length })
        }
        Some(_) => Ok(()),
    }
}

/// Sums over any part of the tensors then fit 64 bits too.
fn check_total(tensors: &[TensorEntry]) -> Result<(), ManifestError> {
    let total = tensors.iter().try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.length));
    total.map(|_| ()).ok_or(ManifestError::TotalLength)
}

/// The asset that the manifest also carries whole.
const CONFIG_NAME: &str = "config.json";
