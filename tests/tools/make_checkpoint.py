#!/usr/bin/env python3
"""Write a mixture-of-experts checkpoint with random weights, laid out as published ones are.

  pip install -r requirements.txt       (in tests/tools; PyPI's torch is large, so fixtures are made once and committed)
  make_checkpoint.py --arch mixtral --seed 7 --out DIR --reference
  make_checkpoint.py --arch mixtral --size bench --dtype bfloat16 --out DIR

DIR gets config.json, the weights (one safetensors file, or several with an index), tokenizer.json,
tokenizer_config.json and, with --reference, reference.json: what the `transformers` implementation computes from the
stored weights in float32 arithmetic. For prompts of 1, 5 and 17 random ids it holds the logits of the last position
and the 16 ids that greedy decoding adds (the end mark does not stop it).

A reference is only useful if a correct program with another order of additions agrees with it. So it is computed in
float64 as well, and a seed whose answers hang on the last digits (a near tie in a router or between two logits) is
refused.
"""
import argparse
import hashlib
import json
import pathlib
import random
import sys

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SIZES = {
    "tiny": dict(hidden=64, layers=3, heads=4, kv_heads=2, head=16, ffn=96, experts=8, top_k=2, vocabulary=384),
    "wide": dict(hidden=256, layers=1, heads=4, kv_heads=2, head=64, ffn=256, experts=4, top_k=2, vocabulary=384),
    "bench": dict(hidden=1024, layers=8, heads=16, kv_heads=4, head=64, ffn=3584, experts=8, top_k=2, vocabulary=4096),
}
ARCHITECTURES = {
    "mixtral": transformers.MixtralConfig,
    "qwen3_moe": transformers.Qwen3MoeConfig,
    "olmoe": transformers.OlmoeConfig,
    "qwen2_moe": transformers.Qwen2MoeConfig,
    "gpt_oss": transformers.GptOssConfig,
    "deepseek_v2": transformers.DeepseekV2Config,
    "deepseek_v3": transformers.DeepseekV3Config,
}
# The values that three bits of an MXFP4 element stand for; the fourth bit is the sign.
FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
MXFP4_BLOCK = 32
SPECIAL = ["<s>", "</s>", "<unk>"]
PROMPT_LENGTHS = (1, 5, 17)
GREEDY_IDS = 16
# Between float32 and float64 arithmetic: above it, an expert was chosen differently or an error is not just rounding.
ROUNDING_LIMIT = 5e-5
# Between the two best logits of every greedy step; ten times what a checker is allowed to be off.
LEAST_LEAD = 2e-3
CHAT_TEMPLATE = (
    "{%- for message in messages -%}<s>{{ message['role'] }}: {{ message['content'] | trim }}</s>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<s>assistant: {% endif -%}"
)


def make_tokenizer(vocabulary):
    """Byte-level BPE over made-up words, so that the merges are real and no text of anyone is needed."""
    rng = random.Random(0)
    syllables = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "s")]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(3000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    lines = (" ".join(rng.choices(words, k=16)) for _ in range(3000))
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def make_config(arch, size, changes):
    """The configuration of `arch` at `size`; `changes` (--set) have the last word."""
    fields = dict(
        vocab_size=size["vocabulary"], hidden_size=size["hidden"], num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"], num_key_value_heads=size["kv_heads"], max_position_embeddings=4096,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        num_experts_per_tok=size["top_k"], bos_token_id=0, eos_token_id=1, tie_word_embeddings=False)
    if arch == "mixtral":
        fields |= dict(intermediate_size=size["ffn"], num_local_experts=size["experts"], head_dim=size["head"],
                       sliding_window=None)
    elif arch == "qwen3_moe":
        fields |= dict(intermediate_size=2 * size["ffn"], moe_intermediate_size=size["ffn"], head_dim=size["head"],
                       num_experts=size["experts"], norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])
    elif arch == "olmoe":
        fields |= dict(intermediate_size=size["ffn"], num_experts=size["experts"], norm_topk_prob=False)
    elif arch == "qwen2_moe":
        fields |= dict(intermediate_size=2 * size["ffn"], moe_intermediate_size=size["ffn"],
                       shared_expert_intermediate_size=size["ffn"], num_experts=size["experts"], norm_topk_prob=False,
                       decoder_sparse_step=1, mlp_only_layers=[])
    elif arch == "gpt_oss":
        fields |= dict(intermediate_size=size["ffn"], num_local_experts=size["experts"], head_dim=size["head"],
                       sliding_window=4)
    else:
        fields |= dict(intermediate_size=2 * size["ffn"], moe_intermediate_size=size["ffn"],
                       num_key_value_heads=size["heads"], n_routed_experts=size["experts"], n_shared_experts=1,
                       first_k_dense_replace=1, n_group=4, topk_group=2, kv_lora_rank=24, q_lora_rank=None,
                       qk_nope_head_dim=size["head"], qk_rope_head_dim=size["head"] // 2, v_head_dim=size["head"] - 4)
    for change in changes:
        key, _, value = change.partition("=")
        fields[key] = json.loads(value)
    return ARCHITECTURES[arch](**fields)


def fill(model, seed, dtype):
    """Weights large enough that routers choose and logits differ, rounded to what `dtype` can store.

    Each tensor has its own generator, keyed by the seed and its name: adding a layer changes no other tensor.
    """
    tensors = [*model.named_parameters(), *(item for item in model.named_buffers() if "correction_bias" in item[0])]
    for name, parameter in tensors:
        key = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(key))
        if name.endswith(("bias", "sinks")):
            values = 0.3 * noise
        elif parameter.ndim == 1:
            values = 1.0 + 0.1 * noise
        else:
            inputs = parameter.shape[-2 if model.config.model_type == "gpt_oss" and parameter.ndim == 3 else -1]
            values = noise.mul_(1.4 * inputs ** -0.5)
        parameter.copy_(values.to(dtype))


def to_mxfp4(weights):
    """[..., rows, columns] as blocks [..., rows, columns / 32, 16], pairs of neighbours, and scales with a bias of 127."""
    groups = weights.unflatten(-1, (-1, MXFP4_BLOCK))
    exponents = (groups.abs().amax(-1).clamp_min(2.0 ** -100) / 6.0).log2().ceil()
    scaled = groups / exponents.exp2()[..., None]
    nearest = (scaled.abs()[..., None] - FP4).abs().argmin(-1)
    codes = (nearest + 8 * ((scaled < 0) & (nearest > 0))).to(torch.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, (exponents + 127).to(torch.uint8)


def from_mxfp4(blocks, scales):
    """What blocks and scales stand for, float32."""
    codes = torch.stack((blocks & 15, blocks >> 4), -1).flatten(-2).long()
    values = torch.cat((FP4, -FP4))[codes] * (scales.float() - 127).exp2()[..., None]
    return values.flatten(-2)


def pack_experts(model):
    """Rounds the experts of a gpt-oss model to what MXFP4 can store; returns the packed tensors by their names."""
    packed = {}
    for name, parameter in model.named_parameters():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            blocks, scales = to_mxfp4(parameter.transpose(1, 2).contiguous())
            parameter.copy_(from_mxfp4(blocks, scales).transpose(1, 2))
            packed |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    return packed


def published(arch, model, dtype):
    """The weights under their published names: three matrices an expert, where transformers 5 holds two stacks.

    gpt-oss is published in stacks.
    """
    if arch == "gpt_oss":
        return {name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    block, gate, up, down = ("block_sparse_moe", "w1", "w3", "w2") if arch == "mixtral" else (
        "mlp", "gate_proj", "up_proj", "down_proj")
    weights = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        tensor = tensor.to(dtype)
        layer, _, rest = name.partition(".mlp.")
        experts = f"{layer}.{block}.experts"
        if rest == "experts.gate_up_proj":
            for index, both in enumerate(tensor):
                first, second = both.chunk(2)
                weights[f"{experts}.{index}.{gate}.weight"] = first.contiguous()
                weights[f"{experts}.{index}.{up}.weight"] = second.contiguous()
        elif rest == "experts.down_proj":
            for index, matrix in enumerate(tensor):
                weights[f"{experts}.{index}.{down}.weight"] = matrix.contiguous()
        else:
            weights[f"{layer}.{block}.{rest}" if rest else name] = tensor.contiguous()
    return weights


def save_weights(weights, folder, shards):
    """One file, or `shards` files of about the same size and the index that says which tensor lies where."""
    about = {"format": "pt"}
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata=about)
        return
    total = sum(t.nbytes for t in weights.values())
    parts, places, before = [{} for _ in range(shards)], {}, 0
    for name in sorted(weights):
        part = min(shards - 1, before * shards // total)
        parts[part][name] = weights[name]
        places[name] = f"model-{part + 1:05}-of-{shards:05}.safetensors"
        before += weights[name].nbytes
    for part in parts:
        save_file(part, folder / places[next(iter(part))], metadata=about)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def save_config(config, folder, legacy):
    """config.json; with `legacy` in the older form: `rope_theta` and `torch_dtype` at the top level."""
    config.save_pretrained(folder)
    if legacy:
        path = folder / "config.json"
        fields = json.loads(path.read_text())
        fields |= {"rope_theta": fields.pop("rope_parameters")["rope_theta"], "rope_scaling": None,
                   "torch_dtype": fields.pop("dtype"), "transformers_version": "4.46.0"}
        path.write_text(json.dumps(fields, indent=2) + "\n")


def save_tokenizer(tokenizer, folder, template_file):
    """tokenizer.json, tokenizer_config.json and the chat template in the latter or in a file of its own."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": False}
    if template_file:
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    else:
        settings["chat_template"] = CHAT_TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")


def last_logits(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1]


def follow(model, prompt):
    """(logits after the prompt, greedy ids, smallest lead of the best logit over the second)."""
    first, ids, lead = last_logits(model, prompt), list(prompt), float("inf")
    for _ in range(GREEDY_IDS):
        best = last_logits(model, ids).topk(2)
        lead = min(lead, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return first, ids[len(prompt):], lead


def reference(model, seed, vocabulary):
    """The cases of reference.json. Leaves the model in float64."""
    rng = random.Random(seed)
    prompts = [[rng.randrange(len(SPECIAL), vocabulary) for _ in range(n)] for n in PROMPT_LENGTHS]
    single = [follow(model, prompt) for prompt in prompts]
    double = [follow(model.double(), prompt) for prompt in prompts]
    for (logits, ids, lead), (exact, exact_ids, _) in zip(single, double):
        off = float((logits - exact).abs().max())
        if ids != exact_ids or off > ROUNDING_LIMIT or lead < LEAST_LEAD:
            sys.exit(f"seed {seed} makes a poor reference: lead {lead:.1e}, {off:.1e} from float64; try another")
    return [{"prompt_ids": prompt, "last_logits": [round(float(v), 6) for v in logits], "greedy_ids": ids}
            for prompt, (logits, ids, _) in zip(prompts, single)]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=ARCHITECTURES, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", help="a field of config.json")
    parser.add_argument("--mxfp4", action="store_true", help="the experts of gpt_oss in MXFP4")
    parser.add_argument("--shards", type=int, default=1, help="number of safetensors files")
    parser.add_argument("--legacy-config", action="store_true", help="rope_theta at the top level")
    parser.add_argument("--template-file", action="store_true", help="chat template in chat_template.jinja")
    parser.add_argument("--reference", action="store_true", help="write reference.json")
    return parser.parse_args()


@torch.no_grad()
def main():
    options = parse_arguments()
    dtype = getattr(torch, options.dtype)
    size = SIZES[options.size]
    options.out.mkdir(parents=True, exist_ok=True)
    config = make_config(options.arch, size, options.set)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager",
                                                           experts_implementation="eager")
    fill(model.eval(), options.seed, dtype)
    config.architectures, config.dtype = [type(model).__name__], options.dtype
    packed = pack_experts(model) if options.mxfp4 else {}
    weights = published(options.arch, model, dtype)
    if packed:
        config.quantization_config = {"quant_method": "mxfp4"}
        weights = packed | {name: tensor for name, tensor in weights.items() if f"{name}_blocks" not in packed}
    save_weights(weights, options.out, options.shards)
    save_config(config, options.out, options.legacy_config)
    tokenizer = make_tokenizer(size["vocabulary"])
    save_tokenizer(tokenizer, options.out, options.template_file)
    if options.reference:
        cases = reference(model, options.seed, tokenizer.get_vocab_size())
        document = {"transformers": transformers.__version__, "dtype": options.dtype, "cases": cases}
        (options.out / "reference.json").write_text(json.dumps(document) + "\n")
    print(json.dumps({"out": str(options.out), "parameters": sum(t.numel() for t in weights.values())}))


if __name__ == "__main__":
    main()
