/* Keywords of types and values, of strings and of numbers. */
#include <stdlib.h>
#include <string.h>

#include "schema_keyword.h"

/* ---- type, enum, const ----------------------------------------------------------------------- */

enum { INTEGER = 128 }; /* beside LULL_JSON_… */

static int type_of_name(const char *name)
{
    static const struct {
        const char *name;
        int types;
    } names[] = {{"null", LULL_JSON_NULL},     {"boolean", LULL_JSON_FALSE | LULL_JSON_TRUE},
                 {"integer", INTEGER},         {"number", LULL_JSON_NUMBER},
                 {"string", LULL_JSON_STRING}, {"array", LULL_JSON_ARRAY},
                 {"object", LULL_JSON_OBJECT}};
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0) return names[i].types;
    return 0;
}

static lull_status types_of(lull_compiler *c, uint32_t schema, const json_t *v, int *out)
{
    *out = 0;
    for (size_t i = 0; i < (json_is_array(v) ? json_array_size(v) : 1); i++) {
        int types = type_of_name(json_string_value(json_is_array(v) ? json_array_get(v, i) : v));
        if (!types)
            return lull_keyword_wrong(
                c, schema, "type",
                "null, boolean, integer, number, string, array or object, or a list of them,");
        *out |= types;
    }
    if (*out & LULL_JSON_NUMBER) *out &= ~INTEGER;
    return LULL_OK;
}

static lull_status hold_type(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    int types;
    lull_status st = types_of(c, schema, v, &types);
    if (st != LULL_OK) return st;
    if (types & INTEGER) s->numbers.is_integer = true;
    s->types &= (uint8_t)(types & INTEGER ? types | LULL_JSON_NUMBER : types) & LULL_JSON_ALL;
    return LULL_OK;
}

static lull_status fail_type(lull_compiler *c, const lull_shape *s, uint32_t schema,
                             const json_t *v, lull_work *out)
{
    int types;
    const lull_regular *integers, *others;
    lull_status st;
    LULL_TRY(types_of(c, schema, v, &types));
    lull_shape rest = *s;
    rest.types &= (uint8_t)~types & LULL_JSON_ALL;
    if (types & INTEGER && rest.types & LULL_JSON_NUMBER) {
        LULL_TRY(lull_number_integer(c, &integers));
        LULL_TRY(lull_number_not(c, integers, &others));
        LULL_TRY(lull_languages_add(c, &rest.numbers.in, others, false));
    }
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

static uint8_t type_of_value(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL: return LULL_JSON_NULL;
    case JSON_TRUE: return LULL_JSON_TRUE;
    case JSON_FALSE: return LULL_JSON_FALSE;
    case JSON_INTEGER:
    case JSON_REAL: return LULL_JSON_NUMBER;
    case JSON_STRING: return LULL_JSON_STRING;
    case JSON_ARRAY: return LULL_JSON_ARRAY;
    default: return LULL_JSON_OBJECT;
    }
}

static int by_value(const void *a, const void *b)
{
    return lull_decimal_compare(a, b);
}

/* The strings and numbers of values [n], sorted, each once. */
static lull_status list_values(lull_compiler *c, uint32_t schema, const json_t *const *values,
                               size_t n, lull_text **texts, size_t *n_texts, lull_decimal **numbers,
                               size_t *n_numbers)
{
    lull_status st = LULL_OK;
    *n_texts = *n_numbers = 0;
    for (size_t i = 0; i < n; i++) {
        *n_texts += json_is_string(values[i]);
        *n_numbers += json_is_number(values[i]);
    }
    *texts = lull_schema_alloc(c, (*n_texts + 1) * sizeof **texts);
    *numbers = *texts ? lull_schema_alloc(c, (*n_numbers + 1) * sizeof **numbers) : NULL;
    if (!*numbers) return c->err->code;
    size_t at_text = 0, at_number = 0;
    for (size_t i = 0; i < n; i++) {
        if (json_is_string(values[i]))
            (*texts)[at_text++] =
                (lull_text){json_string_value(values[i]), json_string_length(values[i])};
        else if (json_is_number(values[i]))
            LULL_TRY(lull_decimal_of(c, schema, "enum", values[i], &(*numbers)[at_number++]));
    }
    lull_texts_sort(*texts, n_texts);
    qsort(*numbers, *n_numbers, sizeof **numbers, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < *n_numbers; i++)
        if (kept == 0 || lull_decimal_compare(&(*numbers)[kept - 1], &(*numbers)[i]) != 0)
            (*numbers)[kept++] = (*numbers)[i];
    *n_numbers = kept;
done:
    return st;
}

static int by_text(const lull_text *a, const lull_text *b)
{
    size_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int order = n ? memcmp(a->bytes, b->bytes, n) : 0;
    return order ? order : (a->n_bytes > b->n_bytes) - (a->n_bytes < b->n_bytes);
}

lull_status lull_shape_one_of(lull_compiler *c, lull_shape *s, uint32_t schema,
                              const json_t *const *values, size_t n)
{
    lull_status st;
    lull_text *texts;
    lull_decimal *numbers;
    size_t n_texts, n_numbers;
    uint8_t types = 0;
    LULL_TRY(lull_schema_step(c, n));
    LULL_TRY(list_values(c, schema, values, n, &texts, &n_texts, &numbers, &n_numbers));
    for (size_t i = 0; i < n; i++) types |= type_of_value(values[i]);
    s->types &= types;
    lull_strings *a = &s->strings;
    if (a->list) { /* both lists are sorted */
        size_t kept = 0;
        for (size_t i = 0, k = 0; i < n_texts; i++) {
            while (k < a->n_list && by_text(&a->list[k], &texts[i]) < 0) k++;
            if (k < a->n_list && by_text(&a->list[k], &texts[i]) == 0) texts[kept++] = texts[i];
        }
        n_texts = kept;
    }
    a->list = texts;
    a->n_list = n_texts;
    lull_numbers *b = &s->numbers;
    if (b->list) {
        size_t kept = 0;
        for (size_t i = 0, k = 0; i < n_numbers; i++) {
            while (k < b->n_list && lull_decimal_compare(&b->list[k], &numbers[i]) < 0) k++;
            if (k < b->n_list && lull_decimal_compare(&b->list[k], &numbers[i]) == 0)
                numbers[kept++] = numbers[i];
        }
        n_numbers = kept;
    }
    b->list = numbers;
    b->n_list = n_numbers;
done:
    return st;
}

/* The values of "enum" or "const". */
static lull_status hold_values(lull_compiler *c, lull_shape *s, uint32_t schema,
                               const json_t *const *values, size_t n)
{
    bool is_plain = true;
    for (size_t i = 0; i < n; i++)
        is_plain &= !json_is_array(values[i]) && !json_is_object(values[i]);
    if (is_plain) return lull_shape_one_of(c, s, schema, values, n);
    return lull_shape_todo(c, s, LULL_TODO_ENUM, schema, 0);
}

static lull_status fail_values(lull_compiler *c, const lull_shape *s, uint32_t schema,
                               const json_t *const *values, size_t n, lull_work *out)
{
    lull_status st;
    lull_text *texts;
    lull_decimal *numbers;
    size_t n_texts, n_numbers;
    lull_shape rest = *s;
    LULL_TRY(list_values(c, schema, values, n, &texts, &n_texts, &numbers, &n_numbers));
    for (size_t i = 0; i < n; i++) {
        uint8_t type = type_of_value(values[i]);
        uint32_t made;
        if (type & (LULL_JSON_NULL | LULL_JSON_FALSE | LULL_JSON_TRUE))
            rest.types &= (uint8_t)~type;
        if (!(type & (LULL_JSON_ARRAY | LULL_JSON_OBJECT) & s->types)) continue;
        LULL_TRY(lull_schema_const(c, values[i], schema, &made));
        LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_FAILS, made, 0));
    }
    if (n_texts > 0 && s->types & LULL_JSON_STRING) {
        const lull_regular *those, *others;
        LULL_TRY(lull_schema_one_of(c, texts, n_texts, &those));
        LULL_TRY(lull_schema_not(c, those, &others));
        LULL_TRY(lull_languages_add(c, &rest.strings.in, others, false));
    }
    for (size_t i = 0; i < n_numbers && s->types & LULL_JSON_NUMBER; i++) {
        const lull_regular *that, *others;
        LULL_TRY(lull_number_equal(c, &numbers[i], &that));
        LULL_TRY(lull_number_not(c, that, &others));
        LULL_TRY(lull_languages_add(c, &rest.numbers.in, others, false));
    }
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

static lull_status hold_const(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    return hold_values(c, s, schema, &v, 1);
}

static lull_status fail_const(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const json_t *v, lull_work *out)
{
    return fail_values(c, s, schema, &v, 1, out);
}

static lull_status list_of(lull_compiler *c, uint32_t schema, const json_t *v, const json_t ***out)
{
    size_t n = json_array_size(v);
    *out = NULL;
    if (!json_is_array(v)) return lull_keyword_wrong(c, schema, "enum", "a list of values");
    *out = lull_schema_alloc(c, (n + 1) * sizeof **out);
    if (!*out) return c->err->code;
    for (size_t i = 0; i < n; i++) (*out)[i] = json_array_get(v, i);
    return lull_schema_step(c, n);
}

static lull_status hold_enum(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    const json_t **values;
    lull_status st = list_of(c, schema, v, &values);
    return st == LULL_OK ? hold_values(c, s, schema, values, json_array_size(v)) : st;
}

static lull_status fail_enum(lull_compiler *c, const lull_shape *s, uint32_t schema,
                             const json_t *v, lull_work *out)
{
    const json_t **values;
    lull_status st = list_of(c, schema, v, &values);
    return st == LULL_OK ? fail_values(c, s, schema, values, json_array_size(v), out) : st;
}

/* ---- strings --------------------------------------------------------------------------------- */

static lull_status hold_min_length(lull_compiler *c, lull_shape *s, uint32_t schema,
                                   const json_t *v)
{
    uint64_t n;
    lull_status st = lull_keyword_count(c, schema, "minLength", v, &n);
    if (n > LULL_UNBOUNDED) n = LULL_UNBOUNDED;
    if (st == LULL_OK && n > s->strings.min) s->strings.min = (uint32_t)n;
    return st;
}

static lull_status hold_max_length(lull_compiler *c, lull_shape *s, uint32_t schema,
                                   const json_t *v)
{
    uint64_t n;
    lull_status st = lull_keyword_count(c, schema, "maxLength", v, &n);
    if (st == LULL_OK && n < LULL_UNBOUNDED && n < s->strings.max) s->strings.max = (uint32_t)n;
    return st;
}

static lull_status fail_min_length(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = lull_shape_of(s, LULL_JSON_STRING);
    lull_status st = lull_keyword_count(c, schema, "minLength", v, &n);
    if (st != LULL_OK || n == 0) return st;
    if (n - 1 < rest.strings.max) rest.strings.max = (uint32_t)(n - 1);
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_max_length(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = lull_shape_of(s, LULL_JSON_STRING);
    lull_status st = lull_keyword_count(c, schema, "maxLength", v, &n);
    if (st != LULL_OK || n >= LULL_UNBOUNDED) return st;
    if (n + 1 > rest.strings.min) rest.strings.min = (uint32_t)(n + 1);
    return lull_shape_add(c, out, &rest);
}

static lull_status hold_pattern(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    const lull_regular *language;
    if (!json_is_string(v)) return lull_keyword_wrong(c, schema, "pattern", "a regular expression");
    if (!(s->types & LULL_JSON_STRING)) return LULL_OK;
    lull_status st = lull_schema_pattern(c, schema, "pattern", json_string_value(v),
                                         json_string_length(v), &language);
    return st == LULL_OK ? lull_languages_add(c, &s->strings.in, language, false) : st;
}

static lull_status fail_pattern(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                const json_t *v, lull_work *out)
{
    const lull_regular *language, *others;
    lull_status st = LULL_OK;
    lull_shape rest = lull_shape_of(s, LULL_JSON_STRING);
    if (!json_is_string(v)) return lull_keyword_wrong(c, schema, "pattern", "a regular expression");
    if (!rest.types) return LULL_OK;
    LULL_TRY(lull_schema_pattern(c, schema, "pattern", json_string_value(v), json_string_length(v),
                                 &language));
    LULL_TRY(lull_schema_not(c, language, &others));
    LULL_TRY(lull_languages_add(c, &rest.strings.in, others, false));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

static void raise_min(lull_numbers *n, const lull_decimal *min, bool is_above)
{
    int order = n->min ? lull_decimal_compare(min, n->min) : 1;
    if (order > 0) n->is_above = is_above;
    if (order == 0) n->is_above |= is_above;
    if (order > 0) n->min = min;
}

static void lower_max(lull_numbers *n, const lull_decimal *max, bool is_below)
{
    int order = n->max ? lull_decimal_compare(max, n->max) : -1;
    if (order < 0) n->is_below = is_below;
    if (order == 0) n->is_below |= is_below;
    if (order < 0) n->max = max;
}

/* Formats of OpenAPI, for numbers. */
static lull_status hold_number_format(lull_compiler *c, lull_shape *s, const char *name,
                                      bool *is_known)
{
    static const struct {
        const char *name, *min, *max;
    } formats[] = {{"int32", "2147483648", "2147483647"},
                   {"int64", "9223372036854775808", "9223372036854775807"},
                   {"float", NULL, NULL},
                   {"double", NULL, NULL}};
    *is_known = false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        *is_known = true;
        if (!formats[i].min) continue;
        lull_decimal *d = lull_schema_alloc(c, 2 * sizeof *d);
        if (!d) return c->err->code;
        d[0] = (lull_decimal){formats[i].min, "", true};
        d[1] = (lull_decimal){formats[i].max, "", false};
        raise_min(&s->numbers, &d[0], false);
        lower_max(&s->numbers, &d[1], false);
    }
    return LULL_OK;
}

static lull_status hold_format(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    const lull_regular *language;
    lull_format_kind kind;
    bool is_known;
    lull_status st;
    if (!json_is_string(v)) return lull_keyword_wrong(c, schema, "format", "the name of a format");
    LULL_TRY(hold_number_format(c, s, json_string_value(v), &is_known));
    if (is_known) return LULL_OK;
    LULL_TRY(lull_format_find(c, schema, json_string_value(v), &language, &kind));
    LULL_TRY(lull_languages_add(c, &s->strings.in, language, kind == LULL_FORMAT_STRICT));
done:
    return st;
}

static lull_status fail_format(lull_compiler *c, const lull_shape *s, uint32_t schema,
                               const json_t *v, lull_work *out)
{
    const lull_regular *language, *others;
    lull_format_kind kind;
    bool is_known;
    lull_shape rest = *s;
    lull_status st;
    if (!json_is_string(v)) return lull_keyword_wrong(c, schema, "format", "the name of a format");
    LULL_TRY(hold_number_format(c, &rest, json_string_value(v), &is_known));
    if (is_known) return lull_keyword_no_opposite(c, schema, "format");
    rest = lull_shape_of(s, LULL_JSON_STRING);
    LULL_TRY(lull_format_find(c, schema, json_string_value(v), &language, &kind));
    if (!rest.types) return LULL_OK;
    if (kind != LULL_FORMAT_EXACT) return lull_keyword_no_opposite(c, schema, "format");
    LULL_TRY(lull_schema_not(c, language, &others));
    LULL_TRY(lull_languages_add(c, &rest.strings.in, others, false));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static lull_status decimal_at(lull_compiler *c, uint32_t schema, const char *keyword,
                              const json_t *v, const lull_decimal **out)
{
    lull_decimal *d = lull_schema_alloc(c, sizeof *d);
    *out = d;
    if (!d) return c->err->code;
    if (!json_is_number(v)) return lull_keyword_wrong(c, schema, keyword, "a number");
    return lull_decimal_of(c, schema, keyword, v, d);
}

/* A bound as it stands, or its opposite: from above or below, with the bound itself or without. */
static lull_status bound(lull_compiler *c, lull_shape *s, uint32_t schema, const char *keyword,
                         const json_t *v, bool is_min, bool is_strict)
{
    const lull_decimal *d;
    lull_status st = decimal_at(c, schema, keyword, v, &d);
    if (st != LULL_OK) return st;
    if (is_min) raise_min(&s->numbers, d, is_strict);
    if (!is_min) lower_max(&s->numbers, d, is_strict);
    return LULL_OK;
}

static lull_status hold_minimum(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    return bound(c, s, schema, "minimum", v, true, false);
}

static lull_status hold_maximum(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    return bound(c, s, schema, "maximum", v, false, false);
}

static lull_status hold_above(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (json_is_boolean(v))
        return lull_keyword_wrong(c, schema, "exclusiveMinimum",
                                  "a number (true and false were of draft 4)");
    return bound(c, s, schema, "exclusiveMinimum", v, true, true);
}

static lull_status hold_below(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (json_is_boolean(v))
        return lull_keyword_wrong(c, schema, "exclusiveMaximum",
                                  "a number (true and false were of draft 4)");
    return bound(c, s, schema, "exclusiveMaximum", v, false, true);
}

static lull_status fail_bound(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const char *keyword, const json_t *v, bool is_min, bool is_strict,
                              lull_work *out)
{
    lull_shape rest = lull_shape_of(s, LULL_JSON_NUMBER);
    lull_status st = bound(c, &rest, schema, keyword, v, is_min, is_strict);
    return st == LULL_OK ? lull_shape_add(c, out, &rest) : st;
}

static lull_status fail_minimum(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                const json_t *v, lull_work *out)
{
    return fail_bound(c, s, schema, "minimum", v, false, true, out);
}

static lull_status fail_maximum(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                const json_t *v, lull_work *out)
{
    return fail_bound(c, s, schema, "maximum", v, true, true, out);
}

static lull_status fail_above(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const json_t *v, lull_work *out)
{
    return fail_bound(c, s, schema, "exclusiveMinimum", v, false, false, out);
}

static lull_status fail_below(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const json_t *v, lull_work *out)
{
    return fail_bound(c, s, schema, "exclusiveMaximum", v, true, false, out);
}

static lull_status hold_multiple(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    const lull_decimal *d;
    const lull_regular *language;
    lull_status st;
    LULL_TRY(decimal_at(c, schema, "multipleOf", v, &d));
    if (!(s->types & LULL_JSON_NUMBER)) return LULL_OK;
    LULL_TRY(lull_number_multiple(c, schema, d, &language));
    s->numbers.is_integer |= lull_decimal_is_integer(d);
    LULL_TRY(lull_languages_add(c, &s->numbers.in, language, false));
done:
    return st;
}

static lull_status fail_multiple(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                 const json_t *v, lull_work *out)
{
    const lull_decimal *d;
    const lull_regular *language, *others;
    lull_shape rest = lull_shape_of(s, LULL_JSON_NUMBER);
    lull_status st;
    LULL_TRY(decimal_at(c, schema, "multipleOf", v, &d));
    if (!rest.types) return LULL_OK;
    LULL_TRY(lull_number_multiple(c, schema, d, &language));
    LULL_TRY(lull_number_not(c, language, &others));
    LULL_TRY(lull_languages_add(c, &rest.numbers.in, others, false));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const lull_keyword keywords[] = {
    {"const", hold_const, fail_const},
    {"enum", hold_enum, fail_enum},
    {"exclusiveMaximum", hold_below, fail_below},
    {"exclusiveMinimum", hold_above, fail_above},
    {"format", hold_format, fail_format},
    {"maxLength", hold_max_length, fail_max_length},
    {"maximum", hold_maximum, fail_maximum},
    {"minLength", hold_min_length, fail_min_length},
    {"minimum", hold_minimum, fail_minimum},
    {"multipleOf", hold_multiple, fail_multiple},
    {"pattern", hold_pattern, fail_pattern},
    {"type", hold_type, fail_type},
};

const lull_keyword_table lull_keywords_scalar = {keywords, sizeof keywords / sizeof *keywords};
