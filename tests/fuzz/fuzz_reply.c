/* Fuzz target: any bytes as what a model says.
 *
 *   byte 0   tool format       byte 1   reasoning format
 *   byte 2   bit 0: starts in a thought, bit 1: the tools are known, bits 2-3: what is done with thoughts
 *   the rest is the reply
 *
 * Fed whole, byte by byte and in pieces whose lengths the bytes themselves give, it has the same events, and
 * the result is that of the events. Where nothing but failed calls is found, the text is the reply. */
#include <stdint.h>

#include "../reply_events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static const char tools[] =
    "[{\"name\": \"f\", \"parameters\": {\"properties\": {\"a\": {\"type\": \"string\"}, "
    "\"b\": {\"type\": \"integer\"}, \"c\": {\"type\": [\"string\", \"null\"]}, "
    "\"d\": {\"anyOf\": [{\"type\": \"object\"}, {\"enum\": [\"x\", null]}]}}}}, {\"name\": "
    "\"g\"}]";

enum cut { WHOLE, BYTEWISE, IN_PIECES };

static void read_reply(const lull_reply_options *options, const uint8_t *said, size_t n,
                       enum cut cut, reply_events *events)
{
    lull_reply_options o = *options;
    lull_reply *r;
    lull_error err;
    o.on_event = add_event;
    o.user = events;
    REPLY_CHECK(lull_reply_new(&o, &r, &err) == LULL_OK);
    for (size_t at = 0; at < n;) {
        size_t piece = cut == WHOLE ? n : cut == BYTEWISE ? 1 : 1 + said[at] % 7u;
        if (piece > n - at) piece = n - at;
        REPLY_CHECK(lull_reply_feed(r, (const char *)said + at, piece, &err) == LULL_OK);
        at += piece;
    }
    REPLY_CHECK(lull_reply_finish(r, &err) == LULL_OK);
    check_result(r, events);
    lull_reply_free(r);
}

/* Formats that drop nothing but what belongs to a good call or a thought. */
static bool keeps_all(const lull_reply_options *o)
{
    static const bool keeps[LULL_N_TOOL_FORMATS] = {
        [LULL_TOOLS_NONE] = true,        [LULL_TOOLS_HERMES] = true, [LULL_TOOLS_XML] = true,
        [LULL_TOOLS_DEEPSEEK] = true,    [LULL_TOOLS_KIMI] = true,   [LULL_TOOLS_GLM] = true,
        [LULL_TOOLS_LLAMA3_JSON] = true, [LULL_TOOLS_JSON] = true};
    return keeps[o->tools] && o->reasoning == LULL_REASONING_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 3) return 0;
    lull_reply_options o = {.tools = (lull_tool_format)(data[0] % LULL_N_TOOL_FORMATS),
                            .reasoning =
                                (lull_reasoning_format)(data[1] % LULL_N_REASONING_FORMATS),
                            .starts_in_thought = data[2] & 1,
                            .tools_json = data[2] & 2 ? tools : NULL,
                            .thinking = (lull_thinking)((data[2] >> 2) % 3)};
    const uint8_t *said = data + 3;
    size_t n = n_bytes - 3;
    reply_events whole = {0}, other = {0};
    read_reply(&o, said, n, WHOLE, &whole);
    for (enum cut cut = BYTEWISE; cut <= IN_PIECES; cut++) {
        read_reply(&o, said, n, cut, &other);
        REPLY_CHECK(is_same(&whole.lines, other.lines.data, other.lines.n_bytes));
        reply_events_fini(&other);
    }
    if (whole.good.n_bytes == 0 && keeps_all(&o))
        REPLY_CHECK(is_same(&whole.text, (const char *)said, n));
    reply_events_fini(&whole);

    char *text = malloc(n + 1); /* as a template, and as a prompt */
    REPLY_CHECK(text);
    memcpy(text, said, n);
    text[n] = '\0';
    lull_tool_format t;
    lull_reasoning_format g;
    lull_chat_detect(text, &t, &g);
    REPLY_CHECK(lull_tool_format_name(t) && lull_reasoning_format_name(g));
    (void)lull_chat_starts_in_thought(o.reasoning, text, n);
    free(text);
    return 0;
}
