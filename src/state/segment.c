#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "disk.h"

/* Offsets in the header and in a frame; docs/format-store.md is the description. */
enum {
    HEADER_MAGIC = 0,
    HEADER_VERSION = 8,
    HEADER_FLAGS = 12,
    HEADER_ID = 16,
    HEADER_CREATED = 24,
    FRAME_MAGIC = 0,
    FRAME_TYPE = 8,
    FRAME_N_TOKENS = 12,
    FRAME_N_BYTES = 16,
    FRAME_OFFSET = 24,
    FRAME_SEGMENT = 32,
    FRAME_SEQ = 40,
    FRAME_AT = 48,
    FRAME_STATE = 56,
    FRAME_KEY = 64,
    FRAME_PARENT = 96,
    FRAME_IDENTITY = 128,
    FRAME_PARTS = 160, /* 32 each */
    FRAME_TOKENS = 224,
    BLOCK_SUM = 4080, /* of header and frame: of the bytes before it */
    BLOCK = LULL_RECORD_ALIGN
};
enum { FLAG_EXPORT = 1 };
static const char header_magic[8] = "lullseg";
static const char frame_magic[8] = "lullrec";

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}
static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}
static uint32_t get_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint64_t get_u64(const uint8_t *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static void seal_block(uint8_t block[BLOCK])
{
    lull_checksum sum = lull_checksum_of(block, BLOCK_SUM);
    put_u64(block + BLOCK_SUM, sum.lo);
    put_u64(block + BLOCK_SUM + 8, sum.hi);
}

static bool is_block_whole(const uint8_t block[BLOCK])
{
    lull_checksum sum = lull_checksum_of(block, BLOCK_SUM);
    return get_u64(block + BLOCK_SUM) == sum.lo && get_u64(block + BLOCK_SUM + 8) == sum.hi;
}

static uint64_t round_up(uint64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

lull_digest lull_store_page_key(const lull_digest *kv_identity, const lull_digest *parent,
                                const int32_t *tokens, size_t n)
{
    uint8_t bytes[64 + 4 * LULL_RECORD_TOKENS];
    memcpy(bytes, kv_identity->bytes, 32);
    memcpy(bytes + 32, parent->bytes, 32);
    if (n > LULL_RECORD_TOKENS) n = LULL_RECORD_TOKENS;
    for (size_t i = 0; i < n; i++) put_u32(bytes + 64 + 4 * i, (uint32_t)tokens[i]);
    return lull_digest_of(bytes, 64 + 4 * n);
}

/* ---- names and headers ----------------------------------------------------------------------- */

lull_status lull_segment_path(const char *folder, uint64_t id, char path[LULL_SEGMENT_PATH_MAX],
                              lull_error *err)
{
    int n = snprintf(path, LULL_SEGMENT_PATH_MAX, "%s/%016" PRIx64 ".seg", folder, id);
    if (n < 0 || n >= LULL_SEGMENT_PATH_MAX)
        return lull_fail(err, LULL_EINVAL, "%s: the folder's name is too long", folder);
    return LULL_OK;
}

uint64_t lull_segment_id_of(const char *file_name)
{
    if (strlen(file_name) != 20 || strcmp(file_name + 16, ".seg") != 0) return 0;
    uint64_t id = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, file_name[i]);
        if (!at || !*at) return 0;
        id = id << 4 | (uint64_t)(at - digits);
    }
    return id <= INT64_MAX ? id : 0;
}

static uint64_t new_id(void)
{
    uint64_t id;
    do {
        lull_disk_random(&id, sizeof id);
        id &= INT64_MAX; /* SQLite's integers are signed */
    } while (id == 0);
    return id;
}

/* Write the header of a new file; closes it on failure. */
static lull_status begin_segment(lull_segment *seg, lull_error *err)
{
    seg->created_ms = lull_disk_now_ms();
    uint8_t header[BLOCK] = {0};
    memcpy(header + HEADER_MAGIC, header_magic, 8);
    put_u32(header + HEADER_VERSION, LULL_SEGMENT_VERSION);
    put_u32(header + HEADER_FLAGS, seg->is_export ? FLAG_EXPORT : 0);
    put_u64(header + HEADER_ID, seg->id);
    put_u64(header + HEADER_CREATED, seg->created_ms);
    seal_block(header);
    lull_status st = lull_disk_write(seg->fd, seg->path, header, BLOCK, 0, err);
    seg->end = BLOCK;
    seg->synced = 0;
    seg->is_entry_synced = false;
    return st;
}

lull_status lull_segment_create(const char *folder, lull_segment *seg, lull_error *err)
{
    *seg = (lull_segment){.fd = -1, .id = new_id()};
    lull_status st = LULL_OK;
    char final[LULL_SEGMENT_PATH_MAX];
    LULL_TRY(lull_segment_path(folder, seg->id, final, err));
    int n = snprintf(seg->path, sizeof seg->path, "%s/%016" PRIx64 ".new", folder, seg->id);
    if (n < 0 || (size_t)n >= sizeof seg->path)
        return lull_fail(err, LULL_EINVAL, "%s: the folder's name is too long", folder);
    seg->fd = open(seg->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (seg->fd < 0)
        return lull_fail(err, errno == ENOSPC || errno == EDQUOT ? LULL_EFULL : LULL_EIO,
                         "%s: cannot create: %s", seg->path, strerror(errno));
    /* It gets its name once it is locked and has a header: whoever sees an unlocked segment may take
     * it over. */
    if (flock(seg->fd, LOCK_EX | LOCK_NB) < 0)
        st = lull_fail(err, LULL_EIO, "%s: cannot lock: %s", seg->path, strerror(errno));
    if (st == LULL_OK) st = begin_segment(seg, err);
    if (st == LULL_OK) st = lull_disk_rename(seg->path, final, err);
    if (st == LULL_OK) {
        memcpy(seg->path, final, sizeof final);
    } else {
        unlink(seg->path);
        lull_segment_close(seg);
    }
done:
    return st;
}

lull_status lull_segment_create_export(const char *path, lull_segment *seg, lull_error *err)
{
    *seg = (lull_segment){.fd = -1, .id = new_id(), .is_export = true};
    int n = snprintf(seg->path, sizeof seg->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof seg->path)
        return lull_fail(err, LULL_EINVAL, "%s: the name is too long", path);
    seg->fd = open(seg->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (seg->fd < 0)
        return lull_fail(err, errno == ENOSPC || errno == EDQUOT ? LULL_EFULL : LULL_EIO,
                         "%s: cannot create: %s", path, strerror(errno));
    lull_status st = begin_segment(seg, err);
    if (st != LULL_OK) {
        unlink(seg->path);
        lull_segment_close(seg);
    }
    return st;
}

static lull_status read_header(lull_segment *seg, lull_error *err)
{
    uint8_t header[BLOCK];
    lull_status st = lull_disk_read(seg->fd, seg->path, header, BLOCK, 0, err);
    if (st != LULL_OK) return st;
    if (memcmp(header + HEADER_MAGIC, header_magic, 8) != 0)
        return lull_fail(err, LULL_ECORRUPT, "%s: offset 0: not a file of lull states (magic)",
                         seg->path);
    uint32_t version = get_u32(header + HEADER_VERSION);
    if (!is_block_whole(header))
        return lull_fail(err, LULL_ECORRUPT, "%s: offset %d: the header's checksum is wrong",
                         seg->path, BLOCK_SUM);
    if (version != LULL_SEGMENT_VERSION)
        return lull_fail(err, LULL_EUNSUPPORTED, "%s: format version %u, this lull reads %d",
                         seg->path, version, LULL_SEGMENT_VERSION);
    seg->id = get_u64(header + HEADER_ID);
    seg->created_ms = get_u64(header + HEADER_CREATED);
    seg->is_export = get_u32(header + HEADER_FLAGS) & FLAG_EXPORT;
    if (seg->id == 0 || seg->id > INT64_MAX || seg->created_ms > INT64_MAX)
        return lull_fail(err, LULL_ECORRUPT, "%s: offset %d: the id is out of range", seg->path,
                         HEADER_ID);
    return LULL_OK;
}

lull_status lull_segment_open(const char *path, bool is_writer, lull_segment *seg, lull_error *err)
{
    *seg = (lull_segment){.fd = -1, .is_entry_synced = true};
    int n = snprintf(seg->path, sizeof seg->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof seg->path)
        return lull_fail(err, LULL_EINVAL, "%s: the name is too long", path);
    /* Not blocking: what lies there may be a pipe. */
    seg->fd = open(path, (is_writer ? O_RDWR | O_NOFOLLOW : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (seg->fd < 0)
        return lull_fail(err, errno == ENOENT ? LULL_ENOTFOUND : LULL_EIO, "%s: cannot open: %s",
                         path, strerror(errno));
    lull_status st = LULL_OK;
    struct stat info;
    if (fstat(seg->fd, &info) < 0 || !S_ISREG(info.st_mode))
        st = lull_fail(err, LULL_EIO, "%s: a regular file is needed", path);
    else if (is_writer && flock(seg->fd, LOCK_EX | LOCK_NB) < 0)
        st = lull_fail(err, errno == EWOULDBLOCK ? LULL_EEXIST : LULL_EIO,
                       "%s: another process writes to it", path);
    else if (is_writer && (fstat(seg->fd, &info) < 0 || info.st_nlink == 0))
        /* Gc holds the lock until the file is gone. */
        st = lull_fail(err, LULL_ENOTFOUND, "%s: was removed meanwhile", path);
    else
        st = read_header(seg, err);
    if (st == LULL_OK) st = lull_disk_size(seg->fd, path, &seg->end, err);
    if (st == LULL_OK) {
        seg->synced = seg->end;
    } else {
        lull_segment_close(seg);
    }
    return st;
}

void lull_segment_close(lull_segment *seg)
{
    if (seg->fd >= 0) close(seg->fd);
    seg->fd = -1;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void encode_frame(const lull_record *r, uint8_t frame[BLOCK])
{
    memset(frame, 0, BLOCK);
    memcpy(frame + FRAME_MAGIC, frame_magic, 8);
    put_u32(frame + FRAME_TYPE, r->type);
    put_u32(frame + FRAME_N_TOKENS, r->n_tokens);
    put_u64(frame + FRAME_N_BYTES, r->n_bytes);
    put_u64(frame + FRAME_OFFSET, r->offset);
    put_u64(frame + FRAME_SEGMENT, r->segment);
    put_u64(frame + FRAME_SEQ, r->seq);
    put_u64(frame + FRAME_AT, r->at_ms);
    put_u64(frame + FRAME_STATE, (uint64_t)r->state);
    memcpy(frame + FRAME_KEY, r->key.bytes, 32);
    memcpy(frame + FRAME_PARENT, r->parent.bytes, 32);
    memcpy(frame + FRAME_IDENTITY, r->kv_identity.bytes, 32);
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        uint8_t *p = frame + FRAME_PARTS + 32 * i;
        put_u64(p, r->parts[i].offset);
        put_u64(p + 8, r->parts[i].n_bytes);
        put_u64(p + 16, r->parts[i].sum.lo);
        put_u64(p + 24, r->parts[i].sum.hi);
    }
    for (uint32_t i = 0; i < r->n_tokens; i++)
        put_u32(frame + FRAME_TOKENS + 4 * i, (uint32_t)r->tokens[i]);
    seal_block(frame);
}

lull_status lull_segment_append(lull_segment *seg, lull_record *r,
                                const void *const parts[LULL_RECORD_PARTS], lull_error *err)
{
    static const uint8_t zeros[BLOCK];
    lull_status st = LULL_OK;
    r->segment = seg->id;
    r->offset = seg->end;
    r->n_bytes = BLOCK;
    /* The parts first: a frame that is there was preceded by all of its record. */
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        lull_record_part *part = &r->parts[i];
        if (!parts[i] || part->n_bytes == 0) {
            *part = (lull_record_part){0};
            continue;
        }
        part->offset = r->n_bytes;
        part->sum = lull_checksum_of(parts[i], part->n_bytes);
        uint64_t at = r->offset + part->offset, padded = round_up(part->n_bytes);
        LULL_TRY(lull_disk_write(seg->fd, seg->path, parts[i], part->n_bytes, at, err));
        LULL_TRY(lull_disk_write(seg->fd, seg->path, zeros, padded - part->n_bytes,
                                 at + part->n_bytes, err));
        r->n_bytes += padded;
    }
    uint8_t frame[BLOCK];
    encode_frame(r, frame);
    LULL_TRY(lull_disk_write(seg->fd, seg->path, frame, BLOCK, r->offset, err));
    seg->end += r->n_bytes;
    return LULL_OK;
done:
    /* A remainder that cannot be cut off is overwritten by the next record, or ignored as torn. */
    if (lull_disk_cut(seg->fd, seg->path, seg->end, NULL) != LULL_OK) return st;
    return st;
}

lull_status lull_segment_sync(lull_segment *seg, const char *folder, lull_error *err)
{
    lull_status st = LULL_OK;
    if (seg->synced != seg->end || seg->is_cut) LULL_TRY(lull_disk_sync(seg->fd, seg->path, err));
    if (!seg->is_entry_synced) LULL_TRY(lull_disk_sync_folder(folder, err));
    /* Bytes of a file without a name are not durable, either. */
    seg->is_entry_synced = true;
    seg->is_cut = false;
    seg->synced = seg->end;
done:
    return st;
}

/* Make the records behind `end` none. */
static lull_status blank_frames(const lull_segment *seg, uint64_t end, lull_error *err)
{
    static const uint8_t zeros[BLOCK];
    lull_status st = LULL_OK;
    lull_record r;
    for (uint64_t at = end; st == LULL_OK && at < seg->end; at += r.n_bytes) {
        if (lull_segment_read_record(seg, at, seg->end, &r, NULL) != LULL_OK) r.n_bytes = BLOCK;
        st = lull_disk_write(seg->fd, seg->path, zeros, BLOCK, at, err);
    }
    return st;
}

lull_status lull_segment_cut(lull_segment *seg, uint64_t end, lull_error *err)
{
    lull_status st = lull_disk_cut(seg->fd, seg->path, end, err);
    if (st != LULL_OK) st = blank_frames(seg, end, err);
    if (st != LULL_OK) return st;
    seg->end = end;
    if (seg->synced > end) {
        seg->synced = end;
        seg->is_cut = true;
    }
    return LULL_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static lull_status fail_field(lull_error *err, const lull_segment *seg, uint64_t offset,
                              const char *field)
{
    return lull_fail(err, LULL_ECORRUPT, "%s: offset %" PRIu64 ": a record's %s is wrong",
                     seg->path, offset, field);
}

lull_status lull_segment_read_record(const lull_segment *seg, uint64_t offset, uint64_t n_file,
                                     lull_record *r, lull_error *err)
{
    uint8_t frame[BLOCK];
    if (offset < BLOCK || offset % BLOCK != 0 || offset > n_file || n_file - offset < BLOCK)
        return fail_field(err, seg, offset, "place");
    lull_status st = lull_disk_read(seg->fd, seg->path, frame, BLOCK, offset, err);
    if (st != LULL_OK) return st;
    if (memcmp(frame + FRAME_MAGIC, frame_magic, 8) != 0)
        return fail_field(err, seg, offset + FRAME_MAGIC, "magic");
    if (!is_block_whole(frame)) return fail_field(err, seg, offset + BLOCK_SUM, "checksum");

    uint32_t type = get_u32(frame + FRAME_TYPE);
    *r = (lull_record){
        .n_tokens = get_u32(frame + FRAME_N_TOKENS),
        .n_bytes = get_u64(frame + FRAME_N_BYTES),
        .offset = get_u64(frame + FRAME_OFFSET),
        .segment = get_u64(frame + FRAME_SEGMENT),
        .seq = get_u64(frame + FRAME_SEQ),
        .at_ms = get_u64(frame + FRAME_AT),
    };
    uint64_t state = get_u64(frame + FRAME_STATE);
    if (type < LULL_RECORD_PAGE || type > LULL_RECORD_INDEX)
        return fail_field(err, seg, offset + FRAME_TYPE, "type");
    r->type = (lull_record_type)type;
    if (r->n_tokens > LULL_RECORD_TOKENS || (r->type == LULL_RECORD_PAGE && r->n_tokens == 0))
        return fail_field(err, seg, offset + FRAME_N_TOKENS, "number of tokens");
    if (r->n_bytes < BLOCK || r->n_bytes % BLOCK != 0 || r->n_bytes > n_file - offset)
        return fail_field(err, seg, offset + FRAME_N_BYTES, "length");
    if (r->offset != offset) return fail_field(err, seg, offset + FRAME_OFFSET, "own offset");
    if (r->segment != seg->id) return fail_field(err, seg, offset + FRAME_SEGMENT, "segment");
    /* SQLite's integers are signed. */
    if (r->seq > INT64_MAX || r->at_ms > INT64_MAX || state > INT64_MAX)
        return fail_field(err, seg, offset + FRAME_SEQ, "sequence number, time or state");
    r->state = (int64_t)state;
    memcpy(r->key.bytes, frame + FRAME_KEY, 32);
    memcpy(r->parent.bytes, frame + FRAME_PARENT, 32);
    memcpy(r->kv_identity.bytes, frame + FRAME_IDENTITY, 32);
    uint64_t next = BLOCK;
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        const uint8_t *p = frame + FRAME_PARTS + 32 * i;
        lull_record_part *part = &r->parts[i];
        *part = (lull_record_part){.offset = get_u64(p),
                                   .n_bytes = get_u64(p + 8),
                                   .sum = {get_u64(p + 16), get_u64(p + 24)}};
        if (part->n_bytes == 0 && part->offset == 0) continue;
        if (part->offset != next || part->n_bytes == 0 || part->n_bytes > r->n_bytes - next)
            return fail_field(err, seg, offset + FRAME_PARTS + 32 * (uint64_t)i, "part");
        next += round_up(part->n_bytes);
    }
    if (next != r->n_bytes) return fail_field(err, seg, offset + FRAME_N_BYTES, "length");
    for (uint32_t i = 0; i < r->n_tokens; i++)
        r->tokens[i] = (int32_t)get_u32(frame + FRAME_TOKENS + 4 * i);
    return LULL_OK;
}

static lull_status fail_part(lull_error *err, const lull_segment *seg, const lull_record *r, int i)
{
    return lull_fail(err, LULL_ECORRUPT, "%s: offset %" PRIu64 ": bytes of part %d are damaged",
                     seg->path, r->offset + r->parts[i].offset, i);
}

lull_status lull_segment_read_part(const lull_segment *seg, const lull_record *r, int i,
                                   uint8_t **bytes, lull_error *err)
{
    const lull_record_part *part = &r->parts[i];
    *bytes = NULL;
    uint8_t *p = malloc(part->n_bytes + 1);
    if (!p) return lull_fail(err, LULL_ENOMEM, "out of memory");
    lull_status st =
        lull_disk_read(seg->fd, seg->path, p, part->n_bytes, r->offset + part->offset, err);
    if (st == LULL_OK) {
        lull_checksum sum = lull_checksum_of(p, part->n_bytes);
        if (sum.lo != part->sum.lo || sum.hi != part->sum.hi) st = fail_part(err, seg, r, i);
    }
    if (st == LULL_OK)
        *bytes = p;
    else
        free(p);
    return st;
}

lull_status lull_segment_check_parts(const lull_segment *seg, const lull_record *r, lull_error *err)
{
    enum { CHUNK = 256 * 1024 };
    uint8_t *chunk = malloc(CHUNK);
    XXH3_state_t *hash = XXH3_createState();
    lull_status st = LULL_OK;
    if (!chunk || !hash) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory");
        goto done;
    }
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        const lull_record_part *part = &r->parts[i];
        if (part->n_bytes == 0) continue;
        XXH3_128bits_reset(hash);
        for (uint64_t at = 0; at < part->n_bytes; at += CHUNK) {
            size_t n = part->n_bytes - at < CHUNK ? (size_t)(part->n_bytes - at) : CHUNK;
            LULL_TRY(
                lull_disk_read(seg->fd, seg->path, chunk, n, r->offset + part->offset + at, err));
            XXH3_128bits_update(hash, chunk, n);
        }
        XXH128_hash_t sum = XXH3_128bits_digest(hash);
        if (sum.low64 != part->sum.lo || sum.high64 != part->sum.hi)
            LULL_TRY(fail_part(err, seg, r, i));
    }
done:
    XXH3_freeState(hash);
    free(chunk);
    return st;
}

lull_status lull_segment_scan(const lull_segment *seg, uint64_t offset, lull_record_fn on_record,
                              lull_damage_fn on_damage, void *user, uint64_t *end, lull_error *err)
{
    uint64_t n_file;
    lull_status st = lull_disk_size(seg->fd, seg->path, &n_file, err);
    if (st != LULL_OK) return st;
    bool is_lost = false; /* looking for the next good frame */
    *end = offset;
    while (offset < n_file) {
        lull_record r;
        lull_error why = {0};
        st = lull_segment_read_record(seg, offset, n_file, &r, &why);
        if (st == LULL_OK) {
            is_lost = false;
            offset += r.n_bytes;
            *end = offset;
            if (!on_record(user, &r)) return LULL_OK;
        } else if (st == LULL_ECORRUPT) {
            if (!is_lost && on_damage) on_damage(user, offset, why.msg);
            is_lost = true;
            offset += BLOCK;
        } else {
            if (err) *err = why;
            return st;
        }
    }
    return LULL_OK;
}
