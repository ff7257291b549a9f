/* The tokenizers against llama.cpp's ids (data/tokenizer, oracle/fixtures), token for token, and that
 * no byte is lost on the way there and back, in whole or in pieces. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lull/lull.h"
#include "utf8.h"
#include "vocab_maker.h"

/* Texts of the tokens, one after the other. */
static lull_buffer texts_of(const lull_tokenizer *t, const lull_token_list *ids)
{
    lull_buffer b = {0};
    lull_buffer_append(&b, "", 0);
    for (size_t i = 0; i < ids->n; i++) {
        size_t n;
        const char *s = lull_tokenizer_text(t, ids->ids[i], true, &n);
        assert_true(n <= lull_tokenizer_max_text(t));
        lull_buffer_append(&b, s, n);
    }
    return b;
}

/* ---- golden ids ------------------------------------------------------------------------------ */

static uint64_t number(golden *g)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t byte = *(const uint8_t *)golden_take(g, 1);
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return v;
    }
}

typedef struct text_case {
    char *data; /* owned */
    size_t n_bytes;
} text_case;

static text_case *cases;
static size_t n_cases;

static int read_cases(void **state)
{
    (void)state;
    golden g = golden_open("tokenizer/cases.bin");
    n_cases = number(&g);
    assert_true(n_cases > 500);
    cases = calloc(n_cases, sizeof *cases);
    for (size_t i = 0; i < n_cases; i++) {
        size_t n = number(&g), n_times = number(&g);
        const char *unit = golden_take(&g, n);
        cases[i] = (text_case){malloc(n * n_times + 1), n * n_times};
        for (size_t k = 0; k < n_times; k++) memcpy(cases[i].data + k * n, unit, n);
    }
    golden_close(&g);
    return 0;
}

static int free_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_cases; i++) free(cases[i].data);
    free(cases);
    return 0;
}

/* Ids as make_tokenizer.py packs them. False: no example. */
static bool take_ids(golden *g, lull_token_list *ids)
{
    uint64_t n = number(g);
    lull_error err;
    if (n == 0) return false;
    ids->n = 0;
    assert_int_equal(lull_token_list_reserve(ids, n, &err), LULL_OK);
    while (ids->n < n - 1) {
        uint64_t v = number(g), times = 1;
        int32_t id = (int32_t)v - 1;
        if (v == 0) {
            assert_true(ids->n > 0);
            id = ids->ids[ids->n - 1];
            times = number(g);
            assert_true(times <= n - 1 - ids->n);
        }
        while (times-- > 0) ids->ids[ids->n++] = id;
    }
    return true;
}

static void compare_ids(const lull_tokenizer *t, const char *name, size_t which, int flags,
                        const lull_token_list *expected)
{
    const text_case *c = &cases[which];
    lull_token_list got = encode(t, c->data, c->n_bytes, flags);
    size_t at = 0;
    while (at < got.n && at < expected->n && got.ids[at] == expected->ids[at]) at++;
    if (got.n != expected->n || at < got.n)
        fail_msg("%s, case %zu '%s', flags %d: token %zu of %zu is %d, not %d of %zu", name, which,
                 shown(c->data, c->n_bytes), flags, at, got.n, at < got.n ? got.ids[at] : -1,
                 at < expected->n ? expected->ids[at] : -1, expected->n);
    lull_token_list_fini(&got);
}

/* Everything that <name>.bin says about t. */
static void check_golden(const lull_tokenizer *t, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "tokenizer/%s.bin", name);
    golden g = golden_open(path);
    int32_t bos = (int32_t)number(&g) - 1, eos = (int32_t)number(&g) - 1;
    assert_int_equal(lull_tokenizer_bos(t), bos);
    assert_int_equal(lull_tokenizer_eos(t), eos);
    assert_int_equal(lull_tokenizer_adds_bos(t), number(&g));
    size_t n_ends = number(&g), n_seen = 0;
    for (size_t i = 0; i < n_ends; i++)
        if (!lull_tokenizer_is_eog(t, (int32_t)number(&g)))
            fail_msg("%s: end %zu is none", name, i);
    for (int32_t i = -1; i <= lull_tokenizer_n_vocab(t); i++) n_seen += lull_tokenizer_is_eog(t, i);
    assert_int_equal(n_seen, n_ends);

    lull_token_list plain = {0}, special = {0};
    size_t n_compared = 0;
    for (size_t i = 0; i < n_cases; i++) {
        bool is_example = take_ids(&g, &plain);
        assert_int_equal(take_ids(&g, &special), is_example);
        if (!is_example) continue;
        compare_ids(t, name, i, 0, &plain);
        compare_ids(t, name, i, LULL_TOKENIZE_SPECIAL, special.n ? &special : &plain);
        n_compared++;
    }
    assert_true(n_compared >= n_cases - 70);
    lull_token_list_fini(&plain);
    lull_token_list_fini(&special);
    golden_close(&g);
}

/* ---- no byte is lost ------------------------------------------------------------------------- */

/* What tokens of text stand for: the text, with the spaces that `llama` tokenizers put in, less
 * the bytes for which the vocabulary has no token. */
static lull_buffer expected_text(const lull_tokenizer *t, const text_case *c, bool is_spm)
{
    static const char space[] = "\xe2\x96\x81";
    bool has_byte[256] = {false};
    for (int32_t id = 0; id < lull_tokenizer_n_vocab(t); id++) {
        size_t n;
        const char *s = lull_tokenizer_text(t, id, false, &n);
        if (n == 1) has_byte[(uint8_t)*s] = true;
    }
    lull_buffer b = {0};
    lull_buffer_append(&b, "", 0);
    for (size_t i = 0; i < c->n_bytes; i++) {
        if (is_spm && i + 3 <= c->n_bytes && memcmp(c->data + i, space, 3) == 0) {
            lull_buffer_append(&b, " ", 1);
            i += 2;
        } else if (is_spm || has_byte[(uint8_t)c->data[i]]) {
            lull_buffer_append(&b, c->data + i, 1);
        }
    }
    return b;
}

static bool is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        int length = lull_utf8_length((const uint8_t *)s + i, n - i);
        if (length <= 0) return false;
        i += (size_t)length;
    }
    return true;
}

/* Tokens one by one give the same bytes; and whole characters where the text has no others. */
static void check_stream(const lull_tokenizer *t, const lull_token_list *ids,
                         const lull_buffer *all, bool is_start)
{
    size_t cap = lull_tokenizer_max_text(t) + 4;
    char *out = malloc(cap); /* exactly as long, so that a sanitizer sees a byte too many */
    lull_buffer got = {0};
    lull_detok d;
    lull_buffer_append(&got, "", 0);
    lull_detok_init(&d, t, true, is_start);
    bool is_whole = is_utf8(all->data, all->n_bytes);
    for (size_t i = 0; i < ids->n; i++) {
        size_t n = lull_detok_push(&d, ids->ids[i], out, cap);
        assert_true(n <= cap && d.n_held <= 3);
        if (is_whole) assert_true(is_utf8(out, n));
        lull_buffer_append(&got, out, n);
    }
    char rest[4];
    lull_buffer_append(&got, rest, lull_detok_finish(&d, rest));
    size_t n_off = got.n_bytes < all->n_bytes;
    assert_int_equal(got.n_bytes + n_off, all->n_bytes);
    assert_memory_equal(got.data, all->data + n_off, got.n_bytes);
    if (n_off) assert_true(is_start && all->data[0] == ' ');
    lull_buffer_fini(&got);
    free(out);
}

static void check_streams(const lull_tokenizer *t)
{
    for (size_t i = 0; i < n_cases; i++) {
        lull_token_list ids = encode(t, cases[i].data, cases[i].n_bytes, LULL_TOKENIZE_SPECIAL);
        lull_buffer all = texts_of(t, &ids);
        check_stream(t, &ids, &all, false);
        check_stream(t, &ids, &all, true);
        lull_token_list_fini(&ids);
        lull_buffer_fini(&all);
    }
}

static void check_no_loss(const lull_tokenizer *t, const char *name, bool is_spm, bool has_prefix)
{
    for (size_t i = 0; i < n_cases; i++) {
        lull_buffer expected = expected_text(t, &cases[i], is_spm);
        lull_token_list ids = encode(t, cases[i].data, cases[i].n_bytes, 0);
        lull_buffer got = texts_of(t, &ids);
        /* A prefix space comes in front, and after a user-defined token. */
        size_t at = 0;
        for (size_t k = 0; k < got.n_bytes; k++) {
            if (at < expected.n_bytes && got.data[k] == expected.data[at])
                at++;
            else if (!has_prefix || got.data[k] != ' ')
                fail_msg("%s, case %zu '%s': byte %zu is wrong", name, i,
                         shown(cases[i].data, cases[i].n_bytes), k);
        }
        if (at != expected.n_bytes)
            fail_msg("%s, case %zu '%s': %zu bytes are lost", name, i,
                     shown(cases[i].data, cases[i].n_bytes), expected.n_bytes - at);
        lull_token_list_fini(&ids);
        lull_buffer_fini(&got);
        lull_buffer_fini(&expected);
    }
}

/* ---- against llama.cpp ----------------------------------------------------------------------- */

/* Each line of variants.txt. */
static void test_small_vocabularies(void **state)
{
    (void)state;
    golden list = golden_open("tokenizer/variants.txt");
    int n = 0;
    char *rest = list.data;
    for (char *line; (line = strsep(&rest, "\n")) && *line; n++) {
        char *name = strsep(&line, "\t"), *file = strsep(&line, "\t"), path[128];
        snprintf(path, sizeof path, "tokenizer/%s.gguf", file);
        maker m = maker_from(path);
        bool is_spm = strcmp(file, "spm") == 0, has_prefix = is_spm, strips = false;
        for (char *key; (key = strsep(&line, "\t"));) {
            char *kind = strchr(key, '='), *value = strchr(key, ':');
            assert_true(kind && value && kind < value);
            *kind++ = *value++ = '\0';
            if (strcmp(kind, "u32") == 0)
                add_u32(&m, key, (uint32_t)strtoul(value, NULL, 10));
            else if (strcmp(kind, "bool") == 0)
                add_bool(&m, key, *value == '1');
            else
                add_str(&m, key, value);
            if (strcmp(key, "tokenizer.ggml.add_space_prefix") == 0) has_prefix = *value == '1';
            if (strcmp(key, "general.name") == 0) strips = true;
        }
        lull_tokenizer *t = make_good(&m);
        check_golden(t, name);
        check_streams(t);
        /* Some symbols of bpe.gguf are no tokens, so its texts have holes; phi-3's strips space. */
        if (is_spm && !strips) check_no_loss(t, name, true, has_prefix);
        lull_tokenizer_free(t);
    }
    assert_int_equal(n, 10);
    free(list.data);
}

/* The tokenizer of a real model: from the file that `variable` names, else from the cache. NULL:
 * it is not on this machine. */
static lull_tokenizer *real_tokenizer(const char *variable, const char *file)
{
    char path[4096], cache[2048];
    const char *named = getenv(variable);
    if (named && *named)
        snprintf(path, sizeof path, "%s", named);
    else if (lull_cache_dir(cache, sizeof cache, NULL) == LULL_OK)
        snprintf(path, sizeof path, "%s/models/%s", cache, file);
    else
        return NULL;
    lull_gguf *g;
    lull_tokenizer *t;
    lull_error err;
    lull_status st = lull_gguf_open(path, &g, &err);
    if (st == LULL_ENOTFOUND && !(named && *named)) return NULL;
    if (st == LULL_OK) st = lull_tokenizer_new(g, &t, &err);
    if (st != LULL_OK) {
        fail_msg("%s", err.msg);
        return NULL;
    }
    lull_gguf_close(g);
    return t;
}

static lull_token_list ids_of(const json_t *array)
{
    lull_token_list ids = {0};
    assert_true(json_is_array(array));
    assert_int_equal(lull_token_list_reserve(&ids, json_array_size(array), NULL), LULL_OK);
    for (size_t i = 0; i < json_array_size(array); i++)
        ids.ids[ids.n++] = (int32_t)json_integer_value(json_array_get(array, i));
    return ids;
}

static void check_fixtures(const lull_tokenizer *t, const char *name)
{
    char path[1024];
    json_error_t error;
    snprintf(path, sizeof path, "%s/../oracle/fixtures/%s.json", LULL_TEST_DATA, name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root) fail_msg("%s: %s", path, error.text);
    json_t *list = json_object_get(root, "tokenize");
    assert_true(json_array_size(list) > 50);
    for (size_t i = 0; i < json_array_size(list); i++) {
        static const char *const forms[] = {"plain", "special"};
        json_t *entry = json_array_get(list, i), *text = json_object_get(entry, "text");
        for (int f = 0; f < 2; f++) {
            lull_token_list expected = ids_of(json_object_get(entry, forms[f]));
            lull_token_list got = encode(t, json_string_value(text), json_string_length(text),
                                         f ? LULL_TOKENIZE_SPECIAL : 0);
            if (got.n != expected.n || (got.n && memcmp(got.ids, expected.ids, 4 * got.n)))
                fail_msg("%s: %s: '%s'", name, forms[f],
                         shown(json_string_value(text), json_string_length(text)));
            lull_token_list_fini(&expected);
            lull_token_list_fini(&got);
        }
    }
    json_decref(root);
}

/* Words of one letter, long runs, damaged bytes: nothing takes more than about linear time. */
static void check_long(const lull_tokenizer *t)
{
    enum { LENGTH = 1 << 18 };
    static const char *const units[] = {"a",    " ", "\n",           "'",  "1",
                                        "\xff", "<", "\xe4\xb8\xad", "\t "};
    char *text = malloc(LENGTH);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i]), length = LENGTH / n * n;
        for (size_t k = 0; k < length; k += n) memcpy(text + k, units[i], n);
        clock_t begun = clock(); /* of the processor: the machine may be busy with others */
        lull_token_list ids = encode(t, text, length, LULL_TOKENIZE_SPECIAL);
        /* It takes 0.2 s at most; a square would be minutes. */
        if ((clock() - begun) / CLOCKS_PER_SEC > 10)
            fail_msg("a run of '%s' is too slow", shown(units[i], n));
        lull_token_list_fini(&ids);
    }
    free(text);
}

static void check_real(const char *variable, const char *file, const char *name, bool is_spm)
{
    lull_tokenizer *t = real_tokenizer(variable, file);
    if (!t) {
        print_message("skipped: neither %s nor the cache has %s (scripts/fetch-model)\n", variable,
                      file);
        skip();
    }
    check_fixtures(t, name);
    check_golden(t, name);
    check_no_loss(t, name, is_spm, false);
    check_streams(t);
    check_long(t);
    lull_tokenizer_free(t);
}

static void test_smollm2(void **state)
{
    (void)state;
    check_real("LULL_TEST_SMOLLM2", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m", false);
}

static void test_gemma3(void **state)
{
    (void)state;
    check_real("LULL_TEST_GEMMA3", "gemma-3-270m-q4_k_m.gguf", "gemma3-270m", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_vocabularies),
        cmocka_unit_test(test_smollm2),
        cmocka_unit_test(test_gemma3),
    };
    return cmocka_run_group_tests(tests, read_cases, free_cases);
}
