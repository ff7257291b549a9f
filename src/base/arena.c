#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 - 64, ALIGN = 16 };

struct lull_arena_block {
    lull_arena_block *next;
    size_t used, cap;
    _Alignas(ALIGN) unsigned char data[];
};

void *lull_arena_alloc(lull_arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) return NULL;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    lull_arena_block *b = a->head;
    if (!b || b->cap - b->used < n) {
        size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        b = malloc(sizeof *b + cap);
        if (!b) return NULL;
        a->n_held += cap;
        b->used = 0;
        b->cap = cap;
        /* A block made for one large object goes behind the head, whose room stays in use. */
        if (a->head && n > BLOCK_BYTES) {
            b->next = a->head->next;
            a->head->next = b;
        } else {
            b->next = a->head;
            a->head = b;
        }
    }
    void *p = b->data + b->used;
    b->used += n;
    a->n_bytes += n;
    return memset(p, 0, n);
}

char *lull_arena_strdup(lull_arena *a, const char *s, size_t n)
{
    char *p = lull_arena_alloc(a, n + 1);
    if (p && n) memcpy(p, s, n);
    return p;
}

void lull_arena_fini(lull_arena *a)
{
    for (lull_arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (lull_arena){0};
}
