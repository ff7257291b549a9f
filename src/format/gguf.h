/* Reading GGUF, versions 2 and 3 (specification: ggml/docs/gguf.md). The file is mapped; strings,
 * arrays and tensor data are views into the map and live until lull_gguf_close. Every count, length
 * and offset is checked before use: a damaged file gives LULL_ECORRUPT with the byte offset and the
 * field, never a crash. Little-endian files on a little-endian machine only. Immutable once open:
 * read it from any thread.
 *
 *     lull_gguf *g;
 *     LULL_TRY(lull_gguf_open(path, &g, err));
 *     uint64_t n_layer;
 *     LULL_TRY(lull_gguf_get_u64(g, "llama.block_count", &n_layer, err));
 *     const lull_gguf_tensor *t = lull_gguf_find_tensor(g, "token_embd.weight");
 */
#ifndef LULL_FORMAT_GGUF_H
#define LULL_FORMAT_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "error.h"
#include "file.h"

typedef struct lull_gguf lull_gguf;

typedef enum lull_gguf_type { /* the values of the specification */
                              LULL_GGUF_U8 = 0,
                              LULL_GGUF_I8,
                              LULL_GGUF_U16,
                              LULL_GGUF_I16,
                              LULL_GGUF_U32,
                              LULL_GGUF_I32,
                              LULL_GGUF_F32,
                              LULL_GGUF_BOOL,
                              LULL_GGUF_STRING,
                              LULL_GGUF_ARRAY,
                              LULL_GGUF_U64,
                              LULL_GGUF_I64,
                              LULL_GGUF_F64,
                              LULL_GGUF_N_TYPES
} lull_gguf_type;

/* Bytes that need not be NUL-terminated nor UTF-8. */
typedef struct lull_gguf_str {
    const char *data;
    size_t n_bytes;
} lull_gguf_str;

/* One metadata entry. For arrays, type is LULL_GGUF_ARRAY, elem_type its element and n the count;
 * nested arrays are refused. raw points at the first element (a scalar's value, a string's length
 * field). */
typedef struct lull_gguf_kv {
    lull_gguf_str key;
    lull_gguf_type type, elem_type;
    uint64_t n;
    const uint8_t *raw; /* unaligned */
} lull_gguf_kv;

typedef struct lull_gguf_tensor {
    lull_gguf_str name;
    lull_dtype dtype;
    int n_dims;          /* 1..4 */
    uint64_t dims[4];    /* dims[0] is contiguous: a matrix y = W x has dims {n_cols, n_rows} */
    const uint8_t *data; /* n_bytes, aligned to general.alignment within the file */
    size_t n_bytes;
    uint64_t offset; /* of data in the file */
} lull_gguf_tensor;

/* Open and check a file.
 *   LULL_ENOTFOUND, LULL_EIO  as lull_file_map_open
 *   LULL_ECORRUPT      not a GGUF or damaged: "<path>: offset 123: <field>: <what is wrong>"
 *   LULL_EUNSUPPORTED  big-endian, a version that is not 2 or 3, an array of arrays, or a tensor of
 *                      a type that lull does not read (names tensor and type)
 *   LULL_ENOMEM
 * On failure *out is NULL. */
LULL_NODISCARD lull_status lull_gguf_open(const char *path, lull_gguf **out, lull_error *err);
/* The same over bytes in memory (kept); `name` is used in messages. */
LULL_NODISCARD lull_status lull_gguf_parse(const uint8_t *data, size_t n_bytes, const char *name,
                                           lull_gguf **out, lull_error *err);
void lull_gguf_close(lull_gguf *g);

const char *lull_gguf_path(const lull_gguf *g);
const lull_file_map *
lull_gguf_file(const lull_gguf *g); /* zero device/inode when parsed from memory */
uint32_t lull_gguf_version(const lull_gguf *g);
size_t lull_gguf_n_kv(const lull_gguf *g);
const lull_gguf_kv *lull_gguf_kv_at(const lull_gguf *g, size_t i);
size_t lull_gguf_n_tensors(const lull_gguf *g);
const lull_gguf_tensor *lull_gguf_tensor_at(const lull_gguf *g, size_t i);

/* By name, O(1); NULL when absent (no error). */
const lull_gguf_kv *lull_gguf_find(const lull_gguf *g, const char *key);
const lull_gguf_tensor *lull_gguf_find_tensor(const lull_gguf *g, const char *name);

/* Typed values. Integers of any width and sign convert when the value fits; F32 and F64 convert to
 * double. LULL_ENOTFOUND  the key is absent (*value untouched) LULL_ECORRUPT   it has another type
 * or does not fit; msg names file, key and both types */
LULL_NODISCARD lull_status lull_gguf_get_u64(const lull_gguf *g, const char *key, uint64_t *value,
                                             lull_error *err);
LULL_NODISCARD lull_status lull_gguf_get_f64(const lull_gguf *g, const char *key, double *value,
                                             lull_error *err);
LULL_NODISCARD lull_status lull_gguf_get_bool(const lull_gguf *g, const char *key, bool *value,
                                              lull_error *err);
LULL_NODISCARD lull_status lull_gguf_get_str(const lull_gguf *g, const char *key,
                                             lull_gguf_str *value, lull_error *err);

/* An array of scalars of exactly elem_type: *raw is a view of *n unaligned little-endian elements.
 */
LULL_NODISCARD lull_status lull_gguf_get_array(const lull_gguf *g, const char *key,
                                               lull_gguf_type elem_type, const uint8_t **raw,
                                               uint64_t *n, lull_error *err);
/* An array of strings: walk it with lull_gguf_next_str, at most *n times; lengths were checked at
 * open. */
LULL_NODISCARD lull_status lull_gguf_get_strs(const lull_gguf *g, const char *key,
                                              const uint8_t **cursor, uint64_t *n, lull_error *err);
lull_gguf_str lull_gguf_next_str(const uint8_t **cursor);

/* The bytes of an entry's value: raw [n_bytes]. Walks arrays of strings. */
size_t lull_gguf_value_bytes(const lull_gguf_kv *kv);

const char *lull_gguf_type_name(lull_gguf_type t); /* "uint32", "string", …; "?" when unknown */

#endif
