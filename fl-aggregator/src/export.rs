//! A task's history for other programs: CSV, JSON, TensorBoard's event files, MLflow's folder of runs. Bytes and paths
//! come out; the caller writes them.
//!
//! The names are those of [`crate::report::values`]. The step is the round's number, the time is when the round ended.

mod mlflow;
mod tables;
mod tensorboard;

use crate::checkpoint::RoundRecord;

pub use mlflow::{ExportFile, MlflowRun, mlflow};
pub use tables::{csv, json};
pub use tensorboard::{event_file_name, masked_crc32c, tensorboard};

/// When a round ended, Unix milliseconds.
fn ended_ms(record: &RoundRecord) -> u64 {
    record.began_unix_ms.saturating_add(record.took_ms)
}

#[cfg(test)]
mod tests;
