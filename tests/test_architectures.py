#!/usr/bin/env python3
"""The same bits on another architecture: two programs over the same models, store and cache.

    test_architectures.py --lull build/check/lull --other build/arm64/lull \
        --emulator 'qemu-aarch64 -L build/sysroot-arm64'

Every level of both, logits and sampled texts, states that go from one to the other and back. On
tiny models with random weights, which have all element types between them. Nothing is compared with
a tolerance.
"""
import argparse
import json
import os
import shlex
import shutil
import sys
import unittest

from program import TEXTS, Folder, Lull, tiny_model

N_TOKENS, N_SLEEP = 200, 150
arguments = None


def wrapper(folder):
    """The other program as one that starts by its name."""
    path = folder / "other"
    command = shlex.split(arguments.emulator) + [os.path.abspath(arguments.other)]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)
    return path


class Architectures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scope = Folder()
        cls.folder = scope.__enter__()
        cls.addClassCleanup(scope.__exit__)
        options = {"n_vocab": 300, "n_ctx": 2048}
        cls.models = (
            tiny_model(cls.folder, "llama", embd_dtype="Q6_K", rope_freqs=True, n_head=8,
                       dtype="F32,F16,BF16,Q4_0,Q4_1,Q5_0,Q5_1,Q8_0,Q2_K,Q3_K,Q4_K,Q5_K,Q6_K",
                       **options),
            tiny_model(cls.folder, "gemma3", dtype="Q4_0,Q8_0,Q5_1,F16", embd_dtype="Q8_0",
                       d_model=64, n_kv=1, d_head=32, d_ff=96, window=48, **options))
        shared = {"LULL_THREADS": "2", "LULL_HOME": str(cls.folder / "home")}
        cls.ours = Lull(arguments.lull, cls.folder / "cache", **shared)
        cls.other = Lull(wrapper(cls.folder), cls.folder / "cache", **shared)

    def levels(self, lull):
        """The program at each of its levels."""
        names = lull.json("doctor")["cpu"]["levels"]
        self.assertGreater(len(names), 1, "nothing but plain C")
        return {name: lull.with_env(LULL_CPU=name) for name in names}

    def tokens(self, model):
        ids = self.ours.tokens(model, (TEXTS / "prose.txt").read_bytes())
        self.assertGreater(len(ids), N_TOKENS)
        return ids[:N_TOKENS]

    def file_of(self, tokens):
        path = self.folder / "tokens.json"
        path.write_text(json.dumps(tokens))
        return path

    def test_they_differ(self):
        """That an emulator stands between is no reason to compare a program with itself."""
        self.assertNotEqual(self.ours.json("doctor")["cpu"]["levels"],
                            self.other.json("doctor")["cpu"]["levels"])

    def check_logits(self, model, *flags):
        file = self.file_of(self.tokens(model))
        want = self.ours.logits_digest(model, "--tokens-file", file, *flags)
        for lull in (self.ours, self.other):
            for name, at_level in self.levels(lull).items():
                with self.subTest(model=model, level=name):
                    got = at_level.logits_digest(model, "--tokens-file", file, "--chunk", 64, *flags)
                    self.assertEqual(got, want)

    def test_logits(self):
        for model in self.models:
            self.check_logits(model)

    def test_logits_of_16_bits(self):
        for model in self.models:
            self.check_logits(model, "--activations", "16")

    def test_keys_of_8_bits(self):
        """With how far they are from 16, which a state's card says."""
        model = self.models[1]
        self.check_logits(model, "--kv", "q8")
        cards = []
        for n, lull in enumerate((self.ours, self.other)):
            with_cache = lull.with_env(LULL_CACHE=str(self.folder / f"cache-{n}"))
            with_cache.ok("logits", model, "--tokens", "1,2,3", "--kv", "q8", "-o", "/dev/null",
                          "--sleep", f"q{n}")
            cards.append(with_cache.json("show", f"q{n}")["card"])
        self.assertIn("drift", cards[0])
        self.assertEqual(*cards)

    def test_sampled_text(self):
        for model in self.models:
            args = ("run", model, "--raw", "-p", "Ships", "-n", 40, "--temperature", 0.9, "--top-p",
                    0.95, "--seed", 3, "--repeat-penalty", 1.2, "--ignore-eos")
            self.assertEqual(self.other.ok(*args), self.ours.ok(*args))

    def test_states(self):
        for model in self.models:
            tokens = self.tokens(model)
            file = self.file_of(tokens)
            want = self.ours.logits_digest(model, "--tokens-file", file, "--skip", N_SLEEP)
            first, rest = self.file_of(tokens[:N_SLEEP]), ",".join(map(str, tokens[N_SLEEP:]))
            for asleep, awake in ((self.ours, self.other), (self.other, self.ours)):
                shutil.rmtree(self.folder / "home", ignore_errors=True)
                asleep.ok("logits", model, "--tokens-file", first, "--last", "-o", "/dev/null",
                          "--sleep", "state")
                got = awake.logits_digest(model, "--wake", "state", "--tokens", rest)
                self.assertEqual(got, want)
                awake.ok("verify", "--recompute", "state", "--model", model)


def main():
    global arguments
    parser = argparse.ArgumentParser(description="Compare two programs bit for bit.")
    parser.add_argument("--lull", required=True)
    parser.add_argument("--other", required=True)
    parser.add_argument("--emulator", default="", help="the command that runs the other")
    arguments, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
