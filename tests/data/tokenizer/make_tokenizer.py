#!/usr/bin/env python3
"""Makes the golden token ids in this folder: what llama.cpp's tokenizers say.

    python3 make_tokenizer.py SMOLLM2.gguf GEMMA3.gguf

Needs llama-cpp-python (0.3.36 made the committed files). The output is a function of this file, of
../texts, ../../gguf_writer.py and the two models (scripts/fetch-model).

bpe.gguf, spm.gguf  small vocabularies whose merges go across words, so that every border shows
cases.bin           texts
<variant>.bin       their ids in a real model, or in a small vocabulary with the keys of VARIANTS
variants.txt        a line each: variant, file, keys to add to the file (key=kind:value)

Numbers are unsigned LEB128. cases.bin: count; each: bytes, repeats, the bytes, which stand that
many times in a row. <variant>.bin: bos + 1, eos + 1, adds_bos, count of ends, their ids; then for
each case the ids without and with special tokens. Ids: count + 1, then id + 1 each, or 0 and a
number: the last id that many times more. Count 0 alone: llama.cpp's ids are no example, because
they stand for another text (bytes that are not UTF-8 are replaced in byte-level vocabularies; the
name of a byte token becomes that byte) or hold a control token that was not asked for. Count 1
alone where special tokens are parsed: the same ids as without.
"""
import collections
import ctypes
import os
import pathlib
import random
import sys
import tempfile
import unicodedata

import llama_cpp

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
from gguf_writer import (BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, File,  # noqa: E402
                         byte_level_alphabet)

SEED = 2027
UNKNOWN_BIT, CONTROL_BIT = 1 << 0, 1 << 3  # of llama_token_attr

# ---- texts -------------------------------------------------------------------------------------

WORDS = r"""the Hello world don't I'LL we've it's you're I'm she'd they'Re o'clock ''s 'tis rock'n'roll
日本語 漢字仮名 한국어 עברית العربية हिन्दी ไทย Ελληνικά русский tiếng naïve ñandú ß İ ſ ﬁ ǅ
😀 👩‍👩‍👧 👍🏽 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿 é e\u0301 Z̷̛ ｆｕｌｌ １２３ ١٢٣ ² ½ Ⅷ ㊿ 𝔘𝔫𝔦 𝟘𝟙 𒐀 12 123 1234 12345678 3.14 1,000
x_y fooBar a.b.c f(x) {} [] <> <a> </p> <h1> -> == != >= && || $x ${y} #! // /* */ +1 ~^` @me 50% § ¶
— … “q” ‘s ¿ ¡ 、 。 「」 ！ ﹏ _ ▁ ▁▁ ▁the \ufeff \u200b \u200d \u00ad \u180e \x00 \x01 \x1c \x7f \x80
\x85 \xa0 \u1680 \u2003 \u2028 \u2029 \u202f \u205f \u3000 \u0378 \U000e0001 \U0010ffff
<|im_start|> <|im_end|> <|endoftext|> <bos> <eos> <start_of_turn> <end_of_turn> <unk> <s> </s> <mask>
<unused1> <tool <tool> <|tool|> <0x41> <0xE6> [EMPTY_3] hello worldly""".split()
WORDS = [w.encode().decode("unicode_escape") if "\\" in w else w for w in WORDS]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", "\r\n", "\r", " \n", "\n ", "\v\f",
          "        ", "\u3000 "]
ADDED = [0x1123F, 0x11B05, 0x11F02, 0x11F45, 0x11F55, 0x1D2C5, 0x1E030, 0x1E4D5, 0x1E4F5, 0x2B739,
         0x2EBF5, 0x31350, 0x323AF]  # Unicode 15.0 and 15.1
BORDERS = "xcx 1c1 .c. c\nc c 'cc"  # c beside each class
DAMAGED = [b"\xff", b"\x80", b"\xc0\x80", b"\xe6\x97", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc3",
           b"\xf4\x90\x80\x80", b"\xfe\xfe", b"\xe6", b"\xf0\x9f", b"\xe2\x96"]


def is_assigned(c):
    return unicodedata.category(chr(c)) not in ("Cn", "Cs")


def random_char(rng):
    while True:
        c = rng.choice([rng.randint(0, 127), rng.randint(0xA0, 0x2FF), rng.randint(0x300, 0x1FFF),
                        rng.randint(0x2000, 0xFFFF), rng.randint(0x10000, 0x1FFFF),
                        rng.choice(ADDED)])
        if is_assigned(c) or c in ADDED:
            return chr(c)


def make_cases():
    """(bytes, repeats)"""
    rng = random.Random(SEED)
    cases = [(w.encode(), 1) for w in WORDS + SPACES]
    cases += [((a + b).encode(), 1) for a in SPACES for b in ("a", "1", "!", " a", "'s", "\n")]
    cases += [(("a" + s).encode(), 1) for s in SPACES]
    for unit, n in (("a", 3000), ("ab", 1000), (" ", 2000), ("\n", 500), ("\t", 100), ("1", 600),
                    ("日", 700), ("!", 400), ("\u00a0", 50), ("é", 500), ("👍🏽", 100),
                    ("<|im_end|>", 20), ("'s", 100), (" \n", 100), ("the ", 400), ("\x85", 10)):
        cases.append((unit.encode(), n))
    for _ in range(150):  # words
        text = ""
        for _ in range(rng.randint(2, 10)):
            text += rng.choice(WORDS) + rng.choice(SPACES + [""] * 6 + [" "] * 12)
        cases.append((text.encode(), 1))
    for c in (0x41, 0x31, 0x2E, 0x24, 0xB2, 0xE9, 0x301, 0x85, 0xA0, 0x180E, 0x2028, 0xFFFD, 0x378,
              0x4E00, 0xAC00, 0x10400, 0x104A0, 0x10100, 0x1F600, 0xE0001, *ADDED):
        cases.append((BORDERS.replace("c", chr(c)).encode(), 1))
    for _ in range(60):  # characters
        text = "".join(random_char(rng) for _ in range(rng.randint(1, 16)))
        cases.append((text.encode(), 1))
    for _ in range(20):  # numbers
        text = " ".join(str(rng.randint(0, 10**rng.randint(1, 15))) for _ in range(5))
        cases.append((text.replace(" ", rng.choice([" ", ",", "", "x"])).encode(), 1))
    for path in sorted((HERE.parent / "texts").glob("*.txt")):
        text = path.read_bytes()
        for at in range(0, min(len(text), 1600), 400):
            cases.append((text[at:at + 400], 1))  # may cut a character in two
    for _ in range(40):
        text = b""
        for _ in range(rng.randint(1, 6)):
            text += rng.choice(DAMAGED) + rng.choice(WORDS[:60] + SPACES + [""] * 20).encode()
        cases.append((text, 1))
    return cases


# ---- small vocabularies ------------------------------------------------------------------------


def train(chunks, n_merges):
    """Byte-pair encoding of chunks, lists of symbols: the merges in order."""
    merges = []
    while len(merges) < n_merges:
        counts = collections.Counter(p for c in chunks for p in zip(c, c[1:]))
        (left, right), _ = max(counts.items(), key=lambda item: (item[1], item[0]))
        merges.append((left, right))
        for c in chunks:
            i = 0
            while i + 1 < len(c):
                if c[i] == left and c[i + 1] == right:
                    c[i:i + 2] = [left + right]
                i += 1
    return merges


def corpus():
    """Texts in pieces of a few words: merges go across words, but not too far."""
    rng = random.Random(SEED + 1)
    text = "".join(p.read_text() for p in sorted((HERE.parent / "texts").glob("*.txt")))
    text = text[:6000] + "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(900))
    text += "".join(str(rng.randint(0, 99999)) + rng.choice([" ", "", "\n"]) for _ in range(300))
    text += "aaaaaaaa" * 8 + " " * 64 + "\n" * 32 + "\t" * 16
    return [text[i:i + 24] for i in range(0, len(text), 24)]


BASE = {"general.architecture": ("str", "llama")}


def make_bpe():
    alphabet = byte_level_alphabet()
    chunks = [[alphabet[b] for b in c.encode()] for c in corpus()]
    merges = train(chunks, 500)
    # The first and last byte of every character beside ASCII of each class: otherwise a border of
    # words there would not show.
    beside = [alphabet[b] for b in b"ax1. \n'"]
    merges += [(a, alphabet[b]) for a in beside for b in range(0xC2, 0xF5)]
    merges += [(alphabet[b], a) for a in beside for b in range(0x80, 0xC0)]
    tokens = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL),
              ("<unk>", UNKNOWN), ("<|tool|>", USER_DEFINED), ("<tool", USER_DEFINED),
              ("\n\n\n", USER_DEFINED), ("<mask>", CONTROL), ("<tool>", CONTROL)]
    tokens += [(c, NORMAL) for b, c in enumerate(alphabet) if b != 0x1C]  # one byte is no token
    words = {t for t, _ in tokens}
    for i, (left, right) in enumerate(merges):
        if (i % 25 != 7 or i >= 500) and left + right not in words:  # some symbols are no tokens
            words.add(left + right)
            tokens.append((left + right, NORMAL))
    for word in ("hello", "\u0120worldly", "worldly", "12345678", "\u0120" * 8):  # no merge makes them
        if word not in words:
            tokens.append((word, NORMAL))
    f = File(kv=dict(BASE))
    f.kv["tokenizer.ggml.model"] = ("str", "gpt2")
    f.kv["tokenizer.ggml.tokens"] = ("[str]", [t for t, _ in tokens])
    f.kv["tokenizer.ggml.token_type"] = ("[i32]", [k for _, k in tokens])
    f.kv["tokenizer.ggml.merges"] = ("[str]", [f"{a} {b}" for a, b in merges])
    f.kv["tokenizer.ggml.bos_token_id"] = ("u32", 1)
    f.kv["tokenizer.ggml.eos_token_id"] = ("u32", 0)
    return f


def make_spm():
    space = "\u2581"
    chunks = [list(c.replace(" ", space)) for c in corpus()]
    merges = train(chunks, 500)
    tokens = [("<unk>", UNKNOWN, 0.0), ("<s>", CONTROL, 0.0), ("</s>", CONTROL, 0.0)]
    tokens += [(f"<0x{b:02X}>", BYTE, 0.0) for b in range(256)]
    tokens += [("<|im_start|>", CONTROL, 0.0), ("<|im_end|>", CONTROL, 0.0),
               ("<|endoftext|>", CONTROL, 0.0), ("<|tool|>", USER_DEFINED, 0.0),
               ("<tool", USER_DEFINED, 0.0), ("\n\n\n", USER_DEFINED, 0.0),
               ("  ", USER_DEFINED, 0.0), ("<tool>", CONTROL, 0.0)]
    words = {t for t, _, _ in tokens}
    letters = sorted({c for chunk in corpus() for c in chunk.replace(" ", space)})
    # Scores in steps: pairs of one score are merged from the left.
    pieces = [(a + b, -float(i // 3)) for i, (a, b) in enumerate(merges)]
    pieces += [(c, -1000.0 - i) for i, c in enumerate(letters) if i % 9 != 4]  # some are no tokens
    for word, score in pieces:
        if word not in words and "\0" not in word:  # llama.cpp reads strings up to a NUL
            words.add(word)
            tokens.append((word, NORMAL, score))
    f = File(kv=dict(BASE))
    f.kv["tokenizer.ggml.model"] = ("str", "llama")
    f.kv["tokenizer.ggml.tokens"] = ("[str]", [t for t, _, _ in tokens])
    f.kv["tokenizer.ggml.token_type"] = ("[i32]", [k for _, k, _ in tokens])
    f.kv["tokenizer.ggml.scores"] = ("[f32]", [s for _, _, s in tokens])
    return f


def pre(name):
    return {"tokenizer.ggml.pre": ("str", name)}


VARIANTS = {
    "bpe-smollm": ("bpe", pre("smollm")),
    "bpe-gpt-2": ("bpe", pre("gpt-2")),
    "bpe-llama-bpe": ("bpe", pre("llama-bpe")),
    "bpe-dbrx": ("bpe", pre("dbrx")),
    "bpe-qwen2": ("bpe", pre("qwen2")),
    "bpe-default": ("bpe", {}),
    "bpe-jina-v2-de": ("bpe", pre("jina-v2-de")),
    "spm": ("spm", {}),
    "spm-no-prefix": ("spm", {"tokenizer.ggml.add_space_prefix": ("bool", False),
                              "tokenizer.ggml.add_bos_token": ("bool", False)}),
    "spm-phi-3": ("spm", {"general.name": ("str", "Tiny Phi-3 test"),
                          "tokenizer.ggml.eos_token_id": ("u32", 261)}),
}

# ---- output ------------------------------------------------------------------------------------


def number(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def packed(ids):
    out, i = number(len(ids) + 1), 0
    while i < len(ids):
        n = 1
        while i + n < len(ids) and ids[i + n] == ids[i]:
            n += 1
        out += number(ids[i] + 1)
        out += number(0) + number(n - 1) if n > 2 else number(ids[i] + 1) * (n - 1)
        i += n
    return out


def is_text(b):
    try:
        b.decode("utf-8", "surrogatepass")
        return True
    except UnicodeDecodeError:
        return False


def write_ids(path, model, cases):
    llama = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    ends = [i for i in range(llama.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocab, i)]
    out = number(llama.token_bos() + 1) + number(llama.token_eos() + 1)
    out += number(int(llama_cpp.llama_vocab_get_add_bos(vocab)))
    out += number(len(ends)) + b"".join(map(number, ends))
    is_spm = llama_cpp.llama_vocab_type(vocab) == 1

    def text_of(ids):
        buf, text = ctypes.create_string_buffer(512), b""
        for i in ids:
            n = llama_cpp.llama_token_to_piece(vocab, i, buf, 512, 0, True)
            text += buf.raw[:n]
        return b"".join(text.split())

    def is_example(text):
        if not is_spm and not is_text(text):
            return False
        ids = llama.tokenize(text, add_bos=False, special=False)
        if any(llama_cpp.llama_vocab_get_attr(vocab, i) & (CONTROL_BIT | UNKNOWN_BIT) for i in ids):
            return False
        space = "\u2581".encode()
        return not is_spm or text_of(ids) == b"".join(text.replace(space, b" ").split())

    for unit, n in cases:
        text = unit * n
        if not is_example(text):
            out += number(0) + number(0)
            continue
        plain, special = (llama.tokenize(text, add_bos=False, special=s) for s in (False, True))
        out += packed(plain)
        out += number(1) if special == plain and plain else packed(special)
    path.write_bytes(out)
    print(path.name, len(out))


def main():
    smollm2, gemma3 = sys.argv[1:]
    cases = make_cases()
    out = number(len(cases))
    for unit, n in cases:
        out += number(len(unit)) + number(n) + unit
    (HERE / "cases.bin").write_bytes(out)
    print("cases.bin", len(cases), len(out))
    files = {"bpe": make_bpe, "spm": make_spm}
    for name, make in files.items():
        (HERE / f"{name}.gguf").write_bytes(make().to_bytes())
    write_ids(HERE / "smollm2-135m.bin", smollm2, cases)
    write_ids(HERE / "gemma3-270m.bin", gemma3, cases)
    lines = []
    for name, (file, kv) in VARIANTS.items():
        f = files[file]()
        f.kv.update(kv)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "v.gguf"
            path.write_bytes(f.to_bytes())
            write_ids(HERE / f"{name}.bin", path, cases)
        keys = [f"{k}={kind}:{int(v) if kind != 'str' else v}" for k, (kind, v) in kv.items()]
        lines.append("\t".join([name, file, *keys]) + "\n")
    (HERE / "variants.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
