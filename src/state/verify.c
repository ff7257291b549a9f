/* Verify: walk all of a store and say what is wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store_private.h"

typedef struct verifier {
    lull_store *s;
    lull_store_finding_fn on_finding;
    void *user;
    size_t n_bad;
    bool is_stopped;
    lull_segment_row *segments; /* owned [n_segments]: what the catalogue lists */
    size_t n_segments;
    uint64_t stray;   /* the unlisted segment that was last reported; 0: none */
    lull_segment seg; /* the segment being looked at */
    uint64_t committed;
    lull_status st; /* a failure to look */
    lull_error err;
} verifier;

static void report(verifier *v, const char *file, uint64_t offset, const char *what)
{
    v->n_bad++;
    if (!v->is_stopped && v->on_finding)
        v->is_stopped = !v->on_finding(v->user, file, offset, what);
}

static void report_catalog(verifier *v, const char *what)
{
    report(v, v->s->catalog_path, 0, what);
}

/* A failed call is a finding when it is about damage, else the end of the walk. */
static bool is_finding(verifier *v, lull_status st, const char *file, uint64_t offset,
                       const lull_error *why)
{
    if (st == LULL_OK) return false;
    if (st == LULL_ECORRUPT || st == LULL_EUNSUPPORTED || st == LULL_ENOTFOUND) {
        report(v, file, offset, why->msg);
    } else {
        v->st = st;
        v->err = *why;
        v->is_stopped = true;
    }
    return true;
}

static void on_damage(void *user, uint64_t offset, const char *what)
{
    verifier *v = user;
    if (offset < v->committed) report(v, v->seg.path, offset, what);
}

/* Does the catalogue's row of a page say what its record says? */
static void compare_page(verifier *v, const lull_record *r, const lull_page_row *row)
{
    lull_page_row want = lull_page_row_of(r);
    if (r->type != LULL_RECORD_PAGE || memcmp(&want.key, &row->key, sizeof want.key) != 0 ||
        memcmp(&want.parent, &row->parent, sizeof want.parent) != 0 ||
        memcmp(&want.kv_identity, &row->kv_identity, sizeof want.kv_identity) != 0 ||
        want.n_bytes != row->n_bytes || want.n_tokens != row->n_tokens ||
        memcmp(want.parts, row->parts, sizeof want.parts) != 0 ||
        memcmp(want.tokens, row->tokens, want.n_tokens * sizeof *want.tokens) != 0)
        report(v, v->seg.path, row->offset, "the catalogue's page is not what stands there");
}

/* Was this page read again since, and stands elsewhere? Then gc takes its record along. */
static bool is_replaced(const verifier *v, const lull_record *r)
{
    lull_page_row row;
    return r->type == LULL_RECORD_PAGE &&
           lull_catalog_find_page(v->s->catalog, &r->key, &row, NULL) == LULL_OK && row.id != 0 &&
           (row.segment != v->seg.id || row.offset != r->offset);
}

static bool verify_record(void *user, const lull_record *r)
{
    verifier *v = user;
    lull_error why = {0};
    if (r->offset >= v->committed) return false;
    lull_status st = lull_segment_check_parts(&v->seg, r, &why);
    if (st == LULL_ECORRUPT && is_replaced(v, r)) return true;
    is_finding(v, st, v->seg.path, r->offset, &why);
    if (r->type == LULL_RECORD_PAGE) {
        lull_digest key = lull_store_page_key(&r->kv_identity, &r->parent, r->tokens, r->n_tokens);
        if (memcmp(&key, &r->key, sizeof key) != 0)
            report(v, v->seg.path, r->offset, "a page's key is not that of its tokens");
    } else if (st == LULL_OK && r->type == LULL_RECORD_STATE) {
        uint8_t *body;
        lull_state_body b;
        st = lull_segment_read_part(&v->seg, r, 0, &body, &why);
        if (!is_finding(v, st, v->seg.path, r->offset, &why) &&
            !lull_state_body_get(body, (size_t)r->parts[0].n_bytes, &b))
            report(v, v->seg.path, r->offset, "a state's body is not well formed");
        free(body);
    }
    return !v->is_stopped;
}

static lull_status verify_page_row(void *user, const lull_page_row *row, lull_error *err)
{
    verifier *v = user;
    lull_record r;
    lull_error why = {0};
    (void)err;
    lull_status st = lull_segment_read_record(&v->seg, row->offset, v->seg.end, &r, &why);
    if (!is_finding(v, st, v->seg.path, row->offset, &why)) compare_page(v, &r, row);
    return v->is_stopped ? LULL_ECANCELLED : LULL_OK;
}

/* One segment both ways: all its records, and all rows that point into it. */
static void verify_segment(verifier *v, const lull_segment_row *row)
{
    char path[LULL_SEGMENT_PATH_MAX];
    lull_error why = {0};
    lull_status st = lull_segment_path(v->s->segments, row->id, path, &why);
    if (st == LULL_OK) st = lull_segment_open(path, false, &v->seg, &why);
    if (st == LULL_ENOTFOUND) { /* has gc been here? */
        lull_segment_row now;
        if (lull_catalog_find_segment(v->s->catalog, row->id, &now, NULL) == LULL_OK && now.id == 0)
            return;
    }
    if (is_finding(v, st, path, 0, &why)) return;
    v->committed = row->committed;
    if (v->seg.id != row->id) report(v, path, 16, "the id in the header is not that of the name");
    if (v->seg.end < row->committed)
        report(v, path, v->seg.end, "the file ends before what the catalogue knows of");
    uint64_t end;
    st = lull_segment_scan(&v->seg, LULL_RECORD_ALIGN, verify_record, on_damage, v, &end, &why);
    is_finding(v, st, path, 0, &why);
    if (!v->is_stopped) {
        st = lull_catalog_each_page(v->s->catalog, row->id, verify_page_row, v, &why);
        if (st != LULL_ECANCELLED) is_finding(v, st, v->s->catalog_path, 0, &why);
    }
    lull_segment_close(&v->seg);
}

static bool is_listed(const verifier *v, uint64_t segment)
{
    for (size_t i = 0; i < v->n_segments; i++)
        if (v->segments[i].id == segment) return true;
    return false;
}

/* A row of a page or state. One in a segment that is not listed would not be come by otherwise. */
static void verify_place(verifier *v, uint64_t segment)
{
    char path[LULL_SEGMENT_PATH_MAX];
    if (segment == v->stray || is_listed(v, segment)) return;
    v->stray = segment; /* its other rows are mostly next */
    lull_status st = lull_segment_path(v->s->segments, segment, path, NULL);
    report(v, st == LULL_OK ? path : v->s->segments, 0,
           "pages or states lie here, but the catalogue has no such segment");
}

static lull_status verify_page_place(void *user, const lull_page_row *row, lull_error *err)
{
    verifier *v = user;
    (void)err;
    verify_place(v, row->segment);
    return v->is_stopped ? LULL_ECANCELLED : LULL_OK;
}

/* The list of segments, and that all rows lie in them; at one moment, since gc moves rows. */
static void verify_places(verifier *v)
{
    lull_error why = {0};
    lull_catalog *c = v->s->catalog;
    int64_t *ids = NULL;
    size_t n_ids = 0;
    lull_status st = LULL_OK;
    LULL_TRY(lull_catalog_begin(c, false, &why));
    LULL_TRY(lull_catalog_list_segments(c, &v->segments, &v->n_segments, &why));
    LULL_TRY(lull_catalog_each_page(c, 0, verify_page_place, v, &why));
    LULL_TRY(lull_catalog_list_states(c, 0, &ids, &n_ids, &why));
    for (size_t i = 0; i < n_ids && !v->is_stopped; i++) {
        lull_state_row row;
        LULL_TRY(lull_catalog_get_state(c, ids[i], &row, &why));
        verify_place(v, row.segment);
        lull_state_row_fini(&row);
    }
done:
    lull_catalog_rollback(c);
    if (st != LULL_ECANCELLED) is_finding(v, st, v->s->catalog_path, 0, &why);
    free(ids);
}

/* A file that the catalogue does not list: a writer's that has committed nothing to it, or one that gc
 * is about to remove; or it could not be read when the catalogue was made again. */
static void verify_unlisted(verifier *v, uint64_t id)
{
    char path[LULL_SEGMENT_PATH_MAX];
    struct stat info;
    lull_error why = {0};
    lull_status st = lull_segment_path(v->s->segments, id, path, &why);
    if (st == LULL_OK) st = lull_segment_open(path, false, &v->seg, &why);
    /* An empty one is what a power failure leaves of a new segment: a name. */
    if (st == LULL_ENOTFOUND || (stat(path, &info) == 0 && info.st_size == 0)) return;
    if (!is_finding(v, st, path, 0, &why) && v->seg.id != id)
        report(v, path, 16, "the id in the header is not that of the name");
    lull_segment_close(&v->seg);
}

static void verify_files(verifier *v)
{
    lull_error why = {0};
    uint64_t *ids;
    size_t n;
    lull_status st = lull_store_list_files(v->s, &ids, &n, &why);
    is_finding(v, st, v->s->segments, 0, &why);
    for (size_t i = 0; i < n && !v->is_stopped; i++)
        if (!is_listed(v, ids[i])) verify_unlisted(v, ids[i]);
    free(ids);
}

/* A state's row against its record, and its pages: there, and each after the one before. */
static void verify_state(verifier *v, int64_t id)
{
    lull_error why = {0};
    lull_state_row row;
    char what[128], path[LULL_SEGMENT_PATH_MAX] = "";
    lull_status st = lull_catalog_get_state(v->s->catalog, id, &row, &why);
    if (is_finding(v, st, v->s->catalog_path, 0, &why) || row.id == 0) return;
    lull_segment seg = {.fd = -1};
    lull_record r;
    st = lull_segment_path(v->s->segments, row.segment, path, &why);
    if (st == LULL_OK) st = lull_segment_open(path, false, &seg, &why);
    if (st == LULL_OK) st = lull_segment_read_record(&seg, row.offset, seg.end, &r, &why);
    if (!is_finding(v, st, path, row.offset, &why) &&
        (r.type != LULL_RECORD_STATE || r.state != id || r.at_ms != row.created_ms ||
         r.n_bytes != row.n_bytes || r.n_tokens != row.n_tail ||
         memcmp(&r.kv_identity, &row.kv_identity, sizeof r.kv_identity) != 0))
        report(v, path, row.offset, "the catalogue's state is not what stands there");
    lull_segment_close(&seg);
    lull_digest parent = {{0}};
    for (size_t i = 0; i < row.n_pages && !v->is_stopped; i++) {
        lull_page_row page = {0};
        if (row.pages[i] > 0) st = lull_catalog_get_page(v->s->catalog, row.pages[i], &page, &why);
        if (is_finding(v, st, v->s->catalog_path, 0, &why)) break;
        bool is_tail = row.n_tail > 0 && i + 1 == row.n_pages;
        if (page.id != 0 && memcmp(&page.parent, &parent, sizeof parent) == 0 &&
            memcmp(&page.kv_identity, &row.kv_identity, sizeof parent) == 0 &&
            page.n_tokens == (is_tail ? row.n_tail : LULL_STORE_PAGE_TOKENS)) {
            parent = page.key;
            continue;
        }
        snprintf(what, sizeof what, "state #%" PRId64 ": page %zu of %zu %s", id, i, row.n_pages,
                 page.id == 0 ? "is not in the store" : "does not follow upon the one before");
        report_catalog(v, what);
        break;
    }
    lull_state_row_fini(&row);
}

/* Every name and tag is of a state that there is. */
static void verify_labels(verifier *v, const int64_t *ids, size_t n_ids)
{
    lull_error why = {0};
    lull_move_row *moves;
    lull_tag_row *tags;
    size_t n;
    char what[LULL_NAME_MAX + 128];
    lull_status st = lull_catalog_list_moves(v->s->catalog, NULL, &moves, &n, &why);
    is_finding(v, st, v->s->catalog_path, 0, &why);
    for (size_t i = 0; i < n; i++) {
        bool is_there = false;
        for (size_t k = 0; k < n_ids && !is_there; k++) is_there = ids[k] == moves[i].state;
        if (is_there) continue;
        snprintf(what, sizeof what, "name %s stands at state #%" PRId64 ", which is not there",
                 moves[i].name, moves[i].state);
        report_catalog(v, what);
    }
    free(moves);
    st = lull_catalog_list_tags(v->s->catalog, 0, &tags, &n, &why);
    is_finding(v, st, v->s->catalog_path, 0, &why);
    free(tags);
}

static lull_status verify(lull_store *s, lull_store_finding_fn on_finding, void *user,
                          size_t *n_bad, lull_error *err)
{
    verifier v = {.s = s, .on_finding = on_finding, .user = user, .seg = {.fd = -1}};
    int64_t *ids = NULL;
    size_t n_ids = 0;
    lull_error why = {0};
    uint64_t value;
    is_finding(&v, lull_catalog_inspect(s->catalog, &why), s->catalog_path, 0, &why);
    for (int i = LULL_COUNTER_SEQ; i <= LULL_COUNTER_PAGE; i++) {
        lull_status st = lull_catalog_get_counter(s->catalog, (lull_counter)i, &value, &why);
        is_finding(&v, st, s->catalog_path, 0, &why);
    }
    if (!v.is_stopped) verify_places(&v);
    for (size_t i = 0; i < v.n_segments && !v.is_stopped; i++) verify_segment(&v, &v.segments[i]);
    if (!v.is_stopped) verify_files(&v);
    lull_status st = lull_catalog_list_states(s->catalog, 0, &ids, &n_ids, &why);
    is_finding(&v, st, s->catalog_path, 0, &why);
    for (size_t i = 0; i < n_ids && !v.is_stopped; i++) verify_state(&v, ids[i]);
    if (!v.is_stopped) verify_labels(&v, ids, n_ids);
    free(v.segments);
    free(ids);
    *n_bad = v.n_bad;
    if (v.st != LULL_OK && err) *err = v.err;
    return v.st;
}

lull_status lull_store_verify(lull_store *s, lull_store_finding_fn on_finding, void *user,
                              size_t *n_bad, lull_error *err)
{
    *n_bad = 0;
    if (s->is_export)
        return lull_fail(err, LULL_EINVAL, "%s: an export: `lull import` verifies it", s->folder);
    /* Damage is reported here, not mended. */
    pthread_mutex_lock(&s->lock);
    lull_status st = lull_store_usable(s, err);
    if (st == LULL_OK) st = verify(s, on_finding, user, n_bad, err);
    pthread_mutex_unlock(&s->lock);
    return st;
}
