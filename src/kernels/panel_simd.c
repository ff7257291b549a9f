/* Panels of activations of 8 bits at the width of the level; the same as panel_ref.c. */
#include "levels.h"

#include <string.h>

#include "panel.h"
#include "simd.h"

enum { HALF_COLS = LULL_BLOCK_COLS / 2, HALF_VECTORS = HALF_COLS / LANES };

ALWAYS_INLINE int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

ALWAYS_INLINE int64_t smaller(int64_t a, int64_t b)
{
    return a > b ? b : a;
}

/* The outlying one of the 4 groups of a half: the largest, the first among equals; *rest takes the
 * largest value of the other three. a: magnitudes of 16 columns, every group's largest in its first
 * column. All are at least 0, so that their bits order as integers, to which the place is added. No
 * branches: which group it is cannot be predicted. */
ALWAYS_INLINE int outlying_group(const int32_t *a, int32_t *rest)
{
    int64_t g0 = (int64_t)a[0] * 4 + 3, g1 = (int64_t)a[4] * 4 + 2;
    int64_t g2 = (int64_t)a[8] * 4 + 1, g3 = (int64_t)a[12] * 4;
    int64_t left = larger(g0, g1), right = larger(g2, g3);
    int64_t losers = larger(smaller(g0, g1), smaller(g2, g3));
    *rest = (int32_t)(larger(losers, smaller(left, right)) >> 2);
    return 3 - (int)(larger(left, right) & 3);
}

void LULL_AT_LEVEL(quantize)(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int b = 0; b < n / LULL_BLOCK_COLS; b++, x += LULL_BLOCK_COLS) {
        panel_slot slot = panel_slot_at(panel, b, n_tokens, t);
        _Alignas(64) int32_t largest[LULL_BLOCK_COLS], q[LULL_BLOCK_COLS];
        vf v[2 * HALF_VECTORS];
        UNROLL for (int i = 0; i < 2 * HALF_VECTORS; i++)
        {
            v[i] = vf_load(x + i * LANES);
            vi_store(largest + i * LANES, vi_max_of_4(vi_and(vf_as_int(v[i]), vi_all(0x7fffffff))));
        }
        int32_t rest[2];
        int top[2] = {outlying_group(largest, &rest[0]),
                      4 + outlying_group(largest + HALF_COLS, &rest[1])};
        int32_t a_bits = (int32_t)larger(largest[4 * top[0]], largest[4 * top[1]]);
        int32_t g_bits = (int32_t)larger(rest[0], rest[1]);
        float a, g;
        memcpy(&a, &a_bits, 4);
        memcpy(&g, &g_bits, 4);
        slot.group[0] = 64 * top[0];
        slot.group[n_tokens] = 64 * top[1];
        if (!lull_is_ordinary(a)) {
            panel_slot_clear(slot, n_tokens, a);
            continue;
        }
        int is_flat = 128.0f * g >= a;
        float most = is_flat ? 127.0f : LULL_TWO_PLANES_MAX, of = is_flat ? g : a;
        float r = most / of, step = of / most;
        int32_t sum[2];
        UNROLL for (int half = 0; half < 2; half++)
        {
            vi total = vi_zero();
            UNROLL for (int i = half * HALF_VECTORS; i < (half + 1) * HALF_VECTORS; i++)
            {
                vi code = vi_round(vf_mul(v[i], vf_all(r)));
                total = vi_add(total, code);
                vi_store(q + i * LANES, code);
                vi_store_bytes(slot.low + i * LANES, code);
            }
            sum[half] = vi_sum(total);
        }
        for (int half = 0; half < 2; half++) {
            const int32_t *from = q + 4 * top[half];
            int8_t *to = slot.low + 4 * top[half];
            for (int i = 0; i < 4; i++) {
                int32_t over = (from[i] + 64) >> 7;
                slot.high[4 * half * n_tokens + i] = (int8_t)over;
                to[i] = (int8_t)(from[i] - 128 * over);
            }
            slot.neg[half * n_tokens] = -sum[half];
        }
        slot.s[0] = step;
        slot.s[n_tokens] = step * (float)(sum[0] + sum[1]);
    }
}
