#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "store_cmd.h"

typedef struct args {
    const char *names[2], *dir;
    bool is_forced, as_json;
} args;

/* What a beginning keeps of the whole's session: messages and generation are of its end. */
static char *beginning_session(const char *whole)
{
    json_t *all = lull_cmd_parse_json(whole), *part = json_object();
    static const char *const kept[] = {"note", "model"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(all, kept[i]))
            json_object_set(part, kept[i], json_object_get(all, kept[i]));
    char *text = part ? json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    json_decref(part);
    return text;
}

static lull_status fork_state(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_store_state state = {0};
    char *session = NULL, count[LULL_FORMAT_CAP];
    int64_t id, out;
    size_t token;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_resolve(store, a->names[0], &id, &token, err));
    LULL_TRY(lull_store_get(store, id, false, &state, err));
    session = beginning_session(state.session);
    if (!session) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for the session"));
    LULL_TRY(
        lull_store_fork(store, id, token, session, a->names[1], a->is_forced ? -1 : 0, &out, err));
    size_t n = token < state.n_tokens ? token : state.n_tokens;
    if (a->as_json)
        *rc = lull_cmd_print_json(json_pack("{s:s, s:I, s:I, s:I}", "name", a->names[1], "state",
                                            (json_int_t)out, "n_tokens", (json_int_t)n, "from",
                                            (json_int_t)id));
    else
        fprintf(stderr, "%s is #%lld: %s tokens\n", a->names[1], (long long)out,
                lull_format_count(count, n));
done:
    free(session);
    lull_store_state_fini(&state);
    lull_store_close(store);
    return st;
}

int lull_cmd_fork(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'f', "force", NULL, LULL_OPT_FLAG, &a.is_forced, 0, 0, NULL,
         "move NEW if there is such a name; its history keeps where it stood"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "fork",
                          .operands = "NAME NEW",
                          .about = "Give a state another name, under which it goes on apart: NAME, "
                                   "NAME@{n} for where it stood n moves ago, NAME:TOKEN for its "
                                   "first tokens. Nothing is copied but, for :TOKEN, one page.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, a.names);
    if (rc < 0) rc = lull_cmd_check_name("fork", "name", a.names[1]);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (fork_state(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("fork", &err);
    return rc;
}
