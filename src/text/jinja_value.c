#include "jinja_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the run --------------------------------------------------------------------------------- */

bool lull_jinja_fail(lull_jinja_run *r, lull_status code, const char *fmt, ...)
{
    if (r->status != LULL_OK) return false;
    char what[180];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    r->status =
        lull_fail(r->err, code, "chat template, line %d, column %d: %s", r->line, r->column, what);
    return false;
}

bool lull_jinja_step(lull_jinja_run *r, size_t n)
{
    r->n_steps += n;
    if (r->status != LULL_OK) return false;
    return r->n_steps <= r->most_steps || lull_jinja_fail(r, LULL_EFULL, "it takes too many steps");
}

static bool is_short(lull_jinja_run *r, const lull_buffer *b)
{
    return b->n_bytes <= r->most_output || lull_jinja_fail(r, LULL_EFULL, "its text is too long");
}

bool lull_jinja_append(lull_jinja_run *r, lull_buffer *b, const char *s, size_t n)
{
    if (n > r->most_output || b->n_bytes + n > r->most_output)
        return lull_jinja_fail(r, LULL_EFULL, "its text is too long");
    if (!lull_jinja_step(r, n / LULL_JINJA_COPY_BYTES)) return false;
    lull_buffer_append(b, s, n);
    return true;
}

bool lull_jinja_fill(lull_jinja_run *r, lull_buffer *b, lull_jinja_text s, size_t count)
{
    if (s.n == 0) return true;
    if (count > r->most_output / s.n || b->n_bytes + count * s.n > r->most_output)
        return lull_jinja_fail(r, LULL_EFULL, "its text is too long");
    if (!lull_jinja_step(r, count / LULL_JINJA_READ_BYTES + count * s.n / LULL_JINJA_COPY_BYTES))
        return false;
    for (size_t i = 0; i < count; i++) lull_buffer_append(b, s.s, s.n);
    return true;
}

void *lull_jinja_alloc(lull_jinja_run *r, size_t n_bytes)
{
    if (n_bytes > r->most_bytes || r->arena.n_held + n_bytes > r->most_bytes) {
        lull_jinja_fail(r, LULL_EFULL, "it uses too much memory");
        return NULL;
    }
    if (!lull_jinja_step(r, 1 + n_bytes / LULL_JINJA_COPY_BYTES)) return NULL;
    void *p = lull_arena_alloc(&r->arena, n_bytes);
    if (!p) lull_jinja_fail(r, LULL_ENOMEM, "out of memory");
    return p;
}

/* ---- making ---------------------------------------------------------------------------------- */

lull_jinja_value lull_jinja_undefined(lull_jinja_text what)
{
    return (lull_jinja_value){LULL_JINJA_UNDEFINED, {.text = what}};
}

lull_jinja_value lull_jinja_none(void)
{
    return (lull_jinja_value){LULL_JINJA_NONE, {0}};
}

lull_jinja_value lull_jinja_bool(bool b)
{
    return (lull_jinja_value){LULL_JINJA_BOOL, {.truth = b}};
}

lull_jinja_value lull_jinja_int(int64_t i)
{
    return (lull_jinja_value){LULL_JINJA_INT, {.integer = i}};
}

lull_jinja_value lull_jinja_float(double d)
{
    return (lull_jinja_value){LULL_JINJA_FLOAT, {.number = d}};
}

lull_jinja_value lull_jinja_string(const char *s, size_t n)
{
    return (lull_jinja_value){LULL_JINJA_STRING, {.text = {s, n}}};
}

lull_jinja_value lull_jinja_literal(const char *s)
{
    return lull_jinja_string(s, strlen(s));
}

bool lull_jinja_copy_string(lull_jinja_run *r, const char *s, size_t n, lull_jinja_value *out)
{
    char *p = lull_jinja_alloc(r, n + 1);
    if (!p) return false;
    memcpy(p, s, n);
    *out = lull_jinja_string(p, n);
    return true;
}

bool lull_jinja_take_buffer(lull_jinja_run *r, lull_buffer *b, lull_jinja_value *out)
{
    bool is_ok = !b->is_failed || lull_jinja_fail(r, LULL_ENOMEM, "out of memory");
    is_ok = is_ok && lull_jinja_copy_string(r, b->data ? b->data : "", b->n_bytes, out);
    lull_buffer_fini(b);
    return is_ok;
}

bool lull_jinja_new_list(lull_jinja_run *r, lull_jinja_type type, size_t cap, lull_jinja_value *out)
{
    lull_jinja_list *l = lull_jinja_alloc(r, sizeof *l);
    if (!l) return false;
    if (cap > 0) {
        if (cap > r->most_bytes / sizeof *l->items)
            return lull_jinja_fail(r, LULL_EFULL, "a list of %zu items is too long", cap);
        l->items = lull_jinja_alloc(r, cap * sizeof *l->items);
        if (!l->items) return false;
    }
    l->cap = cap;
    *out = (lull_jinja_value){type, {.list = l}};
    return true;
}

bool lull_jinja_push(lull_jinja_run *r, lull_jinja_list *l, lull_jinja_value v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        lull_jinja_value *items = lull_jinja_alloc(r, cap * sizeof *items);
        if (!items) return false;
        if (l->n > 0) memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = v;
    return lull_jinja_step(r, 1);
}

bool lull_jinja_new_dict(lull_jinja_run *r, lull_jinja_value *out)
{
    lull_jinja_dict *d = lull_jinja_alloc(r, sizeof *d);
    *out = (lull_jinja_value){LULL_JINJA_DICT, {.dict = d}};
    return d != NULL;
}

bool lull_jinja_need_hashable(lull_jinja_run *r, const lull_jinja_value *key)
{
    if (key->type == LULL_JINJA_LIST || key->type == LULL_JINJA_DICT)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "unhashable type: '%s'",
                               lull_jinja_type_name(key));
    if (key->type != LULL_JINJA_TUPLE) return true;
    if (++r->depth > LULL_JINJA_MAX_DEPTH)
        return lull_jinja_fail(r, LULL_EFULL, "values are nested too deeply");
    bool is_ok = true;
    for (size_t i = 0; i < key->as.list->n && is_ok; i++)
        is_ok = lull_jinja_step(r, 1) && lull_jinja_need_hashable(r, &key->as.list->items[i]);
    r->depth--;
    return is_ok;
}

bool lull_jinja_set(lull_jinja_run *r, lull_jinja_dict *d, lull_jinja_value key, lull_jinja_value v)
{
    if (!lull_jinja_need_hashable(r, &key)) return false;
    lull_jinja_value *old = lull_jinja_get(r, d, key);
    if (r->status != LULL_OK) return false;
    if (old) {
        *old = v;
        return true;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 8;
        lull_jinja_pair *pairs = lull_jinja_alloc(r, cap * sizeof *pairs);
        if (!pairs) return false;
        if (d->n > 0) memcpy(pairs, d->pairs, d->n * sizeof *pairs);
        d->pairs = pairs;
        d->cap = cap;
    }
    d->pairs[d->n++] = (lull_jinja_pair){key, v};
    return true;
}

lull_jinja_value *lull_jinja_get(lull_jinja_run *r, const lull_jinja_dict *d, lull_jinja_value key)
{
    if (!lull_jinja_step(r, 1 + d->n / 16)) return NULL;
    for (size_t i = 0; i < d->n; i++) {
        const lull_jinja_value *k = &d->pairs[i].key;
        bool is_equal = false;
        if (k->type == LULL_JINJA_STRING && key.type == LULL_JINJA_STRING) {
            if (k->as.text.n != key.as.text.n) continue;
            if (!lull_jinja_step(r, key.as.text.n / LULL_JINJA_COPY_BYTES)) return NULL;
            is_equal = memcmp(k->as.text.s, key.as.text.s, key.as.text.n) == 0;
        } else if (k->type != LULL_JINJA_STRING && key.type != LULL_JINJA_STRING &&
                   !lull_jinja_equal(r, k, &key, &is_equal))
            return NULL;
        if (is_equal) return &d->pairs[i].value;
    }
    return NULL;
}

lull_jinja_value *lull_jinja_get_name(lull_jinja_run *r, const lull_jinja_dict *d,
                                      lull_jinja_text name)
{
    return lull_jinja_get(r, d, lull_jinja_string(name.s, name.n));
}

bool lull_jinja_from_json(lull_jinja_run *r, const json_t *j, lull_jinja_value *out)
{
    r->n_input += sizeof *out;
    switch (json_typeof(j)) {
    case JSON_OBJECT: {
        if (++r->depth > LULL_JINJA_MAX_DEPTH)
            return lull_jinja_fail(r, LULL_EFULL, "its variables are nested too deeply");
        void *it = json_object_iter((json_t *)j);
        if (!lull_jinja_new_dict(r, out)) return false;
        for (; it; it = json_object_iter_next((json_t *)j, it)) {
            lull_jinja_value v;
            lull_jinja_dict *d = out->as.dict;
            if (!lull_jinja_from_json(r, json_object_iter_value(it), &v)) return false;
            /* Keys of a JSON object are unique already. */
            if (d->n == d->cap) {
                if (!lull_jinja_set(r, d, lull_jinja_literal(json_object_iter_key(it)), v))
                    return false;
            } else {
                d->pairs[d->n++] =
                    (lull_jinja_pair){lull_jinja_literal(json_object_iter_key(it)), v};
            }
        }
        r->depth--;
        return true;
    }
    case JSON_ARRAY:
        if (++r->depth > LULL_JINJA_MAX_DEPTH)
            return lull_jinja_fail(r, LULL_EFULL, "its variables are nested too deeply");
        if (!lull_jinja_new_list(r, LULL_JINJA_LIST, json_array_size(j), out)) return false;
        for (size_t i = 0; i < json_array_size(j); i++) {
            lull_jinja_value v;
            if (!lull_jinja_from_json(r, json_array_get(j, i), &v) ||
                !lull_jinja_push(r, out->as.list, v))
                return false;
        }
        r->depth--;
        return true;
    case JSON_STRING:
        *out = lull_jinja_string(json_string_value(j), json_string_length(j));
        r->n_input += json_string_length(j);
        break;
    case JSON_INTEGER: *out = lull_jinja_int(json_integer_value(j)); break;
    case JSON_REAL: *out = lull_jinja_float(json_real_value(j)); break;
    case JSON_TRUE: *out = lull_jinja_bool(true); break;
    case JSON_FALSE: *out = lull_jinja_bool(false); break;
    case JSON_NULL: *out = lull_jinja_none(); break;
    }
    return true;
}

/* ---- characters ------------------------------------------------------------------------------ */

uint32_t lull_jinja_char_at(const char *s, size_t n, size_t *n_bytes)
{
    const uint8_t *u = (const uint8_t *)s;
    size_t length = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? u[0] : u[0] & (0xffu >> (length + 1));
    *n_bytes = 1;
    if (length < 2 || length > n) return u[0];
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xc0) != 0x80) return u[0];
        c = c << 6 | (u[i] & 0x3f);
    }
    *n_bytes = length;
    return c;
}

size_t lull_jinja_char_bytes(const char *s, size_t n)
{
    size_t k;
    lull_jinja_char_at(s, n, &k);
    return k;
}

size_t lull_jinja_put_char(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

size_t lull_jinja_n_chars(lull_jinja_text t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n; i += lull_jinja_char_bytes(t.s + i, t.n - i)) n++;
    return n;
}

size_t lull_jinja_char_offset(lull_jinja_text t, size_t i)
{
    size_t at = 0;
    for (; i > 0 && at < t.n; i--) at += lull_jinja_char_bytes(t.s + at, t.n - at);
    return at;
}

bool lull_jinja_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* ---- truth, equality, order ------------------------------------------------------------------ */

bool lull_jinja_truth(const lull_jinja_value *v)
{
    switch (v->type) {
    case LULL_JINJA_UNDEFINED:
    case LULL_JINJA_NONE: return false;
    case LULL_JINJA_BOOL: return v->as.truth;
    case LULL_JINJA_INT: return v->as.integer != 0;
    case LULL_JINJA_FLOAT: return v->as.number != 0;
    case LULL_JINJA_STRING: return v->as.text.n > 0;
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE: return v->as.list->n > 0;
    case LULL_JINJA_DICT: return v->as.dict->n > 0;
    default: return true;
    }
}

const char *lull_jinja_type_name(const lull_jinja_value *v)
{
    switch (v->type) {
    case LULL_JINJA_UNDEFINED: return "Undefined";
    case LULL_JINJA_NONE: return "NoneType";
    case LULL_JINJA_BOOL: return "bool";
    case LULL_JINJA_INT: return "int";
    case LULL_JINJA_FLOAT: return "float";
    case LULL_JINJA_STRING: return "str";
    case LULL_JINJA_LIST: return "list";
    case LULL_JINJA_TUPLE: return "tuple";
    case LULL_JINJA_DICT: return "dict";
    case LULL_JINJA_NAMESPACE: return "Namespace";
    case LULL_JINJA_LOOP: return "LoopContext";
    case LULL_JINJA_MACRO: return "Macro";
    default: return "function";
    }
}

static int compare_texts(lull_jinja_text a, lull_jinja_text b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.s, b.s, n) : 0; /* UTF-8 orders as its characters do */
    if (c == 0) c = a.n < b.n ? -1 : a.n > b.n;
    return c < 0 ? -1 : c > 0;
}

bool lull_jinja_equal(lull_jinja_run *r, const lull_jinja_value *a, const lull_jinja_value *b,
                      bool *out)
{
    *out = false;
    if (!lull_jinja_step(r, 1)) return false;
    if (lull_jinja_is_number(a) && lull_jinja_is_number(b)) {
        *out = a->type == LULL_JINJA_FLOAT || b->type == LULL_JINJA_FLOAT
                   ? lull_jinja_as_float(a) == lull_jinja_as_float(b)
                   : lull_jinja_as_int(a) == lull_jinja_as_int(b);
        return true;
    }
    if (a->type != b->type) return true;
    if (r->depth > LULL_JINJA_MAX_DEPTH)
        return lull_jinja_fail(r, LULL_EFULL, "values are nested too deeply");
    switch (a->type) {
    case LULL_JINJA_UNDEFINED:
    case LULL_JINJA_NONE: *out = true; return true;
    case LULL_JINJA_STRING:
        if (a->as.text.n != b->as.text.n) return true;
        *out = compare_texts(a->as.text, b->as.text) == 0;
        return lull_jinja_step(r, a->as.text.n / LULL_JINJA_COPY_BYTES);
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE:
        if (a->as.list->n != b->as.list->n) return true;
        r->depth++;
        for (size_t i = 0; i < a->as.list->n; i++)
            if (!lull_jinja_equal(r, &a->as.list->items[i], &b->as.list->items[i], out) || !*out) {
                r->depth--;
                return r->status == LULL_OK;
            }
        r->depth--;
        *out = true;
        return true;
    case LULL_JINJA_DICT:
        if (a->as.dict->n != b->as.dict->n) return true;
        r->depth++;
        for (size_t i = 0; i < a->as.dict->n; i++) {
            const lull_jinja_pair *p = &a->as.dict->pairs[i];
            const lull_jinja_value *other = lull_jinja_get(r, b->as.dict, p->key);
            *out = false;
            if (!other || !lull_jinja_equal(r, &p->value, other, out) || !*out) {
                r->depth--;
                return r->status == LULL_OK;
            }
        }
        r->depth--;
        *out = true;
        return true;
    default: *out = a->as.object == b->as.object; return true;
    }
}

bool lull_jinja_compare(lull_jinja_run *r, const lull_jinja_value *a, const lull_jinja_value *b,
                        int *out)
{
    if (!lull_jinja_step(r, 1)) return false;
    if (lull_jinja_is_number(a) && lull_jinja_is_number(b)) {
        if (a->type == LULL_JINJA_FLOAT || b->type == LULL_JINJA_FLOAT) {
            double x = lull_jinja_as_float(a), y = lull_jinja_as_float(b);
            *out = x < y ? -1 : x > y;
        } else {
            int64_t x = lull_jinja_as_int(a), y = lull_jinja_as_int(b);
            *out = x < y ? -1 : x > y;
        }
        return true;
    }
    if (a->type == LULL_JINJA_STRING && b->type == LULL_JINJA_STRING) {
        *out = compare_texts(a->as.text, b->as.text);
        return lull_jinja_step(r, a->as.text.n / LULL_JINJA_COPY_BYTES);
    }
    if (lull_jinja_is_list(a) && a->type == b->type) {
        const lull_jinja_list *x = a->as.list, *y = b->as.list;
        if (r->depth > LULL_JINJA_MAX_DEPTH)
            return lull_jinja_fail(r, LULL_EFULL, "values are nested too deeply");
        for (size_t i = 0; i < x->n && i < y->n; i++) {
            bool is_equal;
            r->depth++;
            bool is_ok = lull_jinja_equal(r, &x->items[i], &y->items[i], &is_equal) &&
                         (is_equal || lull_jinja_compare(r, &x->items[i], &y->items[i], out));
            r->depth--;
            if (!is_ok || !is_equal) return is_ok;
        }
        *out = x->n < y->n ? -1 : x->n > y->n;
        return true;
    }
    return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%s' and '%s' have no order",
                           lull_jinja_type_name(a), lull_jinja_type_name(b));
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Python's repr of a float: the shortest digits that read back as the same number. */
static void print_float(double d, lull_buffer *b)
{
    char digits[40];
    if (isnan(d)) {
        lull_buffer_append_str(b, "nan");
        return;
    }
    if (isinf(d)) {
        lull_buffer_append_str(b, d < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    for (; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, d);
        if (strtod(digits, NULL) == d) break;
    }
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        *strchr(digits, 'e') = '\0';
        lull_buffer_printf(b, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int decimals = precision - exponent;
    lull_buffer_printf(b, "%.*f", decimals < 1 ? 1 : decimals, d);
}

/* Python's repr of a string: single quotes unless there are some and no double ones. */
static bool print_repr(lull_jinja_run *r, lull_jinja_text t, lull_buffer *b)
{
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    bool has_single = t.n && memchr(t.s, '\'', t.n), has_double = t.n && memchr(t.s, '"', t.n);
    char quote = has_single && !has_double ? '"' : '\'';
    lull_buffer_append(b, &quote, 1);
    for (size_t i = 0, k; i < t.n && b->n_bytes <= r->most_output; i += k) {
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        bool is_hidden = c < 32 || (c >= 0x7f && c <= 0xa0) || c == 0xad ||
                         (lull_jinja_is_space(c) && c != ' ') || (c >= 0x200b && c <= 0x200f) ||
                         (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
                         c == 0xfeff || (c >= 0xe000 && c <= 0xf8ff) ||
                         (c >= 0xfff0 && c <= 0xfffb);
        if (c == '\\' || c == (uint32_t)quote)
            lull_buffer_printf(b, "\\%c", (int)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            lull_buffer_append_str(b, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (is_hidden)
            lull_buffer_printf(b, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
        else
            lull_buffer_append(b, t.s + i, k);
    }
    lull_buffer_append(b, &quote, 1);
    return is_short(r, b);
}

/* As "%d" does, which is slow; there may be many. */
static void print_int(int64_t i, lull_buffer *b)
{
    char digits[24], *p = digits + sizeof digits;
    uint64_t magnitude = i < 0 ? -(uint64_t)i : (uint64_t)i;
    do *--p = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    if (i < 0) *--p = '-';
    lull_buffer_append(b, p, (size_t)(digits + sizeof digits - p));
}

bool lull_jinja_print(lull_jinja_run *r, const lull_jinja_value *v, bool as_repr, lull_buffer *b)
{
    if (!is_short(r, b) || !lull_jinja_step(r, 1)) return false;
    if (r->depth > LULL_JINJA_MAX_DEPTH)
        return lull_jinja_fail(r, LULL_EFULL, "values are nested too deeply");
    switch (v->type) {
    case LULL_JINJA_UNDEFINED:
        if (as_repr) lull_buffer_append_str(b, "Undefined");
        break;
    case LULL_JINJA_NONE: lull_buffer_append_str(b, "None"); break;
    case LULL_JINJA_BOOL: lull_buffer_append_str(b, v->as.truth ? "True" : "False"); break;
    case LULL_JINJA_INT: print_int(v->as.integer, b); break;
    case LULL_JINJA_FLOAT:
        if (!lull_jinja_step(r, 20)) return false;
        print_float(v->as.number, b);
        break;
    case LULL_JINJA_STRING:
        if (as_repr ? !print_repr(r, v->as.text, b)
                    : !lull_jinja_append(r, b, v->as.text.s, v->as.text.n))
            return false;
        break;
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE: {
        const lull_jinja_list *l = v->as.list;
        lull_buffer_append_str(b, v->type == LULL_JINJA_LIST ? "[" : "(");
        r->depth++;
        for (size_t i = 0; i < l->n; i++) {
            if (i > 0) lull_buffer_append_str(b, ", ");
            if (!lull_jinja_print(r, &l->items[i], true, b)) return false;
        }
        r->depth--;
        lull_buffer_append_str(b, v->type == LULL_JINJA_LIST ? "]" : l->n == 1 ? ",)" : ")");
        break;
    }
    case LULL_JINJA_DICT:
    case LULL_JINJA_NAMESPACE: {
        const lull_jinja_dict *d = v->as.dict;
        lull_buffer_append_str(b, v->type == LULL_JINJA_DICT ? "{" : "<Namespace {");
        r->depth++;
        for (size_t i = 0; i < d->n; i++) {
            if (i > 0) lull_buffer_append_str(b, ", ");
            if (!lull_jinja_print(r, &d->pairs[i].key, true, b)) return false;
            lull_buffer_append_str(b, ": ");
            if (!lull_jinja_print(r, &d->pairs[i].value, true, b)) return false;
        }
        r->depth--;
        lull_buffer_append_str(b, v->type == LULL_JINJA_DICT ? "}" : "}>");
        break;
    }
    case LULL_JINJA_MACRO: {
        const lull_jinja_text *name = v->as.object;
        lull_buffer_append_str(b, "<Macro ");
        if (name->n == 0) lull_buffer_append_str(b, "anonymous");
        if (name->n > 0 && !print_repr(r, *name, b)) return false;
        lull_buffer_append_str(b, ">");
        break;
    }
    default: lull_buffer_printf(b, "<%s>", lull_jinja_type_name(v)); break;
    }
    return !b->is_failed || lull_jinja_fail(r, LULL_ENOMEM, "out of memory");
}

bool lull_jinja_to_string(lull_jinja_run *r, const lull_jinja_value *v, lull_jinja_value *out)
{
    lull_buffer b = {0};
    if (v->type == LULL_JINJA_STRING) {
        *out = *v;
        return true;
    }
    if (!lull_jinja_print(r, v, false, &b)) {
        lull_buffer_fini(&b);
        return false;
    }
    return lull_jinja_take_buffer(r, &b, out);
}

static bool is_plain_json(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static bool dump_json_string(lull_jinja_run *r, lull_jinja_text t, bool is_ascii, lull_buffer *b)
{
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    lull_buffer_append_str(b, "\"");
    for (size_t i = 0, k, n; i < t.n && b->n_bytes <= r->most_output; i += k) {
        for (n = 0; i + n < t.n && is_plain_json(t.s[i + n]); n++) continue;
        if (n > 0) {
            lull_buffer_append(b, t.s + i, k = n);
            continue;
        }
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        const char *at = c && c < 0x80 ? strchr("\"\\\b\f\n\r\t", (int)c) : NULL;
        if (at)
            lull_buffer_printf(b, "\\%c", "\"\\bfnrt"[at - "\"\\\b\f\n\r\t"]);
        else if (c < 32 || (is_ascii && c > 0x7f && c < 0x10000))
            lull_buffer_printf(b, "\\u%04x", c);
        else if (is_ascii && c >= 0x10000)
            lull_buffer_printf(b, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                               0xdc00 + ((c - 0x10000) & 0x3ff));
        else
            lull_buffer_append(b, t.s + i, k);
    }
    lull_buffer_append_str(b, "\"");
    return is_short(r, b);
}

static bool break_line(lull_jinja_run *r, const lull_jinja_json_style *style, int depth,
                       lull_buffer *b)
{
    if (!style->has_lines) return true;
    lull_buffer_append_str(b, "\n");
    return lull_jinja_fill(r, b, style->indent, (size_t)depth);
}

static bool separate(lull_jinja_run *r, lull_jinja_text separator, lull_buffer *b)
{
    return lull_jinja_append(r, b, separator.s, separator.n);
}

static int by_key(const void *a, const void *b)
{
    const lull_jinja_pair *const *x = a, *const *y = b;
    return compare_texts((*x)->key.as.text, (*y)->key.as.text);
}

static bool dump_json_dict(lull_jinja_run *r, const lull_jinja_dict *d,
                           const lull_jinja_json_style *style, int depth, lull_buffer *b)
{
    const lull_jinja_pair **pairs = lull_jinja_alloc(r, (d->n + 1) * sizeof *pairs);
    if (!pairs) return false;
    bool are_strings = true;
    for (size_t i = 0; i < d->n; i++) {
        pairs[i] = &d->pairs[i];
        are_strings = are_strings && d->pairs[i].key.type == LULL_JINJA_STRING;
    }
    if (style->sort_keys && are_strings) {
        qsort(pairs, d->n, sizeof *pairs, by_key);
    } else if (style->sort_keys) { /* few, and maybe without an order */
        for (size_t i = 1; i < d->n; i++)
            for (size_t k = i; k > 0; k--) {
                const lull_jinja_pair *pair = pairs[k];
                int order;
                if (!lull_jinja_compare(r, &pair->key, &pairs[k - 1]->key, &order)) return false;
                if (order >= 0) break;
                pairs[k] = pairs[k - 1];
                pairs[k - 1] = pair;
            }
    }
    lull_buffer_append_str(b, "{");
    for (size_t i = 0; i < d->n; i++) {
        const lull_jinja_value *key = &pairs[i]->key;
        if (i > 0 && !separate(r, style->item_separator, b)) return false;
        if (!break_line(r, style, depth + 1, b)) return false;
        if (key->type == LULL_JINJA_STRING) {
            if (!dump_json_string(r, key->as.text, style->is_ascii, b)) return false;
        } else {
            if (!lull_jinja_is_number(key) && key->type != LULL_JINJA_NONE)
                return lull_jinja_fail(r, LULL_EUNSUPPORTED,
                                       "a key of type %s cannot stand in JSON",
                                       lull_jinja_type_name(key));
            lull_buffer_append_str(b, "\"");
            if (!lull_jinja_dump_json(r, key, style, depth + 1, b)) return false;
            lull_buffer_append_str(b, "\"");
        }
        if (!separate(r, style->key_separator, b) ||
            !lull_jinja_dump_json(r, &pairs[i]->value, style, depth + 1, b))
            return false;
    }
    if (d->n > 0 && !break_line(r, style, depth, b)) return false;
    lull_buffer_append_str(b, "}");
    return true;
}

bool lull_jinja_dump_json(lull_jinja_run *r, const lull_jinja_value *v,
                          const lull_jinja_json_style *style, int depth, lull_buffer *b)
{
    if (depth > LULL_JINJA_MAX_DEPTH)
        return lull_jinja_fail(r, LULL_EFULL, "values are nested too deeply");
    if (!is_short(r, b) || !lull_jinja_step(r, 1)) return false;
    switch (v->type) {
    case LULL_JINJA_NONE: lull_buffer_append_str(b, "null"); return true;
    case LULL_JINJA_BOOL: lull_buffer_append_str(b, v->as.truth ? "true" : "false"); return true;
    case LULL_JINJA_FLOAT:
        if (isnan(v->as.number))
            lull_buffer_append_str(b, "NaN");
        else if (isinf(v->as.number))
            lull_buffer_append_str(b, v->as.number < 0 ? "-Infinity" : "Infinity");
        else
            print_float(v->as.number, b);
        return lull_jinja_step(r, 20);
    case LULL_JINJA_INT: return lull_jinja_print(r, v, false, b);
    case LULL_JINJA_STRING: return dump_json_string(r, v->as.text, style->is_ascii, b);
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE:
        lull_buffer_append_str(b, "[");
        for (size_t i = 0; i < v->as.list->n; i++) {
            if (i > 0 && !separate(r, style->item_separator, b)) return false;
            if (!break_line(r, style, depth + 1, b)) return false;
            if (!lull_jinja_dump_json(r, &v->as.list->items[i], style, depth + 1, b)) return false;
        }
        if (v->as.list->n > 0 && !break_line(r, style, depth, b)) return false;
        lull_buffer_append_str(b, "]");
        return true;
    case LULL_JINJA_DICT: return dump_json_dict(r, v->as.dict, style, depth, b);
    default:
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a value of type %s cannot be written as JSON",
                               lull_jinja_type_name(v));
    }
}

bool lull_jinja_iterate(lull_jinja_run *r, const lull_jinja_value *v, lull_jinja_list *out)
{
    lull_jinja_value list;
    *out = (lull_jinja_list){0};
    switch (v->type) {
    case LULL_JINJA_UNDEFINED: return true;
    case LULL_JINJA_LIST:
    case LULL_JINJA_TUPLE: *out = *v->as.list; return true;
    case LULL_JINJA_DICT:
        if (!lull_jinja_new_list(r, LULL_JINJA_LIST, v->as.dict->n, &list)) return false;
        for (size_t i = 0; i < v->as.dict->n; i++)
            if (!lull_jinja_push(r, list.as.list, v->as.dict->pairs[i].key)) return false;
        break;
    case LULL_JINJA_STRING:
        if (!lull_jinja_new_list(r, LULL_JINJA_LIST, lull_jinja_n_chars(v->as.text), &list))
            return false;
        for (size_t i = 0, k; i < v->as.text.n; i += k) {
            k = lull_jinja_char_bytes(v->as.text.s + i, v->as.text.n - i);
            if (!lull_jinja_push(r, list.as.list, lull_jinja_string(v->as.text.s + i, k)))
                return false;
        }
        break;
    default:
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "'%s' object is not iterable",
                               lull_jinja_type_name(v));
    }
    *out = *list.as.list;
    return true;
}
