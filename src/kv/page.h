/* Pages of keys and values, the pool that they come from, and a sequence's table of them.
 *
 * A page holds 64 positions of all layers (kv_layout.h). Pages are counted references, so that
 * sequences can share them; a page that is shared is not written to. The pool takes address space
 * in slabs ahead of need and the system gives memory when a page is first written, so that growing
 * a sequence within its reserve allocates nothing.
 *
 *     LULL_TRY(lull_page_table_init(&table, pool, n_ctx, err));  // reserves for n_ctx positions
 *     lull_page_table_extend(&table, n_tokens);                  // pages for [0, n_tokens)
 *     ... evaluate with table.view ...
 *     lull_page_table_truncate(&table, n_kept);
 *
 * Threads: the pool may be used from any thread; a table by one at a time. */
#ifndef LULL_KV_PAGE_H
#define LULL_KV_PAGE_H

#include <stdatomic.h>

#include "error.h"
#include "kv_layout.h"

typedef struct lull_page_pool lull_page_pool;

typedef struct lull_page {
    atomic_int n_refs;
    uint8_t *planes[LULL_KV_PLANES]; /* NULL for a plane without layers */
    struct lull_page *next_free;
} lull_page;

/* layout is copied. *out is owned. */
LULL_NODISCARD lull_status lull_page_pool_new(const lull_kv_layout *layout, lull_page_pool **out,
                                              lull_error *err);
/* All pages must have been released. */
void lull_page_pool_free(lull_page_pool *p);
const lull_kv_layout *lull_page_pool_layout(const lull_page_pool *p);

/* Set n more pages aside, or give them back; new pages come out of what was set aside.
 * LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_page_pool_reserve(lull_page_pool *p, size_t n, lull_error *err);
void lull_page_pool_unreserve(lull_page_pool *p, size_t n);

/* A page with one reference; its bytes are finite numbers, not necessarily zero. n_reserved pages
 * must be left. */
lull_page *lull_page_new(lull_page_pool *p);
void lull_page_retain(lull_page *page);
void lull_page_release(lull_page_pool *p, lull_page *page); /* accepts NULL */

/* A sequence's pages in order of position. */
typedef struct lull_page_table {
    lull_page_pool *pool;             /* kept */
    lull_page **pages;                /* owned [cap] */
    uint8_t **planes[LULL_KV_PLANES]; /* owned [cap]: what view points at */
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

#endif
