//! What the tensors of GGUF files are called, and which tensors of a Hugging Face folder they are.
//!
//! One table, read in both directions. A name of a layer's tensor is a place (`model.layers.3.`, `blk.3.`), a word of
//! the table, and `.weight` or `.bias`. GGUF stacks a layer's experts in one tensor: expert `e` is slice `e`.

use crate::config::Architecture;

/// Where a tensor lies in a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufPlace {
    /// The tensor there.
    pub name: String,
    /// The slice of its slowest dimension; `None` is all of it.
    pub slice: Option<u16>,
}

/// The place of a folder's tensor.
///
/// `None` for names that are not of this architecture.
#[must_use]
pub fn place(architecture: Architecture, canonical: &str) -> Option<GgufPlace> {
    if let Some((_, name)) = MODEL.iter().find(|(ours, _)| *ours == canonical) {
        return Some(GgufPlace { name: (*name).to_owned(), slice: None });
    }
    let (layer, rest) = numbered(canonical.strip_prefix("model.layers.")?)?;
    if let Some((_, name)) = WHOLE.iter().find(|(ours, _)| *ours == rest) {
        return Some(GgufPlace { name: format!("blk.{layer}.{name}"), slice: None });
    }
    let (word, kind) = rest.rsplit_once('.').filter(|(_, kind)| KINDS.contains(kind))?;
    if let Some((expert, suffix)) = word.strip_prefix(experts_prefix(architecture)).and_then(numbered) {
        let at = expert_words(architecture).iter().position(|ours| *ours == suffix)?;
        return Some(GgufPlace { name: format!("blk.{layer}.{}.{kind}", EXPERTS[at]), slice: Some(expert) });
    }
    let name = table(architecture).find(|(ours, _)| *ours == word)?.1;
    Some(GgufPlace { name: format!("blk.{layer}.{name}.{kind}"), slice: None })
}

/// The folder's name of a GGUF tensor; of a stacked one, that of slice `slice`.
///
/// `None` for names that are not of this architecture, for a slice of what has none, and for all of what is stacked.
#[must_use]
pub fn canonical(architecture: Architecture, place: &GgufPlace) -> Option<String> {
    if let Some((ours, _)) = MODEL.iter().find(|(_, name)| *name == place.name) {
        return place.slice.is_none().then(|| (*ours).to_owned());
    }
    let (layer, rest) = numbered(place.name.strip_prefix("blk.")?)?;
    if let Some((ours, _)) = WHOLE.iter().find(|(_, name)| *name == rest) {
        return place.slice.is_none().then(|| format!("model.layers.{layer}.{ours}"));
    }
    let (word, kind) = rest.rsplit_once('.').filter(|(_, kind)| KINDS.contains(kind))?;
    if let Some(at) = EXPERTS.iter().position(|name| *name == word) {
        let (prefix, suffix) = (experts_prefix(architecture), expert_words(architecture)[at]);
        return Some(format!("model.layers.{layer}.{prefix}{}.{suffix}.{kind}", place.slice?));
    }
    let ours = table(architecture).find(|(_, name)| *name == word).filter(|_| place.slice.is_none())?.0;
    Some(format!("model.layers.{layer}.{ours}.{kind}"))
}

/// The layer that a GGUF tensor belongs to.
#[must_use]
pub fn layer_of(name: &str) -> Option<u16> {
    Some(numbered(name.strip_prefix("blk.")?)?.0)
}

/// Whether a GGUF tensor holds all experts of a layer.
#[must_use]
pub fn is_stacked(name: &str) -> bool {
    name.rsplit_once('.').and_then(|(rest, _)| rest.rsplit_once('.')).is_some_and(|(_, word)| EXPERTS.contains(&word))
}

const KINDS: [&str; 2] = ["weight", "bias"];

/// Tensors outside of layers: folder and GGUF.
const MODEL: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];

/// Tensors of a layer whose whole names differ.
const WHOLE: [(&str, &str); 2] =
    [("self_attn.sinks", "attn_sinks.weight"), ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias")];

/// Gate, up and down projections of all experts of a layer.
const EXPERTS: [&str; 3] = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];

/// Words of a layer's tensors that all architectures share.
const LAYER: [(&str, &str); 24] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.q_a_proj", "attn_q_a"),
    ("self_attn.q_a_layernorm", "attn_q_a_norm"),
    ("self_attn.q_b_proj", "attn_q_b"),
    ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"),
    ("self_attn.kv_a_layernorm", "attn_kv_a_norm"),
    ("self_attn.kv_b_proj", "attn_kv_b"),
    ("self_attn.k_b_proj", "attn_k_b"),
    ("self_attn.v_b_proj", "attn_v_b"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.shared_experts.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_experts.up_proj", "ffn_up_shexp"),
    ("mlp.shared_experts.down_proj", "ffn_down_shexp"),
];

/// Words that one architecture has instead of those of [`LAYER`].
fn own_words(architecture: Architecture) -> &'static [(&'static str, &'static str)] {
    match architecture {
        Architecture::Mixtral => &[("block_sparse_moe.gate", "ffn_gate_inp")],
        Architecture::GptOss => &[("mlp.router", "ffn_gate_inp"), ("post_attention_layernorm", "post_attention_norm")],
        Architecture::Qwen2Moe => &[
            ("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
            ("mlp.shared_expert.up_proj", "ffn_up_shexp"),
            ("mlp.shared_expert.down_proj", "ffn_down_shexp"),
        ],
        _ => &[],
    }
}

/// The words of an architecture: its own, and the shared ones that these do not take the place of.
fn table(architecture: Architecture) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let own = own_words(architecture);
    let replaced = |(ours, name): &(&str, &str)| own.iter().any(|(own, theirs)| own == ours || theirs == name);
    own.iter().chain(LAYER.iter().filter(move |words| !replaced(words)))
}

fn experts_prefix(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mixtral => "block_sparse_moe.experts.",
        _ => "mlp.experts.",
    }
}

/// In the order of [`EXPERTS`].
fn expert_words(architecture: Architecture) -> [&'static str; 3] {
    match architecture {
        Architecture::Mixtral => ["w1", "w3", "w2"],
        _ => ["gate_proj", "up_proj", "down_proj"],
    }
}

/// `3.rest` as 3 and `rest`; a number has no sign and no leading zero, so that every tensor has one name.
fn numbered(text: &str) -> Option<(u16, &str)> {
    let (number, rest) = text.split_once('.')?;
    let parsed: u16 = number.parse().ok()?;
    (parsed.to_string() == number).then_some((parsed, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(architecture: Architecture, ours: &str, name: &str, slice: Option<u16>) {
        let there = GgufPlace { name: name.to_owned(), slice };
        assert_eq!(place(architecture, ours), Some(there.clone()));
        assert_eq!(canonical(architecture, &there).as_deref(), Some(ours));
    }

    #[test]
    fn names_lead_there_and_back() {
        use Architecture::{DeepseekV3, GptOss, Mixtral, Olmoe, Qwen2Moe, Qwen3Moe};
        check(GptOss, "model.layers.1.mlp.router.bias", "blk.1.ffn_gate_inp.bias", None);
        check(GptOss, "model.layers.1.post_attention_layernorm.weight", "blk.1.post_attention_norm.weight", None);
        check(GptOss, "model.layers.1.mlp.experts.3.down_proj.bias", "blk.1.ffn_down_exps.bias", Some(3));
        check(Qwen2Moe, "model.layers.1.mlp.shared_expert.up_proj.weight", "blk.1.ffn_up_shexp.weight", None);
        check(DeepseekV3, "model.layers.1.mlp.shared_experts.up_proj.weight", "blk.1.ffn_up_shexp.weight", None);
        check(DeepseekV3, "model.layers.1.self_attn.k_b_proj.weight", "blk.1.attn_k_b.weight", None);
        check(Mixtral, "model.embed_tokens.weight", "token_embd.weight", None);
        check(Olmoe, "lm_head.weight", "output.weight", None);
        check(Qwen3Moe, "model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias", None);
        check(Qwen3Moe, "model.layers.0.self_attn.sinks", "blk.0.attn_sinks.weight", None);
        check(Qwen3Moe, "model.layers.3.mlp.gate.weight", "blk.3.ffn_gate_inp.weight", None);
        check(Qwen3Moe, "model.layers.3.mlp.gate.e_score_correction_bias", "blk.3.exp_probs_b.bias", None);
        check(Mixtral, "model.layers.3.block_sparse_moe.gate.weight", "blk.3.ffn_gate_inp.weight", None);
        check(Mixtral, "model.layers.3.block_sparse_moe.experts.7.w2.weight", "blk.3.ffn_down_exps.weight", Some(7));
        check(Olmoe, "model.layers.3.mlp.experts.63.up_proj.weight", "blk.3.ffn_up_exps.weight", Some(63));
    }

    #[test]
    fn every_word_of_the_table_is_unambiguous() {
        for architecture in Architecture::ALL {
            for (ours, name) in table(architecture) {
                let there = GgufPlace { name: format!("blk.1.{name}.weight"), slice: None };
                let back = canonical(architecture, &there).and_then(|back| place(architecture, &back));
                assert_eq!(back, Some(there), "{architecture}: {ours}");
            }
        }
    }

    #[test]
    fn what_is_of_another_form_has_no_place() {
        for name in [
            "model.layers.01.mlp.gate.weight",
            "model.layers.1.mlp.gate",
            "model.layers.1.mlp.experts.x.up_proj.weight",
            "blk",
        ] {
            assert_eq!(place(Architecture::Olmoe, name), None, "{name}");
        }
        let whole = GgufPlace { name: "blk.1.ffn_up_exps.weight".to_owned(), slice: None };
        assert_eq!(canonical(Architecture::Olmoe, &whole), None, "experts are found one by one");
        assert!(is_stacked(&whole.name) && !is_stacked("blk.1.ffn_up.weight") && !is_stacked("output.weight"));
        assert_eq!((layer_of("blk.31.attn_q.weight"), layer_of("output.weight")), (Some(31), None));
    }
}
