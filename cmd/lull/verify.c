#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "format.h"
#include "progress.h"
#include "self_test.h"
#include "store_cmd.h"

typedef struct args {
    const char *name, *model, *self, *dir;
    int64_t n_threads;
    lull_cmd_numerics numerics;
    bool recomputes, as_json;
} args;

typedef struct report {
    json_t *findings; /* array */
    bool as_json;
    size_t n_states, n_bad;
} report;

static bool on_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    report *r = user;
    r->n_bad++;
    json_array_append_new(r->findings, json_pack("{s:s, s:I, s:s}", "file", file, "offset",
                                                 (json_int_t)offset, "what", what));
    /* Most findings name their file already. */
    bool is_named = strncmp(what, file, strlen(file)) == 0;
    if (!r->as_json && is_named)
        puts(what);
    else if (!r->as_json)
        printf("%s: offset %llu: %s\n", file, (unsigned long long)offset, what);
    return lull_interrupt_signal() == 0;
}

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    lull_progress *bar = user;
    bar->total = total;
    lull_progress_update(bar, done);
    return lull_interrupt_signal() == 0;
}

/* Models are opened one at a time: states are often of the same. */
typedef struct opened {
    char *path;                 /* owned */
    lull_cmd_numerics numerics; /* of static strings */
    lull_model *model;
} opened;

static lull_status open_for(opened *o, const args *a, const lull_store_state *state,
                            const char *label, lull_error *err)
{
    json_t *session = lull_cmd_parse_json(state->session);
    const char *path = a->model ? a->model : json_string_value(json_object_get(session, "model"));
    lull_cmd_numerics numerics = lull_cmd_numerics_of_state(state, a->numerics);
    lull_status st = LULL_OK;
    if (!path) {
        st = lull_fail(err, LULL_ENOTFOUND, "%.60s does not say which model read it: give --model",
                       label);
    } else if (!o->path || strcmp(path, o->path) != 0 ||
               memcmp(&o->numerics, &numerics, sizeof numerics) != 0) {
        lull_model_close(o->model);
        free(o->path);
        *o = (opened){.path = strdup(path), .numerics = numerics};
        st = lull_cmd_open_model(path, (int)a->n_threads, numerics, 0, &o->model, err);
    }
    json_decref(session);
    return st;
}

static lull_status recompute_state(const args *a, lull_store *store, int64_t id, opened *o,
                                   report *r, lull_error *err)
{
    lull_store_state state;
    lull_status st = lull_store_get(store, id, false, &state, err);
    if (st != LULL_OK) return st;
    char label[LULL_NAME_MAX + 1], what[96];
    size_t n_bad = 0;
    lull_progress bar;
    lull_cmd_state_label(&state, label);
    lull_progress_init(&bar, "computing", LULL_PROGRESS_TOKENS, state.n_tokens);
    LULL_TRY(open_for(o, a, &state, label, err));
    LULL_TRY(lull_recompute(o->model, store, id, on_progress, &bar, &n_bad, err));
    lull_progress_finish(&bar);
    r->n_states++;
    if (n_bad > 0) {
        snprintf(what, sizeof what, "%zu of its pages are not what its model computes", n_bad);
        (void)on_finding(r, label, 0, what);
    } else if (!r->as_json) {
        printf("%s: %zu tokens computed again: the same bits\n", label, state.n_tokens);
    }
done:
    lull_progress_finish(&bar);
    lull_store_state_fini(&state);
    return st;
}

static lull_status recompute(const args *a, lull_store *store, report *r, lull_error *err)
{
    opened o = {.path = NULL};
    int64_t *ids = NULL, id;
    size_t n = 1, token;
    lull_status st = LULL_OK;
    if (a->name) {
        LULL_TRY(lull_store_resolve(store, a->name, &id, &token, err));
        LULL_TRY(recompute_state(a, store, id, &o, r, err));
        goto done;
    }
    LULL_TRY(lull_store_list(store, &ids, &n, err));
    for (size_t i = 0; i < n; i++) LULL_TRY(recompute_state(a, store, ids[i], &o, r, err));
done:
    lull_free(ids);
    lull_model_close(o.model);
    free(o.path);
    return st;
}

static lull_status verify(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    report r = {.findings = json_array(), .as_json = a->as_json};
    lull_store_info info;
    char size[LULL_FORMAT_CAP];
    size_t n_bad;
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_verify(store, on_finding, &r, &n_bad, err));
    if (a->recomputes) LULL_TRY(recompute(a, store, &r, err));
    LULL_TRY(lull_store_get_info(store, &info, err));
    if (r.n_bad > 0) *rc = LULL_EXIT_FAILED;
    if (a->as_json) {
        int printed = lull_cmd_print_json(
            json_pack("{s:O, s:I, s:I, s:I, s:I, s:I}", "findings", r.findings, "states",
                      (json_int_t)info.n_states, "pages", (json_int_t)info.n_pages, "segments",
                      (json_int_t)info.n_segments, "bytes", (json_int_t)info.segment_bytes,
                      "recomputed_states", (json_int_t)r.n_states));
        if (printed != LULL_EXIT_OK) *rc = printed;
        goto done;
    }
    printf("%zu state%s, %zu page%s, %s in %zu segment%s: ", info.n_states,
           info.n_states == 1 ? "" : "s", info.n_pages, info.n_pages == 1 ? "" : "s",
           lull_format_bytes(size, info.segment_bytes), info.n_segments,
           info.n_segments == 1 ? "" : "s");
    if (r.n_bad == 0)
        puts("all is well");
    else
        printf("%zu thing%s wrong; `lull run MODEL --wake NAME --re-read -n 0 --sleep NAME` mends "
               "a state\n",
               r.n_bad, r.n_bad == 1 ? " is" : "s are");
done:
    json_decref(r.findings);
    lull_store_close(store);
    return st;
}

int lull_cmd_verify(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "recompute", NULL, LULL_OPT_FLAG, &a.recomputes, 0, 0, NULL,
         "compute all states, or NAME, again and compare every byte"},
        {0, "model", NULL, LULL_OPT_STRING, &a.model, 0, 0, "FILE",
         "the model for that, if it is not where the state was made"},
        {0, "self", NULL, LULL_OPT_STRING, &a.self, 0, 0, "MODEL",
         "test this program, with this model, on this machine: a line a promise"},
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "verify",
                          .operands = "[NAME]",
                          .about = "Read all of the store and compare it with its checksums. What "
                                   "is wrong is told by file and offset; exit 1 then.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.name);
    if (rc >= 0) return rc;
    if (a.name && !a.recomputes)
        return lull_cli_usage("verify",
                              "NAME needs --recompute: the whole store is read otherwise");
    lull_error err;
    if (a.self) return lull_self_test(a.self, (int)a.n_threads, a.numerics, a.as_json);
    rc = LULL_EXIT_OK;
    if (verify(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("verify", &err);
    return rc;
}
