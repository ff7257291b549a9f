/* Segments from recipes, for the fuzz targets of the store. A segment is mostly padding and checksums, in
 * which a fuzzer finds its way badly; a recipe is short, and comes out with checksums, places and keys
 * that are right unless it says otherwise.
 *
 *   flags u8       1: an export; 2: pages follow upon each other, and states list the pages before them
 *   then, till the end, u8 and
 *   0xf0           bytes changed before sums are made: offset u24, n u8, bytes [n]
 *   0xf1           the same, after
 *   0xf2           the file ends at: u24
 *   else           a record of that type: n_tokens u8, state u8, seq u8, the parts' lengths u16 x 2, and
 *                  the parts
 *
 * The offsets are those of docs/format-store.md, by themselves. */
#ifndef LULL_TESTS_STORE_RECIPE_H
#define LULL_TESTS_STORE_RECIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { RECIPE_MAX_BYTES = 1 << 20, RECIPE_MAX_RECORDS = 64, RECIPE_SEGMENT = 1 };

typedef struct recipe {
    const uint8_t *at;
    size_t n_left;
    uint8_t *bytes; /* [RECIPE_MAX_BYTES] of the segment so far */
    size_t n_bytes;
    size_t frames[RECIPE_MAX_RECORDS];
    size_t n_frames;
    uint8_t keys[RECIPE_MAX_RECORDS][32]; /* of the full pages so far */
    size_t n_keys;
    uint8_t tail[32]; /* the key of the last short page */
} recipe;

static inline uint64_t take_number(recipe *r, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n && r->n_left > 0; i++, r->at++, r->n_left--)
        v |= (uint64_t)*r->at << (8 * i);
    return v;
}

static inline const uint8_t *take_bytes(recipe *r, size_t n)
{
    const uint8_t *at = r->at;
    if (n > r->n_left) n = r->n_left;
    r->at += n;
    r->n_left -= n;
    return at;
}

static inline void put_number(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t get_number(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline void seal_at(uint8_t *at, const void *data, size_t n)
{
    lull_checksum sum = lull_checksum_of(data, n);
    put_number(at, sum.lo, 8);
    put_number(at + 8, sum.hi, 8);
}

/* Keys: a page's own, from its tokens; a state's, of the pages before it. */
static inline void chain_keys(recipe *r, uint8_t *frame, uint32_t type, size_t n_tokens)
{
    if (type == 1) {
        uint8_t text[64 + 4 * 64];
        memcpy(text, frame + 128, 32);
        memset(text + 32, 0, 32);
        if (r->n_keys > 0) memcpy(text + 32, r->keys[r->n_keys - 1], 32);
        memcpy(text + 64, frame + 224, 4 * n_tokens);
        lull_digest key = lull_digest_of(text, 64 + 4 * n_tokens);
        memcpy(frame + 64, key.bytes, 32);
        memcpy(frame + 96, text + 32, 32);
        memcpy(n_tokens == 64 ? r->keys[r->n_keys++] : r->tail, key.bytes, 32);
    } else if (type == 2) {
        uint64_t n_body = get_number(frame + 168, 8);
        uint64_t n_pages = n_body >= 24 ? get_number(frame + 4096 + 16, 8) : 0;
        if (n_tokens > 0) memcpy(frame + 64, r->tail, 32);
        if (n_pages <= r->n_keys && n_pages <= (n_body - 24) / 32)
            memcpy(frame + 4096 + 24, r->keys, 32 * n_pages);
    }
}

static inline void add_record(recipe *r, uint32_t type, bool has_chain)
{
    uint64_t n_tokens = take_number(r, 1), state = take_number(r, 1), seq = take_number(r, 1);
    size_t n_parts[2] = {(size_t)take_number(r, 2), (size_t)take_number(r, 2)}, n_record = 4096;
    if (r->n_frames == RECIPE_MAX_RECORDS || r->n_bytes + 3 * 65536 + 4096 > RECIPE_MAX_BYTES)
        return;
    uint8_t *frame = r->bytes + r->n_bytes;
    memcpy(frame, "lullrec", 8);
    for (int i = 0; i < 2; i++) {
        if (n_parts[i] > r->n_left) n_parts[i] = r->n_left;
        if (n_parts[i] == 0) continue;
        put_number(frame + 160 + 32 * i, n_record, 8);
        put_number(frame + 168 + 32 * i, n_parts[i], 8);
        memcpy(frame + n_record, take_bytes(r, n_parts[i]), n_parts[i]);
        n_record += (n_parts[i] + 4095) / 4096 * 4096;
    }
    put_number(frame + 8, type, 4);
    put_number(frame + 12, n_tokens, 4);
    put_number(frame + 16, n_record, 8);
    put_number(frame + 24, r->n_bytes, 8);
    put_number(frame + 32, RECIPE_SEGMENT, 8);
    put_number(frame + 40, seq, 8);
    put_number(frame + 48, 1700000000000 + seq, 8);
    put_number(frame + 56, state, 8);
    memset(frame + 128, 7, 32);
    for (size_t i = 0; i < n_tokens && i < 64; i++) put_number(frame + 224 + 4 * i, 3 * i + 1, 4);
    if (has_chain && n_tokens <= 64) chain_keys(r, frame, type, (size_t)n_tokens);
    r->frames[r->n_frames++] = r->n_bytes;
    r->n_bytes += n_record;
}

/* The patches of one kind, in the order of the recipe. */
static inline void apply_patches(recipe r, uint8_t kind)
{
    take_number(&r, 1);
    while (r.n_left > 0) {
        uint8_t op = (uint8_t)take_number(&r, 1);
        if (op == 0xf0 || op == 0xf1) {
            uint64_t offset = take_number(&r, 3), n = take_number(&r, 1);
            for (uint64_t i = 0; i < n && r.n_left > 0; i++) {
                uint8_t byte = (uint8_t)take_number(&r, 1);
                if (op == kind && offset + i < r.n_bytes) r.bytes[offset + i] = byte;
            }
        } else if (op == 0xf2) {
            take_number(&r, 3);
        } else {
            take_number(&r, 3);
            size_t n = (size_t)take_number(&r, 2);
            n += (size_t)take_number(&r, 2);
            take_bytes(&r, n);
        }
    }
}

/* The segment that a recipe [n] stands for: owned, *n_bytes long. */
static inline uint8_t *follow_recipe(const uint8_t *data, size_t n, size_t *n_bytes)
{
    static recipe r; /* large */
    memset(&r, 0, sizeof r);
    r.at = data;
    r.n_left = n;
    r.bytes = calloc(1, RECIPE_MAX_BYTES);
    CHECK(r.bytes);
    uint64_t flags = take_number(&r, 1), end = UINT64_MAX;
    memcpy(r.bytes, "lullseg", 8);
    put_number(r.bytes + 8, 1, 4);
    put_number(r.bytes + 12, flags & 1, 4);
    put_number(r.bytes + 16, RECIPE_SEGMENT, 8);
    put_number(r.bytes + 24, 1700000000000, 8);
    r.n_bytes = 4096;
    while (r.n_left > 0) {
        uint8_t op = (uint8_t)take_number(&r, 1);
        if (op == 0xf0 || op == 0xf1) {
            take_number(&r, 3);
            take_bytes(&r, (size_t)take_number(&r, 1));
        } else if (op == 0xf2) {
            end = take_number(&r, 3);
        } else {
            add_record(&r, op, flags & 2);
        }
    }
    if (r.n_bytes > end) r.n_bytes = (size_t)end;
    recipe patches = r;
    patches.at = data;
    patches.n_left = n;
    apply_patches(patches, 0xf0);
    for (size_t i = 0; i < r.n_frames; i++) {
        if (r.frames[i] + 4096 > r.n_bytes) break;
        uint8_t *frame = r.bytes + r.frames[i];
        size_t room = r.n_bytes - r.frames[i];
        for (int k = 0; k < 2; k++) {
            uint64_t at = get_number(frame + 160 + 32 * k, 8),
                     len = get_number(frame + 168 + 32 * k, 8);
            if (len > 0 && at <= room && len <= room - at)
                seal_at(frame + 176 + 32 * k, frame + at, (size_t)len);
        }
        seal_at(frame + 4080, frame, 4080);
    }
    if (r.n_bytes >= 4096) seal_at(r.bytes + 4080, r.bytes, 4080);
    apply_patches(patches, 0xf1);
    *n_bytes = r.n_bytes;
    return r.bytes;
}

#endif
