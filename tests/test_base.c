/* Errors, buffers, the arena, digests and files. */
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

#include "alloc_wrap.h"
#include "arena.h"
#include "buffer.h"
#include "file.h"
#include "hash.h"

/* ---- errors ---------------------------------------------------------------------------------- */

static void test_error(void **state)
{
    (void)state;
    lull_error err;
    assert_int_equal(lull_fail(&err, LULL_EINVAL, "%s is %d", "top_k", -1), LULL_EINVAL);
    assert_int_equal(err.code, LULL_EINVAL);
    assert_string_equal(err.msg, "top_k is -1");
    lull_error_prefix(&err, "item %d", 3);
    assert_string_equal(err.msg, "item 3: top_k is -1");
    assert_int_equal(lull_fail(NULL, LULL_EIO, "nobody listens"), LULL_EIO);
    lull_error_prefix(NULL, "nobody listens");

    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(lull_fail(&err, LULL_EIO, "%s", text), LULL_EIO);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    lull_error_prefix(&err, "long");
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_memory_equal(err.msg, "long: xxx", 9);
    lull_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

static void test_status_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "LULL_OK",       "LULL_EINVAL",       "LULL_ENOMEM", "LULL_EIO",        "LULL_ENOTFOUND",
        "LULL_ECORRUPT", "LULL_EUNSUPPORTED", "LULL_EFULL",  "LULL_ECANCELLED", "LULL_ENUMERIC"};
    for (int i = 0; i < 10; i++) assert_string_equal(lull_status_name((lull_status)-i), names[i]);
    assert_non_null(lull_status_name((lull_status)-99));
}

/* ---- buffer, arena --------------------------------------------------------------------------- */

static void test_buffer(void **state)
{
    (void)state;
    lull_buffer b = {0};
    size_t n;
    char *empty = lull_buffer_take(&b, &n);
    assert_string_equal(empty, "");
    assert_int_equal(n, 0);
    free(empty);

    for (int i = 0; i < 1000; i++) lull_buffer_printf(&b, "%d,", i);
    lull_buffer_append_str(&b, "end");
    lull_buffer_append(&b, "\0x", 2);
    assert_int_equal(b.n_bytes, 10 * 2 + 90 * 3 + 900 * 4 + 3 + 2);
    assert_int_equal(b.data[b.n_bytes], '\0');
    assert_memory_equal(b.data, "0,1,2,", 6);
    lull_buffer_clear(&b);
    assert_int_equal(b.n_bytes, 0);
    lull_buffer_append_str(&b, "again");
    char *text = lull_buffer_take(&b, &n);
    assert_string_equal(text, "again");
    assert_null(b.data);
    free(text);
}

static void test_buffer_without_memory(void **state)
{
    (void)state;
    lull_buffer b = {0};
    lull_buffer_append_str(&b, "kept");
    fail_request(0);
    char big[200] = {0};
    lull_buffer_append(&b, big, sizeof big);
    fail_request(-1);
    assert_true(b.is_failed);
    assert_string_equal(b.data, "kept");
    lull_buffer_append_str(&b, "!"); /* stays failed */
    size_t n = 1;
    assert_null(lull_buffer_take(&b, &n));
    assert_int_equal(n, 0);
    assert_null(b.data);
    lull_buffer_append(&b, "x", SIZE_MAX - 1);
    assert_true(b.is_failed);
    lull_buffer_fini(&b);
}

static void test_arena(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 16, 17, 100, 60000, 60000, 200000, 3, 64 * 1024};
    lull_arena a = {0};
    uint8_t *parts[900];
    for (int round = 0; round < 100; round++)
        for (int i = 0; i < 9; i++) {
            uint8_t *p = parts[9 * round + i] = lull_arena_alloc(&a, sizes[i]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 0);
            memset(p, round + 1, sizes[i]);
        }
    for (int i = 0; i < 900; i++) /* none lies in another */
        for (size_t k = 0; k < sizes[i % 9]; k++) assert_int_equal(parts[i][k], i / 9 + 1);
    assert_string_equal(lull_arena_strdup(&a, "abcdef", 3), "abc");
    assert_string_equal(lull_arena_strdup(&a, NULL, 0), "");
    assert_null(lull_arena_alloc(&a, SIZE_MAX));
    fail_request(0);
    assert_null(lull_arena_alloc(&a, 1 << 20));
    fail_request(-1);
    assert_non_null(lull_arena_alloc(&a, 1 << 20));
    lull_arena_fini(&a);
    assert_null(a.head);
    lull_arena_fini(&a);
}

/* ---- digests --------------------------------------------------------------------------------- */

/* From Python's hashlib.blake2b(digest_size=32), and from xxHash's own tests. */
static void test_hash(void **state)
{
    (void)state;
    char hex[65];
    lull_digest d = lull_digest_of("abc", 3);
    lull_digest_hex(&d, hex);
    assert_string_equal(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    d = lull_digest_of(NULL, 0);
    lull_digest_hex(&d, hex);
    assert_string_equal(hex, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    lull_checksum c = lull_checksum_of("", 0);
    assert_true(c.hi == 0x99aa06d3014798d8 && c.lo == 0x6001c324468d497f);
}

/* ---- files ----------------------------------------------------------------------------------- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lull-base-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void test_file(void **state)
{
    (void)state;
    lull_file_map map;
    lull_error err;
    char *text;
    size_t n;
    const char *path = in_folder("file");
    assert_int_equal(lull_file_map_open(path, &map, &err), LULL_ENOTFOUND);
    assert_non_null(strstr(err.msg, path));
    assert_null(map.data);
    assert_int_equal(lull_file_map_open(folder, &map, &err), LULL_EIO);
    assert_non_null(strstr(err.msg, "directory"));
    assert_int_equal(lull_file_map_open("/dev/null", &map, &err), LULL_EIO);

    assert_int_equal(lull_file_replace(path, "", 0, &err), LULL_OK);
    assert_int_equal(lull_file_map_open(path, &map, &err), LULL_OK);
    assert_true(map.n_bytes == 0 && map.data == NULL);
    lull_file_map_close(&map);
    assert_int_equal(lull_file_replace(path, "hello", 5, &err), LULL_OK);
    assert_int_equal(lull_file_map_open(path, &map, &err), LULL_OK);
    assert_int_equal(map.n_bytes, 5);
    assert_memory_equal(map.data, "hello", 5);
    assert_true(map.inode != 0 && map.mtime_ns > 0);
    /* The old bytes stay for who has them mapped. */
    assert_int_equal(lull_file_replace(path, "other", 5, &err), LULL_OK);
    assert_memory_equal(map.data, "hello", 5);
    lull_file_map_close(&map);
    lull_file_map_close(&map);

    assert_int_equal(lull_file_read(path, 5, &text, &n, &err), LULL_OK);
    assert_int_equal(n, 5);
    assert_string_equal(text, "other");
    free(text);
    assert_int_equal(lull_file_read(path, 4, &text, &n, &err), LULL_EINVAL);
    assert_null(text);
    assert_int_equal(lull_file_read(in_folder("none"), 4, &text, &n, &err), LULL_ENOTFOUND);
    assert_int_equal(lull_file_read(folder, 4, &text, &n, &err), LULL_EIO);
    assert_int_equal(lull_file_replace(in_folder("none/file"), "x", 1, &err), LULL_ENOTFOUND);
}

static void test_full_disk(void **state)
{
    (void)state;
    lull_error err;
    FILE *full = fopen("/dev/full", "w");
    if (!full) skip();
    assert_int_equal(lull_file_write_all(fileno(full), "some/path", "x", 1, &err), LULL_EIO);
    assert_non_null(strstr(err.msg, "some/path"));
    fclose(full);
}

static void test_dirs(void **state)
{
    (void)state;
    lull_error err;
    struct stat info;
    assert_int_equal(lull_dir_create(in_folder("a/b/c"), &err), LULL_OK);
    assert_int_equal(lull_dir_create(in_folder("a/b/c"), &err), LULL_OK);
    assert_int_equal(stat(in_folder("a/b"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(lull_file_replace(in_folder("a/file"), "x", 1, &err), LULL_OK);
    assert_int_not_equal(lull_dir_create(in_folder("a/file"), &err), LULL_OK);
    assert_int_not_equal(lull_dir_create(in_folder("a/file/b"), &err), LULL_OK);
    assert_int_equal(lull_dir_create("", &err), LULL_EINVAL);
}

static void test_cache_dir(void **state)
{
    (void)state;
    char buf[64];
    lull_error err;
    static const char *const names[] = {"LULL_CACHE", "XDG_CACHE_HOME", "HOME"};
    char *saved[3];
    for (int i = 0; i < 3; i++) {
        saved[i] = getenv(names[i]) ? strdup(getenv(names[i])) : NULL;
        unsetenv(names[i]);
    }
    assert_int_equal(lull_cache_dir(buf, sizeof buf, &err), LULL_ENOTFOUND);
    setenv("HOME", "/h", 1);
    assert_int_equal(lull_cache_dir(buf, sizeof buf, &err), LULL_OK);
    assert_string_equal(buf, "/h/.cache/lull");
    setenv("XDG_CACHE_HOME", "/x", 1);
    assert_int_equal(lull_cache_dir(buf, sizeof buf, &err), LULL_OK);
    assert_string_equal(buf, "/x/lull");
    setenv("LULL_CACHE", "/own", 1);
    assert_int_equal(lull_cache_dir(buf, sizeof buf, &err), LULL_OK);
    assert_string_equal(buf, "/own");
    assert_int_equal(lull_cache_dir(buf, 4, &err), LULL_EINVAL);
    for (int i = 0; i < 3; i++) {
        if (saved[i])
            setenv(names[i], saved[i], 1);
        else
            unsetenv(names[i]);
        free(saved[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error),  cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_buffer), cmocka_unit_test(test_buffer_without_memory),
        cmocka_unit_test(test_arena),  cmocka_unit_test(test_hash),
        cmocka_unit_test(test_file),   cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_dirs),   cmocka_unit_test(test_cache_dir),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
