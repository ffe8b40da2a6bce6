//! How long a worker will take: moving averages over its answered tasks.
//!
//! One row at one expert costs far more alone than among many, since reading the weights is shared. So the cost per row
//! is kept per *batch class* (1, 2-7, 8-31, 32 and more rows per expert). What is left of a round trip is overhead.

use std::time::Duration;

use neuro_primitives::Moment;

use crate::input::Speed;

/// Batch classes.
pub(crate) const CLASSES: usize = 4;

/// Assumed before anything was measured anywhere: a small expert in decode, in nanoseconds.
const FIRST_ROW_NS: u64 = 200_000;

/// Assumed before anything was measured anywhere: a message over a local network, in nanoseconds.
const FIRST_OVERHEAD_NS: u64 = 1_000_000;

/// Refusals alone do not make a worker look slower than this, in nanoseconds.
const MAX_DOUBT_NS: u64 = 1_000_000_000;

/// How many times as fast as the fleet a worker counts by its own word, and how many times as slow. Its first answers
/// correct it; more would draw more tasks to a liar before they do, or give it longer deadlines.
const MAX_CLAIM: u64 = 4;

/// What one row at one expert takes at most by a worker's own word: ten seconds. A slower one is of no use, and sums of
/// larger numbers would overflow.
const SLOWEST_CLAIM_NS: u64 = 10_000_000_000;

/// Weight of a new sample: 1/4. A change of speed is believed after some eight answers.
const SAMPLE_SHARE: i64 = 4;

/// The excess of a worker's overhead over the fleet's is believed for this long, then half of it, and so on. So a
/// worker that was slow once is tried again. Shorter, and a stalled worker costs more deadlines.
const DOUBT_HALVES_EVERY: Duration = Duration::from_secs(10);

/// One answered task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// From sending to answer.
    pub(crate) round_trip: Duration,
    /// What the worker says it computed.
    pub(crate) compute: Duration,
    /// What was in flight at the worker when the task was sent, as time.
    pub(crate) ahead: Duration,
    /// Experts of the task.
    pub(crate) experts: u64,
    /// Rows summed over these experts.
    pub(crate) row_experts: u64,
}

/// Moving averages of one worker, or of the whole fleet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate {
    row_ns: [Option<u64>; CLASSES],
    /// What was said before any task told.
    assumed_ns: [Option<u64>; CLASSES],
    overhead_ns: Option<u64>,
    measured: Moment,
    /// Whether it was asked in vain, here or before: it is not tried again because nothing was measured.
    tried: bool,
}

impl Estimate {
    /// Takes an answered task in.
    pub(crate) fn record(&mut self, sample: &Sample, now: Moment) {
        let compute = sample.compute.min(sample.round_trip);
        let overhead = sample.round_trip.saturating_sub(compute).saturating_sub(sample.ahead);
        let row_experts = sample.row_experts.max(1);
        let class = class_of(row_experts / sample.experts.max(1));
        self.row_ns[class] = Some(average(self.row_ns[class], nanoseconds(compute) / row_experts));
        self.overhead_ns = Some(average(self.overhead_ns, nanoseconds(overhead)));
        self.measured = now;
    }

    /// Takes over what was measured outside of tasks, for as long as no task has told. A worker may say it of itself, so
    /// it counts as no more than [`MAX_CLAIM`] times as fast as the fleet, or as slow.
    pub(crate) fn assume(&mut self, speeds: &[Speed], fleet: &Self) {
        for speed in speeds {
            let class = class_of(u64::from(speed.rows));
            // What is said counts as half, to be tried.
            let [least, most] = nearest(&fleet.row_ns, class)
                .map_or([1, SLOWEST_CLAIM_NS], |ns| [2 * ns / MAX_CLAIM, ns.saturating_mul(2 * MAX_CLAIM)]);
            self.assumed_ns[class] = Some(speed.row_ns.clamp(least, most).min(SLOWEST_CLAIM_NS));
        }
    }

    /// Nothing is expected of it: until it answers it counts as no faster than the fleet.
    pub(crate) fn expect_nothing(&mut self) {
        self.tried = true;
    }

    /// Whether nothing is known but what the worker said.
    pub(crate) fn is_blank(&self) -> bool {
        self.overhead_ns.is_none() && !self.tried
    }

    /// Believes the worst at once: nothing came for `elapsed`, or the worker refused.
    pub(crate) fn doubt(&mut self, elapsed: Duration, now: Moment) {
        self.tried = true;
        let doubled = self.overhead_ns.unwrap_or(FIRST_OVERHEAD_NS).saturating_mul(2).min(MAX_DOUBT_NS);
        self.overhead_ns = Some(nanoseconds(elapsed).max(doubled));
        self.measured = now;
    }

    /// What `rows` rows at one expert will compute, in microseconds. Unmeasured workers count as twice as fast as they say,
    /// or as the fleet, so that they are tried; those that were tried in vain as no faster than the fleet.
    pub(crate) fn expert_us(&self, rows: u32, fleet: &Self) -> u64 {
        let class = class_of(u64::from(rows));
        let usual = nearest(&fleet.row_ns, class);
        let said = || {
            let said = nearest(&self.assumed_ns, class);
            if self.tried { said.max(usual) } else { said.or(usual).map(|ns| ns / 2) }
        };
        let row_ns = nearest(&self.row_ns, class).or_else(said).unwrap_or(FIRST_ROW_NS);
        row_ns.saturating_mul(u64::from(rows)) / 1000
    }

    /// The cost of a message there and back at `now`, in microseconds.
    pub(crate) fn overhead_us(&self, fleet: &Self, now: Moment) -> u64 {
        let usual = fleet.overhead_ns.unwrap_or(FIRST_OVERHEAD_NS);
        let Some(own) = self.overhead_ns else { return usual / if self.tried { 1000 } else { 2000 } };
        let halvings = now.since(self.measured).as_secs() / DOUBT_HALVES_EVERY.as_secs();
        let excess = own.saturating_sub(usual).checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
        (own.min(usual) + excess) / 1000
    }

    /// The measured time for one row alone at one expert.
    pub(crate) fn row_time(&self) -> Option<Duration> {
        self.row_ns[0].map(Duration::from_nanos)
    }

    /// The measured overhead, doubts included.
    pub(crate) fn overhead(&self) -> Option<Duration> {
        self.overhead_ns.map(Duration::from_nanos)
    }
}

/// The value of the class nearest to `class` that has one; of two as near, of the smaller batch.
fn nearest(of_classes: &[Option<u64>; CLASSES], class: usize) -> Option<u64> {
    (0..CLASSES)
        .filter(|other| of_classes[*other].is_some())
        .min_by_key(|other| other.abs_diff(class))
        .and_then(|other| of_classes[other])
}

pub(crate) fn class_of(rows: u64) -> usize {
    match rows {
        0..=1 => 0,
        2..=7 => 1,
        8..=31 => 2,
        _ => 3,
    }
}

fn average(before: Option<u64>, sample: u64) -> u64 {
    let Some(before) = before else { return sample };
    before.saturating_add_signed(
        (i64::try_from(sample).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX)) / SAMPLE_SHARE,
    )
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round_trip_us: u64, compute_us: u64, rows: u64) -> Sample {
        Sample {
            round_trip: Duration::from_micros(round_trip_us),
            compute: Duration::from_micros(compute_us),
            ahead: Duration::ZERO,
            experts: 1,
            row_experts: rows,
        }
    }

    #[test]
    fn answers_split_into_computation_and_overhead_per_batch_class() {
        let (mut estimate, fleet) = (Estimate::default(), Estimate::default());
        estimate.record(&sample(500, 200, 1), Moment(0));
        estimate.record(&sample(6_700, 6_400, 64), Moment(0));
        assert_eq!(estimate.expert_us(1, &fleet), 200);
        assert_eq!(estimate.expert_us(64, &fleet), 6_400);
        assert_eq!(estimate.expert_us(4, &fleet), 800, "an unmeasured class takes the nearest smaller one");
        assert_eq!(estimate.overhead_us(&fleet, Moment(0)), 300);
    }

    #[test]
    fn a_worker_cannot_claim_more_computation_than_its_round_trip() {
        let mut estimate = Estimate::default();
        estimate.record(&sample(500, 4_000_000, 1), Moment(0));
        assert_eq!(estimate.row_time(), Some(Duration::from_micros(500)));
        assert_eq!(estimate.overhead(), Some(Duration::ZERO));
    }

    #[test]
    fn no_word_of_a_worker_is_too_slow_to_be_added_up() {
        let (mut estimate, fleet) = (Estimate::default(), Estimate::default());
        estimate.assume(&[Speed { rows: 1, row_ns: u64::MAX }], &fleet);
        // Half of ten seconds a row: what is said is tried.
        let most = estimate.expert_us(512, &fleet);
        assert!(most <= 512 * 10_000_000, "{most}");
        assert!(most.checked_mul(1 << 20).is_some(), "a million open experts");
    }

    #[test]
    fn an_unmeasured_worker_counts_as_faster_than_the_fleet() {
        let mut fleet = Estimate::default();
        fleet.record(&sample(1_000, 400, 1), Moment(0));
        let unknown = Estimate::default();
        assert_eq!(unknown.expert_us(1, &fleet), 200);
        assert_eq!(unknown.overhead_us(&fleet, Moment(0)), 300);
    }

    #[test]
    fn a_claim_holds_until_a_task_tells_and_no_claim_is_wonderful() {
        let mut fleet = Estimate::default();
        fleet.record(&sample(1_000, 400, 1), Moment(0));
        let speed = |rows, row_ns| Speed { rows, row_ns };
        let said = [speed(1, 300_000), speed(32, 1)];
        let mut estimate = Estimate::default();
        estimate.assume(&said, &fleet);
        let of = |estimate: &Estimate| (estimate.expert_us(1, &fleet), estimate.expert_us(32, &fleet));
        assert_eq!(
            of(&estimate),
            (150, 32 * 100),
            "twice as fast as it says, to be tried, and no more than four times as fast as the fleet"
        );
        let mut snail = Estimate::default();
        snail.assume(&[speed(1, u64::MAX)], &fleet);
        assert_eq!(snail.expert_us(1, &fleet), 4 * 400, "nor as slow");
        estimate.record(&sample(900, 500, 1), Moment(0));
        estimate.assume(&said, &fleet);
        assert_eq!(of(&estimate), (500, 32 * 500), "what tasks told is not taken back");
    }

    #[test]
    fn who_was_tried_in_vain_is_no_faster_than_the_fleet_by_its_own_word() {
        let mut fleet = Estimate::default();
        fleet.record(&sample(1_000, 400, 1), Moment(0));
        let (mut doubted, mut known) = (Estimate::default(), Estimate::default());
        doubted.assume(&[Speed { rows: 1, row_ns: 1 }], &fleet);
        doubted.doubt(Duration::from_millis(1), Moment(0));
        known.expect_nothing();
        for estimate in [doubted, known] {
            let later = Moment(0).after(Duration::from_secs(3_600));
            assert_eq!((estimate.expert_us(1, &fleet), estimate.overhead_us(&fleet, later)), (400, 600));
        }
    }

    #[test]
    fn doubt_is_believed_at_once_and_fades() {
        let (mut estimate, mut fleet) = (Estimate::default(), Estimate::default());
        fleet.record(&sample(1_000, 0, 1), Moment(0));
        estimate.record(&sample(1_000, 0, 1), Moment(0));
        estimate.doubt(Duration::from_secs(2), Moment(0));
        assert_eq!(estimate.overhead_us(&fleet, Moment(0)), 2_000_000);
        let later = Moment(0).after(Duration::from_secs(100));
        assert!(estimate.overhead_us(&fleet, later) < 3_000);
        assert_eq!(estimate.overhead_us(&fleet, Moment(u64::MAX)), 1_000);
    }

    #[test]
    fn averages_follow_a_lasting_change() {
        let mut estimate = Estimate::default();
        estimate.record(&sample(1_000, 100, 1), Moment(0));
        for _ in 0..20 {
            estimate.record(&sample(1_000, 500, 1), Moment(0));
        }
        let settled = estimate.expert_us(1, &Estimate::default());
        assert!((495..=500).contains(&settled), "got {settled}");
    }
}
