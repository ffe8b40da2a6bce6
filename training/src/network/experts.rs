//! The router and the experts of a layer: "Mixtral of Experts", arXiv 2401.04088, section 2.1.
//!
//! Which experts a row goes to is not differentiated; with what weight is.

use burn::tensor::{Device, IndexingUpdateOp, Tensor, activation};
use neuro_model::{ModelConfig, names};
use neuro_primitives::ExpertId;

use super::linear::Linear;
use super::{Tensors, indices};
use crate::error::ModelError;

/// One layer's router and experts.
pub(super) struct ExpertBlock {
    router: Linear,
    experts: Vec<Expert>,
    top_k: usize,
    renormalise: bool,
    scale: f32,
}

/// `down(silu(gate(x)) · up(x))`: "GLU Variants Improve Transformer", arXiv 2002.05202.
struct Expert {
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// How the rows of a layer chose.
pub(crate) struct Routed {
    /// Every expert's probability: `[live rows, experts]`.
    pub(crate) probabilities: Tensor<2>,
    /// How many live rows go to each expert: `[experts]`.
    pub(crate) counts: Vec<u32>,
    /// Where each live row stands in the batch: `[live rows]`.
    pub(crate) places: Vec<usize>,
}

impl ExpertBlock {
    /// The block of `layer`, whose `router` gives one logit an expert.
    pub(super) fn new(
        config: &ModelConfig,
        tensors: &impl Tensors,
        layer: usize,
        router: Linear,
    ) -> Result<Self, ModelError> {
        let rule = &config.router;
        // The configuration keeps layers and experts below 2^16.
        let experts = (0..rule.experts).map(|expert| {
            let names = names::expert(config, ExpertId { layer: layer as u16, expert: expert as u16 });
            let [gate, up, down] = [names.gate, names.up, names.down].map(|name| Linear::new(tensors, &name));
            Ok::<_, ModelError>(Expert { gate: gate?, up: up?, down: down? })
        });
        let experts = experts.collect::<Result<_, _>>()?;
        Ok(Self { router, experts, top_k: rule.top_k, renormalise: rule.renormalise, scale: rule.scale })
    }

    /// The weighted sums of the chosen experts for some of the rows, zero for the others. `hidden`: `[rows, d_model]`,
    /// normalised. `live`: which rows, and where each stands in the batch. `[rows, d_model]`.
    pub(super) fn apply(&self, hidden: Tensor<2>, live: &[(usize, usize)], device: &Device) -> (Tensor<2>, Routed) {
        let (rows, stands): (Vec<usize>, Vec<usize>) = live.iter().copied().unzip();
        let probabilities = activation::softmax(self.router.apply(hidden.clone()), 1);
        let probabilities = probabilities.select(0, indices(rows.iter().copied(), device));
        let chosen = choose(&probabilities, self.top_k);
        let gates = self.gates(probabilities.clone(), &chosen, device);
        let mut sums = hidden.zeros_like();
        let mut counts = vec![0; self.experts.len()];
        for (number, expert) in self.experts.iter().enumerate() {
            let places: Vec<usize> = (0..chosen.len()).filter(|place| chosen[*place] == number).collect();
            counts[number] = places.len() as u32;
            if places.is_empty() {
                continue;
            }
            let own = indices(places.iter().map(|place| rows[place / self.top_k]), device);
            let weights = gates.clone().select(0, indices(places.iter().copied(), device));
            let outputs = expert.apply(hidden.clone().select(0, own.clone())) * weights;
            sums = sums.select_assign(0, own, outputs, IndexingUpdateOp::Add);
        }
        (sums, Routed { probabilities, counts, places: stands })
    }

    /// The weights of the chosen, row after row, best first: `[rows × top_k, 1]`.
    fn gates(&self, probabilities: Tensor<2>, chosen: &[usize], device: &Device) -> Tensor<2> {
        let rows = chosen.len() / self.top_k;
        let chosen = indices(chosen.iter().copied(), device).reshape([rows, self.top_k]);
        let mut gates = probabilities.gather(1, chosen);
        if self.renormalise {
            gates = gates.clone() / gates.sum_dim(1);
        }
        gates.mul_scalar(self.scale).reshape([rows * self.top_k, 1])
    }
}

impl Expert {
    fn apply(&self, rows: Tensor<2>) -> Tensor<2> {
        self.down.apply(activation::silu(self.gate.apply(rows.clone())) * self.up.apply(rows))
    }
}

/// The `top_k` likeliest experts of each row, best first, equal ones by number: `[rows × top_k]`.
fn choose(probabilities: &Tensor<2>, top_k: usize) -> Vec<usize> {
    let experts = probabilities.dims()[1];
    super::numbers(probabilities.clone()).chunks_exact(experts.max(1)).flat_map(|row| best(row, top_k)).collect()
}

fn best(row: &[f32], top_k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|left, right| row[*right].total_cmp(&row[*left]));
    order.truncate(top_k);
    order
}
