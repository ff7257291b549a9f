/* A set of characters as ranges of code points, in the making. Zero-initialised is empty. Memory
 * that runs out sets is_failed, so that a builder adds freely and checks once. Not thread-safe. */
#ifndef LULL_MASK_CHARSET_H
#define LULL_MASK_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "regular.h"

enum { LULL_LAST_CHAR = 0x10ffff };

typedef struct lull_charset {
    lull_char_range *ranges; /* owned [n] */
    size_t n, cap;
    bool is_failed;
} lull_charset;

void lull_charset_add(lull_charset *s, uint32_t first, uint32_t last);
void lull_charset_add_ranges(lull_charset *s, const lull_char_range *ranges, size_t n);
/* All characters that are not in ranges [n], which is sorted and without overlap. */
void lull_charset_add_others(lull_charset *s, const lull_char_range *ranges, size_t n);
void lull_charset_sort(lull_charset *s);   /* sorted, and no two ranges touch */
void lull_charset_invert(lull_charset *s); /* sorts, too */
void lull_charset_fini(lull_charset *s);

#endif
