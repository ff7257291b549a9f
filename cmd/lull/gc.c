#include "format.h"
#include "quota.h"
#include "store_cmd.h"

typedef struct args {
    const char *dir, *max_size, *max_age;
    bool is_thinning, is_dry_run, as_json;
    lull_quota quota;
} args;

static int print_json(const args *a, const lull_store_gc_report *r)
{
    return lull_cmd_print_json(
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "states", (json_int_t)r->n_states, "pages",
                  (json_int_t)r->n_pages, "segments", (json_int_t)r->n_segments, "thinned_pages",
                  (json_int_t)r->n_thinned, "bytes_before", (json_int_t)r->bytes_before,
                  "bytes_after", (json_int_t)r->bytes_after, "dry_run", (int)a->is_dry_run));
}

static void print_report(const args *a, const lull_store_gc_report *r)
{
    char before[LULL_FORMAT_CAP], after[LULL_FORMAT_CAP];
    printf("%s%zu state%s and %zu page%s", a->is_dry_run ? "would remove " : "removed ",
           r->n_states, r->n_states == 1 ? "" : "s", r->n_pages, r->n_pages == 1 ? "" : "s");
    if (r->n_thinned > 0) printf(", thinned %zu", r->n_thinned);
    printf("; segments: %s -> %s\n", lull_format_bytes(before, r->bytes_before),
           lull_format_bytes(after, r->bytes_after));
}

static lull_status collect(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_quota kept;
    lull_store_gc_report report;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_quota_load(lull_store_folder(store), &kept, err));
    lull_store_gc_options options = {
        .max_bytes = a->max_size ? a->quota.max_bytes : kept.max_bytes,
        .max_age_ms = a->max_age ? a->quota.max_age_ms : kept.max_age_ms,
        .is_thinning = a->is_thinning,
        .is_dry_run = a->is_dry_run,
    };
    LULL_TRY(lull_store_gc(store, &options, &report, err));
    if (a->as_json)
        *rc = print_json(a, &report);
    else
        print_report(a, &report);
done:
    lull_store_close(store);
    return st;
}

int lull_cmd_gc(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "max-size", NULL, LULL_OPT_STRING, &a.max_size, 0, 0, "SIZE",
         "forget the oldest history until the rest is smaller: 10G, 500M, none"},
        {0, "max-age", NULL, LULL_OPT_STRING, &a.max_age, 0, 0, "AGE",
         "forget history that is older: 30d, 12h, none"},
        {0, "thin", NULL, LULL_OPT_FLAG, &a.is_thinning, 0, 0, NULL,
         "drop what sliding windows have left behind; at most a window is read again for it"},
        {'n', "dry-run", NULL, LULL_OPT_FLAG, &a.is_dry_run, 0, 0, NULL,
         "only say what would be removed"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {
        .verb = "gc",
        .operands = "",
        .about = "Remove what no name, no history and no running program refers to. The limits of "
                 "`lull store` hold unless others are given. Names are never taken away.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    const char *none[1] = {NULL};
    int rc = lull_cli_parse(&cli, argc, argv, none);
    if (rc >= 0) return rc;
    if (a.max_size && !lull_quota_parse_bytes(a.max_size, &a.quota.max_bytes))
        return lull_cli_usage("gc", "--max-size takes 10G, 500M or none, not '%s'", a.max_size);
    if (a.max_age && !lull_quota_parse_age(a.max_age, &a.quota.max_age_ms))
        return lull_cli_usage("gc", "--max-age takes 30d, 12h or none, not '%s'", a.max_age);
    lull_error err;
    rc = LULL_EXIT_OK;
    if (collect(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("gc", &err);
    return rc;
}
