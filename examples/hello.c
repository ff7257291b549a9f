/* Complete a text with liblull: hello MODEL.gguf [TEXT]
 *
 *     cc hello.c -o hello $(pkg-config --cflags --libs lull) */
#include <lull/lull.h>
#include <stdio.h>

static int report(const lull_error *err)
{
    fprintf(stderr, "hello: %s\n", err->msg);
    return 1;
}

static bool print(void *user, const char *text, size_t n_bytes, int32_t token)
{
    (void)token;
    return fwrite(text, 1, n_bytes, user) == n_bytes;
}

int main(int argc, char **argv)
{
    const char *prompt = argc > 2 ? argv[2] : "The capital of France is";
    lull_generate_options options = lull_generate_options_default();
    lull_model *model;
    lull_session *session = NULL;
    lull_error err;
    if (argc < 2) return fputs("usage: hello MODEL.gguf [TEXT]\n", stderr), 2;
    if (lull_model_open(argv[1], NULL, &model, &err)) return report(&err);

    options.max_tokens = 24;
    options.on_text = print;
    options.user = stdout;
    fputs(prompt, stdout);
    lull_status st = lull_session_new(model, NULL, &session, &err);
    if (!st) st = lull_prompt(session, prompt, &err);
    if (!st) st = lull_generate(session, &options, NULL, &err);
    putchar('\n');
    lull_session_free(session);
    lull_model_close(model);
    return st ? report(&err) : 0;
}
