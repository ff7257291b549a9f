#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "grid.h"

/* The text of ids, as bytes: exactly what was tokenised. */
static int print_text(const lull_model *model, const lull_cmd_tokens *tokens, bool with_special,
                      bool as_json)
{
    lull_error err;
    size_t n_bytes = 0;
    char *text = NULL;
    lull_status st = LULL_OK;
    for (size_t i = 0; i < tokens->n && st == LULL_OK; i++) {
        if (tokens->ids[i] < 0 || tokens->ids[i] >= lull_model_get_info(model).n_vocab)
            st = lull_fail(&err, LULL_EINVAL, "token %zu is %d; this model has ids 0 to %d", i,
                           tokens->ids[i], lull_model_get_info(model).n_vocab - 1);
    }
    if (st == LULL_OK)
        st = lull_detokenize(model, tokens->ids, tokens->n, with_special, NULL, 0, &n_bytes, &err);
    if (st == LULL_OK && !(text = malloc(n_bytes + 1)))
        st = lull_fail(&err, LULL_ENOMEM, "no memory for %zu bytes of text", n_bytes);
    if (st == LULL_OK)
        st = lull_detokenize(model, tokens->ids, tokens->n, with_special, text, n_bytes + 1,
                             &n_bytes, &err);
    int rc = LULL_EXIT_OK;
    if (st != LULL_OK)
        rc = lull_cmd_fail("tokenize", &err);
    else if (as_json)
        rc = lull_cmd_print_json(lull_cmd_json_text(text, n_bytes));
    else
        fwrite(text, 1, n_bytes, stdout);
    free(text);
    return rc;
}

static void print_table(const lull_model *model, const lull_cmd_tokens *tokens)
{
    lull_grid grid;
    lull_grid_init(&grid, "rrl");
    lull_grid_cell(&grid, "#");
    lull_grid_cell(&grid, "id");
    lull_grid_cell(&grid, "text");
    for (size_t i = 0; i < tokens->n; i++) {
        size_t n = 0;
        const char *text = lull_token_text(model, tokens->ids[i], true, &n);
        lull_grid_cell(&grid, "%zu", i);
        lull_grid_cell(&grid, "%d", tokens->ids[i]);
        lull_grid_cell_text(&grid, text, n);
    }
    lull_grid_print(&grid, stdout, true);
    lull_grid_fini(&grid);
}

int lull_cmd_tokenize(int argc, char **argv)
{
    const char *path, *text_arg = NULL, *file = NULL;
    bool special = false, bos = false, decode = false, as_json = false;
    const lull_option options[] = {
        {'p', "prompt", "text", LULL_OPT_STRING, &text_arg, 0, 0, "TEXT", "the text"},
        {'f', "file", NULL, LULL_OPT_STRING, &file, 0, 0, "FILE",
         "a file with the text; - is standard input"},
        {0, "special", NULL, LULL_OPT_FLAG, &special, 0, 0, NULL,
         "read control tokens such as <|im_end|>; show them with --decode"},
        {0, "bos", NULL, LULL_OPT_FLAG, &bos, 0, 0, NULL,
         "put the beginning-of-sequence token in front"},
        {0, "decode", NULL, LULL_OPT_FLAG, &decode, 0, 0, NULL,
         "turn ids (a JSON array) into text, exactly, without a final line feed"},
        {0, "json", NULL, LULL_OPT_FLAG, &as_json, 0, 0, NULL, "print a JSON array of ids"},
    };
    const lull_cli cli = {.verb = "tokenize",
                          .operands = "MODEL",
                          .about = "Show the tokens of a text: of -p, of -f, or of standard input.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &path);
    if (rc < 0) rc = lull_cmd_check_text("tokenize", text_arg, file);
    if (rc >= 0) return rc;

    lull_error err;
    lull_model *model = NULL;
    lull_cmd_tokens tokens = {0};
    char *text = NULL;
    size_t n_bytes = 0;
    lull_status st = lull_cmd_read_text(text_arg, file, &text, &n_bytes, &err);
    if (st == LULL_OK && decode)
        st = lull_cmd_parse_tokens(text, n_bytes, file ? file : "standard input", &tokens, &err);
    if (st == LULL_OK)
        st =
            lull_cmd_open_model(path, 1, (lull_cmd_numerics){0}, LULL_CMD_VOCAB_ONLY, &model, &err);
    if (st == LULL_OK && !decode) {
        int flags = (special ? LULL_TOKENIZE_SPECIAL : 0) | (bos ? LULL_TOKENIZE_BOS : 0);
        st = lull_cmd_tokenize_text(model, text, n_bytes, flags, &tokens, &err);
    }
    if (st != LULL_OK)
        rc = lull_cmd_fail("tokenize", &err);
    else if (decode)
        rc = print_text(model, &tokens, special, as_json);
    else if (as_json)
        rc = lull_cmd_print_json(lull_cmd_json_tokens(tokens.ids, tokens.n));
    else
        print_table(model, &tokens);
    lull_cmd_tokens_fini(&tokens);
    lull_model_close(model);
    free(text);
    return rc < 0 ? LULL_EXIT_OK : rc;
}
