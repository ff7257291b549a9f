#include "kernels.h"

#include <string.h>

#include "levels.h"

/* The two tables of a level. Q, D and W are the levels whose quantize, dot and wide (NULL: none) it takes, L
 * that of what is in floats, A that of attention over 8 bits. */
#define TABLES(id, Q, D, W, W16, L, A)                                                             \
    [id] = {[LULL_ACTIVATIONS_8] = {TABLE(id, LULL_ACTIVATIONS_8, Q, D, W, L, A)},                 \
            [LULL_ACTIVATIONS_16] = {TABLE(id, LULL_ACTIVATIONS_16, Q##_a16, D##_a16, W16, L, A)}}
#define TABLE(id, a, Q, D, W, L, A)                                                                \
    .level = id, .activations = a, .dot = lull_dot_##D, .wide = W, .quantize = lull_quantize_##Q,  \
    .rms_norm = lull_rms_norm_##L, .gated = lull_gated_##L, .rope = lull_rope_##L,                 \
    .add = lull_add_##L, .top = lull_top_##L, .kv_store = lull_kv_store_##L,                       \
    .attend = lull_attend_##L, .attend_join = lull_attend_join_##L,                                \
    .k_store_q8 = lull_k_store_q8_##A, .v_store_q8 = lull_v_store_q8_##A,                          \
    .query_q8 = lull_query_q8_##A, .attend_q8 = lull_attend_q8_##A

static const lull_kernels tables[LULL_CPU_N_LEVELS][LULL_ACTIVATIONS_N] = {
    TABLES(LULL_CPU_REF, ref, ref, NULL, NULL, ref, ref),
#if defined(__x86_64__)
    TABLES(LULL_CPU_AVX2, avx2, avx2, lull_wide_avx2, lull_wide_avx2_a16, avx2, avx2),
    TABLES(LULL_CPU_AVXVNNI, avx2, avxvnni, lull_wide_avxvnni, lull_wide_avxvnni_a16, avx2,
           avxvnni),
    TABLES(LULL_CPU_AVX512, avx512, avx512, lull_wide_avx512, lull_wide_avx512_a16, avx512, avx512),
    TABLES(LULL_CPU_AVX512VNNI, avx512, avx512vnni, lull_wide_avx512vnni, lull_wide_avx512vnni_a16,
           avx512, avx512vnni),
    /* Tiles multiply activations of 8 bits only. */
    TABLES(LULL_CPU_AMX, avx512, avx512vnni, lull_wide_amx, lull_wide_avx512vnni_a16, avx512,
           avx512vnni),
#elif defined(__aarch64__)
    TABLES(LULL_CPU_NEON, neon, neon, lull_wide_neon, lull_wide_neon_a16, neon, neon),
#endif
};

const lull_kernels *lull_kernels_of(lull_cpu_level level, lull_activations activations)
{
    return &tables[level][activations];
}
