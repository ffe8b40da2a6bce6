//! The kept form of a strategy: its number, its settings, its vectors.

use crate::error::StrategyError;
use crate::layout::MOST_ENTRIES;
use neuro_primitives::codec::{Reader, Writer};

/// The numbers of the strategies, in kept states and in signed configurations. A number is never given twice.
pub(super) mod kind {
    /// FedAvg.
    pub const FED_AVG: u8 = 1;
    /// FedProx.
    pub const FED_PROX: u8 = 2;
    /// FedAdagrad.
    pub const FED_ADAGRAD: u8 = 3;
    /// FedAdam.
    pub const FED_ADAM: u8 = 4;
    /// FedYogi.
    pub const FED_YOGI: u8 = 5;
    /// SCAFFOLD.
    pub const SCAFFOLD: u8 = 6;
    /// FedBuff.
    pub const FED_BUFF: u8 = 7;
    /// Ditto.
    pub const DITTO: u8 = 8;
}

/// Begins the state of strategy number `kind`.
pub(super) fn begin(kind: u8) -> Writer {
    let mut out = Writer::new();
    out.u8(kind);
    out
}

/// Appends a number, bit for bit.
pub(super) fn put(out: &mut Writer, value: f64) {
    out.u64(value.to_bits());
}

/// Appends a vector with its length.
pub(super) fn put_all(out: &mut Writer, values: &[f64]) {
    out.count(values.len());
    values.iter().for_each(|&value| put(out, value));
}

/// Reads the number of the strategy and refuses another.
pub(super) fn open(bytes: &[u8], expected: u8) -> Result<Reader<'_>, StrategyError> {
    let mut from = Reader::new(bytes);
    match from.u8()? {
        got if got == expected => Ok(from),
        got => Err(StrategyError::Kind { expected, got }),
    }
}

/// The next number, which must be finite.
pub(super) fn take(from: &mut Reader<'_>, field: &'static str) -> Result<f64, StrategyError> {
    let got = f64::from_bits(from.u64()?);
    if got.is_finite() { Ok(got) } else { Err(StrategyError::Setting { field, expected: "a finite number", got }) }
}

/// The next vector.
pub(super) fn take_all(from: &mut Reader<'_>, field: &'static str) -> Result<Vec<f64>, StrategyError> {
    let count = from.count(field, MOST_ENTRIES, 8)?;
    (0..count).map(|_| take(from, field)).collect()
}
