//! One pass: rows of many sequences through the layers together.
//!
//! Every matrix product, and every call of a layer's experts, is made once for all rows. Only attention knows that the
//! rows belong to several sequences. With an engine whose rows do not depend on their neighbours a sequence gets the bytes
//! that it would get alone.

use std::sync::{Mutex, PoisonError};

use neuro_expert_runtime::EngineError;
use neuro_primitives::{JobId, Routes, Rows};

use super::{FeedForward, Layer, MAX_CHUNK_ROWS, Trunk};
use crate::attention::{Segment, Span, asking};
use crate::error::ForwardError;
use crate::experts::{ExpertLayers, ExpertsError, RowOwner};
use crate::kv_cache::{PageId, PagePool};
use crate::router::RouterError;
use crate::sums;

/// The part that one sequence has in a pass.
#[derive(Debug, Clone, Copy)]
pub struct Portion<'a> {
    /// The job whose sequence it is, for those who compute experts; 0 where there is none.
    pub job: JobId,
    /// The sequence's pages, with room for these rows. No two portions share a page that one of them writes.
    pub pages: &'a [PageId],
    /// Position of the first of `ids`: what the pages hold already.
    pub first: usize,
    /// The sequence's next tokens; at least one.
    pub ids: &'a [u32],
    /// Whether the logits after the last of them are wanted.
    pub wants_logits: bool,
}

/// A pass that failed. Nothing counts as written.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct PassError {
    /// Which portions are at fault, ascending, where that is known; the others can go on without them.
    pub portions: Vec<usize>,
    /// What went wrong.
    pub error: ForwardError,
}

impl PassError {
    /// The same for portions that have `by` others before them.
    fn shifted(mut self, by: usize) -> Self {
        self.portions.iter_mut().for_each(|portion| *portion += by);
        self
    }
}

impl From<PassError> for ForwardError {
    fn from(failed: PassError) -> Self {
        failed.error
    }
}

impl From<ExpertsError> for PassError {
    fn from(error: ExpertsError) -> Self {
        Self { portions: Vec::new(), error: error.into() }
    }
}

impl From<EngineError> for PassError {
    fn from(error: EngineError) -> Self {
        Self { portions: Vec::new(), error: error.into() }
    }
}

impl Trunk {
    /// Runs the portions' ids, at most [`MAX_CHUNK_ROWS`] of the vocabulary in all, and returns for each portion the
    /// logits (`[vocab]`, f32, maybe not finite) after its last id if it wants them. Keys and values are in the pages
    /// then. `after_layer` as in [`Self::forward_watched`].
    ///
    /// # Errors
    /// When the experts or the engine fail, or arithmetic left the finite numbers before the logits.
    ///
    /// # Panics
    /// When there are more rows than a pass takes: a bug of the caller.
    pub fn pass(
        &self,
        pool: &mut PagePool,
        portions: &[Portion<'_>],
        experts: &dyn ExpertLayers,
        after_layer: &mut dyn FnMut(usize, &Rows),
    ) -> Result<Vec<Option<Vec<f32>>>, PassError> {
        let rows: usize = portions.iter().map(|portion| portion.ids.len()).sum();
        assert!(rows <= MAX_CHUNK_ROWS, "{rows} rows in a pass");
        self.lane(&Mutex::new(pool), portions, experts, after_layer)
    }

    /// The same in two lanes: while the experts of one half of the portions are asked, this machine computes the other
    /// half. A sequence gets the same bytes. Worth it where experts are away about as long as the trunk computes.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub fn pass_in_two_lanes(
        &self,
        pool: &mut PagePool,
        portions: &[Portion<'_>],
        experts: &dyn ExpertLayers,
    ) -> Result<Vec<Option<Vec<f32>>>, PassError> {
        let (pool, middle) = (Mutex::new(pool), middle(portions));
        let (left, right) = portions.split_at(middle);
        let (left, right) = std::thread::scope(|scope| {
            let right = scope.spawn(|| self.lane(&pool, right, experts, &mut |_, _| ()));
            let left = self.lane(&pool, left, experts, &mut |_, _| ());
            (left, right.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let mut logits = left?;
        logits.extend(right.map_err(|failed| failed.shifted(middle))?);
        Ok(logits)
    }

    /// Portions that go through the layers together.
    fn lane(
        &self,
        pool: &Mutex<&mut PagePool>,
        portions: &[Portion<'_>],
        experts: &dyn ExpertLayers,
        after_layer: &mut dyn FnMut(usize, &Rows),
    ) -> Result<Vec<Option<Vec<f32>>>, PassError> {
        let hidden = self.layers_of(pool, portions, experts, after_layer)?;
        if hidden.count() == 0 {
            return Ok(vec![None; portions.len()]);
        }
        let logits = self.lm_head.logits(&hidden)?;
        let mut rows = logits.iter();
        let row_of = |portion: &Portion<'_>| portion.wants_logits.then(|| rows.next().map(<[f32]>::to_vec)).flatten();
        Ok(portions.iter().map(row_of).collect())
    }

    /// The layer loop. The hidden states of the rows that want logits after the last layer, `[wanted, d_model]`, f32. The
    /// last layer computes nothing else for the others than their keys and values.
    fn layers_of(
        &self,
        pool: &Mutex<&mut PagePool>,
        portions: &[Portion<'_>],
        experts: &dyn ExpertLayers,
        after_layer: &mut dyn FnMut(usize, &Rows),
    ) -> Result<Rows, PassError> {
        let positions = portions.iter().flat_map(|portion| portion.first..portion.first + portion.ids.len());
        let rotation = self.rope.rotation(positions);
        let mut hidden = self.embed(portions)?;
        let last = self.layers.len().saturating_sub(1);
        for (index, layer) in self.layers.iter().enumerate() {
            let segments: Vec<Segment<'_>> = portions.iter().map(|portion| portion.segment(index == last)).collect();
            let span = Span { layer: index, segments: &segments, rotation: &rotation };
            hidden = layer.apply(hidden, portions, &span, pool, experts)?;
            after_layer(index, &hidden);
        }
        Ok(hidden)
    }

    fn embed(&self, portions: &[Portion<'_>]) -> Result<Rows, PassError> {
        let (vocab_size, mut ids) = (self.embedding.vocab_size(), Vec::new());
        portions.iter().for_each(|portion| ids.extend_from_slice(portion.ids));
        let outside = |id: u32| PassError {
            portions: portions.iter().position(|portion| portion.ids.contains(&id)).into_iter().collect(),
            error: ForwardError::TokenOutOfVocabulary { id, vocab_size },
        };
        self.embedding.rows(&ids).map_err(outside)
    }
}

impl Portion<'_> {
    /// Its rows in a layer; in the last one only the row whose logits are wanted asks.
    fn segment(&self, last: bool) -> Segment<'_> {
        let (rows, wanted) = (self.ids.len(), usize::from(self.wants_logits));
        Segment { pages: self.pages, first: self.first, rows, asking: if last { wanted } else { rows } }
    }
}

impl Layer {
    /// `hidden` (`[rows, d_model]`, f32) → the rows that ask after this layer, `[asking, d_model]`, f32.
    fn apply(
        &self,
        mut hidden: Rows,
        portions: &[Portion<'_>],
        span: &Span<'_>,
        pool: &Mutex<&mut PagePool>,
        experts: &dyn ExpertLayers,
    ) -> Result<Rows, PassError> {
        // Held while one lane attends, never while experts are asked. A lane that panicked ends the other too.
        let attended = {
            let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
            self.attention.apply(&self.attention_norm.apply(&hidden), span, &mut pool)?
        };
        if attended.count() < hidden.count() {
            hidden = hidden.gather(&asking(span.segments));
        }
        if hidden.count() > 0 {
            sums::add(hidden.values_mut(), attended.values());
            let fed = self.feed_forward(&self.feed_forward_norm.apply(&hidden), portions, span, experts)?;
            sums::add(hidden.values_mut(), fed.values());
        }
        Ok(hidden)
    }

    /// `hidden` (`[asking, d_model]`, f32, normalised) → what the feed-forward part adds to it, `[asking, d_model]`, f32.
    fn feed_forward(
        &self,
        hidden: &Rows,
        portions: &[Portion<'_>],
        span: &Span<'_>,
        experts: &dyn ExpertLayers,
    ) -> Result<Rows, PassError> {
        let block = match &self.feed_forward {
            FeedForward::Dense(dense) => return Ok(dense.apply(hidden)?),
            FeedForward::Experts(block) => block,
        };
        let routes = block.router.route(hidden).map_err(|error| self.router_error(error, span))?;
        let owner = |(portion, segment): (&Portion<'_>, &Segment<'_>)| RowOwner {
            job: portion.job,
            rows: segment.asking,
            twice: false,
        };
        let owners: Vec<RowOwner> = portions.iter().zip(span.segments).map(owner).collect();
        let sums = experts.run_for(self.number, hidden, &routes, &owners);
        let mut sums = sums.map_err(|error| experts_error(error, &routes, span.segments))?;
        check_shape(hidden, &sums)?;
        if let Some(shared) = &block.shared {
            sums::add(sums.values_mut(), shared.apply(hidden)?.values());
        }
        Ok(sums)
    }

    fn router_error(&self, error: RouterError, span: &Span<'_>) -> PassError {
        match error {
            RouterError::Engine(error) => error.into(),
            RouterError::NotFinite { row } => {
                let (portion, position) = asker(span.segments, row);
                let (what, layer) = ("router logits", usize::from(self.number));
                PassError { portions: vec![portion], error: ForwardError::NotFinite { what, layer, position } }
            }
        }
    }
}

/// Where to cut, so that both halves have about as many rows; at least one portion before it.
fn middle(portions: &[Portion<'_>]) -> usize {
    let half = portions.iter().map(|portion| portion.ids.len()).sum::<usize>().div_ceil(2);
    let mut before = 0;
    let reaches = portions.iter().position(|portion| {
        before += portion.ids.len();
        before >= half
    });
    reaches.map_or(portions.len(), |place| place + 1)
}

/// Where one expert is missing, those whose rows need it are at fault.
fn experts_error(error: ExpertsError, routes: &Routes, segments: &[Segment<'_>]) -> PassError {
    let mut portions = Vec::new();
    if let Some(missing) = error.expert {
        let needs = |row: &usize| routes.row(*row).iter().any(|route| route.expert == missing);
        let rows = (0..routes.count()).filter(needs);
        portions.extend(rows.map(|row| asker(segments, row).0));
        portions.dedup();
    }
    PassError { portions, error: error.into() }
}

/// The segment of the asking row `row`, and the row's position in its sequence.
fn asker(segments: &[Segment<'_>], row: usize) -> (usize, usize) {
    let mut before = 0;
    for (index, segment) in segments.iter().enumerate() {
        if row < before + segment.asking {
            return (index, segment.first + segment.rows - segment.asking + row - before);
        }
        before += segment.asking;
    }
    (segments.len().saturating_sub(1), 0)
}

/// Sums of the wrong shape would be added to the wrong rows.
fn check_shape(hidden: &Rows, sums: &Rows) -> Result<(), ExpertsError> {
    let (expected, got) = ((hidden.count(), hidden.width()), (sums.count(), sums.width()));
    if expected == got {
        return Ok(());
    }
    Err(ExpertsError {
        message: format!("expected expert sums of shape {expected:?}, got {got:?}"),
        retryable: false,
        expert: None,
    })
}
