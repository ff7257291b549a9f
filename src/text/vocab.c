#include "vocab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

enum {
    MOST_TOKENS = 1 << 24,
    MOST_SYMBOLS = 1 << 27,
    BATCH = 32 /* tokens hashed ahead of their insertion, to overlap the misses of the cache */
};

static uint64_t hash_of(const lull_vocab *v, const void *s, size_t n_bytes)
{
    return XXH3_64bits_withSeed(s, n_bytes, v->seed);
}

static bool has_string(const lull_vocab *v, int32_t id, const void *s, size_t n_bytes)
{
    size_t n;
    const uint8_t *own = lull_vocab_string(v, id, &n);
    return n == n_bytes && memcmp(own, s, n_bytes) == 0;
}

/* The slot of a string: that which holds it, else the empty one where it belongs. */
static lull_vocab_slot *slot_of(const lull_vocab *v, uint64_t hash, const void *s, size_t n_bytes)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint32_t at = (uint32_t)hash;; at++) {
        lull_vocab_slot *slot = &v->slots[at & (v->n_slots - 1)];
        if (slot->id < 0 || (slot->tag == tag && has_string(v, slot->id, s, n_bytes))) return slot;
    }
}

int32_t lull_vocab_find(const lull_vocab *v, const void *s, size_t n_bytes)
{
    return slot_of(v, hash_of(v, s, n_bytes), s, n_bytes)->id;
}

int32_t lull_vocab_find_text(const lull_vocab *v, const void *s, size_t n_bytes)
{
    int32_t id = lull_vocab_find(v, s, n_bytes);
    return id >= 0 && id < v->n_tokens && v->is_text[id] ? id : -1;
}

static bool append_string(lull_vocab *v, const void *s, size_t n_bytes)
{
    size_t at = v->start[v->n_symbols];
    if (n_bytes > UINT32_MAX - at) return false;
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

/* Room for one more symbol, and a table that is at most half full with it. */
static bool grow(lull_vocab *v)
{
    if (v->n_symbols == v->cap) {
        if (v->cap >= MOST_SYMBOLS) return false;
        uint32_t *start = realloc(v->start, (2 * (size_t)v->cap + 1) * sizeof *start);
        if (!start) return false;
        v->start = start;
        v->cap *= 2;
    }
    if ((uint32_t)v->n_symbols < v->n_slots / 2) return true;
    size_t old_bytes = v->n_slots * sizeof *v->slots;
    lull_vocab_slot *old = v->slots, *slots = malloc(2 * old_bytes);
    if (!slots) return false;
    memset(slots, 0xff, 2 * old_bytes);
    v->slots = slots;
    v->n_slots *= 2;
    for (uint32_t i = 0; i < v->n_slots / 2; i++) {
        if (old[i].id < 0) continue;
        size_t n;
        const uint8_t *s = lull_vocab_string(v, old[i].id, &n);
        *slot_of(v, hash_of(v, s, n), s, n) = old[i];
    }
    free(old);
    return true;
}

int32_t lull_vocab_intern(lull_vocab *v, const void *s, size_t n_bytes)
{
    uint64_t hash = hash_of(v, s, n_bytes);
    int32_t id = slot_of(v, hash, s, n_bytes)->id;
    if (id >= 0) return id;
    id = v->n_symbols;
    if (!grow(v) || !append_string(v, s, n_bytes)) return -1;
    *slot_of(v, hash, s, n_bytes) = (lull_vocab_slot){(uint32_t)(hash >> 32), id};
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

/* Put the tokens into the table. An empty one stays out: no text becomes it. */
static void index_tokens(lull_vocab *v)
{
    memset(v->slots, 0xff, v->n_slots * sizeof *v->slots);
    for (int from = 0; from < v->n_tokens; from += BATCH) {
        uint64_t hashes[BATCH];
        int n = v->n_tokens - from < BATCH ? v->n_tokens - from : BATCH;
        for (int i = 0; i < n; i++) {
            size_t n_bytes;
            const uint8_t *s = lull_vocab_string(v, from + i, &n_bytes);
            hashes[i] = hash_of(v, s, n_bytes);
            __builtin_prefetch(&v->slots[hashes[i] & (v->n_slots - 1)], 1);
        }
        for (int i = 0; i < n; i++) {
            size_t n_bytes;
            const uint8_t *s = lull_vocab_string(v, from + i, &n_bytes);
            if (n_bytes == 0) continue;
            *slot_of(v, hashes[i], s, n_bytes) =
                (lull_vocab_slot){(uint32_t)(hashes[i] >> 32), from + i};
        }
    }
}

lull_status lull_vocab_init(lull_vocab *v, const lull_gguf *g, lull_error *err)
{
    static const char tokens_key[] = "tokenizer.ggml.tokens";
    lull_status st = LULL_OK;
    const uint8_t *cursor, *types, *scores;
    uint64_t n;
    *v = (lull_vocab){0};
    if (getentropy(&v->seed, sizeof v->seed) != 0) v->seed = (uintptr_t)v;
    LULL_TRY(lull_gguf_get_strs(g, tokens_key, &cursor, &n, err));
    if (n == 0 || n > MOST_TOKENS) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: %s has %llu entries", lull_gguf_path(g), tokens_key,
                       (unsigned long long)n);
        goto done;
    }
    v->n_tokens = (int)n;
    v->cap = (int)n + 256; /* the characters of all bytes */
    LULL_TRY(find_array(g, "tokenizer.ggml.token_type", LULL_GGUF_I32, v->n_tokens, &types, err));
    LULL_TRY(find_array(g, "tokenizer.ggml.scores", LULL_GGUF_F32, v->n_tokens, &scores, err));
    for (v->n_slots = 64; v->n_slots < 2 * (uint32_t)v->n_tokens;) v->n_slots *= 2;
    v->bytes_cap = 10 * (size_t)v->cap;
    v->bytes = malloc(v->bytes_cap);
    v->start = malloc(((size_t)v->cap + 1) * sizeof *v->start);
    v->types = malloc((size_t)n);
    v->is_text = malloc((size_t)n * sizeof *v->is_text);
    v->scores = malloc((size_t)n * sizeof *v->scores);
    v->slots = malloc(v->n_slots * sizeof *v->slots);
    if (!v->bytes || !v->start || !v->types || !v->is_text || !v->scores || !v->slots) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the vocabulary");
        goto done;
    }
    v->start[0] = 0;
    for (int i = 0; i < v->n_tokens; i++) {
        lull_gguf_str s = lull_gguf_next_str(&cursor);
        if (!append_string(v, s.data, s.n_bytes)) {
            st = lull_fail(err, LULL_ENOMEM, "out of memory for the vocabulary");
            goto done;
        }
        if (s.n_bytes > v->longest) v->longest = s.n_bytes;
        int32_t type = LULL_TOKEN_NORMAL;
        if (types) memcpy(&type, types + 4 * (size_t)i, 4);
        if (type < 0 || type > LULL_TOKEN_BYTE) {
            st = lull_fail(err, LULL_ECORRUPT, "%s: tokenizer.ggml.token_type of token %d is %d",
                           lull_gguf_path(g), i, type);
            goto done;
        }
        v->types[i] = (uint8_t)type;
        v->is_text[i] =
            type != LULL_TOKEN_CONTROL && type != LULL_TOKEN_UNKNOWN && type != LULL_TOKEN_BYTE;
        v->scores[i] = 0;
        if (scores) memcpy(&v->scores[i], scores + 4 * (size_t)i, 4);
    }
    index_tokens(v);
done:
    return st;
}

void lull_vocab_fini(lull_vocab *v)
{
    free(v->bytes);
    free(v->start);
    free(v->types);
    free(v->is_text);
    free(v->scores);
    free(v->slots);
    *v = (lull_vocab){0};
}
