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
        t->tokens[t->n_tokens++] = texts[i].token;
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

/* Behind `byte` where `e` is expected. n_more 0xFF: not a plain character. */
static expected behind(expected e, uint8_t byte)
{
    static const expected bad = {1, 0, 0xFF};
    if (e.n_more > 0) {
        if (byte < e.first || byte > e.last) return bad;
        return (expected){0x80, 0xBF, e.n_more - 1};
    }
    if (byte < 0x80) {
        bool is_plain = byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
        return is_plain ? (expected){0, 0, 0} : bad;
    }
    if (byte < 0xC2 || byte > 0xF4) return bad;
    if (byte < 0xE0) return (expected){0x80, 0xBF, 1};
    if (byte < 0xF0) return (expected){byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF, 2};
    return (expected){byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF, 3};
}

/* How many characters begin at node i, where `e` is expected, and below it; -1: some are not plain. */
static int count_chars(lull_trie *t, uint32_t i, expected e)
{
    lull_trie_node *node = &t->nodes[i];
    expected next = behind(e, node->byte);
    bool is_plain = next.n_more != 0xFF;
    if (!is_plain) next = (expected){0, 0, 0}; /* characters begin anew */
    int most = 0;
    for (uint32_t k = i + 1; k < node->end; k = t->nodes[k].end) {
        int n = count_chars(t, k, next);
        if (n < 0) is_plain = false;
        if (n > most) most = n;
    }
    int n = is_plain ? most + (e.n_more == 0) : -1;
    node->n_chars = n < 0 ? 0 : n > 255 ? 255 : (uint8_t)n;
    return n;
}

lull_status lull_trie_new(int n_vocab, lull_token_text_fn get_text, const void *user,
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
    for (int32_t id = 0; id < n_vocab; id++) {
        size_t n_bytes;
        const char *bytes = get_text(user, id, &n_bytes);
        if (n_bytes == 0 || n_bytes > MAX_TEXT) continue;
        texts[n++] = (text){bytes, (uint32_t)n_bytes, id};
        if (n_bytes > t->depth) t->depth = n_bytes;
    }
    qsort(texts, n, sizeof *texts, compare_texts);
    t->tokens = malloc((n + 1) * sizeof *t->tokens);
    path = malloc((t->depth + 1) * sizeof *path);
    if (!t->tokens || !path)
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a trie of the vocabulary"));
    LULL_TRY(add_texts(t, texts, n, path, err));
    for (uint32_t k = 1; k < t->n_nodes; k = t->nodes[k].end)
        count_chars(t, k, (expected){0, 0, 0});
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
    free(t);
}
