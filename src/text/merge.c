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

/* Room for one more element; NULL: out of memory, and the array stays as it is. */
static void *with_room(void *array, size_t n, size_t *cap, size_t elem_bytes)
{
    if (n < *cap) return array;
    size_t grown = *cap ? 2 * *cap : 64;
    void *p = realloc(array, grown * elem_bytes);
    if (p) *cap = grown;
    return p;
}

void lull_merger_push(lull_merger *m, uint32_t start, uint32_t n_bytes, int32_t id)
{
    lull_symbol *symbols = with_room(m->symbols, m->n, &m->cap, sizeof *symbols);
    if (!symbols) {
        m->is_failed = true;
        return;
    }
    m->symbols = symbols;
    int32_t i = (int32_t)m->n++;
    symbols[i] = (lull_symbol){start, n_bytes, i - 1, -1, id, -1, 0};
    if (i > 0) symbols[i - 1].next = i;
}

static void heap_push(lull_merger *m, uint64_t entry)
{
    uint64_t *heap = with_room(m->heap, m->n_heap, &m->heap_cap, sizeof *heap);
    if (!heap) {
        m->is_failed = true;
        return;
    }
    m->heap = heap;
    size_t i = m->n_heap++;
    for (; i > 0 && entry < heap[(i - 1) / 2]; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = entry;
}

static uint64_t heap_pop(lull_merger *m)
{
    uint64_t *heap = m->heap, top = heap[0], last = heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap) break;
        if (child + 1 < m->n_heap) child += heap[child + 1] < heap[child];
        if (heap[child] >= last) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

/* Note whether symbol i merges with the next one. */
static void find_pair(lull_merger *m, int32_t i, lull_pair_fn pair, const void *user)
{
    lull_symbol *s = &m->symbols[i];
    s->pair_id = -1;
    if (s->next >= 0 && pair(user, s, &m->symbols[s->next], &s->pair_key, &s->pair_id))
        heap_push(m, (uint64_t)s->pair_key << 32 | (uint32_t)i);
    else
        s->pair_id = -1;
}

bool lull_merger_run(lull_merger *m, lull_pair_fn pair, const void *user)
{
    if (m->is_failed) return false;
    for (size_t i = 0; i < m->n; i++) find_pair(m, (int32_t)i, pair, user);
    while (m->n_heap > 0) {
        uint64_t entry = heap_pop(m);
        int32_t i = (int32_t)(uint32_t)entry;
        lull_symbol *left = &m->symbols[i];
        /* An entry is stale when a neighbour has merged since. When the new pair has the same key,
         * it has an entry that equals this one, and either may stand for it. */
        if (left->pair_id < 0 || left->pair_key != entry >> 32) continue;
        lull_symbol *right = &m->symbols[left->next];
        left->n_bytes += right->n_bytes;
        left->id = left->pair_id;
        left->next = right->next;
        right->pair_id = -1;
        if (right->next >= 0) m->symbols[right->next].prev = i;
        if (left->prev >= 0) find_pair(m, left->prev, pair, user);
        find_pair(m, i, pair, user);
    }
    return !m->is_failed;
}
