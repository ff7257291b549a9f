/* States on their way: a .lull file is a segment of its own, closed by an index, so that it can be
 * woken in place, and merged record by record. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "store_private.h"

/* ---- export ----------------------------------------------------------------------------------- */

typedef struct exporter {
    lull_store *s;
    lull_segment out;
    lull_segment from; /* the segment that was read from last; fd -1: none */
    int64_t *pages;    /* owned [n_pages]: what is in the file, or left out of it; in order */
    size_t n_pages, cap;
    uint64_t seq;
    const lull_export_options *options;
} exporter;

/* Is a page in the list? *at: where it is, or belongs. */
static bool has_page(const exporter *x, int64_t id, size_t *at)
{
    size_t lo = 0, hi = x->n_pages;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (x->pages[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at = lo;
    return lo < x->n_pages && x->pages[lo] == id;
}

static lull_status note_page(exporter *x, int64_t id, size_t at, lull_error *err)
{
    if (x->n_pages == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 256;
        int64_t *pages = realloc(x->pages, cap * sizeof *pages);
        if (!pages) return lull_fail(err, LULL_ENOMEM, "out of memory for the list of pages");
        x->pages = pages;
        x->cap = cap;
    }
    memmove(x->pages + at + 1, x->pages + at, (x->n_pages++ - at) * sizeof *x->pages);
    x->pages[at] = id;
    return LULL_OK;
}

/* The segment of a record, open for reading. */
static lull_status open_source(lull_store *s, lull_segment *seg, uint64_t id, lull_error *err)
{
    if (seg->fd >= 0 && seg->id == id) return LULL_OK;
    lull_segment_close(seg);
    char path[LULL_SEGMENT_PATH_MAX];
    lull_status st = LULL_OK;
    if (s->is_export)
        snprintf(path, sizeof path, "%s", s->folder);
    else
        st = lull_segment_path(s->segments, id, path, err);
    return st == LULL_OK ? lull_segment_open(path, false, seg, err) : st;
}

/* A page's record with its planes, compared with their checksums. planes: owned. */
static lull_status read_page(lull_store *s, lull_segment *seg, const lull_page_row *row,
                             uint8_t *planes[LULL_RECORD_PARTS], lull_error *err)
{
    lull_status st = LULL_OK;
    lull_record r;
    for (int i = 0; i < LULL_RECORD_PARTS; i++) planes[i] = NULL;
    LULL_TRY(open_source(s, seg, row->segment, err));
    LULL_TRY(lull_segment_read_record(seg, row->offset, seg->end, &r, err));
    if (memcmp(&r.key, &row->key, sizeof r.key) != 0 ||
        memcmp(r.parts, row->parts, sizeof r.parts) != 0) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: offset %" PRIu64 ": is not the catalogue's page",
                       seg->path, row->offset);
        goto done;
    }
    for (int i = 0; i < LULL_RECORD_PARTS; i++)
        if (r.parts[i].n_bytes > 0) LULL_TRY(lull_segment_read_part(seg, &r, i, &planes[i], err));
done:
    for (int i = 0; st != LULL_OK && i < LULL_RECORD_PARTS; i++) {
        free(planes[i]);
        planes[i] = NULL;
    }
    return st;
}

static lull_status export_page(exporter *x, const lull_page_row *row, lull_error *err)
{
    uint8_t *planes[LULL_RECORD_PARTS];
    lull_status st = read_page(x->s, &x->from, row, planes, err);
    if (st != LULL_OK) return st;
    lull_record r = lull_record_of(row);
    const void *parts[LULL_RECORD_PARTS] = {planes[0], planes[1]};
    st = lull_segment_append(&x->out, &r, parts, err);
    for (int i = 0; i < LULL_RECORD_PARTS; i++) free(planes[i]);
    return st;
}

static lull_status append_body(exporter *x, lull_record *r, const lull_buffer *body,
                               lull_error *err)
{
    if (body->is_failed) return lull_fail(err, LULL_ENOMEM, "out of memory for a record");
    r->seq = ++x->seq;
    if (r->at_ms == 0) r->at_ms = lull_disk_now_ms();
    r->parts[0].n_bytes = body->n_bytes;
    const void *parts[LULL_RECORD_PARTS] = {body->data};
    return lull_segment_append(&x->out, r, parts, err);
}

/* The names that stand at a state beyond the first, which is in its record. */
static lull_status export_names(exporter *x, int64_t id, char **names, size_t n, lull_error *err)
{
    lull_status st = LULL_OK;
    for (size_t i = 1; i < n && st == LULL_OK; i++) {
        lull_buffer body = {0};
        lull_record r = {.type = LULL_RECORD_NAME, .state = id};
        lull_body_put(&body, LULL_NAME_SET);
        lull_body_put_text(&body, names[i]);
        st = append_body(x, &r, &body, err);
        lull_buffer_fini(&body);
    }
    return st;
}

/* A state's rows as a draft that could be put to sleep again. keys: owned; the tail's is the last. */
static lull_status draft_of(lull_store *s, const lull_state_row *row, lull_store_draft *d,
                            lull_digest **keys, int32_t tail[LULL_STORE_PAGE_TOKENS],
                            lull_error *err)
{
    lull_status st = LULL_OK;
    *keys = calloc(row->n_pages + 1, sizeof **keys);
    if (!*keys) return lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages");
    *d = (lull_store_draft){
        .card = row->card,
        .kv_identity = row->kv_identity,
        .pages = *keys,
        .n_pages = row->n_pages - (row->n_tail > 0),
        .tail_tokens = tail,
        .n_tail = row->n_tail,
        .n_window_pages = row->n_window_pages,
        .session = row->session,
    };
    for (size_t i = 0; i < row->n_pages; i++) {
        lull_page_row page = {0};
        if (row->pages[i] > 0)
            LULL_TRY(lull_catalog_get_page(s->catalog, row->pages[i], &page, err));
        if (page.id == 0) {
            st = lull_fail(err, LULL_ECORRUPT, "state #%" PRId64 ": page %zu is not in the store",
                           row->id, i);
            goto done;
        }
        (*keys)[i] = page.key;
        if (i + 1 == row->n_pages) memcpy(tail, page.tokens, sizeof page.tokens);
    }
done:
    return st;
}

/* ids [n] are numbered 1 to n in the file, so that it tells nothing of the store it came from. */
static lull_status export_state(exporter *x, const int64_t *ids, size_t n, size_t index,
                                lull_error *err)
{
    lull_status st = LULL_OK;
    lull_state_row row = {0};
    lull_store_state info = {0};
    lull_digest *keys = NULL;
    lull_buffer body = {0};
    lull_store_draft d;
    int32_t tail[LULL_STORE_PAGE_TOKENS];
    LULL_TRY(lull_store_get_rows(x->s, ids[index], false, true, &info, err));
    LULL_TRY(lull_catalog_get_state(x->s->catalog, ids[index], &row, err));
    LULL_TRY(draft_of(x->s, &row, &d, &keys, tail, err));
    for (size_t i = 0; i < row.n_pages; i++) {
        lull_page_row page;
        size_t at;
        if (has_page(x, row.pages[i], &at)) continue;
        LULL_TRY(lull_catalog_get_page(x->s->catalog, row.pages[i], &page, err));
        LULL_TRY(export_page(x, &page, err));
        LULL_TRY(note_page(x, row.pages[i], at, err));
    }
    for (size_t i = 0; i < n; i++)
        if (ids[i] == row.parent) d.parent = (int64_t)i + 1;
    d.tags = (const char *const *)info.tags;
    d.n_tags = info.n_tags;
    if (x->options->sessions) d.session = x->options->sessions[index];
    const char *only = x->options->names ? x->options->names[index] : NULL;
    if (only) LULL_TRY(lull_name_check("name", only, err));
    lull_state_body_put(&body, &d, only ? only : info.n_names ? info.names[0] : NULL);
    lull_record r = {
        .type = LULL_RECORD_STATE,
        .state = (int64_t)index + 1,
        .n_tokens = (uint32_t)row.n_tail,
        .kv_identity = row.kv_identity,
        .at_ms = row.created_ms,
    };
    if (row.n_tail > 0) {
        r.key = keys[row.n_pages - 1];
        memcpy(r.tokens, tail, row.n_tail * sizeof *tail);
    }
    LULL_TRY(append_body(x, &r, &body, err));
    if (!only) LULL_TRY(export_names(x, r.state, info.names, info.n_names, err));
done:
    lull_buffer_fini(&body);
    lull_state_row_fini(&row);
    lull_store_state_fini(&info);
    free(keys);
    return st;
}

static lull_status leave_out(exporter *x, int64_t since, lull_error *err)
{
    lull_state_row row;
    lull_status st = lull_catalog_get_state(x->s->catalog, since, &row, err);
    if (st == LULL_OK && row.id == 0)
        st = lull_fail(err, LULL_ENOTFOUND, "there is no state #%" PRId64, since);
    for (size_t i = 0; st == LULL_OK && i < row.n_pages; i++) {
        size_t at;
        if (!has_page(x, row.pages[i], &at)) st = note_page(x, row.pages[i], at, err);
    }
    lull_state_row_fini(&row);
    return st;
}

/* The folder of a path. */
static void folder_of(const char *path, char out[LULL_SEGMENT_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash - path) + (slash == path) : 1;
    snprintf(out, LULL_SEGMENT_PATH_MAX, "%.*s", n, slash ? path : ".");
}

/* Where an export goes: what is there must be a file, and stays where a link says. A device or a pipe would be
 * replaced. */
static lull_status find_target(const char *path, char target[PATH_MAX], lull_error *err)
{
    struct stat info;
    size_t n = strlen(path);
    if (stat(path, &info) == 0) {
        if (!S_ISREG(info.st_mode))
            return lull_fail(err, LULL_EINVAL, "%s: is not a regular file: name another", path);
        if (realpath(path, target)) return LULL_OK;
    }
    if (n >= PATH_MAX) return lull_fail(err, LULL_EINVAL, "%s: the name is too long", path);
    memcpy(target, path, n + 1);
    return LULL_OK;
}

static lull_status export_states(lull_store *s, const int64_t *ids, size_t n,
                                 const lull_export_options *o, const char *path, lull_error *err)
{
    char temp[LULL_SEGMENT_PATH_MAX], folder[LULL_SEGMENT_PATH_MAX], target[PATH_MAX];
    lull_status st = find_target(path, target, err);
    if (st != LULL_OK) return st;
    exporter x = {.s = s, .out = {.fd = -1}, .from = {.fd = -1}, .options = o};
    lull_buffer body = {0};
    uint32_t salt;
    lull_disk_random(&salt, sizeof salt);
    int n_temp = snprintf(temp, sizeof temp, "%s.%08" PRIx32 ".tmp", target, salt);
    if (n_temp < 0 || (size_t)n_temp >= sizeof temp)
        return lull_fail(err, LULL_EINVAL, "%s: the name is too long", path);
    folder_of(target, folder);
    LULL_TRY(lull_segment_create_export(temp, &x.out, err));
    /* One moment of the store; what gc removes meanwhile is kept by the files that are open, or
     * missed with an error. */
    LULL_TRY(lull_catalog_begin(s->catalog, false, err));
    if (o->since > 0) LULL_TRY(leave_out(&x, o->since, err));
    for (size_t i = 0; i < n; i++) LULL_TRY(export_state(&x, ids, n, i, err));
    lull_body_put(&body, n);
    lull_record r = {.type = LULL_RECORD_INDEX};
    LULL_TRY(append_body(&x, &r, &body, err));
    LULL_TRY(lull_disk_sync(x.out.fd, x.out.path, err));
    LULL_TRY(lull_disk_rename(temp, target, err));
    lull_segment_close(&x.out);
    LULL_TRY(lull_disk_sync_folder(folder, err));
done:
    lull_catalog_rollback(s->catalog);
    if (x.out.fd >= 0) {
        lull_segment_close(&x.out);
        unlink(temp);
    }
    lull_segment_close(&x.from);
    lull_buffer_fini(&body);
    free(x.pages);
    return st;
}

lull_status lull_store_export(lull_store *s, const int64_t *ids, size_t n,
                              const lull_export_options *o, const char *path, lull_error *err)
{
    static const lull_export_options whole = {0};
    lull_status st;
    LULL_STORE_CALL(s, st, export_states(s, ids, n, o ? o : &whole, path, err), err);
    return st;
}

/* ---- opening an export ------------------------------------------------------------------------ */

lull_status lull_store_open_export(const char *path, lull_store **out, lull_error *err)
{
    *out = NULL;
    lull_store *s = NULL;
    lull_segment seg = {.fd = -1};
    lull_status st = LULL_OK;
    char real[PATH_MAX];
    if (!realpath(path, real))
        return lull_fail(err, errno == ENOENT ? LULL_ENOTFOUND : LULL_EIO, "%s: %s", path,
                         strerror(errno));
    LULL_TRY(lull_store_new(real, &s, err));
    s->is_export = s->is_read_only = true;
    LULL_TRY(lull_segment_open(real, false, &seg, err));
    if (!seg.is_export) {
        st = lull_fail(err, LULL_ECORRUPT,
                       "%s: offset 12: a store's segment, not an export (flags)", path);
        goto done;
    }
    LULL_TRY(lull_wake_new(s, err));
    LULL_TRY(lull_catalog_open(NULL, LULL_CATALOG_MEMORY, &s->catalog, err));
    LULL_TRY(lull_catalog_begin(s->catalog, true, err));
    LULL_TRY(lull_store_index_export(s->catalog, &seg, err));
    LULL_TRY(lull_catalog_commit(s->catalog, err));
    *out = s;
    s = NULL;
done:
    lull_segment_close(&seg);
    lull_store_close(s);
    return st;
}

/* ---- import ----------------------------------------------------------------------------------- */

typedef struct importer {
    lull_store *to, *from;
    lull_segment seg;
    bool is_replacing;
    int64_t *old_ids, *new_ids; /* owned [n] */
    size_t n;
} importer;

/* A page of the file that is not here is appended; one that is in neither is an error. */
static lull_status import_page(importer *im, const lull_page_row *row, lull_error *err)
{
    uint8_t *planes[LULL_RECORD_PARTS];
    bool has;
    lull_status st = lull_store_has_page(im->to, &row->key, &has, err);
    if (st != LULL_OK || has) return st;
    st = read_page(im->from, &im->seg, row, planes, err);
    if (st != LULL_OK) return st;
    lull_record r = lull_record_of(row);
    const void *parts[LULL_RECORD_PARTS] = {planes[0], planes[1]};
    st = lull_store_append_page(im->to, &r, parts, err);
    for (int i = 0; i < LULL_RECORD_PARTS; i++) free(planes[i]);
    return st;
}

static lull_status fail_chain(const importer *im, int64_t id, size_t i, lull_error *err)
{
    return lull_fail(err, LULL_ECORRUPT,
                     "%s: state %" PRId64 ": page %zu does not follow upon the one before",
                     im->from->folder, id, i);
}

/* A state's keys, from its record: pages that the file leaves out are in no row. keys: owned, the
 * tail's is the last. */
static lull_status read_keys(importer *im, const lull_state_row *row, lull_digest **keys,
                             lull_error *err)
{
    lull_record r;
    uint8_t *body = NULL;
    lull_state_body b;
    lull_status st = LULL_OK;
    *keys = calloc(row->n_pages + 1, sizeof **keys);
    if (!*keys) return lull_fail(err, LULL_ENOMEM, "out of memory for a state's pages");
    LULL_TRY(open_source(im->from, &im->seg, row->segment, err));
    LULL_TRY(lull_segment_read_record(&im->seg, row->offset, im->seg.end, &r, err));
    LULL_TRY(lull_segment_read_part(&im->seg, &r, 0, &body, err));
    if (!lull_state_body_get(body, (size_t)r.parts[0].n_bytes, &b) ||
        b.n_pages + (row->n_tail > 0) != row->n_pages) {
        st =
            lull_fail(err, LULL_ECORRUPT, "%s: offset %" PRIu64 ": a state's body is not its row's",
                      im->seg.path, row->offset);
        goto done;
    }
    if (b.n_pages > 0) memcpy(*keys, b.keys, 32 * b.n_pages);
    if (row->n_tail > 0) (*keys)[b.n_pages] = r.key;
done:
    free(body);
    return st;
}

/* Every page of a state is in the file or here, and each follows upon the one before. */
static lull_status import_pages(importer *im, const lull_state_row *row, const lull_digest *keys,
                                int32_t tail[LULL_STORE_PAGE_TOKENS], lull_error *err)
{
    lull_status st = LULL_OK;
    lull_digest parent = {{0}};
    for (size_t i = 0; i < row->n_pages; i++) {
        lull_page_row page;
        LULL_TRY(lull_catalog_find_page(im->from->catalog, &keys[i], &page, err));
        if (page.id != 0)
            LULL_TRY(import_page(im, &page, err));
        else
            LULL_TRY(lull_catalog_find_page(im->to->catalog, &keys[i], &page, err));
        if (page.id == 0 && page.n_tokens == 0)
            return lull_fail(err, LULL_ENOTFOUND,
                             "%s: state %" PRId64
                             ": page %zu was left out, and is not here either: "
                             "import what the file was made since first",
                             im->from->folder, row->id, i);
        bool is_tail = row->n_tail > 0 && i + 1 == row->n_pages;
        if (memcmp(&page.parent, &parent, sizeof parent) != 0 ||
            memcmp(&page.kv_identity, &row->kv_identity, sizeof parent) != 0 ||
            page.n_tokens != (is_tail ? row->n_tail : LULL_STORE_PAGE_TOKENS))
            return fail_chain(im, row->id, i, err);
        if (is_tail) memcpy(tail, page.tokens, sizeof page.tokens);
        parent = page.key;
    }
done:
    return st;
}

/* name, or name-2, name-3, ... whatever is free. */
static lull_status free_name(importer *im, const char *name, char out[LULL_NAME_MAX + 1],
                             lull_error *err)
{
    lull_status st = lull_name_check("name", name, err);
    snprintf(out, LULL_NAME_MAX + 1, "%s", name);
    for (unsigned i = 2; st == LULL_OK && !im->is_replacing; i++) {
        lull_move_row move;
        st = lull_catalog_find_move(im->to->catalog, out, 0, &move, err);
        if (st != LULL_OK || move.seq == 0) break;
        char suffix[16];
        int n = snprintf(suffix, sizeof suffix, "-%u", i);
        size_t keep = strlen(name), room = LULL_NAME_MAX - (size_t)n;
        if (keep > room) keep = room;
        while (keep > 0 && ((unsigned char)name[keep] & 0xc0) == 0x80)
            keep--; /* whole characters */
        snprintf(out, LULL_NAME_MAX + 1, "%.*s%s", (int)keep, name, suffix);
    }
    return st;
}

static lull_status import_names(importer *im, lull_change *ch, char *const *names, size_t n,
                                int64_t id, lull_error *err)
{
    lull_status st = LULL_OK;
    for (size_t i = 1; i < n && st == LULL_OK; i++) {
        char name[LULL_NAME_MAX + 1];
        lull_buffer body = {0};
        lull_record r = {.type = LULL_RECORD_NAME, .state = id};
        st = free_name(im, names[i], name, err);
        lull_body_put(&body, LULL_NAME_SET);
        lull_body_put_text(&body, name);
        if (st == LULL_OK) st = lull_change_record(im->to, ch, &r, &body, err);
        lull_buffer_fini(&body);
    }
    return st;
}

static lull_status import_state(importer *im, lull_change *ch, size_t index, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_state_row row = {0};
    lull_store_state info = {0};
    lull_digest *keys = NULL;
    int32_t tail[LULL_STORE_PAGE_TOKENS];
    char name[LULL_NAME_MAX + 1];
    LULL_TRY(lull_store_get_rows(im->from, im->old_ids[index], false, true, &info, err));
    LULL_TRY(lull_catalog_get_state(im->from->catalog, im->old_ids[index], &row, err));
    LULL_TRY(read_keys(im, &row, &keys, err));
    LULL_TRY(import_pages(im, &row, keys, tail, err));
    for (size_t i = 0; i < info.n_tags; i++) LULL_TRY(lull_name_check("tag", info.tags[i], err));
    if (!ch) goto done; /* the first round: pages only */
    lull_store_draft d = {
        .card = row.card,
        .kv_identity = row.kv_identity,
        .pages = keys,
        .n_pages = row.n_pages - (row.n_tail > 0),
        .tail_tokens = tail,
        .n_tail = row.n_tail,
        .n_window_pages = row.n_window_pages,
        .session = row.session,
        .tags = (const char *const *)info.tags,
        .n_tags = info.n_tags,
    };
    for (size_t i = 0; i < index; i++)
        if (im->old_ids[i] == row.parent) d.parent = im->new_ids[i];
    if (info.n_names > 0) LULL_TRY(free_name(im, info.names[0], name, err));
    LULL_TRY(lull_store_put_state(im->to, ch, &d, &keys[d.n_pages], info.n_names ? name : NULL,
                                  &im->new_ids[index], err));
    LULL_TRY(import_names(im, ch, info.names, info.n_names, im->new_ids[index], err));
done:
    lull_state_row_fini(&row);
    lull_store_state_fini(&info);
    free(keys);
    return st;
}

static lull_status import_file(lull_store *s, const char *path, bool is_replacing, int64_t **ids,
                               size_t *n, lull_error *err)
{
    importer im = {.to = s, .seg = {.fd = -1}, .is_replacing = is_replacing};
    lull_change ch = {.is_done = true};
    lull_status st = LULL_OK;
    *ids = NULL;
    *n = 0;
    LULL_TRY(lull_store_writable(s, err));
    LULL_TRY(lull_store_open_export(path, &im.from, err));
    LULL_TRY(lull_catalog_list_states(im.from->catalog, 0, &im.old_ids, &im.n, err));
    im.new_ids = calloc(im.n + 1, sizeof *im.new_ids);
    if (!im.new_ids) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the list of states");
        goto done;
    }
    /* The pages first, since they are what takes long; then all states in one transaction. */
    for (size_t i = 0; i < im.n; i++) LULL_TRY(import_state(&im, NULL, i, err));
    LULL_TRY(lull_change_begin(s, &ch, err));
    for (size_t i = 0; i < im.n; i++) LULL_TRY(import_state(&im, &ch, i, err));
    LULL_TRY(lull_change_end(s, &ch, err));
    *ids = im.new_ids;
    *n = im.n;
    im.new_ids = NULL;
done:
    lull_change_abort(s, &ch);
    lull_segment_close(&im.seg);
    lull_store_close(im.from);
    free(im.old_ids);
    free(im.new_ids);
    return st;
}

lull_status lull_store_import(lull_store *s, const char *path, bool is_replacing, int64_t **ids,
                              size_t *n, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, import_file(s, path, is_replacing, ids, n, err), err);
    return st;
}
