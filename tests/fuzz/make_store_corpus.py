#!/usr/bin/env python3
"""Makes corpus/export, corpus/segment and corpus/catalog: recipes (store_recipe.h, fuzz_catalog.c), good
and bad, one for each path of recovery and of the reading of exports.

    python3 make_store_corpus.py

The output is a function of this file. Inputs that a fuzzer found are kept beside these under names
that begin with "found-".
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
PAGE, STATE, NAME, TAG, CHECKPOINT, INDEX = range(1, 7)
EXPORT, CHAIN = 1, 2


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def text(s):
    return u64(len(s)) + s


def record(kind, n_tokens=0, state=0, seq=0, parts=(b"", b"")):
    parts = (*parts, b"")[:2]
    return struct.pack("<BBBBHH", kind, n_tokens, state, seq, *map(len, parts)) + b"".join(parts)


def page(n_tokens=64, *planes):
    return record(PAGE, n_tokens, parts=planes or (b"plane 0", b"plane 1"))


def state(number, n_pages, n_tail=0, seq=None, parent=0, window=0, card=b"{}", name=b"", tags=()):
    body = u64(parent, window, n_pages) + bytes(32 * n_pages) + text(card) + text(b"")
    body += text(name) + u64(len(tags)) + b"".join(map(text, tags))
    return record(STATE, n_tail, number, number if seq is None else seq, (body,))


def name(seq, op, *names, number=0):
    return record(NAME, 0, number, seq, (u64(op) + b"".join(map(text, names)),))


def tag(seq, number, t, is_set=1):
    return record(TAG, 0, number, seq, (u64(is_set) + text(t),))


def checkpoint(seq, last, states, moves=(), tags=()):
    body = u64(last, len(states), *states, len(moves))
    body += b"".join(u64(s, 0, n) + text(t) for s, n, t in moves)
    body += u64(len(tags)) + b"".join(u64(n) + text(t) for n, t in tags)
    return record(CHECKPOINT, 0, 0, seq, (body,))


def index(seq, n):
    return record(INDEX, 0, 0, seq, (u64(n),))


def patch(offset, data, is_after=False):
    return bytes([0xf1 if is_after else 0xf0]) + struct.pack("<I", offset)[:3] \
        + bytes([len(data)]) + data


def cut(offset):
    return b"\xf2" + struct.pack("<I", offset)[:3]


FOUR = page() + page(64, b"plane 0") + page(64, b"", b"plane 1") + page(9)
TWO = state(1, 3, 9, name=b"a", tags=(b"t", b"u"), window=1) + state(2, 2, parent=1, name=b"a")


def segments():
    yield "empty", b""
    yield "pages", FOUR
    yield "states", FOUR + TWO
    yield "names", FOUR + TWO + name(3, 1, b"b", number=1) + name(4, 2, b"a", b"c") \
        + name(5, 3, b"b") + tag(6, 1, b"v") + tag(7, 1, b"t", 0)
    yield "checkpoint", FOUR + TWO + checkpoint(3, 5, [2], [(2, 2, b"a")], [(2, b"x")]) \
        + state(6, 1, seq=4, name=b"z")
    yield "checkpoint-newer-seq", FOUR + TWO + checkpoint(3, 5, [2], [(9, 2, b"a")])
    yield "checkpoint-twice", FOUR + TWO + checkpoint(3, 2, [1]) + checkpoint(4, 2, [7])
    yield "same-seq", FOUR + state(1, 1, seq=3) + state(2, 2, seq=3) + state(1, 2, seq=4)
    yield "page-twice", FOUR + page()
    yield "page-lost", state(1, 0) + page() + state(2, 1) + patch(8192 + 4096, b"Z", True)
    yield "no-parts", record(PAGE, 64) + record(STATE, 0, 1, 1) + record(NAME, 0, 1, 2)
    yield "seq-0", state(1, 0, seq=0) + name(0, 1, b"a", number=1)
    yield "seq-large", state(1, 0) + patch(4096 + 40, b"\xff" * 7 + b"\x7f")
    yield "id-large", state(1, 0) + patch(4096 + 56, b"\xff" * 7 + b"\x7f")
    yield "id-0", state(0, 0, seq=1, name=b"a")
    yield "cut", FOUR + TWO + cut(4096 * 5 + 100)
    for field, offset, value in [
        ("magic", 0, b"LULL"), ("type", 8, b"\7"), ("tokens", 12, b"\x41"),
        ("bytes", 16, b"\1"), ("bytes-far", 22, b"\1"), ("offset", 25, b"\x20"),
        ("segment", 32, b"\2"), ("seq", 47, b"\x80"), ("key", 64, b"k"),
        ("parent", 96, b"p"), ("part", 160, b"\1"), ("part-far", 166, b"\1"),
        ("part-long", 174, b"\1"), ("sum", 4080, b"s"),
    ]:
        yield f"bad-{field}", page() + state(1, 1, name=b"a") \
            + patch(4096 + offset, value, field == "sum")
    body = 4096 * 5
    for field, offset, value in [
        ("window", 12, b"\1"), ("pages", 16, b"\x09"), ("pages-far", 23, b"\1"),
        ("card", 24 + 32, b"\xff"), ("card-nul", 24 + 40, b"\0"), ("tags", 24 + 32 + 8 + 2 + 16, b"\xff"),
    ]:
        yield f"bad-body-{field}", page() + state(1, 1) + patch(body + offset, value)
    for field, offset, value in [("magic", 0, b"x"), ("version", 8, b"\2"), ("id", 16, b"\2"),
                                 ("id-0", 16, b"\0"), ("sum", 4090, b"x")]:
        yield f"bad-header-{field}", FOUR + TWO + patch(offset, value, field == "sum")


def exports():
    for label, body in segments():
        yield label, body + index(40, 2)
    yield "no-index", FOUR + TWO
    yield "index-early", index(1, 2) + FOUR + TWO
    yield "left-out", page() + state(1, 3) + index(9, 1)
    yield "bad-name", page() + state(1, 1, name=b"a/b") + name(2, 1, b"-x", number=1) + index(3, 1)
    yield "bad-tag", page() + state(1, 1, tags=(b"a\nb",)) + index(3, 1)
    yield "no-state", name(1, 1, b"a", number=7) + index(2, 0)


def catalogs():
    def row(what, which, field, value):
        return struct.pack("<BBBQ", what, which, field, value)
    yield "good", b"\0"
    for i, offset in enumerate([0, 18, 24, 28, 60, 68, 100, 103, 105, 108, 200, 4096, 4100, 8192,
                                12288, 20480]):
        yield f"flipped-{offset}", b"\0" + struct.pack("<I", offset)[:3] + b"\2" + bytes([i, 255])
    yield "raw-empty", b"\1"
    yield "raw-text", b"\1not a database " * 9
    far = 2**63 - 1
    for field in range(9):
        for value in (0, 4096, far):
            yield f"page-{field}-{value}", b"\2" + row(2, 1, field, value)
            yield f"state-{field}-{value}", b"\2" + row(4, 1, field, value)
    for value in (0, 99, far):
        yield f"state-page-{value}", b"\2" + row(4, 2, 16, value)
        yield f"counter-seq-{value}", b"\2" + row(8, 1, 0, value)
        yield f"counter-state-{value}", b"\2" + row(8, 2, 0, value)
        yield f"committed-{value}", b"\2" + row(0, 1, 0, value)
        yield f"sealed-{value}", b"\2" + row(0, 1, 1, value)
        yield f"move-{value}", b"\2" + row(6, 9, 0, value)
        yield f"tag-{value}", b"\2" + row(7, 0, 1, value)
    yield "segment-missing", b"\2" + row(0, 7, 1, 8192)
    yield "dropped", b"\2" + row(1, 1, 0, 0) + row(3, 1, 0, 0) + row(5, 1, 0, 0)


def write(folder, inputs):
    folder = HERE / "corpus" / folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("found-"):
            old.unlink()
    for label, data in inputs:
        (folder / label).write_bytes(data)


def main():
    write("segment", ((label, bytes([CHAIN]) + r) for label, r in segments()))
    write("export", ((label, bytes([CHAIN | EXPORT]) + r) for label, r in exports()))
    write("catalog", catalogs())


if __name__ == "__main__":
    main()
