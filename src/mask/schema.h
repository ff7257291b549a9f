/* JSON Schema (draft 2020-12) as a grammar: the JSON texts that a schema accepts, in one
 * spelling each.
 *
 * The texts have at most one space behind ':' and ',' and no other white space; strings escape
 * only what they must (lull_expr_language, as_json); members come in any order. A number under a
 * bound, a "multipleOf" or "integer" is written without an exponent. "format" is held to, not
 * only noted.
 *
 * What a grammar cannot hold to is refused, by name and by its place in the schema; nothing is
 * left out silently but keywords that JSON Schema does not know. docs/json-schema.md lists both. */
#ifndef LULL_MASK_SCHEMA_H
#define LULL_MASK_SCHEMA_H

#include "grammar.h"

/* schema [n_bytes] is JSON, borrowed. g: not finished; its expressions grow by the schema's.
 * start: out, the whole text, for lull_grammar_finish.
 *   LULL_EINVAL       not JSON, not a schema, or one that no JSON satisfies; msg names the place
 *   LULL_EUNSUPPORTED a keyword that cannot be turned into a mask, by name and place
 *   LULL_EFULL        too large or too involved;  LULL_ENOMEM
 * After a failure g is only good to be freed. */
LULL_NODISCARD lull_status lull_schema_compile(const char *schema, size_t n_bytes, lull_grammar *g,
                                               lull_expr *start, lull_error *err);

#endif
