/* Norms, gates, rotations, addition: each level against the reference bit for bit, the reference
 * against binary64. See kernel_check.h for the arguments. */
#include "kernel_check.h"

/* Around the 16 stripes and the vectors of 4, 8 and 16 lanes, and the widths of models. */
static const int sizes[] = {1,  2,  3,  7,  8,   9,   15,  16,  17,   31,  32,
                            33, 63, 64, 65, 127, 240, 576, 641, 4096, 8191};
enum { N_SIZES = sizeof sizes / sizeof *sizes, MAX_N = 8191 };

static float in_x[MAX_N + 1], in_y[MAX_N + 1], in_w[MAX_N + 1], expected[MAX_N + 1];

/* Every size, sort of values and shift of the output: fills in_x, in_y, in_w. */
#define FOR_EACH_CASE(n, kind, shift)                                                              \
    for (int size_ = 0, n; size_ < N_SIZES && (n = sizes[size_]); size_++)                         \
        for (values kind = 0; kind < N_VALUES; kind++)                                             \
            for (size_t shift = 0; shift <= 4; shift += 4)                                         \
                if (fill(in_x, (size_t)n + 1, kind), fill(in_y, (size_t)n + 1, kind),              \
                    fill(in_w, (size_t)n + 1, ORDINARY), true)

/* ---- norm ------------------------------------------------------------------------------------ */

static void test_rms_norm(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    FOR_EACH_CASE(n, kind, shift)
    {
        guarded out = guarded_new(sizeof(float) * (size_t)n, shift);
        float *y = (float *)out.data;
        ref->rms_norm(in_x + shift / 4, in_w, n, 1e-5f, expected);
        k->rms_norm(in_x + shift / 4, in_w, n, 1e-5f, y);
        expect_same(y, expected, (size_t)n, "rms_norm %s n=%d", values_names[kind], n);
        memcpy(y, in_x + shift / 4, out.n_bytes); /* in place */
        k->rms_norm(y, in_w, n, 1e-5f, y);
        expect_same(y, expected, (size_t)n, "rms_norm in place %s n=%d", values_names[kind], n);
        assert_true(guarded_is_whole(&out));
        guarded_free(&out);
    }
}

/* A stripe adds n / 16 terms, each with a rounding of EPS / 2; the root halves what that makes. */
static void test_rms_norm_exact(void **state)
{
    (void)state;
    const lull_kernels *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    FOR_EACH_CASE(n, kind, shift)
    {
        if (kind == HUGE_MIX || kind == NOT_FINITE) continue; /* the sum of squares overflows */
        ref->rms_norm(in_x, in_w, n, 1e-6f, expected);
        double sum = 0;
        for (int i = 0; i < n; i++) sum += (double)in_x[i] * (double)in_x[i];
        double r = 1 / sqrt(sum / n + (double)1e-6f), bound = (8 + n / 64.0) * EPS;
        for (int i = 0; i < n; i++) {
            double y = (double)in_x[i] * r * (double)in_w[i];
            expect_near((double)expected[i], y, bound * fabs(y) + 0x1p-149, "rms_norm %s n=%d",
                        values_names[kind], n);
        }
    }
}

/* ---- gates ----------------------------------------------------------------------------------- */

static void test_gated(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    for (lull_act act = LULL_ACT_SILU; act <= LULL_ACT_GELU_TANH; act++)
        FOR_EACH_CASE(n, kind, shift)
        {
            for (int i = 0; i < n; i++) in_x[i] *= 20.0f; /* past where the gate saturates */
            guarded out = guarded_new(sizeof(float) * (size_t)n, shift);
            float *y = (float *)out.data;
            ref->gated(act, in_x, in_y, n, expected);
            k->gated(act, in_x, in_y, n, y);
            expect_same(y, expected, (size_t)n, "gated %d %s n=%d", act, values_names[kind], n);
            memcpy(y, in_x, out.n_bytes); /* y may be g */
            k->gated(act, y, in_y, n, y);
            expect_same(y, expected, (size_t)n, "gated over g");
            memcpy(y, in_y, out.n_bytes); /* or u */
            k->gated(act, in_x, y, n, y);
            expect_same(y, expected, (size_t)n, "gated over u");
            assert_true(guarded_is_whole(&out));
            guarded_free(&out);
        }
}

static double silu(double g)
{
    return g / (1 + exp(-g));
}

/* g (1 + tanh z) / 2, written so that nothing cancels. */
static double gelu(double g)
{
    double z = sqrt(2 / acos(-1.0)) * (g + 0.044715 * g * g * g);
    return z < 0 ? g * exp(2 * z) / (1 + exp(2 * z)) : g / (1 + exp(-2 * z));
}

/* The roundings of exp's argument z count |z| EPS each, those after it EPS. An argument above 88 is
 * taken for 88: what is then below 100 exp(-88) may be off by as much. */
static void test_gated_exact(void **state)
{
    (void)state;
    const lull_kernels *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    enum { N = 4001 };
    for (int i = 0; i < N; i++) {
        in_x[i] = (float)(i - N / 2) * 0.01f;
        in_y[i] = 1 + random_float() * 0.5f;
    }
    for (lull_act act = LULL_ACT_SILU; act <= LULL_ACT_GELU_TANH; act++) {
        ref->gated(act, in_x, in_y, N, expected);
        for (int i = 0; i < N; i++) {
            double g = (double)in_x[i];
            double z = act == LULL_ACT_SILU ? fabs(g) : 1.6 * (fabs(g) + 0.045 * fabs(g * g * g));
            double y = (act == LULL_ACT_SILU ? silu(g) : gelu(g)) * (double)in_y[i];
            expect_near((double)expected[i], y, (8 + 4 * z) * EPS * fabs(y) + 100 * exp(-88),
                        "gate %d of %g", act, g);
        }
    }
}

/* ---- rotation, addition ---------------------------------------------------------------------- */

static void test_rope(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    static const int pairs[] = {1, 2, 3, 7, 8, 9, 16, 17, 24, 32, 64, 128, 255, 256};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++)
        for (values kind = 0; kind < N_VALUES; kind++)
            for (int is_neox = 0; is_neox < 2; is_neox++) {
                int n = 2 * pairs[p];
                guarded out = guarded_new(sizeof(float) * (size_t)n, 4);
                float *y = (float *)out.data;
                fill(y, (size_t)n, kind);
                fill(in_w, (size_t)n, ORDINARY);
                memcpy(expected, y, out.n_bytes);
                ref->rope(expected, in_w, pairs[p], is_neox, 0.125f);
                k->rope(y, in_w, pairs[p], is_neox, 0.125f);
                expect_same(y, expected, (size_t)n, "rope neox=%d %s %d pairs", is_neox,
                            values_names[kind], pairs[p]);
                assert_true(guarded_is_whole(&out));
                guarded_free(&out);
            }
}

/* The textbook rotation in binary64; which two elements are a pair is the family's convention. */
static void test_rope_exact(void **state)
{
    (void)state;
    const lull_kernels *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    enum { N_PAIRS = 32 };
    for (int is_neox = 0; is_neox < 2; is_neox++) {
        fill(in_x, 2 * N_PAIRS, ORDINARY);
        memcpy(expected, in_x, sizeof(float) * 2 * N_PAIRS);
        for (int i = 0; i < N_PAIRS; i++) {
            in_w[i] = cosf((float)i);
            in_w[N_PAIRS + i] = sinf((float)i);
        }
        ref->rope(expected, in_w, N_PAIRS, is_neox, 0.3f);
        for (int i = 0; i < N_PAIRS; i++) {
            int ia = is_neox ? i : 2 * i, ib = is_neox ? i + N_PAIRS : 2 * i + 1;
            double a = (double)in_x[ia], b = (double)in_x[ib], scale = (double)0.3f;
            double c = (double)in_w[i], s = (double)in_w[N_PAIRS + i];
            double terms = (fabs(a) + fabs(b)) * scale;
            expect_near((double)expected[ia], (a * c - b * s) * scale, 8 * EPS * terms, "first");
            expect_near((double)expected[ib], (a * s + b * c) * scale, 8 * EPS * terms, "second");
        }
    }
}

static void test_add(void **state)
{
    const lull_kernels *k = kernels_of(state);
    FOR_EACH_CASE(n, kind, shift)
    {
        guarded out = guarded_new(sizeof(float) * (size_t)n, shift);
        float *y = (float *)out.data;
        memcpy(y, in_x, out.n_bytes);
        k->add(y, in_y, n);
        for (int i = 0; i < n; i++) expected[i] = in_x[i] + in_y[i];
        expect_same(y, expected, (size_t)n, "add %s n=%d", values_names[kind], n);
        assert_true(guarded_is_whole(&out));
        guarded_free(&out);
    }
}

/* The first of the largest, by comparing one after the other. */
static int32_t top_of(const float *x, int n)
{
    int32_t best = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) return -1;
        if (x[i] > x[best]) best = i;
    }
    return best;
}

static void check_top(const lull_kernels *k)
{
    FOR_EACH_CASE(n, kind, shift)
    {
        guarded copy = guarded_new(sizeof(float) * (size_t)n, shift);
        float *x = (float *)copy.data;
        memcpy(x, in_x, copy.n_bytes);
        for (int round = 0; round < 6; round++) {
            /* As it is; equals; zeros of both signs, with what is below them; the ends of the range; one that
             * is not finite. */
            static const float planted[] = {0, 1e30f, -0.0f, 0x1.fffffep127f, INFINITY, -NAN};
            for (int i = 0; round == 2 && i < n; i++) x[i] = i % 3 ? -fabsf(x[i]) : 0.0f;
            for (int i = 0; round > 0 && i < 3; i++) x[random_int(n)] = planted[round];
            int32_t got = k->top(x, n), want = top_of(x, n);
            if (got != want)
                fail_msg("top %s n=%d, round %d: %d, not %d", values_names[kind], n, round, got,
                         want);
        }
        assert_true(guarded_is_whole(&copy));
        guarded_free(&copy);
    }
}

static void test_top(void **state)
{
    check_top(kernels_of(state));
}

static void test_top_ref(void **state)
{
    (void)state;
    check_top(kernels_of_ref());
}

/* ---- timing ---------------------------------------------------------------------------------- */

static const lull_kernels *timed;
enum { BENCH_N = 4096 };

static void bench_rms_norm(void *ctx)
{
    (void)ctx;
    timed->rms_norm(in_x, in_w, BENCH_N, 1e-5f, expected);
}
static void bench_silu(void *ctx)
{
    (void)ctx;
    timed->gated(LULL_ACT_SILU, in_x, in_y, BENCH_N, expected);
}
static void bench_gelu(void *ctx)
{
    (void)ctx;
    timed->gated(LULL_ACT_GELU_TANH, in_x, in_y, BENCH_N, expected);
}
static void bench_add(void *ctx)
{
    (void)ctx;
    timed->add(expected, in_y, BENCH_N);
}
static void bench_top(void *ctx)
{
    (void)ctx;
    expected[0] = (float)timed->top(in_x, BENCH_N);
}
static void bench_rope(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < BENCH_N; i += 128) timed->rope(in_x + i, in_w, 64, 1, 1.0f);
}

static int bench(void)
{
    static const struct {
        const char *name;
        void (*fn)(void *);
    } cases[] = {{"rms_norm", bench_rms_norm}, {"silu", bench_silu}, {"gelu", bench_gelu},
                 {"add", bench_add},           {"top", bench_top},   {"rope neox", bench_rope}};
    fill(in_x, BENCH_N, ORDINARY);
    fill(in_y, BENCH_N, ORDINARY);
    fill(in_w, BENCH_N, ORDINARY);
    printf("10^9 elements a second, n = %d\n%-12s", BENCH_N, "");
    for (int l = 0; l < LULL_CPU_N_LEVELS; l++)
        if (lull_cpu_enable((lull_cpu_level)l)) printf("%12s", lull_cpu_level_name(l));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        printf("\n%-12s", cases[i].name);
        for (int l = 0; l < LULL_CPU_N_LEVELS; l++) {
            if (!lull_cpu_enable((lull_cpu_level)l)) continue;
            timed = lull_kernels_of(l, LULL_ACTIVATIONS_8);
            printf("%12.2f", BENCH_N * 1e-9 / time_call(cases[i].fn, NULL));
        }
    }
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (check_start(argc, argv)) return bench();
    add_test("rms_norm ref against binary64", test_rms_norm_exact);
    add_test("gated ref against binary64", test_gated_exact);
    add_test("rope ref against binary64", test_rope_exact);
    add_test("top ref by its definition", test_top_ref);
    add_level_tests("rms_norm", test_rms_norm);
    add_level_tests("gated", test_gated);
    add_level_tests("rope", test_rope);
    add_level_tests("add", test_add);
    add_level_tests("top", test_top);
    return check_run("elementwise");
}
