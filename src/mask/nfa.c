/* From the tree of an expression to its automaton. The tree becomes nodes with one or two ways on,
 * made back to front, so that each is told what follows it. The states of the automaton are sets
 * of nodes: all the places where the text read so far may stand. Both are bounded, and so is the
 * work. */
#include <stdlib.h>
#include <string.h>

#include "regex.h"

enum {
    MAX_NODES = 100000,
    MAX_SET_ELEMS = 4000000, /* of all sets of nodes together */
    MAX_WORK = 12000000,     /* steps along nodes and ranges */
    TABLE_SLOTS = 1 << 17,
    RECENT_SETS = 64
};
#define NO_STATE UINT32_MAX

typedef enum node_kind {
    NODE_CHARS, /* one character of set b, then a */
    NODE_SPLIT, /* a or b */
    NODE_BEGIN, /* a, at the start of the text */
    NODE_END,   /* a, at the end of the text */
    NODE_MATCH, /* the text may end here */
    NODE_ALL    /* whatever follows */
} node_kind;

typedef struct node {
    node_kind kind;
    uint32_t a, b;
} node;

typedef struct char_set {
    const lull_regex *from;  /* the leaf that it belongs to */
    lull_char_range *ranges; /* of scalars, in the arena */
    uint32_t n;
} char_set;

typedef struct node_set {
    size_t first; /* in elems */
    uint32_t n;
} node_set;

/* A character set's part in the set at hand. */
typedef struct leaf {
    uint32_t set, node;
} leaf;

/* Characters that are in the same sets; `group` is a row of `groups`. */
typedef struct span {
    uint32_t first, last, group;
} span;

typedef struct boundary {
    uint32_t at, set; /* from scalar `at` on, the set (by its place in key) is entered or left */
} boundary;

typedef struct nfa {
    lull_arena arena;
    lull_status status; /* what went wrong; nothing goes on then */
    node *nodes;
    char_set *sets;
    uint32_t n_nodes, n_sets;
    size_t nodes_cap, sets_cap;
    uint32_t end; /* NODE_MATCH or NODE_ALL, the only one */
    size_t work;

    /* Sets of nodes by their number, which is that of their state. */
    node_set *states;
    uint32_t n_states;
    size_t states_cap;
    uint32_t *table; /* [TABLE_SLOTS], 1 + number */
    uint32_t *elems; /* ascending in each set */
    size_t n_elems, elems_cap;

    /* The closure being made. */
    uint32_t *mark; /* of a node: the last closure that saw it */
    uint32_t generation;
    uint32_t *stack, *found;
    uint32_t n_found;
    bool *can_match; /* of a node, when the start of the text is past */

    /* Where a match that is searched for may begin again after every character: places that every
     * state but the first has, and that its set leaves out. */
    bool *in_restart;  /* of a node */
    uint32_t *restart; /* [n_restart] */
    uint32_t n_restart;

    /* How the sets of the last state cut the characters; kept, for the next one often has the
     * same. */
    leaf *leaves;
    uint32_t *key, n_key; /* the sets, ascending */
    uint32_t *key_start;  /* [n_key + 1]: of a set in leaves */
    boundary *boundaries;
    size_t boundaries_cap;
    span *spans;
    size_t n_spans, spans_cap;
    uint64_t *groups; /* rows of n_words: which sets of key; row 0 is none */
    size_t n_groups, groups_cap, n_words;
    uint32_t *row_table; /* [2^row_bits], the rows by their hash; 0: none */
    size_t row_table_cap;
    int row_bits;
    uint32_t *targets; /* of a group: the state it leads to */
    size_t targets_cap;
} nfa;

static bool spend(nfa *n, size_t work)
{
    n->work += work;
    if (n->work > MAX_WORK && !n->status) n->status = LULL_EFULL;
    return !n->status;
}

static void *take(nfa *n, size_t count, size_t elem_bytes)
{
    void *p = n->status ? NULL : lull_arena_alloc(&n->arena, count * elem_bytes);
    if (!p && !n->status) n->status = LULL_ENOMEM;
    return p;
}

/* Make room for `needed` elements in *p, which is malloc'd. */
static bool reserve(nfa *n, void **p, size_t needed, size_t *cap, size_t elem_bytes)
{
    if (needed <= *cap) return true;
    size_t more = *cap ? *cap : 64;
    while (more < needed) more *= 2;
    void *grown = realloc(*p, more * elem_bytes);
    if (!grown) {
        n->status = LULL_ENOMEM;
        return false;
    }
    *p = grown;
    *cap = more;
    return true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static uint32_t add_node(nfa *n, node_kind kind, uint32_t a, uint32_t b)
{
    if (n->n_nodes == MAX_NODES && !n->status) n->status = LULL_EFULL;
    if (n->status ||
        !reserve(n, (void **)&n->nodes, n->n_nodes + 1, &n->nodes_cap, sizeof *n->nodes))
        return 0;
    n->nodes[n->n_nodes] = (node){kind, a, b};
    return n->n_nodes++;
}

/* The set of a leaf, as scalars. Copies of a leaf come one after the other: the last sets are
 * looked at. */
static uint32_t add_set(nfa *n, const lull_regex *e)
{
    for (uint32_t i = n->n_sets; i-- > 0 && i + RECENT_SETS > n->n_sets;) {
        const lull_regex *from = n->sets[i].from;
        if (from == e || (from->n_ranges == e->n_ranges &&
                          memcmp(from->ranges, e->ranges, e->n_ranges * sizeof *e->ranges) == 0))
            return i;
    }
    if (!reserve(n, (void **)&n->sets, n->n_sets + 1, &n->sets_cap, sizeof *n->sets)) return 0;
    char_set s = {e, take(n, e->n_ranges, sizeof *s.ranges), 0};
    if (!s.ranges) return 0;
    for (uint32_t i = 0; i < e->n_ranges; i++) {
        uint32_t first = e->ranges[i].first, last = e->ranges[i].last;
        if (first >= 0xd800 && first <= 0xdfff) first = 0xe000;
        if (last >= 0xd800 && last <= 0xdfff) last = 0xd7ff;
        if (first > last) continue;
        first = lull_scalar_of(first);
        last = lull_scalar_of(last);
        if (s.n > 0 && s.ranges[s.n - 1].last + 1 == first)
            s.ranges[s.n - 1].last = last;
        else
            s.ranges[s.n++] = (lull_char_range){first, last};
    }
    n->sets[n->n_sets] = s;
    return n->n_sets++;
}

/* Nodes for e with `next` behind it; the one to begin at. Every e but the empty one makes a node,
 * so that a count ends at the bound. */
static uint32_t add_regex(nfa *n, const lull_regex *e, uint32_t next)
{
    if (n->status) return 0;
    uint32_t at = next;
    switch (e->kind) {
    case LULL_REGEX_EMPTY: return next;
    case LULL_REGEX_CHARS: return add_node(n, NODE_CHARS, next, add_set(n, e));
    case LULL_REGEX_BEGIN: return add_node(n, NODE_BEGIN, next, 0);
    case LULL_REGEX_END: return add_node(n, NODE_END, next, 0);
    case LULL_REGEX_SEQUENCE:
        for (const lull_regex *part = e->last; part; part = part->before)
            at = add_regex(n, part, at);
        return at;
    case LULL_REGEX_CHOICE:
        at = add_regex(n, e->last, next);
        for (const lull_regex *part = e->last->before; part; part = part->before)
            at = add_node(n, NODE_SPLIT, add_regex(n, part, next), at);
        return at;
    case LULL_REGEX_REPEAT: break;
    }
    uint32_t n_left = e->min;
    if (e->max == LULL_REGEX_UNBOUNDED) {
        uint32_t loop = add_node(n, NODE_SPLIT, next, next);
        uint32_t entry = add_regex(n, e->last, loop);
        if (!n->status) n->nodes[loop].a = entry;
        at = n_left > 0 ? entry : loop;
        if (n_left > 0) n_left--;
    } else {
        /* Each can be left straight to the end: x(x(x)?)?, not x?x?x?. */
        for (uint32_t i = e->min; i < e->max && !n->status; i++)
            at = add_node(n, NODE_SPLIT, add_regex(n, e->last, at), next);
    }
    for (; n_left > 0 && !n->status; n_left--) at = add_regex(n, e->last, at);
    return at;
}

/* From which nodes a match can be reached when the start of the text is past. Without it a pattern
 * that is held to the start would drag the places along where it is searched for. */
static void mark_can_match(nfa *n)
{
    uint32_t n_nodes = n->n_nodes, n_stack = 0;
    uint32_t *start = take(n, n_nodes + 2, sizeof *start), *in = take(n, 2 * n_nodes, sizeof *in);
    n->can_match = take(n, n_nodes, sizeof *n->can_match);
    if (n->status) return;
    for (int pass = 0; pass < 2; pass++) { /* count what leads into each, then place it */
        for (uint32_t i = 0; i < n_nodes; i++) {
            const node *at = &n->nodes[i];
            bool is_open = at->kind == NODE_SPLIT || at->kind == NODE_END ||
                           (at->kind == NODE_CHARS && n->sets[at->b].n > 0);
            if (pass == 0 && is_open) start[at->a + 2]++;
            if (pass == 0 && at->kind == NODE_SPLIT) start[at->b + 2]++;
            if (pass == 1 && is_open) in[start[at->a + 1]++] = i;
            if (pass == 1 && at->kind == NODE_SPLIT) in[start[at->b + 1]++] = i;
        }
        if (pass == 0)
            for (uint32_t i = 1; i <= n_nodes; i++) start[i + 1] += start[i];
    }
    for (uint32_t i = 0; i < n_nodes; i++) {
        n->can_match[i] = n->nodes[i].kind == NODE_MATCH || n->nodes[i].kind == NODE_ALL;
        if (n->can_match[i]) n->stack[n_stack++] = i;
    }
    while (n_stack > 0) {
        uint32_t at = n->stack[--n_stack];
        for (uint32_t k = start[at]; k < start[at + 1]; k++) {
            if (n->can_match[in[k]]) continue;
            n->can_match[in[k]] = true;
            n->stack[n_stack++] = in[k];
        }
    }
}

/* ---- sets of nodes --------------------------------------------------------------------------- */

static void begin_closure(nfa *n)
{
    n->generation++;
    n->n_found = 0;
}

/* Add what can be reached from a node without a character. is_start, is_end: the text has just
 * begun, or ends here. */
static void add_closure(nfa *n, uint32_t from, bool is_start, bool is_end)
{
    uint32_t n_stack = 0;
    if (n->mark[from] == n->generation) return;
    n->mark[from] = n->generation;
    n->stack[n_stack++] = from;
    size_t n_steps = 0;
    while (n_stack > 0) {
        uint32_t at = n->stack[--n_stack], ways[2], n_ways = 0;
        const node *x = &n->nodes[at];
        n_steps++;
        if (!is_start && (!n->can_match[at] || n->in_restart[at])) continue;
        switch (x->kind) {
        case NODE_ALL:
        case NODE_CHARS:
        case NODE_MATCH: n->found[n->n_found++] = at; break;
        case NODE_SPLIT:
            ways[n_ways++] = x->b;
            ways[n_ways++] = x->a;
            break;
        case NODE_BEGIN:
            if (is_start) ways[n_ways++] = x->a;
            break;
        case NODE_END:
            n->found[n->n_found++] = at;
            if (is_end) ways[n_ways++] = x->a;
            break;
        }
        for (uint32_t i = 0; i < n_ways; i++) {
            if (n->mark[ways[i]] == n->generation) continue;
            n->mark[ways[i]] = n->generation;
            n->stack[n_stack++] = ways[i];
        }
    }
    spend(n, n_steps);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint64_t hash_of(const uint32_t *elems, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) {
        h = (h ^ elems[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

/* The state of the closure that was made; NO_STATE when it is empty. is_new: whether or not there
 * is one like it. */
static uint32_t state_of_closure(nfa *n, bool is_new)
{
    if (n->status || (n->n_found == 0 && n->n_restart == 0)) return NO_STATE;
    if (n->nodes[n->end].kind == NODE_ALL && n->mark[n->end] == n->generation) {
        n->found[0] = n->end; /* the other places add nothing */
        n->n_found = 1;
    }
    uint32_t n_found = n->n_found;
    qsort(n->found, n_found, sizeof *n->found, by_number);
    if (!spend(n, 4 * (size_t)n_found)) return NO_STATE;
    uint32_t *number = NULL;
    for (uint64_t slot = hash_of(n->found, n_found) >> 32; !is_new; slot++) {
        number = &n->table[slot % TABLE_SLOTS];
        if (*number == 0) break;
        const node_set *s = &n->states[*number - 1];
        if (s->n == n_found &&
            memcmp(n->elems + s->first, n->found, n_found * sizeof *n->found) == 0)
            return *number - 1;
    }
    if (n->n_states == LULL_DFA_MAX_STATES || n->n_elems + n_found > MAX_SET_ELEMS) {
        n->status = LULL_EFULL;
        return NO_STATE;
    }
    if (!reserve(n, (void **)&n->elems, n->n_elems + n_found, &n->elems_cap, sizeof *n->elems) ||
        !reserve(n, (void **)&n->states, n->n_states + 1, &n->states_cap, sizeof *n->states))
        return NO_STATE;
    memcpy(n->elems + n->n_elems, n->found, n_found * sizeof *n->found);
    n->states[n->n_states] = (node_set){n->n_elems, n_found};
    n->n_elems += n_found;
    if (number) *number = n->n_states + 1;
    return n->n_states++;
}

/* May the text end in a state? */
static bool is_final(nfa *n, uint32_t state)
{
    node_set s = n->states[state];
    begin_closure(n);
    uint32_t n_all = s.n + (state == 0 ? 0 : n->n_restart);
    for (uint32_t i = 0; i < n_all; i++) {
        const node *x = &n->nodes[i < s.n ? n->elems[s.first + i] : n->restart[i - s.n]];
        if (x->kind == NODE_MATCH || x->kind == NODE_ALL) return true;
        if (x->kind == NODE_END) add_closure(n, x->a, state == 0, true);
    }
    for (uint32_t i = 0; i < n->n_found; i++) {
        const node *x = &n->nodes[n->found[i]];
        if (x->kind == NODE_MATCH || x->kind == NODE_ALL) return true;
    }
    return false;
}

/* ---- from set to set ------------------------------------------------------------------------- */

static int by_set(const void *a, const void *b)
{
    const leaf *x = a, *y = b;
    if (x->set != y->set) return x->set < y->set ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static int by_place(const void *a, const void *b)
{
    const boundary *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* The row of groups that is the same as the last one, which then goes, or that one itself. */
static uint32_t group_of_last_row(nfa *n)
{
    size_t n_words = n->n_words, mask = ((size_t)1 << n->row_bits) - 1;
    const uint64_t *row = n->groups + (n->n_groups - 1) * n_words;
    uint64_t hash = 0, rest = 0;
    for (size_t i = 0; i < n_words; i++) {
        rest |= row[i];
        hash = (hash ^ row[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    spend(n, n_words);
    uint32_t group = 0;
    if (rest != 0) {
        size_t slot = hash >> 20 & mask;
        for (; (group = n->row_table[slot]) != 0; slot = (slot + 1) & mask)
            if (!memcmp(n->groups + group * n_words, row, n_words * sizeof *row)) break;
        if (group == 0) return n->row_table[slot] = (uint32_t)n->n_groups - 1;
    }
    n->n_groups--;
    return group;
}

/* Cut the characters into spans by which sets of key they are in. */
static bool cut_spans(nfa *n)
{
    size_t n_boundaries = 0;
    n->n_spans = 0;
    n->n_groups = 1;
    n->n_words = n->n_key / 64 + 1;
    for (uint32_t i = 0; i < n->n_key; i++) n_boundaries += 2 * (size_t)n->sets[n->key[i]].n;
    if (!spend(n, 8 * n_boundaries)) return false;
    if (!reserve(n, (void **)&n->boundaries, n_boundaries, &n->boundaries_cap,
                 sizeof *n->boundaries) ||
        !reserve(n, (void **)&n->spans, n_boundaries, &n->spans_cap, sizeof *n->spans) ||
        !reserve(n, (void **)&n->groups, 2 * n->n_words, &n->groups_cap, sizeof *n->groups))
        return false;
    for (n->row_bits = 1; (size_t)1 << n->row_bits < 2 * n_boundaries;) n->row_bits++;
    size_t n_slots = (size_t)1 << n->row_bits;
    if (!reserve(n, (void **)&n->row_table, n_slots, &n->row_table_cap, sizeof *n->row_table))
        return false;
    memset(n->row_table, 0, n_slots * sizeof *n->row_table);
    n_boundaries = 0;
    for (uint32_t i = 0; i < n->n_key; i++) {
        const char_set *s = &n->sets[n->key[i]];
        for (uint32_t k = 0; k < s->n; k++) {
            n->boundaries[n_boundaries++] = (boundary){s->ranges[k].first, i};
            n->boundaries[n_boundaries++] = (boundary){s->ranges[k].last + 1, i};
        }
    }
    if (n->n_key > 1) qsort(n->boundaries, n_boundaries, sizeof *n->boundaries, by_place);
    memset(n->groups, 0, n->n_words * sizeof *n->groups);
    uint32_t group = 0;
    for (size_t i = 0; i < n_boundaries;) {
        uint32_t first = n->boundaries[i].at;
        if (!reserve(n, (void **)&n->groups, (n->n_groups + 1) * n->n_words, &n->groups_cap,
                     sizeof *n->groups))
            return false;
        uint64_t *row = n->groups + n->n_groups * n->n_words;
        memcpy(row, n->groups + group * n->n_words, n->n_words * sizeof *row);
        for (; i < n_boundaries && n->boundaries[i].at == first; i++)
            row[n->boundaries[i].set / 64] ^= UINT64_C(1) << n->boundaries[i].set % 64;
        n->n_groups++;
        group = group_of_last_row(n);
        if (group == 0) continue; /* at the last boundary, always */
        n->spans[n->n_spans++] = (span){first, n->boundaries[i].at - 1, group};
    }
    return !n->status;
}

/* Where the leaves lead with a character of a group. */
static uint32_t state_after(nfa *n, uint32_t group)
{
    const uint64_t *row = n->groups + group * n->n_words;
    begin_closure(n);
    for (uint32_t word = 0; word < n->n_words; word++)
        for (uint64_t bits = row[word]; bits != 0; bits &= bits - 1) {
            uint32_t place = 64 * word + (uint32_t)__builtin_ctzll(bits);
            for (uint32_t i = n->key_start[place]; i < n->key_start[place + 1]; i++)
                add_closure(n, n->nodes[n->leaves[i].node].a, false, false);
            spend(n, n->key_start[place + 1] - n->key_start[place]);
        }
    spend(n, n->n_words);
    return state_of_closure(n, false);
}

static void add_edges(nfa *n, uint32_t state, lull_dfa *d)
{
    node_set s = n->states[state];
    uint32_t n_leaves = 0, n_key = 0;
    bool is_same = true; /* as the key of before */
    uint32_t n_all = s.n + (state == 0 ? 0 : n->n_restart);
    for (uint32_t i = 0; i < n_all; i++) {
        uint32_t at = i < s.n ? n->elems[s.first + i] : n->restart[i - s.n];
        if (n->nodes[at].kind == NODE_CHARS) n->leaves[n_leaves++] = (leaf){n->nodes[at].b, at};
        if (n->nodes[at].kind != NODE_ALL) continue;
        lull_dfa_add_edge(d, 0, LULL_LAST_SCALAR, state);
        return;
    }
    spend(n, 4 * (size_t)n_leaves);
    qsort(n->leaves, n_leaves, sizeof *n->leaves, by_set);
    for (uint32_t i = 0; i < n_leaves; i++) {
        if (i > 0 && n->leaves[i].set == n->leaves[i - 1].set) continue;
        is_same = is_same && n_key < n->n_key && n->key[n_key] == n->leaves[i].set;
        n->key_start[n_key] = i;
        n->key[n_key++] = n->leaves[i].set;
    }
    n->key_start[n_key] = n_leaves;
    is_same = is_same && n_key == n->n_key;
    n->n_key = n_key;
    if (n_key == 0 || (!is_same && !cut_spans(n))) return;
    if (!reserve(n, (void **)&n->targets, n->n_groups, &n->targets_cap, sizeof *n->targets)) return;
    for (uint32_t g = 1; g < n->n_groups && !n->status; g++) n->targets[g] = state_after(n, g);
    for (size_t i = 0; i < n->n_spans && !n->status; i++) {
        const span *x = &n->spans[i];
        uint32_t to = n->targets[x->group];
        if (to != NO_STATE) lull_dfa_add_edge(d, x->first, x->last, to);
    }
    spend(n, n->n_spans);
}

static void find_restart(nfa *n, uint32_t start)
{
    begin_closure(n);
    add_closure(n, start, false, false);
    if (n->mark[n->end] == n->generation) return; /* whatever follows matches: one state */
    memcpy(n->restart, n->found, n->n_found * sizeof *n->found);
    n->n_restart = n->n_found;
    for (uint32_t i = 0; i < n->n_nodes; i++) n->in_restart[i] = n->mark[i] == n->generation;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void add_all_nodes(nfa *n, const lull_regex *e, bool is_whole, uint32_t *start)
{
    static const lull_char_range all[] = {{0, LULL_LAST_CHAR}};
    static const lull_regex any = {.kind = LULL_REGEX_CHARS, .ranges = all, .n_ranges = 1};
    n->end = add_node(n, is_whole ? NODE_MATCH : NODE_ALL, 0, 0);
    *start = add_regex(n, e, n->end);
    if (is_whole) return;
    uint32_t loop = add_node(n, NODE_SPLIT, *start, *start);
    uint32_t skip = add_node(n, NODE_CHARS, loop, add_set(n, &any));
    if (!n->status) n->nodes[loop].b = skip;
    *start = loop;
}

static bool has_memory(nfa *n)
{
    n->mark = take(n, n->n_nodes, sizeof *n->mark);
    n->stack = take(n, n->n_nodes, sizeof *n->stack);
    n->found = take(n, n->n_nodes, sizeof *n->found);
    n->leaves = take(n, n->n_nodes, sizeof *n->leaves);
    n->key = take(n, n->n_nodes, sizeof *n->key);
    n->key_start = take(n, n->n_nodes + 1, sizeof *n->key_start);
    n->in_restart = take(n, n->n_nodes, sizeof *n->in_restart);
    n->restart = take(n, n->n_nodes, sizeof *n->restart);
    n->table = n->status ? NULL : calloc(TABLE_SLOTS, sizeof *n->table);
    if (!n->table && !n->status) n->status = LULL_ENOMEM;
    return !n->status;
}

lull_status lull_regex_compile(const lull_regex *e, bool is_whole, lull_regular **out,
                               lull_error *err)
{
    nfa n = {0};
    lull_dfa d = {0};
    uint32_t start;
    add_all_nodes(&n, e, is_whole, &start);
    if (!n.status && has_memory(&n)) mark_can_match(&n);
    if (!n.status && !is_whole) find_restart(&n, start);
    if (!n.status) {
        begin_closure(&n);
        add_closure(&n, start, true, false);
        /* The start is no state to come back to: ^ holds in it alone. */
        if (state_of_closure(&n, true) == NO_STATE) lull_dfa_add_state(&d, false);
    }
    for (uint32_t i = 0; i < n.n_states && !n.status && !d.status; i++) {
        lull_dfa_add_state(&d, is_final(&n, i));
        add_edges(&n, i, &d);
    }
    if (n.status && !d.status) d.status = n.status;
    void *owned[] = {n.nodes,      n.sets,  n.states, n.table,     n.elems,
                     n.boundaries, n.spans, n.groups, n.row_table, n.targets};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    lull_arena_fini(&n.arena);
    return lull_dfa_finish(&d, out, err);
}
