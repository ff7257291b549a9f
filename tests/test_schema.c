/* Schemas as grammars: what is refused, with which words, and the bounds. What is accepted is
 * compared with jsonschema in schema_compare.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "matcher.h"
#include "schema.h"

static lull_status compile(const char *schema, lull_automaton **a, lull_grammar **g,
                           lull_error *err)
{
    lull_expr start = 0;
    *a = NULL;
    *g = lull_grammar_new();
    if (!*g) return lull_fail(err, LULL_ENOMEM, "no memory");
    lull_status st = lull_schema_compile(schema, strlen(schema), *g, &start, err);
    if (st == LULL_OK) st = lull_grammar_finish(*g, start, err);
    if (st == LULL_OK) st = lull_automaton_new(*g, a, err);
    return st;
}

static void assert_refused(const char *schema, lull_status wanted, const char *message)
{
    lull_error err = {0};
    lull_grammar *g;
    lull_automaton *a;
    lull_status st = compile(schema, &a, &g, &err);
    if (st != wanted || strcmp(err.msg, message) != 0)
        fail_msg("%s:\n%s \"%s\" instead of \"%s\"", schema, lull_status_name(st), err.msg,
                 message);
    assert_int_equal(err.code, wanted);
    lull_grammar_free(g);
}

/* yes and no: texts, each ended by a line end. */
static void assert_texts(const char *schema, const char *yes, const char *no)
{
    lull_error err = {0};
    lull_grammar *g;
    lull_automaton *a;
    if (compile(schema, &a, &g, &err) != LULL_OK) fail_msg("%s: %s", schema, err.msg);
    for (int wanted = 1; wanted >= 0; wanted--) {
        for (const char *text = wanted ? yes : no; *text;) {
            size_t n = strcspn(text, "\n");
            lull_place p;
            assert_int_equal(lull_automaton_step(a, lull_automaton_start(a), text, n, &p, &err),
                             LULL_OK);
            bool is_in = p != LULL_PLACE_DEAD && lull_automaton_is_complete(a, p);
            if (is_in != wanted)
                fail_msg("%s: %.*s is %staken", schema, (int)n, text, is_in ? "" : "not ");
            text += n + (text[n] == '\n');
        }
    }
    lull_automaton_free(a);
    lull_grammar_free(g);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("{\"properties\":{\"a\":{\"items\":{\"uniqueItems\":true}}}}", LULL_EUNSUPPORTED,
                   "the schema's \"/properties/a/items/uniqueItems\": \"uniqueItems\" cannot be "
                   "turned into a mask; "
                   "leave it out, or list what the items may be in an \"enum\"");
    assert_refused("{\"type\":\"object\",\"minProperties\":2}", LULL_EUNSUPPORTED,
                   "the schema's \"/minProperties\": \"minProperties\" cannot be turned into a "
                   "mask; 1 would do, "
                   "or \"additionalProperties\": false");
    assert_refused("{\"not\":{\"items\":{\"type\":\"string\"}}}", LULL_EUNSUPPORTED,
                   "the schema's \"/not/items\": the opposite of \"items\" cannot be turned into a "
                   "mask; \"not\", "
                   "\"if\" and \"oneOf\" whose branches may both hold ask for its opposite");
    assert_refused("{\"oneOf\":[{\"patternProperties\":{\"^a\":{\"type\":\"string\"}}},{\"type\":"
                   "\"object\"}]}",
                   LULL_EUNSUPPORTED,
                   "the schema's \"/oneOf/0/patternProperties\": the opposite of "
                   "\"patternProperties\" cannot be "
                   "turned into a mask; \"not\", \"if\" and \"oneOf\" whose branches may both hold "
                   "ask for its "
                   "opposite");
    assert_refused("{\"$ref\":\"other.json\"}", LULL_EUNSUPPORTED,
                   "the schema's \"/$ref\": \"other.json\" is another document; copy it under "
                   "\"$defs\" and refer "
                   "to #/$defs/…");
    assert_refused("{\"$dynamicRef\":\"#a\"}", LULL_EUNSUPPORTED,
                   "the schema's \"/$dynamicRef\": \"$dynamicRef\" cannot be turned into a mask; "
                   "write \"$ref\"");
    assert_refused("{\"items\":{\"$id\":\"x\",\"type\":\"string\"}}", LULL_EUNSUPPORTED,
                   "the schema's \"/items/$id\": \"$id\" cannot be turned into a mask; only the "
                   "whole schema may "
                   "have one: leave it out");
    assert_refused(
        "{\"anyOf\":[{\"properties\":{\"b\":true}}],\"unevaluatedProperties\":false}",
        LULL_EUNSUPPORTED,
        "the schema's \"/unevaluatedProperties\": \"unevaluatedProperties\" cannot be turned into "
        "a mask; "
        "beside \"anyOf\", \"oneOf\", \"if\", \"not\" and the like it depends on the value");
    assert_refused(
        "{\"dependencies\":{}}", LULL_EUNSUPPORTED,
        "the schema's \"/dependencies\": \"dependencies\" cannot be turned into a mask; write "
        "\"dependentRequired\" or \"dependentSchemas\"");
    assert_refused(
        "{\"format\":\"iri\"}", LULL_EUNSUPPORTED,
        "the schema's \"/format\": \"iri\" is not one of the formats known here (date, time, "
        "date-time, "
        "duration, uuid, email, uri, hostname, ipv4, ipv6, json-pointer); leave it out or write a "
        "\"pattern\"");
    assert_refused("{\"multipleOf\":0.123456789}", LULL_EUNSUPPORTED,
                   "the schema's \"/multipleOf\": \"multipleOf\" cannot be turned into a mask; a "
                   "number with fewer "
                   "digits would do, such as 0.01 or 250");
    assert_refused("{\"prefixItems\":[true],\"contains\":{\"const\":1}}", LULL_EUNSUPPORTED,
                   "the schema's \"/contains\": \"contains\" cannot be turned into a mask; it may "
                   "not stand with "
                   "\"prefixItems\", \"minItems\" or \"maxItems\"");
}

static void test_mistakes(void **state)
{
    (void)state;
    assert_refused("3", LULL_EINVAL,
                   "the schema: a schema is an object, true or false, and this is neither");
    assert_refused(
        "{\"properties\":{\"a/b~c\":[]}}", LULL_EINVAL,
        "the schema's \"/properties/a~1b~0c\": a schema is an object, true or false, and this is "
        "neither");
    assert_refused("{\"type\":\"text\"}", LULL_EINVAL,
                   "the schema's \"/type\": null, boolean, integer, number, string, array or "
                   "object, or a list of "
                   "them, is wanted here");
    assert_refused("{\"minLength\":-1}", LULL_EINVAL,
                   "the schema's \"/minLength\": a whole number, 0 or more, is wanted here");
    assert_refused("{\"items\":[{}]}", LULL_EINVAL,
                   "the schema's \"/items\": a schema (a list of them is called \"prefixItems\") "
                   "is wanted here");
    assert_refused("{\"exclusiveMinimum\":true}", LULL_EINVAL,
                   "the schema's \"/exclusiveMinimum\": a number (true and false were of draft 4) "
                   "is wanted here");
    assert_refused("{\"multipleOf\":0}", LULL_EINVAL,
                   "the schema's \"/multipleOf\": a number above 0 is wanted here");
    assert_refused("{\"$ref\":\"#/$defs/a\"}", LULL_EINVAL,
                   "the schema's \"/$ref\": there is nothing at \"#/$defs/a\"");
    assert_refused("{\"$ref\":\"#\"}", LULL_EINVAL,
                   "the schema: it is made of itself, by \"$ref\", without end");
    assert_refused("{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
                   "a\"},true]}},\"items\":{\"$ref\":\"#/$defs/a\"}}",
                   LULL_EINVAL,
                   "the schema's \"/$defs/a\": it is made of itself, by \"$ref\", without end");
    assert_refused("{\"anyOf\":[]}", LULL_EINVAL,
                   "the schema's \"/anyOf\": a list of schemas, one at least, is wanted here");
    assert_refused("false", LULL_EINVAL, "the schema: no JSON satisfies it");
    assert_refused("{\"type\":\"string\",\"const\":3}", LULL_EINVAL,
                   "the schema: no JSON satisfies it");
    assert_refused(
        "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"enum\":[]}}}",
        LULL_EINVAL, "the schema: no JSON satisfies it");
    assert_refused(
        "{\"maximum\":18446744073709551615}", LULL_EUNSUPPORTED,
        "the schema has a number beyond 64 bits (line 1, column 31); a smaller one would do");
    lull_error err;
    lull_grammar *g;
    lull_automaton *a;
    assert_int_equal(compile("{\"type\":", &a, &g, &err), LULL_EINVAL);
    assert_non_null(strstr(err.msg, "the schema is not JSON that can be read"));
    lull_grammar_free(g);
    assert_int_equal(compile("{\"pattern\":\"(a\"}", &a, &g, &err), LULL_EINVAL);
    assert_non_null(strstr(err.msg, "the schema's \"/pattern\": "));
    lull_grammar_free(g);
    assert_int_equal(compile("{\"pattern\":\"(?=a)b\"}", &a, &g, &err), LULL_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "the schema's \"/pattern\": "));
    lull_grammar_free(g);
}

/* How the texts are written; what is in the language otherwise, schema_compare.py asks. */
static void test_spelling(void **state)
{
    (void)state;
    assert_texts("{\"properties\":{\"a\":{\"type\":\"integer\"}}}",
                 "{}\n{\"a\":1}\n{\"a\": 1}\n{\"b\":[1, 2],\"a\":-0}\n{\"a\": 1.0, \"b\": null}\n",
                 "{ }\n{\"a\" :1}\n{\"a\":  1}\n{\"a\":1 }\n{\"a\":1,  "
                 "\"b\":2}\n{\"a\":1e0}\n{\"a\":1.00}\n{\"a\":01}\n"
                 "{\"a\":1,\"a\":1}\n\n");
    assert_texts("{\"type\":\"string\"}", "\"\"\n\"é\"\n\"\\n\\u0001\\\"\\\\/\"\n",
                 "\"\\u00e9\"\n\"\\/\"\n\"\\u000a\"\n\"\t\"\n\"a\nb\"\n");
    assert_texts("{\"type\":\"number\"}", "0\n-0.0\n1.50\n1e10\n2.5E-3\n", "+1\n.5\n1.\n00\n1e\n");
    assert_texts("{\"minimum\":0.1,\"maximum\":1000}", "0.1\n0.10\n1000\n999.999\n\"x\"\n",
                 "0.09\n0\n1000.1\n1e2\n-1\n");
    assert_texts("{\"minimum\":0}", "0\n-0\n-0.0\n7.5\n", "-0.1\n-1\n");
    assert_texts("{\"exclusiveMinimum\":0}", "0.01\n7\n", "0\n-0\n0.0\n");
    assert_texts("{\"enum\":[1.0,\"\\u0007\",{\"a\":[true]}]}",
                 "1\n1.0\n\"\\u0007\"\n{\"a\": [true]}\n",
                 "1.00\n{}\n{\"a\":[]}\n{\"a\":[true],\"b\":1}\n");
}

/* An object's members as far as they may repeat. */
static void test_members(void **state)
{
    (void)state;
    assert_texts("{\"type\":\"object\",\"required\":[\"a\"],\"minProperties\":2}",
                 "{\"b\":1,\"a\":1}\n{\"a\":1,\"b\":1}\n", "{\"a\":1}\n{\"b\":1,\"c\":1}\n");
    assert_texts("{\"type\":\"object\",\"propertyNames\":{\"enum\":[\"a\",\"b\",\"c\"]},"
                 "\"minProperties\":2}",
                 "{\"b\":1,\"a\":1}\n{\"c\":1, \"b\":{}, \"a\":1}\n",
                 "{\"a\":1}\n{\"a\":1,\"d\":1}\n{\"a\":1,\"a\":2}\n");
    assert_texts("{\"items\":{\"enum\":[1,10,100,\"1\"]},\"uniqueItems\":true,\"minItems\":2}",
                 "[1, 10]\n[100,10,1,\"1\"]\n[10,1.0]\n", "[1]\n[1,1.0]\n[10,100,10]\n");
}

/* Hostile schemas: an error, soon, and its message says what to do. */
static void assert_bounded(const char *what, const char *schema)
{
    lull_error err = {0};
    lull_grammar *g;
    lull_automaton *a;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    lull_status st = compile(schema, &a, &g, &err);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double ms = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    print_message("%s: %s in %.0f ms\n", what, st == LULL_OK ? "compiled" : err.msg, ms);
    assert_true(st == LULL_OK || st == LULL_EFULL || st == LULL_EINVAL);
    assert_true(ms < 3000); /* of a sanitizer build on a busy machine; some 100 otherwise */
    lull_automaton_free(a);
    lull_grammar_free(g);
}

/* front, then middle n times with its number for @, then end. */
static char *repeat(const char *front, const char *middle, size_t n, const char *end)
{
    size_t cap = strlen(front) + n * (strlen(middle) + 20) + strlen(end) + 1;
    char *out = malloc(cap), *to = out;
    assert_non_null(out);
    to += sprintf(to, "%s", front);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) *to++ = ',';
        for (const char *m = middle; *m; m++) {
            if (*m == '@')
                to += sprintf(to, "%zu", i);
            else
                *to++ = *m;
        }
    }
    sprintf(to, "%s", end);
    return out;
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *what, *front, *middle;
        size_t n;
        const char *end;
    } cases[] = {
        {"an enum of 10,000", "{\"enum\":[", "\"value-@\"", 10000, "]}"},
        {"not one of 5,000", "{\"type\":\"string\",\"not\":{\"enum\":[", "\"value-@\"", 5000,
         "]}}"},
        {"2,000 properties", "{\"properties\":{", "\"p@\":{\"type\":\"integer\"}", 2000, "}}"},
        {"a product of anyOf", "{\"allOf\":[",
         "{\"anyOf\":[{\"required\":[\"a@\"]},{\"required\":[\"b@\"]},{\"required\":[\"c@\"]}]}",
         30, "]}"},
        {"oneOf that overlap", "{\"oneOf\":[",
         "{\"properties\":{\"p@\":{\"type\":\"string\"}},\"required\":[\"q@\"]}", 30, "]}"},
        {"patterns that overlap", "{\"patternProperties\":{", "\"^.*a.{@}$\":{\"minLength\":@}", 40,
         "}}"},
        {"many conditions", "{\"allOf\":[",
         "{\"if\":{\"required\":[\"a@\"]},\"then\":{\"required\":[\"b@\"]}}", 60, "]}"},
        {"a chain of references", "{\"$ref\":\"#/$defs/d0\",\"$defs\":{",
         "\"d@\":{\"$ref\":\"#/$defs/d@0\"}", 100, "}}"},
        {"patterns with counts", "{\"allOf\":[", "{\"pattern\":\"^(a|b)*a(a|b){@}$\"}", 12, "]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *schema = repeat(cases[i].front, cases[i].middle, cases[i].n, cases[i].end);
        assert_bounded(cases[i].what, schema);
        free(schema);
    }
    char *deep = malloc(20 * 2000 + 10), *to = deep;
    assert_non_null(deep);
    for (int i = 0; i < 1500; i++) to += sprintf(to, "{\"items\":");
    to += sprintf(to, "true");
    for (int i = 0; i < 1500; i++) to += sprintf(to, "}");
    assert_bounded("1,500 levels of items", deep);
    to = deep;
    for (int i = 0; i < 1500; i++) to += sprintf(to, "{\"not\":");
    to += sprintf(to, "true");
    for (int i = 0; i < 1500; i++) to += sprintf(to, "}");
    assert_bounded("1,500 levels of not", deep);
    free(deep);
}

static void test_memory(void **state)
{
    (void)state;
    const char *schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"x\",\"xy\",3,[1]]"
                         "},\"b\":{\"type\":\"number\",\"minimum\":1,"
                         "\"multipleOf\":0.5},\"c\":{\"oneOf\":[{\"type\":\"string\",\"minLength\":"
                         "2},{\"pattern\":\"^q\"}]},"
                         "\"d\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}},"
                         "\"patternProperties\":{\"^e\":{\"format\":\"date\"}},"
                         "\"additionalProperties\":false,\"if\":{\"required\":[\"a\"]},\"then\":{"
                         "\"required\":[\"b\"]}}";
    bool is_done = false;
    for (long n = 0; !is_done; n++) {
        lull_error err = {0};
        lull_grammar *g;
        lull_automaton *a;
        fail_request(n);
        lull_status st = compile(schema, &a, &g, &err);
        is_done = !has_failed();
        fail_request(-1);
        assert_int_equal(st, is_done ? LULL_OK : LULL_ENOMEM);
        lull_automaton_free(a);
        lull_grammar_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_spelling), cmocka_unit_test(test_members),
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
