/* Gates at the width of the level; the same as lull_gated_ref. */
#include "levels.h"
#include "simd.h"

ALWAYS_INLINE vf gate(lull_act act, vf g)
{
    vf z = vf_negate(g);
    if (act == LULL_ACT_GELU_TANH) {
        vf cube = vf_fma(vf_mul(vf_all(0.044715f), vf_mul(g, g)), g, g);
        z = vf_mul(vf_all(-2.0f), vf_mul(vf_all(0.7978845608f), cube));
    }
    return vf_div(g, vf_add(vf_all(1.0f), vf_exp(z)));
}

ALWAYS_INLINE void gate_all(lull_act act, const float *g, const float *u, int n, float *y)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, vf_mul(gate(act, vf_load(g + i)), vf_load(u + i)));
    if (i < n) lull_gated_ref(act, g + i, u + i, n - i, y + i);
}

void LULL_AT_LEVEL(gated)(lull_act act, const float *g, const float *u, int n, float *y)
{
    if (act == LULL_ACT_SILU)
        gate_all(LULL_ACT_SILU, g, u, n, y);
    else
        gate_all(LULL_ACT_GELU_TANH, g, u, n, y);
}
