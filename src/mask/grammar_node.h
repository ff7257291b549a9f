/* What a finished grammar is inside: expressions as a table, and what was found out about each. */
#ifndef LULL_MASK_GRAMMAR_NODE_H
#define LULL_MASK_GRAMMAR_NODE_H

#include "grammar.h"

typedef enum lull_node_kind {
    LULL_NODE_EMPTY,
    LULL_NODE_NEVER,
    LULL_NODE_LITERAL,
    LULL_NODE_CHARS,
    LULL_NODE_SEQUENCE,
    LULL_NODE_CHOICE,
    LULL_NODE_REPEAT,
    LULL_NODE_RULE,
    LULL_NODE_LANGUAGE,
    LULL_NODE_MEMBERS
} lull_node_kind;

typedef struct lull_node {
    uint8_t kind;      /* lull_node_kind */
    bool is_nullable;  /* matches the empty text */
    bool is_possible;  /* matches anything at all */
    bool is_json;      /* LANGUAGE: between the quotes of a JSON string */
    bool is_not_empty; /* LANGUAGE: without the empty text */
    uint32_t first, n; /* parts, bytes, ranges or edges, in the table of their kind */
    uint32_t min, max; /* REPEAT, MEMBERS */
    lull_expr body;    /* REPEAT, RULE; MEMBERS: others */
    lull_expr separator;
    uint32_t n_uses; /* in other expressions, when finished */
} lull_node;

/* A state of a language: edges [first_edge, first_edge + n_edges), numbered within the language. */
typedef struct lull_language_state {
    uint32_t first_edge, n_edges;
    bool is_final;
} lull_language_state;

struct lull_grammar {
    lull_node *nodes;
    uint32_t n_nodes, nodes_cap;
    lull_expr *parts; /* of sequences, choices and members */
    uint32_t n_parts, parts_cap;
    bool *is_required; /* beside parts; members only */
    uint32_t required_cap;
    char *bytes;
    uint32_t n_bytes, bytes_cap;
    lull_char_range *ranges;
    uint32_t n_ranges, ranges_cap;
    lull_language_state *states; /* LANGUAGE: [first, first + n) */
    uint32_t n_states, states_cap;
    lull_regular_edge *edges;
    uint32_t n_edges, edges_cap;
    lull_expr start;
    lull_status failure; /* the first one while building */
    bool is_finished;
};

/* Room for n more entries behind the first n_used of a table (*table: owned [*cap], malloc()), of at most
 * max. False after a failure, which *failure keeps: the first one stays. LULL_EFULL LULL_ENOMEM */
bool lull_grammar_reserve(lull_status *failure, uint32_t max, void *table, uint32_t *cap,
                          uint32_t n_used, size_t n, size_t entry_bytes);

#endif
