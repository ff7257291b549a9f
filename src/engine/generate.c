/* Generation: choose a token, hand out its text, evaluate it, until something ends it. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine.h"

lull_generate_options lull_generate_options_default(void)
{
    return (lull_generate_options){.sampling = lull_sampling_default(), .max_tokens = SIZE_MAX};
}

const char *lull_finish_name(lull_finish f)
{
    switch (f) {
    case LULL_FINISH_LENGTH: return "length";
    case LULL_FINISH_STOP: return "stop";
    case LULL_FINISH_CONTEXT: return "context";
    case LULL_FINISH_CANCELLED: return "cancelled";
    }
    return "?";
}

/* Text on its way to the caller. `held` is what may still turn out to be the start of a stop
 * string. */
typedef struct outlet {
    const lull_generate_options *o;
    lull_detok detok;
    char *held; /* owned [cap]: the longest stop string and two tokens' text */
    size_t n_held, cap;
    uint64_t n_handed; /* bytes so far, of all calls that this one goes on with */
    uint64_t n_known;  /* of them, those that an earlier call handed out: not again */
} outlet;

static lull_status outlet_init(outlet *t, const lull_session *s, const lull_generate_options *o,
                               lull_error *err)
{
    const lull_tokenizer *tokenizer = s->model->tokenizer;
    *t = (outlet){.o = o, .cap = 2 * lull_tokenizer_max_text(tokenizer) + 16};
    for (size_t i = 0; i < o->n_stop; i++) {
        size_t n = strlen(o->stop[i]);
        if (n == 0) return lull_fail(err, LULL_EINVAL, "stop string %zu is empty", i);
        t->cap += n;
    }
    t->held = malloc(t->cap);
    if (!t->held) return lull_fail(err, LULL_ENOMEM, "out of memory");
    lull_detok_init(&t->detok, tokenizer, false, false);
    return LULL_OK;
}

/* Where the first stop string begins in the held text; its length when there is none. */
static size_t find_stop(const outlet *t)
{
    size_t first = t->n_held;
    for (size_t i = 0; i < t->o->n_stop; i++) {
        size_t n = strlen(t->o->stop[i]);
        const char *p = memmem(t->held, t->n_held, t->o->stop[i], n);
        if (p && (size_t)(p - t->held) < first) first = (size_t)(p - t->held);
    }
    return first;
}

/* How many of the held bytes cannot be part of a stop string that begins in them: all but the
 * longest end that is the start of one. */
static size_t count_free(const outlet *t)
{
    size_t longest = 0;
    for (size_t i = 0; i < t->o->n_stop; i++) {
        size_t n = strlen(t->o->stop[i]) - 1;
        if (n > t->n_held) n = t->n_held;
        for (; n > longest; n--)
            if (memcmp(t->held + t->n_held - n, t->o->stop[i], n) == 0) longest = n;
    }
    return t->n_held - longest;
}

static bool hand_out(outlet *t, size_t n, int32_t token)
{
    uint64_t n_old = t->n_known > t->n_handed ? t->n_known - t->n_handed : 0;
    size_t skip = n_old < n ? (size_t)n_old : n;
    bool goes_on = true;
    if (t->o->on_text) goes_on = t->o->on_text(t->o->user, t->held + skip, n - skip, token);
    t->n_handed += n;
    t->n_held -= n;
    memmove(t->held, t->held + n, t->n_held);
    return goes_on;
}

/* Take a token's text in. Returns false when generation ends here, with *finish set. */
static bool outlet_push(outlet *t, int32_t token, lull_finish *finish)
{
    t->n_held += lull_detok_push(&t->detok, token, t->held + t->n_held, t->cap - t->n_held);
    size_t stop = find_stop(t);
    bool is_stopped = stop < t->n_held;
    bool goes_on = hand_out(t, is_stopped ? stop : count_free(t), token);
    if (goes_on && !is_stopped) return true;
    t->n_held = 0; /* nothing is left to flush */
    t->detok.n_held = 0;
    *finish = goes_on ? LULL_FINISH_STOP : LULL_FINISH_CANCELLED;
    return false;
}

/* Generation ended otherwise: what was held back is text after all. */
static void outlet_flush(outlet *t)
{
    t->n_held += lull_detok_finish(&t->detok, t->held + t->n_held);
    if (t->n_held > 0) hand_out(t, t->n_held, -1);
}

static bool is_end(const lull_session *s, const lull_generate_options *o, int32_t token)
{
    for (size_t i = 0; i < o->n_stop_tokens; i++)
        if (o->stop_tokens[i] == token) return true;
    return !o->ignore_eog && lull_tokenizer_is_eog(s->model->tokenizer, token);
}

/* Bring the outlet to where the earlier calls left it: their text goes through it unheard. */
static void replay(outlet *t, const lull_generate_options *o, const lull_session *s,
                   const lull_generation *g)
{
    lull_generate_options unheard = *o;
    lull_finish finish;
    unheard.on_text = NULL;
    t->o = &unheard;
    for (size_t i = g->start; i < g->end; i++)
        if (!outlet_push(t, s->tokens[i], &finish)) break;
    t->o = o;
    t->n_known = g->n_handed > t->n_handed ? g->n_handed : t->n_handed;
}

/* Generate until something ends it; text: where the words go. */
static lull_status generate(lull_session *s, const lull_generate_options *o, outlet *text,
                            lull_generate_result *r, lull_error *err)
{
    lull_sampler sampler = {0};
    double start = lull_clock_ms();
    lull_status st = LULL_OK;
    LULL_TRY(lull_sampler_init(&sampler, &o->sampling, s->model->core->config.n_vocab, err));
    while (r->n_tokens < o->max_tokens) {
        if (lull_session_room(s) == 0) {
            r->finish = LULL_FINISH_CONTEXT;
            break;
        }
        st = lull_session_refresh(s, err);
        if (st == LULL_ECANCELLED || (st == LULL_OK && atomic_exchange(&s->is_cancelled, false))) {
            st = LULL_OK;
            r->finish = LULL_FINISH_CANCELLED;
            break;
        }
        if (st != LULL_OK) goto done;
        int32_t token = lull_sampler_choose(&sampler, s->logits, s->tokens, s->n_tokens);
        s->tokens[s->n_tokens++] = token;
        s->has_logits = false;
        if (r->n_tokens++ == 0) r->first_ms = lull_clock_ms() - start;
        if (is_end(s, o, token)) {
            r->finish = LULL_FINISH_STOP;
            break;
        }
        if (!outlet_push(text, token, &r->finish)) break;
    }
    bool is_over = r->finish == LULL_FINISH_STOP;
    if (is_over || !o->holds_text) outlet_flush(text);
    r->total_ms = lull_clock_ms() - start;
done:
    lull_sampler_fini(&sampler);
    return st;
}

/* Generate, after an earlier call or none, and note what going on with it needs. */
static lull_status generate_after(lull_session *s, const lull_generation *before,
                                  const lull_generate_options *o, lull_generate_result *result,
                                  lull_error *err)
{
    lull_generate_result r = {.finish = LULL_FINISH_LENGTH};
    lull_generation now = {.is_there = true, .options = *o};
    outlet text = {0};
    now.start = before ? before->start : s->n_tokens;
    lull_status st = outlet_init(&text, s, o, err);
    if (st == LULL_OK && before) replay(&text, o, s, before);
    if (st == LULL_OK) st = generate(s, o, &text, &r, err);
    /* On failure, too: the tokens so far are the session's. */
    now.end = s->n_tokens;
    now.finish = st == LULL_OK ? r.finish : LULL_FINISH_CANCELLED;
    now.n_handed = text.n_handed > text.n_known ? text.n_handed : text.n_known;
    free(text.held);
    if (result && st == LULL_OK) *result = r;
    lull_status kept = now.end > 0 ? lull_generation_copy(&s->generation, &now, err) : LULL_OK;
    return st == LULL_OK ? kept : st;
}

lull_status lull_generate(lull_session *s, const lull_generate_options *o,
                          lull_generate_result *result, lull_error *err)
{
    if (s->n_tokens == 0)
        return lull_fail(err, LULL_EINVAL, "the session is empty: evaluate a prompt first");
    return generate_after(s, NULL, o, result, err);
}

lull_status lull_generate_more(lull_session *s, size_t max_tokens, lull_text_fn on_text, void *user,
                               lull_generate_result *result, lull_error *err)
{
    lull_generation before = s->generation;
    if (!before.is_there || before.end != s->n_tokens)
        return lull_fail(err, LULL_EINVAL, "the session does not end with a generation");
    if (before.finish == LULL_FINISH_STOP) { /* it has said all that it had to say */
        if (result) *result = (lull_generate_result){.finish = LULL_FINISH_STOP};
        return LULL_OK;
    }
    lull_generate_options o = before.options;
    o.max_tokens = max_tokens;
    o.on_text = on_text;
    o.user = user;
    s->generation = (lull_generation){0}; /* its options stay here until they were copied */
    lull_status st = generate_after(s, &before, &o, result, err);
    lull_generation_fini(&before);
    return st;
}

bool lull_session_sampling(const lull_session *s, lull_sampling *sampling)
{
    if (s->generation.is_there) *sampling = s->generation.options.sampling;
    return s->generation.is_there;
}
