#include <stdlib.h>
#include <string.h>

#include "conversation.h"
#include "file.h"
#include "format.h"
#include "state_cmd.h"
#include "store_cmd.h"

enum { SUMMARY_MAX_BYTES = 1 << 20 };

static const char ask_summary[] =
    "Summarize everything above for yourself, so that you can go on without it: the facts, the "
    "names and numbers, what was decided, and what is still open. Write the summary alone.";
static const char tell_summary[] = "Summary of what came before:\n";

typedef struct args {
    const char *names[2], *model, *summary_file, *dir;
    int64_t keep_tail, max_tokens, n_threads, n_ctx;
    bool as_json;
} args;

static bool on_text(void *user, const char *text, size_t n_bytes, int32_t token)
{
    (void)token;
    lull_buffer_append(user, text, n_bytes);
    return true;
}

/* The model's own summary of what the session has, in an exchange that is forgotten again. */
static lull_status summarize(const args *a, const lull_model *model, lull_session *s,
                             lull_buffer *out, lull_error *err)
{
    lull_conversation said = {0};
    lull_conversation_plan plan = {0};
    lull_generate_options o = lull_generate_options_default();
    static const char *const plain_stop[] = {LULL_CONVERSATION_PLAIN_STOP};
    lull_status st = LULL_OK;
    LULL_TRY(lull_conversation_load(&said, s, err));
    LULL_TRY(lull_conversation_add(&said, "user", ask_summary, strlen(ask_summary), err));
    LULL_TRY(lull_conversation_make_plan(&said, model, s, &plan, err));
    LULL_TRY(lull_conversation_follow(&plan, s, err));
    o.max_tokens = (size_t)a->max_tokens;
    o.sampling.repeat_penalty = 1.1f;
    o.sampling.penalty_window = 64;
    o.on_text = on_text;
    o.user = out;
    if (!lull_model_get_info(model).chat_template) {
        o.stop = plain_stop;
        o.n_stop = 1;
    }
    LULL_TRY(lull_generate(s, &o, NULL, err));
    if (out->is_failed || out->n_bytes == 0)
        st = lull_fail(err, LULL_EINVAL, "the model wrote no summary: give --summary FILE");
done:
    lull_cmd_tokens_fini(&plan.tokens);
    lull_conversation_fini(&said);
    return st;
}

static size_t count_tokens(const lull_model *model, const char *text)
{
    size_t n = 0;
    lull_error ignored;
    if (lull_tokenize(model, text, strlen(text), 0, NULL, 0, &n, &ignored) != LULL_OK) n = 0;
    return n;
}

/* A conversation: the summary becomes part of the system message, and the last exchanges stay that fit
 * into keep_tail tokens, one at least. */
static lull_status fold_messages(const args *a, const lull_model *model, lull_session *fresh,
                                 lull_conversation *old, const char *summary, lull_error *err)
{
    lull_conversation said = {0};
    lull_conversation_plan plan = {0};
    lull_buffer system = {0};
    size_t n_messages = lull_conversation_n(old), first = n_messages, n_kept = 0, n = 0;
    lull_status st = LULL_OK;
    for (size_t i = n_messages; i-- > 0;) {
        n += count_tokens(model, lull_conversation_content(old, i));
        if (strcmp(lull_conversation_role(old, i), "user") != 0) continue;
        if (first < n_messages && n_kept + n > (size_t)a->keep_tail) break;
        n_kept += n;
        n = 0;
        first = i;
    }
    lull_buffer_printf(&system, "%s%s%s%s", old->system ? old->system : "",
                       old->system ? "\n\n" : "", tell_summary, summary);
    if (system.is_failed) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for the summary"));
    LULL_TRY(lull_conversation_set_system(&said, system.data, err));
    for (size_t i = first; i < n_messages; i++)
        LULL_TRY(lull_conversation_add_message(
            &said, json_deep_copy(json_array_get(old->messages, i)), err));
    LULL_TRY(lull_conversation_make_plan(&said, model, fresh, &plan, err));
    LULL_TRY(lull_conversation_follow(&plan, fresh, err));
    /* The plan ends where an answer begins, which nobody asked for. */
    LULL_TRY(lull_conversation_trim(&said, model, fresh, err));
    LULL_TRY(lull_conversation_save(&said, fresh, err));
done:
    lull_buffer_fini(&system);
    lull_cmd_tokens_fini(&plan.tokens);
    lull_conversation_fini(&said);
    return st;
}

/* Anything else: the summary, then the last tokens as they were. */
static lull_status fold_tokens(const args *a, const lull_model *model, lull_session *fresh,
                               const int32_t *tokens, size_t n, const char *summary,
                               lull_error *err)
{
    lull_buffer text = {0};
    lull_cmd_tokens all = {0};
    lull_status st = LULL_OK;
    size_t n_tail = (size_t)a->keep_tail < n ? (size_t)a->keep_tail : n;
    lull_buffer_printf(&text, "%s%s\n\n", tell_summary, summary);
    if (text.is_failed) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for the summary"));
    LULL_TRY(lull_cmd_tokenize_text(model, text.data, text.n_bytes, 0, &all, err));
    LULL_TRY(lull_cmd_add_bos(model, &all, err));
    LULL_TRY(lull_cmd_eval_prompt(fresh, all.ids, all.n, err));
    if (n_tail > 0) LULL_TRY(lull_cmd_eval_prompt(fresh, tokens + n - n_tail, n_tail, err));
done:
    lull_buffer_fini(&text);
    lull_cmd_tokens_fini(&all);
    return st;
}

static lull_status find_model(const args *a, const lull_store_state *state, char **path,
                              lull_error *err)
{
    json_t *session = lull_cmd_parse_json(state->session);
    const char *own = json_string_value(json_object_get(session, "model"));
    *path = a->model ? strdup(a->model) : own ? strdup(own) : NULL;
    json_decref(session);
    if (*path) return LULL_OK;
    return lull_fail(err, LULL_ENOTFOUND, "%.60s does not say which model read it: give --model",
                     a->names[0]);
}

static lull_status read_summary(const args *a, const lull_model *model, lull_session *s,
                                lull_buffer *out, lull_error *err)
{
    char *text = NULL;
    size_t n;
    if (!a->summary_file) return summarize(a, model, s, out, err);
    lull_status st = lull_file_read(a->summary_file, SUMMARY_MAX_BYTES, &text, &n, err);
    if (st == LULL_OK) lull_buffer_append(out, text, n);
    free(text);
    if (st == LULL_OK && out->n_bytes == 0)
        st = lull_fail(err, LULL_EINVAL, "%s: the summary is empty", a->summary_file);
    return st;
}

static lull_status fold(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_store_state state = {0};
    lull_model *model = NULL;
    lull_session *old = NULL, *fresh = NULL;
    lull_conversation said = {0};
    lull_buffer summary = {0};
    int32_t *tokens = NULL;
    char *path = NULL, x[LULL_FORMAT_CAP], y[LULL_FORMAT_CAP];
    size_t n_tokens = 0, token;
    int64_t id, new_id;
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_resolve(store, a->names[0], &id, &token, err));
    LULL_TRY(lull_store_get(store, id, false, &state, err));
    LULL_TRY(find_model(a, &state, &path, err));
    LULL_TRY(lull_cmd_open_model(path, (int)a->n_threads,
                                 lull_cmd_numerics_of_state(&state, (lull_cmd_numerics){0}), 0,
                                 &model, err));
    /* The question and its answer need room behind a context that is full. */
    size_t n_ctx = (size_t)lull_model_get_info(model).n_ctx_train;
    size_t n_needed = state.n_tokens + (size_t)a->max_tokens + 256;
    lull_wake_options wake = {.n_ctx = n_needed > n_ctx ? n_needed : n_ctx};
    LULL_TRY(lull_wake(model, store, a->names[0], &wake, &old, err));
    lull_interrupt_watch(old);
    n_tokens = lull_session_n_tokens(old);
    LULL_TRY(lull_store_get_tokens(store, id, &tokens, &token, err));
    LULL_TRY(lull_conversation_load(&said, old, err));
    LULL_TRY(read_summary(a, model, old, &summary, err));
    LULL_TRY(lull_cmd_new_session(model, (size_t)a->n_ctx, &fresh, err));
    lull_interrupt_watch(fresh);
    LULL_TRY(lull_conversation_n(&said) > 0
                 ? fold_messages(a, model, fresh, &said, summary.data, err)
                 : fold_tokens(a, model, fresh, tokens, n_tokens, summary.data, err));
    LULL_TRY(lull_cmd_set_text(fresh, "summary", summary.data, err));
    lull_sleep_options sleep = {.name = a->names[1], .parent = id};
    LULL_TRY(lull_sleep(fresh, store, &sleep, &new_id, err));
    size_t n_new = lull_session_n_tokens(fresh);
    if (a->as_json)
        *rc = lull_cmd_print_json(
            json_pack("{s:s, s:I, s:I, s:I, s:o}", "name", a->names[1], "state", (json_int_t)new_id,
                      "n_tokens", (json_int_t)n_new, "from_tokens", (json_int_t)n_tokens, "summary",
                      lull_cmd_json_text(summary.data, summary.n_bytes)));
    else
        fprintf(stderr, "%s is #%lld: %s tokens instead of %s\n", a->names[1], (long long)new_id,
                lull_format_count(x, n_new), lull_format_count(y, n_tokens));
done:
    lull_interrupt_watch(NULL);
    lull_conversation_fini(&said);
    lull_buffer_fini(&summary);
    lull_free(tokens);
    lull_session_free(old);
    lull_session_free(fresh);
    lull_model_close(model);
    lull_store_state_fini(&state);
    lull_store_close(store);
    free(path);
    return st;
}

int lull_cmd_fold(int argc, char **argv)
{
    args a = {.keep_tail = 512, .max_tokens = 300};
    const lull_option options[] = {
        {0, "summary", NULL, LULL_OPT_STRING, &a.summary_file, 0, 0, "FILE",
         "the summary, instead of the model's own"},
        {0, "keep-tail", NULL, LULL_OPT_INT, &a.keep_tail, 0, 1e9, "N",
         "tokens of the end to keep as they are (default 512); of a chat whole exchanges, one at "
         "least"},
        {'n', "max-tokens", NULL, LULL_OPT_INT, &a.max_tokens, 1, 1e6, "N",
         "the longest summary (default 300 tokens)"},
        {0, "model", NULL, LULL_OPT_STRING, &a.model, 0, 0, "FILE",
         "the model, if it is not where the state was made"},
        {'c', "ctx", "ctx-size", LULL_OPT_INT, &a.n_ctx, 1, 1e9, "N",
         "positions (default: the model's)"},
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "fold",
                          .operands = "NAME NEW",
                          .about = "Make a short state of a long one: a summary, then the end as "
                                   "it was. The old state stays.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, a.names);
    if (rc < 0) rc = lull_cmd_check_name("fold", "name", a.names[1]);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (fold(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("fold", &err);
    return rc;
}
