#!/usr/bin/env python3
"""Compares the template interpreter with Jinja2 itself, set up as the transformers library sets it up.

    jinja_compare.py --driver BUILD/tests/jinja_driver [--random N] [--seed S] [--show K]

Every template of tests/data/templates is rendered with every conversation below, then N templates of
jinja_random.py. For each both must give the same bytes, or both must fail. Exit code 77: there is no
Jinja2 here.
"""
import argparse
import copy
import functools
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox
except ImportError:
    other = os.environ.get("LULL_TEST_PYTHON")
    if other and os.path.abspath(other) != os.path.abspath(sys.executable):
        os.execv(other, [other, *sys.argv])
    print("jinja_compare: skipped: there is no jinja2 (LULL_TEST_PYTHON=$(scripts/test-python))")
    sys.exit(77)

import jinja_random

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "templates")

# That of SmolLM2-135M-Instruct, as its file holds it.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# ---- Jinja2 ---------------------------------------------------------------------------------------


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the model says; the text itself stays as it is."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_render")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def make_environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: time.strftime(form)
    return env


@functools.lru_cache(maxsize=64)
def compiled(env, source):
    return env.from_string(source)


def reference(env, case):
    """{"ok": text} or {"error": message}. Whatever Python raises is an error of the template. The
    variables are copied: Jinja2's |indent of a list lengthens that list."""
    try:
        return {"ok": compiled(env, case["template"]).render(**copy.deepcopy(case["vars"]))}
    except Exception as e:  # noqa: BLE001
        return {"error": f"{type(e).__name__}: {e}"}


# ---- conversations ----------------------------------------------------------------------------------


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, **more):
    return {"id": "abcdefghi", "type": "function",
            "function": {"name": name, "arguments": arguments}, **more}


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather",
        "description": "The weather in a city, today: \"now\" & <later>",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name, e.g. Zürich"},
                "unit": {"type": "string", "description": "Unit", "enum": ["celsius", "fahrenheit"],
                         "default": "celsius"},
                "days": {"type": "integer", "description": "How many", "default": 3},
            },
            "required": ["city"]}}},
    {"type": "function", "function": {
        "name": "search",
        "description": "Search.\nIn many places.",
        "parameters": {
            "type": "object",
            "properties": {
                "queries": {"type": "array", "description": "What for",
                            "items": {"type": "object", "properties": {
                                "text": {"type": "string"},
                                "weight": {"type": "number", "nullable": True},
                                "tags": {"type": "array", "items": {"type": "string"}}},
                                "required": ["text"]}},
                "limits": {"type": "object", "description": "Limits",
                           "additionalProperties": {"type": "integer"}},
                "how": {"description": "How", "oneOf": [
                    {"type": "string", "description": "a word"},
                    {"type": "number", "default": 1.5}]},
                "either": {"type": ["string", "integer"], "description": "Either"},
                "deep": {"type": "boolean", "description": "All"}},
            "required": ["queries", "deep"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {
        "type": "object", "properties": {}, "required": []}}},
]

THOUGHT = "<think>\nFirst this,\n\nthen that.\n</think>\n\nThe answer: **42**."

CONVERSATIONS = {
    "one": [user("Hello")],
    "empty_list": [],
    "empty_text": [user("")],
    "spaces": [user("  \n\t Hello \n world \u00a0\u2003\n ")],
    "system": [system("You are terse.\n"), user("Hi"), assistant("Hi."), user("Bye")],
    "two_systems": [system("a"), system("b"), user("c")],
    "answered": [user("Hi"), assistant(" Hello! ")],
    "many": [m for i in range(20) for m in (user(f"question {i}?"), assistant(f"answer {i}."))],
    "unicode": [user("Grüße, 世界! 🦙👩‍👩‍👧 ﷽ \u0301e \u2028 \x7f \x00 end"), assistant("İı ßẞ ŉ Ω"),
                user("'single' \"double\" \\ {{ x }} {% y %} </s><|im_end|>")],
    "wrong_order": [assistant("I first"), user("no")],
    "twice": [user("a"), user("b")],
    "late_system": [user("a"), assistant("b"), system("c"), user("d")],
    "thinking": [user("Why?"), assistant(THOUGHT), user("And?"), assistant(THOUGHT)],
    "reasoning": [user("Why?"), {"role": "assistant", "content": "So.", "thinking": "Hm",
                                 "reasoning_content": "\n\nHm, hm\n"}],
    "parts": [user([{"type": "text", "text": " What is "}, {"type": "image"},
                    {"type": "text", "text": "this? "}]), assistant("A cat.")],
    "system_parts": [{"role": "system", "content": [{"type": "text", "text": "Be kind"}]},
                     user([{"type": "text", "text": "Hi"}])],
    "no_content": [{"role": "user"}],
    "content_none": [user(None)],
    "content_number": [user(17)],
    "unknown_role": [{"role": "narrator", "content": "Once"}, user("ok")],
    "no_role": [{"content": "Once"}],
    "tool_call": [
        system("Use tools."), user("Weather in Zürich?"),
        {"role": "assistant", "content": "", "tool_calls": [
            call("get_weather", {"city": "Zürich", "unit": "celsius"})]},
        {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi",
         "content": "{\"temperature\": 21.5, \"text\": \"sun & wind\"}"},
        assistant("21.5 °C."), user("Thanks")],
    "tool_calls": [
        user("Search twice"),
        {"role": "assistant", "content": None, "tool_calls": [
            call("search", {"queries": [{"text": "a\"b", "weight": 1e-7, "tags": []}], "deep": True}),
            call("search", {"queries": [], "deep": False, "limits": {}, "how": None})]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "one"},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "two"}],
    "tool_open": [user("Time?"),
                  {"role": "assistant", "content": "Let me see", "tool_calls": [call("now", {})]}],
    "tool_string": [user("x"), {"role": "assistant", "content": "", "tool_calls": [
        call("search", "{\"already\": \"text\"}")]},
        {"role": "tool", "tool_call_id": "short", "content": {"content": {"a": [1, 2.0, None]}}}],
    "tool_first": [{"role": "tool", "content": "nobody asked"}, user("?")],
    "flat_call": [user("x"), {"role": "assistant", "content": "y", "tool_calls": [
        {"name": "now", "arguments": {"a": [1, {"b": [True, None, -0.0]}]}}]}, user("z")],
}

MANY = 5000  # of so many random templates each construct stands in some

SETTINGS = [
    {"add_generation_prompt": True},
    {"add_generation_prompt": False},
    {},
    {"tools": TOOLS, "add_generation_prompt": True},
    {"tools": TOOLS[:1], "add_generation_prompt": False, "tools_in_user_message": False,
     "use_json": True},
    {"tools": None, "documents": [{"text": "one"}, {"text": "two\n"}], "enable_thinking": False,
     "controls": {"citations": True, "length": "long"}, "add_generation_prompt": True},
    {"tools": [], "date_string": "1 Apr 2025", "builtin_tools": ["code_interpreter", "get_weather"],
     "thinking": True, "reasoning_effort": "high", "model_identity": "You.",
     "add_generation_prompt": True},
]


def template_cases():
    templates = {"smollm2": SMOLLM2}
    for name in sorted(os.listdir(TEMPLATES)):
        if name.endswith(".jinja"):
            with open(os.path.join(TEMPLATES, name), encoding="utf-8", newline="") as f:
                templates[name] = f.read()
    assert len(templates) > 10, f"where are the templates? {TEMPLATES}"
    for name, template in templates.items():
        for talk, messages in CONVERSATIONS.items():
            for i, setting in enumerate(SETTINGS):
                variables = {"messages": messages, "bos_token": "<s>", "eos_token": "</s>", **setting}
                yield {"name": f"{name} / {talk} / {i}", "template": template, "vars": variables}


# ---- the comparison ---------------------------------------------------------------------------------


def run_driver(driver, cases):
    lines = "".join(json.dumps({"template": c["template"], "vars": c["vars"]}) + "\n" for c in cases)
    done = subprocess.run([driver], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    replies = done.stdout.split(b"\n")[:-1]
    assert len(replies) == len(cases), f"{len(replies)} replies to {len(cases)} cases"
    return [json.loads(r.decode("utf-8", "surrogateescape")) for r in replies]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--random", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5, metavar="K", help="print K differences")
    args = parser.parse_args()

    env = make_environment()
    cases = list(template_cases())
    n_templates = len(cases)
    cases += jinja_random.make_cases(args.seed, args.random)
    replies = run_driver(args.driver, cases)
    n_ok = n_different = n_left_out = 0
    seen = set()
    for k, (case, ours) in enumerate(zip(cases, replies)):
        theirs = reference(env, case)
        if " object at 0x" in theirs.get("ok", ""):  # Python's own name of a generator or function
            n_left_out += 1
            continue
        n_ok += "ok" in theirs
        if "ok" in theirs and k >= n_templates:
            seen |= jinja_random.constructs_of(case["template"])
        if "ok" in theirs and ours.get("ok") == theirs["ok"]:
            continue
        if "error" in theirs and "error" in ours:
            continue
        n_different += 1
        if n_different <= args.show:
            print(f"--- {case['name']}\n{case['template']}\n... vars "
                  f"{json.dumps(case['vars'], ensure_ascii=False)[:2000]}\n"
                  f"... Jinja2 {theirs!r}\n... lull   {ours!r}")
    print(f"jinja_compare: {len(cases)} cases ({n_templates} of chat templates, {args.random} random "
          f"from seed {args.seed}); {n_ok} give text, {len(cases) - n_ok - n_left_out} an error, "
          f"{n_left_out} an address; {n_different} differ; jinja2 {jinja2.__version__}")
    missing = sorted(set(jinja_random.CONSTRUCTS) - seen) if args.random >= MANY else []
    if missing:
        print(f"jinja_compare: no random template has {', '.join(missing)}")
    return n_different > 0 or bool(missing)


if __name__ == "__main__":
    sys.exit(main())
