//! What a trainer writes, of which only the end is kept.

use neuro_fl_aggregator::trainer_contract::MOST_LINE_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{MAX_OUTPUT_BYTES, TrainerError};

/// Bytes of the end that are kept: the last line, or the last words of an error.
const KEPT_BYTES: usize = MOST_LINE_BYTES + (4 << 10);

/// Bytes of standard error that an error shows.
const SHOWN_BYTES: usize = 2 << 10;

/// The end of a text.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * KEPT_BYTES {
            self.0.drain(..self.0.len() - KEPT_BYTES);
        }
    }

    /// The last line that is not blank.
    pub(super) fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }

    /// The last words, on one line.
    pub(super) fn tail(&self) -> String {
        let end = &self.0[self.0.len().saturating_sub(SHOWN_BYTES)..];
        let text = String::from_utf8_lossy(end);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Reads `pipe` to its end.
///
/// # Errors
/// When it cannot be read, and as soon as more than half of [`MAX_OUTPUT_BYTES`] came: each pipe gets half, so that
/// neither can use up the other's share.
pub(super) async fn read(mut pipe: impl AsyncRead + Unpin) -> Result<Tail, TrainerError> {
    let (mut tail, mut total, mut bytes) = (Tail::default(), 0_u64, [0; 8192]);
    loop {
        match pipe.read(&mut bytes).await? {
            0 => return Ok(tail),
            length => {
                total += length as u64;
                if total > MAX_OUTPUT_BYTES / 2 {
                    return Err(TrainerError::Babbled { limit: MAX_OUTPUT_BYTES });
                }
                tail.push(&bytes[..length]);
            }
        }
    }
}
