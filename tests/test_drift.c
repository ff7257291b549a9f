/* The drift of 8-bit keys and values: the figures against a calculation of their own from the logits of both
 * kinds, the same bits at every level; what is kept of them in the cache is believed only when it is whole;
 * and nothing but the card depends on them. */
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc_wrap.h"
#include "drift_text.h"
#include "engine.h"
#include "engine_check.h"
#include "file.h"

enum { MOST_TOKENS = 320, FILE_BYTES = 88 };
static const char *const paths[] = {LLAMA, GEMMA, QWEN};
enum { N_PATHS = sizeof paths / sizeof *paths };
static char folder[64];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/lull-drift-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static lull_model *open_kind(const char *path, lull_kv_kind kv, const char *level,
                             const char *cache)
{
    lull_model *m;
    lull_model_options o = {
        .n_threads = 2, .cpu_level = level ? level : "", .cache_dir = cache, .kv = kv};
    OK(lull_model_open(path, &o, &m, err));
    return m;
}

static lull_store *open_store(void)
{
    char path[128];
    lull_store *s;
    snprintf(path, sizeof path, "%s/store", folder);
    OK(lull_store_open(path, NULL, &s, err));
    return s;
}

/* Put a few tokens to sleep as `name`; its card, owned. */
static char *sleep_some(lull_model *m, lull_store *store, const char *name, bool is_cancelled)
{
    static const int32_t tokens[] = {1, 2, 3, 4, 5};
    lull_session *s = new_session(m, 64);
    lull_store_state got;
    int64_t id;
    OK(lull_session_eval(s, tokens, 5, NULL, err));
    if (is_cancelled) lull_session_cancel(s);
    OK(lull_sleep(s, store, &(lull_sleep_options){.name = name}, &id, err));
    lull_session_free(s);
    OK(lull_store_get(store, id, false, &got, err));
    char *card = strdup(got.card);
    lull_store_state_fini(&got);
    assert_non_null(card);
    return card;
}

static json_t *drift_of(const char *card)
{
    json_t *all = json_loads(card, JSON_REJECT_DUPLICATES, NULL);
    json_t *drift = json_incref(json_object_get(all, "drift"));
    json_decref(all);
    return drift;
}

static double number(const json_t *drift, const char *key)
{
    const json_t *v = json_object_get(drift, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* ---- the figures ----------------------------------------------------------------------------- */

typedef struct rows {
    float *data; /* [n][n_vocab] */
    size_t n, n_vocab;
} rows;

static bool keep_row(void *user, size_t index, const float *logits)
{
    rows *r = user;
    memcpy(r->data + index * r->n_vocab, logits, r->n_vocab * sizeof *logits);
    return true;
}

/* The logits after each token of the text, by the public interface alone. */
static rows read_text(const char *path, lull_kv_kind kv)
{
    enum { CAP = 4096 };
    int32_t tokens[CAP];
    size_t n;
    lull_model *m = open_kind(path, kv, NULL, "");
    int flags = lull_model_adds_bos(m) ? LULL_TOKENIZE_BOS : 0;
    OK(lull_tokenize(m, lull_drift_text, strlen(lull_drift_text), flags, tokens, CAP, &n, err));
    rows r = {.n = n < MOST_TOKENS ? n : MOST_TOKENS,
              .n_vocab = (size_t)lull_model_get_info(m).n_vocab};
    r.data = malloc(r.n * r.n_vocab * sizeof *r.data);
    assert_non_null(r.data);
    lull_session *s = new_session(m, r.n);
    OK(lull_session_eval_each(s, tokens, r.n, keep_row, &r, err));
    lull_session_free(s);
    lull_model_close(m);
    return r;
}

/* The definition: Σ p ln (p / q), with the C library's long double. */
static double kl_of(const float *a, const float *b, size_t n)
{
    long double sum_a = 0, sum_b = 0, kl = 0;
    for (size_t i = 0; i < n; i++) {
        sum_a += expl((long double)a[i]);
        sum_b += expl((long double)b[i]);
    }
    for (size_t i = 0; i < n; i++) {
        long double ln_p = a[i] - logl(sum_a), ln_q = b[i] - logl(sum_b);
        kl += expl(ln_p) * (ln_p - ln_q);
    }
    return (double)kl;
}

static size_t likeliest(const float *x, size_t n)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

/* A term e^a (a - b) is rounded a few times, and so is each sum of n_vocab terms in 8 stripes; the three
 * parts of a divergence are of the size of |a - b|, below 1 here. So 1e-13 is over a hundred roundings. */
static void test_figures(void **state)
{
    (void)state;
    lull_store *store = open_store();
    for (int i = 0; i < N_PATHS; i++) {
        rows a = read_text(paths[i], LULL_KV_F16), b = read_text(paths[i], LULL_KV_Q8);
        double sum = 0, largest = 0;
        size_t n_same = 0;
        for (size_t t = 0; t < a.n; t++) {
            const float *x = a.data + t * a.n_vocab, *y = b.data + t * a.n_vocab;
            double kl = kl_of(x, y, a.n_vocab);
            sum += kl;
            largest = kl > largest ? kl : largest;
            n_same += likeliest(x, a.n_vocab) == likeliest(y, a.n_vocab);
        }
        lull_model *m = open_kind(paths[i], LULL_KV_Q8, NULL, "");
        char *card = sleep_some(m, store, "a", false);
        json_t *drift = drift_of(card);
        assert_string_equal(json_string_value(json_object_get(drift, "against")), "canon-1");
        assert_int_equal(a.n, MOST_TOKENS);
        assert_int_equal((size_t)number(drift, "tokens"), a.n);
        assert_true(number(drift, "mean_kl") > 0 && number(drift, "mean_kl") < 0.1);
        assert_true(fabs(number(drift, "mean_kl") - sum / (double)a.n) <= 1e-13);
        assert_true(fabs(number(drift, "largest_kl") - largest) <= 1e-13);
        assert_true(number(drift, "same_likeliest") == (double)n_same / (double)a.n);
        json_decref(drift);
        free(card);
        lull_model_close(m);
        free(a.data);
        free(b.data);
    }
    lull_store_close(store);
}

static void test_levels(void **state)
{
    (void)state;
    lull_store *store = open_store();
    for (int i = 0; i < N_PATHS; i++) {
        char *first = NULL;
        for (int level = 0; level < LULL_CPU_N_LEVELS; level++) {
            if (!lull_cpu_has((lull_cpu_level)level)) continue;
            const char *name = lull_cpu_level_name((lull_cpu_level)level);
            lull_model *m = open_kind(paths[i], LULL_KV_Q8, name, "");
            char *card = sleep_some(m, store, "a", false);
            if (first) assert_string_equal(card, first);
            free(first);
            first = card;
            lull_model_close(m);
        }
        free(first);
    }
    lull_store_close(store);
}

/* ---- where it stands ------------------------------------------------------------------------- */

static void expect_same(const lull_model *m, json_t *card)
{
    lull_judgement j;
    char *text = json_dumps(card, JSON_COMPACT);
    OK(lull_judge(m, text, &j, err));
    assert_int_equal(j.verdict, LULL_VERDICT_SAME);
    assert_int_equal(j.n_fields, 0);
    free(text);
}

static void test_card(void **state)
{
    (void)state;
    lull_store *store = open_store(), *other;
    char path[128], file[128];
    int64_t id, fork, *ids;
    size_t n, token;
    lull_store_state got;
    lull_model *f16 = open_kind(GEMMA, LULL_KV_F16, NULL, "");
    char *card = sleep_some(f16, store, "wide", false);
    assert_string_equal(card, lull_model_card(f16));
    assert_null(strstr(card, "drift"));
    free(card);
    lull_model_close(f16);

    lull_model *m = open_kind(GEMMA, LULL_KV_Q8, NULL, "");
    assert_null(strstr(lull_model_card(m), "drift"));
    card = sleep_some(m, store, "narrow", false);
    json_t *all = json_loads(card, 0, NULL);
    assert_true(json_is_object(json_object_get(all, "drift")));
    expect_same(m, all);
    json_object_set_new(json_object_get(all, "drift"), "mean_kl", json_real(9));
    expect_same(m, all);
    json_object_set_new(all, "drift", json_string("unknown"));
    expect_same(m, all);
    json_object_del(all, "drift");
    expect_same(m, all);
    json_decref(all);

    /* A fork has it, and what travels. */
    OK(lull_store_resolve(store, "narrow", &id, &token, err));
    OK(lull_store_fork(store, id, 3, NULL, "fork", 0, &fork, err));
    OK(lull_store_get(store, fork, false, &got, err));
    assert_string_equal(got.card, card);
    lull_store_state_fini(&got);
    snprintf(path, sizeof path, "%s/other", folder);
    snprintf(file, sizeof file, "%s/narrow.lull", folder);
    OK(lull_store_export(store, &id, 1, NULL, file, err));
    OK(lull_store_open(path, NULL, &other, err));
    OK(lull_store_import(other, file, false, &ids, &n, err));
    OK(lull_store_get(other, ids[0], false, &got, err));
    assert_string_equal(got.card, card);
    lull_store_state_fini(&got);
    lull_session *s;
    OK(lull_wake(m, other, "narrow", NULL, &s, err));
    lull_session_free(s);
    lull_free(ids);
    lull_store_close(other);
    free(card);
    lull_model_close(m);
    lull_store_close(store);
}

/* Who asks a session to stop gets its state, and the next one to sleep the drift. */
static void test_cancel(void **state)
{
    (void)state;
    lull_store *store = open_store();
    lull_model *m = open_kind(LLAMA, LULL_KV_Q8, NULL, "");
    char *card = sleep_some(m, store, "a", true);
    assert_string_equal(card, lull_model_card(m));
    free(card);
    lull_session *s;
    OK(lull_wake(m, store, "a", NULL, &s, err));
    lull_session_free(s);
    card = sleep_some(m, store, "a", false);
    assert_non_null(strstr(card, "\"drift\""));
    free(card);
    lull_model_close(m);
    lull_store_close(store);
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static char kept[256]; /* the file of figures that was seen last */

static int note_file(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)at;
    if (type == FTW_F && strstr(path, "/drifts/")) snprintf(kept, sizeof kept, "%s", path);
    return 0;
}

static char *card_with_cache(const char *cache)
{
    lull_store *store = open_store();
    lull_model *m = open_kind(LLAMA, LULL_KV_Q8, NULL, cache);
    char *card = sleep_some(m, store, "a", false);
    lull_model_close(m);
    lull_store_close(store);
    return card;
}

static void seal(uint8_t file[FILE_BYTES])
{
    lull_checksum c = lull_checksum_of(file, FILE_BYTES - sizeof c);
    memcpy(file + FILE_BYTES - sizeof c, &c, sizeof c);
}

/* What is in the file is used, unless it cannot be right: then it is as it was before. */
static void expect_measured(const char *cache, const void *file, size_t n_bytes, const char *card,
                            const uint8_t right[FILE_BYTES])
{
    char *now;
    size_t n;
    OK(lull_file_replace(kept, file, n_bytes, err));
    char *got = card_with_cache(cache);
    assert_string_equal(got, card);
    OK(lull_file_read(kept, 4096, &now, &n, err));
    assert_int_equal(n, FILE_BYTES);
    assert_memory_equal(now, right, FILE_BYTES);
    free(now);
    free(got);
}

static void test_cache(void **state)
{
    (void)state;
    char cache[128], *bytes;
    uint8_t right[FILE_BYTES], file[FILE_BYTES];
    size_t n;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    char *card = card_with_cache(cache);
    *kept = '\0';
    assert_int_equal(nftw(cache, note_file, 8, FTW_PHYS), 0);
    assert_true(*kept);
    OK(lull_file_read(kept, 4096, &bytes, &n, err));
    assert_int_equal(n, FILE_BYTES);
    memcpy(right, bytes, n);
    free(bytes);

    for (int at = 0; at < FILE_BYTES; at += 5) {
        memcpy(file, right, sizeof file);
        file[at] ^= 16;
        expect_measured(cache, file, FILE_BYTES, card, right);
    }
    expect_measured(cache, right, 0, card, right);
    expect_measured(cache, right, FILE_BYTES - 1, card, right);

    /* Whole, and yet of another model, or no figures: offsets as in docs/format-pack.md. */
    static const double bad[] = {NAN, INFINITY, -1};
    memcpy(file, right, sizeof file);
    file[8] ^= 1;
    seal(file);
    expect_measured(cache, file, FILE_BYTES, card, right);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(file, right, sizeof file);
        memcpy(file + (i % 2 ? 64 : 56), &bad[i], sizeof bad[i]);
        seal(file);
        expect_measured(cache, file, FILE_BYTES, card, right);
    }
    for (int at = 40; at <= 48; at += 8) {
        memcpy(file, right, sizeof file);
        memcpy(file + at, &(uint64_t){MOST_TOKENS + 1}, sizeof(uint64_t));
        seal(file);
        expect_measured(cache, file, FILE_BYTES, card, right);
    }

    /* And it is used at all. */
    memcpy(file, right, sizeof file);
    memcpy(file + 56, &(double){0.0}, sizeof(double));
    seal(file);
    OK(lull_file_replace(kept, file, FILE_BYTES, err));
    char *other = card_with_cache(cache);
    assert_non_null(strstr(other, "\"mean_kl\":0.0"));
    free(other);
    free(card);
}

static void test_no_cache(void **state)
{
    (void)state;
    char file[128], cache[160];
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(cache, sizeof cache, "%s/cache", file);
    OK(lull_file_replace(file, "", 0, err));
    char *a = card_with_cache(""), *b = card_with_cache(cache); /* in what is no folder */
    assert_non_null(strstr(a, "\"drift\""));
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* Each allocation on the way fails once. */
static void test_no_memory(void **state)
{
    (void)state;
    atomic_bool is_cancelled = false;
    lull_model *m = open_kind(LLAMA, LULL_KV_Q8, NULL, "");
    lull_drift right, got;
    OK(lull_drift_find(m, &is_cancelled, &right, err));
    int n_failed = 0;
    for (long n = 0;; n++) {
        lull_error err = {0};
        fail_request(n);
        lull_status st = lull_drift_find(m, &is_cancelled, &got, &err);
        bool was_refused = has_failed();
        fail_request(-1);
        if (!was_refused) break;
        assert_true(st == LULL_OK || st == LULL_ENOMEM);
        if (st == LULL_OK) assert_memory_equal(&got, &right, sizeof got);
        n_failed += st != LULL_OK;
    }
    assert_true(n_failed > 5);
    lull_model_close(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_figures), TEST(test_levels),   TEST(test_card),      TEST(test_cancel),
        TEST(test_cache),   TEST(test_no_cache), TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("drift", tests, NULL, NULL);
}
