/* Pages of keys and values, the pool that they come from, and a sequence's table of them.
 *
 * A page holds 64 positions of all layers (kv_layout.h). Pages are counted references, so that
 * sequences can share them; a page that is shared or published is not written to. A full page can be
 * published under the key of all that led to it: equal keys mean equal bytes, so any sequence that
 * comes to the same key takes that page instead of computing it. Published pages that nobody holds
 * are kept, least recently released first to go, within a number of bytes.
 *
 * The pool takes address space in slabs ahead of need and the system gives memory when a page is
 * first written, so that growing a sequence within its reserve allocates nothing. Pages may also
 * stand in memory of others, such as a mapped file.
 *
 *     LULL_TRY(lull_page_table_init(&table, pool, n_ctx, err));  // reserves for n_ctx positions
 *     lull_page_table_extend(&table, n_tokens);                  // pages for [0, n_tokens)
 *     ... evaluate with table.view ...
 *     lull_page_table_publish(&table, i, &key);                  // page i is full
 *     lull_page_table_truncate(&table, n_kept);
 *
 * Threads: the pool may be used from any thread; a table by one at a time. */
#ifndef LULL_KV_PAGE_H
#define LULL_KV_PAGE_H

#include <stdatomic.h>

#include "error.h"
#include "hash.h"
#include "kv_layout.h"

typedef struct lull_page_pool lull_page_pool;

/* Where a page's bytes belong to somebody else; called once, when the page is given up. */
typedef void (*lull_page_drop_fn)(void *user, void *pin);

typedef struct lull_page {
    atomic_int n_refs;
    uint8_t *planes[LULL_KV_PLANES]; /* NULL for a plane without layers */
    lull_page_drop_fn drop;          /* of a foreign page; NULL: the bytes are the pool's */
    void *user, *pin;
    /* guarded by the pool's mutex: */
    lull_digest key;
    bool has_key, is_idle;
    struct lull_page *next;          /* in the list of free pages, or of a bucket */
    struct lull_page *older, *newer; /* among the idle ones: published, and held by nobody */
} lull_page;

/* layout is copied. *out is owned. */
LULL_NODISCARD lull_status lull_page_pool_new(const lull_kv_layout *layout, lull_page_pool **out,
                                              lull_error *err);
/* All pages must have been released. */
void lull_page_pool_free(lull_page_pool *p);
const lull_kv_layout *lull_page_pool_layout(const lull_page_pool *p);
/* Bytes of published pages that are kept while nobody holds them; 0, as at first: none. */
void lull_page_pool_keep(lull_page_pool *p, uint64_t max_bytes);

/* Set n more pages aside, or give them back; new pages come out of what was set aside.
 * LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_page_pool_reserve(lull_page_pool *p, size_t n, lull_error *err);
void lull_page_pool_unreserve(lull_page_pool *p, size_t n);

/* A page with one reference; its bytes are finite numbers, not necessarily zero. n_reserved pages
 * must be left. */
lull_page *lull_page_new(lull_page_pool *p);
void lull_page_retain(lull_page *page);
void lull_page_release(lull_page_pool *p, lull_page *page); /* accepts NULL */

/* The page published under a key, retained; NULL: there is none. */
lull_page *lull_page_find(lull_page_pool *p, const lull_digest *key);
/* Publish a full page that is not published yet. Returns the page to use from now on: another one,
 * retained, when the key is taken (then page was released), unless that lacks a plane: the new page
 * stands in its place then. */
lull_page *lull_page_publish(lull_page_pool *p, lull_page *page, const lull_digest *key);
/* Take back that a page is published, e.g. when its bytes turn out to be damaged. */
void lull_page_unpublish(lull_page_pool *p, lull_page *page);
/* A page over foreign, read-only bytes, with one reference; `pin` is dropped when the page is given
 * up, also on failure. With a key it is published; another page, retained, when the key is taken.
 * planes: NULL where the bytes are not to be had. NULL: out of memory. */
lull_page *lull_page_wrap(lull_page_pool *p, const lull_digest *key,
                          const void *const planes[LULL_KV_PLANES], lull_page_drop_fn drop,
                          void *user, void *pin);

/* A sequence's pages in order of position. */
typedef struct lull_page_table {
    lull_page_pool *pool;             /* kept */
    lull_page **pages;                /* owned [cap] */
    uint8_t **planes[LULL_KV_PLANES]; /* owned [cap]: what view points at */
    bool *is_made;                    /* owned [cap]: the page came out of this table's reserve */
    size_t n, cap;
    lull_kv_view view;
} lull_page_table;

/* LULL_ENOMEM leaves *t zeroed. */
LULL_NODISCARD lull_status lull_page_table_init(lull_page_table *t, lull_page_pool *pool,
                                                size_t n_positions, lull_error *err);
void lull_page_table_fini(lull_page_table *t); /* accepts a zeroed table */
/* Pages for positions [0, n); n is at most what the table was made for. */
void lull_page_table_extend(lull_page_table *t, size_t n);
/* Release the pages that hold no position below n. */
void lull_page_table_truncate(lull_page_table *t, size_t n);
/* Make room to write at position n, which is next: a page that is shared or published is replaced by
 * a copy. LULL_ENOMEM leaves the table as it was. */
LULL_NODISCARD lull_status lull_page_table_make_writable(lull_page_table *t, size_t n,
                                                         lull_error *err);
/* Put a new page of unknown bytes in the place of page i, to be written anew. LULL_ENOMEM leaves the
 * table as it was. */
LULL_NODISCARD lull_status lull_page_table_renew(lull_page_table *t, size_t i, lull_error *err);
/* Append a page; its reference is taken. There must be room. */
void lull_page_table_append(lull_page_table *t, lull_page *page);
/* Publish page i, which is full; it may be replaced by an equal one. */
void lull_page_table_publish(lull_page_table *t, size_t i, const lull_digest *key);

#endif
