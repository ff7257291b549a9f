/* Numbers of a schema, as languages of their decimal texts. Only what no keyword touches may
 * have an exponent; all else is -?(0|[1-9]\d*)(\.\d+)?, where every value has all its texts or
 * none, so that sets of values are sets of texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dfa.h"
#include "schema_private.h"

/* The texts of integers that are written: by value 1.0 is one, and 1.00 says no more. */
#define INTEGER_TEXT "-?(?:0|[1-9]\\d*)(?:\\.0)?"
#define ANY_TEXT "-?(?:0|[1-9]\\d*)(?:\\.\\d+)?"

enum { MAX_DIGITS = 700, MAX_REMAINDERS = 5000, NAME_BYTES = 2 * MAX_DIGITS + 40 };

/* ---- decimals -------------------------------------------------------------------------------- */

/* digits [n], the point behind the first n_whole of them; n_whole may be negative or beyond n. */
static lull_status make_decimal(lull_compiler *c, const char *digits, int n, int n_whole,
                                bool is_negative, lull_decimal *out)
{
    while (n > 0 && digits[n - 1] == '0') n--;
    for (; n > 0 && *digits == '0'; digits++, n--) n_whole--;
    if (n == 0) n_whole = 0;
    size_t whole = n_whole > 0 ? (size_t)n_whole : 1, zeros = n_whole < 0 ? (size_t)-n_whole : 0;
    size_t used = n_whole > 0 ? (size_t)(n_whole < n ? n_whole : n) : 0;
    size_t fraction = n > (int)used ? zeros + ((size_t)n - used) : 0;
    char *text = lull_schema_alloc(c, whole + fraction + 2);
    if (!text) return c->err->code;
    char *part = text + whole + 1;
    memset(text, '0', whole);
    memcpy(text, digits, used);
    memset(part, '0', fraction);
    if (fraction) memcpy(part + zeros, digits + used, (size_t)n - used);
    text[whole] = part[fraction] = '\0';
    *out = (lull_decimal){text, part, is_negative && n > 0};
    return LULL_OK;
}

lull_status lull_decimal_of(lull_compiler *c, uint32_t schema, const char *keyword,
                            const json_t *value, lull_decimal *out)
{
    char text[40], digits[24];
    if (json_is_integer(value)) {
        int n = snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        bool is_negative = text[0] == '-';
        return make_decimal(c, text + is_negative, n - is_negative, n - is_negative, is_negative,
                            out);
    }
    double real = json_real_value(value);
    if (!json_is_real(value) || real != real || real - real != 0)
        return lull_schema_fail(c, LULL_EINVAL, schema, keyword, "a number is wanted here");
    /* The shortest text that reads back as the same number: what was written, up to 17 digits. */
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, real);
        if (strtod(text, NULL) == real) break;
    }
    int n = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9') digits[n++] = *at;
    int exponent = *at ? atoi(at + 1) : 0;
    return make_decimal(c, digits, n, exponent + 1, text[0] == '-', out);
}

static int compare_size(const lull_decimal *a, const lull_decimal *b)
{
    size_t n = strlen(a->whole), m = strlen(b->whole);
    if (n != m) return n < m ? -1 : 1;
    int order = strcmp(a->whole, b->whole);
    return order ? order : strcmp(a->fraction, b->fraction); /* no zero ends a fraction */
}

int lull_decimal_compare(const lull_decimal *a, const lull_decimal *b)
{
    if (a->is_negative != b->is_negative) return a->is_negative ? -1 : 1;
    return a->is_negative ? compare_size(b, a) : compare_size(a, b);
}

bool lull_decimal_is_integer(const lull_decimal *d)
{
    return d->fraction[0] == '\0';
}

static bool is_zero(const lull_decimal *d)
{
    return strcmp(d->whole, "0") == 0 && d->fraction[0] == '\0';
}

static void decimal_text(const lull_decimal *d, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s%s%s%s", d->is_negative ? "-" : "", d->whole,
             d->fraction[0] ? "." : "", d->fraction);
}

/* ---- automata over digits -------------------------------------------------------------------- */

enum { MINUS = 10, POINT = 11, N_SYMBOLS = 12, NOWHERE = UINT32_MAX };

typedef struct digit_state {
    uint32_t next[N_SYMBOLS];
    bool is_final;
} digit_state;

typedef struct machine {
    digit_state *states; /* owned [n] */
    uint32_t n, cap;
    bool is_failed;
} machine;

static uint32_t add_state(machine *m, bool is_final)
{
    if (m->n == m->cap && !m->is_failed) {
        uint32_t more = m->cap ? 2 * m->cap : 64;
        digit_state *p = realloc(m->states, more * sizeof *p);
        if (p) {
            m->states = p;
            m->cap = more;
        }
        m->is_failed = !p;
    }
    if (m->is_failed) return 0;
    memset(m->states[m->n].next, 0xff, sizeof m->states[m->n].next);
    m->states[m->n].is_final = is_final;
    return m->n++;
}

static void lead(machine *m, uint32_t from, int symbol, uint32_t to)
{
    if (!m->is_failed) m->states[from].next[symbol] = to;
}

static lull_status finish_machine(lull_compiler *c, machine *m, const char *how,
                                  const lull_regular **out)
{
    static const int order[N_SYMBOLS] = {MINUS, POINT, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const char names[] = "-.0123456789";
    lull_dfa d = {0};
    lull_regular *made;
    if (m->is_failed) d.status = LULL_ENOMEM;
    for (uint32_t i = 0; i < m->n; i++) {
        lull_dfa_add_state(&d, m->states[i].is_final);
        for (int k = 0; k < N_SYMBOLS; k++) {
            uint32_t to = m->states[i].next[order[k]];
            if (to != NOWHERE) lull_dfa_add_edge(&d, (uint8_t)names[k], (uint8_t)names[k], to);
        }
    }
    free(m->states);
    lull_status st = lull_dfa_finish(&d, &made, c->err);
    if (st != LULL_OK) return lull_language_failed(c, st);
    *out = made;
    st = lull_schema_keep(c, how, made);
    return st == LULL_OK ? lull_schema_step(c, 20) : st;
}

enum { LESS = 1, EQUAL = 2, GREATER = 4 };

/* The numbers without a sign whose relation to size d is one of `wanted`: the state that has
 * read nothing. What was read of a whole part is less, equal or greater than as much of d; how
 * long it gets decides first. */
static uint32_t add_sizes(machine *m, const lull_decimal *d, int wanted)
{
    size_t n = strlen(d->whole), n_fraction = strlen(d->fraction);
    bool is_below_one = d->whole[0] == '0';
    uint32_t start = add_state(m, false);
    /* Behind a whole part: less, greater; then their fractions; then fractions so far equal. */
    uint32_t less_point = add_state(m, false), greater_point = add_state(m, false);
    uint32_t less = add_state(m, wanted & LESS), greater = add_state(m, wanted & GREATER);
    for (int digit = 0; digit < 10; digit++) {
        lead(m, less_point, digit, less);
        lead(m, less, digit, less);
        lead(m, greater_point, digit, greater);
        lead(m, greater, digit, greater);
    }
    uint32_t equal_point = add_state(m, false), at = equal_point;
    for (size_t i = 0; i <= n_fraction; i++) {
        int here = i < n_fraction ? d->fraction[i] - '0' : 0;
        uint32_t next = i == n_fraction && i > 0
                            ? at
                            : add_state(m, wanted & (i + 1 >= n_fraction ? EQUAL : LESS));
        for (int digit = 0; digit < 10; digit++)
            lead(m, at, digit, digit < here ? less : digit > here ? greater : next);
        at = next;
        if (i == n_fraction)
            for (int digit = 0; digit < 10; digit++) lead(m, at, digit, digit == 0 ? at : greater);
    }
    int whole_equals =
        n_fraction ? LESS : EQUAL; /* of the whole part of d itself, without a fraction */
    uint32_t longer = add_state(m, wanted & GREATER);
    lead(m, longer, POINT, greater_point);
    for (int digit = 0; digit < 10; digit++) lead(m, longer, digit, longer);
    uint32_t zero = add_state(m, wanted & (is_below_one ? whole_equals : LESS));
    lead(m, zero, POINT, is_below_one ? equal_point : less_point);
    lead(m, start, 0, zero);
    /* [i][order]: i digits read, so far less, equal or greater. */
    uint32_t before[3] = {NOWHERE, start, NOWHERE};
    for (size_t i = 1; i <= n && !is_below_one; i++) {
        uint32_t now[3];
        int relation[3] = {LESS, whole_equals, GREATER};
        uint32_t points[3] = {less_point, equal_point, greater_point};
        for (int k = 0; k < 3; k++) {
            bool is_whole = i == n;
            now[k] = add_state(m, wanted & (is_whole ? relation[k] : LESS));
            lead(m, now[k], POINT, is_whole ? points[k] : less_point);
            for (int digit = 0; is_whole && digit < 10; digit++) lead(m, now[k], digit, longer);
        }
        for (int digit = i == 1; digit < 10; digit++) {
            int here = d->whole[i - 1] - '0';
            if (before[0] != NOWHERE) lead(m, before[0], digit, now[0]);
            if (before[2] != NOWHERE) lead(m, before[2], digit, now[2]);
            lead(m, before[1], digit, now[digit < here ? 0 : digit > here ? 2 : 1]);
        }
        memcpy(before, now, sizeof now);
    }
    for (int digit = 1; is_below_one && digit < 10; digit++) lead(m, start, digit, longer);
    return start;
}

/* Numbers by their relation to d: LESS, EQUAL, GREATER or several. */
static lull_status related(lull_compiler *c, const lull_decimal *d, int wanted,
                           const lull_regular **out)
{
    char how[NAME_BYTES], text[NAME_BYTES - 20];
    decimal_text(d, text, sizeof text);
    snprintf(how, sizeof how, "number %d %s", wanted, text);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    /* Sizes of numbers without and with a sign. */
    int plain, signs;
    if (is_zero(d)) {
        plain = wanted & ~LESS;
        signs = (wanted & EQUAL) | (wanted & LESS ? GREATER : 0);
    } else if (d->is_negative) {
        plain = wanted & GREATER ? LESS | EQUAL | GREATER : 0;
        signs = (wanted & EQUAL) | (wanted & LESS ? GREATER : 0) | (wanted & GREATER ? LESS : 0);
    } else {
        plain = wanted;
        signs = wanted & LESS ? LESS | EQUAL | GREATER : 0;
    }
    machine m = {0};
    uint32_t start = add_state(&m, false), size = add_sizes(&m, d, plain);
    for (int digit = 0; digit < 10 && !m.is_failed; digit++)
        lead(&m, start, digit, m.states[size].next[digit]);
    lead(&m, start, MINUS, add_sizes(&m, d, signs));
    return finish_machine(c, &m, how, out);
}

lull_status lull_number_equal(lull_compiler *c, const lull_decimal *d, const lull_regular **out)
{
    return related(c, d, EQUAL, out);
}

lull_status lull_number_integer(lull_compiler *c, const lull_regular **out)
{
    return lull_schema_whole(c, "-?(?:0|[1-9]\\d*)(?:\\.0+)?", out);
}

lull_status lull_number_not(lull_compiler *c, const lull_regular *a, const lull_regular **out)
{
    const lull_regular *all, *others;
    lull_status st;
    LULL_TRY(lull_schema_whole(c, ANY_TEXT, &all));
    LULL_TRY(lull_schema_not(c, a, &others));
    LULL_TRY(lull_schema_both(c, all, others, out));
done:
    return st;
}

/* Multiples of n * 10^zeros, zeros >= 0: a state is (remainder by n of what stands in front of
 * the last zeros, how many of those there are, `zeros` at most). */
static void add_multiples(machine *m, uint32_t n, uint32_t zeros)
{
    uint32_t start = add_state(m, false), sign = add_state(m, false), zero = add_state(m, true);
    uint32_t point = add_state(m, false), fraction = add_state(m, true), first = m->n;
    lead(m, start, MINUS, sign);
    lead(m, start, 0, zero);
    lead(m, sign, 0, zero);
    lead(m, zero, POINT, point);
    lead(m, point, 0, fraction);
    lead(m, fraction, 0, fraction);
    for (uint32_t r = 0; r < n; r++)
        for (uint32_t z = 0; z <= zeros; z++) add_state(m, r == 0 && z == zeros);
    for (uint32_t digit = 1; digit < 10; digit++) {
        lead(m, start, (int)digit, first + digit % n * (zeros + 1));
        lead(m, sign, (int)digit, first + digit % n * (zeros + 1));
    }
    for (uint32_t r = 0; r < n; r++)
        for (uint32_t z = 0, shifted = r * 10 % n; z <= zeros; z++, shifted = shifted * 10 % n) {
            uint32_t from = first + r * (zeros + 1) + z;
            uint32_t more = z < zeros ? from + 1 : first + r * 10 % n * (zeros + 1) + z;
            lead(m, from, 0, more);
            for (uint32_t digit = 1; digit < 10; digit++)
                lead(m, from, (int)digit, first + (shifted + digit) % n * (zeros + 1));
            if (r == 0 && z == zeros) lead(m, from, POINT, point);
        }
}

/* Multiples of n / 10^places, places > 0: a state is (remainder by n of what was read, digits
 * behind the point).
 * */
static void add_fractions(machine *m, uint32_t n, uint32_t places)
{
    uint32_t start = add_state(m, false), sign = add_state(m, false), zero = add_state(m, true);
    uint32_t whole = m->n;
    uint32_t *unit = malloc((places + 1) * sizeof *unit); /* 10^(places - i) by n */
    if (!unit) {
        m->is_failed = true;
        return;
    }
    unit[places] = 1 % n;
    for (uint32_t i = places; i-- > 0;) unit[i] = unit[i + 1] * 10 % n;
    for (uint32_t r = 0; r < n; r++) add_state(m, (uint64_t)r * unit[0] % n == 0);
    uint32_t points = m->n; /* i places were read; for i = 0 the point only */
    for (uint32_t i = 0; i <= places; i++)
        for (uint32_t r = 0; r < n; r++) add_state(m, i > 0 && (uint64_t)r * unit[i] % n == 0);
    lead(m, start, MINUS, sign);
    lead(m, start, 0, zero);
    lead(m, sign, 0, zero);
    lead(m, zero, POINT, points);
    for (uint32_t digit = 0; digit < 10; digit++) {
        if (digit > 0) lead(m, start, (int)digit, whole + digit % n);
        if (digit > 0) lead(m, sign, (int)digit, whole + digit % n);
        for (uint32_t r = 0; r < n; r++) {
            uint32_t next = (r * 10 + digit) % n;
            lead(m, whole + r, (int)digit, whole + next);
            lead(m, whole + r, POINT, points + r);
            for (uint32_t i = 0; i < places; i++)
                lead(m, points + i * n + r, (int)digit, points + (i + 1) * n + next);
        }
    }
    lead(m, points + places * n, 0, points + places * n);
    free(unit);
}

lull_status lull_number_multiple(lull_compiler *c, uint32_t schema, const lull_decimal *of,
                                 const lull_regular **out)
{
    char how[NAME_BYTES], digits[NAME_BYTES];
    if (of->is_negative || is_zero(of))
        return lull_schema_fail(c, LULL_EINVAL, schema, "multipleOf",
                                "a number above 0 is wanted here");
    decimal_text(of, digits, sizeof digits - 10);
    snprintf(how, sizeof how, "multiple %.*s", NAME_BYTES - 20, digits);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    size_t places = strlen(of->fraction), zeros = 0;
    snprintf(digits, sizeof digits, "%s%s", of->whole, of->fraction);
    for (size_t n = strlen(digits); places == 0 && n > 1 && digits[n - 1] == '0'; zeros++)
        digits[--n] = '\0';
    unsigned long long n =
        strlen(digits) > 15 + places ? MAX_REMAINDERS : strtoull(digits, NULL, 10);
    if (n * (zeros + places + 2) >= MAX_REMAINDERS)
        return lull_schema_refuse(c, schema, "multipleOf",
                                  "a number with fewer digits would do, such as 0.01 or 250");
    machine m = {0};
    if (places == 0) add_multiples(&m, (uint32_t)n, (uint32_t)zeros);
    if (places > 0) add_fractions(&m, (uint32_t)n, (uint32_t)places);
    return finish_machine(c, &m, how, out);
}

/* ---- numbers of a shape ---------------------------------------------------------------------- */

static bool is_any(const lull_numbers *n)
{
    return !n->list && !n->min && !n->max && !n->is_integer && !n->in;
}

static lull_status filter_list(lull_compiler *c, lull_numbers *n)
{
    lull_decimal *left = lull_schema_alloc(c, (n->n_list + 1) * sizeof *left);
    size_t n_left = 0;
    if (!left) return c->err->code;
    for (size_t i = 0; i < n->n_list; i++) {
        const lull_decimal *d = &n->list[i];
        char text[NAME_BYTES];
        int low = n->min ? lull_decimal_compare(d, n->min) : 1;
        int high = n->max ? lull_decimal_compare(d, n->max) : -1;
        bool is_low = low < 0 || (low == 0 && n->is_above),
             is_high = high > 0 || (high == 0 && n->is_below);
        bool is_in = !is_low && !is_high && (!n->is_integer || lull_decimal_is_integer(d));
        decimal_text(d, text, sizeof text);
        for (const lull_languages *l = n->in; l && is_in; l = l->next)
            is_in = lull_regular_matches(l->language, text, strlen(text));
        if (is_in) left[n_left++] = *d;
    }
    *n = (lull_numbers){.list = left, .n_list = n_left};
    return lull_schema_step(c, n_left);
}

lull_status lull_numbers_settle(lull_compiler *c, lull_numbers *n, bool *is_empty)
{
    lull_status st = LULL_OK;
    if (n->list) {
        if (n->min || n->max || n->in || n->is_integer) LULL_TRY(filter_list(c, n));
        *is_empty = n->n_list == 0;
        return LULL_OK;
    }
    int order = n->min && n->max ? lull_decimal_compare(n->min, n->max) : -1;
    *is_empty = order > 0 || (order == 0 && (n->is_above || n->is_below));
    if (*is_empty || (!n->min && !n->max && !n->in)) return LULL_OK;
    const lull_regular *all = NULL, *one;
    if (n->min) {
        LULL_TRY(related(c, n->min, n->is_above ? GREATER : GREATER | EQUAL, &all));
    }
    if (n->max) {
        LULL_TRY(related(c, n->max, n->is_below ? LESS : LESS | EQUAL, &one));
        LULL_TRY(lull_schema_both(c, all, one, &all));
    }
    if (n->is_integer) {
        LULL_TRY(lull_number_integer(c, &one));
        LULL_TRY(lull_schema_both(c, all, one, &all));
    }
    for (const lull_languages *l = n->in; l; l = l->next)
        LULL_TRY(lull_schema_both(c, all, l->language, &all));
    if (n->min || n->max || (n->in && n->in->next)) {
        *n = (lull_numbers){.is_integer = n->is_integer};
        LULL_TRY(lull_languages_add(c, &n->in, all, false));
    }
    *is_empty = lull_regular_is_empty(all);
done:
    return st;
}

/* The texts of one value: 1 and 1.0; of zero, those with a sign, too. At most 4. */
static lull_status spell(lull_compiler *c, const lull_decimal *d, lull_text *texts, size_t *n)
{
    char text[NAME_BYTES];
    for (int k = 0; k < 4; k++) {
        bool has_sign = k & 1, has_fraction = k & 2;
        if ((has_sign && !is_zero(d)) || (has_fraction && !lull_decimal_is_integer(d))) continue;
        decimal_text(d, text, sizeof text);
        size_t n_bytes = strlen(text) + has_sign + (has_fraction ? 2 : 0);
        char *out = lull_schema_alloc(c, n_bytes + 1);
        if (!out) return c->err->code;
        snprintf(out, n_bytes + 1, "%s%s%s", has_sign ? "-" : "", text, has_fraction ? ".0" : "");
        texts[(*n)++] = (lull_text){out, n_bytes};
    }
    return LULL_OK;
}

lull_status lull_decimal_write(lull_compiler *c, const lull_decimal *d, lull_expr *out)
{
    lull_text texts[4];
    size_t n = 0;
    lull_status st = spell(c, d, texts, &n);
    if (st != LULL_OK) return st;
    lull_texts_sort(texts, &n);
    return lull_texts_write(c, texts, n, out);
}

lull_status lull_numbers_write(lull_compiler *c, const lull_numbers *n, lull_expr *out)
{
    lull_status st = LULL_OK;
    const lull_regular *language, *texts;
    if (n->list) {
        lull_text *all = lull_schema_alloc(c, (4 * n->n_list + 1) * sizeof *all);
        size_t n_all = 0;
        if (!all) return c->err->code;
        for (size_t i = 0; i < n->n_list; i++) LULL_TRY(spell(c, &n->list[i], all, &n_all));
        lull_texts_sort(all, &n_all);
        return lull_texts_write(c, all, n_all, out);
    }
    if (is_any(n)) {
        *out = c->any_number;
        return LULL_OK;
    }
    LULL_TRY(lull_schema_whole(c, INTEGER_TEXT, &texts));
    language = n->in ? n->in->language : texts;
    if (n->in && n->is_integer) LULL_TRY(lull_schema_both(c, language, texts, &language));
    *out = n->in ? lull_expr_language(c->g, language, false) : c->any_integer;
done:
    return st;
}
