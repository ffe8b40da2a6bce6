//! Records as values, and rows as records.

use neuro_orchestrator::Standing;
use neuro_orchestrator::credit::{CreditEntry, Rank};
use neuro_orchestrator::store::{ExpertUse, Hardware, RankedWorker, StoreError, TeamCredit, WorkerRecord};
use neuro_primitives::receipt::SignedVoucher;
use neuro_primitives::{ExpertId, ModelId, NodeId};

use crate::database::{Columns, Value};

pub fn worker_values(worker: &WorkerRecord) -> Vec<Value> {
    let (hardware, standing) = (&worker.hardware, &worker.standing);
    vec![
        Value::bytes(&worker.id.0),
        Value::text(&worker.name),
        Value::optional(worker.team.as_deref()),
        Value::text(&hardware.cpu_features),
        Value::count(hardware.cores.into()),
        Value::count(hardware.ram_bytes),
        Value::text(&hardware.gpu),
        Value::count(hardware.vram_bytes),
        Value::text(&hardware.engine),
        Value::text(&hardware.version),
        Value::count(worker.first_seen_s),
        Value::count(worker.last_seen_s),
        Value::real(standing.valid),
        Value::real(standing.invalid),
        Value::count(standing.streak.into()),
        Value::real(standing.timely),
        Value::real(standing.late),
        Value::real(standing.uptime_s),
        Value::count(standing.first_seen_s),
        Value::optional(worker.excluded.as_deref()),
    ]
}

pub fn worker(columns: &mut Columns<'_>) -> Result<WorkerRecord, StoreError> {
    Ok(WorkerRecord {
        id: NodeId(columns.array()?),
        name: columns.text()?,
        team: columns.optional_text()?,
        hardware: hardware(columns)?,
        first_seen_s: columns.count()?,
        last_seen_s: columns.count()?,
        standing: standing(columns)?,
        excluded: columns.optional_text()?,
    })
}

fn hardware(columns: &mut Columns<'_>) -> Result<Hardware, StoreError> {
    Ok(Hardware {
        cpu_features: columns.text()?,
        cores: columns.small()?,
        ram_bytes: columns.count()?,
        gpu: columns.text()?,
        vram_bytes: columns.count()?,
        engine: columns.text()?,
        version: columns.text()?,
    })
}

fn standing(columns: &mut Columns<'_>) -> Result<Standing, StoreError> {
    Ok(Standing {
        valid: columns.real()?,
        invalid: columns.real()?,
        streak: columns.small()?,
        timely: columns.real()?,
        late: columns.real()?,
        uptime_s: columns.real()?,
        first_seen_s: columns.count()?,
    })
}

pub fn credit_values(worker: NodeId, credit: &CreditEntry) -> Vec<Value> {
    vec![
        Value::bytes(&worker.0),
        Value::count(credit.total),
        Value::real(credit.recent),
        Value::count(credit.at_s),
        Value::real(credit.recent_order()),
    ]
}

pub fn credit(columns: &mut Columns<'_>) -> Result<CreditEntry, StoreError> {
    Ok(CreditEntry { total: columns.count()?, recent: columns.real()?, at_s: columns.count()? })
}

pub fn ranked_worker(columns: &mut Columns<'_>) -> Result<RankedWorker, StoreError> {
    Ok(RankedWorker {
        worker: NodeId(columns.array()?),
        name: columns.text()?,
        team: columns.optional_text()?,
        credit: credit(columns)?,
        rank: Rank { place: columns.count()?, above: columns.count()?, workers: columns.count()? },
    })
}

pub fn team_credit(columns: &mut Columns<'_>) -> Result<TeamCredit, StoreError> {
    let (team, members) = (columns.text()?, columns.count()?);
    let (units, rest) = (columns.count()?, columns.count()?);
    Ok(TeamCredit { team, members, total: units.saturating_mul(1_000_000).saturating_add(rest) })
}

pub fn voucher_values(signed: &SignedVoucher) -> Vec<Value> {
    let voucher = signed.voucher();
    vec![Value::bytes(&voucher.worker.0), Value::bytes(&voucher.orchestrator.0), Value::bytes(&signed.encode())]
}

/// The voucher of a row. Its signatures are for whoever uses it to verify.
pub fn voucher(columns: &mut Columns<'_>) -> Result<SignedVoucher, StoreError> {
    SignedVoucher::decode(&columns.bytes()?).map_err(|error| columns.damaged(format!("expected a voucher: {error}")))
}

pub fn expert_use_values(used: &ExpertUse) -> Vec<Value> {
    let ExpertId { layer, expert } = used.expert;
    vec![
        Value::bytes(&used.model.0.0),
        Value::count(layer.into()),
        Value::count(expert.into()),
        Value::count(used.rows),
    ]
}

pub fn expert_use(columns: &mut Columns<'_>) -> Result<ExpertUse, StoreError> {
    Ok(ExpertUse {
        model: ModelId(columns.hash()?),
        expert: ExpertId { layer: columns.small()?, expert: columns.small()? },
        rows: columns.count()?,
    })
}
