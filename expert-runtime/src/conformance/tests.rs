//! Both engines pass the suite, and an engine with a fault does not.

use super::*;
use crate::engine::Expert;
use neuro_primitives::Activations;

#[test]
fn the_reference_conforms_to_itself() {
    let report = check(&ReferenceEngine).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    assert_eq!(report.largest_difference, 0.0);
    assert!(report.batch_invariant);
    let layers = LINEAR_SHAPES.len() + EXPERT_SHAPES.len();
    assert_eq!(report.cases, layers * VALUES.len() * ROW_COUNTS.len());
}

/// An engine that is the reference but for one flaw.
struct Flawed(fn(Rows) -> Rows);

struct FlawedLinear(Box<dyn Linear>, fn(Rows) -> Rows);

struct FlawedExpert(Box<dyn Expert>, fn(Rows) -> Rows);

impl Engine for Flawed {
    fn id(&self) -> EngineId {
        EngineId { class: "flawed", spec: 0 }
    }

    fn linear(&self, weight: &Weight<'_>) -> Result<Box<dyn Linear>, EngineError> {
        Ok(Box::new(FlawedLinear(ReferenceEngine.linear(weight)?, self.0)))
    }

    fn expert(&self, weights: &ExpertWeights<'_>) -> Result<Box<dyn Expert>, EngineError> {
        Ok(Box::new(FlawedExpert(ReferenceEngine.expert(weights)?, self.0)))
    }
}

impl Linear for FlawedLinear {
    fn apply(&self, input: &Rows) -> Result<Rows, EngineError> {
        self.0.apply(input).map(self.1)
    }

    fn resident_bytes(&self) -> u64 {
        self.0.resident_bytes()
    }
}

impl Expert for FlawedExpert {
    fn forward(&self, hidden: &Activations) -> Result<Rows, EngineError> {
        self.0.forward(hidden).map(self.1)
    }

    fn resident_bytes(&self) -> u64 {
        self.0.resident_bytes()
    }
}

/// Changes the last value of `rows`.
fn last(mut rows: Rows, change: impl Fn(f32) -> f32) -> Rows {
    if let Some(value) = rows.values_mut().last_mut() {
        *value = change(*value);
    }
    rows
}

#[test]
fn one_wrong_value_is_found() {
    let off = check(&Flawed(|rows| last(rows, |value| value * 1.01)));
    assert!(matches!(off, Err(Mismatch::Value { .. })), "{off:?}");
    let lost = check(&Flawed(|rows| last(rows, |_| f32::NAN)));
    assert!(matches!(lost, Err(Mismatch::Value { got, .. }) if got.is_nan()), "{lost:?}");
}

#[test]
fn a_missing_row_is_found() {
    let short = check(&Flawed(|rows| rows.slice(0, rows.count() - 1)));
    let expected = Mismatch::Shape { case: "linear [1, 1], 1 rows, Ordinary".into(), expected: (1, 1), got: (0, 1) };
    assert_eq!(short, Err(expected));
}

#[test]
fn bits_that_change_from_call_to_call_are_found() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let fickle = check(&Flawed(|rows| {
        let odd = CALLS.fetch_add(1, Ordering::Relaxed) % 2;
        last(rows, |value| f32::from_bits(value.to_bits() ^ odd))
    }));
    assert!(matches!(fickle, Err(Mismatch::Bits { .. })), "{fickle:?}");
}

#[test]
fn bits_that_depend_on_the_threads_are_found() {
    let uneven = check(&Flawed(|rows| {
        let even = u32::from(rayon::current_num_threads() == 4);
        last(rows, |value| f32::from_bits(value.to_bits() ^ even))
    }));
    assert!(matches!(&uneven, Err(Mismatch::Bits { .. })), "{uneven:?}");
}

#[test]
fn bits_that_depend_on_the_batch_are_reported() -> Result<(), Mismatch> {
    let report =
        check(&Flawed(|rows| if rows.count() == 1 { last(rows, |value| value * (1.0 + 1e-6)) } else { rows }))?;
    assert!(!report.batch_invariant);
    assert!((1e-7..1e-5).contains(&report.largest_batch_difference), "{report:?}");
    Ok(())
}
