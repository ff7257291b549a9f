/* Strings with the meaning that Python gives their methods. */
#include "jinja_text.h"

#include <inttypes.h>
#include <math.h>
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
    if (!lull_jinja_step(r, 2 * t.n / LULL_JINJA_READ_BYTES)) return false;
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
    return lull_jinja_take_buffer(r, &b, out);
}

bool lull_jinja_is_letter(uint32_t c)
{
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
    if (c < 0xc0) return c == 0xaa || c == 0xb5 || c == 0xba;
    bool is_symbol = c == 0xd7 || c == 0xf7 || (c >= 0x300 && c <= 0x36f) ||
                     (c >= 0x2000 && c <= 0x2bff) || (c >= 0x3000 && c <= 0x3004) ||
                     (c >= 0x3008 && c <= 0x3030) || (c >= 0xe000 && c <= 0xf8ff) ||
                     (c >= 0xfe00 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff20) ||
                     (c >= 0xfff0 && c <= 0xffff) || (c >= 0x1f000 && c <= 0x1faff) || c >= 0xe0000;
    return !is_symbol && !lull_jinja_is_space(c);
}

bool lull_jinja_is_case(lull_jinja_run *r, lull_jinja_text t, lull_jinja_case which, bool *out)
{
    bool has_any = *out = false;
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    for (size_t i = 0, k; i < t.n; i += k) {
        uint32_t c = lull_jinja_char_at(t.s + i, t.n - i, &k);
        if ((which == LULL_JINJA_UPPER_CASE ? to_upper(c) : to_lower(c)) != c) return true;
        has_any = has_any || has_case(c);
    }
    *out = has_any;
    return true;
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

/* The last character of t, which is not empty; *n_bytes: its length. */
static uint32_t last_char(lull_jinja_text t, size_t *n_bytes)
{
    bool is_ascii = (unsigned char)t.s[t.n - 1] < 0x80; /* never the end of a longer one */
    for (size_t back = 2; !is_ascii && back <= 4 && back <= t.n; back++) {
        uint32_t c = lull_jinja_char_at(t.s + t.n - back, back, n_bytes);
        if (*n_bytes == back) return c;
    }
    return lull_jinja_char_at(t.s + t.n - 1, 1, n_bytes);
}

static bool is_stripped(lull_jinja_run *r, lull_jinja_text set, const char *s, size_t k, uint32_t c)
{
    if (!lull_jinja_step(r, 1 + set.n / LULL_JINJA_READ_BYTES)) return false;
    return set.s ? is_in_set(set, s, k) : lull_jinja_is_space(c);
}

lull_jinja_text lull_jinja_strip(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text set,
                                 bool at_start, bool at_end)
{
    size_t k;
    while (at_start && t.n > 0) {
        uint32_t c = lull_jinja_char_at(t.s, t.n, &k);
        if (!is_stripped(r, set, t.s, k, c)) break;
        t.s += k;
        t.n -= k;
    }
    while (at_end && t.n > 0) {
        uint32_t c = last_char(t, &k);
        if (!is_stripped(r, set, t.s + t.n - k, k, c)) break;
        t.n -= k;
    }
    return t;
}

size_t lull_jinja_find_text(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text part, size_t from)
{
    if (from > t.n || part.n > t.n - from) return t.n + 1;
    if (part.n == 0) return from;
    const char *at = memmem(t.s + from, t.n - from, part.s, part.n);
    size_t n_read = part.n + (at ? (size_t)(at - t.s) - from : t.n - from);
    return lull_jinja_step(r, n_read / LULL_JINJA_FIND_BYTES) && at ? (size_t)(at - t.s) : t.n + 1;
}

size_t lull_jinja_find_last(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text part)
{
    for (size_t i = t.n + 1; i > part.n; i--) {
        const char *at = t.s + i - 1 - part.n;
        /* Long parts of one letter are what takes time: those begin and end alike. */
        bool may_be = part.n == 0 || (*at == *part.s && at[part.n - 1] == part.s[part.n - 1]);
        size_t n_read = may_be ? part.n : 0;
        if (!lull_jinja_step(r, i % LULL_JINJA_READ_BYTES == 0) ||
            !lull_jinja_step(r, n_read / LULL_JINJA_COPY_BYTES))
            break;
        if (may_be && memcmp(at, part.s, part.n) == 0) return i - 1 - part.n;
    }
    return t.n + 1;
}

bool lull_jinja_pad(lull_jinja_run *r, lull_jinja_text t, int64_t width, lull_jinja_text fill,
                    lull_jinja_pad_where where, lull_jinja_value *out)
{
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    int64_t n = (int64_t)lull_jinja_n_chars(t), pad = width > n ? width - n : 0;
    int64_t left = where == LULL_JINJA_PAD_START ? pad
                   : where == LULL_JINJA_PAD_END ? 0
                                                 : pad / 2 + (pad & width & 1);
    lull_buffer b = {0};
    if (lull_jinja_fill(r, &b, fill, (size_t)left) && lull_jinja_append(r, &b, t.s, t.n) &&
        lull_jinja_fill(r, &b, fill, (size_t)(pad - left)))
        return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

bool lull_jinja_fill_zeros(lull_jinja_run *r, lull_jinja_text t, int64_t width,
                           lull_jinja_value *out)
{
    bool has_sign = t.n > 0 && (*t.s == '-' || *t.s == '+');
    lull_jinja_text sign = {t.s, has_sign}, digits = {t.s + has_sign, t.n - has_sign};
    lull_jinja_value front = lull_jinja_string(sign.s, sign.n), back;
    return lull_jinja_pad(r, digits, width > 0 ? width - has_sign : 0, (lull_jinja_text){"0", 1},
                          LULL_JINJA_PAD_START, &back) &&
           lull_jinja_add(r, &front, &back, out);
}

bool lull_jinja_replace_text(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text old,
                             lull_jinja_text with, int64_t count, lull_jinja_value *out)
{
    lull_buffer b = {0};
    size_t at = 0, n_done = 0;
    bool is_ok = true;
    while (is_ok && (count < 0 || (int64_t)n_done < count)) {
        size_t found = lull_jinja_find_text(r, t, old, at);
        if (found > t.n) break;
        is_ok = lull_jinja_append(r, &b, t.s + at, found - at) &&
                lull_jinja_append(r, &b, with.s, with.n) && lull_jinja_step(r, 1);
        n_done++;
        at = found + old.n;
        if (old.n == 0) { /* between all characters */
            if (found >= t.n) break;
            size_t k = lull_jinja_char_bytes(t.s + found, t.n - found);
            lull_buffer_append(&b, t.s + found, k);
            at = found + k;
        }
    }
    is_ok = is_ok && r->status == LULL_OK &&
            (at >= t.n || lull_jinja_append(r, &b, t.s + at, t.n - at));
    if (is_ok) return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

bool lull_jinja_push_text(lull_jinja_run *r, lull_jinja_list *l, const char *s, size_t n)
{
    return lull_jinja_push(r, l, lull_jinja_string(s, n));
}

static bool split_forwards(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text separator,
                           int64_t most, lull_jinja_list *l)
{
    const lull_jinja_text space = {0};
    while (most < 0 || (int64_t)l->n < most) {
        size_t end = 0, n_end = separator.n, k;
        if (separator.s) {
            end = lull_jinja_find_text(r, t, separator, 0);
            if (end > t.n) break;
        } else {
            t = lull_jinja_strip(r, t, space, true, false);
            if (t.n == 0) return true;
            while (end < t.n && !lull_jinja_is_space(lull_jinja_char_at(t.s + end, t.n - end, &k)))
                end += k;
        }
        if (!lull_jinja_push_text(r, l, t.s, end)) return false;
        t = (lull_jinja_text){t.s + end + n_end, t.n - end - n_end};
    }
    if (!separator.s) t = lull_jinja_strip(r, t, space, true, false);
    return (!separator.s && t.n == 0) || lull_jinja_push_text(r, l, t.s, t.n);
}

/* The parts from the last to the first. */
static bool split_backwards(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text separator,
                            int64_t most, lull_jinja_list *l)
{
    const lull_jinja_text space = {0};
    while (most < 0 || (int64_t)l->n < most) {
        size_t from, k;
        if (separator.s) {
            size_t found = lull_jinja_find_last(r, t, separator);
            if (found > t.n) break;
            from = found + separator.n;
        } else {
            t = lull_jinja_strip(r, t, space, false, true);
            if (t.n == 0) return true;
            for (from = t.n; from > 0; from -= k)
                if (lull_jinja_is_space(last_char((lull_jinja_text){t.s, from}, &k))) break;
        }
        if (!lull_jinja_push_text(r, l, t.s + from, t.n - from)) return false;
        t.n = from - separator.n;
    }
    if (!separator.s) t = lull_jinja_strip(r, t, space, false, true);
    return (!separator.s && t.n == 0) || lull_jinja_push_text(r, l, t.s, t.n);
}

bool lull_jinja_split(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text separator, int64_t most,
                      bool from_right, lull_jinja_value *out)
{
    if (separator.s && separator.n == 0)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "empty separator");
    if (!separator.s && !lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    if (!lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out)) return false;
    lull_jinja_list *l = out->as.list;
    if (!from_right) return split_forwards(r, t, separator, most, l);
    if (!split_backwards(r, t, separator, most, l)) return false;
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
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES) ||
        !lull_jinja_new_list(r, LULL_JINJA_LIST, 4, out))
        return false;
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
        if (must_be_text && l->items[i].type != LULL_JINJA_STRING) {
            lull_buffer_fini(&b);
            return lull_jinja_fail(r, LULL_EUNSUPPORTED,
                                   "item %zu to be joined is %s, not a string", i,
                                   lull_jinja_type_name(&l->items[i]));
        }
        if ((i > 0 && !lull_jinja_append(r, &b, separator.s, separator.n)) ||
            !lull_jinja_print(r, &l->items[i], false, &b)) {
            lull_buffer_fini(&b);
            return false;
        }
    }
    return lull_jinja_take_buffer(r, &b, out);
}

/* One %-conversion: its flags, and the text to be filled up to its width. */
typedef struct conversion {
    bool is_left, has_sign, has_space, has_zeros, is_alternate;
    int64_t width, precision; /* precision -1: not given */
    char kind;
} conversion;

static bool take_flag(conversion *c, char flag)
{
    switch (flag) {
    case '-': c->is_left = true; return true;
    case '+': c->has_sign = true; return true;
    case ' ': c->has_space = true; return true;
    case '0': c->has_zeros = true; return true;
    case '#': c->is_alternate = true; return true;
    default: return false;
    }
}

static int64_t read_number(lull_jinja_text t, size_t *i)
{
    int64_t n = 0;
    for (; *i < t.n && t.s[*i] >= '0' && t.s[*i] <= '9'; (*i)++)
        if (n < 1 << 24) n = 10 * n + (t.s[*i] - '0');
    return n;
}

/* What stands behind % (and a name): *i moves behind it. False: it breaks off. */
static bool read_conversion(lull_jinja_text t, size_t *i, conversion *c)
{
    *c = (conversion){.precision = -1};
    while (*i < t.n && take_flag(c, t.s[*i])) (*i)++;
    c->width = read_number(t, i);
    if (*i < t.n && t.s[*i] == '.') {
        (*i)++;
        c->precision = read_number(t, i);
    }
    if (*i >= t.n) return false;
    c->kind = t.s[(*i)++];
    return true;
}

/* Sign, digits and what fills them, appended. */
static bool put_number(lull_jinja_run *r, const conversion *c, bool is_negative, const char *prefix,
                       const char *digits, bool may_have_zeros, lull_buffer *b)
{
    const char *sign = is_negative ? "-" : c->has_sign ? "+" : c->has_space ? " " : "";
    int64_t n = (int64_t)(strlen(sign) + strlen(prefix) + strlen(digits));
    int64_t fill = c->width > n ? c->width - n : 0;
    bool has_zeros = c->has_zeros && !c->is_left && may_have_zeros;
    size_t n_blanks = c->is_left || has_zeros ? 0 : (size_t)fill;
    const lull_jinja_text blank = {" ", 1}, zero = {"0", 1};
    if (!lull_jinja_fill(r, b, blank, n_blanks)) return false;
    lull_buffer_append_str(b, sign);
    lull_buffer_append_str(b, prefix);
    if (!lull_jinja_fill(r, b, zero, has_zeros ? (size_t)fill : 0)) return false;
    lull_buffer_append_str(b, digits);
    return lull_jinja_fill(r, b, blank, c->is_left ? (size_t)fill : 0);
}

static bool convert_int(lull_jinja_run *r, const conversion *c, const lull_jinja_value *v,
                        lull_buffer *b)
{
    char digits[128];
    bool is_decimal = strchr("diu", c->kind) != NULL, is_float = v->type == LULL_JINJA_FLOAT;
    if (!lull_jinja_is_number(v) || (is_float && !is_decimal) || c->precision > 100)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%%%c cannot format %s", c->kind,
                               lull_jinja_type_name(v));
    if (is_float && !(fabs(v->as.number) < 9e18))
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "a number beyond 64 bits");
    int64_t n = is_float ? (int64_t)v->as.number : lull_jinja_as_int(v);
    uint64_t magnitude = n < 0 ? -(uint64_t)n : (uint64_t)n;
    int least = c->precision < 0 ? 1 : (int)c->precision;
    const char *prefix = "";
    if (is_decimal) {
        snprintf(digits, sizeof digits, "%.*" PRIu64, least, magnitude);
    } else if (c->kind == 'o') {
        snprintf(digits, sizeof digits, "%.*" PRIo64, least, magnitude);
        if (c->is_alternate) prefix = "0o";
    } else if (c->kind == 'x') {
        snprintf(digits, sizeof digits, "%.*" PRIx64, least, magnitude);
        if (c->is_alternate) prefix = "0x";
    } else {
        snprintf(digits, sizeof digits, "%.*" PRIX64, least, magnitude);
        if (c->is_alternate) prefix = "0X";
    }
    return put_number(r, c, n < 0, prefix, magnitude || least ? digits : "0", true, b);
}

static bool convert_float(lull_jinja_run *r, const conversion *c, const lull_jinja_value *v,
                          lull_buffer *b)
{
    char digits[512];
    if (!lull_jinja_is_number(v) || c->precision > 100)
        return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%%%c cannot format %s", c->kind,
                               lull_jinja_type_name(v));
    double d = lull_jinja_as_float(v);
    const char plain[] = {'%', '.', '*', c->kind, 0},
               alternate[] = {'%', '#', '.', '*', c->kind, 0};
    snprintf(digits, sizeof digits, c->is_alternate ? alternate : plain,
             c->precision < 0 ? 6 : (int)c->precision, fabs(d));
    return put_number(r, c, signbit(d) && !isnan(d), "", digits, isfinite(d), b);
}

static bool convert_text(lull_jinja_run *r, const conversion *c, const lull_jinja_value *v,
                         lull_buffer *b)
{
    lull_jinja_value text = *v;
    lull_buffer repr = {0};
    if (c->kind == 'c') {
        bool is_char = v->type == LULL_JINJA_STRING && lull_jinja_n_chars(v->as.text) == 1;
        if (!is_char) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "%%c needs one character");
    } else if (c->kind == 's') {
        if (!lull_jinja_to_string(r, v, &text)) return false;
    } else if (lull_jinja_print(r, v, true, &repr)) {
        if (!lull_jinja_take_buffer(r, &repr, &text)) return false;
    } else {
        lull_buffer_fini(&repr);
        return false;
    }
    lull_jinja_text t = text.as.text;
    if (!lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES)) return false;
    if (c->precision >= 0) t.n = lull_jinja_char_offset(t, (size_t)c->precision);
    if (!lull_jinja_pad(r, t, c->width, (lull_jinja_text){" ", 1},
                        c->is_left ? LULL_JINJA_PAD_END : LULL_JINJA_PAD_START, &text))
        return false;
    return lull_jinja_append(r, b, text.as.text.s, text.as.text.n);
}

static bool convert(lull_jinja_run *r, const conversion *c, const lull_jinja_value *v,
                    lull_buffer *b)
{
    if (!v) return lull_jinja_fail(r, LULL_EUNSUPPORTED, "too few values for the format");
    if (c->kind && strchr("sra", c->kind)) return convert_text(r, c, v, b);
    if (c->kind == 'c' && v->type == LULL_JINJA_STRING) return convert_text(r, c, v, b);
    if (c->kind && strchr("diuxXo", c->kind)) return convert_int(r, c, v, b);
    if (c->kind && strchr("feEgGF", c->kind)) return convert_float(r, c, v, b);
    return lull_jinja_fail(r, LULL_EUNSUPPORTED, "an unknown conversion in the format");
}

bool lull_jinja_format_percent(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_value *values,
                               lull_jinja_value *out)
{
    bool is_tuple = values->type == LULL_JINJA_TUPLE, is_ok = true;
    const lull_jinja_value *items = is_tuple ? values->as.list->items : values;
    size_t n = is_tuple ? values->as.list->n : 1, n_used = 0;
    lull_buffer b = {0};
    for (size_t i = 0; i < t.n && is_ok;) {
        const lull_jinja_value *v = NULL;
        conversion c;
        if (t.s[i] != '%') {
            const char *next = memchr(t.s + i, '%', t.n - i);
            size_t n_plain = next ? (size_t)(next - t.s) - i : t.n - i;
            is_ok = lull_jinja_append(r, &b, t.s + i, n_plain);
            i += n_plain;
            continue;
        }
        if (!lull_jinja_step(r, 1)) break;
        bool has_name = ++i < t.n && t.s[i] == '(';
        if (has_name) {
            const char *end = memchr(t.s + i, ')', t.n - i);
            lull_jinja_text name = {t.s + i + 1, end ? (size_t)(end - t.s) - i - 1 : 0};
            if (end && values->type == LULL_JINJA_DICT)
                v = lull_jinja_get_name(r, values->as.dict, name);
            i = end ? (size_t)(end - t.s) + 1 : t.n;
        }
        is_ok = read_conversion(t, &i, &c) ||
                lull_jinja_fail(r, LULL_EUNSUPPORTED, "the format breaks off");
        if (is_ok && c.kind == '%') {
            lull_buffer_append(&b, "%", 1);
            continue;
        }
        if (!has_name && n_used < n) v = &items[n_used++];
        is_ok = is_ok && convert(r, &c, v, &b);
    }
    /* Lists and dicts count as mappings, which need not be used up. */
    bool is_mapping = values->type == LULL_JINJA_LIST || values->type == LULL_JINJA_DICT;
    is_ok = is_ok && r->status == LULL_OK;
    if (is_ok && n_used < n && !is_mapping)
        is_ok = lull_jinja_fail(r, LULL_EUNSUPPORTED, "too many values for the format");
    if (is_ok) return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return false;
}

/* {} and {0} and {name} of str.format; no format specifications. */
bool lull_jinja_format_braces(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_args *a,
                              lull_jinja_value *out)
{
    lull_buffer b = {0};
    size_t n_auto = 0;
    bool is_ok = lull_jinja_step(r, t.n / LULL_JINJA_READ_BYTES), is_numbered = false;
    for (size_t i = 0; i < t.n && is_ok; i++) {
        char c = t.s[i];
        if ((c == '{' || c == '}') && i + 1 < t.n && t.s[i + 1] == c) {
            lull_buffer_append(&b, &c, 1);
            i++;
        } else if (c == '{') {
            size_t end = i + 1, digits = i + 1;
            while (end < t.n && t.s[end] != '}') end++;
            int64_t number = read_number(t, &digits);
            lull_jinja_text name = {t.s + i + 1, end - i - 1};
            const lull_jinja_value *v = NULL;
            if (name.n == 0) {
                v = lull_jinja_arg(a, n_auto++, NULL);
            } else if (digits == end) {
                v = lull_jinja_arg(a, (size_t)number, NULL);
                is_numbered = true;
            }
            for (size_t k = 0; k < a->n_named && digits == i + 1; k++)
                if (a->names[k].n == name.n && memcmp(a->names[k].s, name.s, name.n) == 0)
                    v = &a->named[k];
            is_ok = end < t.n && v && lull_jinja_step(r, a->n_named / 16) &&
                    lull_jinja_print(r, v, false, &b);
            i = end;
        } else if (c == '}') {
            is_ok = false;
        } else {
            lull_buffer_append(&b, &c, 1);
        }
    }
    if (is_ok && !(n_auto > 0 && is_numbered)) return lull_jinja_take_buffer(r, &b, out);
    lull_buffer_fini(&b);
    return lull_jinja_fail(r, LULL_EUNSUPPORTED, "its format and its arguments do not agree");
}
