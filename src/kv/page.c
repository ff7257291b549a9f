#include "page.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SLAB_PAGES = 32 /* at least */ };

/* Address space for n pages and, behind their bytes, what is kept about them. The system gives memory for
 * either when it is first touched, so a page that was set aside and never used costs nothing. */
typedef struct slab {
    struct slab *next;
    uint8_t *memory; /* mapped [n_bytes] */
    size_t n, n_bytes;
    lull_page *pages; /* view [n] */
    size_t n_used;    /* pages [n_used, n) have not been used yet */
} slab;

struct lull_page_pool {
    lull_kv_layout layout;
    size_t page_bytes;
    pthread_mutex_t mutex; /* guards all below */
    slab *slabs;
    slab *fresh; /* in which unused pages are looked for; those behind it have some, too */
    lull_page *free_pages;
    size_t n_free, n_reserved; /* n_reserved <= n_free */
    size_t n_pages;            /* in slabs, and foreign ones */
    lull_page **buckets;       /* [n_buckets] of published pages by key; a power of two */
    size_t n_buckets;
    lull_page *oldest, *newest; /* idle pages in order of their release */
    size_t n_idle, max_idle;
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

static void evict(lull_page_pool *p, size_t max_idle);

void lull_page_pool_free(lull_page_pool *p)
{
    if (!p) return;
    evict(p, 0);
    free(p->buckets);
    for (slab *s = p->slabs, *next; s; s = next) {
        next = s->next;
        munmap(s->memory, s->n_bytes);
        free(s);
    }
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

const lull_kv_layout *lull_page_pool_layout(const lull_page_pool *p)
{
    return &p->layout;
}

void lull_page_pool_keep(lull_page_pool *p, uint64_t max_bytes)
{
    pthread_mutex_lock(&p->mutex);
    p->max_idle = (size_t)(max_bytes / p->page_bytes);
    evict(p, p->max_idle);
    pthread_mutex_unlock(&p->mutex);
}

/* ---- published pages: all with the mutex held ------------------------------------------------ */

static lull_page **bucket_of(const lull_page_pool *p, const lull_digest *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    return &p->buckets[hash & (p->n_buckets - 1)];
}

static bool is_key(const lull_page *page, const lull_digest *key)
{
    return memcmp(page->key.bytes, key->bytes, sizeof key->bytes) == 0;
}

/* At least a bucket a page, so that publishing allocates nothing. */
static bool grow_buckets(lull_page_pool *p, size_t n_pages)
{
    size_t n = p->n_buckets ? p->n_buckets : 64;
    while (n < n_pages) n *= 2;
    if (n == p->n_buckets) return true;
    lull_page **buckets = calloc(n, sizeof *buckets), **old = p->buckets;
    size_t n_old = p->n_buckets;
    if (!buckets) return false;
    p->buckets = buckets;
    p->n_buckets = n;
    for (size_t i = 0; i < n_old; i++)
        for (lull_page *page = old[i], *next; page; page = next) {
            next = page->next;
            lull_page **bucket = bucket_of(p, &page->key);
            page->next = *bucket;
            *bucket = page;
        }
    free(old);
    return true;
}

static lull_page *find_published(const lull_page_pool *p, const lull_digest *key)
{
    if (!p->n_buckets) return NULL;
    for (lull_page *page = *bucket_of(p, key); page; page = page->next)
        if (is_key(page, key)) return page;
    return NULL;
}

static void add_published(lull_page_pool *p, lull_page *page, const lull_digest *key)
{
    lull_page **bucket = bucket_of(p, key);
    page->key = *key;
    page->has_key = true;
    page->next = *bucket;
    *bucket = page;
}

static void remove_published(lull_page_pool *p, lull_page *page)
{
    lull_page **at = bucket_of(p, &page->key);
    while (*at != page) at = &(*at)->next;
    *at = page->next;
    page->has_key = false;
}

static void link_idle(lull_page_pool *p, lull_page *page)
{
    page->is_idle = true;
    page->older = p->newest;
    page->newer = NULL;
    *(p->newest ? &p->newest->newer : &p->oldest) = page;
    p->newest = page;
    p->n_idle++;
}

static void unlink_idle(lull_page_pool *p, lull_page *page)
{
    page->is_idle = false;
    *(page->older ? &page->older->newer : &p->oldest) = page->newer;
    *(page->newer ? &page->newer->older : &p->newest) = page->older;
    p->n_idle--;
}

/* Give up a page that nobody holds. */
static void give_up(lull_page_pool *p, lull_page *page)
{
    if (page->has_key) remove_published(p, page);
    if (page->drop) {
        p->n_pages--;
        page->drop(page->user, page->pin);
        free(page);
        return;
    }
    for (int k = 0; k < LULL_KV_PLANES; k++)
        if (page->planes[k]) madvise(page->planes[k], p->layout.plane_bytes[k], MADV_DONTNEED);
    page->next = p->free_pages;
    p->free_pages = page;
    p->n_free++;
}

static void evict(lull_page_pool *p, size_t max_idle)
{
    while (p->n_idle > max_idle) {
        lull_page *page = p->oldest;
        unlink_idle(p, page);
        give_up(p, page);
    }
}

static lull_page *take_published(lull_page_pool *p, lull_page *page)
{
    if (page->is_idle) unlink_idle(p, page);
    lull_page_retain(page);
    return page;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Address space for n more pages at least. */
static lull_status add_slab(lull_page_pool *p, size_t n, lull_error *err)
{
    if (n < SLAB_PAGES) n = SLAB_PAGES;
    slab *s = grow_buckets(p, p->n_pages + n) ? calloc(1, sizeof *s) : NULL;
    size_t n_bytes = n * (p->page_bytes + sizeof(lull_page));
    uint8_t *memory = s ? mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                        : MAP_FAILED;
    if (memory == MAP_FAILED) {
        free(s);
        return lull_fail(err, LULL_ENOMEM, "out of memory: %zu bytes for keys and values", n_bytes);
    }
    /* Attention hops from page to page; with small memory pages every hop is an address
     * translation. Advice only. */
    madvise(memory, p->page_bytes * n, MADV_HUGEPAGE);
    *s = (slab){.next = p->slabs,
                .memory = memory,
                .n = n,
                .n_bytes = n_bytes,
                .pages = (lull_page *)(memory + p->page_bytes * n)};
    p->slabs = s;
    p->n_free += n;
    p->n_pages += n;
    return LULL_OK;
}

/* A page that was never used, from the slab that has one. There is one. */
static lull_page *take_fresh(lull_page_pool *p)
{
    /* Slabs are added in front and used up from there: what is full was looked through once. */
    if (!p->fresh || p->fresh->n_used == p->fresh->n) {
        p->fresh = p->slabs;
        while (p->fresh->n_used == p->fresh->n) p->fresh = p->fresh->next;
    }
    slab *s = p->fresh;
    size_t i = s->n_used++;
    lull_page *page = &s->pages[i];
    uint8_t *at = s->memory + i * p->page_bytes;
    for (int k = 0; k < LULL_KV_PLANES; k++) {
        page->planes[k] = p->layout.plane_bytes[k] ? at : NULL;
        at += p->layout.plane_bytes[k];
    }
    return page;
}

lull_status lull_page_pool_reserve(lull_page_pool *p, size_t n, lull_error *err)
{
    lull_status st = LULL_OK;
    pthread_mutex_lock(&p->mutex);
    while (st == LULL_OK && p->n_free - p->n_reserved < n)
        st = add_slab(p, n - (p->n_free - p->n_reserved), err);
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
    if (page)
        p->free_pages = page->next;
    else
        page = take_fresh(p);
    p->n_free--;
    p->n_reserved--;
    pthread_mutex_unlock(&p->mutex);
    page->next = NULL;
    atomic_init(&page->n_refs, 1);
    return page;
}

void lull_page_retain(lull_page *page)
{
    atomic_fetch_add_explicit(&page->n_refs, 1, memory_order_relaxed);
}

void lull_page_release(lull_page_pool *p, lull_page *page)
{
    if (!page) return;
    int n = atomic_load_explicit(&page->n_refs, memory_order_relaxed);
    while (n > 1)
        if (atomic_compare_exchange_weak_explicit(&page->n_refs, &n, n - 1, memory_order_release,
                                                  memory_order_relaxed))
            return;
    /* The count comes to 0 with the mutex held, as it leaves 0: whoever is last gives the page up, once. */
    pthread_mutex_lock(&p->mutex);
    if (atomic_fetch_sub_explicit(&page->n_refs, 1, memory_order_acq_rel) == 1) {
        if (page->has_key && p->max_idle > 0) {
            link_idle(p, page);
            evict(p, p->max_idle);
        } else {
            give_up(p, page);
        }
    }
    pthread_mutex_unlock(&p->mutex);
}

lull_page *lull_page_find(lull_page_pool *p, const lull_digest *key)
{
    pthread_mutex_lock(&p->mutex);
    lull_page *page = find_published(p, key);
    if (page) take_published(p, page);
    pthread_mutex_unlock(&p->mutex);
    return page;
}

static bool lacks_plane(const lull_page_pool *p, const lull_page *page)
{
    for (int k = 0; k < LULL_KV_PLANES; k++)
        if (p->layout.plane_bytes[k] > 0 && !page->planes[k]) return true;
    return false;
}

/* With the mutex held. */
static void unpublish(lull_page_pool *p, lull_page *page)
{
    if (!page->is_idle) {
        remove_published(p, page);
        return;
    }
    unlink_idle(p, page);
    give_up(p, page);
}

void lull_page_unpublish(lull_page_pool *p, lull_page *page)
{
    pthread_mutex_lock(&p->mutex);
    if (page->has_key) unpublish(p, page);
    pthread_mutex_unlock(&p->mutex);
}

lull_page *lull_page_publish(lull_page_pool *p, lull_page *page, const lull_digest *key)
{
    pthread_mutex_lock(&p->mutex);
    lull_page *other = find_published(p, key);
    if (other && lacks_plane(p, other)) {
        unpublish(p, other);
        other = NULL;
    }
    if (other)
        take_published(p, other);
    else
        add_published(p, page, key);
    pthread_mutex_unlock(&p->mutex);
    if (!other) return page;
    lull_page_release(p, page);
    return other;
}

lull_page *lull_page_wrap(lull_page_pool *p, const lull_digest *key,
                          const void *const planes[LULL_KV_PLANES], lull_page_drop_fn drop,
                          void *user, void *pin)
{
    lull_page *page = calloc(1, sizeof *page);
    pthread_mutex_lock(&p->mutex);
    lull_page *other = key ? find_published(p, key) : NULL;
    if (other) {
        take_published(p, other);
    } else if (page && grow_buckets(p, p->n_pages + 1)) {
        /* Foreign bytes are read-only; make_writable copies before anything is written. */
        for (int k = 0; k < LULL_KV_PLANES; k++) page->planes[k] = (uint8_t *)(uintptr_t)planes[k];
        page->drop = drop;
        page->user = user;
        page->pin = pin;
        atomic_init(&page->n_refs, 1);
        if (key) add_published(p, page, key);
        p->n_pages++;
        other = page;
    }
    pthread_mutex_unlock(&p->mutex);
    if (other != page) {
        free(page);
        drop(user, pin);
    }
    return other;
}

static size_t pages_for(size_t n_positions)
{
    return (n_positions + LULL_PAGE_POSITIONS - 1) / LULL_PAGE_POSITIONS;
}

lull_status lull_page_table_init(lull_page_table *t, lull_page_pool *pool, size_t n_positions,
                                 lull_error *err)
{
    size_t cap = pages_for(n_positions);
    *t = (lull_page_table){.pages = calloc(cap, sizeof *t->pages),
                           .is_made = calloc(cap, sizeof *t->is_made)};
    bool is_made = t->pages && t->is_made;
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
    free(t->is_made);
    for (int k = 0; k < LULL_KV_PLANES; k++) free(t->planes[k]);
    *t = (lull_page_table){0};
}

static void set_page(lull_page_table *t, size_t i, lull_page *page)
{
    t->pages[i] = page;
    for (int k = 0; k < LULL_KV_PLANES; k++) t->planes[k][i] = page ? page->planes[k] : NULL;
}

void lull_page_table_extend(lull_page_table *t, size_t n)
{
    assert(pages_for(n) <= t->cap);
    for (; t->n < pages_for(n); t->n++) {
        set_page(t, t->n, lull_page_new(t->pool));
        t->is_made[t->n] = true;
    }
}

/* Release page i, and take back the right to a new one that it was made with. The page just
 * released is free now, or the pool finds another: address space alone, which mmap grants. */
static void drop_page(lull_page_table *t, size_t i)
{
    lull_page_release(t->pool, t->pages[i]);
    if (t->is_made[i] && lull_page_pool_reserve(t->pool, 1, NULL) != LULL_OK) t->cap--;
    t->is_made[i] = false;
    set_page(t, i, NULL);
}

void lull_page_table_truncate(lull_page_table *t, size_t n)
{
    while (t->n > pages_for(n)) drop_page(t, --t->n);
}

lull_status lull_page_table_renew(lull_page_table *t, size_t i, lull_error *err)
{
    if (t->is_made[i]) { /* the right went with the old page */
        lull_status st = lull_page_pool_reserve(t->pool, 1, err);
        if (st != LULL_OK) return st;
    }
    lull_page *page = lull_page_new(t->pool);
    lull_page_release(t->pool, t->pages[i]);
    set_page(t, i, page);
    t->is_made[i] = true;
    return LULL_OK;
}

lull_status lull_page_table_make_writable(lull_page_table *t, size_t n, lull_error *err)
{
    size_t i = n / LULL_PAGE_POSITIONS;
    if (i >= t->n) return LULL_OK;
    lull_page *old = t->pages[i];
    bool is_own = !old->drop && !old->has_key;
    if (is_own && atomic_load_explicit(&old->n_refs, memory_order_acquire) == 1) return LULL_OK;
    lull_page_retain(old);
    lull_status st = lull_page_table_renew(t, i, err);
    const lull_kv_layout *layout = &t->pool->layout;
    for (int k = 0; st == LULL_OK && k < LULL_KV_PLANES; k++)
        if (t->planes[k][i] && old->planes[k])
            memcpy(t->planes[k][i], old->planes[k], layout->plane_bytes[k]);
    lull_page_release(t->pool, old);
    return st;
}

void lull_page_table_append(lull_page_table *t, lull_page *page)
{
    assert(t->n < t->cap);
    set_page(t, t->n, page);
    t->is_made[t->n++] = false;
}

void lull_page_table_publish(lull_page_table *t, size_t i, const lull_digest *key)
{
    bool was_made = t->is_made[i];
    lull_page *old = t->pages[i], *page = lull_page_publish(t->pool, old, key);
    if (page == old) return;
    if (was_made && lull_page_pool_reserve(t->pool, 1, NULL) != LULL_OK) t->cap--;
    t->is_made[i] = false;
    set_page(t, i, page);
}
