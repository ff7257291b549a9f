/* Renders templates for jinja_compare.py: each line of standard input is a JSON object
 * {"template": text, "vars": object}; each gives a line {"ok": text} or {"error": message}. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja.h"

static json_t *render(const json_t *request)
{
    const json_t *source = json_object_get(request, "template");
    lull_error err = {0};
    lull_jinja *t = NULL;
    char *text = NULL;
    size_t n_bytes = 0;
    lull_status st =
        lull_jinja_parse(json_string_value(source), json_string_length(source), &t, &err);
    if (st == LULL_OK)
        st = lull_jinja_render(t, json_object_get(request, "vars"), &text, &n_bytes, &err);
    json_t *reply = st == LULL_OK ? json_pack("{s:o}", "ok", json_stringn_nocheck(text, n_bytes))
                                  : json_pack("{s:s}", "error", err.msg);
    free(text);
    lull_jinja_free(t);
    return reply;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        if (!request || !json_is_string(json_object_get(request, "template")) ||
            !json_is_object(json_object_get(request, "vars"))) {
            fprintf(stderr, "jinja_driver: not a request: %s", line);
            return 1;
        }
        json_t *reply = render(request);
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(reply);
        json_decref(request);
    }
    free(line);
    return 0;
}
