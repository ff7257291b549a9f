/* Digests. BLAKE2b-256 (libsodium; RFC 7693) is identity: weights, cards, keys. XXH3-128 (xxHash)
 * is a checksum: it finds damage, not forgery. */
#ifndef LULL_BASE_HASH_H
#define LULL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct lull_digest {
    uint8_t bytes[32];
} lull_digest;
typedef struct lull_checksum {
    uint64_t lo, hi;
} lull_checksum;

lull_digest lull_digest_of(const void *data, size_t n_bytes);
lull_checksum lull_checksum_of(const void *data, size_t n_bytes);
/* 64 lower-case hex digits and a NUL. */
void lull_digest_hex(const lull_digest *d, char out[65]);

#endif
