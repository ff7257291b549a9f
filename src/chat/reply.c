/* Runs a family's table over the bytes of a reply: markers, text and thoughts, the life of a call. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "reply_parser.h"

enum {
    MAX_REREAD_BYTES = 16 << 20 /* of failed calls: bounds the work on hostile text */
};

void lull_reply_clear(lull_reply *r, lull_buffer *b)
{
    if (b->is_failed) r->is_out_of_memory = true;
    lull_buffer_clear(b);
}

/* ---- events ----------------------------------------------------------------------------------- */

static void send(lull_reply *r, const lull_reply_event *event)
{
    if (r->options.on_event) r->options.on_event(r->options.user, event);
}

static void flush(lull_reply *r)
{
    if (r->out.n_bytes == 0) return;
    send(r, &(lull_reply_event){.kind = r->out_kind,
                                .index = r->out_kind == LULL_REPLY_ARGUMENTS ? r->n_begun - 1 : -1,
                                .bytes = r->out.data,
                                .n_bytes = r->out.n_bytes});
    lull_reply_clear(r, &r->out);
}

static void collect(lull_reply *r, lull_reply_event_kind kind, const char *bytes, size_t n)
{
    if (kind != r->out_kind) flush(r);
    r->out_kind = kind;
    lull_buffer_append(&r->out, bytes, n);
}

static void put_text(lull_reply *r, const char *bytes, size_t n)
{
    collect(r, LULL_REPLY_TEXT, bytes, n);
    lull_buffer_append(&r->text, bytes, n);
}

static void put_thought(lull_reply *r, const char *bytes, size_t n)
{
    collect(r, LULL_REPLY_THOUGHT, bytes, n);
    lull_buffer_append(&r->thought, bytes, n);
}

/* ---- text and thoughts ------------------------------------------------------------------------ */

/* One byte of text or thought by the rules for white space. has_any: of its kind, so far. */
static void take_spaced(lull_reply *r, char c, bool *has_any,
                        void (*put)(lull_reply *r, const char *bytes, size_t n))
{
    if (lull_json_is_space((uint8_t)c)) {
        if (!r->has_gap) lull_buffer_append(&r->space, &c, 1);
        return;
    }
    if (r->has_gap && *has_any) put(r, "\n", 1);
    if (r->space.n_bytes > 0) put(r, r->space.data, r->space.n_bytes);
    put(r, &c, 1);
    lull_reply_clear(r, &r->space);
    r->has_gap = false;
    *has_any = true;
}

static void take_text(lull_reply *r, char c)
{
    take_spaced(r, c, &r->has_text, put_text);
    if (!lull_json_is_space((uint8_t)c)) r->at_start = false;
}

static void take_thought(lull_reply *r, char c)
{
    if (!lull_json_is_space((uint8_t)c)) r->may_reopen = false;
    if (r->options.thinking == LULL_THINKING_SHOW) /* leaves at_start alone */
        take_spaced(r, c, &r->has_text, put_text);
    else if (r->options.thinking == LULL_THINKING_CAPTURE)
        take_spaced(r, c, &r->has_thought, put_thought);
}

static void show(lull_reply *r, const char *marker)
{
    if (r->options.thinking == LULL_THINKING_SHOW)
        for (; *marker; marker++) take_spaced(r, *marker, &r->has_text, put_text);
}

/* What was before is over: the white space around is nobody's. */
static void begin_anew(lull_reply *r)
{
    lull_reply_clear(r, &r->space);
    r->has_gap = true;
}

static void open_thought(lull_reply *r, const char *marker)
{
    if (r->options.thinking != LULL_THINKING_SHOW) begin_anew(r);
    show(r, marker);
    r->state = LULL_STATE_THOUGHT;
    r->may_reopen = false;
    /* The tags that the marker belongs to; the first for Harmony's headers. */
    r->tags = r->thoughts->tags;
    for (const lull_thought_tags *t = r->tags; t->open[0]; t++)
        for (int i = 0; i < 2; i++)
            if (t->open[i] && strcmp(t->open[i], marker) == 0) r->tags = t;
}

static void close_thought(lull_reply *r, const char *marker)
{
    show(r, marker);
    if (r->options.thinking != LULL_THINKING_SHOW) begin_anew(r);
    r->at_start = true;
    r->may_reopen = false;
}

/* ---- calls ------------------------------------------------------------------------------------ */

static void forget_call(lull_reply *r)
{
    lull_buffer *const parts[] = {&r->source, &r->scratch, &r->name,
                                  &r->id,     &r->key,     &r->arguments};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) lull_reply_clear(r, parts[i]);
    r->is_open = r->is_quiet = r->is_begun = r->is_whole = false;
    r->n_parameters = 0;
    r->n_fixed = 0;
}

static void open_call(lull_reply *r, bool is_quiet)
{
    forget_call(r);
    r->is_open = true;
    r->is_quiet = is_quiet;
    lull_buffer_append(&r->source, r->space.data, r->space.n_bytes);
    lull_reply_clear(r, &r->space);
}

/* Bytes that are to be read again, before all others. */
static void unread(lull_reply *r, const char *bytes, size_t n)
{
    while (n > 0) lull_buffer_append(&r->unread, &bytes[--n], 1);
}

/* Withdraw the call. Returns whether there was one to speak of. */
static void withdraw(lull_reply *r)
{
    if (!r->is_begun && (r->is_quiet || !r->is_open)) return;
    flush(r);
    int index = r->is_begun ? r->n_begun - 1 : r->n_begun++;
    r->n_failed++;
    send(r, &(lull_reply_event){.kind = LULL_REPLY_CALL_FAILED, .index = index});
}

/* The call is none, or there is no more in the block. Its source up to the last of its markers, and at
 * least up to the first byte, is text, which is why this ends; the rest is read again in the state of
 * text, so that a good call in it is found. */
static void fail(lull_reply *r)
{
    withdraw(r);
    lull_buffer source = r->source;
    size_t n = 0;
    while (n < source.n_bytes && lull_json_is_space((uint8_t)source.data[n])) n++;
    if (n < source.n_bytes) n++;
    if (n < r->n_fixed) n = r->n_fixed;
    r->source = (lull_buffer){0};
    forget_call(r);
    r->state = LULL_STATE_TEXT;
    unread(r, r->held, r->n_held); /* at the end of the reply */
    r->n_held = 0;
    r->n_reread += source.n_bytes - n;
    if (r->n_reread > MAX_REREAD_BYTES || n > source.n_bytes) n = source.n_bytes;
    unread(r, source.data + n, source.n_bytes - n);
    for (size_t i = 0; i < n; i++) take_text(r, source.data[i]);
    if (source.is_failed) r->is_out_of_memory = true;
    lull_buffer_fini(&source);
}

/* An item of a list is well-formed, but no call: it is text, and the list goes on. */
static void fail_item(lull_reply *r, uint8_t next)
{
    withdraw(r);
    for (size_t i = 0; i < r->source.n_bytes; i++) take_text(r, r->source.data[i]);
    forget_call(r);
    begin_anew(r);
    r->state = next;
}

static bool is_good_name(const lull_buffer *name)
{
    lull_utf8 u = {0};
    if (name->n_bytes == 0 || name->n_bytes > LULL_REPLY_NAME_BYTES) return false;
    for (size_t i = 0; i < name->n_bytes; i++) {
        uint8_t c = (uint8_t)name->data[i];
        if (c <= ' ' || c == 0x7f || strchr("\"'<>(){}[]`", c) || !lull_utf8_step(&u, c))
            return false;
    }
    return u.n_left == 0;
}

static void make_id(lull_reply *r)
{
    int number = r->n_begun + r->options.first_call;
    if (is_good_name(&r->id)) return;
    lull_reply_clear(r, &r->id);
    /* Mistral's templates insist on nine letters and digits. */
    bool is_mistral = r->options.tools == LULL_TOOLS_MISTRAL;
    lull_buffer_printf(&r->id, is_mistral ? "call%05d" : "call_%d", number);
}

bool lull_reply_begin_call(lull_reply *r)
{
    if (!is_good_name(&r->name)) return false;
    if (r->is_quiet && r->tools && !lull_tools_know(r->tools, r->name.data)) return false;
    make_id(r);
    if (r->name.is_failed || r->id.is_failed) return false;
    flush(r);
    r->is_begun = true;
    r->n_begun++;
    send(r, &(lull_reply_event){.kind = LULL_REPLY_CALL_BEGIN,
                                .index = r->n_begun - 1,
                                .name = r->name.data,
                                .id = r->id.data});
    if (r->arguments.n_bytes > 0)
        collect(r, LULL_REPLY_ARGUMENTS, r->arguments.data, r->arguments.n_bytes);
    return true;
}

void lull_reply_add_arguments(lull_reply *r, const char *bytes, size_t n_bytes)
{
    lull_buffer_append(&r->arguments, bytes, n_bytes);
    if (r->is_begun) collect(r, LULL_REPLY_ARGUMENTS, bytes, n_bytes);
}

void lull_reply_add_escaped(lull_reply *r, uint8_t c)
{
    static const char short_of[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    char escape[8] = {(char)c};
    size_t n = 1;
    for (const char *s = short_of; *s; s += 2)
        if (c == (uint8_t)*s) n = (size_t)snprintf(escape, sizeof escape, "\\%c", s[1]);
    if (n == 1 && c < 0x20) n = (size_t)snprintf(escape, sizeof escape, "\\u%04x", c);
    lull_reply_add_arguments(r, escape, n);
}

bool lull_reply_add_key(lull_reply *r)
{
    lull_utf8 u = {0};
    for (size_t i = 0; i < r->key.n_bytes; i++)
        if (!lull_utf8_step(&u, (uint8_t)r->key.data[i])) return false;
    if (u.n_left > 0 || r->key.n_bytes > LULL_REPLY_NAME_BYTES) return false;
    if (r->n_parameters++ == 0)
        lull_reply_add_arguments(r, "{\"", 2);
    else
        lull_reply_add_arguments(r, ", \"", 3);
    for (size_t i = 0; i < r->key.n_bytes; i++) lull_reply_add_escaped(r, (uint8_t)r->key.data[i]);
    lull_reply_add_arguments(r, "\": ", 3);
    return true;
}

static bool keep_call(lull_reply *r)
{
    if (r->n_calls == r->calls_cap) {
        size_t cap = r->calls_cap ? 2 * r->calls_cap : 4;
        lull_reply_call_entry *calls = realloc(r->calls, cap * sizeof *calls);
        if (!calls) return false;
        r->calls = calls;
        r->calls_cap = cap;
    }
    size_t n;
    lull_reply_call_entry c = {.index = r->n_begun - 1};
    c.id = lull_buffer_take(&r->id, &n);
    c.name = lull_buffer_take(&r->name, &n);
    c.arguments = lull_buffer_take(&r->arguments, &n);
    if (!c.id || !c.name || !c.arguments) {
        free(c.id);
        free(c.name);
        free(c.arguments);
        return false;
    }
    r->calls[r->n_calls++] = c;
    return true;
}

static void end_call(lull_reply *r)
{
    assert(r->is_begun); /* the tables name a call before they end it */
    flush(r);
    if (!keep_call(r)) r->is_out_of_memory = true;
    send(r, &(lull_reply_event){.kind = LULL_REPLY_CALL_END, .index = r->n_begun - 1});
    forget_call(r);
    begin_anew(r);
    r->at_start = true;
}

/* ---- Harmony's headers ------------------------------------------------------------------------ */

/* The word behind key in the header; n 0: none. A view of it. */
static const char *find_word(const char *header, const char *key, size_t *n)
{
    const char *at = strstr(header, key);
    *n = 0;
    if (!at) return "";
    at += strlen(key);
    *n = strcspn(at, " \t\r\n<");
    return at;
}

/* "<|channel|>commentary to=functions.f <|constrain|>json<|message|>": a call for whom it may concern,
 * a thought, or text. The recipient may also stand in front of the channel. */
static void route_message(lull_reply *r)
{
    size_t n_channel, n_to;
    const char *header = r->source.data ? r->source.data : "";
    const char *channel = find_word(header, "<|channel|>", &n_channel);
    const char *to = find_word(header, "to=", &n_to);
    static const char prefix[] = "functions.", analysis[] = "analysis";
    if (n_to > 0 && r->options.tools == LULL_TOOLS_HARMONY) {
        bool is_function = strncmp(to, prefix, sizeof prefix - 1) == 0;
        if (is_function) {
            to += sizeof prefix - 1;
            n_to = n_to > sizeof prefix - 1 ? n_to - (sizeof prefix - 1) : 0;
        }
        lull_buffer_append(&r->name, to, n_to);
        r->is_quiet = false;
        memset(&r->at, 0, sizeof r->at);
        if (!lull_reply_begin_call(r)) fail(r);
        return;
    }
    bool is_thought = r->options.reasoning == LULL_REASONING_HARMONY &&
                      n_channel == sizeof analysis - 1 && memcmp(channel, analysis, n_channel) == 0;
    if (is_thought) {
        char *shown = lull_buffer_take(&r->source, &(size_t){0});
        forget_call(r);
        if (shown)
            open_thought(r, shown);
        else
            r->is_out_of_memory = true;
        free(shown);
    } else {
        forget_call(r);
        begin_anew(r);
        r->state = LULL_STATE_TEXT;
    }
}

/* ---- the machine ------------------------------------------------------------------------------ */

static void enter(lull_reply *r, uint8_t state)
{
    r->state = state;
    memset(&r->at, 0, sizeof r->at);
    switch (r->states[state].part) {
    case LULL_PART_NAME:
    case LULL_PART_ID:
    case LULL_PART_NAME_ID:
    case LULL_PART_KEY:
    case LULL_PART_HEADER: lull_reply_clear(r, &r->scratch); break;
    case LULL_PART_VALUE:
        lull_reply_clear(r, &r->scratch);
        if (!lull_parameter_begin(r, false)) fail(r);
        break;
    case LULL_PART_LITERAL:
        lull_reply_clear(r, &r->scratch);
        if (!lull_parameter_begin(r, true)) fail(r);
        break;
    case LULL_PART_OBJECT: lull_envelope_init(r); break;
    case LULL_PART_PYTHON:
    case LULL_PART_GEMMA: lull_python_init(r); break;
    case LULL_PART_TEXT:
        /* A block without a call, or with half of one, is text. */
        if (r->is_open) fail(r);
        break;
    default: break;
    }
}

/* Without white space and one pair of quotes around. */
static void set_trimmed(lull_reply *r, lull_buffer *out, const char *s, size_t n)
{
    while (n > 0 && lull_json_is_space((uint8_t)*s)) s++, n--;
    while (n > 0 && lull_json_is_space((uint8_t)s[n - 1])) n--;
    if (n >= 2 && (*s == '"' || *s == '\'') && s[n - 1] == *s) s++, n -= 2;
    lull_reply_clear(r, out);
    lull_buffer_append(out, s, n);
}

/* functions.NAME:0 is an id that holds the name. */
static void split_name_id(lull_reply *r)
{
    set_trimmed(r, &r->id, r->scratch.data, r->scratch.n_bytes);
    const char *s = r->id.data ? r->id.data : "";
    size_t n = r->id.n_bytes;
    if (strncmp(s, "functions.", 10) == 0) s += 10, n -= 10;
    for (size_t i = n; i > 0; i--)
        if (s[i - 1] == ':') {
            n = i - 1;
            break;
        }
    set_trimmed(r, &r->name, s, n);
}

/* The part that a marker ends. False: it was bad. */
static bool leave_part(lull_reply *r)
{
    const char *s = r->scratch.data ? r->scratch.data : "";
    switch (r->states[r->state].part) {
    case LULL_PART_NAME: set_trimmed(r, &r->name, s, r->scratch.n_bytes); break;
    case LULL_PART_ID: set_trimmed(r, &r->id, s, r->scratch.n_bytes); break;
    case LULL_PART_NAME_ID: split_name_id(r); break;
    case LULL_PART_KEY: set_trimmed(r, &r->key, s, r->scratch.n_bytes); break;
    case LULL_PART_VALUE:
    case LULL_PART_LITERAL: return lull_parameter_end(r);
    default: break;
    }
    return true;
}

static bool can_begin(lull_reply *r, const lull_marker *m)
{
    return !(m->flags & LULL_MARKER_NAMED) || lull_reply_begin_call(r);
}

static void keep_marker(lull_reply *r, const char *marker, size_t n)
{
    lull_buffer_append(&r->source, marker, n);
    r->n_fixed = r->source.n_bytes;
}

static void follow(lull_reply *r, const lull_marker *m)
{
    size_t n = strlen(m->text);
    lull_part part = r->states[r->state].part;
    r->n_held = 0;
    if (!leave_part(r) || !can_begin(r, m)) {
        unread(r, m->text, n);
        fail(r);
        return;
    }
    if (m->to == LULL_STATE_THOUGHT) {
        open_thought(r, m->text);
        return;
    }
    if (part == LULL_PART_THOUGHT) close_thought(r, m->flags & LULL_MARKER_OPENS ? "" : m->text);
    if (m->flags & LULL_MARKER_CLOSES) {
        lull_reply_add_arguments(r, r->n_parameters ? "}" : "{}", r->n_parameters ? 1 : 2);
        r->is_whole = true;
    }
    if (m->flags & LULL_MARKER_ENDS) end_call(r);
    if (m->flags & LULL_MARKER_OPENS) open_call(r, m->flags & LULL_MARKER_QUIET);
    if (m->flags & LULL_MARKER_SURE) r->is_quiet = false;
    if (m->flags & LULL_MARKER_UNREAD)
        unread(r, m->text, n);
    else if (r->is_open)
        keep_marker(r, m->text, n);
    if (part == LULL_PART_TEXT && m->to == LULL_STATE_TEXT)
        begin_anew(r); /* a mark that is dropped */
    if (m->flags & LULL_MARKER_ROUTES) {
        r->state = m->to;
        route_message(r);
    } else {
        enter(r, m->to);
    }
}

/* A part of known end is over. */
static void end_part(lull_reply *r)
{
    const lull_state *s = &r->states[r->state];
    if (s->part == LULL_PART_OBJECT && r->at.envelope.is_no_call) {
        if (s->is_item && !r->is_quiet)
            fail_item(r, s->next);
        else
            fail(r);
        return;
    }
    r->is_whole = true;
    if (s->ends_call) end_call(r);
    enter(r, s->next);
}

static lull_step step_space(lull_reply *r, uint8_t c)
{
    const lull_state *s = &r->states[r->state];
    if (lull_json_is_space(c)) return LULL_STEP_MORE;
    if (!s->other && !s->is_exit) return LULL_STEP_BAD;
    if (s->other && !r->is_open && r->n_begun >= LULL_REPLY_CALLS) return LULL_STEP_BAD;
    unread(r, &(char){(char)c}, 1);
    if (s->other && !r->is_open) open_call(r, false);
    enter(r, s->other);
    return LULL_STEP_MORE;
}

static lull_step step_arguments(lull_reply *r, uint8_t c)
{
    if (r->at.scan.depth == 0 && r->arguments.n_bytes == 0) {
        if (lull_json_is_space(c)) return LULL_STEP_MORE;
        if (c != '{') return LULL_STEP_BAD;
    }
    lull_json_verdict v = lull_json_scan_step(&r->at.scan, c);
    if (v == LULL_JSON_BAD) return LULL_STEP_BAD;
    lull_reply_add_arguments(r, &(char){(char)c}, 1);
    return v == LULL_JSON_DONE ? LULL_STEP_DONE : LULL_STEP_MORE;
}

static lull_step step_scratch(lull_reply *r, uint8_t c)
{
    if (r->scratch.n_bytes >= 2 * LULL_REPLY_NAME_BYTES) return LULL_STEP_BAD;
    lull_buffer_append(&r->scratch, &c, 1);
    return LULL_STEP_MORE;
}

/* One byte that belongs to no marker. */
static void take(lull_reply *r, char byte)
{
    uint8_t c = (uint8_t)byte;
    lull_part part = r->states[r->state].part;
    lull_step step = LULL_STEP_MORE;
    if (part == LULL_PART_TEXT) {
        take_text(r, byte);
        return;
    }
    if (part == LULL_PART_THOUGHT) {
        take_thought(r, byte);
        return;
    }
    uint8_t before = r->state;
    switch (part) {
    case LULL_PART_SPACE: step = step_space(r, c); break;
    case LULL_PART_VALUE:
    case LULL_PART_LITERAL:
        step = lull_parameter_step(r, c) ? LULL_STEP_MORE : LULL_STEP_BAD;
        break;
    case LULL_PART_ARGUMENTS: step = step_arguments(r, c); break;
    case LULL_PART_OBJECT: step = lull_envelope_step(r, c); break;
    case LULL_PART_PYTHON: step = lull_python_step(r, c, false); break;
    case LULL_PART_GEMMA: step = lull_python_step(r, c, true); break;
    default: step = step_scratch(r, c); break;
    }
    if (r->state != before) return; /* c is read elsewhere */
    if (r->source.n_bytes >= LULL_REPLY_CALL_BYTES) step = LULL_STEP_BAD;
    if (step == LULL_STEP_BAD) {
        unread(r, &byte, 1);
        fail(r);
        return;
    }
    if (r->is_open) lull_buffer_append(&r->source, &byte, 1);
    if (step == LULL_STEP_DONE) end_part(r);
}

static const lull_marker *markers_here(const lull_reply *r)
{
    if (r->state == LULL_STATE_TEXT) return r->text_markers;
    return r->state == LULL_STATE_THOUGHT ? r->thought_markers : r->states[r->state].markers;
}

static bool is_close_tag(const lull_reply *r, const char *text)
{
    return r->tags->close[0] == text || r->tags->close[1] == text;
}

/* May the marker stand here? */
static bool applies(const lull_reply *r, const lull_marker *m)
{
    if (m->flags & LULL_MARKER_AT_START && !r->at_start) return false;
    if (m->flags & LULL_MARKER_OPENS && r->n_begun >= LULL_REPLY_CALLS) return false;
    if (r->state != LULL_STATE_THOUGHT || m->flags & LULL_MARKER_OPENS) return true;
    if (m->to == LULL_STATE_THOUGHT) return r->may_reopen;
    return is_close_tag(r, m->text);
}

/* What is held: a marker, maybe the start of one (*is_start), or nothing of the kind. */
static const lull_marker *match(const lull_reply *r, bool *is_start)
{
    *is_start = false;
    for (const lull_marker *m = markers_here(r); m->text; m++) {
        size_t n = strlen(m->text);
        if (n < r->n_held || memcmp(m->text, r->held, r->n_held) != 0 || !applies(r, m)) continue;
        if (n == r->n_held) return m;
        *is_start = true;
    }
    return NULL;
}

static void step(lull_reply *r, char c)
{
    if (!markers_here(r)->text) {
        take(r, c);
        return;
    }
    bool is_start;
    r->held[r->n_held++] = c;
    const lull_marker *m = match(r, &is_start);
    if (m) follow(r, m);
    if (m || is_start) return;
    /* The first byte is no marker's; the others may be, and maybe in another state. */
    char first = r->held[0];
    unread(r, r->held + 1, r->n_held - 1);
    r->n_held = 0;
    take(r, first);
}

/* Read what is to be read again. */
static void settle(lull_reply *r)
{
    while (r->unread.n_bytes > 0) step(r, r->unread.data[--r->unread.n_bytes]);
}

/* The end of the reply, as the state takes it. True: that was all. */
static bool end_reply(lull_reply *r)
{
    if (r->state <= LULL_STATE_THOUGHT) {
        for (size_t i = 0; i < r->n_held; i++) take(r, r->held[i]);
        bool is_text = r->state == LULL_STATE_TEXT || r->options.thinking == LULL_THINKING_SHOW;
        if (is_text && r->space.n_bytes > 0) put_text(r, r->space.data, r->space.n_bytes);
        r->n_held = 0;
        lull_reply_clear(r, &r->space);
        return true;
    }
    if (r->is_open && r->is_whole) {
        end_call(r);
        r->n_held = 0;
        r->state = LULL_STATE_TEXT;
    } else {
        fail(r);
    }
    return false;
}

static lull_status finish_step(lull_reply *r, lull_error *err)
{
    const lull_buffer *const buffers[] = {&r->unread, &r->space, &r->source, &r->scratch,
                                          &r->name,   &r->id,    &r->key,    &r->arguments,
                                          &r->out,    &r->text,  &r->thought};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i]->is_failed) r->is_out_of_memory = true;
    if (r->is_out_of_memory) return lull_fail(err, LULL_ENOMEM, "out of memory for a reply");
    flush(r);
    return LULL_OK;
}

lull_status lull_reply_feed(lull_reply *r, const char *bytes, size_t n_bytes, lull_error *err)
{
    assert(!r->is_finished);
    if (r->is_out_of_memory) return finish_step(r, err);
    if (n_bytes > LULL_REPLY_TOTAL_BYTES - r->n_total)
        return lull_fail(err, LULL_EFULL, "the reply is longer than %d MiB",
                         LULL_REPLY_TOTAL_BYTES >> 20);
    r->n_total += n_bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        step(r, bytes[i]);
        settle(r);
    }
    return finish_step(r, err);
}

lull_status lull_reply_finish(lull_reply *r, lull_error *err)
{
    assert(!r->is_finished);
    r->is_finished = true;
    while (!r->is_out_of_memory && !end_reply(r)) settle(r);
    return finish_step(r, err);
}

/* ---- making one ------------------------------------------------------------------------------- */

static bool is_harmony(const lull_reply *r)
{
    return r->states == lull_reply_states(LULL_TOOLS_HARMONY);
}

/* The markers of both formats, in text and in thoughts. */
static void gather_markers(lull_reply *r)
{
    lull_marker *text = r->text_markers, *thought = r->thought_markers;
    for (const lull_marker *m = r->states[LULL_STATE_TEXT].markers; m->text; m++) *text++ = *m;
    for (const lull_marker *m = r->states[LULL_STATE_THOUGHT].markers; m->text; m++)
        *thought++ = *m;
    uint16_t opens = r->thoughts->is_plain ? LULL_MARKER_AT_START : 0;
    for (const lull_thought_tags *t = r->thoughts->tags; t->open[0]; t++)
        for (int i = 0; i < 2; i++) {
            if (t->open[i] && !is_harmony(r)) {
                *text++ = (lull_marker){t->open[i], LULL_STATE_THOUGHT, opens};
                *thought++ = (lull_marker){t->open[i], LULL_STATE_THOUGHT, 0};
            }
            if (t->close[i]) *thought++ = (lull_marker){t->close[i], LULL_STATE_TEXT, 0};
        }
    for (int i = 0; i < 2; i++)
        if (r->thoughts->drops[i] && !is_harmony(r))
            *text++ = (lull_marker){r->thoughts->drops[i], LULL_STATE_TEXT, 0};
    /* Both arrays end with a marker without text. */
    assert(text < r->text_markers + sizeof r->text_markers / sizeof *r->text_markers);
    assert(thought < r->thought_markers + sizeof r->thought_markers / sizeof *r->thought_markers);
}

lull_status lull_reply_new(const lull_reply_options *options, lull_reply **out, lull_error *err)
{
    *out = NULL;
    if ((unsigned)options->tools >= LULL_N_TOOL_FORMATS ||
        (unsigned)options->reasoning >= LULL_N_REASONING_FORMATS ||
        (unsigned)options->thinking > LULL_THINKING_SHOW)
        return lull_fail(err, LULL_EINVAL, "no such format of replies");
    if (options->first_call < 0 || options->first_call > LULL_REPLY_FIRST_CALL)
        return lull_fail(err, LULL_EINVAL, "the first call's number must be in 0 to %d",
                         LULL_REPLY_FIRST_CALL);
    lull_reply *r = calloc(1, sizeof *r);
    if (!r) return lull_fail(err, LULL_ENOMEM, "out of memory for a reply");
    r->options = *options;
    r->options.tools_json = NULL; /* borrowed */
    if (options->tools_json) {
        json_error_t why = {.text = "another value"};
        r->tools = json_loads(options->tools_json, 0, &why);
        if (!json_is_array(r->tools)) {
            bool is_out = !r->tools && json_error_code(&why) == json_error_out_of_memory;
            lull_reply_free(r);
            return lull_fail(err, is_out ? LULL_ENOMEM : LULL_EINVAL,
                             "the tools are no JSON array: %s", why.text);
        }
    }
    /* Harmony's messages are read as such also when only its thoughts are asked for. */
    lull_tool_format family = options->tools;
    if (family == LULL_TOOLS_NONE && options->reasoning == LULL_REASONING_HARMONY)
        family = LULL_TOOLS_HARMONY;
    r->states = lull_reply_states(family);
    r->thoughts = lull_reply_thoughts(options->reasoning);
    r->tags = r->thoughts->tags;
    gather_markers(r);
    r->at_start = true;
    if (options->starts_in_thought && options->reasoning != LULL_REASONING_NONE) {
        r->state = LULL_STATE_THOUGHT;
        r->has_gap = options->thinking != LULL_THINKING_SHOW;
        r->may_reopen = true;
    }
    *out = r;
    return LULL_OK;
}

void lull_reply_free(lull_reply *r)
{
    if (!r) return;
    lull_buffer *const buffers[] = {&r->unread, &r->space, &r->source, &r->scratch,
                                    &r->name,   &r->id,    &r->key,    &r->arguments,
                                    &r->out,    &r->text,  &r->thought};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) lull_buffer_fini(buffers[i]);
    for (size_t i = 0; i < r->n_calls; i++) {
        free(r->calls[i].id);
        free(r->calls[i].name);
        free(r->calls[i].arguments);
    }
    free(r->calls);
    json_decref(r->tools);
    free(r);
}

/* ---- what came out ---------------------------------------------------------------------------- */

static const char *view(const lull_buffer *b, size_t *n_bytes)
{
    if (n_bytes) *n_bytes = b->n_bytes;
    return b->data ? b->data : "";
}

const char *lull_reply_text(const lull_reply *r, size_t *n_bytes)
{
    return view(&r->text, n_bytes);
}

const char *lull_reply_thought(const lull_reply *r, size_t *n_bytes)
{
    return view(&r->thought, n_bytes);
}

size_t lull_reply_n_calls(const lull_reply *r)
{
    return r->n_calls;
}

lull_reply_call_view lull_reply_call(const lull_reply *r, size_t i)
{
    assert(i < r->n_calls);
    const lull_reply_call_entry *c = &r->calls[i];
    return (lull_reply_call_view){c->id, c->name, c->arguments, c->index};
}

int lull_reply_n_failed(const lull_reply *r)
{
    return r->n_failed;
}

bool lull_reply_in_thought(const lull_reply *r)
{
    return r->state == LULL_STATE_THOUGHT;
}

bool lull_reply_in_call(const lull_reply *r)
{
    return r->state > LULL_STATE_THOUGHT;
}
