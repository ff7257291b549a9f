/* A grammar: what a generated text may be, as expressions over bytes. Regular expressions, GBNF and
 * JSON Schema are all compiled into these; matcher.h runs them. An expression is an index into its
 * grammar, and may stand in several others.
 *
 *     lull_grammar *g = lull_grammar_new();
 *     lull_expr digit = lull_expr_chars(g, &(lull_char_range){'0', '9'}, 1);
 *     lull_expr body = lull_expr_repeat(g, digit, 1, LULL_UNBOUNDED);
 *     LULL_TRY(lull_grammar_finish(g, body, err));
 *
 * A failure inside (memory, a bound) is remembered, and lull_grammar_finish tells it: the calls
 * between need no checks. Threads: one at a time while it is built; immutable once finished. */
#ifndef LULL_MASK_GRAMMAR_H
#define LULL_MASK_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "regular.h"

typedef struct lull_grammar lull_grammar;
typedef uint32_t lull_expr;

enum { LULL_UNBOUNDED = INT32_MAX };

lull_grammar *lull_grammar_new(void); /* NULL: out of memory */
void lull_grammar_free(lull_grammar *g);

lull_expr lull_expr_empty(lull_grammar *g); /* the empty text */
lull_expr lull_expr_never(lull_grammar *g); /* no text at all */
lull_expr lull_expr_literal(lull_grammar *g, const char *bytes, size_t n_bytes);
/* One character of the ranges [n], as UTF-8; surrogates are left out. */
lull_expr lull_expr_chars(lull_grammar *g, const lull_char_range *ranges, size_t n);
lull_expr lull_expr_sequence(lull_grammar *g, const lull_expr *parts, size_t n);
lull_expr lull_expr_choice(lull_grammar *g, const lull_expr *options, size_t n);
/* body from min to max times. A count costs no expressions, however large. */
lull_expr lull_expr_repeat(lull_grammar *g, lull_expr body, uint32_t min, uint32_t max);

/* A rule, to be defined once, later: for what refers to itself. */
lull_expr lull_expr_rule(lull_grammar *g);
void lull_expr_define(lull_grammar *g, lull_expr rule, lull_expr body);

/* A regular language over characters (regular.h), borrowed. as_json: its texts as they stand between
 * the quotes of a JSON string: '"' and '\' behind a backslash, control characters as \b \t \n \f \r or
 * \u00xx, all else as it is. */
lull_expr lull_expr_language(lull_grammar *g, const lull_regular *language, bool as_json);

/* The members of an object: members [n] in any order, each at most once, and `others` any number of times,
 * with the separator between any two. All required ones come, and between min and max in all.
 * `others` may be lull_expr_never(). No two of the texts may begin alike to the end of one: the keys
 * differ. */
typedef struct lull_member {
    lull_expr text; /* "key": value */
    bool is_required;
} lull_member;
lull_expr lull_expr_members(lull_grammar *g, const lull_member *members, size_t n, lull_expr others,
                            lull_expr separator, uint32_t min, uint32_t max);

/* The whole text is `start`. The grammar is immutable from here on.
 *   LULL_EINVAL  a rule was never defined, a rule can go on without end and without text (left recursion), or nothing
 *                matches at all
 *   LULL_EFULL   too many expressions;  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_grammar_finish(lull_grammar *g, lull_expr start, lull_error *err);

#endif
