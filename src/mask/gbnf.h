#ifndef LULL_MASK_GBNF_H
#define LULL_MASK_GBNF_H
#include "grammar.h"
LULL_NODISCARD lull_status lull_gbnf_parse(const char *text, size_t n_bytes, lull_grammar *g, lull_expr *start, lull_error *err);
#endif
