/* From goals to shapes: the keywords that offer a choice are decided, one shape for each way,
 * and shapes that nothing satisfies are dropped as early as that shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema_private.h"

enum { NONE = UINT32_MAX, MAX_OPEN = 24, PRUNE_LOOK = 2, DISJOINT_LOOK = 4 };

static lull_status no_memory(lull_compiler *c)
{
    return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
}

lull_status lull_shape_add(lull_compiler *c, lull_work *w, const lull_shape *s)
{
    if (s->types == 0) return LULL_OK;
    if (w->n >= LULL_SCHEMA_MAX_SHAPES) {
        uint32_t at = s->todo ? s->todo->schema : s->choices ? s->choices->schema : 0;
        return lull_schema_fail(c, LULL_EFULL, at, NULL,
                                "more than %d combinations of \"anyOf\", \"oneOf\", \"if\" and the "
                                "like for one value; fewer would do",
                                LULL_SCHEMA_MAX_SHAPES);
    }
    if (w->n == w->cap) {
        uint32_t more = w->cap ? 2 * w->cap : 8;
        lull_shape *p = realloc(w->shapes, more * sizeof *p);
        if (!p) return no_memory(c);
        w->shapes = p;
        w->cap = more;
    }
    w->shapes[w->n++] = *s;
    return LULL_OK;
}

lull_status lull_shape_todo(lull_compiler *c, lull_shape *s, lull_todo_kind kind, uint32_t schema,
                            size_t index)
{
    lull_todo *todo = lull_schema_alloc(c, sizeof *todo);
    if (!todo) return c->err->code;
    const lull_todo **list = kind == LULL_TODO_HOLDS ? &s->todo : &s->choices;
    *todo = (lull_todo){.schema = schema, .kind = (uint8_t)kind, .index = index, .next = *list};
    *list = todo;
    return LULL_OK;
}

lull_status lull_shape_fact(lull_compiler *c, lull_shape *s, const char *key, int kind,
                            lull_literal literal)
{
    lull_fact *fact = lull_schema_alloc(c, sizeof *fact);
    if (!fact) return c->err->code;
    const lull_fact **list = kind == LULL_FACT_HOLDS ? &s->rules : &s->facts;
    *fact = (lull_fact){
        .key = key, .n_key = strlen(key), .kind = kind, .literal = literal, .next = *list};
    *list = fact;
    return LULL_OK;
}

/* ---- what nothing satisfies ------------------------------------------------------------------ */

static bool is_absent(const lull_shape *s, const char *key)
{
    for (const lull_fact *f = s->facts; f; f = f->next)
        if (f->kind == LULL_FACT_ABSENT && strcmp(f->key, key) == 0) return true;
    return false;
}

static bool are_members_contradictory(const lull_shape *s)
{
    bool has_absent = false;
    if (s->min_members > s->max_members) return true;
    for (const lull_fact *f = s->facts; f; f = f->next) has_absent |= f->kind == LULL_FACT_ABSENT;
    for (const lull_fact *f = s->facts; f && has_absent; f = f->next)
        if (f->kind == LULL_FACT_REQUIRED && is_absent(s, f->key)) return true;
    return false;
}

/* Strike out the types that nothing is of, as far as the shape itself tells. */
static lull_status settle(lull_compiler *c, lull_shape *s)
{
    lull_status st = LULL_OK;
    bool is_empty = false, is_strict = false;
    if (s->types & LULL_JSON_NUMBER) {
        LULL_TRY(lull_numbers_settle(c, &s->numbers, &is_empty));
        if (is_empty) s->types &= (uint8_t)~LULL_JSON_NUMBER;
    }
    if (s->types & LULL_JSON_STRING) {
        LULL_TRY(lull_strings_settle(c, &s->strings, &is_empty, &is_strict));
        if (is_empty) s->types &= (uint8_t)~LULL_JSON_STRING;
        if (is_empty && is_strict) s->is_unsure = true;
    }
    if (s->types & LULL_JSON_ARRAY && s->min_items > s->max_items)
        s->types &= (uint8_t)~LULL_JSON_ARRAY;
    if (s->types & LULL_JSON_OBJECT && are_members_contradictory(s))
        s->types &= (uint8_t)~LULL_JSON_OBJECT;
done:
    return st;
}

/* Whether a member that is required, or an item, cannot be: strikes out their types. */
static lull_status look_below(lull_compiler *c, lull_shape *s, bool is_exact, unsigned look)
{
    lull_status st = LULL_OK;
    bool is_empty = false;
    lull_goal goal;
    if (s->types & LULL_JSON_OBJECT) {
        for (const lull_fact *f = s->facts; f && !is_empty; f = f->next) {
            if (f->kind != LULL_FACT_REQUIRED) continue;
            LULL_TRY(lull_member_goal(c, s, f->key, f->n_key, &goal));
            LULL_TRY(lull_goal_is_empty(c, goal, is_exact, look - 1, &is_empty));
        }
        if (is_empty) s->types &= (uint8_t)~LULL_JSON_OBJECT;
    }
    is_empty = false;
    if (s->types & LULL_JSON_ARRAY) {
        size_t n_prefix;
        LULL_TRY(lull_items_prefix(c, s, &n_prefix));
        for (size_t i = 0; i <= n_prefix && i < s->min_items && !is_empty; i++) {
            LULL_TRY(lull_item_goal(c, s, i, &goal));
            LULL_TRY(lull_goal_is_empty(c, goal, is_exact, look - 1, &is_empty));
        }
        if (is_empty) s->types &= (uint8_t)~LULL_JSON_ARRAY;
    }
done:
    return st;
}

lull_status lull_goal_is_empty(lull_compiler *c, lull_goal goal, bool is_exact, unsigned look,
                               bool *is_empty)
{
    lull_goal_facts *f = &c->goals[goal];
    *is_empty = f->is_empty[is_exact];
    if (*is_empty || f->is_open || look == 0 || f->look[is_exact] >= look) return LULL_OK;
    if (!f->is_expanded && c->n_open >= MAX_OPEN) return LULL_OK;
    lull_status st = lull_goal_expand(c, goal);
    if (st != LULL_OK) return st;
    f = &c->goals[goal]; /* the table may have moved */
    if (is_exact && f->is_unsure) return LULL_OK;
    bool found = false;
    f->is_open = true; /* one that contains itself says nothing about itself */
    for (uint32_t i = 0; i < c->goals[goal].n_shapes && !found && st == LULL_OK; i++) {
        lull_shape s = c->goals[goal].shapes[i];
        if ((s.types & ~(LULL_JSON_ARRAY | LULL_JSON_OBJECT)) == 0)
            st = look_below(c, &s, is_exact, look);
        found = s.types != 0;
    }
    f = &c->goals[goal];
    f->is_open = false;
    if (st != LULL_OK) return st;
    *is_empty = f->is_empty[is_exact] = !found;
    if (found) f->look[is_exact] = (uint8_t)look;
    return LULL_OK;
}

/* ---- choices --------------------------------------------------------------------------------- */

/* is_rough: for the question whether anything is possible: denials and "oneOf" may admit more. */
static lull_status expand(lull_compiler *c, const lull_shape *from, bool is_rough, lull_work *out,
                          bool *is_unsure);

/* Whether schemas a and b exclude each other beside what s asks already. */
static lull_status are_disjoint(lull_compiler *c, const lull_shape *s, uint32_t a, uint32_t b,
                                bool *out)
{
    lull_work found = {0};
    lull_shape both = *s;
    bool is_unsure = false;
    lull_status st;
    *out = false;
    both.choices = NULL;
    LULL_TRY(lull_shape_todo(c, &both, LULL_TODO_HOLDS, a, 0));
    LULL_TRY(lull_shape_todo(c, &both, LULL_TODO_HOLDS, b, 0));
    LULL_TRY(expand(c, &both, true, &found, &is_unsure));
    bool is_possible = is_unsure;
    for (uint32_t i = 0; i < found.n && !is_possible; i++) {
        LULL_TRY(look_below(c, &found.shapes[i], true, DISJOINT_LOOK));
        is_possible = found.shapes[i].types != 0;
    }
    *out = !is_possible;
done:
    free(found.shapes);
    return st;
}

/* The number of a schema in a list of a keyword. */
static lull_status branch_at(lull_compiler *c, uint32_t schema, const char *keyword, size_t i,
                             uint32_t *out)
{
    const json_t *list = json_object_get(c->schemas[schema].value, keyword);
    char name[24];
    snprintf(name, sizeof name, "%zu", i);
    return lull_schema_at(c, json_array_get(list, i), schema, keyword, name, out);
}

static lull_status choose_any(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              const char *keyword, lull_work *out)
{
    lull_status st = LULL_OK;
    size_t n = json_array_size(json_object_get(c->schemas[schema].value, keyword));
    for (size_t i = n; i-- > 0;) {
        uint32_t branch;
        lull_shape alternative = *s;
        LULL_TRY(branch_at(c, schema, keyword, i, &branch));
        LULL_TRY(lull_shape_todo(c, &alternative, LULL_TODO_HOLDS, branch, 0));
        LULL_TRY(lull_shape_add(c, out, &alternative));
    }
done:
    return st;
}

/* Each branch, and not those of the others that may hold with it. */
static lull_status choose_one(lull_compiler *c, const lull_shape *s, uint32_t schema,
                              lull_work *out)
{
    size_t n = json_array_size(json_object_get(c->schemas[schema].value, "oneOf"));
    lull_status st = lull_schema_step(c, n * n);
    lull_shape *alternatives = calloc(n + 1, sizeof *alternatives);
    uint32_t *branches = calloc(n + 1, sizeof *branches);
    if (!alternatives || !branches) st = no_memory(c);
    if (st != LULL_OK) goto done;
    for (size_t i = 0; i < n; i++) {
        LULL_TRY(branch_at(c, schema, "oneOf", i, &branches[i]));
        alternatives[i] = *s;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            bool is_disjoint;
            LULL_TRY(are_disjoint(c, s, branches[i], branches[k], &is_disjoint));
            if (is_disjoint) continue;
            LULL_TRY(lull_shape_todo(c, &alternatives[i], LULL_TODO_FAILS, branches[k], 0));
            LULL_TRY(lull_shape_todo(c, &alternatives[k], LULL_TODO_FAILS, branches[i], 0));
        }
    for (size_t i = n; i-- > 0;) {
        LULL_TRY(lull_shape_todo(c, &alternatives[i], LULL_TODO_HOLDS, branches[i], 0));
        LULL_TRY(lull_shape_add(c, out, &alternatives[i]));
    }
done:
    free(alternatives);
    free(branches);
    return st;
}

static lull_status choose_if(lull_compiler *c, const lull_shape *s, uint32_t schema, lull_work *out)
{
    const json_t *value = c->schemas[schema].value;
    const json_t *then = json_object_get(value, "then"),
                 *otherwise = json_object_get(value, "else");
    uint32_t condition, consequence;
    lull_shape yes = *s, no = *s;
    lull_status st;
    LULL_TRY(lull_schema_at(c, json_object_get(value, "if"), schema, "if", NULL, &condition));
    LULL_TRY(lull_shape_todo(c, &yes, LULL_TODO_HOLDS, condition, 0));
    LULL_TRY(lull_shape_todo(c, &no, LULL_TODO_FAILS, condition, 0));
    if (then) {
        LULL_TRY(lull_schema_at(c, then, schema, "then", NULL, &consequence));
        LULL_TRY(lull_shape_todo(c, &yes, LULL_TODO_HOLDS, consequence, 0));
    }
    if (otherwise) {
        LULL_TRY(lull_schema_at(c, otherwise, schema, "else", NULL, &consequence));
        LULL_TRY(lull_shape_todo(c, &no, LULL_TODO_HOLDS, consequence, 0));
    }
    LULL_TRY(lull_shape_add(c, out, &no));
    LULL_TRY(lull_shape_add(c, out, &yes));
done:
    return st;
}

static lull_status choose_value(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                lull_work *out)
{
    const json_t *list = json_object_get(c->schemas[schema].value, "enum");
    const json_t *one = json_object_get(c->schemas[schema].value, "const");
    size_t n = list ? json_array_size(list) : 1, n_scalars = 0;
    const json_t **scalars = malloc((n + 1) * sizeof *scalars);
    lull_status st = scalars ? LULL_OK : no_memory(c);
    for (size_t i = 0; i < n && st == LULL_OK; i++) {
        const json_t *v = list ? json_array_get(list, i) : one;
        uint8_t type = json_is_array(v)    ? LULL_JSON_ARRAY
                       : json_is_object(v) ? LULL_JSON_OBJECT
                                           : 0;
        if (!type) scalars[n_scalars++] = v;
        if (!(s->types & type)) continue;
        lull_shape alternative = *s;
        uint32_t made;
        alternative.types = type;
        LULL_TRY(lull_schema_const(c, v, schema, &made));
        LULL_TRY(lull_shape_todo(c, &alternative, LULL_TODO_HOLDS, made, 0));
        LULL_TRY(lull_shape_add(c, out, &alternative));
    }
    if (st == LULL_OK && n_scalars > 0) {
        lull_shape alternative = *s;
        LULL_TRY(lull_shape_one_of(c, &alternative, schema, scalars, n_scalars));
        LULL_TRY(lull_shape_add(c, out, &alternative));
    }
done:
    free(scalars);
    return st;
}

static json_t *member_at(const json_t *object, size_t index, const char **key)
{
    json_t *part;
    json_object_foreach((json_t *)object, *key, part)
    {
        if (index-- == 0) return part;
    }
    return NULL;
}

/* "dependentRequired", "dependentSchemas": the key is absent; or it is there, with what it
 * brings. */
static lull_status choose_absent(lull_compiler *c, const lull_shape *s, const lull_todo *todo,
                                 lull_work *out)
{
    const char *keyword =
        todo->kind == LULL_TODO_NEEDS_KEYS ? "dependentRequired" : "dependentSchemas";
    const json_t *all = json_object_get(c->schemas[todo->schema].value, keyword);
    const char *key;
    const json_t *needs = member_at(all, todo->index, &key);
    lull_literal none = {0, false};
    lull_shape without = *s, with = *s;
    lull_status st;
    with.types &= LULL_JSON_OBJECT;
    LULL_TRY(lull_shape_fact(c, &without, key, LULL_FACT_ABSENT, none));
    LULL_TRY(lull_shape_fact(c, &with, key, LULL_FACT_REQUIRED, none));
    if (todo->kind == LULL_TODO_NEEDS_KEYS) {
        for (size_t i = 0; i < json_array_size(needs); i++) {
            const char *other = json_string_value(json_array_get(needs, i));
            if (!other)
                return lull_schema_fail(c, LULL_EINVAL, todo->schema, keyword,
                                        "lists of keys are wanted");
            LULL_TRY(lull_shape_fact(c, &with, other, LULL_FACT_REQUIRED, none));
        }
    } else {
        uint32_t schema;
        LULL_TRY(lull_schema_at(c, needs, todo->schema, keyword, key, &schema));
        LULL_TRY(lull_shape_todo(c, &with, LULL_TODO_HOLDS, schema, 0));
    }
    LULL_TRY(lull_shape_add(c, out, &without));
    LULL_TRY(lull_shape_add(c, out, &with));
done:
    return st;
}

static lull_status choose(lull_compiler *c, const lull_shape *s, const lull_todo *todo,
                          bool is_rough, lull_work *out)
{
    switch ((lull_todo_kind)todo->kind) {
    case LULL_TODO_FAILS:
        return is_rough ? lull_shape_add(c, out, s) : lull_shape_fail(c, s, todo->schema, out);
    case LULL_TODO_ANY_OF: return choose_any(c, s, todo->schema, "anyOf", out);
    case LULL_TODO_ONE_OF:
        return is_rough ? choose_any(c, s, todo->schema, "oneOf", out)
                        : choose_one(c, s, todo->schema, out);
    case LULL_TODO_IF: return choose_if(c, s, todo->schema, out);
    case LULL_TODO_ENUM: return choose_value(c, s, todo->schema, out);
    case LULL_TODO_NEEDS_KEYS:
    case LULL_TODO_NEEDS_SCHEMA: return choose_absent(c, s, todo, out);
    case LULL_TODO_HOLDS: break;
    }
    return LULL_OK;
}

static lull_status expand(lull_compiler *c, const lull_shape *from, bool is_rough, lull_work *out,
                          bool *is_unsure)
{
    lull_work stack = {0};
    lull_status st;
    bool has_branched = false;
    c->n_open++;
    LULL_TRY(lull_shape_add(c, &stack, from));
    while (stack.n > 0) {
        lull_shape s = stack.shapes[--stack.n];
        LULL_TRY(lull_schema_step(c, 2));
        while (s.todo && s.types) {
            uint32_t schema = s.todo->schema;
            s.todo = s.todo->next;
            LULL_TRY(lull_schema_step(c, 2));
            LULL_TRY(lull_shape_hold(c, &s, schema));
        }
        if (!s.types) continue;
        LULL_TRY(settle(c, &s));
        if (s.choices && has_branched) LULL_TRY(look_below(c, &s, true, PRUNE_LOOK));
        if (!s.types) {
            *is_unsure |= s.is_unsure;
            continue;
        }
        if (!s.choices) {
            *is_unsure |= s.is_unsure;
            LULL_TRY(lull_shape_add(c, out, &s));
            continue;
        }
        const lull_todo *todo = s.choices;
        uint32_t n = stack.n;
        s.choices = todo->next;
        LULL_TRY(choose(c, &s, todo, is_rough, &stack));
        has_branched |= stack.n > n + 1;
        if (stack.n + out->n > LULL_SCHEMA_MAX_SHAPES) {
            s.choices = todo;
            LULL_TRY(lull_shape_add(c, &(lull_work){.n = LULL_SCHEMA_MAX_SHAPES}, &s));
        }
    }
done:
    c->n_open--;
    free(stack.shapes);
    return st;
}

/* ---- goals ----------------------------------------------------------------------------------- */

/* Whether b admits nothing of that type that a does not, for the plain cases. */
static bool covers(const lull_shape *a, const lull_shape *b, uint8_t type)
{
    const lull_numbers *m = &a->numbers, *n = &b->numbers;
    const lull_strings *r = &a->strings, *s = &b->strings;
    switch (type) {
    case LULL_JSON_NUMBER:
        if (!m->list && !m->min && !m->max && !m->is_integer && !m->in) return true;
        return m->list == n->list && m->n_list == n->n_list && m->min == n->min &&
               m->max == n->max && m->in == n->in && m->is_integer == n->is_integer &&
               m->is_above == n->is_above && m->is_below == n->is_below;
    case LULL_JSON_STRING:
        if (!r->list && r->min == 0 && r->max == LULL_REGULAR_ANY && !r->in) return true;
        return r->list == s->list && r->n_list == s->n_list && r->min == s->min &&
               r->max == s->max && r->in == s->in;
    case LULL_JSON_ARRAY:
        return (!a->arrays || a->arrays == b->arrays) &&
               (!a->item_facts || a->item_facts == b->item_facts) &&
               (!a->n_every_item || a->every_item == b->every_item) &&
               (a->unique == NONE || a->unique == b->unique) &&
               (a->contains == NONE || a->contains == b->contains) &&
               a->min_items <= b->min_items && a->max_items >= b->max_items;
    case LULL_JSON_OBJECT:
        return (!a->objects || a->objects == b->objects) && (!a->facts || a->facts == b->facts) &&
               (!a->rules || a->rules == b->rules) &&
               (!a->n_key_names || a->key_names == b->key_names) &&
               a->min_members <= b->min_members && a->max_members >= b->max_members;
    default: return true;
    }
}

/* What one shape admits need not stand in another, where that is plain. */
static void drop_covered(lull_work *w)
{
    size_t n = w->n < 64 ? w->n : 64;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            if (i == k) continue;
            for (uint8_t type = LULL_JSON_NULL; type <= LULL_JSON_OBJECT; type <<= 1)
                if (w->shapes[i].types & w->shapes[k].types & type &&
                    covers(&w->shapes[i], &w->shapes[k], type))
                    w->shapes[k].types &= (uint8_t)~type;
        }
}

lull_status lull_goal_expand(lull_compiler *c, lull_goal goal)
{
    if (c->goals[goal].is_expanded) return LULL_OK;
    lull_work found = {0};
    bool is_unsure = false;
    lull_status st = LULL_OK;
    lull_shape any = {.types = LULL_JSON_ALL,
                      .strings = {.max = LULL_REGULAR_ANY},
                      .max_items = UINT64_MAX,
                      .max_members = UINT64_MAX,
                      .unique = NONE,
                      .contains = NONE};
    c->goals[goal].is_open = true;
    for (size_t i = c->goals[goal].n_literals; i-- > 0;) {
        lull_literal l = c->goals[goal].literals[i];
        LULL_TRY(lull_shape_todo(c, &any, l.is_negated ? LULL_TODO_FAILS : LULL_TODO_HOLDS,
                                 l.schema, 0));
    }
    LULL_TRY(expand(c, &any, false, &found, &is_unsure));
    drop_covered(&found);
    lull_shape *kept = lull_schema_alloc(c, found.n * sizeof *kept);
    if (!kept) LULL_TRY(c->err->code);
    uint32_t n = 0;
    for (uint32_t i = 0; i < found.n; i++)
        if (found.shapes[i].types) kept[n++] = found.shapes[i];
    lull_goal_facts *f = &c->goals[goal];
    f->shapes = kept;
    f->n_shapes = n;
    f->is_unsure = is_unsure;
    f->is_expanded = true;
    if (n == 0) f->is_empty[0] = true;
    if (n == 0 && !is_unsure) f->is_empty[1] = true;
done:
    c->goals[goal].is_open = false;
    free(found.shapes);
    return st;
}
