/* Grammars, automata and masks. Languages are small enough to be written out: the automaton accepts just
 * the texts that a plain enumeration of the expression gives, every place leads to an end, and a mask
 * has just the tokens that the automaton takes byte by byte. Random cases print their seed; a seed can be
 * given: test_mask SEED. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "mask.h"

static uint64_t seed;

static uint32_t draw(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

static lull_expr literal(lull_grammar *g, const char *text)
{
    return lull_expr_literal(g, text, strlen(text));
}

static lull_automaton *automaton_of(lull_grammar *g, lull_expr start)
{
    lull_error err = {0};
    lull_automaton *a = NULL;
    if (lull_grammar_finish(g, start, &err) || lull_automaton_new(g, &a, &err))
        fail_msg("%s", err.msg);
    return a;
}

/* 'y': accepted, 'p': a beginning of something, 'n': neither. */
static char ask(lull_automaton *a, const char *text)
{
    lull_place p;
    lull_error err = {0};
    if (lull_automaton_step(a, lull_automaton_start(a), text, strlen(text), &p, &err))
        fail_msg("%s", err.msg);
    return lull_automaton_is_complete(a, p) ? 'y' : p ? 'p' : 'n';
}

/* ---- by hand ----------------------------------------------------------------------------------- */

static void test_repeat(void **state)
{
    (void)state;
    lull_grammar *g = lull_grammar_new();
    lull_expr ab = literal(g, "ab");
    lull_expr parts[] = {literal(g, "<"), lull_expr_repeat(g, ab, 2, 1000000), literal(g, ">")};
    lull_automaton *a = automaton_of(g, lull_expr_sequence(g, parts, 3));
    assert_int_equal(ask(a, "<ab>"), 'n');
    assert_int_equal(ask(a, "<abab>"), 'y');
    assert_int_equal(ask(a, "<ababab>"), 'y');
    assert_int_equal(ask(a, "<ababa"), 'p');
    assert_int_equal(ask(a, "<ababa>"), 'n');
    lull_automaton_free(a);
    lull_grammar_free(g);
}

/* Characters are whole ones of UTF-8, without surrogates and overlong forms. */
static void test_chars(void **state)
{
    (void)state;
    lull_grammar *g = lull_grammar_new();
    lull_char_range any[] = {{0x20, 0x10FFFF}};
    lull_automaton *a = automaton_of(g, lull_expr_chars(g, any, 1));
    assert_int_equal(ask(a, "x"), 'y');
    assert_int_equal(ask(a, "\xC3\xA9"), 'y');
    assert_int_equal(ask(a, "\xE2\x82\xAC"), 'y');
    assert_int_equal(ask(a, "\xF0\x9F\x98\x80"), 'y');
    assert_int_equal(ask(a, "\xE2\x82"), 'p');
    assert_int_equal(ask(a, "\xC0\x80"), 'n');
    assert_int_equal(ask(a, "\xED\xA0\x80"), 'n');
    assert_int_equal(ask(a, "\xF4\x90\x80\x80"), 'n');
    assert_int_equal(ask(a, "\x1F"), 'n');
    lull_automaton_free(a);
    lull_grammar_free(g);
}

/* Every code point of a range, and none outside, for ranges whose ends lie anywhere. */
static void test_char_ranges(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        uint32_t most = (uint32_t[]){0x90, 0x900, 0x11000, 0x110000}[draw(4)];
        lull_char_range r = {draw(most), draw(most)};
        if (r.first > r.last) r = (lull_char_range){r.last, r.first};
        lull_grammar *g = lull_grammar_new();
        lull_expr e = lull_expr_chars(g, &r, 1);
        if (r.first >= 0xD800 && r.last < 0xE000) {
            lull_grammar_free(g);
            continue;
        }
        lull_automaton *a = automaton_of(g, e);
        for (int i = 0; i < 200; i++) {
            uint32_t c = i < 4   ? r.first + (uint32_t)i - 2
                         : i < 8 ? r.last + (uint32_t)i - 6
                                 : draw(most);
            if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) continue;
            char text[5] = {0};
            if (c < 0x80) {
                text[0] = (char)c;
            } else if (c < 0x800) {
                text[0] = (char)(0xC0 | c >> 6), text[1] = (char)(0x80 | (c & 63));
            } else if (c < 0x10000) {
                text[0] = (char)(0xE0 | c >> 12), text[1] = (char)(0x80 | (c >> 6 & 63));
                text[2] = (char)(0x80 | (c & 63));
            } else {
                text[0] = (char)(0xF0 | c >> 18), text[1] = (char)(0x80 | (c >> 12 & 63));
                text[2] = (char)(0x80 | (c >> 6 & 63)), text[3] = (char)(0x80 | (c & 63));
            }
            bool is_in = r.first <= c && c <= r.last;
            if ((ask(a, text) == 'y') != is_in)
                fail_msg("U+%04X is %sin %04X-%04X", c, is_in ? "" : "not ", r.first, r.last);
        }
        lull_automaton_free(a);
        lull_grammar_free(g);
    }
}

static void test_nested(void **state)
{
    (void)state;
    lull_grammar *g = lull_grammar_new();
    lull_expr value = lull_expr_rule(g);
    lull_expr more = lull_expr_sequence(g, (lull_expr[]){literal(g, ","), value}, 2);
    lull_expr list = lull_expr_sequence(
        g, (lull_expr[]){value, lull_expr_repeat(g, more, 0, LULL_UNBOUNDED)}, 2);
    lull_expr array = lull_expr_sequence(
        g, (lull_expr[]){literal(g, "["), lull_expr_repeat(g, list, 0, 1), literal(g, "]")}, 3);
    lull_expr_define(g, value, lull_expr_choice(g, (lull_expr[]){literal(g, "1"), array}, 2));
    lull_automaton *a = automaton_of(g, value);
    assert_int_equal(ask(a, "[]"), 'y');
    assert_int_equal(ask(a, "[[1,[]],1]"), 'y');
    assert_int_equal(ask(a, "[[1,[]]"), 'p');
    assert_int_equal(ask(a, "[1,]"), 'n');
    assert_int_equal(ask(a, "[]]"), 'n');
    /* Beyond the bound of depth there is an error, and the automaton goes on to be of use. */
    char deep[5000];
    memset(deep, '[', sizeof deep);
    lull_place p;
    lull_error err = {0};
    assert_int_equal(lull_automaton_step(a, lull_automaton_start(a), deep, sizeof deep, &p, &err),
                     LULL_EFULL);
    assert_int_equal(ask(a, "[[[1]]]"), 'y');
    lull_automaton_free(a);
    lull_grammar_free(g);
}

static void test_members(void **state)
{
    (void)state;
    lull_grammar *g = lull_grammar_new();
    lull_member members[] = {
        {literal(g, "a"), true}, {literal(g, "b"), false}, {literal(g, "c"), true}};
    lull_expr e =
        lull_expr_members(g, members, 3, lull_expr_never(g), literal(g, ","), 0, LULL_UNBOUNDED);
    lull_automaton *a = automaton_of(g, e);
    assert_int_equal(ask(a, "a,c"), 'y');
    assert_int_equal(ask(a, "c,b,a"), 'y');
    assert_int_equal(ask(a, "a,b"), 'p');
    assert_int_equal(ask(a, "a,a"), 'n');
    assert_int_equal(ask(a, "a,b,c,"), 'n');
    assert_int_equal(ask(a, ""), 'p');
    lull_automaton_free(a);
    lull_grammar_free(g);

    g = lull_grammar_new();
    for (int i = 0; i < 3; i++) members[i].text = literal(g, (const char *[]){"a", "b", "c"}[i]);
    e = lull_expr_members(g, members, 3, literal(g, "x"), literal(g, ","), 3, 4);
    a = automaton_of(g, e);
    assert_int_equal(ask(a, "a,c"), 'p');
    assert_int_equal(ask(a, "a,x,c"), 'y');
    assert_int_equal(ask(a, "x,x,a,c"), 'y');
    assert_int_equal(ask(a, "x,x,x"), 'n'); /* no room for what is required */
    assert_int_equal(ask(a, "x,x,a,b"), 'n');
    assert_int_equal(ask(a, "a,b,c,x"), 'y');
    assert_int_equal(ask(a, "a,b,c,x,"), 'n');
    lull_automaton_free(a);
    lull_grammar_free(g);
}

/* More than one word of them. */
static void test_many_members(void **state)
{
    (void)state;
    enum { N = 150 };
    char names[N][16], text[N * 16] = "";
    lull_member members[N];
    lull_grammar *g = lull_grammar_new();
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "k%d;", i);
        members[i] = (lull_member){literal(g, names[i]), i % 3 == 0};
    }
    lull_expr e =
        lull_expr_members(g, members, N, lull_expr_never(g), literal(g, ","), 0, LULL_UNBOUNDED);
    lull_automaton *a = automaton_of(g, e);
    for (int i = N; i-- > 0;) {
        assert_int_equal(ask(a, text), 'p');
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "",
                 names[i]);
    }
    assert_int_equal(ask(a, text), 'y');
    strcpy(strrchr(text, 'k'), "k149;");
    assert_int_equal(ask(a, text), 'n');
    lull_automaton_free(a);
    lull_grammar_free(g);
}

static void expect_refused(lull_grammar *g, lull_expr start, const char *part)
{
    lull_error err = {0};
    assert_int_equal(lull_grammar_finish(g, start, &err), LULL_EINVAL);
    if (!strstr(err.msg, part)) fail_msg("'%s' has no '%s'", err.msg, part);
    lull_grammar_free(g);
}

static void test_refused(void **state)
{
    (void)state;
    lull_grammar *g = lull_grammar_new();
    lull_expr rule = lull_expr_rule(g);
    expect_refused(g, rule, "not defined");

    g = lull_grammar_new();
    rule = lull_expr_rule(g);
    lull_expr blank = lull_expr_repeat(g, literal(g, " "), 0, LULL_UNBOUNDED);
    lull_expr again = lull_expr_sequence(g, (lull_expr[]){blank, rule, literal(g, "x")}, 3);
    lull_expr_define(g, rule, lull_expr_choice(g, (lull_expr[]){again, literal(g, "y")}, 2));
    expect_refused(g, rule, "begins with itself");

    g = lull_grammar_new();
    rule = lull_expr_rule(g);
    lull_expr_define(g, rule, lull_expr_sequence(g, (lull_expr[]){literal(g, "x"), rule}, 2));
    expect_refused(g, rule, "no text at all");
}

/* ---- against an enumeration --------------------------------------------------------------------- */

enum { LONGEST = 5, N_TEXTS = 364 }; /* of three letters: 1 + 3 + 9 + … + 243 */

typedef uint8_t language[N_TEXTS]; /* which of the texts are in it */

static size_t text_of(int index, char *out)
{
    size_t n = 0;
    for (int first = 0, count = 1;; first += count, count *= 3, n++)
        if (index < first + count) {
            index -= first;
            break;
        }
    for (size_t i = n; i-- > 0; index /= 3) out[i] = (char)('a' + index % 3);
    out[n] = 0;
    return n;
}

static int index_of(const char *text)
{
    int first = 0, count = 1, index = 0;
    for (; *text; text++, first += count, count *= 3) index = index * 3 + (*text - 'a');
    return first + index;
}

static void concatenate(const language a, const language b, language out)
{
    char x[2 * LONGEST + 1], y[LONGEST + 1];
    language result = {0};
    for (int i = 0; i < N_TEXTS; i++) {
        if (!a[i]) continue;
        size_t n = text_of(i, x);
        for (int k = 0; k < N_TEXTS; k++) {
            if (!b[k] || n + text_of(k, y) > LONGEST) continue;
            strcpy(x + n, y);
            result[index_of(x)] = 1;
        }
    }
    memcpy(out, result, sizeof result);
}

/* A random expression and, beside it, the texts of up to LONGEST letters that it has. */
static lull_expr make(lull_grammar *g, int depth, language out)
{
    memset(out, 0, N_TEXTS);
    language part[4];
    lull_expr e[4];
    uint32_t n = 1 + draw(3);
    switch (depth > 0 ? draw(8) : draw(2)) {
    case 0: {
        char text[LONGEST + 1];
        text_of((int)draw(13), text);
        out[index_of(text)] = 1;
        return literal(g, text);
    }
    case 1: {
        lull_char_range r = {'a' + draw(3), 'a' + draw(3)};
        for (uint32_t c = r.first; c <= r.last; c++) out[index_of((char[]){(char)c, 0})] = 1;
        return lull_expr_chars(g, &r, r.first <= r.last);
    }
    case 2:
    case 3:
        out[0] = 1;
        for (uint32_t i = 0; i < n; i++) {
            e[i] = make(g, depth - 1, part[i]);
            concatenate(out, part[i], out);
        }
        return lull_expr_sequence(g, e, n);
    case 4:
    case 5:
        for (uint32_t i = 0; i < n; i++) {
            e[i] = make(g, depth - 1, part[i]);
            for (int k = 0; k < N_TEXTS; k++) out[k] |= part[i][k];
        }
        return lull_expr_choice(g, e, n);
    case 6: {
        uint32_t min = draw(4), max = draw(3) ? min + draw(4) : LULL_UNBOUNDED;
        language power = {1};
        e[0] = make(g, depth - 1, part[0]);
        for (uint32_t i = 0; i <= (max < 12 ? max : 12); i++) {
            for (int k = 0; i >= min && k < N_TEXTS; k++) out[k] |= power[k];
            concatenate(power, part[0], power);
        }
        return lull_expr_repeat(g, e[0], min, max);
    }
    default: { /* two members, each at most once, with or without others */
        static const language separator = {[3] = 1}; /* "c" */
        bool has_others = draw(2), must[2] = {draw(2), draw(2)};
        uint32_t min = draw(3), max = draw(2) ? min + draw(3) : LULL_UNBOUNDED;
        language others = {0},
                 some[4][6] = {{{0}}}; /* by the members that are there, and the count */
        /* No member is the empty text: keys are not. */
        for (int i = 0; i < 2; i++) do
                e[i] = make(g, 0, part[i]);
            while (part[i][0]);
        e[2] = lull_expr_never(g);
        if (has_others) do
                e[2] = make(g, 0, others);
            while (others[0]);
        some[0][0][0] = 1;
        for (int count = 0; count < 5; count++)
            for (int have = 0; have < 4; have++)
                for (int add = 0; add < 3; add++) {
                    if (add < 2 && have >> add & 1) continue;
                    language t;
                    memcpy(t, some[have][count], sizeof t);
                    if (count > 0) concatenate(t, separator, t);
                    concatenate(t, add < 2 ? part[add] : others, t);
                    uint8_t *to = some[add < 2 ? have | 1 << add : have][count + 1];
                    for (int k = 0; k < N_TEXTS; k++) to[k] |= t[k];
                }
        for (int have = 0; have < 4; have++)
            for (uint32_t count = 0; count < 6; count++) {
                bool is_good = count >= min && count <= max && (!must[0] || have & 1) &&
                               (!must[1] || have & 2);
                for (int k = 0; is_good && k < N_TEXTS; k++) out[k] |= some[have][count][k];
            }
        lull_member m[] = {{e[0], must[0]}, {e[1], must[1]}};
        return lull_expr_members(g, m, 2, e[2], literal(g, "c"), min, max);
    }
    }
}

/* Whether an end can be reached from p: a walk in breadth over places. */
static bool reaches_end(lull_automaton *a, lull_place p)
{
    enum { MOST = 4000 };
    lull_place queue[MOST];
    int n = 1;
    queue[0] = p;
    for (int i = 0; i < n && n < MOST - 3; i++) {
        if (lull_automaton_is_complete(a, queue[i])) return true;
        for (char c = 'a'; c <= 'c'; c++) {
            lull_place to;
            if (lull_automaton_step(a, queue[i], &c, 1, &to, NULL)) return false;
            bool is_new = to != LULL_PLACE_DEAD;
            for (int k = 0; k < n; k++) is_new &= queue[k] != to;
            if (is_new) queue[n++] = to;
        }
    }
    return false;
}

static void test_random(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        uint64_t begun = seed;
        lull_grammar *g = lull_grammar_new();
        language want;
        lull_expr start = make(g, 3, want);
        lull_error err = {0};
        lull_automaton *a = NULL;
        lull_status st = lull_grammar_finish(g, start, &err);
        if (st == LULL_OK && lull_automaton_new(g, &a, &err)) fail_msg("%s", err.msg);
        for (int i = 0; i < N_TEXTS; i++) {
            char text[LONGEST + 1];
            text_of(i, text);
            char got = a ? ask(a, text) : 'n';
            if ((got == 'y') != want[i])
                fail_msg("seed %llu: '%s' is %sin the language", (unsigned long long)begun, text,
                         want[i] ? "" : "not ");
            lull_place p;
            if (got == 'p' && i < 13 &&
                lull_automaton_step(a, lull_automaton_start(a), text, strlen(text), &p, &err) ==
                    LULL_OK &&
                !reaches_end(a, p))
                fail_msg("seed %llu: behind '%s' there is no end", (unsigned long long)begun, text);
        }
        lull_automaton_free(a);
        lull_grammar_free(g);
    }
}

/* ---- masks ------------------------------------------------------------------------------------- */

enum { N_VOCAB = 5000 };
static char vocabulary[N_VOCAB][32];

static const char *vocabulary_text(const void *user, int32_t token, size_t *n_bytes)
{
    (void)user;
    *n_bytes = strlen(vocabulary[token]);
    return vocabulary[token];
}

static bool is_end(const void *user, int32_t token)
{
    (void)user;
    return token == N_VOCAB - 1;
}

/* Pieces of JSON and of UTF-8, whole and cut anywhere. */
static void make_vocabulary(void)
{
    static const char *pieces[] = {"a",
                                   "b",
                                   "Z",
                                   " ",
                                   "\"",
                                   "\\",
                                   "\\n",
                                   "\"}",
                                   "\":",
                                   ":",
                                   ",",
                                   "{",
                                   "}",
                                   "1",
                                   "20",
                                   "-",
                                   ".",
                                   "\xC3\xA9",
                                   "\xE2\x82\xAC",
                                   "\xF0\x9F\x98\x80",
                                   "\xE2",
                                   "\x82",
                                   "\xAC",
                                   "\xF0\x9F",
                                   "\xED\xA0\x80",
                                   "\xC3",
                                   "\x01",
                                   "\n",
                                   "\x7F",
                                   "true"};
    for (int i = 0; i < N_VOCAB; i++) {
        vocabulary[i][0] = 0;
        for (uint32_t n = i % 50 ? 1 + draw(5) : 0; n-- > 0;)
            strcat(vocabulary[i], pieces[draw(sizeof pieces / sizeof *pieces)]);
    }
}

static lull_expr json_string(lull_grammar *g, uint32_t min, uint32_t max)
{
    lull_char_range plain[] = {{' ', '!'}, {'#', '['}, {']', 0x10FFFF}};
    lull_expr escape = lull_expr_sequence(
        g,
        (lull_expr[]){literal(g, "\\"),
                      lull_expr_chars(g, (lull_char_range[]){{'n', 'n'}, {'"', '"'}}, 2)},
        2);
    lull_expr c = lull_expr_choice(g, (lull_expr[]){lull_expr_chars(g, plain, 3), escape}, 2);
    return lull_expr_sequence(
        g, (lull_expr[]){literal(g, "\""), lull_expr_repeat(g, c, min, max), literal(g, "\"")}, 3);
}

static void test_masks(void **state)
{
    (void)state;
    lull_trie *trie = NULL;
    lull_error err = {0};
    make_vocabulary();
    assert_int_equal(lull_trie_new(N_VOCAB, vocabulary_text, is_end, NULL, &trie, &err), LULL_OK);
    uint32_t bounds[][2] = {{0, LULL_UNBOUNDED}, {3, 7}, {0, 90}, {2, LULL_UNBOUNDED}, {0, 2}};
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        lull_grammar *g = lull_grammar_new();
        lull_expr string = json_string(g, bounds[b][0], bounds[b][1]);
        lull_expr pair = lull_expr_sequence(g, (lull_expr[]){string, literal(g, ":"), string}, 3);
        lull_expr more = lull_expr_sequence(g, (lull_expr[]){literal(g, ","), pair}, 2);
        lull_expr parts[] = {literal(g, "{"), pair, lull_expr_repeat(g, more, 0, LULL_UNBOUNDED),
                             literal(g, "}")};
        lull_masker *m = NULL;
        lull_automaton *a = automaton_of(g, lull_expr_sequence(g, parts, 4));
        if (lull_masker_new(g, trie, &m, &err)) fail_msg("%s", err.msg);
        for (int round = 0; round < 40; round++) {
            lull_place p = lull_automaton_start(a);
            lull_masker_restart(m);
            for (int step = 0; step < 30; step++) {
                lull_mask mask;
                assert_int_equal(lull_masker_mask(m, &mask, &err), LULL_OK);
                int32_t allowed[N_VOCAB];
                size_t n = 0;
                for (int32_t id = 0; id < N_VOCAB; id++) {
                    lull_place to;
                    size_t n_bytes = strlen(vocabulary[id]);
                    assert_int_equal(lull_automaton_step(a, p, vocabulary[id], n_bytes, &to, &err),
                                     0);
                    bool is_in = n_bytes > 0 && to != LULL_PLACE_DEAD;
                    if (is_end(NULL, id)) is_in = lull_automaton_is_complete(a, p);
                    if (lull_mask_has(&mask, id) != is_in)
                        fail_msg("token '%s' is %sallowed", vocabulary[id], is_in ? "" : "not ");
                    if (is_in) allowed[n++] = id;
                }
                assert_int_equal(mask.n, n);
                assert_true(n > 0);
                assert_true(!lull_masker_is_over(m) || n == 1);
                int32_t token = allowed[draw((uint32_t)n)];
                const char *text = vocabulary[token];
                if (is_end(NULL, token)) break;
                assert_int_equal(lull_masker_push(m, text, strlen(text), &err), LULL_OK);
                assert_int_equal(lull_automaton_step(a, p, text, strlen(text), &p, &err), LULL_OK);
                assert_int_equal(lull_masker_is_complete(m), lull_automaton_is_complete(a, p));
            }
        }
        lull_masker_free(m);
        lull_automaton_free(a);
        lull_grammar_free(g);
    }
    lull_trie_free(trie);
}

/* A text of more places than are kept: masks stay what they are. */
static void test_long_text(void **state)
{
    (void)state;
    enum { LONG = 30000 };
    lull_trie *trie = NULL;
    lull_masker *m = NULL;
    lull_grammar *g = lull_grammar_new();
    make_vocabulary();
    assert_int_equal(lull_trie_new(N_VOCAB, vocabulary_text, is_end, NULL, &trie, NULL), LULL_OK);
    lull_expr list = lull_expr_rule(g), string = json_string(g, LONG, LONG + 1);
    lull_expr nested =
        lull_expr_sequence(g, (lull_expr[]){literal(g, "["), list, literal(g, "]")}, 3);
    lull_expr_define(g, list, lull_expr_choice(g, (lull_expr[]){string, nested}, 2));
    assert_int_equal(lull_grammar_finish(g, list, NULL), LULL_OK);
    assert_int_equal(lull_masker_new(g, trie, &m, NULL), LULL_OK);
    lull_mask mask;
    assert_int_equal(lull_masker_push(m, "[[\"", 3, NULL), LULL_OK);
    for (int i = 0; i < LONG - 1; i++) {
        if (i % 8 == 0) assert_int_equal(lull_masker_mask(m, &mask, NULL), LULL_OK);
        assert_int_equal(lull_masker_push(m, i % 2 ? "a" : "\xC3\xA9", 1 + !(i % 2), NULL),
                         LULL_OK);
    }
    assert_int_equal(lull_masker_push(m, "\"", 1, NULL), LULL_EINVAL);
    assert_int_equal(lull_masker_push(m, "a", 1, NULL), LULL_OK);
    assert_int_equal(lull_masker_push(m, "b\"]", 3, NULL), LULL_OK);
    assert_false(lull_masker_is_complete(m));
    assert_int_equal(lull_masker_push(m, "]", 1, NULL), LULL_OK);
    assert_true(lull_masker_is_over(m));
    lull_masker_restart(m);
    assert_int_equal(lull_masker_push(m, "[\"", 2, NULL), LULL_OK);
    lull_masker_free(m);
    lull_grammar_free(g);
    lull_trie_free(trie);
}

static void test_forced(void **state)
{
    (void)state;
    lull_trie *trie = NULL;
    lull_masker *m = NULL;
    lull_grammar *g = lull_grammar_new();
    make_vocabulary();
    strcpy(vocabulary[1], "na");
    strcpy(vocabulary[2], "name\":1");
    assert_int_equal(lull_trie_new(N_VOCAB, vocabulary_text, is_end, NULL, &trie, NULL), LULL_OK);
    lull_expr digit = lull_expr_chars(g, &(lull_char_range){'0', '9'}, 1);
    lull_expr e = lull_expr_sequence(
        g,
        (lull_expr[]){literal(g, "{\"name\":"), lull_expr_repeat(g, digit, 1, 3), literal(g, "}")},
        3);
    assert_int_equal(lull_grammar_finish(g, e, NULL), LULL_OK);
    assert_int_equal(lull_masker_new(g, trie, &m, NULL), LULL_OK);
    char buf[64];
    size_t n;
    bool has_longer;
    assert_int_equal(lull_masker_forced(m, buf, sizeof buf, &n, NULL), LULL_OK);
    assert_int_equal(n, 8);
    assert_memory_equal(buf, "{\"name\":", 8);
    assert_int_equal(lull_masker_forced(m, buf, 3, &n, NULL), LULL_OK);
    assert_int_equal(n, 3);
    assert_int_equal(lull_masker_push(m, "{\"", 2, NULL), LULL_OK);
    assert_int_equal(lull_masker_has_longer(m, "name\":", 6, &has_longer, NULL), LULL_OK);
    assert_true(has_longer);
    assert_int_equal(lull_masker_has_longer(m, "name\":1", 7, &has_longer, NULL), LULL_OK);
    assert_false(has_longer);
    assert_int_equal(lull_masker_push(m, "x", 1, NULL), LULL_EINVAL);
    assert_int_equal(lull_masker_push(m, "name\":12", 8, NULL), LULL_OK);
    assert_int_equal(lull_masker_forced(m, buf, sizeof buf, &n, NULL), LULL_OK);
    assert_int_equal(n, 0);
    assert_int_equal(lull_masker_push(m, "3", 1, NULL), LULL_OK);
    assert_false(lull_masker_is_over(m));
    assert_int_equal(lull_masker_forced(m, buf, sizeof buf, &n, NULL), LULL_OK);
    assert_int_equal(n, 1);
    assert_int_equal(lull_masker_push(m, "}", 1, NULL), LULL_OK);
    assert_true(lull_masker_is_over(m));
    lull_masker_free(m);
    lull_grammar_free(g);
    lull_trie_free(trie);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL) * 2654435761u + 1;
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeat),      cmocka_unit_test(test_chars),
        cmocka_unit_test(test_char_ranges), cmocka_unit_test(test_nested),
        cmocka_unit_test(test_members),     cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_random),
        cmocka_unit_test(test_masks),       cmocka_unit_test(test_forced),
        cmocka_unit_test(test_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
