#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "explain.h"
#include "request.h"
#include "turns.h"

typedef struct args {
    const char *model;
    lull_cmd_request request;
    bool no_prompt, tokens, turns, as_json;
} args;

/* ---- the text ------------------------------------------------------------------------------- */

static lull_status show_text(const args *a, const lull_model *model, int *rc, lull_error *err)
{
    lull_token_list tokens = {0};
    char *text = NULL;
    lull_status st = LULL_OK;
    LULL_TRY(lull_chat_render_json(model, &a->request.r, &text, err));
    if (!a->tokens && !a->as_json) {
        fwrite(text, 1, strlen(text), stdout);
        goto done;
    }
    LULL_TRY(lull_turns_tokens(model, &a->request.r, &tokens, err));
    json_t *ids = lull_cmd_json_tokens(tokens.ids, tokens.n);
    *rc = lull_cmd_print_json(
        a->as_json
            ? json_pack("{s:o, s:o}", "text", lull_cmd_json_text(text, strlen(text)), "tokens", ids)
            : ids);
done:
    lull_token_list_fini(&tokens);
    lull_free(text);
    return st;
}

/* ---- turns ---------------------------------------------------------------------------------- */

static lull_status show_turns(const args *a, const lull_model *model, int *rc, lull_error *err)
{
    lull_token_list prompt = {0}, whole = {0};
    lull_divergence d = {0};
    long message;
    bool with_answer;
    lull_status st = LULL_OK;
    LULL_TRY(lull_turns_check(model, &a->request.r, &message, &with_answer, err));
    if (message == LULL_TURNS_NONE) {
        if (a->as_json)
            *rc = lull_cmd_print_json(json_pack("{s:b, s:n}", "grows", 1, "divergence"));
        else
            puts("each answer and its prompt are the beginning of the whole");
        goto done;
    }
    LULL_TRY(lull_turns_prompt(model, &a->request.r, (size_t)message, with_answer, &prompt, err));
    LULL_TRY(lull_turns_tokens(model, &a->request.r, &whole, err));
    LULL_TRY(lull_explain(model, prompt.ids, prompt.n, whole.ids, whole.n, &d, err));
    if (d.cause != LULL_CAUSE_TOKENS) lull_divergence_blame_turns(&d, message);
    if (a->as_json) {
        *rc = lull_cmd_print_json(json_pack("{s:b, s:o}", "grows", 0, "divergence",
                                            lull_divergence_json(&d, "turn", "whole")));
        goto done;
    }
    printf("%s\n", lull_cause_words(d.cause));
    printf("message %ld: of the %zu tokens of %s the whole has the first %zu\n", message, prompt.n,
           with_answer ? "its prompt and itself" : "its prompt", d.n_common);
    lull_divergence_print(&d, stdout, "turn", "whole");
done:
    lull_divergence_fini(&d);
    lull_token_list_fini(&prompt);
    lull_token_list_fini(&whole);
    return st;
}

int lull_cmd_template(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        LULL_REQUEST_ROWS(&a.request),
        {0, "no-generation-prompt", NULL, LULL_OPT_FLAG, &a.no_prompt, 0, 0, NULL,
         "end behind the last message, not where an answer begins"},
        {0, "tokens", NULL, LULL_OPT_FLAG, &a.tokens, 0, 0, NULL,
         "print the token ids, as the model would get them"},
        {0, "turns", NULL, LULL_OPT_FLAG, &a.turns, 0, 0, NULL,
         "tell whether each answer and its prompt are the beginning of the whole"},
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL, "print one JSON object"},
    };
    const lull_cli cli = {
        .verb = "template",
        .operands = "MODEL",
        .required = "-m FILE",
        .about = "Show a conversation as the model gets it: its chat template, filled in.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc >= 0) return rc;
    if (!a.request.messages)
        return lull_cli_usage("template", "no conversation: give --messages FILE");
    rc = lull_cmd_check_request("template", &a.request);
    if (rc >= 0) return rc;
    lull_error err;
    lull_model *model = NULL;
    rc = LULL_EXIT_OK;
    lull_status st =
        lull_cmd_open_model(a.model, 1, (lull_cmd_numerics){0}, LULL_CMD_VOCAB_ONLY, &model, &err);
    if (st == LULL_OK) st = lull_cmd_load_request(&a.request, model, a.model, &err);
    if (st == LULL_OK) {
        a.request.r.add_generation_prompt = !a.no_prompt;
        st = a.turns ? show_turns(&a, model, &rc, &err) : show_text(&a, model, &rc, &err);
        if (st != LULL_OK) lull_cmd_name_file(&a.request, &err);
    }
    if (st != LULL_OK) rc = lull_cmd_fail("template", &err);
    lull_cmd_request_fini(&a.request);
    lull_model_close(model);
    return rc;
}
