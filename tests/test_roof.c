/* The loops that measure roofs do all of the work that they say, at every level: a compiler that
 * leaves a part out would make a roof that nothing reaches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "measure.h"
#include "roof.h"

static void test_results(void **state)
{
    (void)state;
    enum { N_WORDS = 3 * LULL_ROOF_READ_BYTES / 4 };
    uint32_t *words = aligned_alloc(64, N_WORDS * sizeof *words), sum = 0;
    assert_non_null(words);
    for (uint32_t i = 0; i < N_WORDS; i++) sum += words[i] = i * 2654435761u;
    for (int level = 0; level < LULL_CPU_N_LEVELS; level++) {
        if (!lull_cpu_has((lull_cpu_level)level)) continue;
        const lull_roof_kernels *k = lull_roof_kernels_of((lull_cpu_level)level);
        assert_int_equal(k->read((const uint8_t *)words, N_WORDS * sizeof *words), sum);
        for (uint32_t n = 8; n <= 64; n += 8) {
            assert_true(k->fma(n) == (float)n * LULL_ROOF_FMAS / 8);
            assert_int_equal(k->multiply(n), 15 * n * LULL_ROOF_PRODUCTS);
        }
    }
    free(words);
}

/* No core issues more than three vectors of 512 bits in a cycle, nor runs beyond 8 GHz: 384 G/s of
 * f32, four times as many products of int8. */
static void test_rates(void **state)
{
    (void)state;
    const int n_threads[] = {1, 3};
    lull_roofs roofs[2];
    lull_error err;
    assert_int_equal(lull_roofs_measure(lull_cpu_best(), n_threads, 2, roofs, &err), LULL_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(roofs[i].n_threads, n_threads[i]);
        assert_true(roofs[i].read_bytes_s > 1e8 && roofs[i].read_bytes_s < 2e12);
        assert_true(roofs[i].f32_fma_s > 1e7 && roofs[i].f32_fma_s < 384e9 * n_threads[i]);
        assert_true(roofs[i].int8_mac_s > 1e7 && roofs[i].int8_mac_s < 4 * 384e9 * n_threads[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
