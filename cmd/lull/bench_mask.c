/* lull bench --mask: what it costs to hold a text to a grammar. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "cmd.h"
#include "engine.h"
#include "grid.h"

enum { N_TEXTS = 40, MOST_TOKENS = 200, N_DECODED = 64 };

/* Of several kinds: what programs ask for, and what is hard on masks. */
static const struct {
    const char *name;
    lull_grammar_kind kind;
    const char *text;
} grammars[] = {
    {"any JSON", LULL_GRAMMAR_JSON_SCHEMA, "{}"},
    {"a person", LULL_GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
     "\"maxLength\":60},\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":150},\"email\":{"
     "\"type\":\"string\",\"format\":\"email\"},\"born\":{\"type\":\"string\",\"format\":\"date\"},"
     "\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"friend\",\"colleague\",\"family\"]},"
     "\"maxItems\":5}},\"required\":[\"name\",\"age\"],\"additionalProperties\":false}"},
    {"a tree", LULL_GRAMMAR_JSON_SCHEMA,
     "{\"$ref\":\"#/$defs/"
     "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"value\":"
     "{\"type\":\"number\"},\"children\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/node\"},"
     "\"maxItems\":3}},\"required\":[\"value\"],\"additionalProperties\":false}}}"},
    {"a text of 2,000 characters", LULL_GRAMMAR_JSON_SCHEMA,
     "{\"type\":\"string\",\"maxLength\":2000}"},
    {"words", LULL_GRAMMAR_REGEX, "([A-Z][a-z]{0,14} ){1,50}[A-Za-z]+\\."},
    {"arithmetic", LULL_GRAMMAR_GBNF,
     "root ::= term ([-+*/] term){0,30}\nterm ::= [0-9]{1,9} | \"(\" root \")\"\n"},
};
enum { N_GRAMMARS = sizeof grammars / sizeof *grammars };

typedef struct cost {
    double compile_ms, median_us, p99_us, worst_us;
    size_t n_tokens;
} cost;

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static cost summarise(double *us, size_t n, double compile_ms)
{
    qsort(us, n, sizeof *us, compare_doubles);
    return (cost){compile_ms, us[n / 2], us[n * 99 / 100], us[n - 1], n};
}

/* A random allowed token: of a mask with n of them, the k-th. */
static int32_t pick(const lull_mask *mask, size_t k)
{
    if (!mask->bits) return mask->ids[k];
    for (size_t w = 0;; w++) {
        uint64_t word = mask->bits[w];
        size_t n = (size_t)__builtin_popcountll(word);
        for (; k < n; k--, word &= word - 1)
            if (k == 0) return (int32_t)(w * 64 + (size_t)__builtin_ctzll(word));
        k -= n;
    }
}

/* The times of texts [N_TEXTS] of random tokens: each mask, with the step that led to it. */
static lull_status measure_grammar(lull_model *model, size_t which, double *us, size_t *n_us,
                                   double *compile_ms, lull_error *err)
{
    lull_constraint *c = NULL;
    lull_status st = LULL_OK;
    double start = lull_clock_ms();
    size_t n = 0;
    LULL_TRY(lull_constraint_take(model, grammars[which].kind, grammars[which].text, &c, err));
    *compile_ms = lull_clock_ms() - start;
    lull_masker *m = lull_constraint_masker(c);
    for (uint64_t text = 0; text < N_TEXTS; text++) {
        int32_t token = -1;
        lull_masker_restart(m);
        for (uint64_t at = 0; at < MOST_TOKENS; at++) {
            lull_mask mask;
            size_t n_bytes;
            start = lull_clock_ms();
            if (token >= 0) {
                const char *bytes = lull_token_text(model, token, false, &n_bytes);
                LULL_TRY(lull_masker_push(m, bytes, n_bytes, err));
            }
            LULL_TRY(lull_masker_mask(m, &mask, err));
            us[n++] = (lull_clock_ms() - start) * 1e3;
            if (mask.n == 0) break;
            token = pick(&mask, (size_t)(lull_uniform(text, at) * (double)mask.n));
            if (lull_token_is_eog(model, token)) break;
        }
    }
    *n_us = n;
done:
    lull_constraint_give(model, c);
    return st;
}

/* Tokens a second, freely and within a string of a schema, in turns. */
static lull_status measure_decoding(lull_model *model, double *free_rate, double *held_rate,
                                    lull_error *err)
{
    enum { TURNS = 5 };
    double rates[2][TURNS];
    lull_status st = LULL_OK;
    lull_session *s = NULL;
    for (int turn = -1; turn < TURNS; turn++) /* the first one does not count */
        for (int is_held = 0; is_held < 2; is_held++) {
            lull_generate_options o = lull_generate_options_default();
            lull_generate_result r;
            o.max_tokens = N_DECODED;
            o.ignore_eog = true;
            o.grammar_kind = is_held ? LULL_GRAMMAR_JSON_SCHEMA : LULL_GRAMMAR_NONE;
            o.grammar = "{\"type\":\"string\",\"minLength\":10000}";
            LULL_TRY(lull_session_new(model, NULL, &s, err));
            LULL_TRY(lull_prompt(s, "Once upon a time", err));
            LULL_TRY(lull_generate(s, &o, &r, err));
            if (turn >= 0)
                rates[is_held][turn] = (double)(r.n_tokens - 1) / (r.total_ms - r.first_ms) * 1e3;
            lull_session_free(s);
            s = NULL;
        }
    for (int i = 0; i < 2; i++) qsort(rates[i], TURNS, sizeof **rates, compare_doubles);
    *free_rate = rates[0][TURNS / 2];
    *held_rate = rates[1][TURNS / 2];
done:
    lull_session_free(s);
    return st;
}

static int print_json(const lull_model *model, double trie_ms, const cost *costs, double free_rate,
                      double held_rate)
{
    json_t *rows = json_array();
    for (size_t i = 0; i <= N_GRAMMARS; i++)
        json_array_append_new(rows,
                              json_pack("{s:s, s:f, s:I, s:f, s:f, s:f}", "grammar",
                                        i < N_GRAMMARS ? grammars[i].name : "all", "compile_ms",
                                        costs[i].compile_ms, "masks", (json_int_t)costs[i].n_tokens,
                                        "median_us", costs[i].median_us, "p99_us", costs[i].p99_us,
                                        "worst_us", costs[i].worst_us));
    return lull_cmd_print_json(json_pack(
        "{s:i, s:f, s:o, s:f, s:f}", "n_vocab", lull_model_get_info(model).n_vocab, "trie_ms",
        trie_ms, "masks", rows, "free_tok_s", free_rate, "held_tok_s", held_rate));
}

static void print_table(const lull_model *model, double trie_ms, const cost *costs,
                        double free_rate, double held_rate)
{
    lull_grid g;
    printf("%d tokens in the vocabulary; its trie takes %.0f ms, once\n\n",
           lull_model_get_info(model).n_vocab, trie_ms);
    lull_grid_init(&g, "lrrrrr");
    static const char *const heads[] = {"grammar", "compiled", "masks", "median", "99 %", "worst"};
    for (size_t i = 0; i < 6; i++) lull_grid_cell(&g, "%s", heads[i]);
    for (size_t i = 0; i <= N_GRAMMARS; i++) {
        lull_grid_cell(&g, "%s", i < N_GRAMMARS ? grammars[i].name : "all");
        if (i < N_GRAMMARS)
            lull_grid_cell(&g, "%.1f ms", costs[i].compile_ms);
        else
            lull_grid_cell(&g, " ");
        lull_grid_cell(&g, "%zu", costs[i].n_tokens);
        lull_grid_cell(&g, "%.1f us", costs[i].median_us);
        lull_grid_cell(&g, "%.1f us", costs[i].p99_us);
        lull_grid_cell(&g, "%.1f us", costs[i].worst_us);
    }
    lull_grid_print(&g, stdout, true);
    lull_grid_fini(&g);
    printf("\ndecoding: %.1f tokens/s freely, %.1f within a string of a schema: %.1f %%\n",
           free_rate, held_rate, 100 * held_rate / free_rate);
}

lull_status lull_bench_masks(const char *path, int n_threads, lull_cmd_numerics numerics,
                             bool as_json, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    lull_constraint *c = NULL;
    cost costs[N_GRAMMARS + 1];
    double free_rate = 0, held_rate = 0;
    lull_status st = LULL_OK;
    enum { MOST = N_GRAMMARS * N_TEXTS * MOST_TOKENS };
    double *us = malloc(MOST * sizeof *us), *all = malloc(MOST * sizeof *all);
    size_t n_all = 0;
    if (!us || !all) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for the times of masks"));
    LULL_TRY(lull_cmd_open_model(path, n_threads, numerics, LULL_CMD_ALONE, &model, err));
    double start = lull_clock_ms();
    LULL_TRY(lull_constraint_take(model, LULL_GRAMMAR_PARTS, "\"x\"", &c, err));
    double trie_ms = lull_clock_ms() - start;
    lull_constraint_give(model, c);
    for (size_t i = 0; i < N_GRAMMARS; i++) {
        size_t n;
        double compile_ms;
        LULL_TRY(measure_grammar(model, i, us, &n, &compile_ms, err));
        memcpy(all + n_all, us, n * sizeof *us);
        n_all += n;
        costs[i] = summarise(us, n, compile_ms);
    }
    costs[N_GRAMMARS] = summarise(all, n_all, 0);
    LULL_TRY(measure_decoding(model, &free_rate, &held_rate, err));
    if (as_json)
        *rc = print_json(model, trie_ms, costs, free_rate, held_rate);
    else
        print_table(model, trie_ms, costs, free_rate, held_rate);
done:
    free(us);
    free(all);
    lull_model_close(model);
    return st;
}
