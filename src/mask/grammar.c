/* Building a grammar: tables that grow, and at the end what must be known of every expression. Failures
 * while it is built are kept until lull_grammar_finish. */
#include "grammar.h"

#include <stdlib.h>
#include <string.h>

#include "grammar_node.h"

/* More than any grammar that a person or a compiler of schemas writes; a bound on memory. */
enum { MAX_ENTRIES = 4 * 1024 * 1024, NONE = UINT32_MAX };

lull_grammar *lull_grammar_new(void)
{
    return calloc(1, sizeof(lull_grammar));
}

void lull_grammar_free(lull_grammar *g)
{
    if (!g) return;
    free(g->nodes);
    free(g->parts);
    free(g->is_required);
    free(g->bytes);
    free(g->ranges);
    free(g->states);
    free(g->edges);
    free(g);
}

bool lull_grammar_reserve(lull_status *failure, uint32_t max, void *table, uint32_t *cap,
                          uint32_t n_used, size_t n, size_t entry_bytes)
{
    if (*failure != LULL_OK) return false;
    if (n > max || n_used + n > max) {
        *failure = LULL_EFULL;
        return false;
    }
    uint32_t need = n_used + (uint32_t)n;
    if (need <= *cap) return true;
    uint32_t grown = *cap * 2 > need ? *cap * 2 : need + 64;
    void *p = realloc(*(void **)table, grown * entry_bytes);
    if (!p) {
        *failure = LULL_ENOMEM;
        return false;
    }
    *(void **)table = p;
    *cap = grown;
    return true;
}

static bool reserve(lull_grammar *g, void *table, uint32_t *cap, uint32_t n_used, size_t n,
                    size_t entry_bytes)
{
    return lull_grammar_reserve(&g->failure, MAX_ENTRIES, table, cap, n_used, n, entry_bytes);
}

/* The new expression; 0 after a failure, which is as good as any. */
static lull_expr add_node(lull_grammar *g, lull_node node)
{
    if (!reserve(g, &g->nodes, &g->nodes_cap, g->n_nodes, 1, sizeof *g->nodes)) return 0;
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

lull_expr lull_expr_empty(lull_grammar *g)
{
    return add_node(g, (lull_node){.kind = LULL_NODE_EMPTY});
}

lull_expr lull_expr_never(lull_grammar *g)
{
    return add_node(g, (lull_node){.kind = LULL_NODE_NEVER});
}

lull_expr lull_expr_literal(lull_grammar *g, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0) return lull_expr_empty(g);
    if (!reserve(g, &g->bytes, &g->bytes_cap, g->n_bytes, n_bytes, 1)) return 0;
    lull_node node = {.kind = LULL_NODE_LITERAL, .first = g->n_bytes, .n = (uint32_t)n_bytes};
    memcpy(g->bytes + g->n_bytes, bytes, n_bytes);
    g->n_bytes += (uint32_t)n_bytes;
    return add_node(g, node);
}

lull_expr lull_expr_chars(lull_grammar *g, const lull_char_range *ranges, size_t n)
{
    if (!reserve(g, &g->ranges, &g->ranges_cap, g->n_ranges, 2 * n, sizeof *g->ranges)) return 0;
    lull_node node = {.kind = LULL_NODE_CHARS, .first = g->n_ranges};
    for (size_t i = 0; i < n; i++) {
        uint32_t first = ranges[i].first,
                 last = ranges[i].last < 0x10FFFF ? ranges[i].last : 0x10FFFF;
        lull_char_range below = {first, last < 0xD7FF ? last : 0xD7FF};
        lull_char_range above = {first > 0xE000 ? first : 0xE000, last};
        if (below.first <= below.last) g->ranges[g->n_ranges++] = below;
        if (above.first <= above.last) g->ranges[g->n_ranges++] = above;
    }
    node.n = g->n_ranges - node.first;
    return node.n > 0 ? add_node(g, node) : lull_expr_never(g);
}

/* parts [n], copied into the table. */
static lull_expr add_parts(lull_grammar *g, lull_node_kind kind, const lull_expr *parts, size_t n)
{
    if (!reserve(g, &g->parts, &g->parts_cap, g->n_parts, n, sizeof *g->parts)) return 0;
    lull_node node = {.kind = (uint8_t)kind, .first = g->n_parts, .n = (uint32_t)n};
    memcpy(g->parts + g->n_parts, parts, n * sizeof *parts);
    g->n_parts += (uint32_t)n;
    return add_node(g, node);
}

lull_expr lull_expr_sequence(lull_grammar *g, const lull_expr *parts, size_t n)
{
    if (n == 0) return lull_expr_empty(g);
    return n == 1 ? parts[0] : add_parts(g, LULL_NODE_SEQUENCE, parts, n);
}

lull_expr lull_expr_choice(lull_grammar *g, const lull_expr *options, size_t n)
{
    if (n == 0) return lull_expr_never(g);
    return n == 1 ? options[0] : add_parts(g, LULL_NODE_CHOICE, options, n);
}

lull_expr lull_expr_repeat(lull_grammar *g, lull_expr body, uint32_t min, uint32_t max)
{
    if (min > max) return lull_expr_never(g);
    if (max == 0) return lull_expr_empty(g);
    if (min == 1 && max == 1) return body;
    return add_node(g, (lull_node){.kind = LULL_NODE_REPEAT, .body = body, .min = min, .max = max});
}

lull_expr lull_expr_rule(lull_grammar *g)
{
    return add_node(g, (lull_node){.kind = LULL_NODE_RULE, .body = NONE});
}

void lull_expr_define(lull_grammar *g, lull_expr rule, lull_expr body)
{
    if (g->failure == LULL_OK) g->nodes[rule].body = body;
}

lull_expr lull_expr_language(lull_grammar *g, const lull_regular *language, bool as_json)
{
    size_t n = lull_regular_n_states(language);
    if (n == 0 || lull_regular_is_empty(language)) return lull_expr_never(g);
    if (!reserve(g, &g->states, &g->states_cap, g->n_states, n, sizeof *g->states)) return 0;
    lull_node node = {
        .kind = LULL_NODE_LANGUAGE, .first = g->n_states, .n = (uint32_t)n, .is_json = as_json};
    for (size_t i = 0; i < n; i++) {
        size_t n_edges;
        const lull_regular_edge *edges = lull_regular_edges(language, i, &n_edges);
        if (!reserve(g, &g->edges, &g->edges_cap, g->n_edges, n_edges, sizeof *g->edges)) return 0;
        if (n_edges > 0) memcpy(g->edges + g->n_edges, edges, n_edges * sizeof *edges);
        g->states[g->n_states++] =
            (lull_language_state){.first_edge = g->n_edges,
                                  .n_edges = (uint32_t)n_edges,
                                  .is_final = lull_regular_is_final(language, i)};
        g->n_edges += (uint32_t)n_edges;
    }
    return add_node(g, node);
}

lull_expr lull_expr_members(lull_grammar *g, const lull_member *members, size_t n, lull_expr others,
                            lull_expr separator, uint32_t min, uint32_t max)
{
    if (!reserve(g, &g->parts, &g->parts_cap, g->n_parts, n, sizeof *g->parts) ||
        !reserve(g, &g->is_required, &g->required_cap, g->n_parts, n, sizeof *g->is_required))
        return 0;
    lull_node node = {.kind = LULL_NODE_MEMBERS,
                      .first = g->n_parts,
                      .n = (uint32_t)n,
                      .min = min,
                      .max = max,
                      .body = others,
                      .separator = separator};
    for (size_t i = 0; i < n; i++) {
        g->parts[g->n_parts] = members[i].text;
        g->is_required[g->n_parts++] = members[i].is_required;
    }
    return add_node(g, node);
}

/* ---- what is known of an expression ----------------------------------------------------------- */

/* Whether it can match, and match the empty text, as far as that is known of its parts. */
static bool is_possible(const lull_grammar *g, const lull_node *node)
{
    const lull_expr *parts = g->parts + node->first;
    switch ((lull_node_kind)node->kind) {
    case LULL_NODE_NEVER: return false;
    case LULL_NODE_SEQUENCE:
        for (uint32_t i = 0; i < node->n; i++)
            if (!g->nodes[parts[i]].is_possible) return false;
        return true;
    case LULL_NODE_CHOICE:
        for (uint32_t i = 0; i < node->n; i++)
            if (g->nodes[parts[i]].is_possible) return true;
        return false;
    case LULL_NODE_REPEAT: return node->min == 0 || g->nodes[node->body].is_possible;
    case LULL_NODE_RULE: return g->nodes[node->body].is_possible;
    case LULL_NODE_MEMBERS: {
        uint32_t n_required = 0, n_possible = 0;
        for (uint32_t i = 0; i < node->n; i++) {
            bool can = g->nodes[parts[i]].is_possible, must = g->is_required[node->first + i];
            if (must && !can) return false;
            n_required += must;
            n_possible += can;
        }
        bool has_others = g->nodes[node->body].is_possible;
        if (n_possible + (has_others ? node->min : 0) > 1 && !g->nodes[node->separator].is_possible)
            return n_required <= 1 && node->min <= 1;
        return n_required <= node->max && node->min <= node->max &&
               (has_others || n_possible >= node->min);
    }
    default: return true;
    }
}

static bool is_nullable(const lull_grammar *g, const lull_node *node)
{
    const lull_expr *parts = g->parts + node->first;
    if (!node->is_possible) return false;
    switch ((lull_node_kind)node->kind) {
    case LULL_NODE_EMPTY: return true;
    case LULL_NODE_SEQUENCE:
        for (uint32_t i = 0; i < node->n; i++)
            if (!g->nodes[parts[i]].is_nullable) return false;
        return true;
    case LULL_NODE_CHOICE:
        for (uint32_t i = 0; i < node->n; i++)
            if (g->nodes[parts[i]].is_nullable) return true;
        return false;
    case LULL_NODE_REPEAT: return node->min == 0 || g->nodes[node->body].is_nullable;
    case LULL_NODE_RULE: return g->nodes[node->body].is_nullable;
    case LULL_NODE_LANGUAGE: return !node->is_not_empty && g->states[node->first].is_final;
    case LULL_NODE_MEMBERS:
        for (uint32_t i = 0; i < node->n; i++)
            if (g->is_required[node->first + i]) return false;
        return node->min == 0;
    default: return false;
    }
}

/* The least fixed points: nothing is possible, or nullable, that need not be. */
static void find_facts(lull_grammar *g, uint32_t from)
{
    for (uint32_t i = from; i < g->n_nodes; i++)
        g->nodes[i].is_possible = g->nodes[i].is_nullable = false;
    for (bool changes = true; changes;) {
        changes = false;
        for (uint32_t i = from; i < g->n_nodes; i++) {
            lull_node *node = &g->nodes[i];
            bool can = node->is_possible || is_possible(g, node);
            changes |= can != node->is_possible;
            node->is_possible = can;
        }
    }
    for (bool changes = true; changes;) {
        changes = false;
        for (uint32_t i = from; i < g->n_nodes; i++) {
            lull_node *node = &g->nodes[i];
            bool can = node->is_nullable || is_nullable(g, node);
            changes |= can != node->is_nullable;
            node->is_nullable = can;
        }
    }
}

/* ---- loops without empty rounds ---------------------------------------------------------------- */

/* The expression without the empty text. twin [n_nodes]: those made already. A loop's body is replaced by
 * it, so that every round of a loop takes a byte and none goes on for ever. */
static lull_expr without_empty(lull_grammar *g, lull_expr *twin, lull_expr e);

static lull_expr sequence_without_empty(lull_grammar *g, lull_expr *twin, lull_node node)
{
    /* The first part that is not empty, and then the rest as it is. */
    lull_expr options = lull_expr_never(g);
    for (uint32_t i = 0; i < node.n && g->failure == LULL_OK; i++) {
        lull_expr part = without_empty(g, twin, g->parts[node.first + i]);
        lull_expr whole = part;
        if (i + 1 < node.n) {
            uint32_t n_rest = node.n - i - 1;
            lull_expr *rest = malloc((n_rest + 1) * sizeof *rest);
            if (!rest) {
                g->failure = LULL_ENOMEM;
                return 0;
            }
            rest[0] = part;
            memcpy(rest + 1, g->parts + node.first + i + 1, n_rest * sizeof *rest);
            whole = lull_expr_sequence(g, rest, n_rest + 1);
            free(rest);
        }
        options = lull_expr_choice(g, (lull_expr[]){options, whole}, 2);
    }
    return options;
}

static lull_expr without_empty(lull_grammar *g, lull_expr *twin, lull_expr e)
{
    lull_node node = g->nodes[e]; /* a copy: the table moves */
    if (!node.is_nullable || g->failure != LULL_OK) return e;
    if (twin[e] != NONE) return twin[e];
    lull_expr out = twin[e] = lull_expr_rule(g), body = 0;
    switch ((lull_node_kind)node.kind) {
    case LULL_NODE_SEQUENCE: body = sequence_without_empty(g, twin, node); break;
    case LULL_NODE_CHOICE:
        body = lull_expr_never(g);
        for (uint32_t i = 0; i < node.n && g->failure == LULL_OK; i++) {
            lull_expr part = without_empty(g, twin, g->parts[node.first + i]);
            body = lull_expr_choice(g, (lull_expr[]){body, part}, 2);
        }
        break;
    case LULL_NODE_REPEAT:
        body = lull_expr_repeat(g, without_empty(g, twin, node.body), 1, node.max);
        break;
    case LULL_NODE_RULE: body = without_empty(g, twin, node.body); break;
    case LULL_NODE_LANGUAGE:
        node.is_not_empty = true;
        body = add_node(g, node);
        break;
    case LULL_NODE_MEMBERS:
        node.min = 1;
        body = add_node(g, node);
        break;
    default: body = lull_expr_never(g);
    }
    lull_expr_define(g, out, body);
    return out;
}

static void empty_rounds_away(lull_grammar *g)
{
    uint32_t n = g->n_nodes;
    lull_expr *twin = malloc((n + 1) * sizeof *twin);
    if (!twin) {
        g->failure = LULL_ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < n; i++) twin[i] = NONE;
    for (uint32_t i = 0; i < n && g->failure == LULL_OK; i++) {
        if (g->nodes[i].kind != LULL_NODE_REPEAT || !g->nodes[g->nodes[i].body].is_nullable)
            continue;
        lull_expr body = without_empty(g, twin, g->nodes[i].body);
        g->nodes[i].body = body;
        g->nodes[i].min = 0;
    }
    free(twin);
}

/* ---- finishing --------------------------------------------------------------------------------- */

/* The k-th expression that e may begin with before any byte is taken; NONE: no more. */
static lull_expr next_start(const lull_grammar *g, lull_expr e, uint32_t k)
{
    const lull_node *node = &g->nodes[e];
    const lull_expr *parts = g->parts + node->first;
    switch ((lull_node_kind)node->kind) {
    case LULL_NODE_SEQUENCE:
        if (k >= node->n || (k > 0 && !g->nodes[parts[k - 1]].is_nullable)) return NONE;
        return parts[k];
    case LULL_NODE_CHOICE: return k < node->n ? parts[k] : NONE;
    case LULL_NODE_REPEAT:
    case LULL_NODE_RULE: return k == 0 ? node->body : NONE;
    case LULL_NODE_MEMBERS:
        if (k < node->n) return parts[k];
        return k == node->n ? node->body : k == node->n + 1 ? node->separator : NONE;
    default: return NONE;
    }
}

/* Whether an expression can come back to itself without a byte between: a walk in depth, where an
 * expression that is entered again before it was left closes a circle. */
static lull_status find_circle(lull_grammar *g, lull_error *err)
{
    enum { NEW, OPEN, DONE };
    typedef struct visit {
        lull_expr e;
        uint32_t k;
    } visit;
    uint8_t *mark = calloc(g->n_nodes, 1);
    visit *stack = malloc((g->n_nodes + 1) * sizeof *stack);
    lull_status st =
        mark && stack ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for a grammar");
    for (uint32_t root = 0; root < g->n_nodes && st == LULL_OK; root++) {
        size_t n = 0;
        if (mark[root] == NEW) stack[n++] = (visit){root, 0};
        while (n > 0 && st == LULL_OK) {
            visit *top = &stack[n - 1];
            mark[top->e] = OPEN;
            lull_expr next = next_start(g, top->e, top->k++);
            if (next == NONE) {
                mark[top->e] = DONE;
                n--;
            } else if (mark[next] == OPEN) {
                st = lull_fail(err, LULL_EINVAL,
                               "a rule of the grammar begins with itself, before any text; put "
                               "what repeats behind (a ::= b a?)");
            } else if (mark[next] == NEW) {
                stack[n++] = (visit){next, 0};
            }
        }
    }
    free(stack);
    free(mark);
    return st;
}

static void count_uses(lull_grammar *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const lull_node *node = &g->nodes[i];
        bool has_parts = node->kind == LULL_NODE_SEQUENCE || node->kind == LULL_NODE_CHOICE ||
                         node->kind == LULL_NODE_MEMBERS;
        for (uint32_t k = 0; has_parts && k < node->n; k++)
            g->nodes[g->parts[node->first + k]].n_uses++;
        if (node->kind == LULL_NODE_REPEAT || node->kind == LULL_NODE_RULE ||
            node->kind == LULL_NODE_MEMBERS)
            g->nodes[node->body].n_uses++;
        if (node->kind == LULL_NODE_MEMBERS) g->nodes[node->separator].n_uses++;
    }
}

lull_status lull_grammar_finish(lull_grammar *g, lull_expr start, lull_error *err)
{
    if (g->failure == LULL_OK) {
        for (uint32_t i = 0; i < g->n_nodes; i++)
            if (g->nodes[i].kind == LULL_NODE_RULE && g->nodes[i].body == NONE)
                return lull_fail(err, LULL_EINVAL, "a rule of the grammar is used and not defined");
        find_facts(g, 0);
        empty_rounds_away(g);
    }
    if (g->failure == LULL_ENOMEM) return lull_fail(err, LULL_ENOMEM, "no memory for a grammar");
    if (g->failure != LULL_OK)
        return lull_fail(err, LULL_EFULL, "the grammar is too large: more than %d parts",
                         MAX_ENTRIES);
    find_facts(g, 0);
    if (!g->nodes[start].is_possible)
        return lull_fail(err, LULL_EINVAL, "no text at all matches the grammar");
    lull_status st = find_circle(g, err);
    if (st != LULL_OK) return st;
    count_uses(g);
    g->start = start;
    g->is_finished = true;
    return LULL_OK;
}
