#include "dfa.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"

/* ---- building -------------------------------------------------------------------------------- */

/* Room for one more element in *p [n], *cap; false when there is none. */
static bool has_room(void **p, size_t n, size_t *cap, size_t elem_bytes)
{
    if (n < *cap) return true;
    size_t more = *cap ? 2 * *cap : 16;
    void *grown = realloc(*p, more * elem_bytes);
    if (!grown) return false;
    *p = grown;
    *cap = more;
    return true;
}

void lull_dfa_add_state(lull_dfa *d, bool is_final)
{
    if (d->status) return;
    if (d->n_states >= LULL_DFA_MAX_STATES) {
        d->status = LULL_EFULL;
        return;
    }
    size_t cap = d->states_cap;
    if (!has_room((void **)&d->is_final, d->n_states, &cap, sizeof *d->is_final) ||
        !has_room((void **)&d->edge_start, d->n_states, &d->states_cap, sizeof *d->edge_start)) {
        d->status = LULL_ENOMEM;
        return;
    }
    d->is_final[d->n_states] = is_final;
    d->edge_start[d->n_states++] = (uint32_t)d->n_edges;
}

void lull_dfa_add_edge(lull_dfa *d, uint32_t first, uint32_t last, uint32_t to)
{
    if (d->status) return;
    if (d->n_edges > d->edge_start[d->n_states - 1]) {
        lull_regular_edge *before = &d->edges[d->n_edges - 1];
        if (before->to == to && before->chars.last + 1 == first) {
            before->chars.last = last;
            return;
        }
    }
    if (d->n_edges >= LULL_DFA_MAX_EDGES) {
        d->status = LULL_EFULL;
        return;
    }
    if (!has_room((void **)&d->edges, d->n_edges, &d->edges_cap, sizeof *d->edges)) {
        d->status = LULL_ENOMEM;
        return;
    }
    d->edges[d->n_edges++] = (lull_regular_edge){{first, last}, to};
}

void lull_dfa_fini(lull_dfa *d)
{
    free(d->is_final);
    free(d->edge_start);
    free(d->edges);
    *d = (lull_dfa){0};
}

static size_t edge_end(const lull_dfa *d, size_t state)
{
    return state + 1 < d->n_states ? d->edge_start[state + 1] : d->n_edges;
}

/* ---- which states are one -------------------------------------------------------------------- */

/* Hopcroft's algorithm (1971), with sets of characters for letters. A partition of the states into
 * blocks is refined until all states of a block lead into each block with the same characters. A
 * block that waits may still tell states apart: those that lead into it are grouped by the
 * characters that do. When a block is cut, one part need not wait, the largest: what leads into it
 * is what led into the whole, less what leads into the others. So a state waits at most log2 n
 * times.
 *
 * Only states with a path to an end take part. The dead ones are the part that never waits. */
typedef struct incoming {
    uint32_t from;
    lull_char_range chars;
} incoming;

/* A state that leads into the block that splits, and the characters that do. */
typedef struct source {
    uint32_t state, block;
    uint32_t n;
    lull_char_range *ranges; /* [n] */
    uint64_t hash;
} source;

typedef struct partition {
    uint32_t *members;     /* the states, block by block */
    uint32_t *place;       /* of a state in members */
    uint32_t *block;       /* of a state */
    uint32_t *first, *end; /* of a block in members */
    uint32_t n_blocks;
    uint32_t *waiting; /* a stack of blocks */
    uint32_t n_waiting;
    bool *is_waiting; /* of a block */
} partition;

typedef struct minimiser {
    lull_arena arena;
    const lull_dfa *d;
    uint32_t *in_start; /* [n_states + 1]: of a state in `in` */
    incoming *in;       /* ordered by where they lead, then whence, then by character */
    bool *is_alive;     /* has a path to an end */
    partition p;
    source *sources;         /* of the block that splits */
    uint32_t *source_of;     /* of a state, 1 + its place in sources; 0: none */
    lull_char_range *ranges; /* what sources point into */
    bool is_failed;
} minimiser;

static void *take(minimiser *m, size_t n, size_t elem_bytes)
{
    void *p = lull_arena_alloc(&m->arena, n * elem_bytes);
    if (!p) m->is_failed = true;
    return p;
}

static bool has_memory(minimiser *m)
{
    size_t n = m->d->n_states, n_edges = m->d->n_edges;
    partition *p = &m->p;
    uint32_t **arrays[] = {&p->members, &p->place,   &p->block,    &p->first,
                           &p->end,     &p->waiting, &m->source_of};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = take(m, n, sizeof **arrays[i]);
    p->is_waiting = take(m, n, sizeof *p->is_waiting);
    m->is_alive = take(m, n, sizeof *m->is_alive);
    m->in_start = take(m, n + 2, sizeof *m->in_start);
    m->in = take(m, n_edges, sizeof *m->in);
    m->sources = take(m, n, sizeof *m->sources);
    m->ranges = take(m, n_edges, sizeof *m->ranges);
    return !m->is_failed;
}

static void index_incoming(minimiser *m)
{
    const lull_dfa *d = m->d;
    uint32_t *next = m->in_start + 1; /* of a state: where its next one goes; at last, their end */
    for (size_t i = 0; i < d->n_edges; i++) next[d->edges[i].to + 1]++;
    for (size_t s = 0; s < d->n_states; s++) next[s + 1] += next[s];
    for (uint32_t s = 0; s < d->n_states; s++)
        for (size_t i = d->edge_start[s]; i < edge_end(d, s); i++)
            m->in[next[d->edges[i].to]++] = (incoming){s, d->edges[i].chars};
}

/* Mark what has a path to an end, and put it into members. */
static uint32_t mark_alive(minimiser *m)
{
    uint32_t n = 0, *found = m->p.members;
    for (uint32_t s = 0; s < m->d->n_states; s++) {
        m->is_alive[s] = m->d->is_final[s];
        if (m->is_alive[s]) found[n++] = s;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = m->in_start[found[i]]; k < m->in_start[found[i] + 1]; k++) {
            uint32_t from = m->in[k].from;
            if (m->is_alive[from]) continue;
            m->is_alive[from] = true;
            found[n++] = from;
        }
    return n;
}

static void wait_for(partition *p, uint32_t block)
{
    if (p->is_waiting[block]) return;
    p->is_waiting[block] = true;
    p->waiting[p->n_waiting++] = block;
}

/* members [first, end) are a new block. */
static uint32_t make_block(partition *p, uint32_t first, uint32_t end)
{
    uint32_t b = p->n_blocks++;
    p->first[b] = first;
    p->end[b] = end;
    for (uint32_t i = first; i < end; i++) {
        p->block[p->members[i]] = b;
        p->place[p->members[i]] = i;
    }
    return b;
}

/* The ends, which mark_alive found first, and the others. */
static void part_ends(minimiser *m, uint32_t n_alive)
{
    uint32_t n_final = 0;
    while (n_final < n_alive && m->d->is_final[m->p.members[n_final]]) n_final++;
    if (n_final) wait_for(&m->p, make_block(&m->p, 0, n_final));
    if (n_final < n_alive) wait_for(&m->p, make_block(&m->p, n_final, n_alive));
}

static int by_range(const void *a, const void *b)
{
    const lull_char_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Bring the ranges of a source into the one form that its set of characters has. */
static void normalise(source *s)
{
    bool is_sorted = true;
    for (uint32_t i = 1; i < s->n && is_sorted; i++)
        is_sorted = s->ranges[i - 1].first < s->ranges[i].first;
    if (!is_sorted) qsort(s->ranges, s->n, sizeof *s->ranges, by_range);
    lull_char_range *to = s->ranges;
    for (uint32_t i = 1; i < s->n; i++) {
        if (s->ranges[i].first == to->last + 1)
            to->last = s->ranges[i].last;
        else
            *++to = s->ranges[i];
    }
    s->n = (uint32_t)(to - s->ranges) + 1;
    s->hash = s->n;
    for (uint32_t i = 0; i < s->n; i++) {
        uint64_t chars = (uint64_t)s->ranges[i].first << 32 | s->ranges[i].last;
        s->hash = (s->hash ^ chars) * 0x9e3779b97f4a7c15u;
        s->hash ^= s->hash >> 29;
    }
}

static int by_chars(const source *x, const source *y)
{
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return memcmp(x->ranges, y->ranges, x->n * sizeof *x->ranges);
}

static int by_block(const void *a, const void *b)
{
    const source *x = a, *y = b;
    if (x->block != y->block) return x->block < y->block ? -1 : 1;
    return by_chars(x, y);
}

static uint32_t find_sources(minimiser *m, uint32_t block)
{
    const partition *p = &m->p;
    uint32_t n = 0;
    for (uint32_t i = p->first[block]; i < p->end[block]; i++)
        for (uint32_t k = m->in_start[p->members[i]]; k < m->in_start[p->members[i] + 1]; k++) {
            uint32_t from = m->in[k].from;
            if (!m->source_of[from]) {
                m->sources[n++] = (source){.state = from, .block = p->block[from]};
                m->source_of[from] = n;
            }
            m->sources[m->source_of[from] - 1].n++;
        }
    lull_char_range *at = m->ranges;
    for (uint32_t i = 0; i < n; i++) {
        m->sources[i].ranges = at;
        at += m->sources[i].n;
        m->sources[i].n = 0;
    }
    for (uint32_t i = p->first[block]; i < p->end[block]; i++)
        for (uint32_t k = m->in_start[p->members[i]]; k < m->in_start[p->members[i] + 1]; k++) {
            source *s = &m->sources[m->source_of[m->in[k].from] - 1];
            s->ranges[s->n++] = m->in[k].chars;
        }
    for (uint32_t i = 0; i < n; i++) {
        m->source_of[m->sources[i].state] = 0;
        normalise(&m->sources[i]);
    }
    qsort(m->sources, n, sizeof *m->sources, by_block);
    return n;
}

static uint32_t group_end(const source *s, uint32_t at, uint32_t n)
{
    uint32_t end = at + 1;
    while (end < n && by_chars(&s[at], &s[end]) == 0) end++;
    return end;
}

/* Cut block b by its sources s [n], which are in order. */
static void cut(partition *p, uint32_t b, const source *s, uint32_t n)
{
    uint32_t n_rest = p->end[b] - p->first[b] - n; /* lead elsewhere, all of them */
    uint32_t largest = 0, n_largest = 0;           /* the largest group begins there */
    for (uint32_t i = 0, end; i < n; i = end) {
        end = group_end(s, i, n);
        if (end - i <= n_largest) continue;
        largest = i;
        n_largest = end - i;
    }
    if (n_largest == n && n_rest == 0) return;
    /* The block keeps its rest or, without one, its largest group. */
    bool is_rest_largest = n_rest >= n_largest, was_waiting = p->is_waiting[b];
    for (uint32_t i = 0, end; i < n; i = end) {
        end = group_end(s, i, n);
        if (n_rest == 0 && i == largest) continue;
        uint32_t old_end = p->end[b];
        for (uint32_t k = i; k < end; k++) {
            uint32_t last = --p->end[b], place = p->place[s[k].state];
            uint32_t other = p->members[last];
            p->members[place] = other;
            p->place[other] = place;
            p->members[last] = s[k].state;
            p->place[s[k].state] = last;
        }
        uint32_t made = make_block(p, p->end[b], old_end);
        if (was_waiting || n_rest == 0 || is_rest_largest || i != largest) wait_for(p, made);
    }
    if (n_rest > 0 && !is_rest_largest) wait_for(p, b);
}

static void refine(minimiser *m)
{
    partition *p = &m->p;
    while (p->n_waiting > 0) {
        uint32_t splitter = p->waiting[--p->n_waiting];
        p->is_waiting[splitter] = false;
        uint32_t n = find_sources(m, splitter);
        for (uint32_t i = 0, end; i < n; i = end) {
            for (end = i + 1; end < n && m->sources[end].block == m->sources[i].block;) end++;
            cut(p, m->sources[i].block, m->sources + i, end - i);
        }
    }
}

/* ---- what comes out -------------------------------------------------------------------------- */

static lull_regular *regular_new(size_t n_states, size_t n_edges)
{
    lull_regular *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->n_states = n_states;
    r->edge_start = calloc(n_states + 1, sizeof *r->edge_start);
    r->edges = calloc(n_edges ? n_edges : 1, sizeof *r->edges);
    r->is_final = calloc(n_states, sizeof *r->is_final);
    if (r->edge_start && r->edges && r->is_final) return r;
    lull_regular_free(r);
    return NULL;
}

/* Number the blocks by breadth from that of state 0, and write them down. */
static lull_regular *write_blocks(minimiser *m)
{
    const lull_dfa *d = m->d;
    const partition *p = &m->p;
    size_t n_edges = 0;
    for (uint32_t b = 0; b < p->n_blocks; b++)
        n_edges += edge_end(d, p->members[p->first[b]]) - d->edge_start[p->members[p->first[b]]];
    lull_regular *r = regular_new(p->n_blocks, n_edges);
    uint32_t *number = take(m, p->n_blocks, sizeof *number); /* of a block, 1 + its state */
    uint32_t *order = take(m, p->n_blocks, sizeof *order);   /* blocks by their number */
    if (!r || m->is_failed) {
        lull_regular_free(r);
        return NULL;
    }
    uint32_t n = 0;
    lull_regular_edge *to = r->edges;
    order[n++] = p->block[0];
    number[p->block[0]] = n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t state = p->members[p->first[order[i]]];
        r->is_final[i] = d->is_final[state];
        r->edge_start[i] = (uint32_t)(to - r->edges);
        for (size_t k = d->edge_start[state]; k < edge_end(d, state); k++) {
            const lull_regular_edge *e = &d->edges[k];
            if (!m->is_alive[e->to]) continue;
            uint32_t block = p->block[e->to];
            if (!number[block]) {
                order[n++] = block;
                number[block] = n;
            }
            lull_char_range chars = {lull_scalar_code(e->chars.first),
                                     lull_scalar_code(e->chars.last)};
            lull_regular_edge *before = to > r->edges + r->edge_start[i] ? to - 1 : NULL;
            if (before && before->to == number[block] - 1 &&
                lull_scalar_of(before->chars.last) + 1 == e->chars.first)
                before->chars.last = chars.last;
            else
                *to++ = (lull_regular_edge){chars, number[block] - 1};
        }
    }
    r->edge_start[n] = (uint32_t)(to - r->edges);
    r->n_states = n; /* fewer than the blocks, where no text leads to some */
    return r;
}

lull_status lull_dfa_finish(lull_dfa *d, lull_regular **out, lull_error *err)
{
    *out = NULL;
    minimiser m = {.d = d};
    lull_status st = d->status;
    if (!st && !has_memory(&m)) st = LULL_ENOMEM;
    if (!st) {
        index_incoming(&m);
        uint32_t n_alive = mark_alive(&m);
        if (m.is_alive[0]) {
            part_ends(&m, n_alive);
            refine(&m);
            *out = write_blocks(&m);
        } else {
            *out = regular_new(1, 0);
        }
        if (!*out) st = LULL_ENOMEM;
    }
    if (!st && (*out)->n_states > LULL_REGULAR_MAX_STATES) {
        lull_regular_free(*out);
        *out = NULL;
        st = LULL_EFULL;
    }
    lull_arena_fini(&m.arena);
    lull_dfa_fini(d);
    if (st == LULL_EFULL)
        lull_fail(err, st,
                  "more than %d states or %d edges are needed: ask for less, or for smaller counts",
                  LULL_REGULAR_MAX_STATES, LULL_DFA_MAX_EDGES);
    else if (st)
        lull_fail(err, st, "out of memory");
    return st;
}
