//! A parties file: read whole or not at all, and written in one piece.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Draft, Parties, PartiesError, PartyRegistry};
use crate::os::private_file;

/// A parties file on disk.
#[derive(Debug, Clone)]
pub struct PartiesFile {
    path: PathBuf,
}

impl PartiesFile {
    /// The file at `path`.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What the file says so far; nothing where there is no file.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn draft(&self) -> Result<Draft, PartiesError> {
        if self.path.exists() { self.read() } else { Ok(Draft::default()) }
    }

    /// Writes what is known.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, draft: &Draft) -> Result<(), PartiesError> {
        let malformed =
            |error: toml::ser::Error| PartiesError::Malformed { path: self.path.clone(), reason: error.to_string() };
        let text = toml::to_string(draft).map_err(malformed)?;
        let failed = |source| PartiesError::Io { doing: "write", path: self.path.clone(), source };
        private_file::replace(&self.path, text.as_bytes()).map_err(failed)
    }

    fn read(&self) -> Result<Draft, PartiesError> {
        let failed = |source| PartiesError::Io { doing: "read", path: self.path.clone(), source };
        let text = fs::read_to_string(&self.path).map_err(failed)?;
        let malformed = |error: toml::de::Error| PartiesError::Malformed {
            path: self.path.clone(),
            reason: error.message().to_owned(),
        };
        let draft: Draft = toml::from_str(&text).map_err(malformed)?;
        draft.check()?;
        Ok(draft)
    }
}

impl PartyRegistry for PartiesFile {
    fn parties(&self) -> Result<Parties, PartiesError> {
        self.read()?.try_into()
    }
}
