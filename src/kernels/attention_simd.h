/* From the scores of a page to its probabilities, at the width of the level: what attention does in the
 * same way whatever keys and values are. Only static inline functions. */
#ifndef LULL_KERNELS_ATTENTION_SIMD_H
#define LULL_KERNELS_ATTENTION_SIMD_H

#include <math.h>

#include "kv_layout.h"
#include "simd.h"

enum { PAGE = LULL_PAGE_POSITIONS, N_VEC = PAGE / LANES };

enum { MOST_QUERIES = 16 }; /* that softmax_page takes at once; a multiple of LANES */

/* Scores of n <= MOST_QUERIES queries, s [n][64], to probabilities in place, of which query t sees
 * positions lo[t] .. hi[t]-1. m, l [n] in/out: running maxima and sums, as in lull_attend_fn. c
 * [MOST_QUERIES] out: the factors for what was summed so far; 1 for a query that sees nothing. Query by
 * query each of the three steps waits for the one before; over all queries there is always work. */
ALWAYS_INLINE void softmax_page(int n, float s[][PAGE], const int16_t *lo, const int16_t *hi,
                                float *m, float *l, float *c)
{
    float top[MOST_QUERIES], change[MOST_QUERIES] = {0};
    UNROLL for (int t = 0; t < n; t++)
    {
        int sees = lo[t] < hi[t], from = sees ? lo[t] : PAGE, to = sees ? hi[t] : PAGE;
        for (int j = 0; j < from; j++) s[t][j] = -INFINITY;
        for (int j = to; j < PAGE; j++) s[t][j] = -INFINITY;
        vf most = vf_all(m[t]);
        UNROLL for (int v = 0; v < N_VEC; v++) most = vf_max(most, vf_load(s[t] + v * LANES));
        top[t] = sees ? vf_top(most) : 0; /* of one that sees nothing: p = 0, c = 1 */
        change[t] = sees ? m[t] - top[t] : 0;
        m[t] = sees ? top[t] : m[t];
    }
    for (int t = 0; t < n; t += LANES) vf_store(c + t, vf_exp(vf_load(change + t)));
    UNROLL for (int t = 0; t < n; t++)
    {
        vf x[N_VEC];
        UNROLL for (int v = 0; v < N_VEC; v++)
        {
            x[v] = vf_exp(vf_sub(vf_load(s[t] + v * LANES), vf_all(top[t])));
            vf_store(s[t] + v * LANES, x[v]);
        }
        /* 16 stripes of 64 terms: vector v holds terms v LANES …, so stripes are sums of every (16 /
         * LANES)th vector. */
        UNROLL for (int v = 0; v < 16 / LANES; v++)
            UNROLL for (int u = v + 16 / LANES; u < N_VEC; u += 16 / LANES) x[v] =
                vf_add(x[v], x[u]);
        l[t] = fmaf(l[t], c[t], vf_fold(x));
    }
}

/* The positions that at least one of n queries sees: *from .. *to-1; none when *from > *to. */
ALWAYS_INLINE void seen_positions(int n, const int16_t *lo, const int16_t *hi, int *from, int *to)
{
    *from = PAGE;
    *to = 0;
    for (int t = 0; t < n; t++) {
        if (lo[t] >= hi[t]) continue;
        *from = lo[t] < *from ? lo[t] : *from;
        *to = hi[t] > *to ? hi[t] : *to;
    }
}

#endif
