#!/usr/bin/env python3
"""States as a user meets them: each step a process of its own.

    test_states.py --lull build/release/lull [--models] [unittest arguments]

Without --models on tiny models with random weights; with it on the real ones (exit code 77 when the
environment does not name them). Logits are compared byte for byte.
"""
import ast
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from program import SKIPPED, TEXTS, Folder, Lull, real_models, tiny_model

N_NEXT = 20
SAMPLED = ["--raw", "--temperature", 0.8, "--seed", 5, "--repeat-penalty", 1.3,
           "--frequency-penalty", 0.2, "--ignore-eos"]
PROSE = """The harbour office opens at six. By then the tide has usually turned, and the pilots
stand on the quay with their coffee, arguing about the wind. Nobody writes the argument down, yet
every ship that leaves before noon carries a copy of its conclusion: a course, a speed and a time to
be past the bar. """
DRIFT_TEXT = Path(__file__).resolve().parent.parent / "src/engine/drift_text.h"
program_path = None  # --lull


def any_tokens(n, n_vocab, seed=1):
    ids = []
    for _ in range(n):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        ids.append((seed * n_vocab) >> 32)
    return ids


def log_probabilities(row):
    most = max(row)
    norm = most + math.log(math.fsum(math.exp(x - most) for x in row))
    return [x - norm for x in row]


def divergence(a, b):
    """KL(softmax a || softmax b) in nats."""
    a, b = log_probabilities(a), log_probabilities(b)
    return math.fsum(math.exp(p) * (p - q) for p, q in zip(a, b))


def joined(tokens):
    return ",".join(map(str, tokens))


class Case(unittest.TestCase):
    """A folder, a store in it that is the default, and two tiny models."""

    @classmethod
    def setUpClass(cls):
        scope = Folder()
        cls.folder = scope.__enter__()
        cls.addClassCleanup(scope.__exit__)
        options = {"d_model": 64, "n_head": 2, "n_kv": 1, "d_ff": 96, "n_vocab": 320, "n_layer": 3,
                   "n_ctx": 4096}
        cls.bpe = tiny_model(cls.folder, "llama", dtype="Q8_0,F16", embd_dtype="Q8_0", untied=True,
                             **options)
        cls.spm = tiny_model(cls.folder, "gemma3", dtype="Q4_0,Q8_0", embd_dtype="Q8_0", window=96,
                             **options)
        cls.models = (cls.bpe, cls.spm)

    def setUp(self):
        self.home = self.folder / "home"
        shutil.rmtree(self.home, ignore_errors=True)
        self.lull = Lull(program_path, self.folder / "cache", LULL_THREADS="2",
                         LULL_HOME=str(self.home))

    def fails(self, code, mention, *args, **options):
        done = self.lull.run(*args, **options)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{args}: {message}")
        self.assertEqual(done.stdout, b"", args)
        self.assertIn(mention, message, args)
        self.assertTrue(message.startswith("lull"), message)
        self.assertLessEqual(message.count("\n"), 2, message)
        return message

    def digest(self, model, *args):
        return self.lull.logits_digest(model, *args)

    def cold(self, model, tokens, n):
        """The logits after tokens[n:n + N_NEXT], uninterrupted, with nothing from a store."""
        file = self.folder / "tokens"
        file.write_text(joined(tokens[:n + N_NEXT]))
        return self.digest(model, "--tokens-file", file, "--skip", n, "--store",
                           self.folder / "none")

    def warm(self, model, name, tokens, n, *flags):
        return self.digest(model, "--wake", name, "--tokens", joined(tokens[n:n + N_NEXT]), *flags)

    def sleep(self, model, tokens, name, *flags):
        file = self.folder / "tokens"
        file.write_text(joined(tokens))
        self.lull.ok("logits", model, "--tokens-file", file, "--last", "-o", "/dev/null", "--sleep",
                     name, *flags)


class Bits(Case):
    """P1: whatever happened to a state on the way."""

    def test_lengths(self):
        for model in self.models:
            tokens = any_tokens(600, 320)
            for n in (1, 63, 64, 65, 130, 300, 511):
                self.sleep(model, tokens[:n], f"n{n}")
            for n in (1, 63, 64, 65, 130, 300, 511):
                self.assertEqual(self.warm(model, f"n{n}", tokens, n), self.cold(model, tokens, n))
            for n in (1, 64, 100, 299):
                want = self.cold(model, tokens, n)
                self.assertEqual(self.warm(model, f"n300:{n}", tokens, n), want)
                self.lull.ok("fork", f"n511:{n}", "cut", "--force")
                self.assertEqual(self.warm(model, "cut", tokens, n), want)
            self.lull.ok("fork", "n511:299", "long", "--force")
            self.lull.ok("fork", "long:170", "fork-of-fork", "--force")
            self.assertEqual(self.warm(model, "fork-of-fork", tokens, 170),
                             self.cold(model, tokens, 170))

    def test_travel(self):
        for model in self.models:
            tokens = any_tokens(400, 320, seed=3)
            want = self.cold(model, tokens, 333)
            self.sleep(model, tokens[:333], "t", "--note", "a remark")
            file = self.folder / "t.lull"
            self.lull.ok("export", "t", "-o", file)
            self.assertEqual(self.warm(model, file, tokens, 333), want)
            other = self.folder / "other"
            shutil.rmtree(other, ignore_errors=True)
            self.lull.ok("import", file, "--store", other)
            self.assertEqual(self.warm(model, "t", tokens, 333, "--store", other), want)
            again = self.lull.json("import", file, "--store", other)
            self.assertEqual([s["name"] for s in again], ["t-2"])
            # What the receiver has is left out.
            self.lull.ok("logits", model, "--wake", "t", "--tokens", joined(tokens[333:353]), "-o",
                         "/dev/null", "--sleep", "more")
            small = self.folder / "more.lull"
            self.lull.ok("export", "more", "-o", small, "--since", "t")
            self.assertLess(small.stat().st_size, file.stat().st_size / 2)
            self.lull.ok("import", small, "--store", other)
            self.assertEqual(self.warm(model, "more:333", tokens, 333, "--store", other), want)
            self.fails(1, "left out", "import", small, "--store", self.folder / "empty")

    def test_exported_names(self):
        """Of all that a state goes by, what was asked for."""
        self.sleep(self.models[0], any_tokens(70, 320, seed=4), "private")
        self.lull.ok("fork", "private", "public")
        number = self.lull.json("show", "public")["state"]
        file = self.folder / "names.lull"
        for given, names in (("public", ["public"]), (f"#{number}", ["private", "public"])):
            self.lull.ok("export", given, "-o", file)
            told = self.lull.json("ls", file)
            self.assertEqual(sorted(s["name"] for s in told), names)

    def test_export_target(self):
        """A link stays one and a pipe a pipe; what is behind the link is replaced."""
        model = self.models[0]
        self.sleep(model, any_tokens(70, 320, seed=4), "target")
        file, link, pipe = (self.folder / name for name in ("real.lull", "link.lull", "pipe.lull"))
        file.write_bytes(b"old")
        link.symlink_to(file)
        os.mkfifo(pipe)
        self.lull.ok("export", "target", "-o", link)
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.lull.json("ls", file)[0]["n_tokens"], 70)
        self.fails(1, "not a regular file", "export", "target", "-o", pipe)
        self.assertTrue(pipe.is_fifo())

    def test_past_the_end(self):
        self.sleep(self.models[0], any_tokens(70, 320, seed=5), "short")
        self.lull.ok("fork", "short:70", "all")
        for verb in (("fork", "short:71", "more"), ("show", "short:71")):
            self.fails(1, "the state has 70 tokens", *verb)

    def test_gc(self):
        for model in self.models:
            tokens = any_tokens(700, 320, seed=5)
            for n in (200, 400, 600):
                self.sleep(model, tokens[:n], "keep")
            self.sleep(model, any_tokens(500, 320, seed=6), "drop")
            self.lull.ok("rm", "drop")
            report = self.lull.json("gc", "--max-age", "0.001s", "--thin")
            self.assertGreaterEqual(report["states"], 1)
            self.assertLess(report["bytes_after"], report["bytes_before"])
            self.assertEqual(self.lull.json("verify")["findings"], [])
            for n in (1, 100, 333, 599, 600):
                self.assertEqual(self.warm(model, f"keep:{n}", tokens, n),
                                 self.cold(model, tokens, n))

    def test_places(self):
        tokens = any_tokens(100, 320)
        env = {**self.lull.env, "XDG_DATA_HOME": str(self.folder / "data")}
        del env["LULL_HOME"]
        done = subprocess.run([program_path, "logits", self.bpe, "--tokens", joined(tokens), "-o",
                               "/dev/null", "--sleep", "here"], env=env, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.folder / "data/lull/catalog.db").exists())
        names = self.lull.json("ls", "--store", self.folder / "data/lull")
        self.assertEqual([s["name"] for s in names], ["here"])


class Generation(Case):
    def text(self, *args):
        return self.lull.ok("run", *args).removesuffix(b"\n")

    def test_in_pieces(self):
        for model in self.models:
            whole = self.lull.json("run", model, "-p", "Once upon", *SAMPLED, "-n", 60)
            first = self.lull.json("run", model, "-p", "Once upon", *SAMPLED, "-n", 17, "--sleep", "g")
            pieces = [first] + [self.lull.json("run", model, "--wake", "g", "-n", n, "--sleep", "g")
                                for n in (1, 22, 20)]
            self.assertEqual(sum((p["tokens"] for p in pieces), []), whole["tokens"])
            self.assertTrue(whole["text"].startswith("".join(p["text"] for p in pieces)))
            # A stop string that falls into two pieces ends both alike.
            stop = re.search(r"[ -~]{2,6}", whole["text"][len(whole["text"]) // 2:])[0]
            flags = SAMPLED + ["--stop", stop]
            whole = self.lull.json("run", model, "-p", "Once upon", *flags, "-n", 60)
            self.assertEqual(whole["finish_reason"], "stop_string")
            text, n = "", 0
            piece = self.lull.json("run", model, "-p", "Once upon", *flags, "-n", 1, "--sleep", "h")
            while True:
                text, n = text + piece["text"], n + len(piece["tokens"])
                if piece["finish_reason"] != "length":
                    break
                piece = self.lull.json("run", model, "--wake", "h", "-n", 1, "--sleep", "h")
            self.assertEqual((text, n, piece["finish_reason"]),
                             (whole["text"], len(whole["tokens"]), "stop_string"))

    def test_interrupted(self):
        whole = self.text(self.spm, "-p", "It was", *SAMPLED, "-n", 3000)
        process = subprocess.Popen(
            [program_path, "run", self.spm, "-p", "It was", *map(str, SAMPLED), "-n", "3000",
             "--sleep", "i"], env=self.lull.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(200)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        shown = self.lull.json("show", "i")
        n_tokens = shown["session"]["generation"]["end"] - shown["session"]["generation"]["start"]
        self.assertLess(n_tokens, 3000)
        more = self.text(self.spm, "--wake", "i", "-n", 3000 - n_tokens)
        self.assertTrue(whole.startswith(whole[:200] + rest.removesuffix(b"\n") + more[:50]) or
                        whole.endswith(more), "the text went another way")
        self.assertTrue(whole.endswith(more))


class Reuse(Case):
    def book(self, n):
        file = self.folder / "book.txt"
        file.write_text("".join(f"{i}. {PROSE}" for i in range(n)))
        return file

    def test_read(self):
        for model in self.models:
            shutil.rmtree(self.home, ignore_errors=True)
            book = self.book(3)
            first = self.lull.json("read", model, book, "--as", "b")
            self.assertEqual(first["n_tokens"], first["computed_tokens"])
            second = self.lull.json("read", model, book, "--as", "b")
            self.assertLess(second["computed_tokens"], 64)
            self.assertEqual(second["reused_tokens"]["disk"] + second["computed_tokens"],
                             first["n_tokens"])
            # Read on, with another file.
            other = self.folder / "other.txt"
            other.write_text("And then it ends.")
            more = self.lull.json("read", model, other, "--wake", "b", "--as", "c", "--separator",
                                  r"\n[{file}]\n")
            self.assertEqual(more["reused_tokens"]["disk"], first["n_tokens"])
            text = self.lull.ok("show", "c", "--text").decode()
            self.assertIn(f"bar. \n[{other}]\nAnd then it ends.", text)
            # And both at once give the same tokens.
            whole = self.lull.json("read", model, book, other, "--as", "d", "--separator",
                                   r"\n[" + str(other) + r"]\n")
            self.assertEqual(self.lull.json("show", "d", "--tokens")["tokens"],
                             self.lull.json("show", "c", "--tokens")["tokens"])
            self.assertLess(whole["computed_tokens"], 200)

    def test_read_interrupted(self):
        """Half of a book is kept, and its reading goes on there."""
        options = {"d_model": 512, "n_head": 8, "n_kv": 8, "d_ff": 1536, "n_vocab": 320,
                   "n_layer": 6, "n_ctx": 40000}
        (self.folder / "slow").mkdir(exist_ok=True)
        model = tiny_model(self.folder / "slow", "llama", dtype="Q8_0", embd_dtype="Q8_0", **options)
        # A book that takes some seconds, whatever the machine and the build, and a signal well within.
        self.lull.ok("tokenize", model, "-p", "x")
        times = []
        for n in (1, 5):
            start = time.monotonic()
            self.lull.ok("read", model, self.book(n), "--as", f"probe{n}", "--ctx", 40000)
            times.append(time.monotonic() - start)
        piece_s = max(0.005, (times[1] - times[0]) / 4)
        n_pieces = max(8, min(60, round(4 / piece_s)))
        wait_s = times[0] + 0.4 * n_pieces * piece_s
        book = self.book(n_pieces)
        want = None
        for number in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.home, ignore_errors=True)
            process = subprocess.Popen([program_path, "read", model, str(book), "--as", "b", "--ctx",
                                        "40000"], env=self.lull.env, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
            time.sleep(wait_s)
            process.send_signal(number)
            _, message = process.communicate(timeout=60)
            if process.returncode == 0:
                self.skipTest("this machine reads too fast")
            self.assertEqual(process.returncode, 128 + number, message)
            self.assertIn(b"goes on from there", message)
            rest = self.lull.json("read", model, book, "--as", "b", "--ctx", 40000)
            self.assertGreater(rest["reused_tokens"]["disk"], 0)
            self.assertEqual(rest["reused_tokens"]["disk"] + rest["computed_tokens"],
                             rest["n_tokens"])
            self.assertEqual([s["name"] for s in self.lull.json("ls")], ["b"])
            got = self.digest(model, "--wake", "b", "--tokens", "1,2,3", "--ctx", 40000)
            want = want or got
            self.assertEqual(got, want)

    def test_chats(self):
        """Two chats that take turns evaluate their new tokens alone."""
        # Random weights would write control tokens into their answers, of which messages have no trace.
        plain = [f"--logit-bias={i}=-inf" for i in range(6)]
        for model in self.models:
            for name in "ab":
                self.lull.ok("chat", model, "--sleep", name, "-n", 20, "--seed", 3, *plain,
                             stdin=f"This is {name}, and it begins.\n".encode())
            for turn in range(3):
                for name in "ab":
                    before = self.lull.json("show", name)["n_tokens"]
                    done = self.lull.run("chat", model, "--wake", name, "--sleep", name, "-n", 20,
                                         *plain, stdin=f"turn {turn}\n/why\n".encode())
                    told = re.search(r"of the last prompt's (\d+) tokens (\d+) were computed",
                                     done.stderr.decode())
                    self.assertTrue(told, done.stderr)
                    self.assertEqual(int(told[1]) - int(told[2]), before, done.stderr)
            messages = self.lull.json("show", "a")["session"]["messages"]
            self.assertEqual([m["role"] for m in messages], ["user", "assistant"] * 4)

    def test_run_json(self):
        for model in self.models:
            book = self.book(2)
            n = self.lull.json("read", model, book, "--as", "b")["n_tokens"]
            out = self.lull.json("run", model, "--wake", "b", "-p", "What?", "-n", 3, "--raw",
                                 "--ignore-eos")
            self.assertEqual(out["reused_tokens"], {"memory": 0, "disk": n})
            self.assertEqual(out["computed_tokens"], out["prompt_tokens"] - n)
            # A prompt without a name begins with what is known, too.
            text = book.read_text() + "What?"
            out = self.lull.json("run", model, "-p", text, "-n", 1, "--raw")
            self.assertGreater(out["reused_tokens"]["disk"], n - 64)


class Shown(Case):
    def test_json(self):
        tokens = any_tokens(150, 320)
        self.sleep(self.bpe, tokens, "a", "--note", "nöte", "--tag", "x", "--tag", "y z")
        self.sleep(self.bpe, tokens[:100], "a")
        self.lull.ok("fork", "a", "b")
        listed = self.lull.json("ls")
        self.assertIsInstance(listed, list)
        for state in listed + [self.lull.json("show", "a")]:
            for key in ("name", "state", "n_tokens", "parent", "bytes", "created", "card", "tags"):
                self.assertIn(key, state)
            self.assertEqual(state["n_tokens"], 100)
            self.assertIsNone(state["parent"])
            self.assertGreater(state["bytes"], 0)
            self.assertRegex(state["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertEqual(len(state["card"]["kv"]["weights"]), 64)
        self.assertEqual(sorted(s["name"] for s in listed), ["a", "b"])
        old = self.lull.json("show", "a@{1}")
        self.assertEqual((old["tags"], old["session"]["note"]), (["x", "y z"], "nöte"))
        self.assertEqual(old["name"], None)
        self.assertEqual(self.lull.json("show", "a@{1}", "--tokens")["tokens"], tokens)
        log = self.lull.json("log", "a")
        self.assertEqual([e["n_tokens"] for e in log], [100, 150])
        self.assertEqual(len(self.lull.json("tree")), 2)
        self.assertEqual(self.lull.json("diff", "a@{1}", "a")["common_tokens"], 100)
        self.assertEqual(self.lull.json("verify", "--recompute")["recomputed_states"], 2)
        self.assertEqual(self.lull.json("store")["names"], 2)
        self.assertEqual(self.lull.json("tag", "b", "new", "--remove", "none"), ["new"])
        report = self.lull.json("gc", "--dry-run")
        self.assertEqual((report["states"], report["dry_run"]), (0, True))
        self.lull.ok("mv", "b", "c")
        self.lull.ok("rm", "a", "c")
        self.assertEqual(self.lull.json("ls"), [])
        for verb in (["ls"], ["tree"], ["store"], ["verify"], ["gc"]):
            self.assertNotIn(b"\x1b", self.lull.ok(*verb))

    def test_why(self):
        document = PROSE * 2
        cases = (
            ("date", "Written on 2026-05-01. ", "Written on 2026-05-02. "),
            ("date", "At 12:30 sharp, then. ", "At 12:31 sharp, then. "),
            ("id", "Request 7f3a99c1d2 follows. ", "Request 7f3a99c1d3 follows. "),
            ("number", "Part 17 follows. ", "Part 18 follows. "),
            ("whitespace", "Here it is: ", "Here it is:\t"),
            ("case", "here it comes: ", "Here it comes: "),
            ("text", "The cat sat. ", "The dog sat. "),
        )
        for cause, old, new in cases:
            a, b = self.folder / "a.txt", self.folder / "b.txt"
            a.write_text("x " + old + document)
            b.write_text("x " + new + document)
            self.lull.ok("read", self.bpe, a, "--as", "a")
            told = self.lull.json("why", "a", "-f", b)
            d = told["divergence"]
            self.assertEqual(d["cause"], cause, (old, d))
            self.assertEqual(d["token"], told["common_tokens"])
            self.assertLess(d["token"], len(old) + 4)
            self.assertTrue((d["before"] + d["state"]).endswith(
                ("x " + old + document)[len(d["before"]):][-8:]) or d["state"] in old + document)
            shown = self.lull.ok("why", "a", "-f", b).decode()
            self.assertIn(f"they part at token {d['token']}", shown)
            self.assertIsNone(self.lull.json("why", "a", "-f", a)["divergence"])


class Drift(Case):
    """What a state of 8-bit keys and values says about the predictions (docs/numerics.md, section 7)."""

    def shown(self, name, *flags):
        return self.lull.json("show", name, *flags)["card"].get("drift")

    def sleep_q8(self, lull, model, name):
        lull.ok("logits", model, "--tokens", "1,2,3", "--kv", "q8", "-o", "/dev/null", "--sleep",
                name)

    def test_figures(self):
        """Against the logits of both kinds. `show` prints 10 digits; the rest is float64, whose rounding
        of sums of 320 terms is far below them."""
        literals = re.findall(r'^ +("(?:[^"\\]|\\.)*");?$', DRIFT_TEXT.read_text(), re.M)
        file = self.folder / "text"
        file.write_text("".join(map(ast.literal_eval, literals)))
        for model in self.models:
            kinds = []
            for kind in ("f16", "q8"):
                _, rows = self.lull.rows(model, "-f", file, "--kv", kind)
                kinds.append(list(rows)[:320])
            kl = [divergence(a, b) for a, b in zip(*kinds)]
            same = sum(a.index(max(a)) == b.index(max(b)) for a, b in zip(*kinds))
            self.sleep_q8(self.lull, model, "q")
            drift = self.shown("q")
            self.assertEqual((drift.pop("against"), drift.pop("tokens")), ("canon-1", 320))
            want = {"mean_kl": math.fsum(kl) / 320, "largest_kl": max(kl),
                    "same_likeliest": same / 320}
            self.assertEqual(drift.keys(), want.keys())
            for key, value in want.items():
                self.assertAlmostEqual(drift[key], value, delta=1e-9 * value, msg=key)
            self.assertIn(b"same likeliest token %.1f %%" % (100 * same / 320),
                          self.lull.ok("show", "q"))

    def test_where_it_stands(self):
        self.sleep(self.bpe, [1, 2, 3], "wide")
        self.assertIsNone(self.shown("wide"))
        self.assertNotIn(b"\ndrift", self.lull.ok("show", "wide"))
        self.sleep_q8(self.lull, self.bpe, "q")
        drift = self.shown("q")
        self.lull.ok("mv", "q", "moved")
        self.lull.ok("fork", "moved:2", "cut")
        file = self.folder / "q.lull"
        self.lull.ok("export", "moved", "-o", file)
        self.lull.ok("import", file, "--store", self.folder / "home2")
        self.assertEqual([self.shown("moved"), self.shown("cut"), self.shown(file),
                          self.shown("moved", "--store", self.folder / "home2")], [drift] * 4)
        # A state of one kind becomes one of the other.
        self.lull.ok("logits", self.bpe, "--wake", "wide", "--re-read", "--kv", "q8", "--tokens",
                     "4", "-o", "/dev/null", "--sleep", "narrow")
        self.assertEqual(self.shown("narrow"), drift)

    def test_measured_alike(self):
        """At every level, and again when what the cache holds of it is damaged."""
        cards = set()
        for n, level in enumerate(["ref", "ref", self.lull.json("doctor")["cpu"]["level"]]):
            lull = self.lull.with_env(LULL_CPU=level, LULL_CACHE=str(self.folder / f"cache-{level}"))
            self.sleep_q8(lull, self.spm, f"q{n}")
            cards.add(json.dumps(self.lull.json("show", f"q{n}")["card"]))
            files = list((self.folder / f"cache-{level}/drifts").iterdir())
            self.assertEqual([f.stat().st_size for f in files], [88])
            files[0].write_bytes(files[0].read_bytes()[:60] + b"\0" * 28)
        self.assertEqual(len(cards), 1)
        self.warm(self.spm, "q0", [1, 2, 3, 4, 5], 3, "--kv", "q8")


class Numerics(Case):
    """States belong to a class; what wakes one computes in it."""

    CLASSES = {"canon-1": [], "canon-1/kv-q8": ["--kv", "q8"], "canon-1w": ["--activations", "16"],
               "canon-1w/kv-q8": ["--kv", "q8", "--activations", "16"]}

    def rows(self, *args):
        return self.lull.rows(self.spm, *args)[1]

    def test_classes(self):
        tokens = any_tokens(70, 300)
        text = ",".join(map(str, tokens))
        seen = {}
        for n, (name, flags) in enumerate(self.CLASSES.items()):
            self.lull.ok("logits", self.spm, "--tokens", text, *flags, "-o", "/dev/null", "--sleep",
                         f"s{n}")
            self.assertEqual(self.lull.json("show", f"s{n}")["card"]["kv"]["numerics"], name)
            whole = list(self.rows("--tokens", text + ",7,8,9", *flags))[-3:]
            self.assertEqual(list(self.rows("--wake", f"s{n}", "--tokens", "7,8,9")), whole)
            seen[name] = whole
        self.assertNotIn(seen["canon-1"], [seen[name] for name in list(seen)[1:]])
        # One that is asked for otherwise is refused, or read again.
        other = ["--activations", "16", "--tokens", "7,8,9"]
        self.fails(1, "--re-read", "logits", self.spm, "--wake", "s0", *other, "-o", "/dev/null")
        self.assertEqual(list(self.rows("--wake", "s0", "--re-read", *other)), seen["canon-1w"])
        self.fails(1, "there are 8 and 16", "run", self.spm, "-p", "x", "--activations", "9")


class Errors(Case):
    def test_names(self):
        self.fails(1, "lull read", "ls")
        self.sleep(self.bpe, any_tokens(70, 320), "novel")
        self.fails(1, "novel", "run", self.bpe, "--wake", "nvoel", "-p", "x")
        self.lull.ok("fork", "novel", "other")
        self.fails(1, "taken", "fork", "novel", "other")
        self.fails(1, "taken", "mv", "novel", "other")
        self.fails(2, "--as", "read", self.bpe, "x.txt")
        self.fails(2, "missing", "fork", "novel")
        self.fails(2, "--max-age", "gc", "--max-age", "soon")
        self.fails(1, "no.txt", "read", self.bpe, self.folder / "no.txt", "--as", "x")

    def test_other_model(self):
        (self.folder / "b").mkdir(exist_ok=True)
        options = {"d_model": 64, "n_head": 2, "n_kv": 1, "d_ff": 96, "n_vocab": 320, "n_layer": 3,
                   "n_ctx": 4096}
        other = tiny_model(self.folder / "b", "llama", dtype="Q8_0,F16", embd_dtype="Q8_0",
                           untied=True, seed=99, **options)
        tokens = any_tokens(300, 320)
        self.sleep(self.bpe, tokens[:200], "mine")
        message = self.fails(1, "weights: the state has", "logits", other, "--wake", "mine",
                             "--tokens", "1", "-o", self.folder / "x.npy")
        self.assertIn("--re-read", message)
        self.assertEqual(self.warm(other, "mine", tokens, 200, "--re-read"),
                         self.cold(other, tokens, 200))
        moved = self.folder / "moved.gguf"
        shutil.copy(self.bpe, moved)
        self.assertEqual(self.warm(moved, "mine", tokens, 200), self.cold(self.bpe, tokens, 200))
        self.fails(1, "refused", "logits", self.spm, "--wake", "mine", "--tokens", "1", "-o",
                   self.folder / "x.npy")

    def test_damage(self):
        tokens = any_tokens(300, 320)
        want = self.cold(self.bpe, tokens, 200)
        self.sleep(self.bpe, tokens[:200], "mine")
        file = self.folder / "mine.lull"
        self.lull.ok("export", "mine", "-o", file)
        segment = next((self.home / "segments").iterdir())
        whole = segment.read_bytes()
        for path in (segment, file):
            data = bytearray(path.read_bytes())
            data[3 * 4096 + 50] ^= 8  # in the first page's keys
            path.write_bytes(data)
        for name, mention in (("mine", segment.name), (file, file.name)):
            self.fails(1, mention, "logits", self.bpe, "--wake", name, "--tokens", "5,6", "-o",
                       self.folder / "x.npy")
            self.assertEqual(self.warm(self.bpe, name, tokens, 200, "--re-read"), want)
        done = self.lull.run("verify")
        self.assertEqual(done.returncode, 1)
        self.assertIn(segment.name.encode(), done.stdout)
        # The catalogue, damaged and lost: made again.
        segment.write_bytes(whole)
        catalog = self.home / "catalog.db"
        data = bytearray(catalog.read_bytes())
        data[100:200] = os.urandom(100)
        catalog.write_bytes(data)
        self.assertEqual(self.warm(self.bpe, "mine", tokens, 200), want)
        catalog.unlink()
        self.assertEqual(self.warm(self.bpe, "mine", tokens, 200), want)
        # Mended, as verify advises.
        data = bytearray(whole)
        data[3 * 4096 + 50] ^= 8
        segment.write_bytes(data)
        self.assertIn(b"--re-read -n 0 --sleep", self.lull.run("verify").stdout)
        self.lull.ok("run", self.bpe, "--wake", "mine", "--re-read", "-n", 0, "--sleep", "mine")
        self.lull.ok("verify")
        self.assertEqual(self.warm(self.bpe, "mine", tokens, 200), want)

    def test_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)],
                          capture_output=True).returncode != 0:
            self.skipTest("no file system can be mounted")
        try:
            store = disk / "store"
            tokens = any_tokens(500, 320)
            self.sleep(self.bpe, tokens[:64], "first", "--store", store)
            done = None
            for i in range(40):
                self.lull.run("logits", self.bpe, "--tokens", joined(any_tokens(64, 320, seed=i + 7)),
                              "--last", "-o", "/dev/null", "--sleep", f"n{i}", "--store", store)
            message = self.fails(1, "no room left", "logits", self.bpe, "--tokens", joined(tokens[:400]),
                                 "--last", "-o", self.folder / "x.npy", "--sleep", "big", "--store",
                                 store)
            self.assertIn("lull", message)
            del done
            self.assertEqual(self.warm(self.bpe, "first", tokens, 64, "--store", store),
                             self.cold(self.bpe, tokens, 64))
            self.fails(1, "big", "show", "big", "--store", store)
        finally:
            subprocess.run(["umount", str(disk)], check=True)


class Models(unittest.TestCase):
    """The real ones: issue lengths, many questions, and what lull says of itself."""

    LENGTHS = (1, 63, 64, 65, 511, 512, 513, 700, 1100, 3000)

    @classmethod
    def setUpClass(cls):
        scope = Folder()
        cls.folder = scope.__enter__()
        cls.addClassCleanup(scope.__exit__)

    def setUp(self):
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        self.lull = Lull(program_path, LULL_HOME=str(home))

    def test_lengths(self):
        for model in real_models():
            tokens = any_tokens(3000 + N_NEXT, model.n_vocab - 300)
            file = self.folder / "tokens"
            for n in self.LENGTHS:
                file.write_text(joined(tokens[:n]))
                self.lull.ok("logits", model.path, "--tokens-file", file, "--last", "-o",
                             "/dev/null", "--sleep", f"n{n}")
            for n in self.LENGTHS:
                rest = joined(tokens[n:n + N_NEXT])
                warm = self.lull.logits_digest(model.path, "--wake", f"n{n}", "--tokens", rest)
                file.write_text(joined(tokens[:n + N_NEXT]))
                cold = self.lull.logits_digest(model.path, "--tokens-file", file, "--skip", n,
                                               "--store", self.folder / "none")
                self.assertEqual(warm, cold, f"{model.name}, {n} tokens")
                print(f"{model.name}: {n} tokens, woken: the same", flush=True)
            self.lull.ok("rm", *[f"n{n}" for n in self.LENGTHS])
            self.lull.ok("gc")

    def test_questions(self):
        """Ten questions on one document, each in a process of its own."""
        for model in real_models():
            tokens = self.lull.tokens(model.path, (TEXTS / "long.txt").read_bytes() * 3)
            document = self.folder / "document.txt"
            text = b"".join((TEXTS / "long.txt").read_bytes() for _ in range(9))
            n_bytes = len(text) * 3000 // (len(tokens) * 3)
            document.write_bytes(text[:n_bytes])
            cold = self.lull.json("read", model.path, document, "--as", "doc")
            self.assertGreater(cold["n_tokens"], 2500)
            for i in range(10):
                answer = self.lull.json("run", model.path, "--wake", "doc", "-p",
                                        f"What does it say about number {i}?", "-n", 1)
                took = answer["timings"]["wake_ms"] + answer["timings"]["first_token_ms"]
                print(f"{model.name}: question {i}: {took:.0f} ms, {100 * took / cold['ms']:.1f} % of "
                      f"reading {cold['n_tokens']} tokens", flush=True)
                self.assertLess(answer["computed_tokens"], 0.05 * cold["n_tokens"])
                self.assertEqual(answer["reused_tokens"]["disk"], cold["n_tokens"])
            self.lull.ok("verify", "--recompute")

    def test_self(self):
        for model in real_models():
            print(self.lull.ok("verify", "--self", model.path).decode(), flush=True)


if __name__ == "__main__":
    arguments = sys.argv[:1]
    rest = iter(sys.argv[1:])
    use_models = False
    for argument in rest:
        if argument == "--lull":
            program_path = next(rest)
        elif argument == "--models":
            use_models = True
        else:
            arguments.append(argument)
    if use_models and not real_models():
        sys.exit(SKIPPED)
    loader = unittest.TestLoader()
    if len(arguments) == 1:
        classes = [Models] if use_models else [Bits, Generation, Reuse, Shown, Drift, Errors]
        arguments += [c.__name__ for c in classes]
    unittest.main(argv=arguments, verbosity=2)
