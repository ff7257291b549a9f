/* Keywords with schemas for the same value, those that are refused, and the search for all of
 * them. */
#include "schema_keyword.h"

#include <stdlib.h>
#include <string.h>

#define DENIED "\"not\", \"if\" and \"oneOf\" whose branches may both hold ask for its opposite"

lull_status lull_keyword_wrong(lull_compiler *c, uint32_t schema, const char *keyword,
                               const char *wanted)
{
    return lull_schema_fail(c, LULL_EINVAL, schema, keyword, "%s is wanted here", wanted);
}

lull_status lull_keyword_no_opposite(lull_compiler *c, uint32_t schema, const char *keyword)
{
    return lull_schema_fail(c, LULL_EUNSUPPORTED, schema, keyword,
                            "the opposite of \"%s\" cannot be turned into a mask; " DENIED,
                            keyword);
}

lull_status lull_keyword_count(lull_compiler *c, uint32_t schema, const char *keyword,
                               const json_t *v, uint64_t *out)
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
    return lull_keyword_wrong(c, schema, keyword, "a whole number, 0 or more,");
}

/* ---- schemas for the same value -------------------------------------------------------------- */

static lull_status part_at(lull_compiler *c, uint32_t schema, const char *keyword,
                           const json_t *list, size_t i, uint32_t *out)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return lull_keyword_wrong(c, schema, keyword, "a list of schemas, one at least,");
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
        LULL_TRY(
            lull_shape_todo(c, &rest, i == 0 ? LULL_TODO_HOLDS : LULL_TODO_FAILS, condition, 0));
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

/* ---- what is refused ------------------------------------------------------------------------- */

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

static lull_status hold_dependencies(lull_compiler *c, lull_shape *s, uint32_t schema,
                                     const json_t *v)
{
    (void)s, (void)v;
    return lull_schema_refuse(c, schema, "dependencies",
                              "write \"dependentRequired\" or \"dependentSchemas\"");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const lull_keyword keywords[] = {
    {"$dynamicRef", hold_dynamic, NULL},
    {"$id", hold_id, NULL},
    {"$recursiveRef", hold_recursive, NULL},
    {"$ref", hold_ref, fail_ref},
    {"allOf", hold_all, fail_all},
    {"anyOf", hold_any, fail_any},
    {"dependencies", hold_dependencies, NULL},
    {"if", hold_if, fail_if},
    {"not", hold_not, fail_not},
    {"oneOf", hold_one, fail_one},
};

static const lull_keyword_table applied = {keywords, sizeof keywords / sizeof *keywords};

static int by_name(const void *key, const void *entry)
{
    return strcmp(key, ((const lull_keyword *)entry)->name);
}

static const lull_keyword *find_keyword(const char *name)
{
    const lull_keyword_table *tables[] = {&lull_keywords_compound, &lull_keywords_scalar, &applied};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const lull_keyword *found =
            bsearch(name, tables[i]->entries, tables[i]->n, sizeof *found, by_name);
        if (found) return found;
    }
    return NULL;
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
    json_object_foreach((json_t *)value, key, v)
    {
        const lull_keyword *k = find_keyword(key);
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
    json_object_foreach((json_t *)value, key, v)
    {
        const lull_keyword *k = find_keyword(key);
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
