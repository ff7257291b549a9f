#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cmd.h"
#include "display.h"

typedef struct args {
    const char *model, *text, *file, *system;
    int64_t n_threads, n_ctx;
    bool raw, as_json, stats;
    lull_cmd_sampling sampling;
} args;

/* Where the generated text goes: to standard output as it comes, or into one JSON object. */
typedef struct output {
    bool as_json, is_mid_line;
    lull_buffer text;
} output;

static bool on_text(void *user, const char *text, size_t n_bytes, int32_t token)
{
    (void)token;
    output *out = user;
    if (n_bytes == 0) return true;
    if (out->as_json) {
        lull_buffer_append(&out->text, text, n_bytes);
        return true;
    }
    out->is_mid_line = text[n_bytes - 1] != '\n';
    lull_display_write(stdout, text, n_bytes);
    return fflush(stdout) == 0; /* nobody reads any more: main() tells */
}

/* The tokens of the prompt: the text itself, or with the file's chat template around it. */
static lull_status build_prompt(const args *a, const lull_model *model, const char *text,
                                size_t n_bytes, lull_cmd_tokens *tokens, lull_error *err)
{
    char *rendered = NULL;
    lull_status st = LULL_OK;
    bool has_template = lull_model_get_info(model).chat_template != NULL;
    if (a->system && !has_template)
        return lull_fail(err, LULL_EINVAL,
                         "the file has no chat template, so --system has no place; put it into the "
                         "prompt");
    if (!a->raw && has_template) {
        if (strlen(text) != n_bytes)
            return lull_fail(err, LULL_EINVAL, "the prompt has a NUL byte, at %zu", strlen(text));
        lull_message messages[2];
        size_t n = 0;
        if (a->system) messages[n++] = (lull_message){"system", a->system};
        messages[n++] = (lull_message){"user", text};
        st = lull_chat_render(model, messages, n, true, &rendered, err);
        if (st != LULL_OK) lull_error_prefix(err, "chat template (--raw goes without)");
        if (st != LULL_OK) return st;
        text = rendered;
        n_bytes = strlen(rendered);
    }
    LULL_TRY(lull_cmd_tokenize_text(model, text, n_bytes, LULL_TOKENIZE_SPECIAL, tokens, err));
    LULL_TRY(lull_cmd_add_bos(model, tokens, err));
    if (tokens->n == 0) st = lull_fail(err, LULL_EINVAL, "the prompt is empty");
done:
    lull_free(rendered);
    return st;
}

static int print_json(const lull_session *s, const lull_cmd_timings *t, const output *out,
                      const lull_generate_options *opt, lull_finish finish)
{
    const int32_t *generated = lull_session_tokens(s) + t->n_prompt;
    json_t *object = json_pack(
        "{s:o, s:o, s:I, s:s, s:o}", "text", lull_cmd_json_text(out->text.data, out->text.n_bytes),
        "tokens", lull_cmd_json_tokens(generated, lull_session_n_tokens(s) - t->n_prompt),
        "prompt_tokens", (json_int_t)t->n_prompt, "finish_reason", lull_finish_name(finish),
        "timings", lull_cmd_timings_json(t));
    /* What to give --seed to draw the same again. */
    if (object && opt->sampling.temperature > 0)
        json_object_set_new(object, "seed", json_integer((json_int_t)opt->sampling.seed));
    return lull_cmd_print_json(object);
}

static lull_status answer(const args *a, lull_generate_options *opt, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    lull_session *session = NULL;
    lull_cmd_tokens prompt = {0};
    output out = {.as_json = a->as_json};
    char *text = NULL;
    size_t n_bytes = 0;
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    LULL_TRY(lull_cmd_read_text(a->text, a->file, &text, &n_bytes, err));
    /* As the shell's $(...) does: the line feed at the end of a file is not part of a prompt. */
    if (!a->text && n_bytes > 0 && text[n_bytes - 1] == '\n') text[--n_bytes] = '\0';
    if (n_bytes == 0 && !a->raw) {
        st = lull_fail(err, LULL_EINVAL, "the prompt is empty");
        goto done;
    }
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->n_threads, 0, &model, err));
    LULL_TRY(build_prompt(a, model, text, n_bytes, &prompt, err));
    LULL_TRY(lull_cmd_new_session(model, (size_t)a->n_ctx, &session, err));
    lull_interrupt_watch(session);

    double start = lull_clock_ms();
    LULL_TRY(lull_cmd_eval_prompt(session, prompt.ids, prompt.n, err));
    lull_cmd_timings t = {.n_prompt = prompt.n,
                          .n_evaluated = prompt.n,
                          .load_ms = lull_model_get_info(model).load_ms,
                          .prompt_ms = lull_clock_ms() - start};
    opt->on_text = on_text;
    opt->user = &out;
    lull_generate_result result = {0};
    st = lull_generate(session, opt, &result, err);
    if (out.is_mid_line) putchar('\n');
    LULL_TRY(st);
    t.n_generated = result.n_tokens;
    t.first_token_ms = t.prompt_ms + result.first_ms;
    t.gen_ms = result.total_ms;
    t.decode_ms = result.total_ms - result.first_ms;
    if (a->as_json) *rc = print_json(session, &t, &out, opt, result.finish);
    if (a->stats) lull_cmd_print_stats(model, session, &t);
    if (lull_interrupt_signal()) *rc = 128 + lull_interrupt_signal();
done:
    lull_buffer_fini(&out.text);
    lull_cmd_tokens_fini(&prompt);
    free(text);
    lull_interrupt_watch(NULL);
    lull_session_free(session);
    lull_model_close(model);
    return st;
}

int lull_cmd_run(int argc, char **argv)
{
    args a = {0};
    lull_sampling_init(&a.sampling, 0, 1);
    const lull_option options[] = {
        {'p', "prompt", NULL, LULL_OPT_STRING, &a.text, 0, 0, "TEXT", "the prompt"},
        {'f', "file", NULL, LULL_OPT_STRING, &a.file, 0, 0, "FILE",
         "a file with the prompt; - is standard input"},
        {0, "system", "system-prompt", LULL_OPT_STRING, &a.system, 0, 0, "TEXT",
         "what the chat template puts in front"},
        {0, "raw", NULL, LULL_OPT_FLAG, &a.raw, 0, 0, NULL,
         "no chat template: the prompt is continued as it is"},
        {'c', "ctx", "ctx-size", LULL_OPT_INT, &a.n_ctx, 1, 1e9, "N",
         "positions for prompt and answer (default: the model's)"},
        {'t', "threads", NULL, LULL_OPT_INT, &a.n_threads, 1, 1024, "N",
         "threads (default: $LULL_THREADS, else the cores)"},
        {0, "stats", NULL, LULL_OPT_FLAG, &a.stats, 0, 0, NULL,
         "print memory and timings to standard error"},
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL,
         "print one JSON object at the end"},
    };
    const lull_cli cli = {
        .verb = "run",
        .operands = "MODEL",
        .about =
            "Answer a prompt: -p, -f, or standard input. It is put into the file's chat template,\n"
            "where there is one. Without sampling options the answer is the likeliest, the same\n"
            "each time.",
        .groups = {{"Options", options, sizeof options / sizeof *options},
                   {"Generation", a.sampling.rows, LULL_SAMPLING_ROWS}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc < 0) rc = lull_cmd_check_text("run", a.text, a.file);
    if (rc < 0 && a.raw && a.system) rc = lull_cli_usage("run", "--system has no place with --raw");
    lull_generate_options opt;
    if (rc < 0) rc = lull_sampling_apply(&a.sampling, "run", &opt);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (answer(&a, &opt, &rc, &err) != LULL_OK) return lull_cmd_fail("run", &err);
    return rc;
}
