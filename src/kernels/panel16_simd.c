/* Panels of activations of 16 bits at the width of the level; the same as panel16_ref.c. */
#include "levels.h"

#include <string.h>

#include "panel.h"
#include "simd.h"

enum { HALF_VECTORS = LULL_BLOCK_COLS / 2 / LANES };

void LULL_AT_LEVEL(quantize)(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int b = 0; b < n / LULL_BLOCK_COLS; b++, x += LULL_BLOCK_COLS) {
        uint8_t *block = panel + (size_t)b * PANEL_BLOCK * (size_t)n_tokens;
        int8_t *low = (int8_t *)block + 32 * t;
        int8_t *high = (int8_t *)block + PANEL_HIGH * n_tokens + 32 * t;
        float *s = (float *)(block + PANEL_S * n_tokens) + t;
        int32_t *neg = (int32_t *)(block + PANEL_NEG * n_tokens) + t;
        vi top = vi_zero();
        vf v[2 * HALF_VECTORS];
        UNROLL for (int i = 0; i < 2 * HALF_VECTORS; i++)
        {
            v[i] = vf_load(x + i * LANES);
            top = vi_max(top, vi_and(vf_bits(v[i]), vi_all(0x7fffffff)));
        }
        int32_t a_bits = vi_top(top);
        float a;
        memcpy(&a, &a_bits, 4);
        if (!(a >= 0x1p-110f && a <= 0x1.fffffep127f)) {
            memset(low, 0, LULL_BLOCK_COLS);
            memset(high, 0, LULL_BLOCK_COLS);
            neg[0] = neg[n_tokens] = 0;
            s[0] = a >= 0x1p-110f || a != a ? a : 0;
            s[n_tokens] = 0;
            continue;
        }
        vf r = vf_all(16256.0f / a);
        int32_t sum[2];
        UNROLL for (int half = 0; half < 2; half++)
        {
            vi total = vi_zero();
            UNROLL for (int i = half * HALF_VECTORS; i < (half + 1) * HALF_VECTORS; i++)
            {
                vi q = vi_round(vf_mul(v[i], r)), over = vi_sra(vi_add(q, vi_all(64)), 7);
                total = vi_add(total, q);
                vi_save_bytes(high + i * LANES, over);
                vi_save_bytes(low + i * LANES, vi_sub(q, vi_shl(over, 7)));
            }
            sum[half] = vi_sum(total);
            neg[half * n_tokens] = -sum[half];
        }
        s[0] = a / 16256.0f;
        s[n_tokens] = s[0] * (float)(sum[0] + sum[1]);
    }
}
