//! Evaluation rounds: participants measure the model on their own data, and only weighted means come out.
//!
//! An evaluation is a cohort like any other. Its vector has one entry for each metric, in the order of the names, so
//! that the aggregator learns Σ w·metric and Σ w and nobody's own figure.

use crate::error::EncodeError;
use crate::layout::Flat;
use crate::strategy::DecodedSum;
use std::collections::BTreeMap;

/// The most metrics of an evaluation.
pub const MOST_METRICS: usize = 64;

/// Whether an evaluation follows after `done` rounds.
#[must_use]
pub const fn is_due(every: u32, done: u32) -> bool {
    done > 0 && done.is_multiple_of(every)
}

/// The vector of one participant: `[names]`, f32.
///
/// # Errors
/// A metric that the trainer did not measure, or one that is not finite.
pub fn metrics_vector(names: &[String], measured: &BTreeMap<String, f64>) -> Result<Flat, EncodeError> {
    let value = |(entry, name): (usize, &String)| match measured.get(name) {
        None => Err(EncodeError::Private { why: format!("expected metric {name:?} from the trainer, got none") }),
        Some(&value) if !(value as f32).is_finite() => {
            Err(EncodeError::NotFinite { what: "the metrics", entry, got: value as f32 })
        }
        Some(&value) => Ok(value as f32),
    };
    names.iter().enumerate().map(value).collect::<Result<_, _>>().map(Flat)
}

/// The weighted means of all participants.
#[must_use]
pub fn mean_metrics(names: &[String], sum: &DecodedSum) -> BTreeMap<String, f64> {
    names.iter().zip(&sum.values).map(|(name, value)| (name.clone(), value / sum.weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_means_come_out() {
        let names = ["accuracy".to_owned(), "loss".to_owned()];
        let measured = BTreeMap::from([("loss".to_owned(), 0.5), ("accuracy".to_owned(), 0.75), ("x".to_owned(), 1.0)]);
        assert_eq!(metrics_vector(&names, &measured).unwrap().0, [0.75, 0.5]);
        let sum = DecodedSum { values: vec![3.0, 2.0], weight: 4.0, survivors: 3 };
        assert_eq!(mean_metrics(&names, &sum)["loss"], 0.5);
    }

    #[test]
    fn a_metric_that_is_missing_or_no_number_is_named() {
        let names = ["loss".to_owned()];
        let error = metrics_vector(&names, &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("\"loss\""));
        let measured = BTreeMap::from([("loss".to_owned(), f64::NAN)]);
        assert!(matches!(metrics_vector(&names, &measured), Err(EncodeError::NotFinite { entry: 0, .. })));
    }

    #[test]
    fn evaluations_come_after_every_so_many_rounds() {
        let due: Vec<u32> = (0..10).filter(|&done| is_due(3, done)).collect();
        assert_eq!(due, [3, 6, 9]);
    }
}
