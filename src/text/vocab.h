/* The strings of a vocabulary and their ids. Ids [0, n_tokens) are the file's tokens; a byte-level
 * tokenizer adds symbols that merges pass through but that are no tokens. Built once, then
 * immutable: use it from any thread. */
#ifndef LULL_TEXT_VOCAB_H
#define LULL_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "gguf.h"

typedef enum lull_token_type { /* the values of the GGUF specification */
                               LULL_TOKEN_NORMAL = 1,
                               LULL_TOKEN_UNKNOWN,
                               LULL_TOKEN_CONTROL,
                               LULL_TOKEN_USER_DEFINED,
                               LULL_TOKEN_UNUSED,
                               LULL_TOKEN_BYTE
} lull_token_type;

typedef struct lull_vocab_slot {
    uint32_t tag; /* of the hash, so that most misses cost no string */
    int32_t id;   /* -1: empty */
} lull_vocab_slot;

typedef struct lull_vocab {
    int n_tokens, n_symbols, cap;
    uint8_t *bytes;  /* owned: all strings, one after the other */
    uint32_t *start; /* owned [cap + 1]: string i is bytes [start[i], start[i + 1]) */
    size_t bytes_cap;
    size_t longest;         /* bytes of the longest token */
    uint8_t *types;         /* owned [n_tokens] lull_token_type */
    bool *is_text;          /* owned [n_tokens]: plain text may become this token */
    float *scores;          /* owned [n_tokens]; 0 where the file has none */
    lull_vocab_slot *slots; /* owned [n_slots], a power of two, linear probing */
    uint32_t n_slots;
    uint64_t seed; /* of hashes: a file cannot be made to fill one end of a table */
} lull_vocab;

/* Read tokenizer.ggml.tokens, .token_type and .scores. LULL_ENOTFOUND, LULL_ECORRUPT (key named),
 * LULL_ENOMEM; *v is to be finished in any case. */
LULL_NODISCARD lull_status lull_vocab_init(lull_vocab *v, const lull_gguf *g, lull_error *err);
void lull_vocab_fini(lull_vocab *v);

/* The id of a string; the last one when several tokens share it. -1: none. */
int32_t lull_vocab_find(const lull_vocab *v, const void *s, size_t n_bytes);
/* The same for plain text: never a control, unknown or byte token, whatever the text spells. */
int32_t lull_vocab_find_text(const lull_vocab *v, const void *s, size_t n_bytes);
/* The id of a string, added as a symbol when it is new. -1: out of memory, or over 4 GiB. */
int32_t lull_vocab_intern(lull_vocab *v, const void *s, size_t n_bytes);

static inline const uint8_t *lull_vocab_string(const lull_vocab *v, int32_t id, size_t *n_bytes)
{
    *n_bytes = v->start[id + 1] - v->start[id];
    return v->bytes + v->start[id];
}

#endif
