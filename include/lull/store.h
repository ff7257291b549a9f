/* The store: sleeping states on disk, under names.
 *
 * A store is a folder that any number of processes may use at once. A state is what a session had
 * read and written when it was put to sleep: immutable, found by a number or by a name. A name is a
 * movable label on a state, as a branch is in git; where it stood n moves ago is NAME@{n}. States
 * share the pages that begin alike, so that forks and versions cost what differs.
 *
 *     lull_store *store;
 *     if (lull_store_open("/home/me/states", NULL, &store, &err)) return report(&err);
 *     if (lull_sleep(session, store, &(lull_sleep_options){.name = "novel"}, NULL, &err)) ...
 *     if (lull_wake(model, store, "novel", NULL, &other, &err)) ...
 *     lull_store_close(store);
 *
 * Threads: a store may be used from any thread; calls take turns inside. */
#ifndef LULL_STORE_H
#define LULL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lull/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_store lull_store;

enum { LULL_NAME_MAX = 200 /* bytes of a name or a tag */ };

/* ---- opening --------------------------------------------------------------------------------- */

typedef struct lull_store_options {
    bool is_read_only;          /* never creates nor repairs */
    uint64_t max_segment_bytes; /* a new segment is begun past this; 0: 1 GiB */
} lull_store_options;

/* Open a folder, made when it is missing. options may be NULL. A missing or damaged catalogue is
 * made again from the segments; a torn record at a segment's end is ignored.
 *   LULL_ENOTFOUND (is_read_only, and there is no store)  LULL_EFULL  LULL_EIO  LULL_ENOMEM
 *   LULL_ECORRUPT (file, offset, field)  LULL_EUNSUPPORTED (a newer format) */
LULL_API LULL_NODISCARD lull_status lull_store_open(const char *folder,
                                                    const lull_store_options *options,
                                                    lull_store **out, lull_error *err);
/* Gives its leases back. Pages that were woken in place are views into the store and end with it: close
 * what uses them first. Accepts NULL. */
LULL_API void lull_store_close(lull_store *s);
LULL_API const char *lull_store_folder(const lull_store *s);

/* ---- finding --------------------------------------------------------------------------------- */

typedef struct lull_store_state {
    int64_t id, parent;
    size_t n_tokens, n_pages, n_tail;
    size_t n_window_pages;   /* that a sliding window covers; 0: its model has none */
    uint64_t created_ms;     /* since 1970 */
    uint64_t bytes;          /* of its pages and its own record; shared ones count in full */
    uint64_t own_bytes;      /* what only this state holds on to */
    uint8_t kv_identity[32]; /* equal for equal pages: lull_wake judges by the card */
    char *card, *session;    /* owned, NUL-terminated */
    char **names, **tags;    /* owned [n_names], [n_tags] */
    size_t n_names, n_tags;
} lull_store_state;
LULL_API void lull_store_state_fini(lull_store_state *st);

/* Whether something may be called so; what: "name", "tag". LULL_EINVAL with the rule that it breaks. */
LULL_API LULL_NODISCARD lull_status lull_name_check(const char *what, const char *name,
                                                    lull_error *err);

/* What a user writes: NAME, NAME@{n}, either with :TOKEN behind (*token out, SIZE_MAX without), or
 * #ID. LULL_EINVAL (how it should be written, or how many tokens there are), LULL_ENOTFOUND (with the nearest
 * name, if any). */
LULL_API LULL_NODISCARD lull_status lull_store_resolve(lull_store *s, const char *text, int64_t *id,
                                                       size_t *token, lull_error *err);
/* *out is to be finished. with_own_bytes: compute own_bytes (else 0). LULL_ENOTFOUND, LULL_EIO. */
LULL_API LULL_NODISCARD lull_status lull_store_get(lull_store *s, int64_t id, bool with_own_bytes,
                                                   lull_store_state *out, lull_error *err);
/* The tokens that a state has read and written: owned [n], lull_free. LULL_ENOTFOUND, LULL_EIO. */
LULL_API LULL_NODISCARD lull_status lull_store_get_tokens(lull_store *s, int64_t id,
                                                          int32_t **tokens, size_t *n,
                                                          lull_error *err);
/* All states in order of id: ids owned (lull_free). */
LULL_API LULL_NODISCARD lull_status lull_store_list(lull_store *s, int64_t **ids, size_t *n,
                                                    lull_error *err);

typedef struct lull_store_move {
    int64_t state;
    uint64_t at_ms;
} lull_store_move;
/* Where a name stood, newest first: moves owned (lull_free). LULL_ENOTFOUND. */
LULL_API LULL_NODISCARD lull_status lull_store_history(lull_store *s, const char *name,
                                                       lull_store_move **moves, size_t *n,
                                                       lull_error *err);

/* ---- names and tags -------------------------------------------------------------------------- */

/* Set a name, as after a sleep (expected as there). */
LULL_API LULL_NODISCARD lull_status lull_store_set_name(lull_store *s, const char *name, int64_t id,
                                                        int64_t expected, lull_error *err);
/* A new state of the first n_tokens of another one, for which nothing is computed, under a name
 * (NULL: none; expected as above): with n_tokens beyond its end, the state itself gets the name.
 * session: JSON, as lull_sleep keeps it; NULL: none. *out: the state that name stands at.
 *   LULL_EINVAL (n_tokens is 0)  LULL_ENOTFOUND  LULL_EEXIST  LULL_EFULL  LULL_EIO */
LULL_API LULL_NODISCARD lull_status lull_store_fork(lull_store *s, int64_t id, size_t n_tokens,
                                                    const char *session, const char *name,
                                                    int64_t expected, int64_t *out,
                                                    lull_error *err);
/* LULL_EEXIST when `to` is taken. History moves along. */
LULL_API LULL_NODISCARD lull_status lull_store_rename(lull_store *s, const char *from,
                                                      const char *to, lull_error *err);
/* Take a name away; its states stay until gc finds nothing that refers to them. */
LULL_API LULL_NODISCARD lull_status lull_store_remove_name(lull_store *s, const char *name,
                                                           lull_error *err);
LULL_API LULL_NODISCARD lull_status lull_store_set_tag(lull_store *s, int64_t id, const char *tag,
                                                       bool is_set, lull_error *err);

/* ---- care ------------------------------------------------------------------------------------ */

/* A finding of verify: file, offset, and what is wrong. Return false to stop. */
typedef bool (*lull_store_finding_fn)(void *user, const char *file, uint64_t offset,
                                      const char *what);
/* Walk every record of every segment and every row of the catalogue: frames, checksums, keys'
 * parents, references. *n_bad out. Failures are about running, not findings. */
LULL_API LULL_NODISCARD lull_status lull_store_verify(lull_store *s,
                                                      lull_store_finding_fn on_finding, void *user,
                                                      size_t *n_bad, lull_error *err);

typedef struct lull_store_gc_options {
    uint64_t max_bytes;  /* drop the oldest unnamed history past this; 0: no limit */
    uint64_t max_age_ms; /* of moves kept in a name's history; 0: no limit */
    /* Drop what sliding-window layers keep far behind their window: half of it. A state goes on from
     * its end as before; from elsewhere, up to a window of its tokens may be read again. */
    bool is_thinning;
    bool is_dry_run;
} lull_store_gc_options;
typedef struct lull_store_gc_report {
    size_t n_states, n_pages, n_segments; /* removed; segments rewritten or removed */
    size_t n_thinned;                     /* pages */
    uint64_t bytes_before, bytes_after;
} lull_store_gc_report;
/* Remove what no name, no kept history and no lease refers to; rewrite segments that are mostly
 * dead. Safe beside readers and writers. */
LULL_API LULL_NODISCARD lull_status lull_store_gc(lull_store *s,
                                                  const lull_store_gc_options *options,
                                                  lull_store_gc_report *report, lull_error *err);

typedef struct lull_store_info {
    size_t n_states, n_names, n_pages, n_segments, n_leases;
    uint64_t segment_bytes, catalog_bytes, live_bytes;
} lull_store_info;
LULL_API LULL_NODISCARD lull_status lull_store_get_info(lull_store *s, lull_store_info *info,
                                                        lull_error *err);

/* ---- export and import ----------------------------------------------------------------------- */

typedef struct lull_export_options {
    int64_t
        since; /* pages that this state has are left out, and the receiver needs them; 0: none */
    const char *const *names; /* [n] the one name of each state there, or NULL: all that it goes by;
                                    NULL: all of all */
    const char *const
        *sessions; /* [n] what to write instead of each state's session; NULL: as they are */
} lull_export_options;

/* Write states [n] to one .lull file; o may be NULL. The file appears at once, whole. */
LULL_API LULL_NODISCARD lull_status lull_store_export(lull_store *s, const int64_t *ids, size_t n,
                                                      const lull_export_options *o,
                                                      const char *path, lull_error *err);
/* Merge a .lull file: pages that are here already are not written again. Names that are taken are
 * given a suffix unless is_replacing. *ids owned (lull_free), the states in the file's order. */
LULL_API LULL_NODISCARD lull_status lull_store_import(lull_store *s, const char *path,
                                                      bool is_replacing, int64_t **ids, size_t *n,
                                                      lull_error *err);
/* A .lull file as a read-only store, woken in place. */
LULL_API LULL_NODISCARD lull_status lull_store_open_export(const char *path, lull_store **out,
                                                           lull_error *err);

#ifdef __cplusplus
}
#endif
#endif
