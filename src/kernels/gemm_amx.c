/* Wide tiles times panels with AMX: the tile unit makes the exact integer sums of a block for 12 tokens
 * and 16 rows at once; scales and the order of rounding are those of all levels (gemm_simd.h).
 *
 * The codes of a block are 8 rows of 64 bytes as the tile unit wants its second operand, the low plane
 * of a panel is [12][32], its first. The high plane holds outlying groups alone; it is spread to the same
 * form, zero elsewhere, once a panel. Tiles are configured for each call and given back after it: other
 * code of the thread may use them in its own way. */
#include <immintrin.h>
#include <string.h>

#include "gemm_simd.h"
#include "levels.h"

enum { T = LULL_PANEL_MAX, SUMS = T * LULL_TILE_ROWS };

/* Tile registers, by number, as the intrinsics paste them. Four of sums: of the low and high plane of a
 * weight tile, then those of the next weight tile, or of the second half of a block. Then the planes of
 * the activations, and the codes of two weight tiles. */
#define LOW0 0
#define HIGH0 1
#define LOW1 2
#define HIGH1 3
#define X_LOW 4
#define X_HIGH 5
#define CODES0 6
#define CODES1 7

/* Intel SDM vol. 1, 18.2: what ldtilecfg reads. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t n_rows[16];
} tile_config;

/* n_cols of activations at once: 32, or 16 when halves are summed apart. */
static void configure_tiles(int n_cols)
{
    tile_config c = {.palette = 1};
    for (int i = LOW0; i <= HIGH1; i++) {
        c.n_rows[i] = T;
        c.row_bytes[i] = 4 * LULL_TILE_ROWS;
    }
    for (int i = X_LOW; i <= X_HIGH; i++) {
        c.n_rows[i] = T;
        c.row_bytes[i] = (uint16_t)n_cols;
    }
    for (int i = CODES0; i <= CODES1; i++) {
        c.n_rows[i] = (uint8_t)(n_cols / 4);
        c.row_bytes[i] = 4 * LULL_TILE_ROWS;
    }
    /* The intrinsic of GCC 12 says that it reads 8 bytes only: the other stores would be dropped. */
    __asm__ volatile("" : : "r"(&c) : "memory");
    _tile_loadconfig(&c);
}

/* What of a panel's block is made once for all tiles: the high plane in the form of the low one, and
 * what takes the codes' offset off, for each half. */
typedef struct spread_block {
    int8_t high[T][LULL_BLOCK_COLS];
    int32_t shift[2][T];
} spread_block;
_Static_assert(sizeof(spread_block) == LULL_WIDE_WORK_BLOCK, "work holds one a block");

static void spread_panel(const uint8_t *panel, int n_blocks, int offset, spread_block *out)
{
    for (int b = 0; b < n_blocks; b++, panel += LULL_PANEL_BLOCK * T, out++) {
        memset(out->high, 0, sizeof out->high);
        for (int i = 0; i < 2; i++)
            for (int t = 0; t < T; t++) {
                int32_t group, neg;
                memcpy(&group, panel + LULL_PANEL_GROUP * T + 4 * (i * T + t), 4);
                memcpy(&neg, panel + LULL_PANEL_NEG * T + 4 * (i * T + t), 4);
                memcpy(&out->high[t][group / 16], panel + LULL_PANEL_HIGH * T + 4 * (i * T + t), 4);
                out->shift[i][t] = neg * offset;
            }
    }
}

/* Sums of a block of two weight tiles; of formats with split scales those of the halves of one. low
 * [12][32]; codes [8][64]. */
ALWAYS_INLINE void sum_block(format f, const uint8_t *codes0, const uint8_t *codes1,
                             const uint8_t *low, const spread_block *x, int32_t sums[4][SUMS])
{
    _tile_loadd(X_LOW, low, LULL_BLOCK_COLS);
    _tile_loadd(CODES0, codes0, 64);
    _tile_loadd(X_HIGH, x->high, LULL_BLOCK_COLS);
    _tile_loadd(CODES1, codes1, 64);
    _tile_zero(LOW0);
    _tile_zero(HIGH0);
    _tile_zero(LOW1);
    _tile_zero(HIGH1);
    _tile_dpbsud(LOW0, X_LOW, CODES0);
    _tile_dpbsud(HIGH0, X_HIGH, CODES0);
    if (f.is_split) {
        _tile_loadd(X_LOW, low + LULL_BLOCK_COLS / 2, LULL_BLOCK_COLS);
        _tile_loadd(X_HIGH, x->high[0] + LULL_BLOCK_COLS / 2, LULL_BLOCK_COLS);
    }
    _tile_dpbsud(LOW1, X_LOW, CODES1);
    _tile_dpbsud(HIGH1, X_HIGH, CODES1);
    _tile_stored(LOW0, sums[LOW0], 64);
    _tile_stored(HIGH0, sums[HIGH0], 64);
    _tile_stored(LOW1, sums[LOW1], 64);
    _tile_stored(HIGH1, sums[HIGH1], 64);
}

ALWAYS_INLINE vi join_planes(const int32_t *low, const int32_t *high, int k)
{
    return vi_add(vi_load(low + k * LULL_TILE_ROWS), vi_shl(vi_load(high + k * LULL_TILE_ROWS), 7));
}

/* A weight tile on its way: its next scales, and the sums of its rows. */
typedef struct walk {
    const uint8_t *at;
    block_scales scales;
    vf acc[T];
} walk;

/* What the sums of block b add to the rows of a weight tile. which: its place among two. */
ALWAYS_INLINE void add_sums(format f, walk *w, int b, int which, const uint8_t *px,
                            const spread_block *x, int32_t sums[4][SUMS])
{
    if (f.is_super && b % LULL_SUPER_BLOCKS == 0) {
        load_super_scales(f, w->at, 0, &w->scales);
        w->at += f.super_bytes;
    }
    load_block_scales(f, w->at + f.codes_bytes, 0, &w->scales);
    w->at += f.block_bytes;
    const float *s = (const float *)(px + LULL_PANEL_S * T), *sm = s + T;
    const int32_t *neg = (const int32_t *)(px + LULL_PANEL_NEG * T);
    UNROLL for (int k = 0; k < T; k++)
    {
        vi sum;
        if (f.is_split) {
            vi first = join_planes(sums[LOW0], sums[HIGH0], k);
            vi second = join_planes(sums[LOW1], sums[HIGH1], k);
            if (f.offset) {
                first = vi_add(first, vi_all(x->shift[0][k]));
                second = vi_add(second, vi_all(x->shift[1][k]));
            }
            sum = vi_add(vi_mul(first, w->scales.whole[0]), vi_mul(second, w->scales.whole[1]));
        } else {
            sum = join_planes(sums[2 * which], sums[2 * which + 1], k);
            if (f.offset) sum = vi_add(sum, vi_all(x->shift[0][k] + x->shift[1][k]));
        }
        w->acc[k] = add_block(f, &w->scales, sum, s[k], sm[k], neg[k], neg[T + k], w->acc[k]);
    }
}

/* One weight tile, or two: tile and tile1; out and out1. The tile unit sums a block while the sums of
 * the one before are used. */
ALWAYS_INLINE void dot_tiles(format f, int n, const uint8_t *tile, const uint8_t *tile1,
                             const uint8_t *panel, const spread_block *x, int n_blocks, float *out,
                             float *out1)
{
    _Alignas(64) int32_t sums[2][4][SUMS];
    walk w[2] = {{.at = tile, .scales = {.d = vf_zero(), .d_min = vf_zero()}},
                 {.at = tile1, .scales = {.d = vf_zero(), .d_min = vf_zero()}}};
    UNROLL for (int k = 0; k < T; k++) w[0].acc[k] = w[1].acc[k] = vf_zero();
    size_t at = 0; /* of the codes of block b */
    for (int b = 0; b <= n_blocks; b++, at += (size_t)f.block_bytes) {
        if (b < n_blocks) {
            if (f.is_super && b % LULL_SUPER_BLOCKS == 0) at += (size_t)f.super_bytes;
            const uint8_t *codes1 = f.is_split ? tile + at + 4 * 64 : tile1 + at;
            sum_block(f, tile + at, codes1, panel + (size_t)b * LULL_PANEL_BLOCK * T, &x[b],
                      sums[b % 2]);
        }
        if (b == 0) continue;
        const uint8_t *px = panel + (size_t)(b - 1) * LULL_PANEL_BLOCK * T;
        UNROLL for (int i = 0; i < n; i++)
            add_sums(f, &w[i], b - 1, i, px, &x[b - 1], sums[(b - 1) % 2]);
    }
    UNROLL for (int k = 0; k < T; k++)
    {
        vf_store(out + k * LULL_TILE_ROWS, w[0].acc[k]);
        if (n == 2) vf_store(out1 + k * LULL_TILE_ROWS, w[1].acc[k]);
    }
}

ALWAYS_INLINE void dot_wide(format packed, lull_dtype t, const uint8_t *wide, int n_tiles,
                            const uint8_t *panel, int n_cols, uint8_t *work, float *out)
{
    format f = wide_format(packed);
    int n_blocks = n_cols / LULL_BLOCK_COLS, i = 0;
    size_t tile_bytes = lull_wide_tile_bytes(t, n_cols);
    spread_block *x = (spread_block *)work;
    spread_panel(panel, n_blocks, f.offset, x);
    configure_tiles(f.is_split ? LULL_BLOCK_COLS / 2 : LULL_BLOCK_COLS);
    for (; !f.is_split && i + 2 <= n_tiles; i += 2, wide += 2 * tile_bytes, out += 2 * SUMS)
        dot_tiles(f, 2, wide, wide + tile_bytes, panel, x, n_blocks, out, out + SUMS);
    for (; i < n_tiles; i++, wide += tile_bytes, out += SUMS)
        dot_tiles(f, 1, wide, wide, panel, x, n_blocks, out, out);
    _tile_release();
}

WIDE(Q4_0)
WIDE(Q4_1)
WIDE(Q5_0)
WIDE(Q5_1)
WIDE(Q8_0)
WIDE(Q2_K)
WIDE(Q3_K)
WIDE(Q4_K)
WIDE(Q5_K)
WIDE(Q6_K)

const lull_wide_kernels LULL_AT_LEVEL(wide)[LULL_DTYPE_N] = {
    WIDE_ROW(Q4_0), WIDE_ROW(Q4_1), WIDE_ROW(Q5_0), WIDE_ROW(Q5_1), WIDE_ROW(Q8_0),
    WIDE_ROW(Q2_K), WIDE_ROW(Q3_K), WIDE_ROW(Q4_K), WIDE_ROW(Q5_K), WIDE_ROW(Q6_K),
};
