/* The keywords of JSON Schema: what each asks of a shape, and what its denial asks. */
#include <stdlib.h>
#include <string.h>

#include "schema_private.h"

enum { NONE = UINT32_MAX };
#define DENIED "\"not\", \"if\" and \"oneOf\" whose branches may both hold ask for its opposite"

typedef lull_status hold_fn(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v);
typedef lull_status fail_fn(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                            lull_work *out);

static lull_status wrong(lull_compiler *c, uint32_t schema, const char *keyword, const char *wanted)
{
    return lull_schema_fail(c, LULL_EINVAL, schema, keyword, "%s is wanted here", wanted);
}

static lull_status refuse_denial(lull_compiler *c, uint32_t schema, const char *keyword)
{
    return lull_schema_fail(c, LULL_EUNSUPPORTED, schema, keyword,
                            "the opposite of \"%s\" cannot be turned into a mask; " DENIED, keyword);
}

/* A shape of one type only, to be narrowed; NULL types: it is not of that type. */
static lull_shape of_type(const lull_shape *s, uint8_t types)
{
    lull_shape out = *s;
    out.types &= types;
    return out;
}

static lull_status count_of(lull_compiler *c, uint32_t schema, const char *keyword, const json_t *v,
                            uint64_t *out)
{
    double real = json_is_real(v) ? json_real_value(v) : 0;
    *out = 0;
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *out = (uint64_t)json_integer_value(v);
        return LULL_OK;
    }
    if (json_is_real(v) && real >= 0 && real < 9e15 && (double)(uint64_t)real == real) {
        *out = (uint64_t)real;
        return LULL_OK;
    }
    return wrong(c, schema, keyword, "a whole number, 0 or more,");
}

static lull_status add_literal(lull_compiler *c, const lull_literal **list, size_t *n, lull_literal l)
{
    lull_literal *grown = lull_schema_alloc(c, (*n + 1) * sizeof *grown);
    if (!grown) return c->err->code;
    if (*n > 0) memcpy(grown, *list, *n * sizeof *grown);
    grown[(*n)++] = l;
    *list = grown;
    return LULL_OK;
}

/* ---- type, enum, const ----------------------------------------------------------------------------- */

enum { INTEGER = 128 }; /* beside LULL_JSON_… */

static int type_of_name(const char *name)
{
    static const struct {
        const char *name;
        int types;
    } names[] = {{"null", LULL_JSON_NULL},
                 {"boolean", LULL_JSON_FALSE | LULL_JSON_TRUE},
                 {"integer", INTEGER},
                 {"number", LULL_JSON_NUMBER},
                 {"string", LULL_JSON_STRING},
                 {"array", LULL_JSON_ARRAY},
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
            return wrong(c, schema, "type",
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

static lull_status fail_type(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                             lull_work *out)
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
static lull_status list_values(lull_compiler *c, uint32_t schema, const json_t *const *values, size_t n,
                               lull_text **texts, size_t *n_texts, lull_decimal **numbers,
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
            (*texts)[at_text++] = (lull_text){json_string_value(values[i]), json_string_length(values[i])};
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
    for (size_t i = 0; i < n; i++) is_plain &= !json_is_array(values[i]) && !json_is_object(values[i]);
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
        if (type & (LULL_JSON_NULL | LULL_JSON_FALSE | LULL_JSON_TRUE)) rest.types &= (uint8_t)~type;
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

static lull_status fail_const(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                              lull_work *out)
{
    return fail_values(c, s, schema, &v, 1, out);
}

static lull_status list_of(lull_compiler *c, uint32_t schema, const json_t *v, const json_t ***out)
{
    size_t n = json_array_size(v);
    *out = NULL;
    if (!json_is_array(v)) return wrong(c, schema, "enum", "a list of values");
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

static lull_status fail_enum(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                             lull_work *out)
{
    const json_t **values;
    lull_status st = list_of(c, schema, v, &values);
    return st == LULL_OK ? fail_values(c, s, schema, values, json_array_size(v), out) : st;
}

/* ---- strings -------------------------------------------------------------------------------------- */

static lull_status hold_min_length(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = count_of(c, schema, "minLength", v, &n);
    if (n > LULL_UNBOUNDED) n = LULL_UNBOUNDED;
    if (st == LULL_OK && n > s->strings.min) s->strings.min = (uint32_t)n;
    return st;
}

static lull_status hold_max_length(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = count_of(c, schema, "maxLength", v, &n);
    if (st == LULL_OK && n < LULL_UNBOUNDED && n < s->strings.max) s->strings.max = (uint32_t)n;
    return st;
}

static lull_status fail_min_length(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = of_type(s, LULL_JSON_STRING);
    lull_status st = count_of(c, schema, "minLength", v, &n);
    if (st != LULL_OK || n == 0) return st;
    if (n - 1 < rest.strings.max) rest.strings.max = (uint32_t)(n - 1);
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_max_length(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = of_type(s, LULL_JSON_STRING);
    lull_status st = count_of(c, schema, "maxLength", v, &n);
    if (st != LULL_OK || n >= LULL_UNBOUNDED) return st;
    if (n + 1 > rest.strings.min) rest.strings.min = (uint32_t)(n + 1);
    return lull_shape_add(c, out, &rest);
}

static lull_status hold_pattern(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    const lull_regular *language;
    if (!json_is_string(v)) return wrong(c, schema, "pattern", "a regular expression");
    if (!(s->types & LULL_JSON_STRING)) return LULL_OK;
    lull_status st = lull_schema_pattern(c, schema, "pattern", json_string_value(v),
                                         json_string_length(v), &language);
    return st == LULL_OK ? lull_languages_add(c, &s->strings.in, language, false) : st;
}

static lull_status fail_pattern(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                                lull_work *out)
{
    const lull_regular *language, *others;
    lull_status st = LULL_OK;
    lull_shape rest = of_type(s, LULL_JSON_STRING);
    if (!json_is_string(v)) return wrong(c, schema, "pattern", "a regular expression");
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
static lull_status hold_number_format(lull_compiler *c, lull_shape *s, const char *name, bool *is_known)
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
    if (!json_is_string(v)) return wrong(c, schema, "format", "the name of a format");
    LULL_TRY(hold_number_format(c, s, json_string_value(v), &is_known));
    if (is_known) return LULL_OK;
    LULL_TRY(lull_format_find(c, schema, json_string_value(v), &language, &kind));
    LULL_TRY(lull_languages_add(c, &s->strings.in, language, kind == LULL_FORMAT_STRICT));
done:
    return st;
}

static lull_status fail_format(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                               lull_work *out)
{
    const lull_regular *language, *others;
    lull_format_kind kind;
    bool is_known;
    lull_shape rest = *s;
    lull_status st;
    if (!json_is_string(v)) return wrong(c, schema, "format", "the name of a format");
    LULL_TRY(hold_number_format(c, &rest, json_string_value(v), &is_known));
    if (is_known) return refuse_denial(c, schema, "format");
    rest = of_type(s, LULL_JSON_STRING);
    LULL_TRY(lull_format_find(c, schema, json_string_value(v), &language, &kind));
    if (!rest.types) return LULL_OK;
    if (kind != LULL_FORMAT_EXACT) return refuse_denial(c, schema, "format");
    LULL_TRY(lull_schema_not(c, language, &others));
    LULL_TRY(lull_languages_add(c, &rest.strings.in, others, false));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

/* ---- numbers --------------------------------------------------------------------------------------- */

static lull_status decimal_at(lull_compiler *c, uint32_t schema, const char *keyword, const json_t *v,
                              const lull_decimal **out)
{
    lull_decimal *d = lull_schema_alloc(c, sizeof *d);
    *out = d;
    if (!d) return c->err->code;
    if (!json_is_number(v)) return wrong(c, schema, keyword, "a number");
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
        return wrong(c, schema, "exclusiveMinimum", "a number (true and false were of draft 4)");
    return bound(c, s, schema, "exclusiveMinimum", v, true, true);
}

static lull_status hold_below(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (json_is_boolean(v))
        return wrong(c, schema, "exclusiveMaximum", "a number (true and false were of draft 4)");
    return bound(c, s, schema, "exclusiveMaximum", v, false, true);
}

static lull_status fail_bound(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const char *keyword, const json_t *v, bool is_min, bool is_strict,
                              lull_work *out)
{
    lull_shape rest = of_type(s, LULL_JSON_NUMBER);
    lull_status st = bound(c, &rest, schema, keyword, v, is_min, is_strict);
    return st == LULL_OK ? lull_shape_add(c, out, &rest) : st;
}

static lull_status fail_minimum(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                                lull_work *out)
{
    return fail_bound(c, s, schema, "minimum", v, false, true, out);
}

static lull_status fail_maximum(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                                lull_work *out)
{
    return fail_bound(c, s, schema, "maximum", v, true, true, out);
}

static lull_status fail_above(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                              lull_work *out)
{
    return fail_bound(c, s, schema, "exclusiveMinimum", v, false, false, out);
}

static lull_status fail_below(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                              lull_work *out)
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
    lull_shape rest = of_type(s, LULL_JSON_NUMBER);
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

/* ---- arrays ----------------------------------------------------------------------------------------- */

static lull_status add_part(lull_compiler *c, const lull_part **list, uint32_t schema, bool is_closed)
{
    for (const lull_part *p = *list; p; p = p->next)
        if (p->schema == schema && p->is_closed == is_closed) return LULL_OK;
    lull_part *part = lull_schema_alloc(c, sizeof *part);
    if (!part) return c->err->code;
    *part = (lull_part){.schema = schema, .is_closed = is_closed, .next = *list};
    *list = part;
    return LULL_OK;
}

static lull_status hold_items(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (json_is_array(v))
        return wrong(c, schema, "items", "a schema (a list of them is called \"prefixItems\")");
    return add_part(c, &s->arrays, schema, false);
}

static lull_status hold_prefix(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (!json_is_array(v)) return wrong(c, schema, "prefixItems", "a list of schemas");
    return add_part(c, &s->arrays, schema, false);
}

static lull_status fail_items(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                              lull_work *out)
{
    uint32_t items;
    lull_shape rest = of_type(s, LULL_JSON_ARRAY);
    size_t n_prefix = json_array_size(json_object_get(c->schemas[schema].value, "prefixItems"));
    if (json_is_array(v)) return hold_items(c, &rest, schema, v);
    lull_status st = lull_schema_at(c, v, schema, "items", NULL, &items);
    if (st != LULL_OK || lull_schema_truth(c, items) == 1 || !rest.types) return st;
    if (lull_schema_truth(c, items) == 3) return refuse_denial(c, schema, "items");
    if (n_prefix + 1 > rest.min_items) rest.min_items = n_prefix + 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_prefix(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                               lull_work *out)
{
    lull_status st = LULL_OK;
    if (!json_is_array(v)) return wrong(c, schema, "prefixItems", "a list of schemas");
    for (size_t i = 0; i < json_array_size(v); i++) {
        lull_shape rest = of_type(s, LULL_JSON_ARRAY);
        lull_fact *fact = lull_schema_alloc(c, sizeof *fact);
        uint32_t item;
        if (!fact) return c->err->code;
        LULL_TRY(lull_schema_at(c, json_array_get(v, i), schema, "prefixItems", NULL, &item));
        *fact = (lull_fact){.n_key = i, .kind = LULL_FACT_HOLDS, .literal = {item, true},
                            .next = rest.item_facts};
        rest.item_facts = fact;
        if (i + 1 > rest.min_items) rest.min_items = i + 1;
        LULL_TRY(lull_shape_add(c, out, &rest));
    }
done:
    return st;
}

static lull_status hold_min_items(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = count_of(c, schema, "minItems", v, &n);
    if (st == LULL_OK && n > s->min_items) s->min_items = n;
    return st;
}

static lull_status hold_max_items(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = count_of(c, schema, "maxItems", v, &n);
    if (st == LULL_OK && n < s->max_items) s->max_items = n;
    return st;
}

static lull_status fail_min_items(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                  const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = of_type(s, LULL_JSON_ARRAY);
    lull_status st = count_of(c, schema, "minItems", v, &n);
    if (st != LULL_OK || n == 0) return st;
    if (n - 1 < rest.max_items) rest.max_items = n - 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_max_items(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                  const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = of_type(s, LULL_JSON_ARRAY);
    lull_status st = count_of(c, schema, "maxItems", v, &n);
    if (st != LULL_OK) return st;
    if (n + 1 > rest.min_items) rest.min_items = n + 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status hold_unique(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (!json_is_boolean(v)) return wrong(c, schema, "uniqueItems", "true or false");
    if (json_is_true(v)) s->unique = schema;
    return LULL_OK;
}

static lull_status fail_unique(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                               lull_work *out)
{
    (void)out;
    if (!json_is_boolean(v)) return wrong(c, schema, "uniqueItems", "true or false");
    return json_is_true(v) && s->types & LULL_JSON_ARRAY ? refuse_denial(c, schema, "uniqueItems") : LULL_OK;
}

static lull_status contains_counts(lull_compiler *c, uint32_t schema, uint64_t *min, uint64_t *max)
{
    const json_t *value = c->schemas[schema].value;
    const json_t *v_min = json_object_get(value, "minContains"), *v_max = json_object_get(value, "maxContains");
    lull_status st = LULL_OK;
    *min = 1;
    *max = UINT64_MAX;
    if (v_min) LULL_TRY(count_of(c, schema, "minContains", v_min, min));
    if (v_max) LULL_TRY(count_of(c, schema, "maxContains", v_max, max));
done:
    return st;
}

static lull_status hold_contains(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t min, max;
    uint32_t wanted;
    lull_literal denied;
    lull_status st;
    LULL_TRY(lull_schema_at(c, v, schema, "contains", NULL, &wanted));
    LULL_TRY(contains_counts(c, schema, &min, &max));
    denied = (lull_literal){wanted, true};
    if (min > max) {
        s->types &= (uint8_t)~LULL_JSON_ARRAY;
    } else if (lull_schema_truth(c, wanted) == 1) {
        if (min > s->min_items) s->min_items = min;
        if (max < s->max_items) s->max_items = max;
    } else if (max == 0) {
        LULL_TRY(add_literal(c, &s->every_item, &s->n_every_item, denied));
    } else if (lull_schema_truth(c, wanted) == 2) {
        if (min > 0) s->types &= (uint8_t)~LULL_JSON_ARRAY;
    } else if (min > 0 || max != UINT64_MAX) {
        if (s->contains != NONE && s->contains != schema && s->types & LULL_JSON_ARRAY)
            return lull_schema_refuse(c, schema, "contains", "leave out one of the two that meet here");
        s->contains = schema;
    }
done:
    return st;
}

static lull_status fail_contains(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                 const json_t *v, lull_work *out)
{
    uint64_t min, max;
    uint32_t wanted;
    lull_shape rest = of_type(s, LULL_JSON_ARRAY);
    lull_status st;
    LULL_TRY(lull_schema_at(c, v, schema, "contains", NULL, &wanted));
    LULL_TRY(contains_counts(c, schema, &min, &max));
    if (!rest.types || (min == 0 && max == UINT64_MAX)) return LULL_OK;
    if (min != 1 || max != UINT64_MAX) return refuse_denial(c, schema, "contains");
    LULL_TRY(add_literal(c, &rest.every_item, &rest.n_every_item, (lull_literal){wanted, true}));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

/* ---- objects ---------------------------------------------------------------------------------------- */

static lull_status hold_object_part(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)v;
    static const char *const maps[] = {"properties", "patternProperties"};
    for (int i = 0; i < 2; i++) {
        const json_t *map = json_object_get(c->schemas[schema].value, maps[i]);
        if (map && !json_is_object(map)) return wrong(c, schema, maps[i], "an object with schemas");
    }
    return add_part(c, &s->objects, schema, false);
}

static lull_status fail_properties(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    const char *key;
    json_t *part;
    if (!json_is_object(v)) return wrong(c, schema, "properties", "an object with schemas");
    json_object_foreach((json_t *)v, key, part) {
        lull_shape rest = of_type(s, LULL_JSON_OBJECT);
        uint32_t own;
        LULL_TRY(lull_schema_at(c, part, schema, "properties", key, &own));
        if (lull_schema_truth(c, own) == 1) continue;
        lull_literal denied = {own, true};
        LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_REQUIRED, denied));
        LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_HOLDS, denied));
        LULL_TRY(lull_shape_add(c, out, &rest));
    }
done:
    return st;
}

/* That a key which is not known by name has a value of the wrong kind: there is no way to ask for one. */
static lull_status fail_patterns(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                 const json_t *v, lull_work *out)
{
    (void)out;
    lull_status st = LULL_OK;
    const char *key;
    json_t *part;
    if (!json_is_object(v)) return wrong(c, schema, "patternProperties", "an object with schemas");
    json_object_foreach((json_t *)v, key, part) {
        uint32_t own;
        LULL_TRY(lull_schema_at(c, part, schema, "patternProperties", key, &own));
        if (lull_schema_truth(c, own) != 1 && s->types & LULL_JSON_OBJECT)
            return refuse_denial(c, schema, "patternProperties");
    }
done:
    return st;
}

static lull_status fail_unless_true(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                    const char *keyword, const json_t *v, uint8_t type)
{
    uint32_t own;
    lull_status st = lull_schema_at(c, v, schema, keyword, NULL, &own);
    if (st != LULL_OK || lull_schema_truth(c, own) == 1 || !(s->types & type)) return st;
    return refuse_denial(c, schema, keyword);
}

static lull_status fail_additional(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    const json_t *value = c->schemas[schema].value;
    const json_t *names = json_object_get(value, "properties"), *required = json_object_get(value, "required");
    size_t n = json_object_size(names);
    uint32_t own;
    /* When every name is there in any case, one member more is one of another name. What was made of a "const" is
     * of that kind: without one of its names it fails for that. */
    lull_status st = lull_schema_at(c, v, schema, "additionalProperties", NULL, &own);
    if (st == LULL_OK && lull_schema_truth(c, own) == 2 && json_array_size(required) == n &&
        !json_object_get(value, "patternProperties") && s->types & LULL_JSON_OBJECT) {
        lull_shape rest = of_type(s, LULL_JSON_OBJECT);
        const char *key;
        json_t *part;
        bool is_all = true;
        json_object_foreach((json_t *)names, key, part) {
            bool is_there = false;
            for (size_t i = 0; i < n && !is_there; i++) {
                const char *name = json_string_value(json_array_get(required, i));
                is_there = name && strcmp(name, key) == 0;
            }
            is_all &= is_there;
            LULL_TRY(lull_schema_step(c, 1 + n / 16));
            LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_REQUIRED, (lull_literal){0, false}));
        }
        if (is_all) {
            if (n + 1 > rest.min_members) rest.min_members = n + 1;
            rest.min_members_by = schema;
            return lull_shape_add(c, out, &rest);
        }
    }
    if (st == LULL_OK) st = fail_unless_true(c, s, schema, "additionalProperties", v, LULL_JSON_OBJECT);
done:
    return st;
}

static lull_status hold_required(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    lull_status st = LULL_OK;
    if (!json_is_array(v)) return wrong(c, schema, "required", "a list of keys");
    if (!(s->types & LULL_JSON_OBJECT)) return LULL_OK;
    for (size_t i = json_array_size(v); i-- > 0;) {
        const char *key = json_string_value(json_array_get(v, i));
        if (!key) return wrong(c, schema, "required", "a list of keys");
        LULL_TRY(lull_shape_fact(c, s, key, LULL_FACT_REQUIRED, (lull_literal){0, false}));
    }
done:
    return st;
}

static lull_status fail_required(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                 const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    if (!json_is_array(v)) return wrong(c, schema, "required", "a list of keys");
    for (size_t i = json_array_size(v); i-- > 0;) {
        const char *key = json_string_value(json_array_get(v, i));
        lull_shape rest = of_type(s, LULL_JSON_OBJECT);
        if (!key) return wrong(c, schema, "required", "a list of keys");
        LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_ABSENT, (lull_literal){0, false}));
        LULL_TRY(lull_shape_add(c, out, &rest));
    }
done:
    return st;
}

static lull_status hold_names(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint32_t own;
    lull_status st = lull_schema_at(c, v, schema, "propertyNames", NULL, &own);
    if (st != LULL_OK || lull_schema_truth(c, own) == 1) return st;
    return add_literal(c, &s->key_names, &s->n_key_names, (lull_literal){own, false});
}

static lull_status fail_names(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                              lull_work *out)
{
    (void)out;
    return fail_unless_true(c, s, schema, "propertyNames", v, LULL_JSON_OBJECT);
}

static void raise_members(lull_shape *s, uint64_t n, uint32_t schema)
{
    if (n <= s->min_members) return;
    s->min_members = n;
    s->min_members_by = schema;
}

static lull_status hold_min_members(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = count_of(c, schema, "minProperties", v, &n);
    if (st == LULL_OK) raise_members(s, n, schema);
    return st;
}

static lull_status hold_max_members(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = count_of(c, schema, "maxProperties", v, &n);
    if (st == LULL_OK && n < s->max_members) s->max_members = n;
    return st;
}

static lull_status fail_min_members(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                    const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = of_type(s, LULL_JSON_OBJECT);
    lull_status st = count_of(c, schema, "minProperties", v, &n);
    if (st != LULL_OK || n == 0) return st;
    if (n - 1 < rest.max_members) rest.max_members = n - 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_max_members(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                    const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = of_type(s, LULL_JSON_OBJECT);
    lull_status st = count_of(c, schema, "maxProperties", v, &n);
    if (st != LULL_OK) return st;
    raise_members(&rest, n + 1, schema);
    return lull_shape_add(c, out, &rest);
}

static lull_status hold_needs(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v,
                              const char *keyword, lull_todo_kind kind)
{
    lull_status st = LULL_OK;
    if (!json_is_object(v)) return wrong(c, schema, keyword, "an object");
    for (size_t i = json_object_size(v); i-- > 0 && s->types & LULL_JSON_OBJECT;)
        LULL_TRY(lull_shape_todo(c, s, kind, schema, i));
done:
    return st;
}

static lull_status hold_needs_keys(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    return hold_needs(c, s, schema, v, "dependentRequired", LULL_TODO_NEEDS_KEYS);
}

static lull_status hold_needs_schemas(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    return hold_needs(c, s, schema, v, "dependentSchemas", LULL_TODO_NEEDS_SCHEMA);
}

static lull_status fail_needs_keys(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    const lull_literal none = {0, false};
    const char *key;
    json_t *keys;
    json_object_foreach((json_t *)v, key, keys) {
        for (size_t i = 0; i < json_array_size(keys); i++) {
            lull_shape rest = of_type(s, LULL_JSON_OBJECT);
            const char *other = json_string_value(json_array_get(keys, i));
            if (!other) return wrong(c, schema, "dependentRequired", "an object with lists of keys");
            LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_REQUIRED, none));
            LULL_TRY(lull_shape_fact(c, &rest, other, LULL_FACT_ABSENT, none));
            LULL_TRY(lull_shape_add(c, out, &rest));
        }
    }
done:
    return st;
}

static lull_status fail_needs_schemas(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                      const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    const char *key;
    json_t *part;
    json_object_foreach((json_t *)v, key, part) {
        lull_shape rest = of_type(s, LULL_JSON_OBJECT);
        uint32_t own;
        LULL_TRY(lull_schema_at(c, part, schema, "dependentSchemas", key, &own));
        LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_REQUIRED, (lull_literal){0, false}));
        LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_FAILS, own, 0));
        LULL_TRY(lull_shape_add(c, out, &rest));
    }
done:
    return st;
}

/* ---- "unevaluatedProperties", "unevaluatedItems" -------------------------------------------------------- */

/* Whether what it evaluates shows in the schema itself: nothing in it is chosen by the value. keyword NULL: of
 * something that it is made of. */
static lull_status is_static(lull_compiler *c, uint32_t schema, bool is_top, bool *out)
{
    static const char *const chosen[] = {"anyOf", "oneOf", "if", "not", "dependentSchemas", "contains",
                                         "$dynamicRef"};
    const json_t *value = c->schemas[schema].value;
    lull_status st = LULL_OK;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++)
        if (json_object_get(value, chosen[i])) *out = false;
    if (!is_top && (json_object_get(value, "unevaluatedProperties") || json_object_get(value, "unevaluatedItems")))
        *out = false;
    const json_t *all = json_object_get(value, "allOf");
    for (size_t i = 0; i < json_array_size(all) && *out; i++) {
        uint32_t part;
        LULL_TRY(lull_schema_at(c, json_array_get(all, i), schema, "allOf", NULL, &part));
        LULL_TRY(is_static(c, part, false, out));
    }
    if (json_object_get(value, "$ref") && *out) {
        uint32_t target;
        LULL_TRY(lull_schema_resolve(c, schema, &target));
        LULL_TRY(is_static(c, target, false, out));
    }
done:
    return st;
}

static lull_status hold_unevaluated(lull_compiler *c, const lull_part **list, uint32_t schema,
                                    const char *keyword, const json_t *v)
{
    uint32_t own;
    bool is_plain = true;
    lull_status st;
    LULL_TRY(lull_schema_at(c, v, schema, keyword, NULL, &own));
    if (lull_schema_truth(c, own) == 1) return LULL_OK;
    LULL_TRY(is_static(c, schema, true, &is_plain));
    if (!is_plain)
        return lull_schema_refuse(c, schema, keyword,
                                  "beside \"anyOf\", \"oneOf\", \"if\", \"not\" and the like it depends on "
                                  "the value");
    LULL_TRY(add_part(c, list, schema, true));
done:
    return st;
}

static lull_status hold_unevaluated_members(lull_compiler *c, lull_shape *s, uint32_t schema,
                                            const json_t *v)
{
    return hold_unevaluated(c, &s->objects, schema, "unevaluatedProperties", v);
}

static lull_status hold_unevaluated_items(lull_compiler *c, lull_shape *s, uint32_t schema,
                                          const json_t *v)
{
    return hold_unevaluated(c, &s->arrays, schema, "unevaluatedItems", v);
}

static lull_status fail_unevaluated_members(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                            const json_t *v, lull_work *out)
{
    (void)out;
    return fail_unless_true(c, s, schema, "unevaluatedProperties", v, LULL_JSON_OBJECT);
}

static lull_status fail_unevaluated_items(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                          const json_t *v, lull_work *out)
{
    (void)out;
    return fail_unless_true(c, s, schema, "unevaluatedItems", v, LULL_JSON_ARRAY);
}

/* ---- schemas for the same value ------------------------------------------------------------------------ */

static lull_status part_at(lull_compiler *c, uint32_t schema, const char *keyword, const json_t *list,
                           size_t i, uint32_t *out)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return wrong(c, schema, keyword, "a list of schemas, one at least,");
    return lull_schema_at(c, json_array_get(list, i), schema, keyword, NULL, out);
}

static lull_status hold_all(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    lull_status st = LULL_OK;
    uint32_t part;
    size_t i = json_array_size(v);
    do {
        LULL_TRY(part_at(c, schema, "allOf", v, i ? i - 1 : 0, &part));
        LULL_TRY(lull_shape_todo(c, s, LULL_TODO_HOLDS, part, 0));
    } while (i-- > 1);
done:
    return st;
}

static lull_status fail_all(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                            lull_work *out)
{
    lull_status st = LULL_OK;
    size_t i = 0;
    do {
        lull_shape rest = *s;
        uint32_t part;
        LULL_TRY(part_at(c, schema, "allOf", v, i, &part));
        LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_FAILS, part, 0));
        LULL_TRY(lull_shape_add(c, out, &rest));
    } while (++i < json_array_size(v));
done:
    return st;
}

static lull_status hold_any(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint32_t part;
    lull_status st = part_at(c, schema, "anyOf", v, 0, &part);
    return st == LULL_OK ? lull_shape_todo(c, s, LULL_TODO_ANY_OF, schema, 0) : st;
}

static lull_status none_of(lull_compiler *c, lull_shape *s, uint32_t schema, const char *keyword,
                           const json_t *v)
{
    lull_status st = LULL_OK;
    size_t i = 0;
    do {
        uint32_t part;
        LULL_TRY(part_at(c, schema, keyword, v, i, &part));
        LULL_TRY(lull_shape_todo(c, s, LULL_TODO_FAILS, part, 0));
    } while (++i < json_array_size(v));
done:
    return st;
}

static lull_status fail_any(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                            lull_work *out)
{
    lull_shape rest = *s;
    lull_status st = none_of(c, &rest, schema, "anyOf", v);
    return st == LULL_OK ? lull_shape_add(c, out, &rest) : st;
}

static lull_status hold_one(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint32_t part;
    lull_status st = part_at(c, schema, "oneOf", v, 0, &part);
    return st == LULL_OK ? lull_shape_todo(c, s, LULL_TODO_ONE_OF, schema, 0) : st;
}

/* None of them, or two. */
static lull_status fail_one(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                            lull_work *out)
{
    lull_shape rest = *s;
    lull_status st;
    LULL_TRY(none_of(c, &rest, schema, "oneOf", v));
    LULL_TRY(lull_shape_add(c, out, &rest));
    for (size_t i = 0; i < json_array_size(v); i++)
        for (size_t k = 0; k < i; k++) {
            uint32_t a, b;
            lull_shape both = *s;
            LULL_TRY(part_at(c, schema, "oneOf", v, i, &a));
            LULL_TRY(part_at(c, schema, "oneOf", v, k, &b));
            LULL_TRY(lull_shape_todo(c, &both, LULL_TODO_HOLDS, a, 0));
            LULL_TRY(lull_shape_todo(c, &both, LULL_TODO_HOLDS, b, 0));
            LULL_TRY(lull_shape_add(c, out, &both));
        }
done:
    return st;
}

static lull_status hold_not(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint32_t part;
    lull_status st = lull_schema_at(c, v, schema, "not", NULL, &part);
    return st == LULL_OK ? lull_shape_todo(c, s, LULL_TODO_FAILS, part, 0) : st;
}

static lull_status fail_not(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                            lull_work *out)
{
    uint32_t part;
    lull_shape rest = *s;
    lull_status st;
    LULL_TRY(lull_schema_at(c, v, schema, "not", NULL, &part));
    LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_HOLDS, part, 0));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

static lull_status hold_if(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)v;
    const json_t *value = c->schemas[schema].value;
    if (!json_object_get(value, "then") && !json_object_get(value, "else")) return LULL_OK;
    return lull_shape_todo(c, s, LULL_TODO_IF, schema, 0);
}

static lull_status fail_if(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                           lull_work *out)
{
    static const char *const keywords[] = {"then", "else"};
    lull_status st = LULL_OK;
    for (int i = 0; i < 2; i++) {
        const json_t *part = json_object_get(c->schemas[schema].value, keywords[i]);
        lull_shape rest = *s;
        uint32_t condition, consequence;
        if (!part) continue;
        LULL_TRY(lull_schema_at(c, v, schema, "if", NULL, &condition));
        LULL_TRY(lull_schema_at(c, part, schema, keywords[i], NULL, &consequence));
        LULL_TRY(lull_shape_todo(c, &rest, i == 0 ? LULL_TODO_HOLDS : LULL_TODO_FAILS, condition, 0));
        LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_FAILS, consequence, 0));
        LULL_TRY(lull_shape_add(c, out, &rest));
    }
done:
    return st;
}

static lull_status hold_ref(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)v;
    uint32_t target;
    lull_status st = lull_schema_resolve(c, schema, &target);
    return st == LULL_OK ? lull_shape_todo(c, s, LULL_TODO_HOLDS, target, 0) : st;
}

static lull_status fail_ref(lull_compiler *c, const lull_shape *s, uint32_t schema, const json_t *v,
                            lull_work *out)
{
    (void)v;
    uint32_t target;
    lull_shape rest = *s;
    lull_status st;
    LULL_TRY(lull_schema_resolve(c, schema, &target));
    LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_FAILS, target, 0));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

/* ---- what is refused ------------------------------------------------------------------------------------ */

static lull_status hold_id(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)s;
    if (c->schemas[schema].value == c->root || !json_is_string(v)) return LULL_OK;
    return lull_schema_refuse(c, schema, "$id", "only the whole schema may have one: leave it out");
}

static lull_status hold_dynamic(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)s, (void)v;
    return lull_schema_refuse(c, schema, "$dynamicRef", "write \"$ref\"");
}

static lull_status hold_recursive(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)s, (void)v;
    return lull_schema_refuse(c, schema, "$recursiveRef", "write \"$ref\"");
}

static lull_status hold_dependencies(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    (void)s, (void)v;
    return lull_schema_refuse(c, schema, "dependencies",
                              "write \"dependentRequired\" or \"dependentSchemas\"");
}

/* ---- the table ---------------------------------------------------------------------------------------- */

/* fail NULL: the keyword takes part with another, or is refused in any case. */
static const struct keyword {
    const char *name;
    hold_fn *hold;
    fail_fn *fail;
} keywords[] = {
    {"$dynamicRef", hold_dynamic, NULL},
    {"$id", hold_id, NULL},
    {"$recursiveRef", hold_recursive, NULL},
    {"$ref", hold_ref, fail_ref},
    {"additionalProperties", hold_object_part, fail_additional},
    {"allOf", hold_all, fail_all},
    {"anyOf", hold_any, fail_any},
    {"const", hold_const, fail_const},
    {"contains", hold_contains, fail_contains},
    {"dependencies", hold_dependencies, NULL},
    {"dependentRequired", hold_needs_keys, fail_needs_keys},
    {"dependentSchemas", hold_needs_schemas, fail_needs_schemas},
    {"enum", hold_enum, fail_enum},
    {"exclusiveMaximum", hold_below, fail_below},
    {"exclusiveMinimum", hold_above, fail_above},
    {"format", hold_format, fail_format},
    {"if", hold_if, fail_if},
    {"items", hold_items, fail_items},
    {"maxItems", hold_max_items, fail_max_items},
    {"maxLength", hold_max_length, fail_max_length},
    {"maxProperties", hold_max_members, fail_max_members},
    {"maximum", hold_maximum, fail_maximum},
    {"minItems", hold_min_items, fail_min_items},
    {"minLength", hold_min_length, fail_min_length},
    {"minProperties", hold_min_members, fail_min_members},
    {"minimum", hold_minimum, fail_minimum},
    {"multipleOf", hold_multiple, fail_multiple},
    {"not", hold_not, fail_not},
    {"oneOf", hold_one, fail_one},
    {"pattern", hold_pattern, fail_pattern},
    {"patternProperties", hold_object_part, fail_patterns},
    {"prefixItems", hold_prefix, fail_prefix},
    {"properties", hold_object_part, fail_properties},
    {"propertyNames", hold_names, fail_names},
    {"required", hold_required, fail_required},
    {"type", hold_type, fail_type},
    {"unevaluatedItems", hold_unevaluated_items, fail_unevaluated_items},
    {"unevaluatedProperties", hold_unevaluated_members, fail_unevaluated_members},
    {"uniqueItems", hold_unique, fail_unique},
};

static int by_name(const void *key, const void *entry)
{
    return strcmp(key, ((const struct keyword *)entry)->name);
}

static const struct keyword *find_keyword(const char *name)
{
    return bsearch(name, keywords, sizeof keywords / sizeof *keywords, sizeof *keywords, by_name);
}

bool lull_schema_is_keyword(const char *key)
{
    return find_keyword(key) != NULL;
}

lull_status lull_shape_hold(lull_compiler *c, lull_shape *s, uint32_t schema)
{
    const json_t *value = c->schemas[schema].value;
    lull_status st = LULL_OK;
    const char *key;
    json_t *v;
    if (json_is_false(value)) s->types = 0;
    json_object_foreach((json_t *)value, key, v) {
        const struct keyword *k = find_keyword(key);
        c->here = schema;
        if (k) LULL_TRY(k->hold(c, s, schema, v));
    }
done:
    return st;
}

lull_status lull_shape_fail(lull_compiler *c, const lull_shape *s, uint32_t schema, lull_work *out)
{
    const json_t *value = c->schemas[schema].value;
    lull_status st = LULL_OK;
    const char *key;
    json_t *v;
    if (json_is_false(value)) return lull_shape_add(c, out, s);
    json_object_foreach((json_t *)value, key, v) {
        const struct keyword *k = find_keyword(key);
        c->here = schema;
        if (k && !k->fail) {
            lull_shape none = *s;
            LULL_TRY(k->hold(c, &none, schema, v)); /* refuses */
        } else if (k) {
            LULL_TRY(k->fail(c, s, schema, v, out));
        }
    }
done:
    return st;
}
