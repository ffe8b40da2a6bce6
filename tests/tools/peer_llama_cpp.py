#!/usr/bin/env python3
"""Time llama.cpp on a GGUF file, or write down its logits, through llama-cpp-python.

Timing prints one JSON object with the fields of `neuro bench single --json`, so that the two can be laid side by side:

  peer_llama_cpp.py time MODEL.gguf --threads 2 --prompts 128,512 --tokens 48

Logits are written as f32, little-endian, `[prompts, vocabulary]`: the last position of each prompt in
`tests/fixtures/llama_cpp/prompts.json`.

  peer_llama_cpp.py logits MODEL.gguf OUT.f32 --cache f32

Needs `CMAKE_ARGS="-DGGML_NATIVE=ON" pip install llama-cpp-python==0.3.36`, which builds for six minutes on two cores.
"""
import argparse
import json
import pathlib
import statistics
import time

import llama_cpp
import numpy

PROMPTS = pathlib.Path(__file__).parent.parent / "fixtures" / "llama_cpp" / "prompts.json"


CACHES = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}


def load(path: str, threads: int, context: int, cache: str = "f16") -> llama_cpp.Llama:
    return llama_cpp.Llama(
        path, n_ctx=context, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False, flash_attn=False,
        type_k=CACHES[cache], type_v=CACHES[cache],
    )


def prompt_of(length: int) -> list[int]:
    """The ids that `neuro bench single` runs."""
    return [3 + position * 89 % 297 for position in range(length)]


def run(model: llama_cpp.Llama, prompt: list[int], tokens: int) -> tuple[float, float]:
    """Prompt tokens a second to the first token, and tokens a second after it."""
    model.reset()
    started = time.perf_counter()
    model.eval(prompt)
    first = time.perf_counter()
    for index in range(tokens - 1):
        model.eval([prompt[index % len(prompt)]])
    ended = time.perf_counter()
    return len(prompt) / (first - started), (tokens - 1) / max(ended - first, 1e-9)


def peak_bytes() -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def measure(arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    model = load(arguments.model, arguments.threads, 2048)
    model.eval([3])
    load_ms = (time.perf_counter() - started) * 1e3
    run(model, prompt_of(8), 8)
    prompts = []
    for length in map(int, arguments.prompts.split(",")):
        runs = [run(model, prompt_of(length), arguments.tokens) for _ in range(arguments.repeat)]
        prompts.append({
            "tokens": length,
            "prompt_per_second": statistics.median(prompt for prompt, _ in runs),
            "decode_per_second": statistics.median(decode for _, decode in runs),
        })
    print(json.dumps({
        "peer": "llama.cpp", "peer_version": "llama-cpp-python " + llama_cpp.__version__,
        "load_ms": load_ms, "prompts": prompts, "peak_bytes": peak_bytes(),
    }))


def logits(arguments: argparse.Namespace) -> None:
    model = load(arguments.model, 1, 256, arguments.cache)
    rows = []
    for prompt in json.loads(PROMPTS.read_text()):
        model.reset()
        model.eval(prompt)
        row = model._ctx.get_logits()
        rows.append(numpy.ctypeslib.as_array(row, shape=(model.n_vocab(),)).copy())
    numpy.stack(rows).astype("<f4").tofile(arguments.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    timing = commands.add_parser("time")
    timing.add_argument("model")
    timing.add_argument("--threads", type=int, default=2)
    timing.add_argument("--prompts", default="128")
    timing.add_argument("--tokens", type=int, default=48)
    timing.add_argument("--repeat", type=int, default=3)
    timing.set_defaults(run=measure)
    writing = commands.add_parser("logits")
    writing.add_argument("model")
    writing.add_argument("out")
    writing.add_argument("--cache", choices=CACHES, default="f16", help="the elements of keys and values")
    writing.set_defaults(run=logits)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
