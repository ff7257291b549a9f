/* The store: sleeping states on disk, and the pages that they share.
 *
 * A page is an opaque payload under a key: the digest of all tokens up to its end and of what
 * computed it, so equal keys mean equal bytes and a page is kept once. A state is a list of pages, a
 * tail (the bytes of its last, partly filled page), a card that says what produced it, and whatever
 * else a session needs to go on. A name is a movable label on a state; where it stood n moves ago is
 * NAME@{n}. The store knows nothing of tensors or models.
 *
 * Files, under the store's folder (docs/format-store.md):
 *   segments/<id>.seg  append-only records, one writer process each; the truth
 *   catalog.db         SQLite: where everything is; can be made again from the segments
 *
 * Invariants, numbered for the tests:
 *   S1  A state is visible only when its pages, its own record and the segment's folder entry are
 *       durable: append, fdatasync, then one transaction.
 *   S2  A committed byte of a segment is never written again.
 *   S3  A page that a named, leased or kept state refers to is never removed.
 *   S4  A payload is handed out only after its checksum was compared, once a process.
 *   S5  Whatever a file holds, a call returns a status; it never crashes nor reads out of bounds.
 *
 * Threads: a store may be used from any thread; calls take turns inside, but not the reading of
 * mapped pages. Processes: any number, at once. */
#ifndef LULL_STATE_STORE_H
#define LULL_STATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "hash.h"

typedef struct lull_store lull_store;

enum { LULL_STORE_PLANES = 2, LULL_STORE_PAGE_TOKENS = 64, LULL_NAME_MAX = 200 };

/* ---- opening --------------------------------------------------------------------------------- */

typedef struct lull_store_options {
    bool is_read_only;          /* never creates nor repairs */
    uint64_t max_segment_bytes; /* a new segment is begun past this; 0: 1 GiB */
} lull_store_options;

/* Open a folder, made when it is missing. options may be NULL. A missing or damaged catalogue is
 * made again from the segments; a torn record at a segment's end is ignored.
 *   LULL_EIO LULL_ECORRUPT (file, offset, field)  LULL_EUNSUPPORTED (a newer format)  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_store_open(const char *folder, const lull_store_options *options,
                                           lull_store **out, lull_error *err);
void lull_store_close(lull_store *s); /* gives its leases back; accepts NULL */
const char *lull_store_folder(const lull_store *s);

/* ---- sleeping -------------------------------------------------------------------------------- */

/* The key of a page: BLAKE2b-256(kv identity | parent's key, zeros for none | tokens [n], n <= 64, as
 * little-endian i32). A tail has one, too: equal tails are kept once. */
lull_digest lull_store_page_key(const lull_digest *kv_identity, const lull_digest *parent,
                                const int32_t *tokens, size_t n);

/* A full page to be stored. */
typedef struct lull_store_page {
    lull_digest key, parent; /* parent: all zero for a sequence's first page */
    lull_digest kv_identity;
    const int32_t *tokens;                 /* [64] */
    const void *planes[LULL_STORE_PLANES]; /* NULL: the page is known to be there, or has no such */
    size_t plane_bytes[LULL_STORE_PLANES]; /* multiples of 4096 */
} lull_store_page;

/* A state to be stored. All borrowed. */
typedef struct lull_store_draft {
    const char *card;         /* JSON, canonical (card.h) */
    lull_digest kv_identity;  /* of the card */
    const lull_digest *pages; /* [n_pages] keys of its full pages, in order */
    size_t n_pages;
    const int32_t *tail_tokens; /* [n_tail] after the last full page; n_tail < 64 */
    size_t n_tail;
    const void *tail_planes[LULL_STORE_PLANES]; /* the tail's page; NULL when n_tail is 0 */
    size_t tail_plane_bytes[LULL_STORE_PLANES];
    const char *session; /* JSON: sampler, position, messages, notes, …; "" when there is none */
    int64_t parent;      /* the state that it came from; 0: none */
    const char *const *tags;
    size_t n_tags;
} lull_store_draft;

/* Which of the keys [n] have a page here: has[i] out. One query. LULL_EIO, LULL_ECORRUPT. */
LULL_NODISCARD lull_status lull_store_has_pages(lull_store *s, const lull_digest *keys, size_t n,
                                                bool *has, lull_error *err);

/* Append pages [n] that are not there yet (others are passed over) without making them durable or
 * visible: the sleep that refers to them does. Calls may be many, from a long read.
 *   LULL_EFULL (the disk; what to do)  LULL_EIO  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_store_add_pages(lull_store *s, const lull_store_page *pages,
                                                size_t n, lull_error *err);

/* Store a state and move name (NULL: none) to it; on LULL_OK it is durable. *id out, > 0.
 * expected: the state at which the name must stand, 0 for a new name, -1 for wherever: otherwise
 * LULL_EEXIST, so that two processes do not overwrite each other unseen.
 *   LULL_ENOTFOUND (a page was neither added nor there), LULL_EINVAL (the name), LULL_EFULL, LULL_EIO:
 * nothing is visible then, and the name stands where it stood. */
LULL_NODISCARD lull_status lull_store_sleep(lull_store *s, const lull_store_draft *draft,
                                            const char *name, int64_t expected, int64_t *id,
                                            lull_error *err);

/* ---- finding --------------------------------------------------------------------------------- */

typedef struct lull_store_state {
    int64_t id, parent;
    size_t n_tokens, n_pages, n_tail;
    uint64_t created_ms; /* since 1970 */
    uint64_t bytes;      /* of its pages and its own record; shared ones count in full */
    uint64_t own_bytes;  /* what only this state holds on to */
    lull_digest kv_identity;
    char *card, *session; /* owned, NUL-terminated */
    char **names, **tags; /* owned [n_names], [n_tags] */
    size_t n_names, n_tags;
} lull_store_state;
void lull_store_state_fini(lull_store_state *st);

/* What a user writes: NAME, NAME@{n}, either with :TOKEN behind (*token out, SIZE_MAX without), or
 * #ID. LULL_EINVAL (how it should be written), LULL_ENOTFOUND (with the nearest name, if any). */
LULL_NODISCARD lull_status lull_store_resolve(lull_store *s, const char *text, int64_t *id,
                                              size_t *token, lull_error *err);
/* *out is to be finished. with_own_bytes: compute own_bytes (else 0). LULL_ENOTFOUND, LULL_EIO. */
LULL_NODISCARD lull_status lull_store_get(lull_store *s, int64_t id, bool with_own_bytes,
                                          lull_store_state *out, lull_error *err);
/* All states in order of id: ids owned (free()). */
LULL_NODISCARD lull_status lull_store_list(lull_store *s, int64_t **ids, size_t *n,
                                           lull_error *err);

typedef struct lull_store_move {
    int64_t state;
    uint64_t at_ms;
} lull_store_move;
/* Where a name stood, newest first: moves owned (free()). LULL_ENOTFOUND. */
LULL_NODISCARD lull_status lull_store_history(lull_store *s, const char *name,
                                              lull_store_move **moves, size_t *n, lull_error *err);

/* ---- waking ---------------------------------------------------------------------------------- */

/* A page of a state, in place. Planes are views of a mapped file until lull_store_unpin of the page;
 * NULL: no such plane, or it was thinned away. Not yet compared with their checksums. */
typedef struct lull_store_view {
    lull_digest key;
    const void *planes[LULL_STORE_PLANES];
    size_t plane_bytes[LULL_STORE_PLANES];
    const int32_t *tokens; /* [64], of the tail [n_tail]; view as planes */
    void *pin;             /* of the store */
} lull_store_view;

/* Map all pages of a state and its tail, and lease it to this process: pages [n_pages], then the
 * tail at [n_pages] if there is one. views: out [n_pages + 1]. Reads nothing of the payloads.
 *   LULL_ENOTFOUND LULL_ECORRUPT LULL_EIO LULL_ENOMEM; nothing is pinned then. */
LULL_NODISCARD lull_status lull_store_map(lull_store *s, int64_t id, lull_store_view *views,
                                          lull_error *err);
/* Map single pages by key, e.g. those that begin a prompt. has[i] false and views[i] zeroed where
 * there is none. */
LULL_NODISCARD lull_status lull_store_map_pages(lull_store *s, const lull_digest *keys, size_t n,
                                                lull_store_view *views, bool *has, lull_error *err);
/* Compare a view's bytes with their checksums, unless this process has. LULL_ECORRUPT names file,
 * offset and plane, and what to do (verify; wake with --re-read). */
LULL_NODISCARD lull_status lull_store_check(lull_store *s, const lull_store_view *v,
                                            lull_error *err);
void lull_store_unpin(lull_store *s, lull_store_view *views, size_t n);

/* ---- names and tags -------------------------------------------------------------------------- */

/* Set a name, as after a sleep (expected as there). */
LULL_NODISCARD lull_status lull_store_set_name(lull_store *s, const char *name, int64_t id,
                                               int64_t expected, lull_error *err);
/* LULL_EEXIST when `to` is taken. History moves along. */
LULL_NODISCARD lull_status lull_store_rename(lull_store *s, const char *from, const char *to,
                                             lull_error *err);
/* Take a name away; its states stay until gc finds nothing that refers to them. */
LULL_NODISCARD lull_status lull_store_remove_name(lull_store *s, const char *name, lull_error *err);
LULL_NODISCARD lull_status lull_store_set_tag(lull_store *s, int64_t id, const char *tag,
                                              bool is_set, lull_error *err);

/* ---- care ------------------------------------------------------------------------------------ */

/* A finding of verify: file, offset, and what is wrong. Return false to stop. */
typedef bool (*lull_store_finding_fn)(void *user, const char *file, uint64_t offset,
                                      const char *what);
/* Walk every record of every segment and every row of the catalogue: frames, checksums, keys'
 * parents, references. *n_bad out. Failures are about running, not findings. */
LULL_NODISCARD lull_status lull_store_verify(lull_store *s, lull_store_finding_fn on_finding,
                                             void *user, size_t *n_bad, lull_error *err);

typedef struct lull_store_gc_options {
    uint64_t max_bytes;  /* drop the oldest unnamed history past this; 0: no limit */
    uint64_t max_age_ms; /* of moves kept in a name's history; 0: no limit */
    bool is_dry_run;
} lull_store_gc_options;
typedef struct lull_store_gc_report {
    size_t n_states, n_pages, n_segments; /* removed; segments rewritten or removed */
    uint64_t bytes_before, bytes_after;
} lull_store_gc_report;
/* Remove what no name, no kept history and no lease refers to; rewrite segments that are mostly
 * dead. Safe beside readers and writers. */
LULL_NODISCARD lull_status lull_store_gc(lull_store *s, const lull_store_gc_options *options,
                                         lull_store_gc_report *report, lull_error *err);

typedef struct lull_store_info {
    size_t n_states, n_names, n_pages, n_segments, n_leases;
    uint64_t segment_bytes, catalog_bytes, live_bytes;
} lull_store_info;
LULL_NODISCARD lull_status lull_store_get_info(lull_store *s, lull_store_info *info,
                                               lull_error *err);

/* ---- export and import ----------------------------------------------------------------------- */

/* Write states [n] to one .lull file, with the names that they go by; pages that `since` (0: none)
 * has are left out, and the receiver needs them. The file appears at once, whole. */
LULL_NODISCARD lull_status lull_store_export(lull_store *s, const int64_t *ids, size_t n,
                                             int64_t since, const char *path, lull_error *err);
/* Merge a .lull file: pages that are here already are not written again. Names that are taken are
 * given a suffix unless is_replacing. *ids owned (free()), the states in the file's order. */
LULL_NODISCARD lull_status lull_store_import(lull_store *s, const char *path, bool is_replacing,
                                             int64_t **ids, size_t *n, lull_error *err);
/* A .lull file as a read-only store, woken in place. */
LULL_NODISCARD lull_status lull_store_open_export(const char *path, lull_store **out,
                                                  lull_error *err);

#endif
