#include <string.h>

#include "hex.h"
#include "json_scan.h"

bool lull_utf8_step(lull_utf8 *u, uint8_t c)
{
    if (u->n_left > 0) {
        if (c < u->low || c > u->high) return false;
        *u = (lull_utf8){(uint8_t)(u->n_left - 1), 0x80, 0xbf};
        return true;
    }
    *u = (lull_utf8){0, 0x80, 0xbf};
    if (c < 0x80) return true;
    if (c < 0xc2 || c > 0xf4) return false;
    u->n_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == 0xe0) u->low = 0xa0; /* no overlong forms, */
    if (c == 0xf0) u->low = 0x90;
    if (c == 0xed) u->high = 0x9f; /* surrogates, */
    if (c == 0xf4) u->high = 0x8f; /* or anything above 0x10ffff */
    return true;
}

size_t lull_utf8_put(uint32_t character, char out[4])
{
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    size_t n = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, character >>= 6) out[i] = (char)(0x80 | (character & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | character);
    return n;
}

enum state {
    VALUE,
    FIRST_ITEM, /* behind '[': a value or ']' */
    FIRST_KEY,  /* behind '{': a key or '}' */
    NEXT_KEY,
    COLON,
    AFTER_ITEM, /* ',' or the bracket's end */
    STRING,
    ESCAPE,
    HEX,
    WORD,
    MINUS,
    ZERO,
    INTEGER,
    POINT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    EXPONENT_DIGITS,
    ENDED
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A value is over. */
static lull_json_verdict leave_value(lull_json_scan *s)
{
    s->state = s->depth > 0 ? AFTER_ITEM : ENDED;
    return s->depth > 0 ? LULL_JSON_MORE : LULL_JSON_DONE;
}

static lull_json_verdict open_bracket(lull_json_scan *s, bool is_object)
{
    if (s->depth == LULL_JSON_DEPTH) return LULL_JSON_BAD;
    uint64_t bit = (uint64_t)1 << s->depth++;
    s->is_object = is_object ? s->is_object | bit : s->is_object & ~bit;
    s->state = is_object ? FIRST_KEY : FIRST_ITEM;
    return LULL_JSON_MORE;
}

static bool in_object(const lull_json_scan *s)
{
    return s->is_object >> (s->depth - 1) & 1;
}

static lull_json_verdict close_bracket(lull_json_scan *s, bool is_object)
{
    if (s->depth == 0 || in_object(s) != is_object) return LULL_JSON_BAD;
    s->depth--;
    return leave_value(s);
}

static lull_json_verdict begin_string(lull_json_scan *s, bool is_key)
{
    s->state = STRING;
    s->is_key = is_key;
    s->high = 0;
    return LULL_JSON_MORE;
}

static lull_json_verdict begin_value(lull_json_scan *s, uint8_t c)
{
    switch (c) {
    case '{': return open_bracket(s, true);
    case '[': return open_bracket(s, false);
    case '"': return begin_string(s, false);
    case 't': s->word = "rue"; break;
    case 'f': s->word = "alse"; break;
    case 'n': s->word = "ull"; break;
    case '-': s->state = MINUS; return LULL_JSON_MORE;
    default:
        if (!is_digit(c)) return LULL_JSON_BAD;
        s->state = c == '0' ? ZERO : INTEGER;
        return LULL_JSON_MORE;
    }
    s->state = WORD;
    return LULL_JSON_MORE;
}

static lull_json_verdict step_string(lull_json_scan *s, uint8_t c)
{
    if (s->high && c != '\\') return LULL_JSON_BAD;
    if (s->utf8.n_left == 0 && c == '\\') {
        s->state = ESCAPE;
    } else if (s->utf8.n_left == 0 && c == '"') {
        if (!s->is_key) return leave_value(s);
        s->state = COLON;
    } else if (c < 0x20 || !lull_utf8_step(&s->utf8, c)) {
        return LULL_JSON_BAD;
    }
    return LULL_JSON_MORE;
}

static lull_json_verdict step_escape(lull_json_scan *s, uint8_t c)
{
    if (c == 'u') {
        s->state = HEX;
        s->n_hex = 0;
        s->hex = 0;
        return LULL_JSON_MORE;
    }
    if (s->high || c == '\0' || !strchr("\"\\/bfnrt", c)) return LULL_JSON_BAD;
    s->state = STRING;
    return LULL_JSON_MORE;
}

static lull_json_verdict step_hex(lull_json_scan *s, uint8_t c)
{
    int digit = lull_hex_digit(c);
    if (digit < 0) return LULL_JSON_BAD;
    s->hex = (uint16_t)(s->hex << 4 | digit);
    if (++s->n_hex < 4) return LULL_JSON_MORE;
    bool is_low = s->hex >= 0xdc00 && s->hex < 0xe000;
    if (is_low != (s->high != 0)) return LULL_JSON_BAD;
    s->high = s->hex >= 0xd800 && s->hex < 0xdc00 ? s->hex : 0;
    s->state = STRING;
    return LULL_JSON_MORE;
}

/* The state behind c in a number, or -1 when c is none of it. */
static int next_in_number(uint8_t state, uint8_t c)
{
    switch (state) {
    case MINUS: return c == '0' ? ZERO : is_digit(c) ? INTEGER : -1;
    case ZERO:
    case INTEGER:
        if (c == '.') return POINT;
        if (c == 'e' || c == 'E') return EXPONENT;
        return state == INTEGER && is_digit(c) ? INTEGER : -1;
    case POINT: return is_digit(c) ? FRACTION : -1;
    case FRACTION: return is_digit(c) ? FRACTION : c == 'e' || c == 'E' ? EXPONENT : -1;
    case EXPONENT: return c == '+' || c == '-' ? EXPONENT_SIGN : is_digit(c) ? EXPONENT_DIGITS : -1;
    default: return is_digit(c) ? EXPONENT_DIGITS : -1;
    }
}

static bool may_end_number(uint8_t state)
{
    return state == ZERO || state == INTEGER || state == FRACTION || state == EXPONENT_DIGITS;
}

static lull_json_verdict step_between(lull_json_scan *s, uint8_t c)
{
    if (lull_json_is_space(c)) return LULL_JSON_MORE;
    switch (s->state) {
    case VALUE: return begin_value(s, c);
    case FIRST_ITEM: return c == ']' ? close_bracket(s, false) : begin_value(s, c);
    case FIRST_KEY:
        if (c == '}') return close_bracket(s, true);
        return c == '"' ? begin_string(s, true) : LULL_JSON_BAD;
    case NEXT_KEY: return c == '"' ? begin_string(s, true) : LULL_JSON_BAD;
    case COLON: s->state = VALUE; return c == ':' ? LULL_JSON_MORE : LULL_JSON_BAD;
    case AFTER_ITEM:
        if (c == ']' || c == '}') return close_bracket(s, c == '}');
        s->state = in_object(s) ? NEXT_KEY : VALUE;
        return c == ',' ? LULL_JSON_MORE : LULL_JSON_BAD;
    default: return LULL_JSON_BAD;
    }
}

lull_json_verdict lull_json_scan_step(lull_json_scan *s, uint8_t c)
{
    switch (s->state) {
    case STRING: return step_string(s, c);
    case ESCAPE: return step_escape(s, c);
    case HEX: return step_hex(s, c);
    case WORD:
        if (c != (uint8_t)*s->word) return LULL_JSON_BAD;
        return *++s->word ? LULL_JSON_MORE : leave_value(s);
    case MINUS:
    case ZERO:
    case INTEGER:
    case POINT:
    case FRACTION:
    case EXPONENT:
    case EXPONENT_SIGN:
    case EXPONENT_DIGITS: {
        int next = next_in_number(s->state, c);
        if (next >= 0) {
            s->state = (uint8_t)next;
            return LULL_JSON_MORE;
        }
        if (!may_end_number(s->state)) return LULL_JSON_BAD;
        if (leave_value(s) == LULL_JSON_DONE) return LULL_JSON_PAST;
        return step_between(s, c);
    }
    default: return step_between(s, c);
    }
}

bool lull_json_is_value(const char *text, size_t n_bytes)
{
    lull_json_scan s = {0};
    size_t i = 0;
    lull_json_verdict v = LULL_JSON_MORE;
    while (i < n_bytes && v == LULL_JSON_MORE) v = lull_json_scan_step(&s, (uint8_t)text[i++]);
    if (v == LULL_JSON_MORE) return s.depth == 0 && may_end_number(s.state);
    if (v == LULL_JSON_PAST) i--;
    while (i < n_bytes && lull_json_is_space((uint8_t)text[i])) i++;
    return v != LULL_JSON_BAD && i == n_bytes;
}

static uint32_t hex4(const char *text)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 4 | (uint32_t)lull_hex_digit((uint8_t)text[i]);
    return v;
}

void lull_json_unescape(const char *text, size_t n_bytes, lull_buffer *out)
{
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] != '\\') {
            lull_buffer_append(out, text + i, 1);
            continue;
        }
        static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        char c = text[++i];
        if (c != 'u') {
            lull_buffer_append(out, &meanings[strchr(escapes, c) - escapes], 1);
            continue;
        }
        uint32_t v = hex4(text + i + 1);
        i += 4;
        if (v >= 0xd800 && v < 0xdc00) {
            v = 0x10000 + ((v - 0xd800) << 10) + (hex4(text + i + 3) - 0xdc00);
            i += 6;
        }
        char utf8[4];
        lull_buffer_append(out, utf8, lull_utf8_put(v, utf8));
    }
}
