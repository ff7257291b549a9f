/* Tokenizers of the kind `llama` (SentencePiece): characters are merged by the score of what they
 * become; what is no token falls back to bytes. */
#ifndef LULL_TEXT_SPM_H
#define LULL_TEXT_SPM_H

#include "tokenizer.h"
#include "vocab.h"

typedef struct lull_spm {
    const lull_vocab *vocab; /* kept */
    int32_t byte_ids[256];   /* -1: none */
    int32_t unknown;         /* -1: none */
    bool joins[256];         /* some token has a space right after this byte */
} lull_spm;

void lull_spm_init(lull_spm *s, const lull_vocab *v, int32_t unknown);

/* The text of a token's string s [n] to out: at most n bytes, whose number is returned. */
size_t lull_spm_decode(const uint8_t *s, size_t n, uint8_t *out);

/* Append the ids of plain text [n_bytes <= INT32_MAX / 3 - 1]; with_prefix puts a space in front.
 * LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_spm_encode(const lull_spm *s, const char *text, size_t n_bytes,
                                           bool with_prefix, lull_token_list *out, lull_error *err);

#endif
