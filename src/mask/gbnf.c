#include "gbnf.h"
lull_status lull_gbnf_parse(const char *t, size_t n, lull_grammar *g, lull_expr *s, lull_error *err){(void)t;(void)n;(void)g;(void)s;return lull_fail(err, LULL_EUNSUPPORTED, "stub");}
