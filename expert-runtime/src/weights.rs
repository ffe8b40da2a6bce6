//! From the tensors of a checkpoint to an expert's weights.

use neuro_model::{ModelConfig, TensorData};

use crate::engine::{EngineError, ExpertBiases, ExpertWeights, Weight};

/// One expert's tensors, where they lie.
#[derive(Debug, Clone)]
pub struct ExpertTensors<'a> {
    /// `[d_expert, d_model]`.
    pub gate: TensorData<'a>,
    /// `[d_expert, d_model]`.
    pub up: TensorData<'a>,
    /// `[d_model, d_expert]`.
    pub down: TensorData<'a>,
    /// Biases of gate, up and down, in models that have them: `[d_expert]`, `[d_expert]`, `[d_model]`.
    pub biases: Option<[TensorData<'a>; 3]>,
}

/// The weights of one expert of a model with `config`, in the types they are stored in.
///
/// # Errors
/// When a tensor has another shape than `config` says, or its bytes do not fill its shape.
pub fn expert_weights<'a>(config: &ModelConfig, tensors: ExpertTensors<'a>) -> Result<ExpertWeights<'a>, EngineError> {
    let (d_expert, d_model) = (config.d_expert, config.d_model);
    Ok(ExpertWeights {
        gate: weight(tensors.gate, [d_expert, d_model])?,
        up: weight(tensors.up, [d_expert, d_model])?,
        down: weight(tensors.down, [d_model, d_expert])?,
        biases: tensors.biases.map(biases).transpose()?,
        activation: config.activation,
    })
}

fn weight(tensor: TensorData<'_>, expected: [usize; 2]) -> Result<Weight<'_>, EngineError> {
    if tensor.shape == expected {
        return Weight::new(tensor);
    }
    Err(EngineError::TensorShape { name: tensor.name.to_owned(), expected: expected.to_vec(), got: tensor.shape })
}

fn biases(tensors: [TensorData<'_>; 3]) -> Result<ExpertBiases, EngineError> {
    let values = |tensor: &TensorData<'_>| {
        crate::blocks::finite_f32(tensor.tensor_type, &tensor.bytes)
            .map_err(|source| EngineError::Elements { name: tensor.name.to_owned(), source })
    };
    let [gate, up, down] = &tensors;
    Ok(ExpertBiases { gate: values(gate)?, up: values(up)?, down: values(down)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_model::TensorType;

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

    fn tensors<'a>(gate: [usize; 2], up: [usize; 2], down: [usize; 2], bytes: &'a [u8]) -> ExpertTensors<'a> {
        let tensor = |name, shape: [usize; 2]| TensorData {
            name,
            tensor_type: TensorType::F32,
            shape: shape.to_vec(),
            bytes: bytes.into(),
        };
        ExpertTensors { gate: tensor("w1", gate), up: tensor("w3", up), down: tensor("w2", down), biases: None }
    }

    #[test]
    fn tensors_become_weights_of_the_model_s_shapes() -> Result<(), EngineError> {
        let values: Vec<f32> = (0_u8..6).map(f32::from).collect();
        let bytes = bytes(&values);
        let weights = expert_weights(&config(), tensors([3, 2], [3, 2], [2, 3], &bytes))?;
        assert_eq!(weights.check(), Ok(()));
        assert_eq!((weights.down.rows, weights.down.columns), (2, 3));
        assert_eq!(weights.down.to_f32()?, values);
        Ok(())
    }

    #[test]
    fn a_wrong_shape_names_the_tensor() {
        let bytes = bytes(&[0.0; 6]);
        let expected = EngineError::TensorShape { name: "w3".into(), expected: vec![3, 2], got: vec![2, 3] };
        assert_eq!(expert_weights(&config(), tensors([3, 2], [2, 3], [2, 3], &bytes)), Err(expected));
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_with_its_place() -> Result<(), EngineError> {
        for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let bytes = bytes(&[0.0, 0.0, 0.0, 0.0, value, 0.0]);
            let weights = expert_weights(&config(), tensors([3, 2], [3, 2], [2, 3], &bytes))?;
            let error = weights.down.to_f32().expect_err("it must be refused").to_string();
            assert!(error.starts_with("w2: the value at index 4 is"), "{error}");
        }
        Ok(())
    }
}
