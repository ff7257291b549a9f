#!/usr/bin/env python3
"""Writes the inputs of fuzz_schema: make_schema_corpus.py [FOLDER]. Schemas of tests/data, every few, each with a text
behind a zero byte."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")
out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "corpus", "schema")
os.makedirs(out, exist_ok=True)
lines = []
for name in sorted(os.listdir(os.path.join(DATA, "schemas"))):
    if name.endswith(".jsonl"):
        for i, line in enumerate(open(os.path.join(DATA, "schemas", name), encoding="utf-8")):
            if i % 5 == 0:
                lines.append((f"{name[:-6]}-{i}", json.loads(line)["schema"], {"a": [1.5, "x"], "b": None}))
with open(os.path.join(DATA, "schema-suite", "draft2020-12.jsonl"), encoding="utf-8") as f:
    for i, line in enumerate(f):
        if i % 8 == 0:
            group = json.loads(line)
            lines.append((f"suite-{i}", group["schema"], group["tests"][0][0]))
for name, schema, text in lines:
    with open(os.path.join(out, name), "wb") as f:
        f.write(json.dumps(schema, separators=(",", ":")).encode() + b"\0" + json.dumps(text, ensure_ascii=False).encode())
for name, raw in {"empty": b"", "not-json": b"{\"a\":", "self": b'{"$ref":"#"}', "twice": b'{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}],"$defs":{"a":{"items":{"$ref":"#"}}}}\0[[[]]]',
                  "denied": b'{"not":{"not":{"oneOf":[{"minimum":1},{"maximum":1}]}}}\x001', "surrogate": b'{"const":"\\ud800"}', "nul": b'{"enum":["\\u0000"],"pattern":"\\u0000"}\0"\\u0000"'}.items():
    with open(os.path.join(out, name), "wb") as f:
        f.write(raw)
print(len(lines) + 7, "files")
