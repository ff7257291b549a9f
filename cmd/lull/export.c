#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "explain.h"
#include "format.h"
#include "store_cmd.h"

typedef struct args {
    lull_strings names;
    const char *out, *since, *model, *dir;
    bool with_text, no_messages, as_json;
} args;

/* The text of a state's tokens into its session, so that it can be read without the model. */
static lull_status add_text(const args *a, lull_store *store, const lull_store_state *state,
                            const char *name, json_t *session, lull_error *err)
{
    lull_model *model = NULL;
    int32_t *tokens = NULL;
    size_t n = 0;
    lull_buffer text = {0};
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_open_vocab(state, name, a->model, &model, err));
    LULL_TRY(lull_store_get_tokens(store, state->id, &tokens, &n, err));
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes;
        const char *piece = lull_token_text(model, tokens[i], true, &n_bytes);
        lull_buffer_append(&text, piece, n_bytes);
    }
    json_object_set_new(session, "text",
                        lull_cmd_json_text(text.data ? text.data : "", text.n_bytes));
done:
    lull_buffer_fini(&text);
    lull_free(tokens);
    lull_model_close(model);
    return st;
}

/* What a state's session is to be in the file: with or without texts, and with no folder of this
 * machine in it. Owned. */
static lull_status exported_session(const args *a, lull_store *store, int64_t id, const char *name,
                                    char **out, lull_error *err)
{
    lull_store_state state;
    *out = NULL;
    lull_status st = lull_store_get(store, id, false, &state, err);
    if (st != LULL_OK) return st;
    json_t *session = lull_cmd_parse_json(state.session);
    if (!json_is_object(session)) {
        json_decref(session);
        session = json_object();
    }
    const char *model = json_string_value(json_object_get(session, "model"));
    const char *base = model ? strrchr(model, '/') : NULL;
    if (a->with_text) LULL_TRY(add_text(a, store, &state, name, session, err));
    if (base) json_object_set_new(session, "model", json_string(base + 1));
    if (a->no_messages) {
        static const char *const texts[] = {"messages", "conversation", "note", "generation",
                                            "summary"};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            json_object_del(session, texts[i]);
    }
    *out = json_dumps(session, JSON_COMPACT | JSON_SORT_KEYS);
    if (!*out) st = lull_fail(err, LULL_ENOMEM, "no memory for a session");
done:
    json_decref(session);
    lull_store_state_fini(&state);
    return st;
}

static lull_status export_states(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    int64_t ids[LULL_STRINGS_CAP], since = 0;
    const char *names[LULL_STRINGS_CAP];
    char **sessions = calloc(a->names.n, sizeof *sessions), size[LULL_FORMAT_CAP];
    size_t token;
    lull_status st = LULL_OK;
    if (!sessions) return lull_fail(err, LULL_ENOMEM, "no memory for the sessions");
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    if (a->since) LULL_TRY(lull_store_resolve(store, a->since, &since, &token, err));
    for (size_t i = 0; i < a->names.n; i++) {
        LULL_TRY(lull_store_resolve(store, a->names.v[i], &ids[i], &token, err));
        if (token != SIZE_MAX)
            LULL_TRY(
                lull_fail(err, LULL_EINVAL,
                          "%s: states are exported whole: `lull fork` makes one of a beginning",
                          a->names.v[i]));
        LULL_TRY(exported_session(a, store, ids[i], a->names.v[i], &sessions[i], err));
        /* Other names of the state may be nobody's business; #ID chooses none. */
        bool is_name = lull_name_check("name", a->names.v[i], NULL) == LULL_OK;
        names[i] = is_name ? a->names.v[i] : NULL;
    }
    const lull_export_options o = {
        .since = since, .names = names, .sessions = (const char *const *)sessions};
    LULL_TRY(lull_store_export(store, ids, a->names.n, &o, a->out, err));
    struct stat info = {0};
    if (stat(a->out, &info) != 0) info.st_size = 0;
    if (a->as_json)
        *rc = lull_cmd_print_json(json_pack("{s:s, s:I, s:I}", "file", a->out, "bytes",
                                            (json_int_t)info.st_size, "states",
                                            (json_int_t)a->names.n));
    else
        fprintf(stderr, "%s: %zu state%s, %s\n", a->out, a->names.n, a->names.n == 1 ? "" : "s",
                lull_format_bytes(size, (uint64_t)info.st_size));
done:
    for (size_t i = 0; i < a->names.n; i++) free(sessions[i]);
    free(sessions);
    lull_store_close(store);
    return st;
}

int lull_cmd_export(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'o', "output", NULL, LULL_OPT_STRING, &a.out, 0, 0, "FILE.lull", "where to write"},
        {0, "since", NULL, LULL_OPT_STRING, &a.since, 0, 0, "NAME",
         "leave out what this state has: the receiver has it, too"},
        {0, "text", NULL, LULL_OPT_FLAG, &a.with_text, 0, 0, NULL,
         "add the text of the tokens, to be read without the model"},
        {0, "no-messages", NULL, LULL_OPT_FLAG, &a.no_messages, 0, 0, NULL,
         "leave notes, messages and the sampler out: tokens alone"},
        {0, "model", NULL, LULL_OPT_STRING, &a.model, 0, 0, "FILE",
         "the model for --text, if it is not where the state was made"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {
        .verb = "export",
        .operands = "NAME...",
        .required = "-o FILE.lull",
        .about = "Write states to one file, to be woken in place (--wake FILE.lull) or imported.",
        .groups = {{"Options", options, sizeof options / sizeof *options}},
        .rest = &a.names};
    int rc = lull_cli_parse(&cli, argc, argv, NULL);
    if (rc >= 0) return rc;
    if (!a.out) return lull_cli_usage("export", "-o FILE.lull is missing");
    lull_error err;
    rc = LULL_EXIT_OK;
    if (export_states(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("export", &err);
    return rc;
}
