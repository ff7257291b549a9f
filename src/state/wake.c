/* Waking: pages in place, as views of mapped segments; leases; the first look at a page's bytes.
 *
 * A segment is mapped in windows that reach past its end, so that a file that grows is seen without
 * mapping it again. An entry stands for a page at its place; it remembers whether the bytes were
 * compared with their checksums, since what is committed at a place never changes (S2). Every view
 * has a pin, which holds the entry's window and counts in the lease of the state that was mapped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk.h"
#include "store_private.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

enum { MAX_IDLE_WINDOWS = 128, MAP_TRIES = 4 };
static const uint64_t window_step = (uint64_t)256 << 20;

typedef struct window {
    lull_segment seg; /* open for reading */
    const uint8_t *base;
    uint64_t n_mapped, n_file; /* n_file: at the last look */
    size_t n_pins;
    uint64_t looked_at; /* the mapping call of that look */
} window;

typedef struct entry {
    lull_page_row row;
    bool is_checked[LULL_RECORD_PARTS];
    window *window; /* while n_pins > 0 */
    size_t n_pins;
    struct entry *next; /* of its bucket */
} entry;

typedef struct lease lease;
typedef struct pin {
    entry *entry;
    lease *lease;
} pin;

/* The views of one mapping call. */
struct lease {
    int64_t state; /* 0: single pages */
    size_t slot;   /* in the lease file */
    size_t n_pins;
    lease *next, *prev; /* of the handle */
    pin pins[];
};

struct lull_wake {
    window **windows; /* owned [n_windows] */
    size_t n_windows;
    entry **buckets; /* owned [n_buckets], a power of two */
    size_t n_buckets, n_entries;
    uint64_t n_calls;     /* mapping calls so far */
    bool is_segment_gone; /* a segment was not there in the last one */
    int lease_fd;         /* locks/<id>.lease, locked while the handle lives; -1: none yet */
    char lease_path[LULL_SEGMENT_PATH_MAX];
    lease *leases;  /* owned: those with pins */
    int64_t *slots; /* owned [n_slots]: what the lease file holds; 0: free */
    size_t n_slots;
};

lull_status lull_wake_new(lull_store *s, lull_error *err)
{
    lull_wake *w = calloc(1, sizeof *w);
    if (!w) return lull_fail(err, LULL_ENOMEM, "out of memory for the store");
    w->lease_fd = -1;
    s->wake = w;
    return LULL_OK;
}

static void free_window(window *w)
{
    if (w->base) munmap((void *)(uintptr_t)w->base, w->n_mapped);
    lull_segment_close(&w->seg);
    free(w);
}

void lull_wake_free(lull_store *s)
{
    lull_wake *w = s->wake;
    if (!w) return;
    for (size_t i = 0; i < w->n_windows; i++) free_window(w->windows[i]);
    for (size_t i = 0; i < w->n_buckets; i++)
        for (entry *e = w->buckets[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    for (lease *l = w->leases, *next; l; l = next) { /* of views that nobody has unpinned */
        next = l->next;
        free(l);
    }
    if (w->lease_fd >= 0) {
        unlink(w->lease_path); /* a remainder would be found unlocked, and removed, by gc */
        close(w->lease_fd);
    }
    free(w->windows);
    free(w->buckets);
    free(w->slots);
    free(w);
    s->wake = NULL;
}

/* ---- leases ---------------------------------------------------------------------------------- */

/* A file per handle, locked by it, so that the system takes its leases back when the process dies,
 * whatever namespace or host it ran in. locks/gc is held shared, or gc would remove what is not locked
 * yet. Who only counts leases may be looking whether it is. */
static lull_status open_lease_file(lull_store *s, lull_error *err)
{
    lull_wake *w = s->wake;
    uint64_t id;
    lull_disk_random(&id, sizeof id);
    int n = snprintf(w->lease_path, sizeof w->lease_path, "%s/%016" PRIx64 ".lease", s->locks, id);
    if (n < 0 || (size_t)n >= sizeof w->lease_path)
        return lull_fail(err, LULL_EINVAL, "%s: the folder's name is too long", s->folder);
    w->lease_fd = open(w->lease_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->lease_fd < 0)
        return lull_fail(err, errno == ENOSPC || errno == EDQUOT ? LULL_EFULL : LULL_EIO,
                         "%s: cannot be made: %s", w->lease_path, strerror(errno));
    lull_status st = lull_lock_file(w->lease_fd, w->lease_path, LOCK_EX, 60000, err);
    if (st != LULL_OK) { /* unlocked, it would protect nothing */
        unlink(w->lease_path);
        close(w->lease_fd);
        w->lease_fd = -1;
    }
    return st;
}

static lull_status take_lease(lull_store *s, lease *l, int64_t state, lull_error *err)
{
    lull_wake *w = s->wake;
    if (s->is_read_only || s->is_export) return LULL_OK;
    lull_status st = LULL_OK;
    if (w->lease_fd < 0) LULL_TRY(open_lease_file(s, err));
    size_t slot = 0;
    while (slot < w->n_slots && w->slots[slot] != 0) slot++;
    if (slot == w->n_slots) {
        int64_t *slots = realloc(w->slots, (slot + 1) * sizeof *slots);
        if (!slots) return lull_fail(err, LULL_ENOMEM, "out of memory for a lease");
        w->slots = slots;
        w->slots[w->n_slots++] = 0;
    }
    LULL_TRY(lull_disk_write(w->lease_fd, w->lease_path, &state, 8, 8 * slot, err));
    w->slots[slot] = l->state = state;
    l->slot = slot;
done:
    /* A full disk keeps nobody from waking. Without a lease gc may remove the state meanwhile, but not the
     * bytes that are mapped. */
    return st == LULL_EFULL ? LULL_OK : st;
}

static void give_lease_back(lull_store *s, lease *l)
{
    lull_wake *w = s->wake;
    if (w->lease_fd >= 0 && l->state != 0 && l->slot < w->n_slots) {
        int64_t none = 0;
        /* One that stays keeps a state longer than need be, until the handle is closed. */
        if (lull_disk_write(w->lease_fd, w->lease_path, &none, 8, 8 * l->slot, NULL) == LULL_OK)
            w->slots[l->slot] = 0;
    }
    if (l->next) l->next->prev = l->prev;
    *(l->prev ? &l->prev->next : &w->leases) = l->next;
    free(l);
}

lull_status lull_wake_leases(lull_store *s, bool is_gc, int64_t **ids, size_t *n, lull_error *err)
{
    *ids = NULL;
    *n = 0;
    DIR *dir = opendir(s->locks);
    if (!dir) return lull_fail(err, LULL_EIO, "%s: %s", s->locks, strerror(errno));
    lull_status st = LULL_OK;
    for (struct dirent *e; st == LULL_OK && (e = readdir(dir));) {
        char path[LULL_SEGMENT_PATH_MAX];
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 6, ".lease") != 0) continue;
        int n_path = snprintf(path, sizeof path, "%s/%s", s->locks, e->d_name);
        if (n_path < 0 || (size_t)n_path >= sizeof path) continue;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0) continue; /* closed meanwhile */
        uint64_t n_bytes = 0;
        if (flock(fd, LOCK_SH | LOCK_NB) < 0)
            st = lull_disk_size(fd, path, &n_bytes, err);
        else if (is_gc)
            unlink(path); /* its owner is dead; without gc's lock, it may be about to lock it */
        size_t n_more = n_bytes / 8 < 1u << 20 ? (size_t)n_bytes / 8 : 1u << 20;
        if (st == LULL_OK && n_more > 0) {
            int64_t *all = realloc(*ids, (*n + n_more) * sizeof *all);
            if (!all) {
                st = lull_fail(err, LULL_ENOMEM, "out of memory for leases");
            } else {
                *ids = all;
                st = lull_disk_read(fd, path, all + *n, 8 * n_more, 0, err);
                if (st == LULL_OK) *n += n_more;
            }
        }
        close(fd);
    }
    closedir(dir);
    if (st != LULL_OK) {
        free(*ids);
        *ids = NULL;
        *n = 0;
    }
    size_t n_kept = 0;
    for (size_t i = 0; i < *n; i++)
        if ((*ids)[i] > 0) (*ids)[n_kept++] = (*ids)[i];
    *n = n_kept;
    return st;
}

/* ---- windows --------------------------------------------------------------------------------- */

static void drop_window(lull_wake *w, size_t i)
{
    free_window(w->windows[i]);
    w->windows[i] = w->windows[--w->n_windows];
}

/* Forget the unpinned places in a segment that is gone. */
static void forget_entries(lull_wake *w, uint64_t segment)
{
    for (size_t i = 0; i < w->n_buckets; i++)
        for (entry **at = &w->buckets[i]; *at;) {
            entry *e = *at;
            if (e->row.segment == segment && e->n_pins == 0) {
                *at = e->next;
                free(e);
                w->n_entries--;
            } else {
                at = &e->next;
            }
        }
}

/* Unpinned windows go when their file was removed, or when there are many. */
static void tidy_windows(lull_wake *w)
{
    for (size_t i = 0; i < w->n_windows;) {
        window *win = w->windows[i];
        struct stat info;
        bool is_gone = win->n_pins == 0 && fstat(win->seg.fd, &info) == 0 && info.st_nlink == 0;
        if (is_gone) forget_entries(w, win->seg.id);
        if (is_gone || (win->n_pins == 0 && w->n_windows > MAX_IDLE_WINDOWS))
            drop_window(w, i);
        else
            i++;
    }
}

static lull_status fail_short(lull_error *err, const window *win, uint64_t end)
{
    return lull_fail(err, LULL_ECORRUPT,
                     "%s: has %" PRIu64 " bytes, the catalogue knows of %" PRIu64
                     ": it was cut; `lull verify` tells what is lost",
                     win->seg.path, win->n_file, end);
}

/* A window over [0, end) of a segment. LULL_ENOTFOUND: the file is gone. */
static lull_status find_window(lull_store *s, uint64_t segment, uint64_t end, window **out,
                               lull_error *err)
{
    lull_wake *w = s->wake;
    lull_status st = LULL_OK;
    for (size_t i = 0; i < w->n_windows; i++) {
        window *win = w->windows[i];
        if (win->seg.id != segment || win->n_mapped < end) continue;
        if (win->looked_at != w->n_calls) {
            st = lull_disk_size(win->seg.fd, win->seg.path, &win->n_file, err);
            if (st != LULL_OK) return st;
            win->looked_at = w->n_calls;
        }
        if (win->n_file < end) return fail_short(err, win, end);
        *out = win;
        return LULL_OK;
    }
    tidy_windows(w);
    window **all = realloc(w->windows, (w->n_windows + 1) * sizeof *all);
    if (all) w->windows = all;
    window *win = all ? calloc(1, sizeof *win) : NULL;
    if (!win) return lull_fail(err, LULL_ENOMEM, "out of memory for a map");
    win->seg.fd = -1;
    char path[LULL_SEGMENT_PATH_MAX];
    if (s->is_export)
        snprintf(path, sizeof path, "%s", s->folder);
    else
        LULL_TRY(lull_segment_path(s->segments, segment, path, err));
    st = lull_segment_open(path, false, &win->seg, err);
    if (st == LULL_ENOTFOUND) w->is_segment_gone = true;
    if (st != LULL_OK) goto done;
    if (win->seg.id != segment) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: is segment %016" PRIx64, path, win->seg.id);
        goto done;
    }
    win->n_file = win->seg.end;
    win->looked_at = w->n_calls;
    if (win->n_file < end) {
        st = fail_short(err, win, end);
        goto done;
    }
    win->n_mapped = (win->n_file / window_step + 1) * window_step;
    void *base = mmap(NULL, win->n_mapped, PROT_READ, MAP_SHARED, win->seg.fd, 0);
    if (base == MAP_FAILED) {
        st = lull_fail(err, errno == ENOMEM ? LULL_ENOMEM : LULL_EIO, "%s: cannot map: %s", path,
                       strerror(errno));
        goto done;
    }
    win->base = base;
    w->windows[w->n_windows++] = win;
    *out = win;
    return LULL_OK;
done:
    free_window(win);
    return st;
}

/* ---- entries --------------------------------------------------------------------------------- */

static size_t bucket_of(const lull_wake *w, uint64_t segment, uint64_t offset)
{
    uint64_t h = (segment ^ offset / LULL_RECORD_ALIGN) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 20) & (w->n_buckets - 1);
}

static lull_status grow_buckets(lull_wake *w, lull_error *err)
{
    size_t n = w->n_buckets ? 2 * w->n_buckets : 256, n_old = w->n_buckets;
    entry **old = w->buckets, **buckets = calloc(n, sizeof *buckets);
    if (!buckets) return lull_fail(err, LULL_ENOMEM, "out of memory for pages");
    w->buckets = buckets;
    w->n_buckets = n;
    for (size_t i = 0; i < n_old; i++)
        for (entry *e = old[i], *next; e; e = next) {
            next = e->next;
            size_t at = bucket_of(w, e->row.segment, e->row.offset);
            e->next = buckets[at];
            buckets[at] = e;
        }
    free(old);
    return LULL_OK;
}

static lull_status find_entry(lull_wake *w, const lull_page_row *row, entry **out, lull_error *err)
{
    lull_status st = LULL_OK;
    if (w->n_entries >= w->n_buckets) LULL_TRY(grow_buckets(w, err));
    size_t at = bucket_of(w, row->segment, row->offset);
    for (entry *e = w->buckets[at]; e; e = e->next)
        if (e->row.segment == row->segment && e->row.offset == row->offset &&
            memcmp(&e->row.key, &row->key, sizeof row->key) == 0) {
            *out = e;
            return LULL_OK;
        }
    entry *e = calloc(1, sizeof *e);
    if (!e) return lull_fail(err, LULL_ENOMEM, "out of memory for a page");
    e->row = *row;
    e->next = w->buckets[at];
    w->buckets[at] = e;
    w->n_entries++;
    *out = e;
done:
    return st;
}

/* Do a page's places lie within its record? The row is what was written, but by whom? */
static bool is_row_sound(const lull_page_row *row)
{
    if (row->offset < LULL_RECORD_ALIGN || row->offset % LULL_RECORD_ALIGN != 0 ||
        row->n_bytes % LULL_RECORD_ALIGN != 0 || row->offset > INT64_MAX ||
        row->n_bytes > (uint64_t)INT64_MAX - row->offset)
        return false;
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        const lull_record_part *part = &row->parts[i];
        if (part->n_bytes == 0 && part->offset == 0) continue;
        if (part->n_bytes == 0 || part->offset % LULL_RECORD_ALIGN != 0 ||
            part->offset < LULL_RECORD_ALIGN || part->offset > row->n_bytes ||
            part->n_bytes > row->n_bytes - part->offset)
            return false;
    }
    return true;
}

/* Pin a page into a view. */
static lull_status pin_page(lull_store *s, const lull_page_row *row, lease *l,
                            lull_store_view *view, lull_error *err)
{
    lull_status st = LULL_OK;
    entry *e = NULL;
    window *win = NULL;
    *view = (lull_store_view){0};
    if (!is_row_sound(row))
        return lull_fail(err, LULL_ECORRUPT, "the catalogue's page %" PRId64 " has no sound place",
                         row->id);
    LULL_TRY(find_entry(s->wake, row, &e, err));
    if (!e->window || e->window->looked_at != s->wake->n_calls) {
        LULL_TRY(find_window(s, row->segment, row->offset + row->n_bytes, &win, err));
        if (!e->window) e->window = win; /* a pinned one stays, as views point into it */
    } else if (e->window->n_file < row->offset + row->n_bytes) {
        return fail_short(err, e->window, row->offset + row->n_bytes);
    }
    e->n_pins++;
    e->window->n_pins++;
    pin *p = &l->pins[l->n_pins++];
    *p = (pin){e, l};
    view->key = row->key;
    view->tokens = e->row.tokens;
    view->pin = p;
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        const lull_record_part *part = &e->row.parts[i];
        if (part->n_bytes == 0) continue;
        view->planes[i] = e->window->base + row->offset + part->offset;
        view->plane_bytes[i] = part->n_bytes;
    }
done:
    return st;
}

static void unpin(lull_store *s, lull_store_view *view)
{
    pin *p = view->pin;
    if (!p) return;
    window *win = p->entry->window;
    win->n_pins--;
    if (--p->entry->n_pins == 0) p->entry->window = NULL;
    lease *l = p->lease;
    if (--l->n_pins == 0) give_lease_back(s, l);
    *view = (lull_store_view){0};
}

void lull_store_unpin(lull_store *s, lull_store_view *views, size_t n)
{
    pthread_mutex_lock(&s->lock);
    bool has_freed = false;
    for (size_t i = 0; i < n; i++) {
        has_freed = has_freed || views[i].pin;
        unpin(s, &views[i]);
    }
    if (has_freed) tidy_windows(s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* ---- mapping --------------------------------------------------------------------------------- */

static void begin_call(lull_wake *w)
{
    w->n_calls++;
    w->is_segment_gone = false;
}

static lull_status new_lease(lull_wake *w, size_t n, lease **out, lull_error *err)
{
    lease *l = *out = calloc(1, sizeof *l + n * sizeof(pin));
    if (!l) return lull_fail(err, LULL_ENOMEM, "out of memory for pages");
    l->next = w->leases;
    if (l->next) l->next->prev = l;
    w->leases = l;
    return LULL_OK;
}

/* Undo a mapping that failed in its midst. */
static void abandon(lull_store *s, lease *l, lull_store_view *views, size_t n)
{
    if (l->n_pins == 0) {
        give_lease_back(s, l);
        return;
    }
    for (size_t i = 0; i < n; i++) unpin(s, &views[i]); /* the last one gives the lease back */
}

static lull_status map_rows(lull_store *s, const lull_state_row *row, lease *l,
                            lull_store_view *views, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_digest parent = {0};
    for (size_t i = 0; i < row->n_pages; i++) {
        lull_page_row page = {0};
        bool is_tail = row->n_tail > 0 && i + 1 == row->n_pages;
        if (row->pages[i] > 0)
            LULL_TRY(lull_catalog_get_page(s->catalog, row->pages[i], &page, err));
        if (page.id == 0) {
            if (row->pages[i] > 0) LULL_TRY(lull_store_suspect(s, err));
            return lull_fail(err, LULL_ECORRUPT,
                             "state #%" PRId64
                             ": page %zu of %zu is not in the store: import it, or "
                             "wake with --re-read",
                             row->id, i, row->n_pages);
        }
        /* Each page follows upon the one before, or the list is not what was put to sleep. */
        if (memcmp(&page.parent, &parent, sizeof parent) != 0 ||
            memcmp(&page.kv_identity, &row->kv_identity, sizeof parent) != 0 ||
            page.n_tokens != (is_tail ? row->n_tail : LULL_STORE_PAGE_TOKENS))
            return lull_fail(err, LULL_ECORRUPT,
                             "state #%" PRId64 ": page %zu does not follow upon the one before",
                             row->id, i);
        LULL_TRY(pin_page(s, &page, l, &views[i], err));
        parent = page.key;
    }
done:
    return st;
}

static lull_status map_once(lull_store *s, int64_t id, lull_store_view *views, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_state_row row = {0};
    lease *l = NULL;
    begin_call(s->wake);
    /* gc does not decide what is alive between the lease and the look at the rows. */
    LULL_TRY(lull_lock_file(s->gc_fd, s->locks, LOCK_SH, 60000, err));
    LULL_TRY(lull_catalog_begin(s->catalog, false, err));
    LULL_TRY(lull_catalog_get_state(s->catalog, id, &row, err));
    if (row.id == 0) {
        LULL_TRY(lull_store_suspect(s, err));
        st = lull_fail(err, LULL_ENOTFOUND, "there is no state #%" PRId64, id);
        goto done;
    }
    LULL_TRY(new_lease(s->wake, row.n_pages, &l, err));
    LULL_TRY(take_lease(s, l, id, err));
    memset(views, 0, row.n_pages * sizeof *views);
    st = map_rows(s, &row, l, views, err);
    if (st == LULL_OK && row.n_pages > 0) l = NULL; /* it is the views' now */
done:
    if (l) abandon(s, l, views, row.n_pages);
    lull_catalog_rollback(s->catalog);
    if (s->gc_fd >= 0) flock(s->gc_fd, LOCK_UN);
    lull_state_row_fini(&row);
    return st;
}

/* A segment that gc has rewritten between the look at the row and the opening is not there: look
 * again. */
static lull_status map_state(lull_store *s, int64_t id, lull_store_view *views, lull_error *err)
{
    lull_error why = {0};
    lull_status st = LULL_OK;
    for (int i = 0; i < MAP_TRIES; i++) {
        st = map_once(s, id, views, &why);
        if (st != LULL_ENOTFOUND || !s->wake->is_segment_gone) break;
    }
    if (st == LULL_ENOTFOUND && s->wake->is_segment_gone) st = why.code = LULL_ECORRUPT;
    if (st != LULL_OK && err) *err = why;
    return st;
}

lull_status lull_store_map(lull_store *s, int64_t id, lull_store_view *views, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, map_state(s, id, views, err), err);
    return st;
}

static lull_status map_pages(lull_store *s, const lull_digest *keys, size_t n,
                             lull_store_view *views, bool *has, lull_error *err)
{
    lull_status st = LULL_OK;
    lease *l = NULL;
    memset(views, 0, n * sizeof *views);
    memset(has, 0, n * sizeof *has);
    begin_call(s->wake);
    LULL_TRY(lull_catalog_begin(s->catalog, false, err));
    LULL_TRY(new_lease(s->wake, n, &l, err));
    for (size_t i = 0; i < n && st == LULL_OK; i++) {
        lull_page_row row;
        st = lull_catalog_find_page(s->catalog, &keys[i], &row, err);
        if (st != LULL_OK || row.id == 0) continue;
        lull_error why = {0};
        st = pin_page(s, &row, l, &views[i], &why);
        has[i] = st == LULL_OK;
        if (st == LULL_ENOTFOUND)
            st = LULL_OK; /* gone with its segment: a page that is not there */
        else if (st != LULL_OK && err)
            *err = why;
    }
    if (st != LULL_OK || l->n_pins == 0) abandon(s, l, views, n);
done:
    lull_catalog_rollback(s->catalog);
    return st;
}

lull_status lull_store_map_pages(lull_store *s, const lull_digest *keys, size_t n,
                                 lull_store_view *views, bool *has, lull_error *err)
{
    lull_status st;
    LULL_STORE_CALL(s, st, map_pages(s, keys, n, views, has, err), err);
    return st;
}

/* ---- checking -------------------------------------------------------------------------------- */

/* Are all bytes of a file's range in memory already? By cachestat (Linux 6.5): far cheaper to ask than
 * to bring them in. false when nobody knows. */
static bool is_resident(int fd, uint64_t offset, uint64_t n_bytes)
{
    enum { CACHESTAT = 451 };
    const struct {
        uint64_t offset, n_bytes;
    } range = {offset, n_bytes};
    struct {
        uint64_t n_cached, n_dirty, n_writeback, n_evicted, n_recently_evicted;
    } stat = {0};
    if (syscall(CACHESTAT, fd, &range, &stat, 0) != 0) return false;
    return stat.n_cached * (uint64_t)sysconf(_SC_PAGESIZE) >= n_bytes;
}

/* Bring the pages into memory without touching them: where the file has become shorter, or the disk
 * cannot read, this fails and a touch would kill. */
static bool is_readable(const lull_segment *seg, uint64_t offset, const void *p, size_t n_bytes)
{
    return is_resident(seg->fd, offset, n_bytes) ||
           madvise((void *)(uintptr_t)p, n_bytes, MADV_POPULATE_READ) == 0 || errno == EINVAL;
}

static void note_damaged(lull_store *s, const lull_digest *key)
{
    lull_digest *all = realloc(s->damaged, (s->n_damaged + 1) * sizeof *all);
    if (!all) return; /* then it is not written again by itself */
    s->damaged = all;
    s->damaged[s->n_damaged++] = *key;
}

lull_status lull_store_check(lull_store *s, const lull_store_view *v, lull_error *err)
{
    return lull_store_check_planes(s, v, LULL_STORE_ALL_PLANES, err);
}

lull_status lull_store_check_planes(lull_store *s, const lull_store_view *v, unsigned planes,
                                    lull_error *err)
{
    pin *p = v->pin;
    lull_status st = LULL_OK;
    for (int i = 0; p && i < LULL_RECORD_PARTS; i++) {
        entry *e = p->entry;
        if ((planes >> i & 1) == 0) continue;
        pthread_mutex_lock(&s->lock);
        const window *win = e->window;
        lull_record_part part = e->row.parts[i];
        bool is_done = e->is_checked[i] || part.n_bytes == 0;
        pthread_mutex_unlock(&s->lock);
        if (is_done) continue;
        /* Pinned, so it stays where it is while nobody is kept waiting. */
        uint64_t at = e->row.offset + part.offset;
        uint64_t n_file = 0;
        st = lull_disk_size(win->seg.fd, win->seg.path, &n_file, err);
        if (st != LULL_OK) return st;
        if (n_file < at + part.n_bytes || !is_readable(&win->seg, at, v->planes[i], part.n_bytes))
            return lull_fail(err, LULL_ECORRUPT,
                             "%s: offset %" PRIu64
                             ": plane %d cannot be read: run `lull verify`, or "
                             "wake with --re-read",
                             win->seg.path, at, i);
        lull_checksum sum = lull_checksum_of(v->planes[i], part.n_bytes);
        bool is_good = sum.lo == part.sum.lo && sum.hi == part.sum.hi;
        pthread_mutex_lock(&s->lock);
        if (is_good)
            e->is_checked[i] = true;
        else
            note_damaged(s, &e->row.key);
        pthread_mutex_unlock(&s->lock);
        if (!is_good)
            return lull_fail(err, LULL_ECORRUPT,
                             "%s: offset %" PRIu64
                             ": plane %d is damaged: run `lull verify`, or wake "
                             "with --re-read",
                             win->seg.path, at, i);
    }
    return st;
}
