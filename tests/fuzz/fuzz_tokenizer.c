/* Fuzz target: a text and the vocabulary to read it with. The input is a byte of flags, the length
 * of the text in two bytes, the text, and a GGUF file. A vocabulary that is taken must be safe to
 * use: ids in range, texts in bounds, streamed text the same as whole text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"
#include "lull/lull.h"
#include "stream_check.h"
#include "tokenizer.h"

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
            for (int with_special = 0; with_special < 2; with_special++) {
                lull_buffer whole = text_of_ids(t, &ids, with_special);
                lull_buffer_fini(&whole);
            }
            lull_token_list_fini(&ids);
            lull_tokenizer_free(t);
        }
    }
    free(text);
    return 0;
}
