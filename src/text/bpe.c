#include "bpe.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "merge.h"

/* ---- pre-tokenizers -------------------------------------------------------------------------- */

/* \s is written out: PCRE2 counts U+180E as white space, tokenizers do not. */
#define WS                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"
#define GPT2                                                                                       \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|[" WS "]+(?![^" WS "])"
#define TIKTOKEN(digits)                                                                           \
    "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits  \
    "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|[" WS "]*[\\r\\n]+|[" WS "]+(?![^" WS "])|[" WS "]+"

enum { MAX_STAGES = 4 };

/* Each stage cuts the pieces of the one before; what its expression does not match is a piece,
 * too. */
typedef struct pre_tokenizer {
    const char *names; /* of tokenizer.ggml.pre, with a space on both sides */
    const char *stages[MAX_STAGES];
    bool takes_whole_words; /* a word that is a token is not merged up to it */
    bool adds_bos;
} pre_tokenizer;

static const pre_tokenizer pre_tokenizers[] = {
    {" smollm starcoder refact command-r codeshell exaone minerva-7b ", {"\\p{N}", GPT2}, 0, 0},
    {" gpt-2 gpt2 phi-2 mpt olmo jais trillion jina-es jina-de gigachat exaone4 mellum ",
     {GPT2},
     0,
     0},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2 ",
     {TIKTOKEN("\\p{N}{1,3}")},
     true,
     true},
    {" qwen2 stablelm2 hunyuan deepseek-r1-qwen megrez ", {TIKTOKEN("\\p{N}")}, 0, 0},
    {" default ", {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, 0, 0},
};

static const pre_tokenizer *find_pre_tokenizer(lull_gguf_str name)
{
    char padded[64];
    if (name.n_bytes + 3 > sizeof padded || memchr(name.data, ' ', name.n_bytes)) return NULL;
    padded[0] = padded[name.n_bytes + 1] = ' ';
    memcpy(padded + 1, name.data, name.n_bytes);
    padded[name.n_bytes + 2] = '\0';
    for (size_t i = 0; i < sizeof pre_tokenizers / sizeof *pre_tokenizers; i++)
        if (strstr(pre_tokenizers[i].names, padded)) return &pre_tokenizers[i];
    return NULL;
}

/* ---- bytes as characters --------------------------------------------------------------------- */

/* GPT-2's table: bytes that print stand for themselves, the others for U+0100 and on. */
enum { MOST_CHARACTER = 0x143 };

static bool stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static int character_of(int byte)
{
    int n_before = 0;
    if (stands_for_itself(byte)) return byte;
    for (int b = 0; b < byte; b++) n_before += !stands_for_itself(b);
    return 256 + n_before;
}

/* The UTF-8 of a character below U+0800; returns its bytes. */
static size_t put_character(int c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    out[0] = (uint8_t)(0xc0 | c >> 6);
    out[1] = (uint8_t)(0x80 | (c & 63));
    return 2;
}

/* ---- making ---------------------------------------------------------------------------------- */

typedef struct merge_rule {
    int32_t left, right, id; /* left < 0: an empty slot */
    uint32_t rank;
} merge_rule;

struct lull_bpe {
    lull_vocab *vocab; /* kept */
    const pre_tokenizer *pre;
    pcre2_code *stages[MAX_STAGES]; /* owned */
    int n_stages;
    merge_rule *rules; /* owned [n_slots], a power of two, linear probing */
    uint32_t n_slots;
    int32_t byte_symbols[256];
    uint8_t characters[256][2]; /* of a byte, and how many bytes these have */
    uint8_t character_bytes[256];
    int16_t byte_of[MOST_CHARACTER + 1]; /* -1: the character stands for no byte */
};

static merge_rule *rule_slot(const lull_bpe *b, int32_t left, int32_t right)
{
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    for (uint32_t at = (uint32_t)(hash >> 32);; at++) {
        merge_rule *rule = &b->rules[at & (b->n_slots - 1)];
        if (rule->left < 0 || (rule->left == left && rule->right == right)) return rule;
    }
}

lull_status lull_bpe_count_symbols(const lull_gguf *g, size_t *n, lull_error *err)
{
    const uint8_t *cursor;
    uint64_t n_merges;
    lull_status st = lull_gguf_get_strs(g, "tokenizer.ggml.merges", &cursor, &n_merges, err);
    if (st == LULL_OK && n_merges > 1 << 24)
        st = lull_fail(err, LULL_ECORRUPT, "%s: tokenizer.ggml.merges has %llu entries",
                       lull_gguf_path(g), (unsigned long long)n_merges);
    *n = st == LULL_OK ? 3 * (size_t)n_merges + 256 : 0;
    return st;
}

static lull_status read_merges(lull_bpe *b, const lull_gguf *g, lull_error *err)
{
    static const char key[] = "tokenizer.ggml.merges";
    const uint8_t *cursor;
    uint64_t n;
    lull_status st = lull_gguf_get_strs(g, key, &cursor, &n, err);
    if (st != LULL_OK) return st;
    for (b->n_slots = 64; b->n_slots < 2 * n;) b->n_slots *= 2;
    b->rules = malloc(b->n_slots * sizeof *b->rules);
    if (!b->rules) return lull_fail(err, LULL_ENOMEM, "out of memory for %s", key);
    memset(b->rules, 0xff, b->n_slots * sizeof *b->rules);
    uint8_t joined[1024];
    for (uint64_t i = 0; i < n; i++) {
        lull_gguf_str s = lull_gguf_next_str(&cursor);
        const char *cut = s.n_bytes > 2 ? memchr(s.data + 1, ' ', s.n_bytes - 2) : NULL;
        if (!cut || s.n_bytes > sizeof joined)
            return lull_fail(err, LULL_ECORRUPT,
                             "%s: entry %llu of %s is not two symbols with a space between",
                             lull_gguf_path(g), (unsigned long long)i, key);
        size_t n_left = (size_t)(cut - s.data), n_right = s.n_bytes - n_left - 1;
        memcpy(joined, s.data, n_left);
        memcpy(joined + n_left, cut + 1, n_right);
        int32_t left = lull_vocab_intern(b->vocab, s.data, n_left);
        int32_t right = lull_vocab_intern(b->vocab, cut + 1, n_right);
        int32_t id = lull_vocab_intern(b->vocab, joined, n_left + n_right);
        if (left < 0 || right < 0 || id < 0)
            return lull_fail(err, LULL_ENOMEM, "out of memory for %s", key);
        merge_rule *rule = rule_slot(b, left, right);
        if (rule->left < 0) *rule = (merge_rule){left, right, id, (uint32_t)i};
    }
    return LULL_OK;
}

static lull_status compile_stages(lull_bpe *b, lull_error *err)
{
    for (; b->n_stages < MAX_STAGES && b->pre->stages[b->n_stages]; b->n_stages++) {
        int code;
        size_t at;
        pcre2_code *re =
            pcre2_compile((PCRE2_SPTR)b->pre->stages[b->n_stages], PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NO_AUTO_CAPTURE,
                          &code, &at, NULL);
        if (!re)
            return lull_fail(err, LULL_ENOMEM, "PCRE2 cannot compile a pre-tokenizer: error %d",
                             code);
        b->stages[b->n_stages] = re;
        (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without it matching is slower */
    }
    return LULL_OK;
}

lull_status lull_bpe_new(const lull_gguf *g, lull_vocab *v, lull_bpe **out, lull_error *err)
{
    lull_gguf_str name = {"default", 7};
    lull_status st = lull_gguf_get_str(g, "tokenizer.ggml.pre", &name, err);
    if (st != LULL_OK && st != LULL_ENOTFOUND) return st;
    st = LULL_OK;
    lull_bpe *b = *out = calloc(1, sizeof *b);
    if (!b) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    b->vocab = v;
    b->pre = find_pre_tokenizer(name);
    if (!b->pre) {
        st = lull_fail(err, LULL_EUNSUPPORTED,
                       "%s: tokenizer.ggml.pre is '%.*s'; lull knows smollm, gpt-2, llama-bpe, "
                       "qwen2 and default",
                       lull_gguf_path(g), (int)(name.n_bytes < 64 ? name.n_bytes : 64), name.data);
        goto done;
    }
    LULL_TRY(compile_stages(b, err));
    memset(b->byte_of, 0xff, sizeof b->byte_of);
    for (int i = 0; i < 256; i++) {
        size_t n = put_character(character_of(i), b->characters[i]);
        b->character_bytes[i] = (uint8_t)n;
        b->byte_of[character_of(i)] = (int16_t)i;
        b->byte_symbols[i] = lull_vocab_intern(v, b->characters[i], n);
        if (b->byte_symbols[i] < 0) {
            st = lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
            goto done;
        }
    }
    LULL_TRY(read_merges(b, g, err));
done:
    if (st != LULL_OK) {
        lull_bpe_free(b);
        *out = NULL;
    }
    return st;
}

void lull_bpe_free(lull_bpe *b)
{
    if (!b) return;
    for (int i = 0; i < b->n_stages; i++) pcre2_code_free(b->stages[i]);
    free(b->rules);
    free(b);
}

bool lull_bpe_adds_bos(const lull_bpe *b)
{
    return b->pre->adds_bos;
}

size_t lull_bpe_decode(const lull_bpe *b, const uint8_t *string, size_t n_bytes, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes;) {
        int c = string[i];
        size_t length = 1;
        if ((c & 0xe0) == 0xc0 && i + 1 < n_bytes && (string[i + 1] & 0xc0) == 0x80) {
            c = (c & 0x1f) << 6 | (string[i + 1] & 0x3f);
            length = 2;
        }
        bool is_known = (length == 2 || c < 0x80) && c <= MOST_CHARACTER && b->byte_of[c] >= 0;
        if (is_known) {
            out[n++] = (uint8_t)b->byte_of[c];
        } else {
            memcpy(out + n, string + i, length);
            n += length;
        }
        i += length;
    }
    return n;
}

/* ---- encoding -------------------------------------------------------------------------------- */

typedef struct encoding {
    const lull_bpe *b;
    lull_merger m;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    lull_token_list *out;
    lull_error *err;
} encoding;

static bool find_rule(const void *user, const lull_symbol *left, const lull_symbol *right,
                      uint32_t *key, int32_t *id)
{
    const merge_rule *rule = rule_slot(user, left->id, right->id);
    *key = rule->rank;
    *id = rule->id;
    return rule->left >= 0;
}

/* A word that is a token as a whole; -1: it is none. */
static int32_t whole_word(const lull_bpe *b, const uint8_t *word, size_t n)
{
    uint8_t written[512];
    size_t n_written = 0;
    if (n > sizeof written / 2) return -1;
    for (size_t i = 0; i < n; i++) {
        memcpy(written + n_written, b->characters[word[i]], 2);
        n_written += b->character_bytes[word[i]];
        if (n_written + 2 > sizeof written) return -1;
    }
    int32_t id = lull_vocab_find(b->vocab, written, n_written);
    return id < b->vocab->n_tokens ? id : -1;
}

static lull_status encode_word(encoding *e, const uint8_t *word, size_t n)
{
    const lull_bpe *b = e->b;
    const lull_vocab *v = b->vocab;
    lull_status st = lull_token_list_reserve(e->out, 2 * n, e->err);
    if (st != LULL_OK) return st;
    int32_t whole = b->pre->takes_whole_words ? whole_word(b, word, n) : -1;
    if (whole >= 0) {
        e->out->ids[e->out->n++] = whole;
        return LULL_OK;
    }
    lull_merger_reset(&e->m);
    for (size_t i = 0; i < n; i++)
        lull_merger_push(&e->m, (uint32_t)i, 1, b->byte_symbols[word[i]]);
    if (!lull_merger_run(&e->m, find_rule, b))
        return lull_fail(e->err, LULL_ENOMEM, "out of memory for a word of %zu bytes", n);
    for (int32_t i = 0; i >= 0; i = e->m.symbols[i].next) {
        int32_t id = e->m.symbols[i].id;
        if (id < v->n_tokens) {
            e->out->ids[e->out->n++] = id;
            continue;
        }
        /* A symbol that is no token: those of its characters that are, and are one byte long. */
        size_t n_string;
        const uint8_t *string = lull_vocab_string(v, id, &n_string);
        for (size_t k = 0; k < n_string; k++) {
            int32_t single = lull_vocab_find(v, string + k, 1);
            if (single >= 0 && single < v->n_tokens) e->out->ids[e->out->n++] = single;
        }
    }
    return LULL_OK;
}

static lull_status cut_piece(encoding *e, int stage, const uint8_t *text, size_t n)
{
    if (n == 0) return LULL_OK;
    if (stage == e->b->n_stages) return encode_word(e, text, n);
    const size_t *bounds = pcre2_get_ovector_pointer(e->match);
    lull_status st = LULL_OK;
    size_t done = 0;
    for (size_t at = 0; at < n && st == LULL_OK;) {
        int found =
            pcre2_match(e->b->stages[stage], text, n, at, PCRE2_NOTEMPTY, e->match, e->context);
        if (found == PCRE2_ERROR_NOMATCH) break;
        if (found < 0)
            return lull_fail(e->err, found == PCRE2_ERROR_NOMEMORY ? LULL_ENOMEM : LULL_EFULL,
                             "PCRE2 gave up on a text of %zu bytes: error %d", n, found);
        size_t from = bounds[0], to = bounds[1]; /* the next stage overwrites them */
        st = cut_piece(e, stage + 1, text + done, from - done);
        if (st == LULL_OK) st = cut_piece(e, stage + 1, text + from, to - from);
        at = done = to;
    }
    return st == LULL_OK ? cut_piece(e, stage + 1, text + done, n - done) : st;
}

lull_status lull_bpe_encode(const lull_bpe *b, const char *text, size_t n_bytes,
                            lull_token_list *out, lull_error *err)
{
    enum { STACK_FIRST = 32 << 10, STACK_MOST = 1 << 20 };
    size_t n_before = out->n;
    encoding e = {.b = b, .out = out, .err = err};
    e.match = pcre2_match_data_create(1, NULL);
    e.context = pcre2_match_context_create(NULL);
    e.stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
    lull_status st;
    if (e.match && e.context && e.stack && n_bytes <= INT32_MAX) {
        pcre2_jit_stack_assign(e.context, NULL, e.stack);
        st = cut_piece(&e, 0, (const uint8_t *)text, n_bytes);
    } else {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for %zu bytes of text", n_bytes);
    }
    if (st != LULL_OK) out->n = n_before;
    pcre2_match_data_free(e.match);
    pcre2_match_context_free(e.context);
    pcre2_jit_stack_free(e.stack);
    lull_merger_fini(&e.m);
    return st;
}
