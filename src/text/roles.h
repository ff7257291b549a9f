/* Which tokens begin, end and separate: from the file's keys, and from names where the file is
 * silent, with llama.cpp's rules, since many files mark only one of several ends. */
#ifndef LULL_TEXT_ROLES_H
#define LULL_TEXT_ROLES_H

#include "vocab.h"

enum { LULL_STRIPS_LEFT = 1, LULL_STRIPS_RIGHT = 2 }; /* white space beside a token is dropped */

typedef struct lull_roles {
    int32_t bos, eos, unknown; /* -1: none */
    bool *is_end;              /* owned [n_tokens]: generation ends here */
    uint8_t *strips;           /* owned [n_tokens] LULL_STRIPS_...; NULL: no token does */
} lull_roles;

/* LULL_ECORRUPT (an id out of range, or a key of the wrong type, named), LULL_ENOMEM; *r is to be
 * finished in any case. Types in v change where a name says more than the file does. */
LULL_NODISCARD lull_status lull_roles_init(lull_roles *r, const lull_gguf *g, lull_vocab *v,
                                           bool is_spm, lull_error *err);
void lull_roles_fini(lull_roles *r);

#endif
