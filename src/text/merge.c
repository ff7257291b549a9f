#include "merge.h"

#include <stdlib.h>

void lull_merger_reset(lull_merger *m)
{
    m->n = m->n_heap = 0;
}

void lull_merger_fini(lull_merger *m)
{
    free(m->symbols);
    free(m->heap);
    *m = (lull_merger){0};
}

/* Room for one more element; *array moves when it must grow. */
static bool has_room(void **array, size_t n, size_t *cap, size_t elem_bytes)
{
    if (n < *cap) return true;
    size_t grown = *cap ? 2 * *cap : 64;
    void *p = realloc(*array, grown * elem_bytes);
    if (!p) return false;
    *array = p;
    *cap = grown;
    return true;
}

void lull_merger_push(lull_merger *m, uint32_t start, uint32_t n_bytes, int32_t id)
{
    void *symbols = m->symbols;
    if (!has_room(&symbols, m->n, &m->cap, sizeof *m->symbols)) {
        m->is_failed = true;
        return;
    }
    m->symbols = symbols;
    int32_t i = (int32_t)m->n++;
    m->symbols[i] = (lull_symbol){start, n_bytes, i - 1, -1, id};
    if (i > 0) m->symbols[i - 1].next = i;
}

static bool is_before(const lull_pair *a, const lull_pair *b)
{
    return a->key != b->key ? a->key < b->key : a->left < b->left;
}

static void heap_push(lull_merger *m, lull_pair p)
{
    void *heap = m->heap;
    if (!has_room(&heap, m->n_heap, &m->heap_cap, sizeof *m->heap)) {
        m->is_failed = true;
        return;
    }
    m->heap = heap;
    size_t i = m->n_heap++;
    for (; i > 0 && is_before(&p, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = p;
}

static lull_pair heap_pop(lull_merger *m)
{
    lull_pair top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap) break;
        if (child + 1 < m->n_heap && is_before(&m->heap[child + 1], &m->heap[child])) child++;
        if (!is_before(&m->heap[child], &last)) break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    if (m->n_heap > 0) m->heap[i] = last;
    return top;
}

static void try_pair(lull_merger *m, int32_t left, int32_t right, lull_pair_fn pair,
                     const void *user)
{
    if (left < 0 || right < 0) return;
    const lull_symbol *a = &m->symbols[left], *b = &m->symbols[right];
    lull_pair p = {.left = left, .right = right, .n_bytes = a->n_bytes + b->n_bytes};
    if (pair(user, a, b, &p.key, &p.id)) heap_push(m, p);
}

bool lull_merger_run(lull_merger *m, lull_pair_fn pair, const void *user)
{
    for (size_t i = 1; i < m->n; i++) try_pair(m, (int32_t)i - 1, (int32_t)i, pair, user);
    while (m->n_heap > 0) {
        lull_pair p = heap_pop(m);
        lull_symbol *left = &m->symbols[p.left], *right = &m->symbols[p.right];
        if (left->n_bytes == 0 || right->n_bytes == 0 ||
            left->n_bytes + right->n_bytes != p.n_bytes)
            continue;
        left->n_bytes = p.n_bytes;
        left->id = p.id;
        left->next = right->next;
        right->n_bytes = 0;
        if (right->next >= 0) m->symbols[right->next].prev = p.left;
        try_pair(m, left->prev, p.left, pair, user);
        try_pair(m, p.left, left->next, pair, user);
    }
    return !m->is_failed;
}
