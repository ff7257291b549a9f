/* GBNF, the notation of grammars that llama.cpp publishes (its grammars/README.md):
 *
 *     root  ::= "[" item ("," item)* "]"   # the whole text
 *     item  ::= [0-9]{1,3} | "\"" [^"\x00-\x1f]* "\""
 *
 * Literals, classes and '.' are characters; a rule ends with its line, but not inside of a group or
 * behind '|' or '::='. */
#ifndef LULL_MASK_GBNF_H
#define LULL_MASK_GBNF_H

#include "grammar.h"

/* The expression of rule `root` of text [n_bytes], added to g, which is not finished. msg names
 * line and column, both from 1; after a failure g is good for nothing but lull_grammar_free.
 * LULL_EINVAL       a syntax error; a rule that is missing or defined twice LULL_EUNSUPPORTED
 * tokens, <...> LULL_EFULL        groups nested too deeply;  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_gbnf_parse(const char *text, size_t n_bytes, lull_grammar *g,
                                           lull_expr *start, lull_error *err);

#endif
