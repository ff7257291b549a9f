#!/usr/bin/env python3
"""The command line as other programs use it: forms, exit codes, what goes where, and what happens
when things go wrong.

    test_cli.py --lull build/release/lull [--models] [unittest arguments]

Without --models on tiny models with random weights, of both kinds of tokenizer; with it on the real
ones (exit code 77 when the environment does not name them), against values from the float64 oracle.
"""
import functools
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import unittest
import xml.etree.ElementTree
from pathlib import Path

from program import (SKIPPED, TESTS, TEXTS, Folder, Lull, Terminal, read_npy, real_models,
                     terminal_env, tiny_model)

TEXT = "The quick brown fox, é ß 世界 🦊\n\ttabs  and   blanks <|im_end|> <end_of_turn> 12345"
NO_EOG = ["--ignore-eos", "--raw"]
program_path = None  # --lull
is_root = os.geteuid() == 0


def log_sum_exp(row):
    top = max(row)
    return top + math.log(math.fsum(math.exp(x - top) for x in row))


class Case(unittest.TestCase):
    """A folder, a cache in it, and two tiny models: `bpe` (llama) and `spm` (gemma3)."""

    @classmethod
    def setUpClass(cls):
        cls.scope = Folder()
        cls.folder = cls.scope.__enter__()
        cls.addClassCleanup(cls.scope.__exit__)
        cls.lull = Lull(program_path, cls.folder / "cache", LULL_THREADS="2")
        options = {"d_model": 64, "n_head": 2, "n_kv": 1, "d_ff": 96, "n_vocab": 320, "n_layer": 2}
        # Untied, or it would repeat one token for ever.
        cls.bpe = tiny_model(cls.folder, "llama", dtype="Q8_0,F16", embd_dtype="Q8_0", untied=True,
                             **options)
        cls.spm = tiny_model(cls.folder, "gemma3", dtype="Q4_0,Q8_0", embd_dtype="Q8_0", window=32,
                             **options)
        cls.models = (cls.bpe, cls.spm)

    def fails(self, code, mention, *args, lull=None, **options):
        """The program must refuse: with this code, nothing on standard output, and a message."""
        done = (lull or self.lull).run(*args, **options)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{args}: {message}")
        self.assertEqual(done.stdout, b"", args)
        self.assertIn(mention, message, args)
        self.assertTrue(message.startswith("lull"), message)
        self.assertLessEqual(message.count("\n"), 2, message)

    @classmethod
    @functools.cache
    def doctor(cls):
        """What `lull doctor` says, asked once: it measures for seconds."""
        return cls.lull.json("doctor")

    def npy(self, *args, lull=None):
        path = self.folder / "out.npy"
        (lull or self.lull).ok("logits", *args, "-o", path)
        shape, rows = read_npy(path)
        path.unlink()
        return shape, rows


class Tokenize(Case):
    def test_round_trip(self):
        for model in self.models:
            for text in (TEXT, "a", " ", "\n\n\n", "\0x", "\x7f\x80 bytes"):
                for flags in ([], ["--special"]):
                    with self.subTest(model=model, text=text, flags=flags):
                        ids = self.lull.tokens(model, text, *flags)
                        self.assertTrue(all(isinstance(i, int) for i in ids))
                        back = self.lull.ok("tokenize", model, "--decode", *flags,
                                            stdin=json.dumps(ids))
                        self.assertEqual(back, text.encode())

    def test_ways_to_give_a_text(self):
        path = self.folder / "text"
        path.write_text(TEXT)
        for model in self.models:
            ids = self.lull.tokens(model, TEXT)
            self.assertEqual(self.lull.json("tokenize", model, "-p", TEXT), ids)
            self.assertEqual(self.lull.json("tokenize", model, "-f", path), ids)
            self.assertEqual(self.lull.json("tokenize", model, stdin=TEXT), ids)
            self.assertEqual(self.lull.json("tokenize", model, stdin=""), [])

    def test_special_and_bos(self):
        bpe_end, spm_end = "<|im_end|>", "<end_of_turn>"
        for model, end, bos in ((self.bpe, bpe_end, 0), (self.spm, spm_end, 2)):
            self.assertEqual(len(self.lull.tokens(model, end, "--special")), 1)
            plain = self.lull.tokens(model, end)
            self.assertGreater(len(plain), 1)
            self.assertEqual(self.lull.tokens(model, end, "--bos"), [bos, *plain])
            # Without --special a control token has no text.
            ids = json.dumps(self.lull.tokens(model, f"a{end}b", "--special"))
            decode = ["tokenize", model, "--decode"]
            self.assertEqual(self.lull.ok(*decode, stdin=ids), b"ab")
            self.assertEqual(self.lull.ok(*decode, "--special", stdin=ids), f"a{end}b".encode())

    def test_decode_json(self):
        ids = json.dumps(self.lull.tokens(self.bpe, TEXT))
        self.assertEqual(self.lull.json("tokenize", self.bpe, "--decode", stdin=ids), TEXT)

    def test_bad_ids(self):
        self.fails(1, "999999", "tokenize", self.bpe, "--decode", stdin="[1, 999999]")
        self.fails(1, "-1", "tokenize", self.bpe, "--decode", stdin="[-1]")
        for text in ("[1, ", "1,,2", "[1] 2", "x", '["1"]', "[1.5]"):
            self.fails(1, "token id", "tokenize", self.bpe, "--decode", stdin=text)


class Logits(Case):
    def test_ways_to_give_tokens(self):
        for model in self.models:
            bos = [2] if model == self.spm else []
            ids = bos + self.lull.tokens(model, TEXT)
            shape, rows = self.npy(model, "--tokens", ",".join(map(str, ids)))
            self.assertEqual(shape, (len(ids), 320))
            for text in (json.dumps(ids), " ".join(map(str, ids)), "\n".join(map(str, ids)) + "\n"):
                path = self.folder / "ids"
                path.write_text(text)
                self.assertEqual(self.npy(model, "--tokens-file", path), (shape, rows))
            path.write_text(TEXT)
            self.assertEqual(self.npy(model, "-f", path), (shape, rows))
            self.assertEqual(self.npy(model, "-p", TEXT), (shape, rows))
            self.assertEqual(self.npy(model, "-p", TEXT, "--no-bos")[0], (len(ids) - len(bos), 320))
            self.assertEqual(self.npy(model, "-p", TEXT, "--last"), ((1, 320), rows[-1:]))

    def test_rows_depend_on_what_is_before(self):
        _, a = self.npy(self.bpe, "--tokens", "5,6,7,8")
        _, b = self.npy(self.bpe, "--tokens", "5,6,9,8")
        self.assertEqual(a[:2], b[:2])
        self.assertNotEqual(a[2], b[2])
        self.assertNotEqual(a[3], b[3])

    def test_log_probs(self):
        for model in self.models:
            _, logits = self.npy(model, "-p", TEXT)
            _, log_probs = self.npy(model, "-p", TEXT, "--log-probs")
            for row, lp in zip(logits, log_probs, strict=True):
                norm = log_sum_exp(row)
                # One rounding to f32 of numbers below 64 in magnitude: half of 2^-18.
                self.assertLess(max(abs(x - norm - y) for x, y in zip(row, lp)), 2**-18)
                self.assertAlmostEqual(math.fsum(map(math.exp, lp)), 1, places=5)

    def test_one_result(self):
        """Whatever the chunk, the threads and the level; more than a page and than a window."""
        rng = random.Random(1)
        ids = ",".join(str(rng.randrange(3, 320)) for _ in range(150))
        levels = self.doctor()["cpu"]["levels"]
        for model in self.models:
            first = self.lull.logits_digest(model, "--tokens", ids)
            for level in levels:
                lull = self.lull.with_env(LULL_CPU=level)
                for chunk, threads in ((1, 1), (7, 3), (64, 2), (1000, 2)):
                    way = ["--tokens", ids, "--chunk", chunk, "--threads", threads]
                    self.assertEqual(lull.logits_digest(model, *way), first, (level, *way[2:]))

    def test_bad_tokens(self):
        out = ["-o", self.folder / "no.npy"]
        self.fails(1, "token 2 is 320", "logits", self.bpe, "--tokens", "1,2,320", *out)
        self.fails(1, "token 0 is -1", "logits", self.bpe, "--tokens", "-1", *out)
        self.fails(2, "token id", "logits", self.bpe, "--tokens", "1,x", *out)
        self.fails(1, "no tokens", "logits", self.bpe, "--tokens", "", *out)
        self.fails(1, "no tokens", "logits", self.bpe, "-p", "", *out)
        self.fails(1, "context", "logits", self.bpe, "--tokens", "1,2,3,4,5", "--ctx", 4, *out)
        self.fails(2, "-o", "logits", self.bpe, "--tokens", "1")
        self.fails(2, "one of", "logits", self.bpe, "--tokens", "1", "-p", "a", *out)
        self.fails(2, "one of", "logits", self.bpe, *out)
        self.assertFalse((self.folder / "no.npy").exists())

    def test_output_cannot_be_written(self):
        self.fails(1, "no/where", "logits", self.bpe, "-p", "a", "-o", self.folder / "no/where.npy")
        self.fails(1, "/dev/full", "logits", self.bpe, "-p", "a", "-o", "/dev/full")
        kept = self.folder / "kept.npy"
        kept.write_bytes(b"kept")

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

        done = subprocess.run([program_path, "logits", self.bpe, "-p", TEXT, "-o", kept],
                              env=self.lull.env, preexec_fn=limit, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(kept.read_bytes(), b"kept")
        self.assertEqual([p.name for p in self.folder.glob("*kept*")], ["kept.npy"])


class Run(Case):
    def answer(self, model, *args):
        return self.lull.json("run", model, *args)

    def test_draft(self):
        """Guesses change nothing but the time."""
        text = "the cat sat on the mat and " * 6
        args = ("run", self.bpe, "--raw", "-p", text, "-n", 60, "--ignore-eos", "--temp", 0)
        off = self.lull.json(*args, "--draft", "off")
        self.assertNotIn("drafted", off["timings"])
        for draft in ("auto", "1", "11", "500"):
            out = self.lull.json(*args, "--draft", draft)
            self.assertEqual(out["tokens"], off["tokens"])
            self.assertLessEqual(out["timings"]["accepted"], out["timings"]["drafted"])
        for wrong in ("x", "-1", "3x"):
            self.fails(2, "--draft takes", *args, "--draft", wrong)

    def test_json(self):
        for model in self.models:
            for flags in ([], ["--raw"]):
                out = self.answer(model, "-p", "Hello", "-n", 5, "--ignore-eos", *flags)
                self.assertEqual(list(out), ["text", "tokens", "prompt_tokens", "finish_reason",
                                             "timings", "reused_tokens", "computed_tokens"])
                for guesses in ("drafted", "accepted"):
                    out["timings"].pop(guesses, None)
                self.assertEqual(list(out["timings"]), ["load_ms", "prompt_ms", "prompt_tok_s",
                                                        "first_token_ms", "gen_ms", "gen_tok_s",
                                                        "evals"])
                self.assertIn(out["timings"].pop("evals"), range(5))
                for key, value in out["timings"].items():
                    self.assertIsInstance(value, float, key)
                    self.assertGreater(value, 0, key)
                self.assertEqual(len(out["tokens"]), 5)
                self.assertEqual(out["finish_reason"], "length")
                ids = json.dumps(out["tokens"])
                back = self.lull.json("tokenize", model, "--decode", stdin=ids)
                self.assertEqual(out["text"], back)
        ids = self.lull.tokens(self.bpe, "Hello", "--special")
        self.assertEqual(self.answer(self.bpe, "-p", "Hello", "-n", 1, "--raw")["prompt_tokens"],
                         len(ids))
        self.assertGreater(self.answer(self.bpe, "-p", "Hello", "-n", 1)["prompt_tokens"], len(ids))

    def test_greedy_is_the_likeliest(self):
        for model in self.models:
            out = self.answer(model, "-p", "Hello", "-n", 8, *NO_EOG)
            bos = ["--bos"] if model == self.spm else []
            prompt = self.lull.tokens(model, "Hello", "--special", *bos)
            _, rows = self.npy(model, "--tokens", ",".join(map(str, prompt + out["tokens"])))
            likeliest = [max(range(320), key=row.__getitem__) for row in rows]
            self.assertEqual(out["tokens"], likeliest[len(prompt) - 1:-1])

    def test_finish(self):
        whole = self.answer(self.bpe, "-p", "Hello", "-n", 12, *NO_EOG)
        text = whole["text"]
        stop = next(text[i] for i in range(3, len(text)) if text[i] not in text[:i]
                    and text[i] != "\ufffd")
        out = self.answer(self.bpe, "-p", "Hello", "-n", 12, "--stop", stop, *NO_EOG)
        self.assertEqual((out["finish_reason"], out["text"]), ("stop_string", text[:text.index(stop)]))
        out = self.answer(self.bpe, "-p", "Hello", "--ctx", out["prompt_tokens"] + 3, *NO_EOG)
        self.assertEqual(out["finish_reason"], "context")
        out = self.answer(self.bpe, "-p", "Hello", "-n", 0, *NO_EOG)
        self.assertEqual((out["finish_reason"], out["tokens"], out["text"]), ("length", [], ""))

    def test_seed(self):
        draw = ["-p", "Hello", "-n", 12, "--temperature", 1, *NO_EOG]
        first = self.answer(self.bpe, *draw, "--seed", 7)
        self.assertEqual(first["seed"], 7)
        self.assertEqual(self.answer(self.bpe, *draw, "--seed", 7)["tokens"], first["tokens"])
        self.assertNotEqual(self.answer(self.bpe, *draw, "--seed", 8)["tokens"], first["tokens"])
        drawn = self.answer(self.bpe, *draw)
        again = self.answer(self.bpe, *draw, "--seed", drawn["seed"])
        self.assertEqual(again["tokens"], drawn["tokens"])

    def test_logit_bias(self):
        ask = [self.bpe, "-p", "Hello", "-n", 4, *NO_EOG]
        first = self.answer(*ask)["tokens"][0]
        out = self.answer(*ask, "--logit-bias", f"{first}=-inf")
        self.assertNotIn(first, out["tokens"])
        out = self.answer(*ask, "--logit-bias", "9=100")
        self.assertEqual(out["tokens"], [9] * 4)

    def test_streams(self):
        """The text alone on standard output, one line feed after it; nothing else in a pipe."""
        out = self.answer(self.bpe, "-p", "Hello", "-n", 8, *NO_EOG)
        done = self.lull.run("run", self.bpe, "-p", "Hello", "-n", 8, *NO_EOG)
        text = done.stdout.decode(errors="replace")
        self.assertEqual(text, out["text"] if out["text"].endswith("\n") else out["text"] + "\n")
        self.assertEqual(done.stderr, b"")
        done = self.lull.run("run", self.bpe, "-p", "Hello", "-n", 8, "--stats", *NO_EOG)
        self.assertEqual(done.stdout.decode(errors="replace"), text)
        for word in ("weights", "keys and values", "buffers", "tok/s"):
            self.assertIn(word, done.stderr.decode())

    def test_prompts(self):
        path = self.folder / "prompt"
        path.write_text("Hello\n")
        ids = self.answer(self.bpe, "-p", "Hello", "-n", 4)["tokens"]
        self.assertEqual(self.answer(self.bpe, "-f", path, "-n", 4)["tokens"], ids)
        self.assertEqual(self.lull.json("run", self.bpe, "-n", 4, stdin="Hello\n")["tokens"], ids)
        self.fails(1, "empty", "run", self.bpe, "--raw", "-p", "")
        self.fails(1, "--ctx", "run", self.bpe, "--raw", "-p", "word " * 50, "--ctx", 8)
        self.fails(2, "not both", "run", self.bpe, "-p", "a", "-f", path)
        self.fails(1, "no/file", "run", self.bpe, "-f", self.folder / "no/file")

    def test_long_prompt(self):
        """An answer after more tokens than ids of calls have numbers for."""
        path = self.folder / "long prompt"
        path.write_text("ab" * 50000)
        args = [self.spm, "--raw", "-f", path, "-n", 1, "--ctx", 200000, "--ignore-eos"]
        out = self.answer(*args)
        self.assertGreater(out["prompt_tokens"], 90000)
        self.assertEqual(len(out["tokens"]), 1)


class Eval(Case):
    def expected(self, model, window):
        """Sum of -log p over windows, from the logits of each."""
        ids, bos = self.lull.tokens(model, TEXT), [2] if model == self.spm else []
        step = (window or len(ids) + len(bos)) - len(bos)
        nll = []
        for first in range(0, len(ids), step):
            part = bos + ids[first:first + step]
            if len(part) < 2:
                continue
            _, rows = self.npy(model, "--tokens", ",".join(map(str, part)))
            nll += [log_sum_exp(rows[i]) - rows[i][part[i + 1]] for i in range(len(part) - 1)]
        return len(ids), nll

    def test_against_logits(self):
        for model in self.models:
            for window in (None, 16):
                flags = ["--window", window] if window else []
                out = self.lull.json("eval", model, "-p", TEXT, *flags)
                n, nll = self.expected(model, window)
                self.assertEqual(list(out), ["tokens", "scored", "mean_nll", "perplexity"])
                self.assertEqual((out["tokens"], out["scored"]), (n, len(nll)))
                self.assertAlmostEqual(out["mean_nll"], math.fsum(nll) / len(nll), delta=1e-8)
                self.assertAlmostEqual(out["perplexity"] / math.exp(out["mean_nll"]), 1, delta=1e-8)

    def test_too_short(self):
        self.fails(1, "too short", "eval", self.bpe, "-p", "")


class Facts(Case):
    """inspect, bench and doctor."""

    def test_inspect(self):
        out = self.lull.json("inspect", self.bpe)
        self.assertEqual(out["metadata"]["general.architecture"]["value"], "llama")
        self.assertEqual(out["tensors"][0]["shape"], [64, 320])
        self.assertIn(b"token_embd.weight", self.lull.ok("inspect", self.bpe))

    def decode_bytes(self, model, depth, n, window):
        """Of one token, by hand: each matrix once (these formats are packed at their file's size
        and these matrices have whole tiles), and 2 x 2 bytes for each position, dimension and
        layer."""
        tensors = self.lull.json("inspect", model)["tensors"]
        # Of two tables of tokens the one for input is looked up in, not multiplied by.
        is_untied = any(t["name"] == "output.weight" for t in tensors)
        weights = sum(t["bytes"] for t in tensors if len(t["shape"]) == 2
                      and not (is_untied and t["name"] == "token_embd.weight"))
        positions = 0
        for layer in range(2):
            seen = [min(i, window) if window else i for i in range(depth + 1, depth + n + 1)]
            positions += sum(seen) / n
        return weights + positions * 32 * 2 * 2

    def test_bench(self):
        for model, window, counts in ((self.bpe, None, [1, 2]), (self.spm, 32, [2])):
            out = self.lull.json("bench", model, "-p", "8,20", "-n", 4, "-d", "0,70", "--threads",
                                 ",".join(map(str, counts)), "--reps", 2)
            seen = [(r["test"], r["depth"], r["threads"]) for r in out["rows"]]
            self.assertEqual(seen, [(test, depth, threads) for threads in counts
                                    for depth in (0, 70) for test in ("pp8", "pp20", "tg4")])
            for r in out["rows"]:
                self.assertEqual(list(r), ["test", "depth", "threads", "tok_s", "bytes_per_token",
                                           "roof_share", "roofs"])
                speed = r["tok_s"]
                self.assertEqual(list(speed), ["min", "median", "max"])
                self.assertTrue(0 < speed["min"] <= speed["median"] <= speed["max"])
                self.assertGreater(r["roof_share"], 0)
                expected = self.decode_bytes(model, r["depth"], 4, window)
                if r["test"] == "tg4":
                    self.assertAlmostEqual(r["bytes_per_token"], expected, delta=1e-3)
                else:
                    self.assertLess(r["bytes_per_token"], expected / 4)
            self.assertEqual([r["threads"] for r in out["roofs"]], counts)
            for r in out["roofs"]:
                for key in ("read_bytes_s", "f32_fma_s", "int8_mac_s"):
                    self.assertGreater(r[key], 0)

    def test_bench_for_people(self):
        out = self.lull.ok("bench", self.bpe, "-p", 8, "-n", 0, "--reps", 1).decode()
        for word in ("pp8", "tok/s", "of the roof", "GB/s"):
            self.assertIn(word, out)
        self.assertNotIn("tg", out)
        self.fails(2, "nothing", "bench", self.bpe, "-p", 0, "-n", 0)

    def test_profile(self):
        svg = self.folder / "profile.svg"
        args = ("bench", self.bpe, "-p", 8, "-n", 4, "-d", "0,70", "--threads", "1,2", "--reps", 2)
        out = self.lull.json(*args, "--profile", "--svg", svg)
        self.assertEqual(len(out["rows"]), 8)
        for row in out["rows"]:
            names = [o["operation"] for o in row["profile"]]
            for name in ("attn_q, attn_k, attn_v", "attention", "ffn_gate, ffn_up", "output matrix",
                         "outside of steps"):
                self.assertIn(name, names)
            total = sum(o["us_per_token"] for o in row["profile"])
            self.assertGreater(row["tok_s"]["max"] * 1.001, 1e6 / total)
            self.assertLess(row["tok_s"]["min"] * 0.999, 1e6 / total)
            for o in row["profile"]:
                if o["steps"]:
                    self.assertLessEqual(0, o["waited_us_per_token"])
        text = self.lull.ok("bench", self.bpe, "-p", 0, "-n", 4, "-d", 70, "--threads", 1, "--reps", 1,
                            "--profile").decode()
        self.assertIn("tg4 at depth 70, 1 thread", text)
        root = xml.etree.ElementTree.parse(svg).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
        self.assertTrue(any(t.startswith("layer 0:") for t in titles))
        self.fails(1, "/no/such", "bench", self.bpe, "-p", 1, "-n", 0, "--svg", "/no/such/a.svg")
        self.fails(2, "--threads", "bench", self.bpe, "--threads", "1,x")

    def test_doctor(self):
        out = self.doctor()
        self.assertEqual(set(out), {"version", "numerics", "cpu", "memory", "cache", "libraries",
                                    "roofs"})
        self.assertIn("sqlite", out["libraries"])
        self.assertEqual(out["cpu"]["levels"][0], "ref")
        chosen = [level for level in out["cpu"]["levels"] if level != "amx"]  # amx: only by name
        self.assertEqual(out["cpu"]["level"], chosen[-1])
        self.assertEqual(out["cpu"]["cores"], len(os.sched_getaffinity(0)))
        self.assertEqual(out["cache"]["path"], str(self.folder / "cache"))
        self.assertTrue(out["cache"]["is_writable"])
        self.assertGreater(out["memory"]["total_bytes"], out["memory"]["available_bytes"])
        lowered = self.lull.with_env(LULL_CPU="ref").ok("doctor").decode()
        self.assertIn("; ref is used, as LULL_CPU says", lowered)
        self.assertIn("GB/s", lowered)
        done = self.lull.with_env(LULL_CPU="mmx").run("doctor")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"mmx", done.stdout)

    def test_forecast(self):
        """What doctor forecasts is what run --stats then shows."""
        for model in self.models:
            told = self.lull.json("doctor", model, "--ctx", 128)["model"]
            self.assertEqual(told["ctx"], 128)
            self.assertEqual(told["total_bytes"],
                             told["weight_bytes"] + told["kv_bytes"] + told["work_bytes"])
            self.assertEqual(told["kv_token_bytes"], 2 * 2 * 32 * 2)  # layers, K and V, dims, f16
            self.assertGreaterEqual(told["kv_bytes"], 128 * told["kv_token_bytes"])
            self.assertTrue(told["fits"])
            bench = self.lull.json("bench", model, "-p", 1, "-n", 0, "--threads", 1, "--reps", 1)
            self.assertEqual(told["weight_bytes"], bench["weight_bytes"])
        self.fails(1, "no-such", "doctor", "no-such.gguf")


class Errors(Case):
    VERBS = (["run", "-p", "a"], ["chat"], ["eval", "-p", "ab"], ["logits", "-p", "a", "-o",
             "/dev/null"], ["tokenize", "-p", "a"], ["inspect"], ["bench"], ["doctor"])

    def test_usage(self):
        for args in ([], ["frobnicate"], ["rum"], ["help", "frobnicate"], ["run"],
                     ["run", "--nope"], ["run", self.bpe, "-n"],
                     ["run", self.bpe, "-n", "many", "-p", "a"],
                     ["run", self.bpe, "--top-p", "2", "-p", "a"], ["run", self.bpe, "a", "b"],
                     ["run", self.bpe, "--logit-bias", "x", "-p", "a"],
                     ["run", self.bpe, "-p", "a", "--kv", "q4"],
                     ["logits", self.bpe, "--tokens", "1"], ["export", "a"], ["inspect"], ["bench"],
                     ["bench", self.bpe, "--reps", "0"], ["doctor", self.bpe, self.spm]):
            done = self.lull.run(*args)
            self.assertEqual((done.returncode, done.stdout), (2, b""), args)
            self.assertTrue(done.stderr, args)
        self.assertIn(b"run", self.lull.run("rum").stderr)

    def test_help(self):
        self.assertRegex(self.lull.ok("--version").decode(), r"^lull \d+\.\d+\.\d+\n$")
        overview = self.lull.ok("help").decode()
        for verb in (v[0] for v in self.VERBS):
            self.assertIn(verb, overview)
            page = self.lull.ok(verb, "--help").decode()
            self.assertIn("usage:", page)
            self.assertEqual(self.lull.ok("help", verb).decode(), page)
            for line in (overview + page).splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_files_that_are_no_models(self):
        text, locked = self.folder / "text.gguf", self.folder / "locked.gguf"
        empty = self.folder / "empty.gguf"
        text.write_text("not a model\n" * 100)
        empty.write_bytes(b"")
        shutil.copy(self.bpe, locked)
        locked.chmod(0)
        paths = ["no/such.gguf", str(self.folder), str(text), str(empty), "/dev/null"]
        if not is_root:  # who may read everything
            paths.append(str(locked))
        for path in paths:
            for verb, *args in self.VERBS:
                self.fails(1, path, verb, path, *args)

    def test_environment(self):
        for name, value in (("LULL_THREADS", "many"), ("LULL_THREADS", "0"), ("LULL_CPU", "mmx")):
            lull = self.lull.with_env(**{name: value})
            self.fails(1, value, "run", self.bpe, "-p", "a", lull=lull)

    def test_standard_output_is_full(self):
        for verb, *args in self.VERBS:
            if verb in ("logits", "chat", "bench", "doctor"):
                continue
            with open("/dev/full", "wb") as full:
                done = subprocess.run([program_path, verb, self.bpe, *args], env=self.lull.env,
                                      stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                                      timeout=60)
            self.assertEqual(done.returncode, 1, verb)
            self.assertIn(b"standard output", done.stderr)


class Cache(Case):
    """The folder for packed weights is a convenience: whatever is wrong with it, results are the
    same."""

    def setUp(self):
        self.cache = self.folder / f"cache of {self.id().split('.')[-1]}"
        self.local = Lull(program_path, self.cache)
        self.want = self.lull.logits_digest(self.bpe, "-p", TEXT)

    def packs(self):
        return sorted((self.cache / "packs").glob("*"))

    def check_same(self, lull=None):
        self.assertEqual((lull or self.local).logits_digest(self.bpe, "-p", TEXT), self.want)

    def stats(self):
        return self.local.run("run", self.bpe, "-p", "a", "-n", 1, "--stats").stderr.decode()

    def test_second_start(self):
        self.check_same()
        self.assertEqual(len(self.packs()), 1)
        before = self.packs()[0].stat()
        self.assertIn("from the cache", self.stats())
        self.check_same()
        self.assertEqual(self.packs()[0].stat().st_mtime_ns, before.st_mtime_ns)
        # Another path to the same content finds the same pack.
        copy = self.folder / "copy.gguf"
        shutil.copy(self.bpe, copy)
        self.assertEqual(self.local.logits_digest(copy, "-p", TEXT), self.want)
        self.assertEqual(len(self.packs()), 1)

    def test_damaged_pack(self):
        self.check_same()
        path = self.packs()[0]
        whole = path.read_bytes()
        for at in (0, 9, 40, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1:])
            self.check_same()
        for end in (0, 1, 63, 64, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:end])
            self.check_same()
        path.write_bytes(whole + b"more")
        self.check_same()

    def test_model_changes_in_place(self):
        """Same path, inode and size, but other weights: the cached digest must not be believed."""
        path = self.folder / "changing.gguf"
        shutil.copy(self.bpe, path)
        self.check_same()
        self.assertEqual(self.local.logits_digest(path, "-p", TEXT), self.want)
        tensors = self.lull.json("inspect", path)["tensors"]
        place = next(t for t in tensors if t["name"] == "blk.0.ffn_gate.weight")
        time.sleep(0.02)  # file systems tell times apart to some milliseconds
        with open(path, "r+b") as f:
            f.seek(place["offset"] + 5)
            byte = f.read(1)[0]
            f.seek(place["offset"] + 5)
            f.write(bytes([byte ^ 64]))
        self.assertNotEqual(self.local.logits_digest(path, "-p", TEXT), self.want)

    def test_folder_is_a_file(self):
        self.cache.write_text("a file")
        self.check_same()
        self.assertEqual(self.cache.read_text(), "a file")
        self.assertIn("prepared now", self.stats())
        self.assertFalse(self.local.json("doctor")["cache"]["is_writable"])

    @unittest.skipIf(is_root, "root may write everywhere")
    def test_folder_is_not_writable(self):
        self.cache.mkdir()
        self.cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
        self.check_same()
        self.assertEqual(list(self.cache.iterdir()), [])

    def test_no_folder(self):
        lull = Lull(program_path)
        for name in ("LULL_CACHE", "XDG_CACHE_HOME", "HOME"):
            lull.env.pop(name, None)
        self.check_same(lull)

    def test_file_size_limit(self):
        """As on a full disk, a write fails half way."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        done = subprocess.run([program_path, "run", self.bpe, "--stats", "-p", "a", "-n", "4"],
                              env=self.local.env, preexec_fn=limit, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"prepared now", done.stderr)
        self.assertEqual(self.packs(), [])
        self.check_same()
        self.assertEqual(len(self.packs()), 1)

    def test_full_disk(self):
        self.cache.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(self.cache)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("this user may not mount")
        try:
            self.check_same()
            self.assertEqual(self.packs(), [])
            self.check_same()
        finally:
            subprocess.run(["umount", str(self.cache)], check=True)


class Signals(Case):
    ENDLESS = ["--ignore-eos", "--ctx", "2000000"]

    def test_run(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for flags in ([], ["--json"]):
                process = subprocess.Popen(
                    [program_path, "run", self.bpe, "-p", "Hello", *self.ENDLESS, *flags],
                    env=self.lull.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)
                if flags:
                    time.sleep(1)
                else:
                    process.stdout.read(1)
                process.send_signal(number)
                out, _ = process.communicate(timeout=20)
                self.assertEqual(process.returncode, code)
                if flags:
                    self.assertEqual(json.loads(out)["finish_reason"], "cancelled")

    def test_prompt(self):
        """Also while a long prompt is read."""
        path = self.folder / "long"
        path.write_text("word " * 200000)
        process = subprocess.Popen(
            [program_path, "run", self.bpe, "--raw", "-f", path, *self.ENDLESS], env=self.lull.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out), (130, b""))

    def test_bench(self):
        process = subprocess.Popen(
            [program_path, "bench", self.bpe, "--reps", "1000", "-p", "4000"], env=self.lull.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out), (130, b""))

    def test_reader_goes_away(self):
        process = subprocess.Popen([program_path, "run", self.bpe, "-p", "Hello", *self.ENDLESS],
                                   env=self.lull.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.read(1)
        process.stdout.close()
        self.assertIn(process.wait(timeout=20), (1, -signal.SIGPIPE))


class Chat(Case):
    def start(self, *args):
        env = terminal_env(self.lull, self.folder)
        return Terminal([program_path, "chat", self.bpe, *args], env)

    def test_interrupt(self):
        """Ctrl-C ends an answer, not the chat; Ctrl-D ends the chat."""
        t = self.start(*Signals.ENDLESS)
        t.wait_for("> ")
        for _ in range(2):
            t.type("Hello\r")
            t.wait_for("Hello")
            t.wait_for_more(200)
            t.type("\x03")
            t.wait_for("[interrupted]")
            t.wait_for("> ")
        t.type("/stats\r")
        t.wait_for("positions")
        t.wait_for("> ")
        t.type("\x04")
        self.assertEqual(t.exit_code(), 0, t.seen[-1000:])

    def test_commands(self):
        t = self.start("-n", "3", "--ignore-eos")
        t.wait_for("> ")
        for command, answer in (("/help", "/undo"), ("/undo", "nothing"),
                                ("/system Be brief.", "> "), ("/system", "Be brief."),
                                ("/nonsense", "/nonsense")):
            t.type(command + "\r")
            t.wait_for(answer)
        t.type("/exit\r")
        self.assertEqual(t.exit_code(), 0)

    def test_pipe(self):
        """Without a terminal each line is a message, and the answers alone are printed."""
        flags = ["--temperature", 0, "-n", 4, "--ignore-eos"]
        done = self.lull.run("chat", self.bpe, *flags, stdin="Hello\n")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        answer = self.lull.ok("run", self.bpe, "-p", "Hello", "-n", 4, "--ignore-eos")
        self.assertEqual(done.stdout, answer)
        self.assertEqual(self.lull.ok("chat", self.bpe, stdin=""), b"")


class States(Case):
    """Names that are given to states, and what chats and runs that wake go on with."""

    def setUp(self):
        home = self.folder / f"home of {self.id().split('.')[-1]}"
        self.lull = self.lull.with_env(LULL_HOME=str(home))

    def names(self):
        return {state["name"] for state in self.lull.json("ls")}

    def test_bad_names(self):
        """Names are looked at before anything is done: neither model nor file nor state need be there."""
        evaluating = (("read", "no.gguf", "no.txt", "--as"),
                      ("run", "no.gguf", "-p", "x", "--sleep"), ("chat", "no.gguf", "--sleep"),
                      ("logits", "no.gguf", "-p", "x", "-o", "no.npy", "--sleep"))
        for name in ("", "-x", "a/b", "a@b", "#3", "a:1", "a\tb", "x" * 201):
            for verb, *args in evaluating:
                self.fails(2, "a name", verb, *args[:-1], f"{args[-1]}={name}")
                self.fails(2, "a tag", verb, *args, "x", f"--tag={name}")
            for verb in ("fork", "mv", "fold"):
                self.fails(2, "a name", verb, "--", "no-state", name)
            self.fails(2, "a tag", "tag", "--", "no-state", "good", name)

    def test_unfinished_names(self):
        """What is called like an unfinished reading, and is none, stays."""
        for name in ("a", "b"):
            (self.folder / name).write_text(f"file {name}")
        for name in ("x.reading", "x"):
            self.lull.ok("read", self.bpe, self.folder / "a", "--as", name)
        self.assertEqual(self.names(), {"x.reading", "x"})
        for name in ("y" * 200, "é" * 100):
            self.lull.ok("read", self.bpe, self.folder / "b", "--as", name)
            self.assertIn(name, self.names())

    def test_cancelled_message(self):
        """A message whose answer is cancelled before it has text is neither said nor in the tokens."""
        self.lull.ok("run", self.bpe, "-p", "FIRST", "-n", 3, "--logit-bias", "40=1000", "--sleep", "a")
        # Without end, a control token, which has no text.
        process = subprocess.Popen([program_path, "chat", self.bpe, "--wake", "a", "--sleep", "b",
                                    "--logit-bias", "1=1000", "--ignore-eos", "--ctx", "1000000"],
                                   env=self.lull.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdin.write(b"CANCELLED\n")
        process.stdin.flush()
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        out, message = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out), (143, b""), message)
        self.assertIn(b"asleep as b", message)
        for name in ("b", "c"):
            ids = self.lull.json("show", name, "--tokens")["tokens"]
            text = self.lull.ok("tokenize", self.bpe, "--decode", "--special", stdin=json.dumps(ids))
            self.assertEqual((b"FIRST" in text, b"CANCELLED" in text), (True, False))
            self.lull.ok("run", self.bpe, "--wake", "b", "-p", "THIRD", "-n", 1, "--sleep", "c")
        said = [m["content"] for m in self.lull.json("show", "c")["session"]["messages"]]
        self.assertEqual((said[0], said[2]), ("FIRST", "THIRD"))

    def test_escapes(self):
        """Messages that are shown again do not steer the terminal."""
        self.lull.ok("run", self.bpe, "-p", "a \x1b]0;title\x07 b \x9b c\n\td \xe9", "-n", 2, "--sleep", "e")
        t = Terminal([program_path, "chat", self.bpe], terminal_env(self.lull, self.folder))
        t.wait_for("> ")
        t.type("/wake e\r")
        t.wait_for("user: a")
        t.wait_for("d \xe9")
        t.type("/undo\r")
        t.wait_for("taken back: a")
        t.wait_for("> ")
        t.type("\x04")
        self.assertEqual(t.exit_code(), 0)
        for escape in (b"\x1b]0;", b"\x07", b"\xc2\x9b"):
            self.assertNotIn(escape, t.raw)

    def test_chat_name(self):
        """A chat that wakes a state by its name goes on as it; by another word, it keeps the name it had."""
        for _ in range(2):
            self.lull.ok("run", self.bpe, "-p", "hello", "-n", 3, "--sleep", "a")
        for word, name in (("a@{1}", "work"), ("#1", "work"), ("a:5", "work"), ("a", "a")):
            before = self.lull.json("ls")
            self.lull.ok("chat", self.bpe, "--sleep", "work", "-n", 3, stdin=f"/wake {word}\nhello\n")
            moved = [s["name"] for s in self.lull.json("ls") if s not in before]
            self.assertEqual(moved, [name])

    def test_woken_bias(self):
        """The bias that a state fell asleep with outlives the session that it came with."""
        self.lull.ok("run", self.bpe, "-p", "hello", "-n", 3, "--logit-bias", "40=1000", "--sleep", "a")
        want = self.lull.ok("run", self.bpe, "--wake", "a", "-p", "one", "-n", 3)
        for lines in ("one\ntwo\nthree\n", "one\n/wake a\ntwo\n/wake a\nthree\n"):
            done = self.lull.run("chat", self.bpe, "--wake", "a", "-n", 3, stdin=lines)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, want * 3)


class Models(unittest.TestCase):
    """The real models against the oracle's fixtures."""

    @classmethod
    def setUpClass(cls):
        cls.lull = Lull(program_path)

    def each(self):
        for model in real_models():
            fixtures = model.fixtures()
            for name, text in fixtures["logits"].items():
                with self.subTest(model=model.name, text=name):
                    yield model, fixtures, text

    def test_tokens(self):
        for model, fixtures, text in self.each():
            flags = ["--bos"] if fixtures["add_bos"] else []
            self.assertEqual(self.lull.tokens(model.path, text["text"], *flags), text["tokens"])

    def test_perplexity(self):
        for model, _, text in self.each():
            out = self.lull.json("eval", model.path, "-p", text["text"])
            self.assertAlmostEqual(math.exp(out["mean_nll"] - text["mean_nll"]), 1, delta=0.005)

    def test_likeliest_tokens(self):
        """The oracle's likeliest token where it leads by 0.05 nats, at nearly every position; its
        log-probability to 0.05 nats in the mean."""
        for model, _, text in self.each():
            shape, rows = self.lull.rows(model.path, "--log-probs", "--tokens",
                                         ",".join(map(str, text["tokens"])))
            self.assertEqual(shape, (len(text["tokens"]), model.n_vocab))
            n_clear = n_same = error = 0
            for row, top in zip(rows, text["top"], strict=True):
                (first, lp), (_, second_lp) = top[:2]
                error += abs(row[first] - lp)
                if lp - second_lp > 0.05:
                    n_clear += 1
                    n_same += max(row) == row[first]
            self.assertLess(error / shape[0], 0.05)
            self.assertGreaterEqual(n_same, 0.99 * n_clear - 1)

    def test_greedy(self):
        """The oracle's greedy continuation, as far as margins of 0.05 nats decide it."""
        for model, fixtures, text in self.each():
            prompt = text["tokens"][:text["greedy_from"]]
            clear = 0
            while clear < len(text["greedy"]) and text["greedy"][clear][1] > 0.05:
                clear += 1
            want = [token for token, _ in text["greedy"]]
            shape, rows = self.lull.rows(model.path, "--tokens",
                                         ",".join(map(str, prompt + want[:-1])))
            likeliest = [max(range(len(row)), key=row.__getitem__) for i, row in enumerate(rows)
                         if i >= len(prompt) - 1]
            for seen, (token, margin) in zip(likeliest, text["greedy"], strict=True):
                if margin > 0.05:
                    self.assertEqual(seen, token)
            # And by way of `run`, when the text of the prompt has the same tokens.
            bos = prompt[:1] if fixtures["add_bos"] else []
            as_text = self.lull.ok("tokenize", model.path, "--decode",
                                   stdin=json.dumps(prompt[len(bos):])).decode()
            again = self.lull.tokens(model.path, as_text, "--special")
            if bos + again == prompt:
                out = self.lull.json("run", model.path, *NO_EOG, "-n", 24, "-p", as_text)
                self.assertEqual(out["prompt_tokens"], len(prompt))
                self.assertEqual(out["tokens"][:clear], want[:clear])

    def test_answer(self):
        """A person's question, with the template of the file."""
        for model in real_models():
            if model.name == "smollm2-135m":
                out = self.lull.json("run", model.path, "-p", "What is the capital of France?")
                self.assertEqual(out["finish_reason"], "stop")
                self.assertIn("Paris", out["text"])

    def test_speed_of_tokenising(self):
        """1 MB of text in under a second, the start of the program included."""
        text = b"".join(p.read_bytes() for p in sorted(TEXTS.glob("*.txt")))
        text *= 1 + 1000000 // len(text)
        for model in real_models():
            seconds = []
            for _ in range(3):
                begun = time.monotonic()
                ids = self.lull.tokens(model.path, text[:1000000])
                seconds.append(time.monotonic() - begun)
                self.assertGreater(len(ids), 100000)
            self.assertLess(min(seconds), 1)


def main():
    global program_path
    args = sys.argv[1:]
    if "--lull" not in args[:-1]:
        sys.exit(__doc__)
    at = args.index("--lull")
    program_path = os.path.abspath(args[at + 1])
    if not os.access(program_path, os.X_OK):
        sys.exit(f"{program_path} is no program")
    del args[at:at + 2]
    wants_models = "--models" in args
    args = [a for a in args if a != "--models"]
    if wants_models and not real_models():
        print("skipped: LULL_TEST_SMOLLM2 and LULL_TEST_GEMMA3 are not set")
        return SKIPPED
    if not any(not a.startswith("-") for a in args):
        chosen = [c for c in Case.__subclasses__()] if not wants_models else [Models]
        args += [c.__name__ for c in chosen]
    result = unittest.main(module="__main__", argv=[sys.argv[0], *args], exit=False).result
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
