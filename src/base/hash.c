#include "hash.h"

#include <sodium.h>
#ifdef LULL_HAS_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* XXH3 by the widest vectors of this CPU */
#else
#include <xxhash.h>
#endif

lull_digest lull_digest_of(const void *data, size_t n_bytes)
{
    lull_digest d;
    crypto_generichash(d.bytes, sizeof d.bytes, data, n_bytes, NULL, 0);
    return d;
}

lull_checksum lull_checksum_of(const void *data, size_t n_bytes)
{
    XXH128_hash_t h = XXH3_128bits(data, n_bytes);
    return (lull_checksum){h.low64, h.high64};
}

void lull_digest_hex(const lull_digest *d, char out[65])
{
    sodium_bin2hex(out, 65, d->bytes, sizeof d->bytes);
}
