//! Sending a stored payload, from the byte on that the aggregator holds.

use std::io;
use std::path::Path;

use neuro_network::FederatedClient;
use neuro_network::federated::{ControlError, ControlErrorKind};
use neuro_primitives::Hash;
use neuro_protocol::federated::UploadStart;
use neuro_protocol::limits::CHUNK_BYTES;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// How many times an aggregator that does not expect the payload yet is asked: it opens the upload when it has dealt
/// with the statement, which goes over another stream.
const ATTEMPTS: u32 = 100;

/// Between two questions.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Sends what the aggregator lacks of the payload in `path`. Returns how many bytes went out.
///
/// # Errors
/// When the connection breaks, or the aggregator takes the payload no more.
pub async fn upload(
    client: &FederatedClient,
    round: u64,
    cohort: u16,
    payload: Hash,
    path: &Path,
) -> Result<u64, ControlError> {
    let cohort = u32::from(cohort);
    let held = expected(client, round, cohort).await?;
    let Some(offset) = held else { return Ok(0) };
    let mut file = File::open(path).await.map_err(|error| unreadable(&error))?;
    let length = file.metadata().await.map_err(|error| unreadable(&error))?.len();
    file.seek(io::SeekFrom::Start(offset)).await.map_err(|error| unreadable(&error))?;
    let start = UploadStart { round, cohort, payload: payload.0.to_vec(), offset };
    let chunks = futures::stream::unfold(file, |mut file| async move {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        // A file that cannot be read on ends the upload early; the aggregator says that bytes are missing.
        (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await.ok().filter(|&length| length > 0)?;
        Some((chunk, file))
    });
    let reply = client.upload(start, chunks).await?;
    if reply.complete {
        return Ok(length - offset);
    }
    Err(ControlError::new(ControlErrorKind::Unavailable, format!("{} of {length} bytes arrived", reply.held_bytes)))
}

/// The byte that the aggregator wants next; `None` when it has all.
async fn expected(client: &FederatedClient, round: u64, cohort: u32) -> Result<Option<u64>, ControlError> {
    for _ in 0..ATTEMPTS {
        match client.upload_state(round, cohort).await {
            Ok(state) => return Ok((!state.complete).then_some(state.held_bytes)),
            Err(error) if error.kind == ControlErrorKind::NotFound => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    Err(ControlError::new(ControlErrorKind::NotFound, "the aggregator does not expect the payload"))
}

fn unreadable(error: &io::Error) -> ControlError {
    ControlError::new(ControlErrorKind::Internal, format!("the stored payload cannot be read: {error}"))
}
