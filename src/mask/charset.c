#include "charset.h"

#include <stdlib.h>

void lull_charset_add(lull_charset *s, uint32_t first, uint32_t last)
{
    if (s->is_failed) return;
    bool is_full = s->n == s->cap;
    if (is_full) lull_charset_sort(s); /* what was added twice need not grow it */
    if (is_full && s->n >= s->cap / 2) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        lull_char_range *ranges = realloc(s->ranges, cap * sizeof *ranges);
        if (!ranges) {
            s->is_failed = true;
            return;
        }
        s->ranges = ranges;
        s->cap = cap;
    }
    s->ranges[s->n++] = (lull_char_range){first, last};
}

void lull_charset_add_ranges(lull_charset *s, const lull_char_range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) lull_charset_add(s, ranges[i].first, ranges[i].last);
}

void lull_charset_add_others(lull_charset *s, const lull_char_range *ranges, size_t n)
{
    uint32_t next = 0; /* the first character not looked at */
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].first > next) lull_charset_add(s, next, ranges[i].first - 1);
        next = ranges[i].last + 1;
    }
    if (next <= LULL_LAST_CHAR) lull_charset_add(s, next, LULL_LAST_CHAR);
}

static int by_first(const void *a, const void *b)
{
    const lull_char_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

void lull_charset_sort(lull_charset *s)
{
    if (s->n == 0) return;
    qsort(s->ranges, s->n, sizeof *s->ranges, by_first);
    lull_char_range *to = s->ranges;
    for (const lull_char_range *r = to + 1; r < s->ranges + s->n; r++) {
        if (r->first > to->last && r->first - to->last > 1)
            *++to = *r;
        else if (r->last > to->last)
            to->last = r->last;
    }
    s->n = (size_t)(to - s->ranges) + 1;
}

void lull_charset_invert(lull_charset *s)
{
    lull_charset_sort(s);
    lull_charset others = {.is_failed = s->is_failed};
    lull_charset_add_others(&others, s->ranges, s->n);
    lull_charset_fini(s);
    *s = others;
}

void lull_charset_fini(lull_charset *s)
{
    free(s->ranges);
    *s = (lull_charset){0};
}
