/* Which tokens may come next: the vocabulary as a trie, walked beside an automaton. A mask is made once
 * for a place, and kept; most of the walk is saved where any character may follow. */
#ifndef LULL_MASK_MASK_H
#define LULL_MASK_MASK_H

#include "matcher.h"

/* The texts of a vocabulary, sorted into a trie. Immutable: use it from any thread. */
typedef struct lull_trie lull_trie;

/* The bytes of a token, a view that outlives the call; *n_bytes 0: it stands for no text (control
 * tokens), and no mask has it. */
typedef const char *(*lull_token_text_fn)(const void *user, int32_t token, size_t *n_bytes);
/* Tokens for which is_end is true are allowed where the text may end, and nowhere else. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_trie_new(int n_vocab, lull_token_text_fn text,
                                         bool (*is_end)(const void *user, int32_t token),
                                         const void *user, lull_trie **out, lull_error *err);
void lull_trie_free(lull_trie *t);

typedef struct lull_mask {
    size_t n;             /* allowed tokens */
    const int32_t *ids;   /* [n] ascending; NULL: there are many, see bits */
    const uint64_t *bits; /* [n_vocab / 64, rounded up] */
} lull_mask;

static inline bool lull_mask_has(const lull_mask *m, int32_t token)
{
    if (m->bits) return m->bits[token / 64] >> (token % 64) & 1;
    for (size_t i = 0; i < m->n; i++)
        if (m->ids[i] == token) return true;
    return false;
}

/* One text on its way through a grammar. One thread at a time. */
typedef struct lull_masker lull_masker;
/* grammar (finished) and trie are kept. Failures of lull_automaton_new. */
LULL_NODISCARD lull_status lull_masker_new(const lull_grammar *grammar, const lull_trie *trie,
                                           lull_masker **out, lull_error *err);
void lull_masker_free(lull_masker *m);

void lull_masker_restart(lull_masker *m);
/* Take text [n_bytes] in. LULL_EINVAL: it leaves the grammar, and nothing was taken.
 * LULL_EFULL LULL_ENOMEM as lull_automaton_step. */
LULL_NODISCARD lull_status lull_masker_push(lull_masker *m, const char *text, size_t n_bytes,
                                            lull_error *err);
bool lull_masker_is_complete(const lull_masker *m); /* the text may end here */
bool lull_masker_is_over(lull_masker *m);           /* and nothing may follow */

/* The tokens that may follow: those whose whole text may, and those that end it where it may end. A view
 * until the next call on m. */
LULL_NODISCARD lull_status lull_masker_mask(lull_masker *m, lull_mask *out, lull_error *err);
/* The text that must follow: as many bytes as there is only one way, at most cap. */
LULL_NODISCARD lull_status lull_masker_forced(lull_masker *m, char *buf, size_t cap,
                                              size_t *n_bytes, lull_error *err);
/* Whether a longer token than `text` begins with it, and may come. */
LULL_NODISCARD lull_status lull_masker_has_longer(lull_masker *m, const char *text, size_t n_bytes,
                                                  bool *has_longer, lull_error *err);

#endif
