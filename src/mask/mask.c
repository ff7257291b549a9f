/* Masks: the trie is walked with the automaton, a place a byte; what cannot follow is passed over with all
 * that begins with it, and so is what can follow whatever it is. */
#include "mask.h"

#include <stdlib.h>
#include <string.h>

#include "matcher_private.h"
#include "trie.h"

enum {
    FEW = 2048,                     /* masks of so few tokens are lists */
    CACHE_BYTES = 32 * 1024 * 1024, /* of masks; then the oldest ones go */
    MAX_MASKS = 65536,
    MANY_PLACES = 1 << 16 /* some 20 MB: then all but the one in hand are forgotten */
};

typedef struct level {
    uint32_t end; /* of the node that led here */
    lull_place place;
    unsigned n_chars;       /* that begin up to here */
    const lull_place *next; /* of the place, as far as it is known */
} level;

/* A mask that was made: one of the two. */
typedef struct kept_mask {
    int32_t *ids;
    uint64_t *bits;
    uint32_t n, n_bytes;
} kept_mask;

struct lull_masker {
    const lull_trie *trie;
    lull_automaton *automaton;
    lull_place place;
    kept_mask *masks; /* [masks_cap] by place */
    size_t masks_cap, mask_bytes;
    lull_place *order; /* [MAX_MASKS] a ring: whose masks were made, those forgotten first */
    size_t n_made, n_forgotten;
    size_t n_words;  /* of bits, by token */
    uint64_t *ranks; /* [n_tokens / 64, rounded up] the allowed ones, in the order of the trie */
    level *levels;   /* [depth + 2] */
};

lull_status lull_masker_new(const lull_grammar *grammar, const lull_trie *trie, lull_masker **out,
                            lull_error *err)
{
    lull_status st = LULL_OK;
    lull_masker *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return lull_fail(err, LULL_ENOMEM, "no memory for a mask");
    m->trie = trie;
    m->n_words = ((size_t)trie->n_vocab + 63) / 64;
    m->ranks = malloc((trie->n_tokens / 64 + 1) * sizeof *m->ranks);
    m->levels = malloc((trie->depth + 2) * sizeof *m->levels);
    m->order = malloc(MAX_MASKS * sizeof *m->order);
    if (!m->ranks || !m->levels || !m->order)
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a mask"));
    LULL_TRY(lull_automaton_new(grammar, &m->automaton, err));
    lull_masker_restart(m);
    *out = m;
    return LULL_OK;
done:
    lull_masker_free(m);
    return st;
}

static void forget_oldest(lull_masker *m)
{
    kept_mask *k = &m->masks[m->order[m->n_forgotten++ % MAX_MASKS]];
    m->mask_bytes -= k->n_bytes;
    free(k->ids);
    free(k->bits);
    *k = (kept_mask){0};
}

void lull_masker_free(lull_masker *m)
{
    if (!m) return;
    while (m->n_forgotten < m->n_made) forget_oldest(m);
    lull_automaton_free(m->automaton);
    free(m->masks);
    free(m->order);
    free(m->ranks);
    free(m->levels);
    free(m);
}

void lull_masker_restart(lull_masker *m)
{
    m->place = lull_automaton_start(m->automaton);
}

lull_status lull_masker_push(lull_masker *m, const char *text, size_t n_bytes, lull_error *err)
{
    lull_place to;
    lull_status st = LULL_OK;
    if (m->automaton->n_places > MANY_PLACES) {
        while (m->n_forgotten < m->n_made) forget_oldest(m);
        st = lull_automaton_trim(m->automaton, &m->place, err);
        if (st != LULL_OK) return st;
    }
    st = lull_automaton_step(m->automaton, m->place, text, n_bytes, &to, err);
    if (st == LULL_OK && to == LULL_PLACE_DEAD)
        st = lull_fail(err, LULL_EINVAL, "the text does not go on as the grammar asks");
    if (st == LULL_OK) m->place = to;
    return st;
}

bool lull_masker_is_complete(const lull_masker *m)
{
    return lull_automaton_is_complete(m->automaton, m->place);
}

/* The only byte that may follow p; -1: none, or several. */
static int only_byte(const lull_automaton *a, lull_place p)
{
    int only = -1;
    for (uint32_t i = 0; i < a->places[p].n_spots; i++) {
        const lull_point *point = &a->program.points[a->spots[a->places[p].first_spot + i].point];
        for (uint32_t k = 0; point->kind == LULL_POINT_TAKE && k < point->n; k++) {
            lull_edge e = a->program.edges[point->first + k];
            if (e.first != e.last || (only >= 0 && only != e.first)) return -1;
            only = e.first;
        }
    }
    return only;
}

bool lull_masker_is_over(lull_masker *m)
{
    const lull_automaton *a = m->automaton;
    const lull_place_facts *p = &a->places[m->place];
    return p->is_complete && p->n_spots == 1;
}

lull_status lull_masker_forced(lull_masker *m, char *buf, size_t cap, size_t *n_bytes,
                               lull_error *err)
{
    lull_place p = m->place;
    size_t n = 0;
    while (n < cap && !lull_automaton_is_complete(m->automaton, p)) {
        int byte = only_byte(m->automaton, p);
        if (byte < 0) break;
        buf[n++] = (char)byte;
        p = lull_automaton_next(m->automaton, p, (uint8_t)byte);
        if (p == LULL_PLACE_DEAD) break;
    }
    *n_bytes = n;
    return lull_automaton_failed(m->automaton, err);
}

/* ---- the walk ---------------------------------------------------------------------------------- */

/* Set bits [from, to). */
static void set_range(uint64_t *bits, uint32_t from, uint32_t to)
{
    for (; from < to && from % 64; from++) bits[from / 64] |= (uint64_t)1 << (from % 64);
    for (; from + 64 <= to; from += 64) bits[from / 64] = ~(uint64_t)0;
    for (; from < to; from++) bits[from / 64] |= (uint64_t)1 << (from % 64);
}

/* Allow the tokens of a node and of all below that have at most n_chars characters. */
static void take_short(lull_masker *m, const lull_trie_node *node, uint32_t end, unsigned n_chars)
{
    const uint8_t *n = m->trie->n_chars;
    for (uint32_t rank = node->first_token; rank < end; rank++)
        m->ranks[rank / 64] |= (uint64_t)(n[rank] <= n_chars) << (rank % 64);
}

/* The tokens below node 0 whose texts may follow `place`, into m->ranks. */
static void walk(lull_masker *m, lull_place place)
{
    const lull_trie *t = m->trie;
    lull_automaton *a = m->automaton;
    level *top = m->levels;
    *top = (level){t->n_nodes, place, 0, a->places[place].next};
    memset(m->ranks, 0, (t->n_tokens / 64 + 1) * sizeof *m->ranks);
    for (uint32_t i = 1; i < t->n_nodes;) {
        const lull_trie_node *node = &t->nodes[i];
        while (i >= top->end) top--;
        uint8_t class = a->classes[node->byte];
        lull_place next = top->next ? top->next[class] : LULL_PLACE_UNKNOWN;
        if (next == LULL_PLACE_UNKNOWN) {
            next = lull_automaton_find_next(a, top->place, class);
            top->next = a->places[top->place].next;
        }
        if (next == LULL_PLACE_DEAD) {
            i = node->end;
            continue;
        }
        /* Looking ahead is worth it where some nodes are saved. */
        if (node->kinds && node->end - i > 4) {
            uint8_t run = lull_automaton_run(a, top->place, node->kinds);
            unsigned n = run & LULL_RUN_COUNT;
            uint32_t end_token = t->nodes[node->end].first_token;
            bool takes_all = n == LULL_RUN_ENDLESS || n >= node->n_chars;
            if (takes_all)
                set_range(m->ranks, node->first_token, end_token);
            else if (run & LULL_RUN_EXACT)
                take_short(m, node, end_token, top->n_chars + n);
            if (takes_all || run & LULL_RUN_EXACT) {
                i = node->end;
                continue;
            }
        }
        uint32_t first = node->first_token, end = node[1].first_token;
        for (; first < end; first++) m->ranks[first / 64] |= (uint64_t)1 << (first % 64);
        if (node->end > ++i) {
            level below = {node->end, next, top->n_chars + lull_begins_char(node->byte),
                           a->places[next].next};
            *++top = below;
        }
    }
}

static void allow(kept_mask *k, size_t *at, int32_t id)
{
    if (k->bits)
        k->bits[id / 64] |= (uint64_t)1 << (id % 64);
    else
        k->ids[(*at)++] = id;
}

/* m->ranks as a mask by token, with the tokens that end the text where it may end. */
static lull_status keep(lull_masker *m, kept_mask *out, lull_error *err)
{
    const lull_trie *t = m->trie;
    bool is_complete = lull_masker_is_complete(m);
    size_t n_ranks = t->n_tokens / 64 + 1, n = is_complete ? t->n_ends : 0, at = 0;
    for (size_t w = 0; w < n_ranks; w++) n += (size_t)__builtin_popcountll(m->ranks[w]);
    kept_mask k = {.n = (uint32_t)n};
    bool is_most = n > FEW && n > t->n_tokens / 2; /* then those that are not allowed are fewer */
    if (n <= FEW)
        k.ids = malloc((n + 1) * sizeof *k.ids);
    else
        k.bits = malloc(m->n_words * sizeof *k.bits);
    if (!k.ids && !k.bits) return lull_fail(err, LULL_ENOMEM, "no memory for a mask");
    if (is_most)
        memcpy(k.bits, t->all, m->n_words * sizeof *k.bits);
    else if (k.bits)
        memset(k.bits, 0, m->n_words * sizeof *k.bits);
    for (size_t w = 0; w < n_ranks; w++)
        for (uint64_t word = is_most ? ~m->ranks[w] : m->ranks[w]; word; word &= word - 1) {
            size_t rank = w * 64 + (size_t)__builtin_ctzll(word);
            if (rank >= t->n_tokens) break;
            int32_t id = t->tokens[rank];
            if (is_most)
                k.bits[id / 64] &= ~((uint64_t)1 << (id % 64));
            else
                allow(&k, &at, id);
        }
    for (size_t i = 0; is_complete && i < t->n_ends; i++) allow(&k, &at, t->ends[i]);
    k.n_bytes = (uint32_t)(k.bits ? m->n_words * sizeof *k.bits : (n + 1) * sizeof *k.ids);
    *out = k;
    m->mask_bytes += k.n_bytes;
    m->order[m->n_made++ % MAX_MASKS] = m->place;
    return LULL_OK;
}

static int compare_ids(const void *x, const void *y)
{
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return (a > b) - (a < b);
}

lull_status lull_masker_mask(lull_masker *m, lull_mask *out, lull_error *err)
{
    lull_status st = LULL_OK;
    if (m->place >= m->masks_cap) {
        size_t cap = m->place * 2 + 64;
        kept_mask *p = realloc(m->masks, cap * sizeof *p);
        if (!p) return lull_fail(err, LULL_ENOMEM, "no memory for a mask");
        memset(p + m->masks_cap, 0, (cap - m->masks_cap) * sizeof *p);
        m->masks = p;
        m->masks_cap = cap;
    }
    kept_mask *k = &m->masks[m->place];
    if (!k->ids && !k->bits) {
        while (m->mask_bytes > CACHE_BYTES || m->n_made - m->n_forgotten == MAX_MASKS)
            forget_oldest(m);
        walk(m, m->place);
        LULL_TRY(lull_automaton_failed(m->automaton, err));
        LULL_TRY(keep(m, k, err));
        if (k->ids) qsort(k->ids, k->n, sizeof *k->ids, compare_ids);
    }
    *out = (lull_mask){.n = k->n, .ids = k->ids, .bits = k->bits};
done:
    return st;
}

/* The node of text; 0: no token begins with it. */
static uint32_t find_node(const lull_trie *t, const char *text, size_t n_bytes)
{
    uint32_t at = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        uint32_t k = at + 1, end = t->nodes[at].end;
        while (k < end && t->nodes[k].byte != (uint8_t)text[i]) k = t->nodes[k].end;
        if (k >= end) return 0;
        at = k;
    }
    return at;
}

lull_status lull_masker_has_longer(lull_masker *m, const char *text, size_t n_bytes,
                                   bool *has_longer, lull_error *err)
{
    const lull_trie *t = m->trie;
    uint32_t node = find_node(t, text, n_bytes);
    lull_place p;
    *has_longer = false;
    lull_status st = lull_automaton_step(m->automaton, m->place, text, n_bytes, &p, err);
    if (st != LULL_OK || p == LULL_PLACE_DEAD || (node == 0 && n_bytes > 0)) return st;
    for (uint32_t k = node + 1; k < t->nodes[node].end && !*has_longer; k = t->nodes[k].end)
        *has_longer = lull_automaton_next(m->automaton, p, t->nodes[k].byte) != LULL_PLACE_DEAD;
    return lull_automaton_failed(m->automaton, err);
}
