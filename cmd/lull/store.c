#include "format.h"
#include "quota.h"
#include "store_cmd.h"

typedef struct args {
    const char *dir, *max_size, *max_age;
    bool as_json;
    lull_quota quota;
} args;

static int print_json(const char *path, const lull_store_info *i, const lull_quota *q)
{
    return lull_cmd_print_json(json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "path", path, "states",
        (json_int_t)i->n_states, "names", (json_int_t)i->n_names, "pages", (json_int_t)i->n_pages,
        "segments", (json_int_t)i->n_segments, "leases", (json_int_t)i->n_leases, "segment_bytes",
        (json_int_t)i->segment_bytes, "catalog_bytes", (json_int_t)i->catalog_bytes, "live_bytes",
        (json_int_t)i->live_bytes, "max_bytes", (json_int_t)q->max_bytes, "max_age_ms",
        (json_int_t)q->max_age_ms));
}

static void print_info(const char *path, const lull_store_info *i, const lull_quota *q)
{
    char a[LULL_FORMAT_CAP], b[LULL_FORMAT_CAP];
    lull_grid g;
    lull_grid_init(&g, "ll");
    lull_grid_cell(&g, "path");
    lull_grid_cell(&g, "%s", path);
    lull_grid_cell(&g, "states");
    lull_grid_cell(&g, "%zu, under %zu name%s", i->n_states, i->n_names,
                   i->n_names == 1 ? "" : "s");
    lull_grid_cell(&g, "pages");
    lull_grid_cell(&g, "%zu", i->n_pages);
    lull_grid_cell(&g, "segments");
    lull_grid_cell(&g, "%zu, %s, of it %s in use", i->n_segments,
                   lull_format_bytes(a, i->segment_bytes), lull_format_bytes(b, i->live_bytes));
    lull_grid_cell(&g, "catalogue");
    lull_grid_cell(&g, "%s", lull_format_bytes(a, i->catalog_bytes));
    lull_grid_cell(&g, "leases");
    lull_grid_cell(&g, "%zu", i->n_leases);
    lull_grid_cell(&g, "limits");
    if (q->max_bytes > 0)
        lull_format_bytes(a, q->max_bytes);
    else
        snprintf(a, sizeof a, "any size");
    if (q->max_age_ms >= 86400000)
        snprintf(b, sizeof b, "%.3g days", (double)q->max_age_ms / 86400000);
    else if (q->max_age_ms > 0)
        lull_format_ms(b, (double)q->max_age_ms);
    else
        snprintf(b, sizeof b, "any age");
    lull_grid_cell(&g, "%s, history of %s", a, b);
    lull_grid_print(&g, stdout, false);
    lull_grid_fini(&g);
}

static lull_status show_store(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_store_info info;
    lull_quota quota;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, a->max_size || a->max_age, &store, err));
    const char *path = lull_store_folder(store);
    LULL_TRY(lull_quota_load(path, &quota, err));
    if (a->max_size) quota.max_bytes = a->quota.max_bytes;
    if (a->max_age) quota.max_age_ms = a->quota.max_age_ms;
    if (a->max_size || a->max_age) LULL_TRY(lull_quota_save(path, &quota, err));
    LULL_TRY(lull_store_get_info(store, &info, err));
    if (a->as_json)
        *rc = print_json(path, &info, &quota);
    else
        print_info(path, &info, &quota);
done:
    lull_store_close(store);
    return st;
}

int lull_cmd_store(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "set-max-size", NULL, LULL_OPT_STRING, &a.max_size, 0, 0, "SIZE",
         "what `lull gc` keeps history within: 10G, 500M, none"},
        {0, "set-max-age", NULL, LULL_OPT_STRING, &a.max_age, 0, 0, "AGE",
         "how old history may grow: 30d, 12h, none"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "store",
                          .operands = "",
                          .about = "Where the states are, what they take, and their limits.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    const char *none[1] = {NULL};
    int rc = lull_cli_parse(&cli, argc, argv, none);
    if (rc >= 0) return rc;
    if (a.max_size && !lull_quota_parse_bytes(a.max_size, &a.quota.max_bytes))
        return lull_cli_usage("store", "--set-max-size takes 10G, 500M or none, not '%s'",
                              a.max_size);
    if (a.max_age && !lull_quota_parse_age(a.max_age, &a.quota.max_age_ms))
        return lull_cli_usage("store", "--set-max-age takes 30d, 12h or none, not '%s'", a.max_age);
    lull_error err;
    rc = LULL_EXIT_OK;
    if (show_store(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("store", &err);
    return rc;
}
