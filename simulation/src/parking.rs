//! A participant that is away: nothing of it is left but its record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_secagg::participant::{Record, RecordError};

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

    /// The record.
    pub(crate) fn load(&self) -> Result<Record, crate::SimulationError> {
        let read: Result<Record, RecordError> = match self {
            Self::Bytes(bytes) => Record::decode(bytes),
            Self::File(path) => Record::decode(&fs::read(path)?),
        };
        Ok(read?)
    }
}
