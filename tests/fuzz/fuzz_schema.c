/* Fuzz target: a schema, and behind a zero byte a text. What compiles is a grammar that can be
 * finished, or that nothing matches; and the text can be matched. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matcher.h"
#include "schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define CHECK(holds)                                                                               \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds);                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const uint8_t *end = n_bytes ? memchr(data, 0, n_bytes) : NULL;
    size_t n_schema = end ? (size_t)(end - data) : n_bytes;
    lull_error err = {0};
    lull_expr start;
    lull_automaton *a = NULL;
    lull_grammar *g = lull_grammar_new();
    CHECK(g);
    lull_status st = lull_schema_compile((const char *)data, n_schema, g, &start, &err);
    CHECK(st == LULL_OK || (err.code == st && err.msg[0]));
    CHECK(st == LULL_OK || st == LULL_EINVAL || st == LULL_EUNSUPPORTED || st == LULL_EFULL);
    if (st == LULL_OK) {
        st = lull_grammar_finish(g, start, &err);
        CHECK(st == LULL_OK || st == LULL_EFULL || strstr(err.msg, "no text at all"));
    }
    if (st == LULL_OK && lull_automaton_new(g, &a, &err) == LULL_OK) {
        lull_place p;
        size_t n = end ? n_bytes - n_schema - 1 : 0;
        const char *text = end ? (const char *)end + 1 : "";
        st = lull_automaton_step(a, lull_automaton_start(a), text, n, &p, &err);
        CHECK(st == LULL_OK || st == LULL_EFULL);
        if (st == LULL_OK) (void)lull_automaton_is_complete(a, p);
    }
    lull_automaton_free(a);
    lull_grammar_free(g);
    return 0;
}
