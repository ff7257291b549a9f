/* What attention in plain C does in the same way whatever keys and values are. Only static inline
 * functions. */
#ifndef LULL_KERNELS_ATTENTION_REF_H
#define LULL_KERNELS_ATTENTION_REF_H

#include <math.h>

#include "kernels.h"
#include "kv_layout.h"

enum { PAGE = LULL_PAGE_POSITIONS };

/* The scores of a query, s [64], to probabilities in place: 0 outside lo .. hi-1. m and l, in/out:
 * the running maximum and sum (lull_attend_fn). Returns the factor for what was summed so far. */
static inline float softmax_page_ref(float *s, int lo, int hi, float *m, float *l)
{
    float top = *m, sum[16];
    for (int j = lo; j < hi; j++) top = s[j] > top ? s[j] : top;
    for (int j = 0; j < PAGE; j++) s[j] = j >= lo && j < hi ? lull_exp_ref(s[j] - top) : 0.0f;
    for (int k = 0; k < 16; k++) {
        sum[k] = s[k];
        for (int j = k + 16; j < PAGE; j += 16) sum[k] = sum[k] + s[j];
    }
    for (int n = 8; n > 0; n /= 2)
        for (int k = 0; k < n; k++) sum[k] = sum[k] + sum[k + n];
    float c = lull_exp_ref(*m - top);
    *l = fmaf(*l, c, sum[0]);
    *m = top;
    return c;
}

#endif
