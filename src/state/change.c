/* One change of the store: a writing transaction, records at a segment's end, their sync, the commit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "store_private.h"

/* Past this much that is not synced, the sync comes before the transaction and not within it, so that
 * other writers need not wait. */
enum { SYNC_AHEAD_BYTES = 8 << 20 };

/* ---- pending pages --------------------------------------------------------------------------- */

static size_t slot_of(const lull_pending *p, const lull_digest *key)
{
    size_t hash;
    memcpy(&hash, key->bytes, sizeof hash); /* a digest is as good as any hash */
    for (size_t i = hash & (p->n_slots - 1);; i = (i + 1) & (p->n_slots - 1)) {
        uint32_t at = p->slots[i];
        if (at == 0 || memcmp(&p->rows[at - 1].key, key, sizeof *key) == 0) return i;
    }
}

const lull_page_row *lull_pending_find(const lull_pending *p, const lull_digest *key)
{
    if (p->n == 0) return NULL;
    uint32_t at = p->slots[slot_of(p, key)];
    return at ? &p->rows[at - 1] : NULL;
}

/* Slots anew for all rows; cap has grown or rows have gone. */
static lull_status index_pending(lull_pending *p, lull_error *err)
{
    size_t n_slots = 64;
    while (n_slots < 2 * p->cap) n_slots *= 2;
    if (n_slots != p->n_slots) {
        uint32_t *slots = malloc(n_slots * sizeof *slots);
        if (!slots) return lull_fail(err, LULL_ENOMEM, "out of memory for pages");
        free(p->slots);
        p->slots = slots;
        p->n_slots = n_slots;
    }
    memset(p->slots, 0, n_slots * sizeof *p->slots);
    for (size_t i = 0; i < p->n; i++) p->slots[slot_of(p, &p->rows[i].key)] = (uint32_t)i + 1;
    return LULL_OK;
}

static lull_status add_pending(lull_pending *p, const lull_page_row *row, lull_error *err)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 32;
        lull_page_row *rows = cap < UINT32_MAX / 4 ? realloc(p->rows, cap * sizeof *rows) : NULL;
        if (!rows) return lull_fail(err, LULL_ENOMEM, "out of memory for pages");
        p->rows = rows;
        size_t was = p->cap;
        p->cap = cap;
        lull_status st = index_pending(p, err);
        if (st != LULL_OK) {
            p->cap = was;
            return st;
        }
    }
    p->rows[p->n++] = *row;
    p->slots[slot_of(p, &row->key)] = (uint32_t)p->n;
    return LULL_OK;
}

/* Keep the rows that keep() wants. */
static void filter_pending(lull_pending *p, bool (*keep)(void *user, lull_page_row *row),
                           void *user)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (keep(user, &p->rows[i])) p->rows[n++] = p->rows[i];
    if (n == p->n) return;
    p->n = n;
    lull_status st = index_pending(p, NULL); /* as many slots as before: nothing to fail */
    (void)st;
}

void lull_pending_fini(lull_pending *p)
{
    free(p->rows);
    free(p->slots);
    *p = (lull_pending){0};
}

/* ---- the writer ------------------------------------------------------------------------------ */

lull_status lull_store_writable(const lull_store *s, lull_error *err)
{
    if (s->is_export)
        return lull_fail(err, LULL_EINVAL, "%s: an export is not written to: import it first",
                         s->folder);
    if (s->is_read_only)
        return lull_fail(err, LULL_EINVAL, "%s: the store was opened for reading", s->folder);
    return LULL_OK;
}

static lull_segment *writer_of(lull_store *s)
{
    return s->n_writers ? &s->writers[s->n_writers - 1] : NULL;
}

static lull_status push_writer(lull_store *s, lull_segment *seg, lull_error *err)
{
    lull_segment *all = realloc(s->writers, (s->n_writers + 1) * sizeof *all);
    if (!all) {
        lull_segment_close(seg);
        return lull_fail(err, LULL_ENOMEM, "out of memory for a segment");
    }
    s->writers = all;
    s->writers[s->n_writers++] = *seg;
    return LULL_OK;
}

/* Go on with a segment that a process has left unsealed: whole up to what the catalogue knows. */
static lull_status adopt_writer(lull_store *s, bool *is_found, lull_error *err)
{
    *is_found = false;
    lull_segment_row *rows;
    size_t n;
    lull_status st = lull_catalog_list_segments(s->catalog, &rows, &n, err);
    if (st != LULL_OK) return st;
    for (size_t i = 0; i < n && !*is_found; i++) {
        if (rows[i].is_sealed || rows[i].committed >= s->max_segment_bytes ||
            rows[i].id == s->given_up.id)
            continue;
        lull_segment seg;
        char path[LULL_SEGMENT_PATH_MAX];
        if (lull_segment_path(s->segments, rows[i].id, path, NULL) != LULL_OK ||
            lull_segment_open(path, true, &seg, NULL) != LULL_OK)
            continue; /* held by another process, or not to be trusted */
        /* Now that it is locked: has somebody moved its end, or gc taken it away? */
        lull_segment_row row;
        st = lull_catalog_find_segment(s->catalog, rows[i].id, &row, err);
        if (st == LULL_OK && row.id == seg.id && !row.is_sealed && row.committed == seg.end) {
            *is_found = true;
            st = push_writer(s, &seg, err);
        } else {
            lull_segment_close(&seg);
        }
        if (st != LULL_OK) break;
    }
    free(rows);
    return st;
}

lull_status lull_store_ready_writer(lull_store *s, lull_error *err)
{
    lull_status st = LULL_OK;
    LULL_TRY(lull_store_settle(s, err));
    lull_segment *w = writer_of(s);
    if (w && w->end < s->max_segment_bytes) return LULL_OK;
    bool is_found = false;
    if (!w) LULL_TRY(adopt_writer(s, &is_found, err));
    if (is_found) return LULL_OK;
    lull_segment seg;
    LULL_TRY(lull_segment_create(s->segments, &seg, err));
    LULL_TRY(push_writer(s, &seg, err));
done:
    return st;
}

lull_status lull_store_append_page(lull_store *s, lull_record *r,
                                   const void *const parts[LULL_RECORD_PARTS], lull_error *err)
{
    lull_status st = LULL_OK;
    LULL_TRY(lull_store_ready_writer(s, err));
    lull_segment *w = writer_of(s);
    LULL_TRY(lull_segment_append(w, r, parts, err));
    lull_page_row row = lull_page_row_of(r);
    st = add_pending(&s->pending, &row, err);
    if (st != LULL_OK && lull_segment_cut(w, r->offset, NULL) != LULL_OK) w->end = r->offset;
done:
    return st;
}

/* ---- a sync that failed ---------------------------------------------------------------------- */

typedef struct salvage {
    lull_store *s;
    const lull_segment *old;
    bool has_writer, is_complete;
} salvage;

/* Write a pending page of the failed segment again, elsewhere. The bytes are still in memory, usually:
 * the system's cache has them, and they are compared with their sums. Durable ones move, too: nobody
 * holds that segment any more, and to the next gc they are nobody's. False drops the page. */
static bool salvage_page(void *user, lull_page_row *row)
{
    salvage *sv = user;
    if (row->segment != sv->old->id) return true;
    lull_record r = lull_record_of(row);
    uint8_t *planes[LULL_RECORD_PARTS] = {0};
    lull_status st = sv->has_writer ? LULL_OK : LULL_EIO;
    for (int i = 0; st == LULL_OK && i < LULL_RECORD_PARTS; i++)
        if (r.parts[i].n_bytes > 0) st = lull_segment_read_part(sv->old, &r, i, &planes[i], NULL);
    if (st == LULL_OK) {
        const void *parts[LULL_RECORD_PARTS] = {planes[0], planes[1]};
        st = lull_segment_append(writer_of(sv->s), &r, parts, NULL);
    }
    for (int i = 0; i < LULL_RECORD_PARTS; i++) free(planes[i]);
    if (st == LULL_OK)
        *row = lull_page_row_of(&r);
    else
        sv->is_complete = false;
    return st == LULL_OK;
}

/* Cut off what was not durable when a segment was given up, then let go of it. What was durable stays:
 * there are states in it. */
static lull_status cut_given_up(lull_store *s, lull_error *err)
{
    lull_segment *old = &s->given_up;
    if (old->fd < 0) return LULL_OK;
    uint64_t keep = old->synced > LULL_RECORD_ALIGN ? old->synced : LULL_RECORD_ALIGN;
    lull_status st = lull_segment_cut(old, keep, err);
    if (st == LULL_OK) lull_segment_close(old);
    return st;
}

/* The writer's segment failed to sync: what is not durable there may be lost, and a second sync would
 * not tell. Give it up and go on in a new one; where none can be made, its pages are dropped. */
static void give_up_writer(lull_store *s)
{
    lull_segment fresh;
    s->given_up = s->writers[--s->n_writers];
    lull_status st = lull_segment_create(s->segments, &fresh, NULL);
    if (st == LULL_OK) st = push_writer(s, &fresh, NULL);
    salvage sv = {s, &s->given_up, .has_writer = st == LULL_OK, .is_complete = true};
    filter_pending(&s->pending, salvage_page, &sv);
    s->is_moved = sv.has_writer && sv.is_complete;
    st = cut_given_up(s, NULL);
    (void)st; /* once more in lull_store_settle */
}

static lull_status sync_writers(lull_store *s, lull_error *err)
{
    for (size_t i = 0; i < s->n_writers; i++) {
        lull_segment *w = &s->writers[i];
        lull_status st = lull_segment_sync(w, s->segments, err);
        if (st == LULL_OK) continue;
        lull_segment failed = *w; /* to the end of the list, where the writer is */
        memmove(w, w + 1, (s->n_writers - i - 1) * sizeof *w);
        s->writers[s->n_writers - 1] = failed;
        give_up_writer(s);
        return st;
    }
    return LULL_OK;
}

/* ---- a change -------------------------------------------------------------------------------- */

/* locks/change names the last change that was begun: its segment, and the first number that it gave out.
 * It is looked at and written within SQLite's writing transaction, so whoever finds a number there that
 * was not committed has come after a writer that died within its change, or was thrown out of it. It
 * need not be durable: opening a store looks at the end of every segment. */
typedef struct change_mark {
    uint64_t segment, seq;
} change_mark;

static lull_status read_mark(lull_store *s, change_mark *mark, lull_error *err)
{
    uint64_t n_bytes;
    *mark = (change_mark){0};
    lull_status st = lull_disk_size(s->change_fd, s->locks, &n_bytes, err);
    if (st != LULL_OK || n_bytes < sizeof *mark) return st;
    return lull_disk_read(s->change_fd, s->locks, mark, sizeof *mark, 0, err);
}

static lull_status write_mark(lull_store *s, change_mark mark, lull_error *err)
{
    return lull_disk_write(s->change_fd, s->locks, &mark, sizeof mark, 0, err);
}

/* Is there a change that was begun and did not come to its end, by another writer? */
static lull_status find_broken(lull_store *s, uint64_t seq, change_mark *mark, bool *is_found,
                               lull_error *err)
{
    lull_status st = read_mark(s, mark, err);
    *is_found = st == LULL_OK && mark->seq > seq;
    for (size_t i = 0; i < s->n_writers; i++) /* our own: its records were cut off */
        if (s->writers[i].id == mark->segment) *is_found = false;
    return st;
}

/* Begin a writing transaction after every change that was begun. A dead writer's records may be durable:
 * were they passed over, this change's would go by the same numbers, and the segments alone would not
 * tell whose counted. */
static lull_status begin_transaction(lull_store *s, uint64_t *seq, lull_error *err)
{
    lull_status st = LULL_OK;
    for (bool is_retry = false;; is_retry = true) {
        change_mark mark;
        bool is_found;
        LULL_TRY(lull_catalog_begin(s->catalog, true, err));
        LULL_TRY(lull_catalog_get_counter(s->catalog, LULL_COUNTER_SEQ, seq, err));
        LULL_TRY(find_broken(s, *seq, &mark, &is_found, err));
        if (!is_found || is_retry) break;
        lull_catalog_rollback(s->catalog);
        LULL_TRY(lull_store_redo(s, mark.segment & INT64_MAX, err));
    }
    LULL_TRY(write_mark(s, (change_mark){writer_of(s)->id, *seq + 1}, err));
    return LULL_OK;
done:
    lull_catalog_rollback(s->catalog);
    return st;
}

lull_status lull_change_begin(lull_store *s, lull_change *ch, lull_error *err)
{
    lull_status st = LULL_OK;
    *ch = (lull_change){.is_done = true};
    s->is_moved = false;
    LULL_TRY(lull_store_writable(s, err));
    LULL_TRY(lull_store_ready_writer(s, err));
    uint64_t n_waiting = 0;
    for (size_t i = 0; i < s->n_writers; i++) n_waiting += s->writers[i].end - s->writers[i].synced;
    if (n_waiting > SYNC_AHEAD_BYTES) LULL_TRY(sync_writers(s, err));
    LULL_TRY(begin_transaction(s, &ch->seq, err));
    ch->is_done = false;
    ch->segment = writer_of(s)->id;
    ch->end = writer_of(s)->end;
done:
    return st;
}

lull_status lull_change_record(lull_store *s, lull_change *ch, lull_record *r,
                               const lull_buffer *body, lull_error *err)
{
    lull_status st = LULL_OK;
    if (body->is_failed) return lull_fail(err, LULL_ENOMEM, "out of memory for a record");
    r->seq = ch->seq + 1;
    r->at_ms = lull_disk_now_ms();
    if (r->at_ms <= s->last_ms) r->at_ms = s->last_ms + 1;
    s->last_ms = r->at_ms;
    r->parts[0].n_bytes = body->n_bytes;
    const void *parts[LULL_RECORD_PARTS] = {body->data};
    LULL_TRY(lull_segment_append(writer_of(s), r, parts, err));
    ch->seq++;
    LULL_TRY(lull_store_apply(s->catalog, writer_of(s)->path, r, (const uint8_t *)body->data,
                              body->n_bytes, err));
done:
    return st;
}

static bool is_uncommitted(void *user, lull_page_row *row)
{
    (void)user;
    return row->id == 0;
}

/* Cut off the change's records: they are behind every pending page of their segment, which need not be
 * the writer's any more. */
static lull_status take_back(lull_store *s, const lull_change *ch)
{
    lull_segment *w = NULL;
    for (size_t i = 0; i < s->n_writers && !w; i++)
        if (s->writers[i].id == ch->segment) w = &s->writers[i];
    uint64_t end = ch->end;
    for (size_t i = 0; i < s->pending.n; i++) {
        const lull_page_row *row = &s->pending.rows[i];
        if (row->segment == ch->segment && row->offset + row->n_bytes > end)
            end = row->offset + row->n_bytes;
    }
    return w && w->end > end ? lull_segment_cut(w, end, NULL) : LULL_OK;
}

void lull_store_drop_unsettled(lull_store *s)
{
    if (s->unsettled.segment != 0 && take_back(s, &s->unsettled) == LULL_OK)
        s->unsettled = (lull_change){0};
}

lull_status lull_store_settle(lull_store *s, lull_error *err)
{
    lull_change *ch = &s->unsettled;
    uint64_t now = 0;
    lull_status st = cut_given_up(s, err);
    if (st != LULL_OK || ch->segment == 0) return st;
    LULL_TRY(lull_catalog_begin(s->catalog, true, err));
    LULL_TRY(lull_catalog_get_counter(s->catalog, LULL_COUNTER_SEQ, &now, err));
    if (now < ch->seq) /* another may have gone by */
        LULL_TRY(lull_catalog_set_counter(s->catalog, LULL_COUNTER_SEQ, ch->seq, err));
    LULL_TRY(lull_catalog_commit(s->catalog, err));
    lull_store_drop_unsettled(s);
    if (ch->segment != 0)
        st = lull_fail(err, LULL_EIO, "%s: what a change that failed has left cannot be cut off",
                       s->segments);
done:
    lull_catalog_rollback(s->catalog);
    return st;
}

static void forget_ids(lull_pending *p)
{
    for (size_t i = 0; i < p->n; i++) p->rows[i].id = 0;
}

void lull_change_abort(lull_store *s, lull_change *ch)
{
    if (ch->is_done) return;
    ch->is_done = true;
    forget_ids(&s->pending);
    if (take_back(s, ch) != LULL_OK) s->unsettled = *ch; /* before others may begin */
    if (lull_catalog_is_open(s->catalog)) {
        lull_status st = write_mark(s, (change_mark){0}, NULL);
        (void)st; /* one that stays makes the next writer look for what is not there */
    }
    lull_catalog_rollback(s->catalog);
}

/* A commit has failed. Without room its log was not written to its end, and will not be believed. Else
 * nobody knows whether it is on the disk, so the records stay until another transaction stands in its
 * place. */
static void undo_commit(lull_store *s, lull_change *ch, lull_status why)
{
    ch->is_done = true;
    forget_ids(&s->pending);
    s->unsettled = *ch;
    if (why == LULL_EFULL) lull_store_drop_unsettled(s);
    lull_status st = lull_store_settle(s, NULL);
    (void)st; /* once more before anything is appended */
}

lull_status lull_change_end(lull_store *s, lull_change *ch, lull_error *err)
{
    lull_status st = LULL_OK;
    /* Sync first: what the catalogue says must be there (S1). */
    st = sync_writers(s, err);
    if (st != LULL_OK) {
        lull_change_abort(s, ch);
        return st;
    }
    for (size_t i = 0; i < s->n_writers; i++) {
        const lull_segment *w = &s->writers[i];
        lull_segment_row row = {
            .id = w->id,
            .committed = w->end,
            .is_sealed = i + 1 < s->n_writers || w->end >= s->max_segment_bytes,
        };
        LULL_TRY(lull_catalog_put_segment(s->catalog, &row, err));
    }
    LULL_TRY(lull_catalog_set_counter(s->catalog, LULL_COUNTER_SEQ, ch->seq, err));
    st = lull_catalog_commit(s->catalog, err);
    if (st != LULL_OK) {
        undo_commit(s, ch, st);
        return st;
    }
    ch->is_done = true;
    filter_pending(&s->pending, is_uncommitted, NULL);
    /* A full segment is let go of when no pending page lies in it any more. */
    for (size_t i = 0; i + 1 < s->n_writers;) {
        bool is_needed = false;
        for (size_t k = 0; k < s->pending.n && !is_needed; k++)
            is_needed = s->pending.rows[k].segment == s->writers[i].id;
        if (is_needed) {
            i++;
            continue;
        }
        lull_segment_close(&s->writers[i]);
        s->n_writers--;
        memmove(&s->writers[i], &s->writers[i + 1], (s->n_writers - i) * sizeof *s->writers);
    }
done:
    if (st != LULL_OK) lull_change_abort(s, ch);
    return st;
}

lull_status lull_change_checkpoint(lull_store *s, lull_change *ch, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_buffer body = {0};
    int64_t *ids = NULL;
    lull_move_row *moves = NULL;
    lull_tag_row *tags = NULL;
    size_t n_ids, n_moves, n_tags;
    LULL_TRY(lull_catalog_list_states(s->catalog, 0, &ids, &n_ids, err));
    LULL_TRY(lull_catalog_list_moves(s->catalog, NULL, &moves, &n_moves, err));
    LULL_TRY(lull_catalog_list_tags(s->catalog, 0, &tags, &n_tags, err));
    uint64_t last_state;
    LULL_TRY(lull_catalog_get_counter(s->catalog, LULL_COUNTER_STATE, &last_state, err));
    lull_body_put(&body, last_state);
    lull_body_put(&body, n_ids);
    for (size_t i = 0; i < n_ids; i++) lull_body_put(&body, (uint64_t)ids[i]);
    lull_body_put(&body, n_moves);
    for (size_t i = 0; i < n_moves; i++) {
        lull_body_put(&body, moves[i].seq);
        lull_body_put(&body, moves[i].at_ms);
        lull_body_put(&body, (uint64_t)moves[i].state);
        lull_body_put_text(&body, moves[i].name);
    }
    lull_body_put(&body, n_tags);
    for (size_t i = 0; i < n_tags; i++) {
        lull_body_put(&body, (uint64_t)tags[i].state);
        lull_body_put_text(&body, tags[i].tag);
    }
    lull_record r = {.type = LULL_RECORD_CHECKPOINT};
    LULL_TRY(lull_change_record(s, ch, &r, &body, err));
done:
    lull_buffer_fini(&body);
    free(ids);
    free(moves);
    free(tags);
    return st;
}
