//! Sending a stored payload, from the byte on that the aggregator holds, until it has all.

use std::io;
use std::path::Path;
use std::time::Duration;

use neuro_network::FederatedClient;
use neuro_network::federated::{ControlError, ControlErrorKind};
use neuro_primitives::Hash;
use neuro_protocol::federated::UploadStart;
use neuro_protocol::limits::CHUNK_BYTES;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::fetching::hash_of;

/// How many times an aggregator that does not expect the payload yet is asked: it opens the upload when it has dealt
/// with the statement, which goes over another stream.
const ATTEMPTS: u32 = 100;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Before an upload that broke off is taken up again; doubled up to [`LONGEST_REST`].
const FIRST_REST: Duration = Duration::from_millis(500);

/// The longest: many fit into the time that a plan would give to uploads.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// An upload is not complete.
#[derive(Debug, thiserror::Error)]
pub enum UploadFailure {
    /// The connection broke, or the aggregator lacks bytes.
    #[error("the upload broke off: {0}")]
    BrokeOff(#[from] ControlError),
    /// This machine's disk.
    #[error("the stored payload cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not what was signed. Under the same masks nothing else may leave.
    #[error("expected the stored payload with hash {expected}, got {got}")]
    Altered {
        /// The signed hash.
        expected: Hash,
        /// The file's.
        got: Hash,
    },
}

/// Makes attempts, with growing rests between them, until one ends in something else than a break. Whoever is not to wait
/// for the aggregator any more drops it. Returns how many bytes the last one sent.
///
/// # Errors
/// When this machine has the payload no more.
pub async fn until_taken<A, R>(
    mut attempt: impl FnMut() -> A,
    mut rest: impl FnMut(Duration) -> R,
) -> Result<u64, UploadFailure>
where
    A: Future<Output = Result<u64, UploadFailure>>,
    R: Future<Output = ()>,
{
    let mut pause = FIRST_REST;
    loop {
        match attempt().await {
            Err(UploadFailure::BrokeOff(error)) => tracing::warn!(%error, "an upload broke off"),
            ended => return ended,
        }
        rest(pause).await;
        pause = (pause * 2).min(LONGEST_REST);
    }
}

/// Sends what the aggregator lacks of the payload in `path`. Returns how many bytes went out.
///
/// # Errors
/// When the connection breaks, the aggregator does not take the payload, or the file is not the payload.
pub async fn upload(
    client: &FederatedClient,
    round: u64,
    cohort: u16,
    payload: Hash,
    path: &Path,
) -> Result<u64, UploadFailure> {
    let cohort = u32::from(cohort);
    let held = expected(client, round, cohort).await?;
    let Some(offset) = held else { return Ok(0) };
    let got = hash_of(path).await?;
    if got != payload {
        return Err(UploadFailure::Altered { expected: payload, got });
    }
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    file.seek(io::SeekFrom::Start(offset)).await?;
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
    let arrived = format!("{} of {length} bytes arrived", reply.held_bytes);
    Err(ControlError::new(ControlErrorKind::Unavailable, arrived).into())
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use super::*;

    fn broke_off() -> UploadFailure {
        ControlError::new(ControlErrorKind::BadRequest, "the payload's bytes are not those of the signed hash").into()
    }

    #[tokio::test]
    async fn a_break_is_followed_by_another_attempt_after_a_growing_rest() {
        let (mut attempts, rests) = (0, RefCell::new(Vec::new()));
        let attempt = || {
            attempts += 1;
            ready(if attempts < 9 { Err(broke_off()) } else { Ok(7) })
        };
        let rest = |pause: Duration| {
            rests.borrow_mut().push(pause.as_millis());
            ready(())
        };
        assert_eq!(until_taken(attempt, rest).await.unwrap(), 7);
        assert_eq!(rests.into_inner(), [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    }

    #[tokio::test]
    async fn a_payload_that_is_not_what_was_signed_is_not_tried_again() {
        let altered = || ready(Err(UploadFailure::Altered { expected: Hash([1; 32]), got: Hash([2; 32]) }));
        let ended = until_taken(altered, |_| async { panic!("it rests") }).await;
        assert!(matches!(ended, Err(UploadFailure::Altered { .. })));
    }
}
