/* Formats of packed tiles at the width of the level: how codes are widened, and what becomes of the
 * integer sums of a block. What gemm_simd.c and gemm_amx.c share; only static inline functions. */
#ifndef LULL_KERNELS_GEMM_SIMD_H
#define LULL_KERNELS_GEMM_SIMD_H

#include "kernels.h"
#include "simd.h"

/* What the code below needs to know of a format; constants once inlined. */
typedef struct format {
    int n_bits; /* of a code */
    int offset, codes_bytes, block_bytes, super_bytes;
    int has_half_min;  /* f16 m beside f16 d */
    int is_super;      /* integer scales under f16 d of 256 columns */
    int has_super_min; /* … and minimums */
    int is_split;      /* scales of 16 columns: the halves of a block are summed apart */
    int is_wide;       /* codes lie there as bytes */
} format;

/* n_half, n_super: f16 a row beside each block and in front of a super-block. As the forms of pack.c. */
#define FORMAT(bits, code_offset, n_half, n_super, has_split)                                      \
    ((format){.n_bits = (bits),                                                                    \
              .offset = (code_offset),                                                             \
              .codes_bytes = 64 * (bits),                                                          \
              .block_bytes = 64 * (bits) + 32 * (n_half) + ((n_super) ? 32 : 0),                   \
              .super_bytes = 32 * (n_super),                                                       \
              .has_half_min = (n_half) == 2,                                                       \
              .is_super = (n_super) > 0,                                                           \
              .has_super_min = (n_super) == 2,                                                     \
              .is_split = (has_split),                                                             \
              .is_wide = (bits) == 8})
#define FORMAT_Q4_0 FORMAT(4, 8, 1, 0, 0)
#define FORMAT_Q4_1 FORMAT(4, 0, 2, 0, 0)
#define FORMAT_Q5_0 FORMAT(5, 16, 1, 0, 0)
#define FORMAT_Q5_1 FORMAT(5, 0, 2, 0, 0)
#define FORMAT_Q8_0 FORMAT(8, 128, 1, 0, 0)
#define FORMAT_Q2_K FORMAT(2, 0, 0, 2, 1)
#define FORMAT_Q3_K FORMAT(3, 4, 0, 1, 1)
#define FORMAT_Q4_K FORMAT(4, 0, 0, 2, 0)
#define FORMAT_Q5_K FORMAT(5, 0, 0, 2, 0)
#define FORMAT_Q6_K FORMAT(6, 32, 0, 1, 1)

/* Column group j, 0..7, of the rows at lane offset h (bytes): V_j of pack.h, codes widened to
 * bytes. */
ALWAYS_INLINE vi load_group(format f, const uint8_t *block, int h, int j)
{
    const uint8_t *p = block + h;
    if (f.is_wide) return vi_load(p + 64 * j);
    if (f.n_bits < 4) {
        vi low = vi_and(vi_shr16(vi_load(p + 64 * (j / 4)), 2 * (j % 4)), vi_all_bytes(3));
        if (f.n_bits == 2) return low;
        vi bit = vi_load(p + 128);
        bit = j < 2 ? vi_shl16(bit, 2 - j) : vi_shr16(bit, j - 2);
        return vi_or(low, vi_and(bit, vi_all_bytes(4)));
    }
    vi low = vi_load(p + 64 * (j % 4));
    low = vi_and(j < 4 ? low : vi_shr16(low, 4), vi_all_bytes(15));
    if (f.n_bits == 4) return low;
    if (f.n_bits == 5) {
        vi bit = vi_load(p + 256);
        bit = j < 4 ? vi_shl16(bit, 4 - j) : vi_shr16(bit, j - 4);
        return vi_or(low, vi_and(bit, vi_all_bytes(16)));
    }
    vi high = vi_load(p + 256 + 64 * (j / 4));
    high = j % 4 < 2 ? vi_shl16(high, 4 - 2 * (j % 4)) : vi_shr16(high, 2 * (j % 4) - 4);
    return vi_or(low, vi_and(high, vi_all_bytes(48)));
}

/* ---- wide tiles ------------------------------------------------------------------------------ */

/* The format of a wide tile: the same with codes as bytes, and filled up. */
ALWAYS_INLINE format wide_format(format f)
{
    format wide = f;
    wide.is_wide = 1;
    wide.codes_bytes = 8 * 64;
    wide.block_bytes = (f.block_bytes - f.codes_bytes + wide.codes_bytes + 63) / 64 * 64;
    wide.super_bytes = (f.super_bytes + 63) / 64 * 64;
    return wide;
}

ALWAYS_INLINE void widen_tile(format f, const uint8_t *tile, int n_cols, uint8_t *wide)
{
    format w = wide_format(f);
    for (int b = 0; b < n_cols / LULL_BLOCK_COLS; b++) {
        if (f.is_super && b % LULL_SUPER_BLOCKS == 0) {
            __builtin_memcpy(wide, tile, (size_t)f.super_bytes);
            tile += f.super_bytes;
            wide += w.super_bytes;
        }
        prefetch(tile + AHEAD_BYTES, f.block_bytes);
        for (int h = 0; h < 64; h += 4 * LANES)
            UNROLL for (int j = 0; j < 8; j++)
                vi_store(wide + h + 64 * j, load_group(f, tile, h, j));
        __builtin_memcpy(wide + w.codes_bytes, tile + f.codes_bytes,
                         (size_t)(f.block_bytes - f.codes_bytes));
        tile += f.block_bytes;
        wide += w.block_bytes;
    }
}

/* One pair of functions a format: dot_wide is the including file's own. */
#define WIDE(name)                                                                                 \
    static void widen_##name(const uint8_t *tile, int n_cols, uint8_t *wide)                       \
    {                                                                                              \
        widen_tile(FORMAT_##name, tile, n_cols, wide);                                             \
    }                                                                                              \
    static void dot_wide_##name(const uint8_t *wide, int n_tiles, const uint8_t *panel,            \
                                int n_cols, uint8_t *work, float *out)                             \
    {                                                                                              \
        dot_wide(FORMAT_##name, LULL_DTYPE_##name, wide, n_tiles, panel, n_cols, work, out);       \
    }
#define WIDE_ROW(name) [LULL_DTYPE_##name] = {widen_##name, dot_wide_##name}

/* ---- from integer sums to rows --------------------------------------------------------------- */

/* The scales of 16 or 8 rows: of the super-block, and of the block in hand. */
typedef struct block_scales {
    vf d, d_min;     /* f16 of a super-block */
    vf scale, min;   /* what sums and the sums of activations are multiplied by */
    vi whole[2];     /* integer scales of the halves of split formats */
    vi whole_min[2]; /* … and minimums */
} block_scales;

/* header: the f16 of a super-block; row: the first of the rows. */
ALWAYS_INLINE void load_super_scales(format f, const uint8_t *header, int row, block_scales *s)
{
    s->d = vf_from_half((const uint16_t *)header + row);
    if (f.has_super_min) s->d_min = vf_from_half((const uint16_t *)(header + 32) + row);
}

/* at: what follows the codes of a block. */
ALWAYS_INLINE void load_block_scales(format f, const uint8_t *at, int row, block_scales *s)
{
    if (f.is_split) {
        UNROLL for (int i = 0; i < 2; i++)
        {
            if (f.has_super_min) {
                vi both = vi_from_u8(at + 16 * i + row);
                s->whole[i] = vi_and(both, vi_all(15));
                s->whole_min[i] = vi_shr16(both, 4);
            } else {
                s->whole[i] = vi_from_i8(at + 16 * i + row);
            }
        }
    } else if (f.is_super) {
        s->scale = vf_mul(s->d, vi_to_float(vi_from_u8(at + row)));
        s->min = vf_negate(vf_mul(s->d_min, vi_to_float(vi_from_u8(at + 16 + row))));
    } else {
        s->scale = vf_from_half((const uint16_t *)at + row);
        if (f.has_half_min) s->min = vf_from_half((const uint16_t *)(at + 32) + row);
    }
}

/* What a token's block adds: sum is the integer sum over the block, that of split formats with its
 * scales. a, a_sum: its s and sm; neg0, neg1: minus the sums of its halves. */
ALWAYS_INLINE vf add_block(format f, const block_scales *s, vi sum, float a, float a_sum,
                           int32_t neg0, int32_t neg1, vf acc)
{
    if (!f.is_split) {
        acc = vf_fma(vi_to_float(sum), vf_mul(s->scale, vf_all(a)), acc);
        if (f.has_half_min || f.has_super_min) acc = vf_fma(s->min, vf_all(a_sum), acc);
        return acc;
    }
    acc = vf_fma(vi_to_float(sum), vf_mul(s->d, vf_all(a)), acc);
    if (!f.has_super_min) return acc;
    vi m = vi_add(vi_mul(s->whole_min[0], vi_all(neg0)), vi_mul(s->whole_min[1], vi_all(neg1)));
    return vf_fma(vi_to_float(m), vf_mul(s->d_min, vf_all(a)), acc);
}

#endif
