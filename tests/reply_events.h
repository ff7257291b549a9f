/* The events of a reply as lines of text, for test_reply.c and fuzz/fuzz_reply.c: adjacent pieces of one thing
 * are joined.
 *
 *     T|text   H|thought   C0|name|id   A0|arguments   E0   F0 */
#ifndef LULL_TESTS_REPLY_EVENTS_H
#define LULL_TESTS_REPLY_EVENTS_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "lull/reply.h"

#define REPLY_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "reply_events.h:%d: %s\n", __LINE__, #condition);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct reply_events {
    lull_buffer lines;
    lull_buffer text, thought; /* all pieces */
    lull_buffer call;          /* name|id|arguments of the one that is open */
    lull_buffer good;          /* the same of all that ended, a line each */
    int open_index, n_failed;  /* open_index -1: none */
    char head[16];             /* of the last line */
} reply_events;

static inline void reply_events_fini(reply_events *ev)
{
    lull_buffer *const buffers[] = {&ev->lines, &ev->text, &ev->thought, &ev->call, &ev->good};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) lull_buffer_fini(buffers[i]);
    memset(ev, 0, sizeof *ev);
}

/* What events promise of their order; and what the result is to be. */
static inline void follow_event(reply_events *ev, const lull_reply_event *e)
{
    switch (e->kind) {
    case LULL_REPLY_TEXT: lull_buffer_append(&ev->text, e->bytes, e->n_bytes); break;
    case LULL_REPLY_THOUGHT: lull_buffer_append(&ev->thought, e->bytes, e->n_bytes); break;
    case LULL_REPLY_CALL_BEGIN:
        REPLY_CHECK(ev->call.n_bytes == 0 && *e->name && *e->id);
        lull_buffer_printf(&ev->call, "%s|%s|", e->name, e->id);
        ev->open_index = e->index;
        break;
    case LULL_REPLY_ARGUMENTS:
        REPLY_CHECK(ev->call.n_bytes > 0 && e->index == ev->open_index);
        lull_buffer_append(&ev->call, e->bytes, e->n_bytes);
        break;
    case LULL_REPLY_CALL_END:
        REPLY_CHECK(ev->call.n_bytes > 0 && e->index == ev->open_index);
        lull_buffer_append(&ev->good, ev->call.data, ev->call.n_bytes);
        lull_buffer_append(&ev->good, "\n", 1);
        lull_buffer_clear(&ev->call);
        break;
    case LULL_REPLY_CALL_FAILED:
        REPLY_CHECK(ev->call.n_bytes == 0 || e->index == ev->open_index);
        ev->n_failed++;
        lull_buffer_clear(&ev->call);
        break;
    }
}

static inline void add_event(void *user, const lull_reply_event *e)
{
    static const char letters[] = "THCAEF";
    reply_events *ev = user;
    char head[16];
    bool is_said = e->kind == LULL_REPLY_TEXT || e->kind == LULL_REPLY_THOUGHT;
    bool is_piece = is_said || e->kind == LULL_REPLY_ARGUMENTS;
    if (is_said)
        snprintf(head, sizeof head, "%c|", letters[e->kind]);
    else
        snprintf(head, sizeof head, "%c%d%s", letters[e->kind], e->index, is_piece ? "|" : "");
    REPLY_CHECK(!is_piece || e->n_bytes > 0);
    if (is_piece && strcmp(head, ev->head) == 0) {
        ev->lines.n_bytes--; /* the newline */
    } else {
        lull_buffer_append_str(&ev->lines, head);
        if (e->kind == LULL_REPLY_CALL_BEGIN)
            lull_buffer_printf(&ev->lines, "|%s|%s", e->name, e->id);
    }
    if (is_piece) lull_buffer_append(&ev->lines, e->bytes, e->n_bytes);
    lull_buffer_append(&ev->lines, "\n", 1);
    strcpy(ev->head, head);
    follow_event(ev, e);
}

static inline const char *event_lines(const reply_events *ev)
{
    return ev->lines.data ? ev->lines.data : "";
}

static inline bool is_same(const lull_buffer *b, const char *s, size_t n)
{
    return b->n_bytes == n && (n == 0 || memcmp(b->data, s, n) == 0);
}

/* Can a strict reader load it? Numbers out of range and NUL in keys are well-formed, but not for jansson. */
static inline bool is_loadable_object(const char *arguments)
{
    json_error_t why;
    json_t *v = json_loads(arguments, JSON_ALLOW_NUL, &why);
    bool is_object = json_is_object(v);
    json_decref(v);
    return is_object || json_error_code(&why) == json_error_numeric_overflow ||
           json_error_code(&why) == json_error_null_byte_in_key;
}

/* The collected result is that of the events. */
static inline void check_result(const lull_reply *r, const reply_events *ev)
{
    size_t n;
    lull_buffer good = {0};
    const char *text = lull_reply_text(r, &n);
    REPLY_CHECK(is_same(&ev->text, text, n) && text[n] == '\0');
    const char *thought = lull_reply_thought(r, &n);
    REPLY_CHECK(is_same(&ev->thought, thought, n) && thought[n] == '\0');
    for (size_t i = 0; i < lull_reply_n_calls(r); i++) {
        lull_reply_call_view c = lull_reply_call(r, i);
        lull_buffer_printf(&good, "%s|%s|%s\n", c.name, c.id, c.arguments);
        REPLY_CHECK(is_loadable_object(c.arguments));
    }
    REPLY_CHECK(is_same(&ev->good, good.data, good.n_bytes));
    REPLY_CHECK(ev->call.n_bytes == 0 && ev->n_failed == lull_reply_n_failed(r));
    REPLY_CHECK(!lull_reply_in_call(r));
    lull_buffer_fini(&good);
}

#endif
