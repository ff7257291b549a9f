#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"

enum { FILE_MAX_BYTES = 256 << 20 };

int lull_cmd_check_request(const char *verb, const lull_cmd_request *q)
{
    for (size_t i = 0; i < q->vars.n; i++)
        if (!strchr(q->vars.v[i], '=') || *q->vars.v[i] == '=')
            return lull_cli_usage(verb, "--var is NAME=VALUE, not '%s'", q->vars.v[i]);
    return -1;
}

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

/* A value that is JSON stands for itself, any other is a string. */
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

lull_status lull_cmd_load_request(lull_cmd_request *q, const lull_model *model,
                                  const char *model_path, lull_error *err)
{
    lull_status st = LULL_OK;
    LULL_TRY(read_text(q->messages, &q->texts[0], err));
    LULL_TRY(read_text(q->tools, &q->texts[1], err));
    LULL_TRY(read_text(q->template, &q->texts[2], err));
    LULL_TRY(make_variables(&q->vars, &q->texts[3], err));
    if (!q->template && !lull_model_get_info(model).chat_template)
        return lull_fail(err, LULL_ENOTFOUND, "%s has no chat template: give --template FILE",
                         model_path);
    q->r = (lull_chat_request){.messages = q->texts[0],
                               .tools = q->texts[1],
                               .template_text = q->texts[2],
                               .variables = q->texts[3],
                               .add_generation_prompt = true};
done:
    return st;
}

void lull_cmd_request_fini(lull_cmd_request *q)
{
    for (size_t i = 0; i < sizeof q->texts / sizeof *q->texts; i++) {
        free(q->texts[i]);
        q->texts[i] = NULL;
    }
}

void lull_cmd_name_file(const lull_cmd_request *q, lull_error *err)
{
    const struct {
        const char *part, *path;
    } parts[] = {{"messages", q->messages}, {"tools", q->tools}, {"chat template", q->template}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].path && strncmp(err->msg, parts[i].part, strlen(parts[i].part)) == 0) {
            lull_error_prefix(err, "%s", parts[i].path);
            return;
        }
}
