/* The document, its schemas and goals, and the loop that writes the rules. */
#include "schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "schema_private.h"

enum { ROOT = UINT32_MAX, MAX_REFERENCES = 500, PATH_BYTES = 110 };

/* ---- memory and work, counted ---------------------------------------------------------------- */

static lull_status too_large(lull_compiler *c)
{
    return lull_fail(c->err, LULL_EFULL,
                     "the schema is too involved for a mask: fewer combinations of \"anyOf\", "
                     "\"oneOf\", \"if\" and \"allOf\", or of patterns, would do");
}

void *lull_schema_alloc(lull_compiler *c, size_t n_bytes)
{
    if (c->arena.n_bytes + n_bytes > LULL_SCHEMA_MAX_BYTES) {
        too_large(c);
        return NULL;
    }
    void *p = lull_arena_alloc(&c->arena, n_bytes ? n_bytes : 1);
    if (!p) lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
    return p;
}

lull_status lull_schema_step(lull_compiler *c, size_t n)
{
    c->n_steps += n;
    return c->n_steps > LULL_SCHEMA_MAX_STEPS ? too_large(c) : LULL_OK;
}

static lull_status no_memory(lull_compiler *c)
{
    return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
}

/* Room for one more behind the first n. */
static lull_status grow(lull_compiler *c, void *table, uint32_t n, uint32_t *cap,
                        size_t entry_bytes)
{
    if (n < *cap) return LULL_OK;
    uint32_t more = *cap ? 2 * *cap : 64;
    void *p = realloc(*(void **)table, more * entry_bytes);
    if (!p) return no_memory(c);
    *(void **)table = p;
    *cap = more;
    return LULL_OK;
}

/* ---- where a schema stands ------------------------------------------------------------------- */

/* The pointer to a schema, its end if it is long. */
static void write_path(const lull_compiler *c, uint32_t schema, const char *keyword, char *out)
{
    char buffer[PATH_BYTES + 1];
    size_t at = PATH_BYTES;
    bool is_cut = false;
    buffer[at] = '\0';
    const char *tail[2] = {keyword, NULL};
    for (uint32_t s = schema; !is_cut; s = c->schemas[s].parent) {
        for (int i = 0; i < 2 && !is_cut; i++) {
            if (!tail[i]) continue;
            size_t n = strlen(tail[i]);
            is_cut = n + 1 > at;
            if (is_cut) break;
            at -= n;
            memcpy(buffer + at, tail[i], n);
            buffer[--at] = '/';
        }
        if (s == ROOT || is_cut) break;
        tail[0] = c->schemas[s].sub_key;
        tail[1] = c->schemas[s].key;
    }
    snprintf(out, PATH_BYTES + 8, "%s%s", is_cut ? "…" : "", buffer + at);
}

lull_status lull_schema_fail(lull_compiler *c, lull_status code, uint32_t schema,
                             const char *keyword, const char *fmt, ...)
{
    char path[PATH_BYTES + 8], text[200];
    write_path(c, schema, keyword, path);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (path[0]) return lull_fail(c->err, code, "the schema's \"%s\": %s", path, text);
    return lull_fail(c->err, code, "the schema: %s", text);
}

lull_status lull_schema_refuse(lull_compiler *c, uint32_t schema, const char *keyword,
                               const char *advice)
{
    return lull_schema_fail(c, LULL_EUNSUPPORTED, schema, keyword,
                            "\"%s\" cannot be turned into a mask; %s", keyword, advice);
}

/* As a token of a JSON pointer. */
static const char *escape(lull_compiler *c, const char *key)
{
    if (!key || !strpbrk(key, "~/"))
        return key ? lull_arena_strdup(&c->arena, key, strlen(key)) : NULL;
    char *out = lull_arena_alloc(&c->arena, 2 * strlen(key) + 1), *to = out;
    for (; out && *key; key++) {
        bool is_special = *key == '~' || *key == '/';
        *to++ = is_special ? '~' : *key;
        if (is_special) *to++ = *key == '~' ? '0' : '1';
    }
    return out;
}

/* ---- schemas by address ---------------------------------------------------------------------- */

static uint32_t *schema_slot(lull_compiler *c, const json_t *value)
{
    uint64_t hash = (uint64_t)(uintptr_t)value * 0x9e3779b97f4a7c15u;
    uint32_t mask = c->n_schema_slots - 1;
    for (uint32_t i = (uint32_t)(hash >> 32) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &c->schema_slots[i];
        if (*slot == 0 || c->schemas[*slot - 1].value == value) return slot;
    }
}

static lull_status grow_schema_slots(lull_compiler *c)
{
    if (2 * (c->n_schemas + 1) < c->n_schema_slots) return LULL_OK;
    uint32_t n = c->n_schema_slots ? 2 * c->n_schema_slots : 256;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots) return no_memory(c);
    free(c->schema_slots);
    c->schema_slots = slots;
    c->n_schema_slots = n;
    for (uint32_t i = 0; i < c->n_schemas; i++) *schema_slot(c, c->schemas[i].value) = i + 1;
    return LULL_OK;
}

lull_status lull_schema_at(lull_compiler *c, const json_t *value, uint32_t parent, const char *key,
                           const char *sub_key, uint32_t *out)
{
    lull_status st = grow_schema_slots(c);
    if (st != LULL_OK) return st;
    uint32_t *slot = schema_slot(c, value);
    if (*slot) {
        *out = *slot - 1;
        return LULL_OK;
    }
    st = grow(c, &c->schemas, c->n_schemas, &c->schemas_cap, sizeof *c->schemas);
    if (st != LULL_OK) return st;
    c->schemas[c->n_schemas] = (lull_subschema){
        .value = value, .parent = parent, .key = key, .sub_key = escape(c, sub_key)};
    *slot = c->n_schemas + 1;
    *out = c->n_schemas++;
    if (!json_is_object(value) && !json_is_boolean(value))
        return lull_schema_fail(c, LULL_EINVAL, *out, NULL,
                                "a schema is an object, true or false, and this is neither");
    return LULL_OK;
}

/* "const" of an array or object in terms of its parts; of anything else, as it stands. */
static json_t *make_const(const json_t *value)
{
    json_t *type = json_string(json_is_array(value) ? "array" : "object");
    json_t *made = json_object(), *keys = json_array(), *parts = json_object(),
           *items = json_array();
    json_t *v = (json_t *)value;
    int failed = 0;
    if (json_is_object(v)) {
        const char *key;
        json_t *part;
        json_object_foreach(v, key, part)
        {
            failed |= json_object_set_new(parts, key, json_pack("{s:O}", "const", part));
            failed |= json_array_append_new(keys, json_string(key));
        }
        failed |= json_object_set(made, "type", type) | json_object_set(made, "properties", parts) |
                  json_object_set(made, "required", keys) |
                  json_object_set_new(made, "additionalProperties", json_false());
    } else if (json_is_array(v)) {
        size_t i;
        json_t *part;
        json_array_foreach(v, i, part)
        {
            failed |= json_array_append_new(items, json_pack("{s:O}", "const", part));
        }
        json_int_t n = (json_int_t)json_array_size(v);
        failed |= json_object_set(made, "type", type) |
                  json_object_set_new(made, "minItems", json_integer(n)) |
                  json_object_set_new(made, "maxItems", json_integer(n));
        if (n > 0) failed |= json_object_set(made, "prefixItems", items);
    } else {
        failed |= json_object_set(made, "const", v);
    }
    json_decref(type);
    json_decref(keys);
    json_decref(parts);
    json_decref(items);
    if (failed == 0) return made;
    json_decref(made);
    return NULL;
}

lull_status lull_schema_const(lull_compiler *c, const json_t *value, uint32_t parent, uint32_t *out)
{
    char name[32];
    snprintf(name, sizeof name, "%p", (const void *)value);
    json_t *made = json_object_get(c->made, name);
    if (!made) {
        made = make_const(value);
        if (!made || json_object_set_new(c->made, name, made) != 0) return no_memory(c);
    }
    return lull_schema_at(c, made, parent, "const", NULL, out);
}

/* ---- references ------------------------------------------------------------------------------ */

/* %41 in place. */
static bool decode_percent(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        int high = lull_hex_digit((unsigned char)at[1]);
        int low = high < 0 ? -1 : lull_hex_digit((unsigned char)at[2]);
        if (low < 0 || (high == 0 && low == 0)) return false;
        *to++ = (char)(high * 16 + low);
        at += 2;
    }
    *to = '\0';
    return true;
}

static bool has_own_id(const json_t *value)
{
    return json_is_string(json_object_get(value, "$id"));
}

/* Follow a pointer from the root; NULL: there is nothing. token [strlen(path) + 1] is for use. */
static const json_t *follow(const json_t *at, const char *path, char *token, bool *crosses_id)
{
    bool is_first = true;
    while (at && *path == '/') {
        if (!is_first && has_own_id(at)) *crosses_id = true;
        is_first = false;
        char *to = token;
        for (path++; *path && *path != '/'; path++) {
            char ch = *path;
            if (ch == '~') {
                if (path[1] != '0' && path[1] != '1') return NULL;
                ch = *++path == '0' ? '~' : '/';
            }
            *to++ = ch;
        }
        *to = '\0';
        if (json_is_array(at)) {
            char *end;
            unsigned long i = strtoul(token, &end, 10);
            bool is_index =
                token[0] >= '0' && token[0] <= '9' && !*end && (token[0] != '0' || !token[1]);
            at = is_index ? json_array_get(at, i) : NULL;
        } else {
            at = json_object_get(at, token);
        }
    }
    return at;
}

/* The schema with that "$anchor", not in what is data, nor in schemas with an identity of their
 * own. */
static const json_t *find_anchor(lull_compiler *c, const json_t *at, const char *name, bool is_root)
{
    const json_t *found = NULL;
    if (lull_schema_step(c, 1) != LULL_OK) return NULL;
    if (json_is_array(at)) {
        for (size_t i = 0; i < json_array_size(at) && !found; i++)
            found = find_anchor(c, json_array_get(at, i), name, false);
    } else if (json_is_object(at) && (is_root || !has_own_id(at))) {
        const char *anchors[] = {"$anchor", "$dynamicAnchor"};
        for (int i = 0; i < 2; i++) {
            const char *own = json_string_value(json_object_get(at, anchors[i]));
            if (own && strcmp(own, name) == 0) return at;
        }
        const char *key;
        json_t *part;
        json_object_foreach((json_t *)at, key, part)
        {
            static const char *const data[] = {"const", "enum", "default", "examples"};
            bool is_data = false;
            for (int i = 0; i < 4; i++) is_data |= strcmp(key, data[i]) == 0;
            if (!is_data && !found) found = find_anchor(c, part, name, false);
        }
    }
    return found;
}

lull_status lull_schema_resolve(lull_compiler *c, uint32_t schema, uint32_t *target)
{
    if (c->schemas[schema].target) {
        *target = c->schemas[schema].target - 1;
        return LULL_OK;
    }
    const json_t *ref = json_object_get(c->schemas[schema].value, "$ref");
    const char *text = json_string_value(ref);
    if (!text) return lull_schema_fail(c, LULL_EINVAL, schema, "$ref", "a reference is a string");
    const char *id = json_string_value(json_object_get(c->root, "$id"));
    if (id) {
        size_t n = strcspn(id, "#");
        if (n > 0 && strncmp(text, id, n) == 0 && (text[n] == '#' || !text[n])) text += n;
    }
    if (*text && *text != '#')
        return lull_schema_fail(c, LULL_EUNSUPPORTED, schema, "$ref",
                                "\"%s\" is another document; copy it under \"$defs\" and refer to "
                                "#/$defs/…",
                                text);
    if (*text) text++;
    size_t n = strlen(text);
    char *path = lull_schema_alloc(c, n + 1), *token = lull_schema_alloc(c, n + 1);
    if (!path || !token) return LULL_ENOMEM;
    memcpy(path, text, n + 1);
    bool crosses_id = false;
    const json_t *found = NULL;
    if (decode_percent(path))
        found = *path && *path != '/' ? find_anchor(c, c->root, path, true)
                                      : follow(c->root, path, token, &crosses_id);
    lull_status st = lull_schema_step(c, 1);
    if (st != LULL_OK) return st;
    if (crosses_id)
        return lull_schema_fail(c, LULL_EUNSUPPORTED, schema, "$ref",
                                "\"#%s\" leads through a schema with an \"$id\" of its own; leave "
                                "that out",
                                text);
    if (!found)
        return lull_schema_fail(c, LULL_EINVAL, schema, "$ref", "there is nothing at \"#%s\"",
                                text);
    uint32_t root;
    st = lull_schema_at(c, c->root, ROOT, NULL, NULL, &root);
    if (st != LULL_OK) return st;
    st = lull_schema_at(c, found, root, *path == '/' ? path + 1 : path, NULL, target);
    if (st == LULL_OK) c->schemas[schema].target = *target + 1;
    return st;
}

/* ---- schemas of one value -------------------------------------------------------------------- */

static lull_status check_acyclic(lull_compiler *c, uint32_t schema, size_t depth);

static lull_status check_part(lull_compiler *c, const json_t *part, uint32_t schema,
                              const char *key, const char *sub_key, size_t depth)
{
    if (!part) return LULL_OK;
    uint32_t id;
    lull_status st = lull_schema_at(c, part, schema, key, sub_key, &id);
    return st == LULL_OK ? check_acyclic(c, id, depth) : st;
}

/* A schema whose parts for the same value come back to it says nothing: the specification
 * forbids it. */
static lull_status check_acyclic(lull_compiler *c, uint32_t schema, size_t depth)
{
    lull_status st = LULL_OK;
    if (c->schemas[schema].is_acyclic) return LULL_OK;
    if (c->schemas[schema].is_open)
        return lull_schema_fail(c, LULL_EINVAL, schema, NULL,
                                "it is made of itself, by \"$ref\", without end");
    if (depth > MAX_REFERENCES)
        return lull_schema_fail(c, LULL_EFULL, schema, NULL,
                                "more than %d schemas inside each other for one value",
                                MAX_REFERENCES);
    const json_t *value = c->schemas[schema].value;
    c->schemas[schema].is_open = true;
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    for (int k = 0; k < 3; k++) {
        const json_t *list = json_object_get(value, lists[k]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            char index[24];
            snprintf(index, sizeof index, "%zu", i);
            LULL_TRY(check_part(c, json_array_get(list, i), schema, lists[k], index, depth + 1));
        }
    }
    static const char *const singles[] = {"not", "if", "then", "else"};
    for (int k = 0; k < 4; k++)
        LULL_TRY(
            check_part(c, json_object_get(value, singles[k]), schema, singles[k], NULL, depth + 1));
    const char *key;
    json_t *part;
    json_object_foreach(json_object_get(value, "dependentSchemas"), key, part)
    {
        LULL_TRY(check_part(c, part, schema, "dependentSchemas", key, depth + 1));
    }
    if (json_object_get(value, "$ref")) {
        uint32_t target;
        LULL_TRY(lull_schema_resolve(c, schema, &target));
        LULL_TRY(check_acyclic(c, target, depth + 1));
    }
    c->schemas[schema].is_acyclic = true;
done:
    c->schemas[schema].is_open = false;
    return st;
}

int lull_schema_truth(lull_compiler *c, uint32_t schema)
{
    lull_subschema *s = &c->schemas[schema];
    if (s->truth) return s->truth;
    s->truth = json_is_true(s->value) ? 1 : json_is_false(s->value) ? 2 : 1;
    const char *key;
    json_t *part;
    json_object_foreach((json_t *)s->value, key, part)
    {
        if (lull_schema_is_keyword(key)) s->truth = 3;
        const json_t *of_not = strcmp(key, "not") == 0 ? part : NULL;
        if (json_is_true(of_not) || (json_is_object(of_not) && json_object_size(of_not) == 0)) {
            s->truth = 2;
            break;
        }
    }
    return s->truth;
}

/* ---- goals ----------------------------------------------------------------------------------- */

static int by_schema(const void *a, const void *b)
{
    const lull_literal *x = a, *y = b;
    if (x->schema != y->schema) return x->schema < y->schema ? -1 : 1;
    return x->is_negated - y->is_negated;
}

/* Sorted, each once, without what always holds. False: nothing can satisfy them. */
static bool normalise(lull_compiler *c, lull_literal *l, size_t *n)
{
    size_t kept = 0;
    if (*n > 1) qsort(l, *n, sizeof *l, by_schema);
    for (size_t i = 0; i < *n; i++) {
        int truth = lull_schema_truth(c, l[i].schema);
        if (truth == (l[i].is_negated ? 1 : 2)) return false;
        if (truth != 3) continue;
        if (kept > 0 && l[kept - 1].schema == l[i].schema) {
            if (l[kept - 1].is_negated != l[i].is_negated) return false;
            continue;
        }
        l[kept++] = l[i];
    }
    *n = kept;
    return true;
}

static uint32_t *goal_slot(lull_compiler *c, const lull_literal *l, size_t n)
{
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((uint64_t)l[i].schema << 1 | l[i].is_negated)) * 0x9e3779b97f4a7c15u,
        hash ^= hash >> 29;
    uint32_t mask = c->n_goal_slots - 1;
    for (uint32_t i = (uint32_t)(hash >> 32) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &c->goal_slots[i];
        if (*slot == 0) return slot;
        const lull_goal_facts *f = &c->goals[*slot - 1];
        bool is_same = f->n_literals == n;
        for (size_t k = 0; k < n && is_same; k++) is_same = by_schema(&f->literals[k], &l[k]) == 0;
        if (is_same) return slot;
    }
}

lull_status lull_goal_of(lull_compiler *c, const lull_literal *literals, size_t n, lull_goal *out)
{
    lull_literal few[16], *own = n <= 16 ? few : malloc(n * sizeof *own);
    if (!own) return no_memory(c);
    lull_status st;
    LULL_TRY(lull_schema_step(c, 1 + n / 4));
    if (n > 0) memcpy(own, literals, n * sizeof *own);
    if (!normalise(c, own, &n)) {
        uint32_t never;
        LULL_TRY(lull_schema_at(c, json_false(), ROOT, NULL, NULL, &never));
        own[0] = (lull_literal){never, false};
        n = 1;
    }
    uint32_t *slot = goal_slot(c, own, n);
    if (*slot) {
        *out = *slot - 1;
        goto done;
    }
    for (size_t i = 0; i < n; i++) LULL_TRY(check_acyclic(c, own[i].schema, 0));
    if (c->n_goals >= LULL_SCHEMA_MAX_GOALS) LULL_TRY(too_large(c));
    LULL_TRY(grow(c, &c->goals, c->n_goals, &c->goals_cap, sizeof *c->goals));
    lull_literal *kept = lull_schema_alloc(c, n * sizeof *kept);
    if (!kept) LULL_TRY(c->err->code);
    memcpy(kept, own, n * sizeof *kept);
    c->goals[c->n_goals] = (lull_goal_facts){.literals = kept, .n_literals = n};
    *slot = c->n_goals + 1;
    *out = c->n_goals++;
done:
    if (own != few) free(own);
    return st;
}

lull_status lull_goal_rule(lull_compiler *c, lull_goal goal, lull_expr *out)
{
    lull_goal_facts *f = &c->goals[goal];
    if (!f->is_queued) {
        lull_status st = grow(c, &c->queue, c->n_queue, &c->queue_cap, sizeof *c->queue);
        if (st != LULL_OK) return st;
        f->rule = lull_expr_rule(c->g);
        f->is_queued = true;
        c->queue[c->n_queue++] = goal;
    }
    *out = f->rule;
    return LULL_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static lull_status write_goal(lull_compiler *c, lull_goal goal)
{
    lull_status st = lull_goal_expand(c, goal);
    if (st != LULL_OK) return st;
    lull_goal_facts f = c->goals[goal];
    c->here = f.n_literals ? f.literals[0].schema : 0;
    lull_expr *options = malloc((f.n_shapes * 7 + 1) * sizeof *options);
    if (!options) return no_memory(c);
    size_t n = 0;
    uint8_t words = 0;
    for (uint32_t i = 0; i < f.n_shapes; i++) words |= f.shapes[i].types;
    if (words & LULL_JSON_NULL) options[n++] = lull_expr_literal(c->g, "null", 4);
    if (words & LULL_JSON_FALSE) options[n++] = lull_expr_literal(c->g, "false", 5);
    if (words & LULL_JSON_TRUE) options[n++] = lull_expr_literal(c->g, "true", 4);
    for (uint32_t i = 0; i < f.n_shapes; i++) {
        const lull_shape *s = &f.shapes[i];
        LULL_TRY(lull_schema_step(c, 1));
        if (s->types & LULL_JSON_NUMBER)
            LULL_TRY(lull_numbers_write(c, &s->numbers, &options[n++]));
        if (s->types & LULL_JSON_STRING)
            LULL_TRY(lull_strings_write(c, &s->strings, &options[n++]));
        if (s->types & LULL_JSON_ARRAY) LULL_TRY(lull_items_write(c, s, &options[n++]));
        if (s->types & LULL_JSON_OBJECT) LULL_TRY(lull_members_write(c, s, &options[n++]));
    }
    lull_expr_define(c->g, f.rule, lull_expr_choice(c->g, options, n));
done:
    free(options);
    return st;
}

static lull_status parse(lull_compiler *c, const char *schema, size_t n_bytes)
{
    json_error_t error;
    if (n_bytes > LULL_SCHEMA_MAX_TEXT)
        return lull_fail(c->err, LULL_EFULL, "the schema has %zu bytes, more than %d", n_bytes,
                         LULL_SCHEMA_MAX_TEXT);
    c->root = json_loadb(schema, n_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (c->root) return LULL_OK;
    if (json_error_code(&error) == json_error_out_of_memory) return no_memory(c);
    if (json_error_code(&error) == json_error_numeric_overflow)
        return lull_fail(
            c->err, LULL_EUNSUPPORTED,
            "the schema has a number beyond 64 bits (line %d, column %d); a smaller one would do",
            error.line, error.column);
    return lull_fail(c->err, LULL_EINVAL,
                     "the schema is not JSON that can be read: %s (line %d, column %d)", error.text,
                     error.line, error.column);
}

static lull_status compile(lull_compiler *c, lull_expr *start)
{
    uint32_t root;
    lull_goal goal;
    lull_status st;
    c->made = json_object();
    c->known = json_object();
    c->n_goal_slots = 4 * 16384; /* more than twice LULL_SCHEMA_MAX_GOALS */
    c->goal_slots = calloc(c->n_goal_slots, sizeof *c->goal_slots);
    if (!c->made || !c->known || !c->goal_slots) return no_memory(c);
    LULL_TRY(lull_schema_at(c, c->root, ROOT, NULL, NULL, &root));
    const lull_char_range space = {' ', ' '};
    lull_expr may_space = lull_expr_repeat(c->g, lull_expr_chars(c->g, &space, 1), 0, 1);
    c->colon =
        lull_expr_sequence(c->g, (lull_expr[]){lull_expr_literal(c->g, ":", 1), may_space}, 2);
    c->comma =
        lull_expr_sequence(c->g, (lull_expr[]){lull_expr_literal(c->g, ",", 1), may_space}, 2);
    c->quote = lull_expr_literal(c->g, "\"", 1);
    const lull_regular *text;
    LULL_TRY(lull_schema_whole(c, "[^]", &text));
    c->any_char = lull_expr_language(c->g, text, true);
    LULL_TRY(lull_schema_whole(c, "[^]*", &text));
    lull_expr any_text = lull_expr_language(c->g, text, true);
    c->any_string = lull_expr_sequence(c->g, (lull_expr[]){c->quote, any_text, c->quote}, 3);
    LULL_TRY(lull_schema_whole(c, "-?(?:0|[1-9]\\d*)(?:\\.\\d+)?(?:[eE][+-]?\\d+)?", &text));
    c->any_number = lull_expr_language(c->g, text, false);
    LULL_TRY(lull_schema_whole(c, "-?(?:0|[1-9]\\d*)(?:\\.0)?", &text));
    c->any_integer = lull_expr_language(c->g, text, false);
    LULL_TRY(lull_goal_of(c, &(lull_literal){root, false}, 1, &goal));
    bool is_empty;
    LULL_TRY(lull_goal_is_empty(c, goal, false, LULL_SCHEMA_MAX_LOOK, &is_empty));
    if (is_empty) LULL_TRY(lull_schema_fail(c, LULL_EINVAL, root, NULL, "no JSON satisfies it"));
    LULL_TRY(lull_goal_rule(c, goal, start));
    for (uint32_t i = 0; i < c->n_queue; i++) LULL_TRY(write_goal(c, c->queue[i]));
done:
    return st;
}

lull_status lull_schema_compile(const char *schema, size_t n_bytes, lull_grammar *g,
                                lull_expr *start, lull_error *err)
{
    lull_error own;
    lull_compiler c = {.g = g, .err = err ? err : &own};
    lull_status st = parse(&c, schema, n_bytes);
    if (st == LULL_OK) st = compile(&c, start);
    for (size_t i = 0; i < c.n_languages; i++) lull_regular_free(c.languages[i]);
    free(c.languages);
    free(c.schemas);
    free(c.schema_slots);
    free(c.goals);
    free(c.goal_slots);
    free(c.queue);
    json_decref(c.made);
    json_decref(c.known);
    json_decref(c.root);
    lull_arena_fini(&c.arena);
    return st;
}
