//! Names, shapes and slices, family by family.

use super::*;

/// The names and shapes that a tensor of f32 in one file stands for.
fn names(family: Family, name: &str, shape: &[usize]) -> Vec<(String, Vec<usize>)> {
    let place = 32..32 + 4 * shape.iter().product::<usize>();
    let tensor = GgufTensor { name: name.into(), tensor_type: TensorType::F32, shape: shape.to_vec(), place };
    let placed = placed(family, &tensor);
    assert_eq!(placed.iter().map(|part| part.place.len()).sum::<usize>(), tensor.place.len(), "{name}");
    assert!(placed.iter().all(|part| part.place.len() == 4 * part.shape.iter().product::<usize>()), "{name}");
    placed.into_iter().map(|part| (part.name, part.shape)).collect()
}

#[track_caller]
fn single(family: Family, name: &str, shape: &[usize], expected: &str, expected_shape: &[usize]) {
    assert_eq!(names(family, name, shape), [(expected.to_owned(), expected_shape.to_vec())]);
}

#[test]
fn deepseek_s_split_projections_are_flattened_and_its_shared_experts_named() {
    use Family::Deepseek2;
    single(Deepseek2, "blk.2.attn_k_b.weight", &[4, 32, 16], "model.layers.2.self_attn.k_b_proj.weight", &[128, 16]);
    single(Deepseek2, "blk.2.attn_v_b.weight", &[4, 16, 32], "model.layers.2.self_attn.v_b_proj.weight", &[64, 32]);
    single(
        Deepseek2,
        "blk.0.attn_kv_a_mqa.weight",
        &[40, 64],
        "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
        &[40, 64],
    );
    single(Deepseek2, "blk.1.exp_probs_b.bias", &[8], "model.layers.1.mlp.gate.e_score_correction_bias", &[8]);
    single(
        Deepseek2,
        "blk.1.ffn_up_shexp.weight",
        &[64, 64],
        "model.layers.1.mlp.shared_experts.up_proj.weight",
        &[64, 64],
    );
    single(Deepseek2, "blk.0.ffn_down.weight", &[64, 96], "model.layers.0.mlp.down_proj.weight", &[64, 96]);
    single(Deepseek2, "blk.3.nextn.eh_proj.weight", &[4, 8], "model.layers.3.nextn.eh_proj.weight", &[4, 8]);
}

#[test]
fn gpt_oss_has_biases_of_experts_sinks_and_a_router_with_a_bias() {
    let biases = names(Family::GptOss, "blk.0.ffn_down_exps.bias", &[2, 6]);
    assert_eq!(biases[1], ("model.layers.0.mlp.experts.1.down_proj.bias".to_owned(), vec![6]));
    single(Family::GptOss, "blk.0.attn_sinks.weight", &[4], "model.layers.0.self_attn.sinks", &[4]);
    single(Family::GptOss, "blk.0.ffn_gate_inp.bias", &[8], "model.layers.0.mlp.router.bias", &[8]);
    let norm = "model.layers.0.post_attention_layernorm.weight";
    single(Family::GptOss, "blk.0.post_attention_norm.weight", &[64], norm, &[64]);
}

#[test]
fn qwen2_s_gate_of_the_shared_expert_is_a_row() {
    let gate = "model.layers.0.mlp.shared_expert_gate.weight";
    single(Family::Qwen2Moe, "blk.0.ffn_gate_inp_shexp.weight", &[64], gate, &[1, 64]);
    single(Family::Qwen2Moe, "blk.0.attn_q.bias", &[64], "model.layers.0.self_attn.q_proj.bias", &[64]);
}

#[test]
fn what_no_table_knows_keeps_its_name() {
    for name in ["blk.0.ffn_gate_inp_shexp.weight", "blk.x.attn_q.weight", "rope_freqs.weight", "blk.0.attn_q.scale"] {
        single(Family::Llama, name, &[64], name, &[64]);
    }
    let odd = "blk.0.ffn_gate_up_exps.weight";
    single(Family::Qwen3Moe, odd, &[2, 3, 4], odd, &[2, 3, 4]);
    let many = "blk.0.ffn_up_exps.weight";
    single(Family::Qwen3Moe, many, &[5000, 1, 1], many, &[5000, 1, 1]);
}
