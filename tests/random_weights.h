/* Rows of random weights of any type, as a file stores them. */
#ifndef LULL_TESTS_RANDOM_WEIGHTS_H
#define LULL_TESTS_RANDOM_WEIGHTS_H

#include "kernel_check.h"

#include "dtype.h"

/* Where the f16 scales of a block stand: d, then m or dmin; -1: none. */
typedef struct scale_places {
    int d, min;
} scale_places;

static inline scale_places scale_places_of(lull_dtype t)
{
    switch (t) {
    case LULL_DTYPE_Q4_0:
    case LULL_DTYPE_Q5_0:
    case LULL_DTYPE_Q8_0: return (scale_places){0, -1};
    case LULL_DTYPE_Q4_1:
    case LULL_DTYPE_Q5_1:
    case LULL_DTYPE_Q4_K:
    case LULL_DTYPE_Q5_K: return (scale_places){0, 2};
    case LULL_DTYPE_Q2_K: return (scale_places){80, 82};
    case LULL_DTYPE_Q3_K: return (scale_places){108, -1};
    case LULL_DTYPE_Q6_K: return (scale_places){208, -1};
    default: return (scale_places){-1, -1};
    }
}

static inline void put_half(uint8_t *dst, values kind)
{
    float v;
    fill(&v, 1, kind);
    if (kind == ORDINARY || kind == EQUAL) v *= 0.05f;
    if (kind == WIDE) v = ldexpf(random_float(), random_int(12) - 10);
    if (kind == DENORMAL) v = ldexpf(random_float(), -14 - random_int(10)); /* of binary16 */
    uint16_t h =
        kind == HUGE_MIX ? (uint16_t)(random_int(2) ? 0x7bff : 0xfbff) : lull_f32_to_f16(v);
    memcpy(dst, &h, sizeof h);
}

/* Fill dst [n elements] with blocks whose codes are random, or all their largest or least, and
 * whose scales are of a sort. */
static inline void random_weights(lull_dtype t, size_t n, values kind, uint8_t *dst)
{
    const lull_dtype_info *info = lull_dtype_info_of(t);
    if (t == LULL_DTYPE_F32) {
        float v;
        for (size_t i = 0; i < n; i++) {
            fill(&v, 1, kind == HUGE_MIX ? WIDE : kind);
            memcpy(dst + i * sizeof v, &v, sizeof v);
        }
        return;
    }
    if (t == LULL_DTYPE_F16) {
        for (size_t i = 0; i < n; i++) put_half(dst + 2 * i, kind);
        return;
    }
    if (t == LULL_DTYPE_BF16) {
        for (size_t i = 0; i < n; i++) {
            float v;
            fill(&v, 1, kind == HUGE_MIX ? WIDE : kind);
            memcpy(dst + 2 * i, (const uint8_t *)&v + 2, 2);
        }
        return;
    }
    scale_places at = scale_places_of(t);
    for (size_t b = 0; b < n / info->block_elems; b++) {
        uint8_t *block = dst + b * info->block_bytes;
        int same = random_int(8); /* 0 and 1: every byte 0x00, or 0xff */
        for (int i = 0; i < info->block_bytes; i++)
            block[i] = (uint8_t)(same == 0 ? 0 : same == 1 ? 255 : (int)random_u64());
        put_half(block + at.d, kind);
        if (at.min >= 0) put_half(block + at.min, kind);
    }
}

#endif
