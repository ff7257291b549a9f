#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "term.h"

int lull_cli_usage(const char *verb, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "lull %s: ", verb);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\nTry 'lull %s --help'.\n", verb);
    va_end(args);
    return LULL_EXIT_USAGE;
}

/* ---- hints ---------------------------------------------------------------------------------- */

/* Insertions, deletions, replacements and swaps of neighbours between a and b (optimal string
 * alignment); words over WORD_MAX bytes are far from everything. */
enum { WORD_MAX = 40 };

static int edit_distance(const char *a, const char *b)
{
    int n_a = (int)strlen(a), n_b = (int)strlen(b);
    if (n_a > WORD_MAX || n_b > WORD_MAX) return WORD_MAX;
    int d[WORD_MAX + 1][WORD_MAX + 1];
    for (int i = 0; i <= n_a; i++) d[i][0] = i;
    for (int j = 0; j <= n_b; j++) d[0][j] = j;
    for (int i = 1; i <= n_a; i++) {
        for (int j = 1; j <= n_b; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (is_swap && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n_a][n_b];
}

/* Keeps the nearer of *best and candidate. A common beginning of 3 letters counts as near. */
static void consider(const char *word, const char *candidate, const char **best, int *best_distance)
{
    int distance = edit_distance(word, candidate);
    size_t n = strlen(word);
    if (n >= 3 && strncmp(word, candidate, n) == 0) distance = 1;
    if (distance < *best_distance) {
        *best_distance = distance;
        *best = candidate;
    }
}

static int near_enough(const char *word)
{
    return (int)strlen(word) / 3 + 2;
}

const char *lull_cli_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    int distance = near_enough(word);
    for (size_t i = 0; i < n; i++) consider(word, candidates[i], &best, &distance);
    return best;
}

/* ---- finding -------------------------------------------------------------------------------- */

/* Is word [n] one of words, which stand apart by the character between? NULL has none. */
static bool has_word(const char *words, const char *between, const char *word, size_t n)
{
    while (words && *words) {
        size_t len = strcspn(words, between);
        if (len == n && memcmp(words, word, n) == 0) return true;
        words += len + strspn(words + len, between);
    }
    return false;
}

#define FOR_EACH_OPTION(cli, group, o)                                                             \
    for (const lull_option_group *group = (cli)->groups;                                           \
         group < (cli)->groups + LULL_CLI_GROUPS && group->title; group++)                         \
        for (const lull_option *o = group->options; o < group->options + group->n; o++)

static const lull_option *find_letter(const lull_cli *cli, char letter)
{
    FOR_EACH_OPTION(cli, group, o) if (o->letter == letter) return o;
    return NULL;
}

static const lull_option *find_name(const lull_cli *cli, const char *name, size_t n)
{
    FOR_EACH_OPTION(cli, group, o)
    {
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
        if (has_word(o->aliases, " ", name, n)) return o;
    }
    return NULL;
}

static int unknown_option(const lull_cli *cli, const char *arg)
{
    char word[WORD_MAX + 2];
    size_t n_dashes = strspn(arg, "-");
    snprintf(word, sizeof word, "%.*s", (int)strcspn(arg + n_dashes, "="), arg + n_dashes);
    const char *best = NULL;
    int distance = near_enough(word);
    FOR_EACH_OPTION(cli, group, o) consider(word, o->name, &best, &distance);
    consider(word, "help", &best, &distance);
    if (best && strlen(word) > 1)
        return lull_cli_usage(cli->verb, "unknown option %.*s; did you mean --%s?",
                              (int)strcspn(arg, "="), arg, best);
    return lull_cli_usage(cli->verb, "unknown option %.*s", (int)strcspn(arg, "="), arg);
}

/* ---- values --------------------------------------------------------------------------------- */

/* A whole number in decimal digits, all of [text, end); false when it is none or overflows. */
static bool parse_int(const char *text, const char *end, int64_t *out)
{
    char digits[24];
    size_t n = (size_t)(end - text);
    if (n == 0 || n >= sizeof digits || strspn(text, "+-0123456789") < n) return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    char *stop;
    errno = 0;
    *out = strtoll(digits, &stop, 10);
    return errno == 0 && *stop == '\0';
}

static int out_of_range(const lull_cli *cli, const lull_option *o, const char *name,
                        const char *value)
{
    if (isinf(o->max))
        return lull_cli_usage(cli->verb, "%s %s is out of range: at least %g", name, value, o->min);
    return lull_cli_usage(cli->verb, "%s %s is out of range: %.10g to %.10g", name, value, o->min,
                          o->max);
}

static int take_ints(const lull_cli *cli, const lull_option *o, const char *name, const char *value)
{
    lull_ints *list = o->to;
    list->n = 0;
    for (const char *p = value;; p++) {
        const char *end = p + strcspn(p, ",");
        int64_t x;
        if (!parse_int(p, end, &x))
            return lull_cli_usage(cli->verb, "%s takes numbers apart by commas, not '%s'", name,
                                  value);
        if ((double)x < o->min || (double)x > o->max) return out_of_range(cli, o, name, value);
        if (list->n == LULL_INTS_CAP)
            return lull_cli_usage(cli->verb, "%s takes at most %d numbers", name, LULL_INTS_CAP);
        list->v[list->n++] = x;
        if (*end == '\0') return -1;
        p = end;
    }
}

/* Store value, which was given under name ("--top-k"). Returns -1 or the exit code. */
static int take_value(const lull_cli *cli, const lull_option *o, const char *name,
                      const char *value)
{
    char *stop;
    switch (o->kind) {
    case LULL_OPT_INT: {
        int64_t x;
        if (!parse_int(value, value + strlen(value), &x))
            return lull_cli_usage(cli->verb, "%s takes a whole number, not '%s'", name, value);
        if ((double)x < o->min || (double)x > o->max) return out_of_range(cli, o, name, value);
        *(int64_t *)o->to = x;
        return -1;
    }
    case LULL_OPT_FLOAT: {
        double x = strtod(value, &stop);
        if (stop == value || *stop || isnan(x))
            return lull_cli_usage(cli->verb, "%s takes a number, not '%s'", name, value);
        if (x < o->min || x > o->max) return out_of_range(cli, o, name, value);
        *(float *)o->to = (float)x;
        return -1;
    }
    case LULL_OPT_CHOICE:
        if (*value && !has_word(o->arg, "|", value, strlen(value)))
            return lull_cli_usage(cli->verb, "%s takes one of %s, not '%s'", name, o->arg, value);
        /* fall through */
    case LULL_OPT_STRING: *(const char **)o->to = value; return -1;
    case LULL_OPT_STRINGS: {
        lull_strings *list = o->to;
        if (list->n == LULL_STRINGS_CAP)
            return lull_cli_usage(cli->verb, "%s may be given at most %d times", name,
                                  LULL_STRINGS_CAP);
        list->v[list->n++] = value;
        return -1;
    }
    case LULL_OPT_INTS: return take_ints(cli, o, name, value);
    case LULL_OPT_FLAG: *(bool *)o->to = true; return -1;
    }
    return -1;
}

/* ---- help ----------------------------------------------------------------------------------- */

enum { HELP_COLUMNS = 80, HELP_INDENT = 32 };

/* Text in ASCII as lines of at most HELP_COLUMNS, the first from column indent on, where the cursor is. */
static void print_wrapped(const char *text, int indent)
{
    int column = indent;
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + n > HELP_COLUMNS) {
            printf("\n%*s", indent, "");
            column = indent;
        }
        bool is_first = column == indent;
        printf("%s%.*s", is_first ? "" : " ", n, text);
        column += n + !is_first;
        text += n;
        if (*text == '\n') {
            printf("\n%*s", indent, "");
            column = indent;
        }
        if (*text) text++;
    }
    putchar('\n');
}

static void print_help(const lull_cli *cli)
{
    const char *bold = lull_style_of(stdout, LULL_STYLE_BOLD);
    const char *off = lull_style_of(stdout, LULL_STYLE_OFF);
    printf("%susage:%s lull %s%s%s%s%s [options]\n\n", bold, off, cli->verb,
           *cli->operands ? " " : "", cli->operands, cli->required ? " " : "",
           cli->required ? cli->required : "");
    print_wrapped(cli->about, 0);
    for (const lull_option_group *g = cli->groups; g < cli->groups + LULL_CLI_GROUPS && g->title;
         g++) {
        printf("\n%s%s:%s\n", bold, g->title, off);
        for (const lull_option *o = g->options; o < g->options + g->n; o++) {
            char left[64];
            int n = o->letter ? snprintf(left, sizeof left, "-%c, --%s", o->letter, o->name)
                              : snprintf(left, sizeof left, "    --%s", o->name);
            if (o->arg) snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
            printf("  %-*s", HELP_INDENT - 2, left);
            if (strlen(left) > HELP_INDENT - 4) printf("\n%*s", HELP_INDENT, "");
            print_wrapped(o->help, HELP_INDENT);
        }
    }
}

/* ---- parsing -------------------------------------------------------------------------------- */

static size_t count_words(const char *words)
{
    size_t n = 0;
    for (; *words; n++) {
        words += strcspn(words, " ");
        words += strspn(words, " ");
    }
    return n;
}

/* The option at argv[*i], which begins with a dash; moves *i to its last argument. */
static int take_option(const lull_cli *cli, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *value = NULL;
    const lull_option *o;
    char name[WORD_MAX + 3];
    if (arg[1] == '-') {
        size_t n = strcspn(arg + 2, "=");
        if (arg[2 + n] == '=') value = arg + 3 + n;
        o = find_name(cli, arg + 2, n);
        if (!o) return unknown_option(cli, arg);
        snprintf(name, sizeof name, "--%.*s", (int)n, arg + 2);
        if (o->kind == LULL_OPT_FLAG && value)
            return lull_cli_usage(cli->verb, "%s takes no value", name);
    } else {
        o = find_letter(cli, arg[1]);
        /* "-temp" is a habit, "-n5" another; a flag's letter stands alone. */
        if (!o || (o->kind == LULL_OPT_FLAG && arg[2])) return unknown_option(cli, arg);
        if (arg[2]) value = arg + 2;
        snprintf(name, sizeof name, "-%c", arg[1]);
    }
    if (o->kind != LULL_OPT_FLAG && !value) {
        if (*i + 1 >= argc) return lull_cli_usage(cli->verb, "%s needs a value: %s", name, o->arg);
        value = argv[++*i];
    }
    return take_value(cli, o, name, value);
}

int lull_cli_parse(const lull_cli *cli, int argc, char **argv, const char **operands)
{
    size_t n_operands = 0, n_wanted = count_words(cli->operands);
    bool is_ended = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!is_ended && strcmp(arg, "--") == 0) {
            is_ended = true;
        } else if (!is_ended && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            print_help(cli);
            return LULL_EXIT_OK;
        } else if (!is_ended && arg[0] == '-' && arg[1]) {
            int rc = take_option(cli, argc, argv, &i);
            if (rc >= 0) return rc;
        } else if (n_operands < n_wanted - (cli->rest != NULL)) {
            operands[n_operands++] = arg;
        } else if (cli->rest && cli->rest->n < LULL_STRINGS_CAP) {
            cli->rest->v[cli->rest->n++] = arg;
        } else if (cli->rest) {
            return lull_cli_usage(cli->verb, "at most %d of %s", LULL_STRINGS_CAP, cli->operands);
        } else {
            return lull_cli_usage(cli->verb, "unexpected argument '%s'", arg);
        }
    }
    n_operands += cli->rest && cli->rest->n > 0;
    if (n_operands < n_wanted) {
        const char *missing = cli->operands;
        for (size_t i = 0; i < n_operands; i++) {
            missing += strcspn(missing, " ");
            missing += strspn(missing, " ");
        }
        if (*missing != '[')
            return lull_cli_usage(cli->verb, "%.*s is missing", (int)strcspn(missing, " "),
                                  missing);
    }
    return -1;
}
