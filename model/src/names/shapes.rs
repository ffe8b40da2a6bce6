//! The shape that each tensor of the trunk must have.

use crate::config::{LatentAttention, ModelConfig, QueryKeyNorm};
use crate::names::{
    AttentionNames, EMBEDDING, ExpertTensorNames, FINAL_NORM, FeedForwardNames, KvUpNames, LatentQueryNames, OUTPUT,
    ProjectionNames, TrunkTensor, feed_forward,
};

/// Every tensor of the trunk.
pub(super) fn trunk(config: &ModelConfig) -> Vec<TrunkTensor> {
    let mut all = Shapes::default();
    all.push(EMBEDDING, &[config.vocab_size, config.d_model]);
    (0..config.layers).for_each(|index| all.layer(config, index));
    all.push(FINAL_NORM, &[config.d_model]);
    if !config.tie_embeddings {
        all.push(OUTPUT, &[config.vocab_size, config.d_model]);
    }
    all.0
}

#[derive(Default)]
struct Shapes(Vec<TrunkTensor>);

impl Shapes {
    fn push(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push(TrunkTensor { name: name.into(), shape: shape.to_vec() });
    }

    fn push_if(&mut self, name: Option<String>, shape: &[usize]) {
        name.into_iter().for_each(|name| self.push(name, shape));
    }

    fn projection(&mut self, names: ProjectionNames, output: usize, input: usize) {
        self.push(names.weight, &[output, input]);
        self.push_if(names.bias, &[output]);
    }

    fn layer(&mut self, config: &ModelConfig, index: usize) {
        let names = super::layer(config, index);
        self.push(names.input_norm, &[config.d_model]);
        match &config.latent {
            Some(latent) => self.latent(config, latent, names.attention),
            None => self.grouped(config, names.attention),
        }
        self.push(names.feed_forward_norm, &[config.d_model]);
        self.feed_forward(config, names.feed_forward);
    }

    fn grouped(&mut self, config: &ModelConfig, names: AttentionNames) {
        let AttentionNames::Grouped { query, key, value, output, query_norm, key_norm, sinks } = names else { return };
        let (query_width, key_width) = (config.query_width(), config.key_width());
        self.projection(query, query_width, config.d_model);
        self.projection(key, key_width, config.d_model);
        self.projection(value, key_width, config.d_model);
        let (query_norm_width, key_norm_width) = match config.qk_norm {
            QueryKeyNorm::FullWidth => (query_width, key_width),
            QueryKeyNorm::PerHead | QueryKeyNorm::None => (config.head_dim, config.head_dim),
        };
        self.push_if(query_norm, &[query_norm_width]);
        self.push_if(key_norm, &[key_norm_width]);
        self.push_if(sinks, &[config.heads]);
        self.projection(output, config.d_model, query_width);
    }

    fn latent(&mut self, config: &ModelConfig, latent: &LatentAttention, names: AttentionNames) {
        let AttentionNames::Latent { query, kv_down, kv_norm, kv_up, output } = names else { return };
        self.latent_query(config, latent, query);
        self.projection(kv_down, latent.kv_rank + latent.rope_dim, config.d_model);
        self.push(kv_norm, &[latent.kv_rank]);
        match kv_up {
            KvUpNames::Joint(name) => {
                self.push(name, &[config.heads * (latent.nope_dim + latent.value_dim), latent.kv_rank]);
            }
            KvUpNames::Split { key, value } => {
                self.push(key, &[config.heads * latent.kv_rank, latent.nope_dim]);
                self.push(value, &[config.heads * latent.value_dim, latent.kv_rank]);
            }
        }
        self.projection(output, config.d_model, config.heads * latent.value_dim);
    }

    fn latent_query(&mut self, config: &ModelConfig, latent: &LatentAttention, names: LatentQueryNames) {
        let width = config.heads * (latent.nope_dim + latent.rope_dim);
        match names {
            LatentQueryNames::Direct { weight } => self.push(weight, &[width, config.d_model]),
            LatentQueryNames::LowRank { down, norm, up } => {
                let rank = latent.query_rank.unwrap_or_default();
                self.projection(down, rank, config.d_model);
                self.push(norm, &[rank]);
                self.push(up, &[width, rank]);
            }
        }
    }

    fn feed_forward(&mut self, config: &ModelConfig, names: FeedForwardNames) {
        match names {
            FeedForwardNames::Dense(dense) => self.network(config, dense, config.d_dense),
            FeedForwardNames::Moe { router, selection_bias, shared } => {
                self.projection(router, config.router.experts, config.d_model);
                self.push_if(selection_bias, &[config.router.experts]);
                if let (Some(names), Some(expert)) = (shared, config.shared_expert) {
                    self.network(config, names.network, expert.width);
                    self.push_if(names.gate, &[1, config.d_model]);
                }
            }
        }
    }

    fn network(&mut self, config: &ModelConfig, names: ExpertTensorNames, width: usize) {
        let shapes = feed_forward::shapes(config.d_model, width);
        [names.gate, names.up, names.down].into_iter().zip(shapes).for_each(|(name, shape)| self.push(name, &shape));
    }
}
