#include "special.h"

#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 64, /* lengths looked at in one scan: the bits of a word */
    LONGEST = 1024
};

static int32_t find_child(const lull_special *s, int32_t node, uint8_t byte)
{
    int32_t child = s->nodes[node].first_child;
    while (child >= 0 && s->nodes[child].byte != byte) child = s->nodes[child].next_sibling;
    return child;
}

static int32_t add_node(lull_special *s, uint8_t byte)
{
    if (s->n_nodes == s->cap) {
        int cap = s->cap ? 2 * s->cap : 256;
        lull_special_node *nodes = realloc(s->nodes, (size_t)cap * sizeof *nodes);
        if (!nodes) return -1;
        s->nodes = nodes;
        s->cap = cap;
    }
    s->nodes[s->n_nodes] = (lull_special_node){-1, -1, -1, -1, byte};
    return s->n_nodes++;
}

/* The node of a string, made when it is missing; -1: out of memory. */
static int32_t add_string(lull_special *s, const uint8_t *bytes, size_t n)
{
    int32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t child = i == 0 ? s->root[bytes[0]] : find_child(s, node, bytes[i]);
        if (child < 0) {
            child = add_node(s, bytes[i]);
            if (child < 0) return -1;
            if (i == 0) {
                s->root[bytes[0]] = child;
            } else {
                s->nodes[child].next_sibling = s->nodes[node].first_child;
                s->nodes[node].first_child = child;
            }
        }
        node = child;
    }
    return node;
}

static bool is_control(const lull_vocab *v, int id)
{
    return v->types[id] == LULL_TOKEN_CONTROL || v->types[id] == LULL_TOKEN_UNKNOWN;
}

static bool is_special(const lull_vocab *v, int id)
{
    return is_control(v, id) || v->types[id] == LULL_TOKEN_USER_DEFINED;
}

static int by_length_descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

lull_status lull_special_init(lull_special *s, const lull_vocab *v, const uint8_t *strips,
                              lull_error *err)
{
    int n = 0;
    *s = (lull_special){.strips = strips};
    for (int i = 0; i < 256; i++) s->root[i] = -1;
    for (int i = 0; i < v->n_tokens; i++) n += is_special(v, i);
    s->lengths = malloc(((size_t)n + 1) * sizeof *s->lengths);
    if (!s->lengths || add_node(s, 0) < 0) goto no_memory;
    for (int i = 0; i < v->n_tokens; i++) {
        size_t n_bytes;
        const uint8_t *bytes = lull_vocab_string(v, i, &n_bytes);
        if (!is_special(v, i) || n_bytes == 0) continue;
        if (n_bytes > LONGEST)
            return lull_fail(err, LULL_EUNSUPPORTED,
                             "tokenizer.ggml.tokens: special token %d has %zu bytes; lull takes %d",
                             i, n_bytes, LONGEST);
        int32_t node = add_string(s, bytes, n_bytes);
        if (node < 0) goto no_memory;
        s->nodes[node].any = i;
        if (!is_control(v, i)) s->nodes[node].plain = i;
        s->lengths[s->n_lengths++] = (uint32_t)n_bytes;
    }
    qsort(s->lengths, (size_t)s->n_lengths, sizeof *s->lengths, by_length_descending);
    n = 0;
    for (int i = 0; i < s->n_lengths; i++)
        if (i == 0 || s->lengths[i] != s->lengths[i - 1]) s->lengths[n++] = s->lengths[i];
    s->n_lengths = n;
    return LULL_OK;
no_memory:
    return lull_fail(err, LULL_ENOMEM, "out of memory for the special tokens");
}

void lull_special_fini(lull_special *s)
{
    free(s->nodes);
    free(s->lengths);
    *s = (lull_special){0};
}

/* What is known of each byte of a text while it is cut. */
typedef struct cut {
    const lull_special *s;
    const uint8_t *text;
    size_t n;
    bool with_control;
    uint32_t *length;  /* [n] of the token that starts here; 0: none does */
    uint8_t *is_taken; /* [n] within a token, or stripped beside one */
    uint64_t *found;   /* [n] bit i: a token of the batch's length i starts here */
    int8_t *bit_of;    /* [longest + 1] a length's bit in the batch; -1: it is not in it */
} cut;

static int32_t token_at(const cut *c, int32_t node)
{
    return c->with_control ? c->s->nodes[node].any : c->s->nodes[node].plain;
}

/* The lengths, as bits, of the tokens that start at byte i. */
static uint64_t lengths_at(const cut *c, size_t i)
{
    uint64_t found = 0;
    int32_t node = c->s->root[c->text[i]];
    for (size_t n = 1; node >= 0; n++) {
        if (token_at(c, node) >= 0 && c->bit_of[n] >= 0) found |= 1ull << c->bit_of[n];
        if (i + n == c->n) break;
        node = find_child(c->s, node, c->text[i + n]);
    }
    return found;
}

static int32_t token_of(const cut *c, size_t i, size_t n)
{
    int32_t node = c->s->root[c->text[i]];
    for (size_t k = 1; k < n; k++) node = find_child(c->s, node, c->text[i + k]);
    return token_at(c, node);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Bytes [i, i + n) are a token. What it strips has length 0: it becomes no fragment. */
static void take(cut *c, size_t i, size_t n)
{
    int strips = c->s->strips ? c->s->strips[token_of(c, i, n)] : 0;
    c->length[i] = (uint32_t)n;
    memset(c->is_taken + i, 1, n);
    if (strips & LULL_STRIPS_LEFT)
        for (size_t k = i; k > 0 && !c->is_taken[k - 1] && is_space(c->text[k - 1]); k--)
            c->is_taken[k - 1] = 1;
    if (strips & LULL_STRIPS_RIGHT)
        for (size_t k = i + n; k < c->n && !c->is_taken[k] && is_space(c->text[k]); k++)
            c->is_taken[k] = 1;
}

/* Take the tokens of one batch of lengths. What is taken already is at least as long as a token of
 * this batch, so where it overlaps [i, i + n) it covers the first or the last byte. */
static void take_batch(cut *c, const uint32_t *batch, int n_batch)
{
    memset(c->bit_of, -1, (size_t)c->s->lengths[0] + 1);
    for (int k = 0; k < n_batch; k++) c->bit_of[batch[k]] = (int8_t)k;
    uint64_t all = 0;
    for (size_t i = 0; i < c->n; i++) all |= c->found[i] = c->is_taken[i] ? 0 : lengths_at(c, i);
    for (int k = 0; k < n_batch; k++) {
        size_t n = batch[k];
        if (!(all >> k & 1)) continue;
        for (size_t i = 0; i + n <= c->n; i++) {
            if (!(c->found[i] >> k & 1) || c->is_taken[i] || c->is_taken[i + n - 1]) continue;
            take(c, i, n);
            i += n - 1;
        }
    }
}

static bool has_any(const cut *c)
{
    for (size_t i = 0; i < c->n; i++) {
        int32_t node = c->s->root[c->text[i]];
        for (size_t n = 1; node >= 0; n++) {
            if (token_at(c, node) >= 0) return true;
            if (i + n == c->n) break;
            node = find_child(c->s, node, c->text[i + n]);
        }
    }
    return false;
}

lull_status lull_special_split(const lull_special *s, const char *text, size_t n_bytes,
                               bool with_control, lull_fragment_fn emit, void *user,
                               lull_error *err)
{
    lull_status st = LULL_OK;
    cut c = {.s = s, .text = (const uint8_t *)text, .n = n_bytes, .with_control = with_control};
    if (n_bytes == 0) return LULL_OK;
    if (!has_any(&c)) return emit(user, -1, text, n_bytes, err);
    c.length = calloc(n_bytes, sizeof *c.length);
    c.is_taken = calloc(n_bytes, 1);
    c.found = malloc(n_bytes * sizeof *c.found);
    c.bit_of = malloc((size_t)s->lengths[0] + 1);
    if (!c.length || !c.is_taken || !c.found || !c.bit_of) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for %zu bytes of text", n_bytes);
        goto done;
    }
    for (int from = 0; from < s->n_lengths; from += BATCH)
        take_batch(&c, s->lengths + from,
                   s->n_lengths - from < BATCH ? s->n_lengths - from : BATCH);
    for (size_t i = 0, end; i < n_bytes; i = end) {
        end = i;
        if (!c.is_taken[i]) {
            while (end < n_bytes && !c.is_taken[end]) end++;
            LULL_TRY(emit(user, -1, text + i, end - i, err));
        } else if (c.length[i] > 0) {
            end += c.length[i];
            LULL_TRY(emit(user, token_of(&c, i, end - i), text + i, end - i, err));
        } else {
            end++;
        }
    }
done:
    free(c.length);
    free(c.is_taken);
    free(c.found);
    free(c.bit_of);
    return st;
}
