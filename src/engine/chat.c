/* A conversation as the text that a model was trained on: its file's chat template, filled in. */
#include <jansson.h>
#include <string.h>

#include "engine.h"

/* The template, parsed at the first use. */
static lull_status find_template(lull_model *m, const lull_jinja **out, lull_error *err)
{
    lull_status st = LULL_OK;
    if (!m->template_text)
        return lull_fail(err, LULL_ENOTFOUND,
                         "the model has no chat template; give it plain text (run --raw)");
    pthread_mutex_lock(&m->mutex);
    if (!m->chat_template)
        st = lull_jinja_parse(m->template_text, strlen(m->template_text), &m->chat_template, err);
    pthread_mutex_unlock(&m->mutex);
    *out = m->chat_template;
    return st;
}

static json_t *token_name(const lull_model *m, int32_t id)
{
    size_t n;
    const char *text = lull_tokenizer_text(m->tokenizer, id, true, &n);
    return json_stringn(text, n);
}

static json_t *make_variables(const lull_model *m, const lull_message *messages, size_t n,
                              bool add_generation_prompt)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", messages[i].role, "content",
                                              messages[i].content));
    return json_pack("{s:o, s:b, s:o, s:o}", "messages", list, "add_generation_prompt",
                     (int)add_generation_prompt, "bos_token",
                     token_name(m, lull_tokenizer_bos(m->tokenizer)), "eos_token",
                     token_name(m, lull_tokenizer_eos(m->tokenizer)));
}

lull_status lull_chat_render(const lull_model *model, const lull_message *messages, size_t n,
                             bool add_generation_prompt, char **text, lull_error *err)
{
    const lull_jinja *template = NULL;
    size_t n_bytes;
    *text = NULL;
    /* The cast: parsing is remembered, which nobody sees. */
    lull_status st = find_template((lull_model *)model, &template, err);
    if (st != LULL_OK) return st;
    json_t *vars = make_variables(model, messages, n, add_generation_prompt);
    if (!vars) {
        for (size_t i = 0; i < n; i++) {
            json_t *content = json_string(messages[i].content),
                   *role = json_string(messages[i].role);
            bool is_text = content && role;
            json_decref(content);
            json_decref(role);
            if (!is_text) return lull_fail(err, LULL_EINVAL, "message %zu is not valid UTF-8", i);
        }
        return lull_fail(err, LULL_ENOMEM, "out of memory for %zu messages", n);
    }
    st = lull_jinja_render(template, vars, text, &n_bytes, err);
    json_decref(vars);
    return st;
}
