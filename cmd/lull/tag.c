#include <string.h>

#include "display.h"
#include "store_cmd.h"

typedef struct args {
    const char *name, *dir;
    lull_strings tags, removed;
    bool as_json;
} args;

static lull_status tag(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_store_state state = {0};
    int64_t id;
    size_t token;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_resolve(store, a->name, &id, &token, err));
    for (size_t i = 0; i < a->removed.n; i++)
        LULL_TRY(lull_store_set_tag(store, id, a->removed.v[i], false, err));
    for (size_t i = 0; i < a->tags.n; i++)
        LULL_TRY(lull_store_set_tag(store, id, a->tags.v[i], true, err));
    LULL_TRY(lull_store_get(store, id, false, &state, err));
    if (a->as_json) {
        json_t *list = json_array();
        for (size_t i = 0; i < state.n_tags; i++)
            json_array_append_new(list, lull_cmd_json_text(state.tags[i], strlen(state.tags[i])));
        *rc = lull_cmd_print_json(list);
    } else if (a->tags.n + a->removed.n == 0) {
        for (size_t i = 0; i < state.n_tags; i++) {
            lull_buffer b = {0};
            lull_display_escape(&b, state.tags[i], strlen(state.tags[i]));
            puts(b.data ? b.data : "");
            lull_buffer_fini(&b);
        }
    }
done:
    lull_store_state_fini(&state);
    lull_store_close(store);
    return st;
}

int lull_cmd_tag(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'r', "remove", NULL, LULL_OPT_STRINGS, &a.removed, 0, 0, "TAG",
         "take a tag away; may be repeated"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "tag",
                          .operands = "NAME [TAG...]",
                          .about =
                              "Tag the state that a name stands at; without TAG print its tags.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}},
                          .rest = &a.tags};
    int rc = lull_cli_parse(&cli, argc, argv, &a.name);
    for (size_t i = 0; i < a.tags.n && rc < 0; i++)
        rc = lull_cmd_check_name("tag", "tag", a.tags.v[i]);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (tag(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("tag", &err);
    return rc;
}
