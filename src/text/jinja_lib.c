/* Arguments, operators, tests (value is name) and global functions. */
#include "jinja_lib.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "jinja_text.h"

/* ---- arguments ------------------------------------------------------------------------------- */

/* Argument i, or the named one; NULL: neither. */
const lull_jinja_value *lull_jinja_arg(const lull_jinja_args *a, size_t i, const char *name)
{
    if (i < a->n) return &a->items[i];
    for (size_t k = 0; name && k < a->n_named; k++)
        if (lull_jinja_text_is(a->names[k], name)) return &a->named[k];
    return NULL;
}

bool lull_jinja_arg_truth(const lull_jinja_args *a, size_t i, const char *name, bool otherwise)
{
    const lull_jinja_value *v = lull_jinja_arg(a, i, name);
    return v ? lull_jinja_truth(v) : otherwise;
}

bool lull_jinja_arg_int(lull_jinja_run *r, const lull_jinja_args *a, size_t i, const char *name,
                        int64_t otherwise, int64_t *out)
{
    const lull_jinja_value *v = lull_jinja_arg(a, i, name);
    *out = otherwise;
    if (!v) return true;
    if (v->type != LULL_JINJA_INT && v->type != LULL_JINJA_BOOL)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s must be an integer, not %s", name,
                               lull_jinja_type_name(v));
    *out = lull_jinja_as_int(v);
    return true;
}

/* An argument that must be text; *out untouched when it is missing. */
bool lull_jinja_arg_text(lull_jinja_run *r, const lull_jinja_args *a, size_t i, const char *name,
                         lull_jinja_text *out)
{
    const lull_jinja_value *v = lull_jinja_arg(a, i, name);
    if (!v || v->type == LULL_JINJA_NONE) return true;
    if (v->type != LULL_JINJA_STRING)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s must be a string, not %s", name,
                               lull_jinja_type_name(v));
    *out = v->as.text;
    return true;
}

bool lull_jinja_check_args(lull_jinja_run *r, const lull_jinja_args *a, const char *what,
                           const char *parameters, size_t least)
{
    size_t n = 0;
    uint32_t given = 0;
    for (const char *p = parameters; *p; n++) {
        size_t length = strcspn(p, " ");
        bool is_given = n < a->n;
        for (size_t k = 0; k < a->n_named; k++) {
            if (a->names[k].n != length || memcmp(a->names[k].s, p, length) != 0) continue;
            if (is_given)
                return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s: argument '%.*s' is given twice",
                                       what, (int)length, p);
            is_given = true;
            given++;
        }
        if (!is_given && n < least)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s: argument '%.*s' is missing", what,
                                   (int)strcspn(p, " /"), p);
        p += length;
        while (*p == ' ') p++;
    }
    if (a->n > n)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s takes at most %zu argument%s", what, n,
                               n == 1 ? "" : "s");
    if (given < a->n_named)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s has no argument of such a name", what);
    return true;
}

/* ---- operators ------------------------------------------------------------------------------- */

bool lull_jinja_add(lull_jinja_run *r, const lull_jinja_value *a, const lull_jinja_value *b,
                    lull_jinja_value *out)
{
    if (a->type == LULL_JINJA_STRING && b->type == LULL_JINJA_STRING) {
        lull_jinja_text s = a->as.text, t = b->as.text;
        char *p = lull_jinja_alloc(r, s.n + t.n + 1);
        if (!p) return false;
        if (s.n > 0) memcpy(p, s.s, s.n);
        if (t.n > 0) memcpy(p + s.n, t.s, t.n);
        *out = lull_jinja_string(p, s.n + t.n);
        return true;
    }
    if (lull_jinja_is_list(a) && a->type == b->type) {
        const lull_jinja_list *x = a->as.list, *y = b->as.list;
        if (!lull_jinja_new_list(r, a->type, x->n + y->n, out)) return false;
        for (size_t i = 0; i < x->n; i++)
            if (!lull_jinja_push(r, out->as.list, x->items[i])) return false;
        for (size_t i = 0; i < y->n; i++)
            if (!lull_jinja_push(r, out->as.list, y->items[i])) return false;
        return true;
    }
    if (lull_jinja_is_number(a) && lull_jinja_is_number(b)) {
        int64_t sum;
        if (a->type == LULL_JINJA_FLOAT || b->type == LULL_JINJA_FLOAT) {
            *out = lull_jinja_float(lull_jinja_as_float(a) + lull_jinja_as_float(b));
            return true;
        }
        if (__builtin_add_overflow(lull_jinja_as_int(a), lull_jinja_as_int(b), &sum))
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a number beyond 64 bits");
        *out = lull_jinja_int(sum);
        return true;
    }
    return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%s' and '%s' cannot be added",
                           lull_jinja_type_name(a), lull_jinja_type_name(b));
}

bool lull_jinja_contains(lull_jinja_run *r, const lull_jinja_value *container,
                         const lull_jinja_value *v, bool *out)
{
    *out = false;
    switch (container->type) {
    case LULL_JINJA_UNDEFINED: return true;
    case LULL_JINJA_STRING:
        if (v->type != LULL_JINJA_STRING)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'in <string>' needs a string, not %s",
                                   lull_jinja_type_name(v));
        *out = lull_jinja_find_text(r, container->as.text, v->as.text, 0) <= container->as.text.n;
        break;
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE:
        for (size_t i = 0; i < container->as.list->n && !*out; i++)
            if (!lull_jinja_equal(r, &container->as.list->items[i], v, out)) return false;
        return true;
    case LULL_JINJA_DICT:
        if (!lull_jinja_need_hashable(r, v)) return false;
        *out = lull_jinja_get(r, container->as.dict, *v) != NULL;
        break;
    default:
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%s' object has no members",
                               lull_jinja_type_name(container));
    }
    return r->status == LULL_OK;
}

/* ---- tests ----------------------------------------------------------------------------------- */

typedef bool (*test_fn)(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                        bool *out);

#define TYPE_TEST(name, condition)                                                                 \
    static bool test_##name(lull_jinja_run *r, const lull_jinja_value *v,                          \
                            const lull_jinja_args *a, bool *out)                                   \
    {                                                                                              \
        (void)r, (void)v, (void)a;                                                                 \
        *out = (condition);                                                                        \
        return true;                                                                               \
    }
TYPE_TEST(defined, v->type != LULL_JINJA_UNDEFINED)
TYPE_TEST(undefined, v->type == LULL_JINJA_UNDEFINED)
TYPE_TEST(none, v->type == LULL_JINJA_NONE)
TYPE_TEST(boolean, v->type == LULL_JINJA_BOOL)
TYPE_TEST(true, v->type == LULL_JINJA_BOOL && v->as.truth)
TYPE_TEST(false, v->type == LULL_JINJA_BOOL && !v->as.truth)
TYPE_TEST(integer, v->type == LULL_JINJA_INT)
TYPE_TEST(float, v->type == LULL_JINJA_FLOAT)
TYPE_TEST(number, lull_jinja_is_number(v))
TYPE_TEST(string, v->type == LULL_JINJA_STRING)
TYPE_TEST(mapping, v->type == LULL_JINJA_DICT)
TYPE_TEST(sequence, v->type == LULL_JINJA_STRING || lull_jinja_is_list(v) ||
                        v->type == LULL_JINJA_DICT || v->type == LULL_JINJA_UNDEFINED)
TYPE_TEST(iterable, v->type == LULL_JINJA_STRING || lull_jinja_is_list(v) ||
                        v->type == LULL_JINJA_DICT || v->type == LULL_JINJA_UNDEFINED ||
                        v->type == LULL_JINJA_LOOP)
TYPE_TEST(callable, v->type >= LULL_JINJA_MACRO || v->type == LULL_JINJA_UNDEFINED ||
                        v->type == LULL_JINJA_LOOP)
TYPE_TEST(escaped, false)

static bool test_divisible(lull_jinja_run *r, const lull_jinja_value *v, int64_t by, bool *out)
{
    if (!lull_jinja_is_number(v) || by == 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s cannot be divided by %" PRId64,
                               lull_jinja_type_name(v), by);
    *out = v->type == LULL_JINJA_FLOAT ? fmod(v->as.number, (double)by) == 0
                                       : by == -1 || lull_jinja_as_int(v) % by == 0;
    return true;
}

static bool test_odd(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                     bool *out)
{
    (void)a;
    if (!test_divisible(r, v, 2, out)) return false;
    *out = v->type == LULL_JINJA_FLOAT ? fmod(v->as.number, 2) == 1 : !*out;
    return true;
}

static bool test_even(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                      bool *out)
{
    (void)a;
    return test_divisible(r, v, 2, out);
}

static bool test_divisibleby(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                             bool *out)
{
    int64_t by;
    return lull_jinja_arg_int(r, a, 0, "num", 0, &by) && test_divisible(r, v, by, out);
}

static bool test_equal(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                       bool *out)
{
    return lull_jinja_equal(r, v, &a->items[0], out);
}

static bool test_not_equal(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                           bool *out)
{
    bool is_ok = test_equal(r, v, a, out);
    *out = !*out;
    return is_ok;
}

static bool test_order(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                       int lowest, int highest, bool *out)
{
    int order;
    if (!lull_jinja_compare(r, v, lull_jinja_arg(a, 0, "b/"), &order)) return false;
    *out = order >= lowest && order <= highest;
    return true;
}

#define ORDER_TEST(name, lowest, highest)                                                          \
    static bool test_##name(lull_jinja_run *r, const lull_jinja_value *v,                          \
                            const lull_jinja_args *a, bool *out)                                   \
    {                                                                                              \
        return test_order(r, v, a, lowest, highest, out);                                          \
    }
ORDER_TEST(less, -1, -1)
ORDER_TEST(at_most, -1, 0)
ORDER_TEST(greater, 1, 1)
ORDER_TEST(at_least, 0, 1)

static bool test_in(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                    bool *out)
{
    return lull_jinja_contains(r, lull_jinja_arg(a, 0, "seq"), v, out);
}

/* `is` of Python: for values, of the same type and equal. */
static bool test_same(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                      bool *out)
{
    const lull_jinja_value *other = lull_jinja_arg(a, 0, "other");
    *out = false;
    return v->type != other->type || lull_jinja_equal(r, v, other, out);
}

static bool test_lower(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                       bool *out)
{
    lull_jinja_value s;
    (void)a;
    if (!lull_jinja_to_string(r, v, &s)) return false;
    return lull_jinja_is_case(r, s.as.text, LULL_JINJA_LOWER_CASE, out);
}

static bool test_upper(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                       bool *out)
{
    lull_jinja_value s;
    (void)a;
    if (!lull_jinja_to_string(r, v, &s)) return false;
    return lull_jinja_is_case(r, s.as.text, LULL_JINJA_UPPER_CASE, out);
}

static bool test_filter(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                        bool *out)
{
    (void)a;
    *out = v->type == LULL_JINJA_STRING && lull_jinja_has_filter(v->as.text);
    return lull_jinja_need_hashable(r, v);
}

static bool test_test(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_args *a,
                      bool *out)
{
    (void)a;
    *out = v->type == LULL_JINJA_STRING && lull_jinja_has_test(v->as.text);
    return lull_jinja_need_hashable(r, v);
}

static const struct test {
    const char *name;
    test_fn fn;
    const char *parameters; /* all must be given */
} tests[] = {
    {"defined", test_defined, ""},   {"undefined", test_undefined, ""},
    {"none", test_none, ""},         {"boolean", test_boolean, ""},
    {"true", test_true, ""},         {"false", test_false, ""},
    {"integer", test_integer, ""},   {"float", test_float, ""},
    {"number", test_number, ""},     {"string", test_string, ""},
    {"mapping", test_mapping, ""},   {"sequence", test_sequence, ""},
    {"iterable", test_iterable, ""}, {"callable", test_callable, ""},
    {"escaped", test_escaped, ""},   {"odd", test_odd, ""},
    {"even", test_even, ""},         {"divisibleby", test_divisibleby, "num"},
    {"eq", test_equal, "b/"},        {"equalto", test_equal, "b/"},
    {"==", test_equal, "b/"},        {"ne", test_not_equal, "b/"},
    {"!=", test_not_equal, "b/"},    {"lt", test_less, "b/"},
    {"lessthan", test_less, "b/"},   {"<", test_less, "b/"},
    {"le", test_at_most, "b/"},      {"<=", test_at_most, "b/"},
    {"gt", test_greater, "b/"},      {"greaterthan", test_greater, "b/"},
    {">", test_greater, "b/"},       {"ge", test_at_least, "b/"},
    {">=", test_at_least, "b/"},     {"in", test_in, "seq"},
    {"sameas", test_same, "other"},  {"lower", test_lower, ""},
    {"upper", test_upper, ""},       {"filter", test_filter, ""},
    {"test", test_test, ""},
};

static const struct test *find_test(lull_jinja_text name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (lull_jinja_text_is(name, tests[i].name)) return &tests[i];
    return NULL;
}

bool lull_jinja_has_test(lull_jinja_text name)
{
    return find_test(name) != NULL;
}

bool lull_jinja_apply_test(lull_jinja_host *h, lull_jinja_text name, const lull_jinja_value *v,
                           const lull_jinja_args *args, bool *out)
{
    const struct test *t = find_test(name);
    if (!t)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "unknown test '%.*s'", (int)name.n,
                               name.s);
    return lull_jinja_step(h->run, 1) &&
           lull_jinja_check_args(h->run, args, t->name, t->parameters, *t->parameters != 0) &&
           t->fn(h->run, v, args, out);
}

/* ---- globals --------------------------------------------------------------------------------- */

static bool call_range(lull_jinja_run *r, const lull_jinja_args *a, lull_jinja_value *out)
{
    int64_t from = 0, to, step = 1;
    if (!lull_jinja_check_args(r, a, "range", "start/ stop/ step/", 1) ||
        !lull_jinja_arg_int(r, a, 0, "range", 0, &to))
        return false;
    if (a->n > 1) {
        from = to;
        if (!lull_jinja_arg_int(r, a, 1, "range", 0, &to) ||
            !lull_jinja_arg_int(r, a, 2, "range", 1, &step))
            return false;
    }
    if (step == 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "the step of a range must not be zero");
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, 0, out)) return false;
    /* The sandbox of Jinja2 has the same bound. */
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        if (out->as.list->n >= 100000)
            return lull_jinja_fail(r, LULL_EFULL, "a range of more than 100,000 numbers");
        if (!lull_jinja_push(r, out->as.list, lull_jinja_int(i))) return false;
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return true;
}

/* dict(…) and namespace(…): a copy of a dict, and the named arguments. */
static bool call_dict(lull_jinja_run *r, const lull_jinja_args *a, lull_jinja_type type,
                      lull_jinja_value *out)
{
    if (a->n > 1) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "dict() of %zu arguments", a->n);
    if (!lull_jinja_new_dict(r, out)) return false;
    if (a->n > 0) {
        lull_jinja_list items;
        if (lull_jinja_is_dict(&a->items[0])) {
            const lull_jinja_dict *from = a->items[0].as.dict;
            for (size_t i = 0; i < from->n; i++)
                if (!lull_jinja_set(r, out->as.dict, from->pairs[i].key, from->pairs[i].value))
                    return false;
        } else {
            if (!lull_jinja_iterate(r, &a->items[0], &items)) return false;
            for (size_t i = 0; i < items.n; i++) {
                const lull_jinja_value *pair = &items.items[i];
                if (!lull_jinja_is_list(pair) || pair->as.list->n != 2)
                    return lull_jinja_fail(r, LULL_EUNSUPPORTED, "dict() needs pairs");
                if (!lull_jinja_set(r, out->as.dict, pair->as.list->items[0],
                                    pair->as.list->items[1]))
                    return false;
            }
        }
    }
    for (size_t i = 0; i < a->n_named; i++)
        if (!lull_jinja_set(r, out->as.dict, lull_jinja_string(a->names[i].s, a->names[i].n),
                            a->named[i]))
            return false;
    out->type = type;
    return true;
}

static bool call_strftime(lull_jinja_run *r, const lull_jinja_args *a, lull_jinja_value *out)
{
    lull_jinja_text t = {0};
    char format[128], text[512];
    struct tm now;
    time_t seconds = time(NULL);
    if (!lull_jinja_check_args(r, a, "strftime_now", "format", 1) ||
        !lull_jinja_arg_text(r, a, 0, "format", &t))
        return false;
    if (!t.s || t.n >= sizeof format)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "strftime_now needs a format");
    memcpy(format, t.s, t.n);
    format[t.n] = '\0';
    localtime_r(&seconds, &now);
    size_t n = strftime(text, sizeof text, format, &now);
    return lull_jinja_copy_string(r, text, n, out);
}

typedef enum global_id { G_DICT, G_NAMESPACE, G_RAISE, G_RANGE, G_STRFTIME } global_id;

static const char *const globals[] = {"dict", "namespace", "raise_exception", "range",
                                      "strftime_now"};

bool lull_jinja_find_global(lull_jinja_text name, lull_jinja_value *out)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (lull_jinja_text_is(name, globals[i])) {
            *out = (lull_jinja_value){LULL_JINJA_FUNCTION, {.integer = (int64_t)i}};
            return true;
        }
    return false;
}

bool lull_jinja_call_global(lull_jinja_host *h, const lull_jinja_value *function,
                            const lull_jinja_args *args, lull_jinja_value *out)
{
    lull_jinja_run *r = h->run;
    switch ((global_id)function->as.integer) {
    case G_DICT: return call_dict(r, args, LULL_JINJA_DICT, out);
    case G_NAMESPACE: return call_dict(r, args, LULL_JINJA_NAMESPACE, out);
    case G_RANGE: return call_range(r, args, out);
    case G_STRFTIME: return call_strftime(r, args, out);
    case G_RAISE: {
        lull_jinja_value message = lull_jinja_literal("");
        if (!lull_jinja_check_args(r, args, "raise_exception", "message", 1) ||
            !lull_jinja_to_string(r, lull_jinja_arg(args, 0, "message"), &message))
            return false;
        return lull_jinja_fail(r, LULL_EINVAL, "%.*s",
                               (int)(message.as.text.n < 160 ? message.as.text.n : 160),
                               message.as.text.s);
    }
    }
    return false;
}
