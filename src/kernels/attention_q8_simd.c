/* Attention over keys and values of 8 bits at the width of the level. Products are exact sums of integers:
 * scores run down lanes of positions, four dimensions at a time; sums of values down lanes of dimensions,
 * four positions at a time. Where the level multiplies bytes to 16 bits alone, keys are made signed. */
#include <math.h>
#include <string.h>

#include "attention_simd.h"
#include "dtype.h"
#include "levels.h"

enum {
    COLS = LULL_KV_Q8_COLS,            /* dimensions under one scale */
    GROUP = N_REGISTERS == 32 ? 4 : 2, /* queries at once */
    WIDTH = 2,                         /* vectors of positions, or of dimensions, at once */
    STEP = WIDTH * LANES,
    COLS_VEC = COLS / LANES /* vectors of dimensions under one scale */
};

#if defined(HAS_DOT4)
#if defined(DOT4_IS_SIGNED)
enum { TAKES_SHIFT = 0 };
#else
enum { TAKES_SHIFT = 1 };
#endif
ALWAYS_INLINE vi load_key(const uint8_t *p)
{
    return TAKES_SHIFT ? vi_load(p) : vi_xor(vi_load(p), vi_all_bytes(128));
}
ALWAYS_INLINE vi dot_key(vi sum, vi key, vi x)
{
    return vi_dot4(sum, key, x);
}
ALWAYS_INLINE vi dot_value(vi sum, vi weights, vi value)
{
    return vi_dot4(sum, weights, value);
}
#else
/* A pair of products is at most 2 · 127 · 127: within 16 bits. */
enum { TAKES_SHIFT = 0 };
ALWAYS_INLINE vi load_key(const uint8_t *p)
{
    return vi_xor(vi_load(p), vi_all_bytes(128));
}
ALWAYS_INLINE vi dot_key(vi sum, vi key, vi x)
{
    return vi_add(sum, vi_widen_pairs(vi_mul_pairs(vi_abs8(key), vi_sign8(x, key)), 1));
}
ALWAYS_INLINE vi dot_value(vi sum, vi weights, vi value)
{
    return vi_add(sum, vi_widen_pairs(vi_mul_pairs(weights, value), 1));
}
#endif

/* ---- storing --------------------------------------------------------------------------------- */

/* Codes of 32 values, q [32]; writes their scale as position `at` of block b of a part. */
ALWAYS_INLINE void quantize_block(const float *x, int d, int b, int at, uint8_t *part, int8_t *q)
{
    vf v[COLS_VEC], top = vf_zero(), limit = vf_all(65504.0f);
    UNROLL for (int i = 0; i < COLS_VEC; i++)
    {
        v[i] = vf_max(vf_min(vf_load(x + i * LANES), limit),
                      vf_negate(limit)); /* a NaN becomes limit */
        top = vf_max(top, vf_max(v[i], vf_negate(v[i])));
    }
    /* Whether the largest of zeros is -0 or 0 is not defined: the sign is dropped. */
    uint16_t half = lull_f32_to_f16(fabsf(vf_top(top)) / 127.0f);
    float s = lull_f16_to_f32(half);
    vf r = vf_all(s > 0 ? 1.0f / s : 0), most = vf_all(127.0f);
    UNROLL for (int i = 0; i < COLS_VEC; i++)
    {
        vf c = vf_max(vf_min(vf_round(vf_mul(v[i], r)), most), vf_negate(most));
        vi_store_bytes(q + i * LANES, vi_round(c));
    }
    memcpy(part + (size_t)d * PAGE + 2 * (size_t)(b * PAGE + at), &half, sizeof half);
}

void LULL_AT_LEVEL(k_store_q8)(const float *x, int d, int at, uint8_t *part)
{
    for (int b = 0; b < d / COLS; b++) {
        int8_t q[COLS];
        quantize_block(x + b * COLS, d, b, at, part, q);
        for (int g = 0; g < COLS / 4; g++) {
            uint32_t four;
            memcpy(&four, q + 4 * g, sizeof four);
            four ^= 0x80808080u; /* + 128 */
            memcpy(part + (size_t)((b * (COLS / 4) + g) * PAGE + at) * 4, &four, sizeof four);
        }
    }
}

void LULL_AT_LEVEL(v_store_q8)(const float *x, int d, int at, uint8_t *part)
{
    for (int b = 0; b < d / COLS; b++) {
        int8_t q[COLS];
        quantize_block(x + b * COLS, d, b, at, part, q);
        uint8_t *dst = part + (size_t)(at / 4 * d + b * COLS) * 4 + at % 4;
        for (int i = 0; i < COLS; i++) dst[4 * i] = (uint8_t)q[i];
    }
}

void LULL_AT_LEVEL(query_q8)(const float *q, int d, uint8_t *record)
{
    int8_t *high = (int8_t *)record, *low = high + d;
    int32_t *shift = (int32_t *)(record + 2 * d);
    vi top = vi_zero(); /* magnitudes order as integers, NaN above all */
    for (int i = 0; i < d; i += LANES)
        top = vi_max(top, vi_and(vf_as_int(vf_load(q + i)), vi_all(0x7fffffff)));
    int32_t bits = vi_top(top);
    float a, r, s;
    memcpy(&a, &bits, sizeof a);
    if (lull_is_ordinary(a)) {
        r = LULL_TWO_PLANES_MAX / a;
        s = a / LULL_TWO_PLANES_MAX;
    } else {
        s = lull_odd_scale(a);
        memset(record, 0, 2 * (size_t)d);
        memset(shift, 0, sizeof *shift * (size_t)(d / COLS));
        memcpy(shift + d / COLS, &s, sizeof s);
        return;
    }
    for (int b = 0; b < d / COLS; b++) {
        vi sum = vi_zero();
        for (int i = b * COLS; i < (b + 1) * COLS; i += LANES) {
            vi c = vi_round(vf_mul(vf_load(q + i), vf_all(r)));
            vi over = vi_sra(vi_add(c, vi_all(64)), 7);
            vi_store_bytes(high + i, over);
            vi_store_bytes(low + i, vi_sub(c, vi_shl(over, 7)));
            sum = vi_add(sum, c);
        }
        shift[b] = -128 * vi_sum(sum);
    }
    memcpy(shift + d / COLS, &s, sizeof s);
}

/* ---- attending ------------------------------------------------------------------------------- */

/* s[n][64] for n queries. */
ALWAYS_INLINE void scores(int n, const lull_attend_q8_args *a, const uint8_t *queries,
                          float s[][PAGE])
{
    int d = a->d;
    size_t stride = lull_query_q8_bytes(d);
    const uint16_t *scales = (const uint16_t *)(a->k + (size_t)d * PAGE);
    for (int j = 0; j < PAGE; j += STEP) {
        vf acc[GROUP][WIDTH];
        UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < WIDTH; w++) acc[t][w] =
            vf_zero();
        for (int b = 0; b < d / COLS; b++) {
            vi high[GROUP][WIDTH], low[GROUP][WIDTH];
            UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < WIDTH; w++)
            {
                int32_t shift;
                memcpy(&shift, queries + (size_t)t * stride + 2 * d + 4 * b, sizeof shift);
                high[t][w] = vi_zero();
                low[t][w] = TAKES_SHIFT ? vi_all(shift) : vi_zero();
            }
            for (int g = b * (COLS / 4); g < (b + 1) * (COLS / 4); g++) {
                vi key[WIDTH];
                size_t at = (size_t)(g * PAGE + j) * 4;
                prefetch(a->next_k + at, STEP * 4);
                UNROLL for (int w = 0; w < WIDTH; w++) key[w] =
                    load_key(a->k + at + (size_t)(4 * w * LANES));
                UNROLL for (int t = 0; t < n; t++)
                {
                    const uint8_t *x = queries + (size_t)t * stride + 4 * g;
                    vi x_high = vi_all_fours(x), x_low = vi_all_fours(x + d);
                    UNROLL for (int w = 0; w < WIDTH; w++)
                    {
                        high[t][w] = dot_key(high[t][w], key[w], x_high);
                        low[t][w] = dot_key(low[t][w], key[w], x_low);
                    }
                }
            }
            vf scale[WIDTH];
            UNROLL for (int w = 0; w < WIDTH; w++) scale[w] =
                vf_from_half(scales + b * PAGE + j + w * LANES);
            UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < WIDTH; w++)
            {
                vi sum = vi_add(vi_shl(high[t][w], 7), low[t][w]);
                acc[t][w] = vf_fma(vi_to_float(sum), scale[w], acc[t][w]);
            }
        }
        UNROLL for (int t = 0; t < n; t++)
        {
            float q_scale;
            memcpy(&q_scale, queries + (size_t)t * stride + 2 * d + 4 * (d / COLS), sizeof q_scale);
            UNROLL for (int w = 0; w < WIDTH; w++)
                vf_store(s[t] + j + w * LANES, vf_mul(acc[t][w], vf_all(q_scale)));
        }
    }
}

/* What queries multiply a block of the values' dimensions with, probabilities times scales, in two planes
 * of 7 bits, and their steps. */
typedef struct weights {
    _Alignas(64) int8_t high[GROUP][PAGE], low[GROUP][PAGE];
    float step[MOST_QUERIES];
} weights;

/* Of n queries; all take each step together, as in softmax_page. scales: f16 [64] of the block. */
ALWAYS_INLINE void split_weights(int n, float p[][PAGE], const uint16_t *scales, weights *out)
{
    _Alignas(64) float w[GROUP][PAGE];
    float largest[MOST_QUERIES] = {0}, r[MOST_QUERIES];
    vf scale[N_VEC];
    UNROLL for (int v = 0; v < N_VEC; v++) scale[v] = vf_from_half(scales + v * LANES);
    UNROLL for (int t = 0; t < n; t++)
    {
        vf top = vf_zero();
        UNROLL for (int v = 0; v < N_VEC; v++)
        {
            vf x = vf_load(p[t] + v * LANES);
            /* What is masked has p = 0, whatever stands there; else p is at least exp(-87). */
            x = vf_below(x, 1e-38f, vf_zero(), vf_mul(x, scale[v]));
            vf_store(w[t] + v * LANES, x);
            top = vf_max(top, x);
        }
        largest[t] = vf_top(top);
    }
    for (int t = 0; t < n; t += LANES) {
        vf top = vf_load(largest + t), most = vf_all(16383.0f);
        vf_store(r + t, vf_below(top, 0x1p-100f, vf_zero(), vf_div(most, top)));
        vf_store(out->step + t, vf_below(top, 0x1p-100f, vf_zero(), vf_div(top, most)));
    }
    UNROLL for (int t = 0; t < n; t++) UNROLL for (int v = 0; v < N_VEC; v += 4)
    {
        vi u[4];
        UNROLL for (int i = 0; i < 4; i++) u[i] =
            vi_round(vf_mul(vf_load(w[t] + (v + i) * LANES), vf_all(r[t])));
        vi first = vi_pack_to_16(u[0], u[1]), last = vi_pack_to_16(u[2], u[3]),
           mask = vi_all(0x7f007f);
        vi_store(out->high[t] + v * LANES,
                 vi_order_packed(vi_pack_to_bytes(vi_shr16(first, 7), vi_shr16(last, 7))));
        vi_store(out->low[t] + v * LANES,
                 vi_order_packed(vi_pack_to_bytes(vi_and(first, mask), vi_and(last, mask))));
    }
}

/* o = o c + weights times values, for block b of n queries; positions in fours from .. end-1. */
ALWAYS_INLINE void sums(int n, const lull_attend_q8_args *a, int b, int from, int end,
                        const weights *w, const float *c, float *o)
{
    for (int i = b * COLS; i < (b + 1) * COLS; i += WIDTH * LANES) {
        vi sum_high[GROUP][WIDTH], sum_low[GROUP][WIDTH];
        UNROLL for (int t = 0; t < n; t++) UNROLL for (int v = 0; v < WIDTH; v++) sum_high[t][v] =
            sum_low[t][v] = vi_zero();
        for (int g = from; g < end; g++) {
            vi value[WIDTH];
            size_t at = (size_t)(g * a->d + i) * 4;
            prefetch(a->next_v + at, WIDTH * LANES * 4);
            UNROLL for (int v = 0; v < WIDTH; v++) value[v] =
                vi_load(a->v + at + (size_t)(4 * v * LANES));
            UNROLL for (int t = 0; t < n; t++)
            {
                vi u_high = vi_all_fours(w->high[t] + 4 * g),
                   u_low = vi_all_fours(w->low[t] + 4 * g);
                UNROLL for (int v = 0; v < WIDTH; v++)
                {
                    sum_high[t][v] = dot_value(sum_high[t][v], u_high, value[v]);
                    sum_low[t][v] = dot_value(sum_low[t][v], u_low, value[v]);
                }
            }
        }
        UNROLL for (int t = 0; t < n; t++) UNROLL for (int v = 0; v < WIDTH; v++)
        {
            float *at = o + (size_t)t * a->o_stride + i + v * LANES;
            vi sum = vi_add(vi_shl(sum_high[t][v], 7), sum_low[t][v]);
            vf_store(at, vf_fma(vi_to_float(sum), vf_all(w->step[t]),
                                vf_mul(vf_load(at), vf_all(c[t]))));
        }
    }
}

ALWAYS_INLINE void attend_group(int n, const lull_attend_q8_args *a, int t0)
{
    _Alignas(64) float s[GROUP][PAGE];
    weights w[2];
    float c[MOST_QUERIES];
    int lo, hi, d = a->d;
    scores(n, a, a->queries + (size_t)t0 * lull_query_q8_bytes(d), s);
    softmax_page(n, s, a->lo + t0, a->hi + t0, a->m + t0, a->l + t0, c);
    seen_positions(n, a->lo + t0, a->hi + t0, &lo, &hi);
    const uint16_t *scales = (const uint16_t *)(a->v + (size_t)d * PAGE);
    /* The weights of a block wait for divisions; meanwhile those of the block before are used. */
    for (int b = 0; b <= d / COLS; b++) {
        if (b < d / COLS) {
            prefetch(a->next_k + (size_t)d * PAGE + 2 * PAGE * b, 2 * PAGE);
            prefetch(a->next_v + (size_t)d * PAGE + 2 * PAGE * b, 2 * PAGE);
            split_weights(n, s, scales + b * PAGE, &w[b % 2]);
        }
        if (b > 0)
            sums(n, a, b - 1, lo / 4, (hi + 3) / 4, &w[(b - 1) % 2], c,
                 a->o + (size_t)t0 * a->o_stride);
    }
}

void LULL_AT_LEVEL(attend_q8)(const lull_attend_q8_args *a)
{
    int t = 0;
    for (; t + GROUP <= a->n_q; t += GROUP) attend_group(GROUP, a, t);
    /* Fewer than GROUP are left. Counts that cannot occur are compiled as 1, not as too many. */
    switch (a->n_q - t) {
    case 3: attend_group(GROUP > 3 ? 3 : 1, a, t); break;
    case 2: attend_group(GROUP > 2 ? 2 : 1, a, t); break;
    case 1: attend_group(1, a, t); break;
    default: break;
    }
}
