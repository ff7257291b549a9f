/* From the scores of a page to its probabilities, at the width of the level: what attention does in the
 * same way whatever keys and values are. Only static inline functions. */
#ifndef LULL_KERNELS_ATTENTION_SIMD_H
#define LULL_KERNELS_ATTENTION_SIMD_H

#include <math.h>

#include "simd.h"

enum { PAGE = 64, N_VEC = PAGE / LANES };

/* Scores of one query to probabilities in place; returns the factor for what was summed so far. */
ALWAYS_INLINE float soften(float *s, int lo, int hi, float *m, float *l)
{
    if (lo >= hi) {
        UNROLL for (int v = 0; v < N_VEC; v++) vf_store(s + v * LANES, vf_zero());
        return 1.0f;
    }
    for (int j = 0; j < lo; j++) s[j] = -INFINITY;
    for (int j = hi; j < PAGE; j++) s[j] = -INFINITY;
    vf x[N_VEC], top = vf_all(*m);
    UNROLL for (int v = 0; v < N_VEC; v++)
    {
        x[v] = vf_load(s + v * LANES);
        top = vf_max(top, x[v]);
    }
    float new_m = vf_top(top);
    UNROLL for (int v = 0; v < N_VEC; v++)
    {
        x[v] = vf_exp(vf_sub(x[v], vf_all(new_m)));
        vf_store(s + v * LANES, x[v]);
    }
    /* 16 stripes of 64 terms: vector v holds terms v LANES …, so stripes are sums of every (16 /
     * LANES)th vector. */
    vf stripes[16 / LANES];
    UNROLL for (int v = 0; v < 16 / LANES; v++)
    {
        stripes[v] = x[v];
        UNROLL for (int u = v + 16 / LANES; u < N_VEC; u += 16 / LANES) stripes[v] =
            vf_add(stripes[v], x[u]);
    }
    float c = vf_first(vf_exp(vf_all(*m - new_m)));
    *l = fmaf(*l, c, vf_fold(stripes));
    *m = new_m;
    return c;
}

#endif
