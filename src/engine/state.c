/* Sleeping and waking: a session as a state of a store, and back.
 *
 * A state's session is a JSON object: what lull_session_set_data put there, and of lull's own
 * "generation" (generation.c) and "model", the path of the model's file, which is a hint for people and
 * for programs that want to read the tokens; the card says which model it was. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* ---- data ------------------------------------------------------------------------------------ */

static bool is_own_key(const char *key)
{
    return strcmp(key, "generation") == 0 || strcmp(key, "model") == 0;
}

lull_status lull_session_set_data(lull_session *s, const char *key, const char *value,
                                  lull_error *err)
{
    if (is_own_key(key)) return lull_fail(err, LULL_EINVAL, "the key '%s' is lull's own", key);
    if (!value) {
        if (s->data) json_object_del(s->data, key);
        return LULL_OK;
    }
    json_error_t why;
    json_t *v = json_loads(value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (!v) return lull_fail(err, LULL_EINVAL, "the value of '%s' is not JSON: %s", key, why.text);
    if (!s->data) s->data = json_object();
    if (json_object_set_new(s->data, key, v) == 0) return LULL_OK;
    json_t *as_text = json_string(key); /* NULL unless it is UTF-8 */
    lull_status why_not = as_text ? LULL_ENOMEM : LULL_EINVAL;
    json_decref(as_text);
    return lull_fail(err, why_not, "the value of '%s' cannot be kept", key);
}

char *lull_session_get_data(const lull_session *s, const char *key)
{
    const json_t *v = json_object_get(s->data, key);
    return v ? lull_json_text(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
}

int64_t lull_session_state(const lull_session *s)
{
    return s->state;
}

void lull_model_use_store(lull_model *m, lull_store *store)
{
    m->store = store;
}

/* ---- sleeping -------------------------------------------------------------------------------- */

/* NULL: no memory. Without its generation a session would not be whole. */
static char *session_json(const lull_session *s)
{
    json_t *all = s->data ? json_copy(s->data) : json_object();
    if (s->generation.is_there &&
        json_object_set_new(all, "generation", lull_generation_save(&s->generation)) < 0) {
        json_decref(all);
        return NULL;
    }
    char path[PATH_MAX];
    if (realpath(lull_gguf_path(s->model->gguf), path))
        json_object_set_new(all, "model", json_string(path)); /* left out unless it is UTF-8 */
    char *text = all ? lull_json_text(all, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    return text;
}

/* Append the full pages that the store does not have. */
static lull_status add_pages(const lull_session *s, lull_store *store, lull_error *err)
{
    const lull_kv_layout *kv = &s->model->core->kv;
    lull_status st = LULL_OK;
    bool *has = calloc(s->n_published + 1, sizeof *has);
    if (!has) return lull_fail(err, LULL_ENOMEM, "out of memory for a list of pages");
    LULL_TRY(lull_store_has_pages(store, s->keys, s->n_published, has, err));
    for (size_t i = 0; i < s->n_published; i++) {
        if (has[i]) continue;
        const lull_page *page = s->table.pages[i];
        lull_store_page p = {.key = s->keys[i],
                             .kv_identity = s->model->kv_identity,
                             .tokens = s->tokens + i * LULL_PAGE_POSITIONS};
        if (i > 0) p.parent = s->keys[i - 1];
        /* From another store: nothing is copied that was not looked at. */
        if (page->drop) LULL_TRY(lull_store_check(page->user, page->pin, err));
        for (int k = 0; k < LULL_KV_PLANES; k++) {
            p.planes[k] = page->planes[k];
            p.plane_bytes[k] = page->planes[k] ? kv->plane_bytes[k] : 0;
        }
        LULL_TRY(lull_store_add_pages(store, &p, 1, err));
    }
done:
    free(has);
    return st;
}

static lull_store_draft draft_of(const lull_session *s, const lull_store *store, const char *card,
                                 const char *session, const lull_sleep_options *o)
{
    const lull_kv_layout *kv = &s->model->core->kv;
    lull_store_draft d = {
        .card = card,
        .kv_identity = s->model->kv_identity,
        .pages = s->keys,
        .n_pages = s->n_published,
        .tail_tokens = s->tokens + s->n_published * LULL_PAGE_POSITIONS,
        .n_tail = s->n_tokens % LULL_PAGE_POSITIONS,
        .session = session,
        .parent = o->parent > 0       ? o->parent
                  : s->store == store ? s->state
                                      : 0,
        .tags = o->tags,
        .n_tags = o->n_tags,
        .n_window_pages = ((size_t)s->model->core->config.n_window + LULL_PAGE_POSITIONS - 1) /
                          LULL_PAGE_POSITIONS,
    };
    const lull_page *tail = d.n_tail > 0 ? s->table.pages[s->n_published] : NULL;
    for (int k = 0; tail && k < LULL_KV_PLANES; k++) {
        d.tail_planes[k] = tail->planes[k];
        d.tail_plane_bytes[k] = tail->planes[k] ? kv->plane_bytes[k] : 0;
    }
    return d;
}

lull_status lull_sleep(lull_session *s, lull_store *store, const lull_sleep_options *options,
                       int64_t *id, lull_error *err)
{
    enum { TRIES = 3 };
    static const lull_sleep_options nameless = {0};
    const lull_sleep_options *o = options ? options : &nameless;
    int64_t expected = o->expected > 0 ? o->expected : -o->expected - 1;
    int64_t new_id = 0;
    lull_status st = LULL_OK;
    if (s->n_tokens == 0)
        return lull_fail(err, LULL_EINVAL, "the session is empty: there is nothing to sleep");
    char *session = NULL;
    LULL_TRY(lull_session_settle(s, err));
    const char *card = lull_state_card(s->model, &s->is_cancelled);
    session = session_json(s);
    if (!session) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for a session's data");
        goto done;
    }
    /* Once more when another process has removed a page that nobody needed between the two calls. */
    for (int i = 0; i < TRIES; i++) {
        LULL_TRY(add_pages(s, store, err));
        lull_store_draft d = draft_of(s, store, card, session, o);
        st = lull_store_sleep(store, &d, o->name, expected, &new_id, err);
        if (st != LULL_ENOTFOUND) break;
    }
    if (st != LULL_OK) goto done;
    s->store = store;
    s->state = new_id;
    if (id) *id = new_id;
done:
    free(session);
    return st;
}

/* ---- waking ---------------------------------------------------------------------------------- */

/* What wakes, on its way. */
typedef struct waking {
    lull_model *m;
    lull_store *store;
    const char *name;
    const lull_wake_options *o;
    lull_store_state state;
    size_t n_tokens; /* to wake */
} waking;

static lull_status judge(const waking *w, bool *is_same, lull_error *err)
{
    lull_judgement j;
    lull_status st = lull_judge(w->m, w->state.card, &j, err);
    if (st != LULL_OK) return st;
    *is_same = j.verdict == LULL_VERDICT_SAME;
    if (*is_same || (j.verdict == LULL_VERDICT_CONVERTIBLE && w->o->re_reads)) return LULL_OK;
    bool is_convertible = j.verdict == LULL_VERDICT_CONVERTIBLE;
    return lull_fail(err, LULL_EMISMATCH, "%.60s is %s: %s; %s", w->name,
                     lull_verdict_name(j.verdict), j.fields[0].text,
                     is_convertible ? "it can be read again by this model (--re-read)"
                                    : "wake it with the model that read it");
}

static lull_status new_session(waking *w, lull_session **out, lull_error *err)
{
    size_t n_ctx = w->o->n_ctx;
    if (n_ctx == 0) {
        n_ctx = (size_t)w->m->core->config.n_ctx_train;
        if (n_ctx < w->n_tokens) n_ctx = w->n_tokens;
    }
    if (w->n_tokens > n_ctx)
        return lull_fail(err, LULL_EFULL,
                         "%.60s has %zu tokens, and the context %zu positions: ask for more",
                         w->name, w->n_tokens, n_ctx);
    lull_session_options options = {.n_ctx = n_ctx};
    return lull_session_new(w->m, &options, out, err);
}

/* The tokens alone: keys and values come from wherever they are known, or are computed. */
static lull_status take_tokens(waking *w, lull_session *s, lull_error *err)
{
    int32_t *tokens;
    size_t n;
    lull_status st = lull_store_get_tokens(w->store, w->state.id, &tokens, &n, err);
    if (st != LULL_OK) return st;
    memcpy(s->tokens, tokens, w->n_tokens * sizeof *tokens);
    s->n_tokens = w->n_tokens;
    free(tokens);
    for (size_t i = 0; i < s->n_tokens; i++)
        if (s->tokens[i] < 0 || s->tokens[i] >= w->m->core->config.n_vocab)
            return lull_fail(err, LULL_ECORRUPT, "%.60s: token %zu is %d, which the model has not",
                             w->name, i, s->tokens[i]);
    return LULL_OK;
}

static lull_status fail_key(const waking *w, size_t i, lull_error *err)
{
    return lull_fail(err, LULL_ECORRUPT,
                     "%.60s: page %zu is not that of its tokens: `lull verify` tells more", w->name,
                     i);
}

/* Pages [0, n_pages) of the state, the last one as a tail if it is not full here. Views are taken. */
static lull_status append_views(waking *w, lull_session *s, lull_store_view *views, size_t n_views,
                                size_t n_pages, lull_error *err)
{
    lull_status st = LULL_OK;
    int n_vocab = w->m->core->config.n_vocab;
    for (size_t i = 0; i < n_pages; i++) {
        size_t from = i * LULL_PAGE_POSITIONS;
        size_t n = s->n_ctx - from < LULL_PAGE_POSITIONS ? s->n_ctx - from : LULL_PAGE_POSITIONS;
        if (w->state.n_tokens - from < n) n = w->state.n_tokens - from;
        for (size_t k = 0; k < n; k++)
            if (views[i].tokens[k] < 0 || views[i].tokens[k] >= n_vocab) st = fail_key(w, i, err);
        memcpy(s->tokens + from, views[i].tokens, n * sizeof *s->tokens);
        bool is_full = from + LULL_PAGE_POSITIONS <= w->n_tokens;
        if (st == LULL_OK && is_full) {
            s->keys[i] =
                lull_page_key(&w->m->kv_identity, i > 0 ? &s->keys[i - 1] : NULL, s->tokens + from);
            if (memcmp(&s->keys[i], &views[i].key, sizeof s->keys[i]) != 0)
                st = fail_key(w, i, err);
        }
        for (int k = 0; st == LULL_OK && k < LULL_KV_PLANES; k++)
            if (views[i].planes[k] && views[i].plane_bytes[k] != w->m->core->kv.plane_bytes[k])
                st = lull_fail(err, LULL_ECORRUPT,
                               "%.60s: page %zu: plane %d has %zu bytes, not %zu", w->name, i, k,
                               views[i].plane_bytes[k], w->m->core->kv.plane_bytes[k]);
        if (st == LULL_OK && !views[i].planes[0] && w->m->core->kv.plane_bytes[0] > 0)
            st =
                lull_fail(err, LULL_ECORRUPT, "%.60s: page %zu has no keys and values", w->name, i);
        if (st != LULL_OK) {
            lull_store_unpin(w->store, views + i, n_views - i);
            return st;
        }
        lull_page *page =
            lull_page_of_view(w->m->pool, w->store, &views[i], is_full ? &s->keys[i] : NULL);
        if (!page) {
            lull_store_unpin(w->store, views + i + 1, n_views - i - 1);
            return lull_fail(err, LULL_ENOMEM, "out of memory for a page");
        }
        lull_page_table_append(&s->table, page);
        if (is_full) s->n_published = i + 1;
    }
    lull_store_unpin(w->store, views + n_pages, n_views - n_pages);
    s->n_tokens = s->n_kv = s->reuse.from_disk = w->n_tokens;
    s->window_checked = s->table.n;
    return LULL_OK;
}

static lull_status take_pages(waking *w, lull_session *s, lull_error *err)
{
    size_t n_views = w->state.n_pages + (w->state.n_tail > 0);
    size_t n_pages = (w->n_tokens + LULL_PAGE_POSITIONS - 1) / LULL_PAGE_POSITIONS;
    lull_store_view *views = calloc(w->state.n_pages + 1, sizeof *views);
    if (!views) return lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages");
    lull_status st = lull_store_map(w->store, w->state.id, views, err);
    if (st == LULL_OK) st = append_views(w, s, views, n_views, n_pages, err);
    free(views);
    return st;
}

/* The session's data and generation, unless only the beginning wakes: they are of the end. The note is
 * of the whole. */
static lull_status take_session(waking *w, lull_session *s, lull_error *err)
{
    if (!*w->state.session) return LULL_OK;
    json_t *all = json_loads(w->state.session, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(all)) {
        json_decref(all);
        return lull_fail(err, LULL_ECORRUPT, "%.60s: its session is not a JSON object", w->name);
    }
    lull_status st = LULL_OK;
    bool is_whole = w->n_tokens == w->state.n_tokens;
    json_t *generation = json_object_get(all, "generation"), *note = json_object_get(all, "note");
    if (generation) {
        LULL_TRY(lull_generation_load(&s->generation, generation, w->state.n_tokens,
                                      w->m->core->config.n_vocab, err));
        if (s->generation.end > w->n_tokens) s->generation.start = s->generation.end = 0;
    }
    if (is_whole) {
        json_object_del(all, "generation");
        json_object_del(all, "model");
        s->data = json_incref(all);
    } else if (note) {
        s->data = json_pack("{s:O}", "note", note);
    }
done:
    json_decref(all);
    return st;
}

lull_status lull_wake(lull_model *m, lull_store *store, const char *name,
                      const lull_wake_options *options, lull_session **out, lull_error *err)
{
    static const lull_wake_options defaults = {0};
    waking w = {.m = m, .store = store, .name = name, .o = options ? options : &defaults};
    lull_session *s = NULL;
    lull_status st = LULL_OK;
    int64_t id;
    size_t token;
    bool is_same;
    *out = NULL;
    if (!m->core)
        return lull_fail(err, LULL_EINVAL, "the model was opened for its vocabulary only");
    LULL_TRY(lull_store_resolve(store, name, &id, &token, err));
    LULL_TRY(lull_store_get_unlabelled(store, id, &w.state, err));
    w.n_tokens = w.o->n_tokens ? w.o->n_tokens : token;
    if (w.n_tokens > w.state.n_tokens) w.n_tokens = w.state.n_tokens;
    if (w.n_tokens == 0) {
        st = lull_fail(err, LULL_EINVAL, "%.60s: a session wakes with one token at least", name);
        goto done;
    }
    LULL_TRY(judge(&w, &is_same, err));
    LULL_TRY(new_session(&w, &s, err));
    s->re_reads = w.o->re_reads;
    st = is_same ? take_pages(&w, s, err) : take_tokens(&w, s, err);
    /* What cannot even be mapped can be read again from its tokens, if those are to be had. */
    if (st == LULL_ECORRUPT && is_same && s->re_reads) {
        lull_session_forget(s, 0);
        st = take_tokens(&w, s, err);
    }
    if (st != LULL_OK) goto done;
    LULL_TRY(take_session(&w, s, err));
    s->store = store;
    s->state = id;
    *out = s;
    s = NULL;
done:
    lull_session_free(s);
    lull_store_state_fini(&w.state);
    return st;
}

/* ---- computing again ------------------------------------------------------------------------- */

static bool is_same_page(const lull_session *s, size_t i, const lull_store_view *view)
{
    const lull_kv_layout *kv = &s->model->core->kv;
    size_t n = s->n_tokens - i * LULL_PAGE_POSITIONS;
    if (n > LULL_PAGE_POSITIONS) n = LULL_PAGE_POSITIONS;
    for (int k = 0; k < LULL_KV_PLANES; k++) {
        if (kv->plane_bytes[k] == 0 || !view->planes[k]) continue;
        if (view->plane_bytes[k] != kv->plane_bytes[k] ||
            !lull_kv_is_same(kv, k, s->table.pages[i]->planes[k], view->planes[k], n))
            return false;
    }
    return true;
}

lull_status lull_recompute(lull_model *m, lull_store *store, int64_t id,
                           lull_progress_fn on_progress, void *user, size_t *n_bad, lull_error *err)
{
    enum { STEP = 512 };
    waking w = {.m = m, .store = store, .name = "the state", .o = &(lull_wake_options){0}};
    lull_session *s = NULL;
    lull_store_view *views = NULL;
    size_t n_views = 0;
    bool is_same;
    lull_status st = LULL_OK;
    *n_bad = 0;
    if (!m->core)
        return lull_fail(err, LULL_EINVAL, "the model was opened for its vocabulary only");
    LULL_TRY(lull_store_get_unlabelled(store, id, &w.state, err));
    w.n_tokens = w.state.n_tokens;
    LULL_TRY(judge(&w, &is_same, err));
    LULL_TRY(new_session(&w, &s, err));
    s->is_alone = true;
    LULL_TRY(take_tokens(&w, s, err));
    for (size_t n = 0, n_all = s->n_tokens; n < n_all;) {
        n = n_all - n < STEP ? n_all : n + STEP;
        s->n_tokens = n;
        LULL_TRY(lull_session_settle(s, err));
        if (on_progress && !on_progress(user, n, n_all))
            LULL_TRY(lull_fail(err, LULL_ECANCELLED, "cancelled"));
    }
    views = calloc(w.state.n_pages + 1, sizeof *views);
    if (!views) LULL_TRY(lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages"));
    LULL_TRY(lull_store_map(store, id, views, err));
    n_views = w.state.n_pages + (w.state.n_tail > 0);
    for (size_t i = 0; i < n_views; i++) {
        lull_error damage;
        st = lull_store_check(store, &views[i], &damage);
        if (st == LULL_OK)
            *n_bad += !is_same_page(s, i, &views[i]);
        else if (st == LULL_ECORRUPT)
            ++*n_bad;
    }
    st = LULL_OK;
done:
    if (n_views > 0) lull_store_unpin(store, views, n_views);
    free(views);
    lull_session_free(s);
    lull_store_state_fini(&w.state);
    return st;
}
