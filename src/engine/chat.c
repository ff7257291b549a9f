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

/* The JSON text of one part of a request. */
static lull_status parse(const char *text, const char *what, bool is_list, json_t **out,
                         lull_error *err)
{
    json_error_t why;
    *out = json_loads(text, JSON_ALLOW_NUL, &why);
    if (!*out)
        return lull_fail(err, LULL_EINVAL, "%s: line %d, column %d: %s", what, why.line, why.column,
                         why.text);
    if (is_list ? json_is_array(*out) : json_is_object(*out)) return LULL_OK;
    return lull_fail(err, LULL_EINVAL, "%s: not a JSON %s", what, is_list ? "array" : "object");
}

/* Templates write arguments as JSON: text that is JSON already would be quoted once more. */
static void parse_arguments(json_t *messages)
{
    size_t i, k;
    json_t *message, *call;
    json_array_foreach(messages, i, message)
    {
        json_array_foreach(json_object_get(message, "tool_calls"), k, call)
        {
            json_t *function = json_object_get(call, "function");
            if (!function) function = call;
            const json_t *arguments = json_object_get(function, "arguments");
            if (!json_is_string(arguments)) continue;
            json_t *object = json_loadb(json_string_value(arguments), json_string_length(arguments),
                                        JSON_ALLOW_NUL, NULL);
            if (json_is_object(object))
                json_object_set_new(function, "arguments", object);
            else
                json_decref(object);
        }
    }
}

/* All that a template sees, as transformers' apply_chat_template gives it: tools and documents are none,
 * not undefined. Takes messages. NULL: no memory. */
static json_t *make_variables(const lull_model *m, json_t *messages, json_t *tools,
                              const json_t *more, bool add_generation_prompt)
{
    json_t *vars = json_pack(
        "{s:o, s:b, s:o, s:o, s:O?, s:n}", "messages", messages, "add_generation_prompt",
        (int)add_generation_prompt, "bos_token", token_name(m, lull_tokenizer_bos(m->tokenizer)),
        "eos_token", token_name(m, lull_tokenizer_eos(m->tokenizer)), "tools", tools, "documents");
    if (vars && more) json_object_update(vars, (json_t *)more);
    return vars;
}

static lull_status render(const lull_model *m, const char *template_text, json_t *vars, char **text,
                          lull_error *err)
{
    const lull_jinja *template = NULL;
    lull_jinja *own = NULL;
    size_t n_bytes;
    lull_status st = LULL_OK;
    if (!vars) LULL_TRY(lull_fail(err, LULL_ENOMEM, "out of memory for the messages"));
    if (template_text)
        LULL_TRY(lull_jinja_parse(template_text, strlen(template_text), &own, err));
    else /* The cast: parsing is remembered, which nobody sees. */
        LULL_TRY(find_template((lull_model *)m, &template, err));
    LULL_TRY(lull_jinja_render(own ? own : template, vars, text, &n_bytes, err));
done:
    lull_jinja_free(own);
    return st;
}

lull_status lull_chat_render_json(const lull_model *model, const lull_chat_request *request,
                                  char **text, lull_error *err)
{
    json_t *messages = NULL, *tools = NULL, *more = NULL, *vars = NULL;
    lull_status st = LULL_OK;
    *text = NULL;
    LULL_TRY(parse(request->messages, "the messages", true, &messages, err));
    if (request->tools) LULL_TRY(parse(request->tools, "the tools", true, &tools, err));
    if (request->variables) LULL_TRY(parse(request->variables, "the variables", false, &more, err));
    parse_arguments(messages);
    vars =
        make_variables(model, json_incref(messages), tools, more, request->add_generation_prompt);
    LULL_TRY(render(model, request->template_text, vars, text, err));
done:
    json_decref(vars);
    json_decref(messages);
    json_decref(tools);
    json_decref(more);
    return st;
}

lull_status lull_chat_render(const lull_model *model, const lull_message *messages, size_t n,
                             bool add_generation_prompt, char **text, lull_error *err)
{
    *text = NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *message =
            json_pack("{s:s, s:s}", "role", messages[i].role, "content", messages[i].content);
        if (!message) {
            json_decref(list);
            return lull_fail(err, LULL_EINVAL, "message %zu is not valid UTF-8", i);
        }
        json_array_append_new(list, message);
    }
    json_t *vars = make_variables(model, list, NULL, NULL, add_generation_prompt);
    lull_status st = render(model, NULL, vars, text, err);
    json_decref(vars);
    return st;
}
