/* Tokens of a template, with white space already controlled (trim_blocks, lstrip_blocks). */
#ifndef LULL_TEXT_JINJA_LEX_H
#define LULL_TEXT_JINJA_LEX_H

#include "jinja_value.h"

typedef enum jinja_token_type {
    JINJA_T_END, /* of the template */
    JINJA_T_DATA,
    JINJA_T_BLOCK_BEGIN,
    JINJA_T_BLOCK_END,
    JINJA_T_VARIABLE_BEGIN,
    JINJA_T_VARIABLE_END,
    JINJA_T_NAME,
    JINJA_T_STRING,
    JINJA_T_INT,
    JINJA_T_FLOAT,
    JINJA_T_OPERATOR
} jinja_token_type;

typedef struct jinja_token {
    jinja_token_type type;
    jinja_text text; /* DATA, NAME, OPERATOR: as it stands; STRING: unescaped */
    int64_t integer;
    double number;
    int line, column;
} jinja_token;

typedef struct jinja_tokens {
    jinja_token *items; /* owned: free() */
    size_t n, cap;
} jinja_tokens;

/* The last token is END. LULL_EUNSUPPORTED with line and column, LULL_ENOMEM; *out is to be freed
 * in any case. src is kept by the tokens, and must have \n line ends alone. */
LULL_NODISCARD lull_status jinja_lex(const char *src, size_t n, lull_arena *arena,
                                     jinja_tokens *out, lull_error *err);

#endif
