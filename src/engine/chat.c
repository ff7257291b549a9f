/* A conversation as the text that a model was trained on: its file's chat template, filled in. */
#include <jansson.h>
#include <string.h>

#include "engine.h"

/* The file's own template, parsed at the first use. */
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

/* ---- variables ------------------------------------------------------------------------------ */

/* JSON text of one kind; what: how messages call it. */
static lull_status parse_json(const char *text, const char *what, json_type kind, json_t **out,
                              lull_error *err)
{
    json_error_t at;
    *out = json_loads(text, JSON_DECODE_ANY, &at);
    if (!*out)
        return lull_fail(err, LULL_EINVAL, "%s: line %d, column %d: %s", what, at.line, at.column,
                         at.text);
    if (json_typeof(*out) == kind) return LULL_OK;
    json_decref(*out);
    *out = NULL;
    return lull_fail(err, LULL_EINVAL, "%s: this must be a JSON %s", what,
                     kind == JSON_ARRAY ? "array" : "object");
}

/* Programs send the arguments of a tool call as a string of JSON; templates want the object. */
static bool parse_arguments(json_t *call)
{
    json_t *function = json_object_get(call, "function");
    json_t *holder = json_is_object(function) ? function : call;
    json_t *arguments = json_object_get(holder, "arguments");
    if (!json_is_string(arguments)) return true;
    json_t *parsed = json_loads(json_string_value(arguments), 0, NULL);
    if (json_is_object(parsed)) return json_object_set_new(holder, "arguments", parsed) == 0;
    json_decref(parsed);
    return true;
}

static lull_status parse_messages(const char *text, json_t **out, lull_error *err)
{
    lull_status st = parse_json(text, "messages", JSON_ARRAY, out, err);
    if (st != LULL_OK) return st;
    for (size_t i = 0; i < json_array_size(*out); i++) {
        json_t *message = json_array_get(*out, i), *call;
        size_t k;
        if (!json_is_object(message))
            return lull_fail(err, LULL_EINVAL, "messages: item %zu is no object", i);
        json_array_foreach(json_object_get(message, "tool_calls"), k, call)
        {
            if (!parse_arguments(call))
                return lull_fail(err, LULL_ENOMEM, "out of memory for %zu messages", i);
        }
    }
    return LULL_OK;
}

/* What a template sees. messages and tools (NULL: none) are taken, variables (NULL: none) borrowed. */
static lull_status make_variables(const lull_model *m, json_t *messages, json_t *tools,
                                  bool add_generation_prompt, json_t *variables, json_t **out,
                                  lull_error *err)
{
    static const char *const fixed[] = {"messages", "tools", "add_generation_prompt"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (!json_object_get(variables, fixed[i])) continue;
        json_decref(messages);
        json_decref(tools);
        return lull_fail(err, LULL_EINVAL, "variables: %s is given apart from them", fixed[i]);
    }
    *out = json_pack("{s:o, s:o, s:n, s:b, s:o, s:o}", "messages", messages, "tools",
                     tools ? tools : json_null(), "documents", "add_generation_prompt",
                     (int)add_generation_prompt, "bos_token",
                     token_name(m, lull_tokenizer_bos(m->tokenizer)), "eos_token",
                     token_name(m, lull_tokenizer_eos(m->tokenizer)));
    if (*out && (!variables || json_object_update(*out, variables) == 0)) return LULL_OK;
    json_decref(*out);
    *out = NULL;
    return lull_fail(err, LULL_ENOMEM, "out of memory for the variables of the chat template");
}

/* ---- rendering ------------------------------------------------------------------------------ */

/* template_text: NULL for the file's own. */
static lull_status render(const lull_model *model, const char *template_text, const json_t *vars,
                          char **text, lull_error *err)
{
    const lull_jinja *template = NULL;
    lull_jinja *given = NULL;
    size_t n_bytes;
    /* The cast: parsing is remembered, which nobody sees. */
    lull_status st = template_text
                         ? lull_jinja_parse(template_text, strlen(template_text), &given, err)
                         : find_template((lull_model *)model, &template, err);
    if (st == LULL_OK) st = lull_jinja_render(given ? given : template, vars, text, &n_bytes, err);
    if (st == LULL_OK && strlen(*text) != n_bytes) {
        free(*text);
        *text = NULL;
        st = lull_fail(err, LULL_EUNSUPPORTED, "the chat template writes a NUL character");
    }
    lull_jinja_free(given);
    return st;
}

lull_status lull_chat_render_json(const lull_model *model, const lull_chat_request *request,
                                  char **text, lull_error *err)
{
    json_t *messages = NULL, *tools = NULL, *variables = NULL, *vars = NULL;
    lull_status st = LULL_OK;
    *text = NULL;
    LULL_TRY(parse_messages(request->messages, &messages, err));
    if (request->tools) LULL_TRY(parse_json(request->tools, "tools", JSON_ARRAY, &tools, err));
    if (request->variables)
        LULL_TRY(parse_json(request->variables, "variables", JSON_OBJECT, &variables, err));
    LULL_TRY(make_variables(model, json_incref(messages), json_incref(tools),
                            request->add_generation_prompt, variables, &vars, err));
    LULL_TRY(render(model, request->template_text, vars, text, err));
done:
    json_decref(messages);
    json_decref(tools);
    json_decref(variables);
    json_decref(vars);
    return st;
}

lull_status lull_chat_render(const lull_model *model, const lull_message *messages, size_t n,
                             bool add_generation_prompt, char **text, lull_error *err)
{
    json_t *list = json_array(), *vars;
    *text = NULL;
    for (size_t i = 0; i < n && list; i++) {
        json_t *role = json_string(messages[i].role), *content = json_string(messages[i].content);
        bool is_text = role && content;
        json_t *message = json_pack("{s:o, s:o}", "role", role, "content", content);
        if (json_array_append_new(list, message) == 0) continue;
        json_decref(list);
        if (!is_text) return lull_fail(err, LULL_EINVAL, "message %zu is not valid UTF-8", i);
        list = NULL;
    }
    if (!list) return lull_fail(err, LULL_ENOMEM, "out of memory for %zu messages", n);
    lull_status st = make_variables(model, list, NULL, add_generation_prompt, NULL, &vars, err);
    if (st != LULL_OK) return st;
    st = render(model, NULL, vars, text, err);
    json_decref(vars);
    return st;
}
