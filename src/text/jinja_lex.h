/* Tokens of a template, with white space already controlled (trim_blocks, lstrip_blocks). */
#ifndef LULL_TEXT_JINJA_LEX_H
#define LULL_TEXT_JINJA_LEX_H

#include "jinja_value.h"

typedef enum lull_jinja_token_type {
    LULL_JINJA_T_END, /* of the template */
    LULL_JINJA_T_DATA,
    LULL_JINJA_T_BLOCK_BEGIN,
    LULL_JINJA_T_BLOCK_END,
    LULL_JINJA_T_VARIABLE_BEGIN,
    LULL_JINJA_T_VARIABLE_END,
    LULL_JINJA_T_NAME,
    LULL_JINJA_T_STRING,
    LULL_JINJA_T_INT,
    LULL_JINJA_T_FLOAT,
    LULL_JINJA_T_OPERATOR
} lull_jinja_token_type;

typedef struct lull_jinja_token {
    lull_jinja_token_type type;
    lull_jinja_text text; /* DATA, NAME, OPERATOR: as it stands; STRING: unescaped */
    int64_t integer;
    double number;
    int line, column;
} lull_jinja_token;

typedef struct lull_jinja_tokens {
    lull_jinja_token *items; /* owned: free() */
    size_t n, cap;
} lull_jinja_tokens;

/* The last token is END. LULL_EUNSUPPORTED with line and column, LULL_ENOMEM; *out is to be freed
 * in any case. src is kept by the tokens, and must have \n line ends alone. */
LULL_NODISCARD lull_status lull_jinja_lex(const char *src, size_t n, lull_arena *arena,
                                          lull_jinja_tokens *out, lull_error *err);

#endif
