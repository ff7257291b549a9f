/* Attention over keys and values of 8 bits in plain C: the specification that the other levels reproduce
 * bit for bit. */
#include <stdbool.h>
#include <string.h>

#include "attention_ref.h"
#include "dtype.h"
#include "levels.h"

enum { COLS = LULL_KV_Q8_COLS };

static float scale_at(const uint8_t *part, int d, int block, int at)
{
    uint16_t half;
    memcpy(&half, part + (size_t)d * PAGE + 2 * (size_t)(block * PAGE + at), sizeof half);
    return lull_f16_to_f32(half);
}

/* Codes of 32 values, q [32]; their scale. */
static uint16_t quantize_block(const float *x, int *q)
{
    float v[COLS], a = 0;
    for (int i = 0; i < COLS; i++) {
        v[i] = x[i] < 65504.0f ? x[i] : 65504.0f; /* also NaN */
        v[i] = v[i] > -65504.0f ? v[i] : -65504.0f;
        a = fabsf(v[i]) > a ? fabsf(v[i]) : a;
    }
    uint16_t half = lull_f32_to_f16(a / 127.0f);
    float s = lull_f16_to_f32(half), r = s > 0 ? 1.0f / s : 0;
    for (int i = 0; i < COLS; i++) {
        float c = rintf(v[i] * r);
        q[i] = (int)(c > 127.0f ? 127.0f : c < -127.0f ? -127.0f : c);
    }
    return half;
}

static void write_scale(uint8_t *part, int d, int block, int at, uint16_t half)
{
    memcpy(part + (size_t)d * PAGE + 2 * (size_t)(block * PAGE + at), &half, sizeof half);
}

void lull_k_store_q8_ref(const float *x, int d, int at, uint8_t *part)
{
    for (int b = 0; b < d / COLS; b++) {
        int q[COLS];
        write_scale(part, d, b, at, quantize_block(x + b * COLS, q));
        for (int i = 0; i < COLS; i++)
            part[((b * COLS + i) / 4 * PAGE + at) * 4 + i % 4] = (uint8_t)(q[i] + 128);
    }
}

void lull_v_store_q8_ref(const float *x, int d, int at, uint8_t *part)
{
    for (int b = 0; b < d / COLS; b++) {
        int q[COLS];
        write_scale(part, d, b, at, quantize_block(x + b * COLS, q));
        for (int i = 0; i < COLS; i++)
            part[(at / 4 * d + b * COLS + i) * 4 + at % 4] = (uint8_t)(int8_t)q[i];
    }
}

void lull_query_q8_ref(const float *q, int d, uint8_t *record)
{
    int8_t *high = (int8_t *)record, *low = high + d;
    int32_t *shift = (int32_t *)(record + 2 * d);
    float a = 0;
    for (int i = 0; i < d; i++) a = fabsf(q[i]) > a || q[i] != q[i] ? fabsf(q[i]) : a;
    bool is_ordinary = lull_is_ordinary(a);
    float r = is_ordinary ? LULL_TWO_PLANES_MAX / a : 0;
    float s = is_ordinary ? a / LULL_TWO_PLANES_MAX : lull_odd_scale(a);
    for (int b = 0; b < d / COLS; b++) {
        int32_t sum = 0;
        for (int i = b * COLS; i < (b + 1) * COLS; i++) {
            int32_t c = is_ordinary ? (int32_t)rintf(q[i] * r) : 0, over = (c + 64) >> 7;
            high[i] = (int8_t)over;
            low[i] = (int8_t)(c - 128 * over);
            sum += c;
        }
        shift[b] = -128 * sum;
    }
    memcpy(shift + d / COLS, &s, sizeof s);
}

/* The code of dimension i of a query: high and low plane together. */
static int query_code(const uint8_t *record, int d, int i)
{
    return 128 * ((const int8_t *)record)[i] + ((const int8_t *)record)[d + i];
}

static void attend_one(const lull_attend_q8_args *a, int t)
{
    int lo = a->lo[t], hi = a->hi[t], d = a->d;
    if (lo >= hi) return;
    const uint8_t *record = a->queries + (size_t)t * lull_query_q8_bytes(d);
    float *o = a->o + (size_t)t * a->o_stride, p[PAGE], q_scale;
    memcpy(&q_scale, record + 2 * d + 4 * (d / COLS), sizeof q_scale);
    for (int j = 0; j < PAGE; j++) {
        float acc = 0;
        for (int b = 0; b < d / COLS; b++) {
            int32_t sum = 0;
            for (int i = b * COLS; i < (b + 1) * COLS; i++)
                sum += query_code(record, d, i) * (a->k[(i / 4 * PAGE + j) * 4 + i % 4] - 128);
            acc = fmaf((float)sum, scale_at(a->k, d, b, j), acc);
        }
        p[j] = acc * q_scale;
    }
    float c = softmax_page_ref(p, lo, hi, &a->m[t], &a->l[t]);
    for (int b = 0; b < d / COLS; b++) {
        float w[PAGE], largest = 0;
        for (int j = 0; j < PAGE; j++) {
            w[j] = p[j] > 0 ? p[j] * scale_at(a->v, d, b, j) : 0;
            largest = w[j] > largest ? w[j] : largest;
        }
        bool is_there = largest >= 0x1p-100f;
        float r = is_there ? 16383.0f / largest : 0, step = is_there ? largest / 16383.0f : 0;
        for (int i = b * COLS; i < (b + 1) * COLS; i++) {
            int32_t sum = 0;
            for (int j = 0; j < PAGE; j++)
                sum += (int32_t)rintf(w[j] * r) * (int8_t)a->v[(j / 4 * d + i) * 4 + j % 4];
            o[i] = fmaf((float)sum, step, o[i] * c);
        }
    }
}

void lull_attend_q8_ref(const lull_attend_q8_args *a)
{
    for (int t = 0; t < a->n_q; t++) attend_one(a, t);
}
