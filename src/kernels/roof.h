/* Loops that do nothing but read memory, or multiply, as fast as a CPU level can: what the machine
 * allows, so that the speed of real work can be held against it (measure.h).
 *
 * A round of fma or multiply is the arithmetic of one step of a matmul's inner loop at its
 * largest: 16 rows and 12 tokens, by 1 column in f32 or by 4 in int8, from registers. Results are
 * known beforehand; they show that the work was done. Any thread may call. */
#ifndef LULL_KERNELS_ROOF_H
#define LULL_KERNELS_ROOF_H

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"

enum {
    LULL_ROOF_FMAS = 16 * 12,         /* fused multiply-adds of f32 a round */
    LULL_ROOF_PRODUCTS = 4 * 16 * 12, /* products of int8, summed exactly in int32, a round */
    LULL_ROOF_READ_BYTES = 4096       /* read takes multiples of this */
};

typedef struct lull_roof_kernels {
    /* The sum of the 32-bit words of p [n_bytes], 64-aligned, modulo 2^32. */
    uint32_t (*read)(const uint8_t *p, size_t n_bytes);
    /* n_rounds LULL_ROOF_FMAS / 8, while that is exact in f32. */
    float (*fma)(size_t n_rounds);
    /* 15 n_rounds LULL_ROOF_PRODUCTS modulo 2^32; n_rounds is a multiple of 8. As the level
     * multiplies 4-bit weights: with vpdpbusd or sdot, else with vpmaddubsw, whose 16-bit sums are
     * widened every 8 products. */
    uint32_t (*multiply)(size_t n_rounds);
} lull_roof_kernels;

/* Static; for a level that this machine has. */
const lull_roof_kernels *lull_roof_kernels_of(lull_cpu_level level);

#endif
