//! What is counted: use of experts, round trips, totals. Sizes depend on the model and the workers, never on the work.

use std::collections::VecDeque;
use std::time::Duration;

use neuro_primitives::Moment;

use crate::catalogue::Catalogue;
use crate::co_use::CoUse;
use crate::estimate::{Estimate, Sample};
use crate::pace::Pace;
use crate::settings::LATENCY_WINDOW;
use crate::views::Counters;

/// Totals over all workers.
#[derive(Debug)]
pub(crate) struct Metering {
    /// Running totals.
    pub(crate) counters: Counters,
    /// Averages over all answers of all workers.
    pub(crate) fleet: Estimate,
    /// Quantiles over the same.
    pub(crate) fleet_pace: Pace,
    /// Rows per expert index since the start.
    rows: Vec<u64>,
    /// Rows per expert index, fading: halved at each look at the balance.
    recent: Vec<u64>,
    /// Which experts are used for the same token, fading like `recent`.
    pub(crate) together: CoUse,
    /// Rows per expert index that were told already.
    told: Vec<u64>,
}

impl Metering {
    /// Nothing counted yet.
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let experts = catalogue.len();
        Self {
            counters: Counters::default(),
            fleet: Estimate::default(),
            fleet_pace: Pace::default(),
            rows: vec![0; experts],
            recent: vec![0; experts],
            together: CoUse::new(catalogue),
            told: vec![0; experts],
        }
    }

    /// Takes the timing of some worker's answer in.
    pub(crate) fn answered(&mut self, sample: &Sample, now: Moment) {
        self.fleet.record(sample, now);
        self.fleet_pace.take(sample);
    }

    /// Takes over how much an expert was used in runs before: placement begins with it, totals do not.
    pub(crate) fn remember(&mut self, expert: usize, rows: u64) {
        self.recent[expert] = self.recent[expert].saturating_add(rows);
    }

    /// Rows per expert index since this was last asked, of those that were used.
    pub(crate) fn take_use(&mut self) -> Vec<(usize, u64)> {
        let counts = self.rows.iter().zip(&self.told).enumerate();
        let fresh: Vec<_> =
            counts.map(|(expert, (rows, told))| (expert, rows - told)).filter(|(_, rows)| *rows > 0).collect();
        self.told.clone_from(&self.rows);
        fresh
    }

    /// Counts `rows` rows that go to the expert.
    pub(crate) fn used(&mut self, expert: usize, rows: u32) {
        self.rows[expert] = self.rows[expert].saturating_add(u64::from(rows));
        self.recent[expert] = self.recent[expert].saturating_add(u64::from(rows));
    }

    /// Rows per expert index since the start.
    pub(crate) fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// Rows per expert index, recent ones counting more.
    pub(crate) fn recent(&self) -> &[u64] {
        &self.recent
    }

    /// Lets recent use fade by half.
    pub(crate) fn fade(&mut self) {
        for rows in &mut self.recent {
            *rows /= 2;
        }
        self.together.fade();
    }
}

/// The last [`LATENCY_WINDOW`] round trips of one worker, in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct LatencyWindow(VecDeque<u32>);

impl LatencyWindow {
    /// Takes a round trip in and forgets the oldest one beyond the window.
    pub(crate) fn record(&mut self, round_trip: Duration) {
        if self.0.len() == LATENCY_WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX));
    }

    /// The smallest round trip that at least `percent` of the window do not exceed. `None` before the first.
    pub(crate) fn quantile(&self, percent: usize) -> Option<Duration> {
        let mut sorted: Vec<u32> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|us| Duration::from_micros(u64::from(*us)))
    }
}

#[cfg(test)]
mod tests {
    use neuro_primitives::ExpertId;

    use super::*;
    use crate::settings::ExpertSpec;

    #[test]
    fn quantiles_are_those_of_the_last_answers() {
        let mut window = LatencyWindow::default();
        assert_eq!(window.quantile(50), None);
        window.record(Duration::from_micros(7));
        assert_eq!(
            (window.quantile(50), window.quantile(95)),
            (Some(Duration::from_micros(7)), Some(Duration::from_micros(7)))
        );
        for us in 1..=1000 {
            window.record(Duration::from_micros(us));
        }
        assert_eq!(window.0.len(), LATENCY_WINDOW);
        assert_eq!(window.quantile(50), Some(Duration::from_micros(872)));
        assert_eq!(window.quantile(95), Some(Duration::from_micros(988)));
    }

    fn catalogue() -> Catalogue {
        let spec = |expert| ExpertSpec { id: ExpertId { layer: 0, expert }, bytes: 1 };
        Catalogue::new((0..2).map(spec).collect())
    }

    #[test]
    fn use_is_told_once_and_earlier_runs_count_for_placement_alone() {
        let mut metering = Metering::new(&catalogue());
        metering.remember(0, 100);
        metering.used(1, 8);
        assert_eq!(metering.take_use(), [(1, 8)]);
        assert_eq!(metering.take_use(), []);
        assert_eq!((metering.rows(), metering.recent()), (&[0, 8][..], &[100, 8][..]));
    }

    #[test]
    fn recent_use_fades_and_the_total_does_not() {
        let mut metering = Metering::new(&catalogue());
        metering.used(1, 8);
        metering.fade();
        metering.used(1, 1);
        assert_eq!((metering.rows(), metering.recent()), (&[0, 9][..], &[0, 5][..]));
    }
}
