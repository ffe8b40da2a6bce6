//! The first frame of each side. Their layout stays the same in every version, or no two versions could meet.

use std::ops::RangeInclusive;

use neuro_primitives::{Hash, ModelId};

use super::{DecodeError, sized};
use crate::codec::{Reader, Writer};
use crate::limits::MAX_D_MODEL;

/// What a caller speaks and which model it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The wire versions that the caller speaks, oldest to newest.
    pub versions: RangeInclusive<u16>,
    /// The model.
    pub model: ModelId,
    /// The arithmetic that the caller expects, [`crate::version::ENGINE_SPEC`].
    pub engine_spec: u32,
    /// Width of the model's hidden states; both sides derive the stream's frame limits from it.
    pub d_model: u32,
}

/// The worker's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The wire version of all frames that follow.
    pub version: u16,
}

impl Hello {
    pub(super) const fn encoded_len(&self) -> usize {
        2 + 2 + 32 + 4 + 4
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u16(*self.versions.start());
        writer.u16(*self.versions.end());
        writer.raw(&self.model.0.0);
        writer.u32(self.engine_spec);
        writer.u32(self.d_model);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let versions = reader.u16()?..=reader.u16()?;
        if versions.is_empty() {
            return Err(DecodeError::Versions { got: versions });
        }
        let model = ModelId(Hash(reader.array()?));
        let engine_spec = reader.u32()?;
        let d_model = reader.u32()?;
        sized("values of a hidden state", MAX_D_MODEL, d_model as usize)?;
        Ok(Self { versions, model, engine_spec, d_model })
    }
}
