#!/usr/bin/env python3
"""Measure SecretFlow SPU (PyPI: spu) for `neuro bench smpc --peer-results`: one JSON line a case.

  python3.11 -m venv /tmp/spu && /tmp/spu/bin/pip install spu==0.9.5      (Python 3.10 or 3.11; 1 GB)
  /tmp/spu/bin/python tests/tools/peer_spu.py > peer.jsonl
  neuro bench smpc --peer-results peer.jsonl

SPU's simulator runs its three parties in this process, joined by memory: no sockets, no TLS. The protocol is ABY3 over
64-bit words, semi-honest; fractions have as many bits as SPU takes by itself. Every input is secret. A time is from plain
inputs to the plain result; the first call, which compiles, is left out. Errors are the largest against float64.
"""

import argparse
import importlib.metadata
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy
import spu.libspu
import spu.utils.simulation as simulation

HEADS = 4


def softmax(scores):
    powers = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def silu(x):
    return x / (1 + jnp.exp(-x))


def normalise(x, gain):
    return gain * x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)


def expert(x, gate, up, down):
    return (silu(x @ gate) * (x @ up)) @ down


def attention(x, query, key, value, out):
    tokens, width = x.shape
    q, k, v = (
        (x @ weights).reshape(tokens, HEADS, width // HEADS).swapaxes(0, 1) for weights in (query, key, value)
    )
    scores = q @ k.swapaxes(1, 2) / numpy.sqrt(width // HEADS)
    seen = numpy.tri(tokens, dtype=bool)
    mixed = softmax(jnp.where(seen, scores, -20.0)) @ v
    return mixed.swapaxes(0, 1).reshape(tokens, width) @ out


def block(x, first, second, query, key, value, out, gate, up, down):
    x = x + attention(normalise(x, first), query, key, value, out)
    return x + expert(normalise(x, second), gate, up, down)


def cases(seed):
    """Name, function and inputs of each case."""
    random = numpy.random.default_rng(seed)
    normal = random.standard_normal

    def weights(rows, columns):
        return normal((rows, columns)) / numpy.sqrt(rows)

    yield "matmul512", lambda x, y: x @ y, [weights(512, 512), weights(512, 512)]
    yield "mul1m", lambda x, y: x * y, [normal(1 << 20), normal(1 << 20)]
    yield "compare1m", lambda x, y: (x < y).astype(jnp.int32), [normal(1 << 20), normal(1 << 20)]
    yield "softmax128", softmax, [4 * normal((128, 128))]
    yield "silu64k", silu, [4 * normal(1 << 16)]
    yield "rmsnorm", normalise, [normal((32, 512)), numpy.ones(512)]
    yield "expert_d256_f512_t8", expert, [normal((8, 256)), weights(256, 512), weights(256, 512), weights(512, 256)]
    square = [weights(128, 128) for _ in range(4)]
    wide = [weights(128, 256), weights(128, 256), weights(256, 128)]
    yield "block_d128_t16", block, [normal((16, 128)), numpy.ones(128), numpy.ones(128), *square, *wide]


def measure(simulator, function, inputs, repeat):
    """Median seconds and largest error."""
    expected = numpy.asarray(function(*(jnp.asarray(value, jnp.float64) for value in inputs)))
    secret = simulation.sim_jax(simulator, function)
    inputs = [numpy.asarray(value, numpy.float32) for value in inputs]
    seconds = []
    for _ in range(repeat + 1):
        begun = time.perf_counter()
        got = numpy.asarray(secret(*inputs))
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:]), float(numpy.abs(got - expected).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="calls that count")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    settings = spu.libspu.RuntimeConfig(protocol=spu.libspu.ProtocolKind.ABY3, field=spu.libspu.FieldType.FM64)
    simulator = simulation.Simulator(3, settings)
    version = importlib.metadata.version("spu")
    for name, function, inputs in cases(3):
        if arguments.only in name:
            seconds, error = measure(simulator, function, inputs, arguments.repeat)
            line = {"peer": "spu, aby3", "version": version, "case": name, "median_s": seconds, "max_abs_err": error}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
