/* Segments: append-only files of records (docs/format-store.md has the bytes).
 *
 * A record is a frame of 4096 bytes and up to two parts, each of which begins on a multiple of 4096:
 * the planes of a page, or the body of anything else. The frame carries the parts' checksums and its
 * own, and the place where it stands, so that a copy elsewhere is not taken for it.
 *
 * A file's bytes are untrusted: what comes out of lull_segment_read_record has offsets and lengths
 * inside the file, but its parts are not yet compared with their checksums.
 *
 * Threads: one at a time a segment; different ones side by side. */
#ifndef LULL_STATE_SEGMENT_H
#define LULL_STATE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "hash.h"
#include "store.h"

enum { LULL_RECORD_ALIGN = 4096, LULL_RECORD_PARTS = 2, LULL_RECORD_TOKENS = 64 };
enum { LULL_SEGMENT_VERSION = 1, LULL_SEGMENT_PATH_MAX = 4096 };

typedef enum lull_record_type {
    LULL_RECORD_PAGE = 1,  /* planes; key, parent, identity, tokens. A tail has n_tokens < 64 */
    LULL_RECORD_STATE = 2, /* body: page keys, card, session, name, tags; tokens of the tail */
    LULL_RECORD_NAME = 3,  /* body: a name set, renamed or removed */
    LULL_RECORD_TAG = 4,   /* body: a tag set or removed */
    LULL_RECORD_CHECKPOINT = 5, /* body: the states, moves and tags that there are */
    LULL_RECORD_INDEX = 6,      /* body: the end of an export; counts what came before */
} lull_record_type;

typedef struct lull_record_part {
    uint64_t offset, n_bytes; /* from the record's start; both 0: no such part */
    lull_checksum sum;
} lull_record_part;

typedef struct lull_record {
    lull_record_type type;
    uint32_t n_tokens;
    uint64_t n_bytes;         /* all of it, frame and padding included */
    uint64_t segment, offset; /* where it stands */
    uint64_t seq;             /* order of commits in the store; 0 for pages */
    uint64_t at_ms;
    int64_t state; /* id, where there is one */
    lull_digest key, parent, kv_identity;
    lull_record_part parts[LULL_RECORD_PARTS];
    int32_t tokens[LULL_RECORD_TOKENS];
} lull_record;

typedef struct lull_segment {
    int fd;          /* -1: not open */
    uint64_t id;     /* random, > 0, below 2^63 */
    uint64_t end;    /* of the last record, whether durable or not */
    uint64_t synced; /* up to here it is durable; never below what is committed */
    bool is_cut;     /* the file's end is not: what was behind it may come back */
    uint64_t created_ms;
    bool is_export;
    bool is_entry_synced; /* the folder's entry is durable */
    char path[LULL_SEGMENT_PATH_MAX];
} lull_segment;

/* Make <folder>/<id>.seg, locked to this handle; folder is the segments' folder. */
LULL_NODISCARD lull_status lull_segment_create(const char *folder, lull_segment *seg,
                                               lull_error *err);
/* Make an export at path (created anew, not locked); ends with lull_segment_close. */
LULL_NODISCARD lull_status lull_segment_create_export(const char *path, lull_segment *seg,
                                                      lull_error *err);
/* Open and check the header. end is the file's size. With is_writer it is opened for writing and
 * locked: LULL_EEXIST when another process holds it. A file that is locked is still in its folder.
 *   LULL_ENOTFOUND LULL_EIO LULL_ECORRUPT LULL_EUNSUPPORTED (a newer version) */
LULL_NODISCARD lull_status lull_segment_open(const char *path, bool is_writer, lull_segment *seg,
                                             lull_error *err);
/* Let go of file and lock; accepts a closed one (fd -1). */
void lull_segment_close(lull_segment *seg);
/* <folder>/<id>.seg; LULL_EINVAL when it is too long. */
LULL_NODISCARD lull_status lull_segment_path(const char *folder, uint64_t id,
                                             char path[LULL_SEGMENT_PATH_MAX], lull_error *err);
/* The id in a file name of the form <16 hex digits>.seg, 0 when it is none. */
uint64_t lull_segment_id_of(const char *file_name);

/* Append a record: its place, length and sums are filled in; parts[i] is NULL for none (n_bytes of
 * r->parts[i] is the length). On failure what was written is cut off again, and end stays.
 *   LULL_EFULL LULL_EIO */
LULL_NODISCARD lull_status lull_segment_append(lull_segment *seg, lull_record *r,
                                               const void *const parts[LULL_RECORD_PARTS],
                                               lull_error *err);
/* Make all records durable (and the folder's entry). On failure nothing counts as durable that did not
 * before. */
LULL_NODISCARD lull_status lull_segment_sync(lull_segment *seg, const char *folder,
                                             lull_error *err);
/* Forget what comes after end: only for records that nothing refers to. Where the file cannot be cut,
 * their frames are blanked. On failure they may still be found, and seg is as it was. */
LULL_NODISCARD lull_status lull_segment_cut(lull_segment *seg, uint64_t end, lull_error *err);

/* The frame at offset, of a file with n_file bytes. LULL_ECORRUPT names offset and field. */
LULL_NODISCARD lull_status lull_segment_read_record(const lull_segment *seg, uint64_t offset,
                                                    uint64_t n_file, lull_record *r,
                                                    lull_error *err);
/* A part's bytes, compared with their sum. *bytes owned (free()). LULL_ECORRUPT LULL_EIO LULL_ENOMEM
 */
LULL_NODISCARD lull_status lull_segment_read_part(const lull_segment *seg, const lull_record *r,
                                                  int part, uint8_t **bytes, lull_error *err);
/* Compare all parts with their sums. */
LULL_NODISCARD lull_status lull_segment_check_parts(const lull_segment *seg, const lull_record *r,
                                                    lull_error *err);

/* Every record from offset on. A damaged frame is reported to on_damage (may be NULL) and looked past
 * to the next good one. Either returns false to stop.
 * *end: behind the last good record. LULL_EIO. */
typedef bool (*lull_record_fn)(void *user, const lull_record *r);
typedef void (*lull_damage_fn)(void *user, uint64_t offset, const char *what);
LULL_NODISCARD lull_status lull_segment_scan(const lull_segment *seg, uint64_t offset,
                                             lull_record_fn on_record, lull_damage_fn on_damage,
                                             void *user, uint64_t *end, lull_error *err);

#endif
