//! From a tensor's name in a GGUF file to the names of Hugging Face folders.
//!
//! Most have one name for one tensor. The experts of a layer are stacked there (`blk.3.ffn_up_exps.weight`, `[experts,
//! width, d_model]`) and single here, so one tensor gives a slice for each expert; nothing is copied. What no table
//! below knows keeps its name, and the reader refuses it as a tensor that the architecture does not have.

use std::ops::Range;

use neuro_primitives::TensorType;

use crate::config::MAX_EXPERTS;
use crate::gguf::GgufTensor;
use crate::gguf::family::Family;

/// A tensor, or a slice of one, under the name that it has in a Hugging Face folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedTensor {
    pub(crate) name: String,
    pub(crate) tensor_type: TensorType,
    /// The slowest dimension first.
    pub(crate) shape: Vec<usize>,
    /// Its bytes, counted from the file's beginning.
    pub(crate) place: Range<usize>,
}

/// What `tensor` is called elsewhere: one name, or one for each expert and projection in it.
pub(crate) fn placed(family: Family, tensor: &GgufTensor) -> Vec<PlacedTensor> {
    let found = match tensor.name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) if is_number(layer) => layer_tensors(family, layer, rest, tensor),
        _ => whole_model(&tensor.name).map(|name| vec![whole(tensor).named(name.to_owned())]),
    };
    found.unwrap_or_else(|| vec![whole(tensor)])
}

fn whole_model(name: &str) -> Option<&'static str> {
    match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    }
}

/// The tensors that `rest`, a name without its layer, stands for.
fn layer_tensors(family: Family, layer: &str, rest: &str, tensor: &GgufTensor) -> Option<Vec<PlacedTensor>> {
    let prefix = format!("model.layers.{layer}");
    let (stem, kind) = rest.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    if let Some((projections, expert)) = expert_projections(stem) {
        let slices = match expert {
            Some(expert) => vec![(expert.to_owned(), whole(tensor))],
            None => stack(&whole(tensor))?.enumerate().map(|(expert, slice)| (expert.to_string(), slice)).collect(),
        };
        let experts = format!("{prefix}.{}.experts", block(family));
        let name =
            |expert: &str, projection: &Projection| format!("{experts}.{expert}.{}.{kind}", projection.name(family));
        return slices
            .into_iter()
            .map(|(expert, slice)| named_parts(slice, projections, |part| name(&expert, part)))
            .try_fold(Vec::new(), |mut all, parts| {
                all.extend(parts?);
                Some(all)
            });
    }
    if stem.starts_with("nextn.") {
        return Some(vec![whole(tensor).named(format!("{prefix}.{rest}"))]);
    }
    let name = layer_name(family, stem, kind)?;
    let flat = if matches!(stem, "attn_k_b" | "attn_v_b") { flattened(whole(tensor)) } else { whole(tensor) };
    let shaped = if stem == "ffn_gate_inp_shexp" { as_row(flat) } else { flat };
    Some(vec![shaped.named(format!("{prefix}.{name}"))])
}

/// The name of a tensor that is one tensor in both worlds, without its layer.
fn layer_name(family: Family, stem: &str, kind: &str) -> Option<String> {
    if stem == "exp_probs_b" && kind == "bias" {
        return Some("mlp.gate.e_score_correction_bias".to_owned());
    }
    if stem == "attn_sinks" && kind == "weight" {
        return Some("self_attn.sinks".to_owned());
    }
    let name = match (stem, family) {
        ("attn_norm", _) => "input_layernorm",
        ("ffn_norm", Family::GptOss) => return None,
        ("ffn_norm", _) | ("post_attention_norm", Family::GptOss) => "post_attention_layernorm",
        ("attn_q", _) => "self_attn.q_proj",
        ("attn_k", _) => "self_attn.k_proj",
        ("attn_v", _) => "self_attn.v_proj",
        ("attn_output", _) => "self_attn.o_proj",
        ("attn_q_norm", _) => "self_attn.q_norm",
        ("attn_k_norm", _) => "self_attn.k_norm",
        ("ffn_gate_inp", Family::Llama) => "block_sparse_moe.gate",
        ("ffn_gate_inp", Family::GptOss) => "mlp.router",
        ("ffn_gate_inp", _) => "mlp.gate",
        ("ffn_gate", _) => "mlp.gate_proj",
        ("ffn_up", _) => "mlp.up_proj",
        ("ffn_down", _) => "mlp.down_proj",
        _ => latent_or_shared(family, stem)?,
    };
    Some(format!("{name}.{kind}"))
}

fn latent_or_shared(family: Family, stem: &str) -> Option<&'static str> {
    Some(match (family, stem) {
        (Family::Deepseek2, "attn_q_a") => "self_attn.q_a_proj",
        (Family::Deepseek2, "attn_q_a_norm") => "self_attn.q_a_layernorm",
        (Family::Deepseek2, "attn_q_b") => "self_attn.q_b_proj",
        (Family::Deepseek2, "attn_kv_a_mqa") => "self_attn.kv_a_proj_with_mqa",
        (Family::Deepseek2, "attn_kv_a_norm") => "self_attn.kv_a_layernorm",
        (Family::Deepseek2, "attn_kv_b") => "self_attn.kv_b_proj",
        (Family::Deepseek2, "attn_k_b") => "self_attn.k_b_proj",
        (Family::Deepseek2, "attn_v_b") => "self_attn.v_b_proj",
        (Family::Deepseek2, "ffn_gate_shexp") => "mlp.shared_experts.gate_proj",
        (Family::Deepseek2, "ffn_up_shexp") => "mlp.shared_experts.up_proj",
        (Family::Deepseek2, "ffn_down_shexp") => "mlp.shared_experts.down_proj",
        (Family::Qwen2Moe, "ffn_gate_shexp") => "mlp.shared_expert.gate_proj",
        (Family::Qwen2Moe, "ffn_up_shexp") => "mlp.shared_expert.up_proj",
        (Family::Qwen2Moe, "ffn_down_shexp") => "mlp.shared_expert.down_proj",
        (Family::Qwen2Moe, "ffn_gate_inp_shexp") => "mlp.shared_expert_gate",
        _ => return None,
    })
}

/// A projection of an expert.
#[derive(Debug, Clone, Copy)]
enum Projection {
    Gate,
    Up,
    Down,
}

impl Projection {
    /// Mixtral numbers them, in the order gate, down, up.
    fn name(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Gate, Family::Llama) => "w1",
            (Self::Up, Family::Llama) => "w3",
            (Self::Down, Family::Llama) => "w2",
            (Self::Gate, _) => "gate_proj",
            (Self::Up, _) => "up_proj",
            (Self::Down, _) => "down_proj",
        }
    }
}

/// The projections of experts that `stem` holds, above each other, and the expert where it is of one alone: files from
/// before experts were stacked have `ffn_gate.7`.
fn expert_projections(stem: &str) -> Option<(&'static [Projection], Option<&str>)> {
    use Projection::{Down, Gate, Up};
    if let Some((stem, expert)) = stem.split_once('.') {
        let projection: &[Projection] = match stem {
            "ffn_gate" => &[Gate],
            "ffn_up" => &[Up],
            "ffn_down" => &[Down],
            _ => return None,
        };
        return is_number(expert).then_some((projection, Some(expert)));
    }
    match stem {
        "ffn_gate_exps" => Some((&[Gate], None)),
        "ffn_up_exps" => Some((&[Up], None)),
        "ffn_down_exps" => Some((&[Down], None)),
        "ffn_gate_up_exps" => Some((&[Gate, Up], None)),
        _ => None,
    }
}

fn block(family: Family) -> &'static str {
    if family == Family::Llama { "block_sparse_moe" } else { "mlp" }
}

/// Cuts `slice` into as many equal parts as there are projections, along its slowest dimension.
fn named_parts(
    slice: PlacedTensor,
    projections: &[Projection],
    name: impl Fn(&Projection) -> String,
) -> Option<Vec<PlacedTensor>> {
    let [single] = projections else {
        let rows = slice.shape.first().copied()?;
        let each =
            rows.is_multiple_of(projections.len()).then_some(rows / projections.len()).filter(|&rows| rows > 0)?;
        let parts = projections.iter().enumerate().map(|(at, part)| slice.rows(at * each, each).named(name(part)));
        return Some(parts.collect());
    };
    Some(vec![slice.named(name(single))])
}

/// The slices of a tensor along its slowest dimension; `None` where it has only one, or too many slices.
fn stack(tensor: &PlacedTensor) -> Option<impl Iterator<Item = PlacedTensor>> {
    let (&count, shape) = tensor.shape.split_first().filter(|(_, shape)| !shape.is_empty())?;
    if count > MAX_EXPERTS {
        return None;
    }
    Some((0..count).map(move |at| PlacedTensor { shape: shape.to_vec(), ..tensor.rows(at, 1) }))
}

fn whole(tensor: &GgufTensor) -> PlacedTensor {
    let GgufTensor { name, tensor_type, shape, place } = tensor.clone();
    PlacedTensor { name, tensor_type, shape, place }
}

/// The two slowest dimensions as one.
fn flattened(tensor: PlacedTensor) -> PlacedTensor {
    let [slowest, rows, ref columns @ ..] = tensor.shape[..] else { return tensor };
    if columns.is_empty() {
        return tensor;
    }
    let shape = [&[slowest * rows], columns].concat();
    PlacedTensor { shape, ..tensor }
}

/// A vector as a matrix of one row.
fn as_row(tensor: PlacedTensor) -> PlacedTensor {
    match tensor.shape[..] {
        [columns] => PlacedTensor { shape: vec![1, columns], ..tensor },
        _ => tensor,
    }
}

impl PlacedTensor {
    fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// `count` of the rows along the slowest dimension, from `start` on. The rows' bytes are whole: a block never
    /// reaches over the end of the fastest dimension. A vector of blocks is cut between elements only if they are
    /// floats, which biases are.
    fn rows(&self, start: usize, count: usize) -> Self {
        let all = self.shape.first().copied().unwrap_or(1);
        let each = self.place.len() / all;
        let begin = self.place.start + start * each;
        let shape = std::iter::once(count).chain(self.shape.iter().skip(1).copied()).collect();
        Self { name: self.name.clone(), tensor_type: self.tensor_type, shape, place: begin..begin + count * each }
    }
}

/// Digits without a leading zero, so that every layer and expert has one name only.
fn is_number(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests;
