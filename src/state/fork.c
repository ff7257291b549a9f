/* A state's tokens, and states that are the beginning of others. Public calls alone. */
#include <stdlib.h>
#include <string.h>

#include "store.h"

/* A state with its pages mapped. */
typedef struct opened {
    lull_store_state state;
    lull_store_view *views; /* owned [n_views] */
    size_t n_views;
} opened;

static lull_status open_state(lull_store *s, int64_t id, opened *o, lull_error *err)
{
    *o = (opened){0};
    lull_status st = LULL_OK;
    LULL_TRY(lull_store_get_unlabelled(s, id, &o->state, err));
    o->n_views = o->state.n_pages + (o->state.n_tail > 0);
    o->views = calloc(o->state.n_pages + 1, sizeof *o->views);
    if (!o->views) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages");
        goto done;
    }
    LULL_TRY(lull_store_map(s, id, o->views, err));
    return LULL_OK;
done:
    free(o->views);
    lull_store_state_fini(&o->state);
    return st;
}

static void close_state(lull_store *s, opened *o)
{
    lull_store_unpin(s, o->views, o->n_views);
    free(o->views);
    lull_store_state_fini(&o->state);
}

lull_status lull_store_get_tokens(lull_store *s, int64_t id, int32_t **tokens, size_t *n,
                                  lull_error *err)
{
    opened o;
    *tokens = NULL;
    *n = 0;
    lull_status st = open_state(s, id, &o, err);
    if (st != LULL_OK) return st;
    int32_t *all = malloc((o.state.n_tokens + 1) * sizeof *all);
    if (all) {
        for (size_t i = 0, at = 0; i < o.n_views; i++, at += LULL_STORE_PAGE_TOKENS)
            memcpy(all + at, o.views[i].tokens,
                   (i < o.state.n_pages ? LULL_STORE_PAGE_TOKENS : o.state.n_tail) * sizeof *all);
        *tokens = all;
        *n = o.state.n_tokens;
    } else {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for %zu tokens", o.state.n_tokens);
    }
    close_state(s, &o);
    return st;
}

/* The page in which the cut falls becomes the tail: what is behind the cut in it is not looked at. */
static lull_status sleep_beginning(lull_store *s, const opened *o, size_t n_tokens,
                                   const char *session, const char *name, int64_t expected,
                                   int64_t *out, lull_error *err)
{
    lull_status st = LULL_OK;
    size_t n_pages = n_tokens / LULL_STORE_PAGE_TOKENS;
    lull_digest *keys = calloc(n_pages + 1, sizeof *keys);
    if (!keys) return lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages");
    for (size_t i = 0; i < n_pages; i++) keys[i] = o->views[i].key;
    lull_store_draft d = {
        .card = o->state.card,
        .pages = keys,
        .n_pages = n_pages,
        .n_tail = n_tokens % LULL_STORE_PAGE_TOKENS,
        .n_window_pages = o->state.n_window_pages,
        .session = session ? session : "",
        .parent = o->state.id,
    };
    memcpy(&d.kv_identity, o->state.kv_identity, sizeof d.kv_identity);
    if (d.n_tail > 0) {
        const lull_store_view *tail = &o->views[n_pages];
        LULL_TRY(lull_store_check(s, tail, err));
        d.tail_tokens = tail->tokens;
        for (int k = 0; k < LULL_STORE_PLANES; k++) {
            d.tail_planes[k] = tail->planes[k];
            d.tail_plane_bytes[k] = tail->planes[k] ? tail->plane_bytes[k] : 0;
        }
    }
    LULL_TRY(lull_store_sleep(s, &d, name, expected, out, err));
done:
    free(keys);
    return st;
}

lull_status lull_store_fork(lull_store *s, int64_t id, size_t n_tokens, const char *session,
                            const char *name, int64_t expected, int64_t *out, lull_error *err)
{
    opened o;
    *out = 0;
    if (n_tokens == 0) return lull_fail(err, LULL_EINVAL, "a state has at least one token");
    lull_status st = open_state(s, id, &o, err);
    if (st != LULL_OK) return st;
    if (n_tokens < o.state.n_tokens)
        st = sleep_beginning(s, &o, n_tokens, session, name, expected, out, err);
    else if (name)
        st = lull_store_set_name(s, name, id, expected, err);
    if (st == LULL_OK && *out == 0) *out = id;
    close_state(s, &o);
    return st;
}
