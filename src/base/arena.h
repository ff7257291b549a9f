/* A bump allocator: many small objects of one lifetime, freed at once. Zero-initialised is empty.
 * Not thread-safe. */
#ifndef LULL_BASE_ARENA_H
#define LULL_BASE_ARENA_H

#include <stddef.h>

typedef struct lull_arena_block lull_arena_block;
typedef struct lull_arena {
    lull_arena_block *head;
    size_t n_bytes; /* handed out so far */
    size_t n_held;  /* taken from the system, for limits */
} lull_arena;

/* n bytes, zeroed, aligned to 16; a view until reset or fini. NULL when memory runs out. */
void *lull_arena_alloc(lull_arena *a, size_t n);
/* A NUL-terminated copy of n bytes of s. */
char *lull_arena_strdup(lull_arena *a, const char *s, size_t n);
void lull_arena_fini(lull_arena *a);

#endif
