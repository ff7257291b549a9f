/* Merging neighbours by priority: what both kinds of tokenizer do to a word. Symbols stand in a
 * chain; of all neighbours that may merge, the pair with the lowest (key, position) becomes one
 * symbol, until no pair is left: O(n log n). A merger keeps its memory from word to word. Not
 * thread-safe: one a call. */
#ifndef LULL_TEXT_MERGE_H
#define LULL_TEXT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lull_symbol {
    uint32_t start, n_bytes; /* in the caller's text */
    int32_t prev, next;      /* -1: none */
    int32_t id;
    int32_t pair_id; /* what this symbol and the next become; -1: they do not merge */
    uint32_t pair_key;
} lull_symbol;

typedef struct lull_merger {
    lull_symbol *symbols; /* owned [cap] */
    size_t n, cap;
    uint64_t *heap; /* owned [heap_cap]: key of a pair << 32 | its left symbol, least first */
    size_t n_heap, heap_cap;
    bool is_failed; /* memory ran out */
} lull_merger;

/* May left and right merge, with which key, into which id (not negative)? */
typedef bool (*lull_pair_fn)(const void *user, const lull_symbol *left, const lull_symbol *right,
                             uint32_t *key, int32_t *id);

/* Start a new word. */
void lull_merger_reset(lull_merger *m);
void lull_merger_push(lull_merger *m, uint32_t start, uint32_t n_bytes, int32_t id);
/* Afterwards walk the chain from symbols[0] by next. False: memory ran out. */
bool lull_merger_run(lull_merger *m, lull_pair_fn pair, const void *user);
void lull_merger_fini(lull_merger *m);

#endif
