/* What a generated text must be: a grammar's text compiled, and kept with its model for the next time. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "gbnf.h"
#include "schema.h"

enum {
    KEPT = 8,      /* compiled grammars that a model keeps */
    MAX_PARTS = 64 /* depth of LULL_GRAMMAR_PARTS */
};

/* A control token has no text; for grammars it has its name between two bytes that no UTF-8 has, so that
 * {"special"} alone means it. */
#define CONTROL_OPEN "\xFF"
#define CONTROL_CLOSE "\xFE"

struct lull_constraint {
    lull_grammar_kind kind;
    char *text;
    lull_grammar *grammar;
    lull_masker *masker;
    lull_constraint *next; /* among those kept */
};

const char *lull_grammar_kind_name(lull_grammar_kind kind)
{
    switch (kind) {
    case LULL_GRAMMAR_NONE: return "none";
    case LULL_GRAMMAR_JSON_SCHEMA: return "json_schema";
    case LULL_GRAMMAR_GBNF: return "gbnf";
    case LULL_GRAMMAR_REGEX: return "regex";
    case LULL_GRAMMAR_PARTS: return "parts";
    }
    return "?";
}

/* ---- compiling --------------------------------------------------------------------------------- */

static lull_status compile_regex(lull_grammar *g, const char *pattern, size_t n_bytes,
                                 lull_expr *out, lull_error *err)
{
    lull_regular *r;
    lull_status st = lull_regular_parse(pattern, n_bytes, true, &r, err);
    if (st != LULL_OK) {
        lull_error_prefix(err, "the regular expression");
        return st;
    }
    *out = lull_expr_language(g, r, false);
    lull_regular_free(r);
    return LULL_OK;
}

static lull_status compile_part(lull_grammar *g, const json_t *part, int depth, lull_expr *out,
                                lull_error *err);

static lull_status compile_list(lull_grammar *g, const json_t *list, bool is_choice, int depth,
                                lull_expr *out, lull_error *err)
{
    size_t n = json_array_size(list);
    lull_status st = LULL_OK;
    lull_expr *e = malloc((n + 1) * sizeof *e);
    if (!e) return lull_fail(err, LULL_ENOMEM, "no memory for a grammar");
    for (size_t i = 0; i < n; i++)
        LULL_TRY(compile_part(g, json_array_get(list, i), depth, &e[i], err));
    *out = is_choice ? lull_expr_choice(g, e, n) : lull_expr_sequence(g, e, n);
done:
    free(e);
    return st;
}

static lull_status compile_repeat(lull_grammar *g, const json_t *part, int depth, lull_expr *out,
                                  lull_error *err)
{
    const json_t *min = json_object_get(part, "min"), *max = json_object_get(part, "max");
    json_int_t low = min ? json_integer_value(min) : 0,
               high = max ? json_integer_value(max) : LULL_UNBOUNDED;
    if ((min && !json_is_integer(min)) || (max && !json_is_integer(max)) || low < 0 || high < low ||
        high > LULL_UNBOUNDED)
        return lull_fail(err, LULL_EINVAL, "\"repeat\" takes min and max, whole numbers in order");
    lull_expr body;
    lull_status st = compile_part(g, json_object_get(part, "repeat"), depth, &body, err);
    if (st == LULL_OK) *out = lull_expr_repeat(g, body, (uint32_t)low, (uint32_t)high);
    return st;
}

static lull_status compile_part(lull_grammar *g, const json_t *part, int depth, lull_expr *out,
                                lull_error *err)
{
    if (depth > MAX_PARTS) return lull_fail(err, LULL_EFULL, "the parts are nested too deeply");
    if (json_is_string(part)) {
        *out = lull_expr_literal(g, json_string_value(part), json_string_length(part));
        return LULL_OK;
    }
    const json_t *list = json_object_get(part, "sequence");
    if (json_is_array(list)) return compile_list(g, list, false, depth + 1, out, err);
    list = json_object_get(part, "choice");
    if (json_is_array(list)) return compile_list(g, list, true, depth + 1, out, err);
    if (json_object_get(part, "repeat")) return compile_repeat(g, part, depth + 1, out, err);
    const json_t *regex = json_object_get(part, "regex");
    if (json_is_string(regex))
        return compile_regex(g, json_string_value(regex), json_string_length(regex), out, err);
    const json_t *schema = json_object_get(part, "schema");
    if (schema) {
        char *text = lull_json_text(schema, JSON_ENCODE_ANY);
        if (!text) return lull_fail(err, LULL_ENOMEM, "no memory for a grammar");
        lull_status st = lull_schema_compile(text, strlen(text), g, out, err);
        free(text);
        return st;
    }
    const json_t *special = json_object_get(part, "special");
    if (json_is_string(special)) {
        *out = lull_expr_sequence(g,
                                  (lull_expr[]){lull_expr_literal(g, CONTROL_OPEN, 1),
                                                lull_expr_literal(g, json_string_value(special),
                                                                  json_string_length(special)),
                                                lull_expr_literal(g, CONTROL_CLOSE, 1)},
                                  3);
        return LULL_OK;
    }
    return lull_fail(err, LULL_EINVAL,
                     "a part is a string, or an object with \"sequence\", \"choice\", \"repeat\", "
                     "\"regex\", \"schema\" or \"special\"");
}

static lull_status compile_parts(lull_grammar *g, const char *text, lull_expr *out, lull_error *err)
{
    json_error_t why;
    json_t *parts = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!parts)
        return lull_fail(err, LULL_EINVAL, "the parts are not JSON: line %d, column %d: %s",
                         why.line, why.column, why.text);
    lull_status st = compile_part(g, parts, 0, out, err);
    json_decref(parts);
    return st;
}

static lull_status compile(lull_grammar_kind kind, const char *text, lull_grammar **out,
                           lull_error *err)
{
    lull_status st = LULL_OK;
    lull_expr start = 0;
    lull_grammar *g = lull_grammar_new();
    *out = NULL;
    if (!g) return lull_fail(err, LULL_ENOMEM, "no memory for a grammar");
    size_t n = strlen(text);
    switch (kind) {
    case LULL_GRAMMAR_JSON_SCHEMA: LULL_TRY(lull_schema_compile(text, n, g, &start, err)); break;
    case LULL_GRAMMAR_GBNF: LULL_TRY(lull_gbnf_parse(text, n, g, &start, err)); break;
    case LULL_GRAMMAR_REGEX: LULL_TRY(compile_regex(g, text, n, &start, err)); break;
    case LULL_GRAMMAR_PARTS: LULL_TRY(compile_parts(g, text, &start, err)); break;
    default: LULL_TRY(lull_fail(err, LULL_EINVAL, "grammar kind %d is not known", (int)kind));
    }
    LULL_TRY(lull_grammar_finish(g, start, err));
    *out = g;
    return LULL_OK;
done:
    lull_grammar_free(g);
    return st;
}

lull_status lull_grammar_check(lull_grammar_kind kind, const char *text, lull_error *err)
{
    lull_grammar *g;
    lull_automaton *a = NULL;
    lull_status st = compile(kind, text, &g, err);
    if (st == LULL_OK) st = lull_automaton_new(g, &a, err);
    lull_automaton_free(a);
    lull_grammar_free(g);
    return st;
}

/* ---- those of a model -------------------------------------------------------------------------- */

static bool is_end(const void *user, int32_t token)
{
    return lull_tokenizer_is_eog(((const lull_model *)user)->tokenizer, token);
}

/* The name of a control token that ends no text; NULL: it is none. */
static const char *control_name(const lull_model *m, int32_t token, size_t *n_bytes)
{
    (void)lull_tokenizer_text(m->tokenizer, token, false, n_bytes);
    if (*n_bytes > 0 || is_end(m, token)) return NULL;
    const char *name = lull_tokenizer_text(m->tokenizer, token, true, n_bytes);
    return *n_bytes > 0 ? name : NULL;
}

static void free_controls(lull_control *controls, size_t n)
{
    for (size_t i = 0; i < n; i++) free(controls[i].text);
    free(controls);
}

/* All of them or, on failure, none, so that a later call begins anew. */
static lull_status name_controls(lull_model *m, lull_error *err)
{
    int32_t n_vocab = lull_tokenizer_n_vocab(m->tokenizer);
    size_t n = 0, n_bytes;
    for (int32_t i = 0; i < n_vocab; i++) n += control_name(m, i, &n_bytes) != NULL;
    lull_control *controls = calloc(n + 1, sizeof *controls);
    bool is_whole = controls != NULL;
    n = 0;
    for (int32_t i = 0; i < n_vocab && is_whole; i++) {
        const char *name = control_name(m, i, &n_bytes);
        if (!name) continue;
        char *text = malloc(n_bytes + 3);
        is_whole = text != NULL;
        if (!is_whole) break;
        snprintf(text, n_bytes + 3, CONTROL_OPEN "%.*s" CONTROL_CLOSE, (int)n_bytes, name);
        controls[n++] = (lull_control){i, text};
    }
    if (!is_whole) {
        free_controls(controls, n);
        return lull_fail(err, LULL_ENOMEM, "no memory for a trie of the vocabulary");
    }
    m->controls = controls;
    m->n_controls = n;
    return LULL_OK;
}

static const char *text_of(const void *user, int32_t token, size_t *n_bytes)
{
    const lull_model *m = user;
    const char *text = lull_tokenizer_text(m->tokenizer, token, false, n_bytes);
    if (*n_bytes > 0) return text;
    size_t low = 0, high = m->n_controls;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (m->controls[mid].token < token)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == m->n_controls || m->controls[low].token != token) return text;
    *n_bytes = strlen(m->controls[low].text);
    return m->controls[low].text;
}

static void free_constraint(lull_constraint *c)
{
    if (!c) return;
    lull_masker_free(c->masker);
    lull_grammar_free(c->grammar);
    free(c->text);
    free(c);
}

static lull_status make(lull_model *m, lull_grammar_kind kind, const char *text,
                        lull_constraint **out, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_constraint *c = calloc(1, sizeof *c);
    if (c) c->text = strdup(text);
    if (!c || !c->text) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a grammar"));
    c->kind = kind;
    LULL_TRY(compile(kind, text, &c->grammar, err));
    LULL_TRY(lull_masker_new(c->grammar, m->trie, &c->masker, err));
    *out = c;
    return LULL_OK;
done:
    free_constraint(c);
    return st;
}

lull_status lull_constraint_take(lull_model *m, lull_grammar_kind kind, const char *text,
                                 lull_constraint **out, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_constraint *found = NULL;
    *out = NULL;
    pthread_mutex_lock(&m->constraint_mutex);
    for (lull_constraint **at = &m->constraints; *at; at = &(*at)->next) {
        if ((*at)->kind != kind || strcmp((*at)->text, text) != 0) continue;
        found = *at;
        *at = found->next;
        break;
    }
    if (!m->trie && !m->controls) st = name_controls(m, err);
    if (!m->trie && st == LULL_OK)
        st = lull_trie_new(lull_tokenizer_n_vocab(m->tokenizer), text_of, is_end, m, &m->trie, err);
    pthread_mutex_unlock(&m->constraint_mutex);
    if (st == LULL_OK && !found) st = make(m, kind, text, &found, err);
    if (st != LULL_OK) return st;
    lull_masker_restart(found->masker);
    *out = found;
    return LULL_OK;
}

void lull_constraint_give(lull_model *m, lull_constraint *c)
{
    if (!c) return;
    pthread_mutex_lock(&m->constraint_mutex);
    c->next = m->constraints;
    m->constraints = c;
    lull_constraint **at = &m->constraints;
    for (int i = 0; i < KEPT && *at; i++) at = &(*at)->next;
    lull_constraint *oldest = *at; /* at most one */
    *at = NULL;
    pthread_mutex_unlock(&m->constraint_mutex);
    free_constraint(oldest);
}

void lull_constraints_free(lull_model *m)
{
    while (m->constraints) {
        lull_constraint *next = m->constraints->next;
        free_constraint(m->constraints);
        m->constraints = next;
    }
    lull_trie_free(m->trie);
    free_controls(m->controls, m->n_controls);
}

lull_status lull_constraint_push(lull_constraint *c, const lull_model *m, int32_t token,
                                 lull_error *err)
{
    size_t n;
    const char *text = text_of(m, token, &n);
    return lull_masker_push(c->masker, text, n, err);
}

lull_masker *lull_constraint_masker(lull_constraint *c)
{
    return c->masker;
}

lull_status lull_constraint_forced(lull_constraint *c, const lull_tokenizer *t,
                                   lull_token_list *scratch, int32_t *token, lull_error *err)
{
    char text[256];
    size_t n, n_token;
    bool has_longer = false;
    lull_status st = LULL_OK;
    *token = -1;
    LULL_TRY(lull_masker_forced(c->masker, text, sizeof text, &n, err));
    if (n == 0) return LULL_OK;
    scratch->n = 0;
    LULL_TRY(lull_tokenizer_encode(t, text, n, 0, scratch, err));
    if (scratch->n == 0) return LULL_OK;
    const char *bytes = lull_tokenizer_text(t, scratch->ids[0], false, &n_token);
    if (n_token == 0 || n_token > n || memcmp(bytes, text, n_token) != 0) return LULL_OK;
    /* What the model may go on with could be one token with the end of this text. */
    if (n_token == n) LULL_TRY(lull_masker_has_longer(c->masker, text, n, &has_longer, err));
    if (!has_longer) *token = scratch->ids[0];
done:
    return st;
}
