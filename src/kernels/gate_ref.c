/* exp and gates in plain C: the specification that the other levels reproduce bit for bit. */
#include <math.h>
#include <string.h>

#include "levels.h"

static float bits_to_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* exp(x) = 2^n e^r with n = rint(x log2 e), |r| <= ln 2 / 2; the polynomial is that of Cephes
 * expf. */
float lull_exp_ref(float x)
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

void lull_gated_ref(lull_act act, const float *g, const float *u, int n, float *y)
{
    if (act == LULL_ACT_SILU) {
        for (int i = 0; i < n; i++) y[i] = g[i] / (1.0f + lull_exp_ref(-g[i])) * u[i];
    } else {
        for (int i = 0; i < n; i++) {
            float x = g[i], z = 0.7978845608f * fmaf(0.044715f * (x * x), x, x);
            y[i] = x / (1.0f + lull_exp_ref(-2.0f * z)) * u[i];
        }
    }
}
