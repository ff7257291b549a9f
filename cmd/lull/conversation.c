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

lull_status lull_conversation_add(lull_conversation *c, const char *role, const char *text,
                                  size_t n_bytes, lull_error *err)
{
    lull_buffer content = {0};
    append_repaired(&content, text, n_bytes);
    char *copy = lull_buffer_take(&content, NULL);
    if (copy && c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        lull_message *messages = realloc(c->messages, cap * sizeof *messages);
        if (messages) {
            c->messages = messages;
            c->cap = cap;
        }
    }
    if (!copy || c->n == c->cap) {
        free(copy);
        return lull_fail(err, LULL_ENOMEM, "no memory for a message of %zu bytes", n_bytes);
    }
    c->messages[c->n++] = (lull_message){.role = role, .content = copy};
    return LULL_OK;
}

void lull_conversation_note_said(lull_conversation *c, const lull_session *s,
                                 lull_finish finish)
{
    size_t n = lull_session_n_tokens(s);
    /* What a stop string cut off is in the tokens, and not in the message. */
    bool has_stop = finish == LULL_FINISH_STOP_STRING || finish == LULL_FINISH_STOP_TOKEN;
    c->n_said = has_stop ? 0 : n;
}

void lull_conversation_pop(lull_conversation *c)
{
    if (c->n == 0) return;
    /* The question that waits is not among what was said. */
    if (c->n % 2 == 0) c->n_said = 0;
    free((char *)c->messages[--c->n].content);
    /* What was dropped for want of room may fit again. */
    if (c->n_dropped >= c->n) c->n_dropped = 0;
}

void lull_conversation_clear(lull_conversation *c)
{
    while (c->n > 0) lull_conversation_pop(c);
}

void lull_conversation_fini(lull_conversation *c)
{
    lull_conversation_clear(c);
    free(c->messages);
    free(c->system);
    *c = (lull_conversation){0};
}

/* ---- rendering ------------------------------------------------------------------------------ */

/* Stand-ins for what comes before the conversation; no template changes or writes them. */
#define MARK_BASE "lull:base:7d1c"
#define MARK_ANSWER "lull:answer:52f0"
#define MARK_LAST "lull:last:9b3e"

static lull_status render_messages(const lull_model *model, const lull_message *messages, size_t n,
                                   bool is_due, char **text, lull_error *err)
{
    lull_status st = lull_chat_render(model, messages, n, is_due, text, err);
    if (st != LULL_OK) lull_error_prefix(err, "chat template");
    return st;
}

/* Behind a base: messages [n] are rendered behind a stand-in for it, and its part is cut off again. With
 * an open base the stand-in is the beginning of the first message, else an exchange of its own. */
static lull_status render_behind(const lull_conversation *c, const lull_model *model,
                                 const lull_message *messages, size_t n, bool is_due, char **text,
                                 lull_error *err)
{
    lull_status st = LULL_OK;
    lull_buffer first = {0};
    char *whole = NULL, *opening = NULL;
    lull_message *list = malloc((n + 2) * sizeof *list);
    bool is_open = c->is_open && c->n_dropped == 0 && n > 0;
    size_t n_list = 0, skip;
    *text = NULL;
    if (!list) return lull_fail(err, LULL_ENOMEM, "no memory for %zu messages", n);
    if (is_open) {
        lull_buffer_printf(&first, MARK_BASE "\n\n%s", messages[0].content);
        list[n_list++] = (lull_message){"user", first.data ? first.data : ""};
    } else {
        list[n_list++] = (lull_message){"user", MARK_BASE};
        list[n_list++] = (lull_message){"assistant", MARK_ANSWER};
        LULL_TRY(render_messages(model, list, n_list, false, &opening, err));
    }
    for (size_t i = is_open; i < n; i++) list[n_list++] = messages[i];
    LULL_TRY(render_messages(model, list, n_list, is_due, &whole, err));
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
    lull_buffer_fini(&first);
    lull_free(whole);
    lull_free(opening);
    free(list);
    return st;
}

static lull_status render_template(const lull_conversation *c, const lull_model *model, bool is_due,
                                   char **text, lull_error *err)
{
    size_t n = c->n - c->n_dropped, n_system = c->system != NULL;
    if (c->n_base > 0)
        return render_behind(c, model, c->messages + c->n_dropped, n, is_due, text, err);
    lull_message *messages = malloc((n + 1) * sizeof *messages);
    if (!messages) return lull_fail(err, LULL_ENOMEM, "no memory for %zu messages", n);
    messages[0] = (lull_message){.role = "system", .content = c->system};
    if (n > 0) memcpy(messages + n_system, c->messages + c->n_dropped, n * sizeof *messages);
    lull_status st = render_messages(model, messages, n + n_system, is_due, text, err);
    free(messages);
    return st;
}

static lull_status render_plain(const lull_conversation *c, bool is_due, char **text,
                                lull_error *err)
{
    lull_buffer b = {0};
    if (c->n_base > 0) lull_buffer_append_str(&b, "\n\n");
    if (c->system) lull_buffer_printf(&b, "%s\n\n", c->system);
    for (size_t i = c->n_dropped; i < c->n; i++) {
        bool is_user = strcmp(c->messages[i].role, "user") == 0;
        /* An answer brings the blank after the colon along. */
        lull_buffer_printf(&b, "%s%s\n", is_user ? "User: " : "Assistant:", c->messages[i].content);
    }
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
    lull_message messages[2];
    size_t n = 0;
    char *text = NULL;
    *before = NULL;
    if (system) messages[n++] = (lull_message){"system", system};
    messages[n++] = (lull_message){"user", MARK_BASE};
    lull_status st = render_messages(model, messages, n, true, &text, err);
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
    marked.messages = malloc(c->n * sizeof *marked.messages);
    if (!marked.messages) return lull_fail(err, LULL_ENOMEM, "no memory for %zu messages", c->n);
    memcpy(marked.messages, c->messages, c->n * sizeof *marked.messages);
    marked.messages[c->n - 2].content = MARK_LAST;
    lull_status st = render_template(&marked, model, true, &text, err);
    free(marked.messages);
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
    return c->n_said > 0 && c->n_said == lull_session_n_tokens(s) && c->n % 2 == 1 &&
           c->n >= c->n_dropped + 3 && lull_model_get_info(model).chat_template;
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
        if (c->n_dropped + 2 >= c->n) {
            st = n < n_ctx
                     ? LULL_OK
                     : lull_fail(err, LULL_EFULL,
                                 "the message makes %zu tokens and the context has %zu: shorten "
                                 "it, or start with a larger --ctx",
                                 n, n_ctx);
            if (st != LULL_OK) lull_cmd_tokens_fini(&out->tokens);
            return st;
        }
        c->n_dropped += 2; /* an exchange, so that user and assistant still take turns */
        n_most = n_ctx / 2 > c->n_base ? n_ctx / 2 : n_most;
        lull_cmd_tokens_fini(&out->tokens);
    }
}

lull_status lull_conversation_trim(const lull_conversation *c, const lull_model *model,
                                   lull_session *s, lull_error *err)
{
    char *text;
    size_t n_bytes;
    if (c->n == c->n_dropped) { /* templates do not render nothing */
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
    json_t *list = json_array();
    if (c->system)
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "role", "system", "content", c->system));
    for (size_t i = 0; i < c->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", c->messages[i].role, "content",
                                              c->messages[i].content));
    lull_status st = set_json(s, "messages", list, err);
    if (st != LULL_OK) return st;
    return set_json(s, "conversation",
                    json_pack("{s:I, s:b, s:I, s:I}", "base_tokens", (json_int_t)c->n_base,
                              "is_open", (int)c->is_open, "dropped", (json_int_t)c->n_dropped,
                              "said_tokens", (json_int_t)c->n_said),
                    err);
}

static json_t *get_json(const lull_session *s, const char *key)
{
    char *text = lull_session_get_data(s, key);
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    lull_free(text);
    return value;
}

static lull_status load_messages(lull_conversation *c, const json_t *list, lull_error *err)
{
    lull_status st = LULL_OK;
    for (size_t i = 0; i < json_array_size(list) && st == LULL_OK; i++) {
        const json_t *m = json_array_get(list, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *content = json_string_value(json_object_get(m, "content"));
        const char *due = c->n % 2 == 0 ? "user" : "assistant";
        if (role && content && i == 0 && strcmp(role, "system") == 0)
            st = lull_conversation_set_system(c, content, err);
        else if (role && content && strcmp(role, due) == 0)
            st = lull_conversation_add(c, due, content, strlen(content), err);
        else
            st = lull_fail(err, LULL_ECORRUPT, "the state's message %zu is not one of the %s", i,
                           due);
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
    lull_conversation_clear(c);
    c->is_open = json_is_true(json_object_get(facts, "is_open"));
    if (!list) {
        c->n_base = n_tokens;
        goto done;
    }
    LULL_TRY(load_messages(c, list, err));
    if (n_base < 0 || (size_t)n_base > n_tokens || n_dropped < 0 || (size_t)n_dropped > c->n) {
        st = lull_fail(err, LULL_ECORRUPT, "the state's conversation is out of range");
        goto done;
    }
    c->n_base = (size_t)n_base;
    c->n_dropped = (size_t)n_dropped;
    c->n_said = n_said > 0 ? (size_t)n_said : 0; /* trusted only while it is the session's length */
done:
    json_decref(list);
    json_decref(facts);
    return st;
}
