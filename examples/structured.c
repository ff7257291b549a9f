/* A text in the form of a JSON Schema, with liblull: structured MODEL.gguf [TEXT]
 *
 *     cc structured.c -o structured $(pkg-config --cflags --libs lull) */
#include <lull/lull.h>
#include <stdio.h>

static const char schema[] =
    "{\"type\": \"object\","
    " \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 20},"
    "                  \"age\": {\"type\": \"integer\", \"minimum\": 0,"
    "                          \"maximum\": 120}},"
    " \"required\": [\"name\", \"age\"], \"additionalProperties\": false}";

static int report(const lull_error *err)
{
    fprintf(stderr, "structured: %s\n", err->msg);
    return 1;
}

static bool print(void *user, const char *text, size_t n_bytes, int32_t token)
{
    (void)token;
    return fwrite(text, 1, n_bytes, user) == n_bytes;
}

int main(int argc, char **argv)
{
    const char *prompt = argc > 2 ? argv[2] : "A person, as JSON:\n";
    lull_generate_options options = lull_generate_options_default();
    lull_generate_result result;
    lull_model *model;
    lull_session *session = NULL;
    lull_error err;
    if (argc < 2) return fputs("usage: structured MODEL.gguf [TEXT]\n", stderr), 2;
    /* What is wrong with a schema is told without a model. */
    if (lull_grammar_check(LULL_GRAMMAR_JSON_SCHEMA, schema, &err)) return report(&err);
    if (lull_model_open(argv[1], NULL, &model, &err)) return report(&err);

    options.grammar_kind = LULL_GRAMMAR_JSON_SCHEMA;
    options.grammar = schema;
    options.max_tokens = 200;
    options.on_text = print;
    options.user = stdout;
    lull_status st = lull_session_new(model, NULL, &session, &err);
    if (!st) st = lull_prompt(session, prompt, &err);
    if (!st) st = lull_generate(session, &options, &result, &err);
    putchar('\n');
    if (!st && result.finish != LULL_FINISH_COMPLETE) /* cut off: not yet JSON */
        fprintf(stderr, "structured: ended by %s\n", lull_finish_name(result.finish));
    lull_session_free(session);
    lull_model_close(model);
    return st ? report(&err) : 0;
}
