//! Experts that nobody sees chosen.
//!
//! Every expert's linear part is computed, which is local; then one inner product over the experts with a one-hot vector
//! selects: y = Σ_j e_j (W_j x). So what is multiplied on shares, and what goes through SiLU, is what one chosen expert
//! costs.

use super::weights::{LayerWeights, ModelShape, WEIGHT_FRACTION};
use crate::arithmetic::Products;
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::exchange::Item;
use crate::functions::FRACTION;
use crate::functions::few::{LOGISTIC, SILU};
use crate::ring::Shape;
use crate::share::Shares;

/// Router logits differ by less than 2^(this - 1 - fraction bits).
pub(super) const LOGIT_BITS: u32 = FRACTION + 8;

impl<C: Channel> Computation<C> {
    /// The weighted sum of the chosen experts of every row: `u: [rows, d_model]` to the same shape.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub(super) fn mix_experts(
        &mut self,
        u: &Shares,
        layer: &LayerWeights,
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let (rows, experts) = (u.len() / shape.d_model, layer.router.outputs());
        if self.saves_rounds(rows * (experts * experts / 2).max(shape.top_k * shape.d_expert)) {
            return self.mix_few_experts(u, layer, shape);
        }
        let [whole, all] = self.linears([&layer.router, &layer.gate_and_up], u)?;
        let logits = self.truncate(&whole, 64, WEIGHT_FRACTION)?;
        // `[rows, k, experts]`.
        let chosen = if self.saves_rounds(rows * experts * experts / 2) {
            self.largest_of_few(&whole, experts, shape.top_k, LOGIT_BITS + WEIGHT_FRACTION)?
        } else {
            self.largest(&logits, experts, shape.top_k, LOGIT_BITS)?.gather(&rows_first(shape.top_k, rows, experts))
        };
        let weights = self.gates(&logits, &chosen, (rows, experts), shape)?;
        let hidden = self.chosen_networks(&all, &chosen, (rows, experts), shape)?;
        // `[rows, k · experts]`: w_r e_rj.
        let of_slot: Vec<usize> = (0..chosen.len()).map(|at| at / experts).collect();
        let products = self.products("experts: weights", &chosen, &weights.gather(&of_slot), 64)?;
        let factors = self.replicate(products)?;
        self.weighted(&hidden, &factors, layer, (rows, experts), shape)
    }

    /// The same in few rounds, for few rows: places are found, gates and experts computed side by side.
    fn mix_few_experts(&mut self, u: &Shares, layer: &LayerWeights, shape: &ModelShape) -> Result<Shares, SmpcError> {
        let (rows, experts, k) = (u.len() / shape.d_model, layer.router.outputs(), shape.top_k);
        let [logits, all] = self.linears([&layer.router, &layer.gate_and_up], u)?;
        let chosen = self.largest_of_few(&logits, experts, k, LOGIT_BITS + WEIGHT_FRACTION)?;
        let select = vec![Shape { rows: k, inner: experts, columns: shape.d_expert }; rows];
        let half = |half: usize| {
            let columns = (0..rows * experts).map(|at| (2 * at + half) * shape.d_expert);
            all.gather(&columns.flat_map(|from| from..from + shape.d_expert).collect::<Vec<_>>())
        };
        let gate = self.matrix_products("experts: select", &chosen, &half(0), &select)?;
        let up = self.matrix_products("experts: select", &chosen, &half(1), &select)?;
        let (weights, gate, up) = self.few_gates(&logits, &chosen, gate, up, (rows, experts), shape)?;
        let of_slot: Vec<usize> = (0..chosen.len()).map(|at| at / experts).collect();
        let factors = self.products("experts: weights", &chosen, &weights.gather(&of_slot), 64)?;
        let hidden = self.products("experts: gate", &gate, &up, 64)?;
        let [hidden, factors] = self.exchange([Item::Truncate(hidden, FRACTION), Item::Replicate(factors)])?;
        self.weighted(&hidden.shares, &factors.shares, layer, (rows, experts), shape)
    }

    /// Weights of the chosen experts `[rows, k]`, silu(gate) and up, `[rows, k, d_expert]`: two rounds where the weights of two
    /// experts are a softmax over both.
    fn few_gates(
        &mut self,
        logits: &Shares,
        chosen: &Shares,
        gate: Products,
        up: Products,
        (rows, experts): (usize, usize),
        shape: &ModelShape,
    ) -> Result<(Shares, Shares, Shares), SmpcError> {
        let (party, fraction) = (self.party(), FRACTION + WEIGHT_FRACTION);
        let masks = self.curve_masks(&SILU, gate.len(), fraction, Some(64))?;
        let gate = Item::Open(gate.plus_constant(party, SILU.offset(fraction)), masks.mask);
        let up = Item::Truncate(up, WEIGHT_FRACTION);
        if shape.top_k != 2 || !shape.normalised {
            let [gate, up] = self.exchange([gate, up])?;
            let gate = self.curve_products(&SILU, &gate.opened, &masks.digits, fraction)?;
            let gate = self.truncate_products(gate, SILU.shift())?;
            let logits = self.truncate(logits, 64, WEIGHT_FRACTION)?;
            return Ok((self.gates(&logits, chosen, (rows, experts), shape)?, gate, up.shares));
        }
        let of = |slot: usize| {
            let rows = (0..rows).map(|row| (2 * row + slot) * experts);
            chosen.gather(&rows.flat_map(|from| from..from + experts).collect::<Vec<_>>())
        };
        let ahead = self.inner_products("gates", &of(0).minus(&of(1)), logits, experts, 64)?;
        let of_gates = self.curve_masks(&LOGISTIC, rows, fraction, Some(64))?;
        let ahead = Item::Open(ahead.plus_constant(party, LOGISTIC.offset(fraction)), of_gates.mask);
        let [gate, up, ahead] = self.exchange([gate, up, ahead])?;
        let gate = self.curve_products(&SILU, &gate.opened, &masks.digits, fraction)?;
        let first = self.curve_products(&LOGISTIC, &ahead.opened, &of_gates.digits, fraction)?;
        let [gate, first] =
            self.exchange([Item::Truncate(gate, SILU.shift()), Item::Truncate(first, LOGISTIC.shift())])?;
        Ok((self.both_gates(&first.shares), gate.shares, up.shares))
    }

    /// `[rows, 2]`: the first gate, and what is left of one.
    fn both_gates(&self, first: &Shares) -> Shares {
        let rows = first.len();
        let second = first.times(u64::MAX).plus_constant(self.party(), 1 << FRACTION);
        let pairs: Vec<usize> = (0..rows).flat_map(|row| [row, rows + row]).collect();
        Shares::concat(&[first, &second]).gather(&pairs)
    }

    /// Σ_r w_r Σ_j e_rj (W_j hidden_r), of factors w_r e_rj: `[rows, d_model]`.
    fn weighted(
        &mut self,
        hidden: &Shares,
        factors: &Shares,
        layer: &LayerWeights,
        (rows, experts): (usize, usize),
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let outputs = self.linear(&layer.down, hidden)?;
        let sums = Shape { rows: 1, inner: shape.top_k * experts, columns: shape.d_model };
        let products = self.matrix_products("experts: sum", factors, &outputs, &vec![sums; rows])?;
        self.truncate_products(products, FRACTION + WEIGHT_FRACTION)
    }

    /// silu(gate) · up of the chosen experts, of `all: [rows, experts · 2 · d_expert]`: `[rows, k, d_expert]`.
    fn chosen_networks(
        &mut self,
        all: &Shares,
        chosen: &Shares,
        (rows, experts): (usize, usize),
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let select = Shape { rows: shape.top_k, inner: experts, columns: 2 * shape.d_expert };
        let products = self.matrix_products("experts: select", chosen, all, &vec![select; rows])?;
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
    pub(super) fn gates(
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
        Ok(self.both_gates(&first))
    }
}

/// `[k, rows, experts]` as `[rows, k, experts]`.
pub(super) fn rows_first(k: usize, rows: usize, experts: usize) -> Vec<usize> {
    let slots = (0..rows).flat_map(|row| (0..k).map(move |slot| slot * rows + row));
    slots.flat_map(|slot| slot * experts..(slot + 1) * experts).collect()
}
