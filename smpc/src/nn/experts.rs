//! Experts that nobody sees chosen.
//!
//! Every expert's linear part is computed, which is local; then one inner product over the experts with a one-hot vector
//! selects: y = Σ_j e_j (W_j x). So what is multiplied on shares, and what goes through SiLU, is what one chosen expert
//! costs.

use super::weights::{LayerWeights, ModelShape, WEIGHT_FRACTION};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::functions::FRACTION;
use crate::ring::Shape;
use crate::share::Shares;

/// Router logits differ by less than 2^(this - 1 - fraction bits).
const LOGIT_BITS: u32 = FRACTION + 8;

impl<C: Channel> Computation<C> {
    /// The weighted sum of the chosen experts of every row: `u: [rows, d_model]` to the same shape.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub(super) fn mix_experts(&mut self, u: &Shares, layer: &LayerWeights, shape: &ModelShape) -> Result<Shares, SmpcError> {
        let (rows, experts) = (u.len() / shape.d_model, layer.router.outputs());
        let logits = self.linear(&layer.router, u);
        let logits = self.truncate(&logits, 64, WEIGHT_FRACTION)?;
        // `[rows, k, experts]`.
        let chosen = self.largest(&logits, experts, shape.top_k, LOGIT_BITS)?.gather(&rows_first(shape.top_k, rows, experts));
        let weights = self.gates(&logits, &chosen, (rows, experts), shape)?;
        let hidden = self.chosen_networks(u, layer, &chosen, (rows, experts), shape)?;
        // `[rows, k · experts]`: w_r e_rj.
        let of_slot: Vec<usize> = (0..chosen.len()).map(|at| at / experts).collect();
        let products = self.products("experts: weights", &chosen, &weights.gather(&of_slot), 64)?;
        let factors = self.replicate(products)?;
        let outputs = self.linear(&layer.down, &hidden);
        let sums = Shape { rows: 1, inner: shape.top_k * experts, columns: shape.d_model };
        let products = self.matrix_products("experts: sum", &factors, &outputs, &vec![sums; rows])?;
        self.truncate_products(products, FRACTION + WEIGHT_FRACTION)
    }

    /// silu(gate) · up of the chosen experts: `[rows, k, d_expert]`.
    fn chosen_networks(
        &mut self,
        u: &Shares,
        layer: &LayerWeights,
        chosen: &Shares,
        (rows, experts): (usize, usize),
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let all = self.linear(&layer.gate_and_up, u);
        let select = Shape { rows: shape.top_k, inner: experts, columns: 2 * shape.d_expert };
        let products = self.matrix_products("experts: select", chosen, &all, &vec![select; rows])?;
        let both = self.truncate_products(products, WEIGHT_FRACTION)?;
        let half = |from: usize| {
            let networks = 0..rows * shape.top_k;
            let places = networks.flat_map(|at| (0..shape.d_expert).map(move |column| (at, column)));
            both.gather(&places.map(|(at, column)| at * 2 * shape.d_expert + from + column).collect::<Vec<_>>())
        };
        let gate = self.silu(&half(0))?;
        let products = self.products("experts: gate", &gate, &half(shape.d_expert), 64)?;
        self.truncate_products(products, FRACTION)
    }

    /// What the chosen experts' outputs are weighted by: `[rows, k]`.
    fn gates(
        &mut self,
        logits: &Shares,
        chosen: &Shares,
        (rows, experts): (usize, usize),
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let (party, k) = (self.party(), shape.top_k);
        let repeated: Vec<usize> =
            (0..rows * k * experts).map(|at| at / (k * experts) * experts + at % experts).collect();
        if !shape.normalised {
            let all = self.softmax(logits, experts, &vec![true; logits.len()])?;
            let products = self.inner_products("gates", chosen, &all.gather(&repeated), experts, 64)?;
            return self.replicate(products);
        }
        if k == 1 {
            return Ok(Shares::zeros(rows).plus_constant(party, 1 << FRACTION));
        }
        let products = self.inner_products("gates", chosen, &logits.gather(&repeated), experts, 64)?;
        let logits = self.replicate(products)?;
        if k > 2 {
            return self.softmax(&logits, k, &vec![true; rows * k]);
        }
        let of = |slot: usize| logits.gather(&(0..rows).map(|row| 2 * row + slot).collect::<Vec<_>>());
        let first = self.logistic(&of(0).minus(&of(1)))?;
        let second = first.times(u64::MAX).plus_constant(party, 1 << FRACTION);
        let pairs: Vec<usize> = (0..rows).flat_map(|row| [row, rows + row]).collect();
        Ok(Shares::concat(&[&first, &second]).gather(&pairs))
    }
}

/// `[k, rows, experts]` as `[rows, k, experts]`.
fn rows_first(k: usize, rows: usize, experts: usize) -> Vec<usize> {
    let slots = (0..rows).flat_map(|row| (0..k).map(move |slot| slot * rows + row));
    slots.flat_map(|slot| slot * experts..(slot + 1) * experts).collect()
}
