/* The kernels of the numerics classes canon-1 and canon-1w: contracts, and one table of function pointers a CPU
 * level.
 *
 * The class is the operations and their order, given here and in docs/numerics.md; the plain C in
 * *_ref.c is the same thing as code. Every level gives the same bits. fma(a, b, c) = a b + c
 * rounded once; all arithmetic is binary32, round to nearest even, denormals kept. Kernels are
 * pure: they touch what their arguments say, from any thread. */
#ifndef LULL_KERNELS_KERNELS_H
#define LULL_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "lull/numerics.h"
#include "pack.h"

/* ---- panels ---------------------------------------------------------------------------------- */

/* A panel is the activations of up to 12 tokens, as matmul reads them. T, the tokens a panel has
 * room for, is 1, 4, 8 or 12. A float panel is f32 [n_cols][T].
 *
 * A quantised panel holds integers q with one scale per 32 columns, and their products with the
 * weights' codes are exact. All q of a block are 0 when its largest |x|, a, is below 2^-110 or not
 * finite. Integers of more than 8 bits are in two planes of int8: q = 128 high + low, -64 <= low < 64.
 * Unused tokens are zero.
 *
 * Activations of 8 bits (canon-1): a few are far larger than their neighbours and would cost these
 * their bits, so in each half of a block the group of 4 columns with the largest value (the first,
 * among equals) is kept to 15 bits, and the other three to 8. With g the largest |x| of these others
 * in either half:
 *
 *   r = 127 / g and s = g / 127, if 128 g >= a; else r = 16256 / a and s = a / 16256
 *   q = rint(x r)
 *
 * A block is, with offsets in bytes times T:
 *
 *    0  i8   low[T][32]       q itself outside the outlying groups
 *   32  i8   high[2][T][4]   of the outlying group of each half
 *   40  i32  group[2][T]     which one, 0-3 and 4-7, times 64: where its codes begin (pack.h)
 *   48  f32  s[T]            not finite when a is not, so that it shows in the logits; 0 when a is 0
 *   52  f32  sm[T]           s (float)(sum of q)
 *   56  i32  neg[2][T]       minus the sum of q of each half
 *
 * Activations of 16 bits (canon-1w): r = 16256 / a, s = a / 16256 for all, and a block is
 *
 *    0  i8   low[T][32]
 *   32  i8   high[T][32]
 *   64  f32  s[T], sm[T]
 *   72  i32  neg[2][T] */
enum {
    LULL_PANEL_HIGH = 32,
    LULL_PANEL_GROUP = 40,
    LULL_PANEL_S = 48,
    LULL_PANEL_NEG = 56,
    LULL_PANEL_BLOCK = 64,

    LULL_PANEL16_HIGH = 32,
    LULL_PANEL16_S = 64,
    LULL_PANEL16_NEG = 72,
    LULL_PANEL16_BLOCK = 80
};

/* The largest q in two planes: 128 · 127. */
#define LULL_TWO_PLANES_MAX 16256.0f

/* Whether a block, or a query of attention, with a for its largest |x| is quantised. If not, all q are 0
 * and its s is lull_odd_scale(a). */
static inline bool lull_is_ordinary(float a)
{
    return a >= 0x1p-110f && a <= 0x1.fffffep127f;
}
static inline float lull_odd_scale(float a)
{
    return a < 0x1p-110f ? 0.0f : a; /* a NaN stays one */
}

enum { LULL_PANEL_MAX = 12, LULL_PANEL_SIZES = 4 };

static const int lull_panel_tokens[LULL_PANEL_SIZES] = {1, 4, 8, 12};

/* Index into lull_panel_tokens of the smallest panel that holds n tokens, or of the largest. */
static inline int lull_panel_size_for(int n)
{
    return n <= 1 ? 0 : n <= 4 ? 1 : n <= 8 ? 2 : 3;
}

/* Bytes for n_cols columns: enough for every kind. 64-aligned. */
static inline size_t lull_panel_bytes(int n_tokens, int n_cols)
{
    return ((size_t)4 * (size_t)n_tokens * ((size_t)n_cols + 31) + 63) / 64 * 64;
}

/* ---- contracts ------------------------------------------------------------------------------- */

/* Panels, wide tiles and work areas begin at 64 bytes, packed tiles at 32, all else where its elements
 * may. Outputs overlap no input unless it says so.
 *
 * The 16-striped sum: stripe i adds the terms i, i+16, i+32, … in that order from 0; then stripes
 * i and i+8 are added, i and i+4, i and i+2, 0 and 1. exp: docs/numerics.md; below -87 it is 0,
 * above 88 it is exp(88). */

/* Quantise a token's row x [n] into slot t of a panel of T tokens. n is a multiple of 32. */
typedef void (*lull_quantize_fn)(const float *x, int n, int n_tokens, int t, uint8_t *panel);

/* One tile of 16 rows times a panel of T tokens: out [T][16].
 *
 * Quantised, a row's accumulator from 0, blocks b ascending, i the exact integer sum of code·q
 * (offset taken off):
 *   Q4_0 Q5_0 Q8_0   acc = fma(i, d s, acc)
 *   Q4_1 Q5_1        the same, then acc = fma(m, sm, acc)
 *   Q4_K Q5_K        acc = fma(i, (d scale) s, acc), then acc = fma(-(dmin min), sm, acc)
 *   Q3_K Q6_K        i = scale0 i0 + scale1 i1 over the halves;  acc = fma(i, d s, acc)
 *   Q2_K             the same, then acc = fma(min0 neg0 + min1 neg1, dmin s, acc)
 * Products without fma are rounded on their own, from left to right within the brackets shown.
 *
 * Float: columns in blocks of 32 (the last may be shorter), part = fma(w, x, part) from 0 in
 * ascending order, then acc = acc + part. F16 and BF16 weights are widened exactly. */
typedef void (*lull_dot_fn)(const uint8_t *tile, const uint8_t *panel, int n_cols, float *out);

/* Wide tiles: for many tokens it pays to widen the codes of a tile to bytes once, instead of with
 * every panel. A wide tile is the packed one (pack.h) with the codes of a block as [512], group by
 * group, and its scales as they are. Where a level has no use for them, these are NULL.
 *
 * widen: tile of n_cols columns to wide [lull_wide_tile_bytes], 64-aligned. */
typedef void (*lull_widen_fn)(const uint8_t *tile, int n_cols, uint8_t *wide);
/* n_tiles wide tiles, side by side in memory, times a panel of 12 tokens: out [n_tiles][12][16], the
 * same bits as dot. work: [lull_wide_work_bytes(n_cols)], 64-aligned, for the kernel's own use. */
typedef void (*lull_dot_wide_fn)(const uint8_t *wide, int n_tiles, const uint8_t *panel, int n_cols,
                                 uint8_t *work, float *out);

typedef struct lull_wide_kernels {
    lull_widen_fn widen;
    lull_dot_wide_fn dot;
} lull_wide_kernels;

/* Of work a block, at most: the high plane spread, i8 [12][32], and what takes offsets off the sums of its
 * halves, i32 [2][12]. */
enum { LULL_WIDE_WORK_BLOCK = LULL_PANEL_MAX * (LULL_BLOCK_COLS + 2 * 4) };

static inline size_t lull_wide_work_bytes(int n_cols)
{
    return (size_t)n_cols / LULL_BLOCK_COLS * LULL_WIDE_WORK_BLOCK;
}

/* y = (x r) w elementwise, r = 1 / sqrt(sum / n + eps), sum the 16-striped sum of fma(x, x, .).
 * y may be x. n >= 1. */
typedef void (*lull_rms_norm_fn)(const float *x, const float *w, int n, float eps, float *y);

/* y = act(g) u.  SiLU: g / (1 + exp(-g)).  GELU (tanh form): g / (1 + exp(-2 z)),
 * z = 0.7978845608 fma(0.044715 (g g), g, g); as 0.5 (1 + tanh z) = 1 / (1 + exp(-2 z)). y may be
 * g or u. */
typedef enum lull_act { LULL_ACT_SILU, LULL_ACT_GELU_TANH } lull_act;
typedef void (*lull_gated_fn)(lull_act act, const float *g, const float *u, int n, float *y);

/* Rotate one head in place, x [2 n_pairs]: (a, b) -> (fma(a, c, -(b s)), fma(a, s, b c)), then
 * both times scale. cs: cosines [n_pairs] then sines [n_pairs]. Pairs are neighbours (2i, 2i+1),
 * or halves (i, i + n_pairs) for neox. */
typedef void (*lull_rope_fn)(float *x, const float *cs, int n_pairs, int is_neox, float scale);

/* x = x + y, elementwise. */
typedef void (*lull_add_fn)(float *x, const float *y, int n);

/* The index of the largest of x [n], the first among equals; -1 when one is not finite. n >= 1. */
typedef int32_t (*lull_top_fn)(const float *x, int n);

/* Store a head's key or value, x [d] to dst [i stride]: for a key dst is its column of [d][64], stride 64;
 * for a value its row of [64][d], stride 1. f16, to nearest even, after limiting to ±65504 (so that what
 * is masked stays finite and adds nothing). A NaN becomes 65504. */
typedef void (*lull_kv_store_fn)(const float *x, int d, uint16_t *dst, int stride);

/* Attention of n_q queries over the 64 positions of one page, one KV head: online softmax.
 *
 *   q    [n_q] rows of d at q_stride floats, already times 1/sqrt(d)
 *   k v  [d][64] and [64][d] f16; all finite, also where masked
 *   lo hi [n_q]  positions lo <= j < hi of the page are seen; a query with none is left as it was
 *   m l  [n_q] in/out: running maximum (-inf at the start) and sum (0)
 *   o    [n_q] rows of d at o_stride floats, in/out: running sum (0)
 *   work f32 [128 d], 64-aligned: room to widen the page; d is a multiple of 16 and at most 512
 *
 * For each query: s_j = chain of fma(q_i, k_ij, .) from 0, i ascending;  M = max(m, max s_j);
 * c = exp(m - M);  p_j = exp(s_j - M), 0 where masked;  l = fma(l, c, striped sum of p over 64);
 * o_i = o_i c, then o_i = fma(p_j, v_ji, o_i), j ascending;  m = M. */
typedef struct lull_attend_args {
    const float *q;
    size_t q_stride;
    const uint16_t *k, *v;
    const uint16_t *next_k, *next_v; /* the page that comes next, to fetch ahead; may be k, v */
    const int16_t *lo, *hi;
    float *m, *l, *o;
    size_t o_stride;
    int n_q, d;
    float *work;
} lull_attend_args;
typedef void (*lull_attend_fn)(const lull_attend_args *a);

/* Join a later span into an earlier one: M = max(m, m2);  a = exp(m - M);  b = exp(m2 - M);
 * l = fma(l, a, l2 b);  o = fma(o, a, o2 b). A span that saw nothing (m2 = -inf) changes nothing. */
typedef void (*lull_attend_join_fn)(float *m, float *l, float *o, float m2, float l2,
                                    const float *o2, int d);

/* ---- keys and values of 8 bits (class canon-1/kv-q8) ------------------------------------------- */

/* Store a head's key or value x [d] as position `at` of a page's K or V (kv_layout.h); d is a multiple
 * of 32. x is limited to ±65504 (a NaN becomes 65504). For each 32 values, a the largest |x|:
 *   s = f16(a / 127), to nearest even;  q = rint(x (1 / s)), limited to ±127; 0 when s is 0. */
typedef void (*lull_kv_store_q8_fn)(const float *x, int d, int at, uint8_t *part);

/* A query in 15 bits, in two planes of int8. With a the largest |q|: c = rint(q (16256 / a)),
 * s = a / 16256; all 0 when a is below 2^-110. c = 128 high + low with -64 <= low < 64. When a is not
 * finite, c is 0 and s is a, so that it shows in the logits. A record, offsets in bytes:
 *   0   i8 high[d], i8 low[d]
 *   2d  i32 shift[d / 32]  -128 (sum of c): takes off what codes of keys have on
 *   …   f32 s */
static inline size_t lull_query_q8_bytes(int d)
{
    return (2 * (size_t)d + 4 * ((size_t)d / 32 + 1) + 63) / 64 * 64;
}
typedef void (*lull_query_q8_fn)(const float *q, int d, uint8_t *record);

/* As lull_attend_fn, of such queries over such a page. For each query:
 *   s_j: acc = 0, then for blocks b of 32 dimensions in ascending order acc = fma(i, k scale, acc) with
 *        i the exact sum of c times the key's codes;  s_j = acc s
 *   M, c, p_j, l, m as there
 *   for each block b: w_j = p_j (v scale), top the largest of them over the page; when top < 2^-100
 *        o_i = o_i c; else u_j = rint(w_j (16383 / top)), i the exact sum of u_j times the value's codes,
 *        o_i = fma(i, top / 16383, o_i c)
 * Sums are rounded to binary32. 14 bits against the largest weight of a page: a flat distribution loses
 * nothing. */
typedef struct lull_attend_q8_args {
    const uint8_t *queries; /* [n_q] records of lull_query_q8_bytes(d) */
    const uint8_t *k, *v;
    const uint8_t *next_k, *next_v; /* the page that comes next, to fetch ahead; may be k, v */
    const int16_t *lo, *hi;
    float *m, *l, *o;
    size_t o_stride;
    int n_q, d;
} lull_attend_q8_args;
typedef void (*lull_attend_q8_fn)(const lull_attend_q8_args *a);

typedef struct lull_kernels {
    lull_cpu_level level;
    lull_activations activations;
    const lull_dot_fn (*dot)[LULL_PANEL_SIZES]; /* [LULL_DTYPE_N] */
    const lull_wide_kernels *wide;              /* [LULL_DTYPE_N], or NULL */
    lull_quantize_fn quantize;
    lull_rms_norm_fn rms_norm;
    lull_gated_fn gated;
    lull_rope_fn rope;
    lull_add_fn add;
    lull_top_fn top;
    lull_kv_store_fn kv_store;
    lull_attend_fn attend;
    lull_attend_join_fn attend_join;
    lull_kv_store_q8_fn k_store_q8, v_store_q8;
    lull_query_q8_fn query_q8;
    lull_attend_q8_fn attend_q8;
} lull_kernels;

/* The table of a level for activations of 8 or 16 bits; static, never NULL. Its kernels run where
 * lull_cpu_enable (cpu.h) says so. */
const lull_kernels *lull_kernels_of(lull_cpu_level level, lull_activations activations);

/* exp of the class, for what is not a kernel (sampling). */
float lull_exp_ref(float x);

/* Cosines and sines of pos · inv_freq[i] in binary64 by the class's own polynomials, rounded to
 * binary32: cs [2 n_pairs], times mscale. Any position below 2^31. */
void lull_rope_angles(double pos, const double *inv_freq, int n_pairs, float mscale, float *cs);

/* base^exponent in binary64 for RoPE frequencies; base a positive normal number, relative error
 * below 1e-14. */
double lull_pow_canon(double base, double exponent);
/* ln(x) in binary64, x a positive normal number: off by a few units in the last place. */
double lull_log_canon(double x);

#endif
