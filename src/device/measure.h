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

/* A gauge reads the roofs again and again, so that what a moment allowed can be set beside what was
 * reached at that moment: on shared machines the rates change from second to second. It holds
 * threads of its own, and 128 MiB of memory or more where caches are large, at most 1 GiB. */
typedef struct lull_gauge lull_gauge;

/* *out is owned. LULL_ENOMEM, LULL_EIO (no thread could be made). */
LULL_NODISCARD lull_status lull_gauge_new(lull_cpu_level level, int n_threads, lull_gauge **out,
                                          lull_error *err);
void lull_gauge_free(lull_gauge *g); /* accepts NULL */
/* The rates of now, the best of passes that take some 30 ms in all. Evicts caches. */
lull_roofs lull_gauge_read(lull_gauge *g);

/* One result for each of n_threads [n], in out [n]: the best of what a gauge reads in half a
 * second or so, all threads together.
 *   LULL_ENOMEM, LULL_EIO (no thread could be made) */
LULL_NODISCARD lull_status lull_roofs_measure(lull_cpu_level level, const int *n_threads, int n,
                                              lull_roofs *out, lull_error *err);

#endif
