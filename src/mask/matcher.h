/* A text against a grammar, byte by byte, and the tokens that may come next.
 *
 * The grammar runs as an automaton with a stack. The sets of places where a text may stand are remembered as
 * states with the bytes that lead on, so that a byte that was seen before in the same state costs one
 * look-up; and the mask of a state is computed once, over a trie of the vocabulary. */
#ifndef LULL_MASK_MATCHER_H
#define LULL_MASK_MATCHER_H

#include "grammar.h"

/* What is known about a grammar's states: grows as texts are matched, within a bound. One thread at a time. */
typedef struct lull_automaton lull_automaton;
/* grammar is kept, finished. */
LULL_NODISCARD lull_status lull_automaton_new(const lull_grammar *grammar, lull_automaton **out,
                                              lull_error *err);
void lull_automaton_free(lull_automaton *a);

/* A state of an automaton: where a text stands. Valid until the automaton is freed. */
typedef uint32_t lull_place;
enum { LULL_PLACE_DEAD = 0 }; /* no text of the grammar begins like this */

lull_place lull_automaton_start(const lull_automaton *a);
/* After text [n_bytes]; LULL_PLACE_DEAD when it leaves the grammar.
 *   LULL_EFULL  nested deeper, or more states, than the bounds allow;  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_automaton_step(lull_automaton *a, lull_place from, const char *text,
                                               size_t n_bytes, lull_place *to, lull_error *err);
bool lull_automaton_is_complete(const lull_automaton *a, lull_place p); /* the text may end here */

#endif
