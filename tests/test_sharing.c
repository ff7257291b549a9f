/* Pages that sessions share: a prompt begins with what is known, forks cost references, and nobody
 * sees what another one does. Every logit is compared with an uninterrupted, unshared run's. */
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include "engine_check.h"

enum { PAGE = 64, N_CTX = 400 };

static lull_model *open_sharing(const char *path)
{
    lull_model *m;
    lull_model_options o = {.n_threads = 2, .cpu_level = "", .cache_dir = ""};
    OK(lull_model_open(path, &o, &m, err));
    return m;
}

/* The logits after tokens [n], by a model that shares nothing; owned. */
static float *cold_logits(const char *path, const int32_t *tokens, size_t n, int *n_vocab)
{
    lull_model *m = open_model(path, NULL, 1);
    lull_session *s = new_session(m, N_CTX);
    const float *row;
    *n_vocab = lull_model_get_info(m).n_vocab;
    OK(lull_session_eval(s, tokens, n, &row, err));
    float *copy = malloc((size_t)*n_vocab * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, row, (size_t)*n_vocab * sizeof *copy);
    lull_session_free(s);
    lull_model_close(m);
    return copy;
}

static void expect_cold(const char *path, lull_session *s, const float *row)
{
    int n_vocab;
    float *cold = cold_logits(path, lull_session_tokens(s), lull_session_n_tokens(s), &n_vocab);
    assert_memory_equal(row, cold, (size_t)n_vocab * sizeof *cold);
    free(cold);
}

static void expect_reuse(const lull_session *s, uint64_t from_memory, uint64_t computed)
{
    lull_reuse r = lull_session_reuse(s);
    assert_int_equal(r.from_memory, from_memory);
    assert_int_equal(r.computed, computed);
}

static const char *const paths[] = {LLAMA, GEMMA};

/* A prompt takes as many whole pages as are known, whoever computed them, live or not. */
static void test_prompts(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        lull_model *m = open_sharing(paths[p]);
        int n_vocab = lull_model_get_info(m).n_vocab;
        int32_t tokens[N_CTX];
        const float *row;
        fill_tokens(tokens, N_CTX, n_vocab, 7);
        lull_session *first = new_session(m, N_CTX);
        OK(lull_session_eval(first, tokens, 200, &row, err));
        expect_reuse(first, 0, 200);
        lull_session *second = new_session(m, N_CTX); /* beside a live one */
        OK(lull_session_eval(second, tokens, 300, &row, err));
        expect_cold(paths[p], second, row);
        expect_reuse(second, 192, 108);
        lull_session_free(first);
        lull_session_free(second);
        lull_session *third = new_session(m, N_CTX); /* after both */
        tokens[130]++;
        tokens[130] %= n_vocab;
        OK(lull_session_eval(third, tokens, 300, &row, err));
        expect_cold(paths[p], third, row);
        expect_reuse(third, 128, 172);
        /* A prompt that ends with a page: its last token is evaluated for its logits. */
        lull_session *fourth = new_session(m, N_CTX);
        OK(lull_session_eval(fourth, tokens, 256, &row, err));
        expect_cold(paths[p], fourth, row);
        expect_reuse(fourth, 192, 64);
        /* In pieces that do not end with pages, nothing is taken after the first. */
        lull_session *fifth = new_session(m, N_CTX);
        OK(lull_session_eval(fifth, tokens, 100, NULL, err));
        OK(lull_session_eval(fifth, tokens + 100, 100, &row, err));
        expect_cold(paths[p], fifth, row);
        expect_reuse(fifth, 64, 136);
        lull_session_free(third);
        lull_session_free(fourth);
        lull_session_free(fifth);
        lull_model_close(m);
    }
}

/* Forks at every kind of place, of forks too, go on as if each were alone. */
static void test_forks(void **state)
{
    (void)state;
    static const size_t cuts[] = {0, 1, 63, 64, 65, 127, 128, 129, 170, 199, 200, 500};
    for (int p = 0; p < 2; p++) {
        lull_model *m = open_model(paths[p], NULL, 2);
        int n_vocab = lull_model_get_info(m).n_vocab;
        int32_t tokens[N_CTX], other[N_CTX];
        const float *row;
        fill_tokens(tokens, N_CTX, n_vocab, 8);
        fill_tokens(other, N_CTX, n_vocab, 9);
        lull_session *root = new_session(m, N_CTX), *fork, *second;
        OK(lull_session_eval(root, tokens, 200, &row, err));
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            size_t n = cuts[i] < 200 ? cuts[i] : 200;
            OK(lull_session_fork(root, cuts[i], &fork, err));
            assert_int_equal(lull_session_n_tokens(fork), n);
            OK(lull_session_eval(fork, other, 70, &row, err));
            expect_cold(paths[p], fork, row);
            OK(lull_session_fork(fork, n + 30, &second, err));
            OK(lull_session_eval(second, tokens, 40, &row, err));
            expect_cold(paths[p], second, row);
            OK(lull_session_eval(fork, tokens, 1, &row, err));
            expect_cold(paths[p], fork, row);
            lull_session_free(fork);
            lull_session_free(second);
        }
        OK(lull_session_eval(root, tokens + 200, 100, &row, err));
        expect_cold(paths[p], root, row);
        lull_session_free(root);
        lull_model_close(m);
    }
}

/* Going back into a published page and on otherwise leaves the page to others as it was. */
static void test_truncate(void **state)
{
    (void)state;
    lull_model *m = open_sharing(LLAMA);
    int n_vocab = lull_model_get_info(m).n_vocab;
    int32_t tokens[N_CTX];
    const float *row;
    fill_tokens(tokens, N_CTX, n_vocab, 10);
    lull_session *a = new_session(m, N_CTX), *b = new_session(m, N_CTX);
    OK(lull_session_eval(a, tokens, 150, &row, err));
    lull_session_truncate(a, 100);
    OK(lull_session_eval(a, tokens + 7, 60, &row, err));
    expect_cold(LLAMA, a, row);
    OK(lull_session_eval(b, tokens, 150, &row, err));
    expect_cold(LLAMA, b, row);
    expect_reuse(b, 128, 22);
    lull_session_free(a);
    lull_session_free(b);
    lull_model_close(m);
}

/* What is refused leaves nothing behind, though known pages were taken for it. */
static void test_failure(void **state)
{
    (void)state;
    lull_model *m = open_sharing(LLAMA);
    int n_vocab = lull_model_get_info(m).n_vocab;
    int32_t tokens[N_CTX];
    const float *row;
    fill_tokens(tokens, N_CTX, n_vocab, 11);
    lull_session *a = new_session(m, N_CTX), *b = new_session(m, N_CTX);
    OK(lull_session_eval(a, tokens, 300, &row, err));
    tokens[290] = n_vocab;
    FAILS(lull_session_eval(b, tokens, 300, &row, err), LULL_EINVAL, "token 290");
    assert_int_equal(lull_session_n_tokens(b), 0);
    OK(lull_session_eval(b, tokens, 290, &row, err));
    expect_cold(LLAMA, b, row);
    lull_session_free(a);
    lull_session_free(b);
    lull_model_close(m);
}

typedef struct worker {
    lull_model *model;
    const int32_t *tokens;
    int index;
    uint64_t digest;
} worker;

static uint64_t digest_of(const float *row, int n)
{
    uint64_t h = 0;
    for (int i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &row[i], 4);
        h = h * 1099511628211u + u;
    }
    return h;
}

static void *work(void *arg)
{
    worker *w = arg;
    int n_vocab = lull_model_get_info(w->model).n_vocab;
    for (int round = 0; round < 6; round++) {
        const float *row;
        lull_session *s = new_session(w->model, N_CTX), *fork;
        OK(lull_session_eval(s, w->tokens, 150, &row, err));
        OK(lull_session_fork(s, 130, &fork, err));
        lull_session_free(s);
        OK(lull_session_eval(fork, w->tokens + w->index, 20, &row, err));
        uint64_t h = digest_of(row, n_vocab);
        if (round > 0) assert_true(h == w->digest);
        w->digest = h;
        lull_session_free(fork);
    }
    return NULL;
}

/* Threads publish, find, fork and release the same pages at once. */
static void test_threads(void **state)
{
    (void)state;
    enum { N = 4 };
    lull_model *m = open_sharing(GEMMA);
    int32_t tokens[N_CTX];
    fill_tokens(tokens, N_CTX, lull_model_get_info(m).n_vocab, 12);
    worker workers[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        workers[i] = (worker){m, tokens, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
    lull_model_close(m);
}

static size_t resident_bytes(void)
{
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
        fclose(f);
    }
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* A thousand forks hold references, not copies. */
static void test_many_forks(void **state)
{
    (void)state;
    enum { N = 1000 };
    lull_model *m = open_model(LLAMA, NULL, 1);
    int32_t tokens[N_CTX];
    fill_tokens(tokens, N_CTX, lull_model_get_info(m).n_vocab, 13);
    lull_session *root = new_session(m, N_CTX), *forks[N];
    OK(lull_session_eval(root, tokens, 300, NULL, err));
    size_t before = resident_bytes();
    for (int i = 0; i < N; i++) OK(lull_session_fork(root, SIZE_MAX, &forks[i], err));
    size_t bytes = resident_bytes() - before, copied = N * lull_session_kv_bytes(root);
    print_message("1,000 forks: %zu KiB resident; their pages would be %zu KiB\n", bytes >> 10,
                  copied >> 10);
    assert_true(bytes < copied / 4);
    for (int i = 0; i < N; i++) lull_session_free(forks[i]);
    lull_session_free(root);
    lull_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),  cmocka_unit_test(test_forks),
        cmocka_unit_test(test_truncate), cmocka_unit_test(test_failure),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_many_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
