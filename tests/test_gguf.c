/* The GGUF reader over files built here byte by byte from the specification: what a good file
 * gives, and that each way of being bad is refused with its place and field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "buffer.h"
#include "gguf.h"

/* ---- writing --------------------------------------------------------------------------------- */

static void put_u8(lull_buffer *b, uint8_t v)
{
    lull_buffer_append(b, &v, sizeof v);
}
static void put_u32(lull_buffer *b, uint32_t v)
{
    lull_buffer_append(b, &v, sizeof v);
}
static void put_u64(lull_buffer *b, uint64_t v)
{
    lull_buffer_append(b, &v, sizeof v);
}

static void put_str(lull_buffer *b, const char *s)
{
    put_u64(b, strlen(s));
    lull_buffer_append_str(b, s);
}

static void put_header(lull_buffer *b, uint64_t n_tensors, uint64_t n_kv)
{
    lull_buffer_append_str(b, "GGUF");
    put_u32(b, 3);
    put_u64(b, n_tensors);
    put_u64(b, n_kv);
}

static void put_kv(lull_buffer *b, const char *key, lull_gguf_type type, const void *value,
                   size_t n)
{
    put_str(b, key);
    put_u32(b, type);
    lull_buffer_append(b, value, n);
}

static void put_kv_u32(lull_buffer *b, const char *key, uint32_t v)
{
    put_kv(b, key, LULL_GGUF_U32, &v, sizeof v);
}

static void put_array(lull_buffer *b, const char *key, lull_gguf_type elem_type, uint64_t n)
{
    put_str(b, key);
    put_u32(b, LULL_GGUF_ARRAY);
    put_u32(b, elem_type);
    put_u64(b, n);
}

/* A tensor of type F32 unless the caller patches it. */
static void put_tensor(lull_buffer *b, const char *name, uint32_t n_dims, const uint64_t *dims,
                       uint32_t type, uint64_t offset)
{
    put_str(b, name);
    put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) put_u64(b, dims[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

static void pad(lull_buffer *b, size_t alignment)
{
    while (b->n_bytes % alignment) put_u8(b, 0);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Parse a copy of exactly n bytes, so that a read past the end is seen by a sanitizer. The copy is
 * the test's until parse_done. */
static uint8_t *parsed_bytes;

static lull_status parse(const void *bytes, size_t n, lull_gguf **g, lull_error *err)
{
    free(parsed_bytes);
    parsed_bytes = malloc(n ? n : 1);
    assert_non_null(parsed_bytes);
    memcpy(parsed_bytes, bytes, n);
    memset(err, 0, sizeof *err);
    return lull_gguf_parse(parsed_bytes, n, "test.gguf", g, err);
}

static int parse_done(void **state)
{
    (void)state;
    free(parsed_bytes);
    parsed_bytes = NULL;
    return 0;
}

static lull_gguf *parse_good(lull_buffer *b)
{
    lull_gguf *g;
    lull_error err;
    assert_false(b->is_failed);
    if (parse(b->data, b->n_bytes, &g, &err) != LULL_OK) fail_msg("%s", err.msg);
    lull_buffer_fini(b);
    return g;
}

/* The bytes are refused with this status, and the message holds this text. */
static void refuse(const void *bytes, size_t n, lull_status expected, const char *text)
{
    lull_gguf *g = (lull_gguf *)&g;
    lull_error err;
    lull_status st = parse(bytes, n, &g, &err);
    if (st != expected || !strstr(err.msg, text))
        fail_msg("%s: \"%s\"; expected %s and \"%s\"", lull_status_name(st), err.msg,
                 lull_status_name(expected), text);
    assert_null(g);
    assert_int_equal(err.code, expected);
    assert_int_equal(strncmp(err.msg, "test.gguf: offset ", 18), 0);
}

static void refuse_buffer(lull_buffer *b, lull_status expected, const char *text)
{
    assert_false(b->is_failed);
    refuse(b->data, b->n_bytes, expected, text);
    lull_buffer_fini(b);
}

/* ---- what a good file gives ------------------------------------------------------------------ */

static void test_scalars(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_header(&b, 0, 12);
    put_kv(&b, "u8", LULL_GGUF_U8, "\xff", 1);
    put_kv(&b, "i8", LULL_GGUF_I8, "\x7f", 1);
    put_kv(&b, "u16", LULL_GGUF_U16, "\xfe\xff", 2);
    put_kv(&b, "i16", LULL_GGUF_I16, "\x00\x80", 2);
    put_kv(&b, "u32", LULL_GGUF_U32, "\x01\x02\x03\x84", 4);
    put_kv(&b, "i32", LULL_GGUF_I32, "\xff\xff\xff\xff", 4);
    put_kv(&b, "f32", LULL_GGUF_F32, "\x00\x00\xc0\xbf", 4);
    put_kv(&b, "no", LULL_GGUF_BOOL, "\x00", 1);
    put_kv(&b, "yes", LULL_GGUF_BOOL, "\x01", 1);
    put_kv(&b, "u64", LULL_GGUF_U64, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    put_kv(&b, "i64", LULL_GGUF_I64, "\x00\x00\x00\x00\x00\x00\x00\x40", 8);
    put_kv(&b, "f64", LULL_GGUF_F64, "\x00\x00\x00\x00\x00\x00\xe0\x3f", 8);
    lull_gguf *g = parse_good(&b);
    assert_int_equal(lull_gguf_version(g), 3);
    assert_int_equal(lull_gguf_n_kv(g), 12);
    assert_string_equal(lull_gguf_path(g), "test.gguf");
    assert_ptr_equal(lull_gguf_file(g)->data, parsed_bytes);
    assert_int_equal(lull_gguf_file(g)->inode, 0);

    static const struct {
        const char *key;
        uint64_t value;
    } integers[] = {{"u8", 255},         {"i8", 127},         {"u16", 65534},
                    {"u32", 0x84030201}, {"u64", UINT64_MAX}, {"i64", 0x4000000000000000}};
    lull_error err;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        uint64_t u = 0;
        assert_int_equal(lull_gguf_get_u64(g, integers[i].key, &u, &err), LULL_OK);
        assert_int_equal(u, integers[i].value);
    }
    double f;
    assert_int_equal(lull_gguf_get_f64(g, "f32", &f, &err), LULL_OK);
    assert_true(f == -1.5);
    assert_int_equal(lull_gguf_get_f64(g, "f64", &f, &err), LULL_OK);
    assert_true(f == 0.5);
    bool yes = true;
    assert_int_equal(lull_gguf_get_bool(g, "no", &yes, &err), LULL_OK);
    assert_false(yes);
    assert_int_equal(lull_gguf_get_bool(g, "yes", &yes, &err), LULL_OK);
    assert_true(yes);

    const lull_gguf_kv *kv = lull_gguf_find(g, "i16");
    assert_ptr_equal(kv, lull_gguf_kv_at(g, 3));
    assert_int_equal(kv->type, LULL_GGUF_I16);
    assert_int_equal(kv->elem_type, LULL_GGUF_I16);
    assert_int_equal(kv->n, 1);
    lull_gguf_close(g);
}

/* Values of other types, out of range, or absent: an error that says so, the value untouched. */
static void test_typed_errors(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_header(&b, 0, 5);
    put_kv(&b, "i8", LULL_GGUF_I8, "\x80", 1);
    put_kv(&b, "i64", LULL_GGUF_I64, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    put_kv(&b, "f32", LULL_GGUF_F32, "\x00\x00\x80\x3f", 4);
    put_kv(&b, "flag", LULL_GGUF_BOOL, "\x01", 1);
    put_array(&b, "list", LULL_GGUF_U32, 1);
    put_u32(&b, 7);
    lull_gguf *g = parse_good(&b);
    lull_error err;
    uint64_t u = 42, n;
    double f = 42;
    bool flag = true;
    lull_gguf_str s = {"kept", 4};
    const uint8_t *raw = NULL;

    assert_int_equal(lull_gguf_get_u64(g, "i8", &u, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "'i8' value: int8 -128 does not fit in uint64"));
    assert_int_equal(lull_gguf_get_u64(g, "i64", &u, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "int64 -1 does not fit"));
    assert_int_equal(lull_gguf_get_u64(g, "f32", &u, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "'f32' value: is float32, an integer expected"));
    assert_int_equal(lull_gguf_get_u64(g, "flag", &u, &err), LULL_ECORRUPT);
    assert_int_equal(lull_gguf_get_u64(g, "list", &u, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "is array of uint32, an integer expected"));
    assert_int_equal(lull_gguf_get_f64(g, "i8", &f, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "is int8, float32 or float64 expected"));
    assert_int_equal(lull_gguf_get_bool(g, "i8", &flag, &err), LULL_ECORRUPT);
    assert_int_equal(lull_gguf_get_str(g, "i8", &s, &err), LULL_ECORRUPT);
    assert_int_equal(lull_gguf_get_array(g, "list", LULL_GGUF_I32, &raw, &n, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "is array of uint32, array of int32 expected"));
    assert_int_equal(lull_gguf_get_array(g, "i8", LULL_GGUF_I8, &raw, &n, &err), LULL_ECORRUPT);
    assert_int_equal(lull_gguf_get_strs(g, "list", &raw, &n, &err), LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, "array of string expected"));

    assert_int_equal(lull_gguf_get_u64(g, "none", &u, &err), LULL_ENOTFOUND);
    assert_string_equal(err.msg, "test.gguf: metadata 'none' is missing");
    assert_int_equal(err.code, LULL_ENOTFOUND);
    assert_int_equal(lull_gguf_get_f64(g, "none", &f, NULL), LULL_ENOTFOUND);
    assert_int_equal(lull_gguf_get_bool(g, "none", &flag, NULL), LULL_ENOTFOUND);
    assert_int_equal(lull_gguf_get_str(g, "none", &s, NULL), LULL_ENOTFOUND);
    assert_int_equal(lull_gguf_get_array(g, "none", LULL_GGUF_U8, &raw, &n, NULL), LULL_ENOTFOUND);
    assert_int_equal(lull_gguf_get_strs(g, "none", &raw, &n, NULL), LULL_ENOTFOUND);
    assert_null(lull_gguf_find(g, "none"));
    assert_null(lull_gguf_find(g, "i"));
    assert_null(lull_gguf_find_tensor(g, "i8"));

    assert_true(u == 42 && f == 42 && flag && s.n_bytes == 4 && raw == NULL);
    lull_gguf_close(g);
}

static void test_arrays_and_strings(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_header(&b, 0, 5);
    put_str(&b, "text");
    put_u32(&b, LULL_GGUF_STRING);
    put_u64(&b, 5);
    lull_buffer_append(&b, "a\0\xff\n!", 5); /* any bytes */
    put_array(&b, "words", LULL_GGUF_STRING, 3);
    put_str(&b, "one");
    put_str(&b, "");
    put_str(&b, "three");
    put_array(&b, "numbers", LULL_GGUF_I16, 3);
    lull_buffer_append(&b, "\x01\x00\xff\xff\x00\x80", 6);
    put_array(&b, "none", LULL_GGUF_F32, 0);
    put_array(&b, "nothing", LULL_GGUF_STRING, 0);
    lull_gguf *g = parse_good(&b);
    lull_error err;

    lull_gguf_str s;
    assert_int_equal(lull_gguf_get_str(g, "text", &s, &err), LULL_OK);
    assert_int_equal(s.n_bytes, 5);
    assert_memory_equal(s.data, "a\0\xff\n!", 5);

    const uint8_t *cursor;
    uint64_t n;
    assert_int_equal(lull_gguf_get_strs(g, "words", &cursor, &n, &err), LULL_OK);
    assert_int_equal(n, 3);
    const char *words[] = {"one", "", "three"};
    for (int i = 0; i < 3; i++) {
        s = lull_gguf_next_str(&cursor);
        assert_int_equal(s.n_bytes, strlen(words[i]));
        assert_memory_equal(s.data, words[i], s.n_bytes);
    }
    assert_int_equal(lull_gguf_get_array(g, "numbers", LULL_GGUF_I16, &cursor, &n, &err), LULL_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(cursor, "\x01\x00\xff\xff\x00\x80", 6);
    assert_int_equal(lull_gguf_get_array(g, "none", LULL_GGUF_F32, &cursor, &n, &err), LULL_OK);
    assert_int_equal(n, 0);
    assert_int_equal(lull_gguf_get_strs(g, "nothing", &cursor, &n, &err), LULL_OK);
    assert_int_equal(n, 0);
    lull_gguf_close(g);
}

/* Two tensors, the second stored first, with a gap; alignment 64. */
static void test_tensors(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_header(&b, 2, 2);
    put_kv_u32(&b, "general.alignment", 64);
    put_kv_u32(&b, "some.other.key.of.it", 1);
    put_tensor(&b, "late", 2, (uint64_t[]){3, 2}, 0, 192);
    put_tensor(&b, "early", 4, (uint64_t[]){64, 1, 2, 1}, 8, 0);
    assert_int_equal((b.n_bytes + 31) / 32 % 2, 1); /* so that an alignment of 32 would not do */
    pad(&b, 64);
    size_t start = b.n_bytes;
    for (int i = 0; i < 192 + 24; i++) put_u8(&b, (uint8_t)i);
    lull_gguf *g = parse_good(&b);
    assert_int_equal(lull_gguf_n_tensors(g), 2);

    const lull_gguf_tensor *t = lull_gguf_find_tensor(g, "late");
    assert_ptr_equal(t, lull_gguf_tensor_at(g, 0));
    assert_int_equal(t->dtype, LULL_DTYPE_F32);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 3);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->dims[3], 1);
    assert_int_equal(t->n_bytes, 24);
    assert_int_equal(t->offset, start + 192);
    assert_ptr_equal(t->data, parsed_bytes + start + 192);
    assert_int_equal(t->data[23], 215);

    t = lull_gguf_find_tensor(g, "early");
    assert_int_equal(t->dtype, LULL_DTYPE_Q8_0);
    assert_int_equal(t->n_dims, 4);
    assert_int_equal(t->n_bytes, 4 * 34);
    assert_int_equal(t->offset, start);
    assert_null(lull_gguf_find_tensor(g, "earl"));
    assert_null(lull_gguf_find(g, "late"));
    lull_gguf_close(g);
}

static void test_version_2(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_header(&b, 0, 1);
    put_kv_u32(&b, "k", 5);
    b.data[4] = 2;
    lull_gguf *g = parse_good(&b);
    assert_int_equal(lull_gguf_version(g), 2);
    lull_gguf_close(g);
}

/* More names than one table's first size, all found, in both kinds of record. */
static void test_many_records(void **state)
{
    (void)state;
    enum { N = 20000 };
    lull_buffer b = {0};
    put_header(&b, N, N);
    char name[32];
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%u", i);
        put_kv_u32(&b, name, i);
    }
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "tensor.%u", i);
        put_tensor(&b, name, 1, (uint64_t[]){1}, 0, 32 * (uint64_t)i);
    }
    pad(&b, 32);
    for (uint32_t i = 0; i < N; i++) {
        put_u32(&b, i);
        pad(&b, 32);
    }
    lull_gguf *g = parse_good(&b);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t u;
        snprintf(name, sizeof name, "key.%u", i);
        assert_int_equal(lull_gguf_get_u64(g, name, &u, NULL), LULL_OK);
        assert_int_equal(u, i);
        snprintf(name, sizeof name, "tensor.%u", i);
        const lull_gguf_tensor *t = lull_gguf_find_tensor(g, name);
        assert_memory_equal(t->data, &i, sizeof i);
        snprintf(name, sizeof name, "key.%u", i + N);
        assert_null(lull_gguf_find(g, name));
    }
    lull_gguf_close(g);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void test_bad_headers(void **state)
{
    (void)state;
    lull_buffer b = {0};
    refuse("", 0, LULL_ECORRUPT, "offset 0: magic: needs 4 bytes, 0 are left");
    refuse("PK\x03\x04", 4, LULL_ECORRUPT, "magic: 50 4b 03 04, this is not a GGUF file");
    static const struct {
        uint32_t version;
        const char *text;
    } versions[] = {{0, "offset 4: version: 0, 2 or 3 expected"},
                    {1, "version: 1, 2 or 3 expected"},
                    {4, "version: 4, 2 or 3 expected"},
                    {0x03000000, "version: 0x03000000, the file is big-endian"}};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        put_header(&b, 0, 0);
        memcpy(b.data + 4, &versions[i].version, 4);
        refuse_buffer(&b, LULL_EUNSUPPORTED, versions[i].text);
    }
    put_header(&b, 65537, 0);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 8: tensor count: 65537, at most 65536 expected");
    put_header(&b, 0, UINT64_MAX);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 16: metadata count: 18446744073709551615, at most");
    put_header(&b, 100, 100);
    refuse_buffer(&b, LULL_ECORRUPT,
                  "100 tensors and 100 keys do not fit in the file's 24 bytes; the file may be "
                  "incomplete: fetch it again");
}

static void test_bad_metadata(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_header(&b, 0, 1);
    put_kv_u32(&b, "", 1);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 24: metadata 0 key: has 0 bytes, 1 to 65535 expected");

    put_header(&b, 0, 1);
    put_kv_u32(&b, "ok\033[31m", 1);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 34: metadata 0 key: byte 0x1b is not printable ASCII");

    put_header(&b, 0, 2);
    put_kv_u32(&b, "same", 1);
    put_kv_u32(&b, "same", 1);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 44: metadata 1 'same' key: occurs twice");

    put_header(&b, 0, 1);
    put_kv(&b, "k", 13, "\0\0\0\0", 4);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 33: metadata 0 'k' type: 13, at most 12 expected");

    put_header(&b, 0, 1);
    put_kv(&b, "k", LULL_GGUF_BOOL, "\x02", 1);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 37: metadata 0 'k' value: bool is 2, 0 or 1 expected");

    put_header(&b, 0, 1);
    put_array(&b, "k", LULL_GGUF_BOOL, 3);
    lull_buffer_append(&b, "\0\x01\x80", 3);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 51: metadata 0 'k' value: bool is 128");

    put_header(&b, 0, 1);
    put_array(&b, "k", LULL_GGUF_ARRAY, 0);
    refuse_buffer(&b, LULL_EUNSUPPORTED, "element type: nested arrays are not read");

    put_header(&b, 0, 1);
    put_array(&b, "k", 99, 0);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 37: metadata 0 'k' element type: 99");

    /* counts whose product with the width is more than 64 bits hold */
    static const lull_gguf_type widths[] = {LULL_GGUF_U8, LULL_GGUF_U16, LULL_GGUF_F32,
                                            LULL_GGUF_F64};
    for (size_t i = 0; i < 4; i++) {
        for (int shift = 60; shift < 64; shift++) {
            put_header(&b, 0, 1);
            put_array(&b, "k", widths[i], (UINT64_C(1) << shift) + 1);
            put_u64(&b, 0);
            refuse_buffer(&b, LULL_ECORRUPT, "offset 49: metadata 0 'k' value: ");
        }
    }
    put_header(&b, 0, 1);
    put_array(&b, "k", LULL_GGUF_STRING, UINT64_MAX);
    put_str(&b, "only");
    refuse_buffer(&b, LULL_ECORRUPT, "offset 61: metadata 0 'k' string length: needs 8 bytes");

    put_header(&b, 0, 1);
    put_array(&b, "k", LULL_GGUF_STRING, 1);
    put_u64(&b, UINT64_MAX);
    refuse_buffer(&b, LULL_ECORRUPT, "'k' string: needs 18446744073709551615 bytes, 0 are left");
}

static void test_bad_alignment(void **state)
{
    (void)state;
    lull_buffer b = {0};
    static const uint32_t bad[] = {0, 1, 4, 24, 33, 1 << 21, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_header(&b, 0, 1);
        put_kv_u32(&b, "general.alignment", bad[i]);
        refuse_buffer(&b, LULL_ECORRUPT, "a power of two from 8 to 1048576 expected");
    }
    put_header(&b, 0, 1);
    put_kv(&b, "general.alignment", LULL_GGUF_F32, "\0\0\0\x42", 4);
    refuse_buffer(&b, LULL_ECORRUPT, "'general.alignment' value: is float32, an integer expected");
}

/* One tensor record in front of 64 bytes of data. */
static void refuse_tensor(const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                          uint64_t offset, lull_status expected, const char *text)
{
    lull_buffer b = {0};
    put_header(&b, 1, 0);
    put_tensor(&b, name, n_dims, dims, type, offset);
    pad(&b, 32);
    for (int i = 0; i < 64; i++) put_u8(&b, 0);
    refuse_buffer(&b, expected, text);
}

static void test_bad_tensors(void **state)
{
    (void)state;
    const lull_status bad = LULL_ECORRUPT;
    const uint64_t big = UINT64_C(1) << 62;
    refuse_tensor("", 1, (uint64_t[]){8}, 0, 0, bad, "offset 24: tensor 0 name: has 0 bytes");
    refuse_tensor("0123456789012345678901234567890123456789012345678901234567890123x", 1,
                  (uint64_t[]){8}, 0, 0, bad, "tensor 0 name: has 65 bytes, 1 to 64 expected");
    refuse_tensor("a\x7f", 1, (uint64_t[]){8}, 0, 0, bad, "byte 0x7f is not printable");
    refuse_tensor("t", 0, NULL, 0, 0, bad, "offset 33: tensor 0 't' dimension count: 0, 1 to 4");
    refuse_tensor("t", 5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0, bad, "dimension count: 5, 1 to 4");
    refuse_tensor("t", 2, (uint64_t[]){8, 0}, 0, 0, bad, "offset 45: tensor 0 't' dimension: is z");
    refuse_tensor("t", 2, (uint64_t[]){8, big}, 0, 0, bad, "makes more than 2^64 elements");
    refuse_tensor("t", 1, (uint64_t[]){big}, 0, 0, bad, "elements exceed 2^64 bytes");
    refuse_tensor("t", 2, (uint64_t[]){32, (UINT64_C(1) << 59) - 1}, 8, 0, bad,
                  "elements exceed 2^64 bytes");
    refuse_tensor("t", 2, (uint64_t[]){16, 2}, 8, 0, bad, "Q8_0 has blocks of 32, rows have 16");
    refuse_tensor("t", 1, (uint64_t[]){300}, 12, 0, bad, "Q4_K has blocks of 256, rows have 300");
    refuse_tensor("t", 1, (uint64_t[]){8}, 0, 16, bad,
                  "offset 49: tensor 0 't' offset: 16 is not a multiple of the alignment, 32");
    refuse_tensor("t", 1, (uint64_t[]){17}, 0, 0, bad, "68 bytes at 0 from here exceed the file's");
    refuse_tensor("t", 1, (uint64_t[]){9}, 0, 32, bad, "offset 64: tensor 0 't' data: 36 bytes at");
    refuse_tensor("t", 1, (uint64_t[]){1}, 0, 96, bad, "4 bytes at 96 from here exceed");
    refuse_tensor("t", 1, (uint64_t[]){1}, 0, UINT64_MAX - 31, bad, "exceed the file's 128");
    refuse_tensor("t", 1, (uint64_t[]){8}, 0, UINT64_MAX - 31, bad, "exceed the file's 128");

    const lull_status unknown = LULL_EUNSUPPORTED;
    refuse_tensor("blk.0.x", 1, (uint64_t[]){8}, 23, 0, unknown,
                  "tensor 0 'blk.0.x' type: IQ4_XS (23) is not one of F32 F16 BF16 Q4_0 Q4_1 Q5_0 "
                  "Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K");
    refuse_tensor("t", 1, (uint64_t[]){8}, 4, 0, unknown, "type: unknown (4) is not one of");
    refuse_tensor("t", 1, (uint64_t[]){8}, UINT32_MAX, 0, unknown, "type: unknown (4294967295)");
}

static void put_two_tensors(lull_buffer *b, const char *second, uint64_t n_first, uint64_t offset)
{
    put_header(b, 2, 0);
    put_tensor(b, "first", 1, (uint64_t[]){n_first}, 0, 0);
    put_tensor(b, second, 1, (uint64_t[]){4}, 0, offset);
    pad(b, 32);
    for (int i = 0; i < 96; i++) put_u8(b, 0);
}

static void test_tensors_against_each_other(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_two_tensors(&b, "second", 8, 32);
    lull_gguf_close(parse_good(&b));
    put_two_tensors(&b, "first", 8, 32);
    refuse_buffer(&b, LULL_ECORRUPT, "offset 61: tensor 1 'first' name: occurs twice");
    put_two_tensors(&b, "second", 9, 32);
    refuse_buffer(&b, LULL_ECORRUPT, "tensor 1 'second' data: overlaps tensor 'first'");
    put_two_tensors(&b, "second", 8, 0);
    refuse_buffer(&b, LULL_ECORRUPT, "overlaps tensor");
}

/* A file with every kind of record. */
static void put_sample(lull_buffer *b)
{
    put_header(b, 2, 5);
    put_kv_u32(b, "general.alignment", 16);
    put_kv(b, "flag", LULL_GGUF_BOOL, "\x01", 1);
    put_array(b, "words", LULL_GGUF_STRING, 2);
    put_str(b, "one");
    put_str(b, "two");
    put_array(b, "numbers", LULL_GGUF_F64, 2);
    put_u64(b, 1);
    put_u64(b, 2);
    put_str(b, "text");
    put_u32(b, LULL_GGUF_STRING);
    put_str(b, "hello");
    put_tensor(b, "matrix", 2, (uint64_t[]){32, 2}, 2, 0);
    put_tensor(b, "vector", 1, (uint64_t[]){4}, 1, 48);
    pad(b, 16);
    for (int i = 0; i < 48 + 8; i++) put_u8(b, (uint8_t)i);
}

static void test_every_cut(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_sample(&b);
    for (size_t n = 0; n < b.n_bytes; n++) refuse(b.data, n, LULL_ECORRUPT, "offset ");
    lull_gguf_close(parse_good(&b));
}

/* No flipped bit may crash, and what still parses stays in bounds (a sanitizer's work). */
static void test_every_flip(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_sample(&b);
    for (size_t bit = 0; bit < 8 * b.n_bytes; bit++) {
        b.data[bit / 8] ^= (char)(1 << bit % 8);
        lull_gguf *g;
        lull_error err;
        lull_status st = parse(b.data, b.n_bytes, &g, &err);
        if (st == LULL_OK) {
            for (size_t i = 0; i < lull_gguf_n_tensors(g); i++) {
                const lull_gguf_tensor *t = lull_gguf_tensor_at(g, i);
                assert_true(t->offset <= b.n_bytes && t->n_bytes <= b.n_bytes - t->offset);
            }
            lull_gguf_close(g);
        } else {
            assert_true(st == LULL_ECORRUPT || st == LULL_EUNSUPPORTED);
            assert_null(g);
        }
        b.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    lull_buffer_fini(&b);
}

/* ---- memory runs out ------------------------------------------------------------------------- */

/* Allocations until the one that fails; below zero: none does. The linker puts the functions below
 * in the place of malloc and calloc (tests/CMakeLists.txt). */
static int n_until_failure = -1;

static bool fails_now(void)
{
    return n_until_failure >= 0 && n_until_failure-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t each)
{
    return fails_now() ? NULL : __real_calloc(n, each);
}

/* Each allocation of the reader fails in turn; what was allocated before is freed (a leak checker's
 * work). */
static void test_no_memory(void **state)
{
    (void)state;
    lull_buffer b = {0};
    put_sample(&b);
    lull_gguf *g = NULL;
    lull_error err;
    int n = 0;
    for (;; n++) {
        n_until_failure = n;
        lull_status st = lull_gguf_parse((const uint8_t *)b.data, b.n_bytes, "test.gguf", &g, &err);
        bool is_done = n_until_failure >= 0; /* it allocated less than n times */
        n_until_failure = -1;
        if (is_done) {
            assert_int_equal(st, LULL_OK);
            break;
        }
        assert_int_equal(st, LULL_ENOMEM);
        assert_int_equal(err.code, LULL_ENOMEM);
        assert_non_null(strstr(err.msg, "test.gguf: out of memory"));
        assert_null(g);
    }
    assert_true(n >= 6); /* the object, its path, two tables, two indexes */
    lull_gguf_close(g);
    lull_buffer_fini(&b);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void test_open(void **state)
{
    (void)state;
    char folder[] = "/tmp/lull-test-gguf-XXXXXX", path[400];
    assert_non_null(mkdtemp(folder));
    lull_gguf *g = (lull_gguf *)&g;
    lull_error err;

    snprintf(path, sizeof path, "%s/none.gguf", folder);
    assert_int_equal(lull_gguf_open(path, &g, &err), LULL_ENOTFOUND);
    assert_null(g);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(lull_gguf_open(folder, &g, &err), LULL_EIO);
    assert_non_null(strstr(err.msg, "is a directory"));

    /* A path longer than a message: its end is shown, and the rest of the message is whole. */
    int n = snprintf(path, sizeof path, "%s/", folder);
    memset(path + n, 'p', 200);
    strcpy(path + n + 200, ".gguf");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(lull_gguf_open(path, &g, &err), LULL_ECORRUPT);
    assert_null(g);
    assert_int_equal(strncmp(err.msg, "...ppp", 6), 0);
    assert_non_null(strstr(err.msg, "pp.gguf: offset 0: magic: needs 4 bytes, 0 are left"));

    lull_buffer b = {0};
    put_sample(&b);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.n_bytes, f), b.n_bytes);
    fclose(f);
    assert_int_equal(lull_gguf_open(path, &g, &err), LULL_OK);
    assert_string_equal(lull_gguf_path(g), path);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(lull_gguf_file(g)->inode, info.st_ino);
    assert_int_equal(lull_gguf_file(g)->n_bytes, b.n_bytes);
    const lull_gguf_tensor *t = lull_gguf_find_tensor(g, "vector");
    assert_memory_equal(t->data, b.data + t->offset, t->n_bytes);
    lull_gguf_close(g);
    lull_gguf_close(NULL);

    lull_buffer_fini(&b);
    unlink(path);
    rmdir(folder);
}

static void test_type_names(void **state)
{
    (void)state;
    static const char *const names[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                        "int32",  "float32", "bool",   "string", "array",
                                        "uint64", "int64",   "float64"};
    for (int i = 0; i < LULL_GGUF_N_TYPES; i++)
        assert_string_equal(lull_gguf_type_name((lull_gguf_type)i), names[i]);
    assert_string_equal(lull_gguf_type_name(LULL_GGUF_N_TYPES), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_scalars, parse_done),
        cmocka_unit_test_teardown(test_typed_errors, parse_done),
        cmocka_unit_test_teardown(test_arrays_and_strings, parse_done),
        cmocka_unit_test_teardown(test_tensors, parse_done),
        cmocka_unit_test_teardown(test_version_2, parse_done),
        cmocka_unit_test_teardown(test_many_records, parse_done),
        cmocka_unit_test_teardown(test_bad_headers, parse_done),
        cmocka_unit_test_teardown(test_bad_metadata, parse_done),
        cmocka_unit_test_teardown(test_bad_alignment, parse_done),
        cmocka_unit_test_teardown(test_bad_tensors, parse_done),
        cmocka_unit_test_teardown(test_tensors_against_each_other, parse_done),
        cmocka_unit_test_teardown(test_every_cut, parse_done),
        cmocka_unit_test_teardown(test_every_flip, parse_done),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_type_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
