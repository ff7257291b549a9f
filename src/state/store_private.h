/* What the store's files share: the object itself, and the steps that more than one of them takes.
 *
 *   store.c    opening, sleeping, names            find.c      resolve, get, list, history
 *   change.c   one change: record, sync, commit    fork.c      beginnings of states
 *   recover.c  the catalogue from the segments     verify.c    what is wrong
 *   wake.c     mapping, leases, checking           gc.c        what nothing refers to
 *                                                  transfer.c  export, import
 *
 * Functions with `s` in hand are called with s->lock held, unless they say otherwise. */
#ifndef LULL_STATE_STORE_PRIVATE_H
#define LULL_STATE_STORE_PRIVATE_H

#include <pthread.h>

#include "body.h"

typedef struct lull_wake lull_wake; /* wake.c: maps, pins, leases */

/* Pages that were appended and are in no transaction yet, found by key. */
typedef struct lull_pending {
    lull_page_row *rows; /* owned [n], no order */
    size_t n, cap;
    uint32_t *slots; /* owned [n_slots], a power of two; index + 1 into rows, 0: free */
    size_t n_slots;
} lull_pending;

/* A change: begin, any number of records and rows, end.
 *
 * begin opens a writing transaction, so that what is read from here on stays true. end makes the
 * segments durable, then commits; a change that was not ended is aborted. After either the records of
 * a change that did not come to be are cut off again. */
typedef struct lull_change {
    uint64_t seq;          /* the last given out */
    uint64_t segment, end; /* where its records begin; segment 0: no change */
    bool is_done;
} lull_change;

struct lull_store {
    pthread_mutex_t lock;
    char *folder, *segments, *locks, *catalog_path; /* owned; export: folder is the file's path */
    bool is_read_only, is_export;
    uint64_t max_segment_bytes;
    int open_fd; /* locks/open: shared while open, exclusive to make the catalogue again; -1: none */
    int gc_fd;   /* locks/gc: shared while a state is leased, exclusive while gc marks; -1: none */
    int change_fd; /* locks/change: what change was begun last; -1: none */
    lull_catalog *catalog;
    bool is_inspected; /* a name that is not there has made us look at the whole catalogue once */

    /* Segments that this handle has locked: the last is written to, the others hold pending pages. */
    lull_segment *writers; /* owned [n_writers] */
    size_t n_writers;
    /* A sync has failed and its segment was given up: never to be taken up again by this handle. Locked
     * until its end is cut off (fd >= 0). */
    lull_segment given_up;
    bool is_moved; /* by the last change: it has given up a segment, what waited there was copied */
    /* A change that has failed and is not undone: it may be committed on the disk all the same, or its
     * records cannot be cut off. Nothing is appended before it is settled. */
    lull_change unsettled;
    uint64_t last_ms; /* of the last record, so that of two with one seq the later is known */
    lull_pending pending;
    lull_digest
        *damaged; /* owned [n_damaged]: pages that failed their check; to be written again */
    size_t n_damaged;
    lull_wake *wake;
};

/* A public call: one at a time, and once more when the catalogue was found damaged and made again. */
#define LULL_STORE_CALL(s, st, call, err)                                                          \
    do {                                                                                           \
        pthread_mutex_lock(&(s)->lock);                                                            \
        st = lull_store_usable(s, err);                                                            \
        if (st == LULL_OK) st = (call);                                                            \
        if (lull_store_mended(s, st, err)) st = (call);                                            \
        pthread_mutex_unlock(&(s)->lock);                                                          \
    } while (0)
/* LULL_ECORRUPT when a catalogue was lost that could not be made again yet. */
LULL_NODISCARD lull_status lull_store_usable(lull_store *s, lull_error *err);

/* ---- recover.c ------------------------------------------------------------------------------- */

/* Open the catalogue, or make it (again), and take in what the segments have past it. */
LULL_NODISCARD lull_status lull_store_recover(lull_store *s, lull_error *err);
/* After a call that ended in st: if the catalogue was found damaged, make it again from the segments,
 * and say true: the call is to be repeated. err is left as it is otherwise. */
bool lull_store_mended(lull_store *s, lull_status st, lull_error *err);
/* Something that ought to be there is not: has the catalogue lost it? LULL_ECORRUPT if so. */
LULL_NODISCARD lull_status lull_store_suspect(lull_store *s, lull_error *err);
/* A writer died within a change, over this segment: take in what it has made durable, or cut it off. */
LULL_NODISCARD lull_status lull_store_redo(lull_store *s, uint64_t segment, lull_error *err);
/* Take a record that is not a page into the catalogue; within a transaction. Live changes and recovery
 * both come through here. file: where it stands, for messages. LULL_ECORRUPT when the body is not well formed. */
LULL_NODISCARD lull_status lull_store_apply(lull_catalog *c, const char *file, const lull_record *r,
                                            const uint8_t *body, size_t n_bytes, lull_error *err);
/* The catalogue of an export, into c. Frames, keys and bodies are checked, and that the file ends in its
 * index; not the planes. LULL_ECORRUPT LULL_EIO */
LULL_NODISCARD lull_status lull_store_index_export(lull_catalog *c, const lull_segment *seg,
                                                   lull_error *err);
/* The ids of all segment files, in no order; owned (free()). LULL_EIO LULL_ENOMEM */
LULL_NODISCARD lull_status lull_store_list_files(const lull_store *s, uint64_t **ids, size_t *n,
                                                 lull_error *err);
/* The row of a page's record. */
lull_page_row lull_page_row_of(const lull_record *r);
lull_record lull_record_of(const lull_page_row *row);

/* ---- change.c -------------------------------------------------------------------------------- */

const lull_page_row *lull_pending_find(const lull_pending *p, const lull_digest *key);
void lull_pending_fini(lull_pending *p);

/* Undo what a change that failed could not undo itself. Not within a transaction. */
LULL_NODISCARD lull_status lull_store_settle(lull_store *s, lull_error *err);
/* The catalogue is thrown away, and with it what may have been committed: its records go, too. */
void lull_store_drop_unsettled(lull_store *s);
/* A segment to append to, in s->writers[n_writers - 1]. */
LULL_NODISCARD lull_status lull_store_ready_writer(lull_store *s, lull_error *err);
/* Append a page and note it as pending. parts: its planes. */
LULL_NODISCARD lull_status lull_store_append_page(lull_store *s, lull_record *r,
                                                  const void *const parts[LULL_RECORD_PARTS],
                                                  lull_error *err);

LULL_NODISCARD lull_status lull_change_begin(lull_store *s, lull_change *ch, lull_error *err);
/* Append r with this body, under the next seq, and take it into the catalogue (checkpoints only note
 * that they are there). */
LULL_NODISCARD lull_status lull_change_record(lull_store *s, lull_change *ch, lull_record *r,
                                              const lull_buffer *body, lull_error *err);
LULL_NODISCARD lull_status lull_change_end(lull_store *s, lull_change *ch, lull_error *err);
void lull_change_abort(lull_store *s, lull_change *ch);
/* Write down all that there is, so that older records of names and tags are not needed any more. */
LULL_NODISCARD lull_status lull_change_checkpoint(lull_store *s, lull_change *ch, lull_error *err);
/* LULL_EINVAL for a store that is not to be written. */
LULL_NODISCARD lull_status lull_store_writable(const lull_store *s, lull_error *err);

/* ---- store.c --------------------------------------------------------------------------------- */

/* Is a page here, pending or in the catalogue, and not known to be damaged? */
LULL_NODISCARD lull_status lull_store_has_page(lull_store *s, const lull_digest *key, bool *has,
                                               lull_error *err);
/* Within a change: bring the draft's pages into the catalogue and append its record. The tail was
 * appended as a page under tail_key. LULL_ENOTFOUND when a page is nowhere. */
LULL_NODISCARD lull_status lull_store_put_state(lull_store *s, lull_change *ch,
                                                const lull_store_draft *d,
                                                const lull_digest *tail_key, const char *name,
                                                int64_t *id, lull_error *err);

/* ---- find.c ---------------------------------------------------------------------------------- */

/* lull_store_get, within a transaction; labels: names and tags. */
LULL_NODISCARD lull_status lull_store_get_rows(lull_store *s, int64_t id, bool with_own_bytes,
                                               bool with_labels, lull_store_state *out,
                                               lull_error *err);

/* ---- wake.c ---------------------------------------------------------------------------------- */

LULL_NODISCARD lull_status lull_wake_new(lull_store *s, lull_error *err);
void lull_wake_free(lull_store *s);
/* States that live handles have leased: ids owned (free()), with repeats. is_gc: gc's lock is held
 * exclusively; the files of dead handles are removed. Without it one that is being made may be missed. */
LULL_NODISCARD lull_status lull_wake_leases(lull_store *s, bool is_gc, int64_t **ids, size_t *n,
                                            lull_error *err);
LULL_NODISCARD lull_status lull_lock_file(int fd, const char *path, int operation, int timeout_ms,
                                          lull_error *err);

/* A store over a catalogue in memory, without files of its own. *out owned. */
LULL_NODISCARD lull_status lull_store_new(const char *folder, lull_store **out, lull_error *err);

#endif
