#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cmd.h"

/* What the options have set so far, to be compared byte by byte. */
static lull_sampling_values values_of(const lull_cmd_sampling *a)
{
    lull_sampling_values v;
    memset(&v, 0, sizeof v);
    const lull_sampling *s = &a->s;
    const float floats[] = {s->temperature,     s->top_p,          s->min_p,
                            s->typical_p,       s->repeat_penalty, s->frequency_penalty,
                            s->presence_penalty};
    memcpy(v.floats, floats, sizeof floats);
    v.integers[0] = a->top_k;
    v.integers[1] = a->penalty_window;
    v.integers[2] = a->seed;
    v.integers[3] = (int64_t)a->bias_args.n;
    v.integers[4] = (int64_t)a->stop.n;
    v.integers[5] = a->ignore_eog;
    v.integers[6] = a->schema_file || a->gbnf_file || a->regex || a->choice || a->loop_guard;
    return v;
}

void lull_sampling_keep_defaults(lull_cmd_sampling *a)
{
    a->defaults = values_of(a);
}

bool lull_sampling_is_given(const lull_cmd_sampling *a)
{
    lull_sampling_values now = values_of(a);
    return memcmp(&now, &a->defaults, sizeof now) != 0;
}

void lull_sampling_init(lull_cmd_sampling *a, float temperature, float top_p)
{
    memset(a, 0, sizeof *a);
    a->s = lull_sampling_default();
    a->s.temperature = temperature;
    a->s.top_p = top_p;
    a->penalty_window = 64;
    a->max_tokens = -1;
    a->seed = -1;
    const double big = 1e9;
    lull_sampling *s = &a->s;
    const lull_option rows[LULL_SAMPLING_ROWS] = {
        {'n', "predict", "n-predict max-tokens", LULL_OPT_INT, &a->max_tokens, -1, 1e12, "N",
         "generate at most N tokens (-1: until the model ends)"},
        {0, "temperature", "temp", LULL_OPT_FLOAT, &s->temperature, 0, 100, "T",
         "0 is greedy: always the likeliest token"},
        {0, "top-k", NULL, LULL_OPT_INT, &a->top_k, 0, big, "K",
         "draw from the K likeliest (0: off)"},
        {0, "top-p", NULL, LULL_OPT_FLOAT, &s->top_p, 0, 1, "P",
         "draw from the likeliest that sum to P (1: off)"},
        {0, "min-p", NULL, LULL_OPT_FLOAT, &s->min_p, 0, 1, "P",
         "drop what is less likely than P times the likeliest (0: off)"},
        {0, "typical-p", "typical", LULL_OPT_FLOAT, &s->typical_p, 0, 1, "P",
         "draw from the most typical that sum to P (1: off)"},
        {0, "repeat-penalty", NULL, LULL_OPT_FLOAT, &s->repeat_penalty, 1e-3, 100, "X",
         "make tokens seen before less likely (1: off)"},
        {0, "frequency-penalty", NULL, LULL_OPT_FLOAT, &s->frequency_penalty, -100, 100, "X",
         "subtract X for each time a token was seen (0: off)"},
        {0, "presence-penalty", NULL, LULL_OPT_FLOAT, &s->presence_penalty, -100, 100, "X",
         "subtract X once for a token that was seen (0: off)"},
        {0, "repeat-last-n", NULL, LULL_OPT_INT, &a->penalty_window, -1, big, "N",
         "the penalties look back N tokens (-1: all; default 64)"},
        {0, "logit-bias", NULL, LULL_OPT_STRINGS, &a->bias_args, 0, 0, "ID=X",
         "add X to a token's logit, -inf bans it; may be repeated"},
        {'s', "seed", NULL, LULL_OPT_INT, &a->seed, -1, INFINITY, "N",
         "same seed, same draws (-1: a new one each time)"},
        {'r', "stop", "reverse-prompt", LULL_OPT_STRINGS, &a->stop, 0, 0, "TEXT",
         "end before TEXT; may be repeated"},
        {0, "ignore-eos", "ignore-eog", LULL_OPT_FLAG, &a->ignore_eog, 0, 0, NULL,
         "go on past the model's own end"},
        {0, "json-schema", NULL, LULL_OPT_STRING, &a->schema_file, 0, 0, "FILE",
         "write JSON as this schema says; {...} is the schema itself"},
        {0, "grammar", "grammar-file", LULL_OPT_STRING, &a->gbnf_file, 0, 0, "FILE",
         "write what this GBNF grammar allows"},
        {0, "regex", NULL, LULL_OPT_STRING, &a->regex, 0, 0, "RE",
         "write what this regular expression matches"},
        {0, "choice", NULL, LULL_OPT_STRING, &a->choice, 0, 0, "A,B,C",
         "write one of these; or a JSON array of texts"},
        {0, "loop-guard", NULL, LULL_OPT_STRING, &a->loop_guard, 0, 0, "T,L,S",
         "end when a token, line or sentence came so often (0: never)"},
        {0, "draft", "draft-max", LULL_OPT_STRING, &a->draft, 0, 0, "auto|off|N",
         "guess tokens from the text so far and evaluate them together, N at most: the same text, "
         "sooner (default: auto)"},
    };
    memcpy(a->rows, rows, sizeof rows);
    lull_sampling_keep_defaults(a);
}

/* "ID=X", and "ID+X" or "ID-X" as other programs write it. */
static bool parse_bias(const char *text, lull_logit_bias *out)
{
    char *end;
    long id = strtol(text, &end, 10);
    if (end == text || id < 0 || id > INT32_MAX) return false;
    const char *value = *end == '=' ? end + 1 : end;
    if (*end != '=' && *end != '+' && *end != '-') return false;
    double bias = strtod(value, &end);
    if (end == value || *end || isnan(bias) || bias == INFINITY) return false;
    *out = (lull_logit_bias){.token = (int32_t)id, .bias = (float)bias};
    return true;
}

/* {"choice": [...]} of "a,b,c", or of a JSON array. NULL: not such a list, or no memory. */
static char *parts_of_choice(const char *text)
{
    json_t *list = *text == '[' ? json_loads(text, 0, NULL) : json_array();
    for (const char *p = text; *text != '[' && p;) {
        const char *comma = strchr(p, ',');
        json_array_append_new(list, json_stringn(p, comma ? (size_t)(comma - p) : strlen(p)));
        p = comma ? comma + 1 : NULL;
    }
    bool is_good = json_array_size(list) > 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        is_good &= json_is_string(json_array_get(list, i));
    json_t *parts = is_good ? json_pack("{s:o}", "choice", list) : NULL;
    if (!is_good) json_decref(list);
    char *out = parts ? json_dumps(parts, JSON_COMPACT) : NULL;
    json_decref(parts);
    return out;
}

/* The grammar, read and compiled once so that what is wrong with it is told before a model is opened. */
static int apply_grammar(lull_cmd_sampling *a, const char *verb, lull_generate_options *opt)
{
    int n = !!a->schema_file + !!a->gbnf_file + !!a->regex + !!a->choice;
    if (n > 1)
        return lull_cli_usage(verb, "only one of --json-schema, --grammar, --regex and --choice");
    if (n == 0) return -1;
    lull_error err;
    size_t n_bytes;
    lull_status st = LULL_OK;
    const char *file = a->schema_file ? a->schema_file : a->gbnf_file;
    if (a->regex) {
        opt->grammar_kind = LULL_GRAMMAR_REGEX;
        a->grammar = strdup(a->regex);
    } else if (a->choice) {
        opt->grammar_kind = LULL_GRAMMAR_PARTS;
        a->grammar = parts_of_choice(a->choice);
        if (!a->grammar)
            return lull_cli_usage(verb,
                                  "--choice takes texts between commas, or a JSON array of them");
    } else if (a->schema_file && *a->schema_file == '{') {
        opt->grammar_kind = LULL_GRAMMAR_JSON_SCHEMA;
        a->grammar = strdup(a->schema_file);
        file = NULL;
    } else {
        opt->grammar_kind = a->schema_file ? LULL_GRAMMAR_JSON_SCHEMA : LULL_GRAMMAR_GBNF;
        st = lull_cmd_read_text(NULL, file, &a->grammar, &n_bytes, &err);
    }
    if (st == LULL_OK && !a->grammar) st = lull_fail(&err, LULL_ENOMEM, "no memory for a grammar");
    if (st == LULL_OK) {
        st = lull_grammar_check(opt->grammar_kind, a->grammar, &err);
        if (st != LULL_OK && file) lull_error_prefix(&err, "%s", file);
    }
    if (st != LULL_OK) {
        lull_sampling_fini(a);
        return lull_cmd_fail(verb, &err);
    }
    opt->grammar = a->grammar;
    return -1;
}

static int apply_loop_guard(const lull_cmd_sampling *a, const char *verb,
                            lull_generate_options *opt)
{
    lull_loop_guard *g = &opt->loop_guard;
    int n_read = 0;
    if (!a->loop_guard) return -1;
    if (sscanf(a->loop_guard, "%d,%d,%d%n", &g->n_tokens, &g->n_lines, &g->n_sentences, &n_read) ==
            3 &&
        !a->loop_guard[n_read] && g->n_tokens >= 0 && g->n_lines >= 0 && g->n_sentences >= 0)
        return -1;
    return lull_cli_usage(verb, "--loop-guard takes three numbers, such as 256,24,4, not '%s'",
                          a->loop_guard);
}

static int apply_draft(const lull_cmd_sampling *a, const char *verb, lull_generate_options *opt)
{
    char *end;
    if (!a->draft || strcmp(a->draft, "auto") == 0) return -1;
    long n = strtol(a->draft, &end, 10);
    if (strcmp(a->draft, "off") == 0)
        opt->draft = -1;
    else if (end != a->draft && !*end && n >= 0 && n <= 1000)
        opt->draft = n == 0 ? -1 : (int)n;
    else
        return lull_cli_usage(verb, "--draft takes auto, off or a number, not '%s'", a->draft);
    return -1;
}

void lull_sampling_fini(lull_cmd_sampling *a)
{
    free(a->grammar);
    free(a->slept_bias);
    a->grammar = NULL;
    a->slept_bias = NULL;
}

lull_status lull_sampling_wake(lull_cmd_sampling *a, const lull_session *s,
                               lull_generate_options *opt, lull_error *err)
{
    lull_sampling slept;
    if (!lull_session_sampling(s, &slept)) return LULL_OK;
    lull_logit_bias *bias = calloc(slept.n_bias + 1, sizeof *bias);
    if (!bias) return lull_fail(err, LULL_ENOMEM, "no memory for the state's logit bias");
    if (slept.n_bias > 0) memcpy(bias, slept.bias, slept.n_bias * sizeof *bias);
    free(a->slept_bias);
    a->slept_bias = bias;
    slept.bias = bias;
    opt->sampling = slept;
    return LULL_OK;
}

int lull_sampling_apply(lull_cmd_sampling *a, const char *verb, lull_generate_options *opt)
{
    for (size_t i = 0; i < a->stop.n; i++)
        if (!*a->stop.v[i]) return lull_cli_usage(verb, "--stop needs a text that is not empty");
    for (size_t i = 0; i < a->bias_args.n; i++)
        if (!parse_bias(a->bias_args.v[i], &a->bias[i]))
            return lull_cli_usage(verb, "--logit-bias takes ID=X, such as 42=-1.5, not '%s'",
                                  a->bias_args.v[i]);
    /* A seed that fits in JSON's exact integers, so that it can be given again. */
    uint64_t drawn = 0;
    if (a->seed < 0 && getrandom(&drawn, sizeof drawn, 0) == sizeof drawn)
        a->seed = (int64_t)(drawn >> 11);

    a->s.top_k = (int)a->top_k;
    a->s.penalty_window = (int)a->penalty_window;
    a->s.seed = (uint64_t)a->seed;
    a->s.bias = a->bias;
    a->s.n_bias = a->bias_args.n;

    *opt = lull_generate_options_default();
    opt->sampling = a->s;
    opt->max_tokens = a->max_tokens < 0 ? SIZE_MAX : (size_t)a->max_tokens;
    opt->stop = a->stop.v;
    opt->n_stop = a->stop.n;
    opt->ignore_eog = a->ignore_eog;
    int rc = apply_loop_guard(a, verb, opt);
    if (rc < 0) rc = apply_draft(a, verb, opt);
    return rc < 0 ? apply_grammar(a, verb, opt) : rc;
}
