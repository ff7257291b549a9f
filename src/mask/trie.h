/* The trie of a vocabulary, laid out as a walk in depth visits it. */
#ifndef LULL_MASK_TRIE_H
#define LULL_MASK_TRIE_H

#include "mask.h"

/* Characters come in kinds: to most places in a grammar those of a kind are all alike. */
typedef enum lull_char_kind {
    LULL_CHAR_LOWER, /* a-z */
    LULL_CHAR_UPPER,
    LULL_CHAR_DIGIT,
    LULL_CHAR_SPACE, /* U+0020 */
    LULL_CHAR_MARK,  /* the rest of printable ASCII, but for '"' and '\' */
    LULL_CHAR_WIDE,  /* of two bytes and more, in UTF-8 */
    LULL_CHAR_KINDS
} lull_char_kind;

static inline bool lull_begins_char(uint8_t byte)
{
    return (byte & 0xC0) != 0x80; /* of UTF-8: no continuation */
}

/* The kind of a byte below 128; LULL_CHAR_KINDS: of none. */
static inline lull_char_kind lull_char_kind_of(uint8_t byte)
{
    if (byte >= 'a' && byte <= 'z') return LULL_CHAR_LOWER;
    if (byte >= 'A' && byte <= 'Z') return LULL_CHAR_UPPER;
    if (byte >= '0' && byte <= '9') return LULL_CHAR_DIGIT;
    if (byte == ' ') return LULL_CHAR_SPACE;
    bool is_mark = byte > ' ' && byte < 0x7F && byte != '"' && byte != '\\';
    return is_mark ? LULL_CHAR_MARK : LULL_CHAR_KINDS;
}

/* Node i is followed by its first child, if it has one, and at `end` by its next sibling. Tokens are in
 * the order of their texts; those of node i and of all below are [first_token, that of node `end`). */
typedef struct lull_trie_node {
    uint32_t end, first_token;
    uint8_t byte;
    /* Of a node where a character begins, if all from here on are characters with a kind (the last one may
     * be cut off): which kinds, a bit each, and the most of them on one path; else both 0. */
    uint8_t kinds, n_chars;
} lull_trie_node;

struct lull_trie {
    int n_vocab;
    lull_trie_node
        *nodes; /* [n_nodes + 1] node 0 is the empty text; the last one only ends the tokens */
    uint32_t n_nodes, nodes_cap;
    int32_t *tokens; /* [n_tokens] ids */
    uint32_t n_tokens;
    uint8_t *n_chars; /* [n_tokens] characters that begin in a token, at most 255 */
    uint64_t *all;    /* [n_vocab / 64, rounded up] the tokens of the trie as a mask */
    size_t depth;     /* bytes of the longest text */
    int32_t *ends;    /* [n_ends] tokens that end a text, ascending */
    size_t n_ends;
};

#endif
