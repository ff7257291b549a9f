/* Fuzz target: a grammar in GBNF. The builder, a recorder, checks what it is asked for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/mask/gbnf.h"
#include "../expr_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes > 65536) return 0; /* the recorder has room for this much */
    lull_expr start;
    lull_error err = {0};
    lull_grammar *g = record_reset();
    lull_status st = lull_gbnf_parse((const char *)data, n_bytes, g, &start, &err);
    if (st == LULL_OK) {
        record_check_whole(g, start);
        return 0;
    }
    record_check(err.code == st && strncmp(err.msg, "grammar, line ", 14) == 0, "a message");
    record_check(st == LULL_EINVAL || st == LULL_EUNSUPPORTED || st == LULL_EFULL, "a status");
    return 0;
}
