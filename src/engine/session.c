/* Sessions and their evaluation.
 *
 * All ways of evaluating come down to one: a list of rows (token, position, session) is cut into
 * runs of at most max_rows; a run goes through the body of the program, and the rows whose logits
 * are wanted through its head, at most max_out at a time. How rows are grouped into runs cannot be
 * seen in the result (docs/numerics.md). */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static int max_rows(const lull_model *m)
{
    return m->core->program.max_rows;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The device's memory for attention grows with the longest context in use. */
static lull_status plan_device(lull_model *m, size_t n_ctx, lull_error *err)
{
    const lull_config *c = &m->core->config;
    lull_status st = LULL_OK;
    pthread_mutex_lock(&m->mutex);
    if (n_ctx > (size_t)m->max_positions) {
        lull_device_plan plan = {.max_rows = max_rows(m),
                                 .max_d_in = m->core->program.max_d_in,
                                 .max_head = c->n_head,
                                 .max_d_head = c->d_head,
                                 .max_positions = (int)n_ctx,
                                 .n_kv = c->n_kv};
        st = lull_device_plan_memory(m->device, &plan, err);
        if (st == LULL_OK) m->max_positions = (int)n_ctx;
    }
    pthread_mutex_unlock(&m->mutex);
    return st;
}

static lull_status new_in(lull_model *model, lull_page_pool *pool, size_t n_ctx, lull_session **out,
                          lull_error *err)
{
    lull_session *s = calloc(1, sizeof *s);
    if (!s) return lull_fail(err, LULL_ENOMEM, "out of memory for a session");
    s->model = model;
    s->n_ctx = n_ctx;
    atomic_init(&s->is_cancelled, false);
    s->tokens = malloc(n_ctx * sizeof *s->tokens);
    s->logits = malloc((size_t)model->core->config.n_vocab * sizeof *s->logits);
    s->keys = malloc((n_ctx / LULL_PAGE_POSITIONS + 1) * sizeof *s->keys);
    lull_status st = s->tokens && s->logits && s->keys
                         ? LULL_OK
                         : lull_fail(err, LULL_ENOMEM, "out of memory for a session");
    if (st == LULL_OK) st = plan_device(model, n_ctx, err);
    if (st == LULL_OK) st = lull_page_table_init(&s->table, pool, n_ctx, err);
    if (st != LULL_OK) {
        lull_session_free(s);
        return st;
    }
    *out = s;
    return LULL_OK;
}

lull_status lull_session_new(lull_model *model, const lull_session_options *options,
                             lull_session **out, lull_error *err)
{
    enum { MOST_POSITIONS = 1 << 24 };
    *out = NULL;
    if (!model->core)
        return lull_fail(err, LULL_EINVAL, "the model was opened for its vocabulary only");
    size_t n_ctx =
        options && options->n_ctx ? options->n_ctx : (size_t)model->core->config.n_ctx_train;
    if (n_ctx > MOST_POSITIONS)
        return lull_fail(err, LULL_EINVAL, "a context of %zu positions is too long; at most %d",
                         n_ctx, MOST_POSITIONS);
    return new_in(model, model->pool, n_ctx, out, err);
}

lull_status lull_session_new_alone(lull_model *model, lull_page_pool *pool, size_t n_ctx,
                                   lull_session **out, lull_error *err)
{
    *out = NULL;
    lull_status st = new_in(model, pool, n_ctx, out, err);
    if (st == LULL_OK) (*out)->is_alone = true;
    return st;
}

void lull_session_free(lull_session *s)
{
    if (!s) return;
    lull_page_table_fini(&s->table);
    free(s->tokens);
    free(s->logits);
    free(s->keys);
    json_decref(s->data);
    lull_generation_fini(&s->generation);
    free(s);
}

lull_status lull_session_fork(const lull_session *s, size_t n, lull_session **out, lull_error *err)
{
    lull_session_options options = {.n_ctx = s->n_ctx};
    lull_status st = lull_session_new(s->model, &options, out, err);
    if (st != LULL_OK) return st;
    lull_session *fork = *out;
    fork->n_tokens = min_size(n, s->n_tokens);
    fork->n_kv = min_size(n, s->n_kv);
    fork->n_published = min_size(s->n_published, fork->n_kv / LULL_PAGE_POSITIONS);
    memcpy(fork->tokens, s->tokens, fork->n_tokens * sizeof *s->tokens);
    memcpy(fork->keys, s->keys, fork->n_published * sizeof *s->keys);
    for (size_t i = 0; i * LULL_PAGE_POSITIONS < fork->n_kv; i++) {
        lull_page_retain(s->table.pages[i]);
        lull_page_table_append(&fork->table, s->table.pages[i]);
    }
    fork->n_checked = min_size(s->n_checked, fork->table.n);
    fork->window_checked = min_size(s->window_checked, fork->table.n);
    fork->re_reads = s->re_reads;
    fork->reuse.from_memory = fork->n_kv;
    fork->store = s->store;
    fork->state = s->state;
    /* The logits are not copied, which would be most of what a fork takes, but computed again when
     * somebody asks. */
    if (fork->n_tokens == s->n_tokens) {
        st = lull_generation_copy(&fork->generation, &s->generation, err);
        if (s->data && !(fork->data = json_copy(s->data)))
            st = lull_fail(err, LULL_ENOMEM, "out of memory for a session");
    }
    if (st != LULL_OK) {
        lull_session_free(fork);
        *out = NULL;
    }
    return st;
}

lull_reuse lull_session_reuse(const lull_session *s)
{
    return s->reuse;
}

size_t lull_session_n_tokens(const lull_session *s)
{
    return s->n_tokens;
}

size_t lull_session_room(const lull_session *s)
{
    return s->n_ctx - s->n_tokens;
}

const int32_t *lull_session_tokens(const lull_session *s)
{
    return s->tokens;
}

uint64_t lull_session_kv_bytes(const lull_session *s)
{
    return s->table.n * lull_kv_page_bytes(lull_page_pool_layout(s->table.pool));
}

void lull_session_cancel(lull_session *s)
{
    atomic_store(&s->is_cancelled, true);
}

void lull_session_truncate(lull_session *s, size_t n)
{
    if (n >= s->n_tokens) return;
    s->n_tokens = n;
    s->has_logits = false;
    if (n < s->generation.end)
        s->generation.start = s->generation.end = 0; /* nothing to go on with */
    lull_session_forget(s, n);
}

/* Tokens up to n have been evaluated. */
static void set_evaluated(lull_session *s, size_t n)
{
    s->reuse.computed += n - s->n_kv;
    s->n_kv = n;
    lull_session_publish_pages(s);
}

/* ---- running rows ---------------------------------------------------------------------------- */

/* Rows on their way through the program. */
typedef struct pass {
    lull_model *m;
    const lull_kv_layout *kv; /* of the pages of all sessions in it */
    int n_rows, n_seq, n_out;
    const atomic_bool *is_cancelled;
    lull_row_fn on_row; /* NULL: logits go to the owners */
    void *user;
    size_t n_delivered;
} pass;

static lull_status fail_numeric(const lull_session *s, lull_error *err)
{
    return lull_fail(err, LULL_ENUMERIC,
                     "%s: its weights are damaged: a logit at about position %zu is not finite",
                     lull_gguf_path(s->model->gguf), s->n_kv);
}

/* Logits of up to max_out of the pass's output rows, from `first`. */
static lull_status run_head(pass *p, const lull_batch *body, int first, int n, lull_error *err)
{
    lull_model *m = p->m;
    lull_program *program = &m->core->program;
    int n_vocab = program->n_logits;
    lull_batch batch = *body;
    batch.n_out = n;
    batch.out_rows = m->out_rows + first;
    /* A single row is written where its owner keeps it. */
    float **result = &program->steps[program->n_steps - 1].out[0];
    *result = n == 1 && !p->on_row ? m->owners[first]->logits : program->logits;
    if (lull_device_run(m->device, program->steps + program->n_body,
                        program->n_steps - program->n_body, &batch) != LULL_OK)
        return lull_fail(err, LULL_ECANCELLED, "cancelled");
    for (int i = 0; i < n; i++) {
        lull_session *owner = m->owners[first + i];
        const float *row = *result + (size_t)i * (size_t)n_vocab;
        owner->likeliest = lull_device_top(m->device, row, n_vocab);
        if (owner->likeliest < 0) return fail_numeric(owner, err);
        if (row != owner->logits) memcpy(owner->logits, row, (size_t)n_vocab * sizeof *row);
        if (p->on_row && !p->on_row(p->user, p->n_delivered++, row))
            return lull_fail(err, LULL_ECANCELLED, "cancelled by the receiver of logits");
    }
    return LULL_OK;
}

/* Run the rows gathered so far and empty the pass. */
static lull_status flush(pass *p, lull_error *err)
{
    lull_model *m = p->m;
    const lull_program *program = &m->core->program;
    if (p->n_rows == 0) return LULL_OK;
    lull_weights_settle(m->core);
    lull_batch batch = {.n_rows = p->n_rows,
                        .tokens = m->row_tokens,
                        .pos = m->row_pos,
                        .seq = m->row_seq,
                        .views = m->views,
                        .ropes = m->core->config.rope_list,
                        .n_ropes = m->core->config.n_ropes,
                        .kv = p->kv,
                        .is_cancelled = p->is_cancelled};
    if (lull_device_run(m->device, program->steps, program->n_body, &batch) != LULL_OK)
        return lull_fail(err, LULL_ECANCELLED, "cancelled");
    for (int i = 0; i < p->n_out; i += program->max_out) {
        int n = p->n_out - i < program->max_out ? p->n_out - i : program->max_out;
        lull_status st = run_head(p, &batch, i, n, err);
        if (st != LULL_OK) return st;
    }
    p->n_rows = p->n_seq = p->n_out = 0;
    return LULL_OK;
}

/* Add tokens [from, to) of a session's list; logits are wanted after each, or, when
 * wants_last, after the last. */
static lull_status add_rows(pass *p, lull_session *s, size_t from, size_t to, bool wants_each,
                            bool wants_last, lull_error *err)
{
    lull_model *m = p->m;
    if (from < to) {
        lull_status st = lull_page_table_make_writable(&s->table, from, err);
        if (st != LULL_OK) return st;
    }
    lull_page_table_extend(&s->table, to);
    p->kv = lull_page_pool_layout(s->table.pool);
    for (size_t i = from; i < to; i++) {
        if (p->n_rows == max_rows(m)) {
            lull_status st = flush(p, err);
            if (st != LULL_OK) return st;
        }
        bool is_new_seq = i == from || p->n_rows == 0;
        if (is_new_seq) m->views[p->n_seq++] = s->table.view;
        int row = p->n_rows++;
        m->row_tokens[row] = s->tokens[i];
        m->row_pos[row] = (int32_t)i;
        m->row_seq[row] = p->n_seq - 1;
        if (wants_each || (wants_last && i + 1 == to)) {
            m->owners[p->n_out] = s;
            m->out_rows[p->n_out++] = row;
        }
    }
    return LULL_OK;
}

/* Append tokens to the session's list, unevaluated; checks room and ids. */
static lull_status accept_tokens(lull_session *s, const int32_t *tokens, size_t n, lull_error *err)
{
    int n_vocab = s->model->core->config.n_vocab;
    if (n == 0) return lull_fail(err, LULL_EINVAL, "no tokens to evaluate");
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return lull_fail(err, LULL_EINVAL, "token %zu is %d; ids go from 0 to %d", i, tokens[i],
                             n_vocab - 1);
    if (n > lull_session_room(s))
        return lull_fail(err, LULL_EFULL,
                         "%zu tokens do not fit: %zu of the context's %zu positions are free", n,
                         lull_session_room(s), s->n_ctx);
    memcpy(s->tokens + s->n_tokens, tokens, n * sizeof *tokens);
    s->n_tokens += n;
    return LULL_OK;
}

/* Forget what accept_tokens appended, and the pages that were taken for it. */
static void take_back(lull_session *s, size_t n_tokens, bool had_logits)
{
    s->n_tokens = n_tokens;
    s->has_logits = had_logits;
    lull_session_forget(s, n_tokens);
}

/* Make the window whole that will be read next: check its pages, compute those again whose sliding planes
 * are missing. */
static lull_status mend_window(lull_session *s, const atomic_bool *is_cancelled, lull_error *err)
{
    size_t from, to;
    lull_model *m = s->model;
    lull_status st = lull_session_check_window(s, &from, &to, err);
    if (st != LULL_OK || from == to) return st;
    pthread_mutex_lock(&m->mutex);
    for (size_t i = from; i < to && st == LULL_OK; i += LULL_PAGE_POSITIONS)
        st = lull_page_table_renew(&s->table, i / LULL_PAGE_POSITIONS, err);
    pass p = {.m = m, .is_cancelled = is_cancelled};
    if (st == LULL_OK) st = add_rows(&p, s, from, to, false, false, err);
    if (st == LULL_OK) st = flush(&p, err);
    pthread_mutex_unlock(&m->mutex);
    if (st != LULL_OK) {
        lull_session_forget(s, from);
        return st;
    }
    s->reuse.computed += to - from;
    for (size_t i = from / LULL_PAGE_POSITIONS; (i + 1) * LULL_PAGE_POSITIONS <= to; i++)
        lull_page_table_publish(&s->table, i, &s->keys[i]);
    return LULL_OK;
}

/* Before tokens that wait are evaluated: check what is there, take what is known, make the window
 * whole. The last token is left to be evaluated when its logits are wanted. */
static lull_status prepare(lull_session *s, bool wants_logits, const atomic_bool *is_cancelled,
                           lull_error *err)
{
    lull_status st = lull_session_check(s, err);
    if (st != LULL_OK) return st;
    lull_session_take_known(s, s->n_tokens - (wants_logits ? 1 : 0));
    return mend_window(s, is_cancelled, err);
}

/* True once after lull_session_cancel. */
static bool take_cancel(lull_session *s)
{
    return atomic_exchange(&s->is_cancelled, false);
}

lull_status lull_session_refresh(lull_session *s, lull_error *err)
{
    if (s->has_logits) return LULL_OK;
    lull_batch_item item = {.session = s};
    return lull_batch_eval(&item, 1, err);
}

lull_status lull_session_eval(lull_session *s, const int32_t *tokens, size_t n,
                              const float **logits, lull_error *err)
{
    if (n == 0) return lull_fail(err, LULL_EINVAL, "no tokens to evaluate");
    if (take_cancel(s)) return lull_fail(err, LULL_ECANCELLED, "cancelled");
    lull_model *m = s->model;
    size_t n_before = s->n_tokens;
    bool had_logits = s->has_logits;
    lull_status st = accept_tokens(s, tokens, n, err);
    if (st != LULL_OK) return st;
    st = prepare(s, logits != NULL, &s->is_cancelled, err);
    pthread_mutex_lock(&m->mutex);
    pass p = {.m = m, .is_cancelled = &s->is_cancelled};
    if (st == LULL_OK) st = add_rows(&p, s, s->n_kv, s->n_tokens, false, logits != NULL, err);
    if (st == LULL_OK) st = flush(&p, err);
    pthread_mutex_unlock(&m->mutex);
    if (st != LULL_OK) {
        if (st == LULL_ECANCELLED) take_cancel(s);
        /* The buffer may hold logits of what did not come to pass; they can be computed again. */
        take_back(s, n_before, st == LULL_ENUMERIC ? false : had_logits);
        return st;
    }
    set_evaluated(s, s->n_tokens);
    s->has_logits = logits != NULL;
    if (logits) *logits = s->logits;
    return LULL_OK;
}

lull_status lull_session_settle(lull_session *s, lull_error *err)
{
    lull_status st = prepare(s, false, NULL, err);
    if (st != LULL_OK || s->n_kv == s->n_tokens) return st;
    pthread_mutex_lock(&s->model->mutex);
    pass p = {.m = s->model};
    st = add_rows(&p, s, s->n_kv, s->n_tokens, false, false, err);
    if (st == LULL_OK) st = flush(&p, err);
    pthread_mutex_unlock(&s->model->mutex);
    if (st == LULL_OK)
        set_evaluated(s, s->n_tokens);
    else
        lull_session_forget(s, s->n_kv); /* the page that was to be written */
    return st;
}

lull_status lull_session_recall(lull_session *s, const int32_t *tokens, size_t n, size_t *n_known,
                                lull_error *err)
{
    *n_known = 0;
    size_t n_before = s->n_tokens;
    if (n == 0 || s->n_kv < n_before || n_before % LULL_PAGE_POSITIONS != 0) return LULL_OK;
    bool had_logits = s->has_logits;
    lull_status st = accept_tokens(s, tokens, n, err);
    if (st != LULL_OK) return st;
    st = lull_session_check(s, err);
    if (st == LULL_OK) lull_session_take_known(s, s->n_tokens);
    if (s->n_kv > n_before) had_logits = false;
    take_back(s, st == LULL_OK && s->n_kv > n_before ? s->n_kv : n_before, had_logits);
    *n_known = s->n_tokens - n_before;
    return st;
}

lull_status lull_session_eval_each(lull_session *s, const int32_t *tokens, size_t n,
                                   lull_row_fn on_row, void *user, lull_error *err)
{
    lull_model *m = s->model;
    size_t n_before = s->n_tokens;
    if (take_cancel(s)) return lull_fail(err, LULL_ECANCELLED, "cancelled");
    lull_status st = accept_tokens(s, tokens, n, err);
    if (st != LULL_OK) return st;
    size_t n_after = s->n_tokens;
    st = lull_session_check(s, err);
    if (st == LULL_OK) st = mend_window(s, &s->is_cancelled, err);
    pthread_mutex_lock(&m->mutex);
    pass p = {.m = m, .is_cancelled = &s->is_cancelled};
    /* What waited before the new tokens comes first, without a row. */
    if (st == LULL_OK) st = add_rows(&p, s, s->n_kv, n_before, false, false, err);
    if (st == LULL_OK) st = flush(&p, err);
    p.on_row = on_row;
    p.user = user;
    if (st == LULL_OK) set_evaluated(s, n_before);
    while (st == LULL_OK && s->n_kv < n_after) {
        size_t to = min_size(n_after, s->n_kv + (size_t)max_rows(m));
        st = add_rows(&p, s, s->n_kv, to, true, true, err);
        if (st == LULL_OK) st = flush(&p, err);
        if (st == LULL_OK) set_evaluated(s, to);
    }
    pthread_mutex_unlock(&m->mutex);
    if (st == LULL_ECANCELLED) take_cancel(s);
    s->has_logits = st == LULL_OK;
    if (st != LULL_OK) take_back(s, s->n_kv > n_before ? s->n_kv : n_before, false);
    return st;
}

typedef struct row_copy {
    const lull_session *s;
    float *logits;
    int32_t *likeliest;
    size_t n_vocab;
} row_copy;

static bool copy_row(void *user, size_t index, const float *logits)
{
    const row_copy *to = user;
    memcpy(to->logits + index * to->n_vocab, logits, to->n_vocab * sizeof *logits);
    to->likeliest[index] = to->s->likeliest;
    return true;
}

lull_status lull_session_eval_draft(lull_session *s, const int32_t *draft, int n, float *logits,
                                    int32_t *likeliest, lull_error *err)
{
    lull_model *m = s->model;
    row_copy to = {s, logits, likeliest, (size_t)m->core->program.n_logits};
    lull_status st = prepare(s, true, &s->is_cancelled, err);
    if (st != LULL_OK) return st;
    /* Behind the session's tokens there is room for them. */
    memcpy(s->tokens + s->n_tokens, draft, (size_t)n * sizeof *draft);
    pthread_mutex_lock(&m->mutex);
    pass p = {.m = m, .is_cancelled = &s->is_cancelled, .on_row = copy_row, .user = &to};
    st = add_rows(&p, s, s->n_kv, s->n_tokens + (size_t)n, true, true, err);
    if (st == LULL_OK) st = flush(&p, err);
    pthread_mutex_unlock(&m->mutex);
    if (st == LULL_ECANCELLED) take_cancel(s);
    if (st != LULL_OK) lull_session_forget(s, s->n_kv);
    return st;
}

void lull_session_accept(lull_session *s)
{
    set_evaluated(s, s->n_tokens);
}

/* An item without tokens asks for the logits after the session's last token
 * (lull_session_refresh). */
static lull_status check_items(lull_batch_item *items, size_t n_items, lull_error *err)
{
    lull_status st = LULL_OK;
    size_t n_checked = 0;
    for (; n_checked < n_items && st == LULL_OK; n_checked++) {
        lull_batch_item *item = &items[n_checked];
        lull_session *s = item->session;
        if (s->model != items[0].session->model)
            st = lull_fail(err, LULL_EINVAL, "batch item %zu is of another model", n_checked);
        else if (s->is_in_batch)
            st = lull_fail(err, LULL_EINVAL, "batch item %zu names a session for the second time",
                           n_checked);
        else if (item->n == 0 && s->n_tokens == 0)
            st = lull_fail(err, LULL_EINVAL, "batch item %zu: the session is empty", n_checked);
        if (st != LULL_OK) break;
        s->is_in_batch = true;
    }
    for (size_t i = 0; i < n_checked; i++) items[i].session->is_in_batch = false;
    return st;
}

lull_status lull_batch_eval(lull_batch_item *items, size_t n_items, lull_error *err)
{
    if (n_items == 0) return lull_fail(err, LULL_EINVAL, "an empty batch");
    lull_status st = check_items(items, n_items, err);
    if (st != LULL_OK) return st;
    lull_model *m = items[0].session->model;
    size_t n_accepted = 0;
    for (; n_accepted < n_items; n_accepted++) {
        lull_batch_item *item = &items[n_accepted];
        lull_session *s = item->session;
        if (take_cancel(s))
            st = lull_fail(err, LULL_ECANCELLED, "cancelled");
        else if (item->n > 0)
            st = accept_tokens(s, item->tokens, item->n, err);
        if (st != LULL_OK) {
            if (n_items > 1) lull_error_prefix(err, "batch item %zu", n_accepted);
            break;
        }
    }
    for (size_t i = 0; i < n_items && st == LULL_OK; i++) {
        st = prepare(items[i].session, true, &items[i].session->is_cancelled, err);
        if (st != LULL_OK && n_items > 1) lull_error_prefix(err, "batch item %zu", i);
    }
    pthread_mutex_lock(&m->mutex);
    pass p = {.m = m, .is_cancelled = n_items == 1 ? &items[0].session->is_cancelled : NULL};
    for (size_t i = 0; i < n_items && st == LULL_OK; i++) {
        lull_session *s = items[i].session;
        /* Nothing waits and no logits are there: the last token is evaluated again, to the same
         * bits. */
        size_t from = s->n_kv < s->n_tokens ? s->n_kv : s->n_tokens - 1;
        st = add_rows(&p, s, from, s->n_tokens, false, true, err);
    }
    if (st == LULL_OK) st = flush(&p, err);
    pthread_mutex_unlock(&m->mutex);
    for (size_t i = 0; i < n_items; i++) {
        lull_session *s = items[i].session;
        if (st == LULL_OK) {
            if (s->n_kv < s->n_tokens) set_evaluated(s, s->n_tokens);
            s->has_logits = true;
            items[i].logits = s->logits;
        } else if (i < n_accepted) {
            take_back(s, s->n_tokens - items[i].n, false);
            if (st == LULL_ECANCELLED && n_items == 1) take_cancel(s);
        }
    }
    return st;
}
