#!/usr/bin/env python3
"""Write small GGUF files, and what other programs make of them.

  pip install numpy safetensors tokenizers gguf==0.19.0 sentencepiece==0.2.3 llama-cpp-python==0.3.36
  make_gguf_fixtures.py weights FOLDER TYPE OUT.gguf      the weights of a Hugging Face folder, as f32, f16 or q8_0
  make_gguf_fixtures.py tokenizers OUT                    two vocabularies, and the ids that llama.cpp gives for TEXTS

`weights` writes what the usual converter writes for mixtral, qwen3_moe and olmoe: experts stacked, rows of queries and
keys in the order of neighbours for mixtral, norms and routers in f32.

`tokenizers` writes OUT/byte-level.gguf and OUT/sentence-piece.gguf, which have a vocabulary and no tensors, and for
each a JSON file with the ids of every text: for the first under every name of a set of patterns (`tokenizer.ggml.pre`),
as llama.cpp cuts them; for the second those of llama.cpp and of sentencepiece itself.
"""
import io
import json
import pathlib
import random
import sys
import tempfile

import gguf
import numpy as np

FAMILIES = {"mixtral": "llama", "qwen3_moe": "qwen3moe", "olmoe": "olmoe"}
LAYER = {
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "block_sparse_moe.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PROJECTIONS = {"w1": "gate", "w3": "up", "w2": "down", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}

PRE = ["default", "gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "deepseek-llm", "deepseek-coder", "deepseek-v3",
       "olmo", "starcoder", "falcon", "dbrx"]
TEXTS = [
    "", " ", "  ", "a", " a", "Hello world", "Hello  world", " Hello   world  ", "\n", "\n\n", "a\nb", "a \n b\n\n\nc",
    "tab\there", "don't I'LL we've you'd 'tis", "12 345 6789 1234567890", "x1y22z333", "3.14 1,000,000 50%",
    "e-mail: a.b@c.de, http://x.y/z?q=1&r=2", "if (a<=b) { return a[b]; } // done", "CamelCase snake_case SHOUTING",
    "na\u00efve caf\u00e9 \u00dcber stra\u00dfe", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\u4f60\u597d\uff0c\u4e16\u754c\uff01",
    "\uc548\ub155 \ud558\uc138\uc694", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u0645\u0631\u062d\u0628\u0627", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 ok",
    "e\u0301 combining", "\u00a0no-break\u2003em", "...!!!???", "$100 + 20 = <120> ^ ~ | `q`", "trailing   ",
    "<s>begin</s>", "a<s>b", "<unk>", "the quick brown fox jumps over the lazy dog", "\u2581underline \u2581\u2581", "a\u0000b",
    "\r\nwin\r\n", "'", "''s", "\u00bd \u00b2 \u2167", "The THE tHe", "word" * 12,
]


def stored(array, kind):
    """An array in one of the types; vectors and the few small matrices of routers stay in f32."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    if kind == "f32" or array.ndim == 1:
        return array, None
    if kind == "f16":
        return array.astype(np.float16), None
    quantised = gguf.GGMLQuantizationType[kind.upper()]
    return gguf.quants.quantize(array, quantised), quantised


def neighbours(rows, heads):
    """Row i of a head goes beside row i + half: the order in which neighbours are rotated together."""
    half = rows.shape[0] // heads // 2
    order = [head * 2 * half + side * half + i for head in range(heads) for i in range(half) for side in range(2)]
    return rows[order]


def write_settings(out, config):
    experts = config.get("num_local_experts") or config.get("num_experts")
    heads = config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    width = config.get("moe_intermediate_size", config["intermediate_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_expert_feed_forward_length(width)
    out.add_head_count(heads)
    out.add_head_count_kv(config["num_key_value_heads"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config.get("rope_theta") or rope["rope_theta"])
    out.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    out.add_expert_count(experts)
    out.add_expert_used_count(config["num_experts_per_tok"])
    out.add_vocab_size(config["vocab_size"])
    if config.get("head_dim"):
        out.add_key_length(config["head_dim"])
        out.add_value_length(config["head_dim"])
    if config.get("clip_qkv"):
        out.add_clamp_kqv(config["clip_qkv"])
    return experts


def write_byte_level(out, tokenizer, size):
    model = tokenizer["model"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    padding = [f"<pad{i}>" for i in range(size - len(tokens))]
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens]
    out.add_tokenizer_model("gpt2")
    out.add_token_list(tokens + padding)
    out.add_token_types(kinds + [gguf.TokenType.UNUSED] * len(padding))
    out.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    out.add_unk_token_id(2)
    out.add_add_bos_token(False)


def template(folder):
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text()
    return json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]


def write_weights(folder, kind, path):
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    family = FAMILIES[config["model_type"]]
    out = gguf.GGUFWriter(str(path), family)
    experts = write_settings(out, config)
    write_byte_level(out, json.loads((folder / "tokenizer.json").read_text()), config["vocab_size"])
    out.add_tokenizer_pre("gpt-2")
    out.add_chat_template(template(folder))
    stacks = {}

    def put(name, array, kind=kind):
        data, quantised = stored(array, kind)
        out.add_tensor(name, data, raw_dtype=quantised)

    for file in sorted(folder.glob("*.safetensors")):
        for name, array in sorted(load_file(file).items()):
            if name in WHOLE:
                put(WHOLE[name], array)
                continue
            layer, rest = name.removeprefix("model.layers.").split(".", 1)
            if ".experts." in rest:
                expert, projection = rest.split(".experts.")[1].split(".")[:2]
                key = f"blk.{layer}.ffn_{PROJECTIONS[projection]}_exps.weight"
                stacks.setdefault(key, {})[int(expert)] = array
            elif family == "llama" and rest in ("self_attn.q_proj.weight", "self_attn.k_proj.weight"):
                heads = config["num_attention_heads" if ".q_" in rest else "num_key_value_heads"]
                put(f"blk.{layer}.{LAYER[rest]}", neighbours(array, heads))
            else:
                put(f"blk.{layer}.{LAYER[rest]}", array, "f32" if rest.endswith("gate.weight") else kind)
    for name, slices in stacks.items():
        put(name, np.stack([slices[expert] for expert in range(experts)]))
    finish(out)


def finish(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def training_lines(seed):
    """Text of everything that patterns tell apart: made up, so that the vocabulary is nobody's."""
    rng = random.Random(seed)
    words = ["the", "then", "Hello", "world", "don't", "we've", "token", "value", "CamelCase", "SHOUT", "na\u00efve", "stra\u00dfe"]
    words += ["\u65e5\u672c\u8a9e", "\u4e16\u754c", "\uc548\ub155", "\u041f\u0440\u0438\u0432\u0435\u0442", "12", "345", "1000", "3.14", "()", "{}", "//", "...", "!!", ", ", " = "]
    for _ in range(1500):
        yield "".join(rng.choice(words) + rng.choice([" ", " ", "  ", "\n", "\n\n", "", "\t"]) for _ in range(12))


def byte_level(out):
    """Trained without any pattern, so that merges reach over every place where some pattern cuts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.train_from_iterator(training_lines(1), trainers.BpeTrainer(
        vocab_size=800, special_tokens=["<s>", "</s>", "<unk>"], show_progress=False, max_token_length=12,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    parsed = json.loads(tokenizer.to_str())

    def write(path, pre):
        file = gguf.GGUFWriter(str(path), "llama")
        write_byte_level(file, parsed, 800)
        file.add_tokenizer_pre(pre)
        vocabulary_only(file, 800)

    write(out / "byte-level.gguf", "gpt-2")
    ids = {}
    with tempfile.TemporaryDirectory() as folder:
        for pre in PRE:
            write(pathlib.Path(folder) / "vocabulary.gguf", pre)
            ids[pre] = llama_ids(pathlib.Path(folder) / "vocabulary.gguf")
    save(out / "byte-level.json", {"texts": TEXTS, "ids": ids})


def vocabulary_only(file, size):
    """What llama.cpp wants to see before it reads a vocabulary."""
    file.add_block_count(1)
    file.add_context_length(64)
    file.add_embedding_length(32)
    file.add_feed_forward_length(32)
    file.add_head_count(1)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_vocab_size(size)
    finish(file)


def sentence_piece(out):
    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.replace("\n", " ") for line in training_lines(2)), model_writer=trained, vocab_size=600,
        model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        character_coverage=1.0, split_digits=True, user_defined_symbols=["<role>"], num_threads=1, minloglevel=2)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    size = pieces.get_piece_size()

    def kind(i):
        if pieces.is_unknown(i):
            return gguf.TokenType.UNKNOWN
        if pieces.is_control(i):
            return gguf.TokenType.CONTROL
        if pieces.is_byte(i):
            return gguf.TokenType.BYTE
        return gguf.TokenType.USER_DEFINED if pieces.id_to_piece(i) == "<role>" else gguf.TokenType.NORMAL

    path = out / "sentence-piece.gguf"
    file = gguf.GGUFWriter(str(path), "llama")
    file.add_tokenizer_model("llama")
    file.add_token_list([pieces.id_to_piece(i) for i in range(size)])
    file.add_token_scores([pieces.get_score(i) for i in range(size)])
    file.add_token_types([kind(i) for i in range(size)])
    file.add_bos_token_id(pieces.bos_id())
    file.add_eos_token_id(pieces.eos_id())
    file.add_unk_token_id(pieces.unk_id())
    vocabulary_only(file, size)
    texts = TEXTS + ["a<role>b", "<role>user <role> x"]
    plain = [None if "<s>" in text or "<unk>" in text or "<role>" in text else pieces.encode(text) for text in texts]
    save(out / "sentence-piece.json", {"texts": texts, "sentencepiece": plain, "llama": llama_ids(path, texts)})


def llama_ids(path, texts=TEXTS):
    from llama_cpp import Llama

    model = Llama(str(path), vocab_only=True, verbose=False)
    return [model.tokenize(text.encode(), add_bos=False, special=True) for text in texts]


def save(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "weights":
        write_weights(pathlib.Path(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4]))
    elif len(sys.argv) == 3 and sys.argv[1] == "tokenizers":
        folder = pathlib.Path(sys.argv[2])
        byte_level(folder)
        sentence_piece(folder)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
