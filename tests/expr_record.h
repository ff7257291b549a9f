/* The builder of src/mask/grammar.h as one that writes down what it is asked for, in static memory:
 * for tests of what calls it. A program includes this once, and is not linked with grammar.c. */
#ifndef LULL_TESTS_EXPR_RECORD_H
#define LULL_TESTS_EXPR_RECORD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/mask/grammar.h"
#include "buffer.h"

typedef enum record_kind { EMPTY, LITERAL, CHARS, SEQUENCE, CHOICE, REPEAT, RULE } record_kind;

typedef struct record {
    record_kind kind;
    size_t first, n;   /* bytes of a literal, ranges, parts: in the arrays below */
    uint32_t min, max; /* of a repeat */
    int n_defined;     /* of a rule, whose body is parts[first] */
} record;

struct lull_grammar {
    size_t n_records, n_bytes, n_ranges, n_parts;
    record records[1 << 18];
    char bytes[1 << 20];
    lull_char_range ranges[1 << 18];
    lull_expr parts[1 << 18];
};

static lull_grammar recorder;

static inline void record_check(bool is_so, const char *what)
{
    if (is_so) return;
    fprintf(stderr, "expr_record: %s\n", what);
    abort();
}

static inline lull_grammar *record_reset(void)
{
    recorder.n_records = recorder.n_bytes = recorder.n_ranges = recorder.n_parts = 0;
    return &recorder;
}

static lull_expr record_add(lull_grammar *g, record r)
{
    record_check(g == &recorder && g->n_records < sizeof g->records / sizeof *g->records, "full");
    g->records[g->n_records] = r;
    return (lull_expr)g->n_records++;
}

static lull_expr record_parts(lull_grammar *g, record_kind kind, const lull_expr *parts, size_t n)
{
    record_check(g->n_parts + n <= sizeof g->parts / sizeof *g->parts, "full");
    for (size_t i = 0; i < n; i++) {
        record_check(parts[i] < g->n_records, "a part that was not made");
        g->parts[g->n_parts + i] = parts[i];
    }
    g->n_parts += n;
    return record_add(g, (record){.kind = kind, .first = g->n_parts - n, .n = n});
}

lull_expr lull_expr_empty(lull_grammar *g)
{
    return record_add(g, (record){.kind = EMPTY});
}

lull_expr lull_expr_literal(lull_grammar *g, const char *bytes, size_t n_bytes)
{
    record_check(g->n_bytes + n_bytes <= sizeof g->bytes, "full");
    memcpy(g->bytes + g->n_bytes, bytes, n_bytes);
    g->n_bytes += n_bytes;
    return record_add(g, (record){.kind = LITERAL, .first = g->n_bytes - n_bytes, .n = n_bytes});
}

lull_expr lull_expr_chars(lull_grammar *g, const lull_char_range *ranges, size_t n)
{
    record_check(g->n_ranges + n <= sizeof g->ranges / sizeof *g->ranges, "full");
    for (size_t i = 0; i < n; i++) {
        record_check(ranges[i].first <= ranges[i].last && ranges[i].last <= 0x10ffff, "a range");
        g->ranges[g->n_ranges + i] = ranges[i];
    }
    g->n_ranges += n;
    return record_add(g, (record){.kind = CHARS, .first = g->n_ranges - n, .n = n});
}

lull_expr lull_expr_sequence(lull_grammar *g, const lull_expr *parts, size_t n)
{
    return record_parts(g, SEQUENCE, parts, n);
}

lull_expr lull_expr_choice(lull_grammar *g, const lull_expr *options, size_t n)
{
    return record_parts(g, CHOICE, options, n);
}

lull_expr lull_expr_repeat(lull_grammar *g, lull_expr body, uint32_t min, uint32_t max)
{
    record_check(min <= max && max <= LULL_UNBOUNDED, "counts");
    lull_expr e = record_parts(g, REPEAT, &body, 1);
    g->records[e].min = min;
    g->records[e].max = max;
    return e;
}

lull_expr lull_expr_rule(lull_grammar *g)
{
    return record_add(g, (record){.kind = RULE});
}

void lull_expr_define(lull_grammar *g, lull_expr rule, lull_expr body)
{
    record_check(rule < g->n_records && g->records[rule].kind == RULE, "not a rule");
    record_check(g->records[rule].n_defined++ == 0, "a rule that is defined twice");
    g->records[rule].first = g->n_parts;
    record_parts(g, SEQUENCE, &body, 1);
}

/* Every rule is defined, and `start` is one. */
static inline void record_check_whole(const lull_grammar *g, lull_expr start)
{
    record_check(start < g->n_records && g->records[start].kind == RULE, "the start is no rule");
    for (size_t i = 0; i < g->n_records; i++)
        record_check(g->records[i].kind != RULE || g->records[i].n_defined == 1, "no body");
}

/* ---- as text ----------------------------------------------------------------------------------- */

static inline void record_write_bytes(lull_buffer *b, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        lull_buffer_printf(b, c < 32 || c >= 127 || c == '"' ? "\\%02x" : "%c", c);
    }
}

static inline void record_write(const lull_grammar *g, lull_expr e, lull_buffer *b)
{
    const record *r = &g->records[e];
    switch (r->kind) {
    case EMPTY: lull_buffer_append_str(b, "empty"); return;
    case RULE: {
        int number = 0; /* rules are told by the order in which they were met */
        for (lull_expr i = 0; i < e; i++) number += g->records[i].kind == RULE;
        lull_buffer_printf(b, "R%d", number);
        return;
    }
    case LITERAL:
        lull_buffer_append_str(b, "\"");
        record_write_bytes(b, g->bytes + r->first, r->n);
        lull_buffer_append_str(b, "\"");
        return;
    case CHARS:
        lull_buffer_append_str(b, "[");
        for (size_t i = 0; i < r->n; i++)
            lull_buffer_printf(b, "%s%x-%x", i ? " " : "", g->ranges[r->first + i].first,
                               g->ranges[r->first + i].last);
        lull_buffer_append_str(b, "]");
        return;
    case REPEAT:
        record_write(g, g->parts[r->first], b);
        lull_buffer_printf(b, "{%u,", r->min);
        if (r->max != LULL_UNBOUNDED) lull_buffer_printf(b, "%u", r->max);
        lull_buffer_append_str(b, "}");
        return;
    case SEQUENCE:
    case CHOICE:
        lull_buffer_append_str(b, "(");
        for (size_t i = 0; i < r->n; i++) {
            if (i) lull_buffer_append_str(b, r->kind == CHOICE ? " | " : " ");
            record_write(g, g->parts[r->first + i], b);
        }
        lull_buffer_append_str(b, ")");
    }
}

/* "R0 = ...; R1 = ..." */
static inline void record_write_rules(const lull_grammar *g, lull_buffer *b)
{
    bool is_first = true;
    for (lull_expr e = 0; e < g->n_records; e++) {
        if (g->records[e].kind != RULE) continue;
        if (!is_first) lull_buffer_append_str(b, "; ");
        is_first = false;
        record_write(g, e, b);
        lull_buffer_append_str(b, " = ");
        record_write(g, g->parts[g->records[e].first], b);
    }
}

#endif
