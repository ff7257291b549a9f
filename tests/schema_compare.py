#!/usr/bin/env python3
"""Compares masks of schemas with the Python package jsonschema, and with the JSON Schema Test Suite.

    schema_compare.py --driver BUILD/tests/mask_driver [--suite] [--files] [--random N] [--seed S] [--verbose]

--suite: each group of tests/data/schema-suite is refused, by the name of a keyword, or each of its values that
is valid is in the mask's language, and no other. --files: for the schemas of tests/data/schemas, and
--random: for N of schema_random.py, random walks through the mask are valid; and they, each changed a
little and written in either way, are in the language when they are valid, and only then. Exit code 77:
there is no jsonschema here.
"""
import argparse
import copy
import decimal
import glob
import json
import os
import random
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
try:
    import jsonschema
    import jsonschema.validators
    import rfc3339_validator  # noqa: F401
    import fqdn  # noqa: F401
    import isoduration  # noqa: F401
    import rfc3986_validator  # noqa: F401
except ImportError:
    other = os.environ.get("LULL_TEST_PYTHON")
    if other and os.path.abspath(other) != os.path.abspath(sys.executable):
        os.execv(other, [other, *sys.argv])
    print("schema_compare: skipped: there is no jsonschema (LULL_TEST_PYTHON=$(scripts/test-python))")
    sys.exit(77)

import schema_random

decimal.getcontext().prec = 1000
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)
sys.setrecursionlimit(20000)

VERBOSE = "--verbose" in sys.argv

# Formats of which fewer texts are written than are valid.
STRICT = {"hostname", "email", "uri", "uri-reference", "time", "date-time", "duration"}


# ---- jsonschema -------------------------------------------------------------------------------------


def ecma(pattern):
    """The pattern for Python's re: $ is the end of the text, [^] everything, . no end of a line."""
    out, i, in_class = "", 0, False
    while i < len(pattern):
        ch = pattern[i]
        if ch == "\\" and i + 1 < len(pattern):
            out += pattern[i:i + 2]
            i += 2
            continue
        if not in_class and pattern.startswith("[^]", i):
            out += "[\\s\\S]"
            i += 3
            continue
        if ch == "[":
            in_class = True
        elif ch == "]":
            in_class = False
        elif ch == "$" and not in_class:
            ch = "\\Z"
        elif ch == "." and not in_class:
            ch = "[^\\n\\r\u2028\u2029]"
        out += ch
        i += 1
    return out


def search(pattern, text):
    return re.search(ecma(pattern), text, re.ASCII)


def check_pattern(validator, pattern, instance, schema):
    if validator.is_type(instance, "string") and not search(pattern, instance):
        yield jsonschema.ValidationError("pattern")


def check_pattern_properties(validator, patterns, instance, schema):
    if validator.is_type(instance, "object"):
        for pattern, part in patterns.items():
            for key, value in instance.items():
                if search(pattern, key):
                    yield from validator.descend(value, part, path=key, schema_path=pattern)


def check_additional(validator, part, instance, schema):
    if not validator.is_type(instance, "object"):
        return
    for key, value in instance.items():
        if key in schema.get("properties", {}) or any(search(p, key) for p in schema.get("patternProperties", {})):
            continue
        yield from validator.descend(value, part, path=key)


def is_integer(checker, value):
    if isinstance(value, decimal.Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(checker, value):
    return isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool)


Base = jsonschema.Draft202012Validator
FORMATS = Base.FORMAT_CHECKER


@FORMATS.checks("uuid")
def is_uuid(value):
    """As the document says: that of jsonschema takes what int(value, 16) takes, underscores and all."""
    h = "[0-9A-Fa-f]"
    return not isinstance(value, str) or re.fullmatch(f"{h}{{8}}-{h}{{4}}-{h}{{4}}-{h}{{4}}-{h}{{12}}", value)


Oracle = jsonschema.validators.extend(
    Base,
    {"pattern": check_pattern, "patternProperties": check_pattern_properties,
     "additionalProperties": check_additional},
    type_checker=Base.TYPE_CHECKER.redefine("integer", is_integer).redefine("number", is_number))


def read(text):
    return json.loads(text, parse_float=decimal.Decimal)


def oracle_of(schema_text):
    return Oracle(read(schema_text), format_checker=FORMATS)


def is_valid(oracle, text):
    try:
        return oracle.is_valid(read(text))
    except (RecursionError, ArithmeticError):
        return None


def canonical(value, has_spaces):
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ") if has_spaces else (",", ":"))


# ---- the driver -----------------------------------------------------------------------------------------


class Driver:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line, n=1):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        out = [self.process.stdout.readline().decode("utf-8", "replace").rstrip("\n") for _ in range(n)]
        if not out[-1] and self.process.poll() is not None:
            raise SystemExit(f"schema_compare: the driver died with {self.process.poll()} at {line[:3000]}")
        return out

    def compile(self, text):
        """(microseconds, None), or (microseconds, what it says)."""
        answer = self.ask("S " + text)[0].split(" ", 1)
        if answer[0] == "ok":
            return float(answer[1]), None
        status, us, message = answer[1].split(" ", 2)
        return float(us), f"{status}: {message}"

    def accepts(self, text):
        answer = self.ask("M " + text.encode("utf-8", "surrogatepass").hex())[0]
        return {"yes": True, "no": False}.get(answer, answer)

    def walks(self, seed, n, n_bytes):
        lines = self.ask(f"W {seed} {n} {n_bytes}", n)
        return [bytes.fromhex(x).decode("utf-8") for x in lines if x != "-"]


def has_exponent(text):
    return re.search(r'[0-9][eE][+-]?[0-9]', re.sub(r'"(?:[^"\\]|\\.)*"', "", text)) is not None


def uses_strict(schema):
    if isinstance(schema, list):
        return any(map(uses_strict, schema))
    if not isinstance(schema, dict):
        return False
    if isinstance(schema.get("format"), str) and schema["format"] in STRICT | {"int32", "int64"}:
        return True
    return any(uses_strict(v) for v in schema.values())


# ---- the suite -------------------------------------------------------------------------------------------


def run_suite(driver, verbose):
    n_groups = n_refused = n_tests = n_wrong = 0
    for line in open(os.path.join(HERE, "data", "schema-suite", "draft2020-12.jsonl"), encoding="utf-8"):
        group = json.loads(line)
        n_groups += 1
        us, refusal = driver.compile(json.dumps(group["schema"]))
        if refusal:
            # A schema that nothing satisfies is refused, too; then nothing in the group is valid.
            is_never = "no JSON satisfies it" in refusal or "no text at all" in refusal
            if is_never and any(t[1] for t in group["tests"]):
                print("WRONG", group["from"], refusal)
                n_wrong += 1
            elif not is_never and not refusal.startswith("LULL_EUNSUPPORTED"):
                print("WRONG", group["from"], refusal)
                n_wrong += 1
            n_refused += not is_never
            if verbose and not is_never:
                print("refused", group["from"], "|", refusal)
            continue
        strict = uses_strict(group["schema"])
        for data, valid, what in group["tests"]:
            for has_spaces in (False, True):
                text = canonical(data, has_spaces)
                if has_exponent(text) or any(0xd800 <= ord(c) < 0xe000 for c in text):
                    continue
                n_tests += 1
                got = driver.accepts(text)
                if got == valid or (strict and valid and got is False):
                    if got != valid and verbose:
                        print("strict", group["from"], "|", what, "|", text)
                    continue
                print("WRONG", group["from"], "|", what, "|", text, "should be", valid, "is", got)
                n_wrong += 1
    print(f"suite: {n_groups} groups, {n_refused} refused, {n_tests} tests, {n_wrong} wrong")
    return n_wrong


# ---- walks and what is near them -----------------------------------------------------------------------------


def change(rng, value, words, depth=0):
    """A value near the given one."""
    kind = rng.random()
    if isinstance(value, dict) and value and kind < 0.75:
        key = rng.choice(list(value))
        if kind < 0.45:
            value[key] = change(rng, value[key], words, depth + 1)
        elif kind < 0.6:
            del value[key]
        elif kind < 0.68:
            value[rng.choice(words)] = value.pop(key)
        else:
            items = list(value.items())
            rng.shuffle(items)
            return dict(items)
        return value
    if isinstance(value, dict) and kind < 0.9:
        value[rng.choice(words)] = schema_random.value(rng, words)
        return value
    if isinstance(value, list) and value and kind < 0.9:
        at = rng.randrange(len(value))
        if kind < 0.5:
            value[at] = change(rng, value[at], words, depth + 1)
        elif kind < 0.65:
            del value[at]
        elif kind < 0.8:
            value.insert(at, copy.deepcopy(rng.choice(value)))
        else:
            value[at] = schema_random.value(rng, words)
        return value
    if isinstance(value, str) and kind < 0.8:
        at = rng.randrange(len(value) + 1)
        if kind < 0.3:
            return value[:at] + value[at + 1:]
        if kind < 0.6:
            return value[:at] + rng.choice("ab09-_.:/ é漢\"\\\n") + value[at:]
        return value[:at] + rng.choice("ab09-") + value[at + 1:]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and kind < 0.8:
        if kind < 0.4:
            return value + rng.choice([1, -1, 10, -10, 2])
        if kind < 0.5:
            return -value
        if kind < 0.65:
            return float(value) if abs(value) < 1e15 else value
        return rng.choice([value + 0.5, value * 10 if abs(value) < 1e14 else 1, value / 2 if abs(value) < 1e14 else 2])
    return schema_random.value(rng, words)


def words_of(schema):
    out = {"a", "b", "zz", "x-1", ""}

    def visit(v):
        if isinstance(v, dict):
            for key, part in v.items():
                out.add(key)
                visit(part)
        elif isinstance(v, list):
            for part in v:
                visit(part)
        elif isinstance(v, str):
            out.add(v)
    visit(schema)
    return sorted(out)


def compare(driver, name, schema_text, rng, n_walks, tally, must_compile=False):
    us, refusal = driver.compile(schema_text)
    tally["slowest"] = max(tally["slowest"], (us, name))
    if refusal:
        tally["refused"] += 1
        if "no text at all" in refusal and VERBOSE:
            print("late", name, schema_text)
        tally["why"][re.sub(r'.*: "(\S+)".*', r"\1", refusal)[:60]] = tally["why"].get(
            re.sub(r'.*: "(\S+)".*', r"\1", refusal)[:60], 0) + 1
        if must_compile:
            print("WRONG", name, refusal)
            tally["wrong"] += 1
        if "no JSON satisfies it" in refusal or "no text at all" in refusal:
            # Then no value near the schema's own constants is valid either.
            oracle = oracle_of(schema_text)
            words = words_of(json.loads(schema_text))
            for _ in range(30):
                text = canonical(schema_random.value(rng, words), False)
                if is_valid(oracle, text):
                    print("WRONG", name, "is said to be empty;", text, "is valid\n   ", schema_text)
                    tally["wrong"] += 1
                    break
        return
    tally["compiled"] += 1
    oracle = oracle_of(schema_text)
    schema = json.loads(schema_text)
    words, strict = words_of(schema), uses_strict(schema)
    texts = driver.walks(rng.randrange(1 << 30), n_walks, 40)
    for text in texts:
        tally["walks"] += 1
        valid = is_valid(oracle, text)
        if valid is False:
            print("WRONG", name, "walks to", text, "which is not valid\n   ", schema_text)
            tally["wrong"] += 1
            return
    near = [json.loads(t) for t in texts] + [schema_random.value(rng, words) for _ in range(3)]
    for value in near:
        for _ in range(4):
            try:
                value = change(rng, copy.deepcopy(value), words)
                text = canonical(value, rng.random() < 0.5)
                valid = is_valid(oracle, text)
            except (ValueError, OverflowError):
                continue
            if has_exponent(text) or "NaN" in text or "Infinity" in text:
                continue
            if any(0xd800 <= ord(c) < 0xe000 for c in text) or valid is None:
                continue
            got = driver.accepts(text)
            tally["valid" if valid else "invalid"] += 1
            if got == valid or (strict and valid and got is False):
                continue
            print("WRONG", name, text, "should be", valid, "is", got, "\n   ", schema_text)
            tally["wrong"] += 1
            return


def new_tally():
    return {"compiled": 0, "refused": 0, "walks": 0, "valid": 0, "invalid": 0, "wrong": 0,
            "slowest": (0, ""), "why": {}}


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--driver", required=True)
    args.add_argument("--suite", action="store_true")
    args.add_argument("--files", action="store_true")
    args.add_argument("--random", type=int, default=0)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--verbose", action="store_true")
    args = args.parse_args()
    driver = Driver(args.driver)
    n_wrong = run_suite(driver, args.verbose) if args.suite else 0
    if args.files:
        tally = new_tally()
        for path in sorted(glob.glob(os.path.join(HERE, "data", "schemas", "*.jsonl"))):
            for i, line in enumerate(open(path, encoding="utf-8")):
                entry = json.loads(line)
                name = f"{os.path.basename(path)}:{i + 1} {entry['name']}"
                compare(driver, name, json.dumps(entry["schema"]), random.Random(args.seed + i), 20, tally, True)
        n_wrong += tally["wrong"]
        print("files:", tally)
    if args.random:
        tally = new_tally()
        for i in range(args.random):
            rng = random.Random(args.seed * 1000003 + i)
            schema = schema_random.schema(rng)
            compare(driver, f"random {args.seed}/{i}", json.dumps(schema), rng, 8, tally)
        n_wrong += tally["wrong"]
        print("random:", tally)
    return n_wrong > 0


if __name__ == "__main__":
    sys.exit(main())
