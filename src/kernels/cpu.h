/* CPU levels: which instructions the kernels may use. Detected from what the processor has and the
 * operating system saves; chosen by name. All levels compute the same bits (docs/numerics.md). */
#ifndef LULL_KERNELS_CPU_H
#define LULL_KERNELS_CPU_H

#include <stdbool.h>

#include "error.h"

/* Those of the architecture compiled for, in the order of the instructions that they need. */
typedef enum lull_cpu_level {
    LULL_CPU_REF, /* plain C: the specification */
#if defined(__x86_64__)
    LULL_CPU_AVX2,       /* AVX2, FMA, F16C */
    LULL_CPU_AVXVNNI,    /* AVX2 + AVX-VNNI; processors of AVX-512 may lack it */
    LULL_CPU_AVX512,     /* AVX2 + AVX-512 F, BW, DQ, VL */
    LULL_CPU_AVX512VNNI, /* + AVX-512 VNNI */
    LULL_CPU_AMX,        /* + AMX INT8, where Linux gives leave to use it; only by name */
#elif defined(__aarch64__)
    LULL_CPU_NEON, /* NEON with dot products (FEAT_DotProd) */
#endif
    LULL_CPU_N_LEVELS
} lull_cpu_level;

/* Whether this machine has a level; every machine has LULL_CPU_REF. */
bool lull_cpu_has(lull_cpu_level level);

/* Before the kernels of a level run, unless it is what lull_cpu_level_parse or lull_cpu_best gave:
 * false where the machine lacks it or the system refuses. For AMX this asks Linux for the use of
 * tiles, for all threads of the process and for good. May be called again. */
bool lull_cpu_enable(lull_cpu_level level);

/* The one that is used unless another is named: the last that this machine has, but for AMX, whose tile
 * unit loses to VNNI what its sums take on their way to the vectors, block by block (docs/performance.md). */
lull_cpu_level lull_cpu_best(void);
const char *lull_cpu_level_name(lull_cpu_level level);

/* The level for a name, enabled; NULL or "" means the best here.
 *   LULL_EINVAL       no such level (the names are listed)
 *   LULL_EUNSUPPORTED this machine lacks it, or the system does not let it be used */
LULL_NODISCARD lull_status lull_cpu_level_parse(const char *name, lull_cpu_level *out,
                                                lull_error *err);

/* "AMD EPYC 9004", or the board that the firmware names where processors do not; else "unknown".
 * Writes [cap]. */
void lull_cpu_brand(char *buf, int cap);

#endif
