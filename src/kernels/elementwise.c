/* What is done row by row: norms, rotations, sums, the largest. Plain C whose loops run over 16 stripes or
 * lanes, so that a compiler turns them into vectors of any width without changing an operation. Compiled
 * once a CPU level with that level's flags; LULL_LEVEL is the suffix. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "levels.h"

enum { N_STRIPES = 16 };

static float stripes_sum(float *a)
{
    for (int n = N_STRIPES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) a[i] = a[i] + a[i + n];
    return a[0];
}

void LULL_AT_LEVEL(rms_norm)(const float *x, const float *w, int n, float eps, float *y)
{
    float sum[N_STRIPES] = {0};
    int i = 0;
    for (; i + N_STRIPES <= n; i += N_STRIPES)
        for (int k = 0; k < N_STRIPES; k++) sum[k] = fmaf(x[i + k], x[i + k], sum[k]);
    for (int k = 0; i + k < n; k++) sum[k] = fmaf(x[i + k], x[i + k], sum[k]);
    float r = 1.0f / sqrtf(stripes_sum(sum) / (float)n + eps);
    for (i = 0; i < n; i++) y[i] = (x[i] * r) * w[i];
}

void LULL_AT_LEVEL(rope)(float *x, const float *cs, int n_pairs, int is_neox, float scale)
{
    const float *sn = cs + n_pairs;
    if (is_neox) {
        for (int i = 0; i < n_pairs; i++) {
            float a = x[i], b = x[i + n_pairs];
            x[i] = fmaf(a, cs[i], -(b * sn[i])) * scale;
            x[i + n_pairs] = fmaf(a, sn[i], b * cs[i]) * scale;
        }
    } else {
        for (int i = 0; i < n_pairs; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = fmaf(a, cs[i], -(b * sn[i])) * scale;
            x[2 * i + 1] = fmaf(a, sn[i], b * cs[i]) * scale;
        }
    }
}

void LULL_AT_LEVEL(add)(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++) x[i] = x[i] + y[i];
}

/* A number of the same order as a finite float, -0 and 0 being one. */
static int32_t order_of(float x)
{
    int32_t bits;
    x = x + 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (bits >> 31 & INT32_MAX);
}

int32_t LULL_AT_LEVEL(top)(const float *x, int n)
{
    /* Infinities and NaN are beyond these. */
    const int32_t highest = order_of(0x1.fffffep127f), lowest = order_of(-0x1.fffffep127f);
    int32_t most[N_STRIPES], at[N_STRIPES] = {0};
    int32_t bad = 0;
    for (int k = 0; k < N_STRIPES; k++) most[k] = lowest - 1;
    int i = 0;
    for (; i + N_STRIPES <= n; i += N_STRIPES)
        for (int k = 0; k < N_STRIPES; k++) {
            int32_t order = order_of(x[i + k]);
            bad |= (order > highest) | (order < lowest);
            at[k] = order > most[k] ? i : at[k];
            most[k] = order > most[k] ? order : most[k];
        }
    for (int k = 0; i + k < n; k++) {
        int32_t order = order_of(x[i + k]);
        bad |= (order > highest) | (order < lowest);
        at[k] = order > most[k] ? i : at[k];
        most[k] = order > most[k] ? order : most[k];
    }
    int best = 0;
    for (int k = 1; k < N_STRIPES; k++)
        if (most[k] > most[best] || (most[k] == most[best] && at[k] + k < at[best] + best))
            best = k;
    return bad ? -1 : at[best] + best;
}
