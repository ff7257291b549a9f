/* Names of the kernels of each level. A source that serves several levels is compiled once for
 * each, with LULL_LEVEL set to the suffix: LULL_AT_LEVEL(add) is lull_add_avx2 there. A level
 * without a kernel of its own takes another's: kernels.c says whose. Kernels of activations of 16 bits
 * have a16 behind the level. */
#ifndef LULL_KERNELS_LEVELS_H
#define LULL_KERNELS_LEVELS_H

#include "kernels.h"

#define LULL_JOIN_(a, b) a##_##b
#define LULL_JOIN(a, b) LULL_JOIN_(a, b)
#define LULL_AT_LEVEL(name) LULL_JOIN(lull_##name, LULL_LEVEL)

#define LULL_ELEMENTWISE_KERNELS(L)                                                                \
    void lull_rms_norm_##L(const float *x, const float *w, int n, float eps, float *y);            \
    void lull_rope_##L(float *x, const float *cs, int n_pairs, int is_neox, float scale);          \
    void lull_add_##L(float *x, const float *y, int n);                                            \
    int32_t lull_top_##L(const float *x, int n);
#define LULL_ATTENTION_KERNELS(L)                                                                  \
    void lull_kv_store_##L(const float *x, int d, uint16_t *dst, int stride);                      \
    void lull_attend_##L(const lull_attend_args *a);                                               \
    void lull_attend_join_##L(float *m, float *l, float *o, float m2, float l2, const float *o2,   \
                              int d);
#define LULL_ATTENTION_Q8_KERNELS(L)                                                               \
    void lull_k_store_q8_##L(const float *x, int d, int at, uint8_t *part);                        \
    void lull_v_store_q8_##L(const float *x, int d, int at, uint8_t *part);                        \
    void lull_query_q8_##L(const float *q, int d, uint8_t *record);                                \
    void lull_attend_q8_##L(const lull_attend_q8_args *a);
#define LULL_PANEL_KERNELS(L)                                                                      \
    void lull_quantize_##L(const float *x, int n, int n_tokens, int t, uint8_t *panel);
#define LULL_GATE_KERNELS(L)                                                                       \
    void lull_gated_##L(lull_act act, const float *g, const float *u, int n, float *y);
#define LULL_GEMM_KERNELS(L) extern const lull_dot_fn lull_dot_##L[LULL_DTYPE_N][LULL_PANEL_SIZES];
#define LULL_WIDE_KERNELS(L) extern const lull_wide_kernels lull_wide_##L[LULL_DTYPE_N];
#define LULL_ROOF_KERNELS(L)                                                                       \
    uint32_t lull_roof_read_##L(const uint8_t *p, size_t n_bytes);                                 \
    float lull_roof_fma_##L(size_t n_rounds);                                                      \
    uint32_t lull_roof_multiply_##L(size_t n_rounds);

/* What computes in floats or makes panels of them, and what multiplies integers: levels have the one set,
 * the other, or both. The plain C widens nothing, and its roof is in roof.c. */
#define LULL_FLOAT_KERNELS(L)                                                                      \
    LULL_ELEMENTWISE_KERNELS(L)                                                                    \
    LULL_ATTENTION_KERNELS(L)                                                                      \
    LULL_GATE_KERNELS(L)                                                                           \
    LULL_PANEL_KERNELS(L)                                                                          \
    LULL_PANEL_KERNELS(L##_a16)
#define LULL_INTEGER_KERNELS(L)                                                                    \
    LULL_ATTENTION_Q8_KERNELS(L)                                                                   \
    LULL_GEMM_KERNELS(L)                                                                           \
    LULL_GEMM_KERNELS(L##_a16)                                                                     \
    LULL_WIDE_KERNELS(L)                                                                           \
    LULL_WIDE_KERNELS(L##_a16)                                                                     \
    LULL_ROOF_KERNELS(L)

LULL_FLOAT_KERNELS(ref)
LULL_ATTENTION_Q8_KERNELS(ref)
LULL_GEMM_KERNELS(ref)
LULL_GEMM_KERNELS(ref_a16)
#if defined(__x86_64__)
LULL_FLOAT_KERNELS(avx2)
LULL_INTEGER_KERNELS(avx2)
LULL_INTEGER_KERNELS(avxvnni)
LULL_FLOAT_KERNELS(avx512)
LULL_INTEGER_KERNELS(avx512)
LULL_INTEGER_KERNELS(avx512vnni)
LULL_WIDE_KERNELS(amx)
#elif defined(__aarch64__)
LULL_FLOAT_KERNELS(neon)
LULL_INTEGER_KERNELS(neon)
#endif

#endif
