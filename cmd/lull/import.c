#include <stdlib.h>

#include "format.h"
#include "store_cmd.h"

typedef struct args {
    const char *file, *dir;
    bool is_replacing, as_json;
} args;

static lull_status import_file(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    int64_t *ids = NULL;
    size_t n = 0;
    lull_store_info before, after;
    json_t *list = json_array();
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, true, &store, err));
    LULL_TRY(lull_store_get_info(store, &before, err));
    LULL_TRY(lull_store_import(store, a->file, a->is_replacing, &ids, &n, err));
    LULL_TRY(lull_store_get_info(store, &after, err));
    for (size_t i = 0; i < n; i++) {
        lull_store_state state;
        char label[LULL_NAME_MAX + 1], count[LULL_FORMAT_CAP];
        LULL_TRY(lull_store_get(store, ids[i], true, &state, err));
        if (!a->as_json)
            printf("%s: %s tokens\n", lull_cmd_state_label(&state, label),
                   lull_format_count(count, state.n_tokens));
        json_array_append_new(
            list, lull_cmd_state_json(&state, state.n_names > 0 ? state.names[0] : NULL));
        lull_store_state_fini(&state);
    }
    if (a->as_json) {
        *rc = lull_cmd_print_json(list);
        list = NULL;
    } else {
        printf("%zu pages are new\n", after.n_pages - before.n_pages);
    }
done:
    json_decref(list);
    lull_free(ids);
    lull_store_close(store);
    return st;
}

int lull_cmd_import(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "replace", NULL, LULL_OPT_FLAG, &a.is_replacing, 0, 0, NULL,
         "move names that are taken; otherwise NAME becomes NAME-2"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {
        .verb = "import",
        .operands = "FILE.lull",
        .about = "Take the states of a file in. Pages that are here already are not written again.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.file);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (import_file(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("import", &err);
    return rc;
}
