/* Texts that a model writes under schemas: schema_sampler MODEL N_TOKENS TEMPERATURE TOP_K, a JSON Schema a line
 * on standard input; a JSON object a line on standard output: {"error"} or {"finish", "text", "n_tokens"}. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lull/lull.h"

static bool take_text(void *user, const char *text, size_t n_bytes, int32_t token)
{
    (void)token;
    return fwrite(text, 1, n_bytes, user) == n_bytes;
}

static lull_status write_text(lull_model *model, const lull_generate_options *given,
                              lull_generate_result *result, char **text, size_t *n_bytes,
                              lull_error *err)
{
    lull_session *s = NULL;
    FILE *out = open_memstream(text, n_bytes);
    lull_generate_options o = *given;
    o.on_text = take_text;
    o.user = out;
    lull_status st = lull_session_new(model, NULL, &s, err);
    if (st == LULL_OK) st = lull_prompt(s, "An example in JSON:\n", err);
    if (st == LULL_OK) st = lull_generate(s, &o, result, err);
    lull_session_free(s);
    fclose(out);
    return st;
}

int main(int argc, char **argv)
{
    lull_model *model;
    const lull_model_options one_thread = {.n_threads = 1}; /* other tests have the rest */
    lull_error err = {0};
    char *line = NULL;
    size_t cap = 0;
    if (argc != 5 || lull_model_open(argv[1], &one_thread, &model, &err) != LULL_OK) {
        fprintf(stderr, "schema_sampler: %s\n",
                argc == 5 ? err.msg : "MODEL N_TOKENS TEMPERATURE TOP_K");
        return 1;
    }
    lull_generate_options o = lull_generate_options_default();
    o.max_tokens = strtoul(argv[2], NULL, 10);
    o.sampling.temperature = strtof(argv[3], NULL);
    o.sampling.top_k = atoi(argv[4]);
    o.grammar_kind = LULL_GRAMMAR_JSON_SCHEMA;
    while (getline(&line, &cap, stdin) > 0) {
        char *text = NULL;
        size_t n_bytes = 0;
        lull_generate_result r = {0};
        o.grammar = line;
        o.sampling.seed++;
        lull_status st = write_text(model, &o, &r, &text, &n_bytes, &err);
        json_t *answer = st != LULL_OK
                             ? json_pack("{s:s}", "error", err.msg)
                             : json_pack("{s:s, s:s%, s:I}", "finish", lull_finish_name(r.finish),
                                         "text", text, n_bytes, "n_tokens", (json_int_t)r.n_tokens);
        if (!answer) answer = json_pack("{s:s}", "error", "the text is not UTF-8");
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(answer);
        free(text);
    }
    free(line);
    lull_model_close(model);
    return 0;
}
