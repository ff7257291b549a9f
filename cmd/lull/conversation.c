#include "conversation.h"

#include <stdlib.h>
#include <string.h>

#include "display.h"

lull_status lull_conversation_set_system(lull_conversation *c, const char *text, lull_error *err)
{
    char *copy = NULL;
    if (text && *text && !(copy = strdup(text)))
        return lull_fail(err, LULL_ENOMEM, "no memory for the system message");
    free(c->system);
    c->system = copy;
    return LULL_OK;
}

/* Text as a message holds it: valid UTF-8 without NUL bytes; what is neither becomes U+FFFD. */
static void append_repaired(lull_buffer *out, const char *text, size_t n_bytes)
{
    while (n_bytes > 0) {
        const char *nul = memchr(text, '\0', n_bytes);
        size_t n = nul ? (size_t)(nul - text) : n_bytes;
        lull_display_repair(out, text, n);
        if (!nul) return;
        lull_buffer_append_str(out, "\xef\xbf\xbd");
        text += n + 1;
        n_bytes -= n + 1;
    }
}

json_t *lull_conversation_text(const char *text, size_t n_bytes)
{
    lull_buffer content = {0};
    append_repaired(&content, text, n_bytes);
    char *copy = lull_buffer_take(&content, NULL);
    json_t *string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

size_t lull_conversation_n(const lull_conversation *c)
{
    return json_array_size(c->messages);
}

static const char *member(const lull_conversation *c, size_t i, const char *key)
{
    const char *text = json_string_value(json_object_get(json_array_get(c->messages, i), key));
    return text ? text : "";
}

const char *lull_conversation_role(const lull_conversation *c, size_t i)
{
    return member(c, i, "role");
}

const char *lull_conversation_content(const lull_conversation *c, size_t i)
{
    return member(c, i, "content");
}

static bool is_of(const lull_conversation *c, size_t i, const char *role)
{
    return strcmp(lull_conversation_role(c, i), role) == 0;
}

bool lull_conversation_is_due(const lull_conversation *c)
{
    size_t n = lull_conversation_n(c);
    return n > 0 && !is_of(c, n - 1, "assistant");
}

lull_status lull_conversation_add_message(lull_conversation *c, json_t *message, lull_error *err)
{
    if (!c->messages) c->messages = json_array();
    if (!message || json_array_append_new(c->messages, message) != 0)
        return lull_fail(err, LULL_ENOMEM, "no memory for a message");
    return LULL_OK;
}

lull_status lull_conversation_add(lull_conversation *c, const char *role, const char *text,
                                  size_t n_bytes, lull_error *err)
{
    json_t *content = lull_conversation_text(text, n_bytes);
    json_t *message = content ? json_pack("{s:s, s:o}", "role", role, "content", content) : NULL;
    return lull_conversation_add_message(c, message, err);
}

void lull_conversation_note_said(lull_conversation *c, const lull_session *s, lull_finish finish)
{
    size_t n = lull_session_n_tokens(s);
    /* What a stop string cut off is in the tokens, and not in the message. */
    bool has_stop = finish == LULL_FINISH_STOP_STRING || finish == LULL_FINISH_STOP_TOKEN;
    c->n_said = has_stop ? 0 : n;
    c->n_answered = lull_conversation_n(c);
}

void lull_conversation_pop(lull_conversation *c)
{
    size_t n = lull_conversation_n(c);
    if (n == 0) return;
    json_array_remove(c->messages, n - 1);
    if (n - 1 < c->n_answered) c->n_said = 0;
    /* What was dropped for want of room may fit again. */
    if (c->n_dropped >= n - 1) c->n_dropped = 0;
}

void lull_conversation_pop_answer(lull_conversation *c)
{
    while (lull_conversation_n(c) > 0 && !is_of(c, lull_conversation_n(c) - 1, "user"))
        lull_conversation_pop(c);
}

void lull_conversation_pop_exchange(lull_conversation *c)
{
    lull_conversation_pop_answer(c);
    lull_conversation_pop(c);
}

void lull_conversation_clear(lull_conversation *c)
{
    while (lull_conversation_n(c) > 0) lull_conversation_pop(c);
}

void lull_conversation_fini(lull_conversation *c)
{
    json_decref(c->messages);
    free(c->system);
    *c = (lull_conversation){0};
}

/* ---- rendering ------------------------------------------------------------------------------ */

/* Stand-ins for what comes before the conversation; no template changes or writes them. */
#define MARK_BASE "lull:base:7d1c"
#define MARK_ANSWER "lull:answer:52f0"
#define MARK_LAST "lull:last:9b3e"

/* messages: an array, borrowed. */
static lull_status render_messages(const lull_conversation *c, const lull_model *model,
                                   const json_t *messages, bool is_due, char **text,
                                   lull_error *err)
{
    char *json = json_dumps(messages, JSON_COMPACT);
    if (!json) return lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
    lull_chat_request request = {.messages = json,
                                 .tools = c ? c->tools : NULL,
                                 .variables = c ? c->variables : NULL,
                                 .add_generation_prompt = is_due};
    lull_status st = lull_chat_render_json(model, &request, text, err);
    free(json);
    return st;
}

static json_t *message_of(const char *role, const char *content)
{
    return json_pack("{s:s, s:s}", "role", role, "content", content);
}

/* The messages that are rendered: those that were not dropped, without the system's. */
static json_t *kept_messages(const lull_conversation *c)
{
    json_t *list = json_array();
    for (size_t i = c->n_dropped; i < lull_conversation_n(c); i++)
        json_array_append(list, json_array_get(c->messages, i));
    return list;
}

/* Behind a base: the messages are rendered behind a stand-in for it, and its part is cut off again. With
 * an open base the stand-in is the beginning of the first message, else an exchange of its own. */
static lull_status render_behind(const lull_conversation *c, const lull_model *model, bool is_due,
                                 char **text, lull_error *err)
{
    lull_status st = LULL_OK;
    char *whole = NULL, *opening = NULL;
    json_t *list = kept_messages(c);
    bool is_open = c->is_open && c->n_dropped == 0 && json_array_size(list) > 0;
    size_t skip;
    *text = NULL;
    if (is_open) {
        json_t *first = json_copy(json_array_get(list, 0));
        json_object_set_new(first, "content",
                            json_sprintf(MARK_BASE "\n\n%s", lull_conversation_content(c, 0)));
        json_array_set_new(list, 0, first);
    } else {
        json_t *base = json_array();
        json_array_append_new(base, message_of("user", MARK_BASE));
        json_array_append_new(base, message_of("assistant", MARK_ANSWER));
        st = render_messages(c, model, base, false, &opening, err);
        json_array_extend(base, list);
        json_decref(list);
        list = base;
        LULL_TRY(st);
    }
    LULL_TRY(render_messages(c, model, list, is_due, &whole, err));
    if (is_open) {
        const char *mark = strstr(whole, MARK_BASE);
        skip = mark ? (size_t)(mark - whole) + strlen(MARK_BASE) : 0;
    } else {
        skip = strlen(opening);
        if (strncmp(whole, opening, skip) != 0) skip = 0;
    }
    if (skip == 0) {
        st = lull_fail(err, LULL_EUNSUPPORTED,
                       "the chat template cannot go on from text that it did not make; use --raw");
        goto done;
    }
    *text = strdup(whole + skip);
    if (!*text) st = lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
done:
    lull_free(whole);
    lull_free(opening);
    json_decref(list);
    return st;
}

static lull_status render_template(const lull_conversation *c, const lull_model *model, bool is_due,
                                   char **text, lull_error *err)
{
    if (c->n_base > 0) return render_behind(c, model, is_due, text, err);
    json_t *list = kept_messages(c);
    if (c->system) json_array_insert_new(list, 0, message_of("system", c->system));
    lull_status st = render_messages(c, model, list, is_due, text, err);
    json_decref(list);
    return st;
}

static lull_status render_plain(const lull_conversation *c, bool is_due, char **text,
                                lull_error *err)
{
    lull_buffer b = {0};
    if (c->n_base > 0) lull_buffer_append_str(&b, "\n\n");
    if (c->system) lull_buffer_printf(&b, "%s\n\n", c->system);
    for (size_t i = c->n_dropped; i < lull_conversation_n(c); i++)
        /* An answer brings the blank after the colon along. */
        lull_buffer_printf(&b, "%s%s\n", is_of(c, i, "user") ? "User: " : "Assistant:",
                           lull_conversation_content(c, i));
    if (is_due) lull_buffer_append_str(&b, "Assistant:");
    *text = lull_buffer_take(&b, NULL);
    return *text ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
}

/* is_due: up to where the answer begins; else up to the end of what was said. */
static lull_status render(const lull_conversation *c, const lull_model *model, bool is_due,
                          char **text, lull_error *err)
{
    bool has_template = lull_model_get_info(model).chat_template != NULL;
    return has_template ? render_template(c, model, is_due, text, err)
                        : render_plain(c, is_due, text, err);
}

lull_status lull_conversation_open(const lull_model *model, const char *system, char **before,
                                   lull_error *err)
{
    char *text = NULL;
    json_t *list = json_array();
    *before = NULL;
    if (system) json_array_append_new(list, message_of("system", system));
    json_array_append_new(list, message_of("user", MARK_BASE));
    lull_status st = render_messages(NULL, model, list, true, &text, err);
    json_decref(list);
    if (st != LULL_OK) return st;
    char *mark = strstr(text, MARK_BASE);
    if (mark) *mark = '\0';
    *before = mark ? strdup(text) : NULL;
    lull_free(text);
    if (*before) return LULL_OK;
    return lull_fail(err, LULL_EUNSUPPORTED, "the chat template does not show the user's message");
}

/* ---- planning ------------------------------------------------------------------------------- */

/* What the session says behind the base, as messages keep it; *has_bos: after a BOS that stands for itself.
 * Owned, NULL when memory ran out. */
static char *session_text(const lull_conversation *c, const lull_model *model,
                          const lull_session *s, bool has_bos)
{
    const int32_t *tokens = lull_session_tokens(s);
    lull_buffer raw = {0}, repaired = {0};
    for (size_t i = c->n_base + has_bos; i < lull_session_n_tokens(s); i++) {
        size_t n;
        const char *piece = lull_token_text(model, tokens[i], true, &n);
        lull_buffer_append(&raw, piece, n);
    }
    append_repaired(&repaired, raw.data ? raw.data : "", raw.n_bytes);
    if (raw.is_failed) repaired.is_failed = true;
    lull_buffer_fini(&raw);
    return lull_buffer_take(&repaired, NULL);
}

/* How many of the session's tokens behind the base say how `text` begins, and its bytes. All of them, if
 * they do; else a cut is made behind a control token alone: elsewhere other tokens could stand for the
 * same bytes. */
static size_t match_text(const lull_conversation *c, const lull_model *model, const lull_session *s,
                         const char *text, size_t *n_bytes)
{
    const int32_t *tokens = lull_session_tokens(s);
    size_t n_tokens = lull_session_n_tokens(s), n_text = strlen(text), at = 0, n_kept = c->n_base;
    bool has_bos = c->n_base == 0 && n_tokens > 0 && tokens[0] == lull_token_bos(model) &&
                   lull_model_adds_bos(model);
    if (has_bos) {
        size_t n;
        const char *bos = lull_token_text(model, tokens[0], true, &n);
        if (strncmp(text, bos, n) == 0) at = n; /* the template writes its own */
        n_kept = 1;
    }
    char *all = session_text(c, model, s, has_bos);
    size_t n_all = all ? strlen(all) : 0;
    bool says_all = all && n_all <= n_text - at && memcmp(text + at, all, n_all) == 0;
    free(all);
    *n_bytes = says_all ? at + n_all : at;
    if (says_all) return n_tokens;
    for (size_t i = n_kept; i < n_tokens; i++) {
        size_t n, n_plain;
        const char *piece = lull_token_text(model, tokens[i], true, &n);
        (void)lull_token_text(model, tokens[i], false, &n_plain);
        if (n > n_text - at || memcmp(text + at, piece, n) != 0) break;
        at += n;
        bool is_control = n > 0 && n_plain == 0;
        if (!is_control && text[at] != '\0') continue;
        n_kept = i + 1;
        *n_bytes = at;
    }
    return n_kept;
}

/* The session says everything up to the last answer, in the words that it was generated with, which a
 * template may trim: what comes after that answer is all that is new. *out: owned, free(). */
static lull_status render_next(const lull_conversation *c, const lull_model *model,
                               const lull_session *s, char **out, lull_error *err)
{
    lull_conversation marked = *c;
    char *text = NULL;
    size_t n_eog = 0;
    *out = NULL;
    marked.messages = json_copy(c->messages);
    if (!marked.messages || json_array_set_new(marked.messages, c->n_answered - 1,
                                               message_of("assistant", MARK_LAST)) != 0) {
        json_decref(marked.messages);
        return lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
    }
    lull_status st = render_template(&marked, model, true, &text, err);
    json_decref(marked.messages);
    /* A template may want to see the calls that results belong to: then all is rendered. */
    if (st == LULL_EINVAL || st == LULL_EUNSUPPORTED) return LULL_OK;
    if (st != LULL_OK) return st;
    const char *mark = strstr(text, MARK_LAST), *rest = mark ? mark + strlen(MARK_LAST) : NULL;
    if (rest) {
        /* The end of the turn that the model wrote itself. */
        int32_t last = lull_session_tokens(s)[lull_session_n_tokens(s) - 1];
        const char *eog = lull_token_text(model, last, true, &n_eog);
        bool has_eog = lull_token_is_eog(model, last) && strncmp(rest, eog, n_eog) == 0;
        *out = strdup(rest + (has_eog ? n_eog : 0));
        if (!*out) st = lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
    }
    lull_free(text);
    return st;
}

static bool is_said(const lull_conversation *c, const lull_model *model, const lull_session *s)
{
    return c->n_said > 0 && c->n_said == lull_session_n_tokens(s) && lull_conversation_is_due(c) &&
           c->n_answered >= c->n_dropped + 2 && c->n_answered < lull_conversation_n(c) &&
           is_of(c, c->n_answered - 1, "assistant") && lull_model_get_info(model).chat_template;
}

/* Where the next exchange begins behind the dropped ones; the number of messages: there is none. */
static size_t next_exchange(const lull_conversation *c)
{
    size_t i = c->n_dropped + 1;
    while (i < lull_conversation_n(c) && !is_of(c, i, "user")) i++;
    return i;
}

static lull_status plan_once(const lull_conversation *c, const lull_model *model,
                             const lull_session *s, lull_conversation_plan *out, lull_error *err)
{
    char *text = NULL;
    size_t n_bytes, n_common = 0;
    lull_cmd_tokens all = {0};
    lull_status st = LULL_OK;
    bool has_template = lull_model_get_info(model).chat_template != NULL;
    int flags = has_template ? LULL_TOKENIZE_SPECIAL : 0;
    *out = (lull_conversation_plan){0};
    if (is_said(c, model, s)) {
        LULL_TRY(render_next(c, model, s, &text, err));
        if (text) {
            out->n_keep = c->n_said;
            LULL_TRY(lull_cmd_tokenize_text(model, text, strlen(text), flags, &out->tokens, err));
            goto done;
        }
    }
    LULL_TRY(render(c, model, true, &text, err));
    out->n_keep = match_text(c, model, s, text, &n_bytes);
    LULL_TRY(lull_cmd_tokenize_text(model, text, strlen(text), flags, &all, err));
    if (c->n_base == 0) LULL_TRY(lull_cmd_add_bos(model, &all, err));
    const int32_t *have = lull_session_tokens(s) + c->n_base;
    size_t n_have = lull_session_n_tokens(s) - c->n_base;
    while (n_common < n_have && n_common < all.n && have[n_common] == all.ids[n_common]) n_common++;
    if (c->n_base + n_common >= out->n_keep) {
        out->n_keep = c->n_base + n_common;
        memmove(all.ids, all.ids + n_common, (all.n - n_common) * sizeof *all.ids);
        out->tokens = (lull_cmd_tokens){.ids = all.ids, .n = all.n - n_common};
        all.ids = NULL;
    } else {
        LULL_TRY(lull_cmd_tokenize_text(model, text + n_bytes, strlen(text + n_bytes), flags,
                                        &out->tokens, err));
    }
done:
    lull_cmd_tokens_fini(&all);
    free(text);
    return st;
}

lull_status lull_conversation_make_plan(lull_conversation *c, const lull_model *model,
                                        const lull_session *s, lull_conversation_plan *out,
                                        lull_error *err)
{
    size_t n_ctx = lull_cmd_n_ctx(s), n_most = n_ctx - n_ctx / 8;
    for (;;) {
        lull_status st = plan_once(c, model, s, out, err);
        size_t n = out->n_keep + out->tokens.n;
        if (st != LULL_OK || n <= n_most) return st;
        size_t next = next_exchange(c);
        if (next >= lull_conversation_n(c)) {
            st = n < n_ctx
                     ? LULL_OK
                     : lull_fail(err, LULL_EFULL,
                                 "the message makes %zu tokens and the context has %zu: shorten "
                                 "it, or start with a larger --ctx",
                                 n, n_ctx);
            if (st != LULL_OK) lull_cmd_tokens_fini(&out->tokens);
            return st;
        }
        c->n_dropped = next; /* whole exchanges, so that user and assistant still take turns */
        n_most = n_ctx / 2 > c->n_base ? n_ctx / 2 : n_most;
        lull_cmd_tokens_fini(&out->tokens);
    }
}

lull_status lull_conversation_trim(const lull_conversation *c, const lull_model *model,
                                   lull_session *s, lull_error *err)
{
    char *text;
    size_t n_bytes;
    if (lull_conversation_n(c) == c->n_dropped) { /* templates do not render nothing */
        lull_session_truncate(s, c->n_base);
        return LULL_OK;
    }
    lull_status st = render(c, model, false, &text, err);
    if (st != LULL_OK) return st;
    lull_session_truncate(s, match_text(c, model, s, text, &n_bytes));
    free(text);
    return LULL_OK;
}

lull_status lull_conversation_follow(const lull_conversation_plan *plan, lull_session *s,
                                     lull_error *err)
{
    lull_session_truncate(s, plan->n_keep);
    return lull_cmd_eval_prompt(s, plan->tokens.ids, plan->tokens.n, err);
}

/* ---- with a session ------------------------------------------------------------------------- */

static lull_status set_json(lull_session *s, const char *key, json_t *value, lull_error *err)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text) return lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
    lull_status st = lull_session_set_data(s, key, text, err);
    free(text);
    return st;
}

lull_status lull_conversation_save(const lull_conversation *c, lull_session *s, lull_error *err)
{
    json_t *list = c->messages ? json_copy(c->messages) : json_array();
    if (c->system) json_array_insert_new(list, 0, message_of("system", c->system));
    lull_status st = set_json(s, "messages", list, err);
    if (st != LULL_OK) return st;
    return set_json(s, "conversation",
                    json_pack("{s:I, s:b, s:I, s:I, s:I}", "base_tokens", (json_int_t)c->n_base,
                              "is_open", (int)c->is_open, "dropped", (json_int_t)c->n_dropped,
                              "said_tokens", (json_int_t)c->n_said, "said_messages",
                              (json_int_t)c->n_answered),
                    err);
}

static json_t *get_json(const lull_session *s, const char *key)
{
    char *text = lull_session_get_data(s, key);
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    lull_free(text);
    return value;
}

/* Whether a message of this role may stand there. */
static bool may_follow(const lull_conversation *c, const char *role)
{
    size_t n = lull_conversation_n(c);
    bool is_first = n == 0, is_due = lull_conversation_is_due(c);
    if (strcmp(role, "user") == 0) return is_first || !is_due;
    if (strcmp(role, "assistant") == 0) return is_due;
    if (strcmp(role, "tool") != 0 || is_first) return false;
    return is_of(c, n - 1, "tool") ||
           json_array_size(json_object_get(json_array_get(c->messages, n - 1), "tool_calls")) > 0;
}

static lull_status load_messages(lull_conversation *c, const json_t *list, lull_error *err)
{
    lull_status st = LULL_OK;
    for (size_t i = 0; i < json_array_size(list) && st == LULL_OK; i++) {
        json_t *m = json_array_get(list, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *content = json_string_value(json_object_get(m, "content"));
        if (role && content && i == 0 && strcmp(role, "system") == 0)
            st = lull_conversation_set_system(c, content, err);
        else if (role && content && may_follow(c, role))
            st = lull_conversation_add_message(c, json_deep_copy(m), err);
        else
            st = lull_fail(err, LULL_ECORRUPT,
                           "the state's message %zu has no place in a conversation", i);
    }
    return st;
}

lull_status lull_conversation_load(lull_conversation *c, const lull_session *s, lull_error *err)
{
    json_t *list = get_json(s, "messages"), *facts = get_json(s, "conversation");
    size_t n_tokens = lull_session_n_tokens(s);
    lull_status st = LULL_OK;
    json_int_t n_base = json_integer_value(json_object_get(facts, "base_tokens"));
    json_int_t n_dropped = json_integer_value(json_object_get(facts, "dropped"));
    json_int_t n_said = json_integer_value(json_object_get(facts, "said_tokens"));
    const json_t *answered = json_object_get(facts, "said_messages");
    lull_conversation_clear(c);
    c->is_open = json_is_true(json_object_get(facts, "is_open"));
    if (!list) {
        c->n_base = n_tokens;
        goto done;
    }
    LULL_TRY(load_messages(c, list, err));
    if (n_base < 0 || (size_t)n_base > n_tokens || n_dropped < 0 ||
        (size_t)n_dropped > lull_conversation_n(c)) {
        st = lull_fail(err, LULL_ECORRUPT, "the state's conversation is out of range");
        goto done;
    }
    c->n_base = (size_t)n_base;
    c->n_dropped = (size_t)n_dropped;
    c->n_said = n_said > 0 ? (size_t)n_said : 0; /* trusted only while it is the session's length */
    json_int_t n_answered =
        answered ? json_integer_value(answered) : (json_int_t)lull_conversation_n(c);
    if (n_answered < 0 || (size_t)n_answered > lull_conversation_n(c)) c->n_said = n_answered = 0;
    c->n_answered = (size_t)n_answered;
done:
    json_decref(list);
    json_decref(facts);
    return st;
}
