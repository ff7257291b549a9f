/* A call as in Python, with literals for arguments, which become JSON as they come:
 *
 *     f(a=1, b="x", c=[1, 2.5], d={"k": None}, e=(True, False))
 *
 * and Gemma 4's own writing, with bare keys and strings between marks (FunctionGemma has <escape>):
 *
 *     f{a:1,b:<|"|>x<|"|>,c:[1,2.5],d:{k:null}}
 *
 * Python's literals are read as far as they have a meaning in JSON: strings with one pair of quotes and no prefix,
 * decimal numbers, True, False, None (or JSON's words), lists, tuples, dicts with strings for keys.
 * Positional arguments are none, as nobody knows their names. */
#include <string.h>

#include "reply_parser.h"

enum state {
    NAME,
    KEY_OR_END, /* of an argument, or in Gemma's objects */
    KEY,
    DICT_KEY_OR_END,
    COLON,
    VALUE,
    ITEM_OR_END,
    WORD,
    STRING,
    ESCAPE,
    DIGITS, /* of an escape */
    MARK,   /* of Gemma's strings, at their start */
    MARKED, /* inside of one */
    AFTER
};

static const char *const marks[] = {"<|\"|>", "<escape>"};

void lull_python_init(lull_reply *r)
{
    memset(&r->at.python, 0, sizeof r->at.python);
    lull_reply_clear(r, &r->scratch);
}

static void put(lull_reply *r, const char *s)
{
    lull_reply_add_arguments(r, s, strlen(s));
}

/* In front of an item or a key. */
static void put_separator(lull_reply *r)
{
    lull_python *p = &r->at.python;
    uint64_t bit = (uint64_t)1 << (p->depth - 1);
    if (p->has_items & bit) put(r, ", ");
    p->has_items |= bit;
}

static lull_step open_bracket(lull_reply *r, uint8_t c, bool is_gemma)
{
    lull_python *p = &r->at.python;
    if (p->depth == LULL_REPLY_DEPTH) return LULL_STEP_BAD;
    bool is_object = c == '{' || p->depth == 0;
    p->brackets[p->depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    p->has_items &= ~((uint64_t)1 << (p->depth - 1));
    p->state = !is_object ? ITEM_OR_END : is_gemma || p->depth == 1 ? KEY_OR_END : DICT_KEY_OR_END;
    put(r, is_object ? "{" : "[");
    return LULL_STEP_MORE;
}

static uint8_t bracket(const lull_python *p)
{
    return p->brackets[p->depth - 1];
}

static lull_step close_bracket(lull_reply *r)
{
    lull_python *p = &r->at.python;
    put(r, bracket(p) == '}' || p->depth == 1 ? "}" : "]");
    p->state = AFTER;
    return --p->depth == 0 ? LULL_STEP_DONE : LULL_STEP_MORE;
}

static lull_step step_name(lull_reply *r, uint8_t c, bool is_gemma)
{
    if (c != (is_gemma ? '{' : '(')) {
        if (r->scratch.n_bytes >= LULL_REPLY_NAME_BYTES) return LULL_STEP_BAD;
        if (lull_json_is_space(c)) return r->scratch.n_bytes ? LULL_STEP_BAD : LULL_STEP_MORE;
        if (c == '[' || c == '"' || c == '\'') return LULL_STEP_BAD;
        lull_buffer_append(&r->scratch, &c, 1);
        return LULL_STEP_MORE;
    }
    lull_reply_clear(r, &r->name);
    lull_buffer_append(&r->name, r->scratch.data, r->scratch.n_bytes);
    if (!lull_reply_begin_call(r)) return LULL_STEP_BAD;
    return open_bracket(r, c, is_gemma);
}

static bool is_key_byte(uint8_t c, bool is_gemma)
{
    bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    return is_letter || (c >= '0' && c <= '9') || c == '_' || c >= 0x80 ||
           (is_gemma && (c == '-' || c == '.' || c == '$'));
}

/* Of a string of Gemma's. */
static lull_step begin_mark(lull_reply *r)
{
    r->at.python.n_mark = 1;
    r->at.python.state = MARK;
    return LULL_STEP_MORE;
}

static lull_step begin_key(lull_reply *r, uint8_t c, bool is_gemma)
{
    lull_python *p = &r->at.python;
    if (c == bracket(p)) return close_bracket(r);
    if (c == '<' && is_gemma) {
        put_separator(r);
        p->is_key = true;
        return begin_mark(r);
    }
    if (!is_key_byte(c, is_gemma)) return LULL_STEP_BAD;
    lull_reply_clear(r, &r->scratch);
    lull_buffer_append(&r->scratch, &c, 1);
    p->utf8 = (lull_utf8){0};
    p->state = KEY;
    return lull_utf8_step(&p->utf8, c) ? LULL_STEP_MORE : LULL_STEP_BAD;
}

static lull_step step_key(lull_reply *r, uint8_t c, bool is_gemma)
{
    lull_python *p = &r->at.python;
    if (is_key_byte(c, is_gemma) && r->scratch.n_bytes < LULL_REPLY_NAME_BYTES) {
        lull_buffer_append(&r->scratch, &c, 1);
        return lull_utf8_step(&p->utf8, c) ? LULL_STEP_MORE : LULL_STEP_BAD;
    }
    if (p->utf8.n_left > 0) return LULL_STEP_BAD;
    if (c != (is_gemma ? ':' : '=')) return c == ' ' ? LULL_STEP_MORE : LULL_STEP_BAD;
    put_separator(r);
    put(r, "\"");
    lull_reply_add_arguments(r, r->scratch.data, r->scratch.n_bytes);
    put(r, "\": ");
    p->state = VALUE;
    return LULL_STEP_MORE;
}

/* ---- strings ---------------------------------------------------------------------------------- */

static lull_step begin_string(lull_reply *r, uint8_t quote)
{
    lull_python *p = &r->at.python;
    put(r, "\"");
    p->quote = quote;
    p->utf8 = (lull_utf8){0};
    p->state = STRING;
    return LULL_STEP_MORE;
}

static lull_step end_string(lull_reply *r)
{
    lull_python *p = &r->at.python;
    put(r, "\"");
    p->state = p->is_key ? COLON : AFTER;
    p->is_key = false;
    return LULL_STEP_MORE;
}

static lull_step put_string_byte(lull_reply *r, uint8_t c)
{
    if (!lull_utf8_step(&r->at.python.utf8, c)) return LULL_STEP_BAD;
    lull_reply_add_escaped(r, c);
    return LULL_STEP_MORE;
}

static lull_step step_string(lull_reply *r, uint8_t c)
{
    lull_python *p = &r->at.python;
    if (p->utf8.n_left == 0 && c == p->quote) return end_string(r);
    if (p->utf8.n_left > 0 || c != '\\') return put_string_byte(r, c);
    p->state = ESCAPE;
    return LULL_STEP_MORE;
}

static lull_step step_escape(lull_reply *r, uint8_t c)
{
    lull_python *p = &r->at.python;
    static const char escapes[] = "n\nt\tr\rb\bf\fa\av\v\\\\''\"\"";
    p->state = STRING;
    if (c == '\n') return LULL_STEP_MORE; /* the line goes on */
    if (c == 'x' || c == 'u' || c == 'U') {
        p->n_digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        p->character = 0;
        p->state = DIGITS;
        return LULL_STEP_MORE;
    }
    for (const char *e = escapes; *e; e += 2)
        if (c == (uint8_t)*e) return put_string_byte(r, (uint8_t)e[1]);
    lull_reply_add_escaped(r, '\\'); /* as Python keeps what is no escape */
    return put_string_byte(r, c);
}

static lull_step step_digits(lull_reply *r, uint8_t c)
{
    lull_python *p = &r->at.python;
    static const char digits[] = "0123456789abcdef";
    const char *at = c >= '0' ? strchr(digits, c >= 'A' ? c | 0x20 : c) : NULL;
    if (!at) return LULL_STEP_BAD;
    p->character = p->character << 4 | (uint32_t)(at - digits);
    if (p->character > 0x10ffff) return LULL_STEP_BAD;
    if (--p->n_digits > 0) return LULL_STEP_MORE;
    if (p->character >= 0xd800 && p->character < 0xe000) return LULL_STEP_BAD;
    char utf8[4];
    size_t n = lull_utf8_put(p->character, utf8);
    for (size_t i = 0; i < n; i++) lull_reply_add_escaped(r, (uint8_t)utf8[i]);
    p->state = STRING;
    return LULL_STEP_MORE;
}

/* The mark that opens a string of Gemma's; quote is which of them. */
static lull_step step_mark(lull_reply *r, uint8_t c)
{
    lull_python *p = &r->at.python;
    if (p->n_mark == 1) p->quote = c == 'e'; /* they differ in their second byte */
    const char *mark = marks[p->quote];
    if (c != (uint8_t)mark[p->n_mark]) return LULL_STEP_BAD;
    if (mark[++p->n_mark]) return LULL_STEP_MORE;
    put(r, "\"");
    p->utf8 = (lull_utf8){0};
    p->n_mark = 0;
    p->state = MARKED;
    return LULL_STEP_MORE;
}

static lull_step step_marked(lull_reply *r, uint8_t c)
{
    lull_python *p = &r->at.python;
    const char *mark = marks[p->quote];
    if (p->utf8.n_left == 0 && c == (uint8_t)mark[p->n_mark]) {
        if (mark[++p->n_mark]) return LULL_STEP_MORE;
        p->n_mark = 0;
        return end_string(r);
    }
    /* '<' is only at the start of a mark: what was held begins no other. */
    for (uint8_t i = 0; i < p->n_mark; i++) lull_reply_add_escaped(r, (uint8_t)mark[i]);
    p->n_mark = 0;
    if (p->utf8.n_left == 0 && c == '<') {
        p->n_mark = 1;
        return LULL_STEP_MORE;
    }
    return put_string_byte(r, c);
}

/* ---- numbers and words ------------------------------------------------------------------------ */

static bool is_number(const char *s, size_t n)
{
    return n > 0 && (*s == '-' || (*s >= '0' && *s <= '9')) && lull_json_is_value(s, n);
}

/* 1. and .5 and 1_000 are numbers in Python only. */
static bool put_number(lull_reply *r, const char *s, size_t n)
{
    char number[64];
    size_t used = 0;
    if (is_number(s, n)) {
        lull_reply_add_arguments(r, s, n);
        return true;
    }
    if (n > sizeof number / 3) return false;
    if (n > 0 && *s == '+') s++, n--;
    for (size_t i = 0; i < n; i++) {
        bool has_digit = used > 0 && number[used - 1] >= '0' && number[used - 1] <= '9';
        if (s[i] == '_' && has_digit && i + 1 < n) continue;
        if (s[i] == '.' && !has_digit) number[used++] = '0';
        number[used++] = s[i];
        if (s[i] == '.' && (i + 1 == n || s[i + 1] < '0' || s[i + 1] > '9')) number[used++] = '0';
    }
    if (!is_number(number, used)) return false;
    lull_reply_add_arguments(r, number, used);
    return true;
}

static bool put_word(lull_reply *r, bool is_gemma)
{
    static const struct {
        const char *word, *json;
    } words[] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                 {"true", "true"}, {"false", "false"}, {"null", "null"}};
    const char *s = r->scratch.data ? r->scratch.data : "";
    size_t n = r->scratch.n_bytes;
    while (n > 0 && lull_json_is_space((uint8_t)s[n - 1])) n--;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n == strlen(words[i].word) && memcmp(s, words[i].word, n) == 0) {
            put(r, words[i].json);
            return true;
        }
    if (put_number(r, s, n)) return true;
    if (!is_gemma) return false;
    lull_utf8 u = {0}; /* a string that lost its marks */
    put(r, "\"");
    for (size_t i = 0; i < n; i++) {
        if (!lull_utf8_step(&u, (uint8_t)s[i])) return false;
        lull_reply_add_escaped(r, (uint8_t)s[i]);
    }
    put(r, "\"");
    return u.n_left == 0;
}

static lull_step step_after(lull_reply *r, uint8_t c, bool is_gemma)
{
    lull_python *p = &r->at.python;
    if (lull_json_is_space(c)) return LULL_STEP_MORE;
    if (c == bracket(p)) return close_bracket(r);
    bool is_object = p->depth == 1 || bracket(p) == '}';
    p->state = !is_object ? ITEM_OR_END : is_gemma || p->depth == 1 ? KEY_OR_END : DICT_KEY_OR_END;
    return c == ',' ? LULL_STEP_MORE : LULL_STEP_BAD;
}

static lull_step step_word(lull_reply *r, uint8_t c, bool is_gemma)
{
    bool is_end =
        c == ',' || c == ')' || c == ']' || c == '}' || (!is_gemma && lull_json_is_space(c));
    if (!is_end) {
        if (c < ' ' || c == '"' || c == '\'' || c == '(' || c == '[' || c == '{')
            return LULL_STEP_BAD;
        lull_buffer_append(&r->scratch, &c, 1);
        return LULL_STEP_MORE;
    }
    if (!put_word(r, is_gemma)) return LULL_STEP_BAD;
    r->at.python.state = AFTER;
    return step_after(r, c, is_gemma);
}

static lull_step begin_value(lull_reply *r, uint8_t c, bool is_gemma)
{
    if (c == '[' || c == '{' || (c == '(' && !is_gemma)) return open_bracket(r, c, is_gemma);
    if (c == '"' || (c == '\'' && !is_gemma)) return begin_string(r, c);
    if (c == '<' && is_gemma) return begin_mark(r);
    lull_reply_clear(r, &r->scratch);
    r->at.python.state = WORD;
    return step_word(r, c, is_gemma);
}

lull_step lull_python_step(lull_reply *r, uint8_t c, bool is_gemma)
{
    lull_python *p = &r->at.python;
    switch (p->state) {
    case NAME: return step_name(r, c, is_gemma);
    case KEY: return step_key(r, c, is_gemma);
    case STRING: return step_string(r, c);
    case ESCAPE: return step_escape(r, c);
    case DIGITS: return step_digits(r, c);
    case MARK: return step_mark(r, c);
    case MARKED: return step_marked(r, c);
    case WORD: return step_word(r, c, is_gemma);
    case AFTER: return step_after(r, c, is_gemma);
    default: break;
    }
    if (lull_json_is_space(c)) return LULL_STEP_MORE;
    switch (p->state) {
    case KEY_OR_END: return begin_key(r, c, is_gemma);
    case DICT_KEY_OR_END:
        if (c == bracket(p)) return close_bracket(r);
        put_separator(r);
        p->is_key = true;
        return c == '"' || c == '\'' ? begin_string(r, c) : LULL_STEP_BAD;
    case COLON:
        put(r, ": ");
        p->state = VALUE;
        return c == ':' ? LULL_STEP_MORE : LULL_STEP_BAD;
    case ITEM_OR_END:
        if (c == bracket(p)) return close_bracket(r);
        put_separator(r);
        return begin_value(r, c, is_gemma);
    default: return begin_value(r, c, is_gemma);
    }
}
