/* Attributes, items and methods of values. */
#include "jinja_text.h"

#include <string.h>

/* ---- attributes and items -------------------------------------------------------------------- */

typedef enum method_id {
    M_CAPITALIZE,
    M_CENTER,
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
    M_LJUST,
    M_LOWER,
    M_LSTRIP,
    M_PARTITION,
    M_REMOVEPREFIX,
    M_REMOVESUFFIX,
    M_REPLACE,
    M_RFIND,
    M_RINDEX,
    M_RJUST,
    M_RPARTITION,
    M_RSPLIT,
    M_RSTRIP,
    M_SPLIT,
    M_SPLITLINES,
    M_STARTSWITH,
    M_STRIP,
    M_TITLE,
    M_UPPER,
    M_VALUES,
    M_ZFILL
} method_id;

enum { OF_STRING = 1, OF_LIST = 2, OF_DICT = 4 };

static const struct {
    const char *name;
    int of;
    const char *parameters; /* NULL: any */
    size_t least;           /* of them must be given */
} methods[] = {
    [M_CAPITALIZE] = {"capitalize", OF_STRING, "", 0},
    [M_CENTER] = {"center", OF_STRING, "width/ fillchar/", 1},
    [M_COUNT] = {"count", OF_STRING | OF_LIST, "sub/", 1},
    [M_ENDSWITH] = {"endswith", OF_STRING, "suffix/", 1},
    [M_FIND] = {"find", OF_STRING, "sub/", 1},
    [M_FORMAT] = {"format", OF_STRING, NULL, 0},
    [M_GET] = {"get", OF_DICT, "key/ default/", 1},
    [M_INDEX] = {"index", OF_STRING | OF_LIST, "sub/", 1},
    [M_ISALNUM] = {"isalnum", OF_STRING, "", 0},
    [M_ISALPHA] = {"isalpha", OF_STRING, "", 0},
    [M_ISDIGIT] = {"isdigit", OF_STRING, "", 0},
    [M_ISLOWER] = {"islower", OF_STRING, "", 0},
    [M_ISSPACE] = {"isspace", OF_STRING, "", 0},
    [M_ISUPPER] = {"isupper", OF_STRING, "", 0},
    [M_ITEMS] = {"items", OF_DICT, "", 0},
    [M_JOIN] = {"join", OF_STRING, "iterable/", 1},
    [M_KEYS] = {"keys", OF_DICT, "", 0},
    [M_LJUST] = {"ljust", OF_STRING, "width/ fillchar/", 1},
    [M_LOWER] = {"lower", OF_STRING, "", 0},
    [M_LSTRIP] = {"lstrip", OF_STRING, "chars/", 0},
    [M_PARTITION] = {"partition", OF_STRING, "sep/", 1},
    [M_REMOVEPREFIX] = {"removeprefix", OF_STRING, "prefix/", 1},
    [M_REMOVESUFFIX] = {"removesuffix", OF_STRING, "suffix/", 1},
    [M_REPLACE] = {"replace", OF_STRING, "old/ new/ count/", 2},
    [M_RFIND] = {"rfind", OF_STRING, "sub/", 1},
    [M_RINDEX] = {"rindex", OF_STRING, "sub/", 1},
    [M_RJUST] = {"rjust", OF_STRING, "width/ fillchar/", 1},
    [M_RPARTITION] = {"rpartition", OF_STRING, "sep/", 1},
    [M_RSPLIT] = {"rsplit", OF_STRING, "sep maxsplit", 0},
    [M_RSTRIP] = {"rstrip", OF_STRING, "chars/", 0},
    [M_SPLIT] = {"split", OF_STRING, "sep maxsplit", 0},
    [M_SPLITLINES] = {"splitlines", OF_STRING, "keepends", 0},
    [M_STARTSWITH] = {"startswith", OF_STRING, "prefix/", 1},
    [M_STRIP] = {"strip", OF_STRING, "chars/", 0},
    [M_TITLE] = {"title", OF_STRING, "", 0},
    [M_UPPER] = {"upper", OF_STRING, "", 0},
    [M_VALUES] = {"values", OF_DICT, "", 0},
    [M_ZFILL] = {"zfill", OF_STRING, "width/", 1},
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
        *m = (bound_method){*object, (method_id)i};
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
    if (object->type == LULL_JINJA_TUPLE && object->as.list->is_group) {
        if (lull_jinja_text_is(name, "grouper")) *out = object->as.list->items[0];
        if (lull_jinja_text_is(name, "list")) *out = object->as.list->items[1];
    }
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
            if (!lull_jinja_step(r, object->as.text.n / LULL_JINJA_READ_BYTES)) return false;
            int64_t n = (int64_t)lull_jinja_n_chars(object->as.text);
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
    if (!lull_jinja_step(r, 1 + part.n / LULL_JINJA_COPY_BYTES)) return false;
    *out = part.n <= t.n && memcmp(at_start ? t.s : t.s + t.n - part.n, part.s, part.n) == 0;
    return true;
}

/* The first argument, which must be a string. */
static bool need_text(lull_jinja_run *r, const lull_jinja_args *a, lull_jinja_text *out)
{
    if (a->items[0].type != LULL_JINJA_STRING)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a string is needed, not %s",
                               lull_jinja_type_name(&a->items[0]));
    *out = a->items[0].as.text;
    return true;
}

static bool is_made_of(lull_jinja_run *r, lull_jinja_text t, method_id id)
{
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        bool is_digit = c >= '0' && c <= '9', is_space = lull_jinja_is_space(c);
        bool is_alpha = lull_jinja_is_letter(c);
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
    lull_jinja_text t = m->object.as.text, part = {0};
    int64_t count;
    bool truth;
    switch (m->id) {
    case M_UPPER: return lull_jinja_change_case(r, t, LULL_JINJA_UPPER_CASE, out);
    case M_LOWER: return lull_jinja_change_case(r, t, LULL_JINJA_LOWER_CASE, out);
    case M_CAPITALIZE: return lull_jinja_change_case(r, t, LULL_JINJA_CAPITALIZE, out);
    case M_TITLE: return lull_jinja_change_case(r, t, LULL_JINJA_TITLE_METHOD, out);
    case M_STRIP:
    case M_LSTRIP:
    case M_RSTRIP:
        if (!lull_jinja_arg_text(r, a, 0, "chars", &part)) return false;
        t = lull_jinja_strip(r, t, part, m->id != M_RSTRIP, m->id != M_LSTRIP);
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
        if (!has_affix(r, t, &a->items[0], m->id == M_STARTSWITH, &truth)) return false;
        *out = lull_jinja_bool(truth);
        return true;
    case M_REMOVEPREFIX:
    case M_REMOVESUFFIX:
        if (!need_text(r, a, &part) ||
            !has_affix(r, t, &a->items[0], m->id == M_REMOVEPREFIX, &truth))
            return false;
        if (truth)
            t = (lull_jinja_text){t.s + (m->id == M_REMOVEPREFIX ? part.n : 0), t.n - part.n};
        *out = lull_jinja_string(t.s, t.n);
        return true;
    case M_REPLACE:
        if (!need_text(r, a, &part) || !lull_jinja_arg_int(r, a, 2, "count", -1, &count))
            return false;
        if (a->items[1].type != LULL_JINJA_STRING)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "replace needs strings, not %s",
                                   lull_jinja_type_name(&a->items[1]));
        return lull_jinja_replace_text(r, t, part, a->items[1].as.text, count, out);
    case M_FIND:
    case M_RFIND:
    case M_INDEX:
    case M_RINDEX: {
        bool is_last = m->id == M_RFIND || m->id == M_RINDEX;
        if (!need_text(r, a, &part)) return false;
        size_t at =
            is_last ? lull_jinja_find_last(r, t, part) : lull_jinja_find_text(r, t, part, 0);
        if (at > t.n && (m->id == M_INDEX || m->id == M_RINDEX))
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "substring not found");
        if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
        *out =
            lull_jinja_int(at > t.n ? -1 : (int64_t)lull_jinja_n_chars((lull_jinja_text){t.s, at}));
        return true;
    }
    case M_COUNT:
        if (!need_text(r, a, &part) || !lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES))
            return false;
        count = part.n == 0 ? (int64_t)lull_jinja_n_chars(t) + 1 : 0;
        for (size_t at = 0; part.n && (at = lull_jinja_find_text(r, t, part, at)) <= t.n;
             at += part.n)
            if (count++, !lull_jinja_step(r, 1)) return false;
        *out = lull_jinja_int(count);
        return true;
    case M_PARTITION:
    case M_RPARTITION: {
        if (!need_text(r, a, &part)) return false;
        if (part.n == 0) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "empty separator");
        size_t at = m->id == M_PARTITION ? lull_jinja_find_text(r, t, part, 0)
                                         : lull_jinja_find_last(r, t, part);
        /* What is not found stands behind, or, from the right, in front of it all. */
        if (at > t.n) {
            at = m->id == M_PARTITION ? t.n : 0;
            part.n = 0;
        }
        return lull_jinja_new_list(r, LULL_JINJA_TUPLE, 3, out) &&
               lull_jinja_push_text(r, out->as.list, t.s, at) &&
               lull_jinja_push_text(r, out->as.list, part.s, part.n) &&
               lull_jinja_push_text(r, out->as.list, t.s + at + part.n, t.n - at - part.n);
    }
    case M_CENTER:
    case M_LJUST:
    case M_RJUST:
    case M_ZFILL: {
        lull_jinja_text fill = {" ", 1};
        if (!lull_jinja_arg_int(r, a, 0, "width", 0, &count) ||
            (a->n > 1 && !lull_jinja_arg_text(r, a, 1, "fillchar", &fill)))
            return false;
        if (lull_jinja_n_chars(fill) != 1)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "fillchar must be one character");
        if (m->id == M_ZFILL) return lull_jinja_fill_zeros(r, t, count, out);
        return lull_jinja_pad(r, t, count, fill,
                              m->id == M_CENTER  ? LULL_JINJA_PAD_BOTH
                              : m->id == M_LJUST ? LULL_JINJA_PAD_END
                                                 : LULL_JINJA_PAD_START,
                              out);
    }
    case M_JOIN: {
        lull_jinja_list items;
        if (!lull_jinja_iterate(r, &a->items[0], &items)) return false;
        return lull_jinja_join(r, &items, t, true, out);
    }
    case M_FORMAT: return lull_jinja_format_braces(r, t, a, out);
    case M_ISUPPER:
        if (!lull_jinja_is_case(r, t, LULL_JINJA_UPPER_CASE, &truth)) return false;
        *out = lull_jinja_bool(truth);
        return true;
    case M_ISLOWER:
        if (!lull_jinja_is_case(r, t, LULL_JINJA_LOWER_CASE, &truth)) return false;
        *out = lull_jinja_bool(truth);
        return true;
    default: *out = lull_jinja_bool(is_made_of(r, t, m->id)); return true;
    }
}

bool lull_jinja_call_method(lull_jinja_host *h, const lull_jinja_value *method,
                            const lull_jinja_args *args, lull_jinja_value *out)
{
    const bound_method *m = method->as.object;
    lull_jinja_run *r = h->run;
    if (methods[m->id].parameters &&
        !lull_jinja_check_args(r, args, methods[m->id].name, methods[m->id].parameters,
                               methods[m->id].least))
        return false;
    if (m->object.type == LULL_JINJA_STRING) return call_string_method(r, m, args, out);
    if (lull_jinja_is_list(&m->object)) {
        const lull_jinja_list *l = m->object.as.list;
        int64_t n = 0, first = -1;
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
    if (!lull_jinja_need_hashable(r, &args->items[0])) return false;
    const lull_jinja_value *v = lull_jinja_get(r, m->object.as.dict, args->items[0]);
    const lull_jinja_value *otherwise = lull_jinja_arg(args, 1, NULL);
    *out = v ? *v : otherwise ? *otherwise : lull_jinja_none();
    return r->status == LULL_OK;
}
