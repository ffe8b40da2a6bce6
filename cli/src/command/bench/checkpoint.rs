//! A random checkpoint for measuring: the shape of a real Mixtral, weights from a fixed seed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::json;

/// The sizes that a benchmark varies; everything else follows the speed checkpoint of `docs/benchmarks.md`.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Width of hidden states.
    pub d_model: usize,
    /// Layers.
    pub layers: usize,
    /// Width of an expert.
    pub d_expert: usize,
    /// Experts of a layer.
    pub experts: usize,
    /// Experts chosen for a token.
    pub top_k: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
}

/// Bits of the exponent of 1/32: random weights of that size keep hidden states near 1.
const WEIGHT_EXPONENT: u16 = 0x3D00;

/// Heads' width; `d_model / HEAD` query heads share a quarter as many key heads.
const HEAD: usize = 64;

/// Writes `config.json`, `tokenizer.json` and `model.safetensors` (bfloat16) into `folder`.
///
/// # Errors
/// Those of the operating system.
pub fn write(folder: &Path, shape: Shape) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("config.json"), config(shape).to_string())?;
    std::fs::write(folder.join("tokenizer.json"), tokenizer(shape).to_string())?;
    write_tensors(&folder.join("model.safetensors"), &tensors(shape))
}

fn config(shape: Shape) -> serde_json::Value {
    json!({
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_act": "silu",
        "hidden_size": shape.d_model, "intermediate_size": shape.d_expert, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.d_model / HEAD, "num_key_value_heads": kv_heads(shape), "head_dim": HEAD,
        "num_local_experts": shape.experts, "num_experts_per_tok": shape.top_k, "vocab_size": shape.vocabulary,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": false, "sliding_window": null, "bos_token_id": 0, "eos_token_id": null,
    })
}

/// One token per number: the benchmark speaks in ids.
fn tokenizer(shape: Shape) -> serde_json::Value {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        (0..shape.vocabulary).map(|id| (format!("t{id}"), id.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"},
    })
}

fn kv_heads(shape: Shape) -> usize {
    (shape.d_model / HEAD / 4).max(1)
}

/// Names and shapes in file order.
fn tensors(shape: Shape) -> Vec<(String, Vec<usize>)> {
    let (d, kv) = (shape.d_model, kv_heads(shape) * HEAD);
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![shape.vocabulary, d]),
        ("model.norm.weight".to_owned(), vec![d]),
        ("lm_head.weight".to_owned(), vec![shape.vocabulary, d]),
    ];
    for layer in 0..shape.layers {
        let mut add = |name: &str, sizes: Vec<usize>| all.push((format!("model.layers.{layer}.{name}.weight"), sizes));
        add("self_attn.q_proj", vec![d, d]);
        add("self_attn.k_proj", vec![kv, d]);
        add("self_attn.v_proj", vec![kv, d]);
        add("self_attn.o_proj", vec![d, d]);
        add("input_layernorm", vec![d]);
        add("post_attention_layernorm", vec![d]);
        add("block_sparse_moe.gate", vec![shape.experts, d]);
        for expert in 0..shape.experts {
            add(&format!("block_sparse_moe.experts.{expert}.w1"), vec![shape.d_expert, d]);
            add(&format!("block_sparse_moe.experts.{expert}.w3"), vec![shape.d_expert, d]);
            add(&format!("block_sparse_moe.experts.{expert}.w2"), vec![d, shape.d_expert]);
        }
    }
    all
}

/// The safetensors form: header length, JSON header, then every tensor's bytes.
fn write_tensors(path: &Path, tensors: &[(String, Vec<usize>)]) -> io::Result<()> {
    let (mut header, mut offset) = (serde_json::Map::new(), 0);
    for (name, sizes) in tensors {
        let end = offset + 2 * sizes.iter().product::<usize>();
        header.insert(name.clone(), json!({"dtype": "BF16", "shape": sizes, "data_offsets": [offset, end]}));
        offset = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for (_, sizes) in tensors {
        write_weights(&mut file, sizes, &mut random)?;
    }
    file.flush()
}

/// Matrices: ± a value in [1/32, 1/16). Vectors (norms): 1.
fn write_weights(file: &mut impl Write, sizes: &[usize], random: &mut u64) -> io::Result<()> {
    const ONE: u16 = 0x3F80;
    let count = sizes.iter().product::<usize>();
    if sizes.len() == 1 {
        return file.write_all(&ONE.to_le_bytes().repeat(count));
    }
    let mut bytes = Vec::with_capacity(2 * count);
    for _ in 0..count.div_ceil(4) {
        // Xorshift: any generator does, as long as it is the same everywhere.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        for part in 0..4 {
            let bits = (*random >> (16 * part)) as u16;
            bytes.extend_from_slice(&(WEIGHT_EXPONENT | (bits & 0x807F)).to_le_bytes());
        }
    }
    bytes.truncate(2 * count);
    file.write_all(&bytes)
}
