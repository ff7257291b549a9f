/* The tokenizers on vocabularies small enough to work out by hand, streamed text, files that are
 * damaged, and memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "lull/lull.h"
#include "utf8.h"
#include "vocab_maker.h"

/* ---- small vocabularies by hand -------------------------------------------------------------- */

enum { N = 1, U = 2, C = 3, D = 4, B = 6 }; /* types of tokens */

static const char tokens_key[] = "tokenizer.ggml.tokens";
static const char types_key[] = "tokenizer.ggml.token_type";
static const char scores_key[] = "tokenizer.ggml.scores";
static const char merges_key[] = "tokenizer.ggml.merges";

static const char *const spm_tokens[] = {
    "<unk>",  "<s>",    "</s>",   "a",      "b",      "ab",     "\u2581", "\u2581a",
    "<0x41>", "<0xE6>", "<0x97>", "<0xA5>", "<0xFF>", "<tool>", "<0x0A>", NULL};
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

/* \u0120 is how a space is written; \u00e6, \u0139 and \u00a5 are how E6, 97 and A5 are. */
static const char *const bpe_tokens[] = {"<|im_end|>", "a",      "b",      "ab",       "\u0120",
                                         "\u00e6",     "\u0139", "\u00a5", "<|tool|>", NULL};
static const int32_t bpe_types[] = {C, N, N, N, N, N, N, N, D};
static const char *const bpe_merges[] = {"a b", NULL};
enum { N_BPE = sizeof bpe_types / sizeof *bpe_types };

static maker gpt2_maker(const char *const *tokens, const char *const *merges)
{
    maker m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "gpt2");
    add_strs(&m, tokens_key, tokens);
    add_strs(&m, merges_key, merges);
    return m;
}

static maker bpe_maker(void)
{
    maker m = gpt2_maker(bpe_tokens, bpe_merges);
    add_array(&m, types_key, LULL_GGUF_I32, bpe_types, N_BPE);
    return m;
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
    EXPECT_IDS(t, "a\xe6\227b\xa5", 0, 1, 5, 6, 2, 7);
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

/* A name of an end that only a merge makes is no token: nothing is written behind the tokens' types. */
static void test_merged_name(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", NULL};
    static const char *const merges[] = {"q z", "qz z", "<EO T>", NULL};
    maker m = gpt2_maker(tokens, merges);
    lull_tokenizer *t = make_good(&m);
    for (int32_t id = -1; id < 16; id++) assert_false(lull_tokenizer_is_eog(t, id));
    EXPECT_IDS(t, "ab", 0, 0, 1);
    lull_tokenizer_free(t);
}

/* Where words end beside damaged bytes: they are as U+FFFD, neither letter, number nor space. */
static void test_damaged_words(void **state)
{
    (void)state;
    /* \u00ff and \u0122 are how FF and 80 are written. */
    static const char *const tokens[] = {
        "a",       "!",       "1",       "\u0120",       "\u00ff",  "\u0122",
        "a\u00ff", "!\u00ff", "1\u00ff", "\u0120\u00ff", "\u00ffa", "\u00ff\u0122",
        NULL};
    static const char *const merges[] = {"a \u00ff", "! \u00ff",      "1 \u00ff", "\u0120 \u00ff",
                                         "\u00ff a", "\u00ff \u0122", NULL};
    static const char *const pres[] = {"smollm", "gpt-2", "llama-bpe", "qwen2", "default"};
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        maker m = gpt2_maker(tokens, merges);
        add_str(&m, "tokenizer.ggml.pre", pres[i]);
        lull_tokenizer *t = make_good(&m);
        EXPECT_IDS(t, "1\xff", 0, 2, 4);
        EXPECT_IDS(t, " \xff", 0, 9);
        EXPECT_IDS(t, "\xff\x80", 0, 11);
        EXPECT_IDS(t, "a\xff", 0, 0, 4);
        if (strcmp(pres[i], "default") == 0)
            EXPECT_IDS(t, "!\xff", 0, 1, 4); /* it is no punctuation, either */
        else
            EXPECT_IDS(t, "!\xff", 0, 7);
        /* A letter may have one such byte in front in the later two families. */
        if (strcmp(pres[i], "llama-bpe") == 0 || strcmp(pres[i], "qwen2") == 0)
            EXPECT_IDS(t, "\xff\141", 0, 10);
        else
            EXPECT_IDS(t, "\xff\141", 0, 4, 0);
        lull_tokenizer_free(t);
    }
}

/* A damaged character does not swallow the space behind it, also where words are not cut there:
 * a token that ends in 97 has a space behind. */
static void test_damaged_space(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>",        "\u2581", "a",      "\u2581a",
                                         "\u00d7\u2581", "<0xE6>", "<0x97>", NULL};
    static const int32_t types[] = {U, N, N, N, N, B, B};
    static const float scores[7] = {0};
    maker m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "llama");
    add_strs(&m, tokens_key, tokens);
    add_array(&m, types_key, LULL_GGUF_I32, types, 7);
    add_array(&m, scores_key, LULL_GGUF_F32, scores, 7);
    add_bool(&m, "tokenizer.ggml.add_space_prefix", false);
    lull_tokenizer *t = make_good(&m);
    EXPECT_IDS(t, "\xe6\x97 a", 0, 5, 6, 3);
    EXPECT_IDS(t, "\xe6 a", 0, 5, 3);
    lull_tokenizer_free(t);
}

/* Of a merge that stands twice the first counts: "ab" before "bc". */
static void test_first_merge(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "c", "ab", "bc", NULL};
    static const char *const merges[] = {"a b", "b c", "a b", NULL};
    maker m = gpt2_maker(tokens, merges);
    lull_tokenizer *t = make_good(&m);
    EXPECT_IDS(t, "abc", 0, 3, 2);
    EXPECT_IDS(t, "bc", 0, 4);
    lull_tokenizer_free(t);
}

/* Text that spells a control or byte token stays text, even where merges lead to the token. */
static void test_text_stays_text(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>",  "<",   "s>", "<0x41>", "<0x4",
                                         "1>",    "unk>", "nk>", "k>", NULL};
    static const int32_t types[] = {U, C, N, N, B, N, N, N, N, N},
                         control[] = {C, N, N, C, N, N, N, N, N};
    static const float scores[10] = {0};
    maker m = maker_new();
    add_str(&m, "tokenizer.ggml.model", "llama");
    add_strs(&m, tokens_key, tokens);
    add_array(&m, types_key, LULL_GGUF_I32, types, 10);
    add_array(&m, scores_key, LULL_GGUF_F32, scores, 10);
    add_bool(&m, "tokenizer.ggml.add_space_prefix", false);
    lull_tokenizer *t = make_good(&m);
    EXPECT_IDS(t, "<s>", 0, 2, 3);
    EXPECT_IDS(t, "<s>", LULL_TOKENIZE_SPECIAL, 1);
    EXPECT_IDS(t, "1>", 0, 6);
    EXPECT_IDS(t, "A", 0, 4);
    EXPECT_IDS(t, "<0x41>", 0, 2, 0, 0, 0, 6); /* "0", "x" and "4" are unknown */
    EXPECT_IDS(t, "<unk>", 0, 2, 7);
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
        {"\u07ff", 2},
        {"\u0800", 3},
        {"\xed\x9f\xbf", 3},
        {"\ue000", 3},
        {"\U00010000", 4},
        {"\U0010ffff", 4},
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
        {"\xc2!", 0},
        {"\xe6\x97!", 0},
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
        cmocka_unit_test(test_merged_name),
        cmocka_unit_test(test_text_stays_text),
        cmocka_unit_test(test_damaged_words),
        cmocka_unit_test(test_damaged_space),
        cmocka_unit_test(test_first_merge),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_id),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
