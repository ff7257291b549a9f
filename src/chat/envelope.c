/* A call as one JSON object, in any order of its members:
 *
 *     {"name": "f", "arguments": {…}}        also tool_name or function, parameters, id, tool_call_id
 *     {"type": "function", "function": {"name": "f", "arguments": {…}}}
 *     {"name": "f", "arguments": "{…}"}      arguments as text, as OpenAI's interface has them
 *
 * Other members are read over. Arguments are handed on as they come once the name is known. */
#include <string.h>

#include "reply_parser.h"

enum state { BEFORE, FIRST_KEY, NEXT_KEY, KEY, COLON, BEFORE_VALUE, VALUE, AFTER_VALUE };

enum field { OTHER, NAME, ARGUMENTS, ARGUMENTS_TEXT, ID, FUNCTION };

void lull_envelope_init(lull_reply *r)
{
    memset(&r->at.envelope, 0, sizeof r->at.envelope);
    lull_reply_clear(r, &r->scratch);
}

static enum field field_of(const lull_buffer *key)
{
    static const struct {
        const char *key;
        enum field field;
    } fields[] = {
        {"name", NAME}, {"tool_name", NAME},  {"arguments", ARGUMENTS}, {"parameters", ARGUMENTS},
        {"id", ID},     {"tool_call_id", ID}, {"function", FUNCTION},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (key->n_bytes == strlen(fields[i].key) &&
            memcmp(key->data, fields[i].key, key->n_bytes) == 0)
            return fields[i].field;
    return OTHER;
}

static void begin_scan(lull_reply *r, uint8_t first)
{
    lull_envelope *e = &r->at.envelope;
    e->scan = (lull_json_scan){0};
    lull_reply_clear(r, &r->scratch);
    (void)lull_json_scan_step(&e->scan, first);
}

/* The key is in scratch. */
static void end_key(lull_reply *r)
{
    lull_envelope *e = &r->at.envelope;
    e->field = (uint8_t)field_of(&r->scratch);
    e->state = COLON;
}

/* Does the value fit the field? What does not makes the object none of a call. */
static void begin_field(lull_reply *r, uint8_t first)
{
    lull_envelope *e = &r->at.envelope;
    switch (e->field) {
    case FUNCTION: /* its name, as text */
    case NAME:
        e->field = NAME;
        if (first != '"' || e->has_name) e->is_no_call = true;
        break;
    case ARGUMENTS:
        if (e->has_arguments) e->is_no_call = true;
        if (first == 'n') { /* null is none */
            e->field = OTHER;
            break;
        }
        e->has_arguments = true;
        if (first == '"')
            e->field = ARGUMENTS_TEXT;
        else if (first != '{')
            e->is_no_call = true;
        else if (e->has_name && !r->is_begun && !e->is_no_call && !lull_reply_begin_call(r))
            e->is_no_call = true;
        break;
    case ID:
        if (r->is_begun) e->field = OTHER; /* too late */
        break;
    default: break;
    }
    if (e->is_no_call) e->field = OTHER;
}

static void take_field(lull_reply *r, uint8_t c)
{
    lull_envelope *e = &r->at.envelope;
    if (e->field == ARGUMENTS)
        lull_reply_add_arguments(r, &(char){(char)c}, 1);
    else if (e->field != OTHER)
        lull_buffer_append(&r->scratch, &c, 1);
}

/* What stands between the quotes in scratch. */
static void unquote(lull_reply *r, lull_buffer *out)
{
    lull_reply_clear(r, out);
    if (r->scratch.n_bytes >= 2 && !r->scratch.is_failed)
        lull_json_unescape(r->scratch.data + 1, r->scratch.n_bytes - 2, out);
}

static void end_field(lull_reply *r)
{
    lull_envelope *e = &r->at.envelope;
    e->state = AFTER_VALUE;
    switch (e->field) {
    case NAME:
        unquote(r, &r->name);
        e->has_name = true;
        break;
    case ID:
        lull_reply_clear(r, &r->id);
        if (r->scratch.n_bytes > 0 && r->scratch.data[0] == '"')
            unquote(r, &r->id);
        else
            lull_buffer_append(&r->id, r->scratch.data, r->scratch.n_bytes);
        break;
    case ARGUMENTS_TEXT: {
        lull_buffer text = {0};
        unquote(r, &text);
        bool is_object = text.n_bytes > 0 && text.data[strspn(text.data, " \t\r\n")] == '{' &&
                         lull_json_is_value(text.data, text.n_bytes);
        if (is_object)
            lull_reply_add_arguments(r, text.data, text.n_bytes);
        else
            e->is_no_call = true;
        if (text.is_failed) r->is_out_of_memory = true;
        lull_buffer_fini(&text);
        break;
    }
    default: break;
    }
}

static lull_step close_object(lull_reply *r)
{
    lull_envelope *e = &r->at.envelope;
    e->state = AFTER_VALUE;
    if (--e->level > 0) return LULL_STEP_MORE;
    /* Without a marker around it, an object with a name only is just data. */
    if (!e->has_name || (!e->has_arguments && r->is_quiet)) e->is_no_call = true;
    if (e->is_no_call) return LULL_STEP_DONE;
    if (!e->has_arguments) lull_reply_add_arguments(r, "{}", 2);
    if (!r->is_begun && !lull_reply_begin_call(r)) e->is_no_call = true;
    return LULL_STEP_DONE;
}

static lull_step step_between(lull_reply *r, uint8_t c)
{
    lull_envelope *e = &r->at.envelope;
    if (lull_json_is_space(c)) return LULL_STEP_MORE;
    switch (e->state) {
    case BEFORE:
        e->level = 1;
        e->state = FIRST_KEY;
        return c == '{' ? LULL_STEP_MORE : LULL_STEP_BAD;
    case FIRST_KEY:
        if (c == '}') return close_object(r);
        /* fall through */
    case NEXT_KEY:
        e->state = KEY;
        begin_scan(r, c);
        return c == '"' ? LULL_STEP_MORE : LULL_STEP_BAD;
    case COLON: e->state = BEFORE_VALUE; return c == ':' ? LULL_STEP_MORE : LULL_STEP_BAD;
    default: /* AFTER_VALUE */
        if (c == '}') return close_object(r);
        e->state = NEXT_KEY;
        return c == ',' ? LULL_STEP_MORE : LULL_STEP_BAD;
    }
}

static lull_step step_value(lull_reply *r, uint8_t c)
{
    lull_envelope *e = &r->at.envelope;
    lull_json_verdict v = lull_json_scan_step(&e->scan, c);
    if (v == LULL_JSON_BAD) return LULL_STEP_BAD;
    if (v == LULL_JSON_PAST) {
        end_field(r);
        return step_between(r, c);
    }
    take_field(r, c);
    if (v == LULL_JSON_DONE) end_field(r);
    return LULL_STEP_MORE;
}

lull_step lull_envelope_step(lull_reply *r, uint8_t c)
{
    lull_envelope *e = &r->at.envelope;
    switch (e->state) {
    case KEY: {
        lull_json_verdict v = lull_json_scan_step(&e->scan, c);
        if (v == LULL_JSON_BAD) return LULL_STEP_BAD;
        if (v == LULL_JSON_DONE)
            end_key(r);
        else
            lull_buffer_append(&r->scratch, &c, 1);
        return LULL_STEP_MORE;
    }
    case BEFORE_VALUE:
        if (lull_json_is_space(c)) return LULL_STEP_MORE;
        if (e->field == FUNCTION && c == '{' && e->level == 1) {
            e->level = 2;
            e->state = FIRST_KEY;
            return LULL_STEP_MORE;
        }
        begin_field(r, c);
        lull_reply_clear(r, &r->scratch);
        e->scan = (lull_json_scan){0};
        e->state = VALUE;
        return step_value(r, c);
    case VALUE: return step_value(r, c);
    default: return step_between(r, c);
    }
}
