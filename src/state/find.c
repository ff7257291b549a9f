/* Finding: what a user writes, to a state; and what there is to tell about it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_private.h"

/* ---- what a user writes ---------------------------------------------------------------------- */

/* Digits up to `end` as a number; false when there is anything else, or too many. */
static bool read_number(const char *p, const char *end, uint64_t *value)
{
    *value = 0;
    if (p == end || end - p > 18) return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return false;
        *value = *value * 10 + (uint64_t)(*p - '0');
    }
    return true;
}

typedef struct reference {
    char name[LULL_NAME_MAX + 1]; /* empty: #id */
    uint64_t n_back, id;
    size_t token;
} reference;

static lull_status parse(const char *text, reference *ref, lull_error *err)
{
    *ref = (reference){.token = SIZE_MAX};
    const char *colon = strrchr(text, ':'), *end = colon ? colon : text + strlen(text);
    uint64_t number;
    if (colon) {
        if (!read_number(colon + 1, text + strlen(text), &number)) goto bad;
        ref->token = (size_t)number;
    }
    if (*text == '#') {
        if (!read_number(text + 1, end, &ref->id) || ref->id == 0) goto bad;
        return LULL_OK;
    }
    const char *at = memchr(text, '@', (size_t)(end - text));
    if (at) {
        if (end - at < 4 || at[1] != '{' || end[-1] != '}' ||
            !read_number(at + 2, end - 1, &ref->n_back))
            goto bad;
        end = at;
    }
    if (end - text > LULL_NAME_MAX) goto bad;
    memcpy(ref->name, text, (size_t)(end - text));
    return lull_name_check("name", ref->name, err);
bad:
    return lull_fail(
        err, LULL_EINVAL,
        "%.60s: a state is written as NAME, NAME@{moves back} or #ID, each with :TOKEN "
        "behind if wanted",
        text);
}

/* Edits (insert, drop, change a byte) between two names, by the textbook's table (Wagner, Fischer
 * 1974). */
static size_t distance(const char *a, const char *b)
{
    size_t row[LULL_NAME_MAX + 1], n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static lull_status fail_no_name(lull_store *s, const char *name, lull_error *err)
{
    lull_move_row *moves;
    size_t n, best = strlen(name) / 2 + 1;
    lull_status st = lull_catalog_list_moves(s->catalog, NULL, &moves, &n, err);
    if (st != LULL_OK) return st;
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, moves[i].name);
        if (d >= best) continue;
        best = d;
        nearest = moves[i].name;
    }
    if (nearest)
        st = lull_fail(err, LULL_ENOTFOUND, "%.90s: there is no such name; did you mean %.90s?",
                       name, nearest);
    else
        st = lull_fail(err, LULL_ENOTFOUND, "%.90s: there is no such name: `lull ls` shows them",
                       name);
    free(moves);
    return st;
}

static size_t n_tokens_of(const lull_state_row *row)
{
    size_t n_full = row->n_pages - (row->n_tail > 0);
    return n_full * LULL_STORE_PAGE_TOKENS + row->n_tail;
}

static lull_status resolve(lull_store *s, const char *text, int64_t *id, size_t *token,
                           lull_error *err)
{
    reference ref;
    lull_status st = LULL_OK;
    *id = 0;
    *token = SIZE_MAX;
    LULL_TRY(parse(text, &ref, err));
    if (!ref.name[0]) {
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(s->catalog, (int64_t)ref.id, &row, err));
        bool is_there = row.id != 0;
        lull_state_row_fini(&row);
        if (!is_there) {
            LULL_TRY(lull_store_suspect(s, err));
            return lull_fail(err, LULL_ENOTFOUND, "there is no state #%" PRIu64, ref.id);
        }
        *id = (int64_t)ref.id;
    } else {
        lull_move_row move;
        LULL_TRY(lull_catalog_find_move(s->catalog, ref.name, ref.n_back, &move, err));
        if (move.seq == 0) {
            LULL_TRY(lull_store_suspect(s, err));
            if (ref.n_back > 0)
                LULL_TRY(lull_catalog_find_move(s->catalog, ref.name, 0, &move, err));
            if (move.seq == 0) return fail_no_name(s, ref.name, err);
            return lull_fail(err, LULL_ENOTFOUND, "%s has not moved %" PRIu64 " times", ref.name,
                             ref.n_back);
        }
        *id = move.state;
    }
    if (ref.token != SIZE_MAX) {
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(s->catalog, *id, &row, err));
        size_t n_tokens = n_tokens_of(&row);
        lull_state_row_fini(&row);
        if (ref.token > n_tokens)
            return lull_fail(err, LULL_EINVAL, "%.90s: the state has %zu tokens", text, n_tokens);
    }
    *token = ref.token;
done:
    return st;
}

lull_status lull_store_resolve(lull_store *s, const char *text, int64_t *id, size_t *token,
                               lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, resolve(s, text, id, token, err), err);
    return st;
}

/* ---- a state --------------------------------------------------------------------------------- */

void lull_store_state_fini(lull_store_state *st)
{
    for (size_t i = 0; i < st->n_names; i++) free(st->names[i]);
    for (size_t i = 0; i < st->n_tags; i++) free(st->tags[i]);
    free(st->names);
    free(st->tags);
    free(st->card);
    free(st->session);
    *st = (lull_store_state){0};
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The bytes of the pages that no other state has, and of the state's record. */
static lull_status count_own(lull_store *s, const lull_state_row *row, uint64_t *n_bytes,
                             lull_error *err)
{
    lull_status st = LULL_OK;
    int64_t *ids = NULL, *own = calloc(row->n_pages + 1, sizeof *own);
    bool *is_shared = calloc(row->n_pages + 1, sizeof *is_shared);
    size_t n_ids = 0;
    *n_bytes = row->n_bytes;
    if (!own || !is_shared) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages");
        goto done;
    }
    memcpy(own, row->pages, row->n_pages * sizeof *own);
    qsort(own, row->n_pages, sizeof *own, by_id);
    LULL_TRY(lull_catalog_list_states(s->catalog, 0, &ids, &n_ids, err));
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] == row->id) continue;
        lull_state_row other;
        LULL_TRY(lull_catalog_get_state(s->catalog, ids[i], &other, err));
        for (size_t k = 0; k < other.n_pages; k++) {
            int64_t *at = bsearch(&other.pages[k], own, row->n_pages, sizeof *own, by_id);
            if (at) is_shared[at - own] = true;
        }
        lull_state_row_fini(&other);
    }
    for (size_t i = 0; i < row->n_pages; i++) {
        lull_page_row page;
        if (is_shared[i]) continue;
        LULL_TRY(lull_catalog_get_page(s->catalog, own[i], &page, err));
        *n_bytes += page.n_bytes;
    }
done:
    free(own);
    free(is_shared);
    free(ids);
    return st;
}

static lull_status add_string(char ***list, size_t *n, const char *text, lull_error *err)
{
    char **all = realloc(*list, (*n + 1) * sizeof *all);
    if (all) *list = all;
    if (!all || !(all[*n] = strdup(text)))
        return lull_fail(err, LULL_ENOMEM, "out of memory for a state's names");
    ++*n;
    return LULL_OK;
}

lull_status lull_store_get_rows(lull_store *s, int64_t id, bool with_own_bytes, bool with_labels,
                                lull_store_state *out, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_state_row row = {0};
    lull_move_row *moves = NULL;
    lull_tag_row *tags = NULL;
    size_t n_moves = 0, n_tags = 0;
    LULL_TRY(lull_catalog_get_state(s->catalog, id, &row, err));
    if (row.id == 0) {
        LULL_TRY(lull_store_suspect(s, err));
        st = lull_fail(err, LULL_ENOTFOUND, "there is no state #%" PRId64, id);
        goto done;
    }
    size_t n_full = row.n_pages - (row.n_tail > 0);
    *out = (lull_store_state){
        .id = row.id,
        .parent = row.parent,
        .n_tokens = n_tokens_of(&row),
        .n_pages = n_full,
        .n_tail = row.n_tail,
        .n_window_pages = row.n_window_pages,
        .created_ms = row.created_ms,
        .bytes = row.page_bytes + row.n_bytes,
    };
    memcpy(out->kv_identity, row.kv_identity.bytes, sizeof out->kv_identity);
    if (with_own_bytes) LULL_TRY(count_own(s, &row, &out->own_bytes, err));
    out->card = row.card;
    out->session = row.session;
    row.card = row.session = NULL;
    if (!with_labels) goto done;
    LULL_TRY(lull_catalog_list_moves_to(s->catalog, id, &moves, &n_moves, err));
    for (size_t i = 0; i < n_moves; i++) {
        lull_move_row now; /* only where it stands, not where it stood */
        LULL_TRY(lull_catalog_find_move(s->catalog, moves[i].name, 0, &now, err));
        if (now.seq == moves[i].seq)
            LULL_TRY(add_string(&out->names, &out->n_names, moves[i].name, err));
    }
    LULL_TRY(lull_catalog_list_tags(s->catalog, id, &tags, &n_tags, err));
    for (size_t i = 0; i < n_tags; i++)
        LULL_TRY(add_string(&out->tags, &out->n_tags, tags[i].tag, err));
done:
    free(moves);
    free(tags);
    lull_state_row_fini(&row);
    if (st != LULL_OK) lull_store_state_fini(out);
    return st;
}

static lull_status get(lull_store *s, int64_t id, bool with_own_bytes, bool with_labels,
                       lull_store_state *out, lull_error *err)
{
    *out = (lull_store_state){0};
    lull_status st = lull_catalog_begin(s->catalog, false, err);
    if (st == LULL_OK) st = lull_store_get_rows(s, id, with_own_bytes, with_labels, out, err);
    lull_catalog_rollback(s->catalog);
    return st;
}

lull_status lull_store_get(lull_store *s, int64_t id, bool with_own_bytes, lull_store_state *out,
                           lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, get(s, id, with_own_bytes, true, out, err), err);
    return st;
}

lull_status lull_store_get_unlabelled(lull_store *s, int64_t id, lull_store_state *out,
                                      lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, get(s, id, false, false, out, err), err);
    return st;
}

lull_status lull_store_list(lull_store *s, int64_t **ids, size_t *n, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, lull_catalog_list_states(s->catalog, 0, ids, n, err), err);
    return st;
}

static lull_status history(lull_store *s, const char *name, lull_store_move **moves, size_t *n,
                           lull_error *err)
{
    lull_status st = LULL_OK;
    lull_move_row *rows = NULL;
    *moves = NULL;
    *n = 0;
    LULL_TRY(lull_catalog_list_moves(s->catalog, name, &rows, n, err));
    if (*n == 0) {
        LULL_TRY(lull_store_suspect(s, err));
        return fail_no_name(s, name, err);
    }
    *moves = calloc(*n, sizeof **moves);
    if (!*moves) {
        *n = 0;
        st = lull_fail(err, LULL_ENOMEM, "out of memory for a name's history");
        goto done;
    }
    for (size_t i = 0; i < *n; i++)
        (*moves)[*n - 1 - i] = (lull_store_move){rows[i].state, rows[i].at_ms};
done:
    free(rows);
    return st;
}

lull_status lull_store_history(lull_store *s, const char *name, lull_store_move **moves, size_t *n,
                               lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, history(s, name, moves, n, err), err);
    return st;
}
