//! What a participant remembers of a task: rounds that it joined, sums that it helped to open and what each of them
//! cost. `past.json`.
//!
//! Its own account of ε is made from these releases alone, by the same accountants as the aggregator's ledger. What an
//! aggregator says about the budget is not asked.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use neuro_fl_aggregator::EncodingPlan;
use neuro_fl_aggregator::ledger::composed;
use neuro_primitives::UnixMillis;
use neuro_privacy::Event;
use neuro_secagg::config::RoundConfig;
use neuro_secagg::floors::Past;
use neuro_secagg::participant::Release;
use serde::{Deserialize, Serialize};

use crate::os::private_file;

/// The file, and what stands in it.
#[derive(Debug)]
pub struct PastFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// The greatest round that was joined, and its cohorts.
    newest_round: Option<(u64, BTreeSet<u16>)>,
    /// Sums that it may be in.
    releases: Vec<Charged>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Charged {
    round: u64,
    cohort: u16,
    unix_ms: u64,
    /// What it cost; none: a sum without noise.
    event: Option<Event>,
    /// Whether its update, kept for buffered rounds, is spent.
    #[serde(default)]
    spent: bool,
}

/// A release that a round will make, as far as it is known before the cohort is.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// What it costs; none: a sum without noise, or one whose cost nobody can count.
    pub event: Option<Event>,
    /// δ at which ε is told; 0 without noise.
    pub delta: f64,
}

/// What a round costs a participant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Account {
    /// ε of the round by itself; infinite without noise.
    pub round: f64,
    /// ε over the task with this round.
    pub after: f64,
    /// δ of both; 0 without noise.
    pub delta: f64,
}

impl Foreseen {
    /// The release of a cohort of this configuration, whose batches list `rostered` members. What depends on how many
    /// will come is taken at its worst.
    #[must_use]
    pub fn of(config: &RoundConfig, rostered: u32) -> Self {
        let none = Self { event: None, delta: 0.0 };
        let Ok(plan) = EncodingPlan::of(config) else { return none };
        let Some(delta) = plan.delta() else { return none };
        let most = most_members(config, rostered);
        let honest = |n| config.demand(n, rostered).honest_at_least();
        // The fewer share the noise, the coarser each one's sampler; so few may be beyond what it can do at all.
        let least = [config.least_members.min(most), most].into_iter().map(honest).filter(|&honest| honest > 0);
        let event = least.into_iter().find_map(|honest| plan.release(most, honest).ok().flatten());
        Self { event, delta }
    }
}

impl PastFile {
    /// The past in the task's folder; an empty one before the first round.
    ///
    /// # Errors
    /// When the file is there and cannot be read: then nothing is joined, since what was spent is not known.
    pub fn open(task_folder: &Path) -> io::Result<Self> {
        let path = task_folder.join("past.json");
        let content = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, content })
    }

    /// What the floors ask about before a round that will make the release `next`, while those in `pending` are still to
    /// come: parts that were joined and have not answered yet.
    #[must_use]
    pub fn at(&self, now: UnixMillis, next: &Foreseen, pending: &[Foreseen]) -> (Past, Account) {
        let Content { newest_round, releases } = &self.content;
        let account = self.account(next, pending);
        let today = releases.iter().map(|release| UnixMillis(release.unix_ms));
        let releases = today.chain(pending.iter().map(|_| now)).collect();
        let (epsilon, delta) = (account.after, account.delta);
        (Past { now, newest_round: newest_round.clone(), releases, epsilon, delta }, account)
    }

    /// Fails closed: what cannot be counted costs everything.
    fn account(&self, next: &Foreseen, pending: &[Foreseen]) -> Account {
        let infinite = |delta| Account { round: f64::INFINITY, after: f64::INFINITY, delta };
        let Some(event) = &next.event else { return infinite(next.delta) };
        let epsilon = |events: &[&Event]| {
            let counted = counted(events);
            composed(counted, next.delta).map_or(f64::INFINITY, |spent| spent.epsilon)
        };
        let before = self.content.releases.iter().map(|release| release.event.as_ref());
        let all: Option<Vec<&Event>> = before.chain(pending.iter().map(|of| of.event.as_ref())).collect();
        let after = all.map_or(f64::INFINITY, |mut all| {
            all.push(event);
            epsilon(&all)
        });
        Account { round: epsilon(&[event]), after, delta: next.delta }
    }

    /// Remembers that a cohort was joined, durably: before anything of it leaves.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn joined(&mut self, round: u64, cohort: u16) -> io::Result<()> {
        match &mut self.content.newest_round {
            Some((newest, cohorts)) if *newest == round => drop(cohorts.insert(cohort)),
            newest => *newest = Some((round, BTreeSet::from([cohort]))),
        }
        self.save()
    }

    /// Whether the release of this cohort is charged.
    #[must_use]
    pub fn is_charged(&self, round: u64, cohort: u16) -> bool {
        self.content.releases.iter().any(|release| (release.round, release.cohort) == (round, cohort))
    }

    /// Charges a release, durably; the same round and cohort again changes nothing.
    ///
    /// # Errors
    /// When it cannot be written: then the upload must not leave.
    pub fn charge(&mut self, round: u64, cohort: u16, now: UnixMillis, event: Option<Event>) -> io::Result<()> {
        if self.is_charged(round, cohort) {
            return Ok(());
        }
        self.content.releases.push(Charged { round, cohort, unix_ms: now.0, event, spent: false });
        self.save()
    }

    /// Whether an update left for this cohort that is not spent yet.
    #[must_use]
    pub fn is_unspent(&self, round: u64, cohort: u16) -> bool {
        let of_cohort = |release: &&Charged| (release.round, release.cohort) == (round, cohort);
        self.content.releases.iter().find(of_cohort).is_some_and(|release| !release.spent)
    }

    /// Remembers, durably, that the update of this cohort is spent.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn spend(&mut self, round: u64, cohort: u16) -> io::Result<()> {
        let of_cohort = |release: &&mut Charged| (release.round, release.cohort) == (round, cohort);
        self.content.releases.iter_mut().filter(of_cohort).for_each(|release| release.spent = true);
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        private_file::replace(&self.path, &serde_json::to_vec(&self.content).map_err(io::Error::other)?)
    }
}

/// What a release costs: none without noise, which is counted as such. The batches list `rostered` members.
pub(super) fn event_of(config: &RoundConfig, rostered: u32, release: &Release) -> Option<Event> {
    let plan = EncodingPlan::of(config).ok()?;
    plan.release(most_members(config, rostered), release.honest_at_least.max(1)).ok().flatten()
}

/// As many as may have drawn noise for a sum.
fn most_members(config: &RoundConfig, rostered: u32) -> u16 {
    config.most_members.min(u16::try_from(rostered).unwrap_or(u16::MAX))
}

/// Equal events counted together: a task's rounds are mostly alike.
fn counted<'a>(events: &[&'a Event]) -> Vec<(&'a Event, u32)> {
    let mut counted: Vec<(&Event, u32)> = Vec::new();
    for event in events {
        match counted.iter_mut().find(|(known, _)| known == event) {
            Some((_, times)) => *times += 1,
            None => counted.push((event, 1)),
        }
    }
    counted
}

#[cfg(test)]
mod tests;
