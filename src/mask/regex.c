/* The parser of regular expressions: ECMA-262 (2024), section 22.2.1, with the u flag. Where that
 * flag only forbids what has one meaning without it, the meaning is taken: \- and the like before
 * any ASCII punctuation, ']' '}' and a '{' without a count as themselves, '-' beside \w in a
 * class. */
#include "regex.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

enum {
    MAX_DEPTH = 200,        /* groups in groups */
    MAX_BYTES = 256 * 1024, /* of a pattern */
    MAX_TREE_BYTES = 16 << 20,
    MAX_PROPERTIES = 16
};

/* A property that the pattern names; finding its characters takes a walk over all of them. */
typedef struct property {
    const char *name;
    size_t n_bytes;
    lull_charset chars; /* sorted */
} property;

typedef struct parser {
    const char *s;
    size_t n, at;
    lull_arena arena;
    property properties[MAX_PROPERTIES];
    size_t n_properties;
    uint32_t in_class; /* two bits a property: the class has it, or its inverse */
    lull_error *err;
    lull_status status;
} parser;

/* Every failure comes from here, so that it is told once: the first one. */
static void fail(parser *p, lull_status code, size_t offset, const char *what)
{
    if (p->status) return;
    p->status = code;
    lull_fail(p->err, code, "%s at offset %zu of the pattern", what, offset);
}

static bool is_at_end(const parser *p)
{
    return p->status || p->at >= p->n;
}

static bool is_next(const parser *p, const char *text)
{
    size_t n = strlen(text);
    return !p->status && p->n - p->at >= n && memcmp(p->s + p->at, text, n) == 0;
}

static bool skip(parser *p, const char *text)
{
    if (!is_next(p, text)) return false;
    p->at += strlen(text);
    return true;
}

static uint32_t next_char(parser *p)
{
    int length;
    uint32_t c = lull_utf8_decode((const uint8_t *)p->s + p->at, p->n - p->at, &length);
    p->at += length > 0 ? (size_t)length : 1;
    return c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- the tree -------------------------------------------------------------------------------- */

static lull_regex *make(parser *p, lull_regex_kind kind)
{
    static lull_regex none;
    if (p->status) return &none; /* never written to: status is set */
    if (p->arena.n_bytes > MAX_TREE_BYTES) fail(p, LULL_EFULL, p->at, "too large a pattern");
    lull_regex *e = lull_arena_alloc(&p->arena, sizeof *e);
    if (!e) fail(p, LULL_ENOMEM, p->at, "out of memory");
    if (p->status) return &none;
    e->kind = kind;
    return e;
}

/* A leaf with the characters of s, which is emptied. */
static lull_regex *make_chars(parser *p, lull_charset *s)
{
    lull_charset_sort(s);
    lull_regex *e = make(p, LULL_REGEX_CHARS);
    lull_char_range *ranges = lull_arena_alloc(&p->arena, s->n * sizeof *ranges);
    if (s->is_failed || !ranges) {
        fail(p, LULL_ENOMEM, p->at, "out of memory");
    } else if (!p->status) {
        if (s->n) memcpy(ranges, s->ranges, s->n * sizeof *ranges);
        e->ranges = ranges;
        e->n_ranges = (uint32_t)s->n;
    }
    lull_charset_fini(s);
    return e;
}

/* A sequence or choice to which parts are added from the left. */
static void add_part(lull_regex *list, lull_regex *part)
{
    part->before = list->last;
    list->last = part;
}

/* A list of one is that one; a sequence of none, the empty text. */
static lull_regex *finish_list(parser *p, lull_regex *list)
{
    if (p->status) return list;
    if (!list->last) return make(p, LULL_REGEX_EMPTY);
    return list->last->before ? list : list->last;
}

static uint32_t times(uint32_t a, uint32_t b)
{
    if (a == LULL_REGEX_UNBOUNDED || b == LULL_REGEX_UNBOUNDED) return LULL_REGEX_UNBOUNDED;
    uint64_t n = (uint64_t)a * b;
    return n < LULL_REGEX_UNBOUNDED ? (uint32_t)n : LULL_REGEX_UNBOUNDED - 1;
}

static lull_regex *make_repeat(parser *p, lull_regex *body, uint32_t min, uint32_t max)
{
    if (p->status) return body;
    if (max == 0 || body->kind == LULL_REGEX_EMPTY) return make(p, LULL_REGEX_EMPTY);
    /* (x?){n,m} and (x+){n,m} are x with other counts: without gaps, and without the many ways to
     * the same count. */
    if (body->kind == LULL_REGEX_REPEAT && body->min <= 1) {
        body->min *= min;
        body->max = times(body->max, max);
        return body;
    }
    lull_regex *e = make(p, LULL_REGEX_REPEAT);
    if (p->status) return e;
    e->min = min;
    e->max = max;
    add_part(e, body);
    return e;
}

/* ---- characters ------------------------------------------------------------------------------ */

static const lull_char_range digits[] = {{'0', '9'}};
static const lull_char_range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const lull_char_range space[] = {
    {9, 13},          {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
static const lull_char_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* n hexadecimal digits, or one to any number of them when n is 0. */
static bool read_hex(parser *p, size_t n, uint32_t *value)
{
    size_t start = p->at;
    *value = 0;
    for (; p->at < p->n && (n == 0 || p->at - start < n); p->at++) {
        char c = p->s[p->at];
        bool is_letter_digit = (c | 32) >= 'a' && (c | 32) <= 'f';
        if (!is_digit(c) && !is_letter_digit) break;
        if (*value > LULL_LAST_CHAR) continue; /* too large already */
        *value = *value * 16 + (uint32_t)(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
    }
    return n == 0 ? p->at > start : p->at - start == n;
}

/* Behind \u: HHHH, a pair of those for one character, or {H...}. */
static uint32_t parse_unicode(parser *p, size_t offset)
{
    uint32_t c, low;
    if (skip(p, "{")) {
        if (!read_hex(p, 0, &c) || !skip(p, "}") || c > LULL_LAST_CHAR)
            fail(p, LULL_EINVAL, offset,
                 "\\u{...} takes hexadecimal digits up to 10FFFF, not this,");
        return c;
    }
    if (!read_hex(p, 4, &c)) {
        fail(p, LULL_EINVAL, offset, "\\u takes four hexadecimal digits, not this,");
        return 0;
    }
    size_t at = p->at;
    if (c >= 0xd800 && c <= 0xdbff && skip(p, "\\u") && read_hex(p, 4, &low) && low >= 0xdc00 &&
        low <= 0xdfff)
        return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    p->at = at;
    return c;
}

static void parse_property(parser *p, size_t offset, bool is_inverted, lull_charset *to)
{
    const char *name = p->s + p->at + 1;
    const char *end = is_next(p, "{") ? memchr(name, '}', p->n - p->at - 1) : NULL;
    if (!end) {
        fail(p, LULL_EINVAL, offset, "\\p without {name}");
        return;
    }
    size_t n_bytes = (size_t)(end - name), i = 0;
    p->at += n_bytes + 2;
    while (i < p->n_properties && (p->properties[i].n_bytes != n_bytes ||
                                   memcmp(p->properties[i].name, name, n_bytes) != 0))
        i++;
    if (i == MAX_PROPERTIES) {
        fail(p, LULL_EFULL, offset, "one \\p{} too many");
        return;
    }
    if (i == p->n_properties) {
        lull_charset chars = {0};
        if (!lull_property_add(name, n_bytes, &chars)) {
            if (!p->status)
                p->status = lull_fail(p->err, LULL_EUNSUPPORTED,
                                      "\\p{%.*s} at offset %zu of the pattern: no such property is "
                                      "known, or not here",
                                      n_bytes < 80 ? (int)n_bytes : 80, name, offset);
            lull_charset_fini(&chars);
            return;
        }
        p->properties[p->n_properties++] = (property){name, n_bytes, chars};
    }
    const lull_charset *s = &p->properties[i].chars;
    if (s->is_failed) fail(p, LULL_ENOMEM, offset, "out of memory");
    uint32_t bit = UINT32_C(1) << (2 * i + is_inverted);
    if (p->in_class & bit) return;
    p->in_class |= bit;
    if (is_inverted)
        lull_charset_add_others(to, s->ranges, s->n);
    else
        lull_charset_add_ranges(to, s->ranges, s->n);
}

/* Behind a backslash: what stands for one character, in *c, or for several, in `to`. False: for
 * several. */
static bool parse_escape(parser *p, bool is_in_class, uint32_t *c, lull_charset *to)
{
    size_t offset = p->at - 1;
    *c = 0;
    if (is_at_end(p)) {
        fail(p, LULL_EINVAL, offset, "a lone backslash");
        return true;
    }
    char e = p->s[p->at++];
    switch (e) {
    case 'd': lull_charset_add_ranges(to, digits, COUNT(digits)); return false;
    case 'D': lull_charset_add_others(to, digits, COUNT(digits)); return false;
    case 'w': lull_charset_add_ranges(to, word, COUNT(word)); return false;
    case 'W': lull_charset_add_others(to, word, COUNT(word)); return false;
    case 's': lull_charset_add_ranges(to, space, COUNT(space)); return false;
    case 'S': lull_charset_add_others(to, space, COUNT(space)); return false;
    case 'p':
    case 'P': parse_property(p, offset, e == 'P', to); return false;
    case 't': *c = '\t'; return true;
    case 'n': *c = '\n'; return true;
    case 'v': *c = '\v'; return true;
    case 'f': *c = '\f'; return true;
    case 'r': *c = '\r'; return true;
    case 'u': *c = parse_unicode(p, offset); return true;
    case 'x':
        if (!read_hex(p, 2, c))
            fail(p, LULL_EINVAL, offset, "\\x takes two hexadecimal digits, not this,");
        return true;
    case 'c':
        if (is_at_end(p) || !is_letter(p->s[p->at]))
            fail(p, LULL_EINVAL, offset, "\\c takes a letter, not this,");
        else
            *c = p->s[p->at++] & 31;
        return true;
    case '0':
        if (!is_at_end(p) && is_digit(p->s[p->at]))
            fail(p, LULL_EINVAL, offset, "an octal escape, which is \\xHH here,");
        return true;
    case 'b':
        if (is_in_class) {
            *c = '\b';
            return true;
        } // fall through
    case 'B':
        fail(p, is_in_class ? LULL_EINVAL : LULL_EUNSUPPORTED, offset,
             "a word boundary, which is not supported,");
        return true;
    case 'k':
        fail(p, LULL_EUNSUPPORTED, offset, "a back reference, which no regular language has,");
        return true;
    default: break;
    }
    if (is_digit(e))
        fail(p, LULL_EUNSUPPORTED, offset, "a back reference, which no regular language has,");
    else if (is_letter(e))
        fail(p, LULL_EINVAL, offset, "an escape that ECMA-262 does not know (ends are ^ and $)");
    else if ((unsigned char)e <= ' ' || (unsigned char)e >= 127)
        fail(p, LULL_EINVAL, offset, "a backslash before what needs none");
    *c = (unsigned char)e;
    return true;
}

/* One of a class: a character, or several. */
static bool parse_class_atom(parser *p, uint32_t *c, lull_charset *to)
{
    if (skip(p, "\\")) return parse_escape(p, true, c, to);
    *c = next_char(p);
    return true;
}

/* Behind '['. */
static lull_regex *parse_class(parser *p)
{
    size_t offset = p->at - 1;
    bool is_inverted = skip(p, "^");
    lull_charset s = {0};
    p->in_class = 0;
    while (!is_at_end(p) && !is_next(p, "]")) {
        size_t start = p->at;
        uint32_t first, last;
        bool is_range = parse_class_atom(p, &first, &s);
        if (is_range) last = first;
        /* The '-' of a range has something on its right; and on its left a character. */
        if (is_next(p, "-") && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            bool is_char = parse_class_atom(p, &last, &s);
            if (!is_range || !is_char) {
                lull_charset_add(&s, '-', '-');
                if (is_char) lull_charset_add(&s, last, last);
                last = first;
            }
        }
        if (!is_range) continue;
        if (last < first) fail(p, LULL_EINVAL, start, "a range that ends before it begins");
        if (!p->status) lull_charset_add(&s, first, last);
    }
    if (!skip(p, "]")) fail(p, LULL_EINVAL, offset, "a class without its ']'");
    if (is_inverted) lull_charset_invert(&s);
    return make_chars(p, &s);
}

static lull_regex *make_char(parser *p, uint32_t c)
{
    lull_charset s = {0};
    lull_charset_add(&s, c, c);
    return make_chars(p, &s);
}

/* ---- terms ----------------------------------------------------------------------------------- */

/* Decimal digits; a number too large to count is the largest. False: there are none. */
static bool read_count(parser *p, uint32_t *value)
{
    size_t start = p->at;
    uint64_t v = 0;
    for (; p->at < p->n && is_digit(p->s[p->at]); p->at++) {
        v = v * 10 + (uint64_t)(p->s[p->at] - '0');
        if (v >= LULL_REGEX_UNBOUNDED) v = LULL_REGEX_UNBOUNDED - 1;
    }
    *value = (uint32_t)v;
    return p->at > start;
}

/* {n} {n,} {n,m}; false: what stands here is none of them, and is not read. */
static bool parse_count(parser *p, uint32_t *min, uint32_t *max)
{
    size_t start = p->at;
    bool is_count = skip(p, "{") && read_count(p, min);
    if (is_count) {
        *max = *min;
        if (skip(p, ",") && !read_count(p, max)) *max = LULL_REGEX_UNBOUNDED;
        is_count = skip(p, "}");
    }
    if (!is_count) p->at = start;
    return is_count;
}

static lull_regex *parse_choice(parser *p, int depth);

/* Behind '('. */
static lull_regex *parse_group(parser *p, int depth)
{
    size_t offset = p->at - 1;
    if (is_next(p, "?=") || is_next(p, "?!")) {
        fail(p, LULL_EUNSUPPORTED, offset, "look-ahead, which is not supported,");
    } else if (is_next(p, "?<=") || is_next(p, "?<!")) {
        fail(p, LULL_EUNSUPPORTED, offset, "look-behind, which is not supported,");
    } else if (skip(p, "?<")) {
        size_t start = p->at;
        while (!is_at_end(p) &&
               (is_letter(p->s[p->at]) || p->s[p->at] == '_' || p->s[p->at] == '$' ||
                (unsigned char)p->s[p->at] >= 128 || (p->at > start && is_digit(p->s[p->at]))))
            p->at++;
        if (p->at == start || !skip(p, ">")) fail(p, LULL_EINVAL, offset, "a bad group name");
    } else if (!skip(p, "?:") && is_next(p, "?")) {
        bool has_flag = p->at + 1 < p->n && (is_letter(p->s[p->at + 1]) || p->s[p->at + 1] == '-');
        if (has_flag && !is_next(p, "?P"))
            fail(p, LULL_EUNSUPPORTED, offset, "a group with flags, which is not supported,");
        else
            fail(p, LULL_EINVAL, offset, "a kind of group that ECMA-262 does not know");
    }
    if (depth == MAX_DEPTH) fail(p, LULL_EFULL, offset, "groups nested too deeply");
    lull_regex *e = parse_choice(p, depth + 1);
    if (!skip(p, ")")) fail(p, LULL_EINVAL, offset, "a group without its ')'");
    return e;
}

static lull_regex *parse_atom(parser *p, int depth)
{
    size_t offset = p->at;
    uint32_t c = next_char(p);
    lull_charset s = {0};
    switch (c) {
    case '(': return parse_group(p, depth);
    case '[': return parse_class(p);
    case '.': lull_charset_add_others(&s, line_ends, COUNT(line_ends)); return make_chars(p, &s);
    case '\\':
        p->in_class = 0;
        if (parse_escape(p, false, &c, &s)) lull_charset_add(&s, c, c);
        return make_chars(p, &s);
    case '*':
    case '+':
    case '?': fail(p, LULL_EINVAL, offset, "nothing to repeat"); break;
    case '{': {
        uint32_t min, max;
        p->at = offset;
        if (parse_count(p, &min, &max)) fail(p, LULL_EINVAL, offset, "nothing to repeat");
        p->at = offset + 1;
        break;
    }
    default: break;
    }
    return make_char(p, c);
}

static lull_regex *parse_term(parser *p, int depth)
{
    if (skip(p, "^")) return make(p, LULL_REGEX_BEGIN);
    if (skip(p, "$")) return make(p, LULL_REGEX_END);
    lull_regex *atom = parse_atom(p, depth);
    size_t offset = p->at;
    uint32_t min = 0, max = LULL_REGEX_UNBOUNDED;
    if (skip(p, "?")) {
        max = 1;
    } else if (skip(p, "+")) {
        min = 1;
    } else if (!skip(p, "*") && !parse_count(p, &min, &max)) {
        /* Others read {,m} as a count; ECMA-262, without the u flag, as text. */
        if (is_next(p, "{,"))
            fail(p, LULL_EINVAL, offset, "a '{' without a number (write {0,m}, or \\{ for itself)");
        return atom;
    }
    if (min > max) fail(p, LULL_EINVAL, offset, "a count whose most is less than its least");
    skip(p, "?"); /* which text is matched, not whether */
    return make_repeat(p, atom, min, max);
}

static lull_regex *parse_sequence(parser *p, int depth)
{
    lull_regex *list = make(p, LULL_REGEX_SEQUENCE);
    while (!is_at_end(p) && !is_next(p, "|") && !is_next(p, ")")) {
        lull_regex *part = parse_term(p, depth);
        if (!p->status && part->kind != LULL_REGEX_EMPTY) add_part(list, part);
    }
    return finish_list(p, list);
}

static lull_regex *parse_choice(parser *p, int depth)
{
    lull_regex *list = make(p, LULL_REGEX_CHOICE);
    bool has_text = false;
    do {
        lull_regex *part = parse_sequence(p, depth);
        if (p->status) break;
        has_text = has_text || part->kind != LULL_REGEX_EMPTY;
        add_part(list, part);
    } while (skip(p, "|"));
    /* (|) is the empty text: whatever is not makes a node, which nfa.c counts. */
    if (!p->status && !has_text) return make(p, LULL_REGEX_EMPTY);
    return finish_list(p, list);
}

lull_status lull_regular_parse(const char *pattern, size_t n_bytes, bool is_whole,
                               lull_regular **out, lull_error *err)
{
    *out = NULL;
    parser p = {.s = pattern, .n = n_bytes, .err = err};
    if (n_bytes > MAX_BYTES)
        return lull_fail(err, LULL_EFULL, "a pattern of more than %d bytes", MAX_BYTES);
    while (!is_at_end(&p)) {
        if (lull_utf8_length((const uint8_t *)pattern + p.at, n_bytes - p.at) <= 0)
            fail(&p, LULL_EINVAL, p.at, "bytes that are not UTF-8");
        next_char(&p);
    }
    p.at = 0;
    const lull_regex *e = parse_choice(&p, 0);
    if (p.at < p.n) fail(&p, LULL_EINVAL, p.at, "a ')' without its '('");
    if (!p.status) p.status = lull_regex_compile(e, is_whole, out, err);
    for (size_t i = 0; i < p.n_properties; i++) lull_charset_fini(&p.properties[i].chars);
    lull_arena_fini(&p.arena);
    return p.status;
}
