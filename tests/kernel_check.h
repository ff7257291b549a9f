/* What the kernel tests share: a seeded generator, memory with guards around it, exact comparison,
 * one cmocka test a level, and timing.
 *
 *     test_x [--seed N] [--bench]
 *
 * The levels must agree on any input, so each run draws other numbers; the seed is printed, and
 * given back with --seed it repeats a run. --bench times the cases instead. Only static functions;
 * a program includes this once. */
#ifndef LULL_TESTS_KERNEL_CHECK_H
#define LULL_TESTS_KERNEL_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "kernels.h"

#define UNUSED_FUNCTION __attribute__((unused))

/* ---- random numbers -------------------------------------------------------------------------- */

static uint64_t check_seed, random_state;

/* SplitMix64 (Steele et al. 2014). */
UNUSED_FUNCTION static uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

UNUSED_FUNCTION static int random_int(int below)
{
    return (int)(random_u64() % (uint64_t)below);
}

/* [-1, 1) */
UNUSED_FUNCTION static float random_float(void)
{
    return (float)((double)(random_u64() >> 11) * 0x1p-52 - 1.0);
}

/* The sorts of values that a test goes through. */
typedef enum values {
    ORDINARY,
    WIDE,     /* magnitudes from 2^-20 to 2^20 */
    DENORMAL, /* below 2^-126 */
    HUGE_MIX, /* near the largest floats, of both signs */
    EQUAL,    /* all the same */
    SPARSE,   /* mostly zeros of both signs */
    N_FINITE_VALUES,
    NOT_FINITE = N_FINITE_VALUES, /* ordinary, with infinities and NaNs strewn in */
    N_VALUES
} values;

static const char *const values_names[N_VALUES] = {"ordinary", "wide",   "denormal",  "huge",
                                                   "equal",    "sparse", "not finite"};

UNUSED_FUNCTION static void fill(float *x, size_t n, values kind)
{
    float same = random_float();
    for (size_t i = 0; i < n; i++) {
        float v = random_float();
        switch (kind) {
        case ORDINARY: break;
        case WIDE: v = ldexpf(v, random_int(41) - 20); break;
        case DENORMAL: v = ldexpf(v, -127 - random_int(22)); break;
        case HUGE_MIX: v = ldexpf(v, 127 - random_int(3)); break;
        case EQUAL: v = same; break;
        case SPARSE: v = random_int(8) ? copysignf(0.0f, v) : v; break;
        default:
            if (random_int(16) == 0) v = random_int(2) ? NAN : copysignf(INFINITY, v);
            break;
        }
        x[i] = v;
    }
}

/* ---- guarded memory -------------------------------------------------------------------------- */

enum { GUARD_BYTES = 192 };

/* n_bytes, `shift` bytes off a 64-byte boundary, with guards before and behind that must not
 * change. */
typedef struct guarded {
    uint8_t *block, *data;
    size_t n_bytes, shift;
} guarded;

UNUSED_FUNCTION static guarded guarded_new(size_t n_bytes, size_t shift)
{
    size_t all = (n_bytes + shift + 2 * GUARD_BYTES + 63) / 64 * 64;
    guarded g = {aligned_alloc(64, all), NULL, n_bytes, shift};
    assert_non_null(g.block);
    memset(g.block, 0xa5, all);
    g.data = g.block + GUARD_BYTES + shift;
    return g;
}

UNUSED_FUNCTION static bool guarded_is_whole(const guarded *g)
{
    const uint8_t *end = g->data + g->n_bytes;
    for (size_t i = 0; i < GUARD_BYTES + g->shift; i++)
        if (g->block[i] != 0xa5) return false;
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (end[i] != 0xa5) return false;
    return true;
}

UNUSED_FUNCTION static void guarded_free(guarded *g)
{
    free(g->block);
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* Equal bits; any NaN equals any other, since which operand's payload lives on is not part of the
 * class. */
UNUSED_FUNCTION static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

UNUSED_FUNCTION static void expect_same(const float *got, const float *want, size_t n,
                                        const char *fmt, ...) LULL_PRINTF(4, 5);
UNUSED_FUNCTION static void expect_same(const float *got, const float *want, size_t n,
                                        const char *fmt, ...)
{
    for (size_t i = 0; i < n; i++) {
        if (same_bits(got[i], want[i])) continue;
        char what[200];
        va_list args;
        va_start(args, fmt);
        vsnprintf(what, sizeof what, fmt, args);
        va_end(args);
        fail_msg("%s: element %zu of %zu is %a, not %a (--seed %llu)", what, i, n, (double)got[i],
                 (double)want[i], (unsigned long long)check_seed);
    }
}

UNUSED_FUNCTION static void expect_near(double got, double want, double bound, const char *fmt, ...)
    LULL_PRINTF(4, 5);
UNUSED_FUNCTION static void expect_near(double got, double want, double bound, const char *fmt, ...)
{
    if (fabs(got - want) <= bound) return;
    char what[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    fail_msg("%s: %.9g, not %.9g: off by %g, more than %g (--seed %llu)", what, got, want,
             fabs(got - want), bound, (unsigned long long)check_seed);
}

#define EPS 0x1p-23 /* of binary32 */

/* ---- levels and programs --------------------------------------------------------------------- */

/* Of the kernels that are tested: 8, or 16 with --activations 16. */
static lull_activations check_activations = LULL_ACTIVATIONS_8;

/* The kernels of the level that a test's initial state names; skips the test where the machine
 * lacks it. */
UNUSED_FUNCTION static const lull_kernels *kernels_of(void **state)
{
    lull_cpu_level level = *(const lull_cpu_level *)*state;
    if (!lull_cpu_enable(level)) {
        print_message("this machine has no %s\n", lull_cpu_level_name(level));
        skip();
    }
    return lull_kernels_of(level, check_activations);
}

UNUSED_FUNCTION static const lull_kernels *kernels_of_ref(void)
{
    return lull_kernels_of(LULL_CPU_REF, check_activations);
}

enum { MAX_TESTS = 128 };
static struct CMUnitTest check_tests[MAX_TESTS];
static char check_names[MAX_TESTS][64];
static size_t n_check_tests;

static lull_cpu_level check_levels[LULL_CPU_N_LEVELS]; /* what initial states point to */

/* Add a test of the reference alone, and one a level above it. */
UNUSED_FUNCTION static void add_test(const char *name, CMUnitTestFunction fn)
{
    assert_true(n_check_tests < MAX_TESTS);
    check_tests[n_check_tests++] = (struct CMUnitTest){.name = name, .test_func = fn};
}

UNUSED_FUNCTION static void add_level_tests(const char *name, CMUnitTestFunction fn)
{
    for (int i = LULL_CPU_REF + 1; i < LULL_CPU_N_LEVELS; i++) {
        assert_true(n_check_tests < MAX_TESTS);
        check_levels[i] = (lull_cpu_level)i;
        char *full = check_names[n_check_tests];
        snprintf(full, sizeof check_names[0], "%s %s", name, lull_cpu_level_name(i));
        check_tests[n_check_tests++] =
            (struct CMUnitTest){.name = full, .test_func = fn, .initial_state = &check_levels[i]};
    }
}

/* Read the arguments; true when the cases are to be timed. */
UNUSED_FUNCTION static bool check_start(int argc, char **argv)
{
    bool is_bench = false;
    check_seed = (uint64_t)lull_clock_ns() % 1000000000;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            is_bench = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            check_seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--activations") == 0 && i + 1 < argc) {
            if (strcmp(argv[++i], "16") == 0) check_activations = LULL_ACTIVATIONS_16;
        } else {
            fprintf(stderr, "usage: %s [--seed N] [--activations 8|16] [--bench]\n", argv[0]);
            exit(2);
        }
    }
    random_state = check_seed;
    printf("--seed %llu\n", (unsigned long long)check_seed);
    fflush(stdout);
    return is_bench;
}

UNUSED_FUNCTION static int check_run(const char *name)
{
    return _cmocka_run_group_tests(name, check_tests, n_check_tests, NULL, NULL);
}

/* ---- timing ---------------------------------------------------------------------------------- */

/* Seconds a call: the fastest of several batches, a tenth of a second in all. */
UNUSED_FUNCTION static double time_call(void (*fn)(void *), void *ctx)
{
    double best = INFINITY, n_calls = 1;
    for (int64_t start = lull_clock_ns(); lull_clock_ns() - start < 100000000;) {
        int64_t from = lull_clock_ns();
        for (int i = 0; i < (int)n_calls; i++) fn(ctx);
        double each = (double)(lull_clock_ns() - from) * 1e-9 / n_calls;
        if (each < best) best = each;
        if (each * n_calls < 1e-3) n_calls *= 2;
    }
    return best;
}

#endif
