#!/usr/bin/env python3
"""Texts that are held to a grammar, as a user meets them.

    test_structured.py --lull build/release/lull [--models --sampler PATH] [unittest arguments]

Without --models on tiny models with random weights, which would write anything; with it on the real ones,
under the schemas of data/schemas, at temperature 2 (top-k 20, which draws faster): what is finished is checked by Python's jsonschema
(exit code 77 without models, or without a Python that has it: see scripts/test-python).
"""
import json
import os
import re
import signal
import subprocess
import sys
import unittest

from program import SKIPPED, TESTS, Folder, Lull, Terminal, real_models, terminal_env, tiny_model

HOT = ["--raw", "--temperature", 2, "--ignore-eos"]
PERSON = {"type": "object", "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 12},
    "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["old", "new"]}, "maxItems": 3}},
    "required": ["name", "age"], "additionalProperties": False}
program_path = None  # --lull
sampler_path = None  # --sampler


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scope = Folder()
        cls.folder = scope.__enter__()
        cls.addClassCleanup(scope.__exit__)
        options = {"d_model": 64, "n_head": 2, "n_kv": 1, "d_ff": 96, "n_vocab": 320, "n_layer": 2,
                   "n_ctx": 2048}
        cls.models = (tiny_model(cls.folder, "llama", dtype="Q8_0", embd_dtype="Q8_0", **options),
                      tiny_model(cls.folder, "gemma3", dtype="Q8_0", embd_dtype="Q8_0", window=96,
                                 **options))
        cls.lull = Lull(program_path, LULL_HOME=str(cls.folder / "home"), LULL_THREADS="1")

    def text(self, model, *args, **options):
        out = self.lull.json("run", model, "-p", "x", *HOT, *args, **options)
        return out["finish_reason"], out["text"]

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


class Kinds(Case):
    def test_choice(self):
        for model in self.models:
            seen = set()
            for seed in range(30):
                finish, text = self.text(model, "--choice", "red,green,dark blue", "-s", seed)
                self.assertEqual(finish, "complete")
                seen.add(text)
            self.assertLessEqual(seen, {"red", "green", "dark blue"})
            self.assertGreater(len(seen), 1)
            self.assertEqual(self.text(model, "--choice", '["a, b"]', "-s", 1), ("complete", "a, b"))

    def test_regex(self):
        for model in self.models:
            for seed in range(20):
                finish, text = self.text(model, "--regex", "[a-f]{3}-(é|ü)+[0-9]", "-s", seed, "-n", 40)
                if finish == "complete":
                    self.assertRegex(text, "^[a-f]{3}-[éü]+[0-9]$")

    def test_grammar(self):
        file = self.file("sum.gbnf", 'root ::= num ("+" num){0,3} "="  # a sum\nnum ::= [1-9] [0-9]?\n')
        for model in self.models:
            for seed in range(20):
                finish, text = self.text(model, "--grammar", file, "-s", seed)
                self.assertEqual(finish, "complete")
                self.assertRegex(text, r"^[1-9]\d?(\+[1-9]\d?){0,3}=$")

    def test_schema(self):
        file = self.file("person.json", json.dumps(PERSON))
        for model in self.models:
            n_finished = 0
            for seed in range(20):
                finish, text = self.text(model, "--json-schema", file, "-s", seed, "-n", 200)
                if finish == "length":
                    continue
                n_finished += 1
                person = json.loads(text)
                self.assertLessEqual(set(person), {"name", "age", "tags"})
                self.assertIn(person["age"], range(151))
                self.assertIn(len(person["name"]), range(1, 13))
                self.assertLessEqual(set(person.get("tags", [])), {"old", "new"})
            self.assertGreater(n_finished, 10)
            inline = self.text(model, "--json-schema", '{"const": [1, null]}', "-s", 3)
            self.assertEqual((inline[0], json.loads(inline[1])), ("complete", [1, None]))

    def test_greedy(self):
        """The likeliest allowed token: with everything allowed, the text is the free one."""
        for model in self.models:
            free = self.lull.json("run", model, "--raw", "-p", "x", "-n", 20, "--ignore-eos")
            held = self.lull.json("run", model, "--raw", "-p", "x", "-n", 20, "--regex",
                                  r"[\s\S]*", "--ignore-eos")
            if "\ufffd" not in free["text"]:
                self.assertEqual(held["tokens"], free["tokens"])

    def test_forced(self):
        """What can only go on in one way is not computed: as many evaluations as there were choices."""
        model = self.models[0]
        out = self.lull.json("run", model, "--raw", "-p", "x", "--choice", "a" + "b" * 200)
        self.assertEqual((out["text"], out["finish_reason"]), ("a" + "b" * 200, "complete"))
        free = self.lull.json("run", model, "--raw", "-p", "x", "-n", 20, "--ignore-eos", "--draft", "off")
        self.assertEqual((out["timings"]["evals"], free["timings"]["evals"]), (0, 19))
        two = self.lull.json("run", model, "--raw", "-p", "x", "--regex", "b{40}[0-9]b{40}[0-9]b{40}")
        self.assertLessEqual(two["timings"]["evals"], 2)


class Sleeping(Case):
    def test_in_pieces(self):
        """The automaton travels: a generation in pieces, each in a process of its own, is the whole one."""
        file = self.file("person.json", json.dumps(PERSON))
        for model in self.models:
            for seed in (1, 2):
                flags = [*HOT, "--json-schema", file, "-s", seed, "--loop-guard", "50,9,9"]
                whole = self.lull.json("run", model, "-p", "x", *flags, "-n", 150)
                piece = self.lull.json("run", model, "-p", "x", *flags, "-n", 5, "--sleep", "g")
                tokens, text = piece["tokens"], piece["text"]
                while piece["finish_reason"] == "length" and len(tokens) < 150:
                    piece = self.lull.json("run", model, "--wake", "g", "-n",
                                           min(13, 150 - len(tokens)), "--sleep", "g")
                    tokens += piece["tokens"]
                    text += piece["text"]
                self.assertEqual(tokens, whole["tokens"])
                self.assertTrue(whole["text"].startswith(text))
                self.assertEqual(piece["finish_reason"], whole["finish_reason"])


class Endings(Case):
    def test_loop_guard(self):
        model = self.models[0]
        flags = ["run", model, "--raw", "-p", "x", "-n", 400]
        out = self.lull.json(*flags, "--loop-guard", "8,0,0", "--regex", "a{300}")
        self.assertEqual(out["finish_reason"], "loop_token")
        self.assertEqual(len(set(out["tokens"][-8:])), 1)
        out = self.lull.json(*flags, "--loop-guard", "0,5,0", "--regex", "(one line\n){40}")
        self.assertEqual((out["finish_reason"], out["text"].count("\n")), ("loop_line", 5))
        out = self.lull.json(*flags, "--loop-guard", "0,0,3", "--regex",
                             "(Round and round it goes[.] )(And  again[.] round and ROUND it goes! ){9}")
        self.assertEqual(out["finish_reason"], "loop_sentence")
        self.assertEqual(len(re.findall("(?i)round and round", out["text"])), 3)
        out = self.lull.json(*flags, "--regex", "(one line\n){40}")
        self.assertEqual(out["finish_reason"], "complete")

    def test_stops(self):
        model = self.models[0]
        flags = ["run", model, "--raw", "-p", "x", "--regex", "abc(de)*xyz", "-n", 50]
        self.assertEqual(self.lull.json(*flags, "--stop", "bc")["finish_reason"], "stop_string")
        self.assertEqual(self.lull.json(*flags, "--stop", "bc")["text"], "a")


TOOLS = [
    {"type": "function", "function": {
        "name": "add", "description": "The sum of two numbers.", "parameters": {
            "type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99,
                                                   "description": "one"},
                                             "b": {"type": "integer", "enum": [1, 2],
                                                   "description": "the other"}},
            "required": ["a", "b"], "additionalProperties": False}},
     "command": ["sh", "-c", "cat; echo ' seen'"]},
    {"type": "function", "function": {
        "name": "say", "description": "Say a word.", "parameters": {
            "type": "object", "properties": {
                "word": {"type": "string", "enum": ["yes", "no"], "description": "which"}},
            "required": ["word"], "additionalProperties": False}}}]


OPENED = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
<think>
"""


class Tools(Case):
    """Calls and thoughts, in the templates of several families, by a model that would write anything."""

    FAMILIES = ["hermes", "qwen3", "llama3", "mistral", "granite", "command_r_tools", "gpt_oss"]

    def setUp(self):
        self.tools = self.file("tools.json", json.dumps(TOOLS))

    def model(self, family, arch="llama", text=None):
        text = text or (TESTS / f"data/templates/{family}.jinja").read_text()
        return tiny_model(self.folder, arch, template=(family + arch, text), dtype="Q8_0",
                          embd_dtype="Q8_0", d_model=64, n_head=2, n_kv=1, d_ff=96, n_vocab=320,
                          n_layer=2, n_ctx=8192)

    def ask(self, family, *args, arch="llama"):
        return self.lull.json("run", self.model(family, arch), "-p", "hello", "--tools", self.tools,
                              "--temperature", 2, *args)

    def check(self, call):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        if name == "add":
            self.assertEqual(set(arguments), {"a", "b"})
            self.assertIn(arguments["a"], range(100))
            self.assertIn(arguments["b"], (1, 2))
        else:
            self.assertEqual(name, "say")
            self.assertIn(arguments, ({"word": "yes"}, {"word": "no"}))

    def test_required(self):
        for family in self.FAMILIES:
            with self.subTest(family=family):
                for seed in range(4):
                    out = self.ask(family, "--tool-choice", "required", "-s", seed)
                    self.assertEqual(len(out["tool_calls"]), 1, out["text"])
                    self.assertEqual(out["text"].strip(), "")
                    self.check(out["tool_calls"][0])
                out = self.ask(family, "--tool-choice", "say")
                self.assertEqual(out["tool_calls"][0]["function"]["name"], "say")
                out = self.ask(family, "--tool-choice", "none", "-n", 5)
                self.assertEqual(out["tool_calls"], [])

    def test_formats(self):
        """Every way of writing calls can be forced, and is read back."""
        for tool_format in ("hermes", "xml", "llama3-json", "pythonic", "mistral", "deepseek",
                            "harmony", "gemma", "command-r", "granite", "minimax", "kimi", "glm", "json"):
            with self.subTest(format=tool_format):
                out = self.ask("hermes", "--tool-choice", "required", "--tool-format", tool_format,
                               arch="gemma3")
                self.assertEqual(len(out["tool_calls"]), 1, out["text"])
                self.check(out["tool_calls"][0])

    def test_arguments_as_text(self):
        """Arguments that no JSON object of the program would hold are as the model wrote them."""
        for value in ("3" * 30, "-1e999", '"a\\u0000b"'):
            arguments = '{"a": %s, "b": 1}' % value
            call = '<tool_call>{"name": "add", "arguments": %s}</tool_call>' % arguments
            choice = ["--tool-format", "hermes", "--choice", json.dumps([call])]
            out = self.ask("hermes", *choice)
            self.assertEqual([c["function"]["arguments"] for c in out["tool_calls"]], [arguments])
            t = Terminal([program_path, "chat", self.model("hermes"), "--tools", str(self.tools),
                          *choice], terminal_env(self.lull, self.folder))
            t.wait_for("> ")
            t.type("hello\r")
            t.wait_for("the model wants to run add " + arguments)
            t.type("y\r")
            t.wait_for(f"add: {arguments} seen")
            os.kill(t.pid, signal.SIGKILL)  # it would call for ever
            self.assertEqual(t.exit_code(), -signal.SIGKILL)

    def test_errors(self):
        for part, *args in (("no tool has this name", "--tool-choice", "fly"),
                            ("not known", "--tool-format", "telegraph"),
                            ("not known", "--reasoning-format", "tea leaves"),
                            ("on, off", "--think", "perhaps")):
            done = self.lull.run("run", self.model("hermes"), "-p", "x", "--tools", self.tools, *args)
            self.assertEqual(done.returncode, 1)
            self.assertIn(part, done.stderr.decode())
        done = self.lull.run("run", self.models[0], "-p", "x", "--tools", self.tools)
        self.assertIn("knows no tools", done.stderr.decode())
        bad = self.file("bad.json", '[{"type": "function"}]')
        done = self.lull.run("run", self.model("hermes"), "-p", "x", "--tools", bad)
        self.assertIn("tool 0 has no name", done.stderr.decode())

    def test_thoughts(self):
        """A budget closes the thought, and an answer follows."""
        model = self.model("opened", text=OPENED)
        out = self.lull.json("run", model, "-p", "x", "-n", 40, "--think-budget", 7, "--ignore-eos",
                             "--reasoning-format", "think", "--temperature", 1)
        self.assertTrue(out["thought"])
        self.assertTrue(out["text"])
        self.assertNotIn("</think>", out["text"])
        hidden = self.lull.json("run", model, "-p", "x", "-n", 40, "--think-budget", 7, "--ignore-eos",
                                "--reasoning-format", "think", "--temperature", 1, "-s", out["seed"],
                                "--think", "hide")
        self.assertEqual((hidden["text"], hidden["tokens"]), (out["text"], out["tokens"]))
        self.assertNotIn("thought", hidden)

    def test_in_pieces(self):
        """Text, thought and calls of an answer that sleeps anywhere are those of one that does not."""
        call = '<tool_call>{"name": "add", "arguments": {"a": 7, "b": 1}}</tool_call>'
        text = f"<think>a quiet thought \n of it </think>The answer:  \n 4 < 5 <thi\n{call} and so on."
        model = self.model("hermes")
        flags = ["--tools", self.tools, "--tool-format", "hermes", "--reasoning-format", "think"]
        first = ["-p", "hello", "--choice", json.dumps([text])]
        whole = self.lull.json("run", model, *flags, *first, "--sleep", "whole")
        self.assertEqual((whole["thought"][:7], len(whole["tool_calls"])), ("a quiet", 1))
        message = self.lull.json("show", "whole")["session"]["messages"][-1]
        for n in (3, 7, 31):
            with self.subTest(n=n):
                piece = self.lull.json("run", model, *flags, *first, "-n", n, "--sleep", "g")
                pieces = [piece]
                while piece["finish_reason"] == "length":
                    piece = self.lull.json("run", model, *flags, "--wake", "g", "-n", n, "--sleep", "g")
                    pieces.append(piece)
                self.assertEqual("".join(p.get("thought", "") for p in pieces), whole["thought"])
                last = self.lull.json("show", "g")["session"]["messages"][-1]
                self.assertEqual("".join(p["text"] for p in pieces), whole["text"])
                self.assertEqual(last, message)
                self.assertEqual([c for p in pieces for c in p["tool_calls"]], whole["tool_calls"])

    def test_chat_in_pieces(self):
        """An answer of a chat that was cut, which held nothing back, goes on without a byte twice."""
        model = self.model("opened", text=OPENED)
        text = "a thought </think> the   answer goes\n\n on and on"
        flags = ["--reasoning-format", "think"]
        whole = self.lull.json("run", model, *flags, "-p", "x", "--choice", json.dumps([text]))
        for n in range(5, 40, 5):
            self.lull.ok("chat", model, *flags, "--choice", json.dumps([text]), "-n", n, "--sleep", "c",
                         stdin="x\n")
            rest = self.lull.json("run", model, *flags, "--wake", "c", "--sleep", "c")
            message = self.lull.json("show", "c")["session"]["messages"][-1]
            self.assertEqual(message["content"][-len(rest["text"]):], rest["text"])
            if n > len("a thought </think>"):
                self.assertEqual(message["content"], whole["text"])
                self.assertEqual(message["reasoning_content"], whole["thought"])

    def test_conversation(self):
        """A call, its result and the answer are messages; a woken chat has them still."""
        model = self.model("hermes")
        args = [model, "--tools", str(self.tools), "--tool-choice", "add", "-n", "100", "--ignore-eos"]
        done = self.lull.run("chat", *args, "--sleep", "c", stdin="one\n")
        self.assertIn(b"did not let this tool run", done.stderr)
        messages = self.lull.json("show", "c")["session"]["messages"]
        self.assertEqual([m["role"] for m in messages[:3]], ["user", "assistant", "tool"])
        self.check(messages[1]["tool_calls"][0])
        self.lull.ok("chat", model, "--wake", "c", "-n", "5", "--ignore-eos", "--sleep", "c",
                     stdin="two\n")
        again = self.lull.json("show", "c")["session"]["messages"]
        self.assertEqual(again[:len(messages)], messages)
        self.assertEqual([m["role"] for m in again[len(messages):]], ["user", "assistant"])

    def test_yes(self):
        """A tool runs after the user's yes, with the arguments on its standard input."""
        env = terminal_env(self.lull, self.folder)
        for word, result in (("y", "} seen"), ("n", "did not let this tool run")):
            t = Terminal([program_path, "chat", self.model("hermes"), "--tools", str(self.tools),
                          "--tool-choice", "add", "-n", "100", "--ignore-eos"], env)
            t.wait_for("> ")
            t.type("hello\r")
            t.wait_for("run it? [y/N]")
            t.type(word + "\r")
            t.wait_for(result)
            t.wait_for("> ")
            t.type("\x04")
            self.assertEqual(t.exit_code(), 0)


class Errors(Case):
    def fails(self, part, *args, code=1):
        done = self.lull.run("run", self.models[0], "--raw", "-p", "x", *args)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(part, done.stderr.decode())
        self.assertEqual(done.stdout, b"")

    def test_errors(self):
        self.fails("no-such-file", "--json-schema", "no-such-file")
        self.fails("only one of", "--regex", "a", "--choice", "a", code=2)
        self.fails("regular expression", "--regex", "(a")
        self.fails("look", "--regex", "(?=a)b")
        bad = self.file("bad.gbnf", 'root ::= "a"\nother ::= nothing\n')
        self.fails("bad.gbnf", "--grammar", bad)
        self.fails("line 2", "--grammar", bad)
        self.fails("begins with itself", "--grammar", self.file("left.gbnf", 'root ::= root "a" | "b"\n'))
        self.fails('"uniqueItems"', "--json-schema", '{"properties": {"a": {"uniqueItems": true}}}')
        self.fails("/properties/a", "--json-schema", '{"properties": {"a": {"uniqueItems": true}}}')
        self.fails("three numbers", "--loop-guard", "1,2", code=2)


class Models(unittest.TestCase):
    """Two hundred schemas, both models: what is finished is valid."""

    def test_schemas(self):
        from jsonschema import Draft202012Validator, FormatChecker
        schemas = [json.loads(line) for file in sorted((TESTS / "data/schemas").glob("*.jsonl"))
                   for line in file.read_text().splitlines()]
        self.assertGreaterEqual(len(schemas), 200)
        for model in real_models():
            done = subprocess.run([sampler_path, model.path, "100", "2", "20"], capture_output=True, text=True,
                                  input="".join(json.dumps(s) + "\n" for s in schemas), check=True)
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual(len(answers), len(schemas))
            n_finished = n_refused = 0
            for schema, answer in zip(schemas, answers):
                with self.subTest(model=model.name, schema=schema):
                    if "error" in answer:
                        self.assertIn("schema", answer["error"])
                        n_refused += 1
                    elif answer["finish"] in ("complete", "stop"):
                        n_finished += 1
                        Draft202012Validator(schema, format_checker=FormatChecker()).validate(
                            json.loads(answer["text"]))
            print(f"{model.name}: {n_finished} finished and valid, {n_refused} refused, "
                  f"{len(schemas) - n_finished - n_refused} cut at 100 tokens", file=sys.stderr)
            self.assertGreater(n_finished, len(schemas) / 5)
            self.assertLess(n_refused, len(schemas) / 10)


def option(name):
    at = sys.argv.index(name)
    value = sys.argv[at + 1]
    del sys.argv[at:at + 2]
    return value


if __name__ == "__main__":
    program_path = option("--lull")
    is_models = "--models" in sys.argv
    if is_models:
        sys.argv.remove("--models")
        sampler_path = os.path.abspath(option("--sampler"))
        python = os.environ.get("LULL_TEST_PYTHON", sys.executable)
        if not real_models():
            sys.exit(SKIPPED)
        try:
            import jsonschema  # noqa: F401
        except ImportError:
            if python == sys.executable:
                sys.exit(SKIPPED)
            os.execv(python, [python, "-B", __file__, "--lull", program_path, "--models", "--sampler",
                              sampler_path, *sys.argv[1:]])
    names = ["Models"] if is_models else ["Kinds", "Sleeping", "Endings", "Tools", "Errors"]
    unittest.main(argv=[sys.argv[0], "-v", *(sys.argv[1:] or names)])
