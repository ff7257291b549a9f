/* How much a store may hold: kept in its folder, used by gc. */
#ifndef LULL_CMD_QUOTA_H
#define LULL_CMD_QUOTA_H

#include "cmd.h"

typedef struct lull_quota {
    uint64_t max_bytes, max_age_ms; /* 0: no limit */
} lull_quota;

/* "10G", "500M", "1.5T", "4096", "none"; "30d", "12h", "90min", "none". false: neither. */
bool lull_quota_parse_bytes(const char *text, uint64_t *n_bytes);
bool lull_quota_parse_age(const char *text, uint64_t *ms);

/* <folder>/config.json; none is no failure. LULL_ECORRUPT names the member. */
LULL_NODISCARD lull_status lull_quota_load(const char *folder, lull_quota *out, lull_error *err);
LULL_NODISCARD lull_status lull_quota_save(const char *folder, const lull_quota *q,
                                           lull_error *err);

#endif
