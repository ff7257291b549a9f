#include <stdlib.h>
#include <string.h>

#include "cmd.h"

typedef struct args {
    const char *model, *template_file, *messages_file, *tools_file;
    lull_strings variables;
    bool has_no_prompt, as_tokens, as_json;
} args;

/* NAME=VALUE… as a JSON object: a value is JSON when it can be read as such, else a string. */
static lull_status make_variables(const lull_strings *given, char **out, lull_error *err)
{
    json_t *object = json_object();
    lull_status st = LULL_OK;
    for (size_t i = 0; i < given->n; i++) {
        const char *value = strchr(given->v[i], '=');
        char name[128];
        if (!value || value == given->v[i] || (size_t)(value - given->v[i]) >= sizeof name)
            LULL_TRY(lull_fail(err, LULL_EINVAL, "--var takes NAME=VALUE, not '%s'", given->v[i]));
        snprintf(name, sizeof name, "%.*s", (int)(value - given->v[i]), given->v[i]);
        json_t *v = json_loads(value + 1, JSON_DECODE_ANY, NULL);
        if (json_object_set_new(object, name, v ? v : json_string(value + 1)) != 0)
            LULL_TRY(lull_fail(err, LULL_EINVAL, "--var %s is not valid UTF-8", name));
    }
    *out = json_dumps(object, JSON_COMPACT);
    if (!*out) st = lull_fail(err, LULL_ENOMEM, "no memory for the variables");
done:
    json_decref(object);
    return st;
}

static lull_status print_tokens(const args *a, const lull_model *model, const char *text, int *rc,
                                lull_error *err)
{
    lull_cmd_tokens tokens = {0};
    lull_status st =
        lull_cmd_tokenize_text(model, text, strlen(text), LULL_TOKENIZE_SPECIAL, &tokens, err);
    if (st == LULL_OK) st = lull_cmd_add_bos(model, &tokens, err);
    if (st == LULL_OK && a->as_json)
        *rc = lull_cmd_print_json(lull_cmd_json_tokens(tokens.ids, tokens.n));
    for (size_t i = 0; i < tokens.n && st == LULL_OK && !a->as_json; i++)
        printf("%d%c", tokens.ids[i], i + 1 < tokens.n ? ' ' : '\n');
    lull_cmd_tokens_fini(&tokens);
    return st;
}

/* The file of an option, owned; NULL without one. */
static lull_status read_file(const char *file, char **out, lull_error *err)
{
    size_t n;
    *out = NULL;
    return file ? lull_cmd_read_text(NULL, file, out, &n, err) : LULL_OK;
}

static lull_status render(const args *a, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    char *messages = NULL, *tools = NULL, *template_text = NULL, *variables = NULL, *text = NULL;
    lull_status st = LULL_OK;
    LULL_TRY(read_file(a->messages_file, &messages, err));
    LULL_TRY(read_file(a->tools_file, &tools, err));
    LULL_TRY(read_file(a->template_file, &template_text, err));
    LULL_TRY(make_variables(&a->variables, &variables, err));
    LULL_TRY(lull_cmd_open_model(a->model, 0, LULL_CMD_VOCAB_ONLY, &model, err));
    lull_chat_request request = {.messages = messages,
                                 .tools = tools,
                                 .variables = variables,
                                 .template_text = template_text,
                                 .add_generation_prompt = !a->has_no_prompt};
    LULL_TRY(lull_chat_render_json(model, &request, &text, err));
    if (a->as_tokens)
        LULL_TRY(print_tokens(a, model, text, rc, err));
    else if (a->as_json)
        *rc = lull_cmd_print_json(lull_cmd_json_text(text, strlen(text)));
    else
        fputs(text, stdout);
done:
    lull_free(text);
    free(messages);
    free(tools);
    free(template_text);
    free(variables);
    lull_model_close(model);
    return st;
}

int lull_cmd_template(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "messages", NULL, LULL_OPT_STRING, &a.messages_file, 0, 0, "FILE",
         "a JSON array of {\"role\", \"content\", ...}; - is standard input"},
        {0, "tools", NULL, LULL_OPT_STRING, &a.tools_file, 0, 0, "FILE", "a JSON array of tools"},
        {0, "template", "chat-template", LULL_OPT_STRING, &a.template_file, 0, 0, "FILE",
         "this template instead of the model's"},
        {0, "var", NULL, LULL_OPT_STRINGS, &a.variables, 0, 0, "NAME=VALUE",
         "a variable of the template, such as enable_thinking=false; may be repeated"},
        {0, "no-generation-prompt", NULL, LULL_OPT_FLAG, &a.has_no_prompt, 0, 0, NULL,
         "do not begin the answer"},
        {0, "tokens", NULL, LULL_OPT_FLAG, &a.as_tokens, 0, 0, NULL, "print the token ids"},
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL,
         "print a JSON string, or with --tokens an array"},
    };
    const lull_cli cli = {
        .verb = "template",
        .operands = "MODEL",
        .about = "Print messages as the model's chat template renders them, to the byte.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc < 0 && !a.messages_file) rc = lull_cli_usage("template", "--messages FILE is needed");
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (render(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("template", &err);
    return rc;
}
