#include "kernels.h"

#include <string.h>

#include "levels.h"

#define ELEMENTWISE(L)                                                                             \
    .quantize = lull_quantize_##L, .rms_norm = lull_rms_norm_##L, .gated = lull_gated_##L,         \
    .rope = lull_rope_##L, .add = lull_add_##L
#define ATTENTION(L)                                                                               \
    .kv_store = lull_kv_store_##L, .attend = lull_attend_##L, .attend_join = lull_attend_join_##L

#define ATTENTION_Q8(L)                                                                            \
    .k_store_q8 = lull_k_store_q8_##L, .v_store_q8 = lull_v_store_q8_##L,                          \
    .query_q8 = lull_query_q8_##L, .attend_q8 = lull_attend_q8_##L

static const lull_kernels tables[LULL_CPU_N_LEVELS] = {
    [LULL_CPU_REF] = {.level = LULL_CPU_REF,
                      .dot = lull_dot_ref,
                      ELEMENTWISE(ref),
                      ATTENTION(ref),
                      ATTENTION_Q8(ref)},
#if defined(__x86_64__)
    [LULL_CPU_AVX2] = {.level = LULL_CPU_AVX2,
                       .dot = lull_dot_avx2,
                       .wide = lull_wide_avx2,
                       ELEMENTWISE(avx2),
                       ATTENTION(avx2),
                       ATTENTION_Q8(avx2)},
    [LULL_CPU_AVX512] = {.level = LULL_CPU_AVX512,
                         .dot = lull_dot_avx512,
                         .wide = lull_wide_avx512,
                         ELEMENTWISE(avx512),
                         ATTENTION(avx512),
                         ATTENTION_Q8(avx512)},
    [LULL_CPU_AVX512VNNI] = {.level = LULL_CPU_AVX512VNNI,
                             .dot = lull_dot_avx512vnni,
                             .wide = lull_wide_avx512vnni,
                             ELEMENTWISE(avx512),
                             ATTENTION(avx512),
                             ATTENTION_Q8(avx512vnni)},
    [LULL_CPU_AMX] = {.level = LULL_CPU_AMX,
                      .dot = lull_dot_avx512vnni,
                      .wide = lull_wide_amx,
                      ELEMENTWISE(avx512),
                      ATTENTION(avx512),
                      ATTENTION_Q8(avx512vnni)},
#elif defined(__aarch64__)
    [LULL_CPU_NEON] = {.level = LULL_CPU_NEON,
                       .dot = lull_dot_neon,
                       .wide = lull_wide_neon,
                       ELEMENTWISE(neon),
                       ATTENTION(neon),
                       ATTENTION_Q8(neon)},
#endif
};

const lull_kernels *lull_kernels_of(lull_cpu_level level)
{
    return &tables[level];
}
