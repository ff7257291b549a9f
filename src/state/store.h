/* The store from inside: the pages that states share, putting them down and mapping them. What users
 * of the library see is lull/store.h.
 *
 * A page is an opaque payload under a key: the digest of all tokens up to its end and of what
 * computed it, so equal keys mean equal bytes and a page is kept once. It has two planes, of which the
 * second is needed only near the end of a state, so that gc may thin it out (lull_store_draft).
 * A state is a list of pages, a
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

#include "error.h"
#include "hash.h"
#include "lull/store.h"

enum { LULL_STORE_PLANES = 2, LULL_STORE_ALL_PLANES = 3, LULL_STORE_PAGE_TOKENS = 64 };

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

/* A state to be stored. All borrowed.
 *
 * Plane 1 holds sliding-window layers: to go on after a page, a session needs it of the n_window_pages
 * before. When asked to, gc takes it away from every other block of so many pages, so that from any
 * page at most n_window_pages have to be read again. */
typedef struct lull_store_draft {
    const char *card;         /* JSON, canonical (docs/cards.md) */
    lull_digest kv_identity;  /* of the card */
    const lull_digest *pages; /* [n_pages] keys of its full pages, in order */
    size_t n_pages;
    const int32_t *tail_tokens; /* [n_tail] after the last full page; n_tail < 64 */
    size_t n_tail;
    const void *tail_planes[LULL_STORE_PLANES]; /* the tail's page; NULL when n_tail is 0 */
    size_t tail_plane_bytes[LULL_STORE_PLANES];
    size_t n_window_pages; /* pages that cover the sliding window; 0: plane 1 is never thinned */
    const char *session; /* JSON: sampler, position, messages, notes, …; "" when there is none */
    int64_t parent;      /* the state that it came from; 0: none */
    const char *const *tags;
    size_t n_tags;
} lull_store_draft;

/* Which of the keys [n] have a page here: has[i] out. One query. LULL_EIO, LULL_ECORRUPT. */
LULL_NODISCARD lull_status lull_store_has_pages(lull_store *s, const lull_digest *keys, size_t n,
                                                bool *has, lull_error *err);

/* Append pages [n] that are not there yet (others are passed over, thinned ones among them) without making them durable or
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

/* lull_store_get without names and tags, of which a state may have thousands. */
LULL_NODISCARD lull_status lull_store_get_unlabelled(lull_store *s, int64_t id,
                                                     lull_store_state *out, lull_error *err);

/* ---- waking ---------------------------------------------------------------------------------- */

/* A page of a state, in place. Planes are views of a mapped file until lull_store_unpin of the page, or
 * lull_store_close: pinned or not, views die with the store, and must not be unpinned after it.
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
/* The same of some planes: bit k for plane k. */
LULL_NODISCARD lull_status lull_store_check_planes(lull_store *s, const lull_store_view *v,
                                                   unsigned planes, lull_error *err);
void lull_store_unpin(lull_store *s, lull_store_view *views, size_t n);

#endif
