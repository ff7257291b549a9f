#include "trie.h"

#include <stdlib.h>
#include <string.h>

/* Longer tokens are in no mask: there are none but in files that are made to do harm. */
enum { MAX_TEXT = 4096 };

typedef struct text {
    const char *bytes;
    uint32_t n_bytes;
    int32_t token;
} text;

static int compare_texts(const void *x, const void *y)
{
    const text *a = x, *b = y;
    uint32_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int order = memcmp(a->bytes, b->bytes, n);
    if (order) return order;
    if (a->n_bytes != b->n_bytes) return a->n_bytes < b->n_bytes ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

static lull_status add_node(lull_trie *t, uint8_t byte, lull_error *err)
{
    if (t->n_nodes + 1 >= t->nodes_cap) {
        uint32_t cap = t->nodes_cap * 2 + 1024;
        lull_trie_node *p = realloc(t->nodes, cap * sizeof *p);
        if (!p) return lull_fail(err, LULL_ENOMEM, "no memory for a trie of the vocabulary");
        t->nodes = p;
        t->nodes_cap = cap;
    }
    t->nodes[t->n_nodes++] = (lull_trie_node){.byte = byte, .first_token = t->n_tokens};
    return LULL_OK;
}

/* Nodes of the sorted texts [n]: a text shares those of the one before as far as both agree. path: scratch
 * [depth + 1], the nodes of the text before. */
static lull_status add_texts(lull_trie *t, const text *texts, size_t n, uint32_t *path,
                             lull_error *err)
{
    lull_status st = LULL_OK;
    size_t n_path = 0;
    LULL_TRY(add_node(t, 0, err));
    for (size_t i = 0; i < n; i++) {
        size_t shared = 0;
        while (shared < n_path && shared < texts[i].n_bytes &&
               t->nodes[path[shared]].byte == (uint8_t)texts[i].bytes[shared])
            shared++;
        for (size_t k = shared; k < n_path; k++) t->nodes[path[k]].end = t->n_nodes;
        n_path = shared;
        for (; n_path < texts[i].n_bytes; n_path++) {
            path[n_path] = t->n_nodes;
            LULL_TRY(add_node(t, (uint8_t)texts[i].bytes[n_path], err));
        }
        unsigned n_chars = 0;
        for (size_t k = 0; k < texts[i].n_bytes; k++)
            n_chars += lull_begins_char((uint8_t)texts[i].bytes[k]);
        t->n_chars[t->n_tokens] = n_chars < 255 ? (uint8_t)n_chars : 255;
        t->tokens[t->n_tokens++] = texts[i].token;
        t->all[texts[i].token / 64] |= (uint64_t)1 << (texts[i].token % 64);
    }
    for (size_t k = 0; k < n_path; k++) t->nodes[path[k]].end = t->n_nodes;
    t->nodes[0].end = t->n_nodes;
    t->nodes[t->n_nodes] = (lull_trie_node){.end = t->n_nodes + 1, .first_token = t->n_tokens};
done:
    return st;
}

/* What UTF-8 (RFC 3629) lets follow: the range of the next byte and how many more come behind it. */
typedef struct expected {
    uint8_t first, last, n_more;
} expected;

/* Behind `byte` where `e` is expected. n_more 0xFF: not a character with a kind. */
static expected behind(expected e, uint8_t byte)
{
    static const expected bad = {1, 0, 0xFF};
    if (e.n_more > 0) {
        if (byte < e.first || byte > e.last) return bad;
        return (expected){0x80, 0xBF, e.n_more - 1};
    }
    if (byte < 0x80) return lull_char_kind_of(byte) < LULL_CHAR_KINDS ? (expected){0, 0, 0} : bad;
    if (byte < 0xC2 || byte > 0xF4) return bad;
    if (byte < 0xE0) return (expected){0x80, 0xBF, 1};
    if (byte < 0xF0) return (expected){byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF, 2};
    return (expected){byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF, 3};
}

/* The characters that begin from a node on. */
typedef struct chars {
    int most; /* on one path; -1: some have no kind */
    unsigned kinds;
} chars;

/* Fill in kinds and n_chars of node i, where `e` is expected, and of all below. */
static chars note_chars(lull_trie *t, uint32_t i, expected e)
{
    lull_trie_node *node = &t->nodes[i];
    expected next = behind(e, node->byte);
    chars c = {0, 0};
    bool has_kind = next.n_more != 0xFF, begins = e.n_more == 0;
    if (!has_kind) next = (expected){0, 0, 0}; /* characters begin anew */
    for (uint32_t k = i + 1; k < node->end; k = t->nodes[k].end) {
        chars below = note_chars(t, k, next);
        if (below.most < 0) has_kind = false;
        if (below.most > c.most) c.most = below.most;
        c.kinds |= below.kinds;
    }
    if (!has_kind) return (chars){-1, 0};
    if (!begins) return c;
    c.most++;
    c.kinds |= 1u << (node->byte < 0x80 ? lull_char_kind_of(node->byte) : LULL_CHAR_WIDE);
    node->n_chars = c.most > 255 ? 255 : (uint8_t)c.most;
    node->kinds = (uint8_t)c.kinds;
    return c;
}

static lull_status note_ends(lull_trie *t, bool (*is_end)(const void *user, int32_t token),
                             const void *user, lull_error *err)
{
    for (int32_t id = 0; id < t->n_vocab; id++) t->n_ends += is_end(user, id);
    t->ends = malloc((t->n_ends + 1) * sizeof *t->ends);
    if (!t->ends) return lull_fail(err, LULL_ENOMEM, "no memory for a trie of the vocabulary");
    size_t n = 0;
    for (int32_t id = 0; id < t->n_vocab; id++)
        if (is_end(user, id)) t->ends[n++] = id;
    return LULL_OK;
}

lull_status lull_trie_new(int n_vocab, lull_token_text_fn get_text,
                          bool (*is_end)(const void *user, int32_t token), const void *user,
                          lull_trie **out, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_trie *t = calloc(1, sizeof *t);
    text *texts = malloc(((size_t)n_vocab + 1) * sizeof *texts);
    uint32_t *path = NULL;
    size_t n = 0;
    *out = NULL;
    if (!t || !texts)
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a trie of the vocabulary"));
    t->n_vocab = n_vocab;
    LULL_TRY(note_ends(t, is_end, user, err));
    for (int32_t id = 0; id < n_vocab; id++) {
        size_t n_bytes;
        const char *bytes = get_text(user, id, &n_bytes);
        if (n_bytes == 0 || n_bytes > MAX_TEXT || is_end(user, id)) continue;
        texts[n++] = (text){bytes, (uint32_t)n_bytes, id};
        if (n_bytes > t->depth) t->depth = n_bytes;
    }
    qsort(texts, n, sizeof *texts, compare_texts);
    t->tokens = malloc((n + 1) * sizeof *t->tokens);
    path = malloc((t->depth + 1) * sizeof *path);
    t->n_chars = malloc(n + 1);
    t->all = calloc((size_t)n_vocab / 64 + 1, sizeof *t->all);
    if (!t->tokens || !path || !t->n_chars || !t->all)
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a trie of the vocabulary"));
    LULL_TRY(add_texts(t, texts, n, path, err));
    for (uint32_t k = 1; k < t->n_nodes; k = t->nodes[k].end) note_chars(t, k, (expected){0, 0, 0});
    *out = t;
    t = NULL;
done:
    lull_trie_free(t);
    free(texts);
    free(path);
    return st;
}

void lull_trie_free(lull_trie *t)
{
    if (!t) return;
    free(t->nodes);
    free(t->tokens);
    free(t->ends);
    free(t->n_chars);
    free(t->all);
    free(t);
}
