/* Matches for regular_compare.py: each line of standard input is a JSON object
 * {"pattern": text, "is_whole": bool, "texts": [text...]}; each gives a line {"matches": [bool...],
 * "n_states": n, "ms": time to compile} or {"error": message, "code": name}. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "regular.h"

static json_t *answer(const json_t *request)
{
    const json_t *pattern = json_object_get(request, "pattern");
    lull_error err = {0};
    lull_regular *r;
    double start = lull_clock_ms();
    lull_status st =
        lull_regular_parse(json_string_value(pattern), json_string_length(pattern),
                           json_is_true(json_object_get(request, "is_whole")), &r, &err);
    double ms = lull_clock_ms() - start;
    if (st != LULL_OK)
        return json_pack("{s:s, s:s, s:f}", "error", err.msg, "code", lull_status_name(st), "ms",
                         ms);
    json_t *matches = json_array(), *text;
    size_t i;
    json_array_foreach(json_object_get(request, "texts"), i, text) json_array_append_new(
        matches,
        json_boolean(lull_regular_matches(r, json_string_value(text), json_string_length(text))));
    json_int_t n_states = (json_int_t)lull_regular_n_states(r);
    lull_regular_free(r);
    return json_pack("{s:o, s:I, s:f}", "matches", matches, "n_states", n_states, "ms", ms);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        if (!request || !json_is_string(json_object_get(request, "pattern"))) {
            fprintf(stderr, "regular_driver: not a request: %s", line);
            return 1;
        }
        json_t *reply = answer(request);
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(reply);
        json_decref(request);
    }
    free(line);
    return 0;
}
