/* Vocabularies for tests of the tokenizers: GGUF files without tensors, made key by key. */
#ifndef LULL_TESTS_VOCAB_MAKER_H
#define LULL_TESTS_VOCAB_MAKER_H

#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "gguf.h"
#include "golden.h"
#include "tokenizer.h"

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

static inline maker maker_from(const char *file)
{
    golden g = golden_open(file);
    maker m = {0};
    put(&m, g.data, g.n_bytes);
    free(g.data);
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

/* A tokenizer of what m holds; m is finished. */
static inline lull_status make(maker *m, lull_tokenizer **t, lull_error *err)
{
    assert_false(m->bytes.is_failed);
    lull_gguf *g;
    if (lull_gguf_parse((uint8_t *)m->bytes.data, m->bytes.n_bytes, "made", &g, err) != LULL_OK)
        fail_msg("%s", err->msg);
    lull_status st = lull_tokenizer_new(g, t, err);
    lull_gguf_close(g);
    memset(m->bytes.data, 0xee, m->bytes.n_bytes); /* a tokenizer does not keep the file */
    lull_buffer_fini(&m->bytes);
    return st;
}

static inline lull_tokenizer *make_good(maker *m)
{
    lull_tokenizer *t;
    lull_error err;
    if (make(m, &t, &err) != LULL_OK) fail_msg("%s", err.msg);
    return t;
}

static inline lull_token_list encode(const lull_tokenizer *t, const char *text, size_t n, int flags)
{
    lull_token_list ids = {0};
    lull_error err;
    if (lull_tokenizer_encode(t, text, n, flags, &ids, &err) != LULL_OK) fail_msg("%s", err.msg);
    return ids;
}

/* Text in a form to print. */
static inline const char *shown(const char *text, size_t n)
{
    static char out[200];
    size_t at = 0;
    for (size_t i = 0; i < n && at + 8 < sizeof out; i++)
        at += (size_t)snprintf(out + at, sizeof out - at,
                               text[i] >= ' ' && text[i] <= '~' ? "%c" : "\\x%02x",
                               (unsigned char)text[i]);
    out[at] = '\0';
    return out;
}

#endif
