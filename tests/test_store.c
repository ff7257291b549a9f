/* The store: what is put to sleep wakes with the same bytes, whoever else is at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "clock.h"
#include "store_check.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        lull_status status_ = (call);                                                              \
        if (status_ != LULL_OK) fail_msg("%s: %s: %s", #call, lull_status_name(status_), err.msg); \
    } while (0)
#define FAILS(status, call)                                                                        \
    do {                                                                                           \
        lull_status status_ = (call);                                                              \
        if (status_ != (status))                                                                   \
            fail_msg("%s: %s, not %s", #call, lull_status_name(status_), #status);                 \
    } while (0)

static lull_error err;
static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    temp_folder(folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static lull_store *open_store(void)
{
    lull_store *s;
    OK(lull_store_open(folder, NULL, &s, &err));
    return s;
}

static void assert_wakes(lull_store *s, int64_t id, const made *m)
{
    lull_status st;
    const char *wrong = wake_wrong(s, id, m->tokens, m->n_tokens, &st, &err);
    if (wrong) fail_msg("state #%lld: %s", (long long)id, wrong);
    if (st != LULL_OK) fail_msg("state #%lld: %s", (long long)id, err.msg);
}

/* Lengths around pages' ends; names, tags, cards and history; then all again from another handle. */
static void test_round_trip(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 63, 64, 65, 511, 512, 513, 700, 1100};
    enum { N = sizeof lengths / sizeof *lengths };
    lull_store *s = open_store();
    made *m[N];
    int64_t ids[N];
    for (int i = 0; i < N; i++) {
        char name[32];
        m[i] = make(1, lengths[i] / 2, (uint64_t)i + 10, lengths[i]);
        static const char *const tags[] = {"even", "größer"};
        m[i]->draft.tags = tags;
        m[i]->draft.n_tags = (size_t)i % 3;
        m[i]->draft.parent = i > 0 ? ids[i - 1] : 0;
        snprintf(name, sizeof name, "doc %d", i / 2);
        OK(sleep_made(s, m[i], name, -1, &ids[i], &err));
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < N; i++) {
            lull_store_state got;
            OK(lull_store_get(s, ids[i], true, &got, &err));
            assert_int_equal(got.n_tokens, lengths[i]);
            assert_int_equal(got.parent, i > 0 ? ids[i - 1] : 0);
            assert_string_equal(got.card, "{\"model\":\"a test\"}");
            assert_string_equal(got.session, "{\"position\":1}");
            assert_int_equal(got.n_names, i % 2);
            assert_int_equal(got.n_tags, i % 3);
            assert_true(got.own_bytes <= got.bytes);
            lull_store_state_fini(&got);
            assert_wakes(s, ids[i], m[i]);
            char text[32];
            snprintf(text, sizeof text, "doc %d@{%d}:5", i / 2, 1 - i % 2);
            int64_t id;
            size_t token;
            OK(lull_store_resolve(s, text, &id, &token, &err));
            assert_int_equal(id, ids[i]);
            assert_int_equal(token, 5);
        }
        lull_store_close(s);
        s = open_store();
    }
    for (int i = 0; i < N; i++) unmake(m[i]);
    lull_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_folder, drop_folder),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
