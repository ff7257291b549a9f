/* Strings with the meaning that Python gives their methods. */
#include "jinja_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool lull_jinja_change_case(lull_jinja_run *r, lull_jinja_text t, lull_jinja_case how,
                            lull_jinja_value *out)
{
    lull_buffer b = {0};
    bool is_start = true;
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        bool is_up = how == LULL_JINJA_UPPER_CASE || (how != LULL_JINJA_LOWER_CASE && is_start);
        uint32_t changed = is_up ? to_upper(c) : to_lower(c);
        char bytes[4];
        if (is_up && c == 0xdf)
            lull_buffer_append_str(&b, how == LULL_JINJA_UPPER_CASE ? "SS" : "Ss");
        else if (changed == c)
            lull_buffer_append(&b, t.s + i, k);
        else
            lull_buffer_append(&b, bytes, lull_jinja_put_char(changed, bytes));
        if (how == LULL_JINJA_TITLE_METHOD)
            is_start = !has_case(c);
        else if (how == LULL_JINJA_TITLE_FILTER)
            is_start = lull_jinja_is_space(c) || (c && c < 0x80 && strchr("-({[<", (int)c));
        else
            is_start = false;
    }
    return lull_jinja_step(r, t.n / 16) ? lull_jinja_take_buffer(r, &b, out)
                                        : (lull_buffer_fini(&b), false);
}

bool lull_jinja_is_case(lull_jinja_text t, lull_jinja_case which)
{
    bool has_any = false;
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        if ((which == LULL_JINJA_UPPER_CASE ? to_upper(c) : to_lower(c)) != c) return false;
        has_any = has_any || has_case(c);
    }
    return has_any;
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool is_in_set(lull_jinja_text set, const char *s, size_t k)
{
    for (size_t i = 0, n; i < set.n; i += n) {
        n = lull_jinja_char_bytes(set.s + i, set.n - i);
        if (n == k && memcmp(set.s + i, s, k) == 0) return true;
    }
    return false;
}

/* set.s NULL: white space. */
lull_jinja_text lull_jinja_strip(lull_jinja_text t, lull_jinja_text set, bool at_start, bool at_end)
{
    size_t from = 0, to = t.n, last = 0, k;
    if (at_start)
        for (; from < t.n; from += k) {
            uint32_t c = lull_jinja_char_at(t.s + from, t.n - from, &k);
            if (!(set.s ? is_in_set(set, t.s + from, k) : lull_jinja_is_space(c))) break;
        }
    if (at_end) {
        last = from;
        for (size_t i = from; i < t.n; i += k) {
            uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
            if (!(set.s ? is_in_set(set, t.s + i, k) : lull_jinja_is_space(c))) last = i + k;
        }
        to = last;
    }
    return (lull_jinja_text){t.s + from, to - from};
}

/* First occurrence of part at or after `from`; t.n + 1 when there is none. */
size_t lull_jinja_find_text(lull_jinja_text t, lull_jinja_text part, size_t from)
{
    if (from > t.n || part.n > t.n - from) return t.n + 1;
    if (part.n == 0) return from;
    const char *at = memmem(t.s + from, t.n - from, part.s, part.n);
    return at ? (size_t)(at - t.s) : t.n + 1;
}

bool lull_jinja_replace_text(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text old,
                             lull_jinja_text with, int64_t count, lull_jinja_value *out)
{
    lull_buffer b = {0};
    size_t at = 0, n_done = 0;
    while (count < 0 || (int64_t)n_done < count) {
        size_t found = lull_jinja_find_text(t, old, at);
        if (found > t.n) break;
        lull_buffer_append(&b, t.s + at, found - at);
        lull_buffer_append(&b, with.s, with.n);
        n_done++;
        at = found + old.n;
        if (old.n == 0) { /* between all characters */
            if (found >= t.n) break;
            size_t k = lull_jinja_char_bytes(t.s + found, t.n - found);
            lull_buffer_append(&b, t.s + found, k);
            at = found + k;
        }
        if (!lull_jinja_step(r, 1 + with.n / 64) || b.n_bytes > LULL_JINJA_MAX_OUTPUT) {
            lull_buffer_fini(&b);
            return lull_jinja_fail(r, LULL_EFULL, "its text is too long");
        }
    }
    if (at < t.n) lull_buffer_append(&b, t.s + at, t.n - at);
    return lull_jinja_take_buffer(r, &b, out);
}

bool lull_jinja_push_text(lull_jinja_run *r, lull_jinja_list *l, const char *s, size_t n)
{
    return lull_jinja_push(r, l, lull_jinja_string(s, n));
}

/* str.split and str.rsplit; separator.s NULL: by runs of white space. */
bool lull_jinja_split(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text separator, int64_t most,
                      bool from_right, lull_jinja_value *out)
{
    if (separator.s && separator.n == 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "empty separator");
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out)) return false;
    lull_jinja_list *l = out->as.list;
    if (!from_right) {
        size_t at = 0;
        if (!separator.s) {
            t = lull_jinja_strip(t, (lull_jinja_text){0}, true, false);
            while (t.n > 0) {
                if (most >= 0 && (int64_t)l->n == most) {
                    t = lull_jinja_strip(t, (lull_jinja_text){0}, false, true);
                    return lull_jinja_push_text(r, l, t.s, t.n);
                }
                size_t end = 0, k;
                while (end < t.n &&
                       !lull_jinja_is_space(lull_jinja_char_at(t.s + end, t.n - end, &k)))
                    end += k;
                if (!lull_jinja_push_text(r, l, t.s, end)) return false;
                t = lull_jinja_strip((lull_jinja_text){t.s + end, t.n - end}, (lull_jinja_text){0},
                                     true, false);
            }
            return true;
        }
        while (most < 0 || (int64_t)l->n < most) {
            size_t found = lull_jinja_find_text(t, separator, at);
            if (found > t.n) break;
            if (!lull_jinja_push_text(r, l, t.s + at, found - at)) return false;
            at = found + separator.n;
        }
        return lull_jinja_push_text(r, l, t.s + at, t.n - at);
    }
    /* From the right: the parts are found backwards, then turned round. */
    for (;;) {
        if (!separator.s) t = lull_jinja_strip(t, (lull_jinja_text){0}, false, true);
        if (!separator.s && t.n == 0) break;
        size_t cut = t.n + 1, after = 0;
        if (most < 0 || (int64_t)l->n < most) {
            if (!separator.s) {
                for (size_t i = 0, k; i < t.n; i += k)
                    if (lull_jinja_is_space(lull_jinja_char_at(t.s + i, t.n - i, &k))) {
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
            if (!lull_jinja_step(r, 1 + t.n / 64)) return false;
        }
        if (cut > t.n) {
            if (!separator.s) t = lull_jinja_strip(t, (lull_jinja_text){0}, true, false);
            if (!lull_jinja_push_text(r, l, t.s, t.n)) return false;
            break;
        }
        if (!lull_jinja_push_text(r, l, t.s + after, t.n - after)) return false;
        t.n = cut;
    }
    for (size_t i = 0; i < l->n / 2; i++) {
        lull_jinja_value v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
    return true;
}

/* Length of a line end at s (str.splitlines); 0: none. */
static size_t line_end_bytes(const char *s, size_t n)
{
    size_t k;
    uint32_t c = lull_jinja_char_at(s, n, &k);
    if (c == '\r') return n > 1 && s[1] == '\n' ? 2 : 1;
    bool is_end =
        (c >= 10 && c <= 12) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
    return is_end ? k : 0;
}

bool lull_jinja_split_lines(lull_jinja_run *r, lull_jinja_text t, bool keep_ends,
                            lull_jinja_value *out)
{
    size_t from = 0;
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out)) return false;
    for (size_t i = 0; i < t.n;) {
        size_t end = line_end_bytes(t.s + i, t.n - i);
        if (!end) {
            i += lull_jinja_char_bytes(t.s + i, t.n - i);
            continue;
        }
        if (!lull_jinja_push_text(r, out->as.list, t.s + from, i - from + (keep_ends ? end : 0)))
            return false;
        from = i += end;
    }
    return from >= t.n || lull_jinja_push_text(r, out->as.list, t.s + from, t.n - from);
}

bool lull_jinja_join(lull_jinja_run *r, const lull_jinja_list *l, lull_jinja_text separator,
                     bool must_be_text, lull_jinja_value *out)
{
    lull_buffer b = {0};
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) lull_buffer_append(&b, separator.s, separator.n);
        if (must_be_text && l->items[i].type != LULL_JINJA_STRING) {
            lull_buffer_fini(&b);
            return lull_jinja_fail(r, LULL_EUNSUPPORTED,
                                   "item %zu to be joined is %s, not a string", i,
                                   lull_jinja_type_name(&l->items[i]));
        }
        if (!lull_jinja_print(r, &l->items[i], false, &b)) {
            lull_buffer_fini(&b);
            return false;
        }
    }
    return lull_jinja_take_buffer(r, &b, out);
}

/* Python's % for %s, %r, %d, %i, %f, %e, %g, %x, %c and %%, and %(name)s with a dict. */
bool lull_jinja_format_percent(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_list *items,
                               const lull_jinja_dict *dict, lull_jinja_value *out)
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
        const lull_jinja_value *v = NULL;
        if (i < t.n && t.s[i] == '(' && dict) {
            size_t end = i;
            while (end < t.n && t.s[end] != ')') end++;
            if (end < t.n)
                v = lull_jinja_get_name(r, dict, (lull_jinja_text){t.s + i + 1, end - i - 1});
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
            if (lull_jinja_print(r, v, kind == 'r', &text)) {
                size_t n_chars = lull_jinja_n_chars((lull_jinja_text){text.data, text.n_bytes});
                bool is_left = spec[1] == '-';
                for (size_t k = n_chars; !is_left && k < (size_t)width; k++)
                    lull_buffer_append(&b, " ", 1);
                lull_buffer_append(&b, text.data, text.n_bytes);
                for (size_t k = n_chars; is_left && k < (size_t)width; k++)
                    lull_buffer_append(&b, " ", 1);
            }
            lull_buffer_fini(&text);
        } else if (strchr("dixXo", kind) && lull_jinja_is_number(v)) {
            int64_t n = v->type == LULL_JINJA_FLOAT ? (int64_t)v->as.number : lull_jinja_as_int(v);
            snprintf(spec + n_spec, sizeof spec - n_spec, "%s%c", PRId64[0] == 'l' ? "l" : "ll",
                     kind == 'i' ? 'd' : kind);
            snprintf(number, sizeof number, spec, n);
            lull_buffer_append_str(&b, number);
        } else if (strchr("feEgGF", kind) && lull_jinja_is_number(v)) {
            spec[n_spec] = kind;
            spec[n_spec + 1] = '\0';
            snprintf(number, sizeof number, spec, lull_jinja_as_float(v));
            lull_buffer_append_str(&b, number);
        } else {
            why = "its format and its arguments do not agree";
        }
    }
    if (!why && items && n_used < items->n) why = "not all arguments were used by its format";
    if (why || r->status != LULL_OK) {
        lull_buffer_fini(&b);
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%s", why ? why : "failed");
    }
    return lull_jinja_take_buffer(r, &b, out);
}

/* {} and {0} and {name} of str.format; no format specifications. */
bool lull_jinja_format_braces(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_args *a,
                              lull_jinja_value *out)
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
            lull_jinja_text name = {t.s + i + 1, end - i - 1};
            const lull_jinja_value *v = NULL;
            if (name.n == 0) {
                v = lull_jinja_arg(a, n_auto++, NULL);
            } else if (name.s[0] >= '0' && name.s[0] <= '9') {
                v = lull_jinja_arg(a, (size_t)strtoul(name.s, NULL, 10), NULL);
            } else {
                for (size_t k = 0; k < a->n_named; k++)
                    if (a->names[k].n == name.n && memcmp(a->names[k].s, name.s, name.n) == 0)
                        v = &a->named[k];
            }
            is_ok = end < t.n && v && lull_jinja_print(r, v, false, &b);
            i = end;
        } else if (c == '}') {
            is_ok = false;
        } else {
            lull_buffer_append(&b, &c, 1);
        }
    }
    if (is_ok) return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return lull_jinja_fail(r, LULL_EUNSUPPORTED, "its format and its arguments do not agree");
}
