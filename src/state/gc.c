/* Gc: take away what nothing refers to, and count what is left. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "disk.h"
#include "store_private.h"

enum {
    MIN_OWN_DEAD_BYTES = 64 * 1024, /* a segment that gc itself writes to is not moved for less */
    MIN_THINNED_PART = 16,          /* nor one for less than 1/16 of it, when it is but thinned */
};

/* ---- what is alive ---------------------------------------------------------------------------- */

typedef struct live_page {
    int64_t id;
    uint64_t n_bytes;
    uint64_t
        n_thin_bytes;  /* that would be saved without plane 1; 0: it has none, or nothing else */
    uint64_t n_window; /* pages, as all states have it that were looked at; 0: none was */
    uint32_t n_refs;
    bool is_whole; /* some state needs its plane 1 */
} live_page;

typedef struct live_state {
    int64_t id;
    uint64_t n_bytes;
    int64_t *pages; /* owned [n_pages] */
    size_t n_pages;
    uint64_t n_window; /* pages */
    bool is_leased;
    uint32_t n_refs; /* by names, kept history and leases */
} live_state;

typedef struct marks {
    live_page *pages; /* owned [n_pages], in order of id */
    size_t n_pages, cap_pages;
    live_state *states; /* owned [n_states], in order of id */
    size_t n_states;
    lull_move_row *moves; /* owned [n_moves], in order of seq; seq 0: dropped */
    bool *is_current;     /* owned [n_moves] */
    size_t n_moves, n_dropped;
    uint64_t n_bytes;    /* of what is alive */
    uint64_t last_state; /* that there was: later ones were not looked at */
    bool is_swept; /* the rows of what is dead were taken away: one that is there is alive, whatever
                    * it was when the marks were set */
} marks;

static void fini_marks(marks *m)
{
    for (size_t i = 0; i < m->n_states; i++) free(m->states[i].pages);
    free(m->states);
    free(m->pages);
    free(m->moves);
    free(m->is_current);
}

static lull_status take_page(void *user, const lull_page_row *row, lull_error *err)
{
    marks *m = user;
    if (m->n_pages == m->cap_pages) {
        size_t cap = m->cap_pages ? 2 * m->cap_pages : 256;
        live_page *pages = realloc(m->pages, cap * sizeof *pages);
        if (!pages) return lull_fail(err, LULL_ENOMEM, "out of memory for the list of pages");
        m->pages = pages;
        m->cap_pages = cap;
    }
    const lull_record_part *planes = row->parts;
    bool has_both = planes[0].n_bytes > 0 && planes[1].n_bytes > 0;
    m->pages[m->n_pages++] = (live_page){
        .id = row->id,
        .n_bytes = row->n_bytes,
        .n_thin_bytes = has_both ? row->n_bytes - planes[1].offset : 0, /* it is the last part */
    };
    return LULL_OK;
}

static int by_id(const void *a, const void *b) /* both begin with their id */
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
    const lull_move_row *x = *(lull_move_row *const *)a, *y = *(lull_move_row *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->seq < y->seq ? -1 : x->seq > y->seq;
}

static live_page *find_page(const marks *m, int64_t id)
{
    return m->n_pages ? bsearch(&id, m->pages, m->n_pages, sizeof *m->pages, by_id) : NULL;
}

static live_state *find_state(const marks *m, int64_t id)
{
    return m->n_states ? bsearch(&id, m->states, m->n_states, sizeof *m->states, by_id) : NULL;
}

/* Count one more, or one less, that refers to a state; its pages follow it into and out of life. */
static void refer(marks *m, int64_t id, int by)
{
    live_state *state = find_state(m, id);
    if (!state) return;
    bool was_alive = state->n_refs > 0;
    state->n_refs = (uint32_t)((int64_t)state->n_refs + by);
    if (was_alive == (state->n_refs > 0)) return;
    m->n_bytes += by > 0 ? state->n_bytes : -state->n_bytes;
    for (size_t i = 0; i < state->n_pages; i++) {
        live_page *page = find_page(m, state->pages[i]);
        if (!page) continue;
        page->n_refs = (uint32_t)((int64_t)page->n_refs + by);
        if (by > 0 && page->n_refs == 1) m->n_bytes += page->n_bytes;
        if (by < 0 && page->n_refs == 0) m->n_bytes -= page->n_bytes;
    }
}

static lull_status load_marks(lull_store *s, marks *m, lull_error *err)
{
    lull_status st = LULL_OK;
    int64_t *ids = NULL;
    lull_move_row **sorted = NULL;
    size_t n_ids = 0;
    LULL_TRY(lull_catalog_each_page(s->catalog, 0, take_page, m, err));
    LULL_TRY(lull_catalog_list_states(s->catalog, 0, &ids, &n_ids, err));
    LULL_TRY(lull_catalog_list_moves(s->catalog, NULL, &m->moves, &m->n_moves, err));
    LULL_TRY(lull_catalog_get_counter(s->catalog, LULL_COUNTER_STATE, &m->last_state, err));
    m->states = calloc(n_ids + 1, sizeof *m->states);
    m->is_current = calloc(m->n_moves + 1, sizeof *m->is_current);
    sorted = calloc(m->n_moves + 1, sizeof *sorted);
    if (!m->states || !m->is_current || !sorted) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the list of states");
        goto done;
    }
    for (size_t i = 0; i < n_ids; i++) {
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(s->catalog, ids[i], &row, err));
        m->states[m->n_states++] = (live_state){
            .id = ids[i],
            .n_bytes = row.n_bytes,
            .pages = row.pages,
            .n_pages = row.n_pages,
            .n_window = row.n_window_pages,
        };
        row.pages = NULL;
        lull_state_row_fini(&row);
    }
    for (size_t i = 0; i < m->n_moves; i++) sorted[i] = &m->moves[i];
    qsort(sorted, m->n_moves, sizeof *sorted, by_name);
    for (size_t i = 0; i < m->n_moves; i++)
        m->is_current[sorted[i] - m->moves] =
            i + 1 == m->n_moves || strcmp(sorted[i]->name, sorted[i + 1]->name) != 0;
    for (size_t i = 0; i < m->n_moves; i++) refer(m, m->moves[i].state, 1);
done:
    free(ids);
    free(sorted);
    return st;
}

/* Which pages need their plane 1: of each state the window before its end, and one page more for its
 * tail; every other block of a window before that; all, where it has no window, or is leased, or has
 * another window than a state that shares the page. */
static void mark_whole(marks *m)
{
    for (size_t i = 0; i < m->n_states; i++) {
        const live_state *state = &m->states[i];
        if (state->n_refs == 0) continue;
        for (size_t k = 0; k < state->n_pages; k++) {
            live_page *page = find_page(m, state->pages[k]);
            if (!page) continue;
            uint64_t w = state->n_window, n_after = state->n_pages - 1 - k;
            if (w == 0 || state->is_leased || n_after <= w || k / w % 2 == 0 ||
                (page->n_window != 0 && page->n_window != w))
                page->is_whole = true;
            page->n_window = w;
        }
    }
}

/* Within a change, or a reading transaction for a dry run. */
static lull_status mark(lull_store *s, marks *m, const lull_store_gc_options *options,
                        lull_error *err)
{
    lull_status st = LULL_OK;
    int64_t *leases = NULL;
    size_t n_leases;
    LULL_TRY(load_marks(s, m, err));
    LULL_TRY(lull_wake_leases(s, true, &leases, &n_leases, err));
    for (size_t i = 0; i < n_leases; i++) {
        live_state *state = find_state(m, leases[i]);
        if (state) state->is_leased = true;
        refer(m, leases[i], 1);
    }
    uint64_t now = lull_disk_now_ms();
    for (size_t i = 0; i < m->n_moves; i++) { /* the oldest first */
        lull_move_row *move = &m->moves[i];
        bool is_old =
            options->max_age_ms > 0 && move->at_ms < now && now - move->at_ms > options->max_age_ms;
        bool is_too_much = options->max_bytes > 0 && m->n_bytes > options->max_bytes;
        if (m->is_current[i] || !(is_old || is_too_much)) continue;
        refer(m, move->state, -1);
        if (!options->is_dry_run) LULL_TRY(lull_catalog_drop_move(s->catalog, move->seq, err));
        move->seq = 0;
        m->n_dropped++;
    }
    if (options->is_thinning) mark_whole(m);
done:
    free(leases);
    return st;
}

static lull_status drop_tags(lull_store *s, int64_t state, lull_error *err)
{
    lull_tag_row *tags;
    size_t n;
    lull_status st = lull_catalog_list_tags(s->catalog, state, &tags, &n, err);
    for (size_t i = 0; st == LULL_OK && i < n; i++)
        st = lull_catalog_set_tag(s->catalog, state, tags[i].tag, false, err);
    free(tags);
    return st;
}

/* Take the rows of what is dead away, and write down what is left. */
static lull_status sweep(lull_store *s, const marks *m, bool is_dry_run,
                         lull_store_gc_report *report, lull_change *ch, lull_error *err)
{
    lull_status st = LULL_OK;
    for (size_t i = 0; i < m->n_states; i++) {
        if (m->states[i].n_refs > 0) continue;
        report->n_states++;
        if (is_dry_run) continue;
        LULL_TRY(drop_tags(s, m->states[i].id, err));
        LULL_TRY(lull_catalog_drop_state(s->catalog, m->states[i].id, err));
    }
    for (size_t i = 0; i < m->n_pages; i++) {
        if (m->pages[i].n_refs > 0) continue;
        report->n_pages++;
        if (!is_dry_run) LULL_TRY(lull_catalog_drop_page(s->catalog, m->pages[i].id, err));
    }
    if (!is_dry_run && (report->n_states > 0 || report->n_pages > 0 || m->n_dropped > 0))
        LULL_TRY(lull_change_checkpoint(s, ch, err));
done:
    return st;
}

/* ---- segments --------------------------------------------------------------------------------- */

typedef struct moving {
    const marks *marks;
    bool is_thinning;
    lull_page_row *pages; /* owned [n_pages]: those alive */
    size_t n_pages, cap;
    uint64_t live_bytes; /* as they will be */
    size_t n_thinned;
    uint64_t thinned_bytes;
} moving;

/* Is a row there that a sweep would take away? Only in a dry run. */
static bool is_page_dead(const marks *m, int64_t id)
{
    const live_page *page = m->is_swept ? NULL : find_page(m, id);
    return page && page->n_refs == 0;
}

static bool is_state_dead(const marks *m, int64_t id)
{
    const live_state *state = m->is_swept ? NULL : find_state(m, id);
    return state && state->n_refs == 0;
}

/* What a page would be shorter by; 0: it stays whole. */
static uint64_t thin_bytes(const moving *m, int64_t id)
{
    const live_page *page = m->is_thinning ? find_page(m->marks, id) : NULL;
    return page && page->n_refs > 0 && !page->is_whole ? page->n_thin_bytes : 0;
}

static lull_status take_moving(void *user, const lull_page_row *row, lull_error *err)
{
    moving *m = user;
    if (is_page_dead(m->marks, row->id)) return LULL_OK;
    if (m->n_pages == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        lull_page_row *pages = realloc(m->pages, cap * sizeof *pages);
        if (!pages) return lull_fail(err, LULL_ENOMEM, "out of memory for a segment's pages");
        m->pages = pages;
        m->cap = cap;
    }
    uint64_t n_less = thin_bytes(m, row->id);
    m->pages[m->n_pages++] = *row;
    m->live_bytes += row->n_bytes - n_less;
    m->thinned_bytes += n_less;
    m->n_thinned += n_less > 0;
    return LULL_OK;
}

/* Append a copy of a record that was checked on the way; *r says where it is now. */
static lull_status copy_record(lull_store *s, const lull_segment *from, lull_record *r,
                               lull_error *err)
{
    uint8_t *bytes[LULL_RECORD_PARTS] = {0};
    lull_status st = LULL_OK;
    for (int i = 0; i < LULL_RECORD_PARTS; i++)
        if (r->parts[i].n_bytes > 0) LULL_TRY(lull_segment_read_part(from, r, i, &bytes[i], err));
    LULL_TRY(lull_store_ready_writer(s, err));
    const void *parts[LULL_RECORD_PARTS] = {bytes[0], bytes[1]};
    LULL_TRY(lull_segment_append(&s->writers[s->n_writers - 1], r, parts, err));
done:
    for (int i = 0; i < LULL_RECORD_PARTS; i++) free(bytes[i]);
    return st;
}

/* Is it worth it, or for the dry run: would it be? */
static lull_status weigh(lull_store *s, const lull_segment_row *row, moving *m, int64_t **states,
                         size_t *n_states, bool *is_due, lull_error *err)
{
    lull_status st = LULL_OK;
    *states = NULL;
    *n_states = 0;
    LULL_TRY(lull_catalog_each_page(s->catalog, row->id, take_moving, m, err));
    LULL_TRY(lull_catalog_list_states(s->catalog, row->id, states, n_states, err));
    for (size_t i = 0; i < *n_states; i++) {
        lull_state_row state;
        LULL_TRY(lull_catalog_get_state(s->catalog, (*states)[i], &state, err));
        if (!is_state_dead(m->marks, state.id)) m->live_bytes += state.n_bytes;
        lull_state_row_fini(&state);
    }
    uint64_t used = row->committed > LULL_RECORD_ALIGN ? row->committed - LULL_RECORD_ALIGN : 0;
    bool is_own = false; /* it ends in the records of this very collection */
    for (size_t i = 0; i < s->n_writers; i++) is_own = is_own || s->writers[i].id == row->id;
    bool is_worth = m->live_bytes <= used / 2 ||
                    (m->thinned_bytes > 0 && m->thinned_bytes >= used / MIN_THINNED_PART);
    *is_due = is_worth && (!is_own || used - m->live_bytes >= MIN_OWN_DEAD_BYTES);
done:
    return st;
}

/* States are shorter now by what their pages lose. *is_stale: there is a state that was not looked at,
 * and may need what would go. Within a change. */
static lull_status count_thinned(lull_store *s, const moving *m, bool *is_stale, lull_error *err)
{
    lull_status st = LULL_OK;
    uint64_t last_state;
    LULL_TRY(lull_catalog_get_counter(s->catalog, LULL_COUNTER_STATE, &last_state, err));
    *is_stale = last_state != m->marks->last_state;
    for (size_t i = 0; i < m->marks->n_states && !*is_stale; i++) {
        const live_state *state = &m->marks->states[i];
        uint64_t n_less = 0;
        for (size_t k = 0; state->n_refs > 0 && k < state->n_pages; k++) {
            lull_page_row key = {.id = state->pages[k]};
            if (bsearch(&key, m->pages, m->n_pages, sizeof *m->pages, by_id))
                n_less += thin_bytes(m, key.id);
        }
        if (n_less == 0) continue;
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(s->catalog, state->id, &row, err));
        if (row.id != 0) { /* another gc may have dropped it */
            row.page_bytes -= n_less < row.page_bytes ? n_less : row.page_bytes;
            st = lull_catalog_put_state(s->catalog, &row, err);
        }
        lull_state_row_fini(&row);
        if (st != LULL_OK) goto done;
    }
done:
    return st;
}

/* Copy what lives in a segment that is locked to us, point the rows to it, and remove the file.
 * *is_stale: nothing was done, as states have come that may need what would be thinned. */
static lull_status move_records(lull_store *s, const lull_segment *old, moving *m,
                                const int64_t *states, size_t n_states, bool *is_stale,
                                lull_error *err)
{
    lull_status st = LULL_OK;
    lull_change ch = {.is_done = true};
    lull_record *moved = calloc(n_states + 1, sizeof *moved);
    if (!moved) return lull_fail(err, LULL_ENOMEM, "out of memory for a segment's states");
    for (size_t i = 0; i < m->n_pages; i++) {
        int64_t id = m->pages[i].id;
        lull_record r = lull_record_of(&m->pages[i]);
        if (thin_bytes(m, id) > 0) r.parts[1] = (lull_record_part){0};
        LULL_TRY(copy_record(s, old, &r, err));
        m->pages[i] = lull_page_row_of(&r);
        m->pages[i].id = id;
    }
    for (size_t i = 0; i < n_states; i++) {
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(s->catalog, states[i], &row, err));
        uint64_t offset = row.offset;
        lull_state_row_fini(&row);
        LULL_TRY(lull_segment_read_record(old, offset, old->end, &moved[i], err));
        LULL_TRY(copy_record(s, old, &moved[i], err));
    }
    LULL_TRY(lull_change_begin(s, &ch, err));
    if (m->n_thinned > 0) LULL_TRY(count_thinned(s, m, is_stale, err));
    if (*is_stale) goto done;
    for (size_t i = 0; i < m->n_pages; i++) {
        lull_page_row now; /* another gc may have dropped it */
        LULL_TRY(lull_catalog_get_page(s->catalog, m->pages[i].id, &now, err));
        if (now.id != 0 && now.segment == old->id)
            LULL_TRY(lull_catalog_move_page(s->catalog, &m->pages[i], err));
    }
    for (size_t i = 0; i < n_states; i++) {
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(s->catalog, states[i], &row, err));
        row.segment = moved[i].segment;
        row.offset = moved[i].offset;
        row.n_bytes = moved[i].n_bytes;
        if (row.id != 0) st = lull_catalog_put_state(s->catalog, &row, err);
        lull_state_row_fini(&row);
        if (st != LULL_OK) goto done;
    }
    LULL_TRY(lull_catalog_drop_segment(s->catalog, old->id, err));
    /* The old segment's records of names and tags go with it. */
    LULL_TRY(lull_change_checkpoint(s, &ch, err));
    LULL_TRY(lull_change_end(s, &ch, err));
    LULL_TRY(lull_disk_unlink(old->path, err));
    LULL_TRY(lull_disk_sync_folder(s->segments, err));
done:
    lull_change_abort(s, &ch);
    free(moved);
    return st;
}

/* Let go of a segment that this handle writes to, if nothing in it waits to be committed or undone:
 * what lives in it is to be moved to another one. */
static bool leave_writer(lull_store *s, uint64_t segment)
{
    if (s->unsettled.segment == segment) return false;
    for (size_t i = 0; i < s->pending.n; i++)
        if (s->pending.rows[i].segment == segment) return false;
    for (size_t i = 0; i < s->n_writers; i++) {
        if (s->writers[i].id != segment) continue;
        lull_segment_close(&s->writers[i]);
        s->n_writers--;
        memmove(&s->writers[i], &s->writers[i + 1], (s->n_writers - i) * sizeof *s->writers);
        break;
    }
    return true;
}

/* Rewrite a segment that is mostly dead, unless somebody else writes to it. */
static lull_status rewrite(lull_store *s, const lull_segment_row *row, const marks *alive,
                           const lull_store_gc_options *options, lull_store_gc_report *report,
                           lull_error *err)
{
    moving m = {.marks = alive, .is_thinning = options->is_thinning};
    bool is_stale = false;
    int64_t *states = NULL;
    size_t n_states = 0;
    bool is_due = false;
    lull_segment old = {.fd = -1};
    lull_status st = LULL_OK;
    char path[LULL_SEGMENT_PATH_MAX];
    LULL_TRY(weigh(s, row, &m, &states, &n_states, &is_due, err));
    if (!is_due || !leave_writer(s, row->id)) goto done;
    LULL_TRY(lull_segment_path(s->segments, row->id, path, err));
    st = lull_segment_open(path, true, &old, err);
    if (st == LULL_EEXIST || st == LULL_ECORRUPT || st == LULL_ENOTFOUND) {
        st = LULL_OK; /* in use, damaged (verify tells), or gone */
        goto done;
    }
    if (st != LULL_OK) goto done;
    lull_segment_row now; /* locked: is it still what was weighed? */
    LULL_TRY(lull_catalog_find_segment(s->catalog, row->id, &now, err));
    if (now.id == 0 || now.committed != row->committed) goto done;
    if (options->is_dry_run)
        report->bytes_after -= old.end - m.live_bytes;
    else
        st = move_records(s, &old, &m, states, n_states, &is_stale, err);
    if (st == LULL_OK && !is_stale) {
        report->n_segments++;
        report->n_thinned += m.n_thinned;
    } else if (st == LULL_ECORRUPT && !lull_catalog_is_damaged(s->catalog)) {
        st = LULL_OK; /* damaged records are not thrown away with the rest: verify tells */
    }
done:
    lull_segment_close(&old);
    free(m.pages);
    free(states);
    return st;
}

/* The bytes of all segment files. */
static lull_status count_files(lull_store *s, uint64_t *n_bytes, size_t *n_files, lull_error *err)
{
    DIR *dir = opendir(s->segments);
    *n_bytes = 0;
    *n_files = 0;
    if (!dir) return lull_fail(err, LULL_EIO, "%s: %s", s->segments, strerror(errno));
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat info;
        if (lull_segment_id_of(e->d_name) == 0 || fstatat(dirfd(dir), e->d_name, &info, 0) < 0)
            continue;
        *n_bytes += (uint64_t)info.st_size;
        ++*n_files;
    }
    closedir(dir);
    return LULL_OK;
}

static lull_status gc(lull_store *s, const lull_store_gc_options *options,
                      lull_store_gc_report *report, lull_error *err)
{
    static const lull_store_gc_options none = {0};
    if (!options) options = &none;
    marks m = {0};
    lull_change ch = {.is_done = true};
    lull_segment_row *segments = NULL;
    size_t n_segments = 0, n_files;
    bool is_locked = false;
    *report = (lull_store_gc_report){0};
    lull_status st = LULL_OK;
    LULL_TRY(lull_store_writable(s, err));
    LULL_TRY(count_files(s, &report->bytes_before, &n_files, err));
    report->bytes_after = report->bytes_before;
    /* No state is leased while it is decided what is alive. */
    LULL_TRY(lull_lock_file(s->gc_fd, s->locks, LOCK_EX, 60000, err));
    is_locked = true;
    if (options->is_dry_run)
        LULL_TRY(lull_catalog_begin(s->catalog, false, err));
    else
        LULL_TRY(lull_change_begin(s, &ch, err));
    LULL_TRY(mark(s, &m, options, err));
    LULL_TRY(sweep(s, &m, options->is_dry_run, report, &ch, err));
    if (options->is_dry_run)
        lull_catalog_rollback(s->catalog);
    else if (report->n_states > 0 || report->n_pages > 0 || m.n_dropped > 0)
        LULL_TRY(lull_change_end(s, &ch, err));
    else
        lull_change_abort(s, &ch);
    m.is_swept = !options->is_dry_run;
    flock(s->gc_fd, LOCK_UN);
    is_locked = false;
    LULL_TRY(lull_catalog_list_segments(s->catalog, &segments, &n_segments, err));
    for (size_t i = 0; i < n_segments; i++)
        LULL_TRY(rewrite(s, &segments[i], &m, options, report, err));
    if (!options->is_dry_run) LULL_TRY(count_files(s, &report->bytes_after, &n_files, err));
done:
    lull_change_abort(s, &ch);
    lull_catalog_rollback(s->catalog);
    if (is_locked) flock(s->gc_fd, LOCK_UN);
    fini_marks(&m);
    free(segments);
    return st;
}

lull_status lull_store_gc(lull_store *s, const lull_store_gc_options *options,
                          lull_store_gc_report *report, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, gc(s, options, report, err), err);
    return st;
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static lull_status get_info(lull_store *s, lull_store_info *info, lull_error *err)
{
    lull_status st = LULL_OK;
    marks m = {0};
    int64_t *leases = NULL;
    *info = (lull_store_info){0};
    LULL_TRY(lull_catalog_begin(s->catalog, false, err));
    LULL_TRY(load_marks(s, &m, err));
    info->n_states = m.n_states;
    info->n_pages = m.n_pages;
    for (size_t i = 0; i < m.n_moves; i++) info->n_names += m.is_current[i];
    for (size_t i = 0; i < m.n_pages; i++) info->live_bytes += m.pages[i].n_bytes;
    for (size_t i = 0; i < m.n_states; i++) info->live_bytes += m.states[i].n_bytes;
    LULL_TRY(lull_catalog_bytes(s->catalog, &info->catalog_bytes, err));
    if (s->is_export) {
        struct stat file;
        if (stat(s->folder, &file) == 0) info->segment_bytes = (uint64_t)file.st_size;
        info->n_segments = 1;
        goto done;
    }
    LULL_TRY(count_files(s, &info->segment_bytes, &info->n_segments, err));
    if (!s->is_read_only) LULL_TRY(lull_wake_leases(s, false, &leases, &info->n_leases, err));
done:
    lull_catalog_rollback(s->catalog);
    fini_marks(&m);
    free(leases);
    return st;
}

lull_status lull_store_get_info(lull_store *s, lull_store_info *info, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, get_info(s, info, err), err);
    return st;
}
