/* The vectors of simd.h with AVX-512: 16 lanes. Included by it. */
#ifndef LULL_KERNELS_SIMD_AVX512_H
#define LULL_KERNELS_SIMD_AVX512_H

#include <immintrin.h>

enum { LANES = 16, N_REGISTERS = 32 };
typedef __m512 vf;
typedef __m512i vi;

ALWAYS_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
ALWAYS_INLINE vf vf_all(float x)
{
    return _mm512_set1_ps(x);
}
ALWAYS_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
ALWAYS_INLINE void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
ALWAYS_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
ALWAYS_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
ALWAYS_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
ALWAYS_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vf vf_negate(vf a)
{
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
ALWAYS_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
ALWAYS_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
ALWAYS_INLINE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS_INLINE vf vf_below(vf a, float limit, vf b, vf otherwise)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_set1_ps(limit), _CMP_LT_OQ), otherwise,
                                b);
}
ALWAYS_INLINE float vf_top(vf a)
{
    return _mm512_reduce_max_ps(a);
}
ALWAYS_INLINE float vf_first(vf a)
{
    return _mm512_cvtss_f32(a);
}
ALWAYS_INLINE vf vf_from_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
ALWAYS_INLINE vf vf_from_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
ALWAYS_INLINE void vf_to_half(uint16_t *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

ALWAYS_INLINE vi vi_zero(void)
{
    return _mm512_setzero_si512();
}
ALWAYS_INLINE vi vi_all(int32_t x)
{
    return _mm512_set1_epi32(x);
}
ALWAYS_INLINE vi vi_all_bytes(int x)
{
    return _mm512_set1_epi8((char)x);
}
ALWAYS_INLINE vi vi_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
ALWAYS_INLINE void vi_store(void *p, vi a)
{
    _mm512_storeu_si512(p, a);
}
ALWAYS_INLINE vi vi_xor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}
ALWAYS_INLINE vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}
ALWAYS_INLINE vi vi_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}
ALWAYS_INLINE vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
ALWAYS_INLINE vi vi_sub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}
ALWAYS_INLINE vi vi_max(vi a, vi b)
{
    return _mm512_max_epi32(a, b);
}
ALWAYS_INLINE int32_t vi_top(vi a)
{
    return _mm512_reduce_max_epi32(a);
}
ALWAYS_INLINE vi vi_mul(vi a, vi b)
{
    return _mm512_mullo_epi32(a, b);
}
ALWAYS_INLINE vi vi_shl(vi a, int n)
{
    return _mm512_slli_epi32(a, (unsigned)n);
}
ALWAYS_INLINE vi vi_sra(vi a, int n)
{
    return _mm512_srai_epi32(a, (unsigned)n);
}
ALWAYS_INLINE vi vi_shl16(vi a, int n)
{
    return _mm512_slli_epi16(a, (unsigned)n);
}
ALWAYS_INLINE vi vi_shr16(vi a, int n)
{
    return _mm512_srli_epi16(a, (unsigned)n);
}
ALWAYS_INLINE vf vi_to_float(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
ALWAYS_INLINE vi vi_round(vf a)
{
    return _mm512_cvtps_epi32(a);
}
ALWAYS_INLINE vf vi_as_float(vi a)
{
    return _mm512_castsi512_ps(a);
}
ALWAYS_INLINE vi vi_from_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE vi vi_from_i8(const uint8_t *p)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE vi vf_as_int(vf a)
{
    return _mm512_castps_si512(a);
}
ALWAYS_INLINE vi vi_max_of_4(vi a)
{
    a = _mm512_max_epi32(a, _mm512_shuffle_epi32(a, 0xb1));
    return _mm512_max_epi32(a, _mm512_shuffle_epi32(a, 0x4e));
}
ALWAYS_INLINE void vi_store_bytes(int8_t *p, vi a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a));
}
ALWAYS_INLINE vi vi_pack_to_16(vi a, vi b)
{
    return _mm512_packs_epi32(a, b);
}
ALWAYS_INLINE vi vi_pack_to_bytes(vi a, vi b)
{
    return _mm512_packs_epi16(a, b);
}
ALWAYS_INLINE vi vi_order_packed(vi a)
{
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), a);
}
ALWAYS_INLINE int32_t vi_sum(vi a)
{
    return _mm512_reduce_add_epi32(a);
}
#if defined(__AVX512VNNI__)
/* Not the intrinsic: around it GCC 12 copies sums that a loop carries to another register and back. */
#define HAS_DOT4 1
ALWAYS_INLINE vi vi_dot4(vi sum, vi a, vi b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
#endif
ALWAYS_INLINE vi vi_mul_pairs(vi a, vi b)
{
    return _mm512_maddubs_epi16(a, b);
}
ALWAYS_INLINE vi vi_add16(vi a, vi b)
{
    return _mm512_add_epi16(a, b);
}
ALWAYS_INLINE vi vi_widen_pairs(vi a, short factor)
{
    return _mm512_madd_epi16(a, _mm512_set1_epi16(factor));
}
ALWAYS_INLINE vi vi_abs8(vi w)
{
    return _mm512_abs_epi8(w);
}
ALWAYS_INLINE vi vi_sign8(vi b, vi w)
{
    return _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(w), vi_zero(), b);
}

#endif
