#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cmd.h"
#include "conversation.h"
#include "display.h"
#include "file.h"
#include "format.h"
#include "grid.h"
#include "line.h"
#include "state_cmd.h"
#include "store_cmd.h"
#include "talk.h"
#include "term.h"
#include "tool_run.h"

typedef struct chat {
    lull_model *model;
    lull_session *session;
    lull_line *line;
    lull_conversation said;
    lull_generate_options opt;
    const char *stop[LULL_STRINGS_CAP + 1];
    lull_cmd_timings timings; /* of the last answer */
    lull_talk talk;
    bool is_mid_line, is_mid_thought; /* of the answer in progress */
    char *prefill;                    /* owned; the text to edit next, NULL for none */
    char *name; /* owned; the state that this chat is kept as, NULL for none yet */
    lull_cmd_state state;
    bool is_cut; /* messages were taken back since the last answer */
    bool is_interactive, stats_each_turn, is_over;
    int rc; /* what the program is to exit with */
} chat;

/* Remarks of the program, apart from what the model says; they may quote it, or a message. */
static void LULL_PRINTF(1, 2) note(const char *fmt, ...)
{
    va_list args;
    char *text;
    va_start(args, fmt);
    int n_bytes = vasprintf(&text, fmt, args);
    va_end(args);
    if (n_bytes < 0) return; /* no memory for a remark */
    fputs(lull_style_of(stderr, LULL_STYLE_DIM), stderr);
    lull_display_write(stderr, text, (size_t)n_bytes);
    fprintf(stderr, "%s\n", lull_style_of(stderr, LULL_STYLE_OFF));
    free(text);
}

static void complain(chat *c, const lull_error *err)
{
    fprintf(stderr, "lull chat: %s\n", err->msg);
    if (!c->is_interactive) c->rc = LULL_EXIT_FAILED;
}

/* The session may say the message that is taken back, and more. */
static void take_back_exchange(chat *c)
{
    lull_conversation_pop_exchange(&c->said);
    c->said.n_said = 0;
    c->is_cut = true;
}

/* ---- answering ------------------------------------------------------------------------------ */

/* Text as it is, thoughts dimmed. */
static bool on_event(void *user, const lull_reply_event *e)
{
    chat *c = user;
    if (e->n_bytes == 0 || (e->kind != LULL_REPLY_TEXT && e->kind != LULL_REPLY_THOUGHT))
        return true;
    bool is_thought = e->kind == LULL_REPLY_THOUGHT;
    if (is_thought != c->is_mid_thought)
        printf("%s%s", c->is_mid_thought ? "\n\n" : "",
               lull_style_of(stdout, is_thought ? LULL_STYLE_DIM : LULL_STYLE_OFF));
    c->is_mid_thought = is_thought;
    c->is_mid_line = e->bytes[e->n_bytes - 1] != '\n';
    lull_display_write(stdout, e->bytes, e->n_bytes);
    return fflush(stdout) == 0;
}

static void end_answer(chat *c)
{
    if (c->is_mid_thought) fputs(lull_style_of(stdout, LULL_STYLE_OFF), stdout);
    if (c->is_mid_line) putchar('\n');
    if (c->is_interactive) putchar('\n');
    c->is_mid_line = c->is_mid_thought = false;
    fflush(stdout);
}

/* Bring the session to what the plan says. A Ctrl-C that came just after the last answer cancels the
 * next call; it was not meant for it. */
static lull_status catch_up(chat *c, const lull_conversation_plan *plan, lull_error *err)
{
    uint64_t n_before = lull_session_reuse(c->session).computed;
    lull_status st = lull_conversation_follow(plan, c->session, err);
    while (st == LULL_ECANCELLED && !lull_interrupt_signal()) {
        size_t n_done = lull_session_n_tokens(c->session) - plan->n_keep;
        st = lull_cmd_eval_prompt(c->session, plan->tokens.ids + n_done, plan->tokens.n - n_done,
                                  err);
    }
    c->timings.n_prompt = lull_session_n_tokens(c->session);
    c->timings.n_evaluated = (size_t)(lull_session_reuse(c->session).computed - n_before);
    return st;
}

static void tell_finish(const chat *c, lull_finish finish)
{
    if (!c->is_interactive) return;
    if (finish == LULL_FINISH_LENGTH) note("[cut at %zu tokens, as -n says]", c->opt.max_tokens);
    if (finish == LULL_FINISH_CONTEXT) note("[cut: the context is full]");
    if (finish == LULL_FINISH_CANCELLED) note("[interrupted]");
    if (finish == LULL_FINISH_LOOP_TOKEN) note("[stopped: the same token again and again]");
    if (finish == LULL_FINISH_LOOP_LINE) note("[stopped: the same line again and again]");
    if (finish == LULL_FINISH_LOOP_SENTENCE) note("[stopped: the same sentence again and again]");
}

/* Whether the user lets a tool run. Without a person there, none does. */
static bool may_run(chat *c, const char *name, const char *arguments)
{
    const char *text;
    size_t n_bytes;
    if (!c->is_interactive) return false;
    note("the model wants to run %s %s", name, arguments);
    return lull_line_read(c->line, "run it? [y/N]", NULL, &text, &n_bytes) == LULL_LINE_TEXT &&
           (strcmp(text, "y") == 0 || strcmp(text, "yes") == 0);
}

/* What a call comes to, as the model is told. */
static void run_tool(chat *c, const json_t *call, lull_buffer *result)
{
    lull_error err;
    const json_t *function = json_object_get(call, "function");
    const char *name = json_string_value(json_object_get(function, "name"));
    const json_t *given = json_object_get(function, "arguments");
    char *arguments =
        json_is_string(given) ? strdup(json_string_value(given)) : json_dumps(given, JSON_COMPACT);
    const json_t *tool = lull_talk_find_tool(&c->talk, name);
    const json_t *command = json_object_get(tool, "command");
    if (!command) command = json_object_get(json_object_get(tool, "function"), "command");
    if (!arguments)
        lull_buffer_append_str(result, "error: out of memory");
    else if (!tool)
        lull_buffer_printf(result, "error: there is no tool %s", name);
    else if (!command)
        lull_buffer_printf(result, "error: %s has no command", name);
    else if (!may_run(c, name, arguments))
        lull_buffer_append_str(result, "error: the user did not let this tool run");
    else if (lull_tool_run(command, arguments, result, &err) != LULL_OK)
        lull_buffer_printf(result, "error: %s", err.msg);
    note("%s: %s", name, result->data ? result->data : "");
    free(arguments);
}

/* A message with the result of each call of the last answer; *n: how many calls there were. */
static lull_status run_tools(chat *c, const lull_answer *a, size_t *n, lull_error *err)
{
    json_t *calls = lull_answer_calls(a);
    lull_status st = LULL_OK;
    *n = json_array_size(calls);
    for (size_t i = 0; i < *n; i++) {
        const json_t *call = json_array_get(calls, i);
        lull_buffer result = {0};
        run_tool(c, call, &result);
        json_t *text = lull_conversation_text(result.data ? result.data : "", result.n_bytes);
        lull_buffer_fini(&result);
        LULL_TRY(lull_conversation_add_message(
            &c->said,
            json_pack("{s:s, s:O, s:O, s:o}", "role", "tool", "tool_call_id",
                      json_object_get(call, "id"), "name",
                      json_object_get(json_object_get(call, "function"), "name"), "content", text),
            err));
    }
done:
    json_decref(calls);
    return st;
}

/* One answer to the last message; *n_calls: how many calls it had, whose results are messages now. */
static lull_status answer_once(chat *c, size_t *n_calls, lull_error *err)
{
    lull_conversation_plan plan = {0};
    lull_answer a = {.on_event = on_event, .user = c};
    lull_status st = LULL_OK;
    size_t n_dropped = c->said.n_dropped;
    *n_calls = 0;
    c->said.tools = c->talk.tools_json;
    c->said.variables = lull_talk_variables(&c->talk);
    LULL_TRY(lull_conversation_make_plan(&c->said, c->model, c->session, &plan, err));
    if (c->said.n_dropped > n_dropped)
        note("[the context is full: the oldest %zu messages are left out]", c->said.n_dropped);
    double start = lull_clock_ms();
    LULL_TRY(catch_up(c, &plan, err));
    c->timings.prompt_ms = lull_clock_ms() - start;

    st = lull_talk_answer(&c->talk, c->session, &c->opt, &a, err);
    end_answer(c);
    LULL_TRY(st);
    c->timings.n_generated = a.result.n_tokens;
    c->timings.n_evals = a.result.n_evals;
    c->timings.n_drafted = a.result.n_drafted;
    c->timings.n_accepted = a.result.n_accepted;
    c->timings.first_token_ms = c->timings.prompt_ms + a.result.first_ms;
    c->timings.gen_ms = a.result.total_ms;
    c->timings.decode_ms = a.result.total_ms - a.result.first_ms;
    tell_finish(c, a.result.finish);
    json_t *message = lull_answer_message(&a);
    bool is_empty = json_string_length(json_object_get(message, "content")) == 0 &&
                    json_object_size(message) == 2;
    if (a.result.finish == LULL_FINISH_CANCELLED && is_empty) {
        json_decref(message);
        take_back_exchange(c);
    } else {
        LULL_TRY(lull_conversation_add_message(&c->said, message, err));
        lull_conversation_note_said(&c->said, c->session, a.result.finish);
        c->is_cut = false;
    }
    if (c->stats_each_turn) lull_cmd_print_stats(c->model, c->session, &c->timings);
    if (a.result.finish != LULL_FINISH_CANCELLED) LULL_TRY(run_tools(c, &a, n_calls, err));
done:
    lull_answer_fini(&a);
    lull_cmd_tokens_fini(&plan.tokens);
    return st;
}

/* Answer the last message, with the tools that it takes. Whatever goes wrong, user and assistant take turns
 * afterwards: without an answer the message is taken back. */
static void answer(chat *c)
{
    enum { MOST_ROUNDS = 16 }; /* of calls: a model may go on for ever */
    lull_error err;
    lull_status st = LULL_OK;
    size_t n_calls = 1;
    lull_interrupt_arm();
    lull_interrupt_watch(c->session);
    for (int round = 0; n_calls > 0 && st == LULL_OK && !lull_interrupt_signal(); round++) {
        if (round == MOST_ROUNDS) note("[%d rounds of tools: that is enough]", MOST_ROUNDS);
        if (round == MOST_ROUNDS) break;
        /* A call that is asked for is asked for once: the answer to its result is free. */
        char *grammar = c->talk.grammar;
        if (round > 0) c->talk.grammar = NULL;
        st = answer_once(c, &n_calls, &err);
        c->talk.grammar = grammar;
    }
    lull_interrupt_disarm();
    /* Ctrl-C ends an answer; without a person there, or by another signal, it ends all. */
    int signal_number = lull_interrupt_signal();
    if (signal_number && (signal_number != SIGINT || !c->is_interactive)) {
        c->is_over = true;
        c->rc = 128 + signal_number;
    }
    /* Results of tools that nobody answered stand for nothing. */
    if (st == LULL_OK && lull_conversation_is_due(&c->said) && n_calls > 0) take_back_exchange(c);
    if (st == LULL_OK) return;
    take_back_exchange(c);
    if (st == LULL_ECANCELLED)
        note("[interrupted; the message was taken back]");
    else
        complain(c, &err);
}

static void say(chat *c, const char *text, size_t n_bytes)
{
    lull_error err;
    if (lull_conversation_add(&c->said, "user", text, n_bytes, &err) != LULL_OK)
        complain(c, &err);
    else
        answer(c);
}

/* ---- commands ------------------------------------------------------------------------------- */

typedef struct command {
    const char *name, *arg, *help;         /* help is NULL for another name of one above */
    void (*run)(chat *c, const char *arg); /* arg: what follows the name, "" for nothing */
} command;

/* The last message of the user, NULL when there is none. */
static const char *last_message(const chat *c)
{
    for (size_t i = lull_conversation_n(&c->said); i-- > 0;)
        if (strcmp(lull_conversation_role(&c->said, i), "user") == 0)
            return lull_conversation_content(&c->said, i);
    return NULL;
}

static void cmd_system(chat *c, const char *arg)
{
    lull_error err;
    if (!*arg)
        note("%s", c->said.system ? c->said.system : "there is no system message");
    else if (lull_conversation_set_system(&c->said, strcmp(arg, "\"\"") ? arg : NULL, &err))
        complain(c, &err);
}

static void cmd_undo(chat *c, const char *arg)
{
    (void)arg;
    const char *message = last_message(c);
    if (!message) {
        note("there is nothing to undo");
        return;
    }
    note("taken back: %s", message);
    take_back_exchange(c);
}

static void cmd_retry(chat *c, const char *arg)
{
    (void)arg;
    if (!last_message(c)) {
        note("there is nothing to answer again");
        return;
    }
    c->opt.sampling.seed++; /* the same one would draw the same answer at the same place */
    lull_conversation_pop_answer(&c->said);
    answer(c);
}

static void cmd_edit(chat *c, const char *arg)
{
    const char *message = last_message(c);
    if (!message) {
        note("there is no message to edit");
    } else if (*arg) {
        take_back_exchange(c);
        say(c, arg, strlen(arg));
    } else if (!c->is_interactive) {
        note("without a terminal: /edit NEW TEXT");
    } else if ((c->prefill = strdup(message))) {
        take_back_exchange(c);
    }
}

static void cmd_stats(chat *c, const char *arg)
{
    (void)arg;
    lull_cmd_print_stats(c->model, c->session, &c->timings);
}

static void cmd_think(chat *c, const char *arg)
{
    if (!lull_talk_set_think(&c->talk, arg))
        note("/think on, off, hide, show, or auto: as the template has it");
    else if (c->talk.reasoning == LULL_REASONING_NONE)
        note("the model's chat template knows no thoughts; --reasoning-format says how it marks "
             "them");
}

static void cmd_clear(chat *c, const char *arg)
{
    (void)arg;
    lull_conversation_clear(&c->said);
    c->is_cut = true;
}

/* ---- states --------------------------------------------------------------------------------- */

/* false, and a word about it, when memory ran out. */
static bool set_chat_name(chat *c, const char *name)
{
    char *copy = strdup(name);
    if (!copy) {
        note("no memory for the name %s", name);
        return false;
    }
    free(c->name);
    c->name = copy;
    return true;
}

/* The store, made if need be. */
static lull_status need_store(chat *c, lull_error *err)
{
    if (c->state.store) return LULL_OK;
    lull_status st = lull_cmd_store_open(c->state.dir, true, &c->state.store, err);
    if (st == LULL_OK) lull_model_use_store(c->model, c->state.store);
    return st;
}

static lull_status sleep_as(chat *c, const char *name, lull_error *err)
{
    lull_status st = LULL_OK;
    LULL_TRY(need_store(c, err));
    if (c->is_cut) LULL_TRY(lull_conversation_trim(&c->said, c->model, c->session, err));
    c->is_cut = false;
    LULL_TRY(lull_conversation_save(&c->said, c->session, err));
    LULL_TRY(
        lull_cmd_sleep_as(c->state.store, c->session, name, &c->state.tags, c->state.note, err));
done:
    return st;
}

static void cmd_sleep(chat *c, const char *arg)
{
    lull_error err;
    if (!*arg && !c->name)
        note("as what? /sleep NAME");
    else if (sleep_as(c, *arg ? arg : c->name, &err) != LULL_OK)
        complain(c, &err);
    else if (!c->name)
        set_chat_name(c, arg);
}

static void cmd_fork(chat *c, const char *arg)
{
    lull_error err;
    if (!*arg) {
        note("as what? /fork NAME");
        return;
    }
    if (sleep_as(c, arg, &err) != LULL_OK)
        complain(c, &err);
    else if (set_chat_name(c, arg))
        note("this chat goes on as %s", arg);
}

/* The end of what was said, so that one knows where one is. */
static void recall_last(const chat *c)
{
    size_t n = lull_conversation_n(&c->said);
    for (size_t i = n > 2 ? n - 2 : 0; i < n; i++)
        note("%s: %s", lull_conversation_role(&c->said, i), lull_conversation_content(&c->said, i));
}

static lull_status wake(chat *c, const char *name, lull_error *err)
{
    lull_conversation said = {0};
    lull_session *session = NULL;
    lull_wake_options options = {.re_reads = c->state.re_reads,
                                 .n_ctx = lull_cmd_n_ctx(c->session)};
    lull_status st = LULL_OK;
    LULL_TRY(need_store(c, err));
    LULL_TRY(lull_wake(c->model, c->state.store, name, &options, &session, err));
    LULL_TRY(lull_conversation_load(&said, session, err));
    /* Under NAME@{n}, NAME:TOKEN and #ID nothing sleeps: the chat stays who it was. */
    if (lull_cmd_is_name(name) && !set_chat_name(c, name))
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a name"));
    lull_session_free(c->session);
    lull_conversation_fini(&c->said);
    c->session = session;
    c->said = said;
    c->is_cut = false;
    return LULL_OK;
done:
    lull_session_free(session);
    lull_conversation_fini(&said);
    return st;
}

static void cmd_wake(chat *c, const char *arg)
{
    lull_error err;
    if (!*arg)
        note("which? /wake NAME; /ls lists them");
    else if (wake(c, arg, &err) != LULL_OK)
        complain(c, &err);
    else
        recall_last(c);
}

static void cmd_ls(chat *c, const char *arg)
{
    (void)arg;
    lull_error err;
    int64_t *ids = NULL;
    size_t n = 0;
    lull_grid g;
    lull_grid_init(&g, "lr");
    lull_status st = need_store(c, &err);
    if (st == LULL_OK) st = lull_store_list(c->state.store, &ids, &n, &err);
    for (size_t i = n; i-- > 0 && st == LULL_OK;) {
        lull_store_state state;
        char count[LULL_FORMAT_CAP];
        st = lull_store_get(c->state.store, ids[i], false, &state, &err);
        if (st != LULL_OK) break;
        for (size_t k = 0; k < state.n_names; k++) {
            lull_grid_cell(&g, "%s", state.names[k]);
            lull_grid_cell(&g, "%s tokens", lull_format_count(count, state.n_tokens));
        }
        lull_store_state_fini(&state);
    }
    if (st != LULL_OK)
        complain(c, &err);
    else if (g.n_cells == 0)
        note("no states yet: /sleep NAME makes one");
    else
        lull_grid_print(&g, stderr, false);
    lull_grid_fini(&g);
    lull_free(ids);
}

/* What the next message would cost, or what the last one did. */
static void cmd_why(chat *c, const char *arg)
{
    lull_error err;
    lull_conversation_plan plan = {0};
    if (!*arg) {
        lull_reuse r = lull_session_reuse(c->session);
        note(
            "of the last prompt's %zu tokens %zu were computed; in all %llu came from memory, %llu "
            "from the store, %llu were computed",
            c->timings.n_prompt, c->timings.n_evaluated, (unsigned long long)r.from_memory,
            (unsigned long long)r.from_disk, (unsigned long long)r.computed);
        return;
    }
    lull_status st = lull_conversation_add(&c->said, "user", arg, strlen(arg), &err);
    if (st == LULL_OK) {
        st = lull_conversation_make_plan(&c->said, c->model, c->session, &plan, &err);
        lull_conversation_pop(&c->said);
    }
    if (st != LULL_OK)
        complain(c, &err);
    else
        note("%zu of %zu tokens are here; %zu would be computed", plan.n_keep,
             plan.n_keep + plan.tokens.n, plan.tokens.n);
    lull_cmd_tokens_fini(&plan.tokens);
}

static void cmd_exit(chat *c, const char *arg)
{
    (void)arg;
    c->is_over = true;
}

static void cmd_help(chat *c, const char *arg);

static const command commands[] = {
    {"/help", "", "this list", cmd_help},
    {"/system", "TEXT", "set the system message; without TEXT show it, with \"\" remove it",
     cmd_system},
    {"/edit", "[TEXT]", "change the last message and have it answered again", cmd_edit},
    {"/retry", "", "another answer to the last message", cmd_retry},
    {"/undo", "", "take the last message and its answer back", cmd_undo},
    {"/think", "HOW", "auto, on, off, hide or show: what becomes of the model's thoughts",
     cmd_think},
    {"/clear", "", "forget the conversation; the system message stays", cmd_clear},
    {"/sleep", "[NAME]", "keep this chat as a state", cmd_sleep},
    {"/wake", "NAME", "go on with another one", cmd_wake},
    {"/fork", "NAME", "keep this chat and go on as NAME", cmd_fork},
    {"/ls", "", "the states that there are", cmd_ls},
    {"/why", "[TEXT]", "what sending TEXT would compute; without it, what was computed", cmd_why},
    {"/stats", "", "memory, and the timings of the last answer", cmd_stats},
    {"/exit", "", "leave, as Ctrl-D does", cmd_exit},
    {"/quit", "", NULL, cmd_exit},
    {"/bye", "", NULL, cmd_exit},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void cmd_help(chat *c, const char *arg)
{
    (void)c, (void)arg;
    for (size_t i = 0; i < N_COMMANDS && commands[i].help; i++) {
        char form[32];
        snprintf(form, sizeof form, "%s %s", commands[i].name, commands[i].arg);
        note("%-15s %s", form, commands[i].help);
    }
    note("A line that ends in \\ goes on in the next one; \"\"\" begins and ends several lines, "
         "and\n"
         "Alt-Enter breaks a line. Ctrl-C ends an answer. A message that begins with / is sent "
         "with\n"
         "a blank in front.");
}

static void run_command(chat *c, const char *text)
{
    char name[32];
    size_t n = strcspn(text, " \t");
    snprintf(name, sizeof name, "%.*s", (int)n, text);
    const char *arg = text + n + strspn(text + n, " \t");
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].run(c, arg);
            return;
        }
    }
    const char *near = lull_cli_nearest(name, names, N_COMMANDS);
    lull_error err;
    (void)lull_fail(&err, LULL_EINVAL, "unknown command %s%s%s; /help lists them", name,
                    near ? ", did you mean " : "", near ? near : "");
    complain(c, &err);
}

/* ---- reading -------------------------------------------------------------------------------- */

#define FENCE "\"\"\""

static bool ends_with(const lull_buffer *b, const char *suffix)
{
    size_t n = strlen(suffix);
    return b->n_bytes >= n && memcmp(b->data + b->n_bytes - n, suffix, n) == 0;
}

static void cut(lull_buffer *b, size_t n)
{
    b->n_bytes -= n;
    b->data[b->n_bytes] = '\0';
}

/* One message into *out, of several lines perhaps. */
static lull_line_event read_message(chat *c, const char *prefill, lull_buffer *out)
{
    const char *text;
    size_t n_bytes;
    lull_buffer_clear(out);
    lull_line_event event = lull_line_read(c->line, ">", prefill, &text, &n_bytes);
    if (event != LULL_LINE_TEXT) return event;
    size_t n_fence = strlen(FENCE);
    bool is_fenced = strncmp(text, FENCE, n_fence) == 0;
    if (is_fenced) text += n_fence, n_bytes -= n_fence;
    lull_buffer_append(out, text, n_bytes);
    for (;;) {
        bool is_closed = is_fenced && ends_with(out, FENCE);
        bool goes_on = is_fenced ? !is_closed : ends_with(out, "\\");
        if (is_closed) cut(out, n_fence);
        if (!goes_on) break;
        if (!is_fenced) cut(out, 1);
        event = lull_line_read(c->line, ".", NULL, &text, &n_bytes);
        if (event == LULL_LINE_INTERRUPT) return event;
        if (event == LULL_LINE_END) break; /* what there is, is the message */
        if (out->n_bytes > 0) lull_buffer_append_str(out, "\n");
        lull_buffer_append(out, text, n_bytes);
    }
    /* The line feed before a closing fence is the fence's. */
    if (is_fenced && ends_with(out, "\n")) cut(out, 1);
    return out->is_failed ? LULL_LINE_END : LULL_LINE_TEXT;
}

static void converse(chat *c)
{
    lull_buffer message = {0};
    while (!c->is_over) {
        char *prefill = c->prefill;
        c->prefill = NULL;
        lull_line_event event = read_message(c, prefill, &message);
        free(prefill);
        if (event == LULL_LINE_END) break;
        if (event == LULL_LINE_INTERRUPT) {
            note("Ctrl-D or /exit leaves");
            continue;
        }
        if (strspn(message.data, " \t\r\n") == message.n_bytes) continue;
        lull_line_remember(c->line, message.data);
        if (message.data[0] == '/' && !strchr(message.data, '\n'))
            run_command(c, message.data);
        else
            say(c, message.data, message.n_bytes);
    }
    lull_buffer_fini(&message);
}

/* ---- setting up ----------------------------------------------------------------------------- */

/* $XDG_STATE_HOME/lull/chat_history, owned: free(); NULL when there is no place for it. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    lull_buffer b = {0};
    if (state && *state == '/')
        lull_buffer_printf(&b, "%s/lull", state);
    else if (home && *home == '/')
        lull_buffer_printf(&b, "%s/.local/state/lull", home);
    else
        return NULL;
    if (!b.is_failed && lull_dir_create(b.data, NULL) == LULL_OK)
        lull_buffer_append_str(&b, "/chat_history");
    else
        b.is_failed = true;
    return lull_buffer_take(&b, NULL);
}

typedef struct args {
    const char *model, *system;
    int64_t n_threads, n_ctx;
    lull_cmd_numerics numerics;
    bool stats, no_history, is_sampling_given;
    lull_cmd_sampling sampling;
} args;

static void greet(const chat *c)
{
    lull_model_info info = lull_model_get_info(c->model);
    if (c->is_interactive)
        note("%s, %zu positions. /help lists the commands, Ctrl-D leaves.",
             *info.name ? info.name : info.architecture, lull_cmd_n_ctx(c->session));
    if (!info.chat_template)
        note("This file has no chat template: plain \"User:\" and \"Assistant:\" lines are used, "
             "and "
             "the answers\nare what the model goes on with.");
}

static lull_status set_up(chat *c, args *a, lull_error *err)
{
    static const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    char *path = NULL;
    lull_status st = LULL_OK;
    lull_interrupt_arm(); /* loading can be interrupted, too */
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->n_threads,
                                 lull_cmd_state_numerics(&c->state, a->numerics), 0, &c->model,
                                 err));
    LULL_TRY(lull_talk_open(&c->talk, c->model, err));
    LULL_TRY(lull_cmd_state_open(&c->state, c->model, err));
    LULL_TRY(lull_cmd_state_session(&c->state, c->model, (size_t)a->n_ctx, &c->session, err));
    if (c->state.wake) {
        LULL_TRY(lull_conversation_load(&c->said, c->session, err));
        if (!a->is_sampling_given)
            LULL_TRY(lull_sampling_wake(&a->sampling, c->session, &c->opt, err));
    }
    if (a->system) LULL_TRY(lull_conversation_set_system(&c->said, a->system, err));
    if (c->state.sleep && !set_chat_name(c, c->state.sleep))
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a name"));
    if (!a->no_history) path = history_path();
    LULL_TRY(lull_line_new("lull", path, &c->line, err));
    lull_line_set_words(c->line, names, N_COMMANDS);
    c->is_interactive = lull_line_is_interactive(c->line);
    c->stats_each_turn = a->stats;
    c->timings.load_ms = lull_model_get_info(c->model).load_ms;
    if (!lull_model_get_info(c->model).chat_template) {
        memcpy(c->stop, c->opt.stop, c->opt.n_stop * sizeof *c->stop);
        c->stop[c->opt.n_stop++] = LULL_CONVERSATION_PLAIN_STOP;
        c->opt.stop = c->stop;
    }
done:
    lull_interrupt_disarm();
    free(path);
    return st;
}

/* --sleep: under the name that the chat has by now. */
static void sleep_at_end(chat *c)
{
    lull_error err;
    if (!c->state.sleep || lull_session_n_tokens(c->session) == 0) return;
    if (sleep_as(c, c->name, &err) == LULL_OK) return;
    fprintf(stderr, "lull chat: %s\n", err.msg);
    c->rc = LULL_EXIT_FAILED;
}

int lull_cmd_chat(int argc, char **argv)
{
    args a = {0};
    chat c = {.rc = LULL_EXIT_OK};
    lull_sampling_init(&a.sampling, 0.7f, 0.95f);
    a.sampling.top_k = 40;
    lull_sampling_keep_defaults(&a.sampling);
    lull_talk_init(&c.talk);
    lull_cmd_state_init(&c.state);
    const lull_option options[] = {
        {0, "system", "system-prompt", LULL_OPT_STRING, &a.system, 0, 0, "TEXT",
         "the system message"},
        {'c', "ctx", "ctx-size", LULL_OPT_INT, &a.n_ctx, 1, 1e9, "N",
         "positions for the conversation (default: the model's)"},
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
        {0, "stats", NULL, LULL_OPT_FLAG, &a.stats, 0, 0, NULL,
         "print memory and timings after each answer"},
        {0, "no-history", NULL, LULL_OPT_FLAG, &a.no_history, 0, 0, NULL,
         "keep no history of what is typed"},
    };
    const lull_cli cli = {.verb = "chat",
                          .operands = "MODEL",
                          .about = "Talk with a model. Without a terminal each line of standard "
                                   "input is a message. Answers are drawn with temperature 0.7, "
                                   "top-k 40 and top-p 0.95 unless told otherwise.",
                          .groups = {{"Options", options, sizeof options / sizeof *options},
                                     {"Generation", a.sampling.rows, LULL_SAMPLING_ROWS},
                                     {"Tools and thoughts", c.talk.rows, LULL_TALK_ROWS},
                                     {"States", c.state.rows, LULL_STATE_ROWS}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    a.is_sampling_given = lull_sampling_is_given(&a.sampling);
    if (rc < 0) rc = lull_cmd_state_check(&c.state, "chat");
    if (rc < 0) rc = lull_sampling_apply(&a.sampling, "chat", &c.opt);
    if (rc >= 0) return rc;
    lull_error err;
    if (set_up(&c, &a, &err) == LULL_OK) {
        greet(&c);
        converse(&c);
        sleep_at_end(&c);
    } else {
        c.rc = lull_cmd_fail("chat", &err);
    }
    free(c.prefill);
    lull_line_free(c.line);
    lull_conversation_fini(&c.said);
    lull_talk_fini(&c.talk);
    free(c.name);
    lull_sampling_fini(&a.sampling);
    lull_session_free(c.session);
    lull_model_close(c.model);
    lull_cmd_state_close(&c.state);
    return c.rc;
}
