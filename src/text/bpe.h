/* Tokenizers of the kind `gpt2` (byte-level BPE, Radford et al. 2019): a regular expression cuts
 * text into words, whose bytes, written as characters, are merged by rank. */
#ifndef LULL_TEXT_BPE_H
#define LULL_TEXT_BPE_H

#include "tokenizer.h"
#include "vocab.h"

typedef struct lull_bpe lull_bpe;

/* v is kept, and symbols are added to it. LULL_ENOTFOUND, LULL_ECORRUPT (no merges, or a damaged
 * one, named), LULL_EUNSUPPORTED (tokenizer.ggml.pre, named), LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_bpe_new(const lull_gguf *g, lull_vocab *v, lull_bpe **out,
                                        lull_error *err);
void lull_bpe_free(lull_bpe *b);

/* Does this pre-tokenizer put BOS in front where the file is silent? */
bool lull_bpe_adds_bos(const lull_bpe *b);

/* Append the ids of plain text [n_bytes <= INT32_MAX]. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_bpe_encode(const lull_bpe *b, const char *text, size_t n_bytes,
                                           lull_token_list *out, lull_error *err);

/* The bytes that a token's characters stand for, at most n_bytes, to out; returns how many.
 * Characters that stand for no byte are kept as they are. */
size_t lull_bpe_decode(const lull_bpe *b, const uint8_t *string, size_t n_bytes, uint8_t *out);

#endif
