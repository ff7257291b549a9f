#include "pack.h"

#include <string.h>

/* One row's block of 32 columns, widened. */
typedef struct block_codes {
    uint8_t code[LULL_BLOCK_COLS];
    uint8_t scale[2], min[2]; /* integer scales of 32 columns in [0], or of 16 each; as in the file */
} block_codes;

/* How a format is laid out in a tile. */
typedef struct pack_form {
    uint8_t n_bits; /* of a code: 2, 3, 4, 5, 6, 8 */
    uint8_t code_offset;
    uint8_t n_half;       /* f16 scales beside each block: d, or d and m; 0 for K formats */
    uint8_t n_super_half; /* f16 in front of a super-block */
    uint8_t scale_bytes;  /* integer scales a row and block */
} pack_form;

static const pack_form forms[LULL_DTYPE_N] = {
    [LULL_DTYPE_Q4_0] = {4, 8, 1, 0, 0},   [LULL_DTYPE_Q4_1] = {4, 0, 2, 0, 0},
    [LULL_DTYPE_Q5_0] = {5, 16, 1, 0, 0},  [LULL_DTYPE_Q5_1] = {5, 0, 2, 0, 0},
    [LULL_DTYPE_Q8_0] = {8, 128, 1, 0, 0}, [LULL_DTYPE_Q2_K] = {2, 0, 0, 2, 2},
    [LULL_DTYPE_Q3_K] = {3, 4, 0, 1, 2},   [LULL_DTYPE_Q4_K] = {4, 0, 0, 2, 2},
    [LULL_DTYPE_Q5_K] = {5, 0, 0, 2, 2},   [LULL_DTYPE_Q6_K] = {6, 32, 0, 1, 2},
};

int lull_code_offset(lull_dtype t)
{
    return forms[t].code_offset;
}

static size_t block_bytes(const pack_form *f)
{
    return (size_t)f->n_bits * 64 + (size_t)f->n_half * 32 + (size_t)f->scale_bytes * 16;
}

size_t lull_pack_tile_bytes(lull_dtype t, int n_cols)
{
    const pack_form *f = &forms[t];
    if (f->n_bits == 0) return (size_t)n_cols * LULL_TILE_ROWS * lull_dtype_info_of(t)->block_bytes;
    size_t n_blocks = (size_t)n_cols / LULL_BLOCK_COLS;
    return n_blocks * block_bytes(f) + n_blocks / LULL_SUPER_BLOCKS * f->n_super_half * 32;
}

static size_t round_up_64(size_t n)
{
    return (n + 63) / 64 * 64;
}

size_t lull_wide_tile_bytes(lull_dtype t, int n_cols)
{
    const pack_form *f = &forms[t];
    if (f->n_bits == 0) return 0;
    size_t n_blocks = (size_t)n_cols / LULL_BLOCK_COLS, codes_bytes = (size_t)f->n_bits * 64;
    size_t wide_bytes = round_up_64(block_bytes(f) - codes_bytes + LULL_BLOCK_COLS * LULL_TILE_ROWS);
    return n_blocks * wide_bytes +
           n_blocks / LULL_SUPER_BLOCKS * round_up_64((size_t)f->n_super_half * 32);
}

/* 6-bit scale i and minimum of Q4_K and Q5_K from their 12 packed bytes (ggml: get_scale_min_k4).
 */
static void scale_min_k4(const uint8_t *q, int i, uint8_t *scale, uint8_t *min)
{
    if (i < 4) {
        *scale = q[i] & 63;
        *min = q[i + 4] & 63;
    } else {
        *scale = (uint8_t)((q[i + 4] & 15) | (q[i - 4] >> 6) << 4);
        *min = (uint8_t)((q[i + 4] >> 4) | (q[i] >> 6) << 4);
    }
}

/* Block i, 0..7, of a row's super-block. */
static void read_super_block(lull_dtype t, const uint8_t *src, int i, block_codes *out)
{
    int half = i / 4, quarter = i % 4; /* the formats go by 128 columns, then by 32 */
    switch (t) {
    case LULL_DTYPE_Q2_K: /* scales[16], qs[64], d, dmin */
        for (int k = 0; k < 32; k++) out->code[k] = src[16 + 32 * half + k] >> (2 * quarter) & 3;
        out->scale[0] = src[2 * i];
        out->scale[1] = src[2 * i + 1];
        break;
    case LULL_DTYPE_Q3_K: /* hmask[32], qs[64], scales[12], d */
        for (int k = 0; k < 32; k++)
            out->code[k] =
                (uint8_t)((src[32 + 32 * half + k] >> (2 * quarter) & 3) | (src[k] >> i & 1) << 2);
        for (int k = 0; k < 2; k++) { /* 16 scales of 6 bits, biased by 32 */
            int s = 2 * i + k;
            const uint8_t *q = src + 96;
            int lo = s < 8 ? q[s] & 15 : q[s - 8] >> 4;
            int hi = q[8 + s % 4] >> (2 * (s / 4)) & 3;
            out->scale[k] = (uint8_t)((lo | hi << 4) - 32);
        }
        break;
    case LULL_DTYPE_Q4_K: /* d, dmin, scales[12], qs[128] */
        for (int k = 0; k < 32; k++)
            out->code[k] = src[16 + 32 * (i / 2) + k] >> (4 * (i % 2)) & 15;
        scale_min_k4(src + 4, i, &out->scale[0], &out->min[0]);
        break;
    case LULL_DTYPE_Q5_K: /* d, dmin, scales[12], qh[32], qs[128] */
        for (int k = 0; k < 32; k++)
            out->code[k] = (uint8_t)((src[48 + 32 * (i / 2) + k] >> (4 * (i % 2)) & 15) |
                                     (src[16 + k] >> i & 1) << 4);
        scale_min_k4(src + 4, i, &out->scale[0], &out->min[0]);
        break;
    default: /* Q6_K: ql[128], qh[64], scales[16], d */
        for (int k = 0; k < 32; k++)
            out->code[k] =
                (uint8_t)((src[64 * half + 32 * (quarter % 2) + k] >> (4 * (quarter / 2)) & 15) |
                          (src[128 + 32 * half + k] >> (2 * quarter) & 3) << 4);
        out->scale[0] = src[192 + 2 * i];
        out->scale[1] = src[192 + 2 * i + 1];
        break;
    }
}

/* A block of the formats without super-blocks: f16 d [, f16 m] [, u32 bit 4], then 4- or 8-bit
 * codes. */
static void read_block(lull_dtype t, const uint8_t *src, block_codes *out)
{
    const pack_form *f = &forms[t];
    const uint8_t *q = src + 2 * f->n_half;
    if (f->n_bits == 8) {
        for (int k = 0; k < 32; k++) out->code[k] = q[k] ^ 128;
        return;
    }
    const uint8_t *nibbles = f->n_bits == 5 ? q + 4 : q;
    for (int k = 0; k < 16; k++) {
        out->code[k] = nibbles[k] & 15;
        out->code[k + 16] = nibbles[k] >> 4;
    }
    if (f->n_bits == 5)
        for (int k = 0; k < 32; k++) out->code[k] |= (uint8_t)((q[k / 8] >> (k % 8) & 1) << 4);
}

/* Put one row's codes into the planes of a block. */
static void write_codes(int n_bits, const uint8_t code[LULL_BLOCK_COLS], int row, uint8_t *dst)
{
    for (int col = 0; col < LULL_BLOCK_COLS; col++) {
        int j = col / 4, at = 4 * row + col % 4;
        unsigned v = code[col];
        if (n_bits == 8) {
            dst[64 * j + at] = (uint8_t)v;
            continue;
        }
        uint8_t *rest = dst; /* the plane of the bits above the first plane's */
        if (n_bits >= 4) {
            dst[64 * (j % 4) + at] |= (uint8_t)((v & 15) << (4 * (j / 4)));
            rest += 256;
            v >>= 4;
        } else {
            dst[64 * (j / 4) + at] |= (uint8_t)((v & 3) << (2 * (j % 4)));
            rest += 128;
            v >>= 2;
        }
        if (n_bits == 6)
            rest[64 * (j / 4) + at] |= (uint8_t)(v << (2 * (j % 4)));
        else if (n_bits == 5 || n_bits == 3)
            rest[at] |= (uint8_t)(v << j);
    }
}

static void pack_float(const uint8_t *src, size_t row_bytes, int n_rows, int n_cols,
                       size_t elem_bytes, uint8_t *dst)
{
    for (int r = 0; r < n_rows; r++)
        for (int c = 0; c < n_cols; c++)
            memcpy(dst + ((size_t)c * LULL_TILE_ROWS + (size_t)r) * elem_bytes,
                   src + (size_t)r * row_bytes + (size_t)c * elem_bytes, elem_bytes);
}

void lull_pack_tile(lull_dtype t, const uint8_t *src, size_t row_bytes, int n_rows, int n_cols,
                    uint8_t *dst)
{
    const pack_form *f = &forms[t];
    const lull_dtype_info *info = lull_dtype_info_of(t);
    memset(dst, 0, lull_pack_tile_bytes(t, n_cols));
    if (f->n_bits == 0) {
        pack_float(src, row_bytes, n_rows, n_cols, info->block_bytes, dst);
        return;
    }
    bool is_super = f->n_super_half > 0;
    size_t codes_bytes = (size_t)f->n_bits * 64, packed_block = block_bytes(f);
    size_t super_bytes = (size_t)f->n_super_half * 32;
    for (int r = 0; r < n_rows; r++) {
        const uint8_t *row = src + (size_t)r * row_bytes;
        uint8_t *out = dst;
        for (int b = 0; b < n_cols / LULL_BLOCK_COLS; b++, out += packed_block) {
            block_codes codes = {0};
            const uint8_t *block =
                row + (size_t)(is_super ? b / LULL_SUPER_BLOCKS : b) * info->block_bytes;
            if (is_super) {
                if (b % LULL_SUPER_BLOCKS == 0) {
                    /* d and dmin stand first in Q4_K and Q5_K, last in the others. */
                    bool is_first = t == LULL_DTYPE_Q4_K || t == LULL_DTYPE_Q5_K;
                    const uint8_t *half =
                        is_first ? block : block + info->block_bytes - 2 * f->n_super_half;
                    for (int k = 0; k < f->n_super_half; k++)
                        memcpy(out + 32 * k + 2 * r, half + 2 * k, 2);
                    out += super_bytes;
                }
                read_super_block(t, block, b % LULL_SUPER_BLOCKS, &codes);
            } else {
                for (int k = 0; k < f->n_half; k++)
                    memcpy(out + codes_bytes + 32 * k + 2 * r, block + 2 * k, 2);
                read_block(t, block, &codes);
            }
            write_codes(f->n_bits, codes.code, r, out);
            if (is_super) {
                bool has_min = t == LULL_DTYPE_Q4_K || t == LULL_DTYPE_Q5_K;
                out[codes_bytes + (size_t)r] = codes.scale[0];
                out[codes_bytes + 16 + (size_t)r] = has_min ? codes.min[0] : codes.scale[1];
            }
        }
    }
}
