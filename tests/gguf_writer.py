#!/usr/bin/env python3
"""Writes tiny GGUF models with random weights, for tests (bench/make-shape: large ones).

    gguf_writer.py --arch llama --dtype Q4_K --seed 1 OUT.gguf
    gguf_writer.py --arch gemma3 --dtype Q4_0,Q6_K,F16 --n-layer 7 --window 64 OUT.gguf

As a module: model(...) gives a File, which can be changed before File.to_bytes(). Everything is a
function of the arguments. Needs nothing beyond Python 3.9, so that tests run on a bare machine:
quantised matrices are random bits with block scales of a sensible size, rather than quantised
numbers; to a reader that is the same.
"""
import argparse
import array
import random
import statistics
import struct
import sys
from dataclasses import dataclass, field

# ---- format ------------------------------------------------------------------------------------

# kind -> (number in the file, struct code or None)
KINDS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"),
    "u32": (4, "I"), "i32": (5, "i"),
    "f32": (6, "f"), "bool": (7, "?"), "str": (8, None),
    "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d"),
}
ARRAY = 9

# name -> (ggml number, elements a block, bytes a block)
DTYPES = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "BF16": (30, 1, 2),
    "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210),
}


@dataclass
class Field:
    """A place in the written file and what stands there."""

    name: str
    offset: int
    n_bytes: int


@dataclass
class Tensor:
    name: str
    dims: list  # dims[0] is contiguous
    dtype: str
    data: bytes
    ggml_type: int = None  # instead of dtype's
    offset: int = None  # instead of the computed one


@dataclass
class File:
    version: int = 3
    alignment: int = 32
    kv: dict = field(default_factory=dict)  # key -> (kind, value); an array's kind is "[kind]"
    tensors: list = field(default_factory=list)
    fields: list = field(default_factory=list)  # of the last to_bytes()

    def tensor(self, name):
        return next(t for t in self.tensors if t.name == name)

    def remove_tensor(self, name):
        self.tensors = [t for t in self.tensors if t.name != name]

    def header(self):
        """All that comes before the tensors' data; self.fields then says where everything is."""
        out = bytearray()
        self.fields = []

        def put(name, data):
            self.fields.append(Field(name, len(out), len(data)))
            out.extend(data)

        def put_str(name, text):
            data = text if isinstance(text, bytes) else text.encode()
            put(name + ".length", struct.pack("<Q", len(data)))
            put(name, data)

        def put_value(name, kind, value):
            if kind == "str":
                put_str(name, value)
            else:
                put(name, struct.pack("<" + KINDS[kind][1], value))

        put("magic", b"GGUF")
        put("version", struct.pack("<I", self.version))
        put("tensor_count", struct.pack("<Q", len(self.tensors)))
        put("kv_count", struct.pack("<Q", len(self.kv)))
        for key, (kind, value) in self.kv.items():
            put_str(f"{key}/key", key)
            if not kind.startswith("["):
                put(f"{key}/type", struct.pack("<I", KINDS[kind][0]))
                put_value(f"{key}/value", kind, value)
                continue
            kind = kind[1:-1]
            put(f"{key}/type", struct.pack("<I", ARRAY))
            put(f"{key}/elem_type", struct.pack("<I", KINDS[kind][0]))
            put(f"{key}/count", struct.pack("<Q", len(value)))
            if kind == "str":
                for i, text in enumerate(value):
                    put_str(f"{key}/value[{i}]", text)
            else:
                put(f"{key}/value", struct.pack(f"<{len(value)}{KINDS[kind][1]}", *value))

        offset = 0
        for t in self.tensors:
            put_str(f"{t.name}/name", t.name)
            put(f"{t.name}/n_dims", struct.pack("<I", len(t.dims)))
            for i, dim in enumerate(t.dims):
                put(f"{t.name}/dims[{i}]", struct.pack("<Q", dim))
            ggml_type = DTYPES[t.dtype][0] if t.ggml_type is None else t.ggml_type
            put(f"{t.name}/type", struct.pack("<I", ggml_type))
            put(f"{t.name}/offset", struct.pack("<Q", offset if t.offset is None else t.offset))
            offset += -(-len(t.data) // self.alignment) * self.alignment
        return bytes(out)

    def to_bytes(self):
        """The file's bytes; self.fields then says where everything is."""
        out = bytearray(self.header())
        for t in self.tensors:
            for name, data in (("padding", bytes(-len(out) % self.alignment)), ("data", t.data)):
                self.fields.append(Field(f"{t.name}/{name}", len(out), len(data)))
                out.extend(data)
        return bytes(out)


# ---- random weights ----------------------------------------------------------------------------

# Of blocks whose bits are uniform: where d and dmin stand, the standard deviation of the weights for
# d = 1, and the ratio of dmin to d that makes the mean zero (types without a minimum: d of either
# sign).
LAYOUTS = {
    "Q4_0": (0, None, 4.6, None), "Q4_1": (0, 2, 4.6, -7.5), "Q5_0": (0, None, 9.2, None),
    "Q5_1": (0, 2, 9.2, -15.5), "Q8_0": (0, None, 74, None), "Q2_K": (80, 82, 14, 1.5),
    "Q3_K": (108, None, 43, None), "Q4_K": (0, 2, 257, 7.5), "Q5_K": (0, 2, 528, 15.5),
    "Q6_K": (208, None, 1370, None),
}

_normal = []  # 65,536 quantiles of the normal distribution, to draw from with 16 random bits


def normal_table():
    if not _normal:
        inv_cdf = statistics.NormalDist().inv_cdf
        _normal.extend(inv_cdf((i + 0.5) / 65536) for i in range(65536))
    return _normal


def f32(x):
    return struct.pack("<f", x)


def f16(x):
    return struct.pack("<e", x)


def bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def random_weights(rng, dtype, n, std):
    """n random weights of about this standard deviation and mean zero, as stored bytes."""
    if dtype in ("F32", "F16", "BF16"):
        pack = {"F32": f32, "F16": f16, "BF16": bf16}[dtype]
        table = [pack(std * x) for x in normal_table()]
        return b"".join(map(table.__getitem__, array.array("H", rng.randbytes(2 * n))))

    d_at, min_at, unit, ratio = LAYOUTS[dtype]
    _, block_elems, block_bytes = DTYPES[dtype]
    n_blocks, rest = divmod(n, block_elems)
    if rest:
        raise ValueError(f"{n} elements are not whole blocks of {dtype}")
    out = bytearray(rng.randbytes(n_blocks * block_bytes))
    for start in range(0, len(out), block_bytes):
        d = std / unit * rng.uniform(0.5, 1.5)
        if min_at is None:
            d *= rng.choice((-1, 1))
        else:
            struct.pack_into("<e", out, start + min_at, d * ratio)
        struct.pack_into("<e", out, start + d_at, d)
    return bytes(out)


# ---- tokenizers --------------------------------------------------------------------------------

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

WORDS = "the and that here one time in on there other stone sand land then".split()

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\\n' "
    "+ message['content'] + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)


def merges_of(space):
    """Merges (left, right) that build WORDS with and without a leading space, in order."""
    pairs = []
    for word in WORDS:
        for whole in (word, space + word):
            for i in range(1, len(whole)):
                if (whole[:i], whole[i]) not in pairs:
                    pairs.append((whole[:i], whole[i]))
    return pairs


def byte_level_alphabet():
    """GPT-2's printable character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + others.index(b)) for b in range(256)]


def add_gpt2_tokenizer(kv, n_vocab, pre):
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|tool|>"]
    tokens = specials + byte_level_alphabet()
    kinds = [CONTROL, CONTROL, CONTROL, USER_DEFINED] + [NORMAL] * 256
    if n_vocab < len(tokens):
        raise ValueError(f"a gpt2 vocabulary needs at least {len(tokens)} tokens")
    merges = []
    for left, right in merges_of("\u0120"):
        if len(tokens) < n_vocab and left + right not in tokens:
            tokens.append(left + right)
            kinds.append(NORMAL)
            merges.append(f"{left} {right}")
    fill_unused(tokens, kinds, n_vocab)
    kv["tokenizer.ggml.model"] = ("str", "gpt2")
    kv["tokenizer.ggml.pre"] = ("str", pre)
    kv["tokenizer.ggml.tokens"] = ("[str]", tokens)
    kv["tokenizer.ggml.token_type"] = ("[i32]", kinds)
    kv["tokenizer.ggml.merges"] = ("[str]", merges)
    kv["tokenizer.ggml.bos_token_id"] = ("u32", 0)
    kv["tokenizer.ggml.eos_token_id"] = ("u32", 2)
    kv["tokenizer.ggml.add_bos_token"] = ("bool", False)
    kv["tokenizer.ggml.add_space_prefix"] = ("bool", False)
    kv["tokenizer.chat_template"] = ("str", CHATML)


def add_spm_tokenizer(kv, n_vocab):
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    kinds = [CONTROL, CONTROL, CONTROL, UNKNOWN, CONTROL, CONTROL]
    tokens += [f"<0x{b:02X}>" for b in range(256)]
    kinds += [BYTE] * 256
    letters = ["\u2581", *sorted(set("".join(WORDS)))]
    if n_vocab < len(tokens) + len(letters):
        raise ValueError(f"a llama vocabulary needs at least {len(tokens) + len(letters)} tokens")
    pieces = []
    for left, right in merges_of("\u2581"):
        if len(tokens) + len(letters) + len(pieces) < n_vocab and left + right not in pieces:
            pieces.append(left + right)
    scores = [0.0] * len(tokens) + [-float(i) for i in range(len(pieces) + len(letters))]
    tokens += pieces + letters
    kinds += [NORMAL] * (len(pieces) + len(letters))
    scores += [0.0] * (n_vocab - len(scores))
    fill_unused(tokens, kinds, n_vocab)
    kv["tokenizer.ggml.model"] = ("str", "llama")
    kv["tokenizer.ggml.pre"] = ("str", "default")
    kv["tokenizer.ggml.tokens"] = ("[str]", tokens)
    kv["tokenizer.ggml.scores"] = ("[f32]", scores)
    kv["tokenizer.ggml.token_type"] = ("[i32]", kinds)
    kv["tokenizer.ggml.bos_token_id"] = ("u32", 2)
    kv["tokenizer.ggml.eos_token_id"] = ("u32", 1)
    kv["tokenizer.ggml.unknown_token_id"] = ("u32", 3)
    kv["tokenizer.ggml.padding_token_id"] = ("u32", 0)
    kv["tokenizer.ggml.add_bos_token"] = ("bool", True)
    kv["tokenizer.ggml.add_space_prefix"] = ("bool", False)
    kv["tokenizer.chat_template"] = ("str", TURNS)


def fill_unused(tokens, kinds, n_vocab):
    for i in range(n_vocab - len(tokens)):
        tokens.append(f"<unused{i}>")
        kinds.append(UNUSED)


# ---- models ------------------------------------------------------------------------------------


def model(arch="llama", dtype="Q4_K", seed=1, *, embd_dtype=None, d_model=256, n_layer=None,
          n_head=4, n_kv=2, d_head=None, d_ff=512, n_vocab=300, n_ctx=4096, window=None, eps=None,
          rope_base=None, rope_factor=None, rope_freqs=False, untied=False, tokenizer=None,
          pre="gpt-2", version=3, alignment=32, name=None, weights=random_weights):
    """A File with a whole model.

    dtype        one type, or several with commas: the matrices take them in turn; or a function
                 that gives the type of (tensor name, n_cols)
    embd_dtype   of token_embd.weight (and output.weight); the first of dtype unless given
    d_head       d_model / n_head unless given; n_head * d_head need not be d_model
    n_layer      2, or 6 for gemma3, whose sixth layer is the first global one
    window       gemma3's sliding window in tokens (512)
    rope_factor  a linear scaling factor of RoPE
    rope_freqs   add rope_freqs.weight, as Llama 3 has: factors 1 to 8 over the frequencies, or
                 those of a list
    untied       add output.weight instead of using token_embd.weight twice
    tokenizer    "gpt2" (the default) or "llama" (that of gemma3)
    weights      what makes the data of matrices: called as random_weights is
    """
    is_gemma = arch == "gemma3"
    has_head_norms = arch in ("gemma3", "qwen3")
    if rope_freqs and arch != "llama":
        raise ValueError(f"{arch} has no rope_freqs.weight")
    dtypes = [] if callable(dtype) else dtype.split(",")
    n_layer = n_layer or (6 if is_gemma else 2)
    key_dim = d_head or d_model // n_head
    eps = eps if eps is not None else (1e-6 if is_gemma else 1e-5)
    rope_base = rope_base or (1e6 if is_gemma else 1e4)
    rng = random.Random(seed)
    f = File(version=version, alignment=alignment)
    kv = f.kv
    kv["general.architecture"] = ("str", arch)
    kv["general.name"] = ("str", name or f"tiny {arch} {dtype} {seed}")
    if alignment != 32:
        kv["general.alignment"] = ("u32", alignment)
    kv[f"{arch}.block_count"] = ("u32", n_layer)
    kv[f"{arch}.context_length"] = ("u32", n_ctx)
    kv[f"{arch}.embedding_length"] = ("u32", d_model)
    kv[f"{arch}.feed_forward_length"] = ("u32", d_ff)
    kv[f"{arch}.attention.head_count"] = ("u32", n_head)
    kv[f"{arch}.attention.head_count_kv"] = ("u32", n_kv)
    kv[f"{arch}.attention.layer_norm_rms_epsilon"] = ("f32", eps)
    kv[f"{arch}.rope.freq_base"] = ("f32", rope_base)
    if is_gemma or d_head:
        kv[f"{arch}.attention.key_length"] = ("u32", key_dim)
        kv[f"{arch}.attention.value_length"] = ("u32", key_dim)
    if is_gemma:
        kv[f"{arch}.attention.sliding_window"] = ("u32", window or 512)
    else:
        kv[f"{arch}.rope.dimension_count"] = ("u32", key_dim)
        kv[f"{arch}.vocab_size"] = ("u32", n_vocab)
    if rope_factor:
        kv[f"{arch}.rope.scaling.type"] = ("str", "linear")
        kv[f"{arch}.rope.scaling.factor"] = ("f32", rope_factor)
    tokenizer = tokenizer or ("llama" if is_gemma else "gpt2")
    if tokenizer == "gpt2":
        add_gpt2_tokenizer(kv, n_vocab, pre)
    else:
        add_spm_tokenizer(kv, n_vocab)

    n_matrices = 0

    def matrix(name, n_cols, n_rows, kind=None, gain=1.0):
        nonlocal n_matrices
        if callable(dtype):
            kind = dtype(name, n_cols)
        elif kind is None:
            kind = dtypes[n_matrices % len(dtypes)]
            n_matrices += 1
        data = weights(rng, kind, n_cols * n_rows, gain * n_cols**-0.5)
        f.tensors.append(Tensor(name, [n_cols, n_rows], kind, data))

    def vector(name, n, values=None):
        values = values or [rng.gauss(1.0, 0.1) for _ in range(n)]
        f.tensors.append(Tensor(name, [n], "F32", struct.pack(f"<{n}f", *values)))

    q_dim, kv_dim = n_head * key_dim, n_kv * key_dim
    embd_dtype = embd_dtype or (dtypes[0] if dtypes else None)
    # So that next tokens have an entropy of a few nats (gemma3 multiplies embeddings by 16).
    embd_gain = 1.0 if is_gemma else 4.0
    matrix("token_embd.weight", d_model, n_vocab, embd_dtype, embd_gain)
    if rope_freqs:
        n_freqs = key_dim // 2
        if rope_freqs is True:
            rope_freqs = [1 + 7 * i / (n_freqs - 1) for i in range(n_freqs)]
        vector("rope_freqs.weight", n_freqs, rope_freqs)
    for i in range(n_layer):
        b = f"blk.{i}."
        vector(b + "attn_norm.weight", d_model)
        matrix(b + "attn_q.weight", d_model, q_dim)
        matrix(b + "attn_k.weight", d_model, kv_dim)
        matrix(b + "attn_v.weight", d_model, kv_dim)
        matrix(b + "attn_output.weight", q_dim, d_model)
        if has_head_norms:
            vector(b + "attn_q_norm.weight", key_dim)
            vector(b + "attn_k_norm.weight", key_dim)
        if is_gemma:
            vector(b + "post_attention_norm.weight", d_model)
        vector(b + "ffn_norm.weight", d_model)
        matrix(b + "ffn_gate.weight", d_model, d_ff)
        matrix(b + "ffn_up.weight", d_model, d_ff)
        matrix(b + "ffn_down.weight", d_ff, d_model)
        if is_gemma:
            vector(b + "post_ffw_norm.weight", d_model)
    vector("output_norm.weight", d_model)
    if untied:
        matrix("output.weight", d_model, n_vocab, embd_dtype, embd_gain)
    return f


def main():
    parser = argparse.ArgumentParser(description="Write a tiny GGUF model with random weights.")
    parser.add_argument("out", metavar="OUT.gguf")
    parser.add_argument("--arch", choices=("llama", "gemma3", "qwen3"), default="llama")
    parser.add_argument("--dtype", default="Q4_K",
                        help="of the matrices; several with commas take turns")
    parser.add_argument("--embd-dtype", choices=DTYPES,
                        help="of the embedding; default: the first of --dtype")
    parser.add_argument("--seed", type=int, default=1)
    for name in ("d-model", "n-head", "n-kv", "d-head", "d-ff", "n-vocab", "n-layer", "n-ctx",
                 "window", "alignment"):
        parser.add_argument("--" + name, type=int)
    for name in ("eps", "rope-base", "rope-factor"):
        parser.add_argument("--" + name, type=float)
    parser.add_argument("--rope-freqs", action="store_true", help="add rope_freqs.weight")
    parser.add_argument("--untied", action="store_true", help="add output.weight")
    parser.add_argument("--tokenizer", choices=("llama", "gpt2"))
    parser.add_argument("--pre", help="tokenizer.ggml.pre of a gpt2 tokenizer")
    parser.add_argument("--version", type=int, choices=(2, 3))
    options = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    out = options.pop("out")
    try:
        data = model(**options).to_bytes()
    except (ValueError, KeyError) as e:
        parser.error(str(e))
    with open(out, "wb") as f:
        f.write(data)


if __name__ == "__main__":
    sys.exit(main())
