//! What is added to the loss of the tokens.

use burn::tensor::{Tensor, TensorData};

use super::Routed;
use crate::example::{Batch, Wish};

/// What training makes small: a weighted sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// What the mean cross entropy of the tokens that are learnt counts.
    pub tokens: f32,
    /// What the loss that balances experts counts: "Switch Transformers", Fedus et al., arXiv 2101.03961, equation 4,
    /// over all layers together, as `transformers` has it. 0 leaves it out.
    pub balance: f32,
    /// What the loss that sends rows to the experts of their examples counts: the mean over rows and layers of
    /// `−ln Σ p(experts)`. 0 leaves it out. The choice of the best experts gives no gradient to those that were not
    /// chosen; this does.
    pub routing: f32,
}

impl Default for Objective {
    /// The tokens alone.
    fn default() -> Self {
        Self { tokens: 1.0, balance: 0.0, routing: 0.0 }
    }
}

impl Objective {
    /// The additions for what the layers chose for `batch`: `[1]` each.
    pub(super) fn additions(self, routed: &[Routed], batch: &Batch) -> Vec<Tensor<1>> {
        let mut additions = Vec::new();
        if self.balance != 0.0 {
            additions.extend(balance(routed).map(|loss| loss.mul_scalar(self.balance)));
        }
        if self.routing != 0.0 {
            additions.extend(misrouted(routed, batch).map(|loss| loss.mul_scalar(self.routing)));
        }
        additions
    }
}

/// Mean over rows and layers of `−ln Σ p(experts)`, summed over the row's wishes, each as often as it counts.
fn misrouted(routed: &[Routed], batch: &Batch) -> Option<Tensor<1>> {
    let most = batch.wishes.iter().map(Vec::len).max()?;
    let terms = routed.iter().flat_map(|layer| (0..most).map(move |number| missed(layer, batch, number)));
    let sum = terms.reduce(|sum, term| sum + term)?;
    Some(sum.div_scalar(routed.len() as f32))
}

/// One layer's mean over rows for wish `number` of each row's example.
fn missed(layer: &Routed, batch: &Batch, number: usize) -> Tensor<1> {
    let (experts, device) = (layer.counts.len(), layer.probabilities.device());
    let wishes: Vec<Option<&Wish>> = layer.places.iter().map(|place| wish(batch, *place, number)).collect();
    let wanted = |wish: &Option<&Wish>, expert: usize| {
        // The configuration keeps experts below 2^16.
        f32::from(wish.is_none_or(|wish| wish.experts.contains(&(expert as u16))))
    };
    let mask: Vec<f32> = wishes.iter().flat_map(|wish| (0..experts).map(move |expert| wanted(wish, expert))).collect();
    let weights: Vec<f32> = wishes.iter().map(|wish| wish.map_or(0.0, |wish| wish.weight)).collect();
    let tensor = |values, width| Tensor::from_data(TensorData::new(values, [wishes.len(), width]), &device);
    let own = (layer.probabilities.clone() * tensor(mask, experts)).sum_dim(1);
    (own.add_scalar(LEAST_PROBABILITY).log() * tensor(weights, 1)).mean().neg()
}

/// Where the row at `place` belongs by wish `number` of its example, if there is one.
fn wish(batch: &Batch, place: usize, number: usize) -> Option<&Wish> {
    let wishes = &batch.wishes[place / batch.length];
    wishes.get(number).filter(|wish| place % batch.length >= wish.from)
}

/// Keeps the logarithm of a vanishing probability finite.
const LEAST_PROBABILITY: f32 = 1e-9;

/// `experts · Σ_e f_e P_e`: `f` the share of rows that go to an expert, `P` its mean probability.
fn balance(routed: &[Routed]) -> Option<Tensor<1>> {
    let experts = routed.first()?.counts.len();
    let rows: usize = routed.iter().map(|layer| layer.probabilities.dims()[0]).sum();
    let sums = routed.iter().map(|layer| layer.probabilities.clone().sum_dim(0));
    let probabilities = sums.reduce(|sum, layer| sum + layer)?;
    let counts = (0..experts).map(|expert| routed.iter().map(|layer| layer.counts[expert]).sum::<u32>());
    let factor = experts as f32 / (rows as f32 * rows as f32);
    let shares: Vec<f32> = counts.map(|count| count as f32 * factor).collect();
    let shares = Tensor::from_data(TensorData::new(shares, [1, experts]), &probabilities.device());
    Some((probabilities * shares).sum())
}
