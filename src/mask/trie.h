/* The trie of a vocabulary, laid out as a walk in depth visits it. */
#ifndef LULL_MASK_TRIE_H
#define LULL_MASK_TRIE_H

#include "mask.h"

/* Node i is followed by its first child, if it has one, and at `end` by its next sibling. Tokens are in
 * the order of their texts; those of node i and of all below are [first_token, that of node `end`). */
typedef struct lull_trie_node {
    uint32_t end, first_token;
    uint8_t byte;
    uint8_t
        n_chars; /* of a node where a character begins: the most from here on, if all are such as a
                        JSON string has as they are (the last one may be cut off); else 0 */
} lull_trie_node;

struct lull_trie {
    int n_vocab;
    lull_trie_node
        *nodes; /* [n_nodes + 1] node 0 is the empty text; the last one only ends the tokens */
    uint32_t n_nodes, nodes_cap;
    int32_t *tokens; /* [n_tokens] ids */
    uint32_t n_tokens;
    size_t depth; /* bytes of the longest text */
};

#endif
