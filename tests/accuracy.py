#!/usr/bin/env python3
"""How far lull's probabilities are from exact ones, for the real models, on the texts of
tests/data/texts and the fixtures of tests/oracle.

    accuracy.py --lull build/release/lull                  the test: against the recorded bounds
    accuracy.py --lull build/release/lull --kv q8          keys and values of 8 bits: shown only
    accuracy.py --lull build/release/lull --activations 16 activations of 16 bits: shown only
    accuracy.py --lull build/release/lull --peer           also llama.cpp on the same tokens
    accuracy.py --lull build/release/lull --peer --record  and keep the figures as bounds

Exact is the float64 oracle (tests/oracle/forward.py). Per text and over all tokens of a model: the
mean KL divergence (exact || lull) in nats over the whole vocabulary, the perplexity as a ratio to
the exact one, and how often the likeliest token is the same. Must hold: for each text the mean KL
is at most llama.cpp's as recorded in tests/data/accuracy.json, for the same tokens; over all tokens
it is at most a twentieth more than lull's own as recorded (its bits do not change by themselves);
perplexity is within 0.5 % of exact.

Needs numpy and gguf: in this Python, or in $LULL_TEST_PYTHON (scripts/test-python). Exit code 77
when they or the models are not there. The oracle's hidden states are kept in the cache folder.
"""
import argparse
import hashlib
import json
import math
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import program  # noqa: E402

try:
    import numpy as np
    sys.path.insert(0, str(program.TESTS / "oracle"))
    import forward
except ImportError:
    python = os.environ.pop("LULL_TEST_PYTHON", None)  # tried once
    if python:
        os.execv(python, [python, *sys.argv])
    print("skipped: numpy and gguf are needed; scripts/test-python prints a Python that has them")
    sys.exit(program.SKIPPED)

RECORD = program.TESTS / "data/accuracy.json"
PERPLEXITY_WITHIN = 0.005
MAX_TOKENS = 1300  # of a text: over twice Gemma's window, and no longer than need be
ROWS = 64  # rows of probabilities in memory at a time


def texts_of(model, lull, only):
    """name -> tokens: the fixtures' own ids, and the texts as lull tokenises them."""
    fixtures = model.fixtures()
    found = {name: f["tokens"] for name, f in fixtures["logits"].items()}
    flags = ["--bos"] if fixtures["add_bos"] else []
    for path in sorted(program.TEXTS.glob("*.txt")):
        if not only or path.stem == only:
            text = path.read_bytes()
            found["text " + path.stem] = lull.tokens(model.path, text, *flags)[:MAX_TOKENS]
    return {name: ids for name, ids in found.items() if not only or name.endswith(only)}


def digest_of(tokens):
    data = np.asarray(tokens, dtype="<i4").tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


# ---- three sources of rows -----------------------------------------------------------------------


def log_softmax(z):
    z = z.astype(np.float64)
    z -= z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


class Exact:
    """The oracle, with its hidden states kept in a folder."""

    def __init__(self, model, folder):
        self.model = forward.Model(model.path)
        self.folder = folder
        sources = pathlib.Path(model.path), program.TESTS / "oracle/forward.py"
        self.origin = b"".join(hashlib.sha256(p.read_bytes()).digest() for p in sources)

    def hidden_states(self, tokens):
        key = hashlib.sha256(self.origin + np.asarray(tokens, dtype="<i4").tobytes()).hexdigest()
        path = self.folder / f"{key}.npy"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.npy")
            np.save(part, forward.hidden_states(self.model, tokens))
            part.replace(path)
        return np.load(path)

    def blocks(self, tokens):
        hidden = self.hidden_states(tokens)
        for i in range(0, len(tokens), ROWS):
            yield forward.log_probs(self.model, hidden[i:i + ROWS])


def lull_blocks(lull, model, tokens):
    with program.Folder() as folder:
        path = folder / "tokens"
        path.write_text(json.dumps(tokens))
        shape, rows = lull.rows(model.path, "--tokens-file", path)
        assert shape == (len(tokens), model.n_vocab), shape
        block = []
        for row in rows:
            block.append(np.frombuffer(row, dtype="<f4"))
            if len(block) == ROWS:
                yield log_softmax(np.stack(block))
                block = []
        if block:
            yield log_softmax(np.stack(block))


def peer_blocks(peer, tokens):
    peer.clear()
    for logits, n in peer.decode(tokens, wants_all=True):
        rows = np.ctypeslib.as_array(logits, shape=(n, peer.n_vocab))
        for i in range(0, n, ROWS):
            yield log_softmax(rows[i:i + ROWS])


# ---- comparing -----------------------------------------------------------------------------------


class Score:
    """Sums over positions."""

    def __init__(self):
        self.n = self.n_scored = self.n_same = 0
        self.kl = self.nll = self.exact_nll = 0.0

    def add(self, exact, other, next_tokens):
        """Rows [n] of log-probabilities; the tokens that follow all of them or all but the last."""
        self.n += len(exact)
        self.kl += float((np.exp(exact) * (exact - other)).sum())
        self.n_same += int((exact.argmax(-1) == other.argmax(-1)).sum())
        at = np.arange(len(next_tokens)), np.asarray(next_tokens, dtype=int)
        self.n_scored += len(next_tokens)
        self.nll -= float(other[at].sum())
        self.exact_nll -= float(exact[at].sum())

    def merge(self, other):
        for key, value in vars(other).items():
            setattr(self, key, getattr(self, key) + value)

    def figures(self):
        return {"kl": self.kl / self.n, "same_top": self.n_same / self.n,
                "perplexity_ratio": math.exp((self.nll - self.exact_nll) / self.n_scored)}


def score(exact, sources, tokens):
    """Scores of several sources of rows on one text."""
    scores = [Score() for _ in sources]
    at = 0
    for rows in zip(exact.blocks(tokens), *sources, strict=True):
        following = tokens[at + 1:at + 1 + len(rows[0])]
        for s, block in zip(scores, rows[1:]):
            s.add(rows[0], block, following)
        at += len(rows[0])
    return scores


def show(model, text, n, ours, theirs):
    line = f"{model:<14}{text:<16}{n:>6}"
    for f in (ours, theirs):
        if f:
            line += f"   {f['kl']:.3e}  {f['perplexity_ratio']:.4f}  {f['same_top']:.3f}"
    print(line, flush=True)


def check(name, ours, theirs, recorded):
    """What is wrong, as lines. ours, theirs: text -> figures, with "all"; theirs may be empty."""
    wrong = []
    if abs(ours["all"]["perplexity_ratio"] - 1) > PERPLEXITY_WITHIN:
        wrong.append(f"{name}: perplexity is {ours['all']['perplexity_ratio']:.4f} of exact")
    bounds = [("llama.cpp's in this run", theirs), ("llama.cpp's", recorded.get("llama.cpp", {}))]
    for whose, figures in bounds:
        for text in figures:
            kl, bound = ours[text]["kl"], figures[text]["kl"]
            if not kl <= bound:
                wrong.append(f"{name}, {text}: mean KL {kl:.3e} is more than {whose}, {bound:.3e}")
    kl, former = ours["all"]["kl"], recorded["lull"]["all"]["kl"] if recorded else math.inf
    if not kl <= 1.05 * former:
        wrong.append(f"{name}: mean KL {kl:.3e} was {former:.3e}")
    return wrong


def run_model(model, lull, args, record):
    exact = Exact(model, pathlib.Path(lull.env.get("LULL_CACHE") or
                                      pathlib.Path.home() / ".cache/lull") / "oracle")
    texts = texts_of(model, lull, args.text)
    peer = None
    if args.peer:
        sys.path.insert(0, str(program.TESTS.parent / "bench"))
        from peer import Peer
        peer = Peer(model.path, os.cpu_count() or 1, MAX_TOKENS)
    totals = [Score(), Score()]
    ours, theirs = figures = {}, {}
    for name, tokens in texts.items():
        sources = [lull_blocks(lull, model, tokens)]
        if peer:
            sources.append(peer_blocks(peer, tokens))
        for s, total, kept in zip(score(exact, sources, tokens), totals, figures):
            total.merge(s)
            kept[name] = s.figures()
        show(model.name, name, len(tokens), ours[name], theirs.get(name))
    for total, kept in zip(totals[:2 if peer else 1], figures):
        kept["all"] = total.figures()
    show(model.name, "all", totals[0].n, ours["all"], theirs.get("all"))
    digest = digest_of([t for tokens in texts.values() for t in tokens])
    if args.record:
        record[model.name] = {"tokens": digest, "lull": ours, "llama.cpp": theirs}
    if args.kv != "f16" or args.activations != "8":
        return []
    if args.text:
        return check(model.name, ours, theirs, {})
    recorded = record.get(model.name, {})
    if recorded.get("tokens") != digest:
        return [f"{model.name}: {RECORD.name} is about other tokens: see --record"]
    return check(model.name, ours, theirs, recorded)


def main():
    parser = argparse.ArgumentParser(description="Compare with exact probabilities.")
    parser.add_argument("--lull", required=True)
    parser.add_argument("--peer", action="store_true", help="also run llama.cpp (llama-cpp-python)")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD}")
    parser.add_argument("--kv", default="f16", help="f16, or q8: shown only, as bounds are of f16")
    parser.add_argument("--activations", default="8", help="8, or 16: shown only, as bounds are of 8")
    parser.add_argument("--text", help="only the texts whose name ends so")
    args = parser.parse_args()
    if args.record and (not args.peer or args.text):
        parser.error("--record goes with --peer and all texts")
    models = program.real_models()
    if not models:
        print("skipped: LULL_TEST_SMOLLM2 and LULL_TEST_GEMMA3 are not set")
        return program.SKIPPED
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    lull = program.Lull(args.lull, LULL_KV=args.kv, LULL_ACTIVATIONS=args.activations)
    fields = f"{'KL':<9}  {'ppl':<6}  {'top-1'}"
    print(f"{'':<36}   {'lull':<27}{'llama.cpp' if args.peer else ''}")
    print(f"{'model':<14}{'text':<16}{'tokens':>6}" + f"   {fields}" * (2 if args.peer else 1))
    wrong = [line for model in models for line in run_model(model, lull, args, record)]
    if args.record:
        import llama_cpp
        record["origin"] = (f"llama-cpp-python {llama_cpp.__version__} "
                            f"({llama_cpp.llama_print_system_info().decode().strip(' |')}), flash "
                            "attention, f16 keys and values, batches of 512, against "
                            "tests/oracle/forward.py; made by tests/accuracy.py --peer --record")
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
