/* Matmul in plain C: the specification that the other levels reproduce bit for bit. */
#include "levels.h"

#include <math.h>
#include <string.h>

#include "panel.h"

static float half_at(const uint8_t *p, int i)
{
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    return lull_f16_to_f32(h);
}

/* Code of (row, col) in a block of n_bits planes; see pack.h. */
static int code_at(int n_bits, const uint8_t *block, int row, int col)
{
    int j = col / 4, at = 4 * row + col % 4;
    if (n_bits == 8) return block[64 * j + at];
    if (n_bits < 4) {
        int low = block[64 * (j / 4) + at] >> (2 * (j % 4)) & 3;
        return n_bits == 2 ? low : low | (block[128 + at] >> j & 1) << 2;
    }
    int low = block[64 * (j % 4) + at] >> (4 * (j / 4)) & 15;
    if (n_bits == 4) return low;
    if (n_bits == 5) return low | (block[256 + at] >> j & 1) << 4;
    return low | (block[256 + 64 * (j / 4) + at] >> (2 * (j % 4)) & 3) << 4;
}

static int code_bits(lull_dtype t)
{
    switch (t) {
    case LULL_DTYPE_Q2_K: return 2;
    case LULL_DTYPE_Q3_K: return 3;
    case LULL_DTYPE_Q5_0:
    case LULL_DTYPE_Q5_1:
    case LULL_DTYPE_Q5_K: return 5;
    case LULL_DTYPE_Q6_K: return 6;
    case LULL_DTYPE_Q8_0: return 8;
    default: return 4;
    }
}

/* The 32 q of token t in a block of a panel of T. */
static void panel_codes(const uint8_t *block, int T, int t, int *q)
{
    const int8_t *low = (const int8_t *)block + 32 * t;
    for (int c = 0; c < LULL_BLOCK_COLS; c++) q[c] = low[c];
#if LULL_ACTIVATION_BITS == 8
    for (int half = 0; half < 2; half++) {
        const int8_t *high = (const int8_t *)block + PANEL_HIGH * T + 4 * (half * T + t);
        const int32_t *group = (const int32_t *)(block + LULL_PANEL_GROUP * T) + half * T + t;
        for (int i = 0; i < 4; i++) q[*group / 16 + i] += 128 * high[i];
    }
#else
    const int8_t *high = (const int8_t *)block + PANEL_HIGH * T + 32 * t;
    for (int c = 0; c < LULL_BLOCK_COLS; c++) q[c] += 128 * high[c];
#endif
}

static void dot_quantized(lull_dtype t, int n_tokens, const uint8_t *tile, const uint8_t *panel,
                          int n_cols, float *out)
{
    int n_bits = code_bits(t), offset = lull_code_offset(t);
    size_t codes_bytes = (size_t)n_bits * 64;
    bool is_super = lull_dtype_info_of(t)->block_elems == 256;
    bool has_super_min = t == LULL_DTYPE_Q2_K || t == LULL_DTYPE_Q4_K || t == LULL_DTYPE_Q5_K;
    bool has_half_min = t == LULL_DTYPE_Q4_1 || t == LULL_DTYPE_Q5_1;
    const uint8_t *block = tile, *super = NULL;
    memset(out, 0, sizeof(float) * (size_t)n_tokens * LULL_TILE_ROWS);
    for (int b = 0; b < n_cols / LULL_BLOCK_COLS; b++) {
        if (is_super && b % LULL_SUPER_BLOCKS == 0) {
            super = block;
            block += has_super_min ? 64 : 32;
        }
        const uint8_t *sc = block + codes_bytes;
        const uint8_t *p = panel + (size_t)b * PANEL_BLOCK * (size_t)n_tokens;
        const float *scale = (const float *)(p + PANEL_S * n_tokens);
        const int32_t *neg = (const int32_t *)(p + PANEL_NEG * n_tokens);
        for (int r = 0; r < LULL_TILE_ROWS; r++) {
            int code[LULL_BLOCK_COLS];
            for (int c = 0; c < LULL_BLOCK_COLS; c++)
                code[c] = code_at(n_bits, block, r, c) - offset;
            for (int k = 0; k < n_tokens; k++) {
                int q[LULL_BLOCK_COLS], half[2] = {0, 0};
                panel_codes(p, n_tokens, k, q);
                for (int c = 0; c < LULL_BLOCK_COLS; c++) half[c / 16] += code[c] * q[c];
                float *acc = &out[k * LULL_TILE_ROWS + r];
                float s = scale[k], sm = scale[n_tokens + k];
                switch (t) {
                case LULL_DTYPE_Q4_1:
                case LULL_DTYPE_Q5_1:
                    *acc = fmaf((float)(half[0] + half[1]), half_at(sc, r) * s, *acc);
                    *acc = fmaf(half_at(sc + 32, r), sm, *acc);
                    break;
                case LULL_DTYPE_Q4_K:
                case LULL_DTYPE_Q5_K:
                    *acc = fmaf((float)(half[0] + half[1]), half_at(super, r) * (float)sc[r] * s,
                                *acc);
                    *acc = fmaf(-(half_at(super + 32, r) * (float)sc[16 + r]), sm, *acc);
                    break;
                case LULL_DTYPE_Q3_K:
                case LULL_DTYPE_Q6_K:
                    *acc = fmaf((float)((int8_t)sc[r] * half[0] + (int8_t)sc[16 + r] * half[1]),
                                half_at(super, r) * s, *acc);
                    break;
                case LULL_DTYPE_Q2_K:
                    *acc = fmaf((float)((sc[r] & 15) * half[0] + (sc[16 + r] & 15) * half[1]),
                                half_at(super, r) * s, *acc);
                    *acc =
                        fmaf((float)((sc[r] >> 4) * neg[k] + (sc[16 + r] >> 4) * neg[n_tokens + k]),
                             half_at(super + 32, r) * s, *acc);
                    break;
                default: /* Q4_0, Q5_0, Q8_0 */
                    *acc = fmaf((float)(half[0] + half[1]), half_at(sc, r) * s, *acc);
                    break;
                }
            }
        }
        block += codes_bytes + (has_half_min ? 64 : 32);
    }
}

static float weight_at(lull_dtype t, const uint8_t *tile, size_t i)
{
    if (t == LULL_DTYPE_F32) return ((const float *)tile)[i];
    uint16_t h = ((const uint16_t *)tile)[i];
    if (t == LULL_DTYPE_F16) return lull_f16_to_f32(h);
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void dot_float(lull_dtype t, int n_tokens, const uint8_t *tile, const uint8_t *panel,
                      int n_cols, float *out)
{
    const float *x = (const float *)panel;
    for (int k = 0; k < n_tokens; k++)
        for (int r = 0; r < LULL_TILE_ROWS; r++) {
            float acc = 0;
            for (int c0 = 0; c0 < n_cols; c0 += LULL_BLOCK_COLS) {
                float part = 0;
                for (int c = c0; c < n_cols && c < c0 + LULL_BLOCK_COLS; c++)
                    part = fmaf(weight_at(t, tile, (size_t)c * LULL_TILE_ROWS + (size_t)r),
                                x[c * n_tokens + k], part);
                acc = acc + part;
            }
            out[k * LULL_TILE_ROWS + r] = acc;
        }
}

#define DOT(body, name, T)                                                                         \
    static void dot_##name##_##T(const uint8_t *tile, const uint8_t *panel, int n_cols,            \
                                 float *out)                                                       \
    {                                                                                              \
        body(LULL_DTYPE_##name, T, tile, panel, n_cols, out);                                      \
    }
#define DOTS(body, name)                                                                           \
    DOT(body, name, 1) DOT(body, name, 4) DOT(body, name, 8) DOT(body, name, 12)
DOTS(dot_float, F32)
DOTS(dot_float, F16)
DOTS(dot_float, BF16)
DOTS(dot_quantized, Q4_0)
DOTS(dot_quantized, Q4_1)
DOTS(dot_quantized, Q5_0)
DOTS(dot_quantized, Q5_1)
DOTS(dot_quantized, Q8_0)
DOTS(dot_quantized, Q2_K)
DOTS(dot_quantized, Q3_K)
DOTS(dot_quantized, Q4_K)
DOTS(dot_quantized, Q5_K)
DOTS(dot_quantized, Q6_K)

#define ROW(name)                                                                                  \
    [LULL_DTYPE_##name] = {dot_##name##_1, dot_##name##_4, dot_##name##_8, dot_##name##_12}
const lull_dot_fn LULL_AT_LEVEL(dot)[LULL_DTYPE_N][LULL_PANEL_SIZES] = {
    ROW(F32),  ROW(F16),  ROW(BF16), ROW(Q4_0), ROW(Q4_1), ROW(Q5_0), ROW(Q5_1),
    ROW(Q8_0), ROW(Q2_K), ROW(Q3_K), ROW(Q4_K), ROW(Q5_K), ROW(Q6_K),
};
