//! A participant that is away: nothing of it is left but its record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_secagg::participant::{Record, RecordError, Shared};

/// A stored record.
pub(crate) enum Parked {
    /// As bytes in memory.
    Bytes(Vec<u8>),
    /// In a file, so that this process holds nothing of it.
    File(PathBuf),
}

impl Parked {
    /// Stores `record` in `folder`, or in memory.
    pub(crate) fn store(record: &Record, folder: Option<&Path>, participant: u32) -> io::Result<Self> {
        let bytes = record.encode();
        let Some(folder) = folder else { return Ok(Self::Bytes(bytes.to_vec())) };
        let path = folder.join(format!("record-{participant}"));
        fs::write(&path, &*bytes)?;
        Ok(Self::File(path))
    }

    /// The record; its cohort is read once for all that share.
    pub(crate) fn load(&self, shared: Option<&Shared>) -> Result<Record, crate::SimulationError> {
        let decode = |bytes: &[u8]| -> Result<Record, RecordError> {
            shared.map_or_else(|| Record::decode(bytes), |shared| Record::decode_shared(bytes, shared))
        };
        Ok(match self {
            Self::Bytes(bytes) => decode(bytes)?,
            Self::File(path) => decode(&fs::read(path)?)?,
        })
    }
}
