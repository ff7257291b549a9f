#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "store_cmd.h"

typedef struct args {
    const char *file, *dir;
    bool is_all, as_json;
} args;

static void add_row(lull_grid *g, const lull_store_state *st, const char *name)
{
    char count[LULL_FORMAT_CAP], size[LULL_FORMAT_CAP], own[LULL_FORMAT_CAP], age[LULL_AGE_CAP];
    char model[LULL_MODEL_NAME_CAP], label[32];
    lull_buffer tags = {0};
    for (size_t i = 0; i < st->n_tags; i++)
        lull_buffer_printf(&tags, "%s%s", i > 0 ? " " : "", st->tags[i]);
    snprintf(label, sizeof label, "#%lld", (long long)st->id);
    if (!name) name = label;
    lull_grid_cell_text(g, name, strlen(name));
    lull_grid_cell(g, "%s", lull_format_count(count, st->n_tokens));
    lull_grid_cell(g, "%s", lull_format_bytes(size, st->bytes));
    lull_grid_cell(g, "%s", lull_format_bytes(own, st->own_bytes));
    lull_grid_cell(g, "%s", lull_cmd_age(age, st->created_ms));
    lull_cmd_state_model(st, model);
    lull_grid_cell_text(g, model, strlen(model));
    lull_grid_cell_text(g, tags.data ? tags.data : "", tags.n_bytes);
    lull_buffer_fini(&tags);
}

/* A row a name; states that have none on demand. */
static void add_state(const args *a, lull_grid *g, json_t *list, const lull_store_state *st)
{
    bool is_unnamed = st->n_names == 0;
    if (is_unnamed && !a->is_all) return;
    for (size_t i = 0; i < st->n_names + is_unnamed; i++) {
        const char *name = is_unnamed ? NULL : st->names[i];
        add_row(g, st, name);
        json_array_append_new(list, lull_cmd_state_json(st, name));
    }
}

static lull_status list(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    int64_t *ids = NULL;
    size_t n = 0;
    json_t *rows = json_array();
    lull_grid g;
    lull_status st = LULL_OK;
    static const char *const heading[] = {"name", "tokens", "size", "own", "age", "model", "tags"};
    lull_grid_init(&g, "lrrrrll");
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        lull_grid_cell(&g, "%s", heading[i]);
    LULL_TRY(a->file ? lull_store_open_export(a->file, &store, err)
                     : lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_list(store, &ids, &n, err));
    for (size_t i = n; i-- > 0;) { /* the newest first */
        lull_store_state state;
        st = lull_store_get(store, ids[i], true, &state, err);
        if (st == LULL_ENOTFOUND) continue; /* removed meanwhile */
        if (st != LULL_OK) goto done;
        add_state(a, &g, rows, &state);
        lull_store_state_fini(&state);
    }
    st = LULL_OK;
    if (a->as_json) {
        *rc = lull_cmd_print_json(rows);
        rows = NULL;
    } else if (json_array_size(rows) == 0) {
        fprintf(stderr, "%s: %s\n", lull_store_folder(store),
                n > 0 ? "no state has a name; --all shows them" : "there are no states");
    } else {
        lull_grid_print(&g, stdout, true);
    }
done:
    json_decref(rows);
    lull_grid_fini(&g);
    lull_free(ids);
    lull_store_close(store);
    return st;
}

int lull_cmd_ls(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'a', "all", NULL, LULL_OPT_FLAG, &a.is_all, 0, 0, NULL,
         "states without a name, too: older ones, and what gc is to remove"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "ls",
                          .operands = "[FILE.lull]",
                          .about =
                              "List the states: how many tokens they have, what they take with all "
                              "that they share, what they alone hold on to, and their age.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.file);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (list(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("ls", &err);
    return rc;
}
