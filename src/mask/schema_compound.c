/* Keywords of arrays and objects. */
#include <string.h>

#include "schema_keyword.h"

enum { NONE = UINT32_MAX };

static lull_status add_literal(lull_compiler *c, const lull_literal **list, size_t *n,
                               lull_literal l)
{
    lull_literal *grown = lull_schema_alloc(c, (*n + 1) * sizeof *grown);
    if (!grown) return c->err->code;
    if (*n > 0) memcpy(grown, *list, *n * sizeof *grown);
    grown[(*n)++] = l;
    *list = grown;
    return LULL_OK;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static lull_status add_part(lull_compiler *c, const lull_part **list, uint32_t schema,
                            bool is_closed)
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
        return lull_keyword_wrong(c, schema, "items",
                                  "a schema (a list of them is called \"prefixItems\")");
    return add_part(c, &s->arrays, schema, false);
}

static lull_status hold_prefix(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (!json_is_array(v)) return lull_keyword_wrong(c, schema, "prefixItems", "a list of schemas");
    return add_part(c, &s->arrays, schema, false);
}

static lull_status fail_items(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const json_t *v, lull_work *out)
{
    uint32_t items;
    lull_shape rest = lull_shape_of(s, LULL_JSON_ARRAY);
    size_t n_prefix = json_array_size(json_object_get(c->schemas[schema].value, "prefixItems"));
    if (json_is_array(v)) return hold_items(c, &rest, schema, v);
    lull_status st = lull_schema_at(c, v, schema, "items", NULL, &items);
    if (st != LULL_OK || lull_schema_truth(c, items) == 1 || !rest.types) return st;
    if (lull_schema_truth(c, items) == 3) return lull_keyword_no_opposite(c, schema, "items");
    if (n_prefix + 1 > rest.min_items) rest.min_items = n_prefix + 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_prefix(lull_compiler *c, const lull_shape *s, uint32_t schema,
                               const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    if (!json_is_array(v)) return lull_keyword_wrong(c, schema, "prefixItems", "a list of schemas");
    for (size_t i = 0; i < json_array_size(v); i++) {
        lull_shape rest = lull_shape_of(s, LULL_JSON_ARRAY);
        lull_fact *fact = lull_schema_alloc(c, sizeof *fact);
        uint32_t item;
        if (!fact) return c->err->code;
        LULL_TRY(lull_schema_at(c, json_array_get(v, i), schema, "prefixItems", NULL, &item));
        *fact = (lull_fact){
            .n_key = i, .kind = LULL_FACT_HOLDS, .literal = {item, true}, .next = rest.item_facts};
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
    lull_status st = lull_keyword_count(c, schema, "minItems", v, &n);
    if (st == LULL_OK && n > s->min_items) s->min_items = n;
    return st;
}

static lull_status hold_max_items(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    uint64_t n;
    lull_status st = lull_keyword_count(c, schema, "maxItems", v, &n);
    if (st == LULL_OK && n < s->max_items) s->max_items = n;
    return st;
}

static lull_status fail_min_items(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                  const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = lull_shape_of(s, LULL_JSON_ARRAY);
    lull_status st = lull_keyword_count(c, schema, "minItems", v, &n);
    if (st != LULL_OK || n == 0) return st;
    if (n - 1 < rest.max_items) rest.max_items = n - 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_max_items(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                  const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = lull_shape_of(s, LULL_JSON_ARRAY);
    lull_status st = lull_keyword_count(c, schema, "maxItems", v, &n);
    if (st != LULL_OK) return st;
    if (n + 1 > rest.min_items) rest.min_items = n + 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status hold_unique(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    if (!json_is_boolean(v)) return lull_keyword_wrong(c, schema, "uniqueItems", "true or false");
    if (json_is_true(v)) s->unique = schema;
    return LULL_OK;
}

static lull_status fail_unique(lull_compiler *c, const lull_shape *s, uint32_t schema,
                               const json_t *v, lull_work *out)
{
    (void)out;
    if (!json_is_boolean(v)) return lull_keyword_wrong(c, schema, "uniqueItems", "true or false");
    return json_is_true(v) && s->types & LULL_JSON_ARRAY
               ? lull_keyword_no_opposite(c, schema, "uniqueItems")
               : LULL_OK;
}

static lull_status contains_counts(lull_compiler *c, uint32_t schema, uint64_t *min, uint64_t *max)
{
    const json_t *value = c->schemas[schema].value;
    const json_t *v_min = json_object_get(value, "minContains"),
                 *v_max = json_object_get(value, "maxContains");
    lull_status st = LULL_OK;
    *min = 1;
    *max = UINT64_MAX;
    if (v_min) LULL_TRY(lull_keyword_count(c, schema, "minContains", v_min, min));
    if (v_max) LULL_TRY(lull_keyword_count(c, schema, "maxContains", v_max, max));
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
            return lull_schema_refuse(c, schema, "contains",
                                      "leave out one of the two that meet here");
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
    lull_shape rest = lull_shape_of(s, LULL_JSON_ARRAY);
    lull_status st;
    LULL_TRY(lull_schema_at(c, v, schema, "contains", NULL, &wanted));
    LULL_TRY(contains_counts(c, schema, &min, &max));
    if (!rest.types || (min == 0 && max == UINT64_MAX)) return LULL_OK;
    if (min != 1 || max != UINT64_MAX) return lull_keyword_no_opposite(c, schema, "contains");
    LULL_TRY(add_literal(c, &rest.every_item, &rest.n_every_item, (lull_literal){wanted, true}));
    LULL_TRY(lull_shape_add(c, out, &rest));
done:
    return st;
}

/* ---- objects --------------------------------------------------------------------------------- */

static lull_status hold_object_part(lull_compiler *c, lull_shape *s, uint32_t schema,
                                    const json_t *v)
{
    (void)v;
    static const char *const maps[] = {"properties", "patternProperties"};
    for (int i = 0; i < 2; i++) {
        const json_t *map = json_object_get(c->schemas[schema].value, maps[i]);
        if (map && !json_is_object(map))
            return lull_keyword_wrong(c, schema, maps[i], "an object with schemas");
    }
    return add_part(c, &s->objects, schema, false);
}

static lull_status fail_properties(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    const char *key;
    json_t *part;
    if (!json_is_object(v))
        return lull_keyword_wrong(c, schema, "properties", "an object with schemas");
    json_object_foreach((json_t *)v, key, part)
    {
        lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
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

/* That a key which is not known by name has a value of the wrong kind: there is no way to ask
 * for one. */
static lull_status fail_patterns(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                 const json_t *v, lull_work *out)
{
    (void)out;
    lull_status st = LULL_OK;
    const char *key;
    json_t *part;
    if (!json_is_object(v))
        return lull_keyword_wrong(c, schema, "patternProperties", "an object with schemas");
    json_object_foreach((json_t *)v, key, part)
    {
        uint32_t own;
        LULL_TRY(lull_schema_at(c, part, schema, "patternProperties", key, &own));
        if (lull_schema_truth(c, own) != 1 && s->types & LULL_JSON_OBJECT)
            return lull_keyword_no_opposite(c, schema, "patternProperties");
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
    return lull_keyword_no_opposite(c, schema, keyword);
}

static lull_status fail_additional(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                   const json_t *v, lull_work *out)
{
    const json_t *value = c->schemas[schema].value;
    const json_t *names = json_object_get(value, "properties"),
                 *required = json_object_get(value, "required");
    size_t n = json_object_size(names);
    uint32_t own;
    /* When every name is there in any case, one member more is one of another name. What was
     * made of a "const" is of that kind: without one of its names it fails for that. */
    lull_status st = lull_schema_at(c, v, schema, "additionalProperties", NULL, &own);
    if (st == LULL_OK && lull_schema_truth(c, own) == 2 && json_array_size(required) == n &&
        !json_object_get(value, "patternProperties") && s->types & LULL_JSON_OBJECT) {
        lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
        const char *key;
        json_t *part;
        bool is_all = true;
        json_object_foreach((json_t *)names, key, part)
        {
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
    if (st == LULL_OK)
        st = fail_unless_true(c, s, schema, "additionalProperties", v, LULL_JSON_OBJECT);
done:
    return st;
}

static lull_status hold_required(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v)
{
    lull_status st = LULL_OK;
    if (!json_is_array(v)) return lull_keyword_wrong(c, schema, "required", "a list of keys");
    if (!(s->types & LULL_JSON_OBJECT)) return LULL_OK;
    for (size_t i = json_array_size(v); i-- > 0;) {
        const char *key = json_string_value(json_array_get(v, i));
        if (!key) return lull_keyword_wrong(c, schema, "required", "a list of keys");
        LULL_TRY(lull_shape_fact(c, s, key, LULL_FACT_REQUIRED, (lull_literal){0, false}));
    }
done:
    return st;
}

static lull_status fail_required(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                 const json_t *v, lull_work *out)
{
    lull_status st = LULL_OK;
    if (!json_is_array(v)) return lull_keyword_wrong(c, schema, "required", "a list of keys");
    for (size_t i = json_array_size(v); i-- > 0;) {
        const char *key = json_string_value(json_array_get(v, i));
        lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
        if (!key) return lull_keyword_wrong(c, schema, "required", "a list of keys");
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

static lull_status fail_names(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const json_t *v, lull_work *out)
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

static lull_status hold_min_members(lull_compiler *c, lull_shape *s, uint32_t schema,
                                    const json_t *v)
{
    uint64_t n;
    lull_status st = lull_keyword_count(c, schema, "minProperties", v, &n);
    if (st == LULL_OK) raise_members(s, n, schema);
    return st;
}

static lull_status hold_max_members(lull_compiler *c, lull_shape *s, uint32_t schema,
                                    const json_t *v)
{
    uint64_t n;
    lull_status st = lull_keyword_count(c, schema, "maxProperties", v, &n);
    if (st == LULL_OK && n < s->max_members) s->max_members = n;
    return st;
}

static lull_status fail_min_members(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                    const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
    lull_status st = lull_keyword_count(c, schema, "minProperties", v, &n);
    if (st != LULL_OK || n == 0) return st;
    if (n - 1 < rest.max_members) rest.max_members = n - 1;
    return lull_shape_add(c, out, &rest);
}

static lull_status fail_max_members(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                    const json_t *v, lull_work *out)
{
    uint64_t n;
    lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
    lull_status st = lull_keyword_count(c, schema, "maxProperties", v, &n);
    if (st != LULL_OK) return st;
    raise_members(&rest, n + 1, schema);
    return lull_shape_add(c, out, &rest);
}

static lull_status hold_needs(lull_compiler *c, lull_shape *s, uint32_t schema, const json_t *v,
                              const char *keyword, lull_todo_kind kind)
{
    lull_status st = LULL_OK;
    if (!json_is_object(v)) return lull_keyword_wrong(c, schema, keyword, "an object");
    for (size_t i = json_object_size(v); i-- > 0 && s->types & LULL_JSON_OBJECT;)
        LULL_TRY(lull_shape_todo(c, s, kind, schema, i));
done:
    return st;
}

static lull_status hold_needs_keys(lull_compiler *c, lull_shape *s, uint32_t schema,
                                   const json_t *v)
{
    return hold_needs(c, s, schema, v, "dependentRequired", LULL_TODO_NEEDS_KEYS);
}

static lull_status hold_needs_schemas(lull_compiler *c, lull_shape *s, uint32_t schema,
                                      const json_t *v)
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
    json_object_foreach((json_t *)v, key, keys)
    {
        for (size_t i = 0; i < json_array_size(keys); i++) {
            lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
            const char *other = json_string_value(json_array_get(keys, i));
            if (!other)
                return lull_keyword_wrong(c, schema, "dependentRequired",
                                          "an object with lists of keys");
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
    json_object_foreach((json_t *)v, key, part)
    {
        lull_shape rest = lull_shape_of(s, LULL_JSON_OBJECT);
        uint32_t own;
        LULL_TRY(lull_schema_at(c, part, schema, "dependentSchemas", key, &own));
        LULL_TRY(lull_shape_fact(c, &rest, key, LULL_FACT_REQUIRED, (lull_literal){0, false}));
        LULL_TRY(lull_shape_todo(c, &rest, LULL_TODO_FAILS, own, 0));
        LULL_TRY(lull_shape_add(c, out, &rest));
    }
done:
    return st;
}

/* ---- "unevaluatedProperties", "unevaluatedItems" --------------------------------------------- */

/* Whether what it evaluates shows in the schema itself: nothing in it is chosen by the value.
 * keyword NULL: of something that it is made of. */
static lull_status is_static(lull_compiler *c, uint32_t schema, bool is_top, bool *out)
{
    static const char *const chosen[] = {"anyOf",    "oneOf",      "if", "not", "dependentSchemas",
                                         "contains", "$dynamicRef"};
    const json_t *value = c->schemas[schema].value;
    lull_status st = LULL_OK;
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++)
        if (json_object_get(value, chosen[i])) *out = false;
    if (!is_top && (json_object_get(value, "unevaluatedProperties") ||
                    json_object_get(value, "unevaluatedItems")))
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
        return lull_schema_refuse(
            c, schema, keyword,
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

/* ---- the table ------------------------------------------------------------------------------- */

static const lull_keyword keywords[] = {
    {"additionalProperties", hold_object_part, fail_additional},
    {"contains", hold_contains, fail_contains},
    {"dependentRequired", hold_needs_keys, fail_needs_keys},
    {"dependentSchemas", hold_needs_schemas, fail_needs_schemas},
    {"items", hold_items, fail_items},
    {"maxItems", hold_max_items, fail_max_items},
    {"maxProperties", hold_max_members, fail_max_members},
    {"minItems", hold_min_items, fail_min_items},
    {"minProperties", hold_min_members, fail_min_members},
    {"patternProperties", hold_object_part, fail_patterns},
    {"prefixItems", hold_prefix, fail_prefix},
    {"properties", hold_object_part, fail_properties},
    {"propertyNames", hold_names, fail_names},
    {"required", hold_required, fail_required},
    {"unevaluatedItems", hold_unevaluated_items, fail_unevaluated_items},
    {"unevaluatedProperties", hold_unevaluated_members, fail_unevaluated_members},
    {"uniqueItems", hold_unique, fail_unique},
};

const lull_keyword_table lull_keywords_compound = {keywords, sizeof keywords / sizeof *keywords};
