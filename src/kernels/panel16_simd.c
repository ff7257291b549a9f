/* Panels of activations of 16 bits at the width of the level; the same as panel16_ref.c. */
#include "levels.h"

#include <string.h>

#include "panel.h"
#include "simd.h"

enum { HALF_VECTORS = LULL_BLOCK_COLS / 2 / LANES };

void LULL_AT_LEVEL(quantize)(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int b = 0; b < n / LULL_BLOCK_COLS; b++, x += LULL_BLOCK_COLS) {
        panel_slot slot = panel_slot_at(panel, b, n_tokens, t);
        vi top = vi_zero();
        vf v[2 * HALF_VECTORS];
        UNROLL for (int i = 0; i < 2 * HALF_VECTORS; i++)
        {
            v[i] = vf_load(x + i * LANES);
            top = vi_max(top, vi_and(vf_as_int(v[i]), vi_all(0x7fffffff)));
        }
        int32_t a_bits = vi_top(top);
        float a;
        memcpy(&a, &a_bits, 4);
        if (!lull_is_ordinary(a)) {
            panel_slot_clear(slot, n_tokens, a);
            continue;
        }
        vf r = vf_all(LULL_TWO_PLANES_MAX / a);
        int32_t sum[2];
        UNROLL for (int half = 0; half < 2; half++)
        {
            vi total = vi_zero();
            UNROLL for (int i = half * HALF_VECTORS; i < (half + 1) * HALF_VECTORS; i++)
            {
                vi q = vi_round(vf_mul(v[i], r)), over = vi_sra(vi_add(q, vi_all(64)), 7);
                total = vi_add(total, q);
                vi_store_bytes(slot.high + i * LANES, over);
                vi_store_bytes(slot.low + i * LANES, vi_sub(q, vi_shl(over, 7)));
            }
            sum[half] = vi_sum(total);
            slot.neg[half * n_tokens] = -sum[half];
        }
        slot.s[0] = a / LULL_TWO_PLANES_MAX;
        slot.s[n_tokens] = slot.s[0] * (float)(sum[0] + sum[1]);
    }
}
