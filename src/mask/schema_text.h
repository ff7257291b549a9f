/* Strings and numbers of a schema, as languages. What a string or number must be is gathered
 * while keywords are read (lull_strings, lull_numbers), settled once all are, and then asked or
 * written. */
#ifndef LULL_MASK_SCHEMA_TEXT_H
#define LULL_MASK_SCHEMA_TEXT_H

#include <jansson.h>

#include "grammar.h"

typedef struct lull_compiler lull_compiler;

typedef struct lull_decimal {
    const char *whole, *fraction; /* digits; no zero in front of whole or behind fraction */
    bool is_negative;             /* never of zero */
} lull_decimal;

/* One language of those that a text must be in. */
typedef struct lull_languages {
    const lull_regular *language;
    bool is_strict; /* holds less than the schema asks: of a format */
    const struct lull_languages *next;
} lull_languages;

typedef struct lull_text {
    const char *bytes;
    size_t n_bytes;
} lull_text;

typedef struct lull_strings {
    const lull_text *list; /* [n_list], sorted: one of those; NULL: any */
    size_t n_list;
    uint32_t min, max; /* characters; LULL_REGULAR_ANY */
    const lull_languages *in;
} lull_strings;

typedef struct lull_numbers {
    const lull_decimal *list; /* [n_list]: one of those; NULL: any */
    size_t n_list;
    const lull_decimal *min, *max; /* NULL: none */
    bool is_above, is_below;       /* without min, max themselves */
    bool is_integer;
    const lull_languages *in; /* of texts without an exponent */
} lull_numbers;

/* schema_string.c */
/* The regular expression of a keyword, anywhere in the text. */
LULL_NODISCARD lull_status lull_schema_pattern(lull_compiler *c, uint32_t schema,
                                               const char *keyword, const char *pattern,
                                               size_t n_bytes, const lull_regular **out);
/* One of our own, for the whole text. */
LULL_NODISCARD lull_status lull_schema_whole(lull_compiler *c, const char *regex,
                                             const lull_regular **out);
LULL_NODISCARD lull_status lull_schema_not(lull_compiler *c, const lull_regular *a,
                                           const lull_regular **out);
/* a NULL: everything. */
LULL_NODISCARD lull_status lull_schema_both(lull_compiler *c, const lull_regular *a,
                                            const lull_regular *b, const lull_regular **out);
LULL_NODISCARD lull_status lull_schema_either(lull_compiler *c, const lull_regular *a,
                                              const lull_regular *b, const lull_regular **out);
/* One of texts [n], which are sorted. */
LULL_NODISCARD lull_status lull_schema_one_of(lull_compiler *c, const lull_text *texts, size_t n,
                                              const lull_regular **out);
/* The language that was made that way, or NULL; and remember one, which is freed with the
 * compiler. how NULL: it will not be asked for. */
const lull_regular *lull_schema_known(lull_compiler *c, const char *how);
LULL_NODISCARD lull_status lull_schema_keep(lull_compiler *c, const char *how,
                                            lull_regular *language);
lull_status lull_language_failed(lull_compiler *c,
                                 lull_status st); /* err has a message; says where */
LULL_NODISCARD lull_status lull_languages_add(lull_compiler *c, const lull_languages **list,
                                              const lull_regular *language, bool is_strict);
void lull_texts_sort(lull_text *texts, size_t *n); /* and each once */
/* One of texts [n], as they are; sorted. */
LULL_NODISCARD lull_status lull_texts_write(lull_compiler *c, const lull_text *texts, size_t n,
                                            lull_expr *out);
LULL_NODISCARD lull_status lull_text_quote(lull_compiler *c, lull_text text,
                                           lull_text *out); /* as JSON */

/* Work out what is left: lists filtered, languages in one. is_strict: emptiness is by a strict
 * language. */
LULL_NODISCARD lull_status lull_strings_settle(lull_compiler *c, lull_strings *s, bool *is_empty,
                                               bool *is_strict);
/* These are for what is settled. */
LULL_NODISCARD lull_status lull_strings_language(lull_compiler *c, const lull_strings *s,
                                                 const lull_regular **out); /* NULL: every string */
bool lull_strings_match(const lull_strings *s, const char *text, size_t n_bytes);
LULL_NODISCARD lull_status lull_strings_write(lull_compiler *c, const lull_strings *s,
                                              lull_expr *out);

/* schema_format.c: "format" */
typedef enum lull_format_kind {
    LULL_FORMAT_EXACT,  /* what the format's document says, neither more nor less */
    LULL_FORMAT_NEAR,   /* a little less, in ways that make it no other format */
    LULL_FORMAT_STRICT, /* less */
} lull_format_kind;
LULL_NODISCARD lull_status lull_format_find(lull_compiler *c, uint32_t schema, const char *name,
                                            const lull_regular **out, lull_format_kind *kind);

/* schema_number.c */
LULL_NODISCARD lull_status lull_decimal_of(lull_compiler *c, uint32_t schema, const char *keyword,
                                           const json_t *value, lull_decimal *out);
int lull_decimal_compare(const lull_decimal *a, const lull_decimal *b);
bool lull_decimal_is_integer(const lull_decimal *d);
LULL_NODISCARD lull_status lull_number_multiple(lull_compiler *c, uint32_t schema,
                                                const lull_decimal *of, const lull_regular **out);
LULL_NODISCARD lull_status lull_number_integer(lull_compiler *c, const lull_regular **out);
/* Those without an exponent that are not in a. */
LULL_NODISCARD lull_status lull_number_not(lull_compiler *c, const lull_regular *a,
                                           const lull_regular **out);
LULL_NODISCARD lull_status lull_number_equal(lull_compiler *c, const lull_decimal *d,
                                             const lull_regular **out);
LULL_NODISCARD lull_status lull_numbers_settle(lull_compiler *c, lull_numbers *n, bool *is_empty);
LULL_NODISCARD lull_status lull_numbers_write(lull_compiler *c, const lull_numbers *n,
                                              lull_expr *out);
/* One value, in each of its spellings. */
LULL_NODISCARD lull_status lull_decimal_write(lull_compiler *c, const lull_decimal *d,
                                              lull_expr *out);

#endif
