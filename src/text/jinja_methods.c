/* Attributes, items and methods of values. */
#include "jinja_text.h"

#include <string.h>

/* ---- attributes and items -------------------------------------------------------------------- */

typedef enum method_id {
    M_CAPITALIZE,
    M_COUNT,
    M_ENDSWITH,
    M_FIND,
    M_FORMAT,
    M_GET,
    M_INDEX,
    M_ISALNUM,
    M_ISALPHA,
    M_ISDIGIT,
    M_ISLOWER,
    M_ISSPACE,
    M_ISUPPER,
    M_ITEMS,
    M_JOIN,
    M_KEYS,
    M_LOWER,
    M_LSTRIP,
    M_PARTITION,
    M_REMOVEPREFIX,
    M_REMOVESUFFIX,
    M_REPLACE,
    M_RFIND,
    M_RSPLIT,
    M_RSTRIP,
    M_SPLIT,
    M_SPLITLINES,
    M_STARTSWITH,
    M_STRIP,
    M_TITLE,
    M_UPPER,
    M_VALUES
} method_id;

enum { OF_STRING = 1, OF_LIST = 2, OF_DICT = 4 };

static const struct {
    const char *name;
    method_id id;
    int of;
} methods[] = {
    {"capitalize", M_CAPITALIZE, OF_STRING},
    {"count", M_COUNT, OF_STRING | OF_LIST},
    {"endswith", M_ENDSWITH, OF_STRING},
    {"find", M_FIND, OF_STRING},
    {"format", M_FORMAT, OF_STRING},
    {"get", M_GET, OF_DICT},
    {"index", M_INDEX, OF_STRING | OF_LIST},
    {"isalnum", M_ISALNUM, OF_STRING},
    {"isalpha", M_ISALPHA, OF_STRING},
    {"isdigit", M_ISDIGIT, OF_STRING},
    {"islower", M_ISLOWER, OF_STRING},
    {"isspace", M_ISSPACE, OF_STRING},
    {"isupper", M_ISUPPER, OF_STRING},
    {"items", M_ITEMS, OF_DICT},
    {"join", M_JOIN, OF_STRING},
    {"keys", M_KEYS, OF_DICT},
    {"lower", M_LOWER, OF_STRING},
    {"lstrip", M_LSTRIP, OF_STRING},
    {"partition", M_PARTITION, OF_STRING},
    {"removeprefix", M_REMOVEPREFIX, OF_STRING},
    {"removesuffix", M_REMOVESUFFIX, OF_STRING},
    {"replace", M_REPLACE, OF_STRING},
    {"rfind", M_RFIND, OF_STRING},
    {"rsplit", M_RSPLIT, OF_STRING},
    {"rstrip", M_RSTRIP, OF_STRING},
    {"split", M_SPLIT, OF_STRING},
    {"splitlines", M_SPLITLINES, OF_STRING},
    {"startswith", M_STARTSWITH, OF_STRING},
    {"strip", M_STRIP, OF_STRING},
    {"title", M_TITLE, OF_STRING},
    {"upper", M_UPPER, OF_STRING},
    {"values", M_VALUES, OF_DICT},
};

/* A method bound to its object. */
typedef struct bound_method {
    lull_jinja_value object;
    method_id id;
} bound_method;

static bool find_method(lull_jinja_run *r, const lull_jinja_value *object, lull_jinja_text name,
                        lull_jinja_value *out)
{
    int of = object->type == LULL_JINJA_STRING ? OF_STRING
             : lull_jinja_is_list(object)      ? OF_LIST
             : object->type == LULL_JINJA_DICT ? OF_DICT
                                               : 0;
    for (size_t i = 0; of && i < sizeof methods / sizeof *methods; i++) {
        if (!(methods[i].of & of) || !lull_jinja_text_is(name, methods[i].name)) continue;
        bound_method *m = lull_jinja_alloc(r, sizeof *m);
        if (!m) return false;
        *m = (bound_method){*object, methods[i].id};
        *out = (lull_jinja_value){LULL_JINJA_METHOD, {.object = m}};
        return true;
    }
    return false;
}

bool lull_jinja_get_attribute(lull_jinja_run *r, const lull_jinja_value *object,
                              lull_jinja_text name, lull_jinja_value *out)
{
    *out = lull_jinja_undefined(name);
    if (object->type == LULL_JINJA_UNDEFINED)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)object->as.text.n,
                               object->as.text.s);
    if (find_method(r, object, name, out)) return true;
    if (lull_jinja_is_dict(object)) {
        const lull_jinja_value *v = lull_jinja_get_name(r, object->as.dict, name);
        if (v) *out = *v;
    }
    return r->status == LULL_OK;
}

bool lull_jinja_get_item(lull_jinja_run *r, const lull_jinja_value *object,
                         const lull_jinja_value *key, lull_jinja_value *out)
{
    *out = lull_jinja_undefined(key->type == LULL_JINJA_STRING ? key->as.text
                                                               : (lull_jinja_text){"item", 4});
    if (object->type == LULL_JINJA_UNDEFINED)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)object->as.text.n,
                               object->as.text.s);
    if (lull_jinja_is_dict(object)) {
        const lull_jinja_value *v = lull_jinja_get(r, object->as.dict, *key);
        if (v) *out = *v;
        if (v || r->status != LULL_OK) return r->status == LULL_OK;
    } else if (key->type == LULL_JINJA_INT || key->type == LULL_JINJA_BOOL) {
        int64_t i = lull_jinja_as_int(key);
        if (lull_jinja_is_list(object)) {
            int64_t n = (int64_t)object->as.list->n;
            if (i < 0) i += n;
            if (i >= 0 && i < n) *out = object->as.list->items[i];
        } else if (object->type == LULL_JINJA_STRING) {
            int64_t n = (int64_t)lull_jinja_n_chars(object->as.text);
            if (!lull_jinja_step(r, 1 + object->as.text.n / 64)) return false;
            if (i < 0) i += n;
            if (i >= 0 && i < n) {
                size_t at = lull_jinja_char_offset(object->as.text, (size_t)i);
                const char *s = object->as.text.s + at;
                *out = lull_jinja_string(s, lull_jinja_char_bytes(s, object->as.text.n - at));
            }
        }
        return true;
    }
    if (key->type == LULL_JINJA_STRING) find_method(r, object, key->as.text, out);
    return r->status == LULL_OK;
}

static bool list_dict(lull_jinja_run *r, const lull_jinja_dict *d, method_id id,
                      lull_jinja_value *out)
{
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, d->n, out)) return false;
    for (size_t i = 0; i < d->n; i++) {
        lull_jinja_value v = id == M_KEYS ? d->pairs[i].key : d->pairs[i].value;
        if (id == M_ITEMS) {
            if (!lull_jinja_new_list(r, LULL_JINJA_TUPLE, 2, &v)) return false;
            if (!lull_jinja_push(r, v.as.list, d->pairs[i].key) ||
                !lull_jinja_push(r, v.as.list, d->pairs[i].value))
                return false;
        }
        if (!lull_jinja_push(r, out->as.list, v)) return false;
    }
    return true;
}

bool lull_jinja_dict_items(lull_jinja_run *r, const lull_jinja_dict *d, lull_jinja_value *out)
{
    return list_dict(r, d, M_ITEMS, out);
}

/* Does t start (or end) with the argument, a string or a tuple of them? */
static bool has_affix(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_value *v,
                      bool at_start, bool *out)
{
    *out = false;
    if (v->type == LULL_JINJA_TUPLE) {
        for (size_t i = 0; i < v->as.list->n && !*out; i++)
            if (!has_affix(r, t, &v->as.list->items[i], at_start, out)) return false;
        return true;
    }
    if (v->type != LULL_JINJA_STRING)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED,
                               "startswith and endswith need a string, not %s",
                               lull_jinja_type_name(v));
    lull_jinja_text part = v->as.text;
    *out = part.n <= t.n && memcmp(at_start ? t.s : t.s + t.n - part.n, part.s, part.n) == 0;
    return true;
}

static bool is_made_of(lull_jinja_text t, method_id id)
{
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        bool is_digit = c >= '0' && c <= '9', is_space = lull_jinja_is_space(c);
        bool is_alpha = (c >= 0x80 && !is_space) || ((c | 32) >= 'a' && (c | 32) <= 'z');
        bool is_fit = id == M_ISDIGIT   ? is_digit
                      : id == M_ISSPACE ? is_space
                      : id == M_ISALPHA ? is_alpha
                                        : is_alpha || is_digit;
        if (!is_fit) return false;
    }
    return t.n > 0;
}

static bool call_string_method(lull_jinja_run *r, const bound_method *m, const lull_jinja_args *a,
                               lull_jinja_value *out)
{
    lull_jinja_text t = m->object.as.text, part = {0}, with = {0};
    int64_t count;
    bool truth;
    if (!lull_jinja_step(r, 1 + t.n / 256)) return false;
    switch (m->id) {
    case M_UPPER: return lull_jinja_change_case(r, t, LULL_JINJA_UPPER_CASE, out);
    case M_LOWER: return lull_jinja_change_case(r, t, LULL_JINJA_LOWER_CASE, out);
    case M_CAPITALIZE: return lull_jinja_change_case(r, t, LULL_JINJA_CAPITALIZE, out);
    case M_TITLE: return lull_jinja_change_case(r, t, LULL_JINJA_TITLE_METHOD, out);
    case M_STRIP:
    case M_LSTRIP:
    case M_RSTRIP:
        if (!lull_jinja_arg_text(r, a, 0, "chars", &part)) return false;
        t = lull_jinja_strip(t, part, m->id != M_RSTRIP, m->id != M_LSTRIP);
        *out = lull_jinja_string(t.s, t.n);
        return true;
    case M_SPLIT:
    case M_RSPLIT:
        if (!lull_jinja_arg_text(r, a, 0, "sep", &part) ||
            !lull_jinja_arg_int(r, a, 1, "maxsplit", -1, &count))
            return false;
        return lull_jinja_split(r, t, part, count, m->id == M_RSPLIT, out);
    case M_SPLITLINES:
        return lull_jinja_split_lines(r, t, lull_jinja_arg_truth(a, 0, "keepends", false), out);
    case M_STARTSWITH:
    case M_ENDSWITH:
        if (!lull_jinja_need_args(r, a, 1, "startswith") ||
            !has_affix(r, t, lull_jinja_arg(a, 0, "prefix"), m->id == M_STARTSWITH, &truth))
            return false;
        *out = lull_jinja_bool(truth);
        return true;
    case M_REMOVEPREFIX:
    case M_REMOVESUFFIX:
        if (!lull_jinja_need_args(r, a, 1, "removeprefix") ||
            !lull_jinja_arg_text(r, a, 0, "prefix", &part) ||
            !has_affix(r, t, lull_jinja_arg(a, 0, "prefix"), m->id == M_REMOVEPREFIX, &truth))
            return false;
        if (truth)
            t = (lull_jinja_text){t.s + (m->id == M_REMOVEPREFIX ? part.n : 0), t.n - part.n};
        *out = lull_jinja_string(t.s, t.n);
        return true;
    case M_REPLACE:
        if (!lull_jinja_need_args(r, a, 2, "replace") ||
            !lull_jinja_arg_text(r, a, 0, "old", &part) ||
            !lull_jinja_arg_text(r, a, 1, "new", &with) ||
            !lull_jinja_arg_int(r, a, 2, "count", -1, &count))
            return false;
        return lull_jinja_replace_text(r, t, part, with, count, out);
    case M_FIND:
    case M_RFIND:
    case M_INDEX: {
        if (!lull_jinja_need_args(r, a, 1, "find") || !lull_jinja_arg_text(r, a, 0, "sub", &part))
            return false;
        size_t at = lull_jinja_find_text(t, part, 0);
        for (size_t next = at; m->id == M_RFIND && next <= t.n;
             next = lull_jinja_find_text(t, part, next + 1))
            at = next;
        if (at > t.n && m->id == M_INDEX)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "substring not found");
        *out =
            lull_jinja_int(at > t.n ? -1 : (int64_t)lull_jinja_n_chars((lull_jinja_text){t.s, at}));
        return true;
    }
    case M_COUNT: {
        if (!lull_jinja_need_args(r, a, 1, "count") || !lull_jinja_arg_text(r, a, 0, "sub", &part))
            return false;
        int64_t n = 0;
        if (part.n == 0) n = (int64_t)lull_jinja_n_chars(t) + 1;
        for (size_t at = 0; part.n && (at = lull_jinja_find_text(t, part, at)) <= t.n; at += part.n)
            n++;
        *out = lull_jinja_int(n);
        return true;
    }
    case M_PARTITION: {
        if (!lull_jinja_need_args(r, a, 1, "partition") ||
            !lull_jinja_arg_text(r, a, 0, "sep", &part))
            return false;
        size_t at = lull_jinja_find_text(t, part, 0);
        bool is_found = at <= t.n;
        size_t first = is_found ? at : t.n, after = is_found ? at + part.n : t.n;
        return lull_jinja_new_list(r, LULL_JINJA_TUPLE, 3, out) &&
               lull_jinja_push_text(r, out->as.list, t.s, first) &&
               lull_jinja_push_text(r, out->as.list, part.s, is_found ? part.n : 0) &&
               lull_jinja_push_text(r, out->as.list, t.s + after, t.n - after);
    }
    case M_JOIN: {
        lull_jinja_list items;
        if (!lull_jinja_need_args(r, a, 1, "join") ||
            !lull_jinja_iterate(r, lull_jinja_arg(a, 0, "iterable"), &items))
            return false;
        return lull_jinja_join(r, &items, t, true, out);
    }
    case M_FORMAT: return lull_jinja_format_braces(r, t, a, out);
    case M_ISUPPER:
        *out = lull_jinja_bool(lull_jinja_is_case(t, LULL_JINJA_UPPER_CASE));
        return true;
    case M_ISLOWER:
        *out = lull_jinja_bool(lull_jinja_is_case(t, LULL_JINJA_LOWER_CASE));
        return true;
    default: *out = lull_jinja_bool(is_made_of(t, m->id)); return true;
    }
}

bool lull_jinja_call_method(lull_jinja_host *h, const lull_jinja_value *method,
                            const lull_jinja_args *args, lull_jinja_value *out)
{
    const bound_method *m = method->as.object;
    lull_jinja_run *r = h->run;
    if (m->object.type == LULL_JINJA_STRING) return call_string_method(r, m, args, out);
    if (lull_jinja_is_list(&m->object)) {
        const lull_jinja_list *l = m->object.as.list;
        int64_t n = 0, first = -1;
        if (!lull_jinja_need_args(r, args, 1, "count and index")) return false;
        for (size_t i = 0; i < l->n; i++) {
            bool is_equal;
            if (!lull_jinja_equal(r, &l->items[i], &args->items[0], &is_equal)) return false;
            n += is_equal;
            if (is_equal && first < 0) first = (int64_t)i;
        }
        if (m->id == M_INDEX && first < 0)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "the value is not in the list");
        *out = lull_jinja_int(m->id == M_INDEX ? first : n);
        return true;
    }
    if (m->id != M_GET) return list_dict(r, m->object.as.dict, m->id, out);
    if (!lull_jinja_need_args(r, args, 1, "get")) return false;
    const lull_jinja_value *v =
        lull_jinja_get(r, m->object.as.dict, *lull_jinja_arg(args, 0, "key"));
    const lull_jinja_value *otherwise = lull_jinja_arg(args, 1, "default");
    *out = v ? *v : otherwise ? *otherwise : lull_jinja_none();
    return r->status == LULL_OK;
}
