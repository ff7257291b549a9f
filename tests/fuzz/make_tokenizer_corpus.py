#!/usr/bin/env python3
"""Makes corpus/tokenizer, texts with small vocabularies, good and bad; and corpus/encode, texts
for the vocabularies of fuzz_encode.c.

    python3 make_tokenizer_corpus.py [FOLDER]

The output is a function of this file and ../gguf_writer.py. Inputs that a fuzzer found are kept
beside these under names that begin with "found-".
"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gguf_writer import (BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, File,  # noqa: E402
                         byte_level_alphabet)

SPECIAL, BOS = 1, 2
N_VOCABULARIES = 8  # of fuzz_encode.c

TEXTS = {
    "words": "don't stop the ab ab's 123 45678\n\n  x\ty \r\n!?".encode(),
    "specials": b"<s>ab<tool>  ab<|im_end|> a <s> </s><tool",
    "unicode": "é 日本語 👩‍👩‍👧 İ ² \u3000 \u180e \u0378 \U00031350 \U00011f45".encode(),
    "damaged": b"a\xff\xe6\x97 \xed\xa0\x80\xf0\x9f\x98 \xc0\x80\xf4\x90\x80\x80b\xe6",
    "runs": b"a" * 300 + b" " * 100 + b"1" * 50 + b"\n" * 20,
    "empty": b"",
}


def entry(text, flags, f):
    data = f if isinstance(f, bytes) else f.to_bytes()
    return struct.pack("<BH", flags, len(text)) + text + data


def bpe(pre="default", **more):
    letters = byte_level_alphabet()
    used = [letters[b] for b in sorted({*b"abdt's123 \n", 0xE6, 0x97, 0xA5, 0xFF})]
    kv = {
        "tokenizer.ggml.model": ("str", "gpt2"),
        "tokenizer.ggml.pre": ("str", pre),
        "tokenizer.ggml.tokens": ("[str]", ["<|im_end|>", "<s>", "<tool>", "ab", "aa", *used]),
        "tokenizer.ggml.token_type": ("[i32]", [CONTROL, CONTROL, USER_DEFINED, NORMAL, NORMAL]
                                      + [NORMAL] * len(used)),
        "tokenizer.ggml.merges": ("[str]", ["a b", "\u0120 ab", "a a", "aa aa", "1 2"]),
    }
    kv.update(more)
    return File(kv={k: v for k, v in kv.items() if v})


def spm(**more):
    tokens = ["<unk>", "<s>", "</s>", "<tool>", "\u2581", "\u2581a", "ab", "a", "b", "aa", "b\u2581a",
              *(f"<0x{b:02X}>" for b in (0x0A, 0x31, 0xE6, 0xFF))]
    kinds = [UNKNOWN, CONTROL, CONTROL, USER_DEFINED] + [NORMAL] * 7 + [BYTE] * 4
    kv = {
        "tokenizer.ggml.model": ("str", "llama"),
        "tokenizer.ggml.tokens": ("[str]", tokens),
        "tokenizer.ggml.token_type": ("[i32]", kinds),
        "tokenizer.ggml.scores": ("[f32]", [-float(i % 5) for i in range(len(tokens))]),
    }
    kv.update(more)
    return File(kv={k: v for k, v in kv.items() if v})


def key(name, kind, value):
    return {f"tokenizer.ggml.{name}": (kind, value)}


def vocabularies():
    for pre in ("smollm", "gpt-2", "llama-bpe", "qwen2", "default"):
        yield pre, bpe(pre)
    yield "bos", bpe(**key("bos_token_id", "u32", 1))
    yield "spm", spm()
    yield "no-prefix", spm(**key("add_space_prefix", "bool", False))
    yield "phi-3", spm(**{"general.name": ("str", "phi-3")})


def bad_files():
    yield "model", spm(**key("model", "str", "bert"))
    yield "pre", bpe("none")
    yield "types", spm(**key("token_type", "[i32]", [1, 2]))
    yield "type", bpe(**key("token_type", "[i32]", [99] * 19))
    yield "scores", spm(**key("scores", "[f32]", [float("nan")] * 15))
    yield "no-tokens", spm(**{"tokenizer.ggml.tokens": None})
    yield "no-merges", bpe(**{"tokenizer.ggml.merges": None})
    yield "merges", bpe(**key("merges", "[str]", ["a b", "ab"]))
    yield "id", spm(**key("eos_token_id", "u32", 15))
    yield "same-tokens", spm(**key("tokens", "[str]", ["a"] * 15))
    yield "empty-tokens", spm(**key("tokens", "[str]", [""] * 15))
    yield "bytes", bpe(**key("merges", "[str]", [b"\xff \xfe", b"\x00 \x00", "  a"]))


def fresh_folder(corpus, name):
    folder = corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("found-"):
            old.unlink()
    return folder


def write_tokenizer(folder):
    for i, (name, f) in enumerate(vocabularies()):
        for k, (text_name, text) in enumerate(TEXTS.items()):
            flags = SPECIAL if (i + k) % 2 else 0
            if name in ("bos", "spm"):
                flags |= BOS
            (folder / f"{name}-{text_name}").write_bytes(entry(text, flags, f))
    for name, f in bad_files():
        (folder / f"bad-{name}").write_bytes(entry(TEXTS["words"], SPECIAL, f))


def write_encode(folder):
    texts = dict(TEXTS)
    texts["merges"] = (b" the  the aaa aaaaa thhe 12121 21 a's's a  a a !! !!!\r\n \n\n<s><im> "
                       b"aaathe aaa the \xe0\xa9 the\xc3\xa9 the ") + "日日日 日日日日本".encode()
    texts["right-merged"] = b"  a "  # a symbol that has gone into its left has a pair in the heap
    for i in range(N_VOCABULARIES):
        for name, text in texts.items():
            (folder / f"{i}-{name}").write_bytes(bytes([i]) + text)


def main():
    corpus = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"
    for name, write in (("tokenizer", write_tokenizer), ("encode", write_encode)):
        folder = fresh_folder(corpus, name)
        write(folder)
        print(f"{len(list(folder.iterdir()))} files in {folder}")


if __name__ == "__main__":
    main()
