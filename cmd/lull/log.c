#include <stdlib.h>

#include "format.h"
#include "store_cmd.h"

typedef struct args {
    const char *name, *dir;
    bool as_json;
} args;

static void add_row(lull_grid *g, size_t i, const lull_store_state *st, int64_t n_parent)
{
    char count[LULL_FORMAT_CAP], more[LULL_FORMAT_CAP], age[LULL_AGE_CAP];
    int64_t n_more = (int64_t)st->n_tokens - n_parent;
    lull_grid_cell(g, "@{%zu}", i);
    lull_grid_cell(g, "#%lld", (long long)st->id);
    lull_grid_cell(g, "%s", lull_format_count(count, st->n_tokens));
    lull_grid_cell(g, "%c%s", n_more < 0 ? '-' : '+',
                   lull_format_count(more, (uint64_t)(n_more < 0 ? -n_more : n_more)));
    if (st->parent > 0)
        lull_grid_cell(g, "#%lld", (long long)st->parent);
    else
        lull_grid_cell(g, "%s", "");
    lull_grid_cell(g, "%s", lull_cmd_age(age, st->created_ms));
}

/* The tokens of the state that another one came from, 0 when it came from none. */
static int64_t parent_tokens(lull_store *store, int64_t parent)
{
    lull_store_state st;
    lull_error ignored;
    if (parent == 0 || lull_store_get(store, parent, false, &st, &ignored) != LULL_OK) return 0;
    int64_t n = (int64_t)st.n_tokens;
    lull_store_state_fini(&st);
    return n;
}

static lull_status print_log(const args *a, int *rc, lull_error *err)
{
    static const char *const heading[] = {"", "state", "tokens", "new", "from", "age"};
    lull_store *store = NULL;
    lull_store_move *moves = NULL;
    size_t n = 0;
    json_t *list = json_array();
    lull_status st = LULL_OK;
    lull_grid g;
    lull_grid_init(&g, "lrrrrr");
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        lull_grid_cell(&g, "%s", heading[i]);
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_history(store, a->name, &moves, &n, err));
    for (size_t i = 0; i < n; i++) {
        lull_store_state state;
        char moved[LULL_AGE_CAP];
        LULL_TRY(lull_store_get(store, moves[i].state, true, &state, err));
        add_row(&g, i, &state, parent_tokens(store, state.parent));
        json_t *row = lull_cmd_state_json(&state, a->name);
        json_object_set_new(row, "index", json_integer((json_int_t)i));
        json_object_set_new(row, "moved", json_string(lull_cmd_time(moved, moves[i].at_ms)));
        json_array_append_new(list, row);
        lull_store_state_fini(&state);
    }
    if (a->as_json) {
        *rc = lull_cmd_print_json(list);
        list = NULL;
    } else {
        lull_grid_print(&g, stdout, true);
    }
done:
    json_decref(list);
    lull_grid_fini(&g);
    lull_free(moves);
    lull_store_close(store);
    return st;
}

int lull_cmd_log(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {LULL_STORE_ROW(&a.dir), LULL_JSON_ROW(&a.as_json)};
    const lull_cli cli = {.verb = "log",
                          .operands = "NAME",
                          .about =
                              "Where a name stood: NAME@{1} is the state before the present one.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.name);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (print_log(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("log", &err);
    return rc;
}
