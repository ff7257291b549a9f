/* The quantiser and matmul: each level against the reference bit for bit over every type, panel and
 * sort of values; the reference against the definition in binary64. See kernel_check.h for the
 * arguments. */
#include "kernel_check.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "random_weights.h"

enum { MAX_COLS = 4096 };

static float row[MAX_COLS + 1];

static bool is_float_type(lull_dtype t)
{
    return t == LULL_DTYPE_F32 || t == LULL_DTYPE_F16 || t == LULL_DTYPE_BF16;
}

static bool has_16_bits(void)
{
    return check_activations == LULL_ACTIVATIONS_16;
}

static size_t panel_block_bytes(int n_tokens)
{
    return (size_t)n_tokens * (has_16_bits() ? LULL_PANEL16_BLOCK : LULL_PANEL_BLOCK);
}

/* Where a block's scales begin, and what follows them, in bytes times n_tokens. */
static int panel_s(void)
{
    return has_16_bits() ? LULL_PANEL16_S : LULL_PANEL_S;
}

static int panel_neg(void)
{
    return has_16_bits() ? LULL_PANEL16_NEG : LULL_PANEL_NEG;
}

static guarded panel_new(int n_tokens, int n_cols)
{
    guarded g = guarded_new(lull_panel_bytes(n_tokens, n_cols), 0);
    memset(g.data, 0, g.n_bytes);
    return g;
}

/* Put row [n] into slot t of a float panel. */
static void fill_float_slot(const float *x, int n, int n_tokens, int t, uint8_t *panel)
{
    for (int c = 0; c < n; c++) ((float *)panel)[c * n_tokens + t] = x[c];
}

/* Values with outliers, as activations have them: one in each half, or one in all, so large. */
static void fill_with_outliers(float *x, size_t n)
{
    fill(x, n, ORDINARY);
    for (size_t b = 0; b < n; b += 32) {
        float factor = ldexpf(1.0f, random_int(24));
        x[b + (size_t)random_int(16)] *= factor;
        if (random_int(2)) x[b + 16 + (size_t)random_int(16)] *= factor;
    }
}

/* ---- levels ---------------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* To look for levels, and to take the best or one that needs no leave, must not ask Linux for the use
 * of tiles: that changes every thread of the process. To name AMX must. */
static void test_levels_leave_process(void **state)
{
    (void)state;
    enum { GET_XCOMP_PERM = 0x1022, XTILEDATA = 18 };
    uint64_t features = 0;
    lull_cpu_level level;
    if (syscall(SYS_arch_prctl, GET_XCOMP_PERM, &features) != 0) skip();
    if (features >> XTILEDATA & 1) skip(); /* whoever started this process has asked */
    for (int i = 0; i < LULL_CPU_N_LEVELS; i++) (void)lull_cpu_has((lull_cpu_level)i);
    assert_int_equal(lull_cpu_level_parse(NULL, &level, NULL), LULL_OK);
    assert_int_equal(level, lull_cpu_best());
    assert_int_equal(lull_cpu_level_parse("ref", &level, NULL), LULL_OK);
    assert_int_equal(lull_cpu_level_parse("none such", &level, NULL), LULL_EINVAL);
    assert_int_equal(syscall(SYS_arch_prctl, GET_XCOMP_PERM, &features), 0);
    assert_int_equal(features >> XTILEDATA & 1, 0);
    if (!lull_cpu_has(LULL_CPU_AMX)) return;
    assert_int_equal(lull_cpu_level_parse("amx", &level, NULL), LULL_OK);
    assert_int_equal(syscall(SYS_arch_prctl, GET_XCOMP_PERM, &features), 0);
    assert_int_equal(features >> XTILEDATA & 1, 1);
}
#endif

/* ---- quantiser ------------------------------------------------------------------------------- */

/* Bit for bit, but for the scales: those of blocks with a NaN are NaN, with any payload. */
static void expect_same_panel(const uint8_t *got, const uint8_t *want, int n, int T,
                              const char *kind)
{
    size_t block_bytes = panel_block_bytes(T), all = (size_t)n / 32 * block_bytes;
    for (size_t b = 0; b < all; b += 4) {
        int at = (int)(b % block_bytes) / T;
        if (memcmp(got + b, want + b, 4) == 0) continue;
        if (at >= panel_s() && at < panel_neg())
            expect_same((const float *)(got + b), (const float *)(want + b), 1,
                        "quantize %s n=%d T=%d byte %zu", kind, n, T, b);
        else
            fail_msg("quantize %s n=%d T=%d: byte %zu or one of the next 3 differs (--seed %llu)",
                     kind, n, T, b, (unsigned long long)check_seed);
    }
}

static void test_quantize(void **state)
{
    const lull_kernels *k = kernels_of(state), *ref = kernels_of_ref();
    static const int sizes[] = {32, 64, 96, 576, MAX_COLS};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int p = 0; p < LULL_PANEL_SIZES; p++)
            for (values kind = 0; kind < N_VALUES; kind++) {
                int n = sizes[s], T = lull_panel_tokens[p], shift = random_int(2);
                guarded got = panel_new(T, n), want = panel_new(T, n);
                for (int t = 0; t < T; t++) {
                    if (T > 1 && random_int(4) == 0) continue; /* an unused slot stays zero */
                    fill(row, (size_t)n + 1, kind);
                    if (kind == WIDE) fill_with_outliers(row + shift, (size_t)n);
                    k->quantize(row + shift, n, T, t, got.data);
                    ref->quantize(row + shift, n, T, t, want.data);
                }
                expect_same_panel(got.data, want.data, n, T, values_names[kind]);
                assert_true(guarded_is_whole(&got) && guarded_is_whole(&want));
                guarded_free(&got);
                guarded_free(&want);
            }
}

/* A block by the words of kernels.h. */
typedef struct quantized {
    int q[32], group[2]; /* the outlying groups */
    float s;
} quantized;

static quantized quantize_block(const float *x)
{
    quantized out = {.group = {0, 4}};
    float group_top[8] = {0}, a = 0, g = 0;
    bool is_finite = true;
    for (int i = 0; i < 32; i++) {
        is_finite = is_finite && isfinite(x[i]);
        group_top[i / 4] = fmaxf(group_top[i / 4], fabsf(x[i]));
        a = fmaxf(a, fabsf(x[i]));
    }
    for (int j = 0; j < 8; j++)
        if (group_top[j] > group_top[out.group[j / 4]]) out.group[j / 4] = j;
    for (int j = 0; j < 8; j++)
        if (j != out.group[j / 4]) g = fmaxf(g, group_top[j]);
    if (!is_finite) {
        out.s = NAN;
        return out;
    }
    if (a < 0x1p-110f) return out;
    bool is_flat = 128.0f * g >= a && !has_16_bits();
    float r = is_flat ? 127.0f / g : 16256.0f / a;
    out.s = is_flat ? g / 127.0f : a / 16256.0f;
    for (int i = 0; i < 32; i++) out.q[i] = (int)rintf(x[i] * r);
    return out;
}

/* The high plane of column i, if it has one. */
static int high_of(const uint8_t *block, int T, int t, int i, const quantized *want, bool *has_high)
{
    *has_high = true;
    if (has_16_bits()) return ((const int8_t *)block)[LULL_PANEL16_HIGH * T + 32 * t + i];
    int half = i / 16;
    const int8_t *high = (const int8_t *)block + LULL_PANEL_HIGH * T + 4 * (half * T + t);
    const int32_t *group = (const int32_t *)(block + LULL_PANEL_GROUP * T) + half * T + t;
    if (isfinite(want->s)) assert_int_equal(*group, 64 * want->group[half]);
    *has_high = i / 4 == want->group[half];
    return *has_high ? high[i % 4] : 0;
}

static void test_quantize_definition(void **state)
{
    (void)state;
    const lull_kernels *ref = kernels_of_ref();
    enum { N = 512, T = 4, SLOT = 2 };
    for (int round = 0; round < 4 * N_VALUES; round++) {
        values kind = (values)(round % N_VALUES);
        guarded panel = panel_new(T, N);
        fill(row, N, kind);
        if (round / N_VALUES == 1) fill_with_outliers(row, N);
        if (round / N_VALUES == 2) /* halves of a step: ties to even, of both signs */
            for (int i = 0; i < N; i++)
                row[i] = i % 16 < 2 ? 127.0f : (float)(random_int(509) - 254) * 0.5f;
        ref->quantize(row, N, T, SLOT, panel.data);
        for (int b = 0; b < N / 32; b++) {
            const uint8_t *block = panel.data + (size_t)b * panel_block_bytes(T);
            const int8_t *low = (const int8_t *)block + 32 * SLOT;
            const float *s = (const float *)(block + panel_s() * T) + SLOT;
            const int32_t *neg = (const int32_t *)(block + panel_neg() * T) + SLOT;
            quantized want = quantize_block(row + 32 * b);
            int sum[2] = {0, 0};
            for (int i = 0; i < 32; i++) {
                bool has_high;
                int high = high_of(block, T, SLOT, i, &want, &has_high), q = low[i] + 128 * high;
                if (has_high) assert_in_range(low[i] + 64, 0, 127);
                assert_int_equal(q, want.q[i]);
                assert_in_range(abs(q), 0, has_high ? 16256 : 127);
                sum[i / 16] += q;
            }
            if (isfinite(want.s)) {
                assert_true(s[0] == want.s);
                assert_true(s[T] == want.s * (float)(sum[0] + sum[1]));
            } else {
                assert_false(isfinite(s[0]));
                assert_true(s[T] == 0);
            }
            assert_int_equal(neg[0], -sum[0]);
            assert_int_equal(neg[T], -sum[1]);
            for (int t = 0; t < T; t++) /* the other slots are not touched */
                for (int i = 0; t != SLOT && i < 32; i++) assert_int_equal(block[32 * t + i], 0);
        }
        assert_true(guarded_is_whole(&panel));
        guarded_free(&panel);
    }
}

/* ---- one tile -------------------------------------------------------------------------------- */

/* A packed tile and a panel of random numbers, and what they are made from. */
typedef struct product {
    lull_dtype dtype;
    int n_cols, n_tokens;
    size_t row_bytes;
    uint8_t *rows; /* [16][row_bytes] as in a file */
    float *x;      /* [n_tokens][n_cols] */
    guarded tile, panel;
} product;

static product product_new(lull_dtype t, int n_cols, int panel_size, values w_kind, values x_kind)
{
    product p = {.dtype = t, .n_cols = n_cols, .n_tokens = lull_panel_tokens[panel_size]};
    size_t n = (size_t)n_cols;
    p.row_bytes = lull_dtype_bytes(t, n);
    p.rows = malloc(LULL_TILE_ROWS * p.row_bytes);
    p.x = malloc(sizeof *p.x * n * (size_t)p.n_tokens);
    assert_true(p.rows && p.x);
    p.tile = guarded_new(lull_pack_tile_bytes(t, n_cols), 32); /* a tile begins at 32 at least */
    p.panel = panel_new(p.n_tokens, n_cols);
    for (int r = 0; r < LULL_TILE_ROWS; r++)
        random_weights(t, n, w_kind, p.rows + (size_t)r * p.row_bytes);
    lull_pack_tile(t, p.rows, p.row_bytes, LULL_TILE_ROWS, n_cols, p.tile.data);
    for (int k = 0; k < p.n_tokens; k++) {
        float *x = p.x + (size_t)k * n;
        fill(x, n, x_kind);
        if (x_kind ==
            EQUAL) /* so that integer sums reach their limits, with 16 bits where all are 1 */
            for (size_t i = 0; i < n; i++)
                x[i] = (k % 2 ? -1.0f : 1.0f) * (k % 4 < 2 && i % 16 < 4 ? 128.0f : 1.0f);
        if (x_kind == WIDE) fill_with_outliers(x, n - n % 32);
        if (is_float_type(t))
            fill_float_slot(x, n_cols, p.n_tokens, k, p.panel.data);
        else
            kernels_of_ref()->quantize(x, n_cols, p.n_tokens, k, p.panel.data);
    }
    return p;
}

static void product_free(product *p)
{
    assert_true(guarded_is_whole(&p->tile) && guarded_is_whole(&p->panel));
    guarded_free(&p->tile);
    guarded_free(&p->panel);
    free(p->rows);
    free(p->x);
}

/* Column counts for a type: one block, then around the loops over blocks, then a long row. */
static int columns(lull_dtype t, int i)
{
    static const int floats[] = {1, 2, 31, 32, 33, 63, 64, 65, 100, 576, 1000};
    static const int blocks[] = {1, 2, 3, 4, 5, 17, 31, 64};
    if (is_float_type(t)) return i < 11 ? floats[i] : 0;
    int elems = lull_dtype_info_of(t)->block_elems;
    return i < 8 && blocks[i] * elems <= MAX_COLS ? blocks[i] * elems : 0;
}

static void check_dot(const lull_kernels *k, lull_dtype t, int n, int size, values w, values x)
{
    const lull_kernels *ref = kernels_of_ref();
    product p = product_new(t, n, size, w, x);
    size_t n_out = (size_t)p.n_tokens * LULL_TILE_ROWS;
    guarded out = guarded_new(n_out * sizeof(float), 4);
    float want[LULL_PANEL_MAX * LULL_TILE_ROWS];
    ref->dot[t][size](p.tile.data, p.panel.data, n, want);
    k->dot[t][size](p.tile.data, p.panel.data, n, (float *)out.data);
    expect_same((float *)out.data, want, n_out, "%s, %s weights, %s input, %d columns, %d tokens",
                lull_dtype_info_of(t)->name, values_names[w], values_names[x], n, p.n_tokens);
    assert_true(guarded_is_whole(&out));
    guarded_free(&out);
    product_free(&p);
}

static void test_dot(void **state)
{
    const lull_kernels *k = kernels_of(state);
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++)
        for (int i = 0, n; (n = columns(t, i)) > 0; i++)
            for (int size = 0; size < LULL_PANEL_SIZES; size++)
                for (values x = 0; x < N_VALUES; x++) {
                    if (n > 1000 && x != ORDINARY && x != EQUAL) continue;
                    check_dot(k, t, n, size, x == EQUAL ? EQUAL : (values)random_int(N_VALUES), x);
                }
}

/* Wide tiles give what the packed ones give, and stay within their bytes. */
static void test_dot_wide(void **state)
{
    enum { N_TILES = 3, PANEL = LULL_PANEL_SIZES - 1 };
    const lull_kernels *k = kernels_of(state), *ref = kernels_of_ref();
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++)
        for (int i = 0, n; k->wide && k->wide[t].widen && (n = columns(t, i)) > 0; i++)
            for (values x = 0; x < N_VALUES; x++) {
                product p[N_TILES]; /* the tiles of all, with the panel of the first */
                size_t wide_bytes = lull_wide_tile_bytes(t, n);
                guarded wide = guarded_new(N_TILES * wide_bytes, 0);
                guarded work = guarded_new(lull_wide_work_bytes(n), 0);
                guarded out =
                    guarded_new(N_TILES * LULL_PANEL_MAX * LULL_TILE_ROWS * sizeof(float), 0);
                for (int tile = 0; tile < N_TILES; tile++) {
                    p[tile] = product_new(t, n, PANEL, x == EQUAL ? EQUAL : ORDINARY, x);
                    k->wide[t].widen(p[tile].tile.data, n, wide.data + (size_t)tile * wide_bytes);
                }
                k->wide[t].dot(wide.data, N_TILES, p[0].panel.data, n, work.data,
                               (float *)out.data);
                for (int tile = 0; tile < N_TILES; tile++) {
                    float expected[LULL_PANEL_MAX * LULL_TILE_ROWS];
                    ref->dot[t][PANEL](p[tile].tile.data, p[0].panel.data, n, expected);
                    expect_same((float *)out.data + tile * LULL_PANEL_MAX * LULL_TILE_ROWS,
                                expected, LULL_PANEL_MAX * LULL_TILE_ROWS,
                                "%s, %d columns, tile %d", lull_dtype_info_of(t)->name, n, tile);
                }
                assert_true(guarded_is_whole(&wide) && guarded_is_whole(&work) &&
                            guarded_is_whole(&out));
                guarded_free(&wide);
                guarded_free(&work);
                guarded_free(&out);
                for (int tile = 0; tile < N_TILES; tile++) product_free(&p[tile]);
            }
}

/* A token's bits do not depend on the panel nor on the slot that it stands in. */
static void test_dot_alone(void **state)
{
    const lull_kernels *k = kernels_of(state);
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++)
        for (int size = 1; size < LULL_PANEL_SIZES; size++) {
            product p = product_new(t, 512, size, ORDINARY, ORDINARY);
            guarded one = panel_new(1, p.n_cols);
            float all[LULL_PANEL_MAX * LULL_TILE_ROWS], alone[LULL_TILE_ROWS];
            k->dot[t][size](p.tile.data, p.panel.data, p.n_cols, all);
            for (int i = 0; i < p.n_tokens; i++) {
                const float *x = p.x + (size_t)i * (size_t)p.n_cols;
                if (is_float_type(t))
                    fill_float_slot(x, p.n_cols, 1, 0, one.data);
                else
                    k->quantize(x, p.n_cols, 1, 0, one.data);
                k->dot[t][0](p.tile.data, one.data, p.n_cols, alone);
                expect_same(alone, all + i * LULL_TILE_ROWS, LULL_TILE_ROWS, "%s token %d of %d",
                            lull_dtype_info_of(t)->name, i, p.n_tokens);
            }
            guarded_free(&one);
            product_free(&p);
        }
}

/* ---- the reference against binary64 ---------------------------------------------------------- */

/* A row's weights in two exact parts, d times code and minimum: by dequantising it with the other
 * part's scale set to zero. */
static void exact_parts(const product *p, int r, float *scaled, float *min)
{
    scale_places at = scale_places_of(p->dtype);
    size_t n = (size_t)p->n_cols, block_bytes = lull_dtype_info_of(p->dtype)->block_bytes;
    uint8_t *copy = malloc(p->row_bytes);
    assert_non_null(copy);
    for (int part = 0; part < 2; part++) {
        int zeroed = part == 0 ? at.min : at.d;
        memcpy(copy, p->rows + (size_t)r * p->row_bytes, p->row_bytes);
        for (size_t i = 0; zeroed >= 0 && i < p->row_bytes; i += block_bytes)
            memset(copy + i + zeroed, 0, 2);
        lull_dequantize(p->dtype, copy, n, part == 0 ? scaled : min);
    }
    if (at.min < 0) memset(min, 0, sizeof *min * n);
    free(copy);
}

/* What the quantiser makes of x. */
static void exact_input(const product *p, int t, double *x)
{
    const float *in = p->x + (size_t)t * (size_t)p->n_cols;
    for (int i = 0; i < p->n_cols; i++) x[i] = (double)in[i];
    if (is_float_type(p->dtype)) return;
    for (int b = 0; b < p->n_cols; b += 32) {
        quantized block = quantize_block(in + b);
        for (int i = 0; i < 32; i++) x[b + i] = block.q[i] * (double)block.s;
    }
}

static void test_dot_exact(void **state)
{
    (void)state;
    static float scaled[MAX_COLS], min[MAX_COLS];
    static double x[MAX_COLS];
    double worst = 0;
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++)
        for (int i = 0, n; (n = columns(t, i)) > 0; i++)
            for (values kind = ORDINARY; kind <= WIDE; kind++) {
                product p = product_new(t, n, 1, kind, kind);
                float out[LULL_PANEL_MAX * LULL_TILE_ROWS];
                kernels_of_ref()->dot[t][1](p.tile.data, p.panel.data, n, out);
                for (int token = 0; token < p.n_tokens; token++) {
                    exact_input(&p, token, x);
                    for (int r = 0; r < LULL_TILE_ROWS; r++) {
                        exact_parts(&p, r, scaled, min);
                        double sum = 0, terms = 0;
                        for (int c = 0; c < n; c++) {
                            double a = (double)scaled[c] * x[c], b = (double)min[c] * x[c];
                            sum += a + b;
                            terms += fabs(a) + fabs(b);
                        }
                        double got = (double)out[token * LULL_TILE_ROWS + r];
                        if (terms > 0) worst = fmax(worst, fabs(got - sum) / terms);
                        expect_near(got, sum, 8 * EPS * terms, "%s, %d columns, row %d, token %d",
                                    lull_dtype_info_of(t)->name, n, r, token);
                    }
                }
                product_free(&p);
            }
    print_message("at most %.2f of 2^-23 of the terms' magnitude off\n", worst / EPS);
}

/* Quantising costs at most half a step: of 1/16256 of the largest value; with 8 bits, of 1/127 of the
 * largest that does not lie in an outlying group, if that is more. */
static void test_quantize_accuracy(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * N_FINITE_VALUES; round++) {
        values kind = (values)(round % N_FINITE_VALUES);
        if (kind == DENORMAL) continue; /* as good as zero, by definition */
        fill(row, 1024, kind);
        if (round >= N_FINITE_VALUES) fill_with_outliers(row, 1024);
        for (int b = 0; b < 1024; b += 32) {
            quantized block = quantize_block(row + b);
            double a = 0, g = 0;
            for (int i = 0; i < 32; i++) {
                double x = fabs((double)row[b + i]);
                a = fmax(a, x);
                if (i / 4 != block.group[i / 16]) g = fmax(g, x);
            }
            double step = has_16_bits() ? a / 16256 : fmax(g / 127, a / 16256);
            for (int i = 0; i < 32; i++)
                expect_near(block.q[i] * (double)block.s, (double)row[b + i],
                            step * 0.5 + 4 * EPS * fabs((double)row[b + i]), "%s",
                            values_names[kind]);
        }
    }
}

/* ---- timing ---------------------------------------------------------------------------------- */

typedef struct bench_case {
    const lull_kernels *k;
    product *p;
    int size;
} bench_case;

static void bench_dot(void *ctx)
{
    bench_case *b = ctx;
    static float out[LULL_PANEL_MAX * LULL_TILE_ROWS];
    b->k->dot[b->p->dtype][b->size](b->p->tile.data, b->p->panel.data, b->p->n_cols, out);
}

enum { N_WIDE_TILES = 8 };
static _Alignas(64) uint8_t wide_tiles[N_WIDE_TILES * MAX_COLS * 64];

static void bench_dot_wide(void *ctx)
{
    bench_case *b = ctx;
    static _Alignas(64) uint8_t work[2 * LULL_PANEL_MAX * MAX_COLS];
    static float out[N_WIDE_TILES * LULL_PANEL_MAX * LULL_TILE_ROWS];
    b->k->wide[b->p->dtype].dot(wide_tiles, N_WIDE_TILES, b->p->panel.data, b->p->n_cols, work,
                                out);
}

static int bench(void)
{
    enum { N_COLS = 2048 };
    printf("10^9 multiply-adds a second (and 10^9 bytes of weights a second) from cache\n%-14s",
           "type, tokens");
    for (int l = 0; l < LULL_CPU_N_LEVELS; l++)
        if (lull_cpu_enable((lull_cpu_level)l)) printf("%18s", lull_cpu_level_name(l));
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++)
        for (int size = 0; size < LULL_PANEL_SIZES; size += LULL_PANEL_SIZES - 1) {
            product p = product_new(t, N_COLS, size, ORDINARY, ORDINARY);
            printf("\n%-6s %6d ", lull_dtype_info_of(t)->name, p.n_tokens);
            for (int l = 0; l < LULL_CPU_N_LEVELS; l++) {
                if (!lull_cpu_enable((lull_cpu_level)l)) continue;
                bench_case b = {lull_kernels_of(l, check_activations), &p, size};
                double s = time_call(bench_dot, &b);
                printf("%10.2f (%5.1f)", 1e-9 * N_COLS * LULL_TILE_ROWS * p.n_tokens / s,
                       1e-9 * (double)p.tile.n_bytes / s);
                if (!b.k->wide || !b.k->wide[t].widen || p.n_tokens < LULL_PANEL_MAX) continue;
                for (int i = 0; i < N_WIDE_TILES; i++)
                    b.k->wide[t].widen(p.tile.data, N_COLS,
                                       wide_tiles + (size_t)i * lull_wide_tile_bytes(t, N_COLS));
                printf(" wide %.2f", 1e-9 * N_WIDE_TILES * N_COLS * LULL_TILE_ROWS * p.n_tokens /
                                         time_call(bench_dot_wide, &b));
            }
            product_free(&p);
        }
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (check_start(argc, argv)) return bench();
#if defined(__x86_64__)
    add_test("levels are listed without asking for tiles", test_levels_leave_process);
#endif
    add_test("quantize ref by its definition", test_quantize_definition);
    add_test("quantize ref against binary64", test_quantize_accuracy);
    add_test("dot ref against binary64", test_dot_exact);
    add_level_tests("quantize", test_quantize);
    add_level_tests("dot", test_dot);
    add_level_tests("dot alone", test_dot_alone);
    add_level_tests("dot wide", test_dot_wide);
    return check_run(has_16_bits() ? "gemm, activations of 16 bits" : "gemm");
}
