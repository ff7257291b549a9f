/* Attention over one page in plain C: the specification that the other levels reproduce bit for
 * bit. */
#include "attention_ref.h"
#include "dtype.h"
#include "levels.h"

void lull_kv_store_ref(const float *x, int d, uint16_t *dst, int stride)
{
    for (int i = 0; i < d; i++) {
        float v = x[i] < 65504.0f ? x[i] : 65504.0f; /* also NaN */
        dst[(size_t)i * (size_t)stride] = lull_f32_to_f16(v > -65504.0f ? v : -65504.0f);
    }
}

static void attend_one(const lull_attend_args *a, int t)
{
    const float *q = a->q + (size_t)t * a->q_stride;
    float *o = a->o + (size_t)t * a->o_stride;
    int lo = a->lo[t], hi = a->hi[t];
    if (lo >= hi) return;
    float p[PAGE];
    for (int j = 0; j < PAGE; j++) {
        p[j] = 0;
        for (int i = 0; i < a->d; i++) p[j] = fmaf(q[i], lull_f16_to_f32(a->k[i * PAGE + j]), p[j]);
    }
    float c = softmax_page_ref(p, lo, hi, &a->m[t], &a->l[t]);
    for (int i = 0; i < a->d; i++) {
        o[i] = o[i] * c;
        for (int j = lo; j < hi; j++) o[i] = fmaf(p[j], lull_f16_to_f32(a->v[j * a->d + i]), o[i]);
    }
}

void lull_attend_ref(const lull_attend_args *a)
{
    for (int t = 0; t < a->n_q; t++) attend_one(a, t);
}

void lull_attend_join_ref(float *m, float *l, float *o, float m2, float l2, const float *o2, int d)
{
    if (m2 == -INFINITY) return;
    float top = *m > m2 ? *m : m2;
    float a = lull_exp_ref(*m - top), b = lull_exp_ref(m2 - top);
    *l = fmaf(*l, a, l2 * b);
    for (int i = 0; i < d; i++) o[i] = fmaf(o[i], a, o2[i] * b);
    *m = top;
}
