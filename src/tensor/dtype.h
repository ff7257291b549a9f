/* Element types of stored tensors: names, block sizes and exact dequantisation. The block layouts
 * are those of GGUF (ggml's block_q4_0 … block_q6_K); docs/numerics.md shows each as a byte table.
 */
#ifndef LULL_TENSOR_DTYPE_H
#define LULL_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lull_dtype {
    LULL_DTYPE_F32,
    LULL_DTYPE_F16,
    LULL_DTYPE_BF16,
    LULL_DTYPE_Q4_0,
    LULL_DTYPE_Q4_1,
    LULL_DTYPE_Q5_0,
    LULL_DTYPE_Q5_1,
    LULL_DTYPE_Q8_0,
    LULL_DTYPE_Q2_K,
    LULL_DTYPE_Q3_K,
    LULL_DTYPE_Q4_K,
    LULL_DTYPE_Q5_K,
    LULL_DTYPE_Q6_K,
    LULL_DTYPE_N
} lull_dtype;

typedef struct lull_dtype_info {
    const char *name;     /* as in GGUF: "F32", "Q4_K" */
    uint32_t ggml_type;   /* the number in a GGUF tensor record */
    uint16_t block_elems; /* elements a block: 1, 32 or 256 */
    uint16_t block_bytes;
} lull_dtype_info;

const lull_dtype_info *lull_dtype_info_of(lull_dtype t);

/* From a GGUF type number; false when lull does not read that type. */
bool lull_dtype_from_ggml(uint32_t ggml_type, lull_dtype *out);

/* The name ggml gives a type number, also for types that lull does not read; NULL when unknown. */
const char *lull_dtype_ggml_name(uint32_t ggml_type);

/* Bytes of n elements; n is a multiple of block_elems. */
size_t lull_dtype_bytes(lull_dtype t, size_t n);

/* Dequantise n elements (a multiple of block_elems) of src (unaligned) to dst [n] f32, in f32
 * arithmetic with the order of operations of ggml's reference (dequantize_row_*). */
void lull_dequantize(lull_dtype t, const void *src, size_t n, float *dst);

/* IEEE 754 binary16 -> binary32, exact; binary32 -> binary16, round to nearest even, overflow to
 * infinity. */
float lull_f16_to_f32(uint16_t h);
uint16_t lull_f32_to_f16(float f);

#endif
