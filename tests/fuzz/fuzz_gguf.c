/* Fuzz target: any bytes as a GGUF file. What parses is walked to its last byte, so that a view out
 * of bounds meets the sanitizer, and what the reader promises of a good file is checked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "fuzz_gguf.c:%d: %s\n", __LINE__, #condition);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static volatile uint8_t sink;

static void touch(const void *p, size_t n)
{
    const uint8_t *bytes = p;
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum ^= bytes[i];
    sink ^= sum;
}

static char *c_string(lull_gguf_str s)
{
    char *copy = malloc(s.n_bytes + 1);
    CHECK(copy);
    memcpy(copy, s.data, s.n_bytes);
    copy[s.n_bytes] = '\0';
    return copy;
}

/* Every typed getter on one key: those of its type give the value, the others an error. */
static void walk_kv(const lull_gguf *g, const lull_gguf_kv *kv)
{
    char *key = c_string(kv->key);
    CHECK(lull_gguf_find(g, key) == kv);
    CHECK(strcmp(lull_gguf_type_name(kv->type), "?") != 0);
    bool is_array = kv->type == LULL_GGUF_ARRAY;
    lull_error err;

    uint64_t u;
    double f;
    bool b;
    lull_gguf_str s;
    int n_ok = (lull_gguf_get_u64(g, key, &u, &err) == LULL_OK) +
               (lull_gguf_get_f64(g, key, &f, &err) == LULL_OK) +
               (lull_gguf_get_bool(g, key, &b, &err) == LULL_OK);
    if (lull_gguf_get_str(g, key, &s, &err) == LULL_OK) {
        touch(s.data, s.n_bytes);
        n_ok++;
    }
    CHECK(n_ok <= !is_array);

    const uint8_t *cursor, *raw;
    uint64_t n;
    int n_arrays = 0;
    if (lull_gguf_get_strs(g, key, &cursor, &n, &err) == LULL_OK) {
        for (uint64_t i = 0; i < n; i++) {
            s = lull_gguf_next_str(&cursor);
            touch(s.data, s.n_bytes);
        }
        n_arrays++;
    }
    static const struct {
        lull_gguf_type type;
        size_t n_bytes;
    } scalars[] = {
        {LULL_GGUF_U8, 1},  {LULL_GGUF_I8, 1},  {LULL_GGUF_U16, 2}, {LULL_GGUF_I16, 2},
        {LULL_GGUF_U32, 4}, {LULL_GGUF_I32, 4}, {LULL_GGUF_F32, 4}, {LULL_GGUF_BOOL, 1},
        {LULL_GGUF_U64, 8}, {LULL_GGUF_I64, 8}, {LULL_GGUF_F64, 8},
    };
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        if (lull_gguf_get_array(g, key, scalars[i].type, &raw, &n, &err) != LULL_OK) continue;
        touch(raw, n * scalars[i].n_bytes);
        n_arrays++;
    }
    CHECK(n_arrays == is_array);
    free(key);
}

static void walk_tensor(const lull_gguf *g, const lull_gguf_tensor *t, const uint8_t *data,
                        size_t n_bytes)
{
    char *name = c_string(t->name);
    CHECK(lull_gguf_find_tensor(g, name) == t);
    free(name);
    CHECK(t->n_dims >= 1 && t->n_dims <= 4 && t->n_bytes > 0);
    CHECK(t->offset <= n_bytes && t->n_bytes <= n_bytes - t->offset && t->data == data + t->offset);
    CHECK(t->offset % 8 == 0);
    size_t n_elems = 1;
    for (int i = 0; i < 4; i++) n_elems *= t->dims[i];
    CHECK(lull_dtype_bytes(t->dtype, n_elems) == t->n_bytes);
    touch(t->data, t->n_bytes);
    float block[256];
    lull_dequantize(t->dtype, t->data, lull_dtype_info_of(t->dtype)->block_elems, block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    lull_gguf *g;
    lull_error err = {0};
    lull_status st = lull_gguf_parse(data, n_bytes, "fuzz", &g, &err);
    if (st != LULL_OK) {
        CHECK(g == NULL && err.code == st && strncmp(err.msg, "fuzz: ", 6) == 0);
        CHECK(st == LULL_ECORRUPT || st == LULL_EUNSUPPORTED);
        CHECK(lull_gguf_parse(data, n_bytes, "fuzz", &g, NULL) == st);
        return 0;
    }
    for (size_t i = 0; i < lull_gguf_n_kv(g); i++) walk_kv(g, lull_gguf_kv_at(g, i));
    for (size_t i = 0; i < lull_gguf_n_tensors(g); i++)
        walk_tensor(g, lull_gguf_tensor_at(g, i), data, n_bytes);
    CHECK(lull_gguf_find(g, "") == NULL && lull_gguf_find_tensor(g, "") == NULL);
    lull_gguf_close(g);
    return 0;
}
