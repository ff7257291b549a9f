#!/usr/bin/env python3
"""Makes corpus/reply: replies of each family, good ones and damaged ones.

    python3 make_reply_corpus.py [FOLDER]

The output is a function of this file. Inputs that a fuzzer found are kept beside these under names
that begin with "found-".
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent

TOOLS = ("none hermes xml llama3-json pythonic mistral deepseek harmony gemma command-r granite minimax kimi "
         "glm json").split()
REASONING = "none think tags harmony gemma command-r mistral granite".split()
STARTS, KNOWN, HIDE, SHOW = 1, 2, 4, 8

# name: tool format, reasoning format, flags, reply
REPLIES = {
    "text": ("none", "none", 0, " a <think> b\n"),
    "think": ("none", "think", 0, "<think>\na</think>\n\nb"),
    "think-open": ("none", "think", STARTS, "<think>a</think>b"),
    "think-shown": ("hermes", "think", SHOW, "<think>\na</think>\n\nb<tool_call>{\"name\":\"f\"}</tool_call>"),
    "think-hidden": ("hermes", "think", HIDE, "<think>\na</think>b"),
    "tags": ("none", "tags", 0, "<reasoning>a</reasoning><thought>b</thought>c"),
    "granite-thought": ("none", "granite", 0, "Here is my thought process: a Here's my response: b"),
    "hermes": ("hermes", "think", 0,
               "a\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\\u00e9\", \"b\": [1.5e3]}}\n"
               "</tool_call>\n<tool_call>{\"name\": f}</tool_call>\n<tool_call>{\"function\": {\"arguments\": "
               "\"{\\\"a\\\": 1}\", \"name\": \"g\"}, \"id\": 12}</tool_call> b"),
    "xml": ("xml", "none", KNOWN,
            "<tool_call>\n<function=f>\n<parameter=a>\n<b>\n\"x\"\n</parameter>\n<parameter=b>\n3\n</parameter>\n"
            "<parameter=c>null</parameter><parameter=d>{\"x\": 1}</parameter></function>\n</tool_call>"
            "<function=g></function><tool_call><function=h>x"),
    "llama3": ("llama3-json", "none", 0, "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\"}; "
               "<|python_tag|>{\"name\": \"g\"}"),
    "llama3-known": ("llama3-json", "none", KNOWN, "{\"name\": \"h\", \"parameters\": {}}"),
    "pythonic": ("pythonic", "none", 0,
                 "<|python_start|>[f(a='\\x41\\u00e9\\'', b=[1, .5, 2., 1_0], c={'k': (None, True)},), g()]"
                 "<|python_end|>[f(1)]"),
    "mistral": ("mistral", "mistral", 0,
                "[THINK]a[/THINK]b[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"nam\": 1}, {x}] "
                "[TOOL_CALLS]f[CALL_ID]123[ARGS]{\"a\": {}}[TOOL_CALLS]g{}"),
    "deepseek-v3": ("deepseek", "think", STARTS,
                    "a</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```"
                    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
    "deepseek-v31": ("deepseek", "none", 0,
                     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":1}<｜tool▁call▁end｜>"
                     "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{<｜tool▁call▁end｜>"),
    "deepseek-v32": ("deepseek", "none", 0,
                     "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"true\">"
                     "1</｜DSML｜parameter><｜DSML｜parameter name=\"b\" string=\"false\">[1]</｜DSML｜parameter>\n"
                     "</｜DSML｜invoke>\n</｜DSML｜function_calls>"),
    "lfm2": ("pythonic", "none", KNOWN, "<|tool_call_start|>[f(a=1)]<|tool_call_end|>x"),
    "harmony": ("harmony", "harmony", 0,
                "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=functions.f "
                "<|constrain|>json<|message|>{\"a\": 1}<|call|><|start|>assistant<|channel|>final<|message|>b"),
    "harmony-recipient": ("harmony", "harmony", SHOW, " to=functions.f<|channel|>commentary<|message|>{a"),
    "harmony-thought": ("none", "harmony", 0, "<|channel|>analysis<|message|>a<|return|>b"),
    "gemma-code": ("gemma", "none", 0, "```tool_code\nprint(f(a=1))\ng()\n[f(), g()]\n```\n```tool_code\nx=1\n```"),
    "gemma-json": ("gemma", "none", 0, "```tool_call\n{\"name\": \"f\"}\n[{\"name\": 1}]\n```"),
    "gemma-4": ("gemma", "gemma", 0,
                "<|channel>thought\na<|tool_call>call:f{a:<|\"|>x<|<|\"|>,b:[1,{k:null}],c:word}<tool_call|>"
                "<start_function_call>call:g{a:<escape>y<escape>}<end_function_call>"),
    "command-r": ("command-r", "command-r", 0,
                  "<|START_THINKING|>a<|END_THINKING|><|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"f\", "
                  "\"parameters\": {}}]<|END_ACTION|><|START_RESPONSE|>b<|END_RESPONSE|>"),
    "command-r-old": ("command-r", "none", 0, "Action: a\nAction:\n```json\n[{\"tool_name\": \"f\"}, {}]```"),
    "granite": ("granite", "none", 0, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}, {}]<tool_call>{\"name\": "
                "\"g\"}</tool_call>"),
    "minimax": ("minimax", "none", KNOWN,
                "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"b\">1</parameter>\n</invoke>\n"
                "<invoke name=g></invoke></minimax:tool_call><tool_calls>\n{\"name\": \"f\"}\n{}\n</tool_calls>"),
    "kimi": ("kimi", "think", 0,
             "<think>a<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}"
             "<|tool_call_end|><|tool_call_begin|>g<|tool_call_argument_begin|>{}<|tool_calls_section_end|>"),
    "glm": ("glm", "none", KNOWN, "<tool_call>f\n<arg_key>b</arg_key>\n<arg_value>1</arg_value>\n</tool_call>"
            "<tool_call>g</tool_call><tool_call>f<arg_key>a</arg_key>"),
    "json": ("json", "none", 0, "[{\"name\": \"f\", \"arguments\": {}}, {\"a\": 1}]"),
}


def main():
    folder = (pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus") / "reply"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if not old.name.startswith("found-"):
            old.unlink()
    for name, (tools, reasoning, flags, text) in REPLIES.items():
        head = bytes([TOOLS.index(tools), REASONING.index(reasoning), flags])
        data = text.encode()
        (folder / name).write_bytes(head + data)
        if tools != "none":
            (folder / f"{name}-cut").write_bytes(head + data[:len(data) * 2 // 3])
            (folder / f"{name}-flipped").write_bytes(
                head + bytes(b ^ (0x80 if i % 37 == 30 else 0) for i, b in enumerate(data)))
    print(f"{len(list(folder.iterdir()))} files in {folder}")


if __name__ == "__main__":
    main()
