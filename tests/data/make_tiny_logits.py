#!/usr/bin/env python3
"""Makes tiny_logits.bin: what the tiny test models compute, in float64, by oracle/forward.py.

    python3 make_tiny_logits.py MODELS_FOLDER [OUT]

MODELS_FOLDER is where the build put the models of tests/CMakeLists.txt (build/release/tests/models).
Needs numpy and gguf (PyPI).

tiny_logits.bin, little-endian: for each model
    char name[16], u8 blake2b-256 of the file[32], u32 n_tokens, u32 n_vocab, u32 n_positions,
    i32 tokens[n_tokens], n_positions times { u32 position, f32 log_probs[n_vocab] }
"""
import hashlib
import pathlib
import struct
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "oracle"))
import forward  # noqa: E402

# name -> tokens, positions kept: around the edges of the window (48), pages (64) and spans (1,024)
MODELS = {
    "tiny-llama": (140, [0, 1, 31, 63, 64, 65, 127, 128, 139]),
    "tiny-gemma3": (140, [0, 1, 47, 48, 49, 63, 64, 95, 96, 112, 128, 139]),
    "tiny-long": (1100, [0, 63, 64, 1023, 1024, 1025, 1099]),
    "tiny-qwen3": (140, [0, 1, 63, 64, 127, 128, 139]),
}


def use_scaled_rope(model):
    """Rotation with the linear factor (of gemma3's global layers) and rope_freqs of a model."""
    factor = model.meta.get(f"{model.arch}.rope.scaling.factor", 1.0)
    factors = model.w("rope_freqs.weight") if "rope_freqs.weight" in model.raw else 1.0

    def rope(x, pos, base, neox):
        d = x.shape[-1]
        freq = base ** (-np.arange(0, d, 2) / d) / factors
        if not (model.arch == "gemma3" and base == 10000.0):
            freq = freq / factor
        turn = np.exp(1j * pos[:, None] * freq)[:, None]
        if neox:
            z = (x[..., : d // 2] + 1j * x[..., d // 2:]) * turn
            return np.concatenate([z.real, z.imag], -1)
        z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return np.stack([z.real, z.imag], -1).reshape(x.shape)

    forward.rope = rope


def main():
    folder = pathlib.Path(sys.argv[1])
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "tiny_logits.bin"
    with open(out, "wb") as f:
        for name, (n, positions) in MODELS.items():
            path = folder / f"{name}.gguf"
            model = forward.Model(str(path))
            use_scaled_rope(model)
            n_vocab = model.w("token_embd.weight").shape[0]
            tokens = [(i * i * 7 + i * 3 + 5) % n_vocab for i in range(n)]
            hidden = forward.hidden_states(model, tokens)
            rows = forward.log_probs(model, hidden[positions]).astype("<f4")
            f.write(struct.pack("<16s", name.encode()))
            f.write(hashlib.blake2b(path.read_bytes(), digest_size=32).digest())
            f.write(struct.pack(f"<3I{n}i", n, n_vocab, len(positions), *tokens))
            for position, row in zip(positions, rows):
                f.write(struct.pack("<I", position) + row.tobytes())


if __name__ == "__main__":
    main()
