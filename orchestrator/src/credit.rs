//! Credit for accepted work, and the badges that it brings, in the manner of BOINC.
//!
//! Credit counts work; it is neither money nor trust. A total never falls. The *recent average* is what a worker earns a
//! day, with weights that halve every week, so it shows who works now.

/// A total or a rate's unit in micro-units. One unit is 10^9 multiply-adds of experts' matrices.
pub const MICRO_UNITS: u64 = 1_000_000;

/// How fast recent work is forgotten, in seconds: BOINC's half-life, a week. Doubled, badges follow a change of
/// hardware a week later.
pub const HALF_LIFE_S: f64 = 7.0 * DAY_S;

/// The largest total, in micro-units: what a signed 64-bit column holds. A machine that does 10^12 multiply-adds a
/// second takes 290 years to it.
pub const MAX_TOTAL: u64 = i64::MAX as u64;

/// Shares of all workers, in per cent, that a badge for the recent average tells from each other.
const TOP_PERCENTS: [u64; 3] = [1, 5, 25];

const DAY_S: f64 = 86_400.0;

/// What one worker has earned.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CreditEntry {
    /// Accepted work since the beginning, in micro-units, at most [`MAX_TOTAL`].
    pub total: u64,
    /// The recent average at [`Self::at_s`], in micro-units a day.
    pub recent: f64,
    /// When work was last added, in seconds since the Unix epoch.
    pub at_s: u64,
}

impl CreditEntry {
    /// Adds `micro_units` of work that was accepted at `now_s`. A clock that went back ages nothing.
    ///
    /// This is BOINC's `update_average` for work that comes in small steps: an average with weight `ln 2 / half-life`
    /// for the present, falling by half every half-life.
    pub fn earn(&mut self, micro_units: u64, now_s: u64) {
        let rate = micro_units as f64 * std::f64::consts::LN_2 * DAY_S / HALF_LIFE_S;
        self.recent = self.recent_at(now_s) + rate;
        self.total = self.total.saturating_add(micro_units).min(MAX_TOTAL);
        self.at_s = self.at_s.max(now_s);
    }

    /// The recent average at `now_s`, in micro-units a day.
    #[must_use]
    pub fn recent_at(&self, now_s: u64) -> f64 {
        self.recent * (-(now_s.saturating_sub(self.at_s) as f64) / HALF_LIFE_S).exp2()
    }

    /// A number that orders entries by their recent averages, whenever they are compared: its logarithm at the epoch.
    #[must_use]
    pub fn recent_order(&self) -> f64 {
        // Without work the logarithm is no number that every database keeps.
        if self.recent > 0.0 { self.recent.log2() + self.at_s as f64 / HALF_LIFE_S } else { f64::MIN }
    }
}

/// Where a worker stands among all that have credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Its place by total, from 1; of equal totals the lower id goes first.
    pub place: u64,
    /// How many have a higher recent average.
    pub above: u64,
    /// How many have credit.
    pub workers: u64,
}

/// A distinction. Computed from credit whenever it is shown, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Badge {
    /// The recent average is among the highest so many per cent: 1, 5 or 25.
    Top(u64),
    /// The total reached this many units, a power of ten.
    Total(u64),
}

impl std::fmt::Display for Badge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Top(percent) => write!(f, "top {percent}%"),
            Self::Total(units) => f.write_str(&short(*units)),
        }
    }
}

/// The badges of a worker: the best share that it is in, and the highest power of ten that its total reached.
#[must_use]
pub fn badges(entry: &CreditEntry, rank: &Rank) -> Vec<Badge> {
    let share = TOP_PERCENTS.into_iter().find(|percent| rank.above * 100 < percent * rank.workers);
    let units = (entry.total / MICRO_UNITS).checked_ilog10().map(|power| 10_u64.pow(power));
    share.map(Badge::Top).into_iter().chain(units.map(Badge::Total)).collect()
}

/// A power of ten as people write it: `10`, `100k`, `1M`.
fn short(units: u64) -> String {
    const SUFFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
    let step = (units.max(1).ilog10() / 3).min(4);
    format!("{}{}", units / 1000_u64.pow(step), SUFFIXES[step as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK_S: u64 = 7 * 86_400;

    #[test]
    fn steady_work_is_its_own_recent_average() {
        let mut entry = CreditEntry::default();
        for hour in 0..24 * 7 * 20 {
            entry.earn(1_000, hour * 3_600);
        }
        let a_day = entry.recent_at(24 * 7 * 20 * 3_600);
        assert!((a_day - 24_000.0).abs() < 240.0, "{a_day}");
        assert_eq!(entry.total, 1_000 * 24 * 7 * 20);
    }

    #[test]
    fn an_average_halves_in_a_week_and_a_total_never_falls() {
        let mut entry = CreditEntry::default();
        entry.earn(1_000_000, 50);
        let now = entry.recent_at(50);
        assert!((entry.recent_at(50 + WEEK_S) - now / 2.0).abs() < 1e-6);
        assert_eq!(entry.recent_at(0), now, "a clock that went back ages nothing");
        entry.earn(5, 0);
        assert_eq!((entry.total, entry.at_s), (1_000_005, 50));
    }

    #[test]
    fn totals_stay_within_a_signed_column() {
        let mut entry = CreditEntry { total: MAX_TOTAL - 1, ..CreditEntry::default() };
        entry.earn(u64::MAX, 1);
        assert_eq!(entry.total, MAX_TOTAL);
    }

    #[test]
    fn the_order_of_averages_does_not_depend_on_when_one_looks() {
        let (mut old, mut new) = (CreditEntry::default(), CreditEntry::default());
        old.earn(3_000, 0);
        new.earn(1_000, 2 * WEEK_S);
        assert!(new.recent_order() > old.recent_order());
        old.earn(1_000, 2 * WEEK_S);
        assert!(new.recent_order() < old.recent_order());
        assert!(CreditEntry::default().recent_order() < old.recent_order());
    }

    #[test]
    fn badges_tell_the_best_share_and_the_power_of_ten() {
        let entry = CreditEntry { total: 12_345 * MICRO_UNITS, ..CreditEntry::default() };
        let of = |above, workers| badges(&entry, &Rank { place: 1, above, workers });
        assert_eq!(of(0, 1000), [Badge::Top(1), Badge::Total(10_000)]);
        assert_eq!(of(10, 1000), [Badge::Top(5), Badge::Total(10_000)]);
        assert_eq!(of(249, 1000), [Badge::Top(25), Badge::Total(10_000)]);
        assert_eq!(of(250, 1000), [Badge::Total(10_000)]);
        let poor = CreditEntry { total: MICRO_UNITS - 1, ..CreditEntry::default() };
        assert_eq!(badges(&poor, &Rank { place: 9, above: 9, workers: 9 }), []);
    }

    #[test]
    fn badges_have_short_names() {
        let names = [1, 100, 10_000, 1_000_000, 10_u64.pow(13)].map(|units| Badge::Total(units).to_string());
        assert_eq!(names, ["1", "100", "10k", "1M", "10T"]);
        assert_eq!(Badge::Top(5).to_string(), "top 5%");
    }
}
