#include "buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Make room for n more bytes and a NUL. */
static bool reserve(lull_buffer *b, size_t n)
{
    if (b->is_failed || n >= SIZE_MAX / 2 - b->n_bytes) return !(b->is_failed = true);
    size_t need = b->n_bytes + n + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap * 2 : 64;
    while (cap < need) cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data) return !(b->is_failed = true);
    b->data = data;
    b->cap = cap;
    return true;
}

void lull_buffer_append(lull_buffer *b, const void *bytes, size_t n)
{
    if (!reserve(b, n)) return;
    if (n) memcpy(b->data + b->n_bytes, bytes, n);
    b->n_bytes += n;
    b->data[b->n_bytes] = '\0';
}

void lull_buffer_append_str(lull_buffer *b, const char *s)
{
    lull_buffer_append(b, s, strlen(s));
}

void lull_buffer_printf(lull_buffer *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || !reserve(b, (size_t)n)) {
        b->is_failed = true;
        return;
    }
    va_start(args, fmt);
    vsnprintf(b->data + b->n_bytes, (size_t)n + 1, fmt, args);
    va_end(args);
    b->n_bytes += (size_t)n;
}

void lull_buffer_clear(lull_buffer *b)
{
    b->n_bytes = 0;
    b->is_failed = false;
    if (b->data) b->data[0] = '\0';
}

void lull_buffer_fini(lull_buffer *b)
{
    free(b->data);
    *b = (lull_buffer){0};
}

char *lull_buffer_take(lull_buffer *b, size_t *n_bytes)
{
    lull_buffer_append(b, "", 0);
    char *data = b->is_failed ? NULL : b->data;
    if (n_bytes) *n_bytes = data ? b->n_bytes : 0;
    if (data) b->data = NULL;
    lull_buffer_fini(b);
    return data;
}
