//! A round begins: who is called, in which cohorts, under which configuration.

use super::{Cohort, CohortRecord, Round, RoundKind, RoundStart, TaskEffect, TaskEnd, TaskServer};
use crate::error::EncodeError;
use crate::experts::{ExpertCohort, cohorts};
use crate::selection::{BatchInfo, drawn_order, select_batches};
use crate::shards;
use crate::task::Role;
use crate::update::{EncodingMode, EncodingPlan, NoiseBy};
use neuro_primitives::{Hash, Moment};
use neuro_privacy::Event;
use neuro_secagg::config::{Privacy, PrivacyMode, RoundConfig, Strategy};
use std::collections::BTreeMap;

/// A cohort that is to be opened.
struct Call {
    track: usize,
    name: String,
    batches: Vec<u16>,
    least: u16,
}

impl TaskServer {
    pub(super) fn begin(&mut self, now: Moment, start: RoundStart) -> Vec<TaskEffect> {
        if self.under_way.is_some() {
            return vec![TaskEffect::Ignored("a round is under way")];
        }
        self.at.round += 1;
        let kind = self.next_kind();
        let mut round = Round {
            kind,
            began: now,
            unix: start.unix,
            cohorts: BTreeMap::new(),
            closed: Vec::new(),
            metrics: BTreeMap::new(),
            within_clip: None,
            moved: false,
        };
        let calls = self.calls(kind, &start.open, &mut round.closed);
        match self.configurations(&calls, &start, &mut round) {
            Err(error) => self.broken(error),
            Ok(configs) => match self.over_budget(&round, &configs) {
                Some(end) => self.end(end),
                None => self.opened(now, round, configs),
            },
        }
    }

    /// The checkpoint goes first: a round's number is never given twice.
    fn opened(&mut self, now: Moment, round: Round, configs: Vec<RoundConfig>) -> Vec<TaskEffect> {
        let nobody = configs.is_empty();
        self.under_way = Some(round);
        let mut effects = vec![TaskEffect::Keep(self.at.clone())];
        effects.extend(configs.into_iter().map(|config| TaskEffect::OpenCohort(Box::new(config))));
        if nobody {
            effects.extend(self.finish(now));
        }
        effects
    }

    fn calls(&self, kind: RoundKind, open: &[BatchInfo], closed: &mut Vec<CohortRecord>) -> Vec<Call> {
        let plan = &self.setup.plan;
        let least = plan.cohort.least;
        let one = |track, name: &str, batches| vec![Call { track, name: name.to_owned(), batches, least }];
        let all = || open.iter().map(|batch| batch.batch).collect();
        match kind {
            RoundKind::Evaluate => one(0, "evaluation", all()),
            RoundKind::Router => self.track_of(Role::Router).map_or(Vec::new(), |track| one(track, "router", all())),
            RoundKind::Train if !plan.experts.is_empty() => self.expert_calls(open, closed),
            RoundKind::Train if plan.robust.is_some() => self.shard_calls(open, closed),
            RoundKind::Train => one(0, "model", select_batches(plan.selection, open, &self.setup.task, self.at.round)),
        }
        .into_iter()
        .filter(|call| !call.batches.is_empty())
        .collect()
    }

    fn expert_calls(&self, open: &[BatchInfo], closed: &mut Vec<CohortRecord>) -> Vec<Call> {
        let mut calls = Vec::new();
        for cohort in cohorts(&self.setup.plan.experts, open) {
            match cohort {
                ExpertCohort::Open { expert, batches, .. } => {
                    let plan = &self.setup.plan.experts[expert];
                    let Some(track) = self.track_of(Role::Expert(expert)) else { continue };
                    let least = plan.least;
                    calls.push(Call { track, name: plan.name.clone(), batches, least });
                }
                ExpertCohort::TooFew { expert, expected, got } => {
                    let why = format!("expected at least {expected} contributors, got {got}");
                    closed.push(not_opened(&self.setup.plan.experts[expert].name, got, why));
                }
            }
        }
        calls
    }

    fn shard_calls(&self, open: &[BatchInfo], closed: &mut Vec<CohortRecord>) -> Vec<Call> {
        let Some(robust) = self.setup.plan.robust else { return Vec::new() };
        let selection = self.setup.plan.selection;
        let drawn = drawn_order(open, &self.setup.task, self.at.round);
        let chosen = drawn.filter(|batch| selection.admits(batch)).take(selection.most());
        match shards::cut(chosen, usize::from(robust.shards)) {
            Ok(shards) => {
                let least = self.setup.plan.cohort.least.max(shards::LEAST_SHARD_MEMBERS as u16);
                let call = |(at, shard): (usize, shards::Shard)| Call {
                    track: 0,
                    name: format!("shard {at}"),
                    batches: shard.batches,
                    least,
                };
                shards.into_iter().enumerate().map(call).collect()
            }
            Err(refused) => {
                closed.push(not_opened("shards", open.iter().map(|b| b.present).sum(), refused.to_string()));
                Vec::new()
            }
        }
    }

    fn configurations(
        &self,
        calls: &[Call],
        start: &RoundStart,
        round: &mut Round,
    ) -> Result<Vec<RoundConfig>, EncodeError> {
        let mut configs = Vec::with_capacity(calls.len());
        for (cohort, call) in (0..).zip(calls) {
            let round_id = round_id(&start.random, self.at.round, cohort);
            let encoding = match round.kind {
                RoundKind::Evaluate => self.evaluation_encoding(&round_id)?,
                _ => {
                    let entries = self.tracks[call.track].layout.entries();
                    self.setup.plan.encoding(entries, self.at.clip, &round_id)?
                }
            };
            let config = self.configuration(cohort, call, start, &encoding, round_id, round.kind)?;
            configs.push(RoundConfig { cohorts: calls.len() as u16, ..config });
            let (track, name) = (call.track, call.name.clone());
            round.cohorts.insert(cohort, Cohort { track, name, encoding, record: None, mean: None });
        }
        Ok(configs)
    }

    /// The configuration as that of a round's only cohort.
    fn configuration(
        &self,
        cohort: u16,
        call: &Call,
        start: &RoundStart,
        encoding: &EncodingPlan,
        round_id: [u8; 32],
        kind: RoundKind,
    ) -> Result<RoundConfig, EncodeError> {
        let plan = &self.setup.plan;
        let (strategy, layout) = match kind {
            RoundKind::Evaluate => self.evaluation_layout(),
            _ => {
                let control = self.tracks[call.track].control_file();
                let control = control.map_err(|error| EncodeError::Private { why: error.to_string() })?;
                let control = control.map(|file| Hash::of(&file));
                let name = plan.strategy.name().to_owned();
                let settings = plan.settings(control).encode();
                (Strategy { name, settings }, self.tracks[call.track].layout.hash())
            }
        };
        let base = if kind == RoundKind::Evaluate { None } else { start.bases.get(call.track).copied() };
        let (value_bits, scale) = match &encoding.mode {
            EncodingMode::Plain { grid, .. } => (grid.value_bits(), grid.scale()),
            EncodingMode::Private(settings) => (plan.update.value_bits, settings.scale),
        };
        Ok(RoundConfig {
            task: self.setup.task,
            round: self.at.round,
            cohort,
            cohorts: 1,
            round_id,
            roster_version: start.roster.0,
            roster_hash: start.roster.1,
            batches: call.batches.clone(),
            base: base.unwrap_or(start.whole),
            layout,
            entries: encoding.entries as u32,
            vector_entries: encoding.vector_entries() as u32,
            strategy,
            weight_cap: encoding.weight_cap(),
            value_bits,
            scale,
            privacy: privacy(encoding),
            generator: plan.cohort.generator,
            corrupt_bps: plan.cohort.corrupt_bps,
            dropout_bps: plan.cohort.dropout_bps,
            security_bits: plan.cohort.security_bits,
            correctness_bits: plan.cohort.correctness_bits,
            least_members: call.least,
            most_members: plan.cohort.most.max(call.least),
            deadlines: plan.cohort.deadlines,
            feldman: plan.cohort.feldman,
        })
    }

    /// ε if this round went out to everybody who paid most, compared with the plan's bound. A batch that several cohorts
    /// call makes a release in each.
    fn over_budget(&self, round: &Round, configs: &[RoundConfig]) -> Option<TaskEnd> {
        let limit = self.setup.plan.privacy?.most_epsilon?;
        let mut batches: BTreeMap<u16, Vec<(Event, u32)>> = BTreeMap::new();
        for (cohort, config) in round.cohorts.values().zip(configs) {
            // The smallest cohort shares its noise among the fewest: the coarsest sampler and the greatest distance.
            let n = config.least_members;
            let honest = config.demand(n, n.into()).honest_at_least().max(1);
            let Ok(Some(event)) = cohort.encoding.release(config.most_members, honest) else { continue };
            config.batches.iter().for_each(|&batch| batches.entry(batch).or_default().push((event.clone(), 1)));
        }
        let mut different: Vec<Vec<(Event, u32)>> = batches.into_values().collect();
        different.dedup();
        let spent = different.into_iter().filter_map(|events| self.ledger.after(&Event::Composed(events)).ok()?);
        let epsilon = spent.map(|spent| spent.epsilon).fold(0.0, f64::max);
        (epsilon > limit).then_some(TaskEnd::BudgetSpent { epsilon, limit })
    }
}

fn not_opened(name: &str, members: u32, why: String) -> CohortRecord {
    let name = name.to_owned();
    CohortRecord { cohort: 0, name, members, survivors: 0, weight: 0.0, update_norm: 0.0, failure: Some(why) }
}

fn round_id(random: &[u8; 32], round: u64, cohort: u16) -> [u8; 32] {
    let parts = [b"neuro/fl/round-id/1\0".as_slice(), random, &round.to_le_bytes(), &cohort.to_le_bytes()];
    Hash::of(&parts.concat()).0
}

fn privacy(encoding: &EncodingPlan) -> Privacy {
    match &encoding.mode {
        EncodingMode::Plain { .. } => Privacy { mode: PrivacyMode::None, settings: Vec::new() },
        EncodingMode::Private(settings) => {
            let mode = match settings.noise {
                NoiseBy::Participants => PrivacyMode::Distributed,
                NoiseBy::Aggregator => PrivacyMode::Central,
            };
            Privacy { mode, settings: settings.encode() }
        }
    }
}
