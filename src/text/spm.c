#include "spm.h"

#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "merge.h"

static const uint8_t space[3] = "\xe2\x96\x81"; /* U+2581 stands for a space */

static bool is_space_at(const uint8_t *s, size_t n, size_t i)
{
    return i + 3 <= n && memcmp(s + i, space, 3) == 0;
}

/* Where the next space begins at or after `from`; n: nowhere. */
static size_t find_space(const uint8_t *s, size_t n, size_t from)
{
    while (from + 3 <= n && !is_space_at(s, n, from)) {
        const uint8_t *lead = memchr(s + from + 1, space[0], n - from - 1);
        if (!lead) return n;
        from = (size_t)(lead - s);
    }
    return from + 3 <= n ? from : n;
}

void lull_spm_init(lull_spm *s, const lull_vocab *v, int32_t unknown)
{
    *s = (lull_spm){.vocab = v, .unknown = unknown};
    for (int i = 0; i < 256; i++) {
        char name[8];
        uint8_t byte = (uint8_t)i;
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        s->byte_ids[i] = lull_vocab_find(v, name, 6);
        if (s->byte_ids[i] < 0) s->byte_ids[i] = lull_vocab_find(v, &byte, 1);
    }
    for (int id = 0; id < v->n_tokens; id++) {
        size_t n;
        const uint8_t *bytes = lull_vocab_string(v, id, &n);
        for (size_t k = 1; (k = find_space(bytes, n, k)) < n; k += 3) s->joins[bytes[k - 1]] = true;
    }
}

size_t lull_spm_decode(const uint8_t *s, size_t n, uint8_t *out)
{
    size_t n_out = 0;
    for (size_t from = 0, at; from < n; from = at + 3) {
        at = find_space(s, n, from);
        memcpy(out + n_out, s + from, at - from);
        n_out += at - from;
        if (at == n) break;
        out[n_out++] = ' ';
    }
    return n_out;
}

typedef struct word {
    const lull_spm *s;
    const uint8_t *text;
} word;

static bool find_pair(const void *user, const lull_symbol *left, const lull_symbol *right,
                      uint32_t *key, int32_t *id)
{
    const word *w = user;
    const lull_vocab *v = w->s->vocab;
    *id = lull_vocab_find_text(v, w->text + left->start, left->n_bytes + right->n_bytes);
    if (*id < 0) return false;
    /* Floats as integers that descend: the highest score comes first. */
    float score = v->scores[*id] + 0.0f;
    uint32_t bits;
    memcpy(&bits, &score, 4);
    *key = bits >> 31 ? bits : ~(bits | 0x80000000);
    return true;
}

/* Bytes of the symbol at text [n]: a character by its first byte alone, as llama.cpp does it; but
 * damaged ones leave a space alone. */
static size_t symbol_bytes(const uint8_t *text, size_t n)
{
    uint8_t c = text[0];
    size_t length = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (length > n) length = n;
    for (size_t i = 1; i < length; i++)
        if (is_space_at(text, n, i)) return i;
    return length;
}

static lull_status encode_word(const lull_spm *s, const uint8_t *text, size_t n, lull_merger *m,
                               lull_token_list *out, lull_error *err)
{
    const lull_vocab *v = s->vocab;
    lull_merger_reset(m);
    for (size_t i = 0; i < n;) {
        size_t k = symbol_bytes(text + i, n - i);
        lull_merger_push(m, (uint32_t)i, (uint32_t)k, lull_vocab_find_text(v, text + i, k));
        i += k;
    }
    word w = {s, text};
    if (!lull_merger_run(m, find_pair, &w))
        return lull_fail(err, LULL_ENOMEM, "out of memory for %zu bytes of text", n);
    lull_status st = lull_token_list_reserve(out, n, err);
    if (st != LULL_OK) return st;
    for (int32_t i = 0; i >= 0; i = m->symbols[i].next) {
        const lull_symbol *symbol = &m->symbols[i];
        if (symbol->id >= 0) {
            out->ids[out->n++] = symbol->id;
            continue;
        }
        for (uint32_t k = 0; k < symbol->n_bytes; k++) {
            int32_t id = s->byte_ids[text[symbol->start + k]];
            if (id < 0) id = s->unknown;
            if (id >= 0) out->ids[out->n++] = id;
        }
    }
    return LULL_OK;
}

lull_status lull_spm_encode(const lull_spm *s, const char *text, size_t n_bytes, bool with_prefix,
                            lull_token_list *out, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_buffer b = {0};
    lull_merger m = {0};
    size_t n_before = out->n;
    if (with_prefix) lull_buffer_append(&b, space, 3);
    for (size_t i = 0, end; i < n_bytes; i = end) {
        const char *at = memchr(text + i, ' ', n_bytes - i);
        end = at ? (size_t)(at - text) : n_bytes;
        lull_buffer_append(&b, text + i, end - i);
        for (; end < n_bytes && text[end] == ' '; end++) lull_buffer_append(&b, space, 3);
    }
    if (b.is_failed) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for %zu bytes of text", n_bytes);
        goto done;
    }
    /* Words are merged on their own where no token could join them: the same, with short heaps. */
    const uint8_t *bytes = (const uint8_t *)b.data;
    for (size_t from = 0, to; from < b.n_bytes; from = to) {
        to = from + 1;
        while (to < b.n_bytes && (!is_space_at(bytes, b.n_bytes, to) || s->joins[bytes[to - 1]]))
            to++;
        LULL_TRY(encode_word(s, bytes + from, to - from, &m, out, err));
    }
done:
    if (st != LULL_OK) out->n = n_before;
    lull_merger_fini(&m);
    lull_buffer_fini(&b);
    return st;
}
