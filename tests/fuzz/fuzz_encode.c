/* Fuzz target: text through vocabularies that have a token for every byte. The first byte of the
 * input picks the vocabulary, the rest is the text. No byte may be lost, and the ids must be those
 * of a merger that looks at every pair at every step. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../gguf_maker.h"
#include "gguf.h"
#include "lull/lull.h"
#include "pre.h"
#include "stream_check.h"
#include "tokenizer.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* ---- vocabularies ---------------------------------------------------------------------------- */

/* Merges of the byte-level vocabularies, first ones first; each result is a token. */
static const char *const merges[][2] = {
    {"a", "a"},           {"aa", "a"},      {" ", " "},  {"t", "h"},   {"  ", "  "},
    {" ", "t"},           {"h", "e"},       {"th", "e"}, {" t", "he"}, {"aa", "aa"},
    {"1", "2"},           {"12", "1"},      {"'", "s"},  {"\n", "\n"}, {" ", "\n"},
    {"\r", "\n"},         {"\xc3", "\xa9"}, {"!", "!"},  {" ", "!"},   {"\xe6", "\x97"},
    {"\xe6\x97", "\xa5"}, {"\xa5", "\xe6"}, {"a", "'"},  {"\t", "\t"}, {"\xff", "\xff"},
    {"<", "s"},           {"<s", ">"},
};
/* Pieces of the `llama` vocabularies, best ones first; two in a row have the same score. */
static const char *const pieces[] = {
    "aa", "th",   "  ", "he",   "    ", "a ", " t", " the", "the", "aaa", "aaaa", "12", "21",
    "'s", "日本", "!!", "\n\n", "<s",   "<<", " a", "a",    " ",   "t",   "h",    "e",  "1",
    "2",  "'",    "s",  "日",   "本",   "!",  "\n", "<",    ">",   "é",   "é ",
};
enum {
    N_MERGES = sizeof merges / sizeof *merges,
    N_PIECES = sizeof pieces / sizeof *pieces,
    FIRST_PIECE = 3 + 256,
    MOST_PLAIN = 128 /* bytes of the texts that are merged a second time */
};

typedef struct vocabulary {
    const char *pre; /* NULL: `llama` */
    bool has_prefix;
    lull_tokenizer *t; /* made when it is first used, and kept */
    lull_pre *splitter;
} vocabulary;

static vocabulary vocabularies[] = {
    {.pre = "smollm"}, {.pre = "gpt-2"},   {.pre = "llama-bpe"}, {.pre = "dbrx"},
    {.pre = "qwen2"},  {.pre = "default"}, {.has_prefix = true}, {.has_prefix = false},
};
enum { N_VOCABULARIES = sizeof vocabularies / sizeof *vocabularies };

typedef struct span {
    const uint8_t *s;
    size_t n;
} span;

static bool is_same(span a, const char *b)
{
    return a.n == strlen(b) && memcmp(a.s, b, a.n) == 0;
}

/* The token that a byte-level vocabulary has for bytes: the byte, or 256 + the first merge with
 * this result. -1: none. */
static int32_t bpe_id(span s)
{
    if (s.n == 1) return s.s[0];
    for (int i = 0; i < N_MERGES; i++) {
        size_t n = strlen(merges[i][0]);
        if (s.n > n && memcmp(s.s, merges[i][0], n) == 0 &&
            is_same((span){s.s + n, s.n - n}, merges[i][1]))
            return 256 + i;
    }
    return -1;
}

static int32_t spm_id(span s)
{
    for (int i = 0; i < N_PIECES; i++)
        if (is_same(s, pieces[i])) return FIRST_PIECE + i;
    return -1;
}

/* A byte as GPT-2's table writes it. */
static void append_letter(lull_buffer *b, uint8_t byte)
{
    bool is_plain = (byte > ' ' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
    int c = is_plain ? byte : byte <= ' ' ? 256 + byte : byte < 0xa1 ? 256 + byte - 94 : 323;
    char utf8[2] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), (char)(0x80 | (c & 63))};
    lull_buffer_append(b, utf8, c < 0x80 ? 1 : 2);
}

static char *letters(const char *left, const char *between, const char *right)
{
    lull_buffer b = {0};
    for (; *left; left++) append_letter(&b, (uint8_t)*left);
    lull_buffer_append_str(&b, between);
    for (; *right; right++) append_letter(&b, (uint8_t)*right);
    return lull_buffer_take(&b, NULL);
}

static void add_bpe(maker *m, const char *pre)
{
    char *tokens[256 + N_MERGES + 2] = {0}, *rules[N_MERGES + 1] = {0};
    int32_t types[256 + N_MERGES + 1];
    int n = 0;
    for (; n < 256; n++) {
        lull_buffer b = {0};
        append_letter(&b, (uint8_t)n);
        tokens[n] = lull_buffer_take(&b, NULL);
    }
    for (int i = 0; i < N_MERGES; i++, n++) {
        tokens[n] = letters(merges[i][0], "", merges[i][1]);
        rules[i] = letters(merges[i][0], " ", merges[i][1]);
    }
    tokens[n++] = letters("<im>", "", "");
    for (int i = 0; i < n; i++) types[i] = i < n - 1 ? 1 : 3;
    add_str(m, "tokenizer.ggml.model", "gpt2");
    add_str(m, "tokenizer.ggml.pre", pre);
    add_strs(m, "tokenizer.ggml.tokens", (const char *const *)tokens);
    add_strs(m, "tokenizer.ggml.merges", (const char *const *)rules);
    add_array(m, "tokenizer.ggml.token_type", LULL_GGUF_I32, types, (uint64_t)n);
    for (int i = 0; i < n; i++) free(tokens[i]);
    for (int i = 0; i < N_MERGES; i++) free(rules[i]);
}

static void add_spm(maker *m, bool has_prefix)
{
    char *tokens[FIRST_PIECE + N_PIECES + 1] = {0};
    int32_t types[FIRST_PIECE + N_PIECES] = {2, 3, 3};
    float scores[FIRST_PIECE + N_PIECES] = {0};
    static const char *const first[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i < FIRST_PIECE + N_PIECES; i++) {
        lull_buffer b = {0};
        if (i < 3) {
            lull_buffer_append_str(&b, first[i]);
        } else if (i < FIRST_PIECE) {
            lull_buffer_printf(&b, "<0x%02X>", (unsigned)i - 3);
            types[i] = 6;
        } else {
            for (const char *s = pieces[i - FIRST_PIECE]; *s; s++)
                lull_buffer_append(&b, *s == ' ' ? "\u2581" : s, *s == ' ' ? 3 : 1);
            types[i] = 1;
            scores[i] = -(float)((i - FIRST_PIECE) / 2);
        }
        tokens[i] = lull_buffer_take(&b, NULL);
    }
    add_str(m, "tokenizer.ggml.model", "llama");
    add_bool(m, "tokenizer.ggml.add_space_prefix", has_prefix);
    add_strs(m, "tokenizer.ggml.tokens", (const char *const *)tokens);
    add_array(m, "tokenizer.ggml.scores", LULL_GGUF_F32, scores, FIRST_PIECE + N_PIECES);
    add_array(m, "tokenizer.ggml.token_type", LULL_GGUF_I32, types, FIRST_PIECE + N_PIECES);
    for (int i = 0; i < FIRST_PIECE + N_PIECES; i++) free(tokens[i]);
}

static void make_vocabulary(vocabulary *v)
{
    maker m = maker_new();
    lull_gguf *g;
    if (v->pre) {
        add_bpe(&m, v->pre);
        CHECK(lull_pre_new(v->pre, strlen(v->pre), &v->splitter, NULL) == LULL_OK);
    } else {
        add_spm(&m, v->has_prefix);
    }
    CHECK(lull_gguf_parse((uint8_t *)m.bytes.data, m.bytes.n_bytes, "made", &g, NULL) == LULL_OK);
    CHECK(lull_tokenizer_new(g, &v->t, NULL) == LULL_OK);
    lull_gguf_close(g);
    lull_buffer_fini(&m.bytes);
}

/* ---- the plain way --------------------------------------------------------------------------- */

/* The first merge of two spans has the lowest number; INT_MAX: there is none. */
static int bpe_number(span left, span right)
{
    for (int i = 0; i < N_MERGES; i++)
        if (is_same(left, merges[i][0]) && is_same(right, merges[i][1])) return i;
    return INT_MAX;
}

static int spm_number(span left, span right)
{
    int32_t id = spm_id((span){left.s, left.n + right.n});
    return id < 0 ? INT_MAX : (id - FIRST_PIECE) / 2;
}

/* Merge neighbours until none merge: always the lowest number, and of equal ones the leftmost. */
static size_t merge_plainly(span *spans, size_t n, int (*number)(span, span))
{
    for (;;) {
        size_t at = 0;
        int lowest = INT_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            int k = number(spans[i], spans[i + 1]);
            if (k < lowest) {
                lowest = k;
                at = i;
            }
        }
        if (lowest == INT_MAX) return n;
        spans[at].n += spans[at + 1].n;
        n--;
        memmove(spans + at + 1, spans + at + 2, (n - at - 1) * sizeof *spans);
    }
}

typedef struct plain_ids {
    int32_t ids[MOST_PLAIN + 8];
    size_t n;
    bool takes_whole_words;
} plain_ids;

static lull_status add_word(void *user, const uint8_t *word, size_t n_bytes, lull_error *err)
{
    plain_ids *p = user;
    span spans[MOST_PLAIN];
    (void)err;
    int32_t whole = bpe_id((span){word, n_bytes});
    if (p->takes_whole_words && whole >= 0) {
        p->ids[p->n++] = whole;
        return LULL_OK;
    }
    for (size_t i = 0; i < n_bytes; i++) spans[i] = (span){word + i, 1};
    size_t n = merge_plainly(spans, n_bytes, bpe_number);
    for (size_t i = 0; i < n; i++) p->ids[p->n++] = bpe_id(spans[i]);
    return LULL_OK;
}

/* Valid UTF-8 only: what a damaged character is, is llama.cpp's choice. */
static bool add_spm_text(plain_ids *p, const uint8_t *text, size_t n_bytes)
{
    span spans[MOST_PLAIN + 1];
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; n++) {
        int length = lull_utf8_length(text + i, n_bytes - i);
        if (length <= 0) return false;
        spans[n] = (span){text + i, (size_t)length};
        i += (size_t)length;
    }
    n = merge_plainly(spans, n, spm_number);
    for (size_t i = 0; i < n; i++) {
        int32_t id = spm_id(spans[i]);
        if (id >= 0)
            p->ids[p->n++] = id;
        else
            for (size_t k = 0; k < spans[i].n; k++) p->ids[p->n++] = 3 + spans[i].s[k];
    }
    return true;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static lull_token_list encode(const lull_tokenizer *t, const uint8_t *text, size_t n, int flags)
{
    lull_token_list ids = {0};
    CHECK(lull_tokenizer_encode(t, (const char *)text, n, flags, &ids, NULL) == LULL_OK);
    return ids;
}

/* What the tokens of a text stand for: the text, for `llama` with U+2581 as a space. */
static lull_buffer meaning(const vocabulary *v, const uint8_t *text, size_t n)
{
    lull_buffer b = {0};
    if (v->has_prefix && n > 0) lull_buffer_append(&b, " ", 1);
    for (size_t i = 0; i < n; i++) {
        bool is_space = !v->pre && n - i >= 3 && memcmp(text + i, "\u2581", 3) == 0;
        lull_buffer_append(&b, is_space ? " " : (const char *)text + i, 1);
        if (is_space) i += 2;
    }
    return b;
}

static void check_ids(const vocabulary *v, const lull_token_list *ids, const lull_buffer *meant)
{
    plain_ids plain = {.takes_whole_words = v->pre && lull_pre_takes_whole_words(v->splitter)};
    const uint8_t *text = (const uint8_t *)meant->data;
    size_t n = meant->n_bytes;
    if (n == 0 || n > MOST_PLAIN) return;
    if (v->pre)
        CHECK(lull_pre_split(v->splitter, text, n, add_word, &plain, NULL) == LULL_OK);
    else if (!add_spm_text(&plain, text, n))
        return;
    CHECK(ids->n == plain.n && memcmp(ids->ids, plain.ids, 4 * plain.n) == 0);
}

static void check_text(const vocabulary *v, const uint8_t *text, size_t n)
{
    lull_buffer meant = meaning(v, text, n);
    for (int flags = 0; flags <= LULL_TOKENIZE_SPECIAL; flags += LULL_TOKENIZE_SPECIAL) {
        lull_token_list ids = encode(v->t, text, n, flags);
        lull_buffer got = text_of_ids(v->t, &ids, true);
        bool has_more_prefixes = v->has_prefix && flags; /* one after each control token */
        if (!has_more_prefixes) {
            CHECK(got.n_bytes == meant.n_bytes);
            CHECK(got.n_bytes == 0 || memcmp(got.data, meant.data, got.n_bytes) == 0);
        }
        if (flags == 0) check_ids(v, &ids, &meant);
        lull_buffer_fini(&got);
        lull_token_list_fini(&ids);
    }
    lull_buffer_fini(&meant);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0) return 0;
    vocabulary *v = &vocabularies[data[0] % N_VOCABULARIES];
    if (!v->t) make_vocabulary(v);
    uint8_t *text = malloc(n_bytes > 1 ? n_bytes - 1 : 1); /* a read past its end is seen */
    CHECK(text);
    memcpy(text, data + 1, n_bytes - 1);
    check_text(v, text, n_bytes - 1);
    free(text);
    return 0;
}
