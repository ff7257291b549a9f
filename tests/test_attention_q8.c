/* Keys and values of 8 bits: each level against the reference bit for bit, the reference against binary64.
 * See kernel_check.h for the arguments. */
#include "kernel_check.h"

#include "dtype.h"
#include "kv_layout.h"

enum { PAGE = LULL_PAGE_POSITIONS, MAX_D = 512, MAX_Q = 16 };

static const int widths[] = {32, 64, 96, 128, 256, 512};
enum { N_WIDTHS = sizeof widths / sizeof *widths };
static const int counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 16}; /* around the groups of 2 and 4 queries */
enum { N_COUNTS = sizeof counts / sizeof *counts };

enum { PART_BYTES = MAX_D * PAGE + MAX_D / LULL_KV_Q8_COLS * PAGE * 2 };

typedef struct page {
    _Alignas(64) uint8_t k[PART_BYTES], v[PART_BYTES];
} page;

static float query[MAX_Q * MAX_D];
static int16_t lo[MAX_Q], hi[MAX_Q];

static size_t part_bytes(int d)
{
    return lull_kv_q8_codes_bytes(d) + (size_t)d / LULL_KV_Q8_COLS * PAGE * 2;
}

/* All positions of a page, by a level. */
static void fill_page(const lull_kernels *k, page *p, int d, values kind)
{
    float x[MAX_D];
    for (int at = 0; at < PAGE; at++) {
        fill(x, (size_t)d, kind);
        k->k_store_q8(x, d, at, p->k);
        fill(x, (size_t)d, kind);
        k->v_store_q8(x, d, at, p->v);
    }
}

static void choose_ranges(int n_q)
{
    for (int t = 0; t < n_q; t++) {
        bool sees_all = random_int(3) == 0;
        lo[t] = (int16_t)(sees_all ? 0 : random_int(PAGE + 1));
        hi[t] = (int16_t)(sees_all ? PAGE : random_int(PAGE + 1));
        if (random_int(8) == 0) hi[t] = (int16_t)(lo[t] < PAGE ? lo[t] + 1 : PAGE);
    }
}

typedef struct running {
    float m[MAX_Q], l[MAX_Q];
    guarded o;
} running;

static running running_new(int n_q, int d)
{
    running r = {.o = guarded_new(sizeof(float) * (size_t)(n_q * d), 4)};
    memset(r.o.data, 0, r.o.n_bytes);
    for (int t = 0; t < n_q; t++) r.m[t] = -INFINITY;
    return r;
}

/* Queries from `first` of the array, ranges too. */
static void attend(const lull_kernels *k, running *r, const page *p, int first, int n_q, int d)
{
    static _Alignas(64) uint8_t records[MAX_Q * (2 * MAX_D + 128)];
    size_t stride = lull_query_q8_bytes(d);
    for (int t = 0; t < n_q; t++)
        k->query_q8(query + (size_t)(first + t) * (size_t)d, d, records + (size_t)t * stride);
    k->attend_q8(&(lull_attend_q8_args){.queries = records,
                                        .k = p->k,
                                        .v = p->v,
                                        .next_k = p->k,
                                        .next_v = p->v,
                                        .lo = lo + first,
                                        .hi = hi + first,
                                        .m = r->m,
                                        .l = r->l,
                                        .o = (float *)r->o.data,
                                        .o_stride = (size_t)d,
                                        .n_q = n_q,
                                        .d = d});
}

/* ---- levels ---------------------------------------------------------------------------------- */

static void test_store(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    static uint8_t want[PART_BYTES];
    float x[MAX_D];
    for (int w = 0; w < N_WIDTHS; w++)
        for (values kind = 0; kind < N_VALUES; kind++)
            for (int is_v = 0; is_v < 2; is_v++) {
                int d = widths[w];
                guarded got = guarded_new(part_bytes(d), 0);
                memset(want, 0x11, sizeof want);
                memset(got.data, 0x11, got.n_bytes);
                for (int at = 0; at < PAGE; at += 1 + random_int(9)) {
                    fill(x, (size_t)d, kind);
                    if (random_int(4) == 0) x[random_int(d)] = -1e30f;
                    (is_v ? ref->v_store_q8 : ref->k_store_q8)(x, d, at, want);
                    (is_v ? k->v_store_q8 : k->k_store_q8)(x, d, at, got.data);
                }
                assert_memory_equal(got.data, want, got.n_bytes);
                assert_true(guarded_is_whole(&got));
                guarded_free(&got);
            }
}

static void test_query(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    for (int w = 0; w < N_WIDTHS; w++)
        for (values kind = 0; kind < N_VALUES; kind++) {
            int d = widths[w];
            size_t used = 2 * (size_t)d + 4 * ((size_t)d / 32 + 1);
            guarded got = guarded_new(lull_query_q8_bytes(d), 0);
            guarded want = guarded_new(lull_query_q8_bytes(d), 0);
            fill(query, (size_t)d, kind);
            k->query_q8(query, d, got.data);
            ref->query_q8(query, d, want.data);
            bool is_nan = memcmp(got.data + used - 4, want.data + used - 4, 4) != 0;
            float a, b;
            memcpy(&a, got.data + used - 4, 4);
            memcpy(&b, want.data + used - 4, 4);
            if (is_nan) assert_true(isnan(a) && isnan(b)); /* which NaN is not said */
            assert_memory_equal(got.data, want.data, used - 4);
            assert_true(guarded_is_whole(&got));
            guarded_free(&got);
            guarded_free(&want);
        }
}

static void expect_same_top(const float *got, const float *want, int n)
{
    for (int t = 0; t < n; t++)
        if (got[t] != want[t])
            fail_msg("m of query %d is %a, not %a (--seed %llu)", t, (double)got[t],
                     (double)want[t], (unsigned long long)check_seed);
}

static void test_attend(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    static page p;
    for (int w = 0; w < N_WIDTHS; w++)
        for (int c = 0; c < N_COUNTS; c++) {
            int d = widths[w], n_q = counts[c];
            running got = running_new(n_q, d), want = running_new(n_q, d);
            values kind = (values)random_int(N_FINITE_VALUES);
            for (int i = 0; i < 3; i++) {
                fill_page(ref, &p, d, kind);
                fill(query, (size_t)(n_q * d), kind == HUGE_MIX ? WIDE : kind);
                choose_ranges(n_q);
                attend(k, &got, &p, 0, n_q, d);
                attend(ref, &want, &p, 0, n_q, d);
                expect_same_top(got.m, want.m, n_q);
                expect_same(got.l, want.l, (size_t)n_q, "l %s %d x %d", values_names[kind], n_q, d);
                expect_same((float *)got.o.data, (float *)want.o.data, (size_t)(n_q * d),
                            "o %s %d x %d", values_names[kind], n_q, d);
                assert_true(guarded_is_whole(&got.o));
            }
            guarded_free(&got.o);
            guarded_free(&want.o);
        }
}

/* A query's result does not depend on the queries beside it. */
static void test_alone(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 96 };
    static page p;
    for (int c = 0; c < N_COUNTS; c++) {
        int n_q = counts[c];
        running all = running_new(n_q, D);
        fill_page(k, &p, D, WIDE);
        fill(query, (size_t)(n_q * D), ORDINARY);
        choose_ranges(n_q);
        attend(k, &all, &p, 0, n_q, D);
        for (int t = 0; t < n_q; t++) {
            running one = running_new(1, D);
            attend(k, &one, &p, t, 1, D);
            expect_same_top(one.m, &all.m[t], 1);
            expect_same(one.l, &all.l[t], 1, "l of query %d of %d", t, n_q);
            expect_same((float *)one.o.data, (float *)all.o.data + t * D, D, "o of query %d of %d",
                        t, n_q);
            guarded_free(&one.o);
        }
        guarded_free(&all.o);
    }
}

/* What stands at masked positions does not matter, not even a scale that is not finite. */
static void test_masked(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 64, N_Q = 7 };
    static page p;
    running a = running_new(N_Q, D), b = running_new(N_Q, D);
    fill_page(k, &p, D, ORDINARY);
    fill(query, N_Q * D, ORDINARY);
    for (int t = 0; t < N_Q; t++) {
        lo[t] = (int16_t)(10 + random_int(5));
        hi[t] = (int16_t)(30 + random_int(5));
    }
    attend(k, &a, &p, 0, N_Q, D);
    for (int j = 0; j < PAGE; j++) {
        if (j >= 10 && j < 34) continue;
        for (int i = 0; i < D; i++) {
            p.k[(i / 4 * PAGE + j) * 4 + i % 4] = (uint8_t)random_int(256);
            p.v[(j / 4 * D + i) * 4 + j % 4] = (uint8_t)random_int(256);
        }
        for (int block = 0; block < D / 32; block++) {
            static const uint16_t odd[] = {0x7c00, 0xfc00, 0x7e00, 0x7bff, 0xfbff};
            uint16_t scale = odd[random_int(5)];
            memcpy(p.k + D * PAGE + 2 * (block * PAGE + j), &scale, 2);
            memcpy(p.v + D * PAGE + 2 * (block * PAGE + j), &scale, 2);
        }
    }
    attend(k, &b, &p, 0, N_Q, D);
    expect_same_top(b.m, a.m, N_Q);
    expect_same(b.l, a.l, N_Q, "l");
    expect_same((float *)b.o.data, (float *)a.o.data, (size_t)N_Q * D, "o");
    guarded_free(&a.o);
    guarded_free(&b.o);
}

/* A query that is not finite makes its own result not finite, and no other's. */
static void test_not_finite(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 32, N_Q = 7 };
    static page p;
    fill_page(k, &p, D, ORDINARY);
    for (int bad = 0; bad < N_Q; bad++) {
        running a = running_new(N_Q, D), b = running_new(N_Q, D);
        fill(query, N_Q * D, ORDINARY);
        choose_ranges(N_Q);
        lo[bad] = 0;
        hi[bad] = PAGE;
        attend(k, &a, &p, 0, N_Q, D);
        query[bad * D + random_int(D)] = NAN;
        attend(k, &b, &p, 0, N_Q, D);
        for (int t = 0; t < N_Q; t++) {
            float *o = (float *)b.o.data + t * D;
            if (t != bad) {
                expect_same(o, (float *)a.o.data + t * D, D, "query %d", t);
                continue;
            }
            assert_true(isnan(b.l[t]));
            for (int i = 0; i < D; i++) assert_true(isnan(o[i]));
        }
        guarded_free(&a.o);
        guarded_free(&b.o);
    }
}

/* ---- the reference against binary64 ---------------------------------------------------------- */

static double scale_of(const uint8_t *part, int d, int block, int at)
{
    uint16_t half;
    memcpy(&half, part + d * PAGE + 2 * (block * PAGE + at), 2);
    return (double)lull_f16_to_f32(half);
}

static double key_at(const page *p, int d, int i, int j)
{
    return (p->k[(i / 4 * PAGE + j) * 4 + i % 4] - 128) * scale_of(p->k, d, i / 32, j);
}

static int value_code(const page *p, int d, int i, int j)
{
    return (int8_t)p->v[(j / 4 * d + i) * 4 + j % 4];
}

static double largest_of(const float *x, int n)
{
    float a = 0;
    for (int i = 0; i < n; i++) a = fabsf(x[i]) > a ? fabsf(x[i]) : a;
    return (double)a;
}

/* Half a step of the scale, which is off by 2^-11 at most: the largest value may be cut by 127 of that. */
static void test_store_accuracy(void **state)
{
    (void)state;
    const lull_kernels *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    static page p;
    enum { D = 64 };
    for (int round = 0; round < 200; round++) {
        float x[D];
        int at = random_int(PAGE);
        fill(x, D, round % 2 ? WIDE : ORDINARY);
        for (int i = 0; i < D; i++) x[i] = fminf(fmaxf(x[i], -65504), 65504);
        ref->k_store_q8(x, D, at, p.k);
        ref->v_store_q8(x, D, at, p.v);
        for (int i = 0; i < D; i++) {
            double a = largest_of(x + i / 32 * 32, 32);
            if (a < 127 * 0x1p-14) continue; /* scales of fewer bits */
            double bound = a / 127 * (0.5 + 127 * 0x1p-11);
            expect_near(key_at(&p, D, i, at), (double)x[i], bound, "key");
            expect_near(value_code(&p, D, i, at) * scale_of(p.v, D, i / 32, at), (double)x[i],
                        bound, "value");
        }
    }
}

/* Softmax over some pages in binary64, of the keys and values as they are stored. A query's codes are off
 * by half a step, a/32512; a score by that times the sum of |k|, and by 8 EPS of its terms; its exp by as
 * much and two units. A weight is off by half a step of its page's largest. */
static void test_exact(void **state)
{
    (void)state;
    const lull_kernels *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    enum { D = 64, N_Q = 3, N_PAGES = 5, N = N_PAGES * PAGE };
    static page pages[N_PAGES];
    static double s[N_Q][N];
    running r = running_new(N_Q, D);
    double share[N_Q] = {0};
    fill(query, N_Q * D, ORDINARY);
    for (int n = 0; n < N_PAGES; n++) {
        fill_page(ref, &pages[n], D, n % 2 ? WIDE : ORDINARY);
        for (int t = 0; t < N_Q; t++) {
            lo[t] = (int16_t)(n == 0 ? 3 * t : 0);
            hi[t] = (int16_t)(n == N_PAGES - 1 ? PAGE - t : PAGE);
            double a = largest_of(query + t * D, D);
            for (int j = 0; j < PAGE; j++) {
                double sum = 0, terms = 0, keys = 0;
                for (int i = 0; i < D; i++) {
                    double k = key_at(&pages[n], D, i, j), x = (double)query[t * D + i] * k;
                    sum += x;
                    terms += fabs(x);
                    keys += fabs(k);
                }
                s[t][n * PAGE + j] = j >= lo[t] && j < hi[t] ? sum : -INFINITY;
                share[t] = fmax(share[t], a / 32512 * keys + 8 * EPS * terms);
            }
        }
        attend(ref, &r, &pages[n], 0, N_Q, D);
    }
    for (int t = 0; t < N_Q; t++) {
        double top = -INFINITY, l = 0;
        for (int j = 0; j < N; j++) top = fmax(top, s[t][j]);
        for (int j = 0; j < N; j++) l += exp(s[t][j] - top);
        for (int i = 0; i < D; i++) {
            double sum = 0, terms = 0, steps = 0;
            for (int n = 0; n < N_PAGES; n++) {
                double largest = 0, codes = 0;
                for (int j = 0; j < PAGE; j++) {
                    double w = exp(s[t][n * PAGE + j] - top) * scale_of(pages[n].v, D, i / 32, j),
                           code = value_code(&pages[n], D, i, j);
                    sum += w * code;
                    terms += w * fabs(code);
                    largest = fmax(largest, w);
                    codes += fabs(code);
                }
                steps += largest / 32766 * 1.001 * codes;
            }
            double bound = (terms * (2 * share[t] * 1.001 + 16 * EPS) + steps) / l;
            expect_near((double)((float *)r.o.data)[t * D + i] / (double)r.l[t], sum / l, bound,
                        "query %d, dimension %d", t, i);
        }
    }
    guarded_free(&r.o);
}

/* A flat distribution over many positions keeps its mass: all values 1, all weights alike. */
static void test_flat(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 32, N_PAGES = 200 };
    static page p;
    float one[D];
    running r = running_new(1, D);
    for (int i = 0; i < D; i++) one[i] = 1;
    for (int j = 0; j < PAGE; j++) {
        k->k_store_q8(one, D, j, p.k);
        k->v_store_q8(one, D, j, p.v);
    }
    memset(query, 0, sizeof query);
    lo[0] = 0;
    hi[0] = PAGE;
    for (int n = 0; n < N_PAGES; n++) attend(k, &r, &p, 0, 1, D);
    double value = 127 * scale_of(p.v, D, 0, 0);
    assert_true(r.l[0] == N_PAGES * PAGE);
    for (int i = 0; i < D; i++)
        expect_near((double)((float *)r.o.data)[i] / (N_PAGES * PAGE), value, N_PAGES * EPS * value,
                    "a mean of equal values");
    guarded_free(&r.o);
}

/* ---- timing ---------------------------------------------------------------------------------- */

typedef struct bench_case {
    const lull_kernels *k;
    int n_q, d;
    running r;
    const page *p;
} bench_case;

static void bench_attend(void *ctx)
{
    bench_case *b = ctx;
    attend(b->k, &b->r, b->p, 0, b->n_q, b->d);
}

static int bench(void)
{
    static page p;
    printf("microseconds a page and KV head, queries quantised too\n%-16s", "d, queries");
    for (int l = 0; l < LULL_CPU_N_LEVELS; l++)
        if (lull_cpu_enable((lull_cpu_level)l)) printf("%12s", lull_cpu_level_name(l));
    for (int d = 64; d <= 256; d *= 4)
        for (int n_q = 1; n_q <= MAX_Q; n_q *= 4) {
            printf("\n%5d %9d ", d, n_q);
            for (int l = 0; l < LULL_CPU_N_LEVELS; l++) {
                if (!lull_cpu_enable((lull_cpu_level)l)) continue;
                bench_case b = {lull_kernels_of(l, LULL_ACTIVATIONS_8), n_q, d, running_new(n_q, d),
                                &p};
                fill_page(b.k, &p, d, ORDINARY);
                fill(query, (size_t)(n_q * d), ORDINARY);
                for (int t = 0; t < n_q; t++) hi[t] = PAGE - (lo[t] = 0);
                printf("%12.2f", 1e6 * time_call(bench_attend, &b));
                guarded_free(&b.r.o);
            }
        }
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (check_start(argc, argv)) return bench();
    add_test("store ref against binary64", test_store_accuracy);
    add_test("attend ref against binary64", test_exact);
    add_level_tests("store", test_store);
    add_level_tests("query", test_query);
    add_level_tests("attend", test_attend);
    add_level_tests("attend alone", test_alone);
    add_level_tests("attend masked", test_masked);
    add_level_tests("attend not finite", test_not_finite);
    add_level_tests("attend flat", test_flat);
    return check_run("attention_q8");
}
