#!/usr/bin/env python3
"""Gives the program damaged and contradictory GGUF files, and looks at how it refuses them.

    bad_gguf.py --lull build/release/lull [--every N] [--only TEXT] [--keep FOLDER] [--jobs N]

From two tiny valid models it makes
  cuts     the file cut at each boundary of a field, and one byte before and after
  flips    each field with single bits flipped, and set to zero, to the largest and to huge numbers
  models   well-formed files whose metadata or tensors make no model
  paths    what is not a file at all
and runs `lull inspect`, `tokenize` and `logits` on them. Every run must end by itself within 10 s
with exit code 0, 1 or 2, without a sanitizer's report; a failure must say something on standard
error that names the file, and leave no output behind. Cuts must fail. Models that are marked so
must fail, too, and name the key or tensor that is wrong.

--every N takes each Nth cut and flip. Exit code 1 when any run is not as it must be.
"""
import argparse
import copy
import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gguf_writer  # noqa: E402

TIMEOUT_S = 10
TEXT = "the other stone, and then\n<|im_end|>"
SANITIZER_EXIT = 99
SANITIZER = re.compile(r"Sanitizer|runtime error:|Assertion .* failed")
INSPECT, TOKENIZE, LOGITS = "inspect", "tokenize", "logits"
ALL = (INSPECT, TOKENIZE, LOGITS)
ARCHITECTURES = ("llama", "gemma3", "qwen3")


@dataclasses.dataclass
class Case:
    name: str
    data: bytes  # None: the case makes its own path
    verbs: tuple = ALL
    must_fail: tuple = ()  # verbs that must
    mention: str = ""  # what the message of those must contain
    path: str = None


def tiny(arch):
    """A valid model of some tens of kilobytes, with several element types."""
    return gguf_writer.model(arch, "Q8_0,Q4_0,F16", seed=7, embd_dtype="Q4_1", d_model=64, n_head=2,
                             n_kv=1, d_ff=64, n_vocab=288, n_layer=1,
                             window=8 if arch == "gemma3" else None)


# ---- damage to bytes -----------------------------------------------------------------------------


def structural_fields(f):
    """The fields outside of tensor data; of long arrays of strings only the first and last two."""
    last = {}
    for field in f.fields:
        if m := re.match(r"(.*/value)\[(\d+)\]", field.name):
            last[m[1]] = max(int(m[2]), last.get(m[1], 0))
    for field in f.fields:
        if m := re.match(r"(.*/value)\[(\d+)\]", field.name):
            if 2 <= int(m[2]) < last[m[1]] - 1:
                continue
        yield field


def cuts(arch, f, data):
    ends = {field.offset + delta for field in structural_fields(f) for delta in (-1, 0, 1)}
    ends |= {len(data) - 1, len(data) // 2}
    for end in sorted(ends):
        if 0 <= end < len(data):
            yield Case(f"{arch}-cut-{end}", data[:end], must_fail=ALL)


def flips(arch, f, data):
    for field in structural_fields(f):
        if field.n_bytes == 0 or field.name.endswith("/data"):
            continue
        start, end = field.offset, field.offset + min(field.n_bytes, 64)
        changed = {}
        for at, bit in ((start, 0), (start, 5), (end - 1, 7)):
            changed[f"bit{bit}"] = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]
        for name, fill in (("zero", b"\0"), ("ones", b"\xff"), ("half", b"\x7f")):
            changed[name] = data[:start] + fill * (end - start) + data[end:]
        if field.n_bytes == 8:  # products that overflow 64 bits, and sizes near a machine's memory
            for power in (31, 40, 59, 61, 63):
                changed[f"2^{power}"] = data[:start] + struct.pack("<Q", 1 << power) + data[end:]
        for name, bad in changed.items():
            if bad != data:
                label = re.sub(r"[^A-Za-z0-9_.]+", "-", field.name)
                yield Case(f"{arch}-flip-{field.offset}-{label[-40:]}-{name}", bad)


# ---- models that make no sense -------------------------------------------------------------------


class Models:
    """Collects cases: each starts from a fresh copy of a tiny model."""

    def __init__(self, arch):
        self.arch = arch
        self.base = tiny(arch)
        self.cases = []

    def case(self, name, change, fails=(LOGITS,), mention=""):
        f = copy.deepcopy(self.base)
        change(f)
        self.cases.append(Case(f"{self.arch}-{name}", f.to_bytes(), ALL, tuple(fails), mention))

    def key(self, name, key, kind, value, fails=(LOGITS,), mention=None):
        def change(f):
            f.kv[key] = (kind, value)

        self.case(f"{key}-{name}", change, fails, key if mention is None else mention)

    def no_key(self, key, fails=(LOGITS,), mention=None):
        mention = key if mention is None else mention
        self.case(f"{key}-missing", lambda f: f.kv.pop(key), fails, mention)


def replace_tensor(f, name, dims, dtype, data=None):
    _, elems, size = gguf_writer.DTYPES[dtype]
    t = f.tensor(name)
    t.dims, t.dtype = dims, dtype
    t.data = bytes(math.prod(dims) // elems * size) if data is None else data


def add_vector(f, name, values):
    data = struct.pack(f"<{len(values)}f", *values)
    f.tensors.append(gguf_writer.Tensor(name, [len(values)], "F32", data))


def hyper_parameters(m):
    arch = m.arch
    m.no_key("general.architecture")
    m.key("type", "general.architecture", "u32", 1)
    unknown = {"empty": "", "unheard-of": "unheard-of", "escape": "llama\x1b[31m",
               "long": "x" * 5000}
    for name, bad in unknown.items():
        m.key(name, "general.architecture", "str", bad, mention="architecture")

    counts = ["block_count", "embedding_length", "feed_forward_length", "attention.head_count",
              "attention.head_count_kv", "context_length"]
    if arch == "gemma3":
        counts += ["attention.key_length", "attention.value_length", "attention.sliding_window"]
    else:
        counts += ["rope.dimension_count"]
    for key in counts:
        key = f"{arch}.{key}"
        m.key("zero", key, "u32", 0)
        m.key("negative", key, "i32", -1)
        m.key("string", key, "str", "4")
        m.key("float", key, "f32", 4.0)
        m.key("array", key, "[u32]", [4, 4, 4, 4, 4])
        for bits in (31, 32, 63, 64):
            fits = key.endswith(("context_length", "sliding_window"))  # any length may be allowed
            fails = () if fits else (LOGITS,)
            m.key(f"2^{bits}-1", key, "u64", 2**bits - 1, fails, mention="")
    for key in counts[:4]:
        m.no_key(f"{arch}.{key}")

    m.key("3", f"{arch}.attention.head_count_kv", "u32", 3)  # 2 heads over 3
    m.key("many", f"{arch}.attention.head_count", "u32", 64, mention="")
    eps, base = f"{arch}.attention.layer_norm_rms_epsilon", f"{arch}.rope.freq_base"
    m.no_key(eps)
    for name, value in (("nan", math.nan), ("inf", math.inf), ("negative", -1e-5)):
        m.key(name, eps, "f32", value)
        m.key(name, base, "f32", value)
        m.key(name, f"{arch}.rope.scaling.factor", "f32", value, fails=())
    m.key("zero", base, "f32", 0.0)
    m.key("integer", base, "u32", 10000)
    m.key("type", f"{arch}.rope.scaling.type", "str", "unheard-of", fails=())
    if arch == "gemma3":
        m.key("odd", f"{arch}.attention.key_length", "u32", 31, mention="")
        m.key("differs", f"{arch}.attention.value_length", "u32", 16, mention="")
    else:
        m.key("odd", f"{arch}.rope.dimension_count", "u32", 31)
        m.key("beyond-head", f"{arch}.rope.dimension_count", "u32", 64)


def tensors(m):
    names = [t.name for t in m.base.tensors]
    for name in names:
        m.case(f"no-{name}", lambda f: f.remove_tensor(name), mention=name)
    for name in names:
        dims, dtype = m.base.tensor(name).dims, m.base.tensor(name).dtype
        shapes = {"longer": [*dims[:-1], dims[-1] + 32], "shorter": [*dims[:-1], dims[-1] // 2],
                  "one-more-dim": [*dims, 2]}
        if len(dims) > 1:
            shapes["wider"] = [dims[0] * 2, *dims[1:]]
            shapes["flat"] = [math.prod(dims)]
        for shape, bad in shapes.items():
            m.case(f"{name}-{shape}", lambda f: replace_tensor(f, name, bad, dtype), mention=name)
    norm, embd = "output_norm.weight", "token_embd.weight"
    m.case("norm-quantised", lambda f: replace_tensor(f, norm, [64], "Q8_0"), fails=())
    m.case("no-tensors", lambda f: f.tensors.clear())
    m.case("extra-tensor", lambda f: add_vector(f, "extra", [1.0] * 32), fails=())
    for name, value in (("nan", math.nan), ("inf", math.inf), ("big", 3e38)):
        bad = struct.pack("<f", value) * 64
        for where in (norm, "blk.0.attn_norm.weight"):
            m.case(f"{where}-{name}",
                   lambda f: replace_tensor(f, where, [64], "F32", bad), fails=())
    ones = b"\xff" * len(m.base.tensor(embd).data)
    m.case("embedding-ones", lambda f: setattr(f.tensor(embd), "data", ones), fails=())
    if m.arch == "llama":
        freqs = "rope_freqs.weight"
        for name, value in (("zero", 0.0), ("nan", math.nan), ("negative", -1.0)):
            m.case(f"{freqs}-{name}", lambda f: add_vector(f, freqs, [value] * 16), fails=())
        m.case(f"{freqs}-short", lambda f: add_vector(f, freqs, [1.0] * 8), mention=freqs)


def tokenizers(m):
    both = (TOKENIZE, LOGITS)
    prefix = "tokenizer.ggml."
    tokens = m.base.kv[prefix + "tokens"][1]
    kinds = m.base.kv[prefix + "token_type"][1]
    m.no_key(prefix + "model", both)
    m.no_key(prefix + "tokens", both)
    m.no_key(prefix + "token_type", ())
    for name in ("", "unheard-of", "bert"):
        m.key(f"is-{name}", prefix + "model", "str", name, both, "tokenizer.ggml.model")
    m.key("type", prefix + "tokens", "[u32]", [1, 2, 3], both)
    m.key("scalar", prefix + "tokens", "str", "tokens", both)
    m.key("empty", prefix + "tokens", "[str]", [], both, "")
    m.key("short", prefix + "tokens", "[str]", tokens[:-1], both, "")
    m.key("long", prefix + "tokens", "[str]", tokens + ["<more>"], both, "")
    m.key("twice", prefix + "tokens", "[str]", [*tokens[:-1], tokens[-2]], ())
    m.key("all-empty", prefix + "tokens", "[str]", [""] * len(tokens), ())
    m.key("one-empty", prefix + "tokens", "[str]", [*tokens[:-1], ""], ())
    m.key("bytes", prefix + "tokens", "[str]", [*tokens[:-2], b"\xff\xfe", b"\xc0\x80"], ())
    m.key("nul", prefix + "tokens", "[str]", [*tokens[:-2], b"\0", b"a\0b"], ())
    m.key("big", prefix + "tokens", "[str]", [*tokens[:-1], "a" * 1_000_000], ())
    m.key("short", prefix + "token_type", "[i32]", kinds[:-1], both)
    m.key("type", prefix + "token_type", "[f32]", [1.0] * len(kinds), both)
    m.key("unknown", prefix + "token_type", "[i32]", [99] * len(kinds), ())
    m.key("negative", prefix + "token_type", "[i32]", [-1] * len(kinds), ())
    m.key("control", prefix + "token_type", "[i32]", [3] * len(kinds), ())
    for name in ("bos", "eos"):
        key = f"{prefix}{name}_token_id"
        m.key("outside", key, "u32", len(tokens), both)
        m.key("huge", key, "u32", 2**32 - 1, ())  # some writers mean "none" by it
        m.key("negative", key, "i32", -1, ())
        m.key("type", key, "str", "1", both)
    m.key("type", prefix + "add_bos_token", "u32", 1, ())
    if m.arch == "llama":
        merges = m.base.kv[prefix + "merges"][1]
        m.no_key(prefix + "merges", both)
        m.no_key(prefix + "pre", ())
        m.key("unheard-of", prefix + "pre", "str", "unheard-of", both)
        m.key("type", prefix + "merges", "[i32]", [1, 2], both)
        bad_merges = {"empty": "", "one": "ab", "space": " ", "left": " b", "right": "a ",
                      "unknown": "zz qq", "three": "a b c", "bytes": b"\xff \xfe", "nul": b"a \0"}
        for name, bad in bad_merges.items():
            m.key(name, prefix + "merges", "[str]", [*merges, bad], ())
        m.key("twice", prefix + "merges", "[str]", merges + merges, ())
        m.key("none", prefix + "merges", "[str]", [], ())
    else:
        scores = m.base.kv[prefix + "scores"][1]
        m.no_key(prefix + "scores", both)
        m.key("short", prefix + "scores", "[f32]", scores[:-1], both)
        m.key("type", prefix + "scores", "[f64]", scores, both)
        m.key("nan", prefix + "scores", "[f32]", [math.nan] * len(scores), ())
        m.key("inf", prefix + "scores", "[f32]", [math.inf] * len(scores), ())
        no_bytes = [f"<none{i}>" if kinds[i] == 6 else t for i, t in enumerate(tokens)]
        m.key("no-bytes", prefix + "tokens", "[str]", no_bytes, ())
        m.key("byte-name", prefix + "tokens", "[str]", [*tokens[:100], "<0xZZ>", *tokens[101:]], ())
        m.key("outside", prefix + "unknown_token_id", "u32", len(tokens), ())
    m.key("type", "tokenizer.chat_template", "u32", 1, ())
    m.key("syntax", "tokenizer.chat_template", "str", "{% for %}{{", ())


def paths(folder):
    (folder / "folder.gguf").mkdir()
    yield Case("paths-folder", None, ALL, ALL, "directory", str(folder / "folder.gguf"))
    yield Case("paths-missing", None, ALL, ALL, "", str(folder / "missing.gguf"))
    yield Case("paths-below-file", None, ALL, ALL, "", str(folder / "empty.gguf" / "x.gguf"))
    yield Case("paths-device", None, ALL, ALL, "", "/dev/null")
    (folder / "empty.gguf").write_bytes(b"")
    yield Case("paths-empty", None, ALL, ALL, "magic", str(folder / "empty.gguf"))
    os.mkfifo(folder / "pipe.gguf")
    yield Case("paths-pipe", None, ALL, ALL, "", str(folder / "pipe.gguf"))
    (folder / "text.gguf").write_text("This is not a model.\n")
    yield Case("paths-text", None, ALL, ALL, "magic", str(folder / "text.gguf"))
    if os.geteuid() != 0:
        (folder / "locked.gguf").write_bytes(tiny("llama").to_bytes())
        (folder / "locked.gguf").chmod(0)
        yield Case("paths-unreadable", None, ALL, ALL, "ermission", str(folder / "locked.gguf"))


# ---- running -------------------------------------------------------------------------------------


def command(lull, verb, path, out):
    if verb == INSPECT:
        return [lull, "inspect", path]
    if verb == TOKENIZE:
        return [lull, "tokenize", path, "-p", TEXT, "--special", "--json"]
    return [lull, "logits", path, "--tokens", "1,2,3,4,5,6,7,8,9,10", "-o", out]


def problem_of(case, verb, path, out, run):
    """What is wrong with a finished run; None when all is as it must be."""
    err = run.stderr.decode(errors="replace")
    if SANITIZER.search(err) or run.returncode == SANITIZER_EXIT:
        return "a sanitizer or an assertion reports"
    if run.returncode not in (0, 1, 2):
        return f"exit code {run.returncode}"
    if run.returncode == 0:
        if verb in case.must_fail:
            return "succeeds, but must fail"
        if verb == LOGITS and not os.path.exists(out):
            return "succeeds without output"
        return None
    if path not in err:
        return "the message does not name the file"
    if "\x1b" in err:
        return "the message has control characters"
    if verb == LOGITS and os.path.exists(out):
        return "fails, but leaves output behind"
    if verb in case.must_fail and case.mention not in err:
        return f"the message does not mention {case.mention}"
    return None


def run_case(case, lull, folder, env):
    """The problems of one case, as lines to print, and the number of runs."""
    path = case.path or str(folder / f"{case.name}.gguf")
    if case.data is not None:
        pathlib.Path(path).write_bytes(case.data)
    problems = []
    for verb in case.verbs:
        out = str(folder / f"{case.name}.npy")
        try:
            run = subprocess.run(command(lull, verb, path, out), env=env, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=TIMEOUT_S)
            problem = problem_of(case, verb, path, out, run)
            detail = run.stderr.decode(errors="replace").strip().splitlines()[:12]
        except subprocess.TimeoutExpired:
            problem, detail = f"does not end within {TIMEOUT_S} s", []
        if problem:
            problems.append("\n    ".join([f"{case.name}: lull {verb}: {problem}", *detail]))
        if os.path.exists(out):
            os.unlink(out)
    if case.data is not None:
        if problems and env.get("KEEP"):
            shutil.copy(path, env["KEEP"])
        os.unlink(path)
    return problems, len(case.verbs)


def check_base(lull, folder, env):
    """The valid models must work, or all that follows says nothing."""
    for arch in ARCHITECTURES:
        path, out = str(folder / f"{arch}.gguf"), str(folder / f"{arch}.npy")
        f = tiny(arch)
        pathlib.Path(path).write_bytes(f.to_bytes())
        for verb in ALL:
            run = subprocess.run(command(lull, verb, path, out), env=env, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=TIMEOUT_S)
            if run.returncode != 0:
                err = run.stderr.decode(errors="replace")
                sys.exit(f"{arch}: the valid model fails: lull {verb}: {err}")
        check_inspect(lull, path, f, env)


def check_inspect(lull, path, f, env):
    """What inspect --json says is what was written."""
    run = subprocess.run([lull, "inspect", path, "--json", "--full"], env=env, capture_output=True,
                         check=True)
    seen = json.loads(run.stdout)
    names = {"u32": "uint32", "f32": "float32", "bool": "bool", "str": "string", "i32": "int32"}
    assert list(seen["metadata"]) == list(f.kv), "keys"
    for key, (kind, value) in f.kv.items():
        entry = seen["metadata"][key]
        if kind.startswith("["):
            assert entry["type"] == "array" and entry["elem_type"] == names[kind[1:-1]], key
            assert entry["n"] == len(value), key
        else:
            assert entry["type"] == names[kind], key
        if "f32" in kind:
            assert math.isclose(entry["value"][-1] if "[" in kind else entry["value"],
                                value[-1] if "[" in kind else value, rel_tol=1e-6), key
        else:
            assert entry["value"] == value, key
    places = {field.name: field.offset for field in f.fields}
    for t, entry in zip(f.tensors, seen["tensors"], strict=True):
        assert entry == {"name": t.name, "type": t.dtype, "shape": t.dims, "bytes": len(t.data),
                         "offset": places[t.name + "/data"]}, t.name
    assert seen["tensor_bytes"] == sum(len(t.data) for t in f.tensors), "tensor_bytes"
    assert seen["params"] == sum(math.prod(t.dims) for t in f.tensors), "params"
    assert sum(t["bytes"] for t in seen["types"]) == seen["tensor_bytes"], "types"


def all_cases(folder, every):
    for arch in ARCHITECTURES:
        m = Models(arch)
        hyper_parameters(m)
        tensors(m)
        if arch in ("llama", "gemma3"):  # a tokenizer each
            f = tiny(arch)
            data = f.to_bytes()
            yield from list(cuts(arch, f, data))[::every]
            yield from list(flips(arch, f, data))[::every]
            tokenizers(m)
        yield from m.cases
    yield from paths(folder)


def main():
    parser = argparse.ArgumentParser(description="Feed bad GGUF files to the program.")
    parser.add_argument("--lull", required=True, help="the program")
    parser.add_argument("--every", type=int, default=1, help="take each Nth cut and flip")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--keep", help="copy the files of failed cases to this folder")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8))
    args = parser.parse_args()
    lull = os.path.abspath(args.lull)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bad-gguf-"))
    env = dict(os.environ, LULL_CACHE=str(folder / "cache"), LULL_THREADS="1",
               ASAN_OPTIONS=f"exitcode={SANITIZER_EXIT}:allocator_may_return_null=1",
               UBSAN_OPTIONS=f"exitcode={SANITIZER_EXIT}:halt_on_error=1:print_stacktrace=1")
    if args.keep:
        os.makedirs(args.keep, exist_ok=True)
        env["KEEP"] = args.keep
    n_cases = n_runs = 0
    problems = []
    try:
        check_base(lull, folder, env)
        cases = [c for c in all_cases(folder, args.every) if args.only in c.name]
        assert len({c.name for c in cases}) == len(cases), "two cases of one name"
        with ThreadPoolExecutor(args.jobs) as pool:
            for found, runs in pool.map(lambda c: run_case(c, lull, folder, env), cases):
                n_cases += 1
                n_runs += runs
                problems += found
                for problem in found:
                    print(problem, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{n_cases} cases, {n_runs} runs, {len(problems)} problems")
    return 1 if problems or n_cases == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
