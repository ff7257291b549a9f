#include "gbnf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "charset.h"
#include "utf8.h"

enum { MAX_DEPTH = 200 }; /* groups in groups */

typedef struct rule {
    const char *name; /* [n], in the text: where it was first met */
    size_t n;
    lull_expr expr;
    bool is_defined;
} rule;

typedef struct parser {
    const char *s;
    size_t n, at;
    lull_grammar *g;
    lull_error *err;
    lull_status status;
    rule *rules; /* owned [n_rules] */
    size_t n_rules, rules_cap;
    uint32_t *table; /* owned [table_slots], a power of two: 1 + place in rules, by name; 0: none */
    size_t table_slots;
    lull_expr *stack; /* owned: parts of what is being read */
    size_t n_stack, stack_cap;
} parser;

/* The first failure is the one that is told. */
static void fail(parser *p, lull_status code, size_t offset, const char *what)
{
    if (p->status) return;
    p->status = code;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < p->n; i++) {
        bool is_end =
            p->s[i] == '\n' || (p->s[i] == '\r' && (i + 1 == p->n || p->s[i + 1] != '\n'));
        line += is_end;
        column = is_end ? 1 : column + ((p->s[i] & 0xc0) != 0x80); /* counts characters */
    }
    lull_fail(p->err, code, "grammar, line %zu, column %zu: %s", line, column, what);
}

static void fail_name(parser *p, const rule *r, size_t offset, const char *form)
{
    char what[160];
    snprintf(what, sizeof what, form, r->n < 100 ? (int)r->n : 100, r->name);
    fail(p, LULL_EINVAL, offset, what);
}

/* The byte at hand; 0 at the end, and after a failure. A NUL in the text is no part of any form. */
static char peek(const parser *p)
{
    return p->status || p->at >= p->n ? '\0' : p->s[p->at];
}

static bool is_at_end(const parser *p)
{
    return p->status || p->at >= p->n;
}

static bool skip(parser *p, const char *text)
{
    size_t n = strlen(text);
    if (p->status || p->n - p->at < n || memcmp(p->s + p->at, text, n) != 0) return false;
    p->at += n;
    return true;
}

/* Blanks and comments; with lines, line ends, too. */
static void skip_space(parser *p, bool with_lines)
{
    for (; !is_at_end(p); p->at++) {
        char c = peek(p);
        if (c == '#') {
            while (!is_at_end(p) && peek(p) != '\n' && peek(p) != '\r') p->at++;
            c = peek(p);
        }
        if (c == ' ' || c == '\t') continue;
        if (!with_lines || (c != '\n' && c != '\r')) return;
    }
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool reserve(parser *p, void **array, size_t n, size_t *cap, size_t elem_bytes)
{
    if (n < *cap) return true;
    size_t more = *cap ? 2 * *cap : 64;
    void *grown = realloc(*array, more * elem_bytes);
    if (!grown) {
        fail(p, LULL_ENOMEM, p->at, "out of memory");
        return false;
    }
    *array = grown;
    *cap = more;
    return true;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static uint32_t *find_slot(const parser *p, const char *name, size_t n)
{
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
    for (size_t slot = hash ^ hash >> 32;; slot++) {
        uint32_t *place = &p->table[slot & (p->table_slots - 1)];
        if (*place == 0) return place;
        const rule *r = &p->rules[*place - 1];
        if (r->n == n && memcmp(r->name, name, n) == 0) return place;
    }
}

/* The rule of a name, made when it is met first; NULL: no memory. */
static rule *find_rule(parser *p, const char *name, size_t n)
{
    if (2 * p->n_rules >= p->table_slots) {
        size_t slots = p->table_slots ? 2 * p->table_slots : 64;
        uint32_t *table = calloc(slots, sizeof *table);
        if (!table) {
            fail(p, LULL_ENOMEM, p->at, "out of memory");
            return NULL;
        }
        free(p->table);
        p->table = table;
        p->table_slots = slots;
        for (size_t i = 0; i < p->n_rules; i++)
            *find_slot(p, p->rules[i].name, p->rules[i].n) = (uint32_t)i + 1;
    }
    uint32_t *place = find_slot(p, name, n);
    if (*place == 0) {
        if (!reserve(p, (void **)&p->rules, p->n_rules, &p->rules_cap, sizeof *p->rules))
            return NULL;
        p->rules[p->n_rules++] = (rule){name, n, lull_expr_rule(p->g), false};
        *place = (uint32_t)p->n_rules;
    }
    return &p->rules[*place - 1];
}

static rule *parse_name(parser *p)
{
    size_t start = p->at;
    while (is_name_char(peek(p))) p->at++;
    if (p->at == start) {
        fail(p, LULL_EINVAL, start, "the name of a rule is expected");
        return NULL;
    }
    return find_rule(p, p->s + start, p->at - start);
}

/* ---- characters ------------------------------------------------------------------------------ */

static uint32_t parse_hex(parser *p, int n)
{
    size_t offset = p->at - 2;
    uint32_t value = 0;
    for (int i = 0; i < n; i++, p->at++) {
        char c = peek(p), letter = (char)(c | 32);
        if (c >= '0' && c <= '9') {
            value = value * 16 + (uint32_t)(c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            value = value * 16 + (uint32_t)(letter - 'a' + 10);
        } else {
            fail(p, LULL_EINVAL, offset, "\\x takes 2, \\u 4 and \\U 8 hexadecimal digits");
            return 0;
        }
    }
    if (value > LULL_LAST_CHAR) fail(p, LULL_EINVAL, offset, "the last character is 10FFFF");
    return value;
}

static uint32_t parse_char(parser *p)
{
    size_t offset = p->at;
    if (skip(p, "\\")) {
        char c = peek(p);
        p->at += !is_at_end(p);
        switch (c) {
        case 'x': return parse_hex(p, 2);
        case 'u': return parse_hex(p, 4);
        case 'U': return parse_hex(p, 8);
        case 't': return '\t';
        case 'r': return '\r';
        case 'n': return '\n';
        case '\\':
        case '"':
        case '[':
        case ']':
        case '-': return (unsigned char)c;
        default:
            fail(p, LULL_EINVAL, offset,
                 "an unknown escape: \\\\ \\\" \\[ \\] \\- \\n \\r \\t \\x "
                 "\\u \\U are known");
            return 0;
        }
    }
    int length = 0;
    uint32_t c =
        is_at_end(p) ? 0 : lull_utf8_decode((const uint8_t *)p->s + p->at, p->n - p->at, &length);
    if (length <= 0) fail(p, LULL_EINVAL, offset, "not UTF-8");
    p->at += length > 0 ? (size_t)length : 0;
    return c;
}

static void append_char(lull_buffer *b, uint32_t c)
{
    char bytes[4];
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, c >>= 6) bytes[i] = (char)(0x80 | (c & 63));
    bytes[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xf0) | c);
    lull_buffer_append(b, bytes, (size_t)n);
}

/* Behind '"'. */
static lull_expr parse_literal(parser *p)
{
    size_t offset = p->at - 1;
    lull_buffer b = {0};
    while (!is_at_end(p) && peek(p) != '"') {
        size_t start = p->at;
        uint32_t c = parse_char(p);
        if (c >= 0xd800 && c <= 0xdfff)
            fail(p, LULL_EINVAL, start,
                 "a surrogate, which no text has: write \\U and the character");
        append_char(&b, c);
    }
    if (!skip(p, "\"")) fail(p, LULL_EINVAL, offset, "a literal without its end");
    if (b.is_failed) fail(p, LULL_ENOMEM, offset, "out of memory");
    lull_expr e = p->status ? 0 : lull_expr_literal(p->g, b.data ? b.data : "", b.n_bytes);
    lull_buffer_fini(&b);
    return e;
}

/* Behind '['. */
static lull_expr parse_class(parser *p)
{
    size_t offset = p->at - 1;
    bool is_inverted = skip(p, "^");
    lull_charset s = {0};
    while (!is_at_end(p) && peek(p) != ']') {
        size_t start = p->at;
        uint32_t first = parse_char(p), last = first;
        if (peek(p) == '-' && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            last = parse_char(p);
        }
        if (last < first) fail(p, LULL_EINVAL, start, "a range that ends before it begins");
        if (!p->status) lull_charset_add(&s, first, last);
    }
    if (!skip(p, "]")) fail(p, LULL_EINVAL, offset, "a class without its ']'");
    lull_charset_sort(&s);
    if (is_inverted) lull_charset_invert(&s);
    if (s.is_failed) fail(p, LULL_ENOMEM, offset, "out of memory");
    lull_expr e = p->status ? 0 : lull_expr_chars(p->g, s.ranges, s.n);
    lull_charset_fini(&s);
    return e;
}

/* ---- expressions ----------------------------------------------------------------------------- */

static void push(parser *p, lull_expr e)
{
    if (reserve(p, (void **)&p->stack, p->n_stack, &p->stack_cap, sizeof *p->stack))
        p->stack[p->n_stack++] = e;
}

static uint32_t parse_number(parser *p)
{
    size_t start = p->at;
    uint64_t value = 0;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        value = value * 10 + (uint64_t)(peek(p) - '0');
        if (value >= LULL_UNBOUNDED) fail(p, LULL_EINVAL, start, "too large a count");
    }
    if (p->at == start) fail(p, LULL_EINVAL, start, "a number is expected");
    skip_space(p, false);
    return (uint32_t)value;
}

/* Behind '{': n} n,} n,m}. */
static void parse_counts(parser *p, uint32_t *min, uint32_t *max)
{
    size_t offset = p->at - 1;
    skip_space(p, false);
    *min = *max = parse_number(p);
    if (skip(p, ",")) {
        skip_space(p, false);
        *max = peek(p) == '}' ? LULL_UNBOUNDED : parse_number(p);
    }
    if (!skip(p, "}")) fail(p, LULL_EINVAL, offset, "a count without its '}'");
    if (*min > *max) fail(p, LULL_EINVAL, offset, "a count whose most is less than its least");
}

static lull_expr parse_repeats(parser *p, lull_expr e, int depth)
{
    for (;;) {
        skip_space(p, depth > 0);
        uint32_t min = 0, max = LULL_UNBOUNDED;
        if (skip(p, "?"))
            max = 1;
        else if (skip(p, "+"))
            min = 1;
        else if (skip(p, "{"))
            parse_counts(p, &min, &max);
        else if (!skip(p, "*"))
            return e;
        if (p->status) return 0;
        e = lull_expr_repeat(p->g, e, min, max);
    }
}

static lull_expr parse_choice(parser *p, int depth);

/* False: what stands here begins no symbol. */
static bool parse_symbol(parser *p, int depth, lull_expr *e)
{
    static const lull_char_range any = {0, LULL_LAST_CHAR};
    size_t offset = p->at;
    if (skip(p, "\"")) {
        *e = parse_literal(p);
    } else if (skip(p, "[")) {
        *e = parse_class(p);
    } else if (skip(p, ".")) {
        *e = lull_expr_chars(p->g, &any, 1);
    } else if (skip(p, "(")) {
        if (depth == MAX_DEPTH) fail(p, LULL_EFULL, offset, "groups nested too deeply");
        *e = parse_choice(p, depth + 1);
        if (!skip(p, ")")) fail(p, LULL_EINVAL, offset, "a group without its ')'");
    } else if (is_name_char(peek(p))) {
        const rule *r = parse_name(p);
        if (r) *e = r->expr;
    } else if (peek(p) == '<' || skip(p, "!<")) {
        fail(p, LULL_EUNSUPPORTED, offset, "tokens (<...>) are not supported: write their text");
    } else {
        return false;
    }
    return !p->status;
}

/* In a group, at any depth but 0, line ends are blanks. */
static lull_expr parse_sequence(parser *p, int depth)
{
    size_t base = p->n_stack;
    lull_expr e = 0;
    while (parse_symbol(p, depth, &e)) push(p, parse_repeats(p, e, depth));
    if (p->status) return 0;
    size_t n = p->n_stack - base;
    p->n_stack = base;
    if (n == 0) return lull_expr_empty(p->g);
    return n == 1 ? p->stack[base] : lull_expr_sequence(p->g, p->stack + base, n);
}

static lull_expr parse_choice(parser *p, int depth)
{
    size_t base = p->n_stack;
    bool is_first = true;
    do {
        skip_space(p, depth > 0 || !is_first);
        is_first = false;
        push(p, parse_sequence(p, depth));
    } while (skip(p, "|"));
    if (p->status) return 0;
    size_t n = p->n_stack - base;
    p->n_stack = base;
    return n == 1 ? p->stack[base] : lull_expr_choice(p->g, p->stack + base, n);
}

static void parse_rule(parser *p)
{
    size_t offset = p->at;
    const rule *r = parse_name(p);
    if (!r) return;
    if (r->is_defined) fail_name(p, r, offset, "rule %.*s is defined twice");
    size_t i = (size_t)(r - p->rules); /* the array may move */
    p->rules[i].is_defined = true;
    skip_space(p, false);
    if (!skip(p, "::=")) fail(p, LULL_EINVAL, p->at, "'::=' is expected");
    skip_space(p, true);
    lull_expr body = parse_choice(p, 0);
    char c = peek(p);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        fail(p, LULL_EINVAL, p->at, "nothing to repeat");
    else if (c == ')')
        fail(p, LULL_EINVAL, p->at, "a ')' without its '('");
    else if (c != '\n' && c != '\r' && !is_at_end(p))
        fail(p, LULL_EINVAL, p->at, "the end of the rule is expected");
    if (!p->status) lull_expr_define(p->g, p->rules[i].expr, body);
}

lull_status lull_gbnf_parse(const char *text, size_t n_bytes, lull_grammar *g, lull_expr *start,
                            lull_error *err)
{
    *start = 0;
    parser p = {.s = text, .n = n_bytes, .g = g, .err = err};
    for (skip_space(&p, true); !is_at_end(&p); skip_space(&p, true)) parse_rule(&p);
    for (size_t i = 0; i < p.n_rules && !p.status; i++)
        if (!p.rules[i].is_defined)
            fail_name(&p, &p.rules[i], (size_t)(p.rules[i].name - text), "no rule %.*s is defined");
    rule *root = p.status ? NULL : find_rule(&p, "root", 4);
    if (root && !root->is_defined) fail(&p, LULL_EINVAL, p.n, "no rule root is defined");
    if (!p.status) *start = root->expr;
    free(p.rules);
    free(p.table);
    free(p.stack);
    return p.status;
}
