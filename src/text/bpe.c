#include "bpe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "merge.h"
#include "pre.h"

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
    lull_pre *pre;     /* owned */
    merge_rule *rules; /* owned [1 << log2_slots], linear probing, at most half full */
    int log2_slots;
    uint64_t multiplier; /* of the hash: random and odd, so that a file cannot crowd the table */
    int32_t byte_symbols[256];
    uint8_t characters[256][2]; /* of a byte, and how many bytes these have */
    uint8_t character_bytes[256];
    int16_t byte_of[MOST_CHARACTER + 1]; /* -1: the character stands for no byte */
};

/* The slot of a pair of symbols: that which holds it, else the empty one where it belongs. */
static merge_rule *rule_slot(const lull_bpe *b, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t mask = ((size_t)1 << b->log2_slots) - 1;
    for (size_t at = (size_t)(pair * b->multiplier >> (64 - b->log2_slots));; at++) {
        merge_rule *rule = &b->rules[at & mask];
        if (rule->left < 0 || (rule->left == left && rule->right == right)) return rule;
    }
}

static lull_status read_merges(lull_bpe *b, const lull_gguf *g, lull_error *err)
{
    enum { MOST_MERGES = 1 << 24 };
    static const char key[] = "tokenizer.ggml.merges";
    const uint8_t *cursor;
    uint64_t n;
    uint8_t *joined = NULL;
    lull_status st = LULL_OK;
    LULL_TRY(lull_gguf_get_strs(g, key, &cursor, &n, err));
    if (n > MOST_MERGES) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: %s has %llu entries", lull_gguf_path(g), key,
                       (unsigned long long)n);
        goto done;
    }
    size_t longest = 0;
    const uint8_t *first = cursor;
    for (uint64_t i = 0; i < n; i++) {
        size_t n_bytes = lull_gguf_next_str(&cursor).n_bytes;
        if (n_bytes > longest) longest = n_bytes;
    }
    cursor = first;
    for (b->log2_slots = 6; (uint64_t)1 << b->log2_slots < 2 * n;) b->log2_slots++;
    size_t table_bytes = sizeof *b->rules << b->log2_slots;
    b->rules = malloc(table_bytes);
    joined = malloc(longest + 1);
    if (!b->rules || !joined) goto no_memory;
    memset(b->rules, 0xff, table_bytes);
    for (uint64_t i = 0; i < n; i++) {
        lull_gguf_str s = lull_gguf_next_str(&cursor);
        const char *cut = s.n_bytes > 2 ? memchr(s.data + 1, ' ', s.n_bytes - 2) : NULL;
        if (!cut) {
            st = lull_fail(err, LULL_ECORRUPT,
                           "%s: entry %llu of %s is not two symbols with a space between",
                           lull_gguf_path(g), (unsigned long long)i, key);
            goto done;
        }
        size_t n_left = (size_t)(cut - s.data), n_right = s.n_bytes - n_left - 1;
        memcpy(joined, s.data, n_left);
        memcpy(joined + n_left, cut + 1, n_right);
        int32_t left = lull_vocab_intern(b->vocab, joined, n_left);
        int32_t right = lull_vocab_intern(b->vocab, joined + n_left, n_right);
        int32_t id = lull_vocab_intern(b->vocab, joined, n_left + n_right);
        if (left < 0 || right < 0 || id < 0) goto no_memory;
        merge_rule *rule = rule_slot(b, left, right);
        if (rule->left < 0) *rule = (merge_rule){left, right, id, (uint32_t)i};
    }
done:
    free(joined);
    return st;
no_memory:
    free(joined);
    return lull_fail(err, LULL_ENOMEM, "out of memory for %s", key);
}

static bool name_bytes(lull_bpe *b)
{
    memset(b->byte_of, 0xff, sizeof b->byte_of);
    for (int i = 0; i < 256; i++) {
        size_t n = put_character(character_of(i), b->characters[i]);
        b->character_bytes[i] = (uint8_t)n;
        b->byte_of[character_of(i)] = (int16_t)i;
        b->byte_symbols[i] = lull_vocab_intern(b->vocab, b->characters[i], n);
        if (b->byte_symbols[i] < 0) return false;
    }
    return true;
}

lull_status lull_bpe_new(const lull_gguf *g, lull_vocab *v, lull_bpe **out, lull_error *err)
{
    lull_gguf_str pre = {"default", 7};
    lull_status st = LULL_OK;
    lull_bpe *b = *out = calloc(1, sizeof *b);
    if (!b) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    b->vocab = v;
    if (getentropy(&b->multiplier, sizeof b->multiplier) != 0)
        b->multiplier = 0x9e3779b97f4a7c15u ^ (uintptr_t)b;
    b->multiplier |= 1;
    if (lull_gguf_find(g, "tokenizer.ggml.pre"))
        LULL_TRY(lull_gguf_get_str(g, "tokenizer.ggml.pre", &pre, err));
    st = lull_pre_new(pre.data, pre.n_bytes, &b->pre, err);
    if (st != LULL_OK) {
        lull_error_prefix(err, "%s", lull_gguf_path(g));
        goto done;
    }
    if (!name_bytes(b)) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
        goto done;
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
    lull_pre_free(b->pre);
    free(b->rules);
    free(b);
}

bool lull_bpe_adds_bos(const lull_bpe *b)
{
    return lull_pre_adds_bos(b->pre);
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
    uint8_t *written; /* owned [longest token + 1]; NULL: whole words are not looked up */
    lull_token_list *out;
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
static int32_t whole_word(const encoding *e, const uint8_t *word, size_t n)
{
    const lull_bpe *b = e->b;
    size_t n_written = 0;
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes = b->character_bytes[word[i]];
        if (n_written + n_bytes > b->vocab->longest) return -1;
        memcpy(e->written + n_written, b->characters[word[i]], n_bytes);
        n_written += n_bytes;
    }
    return lull_vocab_find_text(b->vocab, e->written, n_written);
}

static lull_status encode_word(void *user, const uint8_t *word, size_t n, lull_error *err)
{
    encoding *e = user;
    const lull_bpe *b = e->b;
    const lull_vocab *v = b->vocab;
    lull_status st = lull_token_list_reserve(e->out, 2 * n, err);
    if (st != LULL_OK) return st;
    int32_t whole = e->written ? whole_word(e, word, n) : -1;
    if (whole >= 0) {
        e->out->ids[e->out->n++] = whole;
        return LULL_OK;
    }
    lull_merger_reset(&e->m);
    for (size_t i = 0; i < n; i++)
        lull_merger_push(&e->m, (uint32_t)i, 1, b->byte_symbols[word[i]]);
    if (!lull_merger_run(&e->m, find_rule, b))
        return lull_fail(err, LULL_ENOMEM, "out of memory for a word of %zu bytes", n);
    for (int32_t i = 0; i >= 0; i = e->m.symbols[i].next) {
        int32_t id = e->m.symbols[i].id;
        if (id < v->n_tokens && v->is_text[id]) {
            e->out->ids[e->out->n++] = id;
            continue;
        }
        /* Not a token of text: of its characters, those that are one byte long and such tokens. */
        size_t n_string;
        const uint8_t *string = lull_vocab_string(v, id, &n_string);
        for (size_t k = 0; k < n_string; k++) {
            int32_t single = lull_vocab_find_text(v, string + k, 1);
            if (single >= 0) e->out->ids[e->out->n++] = single;
        }
    }
    return LULL_OK;
}

lull_status lull_bpe_encode(const lull_bpe *b, const char *text, size_t n_bytes,
                            lull_token_list *out, lull_error *err)
{
    lull_status st = LULL_OK;
    encoding e = {.b = b, .out = out};
    if (lull_pre_takes_whole_words(b->pre)) {
        e.written = malloc(b->vocab->longest + 1);
        if (!e.written) return lull_fail(err, LULL_ENOMEM, "out of memory for the longest token");
    }
    st = lull_pre_split(b->pre, (const uint8_t *)text, n_bytes, encode_word, &e, err);
    free(e.written);
    lull_merger_fini(&e.m);
    return st;
}
