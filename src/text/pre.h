/* Pre-tokenizers: regular expressions that cut text into the words of a byte-level tokenizer. They
 * cut as llama.cpp does, with the classes of Unicode 15.1, also where PCRE2 knows 14.0 only. A PCRE2
 * that knows more than 15.1 classes newer characters by its own tables. */
#ifndef LULL_TEXT_PRE_H
#define LULL_TEXT_PRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef struct lull_pre lull_pre;

/* name: of tokenizer.ggml.pre [n_bytes]. LULL_EUNSUPPORTED (not known), LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_pre_new(const char *name, size_t n_bytes, lull_pre **out,
                                        lull_error *err);
void lull_pre_free(lull_pre *p);

bool lull_pre_takes_whole_words(const lull_pre *p); /* a word that is a token is not merged */
bool lull_pre_adds_bos(const lull_pre *p);          /* where the file is silent */

typedef lull_status (*lull_word_fn)(void *user, const uint8_t *word, size_t n_bytes,
                                    lull_error *err);

/* Cut text [n_bytes <= INT32_MAX] into words, in order, together the whole text. A byte that is
 * not valid UTF-8 counts as a character that is neither letter, number, punctuation nor space.
 * LULL_ENOMEM, or what `emit` returns. */
LULL_NODISCARD lull_status lull_pre_split(const lull_pre *p, const uint8_t *text, size_t n_bytes,
                                          lull_word_fn emit, void *user, lull_error *err);

#endif
