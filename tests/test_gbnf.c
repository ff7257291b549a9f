/* The parser of GBNF, by what it asks of the builder of grammars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../src/mask/gbnf.h"
#include "alloc_wrap.h"
#include "expr_record.h"

static void check_text(const char *text, size_t n, const char *expected)
{
    lull_grammar *g = record_reset();
    lull_error err = {0};
    lull_expr start;
    if (lull_gbnf_parse(text, n, g, &start, &err) != LULL_OK) fail_msg("%s: %s", text, err.msg);
    record_check_whole(g, start);
    lull_buffer b = {0};
    record_write(g, start, &b);
    lull_buffer_append_str(&b, ": ");
    record_write_rules(g, &b);
    if (strcmp(b.data, expected)) fail_msg("%s\n   is %s\n  not %s", text, b.data, expected);
    lull_buffer_fini(&b);
}

/* What comes of a grammar: the start, then the rules in the order in which they were met. */
static const char *const examples[][2] = {
    {"root ::= \"a\"", "R0: R0 = \"a\""},
    {"root::=\"a\" \"b\"\n", "R0: R0 = (\"a\" \"b\")"},
    {"root ::= \"a\" | \"b\" \"c\"", "R0: R0 = (\"a\" | (\"b\" \"c\"))"},
    {"root ::= | \"a\" |", "R0: R0 = (empty | \"a\" | empty)"},
    {"root ::=", "R0: R0 = empty"},
    {"root ::= \"\"", "R0: R0 = \"\""},
    {"root ::= ()", "R0: R0 = empty"},
    {"root ::= (\"a\")", "R0: R0 = \"a\""},
    {"root ::= \"ab\"*", "R0: R0 = \"ab\"{0,}"},
    {"root ::= \"a\"+ \"b\" ? [c]{2} [d]{ 2 , } [e]{2,3}{4}",
     "R0: R0 = (\"a\"{1,} \"b\"{0,1} [63-63]{2,2} [64-64]{2,} [65-65]{2,3}{4,4})"},
    {"root ::= [d]{0,2147483646}", "R0: R0 = [64-64]{0,2147483646}"},
    {"root ::= (\"a\" | b-2)+ b-2\nb-2 ::= root?", "R0: R0 = ((\"a\" | R1){1,} R1); R1 = R0{0,1}"},
    {"x ::= \"x\"\nroot ::= x", "R1: R0 = \"x\"; R1 = R0"},
    {"_A-1 ::= \"x\"\nroot ::= _A-1", "R1: R0 = \"x\"; R1 = R0"},
    {"root ::= [a-cx]", "R0: R0 = [61-63 78-78]"},
    {"root ::= [^a-c]", "R0: R0 = [0-60 64-10ffff]"},
    {"root ::= [cba]", "R0: R0 = [61-63]"},
    {"root ::= [-a-]", "R0: R0 = [2d-2d 61-61]"},
    {"root ::= [a\\-c]", "R0: R0 = [2d-2d 61-61 63-63]"},
    {"root ::= [\\]\\[\\\\\"]", "R0: R0 = [22-22 5b-5d]"},
    {"root ::= [] [^]", "R0: R0 = ([] [0-10ffff])"},
    {"root ::= .", "R0: R0 = [0-10ffff]"},
    {"root ::= [\\x00-\\x1F\\u00e9\\U0001F600]", "R0: R0 = [0-1f e9-e9 1f600-1f600]"},
    {"root ::= [\u3041-\u309f]", "R0: R0 = [3041-309f]"},
    {"root ::= \"\\n\\r\\t\\\\\\\"\\[\\]\\-\"", "R0: R0 = \"\\0a\\0d\\09\\\\22[]-\""},
    {"root ::= \"\\x41\\xe9\\u65e5\\U0001F600\"",
     "R0: R0 = \"A\\c3\\a9\\e6\\97\\a5\\f0\\9f\\98\\80\""},
    {"root ::= \"\u65e5 #'\"", "R0: R0 = \"\\e6\\97\\a5 #'\""},
    {"# first\n\n  root ::= \"a\" # of root\n# last", "R0: R0 = \"a\""},
    {"root ::= \"a\" |\n  \"b\"\r\nx ::= \"c\"\r", "R0: R0 = (\"a\" | \"b\"); R1 = \"c\""},
    {"root ::=\n  \"a\"\nx ::= root", "R0: R0 = \"a\"; R1 = R0"},
    {"root ::= ( # a comment\n  \"a\"\n  | \"b\" \n *\n)\tx\nx ::= \"c\"",
     "R0: R0 = ((\"a\" | \"b\"{0,}) R1); R1 = \"c\""},
    {"root ::= ((\"a\") | ([b] (\"c\"))+)*", "R0: R0 = (\"a\" | ([62-62] \"c\"){1,}){0,}"},
};

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        check_text(examples[i][0], strlen(examples[i][0]), examples[i][1]);
    check_text("root ::= \"\0\" [\0]\n", 17, "R0: R0 = (\"\\00\" [0-0])");
}

static void test_many_rules(void **state)
{
    (void)state;
    lull_buffer text = {0}, expected = {0};
    enum { N = 3000 };
    lull_buffer_append_str(&expected, "R3000: ");
    for (int i = 0; i < N; i++) {
        lull_buffer_printf(&text, "rule%d ::= rule%d\n", i, i + 1 < N ? i + 1 : 0);
        lull_buffer_printf(&expected, "R%d = R%d; ", i, i + 1 < N ? i + 1 : 0);
    }
    lull_buffer_append_str(&text, "root ::= rule17");
    lull_buffer_append_str(&expected, "R3000 = R17");
    check_text(text.data, text.n_bytes, expected.data);
    lull_buffer_fini(&text);
    lull_buffer_fini(&expected);
}

static void check_refused(const char *text, size_t n, lull_status code, const char *what)
{
    lull_error err = {0};
    lull_expr start;
    lull_status st = lull_gbnf_parse(text, n, record_reset(), &start, &err);
    if (st != code || err.code != code || !strstr(err.msg, what))
        fail_msg("%.80s: %s: %s", text, lull_status_name(st), err.msg);
    assert_int_equal(lull_gbnf_parse(text, n, record_reset(), &start, NULL), code);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } refused[] = {
        {"", "line 1, column 1: no rule root"},
        {"a ::= \"b\"\n\n", "line 3, column 1: no rule root"},
        {"root ::= a\n  | b", "line 2, column 3: the name of a rule"},
        {"root ::= a b\na ::= \"a\"", "line 1, column 12: no rule b is defined"},
        {"root ::= \"a\"\r\n root ::= \"b\"", "line 2, column 2: rule root is defined twice"},
        {"root ::= \"\u65e5\" )", "line 1, column 14: a ')' without"},
        {"root ::= (\"a\"\n", "line 1, column 10: a group without"},
        {"root ::= [a\n", "line 1, column 10: a class without"},
        {"root ::= [a\\]", "line 1, column 10: a class without"},
        {"root ::= \"a\n\nb", "line 1, column 10: a literal without"},
        {"root ::= \"a\\", "line 1, column 12: an unknown escape"},
        {"root ::= \"\\q\"", "line 1, column 11: an unknown escape"},
        {"root ::= \"\\x4\"", "line 1, column 11: \\x takes 2"},
        {"root ::= [\\u12G4]", "line 1, column 11: \\x takes 2"},
        {"root ::= [\\U00110000]", "line 1, column 11: the last character"},
        {"root ::= [\\UFFFFFFFF]", "line 1, column 11: the last character"},
        {"root ::= \"\\ud800\"", "line 1, column 11: a surrogate"},
        {"root ::= \"a\xff\"", "line 1, column 12: not UTF-8"},
        {"root ::= [\xc3]", "line 1, column 11: not UTF-8"},
        {"root ::= [z-a]", "line 1, column 11: a range that ends"},
        {"root ::= *", "line 1, column 10: nothing to repeat"},
        {"root ::= \"a\" | +", "line 1, column 16: nothing to repeat"},
        {"root ::= \"a\"{3,2}", "line 1, column 13: a count whose most"},
        {"root ::= \"a\"{,2}", "line 1, column 14: a number is expected"},
        {"root ::= \"a\"{2", "line 1, column 13: a count without"},
        {"root ::= \"a\"{2147483647}", "line 1, column 14: too large a count"},
        {"root ::= \"a\"{99999999999999999999}", "line 1, column 14: too large a count"},
        {"root \"a\"", "line 1, column 6: '::=' is expected"},
        {"root :: = \"a\"", "line 1, column 6: '::=' is expected"},
        {"root ::= \"a\" ::= \"b\"", "line 1, column 14: the end of the rule"},
        {"root ::= 'a'", "line 1, column 10: the end of the rule"},
        {"\u65e5 ::= \"a\"", "line 1, column 1: the name of a rule"},
        {"root ::= \"a\"\n\"b\"", "line 2, column 1: the name of a rule"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        check_refused(refused[i].text, strlen(refused[i].text), LULL_EINVAL, refused[i].what);
    check_refused("root ::= \"a\" \0", 14, LULL_EINVAL, "line 1, column 14: the end of the rule");
    static const char *const tokens[] = {"root ::= <think>", "root ::= <[1000]>", "root ::= !<a>"};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        check_refused(tokens[i], strlen(tokens[i]), LULL_EUNSUPPORTED,
                      "line 1, column 10: tokens (<...>) are not supported");
    lull_buffer b = {0};
    lull_buffer_append_str(&b, "root ::= ");
    for (int i = 0; i < 200; i++) lull_buffer_append_str(&b, "(");
    check_refused(b.data, b.n_bytes, LULL_EINVAL, "column 209: a group without its ')'");
    for (int i = 0; i < 100000; i++) lull_buffer_append_str(&b, "(");
    check_refused(b.data, b.n_bytes, LULL_EFULL, "column 210: groups nested too deeply");
    lull_buffer_fini(&b);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] = "root ::= (\"abc\" | [^a-z0-9A-Z_ .;:!?,] | other)+ \"x\"\n"
                               "other ::= [\\n]{2} root";
    lull_expr start;
    long n = 0;
    for (bool is_done = false; !is_done; n++) {
        lull_error err = {0};
        fail_request(n);
        lull_status st = lull_gbnf_parse(text, sizeof text - 1, record_reset(), &start, &err);
        is_done = !has_failed();
        fail_request(-1);
        assert_int_equal(st, is_done ? LULL_OK : LULL_ENOMEM);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_many_rules),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
