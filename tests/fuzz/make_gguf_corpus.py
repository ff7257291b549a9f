#!/usr/bin/env python3
"""Makes corpus/gguf: small files, good and bad, one for each path of the reader.

    python3 make_gguf_corpus.py [FOLDER]

The output is a function of this file and ../gguf_writer.py. Inputs that a fuzzer found are kept
beside these under names that begin with "found-".
"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gguf_writer import DTYPES, File, Tensor  # noqa: E402


def tensor(name="t", dims=(32,), dtype="Q8_0", **more):
    n = 1
    for dim in dims:
        n *= dim
    _, elems, size = DTYPES[dtype]
    data = bytes((7 * i + len(name)) % 251 for i in range(n // elems * size))
    return Tensor(name, list(dims), dtype, data, **more)


def with_tensors(*tensors, **more):
    return File(tensors=list(tensors), **more)


def patched(f, field, data):
    """The file with the bytes of one field replaced."""
    out = bytearray(f.to_bytes())
    place = next(p for p in f.fields if p.name == field)
    out[place.offset:place.offset + place.n_bytes] = data
    return bytes(out)


def u32(v):
    return struct.pack("<I", v)


def u64(v):
    return struct.pack("<Q", v)


def good_files():
    yield "empty-model", File()
    yield "version-2", File(version=2, kv={"a.b": ("u32", 7)})
    values = {"u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4000000000, "i32": -2,
              "f32": 1.5, "bool": True, "str": "text", "u64": 2**63, "i64": -2**63, "f64": -0.25}
    yield "scalars", File(kv={f"key.{k}": (k, v) for k, v in values.items()})
    yield "arrays", File(kv={f"key.{k}": (f"[{k}]", [v, v]) for k, v in values.items()})
    yield "empty-arrays", File(kv={f"key.{k}": (f"[{k}]", []) for k in values})
    yield "strings", File(kv={"tokens": ("[str]", ["", "a", "\u2581the", b"\xff\x00\x1b[31m"])})
    for dtype, (_, elems, _) in DTYPES.items():
        yield f"type-{dtype}", with_tensors(tensor(dims=(elems,), dtype=dtype))
    yield "four-dims", with_tensors(tensor(dims=(2, 3, 1, 2), dtype="F32"))
    yield "several", with_tensors(
        tensor("a"), tensor("b", (64, 2), "Q4_0"), tensor("c", (3,), "F16"))
    for alignment in (8, 128):
        yield f"alignment-{alignment}", with_tensors(
            tensor("a"), tensor("b"),
            kv={"general.alignment": ("u32", alignment)}, alignment=alignment)


def bad_files():
    one = with_tensors(tensor("t"), kv={"k": ("u32", 1), "s": ("str", "x"), "a": ("[u32]", [1, 2])})
    whole = one.to_bytes()
    for end in (0, 3, 8, 23, 40, len(whole) - 1):
        yield f"cut-{end:03d}", whole[:end]
    for field, data in {
        "magic": b"GGML", "version": u32(1), "tensor_count": u64(2**63), "kv_count": u64(65537),
        "k/key": b"\n", "k/key.length": u64(2**64 - 1), "k/type": u32(13),
        "s/value.length": u64(2**62),
        "a/elem_type": u32(9), "a/count": u64(2**62), "t/name.length": u64(65), "t/n_dims": u32(5),
        "t/dims[0]": u64(0), "t/type": u32(23), "t/offset": u64(1),
    }.items():
        yield "bad-" + field.replace("/", "-").replace("[0]", ""), patched(one, field, data)
    yield "bad-big-endian", b"GGUF" + struct.pack(">I", 3) + whole[8:]
    yield "bad-offset-far", patched(one, "t/offset", u64(2**64 - 32))
    yield "bad-dims-product", patched(with_tensors(tensor(dims=(32, 2))), "t/dims[1]", u64(2**60))
    yield "bad-row", patched(with_tensors(tensor(dims=(32, 2))), "t/dims[0]", u64(16))
    yield "bad-bool", patched(File(kv={"b": ("bool", True)}), "b/value", b"\x02")
    two = File(kv={"ka": ("u32", 1), "kb": ("u32", 2)})
    yield "bad-key-twice", patched(two, "kb/key", b"ka")
    two = with_tensors(tensor("ta"), tensor("tb"))
    yield "bad-name-twice", patched(two, "tb/name", b"ta")
    yield "bad-overlap", patched(two, "tb/offset", u64(0))
    for alignment in (0, 4, 33, 2**31):
        yield f"bad-alignment-{alignment}", File(kv={"general.alignment": ("u32", alignment)})
    yield "bad-alignment-type", File(kv={"general.alignment": ("str", "32")})


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("found-"):
            old.unlink()
    for name, f in [*good_files(), *bad_files()]:
        (folder / name).write_bytes(f if isinstance(f, bytes) else f.to_bytes())


if __name__ == "__main__":
    main()
