#include "jinja_lib.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- arguments ------------------------------------------------------------------------------- */

/* Argument i, or the named one; NULL: neither. */
static const jinja_value *arg(const jinja_args *a, size_t i, const char *name)
{
    if (i < a->n) return &a->items[i];
    for (size_t k = 0; name && k < a->n_named; k++)
        if (jinja_text_is(a->names[k], name)) return &a->named[k];
    return NULL;
}

static bool truth_arg(const jinja_args *a, size_t i, const char *name, bool otherwise)
{
    const jinja_value *v = arg(a, i, name);
    return v ? jinja_truth(v) : otherwise;
}

static bool int_arg(jinja_run *r, const jinja_args *a, size_t i, const char *name,
                    int64_t otherwise, int64_t *out)
{
    const jinja_value *v = arg(a, i, name);
    *out = otherwise;
    if (!v || v->type == JINJA_NONE) return true;
    if (v->type != JINJA_INT && v->type != JINJA_BOOL)
        return jinja_fail(r, LULL_EUNSUPPORTED, "%s must be an integer, not %s", name,
                          jinja_type_name(v));
    *out = jinja_as_int(v);
    return true;
}

/* An argument that must be text; *out untouched when it is missing. */
static bool text_arg(jinja_run *r, const jinja_args *a, size_t i, const char *name, jinja_text *out)
{
    const jinja_value *v = arg(a, i, name);
    if (!v || v->type == JINJA_NONE) return true;
    if (v->type != JINJA_STRING)
        return jinja_fail(r, LULL_EUNSUPPORTED, "%s must be a string, not %s", name,
                          jinja_type_name(v));
    *out = v->as.text;
    return true;
}

static bool need_args(jinja_run *r, const jinja_args *a, size_t least, const char *what)
{
    return a->n + a->n_named >= least || jinja_fail(r, LULL_EUNSUPPORTED, "%s needs %zu argument%s",
                                                    what, least, least == 1 ? "" : "s");
}

/* ---- letters --------------------------------------------------------------------------------- */

/* ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic; other letters stay as they are. */
static uint32_t to_upper(uint32_t c)
{
    if (c >= 'a' && c <= 'z') return c - 32;
    if (c == 0xb5) return 0x39c;
    if (c == 0xff) return 0x178;
    if (c >= 0xe0 && c <= 0xfe && c != 0xf7) return c - 32;
    if ((c >= 0x100 && c <= 0x137 && c != 0x131) || (c >= 0x14a && c <= 0x177)) return c & ~1u;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c - (c % 2 == 0);
    if (c == 0x3ac) return 0x386;
    if (c >= 0x3ad && c <= 0x3af) return c - 37;
    if (c == 0x3c2) return 0x3a3;
    if (c >= 0x3b1 && c <= 0x3cb) return c - 32;
    if (c == 0x3cc) return 0x38c;
    if (c == 0x3cd || c == 0x3ce) return c - 63;
    if (c >= 0x430 && c <= 0x44f) return c - 32;
    if (c >= 0x450 && c <= 0x45f) return c - 80;
    return c;
}

static uint32_t to_lower(uint32_t c)
{
    if (c >= 'A' && c <= 'Z') return c + 32;
    if (c == 0x178) return 0xff;
    if (c >= 0xc0 && c <= 0xde && c != 0xd7) return c + 32;
    if ((c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14a && c <= 0x177)) return c | 1u;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c + (c % 2 == 1);
    if (c == 0x386) return 0x3ac;
    if (c >= 0x388 && c <= 0x38a) return c + 37;
    if (c == 0x38c) return 0x3cc;
    if (c == 0x38e || c == 0x38f) return c + 63;
    if (c >= 0x391 && c <= 0x3ab && c != 0x3a2) return c + 32;
    if (c >= 0x410 && c <= 0x42f) return c + 32;
    if (c >= 0x400 && c <= 0x40f) return c + 80;
    return c;
}

static bool has_case(uint32_t c)
{
    return to_upper(c) != c || to_lower(c) != c || c == 0xdf;
}

typedef enum casing { UPPER, LOWER, CAPITALIZE, TITLE_METHOD, TITLE_FILTER } casing;

static bool change_case(jinja_run *r, jinja_text t, casing how, jinja_value *out)
{
    lull_buffer b = {0};
    bool is_start = true;
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = jinja_char_at(t.s + i, t.n - i, &k);
        bool is_up = how == UPPER || (how != LOWER && is_start);
        uint32_t changed = is_up ? to_upper(c) : to_lower(c);
        char bytes[4];
        if (is_up && c == 0xdf)
            lull_buffer_append_str(&b, how == UPPER ? "SS" : "Ss");
        else if (changed == c)
            lull_buffer_append(&b, t.s + i, k);
        else
            lull_buffer_append(&b, bytes, jinja_put_char(changed, bytes));
        if (how == TITLE_METHOD)
            is_start = !has_case(c);
        else if (how == TITLE_FILTER)
            is_start = jinja_is_space(c) || (c && c < 0x80 && strchr("-({[<", (int)c));
        else
            is_start = false;
    }
    return jinja_step(r, t.n / 16) ? jinja_take_buffer(r, &b, out) : (lull_buffer_fini(&b), false);
}

static bool is_all(jinja_text t, uint32_t (*other)(uint32_t))
{
    bool has_any = false;
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = jinja_char_at(t.s + i, t.n - i, &k);
        if (other(c) != c) return false;
        has_any = has_any || has_case(c);
    }
    return has_any;
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool is_in_set(jinja_text set, const char *s, size_t k)
{
    for (size_t i = 0, n; i < set.n; i += n) {
        n = jinja_char_bytes(set.s + i, set.n - i);
        if (n == k && memcmp(set.s + i, s, k) == 0) return true;
    }
    return false;
}

/* set.s NULL: white space. */
static jinja_text strip(jinja_text t, jinja_text set, bool at_start, bool at_end)
{
    size_t from = 0, to = t.n, last = 0, k;
    if (at_start)
        for (; from < t.n; from += k) {
            uint32_t c = jinja_char_at(t.s + from, t.n - from, &k);
            if (!(set.s ? is_in_set(set, t.s + from, k) : jinja_is_space(c))) break;
        }
    if (at_end) {
        last = from;
        for (size_t i = from; i < t.n; i += k) {
            uint32_t c = jinja_char_at(t.s + i, t.n - i, &k);
            if (!(set.s ? is_in_set(set, t.s + i, k) : jinja_is_space(c))) last = i + k;
        }
        to = last;
    }
    return (jinja_text){t.s + from, to - from};
}

/* First occurrence of part at or after `from`; t.n + 1 when there is none. */
static size_t find_text(jinja_text t, jinja_text part, size_t from)
{
    if (from > t.n || part.n > t.n - from) return t.n + 1;
    if (part.n == 0) return from;
    const char *at = memmem(t.s + from, t.n - from, part.s, part.n);
    return at ? (size_t)(at - t.s) : t.n + 1;
}

static bool replace_text(jinja_run *r, jinja_text t, jinja_text old, jinja_text with, int64_t count,
                         jinja_value *out)
{
    lull_buffer b = {0};
    size_t at = 0, n_done = 0;
    while (count < 0 || (int64_t)n_done < count) {
        size_t found = find_text(t, old, at);
        if (found > t.n) break;
        lull_buffer_append(&b, t.s + at, found - at);
        lull_buffer_append(&b, with.s, with.n);
        n_done++;
        at = found + old.n;
        if (old.n == 0) { /* between all characters */
            if (found >= t.n) break;
            size_t k = jinja_char_bytes(t.s + found, t.n - found);
            lull_buffer_append(&b, t.s + found, k);
            at = found + k;
        }
        if (!jinja_step(r, 1 + with.n / 64) || b.n_bytes > JINJA_MAX_OUTPUT) {
            lull_buffer_fini(&b);
            return jinja_fail(r, LULL_EFULL, "its text is too long");
        }
    }
    if (at < t.n) lull_buffer_append(&b, t.s + at, t.n - at);
    return jinja_take_buffer(r, &b, out);
}

static bool push_text(jinja_run *r, jinja_list *l, const char *s, size_t n)
{
    return jinja_push(r, l, jinja_string(s, n));
}

/* str.split and str.rsplit; separator.s NULL: by runs of white space. */
static bool split_text(jinja_run *r, jinja_text t, jinja_text separator, int64_t most,
                       bool from_right, jinja_value *out)
{
    if (separator.s && separator.n == 0) return jinja_fail(r, LULL_EUNSUPPORTED, "empty separator");
    if (!jinja_new_list(r, JINJA_LIST, 4, out)) return false;
    jinja_list *l = out->as.list;
    if (!from_right) {
        size_t at = 0;
        if (!separator.s) {
            t = strip(t, (jinja_text){0}, true, false);
            while (t.n > 0) {
                if (most >= 0 && (int64_t)l->n == most) {
                    t = strip(t, (jinja_text){0}, false, true);
                    return push_text(r, l, t.s, t.n);
                }
                size_t end = 0, k;
                while (end < t.n && !jinja_is_space(jinja_char_at(t.s + end, t.n - end, &k)))
                    end += k;
                if (!push_text(r, l, t.s, end)) return false;
                t = strip((jinja_text){t.s + end, t.n - end}, (jinja_text){0}, true, false);
            }
            return true;
        }
        while (most < 0 || (int64_t)l->n < most) {
            size_t found = find_text(t, separator, at);
            if (found > t.n) break;
            if (!push_text(r, l, t.s + at, found - at)) return false;
            at = found + separator.n;
        }
        return push_text(r, l, t.s + at, t.n - at);
    }
    /* From the right: the parts are found backwards, then turned round. */
    for (;;) {
        if (!separator.s) t = strip(t, (jinja_text){0}, false, true);
        if (!separator.s && t.n == 0) break;
        size_t cut = t.n + 1, after = 0;
        if (most < 0 || (int64_t)l->n < most) {
            if (!separator.s) {
                for (size_t i = 0, k; i < t.n; i += k)
                    if (jinja_is_space(jinja_char_at(t.s + i, t.n - i, &k))) {
                        cut = i;
                        after = i + k;
                    }
            } else {
                for (size_t i = t.n; i >= separator.n && cut > t.n; i--)
                    if (memcmp(t.s + i - separator.n, separator.s, separator.n) == 0) {
                        cut = i - separator.n;
                        after = i;
                    }
            }
            if (!jinja_step(r, 1 + t.n / 64)) return false;
        }
        if (cut > t.n) {
            if (!separator.s) t = strip(t, (jinja_text){0}, true, false);
            if (!push_text(r, l, t.s, t.n)) return false;
            break;
        }
        if (!push_text(r, l, t.s + after, t.n - after)) return false;
        t.n = cut;
    }
    for (size_t i = 0; i < l->n / 2; i++) {
        jinja_value v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
    return true;
}

/* Length of a line end at s (str.splitlines); 0: none. */
static size_t line_end_bytes(const char *s, size_t n)
{
    size_t k;
    uint32_t c = jinja_char_at(s, n, &k);
    if (c == '\r') return n > 1 && s[1] == '\n' ? 2 : 1;
    bool is_end =
        (c >= 10 && c <= 12) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
    return is_end ? k : 0;
}

static bool split_lines(jinja_run *r, jinja_text t, bool keep_ends, jinja_value *out)
{
    size_t from = 0;
    if (!jinja_new_list(r, JINJA_LIST, 4, out)) return false;
    for (size_t i = 0; i < t.n;) {
        size_t end = line_end_bytes(t.s + i, t.n - i);
        if (!end) {
            i += jinja_char_bytes(t.s + i, t.n - i);
            continue;
        }
        if (!push_text(r, out->as.list, t.s + from, i - from + (keep_ends ? end : 0))) return false;
        from = i += end;
    }
    return from >= t.n || push_text(r, out->as.list, t.s + from, t.n - from);
}

static bool join_list(jinja_run *r, const jinja_list *l, jinja_text separator, bool must_be_text,
                      jinja_value *out)
{
    lull_buffer b = {0};
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) lull_buffer_append(&b, separator.s, separator.n);
        if (must_be_text && l->items[i].type != JINJA_STRING) {
            lull_buffer_fini(&b);
            return jinja_fail(r, LULL_EUNSUPPORTED, "item %zu to be joined is %s, not a string", i,
                              jinja_type_name(&l->items[i]));
        }
        if (!jinja_print(r, &l->items[i], false, &b)) {
            lull_buffer_fini(&b);
            return false;
        }
    }
    return jinja_take_buffer(r, &b, out);
}

/* Python's % for %s, %r, %d, %i, %f, %e, %g, %x, %c and %%, and %(name)s with a dict. */
static bool format_text(jinja_run *r, jinja_text t, const jinja_list *items, const jinja_dict *dict,
                        jinja_value *out)
{
    lull_buffer b = {0};
    size_t n_used = 0;
    const char *why = NULL;
    for (size_t i = 0; i < t.n && !why; i++) {
        if (t.s[i] != '%') {
            lull_buffer_append(&b, t.s + i, 1);
            continue;
        }
        if (++i < t.n && t.s[i] == '%') {
            lull_buffer_append(&b, "%", 1);
            continue;
        }
        const jinja_value *v = NULL;
        if (i < t.n && t.s[i] == '(' && dict) {
            size_t end = i;
            while (end < t.n && t.s[end] != ')') end++;
            if (end < t.n) v = jinja_get_name(r, dict, (jinja_text){t.s + i + 1, end - i - 1});
            i = end + 1;
        } else if (items && n_used < items->n) {
            v = &items->items[n_used++];
        }
        char spec[32] = "%";
        size_t n_spec = 1;
        while (i < t.n && n_spec < 12 && t.s[i] && strchr("-+ #0123456789.", t.s[i]))
            spec[n_spec++] = t.s[i++];
        char kind = i < t.n ? t.s[i] : 0, number[512];
        int width = abs(atoi(spec + 1 + strspn(spec + 1, "-+ #0")));
        if (!v || !kind || width > 400) {
            why = "its format and its arguments do not agree";
        } else if (kind == 's' || kind == 'r') {
            lull_buffer text = {0};
            if (jinja_print(r, v, kind == 'r', &text)) {
                size_t n_chars = jinja_n_chars((jinja_text){text.data, text.n_bytes});
                bool is_left = spec[1] == '-';
                for (size_t k = n_chars; !is_left && k < (size_t)width; k++)
                    lull_buffer_append(&b, " ", 1);
                lull_buffer_append(&b, text.data, text.n_bytes);
                for (size_t k = n_chars; is_left && k < (size_t)width; k++)
                    lull_buffer_append(&b, " ", 1);
            }
            lull_buffer_fini(&text);
        } else if (strchr("dixXo", kind) && jinja_is_number(v)) {
            int64_t n = v->type == JINJA_FLOAT ? (int64_t)v->as.number : jinja_as_int(v);
            snprintf(spec + n_spec, sizeof spec - n_spec, "%s%c", PRId64[0] == 'l' ? "l" : "ll",
                     kind == 'i' ? 'd' : kind);
            snprintf(number, sizeof number, spec, n);
            lull_buffer_append_str(&b, number);
        } else if (strchr("feEgGF", kind) && jinja_is_number(v)) {
            spec[n_spec] = kind;
            spec[n_spec + 1] = '\0';
            snprintf(number, sizeof number, spec, jinja_as_float(v));
            lull_buffer_append_str(&b, number);
        } else {
            why = "its format and its arguments do not agree";
        }
    }
    if (!why && items && n_used < items->n) why = "not all arguments were used by its format";
    if (why || r->status != LULL_OK) {
        lull_buffer_fini(&b);
        return jinja_fail(r, LULL_EUNSUPPORTED, "%s", why ? why : "failed");
    }
    return jinja_take_buffer(r, &b, out);
}

/* ---- operators ------------------------------------------------------------------------------- */

bool jinja_add(jinja_run *r, const jinja_value *a, const jinja_value *b, jinja_value *out)
{
    if (a->type == JINJA_STRING && b->type == JINJA_STRING) {
        lull_buffer buf = {0};
        lull_buffer_append(&buf, a->as.text.s, a->as.text.n);
        lull_buffer_append(&buf, b->as.text.s, b->as.text.n);
        return jinja_take_buffer(r, &buf, out);
    }
    if (jinja_is_list(a) && a->type == b->type) {
        const jinja_list *x = a->as.list, *y = b->as.list;
        if (!jinja_new_list(r, a->type, x->n + y->n, out)) return false;
        for (size_t i = 0; i < x->n; i++)
            if (!jinja_push(r, out->as.list, x->items[i])) return false;
        for (size_t i = 0; i < y->n; i++)
            if (!jinja_push(r, out->as.list, y->items[i])) return false;
        return true;
    }
    if (jinja_is_number(a) && jinja_is_number(b)) {
        int64_t sum;
        if (a->type == JINJA_FLOAT || b->type == JINJA_FLOAT) {
            *out = jinja_float(jinja_as_float(a) + jinja_as_float(b));
            return true;
        }
        if (__builtin_add_overflow(jinja_as_int(a), jinja_as_int(b), &sum))
            return jinja_fail(r, LULL_EUNSUPPORTED, "a number beyond 64 bits");
        *out = jinja_int(sum);
        return true;
    }
    return jinja_fail(r, LULL_EUNSUPPORTED, "'%s' and '%s' cannot be added", jinja_type_name(a),
                      jinja_type_name(b));
}

bool jinja_contains(jinja_run *r, const jinja_value *container, const jinja_value *v, bool *out)
{
    *out = false;
    switch (container->type) {
    case JINJA_UNDEFINED: return true;
    case JINJA_STRING:
        if (v->type != JINJA_STRING)
            return jinja_fail(r, LULL_EUNSUPPORTED, "'in <string>' needs a string, not %s",
                              jinja_type_name(v));
        *out = find_text(container->as.text, v->as.text, 0) <= container->as.text.n;
        return jinja_step(r, container->as.text.n / 256);
    case JINJA_LIST:
    case JINJA_TUPLE:
        for (size_t i = 0; i < container->as.list->n && !*out; i++)
            if (!jinja_equal(r, &container->as.list->items[i], v, out)) return false;
        return true;
    case JINJA_DICT: *out = jinja_get(r, container->as.dict, *v) != NULL; break;
    default:
        return jinja_fail(r, LULL_EUNSUPPORTED, "'%s' object has no members",
                          jinja_type_name(container));
    }
    return r->status == LULL_OK;
}

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
    jinja_value object;
    method_id id;
} bound_method;

static bool find_method(jinja_run *r, const jinja_value *object, jinja_text name, jinja_value *out)
{
    int of = object->type == JINJA_STRING ? OF_STRING
             : jinja_is_list(object)      ? OF_LIST
             : object->type == JINJA_DICT ? OF_DICT
                                          : 0;
    for (size_t i = 0; of && i < sizeof methods / sizeof *methods; i++) {
        if (!(methods[i].of & of) || !jinja_text_is(name, methods[i].name)) continue;
        bound_method *m = jinja_alloc(r, sizeof *m);
        if (!m) return false;
        *m = (bound_method){*object, methods[i].id};
        *out = (jinja_value){JINJA_METHOD, {.object = m}};
        return true;
    }
    return false;
}

bool jinja_get_attribute(jinja_run *r, const jinja_value *object, jinja_text name, jinja_value *out)
{
    *out = jinja_undefined(name);
    if (object->type == JINJA_UNDEFINED)
        return jinja_fail(r, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)object->as.text.n,
                          object->as.text.s);
    if (find_method(r, object, name, out)) return true;
    if (jinja_is_dict(object)) {
        const jinja_value *v = jinja_get_name(r, object->as.dict, name);
        if (v) *out = *v;
    }
    return r->status == LULL_OK;
}

bool jinja_get_item(jinja_run *r, const jinja_value *object, const jinja_value *key,
                    jinja_value *out)
{
    *out = jinja_undefined(key->type == JINJA_STRING ? key->as.text : (jinja_text){"item", 4});
    if (object->type == JINJA_UNDEFINED)
        return jinja_fail(r, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)object->as.text.n,
                          object->as.text.s);
    if (jinja_is_dict(object)) {
        const jinja_value *v = jinja_get(r, object->as.dict, *key);
        if (v) *out = *v;
        if (v || r->status != LULL_OK) return r->status == LULL_OK;
    } else if (key->type == JINJA_INT || key->type == JINJA_BOOL) {
        int64_t i = jinja_as_int(key);
        if (jinja_is_list(object)) {
            int64_t n = (int64_t)object->as.list->n;
            if (i < 0) i += n;
            if (i >= 0 && i < n) *out = object->as.list->items[i];
        } else if (object->type == JINJA_STRING) {
            int64_t n = (int64_t)jinja_n_chars(object->as.text);
            if (!jinja_step(r, 1 + object->as.text.n / 64)) return false;
            if (i < 0) i += n;
            if (i >= 0 && i < n) {
                size_t at = jinja_char_offset(object->as.text, (size_t)i);
                const char *s = object->as.text.s + at;
                *out = jinja_string(s, jinja_char_bytes(s, object->as.text.n - at));
            }
        }
        return true;
    }
    if (key->type == JINJA_STRING) find_method(r, object, key->as.text, out);
    return r->status == LULL_OK;
}

static bool dict_list(jinja_run *r, const jinja_dict *d, method_id id, jinja_value *out)
{
    if (!jinja_new_list(r, JINJA_LIST, d->n, out)) return false;
    for (size_t i = 0; i < d->n; i++) {
        jinja_value v = id == M_KEYS ? d->pairs[i].key : d->pairs[i].value;
        if (id == M_ITEMS) {
            if (!jinja_new_list(r, JINJA_TUPLE, 2, &v)) return false;
            if (!jinja_push(r, v.as.list, d->pairs[i].key) ||
                !jinja_push(r, v.as.list, d->pairs[i].value))
                return false;
        }
        if (!jinja_push(r, out->as.list, v)) return false;
    }
    return true;
}

/* Does t start (or end) with the argument, a string or a tuple of them? */
static bool has_affix(jinja_run *r, jinja_text t, const jinja_value *v, bool at_start, bool *out)
{
    *out = false;
    if (v->type == JINJA_TUPLE) {
        for (size_t i = 0; i < v->as.list->n && !*out; i++)
            if (!has_affix(r, t, &v->as.list->items[i], at_start, out)) return false;
        return true;
    }
    if (v->type != JINJA_STRING)
        return jinja_fail(r, LULL_EUNSUPPORTED, "startswith and endswith need a string, not %s",
                          jinja_type_name(v));
    jinja_text part = v->as.text;
    *out = part.n <= t.n && memcmp(at_start ? t.s : t.s + t.n - part.n, part.s, part.n) == 0;
    return true;
}

/* {} and {0} and {name} of str.format; no format specifications. */
static bool format_braces(jinja_run *r, jinja_text t, const jinja_args *a, jinja_value *out)
{
    lull_buffer b = {0};
    size_t n_auto = 0;
    bool is_ok = true;
    for (size_t i = 0; i < t.n && is_ok; i++) {
        char c = t.s[i];
        if ((c == '{' || c == '}') && i + 1 < t.n && t.s[i + 1] == c) {
            lull_buffer_append(&b, &c, 1);
            i++;
        } else if (c == '{') {
            size_t end = i + 1;
            while (end < t.n && t.s[end] != '}') end++;
            jinja_text name = {t.s + i + 1, end - i - 1};
            const jinja_value *v = NULL;
            if (name.n == 0) {
                v = arg(a, n_auto++, NULL);
            } else if (name.s[0] >= '0' && name.s[0] <= '9') {
                v = arg(a, (size_t)strtoul(name.s, NULL, 10), NULL);
            } else {
                for (size_t k = 0; k < a->n_named; k++)
                    if (a->names[k].n == name.n && memcmp(a->names[k].s, name.s, name.n) == 0)
                        v = &a->named[k];
            }
            is_ok = end < t.n && v && jinja_print(r, v, false, &b);
            i = end;
        } else if (c == '}') {
            is_ok = false;
        } else {
            lull_buffer_append(&b, &c, 1);
        }
    }
    if (is_ok) return jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return jinja_fail(r, LULL_EUNSUPPORTED, "its format and its arguments do not agree");
}

static bool is_made_of(jinja_text t, method_id id)
{
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = jinja_char_at(t.s + i, t.n - i, &k);
        bool is_digit = c >= '0' && c <= '9', is_space = jinja_is_space(c);
        bool is_alpha = (c >= 0x80 && !is_space) || ((c | 32) >= 'a' && (c | 32) <= 'z');
        bool is_fit = id == M_ISDIGIT   ? is_digit
                      : id == M_ISSPACE ? is_space
                      : id == M_ISALPHA ? is_alpha
                                        : is_alpha || is_digit;
        if (!is_fit) return false;
    }
    return t.n > 0;
}

static bool call_string_method(jinja_run *r, const bound_method *m, const jinja_args *a,
                               jinja_value *out)
{
    jinja_text t = m->object.as.text, part = {0}, with = {0};
    int64_t count;
    bool truth;
    if (!jinja_step(r, 1 + t.n / 256)) return false;
    switch (m->id) {
    case M_UPPER: return change_case(r, t, UPPER, out);
    case M_LOWER: return change_case(r, t, LOWER, out);
    case M_CAPITALIZE: return change_case(r, t, CAPITALIZE, out);
    case M_TITLE: return change_case(r, t, TITLE_METHOD, out);
    case M_STRIP:
    case M_LSTRIP:
    case M_RSTRIP:
        if (!text_arg(r, a, 0, "chars", &part)) return false;
        t = strip(t, part, m->id != M_RSTRIP, m->id != M_LSTRIP);
        *out = jinja_string(t.s, t.n);
        return true;
    case M_SPLIT:
    case M_RSPLIT:
        if (!text_arg(r, a, 0, "sep", &part) || !int_arg(r, a, 1, "maxsplit", -1, &count))
            return false;
        return split_text(r, t, part, count, m->id == M_RSPLIT, out);
    case M_SPLITLINES: return split_lines(r, t, truth_arg(a, 0, "keepends", false), out);
    case M_STARTSWITH:
    case M_ENDSWITH:
        if (!need_args(r, a, 1, "startswith") ||
            !has_affix(r, t, arg(a, 0, "prefix"), m->id == M_STARTSWITH, &truth))
            return false;
        *out = jinja_bool(truth);
        return true;
    case M_REMOVEPREFIX:
    case M_REMOVESUFFIX:
        if (!need_args(r, a, 1, "removeprefix") || !text_arg(r, a, 0, "prefix", &part) ||
            !has_affix(r, t, arg(a, 0, "prefix"), m->id == M_REMOVEPREFIX, &truth))
            return false;
        if (truth) t = (jinja_text){t.s + (m->id == M_REMOVEPREFIX ? part.n : 0), t.n - part.n};
        *out = jinja_string(t.s, t.n);
        return true;
    case M_REPLACE:
        if (!need_args(r, a, 2, "replace") || !text_arg(r, a, 0, "old", &part) ||
            !text_arg(r, a, 1, "new", &with) || !int_arg(r, a, 2, "count", -1, &count))
            return false;
        return replace_text(r, t, part, with, count, out);
    case M_FIND:
    case M_RFIND:
    case M_INDEX: {
        if (!need_args(r, a, 1, "find") || !text_arg(r, a, 0, "sub", &part)) return false;
        size_t at = find_text(t, part, 0);
        for (size_t next = at; m->id == M_RFIND && next <= t.n; next = find_text(t, part, next + 1))
            at = next;
        if (at > t.n && m->id == M_INDEX)
            return jinja_fail(r, LULL_EUNSUPPORTED, "substring not found");
        *out = jinja_int(at > t.n ? -1 : (int64_t)jinja_n_chars((jinja_text){t.s, at}));
        return true;
    }
    case M_COUNT: {
        if (!need_args(r, a, 1, "count") || !text_arg(r, a, 0, "sub", &part)) return false;
        int64_t n = 0;
        if (part.n == 0) n = (int64_t)jinja_n_chars(t) + 1;
        for (size_t at = 0; part.n && (at = find_text(t, part, at)) <= t.n; at += part.n) n++;
        *out = jinja_int(n);
        return true;
    }
    case M_PARTITION: {
        if (!need_args(r, a, 1, "partition") || !text_arg(r, a, 0, "sep", &part)) return false;
        size_t at = find_text(t, part, 0);
        bool is_found = at <= t.n;
        size_t first = is_found ? at : t.n, after = is_found ? at + part.n : t.n;
        return jinja_new_list(r, JINJA_TUPLE, 3, out) && push_text(r, out->as.list, t.s, first) &&
               push_text(r, out->as.list, part.s, is_found ? part.n : 0) &&
               push_text(r, out->as.list, t.s + after, t.n - after);
    }
    case M_JOIN: {
        jinja_list items;
        if (!need_args(r, a, 1, "join") || !jinja_iterate(r, arg(a, 0, "iterable"), &items))
            return false;
        return join_list(r, &items, t, true, out);
    }
    case M_FORMAT: return format_braces(r, t, a, out);
    case M_ISUPPER: *out = jinja_bool(is_all(t, to_upper)); return true;
    case M_ISLOWER: *out = jinja_bool(is_all(t, to_lower)); return true;
    default: *out = jinja_bool(is_made_of(t, m->id)); return true;
    }
}

bool jinja_call_method(jinja_host *h, const jinja_value *method, const jinja_args *args,
                       jinja_value *out)
{
    const bound_method *m = method->as.object;
    jinja_run *r = h->run;
    if (m->object.type == JINJA_STRING) return call_string_method(r, m, args, out);
    if (jinja_is_list(&m->object)) {
        const jinja_list *l = m->object.as.list;
        int64_t n = 0, first = -1;
        if (!need_args(r, args, 1, "count and index")) return false;
        for (size_t i = 0; i < l->n; i++) {
            bool is_equal;
            if (!jinja_equal(r, &l->items[i], &args->items[0], &is_equal)) return false;
            n += is_equal;
            if (is_equal && first < 0) first = (int64_t)i;
        }
        if (m->id == M_INDEX && first < 0)
            return jinja_fail(r, LULL_EUNSUPPORTED, "the value is not in the list");
        *out = jinja_int(m->id == M_INDEX ? first : n);
        return true;
    }
    if (m->id != M_GET) return dict_list(r, m->object.as.dict, m->id, out);
    if (!need_args(r, args, 1, "get")) return false;
    const jinja_value *v = jinja_get(r, m->object.as.dict, *arg(args, 0, "key"));
    const jinja_value *otherwise = arg(args, 1, "default");
    *out = v ? *v : otherwise ? *otherwise : jinja_none();
    return r->status == LULL_OK;
}

/* ---- tests ----------------------------------------------------------------------------------- */

typedef bool (*test_fn)(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out);

#define TYPE_TEST(name, condition)                                                                 \
    static bool test_##name(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)    \
    {                                                                                              \
        (void)r, (void)v, (void)a;                                                                 \
        *out = (condition);                                                                        \
        return true;                                                                               \
    }
TYPE_TEST(defined, v->type != JINJA_UNDEFINED)
TYPE_TEST(undefined, v->type == JINJA_UNDEFINED)
TYPE_TEST(none, v->type == JINJA_NONE)
TYPE_TEST(boolean, v->type == JINJA_BOOL)
TYPE_TEST(true, v->type == JINJA_BOOL && v->as.truth)
TYPE_TEST(false, v->type == JINJA_BOOL && !v->as.truth)
TYPE_TEST(integer, v->type == JINJA_INT)
TYPE_TEST(float, v->type == JINJA_FLOAT)
TYPE_TEST(number, jinja_is_number(v))
TYPE_TEST(string, v->type == JINJA_STRING)
TYPE_TEST(mapping, v->type == JINJA_DICT)
TYPE_TEST(sequence, v->type == JINJA_STRING || jinja_is_list(v) || v->type == JINJA_DICT ||
                        v->type == JINJA_UNDEFINED)
TYPE_TEST(iterable, v->type == JINJA_STRING || jinja_is_list(v) || v->type == JINJA_DICT ||
                        v->type == JINJA_UNDEFINED || v->type == JINJA_LOOP)
TYPE_TEST(callable, v->type >= JINJA_MACRO || v->type == JINJA_UNDEFINED || v->type == JINJA_LOOP)
TYPE_TEST(escaped, false)

static bool test_divisible(jinja_run *r, const jinja_value *v, int64_t by, bool *out)
{
    if (!jinja_is_number(v) || by == 0)
        return jinja_fail(r, LULL_EUNSUPPORTED, "%s cannot be divided by %" PRId64,
                          jinja_type_name(v), by);
    *out = v->type == JINJA_FLOAT ? fmod(v->as.number, (double)by) == 0
                                  : by == -1 || jinja_as_int(v) % by == 0;
    return true;
}

static bool test_odd(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    (void)a;
    if (!test_divisible(r, v, 2, out)) return false;
    *out = v->type == JINJA_FLOAT ? fmod(v->as.number, 2) == 1 : !*out;
    return true;
}

static bool test_even(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    (void)a;
    return test_divisible(r, v, 2, out);
}

static bool test_divisibleby(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    int64_t by;
    return need_args(r, a, 1, "divisibleby") && int_arg(r, a, 0, "num", 0, &by) &&
           test_divisible(r, v, by, out);
}

static bool test_equal(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    return need_args(r, a, 1, "this test") && jinja_equal(r, v, &a->items[0], out);
}

static bool test_not_equal(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    bool is_ok = test_equal(r, v, a, out);
    *out = !*out;
    return is_ok;
}

static bool test_order(jinja_run *r, const jinja_value *v, const jinja_args *a, int lowest,
                       int highest, bool *out)
{
    int order;
    if (!need_args(r, a, 1, "this test") || !jinja_compare(r, v, &a->items[0], &order))
        return false;
    *out = order >= lowest && order <= highest;
    return true;
}

#define ORDER_TEST(name, lowest, highest)                                                          \
    static bool test_##name(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)    \
    {                                                                                              \
        return test_order(r, v, a, lowest, highest, out);                                          \
    }
ORDER_TEST(less, -1, -1)
ORDER_TEST(at_most, -1, 0)
ORDER_TEST(greater, 1, 1)
ORDER_TEST(at_least, 0, 1)

static bool test_in(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    return need_args(r, a, 1, "in") && jinja_contains(r, &a->items[0], v, out);
}

static bool test_same(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    if (!need_args(r, a, 1, "sameas")) return false;
    return v->type == a->items[0].type ? jinja_equal(r, v, &a->items[0], out)
                                       : (*out = false, true);
}

static bool test_lower(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    jinja_value s;
    (void)a;
    if (!jinja_to_string(r, v, &s)) return false;
    *out = is_all(s.as.text, to_lower);
    return true;
}

static bool test_upper(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    jinja_value s;
    (void)a;
    if (!jinja_to_string(r, v, &s)) return false;
    *out = is_all(s.as.text, to_upper);
    return true;
}

static bool test_filter(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    (void)r, (void)a;
    *out = v->type == JINJA_STRING && jinja_has_filter(v->as.text);
    return true;
}

static bool test_test(jinja_run *r, const jinja_value *v, const jinja_args *a, bool *out)
{
    (void)r, (void)a;
    *out = v->type == JINJA_STRING && jinja_has_test(v->as.text);
    return true;
}

static const struct {
    const char *name;
    test_fn fn;
} tests[] = {
    {"defined", test_defined},   {"undefined", test_undefined},
    {"none", test_none},         {"boolean", test_boolean},
    {"true", test_true},         {"false", test_false},
    {"integer", test_integer},   {"float", test_float},
    {"number", test_number},     {"string", test_string},
    {"mapping", test_mapping},   {"sequence", test_sequence},
    {"iterable", test_iterable}, {"callable", test_callable},
    {"escaped", test_escaped},   {"odd", test_odd},
    {"even", test_even},         {"divisibleby", test_divisibleby},
    {"eq", test_equal},          {"equalto", test_equal},
    {"==", test_equal},          {"ne", test_not_equal},
    {"!=", test_not_equal},      {"lt", test_less},
    {"lessthan", test_less},     {"<", test_less},
    {"le", test_at_most},        {"<=", test_at_most},
    {"gt", test_greater},        {"greaterthan", test_greater},
    {">", test_greater},         {"ge", test_at_least},
    {">=", test_at_least},       {"in", test_in},
    {"sameas", test_same},       {"lower", test_lower},
    {"upper", test_upper},       {"filter", test_filter},
    {"test", test_test},
};

static test_fn find_test(jinja_text name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (jinja_text_is(name, tests[i].name)) return tests[i].fn;
    return NULL;
}

bool jinja_has_test(jinja_text name)
{
    return find_test(name) != NULL;
}

bool jinja_apply_test(jinja_host *h, jinja_text name, const jinja_value *v, const jinja_args *args,
                      bool *out)
{
    test_fn fn = find_test(name);
    if (!fn)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "unknown test '%.*s'", (int)name.n, name.s);
    return jinja_step(h->run, 1) && fn(h->run, v, args, out);
}

/* ---- filters --------------------------------------------------------------------------------- */

typedef bool (*filter_fn)(jinja_host *h, const jinja_value *v, const jinja_args *a,
                          jinja_value *out);
#define FILTER(name)                                                                               \
    static bool filter_##name(jinja_host *h, const jinja_value *v, const jinja_args *a,            \
                              jinja_value *out)
#define UNUSED_ARGS (void)a

/* v.attribute, with dots and numbers: a.b.0. */
static bool get_path(jinja_run *r, const jinja_value *v, const jinja_value *path, jinja_value *out)
{
    *out = *v;
    if (path->type == JINJA_INT) return jinja_get_item(r, v, path, out);
    if (path->type != JINJA_STRING)
        return jinja_fail(r, LULL_EUNSUPPORTED, "an attribute's name must be a string");
    jinja_text t = path->as.text;
    for (size_t from = 0; from <= t.n;) {
        jinja_text dot = {".", 1};
        size_t end = find_text(t, dot, from);
        if (end > t.n) end = t.n;
        jinja_text name = {t.s + from, end - from};
        jinja_value object = *out, key = jinja_string(name.s, name.n);
        bool is_number = name.n > 0 && name.n < 10;
        for (size_t i = 0; i < name.n; i++)
            is_number = is_number && name.s[i] >= '0' && name.s[i] <= '9';
        if (is_number) key = jinja_int(strtol(name.s, NULL, 10));
        if (!jinja_get_item(r, &object, &key, out)) return false;
        from = end + 1;
    }
    return true;
}

/* What is compared: an attribute when one is named, without case unless asked. */
static bool sort_key(jinja_run *r, const jinja_value *v, const jinja_value *attribute,
                     bool is_case_sensitive, jinja_value *out)
{
    *out = *v;
    if (attribute && attribute->type != JINJA_NONE && !get_path(r, v, attribute, out)) return false;
    if (!is_case_sensitive && out->type == JINJA_STRING)
        return change_case(r, out->as.text, LOWER, out);
    return true;
}

/* Stable merge sort of items [n] by keys. */
static bool merge_sort(jinja_run *r, jinja_value *items, jinja_value *keys, size_t n, bool reverse)
{
    if (n < 2) return true;
    size_t half = n / 2, i = 0, k = half, at = 0;
    if (!merge_sort(r, items, keys, half, reverse) ||
        !merge_sort(r, items + half, keys + half, n - half, reverse))
        return false;
    jinja_value *sorted = jinja_alloc(r, 2 * n * sizeof *sorted);
    if (!sorted) return false;
    while (at < n) {
        bool takes_left = k == n;
        if (i < half && k < n) {
            int order;
            if (!jinja_compare(r, &keys[k], &keys[i], &order)) return false;
            takes_left = reverse ? order <= 0 : order >= 0;
        }
        size_t from = takes_left ? i++ : k++;
        sorted[at] = items[from];
        sorted[n + at++] = keys[from];
    }
    memcpy(items, sorted, n * sizeof *items);
    memcpy(keys, sorted + n, n * sizeof *keys);
    return true;
}

static bool copy_items(jinja_run *r, const jinja_list *from, jinja_value *out)
{
    if (!jinja_new_list(r, JINJA_LIST, from->n, out)) return false;
    for (size_t i = 0; i < from->n; i++)
        if (!jinja_push(r, out->as.list, from->items[i])) return false;
    return true;
}

static bool sort_items(jinja_run *r, jinja_list *l, const jinja_value *attribute,
                       bool is_case_sensitive, bool reverse)
{
    jinja_value *keys = jinja_alloc(r, (l->n + 1) * sizeof *keys);
    if (!keys) return false;
    for (size_t i = 0; i < l->n; i++)
        if (!sort_key(r, &l->items[i], attribute, is_case_sensitive, &keys[i])) return false;
    return merge_sort(r, l->items, keys, l->n, reverse);
}

FILTER(abs)
{
    UNUSED_ARGS;
    if (!jinja_is_number(v))
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "abs of %s", jinja_type_name(v));
    if (v->type != JINJA_FLOAT && jinja_as_int(v) == INT64_MIN)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "a number beyond 64 bits");
    *out = v->type == JINJA_FLOAT ? jinja_float(fabs(v->as.number))
                                  : jinja_int(llabs(jinja_as_int(v)));
    return true;
}

FILTER(attr)
{
    return need_args(h->run, a, 1, "attr") && a->items[0].type == JINJA_STRING &&
           jinja_get_attribute(h->run, v, a->items[0].as.text, out);
}

FILTER(batch)
{
    int64_t n;
    jinja_list items;
    const jinja_value *fill = arg(a, 1, "fill_with");
    if (!need_args(h->run, a, 1, "batch") || !int_arg(h->run, a, 0, "linecount", 1, &n) ||
        !jinja_iterate(h->run, v, &items) || !jinja_new_list(h->run, JINJA_LIST, 4, out))
        return false;
    if (n < 1 || n > 1 << 20)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "batches of %" PRId64, n);
    for (size_t i = 0; i < items.n; i += (size_t)n) {
        jinja_value row;
        if (!jinja_new_list(h->run, JINJA_LIST, (size_t)n, &row)) return false;
        for (size_t k = 0; k < (size_t)n; k++) {
            if (i + k < items.n
                    ? !jinja_push(h->run, row.as.list, items.items[i + k])
                    : fill && fill->type != JINJA_NONE && !jinja_push(h->run, row.as.list, *fill))
                return false;
        }
        if (!jinja_push(h->run, out->as.list, row)) return false;
    }
    return true;
}

static bool text_filter(jinja_host *h, const jinja_value *v, casing how, jinja_value *out)
{
    jinja_value s;
    return jinja_to_string(h->run, v, &s) && change_case(h->run, s.as.text, how, out);
}

FILTER(capitalize)
{
    UNUSED_ARGS;
    return text_filter(h, v, CAPITALIZE, out);
}

FILTER(title)
{
    UNUSED_ARGS;
    return text_filter(h, v, TITLE_FILTER, out);
}

FILTER(upper)
{
    UNUSED_ARGS;
    return text_filter(h, v, UPPER, out);
}

FILTER(lower)
{
    UNUSED_ARGS;
    return text_filter(h, v, LOWER, out);
}

FILTER(center)
{
    int64_t width;
    jinja_value s;
    if (!int_arg(h->run, a, 0, "width", 80, &width) || !jinja_to_string(h->run, v, &s))
        return false;
    int64_t n = (int64_t)jinja_n_chars(s.as.text), pad = width > n ? width - n : 0;
    if (width > 1 << 20) return jinja_fail(h->run, LULL_EFULL, "its text is too long");
    int64_t left = pad / 2 + (pad & width & 1);
    lull_buffer b = {0};
    lull_buffer_printf(&b, "%*s", (int)left, "");
    lull_buffer_append(&b, s.as.text.s, s.as.text.n);
    lull_buffer_printf(&b, "%*s", (int)(pad - left), "");
    return jinja_take_buffer(h->run, &b, out);
}

FILTER(default)
{
    (void)h;
    const jinja_value *other = arg(a, 0, "default_value");
    bool is_missing =
        v->type == JINJA_UNDEFINED || (truth_arg(a, 1, "boolean", false) && !jinja_truth(v));
    *out = !is_missing ? *v : other ? *other : jinja_literal("");
    return true;
}

FILTER(dictsort)
{
    jinja_text by = {"key", 3};
    jinja_run *r = h->run;
    if (v->type != JINJA_DICT)
        return jinja_fail(r, LULL_EUNSUPPORTED, "dictsort of %s", jinja_type_name(v));
    if (!text_arg(r, a, 1, "by", &by) || !dict_list(r, v->as.dict, M_ITEMS, out)) return false;
    bool is_by_key = jinja_text_is(by, "key");
    if (!is_by_key && !jinja_text_is(by, "value"))
        return jinja_fail(r, LULL_EUNSUPPORTED, "dictsort goes by key or by value");
    jinja_value which = jinja_int(is_by_key ? 0 : 1);
    return sort_items(r, out->as.list, &which, truth_arg(a, 0, "case_sensitive", false),
                      truth_arg(a, 2, "reverse", false));
}

FILTER(escape)
{
    UNUSED_ARGS;
    jinja_value s;
    lull_buffer b = {0};
    if (!jinja_to_string(h->run, v, &s)) return false;
    for (size_t i = 0; i < s.as.text.n; i++) {
        char c = s.as.text.s[i];
        const char *as = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '\'' ? "&#39;"
                         : c == '"'  ? "&#34;"
                                     : NULL;
        if (as)
            lull_buffer_append_str(&b, as);
        else
            lull_buffer_append(&b, &c, 1);
    }
    return jinja_take_buffer(h->run, &b, out);
}

FILTER(first)
{
    UNUSED_ARGS;
    jinja_list items;
    if (!jinja_iterate(h->run, v, &items)) return false;
    *out = items.n ? items.items[0] : jinja_undefined((jinja_text){"the first item", 14});
    return true;
}

FILTER(last)
{
    UNUSED_ARGS;
    jinja_list items;
    if (!jinja_iterate(h->run, v, &items)) return false;
    *out = items.n ? items.items[items.n - 1] : jinja_undefined((jinja_text){"the last item", 13});
    return true;
}

/* Python's float(text); false: it is none. */
static bool parse_float(jinja_text t, double *out)
{
    char copy[128];
    size_t n = 0;
    t = strip(t, (jinja_text){0}, true, true);
    if (t.n == 0 || t.n >= sizeof copy) return false;
    for (size_t i = 0; i < t.n; i++) {
        if (t.s[i] == 'x' || t.s[i] == 'X' || t.s[i] == '(') return false;
        if (t.s[i] == '_' && i > 0 && i + 1 < t.n) continue;
        copy[n++] = t.s[i];
    }
    copy[n] = '\0';
    char *end;
    *out = strtod(copy, &end);
    return *end == '\0';
}

FILTER(float)
{
    const jinja_value *other = arg(a, 0, "default");
    double d;
    if (v->type == JINJA_UNDEFINED)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)v->as.text.n,
                          v->as.text.s);
    if (jinja_is_number(v))
        *out = jinja_float(jinja_as_float(v));
    else if (v->type == JINJA_STRING && parse_float(v->as.text, &d))
        *out = jinja_float(d);
    else
        *out = other ? *other : jinja_float(0);
    return true;
}

/* Python's int(text, base); false: it is none. */
static bool parse_int(jinja_text t, int64_t base, int64_t *out)
{
    char copy[80], *end;
    size_t n = 0;
    t = strip(t, (jinja_text){0}, true, true);
    if (t.n == 0 || t.n >= sizeof copy || base < 2 || base > 36) return false;
    for (size_t i = 0; i < t.n; i++) {
        if (t.s[i] == '_' && i > 0 && i + 1 < t.n && t.s[i - 1] != '_') continue;
        copy[n++] = t.s[i];
    }
    copy[n] = '\0';
    char *digits = copy + (copy[0] == '-' || copy[0] == '+');
    if (digits[0] == '0' &&
        ((base == 2 && (digits[1] | 32) == 'b') || (base == 8 && (digits[1] | 32) == 'o')))
        digits += 2;
    if (*digits == '\0' || *digits == '-' || *digits == '+' || *digits == ' ') return false;
    errno = 0;
    *out = strtoll(digits, &end, (int)base);
    if (copy[0] == '-') *out = -*out;
    return *end == '\0' && errno == 0;
}

FILTER(int)
{
    const jinja_value *other = arg(a, 0, "default");
    int64_t base, i;
    double d;
    if (!int_arg(h->run, a, 1, "base", 10, &base)) return false;
    if (v->type == JINJA_UNDEFINED)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)v->as.text.n,
                          v->as.text.s);
    *out = other ? *other : jinja_int(0);
    if (v->type == JINJA_STRING && parse_int(v->as.text, base, &i)) {
        *out = jinja_int(i);
        return true;
    }
    if (v->type == JINJA_INT || v->type == JINJA_BOOL) {
        *out = jinja_int(jinja_as_int(v));
        return true;
    }
    bool has_number = v->type == JINJA_FLOAT
                          ? (d = v->as.number, true)
                          : v->type == JINJA_STRING && parse_float(v->as.text, &d);
    if (has_number && isfinite(d)) {
        if (fabs(d) >= 9.2e18)
            return jinja_fail(h->run, LULL_EUNSUPPORTED, "a number beyond 64 bits");
        *out = jinja_int((int64_t)d);
    }
    return true;
}

FILTER(format)
{
    jinja_value s;
    jinja_list items = {a->items, a->n, a->n};
    return jinja_to_string(h->run, v, &s) && format_text(h->run, s.as.text, &items, NULL, out);
}

FILTER(indent)
{
    jinja_run *r = h->run;
    jinja_value s, lines;
    lull_buffer indention = {0}, b = {0};
    const jinja_value *width = arg(a, 0, "width");
    bool with_first = truth_arg(a, 1, "first", false), with_blank = truth_arg(a, 2, "blank", false);
    int64_t n = 4;
    if (v->type != JINJA_STRING)
        return jinja_fail(r, LULL_EUNSUPPORTED, "indent of %s", jinja_type_name(v));
    if (width && width->type == JINJA_STRING) {
        lull_buffer_append(&indention, width->as.text.s, width->as.text.n);
    } else {
        if (!int_arg(r, a, 0, "width", 4, &n)) return false;
        if (n > 1 << 16) return jinja_fail(r, LULL_EFULL, "its text is too long");
        lull_buffer_printf(&indention, "%*s", n > 0 ? (int)n : 0, "");
    }
    /* A newline is put behind, so that a last, empty line is one too. */
    bool is_ok = jinja_add(r, v, &(jinja_value){JINJA_STRING, {.text = {"\n", 1}}}, &s) &&
                 split_lines(r, s.as.text, false, &lines);
    for (size_t i = 0; is_ok && i < lines.as.list->n; i++) {
        jinja_text line = lines.as.list->items[i].as.text;
        bool is_indented = i == 0 ? with_first : line.n > 0 || with_blank;
        if (i > 0) lull_buffer_append(&b, "\n", 1);
        if (is_indented) lull_buffer_append(&b, indention.data, indention.n_bytes);
        lull_buffer_append(&b, line.s, line.n);
        is_ok =
            jinja_step(r, 1 + indention.n_bytes / 64) &&
            (b.n_bytes <= JINJA_MAX_OUTPUT || jinja_fail(r, LULL_EFULL, "its text is too long"));
    }
    lull_buffer_fini(&indention);
    if (is_ok) return jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

FILTER(items)
{
    UNUSED_ARGS;
    if (v->type == JINJA_UNDEFINED) return jinja_new_list(h->run, JINJA_LIST, 0, out);
    if (v->type != JINJA_DICT)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "items of %s", jinja_type_name(v));
    return dict_list(h->run, v->as.dict, M_ITEMS, out);
}

FILTER(join)
{
    jinja_run *r = h->run;
    jinja_list items;
    jinja_value separator = jinja_literal(""), list;
    const jinja_value *d = arg(a, 0, "d"), *attribute = arg(a, 1, "attribute");
    if (d && !jinja_to_string(r, d, &separator)) return false;
    if (!jinja_iterate(r, v, &items) || !copy_items(r, &items, &list)) return false;
    for (size_t i = 0; attribute && attribute->type != JINJA_NONE && i < list.as.list->n; i++)
        if (!get_path(r, &items.items[i], attribute, &list.as.list->items[i])) return false;
    return join_list(r, list.as.list, separator.as.text, false, out);
}

FILTER(length)
{
    UNUSED_ARGS;
    switch (v->type) {
    case JINJA_UNDEFINED: *out = jinja_int(0); return true;
    case JINJA_STRING:
        *out = jinja_int((int64_t)jinja_n_chars(v->as.text));
        return jinja_step(h->run, v->as.text.n / 64);
    case JINJA_LIST:
    case JINJA_TUPLE: *out = jinja_int((int64_t)v->as.list->n); return true;
    case JINJA_DICT: *out = jinja_int((int64_t)v->as.dict->n); return true;
    default:
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "object of type '%s' has no length",
                          jinja_type_name(v));
    }
}

FILTER(list)
{
    UNUSED_ARGS;
    jinja_list items;
    return jinja_iterate(h->run, v, &items) && copy_items(h->run, &items, out);
}

/* The arguments from `from` on. */
static jinja_args rest_of(const jinja_args *a, size_t from)
{
    jinja_args rest = *a;
    rest.items += from;
    rest.n -= from;
    return rest;
}

FILTER(map)
{
    jinja_run *r = h->run;
    jinja_list items;
    const jinja_value *attribute = a->n == 0 ? arg(a, 0, "attribute") : NULL;
    const jinja_value *otherwise = arg(a, SIZE_MAX, "default");
    if (!jinja_iterate(r, v, &items) || !jinja_new_list(r, JINJA_LIST, items.n, out)) return false;
    if (!attribute && (a->n == 0 || a->items[0].type != JINJA_STRING))
        return jinja_fail(r, LULL_EUNSUPPORTED, "map needs a filter or an attribute");
    for (size_t i = 0; i < items.n; i++) {
        jinja_value mapped;
        if (attribute) {
            if (!get_path(r, &items.items[i], attribute, &mapped)) return false;
            if (mapped.type == JINJA_UNDEFINED && otherwise) mapped = *otherwise;
        } else {
            jinja_args rest = rest_of(a, 1);
            if (!jinja_apply_filter(h, a->items[0].as.text, &items.items[i], &rest, &mapped))
                return false;
        }
        if (!jinja_push(r, out->as.list, mapped)) return false;
    }
    return true;
}

static bool extreme(jinja_host *h, const jinja_value *v, const jinja_args *a, int sign,
                    jinja_value *out)
{
    jinja_run *r = h->run;
    jinja_list items;
    jinja_value best;
    bool is_case_sensitive = truth_arg(a, 0, "case_sensitive", false);
    const jinja_value *attribute = arg(a, 1, "attribute");
    if (!jinja_iterate(r, v, &items)) return false;
    *out = jinja_undefined((jinja_text){"the extreme of nothing", 22});
    for (size_t i = 0; i < items.n; i++) {
        jinja_value key;
        int order = 1;
        if (!sort_key(r, &items.items[i], attribute, is_case_sensitive, &key)) return false;
        if (i > 0 && !jinja_compare(r, &key, &best, &order)) return false;
        if (i > 0 && order * sign <= 0) continue;
        best = key;
        *out = items.items[i];
    }
    return true;
}

FILTER(max)
{
    return extreme(h, v, a, 1, out);
}

FILTER(min)
{
    return extreme(h, v, a, -1, out);
}

FILTER(replace)
{
    jinja_run *r = h->run;
    jinja_value s, old, with;
    int64_t count;
    if (!need_args(r, a, 2, "replace")) return false;
    const jinja_value *x = arg(a, 0, "old"), *y = arg(a, 1, "new");
    if (!x || !y) return jinja_fail(r, LULL_EUNSUPPORTED, "replace needs old and new");
    return jinja_to_string(r, v, &s) && jinja_to_string(r, x, &old) &&
           jinja_to_string(r, y, &with) && int_arg(r, a, 2, "count", -1, &count) &&
           replace_text(r, s.as.text, old.as.text, with.as.text, count, out);
}

FILTER(reverse)
{
    UNUSED_ARGS;
    jinja_run *r = h->run;
    jinja_list items;
    if (!jinja_iterate(r, v, &items) || !jinja_new_list(r, JINJA_LIST, items.n, out)) return false;
    for (size_t i = items.n; i > 0; i--)
        if (!jinja_push(r, out->as.list, items.items[i - 1])) return false;
    return v->type != JINJA_STRING || join_list(r, out->as.list, (jinja_text){"", 0}, false, out);
}

FILTER(round)
{
    int64_t digits;
    jinja_text method = {"common", 6};
    if (!int_arg(h->run, a, 0, "precision", 0, &digits) ||
        !text_arg(h->run, a, 1, "method", &method))
        return false;
    if (!jinja_is_number(v) || digits > 300 || digits < -300)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "round of %s", jinja_type_name(v));
    double d = jinja_as_float(v), scale = pow(10, (double)digits);
    if (jinja_text_is(method, "ceil")) {
        *out = jinja_float(ceil(d * scale) / scale);
    } else if (jinja_text_is(method, "floor")) {
        *out = jinja_float(floor(d * scale) / scale);
    } else if (!jinja_text_is(method, "common")) {
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "round goes by common, ceil or floor");
    } else if (v->type != JINJA_FLOAT && digits >= 0) {
        *out = *v; /* as Python rounds an integer */
        if (v->type == JINJA_BOOL) *out = jinja_int(v->as.truth);
    } else if (digits > 0) { /* to the nearest decimal of the exact value */
        char text[700];
        snprintf(text, sizeof text, "%.*f", (int)digits, d);
        *out = jinja_float(strtod(text, NULL));
    } else {
        double rounded = nearbyint(d * scale) / scale;
        *out = v->type == JINJA_FLOAT ? jinja_float(rounded) : jinja_int((int64_t)rounded);
    }
    return true;
}

FILTER(safe)
{
    UNUSED_ARGS;
    (void)h;
    return jinja_to_string(h->run, v, out);
}

/* select, reject and the two by attribute. */
static bool choose(jinja_host *h, const jinja_value *v, const jinja_args *a, bool by_attribute,
                   bool wanted, jinja_value *out)
{
    jinja_run *r = h->run;
    jinja_list items;
    size_t at = by_attribute;
    if (by_attribute && !need_args(r, a, 1, "a selection by attribute")) return false;
    if (!jinja_iterate(r, v, &items) || !jinja_new_list(r, JINJA_LIST, items.n, out)) return false;
    for (size_t i = 0; i < items.n; i++) {
        jinja_value tested = items.items[i];
        bool truth;
        if (by_attribute && !get_path(r, &items.items[i], &a->items[0], &tested)) return false;
        if (a->n > at) {
            jinja_args rest = rest_of(a, at + 1);
            if (a->items[at].type != JINJA_STRING)
                return jinja_fail(r, LULL_EUNSUPPORTED, "a test's name must be a string");
            if (!jinja_apply_test(h, a->items[at].as.text, &tested, &rest, &truth)) return false;
        } else {
            truth = jinja_truth(&tested);
        }
        if (truth == wanted && !jinja_push(r, out->as.list, items.items[i])) return false;
    }
    return true;
}

FILTER(select)
{
    return choose(h, v, a, false, true, out);
}

FILTER(reject)
{
    return choose(h, v, a, false, false, out);
}

FILTER(selectattr)
{
    return choose(h, v, a, true, true, out);
}

FILTER(rejectattr)
{
    return choose(h, v, a, true, false, out);
}

FILTER(sort)
{
    jinja_list items;
    return jinja_iterate(h->run, v, &items) && copy_items(h->run, &items, out) &&
           sort_items(h->run, out->as.list, arg(a, 2, "attribute"),
                      truth_arg(a, 1, "case_sensitive", false), truth_arg(a, 0, "reverse", false));
}

FILTER(string)
{
    UNUSED_ARGS;
    return jinja_to_string(h->run, v, out);
}

FILTER(sum)
{
    jinja_list items;
    const jinja_value *attribute = arg(a, 0, "attribute"), *start = arg(a, 1, "start");
    *out = start ? *start : jinja_int(0);
    if (!jinja_iterate(h->run, v, &items)) return false;
    for (size_t i = 0; i < items.n; i++) {
        jinja_value x = items.items[i], sum = *out;
        if (attribute && attribute->type != JINJA_NONE &&
            !get_path(h->run, &items.items[i], attribute, &x))
            return false;
        if (!jinja_add(h->run, &sum, &x, out)) return false;
    }
    return true;
}

FILTER(tojson)
{
    jinja_run *r = h->run;
    int64_t indent = -1;
    const jinja_value *separators = arg(a, 2, "separators");
    jinja_json_style style = {.sort_keys = truth_arg(a, 3, "sort_keys", false)};
    if (a->n > 0 && a->items[0].type == JINJA_INT) { /* Jinja2's own: tojson(indent) */
        indent = a->items[0].as.integer;
    } else if (!int_arg(r, a, 1, "indent", -1, &indent)) {
        return false;
    }
    if (indent > 64) return jinja_fail(r, LULL_EFULL, "an indent of %" PRId64, indent);
    style.indent = indent < 0 ? -1 : (int)indent;
    style.item_separator = style.indent < 0 ? (jinja_text){", ", 2} : (jinja_text){",", 1};
    style.key_separator = (jinja_text){": ", 2};
    if (separators && separators->type != JINJA_NONE) {
        const jinja_list *l = separators->as.list;
        if (!jinja_is_list(separators) || l->n != 2 || l->items[0].type != JINJA_STRING ||
            l->items[1].type != JINJA_STRING)
            return jinja_fail(r, LULL_EUNSUPPORTED, "separators must be two strings");
        style.item_separator = l->items[0].as.text;
        style.key_separator = l->items[1].as.text;
    }
    lull_buffer b = {0};
    if (jinja_dump_json(r, v, &style, 0, &b)) return jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

FILTER(trim)
{
    jinja_value s;
    jinja_text chars = {0};
    if (!jinja_to_string(h->run, v, &s) || !text_arg(h->run, a, 0, "chars", &chars)) return false;
    jinja_text t = strip(s.as.text, chars, true, true);
    *out = jinja_string(t.s, t.n);
    return true;
}

FILTER(unique)
{
    jinja_run *r = h->run;
    jinja_list items;
    jinja_value seen;
    bool is_case_sensitive = truth_arg(a, 0, "case_sensitive", false);
    const jinja_value *attribute = arg(a, 1, "attribute");
    if (!jinja_iterate(r, v, &items) || !jinja_new_list(r, JINJA_LIST, 4, out) ||
        !jinja_new_list(r, JINJA_LIST, 4, &seen))
        return false;
    for (size_t i = 0; i < items.n; i++) {
        jinja_value key;
        bool is_seen;
        if (!sort_key(r, &items.items[i], attribute, is_case_sensitive, &key) ||
            !jinja_contains(r, &seen, &key, &is_seen))
            return false;
        if (is_seen) continue;
        if (!jinja_push(r, seen.as.list, key) || !jinja_push(r, out->as.list, items.items[i]))
            return false;
    }
    return true;
}

FILTER(wordcount)
{
    UNUSED_ARGS;
    jinja_value s;
    int64_t n = 0;
    bool is_in_word = false;
    if (!jinja_to_string(h->run, v, &s)) return false;
    for (size_t i = 0, k; i < s.as.text.n; i += k) {
        uint32_t c = jinja_char_at(s.as.text.s + i, s.as.text.n - i, &k);
        bool is_word = (c >= 0x80 && !jinja_is_space(c)) || c == '_' || (c >= '0' && c <= '9') ||
                       ((c | 32) >= 'a' && (c | 32) <= 'z');
        n += is_word && !is_in_word;
        is_in_word = is_word;
    }
    *out = jinja_int(n);
    return true;
}

static const struct {
    const char *name;
    filter_fn fn;
} filters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"batch", filter_batch},
    {"capitalize", filter_capitalize},
    {"center", filter_center},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"dictsort", filter_dictsort},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"first", filter_first},
    {"float", filter_float},
    {"format", filter_format},
    {"indent", filter_indent},
    {"int", filter_int},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"lower", filter_lower},
    {"map", filter_map},
    {"max", filter_max},
    {"min", filter_min},
    {"reject", filter_reject},
    {"rejectattr", filter_rejectattr},
    {"replace", filter_replace},
    {"reverse", filter_reverse},
    {"round", filter_round},
    {"safe", filter_safe},
    {"select", filter_select},
    {"selectattr", filter_selectattr},
    {"sort", filter_sort},
    {"string", filter_string},
    {"sum", filter_sum},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"unique", filter_unique},
    {"upper", filter_upper},
    {"wordcount", filter_wordcount},
};

static filter_fn find_filter(jinja_text name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (jinja_text_is(name, filters[i].name)) return filters[i].fn;
    return NULL;
}

bool jinja_has_filter(jinja_text name)
{
    return find_filter(name) != NULL;
}

bool jinja_apply_filter(jinja_host *h, jinja_text name, const jinja_value *v,
                        const jinja_args *args, jinja_value *out)
{
    filter_fn fn = find_filter(name);
    if (!fn)
        return jinja_fail(h->run, LULL_EUNSUPPORTED, "unknown filter '%.*s'", (int)name.n, name.s);
    if (++h->run->depth > JINJA_MAX_DEPTH)
        return jinja_fail(h->run, LULL_EFULL, "filters are nested too deeply");
    bool is_ok = jinja_step(h->run, 1) && fn(h, v, args, out);
    h->run->depth--;
    return is_ok && h->run->status == LULL_OK;
}

/* ---- globals --------------------------------------------------------------------------------- */

static bool call_range(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    int64_t from = 0, to, step = 1;
    if (!need_args(r, a, 1, "range") || a->n > 3) return jinja_fail(r, LULL_EUNSUPPORTED, "range");
    if (!int_arg(r, a, 0, "range", 0, &to)) return false;
    if (a->n > 1) {
        from = to;
        if (!int_arg(r, a, 1, "range", 0, &to) || !int_arg(r, a, 2, "range", 1, &step))
            return false;
    }
    if (step == 0) return jinja_fail(r, LULL_EUNSUPPORTED, "the step of a range must not be zero");
    if (!jinja_new_list(r, JINJA_LIST, 0, out)) return false;
    /* The sandbox of Jinja2 has the same bound. */
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        if (out->as.list->n >= 100000)
            return jinja_fail(r, LULL_EFULL, "a range of more than 100,000 numbers");
        if (!jinja_push(r, out->as.list, jinja_int(i))) return false;
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return true;
}

/* dict(…) and namespace(…): a copy of a dict, and the named arguments. */
static bool call_dict(jinja_run *r, const jinja_args *a, jinja_type type, jinja_value *out)
{
    if (!jinja_new_dict(r, out)) return false;
    if (a->n > 0) {
        jinja_list items;
        if (jinja_is_dict(&a->items[0])) {
            const jinja_dict *from = a->items[0].as.dict;
            for (size_t i = 0; i < from->n; i++)
                if (!jinja_set(r, out->as.dict, from->pairs[i].key, from->pairs[i].value))
                    return false;
        } else {
            if (!jinja_iterate(r, &a->items[0], &items)) return false;
            for (size_t i = 0; i < items.n; i++) {
                const jinja_value *pair = &items.items[i];
                if (!jinja_is_list(pair) || pair->as.list->n != 2)
                    return jinja_fail(r, LULL_EUNSUPPORTED, "dict() needs pairs");
                if (!jinja_set(r, out->as.dict, pair->as.list->items[0], pair->as.list->items[1]))
                    return false;
            }
        }
    }
    for (size_t i = 0; i < a->n_named; i++)
        if (!jinja_set(r, out->as.dict, jinja_string(a->names[i].s, a->names[i].n), a->named[i]))
            return false;
    out->type = type;
    return true;
}

static bool call_strftime(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    jinja_text t = {0};
    char format[128], text[512];
    struct tm now;
    time_t seconds = time(NULL);
    if (!need_args(r, a, 1, "strftime_now") || !text_arg(r, a, 0, "format", &t)) return false;
    if (!t.s || t.n >= sizeof format)
        return jinja_fail(r, LULL_EUNSUPPORTED, "strftime_now needs a format");
    memcpy(format, t.s, t.n);
    format[t.n] = '\0';
    localtime_r(&seconds, &now);
    size_t n = strftime(text, sizeof text, format, &now);
    return jinja_copy_string(r, text, n, out);
}

typedef enum global_id { G_DICT, G_NAMESPACE, G_RAISE, G_RANGE, G_STRFTIME } global_id;

static const char *const globals[] = {"dict", "namespace", "raise_exception", "range",
                                      "strftime_now"};

bool jinja_find_global(jinja_text name, jinja_value *out)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (jinja_text_is(name, globals[i])) {
            *out = (jinja_value){JINJA_FUNCTION, {.integer = (int64_t)i}};
            return true;
        }
    return false;
}

bool jinja_call_global(jinja_host *h, const jinja_value *function, const jinja_args *args,
                       jinja_value *out)
{
    jinja_run *r = h->run;
    switch ((global_id)function->as.integer) {
    case G_DICT: return call_dict(r, args, JINJA_DICT, out);
    case G_NAMESPACE: return call_dict(r, args, JINJA_NAMESPACE, out);
    case G_RANGE: return call_range(r, args, out);
    case G_STRFTIME: return call_strftime(r, args, out);
    case G_RAISE: {
        jinja_value message = jinja_literal("");
        if (arg(args, 0, "message") && !jinja_to_string(r, arg(args, 0, "message"), &message))
            return false;
        return jinja_fail(r, LULL_EINVAL, "%.*s",
                          (int)(message.as.text.n < 160 ? message.as.text.n : 160),
                          message.as.text.s);
    }
    }
    return false;
}
