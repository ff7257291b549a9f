#include <stdlib.h>
#include <string.h>

#include "conversation.h"
#include "explain.h"
#include "format.h"
#include "request.h"
#include "store_cmd.h"
#include "turns.h"

enum { PAGE_TOKENS = 64 };

typedef struct args {
    const char *name, *model, *text, *file, *system, *dir;
    lull_cmd_request request; /* instead of text and file */
    bool raw, as_json;
} args;

/* The tokens of the request as `lull run` would make them: with the template, or without. */
static lull_status request_tokens(const args *a, const lull_model *model, const char *text,
                                  size_t n_bytes, bool is_raw, lull_cmd_tokens *out,
                                  lull_error *err)
{
    lull_message messages[2];
    size_t n = 0;
    char *rendered = NULL;
    lull_status st = LULL_OK;
    if (!is_raw) {
        if (a->system) messages[n++] = (lull_message){"system", a->system};
        messages[n++] = (lull_message){"user", text};
        LULL_TRY(lull_chat_render(model, messages, n, true, &rendered, err));
        text = rendered;
        n_bytes = strlen(rendered);
    }
    LULL_TRY(lull_cmd_tokenize_text(model, text, n_bytes, LULL_TOKENIZE_SPECIAL, out, err));
    LULL_TRY(lull_cmd_add_bos(model, out, err));
done:
    lull_free(rendered);
    return st;
}

/* The same for a conversation that is sent as a whole. Where it parts from the state, the template may
 * be why: it rendered the messages otherwise while there were fewer of them. */
static lull_status explain_messages(args *a, const lull_model *model, const int32_t *tokens,
                                    size_t n_tokens, lull_divergence *d, size_t *n_request,
                                    lull_error *err)
{
    lull_token_list whole = {0};
    long message;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_load_request(&a->request, model, a->model ? a->model : "the model", err));
    LULL_TRY(lull_turns_tokens(model, &a->request.r, &whole, err));
    *n_request = whole.n;
    LULL_TRY(lull_explain(model, tokens, n_tokens, whole.ids, whole.n, d, err));
    if (d->cause == LULL_CAUSE_NONE || d->cause == LULL_CAUSE_TOKENS) goto done;
    LULL_TRY(lull_turns_blame(model, &a->request.r, tokens, n_tokens, d->n_common, &message, err));
    if (message != LULL_TURNS_NONE) lull_divergence_blame_turns(d, message);
done:
    if (st != LULL_OK) lull_cmd_name_file(&a->request, err);
    lull_token_list_fini(&whole);
    return st;
}

/* Does a state begin as messages do, with a control token? */
static bool begins_with_control(const lull_model *model, const int32_t *tokens, size_t n)
{
    size_t n_name, n_plain, first = 0;
    if (n == 0) return false;
    if (tokens[first] == lull_token_bos(model) && lull_model_adds_bos(model) && n > first + 1)
        first++;
    (void)lull_token_text(model, tokens[first], true, &n_name);
    (void)lull_token_text(model, tokens[first], false, &n_plain);
    return n_name > 0 && n_plain == 0;
}

static size_t count_common(const int32_t *a, size_t n_a, const lull_cmd_tokens *b)
{
    size_t n = 0;
    while (n < n_a && n < b->n && a[n] == b->ids[n]) n++;
    return n;
}

/* Of both forms the one that has more in common with the state, unless one was asked for. */
static lull_status choose_request(const args *a, const lull_model *model, const int32_t *state,
                                  size_t n_state, lull_cmd_tokens *out, bool *is_raw,
                                  lull_error *err)
{
    char *text = NULL;
    size_t n_bytes;
    lull_cmd_tokens plain = {0}, message = {0};
    lull_status st = LULL_OK;
    bool has_template = lull_model_get_info(model).chat_template != NULL;
    LULL_TRY(lull_cmd_read_text(a->text, a->file, &text, &n_bytes, err));
    LULL_TRY(request_tokens(a, model, text, n_bytes, true, &plain, err));
    *is_raw = a->raw || !has_template;
    if (!*is_raw) {
        LULL_TRY(request_tokens(a, model, text, n_bytes, false, &message, err));
        size_t n_plain = count_common(state, n_state, &plain);
        size_t n_message = count_common(state, n_state, &message);
        bool is_plain_state = !begins_with_control(model, state, n_state);
        *is_raw = !a->system && (n_plain > n_message || (n_plain == n_message && is_plain_state));
    }
    *out = *is_raw ? plain : message;
    *(*is_raw ? &plain : &message) = (lull_cmd_tokens){0};
done:
    free(text);
    lull_cmd_tokens_fini(&plain);
    lull_cmd_tokens_fini(&message);
    return st;
}

/* What is taken are whole pages, and all up to the end of the state when the request goes on from it. */
static size_t count_reused(size_t n_common, size_t n_state)
{
    return n_common == n_state ? n_common : n_common / PAGE_TOKENS * PAGE_TOKENS;
}

static void print_reasons(const args *a, const lull_divergence *d, size_t n_state, size_t n_request,
                          bool is_raw)
{
    char x[LULL_FORMAT_CAP], y[LULL_FORMAT_CAP];
    size_t n_reused = count_reused(d->n_common, n_state);
    printf("%s has %s tokens, the request %s%s\n", a->name, lull_format_count(x, n_state),
           lull_format_count(y, n_request), is_raw ? "" : ", in the chat template");
    printf("the first %s are the same", lull_format_count(x, d->n_common));
    printf(": %s would be reused, %s computed\n", lull_format_count(x, n_reused),
           lull_format_count(y, n_request > n_reused ? n_request - n_reused : 0));
    if (d->cause == LULL_CAUSE_NONE) {
        puts(d->n_common == n_state ? "the request goes on where the state ends"
                                    : "the request ends within the state");
        return;
    }
    printf("they part at token %s:\n", lull_format_count(x, d->n_common));
    lull_divergence_print(d, stdout, "state", "request");
    printf("cause: %s%s", lull_cause_words(d->cause),
           d->is_in_system ? ", in the system message" : "");
    if (d->message >= 0) printf(" (since the answer that is message %ld)", d->message);
    putchar('\n');
    if (*lull_cause_advice(d->cause)) printf("advice: %s\n", lull_cause_advice(d->cause));
}

static int print_json(const args *a, const lull_divergence *d, size_t n_state, size_t n_request,
                      bool is_raw)
{
    size_t n_reused = count_reused(d->n_common, n_state);
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "name", a->name, "n_tokens",
        (json_int_t)n_state, "request_tokens", (json_int_t)n_request, "common_tokens",
        (json_int_t)d->n_common, "reused_tokens", (json_int_t)n_reused, "computed_tokens",
        (json_int_t)(n_request > n_reused ? n_request - n_reused : 0), "raw", (int)is_raw,
        "divergence",
        d->cause == LULL_CAUSE_NONE ? json_null() : lull_divergence_json(d, "state", "request"));
    return lull_cmd_print_json(object);
}

static lull_status why(args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_store_state state = {0};
    lull_model *model = NULL;
    lull_divergence d = {0};
    lull_cmd_tokens request = {0};
    int32_t *tokens = NULL;
    size_t n_tokens = 0, n_request = 0, token;
    int64_t id;
    bool is_raw = false;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_resolve(store, a->name, &id, &token, err));
    LULL_TRY(lull_store_get(store, id, false, &state, err));
    LULL_TRY(lull_cmd_open_vocab(&state, a->name, a->model, &model, err));
    LULL_TRY(lull_store_get_tokens(store, id, &tokens, &n_tokens, err));
    if (token < n_tokens) n_tokens = token;
    if (a->request.messages) {
        LULL_TRY(explain_messages(a, model, tokens, n_tokens, &d, &n_request, err));
    } else {
        LULL_TRY(choose_request(a, model, tokens, n_tokens, &request, &is_raw, err));
        n_request = request.n;
        LULL_TRY(lull_explain(model, tokens, n_tokens, request.ids, n_request, &d, err));
    }
    if (a->as_json)
        *rc = print_json(a, &d, n_tokens, n_request, is_raw);
    else
        print_reasons(a, &d, n_tokens, n_request, is_raw);
done:
    lull_divergence_fini(&d);
    lull_cmd_request_fini(&a->request);
    lull_cmd_tokens_fini(&request);
    lull_free(tokens);
    lull_model_close(model);
    lull_store_state_fini(&state);
    lull_store_close(store);
    return st;
}

int lull_cmd_why(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'p', "prompt", NULL, LULL_OPT_STRING, &a.text, 0, 0, "TEXT", "the request"},
        {'f', "file", NULL, LULL_OPT_STRING, &a.file, 0, 0, "FILE",
         "a file with the request; - is standard input"},
        {0, "system", "system-prompt", LULL_OPT_STRING, &a.system, 0, 0, "TEXT",
         "what the chat template puts in front"},
        {0, "raw", NULL, LULL_OPT_FLAG, &a.raw, 0, 0, NULL, "no chat template"},
        LULL_REQUEST_ROWS(&a.request),
        {0, "model", NULL, LULL_OPT_STRING, &a.model, 0, 0, "FILE",
         "the model, if it is not where the state was made"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {
        .verb = "why",
        .operands = "NAME",
        .about = "Tell what a request would reuse of a state, where the two part, and why.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.name);
    if (rc >= 0) return rc;
    bool has_text = a.text || a.file || a.system || a.raw;
    bool has_request = a.request.tools || a.request.template || a.request.vars.n > 0;
    if (a.request.messages ? has_text : has_request)
        return lull_cli_usage("why", "%s",
                              a.request.messages
                                  ? "--messages stands for all of the request"
                                  : "--tools, --template and --var go with --messages");
    rc = a.request.messages ? lull_cmd_check_request("why", &a.request)
                            : lull_cmd_check_text("why", a.text, a.file);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (why(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("why", &err);
    return rc;
}
