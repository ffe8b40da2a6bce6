//! Results that are not exact: how far honest engines differ, and when a worker differs too much or always the same way.
//!
//! Engines that add in another order, or in other formats, give other last digits. A *tolerance class* is an engine, the one
//! that it is compared with, and the type of the weights; its [`Calibration`] comes from rows that honest pairs computed.
//!
//! - One result: its worst row may be [`TOLERANCE_MARGIN`] times as wrong as the worst row of the calibration. For an honest row the
//!   chance to exceed even the worst of n others is 1 / (n + 1), whatever the distribution.
//! - Many results of one worker: [`Drift`] finds who stays just inside the tolerance.
//!
//! Neither proves a lie, so both cost reputation alone.
//!
//! *Not* covered: a worker whose errors are distributed like honest ones gains nothing by them and is not found; a calibration
//! from dishonest samples allows what they did.

mod drift;

pub use drift::{ALARMS_ONE_IN, Drift};

/// How many times the worst error of the calibration is tolerated. Less, and inputs unlike those of the calibration raise false
/// disputes; more, and there is more room to hide in, until [`Drift`] ends it.
pub const TOLERANCE_MARGIN: u64 = 2;

/// Rows that a calibration needs: by the inequality of Dvoretzky, Kiefer & Wolfowitz (with Massart's constant) its quantiles are then
/// off by more than [`QUANTILE_SLACK_PERCENT`] with a chance of at most `2 exp(-2 × 4000 × 0.04²) < 6 × 10^-6`.
pub const CALIBRATION_ROWS: usize = 4_000;

/// How far the calibration's quantiles are trusted, in percent of rows.
pub(crate) const QUANTILE_SLACK_PERCENT: u32 = 4;

/// A billion parts are the whole row.
const WHOLE: f64 = 1e9;

/// How far one row is from another one, in parts per billion of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowError {
    /// The length of the difference.
    pub size_ppb: u64,
    /// How much longer it is along the other one: below 0 if it is shorter.
    pub lean_ppb: i64,
}

impl RowError {
    /// How far `own` is from `other`, both `[width]`, f32. As far as can be if a value is not finite, or `other` is zero and `own` is not.
    #[must_use]
    pub fn between(own: &[f32], other: &[f32]) -> Self {
        let (mut size, mut along, mut whole) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (own, other) in own.iter().zip(other) {
            let (difference, other) = (f64::from(*own) - f64::from(*other), f64::from(*other));
            size += difference * difference;
            along += difference * other;
            whole += other * other;
        }
        if size == 0.0 && own.len() == other.len() {
            return Self::default();
        }
        let (size, lean) = ((size / whole).sqrt() * WHOLE, along / whole * WHOLE);
        if !size.is_finite() || own.len() != other.len() {
            return Self { size_ppb: u64::MAX, lean_ppb: 0 };
        }
        // From floats to integers: what does not fit is as far as can be.
        Self { size_ppb: size as u64, lean_ppb: lean as i64 }
    }
}

/// How far one result is from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deviation {
    /// The size of the error of its worst row, in parts per billion.
    pub worst_ppb: u64,
    /// The error of one row, drawn after the answer came. A worker that knew which one is looked at would compute that one well.
    pub drawn: RowError,
}

impl Deviation {
    /// How far `own` is from `other`, both `[rows, width]`, f32. `draw` is random.
    #[must_use]
    pub fn between(own: &[f32], other: &[f32], width: usize, draw: u64) -> Self {
        let width = width.max(1);
        let errors: Vec<RowError> =
            own.chunks(width).zip(other.chunks(width)).map(|(own, other)| RowError::between(own, other)).collect();
        let place = usize::try_from(draw % (errors.len() as u64).max(1)).unwrap_or(0);
        let drawn = errors.get(place).copied().unwrap_or_default();
        let worst_ppb = errors.iter().map(|error| error.size_ppb).max().unwrap_or(0);
        Self { worst_ppb: if own.len() == other.len() { worst_ppb } else { u64::MAX }, drawn }
    }
}

/// How honest rows of a class differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// The largest size of a row's error that is tolerated, in parts per billion.
    pub tolerance_ppb: u64,
    /// A quarter of honest rows lean less than the first, a quarter more than the second, in parts per billion.
    pub lean_quartiles_ppb: (i64, i64),
    /// A tenth of honest rows have a larger error, in parts per billion.
    pub size_decile_ppb: u64,
}

/// Too few rows to say anything of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a calibration needs {CALIBRATION_ROWS} rows, got {got}")]
pub struct TooFewRows {
    /// How many there are.
    pub got: usize,
}

impl Calibration {
    /// What rows of honest pairs say of the next one. The rows should be drawn like those of answers: one of each result.
    ///
    /// # Errors
    /// When there are fewer than [`CALIBRATION_ROWS`].
    pub fn of(rows: &[RowError]) -> Result<Self, TooFewRows> {
        if rows.len() < CALIBRATION_ROWS {
            return Err(TooFewRows { got: rows.len() });
        }
        let mut sizes: Vec<u64> = rows.iter().map(|row| row.size_ppb).collect();
        let mut leans: Vec<i64> = rows.iter().map(|row| row.lean_ppb).collect();
        sizes.sort_unstable();
        leans.sort_unstable();
        let last = rows.len() - 1;
        Ok(Self {
            tolerance_ppb: sizes[last].saturating_mul(TOLERANCE_MARGIN),
            lean_quartiles_ppb: (leans[rows.len() / 4], leans[last - rows.len() / 4]),
            size_decile_ppb: sizes[last - rows.len() / 10],
        })
    }

    /// Whether one result is within the tolerance.
    #[must_use]
    pub const fn tolerates(&self, deviation: &Deviation) -> bool {
        deviation.worst_ppb <= self.tolerance_ppb
    }
}

/// A tolerance class: its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToleranceClass(u16);

/// Which results are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnginePair {
    /// The class of the engine that answered.
    pub engine: String,
    /// That of the engine whose result it is compared with.
    pub reference: String,
    /// The type of the weights.
    pub weights: String,
}

/// All calibrations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToleranceTable(Vec<(EnginePair, Calibration)>);

impl ToleranceTable {
    /// A table of these pairs; of equal ones the first counts, and no more than 65,536 do.
    #[must_use]
    pub fn new(mut pairs: Vec<(EnginePair, Calibration)>) -> Self {
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        pairs.dedup_by(|one, other| one.0 == other.0);
        pairs.truncate(1 << 16);
        Self(pairs)
    }

    /// The class of a pair. Without one its results are not compared.
    #[must_use]
    pub fn class(&self, pair: &EnginePair) -> Option<ToleranceClass> {
        let place = self.0.binary_search_by(|(known, _)| known.cmp(pair)).ok()?;
        u16::try_from(place).ok().map(ToleranceClass)
    }

    /// The calibration of a class.
    #[must_use]
    pub fn calibration(&self, class: ToleranceClass) -> Option<&Calibration> {
        self.0.get(usize::from(class.0)).map(|(_, calibration)| calibration)
    }
}

#[cfg(test)]
mod tests;
