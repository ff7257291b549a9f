#!/usr/bin/env python3
"""Chat templates through the whole program: `lull template` against Jinja2, byte for byte.

    test_templates.py --lull PROGRAM [--all] [--show K]

Every template of tests/data/templates is filled in with every conversation of jinja_compare.py, under
one of its settings in turn (--all: under each), given as files and --var. What Jinja2 refuses, the
program must refuse. So are the own templates of the real models that the environment names. Then what
--turns and `lull why` say of templates that render earlier turns differently. Exit code 77: there is no
Jinja2 here.
"""
import argparse
import copy
import json
import sys

import jinja_compare  # finds a Python that has jinja2
import program

# JSON in a string reaches the template as an object; other strings stay what they are.
MORE_CONVERSATIONS = {
    "call_text": [jinja_compare.user("Weather?"), {"role": "assistant", "content": None, "tool_calls": [
        jinja_compare.call("get_weather", '{"city": "Z\\u00fcrich", "days": 2, "at": [1.0, 1e22]}')]},
        {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "21"}],
    "call_other_text": [jinja_compare.user("x"), {"role": "assistant", "content": "", "tool_calls": [
        jinja_compare.call("now", "[1, 2]"), jinja_compare.call("now", "not JSON"),
        {"name": "now", "arguments": "{}"}, {"name": "now"}, "no call"]}],
    "thinking_call": [
        jinja_compare.user("Time?"),
        {"role": "assistant", "content": "<think>\nlook\n</think>\n\n", "reasoning_content": "look",
         "tool_calls": [jinja_compare.call("now", {"zone": "UTC"})]},
        {"role": "tool", "name": "now", "content": "12:00"},
        {"role": "assistant", "content": "Noon.", "reasoning_content": "12 is noon"},
        jinja_compare.user("Thanks"), jinja_compare.assistant("<think>\n\n</think>\n\nSure.")],
    "system_only": [jinja_compare.system("Be brief.")],
    "developer": [{"role": "developer", "content": "Be brief."}, jinja_compare.user("Hi")],
    "long": [jinja_compare.user("word " * 20000), jinja_compare.assistant("ok")],
}


def conversations():
    found = {**jinja_compare.CONVERSATIONS, **MORE_CONVERSATIONS}
    found = json.loads(json.dumps(found).replace("\\u0000", ""))  # which no text of lull has
    return found


def with_arguments(messages):
    """As lull_chat_render_json says of tool calls."""
    messages = copy.deepcopy(messages)
    for message in messages:
        for call in message.get("tool_calls") or []:
            if not isinstance(call, dict):
                continue
            holder = call["function"] if isinstance(call.get("function"), dict) else call
            try:
                arguments = json.loads(holder.get("arguments"))
            except (TypeError, ValueError):
                continue
            if isinstance(arguments, dict):
                holder["arguments"] = arguments
    return messages


class Check:
    def __init__(self, lull, folder, show):
        self.lull, self.folder, self.show = lull, folder, show
        self.env = jinja_compare.make_environment()
        self.n_cases = self.n_text = self.n_wrong = 0

    def wrong(self, what):
        self.n_wrong += 1
        if self.n_wrong <= self.show:
            print("--- " + what)

    def is_true(self, truth, what):
        self.n_cases += 1
        if not truth:
            self.wrong(what)

    def file(self, name, content):
        path = self.folder / name
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content, ensure_ascii=name.startswith("t"))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def special(self, model):
        """What the program calls bos_token and eos_token."""
        template = self.file("special.jinja", "{{ [bos_token, eos_token]|tojson }}")
        pair = json.loads(self.lull.ok("template", model, "--template", template, "-m",
                                       self.file("none.json", [])))
        return dict(zip(("bos_token", "eos_token"), pair))

    def case(self, name, model, special, source, messages, setting, path=None):
        """path: of the template's file; None: the model's own."""
        variables = dict(setting)
        tools = variables.pop("tools", None)
        due = variables.pop("add_generation_prompt", True)
        args = ["template", model, "-m", self.file("messages.json", messages)]
        args += ["--template", path] if path else []
        args += ["--tools", self.file("tools.json", tools)] if tools is not None else []
        args += [] if due else ["--no-generation-prompt"]
        for key, value in variables.items():
            plain = isinstance(value, str) and not value[:1].isdigit()
            args += ["--var", f"{key}={value if plain else json.dumps(value)}"]
        done = self.lull.run(*args)
        theirs = jinja_compare.reference(self.env, {"template": source, "vars": {
            "messages": with_arguments(messages), "tools": tools, "documents": None,
            "add_generation_prompt": due, **special, **variables}})
        self.n_cases += 1
        self.n_text += "ok" in theirs
        if "ok" in theirs:
            is_right = done.returncode == 0 and done.stdout == theirs["ok"].encode()
        else:
            is_right = done.returncode == 1 and done.stdout == b"" and b"chat template" in done.stderr
        if not is_right:
            self.wrong(f"{name}\n... Jinja2 {theirs!r}\n... lull   {done.stdout.decode()!r}\n"
                       f"... exit code {done.returncode}: {done.stderr.decode()}")


def check_templates(check, model, all_settings):
    special, settings = check.special(model), jinja_compare.SETTINGS
    paths = sorted((program.TESTS / "data/templates").glob("*.jinja"))
    check.is_true(len(paths) >= 18, f"only {len(paths)} templates")
    for k, path in enumerate(paths):
        source = path.read_text()
        for i, (talk, messages) in enumerate(conversations().items()):
            for j, setting in enumerate(settings):
                if all_settings or j == (i + k) % len(settings):
                    check.case(f"{path.name} / {talk} / {j}", model, special, source, messages, setting,
                               str(path))


def check_own(check, model, special):
    """The template of the model's file, and the tokens that the model gets."""
    metadata = check.lull.json("inspect", model, "--full")["metadata"]
    check.is_true(check.special(model) == special, f"{model}: {check.special(model)} is not {special}")
    if "tokenizer.chat_template" not in metadata:
        done = check.lull.run("template", model, "-m", check.file("one.json", []))
        check.is_true(done.returncode == 1 and b"give --template FILE" in done.stderr, f"{done}")
        return
    source = metadata["tokenizer.chat_template"]["value"]
    for i, (talk, messages) in enumerate(conversations().items()):
        check.case(f"{model} / {talk}", model, special, source, messages,
                   {"add_generation_prompt": i % 2 == 0})
    messages = check.file("own.json", conversations()["system"])
    text = check.lull.ok("template", model, "-m", messages).decode()
    tokens = check.lull.tokens(model, text, "--special")
    bos = metadata["tokenizer.ggml.bos_token_id"]["value"]
    if metadata.get("tokenizer.ggml.add_bos_token", {}).get("value") and tokens[0] != bos:
        tokens = [bos, *tokens]
    check.is_true(json.loads(check.lull.ok("template", model, "-m", messages, "--tokens")) == tokens,
                  f"{model}: --tokens")
    check.is_true(check.lull.json("template", model, "-m", messages) == {"text": text, "tokens": tokens},
                  f"{model}: --json")


# What the prompt of every answer, and the answer behind it, are the beginning of: the whole. Else the
# first message of which that is not true. By template and conversation.
TURNS = {
    ("many", "phi3"): None, ("many", "gemma2"): None,
    ("many", "qwen3"): 39,  # an empty thought stands in front of the last answer
    ("thinking", "phi3"): None, ("thinking", "gemma2"): None,
    ("thinking", "qwen3"): 1, ("thinking", "deepseek_r1"): 1, ("thinking", "minimax_m2"): 1,
    ("many", "deepseek_r1"): 1,  # its prompt opens a thought, which is gone later
    ("system", "mistral"): 2,    # the system text stands in front of the last question
}


def check_turns(check, model):
    def tokens(messages, due, source, special):
        done = jinja_compare.reference(check.env, {"template": source, "vars": {
            "messages": messages, "tools": None, "documents": None, "add_generation_prompt": due,
            **special}})
        return check.lull.tokens(model, done["ok"], "--special") if "ok" in done else None

    special, talks = check.special(model), conversations()
    for (talk, name), expected in TURNS.items():
        path, messages = program.TESTS / f"data/templates/{name}.jinja", talks[talk]
        args = ["template", model, "--template", path, "-m", check.file("turns.json", messages)]
        found = check.lull.json(*args, "--turns")
        place = found["divergence"]
        check.is_true(found["grows"] == (expected is None) and
                      (expected is None or place["message"] == expected and place["cause"] == "turns"),
                      f"turns of {name} / {talk} should part at message {expected}: {found}")
        said = check.lull.ok(*args, "--turns").decode()
        check.is_true(("renders earlier turns differently" in said) == (expected is not None), said)
    # Token by token, for all templates: the prompts that are beginnings by Jinja2 are so by the program.
    for path in sorted((program.TESTS / "data/templates").glob("*.jinja")):
        messages, source = talks["many"][:6], path.read_text()
        whole = tokens(messages, True, source, special)
        prompts = [tokens(messages[:k], True, source, special) for k in (1, 3, 5)]
        grows = all(p is None or whole[:len(p)] == p for p in prompts)
        found = check.lull.json("template", model, "--template", path, "--turns", "-m",
                                check.file("turns.json", messages))
        check.is_true(grows or not found["grows"], f"{path.name} grows: {found}")
        place = found["divergence"]
        check.is_true(not grows or found["grows"] or place["turn"] != "", f"{path.name} does not: {found}")


def check_why(check, model):
    """A state that said a thought, and a request whose template has dropped it."""
    lull = check.lull.with_env(LULL_HOME=str(check.folder / "home"))
    template = str(program.TESTS / "data/templates/qwen3.jinja")
    talk = conversations()["thinking"][:3]
    first = check.file("first.json", talk[:1])
    said = lull.ok("template", model, "--template", template, "-m", first).decode() + talk[1]["content"]
    lull.ok("run", model, "--raw", "-f", check.file("said.txt", said), "-n", "1", "--sleep", "S")

    def why(messages, *args):
        return lull.json("why", "S", "--template", template, "-m", check.file("why.json", messages),
                         *args)["divergence"]

    place = why(talk)
    check.is_true(place["cause"] == "turns" and place["message"] == 1 and
                  place["state"].startswith("<think>") and place["request"].startswith("The answer"),
                  f"why: {place}")
    said = lull.ok("why", "S", "--template", template, "-m", check.file("why.json", talk)).decode()
    check.is_true("the template renders earlier turns differently" in said and "message 1" in said, said)
    other = [jinja_compare.user("Why not?"), *talk[1:]]
    check.is_true(why(other)["cause"] != "turns", f"why: other words are not the template's: {why(other)}")
    check.is_true(why(talk, "--var", "enable_thinking=true")["cause"] == "turns", "why with --var")
    for args in (["-m", first, "-p", "x"], ["-p", "x", "--tools", first]):
        check.is_true(lull.run("why", "S", *args).returncode == 2, f"why {args} is a mistake of usage")
    done = lull.run("why", "S", "-m", check.file("bad.json", "[1]"), "--template", template)
    check.is_true(done.returncode == 1 and b"bad.json: messages: item 0" in done.stderr, f"{done}")


def check_failures(check, model):
    """Exit code 1, and a message that names the file and the place."""
    good = check.file("good.json", [jinja_compare.user("Hi")])
    template = check.file("bad.jinja", "one\n{{ messages[0].content.nothing() }}")
    raises = check.file("raises.jinja", "{{ raise_exception('no such role') }}")
    broken = check.file("broken.jinja", "{% if x %}\n{{ y }")
    bad = [
        (["-m", check.file("broken.json", '[\n{"role": "user"]')], "broken.json: messages: line 2"),
        (["-m", check.file("text.json", '"text"')], "text.json: messages: "),
        (["-m", check.file("item.json", '[{}, 3]')], "item.json: messages: item 1"),
        (["-m", check.file("nul.json", b'[\0]')], "nul.json: byte 1"),
        (["-m", check.file("nul2.json", '[{"content": "\\u0000"}]')], "nul2.json: messages: line 1"),
        (["-m", check.file("latin.json", b'[{"content": "\xe4"}]')], "latin.json: messages: line 1"),
        (["-m", check.file("deep.json", "[" * 3000)], "deep.json: messages: line 1"),
        (["-m", good, "--tools", check.file("tools.json", "{}")], "tools.json: tools: "),
        (["-m", str(check.folder / "absent.json")], "absent.json"),
        (["-m", good, "--template", template], "bad.jinja: chat template, line 2, column "),
        (["-m", good, "--template", raises], "no such role"),
        (["-m", good, "--template", broken], "broken.jinja: chat template, line 2, column "),
        (["-m", good, "--var", "messages=[]"], "variables: messages"),
        (["-m", good, "--template", check.file("nul.jinja", "{{ 'a\\x00b' }}")], "NUL"),
    ]
    for args, what in bad:
        done = check.lull.run("template", model, *args)
        check.is_true(done.returncode == 1 and what in done.stderr.decode() and not done.stdout,
                      f"{args} should fail with {what!r}: {done}")
    for args in (["-m", good, "--var", "x"], ["-m", good, "--var", "=1"], []):
        done = check.lull.run("template", model, *args)
        check.is_true(done.returncode == 2, f"{args} should be a mistake of usage: {done}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lull", required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--show", type=int, default=5, metavar="K", help="print K failures")
    args = parser.parse_args()
    with program.Folder() as folder:
        check = Check(program.Lull(args.lull), folder, args.show)
        tiny = program.tiny_model(folder, "llama", n_layer=1)
        check_templates(check, tiny, args.all)
        check_own(check, tiny, {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"})
        check_failures(check, tiny)
        check_turns(check, tiny)
        check_why(check, tiny)
        for real in program.real_models():
            own = {"smollm2-135m": ("<|im_start|>", "<|im_end|>"), "gemma3-270m": ("<bos>", "<eos>")}
            check_own(check, real.path, dict(zip(("bos_token", "eos_token"), own[real.name])))
    print(f"test_templates: {check.n_cases} cases, {check.n_text} of them a text; {check.n_wrong} wrong")
    return check.n_wrong > 0


if __name__ == "__main__":
    sys.exit(main())
