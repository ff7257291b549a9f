/* From expressions to points (Thompson 1968): each expression is compiled before a point that comes next,
 * so that the graph is made from its end. What is used in many places is compiled once, as a rule that is
 * called. Characters become the bytes of their UTF-8. */
#include "grammar_program.h"

#include <stdlib.h>
#include <string.h>

#include "grammar_node.h"

enum {
    NONE = UINT32_MAX,
    MAX_POINTS = 8 * 1024 * 1024,
    MAX_DEPTH = 2000, /* of expressions in expressions, between rules */
    UNROLLED = 8      /* loops of at most so many rounds of one byte cost no frames */
};

/* Points that take one range of bytes and go on: continuation bytes, mostly, which many share. */
typedef struct tail_slot {
    uint8_t first, last;
    uint32_t to, point; /* point NONE: an empty slot */
} tail_slot;

typedef struct compiler {
    const lull_grammar *g;
    lull_grammar_program *p;
    uint32_t *rule_points; /* [n_nodes] where an expression that is called begins; NONE: not yet */
    lull_expr *waiting;    /* [n_nodes] called, and not compiled */
    size_t n_waiting;
    uint32_t return_point;
    tail_slot *tails; /* [n_tail_slots], a power of two */
    size_t n_tail_slots, n_tails;
    lull_edge *draft; /* the edges of the point that is being made */
    size_t n_draft, draft_cap;
    int depth;
    lull_status failure;
} compiler;

static bool reserve(compiler *c, void *table, uint32_t *cap, uint32_t n_used, size_t n,
                    size_t entry_bytes)
{
    return lull_grammar_reserve(&c->failure, MAX_POINTS, table, cap, n_used, n, entry_bytes);
}

static uint32_t add_point(compiler *c, lull_point point)
{
    lull_grammar_program *p = c->p;
    if (!reserve(c, &p->points, &p->points_cap, p->n_points, 1, sizeof *p->points)) return 0;
    p->points[p->n_points] = point;
    return p->n_points++;
}

static uint32_t add_targets(compiler *c, const uint32_t *targets, size_t n)
{
    lull_grammar_program *p = c->p;
    if (!reserve(c, &p->targets, &p->targets_cap, p->n_targets, n, sizeof *targets)) return 0;
    uint32_t first = p->n_targets;
    for (size_t i = 0; i < n; i++) p->targets[p->n_targets++] = targets[i];
    return first;
}

/* ---- bytes and characters ---------------------------------------------------------------------- */

static void draft_edge(compiler *c, uint8_t first, uint8_t last, uint32_t to)
{
    if (c->n_draft == c->draft_cap) {
        size_t cap = c->draft_cap * 2 + 64;
        lull_edge *p = realloc(c->draft, cap * sizeof *p);
        if (!p) {
            c->failure = LULL_ENOMEM;
            return;
        }
        c->draft = p;
        c->draft_cap = cap;
    }
    c->draft[c->n_draft++] = (lull_edge){first, last, to};
}

/* A point of the edges drafted since `from`, which are taken out of the draft. */
static uint32_t take_draft(compiler *c, size_t from)
{
    lull_grammar_program *p = c->p;
    size_t n = c->failure == LULL_OK ? c->n_draft - from : 0;
    if (!reserve(c, &p->edges, &p->edges_cap, p->n_edges, n, sizeof *p->edges)) return 0;
    uint32_t first = p->n_edges;
    if (n > 0) memcpy(p->edges + first, c->draft + from, n * sizeof *p->edges);
    p->n_edges += (uint32_t)n;
    c->n_draft = from;
    return add_point(c, (lull_point){.kind = LULL_POINT_TAKE, .first = first, .n = (uint32_t)n});
}

static uint32_t one_edge(compiler *c, uint8_t first, uint8_t last, uint32_t to)
{
    size_t from = c->n_draft;
    draft_edge(c, first, last, to);
    return take_draft(c, from);
}

static size_t tail_hash(uint8_t first, uint8_t last, uint32_t to)
{
    uint64_t h = (uint64_t)to << 16 | (uint64_t)first << 8 | last;
    return (size_t)((h * 0x9E3779B97F4A7C15u) >> 20);
}

static bool grow_tails(compiler *c)
{
    size_t n = c->n_tail_slots ? c->n_tail_slots * 2 : 256;
    tail_slot *slots = malloc(n * sizeof *slots);
    if (!slots) {
        c->failure = LULL_ENOMEM;
        return false;
    }
    for (size_t i = 0; i < n; i++) slots[i].point = NONE;
    for (size_t i = 0; i < c->n_tail_slots; i++) {
        tail_slot *old = &c->tails[i];
        if (old->point == NONE) continue;
        size_t at = tail_hash(old->first, old->last, old->to) & (n - 1);
        while (slots[at].point != NONE) at = (at + 1) & (n - 1);
        slots[at] = *old;
    }
    free(c->tails);
    c->tails = slots;
    c->n_tail_slots = n;
    return true;
}

/* The point that takes [first, last] and goes to `to`: the same one whenever it is asked for. */
static uint32_t shared_edge(compiler *c, uint8_t first, uint8_t last, uint32_t to)
{
    if (c->failure != LULL_OK) return 0;
    if (2 * c->n_tails >= c->n_tail_slots && !grow_tails(c)) return 0;
    size_t at = tail_hash(first, last, to) & (c->n_tail_slots - 1);
    for (; c->tails[at].point != NONE; at = (at + 1) & (c->n_tail_slots - 1)) {
        const tail_slot *s = &c->tails[at];
        if (s->first == first && s->last == last && s->to == to) return s->point;
    }
    uint32_t point = one_edge(c, first, last, to);
    if (c->failure != LULL_OK) return 0;
    c->tails[at] = (tail_slot){first, last, to, point};
    c->n_tails++;
    return point;
}

/* What follows a lead byte whose continuation bytes [n], in steps of 64, go from those of `first` to those
 * of `last`; both agree but where they are free. */
static uint32_t continuation(compiler *c, uint32_t first, uint32_t last, int n, uint32_t to)
{
    for (int i = 0; i < n; i++) {
        to = shared_edge(c, (uint8_t)(0x80 | (first & 0x3F)), (uint8_t)(0x80 | (last & 0x3F)), to);
        first >>= 6;
        last >>= 6;
    }
    return to;
}

/* Characters [first, last] of UTF-8 with n continuation bytes: cut where a continuation byte does not run
 * through all its values, so that each piece is a product of ranges. */
static void draft_sequences(compiler *c, uint32_t first, uint32_t last, int n, uint32_t to)
{
    static const uint8_t leads[] = {0x00, 0xC0, 0xE0, 0xF0};
    for (int i = 1; i <= n; i++) {
        uint32_t low = (1u << (6 * i)) - 1; /* the bits of the last i bytes */
        if ((first & ~low) == (last & ~low)) continue;
        if ((first & low) != 0) {
            draft_sequences(c, first, first | low, n, to);
            draft_sequences(c, (first | low) + 1, last, n, to);
            return;
        }
        if ((last & low) != low) {
            draft_sequences(c, first, (last & ~low) - 1, n, to);
            draft_sequences(c, last & ~low, last, n, to);
            return;
        }
    }
    draft_edge(c, (uint8_t)(leads[n] | first >> (6 * n)), (uint8_t)(leads[n] | last >> (6 * n)),
               continuation(c, first, last, n, to));
}

/* Edges for the characters [first, last], without surrogates. */
static void draft_chars(compiler *c, uint32_t first, uint32_t last, uint32_t to)
{
    static const uint32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xFFFF, 0x10FFFF};
    static const int n_continuation[] = {0, 1, 2, 2, 3};
    for (size_t i = 0; i < 5; i++) {
        uint32_t low = i == 0 ? 0 : i == 3 ? 0xE000 : ends[i - 1] + 1;
        uint32_t from = first > low ? first : low, end = last < ends[i] ? last : ends[i];
        if (from <= end) draft_sequences(c, from, end, n_continuation[i], to);
    }
}

/* What may come behind a backslash: the escapes of the characters below 32, of the quote and of the
 * backslash itself, as far as they are in [first, last]. */
typedef struct escapes {
    uint32_t to[32], quote, backslash; /* NONE: not in the language */
    bool is_any;
} escapes;

static void note_escapes(escapes *e, uint32_t first, uint32_t last, uint32_t to)
{
    for (uint32_t ch = first; ch <= last && ch < 32; ch++) e->to[ch] = to;
    if (first <= '"' && '"' <= last) e->quote = to;
    if (first <= '\\' && '\\' <= last) e->backslash = to;
    e->is_any |= first < 32 || e->quote != NONE || e->backslash != NONE;
}

static void draft_escapes(compiler *c, const escapes *e)
{
    static const char names[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (!e->is_any) return;
    uint32_t rows[2] = {NONE, NONE}; /* \u000x, \u001x */
    for (uint32_t row = 0; row < 2; row++) {
        size_t from = c->n_draft;
        for (uint32_t i = 0; i < 16; i++) {
            uint32_t ch = row * 16 + i;
            if (e->to[ch] != NONE && !names[ch])
                draft_edge(c, (uint8_t) "0123456789abcdef"[i], (uint8_t) "0123456789abcdef"[i],
                           e -> to[ch]);
        }
        if (c->n_draft > from) rows[row] = take_draft(c, from);
    }
    size_t from = c->n_draft;
    for (uint32_t row = 0; row < 2; row++)
        if (rows[row] != NONE) draft_edge(c, (uint8_t)('0' + row), (uint8_t)('0' + row), rows[row]);
    uint32_t unicode = NONE;
    if (c->n_draft > from) {
        unicode = take_draft(c, from);
        unicode = one_edge(c, '0', '0', one_edge(c, '0', '0', unicode));
    }
    if (e->quote != NONE) draft_edge(c, '"', '"', e->quote);
    if (e->backslash != NONE) draft_edge(c, '\\', '\\', e->backslash);
    for (uint32_t ch = 0; ch < 32; ch++)
        if (e->to[ch] != NONE && names[ch])
            draft_edge(c, (uint8_t)names[ch], (uint8_t)names[ch], e->to[ch]);
    if (unicode != NONE) draft_edge(c, 'u', 'u', unicode);
    uint32_t behind = take_draft(c, from);
    draft_edge(c, '\\', '\\', behind);
}

/* The same as they stand in a JSON string. */
static void draft_json_chars(compiler *c, uint32_t first, uint32_t last, uint32_t to, escapes *e)
{
    static const lull_char_range plain[] = {{32, '!'}, {'#', '['}, {']', 0x10FFFF}};
    note_escapes(e, first, last, to);
    for (size_t i = 0; i < 3; i++) {
        uint32_t from = first > plain[i].first ? first : plain[i].first;
        uint32_t end = last < plain[i].last ? last : plain[i].last;
        if (from <= end) draft_chars(c, from, end, to);
    }
}

/* ---- expressions ------------------------------------------------------------------------------- */

static uint32_t compile(compiler *c, lull_expr e, uint32_t next);

/* Compiled once and called: a rule, or what is used in several places and more than a few points. */
static bool is_called(const lull_grammar *g, lull_expr e)
{
    const lull_node *node = &g->nodes[e];
    if (node->kind == LULL_NODE_RULE) return true;
    if (node->n_uses <= 1) return false;
    return node->kind == LULL_NODE_LITERAL
               ? node->n > 4
               : node->kind != LULL_NODE_EMPTY && node->kind != LULL_NODE_CHARS;
}

static uint32_t call(compiler *c, lull_expr e, uint32_t next)
{
    if (c->rule_points[e] == NONE) {
        /* A place for it: what it is comes when it is its turn. */
        c->rule_points[e] = add_point(c, (lull_point){.kind = LULL_POINT_SPLIT});
        c->waiting[c->n_waiting++] = e;
    }
    uint32_t target = c->rule_points[e];
    if (next == c->return_point) return target; /* nothing is left to do here: no frame */
    return add_point(c, (lull_point){.kind = LULL_POINT_CALL, .first = target, .next = next});
}

static uint32_t compile_choice(compiler *c, const lull_node *node, uint32_t next)
{
    const lull_grammar *g = c->g;
    uint32_t *targets = malloc((node->n + 1) * sizeof *targets);
    uint32_t n = 0;
    if (!targets) {
        c->failure = LULL_ENOMEM;
        return 0;
    }
    for (uint32_t i = 0; i < node->n; i++) {
        lull_expr part = g->parts[node->first + i];
        if (g->nodes[part].is_possible) targets[n++] = compile(c, part, next);
    }
    uint32_t first = add_targets(c, targets, n);
    free(targets);
    return add_point(c, (lull_point){.kind = LULL_POINT_SPLIT, .first = first, .n = n});
}

static bool is_one_byte(const lull_grammar *g, lull_expr e)
{
    const lull_node *node = &g->nodes[e];
    if (node->kind == LULL_NODE_LITERAL) return node->n == 1;
    return node->kind == LULL_NODE_CHARS && node->n == 1 && g->ranges[node->first].last < 128;
}

static uint32_t split(compiler *c, uint32_t a, uint32_t b)
{
    uint32_t first = add_targets(c, (uint32_t[]){a, b}, 2);
    return add_point(c, (lull_point){.kind = LULL_POINT_SPLIT, .first = first, .n = 2});
}

/* body any number of times. */
static uint32_t compile_star(compiler *c, lull_expr body, uint32_t next)
{
    uint32_t head = split(c, next, next);
    uint32_t round = compile(c, body, head);
    if (c->failure != LULL_OK) return 0;
    c->p->targets[c->p->points[head].first] = round;
    return head;
}

static uint32_t compile_repeat(compiler *c, const lull_node *node, uint32_t next)
{
    uint32_t min = node->min, max = node->max;
    bool is_endless = max == LULL_UNBOUNDED;
    if (!c->g->nodes[node->body].is_possible) return next; /* min is 0, or it were impossible */
    if (min <= 1 && is_endless) {
        uint32_t head = compile_star(c, node->body, next);
        return min == 0 ? head : compile(c, node->body, head);
    }
    if (max == 1) return split(c, compile(c, node->body, next), next);
    if (!is_endless && max <= UNROLLED && is_one_byte(c->g, node->body)) {
        for (uint32_t i = 0; i < max - min; i++) {
            uint32_t round = compile(c, node->body, next);
            next = split(c, round, next);
        }
        for (uint32_t i = 0; i < min; i++) next = compile(c, node->body, next);
        return next;
    }
    uint32_t head = add_point(
        c, (lull_point){
               .kind = LULL_POINT_ROUND, .next = next, .min = min, .max = is_endless ? NONE : max});
    uint32_t round = compile(c, node->body, head);
    if (c->failure != LULL_OK) return 0;
    c->p->points[head].first = round;
    return add_point(c, (lull_point){.kind = LULL_POINT_PUSH, .first = head, .n = 1});
}

static uint32_t compile_members(compiler *c, const lull_node *node, uint32_t next)
{
    const lull_grammar *g = c->g;
    lull_grammar_program *p = c->p;
    uint32_t n_words = node->n <= 64 ? 1 : (node->n + 63) / 64;
    lull_member_set set = {.n = node->n,
                           .n_words = n_words,
                           .min = node->min,
                           .max = node->max == LULL_UNBOUNDED ? NONE : node->max,
                           .others = NONE,
                           .separator = NONE,
                           .first_word = p->n_words};
    uint32_t *targets = malloc((node->n + 1) * sizeof *targets);
    if (!targets) c->failure = LULL_ENOMEM;
    if (!targets || !reserve(c, &p->words, &p->words_cap, p->n_words, n_words, sizeof *p->words) ||
        !reserve(c, &p->sets, &p->sets_cap, p->n_sets, 1, sizeof *p->sets)) {
        free(targets);
        return 0;
    }
    memset(p->words + p->n_words, 0, n_words * sizeof *p->words);
    p->n_words += n_words;
    uint32_t index = p->n_sets++;
    uint32_t head =
        add_point(c, (lull_point){.kind = LULL_POINT_MEMBERS, .first = index, .next = next});
    uint32_t behind = add_point(c, (lull_point){.kind = LULL_POINT_MEMBER, .first = index});
    for (uint32_t i = 0; i < node->n; i++) {
        lull_expr part = g->parts[node->first + i];
        targets[i] = g->nodes[part].is_possible ? compile(c, part, head) : NONE;
        if (!g->is_required[node->first + i]) continue;
        p->words[set.first_word + i / 64] |= (uint64_t)1 << (i % 64);
        set.n_required++;
    }
    if (g->nodes[node->body].is_possible) set.others = compile(c, node->body, head);
    if (g->nodes[node->separator].is_possible) set.separator = compile(c, node->separator, behind);
    set.first_target = add_targets(c, targets, node->n);
    free(targets);
    if (c->failure != LULL_OK) return 0;
    p->sets[index] = set;
    return add_point(c, (lull_point){.kind = LULL_POINT_PUSH, .first = head, .n = n_words});
}

/* The points of a language's states are its own for each use, since each goes on elsewhere. */
static uint32_t compile_language(compiler *c, const lull_node *node, uint32_t next)
{
    const lull_grammar *g = c->g;
    const lull_language_state *states = g->states + node->first;
    /* Point of state i: a split that its edges, and `next` where the text may end, are put behind. */
    uint32_t base = c->p->n_points;
    for (uint32_t i = 0; i < node->n; i++) add_point(c, (lull_point){.kind = LULL_POINT_SPLIT});
    uint32_t start = base;
    for (uint32_t i = 0; i < node->n && c->failure == LULL_OK; i++) {
        size_t from = c->n_draft;
        escapes e = {.quote = NONE, .backslash = NONE};
        for (int k = 0; k < 32; k++) e.to[k] = NONE;
        for (uint32_t k = 0; k < states[i].n_edges; k++) {
            const lull_regular_edge *edge = &g->edges[states[i].first_edge + k];
            if (node->is_json)
                draft_json_chars(c, edge->chars.first, edge->chars.last, base + edge->to, &e);
            else
                draft_chars(c, edge->chars.first, edge->chars.last, base + edge->to);
        }
        draft_escapes(c, &e);
        uint32_t targets[2] = {take_draft(c, from), next};
        uint32_t first = add_targets(c, targets, 2);
        if (c->failure != LULL_OK) break;
        c->p->points[base + i].first = first;
        c->p->points[base + i].n = states[i].is_final ? 2 : 1;
        if (i == 0 && node->is_not_empty && states[0].is_final)
            start = add_point(c, (lull_point){.kind = LULL_POINT_SPLIT, .first = first, .n = 1});
    }
    return start;
}

static uint32_t compile_body(compiler *c, lull_expr e, uint32_t next)
{
    const lull_grammar *g = c->g;
    const lull_node *node = &g->nodes[e];
    switch ((lull_node_kind)node->kind) {
    case LULL_NODE_EMPTY: return next;
    case LULL_NODE_LITERAL:
        for (uint32_t i = node->n; i-- > 0;) {
            uint8_t byte = (uint8_t)g->bytes[node->first + i];
            next = one_edge(c, byte, byte, next);
        }
        return next;
    case LULL_NODE_CHARS: {
        size_t from = c->n_draft;
        for (uint32_t i = 0; i < node->n; i++) {
            lull_char_range r = g->ranges[node->first + i];
            draft_chars(c, r.first, r.last, next);
        }
        return take_draft(c, from);
    }
    case LULL_NODE_SEQUENCE:
        for (uint32_t i = node->n; i-- > 0;) next = compile(c, g->parts[node->first + i], next);
        return next;
    case LULL_NODE_CHOICE: return compile_choice(c, node, next);
    case LULL_NODE_REPEAT: return compile_repeat(c, node, next);
    case LULL_NODE_RULE: return compile(c, node->body, next);
    case LULL_NODE_LANGUAGE: return compile_language(c, node, next);
    case LULL_NODE_MEMBERS: return compile_members(c, node, next);
    case LULL_NODE_NEVER: break;
    }
    return add_point(c, (lull_point){.kind = LULL_POINT_SPLIT}); /* leads nowhere */
}

/* Where `e`, followed by `next`, begins. */
static uint32_t compile(compiler *c, lull_expr e, uint32_t next)
{
    if (c->failure != LULL_OK) return 0;
    if (is_called(c->g, e)) return call(c, e, next);
    if (c->depth >= MAX_DEPTH) {
        c->failure = LULL_EFULL;
        return 0;
    }
    c->depth++;
    uint32_t point = compile_body(c, e, next);
    c->depth--;
    return point;
}

lull_status lull_grammar_compile(const lull_grammar *g, lull_grammar_program *out, lull_error *err)
{
    *out = (lull_grammar_program){0};
    compiler c = {.g = g, .p = out};
    c.rule_points = malloc(g->n_nodes * sizeof *c.rule_points);
    c.waiting = malloc(g->n_nodes * sizeof *c.waiting);
    if (!c.rule_points || !c.waiting) c.failure = LULL_ENOMEM;
    for (uint32_t i = 0; c.rule_points && i < g->n_nodes; i++) c.rule_points[i] = NONE;
    c.return_point = add_point(&c, (lull_point){.kind = LULL_POINT_RETURN});
    uint32_t end = add_point(&c, (lull_point){.kind = LULL_POINT_END});
    out->start = compile(&c, g->start, end);
    while (c.n_waiting > 0 && c.failure == LULL_OK) {
        lull_expr e = c.waiting[--c.n_waiting];
        uint32_t body = g->nodes[e].is_possible ? compile_body(&c, e, c.return_point) : NONE;
        uint32_t first = body == NONE ? 0 : add_targets(&c, &body, 1);
        if (c.failure != LULL_OK) break;
        out->points[c.rule_points[e]].first = first;
        out->points[c.rule_points[e]].n = body == NONE ? 0 : 1;
    }
    free(c.rule_points);
    free(c.waiting);
    free(c.tails);
    free(c.draft);
    if (c.failure == LULL_OK) return LULL_OK;
    lull_grammar_program_fini(out);
    if (c.failure == LULL_ENOMEM) return lull_fail(err, LULL_ENOMEM, "no memory for a grammar");
    return lull_fail(err, LULL_EFULL, "the grammar is too large, or nested too deeply");
}

void lull_grammar_program_fini(lull_grammar_program *p)
{
    free(p->points);
    free(p->edges);
    free(p->targets);
    free(p->sets);
    free(p->words);
    *p = (lull_grammar_program){0};
}
