/* Matmul at the width of the level, of activations of LULL_ACTIVATION_BITS: one lane a row, so that
 * nothing is ever summed across lanes and a row's order of operations is that of gemm_ref.c. The body
 * is written once, with the format and the number of tokens as constants that the compiler folds; the
 * macros at the end make one function of each pair.
 *
 * The exact integer products are made with vpdpbusd or sdot where the level has it, else with
 * vpmaddubsw, whose 16-bit sums are added up as long as they cannot overflow. */
#include "gemm_simd.h"
#include "levels.h"
#include "panel.h"

/* Only vpdpbusd takes codes of 8 bits as they lie there. The other ways to multiply make them
 * signed, which takes their offset off; codes of fewer bits are the same either way. */
#if defined(HAS_DOT4) && !defined(DOT4_IS_SIGNED)
enum { MAKES_SIGNED = 0 };
#else
enum { MAKES_SIGNED = 1 };
#endif

ALWAYS_INLINE vi load_codes(format f, const uint8_t *group)
{
    vi w = vi_load(group);
    return f.n_bits == 8 && MAKES_SIGNED ? vi_xor(w, vi_all_bytes(128)) : w;
}

/* What is computed at once: n_t tokens from t0 of a panel of T, by n_v vectors of rows: those from lane
 * offset h (bytes) of a tile on, or, when a vector holds all rows of a tile, those of neighbouring
 * tiles. Sums are [n_t][n_v]. With 16 registers the integer sums of a patch fill them, and the rows'
 * accumulators stay in memory, which costs a load and a store a block. */
typedef struct patch {
    int T, t0, n_t, h, n_v;
    size_t tile_bytes;     /* from a tile to the next */
    const int32_t *shifts; /* of a wide tile: what takes offsets off, [n_cols / 32][2][T] */
    int has_shifts;
} patch;

/* Where vector v of rows begins: bytes into the codes of a group, bytes into scales and the first of its
 * rows there, and floats into the results. */
ALWAYS_INLINE size_t codes_of_rows(patch p, int v)
{
    return LANES == 16 ? p.tile_bytes * (size_t)v : (size_t)(4 * LANES * v);
}
ALWAYS_INLINE const uint8_t *tile_of_rows(patch p, const uint8_t *block, int v)
{
    return LANES == 16 ? block + p.tile_bytes * (size_t)v : block;
}
ALWAYS_INLINE int first_row(patch p, int v)
{
    return LANES == 16 ? 0 : p.h / 4 + LANES * v;
}
ALWAYS_INLINE int result_of_rows(patch p, int v)
{
    return LANES == 16 ? p.T * LULL_TILE_ROWS * v : first_row(p, v);
}

enum {
    PATCH_MAX = 12,
    TOKENS_AT_ONCE = N_REGISTERS == 16 ? 4 : 12, /* divides the larger panels */
    ACC_IN_MEMORY = N_REGISTERS == 16
};

/* The widened codes of a block, [8] groups, so that the groups that a token multiplies twice can be
 * found by number. Those of wide formats lie in the tile already. */
ALWAYS_INLINE const uint8_t *widen_groups(format f, patch p, const uint8_t *block, uint8_t *room)
{
    if (f.is_wide) return block + p.h;
    UNROLL for (int j = 0; j < 8; j++) UNROLL for (int v = 0; v < p.n_v; v++)
        vi_store(room + 64 * j + 4 * LANES * v, load_group(f, block, p.h + 4 * LANES * v, j));
    return room;
}

/* add_plane: sums of codes times a plane of activations over n_halves of a block, from half on.
 * is_first: sum is not added to, but set. Offsets are not taken off, but for those of load_codes. */
#if defined(HAS_DOT4)

ALWAYS_INLINE void add_plane(format f, patch p, const uint8_t *groups, const uint8_t *plane,
                             int half, int n_halves, int is_first, vi *sum)
{
    if (is_first) UNROLL for (int k = 0; k < p.n_t * p.n_v; k++) sum[k] = vi_zero();
    groups += 64 * 4 * half, plane += 4 * 4 * half;
    UNROLL for (int j = 0; j < 4 * n_halves; j++) UNROLL for (int v = 0; v < p.n_v; v++)
    {
        vi w = load_codes(f, groups + 64 * j + codes_of_rows(p, v));
        UNROLL for (int k = 0; k < p.n_t; k++) sum[k * p.n_v + v] =
            vi_dot4(sum[k * p.n_v + v], w, vi_all_fours(plane + 32 * (p.t0 + k) + 4 * j));
    }
}

#else

/* Signed weights of 8 bits would not stay within 16 with a pair of products of a byte. */
ALWAYS_INLINE vi mul_pairs(format f, vi w, vi x)
{
    if (f.n_bits != 8) return vi_mul_pairs(w, x);
    return vi_mul_pairs(vi_abs8(w), vi_sign8(x, w));
}

/* Compilers add what they know to be a sum of many up in a tree, for which there are too few
 * registers. They must not know. */
#define KEEP(x) __asm__("" : "+x"(x))

/* Sums of n groups from j0: of pairs in 16 bits, then widened. */
ALWAYS_INLINE void add_groups(format f, patch p, const uint8_t *groups, int j0, int n, int is_first,
                              const uint8_t *plane, vi *sum)
{
    vi part[PATCH_MAX];
    UNROLL for (int j = j0; j < j0 + n; j++)
    {
        vi w[2];
        UNROLL for (int v = 0; v < p.n_v; v++) w[v] =
            load_codes(f, groups + 64 * j + codes_of_rows(p, v));
        UNROLL for (int k = 0; k < p.n_t; k++)
        {
            vi x = vi_all_fours(plane + 32 * (p.t0 + k) + 4 * j);
            UNROLL for (int v = 0; v < p.n_v; v++)
            {
                vi product = mul_pairs(f, w[v], x), *to = &part[k * p.n_v + v];
                *to = j == j0 ? product : vi_add16(*to, product);
                KEEP(*to);
            }
        }
    }
    /* … and what comes after the sums is not loaded before them. */
    if (ACC_IN_MEMORY) __asm__ volatile("" : : : "memory");
    UNROLL for (int k = 0; k < p.n_t * p.n_v; k++)
    {
        vi widened = vi_widen_pairs(part[k], 1);
        sum[k] = is_first ? widened : vi_add(sum[k], widened);
    }
}

ALWAYS_INLINE void add_plane(format f, patch p, const uint8_t *groups, const uint8_t *plane,
                             int half, int n_halves, int is_first, vi *sum)
{
    /* A pair adds at most 2 · 127 · code: 15 · 254 · 8, 31 · 254 · 4 and 63 · 254 · 2 stay below
     * 32,768, and so does 128 · 254. */
    int n = f.n_bits <= 4 ? 8 : f.n_bits == 5 ? 4 : f.n_bits == 6 ? 2 : 1;
    if (n > 4 * n_halves) n = 4 * n_halves;
    UNROLL for (int j = 0; j < 4 * n_halves; j += n)
        add_groups(f, p, groups, 4 * half + j, n, is_first && j == 0, plane, sum);
}

#endif

/* sum_codes: sums of codes times q over n_halves of a block, from half on: of the low plane, and 128
 * times those of the high one. */
#if LULL_ACTIVATION_BITS == 16

ALWAYS_INLINE void sum_codes(format f, patch p, const uint8_t *groups, const uint8_t *px, int half,
                             int n_halves, vi *sum)
{
    add_plane(f, p, groups, px + PANEL_HIGH * p.T, half, n_halves, 1, sum);
    UNROLL for (int k = 0; k < p.n_t * p.n_v; k++) sum[k] = vi_shl(sum[k], 7);
    add_plane(f, p, groups, px, half, n_halves, 0, sum);
}

#else

/* The high plane of token t in half i, and where the group of codes that it multiplies begins. */
ALWAYS_INLINE vi load_high(patch p, const uint8_t *px, int i, int t, int *at)
{
    __builtin_memcpy(at, px + LULL_PANEL_GROUP * p.T + 4 * (i * p.T + t), 4);
    return vi_all_fours(px + PANEL_HIGH * p.T + 4 * (i * p.T + t));
}

#if defined(HAS_DOT4)

ALWAYS_INLINE void sum_codes(format f, patch p, const uint8_t *groups, const uint8_t *px, int half,
                             int n_halves, vi *sum)
{
    UNROLL for (int k = 0; k < p.n_t; k++)
    {
        UNROLL for (int v = 0; v < p.n_v; v++) sum[k * p.n_v + v] = vi_zero();
        UNROLL for (int i = 0; i < n_halves; i++)
        {
            int at;
            vi x = load_high(p, px, half + i, p.t0 + k, &at);
            UNROLL for (int v = 0; v < p.n_v; v++)
            {
                vi w = load_codes(f, groups + at + codes_of_rows(p, v));
                sum[k * p.n_v + v] = vi_dot4(sum[k * p.n_v + v], w, x);
            }
        }
        UNROLL for (int v = 0; v < p.n_v; v++) sum[k * p.n_v + v] = vi_shl(sum[k * p.n_v + v], 7);
    }
    add_plane(f, p, groups, px, half, n_halves, 0, sum);
}

#else

ALWAYS_INLINE void sum_codes(format f, patch p, const uint8_t *groups, const uint8_t *px, int half,
                             int n_halves, vi *sum)
{
    add_plane(f, p, groups, px, half, n_halves, 1, sum);
    UNROLL for (int k = 0; k < p.n_t; k++)
    {
        int at, at2;
        vi x = load_high(p, px, half, p.t0 + k, &at),
           x2 = load_high(p, px, half + n_halves - 1, p.t0 + k, &at2);
        UNROLL for (int v = 0; v < p.n_v; v++)
        {
            vi *to = &sum[k * p.n_v + v];
            vi high = mul_pairs(f, load_codes(f, groups + at + codes_of_rows(p, v)), x);
            if (n_halves == 2) {
                vi second = mul_pairs(f, load_codes(f, groups + at2 + codes_of_rows(p, v)), x2);
                /* Four products of a code of 6 bits stay within 16 bits, those of 8 do not. */
                if (f.n_bits != 8)
                    high = vi_add16(high, second);
                else
                    *to = vi_add(*to, vi_widen_pairs(second, 128));
            }
            *to = vi_add(*to, vi_widen_pairs(high, 128));
        }
    }
}

#endif
#endif

ALWAYS_INLINE int takes_offset(format f)
{
    return f.offset != 0 && !(f.n_bits == 8 && MAKES_SIGNED);
}

/* What takes the offset off sums of codes: of half i of a block, or of all of it when there is one scale. */
ALWAYS_INLINE int32_t shift_of(format f, int T, const int32_t *neg, int i, int t)
{
    return f.offset * (f.is_split ? neg[i * T + t] : neg[t] + neg[T + t]);
}

ALWAYS_INLINE void dot_patch(format f, patch p, const uint8_t *tile, const uint8_t *panel,
                             int n_cols, float *out)
{
    int n_sums = p.n_t * p.n_v;
    float *to[PATCH_MAX];
    vf acc[PATCH_MAX];
    UNROLL for (int k = 0; k < n_sums; k++)
    {
        to[k] = out + (p.t0 + k / p.n_v) * LULL_TILE_ROWS + result_of_rows(p, k % p.n_v);
        acc[k] = vf_zero();
        if (ACC_IN_MEMORY) vf_store(to[k], acc[k]);
    }
    block_scales scales[2] = {0};
    const uint8_t *block = tile, *px = panel;
    for (int b = 0; b < n_cols / LULL_BLOCK_COLS;
         b++, block += f.block_bytes, px += PANEL_BLOCK * p.T) {
        if (f.is_super && b % LULL_SUPER_BLOCKS == 0) {
            UNROLL for (int v = 0; v < p.n_v; v++)
                load_super_scales(f, tile_of_rows(p, block, v), first_row(p, v), &scales[v]);
            block += f.super_bytes;
        }
        if (!p.has_shifts && p.t0 == 0 && p.h == 0) prefetch(block + AHEAD_BYTES, f.block_bytes);
        const float *s = (const float *)(px + PANEL_S * p.T) + p.t0, *sm = s + p.T;
        const int32_t *neg = (const int32_t *)(px + PANEL_NEG * p.T) + p.t0;
        const int32_t *shift = p.has_shifts ? p.shifts + 2 * b * p.T + p.t0 : NULL;
        _Alignas(64) uint8_t room[8 * 64];
        const uint8_t *groups = widen_groups(f, p, block, room);
        vi total[PATCH_MAX];
        /* The halves of split blocks times their integer scales; exact in int32: of activations of 16
         * bits, 32 · 16256 · 32 · 128 in Q6_K is the most, and below 2^31. */
        int n_parts = f.is_split ? 2 : 1;
        UNROLL for (int i = 0; i < n_parts; i++)
        {
            vi sum[PATCH_MAX];
            sum_codes(f, p, groups, px, i, 2 / n_parts, sum);
            if (i == 0)
                UNROLL for (int v = 0; v < p.n_v; v++) load_block_scales(
                    f, tile_of_rows(p, block, v) + f.codes_bytes, first_row(p, v), &scales[v]);
            UNROLL for (int k = 0; k < n_sums; k++)
            {
                int t = k / p.n_v;
                if (takes_offset(f))
                    sum[k] = vi_add(sum[k], vi_all(p.has_shifts ? shift[i * p.T + t]
                                                                : shift_of(f, p.T, neg, i, t)));
                if (f.is_split) sum[k] = vi_mul(sum[k], scales[k % p.n_v].whole[i]);
                total[k] = i == 0 ? sum[k] : vi_add(total[k], sum[k]);
            }
        }
        UNROLL for (int k = 0; k < n_sums; k++)
        {
            int t = k / p.n_v;
            if (ACC_IN_MEMORY) acc[k] = vf_load(to[k]);
            acc[k] = add_block(f, &scales[k % p.n_v], total[k], s[t], sm[t], neg[t], neg[p.T + t],
                               acc[k]);
            if (ACC_IN_MEMORY) vf_store(to[k], acc[k]);
        }
    }
    UNROLL for (int k = 0; k < n_sums; k++) vf_store(to[k], acc[k]);
}

/* One tile, patch by patch; p: what all patches share. */
ALWAYS_INLINE void dot_tile(format f, patch p, const uint8_t *tile, const uint8_t *panel,
                            int n_cols, float *out)
{
    p.n_t = p.T < TOKENS_AT_ONCE ? p.T : TOKENS_AT_ONCE;
    p.n_v = LANES == 8 ? 2 : 1;
    for (p.h = 0; p.h < 64; p.h += 4 * LANES * p.n_v)
        UNROLL for (p.t0 = 0; p.t0 < p.T; p.t0 += p.n_t) dot_patch(f, p, tile, panel, n_cols, out);
}

ALWAYS_INLINE void dot_quantized(format f, int T, const uint8_t *tile, const uint8_t *panel,
                                 int n_cols, float *out)
{
    dot_tile(f, (patch){.T = T}, tile, panel, n_cols, out);
}

/* ---- float weights --------------------------------------------------------------------------- */

ALWAYS_INLINE vf load_weight(lull_dtype t, const uint8_t *tile, size_t i)
{
    if (t == LULL_DTYPE_F32) return vf_load((const float *)tile + i);
    if (t == LULL_DTYPE_F16) return vf_from_half((const uint16_t *)tile + i);
    return vf_from_bf16((const uint16_t *)tile + i);
}

ALWAYS_INLINE void dot_float(lull_dtype t, int T, const uint8_t *tile, const uint8_t *panel,
                             int n_cols, float *out)
{
    int n_t = T < TOKENS_AT_ONCE ? T : TOKENS_AT_ONCE;
    const float *x = (const float *)panel;
    for (int row = 0; row < LULL_TILE_ROWS; row += LANES)
        for (int t0 = 0; t0 < T; t0 += n_t) {
            vf acc[LULL_PANEL_MAX];
            UNROLL for (int k = 0; k < n_t; k++) acc[k] = vf_zero();
            for (int c0 = 0; c0 < n_cols; c0 += LULL_BLOCK_COLS) {
                vf part[LULL_PANEL_MAX];
                UNROLL for (int k = 0; k < n_t; k++) part[k] = vf_zero();
                int end = c0 + LULL_BLOCK_COLS < n_cols ? c0 + LULL_BLOCK_COLS : n_cols;
                for (int c = c0; c < end; c++) {
                    vf w = load_weight(t, tile, (size_t)c * LULL_TILE_ROWS + (size_t)row);
                    UNROLL for (int k = 0; k < n_t; k++) part[k] =
                        vf_fma(w, vf_all(x[c * T + t0 + k]), part[k]);
                }
                UNROLL for (int k = 0; k < n_t; k++) acc[k] = vf_add(acc[k], part[k]);
            }
            UNROLL for (int k = 0; k < n_t; k++)
                vf_store(out + (t0 + k) * LULL_TILE_ROWS + row, acc[k]);
        }
}

/* ---- one function a format and panel size ---------------------------------------------------- */

#define DOT(body, what, name, T)                                                                   \
    static void dot_##name##_##T(const uint8_t *tile, const uint8_t *panel, int n_cols,            \
                                 float *out)                                                       \
    {                                                                                              \
        body(what, T, tile, panel, n_cols, out);                                                   \
    }
#define DOTS(body, what, name)                                                                     \
    DOT(body, what, name, 1)                                                                       \
    DOT(body, what, name, 4) DOT(body, what, name, 8) DOT(body, what, name, 12)
DOTS(dot_float, LULL_DTYPE_F32, F32)
DOTS(dot_float, LULL_DTYPE_F16, F16)
DOTS(dot_float, LULL_DTYPE_BF16, BF16)
DOTS(dot_quantized, FORMAT_Q4_0, Q4_0)
DOTS(dot_quantized, FORMAT_Q4_1, Q4_1)
DOTS(dot_quantized, FORMAT_Q5_0, Q5_0)
DOTS(dot_quantized, FORMAT_Q5_1, Q5_1)
DOTS(dot_quantized, FORMAT_Q8_0, Q8_0)
DOTS(dot_quantized, FORMAT_Q2_K, Q2_K)
DOTS(dot_quantized, FORMAT_Q3_K, Q3_K)
DOTS(dot_quantized, FORMAT_Q4_K, Q4_K)
DOTS(dot_quantized, FORMAT_Q5_K, Q5_K)
DOTS(dot_quantized, FORMAT_Q6_K, Q6_K)

#define ROW(name)                                                                                  \
    [LULL_DTYPE_##name] = {dot_##name##_1, dot_##name##_4, dot_##name##_8, dot_##name##_12}
const lull_dot_fn LULL_AT_LEVEL(dot)[LULL_DTYPE_N][LULL_PANEL_SIZES] = {
    ROW(F32),  ROW(F16),  ROW(BF16), ROW(Q4_0), ROW(Q4_1), ROW(Q5_0), ROW(Q5_1),
    ROW(Q8_0), ROW(Q2_K), ROW(Q3_K), ROW(Q4_K), ROW(Q5_K), ROW(Q6_K),
};

/* ---- wide tiles ------------------------------------------------------------------------------ */

ALWAYS_INLINE void dot_wide(format packed, lull_dtype type, const uint8_t *wide, int n_tiles,
                            const uint8_t *panel, int n_cols, uint8_t *work, float *out)
{
    enum { T = LULL_PANEL_MAX, SUMS = T * LULL_TILE_ROWS };
    format f = wide_format(packed);
    size_t tile_bytes = lull_wide_tile_bytes(type, n_cols);
    int32_t *shifts = (int32_t *)work;
    for (int b = 0; takes_offset(f) && b < n_cols / LULL_BLOCK_COLS; b++) {
        const int32_t *neg = (const int32_t *)(panel + (size_t)(b * PANEL_BLOCK + PANEL_NEG) * T);
        for (int h = 0; h < 1 + f.is_split; h++)
            for (int t = 0; t < T; t++) shifts[(2 * b + h) * T + t] = shift_of(f, T, neg, h, t);
    }
    patch p = {.T = T, .tile_bytes = tile_bytes, .shifts = shifts, .has_shifts = 1};
    int i = 0;
    /* Two tiles at once: what is loaded of the panel serves both. */
    p.n_t = T / 2;
    p.n_v = 2;
    for (; LANES == 16 && i + 2 <= n_tiles; i += 2, wide += 2 * tile_bytes, out += 2 * SUMS)
        UNROLL for (p.t0 = 0; p.t0 < T; p.t0 += T / 2) dot_patch(f, p, wide, panel, n_cols, out);
    for (; i < n_tiles; i++, wide += tile_bytes, out += SUMS)
        dot_tile(f, p, wide, panel, n_cols, out);
}

WIDE(Q4_0)
WIDE(Q4_1)
WIDE(Q5_0)
WIDE(Q5_1)
WIDE(Q2_K)
WIDE(Q3_K)
WIDE(Q4_K)
WIDE(Q5_K)
WIDE(Q6_K)

const lull_wide_kernels LULL_AT_LEVEL(wide)[LULL_DTYPE_N] = {
    WIDE_ROW(Q4_0), WIDE_ROW(Q4_1), WIDE_ROW(Q5_0), WIDE_ROW(Q5_1), WIDE_ROW(Q2_K),
    WIDE_ROW(Q3_K), WIDE_ROW(Q4_K), WIDE_ROW(Q5_K), WIDE_ROW(Q6_K),
};
