/* Loading weights: the digest that identifies them, their packed form, and the cache of packed
 * files on disk.
 *
 *   <cache>/digests/<device>-<inode>-<bytes>-<mtime>  a file's weights digest, computed once
 *   <cache>/packs/<digest>-<version>.pack             all matrices packed (docs/format-pack.md)
 *
 * The cache holds nothing that cannot be made again. It is written beside its name and renamed;
 * every byte of it is checksummed and checked when it is mapped; whatever is wrong with it,
 * weights are packed anew, and when it cannot be written they stay in memory. Mapped weights move to
 * huge pages after the first run. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "model.h"

enum {
    PIECE_BYTES = 16 << 20, /* of a tensor, digested at a time */
    CHUNK_BYTES = 4 << 20,  /* of a pack file, under one checksum */
    COPY_BYTES = 1 << 20,   /* of weights, copied at a time */
    PIECE_TILES = 64,       /* of a matrix, packed at a time */
    PACK_ALIGN = 4096,
    MAX_PATH = 4096
};

/* The head of a pack file, little-endian; the checksums of the chunks follow. */
typedef struct pack_header {
    char magic[8];
    uint32_t version, chunk_bytes;
    uint8_t digest[32];
    uint64_t data_offset, data_bytes, n_chunks;
    lull_checksum checksum; /* of what stands before, and of the chunks' checksums after */
} pack_header;

static const char pack_magic[8] = "lullpack";

static uint64_t ceil_div64(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* ---- digest ---------------------------------------------------------------------------------- */

/* Bytes [from, from + n) of a mapped file that were read once need not stay resident: the system
 * gives them back if they are read again. */
static void drop_mapped(const uint8_t *from, size_t n)
{
    enum { SYSTEM_PAGE = 4096 };
    uintptr_t start = ((uintptr_t)from + SYSTEM_PAGE - 1) / SYSTEM_PAGE * SYSTEM_PAGE;
    uintptr_t end = ((uintptr_t)from + n) / SYSTEM_PAGE * SYSTEM_PAGE;
    if (start < end) madvise((void *)start, end - start, MADV_DONTNEED);
}

static void drop_source(const lull_file_map *file, const uint8_t *from, size_t n)
{
    if (file->data) drop_mapped(from, n);
}

typedef struct digest_piece {
    const uint8_t *data;
    size_t n_bytes;
    lull_digest digest;
} digest_piece;

typedef struct digest_work {
    digest_piece *pieces;
    int n;
    atomic_int next;
    const lull_file_map *file;
} digest_work;

static void digest_pieces(void *ctx, int member, int n_members)
{
    (void)member, (void)n_members;
    digest_work *w = ctx;
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < w->n;) {
        digest_piece *p = &w->pieces[i];
        p->digest = lull_digest_of(p->data, p->n_bytes);
        drop_source(w->file, p->data, p->n_bytes);
    }
}

static int compare_names(const void *a, const void *b)
{
    const lull_gguf_tensor *x = *(const lull_gguf_tensor *const *)a,
                           *y = *(const lull_gguf_tensor *const *)b;
    size_t n = x->name.n_bytes < y->name.n_bytes ? x->name.n_bytes : y->name.n_bytes;
    int order = memcmp(x->name.data, y->name.data, n);
    return order ? order
                 : (x->name.n_bytes > y->name.n_bytes) - (x->name.n_bytes < y->name.n_bytes);
}

/* BLAKE2b-256 over the tensors in order of name: name, type, shape and the digests of the pieces
 * of their data. */
static lull_status compute_digest(lull_model_core *m, lull_device *device, lull_error *err)
{
    size_t n = lull_gguf_n_tensors(m->gguf), n_pieces = 0;
    lull_status st = LULL_OK;
    lull_buffer text = {0};
    digest_work work = {.file = lull_gguf_file(m->gguf)};
    const lull_gguf_tensor **tensors = calloc(n + 1, sizeof *tensors);
    for (size_t i = 0; tensors && i < n; i++) {
        tensors[i] = lull_gguf_tensor_at(m->gguf, i);
        n_pieces += ceil_div64(tensors[i]->n_bytes, PIECE_BYTES);
    }
    work.pieces = calloc(n_pieces + 1, sizeof *work.pieces);
    if (!tensors || !work.pieces) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory");
        goto done;
    }
    qsort(tensors, n, sizeof *tensors, compare_names);
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at < tensors[i]->n_bytes; at += PIECE_BYTES) {
            size_t rest = tensors[i]->n_bytes - at;
            work.pieces[work.n++] = (digest_piece){
                tensors[i]->data + at, rest < PIECE_BYTES ? rest : PIECE_BYTES, {{0}}};
        }
    lull_device_parallel(device, digest_pieces, &work);
    lull_buffer_append_str(&text, "lull-weights-1");
    for (size_t i = 0, piece = 0; i < n; i++) {
        const lull_gguf_tensor *t = tensors[i];
        uint64_t name_bytes = t->name.n_bytes;
        uint32_t kind[2] = {lull_dtype_info_of(t->dtype)->ggml_type, (uint32_t)t->n_dims};
        lull_buffer_append(&text, &name_bytes, sizeof name_bytes);
        lull_buffer_append(&text, t->name.data, t->name.n_bytes);
        lull_buffer_append(&text, kind, sizeof kind);
        lull_buffer_append(&text, t->dims, sizeof *t->dims * (size_t)t->n_dims);
        for (size_t at = 0; at < t->n_bytes; at += PIECE_BYTES, piece++)
            lull_buffer_append(&text, work.pieces[piece].digest.bytes, sizeof(lull_digest));
    }
    if (text.is_failed)
        st = lull_fail(err, LULL_ENOMEM, "out of memory");
    else
        m->weights_digest = lull_digest_of(text.data, text.n_bytes);
done:
    lull_buffer_fini(&text);
    free(work.pieces);
    free(tensors);
    return st;
}

/* One line: the digest in hex and the checksum of that in hex. */
enum { DIGEST_LINE = 64 + 1 + 32 + 1 };

static void write_digest_line(const lull_digest *d, char line[DIGEST_LINE + 1])
{
    lull_digest_hex(d, line);
    lull_checksum c = lull_checksum_of(line, 64);
    snprintf(line + 64, DIGEST_LINE + 1 - 64, " %016llx%016llx\n", (unsigned long long)c.hi,
             (unsigned long long)c.lo);
}

static bool read_digest_line(const char *text, lull_digest *d)
{
    char again[DIGEST_LINE + 1];
    for (int i = 0; i < 32; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) return false;
        d->bytes[i] = (uint8_t)byte;
    }
    write_digest_line(d, again);
    return memcmp(again, text, DIGEST_LINE) == 0;
}

static lull_status find_digest(lull_model_core *m, lull_device *device, const char *cache_dir,
                               lull_error *err)
{
    char path[MAX_PATH], line[DIGEST_LINE + 1], *text = NULL;
    const lull_file_map *file = lull_gguf_file(m->gguf);
    int n = snprintf(path, sizeof path, "%s/digests", cache_dir);
    bool has_cache = *cache_dir && n > 0 && n < MAX_PATH - 100 && file->inode != 0 &&
                     lull_dir_create(path, NULL) == LULL_OK;
    if (has_cache) {
        snprintf(path + n, sizeof path - (size_t)n, "/%llx-%llx-%zx-%llx",
                 (unsigned long long)file->device, (unsigned long long)file->inode, file->n_bytes,
                 (unsigned long long)file->mtime_ns);
        size_t n_bytes;
        bool is_known = lull_file_read(path, 4096, &text, &n_bytes, NULL) == LULL_OK &&
                        n_bytes == DIGEST_LINE && read_digest_line(text, &m->weights_digest);
        free(text);
        if (is_known) return LULL_OK;
    }
    lull_status st = compute_digest(m, device, err);
    if (st == LULL_OK && has_cache) {
        write_digest_line(&m->weights_digest, line);
        st = lull_file_replace(path, line, DIGEST_LINE, NULL);
        st = LULL_OK; /* computed again next time */
    }
    return st;
}

/* ---- packing --------------------------------------------------------------------------------- */

typedef struct pack_work {
    lull_model_core *m;
    uint8_t *data; /* of all tiles */
    const lull_load_options *options;
    uint64_t total;
    atomic_int next_matrix_piece;
    atomic_ullong done;
    atomic_bool is_cancelled;
    int *first_piece; /* [n_matrices + 1] */
} pack_work;

static void pack_pieces(void *ctx, int member, int n_members)
{
    (void)n_members;
    pack_work *w = ctx;
    lull_model_core *m = w->m;
    for (int i, k = 0;
         (i = atomic_fetch_add(&w->next_matrix_piece, 1)) < w->first_piece[m->n_matrices];) {
        if (atomic_load(&w->is_cancelled)) return;
        while (i >= w->first_piece[k + 1]) k++; /* claims ascend */
        const lull_matrix *matrix = m->matrices[k];
        const lull_packed *p = &matrix->packed;
        int tile = (i - w->first_piece[k]) * PIECE_TILES, end = tile + PIECE_TILES;
        if (end > lull_packed_n_tiles(p)) end = lull_packed_n_tiles(p);
        size_t row_bytes = lull_dtype_bytes(p->dtype, (size_t)p->n_cols),
               n_bytes = (size_t)(end - tile) * p->tile_bytes;
        int first_row = tile * LULL_TILE_ROWS, end_row = end * LULL_TILE_ROWS;
        if (end_row > p->n_rows) end_row = p->n_rows; /* the last tile may be of fewer */
        const uint8_t *source = matrix->tensor->data + (size_t)first_row * row_bytes;
        for (; tile < end; tile++) {
            int row = tile * LULL_TILE_ROWS,
                n_rows = p->n_rows - row < LULL_TILE_ROWS ? p->n_rows - row : LULL_TILE_ROWS;
            lull_pack_tile(p->dtype, matrix->tensor->data + (size_t)row * row_bytes, row_bytes,
                           n_rows, p->n_cols,
                           w->data + matrix->offset + (size_t)tile * p->tile_bytes);
        }
        drop_source(lull_gguf_file(m->gguf), source, (size_t)(end_row - first_row) * row_bytes);
        uint64_t done = atomic_fetch_add(&w->done, n_bytes) + n_bytes;
        if (member == 0 && w->options->on_progress &&
            !w->options->on_progress(w->options->user, done, w->total))
            atomic_store(&w->is_cancelled, true);
    }
}

static lull_status pack_all(lull_model_core *m, lull_device *device,
                            const lull_load_options *options, uint8_t *data, lull_error *err)
{
    pack_work w = {.m = m, .data = data, .options = options};
    w.first_piece = calloc((size_t)m->n_matrices + 1, sizeof *w.first_piece);
    if (!w.first_piece) return lull_fail(err, LULL_ENOMEM, "out of memory");
    for (int i = 0; i < m->n_matrices; i++) {
        const lull_packed *p = &m->matrices[i]->packed;
        uint64_t n_tiles = (uint64_t)lull_packed_n_tiles(p);
        w.first_piece[i + 1] = w.first_piece[i] + (int)ceil_div64(n_tiles, PIECE_TILES);
        w.total += lull_packed_bytes(p); /* weight_bytes has gaps between matrices, too */
    }
    lull_device_parallel(device, pack_pieces, &w);
    free(w.first_piece);
    if (atomic_load(&w.is_cancelled))
        return lull_fail(err, LULL_ECANCELLED, "loading was cancelled");
    return LULL_OK;
}

/* ---- cache ----------------------------------------------------------------------------------- */

typedef struct checksum_work {
    const uint8_t *data;
    uint64_t n_bytes, n_chunks;
    lull_checksum *checksums;      /* to fill, or */
    const lull_checksum *expected; /* to compare with */
    atomic_ullong next;
    atomic_bool is_wrong;
} checksum_work;

static void checksum_chunks(void *ctx, int member, int n_members)
{
    (void)member, (void)n_members;
    checksum_work *w = ctx;
    for (uint64_t i;
         (i = atomic_fetch_add(&w->next, 1)) < w->n_chunks && !atomic_load(&w->is_wrong);) {
        uint64_t at = i * CHUNK_BYTES,
                 n = w->n_bytes - at < CHUNK_BYTES ? w->n_bytes - at : CHUNK_BYTES;
        lull_checksum c = lull_checksum_of(w->data + at, n);
        if (w->checksums)
            w->checksums[i] = c;
        else if (memcmp(&c, &w->expected[i], sizeof c) != 0)
            atomic_store(&w->is_wrong, true);
    }
}

/* What the header of the model's pack file must be, but for its checksum. */
static pack_header expected_header(const lull_model_core *m)
{
    pack_header h = {
        .version = LULL_PACK_VERSION, .chunk_bytes = CHUNK_BYTES, .data_bytes = m->weight_bytes};
    memcpy(h.magic, pack_magic, sizeof h.magic);
    memcpy(h.digest, m->weights_digest.bytes, sizeof h.digest);
    h.n_chunks = ceil_div64(h.data_bytes, CHUNK_BYTES);
    h.data_offset =
        ceil_div64(sizeof h + h.n_chunks * sizeof(lull_checksum), PACK_ALIGN) * PACK_ALIGN;
    return h;
}

static lull_checksum header_checksum(const pack_header *h, const void *chunk_sums)
{
    lull_checksum parts[2] = {lull_checksum_of(h, offsetof(pack_header, checksum)),
                              lull_checksum_of(chunk_sums, h->n_chunks * sizeof(lull_checksum))};
    return lull_checksum_of(parts, sizeof parts);
}

/* Whether weights may be in memory beside the cache's file, which leaves room for others. */
static bool fits_twice(const lull_model_core *m)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return lull_memory_has_huge_pages() && m->weight_bytes <= memory / 2;
}

/* Use data [weight_bytes] in memory [memory_bytes], which is taken. */
static void use_data(lull_model_core *m, uint8_t *memory, size_t memory_bytes, const uint8_t *data,
                     bool is_mapped)
{
    lull_memory_release(m->packed, m->packed_bytes);
    m->packed = memory;
    m->packed_bytes = memory_bytes;
    m->is_mapped = is_mapped;
    for (int i = 0; i < m->n_matrices; i++)
        m->matrices[i]->packed.data = data + m->matrices[i]->offset;
}

/* Map the weights if the pack file is there and every byte of it is right. */
static bool map_cached(lull_model_core *m, lull_device *device, const char *path)
{
    lull_file_map map;
    if (lull_file_map_open(path, &map, NULL) != LULL_OK) return false;
    pack_header want = expected_header(m), have;
    bool is_right = map.n_bytes == want.data_offset + want.data_bytes;
    if (is_right) {
        memcpy(&have, map.data, sizeof have);
        want.checksum = header_checksum(&want, map.data + sizeof have);
        is_right = memcmp(&have, &want, sizeof have) == 0;
    }
    if (is_right) {
        checksum_work w = {.data = map.data + want.data_offset,
                           .n_bytes = want.data_bytes,
                           .n_chunks = want.n_chunks,
                           .expected = (const lull_checksum *)(map.data + sizeof have)};
        lull_device_parallel(device, checksum_chunks, &w);
        is_right = !atomic_load(&w.is_wrong);
    }
    m->is_from_cache = is_right;
    if (!is_right) {
        lull_file_map_close(&map);
        return false;
    }
    use_data(m, (uint8_t *)(uintptr_t)map.data, map.n_bytes, map.data + want.data_offset, true);
    m->runs_to_copy = fits_twice(m) ? 2 : 0;
    return true;
}

static bool write_pack(const lull_model_core *m, lull_device *device, const char *path,
                       const uint8_t *data)
{
    static const uint8_t zeros[PACK_ALIGN];
    pack_header h = expected_header(m);
    lull_checksum *sums = calloc(h.n_chunks, sizeof *sums);
    char temp[MAX_PATH];
    int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid());
    int fd = sums && n > 0 && n < MAX_PATH
                 ? open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                 : -1;
    if (fd < 0) {
        free(sums);
        return false;
    }
    checksum_work w = {
        .data = data, .n_bytes = h.data_bytes, .n_chunks = h.n_chunks, .checksums = sums};
    lull_device_parallel(device, checksum_chunks, &w);
    h.checksum = header_checksum(&h, sums);
    size_t sums_bytes = h.n_chunks * sizeof *sums, gap = h.data_offset - sizeof h - sums_bytes;
    bool is_written = lull_file_write_all(fd, temp, &h, sizeof h, NULL) == LULL_OK &&
                      lull_file_write_all(fd, temp, sums, sums_bytes, NULL) == LULL_OK &&
                      lull_file_write_all(fd, temp, zeros, gap, NULL) == LULL_OK &&
                      lull_file_write_all(fd, temp, data, h.data_bytes, NULL) == LULL_OK;
    is_written = close(fd) == 0 && is_written && rename(temp, path) == 0;
    if (!is_written) unlink(temp);
    free(sums);
    return is_written;
}

static lull_status pack_into_memory(lull_model_core *m, lull_device *device,
                                    const lull_load_options *options, uint8_t **data,
                                    lull_error *err)
{
    *data = lull_memory_reserve(m->weight_bytes);
    if (!*data)
        return lull_fail(err, LULL_ENOMEM, "out of memory: %llu bytes of weights",
                         (unsigned long long)m->weight_bytes);
    lull_status st = pack_all(m, device, options, *data, err);
    if (st != LULL_OK) lull_memory_release(*data, m->weight_bytes);
    return st;
}

lull_status lull_weights_load(lull_model_core *m, lull_device *device,
                              const lull_load_options *options, lull_error *err)
{
    char path[MAX_PATH] = "", hex[65];
    size_t offset = 0;
    for (int i = 0; i < m->n_matrices; i++) {
        lull_matrix *matrix = m->matrices[i];
        matrix->offset = offset;
        offset += lull_packed_bytes(&matrix->packed);
        offset = ceil_div64(offset, 64) * 64;
    }
    m->weight_bytes = offset;

    lull_status st = find_digest(m, device, options->cache_dir, err);
    if (st != LULL_OK) return st;
    int n = snprintf(path, sizeof path, "%s/packs", options->cache_dir);
    bool has_cache = *options->cache_dir && n > 0 && n < MAX_PATH - 120 &&
                     lull_dir_create(path, NULL) == LULL_OK;
    if (has_cache) {
        lull_digest_hex(&m->weights_digest, hex);
        snprintf(path + n, sizeof path - (size_t)n, "/%s-%d.pack", hex, LULL_PACK_VERSION);
        if (map_cached(m, device, path)) return LULL_OK;
    }
    uint8_t *data;
    st = pack_into_memory(m, device, options, &data, err);
    bool is_written = st == LULL_OK && has_cache && write_pack(m, device, path, data);
    if (is_written && !fits_twice(m)) {
        /* Never both in memory: if the cache cannot be read back, there is nothing but to pack
         * once more. */
        lull_memory_release(data, m->weight_bytes);
        if (map_cached(m, device, path)) return LULL_OK;
        st = pack_into_memory(m, device, options, &data, err);
    }
    if (st != LULL_OK) return st;
    use_data(m, data, m->weight_bytes, data, false);
    return LULL_OK;
}

/* ---- huge pages ------------------------------------------------------------------------------ */

/* A mapped file lies in small pages, and decoding, which reads all weights for every token, may lose up to
 * half of its time to address translation (most of all in a virtual machine). A copy in huge pages takes
 * longer than all else at a start. So a thread makes it while the model runs from the map, and every run
 * finds in it the matrices that are there by then. */
struct lull_weights_copy {
    pthread_t thread;
    const uint8_t *from;
    uint8_t *to; /* owned: [n_bytes] */
    size_t n_bytes;
    atomic_size_t n_copied;
    atomic_bool is_stopped;
    int n_used; /* matrices */
};

static void *copy_weights(void *user)
{
    lull_weights_copy *c = user;
    for (size_t at = 0; at < c->n_bytes && !atomic_load(&c->is_stopped);) {
        size_t n = c->n_bytes - at < COPY_BYTES ? c->n_bytes - at : COPY_BYTES;
        memcpy(c->to + at, c->from + at, n);
        at += n;
        atomic_store(&c->n_copied, at);
    }
    return NULL;
}

static void free_copy(lull_weights_copy *c)
{
    lull_memory_release(c->to, c->n_bytes);
    free(c);
}

static lull_weights_copy *start_copy(const lull_model_core *m)
{
    lull_weights_copy *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->from = m->matrices[0]->packed.data;
    c->n_bytes = m->weight_bytes;
    c->to = lull_memory_reserve(c->n_bytes);
    if (c->to && pthread_create(&c->thread, NULL, copy_weights, c) == 0) return c;
    free_copy(c);
    return NULL;
}

static void use_copied(lull_model_core *m)
{
    lull_weights_copy *c = m->copy;
    size_t n_copied = atomic_load(&c->n_copied);
    for (; c->n_used < m->n_matrices; c->n_used++) {
        lull_matrix *matrix = m->matrices[c->n_used];
        size_t n = lull_packed_bytes(&matrix->packed);
        if (matrix->offset + n > n_copied) return;
        drop_mapped(matrix->packed.data, n);
        matrix->packed.data = c->to + matrix->offset;
    }
    pthread_join(c->thread, NULL);
    use_data(m, c->to, c->n_bytes, c->to, false);
    free(c);
    m->copy = NULL;
}

void lull_weights_settle(lull_model_core *m)
{
    if (m->copy)
        use_copied(m);
    else if (m->runs_to_copy > 0 && --m->runs_to_copy == 0)
        m->copy = start_copy(m); /* NULL: the map serves as well */
}

void lull_weights_release(lull_model_core *m)
{
    if (m->copy) {
        atomic_store(&m->copy->is_stopped, true);
        pthread_join(m->copy->thread, NULL);
        free_copy(m->copy);
    }
    lull_memory_release(m->packed, m->packed_bytes);
}
