/* The ways in which families of models mark thoughts and write tool calls: their names, how to recognise them in a
 * chat template, and their literal texts. reply.h reads them. All functions are safe from any
 * thread; all strings are static. */
#ifndef LULL_REPLY_FORMAT_H
#define LULL_REPLY_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "lull/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lull_tool_format {
    LULL_TOOLS_NONE,
    LULL_TOOLS_HERMES, /* <tool_call>{"name": N, "arguments": {}}</tool_call>: Qwen 2.5/3 */
    LULL_TOOLS_XML, /* <tool_call><function=N><parameter=K>\nV\n</parameter></function></tool_call>:
                               Qwen 3 Coder */
    LULL_TOOLS_LLAMA3_JSON, /* {"name": N, "parameters": {}}; maybe <|python_tag|> in front; ';' between */
    LULL_TOOLS_PYTHONIC, /* [f(a=1, b="x"), g()]: Llama 3.2/4, LFM2 */
    LULL_TOOLS_MISTRAL,  /* [TOOL_CALLS][{"name", "arguments"}], newer [TOOL_CALLS]N[ARGS]{} */
    LULL_TOOLS_DEEPSEEK, /* <｜tool▁calls▁begin｜>…: R1 and V3 with ```json, V3.1 without; V3.2
                               <｜DSML｜function_calls>… with typed parameters */
    LULL_TOOLS_HARMONY, /* <|channel|>commentary to=functions.N<|message|>{}<|call|>: gpt-oss */
    LULL_TOOLS_GEMMA, /* ```tool_code python```, ```tool_call JSON```; Gemma 4 <|tool_call>call:N{} */
    LULL_TOOLS_COMMAND_R, /* Action: ```json [{"tool_name", "parameters"}]```, <|START_ACTION|>[…] */
    LULL_TOOLS_GRANITE, /* <|tool_call|>[{"name", "arguments"}], <tool_call>[…] */
    LULL_TOOLS_MINIMAX, /* <minimax:tool_call><invoke name="N"><parameter name="K">V…, older
                               <tool_calls> with one JSON object a line */
    LULL_TOOLS_KIMI,    /* <|tool_call_begin|>functions.N:0<|tool_call_argument_begin|>{}… */
    LULL_TOOLS_GLM, /* <tool_call>N\n<arg_key>K</arg_key>\n<arg_value>V</arg_value>\n</tool_call> */
    LULL_TOOLS_JSON, /* the whole reply is {"name", "arguments"}, or an array of these */
    LULL_N_TOOL_FORMATS
} lull_tool_format;

typedef enum lull_reasoning_format {
    LULL_REASONING_NONE,
    LULL_REASONING_THINK,     /* <think>…</think> */
    LULL_REASONING_TAGS,      /* the same with thinking, thought, reasoning, analysis, or think */
    LULL_REASONING_HARMONY,   /* <|channel|>analysis<|message|>…<|end|> */
    LULL_REASONING_GEMMA,     /* <|channel>thought\n…<channel|> */
    LULL_REASONING_COMMAND_R, /* <|START_THINKING|>…<|END_THINKING|> */
    LULL_REASONING_MISTRAL,   /* [THINK]…[/THINK] */
    LULL_REASONING_GRANITE,   /* Here is my thought process:… Here is my response: */
    LULL_N_REASONING_FORMATS
} lull_reasoning_format;

/* "none", "hermes", "xml", "llama3-json", … ; NULL when out of range. */
LULL_API const char *lull_tool_format_name(lull_tool_format format);
LULL_API const char *lull_reasoning_format_name(lull_reasoning_format format);
/* False: no such name, *out as it was. "auto" is for the caller. */
LULL_API bool lull_tool_format_find(const char *name, lull_tool_format *out);
LULL_API bool lull_reasoning_format_find(const char *name, lull_reasoning_format *out);

/* Choose both from a chat template's text, borrowed; NULL counts as empty. A template that says nothing of tools
 * has LULL_TOOLS_NONE, though a model may know some format all the same. */
LULL_API void lull_chat_detect(const char *template_text, lull_tool_format *tools,
                               lull_reasoning_format *reasoning);

/* Does the rendered prompt end with an opened thought, so that the reply begins inside of it? */
LULL_API bool lull_chat_starts_in_thought(lull_reasoning_format format, const char *prompt,
                                          size_t n_bytes);

/* The texts that open and close a thought; both NULL for LULL_REASONING_NONE. For a budget that closes a thought
 * properly, and for answering without one (open, close). In Harmony what follows the close begins a new
 * message; the close here includes the opening of the final channel. */
LULL_API void lull_reasoning_tags(lull_reasoning_format format, const char **open,
                                  const char **close);

/* How to write calls, for a grammar that forces them:
 *
 *     open  begin NAME middle ARGUMENTS end  (separator begin NAME middle ARGUMENTS end)*  close
 *
 * ARGUMENTS is a JSON object; or, where key_begin is not NULL, (key_begin KEY key_end VALUE value_end)* with
 * value_separator between two. A VALUE is then the bare text for strings and JSON for all else; when
 * is_python, a Python literal; with a string_mark, a string between two marks, and JSON with bare keys for
 * all else (Gemma 4). */
typedef struct lull_call_form {
    const char *open, *begin, *middle, *end, *separator, *close;
    const char *key_begin, *key_end, *value_end,
        *value_separator;    /* NULL: the arguments are JSON */
    const char *string_mark; /* NULL: none */
    const char
        *key_end_literal; /* instead of key_end where the value is no string; NULL: the same */
    bool is_python;
    bool has_marker; /* open + begin start with a marker of calls, which may stand behind text */
} lull_call_form;

/* template_text tells variants of a family apart (NULL: the newest). NULL for LULL_TOOLS_NONE. The
 * id in Kimi's form is that of the first call. */
LULL_API const lull_call_form *lull_reply_opening(lull_tool_format format,
                                                  const char *template_text);

#ifdef __cplusplus
}
#endif
#endif
