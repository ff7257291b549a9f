#include "vocab.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST_TOKENS = 1 << 24 };

static int32_t *slot_of(const lull_vocab *v, const void *s, size_t n_bytes)
{
    uint64_t hash = XXH3_64bits(s, n_bytes);
    uint32_t tag = (uint32_t)(hash >> 32), at = (uint32_t)hash;
    for (;; at++) {
        lull_vocab_slot *slot = &v->slots[at & (v->n_slots - 1)];
        if (slot->id < 0) {
            slot->tag = tag;
            return &slot->id;
        }
        size_t n;
        if (slot->tag == tag && lull_vocab_string(v, slot->id, &n) && n == n_bytes &&
            memcmp(v->bytes + v->start[slot->id], s, n_bytes) == 0)
            return &slot->id;
    }
}

int32_t lull_vocab_find(const lull_vocab *v, const void *s, size_t n_bytes)
{
    uint64_t hash = XXH3_64bits(s, n_bytes);
    uint32_t tag = (uint32_t)(hash >> 32), at = (uint32_t)hash;
    for (;; at++) {
        const lull_vocab_slot *slot = &v->slots[at & (v->n_slots - 1)];
        if (slot->id < 0) return -1;
        if (slot->tag != tag) continue;
        size_t n;
        const uint8_t *string = lull_vocab_string(v, slot->id, &n);
        if (n == n_bytes && memcmp(string, s, n_bytes) == 0) return slot->id;
    }
}

static bool append_string(lull_vocab *v, const void *s, size_t n_bytes)
{
    size_t at = v->start[v->n_symbols];
    if (v->n_symbols == v->cap || n_bytes > UINT32_MAX - at) return false;
    if (at + n_bytes > v->bytes_cap) {
        size_t cap = 2 * (at + n_bytes);
        uint8_t *bytes = realloc(v->bytes, cap);
        if (!bytes) return false;
        v->bytes = bytes;
        v->bytes_cap = cap;
    }
    memcpy(v->bytes + at, s, n_bytes);
    v->start[++v->n_symbols] = (uint32_t)(at + n_bytes);
    return true;
}

int32_t lull_vocab_intern(lull_vocab *v, const void *s, size_t n_bytes)
{
    int32_t id = lull_vocab_find(v, s, n_bytes);
    if (id >= 0) return id;
    if (!append_string(v, s, n_bytes)) return -1;
    id = v->n_symbols - 1;
    size_t n;
    const uint8_t *own = lull_vocab_string(v, id, &n);
    *slot_of(v, own, n) = id;
    return id;
}

/* The array `key` of n_tokens elements, when the file has it. */
static lull_status find_array(const lull_gguf *g, const char *key, lull_gguf_type type,
                              int n_tokens, const uint8_t **raw, lull_error *err)
{
    uint64_t n;
    *raw = NULL;
    if (!lull_gguf_find(g, key)) return LULL_OK;
    lull_status st = lull_gguf_get_array(g, key, type, raw, &n, err);
    if (st == LULL_OK && n != (uint64_t)n_tokens)
        st = lull_fail(err, LULL_ECORRUPT, "%s: %s has %llu entries for %d tokens",
                       lull_gguf_path(g), key, (unsigned long long)n, n_tokens);
    return st;
}

lull_status lull_vocab_init(lull_vocab *v, const lull_gguf *g, size_t n_extra, lull_error *err)
{
    static const char tokens_key[] = "tokenizer.ggml.tokens";
    lull_status st = LULL_OK;
    const uint8_t *cursor, *types, *scores;
    uint64_t n;
    *v = (lull_vocab){0};
    LULL_TRY(lull_gguf_get_strs(g, tokens_key, &cursor, &n, err));
    if (n == 0 || n > MOST_TOKENS) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: %s has %llu entries", lull_gguf_path(g), tokens_key,
                       (unsigned long long)n);
        goto done;
    }
    v->n_tokens = (int)n;
    v->cap = (int)(n + n_extra);
    LULL_TRY(find_array(g, "tokenizer.ggml.token_type", LULL_GGUF_I32, v->n_tokens, &types, err));
    LULL_TRY(find_array(g, "tokenizer.ggml.scores", LULL_GGUF_F32, v->n_tokens, &scores, err));
    for (v->n_slots = 64; v->n_slots < 2 * (uint32_t)v->cap;) v->n_slots *= 2;
    v->bytes_cap = 10 * (size_t)v->cap;
    v->bytes = malloc(v->bytes_cap);
    v->start = malloc(((size_t)v->cap + 1) * sizeof *v->start);
    v->types = malloc((size_t)n);
    v->scores = malloc((size_t)n * sizeof *v->scores);
    v->slots = malloc(v->n_slots * sizeof *v->slots);
    if (!v->bytes || !v->start || !v->types || !v->scores || !v->slots) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the vocabulary");
        goto done;
    }
    v->start[0] = 0;
    memset(v->slots, 0xff, v->n_slots * sizeof *v->slots);
    for (int i = 0; i < v->n_tokens; i++) {
        lull_gguf_str s = lull_gguf_next_str(&cursor);
        if (!append_string(v, s.data, s.n_bytes)) {
            st = lull_fail(err, LULL_ENOMEM, "out of memory for the vocabulary");
            goto done;
        }
        int32_t type = LULL_TOKEN_NORMAL;
        if (types) memcpy(&type, types + 4 * (size_t)i, 4);
        if (type < 0 || type > LULL_TOKEN_BYTE) {
            st = lull_fail(err, LULL_ECORRUPT, "%s: tokenizer.ggml.token_type of token %d is %d",
                           lull_gguf_path(g), i, type);
            goto done;
        }
        v->types[i] = (uint8_t)type;
        v->scores[i] = 0;
        if (scores) memcpy(&v->scores[i], scores + 4 * (size_t)i, 4);
        if (s.n_bytes > 0) *slot_of(v, v->bytes + v->start[i], s.n_bytes) = i;
    }
done:
    return st;
}

void lull_vocab_fini(lull_vocab *v)
{
    free(v->bytes);
    free(v->start);
    free(v->types);
    free(v->scores);
    free(v->slots);
    *v = (lull_vocab){0};
}
