//! A session beside the same model in the open: how far from it every layer is on shares, and whether the next tokens are
//! the same. For one's own tests: the model runs here as well, with the weights as they are stored.

use std::sync::Arc;

use neuro_inference::{ForwardError, KvCache, LocalExperts, Trunk};

use super::client::Logits;
use crate::local::LocalCompleter;

/// Compares token by token.
pub struct Comparison {
    trunk: Arc<Trunk>,
    experts: LocalExperts,
    /// One for each text.
    caches: Vec<KvCache>,
    found: Found,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// What every layer hands the next, of the last row of each pass.
    pub layers: Vec<Difference>,
    /// The logits.
    pub logits: Difference,
    /// Tokens that were compared.
    pub tokens: u64,
    /// Those of which the likeliest is the same.
    pub same: u64,
}

/// How far some values are from those in the open.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Difference {
    /// The largest error.
    pub largest: f64,
    /// Sum of the squares of errors.
    errors: f64,
    /// Sum of the squares of the values in the open.
    values: f64,
    count: u64,
}

/// What the texts are and what the parties told of them do not fit.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// The model in the open.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// Other counts.
    #[error("expected {expected} values of layers, got {got}")]
    Layers {
        /// Layers, prompts and d_model in one.
        expected: usize,
        /// What the parties told.
        got: usize,
    },
}

impl Comparison {
    /// With the model that `local` has.
    #[must_use]
    pub fn with(local: &LocalCompleter) -> Self {
        let experts = LocalExperts::new(Arc::clone(local.experts()));
        Self { trunk: Arc::clone(local.trunk()), experts, caches: Vec::new(), found: Found::default() }
    }

    /// Takes what the parties told after `texts`: the tokens of each prompt and of its answer so far; none for a prompt whose
    /// answer is over. A text that is not longer than before begins anew.
    ///
    /// # Errors
    /// A text that the model cannot take, or values of other counts.
    pub fn compare(&mut self, texts: &[Option<Vec<u32>>], told: &Logits) -> Result<(), ComparisonError> {
        let config = self.trunk.config();
        let (width, vocabulary, prompts) = (config.d_model, config.vocab_size, texts.len());
        let (expected, got) = (config.layers * prompts * width, told.layers.len());
        if expected != got {
            return Err(ComparisonError::Layers { expected, got });
        }
        self.caches.resize_with(prompts, || self.trunk.new_cache());
        self.found.layers.resize(config.layers, Difference::default());
        for (prompt, text) in texts.iter().enumerate() {
            let Some(ids) = text else { continue };
            let layers: Vec<&[f32]> = told.layers.chunks_exact(width).skip(prompt).step_by(prompts).collect();
            let logits = &told.values[prompt * vocabulary..(prompt + 1) * vocabulary];
            self.compare_text(prompt, ids, &layers, logits)?;
        }
        Ok(())
    }

    /// What was found so far.
    #[must_use]
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// One prompt; `layers` has a row of each layer, `[layers][d_model]`.
    fn compare_text(
        &mut self,
        prompt: usize,
        ids: &[u32],
        layers: &[&[f32]],
        logits: &[f32],
    ) -> Result<(), ForwardError> {
        let Self { trunk, experts, caches, found } = self;
        let cache = &mut caches[prompt];
        if cache.len() >= ids.len() {
            *cache = trunk.new_cache();
        }
        let new = &ids[cache.len()..];
        let mut last = vec![Vec::new(); layers.len()];
        let open = trunk.forward_watched(cache, new, experts, &mut |layer, rows| {
            if rows.count() > 0 {
                last[layer] = rows.row(rows.count() - 1).to_vec();
            }
        })?;
        for ((difference, told), open) in found.layers.iter_mut().zip(layers).zip(&last) {
            difference.add(told, open);
        }
        found.logits.add(logits, &open);
        found.tokens += 1;
        found.same += u64::from(likeliest(logits) == likeliest(&open));
        Ok(())
    }
}

impl Difference {
    /// Root of the mean square of the errors.
    #[must_use]
    pub fn mean(&self) -> f64 {
        (self.errors / self.count.max(1) as f64).sqrt()
    }

    /// The same as a share of the values' size.
    #[must_use]
    pub fn relative(&self) -> f64 {
        if self.errors > 0.0 { (self.errors / self.values).sqrt() } else { 0.0 }
    }

    fn add(&mut self, told: &[f32], open: &[f32]) {
        for (told, open) in told.iter().zip(open) {
            let (error, open) = (f64::from(*told) - f64::from(*open), f64::from(*open));
            self.largest = self.largest.max(error.abs());
            self.errors += error * error;
            self.values += open * open;
            self.count += 1;
        }
    }
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let best = logits.iter().enumerate().max_by(|(one, x), (other, y)| x.total_cmp(y).then(other.cmp(one)));
    best.map(|(index, _)| index)
}
