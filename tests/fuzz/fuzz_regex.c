/* Fuzz target: a pattern, and a text to match. The first byte of the input says how the pattern
 * matches and how long it is; what is behind it is the text. What comes out has the form that
 * regular.h tells, and the laws of sets hold for it and the text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "regular.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_form(const lull_regular *r)
{
    size_t n = lull_regular_n_states(r), next = 1;
    CHECK(n >= 1 && n <= LULL_REGULAR_MAX_STATES);
    for (size_t s = 0; s < n; s++) {
        size_t n_edges;
        const lull_regular_edge *e = lull_regular_edges(r, s, &n_edges);
        CHECK(s < next);
        CHECK(n_edges > 0 || lull_regular_is_final(r, s) || n == 1);
        for (size_t i = 0; i < n_edges; i++) {
            CHECK(e[i].chars.first <= e[i].chars.last && e[i].chars.last <= 0x10ffff);
            CHECK(e[i].chars.first < 0xd800 || e[i].chars.first > 0xdfff);
            CHECK(e[i].chars.last < 0xd800 || e[i].chars.last > 0xdfff);
            CHECK(i == 0 || e[i - 1].chars.last < e[i].chars.first);
            CHECK(e[i].to < n && e[i].to <= next);
            next += e[i].to == next;
        }
    }
    CHECK(next == n);
}

static bool is_equal(const lull_regular *a, const lull_regular *b)
{
    if (lull_regular_n_states(a) != lull_regular_n_states(b)) return false;
    for (size_t s = 0; s < lull_regular_n_states(a); s++) {
        size_t n_a, n_b;
        const lull_regular_edge *ea = lull_regular_edges(a, s, &n_a);
        const lull_regular_edge *eb = lull_regular_edges(b, s, &n_b);
        if (lull_regular_is_final(a, s) != lull_regular_is_final(b, s) || n_a != n_b ||
            (n_a && memcmp(ea, eb, n_a * sizeof *ea)))
            return false;
    }
    return true;
}

static bool is_utf8(const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        int length = lull_utf8_length((const uint8_t *)text + i, n - i);
        if (length <= 0) return false;
        i += (size_t)length;
    }
    return true;
}

/* The laws, on a language and the one text. */
static void check_laws(const lull_regular *a, const char *text, size_t n)
{
    lull_regular *outside, *again, *one, *both, *either;
    lull_error err = {0};
    bool is_text = is_utf8(text, n), is_in = lull_regular_matches(a, text, n);
    CHECK(is_text || !is_in);
    if (lull_regular_complement(a, &outside, &err) == LULL_OK) {
        check_form(outside);
        CHECK(lull_regular_matches(outside, text, n) == (is_text && !is_in));
        if (lull_regular_complement(outside, &again, &err) == LULL_OK) CHECK(is_equal(a, again));
        lull_regular_free(again);
    }
    lull_regular_free(outside);
    lull_status st = lull_regular_literal(text, n, &one, &err);
    CHECK(st == (is_text ? LULL_OK : LULL_EINVAL));
    if (st != LULL_OK) return;
    CHECK(lull_regular_intersect(a, one, &both, &err) == LULL_OK);
    CHECK(is_in ? is_equal(both, one) : lull_regular_is_empty(both));
    if (lull_regular_union(one, a, &either, &err) == LULL_OK) {
        check_form(either);
        CHECK(lull_regular_matches(either, text, n));
        CHECK(!is_in || is_equal(either, a));
    }
    lull_regular_free(one);
    lull_regular_free(both);
    lull_regular_free(either);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > 1000) return 0;
    bool is_whole = data[0] & 1;
    size_t n_pattern = data[0] >> 1;
    const char *pattern = (const char *)data + 1;
    if (n_pattern > n_bytes - 1) n_pattern = n_bytes - 1;
    lull_regular *a;
    lull_error err = {0};
    lull_status st = lull_regular_parse(pattern, n_pattern, is_whole, &a, &err);
    if (st == LULL_OK) {
        check_form(a);
        /* Large ones are slow to check with sanitizers. */
        if (lull_regular_n_states(a) <= 500)
            check_laws(a, pattern + n_pattern, n_bytes - 1 - n_pattern);
        lull_regular_free(a);
        return 0;
    }
    CHECK(a == NULL && err.code == st && err.msg[0]);
    CHECK(st == LULL_EINVAL || st == LULL_EUNSUPPORTED || st == LULL_EFULL);
    return 0;
}
