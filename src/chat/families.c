/* The tables: what a reply of each family looks like. Sources: the chat templates of the models, and the parsers of
 * vLLM and llama.cpp for what models write beside them. reply_parser.h says how to read a row. */
#include "reply_parser.h"

#define OPENS LULL_MARKER_OPENS
#define QUIET LULL_MARKER_QUIET
#define NAMED LULL_MARKER_NAMED
#define CLOSES LULL_MARKER_CLOSES
#define ENDS LULL_MARKER_ENDS
#define UNREAD LULL_MARKER_UNREAD
#define AT_START LULL_MARKER_AT_START
#define ROUTES LULL_MARKER_ROUTES
#define SURE LULL_MARKER_SURE

enum { TEXT = LULL_STATE_TEXT, THOUGHT = LULL_STATE_THOUGHT, FIRST = LULL_STATE_FIRST };

static const lull_state none[] = {
    [TEXT] = {.part = LULL_PART_TEXT},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
};

enum { HERMES_OBJECT = FIRST, HERMES_CLOSING };
static const lull_state hermes[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<tool_call>", HERMES_OBJECT, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [HERMES_OBJECT] = {LULL_PART_OBJECT, .next = HERMES_CLOSING},
    [HERMES_CLOSING] = {LULL_PART_SPACE, .markers = {{"</tool_call>", TEXT, ENDS},
                                                     {"<tool_call>", HERMES_OBJECT, ENDS | OPENS}}},
};

/* Qwen 3 Coder leaves out <tool_call> now and then. */
enum { XML_CALL = FIRST, XML_NAME, XML_KEYS, XML_KEY, XML_VALUE, XML_AFTER };
static const lull_state xml[] = {
    [TEXT] = {LULL_PART_TEXT,
              .markers = {{"<tool_call>", XML_CALL, OPENS}, {"<function=", XML_NAME, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [XML_CALL] = {LULL_PART_SPACE, .markers = {{"<function=", XML_NAME, 0}}},
    [XML_NAME] = {LULL_PART_NAME, .markers = {{">", XML_KEYS, NAMED}}},
    [XML_KEYS] = {LULL_PART_SPACE, .markers = {{"<parameter=", XML_KEY, 0},
                                               {"</function>", XML_AFTER, CLOSES | ENDS}}},
    [XML_KEY] = {LULL_PART_KEY, .markers = {{">", XML_VALUE, 0}}},
    [XML_VALUE] = {LULL_PART_VALUE, .markers = {{"</parameter>", XML_KEYS, 0}}},
    [XML_AFTER] = {LULL_PART_SPACE, .is_exit = true,
                   .markers = {{"</tool_call>", TEXT, 0}, {"<function=", XML_NAME, OPENS}}},
};

enum { LLAMA_TAGGED = FIRST, LLAMA_OBJECT, LLAMA_AFTER };
static const lull_state llama3[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<|python_tag|>", LLAMA_TAGGED, OPENS},
                                          {"{", LLAMA_OBJECT, OPENS | QUIET | UNREAD | AT_START}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [LLAMA_TAGGED] = {LULL_PART_SPACE, .markers = {{"{", LLAMA_OBJECT, UNREAD}}},
    [LLAMA_OBJECT] = {LULL_PART_OBJECT, .next = LLAMA_AFTER, .ends_call = true},
    [LLAMA_AFTER] = {LULL_PART_SPACE, .is_exit = true,
                     .markers = {{";", LLAMA_TAGGED, OPENS | QUIET}}},
};

/* A list of calls ends one at the comma or the bracket behind it: text such as "[f(x=1) is short]" has no
 * call. Llama 4 and LFM2 put it between tokens. */
enum { PY_TAGGED = FIRST, PY_LIST, PY_CALL, PY_NEXT, PY_AFTER };
static const lull_state pythonic[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"[", PY_LIST, OPENS | QUIET | AT_START},
                                          {"<|python_start|>", PY_TAGGED, OPENS},
                                          {"<|tool_call_start|>", PY_TAGGED, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [PY_TAGGED] = {LULL_PART_SPACE, .markers = {{"[", PY_LIST, 0}}},
    [PY_LIST] = {LULL_PART_SPACE, .other = PY_CALL},
    [PY_CALL] = {LULL_PART_PYTHON, .next = PY_NEXT},
    [PY_NEXT] = {LULL_PART_SPACE,
                 .markers = {{",", PY_LIST, ENDS | OPENS | QUIET}, {"]", PY_AFTER, ENDS}}},
    [PY_AFTER] = {LULL_PART_SPACE, .is_exit = true,
                  .markers = {{"<|python_end|>", TEXT, 0}, {"<|tool_call_end|>", TEXT, 0}}},
};

enum {
    MISTRAL_MARKED = FIRST,
    MISTRAL_LIST,
    MISTRAL_OBJECT,
    MISTRAL_NEXT,
    MISTRAL_NAME,
    MISTRAL_ID,
    MISTRAL_ARGS
};
static const lull_state mistral[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"[TOOL_CALLS]", MISTRAL_MARKED, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [MISTRAL_MARKED] = {LULL_PART_SPACE, .other = MISTRAL_NAME,
                        .markers = {{"[", MISTRAL_LIST, 0}}},
    [MISTRAL_LIST] = {LULL_PART_SPACE, .markers = {{"{", MISTRAL_OBJECT, UNREAD}}},
    [MISTRAL_OBJECT] = {LULL_PART_OBJECT, .next = MISTRAL_NEXT, .ends_call = true, .is_item = true},
    [MISTRAL_NEXT] = {LULL_PART_SPACE, .markers = {{",", MISTRAL_LIST, OPENS}, {"]", TEXT, 0}}},
    [MISTRAL_NAME] = {LULL_PART_NAME, .markers = {{"[ARGS]", MISTRAL_ARGS, NAMED},
                                                  {"[CALL_ID]", MISTRAL_ID, 0},
                                                  {"{", MISTRAL_ARGS, NAMED | UNREAD}}},
    [MISTRAL_ID] = {LULL_PART_ID, .markers = {{"[ARGS]", MISTRAL_ARGS, NAMED}}},
    [MISTRAL_ARGS] = {LULL_PART_ARGUMENTS, .next = TEXT, .ends_call = true},
};

/* R1 and V3 write the type, "function", in front of the name, and a fence around the arguments. V3.2 has
 * parameters that say whether they are strings. */
#define DS_CALLS_BEGIN "<｜tool▁calls▁begin｜>"
#define DS_CALLS_END "<｜tool▁calls▁end｜>"
#define DS_CALL_BEGIN "<｜tool▁call▁begin｜>"
#define DS_CALL_END "<｜tool▁call▁end｜>"
#define DS_SEP "<｜tool▁sep｜>"
#define DSML(tag) "<｜DSML｜" tag
#define DSML_END(tag) "</｜DSML｜" tag ">"
enum {
    DS_BLOCK = FIRST,
    DS_CALL,
    DS_AFTER_SEP,
    DS_NAME,
    DS_ARGS,
    DS_FENCE,
    DS_CLOSING,
    DS_NEXT,
    DSML_BLOCK,
    DSML_NAME,
    DSML_KEYS,
    DSML_KEY,
    DSML_STRING,
    DSML_LITERAL,
    DSML_NEXT
};
static const lull_state deepseek[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{DS_CALLS_BEGIN, DS_BLOCK, OPENS},
                                          {DS_CALL_BEGIN, DS_CALL, OPENS},
                                          {DSML("function_calls>"), DSML_BLOCK, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [DS_BLOCK] = {LULL_PART_SPACE, .markers = {{DS_CALL_BEGIN, DS_CALL, 0}}},
    [DS_CALL] = {LULL_PART_NAME, .markers = {{DS_SEP, DS_AFTER_SEP, 0}}},
    [DS_AFTER_SEP] = {LULL_PART_SPACE, .other = DS_NAME,
                      .markers = {{"{", DS_ARGS, NAMED | UNREAD}}},
    [DS_NAME] = {LULL_PART_NAME,
                 .markers = {{"```json", DS_ARGS, NAMED}, {"{", DS_ARGS, NAMED | UNREAD}}},
    [DS_ARGS] = {LULL_PART_ARGUMENTS, .next = DS_FENCE},
    [DS_FENCE] = {LULL_PART_SPACE, .markers = {{"```", DS_CLOSING, 0},
                                               {DS_CALL_END, DS_NEXT, ENDS},
                                               {DS_CALLS_END, TEXT, ENDS}}},
    [DS_CLOSING] = {LULL_PART_SPACE,
                    .markers = {{DS_CALL_END, DS_NEXT, ENDS}, {DS_CALLS_END, TEXT, ENDS}}},
    [DS_NEXT] = {LULL_PART_SPACE, .is_exit = true,
                 .markers = {{DS_CALL_BEGIN, DS_CALL, OPENS}, {DS_CALLS_END, TEXT, 0}}},
    [DSML_BLOCK] = {LULL_PART_SPACE, .markers = {{DSML("invoke name=\""), DSML_NAME, 0}}},
    [DSML_NAME] = {LULL_PART_NAME, .markers = {{"\">", DSML_KEYS, NAMED}}},
    [DSML_KEYS] = {LULL_PART_SPACE, .markers = {{DSML("parameter name=\""), DSML_KEY, 0},
                                                {DSML_END("invoke"), DSML_NEXT, CLOSES | ENDS}}},
    [DSML_KEY] = {LULL_PART_KEY, .markers = {{"\" string=\"true\">", DSML_STRING, 0},
                                             {"\" string=\"false\">", DSML_LITERAL, 0}}},
    [DSML_STRING] = {LULL_PART_VALUE, .markers = {{DSML_END("parameter"), DSML_KEYS, 0}}},
    [DSML_LITERAL] = {LULL_PART_LITERAL, .markers = {{DSML_END("parameter"), DSML_KEYS, 0}}},
    [DSML_NEXT] = {LULL_PART_SPACE, .is_exit = true,
                   .markers = {{DSML("invoke name=\""), DSML_NAME, OPENS},
                               {DSML_END("function_calls"), TEXT, 0}}},
};

/* Every message has a header; route_message (reply.c) says what the message is. Where text stands without a
 * header, it is text. */
enum { HARMONY_HEADER = FIRST, HARMONY_ARGS, HARMONY_AFTER };
static const lull_state harmony[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<|channel|>", HARMONY_HEADER, OPENS | QUIET},
                                          {"<|start|>", HARMONY_HEADER, OPENS | QUIET},
                                          {" to=", HARMONY_HEADER, OPENS | QUIET | AT_START},
                                          {"<|end|>", TEXT, 0},
                                          {"<|return|>", TEXT, 0},
                                          {"<|call|>", TEXT, 0}}},
    [THOUGHT] = {LULL_PART_THOUGHT, .markers = {{"<|channel|>", HARMONY_HEADER, OPENS | QUIET},
                                                {"<|start|>", HARMONY_HEADER, OPENS | QUIET}}},
    [HARMONY_HEADER] = {LULL_PART_HEADER, .markers = {{"<|message|>", HARMONY_ARGS, ROUTES}}},
    [HARMONY_ARGS] = {LULL_PART_ARGUMENTS, .next = HARMONY_AFTER},
    [HARMONY_AFTER] = {LULL_PART_SPACE,
                       .markers = {{"<|call|>", TEXT, ENDS},
                                   {"<|end|>", TEXT, ENDS},
                                   {"<|return|>", TEXT, ENDS},
                                   {"<|start|>", HARMONY_HEADER, ENDS | OPENS | QUIET},
                                   {"<|channel|>", HARMONY_HEADER, ENDS | OPENS | QUIET}}},
};

/* Gemma 3 was told by its prompt what to write, in most prompts a fenced block: calls as in Python,
 * one a line or in a list, maybe inside print(), or JSON. FunctionGemma and Gemma 4 have tokens. */
enum {
    GEMMA_CODE = FIRST,
    GEMMA_CALL,
    GEMMA_NEXT,
    GEMMA_PRINTED,
    GEMMA_PAREN,
    GEMMA_JSON,
    GEMMA_OBJECT,
    GEMMA_JSON_NEXT,
    GEMMA_MARKED,
    GEMMA_OWN,
    GEMMA_CLOSING
};
static const lull_state gemma[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"```tool_code", GEMMA_CODE, OPENS},
                                          {"```tool_call", GEMMA_JSON, OPENS},
                                          {"<|tool_call>", GEMMA_MARKED, OPENS},
                                          {"<start_function_call>", GEMMA_MARKED, OPENS},
                                          {"<|tool_response>", TEXT, 0}}}, /* where Gemma 4 stops */
    [THOUGHT] = {LULL_PART_THOUGHT, .markers = {{"<|tool_call>", GEMMA_MARKED, OPENS}}},
    [GEMMA_CODE] = {LULL_PART_SPACE, .other = GEMMA_CALL,
                    .markers = {{"[", GEMMA_CODE, 0}, {"print(", GEMMA_PRINTED, 0}}},
    [GEMMA_CALL] = {LULL_PART_PYTHON, .next = GEMMA_NEXT, .ends_call = true},
    [GEMMA_NEXT] = {LULL_PART_SPACE, .other = GEMMA_CALL,
                    .markers = {{"```", TEXT, 0},
                                {",", GEMMA_CODE, OPENS},
                                {";", GEMMA_CODE, OPENS},
                                {"print(", GEMMA_PRINTED, OPENS},
                                {"]", GEMMA_NEXT, 0}}},
    [GEMMA_PRINTED] = {LULL_PART_PYTHON, .next = GEMMA_PAREN, .ends_call = true},
    [GEMMA_PAREN] = {LULL_PART_SPACE, .markers = {{")", GEMMA_NEXT, 0}}},
    [GEMMA_JSON] = {LULL_PART_SPACE,
                    .markers = {{"[", GEMMA_JSON, 0}, {"{", GEMMA_OBJECT, UNREAD}}},
    [GEMMA_OBJECT] = {LULL_PART_OBJECT, .next = GEMMA_JSON_NEXT, .ends_call = true,
                      .is_item = true},
    [GEMMA_JSON_NEXT] = {LULL_PART_SPACE, .markers = {{"```", TEXT, 0},
                                                      {",", GEMMA_JSON, OPENS},
                                                      {"{", GEMMA_OBJECT, OPENS | UNREAD},
                                                      {"]", GEMMA_JSON_NEXT, 0}}},
    [GEMMA_MARKED] = {LULL_PART_SPACE, .markers = {{"call:", GEMMA_OWN, 0}}},
    [GEMMA_OWN] = {LULL_PART_GEMMA, .next = GEMMA_CLOSING},
    [GEMMA_CLOSING] = {LULL_PART_SPACE, .markers = {{"<tool_call|>", TEXT, ENDS},
                                                    {"<end_function_call>", TEXT, ENDS},
                                                    {"<|tool_call>", GEMMA_MARKED, ENDS | OPENS}}},
};

/* A list of objects, or one object, behind a marker. */
enum { R_ACTION = FIRST, R_BLOCK, R_LIST, R_OBJECT, R_NEXT, R_AFTER };
static const lull_state command_r[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"Action:", R_ACTION, OPENS | QUIET},
                                          {"<|START_ACTION|>", R_BLOCK, OPENS},
                                          {"<|START_RESPONSE|>", TEXT, 0},
                                          {"<|END_RESPONSE|>", TEXT, 0}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [R_ACTION] = {LULL_PART_SPACE, .markers = {{"```json", R_BLOCK, SURE}}},
    [R_BLOCK] = {LULL_PART_SPACE, .markers = {{"[", R_LIST, 0}}},
    [R_LIST] = {LULL_PART_SPACE, .markers = {{"{", R_OBJECT, UNREAD}}},
    [R_OBJECT] = {LULL_PART_OBJECT, .next = R_NEXT, .ends_call = true, .is_item = true},
    [R_NEXT] = {LULL_PART_SPACE, .markers = {{",", R_LIST, OPENS}, {"]", R_AFTER, 0}}},
    [R_AFTER] = {LULL_PART_SPACE, .is_exit = true,
                 .markers = {{"```", TEXT, 0}, {"<|END_ACTION|>", TEXT, 0}}},
};

enum {
    GRANITE_BLOCK = FIRST,
    GRANITE_LIST,
    GRANITE_OBJECT,
    GRANITE_NEXT,
    GRANITE_SINGLE,
    GRANITE_AFTER
};
static const lull_state granite[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<|tool_call|>", GRANITE_BLOCK, OPENS},
                                          {"<tool_call>", GRANITE_BLOCK, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [GRANITE_BLOCK] = {LULL_PART_SPACE,
                       .markers = {{"[", GRANITE_LIST, 0}, {"{", GRANITE_SINGLE, UNREAD}}},
    [GRANITE_LIST] = {LULL_PART_SPACE, .markers = {{"{", GRANITE_OBJECT, UNREAD}}},
    [GRANITE_OBJECT] = {LULL_PART_OBJECT, .next = GRANITE_NEXT, .ends_call = true, .is_item = true},
    [GRANITE_NEXT] = {LULL_PART_SPACE,
                      .markers = {{",", GRANITE_LIST, OPENS}, {"]", GRANITE_AFTER, 0}}},
    [GRANITE_SINGLE] = {LULL_PART_OBJECT, .next = GRANITE_AFTER, .ends_call = true},
    [GRANITE_AFTER] = {LULL_PART_SPACE, .is_exit = true, .markers = {{"</tool_call>", TEXT, 0}}},
};

enum {
    MM_BLOCK = FIRST,
    MM_NAME,
    MM_KEYS,
    MM_KEY,
    MM_VALUE,
    MM_AFTER,
    MM_LINE,
    MM_OBJECT,
    MM_LINES
};
static const lull_state minimax[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<minimax:tool_call>", MM_BLOCK, OPENS},
                                          {"<tool_calls>", MM_LINE, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [MM_BLOCK] = {LULL_PART_SPACE, .markers = {{"<invoke name=", MM_NAME, 0}}},
    [MM_NAME] = {LULL_PART_NAME, .markers = {{">", MM_KEYS, NAMED}}},
    [MM_KEYS] = {LULL_PART_SPACE, .markers = {{"<parameter name=", MM_KEY, 0},
                                              {"</invoke>", MM_AFTER, CLOSES | ENDS}}},
    [MM_KEY] = {LULL_PART_KEY, .markers = {{">", MM_VALUE, 0}}},
    [MM_VALUE] = {LULL_PART_VALUE, .markers = {{"</parameter>", MM_KEYS, 0}}},
    [MM_AFTER] = {LULL_PART_SPACE, .is_exit = true,
                  .markers = {{"<invoke name=", MM_NAME, OPENS},
                              {"</minimax:tool_call>", TEXT, 0}}},
    [MM_LINE] = {LULL_PART_SPACE, .markers = {{"{", MM_OBJECT, UNREAD}}},
    [MM_OBJECT] = {LULL_PART_OBJECT, .next = MM_LINES, .ends_call = true, .is_item = true},
    [MM_LINES] = {LULL_PART_SPACE,
                  .markers = {{"</tool_calls>", TEXT, 0}, {"{", MM_OBJECT, OPENS | UNREAD}}},
};

/* Kimi K2 may call from inside a thought, which ends it. */
enum { KIMI_SECTION = FIRST, KIMI_NAME, KIMI_ARGS, KIMI_CLOSING, KIMI_NEXT };
static const lull_state kimi[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<|tool_calls_section_begin|>", KIMI_SECTION, OPENS},
                                          {"<|tool_call_begin|>", KIMI_NAME, OPENS}}},
    [THOUGHT] = {LULL_PART_THOUGHT,
                 .markers = {{"<|tool_calls_section_begin|>", KIMI_SECTION, OPENS}}},
    [KIMI_SECTION] = {LULL_PART_SPACE, .markers = {{"<|tool_call_begin|>", KIMI_NAME, 0}}},
    [KIMI_NAME] = {LULL_PART_NAME_ID,
                   .markers = {{"<|tool_call_argument_begin|>", KIMI_ARGS, NAMED}}},
    [KIMI_ARGS] = {LULL_PART_ARGUMENTS, .next = KIMI_CLOSING},
    [KIMI_CLOSING] = {LULL_PART_SPACE, .markers = {{"<|tool_call_end|>", KIMI_NEXT, ENDS},
                                                   {"<|tool_calls_section_end|>", TEXT, ENDS}}},
    [KIMI_NEXT] = {LULL_PART_SPACE, .is_exit = true,
                   .markers = {{"<|tool_call_begin|>", KIMI_NAME, OPENS},
                               {"<|tool_calls_section_end|>", TEXT, 0}}},
};

enum { GLM_NAME = FIRST, GLM_KEY, GLM_BETWEEN, GLM_VALUE, GLM_NEXT };
static const lull_state glm[] = {
    [TEXT] = {LULL_PART_TEXT, .markers = {{"<tool_call>", GLM_NAME, OPENS}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [GLM_NAME] = {LULL_PART_NAME, .markers = {{"<arg_key>", GLM_KEY, NAMED},
                                              {"</tool_call>", TEXT, NAMED | CLOSES | ENDS}}},
    [GLM_KEY] = {LULL_PART_KEY, .markers = {{"</arg_key>", GLM_BETWEEN, 0}}},
    [GLM_BETWEEN] = {LULL_PART_SPACE, .markers = {{"<arg_value>", GLM_VALUE, 0}}},
    [GLM_VALUE] = {LULL_PART_VALUE, .markers = {{"</arg_value>", GLM_NEXT, 0}}},
    [GLM_NEXT] = {LULL_PART_SPACE,
                  .markers = {{"<arg_key>", GLM_KEY, 0}, {"</tool_call>", TEXT, CLOSES | ENDS}}},
};

enum { JSON_OBJECT_ONLY = FIRST, JSON_LIST, JSON_ITEM, JSON_NEXT };
static const lull_state json[] = {
    [TEXT] = {LULL_PART_TEXT,
              .markers = {{"{", JSON_OBJECT_ONLY, OPENS | QUIET | UNREAD | AT_START},
                          {"[", JSON_LIST, OPENS | QUIET | AT_START}}},
    [THOUGHT] = {.part = LULL_PART_THOUGHT},
    [JSON_OBJECT_ONLY] = {LULL_PART_OBJECT, .next = TEXT, .ends_call = true},
    [JSON_LIST] = {LULL_PART_SPACE, .markers = {{"{", JSON_ITEM, UNREAD}}},
    [JSON_ITEM] = {LULL_PART_OBJECT, .next = JSON_NEXT},
    [JSON_NEXT] = {LULL_PART_SPACE,
                   .markers = {{",", JSON_LIST, ENDS | OPENS | QUIET}, {"]", TEXT, ENDS}}},
};

const lull_state *lull_reply_states(lull_tool_format format)
{
    static const lull_state *const families[LULL_N_TOOL_FORMATS] = {
        [LULL_TOOLS_NONE] = none,         [LULL_TOOLS_HERMES] = hermes,
        [LULL_TOOLS_XML] = xml,           [LULL_TOOLS_LLAMA3_JSON] = llama3,
        [LULL_TOOLS_PYTHONIC] = pythonic, [LULL_TOOLS_MISTRAL] = mistral,
        [LULL_TOOLS_DEEPSEEK] = deepseek, [LULL_TOOLS_HARMONY] = harmony,
        [LULL_TOOLS_GEMMA] = gemma,       [LULL_TOOLS_COMMAND_R] = command_r,
        [LULL_TOOLS_GRANITE] = granite,   [LULL_TOOLS_MINIMAX] = minimax,
        [LULL_TOOLS_KIMI] = kimi,         [LULL_TOOLS_GLM] = glm,
        [LULL_TOOLS_JSON] = json,
    };
    return families[format];
}

const lull_thought_family *lull_reply_thoughts(lull_reasoning_format format)
{
    static const lull_thought_family families[LULL_N_REASONING_FORMATS] = {
        [LULL_REASONING_NONE] = {.is_plain = false},
        [LULL_REASONING_THINK] = {true, .tags = {{{"<think>"}, {"</think>"}}}},
        [LULL_REASONING_TAGS] = {true, .tags = {{{"<think>"}, {"</think>"}},
                                                {{"<thinking>"}, {"</thinking>"}},
                                                {{"<thought>"}, {"</thought>"}},
                                                {{"<reasoning>"}, {"</reasoning>"}},
                                                {{"<analysis>"}, {"</analysis>"}}}},
        [LULL_REASONING_HARMONY] = {false, .tags = {{{"<|channel|>analysis<|message|>"},
                                                     {"<|end|>", "<|return|>"}}}},
        [LULL_REASONING_GEMMA] = {false, .tags = {{{"<|channel>thought\n"}, {"<channel|>"}}}},
        [LULL_REASONING_COMMAND_R] = {false,
                                      .tags = {{{"<|START_THINKING|>"}, {"<|END_THINKING|>"}}},
                                      .drops = {"<|START_RESPONSE|>", "<|END_RESPONSE|>"}},
        [LULL_REASONING_MISTRAL] = {false, .tags = {{{"[THINK]"}, {"[/THINK]"}}}},
        [LULL_REASONING_GRANITE] = {true,
                                    .tags = {{{"Here is my thought process:",
                                               "Here's my thought process:"},
                                              {"Here is my response:", "Here's my response:"}}}},
    };
    return &families[format];
}
