/* Filling a lull_error, and the one shape of error handling inside functions:
 *
 *     lull_status st = LULL_OK;
 *     LULL_TRY(lull_file_map_open(path, &map, err));
 *     ...
 * done:
 *     lull_file_map_close(&map);
 *     return st;
 */
#ifndef LULL_BASE_ERROR_H
#define LULL_BASE_ERROR_H

#include "lull/status.h"

/* Format into err (may be NULL) and return code, so that `return lull_fail(err, ...)` reads well.
 */
lull_status lull_fail(lull_error *err, lull_status code, const char *fmt, ...) LULL_PRINTF(3, 4);

/* Put "context: " in front of the message that err holds; no effect when err is NULL. */
void lull_error_prefix(lull_error *err, const char *fmt, ...) LULL_PRINTF(2, 3);

#define LULL_TRY(call)                                                                             \
    do {                                                                                           \
        st = (call);                                                                               \
        if (st != LULL_OK) goto done;                                                              \
    } while (0)

#endif
