/* Element types: names and sizes, dequantisation against the gguf package, f16 against numpy and
 * against the definition (data/make_dequant.py made the golden values). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dtype.h"
#include "file.h"
#include "hash.h"

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* A file of golden values, read from front to back. */
typedef struct golden {
    char *data;
    size_t n_bytes, pos;
} golden;

static golden golden_open(const char *path)
{
    golden g = {0};
    lull_error err;
    if (lull_file_read(path, 1 << 20, &g.data, &g.n_bytes, &err) != LULL_OK)
        fail_msg("%s", err.msg);
    return g;
}

static const void *golden_take(golden *g, size_t n)
{
    assert_true(n <= g->n_bytes - g->pos);
    g->pos += n;
    return g->data + g->pos - n;
}

static uint32_t golden_u32(golden *g)
{
    uint32_t v;
    memcpy(&v, golden_take(g, sizeof v), sizeof v);
    return v;
}

static void golden_close(golden *g)
{
    assert_int_equal(g->pos, g->n_bytes);
    free(g->data);
}

static void test_table(void **state)
{
    (void)state;
    /* ggml's numbers and block sizes, as in its type_traits table. */
    static const struct {
        const char *name;
        uint32_t number;
        int elems, bytes;
    } expected[] = {
        {"F32", 0, 1, 4},       {"F16", 1, 1, 2},       {"Q4_0", 2, 32, 18},
        {"Q4_1", 3, 32, 20},    {"Q5_0", 6, 32, 22},    {"Q5_1", 7, 32, 24},
        {"Q8_0", 8, 32, 34},    {"Q2_K", 10, 256, 84},  {"Q3_K", 11, 256, 110},
        {"Q4_K", 12, 256, 144}, {"Q5_K", 13, 256, 176}, {"Q6_K", 14, 256, 210},
        {"BF16", 30, 1, 2},
    };
    size_t n = sizeof expected / sizeof *expected;
    assert_int_equal(n, LULL_DTYPE_N);
    for (size_t i = 0; i < n; i++) {
        lull_dtype t;
        assert_true(lull_dtype_from_ggml(expected[i].number, &t));
        const lull_dtype_info *info = lull_dtype_info_of(t);
        assert_string_equal(info->name, expected[i].name);
        assert_string_equal(lull_dtype_ggml_name(expected[i].number), expected[i].name);
        assert_int_equal(info->ggml_type, expected[i].number);
        assert_int_equal(info->block_elems, expected[i].elems);
        assert_int_equal(info->block_bytes, expected[i].bytes);
        assert_int_equal(lull_dtype_bytes(t, 0), 0);
        assert_int_equal(lull_dtype_bytes(t, 1024), 1024 / expected[i].elems * expected[i].bytes);
    }
}

static void test_other_ggml_types(void **state)
{
    (void)state;
    static const struct {
        uint32_t number;
        const char *name;
    } others[] = {
        {9, "Q8_1"},   {15, "Q8_K"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
        {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},   {22, "IQ2_S"},  {23, "IQ4_XS"},
        {24, "I8"},    {25, "I16"},    {26, "I32"},     {27, "I64"},    {28, "F64"},
        {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        lull_dtype t;
        assert_false(lull_dtype_from_ggml(others[i].number, &t));
        assert_string_equal(lull_dtype_ggml_name(others[i].number), others[i].name);
    }
    static const uint32_t unknown[] = {4, 5, 31, 36, 38, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        lull_dtype t;
        assert_false(lull_dtype_from_ggml(unknown[i], &t));
        assert_null(lull_dtype_ggml_name(unknown[i]));
    }
}

/* Every type against the gguf package, bit for bit, from aligned and from odd addresses, with guard
 * values behind the output. */
static void test_dequantize(void **state)
{
    (void)state;
    golden g = golden_open(LULL_TEST_DATA "/dequant.bin");
    bool seen[LULL_DTYPE_N] = {false};
    while (g.pos < g.n_bytes) {
        char name[9] = {0};
        memcpy(name, golden_take(&g, 8), 8);
        uint32_t n = golden_u32(&g), n_bytes = golden_u32(&g);
        const char *blocks = golden_take(&g, n_bytes);
        const char *values = golden_take(&g, n * sizeof(float));
        lull_dtype t = 0;
        while (strcmp(lull_dtype_info_of(t)->name, name) != 0) assert_true(++t < LULL_DTYPE_N);
        seen[t] = true;
        assert_int_equal(lull_dtype_bytes(t, n), n_bytes);
        for (size_t shift = 0; shift < 2; shift++) {
            char *src = malloc(n_bytes + shift); /* its own block: a read past it is seen */
            float *dst = malloc((n + 1) * sizeof *dst);
            assert_true(src && dst);
            memcpy(src + shift, blocks, n_bytes);
            dst[n] = 12345.0f;
            lull_dequantize(t, src + shift, n, dst);
            assert_true(dst[n] == 12345.0f);
            for (uint32_t i = 0; i < n; i++) {
                uint32_t expected;
                memcpy(&expected, values + i * sizeof expected, sizeof expected);
                if (bits_of(dst[i]) != expected)
                    fail_msg("%s element %u: %08x, expected %08x", name, i, bits_of(dst[i]),
                             expected);
            }
            free(src);
            free(dst);
        }
    }
    for (int t = 0; t < LULL_DTYPE_N; t++) assert_true(seen[t]);
    golden_close(&g);
}

/* Every half against IEEE 754's definition of its value. */
static void test_f16_definition(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = h >> 10 & 31, mantissa = h & 1023;
        float f = lull_f16_to_f32((uint16_t)h);
        if (exponent == 31) {
            assert_true(mantissa ? isnan(f) : isinf(f));
        } else {
            double value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
            assert_true((double)f == (h & 0x8000 ? -value : value));
        }
        assert_int_equal(!!signbit(f), h >> 15);
        /* and back; a NaN stays one, with its payload, made quiet */
        uint32_t back = exponent == 31 && mantissa ? h | 0x200 : h;
        assert_int_equal(lull_f32_to_f16(f), back);
    }
}

static void test_f16_numpy(void **state)
{
    (void)state;
    golden g = golden_open(LULL_TEST_DATA "/f16.bin");
    uint32_t n = golden_u32(&g);
    for (uint32_t i = 0; i < n; i++) {
        float value;
        uint16_t half;
        memcpy(&value, golden_take(&g, sizeof value), sizeof value);
        memcpy(&half, golden_take(&g, sizeof half), sizeof half);
        if (lull_f32_to_f16(value) != half)
            fail_msg("%a: %04x, expected %04x", value, lull_f32_to_f16(value), half);
    }

    static float widened[65536];
    for (uint32_t h = 0; h < 65536; h++) widened[h] = lull_f16_to_f32((uint16_t)h);
    lull_digest digest = lull_digest_of(widened, sizeof widened);
    assert_memory_equal(digest.bytes, golden_take(&g, 32), 32);

    /* Around the middle between each half and the next, where rounding is decided. */
    static uint16_t rounded[2][0x7bff][3];
    for (int sign = 0; sign < 2; sign++) {
        for (int h = 0; h < 0x7bff; h++) {
            float low = lull_f16_to_f32((uint16_t)(sign << 15 | h));
            float middle = (low + lull_f16_to_f32((uint16_t)(sign << 15 | (h + 1)))) / 2;
            rounded[sign][h][0] = lull_f32_to_f16(nextafterf(middle, -INFINITY));
            rounded[sign][h][1] = lull_f32_to_f16(middle);
            rounded[sign][h][2] = lull_f32_to_f16(nextafterf(middle, INFINITY));
        }
    }
    digest = lull_digest_of(rounded, sizeof rounded);
    assert_memory_equal(digest.bytes, golden_take(&g, 32), 32);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),      cmocka_unit_test(test_other_ggml_types),
        cmocka_unit_test(test_dequantize), cmocka_unit_test(test_f16_definition),
        cmocka_unit_test(test_f16_numpy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
