/* GGUF files without tensors, made key by key. */
#ifndef LULL_TESTS_GGUF_MAKER_H
#define LULL_TESTS_GGUF_MAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "buffer.h"
#include "gguf.h"

/* A GGUF file without tensors that grows by keys. */
typedef struct maker {
    lull_buffer bytes;
} maker;

static inline void put(maker *m, const void *p, size_t n)
{
    lull_buffer_append(&m->bytes, p, n);
}

static inline void put_u32(maker *m, uint32_t v)
{
    put(m, &v, sizeof v);
}

static inline void put_u64(maker *m, uint64_t v)
{
    put(m, &v, sizeof v);
}

static inline void put_str(maker *m, const char *s, size_t n)
{
    put_u64(m, n);
    put(m, s, n);
}

static inline maker maker_new(void)
{
    maker m = {0};
    put(&m, "GGUF\3\0\0\0", 8);
    put_u64(&m, 0);
    put_u64(&m, 0);
    return m;
}

static inline void put_key(maker *m, const char *key, lull_gguf_type type)
{
    uint64_t n;
    memcpy(&n, m->bytes.data + 16, sizeof n);
    n++;
    memcpy(m->bytes.data + 16, &n, sizeof n);
    put_str(m, key, strlen(key));
    put_u32(m, type);
}

static inline void add_u32(maker *m, const char *key, uint32_t v)
{
    put_key(m, key, LULL_GGUF_U32);
    put_u32(m, v);
}

static inline void add_bool(maker *m, const char *key, bool v)
{
    put_key(m, key, LULL_GGUF_BOOL);
    put(m, &v, 1);
}

static inline void add_str(maker *m, const char *key, const char *s)
{
    put_key(m, key, LULL_GGUF_STRING);
    put_str(m, s, strlen(s));
}

/* Strings end with NULL. */
static inline void add_strs(maker *m, const char *key, const char *const *strs)
{
    uint64_t n = 0;
    while (strs[n]) n++;
    put_key(m, key, LULL_GGUF_ARRAY);
    put_u32(m, LULL_GGUF_STRING);
    put_u64(m, n);
    for (uint64_t i = 0; i < n; i++) put_str(m, strs[i], strlen(strs[i]));
}

/* Elements of four bytes. */
static inline void add_array(maker *m, const char *key, lull_gguf_type type, const void *elems,
                             uint64_t n)
{
    put_key(m, key, LULL_GGUF_ARRAY);
    put_u32(m, type);
    put_u64(m, n);
    put(m, elems, 4 * n);
}

#endif
