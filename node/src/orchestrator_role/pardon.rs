//! Pardons: the owner lets a worker work again that was excluded.

use neuro_network::control::{ControlError, ControlErrorKind};
use neuro_orchestrator::store::WorkerRecord;
use neuro_protocol::control::{PardonReply, PardonRequest};

use super::shared::Shared;

/// Pardons the worker that the request names, whether it is there or was last seen in another run.
///
/// # Errors
/// `NotFound` when no excluded worker is called so; `BadRequest` when several are.
pub fn grant(shared: &Shared, request: &PardonRequest) -> Result<PardonReply, ControlError> {
    let WorkerRecord { id, name, excluded, .. } = one_of(shared.recorder.workers(), &request.worker)?;
    shared.dispatch.pardon(id);
    tracing::warn!(worker = %id.short(), "a worker that was excluded is pardoned");
    Ok(PardonReply { id: id.to_string(), name, excluded: excluded.unwrap_or_default() })
}

/// The one excluded worker of `records` that is called `wanted`, or whose id begins so.
fn one_of(records: Vec<WorkerRecord>, wanted: &str) -> Result<WorkerRecord, ControlError> {
    let is_meant = |record: &WorkerRecord| {
        let is_called_so = record.name == wanted || record.id.to_string().starts_with(wanted);
        record.excluded.is_some() && !wanted.is_empty() && is_called_so
    };
    let mut found = records.into_iter().filter(is_meant);
    let refused = |kind, who| ControlError::new(kind, format!("{who} called {wanted:?}, or has an id that begins so"));
    match (found.next(), found.next()) {
        (Some(worker), None) => Ok(worker),
        (None, _) => Err(refused(ControlErrorKind::NotFound, "no excluded worker is")),
        (Some(_), Some(_)) => Err(refused(ControlErrorKind::BadRequest, "more than one excluded worker is")),
    }
}
