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
    case LULL_FINISH_STOP_STRING: return "stop_string";
    case LULL_FINISH_STOP_TOKEN: return "stop_token";
    case LULL_FINISH_COMPLETE: return "complete";
    case LULL_FINISH_LOOP_TOKEN: return "loop_token";
    case LULL_FINISH_LOOP_LINE: return "loop_line";
    case LULL_FINISH_LOOP_SENTENCE: return "loop_sentence";
    }
    return "?";
}

/* All was said: going on would add nothing. */
static bool is_final(lull_finish f)
{
    return f != LULL_FINISH_LENGTH && f != LULL_FINISH_CONTEXT && f != LULL_FINISH_CANCELLED;
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
    lull_detok_init(&t->detok, tokenizer, o->shows_control, false);
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
    *finish = goes_on ? LULL_FINISH_STOP_STRING : LULL_FINISH_CANCELLED;
    return false;
}

/* Generation ended otherwise: what was held back is text after all. */
static void outlet_flush(outlet *t)
{
    t->n_held += lull_detok_finish(&t->detok, t->held + t->n_held);
    if (t->n_held > 0) hand_out(t, t->n_held, -1);
}

/* One generation: where its words go, how tokens are chosen, what watches over it. */
typedef struct generator {
    lull_session *s;
    const lull_generate_options *o;
    outlet text;
    lull_sampler sampler;
    lull_constraint *constraint; /* NULL: none */
    lull_token_list scratch;
    lull_loop loop;

    lull_drafter drafter;
    bool drafts;
    int32_t draft[LULL_DRAFT_MOST];
    float
        *rows; /* owned [LULL_DRAFT_MOST + 1][n_vocab]: logits before and after each of the draft */
    int32_t likeliest[LULL_DRAFT_MOST + 1]; /* by each of them */
    int n_draft;                            /* of the draft whose rows are in use; 0: none is */
    int at;         /* the row in turn: so many of the draft have been accepted */
    size_t n_evals; /* passes through the model so far */
} generator;

static bool is_end(const generator *g, int32_t token, lull_finish *finish)
{
    *finish = LULL_FINISH_STOP_TOKEN;
    for (size_t i = 0; i < g->o->n_stop_tokens; i++)
        if (g->o->stop_tokens[i] == token) return true;
    *finish = LULL_FINISH_STOP;
    bool is_eog = lull_tokenizer_is_eog(g->s->model->tokenizer, token);
    return is_eog && (!g->o->ignore_eog || g->constraint);
}

/* A token's text goes to everybody who follows it. *goes_on false: it ends here, *finish says why. */
static lull_status take_in(generator *g, int32_t token, bool *goes_on, lull_finish *finish,
                           lull_error *err)
{
    size_t n;
    const char *text = lull_tokenizer_text(g->s->model->tokenizer, token, false, &n);
    lull_status st = LULL_OK;
    if (g->constraint) LULL_TRY(lull_constraint_push(g->constraint, g->s->model, token, err));
    *goes_on = outlet_push(&g->text, token, finish);
    if (!*goes_on) return LULL_OK;
    *finish = lull_loop_push(&g->loop, &g->o->loop_guard, token, text, n);
    *goes_on = *finish == LULL_FINISH_LENGTH;
done:
    return st;
}

static lull_status generator_init(generator *g, lull_session *s, const lull_generate_options *o,
                                  lull_error *err)
{
    *g = (generator){.s = s, .o = o};
    lull_status st = LULL_OK;
    LULL_TRY(outlet_init(&g->text, s, o, err));
    LULL_TRY(lull_sampler_init(&g->sampler, &o->sampling, s->model->core->config.n_vocab, err));
    if (o->grammar_kind != LULL_GRAMMAR_NONE)
        LULL_TRY(lull_constraint_take(s->model, o->grammar_kind, o->grammar ? o->grammar : "",
                                      &g->constraint, err));
    g->drafts = o->draft >= 0 && !g->constraint;
    if (g->drafts) LULL_TRY(lull_drafter_init(&g->drafter, s->n_ctx, o->draft, err));
done:
    return st;
}

static void generator_fini(generator *g)
{
    lull_drafter_fini(&g->drafter);
    free(g->rows);
    free(g->text.held);
    lull_sampler_fini(&g->sampler);
    lull_constraint_give(g->s->model, g->constraint);
    lull_token_list_fini(&g->scratch);
}

/* Bring all to where the earlier calls left it: their text goes through unheard. */
static lull_status replay(generator *g, const lull_generation *before, lull_error *err)
{
    const lull_generate_options *o = g->o;
    lull_generate_options unheard = *o;
    lull_status st = LULL_OK;
    lull_finish finish;
    bool goes_on = true;
    unheard.on_text = NULL;
    g->text.o = &unheard;
    for (size_t i = before->start; i < before->end && goes_on && st == LULL_OK; i++)
        st = take_in(g, g->s->tokens[i], &goes_on, &finish, err);
    g->text.o = o;
    g->text.n_known = before->n_handed > g->text.n_handed ? before->n_handed : g->text.n_handed;
    if (st == LULL_EINVAL)
        st = lull_fail(err, LULL_ECORRUPT, "the state's generation is not a text of its grammar");
    return st;
}

/* ---- drafts ---------------------------------------------------------------------------------- */

/* The rows that are left of a draft are of no use: forget their keys and values. */
static void end_draft(generator *g)
{
    if (g->n_draft == 0) return;
    lull_drafter_learn(&g->drafter, g->n_draft, g->at);
    lull_session_forget(g->s, g->s->n_kv);
    g->n_draft = 0;
}

/* Evaluate the last token together with a draft, if there is one. */
static lull_status begin_draft(generator *g, size_t n_left, lull_error *err)
{
    lull_session *s = g->s;
    size_t n_vocab = (size_t)s->model->core->config.n_vocab, room = lull_session_room(s);
    if (!g->drafts || s->has_logits || s->n_kv + 1 != s->n_tokens || n_left < 2) return LULL_OK;
    if (room > n_left - 1) room = n_left - 1;
    int n = lull_drafter_propose(&g->drafter, s->tokens, s->n_tokens, room, g->draft);
    if (n == 0) return LULL_OK;
    if (!g->rows) g->rows = malloc((LULL_DRAFT_MOST + 1) * n_vocab * sizeof *g->rows);
    if (!g->rows) { /* it goes without */
        g->drafts = false;
        return LULL_OK;
    }
    lull_status st = lull_session_eval_draft(s, g->draft, n, g->rows, g->likeliest, err);
    if (st == LULL_OK) g->n_draft = n;
    g->n_evals++;
    g->at = 0;
    return st;
}

/* The logits after the last token, and the likeliest by them: of the draft's row in turn, or evaluated
 * now. */
static lull_status take_logits(generator *g, size_t n_left, const float **logits,
                               int32_t *likeliest, lull_error *err)
{
    lull_session *s = g->s;
    lull_status st = LULL_OK;
    if (g->n_draft == 0) LULL_TRY(begin_draft(g, n_left, err));
    if (g->n_draft == 0) {
        g->n_evals += !s->has_logits;
        LULL_TRY(lull_session_refresh(s, err));
        *logits = s->logits;
        *likeliest = s->likeliest;
        return LULL_OK;
    }
    lull_session_accept(s);
    *logits = g->rows + (size_t)g->at * (size_t)s->model->core->config.n_vocab;
    *likeliest = g->likeliest[g->at];
done:
    return st;
}

/* After token was chosen from the row in turn. */
static void follow_draft(generator *g, int32_t token)
{
    if (g->n_draft == 0) return;
    if (g->at < g->n_draft && token == g->draft[g->at])
        g->at++;
    else
        end_draft(g);
}

/* The next token; -1: the grammar allows none. Cancelling is LULL_ECANCELLED. */
static lull_status choose(generator *g, size_t n_left, int32_t *token, lull_error *err)
{
    lull_session *s = g->s;
    const float *logits;
    int32_t likeliest;
    lull_mask mask;
    lull_masker *masker = g->constraint ? lull_constraint_masker(g->constraint) : NULL;
    lull_status st = LULL_OK;
    *token = -1;
    if (masker && lull_masker_is_over(masker)) return LULL_OK;
    if (masker) {
        if (atomic_exchange(&s->is_cancelled, false)) return LULL_ECANCELLED;
        LULL_TRY(
            lull_constraint_forced(g->constraint, s->model->tokenizer, &g->scratch, token, err));
        if (*token >= 0) return LULL_OK; /* evaluated with those that follow */
        LULL_TRY(lull_masker_mask(masker, &mask, err));
        if (mask.n == 0)
            LULL_TRY(lull_fail(err, LULL_EUNSUPPORTED,
                               "the model has no token for what the grammar asks for next"));
        if (mask.n == 1) {
            *token = mask.ids[0];
            return LULL_OK;
        }
    }
    LULL_TRY(take_logits(g, n_left, &logits, &likeliest, err));
    if (atomic_exchange(&s->is_cancelled, false)) return LULL_ECANCELLED;
    *token = lull_sampler_choose(&g->sampler, logits, likeliest, masker ? &mask : NULL, s->tokens,
                                 s->n_tokens);
    follow_draft(g, *token);
done:
    return st;
}

/* Generate until something ends it. */
static lull_status generate(generator *g, lull_generate_result *r, lull_error *err)
{
    lull_session *s = g->s;
    double start = lull_clock_ms();
    lull_status st = LULL_OK;
    bool goes_on = true;
    while (goes_on && r->n_tokens < g->o->max_tokens) {
        int32_t token;
        if (lull_session_room(s) == 0) {
            r->finish = LULL_FINISH_CONTEXT;
            break;
        }
        st = choose(g, g->o->max_tokens - r->n_tokens, &token, err);
        if (st == LULL_ECANCELLED) {
            st = LULL_OK;
            r->finish = LULL_FINISH_CANCELLED;
            break;
        }
        LULL_TRY(st);
        if (token < 0) {
            r->finish = LULL_FINISH_COMPLETE;
            break;
        }
        s->tokens[s->n_tokens++] = token;
        s->has_logits = false;
        if (r->n_tokens++ == 0) r->first_ms = lull_clock_ms() - start;
        if (is_end(g, token, &r->finish)) break;
        LULL_TRY(take_in(g, token, &goes_on, &r->finish, err));
        if (goes_on) r->finish = LULL_FINISH_LENGTH;
    }
    if (is_final(r->finish) || !g->o->holds_text) outlet_flush(&g->text);
    r->total_ms = lull_clock_ms() - start;
done:
    end_draft(g);
    r->n_evals = g->n_evals;
    r->n_drafted = g->drafter.n_drafted;
    r->n_accepted = g->drafter.n_accepted;
    return st;
}

/* Generate, after an earlier call or none, and note what going on with it needs. */
static lull_status generate_after(lull_session *s, const lull_generation *before,
                                  const lull_generate_options *o, lull_generate_result *result,
                                  lull_error *err)
{
    lull_generate_result r = {.finish = LULL_FINISH_LENGTH};
    lull_generation now = {.is_there = true, .options = *o};
    generator g;
    now.start = before ? before->start : s->n_tokens;
    lull_status st = generator_init(&g, s, o, err);
    if (st != LULL_OK) {
        generator_fini(&g);
        return st;
    }
    if (before) st = replay(&g, before, err);
    if (st == LULL_OK) st = generate(&g, &r, err);
    /* On failure, too: the tokens so far are the session's. */
    now.end = s->n_tokens;
    now.finish = st == LULL_OK ? r.finish : LULL_FINISH_CANCELLED;
    now.n_handed = g.text.n_handed > g.text.n_known ? g.text.n_handed : g.text.n_known;
    generator_fini(&g);
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
    if (is_final(before.finish)) { /* it has said all that it had to say */
        if (result) *result = (lull_generate_result){.finish = before.finish};
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
