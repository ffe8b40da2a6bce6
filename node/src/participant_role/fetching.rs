//! Fetching what a round is about: bytes by their hash, taken up again after a break, used only when the hash is right.

use std::io;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use neuro_network::FederatedClient;
use neuro_network::federated::ControlError;
use neuro_primitives::Hash;
use neuro_protocol::federated::FetchRequest;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// Bytes of weights that are taken: 2^28 values of 4 bytes, the most that a vector may have, and a header.
const MAX_WEIGHTS_BYTES: u64 = (4 << 28) + (1 << 20);

/// The bytes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The aggregator's answer.
    #[error("what the round is about cannot be fetched: {0}")]
    Control(#[from] ControlError),
    /// This machine's disk.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The aggregator sent something else.
    #[error("expected bytes with hash {expected}, got {got}")]
    Hash {
        /// The hash of the signed configuration.
        expected: Hash,
        /// That of the bytes.
        got: Hash,
    },
    /// It sent too much.
    #[error("expected at most {limit} bytes, got more")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
}

/// Fetches the bytes behind `hash` into `path`; those that are there already are not fetched again.
///
/// # Errors
/// When the connection breaks, the disk is full, or the bytes are others.
pub async fn fetch(client: &FederatedClient, hash: Hash, path: &Path) -> Result<(), FetchError> {
    let at = |source| FetchError::Io { path: path.to_owned(), source };
    if hash_of(path).await.is_ok_and(|held| held == hash) {
        return Ok(());
    }
    let draft = path.with_extension("part");
    let offset = fs::metadata(&draft).await.map_or(0, |facts| facts.len());
    let outcome = append(client, hash, offset, &draft).await;
    if let Err(FetchError::Control(error)) = &outcome
        && error.is_retryable()
    {
        // What came stays for the next attempt.
        return outcome;
    }
    if let Err(error) = outcome {
        drop(fs::remove_file(&draft).await);
        return Err(error);
    }
    let got = hash_of(&draft).await.map_err(at)?;
    if got != hash {
        drop(fs::remove_file(&draft).await);
        return Err(FetchError::Hash { expected: hash, got });
    }
    fs::rename(&draft, path).await.map_err(at)
}

async fn append(client: &FederatedClient, hash: Hash, offset: u64, draft: &Path) -> Result<(), FetchError> {
    let at = |source| FetchError::Io { path: draft.to_owned(), source };
    let mut chunks = client.fetch(FetchRequest { hash: hash.0.to_vec(), offset }).await?;
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file: File = options.open(draft).await.map_err(at)?;
    let mut held = offset;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        held += chunk.data.len() as u64;
        if held > MAX_WEIGHTS_BYTES {
            return Err(FetchError::TooLarge { limit: MAX_WEIGHTS_BYTES });
        }
        file.write_all(&chunk.data).await.map_err(at)?;
    }
    file.flush().await.map_err(at)
}

/// Fetches a signed document of at most `limit` bytes by the hash of what was signed. Who reads it checks both.
///
/// # Errors
/// When the connection breaks, or more bytes come.
pub async fn fetch_document(client: &FederatedClient, hash: Hash, limit: u64) -> Result<Vec<u8>, FetchError> {
    let mut chunks = client.fetch(FetchRequest { hash: hash.0.to_vec(), offset: 0 }).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend(chunk?.data);
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLarge { limit });
        }
    }
    Ok(bytes)
}

/// The hash of a file's bytes.
///
/// # Errors
/// When it cannot be read.
pub async fn hash_of(path: &Path) -> io::Result<Hash> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
        Ok(Hash(*hasher.finalize().as_bytes()))
    });
    hashed.await.map_err(io::Error::other)?
}
