/* The tree of a regular expression, between its parser (regex.c) and what makes an automaton of it
 * (nfa.c). All of it is in the parser's arena. */
#ifndef LULL_MASK_REGEX_H
#define LULL_MASK_REGEX_H

#include "arena.h"
#include "charset.h"
#include "dfa.h"

typedef enum lull_regex_kind {
    LULL_REGEX_EMPTY,
    LULL_REGEX_CHARS,
    LULL_REGEX_BEGIN, /* ^ */
    LULL_REGEX_END,   /* $ */
    LULL_REGEX_SEQUENCE,
    LULL_REGEX_CHOICE,
    LULL_REGEX_REPEAT
} lull_regex_kind;

#define LULL_REGEX_UNBOUNDED UINT32_MAX /* times */

typedef struct lull_regex {
    lull_regex_kind kind;
    struct lull_regex *last;       /* of the parts of a sequence or choice; the body of a repeat */
    struct lull_regex *before;     /* the part to the left of this one */
    uint32_t min, max;             /* of a repeat */
    const lull_char_range *ranges; /* of chars [n_ranges], sorted, no two touch */
    uint32_t n_ranges;
} lull_regex;

/* Add the characters of a Unicode property, \p{name}, and sort s. False: there is none of that
 * name. */
bool lull_property_add(const char *name, size_t n_bytes, lull_charset *s);

/* The automaton of texts that e matches, whole or anywhere in them. *out is owned. LULL_EFULL
 * LULL_ENOMEM */
LULL_NODISCARD lull_status lull_regex_compile(const lull_regex *e, bool is_whole,
                                              lull_regular **out, lull_error *err);

#endif
