/* Keys and values that need not be computed: pages that are known, in memory or in a store, and pages
 * that a session woke with.
 *
 * Foreign bytes are looked at before their first use: a page from a store is compared with its
 * checksum. A sliding-window layer reads the last window only, so a store may have thinned pages out of
 * their sliding planes; where the window reaches into such pages, they are computed again. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static lull_digest key_of_page(const lull_session *s, size_t i)
{
    return lull_page_key(&s->model->kv_identity, i > 0 ? &s->keys[i - 1] : NULL,
                         s->tokens + i * LULL_PAGE_POSITIONS);
}

void lull_session_publish_pages(lull_session *s)
{
    for (; (s->n_published + 1) * LULL_PAGE_POSITIONS <= s->n_kv; s->n_published++) {
        size_t i = s->n_published;
        s->keys[i] = key_of_page(s, i);
        if (!s->is_alone) lull_page_table_publish(&s->table, i, &s->keys[i]);
    }
}

void lull_session_forget(lull_session *s, size_t n_kv)
{
    s->n_kv = min_size(s->n_kv, n_kv);
    s->n_published = min_size(s->n_published, s->n_kv / LULL_PAGE_POSITIONS);
    lull_page_table_truncate(&s->table, s->n_kv);
    s->n_checked = min_size(s->n_checked, s->table.n);
    s->window_checked = min_size(s->window_checked, s->table.n);
}

/* ---- pages of a store ------------------------------------------------------------------------ */

static void drop_view(void *store, void *view)
{
    lull_store_unpin(store, view, 1);
    free(view);
}

lull_page *lull_page_of_view(lull_page_pool *pool, lull_store *store, const lull_store_view *view,
                             const lull_digest *key)
{
    lull_store_view *pin = malloc(sizeof *pin);
    if (!pin) {
        lull_store_view given = *view;
        lull_store_unpin(store, &given, 1);
        return NULL;
    }
    *pin = *view;
    return lull_page_wrap(pool, key, view->planes, drop_view, store, pin);
}

/* Checksums of many pages are the reading of many bytes: all threads take part. */
typedef struct checking {
    lull_page *const *pages; /* [n] */
    size_t n;
    unsigned planes; /* bit k: plane k */
    lull_status *st; /* out [n] */
    lull_error *err; /* out [n] */
} checking;

static void check_some(void *ctx, int member, int n_members)
{
    checking *c = ctx;
    for (size_t i = (size_t)member; i < c->n; i += (size_t)n_members)
        c->st[i] = c->pages[i]->drop ? lull_store_check_planes(c->pages[i]->user, c->pages[i]->pin,
                                                               c->planes, &c->err[i])
                                     : LULL_OK;
}

/* How many of pages [n] are fit to be read, from the first on; err tells of the next one. */
static size_t count_good(lull_model *m, lull_page *const *pages, size_t n, unsigned planes,
                         lull_error *err)
{
    enum { AT_ONCE = 256 };
    lull_status st[AT_ONCE];
    lull_error why[AT_ONCE];
    size_t n_foreign = 0;
    for (size_t i = 0; i < n; i++) n_foreign += pages[i]->drop != NULL;
    if (n_foreign == 0) return n;
    for (size_t i = 0; i < n;) {
        checking c = {.pages = pages + i,
                      .n = min_size(n - i, AT_ONCE),
                      .planes = planes,
                      .st = st,
                      .err = why};
        pthread_mutex_lock(&m->mutex);
        lull_device_parallel(m->device, check_some, &c);
        pthread_mutex_unlock(&m->mutex);
        for (size_t k = 0; k < c.n; k++, i++) {
            if (st[k] == LULL_OK) continue;
            if (err) *err = why[k];
            return i;
        }
    }
    return n;
}

/* Check pages [from, to); a damaged one is forgotten, with all after it, if the session reads again. */
static lull_status check_range(lull_session *s, size_t from, size_t to, unsigned planes,
                               lull_error *err)
{
    lull_error why = {0};
    if (from >= to) return LULL_OK;
    size_t n_good = count_good(s->model, s->table.pages + from, to - from, planes, &why);
    if (n_good == to - from) return LULL_OK;
    if (why.code != LULL_ECORRUPT || !s->re_reads) {
        if (err) *err = why;
        return why.code;
    }
    lull_page_unpublish(s->model->pool, s->table.pages[from + n_good]);
    lull_session_forget(s, (from + n_good) * LULL_PAGE_POSITIONS);
    return LULL_OK;
}

lull_status lull_session_check(lull_session *s, lull_error *err)
{
    lull_status st = check_range(s, s->n_checked, s->table.n, 1, err);
    if (st == LULL_OK) s->n_checked = s->table.n;
    return st;
}

/* ---- what a prompt begins with --------------------------------------------------------------- */

static void append_known(lull_session *s, const lull_digest *key, lull_page *page)
{
    lull_page_table_append(&s->table, page);
    s->keys[s->n_published++] = *key;
    s->n_kv += LULL_PAGE_POSITIONS;
    s->n_checked = s->window_checked = s->table.n;
}

static bool take_from_memory(lull_session *s)
{
    lull_digest key = key_of_page(s, s->n_published);
    lull_page *page = lull_page_find(s->model->pool, &key);
    if (!page) return false;
    /* A view that nobody has used yet may be damaged: then it is as good as unknown. */
    if (page->drop && lull_store_check_planes(page->user, page->pin, 1, NULL) != LULL_OK) {
        lull_page_unpublish(s->model->pool, page);
        lull_page_release(s->model->pool, page);
        return false;
    }
    append_known(s, &key, page);
    s->reuse.from_memory += LULL_PAGE_POSITIONS;
    return true;
}

/* n more pages, as far as the store has them one after another and undamaged. What goes wrong is no
 * failure: the pages are computed then. */
static void take_from_store(lull_session *s, lull_store *store, size_t n)
{
    lull_digest *keys = malloc(n * sizeof *keys);
    lull_store_view *views = calloc(n, sizeof *views);
    bool *has = calloc(n, sizeof *has);
    lull_page **pages = calloc(n, sizeof *pages);
    if (!keys || !views || !has || !pages) goto done;
    size_t first = s->n_published;
    for (size_t i = 0; i < n; i++)
        keys[i] = lull_page_key(&s->model->kv_identity,
                                i > 0       ? &keys[i - 1]
                                : first > 0 ? &s->keys[first - 1]
                                            : NULL,
                                s->tokens + (first + i) * LULL_PAGE_POSITIONS);
    if (lull_store_map_pages(store, keys, n, views, has, NULL) != LULL_OK) goto done;
    size_t n_found = 0, n_pages = 0;
    while (n_found < n && has[n_found]) n_found++;
    while (n_pages < n_found) {
        /* The view is taken, also when memory runs out. */
        lull_page *page = lull_page_of_view(s->model->pool, store, &views[n_pages], &keys[n_pages]);
        has[n_pages] = false;
        if (!page) break;
        pages[n_pages++] = page;
    }
    for (size_t i = 0; i < n; i++)
        if (has[i]) lull_store_unpin(store, &views[i], 1);
    size_t n_good = count_good(s->model, pages, n_pages, 1, NULL);
    for (size_t i = 0; i < n_good; i++) append_known(s, &keys[i], pages[i]);
    s->reuse.from_disk += n_good * LULL_PAGE_POSITIONS;
    for (size_t i = n_good; i < n_pages; i++) {
        lull_page_unpublish(s->model->pool, pages[i]);
        lull_page_release(s->model->pool, pages[i]);
    }
done:
    free(keys);
    free(views);
    free(has);
    free(pages);
}

static size_t pages_that_wait(const lull_session *s, size_t end)
{
    bool is_at_page = s->n_kv == s->n_published * LULL_PAGE_POSITIONS;
    return is_at_page && end > s->n_kv ? (end - s->n_kv) / LULL_PAGE_POSITIONS : 0;
}

void lull_session_take_known(lull_session *s, size_t end)
{
    if (s->is_alone) return;
    while (pages_that_wait(s, end) > 0)
        if (!take_from_memory(s)) break;
    lull_store *store = s->model->store;
    size_t n = pages_that_wait(s, end);
    if (store && n > 0) take_from_store(s, store, n);
}

/* ---- sliding windows ------------------------------------------------------------------------- */

/* The first page that a window which ends before position n reaches into. */
static size_t window_page(const lull_session *s, size_t n)
{
    size_t window = (size_t)s->model->core->config.n_window;
    return n >= window ? (n - window + 1) / LULL_PAGE_POSITIONS : 0;
}

static bool lacks_sliding(const lull_session *s, size_t i)
{
    return i < s->table.n && !s->table.pages[i]->planes[1];
}

/* The last page before position n that its window reaches into and that lacks its sliding plane, plus
 * one; 0: there is none. */
static size_t end_of_gap(const lull_session *s, size_t n)
{
    size_t first = window_page(s, n), i = (n + LULL_PAGE_POSITIONS - 1) / LULL_PAGE_POSITIONS;
    while (i > first && !lacks_sliding(s, i - 1)) i--;
    return i > first ? i : 0;
}

static bool find_gap(const lull_session *s, size_t n, size_t *from, size_t *to)
{
    size_t end = end_of_gap(s, n);
    if (end == 0) return false;
    /* To compute a page, its own window must be whole: back to where nothing is missing. */
    size_t begin = end;
    while (begin > 0 &&
           (lacks_sliding(s, begin - 1) || end_of_gap(s, begin * LULL_PAGE_POSITIONS) > 0))
        begin--;
    *from = begin * LULL_PAGE_POSITIONS;
    *to = min_size(end * LULL_PAGE_POSITIONS, s->n_kv);
    return true;
}

lull_status lull_session_check_window(lull_session *s, size_t *from, size_t *to, lull_error *err)
{
    *from = *to = 0;
    if (s->model->core->kv.plane_bytes[1] == 0 || s->n_tokens == 0) return LULL_OK;
    for (;;) {
        size_t n = min_size(s->n_kv, s->n_tokens - 1);
        if (!find_gap(s, n, from, to)) *from = *to = n;
        size_t first = window_page(s, *from), end = min_size(s->window_checked, s->table.n);
        lull_status st = check_range(s, first, end, 2, err);
        if (st != LULL_OK) return st;
        if (min_size(s->n_kv, s->n_tokens - 1) != n) continue; /* something was forgotten */
        if (first < s->window_checked) s->window_checked = first;
        return LULL_OK;
    }
}
