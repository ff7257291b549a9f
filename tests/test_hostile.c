/* Templates that mean harm: each must end, in an error or not, within a tenth of a second and 64 MiB.
 * Every one is rendered in a process of its own, whose time and memory are measured. A build with
 * sanitizers or without optimisation is slower, and is held to the ends alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jinja.h"
#include "sanitized.h"

#if IS_SANITIZED || !defined(__OPTIMIZE__)
#define IS_SLOW_BUILD true
#else
#define IS_SLOW_BUILD false
#endif

enum { MOST_MS = 100, MOST_KIB = 64 << 10, MOST_SECONDS = 60 };

/* head, then unit n times, then tail. */
typedef struct hostile {
    const char *name, *head, *unit;
    size_t n;
    const char *tail;
    bool may_end_well; /* small enough after all, on a good day */
} hostile;

#define NS "{% set ns = namespace(s='a', l=[1], d={}) %}"
/* ns.s of 2^n bytes, ns.l of 2^n items */
#define TWICE(n, text)                                                                             \
    NS "{% for i in range(" #n ") %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}" text
#define TWICE_LIST(n, text)                                                                        \
    NS "{% for i in range(" #n ") %}{% set ns.l = ns.l + ns.l %}{% endfor %}" text
#define OFTEN(text)                                                                                \
    "{% for i in range(99999) %}{% for j in range(99999) %}" text "{% endfor %}{% endfor %}"
#define PLAIN(name, text)                                                                          \
    {                                                                                              \
        name, text, "", 0, "", false                                                               \
    }
#define SMALL(name, text)                                                                          \
    {                                                                                              \
        name, text, "", 0, "", true                                                                \
    }

static const hostile all[] = {
    /* loops */
    PLAIN("nested loops", OFTEN("")),
    PLAIN("loops that write", OFTEN("x")),
    PLAIN("loops that set", OFTEN("{% set a = i %}")),
    PLAIN("loops that call", "{% macro m(a) %}{{ a }}{% endmacro %}" OFTEN("{% set b = m(i) %}")),
    PLAIN("loops with a filter", "{% for i in range(99999) if range(99999)|list %}{% endfor %}"),
    PLAIN("a long range", "{{ range(1000000000)|length }}"),
    PLAIN("a long range backwards", "{{ range(1000000000, -1000000000, -1)|length }}"),
    PLAIN("ranges", OFTEN("{% set a = range(99999) %}")),
    PLAIN("range of ranges", "{% for i in range(99999) %}{{ range(i)|sum }}{% endfor %}"),
    /* recursion */
    PLAIN("a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    PLAIN("a macro that calls itself twice",
          "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(25) }}"),
    PLAIN("two macros",
          "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}"),
    PLAIN("a caller",
          "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}"),
    PLAIN("a default", "{% macro m(a=m()) %}{% endmacro %}{{ m() }}"),
    PLAIN("a recursive loop", "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
    PLAIN("a wide recursive loop",
          "{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}"),
    PLAIN("a namespace in itself", NS "{% set ns.s = ns %}{{ ns }}"),
    PLAIN("a list in itself", NS "{% set ns.l = [ns] %}{{ ns.l }}{{ ns.l|string|length }}"),
    PLAIN("laughs",
          NS "{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}"),
    PLAIN("laughs as JSON",
          NS "{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}"),
    PLAIN("laughs compared",
          NS "{% set a = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] "
             "%}{% set a.l = [a.l, a.l] %}{% endfor %}{{ a.l == ns.l }}"),
    PLAIN("laughs as a key",
          NS "{% for i in range(60) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}{{ {ns.l: 1} }}"),
    PLAIN("laughs sorted",
          NS "{% set a = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] "
             "%}{% set a.l = [a.l, a.l] %}{% endfor %}{{ [ns.l, a.l]|sort|length }}"),
    /* text */
    PLAIN("doubling", TWICE(64, "")),
    PLAIN("doubling by +", NS "{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
    PLAIN("doubling by join",
          NS "{% for i in range(64) %}{% set ns.s = [ns.s, ns.s]|join %}{% endfor %}"),
    PLAIN("doubling by format",
          NS "{% for i in range(64) %}{% set ns.s = '%s%s'|format(ns.s, ns.s) %}{% endfor %}"),
    PLAIN("doubling by braces",
          NS "{% for i in range(64) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}"),
    PLAIN("doubling by replace",
          NS "{% for i in range(64) %}{% set ns.s = ns.s|replace('a', 'aa') %}{% endfor %}"),
    PLAIN("doubling by a block", NS "{% for i in range(64) %}{% set t %}{{ ns.s }}{{ ns.s }}{% "
                                    "endset %}{% set ns.s = t %}{% endfor %}"),
    PLAIN("doubling a list", TWICE_LIST(64, "")),
    PLAIN("doubling a list's text",
          TWICE_LIST(15, "{% for i in range(999) %}{% set ns.s = ns.l|string %}{% endfor %}")),
    PLAIN("'a' * 1e9", "{{ 'a' * 1000000000 }}"),
    PLAIN("1e9 * 'a'", "{{ (1000000000 * 'a')|length }}"),
    PLAIN("[1] * 1e9", "{{ ([1] * 1000000000)|length }}"),
    PLAIN("'' * 1e18",
          "{{ ('' * 1000000000000000000) ~ ([] * 1000000000000000000) ~ ('a' * 1000000000000) }}"),
    PLAIN("output", OFTEN("{{ 'a' * 100000 }}")),
    PLAIN("output in blocks", "{% set a %}" OFTEN("{{ 'a' * 100000 }}") "{% endset %}"),
    PLAIN("output in macros",
          "{% macro m() %}{{ 'a' * 100000 }}{% endmacro %}" OFTEN("{% set a = m() %}")),
    PLAIN("output that is filtered",
          "{% filter upper %}" OFTEN("{{ 'a' * 100000 }}") "{% endfilter %}"),
    PLAIN("a wide %d", "{{ '%999999999d'|format(1) }}"),
    PLAIN("a wide %s", "{{ '%999999999s'|format('a') }}"),
    PLAIN("many wide %d", OFTEN("{% set a = '%3999999d'|format(1) %}")),
    PLAIN("many wide %s", OFTEN("{% set a = '%3999999s'|format(1)|length %}")),
    PLAIN("a long %f", "{{ '%.999999999f'|format(1.5) }}"),
    PLAIN("a long %s", TWICE(20, OFTEN("{% set a = '%.1s'|format(ns.s) %}"))),
    PLAIN("long formats", TWICE(20, OFTEN("{% set a = ns.s|format() %}"))),
    PLAIN("long braces", TWICE(20, OFTEN("{% set a = ns.s.format(1) %}"))),
    PLAIN("braces with many names",
          NS "{% for i in range(3000) %}{% set ns.d = dict(ns.d, **{'k' ~ i: i}) %}{% endfor %}"),
    PLAIN("center", "{{ 'a'|center(1000000000) }}"),
    PLAIN("many centers", OFTEN("{% set a = 'a'|center(3999999)|length %}")),
    PLAIN("ljust", OFTEN("{% set a = 'a'.ljust(3999999) %}")),
    PLAIN("zfill", OFTEN("{% set a = 'a'.zfill(3999999) %}")),
    PLAIN("a wide indent", "{{ 'a\\nb'|indent(1000000000) }}"),
    PLAIN("indents", "{{ ('a\\n' * 50000)|indent(60000) }}"),
    PLAIN("indents of blank lines", OFTEN("{% set a = ('\\n' * 50000)|indent(6, true, true) %}")),
    PLAIN("JSON with a wide indent", "{{ [[[[[[[[[[1]]]]]]]]]]|tojson(indent=1000000000) }}"),
    PLAIN("JSON with wide indents",
          "{{ [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]|tojson(indent=3999999) }}"),
    PLAIN("JSON with a long indent",
          TWICE(22, "{{ [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]|tojson(indent=ns.s) }}")),
    PLAIN("JSON with long separators",
          TWICE(22, "{{ (range(99999)|list)|tojson(separators=(ns.s, ns.s)) }}")),
    PLAIN("JSON of long text", TWICE(20, OFTEN("{% set a = ns.s|tojson|length %}"))),
    PLAIN("repr of long text", TWICE(20, OFTEN("{% set a = [ns.s]|string|length %}"))),
    PLAIN("control characters as JSON", "{{ ('\\x01' * 4000000)|tojson|length }}"),
    PLAIN("join with a long separator", TWICE(20, "{{ range(99999)|join(ns.s) }}")),
    PLAIN("join of long texts", TWICE(20, "{{ ([ns.s] * 99999)|join }}")),
    PLAIN("replace of nothing", TWICE(20, "{{ ns.s|replace('', ns.s) }}")),
    PLAIN("replace by much", TWICE(20, "{{ ns.s|replace('a', ns.s) }}")),
    PLAIN("replaces", TWICE(20, OFTEN("{% set a = ns.s|replace('b', 'c') %}"))),
    PLAIN("replaces method", TWICE(20, OFTEN("{% set a = ns.s.replace('b', 'c') %}"))),
    PLAIN("count", TWICE(20, OFTEN("{% set a = ns.s.count('a') %}"))),
    PLAIN("count of nothing", TWICE(20, OFTEN("{% set a = ns.s.count('') %}"))),
    PLAIN("find", TWICE(20, OFTEN("{% set a = ns.s.find('b') %}"))),
    PLAIN("rfind", TWICE(20, OFTEN("{% set a = ns.s.rfind('b') %}"))),
    SMALL("rfind of much", TWICE(20, "{% set b = 'b' ~ ns.s[:500000] %}{{ ns.s.rfind(b) }}{{ (ns.s "
                                     "~ 'c').rfind(ns.s[:500000] ~ 'b') }}")),
    PLAIN("rsplit at much", TWICE(20, OFTEN("{% set a = ns.s.rsplit(ns.s[:500000] ~ 'b') %}"))),
    PLAIN("in", TWICE(20, OFTEN("{% set a = 'b' in ns.s %}"))),
    PLAIN("in, of much", TWICE(20, OFTEN("{% set a = ns.s[:500000] ~ 'b' in ns.s %}"))),
    PLAIN("strip of much",
          TWICE(20, "{% set b = ns.s|replace('a', 'b') %}{{ ns.s.strip(b ~ 'a') }}")),
    PLAIN("strip of much that is wide",
          "{% set a = 'é' * 300000 %}{{ a.strip('è' * 300000 ~ 'é') }}"),
    PLAIN("trim filter of much", "{% set a = 'é' * 300000 %}{{ a|trim('è' * 300000 ~ 'é') }}"),
    PLAIN("strips", "{% set a = ' ' * 1000000 %}" OFTEN("{% set b = a.strip() %}")),
    PLAIN("trims", "{% set a = ' ' * 1000000 %}" OFTEN("{% set b = a|trim %}")),
    PLAIN("split", TWICE(20, "{{ ns.s.split('a')|length }}")),
    PLAIN("splits", TWICE(20, OFTEN("{% set a = ns.s.split('b') %}"))),
    PLAIN("splits at blanks", TWICE(20, OFTEN("{% set a = ns.s.split() %}"))),
    PLAIN("splits of blanks", "{% set a = ' ' * 1000000 %}" OFTEN("{% set b = a.split() %}")),
    PLAIN("rsplits at blanks", TWICE(20, OFTEN("{% set a = ns.s.rsplit(none, 1) %}"))),
    PLAIN("splitlines", TWICE(20, OFTEN("{% set a = ns.s.splitlines() %}"))),
    PLAIN("partition", TWICE(20, OFTEN("{% set a = ns.s.partition('b') %}"))),
    PLAIN("rpartition", TWICE(20, OFTEN("{% set a = ns.s.rpartition('b') %}"))),
    PLAIN("startswith of many", TWICE(20, "{% set t = (ns.s ~ 'b',) * 9999 %}" OFTEN(
                                              "{% set a = (ns.s ~ 'c').startswith(t) %}"))),
    PLAIN("upper", TWICE(20, OFTEN("{% set a = ns.s|upper %}"))),
    PLAIN("title", TWICE(20, OFTEN("{% set a = ns.s|title|length %}"))),
    PLAIN("escape", TWICE(20, OFTEN("{% set a = ns.s|escape|length %}"))),
    PLAIN("escape of ampersands", "{{ ('&' * 4000000)|escape|length }}"),
    PLAIN("is upper", TWICE(20, OFTEN("{% set a = ns.s is lower %}"))),
    PLAIN("isalpha", TWICE(20, OFTEN("{% set a = ns.s.isalpha() %}"))),
    PLAIN("islower", TWICE(20, OFTEN("{% set a = ns.s.islower() %}"))),
    PLAIN("wordcount", TWICE(20, OFTEN("{% set a = ns.s|wordcount %}"))),
    PLAIN("length", TWICE(20, OFTEN("{% set a = ns.s|length %}"))),
    PLAIN("characters", TWICE(20, OFTEN("{% set a = ns.s[-1] %}"))),
    PLAIN("slices", TWICE(20, OFTEN("{% set a = ns.s[1:] %}"))),
    PLAIN("slices backwards", TWICE(20, OFTEN("{% set a = ns.s[::-1] %}"))),
    PLAIN("first", TWICE(20, OFTEN("{% set a = ns.s|first %}"))),
    PLAIN("int", TWICE(20, OFTEN("{% set a = ns.s|int %}"))),
    PLAIN("float", "{% set s = ' ' * 1000000 %}" OFTEN("{% set a = s|float %}")),
    PLAIN("comparing", TWICE(20, "{% set b = ns.s ~ 'b' %}{% set c = ns.s ~ 'c' %}" OFTEN(
                                     "{% set a = b == c %}"))),
    PLAIN("ordering", TWICE(20, "{% set b = ns.s ~ 'b' %}{% set c = ns.s ~ 'c' %}" OFTEN(
                                    "{% set a = b < c %}"))),
    PLAIN("long keys",
          TWICE(16, "{% for i in range(100) %}{% set ns.d = dict(ns.d, **{ns.s ~ (1000 + i): i}) "
                    "%}{% endfor %}" OFTEN("{% set a = ns.d[ns.s ~ 9999] %}"))),
    PLAIN("long keys in a test",
          TWICE(16, "{% set k = namespace(l=[]) %}{% for i in range(99) %}{% set k.l = k.l + [ns.s "
                    "~ (1000 + i)] %}{% endfor %}{% set n = ns.s ~ 9999 %}" OFTEN(
                        "{% set a = n in k.l %}"))),
    /* lists */
    PLAIN("sort", TWICE_LIST(17, "{{ ns.l|sort|length }}")),
    PLAIN("sorts", OFTEN("{% set a = range(9999)|sort(reverse=true) %}")),
    PLAIN("sort of long texts", TWICE(20, "{{ ([ns.s] * 9999)|sort|length }}")),
    PLAIN("sort of long texts as they are",
          TWICE(20, "{{ ([ns.s ~ 'b', ns.s ~ 'c'] * 9999)|sort(case_sensitive=true)|length }}")),
    PLAIN("unique", "{{ range(99999)|unique|list|length }}"),
    PLAIN("unique of long texts",
          TWICE(18,
                "{{ ([ns.s ~ 'b', ns.s ~ 'c'] * 9999)|unique(case_sensitive=true)|list|length }}")),
    PLAIN("groupby", "{{ range(99999)|map('string')|groupby(0)|length }}"),
    PLAIN("batch", "{{ range(99999)|batch(1000000, 1)|list|length }}"),
    PLAIN("batches", "{{ range(99999)|batch(1)|list|length }}" OFTEN(
                         "{% set a = [1]|batch(99999, 1)|list %}")),
    PLAIN("slice filter", "{{ [1]|slice(1000000000)|list|length }}"),
    PLAIN("max", TWICE(20, "{{ ([ns.s] * 9999)|max|length }}")),
    PLAIN("sum of lists", TWICE_LIST(15, "{{ ([ns.l] * 9999)|sum(start=[])|length }}")),
    PLAIN("sum of texts", TWICE(15, "{{ ([ns.s] * 9999)|sum(start='')|length }}")),
    PLAIN("map", OFTEN("{% set a = range(99999)|map('string')|list %}")),
    PLAIN("map of maps", "{{ "
                         "range(99999)|map('string')|map('list')|map('join')|map('upper')|map('"
                         "list')|list|length }}"),
    PLAIN("select in", "{% set l = range(99999)|list %}{{ l|select('in', l)|list|length }}"),
    PLAIN("list in", "{% set l = range(9999)|list %}" OFTEN("{% set a = -1 in l %}")),
    PLAIN("index", "{% set l = range(9999)|list %}" OFTEN("{% set a = l.count(-1) %}")),
    PLAIN("a large dict", "{% set ns = namespace() %}{% for i in range(99999) %}{% set ns.x = "
                          "dict([(i, i)] * 999) %}{% endfor %}"),
    PLAIN("dict of many", "{{ dict(range(99999)|map('string')|map('center', 2)|list)|length }}"),
    PLAIN("dict of pairs", "{{ dict(range(99999)|batch(2)|list)|length }}"),
    PLAIN("dicts copied",
          NS "{% for i in range(99999) %}{% set ns.d = dict(ns.d, **{i|string: i}) %}{% endfor %}"),
    PLAIN("arguments",
          "{% macro m() %}{{ varargs|length }}{% endmacro %}" OFTEN("{{ m(*range(99999)) }}")),
    PLAIN("arguments by name",
          NS "{% macro m() %}{{ kwargs|length }}{% endmacro %}{% for i in range(2000) %}{% set "
             "ns.d = dict(ns.d, **{'k' ~ i: i}) %}{{ m(**ns.d) }}{% endfor %}"),
    PLAIN("cycle", "{% for i in range(99999) %}{{ loop.cycle(*range(9999)) }}{% endfor %}"),
    PLAIN("changed",
          TWICE(20, "{% for i in range(99999) %}{{ loop.changed(ns.s ~ 'b') }}{% endfor %}")),
    PLAIN("power", OFTEN("{% set a = 1 ** 1000000000000 %}")),
    PLAIN("a float's power", OFTEN("{% set a = 1.0000001 ** 1000000000 %}")),
    PLAIN("a large power", "{{ 2 ** 1000000000 }}"),
    PLAIN("a large number", "{{ 9223372036854775807 + 1 }}{{ -9223372036854775808 // -1 }}"),
    PLAIN("attributes", TWICE(20, "{{ [{}]|map(attribute=ns.s|replace('a', 'a.'))|list }}")),
    PLAIN("errors with long texts", TWICE(20, "{{ raise_exception(ns.s) }}")),
    PLAIN("names with long texts", TWICE(20, "{{ {}[ns.s].x }}")),
    /* what takes the parser */
    {"parentheses", "{{ ", "(", 100000, "1", false},
    {"closed parentheses", "{{ ", "(", 150, "1))", false},
    {"brackets", "{{ ", "[", 100000, "", false},
    {"dicts", "{{ ", "{1:", 100000, "", false},
    {"nots", "{{ ", "not ", 100000, "1 }}", false},
    {"minuses", "{{ ", "-", 200000, "1 }}", false},
    {"powers", "{{ 1", "**1", 100000, " }}", false},
    {"sums", "{{ 1", "+1", 200000, " }}", false},
    {"sums in a macro", "{% macro m() %}{{ 1", "+1", 200000,
     " }}{{ varargs }}{% endmacro %}{{ m() }}", false},
    {"ands", "{{ 1", " and 1", 100000, " }}", false},
    {"ors", "{{ 0", " or 0", 100000, " }}", false},
    {"comparisons", "{{ 1", "==1", 200000, " }}", true},
    {"tildes", "{{ 1", "~1", 200000, " }}", true},
    {"attributes in a row", "{{ a", ".a", 200000, " }}", false},
    {"items in a row", "{{ a", "[0]", 200000, " }}", false},
    {"calls in a row", "{{ a", "()", 200000, " }}", false},
    {"filters in a row", "{{ 'a'", "|upper", 100000, " }}", false},
    {"tests in a row", "{{ 'a'", " is string", 80000, " }}", false},
    {"conditions in a row", "{{ 1", " if 1 else 1", 80000, " }}", false},
    {"ifs", "", "{% if 1 %}", 100000, "", false},
    {"elifs", "{% if 0 %}", "{% elif 0 %}", 80000, "{% endif %}", false},
    {"fors", "", "{% for i in [1] %}", 50000, "", false},
    {"macros", "", "{% macro m() %}", 50000, "", false},
    {"set blocks", "", "{% set a %}", 80000, "", false},
    {"closed fors", "", "{% for i in 'ab' %}", 90, "", false},
    {"outputs", "", "{{a}}", 200000, "", true},
    {"large outputs", "", "{{a}}", 4000000, "", false},
    {"many lists", "{{ [", "[],", 300000, "] }}", false},
    {"many arguments", "{{ a(", "a=1,", 250000, ") }}", false},
    {"many parameters", "{% macro m(", "a,", 100000, "b) %}{% endmacro %}{{ m() }}", false},
    {"many names", "{% set ", "a,", 100000, "b = 1 %}", false},
    {"many comments", "", "{# #}", 200000, "", true},
    {"open comments", "", "{# ", 300000, "", false},
    {"open raws", "", "{% raw %}", 100000, "", false},
    {"open tags", "", "{% ", 300000, "", false},
    {"open strings", "{{ ", "'", 300001, "", false},
    {"blanks", "", "  {%- ", 200000, "", false},
    {"blanks in front of tags", "", "                                {% set a=1 -%}", 20000, "",
     true},
    {"a long name", "{{ ", "a", 1000000, " }}", true},
    {"a long number", "{{ ", "1", 1000000, " }}", false},
    {"a long text", "{{ '", "a", 1000000, "' }}", true},
    {"a text of escapes", "{{ '", "\\u00e9", 150000, "' }}", true},
    {"a long template", "", "a", 100000000, "", false},
    {"a macro that is large", "{% macro m() %}{% if 0 %}", "{{a}}", 20000,
     "{% endif %}{% endmacro %}" OFTEN("{{ m() }}"), false},
    {"a scope that is large", "", "{% set a = 1 %}{% set b = 2 %}{% set c = 3 %}", 20000,
     OFTEN("{{ z }}"), false},
    SMALL("nothing", ""),
};

static char *make_source(const hostile *h)
{
    size_t n_head = strlen(h->head), n_unit = strlen(h->unit), n_tail = strlen(h->tail);
    char *s = malloc(n_head + n_unit * h->n + n_tail + 1), *p = s;
    assert_non_null(s);
    memcpy(p, h->head, n_head);
    p += n_head;
    for (size_t i = 0; i < h->n; i++, p += n_unit) memcpy(p, h->unit, n_unit);
    memcpy(p, h->tail, n_tail + 1);
    return s;
}

/* What the process that rendered it says of itself. */
typedef struct verdict {
    lull_status status;
    double ms;
    long kib; /* at most, above what it began with */
    char msg[240];
} verdict;

static double used_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return 1e3 * (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-3 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static long used_kib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

static void render(const hostile *h, int out)
{
    char *source = make_source(h), *text = NULL;
    lull_error err = {0};
    lull_jinja *t = NULL;
    size_t n_bytes;
    json_t *vars = json_object();
    alarm(MOST_SECONDS);
    double ms = used_ms();
    long kib = used_kib();
    lull_status st = lull_jinja_parse(source, strlen(source), &t, &err);
    if (st == LULL_OK) st = lull_jinja_render(t, vars, &text, &n_bytes, &err);
    verdict v = {.status = st, .ms = used_ms() - ms, .kib = used_kib() - kib};
    memcpy(v.msg, err.msg, sizeof v.msg);
    lull_jinja_free(t);
    free(text);
    free(source);
    json_decref(vars);
    bool is_written = write(out, &v, sizeof v) == (ssize_t)sizeof v;
    _exit(is_written ? 0 : 1);
}

static bool measure(const hostile *h, verdict *v)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) render(h, ends[1]);
    close(ends[1]);
    bool is_read = read(ends[0], v, sizeof *v) == (ssize_t)sizeof *v;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!is_read || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        print_error("%s: did not end well: wait status %#x\n", h->name, status);
        return false;
    }
    return true;
}

static void test_ends(void **state)
{
    (void)state;
    size_t n_wrong = 0;
    double worst_ms = 0;
    long worst_kib = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        verdict v = {0};
        /* A machine that is busy may slow down one run, hardly three. */
        for (int k = 0; k < 3; k++) {
            if (!measure(&all[i], &v)) {
                n_wrong++;
                break;
            }
            if (IS_SLOW_BUILD || v.ms <= MOST_MS) break;
        }
        bool is_end = v.status != LULL_OK || all[i].may_end_well;
        bool is_cheap = IS_SLOW_BUILD || (v.ms <= MOST_MS && v.kib <= MOST_KIB);
        if (getenv("LULL_TEST_VERBOSE") || !is_end || !is_cheap)
            print_error("%-32s %6.1f ms %6ld KiB  %d %s\n", all[i].name, v.ms, v.kib, v.status,
                        v.msg);
        n_wrong += !is_end || !is_cheap;
        if (v.ms > worst_ms) worst_ms = v.ms;
        if (v.kib > worst_kib) worst_kib = v.kib;
    }
    print_message("%zu templates; at most %.0f ms and %ld KiB\n", sizeof all / sizeof *all,
                  worst_ms, worst_kib);
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ends)};
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
