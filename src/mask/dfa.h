/* A deterministic automaton in the making: states in order, the edges of each as ranges, to states
 * that may be yet to come. What is finished is minimal, its states numbered as a walk by breadth
 * finds them: equal languages give equal automata. Zero-initialised is empty. A failure inside is
 * remembered, and lull_dfa_finish tells it.
 *
 * Characters are counted here without the surrogates (a "scalar"): else the edges of a language
 * could be passable by no text. */
#ifndef LULL_MASK_DFA_H
#define LULL_MASK_DFA_H

#include "regular.h"

enum {
    LULL_LAST_SCALAR = 0x10ffff - 0x800,
    /* Before the automaton is minimal it may have more states. */
    LULL_DFA_MAX_STATES = 2 * LULL_REGULAR_MAX_STATES,
    LULL_DFA_MAX_EDGES = 1000000
};

/* The scalar of a code point that is no surrogate, and back. */
static inline uint32_t lull_scalar_of(uint32_t code)
{
    return code < 0xd800 ? code : code - 0x800;
}
static inline uint32_t lull_scalar_code(uint32_t scalar)
{
    return scalar < 0xd800 ? scalar : scalar + 0x800;
}

typedef struct lull_dfa {
    bool *is_final;       /* owned [n_states] */
    uint32_t *edge_start; /* owned [n_states], into edges */
    size_t n_states, states_cap;
    lull_regular_edge *edges; /* owned [n_edges], chars are scalars */
    size_t n_edges, edges_cap;
    lull_status status;
} lull_dfa;

/* Begin the next state; 0, the first, is the start. */
void lull_dfa_add_state(lull_dfa *d, bool is_final);
/* An edge of the last state, behind its others in the order of characters. */
void lull_dfa_add_edge(lull_dfa *d, uint32_t first, uint32_t last, uint32_t to);
/* Every state that an edge names has been added, one at least. d is empty afterwards. *out is
 * owned. LULL_EFULL LULL_ENOMEM */
LULL_NODISCARD lull_status lull_dfa_finish(lull_dfa *d, lull_regular **out, lull_error *err);
void lull_dfa_fini(lull_dfa *d);

/* Memory of what is finished; regular.c. */
struct lull_regular {
    size_t n_states;
    uint32_t *edge_start;     /* owned [n_states + 1] */
    lull_regular_edge *edges; /* owned, chars are code points */
    bool *is_final;           /* owned [n_states] */
};

#endif
