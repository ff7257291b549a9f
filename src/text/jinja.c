/* The interpreter: walks the nodes of a parsed template. */
#include "jinja.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jinja_ast.h"
#include "jinja_lib.h"
#include "jinja_text.h"

struct lull_jinja {
    lull_arena arena;
    char *source; /* owned by the arena */
    lull_jinja_nodes body;
};

typedef struct variable {
    lull_jinja_text name;
    lull_jinja_value value;
} variable;

/* Names that are visible in a part of the template; looked up inwards out. */
typedef struct scope {
    struct scope *outer;
    variable *variables;
    size_t n, cap;
    bool is_kept; /* a macro or loop may look here again: not to be used for another */
} scope;

typedef enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;

/* One level of a for loop. */
typedef struct loop {
    const lull_jinja_list *items;
    size_t at;
    int level;
    const lull_jinja_node *node; /* of a recursive loop, to run its body again */
    scope *outer;
    bool has_last_changed;
    lull_jinja_value last_changed;
} loop;

typedef struct macro {
    lull_jinja_text name; /* first: lull_jinja_print reads it there */
    const lull_jinja_node *node;
    scope *scope; /* where it was defined */
} macro;

/* A method of the loop object. */
typedef struct loop_method {
    loop *loop;
    bool is_cycle; /* else changed */
} loop_method;

typedef struct interpreter {
    lull_jinja_run run;
    lull_jinja_host host;
    lull_buffer *out;
    scope *scope;
    scope *unused; /* of scopes that were left */
    const lull_jinja_dict *vars;
} interpreter;

static bool eval(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out);
static bool exec_body(interpreter *x, const lull_jinja_nodes *body, flow *f);
static bool call_value(void *user, const lull_jinja_value *callee, const lull_jinja_args *args,
                       lull_jinja_value *out);

static void stand_at(interpreter *x, const lull_jinja_node *n)
{
    x->run.line = n->line;
    x->run.column = n->column;
}

static bool enter(interpreter *x, const lull_jinja_node *n)
{
    stand_at(x, n);
    if (++x->run.depth > LULL_JINJA_MAX_DEPTH)
        return lull_jinja_fail(&x->run, LULL_EFULL, "it is nested too deeply");
    return lull_jinja_step(&x->run, 1);
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_same(lull_jinja_text a, lull_jinja_text b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static variable *find_in(const scope *s, lull_jinja_text name)
{
    for (size_t i = 0; i < s->n; i++)
        if (is_same(s->variables[i].name, name)) return &s->variables[i];
    return NULL;
}

static bool define(interpreter *x, lull_jinja_text name, lull_jinja_value v)
{
    scope *s = x->scope;
    variable *old = find_in(s, name);
    if (!lull_jinja_step(&x->run, s->n / 16)) return false;
    if (old) {
        old->value = v;
        return true;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        variable *variables = lull_jinja_alloc(&x->run, cap * sizeof *variables);
        if (!variables) return false;
        if (s->n > 0) memcpy(variables, s->variables, s->n * sizeof *variables);
        s->variables = variables;
        s->cap = cap;
    }
    s->variables[s->n++] = (variable){name, v};
    return true;
}

static bool look_up(interpreter *x, lull_jinja_text name, lull_jinja_value *out)
{
    for (const scope *s = x->scope; s; s = s->outer) {
        const variable *v = find_in(s, name);
        if (!lull_jinja_step(&x->run, 1 + s->n / 16)) return false;
        if (v) {
            *out = v->value;
            return true;
        }
    }
    const lull_jinja_value *v = lull_jinja_get_name(&x->run, x->vars, name);
    if (v)
        *out = *v;
    else if (!lull_jinja_find_global(name, out))
        *out = lull_jinja_undefined(name);
    return x->run.status == LULL_OK;
}

/* Enter a new scope within outer. NULL: failed; else the scope to be given to pop_scope. */
static scope *push_scope(interpreter *x, scope *outer)
{
    scope *s = x->unused, *before = x->scope;
    if (s)
        x->unused = s->outer;
    else if (!(s = lull_jinja_alloc(&x->run, sizeof *s)))
        return NULL;
    s->outer = outer;
    s->n = 0;
    x->scope = s;
    return before;
}

static void pop_scope(interpreter *x, scope *before)
{
    scope *s = x->scope;
    x->scope = before;
    if (s->is_kept) return;
    s->outer = x->unused;
    x->unused = s;
}

static void keep_scopes(scope *s)
{
    for (; s && !s->is_kept; s = s->outer) s->is_kept = true;
}

static bool assign(interpreter *x, const lull_jinja_node *target, lull_jinja_value v)
{
    stand_at(x, target);
    if (target->kind == LULL_JINJA_NAME) return define(x, target->name, v);
    if (target->kind == LULL_JINJA_NAMESPACE_REF) {
        lull_jinja_value object;
        if (!look_up(x, target->name, &object)) return false;
        if (object.type != LULL_JINJA_NAMESPACE)
            return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "'%.*s' is not a namespace",
                                   (int)target->name.n, target->name.s);
        return lull_jinja_set(&x->run, object.as.dict,
                              lull_jinja_string(target->name2.s, target->name2.n), v);
    }
    lull_jinja_list items;
    if (!lull_jinja_iterate(&x->run, &v, &items)) return false;
    if (items.n != target->items.n)
        return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "%zu values for %zu names", items.n,
                               target->items.n);
    for (size_t i = 0; i < items.n; i++)
        if (!assign(x, target->items.items[i], items.items[i])) return false;
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool eval_args(interpreter *x, const lull_jinja_node *n, lull_jinja_args *args)
{
    lull_jinja_run *r = &x->run;
    lull_jinja_value list;
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, n->items.n, &list)) return false;
    for (size_t i = 0; i < n->items.n; i++) {
        lull_jinja_value v;
        if (!eval(x, n->items.items[i], &v) || !lull_jinja_push(r, list.as.list, v)) return false;
    }
    if (n->star) {
        lull_jinja_value v;
        lull_jinja_list more;
        if (!eval(x, n->star, &v) || !lull_jinja_iterate(r, &v, &more)) return false;
        for (size_t i = 0; i < more.n; i++)
            if (!lull_jinja_push(r, list.as.list, more.items[i])) return false;
    }
    lull_jinja_value more = {0};
    size_t n_more = 0;
    if (n->star_star) {
        if (!eval(x, n->star_star, &more)) return false;
        if (!lull_jinja_is_dict(&more))
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "** needs a dict, not %s",
                                   lull_jinja_type_name(&more));
        n_more = more.as.dict->n;
    }
    *args = (lull_jinja_args){.items = list.as.list->items, .n = list.as.list->n};
    size_t n_named = n->keywords.n + n_more;
    if (n_named == 0) return true;
    args->names = lull_jinja_alloc(r, n_named * sizeof *args->names);
    args->named = lull_jinja_alloc(r, n_named * sizeof *args->named);
    if (!args->names || !args->named) return false;
    for (size_t i = 0; i < n->keywords.n; i++) {
        args->names[args->n_named] = n->keywords.items[i]->name;
        if (!eval(x, n->keywords.items[i]->a, &args->named[args->n_named])) return false;
        args->n_named++;
    }
    for (size_t i = 0; i < n_more; i++) {
        const lull_jinja_pair *p = &more.as.dict->pairs[i];
        if (p->key.type != LULL_JINJA_STRING)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "names of arguments must be strings");
        args->names[args->n_named] = p->key.as.text;
        args->named[args->n_named++] = p->value;
    }
    for (size_t i = 1; i < n_named; i++) {
        if (!lull_jinja_step(r, 1 + i / 16)) return false;
        for (size_t k = 0; k < i; k++)
            if (is_same(args->names[i], args->names[k]))
                return lull_jinja_fail(r, LULL_EUNSUPPORTED, "argument '%.*s' is given twice",
                                       (int)args->names[i].n, args->names[i].s);
    }
    return true;
}

static bool bind_parameters(interpreter *x, const lull_jinja_node *node,
                            const lull_jinja_args *args)
{
    static const lull_jinja_text varargs = {"varargs", 7}, kwargs = {"kwargs", 6},
                                 caller = {"caller", 6};
    lull_jinja_run *r = &x->run;
    size_t n = node->items.n, first_default = n - node->defaults.n;
    bool *is_used = lull_jinja_alloc(r, args->n_named + 1);
    if (!is_used) return false;
    bool *is_given = lull_jinja_alloc(r, n + 1);
    if (!is_given) return false;
    for (size_t i = 0; i < n; i++) {
        lull_jinja_text name = node->items.items[i]->name;
        lull_jinja_value v = lull_jinja_undefined(name);
        is_given[i] = i < args->n;
        if (is_given[i]) v = args->items[i];
        for (size_t k = 0; k < args->n_named && !is_given[i]; k++)
            if (is_same(args->names[k], name)) {
                v = args->named[k];
                is_given[i] = is_used[k] = true;
            }
        if (!lull_jinja_step(r, args->n_named / 16) || !define(x, name, v)) return false;
    }
    /* Defaults see all parameters. */
    for (size_t i = first_default; i < n; i++) {
        lull_jinja_value v;
        if (!is_given[i] && (!eval(x, node->defaults.items[i - first_default], &v) ||
                             !define(x, node->items.items[i]->name, v)))
            return false;
    }
    bool takes_kwargs = node->uses & LULL_JINJA_USES_KWARGS;
    bool takes_caller = (node->uses & LULL_JINJA_USES_CALLER) && !find_in(x->scope, caller);
    lull_jinja_value rest;
    if (takes_caller && !define(x, caller, lull_jinja_undefined(caller))) return false;
    if (!lull_jinja_new_dict(r, &rest)) return false;
    for (size_t k = 0; k < args->n_named; k++) {
        if (is_used[k]) continue;
        if (takes_caller && is_same(args->names[k], caller)) {
            if (!define(x, caller, args->named[k])) return false;
        } else if (!takes_kwargs) {
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "macro '%.*s' has no argument '%.*s'",
                                   (int)node->name.n, node->name.s, (int)args->names[k].n,
                                   args->names[k].s);
        } else if (!lull_jinja_set(r, rest.as.dict,
                                   lull_jinja_string(args->names[k].s, args->names[k].n),
                                   args->named[k])) {
            return false;
        }
    }
    if (takes_kwargs && !define(x, kwargs, rest)) return false;
    bool takes_varargs = node->uses & LULL_JINJA_USES_VARARGS;
    if (args->n > n && !takes_varargs)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "macro '%.*s' takes at most %zu arguments",
                               (int)node->name.n, node->name.s, n);
    if (!takes_varargs) return true;
    if (!lull_jinja_new_list(r, LULL_JINJA_TUPLE, 4, &rest)) return false;
    for (size_t i = n; i < args->n; i++)
        if (!lull_jinja_push(r, rest.as.list, args->items[i])) return false;
    return define(x, varargs, rest);
}

/* Run a body with its output captured as a string. */
static bool capture(interpreter *x, const lull_jinja_nodes *body, flow *f, lull_jinja_value *out)
{
    lull_buffer captured = {0}, *before = x->out;
    x->out = &captured;
    bool is_ok = exec_body(x, body, f);
    x->out = before;
    if (is_ok) return lull_jinja_take_buffer(&x->run, &captured, out);
    lull_buffer_fini(&captured);
    return false;
}

static bool call_macro(interpreter *x, const macro *m, const lull_jinja_args *args,
                       lull_jinja_value *out)
{
    flow f = FLOW_ON;
    if (!enter(x, m->node)) return false;
    scope *before = push_scope(x, m->scope);
    if (!before) return false;
    bool is_ok = bind_parameters(x, m->node, args) && capture(x, &m->node->body, &f, out);
    pop_scope(x, before);
    x->run.depth--;
    return is_ok;
}

static bool run_loop(interpreter *x, const lull_jinja_node *n, lull_jinja_value iterable,
                     scope *outer, int level, flow *f);

static bool call_loop(interpreter *x, loop *l, const lull_jinja_args *args, lull_jinja_value *out)
{
    if (!l->node->is_recursive || args->n != 1)
        return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "the loop is not recursive");
    lull_buffer captured = {0}, *before = x->out;
    flow f = FLOW_ON;
    x->out = &captured;
    bool is_ok = run_loop(x, l->node, args->items[0], l->outer, l->level + 1, &f);
    x->out = before;
    if (is_ok) return lull_jinja_take_buffer(&x->run, &captured, out);
    lull_buffer_fini(&captured);
    return false;
}

static bool call_loop_method(interpreter *x, loop_method *m, const lull_jinja_args *args,
                             lull_jinja_value *out)
{
    lull_jinja_run *r = &x->run;
    if (m->is_cycle) {
        if (args->n == 0) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "no items to cycle through");
        *out = args->items[m->loop->at % args->n];
        return true;
    }
    lull_jinja_value now;
    bool is_equal = false;
    if (!lull_jinja_new_list(r, LULL_JINJA_TUPLE, args->n, &now)) return false;
    for (size_t i = 0; i < args->n; i++)
        if (!lull_jinja_push(r, now.as.list, args->items[i])) return false;
    if (m->loop->has_last_changed && !lull_jinja_equal(r, &now, &m->loop->last_changed, &is_equal))
        return false;
    m->loop->has_last_changed = true;
    m->loop->last_changed = now;
    *out = lull_jinja_bool(!is_equal);
    return true;
}

static bool call_value(void *user, const lull_jinja_value *callee, const lull_jinja_args *args,
                       lull_jinja_value *out)
{
    interpreter *x = user;
    switch (callee->type) {
    case LULL_JINJA_MACRO: return call_macro(x, callee->as.object, args, out);
    case LULL_JINJA_FUNCTION: return lull_jinja_call_global(&x->host, callee, args, out);
    case LULL_JINJA_METHOD: return lull_jinja_call_method(&x->host, callee, args, out);
    case LULL_JINJA_LOOP: return call_loop(x, callee->as.object, args, out);
    case LULL_JINJA_LOOP_METHOD: return call_loop_method(x, callee->as.object, args, out);
    case LULL_JINJA_UNDEFINED:
        return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "'%.*s' is undefined",
                               (int)callee->as.text.n, callee->as.text.s);
    default:
        return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "'%s' object is not callable",
                               lull_jinja_type_name(callee));
    }
}

/* ---- expressions ----------------------------------------------------------------------------- */

static bool loop_attribute(interpreter *x, loop *l, lull_jinja_text name, lull_jinja_value *out)
{
    int64_t n = (int64_t)l->items->n, at = (int64_t)l->at;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index", at + 1},         {"index0", at}, {"revindex", n - at},
                   {"revindex0", n - at - 1}, {"length", n},  {"depth", l->level + 1},
                   {"depth0", l->level}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (lull_jinja_text_is(name, numbers[i].name)) {
            *out = lull_jinja_int(numbers[i].value);
            return true;
        }
    *out = lull_jinja_undefined(name);
    if (lull_jinja_text_is(name, "first")) *out = lull_jinja_bool(at == 0);
    if (lull_jinja_text_is(name, "last")) *out = lull_jinja_bool(at + 1 == n);
    if (lull_jinja_text_is(name, "previtem") && at > 0) *out = l->items->items[at - 1];
    if (lull_jinja_text_is(name, "nextitem") && at + 1 < n) *out = l->items->items[at + 1];
    bool is_cycle = lull_jinja_text_is(name, "cycle");
    if (is_cycle || lull_jinja_text_is(name, "changed")) {
        loop_method *m = lull_jinja_alloc(&x->run, sizeof *m);
        if (!m) return false;
        *m = (loop_method){l, is_cycle};
        *out = (lull_jinja_value){LULL_JINJA_LOOP_METHOD, {.object = m}};
    }
    return true;
}

/* A bound of a slice; *is_given false for None. */
static bool slice_bound(interpreter *x, const lull_jinja_node *n, int64_t *out, bool *is_given)
{
    lull_jinja_value v;
    *is_given = false;
    if (!n) return true;
    if (!eval(x, n, &v)) return false;
    if (v.type == LULL_JINJA_NONE) return true;
    if (v.type != LULL_JINJA_INT && v.type != LULL_JINJA_BOOL)
        return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "a slice goes by integers, not %s",
                               lull_jinja_type_name(&v));
    *out = lull_jinja_as_int(&v);
    *is_given = true;
    return true;
}

static int64_t clamp(int64_t i, int64_t n, int64_t least, int64_t most)
{
    if (i < 0) i = i < -n ? least : i + n;
    return i < least ? least : i > most ? most : i;
}

static bool eval_slice(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_run *r = &x->run;
    lull_jinja_value v, parts;
    int64_t from = 0, to = 0, step = 1;
    bool has_from, has_to, has_step;
    if (!eval(x, n->a, &v) || !slice_bound(x, n->b, &from, &has_from) ||
        !slice_bound(x, n->c, &to, &has_to) || !slice_bound(x, n->d, &step, &has_step))
        return false;
    if (!has_step) step = 1;
    if (step == 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "the step of a slice must not be zero");
    if (v.type != LULL_JINJA_STRING && !lull_jinja_is_list(&v)) {
        if (v.type == LULL_JINJA_UNDEFINED)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)v.as.text.n,
                                   v.as.text.s);
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%s' object has no slices",
                               lull_jinja_type_name(&v));
    }
    bool is_text = v.type == LULL_JINJA_STRING;
    if (is_text && !lull_jinja_step(r, v.as.text.n / LULL_JINJA_READ_BYTES)) return false;
    int64_t count = is_text ? (int64_t)lull_jinja_n_chars(v.as.text) : (int64_t)v.as.list->n;
    int64_t least = step > 0 ? 0 : -1, most = step > 0 ? count : count - 1;
    from = has_from ? clamp(from, count, least, most) : step > 0 ? 0 : count - 1;
    to = has_to ? clamp(to, count, least, most) : step > 0 ? count : -1;
    if (is_text && step == 1) {
        size_t a = lull_jinja_char_offset(v.as.text, (size_t)from);
        size_t b = from < to ? lull_jinja_char_offset(v.as.text, (size_t)to) : a;
        *out = lull_jinja_string(v.as.text.s + a, b - a);
        return true;
    }
    if (!is_text && step == 1) { /* lists are never changed: the items can be the same */
        if (!lull_jinja_new_list(r, v.type, 0, out)) return false;
        size_t n_items = from < to ? (size_t)(to - from) : 0;
        *out->as.list =
            (lull_jinja_list){.items = v.as.list->items + from, .n = n_items, .cap = n_items};
        return true;
    }
    lull_jinja_list items;
    if (!lull_jinja_iterate(r, &v, &items) ||
        !lull_jinja_new_list(r, is_text ? LULL_JINJA_LIST : v.type, 8, &parts))
        return false;
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        if (!lull_jinja_push(r, parts.as.list, items.items[i])) return false;
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    *out = parts;
    if (!is_text) return true;
    return lull_jinja_join(r, parts.as.list, (lull_jinja_text){"", 0}, true, out);
}

static bool repeat(interpreter *x, const lull_jinja_value *v, int64_t times, lull_jinja_value *out)
{
    lull_jinja_run *r = &x->run;
    if (times < 0) times = 0;
    if (v->type == LULL_JINJA_STRING) {
        lull_buffer b = {0};
        if (lull_jinja_fill(r, &b, v->as.text, (size_t)times))
            return lull_jinja_take_buffer(r, &b, out);
        lull_buffer_fini(&b);
        return false;
    }
    if (!lull_jinja_new_list(r, v->type, 0, out)) return false;
    for (int64_t i = 0; i < times && v->as.list->n > 0; i++)
        for (size_t k = 0; k < v->as.list->n; k++)
            if (!lull_jinja_push(r, out->as.list, v->as.list->items[k])) return false;
    return true;
}

static bool int_power(int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1 && __builtin_mul_overflow(*out, base, out)) return false;
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return false;
    }
    return true;
}

/* a % b as Python has it: with the sign of b. */
static double floor_remainder(double a, double b)
{
    double v = fmod(a, b);
    if (v == 0) return copysign(0, b);
    return (v < 0) != (b < 0) ? v + b : v;
}

/* a // b as Python has it: exact where floor(a / b) would round up. */
static double floor_quotient(double a, double b)
{
    double v = (a - fmod(a, b)) / b, remainder = fmod(a, b);
    if (remainder != 0 && (remainder < 0) != (b < 0)) v -= 1;
    if (v == 0) return copysign(0, a / b);
    double whole = floor(v);
    return v - whole > 0.5 ? whole + 1 : whole;
}

static bool float_math(interpreter *x, lull_jinja_op op, double a, double b, lull_jinja_value *out)
{
    lull_jinja_run *r = &x->run;
    if (b == 0 && (op == LULL_JINJA_DIV || op == LULL_JINJA_FLOORDIV || op == LULL_JINJA_MOD))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "division by zero");
    double v = 0;
    switch (op) {
    case LULL_JINJA_SUB: v = a - b; break;
    case LULL_JINJA_MUL: v = a * b; break;
    case LULL_JINJA_DIV: v = a / b; break;
    case LULL_JINJA_FLOORDIV: v = floor_quotient(a, b); break;
    case LULL_JINJA_MOD: v = floor_remainder(a, b); break;
    default: v = pow(a, b); break;
    }
    if (op == LULL_JINJA_POW && !isfinite(v))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a power that is too large");
    *out = lull_jinja_float(v);
    return true;
}

static bool int_math(interpreter *x, lull_jinja_op op, int64_t a, int64_t b, lull_jinja_value *out)
{
    lull_jinja_run *r = &x->run;
    int64_t v = 0;
    bool is_over = false;
    if (b == 0 && (op == LULL_JINJA_DIV || op == LULL_JINJA_FLOORDIV || op == LULL_JINJA_MOD))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "division by zero");
    switch (op) {
    case LULL_JINJA_SUB: is_over = __builtin_sub_overflow(a, b, &v); break;
    case LULL_JINJA_MUL: is_over = __builtin_mul_overflow(a, b, &v); break;
    case LULL_JINJA_DIV: return float_math(x, op, (double)a, (double)b, out);
    case LULL_JINJA_FLOORDIV:
        if (b == -1) {
            is_over = __builtin_sub_overflow(0, a, &v);
        } else {
            v = a / b;
            if (a % b != 0 && (a < 0) != (b < 0)) v--;
        }
        break;
    case LULL_JINJA_MOD:
        v = b == -1 ? 0 : a % b;
        if (v != 0 && (v < 0) != (b < 0)) v += b;
        break;
    default:
        if (b < 0) return float_math(x, op, (double)a, (double)b, out);
        is_over = !int_power(a, b, &v);
        break;
    }
    if (is_over) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a number beyond 64 bits");
    *out = lull_jinja_int(v);
    return true;
}

static bool eval_binary(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_run *r = &x->run;
    lull_jinja_value a, b;
    if (!eval(x, n->a, &a) || !eval(x, n->b, &b)) return false;
    stand_at(x, n);
    if (n->op == LULL_JINJA_ADD) return lull_jinja_add(r, &a, &b, out);
    bool a_repeats = a.type == LULL_JINJA_STRING || lull_jinja_is_list(&a);
    bool b_repeats = b.type == LULL_JINJA_STRING || lull_jinja_is_list(&b);
    if (n->op == LULL_JINJA_MUL && a_repeats &&
        (b.type == LULL_JINJA_INT || b.type == LULL_JINJA_BOOL))
        return repeat(x, &a, lull_jinja_as_int(&b), out);
    if (n->op == LULL_JINJA_MUL && b_repeats &&
        (a.type == LULL_JINJA_INT || a.type == LULL_JINJA_BOOL))
        return repeat(x, &b, lull_jinja_as_int(&a), out);
    if (n->op == LULL_JINJA_MOD && a.type == LULL_JINJA_STRING)
        return lull_jinja_format_percent(r, a.as.text, &b, out);
    if (!lull_jinja_is_number(&a) || !lull_jinja_is_number(&b))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%s' and '%s' cannot be calculated with",
                               lull_jinja_type_name(&a), lull_jinja_type_name(&b));
    if (a.type == LULL_JINJA_FLOAT || b.type == LULL_JINJA_FLOAT)
        return float_math(x, n->op, lull_jinja_as_float(&a), lull_jinja_as_float(&b), out);
    return int_math(x, n->op, lull_jinja_as_int(&a), lull_jinja_as_int(&b), out);
}

static bool compare_one(interpreter *x, lull_jinja_op op, const lull_jinja_value *a,
                        const lull_jinja_value *b, bool *out)
{
    lull_jinja_run *r = &x->run;
    int order;
    switch (op) {
    case LULL_JINJA_EQ: return lull_jinja_equal(r, a, b, out);
    case LULL_JINJA_NE:
        if (!lull_jinja_equal(r, a, b, out)) return false;
        *out = !*out;
        return true;
    case LULL_JINJA_IN: return lull_jinja_contains(r, b, a, out);
    case LULL_JINJA_NOT_IN:
        if (!lull_jinja_contains(r, b, a, out)) return false;
        *out = !*out;
        return true;
    default:
        if (!lull_jinja_compare(r, a, b, &order)) return false;
        *out = op == LULL_JINJA_LT   ? order < 0
               : op == LULL_JINJA_LE ? order <= 0
               : op == LULL_JINJA_GT ? order > 0
                                     : order >= 0;
        return true;
    }
}

static bool eval_compare(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_value left, right;
    bool truth = true;
    if (!eval(x, n->a, &left)) return false;
    for (size_t i = 0; i < n->items.n && truth; i++) {
        const lull_jinja_node *operand = n->items.items[i];
        if (!eval(x, operand->a, &right)) return false;
        stand_at(x, operand);
        if (!compare_one(x, operand->op, &left, &right, &truth)) return false;
        left = right;
    }
    *out = lull_jinja_bool(truth);
    return true;
}

static bool eval_items(interpreter *x, const lull_jinja_node *n, lull_jinja_type type,
                       lull_jinja_value *out)
{
    if (!lull_jinja_new_list(&x->run, type, n->items.n, out)) return false;
    for (size_t i = 0; i < n->items.n; i++) {
        lull_jinja_value v;
        if (!eval(x, n->items.items[i], &v) || !lull_jinja_push(&x->run, out->as.list, v))
            return false;
    }
    return true;
}

static bool eval_dict(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    if (!lull_jinja_new_dict(&x->run, out)) return false;
    for (size_t i = 0; i < n->items.n; i += 2) {
        lull_jinja_value key, v;
        if (!eval(x, n->items.items[i], &key) || !eval(x, n->items.items[i + 1], &v) ||
            !lull_jinja_set(&x->run, out->as.dict, key, v))
            return false;
    }
    return true;
}

static bool eval_concat(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_buffer b = {0};
    for (size_t i = 0; i < n->items.n; i++) {
        lull_jinja_value v;
        if (!eval(x, n->items.items[i], &v) || !lull_jinja_print(&x->run, &v, false, &b)) {
            lull_buffer_fini(&b);
            return false;
        }
    }
    return lull_jinja_take_buffer(&x->run, &b, out);
}

static bool eval_filter(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_args args;
    lull_jinja_value v;
    if (!eval(x, n->a, &v) || !eval_args(x, n, &args)) return false;
    stand_at(x, n);
    return lull_jinja_apply_filter(&x->host, n->name, &v, &args, out);
}

/* The chain of filters of a block, applied to its text. */
static bool filter_block(interpreter *x, const lull_jinja_node *n, lull_jinja_value text,
                         lull_jinja_value *out)
{
    lull_jinja_args args;
    *out = text;
    if (!n) return true;
    if (n->a && !filter_block(x, n->a, text, out)) return false;
    lull_jinja_value of = *out;
    if (!eval_args(x, n, &args)) return false;
    stand_at(x, n);
    return lull_jinja_apply_filter(&x->host, n->name, &of, &args, out);
}

static bool eval_test(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_args args;
    lull_jinja_value v;
    bool truth;
    if (!eval(x, n->a, &v) || !eval_args(x, n, &args)) return false;
    stand_at(x, n);
    if (!lull_jinja_apply_test(&x->host, n->name, &v, &args, &truth)) return false;
    *out = lull_jinja_bool(truth);
    return true;
}

static bool eval_sign(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_value v;
    if (!eval(x, n->a, &v)) return false;
    stand_at(x, n);
    if (!lull_jinja_is_number(&v))
        return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "'%s' has no sign",
                               lull_jinja_type_name(&v));
    if (v.type == LULL_JINJA_FLOAT)
        *out = lull_jinja_float(n->kind == LULL_JINJA_NEGATE ? -v.as.number : v.as.number);
    else if (n->kind == LULL_JINJA_NEGATE)
        return int_math(x, LULL_JINJA_SUB, 0, lull_jinja_as_int(&v), out);
    else
        *out = lull_jinja_int(lull_jinja_as_int(&v));
    return true;
}

static bool eval_node(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    lull_jinja_value a, b;
    switch (n->kind) {
    case LULL_JINJA_CONST: *out = n->value; return true;
    case LULL_JINJA_NAME: return look_up(x, n->name, out);
    case LULL_JINJA_MAKE_LIST: return eval_items(x, n, LULL_JINJA_LIST, out);
    case LULL_JINJA_MAKE_TUPLE: return eval_items(x, n, LULL_JINJA_TUPLE, out);
    case LULL_JINJA_MAKE_DICT: return eval_dict(x, n, out);
    case LULL_JINJA_ATTRIBUTE:
        if (!eval(x, n->a, &a)) return false;
        stand_at(x, n);
        return a.type == LULL_JINJA_LOOP ? loop_attribute(x, a.as.object, n->name, out)
                                         : lull_jinja_get_attribute(&x->run, &a, n->name, out);
    case LULL_JINJA_ITEM:
        if (!eval(x, n->a, &a) || !eval(x, n->b, &b)) return false;
        stand_at(x, n);
        if (a.type == LULL_JINJA_LOOP && b.type == LULL_JINJA_STRING)
            return loop_attribute(x, a.as.object, b.as.text, out);
        return lull_jinja_get_item(&x->run, &a, &b, out);
    case LULL_JINJA_SLICE: return eval_slice(x, n, out);
    case LULL_JINJA_CALL: {
        lull_jinja_args args;
        if (!eval(x, n->a, &a) || !eval_args(x, n, &args)) return false;
        stand_at(x, n);
        return call_value(x, &a, &args, out);
    }
    case LULL_JINJA_FILTER: return eval_filter(x, n, out);
    case LULL_JINJA_TEST: return eval_test(x, n, out);
    case LULL_JINJA_NOT:
        if (!eval(x, n->a, &a)) return false;
        *out = lull_jinja_bool(!lull_jinja_truth(&a));
        return true;
    case LULL_JINJA_AND:
    case LULL_JINJA_OR:
        if (!eval(x, n->a, out)) return false;
        return lull_jinja_truth(out) == (n->kind == LULL_JINJA_OR) || eval(x, n->b, out);
    case LULL_JINJA_CONDITIONAL:
        if (!eval(x, n->a, &a)) return false;
        if (lull_jinja_truth(&a)) return eval(x, n->b, out);
        if (n->c) return eval(x, n->c, out);
        *out = lull_jinja_undefined((lull_jinja_text){"the inline if without else", 26});
        return true;
    case LULL_JINJA_COMPARE: return eval_compare(x, n, out);
    case LULL_JINJA_BINARY: return eval_binary(x, n, out);
    case LULL_JINJA_NEGATE:
    case LULL_JINJA_PLUS: return eval_sign(x, n, out);
    case LULL_JINJA_CONCAT: return eval_concat(x, n, out);
    default: return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "this is not an expression");
    }
}

static bool eval(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    if (!enter(x, n)) return false;
    bool is_ok = eval_node(x, n, out);
    x->run.depth--;
    return is_ok;
}

/* ---- statements ------------------------------------------------------------------------------ */

static bool print_value(interpreter *x, const lull_jinja_value *v)
{
    size_t before = x->out->n_bytes;
    if (!lull_jinja_print(&x->run, v, false, x->out)) return false;
    x->run.n_output += x->out->n_bytes - before;
    return x->run.n_output <= x->run.most_output ||
           lull_jinja_fail(&x->run, LULL_EFULL, "its text is too long");
}

/* *after_else: what its else block has come to, which may break a loop around this one. */
static bool run_loop(interpreter *x, const lull_jinja_node *n, lull_jinja_value iterable,
                     scope *outer, int level, flow *after_else)
{
    static const lull_jinja_text loop_name = {"loop", 4};
    lull_jinja_run *r = &x->run;
    lull_jinja_list *items = lull_jinja_alloc(r, sizeof *items), all;
    loop *l = lull_jinja_alloc(r, sizeof *l);
    scope *before;
    flow f = FLOW_ON;
    bool is_ok = true, has_ended = false; /* an iteration, without break or continue */
    stand_at(x, n);
    if (!items || !l || !lull_jinja_iterate(r, &iterable, &all)) return false;
    if (!enter(x, n)) return false;
    if (!n->c) *items = all;
    for (size_t i = 0; n->c && i < all.n && is_ok; i++) {
        lull_jinja_value truth;
        if (!(before = push_scope(x, outer))) return false;
        is_ok = assign(x, n->a, all.items[i]) && eval(x, n->c, &truth) &&
                (!lull_jinja_truth(&truth) || lull_jinja_push(r, items, all.items[i]));
        pop_scope(x, before);
    }
    *l = (loop){.items = items, .level = level, .node = n, .outer = outer};
    if (n->is_recursive) keep_scopes(outer);
    for (; is_ok && l->at < l->items->n && f != FLOW_BREAK; l->at++) {
        f = FLOW_ON;
        if (!(before = push_scope(x, outer))) return false;
        is_ok = assign(x, n->a, l->items->items[l->at]) &&
                define(x, loop_name, (lull_jinja_value){LULL_JINJA_LOOP, {.object = l}}) &&
                exec_body(x, &n->body, &f);
        pop_scope(x, before);
        has_ended = has_ended || f == FLOW_ON;
    }
    if (is_ok && !has_ended && n->otherwise.n > 0) {
        if (!(before = push_scope(x, outer))) return false;
        is_ok = exec_body(x, &n->otherwise, after_else);
        pop_scope(x, before);
    }
    r->depth--;
    return is_ok;
}

/* A body in a scope of its own, captured as a string and filtered; but when it breaks a loop, nothing
 * comes of it. */
static bool capture_block(interpreter *x, const lull_jinja_node *n, const lull_jinja_node *filters,
                          flow *f, lull_jinja_value *out)
{
    lull_jinja_value text;
    scope *before = push_scope(x, x->scope);
    if (x->run.status != LULL_OK) return false;
    bool is_ok =
        capture(x, &n->body, f, &text) && (*f != FLOW_ON || filter_block(x, filters, text, out));
    x->scope = before;
    return is_ok;
}

static bool make_macro(interpreter *x, const lull_jinja_node *n, lull_jinja_value *out)
{
    macro *m = lull_jinja_alloc(&x->run, sizeof *m);
    if (!m) return false;
    *m = (macro){n->name, n, x->scope};
    keep_scopes(x->scope);
    *out = (lull_jinja_value){LULL_JINJA_MACRO, {.object = m}};
    return true;
}

/* Call with one more argument, `caller`: the block as a macro. */
static bool exec_call_block(interpreter *x, const lull_jinja_node *n)
{
    lull_jinja_run *r = &x->run;
    lull_jinja_value callee, caller, out;
    lull_jinja_args args;
    if (!eval(x, n->a->a, &callee) || !eval_args(x, n->a, &args) || !make_macro(x, n, &caller))
        return false;
    lull_jinja_text *names = lull_jinja_alloc(r, (args.n_named + 1) * sizeof *names);
    lull_jinja_value *named = lull_jinja_alloc(r, (args.n_named + 1) * sizeof *named);
    if (!names || !named) return false;
    /* Behind the arguments with a name, in front of those of **. */
    size_t at = n->a->keywords.n;
    for (size_t i = 0; i < args.n_named; i++) {
        names[i + (i >= at)] = args.names[i];
        named[i + (i >= at)] = args.named[i];
    }
    names[at] = (lull_jinja_text){"caller", 6};
    named[at] = caller;
    args.n_named++;
    args.names = names;
    args.named = named;
    stand_at(x, n);
    return call_value(x, &callee, &args, &out) && print_value(x, &out);
}

static bool exec_with(interpreter *x, const lull_jinja_node *n, flow *f)
{
    scope *outer = x->scope;
    bool is_ok = true;
    if (!push_scope(x, outer)) return false;
    for (size_t i = 0; i < n->items.n && is_ok; i += 2) {
        lull_jinja_value v;
        scope *inner = x->scope;
        x->scope = outer; /* values do not see the names that stand before them */
        is_ok = eval(x, n->items.items[i + 1], &v);
        x->scope = inner;
        is_ok = is_ok && assign(x, n->items.items[i], v);
    }
    is_ok = is_ok && exec_body(x, &n->body, f);
    pop_scope(x, outer);
    return is_ok;
}

/* The body of a generation block: what it sets is its own. */
static bool exec_scope(interpreter *x, const lull_jinja_node *n, flow *f)
{
    scope *before = push_scope(x, x->scope);
    if (!before) return false;
    bool is_ok = exec_body(x, &n->body, f);
    pop_scope(x, before);
    return is_ok;
}

static bool exec_statement(interpreter *x, const lull_jinja_node *n, flow *f)
{
    lull_jinja_value v;
    switch (n->kind) {
    case LULL_JINJA_DATA: return print_value(x, &n->value);
    case LULL_JINJA_OUTPUT:
        for (size_t i = 0; i < n->items.n; i++)
            if (!eval(x, n->items.items[i], &v) || !print_value(x, &v)) return false;
        return true;
    case LULL_JINJA_FOR: return eval(x, n->b, &v) && run_loop(x, n, v, x->scope, 0, f);
    case LULL_JINJA_IF:
        if (!eval(x, n->a, &v)) return false;
        return exec_body(x, lull_jinja_truth(&v) ? &n->body : &n->otherwise, f);
    case LULL_JINJA_SET: return eval(x, n->b, &v) && assign(x, n->a, v);
    case LULL_JINJA_SET_BLOCK:
        return capture_block(x, n, n->b, f, &v) && (*f != FLOW_ON || assign(x, n->a, v));
    case LULL_JINJA_FILTER_BLOCK:
        return capture_block(x, n, n->a, f, &v) && (*f != FLOW_ON || print_value(x, &v));
    case LULL_JINJA_MACRO_DEF: return make_macro(x, n, &v) && define(x, n->name, v);
    case LULL_JINJA_CALL_BLOCK: return exec_call_block(x, n);
    case LULL_JINJA_WITH: return exec_with(x, n, f);
    case LULL_JINJA_SCOPE: return exec_scope(x, n, f);
    case LULL_JINJA_BREAK:
    case LULL_JINJA_CONTINUE:
        *f = n->kind == LULL_JINJA_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
        return true;
    default: return lull_jinja_fail(&x->run, LULL_EUNSUPPORTED, "this is not a statement");
    }
}

static bool exec_body(interpreter *x, const lull_jinja_nodes *body, flow *f)
{
    for (size_t i = 0; i < body->n && *f == FLOW_ON; i++) {
        if (!enter(x, body->items[i]) || !exec_statement(x, body->items[i], f)) return false;
        x->run.depth--;
    }
    return true;
}

/* ---- public ---------------------------------------------------------------------------------- */

lull_status lull_jinja_parse(const char *src, size_t n_bytes, lull_jinja **out, lull_error *err)
{
    *out = NULL;
    if (n_bytes > LULL_JINJA_MAX_SOURCE)
        return lull_fail(err, LULL_EFULL, "chat template: %zu bytes, of which there may be %d",
                         n_bytes, LULL_JINJA_MAX_SOURCE);
    lull_jinja *t = *out = calloc(1, sizeof *t);
    if (t) t->source = lull_arena_alloc(&t->arena, n_bytes + 1);
    if (!t || !t->source) {
        lull_jinja_free(t);
        *out = NULL;
        return lull_fail(err, LULL_ENOMEM, "out of memory for the template");
    }
    /* Line ends become \n, and the last one goes. */
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        if (src[i] == '\r' && i + 1 < n_bytes && src[i + 1] == '\n') continue;
        t->source[n++] = src[i] == '\r' ? '\n' : src[i];
    }
    if (n > 0 && t->source[n - 1] == '\n') n--;
    lull_status st = lull_jinja_parse_nodes(t->source, n, &t->arena, &t->body, err);
    if (st != LULL_OK) {
        lull_jinja_free(t);
        *out = NULL;
    }
    return st;
}

void lull_jinja_free(lull_jinja *t)
{
    if (!t) return;
    lull_arena_fini(&t->arena);
    free(t);
}

/* From here on it is the template's doing, and no longer what the caller gave. */
static void set_limits(lull_jinja_run *r)
{
    r->n_steps = 0;
    r->most_steps = LULL_JINJA_BASE_STEPS + LULL_JINJA_INPUT_STEPS * r->n_input;
    r->most_bytes = r->arena.n_held + LULL_JINJA_BASE_BYTES + LULL_JINJA_INPUT_BYTES * r->n_input;
    r->most_output = LULL_JINJA_BASE_OUTPUT + LULL_JINJA_INPUT_OUTPUT * r->n_input;
}

lull_status lull_jinja_render(const lull_jinja *t, const json_t *vars, char **text, size_t *n_bytes,
                              lull_error *err)
{
    lull_buffer out = {0};
    scope root = {0};
    interpreter x = {.run = {.most_steps = SIZE_MAX,
                             .most_bytes = SIZE_MAX,
                             .most_output = SIZE_MAX,
                             .err = err,
                             .line = 1,
                             .column = 1},
                     .out = &out,
                     .scope = &root};
    x.host = (lull_jinja_host){&x.run, &x, call_value};
    lull_jinja_value globals;
    flow f = FLOW_ON;
    *text = NULL;
    *n_bytes = 0;
    bool is_ok = lull_jinja_from_json(&x.run, vars, &globals);
    if (is_ok && globals.type != LULL_JINJA_DICT)
        is_ok = lull_jinja_fail(&x.run, LULL_EINVAL, "its variables must be a JSON object");
    if (is_ok) {
        x.vars = globals.as.dict;
        set_limits(&x.run);
        is_ok = exec_body(&x, &t->body, &f) && x.run.status == LULL_OK;
    }
    if (is_ok) {
        *text = lull_buffer_take(&out, n_bytes);
        if (!*text) lull_jinja_fail(&x.run, LULL_ENOMEM, "out of memory");
    }
    lull_buffer_fini(&out);
    lull_arena_fini(&x.run.arena);
    return x.run.status;
}
