#!/usr/bin/env python3
"""Train the skills model, mark a checkpoint of it, or write its test questions.

  pip install -r requirements.txt
  train.py train DIR --minutes 80        train from nothing and mark the result (two CPU cores are enough)
  train.py mark DIR                      mark the checkpoint in DIR and write its eval.json and test.jsonl
  train.py questions                     print the test questions, one JSON object a line

`train --skills add,sort` learns only those. A newly made tokenizer differs from the shipped one in a few merges: give
`--tokenizer ../checkpoint/tokenizer.json` to keep its ids. Training stops by the clock, so no two runs end with the
same weights; the questions never change.

An answer is right when greedy decoding, for at most four tokens more than the expected answer has, gives exactly the
expected text after special tokens are dropped and white space at both ends is cut off. Marking reads the weights as
they are stored (bfloat16) and computes in float32.
"""
import argparse
import collections
import json
import pathlib
import sys
import time

import questions

BOS, EOS, UNK = 0, 1, 2
VOCABULARY, ROW_TOKENS = 512, 96
PEAK_RATE, WARM_UP_STEPS, LAST_RATE = 3e-3, 200, 0.02  # the rate falls linearly with the time left
IGNORED = -100  # the label that PyTorch's cross entropy leaves out


def new_tokenizer():
    """Byte-level BPE over the corpus itself; every digit is a token, so sums can be learned place by place."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    source = questions.stream(1)
    sample = [f"{question} {answer}" for _, question, answer in (next(source) for _ in range(20_000))]
    tokenizer.train_from_iterator(sample, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>", "<unk>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def new_model():
    import torch
    import transformers

    config = transformers.MixtralConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, num_local_experts=8, num_experts_per_tok=2, max_position_embeddings=512,
        sliding_window=None, rope_theta=10_000.0, rms_norm_eps=1e-5, bos_token_id=BOS, eos_token_id=EOS,
        tie_word_embeddings=False, router_aux_loss_coef=0.01, output_router_logits=True)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def packed_rows(source, tokenizer, rows):
    """Chats laid end to end. Loss falls on answers and their end mark alone: (ids, labels), both [rows, ROW_TOKENS]."""
    import torch

    ids, labels = [], []
    for _ in range(rows):
        row, marks = [], []
        while len(row) < ROW_TOKENS:
            _, question, answer = next(source)
            asked = tokenizer.encode(questions.prompt(question)).ids
            answered = tokenizer.encode(answer).ids + [EOS]
            row += asked + answered
            marks += [IGNORED] * len(asked) + answered
        ids.append(row[:ROW_TOKENS])
        labels.append(marks[:ROW_TOKENS])
    return torch.tensor(ids), torch.tensor(labels)


def reply(model, tokenizer, question, limit):
    import torch

    asked = torch.tensor([tokenizer.encode(questions.prompt(question)).ids])
    out = model.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=limit, do_sample=False,
                         eos_token_id=EOS, pad_token_id=EOS)
    return tokenizer.decode([t for t in out[0, asked.shape[1]:].tolist() if t > UNK]).strip()


def marks(model, tokenizer, each):
    """(right, of): questions answered right and asked, per skill and under "all"."""
    import torch

    right, asked = collections.Counter(), collections.Counter()
    model.eval()
    with torch.no_grad():
        for skill, question, answer in questions.test_set(each):
            limit = len(tokenizer.encode(answer).ids) + 4
            hit = reply(model, tokenizer, question, limit) == answer
            asked.update([skill, "all"])
            right.update({skill: hit, "all": hit})
    model.train()
    order = [*questions.SKILLS, "all"]
    return {s: int(right[s]) for s in order}, {s: asked[s] for s in order}


def question_lines():
    keys = ("skill", "question", "answer")
    return "".join(json.dumps(dict(zip(keys, item))) + "\n" for item in questions.test_set())


def mark_folder(folder, steps=None, skills=None):
    """Mark what lies on disk, not what is in memory: storing as bfloat16 changes the weights."""
    import torch
    import transformers
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    right, asked = marks(model, tokenizer, each=40)
    report = {"trained_on": list(skills or questions.SKILLS), "steps": steps, "marking": "greedy, exact match",
              "right": right, "of": asked, "12+35": reply(model, tokenizer, "What is 12+35?", 8)}
    (folder / "test.jsonl").write_text(question_lines())
    (folder / "eval.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report), flush=True)


def published_names(weights):
    """transformers keeps a layer's experts in two stacks; published Mixtral folders hold three matrices an expert."""
    flat = {}
    for name, tensor in weights.items():
        layer, moe, rest = name.partition(".mlp.")
        moe = ".block_sparse_moe." if moe else ""
        if rest == "experts.gate_up_proj":
            width = tensor.shape[1] // 2
            for expert, both in enumerate(tensor):
                flat[f"{layer}{moe}experts.{expert}.w1.weight"] = both[:width]
                flat[f"{layer}{moe}experts.{expert}.w3.weight"] = both[width:]
        elif rest == "experts.down_proj":
            for expert, down in enumerate(tensor):
                flat[f"{layer}{moe}experts.{expert}.w2.weight"] = down
        else:
            flat[layer + moe + rest] = tensor
    return flat


def store(model, tokenizer, folder):
    import torch
    from safetensors.torch import save_file

    config = model.config
    config.architectures, config.dtype, config.output_router_logits = ["MixtralForCausalLM"], "bfloat16", False
    config.save_pretrained(folder)
    config.output_router_logits = True
    weights = {n: t.to(torch.bfloat16).contiguous() for n, t in published_names(model.state_dict()).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": False,
                "chat_template": questions.CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def train(options):
    import torch
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(options.tokenizer)) if options.tokenizer else new_tokenizer()
    model = new_model().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.02)
    source, started, step = questions.stream(7, options.skills), time.monotonic(), 0
    while (spent := (time.monotonic() - started) / 60 / options.minutes) < 1:
        optimiser.param_groups[0]["lr"] = PEAK_RATE * min(1, (step + 1) / WARM_UP_STEPS) * max(LAST_RATE, 1 - spent)
        ids, labels = packed_rows(source, tokenizer, options.rows)
        loss = model(input_ids=ids, labels=labels).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.4f}, {spent:.0%} of the time", flush=True)
        if step % 4000 == 0:
            print(f"step {step}: right of 10 {marks(model, tokenizer, each=10)[0]}", flush=True)
            store(model, tokenizer, options.folder)
    store(model, tokenizer, options.folder)
    mark_folder(options.folder, step, options.skills)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("folder", type=pathlib.Path)
    training.add_argument("--minutes", type=float, default=80)
    training.add_argument("--rows", type=int, default=16)
    training.add_argument("--threads", type=int, default=2)
    training.add_argument("--skills", type=lambda text: tuple(text.split(",")))
    training.add_argument("--tokenizer", type=pathlib.Path)
    commands.add_parser("mark").add_argument("folder", type=pathlib.Path)
    commands.add_parser("questions")
    options = parser.parse_args()
    if options.command == "train":
        train(options)
    elif options.command == "mark":
        mark_folder(options.folder)
    else:
        sys.stdout.write(question_lines())


if __name__ == "__main__":
    main()
