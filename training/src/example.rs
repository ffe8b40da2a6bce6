//! What a model learns from: rows of tokens, some of which carry loss.

use crate::error::TrainError;

/// One text. Loss falls on the tokens from `learn_from` on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// `[length]`, token ids.
    pub ids: Vec<u32>,
    /// The first token that is to be predicted; at least 1, since nothing comes before token 0.
    pub learn_from: usize,
    /// Where its rows belong, for [`Objective::routing`](crate::Objective::routing); none where it does not matter.
    pub wishes: Vec<Wish>,
}

/// Experts that the rows of an example belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Which.
    pub experts: Vec<u16>,
    /// The first token whose row belongs there; what all texts begin with says nothing.
    pub from: usize,
    /// How much its rows count.
    pub weight: f32,
}

/// Some examples side by side, filled up to the same length. Filling carries no loss, and causal attention keeps it
/// from what stands before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Examples.
    pub(crate) rows: usize,
    /// Positions of each.
    pub(crate) length: usize,
    /// `[rows × length]`, 0 where filled up.
    pub(crate) ids: Vec<u32>,
    /// `[rows × length]`: whether a token of an example stands here.
    pub(crate) live: Vec<bool>,
    /// Places in `ids` whose next token is learnt, ascending, and that token.
    pub(crate) asked: Vec<(usize, u32)>,
    /// Of every example, where its rows belong.
    pub(crate) wishes: Vec<Vec<Wish>>,
}

impl Example {
    /// Tokens that carry loss.
    #[must_use]
    pub fn learnt(&self) -> usize {
        self.ids.len().saturating_sub(self.learn_from.max(1))
    }
}

/// Where a trainer gets its examples from.
pub trait ExampleSource: Send {
    /// The examples of step `step` (counted over all rounds). The same step gives the same examples.
    fn batch(&mut self, step: u64) -> Vec<Example>;
}

impl<F: FnMut(u64) -> Vec<Example> + Send> ExampleSource for F {
    fn batch(&mut self, step: u64) -> Vec<Example> {
        self(step)
    }
}

impl Batch {
    /// Puts `examples` side by side.
    ///
    /// # Errors
    /// A token outside `vocabulary`; no token to learn.
    pub fn new(examples: &[Example], vocabulary: usize) -> Result<Self, TrainError> {
        let length = examples.iter().map(|example| example.ids.len()).max().unwrap_or_default();
        let wishes = examples.iter().map(|example| example.wishes.clone()).collect();
        let (ids, live, asked) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Self { rows: examples.len(), length, ids, live, asked, wishes };
        for example in examples {
            if let Some(&got) = example.ids.iter().find(|id| **id as usize >= vocabulary) {
                return Err(TrainError::Token { vocabulary, got });
            }
            let start = batch.ids.len();
            let learnt = example.ids.iter().enumerate().skip(example.learn_from.max(1));
            batch.asked.extend(learnt.map(|(at, id)| (start + at - 1, *id)));
            batch.ids.extend(&example.ids);
            batch.ids.resize(start + length, 0);
            batch.live.resize(start + example.ids.len(), true);
            batch.live.resize(start + length, false);
        }
        if batch.asked.is_empty() { Err(TrainError::NoExamples) } else { Ok(batch) }
    }

    /// Tokens that carry loss.
    #[must_use]
    pub fn learnt(&self) -> usize {
        self.asked.len()
    }
}

#[cfg(test)]
mod tests;
