/* Attention over pages and the storing of keys and values: each level against the reference bit for
 * bit, the reference against binary64. See kernel_check.h for the arguments. */
#include "kernel_check.h"

#include "dtype.h"
#include "kv_layout.h"

enum { PAGE = LULL_PAGE_POSITIONS, MAX_D = 512, MAX_Q = 40 };

static const int widths[] = {16, 32, 48, 64, 80, 96, 112, 128, 144, 192, 256, 512};
enum { N_WIDTHS = sizeof widths / sizeof *widths };
/* Around the groups of 6 queries, and around 13, from where a page is widened. */
static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 18, 19, 40};
enum { N_COUNTS = sizeof counts / sizeof *counts };

static uint16_t page_k[MAX_D * PAGE], page_v[MAX_D * PAGE];
static float query[MAX_Q * (MAX_D + 3)];
static int16_t lo[MAX_Q], hi[MAX_Q];
static _Alignas(64) float widened[2 * PAGE * MAX_D];

/* Queries' running state; o is guarded. */
typedef struct running {
    float m[MAX_Q], l[MAX_Q];
    guarded o;
} running;

static void fill_half(uint16_t *x, size_t n, values kind)
{
    for (size_t i = 0; i < n; i++) {
        float v;
        fill(&v, 1, kind);
        switch (kind) {
        case WIDE: v = ldexpf(random_float(), random_int(12) - 8); break;
        case DENORMAL: v = ldexpf(random_float(), -14 - random_int(10)); break; /* of binary16 */
        case HUGE_MIX: v = random_int(4) ? random_float() : copysignf(65504.0f, v); break;
        default: break;
        }
        x[i] = lull_f32_to_f16(v);
    }
}

/* A page and n queries, a third of which see all of it, some nothing. */
static void make_page(int d, int n_q, size_t q_stride, values kind)
{
    fill_half(page_k, (size_t)d * PAGE, kind);
    fill_half(page_v, (size_t)d * PAGE, kind);
    fill(query, (size_t)n_q * q_stride, kind == HUGE_MIX ? WIDE : kind);
    for (int t = 0; t < n_q; t++) {
        bool sees_all = random_int(3) == 0;
        lo[t] = (int16_t)(sees_all ? 0 : random_int(PAGE + 1));
        hi[t] = (int16_t)(sees_all ? PAGE : random_int(PAGE + 1));
        if (random_int(8) == 0) hi[t] = (int16_t)(lo[t] < PAGE ? lo[t] + 1 : PAGE);
    }
}

static running running_new(int n_q, size_t o_stride)
{
    running r = {.o = guarded_new(sizeof(float) * (size_t)n_q * o_stride, 4)};
    memset(r.o.data, 0, r.o.n_bytes);
    for (int t = 0; t < n_q; t++) {
        r.m[t] = -INFINITY;
        r.l[t] = 0;
    }
    return r;
}

static void attend(const lull_kernels *k, running *r, int n_q, int d, size_t q_stride,
                   size_t o_stride)
{
    k->attend(&(lull_attend_args){.q = query,
                                  .q_stride = q_stride,
                                  .k = page_k,
                                  .v = page_v,
                                  .next_k = page_k,
                                  .next_v = page_v,
                                  .lo = lo,
                                  .hi = hi,
                                  .m = r->m,
                                  .l = r->l,
                                  .o = (float *)r->o.data,
                                  .o_stride = o_stride,
                                  .n_q = n_q,
                                  .d = d,
                                  .work = widened});
}

/* Maxima must be equal as numbers: which zero stands for a maximum of 0 depends on the order of
 * comparisons, and cannot be seen, as only differences to it are used. */
static void expect_same_top(const float *got, const float *want, int n, const char *what)
{
    for (int t = 0; t < n; t++)
        if (got[t] != want[t])
            fail_msg("%s of query %d is %a, not %a (--seed %llu)", what, t, (double)got[t],
                     (double)want[t], (unsigned long long)check_seed);
}

/* Three pages one after the other, then two spans joined. */
static void test_attend(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    for (int w = 0; w < N_WIDTHS; w++)
        for (int c = 0; c < N_COUNTS; c++) {
            int d = widths[w], n_q = counts[c];
            values kind = (values)random_int(N_FINITE_VALUES);
            size_t q_stride = (size_t)d + (size_t)random_int(4), o_stride = (size_t)d;
            running got[2], want[2];
            for (int span = 0; span < 2; span++) {
                got[span] = running_new(n_q, o_stride);
                want[span] = running_new(n_q, o_stride);
                for (int page = 0; page < 3; page++) {
                    make_page(d, n_q, q_stride, kind);
                    attend(k, &got[span], n_q, d, q_stride, o_stride);
                    attend(ref, &want[span], n_q, d, q_stride, o_stride);
                    const char *name = values_names[kind];
                    expect_same_top(got[span].m, want[span].m, n_q, "m");
                    expect_same(got[span].l, want[span].l, (size_t)n_q, "l %s %d x %d", name, n_q,
                                d);
                    expect_same((float *)got[span].o.data, (float *)want[span].o.data,
                                (size_t)n_q * o_stride, "o %s %d x %d", name, n_q, d);
                    assert_true(guarded_is_whole(&got[span].o));
                }
            }
            for (int t = 0; t < n_q; t++) {
                float *o[4];
                running *all[4] = {&got[0], &got[1], &want[0], &want[1]};
                for (int i = 0; i < 4; i++) o[i] = (float *)all[i]->o.data + (size_t)t * o_stride;
                k->attend_join(&got[0].m[t], &got[0].l[t], o[0], got[1].m[t], got[1].l[t], o[1], d);
                ref->attend_join(&want[0].m[t], &want[0].l[t], o[2], want[1].m[t], want[1].l[t],
                                 o[3], d);
                expect_same(o[0], o[2], (size_t)d, "joined o, d=%d", d);
            }
            expect_same_top(got[0].m, want[0].m, n_q, "joined m");
            expect_same(got[0].l, want[0].l, (size_t)n_q, "joined l");
            assert_true(guarded_is_whole(&got[0].o));
            for (int span = 0; span < 2; span++) {
                guarded_free(&got[span].o);
                guarded_free(&want[span].o);
            }
        }
}

/* A query's result does not depend on the queries beside it. */
static void test_attend_alone(void **state)
{
    const lull_kernels *k = kernels_of(state);
    int d = 80;
    for (int c = 0; c < N_COUNTS; c++) {
        int n_q = counts[c];
        running all = running_new(n_q, (size_t)d);
        make_page(d, n_q, (size_t)d, WIDE);
        attend(k, &all, n_q, d, (size_t)d, (size_t)d);
        for (int t = 0; t < n_q; t++) {
            running one = running_new(1, (size_t)d);
            memmove(query, query + (t ? d : 0), sizeof(float) * (size_t)d * (size_t)(n_q - t));
            memmove(lo, lo + (t ? 1 : 0), sizeof *lo * (size_t)(n_q - t));
            memmove(hi, hi + (t ? 1 : 0), sizeof *hi * (size_t)(n_q - t));
            attend(k, &one, 1, d, (size_t)d, (size_t)d);
            expect_same_top(one.m, &all.m[t], 1, "m");
            expect_same(one.l, &all.l[t], 1, "l of query %d of %d", t, n_q);
            expect_same((float *)one.o.data, (float *)all.o.data + (size_t)t * (size_t)d, (size_t)d,
                        "o of query %d of %d", t, n_q);
            guarded_free(&one.o);
        }
        guarded_free(&all.o);
    }
}

/* What stands at masked positions does not matter at all. */
static void test_attend_masked(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 64, N_Q = 13 };
    running a = running_new(N_Q, D), b = running_new(N_Q, D);
    make_page(D, N_Q, D, ORDINARY);
    int first = PAGE, end = 0;
    for (int t = 0; t < N_Q; t++) {
        lo[t] = (int16_t)(10 + random_int(5));
        hi[t] = (int16_t)(30 + random_int(5));
        first = lo[t] < first ? lo[t] : first;
        end = hi[t] > end ? hi[t] : end;
    }
    attend(k, &a, N_Q, D, D, D);
    for (int j = 0; j < PAGE; j++)
        for (int i = 0; (j < first || j >= end) && i < D; i++)
            page_k[i * PAGE + j] = page_v[j * D + i] = random_int(2) ? 0x7bff : 0xfbff;
    attend(k, &b, N_Q, D, D, D);
    expect_same_top(b.m, a.m, N_Q, "m");
    expect_same(b.l, a.l, N_Q, "l");
    expect_same((float *)b.o.data, (float *)a.o.data, (size_t)N_Q * D, "o");
    guarded_free(&a.o);
    guarded_free(&b.o);
}

/* A query that is not finite makes its own result not finite, and no other's. */
static void test_attend_not_finite(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 32, N_Q = 7 };
    for (int n_q = N_Q; n_q <= 2 * N_Q; n_q += N_Q)
        for (int bad = 0; bad < n_q; bad++) {
            running a = running_new(n_q, D), b = running_new(n_q, D);
            make_page(D, n_q, D, ORDINARY);
            lo[bad] = 0;
            hi[bad] = PAGE;
            attend(k, &a, n_q, D, D, D);
            query[bad * D + random_int(D)] = NAN;
            attend(k, &b, n_q, D, D, D);
            for (int t = 0; t < n_q; t++) {
                float *o = (float *)b.o.data + (size_t)t * D;
                if (t == bad) {
                    assert_true(isnan(b.l[t]));
                    for (int i = 0; i < D; i++) assert_true(isnan(o[i]));
                } else {
                    expect_same(o, (float *)a.o.data + (size_t)t * D, D, "query %d of %d", t, n_q);
                }
            }
            guarded_free(&a.o);
            guarded_free(&b.o);
        }
}

/* A span joined into an empty one is that span; one that saw nothing changes nothing. */
static void test_join_empty(void **state)
{
    const lull_kernels *k = kernels_of(state);
    enum { D = 48 };
    float o[D], zero[D] = {0}, m = -INFINITY, l = 0;
    fill(o, D, ORDINARY);
    float copy[D];
    memcpy(copy, zero, sizeof copy);
    k->attend_join(&m, &l, copy, 3.5f, 2.0f, o, D);
    assert_true(m == 3.5f && l == 2.0f);
    expect_same(copy, o, D, "joined into an empty span");
    k->attend_join(&m, &l, copy, -INFINITY, 0, zero, D);
    assert_true(m == 3.5f && l == 2.0f);
    expect_same(copy, o, D, "joined with an empty span");
}

static void test_kv_store(void **state)
{
    const lull_kernels *k = kernels_of(state),
                       *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    static float x[MAX_D];
    static uint16_t want[MAX_D * PAGE];
    for (int w = 0; w < N_WIDTHS; w++)
        for (values kind = 0; kind < N_VALUES; kind++)
            for (int stride = 1; stride <= PAGE; stride += PAGE - 1) {
                int d = widths[w];
                fill(x, (size_t)d, kind);
                x[0] = 65519.0f; /* rounds to 65504 also without the limit; the next do not */
                x[d - 1] = -65520.0f;
                guarded out = guarded_new(sizeof *want * (size_t)(d * stride - stride + 1), 2);
                memset(want, 0x11, sizeof want);
                memset(out.data, 0x11, out.n_bytes);
                ref->kv_store(x, d, want, stride);
                k->kv_store(x, d, (uint16_t *)out.data, stride);
                assert_memory_equal(out.data, want, out.n_bytes);
                assert_true(guarded_is_whole(&out));
                guarded_free(&out);
            }
}

static void test_kv_store_ref(void **state)
{
    (void)state;
    static const float x[] = {0.0f,  -0.0f, 1.0f,   -2.5f,     65504.0f, 1e30f,         INFINITY,
                              1e-8f, NAN,   -1e30f, -INFINITY, 65520.0f, 5.9604645e-8f, 0.1f};
    static const uint16_t want[] = {0x0000, 0x8000, 0x3c00, 0xc100, 0x7bff, 0x7bff, 0x7bff,
                                    0x0000, 0x7bff, 0xfbff, 0xfbff, 0x7bff, 0x0001, 0x2e66};
    enum { N = sizeof x / sizeof *x };
    uint16_t got[N];
    lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8)->kv_store(x, N, got, 1);
    assert_memory_equal(got, want, sizeof got);
}

/* Softmax over some pages in two spans in binary64. A score is off by up to 8 EPS of its terms, its
 * exp by as much and two units, so an output by that share of sum p |v|. */
static void test_attend_exact(void **state)
{
    (void)state;
    const lull_kernels *ref = lull_kernels_of(LULL_CPU_REF, LULL_ACTIVATIONS_8);
    enum { D = 64, N_Q = 5, N_PAGES = 6, N = N_PAGES * PAGE };
    static double s[N_Q][N], v[N][D], weight[N_Q];
    running span[2] = {running_new(N_Q, D), running_new(N_Q, D)};
    make_page(D, N_Q, D, ORDINARY);
    for (int page = 0; page < N_PAGES; page++) {
        fill_half(page_k, D * PAGE, ORDINARY);
        fill_half(page_v, D * PAGE, WIDE);
        for (int t = 0; t < N_Q; t++) {
            lo[t] = (int16_t)(page == 0 ? 3 * t : 0);
            hi[t] = (int16_t)(page == N_PAGES - 1 ? PAGE - t : PAGE);
        }
        attend(ref, &span[page >= N_PAGES / 2], N_Q, D, D, D);
        for (int j = 0; j < PAGE; j++) {
            for (int i = 0; i < D; i++)
                v[page * PAGE + j][i] = (double)lull_f16_to_f32(page_v[j * D + i]);
            for (int t = 0; t < N_Q; t++) {
                double sum = 0, terms = 0;
                for (int i = 0; i < D; i++) {
                    double x =
                        (double)query[t * D + i] * (double)lull_f16_to_f32(page_k[i * PAGE + j]);
                    sum += x;
                    terms += fabs(x);
                }
                s[t][page * PAGE + j] = j >= lo[t] && j < hi[t] ? sum : -INFINITY;
                weight[t] = fmax(weight[t], terms);
            }
        }
    }
    for (int t = 0; t < N_Q; t++) {
        float *o = (float *)span[0].o.data + (size_t)t * D;
        ref->attend_join(&span[0].m[t], &span[0].l[t], o, span[1].m[t], span[1].l[t],
                         (float *)span[1].o.data + (size_t)t * D, D);
        double top = -INFINITY, l = 0;
        for (int j = 0; j < N; j++) top = fmax(top, s[t][j]);
        for (int j = 0; j < N; j++) l += exp(s[t][j] - top);
        double share = (2 * 8 * weight[t] + 16) * EPS;
        for (int i = 0; i < D; i++) {
            double sum = 0, terms = 0;
            for (int j = 0; j < N; j++) {
                double x = exp(s[t][j] - top) * v[j][i];
                sum += x;
                terms += fabs(x);
            }
            expect_near((double)o[i] / (double)span[0].l[t], sum / l, share * terms / l,
                        "query %d, dimension %d", t, i);
        }
    }
    guarded_free(&span[0].o);
    guarded_free(&span[1].o);
}

/* ---- timing ---------------------------------------------------------------------------------- */

typedef struct bench_case {
    const lull_kernels *k;
    int n_q, d;
    running r;
} bench_case;

static void bench_attend(void *ctx)
{
    bench_case *b = ctx;
    attend(b->k, &b->r, b->n_q, b->d, (size_t)b->d, (size_t)b->d);
}

static int bench(void)
{
    static const int n_qs[] = {1, 3, 6, 12, 40};
    printf("10^9 multiply-adds a second over one page in cache\n%-12s", "queries x d");
    for (int l = 0; l < LULL_CPU_N_LEVELS; l++)
        if (lull_cpu_enable((lull_cpu_level)l)) printf("%12s", lull_cpu_level_name(l));
    for (int d = 64; d <= 256; d *= 4)
        for (size_t i = 0; i < sizeof n_qs / sizeof *n_qs; i++) {
            printf("\n%4d x %-5d", n_qs[i], d);
            make_page(d, n_qs[i], (size_t)d, ORDINARY);
            for (int t = 0; t < n_qs[i]; t++) {
                lo[t] = 0;
                hi[t] = PAGE;
            }
            for (int l = 0; l < LULL_CPU_N_LEVELS; l++) {
                if (!lull_cpu_enable((lull_cpu_level)l)) continue;
                bench_case b = {lull_kernels_of(l, LULL_ACTIVATIONS_8), n_qs[i], d,
                                running_new(n_qs[i], (size_t)d)};
                printf("%12.2f", 2e-9 * PAGE * d * n_qs[i] / time_call(bench_attend, &b));
                guarded_free(&b.r.o);
            }
        }
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (check_start(argc, argv)) return bench();
    add_test("attention ref against binary64", test_attend_exact);
    add_test("kv_store ref", test_kv_store_ref);
    add_level_tests("attend", test_attend);
    add_level_tests("attend alone", test_attend_alone);
    add_level_tests("attend masked", test_attend_masked);
    add_level_tests("attend not finite", test_attend_not_finite);
    add_level_tests("join empty", test_join_empty);
    add_level_tests("kv_store", test_kv_store);
    return check_run("attention");
}
