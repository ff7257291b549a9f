/* The vectors of simd.h with AVX2, FMA and F16C: 8 lanes. Included by it. */
#ifndef LULL_KERNELS_SIMD_AVX2_H
#define LULL_KERNELS_SIMD_AVX2_H

#include <immintrin.h>

enum { LANES = 8, N_REGISTERS = 16 };
typedef __m256 vf;
typedef __m256i vi;

ALWAYS_INLINE vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
ALWAYS_INLINE vf vf_all(float x)
{
    return _mm256_set1_ps(x);
}
ALWAYS_INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
ALWAYS_INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
ALWAYS_INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
ALWAYS_INLINE vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
ALWAYS_INLINE vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
ALWAYS_INLINE vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vf vf_negate(vf a)
{
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
ALWAYS_INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
ALWAYS_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
ALWAYS_INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS_INLINE vf vf_below(vf a, float limit, vf b, vf otherwise)
{
    return _mm256_blendv_ps(otherwise, b, _mm256_cmp_ps(a, _mm256_set1_ps(limit), _CMP_LT_OQ));
}
ALWAYS_INLINE float vf_top(vf a)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
ALWAYS_INLINE float vf_first(vf a)
{
    return _mm256_cvtss_f32(a);
}
ALWAYS_INLINE vf vf_from_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE vf vf_from_bf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
ALWAYS_INLINE void vf_to_half(uint16_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p,
                     _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

ALWAYS_INLINE vi vi_zero(void)
{
    return _mm256_setzero_si256();
}
ALWAYS_INLINE vi vi_all(int32_t x)
{
    return _mm256_set1_epi32(x);
}
ALWAYS_INLINE vi vi_all_bytes(int x)
{
    return _mm256_set1_epi8((char)x);
}
ALWAYS_INLINE vi vi_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
ALWAYS_INLINE void vi_store(void *p, vi a)
{
    _mm256_storeu_si256((__m256i *)p, a);
}
ALWAYS_INLINE vi vi_xor(vi a, vi b)
{
    return _mm256_xor_si256(a, b);
}
ALWAYS_INLINE vi vi_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}
ALWAYS_INLINE vi vi_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}
ALWAYS_INLINE vi vi_add(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
ALWAYS_INLINE vi vi_sub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}
ALWAYS_INLINE vi vi_max(vi a, vi b)
{
    return _mm256_max_epi32(a, b);
}
ALWAYS_INLINE int32_t vi_top(vi a)
{
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}
ALWAYS_INLINE vi vi_mul(vi a, vi b)
{
    return _mm256_mullo_epi32(a, b);
}
ALWAYS_INLINE vi vi_shl(vi a, int n)
{
    return _mm256_slli_epi32(a, n);
}
ALWAYS_INLINE vi vi_sra(vi a, int n)
{
    return _mm256_srai_epi32(a, n);
}
ALWAYS_INLINE vi vi_shl16(vi a, int n)
{
    return _mm256_slli_epi16(a, n);
}
ALWAYS_INLINE vi vi_shr16(vi a, int n)
{
    return _mm256_srli_epi16(a, n);
}
ALWAYS_INLINE vf vi_to_float(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
ALWAYS_INLINE vi vi_round(vf a)
{
    return _mm256_cvtps_epi32(a);
}
ALWAYS_INLINE vf vi_as_float(vi a)
{
    return _mm256_castsi256_ps(a);
}
ALWAYS_INLINE vi vi_from_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
ALWAYS_INLINE vi vi_from_i8(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
ALWAYS_INLINE vi vf_as_int(vf a)
{
    return _mm256_castps_si256(a);
}
ALWAYS_INLINE vi vi_max_of_4(vi a)
{
    a = _mm256_max_epi32(a, _mm256_shuffle_epi32(a, 0xb1));
    return _mm256_max_epi32(a, _mm256_shuffle_epi32(a, 0x4e));
}
ALWAYS_INLINE void vi_store_bytes(int8_t *p, vi a)
{
    __m256i at = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4,
                                  8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i fours = _mm256_shuffle_epi8(a, at);
    _mm_storel_epi64((__m128i *)p, _mm_unpacklo_epi32(_mm256_castsi256_si128(fours),
                                                      _mm256_extracti128_si256(fours, 1)));
}
ALWAYS_INLINE vi vi_pack_to_16(vi a, vi b)
{
    return _mm256_packs_epi32(a, b);
}
ALWAYS_INLINE vi vi_pack_to_bytes(vi a, vi b)
{
    return _mm256_packs_epi16(a, b);
}
ALWAYS_INLINE vi vi_order_packed(vi a)
{
    return _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
ALWAYS_INLINE int32_t vi_sum(vi a)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}
#if defined(__AVXVNNI__)
#define HAS_DOT4 1
ALWAYS_INLINE vi vi_dot4(vi sum, vi a, vi b)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
}
#endif
ALWAYS_INLINE vi vi_mul_pairs(vi a, vi b)
{
    return _mm256_maddubs_epi16(a, b);
}
ALWAYS_INLINE vi vi_add16(vi a, vi b)
{
    return _mm256_add_epi16(a, b);
}
ALWAYS_INLINE vi vi_widen_pairs(vi a, short factor)
{
    return _mm256_madd_epi16(a, _mm256_set1_epi16(factor));
}
ALWAYS_INLINE vi vi_abs8(vi w)
{
    return _mm256_abs_epi8(w);
}
ALWAYS_INLINE vi vi_sign8(vi b, vi w)
{
    return _mm256_sign_epi8(b, w);
}

#endif
