/* Regular languages: patterns by hand, the laws of sets on random languages, the form of what comes
 * out, bounds, and memory that runs out. test_regular [--seed N]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "buffer.h"
#include "clock.h"
#include "regular.h"

static uint64_t seed;

static lull_regular *parse_n(const char *pattern, size_t n, bool is_whole)
{
    lull_regular *r;
    lull_error err = {0};
    if (lull_regular_parse(pattern, n, is_whole, &r, &err) != LULL_OK)
        fail_msg("'%s': %s", pattern, err.msg);
    return r;
}

static lull_regular *parse(const char *pattern)
{
    return parse_n(pattern, strlen(pattern), false);
}

static bool matches(const lull_regular *r, const char *text)
{
    return lull_regular_matches(r, text, strlen(text));
}

/* ---- the form of what comes out -------------------------------------------------------------- */

static uint32_t step(const lull_regular *r, uint32_t state, uint32_t c)
{
    size_t n;
    const lull_regular_edge *e = lull_regular_edges(r, state, &n);
    for (size_t i = 0; i < n; i++)
        if (e[i].chars.first <= c && c <= e[i].chars.last) return e[i].to;
    return UINT32_MAX;
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

/* Do states a and b lead to states that differ with a character at or beside the end of an edge of
 * a? */
static bool is_seen_to_differ(const lull_regular *r, uint32_t a, uint32_t b, const bool *differ)
{
    size_t n = lull_regular_n_states(r), n_edges;
    const lull_regular_edge *e = lull_regular_edges(r, a, &n_edges);
    for (size_t i = 0; i < n_edges; i++) {
        uint32_t first = e[i].chars.first, last = e[i].chars.last;
        uint32_t chars[] = {first, last, first == 0xe000 ? 0xd7ff : first - 1,
                            last == 0xd7ff ? 0xe000 : last + 1};
        for (int k = 0; k < 4; k++) {
            if (chars[k] > 0x10ffff) continue;
            uint32_t to_a = step(r, a, chars[k]), to_b = step(r, b, chars[k]);
            if ((to_a == UINT32_MAX) != (to_b == UINT32_MAX)) return true;
            if (to_a != UINT32_MAX && differ[to_a * n + to_b]) return true;
        }
    }
    return false;
}

/* Are no two states alike? By marking pairs until nothing changes: nothing of what dfa.c does. */
static bool is_minimal(const lull_regular *r)
{
    uint32_t n = (uint32_t)lull_regular_n_states(r);
    bool *differ = calloc((size_t)n * n, 1), is_so = true;
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            differ[a * n + b] = lull_regular_is_final(r, a) != lull_regular_is_final(r, b);
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (uint32_t a = 0; a < n; a++)
            for (uint32_t b = 0; b < n; b++) {
                if (differ[a * n + b] || !is_seen_to_differ(r, a, b, differ)) continue;
                differ[a * n + b] = differ[b * n + a] = has_changed = true;
            }
    }
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < a; b++) is_so = is_so && differ[a * n + b];
    free(differ);
    return is_so;
}

static void check_form(const lull_regular *r)
{
    size_t n = lull_regular_n_states(r), n_found = 0;
    assert_true(n >= 1 && n <= LULL_REGULAR_MAX_STATES);
    bool *is_alive = calloc(n, 1);
    uint32_t next = 1; /* the states are numbered as a walk by breadth finds them */
    for (size_t s = 0; s < n; s++) {
        size_t n_edges;
        const lull_regular_edge *e = lull_regular_edges(r, s, &n_edges);
        for (size_t i = 0; i < n_edges; i++) {
            assert_true(e[i].chars.first <= e[i].chars.last && e[i].chars.last <= 0x10ffff);
            assert_true(!is_surrogate(e[i].chars.first) && !is_surrogate(e[i].chars.last));
            assert_true(i == 0 || e[i - 1].chars.last < e[i].chars.first);
            assert_true(i == 0 || e[i - 1].to != e[i].to ||
                        e[i - 1].chars.last + 1 < e[i].chars.first);
            assert_true(e[i].to <= next && e[i].to < n);
            if (e[i].to == next) next++;
        }
        assert_true(s == 0 || s < next);
    }
    assert_int_equal(next, n);
    for (size_t s = 0; s < n; s++) n_found += is_alive[s] = lull_regular_is_final(r, s);
    for (size_t before = n_found + 1; before != n_found;) {
        before = n_found;
        for (size_t s = n; s-- > 0;) {
            size_t n_edges;
            const lull_regular_edge *e = lull_regular_edges(r, s, &n_edges);
            for (size_t i = 0; i < n_edges && !is_alive[s]; i++)
                if (is_alive[e[i].to]) n_found += is_alive[s] = true;
        }
    }
    if (n > 1 || !lull_regular_is_empty(r)) assert_int_equal(n_found, n);
    free(is_alive);
    if (n <= 60) assert_true(is_minimal(r));
}

/* Equal languages have equal automata. */
static bool is_equal(const lull_regular *a, const lull_regular *b)
{
    size_t n = lull_regular_n_states(a);
    if (n != lull_regular_n_states(b)) return false;
    for (size_t s = 0; s < n; s++) {
        size_t n_a, n_b;
        const lull_regular_edge *ea = lull_regular_edges(a, s, &n_a);
        const lull_regular_edge *eb = lull_regular_edges(b, s, &n_b);
        if (lull_regular_is_final(a, s) != lull_regular_is_final(b, s) || n_a != n_b ||
            (n_a && memcmp(ea, eb, n_a * sizeof *ea)))
            return false;
    }
    return true;
}

/* ---- patterns by hand ------------------------------------------------------------------------ */

typedef struct example {
    const char *pattern;
    bool is_whole;
    const char *in[8], *out[8]; /* up to a NULL */
} example;

static const example examples[] = {
    {"abc", false, {"abc", "xabcx"}, {"", "ab", "acb"}},
    {"abc", true, {"abc"}, {"", "xabc", "abcx"}},
    {"", false, {"", "x", "\n"}, {NULL}},
    {"", true, {""}, {"x"}},
    {"^a|b$|^c$", false, {"a", "ax", "xb", "b", "c"}, {"xa", "bx", "cx", "xc", ""}},
    {"(^|-)x(-|$)", false, {"x", "a-x", "x-a", "a-x-b"}, {"ax", "xa", "-"}},
    {"x^", false, {NULL}, {"x", "", "xx"}},
    {"$x", false, {NULL}, {"x", ""}},
    {"$^", false, {""}, {"x"}},
    {"^$", false, {""}, {"\n"}}, /* no lines: a text */
    {"^(a$)?", false, {"", "a", "b"}, {NULL}},
    {"(a|^b)+$", false, {"a", "b", "xa", "ba"}, {"cb", ""}},
    {"a*", true, {"", "a", "aaa"}, {"b", "ab"}},
    {"a+?b??", true, {"a", "ab", "aab"}, {"", "b", "abb"}},
    {"(ab){2}", true, {"abab"}, {"ab", "ababab", ""}},
    {"(ab){2,}", true, {"abab", "ababab"}, {"ab", ""}},
    {"(ab){1,2}?", true, {"ab", "abab"}, {"", "ababab"}},
    {"(ab){0}", true, {""}, {"ab"}},
    {"a{02}", true, {"aa"}, {"a"}},
    {"(a{2}){3}", true, {"aaaaaa"}, {"aaaaa", "aaaaaaa", "aaaa"}},
    {"(a{2,3}){2}", true, {"aaaa", "aaaaa", "aaaaaa"}, {"aaa", "aaaaaaa"}},
    {"(a{1,2}){2,3}", true, {"aa", "aaaaaa"}, {"a", "aaaaaaa", ""}},
    {"(a?){2}", true, {"", "a", "aa"}, {"aaa"}},
    {"(a*){2,3}b", true, {"b", "aaaaaaab"}, {"a"}},
    {"()*|(|){3}", true, {""}, {"a"}},
    {"a||b", true, {"", "a", "b"}, {"ab"}},
    {"[a-cx]", true, {"a", "b", "c", "x"}, {"d", "-", "ab"}},
    {"[^a-c]", true, {"d", "\n", "\u65e5", "\U0001f600"}, {"a", "b", ""}},
    {"[]", false, {NULL}, {"", "a", "]"}},
    {"[^]", true, {"a", "\n", "\U0010ffff"}, {"", "aa"}},
    {"[-a]", true, {"-", "a"}, {"b"}},
    {"[a-]", true, {"-", "a"}, {"b"}},
    {"[\\w-.]", true, {"-", "a", "_", "."}, {"/", " "}},
    {"[+--]", true, {"+", ",", "-"}, {".", "*"}},
    {"[.-\\d]", true, {"-", ".", "7"}, {"/"}},
    {"[\\]\\\\^]", true, {"]", "\\", "^"}, {"["}},
    {"[\\b\\-\\x41]", true, {"\b", "-", "A"}, {"b"}},
    {"[[]", true, {"["}, {"]"}},
    {".", true, {"a", "\t", "\xc2\x85", "\U0001f600"}, {"\n", "\r", "\u2028", "\u2029", ""}},
    {"\\d\\D", true, {"0x", "9\u0663"}, {"\u0663x", "00"}},
    {"\\w\\W", true, {"_-", "z\u00e9"}, {"\u00e9-", "aa"}},
    {"\\s", true, {" ", "\v", "\u00a0", "\ufeff", "\u3000", "\u1680"}, {"\xc2\x85", "\u180e"}},
    {"\\S", true, {"a", "\xc2\x85", "\u180e", "\u200b"}, {" ", "\ufeff", "\u2029"}},
    {"\\t\\n\\v\\f\\r\\cA\\cz", true, {"\t\n\v\f\r\x01\x1a"}, {"tnvfrAz"}},
    {"\\x41\\u0042\\u{43}\\u{000044}", true, {"ABCD"}, {"x41"}},
    {"\\ud83d\\ude00", true, {"\U0001f600"}, {"\ufffd"}},
    {"[\\ud83d\\ude00-\\u{1F602}]", true, {"\U0001f600", "\U0001f601"}, {"\U0001f603"}},
    {"\\ud83dx|a", true, {"a"}, {"x", "\U0001f600"}},
    {"\\^\\$\\\\\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\/\\-\\_\\@",
     true,
     {"^$\\.*+?()[]{}|/-_@"},
     {"x"}},
    {"{\"a\": [0-9]+}]", true, {"{\"a\": 12}]"}, {"{}"}},
    {"a{b}{x", true, {"a{b}{x"}, {"ab"}},
    {"(?:a|(?<name>b))c", true, {"ac", "bc"}, {"c"}},
    {"\u65e5+\U0001f600", true, {"\u65e5\u65e5\U0001f600"}, {"\u65e5", "\U0001f600"}},
    {"\\p{Lu}\\p{Ll}+", true, {"\u0416\u00e9a", "Ab"}, {"ab", "A", "AB"}},
    {"\\p{L}\\P{L}", true, {"\u65e51", "a-"}, {"1a", "aa"}},
    {"[\\p{Letter}\\p{gc=Nd}]+", true, {"\u65e5\u0663a1"}, {"-", "\u2167"}},
    {"[^\\p{L}\\P{N}]", true, {"1", "\u00b2"}, {"a", "-"}},
    {"\\p{Script=Greek}", true, {"\u03b1"}, {"a", "\u0416"}},
    {"\\p{sc=Cyrillic}|\\p{Han}", true, {"\u0416", "\u65e5"}, {"a", "\u03b1"}},
    {"\\p{Any}", true, {"a", "\U0010ffff"}, {""}},
    {"\\p{ASCII}", true, {"a", "\x7f"}, {"\xc2\x80"}},
    {"\\p{LC}\\p{Cased_Letter}", true, {"aA", "\u01c5a"}, {"\u65e5a"}},
    {"\\p{Cs}", true, {NULL}, {"a"}},
    {"^\\d{4}-\\d{2}-\\d{2}$", false, {"2024-12-31"}, {"2024-12-3", "x2024-12-31", "2024-12-31\n"}},
    {"^[\\w-\\.]+@([\\w-]+\\.)+[\\w-]{2,4}$", false, {"a.b@c.de"}, {"a@b", "@c.de"}},
    {"^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$", false, {"555-1212", "(888)555-1212"}, {"(888)-1"}},
};

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const example *e = &examples[i];
        lull_regular *r = parse_n(e->pattern, strlen(e->pattern), e->is_whole);
        check_form(r);
        for (int k = 0; e->in[k]; k++)
            if (!matches(r, e->in[k])) fail_msg("'%s' misses '%s'", e->pattern, e->in[k]);
        for (int k = 0; e->out[k]; k++)
            if (matches(r, e->out[k])) fail_msg("'%s' takes '%s'", e->pattern, e->out[k]);
        lull_regular_free(r);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    lull_regular *r = parse_n("a\0\\0[\\0]b", 9, true);
    assert_true(lull_regular_matches(r, "a\0\0\0b", 5));
    assert_false(lull_regular_matches(r, "a\0\0b", 4));
    lull_regular_free(r);
    r = parse("[^]*");
    assert_int_equal(lull_regular_n_states(r), 1);
    static const char *const damaged[] = {"\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                          "\xc0\x80"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        assert_false(matches(r, damaged[i]));
    lull_regular_free(r);
}

/* Texts have no surrogates, so that what only they could match is nothing. */
static void test_surrogates(void **state)
{
    (void)state;
    static const char *const nothing[] = {"^[\\ud800-\\udfff]", "a\\udc00", "x\\p{Cs}", "[]", "$x"};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        lull_regular *r = parse(nothing[i]), *others;
        assert_true(lull_regular_is_empty(r));
        assert_int_equal(lull_regular_n_states(r), 1);
        assert_int_equal(lull_regular_complement(r, &others, NULL), LULL_OK);
        check_form(others);
        assert_int_equal(lull_regular_n_states(others), 1);
        assert_true(matches(others, "") && matches(others, "ab"));
        lull_regular_free(others);
        lull_regular_free(r);
    }
    lull_regular *r = parse_n("[\\ud7ff-\\ue000]", 15, true);
    size_t n;
    const lull_regular_edge *e = lull_regular_edges(r, 0, &n);
    assert_int_equal(n, 1);
    assert_true(e->chars.first == 0xd7ff && e->chars.last == 0xe000);
    lull_regular_free(r);
}

/* Sizes that are known: the classic automata, one state a character. */
static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t n_states;
    } sizes[] = {
        {"^(a|b)*abb$", 4},       {"^(0|(1(01*(00)*0)*1)*)*$", 3},
        {"^.{0,5000}$", 5001},    {"^[01]*1[01]{9}$", 1024},
        {".{0,5000}", 1},         {"((a|aa)+)+$", 2},
        {"^((a|aa)+)+$", 2},      {"^(a{1,100}){1,100}$", 10001},
        {"^.{5,19000}$", 19001},  {"^(?:ab?){0,3}$", 7},
        {"^\\p{L}{3,900}$", 901}, {"^(abc|abd|xbc|xbd)$", 4},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lull_regular *r = parse(sizes[i].pattern);
        if (lull_regular_n_states(r) != sizes[i].n_states)
            fail_msg("'%s' has %zu states, not %zu", sizes[i].pattern, lull_regular_n_states(r),
                     sizes[i].n_states);
        check_form(r);
        lull_regular_free(r);
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void check_refused(const char *pattern, lull_status code, const char *what, int offset)
{
    lull_regular *r = (lull_regular *)&r;
    lull_error err = {0};
    char where[64] = "";
    if (offset >= 0) snprintf(where, sizeof where, "at offset %d of the pattern", offset);
    lull_status st = lull_regular_parse(pattern, strlen(pattern), false, &r, &err);
    if (st != code || err.code != code || r || !strstr(err.msg, what) || !strstr(err.msg, where))
        fail_msg("'%.60s': %s: %s", pattern, lull_status_name(st), err.msg);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        lull_status code;
        const char *what;
        int offset;
    } refused[] = {
        {"a(b", LULL_EINVAL, "without its ')'", 1},
        {"ab)", LULL_EINVAL, "without its '('", 2},
        {"a[b", LULL_EINVAL, "without its ']'", 1},
        {"[a\\]", LULL_EINVAL, "without its ']'", 0},
        {"a\\", LULL_EINVAL, "backslash", 1},
        {"*a", LULL_EINVAL, "nothing to repeat", 0},
        {"a|+", LULL_EINVAL, "nothing to repeat", 2},
        {"a**", LULL_EINVAL, "nothing to repeat", 2},
        {"a++", LULL_EINVAL, "nothing to repeat", 2},
        {"^*", LULL_EINVAL, "nothing to repeat", 1},
        {"({2})", LULL_EINVAL, "nothing to repeat", 1},
        {"a{2}{3}", LULL_EINVAL, "nothing to repeat", 4},
        {"ab{3,2}", LULL_EINVAL, "most is less", 2},
        {"ab{,2}", LULL_EINVAL, "without a number", 2},
        {"x[z-a]", LULL_EINVAL, "ends before it begins", 2},
        {"\\x4", LULL_EINVAL, "two hexadecimal", 0},
        {"a\\u12g4", LULL_EINVAL, "four hexadecimal", 1},
        {"\\u{110000}", LULL_EINVAL, "up to 10FFFF", 0},
        {"\\u{}", LULL_EINVAL, "up to 10FFFF", 0},
        {"\\u{12", LULL_EINVAL, "up to 10FFFF", 0},
        {"\\c1", LULL_EINVAL, "takes a letter", 0},
        {"\\01", LULL_EINVAL, "octal", 0},
        {"x\\Ay", LULL_EINVAL, "does not know", 1},
        {"\\\u00e9", LULL_EINVAL, "needs none", 0},
        {"[\\B]", LULL_EINVAL, "word boundary", 1},
        {"(?<1>a)", LULL_EINVAL, "group name", 0},
        {"(?<a", LULL_EINVAL, "group name", 0},
        {"(?P<a>b)", LULL_EINVAL, "kind of group", 0},
        {"(?>a)", LULL_EINVAL, "kind of group", 0},
        {"\xff", LULL_EINVAL, "not UTF-8", 0},
        {"ab\xc3", LULL_EINVAL, "not UTF-8", 2},
        {"\\p{L", LULL_EINVAL, "\\p without", 0},
        {"\\pL", LULL_EINVAL, "\\p without", 0},
        {"a\\b", LULL_EUNSUPPORTED, "word boundary", 1},
        {"\\B", LULL_EUNSUPPORTED, "word boundary", 0},
        {"(a)\\1", LULL_EUNSUPPORTED, "back reference", 3},
        {"(?<a>a)\\k<a>", LULL_EUNSUPPORTED, "back reference", 7},
        {"a(?=b)", LULL_EUNSUPPORTED, "look-ahead", 1},
        {"a(?!b)", LULL_EUNSUPPORTED, "look-ahead", 1},
        {"(?<=b)a", LULL_EUNSUPPORTED, "look-behind", 0},
        {"(?<!b)a", LULL_EUNSUPPORTED, "look-behind", 0},
        {"(?i)a", LULL_EUNSUPPORTED, "flags", 0},
        {"(?-i:a)", LULL_EUNSUPPORTED, "flags", 0},
        {"a\\p{Nope}", LULL_EUNSUPPORTED, "\\p{Nope} at offset 1", 1},
        {"\\p{Script=}", LULL_EUNSUPPORTED, "\\p{Script=}", 0},
        {"\\p{Script=Nope}", LULL_EUNSUPPORTED, "\\p{Script=Nope}", 0},
        {"\\p{=L}", LULL_EUNSUPPORTED, "\\p{=L}", 0},
        {"\\p{}", LULL_EUNSUPPORTED, "\\p{}", 0},
        {"\\p{L}\\p{L]}", LULL_EUNSUPPORTED, "\\p{L]}", 5},
        {"\\p{Xan}", LULL_EUNSUPPORTED, "\\p{Xan}", 0},
        {"\\p{^L}", LULL_EUNSUPPORTED, "\\p{^L}", 0},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        check_refused(refused[i].pattern, refused[i].code, refused[i].what, refused[i].offset);
}

/* Patterns of bad will end soon, and say why. */
static void test_hostile(void **state)
{
    (void)state;
    static const char *const hostile[] = {
        "(a{1000}){1000}",
        "((((a{0,100}b){0,100}c){0,100}d){0,100}e){0,100}",
        "[01]*1[01]{30}",
        "a.{0,5000}b",
        "^(a?b?){0,5000}$",
        "^(a{0,5000}b?){3}$",
        "a{4294967295}",
        "a{99999999999999999999}",
        "((a{65535}){65535}){65535}",
        "^.{20001}$",
        "^\\p{L}{1,3000}$",
        "(x[01]{0,200}|y[12]{0,200}|[012]{3,}){200}$",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        double start = lull_clock_ms();
        check_refused(hostile[i], LULL_EFULL, "", -1);
        double ms = lull_clock_ms() - start;
        printf("%6.1f ms  %s\n", ms, hostile[i]);
        assert_true(ms < 2000); /* with a sanitizer on a busy machine; 0.1 s is meant */
    }
    lull_buffer b = {0};
    for (int i = 0; i < 100000; i++) lull_buffer_append_str(&b, "(");
    check_refused(b.data, LULL_EFULL, "nested too deeply", 200);
    lull_buffer_clear(&b);
    for (int i = 0; i < 50000; i++) lull_buffer_append_str(&b, "\\p{L}");
    check_refused(b.data, LULL_EFULL, "too large", -1);
    lull_buffer_clear(&b);
    lull_buffer_append_str(&b, "[");
    for (int i = 0; i < 50000; i++) lull_buffer_append_str(&b, "\\P{L}");
    check_refused(b.data, LULL_EINVAL, "without its ']'", 0);
    lull_buffer_append_str(&b, "]");
    lull_regular *r = parse(b.data);
    assert_true(matches(r, "1") && !matches(r, "a"));
    lull_regular_free(r);
    for (int i = 0; i < 5000; i++) lull_buffer_append_str(&b, "aaa");
    check_refused(b.data, LULL_EFULL, "more than", -1); /* bytes */
    lull_buffer_fini(&b);
}

/* ---- the other ways to make one -------------------------------------------------------------- */

static void test_literal(void **state)
{
    (void)state;
    lull_regular *r;
    lull_error err = {0};
    assert_int_equal(lull_regular_literal("a\0\u65e5.", 6, &r, &err), LULL_OK);
    check_form(r);
    assert_true(lull_regular_matches(r, "a\0\u65e5.", 6));
    assert_false(lull_regular_matches(r, "a\0\u65e5x", 6));
    assert_false(lull_regular_matches(r, "a", 1));
    lull_regular_free(r);
    assert_int_equal(lull_regular_literal("", 0, &r, &err), LULL_OK);
    assert_true(matches(r, "") && !matches(r, "a") && !lull_regular_is_empty(r));
    lull_regular_free(r);
    assert_int_equal(lull_regular_literal("ab\xff", 3, &r, &err), LULL_EINVAL);
    assert_true(!r && strstr(err.msg, "byte 2"));
    char *text = malloc(LULL_REGULAR_MAX_STATES);
    memset(text, 'x', LULL_REGULAR_MAX_STATES);
    assert_int_equal(lull_regular_literal(text, LULL_REGULAR_MAX_STATES, &r, &err), LULL_EFULL);
    assert_int_equal(lull_regular_literal(text, LULL_REGULAR_MAX_STATES - 1, &r, &err), LULL_OK);
    lull_regular_free(r);
    free(text);
}

static void test_length(void **state)
{
    (void)state;
    static const struct {
        uint32_t min, max;
        size_t n_states;
    } lengths[] = {{0, 0, 1},
                   {0, 3, 4},
                   {2, 3, 4},
                   {3, 3, 4},
                   {3, 2, 1},
                   {0, LULL_REGULAR_ANY, 1},
                   {3, LULL_REGULAR_ANY, 4},
                   {0, 19999, 20000}};
    static const char *const texts[] = {"", "\u65e5", "\n\U0001f600", "abc", "abcd", "abcde"};
    lull_regular *r;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint32_t min = lengths[i].min, max = lengths[i].max;
        assert_int_equal(lull_regular_length(min, max, &r, NULL), LULL_OK);
        check_form(r);
        assert_int_equal(lull_regular_n_states(r), lengths[i].n_states);
        assert_int_equal(lull_regular_is_empty(r), min > max);
        for (uint32_t k = 0; k < 6; k++)
            assert_int_equal(matches(r, texts[k]), min <= k && k <= max);
        lull_regular_free(r);
    }
    assert_int_equal(lull_regular_length(0, 20000, &r, NULL), LULL_EFULL);
    assert_int_equal(lull_regular_length(0, LULL_REGULAR_ANY - 1, &r, NULL), LULL_EFULL);
    assert_int_equal(lull_regular_length(LULL_REGULAR_ANY, LULL_REGULAR_ANY, &r, NULL), LULL_EFULL);
}

/* Two automata side by side may need more states than are allowed, and are refused soon. */
static void test_large_pairs(void **state)
{
    (void)state;
    lull_regular *a = parse("^(x{500})*$"), *b = parse("^(x{499})*$"), *r;
    double start = lull_clock_ms();
    assert_int_equal(lull_regular_intersect(a, b, &r, NULL), LULL_EFULL);
    assert_int_equal(lull_regular_union(a, b, &r, NULL), LULL_EFULL);
    assert_true(!r && lull_clock_ms() - start < 4000);
    lull_regular_free(b);
    b = parse("^.{0,15000}$");
    assert_int_equal(lull_regular_intersect(a, b, &r, NULL), LULL_OK);
    check_form(r);
    assert_int_equal(lull_regular_n_states(r), 15001);
    lull_regular_free(r);
    lull_regular_free(a);
    lull_regular_free(b);
}

/* ---- laws, on random languages --------------------------------------------------------------- */

static uint32_t draw(uint64_t *r, uint32_t n) /* splitmix64 */
{
    uint64_t z = *r += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

static void draw_pattern(uint64_t *r, lull_buffer *b, int depth)
{
    static const char *const atoms[] = {
        "a", "b", "c", "[ab]", "[^a]", ".", "[b-z]", "\u65e5", "$", "\\w", "[\u0400-\u7fff]", "^"};
    static const char *const counts[] = {"",  "",    "",      "*",     "+",
                                         "?", "{2}", "{1,3}", "{0,2}", "{2,}"};
    uint32_t n_parts = 1 + draw(r, 4);
    for (uint32_t i = 0; i < n_parts; i++) {
        uint32_t kind = draw(r, 14);
        if (kind > 0 && i > 0 && draw(r, 5) == 0) lull_buffer_append_str(b, "|");
        if (kind >= 12 && depth > 0) {
            lull_buffer_append_str(b, "(");
            draw_pattern(r, b, depth - 1);
            lull_buffer_append_str(b, ")");
        } else {
            const char *atom = atoms[draw(r, kind == 0 ? 12 : 8)];
            lull_buffer_append_str(b, atom);
            if (*atom == '^' || *atom == '$') continue;
        }
        lull_buffer_append_str(b, counts[draw(r, 10)]);
    }
}

/* A language of at most 1000 states. */
static lull_regular *draw_language(uint64_t *r, lull_buffer *pattern)
{
    for (;;) {
        lull_buffer_clear(pattern);
        draw_pattern(r, pattern, 3);
        lull_regular *a;
        lull_status st = lull_regular_parse(pattern->data, pattern->n_bytes, draw(r, 2), &a, NULL);
        if (st == LULL_OK && lull_regular_n_states(a) <= 1000) return a;
        if (st != LULL_OK && st != LULL_EFULL) fail_msg("'%s' is refused", pattern->data);
        lull_regular_free(a);
    }
}

static size_t draw_text(uint64_t *r, char *text)
{
    static const char *const chars[] = {"a", "b", "c", "z", "\n", "\u65e5", "\u0400", "-"};
    size_t n = 0;
    for (uint32_t i = draw(r, 9); i > 0; i--) {
        const char *c = chars[draw(r, 8)];
        memcpy(text + n, c, strlen(c));
        n += strlen(c);
    }
    return n;
}

static lull_regular *negate(const lull_regular *a)
{
    lull_regular *r;
    assert_int_equal(lull_regular_complement(a, &r, NULL), LULL_OK);
    return r;
}

static lull_regular *unite(const lull_regular *a, const lull_regular *b)
{
    lull_regular *r;
    assert_int_equal(lull_regular_union(a, b, &r, NULL), LULL_OK);
    return r;
}

static lull_regular *meet(const lull_regular *a, const lull_regular *b)
{
    lull_regular *r;
    assert_int_equal(lull_regular_intersect(a, b, &r, NULL), LULL_OK);
    return r;
}

enum { N_LANGUAGES = 250, N_TEXTS = 60 };

static void test_laws(void **state)
{
    (void)state;
    uint64_t r = seed;
    lull_buffer pattern = {0};
    size_t n_in = 0, n_asked = 0;
    for (int i = 0; i < N_LANGUAGES; i++) {
        lull_regular *a = draw_language(&r, &pattern), *b = draw_language(&r, &pattern);
        lull_regular *not_a = negate(a), *not_b = negate(b), *again = negate(not_a);
        lull_regular *both = meet(a, b), *either = unite(a, b), *neither = negate(either);
        lull_regular *other_neither = meet(not_a, not_b), *nothing = meet(a, not_a);
        lull_regular *all = unite(not_b, b), *absorbed = unite(a, both);
        lull_regular *made[] = {a,      b,       not_a,         not_b,   again, both,
                                either, neither, other_neither, nothing, all,   absorbed};
        for (size_t k = 0; k < sizeof made / sizeof *made; k++) check_form(made[k]);
        bool is_law = is_equal(a, again) && is_equal(neither, other_neither) &&
                      is_equal(a, absorbed) && lull_regular_is_empty(nothing) &&
                      lull_regular_n_states(all) == 1;
        for (int k = 0; k < N_TEXTS; k++) {
            char text[64];
            size_t n = draw_text(&r, text);
            bool in_a = lull_regular_matches(a, text, n), in_b = lull_regular_matches(b, text, n);
            n_asked++;
            n_in += in_a;
            is_law = is_law && lull_regular_matches(not_a, text, n) == !in_a &&
                     lull_regular_matches(both, text, n) == (in_a && in_b) &&
                     lull_regular_matches(either, text, n) == (in_a || in_b) &&
                     lull_regular_matches(all, text, n);
        }
        for (size_t k = 0; k < sizeof made / sizeof *made; k++) lull_regular_free(made[k]);
        if (!is_law) fail_msg("language %d, --seed %llu", i, (unsigned long long)seed);
    }
    lull_buffer_fini(&pattern);
    assert_true(n_in > n_asked / 20 && n_in < n_asked / 20 * 19);
}

/* ---- memory that runs out -------------------------------------------------------------------- */

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const patterns[] = {"^(ab|\\p{Greek}c){2,5}[^x]$", "[^\\p{Lu}\\d]{100}"};
    lull_regular *r, *a = parse("a{300}"), *b = parse("^.{0,200}$");
    for (int kind = 0; kind < 6; kind++) {
        long n = 0;
        for (bool is_done = false; !is_done; n++) {
            lull_error err = {0};
            lull_status st;
            fail_request(n);
            switch (kind) {
            case 0: st = lull_regular_intersect(a, b, &r, &err); break;
            case 1: st = lull_regular_complement(a, &r, &err); break;
            case 2: st = lull_regular_literal("abcdefghijklmnopq", 17, &r, &err); break;
            case 3: st = lull_regular_length(3, 70, &r, &err); break;
            default:
                st = lull_regular_parse(patterns[kind - 4], strlen(patterns[kind - 4]), false, &r,
                                        &err);
            }
            is_done = !has_failed();
            fail_request(-1);
            assert_int_equal(st, is_done ? LULL_OK : LULL_ENOMEM);
            assert_true(is_done ? r != NULL : r == NULL && err.code == LULL_ENOMEM);
            lull_regular_free(r);
        }
        assert_true(n > 5);
    }
    lull_regular_free(a);
    lull_regular_free(b);
    lull_regular_free(NULL);
}

int main(int argc, char **argv)
{
    seed = (uint64_t)lull_clock_ns();
    if (argc == 3 && !strcmp(argv[1], "--seed")) seed = strtoull(argv[2], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),    cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_surrogates),  cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_literal),     cmocka_unit_test(test_length),
        cmocka_unit_test(test_large_pairs), cmocka_unit_test(test_laws),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
