/* Matmul at the width of the level: one lane a row, so that nothing is ever summed across lanes
 * and a row's order of operations is that of gemm_ref.c. The body is written once, with the format
 * and the number of tokens as constants that the compiler folds; the macros at the end make one
 * function of each pair.
 *
 * The exact integer products are made with vpdpbusd or sdot where the level has it, else with
 * vpmaddubsw, whose 16-bit sums are added up as long as they cannot overflow. */
#include "gemm_simd.h"
#include "levels.h"

/* The widened codes of a block, [8] groups, so that the groups that a token multiplies twice can be
 * found by number. Those of wide formats lie in the tile already. */
ALWAYS_INLINE const uint8_t *widen_groups(format f, const uint8_t *block, int h, uint8_t *room)
{
    if (f.is_wide) return block + h;
    UNROLL for (int j = 0; j < 8; j++) vi_save(room + 64 * j, load_group(f, block, h, j));
    return room;
}

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

/* The group of codes that is outlying in half i of token t, and its high plane. */
ALWAYS_INLINE vi load_outlying(format f, const uint8_t *groups, const uint8_t *px, int T, int i,
                               int t, vi *x)
{
    int32_t group;
    __builtin_memcpy(&group, px + LULL_PANEL_GROUP * T + 4 * (i * T + t), 4);
    *x = vi_all_fours(px + LULL_PANEL_HIGH * T + 4 * (i * T + t));
    return load_codes(f, groups + 64 * group);
}

/* add_low: sum[k] += codes of groups j0 .. j0+n-1 times the low plane of tokens t0 .. t0+n_t-1.
 * sum_high: 128 times the products of the high planes of token t in halves from .. end-1.
 * Offsets are not taken off, but for those of load_codes. */
#if defined(HAS_DOT4)

ALWAYS_INLINE void add_low(format f, const uint8_t *groups, int j0, int n, const uint8_t *low,
                           int t0, int n_t, vi *sum)
{
    UNROLL for (int j = j0; j < j0 + n; j++)
    {
        vi w = load_codes(f, groups + 64 * j);
        UNROLL for (int k = 0; k < n_t; k++) sum[k] =
            vi_dot4(sum[k], w, vi_all_fours(low + 32 * (t0 + k) + 4 * j));
    }
}

ALWAYS_INLINE vi sum_high(format f, const uint8_t *groups, const uint8_t *px, int T, int from,
                          int end, int t)
{
    vi sum = vi_zero(), x;
    UNROLL for (int i = from; i < end; i++)
    {
        vi w = load_outlying(f, groups, px, T, i, t, &x);
        sum = vi_dot4(sum, w, x);
    }
    return vi_shl(sum, 7);
}

#else

/* Signed weights of 8 bits would not stay within 16 with a pair of products of a byte. */
ALWAYS_INLINE vi mul_pairs(format f, vi w, vi x)
{
    if (f.n_bits != 8) return vi_mul_pairs(w, x);
    return vi_mul_pairs(vi_abs8(w), vi_sign8(x, w));
}

ALWAYS_INLINE void add_low(format f, const uint8_t *groups, int j0, int n, const uint8_t *low,
                           int t0, int n_t, vi *sum)
{
    /* A pair adds at most 2 · 127 · code: 15 · 254 · 8, 31 · 254 · 4 and 63 · 254 · 2 stay below
     * 32,768, and so does 128 · 254. */
    int n_pairs = f.n_bits <= 4 ? 8 : f.n_bits == 5 ? 4 : f.n_bits == 6 ? 2 : 1;
    if (n_pairs > n) n_pairs = n;
    UNROLL for (int j1 = j0; j1 < j0 + n; j1 += n_pairs)
    {
        vi part[LULL_PANEL_MAX];
        UNROLL for (int j = j1; j < j1 + n_pairs; j++)
        {
            vi w = load_codes(f, groups + 64 * j);
            UNROLL for (int k = 0; k < n_t; k++)
            {
                vi product = mul_pairs(f, w, vi_all_fours(low + 32 * (t0 + k) + 4 * j));
                part[k] = j == j1 ? product : vi_add16(part[k], product);
            }
        }
        UNROLL for (int k = 0; k < n_t; k++) sum[k] = vi_add(sum[k], vi_widen_pairs(part[k], 1));
    }
}

ALWAYS_INLINE vi sum_high(format f, const uint8_t *groups, const uint8_t *px, int T, int from,
                          int end, int t)
{
    vi x, w = load_outlying(f, groups, px, T, from, t, &x), first = mul_pairs(f, w, x);
    if (end - from == 1) return vi_widen_pairs(first, 128);
    w = load_outlying(f, groups, px, T, from + 1, t, &x);
    vi second = mul_pairs(f, w, x);
    /* Four products of a code of 6 bits stay within 16 bits, those of 8 bits do not. */
    if (f.n_bits != 8) return vi_widen_pairs(vi_add16(first, second), 128);
    return vi_add(vi_widen_pairs(first, 128), vi_widen_pairs(second, 128));
}

#endif

/* Rows at lane offset h (0, or 32 for the upper half with 8 lanes), tokens t0 .. t0+n_t-1 of a
 * panel of T. */
ALWAYS_INLINE void dot_rows(format f, int T, int h, int t0, int n_t, const uint8_t *tile,
                            const uint8_t *panel, int n_cols, float *out)
{
    int row =
        h /
        4; /* first of the rows: scales of one byte a row stand at that index, f16 at twice that */
    int takes_offset = f.offset != 0 && !(f.n_bits == 8 && MAKES_SIGNED);
    vf acc[LULL_PANEL_MAX];
    UNROLL for (int k = 0; k < n_t; k++) acc[k] = vf_zero();
    block_scales scales = {.d = vf_zero(), .d_min = vf_zero()};
    const uint8_t *block = tile, *px = panel;
    for (int b = 0; b < n_cols / LULL_BLOCK_COLS;
         b++, block += f.block_bytes, px += lull_panel_block_bytes(T)) {
        if (f.is_super && b % LULL_SUPER_BLOCKS == 0) {
            load_super_scales(f, block, row, &scales);
            block += f.super_bytes;
        }
        const float *s = (const float *)(px + LULL_PANEL_S * T) + t0, *sm = s + T;
        const int32_t *neg = (const int32_t *)(px + LULL_PANEL_NEG * T) + t0;
        _Alignas(64) uint8_t room[8 * 64];
        const uint8_t *groups = widen_groups(f, block, h, room);
        load_block_scales(f, block + f.codes_bytes, row, &scales);
        vi sum[LULL_PANEL_MAX], total[LULL_PANEL_MAX];
        if (!f.is_split) {
            UNROLL for (int k = 0; k < n_t; k++)
            {
                total[k] = sum_high(f, groups, px, T, 0, 2, t0 + k);
                if (takes_offset)
                    total[k] = vi_add(total[k], vi_all((neg[k] + neg[T + k]) * f.offset));
            }
            add_low(f, groups, 0, 8, px, t0, n_t, total);
        }
        /* The halves of split blocks times their integer scales; exact in int32. */
        int n_halves = f.is_split ? 2 : 0;
        UNROLL for (int i = 0; i < n_halves; i++)
        {
            UNROLL for (int k = 0; k < n_t; k++)
            {
                sum[k] = sum_high(f, groups, px, T, i, i + 1, t0 + k);
                if (takes_offset) sum[k] = vi_add(sum[k], vi_all(neg[i * T + k] * f.offset));
            }
            add_low(f, groups, 4 * i, 4, px, t0, n_t, sum);
            UNROLL for (int k = 0; k < n_t; k++)
            {
                vi scaled = vi_mul(sum[k], scales.whole[i]);
                total[k] = i == 0 ? scaled : vi_add(total[k], scaled);
            }
        }
        UNROLL for (int k = 0; k < n_t; k++) acc[k] =
            add_block(f, &scales, total[k], s[k], sm[k], neg[k], neg[T + k], acc[k]);
    }
    UNROLL for (int k = 0; k < n_t; k++) vf_store(out + (t0 + k) * LULL_TILE_ROWS + row, acc[k]);
}

#if defined(HAS_DOT4)
enum { SUMS_PAIRS = 0 };
#else
enum { SUMS_PAIRS = 1 };
#endif

/* How many tokens go together so that their sums stay in registers. */
ALWAYS_INLINE int tokens_at_once(format f, int T)
{
    int most = N_REGISTERS == 16 ? (f.is_split ? 2 : 4) : !SUMS_PAIRS ? 12 : f.is_split ? 4 : 8;
    if (T <= most) return T;
    return T % most == 0 ? most : T % 4 == 0 ? 4 : 2;
}

ALWAYS_INLINE void dot_quantized(format f, int T, const uint8_t *tile, const uint8_t *panel,
                                 int n_cols, float *out)
{
    int n_t = tokens_at_once(f, T);
    for (int h = 0; h < 64; h += 4 * LANES)
        for (int t0 = 0; t0 < T; t0 += n_t) dot_rows(f, T, h, t0, n_t, tile, panel, n_cols, out);
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
    int most = N_REGISTERS == 16 ? 4 : 12, n_t = T <= most ? T : T % most == 0 ? most : 4;
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

ALWAYS_INLINE void dot_wide(format f, lull_dtype t, const uint8_t *wide, int n_tiles,
                            const uint8_t *panel, int n_cols, float *out)
{
    size_t tile_bytes = lull_wide_tile_bytes(t, n_cols);
    for (int i = 0; i < n_tiles; i++, wide += tile_bytes, out += LULL_PANEL_MAX * LULL_TILE_ROWS)
        dot_quantized(wide_format(f), LULL_PANEL_MAX, wide, panel, n_cols, out);
}

#define WIDE(name)                                                                                 \
    static void widen_##name(const uint8_t *tile, int n_cols, uint8_t *wide)                       \
    {                                                                                              \
        widen_tile(FORMAT_##name, tile, n_cols, wide);                                             \
    }                                                                                              \
    static void dot_wide_##name(const uint8_t *wide, int n_tiles, const uint8_t *panel,            \
                                int n_cols, uint8_t *work, float *out)                             \
    {                                                                                              \
        (void)work;                                                                                \
        dot_wide(FORMAT_##name, LULL_DTYPE_##name, wide, n_tiles, panel, n_cols, out);             \
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

#define WIDE_ROW(name) [LULL_DTYPE_##name] = {widen_##name, dot_wide_##name}
const lull_wide_kernels LULL_AT_LEVEL(wide)[LULL_DTYPE_N] = {
    WIDE_ROW(Q4_0), WIDE_ROW(Q4_1), WIDE_ROW(Q5_0), WIDE_ROW(Q5_1), WIDE_ROW(Q2_K),
    WIDE_ROW(Q3_K), WIDE_ROW(Q4_K), WIDE_ROW(Q5_K), WIDE_ROW(Q6_K),
};
