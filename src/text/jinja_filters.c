/* The filters, value | name(arguments). */
#include "jinja_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- filters --------------------------------------------------------------------------------- */

typedef bool (*filter_fn)(lull_jinja_host *h, const lull_jinja_value *v, const lull_jinja_args *a,
                          lull_jinja_value *out);
#define FILTER(name)                                                                               \
    static bool filter_##name(lull_jinja_host *h, const lull_jinja_value *v,                       \
                              const lull_jinja_args *a, lull_jinja_value *out)
#define UNUSED_ARGS (void)a

/* v.attribute, with dots and numbers: a.b.0. What is undefined on the way becomes `otherwise`, unless
 * that is NULL. */
static bool get_path(lull_jinja_run *r, const lull_jinja_value *v, const lull_jinja_value *path,
                     const lull_jinja_value *otherwise, lull_jinja_value *out)
{
    *out = *v;
    if (path->type != LULL_JINJA_STRING && path->type != LULL_JINJA_INT)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "an attribute's name must be a string");
    lull_jinja_text t = path->type == LULL_JINJA_STRING ? path->as.text : (lull_jinja_text){"", 0};
    for (size_t from = 0; from <= t.n;) {
        lull_jinja_text dot = {".", 1};
        size_t end = lull_jinja_find_text(r, t, dot, from);
        if (end > t.n) end = t.n;
        lull_jinja_text name = {t.s + from, end - from};
        lull_jinja_value object = *out, key = lull_jinja_string(name.s, name.n);
        bool is_number = name.n > 0 && name.n < 10;
        for (size_t i = 0; i < name.n; i++)
            is_number = is_number && name.s[i] >= '0' && name.s[i] <= '9';
        if (is_number) key = lull_jinja_int(strtol(name.s, NULL, 10));
        if (path->type == LULL_JINJA_INT) key = *path;
        if (!lull_jinja_get_item(r, &object, &key, out)) return false;
        if (out->type == LULL_JINJA_UNDEFINED && otherwise) *out = *otherwise;
        from = end + 1;
    }
    return true;
}

/* What is compared: an attribute when one is named, without case unless asked. */
static bool sort_key(lull_jinja_run *r, const lull_jinja_value *v,
                     const lull_jinja_value *attribute, const lull_jinja_value *otherwise,
                     bool is_case_sensitive, lull_jinja_value *out)
{
    *out = *v;
    if (attribute && attribute->type != LULL_JINJA_NONE &&
        !get_path(r, v, attribute, otherwise, out))
        return false;
    if (!is_case_sensitive && out->type == LULL_JINJA_STRING)
        return lull_jinja_change_case(r, out->as.text, LULL_JINJA_LOWER_CASE, out);
    return true;
}

/* Stable merge sort of items [n] by keys. */
static bool merge_sort(lull_jinja_run *r, lull_jinja_value *items, lull_jinja_value *keys, size_t n,
                       bool reverse)
{
    if (n < 2) return true;
    size_t half = n / 2, i = 0, k = half, at = 0;
    if (!merge_sort(r, items, keys, half, reverse) ||
        !merge_sort(r, items + half, keys + half, n - half, reverse))
        return false;
    lull_jinja_value *sorted = lull_jinja_alloc(r, 2 * n * sizeof *sorted);
    if (!sorted) return false;
    while (at < n) {
        bool takes_left = k == n;
        if (i < half && k < n) {
            int order;
            if (!lull_jinja_compare(r, &keys[k], &keys[i], &order)) return false;
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

static bool copy_items(lull_jinja_run *r, const lull_jinja_list *from, lull_jinja_value *out)
{
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, from->n, out)) return false;
    for (size_t i = 0; i < from->n; i++)
        if (!lull_jinja_push(r, out->as.list, from->items[i])) return false;
    return true;
}

static bool sort_items(lull_jinja_run *r, lull_jinja_list *l, const lull_jinja_value *attribute,
                       const lull_jinja_value *otherwise, bool is_case_sensitive, bool reverse)
{
    lull_jinja_value *keys = lull_jinja_alloc(r, (l->n + 1) * sizeof *keys);
    if (!keys) return false;
    for (size_t i = 0; i < l->n; i++)
        if (!sort_key(r, &l->items[i], attribute, otherwise, is_case_sensitive, &keys[i]))
            return false;
    return merge_sort(r, l->items, keys, l->n, reverse);
}

FILTER(abs)
{
    UNUSED_ARGS;
    if (!lull_jinja_is_number(v))
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "abs of %s", lull_jinja_type_name(v));
    if (v->type != LULL_JINJA_FLOAT && lull_jinja_as_int(v) == INT64_MIN)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "a number beyond 64 bits");
    *out = v->type == LULL_JINJA_FLOAT ? lull_jinja_float(fabs(v->as.number))
                                       : lull_jinja_int(llabs(lull_jinja_as_int(v)));
    return true;
}

FILTER(attr)
{
    const lull_jinja_value *name = lull_jinja_arg(a, 0, "name");
    if (name->type != LULL_JINJA_STRING)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "an attribute's name must be a string");
    return lull_jinja_get_attribute(h->run, v, name->as.text, out);
}

FILTER(batch)
{
    int64_t n;
    lull_jinja_list items;
    const lull_jinja_value *fill = lull_jinja_arg(a, 1, "fill_with");
    if (!lull_jinja_arg_int(h->run, a, 0, "linecount", 1, &n) ||
        !lull_jinja_iterate(h->run, v, &items) ||
        !lull_jinja_new_list(h->run, LULL_JINJA_LIST, 4, out))
        return false;
    if (n < 1 || n > 1 << 20)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "batches of %" PRId64, n);
    for (size_t i = 0; i < items.n; i += (size_t)n) {
        lull_jinja_value row;
        if (!lull_jinja_new_list(h->run, LULL_JINJA_LIST, (size_t)n, &row)) return false;
        for (size_t k = 0; k < (size_t)n; k++) {
            if (i + k < items.n ? !lull_jinja_push(h->run, row.as.list, items.items[i + k])
                                : fill && fill->type != LULL_JINJA_NONE &&
                                      !lull_jinja_push(h->run, row.as.list, *fill))
                return false;
        }
        if (!lull_jinja_push(h->run, out->as.list, row)) return false;
    }
    return true;
}

static bool text_filter(lull_jinja_host *h, const lull_jinja_value *v, lull_jinja_case how,
                        lull_jinja_value *out)
{
    lull_jinja_value s;
    return lull_jinja_to_string(h->run, v, &s) &&
           lull_jinja_change_case(h->run, s.as.text, how, out);
}

FILTER(capitalize)
{
    UNUSED_ARGS;
    return text_filter(h, v, LULL_JINJA_CAPITALIZE, out);
}

FILTER(title)
{
    UNUSED_ARGS;
    return text_filter(h, v, LULL_JINJA_TITLE_FILTER, out);
}

FILTER(upper)
{
    UNUSED_ARGS;
    return text_filter(h, v, LULL_JINJA_UPPER_CASE, out);
}

FILTER(lower)
{
    UNUSED_ARGS;
    return text_filter(h, v, LULL_JINJA_LOWER_CASE, out);
}

FILTER(center)
{
    int64_t width;
    lull_jinja_value s;
    return lull_jinja_arg_int(h->run, a, 0, "width", 80, &width) &&
           lull_jinja_to_string(h->run, v, &s) &&
           lull_jinja_pad(h->run, s.as.text, width, (lull_jinja_text){" ", 1}, LULL_JINJA_PAD_BOTH,
                          out);
}

FILTER(default)
{
    (void)h;
    const lull_jinja_value *other = lull_jinja_arg(a, 0, "default_value");
    bool is_missing = v->type == LULL_JINJA_UNDEFINED ||
                      (lull_jinja_arg_truth(a, 1, "boolean", false) && !lull_jinja_truth(v));
    *out = !is_missing ? *v : other ? *other : lull_jinja_literal("");
    return true;
}

FILTER(dictsort)
{
    lull_jinja_text by = {"key", 3};
    lull_jinja_run *r = h->run;
    if (v->type != LULL_JINJA_DICT)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "dictsort of %s", lull_jinja_type_name(v));
    if (!lull_jinja_arg_text(r, a, 1, "by", &by) || !lull_jinja_dict_items(r, v->as.dict, out))
        return false;
    bool is_by_key = lull_jinja_text_is(by, "key");
    if (!is_by_key && !lull_jinja_text_is(by, "value"))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "dictsort goes by key or by value");
    lull_jinja_value which = lull_jinja_int(is_by_key ? 0 : 1);
    return sort_items(r, out->as.list, &which, NULL,
                      lull_jinja_arg_truth(a, 0, "case_sensitive", false),
                      lull_jinja_arg_truth(a, 2, "reverse", false));
}

FILTER(escape)
{
    UNUSED_ARGS;
    lull_jinja_value s;
    lull_buffer b = {0};
    if (!lull_jinja_to_string(h->run, v, &s) ||
        !lull_jinja_step(h->run, s.as.text.n / LULL_JINJA_READ_BYTES))
        return false;
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
    return lull_jinja_take_buffer(h->run, &b, out);
}

FILTER(first)
{
    UNUSED_ARGS;
    lull_jinja_list items;
    if (!lull_jinja_iterate(h->run, v, &items)) return false;
    *out = items.n ? items.items[0] : lull_jinja_undefined((lull_jinja_text){"the first item", 14});
    return true;
}

FILTER(last)
{
    UNUSED_ARGS;
    lull_jinja_list items;
    if (!lull_jinja_iterate(h->run, v, &items)) return false;
    *out = items.n ? items.items[items.n - 1]
                   : lull_jinja_undefined((lull_jinja_text){"the last item", 13});
    return true;
}

/* Python's float(text); false: it is none. */
static bool parse_float(lull_jinja_run *r, lull_jinja_text t, double *out)
{
    char copy[128];
    size_t n = 0;
    t = lull_jinja_strip(r, t, (lull_jinja_text){0}, true, true);
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
    const lull_jinja_value *other = lull_jinja_arg(a, 0, "default");
    double d;
    if (v->type == LULL_JINJA_UNDEFINED)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)v->as.text.n,
                               v->as.text.s);
    if (lull_jinja_is_number(v))
        *out = lull_jinja_float(lull_jinja_as_float(v));
    else if (v->type == LULL_JINJA_STRING && parse_float(h->run, v->as.text, &d))
        *out = lull_jinja_float(d);
    else
        *out = other ? *other : lull_jinja_float(0);
    return true;
}

/* Python's int(text, base); false: it is none. */
static bool parse_int(lull_jinja_run *r, lull_jinja_text t, int64_t base, int64_t *out)
{
    char copy[80], *end;
    size_t n = 0;
    t = lull_jinja_strip(r, t, (lull_jinja_text){0}, true, true);
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
    const lull_jinja_value *other = lull_jinja_arg(a, 0, "default");
    int64_t base, i;
    double d;
    if (!lull_jinja_arg_int(h->run, a, 1, "base", 10, &base)) return false;
    if (v->type == LULL_JINJA_UNDEFINED)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "'%.*s' is undefined", (int)v->as.text.n,
                               v->as.text.s);
    *out = other ? *other : lull_jinja_int(0);
    if (v->type == LULL_JINJA_STRING && parse_int(h->run, v->as.text, base, &i)) {
        *out = lull_jinja_int(i);
        return true;
    }
    if (v->type == LULL_JINJA_INT || v->type == LULL_JINJA_BOOL) {
        *out = lull_jinja_int(lull_jinja_as_int(v));
        return true;
    }
    bool has_number = v->type == LULL_JINJA_FLOAT
                          ? (d = v->as.number, true)
                          : v->type == LULL_JINJA_STRING && parse_float(h->run, v->as.text, &d);
    if (has_number && isfinite(d)) {
        if (fabs(d) >= 9.2e18)
            return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "a number beyond 64 bits");
        *out = lull_jinja_int((int64_t)d);
    }
    return true;
}

/* text % arguments, which stand either in order or by name. */
FILTER(format)
{
    lull_jinja_run *r = h->run;
    lull_jinja_value s, values;
    if (a->n > 0 && a->n_named > 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED,
                               "format takes values or named values, not both");
    if (!lull_jinja_to_string(r, v, &s)) return false;
    if (a->n_named > 0) {
        if (!lull_jinja_new_dict(r, &values)) return false;
        for (size_t i = 0; i < a->n_named; i++)
            if (!lull_jinja_set(r, values.as.dict, lull_jinja_string(a->names[i].s, a->names[i].n),
                                a->named[i]))
                return false;
    } else {
        if (!lull_jinja_new_list(r, LULL_JINJA_TUPLE, a->n, &values)) return false;
        for (size_t i = 0; i < a->n; i++)
            if (!lull_jinja_push(r, values.as.list, a->items[i])) return false;
    }
    return lull_jinja_format_percent(r, s.as.text, &values, out);
}

/* Tuples of a key and the items that have it, by ascending key. */
FILTER(groupby)
{
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    lull_jinja_value sorted, key, last_key, group, members;
    const lull_jinja_value *attribute = lull_jinja_arg(a, 0, "attribute"),
                           *otherwise = lull_jinja_arg(a, 1, "default");
    bool is_case_sensitive = lull_jinja_arg_truth(a, 2, "case_sensitive", false), is_same;
    if (otherwise && otherwise->type == LULL_JINJA_NONE) otherwise = NULL;
    if (!lull_jinja_iterate(r, v, &items) || !copy_items(r, &items, &sorted) ||
        !sort_items(r, sorted.as.list, attribute, otherwise, is_case_sensitive, false) ||
        !lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out))
        return false;
    for (size_t i = 0; i < items.n; i++) {
        const lull_jinja_value *item = &sorted.as.list->items[i];
        if (!sort_key(r, item, attribute, otherwise, is_case_sensitive, &key)) return false;
        if (i > 0 && !lull_jinja_equal(r, &key, &last_key, &is_same)) return false;
        if (i == 0 || !is_same) {
            last_key = key;
            if (!get_path(r, item, attribute, otherwise, &key) ||
                !lull_jinja_new_list(r, LULL_JINJA_LIST, 4, &members) ||
                !lull_jinja_new_list(r, LULL_JINJA_TUPLE, 2, &group) ||
                !lull_jinja_push(r, group.as.list, key) ||
                !lull_jinja_push(r, group.as.list, members) ||
                !lull_jinja_push(r, out->as.list, group))
                return false;
            group.as.list->is_group = true;
        }
        if (!lull_jinja_push(r, members.as.list, *item)) return false;
    }
    return true;
}

FILTER(indent)
{
    lull_jinja_run *r = h->run;
    lull_jinja_value s, lines;
    lull_buffer indention = {0}, b = {0};
    const lull_jinja_value *width = lull_jinja_arg(a, 0, "width");
    bool with_first = lull_jinja_arg_truth(a, 1, "first", false),
         with_blank = lull_jinja_arg_truth(a, 2, "blank", false);
    int64_t n = 4;
    if (v->type != LULL_JINJA_STRING)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "indent of %s", lull_jinja_type_name(v));
    if (width && width->type == LULL_JINJA_STRING) {
        lull_buffer_append(&indention, width->as.text.s, width->as.text.n);
    } else {
        if (!lull_jinja_arg_int(r, a, 0, "width", 4, &n)) return false;
        if (n > 1 << 16) return lull_jinja_fail(r, LULL_EFULL, "its text is too long");
        lull_buffer_printf(&indention, "%*s", n > 0 ? (int)n : 0, "");
    }
    /* A newline is put behind, so that a last, empty line is one too. */
    bool is_ok =
        lull_jinja_add(r, v, &(lull_jinja_value){LULL_JINJA_STRING, {.text = {"\n", 1}}}, &s) &&
        lull_jinja_split_lines(r, s.as.text, false, &lines);
    for (size_t i = 0; is_ok && i < lines.as.list->n; i++) {
        lull_jinja_text line = lines.as.list->items[i].as.text;
        bool is_indented = i == 0 ? with_first : line.n > 0 || with_blank;
        is_ok = lull_jinja_append(r, &b, "\n", i > 0) &&
                (!is_indented || lull_jinja_append(r, &b, indention.data, indention.n_bytes)) &&
                lull_jinja_append(r, &b, line.s, line.n);
    }
    lull_buffer_fini(&indention);
    if (is_ok) return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

FILTER(items)
{
    UNUSED_ARGS;
    if (v->type == LULL_JINJA_UNDEFINED)
        return lull_jinja_new_list(h->run, LULL_JINJA_LIST, 0, out);
    if (v->type != LULL_JINJA_DICT)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "items of %s", lull_jinja_type_name(v));
    return lull_jinja_dict_items(h->run, v->as.dict, out);
}

FILTER(join)
{
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    lull_jinja_value separator = lull_jinja_literal(""), list;
    const lull_jinja_value *d = lull_jinja_arg(a, 0, "d"),
                           *attribute = lull_jinja_arg(a, 1, "attribute");
    if (d && !lull_jinja_to_string(r, d, &separator)) return false;
    if (!lull_jinja_iterate(r, v, &items) || !copy_items(r, &items, &list)) return false;
    for (size_t i = 0; attribute && attribute->type != LULL_JINJA_NONE && i < list.as.list->n; i++)
        if (!get_path(r, &items.items[i], attribute, NULL, &list.as.list->items[i])) return false;
    return lull_jinja_join(r, list.as.list, separator.as.text, false, out);
}

FILTER(length)
{
    UNUSED_ARGS;
    switch (v->type) {
    case LULL_JINJA_UNDEFINED: *out = lull_jinja_int(0); return true;
    case LULL_JINJA_STRING:
        *out = lull_jinja_int((int64_t)lull_jinja_n_chars(v->as.text));
        return lull_jinja_step(h->run, v->as.text.n / LULL_JINJA_READ_BYTES);
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE: *out = lull_jinja_int((int64_t)v->as.list->n); return true;
    case LULL_JINJA_DICT: *out = lull_jinja_int((int64_t)v->as.dict->n); return true;
    default:
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "object of type '%s' has no length",
                               lull_jinja_type_name(v));
    }
}

FILTER(list)
{
    UNUSED_ARGS;
    lull_jinja_list items;
    return lull_jinja_iterate(h->run, v, &items) && copy_items(h->run, &items, out);
}

/* The arguments from `from` on. */
static lull_jinja_args rest_of(const lull_jinja_args *a, size_t from)
{
    lull_jinja_args rest = *a;
    rest.items += from;
    rest.n -= from;
    return rest;
}

FILTER(map)
{
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    const lull_jinja_value *attribute = a->n == 0 ? lull_jinja_arg(a, 0, "attribute") : NULL;
    const lull_jinja_value *otherwise = lull_jinja_arg(a, SIZE_MAX, "default");
    if (otherwise && otherwise->type == LULL_JINJA_NONE) otherwise = NULL;
    if (!lull_jinja_truth(v)) return lull_jinja_new_list(r, LULL_JINJA_LIST, 0, out);
    if (!lull_jinja_iterate(r, v, &items) || !lull_jinja_new_list(r, LULL_JINJA_LIST, items.n, out))
        return false;
    if (!attribute && (a->n == 0 || a->items[0].type != LULL_JINJA_STRING))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "map needs a filter or an attribute");
    for (size_t i = 0; i < items.n; i++) {
        lull_jinja_value mapped;
        if (attribute) {
            if (!get_path(r, &items.items[i], attribute, otherwise, &mapped)) return false;
        } else {
            lull_jinja_args rest = rest_of(a, 1);
            if (!lull_jinja_apply_filter(h, a->items[0].as.text, &items.items[i], &rest, &mapped))
                return false;
        }
        if (!lull_jinja_push(r, out->as.list, mapped)) return false;
    }
    return true;
}

static bool extreme(lull_jinja_host *h, const lull_jinja_value *v, const lull_jinja_args *a,
                    int sign, lull_jinja_value *out)
{
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    lull_jinja_value best;
    bool is_case_sensitive = lull_jinja_arg_truth(a, 0, "case_sensitive", false);
    const lull_jinja_value *attribute = lull_jinja_arg(a, 1, "attribute");
    if (!lull_jinja_iterate(r, v, &items)) return false;
    *out = lull_jinja_undefined((lull_jinja_text){"the extreme of nothing", 22});
    for (size_t i = 0; i < items.n; i++) {
        lull_jinja_value key;
        int order = 1;
        if (!sort_key(r, &items.items[i], attribute, NULL, is_case_sensitive, &key)) return false;
        if (i > 0 && !lull_jinja_compare(r, &key, &best, &order)) return false;
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

static bool replace_count(lull_jinja_run *r, const lull_jinja_args *a, int64_t *out)
{
    const lull_jinja_value *count = lull_jinja_arg(a, 2, "count");
    *out = -1;
    return (count && count->type == LULL_JINJA_NONE) ||
           lull_jinja_arg_int(r, a, 2, "count", -1, out);
}

FILTER(replace)
{
    lull_jinja_run *r = h->run;
    lull_jinja_value s, old, with;
    int64_t count;
    const lull_jinja_value *x = lull_jinja_arg(a, 0, "old"), *y = lull_jinja_arg(a, 1, "new");
    return lull_jinja_to_string(r, v, &s) && lull_jinja_to_string(r, x, &old) &&
           lull_jinja_to_string(r, y, &with) && replace_count(r, a, &count) &&
           lull_jinja_replace_text(r, s.as.text, old.as.text, with.as.text, count, out);
}

FILTER(reverse)
{
    UNUSED_ARGS;
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    if (!lull_jinja_iterate(r, v, &items) || !lull_jinja_new_list(r, LULL_JINJA_LIST, items.n, out))
        return false;
    for (size_t i = items.n; i > 0; i--)
        if (!lull_jinja_push(r, out->as.list, items.items[i - 1])) return false;
    return v->type != LULL_JINJA_STRING ||
           lull_jinja_join(r, out->as.list, (lull_jinja_text){"", 0}, false, out);
}

/* d to a multiple of 10^place, from its exact decimal digits. */
static double round_float(double d, int place)
{
    char text[360]; /* where printf rounds exactly, to even */
    if (place == 0 || !isfinite(d)) return nearbyint(d);
    snprintf(text, sizeof text, "%.0e", d);
    int exponent = atoi(strchr(text, 'e') + 1); /* one too many when all digits are nines */
    if (fabs(d) < pow(10, exponent)) exponent--;
    if (exponent >= place) {
        snprintf(text, sizeof text, "%.*e", exponent - place, d);
        return strtod(text, NULL);
    }
    return copysign(fabs(d) > 5 * pow(10, place - 1) ? pow(10, place) : 0, d);
}

FILTER(round)
{
    int64_t digits;
    lull_jinja_text method = {"common", 6};
    if (!lull_jinja_arg_int(h->run, a, 0, "precision", 0, &digits) ||
        !lull_jinja_arg_text(h->run, a, 1, "method", &method))
        return false;
    if (!lull_jinja_is_number(v) || digits > 300 || digits < -300)
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "round of %s", lull_jinja_type_name(v));
    double d = lull_jinja_as_float(v), scale = pow(10, (double)digits);
    if (lull_jinja_text_is(method, "ceil")) {
        *out = lull_jinja_float(ceil(d * scale) / scale + 0.0); /* no -0 */
    } else if (lull_jinja_text_is(method, "floor")) {
        *out = lull_jinja_float(floor(d * scale) / scale + 0.0);
    } else if (!lull_jinja_text_is(method, "common")) {
        return lull_jinja_fail(h->run, LULL_EUNSUPPORTED, "round goes by common, ceil or floor");
    } else if (v->type != LULL_JINJA_FLOAT && digits >= 0) {
        *out = *v; /* as Python rounds an integer */
        if (v->type == LULL_JINJA_BOOL) *out = lull_jinja_int(v->as.truth);
    } else if (digits > 0) { /* to the nearest decimal of the exact value */
        char text[700];
        snprintf(text, sizeof text, "%.*f", (int)digits, d);
        *out = lull_jinja_float(strtod(text, NULL));
    } else {
        double rounded = nearbyint(d * scale) / scale;
        *out = v->type == LULL_JINJA_FLOAT ? lull_jinja_float(round_float(d, (int)-digits))
                                           : lull_jinja_int((int64_t)rounded);
    }
    return true;
}

FILTER(safe)
{
    UNUSED_ARGS;
    (void)h;
    return lull_jinja_to_string(h->run, v, out);
}

/* select, reject and the two by attribute. */
static bool choose(lull_jinja_host *h, const lull_jinja_value *v, const lull_jinja_args *a,
                   bool by_attribute, bool wanted, lull_jinja_value *out)
{
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    size_t at = by_attribute;
    if (!lull_jinja_truth(v)) return lull_jinja_new_list(r, LULL_JINJA_LIST, 0, out);
    if (by_attribute && a->n == 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a selection by attribute needs its name");
    if (!lull_jinja_iterate(r, v, &items) || !lull_jinja_new_list(r, LULL_JINJA_LIST, items.n, out))
        return false;
    for (size_t i = 0; i < items.n; i++) {
        lull_jinja_value tested = items.items[i];
        bool truth;
        if (by_attribute && !get_path(r, &items.items[i], &a->items[0], NULL, &tested))
            return false;
        if (a->n > at) {
            lull_jinja_args rest = rest_of(a, at + 1);
            if (a->items[at].type != LULL_JINJA_STRING)
                return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a test's name must be a string");
            if (!lull_jinja_apply_test(h, a->items[at].as.text, &tested, &rest, &truth))
                return false;
        } else {
            truth = lull_jinja_truth(&tested);
        }
        if (truth == wanted && !lull_jinja_push(r, out->as.list, items.items[i])) return false;
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

/* In n slices, as equal as can be, the longer ones first. */
FILTER(slice)
{
    lull_jinja_run *r = h->run;
    int64_t n;
    lull_jinja_list items;
    const lull_jinja_value *fill = lull_jinja_arg(a, 1, "fill_with");
    if (!lull_jinja_arg_int(r, a, 0, "slices", 1, &n) || !lull_jinja_iterate(r, v, &items))
        return false;
    if (n < 1) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%" PRId64 " slices", n);
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out)) return false;
    size_t n_slices = (size_t)n, at = 0;
    for (size_t i = 0; i < n_slices; i++) {
        bool is_longer = i < items.n % n_slices;
        lull_jinja_value slice;
        if (!lull_jinja_new_list(r, LULL_JINJA_LIST, 4, &slice)) return false;
        for (size_t k = items.n / n_slices + is_longer; k > 0; k--)
            if (!lull_jinja_push(r, slice.as.list, items.items[at++])) return false;
        bool is_filled = fill && fill->type != LULL_JINJA_NONE && !is_longer;
        if (is_filled && !lull_jinja_push(r, slice.as.list, *fill)) return false;
        if (!lull_jinja_push(r, out->as.list, slice)) return false;
    }
    return true;
}

FILTER(sort)
{
    lull_jinja_list items;
    return lull_jinja_iterate(h->run, v, &items) && copy_items(h->run, &items, out) &&
           sort_items(h->run, out->as.list, lull_jinja_arg(a, 2, "attribute"), NULL,
                      lull_jinja_arg_truth(a, 1, "case_sensitive", false),
                      lull_jinja_arg_truth(a, 0, "reverse", false));
}

FILTER(string)
{
    UNUSED_ARGS;
    return lull_jinja_to_string(h->run, v, out);
}

FILTER(sum)
{
    lull_jinja_list items;
    const lull_jinja_value *attribute = lull_jinja_arg(a, 0, "attribute"),
                           *start = lull_jinja_arg(a, 1, "start");
    *out = start ? *start : lull_jinja_int(0);
    if (!lull_jinja_iterate(h->run, v, &items)) return false;
    for (size_t i = 0; i < items.n; i++) {
        lull_jinja_value x = items.items[i], sum = *out;
        if (attribute && attribute->type != LULL_JINJA_NONE &&
            !get_path(h->run, &items.items[i], attribute, NULL, &x))
            return false;
        if (!lull_jinja_add(h->run, &sum, &x, out)) return false;
    }
    return true;
}

/* As the transformers library has it: json.dumps with its arguments, and nothing escaped for HTML. */
FILTER(tojson)
{
    lull_jinja_run *r = h->run;
    const lull_jinja_value *indent = lull_jinja_arg(a, 1, "indent"),
                           *separators = lull_jinja_arg(a, 2, "separators");
    lull_jinja_json_style style = {.is_ascii = lull_jinja_arg_truth(a, 0, "ensure_ascii", false),
                                   .sort_keys = lull_jinja_arg_truth(a, 3, "sort_keys", false)};
    lull_jinja_value spaces = lull_jinja_literal("");
    int64_t n = 0;
    if (indent && indent->type == LULL_JINJA_STRING) {
        spaces = *indent;
    } else if (indent && indent->type != LULL_JINJA_NONE) {
        if (!lull_jinja_arg_int(r, a, 1, "indent", 0, &n) ||
            !lull_jinja_pad(r, spaces.as.text, n, (lull_jinja_text){" ", 1}, LULL_JINJA_PAD_START,
                            &spaces))
            return false;
    }
    style.has_lines = indent && indent->type != LULL_JINJA_NONE;
    style.indent = spaces.as.text;
    style.item_separator = style.has_lines ? (lull_jinja_text){",", 1} : (lull_jinja_text){", ", 2};
    style.key_separator = (lull_jinja_text){": ", 2};
    if (separators && separators->type != LULL_JINJA_NONE) {
        const lull_jinja_list *l = separators->as.list;
        if (!lull_jinja_is_list(separators) || l->n != 2 || l->items[0].type != LULL_JINJA_STRING ||
            l->items[1].type != LULL_JINJA_STRING)
            return lull_jinja_fail(r, LULL_EUNSUPPORTED, "separators must be two strings");
        style.item_separator = l->items[0].as.text;
        style.key_separator = l->items[1].as.text;
    }
    lull_buffer b = {0};
    if (lull_jinja_dump_json(r, v, &style, 0, &b)) return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

FILTER(trim)
{
    lull_jinja_value s;
    lull_jinja_text chars = {0};
    if (!lull_jinja_to_string(h->run, v, &s) || !lull_jinja_arg_text(h->run, a, 0, "chars", &chars))
        return false;
    lull_jinja_text t = lull_jinja_strip(h->run, s.as.text, chars, true, true);
    *out = lull_jinja_string(t.s, t.n);
    return true;
}

FILTER(unique)
{
    lull_jinja_run *r = h->run;
    lull_jinja_list items;
    lull_jinja_value seen;
    bool is_case_sensitive = lull_jinja_arg_truth(a, 0, "case_sensitive", false);
    const lull_jinja_value *attribute = lull_jinja_arg(a, 1, "attribute");
    if (!lull_jinja_iterate(r, v, &items) || !lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out) ||
        !lull_jinja_new_list(r, LULL_JINJA_LIST, 4, &seen))
        return false;
    for (size_t i = 0; i < items.n; i++) {
        lull_jinja_value key;
        bool is_seen;
        if (!sort_key(r, &items.items[i], attribute, NULL, is_case_sensitive, &key) ||
            !lull_jinja_contains(r, &seen, &key, &is_seen))
            return false;
        if (is_seen) continue;
        if (!lull_jinja_push(r, seen.as.list, key) ||
            !lull_jinja_push(r, out->as.list, items.items[i]))
            return false;
    }
    return true;
}

FILTER(wordcount)
{
    UNUSED_ARGS;
    lull_jinja_value s;
    int64_t n = 0;
    bool is_in_word = false;
    if (!lull_jinja_to_string(h->run, v, &s) ||
        !lull_jinja_step(h->run, s.as.text.n / LULL_JINJA_READ_BYTES))
        return false;
    for (size_t i = 0, k; i < s.as.text.n; i += k) {
        uint32_t c = lull_jinja_char_at(s.as.text.s + i, s.as.text.n - i, &k);
        bool is_word = lull_jinja_is_letter(c) || c == '_' || (c >= '0' && c <= '9');
        n += is_word && !is_in_word;
        is_in_word = is_word;
    }
    *out = lull_jinja_int(n);
    return true;
}

static const struct filter {
    const char *name;
    filter_fn fn;
    const char *parameters; /* NULL: any */
    size_t least;           /* of them must be given */
} filters[] = {
    {"abs", filter_abs, "", 0},
    {"attr", filter_attr, "name", 1},
    {"batch", filter_batch, "linecount fill_with", 1},
    {"capitalize", filter_capitalize, "", 0},
    {"center", filter_center, "width", 0},
    {"count", filter_length, "", 0},
    {"d", filter_default, "default_value boolean", 0},
    {"default", filter_default, "default_value boolean", 0},
    {"dictsort", filter_dictsort, "case_sensitive by reverse", 0},
    {"e", filter_escape, "", 0},
    {"escape", filter_escape, "", 0},
    {"first", filter_first, "", 0},
    {"float", filter_float, "default", 0},
    {"format", filter_format, NULL, 0},
    {"groupby", filter_groupby, "attribute default case_sensitive", 1},
    {"indent", filter_indent, "width first blank", 0},
    {"int", filter_int, "default base", 0},
    {"items", filter_items, "", 0},
    {"join", filter_join, "d attribute", 0},
    {"last", filter_last, "", 0},
    {"length", filter_length, "", 0},
    {"list", filter_list, "", 0},
    {"lower", filter_lower, "", 0},
    {"map", filter_map, NULL, 0},
    {"max", filter_max, "case_sensitive attribute", 0},
    {"min", filter_min, "case_sensitive attribute", 0},
    {"reject", filter_reject, NULL, 0},
    {"rejectattr", filter_rejectattr, NULL, 0},
    {"replace", filter_replace, "old new count", 2},
    {"reverse", filter_reverse, "", 0},
    {"round", filter_round, "precision method", 0},
    {"safe", filter_safe, "", 0},
    {"select", filter_select, NULL, 0},
    {"selectattr", filter_selectattr, NULL, 0},
    {"slice", filter_slice, "slices fill_with", 1},
    {"sort", filter_sort, "reverse case_sensitive attribute", 0},
    {"string", filter_string, "", 0},
    {"sum", filter_sum, "attribute start", 0},
    {"title", filter_title, "", 0},
    {"tojson", filter_tojson, "ensure_ascii indent separators sort_keys", 0},
    {"trim", filter_trim, "chars", 0},
    {"unique", filter_unique, "case_sensitive attribute", 0},
    {"upper", filter_upper, "", 0},
    {"wordcount", filter_wordcount, "", 0},
};

static const struct filter *find_filter(lull_jinja_text name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (lull_jinja_text_is(name, filters[i].name)) return &filters[i];
    return NULL;
}

bool lull_jinja_has_filter(lull_jinja_text name)
{
    return find_filter(name) != NULL;
}

bool lull_jinja_apply_filter(lull_jinja_host *h, lull_jinja_text name, const lull_jinja_value *v,
                             const lull_jinja_args *args, lull_jinja_value *out)
{
    lull_jinja_run *r = h->run;
    const struct filter *f = find_filter(name);
    if (!f)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "unknown filter '%.*s'", (int)name.n, name.s);
    if (f->parameters && !lull_jinja_check_args(r, args, f->name, f->parameters, f->least))
        return false;
    if (++r->depth > LULL_JINJA_MAX_DEPTH)
        return lull_jinja_fail(r, LULL_EFULL, "filters are nested too deeply");
    bool is_ok = lull_jinja_step(r, 1) && f->fn(h, v, args, out);
    r->depth--;
    return is_ok && r->status == LULL_OK;
}
