/* Fuzz target: a text and the vocabulary to read it with. The input is a byte of flags, the length
 * of the text in two bytes, the text, and a GGUF file. A vocabulary that is taken must be safe to
 * use: ids in range, texts in bounds, streamed text the same as whole text. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "gguf.h"
#include "lull/lull.h"
#include "tokenizer.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "fuzz_tokenizer.c:%d: %s\n", __LINE__, #condition);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static volatile uint8_t sink;

static void check_tokens(const lull_tokenizer *t)
{
    for (int32_t id = -1; id <= lull_tokenizer_n_vocab(t); id++) {
        size_t n, n_plain;
        const char *s = lull_tokenizer_text(t, id, true, &n);
        lull_tokenizer_text(t, id, false, &n_plain);
        CHECK(n <= lull_tokenizer_max_text(t) && (n_plain == n || n_plain == 0));
        for (size_t i = 0; i < n; i++) sink ^= (uint8_t)s[i];
        sink ^= lull_tokenizer_is_eog(t, id);
    }
    CHECK(lull_tokenizer_bos(t) < lull_tokenizer_n_vocab(t));
    CHECK(lull_tokenizer_eos(t) < lull_tokenizer_n_vocab(t));
    CHECK(lull_tokenizer_bos(t) >= 0 || !lull_tokenizer_adds_bos(t));
}

static void check_stream(const lull_tokenizer *t, const lull_token_list *ids, bool with_special)
{
    size_t cap = lull_tokenizer_max_text(t) + 4;
    char *out = malloc(cap), rest[4];
    lull_buffer whole = {0}, streamed = {0};
    lull_detok d;
    CHECK(out);
    lull_detok_init(&d, t, with_special, false);
    for (size_t i = 0; i < ids->n; i++) {
        size_t n;
        const char *s = lull_tokenizer_text(t, ids->ids[i], with_special, &n);
        lull_buffer_append(&whole, s, n);
        n = lull_detok_push(&d, ids->ids[i], out, cap);
        CHECK(n <= cap && d.n_held >= 0 && d.n_held <= 3);
        lull_buffer_append(&streamed, out, n);
    }
    lull_buffer_append(&streamed, rest, lull_detok_finish(&d, rest));
    CHECK(whole.n_bytes == streamed.n_bytes);
    CHECK(whole.n_bytes == 0 || memcmp(whole.data, streamed.data, whole.n_bytes) == 0);
    lull_buffer_fini(&whole);
    lull_buffer_fini(&streamed);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 3) return 0;
    int flags = data[0] & (LULL_TOKENIZE_SPECIAL | LULL_TOKENIZE_BOS);
    size_t n_text = (size_t)data[1] | (size_t)data[2] << 8;
    if (n_text > n_bytes - 3) n_text = n_bytes - 3;
    lull_gguf *g;
    lull_tokenizer *t;
    lull_error err = {0};
    char *text = malloc(n_text + 1); /* of exactly its length: a read past it is seen */
    CHECK(text);
    memcpy(text, data + 3, n_text);
    text = realloc(text, n_text ? n_text : 1);
    if (lull_gguf_parse(data + 3 + n_text, n_bytes - 3 - n_text, "fuzz", &g, NULL) == LULL_OK) {
        lull_status st = lull_tokenizer_new(g, &t, &err);
        lull_gguf_close(g);
        if (st != LULL_OK) {
            CHECK(!t && err.code == st && err.msg[0]);
            CHECK(st == LULL_ENOTFOUND || st == LULL_ECORRUPT || st == LULL_EUNSUPPORTED);
        } else {
            lull_token_list ids = {0};
            check_tokens(t);
            st = lull_tokenizer_encode(t, text, n_text, flags, &ids, &err);
            CHECK(st == LULL_OK || (st == LULL_EINVAL && lull_tokenizer_bos(t) < 0));
            for (size_t i = 0; i < ids.n; i++)
                CHECK(ids.ids[i] >= 0 && ids.ids[i] < lull_tokenizer_n_vocab(t));
            check_stream(t, &ids, true);
            check_stream(t, &ids, false);
            lull_token_list_fini(&ids);
            lull_tokenizer_free(t);
        }
    }
    free(text);
    return 0;
}
