#!/usr/bin/env python3
"""Warm equals cold: the logits of a text are one file, bit for bit, however they are computed.

    test_p1.py --lull build/release/lull

With both real models, over 700 tokens: in calls of 1, 7, 64, 512 and all tokens, on 1, 2 and 3
threads, at each CPU level that this machine has (the plain C one over the first 70 tokens), and
again. With Gemma also over 1,100 tokens, across the edges of its sliding window of 512. Nothing is
compared with a tolerance. Exit code 77 when the models are not there.
"""
import argparse
import json
import sys
import time

from program import SKIPPED, TEXTS, Folder, Lull, real_models

N_TOKENS, N_LONG, N_REF = 700, 1100, 70
CHUNKS, THREADS = (1, 7, 64, 512, 0), (1, 2, 3)


class Sweep:
    """Ways of computing one file, and those that did not give it."""

    def __init__(self, lull, model, folder, tokens, n):
        self.lull, self.model, self.n = lull, model, n
        self.file = folder / f"{model.name}-{n}.json"
        self.file.write_text(json.dumps(tokens[:n]))
        self.n_runs, self.wrong = 0, []
        self.first = self.compute(None, 0, 2)

    def compute(self, level, chunk, threads):
        lull = self.lull.with_env(LULL_CPU=level) if level else self.lull
        flags = ["--tokens-file", self.file, "--threads", threads]
        flags += ["--chunk", chunk] if chunk else []
        self.n_runs += 1
        return lull.logits_digest(self.model.path, *flags)

    def expect(self, level, chunk, threads):
        begun = time.monotonic()
        is_same = self.compute(level, chunk, threads) == self.first
        line = (f"{self.model.name}, {self.n} tokens, level {level or 'best'}, chunk "
                f"{chunk or 'all'}, threads {threads}: ")
        print(line + ("same" if is_same else "DIFFERENT"), f"({time.monotonic() - begun:.1f} s)",
              flush=True)
        if not is_same:
            self.wrong.append(line)


def sweeps_of(lull, model, folder, levels):
    flags = ["--bos"] if model.fixtures()["add_bos"] else []
    tokens = lull.tokens(model.path, (TEXTS / "long.txt").read_bytes(), *flags)
    assert len(tokens) >= N_LONG, f"long.txt has {len(tokens)} tokens for {model.name}"
    s = Sweep(lull, model, folder, tokens, N_TOKENS)
    assert s.first[1] > 4 * N_TOKENS * model.n_vocab, "rows are missing"
    s.expect(None, 0, 2)  # again
    for chunk in CHUNKS:
        for threads in THREADS:
            if (chunk, threads) != (0, 2):
                s.expect(None, chunk, threads)
    for level in levels:
        s.expect(level, 0, 2)
        s.expect(level, 64, 1)
    yield s

    s = Sweep(lull, model, folder, tokens, N_REF)
    s.expect("ref", 0, 2)
    for level in levels:
        s.expect(level, 7, 3)
    yield s

    if model.name.startswith("gemma"):
        s = Sweep(lull, model, folder, tokens, N_LONG)
        # Calls that end before, at and after the edges at 512 and 1,024.
        for chunk, threads in ((512, 1), (511, 3), (513, 2), (64, 2), (1, 2)):
            s.expect(None, chunk, threads)
        for level in levels:
            s.expect(level, 300, 2)
        yield s


def main():
    parser = argparse.ArgumentParser(description="Compute the same logits in many ways.")
    parser.add_argument("--lull", required=True)
    args = parser.parse_args()
    models = real_models()
    if not models:
        print("skipped: LULL_TEST_SMOLLM2 and LULL_TEST_GEMMA3 are not set")
        return SKIPPED
    lull = Lull(args.lull)
    cpu = lull.json("doctor")["cpu"]
    levels = [level for level in cpu["levels"] if level not in ("ref", cpu["level"])]
    n_runs, wrong = 0, []
    with Folder() as folder:
        for model in models:
            for s in sweeps_of(lull, model, folder, levels):
                n_runs += s.n_runs
                wrong += s.wrong
    print(f"{n_runs} ways, {len(wrong)} differ, at best level {cpu['level']}, below it {levels}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
