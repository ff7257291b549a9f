#include "roof.h"

#include <math.h>
#include <string.h>

#include "levels.h"

/* Compilers must not know what stands here, nor keep it out of a loop. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

static uint32_t read_ref(const uint8_t *p, size_t n_bytes)
{
    enum { N_SUMS = 16 };
    uint32_t sums[N_SUMS] = {0}, sum = 0, word;
    for (size_t i = 0; i < n_bytes; i += sizeof sums)
        for (size_t k = 0; k < N_SUMS; k++) {
            memcpy(&word, p + i + sizeof word * k, sizeof word);
            sums[k] += word;
        }
    for (size_t k = 0; k < N_SUMS; k++) sum += sums[k];
    return sum;
}

static float fma_ref(size_t n_rounds)
{
    float sums[LULL_ROOF_FMAS] = {0}, sum = 0;
    const float *row = sums;
    for (size_t i = 0; i < n_rounds; i++) {
        OPAQUE(row);
        for (int k = 0; k < LULL_ROOF_FMAS; k++) sums[k] = fmaf(0.5f, 0.25f, row[k]);
    }
    for (int k = 0; k < LULL_ROOF_FMAS; k++) sum += sums[k];
    return sum;
}

static uint32_t multiply_ref(size_t n_rounds)
{
    enum { N_SUMS = LULL_ROOF_PRODUCTS / 4 };
    uint8_t codes[4 * N_SUMS];
    int8_t q[4 * N_SUMS];
    uint32_t sums[N_SUMS] = {0}, sum = 0;
    memset(codes, 15, sizeof codes);
    memset(q, 1, sizeof q);
    const uint8_t *w = codes;
    for (size_t i = 0; i < n_rounds; i++) {
        OPAQUE(w);
        for (int k = 0; k < N_SUMS; k++)
            for (int c = 0; c < 4; c++) sums[k] += (uint32_t)(w[4 * k + c] * q[4 * k + c]);
    }
    for (int k = 0; k < N_SUMS; k++) sum += sums[k];
    return sum;
}

#define ROOF(L)                                                                                    \
    {                                                                                              \
        .read = lull_roof_read_##L, .fma = lull_roof_fma_##L, .multiply = lull_roof_multiply_##L   \
    }

static const lull_roof_kernels tables[LULL_CPU_N_LEVELS] = {
    [LULL_CPU_REF] = {.read = read_ref, .fma = fma_ref, .multiply = multiply_ref},
#if defined(__x86_64__)
    [LULL_CPU_AVX2] = ROOF(avx2),
    [LULL_CPU_AVXVNNI] = ROOF(avxvnni),
    [LULL_CPU_AVX512] = ROOF(avx512),
    [LULL_CPU_AVX512VNNI] = ROOF(avx512vnni),
    [LULL_CPU_AMX] = ROOF(avx512vnni),
#elif defined(__aarch64__)
    [LULL_CPU_NEON] = ROOF(neon),
#endif
};

const lull_roof_kernels *lull_roof_kernels_of(lull_cpu_level level)
{
    return &tables[level];
}
