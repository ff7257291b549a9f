#!/usr/bin/env python3
"""Writes draft2020-12.jsonl from the JSON Schema Test Suite: make_suite.py FOLDER/draft2020-12

One group of tests a line: where it is from, its schema without "$schema", and its tests as
[data, whether it is valid, what is tested].
"""
import json
import os
import sys

FORMATS = ["date", "time", "date-time", "duration", "uuid", "email", "ipv4", "ipv6", "hostname", "uri",
           "uri-reference", "json-pointer", "unknown"]
# "format" is a note only there; a vocabulary needs the schema of schemas.
SKIPPED = ["format.json", "vocabulary.json"]
OPTIONAL = ["ecmascript-regex", "non-bmp-regex", "float-overflow", "no-schema", "refOfUnknownKeyword"]


def main():
    folder = sys.argv[1]
    names = sorted(n for n in os.listdir(folder) if n.endswith(".json") and n not in SKIPPED)
    names += [f"optional/{n}.json" for n in OPTIONAL] + [f"optional/format/{n}.json" for n in FORMATS]
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "draft2020-12.jsonl")
    n = 0
    with open(out, "w", encoding="utf-8") as f:
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.exists(path):
                continue
            for group in json.load(open(path, encoding="utf-8")):
                schema = group["schema"]
                if isinstance(schema, dict):
                    schema = {k: v for k, v in schema.items() if k != "$schema"}
                line = {"from": f"{name[:-5]}: {group['description']}", "schema": schema,
                        "tests": [[t["data"], t["valid"], t["description"]] for t in group["tests"]]}
                f.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")
                n += 1
    print(n, "groups")


main()
