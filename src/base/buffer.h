/* A growable byte buffer, always NUL-terminated once written to. Zero-initialised is empty.
 * Memory that runs out sets `is_failed` and drops the write, so that a builder can append freely
 * and check once at the end. Not thread-safe. */
#ifndef LULL_BASE_BUFFER_H
#define LULL_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "lull/status.h"

typedef struct lull_buffer {
    char *data; /* owned; NULL while empty */
    size_t n_bytes, cap;
    bool is_failed;
} lull_buffer;

void lull_buffer_append(lull_buffer *b, const void *bytes, size_t n);
void lull_buffer_append_str(lull_buffer *b, const char *s);
void lull_buffer_printf(lull_buffer *b, const char *fmt, ...) LULL_PRINTF(2, 3);
void lull_buffer_clear(lull_buffer *b); /* keeps the memory */
void lull_buffer_fini(lull_buffer *b);
/* Give the bytes away (owned: free()); NULL when a write failed. The buffer is empty afterwards.
 * An empty buffer gives an empty string. */
char *lull_buffer_take(lull_buffer *b, size_t *n_bytes);

#endif
