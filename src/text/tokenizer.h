/* Tokenizers of GGUF files, exact to the token: `llama` (SentencePiece-style merges by score, byte
 * fallback) and `gpt2` (byte-level BPE with a regular expression in front). A tokenizer owns its
 * tables and does not keep the file. Immutable once made: use it from any thread.
 *
 *     lull_tokenizer *t;
 *     LULL_TRY(lull_tokenizer_new(gguf, &t, err));
 *     LULL_TRY(lull_tokenizer_encode(t, "Hi", 2, LULL_TOKENIZE_BOS, &ids, err));
 */
#ifndef LULL_TEXT_TOKENIZER_H
#define LULL_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "gguf.h"

typedef struct lull_tokenizer lull_tokenizer;

typedef struct lull_token_list {
    int32_t *ids; /* owned by the list; zero-initialised is empty */
    size_t n, cap;
} lull_token_list;

/* Grow to hold n more; LULL_ENOMEM leaves the list as it was. */
LULL_NODISCARD lull_status lull_token_list_reserve(lull_token_list *l, size_t n, lull_error *err);
void lull_token_list_fini(lull_token_list *l);

/* From the tokenizer.* metadata; g is borrowed. On failure *out is NULL.
 *   LULL_ENOTFOUND     a key is missing
 *   LULL_ECORRUPT      a key has the wrong type, arrays differ in length, an id is out of range
 *   LULL_EUNSUPPORTED  a tokenizer.ggml.model or .pre that lull does not know (named), or a special
 *                      token of over 1,024 bytes
 *   LULL_ENOMEM */
LULL_NODISCARD lull_status lull_tokenizer_new(const lull_gguf *g, lull_tokenizer **out,
                                              lull_error *err);
void lull_tokenizer_free(lull_tokenizer *t);

/* Append the ids of text [n_bytes] to *out; they are llama.cpp's. flags: LULL_TOKENIZE_SPECIAL,
 * LULL_TOKENIZE_BOS of lull.h.
 *
 * Without LULL_TOKENIZE_SPECIAL no text becomes a control token, whatever it spells; tokens that
 * the file calls user-defined are always taken whole. Bytes that are not valid UTF-8 are kept:
 * `llama` makes them byte tokens, `gpt2` merges them as it does all bytes. A byte for which the
 * vocabulary has neither a token nor an unknown token is left out.
 *
 *   LULL_EINVAL  the model has no BOS, or text is over 512 MiB;  LULL_ENOMEM
 * On failure *out is as it was. Cost: O(n log n) in the longest word. */
LULL_NODISCARD lull_status lull_tokenizer_encode(const lull_tokenizer *t, const char *text,
                                                 size_t n_bytes, int flags, lull_token_list *out,
                                                 lull_error *err);

/* The bytes a token stands for (unescaped); a view, *n_bytes long. Control tokens: their name when
 * with_special, else nothing. Byte tokens: the one byte. Ids out of range: nothing. */
const char *lull_tokenizer_text(const lull_tokenizer *t, int32_t id, bool with_special,
                                size_t *n_bytes);

/* Streaming detokeniser: feed ids, take whole UTF-8 characters. At most 3 bytes of an unfinished
 * character are held back; bytes that can never become valid UTF-8 are passed on as they are. The
 * concatenation of all output equals the concatenated token texts, but for the leading space that a
 * `llama` tokenizer with a dummy prefix takes off the first token of a text (is_start). */
typedef struct lull_detok {
    const lull_tokenizer *t;
    bool with_special, is_start;
    unsigned char held[4];
    int n_held;
} lull_detok;

void lull_detok_init(lull_detok *d, const lull_tokenizer *t, bool with_special, bool is_start);
/* Writes to out [cap]; returns the bytes written. cap must be >= lull_tokenizer_max_text(t) + 4. */
size_t lull_detok_push(lull_detok *d, int32_t id, char *out, size_t cap);
/* What is held at the end (an incomplete character), as it is; at most 3 bytes. */
size_t lull_detok_finish(lull_detok *d, char out[4]);

size_t lull_tokenizer_max_text(const lull_tokenizer *t); /* bytes of the longest token's text */
int32_t lull_tokenizer_n_vocab(const lull_tokenizer *t);
int32_t lull_tokenizer_bos(const lull_tokenizer *t); /* -1: none */
int32_t lull_tokenizer_eos(const lull_tokenizer *t); /* -1: none */
bool lull_tokenizer_adds_bos(const lull_tokenizer *t);
/* End of generation: eos, eot and the tokens that end a text or a turn in known families
 * (<|im_end|>, <|eot_id|>, <end_of_turn>, <|endoftext|>, …), as llama.cpp has them. */
bool lull_tokenizer_is_eog(const lull_tokenizer *t, int32_t id);

#endif
