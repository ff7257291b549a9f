/* Packed weights: what a tile holds, read by the words of pack.h, against exact dequantisation; and
 * the cache of packed files, which must never be believed when a byte of it is wrong. */
#include "kernel_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "model.h"
#include "random_weights.h"

/* ---- tiles ----------------------------------------------------------------------------------- */

/* pack.h's table as numbers: bits of a code, its offset, f16 scales beside a block, f16 in front of a
 * super-block, and how the integer scales are read. */
typedef enum scales { NO_SCALES, NIBBLES_OF_16, SIGNED_OF_16, SCALE_AND_MIN } scales;
typedef struct form {
    int n_bits, offset, n_half, n_super_half;
    scales scales;
} form;
static const form forms[LULL_DTYPE_N] = {
    [LULL_DTYPE_Q4_0] = {4, 8, 1, 0, NO_SCALES},
    [LULL_DTYPE_Q4_1] = {4, 0, 2, 0, NO_SCALES},
    [LULL_DTYPE_Q5_0] = {5, 16, 1, 0, NO_SCALES},
    [LULL_DTYPE_Q5_1] = {5, 0, 2, 0, NO_SCALES},
    [LULL_DTYPE_Q8_0] = {8, 128, 1, 0, NO_SCALES},
    [LULL_DTYPE_Q2_K] = {2, 0, 0, 2, NIBBLES_OF_16},
    [LULL_DTYPE_Q3_K] = {3, 4, 0, 1, SIGNED_OF_16},
    [LULL_DTYPE_Q4_K] = {4, 0, 0, 2, SCALE_AND_MIN},
    [LULL_DTYPE_Q5_K] = {5, 0, 0, 2, SCALE_AND_MIN},
    [LULL_DTYPE_Q6_K] = {6, 32, 0, 1, SIGNED_OF_16},
};

static double half_of_row(const uint8_t *p, int row)
{
    uint16_t h;
    memcpy(&h, p + 2 * row, 2);
    return (double)lull_f16_to_f32(h);
}

/* Bit `bit` of the code of (row, col). */
static int code_bit(const form *f, const uint8_t *block, int bit, int row, int col)
{
    int j = col / 4, at = 4 * row + col % 4;
    if (f->n_bits == 8) return block[64 * j + at] >> bit & 1;
    if (f->n_bits >= 4) {
        if (bit < 4) return block[64 * (j % 4) + at] >> (j / 4 * 4 + bit) & 1;
        if (f->n_bits == 5) return block[256 + at] >> j & 1;
        return block[256 + 64 * (j / 4) + at] >> (j % 4 * 2 + bit - 4) & 1;
    }
    if (bit < 2) return block[64 * (j / 4) + at] >> (j % 4 * 2 + bit) & 1;
    return block[128 + at] >> j & 1;
}

static void unpack_quantized(const form *f, const uint8_t *tile, int row, int n_cols, float *out)
{
    const uint8_t *super = NULL;
    for (int b = 0; b < n_cols / 32; b++) {
        if (f->n_super_half && b % 8 == 0) {
            super = tile;
            tile += 32 * f->n_super_half;
        }
        const uint8_t *after = tile + 64 * f->n_bits, *halves = super ? super : after;
        double d = half_of_row(halves, row);
        double m = f->n_half + f->n_super_half == 2 ? half_of_row(halves + 32, row) : 0;
        for (int c = 0; c < 32; c++) {
            int code = 0, scale = 1, min = 1;
            const uint8_t *own = after + 16 * (c / 16) + row; /* of 16 columns */
            for (int bit = 0; bit < f->n_bits; bit++) code |= code_bit(f, tile, bit, row, c) << bit;
            if (f->scales == NIBBLES_OF_16) {
                scale = *own & 15;
                min = -(*own >> 4);
            } else if (f->scales == SIGNED_OF_16) {
                scale = (int8_t)*own;
            } else if (f->scales == SCALE_AND_MIN) {
                scale = after[row];
                min = -after[16 + row];
            }
            /* Exact in binary64, so rounded once, as dequantisation does. */
            out[32 * b + c] = (float)(d * scale * (code - f->offset) + m * min);
        }
        tile = after + 32 * f->n_half + (f->scales == NO_SCALES ? 0 : 32);
    }
}

static void unpack(lull_dtype t, const uint8_t *tile, int row, int n_cols, float *out)
{
    if (forms[t].n_bits > 0) {
        unpack_quantized(&forms[t], tile, row, n_cols, out);
        return;
    }
    size_t elem = t == LULL_DTYPE_F32 ? 4 : 2;
    for (int c = 0; c < n_cols; c++)
        lull_dequantize(t, tile + elem * ((size_t)c * LULL_TILE_ROWS + (size_t)row), 1, &out[c]);
}

static void test_tiles(void **state)
{
    (void)state;
    enum { N_COLS = 512 };
    static float got[N_COLS], want[N_COLS];
    static uint8_t src[LULL_TILE_ROWS * N_COLS * 4 + 1];
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++)
        for (int n_rows = 1; n_rows <= LULL_TILE_ROWS; n_rows++)
            for (values kind = ORDINARY; kind < N_FINITE_VALUES; kind++) {
                size_t row_bytes = lull_dtype_bytes(t, N_COLS), shift = (size_t)random_int(2);
                size_t tile_bytes = lull_pack_tile_bytes(t, N_COLS);
                assert_int_equal(tile_bytes % 32, 0);
                guarded tile = guarded_new(tile_bytes, 0);
                for (int r = 0; r < n_rows; r++)
                    random_weights(t, N_COLS, kind, src + shift + (size_t)r * row_bytes);
                lull_pack_tile(t, src + shift, row_bytes, n_rows, N_COLS, tile.data);
                for (int r = 0; r < LULL_TILE_ROWS; r++) {
                    unpack(t, tile.data, r, N_COLS, got);
                    if (r < n_rows)
                        lull_dequantize(t, src + shift + (size_t)r * row_bytes, N_COLS, want);
                    else
                        for (int c = 0; c < N_COLS; c++) want[c] = got[c] == 0 ? got[c] : 0;
                    for (int c = 0; c < N_COLS; c++)
                        if (got[c] != want[c])
                            fail_msg("%s row %d of %d, column %d: %a, not %a (--seed %llu)",
                                     lull_dtype_info_of(t)->name, r, n_rows, c, (double)got[c],
                                     (double)want[c], (unsigned long long)check_seed);
                }
                assert_true(guarded_is_whole(&tile));
                guarded_free(&tile);
            }
}

static void test_tile_sizes(void **state)
{
    (void)state;
    /* Bytes of a tile of 512 columns: 16 rows at the width of the format, less or more what the
     * scales take. */
    static const size_t want[LULL_DTYPE_N] = {[LULL_DTYPE_F32] = 512 * 64,
                                              [LULL_DTYPE_F16] = 512 * 32,
                                              [LULL_DTYPE_BF16] = 512 * 32,
                                              [LULL_DTYPE_Q4_0] = 16 * 288,
                                              [LULL_DTYPE_Q4_1] = 16 * 320,
                                              [LULL_DTYPE_Q5_0] = 16 * 352,
                                              [LULL_DTYPE_Q5_1] = 16 * 384,
                                              [LULL_DTYPE_Q8_0] = 16 * 544,
                                              [LULL_DTYPE_Q2_K] = 2 * (64 + 8 * 160),
                                              [LULL_DTYPE_Q3_K] = 2 * (32 + 8 * 224),
                                              [LULL_DTYPE_Q4_K] = 2 * (64 + 8 * 288),
                                              [LULL_DTYPE_Q5_K] = 2 * (64 + 8 * 352),
                                              [LULL_DTYPE_Q6_K] = 2 * (32 + 8 * 416)};
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++) {
        assert_int_equal(lull_pack_tile_bytes(t, 512), want[t]);
        if (forms[t].n_bits) assert_int_equal(lull_code_offset(t), forms[t].offset);
    }
    for (int n = 0; n < 50; n++)
        assert_int_equal(lull_packed_n_tiles(&(lull_packed){.n_rows = n}), (n + 15) / 16);
}

/* ---- the cache ------------------------------------------------------------------------------- */

#define MODEL LULL_TEST_MODELS "/tiny-llama.gguf"
#define OTHER_MODEL LULL_TEST_MODELS "/tiny-long.gguf"

static char folder[64];
static lull_device *device;
static uint8_t *right; /* all tiles of MODEL, packed without a cache */
static size_t right_bytes;

static lull_model_core *open_core(const char *path)
{
    lull_gguf *g;
    lull_model_core *m;
    lull_error err;
    if (lull_gguf_open(path, &g, &err) != LULL_OK) fail_msg("%s", err.msg);
    if (lull_model_core_new(g, LULL_KV_F16, &m, &err) != LULL_OK) fail_msg("%s", err.msg);
    return m;
}

static lull_model_core *load(const char *path, const char *cache_dir)
{
    lull_model_core *m = open_core(path);
    lull_error err;
    lull_load_options options = {.cache_dir = cache_dir};
    if (lull_weights_load(m, device, &options, &err) != LULL_OK) fail_msg("%s", err.msg);
    for (int i = 0; i < m->n_matrices; i++)
        assert_int_equal((uintptr_t)m->matrices[i]->packed.data % 64, 0);
    return m;
}

/* All tiles of a loaded model, in order of use. */
static const uint8_t *tiles_of(const lull_model_core *m)
{
    return m->matrices[0]->packed.data - m->matrices[0]->offset;
}

static void expect_right(const lull_model_core *m)
{
    assert_int_equal(m->weight_bytes, right_bytes);
    for (int i = 0; i < m->n_matrices; i++) { /* some may have moved (test_settle) */
        const lull_packed *p = &m->matrices[i]->packed;
        assert_memory_equal(p->data, right + m->matrices[i]->offset, lull_packed_bytes(p));
    }
}

static int start_cache(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lull-pack-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    if (lull_device_new_cpu(LULL_CPU_REF, LULL_ACTIVATIONS_8, 3, &device, NULL) != LULL_OK)
        return -1;
    lull_model_core *m = load(MODEL, "");
    right_bytes = m->weight_bytes;
    right = malloc(right_bytes);
    memcpy(right, tiles_of(m), right_bytes);
    lull_model_core_free(m);
    return 0;
}

static int end_cache(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    free(right);
    lull_device_free(device);
    return system(command);
}

/* The only file of a folder of the cache; its name counts, not that of a temporary one. */
static const char *only_file(const char *sub)
{
    static char path[512];
    char dir[128];
    snprintf(dir, sizeof dir, "%s/%s", folder, sub);
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            n++;
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        }
    closedir(d);
    assert_int_equal(n, 1);
    return path;
}

static void flip(const char *path, long at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1 << random_int(8));
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static long file_bytes(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (long)info.st_size;
}

static void empty_cache(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'/*", folder);
    assert_int_equal(system(command), 0);
}

/* The matrices, unpacked, are those of the file. */
static void test_loaded(void **state)
{
    (void)state;
    lull_model_core *m = load(MODEL, "");
    assert_false(m->is_from_cache);
    bool seen[LULL_DTYPE_N] = {false};
    for (int i = 0; i < m->n_matrices; i++) {
        const lull_matrix *x = m->matrices[i];
        const lull_packed *p = &x->packed;
        seen[p->dtype] = true;
        size_t n = (size_t)p->n_cols;
        float *got = malloc(2 * n * sizeof *got), *want = got + n;
        assert_non_null(got);
        for (int r = 0; r < p->n_rows; r++) {
            unpack(p->dtype, p->data + (size_t)(r / 16) * p->tile_bytes, r % 16, p->n_cols, got);
            lull_dequantize(p->dtype, x->tensor->data + (size_t)r * lull_dtype_bytes(p->dtype, n),
                            n, want);
            for (size_t c = 0; c < n; c++) assert_true(got[c] == want[c]);
        }
        free(got);
    }
    for (lull_dtype t = 0; t < LULL_DTYPE_N; t++) assert_true(seen[t]);
    lull_model_core_free(m);
}

static void test_round_trip(void **state)
{
    (void)state;
    empty_cache();
    for (int i = 0; i < 3; i++) {
        lull_model_core *m = load(MODEL, folder);
        assert_true(m->is_from_cache == (i > 0));
        expect_right(m);
        lull_model_core_free(m);
        only_file("packs");
        only_file("digests");
    }
    assert_int_equal(file_bytes(only_file("packs")) % 4096, (long)(right_bytes % 4096));
}

/* docs/format-pack.md as numbers. */
static void test_pack_file(void **state)
{
    (void)state;
    empty_cache();
    lull_model_core *m = load(MODEL, folder);
    lull_file_map map;
    assert_int_equal(lull_file_map_open(only_file("packs"), &map, NULL), LULL_OK);
    uint32_t u32[2];
    uint64_t u64[5];
    lull_checksum sum;
    assert_memory_equal(map.data, "lullpack", 8);
    memcpy(u32, map.data + 8, 8);
    assert_int_equal(u32[0], LULL_PACK_VERSION);
    assert_int_equal(u32[1], 4 << 20);
    assert_memory_equal(map.data + 16, m->weights_digest.bytes, 32);
    memcpy(u64, map.data + 48, 40); /* offset, bytes, chunks, checksum */
    assert_int_equal(u64[0], 4096);
    assert_int_equal(u64[1], right_bytes);
    assert_int_equal(u64[2], 1);
    assert_int_equal(map.n_bytes, 4096 + right_bytes);
    lull_checksum parts[2] = {lull_checksum_of(map.data, 72), lull_checksum_of(map.data + 88, 16)};
    sum = lull_checksum_of(parts, sizeof parts);
    assert_memory_equal(map.data + 72, &sum, 16);
    sum = lull_checksum_of(map.data + 4096, right_bytes);
    assert_memory_equal(map.data + 88, &sum, 16);
    assert_memory_equal(map.data + 4096, right, right_bytes);
    for (int i = 104; i < 4096; i++) assert_int_equal(map.data[i], 0);
    lull_file_map_close(&map);
    lull_model_core_free(m);
}

/* Each byte of the head, and bytes all over the data: packed anew, and the file is good again. */
static void test_flips(void **state)
{
    (void)state;
    empty_cache();
    lull_model_core_free(load(MODEL, folder));
    const char *path = only_file("packs");
    long n = file_bytes(path);
    for (int i = 0; i < 104 + 60; i++) {
        long at = i < 104    ? i
                  : i == 104 ? n - 1
                  : i == 105 ? 4096
                             : 4096 + (long)(random_u64() % right_bytes);
        flip(path, at);
        lull_model_core *m = load(MODEL, folder); /* packed anew, and written again */
        expect_right(m);
        assert_false(m->is_from_cache);
        lull_model_core_free(m);
        assert_int_equal(file_bytes(path), n);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    empty_cache();
    lull_model_core_free(load(MODEL, folder));
    const char *path = only_file("packs");
    long n = file_bytes(path);
    const long lengths[] = {0, 1, 87, 88, 103, 104, 4095, 4096, n / 2, n - 1, n + 1, n + 4096};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        lull_model_core *m = load(MODEL, folder);
        expect_right(m);
        lull_model_core_free(m);
        assert_int_equal(file_bytes(path), n);
    }
}

/* Another model's whole and valid file under this one's name. */
static void test_swapped(void **state)
{
    (void)state;
    empty_cache();
    lull_model_core_free(load(OTHER_MODEL, folder));
    char other[512], command[1200];
    strcpy(other, only_file("packs"));
    lull_model_core *m = load(MODEL, folder);
    char hex[65];
    lull_digest_hex(&m->weights_digest, hex);
    lull_model_core_free(m);
    snprintf(command, sizeof command, "cp '%s' '%s/packs/%s-%d.pack'", other, folder, hex,
             LULL_PACK_VERSION);
    assert_int_equal(system(command), 0);
    m = load(MODEL, folder);
    expect_right(m);
    lull_model_core_free(m);
}

/* A damaged digest line is computed again, to the same digest. */
static void test_digest_line(void **state)
{
    (void)state;
    empty_cache();
    lull_model_core *m = load(MODEL, folder);
    lull_digest digest = m->weights_digest;
    lull_model_core_free(m);
    const char *path = only_file("digests");
    long n = file_bytes(path);
    assert_int_equal(n, 98);
    for (long at = 0; at < n + 2; at++) {
        if (at < n)
            flip(path, at);
        else
            assert_int_equal(truncate(path, at == n ? 97 : 0), 0);
        m = load(MODEL, folder);
        assert_memory_equal(&m->weights_digest, &digest, sizeof digest);
        expect_right(m);
        lull_model_core_free(m);
        assert_int_equal(file_bytes(path), n);
    }
}

static int compare_tensors(const void *a, const void *b)
{
    const lull_gguf_tensor *x = *(const lull_gguf_tensor *const *)a;
    const lull_gguf_tensor *y = *(const lull_gguf_tensor *const *)b;
    char names[2][128];
    snprintf(names[0], 128, "%.*s", (int)x->name.n_bytes, x->name.data);
    snprintf(names[1], 128, "%.*s", (int)y->name.n_bytes, y->name.data);
    return strcmp(names[0], names[1]);
}

/* The digest by its definition; every tensor here is smaller than a piece. */
static void test_digest(void **state)
{
    (void)state;
    lull_model_core *m = load(MODEL, "");
    size_t n = lull_gguf_n_tensors(m->gguf);
    const lull_gguf_tensor *tensors[64];
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++) tensors[i] = lull_gguf_tensor_at(m->gguf, i);
    qsort(tensors, n, sizeof *tensors, compare_tensors);
    lull_buffer b = {0};
    lull_buffer_append_str(&b, "lull-weights-1");
    for (size_t i = 0; i < n; i++) {
        const lull_gguf_tensor *t = tensors[i];
        uint64_t name_bytes = t->name.n_bytes;
        uint32_t type = lull_dtype_info_of(t->dtype)->ggml_type, n_dims = (uint32_t)t->n_dims;
        lull_digest data = lull_digest_of(t->data, t->n_bytes);
        lull_buffer_append(&b, &name_bytes, 8);
        lull_buffer_append(&b, t->name.data, t->name.n_bytes);
        lull_buffer_append(&b, &type, 4);
        lull_buffer_append(&b, &n_dims, 4);
        lull_buffer_append(&b, t->dims, 8 * (size_t)t->n_dims);
        lull_buffer_append(&b, data.bytes, 32);
    }
    lull_digest want = lull_digest_of(b.data, b.n_bytes);
    assert_memory_equal(&m->weights_digest, &want, sizeof want);
    lull_buffer_fini(&b);
    lull_model_core_free(m);
}

/* ---- caches that cannot be used -------------------------------------------------------------- */

static void expect_unmapped(const char *cache_dir)
{
    lull_model_core *m = load(MODEL, cache_dir);
    assert_false(m->is_from_cache);
    expect_right(m);
    lull_model_core_free(m);
}

static void test_no_folder(void **state)
{
    (void)state;
    char path[128];
    empty_cache();
    snprintf(path, sizeof path, "%s/file", folder);
    assert_int_equal(lull_file_replace(path, "x", 1, NULL), LULL_OK);
    expect_unmapped(path); /* a file where the folder should be */
    strcat(path, "/below");
    expect_unmapped(path);
    expect_unmapped("/proc/lull"); /* where nobody can make one */
    char *long_path = malloc(5000);
    memset(long_path, 'x', 4999);
    long_path[0] = '/';
    long_path[4999] = '\0';
    expect_unmapped(long_path);
    free(long_path);
}

/* A disk that is full after so many bytes: files may not grow past a limit. */
static void test_full_disk(void **state)
{
    (void)state;
    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN); /* so that write fails with EFBIG */
    const rlim_t sizes[] = {0, 50, 88, 100, 4096, 5000, 4096 + right_bytes - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        empty_cache();
        limit = old;
        limit.rlim_cur = sizes[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        lull_model_core *m = load(MODEL, folder);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_false(m->is_from_cache);
        expect_right(m);
        lull_model_core_free(m);
        char dir[128];
        snprintf(dir, sizeof dir, "%s/packs", folder);
        assert_int_equal(rmdir(dir), 0); /* nothing half written is left */
    }
    signal(SIGXFSZ, SIG_DFL);
    for (int i = 0; i < 2; i++) { /* room again */
        lull_model_core *m = load(MODEL, folder);
        assert_true(m->is_from_cache == (i > 0));
        lull_model_core_free(m);
    }
}

/* ---- memory given back ----------------------------------------------------------------------- */

static atomic_uintptr_t last_given_back; /* the highest address */

int __real_madvise(void *p, size_t n, int advice);
int __wrap_madvise(void *p, size_t n, int advice);
int __wrap_madvise(void *p, size_t n, int advice)
{
    uintptr_t end = (uintptr_t)p + n, last = atomic_load(&last_given_back);
    if (advice == MADV_DONTNEED)
        while (last < end && !atomic_compare_exchange_weak(&last_given_back, &last, end)) {
        }
    return __real_madvise(p, n, advice);
}

/* Packing gives back the file's pages, and none of what lies behind: the last tile is of fewer rows. */
static void test_given_back(void **state)
{
    (void)state;
    lull_model_core *m = open_core(LULL_TEST_MODELS "/tiny-odd.gguf");
    const lull_file_map *file = lull_gguf_file(m->gguf);
    uintptr_t start = (uintptr_t)file->data, end = start + file->n_bytes;
    lull_load_options options = {.cache_dir = ""};
    atomic_store(&last_given_back, start);
    assert_int_equal(lull_weights_load(m, device, &options, NULL), LULL_OK);
    assert_in_range(atomic_load(&last_given_back), start + file->n_bytes / 2, end);
    lull_model_core_free(m);
}

/* ---- huge pages ------------------------------------------------------------------------------ */

/* The first run finds the map, the second starts the copy, a later one uses it; from then on the file does
 * not matter. A model may end at any moment of it. */
static void test_settle(void **state)
{
    (void)state;
    empty_cache();
    lull_model_core_free(load(MODEL, folder));
    for (int n_runs = 0; n_runs < 3; n_runs++) {
        lull_model_core *m = load(MODEL, folder);
        for (int i = 0; i < n_runs; i++) lull_weights_settle(m);
        lull_model_core_free(m);
    }
    lull_model_core *m = load(MODEL, folder);
    assert_true(m->is_mapped);
    lull_weights_settle(m);
    assert_null(m->copy);
    if (lull_memory_has_huge_pages()) {
        lull_weights_settle(m);
        assert_non_null(m->copy);
        for (int i = 0; i < 10000 && m->is_mapped; i++) {
            expect_right(m);
            usleep(1000);
            lull_weights_settle(m);
        }
        assert_false(m->is_mapped);
        assert_null(m->copy);
        flip(only_file("packs"), file_bytes(only_file("packs")) - 1);
        lull_weights_settle(m);
    } else {
        print_message("no huge pages here: weights stay mapped\n");
    }
    expect_right(m);
    lull_model_core_free(m);
}

/* ---- progress -------------------------------------------------------------------------------- */

typedef struct progress {
    uint64_t done, total;
    int n_calls;
    bool goes_on;
} progress;

static bool note_progress(void *user, uint64_t done, uint64_t total)
{
    progress *p = user;
    assert_true(done >= p->done && done <= total);
    p->done = done;
    p->total = total;
    p->n_calls++;
    return p->goes_on;
}

static void test_progress(void **state)
{
    (void)state;
    lull_device *one;
    assert_int_equal(lull_device_new_cpu(LULL_CPU_REF, LULL_ACTIVATIONS_8, 1, &one, NULL), LULL_OK);
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        progress p = {.goes_on = goes_on};
        lull_model_core *m = open_core(MODEL);
        lull_error err;
        lull_load_options options = {.cache_dir = "", .on_progress = note_progress, .user = &p};
        lull_status st = lull_weights_load(m, one, &options, &err);
        assert_int_equal(st, goes_on ? LULL_OK : LULL_ECANCELLED);
        assert_true(p.n_calls > (goes_on ? 3 : 0));
        assert_in_range(p.total, right_bytes - 64 * (size_t)m->n_matrices, right_bytes);
        if (goes_on) assert_int_equal(p.done, p.total);
        lull_model_core_free(m);
    }
    lull_device_free(one);
}

int main(int argc, char **argv)
{
    (void)check_start(argc, argv);
    add_test("tiles hold what the file holds", test_tiles);
    add_test("sizes of tiles", test_tile_sizes);
    add_test("a loaded model's matrices", test_loaded);
    add_test("cache: round trip", test_round_trip);
    add_test("cache: bytes of the file", test_pack_file);
    add_test("cache: flipped bytes", test_flips);
    add_test("cache: wrong lengths", test_lengths);
    add_test("cache: another model's file", test_swapped);
    add_test("cache: damaged digest", test_digest_line);
    add_test("digest by its definition", test_digest);
    add_test("cache: no folder", test_no_folder);
    add_test("cache: full disk", test_full_disk);
    add_test("packing gives back the file alone", test_given_back);
    add_test("cache: from the map to huge pages", test_settle);
    add_test("progress and cancelling", test_progress);
    return _cmocka_run_group_tests("pack", check_tests, n_check_tests, start_cache, end_cache);
}
