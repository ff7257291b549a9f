#!/usr/bin/env python3
"""Decodes a store and an export by what docs/format-store.md says, and by nothing else: offsets and sizes are
read from its tables. What comes out must be what the store says it holds.

    store_format.py --maker TEST_STORE --doc FORMAT_STORE_MD

Checksums are XXH3 and not computed here; the pages' keys are.
"""
import argparse
import hashlib
import pathlib
import re
import struct
import subprocess
import tempfile

BLOCK = 4096


def tables(doc):
    """{heading: [{column: cell}, ...]}, the tables under one heading joined."""
    out, heading, columns = {}, "", None
    for line in doc.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            columns = None
            continue
        cells = [c.strip() for c in line.strip("|").split("|")]
        if columns is None:
            columns = cells
        elif not set("".join(cells)) <= set("-"):
            out.setdefault(heading, []).append(dict(zip(columns, cells)))
    return out


def fields(rows):
    """{name: (offset, size or None)} of a table of bytes."""
    out = {}
    for row in rows:
        offset = row.get("offset", "").replace(",", "")
        size = row.get("size", "").replace(",", "")
        if offset.isdigit() and row["field"]:
            out.setdefault(row["field"], (int(offset), int(size) if size.isdigit() else None))
    return out


class Block:
    """Fields of a block of bytes, by name."""

    def __init__(self, layout, data):
        self.layout, self.data = layout, data

    def bytes(self, name):
        offset, size = self.layout[name]
        return self.data[offset:offset + size]

    def __getitem__(self, name):
        return int.from_bytes(self.bytes(name), "little")


class Body:
    """A body: numbers and texts, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), "a body ends early"
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self):
        return int.from_bytes(self.take(8), "little")

    def text(self):
        return self.take(self.number()).decode()

    def end(self):
        assert self.at == len(self.data), "a body has more than it says"


class Decoder:
    def __init__(self, doc):
        t = tables(doc)
        self.header = fields(t["Header"])
        rows = t["Record"]
        frame_end = next(i for i, r in enumerate(rows) if r.get("field") == "sum")
        self.frame = fields(rows[:frame_end + 1])
        rest = rows[frame_end + 1:]
        self.part = fields([r for r in rest if "offset" in r])
        self.types = {int(r["type"]): list(r.values())[1] for r in rest if "type" in r}
        self.key = fields(t["Words"])
        self.body = {kind: [r["field"] for r in t[kind]]
                     for kind in ("STATE", "NAME", "TAG", "CHECKPOINT", "INDEX")}
        self.pages, self.records = {}, []

    def read_file(self, path):
        data = path.read_bytes()
        header = Block(self.header, data)
        assert header.bytes("magic") == b"lullseg\0" and header["version"] == 1
        assert header["flags"] == (path.suffix == ".lull")
        assert path.suffix == ".lull" or path.stem == f"{header['id']:016x}"
        at = BLOCK
        while at < len(data):
            at += self.read_record(data, at, header["id"])
        assert at == len(data)

    def read_record(self, data, at, segment):
        r = Block(self.frame, data[at:at + BLOCK])
        assert r.bytes("magic") == b"lullrec\0", f"no record at {at}"
        assert (r["offset"], r["segment"]) == (at, segment)
        parts, end = [], BLOCK
        for name in ("part 0", "part 1"):
            part = Block(self.part, r.bytes(name))
            if part["n_bytes"] == 0:
                assert r.bytes(name) == bytes(32)
                continue
            assert part["offset"] == end and part["sum"] != 0
            parts.append(data[at + end:at + end + part["n_bytes"]])
            filled = -(-part["n_bytes"] // BLOCK) * BLOCK
            assert data[at + end + part["n_bytes"]:at + end + filled].strip(b"\0") == b""
            end += filled
        assert r["n_bytes"] == end
        offset = self.frame["tokens"][0]
        raw = r.data[offset:offset + 4 * r["n_tokens"]]
        assert r.data[offset + len(raw):self.frame["sum"][0]].strip(b"\0") == b""
        kind = self.types[r["type"]]
        if kind == "PAGE":
            key = r.bytes("kv identity") + r.bytes("parent") + raw
            assert [o for o, _ in self.key.values()] == [0, 32, 64]
            assert hashlib.blake2b(key, digest_size=32).digest() == r.bytes("key")
            self.pages[r.bytes("key")] = struct.unpack(f"<{len(raw) // 4}i", raw)
        else:
            self.records.append((r["seq"], kind, r["state"], raw, self.read_body(kind, parts[0])))
        return end

    def read_body(self, kind, data):
        """{field: value}, in the order of the document's table."""
        b, out = Body(data), {}
        for name in self.body[kind]:
            if name == "keys":
                out[name] = [b.take(32) for _ in range(out["n_pages"])]
            elif name == "states":
                out[name] = [b.number() for _ in range(out["n_states"])]
            elif name == "moves":
                out[name] = [(b.number(), b.number(), b.number(), b.text())
                             for _ in range(out["n_moves"])]
            elif name == "tags":
                out[name] = [b.text() if kind == "STATE" else (b.number(), b.text())
                             for _ in range(out["n_tags"])]
            elif name == "to":
                out[name] = b.text() if out["operation"] == 2 else None
            elif name in ("card", "session", "name", "tag"):
                out[name] = b.text()
            else:
                out[name] = b.number()
        b.end()
        return out

    def replay(self):
        """{name: (state, its tokens)}."""
        states, moves = {}, {}
        for seq, kind, state, tail, body in sorted(self.records, key=lambda r: r[0]):
            if kind == "STATE":
                keys = body["keys"]
                assert body["card"] == '{"model":"a test"}' and body["n_window_pages"] == 0
                states[state] = (keys, struct.unpack(f"<{len(tail) // 4}i", tail))
                if body["name"]:
                    moves[seq] = (body["name"], state)
            elif kind == "NAME" and body["operation"] == 1:
                moves[seq] = (body["name"], state)
            elif kind == "NAME":
                moves = {s: (body["to"] if n == body["name"] else n, i)
                         for s, (n, i) in moves.items() if n != body["name"] or body["to"]}
            elif kind == "CHECKPOINT":
                states = {i: s for i, s in states.items() if i in body["states"]}
                moves = {s: (n, i) for s, _, i, n in body["moves"]}
        out = {}
        for _, (name, state) in sorted(moves.items()):
            keys, tail = states[state]
            out[name] = (state, [t for key in keys for t in self.pages[key]] + list(tail))
        return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--maker", required=True)
    p.add_argument("--doc", required=True, type=pathlib.Path)
    args = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="lull-") as folder:
        said = subprocess.run([args.maker, "--make", folder], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        want = {}
        for line in said.splitlines():
            name, state, n, last = re.split("\t", line)
            want[name] = (int(state), int(n), int(last))
        store, export = Decoder(args.doc), Decoder(args.doc)
        for path in sorted(pathlib.Path(folder, "segments").glob("*.seg")):
            store.read_file(path)
        export.read_file(pathlib.Path(folder, "a.lull"))
    found = {name: (state, len(tokens), tokens[-1] if tokens else 0)
             for name, (state, tokens) in store.replay().items()}
    assert found == want, f"{found} is not {want}"
    kinds = {kind for _, kind, _, _, _ in store.records}
    assert kinds == {"STATE", "NAME", "TAG", "CHECKPOINT"}, kinds
    assert [k for _, k, _, _, _ in export.records][-1] == "INDEX"
    assert export.records[-1][4]["n_states"] == 2
    exported = [tokens for _, tokens in export.replay().values()]
    originals = [tokens for _, tokens in store.replay().values()]
    assert len(exported) >= 2 and all(tokens in originals for tokens in exported)
    print(f"{len(store.records)} records, {len(store.pages)} pages, {len(found)} names")


if __name__ == "__main__":
    main()
