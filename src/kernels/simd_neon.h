/* The vectors of simd.h with NEON: 4 lanes. Included by it, on aarch64 with dot products. */
#ifndef LULL_KERNELS_SIMD_NEON_H
#define LULL_KERNELS_SIMD_NEON_H

#include <arm_neon.h>

enum { LANES = 4, N_REGISTERS = 32 };
typedef float32x4_t vf;
typedef int32x4_t vi;

ALWAYS_INLINE vf vf_zero(void)
{
    return vdupq_n_f32(0.0f);
}
ALWAYS_INLINE vf vf_all(float x)
{
    return vdupq_n_f32(x);
}
ALWAYS_INLINE vf vf_load(const float *p)
{
    return vld1q_f32(p);
}
ALWAYS_INLINE void vf_store(float *p, vf a)
{
    vst1q_f32(p, a);
}
ALWAYS_INLINE vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}
ALWAYS_INLINE vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}
ALWAYS_INLINE vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}
ALWAYS_INLINE vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
ALWAYS_INLINE vf vf_negate(vf a)
{
    return vnegq_f32(a);
}
/* Not vminq and vmaxq: those give a NaN where either is one, and order the zeros. */
ALWAYS_INLINE vf vf_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
ALWAYS_INLINE vf vf_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
ALWAYS_INLINE vf vf_round(vf a)
{
    return vrndnq_f32(a);
}
ALWAYS_INLINE vf vf_below(vf a, float limit, vf b, vf otherwise)
{
    return vbslq_f32(vcltq_f32(a, vdupq_n_f32(limit)), b, otherwise);
}
ALWAYS_INLINE float vf_top(vf a)
{
    return vmaxvq_f32(a);
}
ALWAYS_INLINE float vf_first(vf a)
{
    return vgetq_lane_f32(a, 0);
}
ALWAYS_INLINE vf vf_from_half(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
ALWAYS_INLINE vf vf_from_bf16(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
ALWAYS_INLINE void vf_to_half(uint16_t *p, vf a)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}

ALWAYS_INLINE vi vi_zero(void)
{
    return vdupq_n_s32(0);
}
ALWAYS_INLINE vi vi_all(int32_t x)
{
    return vdupq_n_s32(x);
}
ALWAYS_INLINE vi vi_all_bytes(int x)
{
    return vreinterpretq_s32_s8(vdupq_n_s8((int8_t)x));
}
ALWAYS_INLINE vi vi_load(const void *p)
{
    return vreinterpretq_s32_u8(vld1q_u8(p));
}
ALWAYS_INLINE void vi_store(void *p, vi a)
{
    vst1q_u8(p, vreinterpretq_u8_s32(a));
}
ALWAYS_INLINE vi vi_xor(vi a, vi b)
{
    return veorq_s32(a, b);
}
ALWAYS_INLINE vi vi_and(vi a, vi b)
{
    return vandq_s32(a, b);
}
ALWAYS_INLINE vi vi_or(vi a, vi b)
{
    return vorrq_s32(a, b);
}
ALWAYS_INLINE vi vi_add(vi a, vi b)
{
    return vaddq_s32(a, b);
}
ALWAYS_INLINE vi vi_mul(vi a, vi b)
{
    return vmulq_s32(a, b);
}
ALWAYS_INLINE vi vi_sub(vi a, vi b)
{
    return vsubq_s32(a, b);
}
ALWAYS_INLINE vi vi_max(vi a, vi b)
{
    return vmaxq_s32(a, b);
}
ALWAYS_INLINE int32_t vi_top(vi a)
{
    return vmaxvq_s32(a);
}
ALWAYS_INLINE vi vi_sra(vi a, int n)
{
    return vshlq_s32(a, vdupq_n_s32(-n));
}
ALWAYS_INLINE vi vi_shl(vi a, int n)
{
    return vshlq_s32(a, vdupq_n_s32(n));
}
ALWAYS_INLINE vi vi_shl16(vi a, int n)
{
    return vreinterpretq_s32_u16(vshlq_u16(vreinterpretq_u16_s32(a), vdupq_n_s16((int16_t)n)));
}
ALWAYS_INLINE vi vi_shr16(vi a, int n)
{
    return vreinterpretq_s32_u16(vshlq_u16(vreinterpretq_u16_s32(a), vdupq_n_s16((int16_t)-n)));
}
ALWAYS_INLINE vf vi_to_float(vi a)
{
    return vcvtq_f32_s32(a);
}
ALWAYS_INLINE vi vi_round(vf a)
{
    return vcvtnq_s32_f32(a);
}
ALWAYS_INLINE vf vi_as_float(vi a)
{
    return vreinterpretq_f32_s32(a);
}
ALWAYS_INLINE vi vf_as_int(vf a)
{
    return vreinterpretq_s32_f32(a);
}
ALWAYS_INLINE vi vi_from_u8(const uint8_t *p)
{
    uint32_t four;
    __builtin_memcpy(&four, p, 4);
    uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
}
ALWAYS_INLINE vi vi_from_i8(const uint8_t *p)
{
    uint32_t four;
    __builtin_memcpy(&four, p, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)))));
}
ALWAYS_INLINE vi vi_max_of_4(vi a)
{
    return vdupq_n_s32(vmaxvq_s32(a));
}
ALWAYS_INLINE vi vi_pack_to_16(vi a, vi b)
{
    return vreinterpretq_s32_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b)));
}
ALWAYS_INLINE vi vi_pack_to_bytes(vi a, vi b)
{
    return vreinterpretq_s32_s8(
        vcombine_s8(vmovn_s16(vreinterpretq_s16_s32(a)), vmovn_s16(vreinterpretq_s16_s32(b))));
}
ALWAYS_INLINE vi vi_order_packed(vi a)
{
    return a;
}
ALWAYS_INLINE void vi_store_bytes(int8_t *p, vi a)
{
    int16x4_t half = vmovn_s32(a);
    int8x8_t bytes = vmovn_s16(vcombine_s16(half, half));
    __builtin_memcpy(p, &bytes, 4);
}
ALWAYS_INLINE int32_t vi_sum(vi a)
{
    return vaddvq_s32(a);
}
/* sdot: both sides are signed, so codes of 8 bits are made so first. */
#define HAS_DOT4 1
#define DOT4_IS_SIGNED 1
ALWAYS_INLINE vi vi_dot4(vi sum, vi a, vi b)
{
    return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
}

ALWAYS_INLINE float vf_fold(const vf *stripes)
{
    vf x = vaddq_f32(vaddq_f32(stripes[0], stripes[2]), vaddq_f32(stripes[1], stripes[3]));
    float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}

#endif
