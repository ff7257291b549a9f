/* Panels of activations of 16 bits in plain C: the specification that the other levels reproduce. */
#include "levels.h"

#include <math.h>
#include <string.h>

#include "panel.h"

void LULL_AT_LEVEL(quantize)(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int b = 0; b < n / LULL_BLOCK_COLS; b++, x += LULL_BLOCK_COLS) {
        panel_slot slot = panel_slot_at(panel, b, n_tokens, t);
        /* The magnitude bits of floats order as integers, with NaN above infinity above all else. */
        uint32_t a_bits = 0;
        for (int i = 0; i < LULL_BLOCK_COLS; i++) {
            uint32_t u;
            memcpy(&u, &x[i], 4);
            u &= 0x7fffffff;
            a_bits = u > a_bits ? u : a_bits;
        }
        float a;
        memcpy(&a, &a_bits, 4);
        if (!lull_is_ordinary(a)) {
            panel_slot_clear(slot, n_tokens, a);
            continue;
        }
        float r = LULL_TWO_PLANES_MAX / a;
        int32_t sum[2] = {0, 0};
        for (int i = 0; i < LULL_BLOCK_COLS; i++) {
            int32_t q = (int32_t)rintf(x[i] * r), over = (q + 64) >> 7;
            slot.high[i] = (int8_t)over;
            slot.low[i] = (int8_t)(q - 128 * over);
            sum[i / 16] += q;
        }
        for (int h = 0; h < 2; h++) slot.neg[h * n_tokens] = -sum[h];
        slot.s[0] = a / LULL_TWO_PLANES_MAX;
        slot.s[n_tokens] = slot.s[0] * (float)(sum[0] + sum[1]);
    }
}
