#!/usr/bin/env python3
"""Makes dequant.bin and f16.bin: golden values for test_dtype, from numpy and the `gguf` package.

    python3 make_dequant.py [FOLDER]

Needs numpy and gguf (PyPI). The output is a function of this file alone (fixed seed).

dequant.bin   for each type that lull reads, one record, little-endian:
                  char name[8], u32 n_elems, u32 n_bytes, u8 blocks[n_bytes], f32 values[n_elems]
              Blocks are random bytes. Their f16 scales are random, too: ordinary ones of both
              signs, and in the last blocks zeros, subnormals and the largest finite f16.
f16.bin       u32 n, then n times { f32 value, u16 half }: conversions of edge cases to f16;
              the BLAKE2b-256 digest of f32[65536]: every half widened, NaNs made quiet;
              the BLAKE2b-256 digest of u16[2][0x7bff][3]: for each sign and each half below the
              largest, what the f32 numbers just below, at and just above the middle between it
              and its successor narrow to.
"""
import hashlib
import pathlib
import struct
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# name -> offsets of the f16 scales in a block
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF]


def blocks_of(name, rng):
    """Random blocks of one type, uint8 [n_blocks, block_bytes]."""
    kind = GGMLQuantizationType[name]
    block_elems, block_bytes = GGML_QUANT_SIZES[kind]
    n_blocks = 512 // block_elems if block_elems < 256 else 8
    if name == "F32":
        raw = rng.standard_normal(n_blocks).astype(np.float32)
        raw[:4] = [0.0, -0.0, 1e-45, 3.4028235e38]
        return raw.view(np.uint8).reshape(n_blocks, block_bytes)
    blocks = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
    if name in ("F16", "BF16"):  # every bit pattern but NaN, whose payload has no one right answer
        halves = blocks.view(np.uint16)
        inf = 0x7C00 if name == "F16" else 0x7F80
        halves[(halves & 0x7FFF) > inf] = inf
        return blocks
    for offset in SCALES[name]:
        d = (rng.standard_normal(n_blocks) * 0.02).astype(np.float16)
        d[-len(SPECIAL):] = rng.permutation(np.array(SPECIAL, np.uint16)).view(np.float16)
        blocks[:, offset:offset + 2] = d.view(np.uint8).reshape(n_blocks, 2)
    return blocks


def make_dequant(path):
    rng = np.random.default_rng(20240607)
    with open(path, "wb") as out:
        for name in ["F32", "F16", "BF16", *SCALES]:
            blocks = blocks_of(name, rng)
            values = dequantize(blocks, GGMLQuantizationType[name]).astype("<f4").reshape(-1)
            assert not np.isnan(values).any(), name
            out.write(struct.pack("<8sII", name.encode(), values.size, blocks.size))
            out.write(blocks.tobytes())
            out.write(values.tobytes())


def make_f16(path):
    with np.errstate(over="ignore"):
        tiny = 2.0**-24  # the least subnormal
        values = np.array([
            0.0, -0.0, np.inf, -np.inf, 1.0, -1.0, 0.1, 1 / 3, 3.14159274,
            65504.0, 65519.0, 65519.996, 65520.0, -65520.0, 65536.0, 3.4028235e38,
            1e-45, -1e-45, tiny, tiny / 2, -tiny / 2, tiny * 0.50000006,
            1.5 * tiny, 2.5 * tiny, 3.5 * tiny, 1023.25 * tiny, 1023.5 * tiny,
            2.0**-14, np.nextafter(np.float32(2.0**-14), np.float32(0)),
            2048.5, 2049.0, 2051.0, 1.00048828125, 1.00146484375,
        ], np.float32)
        halves = values.astype(np.float16).view(np.uint16)

        all_halves = np.arange(65536, dtype=np.uint16)
        widened = all_halves.view(np.float16).astype(np.float32).view(np.uint32)
        is_nan = (widened & 0x7FFFFFFF) > 0x7F800000
        widened = np.where(is_nan, widened | 0x400000, widened).astype("<u4")

        low = np.concatenate([np.arange(0x7BFF), 0x8000 + np.arange(0x7BFF)]).astype(np.uint16)
        middle = low.view(np.float16).astype(np.float64) + (low + 1).view(np.float16)
        middle = (middle / 2).astype(np.float32)  # exact: 12 bits are enough
        down, up = np.float32(-np.inf), np.float32(np.inf)
        around = np.stack([np.nextafter(middle, down), middle, np.nextafter(middle, up)], axis=1)
        rounded = around.astype(np.float16).view(np.uint16).astype("<u2")
    with open(path, "wb") as out:
        out.write(struct.pack("<I", values.size))
        for value, half in zip(values, halves):
            out.write(struct.pack("<fH", value, half))
        out.write(hashlib.blake2b(widened.tobytes(), digest_size=32).digest())
        out.write(hashlib.blake2b(rounded.tobytes(), digest_size=32).digest())


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    make_dequant(folder / "dequant.bin")
    make_f16(folder / "f16.bin")
