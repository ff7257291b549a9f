#include "page.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { SLAB_PAGES = 32 };

typedef struct slab {
    struct slab *next;
    uint8_t *memory;
    lull_page pages[SLAB_PAGES];
} slab;

struct lull_page_pool {
    lull_kv_layout layout;
    size_t page_bytes;
    pthread_mutex_t mutex; /* guards all below */
    slab *slabs;
    lull_page *free_pages;
    size_t n_free, n_reserved; /* n_reserved <= n_free */
};

lull_status lull_page_pool_new(const lull_kv_layout *layout, lull_page_pool **out, lull_error *err)
{
    lull_page_pool *p = *out = calloc(1, sizeof *p);
    if (!p) return lull_fail(err, LULL_ENOMEM, "out of memory for the page pool");
    p->layout = *layout;
    p->page_bytes = lull_kv_page_bytes(layout);
    pthread_mutex_init(&p->mutex, NULL);
    return LULL_OK;
}

void lull_page_pool_free(lull_page_pool *p)
{
    if (!p) return;
    for (slab *s = p->slabs, *next; s; s = next) {
        next = s->next;
        munmap(s->memory, p->page_bytes * SLAB_PAGES);
        free(s);
    }
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

const lull_kv_layout *lull_page_pool_layout(const lull_page_pool *p)
{
    return &p->layout;
}

/* Address space for more pages; the system fills it with zeros as they are touched. */
static lull_status add_slab(lull_page_pool *p, lull_error *err)
{
    slab *s = calloc(1, sizeof *s);
    uint8_t *memory = s ? mmap(NULL, p->page_bytes * SLAB_PAGES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                        : MAP_FAILED;
    if (memory == MAP_FAILED) {
        free(s);
        return lull_fail(err, LULL_ENOMEM, "out of memory: %zu bytes for keys and values",
                         p->page_bytes * SLAB_PAGES);
    }
    /* Attention hops from page to page; with small memory pages every hop is an address
     * translation. Advice only. */
    madvise(memory, p->page_bytes * SLAB_PAGES, MADV_HUGEPAGE);
    s->memory = memory;
    s->next = p->slabs;
    p->slabs = s;
    for (int i = SLAB_PAGES - 1; i >= 0; i--) {
        lull_page *page = &s->pages[i];
        uint8_t *at = memory + (size_t)i * p->page_bytes;
        for (int k = 0; k < LULL_KV_PLANES; k++) {
            page->planes[k] = p->layout.plane_bytes[k] ? at : NULL;
            at += p->layout.plane_bytes[k];
        }
        page->next_free = p->free_pages;
        p->free_pages = page;
    }
    p->n_free += SLAB_PAGES;
    return LULL_OK;
}

lull_status lull_page_pool_reserve(lull_page_pool *p, size_t n, lull_error *err)
{
    lull_status st = LULL_OK;
    pthread_mutex_lock(&p->mutex);
    while (st == LULL_OK && p->n_free - p->n_reserved < n) st = add_slab(p, err);
    if (st == LULL_OK) p->n_reserved += n;
    pthread_mutex_unlock(&p->mutex);
    return st;
}

void lull_page_pool_unreserve(lull_page_pool *p, size_t n)
{
    pthread_mutex_lock(&p->mutex);
    assert(n <= p->n_reserved);
    p->n_reserved -= n;
    pthread_mutex_unlock(&p->mutex);
}

lull_page *lull_page_new(lull_page_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    assert(p->n_reserved > 0);
    lull_page *page = p->free_pages;
    p->free_pages = page->next_free;
    p->n_free--;
    p->n_reserved--;
    pthread_mutex_unlock(&p->mutex);
    page->next_free = NULL;
    atomic_init(&page->n_refs, 1);
    return page;
}

void lull_page_retain(lull_page *page)
{
    atomic_fetch_add_explicit(&page->n_refs, 1, memory_order_relaxed);
}

void lull_page_release(lull_page_pool *p, lull_page *page)
{
    if (!page || atomic_fetch_sub_explicit(&page->n_refs, 1, memory_order_acq_rel) != 1) return;
    for (int k = 0; k < LULL_KV_PLANES; k++)
        if (page->planes[k]) madvise(page->planes[k], p->layout.plane_bytes[k], MADV_DONTNEED);
    pthread_mutex_lock(&p->mutex);
    page->next_free = p->free_pages;
    p->free_pages = page;
    p->n_free++;
    pthread_mutex_unlock(&p->mutex);
}

static size_t pages_for(size_t n_positions)
{
    return (n_positions + LULL_PAGE_POSITIONS - 1) / LULL_PAGE_POSITIONS;
}

lull_status lull_page_table_init(lull_page_table *t, lull_page_pool *pool, size_t n_positions,
                                 lull_error *err)
{
    size_t cap = pages_for(n_positions);
    *t = (lull_page_table){.pages = calloc(cap, sizeof *t->pages)};
    bool is_made = t->pages != NULL;
    for (int k = 0; k < LULL_KV_PLANES; k++) {
        t->planes[k] = calloc(cap, sizeof *t->planes[k]);
        t->view.pages[k] = t->planes[k];
        is_made = is_made && t->planes[k];
    }
    lull_status st = is_made ? lull_page_pool_reserve(pool, cap, err)
                             : lull_fail(err, LULL_ENOMEM, "out of memory for a page table");
    if (st != LULL_OK) {
        lull_page_table_fini(t);
        return st;
    }
    t->pool = pool;
    t->cap = cap;
    return LULL_OK;
}

void lull_page_table_fini(lull_page_table *t)
{
    if (t->pool) {
        lull_page_table_truncate(t, 0);
        lull_page_pool_unreserve(t->pool, t->cap);
    }
    free(t->pages);
    for (int k = 0; k < LULL_KV_PLANES; k++) free(t->planes[k]);
    *t = (lull_page_table){0};
}

void lull_page_table_extend(lull_page_table *t, size_t n)
{
    assert(pages_for(n) <= t->cap);
    for (; t->n < pages_for(n); t->n++) {
        lull_page *page = t->pages[t->n] = lull_page_new(t->pool);
        for (int k = 0; k < LULL_KV_PLANES; k++) t->planes[k][t->n] = page->planes[k];
    }
}

void lull_page_table_truncate(lull_page_table *t, size_t n)
{
    while (t->n > pages_for(n)) {
        t->n--;
        lull_page_release(t->pool, t->pages[t->n]);
        /* The table keeps the right to as many pages as it was made for. The page just released is
         * free now, or the pool finds another: address space alone, which mmap grants. */
        if (lull_page_pool_reserve(t->pool, 1, NULL) != LULL_OK) t->cap--;
        t->pages[t->n] = NULL;
        for (int k = 0; k < LULL_KV_PLANES; k++) t->planes[k][t->n] = NULL;
    }
}
