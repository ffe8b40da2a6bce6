//! All blocks of a model, from embeddings to logits.

use std::sync::Arc;

use super::attention::{Cache, Rows};
use super::weights::ModelWeights;
use crate::channel::Channel;
use crate::computation::{Computation, Security};
use crate::error::SmpcError;
use crate::party::PartyId;
use crate::rehearsal::Forecast;
use crate::share::Shares;

/// One party's side of some prompts that are continued together.
#[derive(Clone)]
pub struct Decoder {
    weights: Arc<ModelWeights>,
    prompts: usize,
    caches: Vec<Cache>,
}

impl Decoder {
    /// Before the first token of `prompts` prompts.
    #[must_use]
    pub fn new(weights: Arc<ModelWeights>, prompts: usize) -> Self {
        let caches = weights.layers.iter().map(|_| Cache::default()).collect();
        Self { weights, prompts, caches }
    }

    /// What the passes to come take, each of so many new tokens, as each party counts it.
    ///
    /// # Errors
    /// None for a decoder that can advance.
    pub fn rehearse(&self, security: Security, passes: &[usize]) -> Result<Forecast, SmpcError> {
        Forecast::of(security, |party: PartyId, computation| {
            let mut decoder = self.clone();
            for tokens in passes {
                let rows = self.prompts * tokens * self.weights.shape.d_model;
                decoder.advance(computation, &Shares::public(party, &vec![0; rows]))?;
            }
            Ok(())
        })
    }

    /// Takes the embeddings of the next tokens, `[prompts, tokens, d_model]` with 16 fraction bits, and returns the logits
    /// after the last one, `[prompts, vocabulary]` with 32 fraction bits.
    ///
    /// # Errors
    /// A peer that is gone or out of step.
    pub fn advance<C: Channel>(
        &mut self,
        computation: &mut Computation<C>,
        embeddings: &Shares,
    ) -> Result<Shares, SmpcError> {
        let weights = Arc::clone(&self.weights);
        let (shape, eps) = (&weights.shape, weights.rms_eps);
        let rows = Rows { prompts: self.prompts, tokens: embeddings.len() / shape.d_model / self.prompts };
        let mut hidden = embeddings.clone();
        for (layer, cache) in weights.layers.iter().zip(&mut self.caches) {
            let normal = computation.rms_norm(&hidden, shape.d_model, eps)?;
            hidden = hidden.plus(&computation.attend(&normal, layer, (shape, &weights.rotation), rows, cache)?);
            let normal = computation.rms_norm(&hidden, shape.d_model, eps)?;
            hidden = hidden.plus(&computation.mix_experts(&normal, layer, shape)?);
        }
        let last = (0..rows.prompts).flat_map(|prompt| {
            let row = (prompt * rows.tokens + rows.tokens - 1) * shape.d_model;
            row..row + shape.d_model
        });
        let normal = computation.rms_norm(&hidden.gather(&last.collect::<Vec<_>>()), shape.d_model, eps)?;
        computation.linear(&weights.output, &normal)
    }
}
