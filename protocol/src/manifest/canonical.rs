//! The canonical bytes of a manifest: fields in order, lists ascending by name.

use neuro_primitives::{ExpertId, Hash};

use super::{AssetEntry, Manifest, ManifestError, TensorEntry, TensorPlace, TensorType};
use crate::codec::{Reader, Writer};
use crate::frame::ActivationFormat;
use crate::limits::{
    MAX_ASSETS, MAX_CONFIG_BYTES, MAX_LAYERS, MAX_MANIFEST_BYTES, MAX_NAME_BYTES, MAX_RANK, MAX_TENSOR_NAME_BYTES,
    MAX_TENSORS,
};

pub(super) fn write(manifest: &Manifest) -> Vec<u8> {
    let mut writer = Writer::with_capacity(manifest.config.len() + 128 * manifest.tensors.len() + 1024);
    writer.raw(&MAGIC);
    writer.u16(FORMAT);
    writer.text(&manifest.name);
    writer.text(&manifest.architecture);
    writer.u32(manifest.engine_spec);
    writer.bytes(&manifest.config);
    let assets = ascending(&manifest.assets, |asset| &asset.name);
    writer.count(assets.len());
    assets.into_iter().for_each(|asset| write_asset(&mut writer, asset));
    writer.count(manifest.activation_formats.len());
    manifest.activation_formats.iter().for_each(|format| writer.u16(format.code()));
    let tensors = ascending(&manifest.tensors, |tensor| &tensor.name);
    writer.count(tensors.len());
    tensors.into_iter().for_each(|tensor| write_tensor(&mut writer, tensor));
    writer.finish()
}

/// Reads the fields within their bounds; the rules are the caller's to check.
pub(super) fn read(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestError::Count { what: "bytes", least: 0, most: MAX_MANIFEST_BYTES, got: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    read_head(&mut reader)?;
    let manifest = Manifest {
        name: reader.text("bytes of a model's name", MAX_NAME_BYTES)?.to_owned(),
        architecture: reader.text("bytes of an architecture", MAX_NAME_BYTES)?.to_owned(),
        engine_spec: reader.u32()?,
        config: reader.bytes("bytes of configuration", MAX_CONFIG_BYTES)?.to_vec(),
        assets: list(&mut reader, "assets", MAX_ASSETS, ASSET_BYTES, read_asset)?,
        activation_formats: list(&mut reader, "layers", MAX_LAYERS, 2, read_format)?,
        tensors: list(&mut reader, "tensors", MAX_TENSORS, TENSOR_BYTES, read_tensor)?,
    };
    reader.finish()?;
    Ok(manifest)
}

fn read_head(reader: &mut Reader<'_>) -> Result<(), ManifestError> {
    if reader.array()? != MAGIC {
        return Err(ManifestError::Magic);
    }
    match reader.u16()? {
        FORMAT => Ok(()),
        got => Err(ManifestError::Format { expected: FORMAT, got }),
    }
}

fn list<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    limit: usize,
    item_bytes: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, ManifestError>,
) -> Result<Vec<T>, ManifestError> {
    let count = reader.count(what, limit, item_bytes)?;
    (0..count).map(|_| read(reader)).collect()
}

fn ascending<T>(items: &[T], name: impl Fn(&T) -> &str) -> Vec<&T> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort_by(|a, b| name(a).cmp(name(b)));
    items
}

fn write_asset(writer: &mut Writer, asset: &AssetEntry) {
    writer.text(&asset.name);
    writer.u64(asset.length);
    writer.raw(&asset.hash.0);
}

fn read_asset(reader: &mut Reader<'_>) -> Result<AssetEntry, ManifestError> {
    Ok(AssetEntry {
        name: reader.text("bytes of an asset's name", MAX_NAME_BYTES)?.to_owned(),
        length: reader.u64()?,
        hash: Hash(reader.array()?),
    })
}

fn read_format(reader: &mut Reader<'_>) -> Result<ActivationFormat, ManifestError> {
    let got = reader.u16()?;
    ActivationFormat::from_code(got).ok_or(ManifestError::Code { what: "activation format", got })
}

fn write_tensor(writer: &mut Writer, tensor: &TensorEntry) {
    writer.text(&tensor.name);
    write_place(writer, tensor.place);
    writer.u16(tensor.tensor_type.code());
    writer.count(tensor.shape.len());
    tensor.shape.iter().for_each(|&dimension| writer.u64(dimension));
    writer.u64(tensor.length);
    writer.raw(&tensor.hash.0);
}

fn read_tensor(reader: &mut Reader<'_>) -> Result<TensorEntry, ManifestError> {
    Ok(TensorEntry {
        name: reader.text("bytes of a tensor's name", MAX_TENSOR_NAME_BYTES)?.to_owned(),
        place: read_place(reader)?,
        tensor_type: read_type(reader)?,
        shape: list(reader, "dimensions", MAX_RANK, 8, |reader| Ok(reader.u64()?))?,
        length: reader.u64()?,
        hash: Hash(reader.array()?),
    })
}

fn read_type(reader: &mut Reader<'_>) -> Result<TensorType, ManifestError> {
    let got = reader.u16()?;
    TensorType::from_code(got).ok_or(ManifestError::Code { what: "tensor type", got })
}

fn write_place(writer: &mut Writer, place: TensorPlace) {
    match place {
        TensorPlace::Trunk => writer.u8(PLACE_TRUNK),
        TensorPlace::Expert(expert) => {
            writer.u8(PLACE_EXPERT);
            writer.u16(expert.layer);
            writer.u16(expert.expert);
        }
    }
}

fn read_place(reader: &mut Reader<'_>) -> Result<TensorPlace, ManifestError> {
    match reader.u8()? {
        PLACE_TRUNK => Ok(TensorPlace::Trunk),
        PLACE_EXPERT => Ok(TensorPlace::Expert(ExpertId { layer: reader.u16()?, expert: reader.u16()? })),
        got => Err(ManifestError::Code { what: "place of a tensor", got: got.into() }),
    }
}

/// How every manifest begins, so that a file of another kind is told apart at once.
const MAGIC: [u8; 8] = *b"neuroman";

const FORMAT: u16 = 1;

/// The fewest bytes of an asset: length of the name, length, hash.
const ASSET_BYTES: usize = 4 + 8 + 32;

/// The fewest bytes of a tensor: length of the name, place, type, rank, length, hash.
const TENSOR_BYTES: usize = 4 + 1 + 2 + 4 + 8 + 32;

const PLACE_TRUNK: u8 = 0;
const PLACE_EXPERT: u8 = 1;
