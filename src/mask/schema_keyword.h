/* The table of keywords in its three parts, and what its functions share. Each asks a shape for
 * what its keyword asks of a value, or makes the shapes of what does not satisfy it. */
#ifndef LULL_MASK_SCHEMA_KEYWORD_H
#define LULL_MASK_SCHEMA_KEYWORD_H

#include "schema_private.h"

typedef struct lull_keyword {
    const char *name;
    lull_status (*hold)(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v);
    /* NULL: it takes part with another keyword, or is refused in any case. */
    lull_status (*fail)(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                        lull_work *out);
} lull_keyword;

typedef struct lull_keyword_table {
    const lull_keyword *entries; /* [n], sorted by name */
    size_t n;
} lull_keyword_table;

extern const lull_keyword_table
    lull_keywords_scalar; /* schema_scalar.c: one value, strings, numbers */
extern const lull_keyword_table lull_keywords_compound; /* schema_compound.c: arrays, objects */

lull_status lull_keyword_wrong(lull_compiler *c, uint32_t schema, const char *keyword,
                               const char *wanted);
lull_status lull_keyword_no_opposite(lull_compiler *c, uint32_t schema, const char *keyword);
LULL_NODISCARD lull_status lull_keyword_count(lull_compiler *c, uint32_t schema,
                                              const char *keyword, const json_t *v, uint64_t *out);

/* A shape of these types only, to be narrowed. */
static inline lull_shape lull_shape_of(const lull_shape *s, uint8_t types)
{
    lull_shape out = *s;
    out.types &= types;
    return out;
}

#endif
