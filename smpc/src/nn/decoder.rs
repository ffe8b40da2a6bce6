//! All blocks of a model, from embeddings to logits.

use std::sync::Arc;

use super::attention::{Cache, Pass, Rows};
use super::weights::ModelWeights;
use crate::channel::{Channel, Nobody};
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
    reveals_routes: bool,
    /// `[prompts, positions]`: one where a position is padding. Empty where none is.
    padding: Shares,
}

impl Decoder {
    /// Before the first token of `prompts` prompts.
    #[must_use]
    pub fn new(weights: Arc<ModelWeights>, prompts: usize) -> Self {
        let caches = weights.layers.iter().map(|_| Cache::default()).collect();
        Self { weights, prompts, caches, reveals_routes: false, padding: Shares::default() }
    }

    /// Lets all parties see which experts each row meets, which tells what the text is; the others are not computed then.
    pub const fn reveal_routes(&mut self) {
        self.reveals_routes = true;
    }

    /// Says which positions of the first pass are padding: `padding: [prompts, tokens]`, one for padding and zero for text.
    /// Padding is rows of zeros and comes before the text, so that the last position of every prompt is its last token; nobody attends to it, and
    /// since rotations say distances alone, text behind it is what it is without it.
    pub fn pad(&mut self, padding: Shares) {
        self.padding = padding;
    }

    /// What the passes to come take, each of so many new tokens, as each party counts it.
    ///
    /// # Errors
    /// None for a decoder that can advance.
    pub fn rehearse(&self, security: Security, passes: &[usize]) -> Result<Forecast, SmpcError> {
        let values = self.prompts * self.weights.shape.d_model;
        rehearse(self, (security, values), passes, |decoder, computation, rows| {
            decoder.advance(computation, rows).map(drop)
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
        self.advance_watched(computation, embeddings, |_, _| Ok(()))
    }

    /// As [`Self::advance`]; `after_layer` is called with what each layer hands the next, `[prompts, tokens, d_model]`.
    ///
    /// # Errors
    /// As there, and those of `after_layer`.
    pub fn advance_watched<C: Channel>(
        &mut self,
        computation: &mut Computation<C>,
        embeddings: &Shares,
        mut after_layer: impl FnMut(&mut Computation<C>, &Shares) -> Result<(), SmpcError>,
    ) -> Result<Shares, SmpcError> {
        let weights = Arc::clone(&self.weights);
        let (shape, eps) = (&weights.shape, weights.rms_eps);
        let rows = Rows { prompts: self.prompts, tokens: embeddings.len() / shape.d_model / self.prompts };
        self.extend_padding(rows);
        let pass = Pass { rows, padding: &self.padding };
        let mut hidden = embeddings.clone();
        for (layer, cache) in weights.layers.iter().zip(&mut self.caches) {
            let normal = computation.rms_norm(&hidden, shape.d_model, eps)?;
            hidden = hidden.plus(&computation.attend(&normal, layer, (shape, &weights.rotation), &pass, cache)?);
            let normal = computation.rms_norm(&hidden, shape.d_model, eps)?;
            let mixed = if self.reveals_routes {
                computation.mix_revealed_experts(&normal, layer, shape)?
            } else {
                computation.mix_experts(&normal, layer, shape)?
            };
            hidden = hidden.plus(&mixed);
            after_layer(computation, &hidden)?;
        }
        let last = (0..rows.prompts).flat_map(|prompt| {
            let row = (prompt * rows.tokens + rows.tokens - 1) * shape.d_model;
            row..row + shape.d_model
        });
        let normal = computation.rms_norm(&hidden.gather(&last.collect::<Vec<_>>()), shape.d_model, eps)?;
        computation.linear(&weights.output, &normal)
    }

    /// New positions after the first pass are text.
    fn extend_padding(&mut self, rows: Rows) {
        let past = self.caches.first().map_or(0, Cache::positions);
        if past == 0 || self.padding.is_empty() {
            return;
        }
        self.padding = self.padding.map(|part| {
            part.chunks_exact(past).flat_map(|row| row.iter().copied().chain(vec![0; rows.tokens])).collect()
        });
    }
}

/// What `passes` of a copy of `decoder` take, each of so many new tokens; a token of all prompts has `values` values.
pub(super) fn rehearse<D: Clone>(
    decoder: &D,
    (security, values): (Security, usize),
    passes: &[usize],
    advance: impl Fn(&mut D, &mut Computation<Nobody>, &Shares) -> Result<(), SmpcError>,
) -> Result<Forecast, SmpcError> {
    Forecast::of(security, |party: PartyId, computation| {
        let mut decoder = decoder.clone();
        passes.iter().try_for_each(|tokens| {
            advance(&mut decoder, computation, &Shares::public(party, &vec![0; tokens * values]))
        })
    })
}
