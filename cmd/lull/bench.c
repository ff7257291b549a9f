#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "cmd.h"
#include "display.h"
#include "engine.h"
#include "format.h"
#include "grid.h"
#include "progress.h"

typedef struct args {
    const char *model;
    lull_ints prompts, generated, depths, threads;
    int64_t reps;
    bool as_json, has_masks, has_profile;
    lull_cmd_numerics numerics;
    const char *svg; /* where the profile is drawn; NULL: nowhere */
} args;

/* A line of the table. */
typedef struct row {
    lull_bench_test test;
    double min, median, max; /* tokens a second */
    lull_roofs roofs;        /* of the time of the row */
    double bytes_per_token, roof_share;
    lull_bench_profile *profile; /* owned; NULL: none was asked for */
} row;

typedef struct bench {
    const args *a;
    char level[16];
    lull_model *model;
    lull_session *session; /* of the number of threads in hand */
    int32_t *tokens;       /* [n_ctx] what is evaluated: any ids, the same in every run */
    size_t n_ctx;
    double *ms;           /* [reps] */
    lull_roofs *readings; /* [reps + 1] around the repetitions of a row */
    lull_gauge *gauge;    /* of the number of threads in hand */
    row *rows;
    size_t n_rows;
    int n_threads[LULL_INTS_CAP]; /* [n_runs] */
    lull_roofs roofs[LULL_INTS_CAP];
    size_t n_runs;
    lull_progress bar;
    uint64_t n_done; /* tokens, for the bar */
} bench;

/* ---- measuring ------------------------------------------------------------------------------- */

/* Bring the session to `depth` tokens. */
static lull_status go_to_depth(bench *b, size_t depth, lull_error *err)
{
    lull_session_truncate(b->session, depth);
    size_t n = lull_session_n_tokens(b->session);
    lull_status st = LULL_OK;
    while (n < depth && st == LULL_OK) {
        size_t n_now = depth - n < 512 ? depth - n : 512;
        st = lull_session_eval(b->session, b->tokens + n, n_now, NULL, err);
        n += n_now;
        lull_progress_update(&b->bar, b->n_done += n_now);
    }
    return st;
}

static lull_status eval_once(bench *b, const row *r, double *ms, lull_error *err)
{
    const float *logits;
    lull_status st = LULL_OK;
    const lull_bench_test *t = &r->test;
    size_t step = t->is_prefill ? t->n_tokens : 1;
    LULL_TRY(go_to_depth(b, t->depth, err));
    if (r->profile) lull_bench_profile_begin(r->profile);
    double start = lull_clock_ms();
    for (size_t i = 0; i < t->n_tokens && st == LULL_OK; i += step)
        st = lull_session_eval(b->session, b->tokens + t->depth + i, step, &logits, err);
    *ms = lull_clock_ms() - start;
    if (r->profile) lull_bench_profile_end(r->profile, *ms);
    lull_progress_update(&b->bar, b->n_done += t->n_tokens);
done:
    return st;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define COMPARE_RATES(rate)                                                                        \
    static int compare_##rate(const void *a, const void *b)                                        \
    {                                                                                              \
        return compare_doubles(&((const lull_roofs *)a)->rate, &((const lull_roofs *)b)->rate);    \
    }
COMPARE_RATES(read_bytes_s)
COMPARE_RATES(f32_fma_s)
COMPARE_RATES(int8_mac_s)

/* The median of each rate of readings [n], which are sorted. */
static lull_roofs median_roofs(lull_roofs *readings, size_t n)
{
    lull_roofs r = readings[0];
    qsort(readings, n, sizeof *readings, compare_read_bytes_s);
    r.read_bytes_s = readings[n / 2].read_bytes_s;
    qsort(readings, n, sizeof *readings, compare_f32_fma_s);
    r.f32_fma_s = readings[n / 2].f32_fma_s;
    qsort(readings, n, sizeof *readings, compare_int8_mac_s);
    r.int8_mac_s = readings[n / 2].int8_mac_s;
    return r;
}

/* The roofs are read between the repetitions, since what a shared machine allows changes. */
static lull_status measure_row(bench *b, row *r, lull_error *err)
{
    lull_status st = LULL_OK;
    size_t n = (size_t)b->a->reps;
    double unused;
    LULL_TRY(eval_once(b, r, &unused, err)); /* brings weights and pages in */
    if (b->a->has_profile) LULL_TRY(lull_bench_profile_new(b->model, &r->test, &r->profile, err));
    for (size_t i = 0; i < n; i++) {
        b->readings[i] = lull_gauge_read(b->gauge);
        LULL_TRY(eval_once(b, r, &b->ms[i], err));
    }
    b->readings[n] = lull_gauge_read(b->gauge);
    r->roofs = median_roofs(b->readings, n + 1);
    if (r->profile) lull_bench_profile_set_roofs(r->profile, &r->roofs);
    qsort(b->ms, n, sizeof *b->ms, compare_doubles);
    double n_tokens = (double)r->test.n_tokens, median_ms = (b->ms[(n - 1) / 2] + b->ms[n / 2]) / 2;
    r->max = n_tokens / b->ms[0] * 1000;
    r->min = n_tokens / b->ms[n - 1] * 1000;
    r->median = n_tokens / median_ms * 1000;
    lull_bench_work w = lull_bench_work_of(b->model, &r->test, NULL);
    r->bytes_per_token = w.bytes / n_tokens;
    r->roof_share = lull_bench_least_ms(&w, &r->test, &r->roofs) / median_ms;
done:
    return st;
}

/* All rows of one number of threads: for each depth, what is read, then what is generated. */
static lull_status measure_threads(bench *b, int n_threads, lull_cpu_level level, lull_error *err)
{
    lull_status st = LULL_OK;
    LULL_TRY(lull_gauge_new(level, n_threads, &b->gauge, err));
    LULL_TRY(lull_cmd_open_model(b->a->model, n_threads, b->a->numerics, LULL_CMD_ALONE, &b->model,
                                 err));
    LULL_TRY(lull_cmd_new_session(b->model, b->n_ctx, &b->session, err));
    lull_interrupt_watch(b->session);
    int32_t n_vocab = lull_model_get_info(b->model).n_vocab;
    uint32_t random = 1;
    for (size_t i = 0; i < b->n_ctx; i++) {
        random = random * 1664525 + 1013904223; /* Numerical Recipes' generator */
        b->tokens[i] = (int32_t)((random >> 8) % (uint32_t)n_vocab);
    }
    for (size_t d = 0; d < b->a->depths.n; d++)
        for (int is_generated = 0; is_generated < 2; is_generated++) {
            const lull_ints *lengths = is_generated ? &b->a->generated : &b->a->prompts;
            for (size_t i = 0; i < lengths->n; i++) {
                if (lengths->v[i] == 0) continue;
                row *r = &b->rows[b->n_rows++];
                r->test = (lull_bench_test){.is_prefill = !is_generated,
                                            .n_tokens = (size_t)lengths->v[i],
                                            .depth = (size_t)b->a->depths.v[d],
                                            .n_threads = n_threads};
                LULL_TRY(measure_row(b, r, err));
            }
        }
done:
    return st;
}

static void close_model(bench *b)
{
    lull_interrupt_watch(NULL);
    lull_session_free(b->session);
    lull_model_close(b->model);
    lull_gauge_free(b->gauge);
    b->session = NULL;
    b->model = NULL;
    b->gauge = NULL;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_rows(const bench *b)
{
    lull_grid g;
    char buf[32];
    lull_grid_init(&g, "lrrrrrrr");
    const char *const heading[] = {"test", "depth", "threads", "tok/s",
                                   "min",  "max",   "a token", "of the roof"};
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        lull_grid_cell(&g, "%s", heading[i]);
    for (const row *r = b->rows; r < b->rows + b->n_rows; r++) {
        lull_grid_cell(&g, "%s", lull_bench_test_name(buf, &r->test));
        lull_grid_cell(&g, "%zu", r->test.depth);
        lull_grid_cell(&g, "%d", r->test.n_threads);
        lull_grid_cell(&g, "%.1f", r->median);
        lull_grid_cell(&g, "%.1f", r->min);
        lull_grid_cell(&g, "%.1f", r->max);
        lull_grid_cell(&g, "%s", lull_format_bytes(buf, (uint64_t)r->bytes_per_token));
        lull_grid_cell(&g, "%.0f %%", r->roof_share * 100);
    }
    lull_grid_print(&g, stdout, true);
    lull_grid_fini(&g);
}

static json_t *rows_json(const bench *b)
{
    json_t *rows = json_array();
    char buf[32];
    for (const row *r = b->rows; r < b->rows + b->n_rows; r++)
        json_array_append_new(
            rows, json_pack("{s:s, s:I, s:i, s:{s:f, s:f, s:f}, s:f, s:f, s:o, s:o*}", "test",
                            lull_bench_test_name(buf, &r->test), "depth", (json_int_t)r->test.depth,
                            "threads", r->test.n_threads, "tok_s", "min", r->min, "median",
                            r->median, "max", r->max, "bytes_per_token", r->bytes_per_token,
                            "roof_share", r->roof_share, "roofs", lull_cmd_roofs_json(&r->roofs, 1),
                            "profile", r->profile ? lull_bench_profile_json(r->profile) : NULL));
    return rows;
}

static int print_results(const bench *b, const char *cpu, const lull_model_info *info)
{
    if (b->a->as_json)
        return lull_cmd_print_json(json_pack(
            "{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:i, s:o, s:o}", "model", b->a->model, "name",
            info->name, "architecture", info->architecture, "params", (json_int_t)info->n_params,
            "weight_bytes", (json_int_t)info->weight_bytes, "cpu", cpu, "cpu_level", b->level,
            "numerics", info->numerics, "reps", (int)b->a->reps, "roofs",
            lull_cmd_roofs_json(b->roofs, b->n_runs), "rows", rows_json(b)));
    char buf[LULL_FORMAT_CAP], count[LULL_FORMAT_CAP];
    const char *name = *info->name ? info->name : b->a->model;
    lull_display_write(stdout, name, strlen(name));
    printf(": %s parameters, %s of weights\n%s, %s\n\n", lull_format_count(count, info->n_params),
           lull_format_bytes(buf, info->weight_bytes), cpu, b->level);
    print_rows(b);
    for (size_t i = 0; i < b->n_rows; i++)
        if (b->rows[i].profile) lull_bench_profile_print(b->rows[i].profile);
    putchar('\n');
    lull_cmd_print_roofs(b->roofs, b->n_runs);
    return LULL_EXIT_OK;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int64_t largest(const lull_ints *list)
{
    int64_t most = 0;
    for (size_t i = 0; i < list->n; i++) most = list->v[i] > most ? list->v[i] : most;
    return most;
}

/* Tokens that a number of threads will evaluate. */
static uint64_t count_tokens(const args *a)
{
    int64_t sum = 0;
    for (size_t d = 0; d < a->depths.n; d++) {
        sum += a->depths.v[d];
        for (size_t i = 0; i < a->prompts.n; i++) sum += a->prompts.v[i] * (a->reps + 1);
        for (size_t i = 0; i < a->generated.n; i++) sum += a->generated.v[i] * (a->reps + 1);
    }
    return (uint64_t)sum;
}

/* All profiles, into one picture. */
static lull_status draw_profiles(const bench *b, const char *cpu, lull_error *err)
{
    char title[256];
    const char *name = lull_model_get_info(b->model).name;
    lull_bench_profile **profiles = calloc(b->n_rows, sizeof *profiles);
    if (!profiles) return lull_fail(err, LULL_ENOMEM, "out of memory for a picture");
    for (size_t i = 0; i < b->n_rows; i++) profiles[i] = b->rows[i].profile;
    snprintf(title, sizeof title, "%s on %s, %s", *name ? name : b->a->model, cpu, b->level);
    lull_status st = lull_bench_profile_draw(b->a->svg, title, profiles, b->n_rows, err);
    free(profiles);
    return st;
}

static lull_status measure_all(bench *b, int *rc, lull_error *err)
{
    const args *a = b->a;
    char cpu[64];
    lull_cpu_level level;
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    /* Opened and closed once before anything is timed: a mistake shows at once, and what is packed
     * at a first start is in the cache. */
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->threads.v[0], a->numerics, LULL_CMD_ALONE,
                                 &b->model, err));
    snprintf(b->level, sizeof b->level, "%s", lull_model_get_info(b->model).cpu_level);
    b->n_threads[0] = lull_model_get_info(b->model).n_threads;
    b->n_runs = a->threads.n ? a->threads.n : 1;
    for (size_t i = 1; i < b->n_runs; i++) b->n_threads[i] = (int)a->threads.v[i];
    close_model(b);
    LULL_TRY(lull_cpu_level_parse(b->level, &level, err));
    lull_cpu_brand(cpu, sizeof cpu);

    size_t n_lengths = a->prompts.n + a->generated.n;
    int64_t longest = largest(&a->prompts), most = largest(&a->generated);
    b->n_ctx = (size_t)(largest(&a->depths) + (longest > most ? longest : most));
    b->tokens = calloc(b->n_ctx, sizeof *b->tokens);
    b->rows = calloc(b->n_runs * a->depths.n * n_lengths, sizeof *b->rows);
    b->ms = calloc((size_t)a->reps, sizeof *b->ms);
    b->readings = calloc((size_t)a->reps + 1, sizeof *b->readings);
    if (!b->tokens || !b->rows || !b->ms || !b->readings)
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for %zu tokens", b->n_ctx));
    LULL_TRY(lull_roofs_measure(level, b->n_threads, (int)b->n_runs, b->roofs, err));
    if (lull_interrupt_signal()) LULL_TRY(lull_fail(err, LULL_ECANCELLED, "interrupted"));

    lull_progress_init(&b->bar, "measuring", LULL_PROGRESS_TOKENS, count_tokens(a) * b->n_runs);
    for (size_t i = 0; i < b->n_runs; i++) {
        if (i > 0) close_model(b);
        LULL_TRY(measure_threads(b, b->n_threads[i], level, err));
    }
    lull_progress_finish(&b->bar);
    lull_model_info info = lull_model_get_info(b->model);
    if (a->svg) LULL_TRY(draw_profiles(b, cpu, err));
    *rc = print_results(b, cpu, &info);
done:
    lull_progress_finish(&b->bar);
    close_model(b);
    for (size_t i = 0; i < b->n_rows; i++) lull_bench_profile_free(b->rows[i].profile);
    free(b->tokens);
    free(b->rows);
    free(b->ms);
    free(b->readings);
    return st;
}

int lull_cmd_bench(int argc, char **argv)
{
    args a = {.prompts = {{512}, 1}, .generated = {{128}, 1}, .depths = {{0}, 1}, .reps = 5};
    const lull_option options[] = {
        {'p', "prompt", "n-prompt", LULL_OPT_INTS, &a.prompts, 0, 1e6, "512,2048",
         "read so many tokens at once (default: 512; 0: none)"},
        {'n', "predict", "n-gen", LULL_OPT_INTS, &a.generated, 0, 1e6, "128",
         "generate so many, one by one (default: 128; 0: none)"},
        {'d', "depth", "n-depth", LULL_OPT_INTS, &a.depths, 0, 1e6, "0,4096",
         "with so many tokens before them (default: 0)"},
        {'t', "threads", NULL, LULL_OPT_INTS, &a.threads, 1, LULL_MAX_THREADS, "1,2",
         "threads (default: $LULL_THREADS, else the cores)"},
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
        {'r', "reps", "repetitions", LULL_OPT_INT, &a.reps, 1, 1000, "N",
         "repetitions of each, after one that does not count (default: 5)"},
        {0, "mask", "masks", LULL_OPT_FLAG, &a.has_masks, 0, 0, NULL,
         "measure what holding a text to a grammar costs, instead"},
        {0, "profile", NULL, LULL_OPT_FLAG, &a.has_profile, 0, 0, NULL,
         "where the time goes, by operation"},
        {0, "svg", NULL, LULL_OPT_STRING, &a.svg, 0, 0, "FILE", "draw the profile to a file"},
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL, "print JSON"},
    };
    const lull_cli cli = {.verb = "bench",
                          .operands = "MODEL",
                          .about =
                              "Tokens a second, reading (pp) and generating (tg), at several "
                              "depths of context; beside it, the share of what the memory and the "
                              "multipliers of this machine allow, measured in the same run.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc >= 0) return rc;
    a.has_profile |= a.svg != NULL;
    if (largest(&a.prompts) == 0 && largest(&a.generated) == 0)
        return lull_cli_usage("bench", "nothing to measure: -p and -n are both 0");
    lull_error err;
    bench b = {.a = &a};
    rc = LULL_EXIT_OK;
    if (a.has_masks) {
        int n_threads = a.threads.n ? (int)a.threads.v[0] : 0;
        lull_status st = lull_bench_masks(a.model, n_threads, a.numerics, a.as_json, &rc, &err);
        return st == LULL_OK ? rc : lull_cmd_fail("bench", &err);
    }
    if (measure_all(&b, &rc, &err) != LULL_OK) return lull_cmd_fail("bench", &err);
    return rc;
}
