//! A checkpoint with its trunk and all experts in this process.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::Path;
use std::sync::Arc;

use neuro_expert_runtime::Engine;
use neuro_inference::{ForwardError, KvCache, LocalExperts, Trunk};
use neuro_model::Checkpoint;

/// A whole model.
pub struct LoadedModel {
    pub checkpoint: Arc<Checkpoint>,
    pub trunk: Trunk,
    pub experts: LocalExperts,
}

impl LoadedModel {
    /// Opens the checkpoint in `folder` on `engine`.
    pub fn open(folder: &Path, engine: Arc<dyn Engine>) -> Self {
        let checkpoint = Arc::new(Checkpoint::open(folder).expect("a checkpoint"));
        let trunk = Trunk::load(&checkpoint, Arc::clone(&engine), &mut |_| {}).expect("a trunk");
        let experts = LocalExperts::load(&checkpoint, engine, None, &mut |_| {}).expect("experts");
        Self { checkpoint, trunk, experts }
    }

    /// An empty cache.
    pub fn cache(&self) -> KvCache {
        self.trunk.new_cache()
    }

    /// The logits after `ids`.
    pub fn forward(&self, cache: &mut KvCache, ids: &[u32]) -> Vec<f32> {
        self.try_forward(cache, ids).expect("a forward pass")
    }

    /// The logits after `ids`, or why not.
    pub fn try_forward(&self, cache: &mut KvCache, ids: &[u32]) -> Result<Vec<f32>, ForwardError> {
        self.trunk.forward(cache, ids, &self.experts)
    }
}

/// The largest difference of two rows of logits.
pub fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}
