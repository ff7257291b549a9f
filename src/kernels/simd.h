/* Vectors of 32-bit lanes at the width of the level that the including file is compiled for: 8
 * lanes with AVX2, 16 with AVX-512, 4 with NEON. Only static inline functions, only for files that are
 * compiled once a level: *_simd.c and gemm_amx.c. */
#ifndef LULL_KERNELS_SIMD_H
#define LULL_KERNELS_SIMD_H

#include <stdint.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Loops over registers must be unrolled, or the arrays that hold them end in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Fetch what will be read, a line at a time, into the second-level cache: the first is too small for
 * what is under way. n_bytes is a constant. */
ALWAYS_INLINE void prefetch(const void *p, int n_bytes)
{
    UNROLL for (int i = 0; i < n_bytes; i += 64) __builtin_prefetch((const uint8_t *)p + i, 0, 2);
}

/* How far ahead matrices are fetched, and what reads for the roof that they are held against. Tiles come
 * from memory one after another, but processors that follow a stream stop at the end of each 4 KiB, and
 * a short stream is over before they have come to speed: this goes past the end of a tile. */
enum { AHEAD_BYTES = 8192 };

/* Each level has vf, lanes of f32, and vi, lanes of i32 or of narrower integers, and of each the
 * functions of one instruction or so. What their names leave open:
 *
 *   vf_min, vf_max        the second operand where either is NaN or both are zero
 *   vf_below              (a, limit, b, otherwise): b where a < limit, else otherwise
 *   vf_fold               the 16 stripes of a sum (kernels.h), [16 / LANES]
 *   vi_top, vf_top        the largest lane
 *   vi_sra                signed lanes, towards minus infinity
 *   vi_max_of_4           in every lane the largest of its group of four
 *   vi_store_bytes        the low byte of each lane
 *   vi_pack_to_16, _bytes lanes of 32 bits, within 0 to 32,767, narrowed to 16; those, within 0 to 127,
 *                         to bytes. The order is the instructions' own until vi_order_packed puts the
 *                         bytes of four vectors right.
 *   vi_dot4               sum plus the four products of unsigned bytes a and signed bytes b in every
 *                         lane, exactly. Levels that have it define HAS_DOT4, and DOT4_IS_SIGNED where a
 *                         is signed, too. The others have what follows instead.
 *   vi_mul_pairs          pairs of products of unsigned a and signed b, saturated to 16 bits: callers
 *                         keep them within
 *   vi_widen_pairs        sums of neighbouring lanes of 16 bits, times a constant
 *   vi_abs8, vi_sign8     |w|, and b with the sign of w: their products stay within 16 bits for any w.
 *                         Where w is 0, the sign is the level's own choice, as |w| is 0, too. */
#if defined(__ARM_FEATURE_DOTPROD)

#include "simd_neon.h"

#elif defined(__AVX512F__)

#include "simd_avx512.h"

#else

#include "simd_avx2.h"

#endif

#if defined(__x86_64__)
/* Folded 8-4-2-1. */
ALWAYS_INLINE float vf_fold(const vf *stripes)
{
#if defined(__AVX512F__)
    __m256 x =
        _mm256_add_ps(_mm512_castps512_ps256(stripes[0]), _mm512_extractf32x8_ps(stripes[0], 1));
#else
    __m256 x = _mm256_add_ps(stripes[0], stripes[1]);
#endif
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
#endif

/* Four bytes in every lane. */
ALWAYS_INLINE vi vi_all_fours(const void *p)
{
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return vi_all(four);
}

/* exp of the class on every lane; see lull_exp_ref in gate_ref.c. A NaN stays one: vf_min gives
 * its second operand, and e is then NaN whatever the factor. */
ALWAYS_INLINE vf vf_exp(vf x)
{
    vf y = vf_min(vf_all(88.0f), x);
    /* Where neighbouring floats are 1 apart, an addition rounds to an integer, and leaves it in the low
     * bits: fewer operations than rounding and converting. */
    const float far = 0x1.8p23f;
    vf t = vf_add(vf_mul(y, vf_all(1.44269504f)), vf_all(far));
    vf n = vf_sub(t, vf_all(far));
    vf r = vf_fma(n, vf_all(-0.693359375f), y);
    r = vf_fma(n, vf_all(2.12194440e-4f), r);
    vf p = vf_all(1.9875691500e-4f);
    p = vf_fma(p, r, vf_all(1.3981999507e-3f));
    p = vf_fma(p, r, vf_all(8.3334519073e-3f));
    p = vf_fma(p, r, vf_all(4.1665795894e-2f));
    p = vf_fma(p, r, vf_all(1.6666665459e-1f));
    p = vf_fma(p, r, vf_all(5.0000001201e-1f));
    vf e = vf_add(vf_fma(p, vf_mul(r, r), r), vf_all(1.0f));
    vf scale = vi_as_float(vi_shl(vi_add(vf_as_int(t), vi_all(127)), 23));
    return vf_below(x, -87.0f, vf_zero(), vf_mul(e, scale));
}

#endif
