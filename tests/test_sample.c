/* Choosing a token: every option against a plain computation in binary64, draws against the
 * generator's published vectors and against their probabilities. All seeds are fixed: a test either
 * always passes or never. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "engine.h"

enum { N_VOCAB = 3000 };

static uint64_t random_state;

/* SplitMix64 in [0, 1). */
static double random_unit(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* Logits as models have them: a few high, a long low tail; with `step`, many equal ones. */
static void fill_logits(float *x, int n, double step)
{
    for (int i = 0; i < n; i++) {
        double v = 12 * pow(random_unit(), 8) + random_unit();
        x[i] = (float)(step > 0 ? rint(v / step) * step : v);
    }
}

static lull_sampler new_sampler(const lull_sampling *o, int n_vocab)
{
    lull_sampler s;
    lull_error err;
    if (lull_sampler_init(&s, o, n_vocab, &err) != LULL_OK) fail_msg("%s", err.msg);
    return s;
}

static int32_t choose_once(const lull_sampling *o, const float *logits, int n_vocab,
                           const int32_t *tokens, size_t n)
{
    lull_sampler s = new_sampler(o, n_vocab);
    int32_t id = lull_sampler_choose(&s, logits, -1, NULL, tokens, n);
    lull_sampler_fini(&s);
    return id;
}

/* ---- the generator --------------------------------------------------------------------------- */

/* Philox4x32-10 with all four words of the counter (Salmon et al. 2011). */
static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k0 = key[0], k1 = key[1];
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t m0 = 0xD2511F53ull * c[0], m1 = 0xCD9E8D57ull * c[2];
        uint32_t d[4] = {(uint32_t)(m1 >> 32) ^ c[1] ^ k0, (uint32_t)m1,
                         (uint32_t)(m0 >> 32) ^ c[3] ^ k1, (uint32_t)m0};
        memcpy(c, d, sizeof c);
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    memcpy(out, c, sizeof c);
}

static void test_uniform(void **state)
{
    (void)state;
    /* kat_vectors of Random123, which pin the function above. */
    static const uint32_t vectors[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}};
    uint32_t out[4];
    for (int i = 0; i < 3; i++) {
        philox(vectors[i], vectors[i] + 4, out);
        assert_memory_equal(out, vectors[i] + 6, sizeof out);
    }
    static const uint64_t words[] = {
        0, 1, 2, 63, 0xffffffff, 0x100000000, 0x123456789abcdef0, UINT64_MAX};
    for (int i = 0; i < 64; i++) {
        uint64_t seed = words[i / 8], position = words[i % 8];
        philox((uint32_t[4]){(uint32_t)position, (uint32_t)(position >> 32), 0, 0},
               (uint32_t[2]){(uint32_t)seed, (uint32_t)(seed >> 32)}, out);
        uint64_t bits = ((uint64_t)out[0] << 32 | out[1]) >> 11;
        assert_true(lull_uniform(seed, position) == (double)bits / 9007199254740992.0);
    }
}

/* ---- a plain sampler ------------------------------------------------------------------------- */

typedef struct candidate {
    double logit, p, order;
    int id;
} candidate;

static int by_order(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->order != y->order) return x->order > y->order ? -1 : 1;
    return x->id - y->id;
}

static void softmax(candidate *c, int n, double temperature)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) top = fmax(top, c[i].logit);
    for (int i = 0; i < n; i++) sum += c[i].p = exp((c[i].logit - top) / temperature);
    for (int i = 0; i < n; i++) c[i].p /= sum;
}

static int keep_mass(candidate *c, int n, double mass)
{
    double sum = 0;
    int kept = 0;
    while (kept < n && (kept == 0 || sum < mass)) sum += c[kept++].p;
    return kept;
}

/* Candidates after all steps, most likely first, with their probabilities. Returns their number. */
static int plain_candidates(const lull_sampling *o, const float *logits, int n_vocab,
                            const int32_t *tokens, size_t n_tokens, candidate *c)
{
    int n = n_vocab;
    for (int i = 0; i < n; i++) c[i] = (candidate){.logit = (double)logits[i], .id = i};
    for (size_t i = 0; i < o->n_bias; i++) c[o->bias[i].token].logit += (double)o->bias[i].bias;
    size_t window = o->penalty_window < 0 || (size_t)o->penalty_window > n_tokens
                        ? n_tokens
                        : (size_t)o->penalty_window;
    for (int i = 0; i < n; i++) {
        int count = 0;
        for (size_t k = n_tokens - window; k < n_tokens; k++) count += tokens[k] == i;
        if (count == 0) continue;
        double repeat = (double)o->repeat_penalty;
        c[i].logit = c[i].logit > 0 ? c[i].logit / repeat : c[i].logit * repeat;
        c[i].logit -= count * (double)o->frequency_penalty + (double)o->presence_penalty;
    }
    for (int i = 0; i < n; i++) c[i].order = c[i].logit;
    qsort(c, (size_t)n, sizeof *c, by_order);
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    if (o->typical_p < 1) {
        double entropy = 0;
        softmax(c, n, 1);
        for (int i = 0; i < n; i++) entropy -= c[i].p > 0 ? c[i].p * log(c[i].p) : 0;
        for (int i = 0; i < n; i++) c[i].order = -fabs(-log(c[i].p) - entropy);
        qsort(c, (size_t)n, sizeof *c, by_order);
        n = keep_mass(c, n, (double)o->typical_p);
        for (int i = 0; i < n; i++) c[i].order = c[i].logit;
        qsort(c, (size_t)n, sizeof *c, by_order);
    }
    softmax(c, n, 1);
    if (o->top_p < 1) n = keep_mass(c, n, (double)o->top_p);
    if (o->min_p > 0)
        for (int i = 0; i < n; i++)
            if (c[i].p < (double)o->min_p * c[0].p) n = i;
    softmax(c, n, (double)o->temperature);
    return n;
}

static int32_t plain_choice(const candidate *c, int n, double u)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        if ((sum += c[i].p) >= u) return c[i].id;
    return c[n - 1].id;
}

/* Compare `n_draws` draws at positions n_tokens on. */
static void expect_choices(const lull_sampling *o, const float *logits, int n_vocab,
                           const int32_t *tokens, size_t n_tokens, int n_draws, const char *what)
{
    static candidate c[N_VOCAB];
    lull_sampler s = new_sampler(o, n_vocab);
    int n = 0;
    for (int i = 0; i < n_draws; i++) {
        size_t at = n_tokens + (size_t)i;
        if (i == 0 || o->penalty_window) /* else the position matters to the draw alone */
            n = plain_candidates(o, logits, n_vocab, tokens, at, c);
        int32_t want = plain_choice(c, n, lull_uniform(o->seed, at));
        int32_t got = lull_sampler_choose(&s, logits, -1, NULL, tokens, at);
        if (got != want) fail_msg("%s: %d, not %d, at position %zu", what, got, want, at);
    }
    lull_sampler_fini(&s);
}

/* ---- options --------------------------------------------------------------------------------- */

static void test_greedy(void **state)
{
    (void)state;
    lull_sampling o = lull_sampling_default();
    static float x[N_VOCAB];
    assert_int_equal(choose_once(&o, (float[]){1, 3, 3, 2, 3}, 5, NULL, 0), 1);
    assert_int_equal(choose_once(&o, (float[]){-0.0f, 0.0f}, 2, NULL, 0), 0);
    assert_int_equal(choose_once(&o, (float[]){-5, -4}, 2, NULL, 0), 1);
    assert_int_equal(choose_once(&o, (float[]){7}, 1, NULL, 0), 0);
    random_state = 1;
    for (int round = 0; round < 20; round++) {
        fill_logits(x, N_VOCAB, 0.5);
        int best = 0;
        for (int i = 1; i < N_VOCAB; i++) best = x[i] > x[best] ? i : best;
        assert_int_equal(choose_once(&o, x, N_VOCAB, NULL, 0), best);
    }
}

static void test_each_option(void **state)
{
    (void)state;
    static float x[N_VOCAB];
    static const struct {
        const char *name;
        float temperature;
        int top_k;
        float top_p, min_p, typical_p;
    } cases[] = {
        {"temperature 1", 1, 0, 1, 0, 1},
        {"temperature 0.3", 0.3f, 0, 1, 0, 1},
        {"temperature 5", 5, 0, 1, 0, 1},
        {"top_k 1", 1, 1, 1, 0, 1},
        {"top_k 40", 1, 40, 1, 0, 1},
        {"top_k 200", 2, 200, 1, 0, 1},
        {"top_k of all", 1, N_VOCAB, 1, 0, 1},
        {"top_k of more", 1, 1 << 30, 1, 0, 1},
        {"top_p 0", 1, 0, 0, 0, 1},
        {"top_p 0.5", 1, 0, 0.5f, 0, 1},
        {"top_p 0.95", 1, 0, 0.95f, 0, 1},
        {"top_p 0.999", 2, 0, 0.999f, 0, 1},
        {"min_p 0.05", 1, 0, 1, 0.05f, 1},
        {"min_p 1", 1, 0, 1, 1, 1},
        {"typical 0", 1, 0, 1, 0, 0},
        {"typical 0.2", 1, 0, 1, 0, 0.2f},
        {"typical 0.9", 1, 0, 1, 0, 0.9f},
        {"all", 0.8f, 50, 0.9f, 0.02f, 0.97f},
    };
    for (int steps = 0; steps < 2; steps++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            random_state = i + 1;
            lull_sampling o = lull_sampling_default();
            o.temperature = cases[i].temperature;
            o.top_k = cases[i].top_k;
            o.top_p = cases[i].top_p;
            o.min_p = cases[i].min_p;
            o.typical_p = cases[i].typical_p;
            o.penalty_window = 0;
            o.seed = 1000 + i;
            /* Equal logits put the order by id to the test. A typical set cut among equals would
             * test rounding instead. */
            bool has_equals = steps && cases[i].typical_p == 1;
            fill_logits(x, N_VOCAB, has_equals ? 0.25 : 0);
            expect_choices(&o, x, N_VOCAB, NULL, 0, 300, cases[i].name);
        }
}

/* A front that holds exactly the mass asked for is long enough. */
static void test_exact_mass(void **state)
{
    (void)state;
    static const float x[4] = {1, 5, 5, 1};
    lull_sampling o = lull_sampling_default();
    o.temperature = 100;
    o.top_k = 2;
    o.top_p = 0.5f;
    o.penalty_window = 0;
    for (size_t n = 0; n < 50; n++) assert_int_equal(choose_once(&o, x, 4, NULL, n), 1);
    o.top_p = 0.51f;
    bool seen[4] = {false};
    for (size_t n = 0; n < 50; n++) seen[choose_once(&o, x, 4, NULL, n)] = true;
    assert_true(!seen[0] && seen[1] && seen[2] && !seen[3]);
}

static void test_penalties(void **state)
{
    (void)state;
    enum { N = 200, SMALL = 100 };
    static const struct {
        const char *name;
        float repeat, frequency, presence;
        int window;
    } cases[] = {
        {"repeat", 1.3f, 0, 0, 64},
        {"repeat below 1", 0.8f, 0, 0, 64},
        {"frequency", 1, 0.4f, 0, 64},
        {"negative frequency", 1, -0.3f, 0, -1},
        {"presence", 1, 0, 0.9f, 64},
        {"all", 1.1f, 0.2f, 0.5f, 30},
        {"whole history", 1.1f, 0.2f, 0.5f, -1},
        {"window of 1", 2, 0.5f, 0.5f, 1},
        {"longer than history", 1.1f, 0.1f, 0.1f, 100000},
        {"no window", 3, 3, 3, 0},
    };
    static float x[SMALL];
    static int32_t tokens[N];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        random_state = i + 50;
        for (int k = 0; k < SMALL; k++) x[k] = (float)(6 * random_unit() - 3); /* of both signs */
        for (int k = 0; k < N; k++) tokens[k] = (int32_t)(random_unit() * random_unit() * SMALL);
        lull_sampling o = lull_sampling_default();
        o.repeat_penalty = cases[i].repeat;
        o.frequency_penalty = cases[i].frequency;
        o.presence_penalty = cases[i].presence;
        o.penalty_window = cases[i].window;
        o.temperature = 0.7f;
        o.seed = 7;
        expect_choices(&o, x, SMALL, tokens, 0, N, cases[i].name);
        o.temperature = 0;
        static candidate c[N_VOCAB];
        for (size_t n = 0; n < N; n += 13) {
            lull_sampling plain = o;
            plain.temperature = 1;
            plain_candidates(&plain, x, SMALL, tokens, n, c);
            assert_int_equal(choose_once(&o, x, SMALL, tokens, n), c[0].id);
        }
    }
}

static void test_bias(void **state)
{
    (void)state;
    enum { SMALL = 20 };
    static float x[SMALL];
    random_state = 3;
    for (int k = 0; k < SMALL; k++) x[k] = (float)random_unit();
    const lull_logit_bias bias[] = {{3, 2.5f}, {7, -INFINITY}, {9, -1.0f}, {3, -0.5f}};
    lull_sampling o = lull_sampling_default();
    o.bias = bias;
    o.n_bias = 4;
    o.penalty_window = 0;
    o.temperature = 1;
    expect_choices(&o, x, SMALL, NULL, 0, 2000, "bias");
    o.temperature = 1e4f; /* nearly uniform: a banned token would come */
    lull_sampler s = new_sampler(&o, SMALL);
    bool seen[SMALL] = {false};
    for (size_t n = 0; n < 5000; n++) seen[lull_sampler_choose(&s, x, -1, NULL, NULL, n)] = true;
    for (int i = 0; i < SMALL; i++) assert_int_equal(seen[i], i != 7);
    lull_sampler_fini(&s);
    o.temperature = 0;
    x[7] = 100;
    assert_int_equal(choose_once(&o, x, SMALL, NULL, 0), 3);
    const lull_logit_bias all_but_one[] = {{0, -INFINITY}, {2, -INFINITY}};
    o.bias = all_but_one;
    o.n_bias = 2;
    o.temperature = 1;
    for (size_t n = 0; n < 100; n++)
        assert_int_equal(choose_once(&o, (float[]){9, 1, 9}, 3, NULL, n), 1);
}

/* ---- draws ----------------------------------------------------------------------------------- */

/* 200,000 draws over 12 tokens: chi square with 11 degrees of freedom stays below 31.3 but for one
 * sequence in a thousand; this one does. */
static void test_distribution(void **state)
{
    (void)state;
    enum { N = 200000, SMALL = 12 };
    static candidate c[N_VOCAB];
    float x[SMALL];
    int count[SMALL] = {0};
    random_state = 5;
    for (int k = 0; k < SMALL; k++) x[k] = (float)(4 * random_unit());
    lull_sampling o = lull_sampling_default();
    o.temperature = 0.9f;
    o.seed = 42;
    o.penalty_window = 0;
    lull_sampler s = new_sampler(&o, SMALL);
    for (size_t n = 0; n < N; n++) count[lull_sampler_choose(&s, x, -1, NULL, NULL, n)]++;
    lull_sampler_fini(&s);
    double chi = 0;
    int n = plain_candidates(&o, x, SMALL, NULL, 0, c);
    assert_int_equal(n, SMALL);
    for (int i = 0; i < n; i++) {
        double want = c[i].p * N, off = count[c[i].id] - want;
        chi += off * off / want;
    }
    assert_true(chi < 31.3);
}

/* A draw is a function of (seed, position): not of what was drawn before, nor by whom. */
static void test_independence(void **state)
{
    (void)state;
    static float x[N_VOCAB];
    enum { N = 200 };
    random_state = 9;
    fill_logits(x, N_VOCAB, 0);
    lull_sampling o = lull_sampling_default();
    o.temperature = 3;
    o.penalty_window = 0;
    o.seed = 77;
    int32_t forward[N];
    lull_sampler s = new_sampler(&o, N_VOCAB);
    for (size_t n = 0; n < N; n++) forward[n] = lull_sampler_choose(&s, x, -1, NULL, NULL, n);
    for (size_t n = N; n-- > 0;)
        assert_int_equal(lull_sampler_choose(&s, x, -1, NULL, NULL, n), forward[n]);
    lull_sampler_fini(&s);
    int n_same_seed = 0, n_same_position = 0;
    for (size_t n = 0; n < N; n++) {
        assert_int_equal(choose_once(&o, x, N_VOCAB, NULL, n), forward[n]);
        lull_sampling other = o;
        other.seed = 78;
        n_same_seed += choose_once(&other, x, N_VOCAB, NULL, n) == forward[n];
        n_same_position += n > 0 && forward[n] == forward[n - 1];
    }
    assert_true(n_same_seed < N / 4 && n_same_position < N / 4);
}

/* A sampler leaves nothing behind that the next call could see, and asks for no memory. */
static void test_scratch(void **state)
{
    (void)state;
    static float x[N_VOCAB];
    static int32_t tokens[100];
    random_state = 11;
    fill_logits(x, N_VOCAB, 0);
    for (int i = 0; i < 100; i++) tokens[i] = (int32_t)(random_unit() * 50);
    const lull_logit_bias bias[] = {{1, 1.0f}};
    lull_sampling o = {.temperature = 1,
                       .top_k = 500,
                       .top_p = 0.9f,
                       .min_p = 0.001f,
                       .typical_p = 0.95f,
                       .repeat_penalty = 1.2f,
                       .frequency_penalty = 0.1f,
                       .penalty_window = 64,
                       .seed = 4,
                       .bias = bias,
                       .n_bias = 1};
    lull_sampler s = new_sampler(&o, N_VOCAB);
    long before = atomic_load(&n_requests);
    int32_t first = lull_sampler_choose(&s, x, -1, NULL, tokens, 100);
    for (size_t n = 0; n < 100; n++) (void)lull_sampler_choose(&s, x, -1, NULL, tokens, n);
    assert_int_equal(lull_sampler_choose(&s, x, -1, NULL, tokens, 100), first);
    assert_int_equal(atomic_load(&n_requests), before);
    lull_sampler_fini(&s);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static void test_ranges(void **state)
{
    (void)state;
    const lull_logit_bias bad_id[] = {{0, 1}, {100, 1}}, negative_id[] = {{-1, 1}};
    const lull_logit_bias nan_bias[] = {{0, NAN}}, infinite_bias[] = {{0, INFINITY}};
    enum { N = 24 };
    lull_sampling cases[N];
    const char *named[N];
    int n = 0;
#define CASE(field, value, name)                                                                   \
    (cases[n] = lull_sampling_default(), cases[n].field = (value), named[n++] = (name))
    CASE(temperature, -0.1f, "temperature");
    CASE(temperature, NAN, "temperature");
    CASE(temperature, INFINITY, "temperature");
    CASE(top_k, -1, "top_k");
    CASE(top_p, -0.1f, "top_p");
    CASE(top_p, 1.1f, "top_p");
    CASE(top_p, NAN, "top_p");
    CASE(min_p, -0.1f, "min_p");
    CASE(min_p, 1.1f, "min_p");
    CASE(min_p, NAN, "min_p");
    CASE(typical_p, -0.1f, "typical_p");
    CASE(typical_p, 1.1f, "typical_p");
    CASE(typical_p, NAN, "typical_p");
    CASE(repeat_penalty, 0, "repeat_penalty");
    CASE(repeat_penalty, NAN, "repeat_penalty");
    CASE(frequency_penalty, INFINITY, "frequency_penalty");
    CASE(frequency_penalty, NAN, "frequency_penalty");
    CASE(presence_penalty, -INFINITY, "presence_penalty");
    CASE(penalty_window, -2, "penalty_window");
    CASE(bias, bad_id, "100");
    cases[n - 1].n_bias = 2;
    CASE(bias, negative_id, "-1");
    cases[n - 1].n_bias = 1;
    CASE(bias, nan_bias, "bias");
    cases[n - 1].n_bias = 1;
    CASE(bias, infinite_bias, "bias");
    cases[n - 1].n_bias = 1;
    CASE(temperature, 1e9f, "temperature");
#undef CASE
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++) {
        lull_sampler s;
        lull_error err;
        lull_status st = lull_sampler_init(&s, &cases[i], 100, &err);
        if (st != LULL_EINVAL || !strstr(err.msg, named[i]))
            fail_msg("case %d: %s (%s), should name %s", i, lull_status_name(st), err.msg,
                     named[i]);
        assert_null(s.candidates);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    const lull_logit_bias bias[] = {{1, 1.0f}};
    lull_sampling o = lull_sampling_default();
    o.temperature = 1;
    o.presence_penalty = 1;
    o.bias = bias;
    o.n_bias = 1;
    for (long n = 0; n <= 3; n++) {
        lull_sampler s;
        lull_error err;
        fail_request(n);
        lull_status st = lull_sampler_init(&s, &o, 100, &err);
        fail_request(-1);
        assert_int_equal(st, n < 3 ? LULL_ENOMEM : LULL_OK);
        lull_sampler_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform),        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_each_option),    cmocka_unit_test(test_exact_mass),
        cmocka_unit_test(test_penalties),      cmocka_unit_test(test_bias),
        cmocka_unit_test(test_distribution),   cmocka_unit_test(test_independence),
        cmocka_unit_test(test_scratch),        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
