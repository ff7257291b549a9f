#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "explain.h"
#include "format.h"
#include "store_cmd.h"
#include "term.h"

typedef struct args {
    const char *names[2];
    const char *model, *dir;
    bool as_json;
} args;

typedef struct side {
    lull_store_state state;
    int32_t *tokens; /* owned: lull_free */
    size_t n;
    lull_buffer rest; /* the text behind what both have */
} side;

static lull_status load(lull_store *store, const char *name, side *out, lull_error *err)
{
    int64_t id;
    size_t token;
    lull_status st = LULL_OK;
    LULL_TRY(lull_store_resolve(store, name, &id, &token, err));
    LULL_TRY(lull_store_get(store, id, false, &out->state, err));
    LULL_TRY(lull_store_get_tokens(store, id, &out->tokens, &out->n, err));
    if (token < out->n) out->n = token;
done:
    return st;
}

static void print_rest(const char *name, const side *s, size_t n_common, lull_style style)
{
    char count[LULL_FORMAT_CAP];
    lull_buffer text = {0};
    printf("%s%s%s: %s tokens after that\n", lull_style_of(stdout, LULL_STYLE_BOLD), name,
           lull_style_of(stdout, LULL_STYLE_OFF), lull_format_count(count, s->n - n_common));
    lull_display_repair(&text, s->rest.data ? s->rest.data : "", s->rest.n_bytes);
    fputs(lull_style_of(stdout, style), stdout);
    if (text.n_bytes > 0) lull_display_write(stdout, text.data, text.n_bytes);
    puts(lull_style_of(stdout, LULL_STYLE_OFF));
    lull_buffer_fini(&text);
}

static json_t *side_json(const char *name, const side *s, size_t n_common)
{
    const char *text = s->rest.data ? s->rest.data : "";
    return json_pack("{s:s, s:I, s:I, s:o, s:o}", "name", name, "state", (json_int_t)s->state.id,
                     "n_tokens", (json_int_t)s->n, "tokens",
                     lull_cmd_json_tokens(s->tokens + n_common, s->n - n_common), "text",
                     lull_cmd_json_text(text, s->rest.n_bytes));
}

static lull_status diff(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_model *model = NULL;
    side sides[2] = {{.tokens = NULL}};
    lull_divergence d = {0};
    char count[LULL_FORMAT_CAP];
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    for (int i = 0; i < 2; i++) LULL_TRY(load(store, a->names[i], &sides[i], err));
    LULL_TRY(lull_cmd_open_vocab(&sides[0].state, a->names[0], a->model, &model, err));
    if (!lull_cmd_is_same_vocab(&sides[0].state, &sides[1].state))
        LULL_TRY(
            lull_fail(err, LULL_EMISMATCH,
                      "%.60s and %.60s were read with different tokenizers: their tokens cannot "
                      "be compared",
                      a->names[0], a->names[1]));
    LULL_TRY(
        lull_explain(model, sides[0].tokens, sides[0].n, sides[1].tokens, sides[1].n, &d, err));
    for (int i = 0; i < 2; i++)
        for (size_t k = d.n_common; k < sides[i].n; k++) {
            size_t n;
            const char *text = lull_token_text(model, sides[i].tokens[k], true, &n);
            lull_buffer_append(&sides[i].rest, text, n);
        }
    if (a->as_json) {
        *rc = lull_cmd_print_json(json_pack(
            "{s:I, s:[o, o], s:o}", "common_tokens", (json_int_t)d.n_common, "states",
            side_json(a->names[0], &sides[0], d.n_common),
            side_json(a->names[1], &sides[1], d.n_common), "divergence",
            d.cause == LULL_CAUSE_NONE ? json_null() : lull_divergence_json(&d, "a", "b")));
        goto done;
    }
    printf("the first %s tokens are the same\n", lull_format_count(count, d.n_common));
    if (sides[0].n > d.n_common) print_rest(a->names[0], &sides[0], d.n_common, LULL_STYLE_RED);
    if (sides[1].n > d.n_common) print_rest(a->names[1], &sides[1], d.n_common, LULL_STYLE_GREEN);
    if (sides[0].n == d.n_common && sides[1].n == d.n_common) puts("and so are both states");
done:
    lull_divergence_fini(&d);
    for (int i = 0; i < 2; i++) {
        lull_store_state_fini(&sides[i].state);
        lull_free(sides[i].tokens);
        lull_buffer_fini(&sides[i].rest);
    }
    lull_model_close(model);
    lull_store_close(store);
    return st;
}

int lull_cmd_diff(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "model", NULL, LULL_OPT_STRING, &a.model, 0, 0, "FILE",
         "the model, if it is not where the first state was made"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "diff",
                          .operands = "A B",
                          .about =
                              "What two states have in common, and the text in which they part.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, a.names);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (diff(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("diff", &err);
    return rc;
}
