/* Packed weights: the form in which matrices are multiplied, at the width of their stored format.
 *
 * A matrix y = W x of n_rows × n_cols is cut into tiles of 16 rows. A tile is read front to back,
 * once, and one SIMD lane holds one row. Quantised tiles are a sequence of blocks of 32 columns;
 * the K formats put the scales of a super-block of 256 columns in front of its 8 blocks:
 *
 *   format       block: codes, then scales                               super-block header
 *   Q4_0         4-bit codes [256]                f16 d[16]              –
 *   Q4_1         4-bit codes [256]                f16 d[16], f16 m[16]   –
 *   Q5_0         4-bit codes [256], bit 4 [64]    f16 d[16]              –
 *   Q5_1         4-bit codes [256], bit 4 [64]    f16 d[16], f16 m[16]   –
 *   Q8_0         8-bit codes [512] (w + 128)      f16 d[16]              –
 *   Q2_K         2-bit codes [128]                u8 sm[2][16]           f16 d[16], f16 dmin[16]
 *   Q3_K         2-bit codes [128], bit 2 [64]    i8 s[2][16]            f16 d[16]
 *   Q4_K         4-bit codes [256]                u8 s[16], u8 m[16]     f16 d[16], f16 dmin[16]
 *   Q5_K         4-bit codes [256], bit 4 [64]    u8 s[16], u8 m[16]     f16 d[16], f16 dmin[16]
 *   Q6_K         4-bit codes [256], bits 4-5 [128]  i8 s[2][16]          f16 d[16]
 *
 * Codes are unsigned; a row's weight is d (code - offset) [+ m], with the offsets of code_offset.
 * Column group j, 0..7, is the 64-byte vector V_j of byte 4 r + c = row r, column 4 j + c. Planes
 * hold groups so:
 *   4-bit  vector i, 0..3: low nibble V_i, high nibble V_(i+4)
 *   2-bit  vector i, 0..1: bits 2f, 2f+1 are those of V_(4i+f)
 *   1-bit  one vector: bit j is that of V_j
 *   8-bit  vector j: V_j
 * In sm of Q2_K the low nibble is the scale, the high one the minimum, of 16 columns each, as in
 * the file.
 *
 * Float tiles (F32, F16, BF16) are [n_cols][16] elements. Rows past n_rows are zero. */
#ifndef LULL_KERNELS_PACK_H
#define LULL_KERNELS_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "dtype.h"

enum { LULL_TILE_ROWS = 16, LULL_BLOCK_COLS = 32, LULL_SUPER_BLOCKS = 8 };

/* Goes up when the bytes of a packed tile change meaning: old caches are then not used. */
enum { LULL_PACK_VERSION = 1 };

typedef struct lull_packed {
    lull_dtype dtype;
    int n_rows, n_cols;
    size_t tile_bytes;
    const uint8_t
        *data; /* [n_tiles][tile_bytes], 64-aligned; kept by whoever packed or mapped it */
} lull_packed;

static inline int lull_packed_n_tiles(const lull_packed *w)
{
    return (w->n_rows + LULL_TILE_ROWS - 1) / LULL_TILE_ROWS;
}

static inline size_t lull_packed_bytes(const lull_packed *w)
{
    return (size_t)lull_packed_n_tiles(w) * w->tile_bytes;
}

/* Bytes of one tile; a multiple of 32. n_cols is a multiple of the format's block. */
size_t lull_pack_tile_bytes(lull_dtype t, int n_cols);

/* Bytes of a tile whose codes are widened to bytes (kernels.h), a multiple of 64; 0 for floats. */
size_t lull_wide_tile_bytes(lull_dtype t, int n_cols);

/* Pack up to 16 rows. rows: src [n_rows][row_bytes] as stored in the file (unaligned); dst
 * [tile_bytes] out. */
void lull_pack_tile(lull_dtype t, const uint8_t *src, size_t row_bytes, int n_rows, int n_cols,
                    uint8_t *dst);

/* What a code stands for: weight = d (code - offset). */
int lull_code_offset(lull_dtype t);

#endif
