#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "conversation.h"
#include "display.h"
#include "state_cmd.h"
#include "talk.h"
#include "term.h"

typedef struct args {
    const char *model, *text, *file, *system;
    int64_t n_threads, n_ctx;
    lull_cmd_numerics numerics;
    bool raw, as_json, stats, has_prompt, is_sampling_given;
    lull_cmd_sampling sampling;
    lull_talk talk;
    lull_cmd_state state;
} args;

/* Where the answer goes: text to standard output and thoughts to standard error as they come, or all into one
 * JSON object. */
typedef struct output {
    bool as_json, is_mid_line, is_mid_thought;
} output;

static void end_line(output *out)
{
    if (out->is_mid_thought) fprintf(stderr, "%s\n", lull_style_of(stderr, LULL_STYLE_OFF));
    if (out->is_mid_line) putchar('\n');
    out->is_mid_line = out->is_mid_thought = false;
}

static bool on_event(void *user, const lull_reply_event *e)
{
    output *out = user;
    if (out->as_json || e->n_bytes == 0) return true;
    if (e->kind == LULL_REPLY_THOUGHT) {
        if (!out->is_mid_thought) fputs(lull_style_of(stderr, LULL_STYLE_DIM), stderr);
        out->is_mid_thought = true;
        lull_display_write(stderr, e->bytes, e->n_bytes);
    } else if (e->kind == LULL_REPLY_TEXT) {
        if (out->is_mid_thought) end_line(out);
        out->is_mid_line = e->bytes[e->n_bytes - 1] != '\n';
        lull_display_write(stdout, e->bytes, e->n_bytes);
    }
    return fflush(stdout) == 0; /* nobody reads any more: main() tells */
}

/* A line of JSON for each call. */
static void print_calls(const lull_answer *answer)
{
    json_t *calls = lull_answer_calls(answer);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_dumpf(json_object_get(json_array_get(calls, i), "function"), stdout, 0);
        putchar('\n');
    }
    json_decref(calls);
}

/* A plain prompt: the text itself, behind what the session has. */
static lull_status eval_raw(const lull_model *model, lull_session *s, const char *text,
                            size_t n_bytes, lull_error *err)
{
    lull_cmd_tokens tokens = {0};
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_tokenize_text(model, text, n_bytes, LULL_TOKENIZE_SPECIAL, &tokens, err));
    if (lull_session_n_tokens(s) == 0) LULL_TRY(lull_cmd_add_bos(model, &tokens, err));
    if (tokens.n == 0 && lull_session_n_tokens(s) == 0)
        LULL_TRY(lull_fail(err, LULL_EINVAL, "the prompt is empty"));
    LULL_TRY(lull_cmd_eval_prompt(s, tokens.ids, tokens.n, err));
done:
    lull_cmd_tokens_fini(&tokens);
    return st;
}

/* The prompt as the next message of a conversation. */
static lull_status eval_message(const args *a, const lull_model *model, lull_session *s,
                                lull_conversation *said, const char *text, size_t n_bytes,
                                lull_error *err)
{
    lull_conversation_plan plan = {0};
    lull_status st = LULL_OK;
    if (strlen(text) != n_bytes)
        return lull_fail(err, LULL_EINVAL, "the prompt has a NUL byte, at %zu", strlen(text));
    if (a->state.wake) LULL_TRY(lull_conversation_load(said, s, err));
    said->tools = a->talk.tools_json;
    said->variables = lull_talk_variables(&a->talk);
    if (a->system) LULL_TRY(lull_conversation_set_system(said, a->system, err));
    LULL_TRY(lull_conversation_add(said, "user", text, n_bytes, err));
    st = lull_conversation_make_plan(said, model, s, &plan, err);
    if (st == LULL_EUNSUPPORTED || st == LULL_EINVAL)
        lull_error_prefix(err, "(--raw goes without the template)");
    if (st == LULL_OK) st = lull_conversation_follow(&plan, s, err);
done:
    lull_cmd_tokens_fini(&plan.tokens);
    return st;
}

/* reuse: how the prompt came to be there, what was woken included; together its tokens. */
static int print_json(const args *a, const lull_session *s, const lull_cmd_timings *t,
                      lull_reuse reuse, const lull_answer *answer, const lull_generate_options *opt)
{
    const int32_t *generated = lull_session_tokens(s) + t->n_prompt;
    size_t n_text, n_thought;
    const char *text = lull_answer_text(answer, &n_text);
    const char *thought = lull_answer_thought(answer, &n_thought);
    json_t *object =
        json_pack("{s:o, s:o, s:I, s:s, s:o}", "text", lull_cmd_json_text(text, n_text), "tokens",
                  lull_cmd_json_tokens(generated, lull_session_n_tokens(s) - t->n_prompt),
                  "prompt_tokens", (json_int_t)t->n_prompt, "finish_reason",
                  lull_finish_name(answer->result.finish), "timings", lull_cmd_timings_json(t));
    if (object && n_thought > 0)
        json_object_set_new(object, "thought", lull_cmd_json_text(thought, n_thought));
    if (object && a->talk.declared)
        json_object_set_new(object, "tool_calls", lull_answer_calls(answer));
    if (object) lull_cmd_put_reuse(object, reuse, t->n_prompt);
    /* What to give --seed to draw the same again. */
    if (object && opt->sampling.temperature > 0)
        json_object_set_new(object, "seed", json_integer((json_int_t)opt->sampling.seed));
    return lull_cmd_print_json(object);
}

/* Generate after the prompt; without one, go on with what was slept in the middle. */
static lull_status generate(args *a, lull_session *s, lull_generate_options *opt,
                            lull_answer *answer, lull_error *err)
{
    bool is_given = a->is_sampling_given;
    if (!a->has_prompt && !is_given) {
        lull_status st = lull_talk_answer_more(&a->talk, s, opt->max_tokens, answer, err);
        if (st != LULL_EINVAL) return st;
        lull_answer_fini(answer);
    }
    if (a->state.wake && !is_given) {
        lull_status st = lull_sampling_wake(&a->sampling, s, opt, err);
        if (st != LULL_OK) return st;
    }
    opt->holds_text = a->state.sleep != NULL;
    return lull_talk_answer(&a->talk, s, opt, answer, err);
}

static lull_status read_prompt(const args *a, char **text, size_t *n_bytes, lull_error *err)
{
    if (!a->has_prompt) return LULL_OK;
    lull_status st = lull_cmd_read_text(a->text, a->file, text, n_bytes, err);
    if (st != LULL_OK) return st;
    /* As the shell's $(...) does: the line feed at the end of a file is not part of a prompt. */
    if (!a->text && *n_bytes > 0 && (*text)[*n_bytes - 1] == '\n') (*text)[--*n_bytes] = '\0';
    if (*n_bytes == 0 && !a->raw) return lull_fail(err, LULL_EINVAL, "the prompt is empty");
    return LULL_OK;
}

static lull_status eval_prompt(const args *a, const lull_model *model, lull_session *s,
                               lull_conversation *said, const char *text, size_t n_bytes,
                               lull_error *err)
{
    bool has_template = lull_model_get_info(model).chat_template != NULL;
    if (a->system && !has_template)
        return lull_fail(err, LULL_EINVAL,
                         "the file has no chat template, so --system has no place; put it into the "
                         "prompt");
    if (!a->has_prompt) return LULL_OK;
    if (a->raw || !has_template) return eval_raw(model, s, text, n_bytes, err);
    return eval_message(a, model, s, said, text, n_bytes, err);
}

static void extend_text(json_t *message, const json_t *more, const char *key)
{
    const char *before = json_string_value(json_object_get(message, key));
    const char *text = json_string_value(json_object_get(more, key));
    if (text && *text)
        json_object_set_new(message, key, json_sprintf("%s%s", before ? before : "", text));
}

/* Where generation was gone on with, the last answer became longer. */
static lull_status extend_answer(lull_conversation *said, const lull_session *s,
                                 const lull_answer *answer, lull_error *err)
{
    lull_status st = lull_conversation_load(said, s, err);
    size_t n = lull_conversation_n(said);
    if (st != LULL_OK || n == 0 || lull_conversation_is_due(said)) return st;
    json_t *message = json_deep_copy(json_array_get(said->messages, n - 1));
    json_t *more = lull_answer_message(answer), *calls = json_object_get(message, "tool_calls");
    extend_text(message, more, "content");
    extend_text(message, more, "reasoning_content");
    if (calls)
        json_array_extend(calls, json_object_get(more, "tool_calls"));
    else if (json_object_get(more, "tool_calls"))
        json_object_set(message, "tool_calls", json_object_get(more, "tool_calls"));
    json_decref(more);
    lull_conversation_pop(said);
    return lull_conversation_add_message(said, message, err);
}

/* Note the answer, and sleep if that was asked for. */
static lull_status finish(const args *a, lull_session *s, lull_conversation *said,
                          const lull_answer *answer, lull_error *err)
{
    lull_status st = LULL_OK;
    if (!a->state.sleep) return LULL_OK;
    if (!a->has_prompt)
        LULL_TRY(extend_answer(said, s, answer, err));
    else if (lull_conversation_is_due(said))
        LULL_TRY(lull_conversation_add_message(said, lull_answer_message(answer), err));
    if (lull_conversation_n(said) > 0) {
        lull_conversation_note_said(said, s, answer->result.finish);
        LULL_TRY(lull_conversation_save(said, s, err));
    } else {
        /* A plain prompt is no message: what is there now is the base of a conversation to come. */
        LULL_TRY(lull_session_set_data(s, "messages", NULL, err));
        LULL_TRY(lull_session_set_data(s, "conversation", NULL, err));
    }
    LULL_TRY(lull_cmd_state_sleep(&a->state, s, err));
done:
    return st;
}

static lull_status answer(args *a, lull_generate_options *opt, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    lull_session *session = NULL;
    lull_conversation said = {0};
    output out = {.as_json = a->as_json};
    lull_answer said_now = {.on_event = on_event, .user = &out};
    char *text = NULL;
    size_t n_bytes = 0;
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    LULL_TRY(read_prompt(a, &text, &n_bytes, err));
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->n_threads,
                                 lull_cmd_state_numerics(&a->state, a->numerics), 0, &model, err));
    a->talk.model = model;
    if (!a->raw) LULL_TRY(lull_talk_open(&a->talk, model, err));
    LULL_TRY(lull_cmd_state_open(&a->state, model, err));
    double start = lull_clock_ms();
    LULL_TRY(lull_cmd_state_session(&a->state, model, (size_t)a->n_ctx, &session, err));
    lull_interrupt_watch(session);

    double woken = lull_clock_ms();
    LULL_TRY(eval_prompt(a, model, session, &said, text, n_bytes, err));
    lull_reuse reuse = lull_session_reuse(session);
    lull_cmd_timings t = {.n_prompt = lull_session_n_tokens(session),
                          .n_evaluated = (size_t)reuse.computed,
                          .load_ms = lull_model_get_info(model).load_ms,
                          .wake_ms = a->state.wake ? woken - start : 0,
                          .prompt_ms = lull_clock_ms() - woken};
    st = generate(a, session, opt, &said_now, err);
    end_line(&out);
    if (st == LULL_OK && !a->as_json) print_calls(&said_now);
    fflush(stdout);
    LULL_TRY(st);
    lull_generate_result result = said_now.result;
    t.n_generated = result.n_tokens;
    t.n_evals = result.n_evals;
    t.n_drafted = result.n_drafted;
    t.n_accepted = result.n_accepted;
    t.first_token_ms = t.prompt_ms + result.first_ms;
    t.gen_ms = result.total_ms;
    t.decode_ms = result.total_ms - result.first_ms;
    LULL_TRY(finish(a, session, &said, &said_now, err));
    if (a->as_json) *rc = print_json(a, session, &t, reuse, &said_now, opt);
    if (a->stats) lull_cmd_print_stats(model, session, &t);
    if (lull_interrupt_signal()) *rc = 128 + lull_interrupt_signal();
done:
    lull_answer_fini(&said_now);
    lull_conversation_fini(&said);
    free(text);
    lull_interrupt_watch(NULL);
    lull_session_free(session);
    lull_model_close(model);
    lull_cmd_state_close(&a->state);
    lull_talk_fini(&a->talk);
    return st;
}

int lull_cmd_run(int argc, char **argv)
{
    args a = {0};
    lull_sampling_init(&a.sampling, 0, 1);
    lull_talk_init(&a.talk);
    lull_cmd_state_init(&a.state);
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
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
        {0, "stats", NULL, LULL_OPT_FLAG, &a.stats, 0, 0, NULL,
         "print memory and timings to standard error"},
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL,
         "print one JSON object at the end"},
    };
    const lull_cli cli = {
        .verb = "run",
        .operands = "MODEL",
        .about =
            "Answer a prompt: -p, -f, or standard input. It is put into the file's chat template, "
            "where there is one. Without sampling options the answer is the likeliest, the same "
            "each time.\n\nWith --wake the prompt follows upon a state: as the next message of its "
            "conversation, as a question about what was read, or with --raw as it is. Without a "
            "prompt, generation goes on where it was when the state fell asleep.",
        .groups = {{"Options", options, sizeof options / sizeof *options},
                   {"Generation", a.sampling.rows, LULL_SAMPLING_ROWS},
                   {"Tools and thoughts", a.talk.rows, LULL_TALK_ROWS},
                   {"States", a.state.rows, LULL_STATE_ROWS}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    a.has_prompt = a.text || a.file || !a.state.wake;
    if (rc < 0 && a.has_prompt) rc = lull_cmd_check_text("run", a.text, a.file);
    if (rc < 0 && a.raw && (a.talk.tools_file || a.talk.think_arg))
        rc = lull_cli_usage("run", "--tools and --think have no place with --raw");
    if (rc < 0 && a.raw && a.system) rc = lull_cli_usage("run", "--system has no place with --raw");
    lull_generate_options opt;
    a.is_sampling_given = lull_sampling_is_given(&a.sampling);
    if (rc < 0) rc = lull_cmd_state_check(&a.state, "run");
    if (rc < 0) rc = lull_sampling_apply(&a.sampling, "run", &opt);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (answer(&a, &opt, &rc, &err) != LULL_OK) rc = lull_cmd_fail("run", &err);
    lull_sampling_fini(&a.sampling);
    return rc;
}
