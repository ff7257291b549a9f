/* What the machine allows at most, measured: the roofs that speed is held against. */
#ifndef LULL_DEVICE_MEASURE_H
#define LULL_DEVICE_MEASURE_H

#include "cpu.h"
#include "error.h"

typedef struct lull_roofs {
    int n_threads;
    double read_bytes_s; /* reading memory far beyond the caches */
    double f32_fma_s;    /* fused multiply-adds of f32 */
    double int8_mac_s;   /* exact products of int8, summed, with the instructions of the level */
} lull_roofs;

/* One result for each of n_threads [n], in out [n]. A rate is the best of several passes in a fifth
 * of a second or so, all threads together. Takes 128 MiB for a while, or more where caches are
 * large; at most 1 GiB.
 *   LULL_ENOMEM, LULL_EIO (no thread could be made) */
LULL_NODISCARD lull_status lull_roofs_measure(lull_cpu_level level, const int *n_threads, int n,
                                              lull_roofs *out, lull_error *err);

#endif
