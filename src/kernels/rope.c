/* Angles of rotary embeddings in binary64, by polynomials of our own, so that no C library is on
 * the path to logits. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

/* sin and cos of |r| <= pi/4: the minimax polynomials of fdlibm (k_sin.c, k_cos.c). */
static double sin_poly(double r)
{
    double z = r * r, p = 1.58969099521155010221e-10;
    p = fma(p, z, -2.50507602534068634195e-08);
    p = fma(p, z, 2.75573137070700676789e-06);
    p = fma(p, z, -1.98412698298579493134e-04);
    p = fma(p, z, 8.33333333332248946124e-03);
    p = fma(p, z, -1.66666666666666324348e-01);
    return fma(p * z, r, r);
}

static double cos_poly(double r)
{
    double z = r * r, p = -1.13596475577881948265e-11;
    p = fma(p, z, 2.08757232129817482790e-09);
    p = fma(p, z, -2.75573143513906633035e-07);
    p = fma(p, z, 2.48015872894767294178e-05);
    p = fma(p, z, -1.38888888888741095749e-03);
    p = fma(p, z, 4.16666666666666019037e-02);
    return fma(p * z, z, fma(-0.5, z, 1.0));
}

void lull_rope_angles(double pos, const double *inv_freq, int n_pairs, float mscale, float *cs)
{
    for (int i = 0; i < n_pairs; i++) {
        double x = pos * inv_freq[i];
        double k = rint(x * 0.63661977236758134308);       /* 2/pi */
        double r = fma(k, -1.57079632679489655800e+00, x); /* pi/2 in two parts */
        r = fma(k, -6.12323399573676603587e-17, r);
        double s = sin_poly(r), c = cos_poly(r);
        int64_t quadrant = (int64_t)k & 3;
        double cosine = quadrant & 1 ? s : c, sine = quadrant & 1 ? c : s;
        if (quadrant == 1 || quadrant == 2) cosine = -cosine;
        if (quadrant == 2 || quadrant == 3) sine = -sine;
        cs[i] = (float)cosine * mscale;
        cs[n_pairs + i] = (float)sine * mscale;
    }
}

/* ln(x) of a positive normal x = m 2^e, m in [sqrt 1/2, sqrt 2): 2 atanh((m - 1) / (m + 1)) + e ln
 * 2. */
double lull_log_canon(double x)
{
    uint64_t u;
    memcpy(&u, &x, 8);
    int e = (int)(u >> 52) - 1023;
    u = (u & 0x000fffffffffffff) | 0x3ff0000000000000;
    double m;
    memcpy(&m, &u, 8);
    if (m > 1.41421356237309514547) {
        m = m * 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, p = 0;
    for (int k = 12; k >= 0; k--) p = fma(p, z, 2.0 / (2 * k + 1));
    return fma((double)e, 0.69314718055994528623, p * s);
}

/* e^x for |x| < 700: 2^n times the Taylor polynomial of the rest. */
static double exp_canon64(double x)
{
    double n = rint(x * 1.44269504088896338700);
    double r = fma(n, -6.93147180559945286227e-01, x);
    r = fma(n, -2.31904681384629955842e-17, r);
    double term[16];
    term[0] = 1;
    for (int k = 1; k < 16; k++) term[k] = term[k - 1] / k;
    double p = term[15];
    for (int k = 14; k >= 0; k--) p = fma(p, r, term[k]);
    uint64_t u = (uint64_t)((int64_t)n + 1023) << 52;
    double scale;
    memcpy(&scale, &u, 8);
    return p * scale;
}

double lull_pow_canon(double base, double exponent)
{
    double x = exponent * lull_log_canon(base);
    if (!(x > -700)) return 0;
    return exp_canon64(x < 700 ? x : 700);
}
