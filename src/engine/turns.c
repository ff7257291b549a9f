#include "turns.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "engine.h"

/* Text as the model gets it: BOS in front, unless the template wrote it or the file wants none. */
static lull_status tokenize(const lull_model *model, const char *text, size_t n_bytes,
                            lull_token_list *out, lull_error *err)
{
    int32_t bos = lull_tokenizer_bos(model->tokenizer);
    lull_status st = lull_token_list_reserve(out, 1, err);
    if (st != LULL_OK) return st;
    bool adds_bos = lull_tokenizer_adds_bos(model->tokenizer) && bos >= 0;
    if (adds_bos) out->ids[out->n++] = bos;
    size_t first = out->n;
    st = lull_tokenizer_encode(model->tokenizer, text, n_bytes, LULL_TOKENIZE_SPECIAL, out, err);
    if (st != LULL_OK || !adds_bos || out->n == first || out->ids[first] != bos) return st;
    memmove(out->ids, out->ids + 1, (out->n - 1) * sizeof *out->ids);
    out->n--;
    return LULL_OK;
}

static lull_status render_prompt(const lull_model *model, const lull_chat_request *request,
                                 const json_t *messages, size_t at, bool with_answer,
                                 lull_token_list *out, lull_error *err)
{
    const json_t *message = json_array_get(messages, at);
    const char *answer = json_string_value(json_object_get(message, "content"));
    lull_chat_request part = *request;
    lull_buffer text = {0};
    char *rendered = NULL, *dumped = NULL;
    lull_status st = LULL_OK;
    json_t *list = json_array();
    for (size_t i = 0; i < at; i++) json_array_append(list, json_array_get(messages, i));
    dumped = lull_json_text(list, JSON_COMPACT);
    json_decref(list);
    if (!dumped) return lull_fail(err, LULL_ENOMEM, "out of memory for %zu messages", at);
    part.messages = dumped;
    part.add_generation_prompt = true;
    LULL_TRY(lull_chat_render_json(model, &part, &rendered, err));
    lull_buffer_append_str(&text, rendered);
    if (with_answer && answer) lull_buffer_append_str(&text, answer);
    if (text.is_failed)
        st = lull_fail(err, LULL_ENOMEM, "out of memory for a prompt");
    else
        st = tokenize(model, text.data ? text.data : "", text.n_bytes, out, err);
done:
    lull_buffer_fini(&text);
    lull_free(rendered);
    free(dumped);
    return st;
}

lull_status lull_turns_tokens(const lull_model *model, const lull_chat_request *request,
                              lull_token_list *out, lull_error *err)
{
    char *text;
    lull_status st = lull_chat_render_json(model, request, &text, err);
    if (st == LULL_OK) st = tokenize(model, text, strlen(text), out, err);
    lull_free(text);
    return st;
}

/* The request was rendered, so this parses. NULL: no memory. */
static json_t *parse_messages(const lull_chat_request *request)
{
    return json_loads(request->messages, 0, NULL);
}

lull_status lull_turns_prompt(const lull_model *model, const lull_chat_request *request, size_t at,
                              bool with_answer, lull_token_list *out, lull_error *err)
{
    json_t *messages = parse_messages(request);
    if (!messages) return lull_fail(err, LULL_EINVAL, "messages: this must be a JSON array");
    lull_status st = render_prompt(model, request, messages, at, with_answer, out, err);
    json_decref(messages);
    return st;
}

static bool is_answer(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, "assistant") == 0;
}

static size_t count_common(const lull_token_list *a, const int32_t *b, size_t n)
{
    size_t i = 0;
    while (i < a->n && i < n && a->ids[i] == b[i]) i++;
    return i;
}

/* Tokens that the prompt of answer `at`, with its content behind it or not, has in common with tokens [n];
 * *n_prompt: how many there are. Both 0 for a prompt that the template refuses. */
static lull_status compare_prompt(const lull_model *model, const lull_chat_request *request,
                                  const json_t *messages, size_t at, bool with_answer,
                                  const int32_t *tokens, size_t n, size_t *n_common,
                                  size_t *n_prompt, lull_error *err)
{
    lull_token_list prompt = {0};
    lull_status st = render_prompt(model, request, messages, at, with_answer, &prompt, err);
    if (st == LULL_EINVAL || st == LULL_EUNSUPPORTED) {
        prompt.n = 0;
        st = LULL_OK;
    }
    *n_common = count_common(&prompt, tokens, n);
    *n_prompt = prompt.n;
    lull_token_list_fini(&prompt);
    return st;
}

lull_status lull_turns_check(const lull_model *model, const lull_chat_request *request,
                             long *message, bool *with_answer, lull_error *err)
{
    lull_token_list whole = {0};
    json_t *messages = NULL;
    size_t n_common, n_prompt;
    *message = LULL_TURNS_NONE;
    lull_status st = lull_turns_tokens(model, request, &whole, err);
    if (st == LULL_OK && !(messages = parse_messages(request)))
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the messages");
    for (size_t i = 0; st == LULL_OK && i < json_array_size(messages); i++) {
        if (!is_answer(json_array_get(messages, i))) continue;
        for (int k = 0; k < 2 && st == LULL_OK; k++) {
            st = compare_prompt(model, request, messages, i, k, whole.ids, whole.n, &n_common,
                                &n_prompt, err);
            if (st != LULL_OK || n_common + (size_t)k >= n_prompt) continue;
            *message = (long)i;
            *with_answer = k;
            goto done;
        }
    }
done:
    json_decref(messages);
    lull_token_list_fini(&whole);
    return st;
}

lull_status lull_turns_blame(const lull_model *model, const lull_chat_request *request,
                             const int32_t *tokens, size_t n, size_t n_common, long *message,
                             lull_error *err)
{
    json_t *messages = parse_messages(request);
    lull_status st = LULL_OK;
    size_t n_same, n_prompt;
    *message = LULL_TURNS_NONE;
    if (!messages) return lull_fail(err, LULL_EINVAL, "messages: this must be a JSON array");
    for (size_t i = 0; st == LULL_OK && i < json_array_size(messages); i++) {
        if (!is_answer(json_array_get(messages, i))) continue;
        for (int with_answer = 0; with_answer < 2 && st == LULL_OK; with_answer++) {
            st = compare_prompt(model, request, messages, i, with_answer, tokens, n, &n_same,
                                &n_prompt, err);
            if (st != LULL_OK || n_same <= n_common) continue;
            *message = (long)i;
            goto done;
        }
    }
done:
    json_decref(messages);
    return st;
}
