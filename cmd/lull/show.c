#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "explain.h"
#include "format.h"
#include "store_cmd.h"

typedef struct args {
    const char *name, *model, *dir;
    bool with_tokens, with_text, as_json;
} args;

static void add_text(lull_grid *g, const char *key, const char *value)
{
    lull_grid_cell(g, "%s", key);
    lull_grid_cell_text(g, value, strlen(value));
}

/* A JSON value as a cell: strings as they are, the rest compact. */
static void add_value(lull_grid *g, const char *key, const json_t *value)
{
    if (json_is_string(value)) {
        add_text(g, key, json_string_value(value));
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(7));
    add_text(g, key, text ? text : "?");
    free(text);
}

static void add_members(lull_grid *g, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) add_value(g, key, value);
}

/* What 8-bit keys and values change in the predictions; a card of f16, or an older one, has none. */
static void add_drift(lull_grid *g, const json_t *drift)
{
    if (!json_is_object(drift)) return;
    lull_grid_cell(g, "drift");
    lull_grid_cell(
        g, "mean KL from f16 %.2g, largest %.2g, same likeliest token %.1f %% (%lld tokens)",
        json_number_value(json_object_get(drift, "mean_kl")),
        json_number_value(json_object_get(drift, "largest_kl")),
        100 * json_number_value(json_object_get(drift, "same_likeliest")),
        (long long)json_integer_value(json_object_get(drift, "tokens")));
}

static void add_list(lull_grid *g, const char *key, char *const *texts, size_t n)
{
    lull_buffer all = {0};
    for (size_t i = 0; i < n; i++) lull_buffer_printf(&all, "%s%s", i > 0 ? ", " : "", texts[i]);
    if (n > 0) add_text(g, key, all.data ? all.data : "");
    lull_buffer_fini(&all);
}

static void print_facts(const lull_store_state *st)
{
    char a[LULL_FORMAT_CAP], b[LULL_FORMAT_CAP], time[LULL_AGE_CAP], age[LULL_AGE_CAP];
    json_t *session = lull_cmd_parse_json(st->session), *card = lull_cmd_parse_json(st->card);
    json_t *generation = json_object_get(session, "generation");
    json_t *messages = json_object_get(session, "messages");
    lull_grid g;
    lull_grid_init(&g, "ll");
    lull_grid_cell(&g, "state");
    lull_grid_cell(&g, "#%lld", (long long)st->id);
    add_list(&g, "names", st->names, st->n_names);
    add_list(&g, "tags", st->tags, st->n_tags);
    if (st->parent > 0) {
        lull_grid_cell(&g, "parent");
        lull_grid_cell(&g, "#%lld", (long long)st->parent);
    }
    lull_grid_cell(&g, "created");
    lull_grid_cell(&g, "%s (%s)", lull_cmd_time(time, st->created_ms),
                   lull_cmd_age(age, st->created_ms));
    lull_grid_cell(&g, "tokens");
    lull_grid_cell(&g, "%s in %zu page%s%s", lull_format_count(a, st->n_tokens), st->n_pages,
                   st->n_pages == 1 ? "" : "s", st->n_tail > 0 ? " and a tail" : "");
    lull_grid_cell(&g, "size");
    lull_grid_cell(&g, "%s, of them %s its own", lull_format_bytes(a, st->bytes),
                   lull_format_bytes(b, st->own_bytes));
    if (json_is_string(json_object_get(session, "note")))
        add_text(&g, "note", json_string_value(json_object_get(session, "note")));
    if (json_is_string(json_object_get(session, "model")))
        add_text(&g, "model", json_string_value(json_object_get(session, "model")));
    if (json_is_array(messages)) {
        lull_grid_cell(&g, "messages");
        lull_grid_cell(&g, "%zu", json_array_size(messages));
    }
    if (generation) {
        lull_grid_cell(&g, "generation");
        lull_grid_cell(&g, "%lld tokens, finish: %s",
                       (long long)(json_integer_value(json_object_get(generation, "end")) -
                                   json_integer_value(json_object_get(generation, "start"))),
                       json_string_value(json_object_get(generation, "finish")));
        add_members(&g, json_object_get(generation, "sampling"));
    }
    add_members(&g, json_object_get(card, "kv"));
    add_drift(&g, json_object_get(card, "drift"));
    if (json_object_get(card, "tokenizer"))
        add_value(&g, "tokenizer", json_object_get(card, "tokenizer"));
    if (json_object_get(card, "chat_template"))
        add_value(&g, "chat template", json_object_get(card, "chat_template"));
    lull_grid_print(&g, stdout, false);
    lull_grid_fini(&g);
    json_decref(session);
    json_decref(card);
}

/* The text of tokens [n]: the one that an export carries of the whole state, else by the model's
 * vocabulary. */
static lull_status find_text(const args *a, const lull_store_state *st, const int32_t *tokens,
                             size_t n, lull_buffer *out, lull_error *err)
{
    json_t *session = lull_cmd_parse_json(st->session);
    const char *carried = json_string_value(json_object_get(session, "text"));
    lull_model *model = NULL;
    lull_status status = LULL_OK;
    if (carried && n == st->n_tokens) {
        lull_buffer_append_str(out, carried);
    } else {
        status = lull_cmd_open_vocab(st, a->name, a->model, &model, err);
        for (size_t i = 0; status == LULL_OK && i < n; i++) {
            size_t n_bytes;
            const char *text = lull_token_text(model, tokens[i], true, &n_bytes);
            lull_buffer_append(out, text, n_bytes);
        }
    }
    json_decref(session);
    lull_model_close(model);
    return status;
}

static int print_json(const args *a, const lull_store_state *st, const int32_t *tokens, size_t n,
                      const lull_buffer *text)
{
    json_t *object = lull_cmd_state_json(st, st->n_names > 0 ? st->names[0] : NULL);
    json_object_set_new(object, "n_pages", json_integer((json_int_t)st->n_pages));
    json_object_set_new(object, "session", lull_cmd_parse_json(st->session));
    if (a->with_tokens) json_object_set_new(object, "tokens", lull_cmd_json_tokens(tokens, n));
    if (a->with_text)
        json_object_set_new(object, "text",
                            lull_cmd_json_text(text->data ? text->data : "", text->n_bytes));
    return lull_cmd_print_json(object);
}

static lull_status show(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    lull_store_state state = {0};
    lull_buffer text = {0};
    int32_t *tokens = NULL;
    size_t n = 0, token;
    int64_t id;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_find_state(a->dir, a->name, &store, &id, &token, err));
    LULL_TRY(lull_store_get(store, id, true, &state, err));
    if (a->with_tokens || a->with_text)
        LULL_TRY(lull_store_get_tokens(store, id, &tokens, &n, err));
    if (token < n) n = token;
    if (a->with_text) LULL_TRY(find_text(a, &state, tokens, n, &text, err));
    if (a->as_json) {
        *rc = print_json(a, &state, tokens, n, &text);
        goto done;
    }
    if (a->with_tokens)
        for (size_t i = 0; i < n; i++) printf("%d%c", tokens[i], i + 1 < n ? ' ' : '\n');
    if (a->with_text) {
        lull_buffer repaired = {0};
        lull_display_repair(&repaired, text.data ? text.data : "", text.n_bytes);
        if (repaired.n_bytes > 0) lull_display_write(stdout, repaired.data, repaired.n_bytes);
        putchar('\n');
        lull_buffer_fini(&repaired);
    }
    if (!a->with_tokens && !a->with_text) print_facts(&state);
done:
    lull_buffer_fini(&text);
    lull_free(tokens);
    lull_store_state_fini(&state);
    lull_store_close(store);
    return st;
}

int lull_cmd_show(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {0, "tokens", NULL, LULL_OPT_FLAG, &a.with_tokens, 0, 0, NULL, "print its token ids"},
        {0, "text", NULL, LULL_OPT_FLAG, &a.with_text, 0, 0, NULL, "print its text"},
        {0, "model", NULL, LULL_OPT_STRING, &a.model, 0, 0, "FILE",
         "the model for --text, if it is not where the state was made"},
        LULL_STORE_ROW(&a.dir),
        LULL_JSON_ROW(&a.as_json),
    };
    const lull_cli cli = {.verb = "show",
                          .operands = "NAME",
                          .about = "Show a state: its size, its origin, its sampler, and the card "
                                   "that says which model made it. NAME may be a .lull file.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.name);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (show(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("show", &err);
    return rc;
}
