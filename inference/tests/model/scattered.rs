//! Experts in several pools, as workers hold them.

use std::sync::Arc;

use neuro_expert_runtime::{Engine, ExpertPool, expert_weights};
use neuro_inference::{ExpertLayers, ExpertsError, LocalExperts, expert_tensors};
use neuro_model::{Checkpoint, names};
use neuro_primitives::{FixedSum, Routes, Rows};

/// Runs expert `E` from pool `E` modulo their number and adds the partial sums from the last pool to the first: so many
/// workers, answering in the wrong order.
pub struct Scattered(Vec<LocalExperts>);

impl Scattered {
    /// The experts of `checkpoint` in `pools` pools.
    pub fn load(checkpoint: &Checkpoint, engine: &Arc<dyn Engine>, pools: usize) -> Self {
        let config = checkpoint.config();
        let holders = (0..pools).map(|number| {
            let pool = ExpertPool::new(Arc::clone(engine), config.d_model);
            for id in names::experts(config).filter(|id| usize::from(id.expert) % pools == number) {
                let tensors = expert_tensors(checkpoint, id).expect("its tensors");
                pool.insert(id, &expert_weights(config, tensors).expect("weights")).expect("room");
            }
            LocalExperts::new(Arc::new(pool))
        });
        Self(holders.collect())
    }
}

impl ExpertLayers for Scattered {
    fn run(&self, layer: u16, hidden: &Rows, routes: &Routes) -> Result<Rows, ExpertsError> {
        let mut sums = FixedSum::zeros(hidden.count(), hidden.width());
        for (number, local) in self.0.iter().enumerate().rev() {
            let (rows, routes) = routes.restrict(|expert| usize::from(expert) % self.0.len() == number);
            if rows.is_empty() {
                continue;
            }
            for (row, partial) in rows.iter().zip(local.pool().run(layer, &hidden.gather(&rows).into(), &routes)?) {
                sums.add(*row, &partial)?;
            }
        }
        Ok(sums.to_rows())
    }
}
