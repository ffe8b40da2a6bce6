//! Experts that the parties see chosen, because the client has consented: places are opened, and only what the chosen
//! experts do is computed.
//!
//! Which experts a token meets tells what the token is. So this is no default, and a session says in its terms that it
//! does so.

use super::experts::{LOGIT_BITS, rows_first};
use super::weights::{LayerWeights, Matrix, ModelShape, WEIGHT_FRACTION};
use crate::channel::Channel;
use crate::computation::Computation;
use crate::error::SmpcError;
use crate::functions::FRACTION;
use crate::ring::Shape;
use crate::share::{NEXT, OWN, Shares};

impl<C: Channel> Computation<C> {
    /// As [`Computation::mix_experts`], with the places of the chosen experts told to all parties.
    ///
    /// # Errors
    /// A peer that is gone or out of step; a proof that fails, since places open only when all before them is proved.
    pub(super) fn mix_revealed_experts(
        &mut self,
        u: &Shares,
        layer: &LayerWeights,
        shape: &ModelShape,
    ) -> Result<Shares, SmpcError> {
        let (rows, experts, k) = (u.len() / shape.d_model, layer.router.outputs(), shape.top_k);
        let logits = self.linear_truncated(&layer.router, u)?;
        let chosen = self.largest(&logits, experts, k, LOGIT_BITS)?.gather(&rows_first(k, rows, experts));
        let weights = self.gates(&logits, &chosen, (rows, experts), shape)?;
        let opened = self.verify()?.open(&chosen)?;
        let place = |one_hot: &[u64]| one_hot.iter().position(|bit| *bit == 1).unwrap_or_default();
        let places: Vec<usize> = opened.chunks_exact(experts).map(place).collect();
        let slots = (0..rows * k).flat_map(|slot| slot / k * shape.d_model..(slot / k + 1) * shape.d_model);
        let inputs = u.gather(&slots.collect::<Vec<_>>());
        let both = self.of_experts(&layer.gate_and_up, 2 * shape.d_expert, &places, &inputs)?;
        let both = self.truncate(&both, 64, WEIGHT_FRACTION)?;
        let half = |from: usize| {
            let columns = (0..rows * k).flat_map(|slot| (0..shape.d_expert).map(move |column| (slot, column)));
            both.gather(&columns.map(|(slot, column)| slot * 2 * shape.d_expert + from + column).collect::<Vec<_>>())
        };
        let gate = self.silu(&half(0))?;
        let products = self.products("experts: gate", &gate, &half(shape.d_expert), 64)?;
        let hidden = self.truncate_products(products, FRACTION)?;
        let outputs = self.of_experts(&layer.down, shape.d_model, &places, &hidden)?;
        let sums = Shape { rows: 1, inner: k, columns: shape.d_model };
        let products = self.matrix_products("experts: sum", &weights, &outputs, &vec![sums; rows])?;
        self.truncate_products(products, FRACTION + WEIGHT_FRACTION)
    }

    /// Row s of `x: [slots, inputs]` through the part of `matrix` that belongs to expert `places[s]`: `[slots, outputs]`.
    fn of_experts(
        &mut self,
        matrix: &Matrix,
        outputs: usize,
        places: &[usize],
        x: &Shares,
    ) -> Result<Shares, SmpcError> {
        let mut y = Shares::zeros(places.len() * outputs);
        if self.rehearsal().is_some() {
            return Ok(y);
        }
        let inputs = x.len() / places.len();
        for expert in 0..matrix.outputs() / outputs {
            let slots: Vec<usize> = (0..places.len()).filter(|slot| places[*slot] == expert).collect();
            if slots.is_empty() {
                continue;
            }
            let rows = x.gather(&slots.iter().flat_map(|slot| slot * inputs..(slot + 1) * inputs).collect::<Vec<_>>());
            let found = self.linear(&matrix.rows(expert * outputs..(expert + 1) * outputs), &rows)?;
            for (at, slot) in slots.into_iter().enumerate() {
                for part in [OWN, NEXT] {
                    let row = &found.parts[part][at * outputs..(at + 1) * outputs];
                    y.parts[part][slot * outputs..(slot + 1) * outputs].copy_from_slice(row);
                }
            }
        }
        Ok(y)
    }
}
