/* Sessions: the logits after a sequence are the same bits however it was evaluated, and near those of
 * an exact computation; every refusal leaves the session as it was. */
#include "engine_check.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "alloc_wrap.h"
#include "buffer.h"
#include "gguf.h"
#include "golden.h"
#include "hash.h"
#include "kernels.h"
#include "sanitized.h"

/* ---- warm equals cold ------------------------------------------------------------------------ */

/* A sequence and the logits after each of its tokens, evaluated one by one. */
typedef struct sequence {
    const char *path;
    size_t n;
    int n_vocab;
    int32_t *tokens;
    float *logits; /* [n][n_vocab] */
} sequence;

static sequence sequence_new(const char *path, size_t n, uint32_t seed)
{
    lull_model *m = open_model(path, NULL, 1);
    sequence q = {.path = path, .n = n, .n_vocab = lull_model_get_info(m).n_vocab};
    q.tokens = malloc(n * sizeof *q.tokens);
    q.logits = malloc(n * (size_t)q.n_vocab * sizeof *q.logits);
    assert_true(q.tokens && q.logits);
    fill_tokens(q.tokens, n, q.n_vocab, seed);
    lull_session *s = new_session(m, n);
    for (size_t i = 0; i < n; i++) {
        const float *row;
        OK(lull_session_eval(s, &q.tokens[i], 1, &row, err));
        memcpy(q.logits + i * (size_t)q.n_vocab, row, (size_t)q.n_vocab * sizeof *row);
    }
    lull_session_free(s);
    lull_model_close(m);
    return q;
}

static void sequence_free(sequence *q)
{
    free(q->tokens);
    free(q->logits);
}

static void expect_row(const sequence *q, size_t position, const float *row, const char *what)
{
    const float *want = q->logits + position * (size_t)q->n_vocab;
    if (memcmp(row, want, (size_t)q->n_vocab * sizeof *row) == 0) return;
    int i = 0;
    while (row[i] == want[i] && i < q->n_vocab - 1) i++;
    fail_msg("%s, %s, position %zu: logit %d is %a, not %a", q->path, what, position, i,
             (double)row[i], (double)want[i]);
}

/* The first n tokens in chunks. */
static void check_chunks(const sequence *q, lull_model *m, size_t n, size_t chunk, const char *what)
{
    lull_session *s = new_session(m, q->n);
    for (size_t i = 0; i < n; i += chunk) {
        const float *row;
        size_t k = n - i < chunk ? n - i : chunk;
        OK(lull_session_eval(s, q->tokens + i, k, &row, err));
        expect_row(q, i + k - 1, row, what);
    }
    lull_session_free(s);
}

/* A sanitizer looks at accesses: those of three threads, and for races those of one level, are enough. */
static void check_levels(const sequence *q, size_t n_ref)
{
    static const size_t chunks[] = {1, 3, 7, 13, 64, 512, SIZE_MAX};
    for (int level = 0; level < LULL_CPU_N_LEVELS; level++) {
        const char *name = lull_cpu_level_name(level);
        if (!lull_cpu_has((lull_cpu_level)level)) {
            print_message("this machine has no %s\n", name);
            continue;
        }
        if (IS_TSAN && level != (int)lull_cpu_best()) continue;
        for (int n_threads = IS_SANITIZED ? 3 : 1; n_threads <= 3; n_threads++) {
            lull_model *m = open_model(q->path, name, n_threads);
            for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
                char what[64];
                bool is_slow = level == LULL_CPU_REF;
                if (is_slow && (n_threads == 2 || i % 2 == 1)) continue;
                size_t n = is_slow ? n_ref : q->n;
                size_t chunk = chunks[i] < n ? chunks[i] : n;
                snprintf(what, sizeof what, "%s, %d threads, chunks of %zu", name, n_threads,
                         chunk);
                check_chunks(q, m, n, chunk, what);
            }
            lull_model_close(m);
        }
    }
}

/* Every element type; pages. */
static void test_chunks_llama(void **state)
{
    (void)state;
    sequence q = sequence_new(LLAMA, 150, 1);
    check_levels(&q, 30);
    sequence_free(&q);
}

/* The window of 48 ends in the middle of pages. */
static void test_chunks_gemma3(void **state)
{
    (void)state;
    sequence q = sequence_new(GEMMA, 260, 2);
    check_levels(&q, 80);
    sequence_free(&q);
}

/* Norms of heads without Gemma's others. */
static void test_chunks_qwen3(void **state)
{
    (void)state;
    sequence q = sequence_new(QWEN, 150, 4);
    check_levels(&q, 30);
    sequence_free(&q);
}

/* Spans of 1,024, and more rows than a run takes. */
static void test_chunks_long(void **state)
{
    (void)state;
    sequence q = sequence_new(LONG, 1200, 3);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        lull_model *m = open_model(LONG, NULL, n_threads);
        static const size_t chunks[] = {1, 5, 64, 511, 513, 1024, 1200};
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
            check_chunks(&q, m, q.n, chunks[i], "long");
        lull_model_close(m);
    }
    sequence_free(&q);
}

/* Keys and values of 8 bits: levels, chunks and threads; with Gemma's window, and beyond a span. */
static void test_chunks_q8(void **state)
{
    (void)state;
    check_kv = LULL_KV_Q8;
    sequence q = sequence_new(GEMMA, 260, 5);
    check_levels(&q, 80);
    sequence_free(&q);
    q = sequence_new(QWEN, 1200, 6);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        lull_model *m = open_model(QWEN, NULL, n_threads);
        static const size_t chunks[] = {1, 5, 511, 513, 1200};
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
            check_chunks(&q, m, q.n, chunks[i], "q8");
        lull_model_close(m);
    }
    sequence_free(&q);
    check_kv = LULL_KV_F16;
    lull_model *m = open_model(QWEN, NULL, 1), *m8;
    lull_model_options o = {.cache_dir = "", .kv = LULL_KV_Q8};
    OK(lull_model_open(QWEN, &o, &m8, err));
    lull_model_info a = lull_model_get_info(m), b = lull_model_get_info(m8);
    assert_string_equal(b.numerics, "canon-1/kv-q8");
    assert_int_equal(b.kv_token_bytes * 32, a.kv_token_bytes * 17); /* 34 bytes for 32 values */
    assert_string_not_equal(lull_model_card(m), lull_model_card(m8));
    lull_model_close(m);
    lull_model_close(m8);
    FAILS(lull_model_open(LONG, &o, &m, err), LULL_EUNSUPPORTED, "these have 16: use f16");
}

/* Activations of 16 bits: every element type, levels, chunks and threads; with both kinds of keys and
 * values. */
static void test_chunks_a16(void **state)
{
    (void)state;
    check_activations = LULL_ACTIVATIONS_16;
    sequence q = sequence_new(LLAMA, 150, 7);
    check_levels(&q, 30);
    sequence_free(&q);
    check_kv = LULL_KV_Q8;
    q = sequence_new(GEMMA, 260, 8);
    check_levels(&q, 80);
    sequence_free(&q);
    lull_model *m = open_model(QWEN, NULL, 1);
    assert_string_equal(lull_model_get_info(m).numerics, "canon-1w/kv-q8");
    lull_model_close(m);
    check_kv = LULL_KV_F16;
    m = open_model(QWEN, NULL, 1);
    assert_string_equal(lull_model_get_info(m).numerics, "canon-1w");
    lull_model_close(m);
    check_activations = LULL_ACTIVATIONS_8;
}

/* ---- rows, batches, going back --------------------------------------------------------------- */

typedef struct receiver {
    const sequence *q;
    size_t first, n_seen, stop_at; /* SIZE_MAX: never */
} receiver;

static bool receive(void *user, size_t index, const float *logits)
{
    receiver *r = user;
    assert_int_equal(index, r->n_seen);
    if (index == r->stop_at) return false;
    expect_row(r->q, r->first + index, logits, "eval_each");
    r->n_seen++;
    return true;
}

static void test_each(void **state)
{
    (void)state;
    static const char *const paths[] = {LLAMA, GEMMA, LONG};
    for (int i = 0; i < 3; i++) {
        sequence q = sequence_new(paths[i], 700, 4);
        lull_model *m = open_model(paths[i], NULL, 2);
        lull_session *s = new_session(m, q.n);
        receiver r = {.q = &q, .stop_at = SIZE_MAX};
        OK(lull_session_eval_each(s, q.tokens, 37, receive, &r, err));
        assert_int_equal(r.n_seen, 37);
        r = (receiver){.q = &q, .first = 37, .stop_at = SIZE_MAX};
        OK(lull_session_eval_each(s, q.tokens + 37, q.n - 37, receive, &r, err));
        assert_int_equal(r.n_seen, q.n - 37);

        /* Cancelled by the receiver: some of the tokens may stay, and what stays is right. */
        lull_session_truncate(s, 10);
        r = (receiver){.q = &q, .first = 10, .stop_at = 555};
        FAILS(lull_session_eval_each(s, q.tokens + 10, q.n - 10, receive, &r, err), LULL_ECANCELLED,
              "cancelled");
        size_t kept = lull_session_n_tokens(s);
        assert_in_range(kept, 10, 10 + 555);
        assert_memory_equal(lull_session_tokens(s), q.tokens, kept * sizeof *q.tokens);
        const float *row;
        OK(lull_session_eval(s, q.tokens + kept, q.n - kept, &row, err));
        expect_row(&q, q.n - 1, row, "after a cancelled eval_each");
        lull_session_free(s);
        lull_model_close(m);
        sequence_free(&q);
    }
}

/* Three sequences of different lengths and tokens, in every order, fresh and grown. */
static void test_batches(void **state)
{
    (void)state;
    static const char *const paths[] = {LLAMA, GEMMA};
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const size_t lengths[3] = {3, 90, 41};
    for (int p = 0; p < 2; p++) {
        sequence q[3];
        for (int k = 0; k < 3; k++) q[k] = sequence_new(paths[p], 100, 10 + (uint32_t)k);
        for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
            lull_model *m = open_model(paths[p], NULL, n_threads);
            for (int o = 0; o < 6; o++) {
                lull_session *s[3];
                lull_batch_item items[3];
                for (int k = 0; k < 3; k++) {
                    s[k] = new_session(m, 100);
                    int which = orders[o][k];
                    items[k] = (lull_batch_item){s[k], q[which].tokens, lengths[which], NULL};
                }
                size_t at[3] = {0};
                for (int round = 0; round < 4; round++) {
                    OK(lull_batch_eval(items, 3, err));
                    for (int k = 0; k < 3; k++) {
                        int which = orders[o][k];
                        at[k] += items[k].n;
                        expect_row(&q[which], at[k] - 1, items[k].logits, "batch");
                        items[k].tokens = q[which].tokens + at[k];
                        items[k].n = round == 1 ? 2 : 1; /* decoding together */
                    }
                }
                for (int k = 0; k < 3; k++) lull_session_free(s[k]);
            }
            lull_model_close(m);
        }
        for (int k = 0; k < 3; k++) sequence_free(&q[k]);
    }
}

/* Back to n, on with other tokens, back again and on with the first ones. */
static void test_truncate(void **state)
{
    (void)state;
    static const char *const paths[] = {LLAMA, GEMMA, LONG};
    for (int p = 0; p < 3; p++) {
        sequence q = sequence_new(paths[p], 200, 20);
        lull_model *m = open_model(paths[p], NULL, 2);
        lull_session *s = new_session(m, q.n);
        int32_t other[200];
        fill_tokens(other, 200, q.n_vocab, 99);
        const float *row;
        OK(lull_session_eval(s, q.tokens, q.n, &row, err));
        static const size_t backs[] = {199, 150, 129, 128, 127, 64, 63, 1, 0};
        for (size_t i = 0; i < sizeof backs / sizeof *backs; i++) {
            lull_session_truncate(s, backs[i]);
            assert_int_equal(lull_session_n_tokens(s), backs[i]);
            assert_int_equal(lull_session_room(s), q.n - backs[i]);
            OK(lull_session_eval(s, other, q.n - backs[i], &row, err));
            const float *want;
            lull_session *fresh = new_session(m, q.n);
            if (backs[i] > 0) OK(lull_session_eval(fresh, q.tokens, backs[i], NULL, err));
            OK(lull_session_eval(fresh, other, q.n - backs[i], &want, err));
            assert_memory_equal(row, want, (size_t)q.n_vocab * sizeof *row);
            lull_session_free(fresh);
            lull_session_truncate(s, backs[i]);
            OK(lull_session_eval(s, q.tokens + backs[i], q.n - backs[i], &row, err));
            expect_row(&q, q.n - 1, row, "truncated");
        }
        lull_session_truncate(s, q.n); /* no effect, logits are kept */
        lull_session_truncate(s, 10 * q.n);
        assert_int_equal(lull_session_n_tokens(s), q.n);
        lull_session_free(s);
        lull_model_close(m);
        sequence_free(&q);
    }
}

/* ---- the exact numbers ----------------------------------------------------------------------- */

/* KL(exact || lull): quantised activations and f16 keys and values are what the class loses. At most
 * 8.4e-4 was measured, so twice that is a bound that another rounding keeps and a mistake does
 * not. */
static void check_exact(const char *class_name, const char *const *class_bits, double most)
{
    int n_models = 0;
    golden g = golden_open("tiny_logits.bin");
    while (g.pos < g.n_bytes) {
        char path[512], name[17] = {0}, *bytes;
        size_t n_bytes;
        memcpy(name, golden_take(&g, 16), 16);
        snprintf(path, sizeof path, "%s/%s.gguf", LULL_TEST_MODELS, name);
        OK(lull_file_read(path, 1 << 24, &bytes, &n_bytes, err));
        lull_digest digest = lull_digest_of(bytes, n_bytes);
        free(bytes);
        if (memcmp(digest.bytes, golden_take(&g, 32), 32) != 0)
            fail_msg("%s is not the file that tiny_logits.bin was made from", path);
        uint32_t n = golden_u32(&g), n_vocab = golden_u32(&g), n_positions = golden_u32(&g);
        const int32_t *tokens = golden_take(&g, n * sizeof *tokens);
        lull_model *m = open_model(path, NULL, 1);
        lull_session *s = new_session(m, n);
        double worst = 0;
        size_t at = 0;
        lull_buffer rows = {0};
        for (uint32_t i = 0; i < n_positions; i++) {
            uint32_t position = golden_u32(&g);
            const float *want = golden_take(&g, n_vocab * sizeof *want), *row;
            OK(lull_session_eval(s, tokens + at, position + 1 - at, &row, err));
            at = position + 1;
            lull_buffer_append(&rows, row, n_vocab * sizeof *row);
            double sum = 0, kl = 0;
            for (uint32_t k = 0; k < n_vocab; k++) sum += exp((double)row[k]);
            for (uint32_t k = 0; k < n_vocab; k++) {
                double w = (double)want[k];
                kl += exp(w) * (w - ((double)row[k] - log(sum)));
            }
            worst = fmax(worst, kl);
        }
        char hex[65];
        lull_digest bits = lull_digest_of(rows.data, rows.n_bytes);
        lull_digest_hex(&bits, hex);
        lull_buffer_fini(&rows);
        print_message("%s: KL at most %.3g\n", name, worst);
        assert_true(worst < most);
        if (strcmp(hex, class_bits[n_models++]) != 0)
            fail_msg(
                "%s: the bits of class %s have changed: the digest of these logits is %s. A new "
                "order of operations needs a new class name",
                name, class_name, hex);
        lull_session_free(s);
        lull_model_close(m);
    }
    golden_close(&g);
}

/* What the classes are, as long as they are called so. Not golden values: they are lull's own, and say
 * only that the classes are what they were. */
static void test_exact(void **state)
{
    (void)state;
    static const char *const class_bits[] = {
        "9e704c420d8bc5dfbff7225bbe586d2ccf478ac81c388726930fdfc6a0b07e39",
        "87d36420149791d18385b85369f7aa2bb2151ad594b2aa5d109b2f61f7286c6e",
        "063fefb2b4d67daa0e083e752aee7b02809085a349fde38f42848606ecfbd95b",
        "0fc6f5c5381672d7c1fc93514def89e7ee2f400260b50573609a8165120781b3",
    };
    check_exact("canon-1", class_bits, 1.7e-3);
}

static void test_exact_a16(void **state)
{
    (void)state;
    static const char *const class_bits[] = {
        "2951598c95b8e8890d9c2ece8169ff0329c53c08e837b85f673cce7417d1ee40",
        "a0bef85a8b6f1628a1df47b20a68fbb57c1668c10bf04657d59a7255a6299a42",
        "faf8d96c1153935d45d19fca9d250d879aa7abe5243cfbdadb4199c42ffc2b99",
        "06b1c7d52e45a042b22a0522ba3e19963ff13cde2f8645d10411461c5ea29235",
    };
    check_activations = LULL_ACTIVATIONS_16;
    check_exact("canon-1w", class_bits, 2e-5);
    check_activations = LULL_ACTIVATIONS_8;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_bad_arguments(void **state)
{
    (void)state;
    sequence q = sequence_new(GEMMA, 60, 30);
    lull_model *m = open_model(GEMMA, NULL, 2);
    lull_session *s = new_session(m, 60), *other = new_session(m, 60);
    const float *row;
    receiver r = {.q = &q, .stop_at = SIZE_MAX};
    OK(lull_session_eval(s, q.tokens, 50, &row, err));
    int32_t bad[] = {1, 2, 301}, negative[] = {1, -1};
    FAILS(lull_session_eval(s, bad, 0, &row, err), LULL_EINVAL, "no tokens");
    FAILS(lull_session_eval(s, bad, 3, &row, err), LULL_EINVAL, "token 2 is 301");
    FAILS(lull_session_eval(s, negative, 2, &row, err), LULL_EINVAL, "token 1 is -1");
    FAILS(lull_session_eval(s, q.tokens, 11, &row, err), LULL_EFULL, "10 of the context's 60");
    FAILS(lull_session_eval_each(s, bad, 0, receive, &r, err), LULL_EINVAL, "no tokens");
    FAILS(lull_session_eval_each(s, bad, 3, receive, &r, err), LULL_EINVAL, "token 2 is 301");
    FAILS(lull_session_eval_each(s, q.tokens, 11, receive, &r, err), LULL_EFULL, "60");
    assert_int_equal(r.n_seen, 0);
    FAILS(lull_batch_eval(NULL, 0, err), LULL_EINVAL, "empty");
    lull_batch_item items[] = {{other, q.tokens, 5, NULL}, {s, bad, 3, NULL}};
    FAILS(lull_batch_eval(items, 2, err), LULL_EINVAL, "batch item 1");
    FAILS(lull_batch_eval(items, 2, err), LULL_EINVAL, "token 2 is 301");
    items[1] = (lull_batch_item){s, q.tokens, 11, NULL};
    FAILS(lull_batch_eval(items, 2, err), LULL_EFULL, "batch item 1");
    items[1] = (lull_batch_item){other, q.tokens, 1, NULL};
    FAILS(lull_batch_eval(items, 2, err), LULL_EINVAL, "second time");
    items[1] = (lull_batch_item){other, NULL, 0, NULL};
    FAILS(lull_batch_eval(&items[1], 1, err), LULL_EINVAL, "empty");
    lull_model *llama = open_model(LLAMA, NULL, 1);
    lull_session *foreign = new_session(llama, 10);
    items[1] = (lull_batch_item){foreign, q.tokens, 1, NULL};
    FAILS(lull_batch_eval(items, 2, err), LULL_EINVAL, "another model");
    assert_int_equal(lull_session_n_tokens(foreign), 0);
    FAILS(lull_prompt(foreign, "", err), LULL_EINVAL, "empty");
    assert_int_equal(lull_session_n_tokens(other), 0);
    /* After all that the sessions are as they were. */
    assert_int_equal(lull_session_n_tokens(s), 50);
    assert_memory_equal(lull_session_tokens(s), q.tokens, 50 * sizeof *q.tokens);
    OK(lull_session_eval(s, q.tokens + 50, 10, &row, err));
    expect_row(&q, 59, row, "after refusals");
    assert_int_equal(lull_session_room(s), 0);
    FAILS(lull_session_eval(s, q.tokens, 1, &row, err), LULL_EFULL, "0 of");
    lull_session_free(foreign);
    lull_session_free(other);
    lull_session_free(s);
    lull_session_free(NULL);
    lull_model_close(llama);
    lull_model_close(m);
    lull_model_close(NULL);
    sequence_free(&q);
}

static void test_bad_models(void **state)
{
    (void)state;
    lull_model *m = (lull_model *)1;
    lull_model_options o = {.cache_dir = ""};
    FAILS(lull_model_open("/nowhere/model.gguf", &o, &m, err), LULL_ENOTFOUND, "/nowhere");
    assert_null(m);
    FAILS(lull_model_open("/tmp", &o, &m, err), LULL_EIO, "directory");
    o.cpu_level = "sse9";
    FAILS(lull_model_open(LLAMA, &o, &m, err), LULL_EINVAL, "sse9");
    o.cpu_level = NULL;
    o.n_threads = -1;
    FAILS(lull_model_open(LLAMA, &o, &m, err), LULL_EINVAL, "-1 threads");
    o.n_threads = 100000;
    FAILS(lull_model_open(LLAMA, &o, &m, err), LULL_EINVAL, "100000 threads");
    o.n_threads = 0;
    setenv("LULL_THREADS", "two", 1);
    FAILS(lull_model_open(LLAMA, &o, &m, err), LULL_EINVAL, "LULL_THREADS");
    setenv("LULL_THREADS", "3", 1);
    OK(lull_model_open(LLAMA, &o, &m, err));
    assert_int_equal(lull_model_get_info(m).n_threads, 3);
    lull_model_close(m);
    unsetenv("LULL_THREADS");
    setenv("LULL_CPU", "ref", 1);
    OK(lull_model_open(LLAMA, &o, &m, err));
    assert_string_equal(lull_model_get_info(m).cpu_level, "ref");
    lull_session *s;
    lull_session_options long_one = {.n_ctx = (size_t)1 << 40};
    FAILS(lull_session_new(m, &long_one, &s, err), LULL_EINVAL, "too long");
    assert_null(s);
    lull_model_close(m);
    unsetenv("LULL_CPU");
    o.vocab_only = true;
    OK(lull_model_open(LLAMA, &o, &m, err));
    FAILS(lull_session_new(m, NULL, &s, err), LULL_EINVAL, "vocabulary");
    assert_int_equal(lull_model_get_info(m).n_vocab, 300);
    lull_model_close(m);
}

static void test_info(void **state)
{
    (void)state;
    lull_model *m = open_model(GEMMA, "ref", 2);
    lull_session *s = new_session(m, 0);
    lull_model_info i = lull_model_get_info(m);
    assert_string_equal(i.architecture, "gemma3");
    assert_string_equal(i.cpu_level, "ref");
    assert_string_equal(i.numerics, "canon-1");
    assert_non_null(strstr(i.name, "tiny gemma3"));
    assert_int_equal(i.n_layer, 6);
    assert_int_equal(i.n_head, 4);
    assert_int_equal(i.n_kv, 1);
    assert_int_equal(i.d_head, 32);
    assert_int_equal(i.d_model, 64);
    assert_int_equal(i.n_vocab, 301);
    assert_int_equal(i.n_ctx_train, 2048);
    assert_int_equal(i.n_window, 48);
    assert_int_equal(i.n_threads, 2);
    assert_int_equal(i.kv_token_bytes, 6 * 2 * 32 * 2);
    assert_true(i.work_bytes > 0 && i.weight_bytes > 0 && i.decode_bytes > 0 && i.load_ms > 0);
    assert_false(i.weights_are_mapped);
    assert_int_equal(i.n_params,
                     301 * 64 + 64 + 6 * (2 * 64 * 128 + 2 * 64 * 32 + 3 * 64 * 96 + 4 * 64 + 64));
    assert_int_equal(lull_session_room(s), 2048);
    assert_int_equal(lull_session_kv_bytes(s), 0);
    const float *row;
    int32_t tokens[65];
    fill_tokens(tokens, 65, 301, 1);
    OK(lull_session_eval(s, tokens, 65, &row, err));
    assert_true(lull_session_kv_bytes(s) >= 2 * 64 * i.kv_token_bytes);
    lull_session_free(s);
    lull_model_close(m);
}

/* A weight that is not a number shows as an error, not as text. */
static void test_not_finite(void **state)
{
    (void)state;
    char path[] = "/tmp/lull-engine-XXXXXX", *bytes;
    size_t n_bytes;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    OK(lull_file_read(LONG, 1 << 24, &bytes, &n_bytes, err));
    lull_gguf *g;
    OK(lull_gguf_open(LONG, &g, err));
    const lull_gguf_tensor *t = lull_gguf_find_tensor(g, "blk.0.ffn_norm.weight");
    size_t at = (size_t)(t->data - lull_gguf_file(g)->data);
    const float nan_value = NAN;
    memcpy(bytes + at + 12, &nan_value, sizeof nan_value);
    OK(lull_file_write_all(fd, path, bytes, n_bytes, err));
    close(fd);
    lull_gguf_close(g);
    free(bytes);
    lull_model *m = open_model(path, NULL, 2);
    lull_session *s = new_session(m, 100);
    const float *row;
    receiver r = {0};
    int32_t tokens[] = {1, 2, 3};
    FAILS(lull_session_eval(s, tokens, 3, &row, err), LULL_ENUMERIC, "not finite");
    assert_int_equal(lull_session_n_tokens(s), 0);
    FAILS(lull_session_eval_each(s, tokens, 3, receive, &r, err), LULL_ENUMERIC, "not finite");
    assert_int_equal(r.n_seen, 0);
    lull_batch_item item = {s, tokens, 3, NULL};
    FAILS(lull_batch_eval(&item, 1, err), LULL_ENUMERIC, "not finite");
    assert_int_equal(lull_session_n_tokens(s), 0);
    lull_session_free(s);
    lull_model_close(m);
    unlink(path);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void test_cancel_before(void **state)
{
    (void)state;
    sequence q = sequence_new(GEMMA, 20, 40);
    lull_model *m = open_model(GEMMA, NULL, 2);
    lull_session *s = new_session(m, 60);
    receiver r = {.q = &q, .first = 10, .stop_at = SIZE_MAX};
    const float *row;
    OK(lull_session_eval(s, q.tokens, 10, &row, err));
    lull_session_cancel(s);
    FAILS(lull_session_eval(s, q.tokens + 10, 10, &row, err), LULL_ECANCELLED, "cancelled");
    lull_session_cancel(s);
    FAILS(lull_session_eval_each(s, q.tokens + 10, 10, receive, &r, err), LULL_ECANCELLED,
          "cancelled");
    lull_session_cancel(s);
    lull_batch_item item = {s, q.tokens + 10, 10, NULL};
    FAILS(lull_batch_eval(&item, 1, err), LULL_ECANCELLED, "cancelled");
    assert_int_equal(lull_session_n_tokens(s), 10);
    OK(lull_session_eval(s, q.tokens + 10, 10, &row, err)); /* once is once */
    expect_row(&q, 19, row, "after cancelling");
    lull_session_free(s);
    lull_model_close(m);
    sequence_free(&q);
}

static void *cancel_soon(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    lull_session_cancel(arg);
    return NULL;
}

static void test_cancel_during(void **state)
{
    (void)state;
    enum { N = 1500, BEFORE = 70 };
    sequence q = sequence_new(LLAMA, BEFORE + 3, 41);
    lull_model *m = open_model(LLAMA, "ref", 2);
    lull_session *s = new_session(m, BEFORE + N);
    int32_t *many = malloc(N * sizeof *many);
    assert_non_null(many);
    fill_tokens(many, N, q.n_vocab, 5);
    const float *row;
    OK(lull_session_eval(s, q.tokens, BEFORE, &row, err));
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, s), 0);
        /* Seconds of work: the request comes in the middle of it. */
        FAILS(lull_session_eval(s, many, N, &row, err), LULL_ECANCELLED, "cancelled");
        pthread_join(thread, NULL);
        assert_int_equal(lull_session_n_tokens(s), BEFORE);
        assert_memory_equal(lull_session_tokens(s), q.tokens, BEFORE * sizeof *q.tokens);
        OK(lull_session_eval(s, q.tokens + BEFORE, 3, &row, err));
        expect_row(&q, BEFORE + 2, row, "after cancelling");
        lull_session_truncate(s, BEFORE);
    }
    free(many);
    lull_session_free(s);
    lull_model_close(m);
    sequence_free(&q);
}

/* ---- several at once ------------------------------------------------------------------------- */

typedef struct caller {
    lull_model *m;
    const sequence *q;
} caller;

static void *evaluate(void *arg)
{
    caller *c = arg;
    for (size_t chunk = 1; chunk < 40; chunk += 12) check_chunks(c->q, c->m, 60, chunk, "thread");
    return NULL;
}

/* Two models, two threads each. */
static void test_side_by_side(void **state)
{
    (void)state;
    sequence q[2] = {sequence_new(LLAMA, 60, 50), sequence_new(GEMMA, 60, 51)};
    lull_model *m[2] = {open_model(LLAMA, NULL, 2), open_model(GEMMA, NULL, 2)};
    pthread_t threads[4];
    caller callers[4];
    for (int i = 0; i < 4; i++) {
        callers[i] = (caller){m[i % 2], &q[i % 2]};
        assert_int_equal(pthread_create(&threads[i], NULL, evaluate, &callers[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        lull_model_close(m[i]);
        sequence_free(&q[i]);
    }
}

/* ---- without memory -------------------------------------------------------------------------- */

/* Each request for memory of a new and longer session fails once: the sessions that are there go on
 * to the same bits. */
static void test_session_without_memory(void **state)
{
    (void)state;
    sequence q = sequence_new(GEMMA, 40, 60);
    lull_model *m = open_model(GEMMA, NULL, 2);
    lull_session *s = new_session(m, 40);
    for (long n = 0;; n++) {
        lull_session *other;
        lull_session_options o = {.n_ctx = 1500};
        fail_request(n);
        lull_status st = lull_session_new(m, &o, &other, NULL);
        bool is_hit = has_failed();
        fail_request(-1);
        lull_session_truncate(s, 0);
        const float *row;
        OK(lull_session_eval(s, q.tokens, 40, &row, err));
        expect_row(&q, 39, row, "beside a session that could not be made");
        if (!is_hit) {
            assert_int_equal(st, LULL_OK);
            assert_true(n >= 6);
            lull_session_free(other);
            break;
        }
        assert_int_equal(st, LULL_ENOMEM);
        assert_null(other);
    }
    lull_session_free(s);
    lull_model_close(m);
    sequence_free(&q);
}

static void test_open_without_memory(void **state)
{
    (void)state;
    for (long n = 0, step = 1;; n += step) {
        lull_model *m;
        lull_model_options o = {.n_threads = 2, .cache_dir = ""};
        lull_error err;
        fail_request(n);
        lull_status st = lull_model_open(LONG, &o, &m, &err);
        bool is_hit = has_failed();
        fail_request(-1);
        assert_true((st == LULL_OK) == (m != NULL));
        lull_model_close(m);
        if (!is_hit) {
            assert_int_equal(st, LULL_OK);
            break;
        }
        /* Reading a file that cannot be mapped is an error of the system. */
        if (st != LULL_ENOMEM && st != LULL_EIO)
            fail_msg("request %ld: %s, %s", n, lull_status_name(st), err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_llama),
        cmocka_unit_test(test_chunks_gemma3),
        cmocka_unit_test(test_chunks_qwen3),
        cmocka_unit_test(test_chunks_long),
        cmocka_unit_test(test_chunks_q8),
        cmocka_unit_test(test_chunks_a16),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_exact_a16),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_bad_models),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_cancel_before),
        cmocka_unit_test(test_cancel_during),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_session_without_memory),
        cmocka_unit_test(test_open_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
