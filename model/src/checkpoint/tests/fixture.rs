//! Small model folders, good ones and spoiled ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config::ModelConfig;
use crate::names;

/// A tensor to be written.
#[derive(Clone)]
pub struct Written {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Written {
    /// A tensor of zeros.
    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Self {
        let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        Self { dtype, shape: shape.to_vec(), bytes }
    }

    /// A tensor of bfloat16 whose values count up from `start` in steps of 1/64.
    fn counting(shape: &[usize], start: usize) -> Self {
        let values = (0..shape.iter().product()).map(|index| ((start + index) % 64) as f32 / 64.0);
        let bytes = values.flat_map(|value| half::bf16::from_f32(value).to_le_bytes()).collect();
        Self { dtype: Dtype::BF16, shape: shape.to_vec(), bytes }
    }
}

/// A model folder in the making: change what should be wrong with it, then write it.
pub struct Folder {
    pub config: Value,
    pub tensors: BTreeMap<String, Written>,
    dir: TempDir,
}

impl Folder {
    /// A good folder of two layers and three experts for `config`, laid over a small base.
    pub fn new(config: Value) -> Self {
        let mut base = json!({
            "vocab_size": 8, "hidden_size": 4, "intermediate_size": 6, "moe_intermediate_size": 3,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "num_experts": 3,
            "num_experts_per_tok": 2, "max_position_embeddings": 16,
        });
        for (field, value) in config.as_object().unwrap() {
            base[field] = value.clone();
        }
        let model = ModelConfig::from_json(base.to_string().as_bytes()).unwrap();
        Self { config: base, tensors: needed(&model), dir: tempfile::tempdir().unwrap() }
    }

    pub fn mixtral() -> Self {
        Self::new(json!({"model_type": "mixtral"}))
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.file(name), bytes).unwrap();
        self
    }

    /// Writes the configuration and all tensors into one file.
    pub fn write(&self) -> &Self {
        self.put("config.json", self.config.to_string());
        self.put("model.safetensors", serialised(self.tensors.iter()))
    }

    /// Writes the configuration, two files and an index; `spoil` may change the index's map.
    pub fn write_shards(&self, spoil: impl FnOnce(&mut BTreeMap<String, String>)) -> &Self {
        self.put("config.json", self.config.to_string());
        let half = self.tensors.len() / 2;
        self.put("model-00001-of-00002.safetensors", serialised(self.tensors.iter().take(half)));
        self.put("model-00002-of-00002.safetensors", serialised(self.tensors.iter().skip(half)));
        let shard = |at: usize| format!("model-0000{}-of-00002.safetensors", if at < half { 1 } else { 2 });
        let mut map = self.tensors.keys().enumerate().map(|(at, name)| (name.clone(), shard(at))).collect();
        spoil(&mut map);
        let index = json!({"metadata": {"total_size": 0}, "weight_map": map});
        self.put("model.safetensors.index.json", index.to_string())
    }
}

fn needed(config: &ModelConfig) -> BTreeMap<String, Written> {
    let trunk = names::trunk(config).into_iter().map(|tensor| (tensor.name, tensor.shape));
    let shapes = names::expert_shapes(config);
    let experts = names::experts(config).flat_map(|id| {
        let names = names::expert(config, id);
        let biases =
            names.biases.into_iter().flatten().zip(names::expert_bias_lengths(config).map(|length| vec![length]));
        [names.gate, names.up, names.down].into_iter().zip(shapes.map(|shape| shape.to_vec())).chain(biases)
    });
    let all = trunk.chain(experts).enumerate();
    all.map(|(start, (name, shape))| (name, Written::counting(&shape, start))).collect()
}

fn serialised<'a>(tensors: impl Iterator<Item = (&'a String, &'a Written)>) -> Vec<u8> {
    let view = |tensor: &'a Written| TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap();
    safetensors::serialize(tensors.map(|(name, tensor)| (name, view(tensor))), None).unwrap()
}
