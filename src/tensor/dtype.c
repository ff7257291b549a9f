/* Element types: the table of what lull reads, and the plain dequantisation of each.
 *
 * Every function here follows ggml's dequantize_row_* operation by operation: a product is rounded
 * before a sum (no fused multiply-add), scale times sub-scale before scale times element. So the
 * values are those that any other program sees in the same file. Blocks are read byte by byte or
 * through memcpy, since tensor data in a caller's hands need not be aligned. */
#include "dtype.h"

#include <assert.h>
#include <string.h>

static const lull_dtype_info infos[LULL_DTYPE_N] = {
    [LULL_DTYPE_F32] = {"F32", 0, 1, 4},        [LULL_DTYPE_F16] = {"F16", 1, 1, 2},
    [LULL_DTYPE_BF16] = {"BF16", 30, 1, 2},     [LULL_DTYPE_Q4_0] = {"Q4_0", 2, 32, 18},
    [LULL_DTYPE_Q4_1] = {"Q4_1", 3, 32, 20},    [LULL_DTYPE_Q5_0] = {"Q5_0", 6, 32, 22},
    [LULL_DTYPE_Q5_1] = {"Q5_1", 7, 32, 24},    [LULL_DTYPE_Q8_0] = {"Q8_0", 8, 32, 34},
    [LULL_DTYPE_Q2_K] = {"Q2_K", 10, 256, 84},  [LULL_DTYPE_Q3_K] = {"Q3_K", 11, 256, 110},
    [LULL_DTYPE_Q4_K] = {"Q4_K", 12, 256, 144}, [LULL_DTYPE_Q5_K] = {"Q5_K", 13, 256, 176},
    [LULL_DTYPE_Q6_K] = {"Q6_K", 14, 256, 210},
};

/* By number; the gaps (4, 5, 31 to 33, 36 to 38) are types that ggml has withdrawn. */
static const char *const ggml_names[] = {
    [0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
    [7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
    [12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
    [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
    [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
    [27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
    [35] = "TQ2_0",  [39] = "MXFP4",   [40] = "NVFP4", [41] = "Q1_0",
};

const lull_dtype_info *lull_dtype_info_of(lull_dtype t)
{
    assert((unsigned)t < LULL_DTYPE_N);
    return &infos[t];
}

bool lull_dtype_from_ggml(uint32_t ggml_type, lull_dtype *out)
{
    for (int t = 0; t < LULL_DTYPE_N; t++) {
        if (infos[t].ggml_type != ggml_type) continue;
        *out = (lull_dtype)t;
        return true;
    }
    return false;
}

const char *lull_dtype_ggml_name(uint32_t ggml_type)
{
    return ggml_type < sizeof ggml_names / sizeof *ggml_names ? ggml_names[ggml_type] : NULL;
}

size_t lull_dtype_bytes(lull_dtype t, size_t n)
{
    const lull_dtype_info *info = lull_dtype_info_of(t);
    assert(n % info->block_elems == 0);
    return n / info->block_elems * info->block_bytes;
}

/* ---- 16-bit floats --------------------------------------------------------------------------- */

static float f32_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A signalling NaN comes out quiet, as from the vcvtph2ps instruction, so that wider versions of
 * this agree in every bit. */
float lull_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
    if (exponent == 0x1f)
        return f32_of_bits(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f; /* subnormal: exact, a multiple of 2^-24 */
        return sign ? -magnitude : magnitude;
    }
    return f32_of_bits(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

uint16_t lull_f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN: quiet, with the top of its payload */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520, half-way from the largest f16 to 2^16, rounds up */
        return sign | 0x7c00;

    /* The significand shifted right to f16's spacing, then rounded on what fell off. A carry out of
     * the mantissa runs into the exponent: that is the next binade. */
    uint32_t significand;
    int shift;
    if (magnitude >= 0x38800000) { /* at least 2^-14: a normal f16 */
        significand = magnitude - ((127 - 15) << 23);
        shift = 13;
    } else {
        int exponent = (int)(magnitude >> 23);
        if (exponent < 127 - 25) return sign; /* below 2^-25, half of the smallest subnormal */
        significand = (magnitude & 0x7fffff) | 0x800000;
        shift = 126 - exponent; /* in units of 2^-24 */
    }
    uint32_t kept = significand >> shift;
    uint32_t rest = significand & ((1u << shift) - 1), half = 1u << (shift - 1);
    kept += rest > half || (rest == half && (kept & 1));
    return (uint16_t)(sign | kept);
}

static float read_f16(const uint8_t *p)
{
    return lull_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* ---- dequantisation: one block of src to block_elems values of y ----------------------------- */

static void f32_block(const uint8_t *b, float *y)
{
    memcpy(y, b, sizeof *y);
}

static void f16_block(const uint8_t *b, float *y)
{
    *y = read_f16(b);
}

static void bf16_block(const uint8_t *b, float *y)
{
    *y = f32_of_bits((uint32_t)b[0] << 16 | (uint32_t)b[1] << 24);
}

/* 32 elements: f16 d, 16 bytes. Byte j holds element j (low) and j + 16 (high). */
static void q4_0_block(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    const uint8_t *qs = b + 2;
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((qs[j] & 0xf) - 8) * d;
        y[j + 16] = (float)((qs[j] >> 4) - 8) * d;
    }
}

/* 32 elements: f16 d, f16 m, 16 bytes as above. */
static void q4_1_block(const uint8_t *b, float *y)
{
    float d = read_f16(b), m = read_f16(b + 2);
    const uint8_t *qs = b + 4;
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(qs[j] & 0xf) * d + m;
        y[j + 16] = (float)(qs[j] >> 4) * d + m;
    }
}

/* The fifth bit of element j of a Q5_0 or Q5_1 block, at its place. */
static int fifth_bit(const uint8_t *qh, int j)
{
    return (qh[j / 8] >> j % 8 & 1) << 4;
}

/* 32 elements: f16 d, 4 bytes of fifth bits, 16 bytes of low nibbles. */
static void q5_0_block(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    const uint8_t *qh = b + 2, *qs = b + 6;
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(((qs[j] & 0xf) | fifth_bit(qh, j)) - 16) * d;
        y[j + 16] = (float)(((qs[j] >> 4) | fifth_bit(qh, j + 16)) - 16) * d;
    }
}

/* 32 elements: f16 d, f16 m, 4 bytes of fifth bits, 16 bytes of low nibbles. */
static void q5_1_block(const uint8_t *b, float *y)
{
    float d = read_f16(b), m = read_f16(b + 2);
    const uint8_t *qh = b + 4, *qs = b + 8;
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((qs[j] & 0xf) | fifth_bit(qh, j)) * d + m;
        y[j + 16] = (float)((qs[j] >> 4) | fifth_bit(qh, j + 16)) * d + m;
    }
}

/* 32 elements: f16 d, 32 int8. */
static void q8_0_block(const uint8_t *b, float *y)
{
    float d = read_f16(b);
    for (int j = 0; j < 32; j++) y[j] = (float)(int8_t)b[2 + j] * d;
}

/* 256 elements: 16 bytes (4-bit scale low, 4-bit minimum high; one for 16 elements), 64 bytes of
 * 2-bit elements, f16 d, f16 dmin. 32 bytes hold 128 elements: those of bits 0-1 first. */
static void q2_k_block(const uint8_t *b, float *y)
{
    const uint8_t *scales = b, *qs = b + 16;
    float d = read_f16(b + 80), dmin = read_f16(b + 82);
    for (int i = 0; i < 256; i++) {
        int scale = scales[i / 16];
        int q = qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        y[i] = d * (float)(scale & 0xf) * (float)q - dmin * (float)(scale >> 4);
    }
}

/* 256 elements: 32 bytes of third bits (0 means minus 4), 64 bytes of 2-bit elements laid out as in
 * Q2_K, 12 bytes of sixteen 6-bit scales (offset 32), f16 d. The low nibbles of the scales are in
 * bytes 0 to 7 (0-7 low, 8-15 high), the top pairs of bits in bytes 8 to 11. */
static void q3_k_block(const uint8_t *b, float *y)
{
    const uint8_t *hmask = b, *qs = b + 32, *packed = b + 96;
    float d = read_f16(b + 108);
    float scales[16];
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? packed[j] & 0xf : packed[j - 8] >> 4;
        int high = packed[8 + j % 4] >> j / 4 * 2 & 3;
        scales[j] = d * (float)((low | high << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        int q = qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        if (!(hmask[i % 32] >> i / 32 & 1)) q -= 4;
        y[i] = scales[i / 16] * (float)q;
    }
}

/* Scale and minimum j (0 to 7) of a Q4_K or Q5_K block, 6 bits each, packed in 12 bytes. */
static void k4_scale_min(const uint8_t *packed, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 0xf) | packed[j - 4] >> 6 << 4;
        *min = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    }
}

/* 256 elements: f16 d, f16 dmin, 12 bytes of eight 6-bit scales and minimums (one pair for 32
 * elements), 128 bytes. 32 bytes hold 64 elements: the low nibbles first. */
static void q4_k_block(const uint8_t *b, float *y)
{
    float d = read_f16(b), dmin = read_f16(b + 2);
    const uint8_t *qs = b + 16;
    for (int j = 0; j < 8; j++) {
        int scale, min;
        k4_scale_min(b + 4, j, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        for (int i = 0; i < 32; i++) {
            int q = qs[j / 2 * 32 + i] >> j % 2 * 4 & 0xf;
            y[j * 32 + i] = dl * (float)q - ml;
        }
    }
}

/* As Q4_K, with 32 bytes of fifth bits between scales and nibbles: bit j of byte i belongs to
 * element 32 j + i. */
static void q5_k_block(const uint8_t *b, float *y)
{
    float d = read_f16(b), dmin = read_f16(b + 2);
    const uint8_t *qh = b + 16, *qs = b + 48;
    for (int j = 0; j < 8; j++) {
        int scale, min;
        k4_scale_min(b + 4, j, &scale, &min);
        float dl = d * (float)scale, ml = dmin * (float)min;
        for (int i = 0; i < 32; i++) {
            int q = (qs[j / 2 * 32 + i] >> j % 2 * 4 & 0xf) | (qh[i] >> j & 1) << 4;
            y[j * 32 + i] = dl * (float)q - ml;
        }
    }
}

/* 256 elements: 128 bytes of low nibbles (64 bytes hold 128 elements: the low nibbles first), 64
 * bytes of top pairs of bits (32 bytes hold 128 elements: bits 0-1 first), 16 int8 scales (one for
 * 16 elements), f16 d. Elements have an offset of 32. */
static void q6_k_block(const uint8_t *b, float *y)
{
    const uint8_t *ql = b, *qh = b + 128, *scales = b + 192;
    float d = read_f16(b + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, r = i % 128;
        int low = ql[half * 64 + r % 64] >> r / 64 * 4 & 0xf;
        int high = qh[half * 32 + r % 32] >> r / 32 * 2 & 3;
        y[i] = d * (float)(int8_t)scales[i / 16] * (float)((low | high << 4) - 32);
    }
}

static void (*const block_functions[LULL_DTYPE_N])(const uint8_t *b, float *y) = {
    [LULL_DTYPE_F32] = f32_block,   [LULL_DTYPE_F16] = f16_block,   [LULL_DTYPE_BF16] = bf16_block,
    [LULL_DTYPE_Q4_0] = q4_0_block, [LULL_DTYPE_Q4_1] = q4_1_block, [LULL_DTYPE_Q5_0] = q5_0_block,
    [LULL_DTYPE_Q5_1] = q5_1_block, [LULL_DTYPE_Q8_0] = q8_0_block, [LULL_DTYPE_Q2_K] = q2_k_block,
    [LULL_DTYPE_Q3_K] = q3_k_block, [LULL_DTYPE_Q4_K] = q4_k_block, [LULL_DTYPE_Q5_K] = q5_k_block,
    [LULL_DTYPE_Q6_K] = q6_k_block,
};

void lull_dequantize(lull_dtype t, const void *src, size_t n, float *dst)
{
    const lull_dtype_info *info = lull_dtype_info_of(t);
    assert(n % info->block_elems == 0);
    const uint8_t *block = src;
    for (size_t i = 0; i < n; i += info->block_elems, block += info->block_bytes)
        block_functions[t](block, dst + i);
}
