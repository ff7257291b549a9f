/* Panels of activations of 16 bits in plain C: the specification that the other levels reproduce. */
#include "levels.h"

#include <math.h>
#include <string.h>

#include "panel.h"

void LULL_AT_LEVEL(quantize)(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int b = 0; b < n / LULL_BLOCK_COLS; b++, x += LULL_BLOCK_COLS) {
        uint8_t *block = panel + (size_t)b * PANEL_BLOCK * (size_t)n_tokens;
        int8_t *low = (int8_t *)block + 32 * t;
        int8_t *high = (int8_t *)block + PANEL_HIGH * n_tokens + 32 * t;
        float *s = (float *)(block + PANEL_S * n_tokens) + t;
        int32_t *neg = (int32_t *)(block + PANEL_NEG * n_tokens) + t;
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
        int32_t sum[2] = {0, 0};
        bool is_usual = a >= 0x1p-110f && a <= 0x1.fffffep127f;
        float r = is_usual ? 16256.0f / a : 0;
        for (int i = 0; i < LULL_BLOCK_COLS; i++) {
            int32_t q = is_usual ? (int32_t)rintf(x[i] * r) : 0, over = (q + 64) >> 7;
            high[i] = (int8_t)over;
            low[i] = (int8_t)(q - 128 * over);
            sum[i / 16] += q;
        }
        for (int h = 0; h < 2; h++) neg[h * n_tokens] = -sum[h];
        s[0] = is_usual ? a / 16256.0f : a >= 0x1p-110f || a != a ? a : 0;
        s[n_tokens] = is_usual ? s[0] * (float)(sum[0] + sum[1]) : 0;
    }
}
