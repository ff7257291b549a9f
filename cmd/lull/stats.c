#include <sys/resource.h>

#include "cmd.h"
#include "format.h"
#include "grid.h"

/* "12 tokens, 34.5 tok/s"; the rate only when there is one. */
static void count_cell(lull_grid *g, size_t n, const char *what, double rate)
{
    char rate_text[LULL_FORMAT_CAP] = "";
    if (rate > 0) snprintf(rate_text, sizeof rate_text, ", %.1f tok/s", rate);
    lull_grid_cell(g, "%zu token%s%s%s", n, n == 1 ? "" : "s", what, rate_text);
}

double lull_cmd_prompt_rate(const lull_cmd_timings *t)
{
    return t->prompt_ms > 0 ? (double)t->n_evaluated / t->prompt_ms * 1000 : 0;
}

double lull_cmd_gen_rate(const lull_cmd_timings *t)
{
    return t->n_generated > 1 && t->decode_ms > 0
               ? (double)(t->n_generated - 1) / t->decode_ms * 1000
               : 0;
}

json_t *lull_cmd_timings_json(const lull_cmd_timings *t)
{
    json_t *object =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "load_ms", t->load_ms, "prompt_ms",
                  t->prompt_ms, "prompt_tok_s", lull_cmd_prompt_rate(t), "first_token_ms",
                  t->first_token_ms, "gen_ms", t->gen_ms, "gen_tok_s", lull_cmd_gen_rate(t));
    if (object) json_object_set_new(object, "evals", json_integer((json_int_t)t->n_evals));
    if (object && t->n_drafted > 0) {
        json_object_set_new(object, "drafted", json_integer((json_int_t)t->n_drafted));
        json_object_set_new(object, "accepted", json_integer((json_int_t)t->n_accepted));
    }
    if (object && t->wake_ms > 0) json_object_set_new(object, "wake_ms", json_real(t->wake_ms));
    return object;
}

void lull_cmd_print_stats(const lull_model *model, const lull_session *s, const lull_cmd_timings *t)
{
    lull_model_info info = lull_model_get_info(model);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    char buf[LULL_FORMAT_CAP];
    lull_grid g;
    lull_grid_init(&g, "lrl");

    lull_grid_cell(&g, "weights");
    lull_grid_cell(&g, "%s", lull_format_bytes(buf, info.weight_bytes));
    lull_grid_cell(&g, "%s",
                   info.weights_are_mapped   ? "mapped from the cache"
                   : info.weights_from_cache ? "from the cache"
                                             : "prepared now");
    lull_grid_cell(&g, "keys and values");
    lull_grid_cell(&g, "%s", lull_format_bytes(buf, lull_session_kv_bytes(s)));
    lull_grid_cell(&g, "%zu of %zu positions", lull_session_n_tokens(s), lull_cmd_n_ctx(s));
    lull_grid_cell(&g, "buffers");
    lull_grid_cell(&g, "%s", lull_format_bytes(buf, info.work_bytes));
    lull_grid_cell(&g, "%s", "");
    lull_grid_cell(&g, "process, at most");
    lull_grid_cell(&g, "%s", lull_format_bytes(buf, (uint64_t)usage.ru_maxrss * 1024));
    lull_grid_cell(&g, "resident, mapped files included");

    lull_grid_cell(&g, "load");
    lull_grid_cell(&g, "%s", lull_format_ms(buf, t->load_ms));
    lull_grid_cell(&g, "%s, %d thread%s", info.cpu_level, info.n_threads,
                   info.n_threads == 1 ? "" : "s");
    lull_grid_cell(&g, "prompt");
    lull_grid_cell(&g, "%s", lull_format_ms(buf, t->prompt_ms));
    char of_all[48] = "";
    if (t->n_evaluated < t->n_prompt)
        snprintf(of_all, sizeof of_all, " evaluated of %zu", t->n_prompt);
    count_cell(&g, t->n_evaluated, of_all, lull_cmd_prompt_rate(t));
    lull_grid_cell(&g, "first token");
    lull_grid_cell(&g, "%s", lull_format_ms(buf, t->first_token_ms));
    lull_grid_cell(&g, "%s", "");
    lull_grid_cell(&g, "generation");
    lull_grid_cell(&g, "%s", lull_format_ms(buf, t->gen_ms));
    char guessed[64] = "";
    if (t->n_drafted > 0)
        snprintf(guessed, sizeof guessed, ", %zu of %zu guesses right", t->n_accepted,
                 t->n_drafted);
    count_cell(&g, t->n_generated, guessed, lull_cmd_gen_rate(t));
    lull_grid_print(&g, stderr, false);
    lull_grid_fini(&g);
}
