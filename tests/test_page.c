/* The layout of a page, the pool of pages, and page tables. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "page.h"

enum { N_LAYER = 7, N_KV = 3, D_HEAD = 48 };

static lull_kv_layout layout;

static int make_layout(void **state)
{
    (void)state;
    static const bool is_sliding[N_LAYER] = {true, true, false, true, true, true, false};
    lull_kv_layout_init(&layout, LULL_KV_F16, N_LAYER, N_KV, D_HEAD, is_sliding);
    return 0;
}

static lull_page_pool *new_pool(void)
{
    lull_page_pool *p;
    lull_error err;
    if (lull_page_pool_new(&layout, &p, &err) != LULL_OK) fail_msg("%s", err.msg);
    return p;
}

/* ---- layout ---------------------------------------------------------------------------------- */

/* Every element of every K and V lies in its plane, and in no other's place. */
static void test_layout(void **state)
{
    (void)state;
    enum { HEAD_BYTES = D_HEAD * LULL_PAGE_POSITIONS * 2 };
    static const size_t n_layers[LULL_KV_PLANES] = {2, 5};
    static uint8_t used[LULL_KV_PLANES][5 * 2 * N_KV * HEAD_BYTES + 4096];
    memset(used, 0, sizeof used);
    for (int p = 0; p < LULL_KV_PLANES; p++) {
        size_t bytes = n_layers[p] * 2 * N_KV * HEAD_BYTES;
        assert_int_equal(layout.plane_bytes[p] % 4096, 0);
        assert_in_range(layout.plane_bytes[p], bytes, bytes + 4095);
    }
    for (int l = 0; l < N_LAYER; l++) {
        int p = layout.plane_of[l];
        assert_int_equal(p, l == 2 || l == 6 ? 0 : 1);
        for (int h = 0; h < N_KV; h++)
            for (int kv = 0; kv < 2; kv++) {
                uint8_t *at =
                    kv ? lull_kv_v(&layout, used[p], l, h) : lull_kv_k(&layout, used[p], l, h);
                size_t offset = (size_t)(at - used[p]);
                assert_int_equal(offset % 64, 0);
                assert_true(offset + HEAD_BYTES <= layout.plane_bytes[p]);
                for (int i = 0; i < HEAD_BYTES; i++) used[p][offset + (size_t)i]++;
            }
    }
    for (int p = 0; p < LULL_KV_PLANES; p++)
        for (size_t i = 0; i < sizeof used[p]; i++)
            assert_int_equal(used[p][i], i < n_layers[p] * 2 * N_KV * HEAD_BYTES ? 1 : 0);
    assert_int_equal(lull_kv_page_bytes(&layout), layout.plane_bytes[0] + layout.plane_bytes[1]);
    assert_int_equal(lull_kv_token_bytes(&layout), 2 * 2 * N_LAYER * N_KV * D_HEAD);
}

static void test_layout_one_kind(void **state)
{
    (void)state;
    lull_kv_layout global;
    lull_kv_layout_init(&global, LULL_KV_F16, 2, 1, 64, (bool[]){false, false});
    assert_int_equal(global.plane_bytes[0], 2 * 2 * 64 * 64 * 2);
    assert_int_equal(global.plane_bytes[1], 0);
    lull_page_pool *pool;
    assert_int_equal(lull_page_pool_new(&global, &pool, NULL), LULL_OK);
    assert_int_equal(lull_page_pool_reserve(pool, 1, NULL), LULL_OK);
    lull_page *page = lull_page_new(pool);
    assert_non_null(page->planes[0]);
    assert_null(page->planes[1]);
    lull_page_release(pool, page);
    lull_page_pool_free(pool);
}

/* ---- pool ------------------------------------------------------------------------------------ */

static void test_pool(void **state)
{
    (void)state;
    enum { N = 70 }; /* more than two slabs */
    lull_page_pool *pool = new_pool();
    assert_memory_equal(lull_page_pool_layout(pool), &layout, sizeof layout);
    assert_int_equal(lull_page_pool_reserve(pool, N, NULL), LULL_OK);
    lull_page *pages[N];
    long before = atomic_load(&n_requests);
    for (int i = 0; i < N; i++) {
        pages[i] = lull_page_new(pool);
        for (int p = 0; p < LULL_KV_PLANES; p++) {
            assert_int_equal((uintptr_t)pages[i]->planes[p] % 4096, 0);
            memset(pages[i]->planes[p], i + 1, layout.plane_bytes[p]);
        }
    }
    assert_int_equal(atomic_load(&n_requests), before); /* all was set aside */
    for (int i = 0; i < N; i++)                         /* none lies in another */
        for (int p = 0; p < LULL_KV_PLANES; p++)
            for (size_t k = 0; k < layout.plane_bytes[p]; k += 512)
                assert_int_equal(pages[i]->planes[p][k], i + 1);
    for (int i = 0; i < N; i++) lull_page_release(pool, pages[i]);
    lull_page_release(pool, NULL);

    /* Released pages serve again, without another request. */
    before = atomic_load(&n_requests);
    assert_int_equal(lull_page_pool_reserve(pool, N, NULL), LULL_OK);
    for (int i = 0; i < N; i++) pages[i] = lull_page_new(pool);
    assert_int_equal(atomic_load(&n_requests), before);
    for (int i = 0; i < N; i++) lull_page_release(pool, pages[i]);
    lull_page_pool_free(pool);
}

static void test_refcount(void **state)
{
    (void)state;
    lull_page_pool *pool = new_pool();
    assert_int_equal(lull_page_pool_reserve(pool, 2, NULL), LULL_OK);
    lull_page *page = lull_page_new(pool);
    page->planes[0][0] = 77;
    lull_page_retain(page);
    lull_page_release(pool, page);
    assert_int_equal(page->planes[0][0], 77); /* one reference is left */
    lull_page *other = lull_page_new(pool);
    assert_ptr_not_equal(other, page);
    lull_page_release(pool, page);
    lull_page_release(pool, other);
    /* The last release makes the page available. */
    assert_int_equal(lull_page_pool_reserve(pool, 32, NULL), LULL_OK);
    bool is_seen = false;
    lull_page *all[32];
    for (int i = 0; i < 32; i++) {
        all[i] = lull_page_new(pool);
        is_seen |= all[i] == page;
    }
    assert_true(is_seen);
    for (int i = 0; i < 32; i++) lull_page_release(pool, all[i]);
    lull_page_pool_free(pool);
}

static void test_unreserve(void **state)
{
    (void)state;
    lull_page_pool *pool = new_pool();
    assert_int_equal(lull_page_pool_reserve(pool, 30, NULL), LULL_OK);
    lull_page_pool_unreserve(pool, 30);
    long before = atomic_load(&n_requests);
    assert_int_equal(lull_page_pool_reserve(pool, 30, NULL), LULL_OK);
    assert_int_equal(atomic_load(&n_requests), before);
    lull_page_pool_unreserve(pool, 30);
    lull_page_pool_free(pool);
    lull_page_pool_free(NULL);
}

static void *churn(void *arg)
{
    lull_page_pool *pool = arg;
    static atomic_int n_failed;
    for (int round = 0; round < 200; round++) {
        enum { N = 5 };
        lull_page *pages[N];
        if (lull_page_pool_reserve(pool, N, NULL) != LULL_OK) atomic_fetch_add(&n_failed, 1);
        for (int i = 0; i < N; i++) {
            pages[i] = lull_page_new(pool);
            pages[i]->planes[1][i] = (uint8_t)round; /* a page of one's own: no race */
        }
        for (int i = 0; i < N; i++) {
            if (pages[i]->planes[1][i] != (uint8_t)round) atomic_fetch_add(&n_failed, 1);
            lull_page_retain(pages[i]);
            lull_page_release(pool, pages[i]);
            lull_page_release(pool, pages[i]);
        }
    }
    return atomic_load(&n_failed) ? arg : NULL;
}

/* work, which returns NULL when all was well, on four threads at once. */
static void run_together(void *(*work)(void *), lull_page_pool *pool)
{
    enum { N = 4 };
    pthread_t threads[N];
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, pool), 0);
    for (int i = 0; i < N; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

static void test_pool_threads(void **state)
{
    (void)state;
    lull_page_pool *pool = new_pool();
    run_together(churn, pool);
    lull_page_pool_free(pool);
}

enum { N_CHASE = 20000 };

/* Find a page that everybody wants and nobody keeps, or make it. */
static void *chase(void *arg)
{
    lull_page_pool *pool = arg;
    lull_digest key = {{5}};
    for (int round = 0; round < N_CHASE; round++) {
        lull_page *page = lull_page_find(pool, &key);
        if (!page) {
            if (lull_page_pool_reserve(pool, 1, NULL) != LULL_OK) return arg;
            page = lull_page_publish(pool, lull_page_new(pool), &key);
        }
        lull_page_release(pool, page);
    }
    return NULL;
}

/* A page whose last user leaves while another finds it is given up once: no page is handed out twice. */
static void test_last_release(void **state)
{
    (void)state;
    enum { N_PAGES = 64 };
    lull_page_pool *pool = new_pool();
    lull_page_pool_keep(pool, 0);
    run_together(chase, pool);
    lull_page *pages[N_PAGES];
    assert_int_equal(lull_page_pool_reserve(pool, N_PAGES, NULL), LULL_OK);
    for (int i = 0; i < N_PAGES; i++) {
        pages[i] = lull_page_new(pool);
        for (int k = 0; k < i; k++) assert_ptr_not_equal(pages[i], pages[k]);
    }
    for (int i = 0; i < N_PAGES; i++) lull_page_release(pool, pages[i]);
    lull_page_pool_free(pool);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void check_table(const lull_page_table *t, size_t n_pages)
{
    assert_int_equal(t->n, n_pages);
    for (size_t i = 0; i < t->cap; i++)
        for (int p = 0; p < LULL_KV_PLANES; p++) {
            const uint8_t *plane = t->view.pages[p][i];
            if (i < n_pages)
                assert_ptr_equal(plane, t->pages[i]->planes[p]);
            else
                assert_null(plane);
        }
}

static void test_table(void **state)
{
    (void)state;
    lull_page_pool *pool = new_pool();
    lull_page_table t;
    assert_int_equal(lull_page_table_init(&t, pool, 1000, NULL), LULL_OK);
    check_table(&t, 0);
    static const size_t positions[] = {1, 63, 64, 65, 128, 129, 1000, 1000};
    static const size_t pages[] = {1, 1, 1, 2, 2, 3, 16, 16};
    for (int i = 0; i < 8; i++) {
        lull_page *first = t.n ? t.pages[0] : NULL;
        lull_page_table_extend(&t, positions[i]);
        check_table(&t, pages[i]);
        if (first) assert_ptr_equal(t.pages[0], first);
    }
    lull_page *kept = t.pages[1];
    lull_page_table_truncate(&t, 129);
    check_table(&t, 3);
    lull_page_table_truncate(&t, 128);
    check_table(&t, 2);
    lull_page_table_truncate(&t, 500); /* nothing to release */
    check_table(&t, 2);
    assert_ptr_equal(t.pages[1], kept);
    /* What it was made for stays set aside: growing again asks the system for nothing. */
    long before = atomic_load(&n_requests);
    for (int round = 0; round < 5; round++) {
        lull_page_table_extend(&t, 1000);
        lull_page_table_truncate(&t, round % 2 ? 0 : 64);
    }
    assert_int_equal(atomic_load(&n_requests), before);
    lull_page_table_fini(&t);
    assert_null(t.pages);
    lull_page_table_fini(&t);
    lull_page_pool_free(pool);
}

/* A page that another holds is not given out again when a table lets go of it. */
static void test_table_shared(void **state)
{
    (void)state;
    lull_page_pool *pool = new_pool();
    lull_page_table t;
    assert_int_equal(lull_page_table_init(&t, pool, 32 * 64, NULL), LULL_OK);
    lull_page_table_extend(&t, 64);
    lull_page *shared = t.pages[0];
    lull_page_retain(shared);
    shared->planes[0][5] = 55;
    lull_page_table_truncate(&t, 0);
    lull_page_table_extend(&t, 32 * 64);
    for (size_t i = 0; i < t.n; i++) assert_ptr_not_equal(t.pages[i], shared);
    assert_int_equal(shared->planes[0][5], 55);
    lull_page_release(pool, shared);
    lull_page_table_fini(&t);
    lull_page_pool_free(pool);
}

/* Each allocation fails once: LULL_ENOMEM, a zeroed table, and the pool goes on. */
static void test_without_memory(void **state)
{
    (void)state;
    lull_page_pool *pool = NULL;
    fail_request(0);
    assert_int_equal(lull_page_pool_new(&layout, &pool, NULL), LULL_ENOMEM);
    fail_request(-1);
    assert_null(pool);
    pool = new_pool();
    for (long n = 0;; n++) {
        lull_page_table t;
        lull_error err;
        fail_request(n);
        lull_status st = lull_page_table_init(&t, pool, 100 * 64, &err);
        bool is_hit = has_failed();
        fail_request(-1);
        if (!is_hit) {
            assert_int_equal(st, LULL_OK);
            assert_true(n >= 5); /* three arrays, a slab and its memory at least */
            lull_page_table_extend(&t, 100 * 64);
            lull_page_table_fini(&t);
            break;
        }
        assert_int_equal(st, LULL_ENOMEM);
        assert_null(t.pages);
        assert_null(t.pool);
    }
    lull_page_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),       cmocka_unit_test(test_layout_one_kind),
        cmocka_unit_test(test_pool),         cmocka_unit_test(test_refcount),
        cmocka_unit_test(test_unreserve),    cmocka_unit_test(test_pool_threads),
        cmocka_unit_test(test_last_release), cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_shared), cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, make_layout, NULL);
}
