/* Regular languages over Unicode characters: a deterministic automaton, minimal, with all that sets can do
 * (union, intersection, complement). Immutable once made. Bounded in states and edges: a pattern that would
 * need more, or too long to tell, is refused. A union of many is made fastest by halves: each call costs what
 * both sides do. */
#ifndef LULL_MASK_REGULAR_H
#define LULL_MASK_REGULAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

typedef struct lull_char_range {
    uint32_t first, last; /* code points, both included */
} lull_char_range;

typedef struct lull_regular lull_regular;

enum { LULL_REGULAR_MAX_STATES = 20000 };

/* A regular expression: ECMA-262 with the u flag, as JSON Schema asks, so far as it is regular: no back
 * references, no look-around. is_whole: it matches the whole text; otherwise anywhere in it, as "pattern" of
 * JSON Schema does, and ^ and $ hold it to the ends. pattern [n_bytes] is UTF-8. *out is owned.
 *   LULL_EINVAL       a syntax error; msg names the offset
 *   LULL_EUNSUPPORTED what is not regular, by name and offset
 *   LULL_EFULL        more than LULL_REGULAR_MAX_STATES states, a million edges, or 0.1 s of work;
 *                     LULL_ENOMEM */
LULL_NODISCARD lull_status lull_regular_parse(const char *pattern, size_t n_bytes, bool is_whole,
                                              lull_regular **out, lull_error *err);
/* The one text. LULL_EINVAL: not UTF-8. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_regular_literal(const char *text, size_t n_bytes,
                                                lull_regular **out, lull_error *err);
/* All texts of min to max characters; max LULL_REGULAR_ANY: no bound. LULL_EFULL LULL_ENOMEM. */
#define LULL_REGULAR_ANY UINT32_MAX
LULL_NODISCARD lull_status lull_regular_length(uint32_t min, uint32_t max, lull_regular **out,
                                               lull_error *err);
/* Borrow both. LULL_EFULL LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_regular_union(const lull_regular *a, const lull_regular *b,
                                              lull_regular **out, lull_error *err);
LULL_NODISCARD lull_status lull_regular_intersect(const lull_regular *a, const lull_regular *b,
                                                  lull_regular **out, lull_error *err);
LULL_NODISCARD lull_status lull_regular_complement(const lull_regular *a, lull_regular **out,
                                                   lull_error *err);
void lull_regular_free(lull_regular *r);

bool lull_regular_is_empty(const lull_regular *r); /* matches nothing */
bool lull_regular_matches(const lull_regular *r, const char *text, size_t n_bytes);

/* The automaton: states [n_states], 0 is the start. Texts from a state without a path to an end are never part
 * of the language, and such states are not there. No edge begins or ends with a surrogate, though one may
 * run across them. Equal languages have equal automata. */
typedef struct lull_regular_edge {
    lull_char_range chars;
    uint32_t to;
} lull_regular_edge;
size_t lull_regular_n_states(const lull_regular *r);
bool lull_regular_is_final(const lull_regular *r, size_t state);
/* Sorted by character, without overlap; a view until free. */
const lull_regular_edge *lull_regular_edges(const lull_regular *r, size_t state, size_t *n_edges);

#endif
