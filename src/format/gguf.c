/* GGUF, read front to back in one pass: header, metadata, tensor records; then the records are
 * checked against each other and against the end of the file.
 *
 *     u32 magic "GGUF", u32 version, u64 n_tensors, u64 n_kv
 *     n_kv times       string key, u32 type, value
 *     n_tensors times  string name, u32 n_dims, u64 dims[n_dims], u32 ggml type, u64 offset
 *     padding to general.alignment (32 unless given), tensor data; offsets count from here
 *
 * A string is u64 length and bytes; an array is u32 element type, u64 count and elements. The bytes
 * are anybody's: each is compared with the end of the file before it is read, in take() or
 * take_elements(), and nothing is allocated before its count is known to fit in the file. Keys and
 * names are held to printable ASCII, so that they can be shown anywhere.
 *
 * Once lull_gguf_parse has returned, every view is in bounds and the accessors check types only. */
#include "gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF files are read in place, which needs a little-endian machine"
#endif
_Static_assert(sizeof(size_t) == 8, "files are mapped whole, which needs 64-bit addresses");

enum {
    MAX_RECORDS = 65536,   /* keys, and tensors: beyond any model; bounds what a file can cost */
    MAX_KEY_BYTES = 65535, /* the specification's limit */
    MAX_NAME_BYTES = 64,   /* likewise */
    MIN_KV_BYTES = 8 + 1 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 20,
    SHOWN_PATH = 100, /* so that a message has room for the rest; the end is kept */
    SHOWN_NAME = 48
};

/* Open addressing over names; n_slots is a power of two and at least twice the entries. */
struct slot {
    lull_gguf_str name;
    uint32_t hash, i; /* of the record, plus one; 0: the slot is free */
};
typedef struct name_index {
    struct slot *slots; /* [n_slots] */
    size_t n_slots;
} name_index;

struct lull_gguf {
    lull_file_map file; /* device, inode and mtime are zero when the bytes are the caller's */
    bool owns_file;
    char *path;
    char shown_path[SHOWN_PATH + 1];
    uint32_t version;
    lull_gguf_kv *kvs;         /* [n_kv] */
    lull_gguf_tensor *tensors; /* [n_tensors] */
    size_t n_kv, n_tensors;
    name_index kv_index, tensor_index;
};

static const struct {
    const char *name;
    uint8_t n_bytes; /* 0: not a scalar */
} types[LULL_GGUF_N_TYPES] = {
    [LULL_GGUF_U8] = {"uint8", 1},      [LULL_GGUF_I8] = {"int8", 1},
    [LULL_GGUF_U16] = {"uint16", 2},    [LULL_GGUF_I16] = {"int16", 2},
    [LULL_GGUF_U32] = {"uint32", 4},    [LULL_GGUF_I32] = {"int32", 4},
    [LULL_GGUF_F32] = {"float32", 4},   [LULL_GGUF_BOOL] = {"bool", 1},
    [LULL_GGUF_STRING] = {"string", 0}, [LULL_GGUF_ARRAY] = {"array", 0},
    [LULL_GGUF_U64] = {"uint64", 8},    [LULL_GGUF_I64] = {"int64", 8},
    [LULL_GGUF_F64] = {"float64", 8},
};

const char *lull_gguf_type_name(lull_gguf_type t)
{
    return (unsigned)t < LULL_GGUF_N_TYPES ? types[t].name : "?";
}

/* ---- names ----------------------------------------------------------------------------------- */

static uint32_t hash_of(lull_gguf_str name)
{
    return (uint32_t)lull_checksum_of(name.data, name.n_bytes).lo;
}

static bool index_init(name_index *x, size_t n)
{
    x->n_slots = 4;
    while (x->n_slots < 2 * n) x->n_slots *= 2;
    x->slots = calloc(x->n_slots, sizeof *x->slots);
    return x->slots != NULL;
}

/* The slot that holds name, or the free one where it belongs. */
static struct slot *index_slot(const name_index *x, lull_gguf_str name, uint32_t hash)
{
    for (size_t i = hash & (x->n_slots - 1);; i = (i + 1) & (x->n_slots - 1)) {
        struct slot *s = &x->slots[i];
        if (s->i == 0) return s;
        if (s->hash == hash && s->name.n_bytes == name.n_bytes &&
            memcmp(s->name.data, name.data, name.n_bytes) == 0)
            return s;
    }
}

/* False when the name is there already. */
static bool index_add(name_index *x, lull_gguf_str name, size_t i)
{
    uint32_t hash = hash_of(name);
    struct slot *s = index_slot(x, name, hash);
    if (s->i != 0) return false;
    *s = (struct slot){name, hash, (uint32_t)i + 1};
    return true;
}

/* The record's number plus one, or 0. */
static size_t index_find(const name_index *x, const char *name)
{
    lull_gguf_str s = {name, strlen(name)};
    return index_slot(x, s, hash_of(s))->i;
}

/* ---- reading bytes --------------------------------------------------------------------------- */

typedef struct reader {
    const uint8_t *data; /* [n_bytes] */
    size_t n_bytes, pos;
    const char *path;
    lull_error *err;
    /* What is being read, for messages: "metadata 3 'llama.block_count'". */
    const char *record; /* NULL in the header */
    uint64_t record_i;
    lull_gguf_str record_name; /* empty until it is known */
} reader;

/* "<path>: offset <offset>: <record> <field>: <what is wrong>" */
static LULL_PRINTF(5, 6) lull_status fail_at(const reader *r, lull_status code, uint64_t offset,
                                             const char *field, const char *fmt, ...)
{
    char what[160], record[SHOWN_NAME + 64] = "";
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (r->record && r->record_name.n_bytes > 0)
        snprintf(record, sizeof record, "%s %" PRIu64 " '%.*s%s' ", r->record, r->record_i,
                 (int)(r->record_name.n_bytes > SHOWN_NAME ? SHOWN_NAME : r->record_name.n_bytes),
                 r->record_name.data, r->record_name.n_bytes > SHOWN_NAME ? "..." : "");
    else if (r->record)
        snprintf(record, sizeof record, "%s %" PRIu64 " ", r->record, r->record_i);
    return lull_fail(r->err, code, "%s: offset %" PRIu64 ": %s%s: %s", r->path, offset, record,
                     field, what);
}

#define MAY_BE_CUT "; the file may be incomplete: fetch it again"

/* The next n bytes; NULL, with the error filled, when the file ends before. */
static const uint8_t *take(reader *r, const char *field, uint64_t n)
{
    size_t left = r->n_bytes - r->pos;
    if (n > left) {
        (void)fail_at(r, LULL_ECORRUPT, r->pos, field,
                      "needs %" PRIu64 " bytes, %zu are left" MAY_BE_CUT, n, left);
        return NULL;
    }
    r->pos += n;
    return r->data + r->pos - n;
}

static lull_status take_u32(reader *r, const char *field, uint32_t *v)
{
    const uint8_t *p = take(r, field, sizeof *v);
    if (!p) return LULL_ECORRUPT;
    memcpy(v, p, sizeof *v);
    return LULL_OK;
}

static lull_status take_u64(reader *r, const char *field, uint64_t *v)
{
    const uint8_t *p = take(r, field, sizeof *v);
    if (!p) return LULL_ECORRUPT;
    memcpy(v, p, sizeof *v);
    return LULL_OK;
}

/* A key or tensor name; *s is set only when it is good. */
static lull_status take_name(reader *r, const char *field, size_t max_bytes, lull_gguf_str *s)
{
    lull_status st;
    size_t start = r->pos;
    uint64_t n;
    LULL_TRY(take_u64(r, field, &n));
    if (n == 0 || n > max_bytes)
        return fail_at(r, LULL_ECORRUPT, start, field, "has %" PRIu64 " bytes, 1 to %zu expected",
                       n, max_bytes);
    const uint8_t *p = take(r, field, n);
    if (!p) return LULL_ECORRUPT;
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return fail_at(r, LULL_ECORRUPT, start + 8 + i, field,
                           "byte 0x%02x is not printable ASCII", p[i]);
    *s = (lull_gguf_str){(const char *)p, n};
done:
    return st;
}

static lull_status check_bools(const reader *r, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return fail_at(r, LULL_ECORRUPT, (uint64_t)(p - r->data) + i, "value",
                           "bool is %u, 0 or 1 expected", p[i]);
    return LULL_OK;
}

/* n elements of one type; *raw is the first. */
static lull_status take_elements(reader *r, lull_gguf_type type, uint64_t n, const uint8_t **raw)
{
    lull_status st = LULL_OK;
    *raw = r->data + r->pos;
    if (type == LULL_GGUF_STRING) {
        for (uint64_t i = 0; i < n; i++) {
            uint64_t n_bytes;
            LULL_TRY(take_u64(r, "string length", &n_bytes));
            if (!take(r, "string", n_bytes)) return LULL_ECORRUPT;
        }
    } else {
        uint64_t width = types[type].n_bytes;
        if (n > (r->n_bytes - r->pos) / width)
            return fail_at(r, LULL_ECORRUPT, r->pos, "value",
                           "%" PRIu64 " elements of %s, %zu bytes are left" MAY_BE_CUT, n,
                           types[type].name, r->n_bytes - r->pos);
        r->pos += n * width;
        if (type == LULL_GGUF_BOOL) st = check_bools(r, *raw, n);
    }
done:
    return st;
}

static lull_status take_type(reader *r, const char *field, lull_gguf_type *type)
{
    size_t start = r->pos;
    uint32_t v;
    lull_status st = take_u32(r, field, &v);
    if (st != LULL_OK) return st;
    if (v >= LULL_GGUF_N_TYPES)
        return fail_at(r, LULL_ECORRUPT, start, field, "%" PRIu32 ", at most %d expected", v,
                       LULL_GGUF_N_TYPES - 1);
    *type = (lull_gguf_type)v;
    return LULL_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

static lull_status take_kv(reader *r, lull_gguf_kv *kv)
{
    lull_status st;
    r->record_name.n_bytes = 0;
    LULL_TRY(take_name(r, "key", MAX_KEY_BYTES, &kv->key));
    r->record_name = kv->key;
    LULL_TRY(take_type(r, "type", &kv->type));
    kv->elem_type = kv->type;
    kv->n = 1;
    if (kv->type == LULL_GGUF_ARRAY) {
        size_t start = r->pos;
        LULL_TRY(take_type(r, "element type", &kv->elem_type));
        if (kv->elem_type == LULL_GGUF_ARRAY)
            return fail_at(r, LULL_EUNSUPPORTED, start, "element type",
                           "nested arrays are not read");
        LULL_TRY(take_u64(r, "element count", &kv->n));
    }
    LULL_TRY(take_elements(r, kv->elem_type, kv->n, &kv->raw));
done:
    return st;
}

static lull_status fail_type(const reader *r, size_t offset, uint32_t ggml_type)
{
    char known[128] = "";
    for (int t = 0; t < LULL_DTYPE_N; t++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", t ? " " : "", lull_dtype_info_of(t)->name);
    }
    const char *name = lull_dtype_ggml_name(ggml_type);
    return fail_at(r, LULL_EUNSUPPORTED, offset, "type", "%s (%" PRIu32 ") is not one of %s",
                   name ? name : "unknown", ggml_type, known);
}

/* All of a tensor but its data pointer; its offset still counts from the start of the data. */
static lull_status take_tensor(reader *r, uint64_t alignment, lull_gguf_tensor *t)
{
    lull_status st;
    r->record_name.n_bytes = 0;
    LULL_TRY(take_name(r, "name", MAX_NAME_BYTES, &t->name));
    r->record_name = t->name;

    size_t start = r->pos;
    uint32_t n_dims, ggml_type;
    LULL_TRY(take_u32(r, "dimension count", &n_dims));
    if (n_dims < 1 || n_dims > 4)
        return fail_at(r, LULL_ECORRUPT, start, "dimension count", "%" PRIu32 ", 1 to 4 expected",
                       n_dims);
    t->n_dims = (int)n_dims;
    uint64_t n_elems = 1, n_bytes;
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = 1;
        if (i >= n_dims) continue;
        start = r->pos;
        LULL_TRY(take_u64(r, "dimension", &t->dims[i]));
        if (t->dims[i] == 0) return fail_at(r, LULL_ECORRUPT, start, "dimension", "is zero");
        if (__builtin_mul_overflow(n_elems, t->dims[i], &n_elems))
            return fail_at(r, LULL_ECORRUPT, start, "dimension",
                           "%" PRIu64 " makes more than 2^64 elements", t->dims[i]);
    }

    start = r->pos;
    LULL_TRY(take_u32(r, "type", &ggml_type));
    if (!lull_dtype_from_ggml(ggml_type, &t->dtype)) return fail_type(r, start, ggml_type);
    const lull_dtype_info *info = lull_dtype_info_of(t->dtype);
    if (t->dims[0] % info->block_elems != 0)
        return fail_at(r, LULL_ECORRUPT, start, "type",
                       "%s has blocks of %d, rows have %" PRIu64 " elements", info->name,
                       info->block_elems, t->dims[0]);
    if (__builtin_mul_overflow(n_elems / info->block_elems, (uint64_t)info->block_bytes, &n_bytes))
        return fail_at(r, LULL_ECORRUPT, start, "type", "%" PRIu64 " elements exceed 2^64 bytes",
                       n_elems);
    t->n_bytes = n_bytes;

    start = r->pos;
    LULL_TRY(take_u64(r, "offset", &t->offset));
    if (t->offset % alignment != 0)
        return fail_at(r, LULL_ECORRUPT, start, "offset",
                       "%" PRIu64 " is not a multiple of the alignment, %" PRIu64, t->offset,
                       alignment);
done:
    return st;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t x = (*(lull_gguf_tensor *const *)a)->offset;
    uint64_t y = (*(lull_gguf_tensor *const *)b)->offset;
    return (x > y) - (x < y);
}

/* Turn offsets into places in the file and check that they hold the data, each byte once. */
static lull_status place_tensors(lull_gguf *g, reader *r, uint64_t alignment)
{
    uint64_t data_start = (r->pos + alignment - 1) / alignment * alignment;
    uint64_t data_bytes = data_start < r->n_bytes ? r->n_bytes - data_start : 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        lull_gguf_tensor *t = &g->tensors[i];
        r->record_i = i;
        r->record_name = t->name;
        if (t->offset > data_bytes || t->n_bytes > data_bytes - t->offset)
            return fail_at(r, LULL_ECORRUPT, data_start, "data",
                           "%zu bytes at %" PRIu64 " from here exceed the file's %zu" MAY_BE_CUT,
                           t->n_bytes, t->offset, r->n_bytes);
        t->offset += data_start;
        t->data = r->data + t->offset;
    }

    if (g->n_tensors == 0) return LULL_OK;
    lull_gguf_tensor **order = malloc(g->n_tensors * sizeof *order);
    if (!order) return lull_fail(r->err, LULL_ENOMEM, "%s: out of memory", r->path);
    for (size_t i = 0; i < g->n_tensors; i++) order[i] = &g->tensors[i];
    qsort(order, g->n_tensors, sizeof *order, compare_offsets);
    lull_status st = LULL_OK;
    for (size_t i = 1; i < g->n_tensors && st == LULL_OK; i++) {
        const lull_gguf_tensor *before = order[i - 1], *t = order[i];
        if (before->offset + before->n_bytes <= t->offset) continue;
        r->record_i = (uint64_t)(t - g->tensors);
        r->record_name = t->name;
        st = fail_at(r, LULL_ECORRUPT, t->offset, "data", "overlaps tensor '%.*s'",
                     (int)before->name.n_bytes, before->name.data);
    }
    free(order);
    return st;
}

/* ---- the file -------------------------------------------------------------------------------- */

static lull_status take_header(reader *r, uint32_t *version)
{
    lull_status st;
    const uint8_t *magic = take(r, "magic", 4);
    if (!magic) return LULL_ECORRUPT;
    if (memcmp(magic, "GGUF", 4) != 0)
        return fail_at(r, LULL_ECORRUPT, 0, "magic", "%02x %02x %02x %02x, this is not a GGUF file",
                       magic[0], magic[1], magic[2], magic[3]);
    LULL_TRY(take_u32(r, "version", version));
    if (*version != 0 && (*version & 0xffff) == 0)
        return fail_at(r, LULL_EUNSUPPORTED, 4, "version",
                       "0x%08" PRIx32 ", the file is big-endian", *version);
    if (*version != 2 && *version != 3)
        return fail_at(r, LULL_EUNSUPPORTED, 4, "version", "%" PRIu32 ", 2 or 3 expected",
                       *version);
done:
    return st;
}

static lull_status take_count(reader *r, const char *field, uint64_t *n)
{
    size_t start = r->pos;
    lull_status st = take_u64(r, field, n);
    if (st == LULL_OK && *n > MAX_RECORDS)
        st = fail_at(r, LULL_ECORRUPT, start, field, "%" PRIu64 ", at most %d expected", *n,
                     MAX_RECORDS);
    return st;
}

static lull_status find_alignment(const lull_gguf *g, const reader *r, uint64_t *alignment)
{
    *alignment = DEFAULT_ALIGNMENT;
    const lull_gguf_kv *kv = lull_gguf_find(g, "general.alignment");
    if (!kv) return LULL_OK;
    lull_status st = lull_gguf_get_u64(g, "general.alignment", alignment, r->err);
    if (st != LULL_OK) return st;
    uint64_t a = *alignment;
    if (a < 8 || a > MAX_ALIGNMENT || (a & (a - 1)) != 0)
        return fail_at(r, LULL_ECORRUPT, (uint64_t)(kv->raw - r->data), "general.alignment",
                       "%" PRIu64 ", a power of two from 8 to %d expected", a, MAX_ALIGNMENT);
    return LULL_OK;
}

static lull_status parse(lull_gguf *g, lull_error *err)
{
    lull_status st;
    reader rd = {
        .data = g->file.data, .n_bytes = g->file.n_bytes, .path = g->shown_path, .err = err};
    reader *r = &rd;
    uint64_t n_tensors, n_kv, alignment;
    LULL_TRY(take_header(r, &g->version));
    LULL_TRY(take_count(r, "tensor count", &n_tensors));
    LULL_TRY(take_count(r, "metadata count", &n_kv));
    if (n_kv * MIN_KV_BYTES + n_tensors * MIN_TENSOR_BYTES > r->n_bytes - r->pos)
        return fail_at(r, LULL_ECORRUPT, 8, "counts",
                       "%" PRIu64 " tensors and %" PRIu64
                       " keys do not fit in the file's %zu bytes" MAY_BE_CUT,
                       n_tensors, n_kv, r->n_bytes);

    g->kvs = calloc(n_kv ? n_kv : 1, sizeof *g->kvs);
    g->tensors = calloc(n_tensors ? n_tensors : 1, sizeof *g->tensors);
    if (!g->kvs || !g->tensors || !index_init(&g->kv_index, n_kv) ||
        !index_init(&g->tensor_index, n_tensors))
        return lull_fail(err, LULL_ENOMEM, "%s: out of memory", g->shown_path);

    r->record = "metadata";
    for (size_t i = 0; i < n_kv; i++) {
        size_t start = r->pos;
        r->record_i = i;
        LULL_TRY(take_kv(r, &g->kvs[i]));
        if (!index_add(&g->kv_index, g->kvs[i].key, i))
            return fail_at(r, LULL_ECORRUPT, start, "key", "occurs twice");
        g->n_kv++;
    }
    r->record = NULL;
    LULL_TRY(find_alignment(g, r, &alignment));

    r->record = "tensor";
    for (size_t i = 0; i < n_tensors; i++) {
        size_t start = r->pos;
        r->record_i = i;
        LULL_TRY(take_tensor(r, alignment, &g->tensors[i]));
        if (!index_add(&g->tensor_index, g->tensors[i].name, i))
            return fail_at(r, LULL_ECORRUPT, start, "name", "occurs twice");
        g->n_tensors++;
    }
    LULL_TRY(place_tensors(g, r, alignment));
done:
    return st;
}

/* Takes the map when owns_file, also on failure. */
static lull_status open_map(lull_file_map file, bool owns_file, const char *path, lull_gguf **out,
                            lull_error *err)
{
    lull_status st = LULL_OK;
    *out = NULL;
    size_t n_path = strlen(path);
    lull_gguf *g = calloc(1, sizeof *g);
    char *copy = malloc(n_path + 1);
    if (!g || !copy) {
        free(g);
        free(copy);
        if (owns_file) lull_file_map_close(&file);
        return lull_fail(err, LULL_ENOMEM, "%s: out of memory", path);
    }
    memcpy(copy, path, n_path + 1);
    *g = (lull_gguf){.file = file, .owns_file = owns_file, .path = copy};
    if (n_path <= SHOWN_PATH)
        memcpy(g->shown_path, path, n_path + 1);
    else
        snprintf(g->shown_path, sizeof g->shown_path, "...%s", path + n_path - (SHOWN_PATH - 3));
    LULL_TRY(parse(g, err));
    *out = g;
done:
    if (st != LULL_OK) lull_gguf_close(g);
    return st;
}

lull_status lull_gguf_open(const char *path, lull_gguf **out, lull_error *err)
{
    *out = NULL;
    lull_file_map file;
    lull_status st = lull_file_map_open(path, &file, err);
    return st == LULL_OK ? open_map(file, true, path, out, err) : st;
}

lull_status lull_gguf_parse(const uint8_t *data, size_t n_bytes, const char *name, lull_gguf **out,
                            lull_error *err)
{
    return open_map((lull_file_map){.data = data, .n_bytes = n_bytes}, false, name, out, err);
}

void lull_gguf_close(lull_gguf *g)
{
    if (!g) return;
    free(g->kv_index.slots);
    free(g->tensor_index.slots);
    free(g->kvs);
    free(g->tensors);
    free(g->path);
    if (g->owns_file) lull_file_map_close(&g->file);
    free(g);
}

/* ---- what was read --------------------------------------------------------------------------- */

const char *lull_gguf_path(const lull_gguf *g)
{
    return g->path;
}

const lull_file_map *lull_gguf_file(const lull_gguf *g)
{
    return &g->file;
}

uint32_t lull_gguf_version(const lull_gguf *g)
{
    return g->version;
}

size_t lull_gguf_n_kv(const lull_gguf *g)
{
    return g->n_kv;
}

const lull_gguf_kv *lull_gguf_kv_at(const lull_gguf *g, size_t i)
{
    assert(i < g->n_kv);
    return &g->kvs[i];
}

size_t lull_gguf_n_tensors(const lull_gguf *g)
{
    return g->n_tensors;
}

const lull_gguf_tensor *lull_gguf_tensor_at(const lull_gguf *g, size_t i)
{
    assert(i < g->n_tensors);
    return &g->tensors[i];
}

const lull_gguf_kv *lull_gguf_find(const lull_gguf *g, const char *key)
{
    size_t i = index_find(&g->kv_index, key);
    return i ? &g->kvs[i - 1] : NULL;
}

const lull_gguf_tensor *lull_gguf_find_tensor(const lull_gguf *g, const char *name)
{
    size_t i = index_find(&g->tensor_index, name);
    return i ? &g->tensors[i - 1] : NULL;
}

/* ---- typed values ---------------------------------------------------------------------------- */

static lull_status fail_value(const lull_gguf *g, const lull_gguf_kv *kv, lull_error *err,
                              const char *fmt, ...) LULL_PRINTF(4, 5);

static lull_status fail_value(const lull_gguf *g, const lull_gguf_kv *kv, lull_error *err,
                              const char *fmt, ...)
{
    reader r = {.path = g->shown_path,
                .err = err,
                .record = "metadata",
                .record_i = (uint64_t)(kv - g->kvs),
                .record_name = kv->key};
    char what[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return fail_at(&r, LULL_ECORRUPT, (uint64_t)(kv->raw - g->file.data), "value", "%s", what);
}

static lull_status fail_kind(const lull_gguf *g, const lull_gguf_kv *kv, const char *expected,
                             lull_error *err)
{
    bool is_array = kv->type == LULL_GGUF_ARRAY;
    return fail_value(g, kv, err, "is %s%s, %s expected", is_array ? "array of " : "",
                      types[kv->elem_type].name, expected);
}

static lull_status need(const lull_gguf *g, const char *key, const lull_gguf_kv **kv,
                        lull_error *err)
{
    *kv = lull_gguf_find(g, key);
    if (*kv) return LULL_OK;
    return lull_fail(err, LULL_ENOTFOUND, "%s: metadata '%s' is missing", g->shown_path, key);
}

/* The n bytes at p, little-endian, as a signed number when is_signed. */
static int64_t integer_at(const uint8_t *p, int n, bool is_signed)
{
    uint64_t v = 0;
    memcpy(&v, p, (size_t)n);
    int unused = 64 - 8 * n;
    if (is_signed) return (int64_t)(v << unused) >> unused;
    return (int64_t)v;
}

lull_status lull_gguf_get_u64(const lull_gguf *g, const char *key, uint64_t *value, lull_error *err)
{
    const lull_gguf_kv *kv;
    lull_status st = need(g, key, &kv, err);
    if (st != LULL_OK) return st;
    bool is_signed = false;
    switch (kv->type) {
    case LULL_GGUF_I8:
    case LULL_GGUF_I16:
    case LULL_GGUF_I32:
    case LULL_GGUF_I64: is_signed = true; break;
    case LULL_GGUF_U8:
    case LULL_GGUF_U16:
    case LULL_GGUF_U32:
    case LULL_GGUF_U64: break;
    default: return fail_kind(g, kv, "an integer", err);
    }
    int64_t v = integer_at(kv->raw, types[kv->type].n_bytes, is_signed);
    if (is_signed && v < 0)
        return fail_value(g, kv, err, "%s %" PRId64 " does not fit in uint64", types[kv->type].name,
                          v);
    *value = (uint64_t)v;
    return LULL_OK;
}

lull_status lull_gguf_get_f64(const lull_gguf *g, const char *key, double *value, lull_error *err)
{
    const lull_gguf_kv *kv;
    lull_status st = need(g, key, &kv, err);
    if (st != LULL_OK) return st;
    if (kv->type == LULL_GGUF_F32) {
        float f;
        memcpy(&f, kv->raw, sizeof f);
        *value = f;
    } else if (kv->type == LULL_GGUF_F64) {
        memcpy(value, kv->raw, sizeof *value);
    } else {
        return fail_kind(g, kv, "float32 or float64", err);
    }
    return LULL_OK;
}

lull_status lull_gguf_get_bool(const lull_gguf *g, const char *key, bool *value, lull_error *err)
{
    const lull_gguf_kv *kv;
    lull_status st = need(g, key, &kv, err);
    if (st != LULL_OK) return st;
    if (kv->type != LULL_GGUF_BOOL) return fail_kind(g, kv, "bool", err);
    *value = *kv->raw != 0;
    return LULL_OK;
}

lull_status lull_gguf_get_str(const lull_gguf *g, const char *key, lull_gguf_str *value,
                              lull_error *err)
{
    const lull_gguf_kv *kv;
    lull_status st = need(g, key, &kv, err);
    if (st != LULL_OK) return st;
    if (kv->type != LULL_GGUF_STRING) return fail_kind(g, kv, "string", err);
    const uint8_t *cursor = kv->raw;
    *value = lull_gguf_next_str(&cursor);
    return LULL_OK;
}

lull_status lull_gguf_get_array(const lull_gguf *g, const char *key, lull_gguf_type elem_type,
                                const uint8_t **raw, uint64_t *n, lull_error *err)
{
    assert((unsigned)elem_type < LULL_GGUF_N_TYPES && types[elem_type].n_bytes > 0);
    const lull_gguf_kv *kv;
    lull_status st = need(g, key, &kv, err);
    if (st != LULL_OK) return st;
    if (kv->type != LULL_GGUF_ARRAY || kv->elem_type != elem_type) {
        char expected[32];
        snprintf(expected, sizeof expected, "array of %s", types[elem_type].name);
        return fail_kind(g, kv, expected, err);
    }
    *raw = kv->raw;
    *n = kv->n;
    return LULL_OK;
}

lull_status lull_gguf_get_strs(const lull_gguf *g, const char *key, const uint8_t **cursor,
                               uint64_t *n, lull_error *err)
{
    const lull_gguf_kv *kv;
    lull_status st = need(g, key, &kv, err);
    if (st != LULL_OK) return st;
    if (kv->type != LULL_GGUF_ARRAY || kv->elem_type != LULL_GGUF_STRING)
        return fail_kind(g, kv, "array of string", err);
    *cursor = kv->raw;
    *n = kv->n;
    return LULL_OK;
}

lull_gguf_str lull_gguf_next_str(const uint8_t **cursor)
{
    uint64_t n;
    memcpy(&n, *cursor, sizeof n);
    lull_gguf_str s = {(const char *)*cursor + sizeof n, n};
    *cursor += sizeof n + n;
    return s;
}

size_t lull_gguf_value_bytes(const lull_gguf_kv *kv)
{
    lull_gguf_type type = kv->type == LULL_GGUF_ARRAY ? kv->elem_type : kv->type;
    uint64_t n = kv->type == LULL_GGUF_ARRAY ? kv->n : 1;
    if (type != LULL_GGUF_STRING) return (size_t)n * types[type].n_bytes;
    const uint8_t *cursor = kv->raw;
    for (uint64_t i = 0; i < n; i++) (void)lull_gguf_next_str(&cursor);
    return (size_t)(cursor - kv->raw);
}
