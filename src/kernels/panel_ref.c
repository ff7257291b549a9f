/* Panels of activations of 8 bits in plain C: the specification that the other levels reproduce. */
#include "levels.h"

#include <math.h>
#include <string.h>

#include "panel.h"

/* Index of the largest of 4, the first among equals; *rest takes the largest of the other three. */
static int top_of_4(const uint32_t *a, uint32_t *rest)
{
    int top = 0;
    *rest = 0;
    for (int i = 1; i < 4; i++) {
        uint32_t loser = a[i] > a[top] ? a[top] : a[i];
        top = a[i] > a[top] ? i : top;
        *rest = loser > *rest ? loser : *rest;
    }
    return top;
}

void LULL_AT_LEVEL(quantize)(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int b = 0; b < n / LULL_BLOCK_COLS; b++, x += LULL_BLOCK_COLS) {
        panel_slot slot = panel_slot_at(panel, b, n_tokens, t);
        /* The magnitude bits of floats order as integers, with NaN above infinity above all else. */
        uint32_t u[LULL_BLOCK_COLS], largest[8], rest[2];
        for (int i = 0; i < LULL_BLOCK_COLS; i++) {
            memcpy(&u[i], &x[i], 4);
            u[i] &= 0x7fffffff;
        }
        for (int j = 0; j < 8; j++) {
            largest[j] = 0;
            for (int i = 4 * j; i < 4 * j + 4; i++)
                largest[j] = u[i] > largest[j] ? u[i] : largest[j];
        }
        int top[2] = {top_of_4(largest, &rest[0]), 4 + top_of_4(largest + 4, &rest[1])};
        uint32_t a_bits = largest[top[0]] > largest[top[1]] ? largest[top[0]] : largest[top[1]];
        float a, g;
        memcpy(&a, &a_bits, 4);
        memcpy(&g, rest[0] > rest[1] ? &rest[0] : &rest[1], 4);
        for (int h = 0; h < 2; h++) slot.group[h * n_tokens] = 64 * top[h];
        if (!lull_is_ordinary(a)) {
            panel_slot_clear(slot, n_tokens, a);
            continue;
        }
        bool is_flat = 128.0f * g >= a;
        float r = is_flat ? 127.0f / g : LULL_TWO_PLANES_MAX / a;
        int32_t q[LULL_BLOCK_COLS], sum[2] = {0, 0};
        for (int i = 0; i < LULL_BLOCK_COLS; i++) q[i] = (int32_t)rintf(x[i] * r);
        for (int i = 0; i < 16; i++) {
            sum[0] += q[i];
            sum[1] += q[16 + i];
        }
        for (int i = 0; i < LULL_BLOCK_COLS; i++) slot.low[i] = (int8_t)q[i];
        for (int h = 0; h < 2; h++) {
            for (int i = 0; i < 4; i++) {
                int32_t v = q[4 * top[h] + i], v_high = (v + 64) >> 7;
                slot.high[4 * h * n_tokens + i] = (int8_t)v_high;
                slot.low[4 * top[h] + i] = (int8_t)(v - 128 * v_high);
            }
            slot.neg[h * n_tokens] = -sum[h];
        }
        float step = is_flat ? g / 127.0f : a / LULL_TWO_PLANES_MAX;
        slot.s[0] = step;
        slot.s[n_tokens] = step * (float)(sum[0] + sum[1]);
    }
}
