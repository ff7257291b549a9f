#include "pre.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* ---- expressions ----------------------------------------------------------------------------- */

/* \s is written out: PCRE2 counts U+180E as white space, tokenizers do not. */
#define WS                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"
#define GPT2                                                                                       \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|[" WS "]+(?![^" WS "])"
#define TIKTOKEN(digits)                                                                           \
    "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits  \
    "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|[" WS "]*[\\r\\n]+|[" WS "]+(?![^" WS "])|[" WS "]+"

enum { MOST_STAGES = 4 };

/* Each stage cuts the pieces of the one before; what its expression does not match is a piece,
 * too. */
typedef struct kind {
    const char *names; /* with a space on both sides of each */
    const char *stages[MOST_STAGES];
    bool takes_whole_words, adds_bos;
} kind;

static const kind kinds[] = {
    {" smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 ",
     {"\\p{N}", GPT2},
     false,
     false},
    {" gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat exaone4 mellum a.x-4.0 jina-es "
     "jina-de jina-v2-es jina-v2-de modern-bert ",
     {GPT2},
     false,
     false},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     {TIKTOKEN("\\p{N}{1,3}")},
     true,
     true},
    {" glm4 glm5 ", {TIKTOKEN("\\p{N}{1,3}")}, true, false},
    {" dbrx smaug-bpe chatglm-bpe ", {TIKTOKEN("\\p{N}{1,3}")}, false, false},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 ",
     {TIKTOKEN("\\p{N}")},
     false,
     false},
    {" default ", {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
};

static const kind *find_kind(const char *name, size_t n_bytes)
{
    char padded[64];
    if (n_bytes + 3 > sizeof padded || memchr(name, ' ', n_bytes) || memchr(name, 0, n_bytes))
        return NULL;
    padded[0] = padded[n_bytes + 1] = ' ';
    memcpy(padded + 1, name, n_bytes);
    padded[n_bytes + 2] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(kinds[i].names, padded)) return &kinds[i];
    return NULL;
}

struct lull_pre {
    const kind *kind;
    pcre2_code *stages[MOST_STAGES]; /* owned */
    int n_stages;
};

lull_status lull_pre_new(const char *name, size_t n_bytes, lull_pre **out, lull_error *err)
{
    *out = NULL;
    const kind *k = find_kind(name, n_bytes);
    if (!k)
        return lull_fail(err, LULL_EUNSUPPORTED,
                         "tokenizer.ggml.pre is '%.*s'; lull knows smollm, gpt-2, llama-bpe, "
                         "qwen2, default and their aliases",
                         (int)(n_bytes < 64 ? n_bytes : 64), name);
    lull_pre *p = calloc(1, sizeof *p);
    if (!p) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    p->kind = k;
    for (; p->n_stages < MOST_STAGES && k->stages[p->n_stages]; p->n_stages++) {
        int code;
        size_t at;
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)k->stages[p->n_stages], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        if (!re) {
            lull_pre_free(p);
            return lull_fail(err, LULL_ENOMEM, "PCRE2 cannot compile a pre-tokenizer: error %d",
                             code);
        }
        p->stages[p->n_stages] = re;
        (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without it matching is slower */
    }
    *out = p;
    return LULL_OK;
}

void lull_pre_free(lull_pre *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_stages; i++) pcre2_code_free(p->stages[i]);
    free(p);
}

bool lull_pre_takes_whole_words(const lull_pre *p)
{
    return p->kind->takes_whole_words;
}

bool lull_pre_adds_bos(const lull_pre *p)
{
    return p->kind->adds_bos;
}

/* ---- what PCRE2 is shown --------------------------------------------------------------------- */

/* Letters, numbers and punctuation that Unicode 15.0 and 15.1 added to 14.0 (DerivedAge.txt,
 * DerivedGeneralCategory.txt), ascending. All have four bytes in UTF-8. */
static const struct added {
    uint32_t first, last;
    char class;
} added[] = {
    {0x1123f, 0x11240, 'L'}, {0x11b00, 0x11b09, 'P'}, {0x11f02, 0x11f02, 'L'},
    {0x11f04, 0x11f10, 'L'}, {0x11f12, 0x11f33, 'L'}, {0x11f43, 0x11f4f, 'P'},
    {0x11f50, 0x11f59, 'N'}, {0x1342f, 0x1342f, 'L'}, {0x13441, 0x13446, 'L'},
    {0x1b132, 0x1b132, 'L'}, {0x1b155, 0x1b155, 'L'}, {0x1d2c0, 0x1d2d3, 'N'},
    {0x1df25, 0x1df2a, 'L'}, {0x1e030, 0x1e06d, 'L'}, {0x1e4d0, 0x1e4eb, 'L'},
    {0x1e4f0, 0x1e4f9, 'N'}, {0x2b739, 0x2b739, 'L'}, {0x2ebf0, 0x2ee5d, 'L'},
    {0x31350, 0x323af, 'L'},
};

/* An older character of the same class and length as that at s, four bytes; NULL: it needs none. */
static const char *stand_in(const uint8_t *s)
{
    uint32_t c = (s[0] & 7u) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u);
    for (size_t i = 0; i < sizeof added / sizeof *added && added[i].first <= c; i++)
        if (c <= added[i].last)
            return added[i].class == 'L'   ? "\xf0\x90\x90\x80"  /* U+10400 */
                   : added[i].class == 'N' ? "\xf0\x90\x92\xa0"  /* U+104A0 */
                                           : "\xf0\x90\x84\x80"; /* U+10100 */
    return NULL;
}

/* The text, or where it has bytes that PCRE2 must not see or would misjudge, a copy (owned, as long
 * as the text) with others of the same class instead. NULL: out of memory. */
static const uint8_t *shown_text(const uint8_t *text, size_t n, uint8_t **copy)
{
    for (size_t i = 0; i < n;) {
        int length = lull_utf8_length(text + i, n - i);
        const char *other = length == 4 ? stand_in(text + i) : length <= 0 ? "\x01" : NULL;
        if (length <= 0) length = 1;
        if (other) {
            if (!*copy) {
                *copy = malloc(n);
                if (!*copy) return NULL;
                memcpy(*copy, text, n);
            }
            memcpy(*copy + i, other, (size_t)length);
        }
        i += (size_t)length;
    }
    return *copy ? *copy : text;
}

/* ---- cutting --------------------------------------------------------------------------------- */

typedef struct cut {
    const lull_pre *p;
    const uint8_t *text, *shown;
    pcre2_match_data *match;
    pcre2_match_context *context;
    lull_word_fn emit;
    void *user;
    lull_error *err;
} cut;

/* The next match of an expression in bytes [at, to) of the piece that begins at `from`. */
static int match(const cut *c, const pcre2_code *re, size_t from, size_t to, size_t at)
{
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int n = pcre2_match(re, c->shown + from, to - from, at - from, options, c->match, c->context);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* the slower matcher has no such limit */
        n = pcre2_match(re, c->shown + from, to - from, at - from, options | PCRE2_NO_JIT, c->match,
                        c->context);
    return n;
}

static lull_status cut_piece(const cut *c, int stage, size_t from, size_t to)
{
    if (from == to) return LULL_OK;
    if (stage == c->p->n_stages) return c->emit(c->user, c->text + from, to - from, c->err);
    lull_status st = LULL_OK;
    size_t at = from;
    while (at < to) {
        int n = match(c, c->p->stages[stage], from, to, at);
        if (n == PCRE2_ERROR_NOMATCH) break;
        if (n < 0)
            return lull_fail(c->err, LULL_ENOMEM, "PCRE2 cannot cut a text of %zu bytes: error %d",
                             to - from, n);
        const size_t *bounds = pcre2_get_ovector_pointer(c->match);
        size_t begin = from + bounds[0], end = from + bounds[1];
        LULL_TRY(cut_piece(c, stage + 1, at, begin));
        LULL_TRY(cut_piece(c, stage + 1, begin, end));
        at = end;
    }
    st = cut_piece(c, stage + 1, at, to);
done:
    return st;
}

lull_status lull_pre_split(const lull_pre *p, const uint8_t *text, size_t n_bytes,
                           lull_word_fn emit, void *user, lull_error *err)
{
    lull_status st;
    uint8_t *copy = NULL;
    cut c = {.p = p, .text = text, .emit = emit, .user = user, .err = err};
    c.shown = shown_text(text, n_bytes, &copy);
    c.match = pcre2_match_data_create(1, NULL);
    c.context = pcre2_match_context_create(NULL);
    if (c.shown && c.match && c.context) {
        /* No expression takes more than linear time, so a limit would only refuse long texts. */
        pcre2_set_match_limit(c.context, UINT32_MAX);
        st = cut_piece(&c, 0, 0, n_bytes);
    } else {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for %zu bytes of text", n_bytes);
    }
    pcre2_match_data_free(c.match);
    pcre2_match_context_free(c.context);
    free(copy);
    return st;
}
