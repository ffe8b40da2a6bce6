//! The store's rules over statements, the same for both databases.

use neuro_orchestrator::credit::CreditEntry;
use neuro_orchestrator::store::{
    Batch, BatchId, Earned, ExpertUse, RankedWorker, Store, StoreError, TeamCredit, WorkerRecord, admits,
};
use neuro_primitives::receipt::SignedVoucher;
use neuro_primitives::{ModelId, NodeId};

use crate::database::{Columns, Database, Value};
use crate::{records, statements};

/// A store in a database.
pub struct SqlStore<D> {
    database: D,
}

impl<D: Database> SqlStore<D> {
    /// The store in a database whose tables are of this program's version.
    pub const fn new(database: D) -> Self {
        Self { database }
    }

    /// Everything of a batch, in one transaction that is open.
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let last = self.last_batch(batch.id.writer)?;
        if !batch.id.admit(last.as_ref())? {
            return Ok(());
        }
        let writer = Value::bytes(&batch.id.writer.0);
        let run = Value::Integer(batch.id.run.cast_signed());
        self.database.execute(statements::PUT_BATCH, &[writer, Value::count(batch.id.sequence), run])?;
        for worker in &batch.pardoned {
            self.database.execute(statements::PARDON, &[Value::bytes(&worker.0)])?;
        }
        for worker in &batch.workers {
            self.database.execute(statements::PUT_WORKER, &records::worker_values(worker))?;
        }
        for earned in &batch.earned {
            self.earn(earned, batch.at_s)?;
        }
        for voucher in &batch.vouchers {
            self.replace_voucher(voucher)?;
        }
        for used in &batch.expert_use {
            self.database.execute(statements::ADD_EXPERT_USE, &records::expert_use_values(used))?;
        }
        Ok(())
    }

    fn earn(&mut self, earned: &Earned, at_s: u64) -> Result<(), StoreError> {
        let worker = Value::bytes(&earned.worker.0);
        let stored = self.read(statements::CREDIT, &[worker], records::credit)?.pop();
        let mut credit = stored.unwrap_or(CreditEntry { at_s, ..CreditEntry::default() });
        credit.earn(earned.micro_units, at_s);
        self.database.execute(statements::PUT_CREDIT, &records::credit_values(earned.worker, &credit))
    }

    fn replace_voucher(&mut self, signed: &SignedVoucher) -> Result<(), StoreError> {
        let voucher = signed.voucher();
        let pair = [Value::bytes(&voucher.worker.0), Value::bytes(&voucher.orchestrator.0)];
        let stored = self.read(statements::VOUCHER, &pair, records::voucher)?.pop();
        if admits(signed, stored.as_ref())? {
            self.database.execute(statements::PUT_VOUCHER, &records::voucher_values(signed))?;
        }
        Ok(())
    }

    fn read<T>(
        &mut self,
        statement: &'static str,
        values: &[Value],
        record: fn(&mut Columns<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.database.rows(statement, values)?;
        let place = self.database.place();
        rows.into_iter().map(|row| record(&mut Columns::new(place, row))).collect()
    }
}

impl<D: Database> Store for SqlStore<D> {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.database.begin()?;
        let done = self.apply(batch).and_then(|()| self.database.commit());
        if done.is_err() {
            self.database.roll_back();
        }
        done
    }

    fn last_batch(&mut self, writer: NodeId) -> Result<Option<BatchId>, StoreError> {
        let rows = self.read(statements::LAST_BATCH, &[Value::bytes(&writer.0)], |columns| {
            Ok((columns.count()?, columns.integer()?.cast_unsigned()))
        })?;
        Ok(rows.first().map(|(sequence, run)| BatchId { writer, sequence: *sequence, run: *run }))
    }

    fn workers(&mut self) -> Result<Vec<WorkerRecord>, StoreError> {
        self.read(statements::WORKERS, &[], records::worker)
    }

    fn top_workers(&mut self, limit: usize) -> Result<Vec<RankedWorker>, StoreError> {
        self.read(statements::TOP_WORKERS, &[Value::count(limit as u64)], records::ranked_worker)
    }

    fn top_teams(&mut self, limit: usize) -> Result<Vec<TeamCredit>, StoreError> {
        self.read(statements::TOP_TEAMS, &[Value::count(limit as u64)], records::team_credit)
    }

    fn team(&mut self, name: &str, limit: usize) -> Result<Vec<RankedWorker>, StoreError> {
        let values = [Value::text(name), Value::count(limit as u64)];
        self.read(statements::TEAM, &values, records::ranked_worker)
    }

    fn credit(&mut self, worker: NodeId) -> Result<Option<RankedWorker>, StoreError> {
        Ok(self.read(statements::RANK, &[Value::bytes(&worker.0)], records::ranked_worker)?.pop())
    }

    fn vouchers(&mut self, orchestrator: NodeId) -> Result<Vec<SignedVoucher>, StoreError> {
        self.read(statements::VOUCHERS, &[Value::bytes(&orchestrator.0)], records::voucher)
    }

    fn expert_use(&mut self, model: ModelId) -> Result<Vec<ExpertUse>, StoreError> {
        self.read(statements::EXPERT_USE, &[Value::bytes(&model.0.0)], records::expert_use)
    }
}
