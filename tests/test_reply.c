/* The parser of replies. Every transcript is written by hand from the published format of its family, and fed whole,
 * cut in two at every byte, byte by byte and in random pieces: the events, with adjacent pieces of one thing
 * joined, are always the expected ones. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "json_scan.h"
#include "lull/reply.h"
#include "reply_events.h"

/* Weather takes strings and more; its schemas matter to bare parameters. */
static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"parameters\": {"
    "\"type\": \"object\", \"properties\": {"
    "\"city\": {\"type\": \"string\"}, \"days\": {\"type\": \"integer\"},"
    "\"hourly\": {\"type\": \"boolean\"}, \"unit\": {\"type\": [\"string\", \"null\"]},"
    "\"box\": {\"anyOf\": [{\"type\": \"object\"}, {\"type\": \"null\"}]},"
    "\"kind\": {\"enum\": [\"rain\", \"sun\"]}}}}},"
    "{\"name\": \"get_time\"}]";

/* Most cases leave the last fields zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
typedef struct reply_case {
    int tools, reasoning; /* lull_tool_format, lull_reasoning_format */
    const char *said;
    const char *events; /* see reply_events.h */
    bool starts_in_thought, has_tools;
    lull_thinking thinking;
} reply_case;

static lull_reply *start(const reply_case *c, reply_events *events)
{
    lull_error err;
    lull_reply *r;
    lull_reply_options o = {.tools = (lull_tool_format)c->tools,
                            .reasoning = (lull_reasoning_format)c->reasoning,
                            .thinking = c->thinking,
                            .starts_in_thought = c->starts_in_thought,
                            .tools_json = c->has_tools ? tools : NULL,
                            .on_event = add_event,
                            .user = events};
    assert_int_equal(lull_reply_new(&o, &r, &err), LULL_OK);
    return r;
}

static void feed(lull_reply *r, const char *s, size_t n)
{
    lull_error err;
    char *exact = malloc(n + 1); /* so that a sanitizer sees a read past the end */
    memcpy(exact, s, n);
    assert_int_equal(lull_reply_feed(r, exact, n, &err), LULL_OK);
    free(exact);
}

static void say(lull_reply *r, const char *s)
{
    feed(r, s, strlen(s));
}

static void finish(const reply_case *c, lull_reply *r, reply_events *events, const char *how)
{
    lull_error err;
    assert_int_equal(lull_reply_finish(r, &err), LULL_OK);
    if (strcmp(event_lines(events), c->events) != 0)
        fail_msg("%s, %s:\n%s\n---- not\n%s\n---- but\n%s",
                 lull_tool_format_name((lull_tool_format)c->tools), how, c->said, c->events,
                 event_lines(events));
    check_result(r, events);
    lull_reply_free(r);
    reply_events_fini(events);
}

static uint64_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

static void check(const reply_case *c)
{
    size_t n = strlen(c->said);
    uint64_t seed = n;
    reply_events events = {0};
    lull_reply *r = start(c, &events);
    feed(r, c->said, n);
    finish(c, r, &events, "whole");
    for (size_t cut = 0; cut <= n; cut++) {
        r = start(c, &events);
        feed(r, c->said, cut);
        feed(r, c->said + cut, n - cut);
        finish(c, r, &events, "in two");
    }
    r = start(c, &events);
    for (size_t i = 0; i < n; i++) feed(r, c->said + i, 1);
    finish(c, r, &events, "bytewise");
    for (int i = 0; i < 20; i++) {
        r = start(c, &events);
        for (size_t at = 0; at < n;) {
            size_t piece = 1 + next_random(&seed) % 12;
            if (piece > n - at) piece = n - at;
            feed(r, c->said + at, piece);
            at += piece;
        }
        finish(c, r, &events, "in pieces");
    }
}

#define CHECK_ALL(cases)                                                                           \
    for (size_t i = 0; i < sizeof(cases) / sizeof *(cases); i++) check(&(cases)[i])

/* ---- text and thoughts ------------------------------------------------------------------------ */

static void test_text(void **state)
{
    (void)state;
    static const reply_case cases[] = {
        {LULL_TOOLS_NONE, 0, "", ""},
        {LULL_TOOLS_NONE, 0, " \n a <think> b </think> \n", "T| \n a <think> b </think> \n\n"},
        {LULL_TOOLS_HERMES, 0, "a <tool_cal\nb <tool", "T|a <tool_cal\nb <tool\n"},
        {LULL_TOOLS_HERMES, LULL_REASONING_THINK, " \n", "T| \n\n"},
        {LULL_TOOLS_MISTRAL, 0, "[TOOL] [TOOL_[TOOL_CAL", "T|[TOOL] [TOOL_[TOOL_CAL\n"},
        {LULL_TOOLS_DEEPSEEK, 0, "a<｜tool▁calls▁", "T|a<｜tool▁calls▁\n"},
        {LULL_TOOLS_NONE, 0, "\xff\xfe <\xe2\x96", "T|\xff\xfe <\xe2\x96\n"},
    };
    CHECK_ALL(cases);
}

static void test_thoughts(void **state)
{
    (void)state;
    enum { THINK = LULL_REASONING_THINK, TAGS = LULL_REASONING_TAGS };
    static const reply_case cases[] = {
        {0, THINK, "<think>\na\n b \n</think>\n\nHi\n", "H|a\n b\nT|Hi\n\n"},
        {0, THINK, "\n<think></think>Hi", "T|Hi\n"},
        {0, THINK, "<think>never closed </thin\n", "H|never closed </thin\n"},
        {0, THINK, "a </think> b", "T|a </think> b\n"},
        {0, THINK, "say <think>a</think>", "T|say <think>a</think>\n"},
        {0, THINK, "<think>a</think>\n<think>b</think> c", "H|a\nb\nT|c\n"},
        {0, THINK, "a<b</think>\nHi", "H|a<b\nT|Hi\n", .starts_in_thought = true},
        {0, THINK, "\n<think>\na</think>Hi", "H|a\nT|Hi\n", .starts_in_thought = true},
        {0, THINK, "a <think>b</think>Hi", "H|a <think>b\nT|Hi\n", .starts_in_thought = true},
        {0, TAGS, "<thinking>a</think></thinking>b", "H|a</think>\nT|b\n"},
        {0, TAGS, "<reasoning>a</reasoning> <thought>b</thought>c", "H|a\nb\nT|c\n"},
        {0, TAGS, "<analysis>a</analysis>\nb", "H|a\nT|b\n"},
        {0, THINK, "<think>\na\n</think>\n\nHi", "T|<think>\na\n</think>\n\nHi\n",
         .thinking = LULL_THINKING_SHOW},
        {0, THINK, "<think>\na\n</think>\n\nHi", "T|Hi\n", .thinking = LULL_THINKING_HIDE},
        {0, THINK, "\na\n</think>\n\nHi", "T|\na\n</think>\n\nHi\n", .starts_in_thought = true,
         .thinking = LULL_THINKING_SHOW},
        {0, LULL_REASONING_MISTRAL, "x [THINK]a[/THINK]b", "T|x\nH|a\nT|\nb\n"},
        {0, LULL_REASONING_GEMMA, "<|channel>thought\na<channel|>b", "H|a\nT|b\n"},
        {0, LULL_REASONING_GEMMA, "<|channel>thought\n<channel|>b", "T|b\n"},
        {0, LULL_REASONING_COMMAND_R,
         "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "H|a\nT|b\n"},
        {0, LULL_REASONING_GRANITE, "Here is my thought process: a\n\nHere is my response: b",
         "H|a\nT|b\n"},
        {0, LULL_REASONING_GRANITE, "Here's my thought process:a\nHere's my response:\nb",
         "H|a\nT|b\n"},
        {0, LULL_REASONING_GRANITE, "Here is my thought about it",
         "T|Here is my thought about it\n"},
    };
    CHECK_ALL(cases);
}

/* ---- the families ----------------------------------------------------------------------------- */

static void test_hermes(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_HERMES, THINK = LULL_REASONING_THINK };
    static const reply_case cases[] = {
        {F, 0,
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
         "\"Oslo\"}}\n</tool_call>",
         "C0|get_weather|call_0\nA0|{\"city\": \"Oslo\"}\nE0\n"},
        {F, THINK,
         "<think>\nI call.\n</think>\n\nLet me look.\n<tool_call>\n{\"name\": \"f\", "
         "\"arguments\": {}}\n"
         "</tool_call>\n<tool_call>\n{\"arguments\": {\"a\": [1, {\"b\": null}]}, \"name\": "
         "\"g\"}\n"
         "</tool_call>\nDone.\n",
         "H|I call.\nT|Let me look.\nC0|f|call_0\nA0|{}\nE0\nC1|g|call_1\n"
         "A1|{\"a\": [1, {\"b\": null}]}\nE1\nT|\nDone.\n\n"},
        {F, THINK,
         "<think>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n</think>x",
         "H|<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\nT|x\n"},
        /* a marker, escapes and other letters in strings */
        {F, 0,
         "<tool_call>{\"name\": \"f\", \"arguments\": {\"</tool_call>\": "
         "\"\\\"}\\u00e9\\ud83d\\ude00 ø "
         "</tool_call>\\n\"}}</tool_call>",
         "C0|f|call_0\nA0|{\"</tool_call>\": \"\\\"}\\u00e9\\ud83d\\ude00 ø "
         "</tool_call>\\n\"}\nE0\n"},
        /* other members, arguments as text, null, none, in OpenAI's envelope; numbers before a brace */
        {F, 0,
         "<tool_call>{\"id\": \"a1\", \"x\": [1], \"name\": \"f\", \"n\": -1.5e3}</tool_call>",
         "C0|f|a1\nA0|{}\nE0\n"},
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\n"},
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>",
         "C0|f|call_0\nA0|{}\nE0\n"},
        {F, 0,
         "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": "
         "{\"a\":1}}}</tool_call>",
         "C0|f|call_0\nA0|{\"a\":1}\nE0\n"},
        /* malformed, then good */
        {F, 0,
         "a\n<tool_call>\n{\"name\": \"f\", \"arguments\": {bad}}\n</tool_call>\n"
         "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
         "T|a\nC0|f|call_0\nA0|{\nF0\n"
         "T|\n<tool_call>\n{\"name\": \"f\", \"arguments\": {bad}}\n</tool_call>\n"
         "C1|g|call_1\nA1|{}\nE1\n"},
        {F, 0,
         "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x}</tool_call> "
         "<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>",
         "C0|f|call_0\nA0|{\"a\": \"x}</tool_call> <tool_call>{\"\nF0\n"
         "T|<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x}</tool_call>\n"
         "C1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "<tool_call><tool_call>{\"name\": \"f\"}</tool_call>",
         "F0\nT|<tool_call>\nC1|f|call_1\nA1|{}\nE1\n"},
        {F, 0, "<tool_call>{\"nme\": \"f\"}</tool_call>!",
         "F0\nT|<tool_call>{\"nme\": \"f\"}</tool_call>!\n"},
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
         "F0\nT|<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>\n"},
        {F, 0, "<tool_call>{\"name\": \"a b\", \"arguments\": {}}</tool_call>",
         "F0\nT|<tool_call>{\"name\": \"a b\", \"arguments\": {}}</tool_call>\n"},
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\\ud83d\"}}</tool_call>",
         "C0|f|call_0\nA0|{\"a\": \"\\ud83d\nF0\n"
         "T|<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\\ud83d\"}}</tool_call>\n"},
        /* the end of the reply: inside the arguments; behind them; inside the end marker; no end marker */
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}",
         "C0|f|call_0\nA0|{\"a\": 1}\nF0\nT|<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": "
         "1}\n"},
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\n"},
        {F, 0, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\n"},
        {F, 0, "<tool_call>{\"name\": \"f\"}\n<tool_call>{\"name\": \"g\"}</tool_call>",
         "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
    };
    CHECK_ALL(cases);
}

static void test_xml(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_XML };
    static const reply_case cases[] = {
        {F, 0,
         "I look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n"
         "<parameter=days>\n3\n</parameter>\n<parameter=hourly>\nTrue\n</parameter>\n"
         "</function>\n</tool_call>",
         "T|I look.\nC0|get_weather|call_0\nA0|{\"city\": \"Oslo\", \"days\": 3, \"hourly\": "
         "true}\nE0\n",
         .has_tools = true},
        /* types: nullable text, objects, enums, what does not fit its type, what is not known */
        {F, 0,
         "<tool_call><function=get_weather><parameter=unit>null</parameter><parameter=box>\n"
         "{\"a\": [1]}\n</parameter><parameter=kind>12</parameter><parameter=days>many</parameter>"
         "<parameter=x>7</parameter></function></tool_call>",
         "C0|get_weather|call_0\nA0|{\"unit\": null, \"box\": {\"a\": [1]}, \"kind\": \"12\", "
         "\"days\": \"many\", \"x\": \"7\"}\nE0\n",
         .has_tools = true},
        /* lines of text, quotes, tags that are none of ours, one newline off each end */
        {F, 0,
         "<tool_call>\n<function=write>\n<parameter=text>\n\n<p>\"a\\b\"</p>\n</para\n\tø\n\n"
         "</parameter>\n</function>\n</tool_call>",
         "C0|write|call_0\nA0|{\"text\": \"\\n<p>\\\"a\\\\b\\\"</p>\\n</para\\n\\tø\\n\"}\nE0\n"},
        {F, 0, "<tool_call>\n<function=f>\n</function>\n</tool_call>\nText",
         "C0|f|call_0\nA0|{}\nE0\nT|Text\n"},
        {F, 0,
         "<tool_call>\n<function=f>\n</function>\n</tool_call>\n<tool_call>\n<function=g>\n"
         "<parameter=a>\n\n</parameter>\n</function>\n</tool_call>",
         "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{\"a\": \"\"}\nE1\n"},
        {F, 0, "<function=f>\n</function>\n</tool_call>", "C0|f|call_0\nA0|{}\nE0\n"},
        /* malformed, then good */
        {F, 0,
         "<tool_call>\n<function=f>\nparameter\n</function>\n</tool_call>\n"
         "<tool_call>\n<function=g>\n</function>\n</tool_call>",
         "C0|f|call_0\nF0\n"
         "T|<tool_call>\n<function=f>\nparameter\n</function>\n</"
         "tool_call>\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "<tool_call>\n<function=f>\n<parameter=a>\nx",
         "C0|f|call_0\nA0|{\"a\": \"x\nF0\nT|<tool_call>\n<function=f>\n<parameter=a>\nx\n"},
    };
    CHECK_ALL(cases);
}

static void test_llama3(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_LLAMA3_JSON };
    static const reply_case cases[] = {
        {F, 0, "{\"name\": \"f\", \"parameters\": {\"a\": \"}\"}}",
         "C0|f|call_0\nA0|{\"a\": \"}\"}\nE0\n"},
        {F, 0, "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}",
         "C0|f|call_0\nA0|{}\nE0\n"},
        {F, 0,
         "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"a\": 1}};",
         "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{\"a\": 1}\nE1\nT|;\n"},
        {F, 0, "{\"name\": \"f\", \"parameters\": {}}\n{\"name\": \"g\", \"parameters\": {}}\nDone",
         "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{}\nE1\nT|Done\n"},
        {F, 0, "Here: {\"name\": \"f\", \"parameters\": {}}",
         "T|Here: {\"name\": \"f\", \"parameters\": {}}\n"},
        /* data, not a call */
        {F, 0, "{\"name\": \"Ann\", \"age\": 3}", "T|{\"name\": \"Ann\", \"age\": 3}\n"},
        {F, 0, "{\"a\": }", "T|{\"a\": }\n"},
        {F, 0, "{\"name\": \"f\", \"parameters\": {}}", "T|{\"name\": \"f\", \"parameters\": {}}\n",
         .has_tools = true},
        {F, 0, "{\"name\": \"get_time\", \"parameters\": {}}", "C0|get_time|call_0\nA0|{}\nE0\n",
         .has_tools = true},
        {F, 0, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "C0|f|call_0\nA0|{}\nE0\n",
         .has_tools = true},
        /* malformed, then good */
        {F, 0,
         "<|python_tag|>{\"name\" \"f\"}; <|python_tag|>{\"name\": \"g\", \"parameters\": {}}",
         "F0\nT|<|python_tag|>{\"name\" \"f\"};\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "{\"name\": \"f\", \"parameters\": {\"a\": tru}}",
         "C0|f|call_0\nA0|{\"a\": tru\nF0\nT|{\"name\": \"f\", \"parameters\": {\"a\": tru}}\n"},
    };
    CHECK_ALL(cases);
}

static void test_pythonic(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_PYTHONIC };
    static const reply_case cases[] = {
        {F, 0, "[f(a=1, b=\"x\"), g()]",
         "C0|f|call_0\nA0|{\"a\": 1, \"b\": \"x\"}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0,
         "[f(a=[1, -2.5, True], b={'k': None, 'l': {}}, c=(1, 'y'), d=1., e=.5, f=1_000, g=+3,)]",
         "C0|f|call_0\nA0|{\"a\": [1, -2.5, true], \"b\": {\"k\": null, \"l\": {}}, "
         "\"c\": [1, \"y\"], \"d\": 1.0, \"e\": 0.5, \"f\": 1000, \"g\": 3}\nE0\n"},
        {F, 0, "[f(a='it\\'s \"x\"\\n\\x41\\u00e9\\U0001f600\\d\t)]', b=\"ø\")]",
         "C0|f|call_0\nA0|{\"a\": \"it's \\\"x\\\"\\nAé😀\\\\d\\t)]\", \"b\": \"ø\"}\nE0\n"},
        {F, 0, "<|python_start|>[f( a = 1 )]<|python_end|>\n", "C0|f|call_0\nA0|{\"a\": 1}\nE0\n"},
        {F, 0, "<|tool_call_start|>[f(a=1)]<|tool_call_end|>x",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\nT|x\n"},
        {F, LULL_REASONING_THINK, "<think>x</think>\n[a.b(c=[])]\nDone.",
         "H|x\nC0|a.b|call_0\nA0|{\"c\": []}\nE0\nT|Done.\n"},
        /* not a call */
        {F, 0, "[1, 2]", "T|[1, 2]\n"},
        {F, 0, "[]", "T|[]\n"},
        {F, 0, "See [f(a=1)]", "T|See [f(a=1)]\n"},
        {F, 0, "[f(a=1) is short]", "C0|f|call_0\nA0|{\"a\": 1}\nF0\nT|[f(a=1) is short]\n"},
        {F, 0, "[f(a=1)]", "T|[f(a=1)]\n", .has_tools = true},
        {F, 0, "[get_time()]", "C0|get_time|call_0\nA0|{}\nE0\n", .has_tools = true},
        /* malformed: no literal, no name; the first call stays */
        {F, 0, "[f(a=b)]", "C0|f|call_0\nA0|{\"a\": \nF0\nT|[f(a=b)]\n"},
        {F, 0, "[f(), g(1)]", "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{\nF1\nT|, g(1)]\n"},
        {F, 0, "[f(a='\\ud800')]", "C0|f|call_0\nA0|{\"a\": \"\nF0\nT|[f(a='\\ud800')]\n"},
        {F, 0, "[f(a='\xed\xa0\x80')]",
         "C0|f|call_0\nA0|{\"a\": \"\xed\nF0\nT|[f(a='\xed\xa0\x80')]\n"},
        {F, 0, "[f(a=01)]", "C0|f|call_0\nA0|{\"a\": \nF0\nT|[f(a=01)]\n"},
        {F, 0, "[f(a=\"x", "C0|f|call_0\nA0|{\"a\": \"x\nF0\nT|[f(a=\"x\n"},
        {F, 0, "[f(a=1)", "C0|f|call_0\nA0|{\"a\": 1}\nE0\n"},
    };
    CHECK_ALL(cases);
}

static void test_mistral(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_MISTRAL };
    static const reply_case cases[] = {
        {F, 0, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"]\"}}]",
         "C0|f|call00000\nA0|{\"a\": \"]\"}\nE0\n"},
        {F, 0,
         "[TOOL_CALLS][{\"id\": \"Ab1234567\", \"name\": \"f\", \"arguments\": {}}, "
         "{\"name\": \"g\", \"arguments\": {}, \"id\": \"too_late\"}] text",
         "C0|f|Ab1234567\nA0|{}\nE0\nC1|g|call00001\nA1|{}\nE1\nT|text\n"},
        {F, 0, "Hm.\n[TOOL_CALLS]f[ARGS]{\"a\": {\"b\": 1}}[TOOL_CALLS]g[CALL_ID]123456789[ARGS]{}",
         "T|Hm.\nC0|f|call00000\nA0|{\"a\": {\"b\": 1}}\nE0\nC1|g|123456789\nA1|{}\nE1\n"},
        {F, 0, "[TOOL_CALLS]f{\"a\": \"[ARGS]\"}", "C0|f|call00000\nA0|{\"a\": \"[ARGS]\"}\nE0\n"},
        {F, LULL_REASONING_MISTRAL, "[THINK]x [TOOL_CALLS][/THINK]y[TOOL_CALLS]f[ARGS]{}",
         "H|x [TOOL_CALLS]\nT|y\nC0|f|call00000\nA0|{}\nE0\n"},
        /* an item that is no call leaves the others; one that is no JSON ends the list */
        {F, 0,
         "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": 1}, {\"name\": \"g\", \"arguments\": {}}]",
         "F0\nT|[TOOL_CALLS][{\"name\": \"f\", \"arguments\": 1}\nC1|g|call00001\nA1|{}\nE1\n"},
        {F, 0, "[TOOL_CALLS][{\"name\": \"f\"}, {\"name\": g}] [TOOL_CALLS]h[ARGS]{}",
         "C0|f|call00000\nA0|{}\nE0\nF1\nT|, {\"name\": g}]\nC2|h|call00002\nA2|{}\nE2\n"},
        {F, 0, "[TOOL_CALLS][]", "F0\nT|[TOOL_CALLS][]\n"},
        {F, 0, "[TOOL_CALLS]f[ARGS]{\"a\"",
         "C0|f|call00000\nA0|{\"a\"\nF0\nT|[TOOL_CALLS]f[ARGS]{\"a\"\n"},
        {F, 0, "[TOOL_CALLS]f g[ARGS]{}", "F0\nT|[TOOL_CALLS]f g[ARGS]{}\n"},
    };
    CHECK_ALL(cases);
}

static void test_deepseek(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_DEEPSEEK, THINK = LULL_REASONING_THINK };
    static const reply_case cases[] = {
        /* R1 and V3 */
        {F, THINK,
         "<think>\nx\n</"
         "think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
         "```json\n{\"a\": "
         "\"```\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n"
         "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "H|x\nC0|f|call_0\nA0|{\"a\": \"```\"}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        /* V3.1 */
        {F, THINK,
         "x</think>Let me.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": "
         "\"<｜tool▁call▁end｜>\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>{}"
         "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "H|x\nT|Let me.\nC0|f|call_0\nA0|{\"a\": \"<｜tool▁call▁end｜>\"}\nE0\n"
         "C1|g|call_1\nA1|{}\nE1\n",
         .starts_in_thought = true},
        /* V3.2 */
        {F, 0,
         "Hm.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter "
         "name=\"a\" "
         "string=\"true\">1</｜DSML｜parameter>\n<｜DSML｜parameter name=\"b\" string=\"false\">[1]"
         "</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">\n</｜DSML｜invoke>\n"
         "</｜DSML｜function_calls>",
         "T|Hm.\nC0|f|call_0\nA0|{\"a\": \"1\", \"b\": [1]}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        /* the block's end is missing; a call is malformed and the next one good */
        {F, 0, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}",
         "C0|f|call_0\nA0|{}\nE0\n"},
        {F, 0,
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{a}<｜tool▁call▁end｜>"
         "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "C0|f|call_0\nA0|{\nF0\n"
         "T|<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{a}<｜tool▁call▁end｜>\n"
         "C1|g|call_1\nA1|{}\nE1\n"},
    };
    CHECK_ALL(cases);
}

static void test_harmony(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_HARMONY, H = LULL_REASONING_HARMONY };
    static const reply_case cases[] = {
        {F, H,
         "<|channel|>analysis<|message|>think<|end|><|start|>assistant<|channel|>final<|message|>"
         "Hi\n<|return|>",
         "H|think\nT|Hi\n"},
        {F, H, "<|channel|>final<|message|>Hi", "T|Hi\n"},
        {F, H,
         "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.f "
         "<|constrain|>json<|message|>{\"a\": \"<|call|>\"}<|call|>",
         "H|a\nC0|f|call_0\nA0|{\"a\": \"<|call|>\"}\nE0\n"},
        /* the stop token is not in the text; the recipient stands in front; no constraint */
        {F, H, " to=functions.f<|channel|>commentary<|message|>{}", "C0|f|call_0\nA0|{}\nE0\n"},
        {F, H, "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{ }<|call|>",
         "C0|f|call_0\nA0|{ }\nE0\n"},
        {F, H, "<|channel|>analysis to=browser.search code<|message|>{\"q\": 1}<|call|>",
         "C0|browser.search|call_0\nA0|{\"q\": 1}\nE0\n"},
        /* a preamble is text */
        {F, H,
         "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.f <|constrain|>json<|message|>{}<|end|><|start|>assistant<|channel|>final"
         "<|message|>So.",
         "T|I look.\nC0|f|call_0\nA0|{}\nE0\nT|\nSo.\n"},
        {F, 0, "<|channel|>analysis<|message|>a<|end|>", "T|a\n"},
        {0, H,
         "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
         "H|a\nT|b\n"},
        {F, H, "a<|end|><|start|>assistant<|channel|>final<|message|>b", "H|a\nT|b\n",
         .starts_in_thought = true},
        {F, H, "no header", "T|no header\n"},
        {F, H,
         "<|channel|>analysis<|message|>a <|end|> <|start|>assistant<|channel|>final<|message|>b",
         "T|<|channel|>analysis<|message|>a <|end|>\nb\n", .thinking = LULL_THINKING_SHOW},
        /* malformed, then good */
        {F, H,
         "<|channel|>commentary to=functions.f<|message|>{a}<|call|><|start|>assistant<|channel|>"
         "commentary to=functions.g<|message|>{}<|call|>",
         "C0|f|call_0\nA0|{\nF0\nT|<|channel|>commentary to=functions.f<|message|>{a}\n"
         "C1|g|call_1\nA1|{}\nE1\n"},
        {F, H, "<|channel|>commentary to=functions.f", "T|<|channel|>commentary to=functions.f\n"},
    };
    CHECK_ALL(cases);
}

static void test_gemma(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_GEMMA };
    static const reply_case cases[] = {
        {F, 0, "Ok.\n```tool_code\nf(a=1, b='x')\n```\nThen.",
         "T|Ok.\nC0|f|call_0\nA0|{\"a\": 1, \"b\": \"x\"}\nE0\nT|\nThen.\n"},
        {F, 0, "```tool_code\nprint(f(a=\"```\"))\nprinter()\n```",
         "C0|f|call_0\nA0|{\"a\": \"```\"}\nE0\nC1|printer|call_1\nA1|{}\nE1\n"},
        {F, 0, "```tool_code\n[f(a=1), g()]\n```",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0,
         "```tool_call\n{\"name\": \"f\", \"parameters\": {\"a\": {\"b\": []}}}\n{\"name\": "
         "\"g\"}\n```",
         "C0|f|call_0\nA0|{\"a\": {\"b\": []}}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "```tool_code\nf()\ng(1)\n```",
         "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{\nF1\nT|g(1)\n```\n"},
        {F, 0, "```python\nf(a=1)\n```", "T|```python\nf(a=1)\n```\n"},
        {F, 0, "```tool_code\nx = f(a=1)\n```\n```tool_code\ng()\n```",
         "F0\nT|```tool_code\nx = f(a=1)\n```\nC1|g|call_1\nA1|{}\nE1\n"},
        /* Gemma 4 */
        {F, LULL_REASONING_GEMMA,
         "<|channel>thought\nx<channel|><|tool_call>call:f{city:<|\"|>Os\"lo <|\n<|\"|>,n:-4,"
         "b:[true,<|\"|>}<|\"|>],o:{k:null,l:{}}}<tool_call|><|tool_call>call:g{}<tool_call|>",
         "H|x\nC0|f|call_0\nA0|{\"city\": \"Os\\\"lo <|\\n\", \"n\": -4, \"b\": [true, \"}\"], "
         "\"o\": {\"k\": null, \"l\": {}}}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, LULL_REASONING_GEMMA, "<|channel>thought\nx<|tool_call>call:f{u:celsius}<tool_call|>",
         "H|x\nC0|f|call_0\nA0|{\"u\": \"celsius\"}\nE0\n"},
        {F, 0, "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>",
         "C0|f|call_0\nA0|{\"a\": \"x\"}\nE0\n"},
        {F, 0, "<|tool_call>call:f{a:{<|\"|>b c<|\"|>:1}}<tool_call|><|tool_response>",
         "C0|f|call_0\nA0|{\"a\": {\"b c\": 1}}\nE0\n"},
        {F, 0, "<|tool_call>call:f{a:<|\"|>x}",
         "C0|f|call_0\nA0|{\"a\": \"x}\nF0\nT|<|tool_call>call:f{a:<|\"|>x}\n"},
    };
    CHECK_ALL(cases);
}

static void test_command_r(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_COMMAND_R, H = LULL_REASONING_COMMAND_R };
    static const reply_case cases[] = {
        {F, 0,
         "Plan.\nAction:\n```json\n[\n    {\n        \"tool_name\": \"f\",\n        "
         "\"parameters\": {\n"
         "            \"a\": \"]```\"\n        }\n    },\n {\"tool_name\": \"g\", \"parameters\": "
         "{}}\n]```",
         "T|Plan.\nC0|f|call_0\nA0|{\n            \"a\": \"]```\"\n        }\nE0\n"
         "C1|g|call_1\nA1|{}\nE1\n"},
        {F, H,
         "<|START_THINKING|>x<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
         "\"tool_name\": \"f\", \"parameters\": {\"a\": 1}}\n]<|END_ACTION|>",
         "H|x\nC0|f|0\nA0|{\"a\": 1}\nE0\n"},
        {F, H, "<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>",
         "H|x\nT|Hi\n"},
        {F, 0, "Action: go on.\nAction: ```json\n[{\"tool_name\": \"f\", \"parameters\": {}}]\n```",
         "T|Action: go on.\nC0|f|call_0\nA0|{}\nE0\n"},
        {F, 0,
         "Action: ```json\n[{\"tool_name\": 1}, {\"tool_name\": \"g\", \"parameters\": {}}]```",
         "F0\nT|Action: ```json\n[{\"tool_name\": 1}\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "<|START_ACTION|>[{\"tool_name\": \"f\", ",
         "F0\nT|<|START_ACTION|>[{\"tool_name\": \"f\", \n"},
    };
    CHECK_ALL(cases);
}

static void test_granite(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_GRANITE };
    static const reply_case cases[] = {
        {F, 0,
         "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", "
         "\"arguments\": {}}]",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "<tool_call> [{\"name\": \"f\", \"arguments\": {}}] </tool_call> x",
         "C0|f|call_0\nA0|{}\nE0\nT|x\n"},
        {F, LULL_REASONING_THINK,
         "<think>y</think>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
         "H|y\nC0|f|call_0\nA0|{}\nE0\n"},
        {F, 0, "<|tool_call|>[{\"name\": f}]<|tool_call|>[{\"name\": \"g\"}]",
         "F0\nT|<|tool_call|>[{\"name\": f}]\nC1|g|call_1\nA1|{}\nE1\n"},
    };
    CHECK_ALL(cases);
}

static void test_minimax(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_MINIMAX };
    static const reply_case cases[] = {
        {F, LULL_REASONING_THINK,
         "<think>x</think>\nHm.\n<minimax:tool_call>\n<invoke name=\"get_weather\">\n"
         "<parameter name=\"city\">New \"York\"</parameter>\n<parameter "
         "name=\"days\">2</parameter>\n"
         "</invoke>\n<invoke name=\"get_time\">\n</invoke>\n</minimax:tool_call>",
         "H|x\nT|Hm.\nC0|get_weather|call_0\nA0|{\"city\": \"New \\\"York\\\"\", \"days\": 2}\nE0\n"
         "C1|get_time|call_1\nA1|{}\nE1\n",
         .has_tools = true},
        {F, 0,
         "<tool_calls>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_calls>\"}}\n"
         "{\"nam\": 1}\n{\"name\": \"g\", \"arguments\": {}}\n</tool_calls>\nx",
         "C0|f|call_0\nA0|{\"a\": \"</tool_calls>\"}\nE0\nF1\nT|{\"nam\": 1}\n"
         "C2|g|call_2\nA2|{}\nE2\nT|\nx\n"},
        {F, 0,
         "<minimax:tool_call><invoke name=\"f\">x</invoke></minimax:tool_call>"
         "<minimax:tool_call><invoke name=\"g\"></invoke></minimax:tool_call>",
         "C0|f|call_0\nF0\nT|<minimax:tool_call><invoke name=\"f\">x</invoke></minimax:tool_call>\n"
         "C1|g|call_1\nA1|{}\nE1\n"},
    };
    CHECK_ALL(cases);
}

static void test_kimi_and_glm(void **state)
{
    (void)state;
    enum { K = LULL_TOOLS_KIMI, G = LULL_TOOLS_GLM, THINK = LULL_REASONING_THINK };
    static const reply_case cases[] = {
        {K, THINK,
         "<think>x</think>Hm.<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
         "<|tool_call_argument_begin|>{\"a\": "
         "1}<|tool_call_end|><|tool_call_begin|>functions.my:g:1"
         "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
         "H|x\nT|Hm.\nC0|f|functions.f:0\nA0|{\"a\": "
         "1}\nE0\nC1|my:g|functions.my:g:1\nA1|{}\nE1\n"},
        {K, THINK,
         "<think>x<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
         "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
         "H|x\nC0|f|functions.f:0\nA0|{}\nE0\n"},
        {K, 0, "<|tool_calls_section_begin|>x", "F0\nT|<|tool_calls_section_begin|>x\n"},
        {G, THINK,
         "<think>x</think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</"
         "arg_value>\n"
         "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>get_time\n</"
         "tool_call>",
         "H|x\nC0|get_weather|call_0\nA0|{\"city\": \"Oslo\", \"days\": 3}\nE0\n"
         "C1|get_time|call_1\nA1|{}\nE1\n",
         .has_tools = true},
        {G, 0, "<tool_call>f<arg_key>a</arg_key>b</tool_call><tool_call>g</tool_call>",
         "C0|f|call_0\nF0\nT|<tool_call>f<arg_key>a</arg_key>b</"
         "tool_call>\nC1|g|call_1\nA1|{}\nE1\n"},
    };
    CHECK_ALL(cases);
}

static void test_json(void **state)
{
    (void)state;
    enum { F = LULL_TOOLS_JSON };
    static const reply_case cases[] = {
        {F, 0, " {\"name\": \"f\", \"arguments\": {\"a\": 1}}\n",
         "C0|f|call_0\nA0|{\"a\": 1}\nE0\n"},
        {F, 0, "[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]",
         "C0|f|call_0\nA0|{}\nE0\nC1|g|call_1\nA1|{}\nE1\n"},
        {F, 0, "{\"answer\": [1, 2]}\n", "T|{\"answer\": [1, 2]}\n\n"},
        {F, 0, "[1, 2]", "T|[1, 2]\n"},
        {F, 0, "[{\"a\": 1}, {\"b\": 2}]", "T|[{\"a\": 1}, {\"b\": 2}]\n"},
        {F, 0, "Sure: {\"name\": \"f\", \"arguments\": {}}",
         "T|Sure: {\"name\": \"f\", \"arguments\": {}}\n"},
    };
    CHECK_ALL(cases);
}

/* The scanner itself, with what RFC 8259 and RFC 3629 say of values. */
static void test_json_scan(void **state)
{
    (void)state;
    static const char *const good[] = {"0",
                                       "-0",
                                       "10",
                                       "1.5",
                                       "1e5",
                                       "-1.25E-10",
                                       "1E+2",
                                       " true ",
                                       "false",
                                       "null",
                                       "\"\"",
                                       "[]",
                                       "{}",
                                       "[ 1 , [ ] , { } ]",
                                       "{\"a\":{\"b\":[0]},\"a\":1}",
                                       "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00Ff\"",
                                       "\"\\ud83d\\ude00\"",
                                       "\"\\u0000\"",
                                       "\"\x7f\"",
                                       "\"\xc2\x80\xdf\xbf\"",
                                       "\"\xe0\xa0\x80\"",
                                       "\"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"",
                                       "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
                                       "[1]\n"};
    static const char *const bad[] = {"",
                                      " ",
                                      "01",
                                      "-",
                                      "+1",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "0x1",
                                      "tru",
                                      "True",
                                      "nulll",
                                      "\"",
                                      "'a'",
                                      "[",
                                      "]",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "[1}",
                                      "{]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{1:1}",
                                      "{\"a\" 1}",
                                      "1 2",
                                      "[]]",
                                      "\"\n\"",
                                      "\"\\a\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud83d\"",
                                      "\"\\ud83dx\"",
                                      "\"\\ud83d\\n\"",
                                      "\"\\ud83d\\u0041\"",
                                      "\"\\ude00\"",
                                      "\"\x80\"",
                                      "\"\xc1\xbf\"",
                                      "\"\xc3\"",
                                      "\"\xc3\\n\"",
                                      "\"\xe0\x9f\xbf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf0\x8f\xbf\xbf\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xf5\x80\x80\x80\"",
                                      "{\"\xff\":1}",
                                      "\xef\xbb\xbf 1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!lull_json_is_value(good[i], strlen(good[i]))) fail_msg("%s is good", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (lull_json_is_value(bad[i], strlen(bad[i]))) fail_msg("%s is bad", bad[i]);
    lull_buffer out = {0};
    static const char escaped[] = "a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00z";
    lull_json_unescape(escaped, strlen(escaped), &out);
    assert_string_equal(out.data, "a\"\\/\b\f\n\r\té€😀z");
    lull_buffer_fini(&out);
}

/* ---- bounds ----------------------------------------------------------------------------------- */

static void repeat(lull_buffer *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) lull_buffer_append_str(b, s);
}

/* Feed it whole, in a format; the calls that come out and those that fail. */
static void count(lull_tool_format format, lull_buffer *said, size_t n_calls, int n_failed)
{
    reply_case c = {.tools = format, .reasoning = LULL_REASONING_THINK};
    reply_events events = {0};
    lull_error err;
    lull_reply *r = start(&c, &events);
    feed(r, said->data, said->n_bytes);
    assert_int_equal(lull_reply_finish(r, &err), LULL_OK);
    check_result(r, &events);
    assert_int_equal(lull_reply_n_calls(r), n_calls);
    assert_int_equal(lull_reply_n_failed(r), n_failed);
    lull_reply_free(r);
    reply_events_fini(&events);
    lull_buffer_fini(said);
}

static void test_bounds(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        bool is_good = extra == 0;
        lull_buffer b = {0}; /* depth, the arguments' own brace included */
        repeat(&b, "[TOOL_CALLS]f[ARGS]{\"a\":", 1);
        repeat(&b, "[", LULL_REPLY_DEPTH - 1 + extra);
        repeat(&b, "]", LULL_REPLY_DEPTH - 1 + extra);
        repeat(&b, "}", 1);
        count(LULL_TOOLS_MISTRAL, &b, is_good, !is_good);
        repeat(&b, "[f(a=", 1);
        repeat(&b, "[", LULL_REPLY_DEPTH - 1 + extra);
        repeat(&b, "]", LULL_REPLY_DEPTH - 1 + extra);
        repeat(&b, ")]", 1);
        count(LULL_TOOLS_PYTHONIC, &b, is_good, !is_good);
        repeat(&b, "[TOOL_CALLS]", 1);
        repeat(&b, "f", LULL_REPLY_NAME_BYTES + extra);
        repeat(&b, "[ARGS]{}", 1);
        count(LULL_TOOLS_MISTRAL, &b, is_good, !is_good);
        repeat(&b, "[TOOL_CALLS]f[ARGS]{\"a\":\"", 1);
        repeat(&b, "x", LULL_REPLY_CALL_BYTES - b.n_bytes - 2 + extra);
        repeat(&b, "\"}", 1);
        count(LULL_TOOLS_MISTRAL, &b, is_good, !is_good);
    }
    lull_buffer b = {0};
    repeat(&b, "[TOOL_CALLS]f[ARGS]{}", LULL_REPLY_CALLS + 1);
    count(LULL_TOOLS_MISTRAL, &b, LULL_REPLY_CALLS, 0);
}

/* Text that is made to be read again and again takes a bounded time. */
static void test_hostile(void **state)
{
    (void)state;
    /* Each fails at the end and has all the others inside: 16 of them are read again. */
    lull_buffer nested = {0};
    repeat(&nested, "<function=f><parameter=a>", 41000);
    count(LULL_TOOLS_XML, &nested, 0, 17);
    static const char *const units[] = {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"",
                                        "<|channel|>",
                                        "[TOOL_CALLS]",
                                        "<tool_call><function=f>",
                                        "[f(a='",
                                        "<｜tool▁call▁begin｜>",
                                        "{\"name\":",
                                        "Action:"};
    for (int format = 0; format < LULL_N_TOOL_FORMATS; format++)
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            lull_buffer b = {0};
            reply_case c = {.tools = format};
            reply_events events = {0};
            lull_error err;
            repeat(&b, units[u], 100000 / strlen(units[u]));
            lull_reply *r = start(&c, &events);
            feed(r, b.data, b.n_bytes);
            assert_int_equal(lull_reply_finish(r, &err), LULL_OK);
            check_result(r, &events);
            lull_reply_free(r);
            reply_events_fini(&events);
            lull_buffer_fini(&b);
        }
}

/* ---- memory, arguments ------------------------------------------------------------------------ */

/* Each request for memory fails once. jansson's own are not among them. */
static void refuse_memory(const reply_case *c)
{
    lull_reply_options o = {.tools = (lull_tool_format)c->tools,
                            .reasoning = (lull_reasoning_format)c->reasoning};
    for (long at = 0;; at++) {
        lull_error err;
        lull_reply *r;
        fail_request(at);
        lull_status st = lull_reply_new(&o, &r, &err);
        for (size_t i = 0; st == LULL_OK && i < strlen(c->said); i++)
            st = lull_reply_feed(r, c->said + i, 1, &err);
        if (st == LULL_OK) st = lull_reply_finish(r, &err);
        bool is_over = !has_failed();
        fail_request(-1);
        assert_int_equal(st, is_over ? LULL_OK : LULL_ENOMEM);
        lull_reply_free(r);
        if (is_over) break;
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const reply_case cases[] = {
        {LULL_TOOLS_HERMES, LULL_REASONING_THINK,
         "<think>x y</think>text <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": "
         "1}}</tool_call>"
         "<tool_call>{\"name\": \"f\", \"arguments\": {a\": 1}}</tool_call> end"},
        {LULL_TOOLS_HERMES, 0,
         "<tool_call>{\"id\": \"1\", \"arguments\": \"{}\", \"name\": \"f\"}</tool_call>"},
        {LULL_TOOLS_HARMONY, LULL_REASONING_HARMONY,
         "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.f<|message|>{}<|call|>"},
        {LULL_TOOLS_XML, 0, "<tool_call><function=f><parameter=a>\nx\n</parameter><x"},
        {LULL_TOOLS_GLM, 0,
         "<tool_call>f\n<arg_key>b</arg_key>\n<arg_value>1</arg_value>\n</tool_call>"},
        {LULL_TOOLS_PYTHONIC, 0, "[f(a=[1, 'x'], b={'c': None}), g(x)]"},
        {LULL_TOOLS_MISTRAL, 0,
         "[TOOL_CALLS][{\"nam\": 1}, {\"name\": \"f\"}][TOOL_CALLS]g[ARGS]{}"},
        {LULL_TOOLS_KIMI, 0,
         "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refuse_memory(&cases[i]);
}

static void test_options(void **state)
{
    (void)state;
    lull_error err;
    lull_reply *r;
    static const lull_reply_options bad[] = {
        {.tools = LULL_N_TOOL_FORMATS},
        {.reasoning = LULL_N_REASONING_FORMATS},
        {.thinking = (lull_thinking)3},
        {.tools_json = "{}"},
        {.tools_json = "[1"},
        {.first_call = -1},
        {.first_call = LULL_REPLY_FIRST_CALL + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lull_reply_new(&bad[i], &r, &err), LULL_EINVAL);
        assert_null(r);
    }
    static const lull_reply_options numbered = {.tools = LULL_TOOLS_JSON, .first_call = 7};
    assert_int_equal(lull_reply_new(&numbered, &r, &err), LULL_OK);
    say(r, "[{\"name\": \"f\", \"arguments\": {}}");
    assert_true(lull_reply_in_call(r));
    assert_int_equal(lull_reply_finish(r, &err), LULL_OK);
    assert_string_equal(lull_reply_call(r, 0).id, "call_7");
    assert_int_equal(lull_reply_call(r, 0).index, 0);
    lull_reply_free(r);
    lull_reply_free(NULL);
}

/* What cannot be a marker any more goes out at once. */
static void test_no_delay(void **state)
{
    (void)state;
    reply_case c = {.tools = LULL_TOOLS_HERMES, .reasoning = LULL_REASONING_THINK};
    reply_events events = {0};
    lull_error err;
    lull_reply *r = start(&c, &events);
    say(r, "<th");
    assert_string_equal(event_lines(&events), "");
    say(r, "ink>a");
    assert_string_equal(event_lines(&events), "H|a\n");
    assert_true(lull_reply_in_thought(r));
    say(r, "</think>b <tool");
    assert_string_equal(event_lines(&events), "H|a\nT|b\n");
    say(r, "s>");
    assert_string_equal(event_lines(&events), "H|a\nT|b <tools>\n");
    say(r, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a");
    assert_string_equal(event_lines(&events), "H|a\nT|b <tools>\nC0|f|call_0\nA0|{\"a\n");
    say(r, "\": 1}");
    assert_string_equal(event_lines(&events), "H|a\nT|b <tools>\nC0|f|call_0\nA0|{\"a\": 1}\n");
    assert_int_equal(lull_reply_finish(r, &err), LULL_OK);
    lull_reply_free(r);
    reply_events_fini(&events);
}

/* ---- formats ---------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    lull_tool_format t = LULL_TOOLS_XML;
    lull_reasoning_format g = LULL_REASONING_THINK;
    for (int i = 0; i < LULL_N_TOOL_FORMATS; i++) {
        assert_true(lull_tool_format_find(lull_tool_format_name((lull_tool_format)i), &t));
        assert_int_equal(t, i);
    }
    for (int i = 0; i < LULL_N_REASONING_FORMATS; i++) {
        const char *name = lull_reasoning_format_name((lull_reasoning_format)i);
        assert_true(lull_reasoning_format_find(name, &g));
        assert_int_equal(g, i);
    }
    assert_false(lull_tool_format_find("auto", &t));
    assert_false(lull_reasoning_format_find("auto", &g));
    assert_int_equal(t, LULL_N_TOOL_FORMATS - 1);
    assert_null(lull_tool_format_name(LULL_N_TOOL_FORMATS));
    assert_null(lull_reasoning_format_name(LULL_N_REASONING_FORMATS));
}

static char *read_template(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, LULL_TEST_DATA "/templates/%s.jinja", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 65536);
    assert_true(fread(text, 1, 65535, f) > 0);
    fclose(f);
    return text;
}

static void test_detect(void **state)
{
    (void)state;
    static const struct {
        const char *text; /* or, after '@', the name of a template in data/templates */
        lull_tool_format tools;
        lull_reasoning_format reasoning;
    } cases[] = {
        {"", LULL_TOOLS_NONE, LULL_REASONING_NONE},
        {"@phi3", LULL_TOOLS_NONE, LULL_REASONING_NONE},
        {"@gemma3", LULL_TOOLS_NONE, LULL_REASONING_NONE},
        {"@qwen2", LULL_TOOLS_HERMES, LULL_REASONING_NONE},
        {"@qwen3", LULL_TOOLS_HERMES, LULL_REASONING_THINK},
        {"@hermes", LULL_TOOLS_HERMES, LULL_REASONING_NONE},
        {"@llama3", LULL_TOOLS_LLAMA3_JSON, LULL_REASONING_NONE},
        {"@mistral", LULL_TOOLS_MISTRAL, LULL_REASONING_NONE},
        {"@mistral_v1", LULL_TOOLS_NONE, LULL_REASONING_NONE},
        {"@deepseek_r1", LULL_TOOLS_DEEPSEEK, LULL_REASONING_THINK},
        {"@gpt_oss", LULL_TOOLS_HARMONY, LULL_REASONING_HARMONY},
        {"@granite", LULL_TOOLS_GRANITE, LULL_REASONING_NONE},
        {"@command_r_tools", LULL_TOOLS_COMMAND_R, LULL_REASONING_NONE},
        {"@command_r", LULL_TOOLS_NONE, LULL_REASONING_NONE},
        {"{{ '<tool_call>\n<function=' + tool_call.name + '>\n' }}{{ '<parameter=' + k }}{{ "
         "'<think>' }}",
         LULL_TOOLS_XML, LULL_REASONING_THINK},
        {"<|header_start|>[func_name1(params_name1=params_value1), func_name2(params)]",
         LULL_TOOLS_PYTHONIC, LULL_REASONING_NONE},
        {"{{- '[THINK]' }}{{- '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}", LULL_TOOLS_MISTRAL,
         LULL_REASONING_MISTRAL},
        {"{{ '<|tool_call>call:' + name }}{{ '<|channel>thought\n<channel|>' }}", LULL_TOOLS_GEMMA,
         LULL_REASONING_GEMMA},
        {"{{ '<|START_THINKING|>' }}{{ '<|START_ACTION|>[' }}", LULL_TOOLS_COMMAND_R,
         LULL_REASONING_COMMAND_R},
        {"<|start_of_role|> <tool_call>", LULL_TOOLS_GRANITE, LULL_REASONING_NONE},
        {"<|start_of_role|> <|tool_call|> Here is my thought process:", LULL_TOOLS_GRANITE,
         LULL_REASONING_GRANITE},
        {"{{ '<minimax:tool_call>' }}<think>", LULL_TOOLS_MINIMAX, LULL_REASONING_THINK},
        {"<tool_calls> </tool_calls>", LULL_TOOLS_MINIMAX, LULL_REASONING_NONE},
        {"<|tool_calls_section_begin|>", LULL_TOOLS_KIMI, LULL_REASONING_NONE},
        {"<tool_call>{{ name }}<arg_key>{{ k }}</arg_key><arg_value></think>", LULL_TOOLS_GLM,
         LULL_REASONING_THINK},
        {"<｜DSML｜function_calls>", LULL_TOOLS_DEEPSEEK, LULL_REASONING_NONE},
        {"<|tool_call_start|>[", LULL_TOOLS_PYTHONIC, LULL_REASONING_NONE},
        {"<reasoning>", LULL_TOOLS_NONE, LULL_REASONING_TAGS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        char *file = *text == '@' ? read_template(text + 1) : NULL;
        lull_tool_format t;
        lull_reasoning_format g;
        lull_chat_detect(file ? file : text, &t, &g);
        if (t != cases[i].tools || g != cases[i].reasoning)
            fail_msg("%s: %s, %s", text, lull_tool_format_name(t), lull_reasoning_format_name(g));
        free(file);
    }
    lull_tool_format t;
    lull_reasoning_format g;
    lull_chat_detect(NULL, &t, &g);
    assert_int_equal(t, LULL_TOOLS_NONE);
    assert_int_equal(g, LULL_REASONING_NONE);
}

static bool starts_in_thought(lull_reasoning_format format, const char *prompt)
{
    return lull_chat_starts_in_thought(format, prompt, strlen(prompt));
}

static void test_thought_tags(void **state)
{
    (void)state;
    assert_true(starts_in_thought(LULL_REASONING_THINK, "<|assistant|><think>\n"));
    assert_true(starts_in_thought(LULL_REASONING_TAGS, "<reasoning>"));
    assert_true(starts_in_thought(LULL_REASONING_GEMMA, "<|channel>thought\n"));
    assert_false(starts_in_thought(LULL_REASONING_THINK, "<think>\n\n</think>\n\n"));
    assert_false(starts_in_thought(LULL_REASONING_THINK, "hink>"));
    assert_false(starts_in_thought(LULL_REASONING_NONE, "<think>"));
    assert_false(starts_in_thought(LULL_REASONING_THINK, ""));
    /* A thought between the tags is one, and what follows is the answer. */
    for (int i = 1; i < LULL_N_REASONING_FORMATS; i++) {
        const char *open, *close;
        lull_reasoning_tags((lull_reasoning_format)i, &open, &close);
        char said[256];
        snprintf(said, sizeof said, "%sthe thought%sthe answer", open, close);
        check(&(reply_case){0, i, said, "H|the thought\nT|the answer\n"});
        check(&(reply_case){0, i, said + strlen(open), "H|the thought\nT|the answer\n",
                            .starts_in_thought = true});
    }
    const char *open = "", *close = "";
    lull_reasoning_tags(LULL_REASONING_NONE, &open, &close);
    assert_true(open == NULL && close == NULL);
}

/* One call as its form has it, with text "v" for the key "k". */
static void write_call(lull_buffer *b, const lull_call_form *f, const char *name)
{
    lull_buffer_printf(b, "%s%s%s", f->begin, name, f->middle);
    if (f->key_begin) {
        const char *quote = f->string_mark ? f->string_mark : f->is_python ? "\"" : "";
        lull_buffer_printf(b, "%sk%s%sv%s%s%s", f->key_begin, f->key_end, quote, quote,
                           f->value_end, f->value_separator);
        lull_buffer_printf(b, "%sl%s%sw%s%s", f->key_begin, f->key_end, quote, quote, f->value_end);
    } else {
        lull_buffer_append_str(b, "{\"k\": \"v\", \"l\": \"w\"}");
    }
    lull_buffer_append_str(b, f->end);
}

/* What a form says is read as what it is, for each variant. */
static void test_forms(void **state)
{
    (void)state;
    static const char *const templates[] = {
        NULL,           "<|python_start|>",   "[TOOL_CALLS]", "[TOOL_CALLS][ARGS]", "```json",
        "```tool_call", "```tool_code",       "Action:",      "<|tool_call|>",      "<tool_calls>",
        "｜DSML｜",     "<|tool_call_start|>"};
    for (int i = 1; i < LULL_N_TOOL_FORMATS; i++)
        for (size_t t = 0; t < sizeof templates / sizeof *templates; t++) {
            lull_tool_format format = (lull_tool_format)i;
            const lull_call_form *f = lull_reply_opening(format, templates[t]);
            assert_non_null(f);
            lull_buffer said = {0}, events = {0};
            lull_buffer_append_str(&said, f->has_marker ? "Text.\n" : "");
            lull_buffer_append_str(&said, f->open);
            write_call(&said, f, "f");
            lull_buffer_append_str(&said, f->separator);
            write_call(&said, f, "g");
            lull_buffer_append_str(&said, f->close);
            lull_buffer_append_str(&events, f->has_marker ? "T|Text.\n" : "");
            for (int k = 0; k < 2; k++) {
                char id[32];
                snprintf(id, sizeof id, format == LULL_TOOLS_MISTRAL ? "call%05d" : "call_%d", k);
                if (format == LULL_TOOLS_KIMI) snprintf(id, sizeof id, "functions.%c:0", "fg"[k]);
                lull_buffer_printf(&events, "C%d|%c|%s\nA%d|{\"k\": \"v\", \"l\": \"w\"}\nE%d\n", k,
                                   "fg"[k], id, k, k);
            }
            check(&(reply_case){.tools = format, .said = said.data, .events = events.data});
            lull_buffer_fini(&said);
            lull_buffer_fini(&events);
        }
    assert_null(lull_reply_opening(LULL_TOOLS_NONE, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),      cmocka_unit_test(test_thoughts),
        cmocka_unit_test(test_hermes),    cmocka_unit_test(test_xml),
        cmocka_unit_test(test_llama3),    cmocka_unit_test(test_pythonic),
        cmocka_unit_test(test_mistral),   cmocka_unit_test(test_deepseek),
        cmocka_unit_test(test_harmony),   cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_command_r), cmocka_unit_test(test_granite),
        cmocka_unit_test(test_minimax),   cmocka_unit_test(test_kimi_and_glm),
        cmocka_unit_test(test_json_scan), cmocka_unit_test(test_json),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_no_delay),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_detect),    cmocka_unit_test(test_thought_tags),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
