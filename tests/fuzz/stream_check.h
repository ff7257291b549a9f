/* What the fuzz targets of tokenizers have in common. */
#ifndef LULL_TESTS_STREAM_CHECK_H
#define LULL_TESTS_STREAM_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "tokenizer.h"
#include "utf8.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Streamed bytes out [n] do not end within a character; those held back are the beginning of one. */
static inline void check_chunk(const lull_detok *d, char *out, size_t n)
{
    size_t n_held = (size_t)d->n_held;
    CHECK(n_held <= 3);
    CHECK(n_held == 0 || lull_utf8_length(d->held, n_held) < 0);
    memcpy(out + n, d->held, n_held);
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        int length = lull_utf8_length((const uint8_t *)out + n - back, back + n_held);
        CHECK(length >= 0 && (size_t)length <= back);
    }
}

/* The bytes of tokens, owned; they are the same when the tokens are streamed. */
static inline lull_buffer text_of_ids(const lull_tokenizer *t, const lull_token_list *ids,
                                      bool with_special)
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
        CHECK(n + (size_t)d.n_held <= cap);
        check_chunk(&d, out, n);
        lull_buffer_append(&streamed, out, n);
    }
    lull_buffer_append(&streamed, rest, lull_detok_finish(&d, rest));
    CHECK(whole.n_bytes == streamed.n_bytes);
    CHECK(whole.n_bytes == 0 || memcmp(whole.data, streamed.data, whole.n_bytes) == 0);
    lull_buffer_fini(&streamed);
    free(out);
    return whole;
}

#endif
