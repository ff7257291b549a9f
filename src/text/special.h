/* Tokens that are found in a text before anything else is done to it: control tokens, and those
 * that a file calls user-defined. */
#ifndef LULL_TEXT_SPECIAL_H
#define LULL_TEXT_SPECIAL_H

#include "roles.h"
#include "vocab.h"

/* A trie of the tokens' bytes; the children of a node are a list of siblings. */
typedef struct lull_special_node {
    int32_t first_child, next_sibling; /* -1: none */
    int32_t plain, any; /* the token that ends here: without, and with control tokens; -1: none */
    uint8_t byte;
} lull_special_node;

typedef struct lull_special {
    lull_special_node *nodes; /* owned [n_nodes]; 0 is the root */
    int n_nodes, cap;
    int32_t root[256]; /* the root's children by byte; -1: none */
    uint32_t *lengths; /* owned [n_lengths]: lengths of tokens, descending */
    int n_lengths;
    const uint8_t *strips; /* kept [n_tokens] LULL_STRIPS_...; NULL: none */
} lull_special;

/* strips: see lull_roles. LULL_EUNSUPPORTED (a token of over 1,024 bytes, named), LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_special_init(lull_special *s, const lull_vocab *v,
                                             const uint8_t *strips, lull_error *err);
void lull_special_fini(lull_special *s);

/* A part of a text: a token, or plain text when id is -1. */
typedef lull_status (*lull_fragment_fn)(void *user, int32_t id, const char *text, size_t n_bytes,
                                        lull_error *err);

/* Cut text [n_bytes] into fragments, in order. Longer tokens win over shorter ones wherever they
 * stand, and among equally long ones the leftmost. The text of all fragments together is the whole
 * text, less white space that a token strips. Linear in the text's length, times the longest
 * special token at worst. LULL_ENOMEM, or what `emit` returns. */
LULL_NODISCARD lull_status lull_special_split(const lull_special *s, const char *text,
                                              size_t n_bytes, bool with_control,
                                              lull_fragment_fn emit, void *user, lull_error *err);

#endif
