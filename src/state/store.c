/* Opening, sleeping, names and tags: what changes the store. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "file.h"
#include "store_private.h"
#include "utf8.h"

/* ---- opening --------------------------------------------------------------------------------- */

lull_status lull_lock_file(int fd, const char *path, int operation, int timeout_ms, lull_error *err)
{
    if (fd < 0) return LULL_OK; /* a store that is only read from goes without */
    for (int waited_ms = 0;; waited_ms += 10) {
        if (flock(fd, operation | LOCK_NB) == 0) return LULL_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return lull_fail(err, LULL_EIO, "%s: cannot lock: %s", path, strerror(errno));
        if (waited_ms >= timeout_ms)
            return lull_fail(err, LULL_EIO, "%s: another process has it locked", path);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

lull_status lull_store_new(const char *folder, lull_store **out, lull_error *err)
{
    *out = NULL;
    lull_store *s = calloc(1, sizeof *s);
    if (!s) return lull_fail(err, LULL_ENOMEM, "out of memory for the store");
    s->open_fd = s->gc_fd = s->change_fd = s->given_up.fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    size_t n = strlen(folder) + 16;
    s->folder = strdup(folder);
    s->segments = malloc(n);
    s->locks = malloc(n);
    s->catalog_path = malloc(n);
    if (!s->folder || !s->segments || !s->locks || !s->catalog_path) {
        lull_store_close(s);
        return lull_fail(err, LULL_ENOMEM, "out of memory for the store");
    }
    snprintf(s->segments, n, "%s/segments", folder);
    snprintf(s->locks, n, "%s/locks", folder);
    snprintf(s->catalog_path, n, "%s/catalog.db", folder);
    *out = s;
    return LULL_OK;
}

static lull_status open_lock(const lull_store *s, const char *name, int *fd, lull_error *err)
{
    char path[LULL_SEGMENT_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", s->locks, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return lull_fail(err, LULL_EINVAL, "%s: the folder's name is too long", s->folder);
    int flags = O_CLOEXEC | O_NOFOLLOW | (s->is_read_only ? O_RDONLY : O_RDWR | O_CREAT);
    *fd = open(path, flags, 0600);
    if (*fd < 0 && !s->is_read_only)
        return lull_fail(err, LULL_EIO, "%s: cannot open: %s", path, strerror(errno));
    return LULL_OK;
}

lull_status lull_store_open(const char *folder, const lull_store_options *options, lull_store **out,
                            lull_error *err)
{
    *out = NULL;
    lull_store *s = NULL;
    lull_status st = LULL_OK;
    bool is_read_only = options && options->is_read_only;
    char real[PATH_MAX];
    struct stat info;
    if (!is_read_only) LULL_TRY(lull_dir_create(folder, err));
    /* Without links: SQLite is told to follow none. */
    if (!realpath(folder, real)) {
        if (errno == ENOENT)
            return lull_fail(err, LULL_ENOTFOUND, "%s: there is no store: no such folder", folder);
        return lull_fail(err, LULL_EIO, "%s: %s", folder, strerror(errno));
    }
    LULL_TRY(lull_store_new(real, &s, err));
    s->is_read_only = is_read_only;
    s->max_segment_bytes =
        options && options->max_segment_bytes ? options->max_segment_bytes : (uint64_t)1 << 30;
    if (!is_read_only) {
        LULL_TRY(lull_dir_create(s->segments, err));
        LULL_TRY(lull_dir_create(s->locks, err));
    } else if (stat(s->catalog_path, &info) < 0 && stat(s->segments, &info) < 0) {
        st = lull_fail(err, LULL_ENOTFOUND, "%s: there is no store in this folder", folder);
        goto done;
    }
    LULL_TRY(open_lock(s, "open", &s->open_fd, err));
    LULL_TRY(open_lock(s, "gc", &s->gc_fd, err));
    LULL_TRY(open_lock(s, "change", &s->change_fd, err));
    LULL_TRY(lull_lock_file(s->open_fd, real, LOCK_SH, 60000, err)); /* while it is made again */
    LULL_TRY(lull_wake_new(s, err));
    LULL_TRY(lull_store_recover(s, err));
    *out = s;
    s = NULL;
done:
    lull_store_close(s);
    return st;
}

void lull_store_close(lull_store *s)
{
    if (!s) return;
    if (s->catalog) {
        lull_status st = lull_store_settle(s, NULL);
        (void)st; /* the next to open the store decides by what is on the disk */
    }
    lull_wake_free(s);
    lull_catalog_close(s->catalog);
    for (size_t i = 0; i < s->n_writers; i++) lull_segment_close(&s->writers[i]);
    lull_segment_close(&s->given_up);
    free(s->writers);
    lull_pending_fini(&s->pending);
    free(s->damaged);
    if (s->gc_fd >= 0) close(s->gc_fd);
    if (s->change_fd >= 0) close(s->change_fd);
    if (s->open_fd >= 0) close(s->open_fd);
    free(s->folder);
    free(s->segments);
    free(s->locks);
    free(s->catalog_path);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *lull_store_folder(const lull_store *s)
{
    return s->folder;
}

/* ---- names ----------------------------------------------------------------------------------- */

lull_status lull_name_check(const char *what, const char *name, lull_error *err)
{
    size_t n = strlen(name);
    if (n < 1 || n > LULL_NAME_MAX)
        return lull_fail(err, LULL_EINVAL, "a %s has 1 to %d bytes, not %zu", what, LULL_NAME_MAX,
                         n);
    if (name[0] == '-') return lull_fail(err, LULL_EINVAL, "a %s does not begin with '-'", what);
    for (size_t i = 0; i < n;) {
        int length = lull_utf8_length((const uint8_t *)name + i, n - i);
        if (length <= 0) return lull_fail(err, LULL_EINVAL, "a %s is UTF-8", what);
        unsigned char b = (unsigned char)name[i];
        if (b < 0x20 || b == 0x7f || (b == 0xc2 && (unsigned char)name[i + 1] < 0xa0))
            return lull_fail(err, LULL_EINVAL, "a %s has no control characters", what);
        if (strchr("@:#/", b))
            return lull_fail(err, LULL_EINVAL, "a %s has no '%c' in it: %s", what, b, name);
        i += (size_t)length;
    }
    return LULL_OK;
}

/* Does a name stand where the caller thinks it does (store.h, lull_store_sleep)? Within a change. */
static lull_status check_expected(lull_store *s, const char *name, int64_t expected,
                                  lull_error *err)
{
    if (!name || expected < 0) return LULL_OK;
    lull_move_row at;
    lull_status st = lull_catalog_find_move(s->catalog, name, 0, &at, err);
    if (st != LULL_OK || (at.seq ? at.state : 0) == expected) return st;
    if (at.seq == 0) return lull_fail(err, LULL_EEXIST, "%s: there is no such name any more", name);
    if (expected == 0)
        return lull_fail(err, LULL_EEXIST, "%s: the name is taken, by #%lld", name,
                         (long long)at.state);
    return lull_fail(err, LULL_EEXIST, "%s: has been moved to #%lld meanwhile, it was at #%lld",
                     name, (long long)at.state, (long long)expected);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static bool is_known_damaged(const lull_store *s, const lull_digest *key)
{
    for (size_t i = 0; i < s->n_damaged; i++)
        if (memcmp(&s->damaged[i], key, sizeof *key) == 0) return true;
    return false;
}

static void forget_damaged(lull_store *s, const lull_digest *key)
{
    for (size_t i = 0; i < s->n_damaged; i++)
        if (memcmp(&s->damaged[i], key, sizeof *key) == 0)
            s->damaged[i--] = s->damaged[--s->n_damaged];
}

/* Pages that have failed their check do not count as there, so that they are written again. */
lull_status lull_store_has_page(lull_store *s, const lull_digest *key, bool *has, lull_error *err)
{
    *has = lull_pending_find(&s->pending, key) != NULL;
    if (*has || is_known_damaged(s, key)) return LULL_OK;
    lull_page_row row;
    lull_status st = lull_catalog_find_page(s->catalog, key, &row, err);
    *has = st == LULL_OK && row.id != 0;
    return st;
}

static lull_status has_pages(lull_store *s, const lull_digest *keys, size_t n, bool *has,
                             lull_error *err)
{
    lull_status st = lull_catalog_begin(s->catalog, false, err);
    for (size_t i = 0; st == LULL_OK && i < n; i++)
        st = lull_store_has_page(s, &keys[i], &has[i], err);
    lull_catalog_rollback(s->catalog);
    return st;
}

lull_status lull_store_has_pages(lull_store *s, const lull_digest *keys, size_t n, bool *has,
                                 lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, has_pages(s, keys, n, has, err), err);
    return st;
}

static lull_status add_pages(lull_store *s, const lull_store_page *pages, size_t n, lull_error *err)
{
    lull_status st = LULL_OK;
    LULL_TRY(lull_store_writable(s, err));
    for (size_t i = 0; i < n; i++) {
        const lull_store_page *p = &pages[i];
        bool has;
        LULL_TRY(lull_store_has_page(s, &p->key, &has, err));
        if (has || (!p->planes[0] && !p->planes[1])) continue;
        lull_digest key =
            lull_store_page_key(&p->kv_identity, &p->parent, p->tokens, LULL_STORE_PAGE_TOKENS);
        if (memcmp(&key, &p->key, sizeof key) != 0)
            return lull_fail(err, LULL_EINVAL, "page %zu: its key is not that of its tokens", i);
        lull_record r = {
            .type = LULL_RECORD_PAGE,
            .n_tokens = LULL_STORE_PAGE_TOKENS,
            .key = p->key,
            .parent = p->parent,
            .kv_identity = p->kv_identity,
        };
        memcpy(r.tokens, p->tokens, sizeof r.tokens);
        for (int k = 0; k < LULL_STORE_PLANES; k++) r.parts[k].n_bytes = p->plane_bytes[k];
        LULL_TRY(lull_store_append_page(s, &r, p->planes, err));
    }
done:
    return st;
}

lull_status lull_store_add_pages(lull_store *s, const lull_store_page *pages, size_t n,
                                 lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, add_pages(s, pages, n, err), err);
    return st;
}

/* ---- sleeping -------------------------------------------------------------------------------- */

/* Bring a page that the draft refers to into the catalogue, if it is not there. */
static lull_status commit_page(lull_store *s, const lull_digest *key, size_t index, lull_error *err)
{
    lull_page_row there;
    lull_status st = lull_catalog_find_page(s->catalog, key, &there, err);
    if (st != LULL_OK) return st;
    lull_page_row *pending = (lull_page_row *)(uintptr_t)lull_pending_find(&s->pending, key);
    if (there.id != 0 && !pending) return LULL_OK;
    if (!pending)
        return lull_fail(err, LULL_ENOTFOUND,
                         "page %zu is not in the store: add it, then sleep again", index);
    if (there.id != 0 && is_known_damaged(s, key)) {
        pending->id = there.id;
        return lull_catalog_move_page(s->catalog, pending, err);
    }
    return lull_catalog_add_page(s->catalog, pending, err);
}

static lull_status append_tail(lull_store *s, const lull_store_draft *d, lull_digest *key,
                               lull_error *err)
{
    lull_record r = {
        .type = LULL_RECORD_PAGE,
        .n_tokens = (uint32_t)d->n_tail,
        .kv_identity = d->kv_identity,
    };
    if (d->n_pages > 0) r.parent = d->pages[d->n_pages - 1];
    memcpy(r.tokens, d->tail_tokens, d->n_tail * sizeof *r.tokens);
    r.key = *key = lull_store_page_key(&r.kv_identity, &r.parent, r.tokens, d->n_tail);
    for (int k = 0; k < LULL_STORE_PLANES; k++) r.parts[k].n_bytes = d->tail_plane_bytes[k];
    bool has;
    lull_status st = lull_store_has_page(s, key, &has, err);
    if (st != LULL_OK || has) return st;
    if (!d->tail_planes[0] && !d->tail_planes[1])
        return lull_fail(err, LULL_ENOTFOUND, "the tail is not in the store, and has no planes");
    return lull_store_append_page(s, &r, d->tail_planes, err);
}

lull_status lull_store_put_state(lull_store *s, lull_change *ch, const lull_store_draft *d,
                                 const lull_digest *tail_key, const char *name, int64_t *id,
                                 lull_error *err)
{
    lull_status st = LULL_OK;
    lull_buffer body = {0};
    lull_record r = {
        .type = LULL_RECORD_STATE,
        .kv_identity = d->kv_identity,
        .n_tokens = (uint32_t)d->n_tail,
    };
    for (size_t i = 0; i < d->n_pages; i++) LULL_TRY(commit_page(s, &d->pages[i], i, err));
    if (d->n_tail > 0) {
        memcpy(r.tokens, d->tail_tokens, d->n_tail * sizeof *r.tokens);
        r.key = *tail_key;
        LULL_TRY(commit_page(s, &r.key, d->n_pages, err));
    }
    uint64_t last;
    LULL_TRY(lull_catalog_get_counter(s->catalog, LULL_COUNTER_STATE, &last, err));
    r.state = (int64_t)last + 1;
    lull_state_body_put(&body, d, name);
    LULL_TRY(lull_change_record(s, ch, &r, &body, err));
    *id = r.state;
done:
    lull_buffer_fini(&body);
    return st;
}

static lull_status sleep_once(lull_store *s, const lull_store_draft *d, const char *name,
                              int64_t expected, int64_t *id, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_change ch = {.is_done = true};
    lull_digest tail_key = {{0}};
    int64_t new_id = 0;
    if (d->n_tail > 0) LULL_TRY(append_tail(s, d, &tail_key, err));
    LULL_TRY(lull_change_begin(s, &ch, err));
    LULL_TRY(check_expected(s, name, expected, err));
    LULL_TRY(lull_store_put_state(s, &ch, d, &tail_key, name, &new_id, err));
    LULL_TRY(lull_change_end(s, &ch, err));
    *id = new_id;
    for (size_t i = 0; s->n_damaged > 0 && i < d->n_pages; i++) forget_damaged(s, &d->pages[i]);
    if (s->n_damaged > 0 && d->n_tail > 0) forget_damaged(s, &tail_key);
done:
    lull_change_abort(s, &ch);
    return st;
}

static lull_status sleep_state(lull_store *s, const lull_store_draft *d, const char *name,
                               int64_t expected, int64_t *id, lull_error *err)
{
    *id = 0;
    if (d->n_window_pages > LULL_WINDOW_PAGES_MAX)
        return lull_fail(err, LULL_EINVAL, "a window of %zu pages is too long", d->n_window_pages);
    if (d->n_tail >= LULL_STORE_PAGE_TOKENS || d->parent < 0 || !d->card || !d->session)
        return lull_fail(err, LULL_EINVAL, "a state needs a card, a session and a tail below %d",
                         LULL_STORE_PAGE_TOKENS);
    lull_status st = LULL_OK;
    if (name) LULL_TRY(lull_name_check("name", name, err));
    for (size_t i = 0; i < d->n_tags; i++) LULL_TRY(lull_name_check("tag", d->tags[i], err));
    st = sleep_once(s, d, name, expected, id, err);
    /* A failed sync has moved what waited to a new segment: once more, there. */
    if (st == LULL_EIO && s->is_moved) st = sleep_once(s, d, name, expected, id, err);
done:
    return st;
}

lull_status lull_store_sleep(lull_store *s, const lull_store_draft *draft, const char *name,
                             int64_t expected, int64_t *id, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, sleep_state(s, draft, name, expected, id, err), err);
    return st;
}

/* ---- names and tags -------------------------------------------------------------------------- */

static lull_status check_state(lull_store *s, int64_t id, lull_error *err)
{
    lull_state_row row;
    lull_status st = lull_catalog_get_state(s->catalog, id, &row, err);
    if (st == LULL_OK && row.id == 0) {
        st = lull_store_suspect(s, err);
        if (st == LULL_OK)
            st = lull_fail(err, LULL_ENOTFOUND, "there is no state #%lld", (long long)id);
    }
    lull_state_row_fini(&row);
    return st;
}

/* A change of one NAME or TAG record. */
static lull_status set_name(lull_store *s, lull_name_op op, const char *name, const char *to,
                            int64_t id, int64_t expected, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_change ch = {.is_done = true};
    lull_buffer body = {0};
    lull_record r = {.type = LULL_RECORD_NAME, .state = id};
    if (op == LULL_NAME_SET) LULL_TRY(lull_name_check("name", name, err));
    if (op == LULL_NAME_RENAME) LULL_TRY(lull_name_check("name", to, err));
    LULL_TRY(lull_change_begin(s, &ch, err));
    if (op == LULL_NAME_SET) {
        LULL_TRY(check_state(s, id, err));
        LULL_TRY(check_expected(s, name, expected, err));
    } else {
        lull_move_row at;
        LULL_TRY(lull_catalog_find_move(s->catalog, name, 0, &at, err));
        if (at.seq == 0) {
            LULL_TRY(lull_store_suspect(s, err));
            st = lull_fail(err, LULL_ENOTFOUND, "%s: there is no such name", name);
            goto done;
        }
        if (op == LULL_NAME_RENAME) LULL_TRY(check_expected(s, to, 0, err));
    }
    lull_body_put(&body, op);
    lull_body_put_text(&body, name);
    if (op == LULL_NAME_RENAME) lull_body_put_text(&body, to);
    LULL_TRY(lull_change_record(s, &ch, &r, &body, err));
    LULL_TRY(lull_change_end(s, &ch, err));
done:
    lull_change_abort(s, &ch);
    lull_buffer_fini(&body);
    return st;
}

static lull_status set_tag(lull_store *s, int64_t id, const char *tag, bool is_set, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_change ch = {.is_done = true};
    lull_buffer body = {0};
    lull_record r = {.type = LULL_RECORD_TAG, .state = id};
    LULL_TRY(lull_name_check("tag", tag, err));
    LULL_TRY(lull_change_begin(s, &ch, err));
    LULL_TRY(check_state(s, id, err));
    lull_body_put(&body, is_set);
    lull_body_put_text(&body, tag);
    LULL_TRY(lull_change_record(s, &ch, &r, &body, err));
    LULL_TRY(lull_change_end(s, &ch, err));
done:
    lull_change_abort(s, &ch);
    lull_buffer_fini(&body);
    return st;
}

lull_status lull_store_set_name(lull_store *s, const char *name, int64_t id, int64_t expected,
                                lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, set_name(s, LULL_NAME_SET, name, NULL, id, expected, err), err);
    return st;
}

lull_status lull_store_rename(lull_store *s, const char *from, const char *to, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, set_name(s, LULL_NAME_RENAME, from, to, 0, 0, err), err);
    return st;
}

lull_status lull_store_remove_name(lull_store *s, const char *name, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, set_name(s, LULL_NAME_REMOVE, name, NULL, 0, 0, err), err);
    return st;
}

lull_status lull_store_set_tag(lull_store *s, int64_t id, const char *tag, bool is_set,
                               lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, set_tag(s, id, tag, is_set, err), err);
    return st;
}
