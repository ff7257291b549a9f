#include "roof.h"

#include "levels.h"
#include "simd.h"

/* Compilers must not know what stands here: they would keep it out of a loop, or compute equal
 * sums once. */
#if defined(__aarch64__)
#define OPAQUE(x) __asm__ volatile("" : "+w"(x))
#else
#define OPAQUE(x) __asm__ volatile("" : "+x"(x))
#endif

/* Tokens a round, and how many times the lanes cover 16 rows. */
enum { N_TOKENS = 12, N_PARTS = 16 / LANES };

ALWAYS_INLINE uint32_t vi_fold(vi a)
{
    uint32_t lanes[LANES], sum = 0;
    __builtin_memcpy(lanes, &a, sizeof lanes);
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

/* Two streams, a half each: one alone leaves prefetchers idle, and streams within a page get in
 * each other's way. Both are fetched ahead, as matrices are. */
uint32_t LULL_AT_LEVEL(roof_read)(const uint8_t *p, size_t n_bytes)
{
    enum { N_SUMS = 4 };
    const uint8_t *q = p + n_bytes / 2;
    vi sums[2 * N_SUMS];
    UNROLL for (int k = 0; k < 2 * N_SUMS; k++) sums[k] = vi_zero();
    for (size_t i = 0; i < n_bytes / 2; i += N_SUMS * sizeof(vi))
        UNROLL for (size_t k = 0; k < N_SUMS; k++)
        {
            if (k * sizeof(vi) % 64 == 0) {
                prefetch(p + AHEAD_BYTES + i + k * sizeof(vi), 64);
                prefetch(q + AHEAD_BYTES + i + k * sizeof(vi), 64);
            }
            sums[2 * k] = vi_add(sums[2 * k], vi_load(p + i + k * sizeof(vi)));
            sums[2 * k + 1] = vi_add(sums[2 * k + 1], vi_load(q + i + k * sizeof(vi)));
        }
    UNROLL for (int k = 1; k < 2 * N_SUMS; k++) sums[0] = vi_add(sums[0], sums[k]);
    return vi_fold(sums[0]);
}

float LULL_AT_LEVEL(roof_fma)(size_t n_rounds)
{
    vf sums[N_TOKENS], w = vf_all(0.5f), x = vf_all(0.25f);
    UNROLL for (int k = 0; k < N_TOKENS; k++)
    {
        sums[k] = vf_zero();
        OPAQUE(sums[k]);
    }
    for (size_t i = 0; i < n_rounds * N_PARTS; i++) {
        OPAQUE(w);
        UNROLL for (int k = 0; k < N_TOKENS; k++) sums[k] = vf_fma(w, x, sums[k]);
    }
    UNROLL for (int k = 1; k < N_TOKENS; k++) sums[0] = vf_add(sums[0], sums[k]);
    float lanes[LANES], sum = 0;
    vf_store(lanes, sums[0]);
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
}

#if defined(HAS_DOT4)

uint32_t LULL_AT_LEVEL(roof_multiply)(size_t n_rounds)
{
    vi sums[N_TOKENS], w = vi_all_bytes(15), x = vi_all_bytes(1);
    UNROLL for (int k = 0; k < N_TOKENS; k++)
    {
        sums[k] = vi_zero();
        OPAQUE(sums[k]);
    }
    for (size_t i = 0; i < n_rounds * N_PARTS; i++) {
        OPAQUE(w);
        UNROLL for (int k = 0; k < N_TOKENS; k++) sums[k] = vi_dot4(sums[k], w, x);
    }
    UNROLL for (int k = 1; k < N_TOKENS; k++) sums[0] = vi_add(sums[0], sums[k]);
    return vi_fold(sums[0]);
}

#else

uint32_t LULL_AT_LEVEL(roof_multiply)(size_t n_rounds)
{
    /* Four tokens at a time: as many as gemm_simd.c keeps in registers with AVX2. */
    enum { N_SUMS = 4, N_WIDE = 8 };
    vi sums[N_SUMS], w = vi_all_bytes(15), x = vi_all_bytes(1);
    UNROLL for (int k = 0; k < N_SUMS; k++) sums[k] = vi_zero();
    size_t n_left = n_rounds * N_PARTS * N_TOKENS / N_SUMS;
    for (; n_left >= N_WIDE; n_left -= N_WIDE) {
        vi pairs[N_SUMS];
        UNROLL for (int k = 0; k < N_SUMS; k++) pairs[k] = vi_zero();
        UNROLL for (int j = 0; j < N_WIDE; j++)
        {
            OPAQUE(w);
            UNROLL for (int k = 0; k < N_SUMS; k++)
            {
                OPAQUE(x);
                pairs[k] = vi_add16(pairs[k], vi_mul_pairs(w, x));
                OPAQUE(pairs[k]);
            }
        }
        UNROLL for (int k = 0; k < N_SUMS; k++) sums[k] =
            vi_add(sums[k], vi_widen_pairs(pairs[k], 1));
    }
    UNROLL for (int k = 1; k < N_SUMS; k++) sums[0] = vi_add(sums[0], sums[k]);
    return vi_fold(sums[0]);
}

#endif
