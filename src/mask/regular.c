#include "regular.h"

#include <stdlib.h>
#include <string.h>

#include "dfa.h"
#include "utf8.h"

void lull_regular_free(lull_regular *r)
{
    if (!r) return;
    free(r->edge_start);
    free(r->edges);
    free(r->is_final);
    free(r);
}

/* ---- looking at one -------------------------------------------------------------------------- */

size_t lull_regular_n_states(const lull_regular *r)
{
    return r->n_states;
}

bool lull_regular_is_final(const lull_regular *r, size_t state)
{
    return r->is_final[state];
}

const lull_regular_edge *lull_regular_edges(const lull_regular *r, size_t state, size_t *n_edges)
{
    *n_edges = r->edge_start[state + 1] - r->edge_start[state];
    return r->edges + r->edge_start[state];
}

bool lull_regular_is_empty(const lull_regular *r)
{
    return r->n_states == 1 && !r->is_final[0]; /* every state but the start has a path to an end */
}

bool lull_regular_matches(const lull_regular *r, const char *text, size_t n_bytes)
{
    const uint8_t *s = (const uint8_t *)text;
    uint32_t state = 0;
    for (size_t at = 0; at < n_bytes;) {
        int length;
        uint32_t c = lull_utf8_decode(s + at, n_bytes - at, &length);
        if (length <= 0) return false;
        at += (size_t)length;
        size_t n, low = 0;
        const lull_regular_edge *edges = lull_regular_edges(r, state, &n);
        for (size_t high = n; low < high;) { /* the first edge that does not end before c */
            size_t mid = (low + high) / 2;
            if (edges[mid].chars.last < c)
                low = mid + 1;
            else
                high = mid;
        }
        if (low == n || c < edges[low].chars.first) return false;
        state = edges[low].to;
    }
    return r->is_final[state];
}

/* ---- making one ------------------------------------------------------------------------------ */

lull_status lull_regular_literal(const char *text, size_t n_bytes, lull_regular **out,
                                 lull_error *err)
{
    *out = NULL;
    lull_dfa d = {0};
    const uint8_t *s = (const uint8_t *)text;
    uint32_t n = 0;
    for (size_t at = 0; at < n_bytes;) {
        int length;
        uint32_t c = lull_scalar_of(lull_utf8_decode(s + at, n_bytes - at, &length));
        if (length <= 0) {
            lull_dfa_fini(&d);
            return lull_fail(err, LULL_EINVAL, "not UTF-8 at byte %zu", at);
        }
        at += (size_t)length;
        lull_dfa_add_state(&d, false);
        lull_dfa_add_edge(&d, c, c, ++n);
    }
    lull_dfa_add_state(&d, true);
    return lull_dfa_finish(&d, out, err);
}

lull_status lull_regular_length(uint32_t min, uint32_t max, lull_regular **out, lull_error *err)
{
    lull_dfa d = {0};
    bool is_bounded = max != LULL_REGULAR_ANY;
    if (is_bounded && max < min) {
        lull_dfa_add_state(&d, false);
        return lull_dfa_finish(&d, out, err);
    }
    uint32_t last = is_bounded ? max : min;
    for (uint32_t i = 0; i < last && !d.status; i++) {
        lull_dfa_add_state(&d, i >= min);
        lull_dfa_add_edge(&d, 0, LULL_LAST_SCALAR, i + 1);
    }
    lull_dfa_add_state(&d, true);
    if (!is_bounded) lull_dfa_add_edge(&d, 0, LULL_LAST_SCALAR, last);
    return lull_dfa_finish(&d, out, err);
}

/* The edges of a state in order, and where the characters between them lead: nowhere. */
#define NOWHERE UINT32_MAX

typedef struct cursor {
    const lull_regular_edge *at, *end;
} cursor;

static cursor cursor_of(const lull_regular *r, uint32_t state)
{
    cursor c = {NULL, NULL};
    if (state == NOWHERE) return c;
    size_t n;
    c.at = lull_regular_edges(r, state, &n);
    c.end = c.at + n;
    return c;
}

/* Where scalar `from` leads, and in *last the last one of those up to *last that lead there,
 * too. */
static uint32_t cursor_next(cursor *c, uint32_t from, uint32_t *last)
{
    while (c->at < c->end && lull_scalar_of(c->at->chars.last) < from) c->at++;
    if (c->at == c->end) return NOWHERE;
    uint32_t edge_first = lull_scalar_of(c->at->chars.first);
    uint32_t edge_last = lull_scalar_of(c->at->chars.last);
    if (edge_first > from) {
        if (edge_first - 1 < *last) *last = edge_first - 1;
        return NOWHERE;
    }
    if (edge_last < *last) *last = edge_last;
    return c->at->to;
}

/* Pairs of states that were met, numbered as they were. */
typedef struct pair {
    uint32_t a, b;
} pair;
enum { TABLE_SLOTS = 1 << 17 }; /* more than LULL_DFA_MAX_STATES, by enough */
typedef struct pairs {
    pair *pairs;     /* owned [LULL_DFA_MAX_STATES + 1] */
    uint32_t *table; /* owned [TABLE_SLOTS], 1 + number */
    uint32_t n;
} pairs;

static uint32_t pair_number(pairs *p, uint32_t a, uint32_t b)
{
    uint64_t key = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    uint32_t slot = (uint32_t)(key >> 40) % TABLE_SLOTS;
    for (; p->table[slot] != 0; slot = (slot + 1) % TABLE_SLOTS) {
        const pair *found = &p->pairs[p->table[slot] - 1];
        if (found->a == a && found->b == b) return p->table[slot] - 1;
    }
    if (p->n > LULL_DFA_MAX_STATES) return 0; /* one too many: combine sees it */
    p->pairs[p->n] = (pair){a, b};
    p->table[slot] = ++p->n;
    return p->n - 1;
}

/* Both automata side by side. is_both: a text that has left one is out; otherwise, that has left
 * both. */
static lull_status combine(const lull_regular *a, const lull_regular *b, bool is_both,
                           lull_regular **out, lull_error *err)
{
    *out = NULL;
    lull_dfa d = {0};
    pairs met = {.pairs = calloc(LULL_DFA_MAX_STATES + 1, sizeof *met.pairs),
                 .table = calloc(TABLE_SLOTS, sizeof *met.table)};
    if (!met.pairs || !met.table) d.status = LULL_ENOMEM;
    if (!d.status) pair_number(&met, 0, 0);
    for (uint32_t i = 0; i < met.n && met.n <= LULL_DFA_MAX_STATES && !d.status; i++) {
        pair at = met.pairs[i];
        bool in_a = at.a != NOWHERE && a->is_final[at.a];
        bool in_b = at.b != NOWHERE && b->is_final[at.b];
        lull_dfa_add_state(&d, is_both ? in_a && in_b : in_a || in_b);
        cursor ca = cursor_of(a, at.a), cb = cursor_of(b, at.b);
        for (uint32_t from = 0, last; from <= LULL_LAST_SCALAR && !d.status; from = last + 1) {
            last = LULL_LAST_SCALAR;
            uint32_t to_a = cursor_next(&ca, from, &last), to_b = cursor_next(&cb, from, &last);
            bool is_out =
                is_both ? to_a == NOWHERE || to_b == NOWHERE : to_a == NOWHERE && to_b == NOWHERE;
            if (!is_out) lull_dfa_add_edge(&d, from, last, pair_number(&met, to_a, to_b));
        }
    }
    if (met.n > LULL_DFA_MAX_STATES && !d.status) d.status = LULL_EFULL;
    free(met.pairs);
    free(met.table);
    return lull_dfa_finish(&d, out, err);
}

lull_status lull_regular_union(const lull_regular *a, const lull_regular *b, lull_regular **out,
                               lull_error *err)
{
    return combine(a, b, false, out, err);
}

lull_status lull_regular_intersect(const lull_regular *a, const lull_regular *b, lull_regular **out,
                                   lull_error *err)
{
    return combine(a, b, true, out, err);
}

lull_status lull_regular_complement(const lull_regular *a, lull_regular **out, lull_error *err)
{
    lull_dfa d = {0};
    uint32_t outside = (uint32_t)a->n_states;
    for (uint32_t s = 0; s < a->n_states; s++) {
        lull_dfa_add_state(&d, !a->is_final[s]);
        cursor c = cursor_of(a, s);
        for (uint32_t from = 0, last; from <= LULL_LAST_SCALAR; from = last + 1) {
            last = LULL_LAST_SCALAR;
            uint32_t to = cursor_next(&c, from, &last);
            lull_dfa_add_edge(&d, from, last, to == NOWHERE ? outside : to);
        }
    }
    lull_dfa_add_state(&d, true);
    lull_dfa_add_edge(&d, 0, LULL_LAST_SCALAR, outside);
    return lull_dfa_finish(&d, out, err);
}
