/* Attention over one page at the width of the level. Scores run down lanes of positions and sums
 * down lanes of dimensions, so that each value has the order of operations of attention_ref.c.
 * Several queries share what is loaded; when there are many, the page is widened to f32 once. */
#include <math.h>

#include "attention_simd.h"
#include "levels.h"

enum {
    /* Registers: queries × vectors of accumulators, the loaded vectors and a broadcast. */
    GROUP = 6,                         /* queries at once */
    WIDTH = N_REGISTERS == 32 ? 4 : 2, /* vectors of positions or dimensions at once */
    STEP = WIDTH * LANES,              /* lanes of those: 64 or 16 */
    WIDEN_FROM = 2 * GROUP + 1         /* queries for which widening the page pays */
};

void LULL_AT_LEVEL(kv_store)(const float *x, int d, uint16_t *dst, int stride)
{
    vf top = vf_all(65504.0f);
    uint16_t half[LANES];
    int i = 0;
    for (; i + LANES <= d; i += LANES) {
        vf v = vf_max(vf_min(vf_load(x + i), top), vf_negate(top)); /* a NaN becomes top */
        if (stride == 1) {
            vf_to_half(dst + i, v);
            continue;
        }
        vf_to_half(half, v);
        for (int k = 0; k < LANES; k++) dst[(size_t)(i + k) * (size_t)stride] = half[k];
    }
    if (i < d) lull_kv_store_ref(x + i, d - i, dst + (size_t)i * (size_t)stride, stride);
}

/* A page's K or V as f16 in the page, or widened in the work area. Pages lie far apart in memory,
 * where the processor does not guess what comes next: the same place of the next page is fetched
 * while this one is read. It goes to the second-level cache: in the first, two pages crowd each
 * other out, and too few fetches are under way at once. */
typedef struct plane {
    const uint16_t *half, *next;
    const float *wide;
} plane;

ALWAYS_INLINE vf load_plane(plane p, int is_wide, size_t i)
{
    return is_wide ? vf_load(p.wide + i) : vf_from_half(p.half + i);
}

/* s[n][64]: the chain over the head dimension for n queries at all positions. */
ALWAYS_INLINE void scores(int n, int is_wide, const float *q, size_t q_stride, plane k, int d,
                          float s[][PAGE])
{
    for (int j = 0; j < PAGE; j += STEP) {
        vf acc[GROUP][WIDTH];
        UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < WIDTH; w++) acc[t][w] =
            vf_zero();
        for (int i = 0; i < d; i++) {
            vf key[WIDTH];
            if (!is_wide) prefetch(k.next + i * PAGE + j, STEP * 2);
            UNROLL for (int w = 0; w < WIDTH; w++) key[w] =
                load_plane(k, is_wide, (size_t)(i * PAGE + j + w * LANES));
            UNROLL for (int t = 0; t < n; t++)
            {
                vf x = vf_all(q[(size_t)t * q_stride + (size_t)i]);
                UNROLL for (int w = 0; w < WIDTH; w++) acc[t][w] = vf_fma(x, key[w], acc[t][w]);
            }
        }
        UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < WIDTH; w++)
            vf_store(s[t] + j + w * LANES, acc[t][w]);
    }
}

/* o = o c, then the chain over positions lo .. hi-1, for n queries. Positions outside a query's
 * own range have p = 0. */
ALWAYS_INLINE void sums(int n, int width, int is_wide, float p[][PAGE], const float *c, int lo,
                        int hi, plane v, int d, int i, float *o, size_t o_stride)
{
    vf acc[GROUP][WIDTH];
    UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < width; w++) acc[t][w] =
        vf_mul(vf_load(o + (size_t)t * o_stride + i + w * LANES), vf_all(c[t]));
    for (int j = lo; j < hi; j++) {
        vf value[WIDTH];
        if (!is_wide) prefetch(v.next + j * d + i, width * LANES * 2);
        UNROLL for (int w = 0; w < width; w++) value[w] =
            load_plane(v, is_wide, (size_t)(j * d + i + w * LANES));
        UNROLL for (int t = 0; t < n; t++)
        {
            vf x = vf_all(p[t][j]);
            UNROLL for (int w = 0; w < width; w++) acc[t][w] = vf_fma(x, value[w], acc[t][w]);
        }
    }
    UNROLL for (int t = 0; t < n; t++) UNROLL for (int w = 0; w < width; w++)
        vf_store(o + (size_t)t * o_stride + i + w * LANES, acc[t][w]);
}

ALWAYS_INLINE void attend_group(int n, int is_wide, const lull_attend_args *a, int t0, plane k,
                                plane v)
{
    _Alignas(64) float s[GROUP][PAGE];
    float c[MOST_QUERIES];
    int lo, hi;
    scores(n, is_wide, a->q + (size_t)t0 * a->q_stride, a->q_stride, k, a->d, s);
    softmax_page(n, s, a->lo + t0, a->hi + t0, a->m + t0, a->l + t0, c);
    seen_positions(n, a->lo + t0, a->hi + t0, &lo, &hi);
    float *o = a->o + (size_t)t0 * a->o_stride;
    int i = 0;
    for (; i + STEP <= a->d; i += STEP)
        sums(n, WIDTH, is_wide, s, c, lo, hi, v, a->d, i, o, a->o_stride);
    for (; i < a->d; i += LANES) sums(n, 1, is_wide, s, c, lo, hi, v, a->d, i, o, a->o_stride);
}

ALWAYS_INLINE void attend_groups(int is_wide, const lull_attend_args *a, plane k, plane v)
{
    int t = 0;
    for (; t + GROUP <= a->n_q; t += GROUP) attend_group(GROUP, is_wide, a, t, k, v);
    switch (a->n_q - t) {
    case 5: attend_group(5, is_wide, a, t, k, v); break;
    case 4: attend_group(4, is_wide, a, t, k, v); break;
    case 3: attend_group(3, is_wide, a, t, k, v); break;
    case 2: attend_group(2, is_wide, a, t, k, v); break;
    case 1: attend_group(1, is_wide, a, t, k, v); break;
    default: break;
    }
}

void LULL_AT_LEVEL(attend)(const lull_attend_args *a)
{
    plane k = {.half = a->k, .next = a->next_k}, v = {.half = a->v, .next = a->next_v};
    if (a->n_q < WIDEN_FROM) {
        attend_groups(0, a, k, v);
        return;
    }
    size_t n = (size_t)a->d * PAGE;
    float *wide = a->work;
    for (size_t i = 0; i < n; i += LANES) {
        vf_store(wide + i, vf_from_half(a->k + i));
        vf_store(wide + n + i, vf_from_half(a->v + i));
    }
    k.wide = wide;
    v.wide = wide + n;
    attend_groups(1, a, k, v);
}

void LULL_AT_LEVEL(attend_join)(float *m, float *l, float *o, float m2, float l2, const float *o2,
                                int d)
{
    if (m2 == -INFINITY) return;
    float top = *m > m2 ? *m : m2;
    vf a = vf_exp(vf_all(*m - top)), b = vf_exp(vf_all(m2 - top));
    *l = fmaf(*l, vf_first(a), l2 * vf_first(b));
    for (int i = 0; i < d; i += LANES)
        vf_store(o + i, vf_fma(vf_load(o + i), a, vf_mul(vf_load(o2 + i), b)));
    *m = top;
}
