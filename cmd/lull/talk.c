#include "talk.h"

#include <stdlib.h>
#include <string.h>

#include "conversation.h"
#include "engine.h"

static const char *const think_words[] = {"auto", "on", "off", "hide", "show"};

void lull_talk_init(lull_talk *t)
{
    *t = (lull_talk){.budget = -1};
    const lull_option rows[LULL_TALK_ROWS] = {
        {0, "tools", NULL, LULL_OPT_STRING, &t->tools_file, 0, 0, "FILE",
         "tools that the model may call: a JSON array of functions"},
        {0, "tool-choice", NULL, LULL_OPT_STRING, &t->tool_choice, 0, 0, "WHICH",
         "auto, none, required, or the name of the one to call"},
        {0, "tool-format", NULL, LULL_OPT_STRING, &t->tool_format, 0, 0, "NAME",
         "how the model writes calls (default: by its chat template)"},
        {0, "reasoning-format", NULL, LULL_OPT_STRING, &t->reasoning_format, 0, 0, "NAME",
         "how it marks thoughts (default: by its chat template)"},
        {0, "think", NULL, LULL_OPT_STRING, &t->think_arg, 0, 0, "HOW",
         "auto, on, off, hide, or show: thoughts as plain text"},
        {0, "think-budget", "reasoning-budget", LULL_OPT_INT, &t->budget, -1, 1e9, "N",
         "close a thought after N tokens (-1: never)"},
    };
    memcpy(t->rows, rows, sizeof rows);
}

bool lull_talk_set_think(lull_talk *t, const char *word)
{
    for (int i = 0; i < 5; i++) {
        if (strcmp(word, think_words[i]) != 0) continue;
        t->think = (lull_think)i;
        return true;
    }
    return false;
}

const char *lull_talk_variables(const lull_talk *t)
{
    /* What templates call it: Qwen 3 and others, DeepSeek V3.1 and Granite. */
    if (t->think == LULL_THINK_AUTO) return NULL;
    return t->think == LULL_THINK_OFF ? "{\"enable_thinking\": false, \"thinking\": false}"
                                      : "{\"enable_thinking\": true, \"thinking\": true}";
}

/* ---- tools ------------------------------------------------------------------------------------- */

/* The function that an entry of the file declares: inside "function", or the entry itself. */
static const json_t *function_of(const json_t *tool)
{
    const json_t *function = json_object_get(tool, "function");
    return json_is_object(function) ? function : tool;
}

static const char *name_of(const json_t *tool)
{
    return json_string_value(json_object_get(function_of(tool), "name"));
}

const json_t *lull_talk_find_tool(const lull_talk *t, const char *name)
{
    for (size_t i = 0; i < json_array_size(t->declared); i++) {
        const json_t *tool = json_array_get(t->declared, i);
        if (strcmp(name_of(tool), name) == 0) return tool;
    }
    return NULL;
}

/* The declarations as templates are given them: without what only this program needs. */
static json_t *published_tools(const json_t *declared)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(declared); i++) {
        json_t *function = json_deep_copy(function_of(json_array_get(declared, i)));
        json_object_del(function, "command");
        json_object_del(function, "type");
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "type", "function", "function", function));
    }
    return list;
}

static lull_status load_tools(lull_talk *t, lull_error *err)
{
    char *text = NULL;
    size_t n_bytes;
    json_error_t why;
    lull_status st = lull_cmd_read_text(NULL, t->tools_file, &text, &n_bytes, err);
    if (st != LULL_OK) return st;
    t->declared = json_loadb(text, n_bytes, 0, &why);
    free(text);
    if (!t->declared)
        return lull_fail(err, LULL_EINVAL, "%s: line %d, column %d: %s", t->tools_file, why.line,
                         why.column, why.text);
    if (json_array_size(t->declared) == 0)
        return lull_fail(err, LULL_EINVAL, "%s: not a JSON array of tools", t->tools_file);
    for (size_t i = 0; i < json_array_size(t->declared); i++)
        if (!name_of(json_array_get(t->declared, i)))
            return lull_fail(err, LULL_EINVAL, "%s: tool %zu has no name", t->tools_file, i);
    json_t *list = published_tools(t->declared);
    t->tools_json = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return t->tools_json ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for the tools");
}

/* ---- the call that is asked for ------------------------------------------------------------------ */

static void add(json_t *sequence, json_t *part)
{
    json_array_append_new(sequence, part);
}

static json_t *sequence_of(json_t *list)
{
    return json_pack("{s:o}", "sequence", list);
}

/* A text of the form, which may have control tokens in it: LULL_GRAMMAR_PARTS. */
static json_t *mark(const lull_model *model, const char *text)
{
    json_t *list = json_array();
    lull_cmd_tokens tokens = {0};
    lull_error ignored;
    size_t n_text = text ? strlen(text) : 0, from = 0, at = 0;
    if (n_text > 0 && lull_cmd_tokenize_text(model, text, n_text, LULL_TOKENIZE_SPECIAL, &tokens,
                                             &ignored) != LULL_OK)
        tokens.n = 0;
    for (size_t i = 0; i < tokens.n; i++) {
        size_t n, n_plain;
        const char *name = lull_token_text(model, tokens.ids[i], true, &n);
        (void)lull_token_text(model, tokens.ids[i], false, &n_plain);
        if (n_plain == 0) { /* a control token: the text before it, then its name */
            const char *found = memmem(text + at, n_text - at, name, n);
            if (!found) continue;
            at = (size_t)(found - text);
            add(list, json_stringn(text + from, at - from));
            add(list, json_pack("{s:o}", "special", json_stringn(name, n)));
            from = at + n;
        }
        at += n;
        if (at > n_text) at = n_text;
    }
    add(list, json_stringn(text ? text + from : "", n_text - from));
    lull_cmd_tokens_fini(&tokens);
    return sequence_of(list);
}

static bool is_string_type(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    return type && strcmp(type, "string") == 0;
}

/* The value of a parameter in a form that is no JSON. */
static json_t *value_part(const lull_model *model, const lull_call_form *form, const json_t *schema)
{
    const json_t *options = json_object_get(schema, "enum");
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (form->is_python && type && strcmp(type, "boolean") == 0)
        return json_pack("{s:[s, s]}", "choice", "True", "False");
    if (!is_string_type(schema) || form->is_python)
        return json_pack("{s:O}", "schema", (json_t *)schema);
    json_t *text = json_pack("{s:s}", "regex", "[^<>\\n\"|]{1,400}");
    if (json_array_size(options) > 0) {
        json_decref(text);
        text = json_pack("{s:O}", "choice", (json_t *)options);
    }
    if (!form->string_mark) return text;
    return sequence_of(json_pack("[o, o, o]", mark(model, form->string_mark), text,
                                 mark(model, form->string_mark)));
}

static bool is_required(const json_t *parameters, const char *key)
{
    const json_t *required = json_object_get(parameters, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name && strcmp(name, key) == 0) return true;
    }
    return false;
}

static json_t *arguments_part(const lull_model *model, const lull_call_form *form,
                              const json_t *parameters)
{
    if (!form->key_begin)
        return parameters ? json_pack("{s:O}", "schema", (json_t *)parameters)
                          : json_pack("{s:{s:s}}", "schema", "type", "object");
    json_t *list = json_array();
    const char *key;
    json_t *schema;
    json_object_foreach(json_object_get(parameters, "properties"), key, schema)
    {
        bool must = is_required(parameters, key);
        /* A separator stands between two: only what has to come keeps it in its place. */
        if (form->value_separator && !must) continue;
        if (form->value_separator && json_array_size(list) > 0)
            add(list, mark(model, form->value_separator));
        const char *key_end = !is_string_type(schema) && form->key_end_literal
                                  ? form->key_end_literal
                                  : form->key_end;
        json_t *one = sequence_of(json_pack("[o, s, o, o, o]", mark(model, form->key_begin), key,
                                            mark(model, key_end), value_part(model, form, schema),
                                            mark(model, form->value_end)));
        add(list, must ? one : json_pack("{s:o, s:i, s:i}", "repeat", one, "min", 0, "max", 1));
    }
    return sequence_of(list);
}

static json_t *call_part(const lull_talk *t, const lull_call_form *form, const json_t *tool)
{
    const lull_model *m = t->model;
    return sequence_of(
        json_pack("[o, o, s, o, o, o, o]", mark(m, form->open), mark(m, form->begin), name_of(tool),
                  mark(m, form->middle),
                  arguments_part(m, form, json_object_get(function_of(tool), "parameters")),
                  mark(m, form->end), mark(m, form->close)));
}

/* --tool-choice: a grammar for one call, of any tool or of the one named. */
static lull_status choose_tool(lull_talk *t, lull_error *err)
{
    const char *which = t->tool_choice;
    if (!which || strcmp(which, "auto") == 0) return LULL_OK;
    if (strcmp(which, "none") == 0) {
        free(t->tools_json);
        t->tools_json = NULL;
        return LULL_OK;
    }
    bool is_any = strcmp(which, "required") == 0;
    if (!t->declared || (!is_any && !lull_talk_find_tool(t, which)))
        return lull_fail(err, LULL_EINVAL, "--tool-choice %s: %s", which,
                         t->declared ? "no tool has this name" : "there are no --tools");
    const lull_call_form *form =
        lull_reply_opening(t->tools, lull_model_get_info(t->model).chat_template);
    if (!form)
        return lull_fail(err, LULL_EINVAL,
                         "--tool-choice %s: how this model calls tools is not known; say it with "
                         "--tool-format",
                         which);
    json_t *options = json_array();
    for (size_t i = 0; i < json_array_size(t->declared); i++) {
        const json_t *tool = json_array_get(t->declared, i);
        if (is_any || strcmp(name_of(tool), which) == 0) add(options, call_part(t, form, tool));
    }
    json_t *parts = json_pack("{s:o}", "choice", options);
    t->grammar = parts ? json_dumps(parts, JSON_COMPACT) : NULL;
    json_decref(parts);
    if (!t->grammar) return lull_fail(err, LULL_ENOMEM, "no memory for --tool-choice");
    lull_status st = lull_grammar_check(LULL_GRAMMAR_PARTS, t->grammar, err);
    if (st != LULL_OK) lull_error_prefix(err, "%s", t->tools_file);
    return st;
}

lull_status lull_talk_open(lull_talk *t, const lull_model *model, lull_error *err)
{
    lull_status st = LULL_OK;
    t->model = model;
    lull_chat_detect(lull_model_get_info(model).chat_template, &t->tools, &t->reasoning);
    bool is_auto = !t->tool_format || strcmp(t->tool_format, "auto") == 0;
    if (!is_auto && !lull_tool_format_find(t->tool_format, &t->tools))
        LULL_TRY(lull_fail(err, LULL_EINVAL,
                           "--tool-format %s is not known; %s, %s, %s … are: man lull",
                           t->tool_format, lull_tool_format_name(1), lull_tool_format_name(2),
                           lull_tool_format_name(3)));
    if (t->reasoning_format && strcmp(t->reasoning_format, "auto") != 0 &&
        !lull_reasoning_format_find(t->reasoning_format, &t->reasoning))
        LULL_TRY(lull_fail(err, LULL_EINVAL,
                           "--reasoning-format %s is not known; %s, %s, %s … are: man lull",
                           t->reasoning_format, lull_reasoning_format_name(1),
                           lull_reasoning_format_name(2), lull_reasoning_format_name(3)));
    if (t->think_arg && !lull_talk_set_think(t, t->think_arg))
        LULL_TRY(lull_fail(err, LULL_EINVAL, "--think takes auto, on, off, hide or show, not '%s'",
                           t->think_arg));
    if (t->tools_file) {
        LULL_TRY(load_tools(t, err));
        if (t->tools == LULL_TOOLS_NONE)
            LULL_TRY(
                lull_fail(err, LULL_EUNSUPPORTED,
                          "the model's chat template knows no tools: it would not see those of "
                          "%s; with --tool-format NAME its calls are read all the same",
                          t->tools_file));
    }
    LULL_TRY(choose_tool(t, err));
done:
    return st;
}

void lull_talk_fini(lull_talk *t)
{
    json_decref(t->declared);
    free(t->tools_json);
    free(t->grammar);
    t->declared = NULL;
    t->tools_json = t->grammar = NULL;
}

/* ---- answers ----------------------------------------------------------------------------------- */

/* Pass over text that ended an earlier part of the answer, as long as it comes again. */
static void skip_tail(lull_answer *a, lull_reply_event *e)
{
    while (e->n_bytes > 0 && a->n_tail < a->tail.n_bytes && *e->bytes == a->tail.data[a->n_tail]) {
        e->bytes++;
        e->n_bytes--;
        a->n_tail++;
        a->n_old_text++;
    }
    if (e->n_bytes > 0) a->n_tail = a->tail.n_bytes;
}

static void on_event(void *user, const lull_reply_event *event)
{
    lull_answer *a = user;
    lull_reply_event e = *event;
    if (a->is_replaying) return;
    if (e.kind == LULL_REPLY_TEXT)
        skip_tail(a, &e);
    else
        a->n_tail = a->tail.n_bytes; /* what begins now does not end what was said */
    if (a->on_event && !a->is_stopped) a->is_stopped = !a->on_event(a->user, &e);
}

static bool on_text(void *user, const char *text, size_t n_bytes, int32_t token)
{
    lull_answer *a = user;
    a->failure = lull_reply_feed(a->reply, text, n_bytes, a->err);
    if (a->failure != LULL_OK) return false;
    if (token >= 0 && lull_reply_in_thought(a->reply)) a->n_thought++;
    a->is_cut = a->talk->budget >= 0 && !a->is_over_budget && lull_reply_in_thought(a->reply) &&
                a->n_thought >= (size_t)a->talk->budget;
    return !a->is_stopped && !a->is_cut;
}

/* Whether the prompt, of which the last of the session's first n tokens tell, has opened a thought. */
static bool starts_in_thought(const lull_talk *t, const lull_session *s, size_t n)
{
    enum { LAST = 32 };
    size_t from = n > LAST ? n - LAST : 0, n_bytes;
    char text[4096];
    lull_error ignored;
    if (lull_detokenize(t->model, lull_session_tokens(s) + from, n - from, true, text, sizeof text,
                        &n_bytes, &ignored) != LULL_OK ||
        n_bytes >= sizeof text)
        return false;
    return lull_chat_starts_in_thought(t->reasoning, text, n_bytes);
}

/* Write a text into the session as if the model had: the end of a thought. */
static lull_status write_text(const lull_talk *t, lull_session *s, const char *text,
                              lull_error *err)
{
    lull_cmd_tokens tokens = {0};
    lull_status st = LULL_OK;
    LULL_TRY(
        lull_cmd_tokenize_text(t->model, text, strlen(text), LULL_TOKENIZE_SPECIAL, &tokens, err));
    if (tokens.n > 0) LULL_TRY(lull_session_eval(s, tokens.ids, tokens.n, NULL, err));
done:
    lull_cmd_tokens_fini(&tokens);
    return st;
}

/* Of an answer behind the session's first n tokens. */
static lull_reply_options reply_options(const lull_talk *t, size_t n, bool is_inside)
{
    return (lull_reply_options){
        .tools = t->tools_json ? t->tools : LULL_TOOLS_NONE,
        .reasoning = t->reasoning,
        .thinking = t->think == LULL_THINK_HIDE   ? LULL_THINKING_HIDE
                    : t->think == LULL_THINK_SHOW ? LULL_THINKING_SHOW
                                                  : LULL_THINKING_CAPTURE,
        .starts_in_thought = is_inside,
        .tools_json = t->tools_json,
        /* Ids of calls that differ from those before, which began at fewer tokens. */
        .first_call = (int)(n % LULL_REPLY_FIRST_CALL)};
}

static lull_status begin(const lull_talk *t, lull_reply_options o, lull_answer *out,
                         lull_error *err)
{
    o.on_event = on_event;
    o.user = out;
    out->talk = t;
    out->err = err;
    return lull_reply_new(&o, &out->reply, err);
}

/* Whether a generation that is cut keeps what may be the start of a mark for the one that goes on with it. */
static bool holds_marks(const lull_generate_options *o)
{
    return o->holds_text && o->shows_control;
}

/* What remains after generation: the end of the reply, and what went wrong inside of it. */
static lull_status end(lull_answer *out, bool holds, lull_status st, lull_error *err)
{
    lull_finish f = out->result.finish;
    bool may_go_on =
        f == LULL_FINISH_LENGTH || f == LULL_FINISH_CONTEXT || f == LULL_FINISH_CANCELLED;
    if (st == LULL_OK) st = out->failure;
    if (st == LULL_OK && !(holds && may_go_on)) st = lull_reply_finish(out->reply, err);
    return st;
}

lull_status lull_talk_answer(const lull_talk *t, lull_session *s, const lull_generate_options *opt,
                             lull_answer *out, lull_error *err)
{
    lull_generate_options o = *opt;
    const char *open, *close;
    lull_status st = LULL_OK;
    bool is_inside = starts_in_thought(t, s, lull_session_n_tokens(s));
    lull_reasoning_tags(t->reasoning, &open, &close);
    /* A call that is forced leaves no room for thoughts. */
    if (is_inside && close && (t->think == LULL_THINK_OFF || t->grammar)) {
        LULL_TRY(write_text(t, s, close, err));
        is_inside = false;
    }
    LULL_TRY(begin(t, reply_options(t, lull_session_n_tokens(s), is_inside), out, err));
    o.on_text = on_text;
    o.user = out;
    o.shows_control = t->tools_json || t->reasoning != LULL_REASONING_NONE;
    if (t->grammar) {
        o.grammar_kind = LULL_GRAMMAR_PARTS;
        o.grammar = t->grammar;
    }
    st = lull_generate(s, &o, &out->result, err);
    if (st == LULL_OK && out->is_cut && !out->is_stopped && close) {
        /* The budget is spent: the thought is closed as the model would, and the answer follows. */
        lull_generate_result first = out->result;
        out->is_over_budget = true;
        LULL_TRY(write_text(t, s, close, err));
        LULL_TRY(lull_reply_feed(out->reply, close, strlen(close), err));
        if (o.max_tokens != SIZE_MAX) o.max_tokens -= first.n_tokens;
        st = lull_generate(s, &o, &out->result, err);
        out->result.n_tokens += first.n_tokens;
        out->result.total_ms += first.total_ms;
        out->result.first_ms = first.first_ms;
    }
done:
    return end(out, holds_marks(&o), st, err);
}

/* The bytes that the session's generation has handed out. */
static void append_handed(const lull_talk *t, const lull_session *s, lull_buffer *out)
{
    const lull_generation *g = &s->generation;
    for (size_t i = g->start; i < g->end && out->n_bytes < g->n_handed; i++) {
        size_t n;
        const char *text = lull_token_text(t->model, s->tokens[i], g->options.shows_control, &n);
        if (n > g->n_handed - out->n_bytes) n = (size_t)(g->n_handed - out->n_bytes);
        lull_buffer_append(out, text, n);
    }
}

/* Bring the reply to where the generation stands, and note what of it is known: what a reply came to
 * that ended there. */
static lull_status replay(const lull_talk *t, const lull_session *s, const lull_reply_options *o,
                          lull_answer *out, lull_error *err)
{
    lull_buffer handed = {0};
    lull_reply *ended = NULL;
    size_t n_ended;
    lull_status st = LULL_OK;
    append_handed(t, s, &handed);
    if (handed.is_failed) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for the answer so far"));
    if (handed.n_bytes == 0) goto done;
    out->is_replaying = true;
    LULL_TRY(lull_reply_feed(out->reply, handed.data, handed.n_bytes, err));
    LULL_TRY(lull_reply_new(o, &ended, err));
    LULL_TRY(lull_reply_feed(ended, handed.data, handed.n_bytes, err));
    if (!holds_marks(&s->generation.options)) LULL_TRY(lull_reply_finish(ended, err));
    (void)lull_reply_text(out->reply, &out->n_old_text);
    (void)lull_reply_thought(ended, &out->n_old_thought);
    out->n_old_calls = lull_reply_n_calls(ended);
    const char *text = lull_reply_text(ended, &n_ended);
    lull_buffer_append(&out->tail, text + out->n_old_text, n_ended - out->n_old_text);
done:
    out->is_replaying = false;
    lull_reply_free(ended);
    lull_buffer_fini(&handed);
    return st;
}

lull_status lull_talk_answer_more(const lull_talk *t, lull_session *s, size_t max_tokens,
                                  lull_answer *out, lull_error *err)
{
    const lull_generation *g = &s->generation;
    bool holds = holds_marks(&g->options);
    bool is_there = g->is_there && g->end == lull_session_n_tokens(s);
    size_t n_before = is_there ? g->start : lull_session_n_tokens(s);
    lull_reply_options o = reply_options(t, n_before, starts_in_thought(t, s, n_before));
    lull_status st = LULL_OK;
    LULL_TRY(begin(t, o, out, err));
    out->is_over_budget = true; /* what follows a thought that is cut is another generation */
    if (is_there) LULL_TRY(replay(t, s, &o, out, err));
    st = lull_generate_more(s, max_tokens, on_text, out, &out->result, err);
done:
    return end(out, holds, st, err);
}

void lull_answer_fini(lull_answer *a)
{
    lull_reply_free(a->reply);
    lull_buffer_fini(&a->tail);
    *a = (lull_answer){.on_event = a->on_event, .user = a->user};
}

/* text [n] from byte n_old on. */
static const char *new_part(const char *text, size_t n, size_t n_old, size_t *n_bytes)
{
    if (n_old > n) n_old = n;
    if (n_bytes) *n_bytes = n - n_old;
    return text + n_old;
}

const char *lull_answer_text(const lull_answer *a, size_t *n_bytes)
{
    size_t n;
    const char *text = lull_reply_text(a->reply, &n);
    return new_part(text, n, a->n_old_text, n_bytes);
}

const char *lull_answer_thought(const lull_answer *a, size_t *n_bytes)
{
    size_t n;
    const char *thought = lull_reply_thought(a->reply, &n);
    return new_part(thought, n, a->n_old_thought, n_bytes);
}

json_t *lull_answer_calls(const lull_answer *a)
{
    json_t *list = json_array();
    for (size_t i = a->n_old_calls; i < lull_reply_n_calls(a->reply); i++) {
        lull_reply_call_view c = lull_reply_call(a->reply, i);
        json_t *arguments = json_loads(c.arguments, 0, NULL);
        /* Good JSON that jansson has no place for: integers beyond 64 bits, 1e999, \u0000. */
        if (!arguments) arguments = json_string(c.arguments);
        json_t *call = json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", c.id, "type", "function",
                                 "function", "name", c.name, "arguments", arguments);
        if (call) json_array_append_new(list, call);
    }
    return list;
}

json_t *lull_answer_message(const lull_answer *a)
{
    size_t n_text, n_thought;
    const char *text = lull_answer_text(a, &n_text);
    const char *thought = lull_answer_thought(a, &n_thought);
    json_t *message = json_pack("{s:s, s:o}", "role", "assistant", "content",
                                lull_conversation_text(text, n_text));
    if (message && n_thought > 0)
        json_object_set_new(message, "reasoning_content",
                            lull_conversation_text(thought, n_thought));
    if (message && lull_reply_n_calls(a->reply) > a->n_old_calls)
        json_object_set_new(message, "tool_calls", lull_answer_calls(a));
    return message;
}
