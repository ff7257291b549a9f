/* Vocabularies for tests of the tokenizers. */
#ifndef LULL_TESTS_VOCAB_MAKER_H
#define LULL_TESTS_VOCAB_MAKER_H

#include <stdio.h>
#include <string.h>

#include "gguf_maker.h"
#include "golden.h"
#include "tokenizer.h"

static inline maker maker_from(const char *file)
{
    golden g = golden_open(file);
    maker m = {0};
    put(&m, g.data, g.n_bytes);
    free(g.data);
    return m;
}

/* A tokenizer of what m holds; m is finished. */
static inline lull_status make(maker *m, lull_tokenizer **t, lull_error *err)
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

static inline lull_tokenizer *make_good(maker *m)
{
    lull_tokenizer *t;
    lull_error err;
    if (make(m, &t, &err) != LULL_OK) fail_msg("%s", err.msg);
    return t;
}

static inline lull_token_list encode(const lull_tokenizer *t, const char *text, size_t n, int flags)
{
    lull_token_list ids = {0};
    lull_error err;
    if (lull_tokenizer_encode(t, text, n, flags, &ids, &err) != LULL_OK) fail_msg("%s", err.msg);
    return ids;
}

/* Text in a form to print. */
static inline const char *shown(const char *text, size_t n)
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

#endif
