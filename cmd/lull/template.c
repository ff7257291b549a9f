#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "file.h"

enum { FILE_MAX_BYTES = 256 << 20 };

typedef struct args {
    const char *model, *template, *messages, *tools;
    lull_strings vars;
    bool no_prompt, tokens, as_json;
} args;

/* A file as NUL-terminated text; path NULL: *out stays NULL. */
static lull_status read_text(const char *path, char **out, lull_error *err)
{
    size_t n_bytes;
    if (!path) return LULL_OK;
    lull_status st = lull_file_read(path, FILE_MAX_BYTES, out, &n_bytes, err);
    if (st != LULL_OK || strlen(*out) == n_bytes) return st;
    return lull_fail(err, LULL_EINVAL, "%s: byte %zu: a NUL byte, which no text has", path,
                     strlen(*out));
}

/* --var NAME=VALUE as JSON: a value that is JSON stands for itself, any other is a string. */
static lull_status make_variables(const lull_strings *vars, char **out, lull_error *err)
{
    json_t *object = json_object();
    for (size_t i = 0; i < vars->n && object; i++) {
        const char *equals = strchr(vars->v[i], '=');
        char *name = strndup(vars->v[i], (size_t)(equals - vars->v[i]));
        json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
        if (!value) value = json_string(equals + 1);
        bool is_ok = name && json_object_set_new(object, name, value) == 0;
        free(name);
        if (is_ok) continue;
        json_decref(object);
        return lull_fail(err, LULL_EINVAL, "--var number %zu is not valid UTF-8", i + 1);
    }
    *out = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return *out ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for the variables");
}

/* Messages about a part of the request begin with what it is: put its file in front. */
static void name_file(const args *a, lull_error *err)
{
    const struct {
        const char *part, *path;
    } parts[] = {{"messages", a->messages}, {"tools", a->tools}, {"chat template", a->template}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].path && strncmp(err->msg, parts[i].part, strlen(parts[i].part)) == 0) {
            lull_error_prefix(err, "%s", parts[i].path);
            return;
        }
}

static int print_result(const args *a, const char *text, const lull_cmd_tokens *tokens)
{
    size_t n_bytes = strlen(text);
    if (a->as_json)
        return lull_cmd_print_json(json_pack("{s:o, s:o}", "text",
                                             lull_cmd_json_text(text, n_bytes), "tokens",
                                             lull_cmd_json_tokens(tokens->ids, tokens->n)));
    if (a->tokens) return lull_cmd_print_json(lull_cmd_json_tokens(tokens->ids, tokens->n));
    fwrite(text, 1, n_bytes, stdout);
    return LULL_EXIT_OK;
}

static lull_status render(const args *a, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    lull_cmd_tokens tokens = {0};
    char *template = NULL, *messages = NULL, *tools = NULL, *variables = NULL, *text = NULL;
    lull_status st = LULL_OK;
    LULL_TRY(read_text(a->template, &template, err));
    LULL_TRY(read_text(a->messages, &messages, err));
    LULL_TRY(read_text(a->tools, &tools, err));
    LULL_TRY(make_variables(&a->vars, &variables, err));
    LULL_TRY(lull_cmd_open_model(a->model, 1, LULL_CMD_VOCAB_ONLY, &model, err));
    if (!template && !lull_model_get_info(model).chat_template) {
        st = lull_fail(err, LULL_ENOTFOUND, "%s has no chat template: give --template FILE",
                       a->model);
        goto done;
    }
    const lull_chat_request request = {.messages = messages,
                                       .tools = tools,
                                       .variables = variables,
                                       .template_text = template,
                                       .add_generation_prompt = !a->no_prompt};
    st = lull_chat_render_json(model, &request, &text, err);
    if (st != LULL_OK) {
        name_file(a, err);
        goto done;
    }
    if (a->tokens || a->as_json) {
        LULL_TRY(
            lull_cmd_tokenize_text(model, text, strlen(text), LULL_TOKENIZE_SPECIAL, &tokens, err));
        LULL_TRY(lull_cmd_add_bos(model, &tokens, err));
    }
    *rc = print_result(a, text, &tokens);
done:
    lull_cmd_tokens_fini(&tokens);
    lull_free(text);
    lull_model_close(model);
    free(template);
    free(messages);
    free(tools);
    free(variables);
    return st;
}

int lull_cmd_template(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'m', "messages", NULL, LULL_OPT_STRING, &a.messages, 0, 0, "FILE",
         "the conversation, a JSON array; - is standard input"},
        {0, "tools", NULL, LULL_OPT_STRING, &a.tools, 0, 0, "FILE",
         "the tools that the model may call, a JSON array"},
        {0, "template", NULL, LULL_OPT_STRING, &a.template, 0, 0, "FILE",
         "a Jinja template, instead of the model's own"},
        {0, "var", NULL, LULL_OPT_STRINGS, &a.vars, 0, 0, "NAME=VALUE",
         "a variable of the template: JSON, else a string; may be given again"},
        {0, "no-generation-prompt", NULL, LULL_OPT_FLAG, &a.no_prompt, 0, 0, NULL,
         "end behind the last message, not where an answer begins"},
        {0, "tokens", NULL, LULL_OPT_FLAG, &a.tokens, 0, 0, NULL,
         "print the token ids, as the model would get them"},
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL,
         "print an object with the text and the ids"},
    };
    const lull_cli cli = {
        .verb = "template",
        .operands = "MODEL",
        .about = "Show a conversation as the model gets it: its chat template, filled in.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc >= 0) return rc;
    if (!a.messages) return lull_cli_usage("template", "no conversation: give --messages FILE");
    for (size_t i = 0; i < a.vars.n; i++)
        if (!strchr(a.vars.v[i], '=') || *a.vars.v[i] == '=')
            return lull_cli_usage("template", "--var is NAME=VALUE, not '%s'", a.vars.v[i]);
    lull_error err;
    rc = LULL_EXIT_OK;
    if (render(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("template", &err);
    return rc;
}
