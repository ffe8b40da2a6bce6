//! What parts share, and what they say to each other, to work beside them and to their session.

use std::path::PathBuf;
use std::sync::Arc;

use neuro_network::FederatedClient;
use neuro_primitives::{Hash, NodeKey};
use neuro_protocol::federated::ParticipantMessage;
use neuro_secagg::messages::EndReason;
use neuro_secagg::participant::PartEnd;
use tokio::sync::{Semaphore, mpsc};

use crate::aggregator_role::reason::words;
use crate::participant_role::audit::AuditLog;
use crate::participant_role::buffer::Buffers;
use crate::participant_role::past::PastFile;
use crate::participant_role::payload::PayloadFailure;
use crate::participant_role::trainer::TrainerCommand;
use crate::participant_role::training::{Trained, TrainingError};
use crate::participant_role::uploading::UploadFailure;

/// What came of work beside a part.
pub(in super::super) struct Work {
    pub(in super::super) round: u64,
    pub(in super::super) cohort: u16,
    pub(in super::super) outcome: Outcome,
}

pub(in super::super) enum Outcome {
    Trained(Result<Trained, TrainingError>),
    Masked(Result<(Hash, u64), PayloadFailure>),
    Uploaded(Result<u64, UploadFailure>),
}

/// What a part tells its session.
#[derive(Debug)]
pub(in super::super) enum Note {
    Trained { loss: Option<f64>, weight: u32 },
    Masked { bytes: u64 },
    Uploaded { bytes: u64 },
    GaveUp { reason: String },
    Ended(PartEnd),
}

/// What all parts of a participant share.
pub(in super::super) struct Surroundings {
    pub(in super::super) key: NodeKey,
    pub(in super::super) task: String,
    /// The task's folder.
    pub(in super::super) folder: PathBuf,
    pub(in super::super) command: TrainerCommand,
    pub(in super::super) memory_bytes: Option<u64>,
    /// What is declared to the aggregator.
    pub(in super::super) capability: u64,
    /// Whether rounds without commitments to check shares against are not joined.
    pub(in super::super) verify_on_receipt: bool,
    pub(in super::super) audit: AuditLog,
    pub(in super::super) past: PastFile,
    pub(in super::super) work: mpsc::Sender<Work>,
    /// A participant in several cohorts runs one trainer at a time, and sends one payload at a time.
    pub(in super::super) training: Arc<Semaphore>,
    pub(in super::super) uploading: Arc<Semaphore>,
    /// What is learned for buffered rounds.
    pub(in super::super) buffers: Arc<Buffers>,
}

/// The line to the aggregator, while there is one.
#[derive(Clone)]
pub(in super::super) struct Line {
    /// Which one it is since this process began.
    pub(in super::super) number: u64,
    pub(in super::super) client: FederatedClient,
    pub(in super::super) messages: mpsc::Sender<ParticipantMessage>,
}

/// Whether a part ended with a sum, and how, for people.
pub(in super::super) fn told_end(end: &PartEnd) -> (bool, String) {
    match end {
        PartEnd::Round(reason @ EndReason::Done { .. }) => (true, words(reason)),
        PartEnd::Round(reason) => (false, words(reason)),
        PartEnd::Refused(refused) => (false, format!("refused: {refused}")),
        PartEnd::OutOfRound(out) => (false, out.to_string()),
        PartEnd::Stopped => (false, "given up here".into()),
    }
}
