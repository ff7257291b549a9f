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

lull_status lull_conversation_add(lull_conversation *c, const char *role, const char *text,
                                  size_t n_bytes, lull_error *err)
{
    lull_buffer content = {0};
    lull_display_repair(&content, text, n_bytes);
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

void lull_conversation_pop(lull_conversation *c)
{
    if (c->n == 0) return;
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

/* Both render the messages from n_dropped on; *text is owned: free(). */
static lull_status render_template(const lull_conversation *c, const lull_model *model, char **text,
                                   lull_error *err)
{
    size_t n = c->n - c->n_dropped, n_system = c->system != NULL;
    lull_message *messages = malloc((n + 1) * sizeof *messages);
    if (!messages) return lull_fail(err, LULL_ENOMEM, "no memory for %zu messages", n);
    messages[0] = (lull_message){.role = "system", .content = c->system};
    memcpy(messages + n_system, c->messages + c->n_dropped, n * sizeof *messages);
    char *rendered = NULL;
    lull_status st = lull_chat_render(model, messages, n + n_system, true, &rendered, err);
    free(messages);
    if (st != LULL_OK) {
        lull_error_prefix(err, "chat template");
        return st;
    }
    *text = strdup(rendered);
    lull_free(rendered);
    return *text ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
}

static lull_status render_plain(const lull_conversation *c, char **text, lull_error *err)
{
    lull_buffer b = {0};
    if (c->system) lull_buffer_printf(&b, "%s\n\n", c->system);
    for (size_t i = c->n_dropped; i < c->n; i++) {
        bool is_user = strcmp(c->messages[i].role, "user") == 0;
        /* An answer brings the blank after the colon along. */
        lull_buffer_printf(&b, "%s%s\n", is_user ? "User: " : "Assistant:", c->messages[i].content);
    }
    lull_buffer_append_str(&b, "Assistant:");
    *text = lull_buffer_take(&b, NULL);
    return *text ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for the conversation");
}

static lull_status tokenize(const lull_conversation *c, const lull_model *model,
                            lull_cmd_tokens *out, lull_error *err)
{
    char *text = NULL;
    lull_status st = LULL_OK;
    bool has_template = lull_model_get_info(model).chat_template != NULL;
    int flags = has_template ? LULL_TOKENIZE_SPECIAL : 0;
    LULL_TRY(has_template ? render_template(c, model, &text, err) : render_plain(c, &text, err));
    LULL_TRY(lull_cmd_tokenize_text(model, text, strlen(text), flags, out, err));
    LULL_TRY(lull_cmd_add_bos(model, out, err));
done:
    free(text);
    if (st != LULL_OK) lull_cmd_tokens_fini(out);
    return st;
}

lull_status lull_conversation_tokens(lull_conversation *c, const lull_model *model, size_t n_ctx,
                                     lull_cmd_tokens *out, lull_error *err)
{
    size_t n_most = n_ctx - n_ctx / 8;
    for (;;) {
        lull_status st = tokenize(c, model, out, err);
        if (st != LULL_OK || out->n <= n_most) return st;
        if (c->n_dropped + 2 >= c->n) {
            st = out->n < n_ctx
                     ? LULL_OK
                     : lull_fail(err, LULL_EFULL,
                                 "the message makes %zu tokens and the context has %zu: shorten "
                                 "it, or start with a larger --ctx",
                                 out->n, n_ctx);
            if (st != LULL_OK) lull_cmd_tokens_fini(out);
            return st;
        }
        c->n_dropped += 2; /* an exchange, so that user and assistant still take turns */
        n_most = n_ctx / 2;
        lull_cmd_tokens_fini(out);
    }
}
