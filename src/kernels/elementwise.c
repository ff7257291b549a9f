/* What is done row by row: norms, gates, rotations, exp. Plain C whose
 * loops run over 16 stripes or lanes, so that a compiler turns them into vectors of any width
 * without changing an operation. Compiled once a CPU level with that level's flags; LULL_LEVEL is
 * the suffix. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "levels.h"

enum { N_STRIPES = 16 };

static float bits_to_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static float stripes_sum(float *a)
{
    for (int n = N_STRIPES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) a[i] = a[i] + a[i + n];
    return a[0];
}

/* exp(x) = 2^n e^r with n = rint(x log2 e), |r| <= ln 2 / 2; the polynomial is that of Cephes
 * expf. */
static inline float exp_canon(float x)
{
    float y = x > 88.0f ? 88.0f : x;
    float n = rintf(y * 1.44269504f);
    float r = fmaf(n, -0.693359375f, y);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    float e = fmaf(p, r * r, r) + 1.0f;
    /* n is in [-126, 127] unless the result is replaced below; the limits keep the conversion
     * defined. */
    float limited = n >= -126.0f ? n : -126.0f;
    float v = e * bits_to_float((uint32_t)((int)limited + 127) << 23);
    v = x < -87.0f ? 0.0f : v;
    return x != x ? x : v;
}

#ifdef LULL_LEVEL_IS_REF
float lull_exp_ref(float x)
{
    return exp_canon(x);
}
#endif

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

void LULL_AT_LEVEL(gated)(lull_act act, const float *g, const float *u, int n, float *y)
{
    if (act == LULL_ACT_SILU) {
        for (int i = 0; i < n; i++) y[i] = g[i] / (1.0f + exp_canon(-g[i])) * u[i];
    } else {
        for (int i = 0; i < n; i++) {
            float x = g[i], z = 0.7978845608f * fmaf(0.044715f * (x * x), x, x);
            y[i] = x / (1.0f + exp_canon(-2.0f * z)) * u[i];
        }
    }
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
