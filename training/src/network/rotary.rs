//! Rotary position embedding: "RoFormer", Su et al., arXiv 2104.09864, equation 34, halves rotated together.

use burn::tensor::{Device, Tensor, TensorData};
use neuro_model::ModelConfig;

/// Cosines and sines of positions 0 to `length`: `[1, 1, length, head_dim]` both, each half of the head alike.
pub(super) struct Rotation {
    cosines: Tensor<4>,
    sines: Tensor<4>,
}

impl Rotation {
    /// The rotation of positions 0 to `length`.
    pub(super) fn new(config: &ModelConfig, length: usize, device: &Device) -> Self {
        let width = config.head_dim;
        let frequency = |at: usize| {
            let exponent = 2.0 * (at % (width / 2)) as f64 / width as f64;
            (1.0 / config.rope.theta.powf(exponent)) as f32
        };
        // The angle is rounded to f32, as it was when the weights were trained; see `inference::rope`.
        let angles = (0..length).flat_map(|position| (0..width).map(move |at| f64::from(position as f32 * frequency(at))));
        let angles: Vec<f64> = angles.collect();
        let tensor = |function: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|angle| function(*angle) as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, length, width]), device)
        };
        Self { cosines: tensor(f64::cos), sines: tensor(f64::sin) }
    }

    /// Rotates `heads`: `[rows, heads, length, head_dim]`.
    pub(super) fn apply(&self, heads: Tensor<4>) -> Tensor<4> {
        let half = heads.dims()[3] / 2;
        let [first, second] = [0, half].map(|start| heads.clone().narrow(3, start, half));
        let turned = Tensor::cat(vec![second.neg(), first], 3);
        heads * self.cosines.clone() + turned * self.sines.clone()
    }
}
