//! From the tensors of a checkpoint to an expert's weights.

use neuro_model::{ModelConfig, TensorData};

use crate::engine::{EngineError, ExpertWeights, Matrix};

/// The weights of one expert of a model with `config`, from its tensors `[gate, up, down]`, converted to f32.
///
/// Gate and up are `[d_expert, d_model]`, down is `[d_model, d_expert]`.
///
/// # Errors
/// When a tensor has another shape, its bytes do not fill its shape, or a value is not finite.
pub fn expert_weights(config: &ModelConfig, tensors: [TensorData<'_>; 3]) -> Result<ExpertWeights, EngineError> {
    let [gate, up, down] = tensors;
    let (d_expert, d_model) = (config.d_expert, config.d_model);
    Ok(ExpertWeights {
        gate: matrix(&gate, [d_expert, d_model])?,
        up: matrix(&up, [d_expert, d_model])?,
        down: matrix(&down, [d_model, d_expert])?,
        activation: config.activation,
    })
}

fn matrix(tensor: &TensorData<'_>, expected: [usize; 2]) -> Result<Matrix, EngineError> {
    if tensor.shape != expected {
        let (expected, got) = (expected.to_vec(), tensor.shape.clone());
        return Err(EngineError::TensorShape { name: tensor.name.to_owned(), expected, got });
    }
    let values = tensor.to_f32();
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(EngineError::NotFinite { name: tensor.name.to_owned(), index, value: values[index] });
    }
    Matrix::new(tensor.name, expected[0], expected[1], values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_model::{HiddenActivation, StoredType};

    const CONFIG: &str = r#"{
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "vocab_size": 16, "hidden_size": 2,
        "intermediate_size": 3, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
        "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "num_local_experts": 2,
        "num_experts_per_tok": 1, "hidden_act": "silu", "tie_word_embeddings": false
    }"#;

    fn config() -> ModelConfig {
        ModelConfig::from_json(CONFIG.as_bytes()).expect("the configuration is well formed")
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn tensor<'a>(name: &'a str, shape: [usize; 2], bytes: &'a [u8]) -> TensorData<'a> {
        TensorData { name, tensor_type: StoredType::F32, shape: shape.to_vec(), bytes }
    }

    #[test]
    fn tensors_become_weights_of_the_model_s_shapes() -> Result<(), EngineError> {
        let values: Vec<f32> = (0_u8..6).map(f32::from).collect();
        let bytes = bytes(&values);
        let tensors = [tensor("w1", [3, 2], &bytes), tensor("w3", [3, 2], &bytes), tensor("w2", [2, 3], &bytes)];
        let weights = expert_weights(&config(), tensors)?;
        assert_eq!(weights.check(), Ok(()));
        assert_eq!(weights.down, Matrix { rows: 2, columns: 3, values });
        assert_eq!(weights.activation, HiddenActivation::Silu);
        Ok(())
    }

    #[test]
    fn half_precision_is_widened_exactly() -> Result<(), EngineError> {
        // bfloat16 is the upper half of f32: 1.5, -2.
        let bytes: Vec<u8> = [0x3FC0_u16, 0xC000].iter().cycle().take(6).flat_map(|half| half.to_le_bytes()).collect();
        let half = |name, shape: [usize; 2]| TensorData {
            name,
            tensor_type: StoredType::BF16,
            shape: shape.to_vec(),
            bytes: &bytes,
        };
        let weights = expert_weights(&config(), [half("w1", [3, 2]), half("w3", [3, 2]), half("w2", [2, 3])])?;
        assert_eq!(weights.gate.values, [1.5, -2.0, 1.5, -2.0, 1.5, -2.0]);
        Ok(())
    }

    #[test]
    fn a_wrong_shape_names_the_tensor() {
        let bytes = bytes(&[0.0; 6]);
        let tensors = [tensor("w1", [3, 2], &bytes), tensor("w3", [2, 3], &bytes), tensor("w2", [2, 3], &bytes)];
        let expected = EngineError::TensorShape { name: "w3".into(), expected: vec![3, 2], got: vec![2, 3] };
        assert_eq!(expert_weights(&config(), tensors), Err(expected));
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_with_its_place() {
        for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let (good, bad) = (bytes(&[0.0; 6]), bytes(&[0.0, 0.0, 0.0, 0.0, value, 0.0]));
            let tensors = [tensor("w1", [3, 2], &good), tensor("w3", [3, 2], &good), tensor("w2", [2, 3], &bad)];
            let error = expert_weights(&config(), tensors).expect_err("it must be refused");
            assert!(matches!(&error, EngineError::NotFinite { name, index: 4, .. } if name == "w2"), "{error}");
        }
    }
}
