#include "jinja_lex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "jinja_ast.h"

typedef struct lexer {
    const char *src;
    size_t n, at;
    size_t counted; /* lines are counted up to here */
    int line;
    size_t line_start;
    bool is_line_start; /* what was matched last ended with a newline */
    lull_arena *arena;
    lull_jinja_tokens *out;
    lull_error *err;
} lexer;

/* Line and column of a place; places ascend. */
static void locate(lexer *x, size_t at, int *line, int *column)
{
    for (; x->counted < at; x->counted++)
        if (x->src[x->counted] == '\n') {
            x->line++;
            x->line_start = x->counted + 1;
        }
    *line = x->line;
    *column = (int)(at - x->line_start) + 1;
}

static lull_status fail_at(lexer *x, size_t at, const char *what)
{
    int line, column;
    locate(x, at, &line, &column);
    return lull_fail(x->err, LULL_EUNSUPPORTED, "chat template, line %d, column %d: %s", line,
                     column, what);
}

static lull_status push(lexer *x, lull_jinja_token t, size_t at)
{
    lull_jinja_tokens *out = x->out;
    if (out->n == LULL_JINJA_MAX_TOKENS)
        return lull_fail(x->err, LULL_EFULL, "chat template: it is too large");
    if (out->n == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 256;
        lull_jinja_token *items = realloc(out->items, cap * sizeof *items);
        if (!items) return lull_fail(x->err, LULL_ENOMEM, "out of memory for the template");
        out->items = items;
        out->cap = cap;
    }
    locate(x, at, &t.line, &t.column);
    out->items[out->n++] = t;
    return LULL_OK;
}

static bool is_at(const lexer *x, size_t at, const char *s)
{
    size_t n = strlen(s);
    return at + n <= x->n && memcmp(x->src + at, s, n) == 0;
}

static size_t skip_space(const lexer *x, size_t at)
{
    while (at < x->n) {
        size_t k;
        if (!lull_jinja_is_space(lull_jinja_char_at(x->src + at, x->n - at, &k))) break;
        at += k;
    }
    return at;
}

/* Where text [from, to) ends without the white space at its end. */
static size_t strip_end(const lexer *x, size_t from, size_t to)
{
    size_t end = from;
    for (size_t i = from, k; i < to; i += k)
        if (!lull_jinja_is_space(lull_jinja_char_at(x->src + i, to - i, &k))) end = i + k;
    return end;
}

/* Emit the text in front of a tag that starts at `tag`, with sign '-', '+' or none behind it. */
static lull_status push_text(lexer *x, size_t tag, char sign, bool is_variable)
{
    size_t from = x->at, to = tag;
    if (sign == '-') {
        to = strip_end(x, from, to);
    } else if (sign != '+' && !is_variable) {
        size_t line = to;
        while (line > from && x->src[line - 1] != '\n') line--;
        if ((line > from || x->is_line_start) && skip_space(x, line) >= to) to = line;
    }
    if (to == from) return LULL_OK;
    lull_jinja_token t = {.type = LULL_JINJA_T_DATA, .text = {x->src + from, to - from}};
    return push(x, t, from);
}

/* Behind the end of a block or comment ("%}" or "#}" at `end`, whose sign stands before it). */
static size_t after_end(const lexer *x, size_t end, char sign)
{
    size_t at = end + 2;
    if (sign == '-') return skip_space(x, at);
    if (sign != '+' && at < x->n && x->src[at] == '\n') at++;
    return at;
}

static bool is_name_char(unsigned char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Python's escapes in src [from, to), to the arena. */
static lull_status unescape(lexer *x, size_t from, size_t to, lull_jinja_text *out)
{
    char *p = lull_arena_alloc(x->arena, to - from + 4);
    if (!p) return lull_fail(x->err, LULL_ENOMEM, "out of memory for the template");
    out->s = p;
    for (size_t i = from; i < to; i++) {
        char c = x->src[i];
        if (c != '\\' || i + 1 >= to) {
            *p++ = c;
            continue;
        }
        c = x->src[++i];
        const char *simple = c ? strchr("abfnrtv\\'\"", c) : NULL;
        int n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (c == '\n') continue;
        if (simple) {
            *p++ = "\a\b\f\n\r\t\v\\'\""[simple - "abfnrtv\\'\""];
        } else if (n_hex) {
            uint32_t v = 0;
            for (int k = 1; k <= n_hex; k++) {
                int h =
                    i + (size_t)k < to ? lull_hex_digit((unsigned char)x->src[i + (size_t)k]) : -1;
                if (h < 0 || v > 0x10ffff) return fail_at(x, i, "a broken \\x or \\u in a string");
                v = v << 4 | (uint32_t)h;
            }
            if (v > 0x10ffff) return fail_at(x, i, "a broken \\U in a string");
            p += lull_jinja_put_char(v, p);
            i += (size_t)n_hex;
        } else if (c >= '0' && c <= '7') {
            uint32_t v = 0;
            size_t k = 0;
            for (; k < 3 && i + k < to && x->src[i + k] >= '0' && x->src[i + k] <= '7'; k++)
                v = v << 3 | (uint32_t)(x->src[i + k] - '0');
            p += lull_jinja_put_char(v, p);
            i += k - 1;
        } else {
            *p++ = '\\';
            *p++ = c;
        }
    }
    out->n = (size_t)(p - out->s);
    return LULL_OK;
}

static lull_status lex_string(lexer *x)
{
    size_t from = x->at + 1, to = from;
    char quote = x->src[x->at];
    while (to < x->n && x->src[to] != quote) to += x->src[to] == '\\' ? 2 : 1;
    if (to >= x->n) return fail_at(x, x->at, "a string without an end");
    lull_jinja_token t = {.type = LULL_JINJA_T_STRING};
    lull_status st = unescape(x, from, to, &t.text);
    if (st != LULL_OK) return st;
    st = push(x, t, x->at);
    x->at = to + 1;
    return st;
}

/* digits (_ digits)*, copied without the underscores; returns where they end. */
static size_t copy_digits(const lexer *x, size_t at, char *out, size_t *n, size_t cap)
{
    while (at < x->n && (is_digit(x->src[at]) ||
                         (x->src[at] == '_' && at + 1 < x->n && is_digit(x->src[at + 1])))) {
        if (x->src[at] != '_' && *n + 1 < cap) out[(*n)++] = x->src[at];
        at++;
    }
    return at;
}

static lull_status lex_number(lexer *x)
{
    enum { MOST = 48 }; /* digits; 15 more bytes hold a point, an exponent and its sign */
    char text[MOST + 16];
    size_t n = 0, from = x->at, at = from;
    lull_jinja_token t = {.type = LULL_JINJA_T_INT};
    char kind = at + 1 < x->n && x->src[at] == '0' ? (char)(x->src[at + 1] | 32) : 0;
    if (kind == 'x' || kind == 'o' || kind == 'b') {
        int base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2, digit;
        for (at += 2; at < x->n; at++) {
            if (x->src[at] == '_') continue;
            digit = lull_hex_digit((unsigned char)x->src[at]);
            if (digit < 0 || digit >= base) break;
            if (t.integer > (INT64_MAX - digit) / base)
                return fail_at(x, from, "a number that is too large");
            t.integer = t.integer * base + digit;
        }
    } else {
        at = copy_digits(x, at, text, &n, MOST);
        size_t whole_end = at;
        if (n + 1 >= MOST) return fail_at(x, from, "a number that is too large");
        bool is_attribute = from > 0 && x->src[from - 1] == '.';
        if (!is_attribute && at + 1 < x->n && x->src[at] == '.' && is_digit(x->src[at + 1])) {
            text[n++] = '.';
            at = copy_digits(x, at + 1, text, &n, MOST);
        }
        size_t e = at;
        if (!is_attribute && e < x->n && (x->src[e] | 32) == 'e') {
            size_t digits =
                e + 1 + (e + 1 < x->n && (x->src[e + 1] == '+' || x->src[e + 1] == '-'));
            if (digits < x->n && is_digit(x->src[digits])) {
                text[n++] = 'e';
                if (digits > e + 1) text[n++] = x->src[e + 1];
                at = copy_digits(x, digits, text, &n, sizeof text);
            }
        }
        text[n] = '\0';
        errno = 0;
        if (at > whole_end) {
            t.type = LULL_JINJA_T_FLOAT;
            t.number = strtod(text, NULL);
        } else {
            t.integer = strtoll(text, NULL, 10);
            if (errno) return fail_at(x, from, "a number that is too large");
        }
    }
    x->at = at;
    return push(x, t, from);
}

/* The tokens within a tag, up to and with its end. */
static lull_status lex_tag(lexer *x, bool is_variable)
{
    enum { MAX_NESTING = 200 };
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "*",
                                            "/",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            "<",  ">",  "=",  ".",  ":",  "|",  ",", ";"};
    char open[MAX_NESTING];
    int n_open = 0;
    const char *end = is_variable ? "}}" : "%}";
    for (;;) {
        lull_status st = LULL_OK;
        x->at = skip_space(x, x->at);
        if (x->at >= x->n) return fail_at(x, x->n, "a tag without an end");
        char c = x->src[x->at];
        char sign = (c == '-' || (c == '+' && !is_variable)) && is_at(x, x->at + 1, end) ? c : 0;
        if (n_open == 0 && (sign || is_at(x, x->at, end))) {
            size_t at = x->at + (sign != 0);
            lull_jinja_token t = {.type = is_variable ? LULL_JINJA_T_VARIABLE_END
                                                      : LULL_JINJA_T_BLOCK_END};
            st = push(x, t, x->at);
            if (is_variable)
                x->at = sign == '-' ? skip_space(x, at + 2) : at + 2;
            else
                x->at = after_end(x, at, sign);
            return st;
        }
        if (c == '"' || c == '\'') {
            st = lex_string(x);
        } else if (is_digit(c)) {
            st = lex_number(x);
        } else if (is_name_char((unsigned char)c)) {
            size_t from = x->at;
            while (x->at < x->n && is_name_char((unsigned char)x->src[x->at])) x->at++;
            lull_jinja_token t = {.type = LULL_JINJA_T_NAME, .text = {x->src + from, x->at - from}};
            st = push(x, t, from);
        } else {
            const char *op = NULL;
            for (size_t i = 0; !op && i < sizeof operators / sizeof *operators; i++)
                if (is_at(x, x->at, operators[i])) op = operators[i];
            if (!op) return fail_at(x, x->at, "an unexpected character");
            if (strchr("([{", *op)) {
                if (n_open == MAX_NESTING) return fail_at(x, x->at, "brackets nested too deeply");
                open[n_open++] = *op == '(' ? ')' : *op == '[' ? ']' : '}';
            } else if (strchr(")]}", *op) && (n_open == 0 || open[--n_open] != *op)) {
                return fail_at(x, x->at, "a bracket that closes nothing");
            }
            lull_jinja_token t = {.type = LULL_JINJA_T_OPERATOR, .text = {op, strlen(op)}};
            st = push(x, t, x->at);
            x->at += strlen(op);
        }
        if (st != LULL_OK) return st;
    }
}

/* If a tag at `at` ("{%", sign, name) is `name` with nothing else in it: where it ends, and the
 * sign in front of its end. 0: it is another one. */
static size_t bare_tag(const lexer *x, size_t at, const char *name, char *end_sign)
{
    at += 2;
    if (at < x->n && (x->src[at] == '-' || x->src[at] == '+')) at++;
    at = skip_space(x, at);
    if (!is_at(x, at, name)) return 0;
    at = skip_space(x, at + strlen(name));
    *end_sign = at < x->n && (x->src[at] == '-' || x->src[at] == '+') ? x->src[at] : 0;
    at += *end_sign != 0;
    return is_at(x, at, "%}") ? at : 0;
}

static char sign_at(const lexer *x, size_t at)
{
    return at < x->n && (x->src[at] == '-' || x->src[at] == '+') ? x->src[at] : 0;
}

static lull_status lex_raw(lexer *x, size_t end, char end_sign)
{
    x->at = end_sign == '-' ? skip_space(x, end + 2) : end + 2;
    x->is_line_start = x->src[x->at - 1] == '\n';
    for (size_t tag = x->at; tag + 2 <= x->n; tag++) {
        if (!is_at(x, tag, "{%")) continue;
        char sign;
        size_t close = bare_tag(x, tag, "endraw", &sign);
        if (!close) continue;
        lull_status st = push_text(x, tag, sign_at(x, tag + 2), false);
        x->at = after_end(x, close, sign);
        return st;
    }
    return fail_at(x, x->at, "raw without endraw");
}

lull_status lull_jinja_lex(const char *src, size_t n, lull_arena *arena, lull_jinja_tokens *out,
                           lull_error *err)
{
    lexer x = {.src = src,
               .n = n,
               .line = 1,
               .is_line_start = true,
               .arena = arena,
               .out = out,
               .err = err};
    lull_status st = LULL_OK;
    *out = (lull_jinja_tokens){0};
    while (x.at < n && st == LULL_OK) {
        size_t tag = x.at;
        while (tag < n &&
               !(src[tag] == '{' && tag + 1 < n && strchr("%{#", src[tag + 1]) && src[tag + 1]))
            tag++;
        if (tag >= n) {
            lull_jinja_token t = {.type = LULL_JINJA_T_DATA, .text = {src + x.at, n - x.at}};
            st = push(&x, t, x.at);
            x.at = n;
            break;
        }
        char kind = src[tag + 1], sign = sign_at(&x, tag + 2), end_sign;
        size_t end = kind == '%' ? bare_tag(&x, tag, "raw", &end_sign) : 0;
        st = push_text(&x, tag, sign, kind == '{');
        if (st != LULL_OK) break;
        if (end && end_sign != '+') {
            st = lex_raw(&x, end, end_sign);
        } else if (kind == '#') {
            size_t close = tag + 2;
            while (close + 2 <= n && !is_at(&x, close, "#}")) close++;
            if (close + 2 > n) {
                st = fail_at(&x, tag, "a comment without an end");
                break;
            }
            char before = close > tag + 2 && strchr("-+", src[close - 1]) ? src[close - 1] : 0;
            x.at = after_end(&x, close, before);
        } else {
            x.at = tag + 2 + (sign != 0);
            lull_jinja_token t = {.type = kind == '{' ? LULL_JINJA_T_VARIABLE_BEGIN
                                                      : LULL_JINJA_T_BLOCK_BEGIN};
            st = push(&x, t, tag);
            if (st == LULL_OK) st = lex_tag(&x, kind == '{');
        }
        x.is_line_start = x.at > 0 && src[x.at - 1] == '\n';
    }
    if (st == LULL_OK) st = push(&x, (lull_jinja_token){.type = LULL_JINJA_T_END}, n);
    return st;
}
