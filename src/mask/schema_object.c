/* Arrays and objects of a shape: which goal each item and member has, and the expressions of
 * all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema_private.h"

enum { NONE = UINT32_MAX, MAX_PATTERNS = 64, MAX_CELLS = 200, MAX_UNIQUE = 500, LOOK = 2 };

static lull_status no_memory(lull_compiler *c)
{
    return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
}

/* ---- which schemas a member has -------------------------------------------------------------- */

/* A key; or, without a name, one of a cell: the keys that no schema names, and that match these
 * patterns only. */
typedef struct key_class {
    const char *name;
    size_t n_bytes;
    const lull_regular *const *matched; /* [n_matched] */
    size_t n_matched;
} key_class;

typedef struct literals {
    lull_literal *items; /* owned [n] */
    size_t n, cap;
} literals;

static lull_status add_literal(lull_compiler *c, literals *l, uint32_t schema, bool is_negated)
{
    if (l->n == l->cap) {
        size_t more = l->cap ? 2 * l->cap : 16;
        lull_literal *p = realloc(l->items, more * sizeof *p);
        if (!p) return no_memory(c);
        l->items = p;
        l->cap = more;
    }
    l->items[l->n++] = (lull_literal){schema, is_negated};
    return LULL_OK;
}

static lull_status add_schema(lull_compiler *c, literals *l, const json_t *value, uint32_t parent,
                              const char *key, const char *sub_key)
{
    uint32_t schema;
    lull_status st = lull_schema_at(c, value, parent, key, sub_key, &schema);
    return st == LULL_OK ? add_literal(c, l, schema, false) : st;
}

/* Sets *is_in when the key matches. */
static lull_status match_pattern(lull_compiler *c, uint32_t schema, const key_class *key,
                                 const char *pattern, bool *is_in)
{
    const lull_regular *language;
    lull_status st =
        lull_schema_pattern(c, schema, "patternProperties", pattern, strlen(pattern), &language);
    if (st != LULL_OK) return st;
    if (key->name) *is_in = lull_regular_matches(language, key->name, key->n_bytes);
    for (size_t i = 0; !key->name && i < key->n_matched; i++) *is_in |= key->matched[i] == language;
    return LULL_OK;
}

/* "properties", "patternProperties", "additionalProperties" of one schema, for a key. */
static lull_status collect_own(lull_compiler *c, uint32_t schema, const key_class *key,
                               literals *out)
{
    const json_t *value = c->schemas[schema].value;
    const json_t *named =
        key->name ? json_object_get(json_object_get(value, "properties"), key->name) : NULL;
    const json_t *rest = json_object_get(value, "additionalProperties");
    bool is_known = named != NULL;
    lull_status st = LULL_OK;
    const char *pattern;
    json_t *part;
    if (named) LULL_TRY(add_schema(c, out, named, schema, "properties", key->name));
    json_object_foreach(json_object_get(value, "patternProperties"), pattern, part)
    {
        bool is_in = false;
        LULL_TRY(match_pattern(c, schema, key, pattern, &is_in));
        if (is_in) LULL_TRY(add_schema(c, out, part, schema, "patternProperties", pattern));
        is_known |= is_in;
    }
    if (!is_known && rest) LULL_TRY(add_schema(c, out, rest, schema, "additionalProperties", NULL));
done:
    return st;
}

/* Whether a schema, or one that it is made of, speaks of a key. */
static lull_status is_evaluated(lull_compiler *c, uint32_t schema, const key_class *key, bool *out)
{
    const json_t *value = c->schemas[schema].value, *all = json_object_get(value, "allOf");
    lull_status st = LULL_OK;
    const char *pattern;
    json_t *part;
    uint32_t other;
    if (json_object_get(value, "additionalProperties") ||
        (key->name && json_object_get(json_object_get(value, "properties"), key->name)))
        *out = true;
    json_object_foreach(json_object_get(value, "patternProperties"), pattern, part)
    {
        bool is_in = false;
        LULL_TRY(match_pattern(c, schema, key, pattern, &is_in));
        *out |= is_in;
    }
    for (size_t i = 0; i < json_array_size(all) && !*out; i++) {
        LULL_TRY(lull_schema_at(c, json_array_get(all, i), schema, "allOf", NULL, &other));
        LULL_TRY(is_evaluated(c, other, key, out));
    }
    if (!*out && json_object_get(value, "$ref")) {
        LULL_TRY(lull_schema_resolve(c, schema, &other));
        LULL_TRY(is_evaluated(c, other, key, out));
    }
done:
    return st;
}

static lull_status collect(lull_compiler *c, const lull_shape *s, const key_class *key,
                           literals *out)
{
    lull_status st = LULL_OK;
    for (const lull_part *p = s->objects; p; p = p->next) {
        bool is_known = false;
        LULL_TRY(lull_schema_step(c, 1));
        if (!p->is_closed) {
            LULL_TRY(collect_own(c, p->schema, key, out));
            continue;
        }
        const char *keyword = "unevaluatedProperties";
        LULL_TRY(is_evaluated(c, p->schema, key, &is_known));
        if (!is_known)
            LULL_TRY(add_schema(c, out, json_object_get(c->schemas[p->schema].value, keyword),
                                p->schema, keyword, NULL));
    }
    for (const lull_fact *f = s->rules; f && key->name; f = f->next)
        if (strcmp(f->key, key->name) == 0)
            LULL_TRY(add_literal(c, out, f->literal.schema, f->literal.is_negated));
done:
    return st;
}

/* "propertyNames": the goal of keys. */
static lull_status names_goal(lull_compiler *c, const lull_shape *s, const lull_goal_facts **out)
{
    lull_goal goal;
    lull_status st;
    LULL_TRY(lull_goal_of(c, s->key_names, s->n_key_names, &goal));
    LULL_TRY(lull_goal_expand(c, goal));
    *out = &c->goals[goal];
done:
    return st;
}

static lull_status is_name(lull_compiler *c, const lull_shape *s, const char *name, size_t n_bytes,
                           bool *out)
{
    const lull_goal_facts *names;
    *out = true;
    if (s->n_key_names == 0) return LULL_OK;
    lull_status st = names_goal(c, s, &names);
    *out = false;
    for (uint32_t i = 0; st == LULL_OK && i < names->n_shapes && !*out; i++)
        *out = names->shapes[i].types & LULL_JSON_STRING &&
               lull_strings_match(&names->shapes[i].strings, name, n_bytes);
    return st;
}

static lull_status class_goal(lull_compiler *c, const lull_shape *s, const key_class *key,
                              bool is_possible, lull_goal *out)
{
    literals all = {0};
    lull_status st;
    LULL_TRY(collect(c, s, key, &all));
    if (!is_possible) LULL_TRY(add_schema(c, &all, json_false(), NONE, NULL, NULL));
    LULL_TRY(lull_goal_of(c, all.items, all.n, out));
done:
    free(all.items);
    return st;
}

lull_status lull_member_goal(lull_compiler *c, const lull_shape *s, const char *key, size_t n_key,
                             lull_goal *out)
{
    key_class named = {.name = key, .n_bytes = n_key};
    bool is_possible;
    lull_status st = is_name(c, s, key, n_key, &is_possible);
    return st == LULL_OK ? class_goal(c, s, &named, is_possible, out) : st;
}

/* ---- objects --------------------------------------------------------------------------------- */

typedef struct object_writer {
    const lull_shape *s;
    json_t *names; /* owned: every key that is known by name, with how it stands */
    const lull_regular *patterns[MAX_PATTERNS]; /* of other keys */
    size_t n_patterns;
    lull_member *members; /* owned [n_members] */
    size_t n_members, n_required;
    lull_expr *others; /* owned [n_others] */
    size_t n_others;
} object_writer;

enum { MAY_BE, MUST_BE, MUST_NOT_BE };

static lull_status add_name(lull_compiler *c, object_writer *w, const char *name, int how)
{
    json_int_t before = json_integer_value(json_object_get(w->names, name));
    if (how < before) how = (int)before;
    if (json_object_set_new(w->names, name, json_integer(how)) != 0) return no_memory(c);
    return lull_schema_step(c, 1);
}

static lull_status gather_names(lull_compiler *c, object_writer *w)
{
    lull_status st = LULL_OK;
    const char *name;
    json_t *part;
    for (const lull_part *p = w->s->objects; p; p = p->next) {
        const json_t *value = c->schemas[p->schema].value;
        json_object_foreach(json_object_get(value, "properties"), name, part)
        {
            LULL_TRY(add_name(c, w, name, MAY_BE));
        }
        json_object_foreach(json_object_get(value, "patternProperties"), name, part)
        {
            const lull_regular *language;
            bool is_new = true;
            LULL_TRY(lull_schema_pattern(c, p->schema, "patternProperties", name, strlen(name),
                                         &language));
            for (size_t i = 0; i < w->n_patterns; i++) is_new &= w->patterns[i] != language;
            if (!is_new) continue;
            if (w->n_patterns == MAX_PATTERNS)
                return lull_schema_fail(c, LULL_EFULL, p->schema, "patternProperties",
                                        "more than %d patterns for the keys of one object",
                                        MAX_PATTERNS);
            w->patterns[w->n_patterns++] = language;
        }
    }
    for (const lull_fact *f = w->s->rules; f; f = f->next) LULL_TRY(add_name(c, w, f->key, MAY_BE));
    for (const lull_fact *f = w->s->facts; f; f = f->next)
        LULL_TRY(add_name(c, w, f->key, f->kind == LULL_FACT_REQUIRED ? MUST_BE : MUST_NOT_BE));
done:
    return st;
}

/* When "propertyNames" lists the keys, all are known by name: true. */
static lull_status gather_listed(lull_compiler *c, object_writer *w, bool *is_listed)
{
    const lull_goal_facts *names;
    lull_status st = LULL_OK;
    *is_listed = false;
    if (w->s->n_key_names == 0) return LULL_OK;
    LULL_TRY(names_goal(c, w->s, &names));
    *is_listed = true;
    for (uint32_t i = 0; i < names->n_shapes; i++) {
        const lull_shape *shape = &names->shapes[i];
        *is_listed &= !(shape->types & LULL_JSON_STRING) || shape->strings.list;
        for (size_t k = 0; k < shape->strings.n_list && shape->types & LULL_JSON_STRING; k++)
            if (!memchr(shape->strings.list[k].bytes, 0, shape->strings.list[k].n_bytes))
                LULL_TRY(add_name(c, w, shape->strings.list[k].bytes, MAY_BE));
    }
done:
    return st;
}

static lull_status write_named(lull_compiler *c, object_writer *w)
{
    const char *name;
    json_t *how;
    lull_status st = LULL_OK;
    w->members = malloc((json_object_size(w->names) + 1) * sizeof *w->members);
    if (!w->members) return no_memory(c);
    json_object_foreach(w->names, name, how)
    {
        if (json_integer_value(how) == MUST_NOT_BE) continue;
        bool is_required = json_integer_value(how) == MUST_BE, is_empty;
        lull_goal goal;
        lull_text quoted;
        lull_expr value;
        LULL_TRY(lull_member_goal(c, w->s, name, strlen(name), &goal));
        LULL_TRY(lull_goal_is_empty(c, goal, false, LOOK, &is_empty));
        if (is_empty && !is_required) continue;
        LULL_TRY(lull_goal_rule(c, goal, &value));
        LULL_TRY(lull_text_quote(c, (lull_text){name, strlen(name)}, &quoted));
        lull_expr key = lull_expr_literal(c->g, quoted.bytes, quoted.n_bytes);
        w->members[w->n_members++] = (lull_member){
            lull_expr_sequence(c->g, (lull_expr[]){key, c->colon, value}, 3), is_required};
        w->n_required += is_required;
    }
done:
    return st;
}

/* The keys that have no name of their own: NULL for all texts. */
static lull_status other_keys(lull_compiler *c, object_writer *w, const lull_regular **out)
{
    lull_status st = LULL_OK;
    const lull_goal_facts *names;
    size_t n = 0, n_names = json_object_size(w->names);
    const char *name;
    json_t *how;
    *out = NULL;
    if (w->s->n_key_names > 0) {
        LULL_TRY(names_goal(c, w->s, &names));
        bool is_first = true;
        for (uint32_t i = 0; i < names->n_shapes; i++) {
            const lull_regular *some;
            if (!(names->shapes[i].types & LULL_JSON_STRING)) continue;
            LULL_TRY(lull_strings_language(c, &names->shapes[i].strings, &some));
            if (is_first) *out = some;
            if (!is_first) LULL_TRY(lull_schema_either(c, *out, some, out));
            is_first = false;
        }
    }
    if (n_names > 0) {
        const lull_regular *named, *others;
        lull_text *texts = malloc(n_names * sizeof *texts);
        if (!texts) return no_memory(c);
        json_object_foreach(w->names, name, how)
        {
            texts[n++] = (lull_text){name, strlen(name)};
        }
        lull_texts_sort(texts, &n);
        st = lull_schema_one_of(c, texts, n, &named);
        free(texts);
        if (st == LULL_OK) LULL_TRY(lull_schema_not(c, named, &others));
        if (st == LULL_OK) LULL_TRY(lull_schema_both(c, *out, others, out));
    }
done:
    return st;
}

/* Keys by the patterns that they match: each cell of them has one goal. */
typedef struct cell {
    const lull_regular *keys; /* NULL: every text */
    const lull_regular *matched[MAX_PATTERNS];
    size_t n_matched;
} cell;

static lull_status cut_cells(lull_compiler *c, const object_writer *w, cell *cells, size_t *n_cells)
{
    lull_status st = LULL_OK;
    for (size_t p = 0; p < w->n_patterns; p++) {
        const lull_regular *others;
        LULL_TRY(lull_schema_not(c, w->patterns[p], &others));
        for (size_t i = 0, n = *n_cells; i < n; i++) {
            const lull_regular *inside, *outside;
            LULL_TRY(lull_schema_both(c, cells[i].keys, w->patterns[p], &inside));
            if (lull_regular_is_empty(inside)) continue;
            LULL_TRY(lull_schema_both(c, cells[i].keys, others, &outside));
            if (!lull_regular_is_empty(outside)) {
                if (*n_cells == MAX_CELLS)
                    return lull_schema_fail(c, LULL_EFULL, c->here, "patternProperties",
                                            "the patterns overlap in too many ways");
                cells[*n_cells] = cells[i];
                cells[(*n_cells)++].keys = outside;
            }
            cells[i].keys = inside;
            cells[i].matched[cells[i].n_matched++] = w->patterns[p];
        }
    }
done:
    return st;
}

static lull_status write_others(lull_compiler *c, object_writer *w)
{
    lull_status st = LULL_OK;
    size_t n_cells = 1;
    bool is_empty = false;
    key_class any = {0};
    lull_goal goal;
    cell *cells = malloc(MAX_CELLS * sizeof *cells);
    w->others = malloc(MAX_CELLS * sizeof *w->others);
    if (!cells || !w->others) LULL_TRY(no_memory(c));
    cells[0] = (cell){0};
    if (w->n_patterns == 0) { /* mostly there are none, by "additionalProperties": false */
        LULL_TRY(class_goal(c, w->s, &any, true, &goal));
        LULL_TRY(lull_goal_is_empty(c, goal, false, LOOK, &is_empty));
    }
    if (is_empty) goto done;
    LULL_TRY(other_keys(c, w, &cells[0].keys));
    LULL_TRY(cut_cells(c, w, cells, &n_cells));
    for (size_t i = 0; i < n_cells; i++) {
        lull_expr value;
        key_class key = {.matched = cells[i].matched, .n_matched = cells[i].n_matched};
        if (cells[i].keys && lull_regular_is_empty(cells[i].keys)) continue;
        LULL_TRY(class_goal(c, w->s, &key, true, &goal));
        LULL_TRY(lull_goal_is_empty(c, goal, false, LOOK, &is_empty));
        if (is_empty) continue;
        LULL_TRY(lull_goal_rule(c, goal, &value));
        lull_expr text = c->any_string;
        if (cells[i].keys) {
            lull_expr body = lull_expr_language(c->g, cells[i].keys, true);
            text = lull_expr_sequence(c->g, (lull_expr[]){c->quote, body, c->quote}, 3);
        }
        w->others[w->n_others++] =
            lull_expr_sequence(c->g, (lull_expr[]){text, c->colon, value}, 3);
    }
done:
    free(cells);
    return st;
}

static uint32_t as_count(uint64_t n)
{
    return n < LULL_UNBOUNDED ? (uint32_t)n : LULL_UNBOUNDED;
}

lull_status lull_members_write(lull_compiler *c, const lull_shape *s, lull_expr *out)
{
    object_writer w = {.s = s, .names = json_object()};
    bool is_listed;
    uint64_t min = s->min_members;
    lull_status st = w.names ? LULL_OK : no_memory(c);
    if (st != LULL_OK) return st;
    LULL_TRY(gather_names(c, &w));
    LULL_TRY(gather_listed(c, &w, &is_listed));
    LULL_TRY(write_named(c, &w));
    if (!is_listed) LULL_TRY(write_others(c, &w));
    /* Other keys may come twice, and then count once. One more than what is required is one more
     * in any case. */
    if (min > w.n_required + 1 && w.n_others > 0) {
        LULL_TRY(lull_schema_refuse(c, s->min_members_by, "minProperties",
                                    "1 would do, or \"additionalProperties\": false"));
    }
    if (min <= w.n_required) min = 0;
    lull_expr others = lull_expr_choice(c->g, w.others, w.n_others);
    lull_expr members = lull_expr_members(c->g, w.members, w.n_members, others, c->comma,
                                          as_count(min), as_count(s->max_members));
    *out = lull_expr_sequence(
        c->g,
        (lull_expr[]){lull_expr_literal(c->g, "{", 1), members, lull_expr_literal(c->g, "}", 1)},
        3);
done:
    json_decref(w.names);
    free(w.members);
    free(w.others);
    return st;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* How many items a schema, or one that it is made of, speaks of; SIZE_MAX: all. */
static lull_status n_evaluated(lull_compiler *c, uint32_t schema, size_t *out)
{
    const json_t *value = c->schemas[schema].value, *all = json_object_get(value, "allOf");
    size_t n = json_array_size(json_object_get(value, "prefixItems"));
    lull_status st = LULL_OK;
    uint32_t other;
    if (json_object_get(value, "items")) n = SIZE_MAX;
    if (n > *out) *out = n;
    for (size_t i = 0; i < json_array_size(all); i++) {
        LULL_TRY(lull_schema_at(c, json_array_get(all, i), schema, "allOf", NULL, &other));
        LULL_TRY(n_evaluated(c, other, out));
    }
    if (json_object_get(value, "$ref")) {
        LULL_TRY(lull_schema_resolve(c, schema, &other));
        LULL_TRY(n_evaluated(c, other, out));
    }
done:
    return st;
}

lull_status lull_items_prefix(lull_compiler *c, const lull_shape *s, size_t *out)
{
    lull_status st = LULL_OK;
    *out = 0;
    for (const lull_part *p = s->arrays; p; p = p->next) {
        size_t n = json_array_size(json_object_get(c->schemas[p->schema].value, "prefixItems"));
        if (p->is_closed) LULL_TRY(n_evaluated(c, p->schema, &n));
        if (n != SIZE_MAX && n > *out) *out = n;
    }
    for (const lull_fact *f = s->item_facts; f; f = f->next)
        if (f->n_key + 1 > *out) *out = f->n_key + 1;
done:
    return st;
}

static lull_status collect_item(lull_compiler *c, const lull_shape *s, size_t index, literals *out)
{
    lull_status st = LULL_OK;
    for (const lull_part *p = s->arrays; p; p = p->next) {
        const json_t *value = c->schemas[p->schema].value;
        const json_t *prefix = json_object_get(value, "prefixItems"),
                     *items = json_object_get(value, "items");
        LULL_TRY(lull_schema_step(c, 1));
        if (p->is_closed) {
            size_t n = 0;
            LULL_TRY(n_evaluated(c, p->schema, &n));
            const char *keyword = "unevaluatedItems";
            if (index >= n)
                LULL_TRY(
                    add_schema(c, out, json_object_get(value, keyword), p->schema, keyword, NULL));
        } else if (index < json_array_size(prefix)) {
            char name[24];
            snprintf(name, sizeof name, "%zu", index);
            LULL_TRY(
                add_schema(c, out, json_array_get(prefix, index), p->schema, "prefixItems", name));
        } else if (items) {
            LULL_TRY(add_schema(c, out, items, p->schema, "items", NULL));
        }
    }
    for (const lull_fact *f = s->item_facts; f; f = f->next)
        if (f->n_key == index)
            LULL_TRY(add_literal(c, out, f->literal.schema, f->literal.is_negated));
    for (size_t i = 0; i < s->n_every_item; i++)
        LULL_TRY(add_literal(c, out, s->every_item[i].schema, s->every_item[i].is_negated));
done:
    return st;
}

lull_status lull_item_goal(lull_compiler *c, const lull_shape *s, size_t index, lull_goal *out)
{
    literals all = {0};
    lull_status st;
    LULL_TRY(collect_item(c, s, index, &all));
    LULL_TRY(lull_goal_of(c, all.items, all.n, out));
done:
    free(all.items);
    return st;
}

static lull_status item_rule(lull_compiler *c, const lull_shape *s, size_t index, lull_expr *out)
{
    lull_goal goal;
    lull_status st = lull_item_goal(c, s, index, &goal);
    return st == LULL_OK ? lull_goal_rule(c, goal, out) : st;
}

static lull_expr in_brackets(lull_compiler *c, lull_expr body)
{
    return lull_expr_sequence(
        c->g, (lull_expr[]){lull_expr_literal(c->g, "[", 1), body, lull_expr_literal(c->g, "]", 1)},
        3);
}

static lull_expr after_comma(lull_compiler *c, lull_expr item)
{
    return lull_expr_sequence(c->g, (lull_expr[]){c->comma, item}, 2);
}

/* Unique items of few values are members of a set, which come in any order and once each. */
static lull_status write_set(lull_compiler *c, const lull_shape *s, lull_goal goal, lull_expr *out)
{
    const lull_goal_facts *f = &c->goals[goal];
    uint8_t types = 0;
    size_t n = 0, n_texts = 0, n_numbers = 0;
    for (uint32_t i = 0; i < f->n_shapes; i++) {
        types |= f->shapes[i].types;
        if (f->shapes[i].types & LULL_JSON_STRING) n_texts += f->shapes[i].strings.n_list;
        if (f->shapes[i].types & LULL_JSON_NUMBER) n_numbers += f->shapes[i].numbers.n_list;
    }
    lull_member *members = malloc((n_texts + n_numbers + 4) * sizeof *members);
    lull_text *texts = lull_schema_alloc(c, (n_texts + 1) * sizeof *texts);
    const lull_decimal **numbers = lull_schema_alloc(c, (n_numbers + 1) * sizeof *numbers);
    lull_status st = !texts || !numbers ? c->err->code : members ? LULL_OK : no_memory(c);
    if (st != LULL_OK) goto done;
    n_texts = n_numbers = 0;
    for (uint32_t i = 0; i < f->n_shapes; i++) {
        const lull_shape *shape = &f->shapes[i];
        for (size_t k = 0; shape->types & LULL_JSON_STRING && k < shape->strings.n_list; k++)
            LULL_TRY(lull_text_quote(c, shape->strings.list[k], &texts[n_texts++]));
        for (size_t k = 0; shape->types & LULL_JSON_NUMBER && k < shape->numbers.n_list; k++) {
            bool is_new = true;
            for (size_t j = 0; j < n_numbers && is_new; j++)
                is_new = lull_decimal_compare(numbers[j], &shape->numbers.list[k]) != 0;
            if (is_new) numbers[n_numbers++] = &shape->numbers.list[k];
        }
    }
    lull_texts_sort(texts, &n_texts);
    if (types & LULL_JSON_NULL) members[n++].text = lull_expr_literal(c->g, "null", 4);
    if (types & LULL_JSON_FALSE) members[n++].text = lull_expr_literal(c->g, "false", 5);
    if (types & LULL_JSON_TRUE) members[n++].text = lull_expr_literal(c->g, "true", 4);
    for (size_t i = 0; i < n_texts; i++)
        members[n++].text = lull_expr_literal(c->g, texts[i].bytes, texts[i].n_bytes);
    for (size_t i = 0; i < n_numbers; i++)
        LULL_TRY(lull_decimal_write(c, numbers[i], &members[n++].text));
    for (size_t i = 0; i < n; i++) members[i].is_required = false;
    *out = in_brackets(c, lull_expr_members(c->g, members, n, lull_expr_never(c->g), c->comma,
                                            as_count(s->min_items), as_count(s->max_items)));
done:
    free(members);
    return st;
}

static lull_status write_unique(lull_compiler *c, const lull_shape *s, size_t n_prefix,
                                lull_expr *out)
{
    lull_goal goal;
    lull_status st;
    LULL_TRY(lull_item_goal(c, s, 0, &goal));
    LULL_TRY(lull_goal_expand(c, goal));
    size_t n = 0;
    bool is_listed = n_prefix == 0 && s->contains == NONE;
    for (uint32_t i = 0; i < c->goals[goal].n_shapes; i++) {
        const lull_shape *shape = &c->goals[goal].shapes[i];
        is_listed &= !(shape->types & (LULL_JSON_ARRAY | LULL_JSON_OBJECT)) &&
                     (!(shape->types & LULL_JSON_STRING) || shape->strings.list) &&
                     (!(shape->types & LULL_JSON_NUMBER) || shape->numbers.list);
        n += shape->strings.n_list + shape->numbers.n_list;
    }
    if (!is_listed || n > MAX_UNIQUE)
        return lull_schema_refuse(c, s->unique, "uniqueItems",
                                  "leave it out, or list what the items may be in an \"enum\"");
    LULL_TRY(write_set(c, s, goal, out));
done:
    return st;
}

/* Items with so many among them that satisfy "contains": those that do not, then one that does
 * with more that do not behind it, so many times. */
static lull_status write_contains(lull_compiler *c, const lull_shape *s, size_t n_prefix,
                                  lull_expr *out)
{
    const json_t *value = c->schemas[s->contains].value;
    const json_t *v_min = json_object_get(value, "minContains"),
                 *v_max = json_object_get(value, "maxContains");
    uint32_t wanted, min = v_min ? as_count((uint64_t)json_number_value(v_min)) : 1;
    uint32_t max = v_max ? as_count((uint64_t)json_number_value(v_max)) : LULL_UNBOUNDED;
    literals with = {0}, without = {0};
    lull_goal goal;
    lull_expr is_it, is_not;
    lull_status st;
    if (n_prefix > 0 || s->min_items > min || (s->max_items < LULL_UNBOUNDED))
        return lull_schema_refuse(
            c, s->contains, "contains",
            "it may not stand with \"prefixItems\", \"minItems\" or \"maxItems\"");
    LULL_TRY(lull_schema_at(c, json_object_get(value, "contains"), s->contains, "contains", NULL,
                            &wanted));
    LULL_TRY(collect_item(c, s, 0, &with));
    LULL_TRY(add_literal(c, &with, wanted, false));
    LULL_TRY(lull_goal_of(c, with.items, with.n, &goal));
    LULL_TRY(lull_goal_rule(c, goal, &is_it));
    LULL_TRY(collect_item(c, s, 0, &without));
    LULL_TRY(add_literal(c, &without, wanted, max < LULL_UNBOUNDED));
    without.n -= max == LULL_UNBOUNDED; /* without an upper bound the others may be anything */
    LULL_TRY(lull_goal_of(c, without.items, without.n, &goal));
    LULL_TRY(lull_goal_rule(c, goal, &is_not));
    lull_expr more = lull_expr_repeat(c->g, after_comma(c, is_not), 0, LULL_UNBOUNDED);
    lull_expr round = lull_expr_sequence(c->g, (lull_expr[]){after_comma(c, is_it), more}, 2);
    lull_expr rounds = lull_expr_repeat(c->g, round, min, max);
    uint32_t max_rest = max == LULL_UNBOUNDED ? max : max - 1;
    lull_expr rest = lull_expr_repeat(c->g, round, min ? min - 1 : 0, max_rest);
    lull_expr options[3] = {lull_expr_sequence(c->g, (lull_expr[]){is_not, more, rounds}, 3),
                            lull_expr_sequence(c->g, (lull_expr[]){is_it, more, rest}, 3),
                            lull_expr_empty(c->g)};
    *out = in_brackets(c, lull_expr_choice(c->g, options, min == 0 ? 3 : 2));
done:
    free(with.items);
    free(without.items);
    return st;
}

lull_status lull_items_write(lull_compiler *c, const lull_shape *s, lull_expr *out)
{
    size_t n_prefix;
    uint64_t min = s->min_items, max = s->max_items;
    lull_expr item, body;
    lull_status st;
    LULL_TRY(lull_items_prefix(c, s, &n_prefix));
    if (s->unique != NONE && max > 1) return write_unique(c, s, n_prefix, out);
    if (s->contains != NONE) return write_contains(c, s, n_prefix, out);
    if (n_prefix > max) n_prefix = (size_t)max;
    /* From the back: what may follow the first i items. */
    LULL_TRY(item_rule(c, s, n_prefix, &item));
    uint64_t min_rest = min > n_prefix ? min - n_prefix : 0;
    uint64_t max_rest = max == UINT64_MAX ? max : max - n_prefix;
    if (n_prefix == 0) {
        uint64_t min_more = min_rest ? min_rest - 1 : 0,
                 max_more = max_rest == UINT64_MAX ? max_rest : max_rest - 1;
        lull_expr more =
            lull_expr_repeat(c->g, after_comma(c, item), as_count(min_more), as_count(max_more));
        lull_expr some = lull_expr_sequence(c->g, (lull_expr[]){item, more}, 2);
        body =
            max_rest == 0 ? lull_expr_empty(c->g) : lull_expr_repeat(c->g, some, min_rest > 0, 1);
    } else {
        body = lull_expr_repeat(c->g, after_comma(c, item), as_count(min_rest), as_count(max_rest));
    }
    for (size_t i = n_prefix; i-- > 0;) {
        LULL_TRY(lull_schema_step(c, 4));
        LULL_TRY(item_rule(c, s, i, &item));
        body = lull_expr_sequence(c->g, (lull_expr[]){i ? after_comma(c, item) : item, body}, 2);
        if (i >= min) body = lull_expr_repeat(c->g, body, 0, 1);
    }
    *out = in_brackets(c, body);
done:
    return st;
}
