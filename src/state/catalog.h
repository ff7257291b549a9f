/* The catalogue: SQLite's tables of what the segments hold, and where. Nobody else speaks SQL.
 *
 * Its bytes are untrusted. Every row ends in a checksum of its other columns, so a row that comes out
 * is one that went in; a damaged tree is SQLite's to notice, or lull_catalog_inspect's. Both are
 * LULL_ECORRUPT, upon which the store makes the catalogue again from the segments.
 *
 * Threads: one at a time. Processes: SQLite's locks, waited for up to a minute. */
#ifndef LULL_STATE_CATALOG_H
#define LULL_STATE_CATALOG_H

#include <stdbool.h>

#include "segment.h"

typedef struct lull_catalog lull_catalog;

typedef enum lull_catalog_mode {
    LULL_CATALOG_READ,
    LULL_CATALOG_WRITE,  /* must be there */
    LULL_CATALOG_CREATE, /* must not; written without syncs until lull_catalog_finish */
    LULL_CATALOG_MEMORY, /* path NULL: of an export */
} lull_catalog_mode;

/* LULL_ENOTFOUND (no such file), LULL_ECORRUPT, LULL_EUNSUPPORTED (a newer version), LULL_EIO. */
LULL_NODISCARD lull_status lull_catalog_open(const char *path, lull_catalog_mode mode,
                                             lull_catalog **out, lull_error *err);
void lull_catalog_close(lull_catalog *c); /* accepts NULL */
/* Has any call come upon damage? */
bool lull_catalog_is_damaged(const lull_catalog *c);
/* After CREATE: everything is in the file, which may be renamed once the catalogue is closed. */
LULL_NODISCARD lull_status lull_catalog_finish(lull_catalog *c, lull_error *err);
/* Read all of it: the trees and indices. LULL_ECORRUPT with the first finding. */
LULL_NODISCARD lull_status lull_catalog_inspect(lull_catalog *c, lull_error *err);
LULL_NODISCARD lull_status lull_catalog_bytes(lull_catalog *c, uint64_t *n_bytes, lull_error *err);

/* Transactions. A reading one sees one moment of the store. */
LULL_NODISCARD lull_status lull_catalog_begin(lull_catalog *c, bool is_writing, lull_error *err);
LULL_NODISCARD lull_status lull_catalog_commit(lull_catalog *c, lull_error *err);
void lull_catalog_rollback(lull_catalog *c);      /* no effect outside one */
bool lull_catalog_is_open(const lull_catalog *c); /* in one; SQLite ends some itself, upon errors */

/* ---- numbers --------------------------------------------------------------------------------- */

typedef enum lull_counter {
    LULL_COUNTER_SEQ = 1,        /* of the last committed record */
    LULL_COUNTER_STATE = 2,      /* the last state's id */
    LULL_COUNTER_CHECKPOINT = 3, /* seq of the last checkpoint */
    LULL_COUNTER_PAGE = 4,       /* the last page's id; 0 in catalogues that did not count them */
} lull_counter;
LULL_NODISCARD lull_status lull_catalog_get_counter(lull_catalog *c, lull_counter which,
                                                    uint64_t *value, lull_error *err);
LULL_NODISCARD lull_status lull_catalog_set_counter(lull_catalog *c, lull_counter which,
                                                    uint64_t value, lull_error *err);

/* ---- segments -------------------------------------------------------------------------------- */

typedef struct lull_segment_row {
    uint64_t id, committed; /* bytes that records of this catalogue lie in */
    bool is_sealed;
} lull_segment_row;
LULL_NODISCARD lull_status lull_catalog_put_segment(lull_catalog *c, const lull_segment_row *row,
                                                    lull_error *err);
LULL_NODISCARD lull_status lull_catalog_drop_segment(lull_catalog *c, uint64_t id, lull_error *err);
/* *row zeroed when there is none. */
LULL_NODISCARD lull_status lull_catalog_find_segment(lull_catalog *c, uint64_t id,
                                                     lull_segment_row *row, lull_error *err);
/* Owned (free()). */
LULL_NODISCARD lull_status lull_catalog_list_segments(lull_catalog *c, lull_segment_row **rows,
                                                      size_t *n, lull_error *err);

/* ---- pages ----------------------------------------------------------------------------------- */

typedef struct lull_page_row {
    int64_t id;
    lull_digest key, parent, kv_identity;
    uint64_t segment, offset, n_bytes; /* the record */
    lull_record_part parts[LULL_RECORD_PARTS];
    uint32_t n_tokens;
    int32_t tokens[LULL_RECORD_TOKENS];
} lull_page_row;
/* Both: row->id is 0 when there is none. */
LULL_NODISCARD lull_status lull_catalog_find_page(lull_catalog *c, const lull_digest *key,
                                                  lull_page_row *row, lull_error *err);
LULL_NODISCARD lull_status lull_catalog_get_page(lull_catalog *c, int64_t id, lull_page_row *row,
                                                 lull_error *err);
/* Where a page that is there already stays. row->id is set to the page's id: a new one, that was not
 * given out before. */
LULL_NODISCARD lull_status lull_catalog_add_page(lull_catalog *c, lull_page_row *row,
                                                 lull_error *err);
/* The row of row->id is replaced. */
LULL_NODISCARD lull_status lull_catalog_move_page(lull_catalog *c, const lull_page_row *row,
                                                  lull_error *err);
LULL_NODISCARD lull_status lull_catalog_drop_page(lull_catalog *c, int64_t id, lull_error *err);
/* Every page, or those of one segment (0: all), in order of id. fn must not change the table.
 * Returns what fn returns when it is not LULL_OK. */
typedef lull_status (*lull_page_fn)(void *user, const lull_page_row *row, lull_error *err);
LULL_NODISCARD lull_status lull_catalog_each_page(lull_catalog *c, uint64_t segment,
                                                  lull_page_fn fn, void *user, lull_error *err);

/* ---- states ---------------------------------------------------------------------------------- */

typedef struct lull_state_row {
    int64_t id, parent;
    uint64_t created_ms;
    uint64_t segment, offset, n_bytes; /* the record */
    uint64_t page_bytes;               /* of the records of its pages and tail */
    uint64_t n_tail, n_window_pages;
    lull_digest kv_identity;
    int64_t *pages; /* [n_pages] ids, the tail's at the end when n_tail > 0; 0: lost */
    size_t n_pages;
    char *card, *session;
} lull_state_row; /* what pointers lead to is owned: lull_state_row_fini */
void lull_state_row_fini(lull_state_row *row);
/* row->id is 0 when there is none. */
LULL_NODISCARD lull_status lull_catalog_get_state(lull_catalog *c, int64_t id, lull_state_row *row,
                                                  lull_error *err);
LULL_NODISCARD lull_status lull_catalog_put_state(lull_catalog *c, const lull_state_row *row,
                                                  lull_error *err);
LULL_NODISCARD lull_status lull_catalog_drop_state(lull_catalog *c, int64_t id, lull_error *err);
/* In order of id; owned (free()). segment: 0 for all. */
LULL_NODISCARD lull_status lull_catalog_list_states(lull_catalog *c, uint64_t segment,
                                                    int64_t **ids, size_t *n, lull_error *err);

/* ---- names and tags -------------------------------------------------------------------------- */

typedef struct lull_move_row {
    uint64_t seq, at_ms;
    int64_t state;
    char name[LULL_NAME_MAX + 1];
} lull_move_row;
typedef struct lull_tag_row {
    int64_t state;
    char tag[LULL_NAME_MAX + 1];
} lull_tag_row;
/* Where a name stood n moves ago. row->seq is 0 when it did not. */
LULL_NODISCARD lull_status lull_catalog_find_move(lull_catalog *c, const char *name, uint64_t n,
                                                  lull_move_row *row, lull_error *err);
LULL_NODISCARD lull_status lull_catalog_add_move(lull_catalog *c, const lull_move_row *row,
                                                 lull_error *err);
LULL_NODISCARD lull_status lull_catalog_drop_move(lull_catalog *c, uint64_t seq, lull_error *err);
/* All moves, of one name (NULL: of all), in order of seq; owned (free()). */
LULL_NODISCARD lull_status lull_catalog_list_moves(lull_catalog *c, const char *name,
                                                   lull_move_row **rows, size_t *n,
                                                   lull_error *err);
/* Those to one state. */
LULL_NODISCARD lull_status lull_catalog_list_moves_to(lull_catalog *c, int64_t state,
                                                      lull_move_row **rows, size_t *n,
                                                      lull_error *err);
LULL_NODISCARD lull_status lull_catalog_set_tag(lull_catalog *c, int64_t state, const char *tag,
                                                bool is_set, lull_error *err);
/* Of one state (0: of all), in order of state and tag; owned (free()). */
LULL_NODISCARD lull_status lull_catalog_list_tags(lull_catalog *c, int64_t state,
                                                  lull_tag_row **rows, size_t *n, lull_error *err);

#endif
