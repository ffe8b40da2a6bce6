//! The burn engine against the reference: shapes, threads, batches.

use neuro_model::HiddenActivation;
use neuro_primitives::Rows;

use super::*;
use crate::conformance::check;

fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let values = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    });
    values.take(count).collect()
}

fn matrix(rows: usize, columns: usize, seed: u32) -> Weight<'static> {
    Weight::from_f32("w", rows, columns, &values(rows * columns, seed))
}

fn expert(gate: Weight<'static>, up: Weight<'static>, down: Weight<'static>) -> ExpertWeights<'static> {
    ExpertWeights { gate, up, down, biases: None, activation: HiddenActivation::Silu }
}

fn rows(count: usize, width: usize) -> Rows {
    Rows::new(width, values(count * width, 77))
}

#[test]
fn it_conforms() {
    let report = check(&BurnFlexEngine::new()).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    assert_eq!(report.engine.class, "burn-flex-f32");
    assert!(report.largest_difference > 0.0, "f32 sums that never differ from f64 sums were not computed in f32");
    if cfg!(target_arch = "x86_64") {
        assert!(report.batch_invariant, "a row's bits depend on its batch: {report:?}");
        assert_eq!(report.largest_batch_difference, 0.0);
    }
}

#[test]
fn a_one_in_each_row_selects_a_column_of_the_weight() -> Result<(), EngineError> {
    // 530 inputs and 245 outputs: two panels, two strips, padding in both directions.
    let linear = BurnFlexEngine::new().linear(&matrix(245, 530, 1))?;
    let selected = [0, 7, 511, 512, 529];
    let mut input = Rows::zeros(selected.len(), 530);
    for (row, &column) in selected.iter().enumerate() {
        input.row_mut(row)[column] = 1.0;
    }
    let output = linear.apply(&input)?;
    for (row, &column) in selected.iter().enumerate() {
        let expected: Vec<f32> = values(245 * 530, 1).into_iter().skip(column).step_by(530).collect();
        assert_eq!(output.row(row), expected, "column {column}");
    }
    Ok(())
}

#[test]
fn no_rows_in_no_rows_out() -> Result<(), EngineError> {
    let linear = BurnFlexEngine::new().linear(&matrix(3, 4, 1))?;
    let output = linear.apply(&Rows::zeros(0, 4))?;
    assert_eq!((output.count(), output.width()), (0, 3));
    Ok(())
}

#[test]
fn wrong_shapes_are_refused() -> Result<(), EngineError> {
    let engine = BurnFlexEngine::new();
    let linear = engine.linear(&matrix(3, 4, 1))?;
    assert_eq!(linear.apply(&Rows::zeros(2, 3)), Err(EngineError::Width { expected: 4, got: 3 }));
    assert!(engine.linear(&Weight::from_f32("w", 2, 2, &[0.0; 3])).is_err());
    let (gate, up, down) = (matrix(5, 4, 1), matrix(5, 4, 2), matrix(4, 5, 3));
    assert!(engine.expert(&expert(gate.clone(), up.clone(), up.clone())).is_err());
    let expert = engine.expert(&expert(gate, up, down))?;
    assert_eq!(expert.forward(&Rows::zeros(1, 5).into()), Err(EngineError::Width { expected: 4, got: 5 }));
    Ok(())
}

#[test]
fn a_call_large_enough_for_many_threads_gives_the_bits_of_one() -> Result<(), Box<dyn std::error::Error>> {
    let linear = BurnFlexEngine::new().linear(&matrix(900, 700, 4))?;
    let input = rows(33, 700);
    let on = |threads| -> Result<Rows, Box<dyn std::error::Error>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(pool.install(|| linear.apply(&input))?)
    };
    let alone = on(1)?;
    for threads in [2, 3, 8] {
        assert_eq!(on(threads)?, alone, "{threads} threads");
    }
    Ok(())
}

#[test]
fn what_is_not_a_number_stays_in_its_row() -> Result<(), EngineError> {
    let linear = BurnFlexEngine::new().linear(&matrix(60, 20, 5))?;
    let clean = linear.apply(&rows(3, 20))?;
    let mut input = rows(3, 20);
    input.row_mut(1)[4] = f32::NAN;
    let output = linear.apply(&input)?;
    assert_eq!((output.row(0), output.row(2)), (clean.row(0), clean.row(2)));
    assert!(output.row(1).iter().all(|value| value.is_nan()));
    Ok(())
}

/// The largest model of the conformance suite is far below a real one: one expert of a real size against f64 sums.
#[test]
fn an_expert_of_a_real_size_stays_within_the_tolerance() -> Result<(), EngineError> {
    let weights = expert(matrix(1024, 2048, 1), matrix(1024, 2048, 2), matrix(2048, 1024, 3));
    let input = rows(2, 2048).into();
    let got = BurnFlexEngine::new().expert(&weights)?.forward(&input)?;
    let expected = crate::engines::ReferenceEngine.expert(&weights)?.forward(&input)?;
    let scale = expected.values().iter().fold(0.0_f32, |scale, value| scale.max(value.abs()));
    for (got, expected) in got.values().iter().zip(expected.values()) {
        assert!((got - expected).abs() <= 1e-5 * scale, "{got} is far from {expected} at scale {scale}");
    }
    Ok(())
}
