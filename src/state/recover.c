/* The catalogue from the segments: all of it when it is lost or damaged, and what lies past its end
 * when a process died between the sync of its records and the commit. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "store_private.h"

enum { REPAIR_WAIT_MS = 1000 };

lull_page_row lull_page_row_of(const lull_record *r)
{
    lull_page_row row = {
        .key = r->key,
        .parent = r->parent,
        .kv_identity = r->kv_identity,
        .segment = r->segment,
        .offset = r->offset,
        .n_bytes = r->n_bytes,
        .n_tokens = r->n_tokens,
    };
    memcpy(row.parts, r->parts, sizeof row.parts);
    memcpy(row.tokens, r->tokens, r->n_tokens * sizeof *row.tokens);
    return row;
}

lull_record lull_record_of(const lull_page_row *row)
{
    lull_record r = {
        .type = LULL_RECORD_PAGE,
        .n_tokens = row->n_tokens,
        .n_bytes = row->n_bytes,
        .segment = row->segment,
        .offset = row->offset,
        .key = row->key,
        .parent = row->parent,
        .kv_identity = row->kv_identity,
    };
    memcpy(r.parts, row->parts, sizeof r.parts);
    memcpy(r.tokens, row->tokens, row->n_tokens * sizeof *r.tokens);
    return r;
}

/* ---- one record ------------------------------------------------------------------------------ */

static lull_status raise_counter(lull_catalog *c, lull_counter which, uint64_t value,
                                 lull_error *err)
{
    uint64_t now;
    lull_status st = lull_catalog_get_counter(c, which, &now, err);
    if (st != LULL_OK || now >= value) return st;
    return lull_catalog_set_counter(c, which, value, err);
}

static lull_status fail_body(lull_error *err, const char *file, const lull_record *r)
{
    return lull_fail(err, LULL_ECORRUPT,
                     "%s: offset %" PRIu64 ": the body of a record is not well formed", file,
                     r->offset);
}

/* The row of a state; a page that is nowhere has the id 0. */
static lull_status apply_state(lull_catalog *c, const char *file, const lull_record *r,
                               const uint8_t *bytes, size_t n_bytes, bool is_past_checkpoint,
                               lull_error *err)
{
    lull_state_body b;
    lull_status st = LULL_OK;
    if (!lull_state_body_get(bytes, n_bytes, &b) || r->state <= 0) return fail_body(err, file, r);
    lull_state_row row = {
        .id = r->state,
        .parent = b.parent,
        .created_ms = r->at_ms,
        .segment = r->segment,
        .offset = r->offset,
        .n_bytes = r->n_bytes,
        .n_tail = r->n_tokens,
        .n_window_pages = b.n_window_pages,
        .kv_identity = r->kv_identity,
        .n_pages = b.n_pages + (r->n_tokens > 0),
    };
    row.pages = calloc(row.n_pages + 1, sizeof *row.pages);
    row.card = strndup(b.card, b.card_bytes);
    row.session = strndup(b.session, b.session_bytes);
    if (!row.pages || !row.card || !row.session) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for a state");
        goto done;
    }
    for (size_t i = 0; i < row.n_pages; i++) {
        lull_digest key = r->key;
        lull_page_row page;
        if (i < b.n_pages) memcpy(key.bytes, b.keys + 32 * i, 32);
        LULL_TRY(lull_catalog_find_page(c, &key, &page, err));
        row.pages[i] = page.id;
        row.page_bytes += page.n_bytes;
    }
    LULL_TRY(lull_catalog_put_state(c, &row, err));
    LULL_TRY(raise_counter(c, LULL_COUNTER_STATE, (uint64_t)row.id, err));
    if (!is_past_checkpoint) goto done;
    if (b.has_name) {
        lull_move_row move = {.seq = r->seq, .at_ms = r->at_ms, .state = row.id};
        memcpy(move.name, b.name, sizeof move.name);
        LULL_TRY(lull_catalog_add_move(c, &move, err));
    }
    for (size_t i = 0; i < b.n_tags; i++) {
        char tag[LULL_NAME_MAX + 1];
        lull_body_get_name(&b.tags, tag);
        LULL_TRY(lull_catalog_set_tag(c, row.id, tag, true, err));
    }
done:
    lull_state_row_fini(&row);
    return st;
}

static lull_status apply_name(lull_catalog *c, const char *file, const lull_record *r, lull_body *b,
                              lull_error *err)
{
    lull_move_row *rows = NULL;
    size_t n = 0;
    lull_status st = LULL_OK;
    lull_move_row move = {.seq = r->seq, .at_ms = r->at_ms, .state = r->state};
    char to[LULL_NAME_MAX + 1] = "";
    uint64_t op = lull_body_get(b);
    lull_body_get_name(b, move.name);
    if (op == LULL_NAME_RENAME) lull_body_get_name(b, to);
    if (b->is_bad || b->n_left != 0 || op < LULL_NAME_SET || op > LULL_NAME_REMOVE)
        return fail_body(err, file, r);
    if (op == LULL_NAME_SET) return lull_catalog_add_move(c, &move, err);
    LULL_TRY(lull_catalog_list_moves(c, move.name, &rows, &n, err));
    for (size_t i = 0; i < n; i++) {
        LULL_TRY(lull_catalog_drop_move(c, rows[i].seq, err));
        memcpy(rows[i].name, to, sizeof to);
        if (op == LULL_NAME_RENAME) LULL_TRY(lull_catalog_add_move(c, &rows[i], err));
    }
done:
    free(rows);
    return st;
}

lull_status lull_store_apply(lull_catalog *c, const char *file, const lull_record *r,
                             const uint8_t *body, size_t n_bytes, lull_error *err)
{
    lull_body b = {.at = body, .n_left = n_bytes};
    switch (r->type) {
    case LULL_RECORD_STATE: return apply_state(c, file, r, body, n_bytes, true, err);
    case LULL_RECORD_NAME: return apply_name(c, file, r, &b, err);
    case LULL_RECORD_TAG: {
        uint64_t is_set = lull_body_get(&b);
        char tag[LULL_NAME_MAX + 1];
        lull_body_get_name(&b, tag);
        if (b.is_bad || b.n_left != 0) return fail_body(err, file, r);
        return lull_catalog_set_tag(c, r->state, tag, is_set != 0, err);
    }
    case LULL_RECORD_CHECKPOINT: return raise_counter(c, LULL_COUNTER_CHECKPOINT, r->seq, err);
    case LULL_RECORD_INDEX:
    case LULL_RECORD_PAGE: break;
    }
    return LULL_OK;
}

/* ---- many records ---------------------------------------------------------------------------- */

typedef struct source {
    lull_segment seg;
    uint64_t from, end; /* to look at; behind the last good record */
    bool is_sealed;
} source;

typedef struct item { /* a record that is not a page */
    uint64_t seq, at_ms, offset;
    size_t source;
    lull_record_type type;
    int64_t state;
} item;

typedef struct replay {
    lull_catalog *c;
    source *sources;
    size_t n_sources, i_source;
    item *items;
    size_t n_items, cap;
    int64_t *live; /* of the checkpoint: states in order of id; NULL without one */
    size_t n_live;
    uint64_t known; /* seq up to which the catalogue knew all to begin with */
    uint64_t base;  /* seq up to which it knows names and tags */
    bool is_export; /* one file, from a stranger: nothing in it may be wrong; planes are not read */
    bool has_index; /* of the export: the last record so far is its index */
    lull_error err;
    lull_status st;
} replay;

static bool take_page(replay *p, const lull_record *r)
{
    lull_page_row row = lull_page_row_of(r);
    lull_digest key = lull_store_page_key(&r->kv_identity, &r->parent, r->tokens, r->n_tokens);
    bool is_key_good = memcmp(&key, &r->key, sizeof key) == 0;
    const lull_segment *seg = &p->sources[p->i_source].seg;
    if (p->is_export && !is_key_good)
        p->st = lull_fail(&p->err, LULL_ECORRUPT,
                          "%s: offset %" PRIu64 ": a page's key is not that of its tokens",
                          seg->path, r->offset);
    if (!is_key_good) return !p->is_export;
    /* A record that was torn, or has rotted, is not taken: another copy may follow. */
    if (!p->is_export) p->st = lull_segment_check_parts(seg, r, &p->err);
    if (p->st == LULL_OK)
        p->st = lull_catalog_add_page(p->c, &row, &p->err);
    else if (p->st == LULL_ECORRUPT)
        p->st = LULL_OK;
    return p->st == LULL_OK;
}

static void refuse_damage(void *user, uint64_t offset, const char *what)
{
    (void)offset;
    replay *p = user;
    if (p->is_export && p->st == LULL_OK) p->st = lull_fail(&p->err, LULL_ECORRUPT, "%s", what);
}

static bool take_record(void *user, const lull_record *r)
{
    replay *p = user;
    if (p->st != LULL_OK) return false;
    p->has_index = r->type == LULL_RECORD_INDEX;
    if (r->type == LULL_RECORD_PAGE) return take_page(p, r);
    if (p->n_items == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        item *items = realloc(p->items, cap * sizeof *items);
        if (!items) {
            p->st = lull_fail(&p->err, LULL_ENOMEM, "out of memory for the segments' records");
            return false;
        }
        p->items = items;
        p->cap = cap;
    }
    p->items[p->n_items++] = (item){r->seq, r->at_ms, r->offset, p->i_source, r->type, r->state};
    return true;
}

static int by_seq(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->seq != y->seq) return x->seq < y->seq ? -1 : 1;
    if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* An item's record and body (owned). LULL_ECORRUPT: it is damaged. */
static lull_status load_item(const replay *p, const item *it, lull_record *r, uint8_t **body,
                             lull_error *err)
{
    const source *src = &p->sources[it->source];
    *body = NULL;
    lull_status st = lull_segment_read_record(&src->seg, it->offset, src->end, r, err);
    return st == LULL_OK ? lull_segment_read_part(&src->seg, r, 0, body, err) : st;
}

/* Is a checkpoint's body well formed? Nothing is to be changed by one that is not. b: a copy. */
static bool is_checkpoint_sound(const lull_record *r, lull_body b)
{
    char name[LULL_NAME_MAX + 1];
    uint64_t last_seq = 0;
    lull_body_get(&b);
    size_t n = lull_body_get_count(&b, 8);
    for (size_t i = 0; i < n; i++) lull_body_get(&b);
    n = lull_body_get_count(&b, 32);
    for (size_t i = 0; i < n; i++) {
        uint64_t seq = lull_body_get(&b), at_ms = lull_body_get(&b);
        if (seq <= last_seq || seq > r->seq || at_ms > INT64_MAX) return false;
        last_seq = seq;
        lull_body_get(&b);
        lull_body_get_name(&b, name);
    }
    n = lull_body_get_count(&b, 16);
    for (size_t i = 0; i < n; i++) {
        lull_body_get(&b);
        lull_body_get_name(&b, name);
    }
    return !b.is_bad && b.n_left == 0;
}

/* Take away what the catalogue knows of states, moves and tags that the checkpoint does not name: a
 * collection was written down, and perhaps carried out, though never committed. */
static lull_status drop_unlisted(replay *p, lull_error *err)
{
    lull_status st = LULL_OK;
    int64_t *ids = NULL;
    lull_move_row *moves = NULL;
    lull_tag_row *tags = NULL;
    size_t n_ids, n_moves, n_tags;
    LULL_TRY(lull_catalog_list_states(p->c, 0, &ids, &n_ids, err));
    LULL_TRY(lull_catalog_list_moves(p->c, NULL, &moves, &n_moves, err));
    LULL_TRY(lull_catalog_list_tags(p->c, 0, &tags, &n_tags, err));
    for (size_t i = 0; i < n_ids; i++)
        if (!bsearch(&ids[i], p->live, p->n_live, sizeof *p->live, by_id))
            LULL_TRY(lull_catalog_drop_state(p->c, ids[i], err));
    for (size_t i = 0; i < n_moves; i++) LULL_TRY(lull_catalog_drop_move(p->c, moves[i].seq, err));
    for (size_t i = 0; i < n_tags; i++)
        LULL_TRY(lull_catalog_set_tag(p->c, tags[i].state, tags[i].tag, false, err));
done:
    free(ids);
    free(moves);
    free(tags);
    return st;
}

static lull_status apply_checkpoint(replay *p, const char *file, const lull_record *r,
                                    const uint8_t *bytes, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_body b = {.at = bytes, .n_left = (size_t)r->parts[0].n_bytes};
    if (!is_checkpoint_sound(r, b)) return fail_body(err, file, r);
    uint64_t last_state = lull_body_get(&b);
    size_t n = lull_body_get_count(&b, 8);
    p->live = calloc(n + 1, sizeof *p->live);
    if (!p->live) return lull_fail(err, LULL_ENOMEM, "out of memory for the list of states");
    p->n_live = n;
    for (size_t i = 0; i < n; i++) p->live[i] = (int64_t)lull_body_get(&b);
    qsort(p->live, n, sizeof *p->live, by_id);
    LULL_TRY(drop_unlisted(p, err));
    n = lull_body_get_count(&b, 32);
    for (size_t i = 0; i < n; i++) {
        lull_move_row move = {.seq = lull_body_get(&b)};
        move.at_ms = lull_body_get(&b);
        move.state = (int64_t)lull_body_get(&b);
        lull_body_get_name(&b, move.name);
        LULL_TRY(lull_catalog_add_move(p->c, &move, err));
    }
    n = lull_body_get_count(&b, 16);
    for (size_t i = 0; i < n; i++) {
        int64_t state = (int64_t)lull_body_get(&b);
        char tag[LULL_NAME_MAX + 1];
        lull_body_get_name(&b, tag);
        LULL_TRY(lull_catalog_set_tag(p->c, state, tag, true, err));
    }
    LULL_TRY(raise_counter(p->c, LULL_COUNTER_STATE, last_state, err));
    LULL_TRY(raise_counter(p->c, LULL_COUNTER_CHECKPOINT, r->seq, err));
    LULL_TRY(raise_counter(p->c, LULL_COUNTER_SEQ, r->seq, err));
    p->base = r->seq;
done:
    return st;
}

/* The newest checkpoint past the base that can be read. */
static lull_status find_checkpoint(replay *p, lull_error *err)
{
    for (size_t i = p->n_items; i-- > 0 && p->items[i].seq > p->base;) {
        if (p->items[i].type != LULL_RECORD_CHECKPOINT) continue;
        lull_record r;
        uint8_t *body;
        lull_status st = load_item(p, &p->items[i], &r, &body, err);
        if (st == LULL_OK)
            st = apply_checkpoint(p, p->sources[p->items[i].source].seg.path, &r, body, err);
        free(body);
        if (st != LULL_ECORRUPT || lull_catalog_is_damaged(p->c)) return st;
    }
    return LULL_OK;
}

static lull_status apply_item(replay *p, const item *it, lull_error *err)
{
    /* What the catalogue knows already; or its writer died before the commit, and another has used the
     * number. */
    if (it->seq <= p->known) return LULL_OK;
    if (it->seq <= p->base && (it->type != LULL_RECORD_STATE || !p->live ||
                               !bsearch(&it->state, p->live, p->n_live, sizeof *p->live, by_id)))
        return LULL_OK;
    lull_record r;
    uint8_t *body;
    lull_status st = load_item(p, it, &r, &body, err);
    const char *file = p->sources[it->source].seg.path;
    if (st == LULL_OK && it->seq <= p->base)
        st = apply_state(p->c, file, &r, body, (size_t)r.parts[0].n_bytes, false, err);
    else if (st == LULL_OK)
        st = lull_store_apply(p->c, file, &r, body, (size_t)r.parts[0].n_bytes, err);
    free(body);
    /* What is damaged is passed over; verify reports it. */
    if (st == LULL_ECORRUPT && !p->is_export && !lull_catalog_is_damaged(p->c)) st = LULL_OK;
    return st == LULL_OK ? raise_counter(p->c, LULL_COUNTER_SEQ, it->seq, err) : st;
}

/* In order of seq. Of several with one seq the last stays: the others were taken back by their writer,
 * or never acknowledged; or they are copies of one. */
static void sort_items(replay *p)
{
    if (p->n_items == 0) return;
    qsort(p->items, p->n_items, sizeof *p->items, by_seq);
    size_t n = 0;
    for (size_t i = 0; i < p->n_items; i++)
        if (i + 1 == p->n_items || p->items[i + 1].seq != p->items[i].seq)
            p->items[n++] = p->items[i];
    p->n_items = n;
}

/* Take the sources' records into c, which knows all up to its own seq. Within a transaction. */
static lull_status replay_sources(lull_catalog *c, source *sources, size_t n, lull_error *err)
{
    replay p = {.c = c, .sources = sources, .n_sources = n};
    p.is_export = n == 1 && sources[0].seg.is_export;
    lull_status st = LULL_OK;
    for (size_t i = 0; i < n; i++) {
        source *src = &sources[i];
        p.i_source = i;
        LULL_TRY(lull_segment_scan(&src->seg, src->from, take_record, refuse_damage, &p, &src->end,
                                   err));
        if (p.st != LULL_OK) {
            if (err) *err = p.err;
            st = p.st;
            goto done;
        }
        lull_segment_row row = {src->seg.id, src->end, src->is_sealed};
        LULL_TRY(lull_catalog_put_segment(c, &row, err));
    }
    if (p.is_export && !p.has_index) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: offset %" PRIu64 ": ends before its index",
                       sources[0].seg.path, sources[0].end);
        goto done;
    }
    sort_items(&p);
    LULL_TRY(lull_catalog_get_counter(c, LULL_COUNTER_SEQ, &p.known, err));
    p.base = p.known;
    LULL_TRY(find_checkpoint(&p, err));
    for (size_t i = 0; i < p.n_items; i++) LULL_TRY(apply_item(&p, &p.items[i], err));
done:
    free(p.items);
    free(p.live);
    return st;
}

lull_status lull_store_index_export(lull_catalog *c, const lull_segment *seg, lull_error *err)
{
    source src = {.seg = *seg, .from = LULL_RECORD_ALIGN, .is_sealed = true};
    return replay_sources(c, &src, 1, err);
}

/* ---- all segments ---------------------------------------------------------------------------- */

lull_status lull_store_list_files(const lull_store *s, uint64_t **ids, size_t *n, lull_error *err)
{
    *ids = NULL;
    *n = 0;
    DIR *dir = opendir(s->segments);
    if (!dir) return lull_fail(err, LULL_EIO, "%s: %s", s->segments, strerror(errno));
    lull_status st = LULL_OK;
    size_t cap = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        uint64_t id = lull_segment_id_of(entry->d_name);
        if (id == 0) continue;
        if (*n == cap) {
            cap = cap ? 2 * cap : 64;
            uint64_t *more = realloc(*ids, cap * sizeof *more);
            if (!more) {
                st = lull_fail(err, LULL_ENOMEM, "out of memory for the list of segments");
                break;
            }
            *ids = more;
        }
        (*ids)[(*n)++] = id;
    }
    closedir(dir);
    return st;
}

static int by_creation(const void *a, const void *b)
{
    const source *x = a, *y = b;
    return x->seg.created_ms < y->seg.created_ms ? -1 : x->seg.created_ms > y->seg.created_ms;
}

static void close_sources(source *sources, size_t n)
{
    for (size_t i = 0; i < n; i++) lull_segment_close(&sources[i].seg);
    free(sources);
}

static lull_status set_aside(const lull_store *s, const char *suffix, uint64_t at_ms,
                             lull_error *err)
{
    char from[LULL_SEGMENT_PATH_MAX], to[LULL_SEGMENT_PATH_MAX];
    int n = snprintf(from, sizeof from, "%s%s", s->catalog_path, suffix);
    int m = snprintf(to, sizeof to, "%s.damaged-%" PRIu64 "%s", s->catalog_path, at_ms, suffix);
    if (n < 0 || (size_t)n >= sizeof from || m < 0 || (size_t)m >= sizeof to)
        return lull_fail(err, LULL_EINVAL, "%s: the folder's name is too long", s->folder);
    if (access(from, F_OK) < 0) return LULL_OK;
    return lull_disk_rename(from, to, err);
}

/* A new catalogue, from all segments. locks/open is held exclusively. */
static lull_status rebuild(lull_store *s, lull_error *err)
{
    char temp[LULL_SEGMENT_PATH_MAX];
    source *sources = NULL;
    size_t n_sources = 0, n_ids = 0;
    uint64_t *ids = NULL;
    lull_catalog *c = NULL;
    lull_status st = LULL_OK;
    int n = snprintf(temp, sizeof temp, "%s.new", s->catalog_path);
    if (n < 0 || (size_t)n >= sizeof temp)
        return lull_fail(err, LULL_EINVAL, "%s: the folder's name is too long", s->folder);
    /* A log beside a new file would be taken for its own, so the old one goes first, with what else
     * belongs to it. From here on there is no catalogue, which is as good a reason to come here
     * again. */
    uint64_t at_ms = lull_disk_now_ms();
    LULL_TRY(set_aside(s, "", at_ms, err));
    LULL_TRY(set_aside(s, "-wal", at_ms, err));
    LULL_TRY(set_aside(s, "-shm", at_ms, err));
    LULL_TRY(lull_disk_unlink(temp, err));
    LULL_TRY(lull_store_list_files(s, &ids, &n_ids, err));
    sources = calloc(n_ids + 1, sizeof *sources);
    if (!sources) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the list of segments");
        goto done;
    }
    for (size_t i = 0; i < n_ids; i++) {
        source *src = &sources[n_sources];
        char path[LULL_SEGMENT_PATH_MAX];
        LULL_TRY(lull_segment_path(s->segments, ids[i], path, err));
        st = lull_segment_open(path, false, &src->seg, err);
        if (st == LULL_ECORRUPT) { /* its header: verify reports it */
            st = LULL_OK;
            continue;
        }
        if (st != LULL_OK) goto done;
        src->from = LULL_RECORD_ALIGN;
        src->is_sealed = true;
        n_sources++;
        if (src->seg.id != ids[i]) { /* a copy under another name */
            lull_segment_close(&src->seg);
            n_sources--;
            continue;
        }
        LULL_TRY(lull_disk_sync(src->seg.fd, path, err));
    }
    qsort(sources, n_sources, sizeof *sources, by_creation);
    LULL_TRY(lull_disk_sync_folder(s->segments, err));
    LULL_TRY(lull_catalog_open(temp, LULL_CATALOG_CREATE, &c, err));
    LULL_TRY(lull_catalog_begin(c, true, err));
    LULL_TRY(replay_sources(c, sources, n_sources, err));
    LULL_TRY(lull_catalog_commit(c, err));
    LULL_TRY(lull_catalog_finish(c, err));
    lull_catalog_close(c);
    c = NULL;
    int fd = open(temp, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        st = lull_fail(err, LULL_EIO, "%s: %s", temp, strerror(errno));
    else
        st = lull_disk_sync(fd, temp, err);
    if (fd >= 0) close(fd);
    if (st != LULL_OK) goto done;
    LULL_TRY(lull_disk_rename(temp, s->catalog_path, err));
    LULL_TRY(lull_disk_sync_folder(s->folder, err));
    /* The folder itself may be new. */
    char parent[LULL_SEGMENT_PATH_MAX];
    snprintf(parent, sizeof parent, "%s/..", s->folder);
    LULL_TRY(lull_disk_sync_folder(parent, err));
done:
    lull_catalog_close(c);
    close_sources(sources, sources ? n_sources : 0);
    free(ids);
    return st;
}

/* Does every segment of the catalogue have its file? If not, it is older than the segments (its log
 * was lost, a copy was put back), or they are gone. */
static lull_status check_files(lull_store *s, lull_error *err)
{
    lull_segment_row *rows;
    size_t n;
    lull_status st = lull_catalog_list_segments(s->catalog, &rows, &n, err);
    if (st != LULL_OK) return st;
    for (size_t i = 0; i < n && st == LULL_OK; i++) {
        char path[LULL_SEGMENT_PATH_MAX];
        lull_segment_row row;
        st = lull_segment_path(s->segments, rows[i].id, path, err);
        if (st != LULL_OK || access(path, F_OK) == 0) continue;
        st = lull_catalog_find_segment(s->catalog, rows[i].id, &row, err);
        if (st == LULL_OK && row.id != 0) /* else gc has removed both */
            st = lull_fail(err, LULL_ECORRUPT, "%s: is missing", path);
    }
    free(rows);
    return st;
}

static bool pass_over(void *user, const lull_record *r)
{
    (void)user, (void)r;
    return true;
}

/* Cut off what a writer that died has begun: behind the last good record, which is looked for all over
 * the file, since a catalogue that lies about its end must not cost what is there. */
static lull_status cut_torn(lull_segment *seg, lull_error *err)
{
    uint64_t end;
    lull_status st = lull_segment_scan(seg, LULL_RECORD_ALIGN, pass_over, NULL, NULL, &end, err);
    if (st != LULL_OK || end >= seg->end) return st;
    return lull_segment_cut(seg, end, err);
}

/* Take in records past what the catalogue knows, of segments that nobody writes to. */
static lull_status redo(lull_store *s, lull_error *err)
{
    uint64_t *ids;
    size_t n_ids, n_sources = 0;
    source *sources = NULL;
    lull_status st = lull_store_list_files(s, &ids, &n_ids, err);
    if (st == LULL_OK && !(sources = calloc(n_ids + 1, sizeof *sources)))
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the list of segments");
    bool is_begun = false;
    for (size_t i = 0; st == LULL_OK && i < n_ids; i++) {
        char path[LULL_SEGMENT_PATH_MAX];
        struct stat info;
        lull_segment_row row;
        source *src = &sources[n_sources];
        LULL_TRY(lull_segment_path(s->segments, ids[i], path, err));
        LULL_TRY(lull_catalog_find_segment(s->catalog, ids[i], &row, err));
        if (stat(path, &info) < 0 || (row.id != 0 && (uint64_t)info.st_size <= row.committed))
            continue;
        if (lull_segment_open(path, true, &src->seg, NULL) != LULL_OK) continue; /* in use */
        n_sources++;
        LULL_TRY(lull_catalog_find_segment(s->catalog, ids[i], &row, err));
        if (src->seg.id != ids[i] || (row.id != 0 && src->seg.end <= row.committed)) {
            lull_segment_close(&src->seg);
            n_sources--;
            continue;
        }
        src->from = row.id != 0 ? row.committed : LULL_RECORD_ALIGN;
        src->is_sealed = row.is_sealed;
        LULL_TRY(lull_disk_sync(src->seg.fd, path, err));
    }
    if (st == LULL_OK && n_sources > 0) {
        LULL_TRY(lull_disk_sync_folder(s->segments, err));
        LULL_TRY(lull_catalog_begin(s->catalog, true, err));
        is_begun = true;
        LULL_TRY(replay_sources(s->catalog, sources, n_sources, err));
        LULL_TRY(lull_catalog_commit(s->catalog, err));
        for (size_t i = 0; i < n_sources; i++)
            if (!sources[i].is_sealed) LULL_TRY(cut_torn(&sources[i].seg, err));
    }
done:
    if (is_begun) lull_catalog_rollback(s->catalog);
    close_sources(sources, n_sources);
    free(ids);
    return st;
}

lull_status lull_store_redo(lull_store *s, uint64_t segment, lull_error *err)
{
    char path[LULL_SEGMENT_PATH_MAX];
    lull_segment seg;
    lull_status st = LULL_OK;
    LULL_TRY(lull_segment_path(s->segments, segment, path, err));
    /* The system may still be busy taking the writer's locks back. One that lives on has come out of
     * its change with a failure, and has cut its records off itself. */
    for (int waited_ms = 0; waited_ms < REPAIR_WAIT_MS; waited_ms += 10) {
        st = lull_segment_open(path, true, &seg, NULL);
        if (st != LULL_EEXIST) break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (st == LULL_OK) lull_segment_close(&seg);
    st = redo(s, err);
done:
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Open, make if need be, never twice: is_retry after a rebuild. */
static lull_status open_catalog(lull_store *s, lull_error *err)
{
    lull_status st = LULL_OK;
    if (access(s->catalog_path, F_OK) < 0 && errno == ENOENT)
        return lull_fail(err, LULL_ECORRUPT, "%s: is missing", s->catalog_path);
    LULL_TRY(lull_catalog_open(s->catalog_path,
                               s->is_read_only ? LULL_CATALOG_READ : LULL_CATALOG_WRITE,
                               &s->catalog, err));
    LULL_TRY(check_files(s, err));
    if (!s->is_read_only) LULL_TRY(redo(s, err));
done:
    if (st != LULL_OK) {
        lull_catalog_close(s->catalog);
        s->catalog = NULL;
    }
    return st;
}

/* Make the catalogue again when nobody else has the store open. */
static lull_status repair(lull_store *s, lull_error *err)
{
    lull_status st = lull_lock_file(s->open_fd, s->folder, LOCK_EX, REPAIR_WAIT_MS, NULL);
    if (st != LULL_OK) {
        st = lull_lock_file(s->open_fd, s->folder, LOCK_SH, REPAIR_WAIT_MS, err);
        if (st != LULL_OK) return st;
        return lull_fail(err, LULL_ECORRUPT,
                         "%s: damaged or missing; it is made again from the segments when no other "
                         "lull has the store open: end those, then try again",
                         s->catalog_path);
    }
    st = open_catalog(s, NULL); /* another process may have been here first */
    if (st == LULL_OK && lull_catalog_inspect(s->catalog, NULL) != LULL_OK) {
        lull_catalog_close(s->catalog);
        s->catalog = NULL;
        st = LULL_ECORRUPT;
    }
    if (st == LULL_ECORRUPT) {
        st = rebuild(s, err);
        if (st == LULL_OK) st = open_catalog(s, err);
    } else if (st != LULL_OK) {
        st = open_catalog(s, err);
    }
    lull_status locked = lull_lock_file(s->open_fd, s->folder, LOCK_SH, REPAIR_WAIT_MS, NULL);
    return st == LULL_OK ? locked : st;
}

lull_status lull_store_recover(lull_store *s, lull_error *err)
{
    lull_status st = open_catalog(s, err);
    if (st != LULL_ECORRUPT || s->is_read_only) return st;
    return repair(s, err);
}

lull_status lull_store_suspect(lull_store *s, lull_error *err)
{
    if (s->is_inspected || s->is_export) return LULL_OK;
    s->is_inspected = true;
    return lull_catalog_inspect(s->catalog, err);
}

lull_status lull_store_usable(lull_store *s, lull_error *err)
{
    if (s->catalog) return LULL_OK;
    return lull_fail(err, LULL_ECORRUPT,
                     "%s: lost, and cannot be made again now: end other lulls, then open the store "
                     "again",
                     s->catalog_path);
}

bool lull_store_mended(lull_store *s, lull_status st, lull_error *err)
{
    if (st == LULL_OK || s->is_read_only || s->is_export) return false;
    if (s->catalog && !lull_catalog_is_damaged(s->catalog)) return false;
    lull_catalog_close(s->catalog);
    s->catalog = NULL;
    lull_error why = {0};
    lull_store_drop_unsettled(s);
    /* open_catalog would find nothing wrong with a damaged row. */
    st = lull_lock_file(s->open_fd, s->folder, LOCK_EX, REPAIR_WAIT_MS, &why);
    if (st == LULL_OK) st = rebuild(s, &why);
    if (st == LULL_OK) st = open_catalog(s, &why);
    lull_status locked = lull_lock_file(s->open_fd, s->folder, LOCK_SH, REPAIR_WAIT_MS, NULL);
    if (st == LULL_OK && locked == LULL_OK) return true;
    if (s->catalog == NULL && open_catalog(s, NULL) != LULL_OK && err) *err = why;
    return false;
}
