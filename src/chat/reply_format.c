/* Names of the formats, how templates give them away, and their literal texts. */
#include <string.h>

#include "lull/reply_format.h"
#include "reply_parser.h"

/* ---- names ------------------------------------------------------------------------------------ */

static const char *const tool_names[LULL_N_TOOL_FORMATS] = {
    "none",  "hermes",    "xml",     "llama3-json", "pythonic", "mistral", "deepseek", "harmony",
    "gemma", "command-r", "granite", "minimax",     "kimi",     "glm",     "json"};
static const char *const reasoning_names[LULL_N_REASONING_FORMATS] = {
    "none", "think", "tags", "harmony", "gemma", "command-r", "mistral", "granite"};

const char *lull_tool_format_name(lull_tool_format format)
{
    return (unsigned)format < LULL_N_TOOL_FORMATS ? tool_names[format] : NULL;
}

const char *lull_reasoning_format_name(lull_reasoning_format format)
{
    return (unsigned)format < LULL_N_REASONING_FORMATS ? reasoning_names[format] : NULL;
}

static int find_name(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

bool lull_tool_format_find(const char *name, lull_tool_format *out)
{
    int i = find_name(tool_names, LULL_N_TOOL_FORMATS, name);
    if (i >= 0) *out = (lull_tool_format)i;
    return i >= 0;
}

bool lull_reasoning_format_find(const char *name, lull_reasoning_format *out)
{
    int i = find_name(reasoning_names, LULL_N_REASONING_FORMATS, name);
    if (i >= 0) *out = (lull_reasoning_format)i;
    return i >= 0;
}

/* ---- detection -------------------------------------------------------------------------------- */

/* The first row whose texts all stand in the template decides: what is particular comes before
 * what several families share. */
typedef struct clue {
    int format;
    const char *texts[2];
} clue;

static int decide(const clue *clues, size_t n, const char *template_text)
{
    for (size_t i = 0; i < n; i++) {
        const char *first = clues[i].texts[0], *second = clues[i].texts[1];
        if (strstr(template_text, first) && (!second || strstr(template_text, second)))
            return clues[i].format;
    }
    return 0;
}

void lull_chat_detect(const char *template_text, lull_tool_format *tools,
                      lull_reasoning_format *reasoning)
{
    static const clue tool_clues[] = {
        {LULL_TOOLS_HARMONY, {"<|channel|>", "<|message|>"}},
        {LULL_TOOLS_DEEPSEEK, {"<｜tool▁calls▁begin｜>"}},
        {LULL_TOOLS_DEEPSEEK, {"｜DSML｜"}},
        {LULL_TOOLS_KIMI, {"<|tool_calls_section_begin|>"}},
        {LULL_TOOLS_MINIMAX, {"minimax:tool_call"}},
        {LULL_TOOLS_MINIMAX, {"<tool_calls>", "</tool_calls>"}},
        {LULL_TOOLS_GLM, {"<arg_key>", "<arg_value>"}},
        {LULL_TOOLS_XML, {"<function=", "<parameter="}},
        {LULL_TOOLS_COMMAND_R, {"<|START_ACTION|>"}},
        {LULL_TOOLS_COMMAND_R, {"Action:", "```json"}},
        {LULL_TOOLS_MISTRAL, {"[TOOL_CALLS]"}},
        {LULL_TOOLS_GEMMA, {"<|tool_call>"}},
        {LULL_TOOLS_GEMMA, {"<start_function_call>"}},
        {LULL_TOOLS_GEMMA, {"```tool_c"}},
        {LULL_TOOLS_GRANITE, {"<|tool_call|>"}},
        {LULL_TOOLS_GRANITE, {"<|start_of_role|>", "<tool_call>"}},
        {LULL_TOOLS_HERMES, {"<tool_call>"}},
        {LULL_TOOLS_PYTHONIC, {"<|python_start|>"}},
        {LULL_TOOLS_PYTHONIC, {"<|tool_call_start|>"}},
        {LULL_TOOLS_PYTHONIC, {"[func_name1("}},
        {LULL_TOOLS_LLAMA3_JSON, {"<|python_tag|>"}},
        {LULL_TOOLS_LLAMA3_JSON, {"<|start_header_id|>", "\"parameters\": "}},
    };
    static const clue reasoning_clues[] = {
        {LULL_REASONING_HARMONY, {"<|channel|>", "<|message|>"}},
        {LULL_REASONING_GEMMA, {"<|channel>"}},
        {LULL_REASONING_COMMAND_R, {"<|START_THINKING|>"}},
        {LULL_REASONING_MISTRAL, {"[THINK]"}},
        {LULL_REASONING_GRANITE, {"Here is my thought process:"}},
        {LULL_REASONING_THINK, {"</think>"}},
        {LULL_REASONING_THINK, {"<think>"}},
        {LULL_REASONING_TAGS, {"<thinking>"}},
        {LULL_REASONING_TAGS, {"<reasoning>"}},
        {LULL_REASONING_TAGS, {"<thought>"}},
        {LULL_REASONING_TAGS, {"<analysis>"}},
    };
    const char *text = template_text ? template_text : "";
    *tools = (lull_tool_format)decide(tool_clues, sizeof tool_clues / sizeof *tool_clues, text);
    *reasoning = (lull_reasoning_format)decide(
        reasoning_clues, sizeof reasoning_clues / sizeof *reasoning_clues, text);
}

/* ---- thoughts --------------------------------------------------------------------------------- */

static bool ends_with(const char *s, size_t n, const char *end)
{
    size_t n_end = strlen(end);
    while (n_end > 0 && end[n_end - 1] == '\n') n_end--; /* as the prompt is trimmed, too */
    return n >= n_end && memcmp(s + n - n_end, end, n_end) == 0;
}

bool lull_chat_starts_in_thought(lull_reasoning_format format, const char *prompt, size_t n_bytes)
{
    while (n_bytes > 0 && lull_json_is_space((uint8_t)prompt[n_bytes - 1])) n_bytes--;
    for (const lull_thought_tags *t = lull_reply_thoughts(format)->tags; t->open[0]; t++)
        for (int i = 0; i < 2; i++)
            if (t->open[i] && ends_with(prompt, n_bytes, t->open[i])) return true;
    return false;
}

void lull_reasoning_tags(lull_reasoning_format format, const char **open, const char **close)
{
    const lull_thought_tags *t = lull_reply_thoughts(format)->tags;
    *open = t->open[0];
    *close = t->close[0];
    if (format == LULL_REASONING_HARMONY)
        *close = "<|end|><|start|>assistant<|channel|>final<|message|>";
}

/* ---- forms ------------------------------------------------------------------------------------ */

typedef struct form_row {
    lull_tool_format format;
    const char *clue; /* in the template; NULL: else */
    lull_call_form form;
} form_row;

#define JSON_OBJECT(name_key, arguments_key)                                                       \
    .begin = "{\"" name_key "\": \"", .middle = "\", \"" arguments_key "\": ", .end = "}"

static const form_row forms[] = {
    {LULL_TOOLS_HERMES,
     NULL,
     {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", "",
      .has_marker = true}},
    {LULL_TOOLS_XML,
     NULL,
     {"", "<tool_call>\n<function=", ">\n", "</function>\n</tool_call>", "\n", "",
      .key_begin = "<parameter=", .key_end = ">\n", .value_end = "\n</parameter>\n",
      .value_separator = "", .has_marker = true}},
    {LULL_TOOLS_LLAMA3_JSON,
     NULL,
     {.open = "", JSON_OBJECT("name", "parameters"), .separator = "; ", .close = ""}},
    {LULL_TOOLS_PYTHONIC,
     "<|python_start|>",
     {"<|python_start|>[", "", "(", ")", ", ", "]<|python_end|>", .key_begin = "", .key_end = "=",
      .value_end = "", .value_separator = ", ", .is_python = true, .has_marker = true}},
    {LULL_TOOLS_PYTHONIC,
     "<|tool_call_start|>",
     {"<|tool_call_start|>[", "", "(", ")", ", ", "]<|tool_call_end|>", .key_begin = "",
      .key_end = "=", .value_end = "", .value_separator = ", ", .is_python = true,
      .has_marker = true}},
    {LULL_TOOLS_PYTHONIC,
     NULL,
     {"[", "", "(", ")", ", ", "]", .key_begin = "", .key_end = "=", .value_end = "",
      .value_separator = ", ", .is_python = true}},
    {LULL_TOOLS_MISTRAL, "[ARGS]", {"", "[TOOL_CALLS]", "[ARGS]", "", "", "", .has_marker = true}},
    {LULL_TOOLS_MISTRAL,
     "[TOOL_CALLS]",
     {.open = "[TOOL_CALLS] [",
      JSON_OBJECT("name", "arguments"),
      .separator = ", ",
      .close = "]",
      .has_marker = true}},
    {LULL_TOOLS_MISTRAL, NULL, {"", "[TOOL_CALLS]", "[ARGS]", "", "", "", .has_marker = true}},
    {LULL_TOOLS_DEEPSEEK,
     "```json",
     {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
      "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>", .has_marker = true}},
    {LULL_TOOLS_DEEPSEEK,
     "｜DSML｜",
     {"<｜DSML｜function_calls>\n", "<｜DSML｜invoke name=\"", "\">\n", "</｜DSML｜invoke>", "\n",
      "\n</｜DSML｜function_calls>", .key_begin = "<｜DSML｜parameter name=\"",
      .key_end = "\" string=\"true\">", .key_end_literal = "\" string=\"false\">",
      .value_end = "</｜DSML｜parameter>\n", .value_separator = "", .has_marker = true}},
    {LULL_TOOLS_DEEPSEEK,
     NULL,
     {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
      "", "<｜tool▁calls▁end｜>", .has_marker = true}},
    {LULL_TOOLS_HARMONY,
     NULL,
     {"", "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", "<|call|>",
      "<|start|>assistant", "", .has_marker = true}},
    {LULL_TOOLS_GEMMA,
     "```tool_call",
     {.open = "```tool_call\n",
      JSON_OBJECT("name", "parameters"),
      .separator = "\n",
      .close = "\n```",
      .has_marker = true}},
    {LULL_TOOLS_GEMMA,
     "```tool_code",
     {"```tool_code\n", "", "(", ")", "\n", "\n```", .key_begin = "", .key_end = "=",
      .value_end = "", .value_separator = ", ", .is_python = true, .has_marker = true}},
    {LULL_TOOLS_GEMMA,
     NULL,
     {"", "<|tool_call>call:", "{", "}<tool_call|>", "", "", .key_begin = "", .key_end = ":",
      .value_end = "", .value_separator = ",", .string_mark = "<|\"|>", .has_marker = true}},
    {LULL_TOOLS_COMMAND_R,
     "<|START_ACTION|>",
     {.open = "<|START_ACTION|>[\n",
      JSON_OBJECT("tool_name", "parameters"),
      .separator = ",\n",
      .close = "\n]<|END_ACTION|>",
      .has_marker = true}},
    {LULL_TOOLS_COMMAND_R,
     "Action:",
     {.open = "Action:\n```json\n[\n",
      JSON_OBJECT("tool_name", "parameters"),
      .separator = ",\n",
      .close = "\n]```",
      .has_marker = true}},
    {LULL_TOOLS_COMMAND_R,
     NULL,
     {.open = "<|START_ACTION|>[\n",
      JSON_OBJECT("tool_name", "parameters"),
      .separator = ",\n",
      .close = "\n]<|END_ACTION|>",
      .has_marker = true}},
    {LULL_TOOLS_GRANITE,
     "<|tool_call|>",
     {.open = "<|tool_call|>[",
      JSON_OBJECT("name", "arguments"),
      .separator = ", ",
      .close = "]",
      .has_marker = true}},
    {LULL_TOOLS_GRANITE,
     NULL,
     {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", "",
      .has_marker = true}},
    {LULL_TOOLS_MINIMAX,
     "<tool_calls>",
     {.open = "<tool_calls>\n",
      JSON_OBJECT("name", "arguments"),
      .separator = "\n",
      .close = "\n</tool_calls>",
      .has_marker = true}},
    {LULL_TOOLS_MINIMAX,
     NULL,
     {"<minimax:tool_call>\n", "<invoke name=\"", "\">\n", "</invoke>", "\n",
      "\n</minimax:tool_call>", .key_begin = "<parameter name=\"", .key_end = "\">",
      .value_end = "</parameter>\n", .value_separator = "", .has_marker = true}},
    {LULL_TOOLS_KIMI,
     NULL,
     {"<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.",
      ":0<|tool_call_argument_begin|>", "<|tool_call_end|>", "", "<|tool_calls_section_end|>",
      .has_marker = true}},
    {LULL_TOOLS_GLM,
     NULL,
     {"", "<tool_call>", "\n", "</tool_call>", "\n", "", .key_begin = "<arg_key>",
      .key_end = "</arg_key>\n<arg_value>", .value_end = "</arg_value>\n", .value_separator = "",
      .has_marker = true}},
    {LULL_TOOLS_JSON,
     NULL,
     {.open = "[", JSON_OBJECT("name", "arguments"), .separator = ", ", .close = "]"}},
};

const lull_call_form *lull_reply_opening(lull_tool_format format, const char *template_text)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *its_clue = forms[i].clue;
        if (forms[i].format != format) continue;
        if (!its_clue || (template_text && strstr(template_text, its_clue))) return &forms[i].form;
    }
    return NULL;
}
