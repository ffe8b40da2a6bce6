#!/usr/bin/env python3
"""Make the vectors in tests/fixtures/blocks with gguf-py, the second opinion on what blocks mean.

  pip install gguf==0.19.0 numpy
  make_block_vectors.py tests/fixtures/blocks

TYPE.blocks: random bytes, with scales that are finite.    TYPE.f32: what they stand for, f32 little-endian.
values.f32: values to quantise, with ties, zeros, extremes and powers of two.    TYPE.quantised: their blocks.
"""
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

BLOCKS = {"q4_0": 8, "q8_0": 8, "iq4_nl": 8, "mxfp4": 16, "q4_k": 4, "q5_k": 4, "q6_k": 4}
# Where a block's halves begin.
HALVES = {"q4_0": [0], "q8_0": [0], "iq4_nl": [0], "mxfp4": [], "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208]}
QUANTISED = ["f16", "bf16", "q4_0", "q8_0", "mxfp4"]


def random_blocks(rng, name):
    blocks = rng.integers(0, 256, (BLOCKS[name], gguf.GGML_QUANT_SIZES[T[name.upper()]][1]), dtype=np.uint8)
    for at in HALVES[name]:
        blocks[:, at + 1] &= 0xBF  # no half of exponent 31, which is infinite or not a number
    if name == "mxfp4":
        blocks[:, 0] = [0, 1, 2, 3, 100, 110, 120, 124, 125, 126, 127, 128, 130, 140, 200, 250]
    return blocks


def values(rng):
    rows = [rng.standard_normal(32) * 10.0 ** exponent for exponent in (-6, -3, -2, -1, 0, 1, 3)]
    rows += [np.arange(32) - 16, (np.arange(32) - 16) / 2, np.zeros(32), np.full(32, -0.0)]
    rows += [np.repeat([7.0, -7.0], 16), np.repeat([-8.0, 8.0], 16), np.arange(32) * 127 / 62]
    codebook = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0])
    rows += [np.concatenate([codebook, -codebook, codebook * (1 + 1e-6), codebook * (1 - 1e-6)])]
    rows += [rng.standard_normal(32) * 1e-30, np.eye(1, 32, 5)[0] * -3e4]
    # Where the logarithm of the greatest magnitude is, or rounds to, a whole number.
    just_below = np.nextafter(np.float32(8), np.float32(0))
    rows += [np.linspace(-limit, limit / 2, 32) for limit in (8.0, just_below, 7.999, 4.000001)]
    return np.stack(rows).astype(np.float32)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20)
    for name in BLOCKS:
        blocks = random_blocks(rng, name)
        (out / f"{name}.blocks").write_bytes(blocks.tobytes())
        (out / f"{name}.f32").write_bytes(gguf.quants.dequantize(blocks, T[name.upper()]).astype("<f4").tobytes())
    plain = values(rng)
    (out / "values.f32").write_bytes(plain.astype("<f4").tobytes())
    for name in QUANTISED:
        (out / f"{name}.quantised").write_bytes(gguf.quants.quantize(plain, T[name.upper()]).tobytes())


if __name__ == "__main__":
    main()
