//! The native engine passes the suite, and its experts are the products and activations they are made of.

use neuro_primitives::TensorType;

use super::*;
use crate::activations::{ActivationError, quantise};
use crate::conformance;
use crate::kernels::functions;
use crate::kernels::tests::oracle::{self, Draws, random_weight};
use crate::threads::with_threads;

#[test]
fn every_instruction_set_conforms() {
    for set in InstructionSet::available() {
        let report = conformance::check(&NativeEngine::with(set)).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        assert!(report.batch_invariant, "{set}");
        assert_eq!(report.engine, EngineId { class: "native", spec: 2 });
    }
}

#[test]
fn an_instruction_set_that_the_machine_lacks_is_replaced() {
    for set in InstructionSet::ALL {
        let expected = if set.is_available() { set } else { InstructionSet::Scalar };
        assert_eq!(NativeEngine::with(set).set, expected);
    }
}

fn biases(d_expert: usize, d_model: usize) -> ExpertBiases {
    let mut draws = Draws(20);
    let mut values = |count| (0..count).map(|_| draws.float()).collect();
    ExpertBiases { gate: values(d_expert), up: values(d_expert), down: values(d_model) }
}

fn expert(types: [TensorType; 3], d_expert: usize, d_model: usize) -> ExpertWeights<'static> {
    let [gate, up, down] = types;
    ExpertWeights {
        gate: random_weight(gate, d_expert, d_model, 21),
        up: random_weight(up, d_expert, d_model, 22),
        down: random_weight(down, d_model, d_expert, 23),
        biases: Some(biases(d_expert, d_model)),
        activation: HiddenActivation::Silu,
    }
}

fn plus(mut rows: Rows, bias: &[f32]) -> Rows {
    for row in 0..rows.count() {
        rows.row_mut(row).iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
    rows
}

/// The expert step by step, each by the slow arithmetic.
fn slowly(weights: &ExpertWeights<'_>, hidden: &Rows) -> Rows {
    let biases = weights.biases.as_ref().expect("the tests' experts have biases");
    let mut gate = plus(oracle::product(&weights.gate, hidden), &biases.gate);
    let up = plus(oracle::product(&weights.up, hidden), &biases.up);
    functions::gate_into(InstructionSet::Scalar, weights.activation, gate.values_mut(), up.values());
    plus(oracle::product(&weights.down, &gate), &biases.down)
}

fn bits(rows: &Rows) -> Vec<u32> {
    rows.values().iter().map(|value| value.to_bits()).collect()
}

const CLAMPED: HiddenActivation = HiddenActivation::ClampedSwiglu { alpha: 1.702, limit: 7.0 };

#[test]
fn an_expert_is_its_three_products_and_its_activation() -> Result<(), EngineError> {
    use TensorType::{BF16, F16, F32, Iq4Nl, Mxfp4, Q4_0, Q4K, Q5K, Q6K, Q8_0};
    let cases = [
        ([Q8_0; 3], 96, 64),
        ([Q4_0, Q4_0, Q8_0], 320, 96),
        ([Q4K, Q4K, Q6K], 512, 256),
        ([Q5K, Q5K, Q5K], 256, 512),
        ([Mxfp4; 3], 160, 96),
        ([Iq4Nl, Q8_0, Q4_0], 64, 32),
        ([F32; 3], 37, 19),
        ([F16, BF16, F32], 50, 33),
        ([Q8_0, F16, Q8_0], 64, 64),
        ([F32, Q4_0, F16], 33, 64),
        ([Q4_0, Q4_0, F32], 45, 64),
    ];
    for (types, d_expert, d_model) in cases {
        for activation in [HiddenActivation::Silu, CLAMPED] {
            let weights = ExpertWeights { activation, ..expert(types, d_expert, d_model) };
            for count in [1, 2, 7, 19] {
                let hidden = Draws(count as u64).rows(count, d_model);
                let expected = bits(&slowly(&weights, &hidden));
                for set in InstructionSet::available() {
                    let expert = NativeEngine::with(set).expert(&weights)?;
                    for threads in [1, 3] {
                        let got = with_threads(threads, || expert.forward(&hidden.clone().into()))?;
                        assert_eq!(bits(&got), expected, "{types:?}, {set}, {count} rows, {threads} threads");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn rows_in_blocks_are_taken_where_gate_and_up_are_quantised() -> Result<(), EngineError> {
    use TensorType::{F32, Q4_0, Q8_0};
    let hidden = Draws(1).rows(5, 64);
    let blocks = Activations::Q8(quantise(&hidden)?);
    let expert_of = |types| NativeEngine::new().expert(&expert(types, 96, 64));
    let quantised = expert_of([Q8_0, Q4_0, F32])?;
    assert_eq!(bits(&quantised.forward(&blocks)?), bits(&quantised.forward(&hidden.clone().into())?));
    let error = EngineError::Format { expected: ActivationFormat::F32, got: ActivationFormat::Q8 };
    assert_eq!(expert_of([F32, F32, Q8_0])?.forward(&blocks), Err(error.clone()));
    assert_eq!(expert_of([Q8_0, F32, Q8_0])?.forward(&blocks), Err(error));
    Ok(())
}

#[test]
fn what_no_engine_can_compute_is_refused() -> Result<(), EngineError> {
    use TensorType::{Q4K, Q8_0};
    let engine = NativeEngine::new();
    let linear = engine.linear(&random_weight(Q8_0, 3, 64, 1))?;
    assert_eq!(linear.apply(&Rows::zeros(1, 32)), Err(EngineError::Width { expected: 64, got: 32 }));
    assert_eq!(linear.apply(&Rows::zeros(0, 64))?.count(), 0);
    let mut rows = Rows::zeros(2, 64);
    rows.row_mut(1)[40] = f32::INFINITY;
    let not_finite = ActivationError::NotFinite { row: 1, column: 40, value: f32::INFINITY };
    assert_eq!(linear.apply(&rows), Err(EngineError::Activations(not_finite)));
    let narrow = Weight { tensor_type: Q4K, columns: 64, ..random_weight(Q8_0, 3, 64, 1) };
    assert!(matches!(engine.linear(&narrow), Err(EngineError::Blocks { columns: 64, .. })));
    let empty = Weight { rows: 0, bytes: vec![].into(), ..random_weight(Q8_0, 3, 64, 1) };
    assert!(matches!(engine.linear(&empty), Err(EngineError::MatrixSize { .. })));
    let infinite = Weight::from_f32("w", 2, 2, &[1.0, 2.0, f32::NEG_INFINITY, 3.0]);
    assert!(
        engine.linear(&infinite).is_err_and(|error| error.to_string().starts_with("w: the value at index 2 is -inf"))
    );
    Ok(())
}

#[test]
fn an_expert_that_leaves_the_range_of_floats_says_so() -> Result<(), EngineError> {
    let mut weights = expert([TensorType::F32, TensorType::F32, TensorType::Q8_0], 64, 32);
    let huge = vec![1e30_f32; 64 * 32];
    (weights.gate, weights.up) = (Weight::from_f32("g", 64, 32, &huge), Weight::from_f32("u", 64, 32, &huge));
    let error = NativeEngine::new().expert(&weights)?.forward(&Rows::new(32, vec![1.0; 32]).into());
    let expected = ActivationError::NotFinite { row: 0, column: 0, value: f32::INFINITY };
    assert_eq!(error, Err(EngineError::Activations(expected)));
    Ok(())
}

#[test]
fn an_expert_s_memory_is_that_of_its_weights() -> Result<(), EngineError> {
    let weights = expert([TensorType::Q8_0; 3], 512, 256);
    let file = [&weights.gate, &weights.up, &weights.down].iter().map(|weight| weight.bytes.len()).sum::<usize>();
    let resident = NativeEngine::new().expert(&weights)?.resident_bytes();
    assert!((file as f64..file as f64 * 1.04).contains(&(resident as f64)), "{resident} bytes for {file}");
    Ok(())
}
