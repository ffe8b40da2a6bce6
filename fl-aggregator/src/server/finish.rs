//! Cohorts end, one after the other; after the last one the round does.

use super::{CohortRecord, CohortSum, ROBUST_RULE, Round, RoundKind, RoundRecord, TaskEffect, TaskServer};
use crate::evaluation::{is_due, mean_metrics};
use crate::strategy::DecodedSum;
use crate::task::Track;
use crate::update::{decode_sum, within_clip};
use neuro_primitives::{Moment, NodeId};
use neuro_privacy::{Spent, next_clip};

impl TaskServer {
    pub(super) fn done(&mut self, now: Moment, sum: CohortSum) -> Vec<TaskEffect> {
        if !self.awaits(sum.round, sum.cohort) {
            return vec![TaskEffect::Ignored("a sum of no cohort that is awaited")];
        }
        let mut effects = self.charge(sum.cohort, &sum.members, sum.honest_at_least);
        let record = self.used(&sum);
        effects.extend(self.close(now, sum.cohort, record));
        effects
    }

    pub(super) fn failed(
        &mut self,
        now: Moment,
        (round, cohort): (u64, u16),
        reason: String,
        n: u16,
        (charged, honest_at_least): (&[NodeId], u16),
    ) -> Vec<TaskEffect> {
        if !self.awaits(round, cohort) {
            return vec![TaskEffect::Ignored("a failure of no cohort that is awaited")];
        }
        let mut effects = if charged.is_empty() { Vec::new() } else { self.charge(cohort, charged, honest_at_least) };
        let record = self.record(cohort, n, Err(reason));
        effects.extend(self.close(now, cohort, record));
        effects
    }

    fn awaits(&self, round: u64, cohort: u16) -> bool {
        let open = self.under_way.as_ref().and_then(|under_way| under_way.cohorts.get(&cohort));
        round == self.at.round && open.is_some_and(|cohort| cohort.record.is_none())
    }

    fn charge(&mut self, cohort: u16, members: &[NodeId], honest_at_least: u16) -> Vec<TaskEffect> {
        let Some(encoding) = self.under_way.as_ref().and_then(|round| round.cohorts.get(&cohort)).map(|c| c.encoding)
        else {
            return Vec::new();
        };
        let event = match encoding.release(members.len() as u16, honest_at_least.max(1)) {
            Ok(event) => event,
            Err(error) => return self.broken(error),
        };
        match self.ledger.charge(self.at.round, cohort, event, members) {
            Ok(line) => vec![TaskEffect::Charge(line)],
            Err(error) => self.broken(error),
        }
    }

    /// Decodes a sum and does with it what the round is for.
    fn used(&mut self, sum: &CohortSum) -> CohortRecord {
        let outcome = self.decoded(sum).and_then(|decoded| self.apply_or_keep(sum, decoded));
        self.record(sum.cohort, sum.n, outcome)
    }

    fn decoded(&self, sum: &CohortSum) -> Result<DecodedSum, String> {
        let cohort = self.under_way.as_ref().and_then(|round| round.cohorts.get(&sum.cohort));
        let encoding = cohort.ok_or("no such cohort")?.encoding;
        decode_sum(&sum.sum, sum.survivors, &encoding).map_err(|error| error.to_string())
    }

    fn apply_or_keep(&mut self, sum: &CohortSum, decoded: DecodedSum) -> Result<DecodedSum, String> {
        let names = self.setup.plan.evaluation.as_ref().map(|evaluation| evaluation.metrics.clone());
        let robust = self.setup.plan.robust.is_some();
        let Some(round) = self.under_way.as_mut() else { return Err("no round is under way".to_owned()) };
        let Some(cohort) = round.cohorts.get_mut(&sum.cohort) else { return Err("no such cohort".to_owned()) };
        if round.kind == RoundKind::Evaluate {
            round.metrics = mean_metrics(&names.unwrap_or_default(), &decoded);
            return Ok(decoded);
        }
        let track = cohort.track;
        if let Some(count) = within_clip(&sum.sum, &cohort.encoding) {
            let (counted, of) = round.within_clip.unwrap_or_default();
            round.within_clip = Some((counted.saturating_add(count), of + sum.survivors));
        }
        if robust && round.kind == RoundKind::Train {
            cohort.mean = Some(decoded.values.iter().map(|value| value / decoded.weight).collect());
        } else {
            self.apply(track, &decoded)?;
        }
        Ok(decoded)
    }

    /// Moves a track's model, and what other tracks hold of the same rows.
    fn apply(&mut self, track: usize, sum: &DecodedSum) -> Result<(), String> {
        let Some(moved) = self.tracks.get_mut(track) else { return Err("no such track".to_owned()) };
        moved.strategy.apply(&mut moved.model, sum).map_err(|error| error.to_string())?;
        let (layout, model) = (moved.layout.clone(), moved.model.clone());
        for (_, other) in self.tracks.iter_mut().enumerate().filter(|(at, _)| *at != track) {
            layout.carry(&model, &other.layout, &mut other.model);
        }
        if let Some(round) = self.under_way.as_mut() {
            round.moved = true;
        }
        Ok(())
    }

    /// The clip follows the quantile of norms (Andrew et al. 2021), over all cohorts of the round together.
    fn follow_norms(&mut self) {
        let rule = self.setup.plan.privacy.and_then(|privacy| privacy.adaptive).map(|(rule, _)| rule);
        let counted = self.under_way.as_ref().and_then(|round| round.within_clip);
        if let (Some(rule), Some((count, survivors))) = (rule, counted)
            && let Ok(next) = next_clip(self.at.clip, &rule, count, survivors)
        {
            self.at.clip = next;
        }
    }

    fn record(&self, cohort: u16, n: u16, outcome: Result<DecodedSum, String>) -> CohortRecord {
        let open = self.under_way.as_ref().and_then(|round| round.cohorts.get(&cohort));
        let name = open.map(|open| open.name.clone()).unwrap_or_default();
        let model_entries = open.map_or(0, |open| open.encoding.entries);
        let members = n.into();
        let empty = CohortRecord { cohort, name, members, survivors: 0, weight: 0.0, update_norm: 0.0, failure: None };
        match outcome {
            Err(reason) => CohortRecord { failure: Some(reason), ..empty },
            Ok(sum) => {
                let squares = sum.values.iter().take(model_entries).map(|value| (value / sum.weight).powi(2));
                let update_norm = squares.sum::<f64>().sqrt();
                CohortRecord { survivors: sum.survivors, weight: sum.weight, update_norm, ..empty }
            }
        }
    }

    /// Notes a cohort's end; the last one ends the round.
    fn close(&mut self, now: Moment, cohort: u16, record: CohortRecord) -> Vec<TaskEffect> {
        let Some(round) = self.under_way.as_mut() else { return Vec::new() };
        if let Some(open) = round.cohorts.get_mut(&cohort) {
            open.record = Some(record);
        }
        let all = round.cohorts.values().all(|cohort| cohort.record.is_some());
        if all { self.finish(now) } else { Vec::new() }
    }

    /// The round's end: the robust rule, what is kept, and what comes next.
    pub(super) fn finish(&mut self, now: Moment) -> Vec<TaskEffect> {
        let refusal = self.combine_shards().err();
        self.follow_norms();
        let Some(mut round) = self.under_way.take() else { return Vec::new() };
        if let Some(why) = refusal {
            round.closed.push(CohortRecord {
                cohort: 0,
                name: ROBUST_RULE.to_owned(),
                members: 0,
                survivors: 0,
                weight: 0.0,
                update_norm: 0.0,
                failure: Some(why),
            });
        }
        let measured = !round.metrics.is_empty();
        let succeeded = round.moved || measured;
        self.count(round.kind, succeeded);
        if measured {
            self.watch(&round.metrics);
        }
        let mut effects = if round.moved { self.models() } else { Vec::new() };
        effects.push(TaskEffect::Record(self.round_record(now, round, succeeded)));
        match self.over() {
            Some(end) => effects.extend(self.end(end)),
            None => effects.extend([TaskEffect::Keep(self.at.clone()), TaskEffect::Next(self.next_kind())]),
        }
        effects
    }

    fn combine_shards(&mut self) -> Result<(), String> {
        let (Some(robust), Some(round)) = (self.setup.plan.robust, self.under_way.as_ref()) else { return Ok(()) };
        if round.kind != RoundKind::Train || round.cohorts.is_empty() {
            return Ok(());
        }
        let means: Vec<&[f64]> = round.cohorts.values().filter_map(|cohort| cohort.mean.as_deref()).collect();
        let rule = robust.rule.rule().map_err(|error| error.to_string())?;
        let values = rule.combine(&means, robust.norm_bound).map_err(|error| error.to_string())?;
        let survivors = round.cohorts.values().filter_map(|c| c.record.as_ref()).map(|record| record.survivors).sum();
        self.apply(0, &DecodedSum { values, weight: 1.0, survivors })
    }

    fn count(&mut self, kind: RoundKind, succeeded: bool) {
        self.at.failures = if succeeded { 0 } else { self.at.failures + 1 };
        match kind {
            RoundKind::Evaluate => self.at.evaluation_due = false,
            RoundKind::Train if succeeded => {
                self.at.applied += 1;
                let every = self.setup.plan.evaluation.as_ref().map(|evaluation| evaluation.every);
                self.at.evaluation_due = every.is_some_and(|every| is_due(every, self.at.applied));
            }
            RoundKind::Router if succeeded => self.at.router_applied += 1,
            RoundKind::Train | RoundKind::Router => {}
        }
    }

    /// Every track, since those that were not trained may hold rows of those that were.
    fn models(&self) -> Vec<TaskEffect> {
        let saved = |track: &Track| TaskEffect::SaveModel {
            track: track.name.clone(),
            model: track.model.clone(),
            state: track.strategy.state(),
        };
        self.tracks.iter().map(saved).collect()
    }

    /// What is told: a finite ε, of a task with noise.
    fn spent(&self) -> Option<Spent> {
        let spent = self.ledger.spent().ok().flatten().filter(|spent| spent.epsilon.is_finite());
        spent.filter(|_| self.setup.plan.privacy.is_some())
    }

    fn round_record(&self, now: Moment, round: Round, succeeded: bool) -> RoundRecord {
        let took = now.since(round.began).as_millis();
        let mut cohorts = round.closed;
        cohorts.extend(round.cohorts.into_values().filter_map(|cohort| cohort.record));
        RoundRecord {
            round: self.at.round,
            kind: round.kind,
            began_unix_ms: round.unix.0,
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
            strategy: self.setup.plan.strategy.name().to_owned(),
            cohorts,
            metrics: round.metrics,
            spent: self.spent(),
            succeeded,
        }
    }
}
