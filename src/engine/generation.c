/* What is kept of a generation so that it can be gone on with, here or after a wake. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "engine.h"

void lull_generation_fini(lull_generation *g)
{
    /* The casts: what is kept here is owned. */
    for (size_t i = 0; i < g->options.n_stop; i++) free((char *)g->options.stop[i]);
    free((void *)g->options.stop);
    free((void *)g->options.stop_tokens);
    free((void *)g->options.sampling.bias);
    free((char *)g->options.grammar);
    *g = (lull_generation){0};
}

/* A copy of n bytes, which may be none. */
static bool copy_bytes(const void *from, size_t n_bytes, const void **to)
{
    void *copy = malloc(n_bytes + 1);
    if (copy && n_bytes > 0) memcpy(copy, from, n_bytes);
    *to = copy;
    return copy != NULL;
}

lull_status lull_generation_copy(lull_generation *to, const lull_generation *from, lull_error *err)
{
    const lull_generate_options *o = &from->options;
    lull_generation g = *from;
    g.options.on_text = NULL;
    g.options.user = NULL;
    g.options.stop = NULL;
    g.options.n_stop = 0;
    g.options.grammar = NULL;
    const void *tokens = NULL, *bias = NULL;
    char **stop = calloc(o->n_stop + 1, sizeof *stop);
    bool is_ok = stop &&
                 copy_bytes(o->stop_tokens, o->n_stop_tokens * sizeof *o->stop_tokens, &tokens) &&
                 copy_bytes(o->sampling.bias, o->sampling.n_bias * sizeof *o->sampling.bias, &bias);
    g.options.stop = (const char *const *)stop;
    g.options.stop_tokens = tokens;
    g.options.sampling.bias = bias;
    if (is_ok && o->grammar) is_ok = (g.options.grammar = strdup(o->grammar)) != NULL;
    for (size_t i = 0; is_ok && i < o->n_stop; i++) {
        stop[i] = strdup(o->stop[i]);
        is_ok = stop[i] != NULL;
        if (is_ok) g.options.n_stop = i + 1;
    }
    if (!is_ok) lull_generation_fini(&g);
    if (to != from) lull_generation_fini(to);
    *to = g;
    return is_ok ? LULL_OK
                 : lull_fail(err, LULL_ENOMEM, "out of memory for a generation's options");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static int append_text(const char *bytes, size_t n, void *user)
{
    lull_buffer_append(user, bytes, n);
    return 0;
}

char *lull_json_text(const json_t *value, size_t flags)
{
    lull_buffer text = {0};
    if (json_dump_callback(value, append_text, &text, flags) != 0) text.is_failed = true;
    return lull_buffer_take(&text, NULL);
}

/* An array that was to get n values; without memory for one of them, none (it is released). */
static json_t *whole_array(json_t *array, size_t n)
{
    if (json_array_size(array) == n) return array;
    json_decref(array);
    return NULL;
}

/* A string that need not be UTF-8: as it is, or as an array of its bytes. */
static json_t *save_string(const char *s)
{
    json_t *text = json_string(s);
    if (text) return text;
    json_t *bytes = json_array();
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) json_array_append_new(bytes, json_integer((unsigned char)s[i]));
    return whole_array(bytes, n);
}

static json_t *save_sampling(const lull_sampling *s)
{
    json_t *bias = json_array();
    for (size_t i = 0; i < s->n_bias; i++) {
        bool is_ban = isinf(s->bias[i].bias);
        json_array_append_new(bias,
                              json_pack("[i, o]", (int)s->bias[i].token,
                                        is_ban ? json_null() : json_real((double)s->bias[i].bias)));
    }
    return json_pack("{s:f, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:I, s:o}", "temperature",
                     (double)s->temperature, "top_k", s->top_k, "top_p", (double)s->top_p, "min_p",
                     (double)s->min_p, "typical_p", (double)s->typical_p, "repeat_penalty",
                     (double)s->repeat_penalty, "frequency_penalty", (double)s->frequency_penalty,
                     "presence_penalty", (double)s->presence_penalty, "penalty_window",
                     s->penalty_window, "seed", (json_int_t)s->seed, "bias",
                     whole_array(bias, s->n_bias));
}

json_t *lull_generation_save(const lull_generation *g)
{
    const lull_generate_options *o = &g->options;
    json_t *stop = json_array(), *tokens = json_array();
    for (size_t i = 0; i < o->n_stop; i++) json_array_append_new(stop, save_string(o->stop[i]));
    for (size_t i = 0; i < o->n_stop_tokens; i++)
        json_array_append_new(tokens, json_integer(o->stop_tokens[i]));
    const lull_loop_guard *guard = &o->loop_guard;
    json_t *grammar = json_null();
    if (o->grammar_kind != LULL_GRAMMAR_NONE)
        grammar =
            json_pack("[s, o]", lull_grammar_kind_name(o->grammar_kind), save_string(o->grammar));
    return json_pack("{s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:[i, i, i]}",
                     "start", (json_int_t)g->start, "end", (json_int_t)g->end, "handed_bytes",
                     (json_int_t)g->n_handed, "finish", lull_finish_name(g->finish), "sampling",
                     save_sampling(&o->sampling), "stop", whole_array(stop, o->n_stop),
                     "stop_tokens", whole_array(tokens, o->n_stop_tokens), "ignore_eog",
                     (int)o->ignore_eog, "holds_text", (int)o->holds_text, "shows_control",
                     (int)o->shows_control, "grammar", grammar, "loop_guard", guard->n_tokens,
                     guard->n_lines, guard->n_sentences);
}

/* A reader of members: once one is bad, it stays bad and names the first. */
typedef struct reader {
    const json_t *object;
    const char *bad; /* the member; NULL: none so far */
} reader;

static const json_t *member(reader *r, const char *key, bool is_good_type(const json_t *))
{
    const json_t *v = json_object_get(r->object, key);
    if (v && is_good_type(v)) return v;
    if (!r->bad) r->bad = key;
    return NULL;
}

static bool is_number(const json_t *v)
{
    return json_is_number(v);
}
static bool is_integer(const json_t *v)
{
    return json_is_integer(v);
}
static bool is_boolean(const json_t *v)
{
    return json_is_boolean(v);
}
static bool is_array(const json_t *v)
{
    return json_is_array(v);
}

static float get_float(reader *r, const char *key)
{
    double v = json_number_value(member(r, key, is_number));
    if (!r->bad && !(fabs(v) < 1e30)) r->bad = key;
    return r->bad ? 0 : (float)v;
}

static json_int_t get_integer(reader *r, const char *key, json_int_t min, json_int_t max)
{
    json_int_t v = json_integer_value(member(r, key, is_integer));
    if (!r->bad && (v < min || v > max)) r->bad = key;
    return r->bad ? min : v;
}

static bool get_bool(reader *r, const char *key)
{
    return json_is_true(member(r, key, is_boolean));
}

static char *load_string(const json_t *v)
{
    if (json_is_string(v))
        return json_string_length(v) == strlen(json_string_value(v)) ? strdup(json_string_value(v))
                                                                     : NULL;
    size_t n = json_array_size(v);
    char *s = n > 0 ? calloc(n + 1, 1) : NULL;
    for (size_t i = 0; s && i < n; i++) s[i] = (char)json_integer_value(json_array_get(v, i));
    return s;
}

/* Arrays: owned, in *o, also when a member is bad. */
static void load_stops(reader *r, lull_generate_options *o)
{
    const json_t *stop = member(r, "stop", is_array), *ids = member(r, "stop_tokens", is_array);
    if (r->bad) return;
    char **strings = calloc(json_array_size(stop) + 1, sizeof *strings);
    int32_t *tokens = calloc(json_array_size(ids) + 1, sizeof *tokens);
    o->stop = (const char *const *)strings;
    o->stop_tokens = tokens;
    for (size_t i = 0; strings && i < json_array_size(stop); i++) {
        strings[i] = load_string(json_array_get(stop, i));
        if (!strings[i] || !*strings[i]) {
            free(strings[i]);
            r->bad = "stop";
            return;
        }
        o->n_stop = i + 1;
    }
    for (size_t i = 0; tokens && i < json_array_size(ids); i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    o->n_stop_tokens = json_array_size(ids);
    if (!strings || !tokens) r->bad = "stop";
}

/* Members that states of the first versions do not have: none then. */
static void load_grammar(reader *r, lull_generate_options *o)
{
    const json_t *pair = json_object_get(r->object, "grammar");
    if (!pair || json_is_null(pair)) return;
    const char *name = json_string_value(json_array_get(pair, 0));
    for (int k = LULL_GRAMMAR_NONE + 1; name && k <= LULL_GRAMMAR_PARTS; k++)
        if (strcmp(name, lull_grammar_kind_name((lull_grammar_kind)k)) == 0)
            o->grammar_kind = (lull_grammar_kind)k;
    if (o->grammar_kind != LULL_GRAMMAR_NONE) o->grammar = load_string(json_array_get(pair, 1));
    if (!o->grammar && !r->bad) r->bad = "grammar";
}

static void load_loop_guard(reader *r, lull_loop_guard *guard)
{
    const json_t *list = json_object_get(r->object, "loop_guard");
    int *to[] = {&guard->n_tokens, &guard->n_lines, &guard->n_sentences};
    for (size_t i = 0; list && i < 3; i++) {
        json_int_t n = json_integer_value(json_array_get(list, i));
        if ((n < 0 || n > INT32_MAX || !json_is_integer(json_array_get(list, i))) && !r->bad)
            r->bad = "loop_guard";
        *to[i] = r->bad ? 0 : (int)n;
    }
}

static void load_bias(reader *r, lull_sampling *s)
{
    const json_t *list = member(r, "bias", is_array);
    if (r->bad) return;
    lull_logit_bias *bias = calloc(json_array_size(list) + 1, sizeof *bias);
    s->bias = bias;
    for (size_t i = 0; bias && i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i), *value = json_array_get(pair, 1);
        bias[i].token = (int32_t)json_integer_value(json_array_get(pair, 0));
        bias[i].bias = json_is_null(value) ? -INFINITY : (float)json_number_value(value);
    }
    s->n_bias = bias ? json_array_size(list) : 0;
    if (!bias) r->bad = "bias";
}

static void load_sampling(reader *r, lull_sampling *s)
{
    s->temperature = get_float(r, "temperature");
    s->top_k = (int)get_integer(r, "top_k", 0, INT32_MAX);
    s->top_p = get_float(r, "top_p");
    s->min_p = get_float(r, "min_p");
    s->typical_p = get_float(r, "typical_p");
    s->repeat_penalty = get_float(r, "repeat_penalty");
    s->frequency_penalty = get_float(r, "frequency_penalty");
    s->presence_penalty = get_float(r, "presence_penalty");
    s->penalty_window = (int)get_integer(r, "penalty_window", -1, INT32_MAX);
    s->seed = (uint64_t)get_integer(r, "seed", INT64_MIN, INT64_MAX);
    load_bias(r, s);
}

static lull_finish load_finish(reader *r)
{
    const char *name = json_string_value(json_object_get(r->object, "finish"));
    for (int f = LULL_FINISH_LENGTH; name && f <= LULL_FINISH_LOOP_SENTENCE; f++)
        if (strcmp(name, lull_finish_name((lull_finish)f)) == 0) return (lull_finish)f;
    if (!r->bad) r->bad = "finish";
    return LULL_FINISH_CANCELLED;
}

lull_status lull_generation_load(lull_generation *g, const json_t *json, size_t n_tokens,
                                 int n_vocab, lull_error *err)
{
    reader r = {.object = json}, sampling = {.object = json_object_get(json, "sampling")};
    lull_generation_fini(g);
    g->end = (size_t)get_integer(&r, "end", 0, (json_int_t)n_tokens);
    g->start = (size_t)get_integer(&r, "start", 0, (json_int_t)g->end);
    g->n_handed = (uint64_t)get_integer(&r, "handed_bytes", 0, INT64_MAX);
    g->finish = load_finish(&r);
    g->options.ignore_eog = get_bool(&r, "ignore_eog");
    g->options.holds_text = get_bool(&r, "holds_text");
    load_stops(&r, &g->options);
    load_grammar(&r, &g->options);
    load_loop_guard(&r, &g->options.loop_guard);
    g->options.shows_control = json_is_true(json_object_get(json, "shows_control"));
    load_sampling(&sampling, &g->options.sampling);
    const char *bad = r.bad ? r.bad : sampling.bad;
    lull_error why;
    lull_sampler sampler = {0};
    if (!bad && lull_sampler_init(&sampler, &g->options.sampling, n_vocab, &why) == LULL_EINVAL)
        bad = "sampling";
    lull_sampler_fini(&sampler);
    g->is_there = !bad;
    if (!bad) return LULL_OK;
    lull_generation_fini(g);
    return lull_fail(err, LULL_ECORRUPT, "the state's generation: %s is missing or out of range",
                     bad);
}
