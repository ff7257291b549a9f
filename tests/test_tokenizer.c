/* The tokenizers against llama.cpp's ids (data/tokenizer, oracle/fixtures), token for token; that no
 * byte is lost on the way there and back, in whole or in pieces; and files that are damaged. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "buffer.h"
#include "clock.h"
#include "golden.h"
#include "lull/lull.h"
#include "tokenizer.h"
#include "utf8.h"

/* ---- files ----------------------------------------------------------------------------------- */

/* A GGUF file without tensors that grows by keys. */
typedef struct maker {
    lull_buffer bytes;
} maker;

static void put(maker *m, const void *p, size_t n)
{
    lull_buffer_append(&m->bytes, p, n);
}

static void put_u32(maker *m, uint32_t v)
{
    put(m, &v, sizeof v);
}

static void put_u64(maker *m, uint64_t v)
{
    put(m, &v, sizeof v);
}

static void put_str(maker *m, const char *s, size_t n)
{
    put_u64(m, n);
    put(m, s, n);
}

static maker maker_new(void)
{
    maker m = {0};
    put(&m, "GGUF\3\0\0\0", 8);
    put_u64(&m, 0);
    put_u64(&m, 0);
    return m;
}

static maker maker_from(const char *file)
{
    golden g = golden_open(file);
    maker m = {0};
    put(&m, g.data, g.n_bytes);
    free(g.data);
    return m;
}

static void put_key(maker *m, const char *key, lull_gguf_type type)
{
    uint64_t n;
    memcpy(&n, m->bytes.data + 16, sizeof n);
    n++;
    memcpy(m->bytes.data + 16, &n, sizeof n);
    put_str(m, key, strlen(key));
    put_u32(m, type);
}

static void add_u32(maker *m, const char *key, uint32_t v)
{
    put_key(m, key, LULL_GGUF_U32);
    put_u32(m, v);
}

static void add_bool(maker *m, const char *key, bool v)
{
    put_key(m, key, LULL_GGUF_BOOL);
    put(m, &v, 1);
}

static void add_str(maker *m, const char *key, const char *s)
{
    put_key(m, key, LULL_GGUF_STRING);
    put_str(m, s, strlen(s));
}

/* Strings end with NULL. */
static void add_strs(maker *m, const char *key, const char *const *strs)
{
    uint64_t n = 0;
    while (strs[n]) n++;
    put_key(m, key, LULL_GGUF_ARRAY);
    put_u32(m, LULL_GGUF_STRING);
    put_u64(m, n);
    for (uint64_t i = 0; i < n; i++) put_str(m, strs[i], strlen(strs[i]));
}

/* Elements of four bytes. */
static void add_array(maker *m, const char *key, lull_gguf_type type, const void *elems, uint64_t n)
{
    put_key(m, key, LULL_GGUF_ARRAY);
    put_u32(m, type);
    put_u64(m, n);
    put(m, elems, 4 * n);
}

/* A tokenizer of what m holds; m is finished. */
static lull_status make(maker *m, lull_tokenizer **t, lull_error *err)
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

static lull_tokenizer *make_good(maker *m)
{
    lull_tokenizer *t;
    lull_error err;
    if (make(m, &t, &err) != LULL_OK) fail_msg("%s", err.msg);
    return t;
}

/* ---- small vocabularies by hand -------------------------------------------------------------- */

enum { N = 1, U = 2, C = 3, D = 4, B = 6 }; /* types of tokens */

static const char tokens_key[] = "tokenizer.ggml.tokens";
static const char types_key[] = "tokenizer.ggml.token_type";
static const char scores_key[] = "tokenizer.ggml.scores";
static const char merges_key[] = "tokenizer.ggml.merges";

static const char *const spm_tokens[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "a",
                                         "b",
                                         "ab",
                                         "\xe2\x96\x81",
                                         "\xe2\x96\x81"
                                         "a",
                                         "<0x41>",
                                         "<0xE6>",
                                         "<0x97>",
                                         "<0xA5>",
                                         "<0xFF>",
                                         "<tool>",
                                         "<0x0A>",
                                         NULL};
static const int32_t spm_types[] = {U, C, C, N, N, N, N, N, B, B, B, B, B, D, B};
static const float spm_scores[] = {0, 0, 0, -5, -5, -1, -5, -2, 0, 0, 0, 0, 0, 0, 0};
enum { N_SPM = sizeof spm_types / sizeof *spm_types };

static maker spm_maker(void)
{
    maker m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "llama");
    add_strs(&m, tokens_key, spm_tokens);
    add_array(&m, types_key, LULL_GGUF_I32, spm_types, N_SPM);
    add_array(&m, scores_key, LULL_GGUF_F32, spm_scores, N_SPM);
    return m;
}

/* "\u00e6", "\u0139", "\u00a5" are how E6, 97 and A5 are written, "\u0120" is the space. */
static const char *const bpe_tokens[] = {
    "<|im_end|>", "a", "b", "ab", "\xc4\xa0", "\xc3\xa6", "\xc4\xb9", "\xc2\xa5", "<|tool|>", NULL};
static const int32_t bpe_types[] = {C, N, N, N, N, N, N, N, D};
static const char *const bpe_merges[] = {"a b", NULL};
enum { N_BPE = sizeof bpe_types / sizeof *bpe_types };

static maker bpe_maker(void)
{
    maker m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "gpt2");
    add_strs(&m, tokens_key, bpe_tokens);
    add_array(&m, types_key, LULL_GGUF_I32, bpe_types, N_BPE);
    add_strs(&m, merges_key, bpe_merges);
    return m;
}

/* ---- encoding and decoding ------------------------------------------------------------------- */

static lull_token_list encode(const lull_tokenizer *t, const char *text, size_t n, int flags)
{
    lull_token_list ids = {0};
    lull_error err;
    if (lull_tokenizer_encode(t, text, n, flags, &ids, &err) != LULL_OK) fail_msg("%s", err.msg);
    return ids;
}

/* The ids of text are these, -1 at their end. */
static void expect_ids(const lull_tokenizer *t, const char *text, int flags, const int32_t *ids)
{
    lull_token_list got = encode(t, text, strlen(text), flags);
    size_t n = 0;
    while (ids[n] >= 0) n++;
    assert_int_equal(got.n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(got.ids[i], ids[i]);
    lull_token_list_fini(&got);
}
#define EXPECT_IDS(t, text, flags, ...) expect_ids(t, text, flags, (int32_t[]){__VA_ARGS__, -1})

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

/* Text in a form to print. */
static const char *shown(const char *text, size_t n)
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
        double begun = lull_clock_ms();
        lull_token_list ids = encode(t, text, length, LULL_TOKENIZE_SPECIAL);
        /* It takes 0.2 s at most; a square would be minutes. */
        if (lull_clock_ms() - begun > 10e3)
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

/* ---- by hand --------------------------------------------------------------------------------- */

static void test_spm(void **state)
{
    (void)state;
    maker m = spm_maker();
    lull_tokenizer *t = make_good(&m);
    enum { S = LULL_TOKENIZE_SPECIAL, BOS = LULL_TOKENIZE_BOS };
    /* Defaults of the kind: a prefix space, BOS 1, EOS 2. */
    assert_int_equal(lull_tokenizer_bos(t), 1);
    assert_int_equal(lull_tokenizer_eos(t), 2);
    assert_true(lull_tokenizer_adds_bos(t));
    assert_true(lull_tokenizer_is_eog(t, 2));
    assert_int_equal(lull_tokenizer_n_vocab(t), N_SPM);
    /* "ab" (-1) is merged before "\u2581a" (-2). */
    EXPECT_IDS(t, "ab", 0, 6, 5);
    EXPECT_IDS(t, "ab", BOS, 1, 6, 5);
    EXPECT_IDS(t, "aab", 0, 7, 5);
    EXPECT_IDS(t, "", BOS, 1);
    /* Bytes; where a byte has no token, the unknown one. */
    EXPECT_IDS(t, "A\xe6\x97\xa5\xff", 0, 6, 8, 9, 10, 11, 12);
    EXPECT_IDS(t, "aQ", 0, 7, 0);
    /* A byte token's name in text is text. */
    EXPECT_IDS(t, "a\n", 0, 7, 14);
    /* User-defined tokens always, control tokens when asked; a prefix space after either. */
    EXPECT_IDS(t, "a<tool>a", 0, 7, 13, 7);
    EXPECT_IDS(t, "<s>a", S, 1, 7);
    EXPECT_IDS(t, "a<unk>", S, 7, 0);
    lull_token_list ids = encode(t, "<s>", 3, 0);
    assert_int_not_equal(ids.ids[0], 1);
    lull_token_list_fini(&ids);
    /* Appended to what is there. */
    ids = encode(t, "ab", 2, 0);
    assert_int_equal(lull_tokenizer_encode(t, "a", 1, 0, &ids, NULL), LULL_OK);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.ids[2], 7);
    lull_token_list_fini(&ids);
    lull_tokenizer_free(t);
}

static void test_bpe(void **state)
{
    (void)state;
    maker m = bpe_maker();
    lull_tokenizer *t = make_good(&m);
    EXPECT_IDS(t, "ab ab", 0, 3, 4, 3);
    EXPECT_IDS(t, "\xe6\x97\xa5", 0, 5, 6, 7);
    /* Damaged: the bytes that are there. A byte without a token is no token. */
    EXPECT_IDS(t,
               "a\xe6\x97"
               "b\xa5",
               0, 1, 5, 6, 2, 7);
    EXPECT_IDS(t, "aZb", 0, 1, 2);
    EXPECT_IDS(t, "a<|tool|>b", 0, 1, 8, 2);
    EXPECT_IDS(t, "<|im_end|>b", LULL_TOKENIZE_SPECIAL, 0, 2);
    assert_true(lull_tokenizer_is_eog(t, 0)); /* by its name */
    /* No key names a BOS: there is none, and it cannot be asked for. */
    assert_int_equal(lull_tokenizer_bos(t), -1);
    assert_false(lull_tokenizer_adds_bos(t));
    lull_token_list ids = encode(t, "b", 1, 0);
    lull_error err;
    assert_int_equal(lull_tokenizer_encode(t, "a", 1, LULL_TOKENIZE_BOS, &ids, &err), LULL_EINVAL);
    assert_int_equal(lull_tokenizer_encode(t, "a", (size_t)INT32_MAX, 0, &ids, &err), LULL_EINVAL);
    assert_int_equal(ids.n, 1);
    lull_token_list_fini(&ids);
    lull_tokenizer_free(t);
}

/* Text that spells a control or byte token stays text, even where merges lead to the token. */
static void test_text_stays_text(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "<", "s>", "<0x41>", "<0x4", "1>", NULL};
    static const int32_t types[] = {U, C, N, N, B, N, N}, control[] = {C, N, N, C, N, N, N, N, N};
    static const float scores[7] = {0};
    maker m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "llama");
    add_strs(&m, tokens_key, tokens);
    add_array(&m, types_key, LULL_GGUF_I32, types, 7);
    add_array(&m, scores_key, LULL_GGUF_F32, scores, 7);
    add_bool(&m, "tokenizer.ggml.add_space_prefix", false);
    lull_tokenizer *t = make_good(&m);
    EXPECT_IDS(t, "<s>", 0, 2, 3);
    EXPECT_IDS(t, "<s>", LULL_TOKENIZE_SPECIAL, 1);
    EXPECT_IDS(t, "1>", 0, 6);
    EXPECT_IDS(t, "A", 0, 4);
    EXPECT_IDS(t, "<0x41>", 0, 2, 0, 0, 0, 6); /* "0", "x" and "4" are unknown */
    lull_tokenizer_free(t);

    m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "gpt2");
    add_strs(&m, tokens_key, bpe_tokens);
    add_array(&m, types_key, LULL_GGUF_I32, control, N_BPE);
    add_strs(&m, merges_key, bpe_merges);
    add_str(&m, "tokenizer.ggml.pre", "llama-bpe"); /* takes whole words */
    t = make_good(&m);
    EXPECT_IDS(t, "ab", 0, 1, 2);
    EXPECT_IDS(t, "ab", LULL_TOKENIZE_SPECIAL, 3);
    lull_tokenizer_free(t);
}

static void test_texts(void **state)
{
    (void)state;
    maker m = spm_maker();
    lull_tokenizer *t = make_good(&m);
    static const struct {
        int32_t id;
        const char *plain, *special;
    } expected[] = {{0, "", "<unk>"}, {1, "", "<s>"},           {5, "ab", "ab"},
                    {7, " a", " a"},  {13, "<tool>", "<tool>"}, {9, "\xe6", "\xe6"},
                    {-1, "", ""},     {N_SPM, "", ""},          {INT32_MAX, "", ""}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        for (int s = 0; s < 2; s++) {
            const char *want = s ? expected[i].special : expected[i].plain;
            size_t n;
            const char *got = lull_tokenizer_text(t, expected[i].id, s, &n);
            assert_int_equal(n, strlen(want));
            assert_memory_equal(got, want, n);
        }
    assert_int_equal(lull_tokenizer_max_text(t), 6);
    lull_tokenizer_free(t);
}

/* Pushes id and returns what came out, as a string. */
static const char *push(lull_detok *d, int32_t id)
{
    static char out[32];
    size_t n = lull_detok_push(d, id, out, sizeof out - 1);
    out[n] = '\0';
    return out;
}

static void test_stream(void **state)
{
    (void)state;
    maker m = spm_maker();
    lull_tokenizer *t = make_good(&m);
    lull_detok d;
    char rest[4];
    enum { SPACE_A = 7, E6 = 9, X97 = 10, XA5 = 11, FF = 12, BOS = 1 };

    /* The space of the first text is taken off, once, after a control token as well. */
    lull_detok_init(&d, t, false, true);
    assert_string_equal(push(&d, BOS), "");
    assert_string_equal(push(&d, SPACE_A), "a");
    assert_string_equal(push(&d, SPACE_A), " a");
    lull_detok_init(&d, t, false, false);
    assert_string_equal(push(&d, SPACE_A), " a");

    /* A character comes when it is whole; also when a hidden token stands within it. */
    assert_string_equal(push(&d, E6), "");
    assert_string_equal(push(&d, BOS), "");
    assert_string_equal(push(&d, X97), "");
    assert_string_equal(push(&d, XA5), "\xe6\x97\xa5");
    /* What cannot become one is passed on at once, and what is left at the end. */
    assert_string_equal(push(&d, XA5), "\xa5");
    assert_string_equal(push(&d, FF), "\xff");
    assert_string_equal(push(&d, E6), "");
    assert_string_equal(push(&d, E6), "\xe6");
    assert_string_equal(push(&d, X97), "");
    assert_string_equal(push(&d, SPACE_A), "\xe6\x97 a");
    assert_int_equal(lull_detok_finish(&d, rest), 0);
    assert_string_equal(push(&d, E6), "");
    assert_string_equal(push(&d, X97), "");
    assert_int_equal(lull_detok_finish(&d, rest), 2);
    assert_memory_equal(rest, "\xe6\x97", 2);
    assert_int_equal(lull_detok_finish(&d, rest), 0);
    lull_tokenizer_free(t);
}

/* Lengths of characters, and what is none (Unicode, table 3-7). */
static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int length;
    } expected[] = {
        {"a", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xee\x80\x80", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},
        {"\xbf", 0},
        {"\xc0\x80", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xc2"
         "a",
         0},
        {"\xe6\x97"
         "a",
         0},
        {"\xc2", -1},
        {"\xe6", -1},
        {"\xe6\x97", -1},
        {"\xf0\x9f\x98", -1},
        {"\xe0\x80", 0},
        {"\xed\xa0", 0},
        {"\xf4\x90", 0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (lull_utf8_length((const uint8_t *)expected[i].bytes, strlen(expected[i].bytes)) !=
            expected[i].length)
            fail_msg("'%s'", shown(expected[i].bytes, strlen(expected[i].bytes)));
}

/* ---- files that are damaged ------------------------------------------------------------------ */

/* The file in m is refused, with a message that names `what`. */
static void expect_refusal(maker *m, lull_status status, const char *what)
{
    lull_tokenizer *t = (lull_tokenizer *)m;
    lull_error err = {0};
    lull_status st = make(m, &t, &err);
    if (st != status || t || err.code != status || !strstr(err.msg, what))
        fail_msg("%s: %s '%s'", what, lull_status_name(st), err.msg);
}

static void test_refusals(void **state)
{
    (void)state;
    maker m = maker_new();
    expect_refusal(&m, LULL_ENOTFOUND, "tokenizer.ggml.model");

    m = maker_new();
    add_u32(&m, "tokenizer.ggml.model", 1);
    expect_refusal(&m, LULL_ECORRUPT, "tokenizer.ggml.model");

    m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "bert");
    expect_refusal(&m, LULL_EUNSUPPORTED, "tokenizer.ggml.model is 'bert'");

    static const char *const models[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        m = maker_new();
        add_str(&m, "tokenizer.ggml.model", models[i]);
        expect_refusal(&m, LULL_ENOTFOUND, tokens_key);
        m = maker_new();
        add_str(&m, "tokenizer.ggml.model", models[i]);
        add_array(&m, tokens_key, LULL_GGUF_U32, spm_types, 3);
        expect_refusal(&m, LULL_ECORRUPT, tokens_key);
        m = maker_new();
        add_str(&m, "tokenizer.ggml.model", models[i]);
        add_strs(&m, tokens_key, spm_tokens + N_SPM);
        expect_refusal(&m, LULL_ECORRUPT, tokens_key);
    }

    /* Arrays beside the tokens. */
    static const struct {
        const char *key;
        lull_gguf_type type;
        uint64_t n;
    } arrays[] = {{types_key, LULL_GGUF_I32, N_SPM - 1}, {types_key, LULL_GGUF_I32, N_SPM + 1},
                  {types_key, LULL_GGUF_F32, N_SPM},     {scores_key, LULL_GGUF_F32, N_SPM - 1},
                  {scores_key, LULL_GGUF_F32, 0},        {scores_key, LULL_GGUF_U32, N_SPM}};
    int32_t elems[N_SPM + 1] = {0};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        m = maker_new();
        add_str(&m, "tokenizer.ggml.model", "llama");
        add_strs(&m, tokens_key, spm_tokens);
        add_array(&m, arrays[i].key, arrays[i].type, elems, arrays[i].n);
        expect_refusal(&m, LULL_ECORRUPT, arrays[i].key);
    }
    m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "llama");
    add_strs(&m, tokens_key, spm_tokens);
    expect_refusal(&m, LULL_ENOTFOUND, scores_key);
    static const int32_t bad_types[] = {-1, 7, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof bad_types / sizeof *bad_types; i++) {
        elems[N_SPM - 1] = bad_types[i];
        m = maker_new();
        add_str(&m, "tokenizer.ggml.model", "llama");
        add_strs(&m, tokens_key, spm_tokens);
        add_array(&m, types_key, LULL_GGUF_I32, elems, N_SPM);
        expect_refusal(&m, LULL_ECORRUPT, types_key);
    }

    static const char *const ids[] = {
        "tokenizer.ggml.bos_token_id",     "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.fim_pad_token_id"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        m = spm_maker();
        add_u32(&m, ids[i], N_SPM);
        expect_refusal(&m, LULL_ECORRUPT, ids[i]);
        m = bpe_maker();
        add_str(&m, ids[i], "x");
        expect_refusal(&m, LULL_ECORRUPT, ids[i]);
    }
    m = spm_maker();
    add_u32(&m, "tokenizer.ggml.add_bos_token", 1);
    expect_refusal(&m, LULL_ECORRUPT, "tokenizer.ggml.add_bos_token");

    m = bpe_maker();
    add_str(&m, "tokenizer.ggml.pre", "quux");
    expect_refusal(&m, LULL_EUNSUPPORTED, "tokenizer.ggml.pre is 'quux'");
    static const char *const names[] = {"", " ", "smollm gpt-2", "smoll", " smollm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        m = bpe_maker();
        add_str(&m, "tokenizer.ggml.pre", names[i]);
        expect_refusal(&m, LULL_EUNSUPPORTED, "tokenizer.ggml.pre");
    }

    m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "gpt2");
    add_strs(&m, tokens_key, bpe_tokens);
    expect_refusal(&m, LULL_ENOTFOUND, merges_key);
    static const char *const merges[] = {"", "a", "ab", " a", "a ", "  ", "a"};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        const char *list[] = {"a b", merges[i], NULL};
        m = maker_new();
        add_str(&m, "tokenizer.ggml.model", "gpt2");
        add_strs(&m, tokens_key, bpe_tokens);
        add_strs(&m, merges_key, list);
        expect_refusal(&m, LULL_ECORRUPT, "entry 1 of tokenizer.ggml.merges");
    }

    char longest[1026];
    memset(longest, 'x', sizeof longest);
    longest[1025] = '\0';
    const char *tokens[] = {"a", longest, NULL};
    static const int32_t types[] = {N, D};
    m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "llama");
    add_strs(&m, tokens_key, tokens);
    add_array(&m, types_key, LULL_GGUF_I32, types, 2);
    add_array(&m, scores_key, LULL_GGUF_F32, spm_scores, 2);
    expect_refusal(&m, LULL_EUNSUPPORTED, "special token 1");
}

/* 0xffffffff says that there is none. */
static void test_no_id(void **state)
{
    (void)state;
    maker m = spm_maker();
    add_u32(&m, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    add_u32(&m, "tokenizer.ggml.unknown_token_id", UINT32_MAX);
    lull_tokenizer *t = make_good(&m);
    assert_int_equal(lull_tokenizer_bos(t), -1);
    assert_false(lull_tokenizer_adds_bos(t));
    EXPECT_IDS(t, "aQ", 0, 7);
    lull_tokenizer_free(t);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Each allocation of making a tokenizer and of encoding fails once. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] = "ab <|im_end|> don't \xff <tool aaaaaaaa  12345 the other";
    static const char *const files[] = {"tokenizer/spm.gguf", "tokenizer/bpe.gguf"};
    for (int f = 0; f < 2; f++) {
        maker m = maker_from(files[f]);
        add_str(&m, "tokenizer.ggml.pre", "llama-bpe");
        add_str(&m, "general.name", "phi-3");
        lull_gguf *g;
        lull_error err;
        assert_int_equal(
            lull_gguf_parse((uint8_t *)m.bytes.data, m.bytes.n_bytes, "made", &g, &err), LULL_OK);
        lull_tokenizer *t = NULL;
        int n_failed = 0;
        for (long n = 0;; n++) {
            fail_request(n);
            lull_status st = lull_tokenizer_new(g, &t, &err);
            bool was_refused = has_failed();
            fail_request(-1);
            if (!was_refused) break;
            n_failed++;
            if (st != LULL_ENOMEM || t) fail_msg("request %ld: %s", n, lull_status_name(st));
        }
        assert_true(n_failed > 8);
        lull_gguf_close(g);
        lull_buffer_fini(&m.bytes);

        lull_token_list whole = encode(t, text, sizeof text - 1, LULL_TOKENIZE_SPECIAL);
        n_failed = 0;
        for (long n = 0;; n++) {
            lull_token_list ids = {0};
            assert_int_equal(lull_token_list_reserve(&ids, 1, NULL), LULL_OK);
            ids.ids[ids.n++] = 77;
            fail_request(n);
            lull_status st =
                lull_tokenizer_encode(t, text, sizeof text - 1, LULL_TOKENIZE_SPECIAL, &ids, &err);
            bool was_refused = has_failed();
            fail_request(-1);
            assert_int_equal(ids.ids[0], 77);
            assert_int_equal(st, was_refused ? LULL_ENOMEM : LULL_OK);
            assert_int_equal(ids.n, was_refused ? 1 : whole.n + 1);
            lull_token_list_fini(&ids);
            if (!was_refused) break;
            n_failed++;
        }
        assert_true(n_failed > 5);
        lull_token_list_fini(&whole);
        lull_tokenizer_free(t);
    }
    lull_tokenizer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_spm),
        cmocka_unit_test(test_bpe),
        cmocka_unit_test(test_text_stays_text),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_small_vocabularies),
        cmocka_unit_test(test_smollm2),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_id),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, read_cases, free_cases);
}
