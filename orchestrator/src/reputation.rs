//! What is known of a worker's conduct: checked results, deadlines, time.
//!
//! Correctness is a beta score (Jøsang & Ismail 2002): `(valid + 1) / (valid + invalid + 2)`, both counts forgetting by
//! [`KEPT`] at every checked result, so that the last few hundred count. A *streak* counts checked results that were right
//! without a wrong one between, as BOINC's adaptive replication does; results that nobody checked raise nothing. So an
//! identity starts at a half, and earns trust by work alone: one that comes back under another name starts again.
//!
//! A standing belongs to one worker, one engine and one type of weights: an orchestrator has one model, so one each.

use std::time::Duration;

use crate::registry::Slot;

/// Share of the counts that is left after another checked result: the weight of the last thousand.
const KEPT: f64 = 0.999;

/// Checked results in a row after which a worker is off probation, as BOINC has it.
pub const PROBATION: u32 = 10;

/// [`Standing::burden`] of a worker that nobody knows.
const UNKNOWN_BURDEN: u32 = 448;

/// How many times as slow a tardy worker counts at most. It is asked when others are busy, since it may have changed: its
/// answers in time soon outweigh what it refused.
const TARDY_AT_MOST: f64 = 8.0;

/// Standings of workers that are not connected that are kept; the lowest go first.
pub(crate) const MAX_STANDINGS: usize = 65_536;

/// What is known of one worker's conduct.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    /// Checked results that were right, with forgetting.
    pub valid: f64,
    /// Checked results that were wrong, with forgetting; one that differed from another, when nobody could say which is
    /// wrong, is a half.
    pub invalid: f64,
    /// Checked results that were right since the last fault: a wrong one, one that no other agreed with, or no usable one.
    pub streak: u32,
    /// Tasks that were answered in time, with forgetting.
    pub timely: f64,
    /// Tasks that were not, with forgetting.
    pub late: f64,
    /// Seconds that it was connected.
    pub uptime_s: f64,
    /// When it was first seen, in seconds since 1970. 0 if the orchestrator has no calendar.
    pub first_seen_s: u64,
}

impl Standing {
    /// How likely its next checked result is right: between 0 and 1, a half for a worker that nobody knows.
    #[must_use]
    pub fn score(&self) -> f64 {
        (self.valid + 1.0) / (self.valid + self.invalid + 2.0)
    }

    /// How likely its next answer comes in time, by the same rule.
    #[must_use]
    pub fn timeliness(&self) -> f64 {
        (self.timely + 1.0) / (self.timely + self.late + 2.0)
    }

    /// Whether its results are checked before they are used.
    #[must_use]
    pub const fn is_on_probation(&self) -> bool {
        self.streak < PROBATION
    }

    /// One of how many of its results is checked, when no more than one of `at_most` need be.
    #[must_use]
    pub fn checked_one_in(&self, at_most: u32) -> u32 {
        if self.is_on_probation() { 1 } else { self.streak.min(at_most.max(1)) }
    }

    /// Whether more of its tasks than not were refused, late or lost.
    pub(crate) fn is_tardy(&self) -> bool {
        self.timeliness() < 0.5
    }

    /// How much longer than a flawless worker it counts as taking, in 256ths: 256 to 512. More if it is tardy, as often as it
    /// must be asked for one answer in time, up to [`TARDY_AT_MOST`] times that.
    pub(crate) fn burden(&self) -> u32 {
        let careful = (512.0 - 256.0 * self.score() * self.timeliness()).round().clamp(256.0, 512.0);
        let tardy = (0.5 / self.timeliness()).clamp(1.0, TARDY_AT_MOST);
        (careful * tardy) as u32
    }

    /// What is left of it when its worker is pardoned: how long it is known. Its results begin anew, on probation.
    #[must_use]
    pub fn forgiven(&self) -> Self {
        Self { uptime_s: self.uptime_s, first_seen_s: self.first_seen_s, ..Self::default() }
    }

    fn note_checked(&mut self, right: bool) {
        (self.valid, self.invalid) = (self.valid * KEPT, self.invalid * KEPT);
        if right {
            self.valid += 1.0;
            self.streak = self.streak.saturating_add(1);
        } else {
            self.invalid += 1.0;
            self.streak = 0;
        }
    }

    fn note_time(&mut self, timely: bool) {
        (self.timely, self.late) = (self.timely * KEPT, self.late * KEPT);
        *(if timely { &mut self.timely } else { &mut self.late }) += 1.0;
    }
}

/// One worker: its standing, and what was accepted of it unchecked while a check is under way.
#[derive(Debug)]
struct Entry {
    standing: Standing,
    /// [`Standing::burden`], which every choice of a worker asks for.
    burden: u32,
    /// Checks of accepted results under way.
    checks: u32,
    /// Results accepted since the first of these began.
    meanwhile: u32,
}

impl Entry {
    fn new(standing: Standing) -> Self {
        let burden = standing.burden();
        Self { standing, burden, checks: 0, meanwhile: 0 }
    }

    fn change(&mut self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing);
        self.burden = self.standing.burden();
    }
}

/// The standings of all workers that the core knows, by slot.
#[derive(Debug, Default)]
pub(crate) struct Book(Vec<Option<Entry>>);

impl Book {
    /// Takes over what was known before.
    pub(crate) fn know(&mut self, worker: Slot, standing: Standing) {
        self.entry(worker).change(|known| *known = standing);
    }

    /// What is known of a worker.
    pub(crate) fn standing(&self, worker: Slot) -> Option<&Standing> {
        self.get(worker).map(|entry| &entry.standing)
    }

    /// See [`Standing::burden`].
    pub(crate) fn burden(&self, worker: Slot) -> u64 {
        self.get(worker).map_or(UNKNOWN_BURDEN, |entry| entry.burden).into()
    }

    /// A result was checked.
    pub(crate) fn note_checked(&mut self, worker: Slot, right: bool) {
        self.entry(worker).change(|standing| standing.note_checked(right));
    }

    /// An answer could not be used at all: probation begins again, as after a wrong one.
    pub(crate) fn note_fault(&mut self, worker: Slot) {
        self.entry(worker).change(|standing| standing.streak = 0);
    }

    /// Answers differed and nobody can say whose is wrong: all who gave them lose, and nobody is excluded.
    pub(crate) fn note_unsettled(&mut self, worker: Slot) {
        self.entry(worker).change(|standing| {
            standing.note_checked(false);
            standing.invalid -= 0.5;
        });
    }

    /// A task was answered in time, or not.
    pub(crate) fn note_time(&mut self, worker: Slot, timely: bool) {
        self.entry(worker).change(|standing| standing.note_time(timely));
    }

    /// A worker was connected for so long.
    pub(crate) fn note_uptime(&mut self, worker: Slot, connected: Duration) {
        self.entry(worker).change(|standing| standing.uptime_s += connected.as_secs_f64());
    }

    /// Results accepted while checks of earlier ones are under way.
    pub(crate) fn meanwhile(&self, worker: Slot) -> u32 {
        self.get(worker).map_or(0, |entry| entry.meanwhile)
    }

    /// A result was accepted unchecked; `checking` if its check begins.
    pub(crate) fn note_accepted(&mut self, worker: Slot, checking: bool) {
        let entry = self.entry(worker);
        entry.checks += u32::from(checking);
        entry.meanwhile += u32::from(entry.checks > 0);
    }

    /// The check of an accepted result has ended.
    pub(crate) fn note_check_ended(&mut self, worker: Slot) {
        let entry = self.entry(worker);
        entry.checks = entry.checks.saturating_sub(1);
        if entry.checks == 0 {
            entry.meanwhile = 0;
        }
    }

    /// Forgets what is known of a worker: its slot is given to another.
    pub(crate) fn forget(&mut self, worker: Slot) {
        if let Some(entry) = self.0.get_mut(worker.place()) {
            *entry = None;
        }
    }

    fn get(&self, worker: Slot) -> Option<&Entry> {
        self.0.get(worker.place())?.as_ref()
    }

    fn entry(&mut self, worker: Slot) -> &mut Entry {
        if self.0.len() <= worker.place() {
            self.0.resize_with(worker.place() + 1, || None);
        }
        self.0[worker.place()].get_or_insert_with(|| Entry::new(Standing::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Roster;

    /// An empty book, and a worker that it may be about.
    fn book() -> (Book, Slot) {
        (Book::default(), Roster::default().enter(neuro_primitives::NodeId([1; 32])))
    }

    #[test]
    fn a_score_starts_at_a_half_and_rises_with_checked_results_alone() {
        let (mut book, one) = book();
        book.note_accepted(one, false);
        assert!((book.standing(one).unwrap().score() - 0.5).abs() < 1e-9);
        for _ in 0..98 {
            book.note_checked(one, true);
        }
        let standing = book.standing(one).unwrap();
        assert!(standing.score() > 0.98 && !standing.is_on_probation());
    }

    #[test]
    fn any_fault_resets_the_streak() {
        let mut standing = Standing::default();
        (0..200).for_each(|_| standing.note_checked(true));
        assert_eq!((standing.checked_one_in(50), standing.checked_one_in(1_000)), (50, 200));
        standing.note_checked(false);
        assert!(standing.is_on_probation());
        assert_eq!(standing.checked_one_in(50), 1);
    }

    #[test]
    fn old_conduct_is_forgotten() {
        let mut standing = Standing::default();
        (0..50).for_each(|_| standing.note_checked(false));
        let low = standing.score();
        (0..5_000).for_each(|_| standing.note_checked(true));
        assert!(low < 0.03 && standing.score() > 0.99, "{low} {}", standing.score());
    }

    #[test]
    fn what_is_accepted_beside_a_check_is_counted_until_the_last_check_ends() {
        let (mut book, one) = book();
        book.note_accepted(one, false);
        assert_eq!(book.meanwhile(one), 0);
        book.note_accepted(one, true);
        book.note_accepted(one, true);
        book.note_accepted(one, false);
        book.note_check_ended(one);
        assert_eq!(book.meanwhile(one), 3);
        book.note_check_ended(one);
        assert_eq!(book.meanwhile(one), 0);
    }

    #[test]
    fn a_flawless_worker_counts_as_it_is_and_an_unknown_one_as_slower() {
        let mut flawless = Standing::default();
        (0..3_000).for_each(|_| {
            flawless.note_checked(true);
            flawless.note_time(true);
        });
        assert!(flawless.burden() <= 258, "{}", flawless.burden());
        assert_eq!(Standing::default().burden(), UNKNOWN_BURDEN);
    }

    #[test]
    fn who_refuses_more_than_it_answers_counts_as_much_slower_until_it_answers() {
        let mut standing = Standing { valid: 300.0, ..Standing::default() };
        (0..500).for_each(|_| standing.note_time(false));
        assert!(standing.is_tardy() && standing.burden() > 8 * 256, "{}", standing.burden());
        (0..2_000).for_each(|_| standing.note_time(true));
        assert!(!standing.is_tardy() && standing.burden() < 320, "{}", standing.burden());
    }
}
