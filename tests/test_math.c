/* The class's own elementary functions: near values of 80 digits (data/make_math.py), within the
 * bounds that docs/numerics.md states; and bit for bit as a second implementation of that page has
 * them (data/make_canon.py). */
#include "kernel_check.h"

#include "golden.h"

/* Distance in units of the last place of the nearest binary32 number. */
static double ulps(float got, double want)
{
    int e;
    frexp(want, &e);
    return fabs((double)got - want) / ldexp(1.0, (e < -125 ? -125 : e) - 24);
}

static golden open_at(int table)
{
    static const size_t columns[] = {2, 4, 3};
    golden g = golden_open("math.bin");
    for (int i = 0; i < table; i++) golden_take(&g, golden_u32(&g) * columns[i] * sizeof(double));
    return g;
}

static void test_exp(void **state)
{
    (void)state;
    golden g = open_at(0);
    double worst = 0;
    for (uint32_t n = golden_u32(&g); n > 0; n--) {
        float x = (float)golden_f64(&g);
        double want = golden_f64(&g);
        if (x > 88.0f) {
            assert_true(lull_exp_ref(x) == lull_exp_ref(88.0f));
            continue;
        }
        double off = ulps(lull_exp_ref(x), want);
        worst = off > worst ? off : worst;
        if (off > 1.0) fail_msg("exp(%a) is off by %g units in the last place", (double)x, off);
    }
    print_message("exp: at most %.3f units in the last place off\n", worst);
    free(g.data);
}

static void test_exp_edges(void **state)
{
    (void)state;
    assert_true(lull_exp_ref(0.0f) == 1.0f && lull_exp_ref(-0.0f) == 1.0f);
    assert_true(lull_exp_ref(-INFINITY) == 0.0f && !signbit(lull_exp_ref(-INFINITY)));
    assert_true(lull_exp_ref(nextafterf(-87.0f, -INFINITY)) == 0.0f);
    assert_true(lull_exp_ref(-87.0f) > 0.0f);
    assert_true(lull_exp_ref(INFINITY) == lull_exp_ref(88.0f));
    assert_true(isfinite(lull_exp_ref(88.0f)));
    assert_true(isnan(lull_exp_ref(NAN)));
    /* Not decreasing: softmax orders probabilities as it does scores. One float in 61. */
    float last = 0;
    for (uint32_t u = 0xc2ae0000; u >= 0x80000000; u -= 61) {
        float x;
        memcpy(&x, &u, sizeof x);
        assert_true(lull_exp_ref(x) >= last);
        last = lull_exp_ref(x);
    }
}

static void test_rope_angles(void **state)
{
    (void)state;
    golden g = open_at(1);
    double worst = 0;
    for (uint32_t n = golden_u32(&g); n > 0; n--) {
        double pos = golden_f64(&g), freq = golden_f64(&g);
        double want[2] = {golden_f64(&g), golden_f64(&g)};
        float got[2], scaled[2];
        lull_rope_angles(pos, &freq, 1, 1.0f, got);
        lull_rope_angles(pos, &freq, 1, 1.5f, scaled);
        for (int i = 0; i < 2; i++) {
            /* The rounding to binary32, that of the product in binary64, and the polynomial's. */
            double bound = 0x1p-25 + pos * freq * 0x1p-53 + 0x1p-51;
            expect_near((double)got[i], want[i], bound, "%s(%g * %g)", i ? "sin" : "cos", pos,
                        freq);
            assert_true(scaled[i] == got[i] * 1.5f);
            double off = fabs((double)got[i] - want[i]);
            if (pos < 1 << 24 && off > worst) worst = off;
        }
    }
    print_message("angles: at most %.3g off at positions below 2^24\n", worst);
    free(g.data);
}

static void test_pow(void **state)
{
    (void)state;
    golden g = open_at(2);
    double worst = 0;
    for (uint32_t n = golden_u32(&g); n > 0; n--) {
        double base = golden_f64(&g), exponent = golden_f64(&g), want = golden_f64(&g);
        double off = fabs(lull_pow_canon(base, exponent) - want) / want;
        worst = off > worst ? off : worst;
        if (off > 1e-14) fail_msg("%g^%g is off by %g", base, exponent, off);
    }
    print_message("pow: a relative error of at most %.3g\n", worst);
    golden_close(&g);
    assert_true(lull_pow_canon(10000.0, 0.0) == 1.0);
}

static float golden_f32(golden *g)
{
    float v;
    memcpy(&v, golden_take(g, sizeof v), sizeof v);
    return v;
}

static void test_bits(void **state)
{
    (void)state;
    golden g = golden_open("canon.bin");
    for (uint32_t n = golden_u32(&g); n > 0; n--) {
        float x = golden_f32(&g), want = golden_f32(&g), got = lull_exp_ref(x);
        if (!same_bits(got, want))
            fail_msg("exp(%a) is %a, not %a", (double)x, (double)got, (double)want);
    }
    for (uint32_t n = golden_u32(&g); n > 0; n--) {
        double pos = golden_f64(&g), freq = golden_f64(&g);
        float got[2], want[2] = {golden_f32(&g), golden_f32(&g)};
        lull_rope_angles(pos, &freq, 1, 1.0f, got);
        if (got[0] != want[0] || got[1] != want[1])
            fail_msg("angles of %g * %a are %a, %a, not %a, %a", pos, freq, (double)got[0],
                     (double)got[1], (double)want[0], (double)want[1]);
    }
    for (uint32_t n = golden_u32(&g); n > 0; n--) {
        double base = golden_f64(&g), exponent = golden_f64(&g), want = golden_f64(&g);
        double got = lull_pow_canon(base, exponent);
        if (got != want) fail_msg("%a^%a is %a, not %a", base, exponent, got, want);
    }
    golden_close(&g);
}

int main(int argc, char **argv)
{
    (void)check_start(argc, argv);
    add_test("exp", test_exp);
    add_test("exp at the edges", test_exp_edges);
    add_test("angles of rope", test_rope_angles);
    add_test("pow", test_pow);
    add_test("bits of all three", test_bits);
    return check_run("math");
}
